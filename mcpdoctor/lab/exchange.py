"""One request on its way through the lab: read it, log it, answer it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from time import time

from mcpdoctor.lab.messages import Answer, Drop, Headers, Raw, Reaction, Request, Silence
from mcpdoctor.lab.servers import Message, Receive, Scope, Send

MOST_BYTES = 8 * 1024 * 1024
_MOMENT_S = 0.05


@dataclass(slots=True, kw_only=True)
class Seen:
    """A line of the lab's log.

    Attributes:
        time: When the request had arrived, in seconds of the epoch.
        host: The `Host` header without its port.
        port: The port it came to, 0 when unknown.
        path: The path as on the wire, without the query.
        method: The HTTP method.
        rpc_method: The JSON-RPC method, None when there was none.
        tool: The tool that was called, if one was.
        signed: Whether it had a SigV4 signature; not whether that was right.
        status: The HTTP status; None while (or because) there was no answer.
    """

    time: float
    host: str
    port: int
    path: str
    method: str
    rpc_method: str | None
    tool: str | None
    signed: bool
    status: int | None = None


class Exchange:
    """One request and its answer.

    Args:
        scope: The ASGI scope.
        receive: The ASGI channel to the client.
        send: The ASGI channel from the client.
        request: The request, read whole.
        latency_s: Seconds to wait before the answer begins.
    """

    def __init__(self, *, scope: Scope, receive: Receive, send: Send, request: Request, latency_s: float) -> None:
        self.request = request
        self.clock_shift_s = 0.0
        self.seen = Seen(
            time=time(),
            host=request.host,
            port=(scope.get("server") or ("", 0))[1] or 0,
            path=request.path,
            method=request.method,
            rpc_method=request.rpc_method,
            tool=request.tool,
            signed=(request.header("authorization") or "").startswith("AWS4-"),
        )
        self._scope, self._receive, self._send = scope, receive, send
        self._latency_s = latency_s
        self._id: Headers = ()
        self._added: Headers = ()
        self._said = bytearray()
        self._sent: Headers = ()
        self._at_end: Callable[[], None] | None = None

    @classmethod
    async def read(cls, scope: Scope, receive: Receive, send: Send, *, latency_s: float) -> Exchange | None:
        """Read a request to its end; None when the client left or sent more than anybody should."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > MOST_BYTES:
                await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
                await send({"type": "http.response.body", "body": b""})
                return None
            if not message.get("more_body", False):
                break
        headers = tuple((_text(name), _text(value)) for name, value in scope["headers"])
        authority = next((value for name, value in headers if name == "host"), "")
        host = authority.rsplit(":", 1)[0] if authority.rsplit(":", 1)[-1].isdigit() else authority
        request = Request(
            method=scope["method"],
            scheme=scope["scheme"],
            host=host.lower(),
            authority=authority,
            path=_text(scope.get("raw_path") or scope["path"].encode()),
            query=_text(scope["query_string"]),
            headers=headers,
            body=bytes(body),
            client=(scope.get("client") or ("", 0))[0],
        )
        return cls(scope=scope, receive=receive, send=send, request=request, latency_s=latency_s)

    @property
    def status(self) -> int | None:
        """The status that was sent."""
        return self.seen.status

    @property
    def succeeded(self) -> bool:
        """Whether the application that the request was forwarded to answered with a JSON-RPC result."""
        try:
            said = json.loads(self._said)
        except ValueError:
            return False
        return self.status == HTTPStatus.OK and isinstance(said, dict) and "result" in said

    def add_id(self, headers: Headers) -> None:
        """Give the answer an id, unless it comes with one of its own."""
        self._id = headers

    def add_headers(self, headers: Headers) -> None:
        """Give headers to the answer, whatever it is."""
        self._added = headers

    def sent_header(self, name: str) -> str | None:
        """A header that was sent, by its lower-case name."""
        return next((value for key, value in self._sent if key == name), None)

    def at_end(self, settle: Callable[[], None]) -> None:
        """Have something done once, just before the last byte of the answer, or when there is none, at `end`."""
        self._at_end = settle

    def end(self) -> None:
        """Do what `at_end` was given, unless it was done."""
        settle, self._at_end = self._at_end, None
        if settle is not None:
            settle()

    async def answer(self, reaction: Reaction) -> None:
        """Send an answer, or do what stands in its place."""
        match reaction:
            case Drop():
                self._scope["state"]["transport"].abort()
                await self._gone()
            case Silence():
                await self._gone()
            case Raw():
                await self._say(reaction)
            case Answer():
                headers = [(name.encode(), value.encode()) for name, value in reaction.headers]
                if isinstance(reaction.body, bytes):
                    headers.append((b"content-length", str(len(reaction.body)).encode()))
                    await self.send({"type": "http.response.start", "status": reaction.status, "headers": headers})
                    await self.send({"type": "http.response.body", "body": reaction.body})
                    return
                await self.send({"type": "http.response.start", "status": reaction.status, "headers": headers})
                await self._stream(reaction.body)

    async def forward(
        self, handle: Callable[[Scope, Receive, Send], Awaitable[None]], *, as_events: bool = False
    ) -> None:
        """Let an ASGI application answer; it gets the body again.

        Args:
            handle: The application.
            as_events: Whether to wrap its JSON answer in a server-sent event.
        """
        again = iter([{"type": "http.request", "body": self.request.body, "more_body": False}])

        async def receive() -> Message:
            return next(again, None) or await self._receive()

        send = _wrapped_in_events(self.send) if as_events else self.send

        async def listening(message: Message) -> None:
            if message["type"] == "http.response.body":
                self._said += message.get("body", b"")
            await send(message)

        await handle(self._scope, receive, listening)

    async def send(self, message: Message) -> None:
        """Pass one ASGI message to the client; the first after the latency, with date, id and what was added."""
        if message["type"] == "http.response.start":
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            headers = [(name.lower(), value) for name, value in message["headers"]]
            names = {name for name, _ in headers}
            if b"date" not in names:
                headers.append((b"date", formatdate(time() + self.clock_shift_s, usegmt=True).encode()))
            added = self._added if names & {b"x-amzn-requestid", b"x-amz-cf-id"} else self._id + self._added
            headers += [(name.encode(), value.encode()) for name, value in added]
            self.seen.status = int(message["status"])
            self._sent = tuple((_text(name), _text(value)) for name, value in headers)
            message = {**message, "headers": headers}
        elif not message.get("more_body", False):
            self.end()
        await self._send(message)

    async def _stream(self, pieces: Callable[[], AsyncIterator[bytes]]) -> None:
        async def pour() -> None:
            async for piece in pieces():
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})

        # An endless answer ends when its reader goes away.
        tasks = [asyncio.create_task(pour()), asyncio.create_task(self._gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _say(self, raw: Raw) -> None:
        """Write past the HTTP server, straight to the socket."""
        transport = self._scope["state"]["transport"]
        for piece in raw.pieces:
            transport.write(piece)
            await asyncio.sleep(_MOMENT_S)
        if raw.reset:
            reset(transport)
        else:
            transport.close()
        await self._gone()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _wrapped_in_events(send: Send) -> Send:
    held: list[Message] = []

    async def wrapping(message: Message) -> None:
        if message["type"] == "http.response.start":
            held.append(message)
            return
        start, body = held.pop(), message.get("body", b"")
        headers = dict(start["headers"])
        if start["status"] == HTTPStatus.OK and headers.get(b"content-type") == b"application/json" and body:
            body = b"event: message\r\ndata: " + body + b"\r\n\r\n"
            headers |= {b"content-type": b"text/event-stream", b"cache-control": b"no-cache, no-transform"}
            headers[b"content-length"] = str(len(body)).encode()
        await send({**start, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": body})

    return wrapping


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST: a socket that does not linger has nothing to say at its end."""
    taken = transport.get_extra_info("socket")
    if taken is not None:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _text(raw: bytes) -> str:
    # What is not UTF-8 stays as surrogates, so that the signature can be checked over the very bytes that came.
    return raw.decode("utf-8", "surrogateescape")
