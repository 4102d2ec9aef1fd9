"""One sample for each request on the wire: what stands between the real client and the network while limits are found.

It also keeps the client from falsifying the log. mcp 1.x gives a whole session up when one of its requests is refused,
and asks again for a stream that ended; here the client is told of a refusal as of a JSON-RPC error, and keeps its
session, and it gets one stream a session. It follows no redirect either. What was refused, and in which words, the
samples say.

Nor does it send two requests at a time where one was asked for: the stream is asked for when the notification before it
is answered, and has ended when its session is closed. Otherwise, where streams take places too, chance would decide
which of the two requests is refused, and the last one in would be refused its leaving.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx

from mcpdoctor.answers import event_data
from mcpdoctor.bodies import MAX_BODY, ResponseTooLarge
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling.stated import retry_after, stated
from mcpdoctor.diagnosis import Said, matches, read
from mcpdoctor.failures import unwrap
from mcpdoctor.model import Cause, Exchange, Stage, Trace, Verdict
from mcpdoctor.redaction import clean
from mcpdoctor.samples import LIMITED, Layer, Operation, Outcome, Sample
from mcpdoctor.wire import RecordingTransport, rpc_method

MOST_WAIT_S = 5.0
"""Seconds that a request waits at the line for the others of its group, at most."""

CLOSE_S = 3.0
"""Seconds that giving a session back may take, at most: somebody waits for the end."""

_ENDING_S = 1.0
_CALLS = {"tools/list", "tools/call"}
_NO_TOOLS = re.compile(rb'"tools"\s*:\s*\[\s*\]')
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_SIGNATURE = re.compile(r"Signature=([0-9a-f]{64})")
_LOCAL = {"EMFILE": "open-files", "ENFILE": "open-files", "EADDRNOTAVAIL": "local-ports"}


class Line:
    """Where the requests of a group wait for each other, each with its connection made and nothing of it sent.

    Signing and connecting take longer than many servers need to answer, so requests that are only begun together are
    not in flight together.

    Args:
        size: how many requests come to the line.
        held: whether they stay there until `go` is called; else the last one to come lets all of them go.
    """

    def __init__(self, size: int, *, held: bool = False) -> None:
        self._missing, self._held = size, held
        self._complete, self._gone = anyio.Event(), anyio.Event()
        self.dropped = False
        self.spoiled = 0
        """How many of its requests were refused or failed so far."""

    async def wait(self) -> None:
        """Wait at the line.

        Raises:
            NotSent: the group was not sent after all.
        """
        self.arrive()
        await self._gone.wait()
        if self.dropped:
            raise NotSent

    def arrive(self) -> None:
        """One request has come to the line, or will never come."""
        self._missing -= 1
        if self._missing <= 0:
            self._complete.set()
            if not self._held:
                self._gone.set()

    async def complete(self) -> None:
        """Return when all have come, or have had long enough to."""
        with anyio.move_on_after(MOST_WAIT_S):
            await self._complete.wait()

    def go(self) -> None:
        """Let all of them go."""
        self._gone.set()

    def drop(self) -> None:
        """Send none of them, unless they have gone."""
        if not self._gone.is_set():
            self.dropped = True
            self._gone.set()


class NotSent(Exception):  # nothing went wrong
    """This request was prepared, and then not sent: an earlier one was refused."""


class Refusals:
    """What counts as a refusal: the statuses of limiters, and what the checks of throttling know.

    Args:
        catalogue: the checks; those with the cause `rate-limited` are asked.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        checks = [one for one in catalogue.checks.values() if one.cause is Cause.RATE_LIMITED]
        self._answers = [condition for check in checks if check.probed and check.stage for condition in check.when]
        self._texts = [condition for check in checks for condition in check.told if condition.text]
        self._listed = False

    def layer(self, exchange: Exchange, said: Said, tool_text: str | None) -> Layer | None:
        """Where an answer says that it is too much; None where it does not.

        Args:
            exchange: the request and its answer.
            said: what the server said in it.
            tool_text: the text of a tool's result, where that is an error.
        """
        trace = Trace(stage=Stage.CALL, verdict=Verdict.FAILED, exchanges=(exchange,))
        if exchange.status in LIMITED:
            return "http"
        where: Layer = "http" if (exchange.status or 0) >= 400 else "rpc" if tool_text is None else "tool"
        if any(matches(condition, trace, exchange, said, {}) is not None for condition in self._answers):
            return where
        words = {"words": said.message if said.kind == "rpc-error" else tool_text or ""}
        nobody = Said(kind="other")
        return where if any(matches(one, trace, None, nobody, words) is not None for one in self._texts) else None

    def emptied(self, body: bytes) -> bool:
        """Whether a list of tools is empty where there was one before, in any session: so some servers throttle."""
        empty = _NO_TOOLS.search(body) is not None
        emptied = empty and self._listed
        self._listed = self._listed or not empty
        return emptied


