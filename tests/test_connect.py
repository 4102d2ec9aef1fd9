"""`mcpdoctor.connect`: signed where that works, said aloud where it does not, and explained where nothing does."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import pickle
import re
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import ClientSession
from mcp.shared.exceptions import McpError
from stacks.conftest import Way

from mcpdoctor.connect import Connection, ConnectionFailed, FallbackWarning, aws_knowledge, aws_mcp, bodies, endpoint
from mcpdoctor.connect.wanted import Wanted, choose
from mcpdoctor.lab import Lab
from mcpdoctor.model import Unusable

DOCUMENTATION = "aws___search_documentation"
SIGNED = "aws___run_script"
REFUSED = {"fallback": False}


@pytest.fixture
def use(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Set the AWS settings of the environment."""

    def settings(environ: Mapping[str, str]) -> None:
        for name in lab.env:
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return settings


@pytest.fixture(autouse=True)
def _with_keys(use: Callable[[Mapping[str, str]], None], lab: Lab) -> None:
    use(lab.env)


async def tools(connection: Connection) -> list[str]:
    async with connection as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        return [tool.name for tool in (await session.list_tools()).tools]


def listed(connection: Connection) -> list[str]:
    return anyio.run(tools, connection)


def failure(connection: Connection) -> ConnectionFailed:
    with pytest.raises(ConnectionFailed) as caught:
        listed(connection)
    return caught.value


def knowledge(lab: Lab, **given: Any) -> Connection:
    return aws_knowledge(**{"url": lab.url("aws-mcp"), "fallback": lab.url("aws-knowledge"), **given})


def fault(lab: Lab, name: str, **given: Any) -> Connection:
    return endpoint(lab.url(f"fault/{name}"), **{"service": "aws-mcp", "region": "us-east-1", **given})


class Came:
    """What comes in while it is open, at which server."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._since = lab, len(lab.requests)

    def __call__(self) -> list[tuple[str, str, bool]]:
        """Server, JSON-RPC method or HTTP method, whether it was signed."""
        return [
            (one.path.split("/")[1], one.rpc_method or one.method, one.signed)
            for one in self._lab.requests[self._since :]
        ]


@pytest.fixture
def came(lab: Lab) -> Came:
    return Came(lab)


# a healthy endpoint ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modules", ["mcp", "httpx", "botocore", "mcp_proxy_for_aws", "anyio", "yaml"])
def test_importing_and_making_a_connection_imports_nothing_heavy(modules: str) -> None:
    code = f"""
        import sys
        from mcpdoctor.connect import aws_knowledge, aws_mcp, endpoint
        aws_knowledge(), aws_mcp(profile="dev"), endpoint("https://x.example/mcp", service="lambda")
        assert {modules!r} not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_a_signed_endpoint_that_works_is_used_without_a_word_and_without_a_request_more(lab: Lab, came: Came) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert DOCUMENTATION in listed(knowledge(lab))
    asked = [("aws-mcp", name, True) for name in ("initialize", "notifications/initialized", "tools/list", "DELETE")]
    seen = came()
    assert sorted(one for one in seen if one[1] != "GET") == sorted(asked)
    assert seen.count(("aws-mcp", "GET", True)) <= 1  # the client itself asks for a stream


def test_the_tools_that_need_an_identity_work(lab: Lab) -> None:
    async def call() -> bool:
        async with aws_mcp(url=lab.url("aws-mcp")) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return bool((await session.call_tool(SIGNED, {"code": "1"})).isError)

    assert anyio.run(call) is False


def test_an_endpoint_that_takes_no_signature_gets_none(lab: Lab, came: Came) -> None:
    assert DOCUMENTATION in listed(endpoint(lab.url("aws-knowledge")))
    assert not any(signed for _, _, signed in came())


def test_a_connection_can_be_opened_again_and_many_times_at_once(lab: Lab) -> None:
    connection = knowledge(lab)

    async def main() -> int:
        assert DOCUMENTATION in await tools(connection)
        assert DOCUMENTATION in await tools(connection)
        found: list[list[str]] = []

        async def one() -> None:
            async with connection.open() as (read, write, _), ClientSession(read, write) as session:
                await session.initialize()
                found.append([tool.name for tool in (await session.list_tools()).tools])

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one)
        return len(found)

    assert anyio.run(main) == 3


