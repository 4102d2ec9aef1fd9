"""A run shares what cells have in common, loses nothing, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import anyio
import pytest
from botocore.exceptions import CredentialRetrievalError
from conftest import Examine, network_of

from mcpdoctor import credentials as credentials_module
from mcpdoctor import engine, matrix, probes, way, wire
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.endpoints import Endpoint
from mcpdoctor.lab import Lab, Seen
from mcpdoctor.matrix import Axes, Call, Cell
from mcpdoctor.model import Cause, Report, Result, Stage, Trace, Verdict, trace_of

HEALTHY = "https://lab.test/fault/healthy/none/mcp"
SIGNED = "https://lab.test/fault/healthy/signed/mcp"
NOWHERE = "https://nowhere.test/mcp"
SILENT = "/fault/http/silent/mcp"
"""Asked over plain HTTP: a handshake that is cut short leaks its socket (httpcore), and that is not what is tested."""


def fault(key: str) -> str:
    return f"https://lab.test/fault/{key}/mcp"


@contextmanager
def requests_of(lab: Lab, path: str) -> Iterator[list[Seen]]:
    """What came in for `path` while this was open, filled at its end."""
    found = list[Seen]()
    before = len(lab.requests)
    yield found
    found += [one for one in lab.requests[before:] if one.path == path]


def path_of(url: str) -> str:
    return url.removeprefix("https://lab.test")


def verdicts(result: Result) -> list[Verdict]:
    return [trace.verdict for trace in result.stages]


def survived(run: Callable[[], Report]) -> Report:
    """The report of `run`; where it raises in place of that, the test fails, and what it left open is cleared away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return run()
        except Exception as error:  # noqa: BLE001  # whatever it is, there is no report
            raised = repr(error)
        gc.collect()
    pytest.fail(f"no report, but {raised}")


def stage(result: Result, which: Stage) -> Trace:
    trace = trace_of(result.stages, which)
    assert trace is not None
    return trace


P, F, B, S = Verdict.PASSED, Verdict.FAILED, Verdict.BLOCKED, Verdict.SKIPPED


# sharing --------------------------------------------------------------------------------------------------------------


def test_four_cells_of_one_url_share_the_look_up_the_connection_and_the_first_post(lab: Lab, examine: Examine) -> None:
    url = fault("auth/unknown-key")
    handshakes = lab.tls_handshakes["lab.test"]
    with requests_of(lab, path_of(url)) as seen:
        report = examine(url, regions=("us-east-1", "eu-west-1"), services=("aws-mcp", "sts"), credentials=("default",))
    assert len(report.results) == 4
    for which in (Stage.DNS, Stage.TCP, Stage.TLS, Stage.HTTP):
        first = stage(report.results[0], which)
        assert [stage(one, which) is first for one in report.results] == [True] * 4, which
    assert lab.tls_handshakes["lab.test"] - handshakes == 1
    assert [(one.rpc_method, one.signed) for one in seen] == [("initialize", False)] + [("initialize", True)] * 4


def test_two_urls_of_one_host_share_the_connection_and_each_gets_its_post(lab: Lab, examine: Examine) -> None:
    urls = [fault("http/html"), fault("http/not-found")]
    handshakes = lab.tls_handshakes["lab.test"]
    report = examine(*urls)
    assert lab.tls_handshakes["lab.test"] - handshakes == 1
    assert stage(report.results[0], Stage.TLS) is stage(report.results[1], Stage.TLS)
    assert [one.cause for one in report.results] == [Cause.NOT_MCP, Cause.NOT_FOUND]


def test_a_name_is_looked_up_once(lab: Lab, examine: Examine) -> None:
    network = network_of(lab)
    report = examine(f"{lab.http}/fault/http/html/mcp", f"{lab.http}/fault/http/json/mcp", network=network)
    assert network.look_ups == ["127.0.0.1"]
    assert [one.cause for one in report.results] == [Cause.NOT_MCP, Cause.NOT_MCP]
    assert [stage(one, Stage.TLS).reason for one in report.results] == ["plain http has no TLS"] * 2


