"""HTTP with a transcript: the pace of a host, and a record of every exchange.

Our own requests and those of the real MCP client go through the same `RecordingTransport`, so both leave the same
evidence, and neither can be made to read without end.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import anyio
import httpx

from mcpdoctor.answers import decoded, problem
from mcpdoctor.bodies import Body, unanswered
from mcpdoctor.model import Exchange
from mcpdoctor.network import Network, port_of
from mcpdoctor.redaction import clean, clean_headers
from mcpdoctor.transcript import Transcript, impatient, tracer

KEPT_BODY = 4000
"""Characters of a body that the transcript keeps."""


class Pacer:
    """Keeps the requests to one host under its quota: never more than `per_s` in any second.

    A sliding window, so that it holds whether the server counts by a token bucket, a fixed or a sliding window.
    """

    def __init__(self, per_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        # A rate below 1/s is one request in 1/rate seconds. A tenth of a larger one is left to others.
        # The window is a little longer than its name, since requests that leave evenly may arrive closer together.
        self._window = 1.05 * (1.0 if per_s is None or per_s >= 1 else 1.0 / per_s)
        self._count = None if per_s is None else max(1, int(per_s * 0.9))
        self._sent: deque[float] = deque()
        self._clock = clock
        self._turn = anyio.Lock()

    async def wait(self) -> float:
        """Return when the next request may be sent, with the seconds it took; callers are served in their order."""
        if self._count is None:
            return 0.0
        came = self._clock()
        async with self._turn:
            if len(self._sent) >= self._count:
                wait = self._sent[0] + self._window - self._clock()
                if wait > 0:
                    await anyio.sleep(wait)
                self._sent.popleft()
            self._sent.append(self._clock())
        return self._sent[-1] - came

    def answered(self) -> None:
        """An answer has come. Where one request at a time is allowed, the gap is counted from there.

        Counted from its sending, the time that a first request needs to connect would shorten the gap that the
        server sees.
        """
        if self._count == 1 and self._sent:
            self._sent[-1] = self._clock()


class RecordingTransport(httpx.AsyncBaseTransport):
    """Sends requests where the run's network says, at the pace of the host, and records what came back.

    Args:
        network: routes and addresses of the run.
        transcript: what it writes to.
        pace: awaited before every request with whether it is signed; returns the seconds it waited.
        answered: told of every answer, with whether its request was signed.
        secrets: literal strings that must not appear in the record.
        single: keep to one connection, so that a host sees one TLS handshake.
        proxy: HTTP proxy to go through.
        local_address: the address of this machine to connect from; None leaves it to the system.
        keep: whether the transcript is written; measuring a ceiling counts requests by itself.
    """

    def __init__(
        self,
        network: Network,
        transcript: Transcript,
        pace: Callable[[bool], Awaitable[float]],
        *,
        answered: Callable[[bool], None] = lambda _: None,
        secrets: Collection[str] = (),
        single: bool = False,
        proxy: str | None = None,
        local_address: str | None = None,
        keep: bool = True,
    ) -> None:
        most = 1 if single else None
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        self._inner = httpx.AsyncHTTPTransport(
            verify=network.context, limits=limits, proxy=proxy, local_address=local_address, trust_env=False
        )
        self._network = network
        self.transcript = transcript
        self._pace = pace
        self._answered = answered
        self._secrets = secrets
        self._keep = keep
        self._proxied = proxy is not None

    def use(self, transcript: Transcript, secrets: Collection[str]) -> None:
        """Write to another transcript from now on; for a transport that serves one piece of work after another."""
        self.transcript, self._secrets = transcript, secrets

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; see the class."""
        transcript = self.transcript
        transcript.waited_s += await self._held_back(signed="authorization" in request.headers)
        started = time.perf_counter()
        transcript.last_body = b""
        try:
            response = await self._send(request, transcript)
        except BaseException:
            self._record(transcript, request, None, b"", started=started)
            raise
        self._answered("authorization" in request.headers)
        transcript.last_headers = response.headers
        body = Body(
            response,
            on_close=lambda data, complete, broke: self._record(
                transcript, request, response, data, started=started, complete=complete, broke=broke
            ),
        )
        if response.is_error:
            try:
                await body.read_early()
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await body.aclose()
                raise
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in body.replaced]
        return httpx.Response(response.status_code, headers=headers, stream=body, extensions=response.extensions)

    async def _held_back(self, *, signed: bool) -> float:
        """Wait for the turn of this request; our own politeness must not read as a slow server.

        The deadline of the stage stands still meanwhile. Requests may wait side by side (a stream and a call), so the
        first one stops the clock and the last one starts it again.
        """
        transcript, scope = self.transcript, self.transcript.scope
        if scope is None:
            return await self._pace(signed)
        if transcript.waiting == 0:
            transcript.left_s, scope.deadline = scope.deadline - anyio.current_time(), math.inf
        transcript.waiting += 1
        try:
            return await self._pace(signed)
        finally:
            transcript.waiting -= 1
            if transcript.waiting == 0:
                scope.deadline = anyio.current_time() + transcript.left_s

    async def _send(self, request: httpx.Request, transcript: Transcript) -> httpx.Response:
        told = tracer(transcript if self._keep else None, request.extensions.get("trace"))
        request.extensions = {**request.extensions, "trace": told}
        if self._proxied:
            return await self._inner.handle_async_request(request)
        host, port = request.url.host, request.url.port or port_of(str(request.url))
        # Signature, Host header and the name in the certificate stay those of the URL; only the address changes.
        request.extensions["sni_hostname"] = request.url.raw_host.decode("ascii")
        targets = self._network.targets(host, port)
        for index, (address, to_port) in enumerate(targets):
            routed = httpx.Request(
                request.method,
                request.url.copy_with(host=address, port=to_port),
                headers=request.headers,
                stream=request.stream,
                extensions=request.extensions,
            )
            transcript.address = address
            last = index == len(targets) - 1
            started = time.perf_counter()
            with anyio.CancelScope() as patience:
                if not last:
                    routed.extensions = {**request.extensions, "trace": impatient(told, patience)}
                try:
                    return await self._inner.handle_async_request(routed)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    # A refused handshake is an answer; only an address that does not answer at all leads to the next.
                    if "start_tls" in transcript.events or last:
                        raise
            transcript.unanswered[address] = round(time.perf_counter() - started, 3)
            self._network.silent.add(address)
        raise httpx.ConnectError(f"no address for {host}", request=request)

    def _record(
        self,
        transcript: Transcript,
        request: httpx.Request,
        response: httpx.Response | None,
        body: bytes,
        *,
        started: float,
        complete: bool = False,
        broke: bool = False,
    ) -> None:
        if not self._keep:
            return
        transcript.last_body = body
        elapsed_s = round(time.perf_counter() - started, 6)
        if response is not None and request.method == "POST":
            cut = (complete or broke) and unanswered(response, body)
            transcript.cut_s = (round(elapsed_s, 1) or 0.1) if cut else None
        if request.method == "POST" and transcript.first_post is None:
            transcript.first_body = body
        # A server may send back what it got; its own signature belongs to what a record must not hold.
        signature = re.search(r"Signature=([0-9a-f]{64})", request.headers.get("authorization", ""))
        secrets = (*self._secrets, *([signature[1]] if signature else ()))
        transcript.exchanges.append(
            Exchange(
                method=request.method,
                url=clean(str(request.url.copy_with(userinfo=b"")), limit=2000, secrets=secrets),
                rpc_method=rpc_method(request),
                status=response.status_code if response else None,
                headers=clean_headers(response.headers.multi_items(), secrets=secrets) if response else {},
                body=_text(body, secrets) if response else None,
                body_size=len(body),
                complete=complete,
                elapsed_s=elapsed_s,
                problem=_problem(request, response, body, complete=complete),
            )
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _text(body: bytes, secrets: Collection[str]) -> str:
    # Masking needs a secret whole, so a little more than what is kept is looked at.
    return clean(decoded(body[: 4 * KEPT_BODY]), limit=KEPT_BODY, secrets=secrets)


def rpc_method(request: httpx.Request) -> str | None:
    """The JSON-RPC method in the body of a request; None where there is none."""
    method = _message(request).get("method")
    return method if isinstance(method, str) else None


def _message(request: httpx.Request) -> dict[str, Any]:
    """The JSON-RPC message that a request carries; empty where there is none."""
    try:
        message = json.loads(request.content)
    except (ValueError, httpx.RequestNotRead):
        return {}
    return message if isinstance(message, dict) else {}


def _problem(request: httpx.Request, response: httpx.Response | None, body: bytes, *, complete: bool) -> str | None:
    """What keeps an MCP client from taking an answer; see `answers.problem`."""
    message = _message(request) if request.method == "POST" else {}
    if response is None or "method" not in message:
        return None
    content = response.headers.get("content-type")
    return problem(
        status=response.status_code,
        content_type=content,
        body=body,
        request_id=message.get("id"),
        complete=complete,
    )