def test_entering_a_connection_twice_says_what_to_do(lab: Lab) -> None:
    async def main() -> None:
        connection = knowledge(lab)
        async with connection:
            with pytest.raises(RuntimeError, match=r"open already; use open\(\)"):
                await connection.__aenter__()

    anyio.run(main)


def test_cancelling_leaves_nothing_behind(lab: Lab) -> None:
    async def main() -> set[str]:
        with anyio.CancelScope() as scope:
            async with knowledge(lab) as (read, write, _), ClientSession(read, write) as session:
                await session.initialize()
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert anyio.run(main) == set()


# the credential does not work -----------------------------------------------------------------------------------------

Settings = Callable[[Lab], Mapping[str, str]]

UNUSABLE: dict[str, tuple[Settings, dict[str, Any], str, int]] = {
    "no keys": (lambda _: {}, {}, "no-credentials", 0),
    "no such profile": (lambda _: {}, {"profile": "nobody"}, "profile-not-found", 0),
    "expired": (lambda lab: lab.identities["expired"], {}, "expired-credentials", 1),
    "denied": (lambda lab: lab.identities["denied"], {}, "access-denied", 1),
    "wrong secret": (lambda lab: {**lab.env, "AWS_SECRET_ACCESS_KEY": "x" * 40}, {}, "bad-credentials", 1),
    "wrong region": (lambda lab: lab.env, {"region": "eu-west-1"}, "wrong-region", 1),
}
"""Settings, arguments, the cause, and how many requests are refused before it is known."""


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_credential_that_does_not_work_leads_to_the_fallback_and_the_warning_says_why(
    name: str, lab: Lab, came: Came, use: Callable[[Mapping[str, str]], None]
) -> None:
    settings, given, cause, refused = UNUSABLE[name]
    use(settings(lab))
    with pytest.warns(FallbackWarning) as told:
        assert DOCUMENTATION in listed(knowledge(lab, **given))
    [text] = [str(one.message) for one in told if one.category is FallbackWarning]
    assert (
        f"AWS MCP Server cannot be used with the credential {'profile:nobody' if given.get('profile') else 'd'}" in text
    )
    assert lab.url("aws-knowledge") in text
    assert re.search(rf" {cause}(: | or )", text)
    assert " Fix: " in text
    assert ("request id" in text) == bool(refused)
    seen = came()
    assert [one for one in seen if one[0] == "aws-mcp"] == [("aws-mcp", "initialize", True)] * refused
    assert {signed for server, _, signed in seen if server == "knowledge"} == {False}


@pytest.mark.parametrize("name", UNUSABLE)
def test_without_a_fallback_it_is_an_error_that_explains_itself(
    name: str, lab: Lab, came: Came, use: Callable[[Mapping[str, str]], None]
) -> None:
    settings, given, cause, refused = UNUSABLE[name]
    use(settings(lab))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        failed = failure(knowledge(lab, fallback=False, **given))
    assert failed.explanation.cause == cause
    assert str(failed).startswith(f"{cause}: ")
    assert "Fix: " in str(failed)
    assert failed.explanation.url == lab.url("aws-mcp")
    assert type(failed.__cause__).__module__.startswith("httpx" if refused else "botocore")
    assert (failed.explanation.request_id is not None) == bool(refused)
    assert came() == [("aws-mcp", "initialize", True)] * refused