def test_unsigned_twins_share_one_session(lab: Lab, examine: Examine) -> None:
    with requests_of(lab, path_of(HEALTHY)) as seen:
        report = examine(HEALTHY, services=("a", "b"), regions=("us-east-1", "eu-west-1"), credentials=("none",))
    assert [one.works for one in report.results] == [True] * 4
    assert Counter(one.rpc_method for one in seen if one.method == "POST") == {
        "initialize": 2,  # our own and that of the real client
        "notifications/initialized": 1,
        "tools/list": 1,
    }


def test_signed_cells_that_differ_each_have_a_session_of_their_own(lab: Lab, examine: Examine) -> None:
    with requests_of(lab, path_of(HEALTHY)) as seen:
        report = examine(HEALTHY, services=("a", "b"), regions=("us-east-1",), credentials=("default",))
    assert [one.works for one in report.results] == [True] * 2
    assert Counter(one.rpc_method for one in seen)["tools/list"] == 2


def test_a_credential_is_resolved_once(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = []
    real = credentials_module.resolve

    def resolve(reference: str, **given: Any) -> credentials_module.Resolved:
        resolved.append(reference)
        return real(reference, **given)

    monkeypatch.setattr(credentials_module, "resolve", resolve)
    examine(fault("auth/unknown-key"), services=("a", "b"), regions=("us-east-1",), credentials=("default", "env"))
    assert sorted(resolved) == ["default", "env"]


# nothing vanishes -----------------------------------------------------------------------------------------------------


def test_every_configuration_has_a_verdict_for_every_stage_and_a_reason_where_it_did_not_pass(
    lab: Lab, examine: Examine
) -> None:
    report = examine(
        lab.endpoints["aws-mcp/us-east-1"],
        HEALTHY,
        SIGNED,
        NOWHERE,
        "https:/typo/mcp",
        "https://refused.lab.test/mcp",
        "https://untrusted.lab.test/mcp",
        fault("http/html"),
        fault("auth/unknown-key"),
        fault("open/rpc-error"),
        fault("list/rpc-error"),
        services=("aws-mcp",),
        regions=("us-east-1",),
        credentials=("default", "none"),
    )
    assert len(report.results) == 22
    for result in report.results:
        assert [trace.stage for trace in result.stages] == list(Stage)
        failed = [trace for trace in result.stages if trace.verdict is F]
        assert len(failed) <= 1
        for trace in result.stages:
            said = trace.reason or trace.failures or result.findings
            assert trace.verdict is P or said, (result.configuration, trace)
            if trace.verdict is B and trace.stage is not Stage.TLS:
                assert trace.reason == f"{failed[0].stage} failed"
        assert (result.works is False) == bool(failed)
        assert bool(failed) == (result.cause is not None)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("http/html", [P, P, P, P, F, B, B, B, B]),
        ("auth/unknown-key", [P, P, P, P, P, F, B, B, B]),
        ("open/rpc-error", [P, P, P, P, P, P, F, B, B]),
        ("list/rpc-error", [P, P, P, P, P, P, P, F, B]),
        ("healthy/signed", [P, P, P, P, P, P, P, P, S]),
    ],
)
def test_what_comes_after_a_failure_is_blocked(examine: Examine, key: str, expected: list[Verdict]) -> None:
    report = examine(fault(key), services=("aws-mcp",), regions=("us-east-1",))
    assert [verdicts(result) for result in report.results] == [expected]


def test_a_report_says_when_where_and_how_long(examine: Examine) -> None:
    report = examine(NOWHERE)
    assert report.started.endswith("Z")
    assert report.elapsed_s > 0
    assert {"mcp", "httpx", "botocore"} <= set(report.environment.packages)
    assert (report.exit_code, report.interrupted) == (1, None)


def test_a_plan_of_nothing_examines_nothing(lab: Lab, catalogue: Catalogue) -> None:
    report = anyio.run(engine.run, matrix.Plan(cells=()), catalogue, network_of(lab), engine.Settings())
    assert (report.results, report.exit_code) == ((), 3)


# the real client ------------------------------------------------------------------------------------------------------


