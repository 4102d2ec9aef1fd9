"""The HTTP below the MCP client: a request that fails is explained, and the first one may fall back.

A failed request is answered as JSON-RPC: mcp 1.x would tear down the whole session, cancel whoever waits, and drop the
server's reason (so mcp 2 and mcp-proxy-for-aws 1.7 do it, too). Nothing is sent that the client did not ask for, but
for the one request that is repeated to the fallback.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from mcpdoctor.answers import decoded, problem
from mcpdoctor.connect import bodies, telling
from mcpdoctor.connect.telling import ConnectionFailed
from mcpdoctor.failures import unwrap
from mcpdoctor.http_proxies import choose
from mcpdoctor.model import Exchange, Fact
from mcpdoctor.recording import Recorded
from mcpdoctor.redaction import clean, clean_headers

if TYPE_CHECKING:
    from mcpdoctor.connect.wanted import Choice

MARK = "mcpdoctor"
"""Key of `data` in the JSON-RPC errors that are made here."""

_KEPT_BODY = 4000
_KEPT_FAILURES = 100
_NO_ANSWER = -32000
_PLAIN = frozenset({"accept", "accept-encoding", "content-type", "last-event-id", "user-agent"})
_SESSION = "mcp-session-id"

_log = logging.getLogger("mcpdoctor.connect")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request that is under way."""

    request: httpx.Request
    message: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)

    @property
    def waits(self) -> bool:
        """Whether somebody waits for the answer."""
        return "method" in self.message and isinstance(self.message.get("id"), int | str)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was sent."""
        return round(time.perf_counter() - self.started, 6)


class Line(httpx.AsyncBaseTransport):
    """Sends the requests of one session.

    Args:
        choice: the endpoint, and what stands in for it.
        service: SigV4 service that requests are signed for; None where they are not.
        region: region that they are signed for.
        secrets: literal strings that no text may hold.
        moved: whether the stand-in is used from the beginning.

    Attributes:
        moved: whether the stand-in is used.
        failures: what could not be sent or was refused, by the number that the JSON-RPC error carries.
        ended: how the session ended, where the server said so; the client makes an error of its own of that.
        client: the client that this is the transport of.
    """

    def __init__(
        self,
        choice: Choice,
        *,
        service: str | None = None,
        region: str | None = None,
        secrets: tuple[str, ...] = (),
        moved: bool = False,
    ) -> None:
        self.choice = choice
        self.service, self.region = service, region
        self.secrets = secrets
        self.failures: dict[int, ConnectionFailed] = {}
        self.ended: ConnectionFailed | None = None
        self.client: httpx.AsyncClient | None = None
        self.moved = moved
        self._accepted = False
        self._count = 0
        self._ways: dict[str, httpx.AsyncHTTPTransport] = {}

    @property
    def url(self) -> str:
        """Where requests go."""
        cell = self.choice.stand_in if self.moved and self.choice.stand_in else self.choice.cell
        return cell.configuration.endpoint

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; answer it with the explanation where it fails."""
        message = _message(request)
        if request.method != "POST" or message is None:
            return await self._send(await self._addressed(request))
        failed, response = await self._try(request, message)
        if failed is not None and self._moves(failed):
            failed, response = await self._try(request, message)
        if failed is None:
            assert response is not None  # noqa: S101  # there is one of the two
            self._accepted = True
            return response
        return self._told(failed, message)

    async def aclose(self) -> None:
        """Close the connections."""
        for way in self._ways.values():
            await way.aclose()

    async def _try(
        self, request: httpx.Request, message: Mapping[str, Any]
    ) -> tuple[ConnectionFailed | None, httpx.Response | None]:
        """Send a request: its failure, or a response that the client can have."""
        request = await self._addressed(request)
        asked = _Asked(request=request, message=message)
        try:
            response = await self._send(request)
            if _refused(request, response):
                body = await bodies.beginning(response)
                return self._failed(asked, response=response, body=body), None
            if response.status_code == httpx.codes.NOT_FOUND:
                said, response = await bodies.whole(response)
                self.ended = self._failed(asked, response=response, body=said or b"")
            if not asked.waits or not response.is_success:
                return None, response
            if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                return None, bodies.ended(response, lambda broke: self._last_event(asked, response, broke))
            content, given = await bodies.whole(response)
        except httpx.TransportError as error:
            return self._failed(asked, error=error), None
        unfit = None if content is None else _unfit(asked, response, content)
        if unfit is None:
            return None, given
        await given.aclose()
        return self._failed(asked, response=response, body=content or b"", unfit=unfit), None

    def _last_event(self, asked: _Asked, response: httpx.Response, broke: httpx.TransportError | None) -> bytes:
        """What ends an event stream that held no answer."""
        failed = self._failed(asked, response=response, error=broke, cut=True)
        return b"\n\nevent: message\ndata: " + self._told(failed, asked.message).content + b"\n\n"

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send it over the proxy that the environment prescribes: httpx leaves that to us, who are its transport."""
        origin = str(request.url.copy_with(raw_path=b"/"))
        if origin not in self._ways:
            self._ways[origin] = _way(origin)
        return await self._ways[origin].handle_async_request(request)

    async def _addressed(self, request: httpx.Request) -> httpx.Request:
        """The request as it is, or for the stand-in: without signature, and without the headers of the user."""
        if not self.moved:
            return request
        kept = [
            (name, value)
            for name, value in request.headers.multi_items()
            if name.lower() in _PLAIN or name.lower().startswith("mcp-")
        ]
        content = await request.aread()
        return httpx.Request(request.method, self.url, headers=kept, content=content, extensions=request.extensions)

    def unsent(self, request: httpx.Request, error: Exception) -> httpx.Response | None:
        """The answer to a request that could not be signed, since its credential could not be renewed.

        Raised, it would end the session, and mcp 1.x would leave whoever waits waiting.

        Returns:
            None for what nobody waits for, and for an error of another kind.
        """
        message = _message(request)
        if request.method != "POST" or message is None or not telling.of_signing(error):
            return None
        failed = ConnectionFailed(telling.of_credential(error, self.choice))
        failed.__cause__ = error
        response = self._told(failed, message)
        response.request = request
        return response

    # failing ----------------------------------------------------------------------------------------------------------

    def _moves(self, failed: ConnectionFailed) -> bool:
        """Go over to the stand-in, if there is one that helps and is allowed.

        Only the very first request decides: what a session was opened with it keeps.
        """
        if self._accepted or self.moved or not telling.warned(failed.explanation, self.choice):
            return False
        self.moved = True
        if self.client is not None:
            self.client.auth = httpx.Auth()  # signs nothing
        return True

    def _failed(
        self,
        asked: _Asked,
        *,
        response: httpx.Response | None = None,
        body: bytes = b"",
        error: httpx.TransportError | None = None,
        unfit: str | None = None,
        cut: bool = False,
    ) -> ConnectionFailed:
        """The failure of a request, explained.

        Args:
            asked: the request.
            response: what came, if something did.
            body: the beginning of it.
            error: what was raised.
            unfit: what keeps a client from taking the answer.
            cut: whether it was an event stream that ended without an answer.
        """
        request, message, elapsed_s = asked.request, asked.message, asked.elapsed_s
        signed = self.service is not None and "authorization" in request.headers
        params, method = message.get("params"), message.get("method")
        name = params.get("name") if method == "tools/call" and isinstance(params, dict) else None
        text = clean(decoded(body), limit=_KEPT_BODY, secrets=self.secrets)
        seen = Recorded(
            exchange=Exchange(
                method=request.method,
                url=clean(str(request.url.copy_with(userinfo=b"")), limit=2000, secrets=self.secrets),
                rpc_method=clean(method, limit=100) if isinstance(method, str) else None,
                status=response.status_code if response is not None else None,
                headers=clean_headers(response.headers.multi_items(), secrets=self.secrets) if response else {},
                body=text if response is not None else None,
                body_size=len(body),
                complete=not cut,
                elapsed_s=elapsed_s,
                problem=unfit,
            ),
            signature="sigv4" if signed else None,
            service=self.service if signed else None,
            region=self.region if signed else None,
            session=_SESSION in request.headers,
            tool=clean(name, limit=100) if isinstance(name, str) else None,
            failures=unwrap(error, secrets=self.secrets) if error is not None else (),
        )
        facts: dict[str, Fact] = {"answer_rejected": True} if unfit is not None else {}
        if cut and not isinstance(error, httpx.TimeoutException):
            facts["stream_cut_s"] = round(elapsed_s, 1) or 0.1
        cell = self.choice.stand_in if self.moved and self.choice.stand_in else self.choice.cell
        failed = ConnectionFailed(telling.of_exchange(seen, cell, self.choice.catalogue, facts))
        failed.__cause__ = error or (_error(request, response, text) if response is not None else None)
        return failed

    def _told(self, failed: ConnectionFailed, message: Mapping[str, Any]) -> httpx.Response:
        """The answer that tells a client of a failure."""
        number = message.get("id")
        if "method" not in message or not isinstance(number, int | str):
            # Nobody waits for an answer to it, and mcp 1.x would end the session over it.
            _log.warning("%s was not accepted: %s", message.get("method", "an answer"), failed)
            return httpx.Response(202)
        self._count += 1
        self.failures[self._count] = failed
        self.failures.pop(self._count - _KEPT_FAILURES, None)
        found = failed.explanation
        error = {
            "code": found.http_status if (found.http_status or 0) >= httpx.codes.BAD_REQUEST else _NO_ANSWER,
            "message": str(failed),
            "data": {MARK: self._count, "cause": failed.cause.value, "checks": [one.check for one in found.findings]},
        }
        content = json.dumps({"jsonrpc": "2.0", "id": number, "error": error}).encode()
        return httpx.Response(200, headers={"content-type": "application/json"}, content=content)


def _way(origin: str) -> httpx.AsyncHTTPTransport:
    """What carries requests to a server.

    Raises:
        httpx.ProxyError: the environment names a proxy that httpx cannot use.
    """
    proxy = choose(os.environ, origin)
    if proxy.problem is not None:
        raise httpx.ProxyError(proxy.problem)
    return httpx.AsyncHTTPTransport(proxy=proxy.url)


def _message(request: httpx.Request) -> dict[str, Any] | None:
    """The JSON-RPC message that a request carries."""
    try:
        message = json.loads(request.content)
    except (ValueError, httpx.RequestNotRead):
        return None
    return message if isinstance(message, dict) and "jsonrpc" in message else None


def _refused(request: httpx.Request, response: httpx.Response) -> bool:
    """Whether a status is one that the client can do nothing with: at 404, it knows that its session is over."""
    return response.is_error and not (response.status_code == httpx.codes.NOT_FOUND and _SESSION in request.headers)


def _unfit(asked: _Asked, response: httpx.Response, content: bytes) -> str | None:
    """What keeps a client from taking an answer; mcp 1.x would wait for ever then."""
    kind = response.headers.get("content-type")
    return problem(
        status=response.status_code, content_type=kind, body=content, request_id=asked.message.get("id"), complete=True
    )


def _error(request: httpx.Request, response: httpx.Response, body: str) -> httpx.HTTPStatusError:
    """What the client would have raised, without what the request was signed with."""
    asked = httpx.Request(request.method, clean(str(request.url.copy_with(userinfo=b"")), limit=2000))
    given = httpx.Response(
        response.status_code,
        headers={name: value for name, value in response.headers.items() if name.lower() == "content-type"},
        content=body.encode(),
        request=asked,
    )
    words = f"HTTP {response.status_code} {given.reason_phrase} from {asked.url}"
    return httpx.HTTPStatusError(words, request=asked, response=given)


class Client(httpx.AsyncClient):
    """A client over a line; what goes wrong while a request is signed is answered like any other failure."""

    def __init__(self, line: Line, **given: Any) -> None:
        super().__init__(transport=line, **given)
        self._line = line
        line.client = self

    async def send(self, request: httpx.Request, **given: Any) -> httpx.Response:
        """Send a request; see `httpx.AsyncClient`."""
        try:
            return await super().send(request, **given)
        except httpx.HTTPError:
            raise
        except Exception as error:
            answer = self._line.unsent(request, error)
            if answer is None:
                raise
            return answer
