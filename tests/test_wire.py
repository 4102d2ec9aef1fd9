"""What goes over the wire goes where the run says, at its pace, and leaves a record that is safe and bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import re
import socket
import ssl
import urllib.request
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpdoctor import bodies, wire
from mcpdoctor.bodies import ResponseTooLarge, read_answer
from mcpdoctor.lab import Lab
from mcpdoctor.model import Exchange, Unusable
from mcpdoctor.network import Network, Route, parse_route, port_of, tls_context
from mcpdoctor.transcript import Transcript
from mcpdoctor.wire import Pacer, RecordingTransport, rpc_method

Answering = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
CONTEXT = tls_context(None)


def within_5_s(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine; what hangs fails."""

    async def limited() -> None:
        with anyio.fail_after(5):
            await work()

    anyio.run(limited)


@asynccontextmanager
async def listening(
    meet: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A server on 127.0.0.1 that leaves nothing behind; its port."""
    met: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met[asyncio.current_task()] = writer  # type: ignore[index]  # a server runs this in a task
        # The client goes away, or the test is over: then there is nobody to answer.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await meet(reader, writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        with anyio.CancelScope(shield=True):
            # A connection that was only just made has its task on the next turn of the loop.
            await anyio.lowlevel.checkpoint()
            for task, writer in met.items():
                task.cancel()
                writer.transport.abort()
            await asyncio.gather(*met, return_exceptions=True)
            for writer in met.values():
                with suppress(ConnectionError):
                    await writer.wait_closed()
            await server.wait_closed()


@asynccontextmanager
async def serving(answer: Answering, *, unasked: bool = False) -> AsyncIterator[int]:
    """A server that hands the head of every request to `answer`, once it has the body; its port.

    With `unasked` it answers before it has read anything.
    """

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if unasked:
            await answer(b"", writer)
            writer.close()
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(size[1]) if size else 0)
            await answer(head, writer)
            await writer.drain()

    async with listening(meet) as port:
        yield port


def saying(body: bytes, *headers: str, status: str = "200 OK") -> Answering:
    """Answers every request with the same."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers])
        writer.write(head.encode() + b"\r\n\r\n" + body)

    return answer


def pouring(piece: bytes, *headers: str) -> Answering:
    """Answers with a body without end."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(["HTTP/1.1 200 OK", "connection: close", *headers]).encode() + b"\r\n\r\n")
        while True:
            writer.write(piece)
            await writer.drain()

    return answer


async def at_once(_: bool) -> float:
    """A pace that lets everything through."""
    return 0.0


@asynccontextmanager
async def client_for(
    port: int, *, transcript: Transcript, host: str = "api.example", **given: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose `http://api.example` is the local port."""
    route = Route(host, 80, "127.0.0.1", port)
    network = Network(context=CONTEXT, routes={(host, 80): route})
    transport = RecordingTransport(network, transcript, given.pop("pace", at_once), **given)
    async with httpx.AsyncClient(transport=transport) as client:
        yield client


def ask(answer: Answering, *, url: str = "http://api.example/mcp", **given: Any) -> Transcript:
    """GET `url` from a server that answers so; what was recorded."""
    transcript = Transcript()

    async def work() -> None:
        async with serving(answer) as port, client_for(port, transcript=transcript, **given) as client:
            await client.get(url)

    within_5_s(work)
    return transcript


# routes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("api.example:443:127.0.0.1:8443", Route("api.example", 443, "127.0.0.1", 8443)),
        ("API.Example:443:Localhost:1", Route("api.example", 443, "Localhost", 1)),
        ("api.example:443:[::1]:8443", Route("api.example", 443, "::1", 8443)),
        ("[2001:db8::1]:443:[::1]:65535", Route("2001:db8::1", 443, "::1", 65535)),
    ],
)
def test_a_route_is_read_as_curl_writes_it(text: str, route: Route) -> None:
    assert parse_route(text) == route


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.example",
        "api.example:443",
        "api.example:443:127.0.0.1",
        ":443:127.0.0.1:8443",
        "api.example::127.0.0.1:8443",
        "api.example:443::8443",
        "api.example:0:127.0.0.1:8443",
        "api.example:443:127.0.0.1:65536",
        "api.example:443:127.0.0.1:123456",
        "api.example:https:127.0.0.1:8443",
        "2001:db8::1:443:127.0.0.1:8443",
        "api.example:443:127.0.0.1:8443:",
        "api.example:443:127.0.0.1:8443\n",
        "api.example:-1:127.0.0.1:8443",
    ],
)
def test_what_is_no_route_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(Unusable, match=r"is no route; write HOST:PORT:HOST2:PORT2, such as"):
        parse_route(text)


