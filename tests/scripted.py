"""An MCP server that does what a test says, request by request, and counts what really came over the wire."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import trustme

from mcpdoctor.catalogue import load
from mcpdoctor.ceiling import Action
from mcpdoctor.ceiling.sessions import Sessions, Way
from mcpdoctor.network import Network, tls_context
from mcpdoctor.probes import load_client
from mcpdoctor.samples import Sample

CONTEXT = tls_context(None, needed=False)
CATALOGUE = load()
TOOL = {"name": "echo", "inputSchema": {"type": "object"}}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    headers: Mapping[str, str]
    body: bytes
    peer: str
    at_s: float

    @property
    def rpc(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}

    @property
    def what(self) -> str:
        """The JSON-RPC method of a POST, else the HTTP method."""
        return str(self.rpc.get("method")) if self.method == "POST" else self.method


Answer = bytes | Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]]
"""What is sent back; or what does it, and may return the rest."""


def http(status: int = 200, body: bytes | str | object = b"", **headers: str) -> bytes:
    """One HTTP response; what is neither bytes nor text is sent as JSON."""
    if not isinstance(body, bytes | str):
        headers, body = {"content_type": "application/json", **headers}, json.dumps(body)
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def result(asked: Asked, given: object, **headers: str) -> bytes:
    return http(200, {"jsonrpc": "2.0", "id": asked.rpc.get("id"), "result": given}, **headers)


def error(asked: Asked, code: int, message: str, status: int = 200, **headers: str) -> bytes:
    wrong = {"code": code, "message": message}
    return http(status, {"jsonrpc": "2.0", "id": asked.rpc.get("id"), "error": wrong}, **headers)


async def stand(_: Asked, writer: asyncio.StreamWriter) -> None:
    """A stream that stands until its reader goes."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: ping\n\n")
    await hang(_, writer)


async def hang(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Say nothing more."""
    with suppress(ConnectionError):
        await writer.drain()
    await anyio.sleep_forever()


async def reset(_: Asked, writer: asyncio.StreamWriter) -> None:
    """Cut the connection without a word."""
    writer.transport.abort()


def late(seconds: float, then: Answer | None = None) -> Answer:
    """The usual answer, or another one, after a while."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        await anyio.sleep(seconds)
        return await spoken(then or usual(asked), asked, writer)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """One after another; the last one for good."""
    left = list(answers)

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        return await spoken(left.pop(0) if len(left) > 1 else left[0], asked, writer)

    return answer


def tunnel(delay_s: Callable[[int], float]) -> tuple[Answer, ssl.SSLContext]:
    """A proxy that is also the server behind itself, `https://endpoint.test`; and what trusts that.

    Args:
        delay_s: how long it takes for each tunnel, by their number from 0.
    """
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("endpoint.test", "127.0.0.1").configure_cert(server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    count = itertools.count()

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s(next(count)))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await writer.start_tls(server)

    return answer, context


async def as_usual(asked: Asked, _: asyncio.StreamWriter) -> bytes:
    return usual(asked)


async def spoken(answer: Answer, asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    return answer if isinstance(answer, bytes) else await answer(asked, writer)


_numbers = itertools.count(1)


def usual(asked: Asked) -> bytes:
    """What a healthy server says."""
    match asked.what:
        case "initialize":
            capable = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
            return result(asked, capable, mcp_session_id=f"session-{next(_numbers)}")
        case "tools/list":
            return result(asked, {"tools": [TOOL]})
        case "tools/call":
            return result(asked, {"content": [{"type": "text", "text": "hello"}]})
        case "DELETE":
            return http(200)
        case "GET":
            return http(405)
        case _:
            return http(202)


@dataclass(kw_only=True)
class Script:
    """A server: what it says, by JSON-RPC method (`GET` and `DELETE` for these); what is not named is as usual.

    Attributes:
        asked: every request that came in whole, in order.
        together: the most calls that were in flight at a time.
        port: where it listens.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    together: int = 0
    port: int = 0
    server: asyncio.Server | None = None
    _calls: int = 0
    _met: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/mcp"

    def count(self, what: str) -> int:
        return sum(one.what == what for one in self.asked)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Script]:
        """Serve, and leave nothing behind."""
        server = self.server = await asyncio.start_server(self._take, "127.0.0.1", self.port, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                await self.cut()
                await server.wait_closed()

    async def die(self) -> None:
        """Stop listening, and cut every connection."""
        assert self.server is not None
        self.server.close()
        await self.cut()

    async def cut(self) -> None:
        """Cut every connection."""
        met, self._met = self._met, {}
        for task, writer in met.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*met, return_exceptions=True)
        for writer in met.values():
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._met[asyncio.current_task()] = writer  # type: ignore[index]  # a server runs this in a task
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.transport.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                size = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(size[1]) if size else 0)
                await self._answer(head.decode(), body, writer)
        writer.transport.abort()

    async def _answer(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        peer = str(writer.get_extra_info("peername")[0])
        asked = Asked(method=first.split()[0], headers=headers, body=body, peer=peer, at_s=time.monotonic())
        self.asked.append(asked)
        is_call = asked.what.startswith("tools/")
        self._calls += is_call
        self.together = max(self.together, self._calls)
        try:
            said = await spoken(self.answers.get(asked.what, as_usual), asked, writer)
        finally:
            self._calls -= is_call
        if said is not None:
            writer.write(said)
            await writer.drain()


@asynccontextmanager
async def sessions(script: Script, **given: Any) -> AsyncIterator[Sessions]:
    """What carries actions out against a script, closed at the end; no task may be left."""
    load_client()
    given = {name: value() if callable(value) else value for name, value in given.items()}
    network = Network(context=given.pop("context", CONTEXT), environ=given.pop("environ", {}))
    way = Way(
        **{"url": script.url, "signer": None, "network": network, "catalogue": CATALOGUE, "timeout_s": 5, **given}
    )
    before = asyncio.all_tasks()
    hands = Sessions(way)
    try:
        yield hands
    finally:
        await hands.aclose()
        await anyio.lowlevel.checkpoint()
        left = [one for one in asyncio.all_tasks() - before if "Script." not in str(one.get_coro())]
        assert left == [], "a task was left behind"


def play(script: Script, *actions: Action, lost: int = 0, **given: Any) -> list[list[Sample]]:
    """Carry actions out against a script: the samples of each, and at last those of closing what was open.

    There is one sample for each request that came over the wire, and no other but those that are `lost`: of a session
    that is gone, or of a connection that could not be made.
    """

    async def run() -> list[list[Sample]]:
        with anyio.fail_after(20):
            async with script.serving():
                async with sessions(script, **given) as hands:
                    found = [await hands.perform(one) for one in actions]
                return [*found, hands.collect()]

    samples = anyio.run(run)
    counted = [one for found in samples for one in found]
    over_the_wire = [one.what for one in script.asked if one.method != "CONNECT"]
    assert len(counted) - lost == len(over_the_wire), (briefly(counted), over_the_wire)
    assert all(one.sent_s <= one.received_s for one in counted)
    return samples


def briefly(samples: Iterable[Sample]) -> list[str]:
    """Samples in short: operation, outcome, and why."""
    return [
        " ".join(filter(None, [one.operation.value, one.outcome.value, one.layer, str(one.code or ""), one.error]))
        for one in samples
    ]
