"""Probes say what they see: what is wrong with a URL, a handshake, a clock, and what a signature covers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor import probes
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.credentials import Resolved
from mcpdoctor.diagnosis import read
from mcpdoctor.failures import Failure, unwrap
from mcpdoctor.matrix import Axes, expand
from mcpdoctor.model import Exchange, Fact, Trace, Verdict
from mcpdoctor.outcomes import Refused
from mcpdoctor.probes import Signer, check_auth, check_http, clock_facts, url_problem
from mcpdoctor.threads import in_thread
from mcpdoctor.transcript import Transcript
from mcpdoctor.way import tls_fault

URL = "https://aws-mcp.us-east-1.api.aws/mcp"
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT

RPC_OK = '{"jsonrpc":"2.0","id":1,"result":{}}'
RPC_NO = '{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-32001,"message":"no"}}'


def answer(status: int | None, body: str = "", **headers: str) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(method="POST", url=URL, status=status, body=body, headers=named)


# parse ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://127.0.0.1:8000/mcp",
        "https://[::1]:8443/mcp",
        "HTTPS://Example.COM",
        "https://example.com.:443/a%2Fb?x={y}#z",
        "https://b\u00fccher.example/mcp",
        "https://under_score.example/",
        f"https://{'a' * 63}.example/",
    ],
)
def test_a_usable_url_has_no_problem(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "it has no https:// in front"),
        ("aws-mcp", "it has no https:// in front"),
        ("aws-mcp.us-east-1.api.aws/mcp", "it has no https:// in front"),
        ("//aws-mcp.us-east-1.api.aws/mcp", "it has no https:// in front"),
        ("https:/aws-mcp.us-east-1.api.aws/mcp", "it has no host"),
        ("https:///mcp", "it has no host"),
        ("https://:443/mcp", "it has no host"),
        ("ftp://example.com/", "it starts with ftp:, not with https://"),
        ("htps://example.com/", "it starts with htps:, not with https://"),
        ("file:///etc/passwd", "it starts with file:, not with https://"),
        (f" {URL}", "it holds a space or a control character"),
        (f"{URL}\n", "it holds a space or a control character"),
        ("https://example.com/a b", "it holds a space or a control character"),
        ("https://exam\x1b[31mple.com/", "it holds a space or a control character"),
        ("https://exam\u00a0ple.com/", "it holds a space or a control character"),
        ("https://user@example.com/", "it holds a user name or password; "),
        ("https://user:pw@example.com/", "it holds a user name or password; "),
        ("https://:pw@example.com/", "it holds a user name or password; "),
        ("https://aws-mcp.{region}.api.aws/mcp", "its host still holds a placeholder"),
        ("https://<gateway-id>.example.com/mcp", "its host still holds a placeholder"),
        ("https://a..example.com/", "its host or port is not possible"),
        (f"https://{'a' * 64}.example/", "its host or port is not possible"),
        ("https://example.com:0/", "its host or port is not possible"),
        ("https://example.com:65536/", "Port out of range"),
        ("https://example.com:port/", "Port could not be cast"),
        ("https://[::1/mcp", "Invalid IPv6 URL"),
    ],
)
def test_an_unusable_url_is_told_what_is_wrong_with_it(url: str, problem: str) -> None:
    assert (url_problem(url) or "no problem")[: len(problem)] == problem


@given(url=st.text(max_size=40) | st.from_regex(r"https?://[\[\]@:.%a-z0-9\u00fc/?#{}-]{0,30}", fullmatch=True))
def test_no_url_is_too_odd_to_be_judged(url: str) -> None:
    problem = url_problem(url)
    assert problem is None or re.search(r"[\x00-\x1f\x7f]", problem) is None


def parsed(url: str, catalogue: Catalogue, **axes: tuple[str, ...]) -> Trace:
    (cell,) = expand([url], Axes(**axes), catalogue).cells
    return probes.parse(cell, catalogue, deadline_s=10.0)


@pytest.mark.parametrize(
    ("url", "verdict", "facts"),
    [
        (URL, Verdict.PASSED, {"url_valid": True, "insecure": False, "port": 443, "sigv4_known": True}),
        ("http://127.0.0.1:8000/mcp", Verdict.PASSED, {"insecure": False, "port": 8000, "sigv4_known": False}),
        ("http://localhost/mcp", Verdict.PASSED, {"insecure": False, "port": 80}),
        ("http://[::1]/mcp", Verdict.PASSED, {"insecure": False}),
        ("http://x.localhost/mcp", Verdict.PASSED, {"insecure": False}),
        (
            "http://aws-mcp.us-east-1.api.aws/mcp",
            Verdict.FAILED,
            {"insecure": True, "secure_endpoint": URL, "url_valid": True},
        ),
        ("http://127.0.0.1.evil.com/mcp", Verdict.FAILED, {"insecure": True}),
        ("http://localhost.evil.com/mcp", Verdict.FAILED, {"insecure": True}),
        ("https:/x/mcp", Verdict.FAILED, {"url_valid": False, "url_problem": "it has no host"}),
    ],
)
def test_stage_parse_tells_what_can_be_known_of_a_url(
    catalogue: Catalogue, url: str, verdict: Verdict, facts: dict[str, Fact]
) -> None:
    trace = parsed(url, catalogue)
    assert trace.verdict is verdict
    assert {name: trace.facts.get(name) for name in facts} == facts


@pytest.mark.parametrize(
    ("url", "axes", "facts"),
    [
        (
            URL,
            {"services": ("sts",), "regions": ("eu-west-1",)},
            {
                "service_matches": False,
                "expected_service": "aws-mcp",
                "region_matches": False,
                "expected_region": "us-east-1",
                "region_known": True,
                "quota_note": " (documented: 10 requests/s signed)",
            },
        ),
        (URL, {}, {"service_matches": True, "region_matches": True}),
        (
            URL,
            {"credentials": ("none",)},
            {"service_matches": None, "region_matches": None, "quota_note": " (documented: 5 requests/s unsigned)"},
        ),
        (
            "https://aws-mcp.us-east-2.api.aws/mcp",
            {},
            {
                "region_known": False,
                "host_region": "us-east-2",
                "server": "AWS MCP Server",
                "suggestion": "https://aws-mcp.us-east-1.api.aws/mcp",
            },
        ),
        (
            "https://knowledge-mcp.us-east-1.api.aws/mcp",
            {},
            {
                "region_known": True,
                "host_remedy": "Use https://aws-mcp.us-east-1.api.aws/mcp (signed: AWS MCP Server) or "
                "https://knowledge-mcp.global.api.aws (unauthenticated: AWS Knowledge MCP Server).",
            },
        ),
        (
            "https://mcp.eu-west-3.example.com/mcp",
            {},
            {"expected_region": "eu-west-3", "host_note": "", "service_matches": None},
        ),
        (
            "https://gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com/wrong",
            {},
            {
                "path_remedy": "Use https://gw-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp.",
                "expected_service": "bedrock-agentcore",
            },
        ),
        ("https://aws-mcp.us-east-1.api.aws/wrong", {}, {"path_remedy": f"Use {URL}."}),
    ],
)
def test_stage_parse_notes_what_the_catalogue_knows(
    catalogue: Catalogue, url: str, axes: dict[str, tuple[str, ...]], facts: dict[str, Fact]
) -> None:
    trace = parsed(url, catalogue, **axes)
    assert {name: trace.facts.get(name) for name in facts} == facts


# signing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "signed"), [(None, "host;x-amz-date"), ("the-token", "host;x-amz-date;x-amz-security-token")]
)
def test_as_few_headers_are_signed_as_allowed(token: str | None, signed: str) -> None:
    credentials = Credentials("AKIDEXAMPLE", "secret", token)
    signer = Signer(resolved=Resolved(credentials=credentials, region=None), region="eu-west-1", service="aws-mcp")
    headers = {name.lower(): value for name, value in signer.sign("POST", URL, b"{}").items()}
    assert set(headers) - {"x-amz-security-token"} == {"authorization", "x-amz-date"}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8})/eu-west-1/aws-mcp/aws4_request, "
        r"SignedHeaders=([\w;-]+), Signature=[0-9a-f]{64}",
        headers["authorization"],
    )
    assert found is not None
    assert found[2] == signed
    assert headers["x-amz-date"].startswith(found[1])
    assert headers.get("x-amz-security-token") == token


# clock ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "skew", "text"),
    [
        (NOW, 0, "right"),
        (NOW + 0.9, 1, "right"),
        (NOW - 1, -1, "right"),
        (NOW + 2, 2, "2 s ahead"),
        (NOW + 900.4, 900, "900 s ahead"),
        (NOW - 900, -900, "900 s behind"),
    ],
)
def test_the_clock_is_compared_with_the_date_of_the_answer(now: float, skew: int, text: str) -> None:
    facts = clock_facts(answer(200, date="Tue, 14 Nov 2023 22:13:20 GMT"), now)
    assert facts == {"clock_skew_s": skew, "clock_skew_text": text}


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Tue, 14 Nov 2023",
        "Tue, 14 Nov 20233 22:13:20 GMT",
        "Tue, 99 Nov 2023 22:13:20 GMT",
        "Tue, 14 Nov 99999999999999999999 22:13:20 GMT",
        "Tue, 14 Nov 2023 22:13:20 +99999999999999999999",
    ],
)
def test_a_date_that_cannot_be_read_tells_nothing(date: str) -> None:
    assert clock_facts(answer(200, date=date), NOW) == {}


def test_an_answer_without_a_date_tells_nothing() -> None:
    assert clock_facts(answer(200), NOW) == {}


# TLS ------------------------------------------------------------------------------------------------------------------

VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("kind", "message", "fault", "problem"),
    [
        (
            "ssl.SSLCertVerificationError",
            VERIFY + "self-signed certificate in certificate chain (_ssl.c:1006)",
            "untrusted",
            VERIFY + "self-signed certificate in certificate chain",
        ),
        (
            "ssl.SSLCertVerificationError",
            VERIFY + "unable to get local issuer certificate (_ssl.c:1000)",
            "untrusted",
            VERIFY + "unable to get local issuer certificate",
        ),
        ("ssl.SSLCertVerificationError", VERIFY + "certificate has expired (_ssl.c:1006)", "expired", None),
        ("ssl.SSLCertVerificationError", VERIFY + "certificate is not yet valid (_ssl.c:1006)", "expired", None),
        (
            "ssl.SSLCertVerificationError",
            VERIFY + "Hostname mismatch, certificate is not valid for 'wrong.host.example'. (_ssl.c:1006)",
            "wrong-name",
            None,
        ),
        (
            "ssl.SSLCertVerificationError",
            VERIFY + "IP address mismatch, certificate is not valid for '127.0.0.1'. (_ssl.c:1006)",
            "wrong-name",
            None,
        ),
        ("ssl.SSLError", "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "not-tls", None),
        ("ssl.SSLError", "[SSL: RECORD_LAYER_FAILURE] record layer failure (_ssl.c:1032)", "not-tls", None),
        ("ssl.SSLError", "[SSL: HTTP_REQUEST] http request (_ssl.c:1006)", "not-tls", None),
        ("ssl.SSLError", "[SSL: PACKET_LENGTH_TOO_LONG] packet length too long (_ssl.c:1006)", "not-tls", None),
        (
            "ssl.SSLEOFError",
            "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol (_ssl.c:1006)",
            "cut",
            None,
        ),
        ("anyio.EndOfStream", "", "cut", "no reason given"),
        ("anyio.BrokenResourceError", "", "cut", "no reason given"),
        ("ConnectionResetError", "[Errno 104] Connection reset by peer", "cut", "no reason given"),
        (
            "ssl.SSLError",
            "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure (_ssl.c:1006)",
            "other",
            "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure",
        ),
        ("ssl.SSLError", "[SSL: NO_PROTOCOLS_AVAILABLE] no protocols available (_ssl.c:1006)", "other", None),
        ("ssl.SSLError", "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error (_ssl.c:1006)", "other", None),
    ],
)
def test_the_words_of_openssl_come_down_to_what_is_wrong(
    kind: str, message: str, fault: str, problem: str | None
) -> None:
    chain = (Failure(type="httpx.ConnectError", message=message), Failure(type=kind, message=message))
    shown = problem or message.rpartition(" (_ssl.c")[0]
    assert tls_fault((chain,)) == {"tls_fault": fault, "tls_problem": shown}


def test_a_handshake_that_ran_out_of_time_is_no_fault_of_tls() -> None:
    assert tls_fault(((Failure(type="httpx.ConnectTimeout"), Failure(type="TimeoutError")),)) == {}


def test_a_reset_is_known_by_its_number() -> None:
    chains = unwrap(OSError(104, "Connection reset by peer"))
    assert tls_fault(chains)["tls_fault"] == "cut"


# verdicts on answers --------------------------------------------------------------------------------------------------


def refuses(check: Callable[[Exchange, Any], None], exchange: Exchange) -> bool:
    try:
        check(exchange, read(exchange))
    except Refused:
        return True
    return False


@pytest.mark.parametrize(
    ("exchange", "http_refuses", "auth_refuses"),
    [
        (answer(200, RPC_OK), False, False),
        (answer(200, RPC_NO), False, False),
        (answer(200, f"data: {RPC_OK}\n\n", content_type="text/event-stream"), False, False),
        (answer(401, RPC_NO), False, True),
        (answer(403, '{"message":"no"}', x_amzn_errortype="AccessDeniedException"), False, True),
        (answer(400, '{"__type":"ValidationException"}'), False, True),
        (answer(400, '{"message":"no"}'), True, True),
        (answer(401), False, True),
        (answer(403, '{"message":"Missing Authentication Token"}'), False, True),
        (answer(403, "<html><title>Blocked</title>", content_type="text/html"), True, True),
        (answer(200, "<html></html>", content_type="text/html"), True, True),
        (answer(200, '{"status":"healthy"}'), True, True),
        (answer(200, '{"jsonrpc":"2.0","id":1}'), True, True),
        (answer(200), True, True),
        (answer(202, RPC_OK), True, True),
        (answer(301, "", location="https://example.com"), True, True),
        (answer(404, '{"message":"Not Found"}'), True, True),
        (answer(429, RPC_NO), False, True),
        (answer(500, RPC_NO), True, True),
        (answer(None), True, True),
    ],
)
def test_an_answer_can_come_from_an_mcp_server_or_let_the_caller_in(
    exchange: Exchange, http_refuses: bool, auth_refuses: bool
) -> None:
    assert (refuses(check_http, exchange), refuses(check_auth, exchange)) == (http_refuses, auth_refuses)


def test_what_was_heard_is_read_from_the_whole_body() -> None:
    padding = "x" * 10_000
    body = f'{{"jsonrpc":"2.0","id":1,"padding":"{padding}","error":{{"code":-32001,"message":"no"}}}}'
    transcript = Transcript(exchanges=[answer(401, body[:4000])], last_body=body.encode())
    said = probes.heard(transcript)
    assert said is not None
    assert (said.kind, said.rpc_code) == ("rpc-error", -32001)


@pytest.mark.parametrize("exchanges", [[], [answer(None)]])
def test_where_no_answer_came_nothing_was_heard(exchanges: list[Exchange]) -> None:
    assert probes.heard(Transcript(exchanges=exchanges)) is None


# threads --------------------------------------------------------------------------------------------------------------


def test_a_thread_hands_back_its_result() -> None:
    async def work() -> None:
        with anyio.fail_after(5):
            assert await in_thread(lambda: threading.current_thread().daemon) is True

    anyio.run(work)


def test_a_thread_hands_back_what_it_raised() -> None:
    mistake = KeyError("the very one")

    def raising() -> None:
        raise mistake

    async def work() -> None:
        with anyio.fail_after(5), pytest.raises(KeyError) as raised:
            await in_thread(raising)
        assert raised.value is mistake

    anyio.run(work)


def test_a_thread_that_hangs_holds_nobody_up() -> None:
    started, finish = threading.Event(), threading.Event()

    def hanging() -> bool:
        started.set()
        return finish.wait(5)

    async def work() -> None:
        with anyio.move_on_after(0.05) as patience:
            await in_thread(hanging)
        assert patience.cancelled_caught

    anyio.run(work)
    assert started.is_set()
    finish.set()  # its result finds a loop that is closed, and nobody is told


def test_threads_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=5)

    async def work() -> None:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(in_thread, both.wait)

    anyio.run(work)
    assert both.broken is False


# what the credential probe proves ------------------------------------------------------------------------------------


class _Answering:
    """A session whose tool calls all get this answer."""

    def __init__(self, text: str, *, raises: bool) -> None:
        self.text, self.raises = text, raises

    async def call_tool(self, *_: object) -> object:
        from mcp.shared.exceptions import McpError
        from mcp.types import CallToolResult, ErrorData, TextContent

        if self.raises:
            raise McpError(ErrorData(code=-32602, message=self.text))
        return CallToolResult(content=[TextContent(type="text", text=self.text)], isError=True)


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Unknown tool: aws___mcpdoctor_probe", True),
        ("Something nobody foresaw", False),
        ("Your AWS session token has expired.", None),
        ("Authentication failed: Unable to verify your user identity.", None),
        ("Too many requests. Please try again later.", None),
    ],
)
def test_only_an_unknown_tool_proves_that_a_signature_counts(
    catalogue: Catalogue, text: str, counts: bool | None, *, raises: bool
) -> None:
    transcript = Transcript(exchanges=[Exchange(method="POST", url="-", status=200)])
    facts: dict[str, Any] = {}
    session: Any = _Answering(text, raises=raises)

    async def work() -> None:
        await probes.probe_credential(session, catalogue.endpoints["aws-mcp"], transcript, facts)

    if counts is None:
        with pytest.raises(Exception, match=r".*") as refusal:
            anyio.run(work)
        assert type(refusal.value).__name__ == ("McpError" if raises else "Refused")
    else:
        anyio.run(work)
    assert facts.get("signature_counts") is counts