class Meter(httpx.AsyncBaseTransport):
    """The transport of one session.

    Args:
        inner: what really sends.
        report: told of each request on the wire, when its answer is complete.
        refusals: what counts as a refusal.
        session: number of the session; None for requests outside of any.
        timeout_s: seconds that one request may take.
        secrets: literal strings that must not appear in a sample.
        clock: seconds, never going back; the clock of the samples.
    """

    def __init__(
        self,
        inner: RecordingTransport,
        report: Callable[[Sample], None],
        refusals: Refusals,
        *,
        session: int | None,
        timeout_s: float,
        secrets: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner, self._report, self._refusals = inner, report, refusals
        self._session, self._timeout_s, self._clock = session, timeout_s, clock
        self._secrets = secrets
        self._stream: _Shot | None = None
        self._halfway = False
        self.has_session = False
        """Whether the server gave the session an id; only then does the client ask for a stream."""
        self.closing = False
        """Whether the session is being given back; then answers are counted, and not handed on."""
        self.told = 0
        """How many samples it has reported."""
        self.lines: deque[Line] = deque()
        """Where the next calls wait, one entry a call."""
        self._greeted, self._streaming = anyio.Event(), anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; see the module."""
        operation = _operation(request)
        line = self.lines.popleft() if operation is Operation.CALL and self.lines else None
        shot = _Shot(request, operation, line, self._clock)
        if operation is Operation.STREAM and not await self._may_stream(shot):
            return _instead(request, "no stream now")
        if operation is Operation.CLOSE and self._stream is not None:
            await self._stream.end()
        request.extensions = {**request.extensions, "trace": shot.trace}
        try:
            response = await self._send(request, shot)
        except NotSent:
            response = _instead(request, "not sent")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a sample
            self._add(shot, Outcome.FAILED, error=_kind(error))
            response = _instead(request, "no answer")
        except BaseException:
            if shot.sent_s is not None:
                self._add(shot, Outcome.FAILED, error="interrupted")
            raise
        finally:
            if line is not None and not shot.lined_up:
                line.arrive()
            if operation is Operation.STREAM:
                self._streaming.set()
            if operation is Operation.OTHER:
                self._greeted.set()
        if self.closing and request.method == "POST":
            # mcp 1.x falls over an answer that comes now, and the DELETE under way falls with it.
            await anyio.sleep_forever()
        return response

    async def _may_stream(self, shot: _Shot) -> bool:
        """Whether a session gets its stream: one, and not when it is to be given back at once."""
        if self._stream is not None:
            return False
        self._stream = shot
        await self._greeted.wait()
        if self._halfway:
            self._streaming.set()
        return not self._halfway

    async def opened(self, stream_s: float) -> None:
        """Return when all that opening a session takes was answered: what follows is not to overlap with it.

        A server may keep the head of its stream back until it has something to say; it refuses at once. So a stream
        that has no answer after a while is taken for one that stands.

        Args:
            stream_s: how long that while is, in seconds.
        """
        await self._greeted.wait()
        if not self.has_session:
            return
        with anyio.move_on_after(stream_s):
            await self._streaming.wait()
        stream = self._stream
        if stream is not None and stream.sent_s is not None and not stream.told:
            stream.scope.deadline = math.inf
            self._add(stream, Outcome.ACCEPTED)

    async def _send(self, request: httpx.Request, shot: _Shot) -> httpx.Response:
        within_s = min(self._timeout_s, CLOSE_S) if shot.operation is Operation.CLOSE else self._timeout_s
        with anyio.fail_after(within_s) as shot.scope:
            response = await self._inner.handle_async_request(request)
            if shot.operation is Operation.STREAM and response.is_success and _events(response):
                self._add(shot, Outcome.ACCEPTED, response)
                shot.standing = _Standing(response)
                return httpx.Response(response.status_code, headers=response.headers, stream=shot.standing)
            try:
                body = await _whole(response, shot.rpc_id)
                shot.received_s = self._clock()
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        if shot.scope.cancelled_caught:
            return _instead(request, "the session is given back")
        return self._judged(request, shot, response, body)

    def _judged(self, request: httpx.Request, shot: _Shot, response: httpx.Response, body: bytes) -> httpx.Response:
        """Report one answer; give the client what it can live with."""
        said, layer = self._said(request, response, body)
        listing = rpc_method(request) == "tools/list" and response.is_success
        if layer is None and listing and (said is None or said.kind == "rpc-result") and self._refusals.emptied(body):
            layer = "rpc"
        if layer is not None:
            self._add(shot, Outcome.REFUSED, response, layer=layer, code=said.rpc_code if said else None)
            return _instead(request, "refused")
        self.has_session = self.has_session or (response.is_success and "mcp-session-id" in response.headers)
        failed = self._failed(shot, response, said, body)
        if shot.operation is Operation.STREAM and not failed:
            shot.operation = Operation.OTHER  # nothing stands
        self._add(shot, Outcome.FAILED if failed else Outcome.ACCEPTED, response, error=failed)
        if failed or not response.is_success:
            return _instead(request, "no answer")
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in ("content-length", "transfer-encoding", "content-encoding")
        }
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    def _said(self, request: httpx.Request, response: httpx.Response, body: bytes) -> tuple[Said | None, Layer | None]:
        """What an answer says and where it refuses; nothing of one that cannot be a refusal.

        Reading all of them would cost more than sending them.
        """
        if not (response.is_error or b'"error"' in body or b'"isError"' in body):
            return None, None
        exchange = Exchange(
            method=request.method,
            url="",
            status=response.status_code,
            headers=dict(response.headers),
            body=body.decode("utf-8", errors="replace"),
        )
        said = read(exchange)
        tool_text = _tool_error(exchange.body or "") if said.kind == "rpc-result" else None
        return said, self._refusals.layer(exchange, said, tool_text)

    def _failed(self, shot: _Shot, response: httpx.Response, said: Said | None, body: bytes) -> str | None:
        """The kind of failure of an answer that is no refusal; None where it is none."""
        status = response.status_code
        if shot.operation in (Operation.CLOSE, Operation.STREAM) and status < 500:
            return None  # 404 and 405 are answers: there is nothing to close, or no stream to give
        if self._session is None and status < 500 and status not in (401, 403):
            return None  # what it asks for needs a session; that it was asked at all is what counts
        if not response.is_success:
            return f"http-{status}"
        if said is not None and said.kind == "rpc-error" and shot.operation is Operation.OPEN:
            return f"rpc {said.rpc_code}"
        if shot.rpc_id is not None and not _may_answer(response, body):
            return "not-mcp"  # the client would wait for the answer for ever
        return None

    def _add(
        self,
        shot: _Shot,
        outcome: Outcome,
        response: httpx.Response | None = None,
        *,
        layer: Layer | None = None,
        code: int | None = None,
        error: str | None = None,
    ) -> None:
        """Report what became of a request; only the first report of it counts."""
        if shot.told:
            return
        shot.told = True
        self.told += 1
        self._halfway = self._halfway or (shot.operation is Operation.OTHER and outcome is not Outcome.ACCEPTED)
        if shot.line is not None and outcome is not Outcome.ACCEPTED:
            shot.line.spoiled += 1
        sample = Sample(
            operation=shot.operation,
            outcome=outcome,
            sent_s=shot.began_s if shot.sent_s is None else shot.sent_s,
            received_s=self._clock() if shot.received_s is None else shot.received_s,
            session=self._session,
            layer=layer,
            code=code,
            error=error,
        )
        if response is not None:
            now, headers = datetime.now(UTC), response.headers
            limits: Mapping[str, str] = {name: value for name, value in headers.items() if "ratelimit" in name}
            secrets = (*self._secrets, *shot.signature)
            sample = replace(
                sample,
                status=response.status_code,
                retry_after_s=retry_after(headers.get("retry-after"), now),
                stated=tuple(
                    replace(one, name=clean(one.name, limit=60, secrets=secrets)) for one in stated(limits, now)
                ),
            )
        self._report(sample)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Shot:
    """One request on its way: when it left, told by the trace of httpcore, and what was reported of it."""

    def __init__(
        self, request: httpx.Request, operation: Operation, line: Line | None, clock: Callable[[], float]
    ) -> None:
        self.operation, self.line, self._clock = operation, line, clock
        self.rpc_id = _rpc_id(request) if request.method == "POST" else None
        self.signature = _SIGNATURE.findall(request.headers.get("authorization", ""))
        self.began_s = clock()
        self.sent_s: float | None = None
        self.received_s: float | None = None
        self.lined_up = self.told = False
        self.scope = anyio.CancelScope()
        self.standing: _Standing | None = None

    async def end(self) -> None:
        """End a stream: one that stands, or one whose answer is still to come."""
        if self.standing is not None:
            await self.standing.end()
        else:
            self.scope.cancel()

    async def trace(self, name: str, info: Mapping[str, Any]) -> None:
        if not name.endswith("send_request_headers.started") or self.sent_s is not None:
            return
        if getattr(info.get("request"), "method", b"") == b"CONNECT":
            return  # asks a proxy for a tunnel
        if self.line is not None:
            self.lined_up = True
            await self.line.wait()
        self.sent_s = self._clock()


class _Standing(httpx.AsyncByteStream):
    """The body of a stream that stands until its session is closed."""

    def __init__(self, response: httpx.Response) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  # an async transport gives nothing else
        self._stream = response.stream
        self._waiting: anyio.CancelScope | None = None
        self._over, self._closed = False, anyio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._stream)
        while not self._over:
            piece = None
            with anyio.CancelScope() as self._waiting:
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece

    async def end(self) -> None:
        """Close the connection; whoever reads from it is told that this was all."""
        self._over = True
        if self._waiting is not None:
            self._waiting.cancel()
        with anyio.move_on_after(_ENDING_S):
            await self._closed.wait()

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._closed.set()


def _operation(request: httpx.Request) -> Operation:
    if request.method == "GET":
        return Operation.STREAM
    if request.method == "DELETE":
        return Operation.CLOSE
    method = rpc_method(request)
    if method == "initialize":
        return Operation.OPEN
    return Operation.CALL if method in _CALLS else Operation.OTHER


def _rpc_id(request: httpx.Request) -> object:
    """The id of a JSON-RPC request; None of what has no answer: a notification, or an answer itself."""
    try:
        message = json.loads(request.content)
    except (ValueError, httpx.RequestNotRead):
        return None
    return message.get("id") if isinstance(message, dict) and "method" in message else None


async def _whole(response: httpx.Response, request_id: object) -> bytes:
    """The body; of an event stream, what came until the event that answers the request."""
    body, looked, read = bytearray(), 0, 0
    events = _events(response)
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_BODY:
            raise ResponseTooLarge(f"more than {MAX_BODY // 2**20} MiB in one answer")
        # What was looked at is not looked at again: a hostile server sends many small events.
        ends = [found.end() for found in _EVENT_END.finditer(body, max(read, looked - 3))] if events else []
        looked = len(body)
        if ends:
            if _answers(bytes(body[read : ends[-1]]), request_id):
                break
            read = ends[-1]
    return bytes(body)


def _events(response: httpx.Response) -> bool:
    return "text/event-stream" in response.headers.get("content-type", "")


def _answers(body: bytes, request_id: object) -> bool:
    """Whether the answer to a request is among events; one to nobody in particular is an answer to it too."""
    messages = map(_json, event_data(body.decode("utf-8", errors="replace")))
    return any(
        isinstance(one, dict) and "method" not in one and (one.get("id") == request_id or "error" in one)
        for one in messages
    )


def _may_answer(response: httpx.Response, body: bytes) -> bool:
    """Whether a body may hold a JSON-RPC answer; to read it would cost more than to send it."""
    kind = response.headers.get("content-type", "")
    return ("json" in kind or "text/event-stream" in kind) and (b'"result"' in body or b'"error"' in body)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _tool_error(body: str) -> str | None:
    """The text of a tool's result that is an error; None for any other answer."""
    for data in event_data(body) or [body]:
        message = _json(data)
        result = message.get("result") if isinstance(message, dict) else None
        if isinstance(result, dict) and result.get("isError"):
            given = result.get("content")
            parts = given if isinstance(given, list) else []
            return " ".join(str(one.get("text", "")) for one in parts if isinstance(one, dict))[:4000]
    return None


def _instead(request: httpx.Request, why: str) -> httpx.Response:
    """What the client gets in place of an answer that would make it give up its session."""
    if request.method == "GET":
        return httpx.Response(405, request=request)
    number = _rpc_id(request) if request.method == "POST" else None
    if number is None:
        return httpx.Response(200 if request.method == "DELETE" else 202, request=request)
    error = {"jsonrpc": "2.0", "id": number, "error": {"code": -32000, "message": f"mcpdoctor: {why}"}}
    return httpx.Response(200, json=error, request=request)


def _kind(error: BaseException) -> str:
    """What kept an answer from coming, in a word."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "timeout"
    if isinstance(error, ResponseTooLarge):
        return "too-large"
    links = [link for chain in unwrap(error) for link in chain]
    return next((_LOCAL[link.errno] for link in links if link.errno in _LOCAL), "connection-lost")
