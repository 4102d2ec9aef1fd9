"""One sample for each request on the wire: what stands between the real client and the network while limits are found.

It also keeps the client from falsifying the log. mcp 1.x gives a whole session up when one of its requests is refused,
and asks again for a stream that ended; here the client is told of a refusal as of a JSON-RPC error, and keeps its
session, and it gets one stream a session. What was refused, and in which words, the samples say.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling.stated import retry_after, stated
from mcpdoctor.diagnosis import Said, event_data, matches, read
from mcpdoctor.failures import unwrap
from mcpdoctor.model import Cause, Exchange, Stage, Trace, Verdict
from mcpdoctor.redaction import clean
from mcpdoctor.samples import LIMITED, Layer, Operation, Outcome, Sample
from mcpdoctor.wire import MAX_BODY, RecordingTransport, ResponseTooLarge, rpc_method

MOST_WAIT_S = 5.0
"""Seconds that a request waits at the line for the others of its group, at most."""

_CALLS = {"tools/list", "tools/call"}
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
        """Send none of them."""
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
        self._answers = [condition for check in checks if check.probed for condition in check.when]
        self._texts = [condition for check in checks for condition in check.told]

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
        if any(matches(condition, trace, exchange, said, {}) is not None for condition in self._answers):
            return "http" if (exchange.status or 0) >= 400 else "rpc"
        if tool_text is not None:
            words = {"words": tool_text}
            nobody = Said(kind="other")
            if any(matches(one, trace, None, nobody, words) is not None for one in self._texts if one.text):
                return "tool"
        return None


class Meter(httpx.AsyncBaseTransport):
    """The transport of one session.

    Args:
        inner: what really sends.
        report: told of each request on the wire, when its answer is complete.
        refusals: what counts as a refusal.
        session: number of the session; None for requests outside of any.
        timeout_s: seconds that one request may take.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner, self._report, self._refusals = inner, report, refusals
        self._session, self._timeout_s, self._clock = session, timeout_s, clock
        self._listed = False
        self._streamed = False
        self.has_session = False
        """Whether the server gave the session an id; only then does the client ask for a stream."""
        self.lines: deque[Line] = deque()
        """Where the next calls wait, one entry a call."""
        self.streaming = anyio.Event()
        """Set once the stream of the session stands, or will not."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; see the module."""
        operation = _operation(request)
        if operation is Operation.STREAM:
            if self._streamed:
                return _instead(request, "one stream a session is enough")
            self._streamed = True
        line = self.lines.popleft() if operation is Operation.CALL and self.lines else None
        shot = _Shot(line, self._clock)
        request.extensions = {**request.extensions, "trace": shot.trace}
        began = self._clock()
        try:
            return await self._send(request, operation, shot)
        except NotSent:
            return _instead(request, "not sent")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a sample
            self._add(operation, Outcome.FAILED, shot.sent_s or began, error=_kind(error))
            return _instead(request, "no answer")
        except BaseException:
            if shot.sent_s is not None and not shot.told:
                self._add(operation, Outcome.FAILED, shot.sent_s, error="interrupted")
            raise
        finally:
            if line is not None and shot.sent_s is None:
                line.arrive()
            if operation is Operation.STREAM:
                self.streaming.set()

    async def _send(self, request: httpx.Request, operation: Operation, shot: _Shot) -> httpx.Response:
        with anyio.fail_after(self._timeout_s):
            response = await self._inner.handle_async_request(request)
            if operation is Operation.STREAM and response.is_success:
                shot.told = True
                self._add(operation, Outcome.ACCEPTED, shot.sent_s, response)
                return response
            try:
                body = await _whole(response, _rpc_id(request))
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
        shot.told = True
        return self._judged(request, operation, shot.sent_s, response, body)

    def _judged(
        self, request: httpx.Request, operation: Operation, sent_s: float | None, response: httpx.Response, body: bytes
    ) -> httpx.Response:
        """Report one answer; give the client what it can live with."""
        exchange = Exchange(
            method=request.method,
            url="",
            status=response.status_code,
            headers={name: clean(value, limit=500) for name, value in response.headers.items()},
            body=body.decode("utf-8", errors="replace"),
        )
        said, tool_text = self._said(exchange, body)
        layer = None if said is None else self._refusals.layer(exchange, said, tool_text)
        if layer is None and operation is Operation.CALL and self._emptied(request, said, body):
            layer = "rpc"
        if layer is not None:
            code = said.rpc_code if said else None
            self._add(operation, Outcome.REFUSED, sent_s, response, layer=layer, code=code)
            return _instead(request, "refused")
        self.has_session = self.has_session or "mcp-session-id" in response.headers
        failed = self._failed(operation, response.status_code, said)
        if operation is Operation.STREAM and not failed:
            operation = Operation.OTHER  # nothing stands
        self._add(operation, Outcome.FAILED if failed else Outcome.ACCEPTED, sent_s, response, error=failed)
        if response.is_error and request.method != "DELETE":
            return _instead(request, "refused")
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in ("content-length", "transfer-encoding", "content-encoding")
        }
        return httpx.Response(response.status_code, headers=headers, content=body, request=request)

    def _said(self, exchange: Exchange, body: bytes) -> tuple[Said | None, str | None]:
        """What an answer says, where it may be a refusal: reading all of them would cost more than sending them."""
        suspicious = (exchange.status or 0) >= 400 or b'"error"' in body or b'"isError"' in body
        if not suspicious:
            return None, None
        said = read(exchange)
        return said, _tool_error(exchange.body or "") if said.kind == "rpc-result" else None

    def _emptied(self, request: httpx.Request, said: Said | None, body: bytes) -> bool:
        """Whether a list of tools that was there is empty now: that is how some servers throttle."""
        if said is not None or rpc_method(request) != "tools/list":
            return False
        empty = b'"tools":[]' in body.replace(b" ", b"")
        emptied = empty and self._listed
        self._listed = self._listed or not empty
        return emptied

    def _failed(self, operation: Operation, status: int, said: Said | None) -> str | None:
        """The kind of failure of an answer that is no refusal; None where it is none."""
        if operation in (Operation.CLOSE, Operation.STREAM) and status < 500:
            return None  # 404 and 405 are answers: there is nothing to close, or no stream to give
        if self._session is None and status < 500 and status not in (401, 403):
            return None  # what it asks for needs a session; that it was asked at all is what counts
        if status >= 400:
            return f"http-{status}"
        if said is not None and said.kind == "rpc-error" and operation is Operation.OPEN:
            return f"rpc {said.rpc_code}"
        return None

    def _add(
        self,
        operation: Operation,
        outcome: Outcome,
        sent_s: float | None,
        response: httpx.Response | None = None,
        *,
        layer: Layer | None = None,
        code: int | None = None,
        error: str | None = None,
    ) -> None:
        received = self._clock()
        sample = Sample(
            operation=operation,
            outcome=outcome,
            sent_s=received if sent_s is None else sent_s,
            received_s=received,
            session=self._session,
            layer=layer,
            code=code,
            error=error,
        )
        if response is not None:
            now, headers = datetime.now(UTC), response.headers
            limits: Mapping[str, str] = {name: value for name, value in headers.items() if "ratelimit" in name}
            sample = replace(
                sample,
                status=response.status_code,
                retry_after_s=retry_after(headers.get("retry-after"), now),
                stated=tuple(replace(one, name=clean(one.name, limit=60)) for one in stated(limits, now)),
            )
        self._report(sample)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Shot:
    """When one request left: told by the trace of httpcore, once its connection was made."""

    def __init__(self, line: Line | None, clock: Callable[[], float]) -> None:
        self._line, self._clock = line, clock
        self.sent_s: float | None = None
        self.told = False

    async def trace(self, name: str, _: Mapping[str, Any]) -> None:
        if not name.endswith("send_request_headers.started") or self.sent_s is not None:
            return
        if self._line is not None:
            await self._line.wait()
        self.sent_s = self._clock()


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
    try:
        return json.loads(request.content).get("id")
    except (ValueError, AttributeError, httpx.RequestNotRead):
        return None


