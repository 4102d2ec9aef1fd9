"""Evidence becomes findings: every dialect is read, only the root cause speaks, and judging twice changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.catalogue import Catalogue, Check, load
from mcpdoctor.diagnosis import Said, choose, deciding, judge, pointed, read, silenced, throttled, works
from mcpdoctor.failures import Failure
from mcpdoctor.model import (
    Best,
    Cause,
    Configuration,
    Exchange,
    Fact,
    Finding,
    Origin,
    Report,
    Result,
    Severity,
    Stage,
    Trace,
    Verdict,
    Written,
)
from mcpdoctor.verdict import conclude

CATALOGUE = load()
URL = "https://aws-mcp.us-east-1.api.aws/mcp"
SIGNED = Configuration(endpoint=URL, region="us-east-1", service="aws-mcp", credential="default")
UNSIGNED = Configuration(endpoint=URL, region="us-east-1", service="aws-mcp", credential="none")
MISMATCH = json.dumps({"message": "The request signature we calculated does not match the signature you provided."})
RPC_OK = '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18"}}'
RPC_ERROR = '{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-32001,"message":"Authentication failed."}}'


def answer(
    status: int | None, body: str | None = "", headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Exchange:
    return Exchange(method=method, url=URL, status=status, body=body, headers=headers or {})


def trace(
    stage: Stage,
    verdict: Verdict = Verdict.PASSED,
    *exchanges: Exchange,
    facts: Mapping[str, Fact] | None = None,
    failures: tuple[tuple[Failure, ...], ...] = (),
) -> Trace:
    return Trace(stage=stage, verdict=verdict, exchanges=exchanges, facts=facts or {}, failures=failures)


def result(*traces: Trace, configuration: Configuration = SIGNED, target: str = "aws-mcp", **given: Any) -> Result:
    return Result(target=target, configuration=configuration, works=None, stage=Stage.PARSE, stages=traces, **given)


def healthy(configuration: Configuration = SIGNED, target: str = "aws-mcp", **given: Any) -> Result:
    stages = [trace(stage) for stage in Stage if stage is not Stage.CALL]
    return result(*stages, configuration=configuration, target=target, **given)


def refused(
    status: int,
    body: str = "",
    headers: Mapping[str, str] | None = None,
    *,
    stage: Stage = Stage.AUTH,
    facts: Mapping[str, Fact] | None = None,
    configuration: Configuration = SIGNED,
    **given: Any,
) -> Result:
    """A result whose `stage` failed with one answer."""
    before = [trace(one) for one in Stage if list(Stage).index(one) < list(Stage).index(stage)]
    failed = trace(stage, Verdict.FAILED, answer(status, body, headers), facts=facts)
    return result(*before, failed, configuration=configuration, **given)


def checks_of(*results: Result) -> list[list[str]]:
    return [[finding.check for finding in one.findings] for one in judge(results, CATALOGUE)]


# read -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        pytest.param(RPC_OK, {}, Said(kind="rpc-result"), id="a result"),
        pytest.param(
            '{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600,"message":"HTTP method not supported."}}',
            {"x-amz-cf-id": "abc=="},
            Said(kind="rpc-error", rpc_code=-32600, message="HTTP method not supported.", request_id="abc=="),
            id="the edge: result null beside the error, empty id",
        ),
        pytest.param(
            RPC_ERROR, {}, Said(kind="rpc-error", rpc_code=-32001, message="Authentication failed."), id="aws-mcp"
        ),
        pytest.param(
            '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Missing Authentication Token"},"id":"null"}',
            {},
            Said(kind="rpc-error", rpc_code=-32001, message="Missing Authentication Token"),
            id='AgentCore: the id is the string "null"',
        ),
        pytest.param(
            '{"error":{"code":-32603,"message":"An internal error occurred."}}',
            {},
            Said(kind="rpc-error", rpc_code=-32603, message="An internal error occurred."),
            id="an error without jsonrpc",
        ),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"error":{"code":"-32603","message":5}}',
            {},
            Said(kind="rpc-error", message="5"),
            id="a code that is no number",
        ),
        pytest.param('{"jsonrpc":"2.0","id":1}', {}, Said(kind="rpc-invalid"), id="neither result nor error"),
        pytest.param('{"jsonrpc":"2.0","id":1,"result":null}', {}, Said(kind="rpc-invalid"), id="a result of null"),
        pytest.param('{"jsonrpc":"2.0","id":1,"error":"no"}', {}, Said(kind="rpc-invalid"), id="an error that is text"),
        pytest.param(
            '{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"It has expired"}',
            {"x-amzn-requestid": "r-1"},
            Said(kind="json", error_type="ExpiredTokenException", message="It has expired", request_id="r-1"),
            id="Coral",
        ),
        pytest.param(
            '{"__type":"UnrecognizedClientException:http://internal.amazon.com/coral/","message":"no"}',
            {},
            Said(kind="json", error_type="UnrecognizedClientException", message="no"),
            id="Coral with an address",
        ),
        pytest.param(
            '{"message":"no"}',
            {"x-amzn-errortype": "com.amazon.coral#AccessDeniedException:http://internal.amazon.com/"},
            Said(kind="json", error_type="AccessDeniedException", message="no"),
            id="the type in a header",
        ),
        pytest.param(
            '{"__type":"FromTheBody"}',
            {"x-amzn-errortype": "FromTheHeader"},
            Said(kind="json", error_type="FromTheHeader"),
            id="the header goes before the body",
        ),
        pytest.param('{"code":"Throttling"}', {}, Said(kind="json", error_type="Throttling"), id="a code"),
        pytest.param('{"__type":"","message":""}', {}, Said(kind="json"), id="an empty type"),
        pytest.param('{"__type":7,"message":["a"]}', {}, Said(kind="json", message="['a']"), id="odd types"),
        pytest.param('{"message":"small"}', {}, Said(kind="json", message="small"), id="message"),
        pytest.param('{"Message":"large"}', {}, Said(kind="json", message="large"), id="Message"),
        pytest.param('{"status":"healthy"}', {}, Said(kind="json"), id="other JSON"),
        pytest.param(
            "<html><head><title>Sign\n in</title></head>",
            {},
            Said(kind="html", message="Sign in"),
            id="a web page",
        ),
        pytest.param(
            "<!doctype html><title>Sign\n in</title>", {}, Said(kind="html", message="Sign in"), id="its title"
        ),
        pytest.param("  <!DOCTYPE HTML><p>", {}, Said(kind="html"), id="a web page without a title"),
        pytest.param(
            '{"message":"x"}', {"content-type": "text/html; charset=utf-8"}, Said(kind="html"), id="so it says"
        ),
        pytest.param(
            f"event: message\ndata: {RPC_OK}\n\n",
            {"content-type": "text/event-stream"},
            Said(kind="rpc-result"),
            id="SSE",
        ),
        pytest.param(
            f': hello\r\n\r\ndata:{{"jsonrpc":"2.0","method":"notifications/message"}}\r\n\r\ndata:{RPC_ERROR}\r\n\r\n',
            {"content-type": "text/event-stream"},
            Said(kind="rpc-error", rpc_code=-32001, message="Authentication failed."),
            id="SSE: the last event counts",
        ),
        pytest.param(
            ": ping\n\n", {"content-type": "text/event-stream"}, Said(kind="other", message=": ping"), id="idle"
        ),
        pytest.param("", {}, Said(kind="empty"), id="nothing"),
        pytest.param(" \r\n", {}, Said(kind="empty"), id="blanks"),
        pytest.param(None, {}, Said(kind="empty"), id="not read"),
        pytest.param("upstream  error\n", {}, Said(kind="other", message="upstream error"), id="words"),
        pytest.param(
            '{"jsonrpc":"2.0","id":1,"resu', {}, Said(kind="other", message='{"jsonrpc":"2.0","id":1,"resu'), id="cut"
        ),
        pytest.param("[1, 2]", {}, Said(kind="other", message="[1, 2]"), id="a list"),
        pytest.param("null", {}, Said(kind="other", message="null"), id="null"),
        pytest.param("\ufffd\x00{", {}, Said(kind="other", message="\ufffd{"), id="garbage"),
    ],
)
def test_every_dialect_is_read(body: str | None, headers: dict[str, str], said: Said) -> None:
    assert read(answer(400, body, headers)) == said


@pytest.mark.parametrize("depth", [100, 900, 970, 990, 1000, 5000, 200_000])
@pytest.mark.parametrize(("before", "after"), [("", ""), ('{"message":', "}"), ('{"jsonrpc":"2.0","error":', "}")])
def test_json_as_deep_as_an_abyss_is_read_without_falling(depth: int, before: str, after: str) -> None:
    said = read(answer(200, f"{before}{'[' * depth}{']' * depth}{after}"))
    assert said.kind in {"other", "json", "rpc-invalid"}
    assert len(said.message) <= 301


def test_a_number_too_long_for_python_is_no_json() -> None:
    assert read(answer(200, f'{{"jsonrpc":"2.0","error":{{"code":{"9" * 5000}}}}}')).kind == "other"


def test_a_long_message_is_cut() -> None:
    said = read(answer(400, json.dumps({"message": "word " * 1000})))
    assert len(said.message) == 301
    assert said.message.endswith("…")


@pytest.mark.parametrize("escaped", [r"\u001b[31mred", r"\u202ereversed", r"\u0000", r"\u009b31m", r"\ud800"])
def test_what_a_server_escapes_in_json_does_not_reach_a_finding(escaped: str) -> None:
    (judged,) = judge([refused(403, f'{{"__type":"AccessDeniedException","message":"a{escaped}z"}}')], CATALOGUE)
    texts = [text for one in judged.findings for text in (one.text, one.remedy, one.evidence)]
    assert [finding.check for finding in judged.findings] == ["auth-access-denied"]
    assert re.findall("[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", "".join(texts)) == []


def test_the_last_post_decides() -> None:
    first, last = answer(200), answer(401)
    one = trace(Stage.OPEN, Verdict.FAILED, first, last, answer(405, method="GET"), answer(405, method="DELETE"))
    assert deciding(one) is last
    assert deciding(trace(Stage.DNS)) is None


# works and throttled --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traces", "known"),
    [
        ((), None),
        ((trace(Stage.OPEN), trace(Stage.LIST)), True),
        ((trace(Stage.OPEN), trace(Stage.LIST), trace(Stage.CALL)), True),
        ((trace(Stage.LIST), trace(Stage.CALL, Verdict.SKIPPED)), True),
        ((trace(Stage.LIST), trace(Stage.CALL, Verdict.FAILED, answer(401))), False),
        ((trace(Stage.LIST), trace(Stage.CALL, Verdict.FAILED, answer(429))), None),
        ((trace(Stage.LIST), trace(Stage.CALL, Verdict.BROKEN)), None),
        ((trace(Stage.OPEN),), None),
        ((trace(Stage.OPEN), trace(Stage.LIST, Verdict.SKIPPED)), None),
        ((trace(Stage.DNS, Verdict.FAILED), trace(Stage.TCP, Verdict.BLOCKED)), False),
        ((trace(Stage.HTTP, Verdict.FAILED, answer(429)), trace(Stage.AUTH, Verdict.BLOCKED)), None),
    ],
)
def test_a_configuration_works_when_its_tools_were_listed_and_no_call_failed(
    traces: tuple[Trace, ...], known: bool | None
) -> None:
    assert works(traces, CATALOGUE) is known


@pytest.mark.parametrize(
    ("exchange", "is_throttling"),
    [
        (answer(429), True),
        (answer(200, '{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"Too many requests."}}'), True),
        (answer(400, '{"__type":"ThrottlingException","message":"Rate exceeded"}'), True),
        (answer(503, "", {"x-amzn-errortype": "TooManyRequestsException"}), True),
        (answer(503), False),
        (answer(200, RPC_OK), False),
        (answer(None, None), False),
        (answer(429, method="DELETE"), False),
    ],
)
def test_throttling_is_told_by_the_checks_of_that_cause(exchange: Exchange, is_throttling: bool) -> None:
    assert throttled(trace(Stage.LIST, Verdict.FAILED, exchange), CATALOGUE) is is_throttling


def test_what_passed_was_not_throttled() -> None:
    assert throttled(trace(Stage.LIST, Verdict.PASSED, answer(429)), CATALOGUE) is False


# choose ---------------------------------------------------------------------------------------------------------------

WARNING = Finding(check="w", cause=Cause.NO_TOOLS, severity=Severity.WARNING, title="", text="", remedy="")


def working(configuration: Configuration, **given: Any) -> Result:
    return replace(healthy(configuration), works=True, **given)


def test_a_signed_configuration_is_better_than_an_unsigned_one_whatever_else() -> None:
    results = [working(UNSIGNED, elapsed_s=0.1), working(SIGNED, elapsed_s=9.0, findings=(WARNING,))]
    assert choose(results) == (Best(target="aws-mcp", configuration=SIGNED),)


def test_of_two_signed_ones_fewer_findings_go_before_speed_and_speed_decides_the_rest() -> None:
    other = replace(SIGNED, region="eu-west-1")
    slow, fast = working(SIGNED, elapsed_s=2.0), working(other, elapsed_s=1.0)
    assert choose([slow, fast])[0].configuration == other
    assert choose([slow, replace(fast, findings=(WARNING,))])[0].configuration == SIGNED


def test_only_what_works_is_chosen_for_each_target_in_their_order() -> None:
    results = [
        replace(working(SIGNED), target="b"),
        replace(working(UNSIGNED), target="a"),
        replace(healthy(), target="c", works=False),
        replace(healthy(), target="d", works=None),
    ]
    assert choose(results) == (
        Best(target="b", configuration=SIGNED),
        Best(target="a", configuration=UNSIGNED),
    )


# judge ----------------------------------------------------------------------------------------------------------------


def test_a_healthy_result_has_no_findings() -> None:
    (judged,) = judge([healthy()], CATALOGUE)
    assert (judged.works, judged.stage, judged.cause, judged.findings) == (True, Stage.LIST, None, ())


def test_a_failed_result_says_stage_status_cause_and_evidence() -> None:
    (judged,) = judge(
        [refused(403, '{"message":"User: x is not authorized to perform: y"}', {"x-amzn-requestid": "r-1"})], CATALOGUE
    )
    assert (judged.works, judged.stage, judged.http_status, judged.cause) == (
        False,
        Stage.AUTH,
        403,
        Cause.ACCESS_DENIED,
    )
    (finding,) = judged.findings
    assert finding.check == "auth-access-denied"
    assert finding.evidence == "HTTP 403 User: x is not authorized to perform: y (request id r-1)"
    assert finding.url.endswith("docs/checks.md#auth-access-denied")
    assert "aws-mcp.us-east-1.api.aws knows the caller and refuses: User: x" in finding.text
    assert "unknown" not in finding.text


def test_a_check_is_silent_while_one_it_comes_after_stands() -> None:
    body = "Credential should be scoped to correct service: 'aws-mcp'. Credential should be scoped to a valid region."
    assert checks_of(refused(403, json.dumps({"message": body}))) == [["auth-wrong-service"]]


def test_the_last_resort_speaks_only_when_nothing_else_does() -> None:
    assert checks_of(refused(418, "short and stout", stage=Stage.HTTP)) == [["unexplained"]]
    assert checks_of(refused(500, "short and stout", stage=Stage.HTTP)) == [["http-server-error"]]


def test_every_other_means_errors_only(catalogue: Catalogue) -> None:
    harmless = replace(catalogue.checks["http-server-error"], severity=Severity.WARNING)
    known = replace(catalogue, checks={**catalogue.checks, "http-server-error": harmless})
    (judged,) = judge([refused(500, stage=Stage.HTTP)], known)
    assert [finding.check for finding in judged.findings] == ["unexplained", "http-server-error"]
    assert judged.cause is Cause.UNEXPLAINED


def test_an_unsigned_caller_who_is_denied_is_told_to_sign() -> None:
    denied = refused(403, '{"__type":"AccessDeniedException","message":"no"}', configuration=UNSIGNED)
    assert checks_of(denied) == [["auth-unsigned"]]


def test_a_clock_that_is_wrong_silences_what_follows_from_it() -> None:
    skewed = refused(403, MISMATCH, {"x-amzn-errortype": "InvalidSignatureException"}, facts={"clock_skew_s": 900})
    assert checks_of(skewed) == [["auth-clock-skew"]]


@pytest.mark.parametrize(
    ("skew", "check"), [(300, "auth-bad-signature"), (301, "auth-clock-skew"), (-301, "auth-clock-skew")]
)
def test_a_clock_counts_as_wrong_beyond_five_minutes(skew: int, check: str) -> None:
    facts: dict[str, Fact] = {"clock_skew_s": skew, "service_matches": True, "region_matches": True}
    one = refused(403, MISMATCH, {"x-amzn-errortype": "InvalidSignatureException"}, facts=facts)
    assert checks_of(one) == [[check]]


def test_an_ambiguous_mismatch_stays_one_where_nothing_else_is_known() -> None:
    assert checks_of(refused(401, MISMATCH, {"x-amzn-errortype": "InvalidSignatureException"})) == [
        ["auth-signature-mismatch"]
    ]


@pytest.mark.parametrize(
    ("twin", "check", "words"),
    [
        (replace(SIGNED, service="sts"), "auth-wrong-service", "accepts only sts"),
        (replace(SIGNED, region="eu-west-1"), "auth-wrong-region", "accepts only signatures for eu-west-1"),
    ],
)
def test_a_twin_that_works_explains_an_ambiguous_mismatch(twin: Configuration, check: str, words: str) -> None:
    failed = refused(401, MISMATCH, {"x-amzn-errortype": "InvalidSignatureException"})
    judged = judge([failed, healthy(twin)], CATALOGUE)
    assert [[finding.check for finding in one.findings] for one in judged] == [[check], []]
    assert words in judged[0].findings[0].text


@pytest.mark.parametrize(
    "no_twin",
    [
        healthy(replace(SIGNED, service="sts"), target="other-target"),
        healthy(replace(SIGNED, service="sts", credential="profile:x")),
        healthy(replace(SIGNED, service="sts", endpoint="https://aws-mcp.eu-west-1.api.aws/mcp")),
        healthy(UNSIGNED),
        healthy(replace(SIGNED, service="sts", region="eu-west-1")),
        refused(401, configuration=replace(SIGNED, service="sts")),
    ],
)
def test_somebody_who_is_no_twin_explains_nothing(no_twin: Result) -> None:
    failed = refused(401, MISMATCH, {"x-amzn-errortype": "InvalidSignatureException"})
    assert checks_of(failed, no_twin)[0] == ["auth-signature-mismatch"]


def test_an_unsigned_success_is_a_fallback_only_where_every_signed_one_fails() -> None:
    parse = trace(Stage.PARSE, facts={"sigv4_known": True})
    unsigned = result(parse, trace(Stage.LIST), configuration=UNSIGNED)
    assert checks_of(unsigned, refused(401, RPC_ERROR))[0] == ["auth-fallback"]
    assert checks_of(unsigned, healthy())[0] == ["auth-anonymous"]
    assert checks_of(unsigned)[0] == ["auth-anonymous"]
    throttled_one = refused(429)
    assert checks_of(unsigned, throttled_one)[0] == ["auth-anonymous"]


def test_findings_come_with_the_worst_first() -> None:
    broken = result(
        trace(Stage.LIST, facts={"tool_count": 0}), trace(Stage.CALL, Verdict.FAILED, answer(500)), configuration=SIGNED
    )
    (judged,) = judge([broken], CATALOGUE)
    assert [finding.severity for finding in judged.findings] == [Severity.ERROR, Severity.WARNING]


def test_an_exception_is_known_by_the_end_of_its_name_or_its_errno() -> None:
    def failed(stage: Stage, *links: Failure) -> Result:
        return result(trace(stage, Verdict.FAILED, failures=(links,), facts={"proxy": False, "region_known": True}))

    outer = Failure(type="httpx.ConnectError", message="refused")
    assert checks_of(
        failed(Stage.TCP, outer, Failure(type="ConnectionRefusedError", errno="ECONNREFUSED")),
        failed(Stage.HTTP, Failure(type="httpx2.ReadTimeout")),
        failed(Stage.HTTP, Failure(type="some.NotReadTimeout")),
        failed(Stage.DNS, Failure(type="socket.gaierror", errno="EAI_NONAME")),
    ) == [["tcp-refused"], ["http-timeout"], ["unexplained"], ["dns-unknown-host"]]


def test_what_was_not_tried_or_broke_is_not_judged() -> None:
    for verdict in (Verdict.BLOCKED, Verdict.SKIPPED, Verdict.BROKEN):
        assert checks_of(result(trace(Stage.HTTP, verdict, answer(500)))) == [[]]


def test_a_name_that_nobody_observed_reads_as_unknown_and_braces_of_a_server_do_no_harm() -> None:
    (judged,) = judge([refused(403, '{"message":"{host} {0} {{x}} is not authorized to perform: z"}')], CATALOGUE)
    assert "{host} {0} {{x}} is not authorized" in judged.findings[0].text
    (dns,) = judge([result(trace(Stage.DNS, Verdict.FAILED, failures=((Failure(type="TimeoutError"),),)))], CATALOGUE)
    assert "within unknown s" in dns.findings[0].text


def test_a_failed_unsigned_twin_does_not_change_who_works() -> None:
    judged = judge([healthy(), refused(401, RPC_ERROR, configuration=UNSIGNED)], CATALOGUE)
    assert [one.works for one in judged] == [True, False]


# properties -----------------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["jsonrpc", "error", "code", "message", "Message", "__type", "result", "id", "data"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_WORDS = st.sampled_from(
    [
        RPC_OK,
        RPC_ERROR,
        MISMATCH,
        "<html><title>x</title>",
        "data: {}",
        'data: {"jsonrpc":"2.0"}\n\n',
        "Credential should be scoped to correct service: 'x'.",
        "Signature expired",
        "{",
    ]
)
_BODIES = st.none() | st.text(max_size=60) | _JSON.map(json.dumps) | _WORDS
_HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "date", "location", "retry-after", "www-authenticate", "x-amzn-errortype", "x-amzn-requestid"]
    ),
    st.text(max_size=20) | st.sampled_from(["Bearer x", "text/html", "text/event-stream", "#:", "a#b:c"]),
    max_size=3,
)
_EXCHANGES = st.builds(
    Exchange,
    method=st.sampled_from(["POST", "GET", "DELETE"]),
    url=st.just(URL),
    status=st.none() | st.integers(100, 599),
    body=_BODIES,
    headers=_HEADERS,
)
_FAILURES = st.builds(
    Failure,
    type=st.sampled_from(["httpx.ConnectError", "TimeoutError", "ExceptionGroup", "x.y.ReadTimeout", ""]),
    message=st.text(max_size=20),
    errno=st.none() | st.sampled_from(["ECONNREFUSED", "EAI_NONAME"]),
)
_FACTS = st.dictionaries(
    st.sampled_from(
        ["answer", "clock_skew_s", "proxy", "region_matches", "service_matches", "session", "tls_fault", "tool_count"]
    ),
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=5) | st.lists(st.text(max_size=3)).map(tuple),
    max_size=4,
)


@st.composite
def _results(draw: st.DrawFn) -> Result:
    """A result as the engine leaves it: stages pass until one fails, the rest is blocked."""
    ends = draw(st.sampled_from(list(Stage)))
    fails = draw(st.booleans())
    traces = []
    for stage in Stage:
        past = list(Stage).index(stage) - list(Stage).index(ends)
        verdict = Verdict.PASSED if past < 0 or not fails else Verdict.FAILED if past == 0 else Verdict.BLOCKED
        traces.append(
            Trace(
                stage=stage,
                verdict=verdict,
                facts=draw(_FACTS),
                exchanges=tuple(draw(st.lists(_EXCHANGES, max_size=2))) if past == 0 else (),
                failures=tuple(tuple(draw(st.lists(_FAILURES, min_size=1, max_size=2))) for _ in range(past == 0)),
            )
        )
    configurations = [SIGNED, UNSIGNED, replace(SIGNED, service="sts"), replace(SIGNED, region=None)]
    configuration = draw(st.sampled_from(configurations))
    return result(*traces, configuration=configuration, target=draw(st.sampled_from(["a", "b"])))


@given(exchange=_EXCHANGES)
def test_nothing_a_server_says_makes_reading_fail(exchange: Exchange) -> None:
    said = read(exchange)
    assert said.kind in {"rpc-result", "rpc-error", "rpc-invalid", "json", "html", "empty", "other"}
    assert "\n" not in said.message


@given(results=st.lists(_results(), max_size=3))
def test_every_failed_configuration_has_an_error_and_a_cause(results: Sequence[Result]) -> None:
    for judged in judge(results, CATALOGUE):
        failed = [one for one in judged.stages if one.verdict is Verdict.FAILED]
        errors = [finding for finding in judged.findings if finding.severity is Severity.ERROR]
        assert bool(errors) == bool(failed)
        assert judged.cause == (errors[0].cause if errors else None)
        if failed:
            assert judged.stage is failed[0].stage
            assert judged.works is not True


@given(results=st.lists(_results(), max_size=3), interrupted=st.sampled_from([None, "deadline"]))
def test_judging_what_was_judged_changes_nothing(results: Sequence[Result], interrupted: str | None) -> None:
    once = conclude(Report(results=tuple(results), interrupted=interrupted), CATALOGUE)
    assert conclude(once, CATALOGUE) == once


def test_the_knowledge_server_is_the_fallback_where_no_signed_aws_mcp_works(catalogue: Catalogue) -> None:
    passed = (
        Trace(stage=Stage.OPEN, verdict=Verdict.PASSED),
        Trace(stage=Stage.LIST, verdict=Verdict.PASSED, facts={"tool_count": 5}),
    )
    failed = (Trace(stage=Stage.AUTH, verdict=Verdict.FAILED),)
    knowledge = Result(
        target="aws-knowledge",
        configuration=Configuration(endpoint="https://knowledge-mcp.global.api.aws"),
        works=None,
        stage=Stage.PARSE,
        stages=passed,
    )

    def findings_beside(endpoint: str, stages: tuple[Trace, ...]) -> list[str]:
        signed = Configuration(endpoint=endpoint, region="us-east-1", service="aws-mcp", credential="default")
        other = Result(target=endpoint, configuration=signed, works=None, stage=Stage.PARSE, stages=stages)
        return [finding.check for finding in judge((other, knowledge), catalogue)[1].findings]

    assert findings_beside("https://aws-mcp.us-east-1.api.aws/mcp", failed) == ["auth-fallback"]
    assert findings_beside("https://aws-mcp.us-east-1.api.aws/mcp", passed) == []
    assert findings_beside("https://other.example/mcp", failed) == []


@pytest.mark.parametrize(
    "body",
    [
        'data: {"jsonrpc":"2.0",\ndata: "id":1,\ndata: "result":{}}\n\n',
        'event: message\rdata: {"jsonrpc":"2.0","id":1,"result":{}}\r\r',
        'data:  {"jsonrpc":"2.0","id":1,"result":{}}\r\n\r\n',
        'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n',
        ': hello\n\ndata: {"jsonrpc":"2.0","id":1,"result":{}}',
    ],
)
def test_every_legal_event_stream_is_read(body: str) -> None:
    exchange = Exchange(method="POST", url="-", status=200, headers={"content-type": "text/event-stream"}, body=body)
    assert read(exchange).kind == "rpc-result"


def test_an_xml_error_of_aws_is_read() -> None:
    body = (
        "<ErrorResponse><Error><Code>RequestTimeTooSkewed</Code><Message>Too far off.</Message></Error></ErrorResponse>"
    )
    said = read(Exchange(method="POST", url="-", status=403, body=body))
    assert (said.error_type, said.message) == ("RequestTimeTooSkewed", "Too far off.")


@pytest.mark.parametrize(
    ("wait", "words"), [("2", "(2 s, says"), ("Sun, 22 Nov 2026 16:29:10 GMT", "16:29:10 GMT, says")]
)
def test_the_wait_a_server_asks_for_is_told_as_it_was_given(catalogue: Catalogue, wait: str, words: str) -> None:
    exchange = Exchange(method="POST", url="-", status=429, headers={"retry-after": wait})
    trace = Trace(stage=Stage.AUTH, verdict=Verdict.FAILED, exchanges=(exchange,))
    one = Result(
        target="x", configuration=Configuration(endpoint="https://x/"), works=None, stage=Stage.PARSE, stages=(trace,)
    )
    [judged] = judge((one,), catalogue)
    assert words in judged.findings[0].remedy


# entries of client files ----------------------------------------------------------------------------------------------

ENTRY = Origin(
    file="mcp.json",
    client="Kiro",
    server="it",
    line=2,
    column=3,
    entry='"it": {"args": ["--service", "iam"]}',
    values=(Written(name="service", line=4, column=9, start=29, end=34, form='"{}"'),),
)


def about(**changes: Any) -> Check:
    check = next(one for one in load().checks.values() if one.slug == "auth-wrong-service")
    return replace(check, **changes)


FOUND = Finding(check="c", cause=Cause.WRONG_SERVICE, severity=Severity.ERROR, title="t", text="t", remedy="r")


def test_a_finding_points_to_the_value_that_it_is_about_and_shows_the_entry_corrected() -> None:
    found = pointed(FOUND, about(), {"expected_service": "aws-mcp"}, ENTRY)
    assert (found.file, found.line, found.column) == ("mcp.json", 4, 9)
    assert found.correction == '"it": {"args": ["--service", "aws-mcp"]}'


def test_a_new_value_is_written_as_the_file_needs_it() -> None:
    assert pointed(FOUND, about(), {"expected_service": 'a"\\'}, ENTRY).correction.endswith('"a\\"\\\\"]}')


@pytest.mark.parametrize(
    ("check", "facts", "place"),
    [
        (about(), {}, (4, 9)),
        (about(becomes=""), {"expected_service": "x"}, (4, 9)),
        (about(value="profile"), {"expected_service": "x"}, (2, 3)),
        (about(value="", becomes=""), {}, (2, 3)),
    ],
    ids=["not observed", "nobody can tell", "not written", "about the whole"],
)
def test_nothing_is_corrected_where_it_is_not_known_how(
    check: Check, facts: dict[str, Fact], place: tuple[int, int]
) -> None:
    found = pointed(FOUND, check, facts, ENTRY)
    assert (found.line, found.column, found.correction) == (*place, "")


def test_a_finding_of_no_file_points_nowhere() -> None:
    assert pointed(FOUND, about(), {"expected_service": "x"}, None) == FOUND


def test_of_last_resorts_the_one_that_is_named_goes_first() -> None:
    ordinary, general, last = about(after=()), about(slug="b", after=("*",)), about(slug="c", after=("*", "b"))
    assert silenced(general, [ordinary, general, last])
    assert not silenced(general, [general, last])
    assert silenced(last, [general, last])
    assert not silenced(last, [last])