def test_a_healthy_server_is_opened_listed_and_called(lab: Lab, examine: Examine) -> None:
    (target,) = {one for name, one in lab.endpoints.items() if name == "aws-mcp/us-east-1"}
    report = examine(target, credentials=("default", "none"))
    assert report.exit_code == 0
    assert [verdicts(result) for result in report.results] == [[P] * 9] * 2
    assert [best.configuration.credential for best in report.best] == ["default"]
    assert stage(report.results[0], Stage.CALL).facts["signature_counts"] is True
    assert [note.check for note in report.results[1].notes] == ["auth-anonymous"]


def test_the_tool_that_was_named_is_called_with_its_arguments(lab: Lab, examine: Examine) -> None:
    call = Call(tool="aws___search_documentation", arguments={"search_phrase": "lambda"})
    with requests_of(lab, "/mcp") as seen:
        report = examine("aws-mcp", credentials=("default",), call=call)
    assert [one.tool for one in seen if one.rpc_method == "tools/call"] == ["aws___search_documentation"]
    assert stage(report.results[0], Stage.CALL).facts["tool_listed"] is True


def test_a_tool_that_does_not_exist_is_told_from_one_that_fails(examine: Examine) -> None:
    missing = examine("aws-mcp", call=Call(tool="aws___no_such_tool", arguments={}))
    failing = examine(fault("call/tool-error"), call=Call(tool="echo", arguments={"text": "x"}))
    assert [finding.check for finding in missing.results[0].findings] == ["call-unknown-tool"]
    assert [finding.check for finding in failing.results[0].findings] == ["call-tool-error"]
    assert failing.results[0].cause is Cause.TOOL_ERROR


def test_no_session_is_left_behind(lab: Lab, examine: Examine) -> None:
    with requests_of(lab, "/mcp") as seen:
        examine(lab.endpoints["aws-mcp/us-east-1"], services=("aws-mcp", "sts"), credentials=("default", "env", "none"))
    opened = [one for one in seen if one.rpc_method == "initialize" and one.status == 200]
    ended = [one for one in seen if one.method == "DELETE"]
    assert len(opened) == 6  # own POSTs: unsigned, default, env; the client: the same
    assert [one.status for one in ended] == [200] * 6
    assert Counter(one.signed for one in ended) == Counter(one.signed for one in opened)


def test_a_credential_that_runs_out_before_the_session_is_released_costs_nothing(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = probes.Signer.sign

    def sign(self: probes.Signer, method: str, url: str, body: bytes) -> dict[str, str]:
        if method == "DELETE":
            raise CredentialRetrievalError(provider="test", error_msg="ran out")
        return real(self, method, url, body)

    monkeypatch.setattr(probes.Signer, "sign", sign)
    report = survived(lambda: examine(SIGNED, services=("aws-mcp",), regions=("us-east-1",)))
    assert [one.works for one in report.results] == [True]


def test_a_strict_host_gets_no_request_but_those_of_the_real_client(lab: Lab, examine: Examine) -> None:
    before = len(lab.requests)
    report = examine("aws-knowledge")
    seen = [one for one in lab.requests[before:] if one.host == "knowledge-mcp.global.api.aws"]
    assert [one.rpc_method for one in seen if one.method == "POST"] == [
        "initialize",
        "notifications/initialized",
        "tools/list",
    ]
    assert verdicts(report.results[0]) == [P, P, P, P, P, P, P, P, S]
    assert (report.results[0].works, report.results[0].findings, report.exit_code) == (True, (), 0)


# credentials and regions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "check", "cause"),
    [
        ("profile:gone", "auth-profile-not-found", Cause.PROFILE_NOT_FOUND),
        ("profile:bare", "auth-no-credentials", Cause.NO_CREDENTIALS),
        ("profile:half", "auth-credentials-partial", Cause.NO_CREDENTIALS),
    ],
)
def test_a_credential_without_keys_is_a_failure_of_auth(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, credential: str, check: str, cause: Cause
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile bare]\nregion = us-east-1\n[profile half]\naws_access_key_id = AKIAHALFHALFHALFHALF\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    environ = {"AWS_CONFIG_FILE": str(config)}
    report = examine(SIGNED, services=("aws-mcp",), regions=("us-east-1",), credentials=(credential,), environ=environ)
    (result,) = report.results
    assert (result.stage, result.cause) == (Stage.AUTH, cause)
    assert [finding.check for finding in result.findings] == [check]


