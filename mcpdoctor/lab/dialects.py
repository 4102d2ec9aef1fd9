"""Servers that write their answers in odd ways: well enough for real clients, or so that a client waits for ever.

Each answers every request itself, in full, and differs from a good server only in how it puts it. Those of stage
`healthy` were tried with mcp 1.26 and 1.30, which take them; the others leave those clients without an answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from mcpdoctor.lab.fault import Fault
from mcpdoctor.lab.messages import Answer, Headers, Request

Message = dict[str, Any]
Writing = Callable[[Message], Answer]

_JSON = "application/json"
_EVENTS = "text/event-stream"


LATEST = "2026-07-28"
"""The revision without `initialize`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to write answers.

    Attributes:
        stage: `healthy` where clients take it, else the stage at which they stop.
        name: Its name within the stage.
        summary: What is odd about it, in one sentence.
        write: Makes the HTTP answer from a good JSON-RPC message.
        revision: The only revision of MCP that it speaks; empty for any that begins with `initialize`.
    """

    stage: str
    name: str
    summary: str
    write: Writing
    revision: str = ""

    def answer(self, request: Request) -> Answer:
        """Answer one HTTP request: MCP without sessions, so that nothing but the writing is odd."""
        if request.method != "POST":
            return Answer(status=405, headers=(("allow", "POST"),))
        identity = request.rpc.get("id")
        if identity is None or request.rpc_method is None:
            return Answer(status=202)  # a notification, or the answer to what the server asked
        if self.revision == LATEST:
            return _latest(request)
        if self.revision and request.rpc_method == "initialize":
            told = said(request)["result"] | {"protocolVersion": self.revision}
            return self.write({"jsonrpc": "2.0", "id": identity, "result": told})
        return self.write({"jsonrpc": "2.0", "id": identity, **said(request)})


def said(request: Request) -> Message:
    """Result or error that a good server gives to a request; it has one tool, `echo`."""
    params = request.rpc.get("params")
    given = params if isinstance(params, dict) else {}
    match request.rpc_method:
        case "initialize":
            info = {"name": "lab", "version": "1.0.0"}
            revision = given.get("protocolVersion", "2025-06-18")
            return {"result": {"protocolVersion": revision, "capabilities": {"tools": {}}, "serverInfo": info}}
        case "tools/list":
            schema = {"type": "object", "properties": {"text": {"type": "string"}}}
            return {"result": {"tools": [{"name": "echo", "description": "Say it again.", "inputSchema": schema}]}}
        case "tools/call":
            text = str(given.get("arguments", {}).get("text", ""))
            return {"result": {"content": [{"type": "text", "text": text}], "isError": False}}
        case "ping":
            return {"result": {}}
        case other:
            return {"error": {"code": -32601, "message": f"Method not found: {other}"}}


def _latest(request: Request) -> Answer:
    """A server without sessions that speaks the newest revision alone, as mcp 2.3 answers."""
    identity = request.rpc.get("id")
    if request.header("mcp-protocol-version") != LATEST:
        data = {"supported": [LATEST], "requested": "an older one"}
        error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
        return _answer(_json({"jsonrpc": "2.0", "id": identity, "error": error}), status=400)
    if request.rpc_method == "server/discover":
        result = {"resultType": "complete", "supportedVersions": [LATEST], "capabilities": {"tools": {}}}
        return _answer(_json({"jsonrpc": "2.0", "id": identity, "result": result}))
    return _answer(_json({"jsonrpc": "2.0", "id": identity, **said(request)}))


def _answer(body: bytes, content: str | None = _JSON, *, status: int = 200, more: Headers = ()) -> Answer:
    headers = (("content-type", content),) if content is not None else ()
    return Answer(status=status, headers=(*headers, *more), body=body)


def _json(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _as(content: str | None, encoding: str = "utf-8") -> Writing:
    return lambda message: _answer(json.dumps(message).encode(encoding), content)


def _around(before: bytes = b"", after: bytes = b"") -> Writing:
    return lambda message: _answer(before + _json(message) + after)


def _with_id(change: Callable[[Any], object]) -> Writing:
    return lambda message: _answer(_json({**message, "id": change(message["id"])}))


def _refusing(error: object, **more: object) -> Writing:
    """Refuse, whatever was asked, with an error that is put in an odd way."""

    def write(message: Message) -> Answer:
        return _answer(_json({"jsonrpc": "2.0", "id": message["id"], **more, "error": error}))

    return write


def _event(message: object, name: str = "message") -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _json(message) + b"\n\n"


def _events(*, before: Iterable[Message] = (), name: str = "message", answered: bool = True) -> Writing:
    """An event stream with messages before the answer."""

    def write(message: Message) -> Answer:
        body = b"".join(map(_event, before)) + (_event(message, name) if answered else b"")
        return _answer(body, _EVENTS, more=(("cache-control", "no-cache"),))

    return write


def _every_liberty(message: Message) -> Answer:
    """An event stream that uses all that the standard allows, in pieces of a few bytes."""
    lines = json.dumps(message, indent=1).splitlines()
    text = ": a comment\r\nretry: 2000\r\n\r\nevent: message\r\n" + "".join(f"data: {line}\r\n" for line in lines)
    body = f"{text}\r\n".encode()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]
            await asyncio.sleep(0)

    return replace(_answer(b"", f"{_EVENTS}; charset=utf-8"), body=pieces)


_LOG = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "working on it"}}
_PING = {"jsonrpc": "2.0", "id": "ping-1", "method": "ping"}
_SAMPLING = {
    "jsonrpc": "2.0",
    "id": "sampling-1",
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "Hello"}}], "maxTokens": 10},
}

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        stage="healthy",
        name="events-with-liberties",
        summary="An event stream with a comment, a retry time, CRLF and many data lines, in pieces of seven bytes.",
        write=_every_liberty,
    ),
    Dialect(
        stage="healthy",
        name="events-before-answer",
        summary="A log message, a ping and a wish for sampling come before the answer.",
        write=_events(before=(_LOG, _PING, _SAMPLING)),
    ),
    Dialect(
        stage="healthy",
        name="string-ids",
        summary="The id of every request comes back as a string.",
        write=_with_id(str),
    ),
    Dialect(
        stage="healthy",
        name="content-type-with-charset",
        summary="The content type is Application/JSON; Charset=UTF-8.",
        write=_as("Application/JSON; Charset=UTF-8"),
    ),
    Dialect(
        stage="healthy",
        name="more-fields",
        summary="Every message has fields that nobody asked for.",
        write=lambda message: _answer(_json({**message, "error": None, "took_ms": 3})),
    ),
)
DIALECTS += (
    Dialect(
        stage="healthy",
        name="oldest-revision",
        summary="The server speaks MCP 2024-11-05 alone.",
        write=_as(_JSON),
        revision="2024-11-05",
    ),
    Dialect(
        stage="open",
        name="latest-revision-only",
        summary=f"The server speaks MCP {LATEST} alone, which has no initialize.",
        write=_as(_JSON),
        revision=LATEST,
    ),
)
DIALECTS += tuple(
    Dialect(stage="open", name=name, summary=summary, write=write)
    for name, summary, write in (
        ("other-id", "The answer has the id of another request.", _with_id(lambda _: 4711)),
        ("id-null-in-words", "The id of the answer is the string null.", _with_id(lambda _: "null")),
        ("id-empty", "The id of the answer is an empty string.", _with_id(lambda _: "")),
        ("id-null", "The id of the answer is null.", _with_id(lambda _: None)),
        ("id-with-fraction", "The id of the answer is a number with a fraction.", _with_id(float)),
        ("byte-order-mark", "The JSON begins with a byte order mark.", _around(before=b"\xef\xbb\xbf")),
        ("trailing-text", "There is text after the JSON.", _around(after=b"\n<!-- served by cache-07 -->")),
        ("two-documents", "There are two JSON documents in one answer.", lambda one: _answer(_json(one) + _json(one))),
        ("batch", "The answer is a JSON array.", lambda message: _answer(_json([message]))),
        ("utf-16", "The JSON is written in UTF-16.", _as("application/json; charset=utf-16", "utf-16")),
        ("content-type-html", "The JSON is called text/html.", _as("text/html; charset=utf-8")),
        ("content-type-text", "The JSON is called text/plain.", _as("text/plain")),
        ("content-type-missing", "The answer has no content type.", _as(None)),
        ("accepted-only", "Requests are answered with 202 and nothing else.", lambda _: Answer(status=202)),
        ("no-content", "Requests are answered with 204.", lambda _: Answer(status=204)),
        ("empty", "Requests are answered with 200 and no body.", lambda _: _answer(b"")),
        ("events-without-answer", "The event stream ends without the answer.", _events(before=(_LOG,), answered=False)),
        ("events-of-another-name", "The event with the answer is not called message.", _events(name="result")),
        ("error-without-code", "The JSON-RPC error has no code.", _refusing({"message": "Tenant unknown"})),
        ("error-code-in-words", "The code is a string.", _refusing({"code": "InternalError", "message": "No tenant"})),
        ("error-in-words", "The JSON-RPC error is a string.", _refusing("Tenant unknown")),
    )
)

DIALECT_FAULTS = tuple(
    Fault(stage=one.stage, name=one.name, summary=one.summary, answer=one.answer) for one in DIALECTS
)
"""The same as faults of the lab."""