def test_a_program_that_makes_errors_of_warnings_gets_the_explanation(
    lab: Lab, came: Came, use: Callable[[Mapping[str, str]], None]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        use(lab.identities["expired"])
        assert failure(knowledge(lab)).cause == "expired-credentials"
        use({})
        assert failure(knowledge(lab)).cause == "no-credentials"
    assert came() == [("aws-mcp", "initialize", True)]


def test_a_fallback_that_fails_is_explained_as_itself(lab: Lab, use: Callable[[Mapping[str, str]], None]) -> None:
    use({})
    with pytest.warns(FallbackWarning):
        failed = failure(knowledge(lab, fallback=lab.url("fault/open/rate-limited")))
    assert failed.cause == "rate-limited"
    assert failed.explanation.url == lab.url("fault/open/rate-limited")


def test_a_wrong_service_is_explained_with_the_right_one(lab: Lab) -> None:
    failed = failure(endpoint(lab.url("aws-mcp"), service="bedrock-agentcore", region="us-east-1"))
    assert failed.cause == "wrong-service"
    assert 'aws_service="aws-mcp"' in str(failed)
    assert failed.explanation.http_status == 401
    with pytest.warns(FallbackWarning, match="wrong-service"):
        listed(knowledge_by_url(lab))


def knowledge_by_url(lab: Lab) -> Connection:
    """An endpoint that the catalogue does not know, with a fallback of its own."""
    return endpoint(
        lab.url("aws-mcp"), service="bedrock-agentcore", region="us-east-1", fallback=lab.url("aws-knowledge")
    )


# what is not the credential's fault -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cause", "status"),
    [
        ("open/rate-limited", "rate-limited", 429),
        ("http/unavailable", "server-error", 503),
        ("http/html", "not-mcp", 200),
        ("http/not-found", "not-found", 404),
        ("http/short-body", "connection-lost", None),
        ("http/bad-chunks", "protocol-error", None),
        ("open/rpc-error", "server-error", None),
    ],
)
def test_what_is_not_the_credential_does_not_fall_back(
    name: str, cause: str, status: int, lab: Lab, came: Came
) -> None:
    failed = failure(fault(lab, name, fallback=lab.url("aws-knowledge")))
    assert (failed.cause, failed.explanation.http_status) == (cause, status)
    assert "knowledge" not in {server for server, _, _ in came()}


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("open/other-id", "protocol-error"),
        ("open/byte-order-mark", "protocol-error"),
        ("open/content-type-missing", "protocol-error"),
        ("call/accepted-only", "protocol-error"),
        ("open/events-without-answer", "connection-lost"),
        ("list/stream-cut", "connection-lost"),
        ("http/stream-cut", "connection-lost"),
    ],
)
def test_nobody_waits_for_an_answer_that_does_not_come(name: str, cause: str, lab: Lab) -> None:
    async def main() -> None:
        with anyio.fail_after(30):
            async with fault(lab, name) as (read, write, _), ClientSession(read, write) as session:
                await session.initialize()
                await session.list_tools()
                await session.call_tool("echo", {})

    with pytest.raises(ConnectionFailed) as caught:
        anyio.run(main)
    assert caught.value.cause == cause


def answer(body: bytes, **headers: str) -> httpx.Response:
    async def chunks() -> AsyncIterator[bytes]:
        for place in range(0, len(body), 7):
            yield body[place : place + 7]

    return httpx.Response(200, headers={"content-type": "application/json", **headers}, content=chunks())