def test_without_any_region_nothing_is_signed(examine: Examine, lab: Lab) -> None:
    keys = {name: value for name, value in lab.env.items() if "REGION" not in name}
    with requests_of(lab, path_of(SIGNED)) as seen:
        report = examine(SIGNED, services=("aws-mcp",), standby=keys, environ={"AWS_REGION": "eu-west-1"})
    (result,) = report.results
    assert result.cause is Cause.NO_REGION
    assert "AWS_REGION is set (eu-west-1), but boto3 does not read it" in result.findings[0].text
    assert [one.signed for one in seen] == [False]


def test_no_key_of_a_caller_is_in_the_report(lab: Lab, examine: Examine) -> None:
    session = lab.identities["session"]
    report = examine(
        SIGNED, fault("auth/bad-signature"), services=("aws-mcp",), regions=("us-east-1",), standby=session
    )
    shown = repr(report)
    assert [value for name, value in session.items() if "REGION" not in name and value in shown] == []


# throttling -----------------------------------------------------------------------------------------------------------


def test_a_host_that_throttles_from_the_start_is_asked_once_by_each_kind_of_caller(lab: Lab, examine: Examine) -> None:
    url = fault("open/rate-limited")
    with requests_of(lab, path_of(url)) as seen:
        report = examine(url, services=("a", "b"), regions=("us-east-1",), credentials=("default", "none"))
    assert [one.works for one in report.results] == [None] * 4
    assert sorted(str(one.cause) for one in report.results) == ["None", *["rate-limited"] * 3]
    assert [one.signed for one in seen] == [False, True]
    assert report.exit_code == 1


def test_a_caller_who_was_throttled_sends_nothing_more(
    lab: Lab, examine: Examine, caplog: pytest.LogCaptureFixture
) -> None:
    url = fault("open/rate-limited-after-initialize")
    services = tuple(f"s{number}" for number in range(12))
    with requests_of(lab, path_of(url)) as seen:
        report = examine(url, services=services, regions=("us-east-1",))
    assert [one.works for one in report.results] == [None] * 12
    held_back = [one for one in report.results if Verdict.FAILED not in verdicts(one)]
    # The first 429 comes to the client's notification; some versions of the SDK end the session there.
    went_on = [one for one in seen if one.rpc_method == "notifications/initialized"]
    assert 1 <= len(went_on) <= 4  # the sessions that were open at that moment; no more than four are at a time
    assert len(held_back) == 12 - len(went_on)
    for one in held_back:
        reasons = {trace.reason for trace in one.stages if trace.verdict is S}
        assert reasons == {"the host throttles this caller; nothing more was sent"}
        assert B not in verdicts(one)


def test_throttling_of_one_host_does_not_concern_another(examine: Examine, lab: Lab) -> None:
    report = examine(fault("open/rate-limited"), "aws-mcp", credentials=("default",), services=("aws-mcp",))
    assert [one.works for one in report.results] == [None, True]


# interruption ---------------------------------------------------------------------------------------------------------


def test_a_run_that_reaches_its_deadline_reports_what_was_found_until_then(lab: Lab, examine: Examine) -> None:
    report = examine(NOWHERE, lab.http + SILENT, deadline_s=0.7)
    assert report.interrupted == "deadline"
    assert report.exit_code == 1
    found, cut = report.results
    assert (found.works, found.cause) == (False, Cause.DNS_FAILURE)
    assert verdicts(cut) == [P, P, S, S, S, S, S, S, S]
    assert {trace.reason for trace in cut.stages if trace.verdict is S} == {"the deadline of the run passed"}
    assert (cut.works, cut.findings) == (None, ())
    assert report.elapsed_s < 5