def test_a_refused_route_cannot_harm_the_terminal() -> None:
    with pytest.raises(Unusable) as refused:
        parse_route("\x1b[31m" + "x" * 5000)
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://x/mcp", 443), ("http://x", 80), ("https://x:8443", 8443), ("http://[::1]:81/", 81)],
)
def test_a_port_is_that_of_the_url_or_of_its_scheme(url: str, port: int) -> None:
    assert port_of(url) == port


# look-up --------------------------------------------------------------------------------------------------------------


def test_a_routed_name_is_not_looked_up() -> None:
    network = Network(context=CONTEXT, routes={("api.example", 443): Route("api.example", 443, "127.0.0.1", 8443)})
    assert network.look_up("api.example", 443) == ("127.0.0.1",)
    assert network.targets("api.example", 443) == (("127.0.0.1", 8443),)
    assert network.look_ups == []


def test_a_sealed_network_knows_no_names_but_its_own() -> None:
    network = Network(context=CONTEXT, sealed=True)
    with pytest.raises(socket.gaierror) as raised:
        network.look_up("localhost", 443)
    assert raised.value.errno == socket.EAI_NONAME
    assert network.look_ups == []
    assert network.look_up("127.0.0.1", 443) == ("127.0.0.1",)


def test_a_name_is_looked_up_once_and_each_address_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append((host, port))
        return [(0, 0, 0, "", (address, port)) for address in ("2001:db8::1", "192.0.2.1", "192.0.2.1")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    network = Network(context=CONTEXT)
    assert network.look_up("api.example", 443) == ("2001:db8::1", "192.0.2.1")
    assert network.look_up("api.example", 8443) == ("2001:db8::1", "192.0.2.1")
    assert asked == [("api.example", 443)]
    assert network.look_ups == ["api.example"]
    assert network.targets("api.example", 8443) == (("2001:db8::1", 8443), ("192.0.2.1", 8443))


# proxies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://own:1"}, "http://own:1"),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "other.test, .example"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "pi.example"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.test"}, "http://p:1"),
    ],
)
def test_the_proxy_is_the_one_that_the_environment_prescribes(environ: dict[str, str], proxy: str | None) -> None:
    assert Network(context=CONTEXT, environ=environ).proxy_for("https://api.example/mcp") == proxy


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTPS_PROXY": "http://p:1"},
        {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"},
        {"HTTPS_PROXY": "http://upper:1", "https_proxy": ""},
        {"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:1"},
    ],
)
def test_the_environment_is_read_as_httpx_reads_it(monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    proxies = urllib.request.getproxies_environment()  # what httpx asks
    expected = proxies.get("https") or proxies.get("all")
    assert Network(context=CONTEXT, environ=environ).proxy_for("https://api.example/mcp") == expected


def test_a_routed_or_sealed_host_goes_through_no_proxy() -> None:
    environ = {"HTTPS_PROXY": "http://p:1"}
    route = Route("api.example", 443, "127.0.0.1", 8443)
    routed = Network(context=CONTEXT, environ=environ, routes={("api.example", 443): route})
    assert routed.proxy_for("https://api.example/mcp") is None
    assert routed.proxy_for("https://api.example:444/mcp") == "http://p:1"
    assert Network(context=CONTEXT, environ=environ, sealed=True).proxy_for("https://api.example/mcp") is None


def test_a_request_goes_through_the_proxy_and_keeps_its_name(lab: Lab) -> None:
    transcript, asked = Transcript(), list[bytes]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        back, onward = await asyncio.open_connection("127.0.0.1", lab.https_port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(pump, back, writer)
                await pump(reader, onward)
                group.cancel_scope.cancel()
        finally:
            onward.transport.abort()
            with anyio.CancelScope(shield=True):
                await onward.wait_closed()

    async def work() -> None:
        async with listening(tunnel) as port:
            environ = {"HTTPS_PROXY": f"http://user:proxy-password@127.0.0.1:{port}"}
            network = Network(context=tls_context(lab.ca_bundle), environ=environ)
            proxy = network.proxy_for("https://lab.test/mcp")
            transport = RecordingTransport(network, transcript, at_once, proxy=proxy)
            async with httpx.AsyncClient(transport=transport) as client:
                response = await client.get("https://lab.test/fault/http/not-found/mcp")
            assert response.status_code == 404

    within_5_s(work)
    assert asked == [b"CONNECT lab.test:443 HTTP/1.1"]
    assert [(one.url, one.status) for one in transcript.exchanges] == [
        ("https://lab.test/fault/http/not-found/mcp", 404)
    ]
    assert set(transcript.events) == {"connect_tcp", "start_tls"}
    assert transcript.peer["certificate_issuer"] == "mcpdoctor lab (throw-away)"


# TLS context ----------------------------------------------------------------------------------------------------------


def test_a_bundle_adds_its_authorities_to_the_usual_ones(lab: Lab) -> None:
    usual = {str(one["subject"]) for one in tls_context(None).get_ca_certs()}
    more = {str(one["subject"]) for one in tls_context(lab.ca_bundle).get_ca_certs()}
    assert usual < more
    assert len(more - usual) == 2  # that of the lab, and that of its gateway


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_that_holds_no_certificate_is_refused(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(Unusable, match=r"^--ca-bundle .*ca\.pem: not a readable file of PEM certificates \(.+\)\.$"):
        tls_context(str(bundle))


# pace -----------------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that stands still unless somebody sleeps by it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.now += seconds


def sent_at(per_s: float | None, gaps: list[float], *, together: bool) -> list[float]:
    """When a pacer let requests go that came `gaps` seconds apart, or all at once."""
    clock, sent = Clock(), list[float]()

    async def send(pacer: Pacer) -> None:
        await pacer.wait()
        sent.append(clock())

    async def work() -> None:
        pacer = Pacer(per_s, clock)
        if together:
            async with anyio.create_task_group() as group:
                for _ in gaps:
                    group.start_soon(send, pacer)
            return
        for gap in gaps:
            clock.now += gap
            await send(pacer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio, "sleep", clock.sleep)
        anyio.run(work)
    return sent


@given(
    per_s=st.floats(0.05, 40) | st.integers(1, 20).map(float),
    gaps=st.lists(st.floats(0, 1.5) | st.just(0.0), max_size=50),
    together=st.booleans(),
)
@settings(deadline=None)
def test_no_window_holds_more_requests_than_the_quota(per_s: float, gaps: list[float], together: bool) -> None:
    sent = sent_at(per_s, gaps, together=together)
    window, most = (1.0, per_s) if per_s >= 1 else (1.0 / per_s, 1.0)
    assert sorted(sent) == sent
    assert len(sent) == len(gaps)
    assert [start for start in sent if sum(start <= one < start + window for one in sent) > most] == []


def test_a_pace_is_no_slower_than_it_must_be() -> None:
    assert sent_at(10, [0.0] * 19, together=True) == pytest.approx([1000.0] * 9 + [1001.05] * 9 + [1002.1])
    assert sent_at(10, [0.2] * 20, together=False) == pytest.approx([1000 + 0.2 * n for n in range(1, 21)])


def test_without_a_quota_nobody_waits() -> None:
    assert sent_at(None, [0.0] * 50, together=True) == [1000.0] * 50


def test_waiting_tells_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waited = Clock(), list[float]()

    async def work() -> None:
        pacer = Pacer(1, clock)
        waited.extend([await pacer.wait() for _ in range(3)])

    monkeypatch.setattr(anyio, "sleep", clock.sleep)
    anyio.run(work)
    assert waited == pytest.approx([0.0, 1.05, 1.05])


def test_somebody_who_gives_up_waiting_does_not_open_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = Clock(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            await anyio.Event().wait()
        clock.now += seconds

    async def work() -> None:
        pacer = Pacer(1, clock)
        await pacer.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(pacer.wait)
            while not slept:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        await pacer.wait()

    monkeypatch.setattr(anyio, "sleep", sleep)
    within_5_s(work)
    assert clock.now == pytest.approx(1001.05)


# the record -----------------------------------------------------------------------------------------------------------


def test_an_exchange_is_recorded_with_what_was_asked_and_answered() -> None:
    transcript = Transcript()

    async def work() -> None:
        answer = saying(b'{"ok":1}', "content-type: application/json", status="418 Teapot")
        async with serving(answer) as port, client_for(port, transcript=transcript) as client:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            await client.post("http://user:secret@api.example/mcp?x=1", content=body)

    within_5_s(work)
    (exchange,) = transcript.exchanges
    assert (exchange.method, exchange.url) == ("POST", "http://api.example/mcp?x=1")
    assert (exchange.status, exchange.rpc_method, exchange.body_size) == (418, "tools/list", 8)
    assert exchange.body == '{"ok":1}'
    assert exchange.headers == {"content-length": "8", "content-type": "application/json"}
    assert transcript.last_body == b'{"ok":1}'


def test_of_the_headers_only_those_are_kept_that_explain_and_none_that_open_doors() -> None:
    session = "1868a90c-4f2a-4d3e-9a3e-secretsecret"
    transcript = ask(
        saying(
            b"",
            "x-amzn-RequestId: r-1",
            "Set-Cookie: session=abcdefgh",
            "X-Internal: yes",
            f"Mcp-Session-Id: {session}",
            "Location: https://portal.example/login?token=abcdefghijkl",
            "WWW-Authenticate: Bearer realm=x",
        )
    )
    headers = transcript.exchanges[0].headers
    assert set(headers) == {"content-length", "x-amzn-requestid", "mcp-session-id", "location", "www-authenticate"}
    assert headers["mcp-session-id"] == "1868a90c…"
    assert headers["location"] == "https://portal.example/login?token=[redacted]"
    assert transcript.last_headers["mcp-session-id"] == session


def test_the_secrets_of_a_caller_are_masked_wherever_they_come_back() -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
    transcript = ask(
        saying(json.dumps({"message": f"bad key {secret}", "url": f"/?k={secret.replace('/', '%2F')}"}).encode()),
        url=f"http://api.example/{secret}",
        secrets=(secret,),
    )
    (exchange,) = transcript.exchanges
    assert exchange.body == '{"message": "bad key [redacted]", "url": "/?k=[redacted]"}'
    assert exchange.url == "http://api.example/[redacted]"


def test_another_transcript_and_other_secrets_can_be_used_from_then_on() -> None:
    first, second = Transcript(), Transcript()

    async def work() -> None:
        async with serving(saying(b"first-secret second-secret")) as port:
            network = Network(context=CONTEXT, routes={("api.example", 80): Route("", 0, "127.0.0.1", port)})
            transport = RecordingTransport(network, first, at_once, secrets=("first-secret",), single=True)
            async with httpx.AsyncClient(transport=transport) as client:
                await client.get("http://api.example/1")
                transport.use(second, ("second-secret",))
                await client.get("http://api.example/2")

    within_5_s(work)
    assert [one.body for one in first.exchanges] == ["[redacted] second-secret"]
    assert [one.body for one in second.exchanges] == ["first-secret [redacted]"]
    assert set(first.events) == {"connect_tcp"}
    assert second.events == {}  # the connection was kept


def test_of_a_long_body_the_record_keeps_the_beginning_and_the_transcript_all() -> None:
    transcript = ask(saying(b"abcde " * 10_000))
    (exchange,) = transcript.exchanges
    assert exchange.body is not None
    assert exchange.body.startswith("abcde abcde")
    assert len(exchange.body) < wire.KEPT_BODY + 50
    assert exchange.body_size == 60_000
    assert len(transcript.last_body) == 60_000


def test_a_body_that_is_no_text_is_recorded_all_the_same() -> None:
    transcript = ask(saying(b"\xff\xfe\x00\x1b[31m"))
    assert transcript.exchanges[0].body == "\ufffd\ufffd"
    assert transcript.last_body == b"\xff\xfe\x00\x1b[31m"


def test_a_request_without_an_answer_is_recorded_without_a_status() -> None:
    transcript = Transcript()

    async def drop(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def work() -> None:
        async with serving(drop) as port, client_for(port, transcript=transcript) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("http://api.example/")

    within_5_s(work)
    (exchange,) = transcript.exchanges
    assert (exchange.status, exchange.body, exchange.headers) == (None, None, {})
    assert exchange == Exchange(method="GET", url="http://api.example/", elapsed_s=exchange.elapsed_s)


@pytest.mark.parametrize(
    ("content", "method"),
    [
        (b'{"method":"initialize"}', "initialize"),
        (b'{"method":5}', None),
        (b'[{"method":"initialize"}]', None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_the_rpc_method_is_read_off_the_body(content: bytes, method: str | None) -> None:
    assert rpc_method(httpx.Request("POST", "http://x/", content=content)) == method


def test_a_request_whose_body_streams_has_no_rpc_method() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{}"  # pragma: no cover  # nobody reads it

    assert rpc_method(httpx.Request("POST", "http://x/", content=body())) is None


def test_the_pace_is_asked_before_every_request_and_stops_the_clock_of_the_stage() -> None:
    asked, transcript = list[tuple[bool, float]](), Transcript()

    async def pace(signed: bool) -> float:
        assert transcript.scope is not None
        asked.append((signed, transcript.scope.deadline))
        return 7.0

    async def work() -> None:
        async with serving(saying(b"")) as port, client_for(port, transcript=transcript, pace=pace) as client:
            with anyio.CancelScope(deadline=anyio.current_time() + 100) as transcript.scope:
                await client.get("http://api.example/")
                await client.get("http://api.example/", headers={"authorization": "AWS4-HMAC-SHA256 x"})
                assert 90 < transcript.scope.deadline - anyio.current_time() <= 100

    within_5_s(work)
    assert asked == [(False, math.inf), (True, math.inf)]
    assert transcript.waited_s == 14.0


def test_two_requests_that_wait_at_a_time_leave_the_stage_its_deadline() -> None:
    transcript, second = Transcript(), anyio.Event()

    async def pace(signed: bool) -> float:
        if signed:
            second.set()
            for _ in range(10):  # the first one goes on before the second
                await anyio.lowlevel.checkpoint()
        await second.wait()
        return 0.0

    async def work() -> None:
        async with serving(saying(b"")) as port, client_for(port, transcript=transcript, pace=pace) as client:
            with anyio.CancelScope(deadline=anyio.current_time() + 100) as transcript.scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.get, "http://api.example/1")
                    await anyio.lowlevel.checkpoint()
                    headers = {"authorization": "AWS4-HMAC-SHA256 x"}
                    group.start_soon(partial(client.get, "http://api.example/2", headers=headers))
                assert transcript.scope.deadline < math.inf

    within_5_s(work)
    assert [one.status for one in transcript.exchanges] == [200, 200]


def test_a_wait_of_our_own_that_outlasts_the_stage_is_no_timeout() -> None:
    transcript = Transcript()

    async def pace(_: bool) -> float:
        await anyio.sleep(1.2)
        return 1.2

    async def work() -> None:
        async with serving(saying(b"")) as port, client_for(port, transcript=transcript, pace=pace) as client:
            with anyio.move_on_after(1) as transcript.scope:
                await client.get("http://api.example/")

    within_5_s(work)
    assert [one.status for one in transcript.exchanges] == [200]


# bounds ---------------------------------------------------------------------------------------------------------------


def too_large(answer: Answering, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    monkeypatch.setattr(bodies, "MAX_BODY", 300_000)
    transcript = Transcript()

    async def work() -> None:
        async with serving(answer) as port, client_for(port, transcript=transcript) as client:
            with pytest.raises(ResponseTooLarge):
                await client.get("http://api.example/")

    within_5_s(work)
    return transcript


def test_a_body_without_end_is_read_to_the_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = too_large(pouring(b"x" * 10_000), monkeypatch)
    (exchange,) = transcript.exchanges
    assert exchange.status == 200
    assert 200_000 < exchange.body_size <= 300_000


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "GZIP"])
def test_a_bomb_is_unpacked_to_the_limit_only(monkeypatch: pytest.MonkeyPatch, coding: str) -> None:
    bomb = (zlib.compress if coding == "deflate" else gzip.compress)(bytes(50 * 2**20))
    assert len(bomb) < 100_000
    transcript = too_large(saying(bomb, f"content-encoding: {coding}"), monkeypatch)
    assert 200_000 < transcript.exchanges[0].body_size <= 300_000


def test_the_limit_is_an_error_of_the_transport_so_that_clients_can_handle_it() -> None:
    assert issubclass(ResponseTooLarge, httpx.TransportError)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 400_000])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_was_packed_arrives_whole(size: int, coding: str) -> None:
    body = (b"ab" * size)[:size]
    packed = (zlib.compress if coding == "deflate" else gzip.compress)(body)
    received = list[httpx.Response]()

    async def work() -> None:
        answer = saying(packed, f"content-encoding: {coding}")
        async with serving(answer) as port, client_for(port, transcript=Transcript()) as client:
            received.append(await client.get("http://api.example/"))

    within_5_s(work)
    assert received[0].content == body
    assert "content-encoding" not in received[0].headers


def test_what_is_not_packed_as_it_says_is_an_error_of_decoding() -> None:
    transcript = Transcript()

    async def work() -> None:
        answer = saying(b"not packed at all", "content-encoding: gzip")
        async with serving(answer) as port, client_for(port, transcript=transcript) as client:
            with pytest.raises(httpx.DecodingError, match="not what its content-encoding says"):
                await client.get("http://api.example/")

    within_5_s(work)
    assert [one.status for one in transcript.exchanges] == [200]


# event streams --------------------------------------------------------------------------------------------------------


def stream(*pieces: bytes, ends: bool) -> Answering:
    """An event stream in pieces, that ends or stays open."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if ends:
            writer.close()
        else:
            await asyncio.Event().wait()

    return answer


def listen(answer: Answering, request_id: object = 1) -> Transcript:
    transcript = Transcript()

    async def work() -> None:
        async with (
            serving(answer) as port,
            client_for(port, transcript=transcript) as client,
            client.stream("GET", "http://api.example/") as response,
        ):
            await read_answer(response, request_id)

    within_5_s(work)
    return transcript


@pytest.mark.parametrize(
    "answer",
    [
        b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n',
        b'event: message\r\ndata:{"id":1}\r\n\r\n',
        b'data: {"jsonrpc":"2.0","id":null,"error":{"code":-32600}}\n\n',
    ],
)
def test_reading_an_event_stream_stops_after_the_answer(answer: bytes) -> None:
    before = b": ping\n\ndata: not json\n\ndata: [1]\n\n" + b'data: {"id":2,"result":{}}\n\n'
    transcript = listen(stream(before, answer[:11], answer[11:], ends=False))
    assert transcript.last_body == before + answer
    assert [one.status for one in transcript.exchanges] == [200]


def test_an_event_stream_without_an_answer_is_read_to_its_end() -> None:
    text = b'data: {"id":2,"result":{}}\n\n: the end\n\n'
    assert listen(stream(text, ends=True)).last_body == text


def test_an_event_stream_that_never_answers_is_waited_for() -> None:
    async def work() -> None:
        async with (
            serving(stream(b": ping\n\n", ends=False)) as port,
            client_for(port, transcript=Transcript()) as client,
            client.stream("GET", "http://api.example/") as response,
        ):
            with anyio.move_on_after(0.4) as waiting:  # longer than a stream is given to end
                await read_answer(response, 1)
        assert waiting.cancelled_caught

    within_5_s(work)


# connections ----------------------------------------------------------------------------------------------------------


def connect(addresses: tuple[str, ...], scheme: str = "http") -> tuple[Transcript, httpx.HTTPError | None]:
    """GET a name with these addresses; what was recorded, and what was raised."""
    transcript, raised = Transcript(), list[httpx.HTTPError]()

    async def work() -> None:
        async with serving(saying(b"", status="400 Bad Request"), unasked=scheme == "https") as port:
            network = Network(context=CONTEXT, addresses={"api.example": addresses})
            transport = RecordingTransport(network, transcript, at_once)
            async with httpx.AsyncClient(transport=transport) as client:
                try:
                    await client.get(f"{scheme}://api.example:{port}/")
                except httpx.HTTPError as error:
                    raised.append(error)

    within_5_s(work)
    return transcript, raised[0] if raised else None


def test_an_address_that_does_not_answer_leads_to_the_next_one() -> None:
    transcript, error = connect(("::1", "127.0.0.1"))
    assert error is None
    assert transcript.address == "127.0.0.1"
    assert [(one.status, one.url.split(":")[1]) for one in transcript.exchanges] == [(400, "//api.example")]
    assert transcript.failed == set()


def test_where_no_address_answers_the_last_failure_is_raised() -> None:
    transcript, error = connect(("::1", "::1"))
    assert isinstance(error, httpx.ConnectError)
    assert transcript.failed == {"connect_tcp"}
    assert transcript.seconds("start_tls") == 0.0
    assert [one.status for one in transcript.exchanges] == [None]


def test_a_refused_handshake_is_an_answer_and_leads_to_no_other_address() -> None:
    transcript, error = connect(("127.0.0.1", "::1"), "https")
    assert isinstance(error, httpx.ConnectError)
    assert transcript.address == "127.0.0.1"
    assert transcript.failed == {"start_tls"}
    assert transcript.seconds("connect_tcp") > 0


def test_the_host_header_is_the_name_and_not_the_address() -> None:
    heads = list[bytes]()

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        await saying(b"")(head, writer)

    ask(answer)
    assert [line for line in heads[0].lower().split(b"\r\n") if line.startswith(b"host:")] == [b"host: api.example"]


def lab_get(lab: Lab, host: str, transcript: Transcript, *, times: int = 1, single: bool = False) -> None:
    async def work() -> None:
        routes = {(route.host, route.port): route for route in map(parse_route, lab.connect_to)}
        network = Network(context=tls_context(lab.ca_bundle), routes=routes, sealed=True)
        transport = RecordingTransport(network, transcript, at_once, single=single)
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(times):
                await client.get(f"https://{host}/fault/http/not-found/mcp")

    within_5_s(work)


def test_connecting_and_the_handshake_are_timed_and_the_peer_is_named(lab: Lab) -> None:
    transcript = Transcript()
    lab_get(lab, "lab.test", transcript)
    assert transcript.seconds("connect_tcp") > 0
    assert transcript.seconds("start_tls") > 0
    assert transcript.peer["tls_version"] in {"TLSv1.2", "TLSv1.3"}
    assert transcript.peer["certificate_issuer"] == "mcpdoctor lab (throw-away)"
    assert transcript.peer["certificate_expires"].endswith("GMT")
    assert transcript.address == "127.0.0.1"


def test_the_certificate_must_be_for_the_name_in_the_url(lab: Lab) -> None:
    transcript = Transcript()
    with pytest.raises(httpx.ConnectError, match=r"(?i)hostname mismatch"):
        lab_get(lab, "wrong-name.lab.test", transcript)
    assert transcript.failed == {"start_tls"}
    assert transcript.peer == {}


def test_one_connection_serves_many_requests(lab: Lab) -> None:
    before = lab.tls_handshakes["lab.test"]
    transcript = Transcript()
    lab_get(lab, "lab.test", transcript, times=3, single=True)
    assert [one.status for one in transcript.exchanges] == [404] * 3
    assert lab.tls_handshakes["lab.test"] - before == 1


def test_a_context_without_the_authority_of_the_lab_does_not_trust_it(lab: Lab) -> None:
    async def work() -> None:
        route = Route("lab.test", 443, "127.0.0.1", lab.https_port)
        network = Network(context=CONTEXT, routes={("lab.test", 443): route})
        async with httpx.AsyncClient(transport=RecordingTransport(network, Transcript(), at_once)) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get("https://lab.test/")

    within_5_s(work)
    assert CONTEXT.verify_mode is ssl.CERT_REQUIRED