async def _whole(response: httpx.Response, request_id: object) -> bytes:
    """The body; of an event stream, what came until the event that answers the request."""
    body = b""
    events = "text/event-stream" in response.headers.get("content-type", "")
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_BODY:
            raise ResponseTooLarge(f"more than {MAX_BODY // 2**20} MiB in one answer")
        if events and body.endswith((b"\n\n", b"\r\n\r\n")) and _answers(body, request_id):
            break
    return body


def _answers(body: bytes, request_id: object) -> bool:
    messages = map(_json, event_data(body.decode("utf-8", errors="replace")))
    return any(isinstance(one, dict) and one.get("id") == request_id and "method" not in one for one in messages)


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
            parts = result.get("content")
            texts = [str(one.get("text", "")) for one in parts if isinstance(one, dict)] if parts else []
            return " ".join(texts)[:4000]
    return None


def _instead(request: httpx.Request, why: str) -> httpx.Response:
    """What the client gets in place of an answer that would make it give up its session."""
    if request.method == "GET":
        return httpx.Response(405, request=request)
    number = _rpc_id(request) if request.method == "POST" else None
    if number is None:
        return httpx.Response(202, request=request)
    error = {"jsonrpc": "2.0", "id": number, "error": {"code": -32000, "message": f"mcpdoctor: {why}"}}
    return httpx.Response(200, json=error, request=request)


def _kind(error: BaseException) -> str:
    """What kept an answer from coming, in a word."""
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "timeout"
    links = [link for chain in unwrap(error) for link in chain]
    return next((_LOCAL[link.errno] for link in links if link.errno in _LOCAL), "connection-lost")