def test_a_stage_that_takes_too_long_is_a_timeout_and_not_the_end_of_the_run(lab: Lab, examine: Examine) -> None:
    report = examine(lab.http + SILENT, f"{lab.http}/fault/http/html/mcp", timeout_s=1.0)
    assert report.interrupted is None
    assert [one.cause for one in report.results] == [Cause.TIMEOUT, Cause.NOT_MCP]


def test_cancelling_a_run_from_outside_is_passed_on(lab: Lab, catalogue: Catalogue) -> None:
    plan = matrix.expand([lab.http + SILENT], Axes(), catalogue)

    async def work() -> bool:
        with anyio.move_on_after(0.5) as scope:
            await engine.run(plan, catalogue, network_of(lab), engine.Settings())
        return scope.cancelled_caught

    # What it leaves open is not what is tested here, and must not be found in the middle of another test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        caught = anyio.run(work)
        gc.collect()
    assert caught is True


# faults of our own ----------------------------------------------------------------------------------------------------


def blunder(module: str, *, waits: bool) -> Callable[..., Any]:
    """A function of `module` with a programming mistake in it."""

    def plain(*_: object, **__: object) -> None:
        raise TypeError("a mistake made by a test")

    async def coroutine(*_: object, **__: object) -> None:
        raise TypeError("a mistake made by a test")

    return FunctionType((coroutine if waits else plain).__code__, {"__name__": module}, "blunder")


BLUNDERS = [
    (probes.url, "url_problem", False, Stage.PARSE),
    (way, "look_up", True, Stage.DNS),
    (probes, "post", True, Stage.HTTP),
    (probes, "check_http", False, Stage.HTTP),
    (credentials_module, "surroundings", False, Stage.AUTH),
    (credentials_module, "resolve", False, Stage.AUTH),
    (probes.Signer, "sign", False, Stage.AUTH),
    (probes, "open_session", True, Stage.OPEN),
    (probes, "list_tools", True, Stage.LIST),
    (probes, "call_tool", True, Stage.CALL),
]


@pytest.mark.parametrize(("where", "name", "waits", "broken"), BLUNDERS)
def test_a_mistake_of_our_own_is_broken_and_no_diagnosis(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, *, where: Any, name: str, waits: bool, broken: Stage
) -> None:
    monkeypatch.setattr(where, name, blunder("mcpdoctor.probes", waits=waits))
    call = Call(tool="echo", arguments={})
    report = survived(lambda: examine(SIGNED, services=("aws-mcp",), regions=("us-east-1",), call=call))
    (result,) = report.results
    trace = stage(result, broken)
    assert trace.verdict is Verdict.BROKEN
    assert (trace.reason or "").startswith("a fault of mcpdoctor itself: TypeError in mcpdoctor.probes:")
    assert report.exit_code == 70
    assert (result.works, result.findings) == (None, ())
    after = verdicts(result)[list(Stage).index(broken) + 1 :]
    assert after == [B] * len(after)


def test_a_type_error_of_somebody_else_is_evidence(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "list_tools", blunder("somebody.elses", waits=True))
    report = examine(HEALTHY)
    assert (report.results[0].stage, report.results[0].works, report.exit_code) == (Stage.LIST, False, 1)


# observers ------------------------------------------------------------------------------------------------------------


class Watch:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, Trace]] = []
        self.cells: list[str] = []

    def stage(self, cell: Cell, trace: Trace) -> None:
        self.stages.append((cell.target, trace))

    def finished(self, cell: Cell) -> None:
        self.cells.append(cell.target)


def test_an_observer_is_told_of_each_stage_once_and_of_each_cell_at_its_end(examine: Examine) -> None:
    watch, targets = Watch(), (HEALTHY, SIGNED, NOWHERE, fault("http/html"), "https://refused.lab.test/mcp")
    report = examine(*targets, observer=watch)
    told = [(target, trace.stage) for target, trace in watch.stages]
    assert Counter(told).most_common(1)[0][1] == 1
    tried = {(one.target, trace.stage) for one in report.results for trace in one.stages if trace.verdict is not B}
    assert set(told) == tried
    assert sorted(watch.cells) == sorted(targets)
    for target, trace in watch.stages:
        (result,) = (one for one in report.results if one.target == target)
        assert stage(result, trace.stage) == trace
    for target in targets:
        order = [trace.stage for name, trace in watch.stages if name == target]
        assert order == sorted(order, key=list(Stage).index)