@pytest.mark.parametrize(
    ("body", "headers", "seen"),
    [
        (b'{"jsonrpc": "2.0"}', {}, b'{"jsonrpc": "2.0"}'),
        (gzip.compress(b"{}" * 9), {"content-encoding": "gzip"}, b"{}" * 9),
        (b"\x0b\x02\x80{}\x03", {"content-encoding": "br"}, None),
        (b"not packed", {"content-encoding": "gzip"}, None),
        (b"x" * 100, {}, None),
    ],
    ids=["plain", "packed", "packed otherwise", "packed wrongly", "too long to look at"],
)
def test_an_answer_that_was_looked_at_reaches_the_client_as_it_came(
    body: bytes, headers: dict[str, str], seen: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST", 64)

    async def main() -> tuple[bytes | None, bytes, httpx.Headers]:
        content, response = await bodies.whole(answer(body, **headers))
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
        return content, raw, response.headers

    content, raw, given = anyio.run(main)
    assert (content, raw) == (seen, body)
    assert {**headers, "content-type": "application/json"}.items() <= given.items()


@pytest.mark.parametrize(
    ("events", "added"),
    [
        (b'data: {"method": "notifications/progress"}\n\n', True),
        (b'data: {"jsonrpc": "2.0", "id": 1, "result": {}}\n\n', False),
        (b'data: {"jsonrpc": "2.0", "id": 1, "error": {}}\n\n', False),
        (b"id: 7\ndata:\n\n", False),  # the client asks for the rest itself
    ],
    ids=["no answer", "a result", "an error", "to be resumed"],
)
def test_an_event_stream_gets_an_end_only_where_it_has_no_answer(events: bytes, *, added: bool) -> None:
    async def main() -> bytes:
        response = bodies.ended(answer(events), lambda _: b"THE END")
        return b"".join([chunk async for chunk in response.aiter_raw()])

    assert anyio.run(main) == events + (b"THE END" if added else b"")


def test_several_causes_that_remain_are_not_made_one(lab: Lab) -> None:
    failed = failure(fault(lab, "auth/no-challenge"))
    assert len(failed.explanation.causes) > 1
    assert failed.cause == "unexplained"
    with pytest.warns(FallbackWarning, match="expired-credentials or bad-credentials or"):
        listed(fault(lab, "auth/no-challenge", fallback=lab.url("aws-knowledge")))


def test_a_name_that_does_not_resolve_is_explained(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = socket.getaddrinfo

    def look_up(host: Any, *given: Any, **more: Any) -> Any:
        if host in ("aws-mpc.us-east-1.api.aws", b"aws-mpc.us-east-1.api.aws"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")  # as without a network
        return usual(host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = "https://aws-mpc.us-east-1.api.aws/mcp"
    failed = failure(endpoint(url, service="aws-mcp", region="us-east-1", fallback=lab.url("aws-knowledge")))
    assert failed.cause == "dns-failure"
    assert "You may mean https://aws-mcp.us-east-1.api.aws/mcp" in str(failed)
    assert type(failed.__cause__).__name__ == "ConnectError"


def test_a_refused_connection_is_explained() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        failed = failure(endpoint(f"http://127.0.0.1:{held.getsockname()[1]}/mcp"))
    assert failed.cause == "connection-refused"


def test_a_server_that_does_not_answer_is_explained(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        failed = failure(endpoint(f"http://127.0.0.1:{port}/mcp", timeout=5, read_timeout=0.2))
    assert failed.cause == "timeout"


def test_a_url_that_would_send_signatures_in_the_clear_is_refused() -> None:
    failed = failure(endpoint("http://mcp.example/mcp", service="lambda", region="us-east-1"))
    assert failed.cause == "insecure-url"


@pytest.mark.parametrize(
    ("variable", "value", "cause"),
    [("HTTPS_PROXY", "gopher://proxy.example", "proxy-failure"), ("SSL_CERT_FILE", "/no/such/file", "tls-failure")],
)
def test_settings_of_the_environment_that_httpx_cannot_use_are_explained(
    variable: str, value: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert failure(endpoint("https://127.0.0.1:9/mcp")).cause == cause


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: endpoint("aws-mpc"), "did you mean aws-mcp"),
        (lambda: endpoint("https://x.example/mcp", credential="AKIAIOSFODNN7EXAMPLE1"), "no credential reference"),
        (lambda: endpoint("https://x.example/mcp", region="us-east-1"), "add --service"),
        (
            lambda: endpoint("https://x.example/mcp", service="lambda", region="us-east-1", fallback=True),
            "Nothing is known to stand in",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_a_sentence(make: Callable[[], Connection], words: str) -> None:
    with pytest.raises(Unusable, match=words):
        listed(make())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"region": 5}, "region must be text, and is of type int"),
        ({"region": ""}, "region is empty"),
        ({"url": ""}, "url is empty"),
        ({"profile": ""}, "profile is empty"),
        ({"credential": 5}, "credential must be text"),
        ({"fallback": 5}, "fallback must be text"),
        ({"timeout": 0}, "timeout must be a number of seconds, more than 0"),
        ({"timeout": None}, "timeout must be a number"),
        ({"read_timeout": "5"}, "read_timeout must be a number"),
        ({"headers": "x: hunter2"}, "headers must be a dictionary"),
        ({"headers": {"x y": "hunter2"}}, "no HTTP header can have"),
        ({"headers": {"x": "one\nhunter2"}}, "the header x cannot be sent"),
        ({"headers": {"x": "hunter2€"}}, "the header x cannot be sent"),
        ({"headers": {"x": 5}}, "the header x cannot be sent"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_where_it_is_given(given: dict[str, Any], words: str) -> None:
    with pytest.raises(Unusable, match=words) as caught:
        aws_mcp(**given)
    assert "hunter2" not in str(caught.value)


def test_no_fallback_can_be_written_as_none_too(lab: Lab, use: Callable[[Mapping[str, str]], None]) -> None:
    use({})
    assert failure(knowledge(lab, fallback=None)).cause == "no-credentials"


def test_what_takes_signed_requests_only_is_no_fallback() -> None:
    with pytest.raises(Unusable, match="Amazon EKS MCP Server takes no unsigned requests"):
        choose(Wanted(target="aws-mcp", fallback="eks-mcp"))


def test_another_fallback_is_not_called_the_usual_one(lab: Lab, use: Callable[[Mapping[str, str]], None]) -> None:
    use({})
    with pytest.warns(FallbackWarning, match="the fallback is used instead") as told:
        listed(knowledge(lab))
    assert "Knowledge MCP Server" not in str(told[0].message)


def test_another_event_loop_is_not_taken_for_a_credential_that_does_not_work(lab: Lab) -> None:
    connection = endpoint(lab.url("aws-knowledge"))
    coroutine = connection.__aenter__()
    with pytest.raises(Unusable, match="asyncio only"):
        coroutine.send(None)  # as trio drives it: no event loop of asyncio is running


def test_a_profile_and_a_credential_are_one_too_many() -> None:
    with pytest.raises(Unusable, match="not both"):
        aws_mcp(profile="dev", credential="env")


# later in a session ---------------------------------------------------------------------------------------------------


def within(connection: Connection, work: Callable[[ClientSession], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with connection as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return await work(session)

    return anyio.run(main)


def test_a_refused_call_is_explained_and_the_session_goes_on(lab: Lab) -> None:
    async def work(session: ClientSession) -> int:
        with pytest.raises(McpError, match="unsigned: The server wants a signature") as caught:
            await session.call_tool(SIGNED, {})
        assert caught.value.error.code == 401
        assert (caught.value.error.data or {})["cause"] == "unsigned"
        return len((await session.list_tools()).tools)

    assert within(endpoint(lab.url("aws-mcp"), credential="none"), work) > 0


def test_a_refused_call_that_nobody_catches_ends_in_the_explanation(lab: Lab) -> None:
    with pytest.raises(ConnectionFailed, match="unsigned: ") as caught:
        within(endpoint(lab.url("aws-mcp"), credential="none"), lambda session: session.call_tool(SIGNED, {}))
    assert caught.value.explanation.request_id


def test_a_session_that_was_opened_does_not_move(lab: Lab, came: Came) -> None:
    connection = fault(lab, "open/rate-limited-after-initialize", fallback=lab.url("aws-knowledge"))
    assert failure(connection).cause == "rate-limited"
    assert "knowledge" not in {server for server, _, _ in came()}


def test_a_session_that_the_server_has_ended_is_no_wrong_path(lab: Lab) -> None:
    connection = fault(lab, "call/session-expired")
    with pytest.raises(ConnectionFailed) as caught:
        within(connection, lambda session: session.call_tool("echo", {}))
    assert (caught.value.cause, caught.value.explanation.http_status) == ("session-lost", 404)


def test_a_refused_notification_is_told_in_the_log(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="mcpdoctor.connect"):
        failure(fault(lab, "open/rate-limited-after-initialize"))
    assert "notifications/initialized was not accepted: rate-limited" in caplog.text


def test_what_the_program_itself_raises_passes_as_it_is(lab: Lab) -> None:
    async def work(session: ClientSession) -> None:
        with contextlib.suppress(McpError):
            await session.call_tool(SIGNED, {})  # failed, and was got over
        raise KeyError("mine")

    with pytest.raises(BaseExceptionGroup) as caught:
        within(endpoint(lab.url("aws-mcp"), credential="none"), work)
    assert caught.value.subgroup(KeyError) is not None
    assert caught.value.subgroup(ConnectionFailed) is None


def test_an_error_of_a_tool_is_the_programs_business(lab: Lab) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        within(knowledge(lab), lambda session: session.read_resource("file:///nothing"))  # type: ignore[arg-type]
    assert caught.value.subgroup(McpError) is not None


def test_credentials_that_cannot_be_renewed_are_explained_and_nobody_waits(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Mapping[str, str]], None]
) -> None:
    keys = lab.env
    document = {
        "Version": 1,
        "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": "",
        "Expiration": "2030-01-01T00:00:00Z",
    }
    gone = tmp_path / "logged-out"
    process = tmp_path / "process.py"
    process.write_text(
        f"import pathlib, sys\nif pathlib.Path({str(gone)!r}).exists(): sys.exit('the login has expired')\n"
        f"print({json.dumps(document)!r})\n"
    )
    config = tmp_path / "config"
    config.write_text(f"[profile renewing]\ncredential_process = {sys.executable} {process}\n")
    use({"AWS_CONFIG_FILE": str(config)})

    from botocore.credentials import RefreshableCredentials

    async def work(session: ClientSession) -> str:
        gone.touch()
        # As if years had passed: they are about to expire from now on.
        monkeypatch.setattr(RefreshableCredentials, "refresh_needed", lambda *_, **__: True)
        with pytest.raises(McpError) as caught:
            await session.list_tools()
        return " ".join(str(caught.value).split())

    text = within(aws_mcp(url=lab.url("aws-mcp"), region="us-east-1", profile="renewing"), work)
    assert "the login has expired" in text


# secrets --------------------------------------------------------------------------------------------------------------


class Echo(BaseHTTPRequestHandler):
    """Refuses, and sends back all that it got; keeps what it got."""

    protocol_version = "HTTP/1.1"
    heard: list[str]
    packed = False
    leads_to = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.heard.append(str(self.headers))
        body = json.dumps({"message": f"Access denied for {self.headers}"}).encode()
        if self.packed:
            body = zlib.compress(body)
        self.send_response(307 if self.leads_to else 403)
        if self.leads_to:
            self.send_header("location", self.leads_to)
        self.send_header("content-type", "application/json")
        if self.packed:
            self.send_header("content-encoding", "deflate")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(**given: Any) -> Iterator[str]:
    """URL of a server that answers as `Echo` does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Given", (Echo,), given)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def echo(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[str]]]:
    heard: list[str] = []
    with serving(heard=heard, packed=request.param) as url:
        yield url, heard


def test_no_secret_is_in_a_failure_even_where_the_server_sends_them_back(
    lab: Lab, echo: tuple[str, list[str]], use: Callable[[Mapping[str, str]], None]
) -> None:
    url, heard = echo
    keys = lab.identities["session"]
    use(keys)
    failed = failure(endpoint(url, service="lambda", region="us-east-1", headers={"x-api-key": "hunter2-hunter2"}))
    assert "hunter2-hunter2" in heard[0]
    assert keys["AWS_SESSION_TOKEN"] in heard[0]
    signature = re.search(r"Signature=(\w+)", heard[0])
    assert signature is not None
    cause: Any = failed.__cause__
    shown = " ".join((str(failed), repr(cause), cause.response.text, repr(cause.request.headers)))
    assert "Access denied" in shown
    for secret in ("hunter2-hunter2", keys["AWS_SESSION_TOKEN"], keys["AWS_SECRET_ACCESS_KEY"], signature[1]):
        assert secret not in shown


def test_a_fallback_gets_nothing_that_was_meant_for_the_signed_endpoint(
    lab: Lab, echo: tuple[str, list[str]], use: Callable[[Mapping[str, str]], None]
) -> None:
    url, heard = echo
    keys = lab.identities["expired"]
    use(keys)
    connection = aws_mcp(url=lab.url("aws-mcp"), fallback=url, headers={"x-api-key": "hunter2-hunter2"})
    with pytest.warns(FallbackWarning):
        failure(connection)
    [head] = heard
    names = {line.partition(":")[0].lower() for line in head.splitlines() if line}
    assert names <= {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent", "connection"}


def test_a_redirect_takes_no_header_elsewhere(echo: tuple[str, list[str]]) -> None:
    url, heard = echo
    with serving(heard=[], leads_to=url) as first:
        failed = failure(endpoint(first, headers={"x-api-key": "hunter2-hunter2"}))
    assert failed.cause == "redirected"
    assert heard == []


def test_a_failure_survives_the_way_to_another_process(lab: Lab) -> None:
    failed = failure(fault(lab, "open/rate-limited"))
    there: ConnectionFailed = pickle.loads(pickle.dumps(failed))  # noqa: S301  # our own
    assert (str(there), there.cause) == (str(failed), failed.cause)


def test_the_package_has_it_without_another_import() -> None:
    code = "import mcpdoctor; mcpdoctor.connect.aws_knowledge()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_connection_shows_no_header_and_no_secret_of_its_url() -> None:
    url = "https://dev:hunter2-hunter2@x.example/mcp?api_key=hunter2-hunter2"
    connection = endpoint(url, headers={"x-api-key": "hunter2-hunter2"})
    assert "x.example" in repr(connection)
    assert "hunter2" not in repr(connection) + repr(connection._wanted)


def test_a_token_is_sent_and_one_that_is_not_there_is_told(
    echo: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = echo
    monkeypatch.setenv("AGENT_TOKEN", "opaque-token-of-16-and-more")
    failed = failure(endpoint(url, credential="bearer:AGENT_TOKEN"))
    assert "Bearer opaque-token-of-16-and-more" in heard[0]
    assert "opaque-token" not in str(failed)
    monkeypatch.delenv("AGENT_TOKEN")
    assert "AGENT_TOKEN" in str(failure(endpoint(url, credential="bearer:AGENT_TOKEN")))
    assert len(heard) == 1


# what is meant --------------------------------------------------------------------------------------------------------


def test_the_catalogue_says_what_stands_in_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-2")
    documentation = choose(Wanted(target="aws-knowledge", prefer_signed=True, fallback=True))
    assert documentation.cell.configuration.endpoint == "https://aws-mcp.eu-central-1.api.aws/mcp"
    assert documentation.cell.configuration.service == "aws-mcp"
    assert documentation.stand_in is not None
    assert documentation.stand_in.configuration.endpoint == "https://knowledge-mcp.global.api.aws"
    assert documentation.lost == ()
    everything = choose(Wanted(target="aws-mcp", fallback=True))
    assert SIGNED in everything.lost
    assert choose(Wanted(target="aws-mcp")).stand_in is None
    itself = choose(Wanted(target="aws-knowledge"))
    assert itself.cell.configuration.endpoint == "https://knowledge-mcp.global.api.aws"
    assert not itself.cell.configuration.signed


# frameworks and docs --------------------------------------------------------------------------------------------------


def test_fastmcp_takes_it_for_a_transport(lab: Lab, use: Callable[[Mapping[str, str]], None]) -> None:
    from fastmcp import Client

    async def main(connection: Connection) -> list[str]:
        async with Client(connection.for_fastmcp()) as client:
            return [tool.name for tool in await client.list_tools()]

    assert DOCUMENTATION in anyio.run(main, knowledge(lab))
    use({})
    with pytest.raises(RuntimeError, match="no-credentials: No AWS credentials found"):
        anyio.run(main, knowledge(lab, fallback=False))


PAGE = (Path(__file__).parents[1] / "docs" / "connect.md").read_text(encoding="utf-8")
PROGRAMS = [text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "for_" not in text]
PLAIN = [text for text in PROGRAMS if not re.search("strands|langchain|fastmcp", text)]
"""The others run in `make stacks`, with the frameworks that they are about."""


@pytest.fixture
def way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The names of AWS lead to the lab."""
    opened = Way(lab)
    monkeypatch.setenv("HTTPS_PROXY", opened.url)
    monkeypatch.setenv("SSL_CERT_FILE", lab.ca_bundle)
    yield
    opened.close()


@pytest.mark.usefixtures("way")
def test_the_programs_of_the_page_run_as_they_stand_there(
    capsys: pytest.CaptureFixture[str], use: Callable[[Mapping[str, str]], None], lab: Lab
) -> None:
    listing, refusing = PLAIN
    exec(listing, {})  # noqa: S102  # it is ours
    assert DOCUMENTATION in capsys.readouterr().out
    exec(refusing, {})  # noqa: S102
    use(lab.identities["expired"])
    with pytest.raises(ConnectionFailed, match=r"aws-mcp\.us-east-1\.api\.aws"):
        exec(refusing, {})  # noqa: S102
    assert capsys.readouterr().out.startswith("expired-credentials ")