def test_a_cell_that_was_cut_short_is_not_finished(lab: Lab, examine: Examine) -> None:
    watch = Watch()
    examine(NOWHERE, lab.http + SILENT, deadline_s=0.7, observer=watch)
    assert watch.cells == [NOWHERE]


# proxies --------------------------------------------------------------------------------------------------------------


def test_where_the_environment_names_a_proxy_it_is_asked_and_blamed(lab: Lab, catalogue: Catalogue) -> None:
    heads = list[bytes]()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def work() -> Report:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            environ = {"HTTPS_PROXY": f"http://user:proxy-password@127.0.0.1:{port}"}
            network = network_of(lab, routes={}, sealed=False, environ=environ)
            plan = matrix.expand([HEALTHY], Axes(), catalogue)
            with anyio.fail_after(5):
                return await engine.run(plan, catalogue, network, engine.Settings(environ=environ))

    report = anyio.run(work)
    (result,) = report.results
    assert heads == [b"CONNECT lab.test:443 HTTP/1.1"]
    assert stage(result, Stage.DNS).reason == "the HTTP proxy looks the name up"
    assert (result.stage, result.cause) == (Stage.TCP, Cause.PROXY_FAILURE)
    assert "proxy-password" not in repr(report)


def test_a_client_that_cannot_be_imported_is_told_and_costs_no_other_result(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ImportError("cannot import name 'eval_type_backport'")

    monkeypatch.setattr(probes, "load_client", broken)
    report = examine(SIGNED, fault("http/not-found"), services=("aws-mcp",), regions=("us-east-1", "eu-west-1"))
    seen = [(one.works, one.stage, one.cause) for one in report.results]
    assert seen == [
        (False, Stage.OPEN, Cause.UNEXPLAINED),
        (False, Stage.AUTH, Cause.WRONG_REGION),
        (False, Stage.HTTP, Cause.NOT_FOUND),
        (False, Stage.HTTP, Cause.NOT_FOUND),
    ]
    assert "eval_type_backport" in report.results[0].findings[0].text


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("name", "credential"), [("none", "none"), ("signed", "default")])
def test_an_answer_longer_than_what_the_record_keeps_is_judged_by_all_of_it(
    examine: Examine, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, name: str, *, credential: str, strict: bool
) -> None:
    monkeypatch.setattr(wire, "KEPT_BODY", 20)
    host = Endpoint(
        name="x", title="X", url="https://lab.test/", service="aws-mcp", strict=strict, source="-", as_of="-"
    )
    known = Catalogue(checks=catalogue.checks, endpoints={"x": host}, suites={})
    report = examine(
        fault(f"healthy/{name}"),
        credentials=(credential,),
        services=("aws-mcp",),
        regions=("us-east-1",),
        catalogue=known,
    )
    [one] = report.results
    assert (one.works, one.cause) == (True, None)
    bodies = [exchange.body or "" for trace in one.stages for exchange in trace.exchanges]
    assert max(map(len, bodies)) < 80


def test_a_server_that_sends_back_what_it_got_gets_nothing_of_it_into_the_report(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "AKIALABEXAMPLEDEFLT2"

    async def echoing(one: Any, facts: dict[str, Any]) -> None:
        await one.initialize()
        facts["server_name"] = f"you are secretToken/{key}/0123456789"
        raise RuntimeError(f"the server said: secretToken/{key}/0123456789")

    monkeypatch.setattr(probes, "open_session", echoing)
    secret = f"secretToken/{key}/0123456789"
    standby = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    report = examine(fault("healthy/none"), services=("x",), regions=("us-east-1",), standby=standby)
    assert stage(report.results[0], Stage.OPEN).verdict is F
    assert "0123456789" not in repr(report)
