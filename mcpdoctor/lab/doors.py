"""What stands before a server: who may come in, how many, and whose session is whose."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random

from mcpdoctor.lab import accounts, logins, modes, sigv4, tokens
from mcpdoctor.lab.exchange import Exchange
from mcpdoctor.lab.limiters import Limiter
from mcpdoctor.lab.messages import (
    EXPIRED_TOKEN,
    METHOD_MISMATCH,
    REFUSALS,
    UNVERIFIED,
    Answer,
    Headers,
    Request,
    aws_error,
    edge,
    in_json,
    not_found,
    request_id,
    rpc_error,
    session_lost,
    too_many,
)
from mcpdoctor.lab.servers import Backend
from mcpdoctor.lab.services import Service

IDLE_S = 60.0
"""A session that was silent for so long gives its place back."""

PING_S = 15.0
"""How often an open GET stream says so."""

ANONYMOUS = "anonymous"
FORBIDDEN = ("x-amzn-errortype", "AccessDeniedException")
_SESSION = "mcp-session-id"
_LOGIN = "oauth=initialize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the options say about every server.

    Attributes:
        mode: The date that the lab stands for, one of `modes.MODES`.
        by_address: Whether limits count addresses rather than callers.
        noise: The share of requests answered with 429 or 503 at random.
        chance: Where that randomness comes from.
        refusal: How a limiter says no, a key of `REFUSALS`.
        retry_after_s: What it asks to wait, if anything.
        rate_headers: Whether every answer states the rates that bind its caller.
        streams: Whether an open GET stream is a request in flight, as it is to nginx.
        clock: Seconds of a monotonic clock.
    """

    mode: str
    by_address: bool
    noise: float
    chance: Random
    refusal: str = "429"
    retry_after_s: float | None = None
    rate_headers: bool = False
    streams: bool = False
    clock: Callable[[], float] = time.monotonic

    @property
    def closed(self) -> bool:
        """Whether aws-mcp refuses unsigned callers altogether, as it did until July 2026."""
        return self.mode == modes.MARCH_2026

    @property
    def by_account(self) -> bool:
        """Whether callers with a signature are counted together: documented quotas are those of an account."""
        return self.mode in modes.QUOTAS


@dataclass(slots=True, kw_only=True)
class Session:
    """An open MCP session: its caller, the limiters it holds a place in, when it was last used, its open streams."""

    caller: str
    counted_as: str
    held: list[Limiter]
    used: float
    streams: list[Exchange] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def idle(self, now: float) -> bool:
        """Whether it was silent for so long that it is given up; an open stream is not silence."""
        return not self.streams and now - self.used > IDLE_S

    async def stream(self) -> AsyncIterator[bytes]:
        """What a GET stream says for as long as the session lasts: that it is there, at times."""
        while not self.ended.is_set():
            yield b": ping\n\n"
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), PING_S)


@dataclass(slots=True, kw_only=True)
class Door:
    """One server with its authentication, limits and sessions.

    Attributes:
        service: What it stands in for.
        backend: The MCP server behind it.
        limiters: What each request of a caller with a signature has to pass.
        anonymous_limiters: The same for callers without one.
        rules: What the options say.
        keys: The keys it knows.
    """

    service: Service
    backend: Backend
    limiters: tuple[Limiter, ...]
    anonymous_limiters: tuple[Limiter, ...]
    rules: Rules
    keys: Mapping[str, sigv4.Key] = field(default_factory=lambda: accounts.KEYS)
    _sessions: dict[str, Session] = field(default_factory=dict)

    async def enter(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        exchange.add_id(request_id())
        if answer := self._without_session(request):
            await exchange.answer(answer)
            return
        who = self._caller(request)
        if isinstance(who, Answer):
            await exchange.answer(who)
            return
        if answer := self._noise(request):
            await exchange.answer(answer)
            return
        counted_as = self._counted_as(who, request)
        limiters = self.anonymous_limiters if who == ANONYMOUS else self.limiters
        held = self._admit(request, limiters, counted_as)
        if self.rules.rate_headers:
            exchange.add_headers(_stated(limiters, counted_as, self.rules.clock()))
        if held is None:
            await exchange.answer(self._refusal(request))
            return

        def settle() -> None:
            finished, held[:] = list(held), []
            opened = self._settle(exchange, who, counted_as, [one for one in finished if one.holds == "session"])
            for limiter in finished:
                if limiter.holds == "request" or not opened:
                    limiter.release(counted_as)

        # Before the last byte goes out: a client that has read its answer finds its session known, its place free.
        exchange.at_end(settle)
        try:
            await self._pass_on(exchange, who)
        finally:
            exchange.end()

    async def stop(self) -> None:
        """End the server and its sessions."""
        for session_id in list(self._sessions):
            await self._end(session_id)
        await self.backend.stop()

    async def _pass_on(self, exchange: Exchange, who: str) -> None:
        """Let the server answer, if the session is the caller's."""
        request, now = exchange.request, self.rules.clock()
        known = request.header(_SESSION)
        if known is not None:
            session = self._sessions.get(known)
            if session is None or session.caller != who or session.idle(now):
                # AWS binds a session to the caller's ARN with the role session name (reported: aws/mcp-proxy-for-aws
                # issues 117 and 299) and answers another caller as if the session did not exist.
                await exchange.answer(session_lost(request))
                return
            session.used = now
            if request.method == "GET":
                session.streams.append(exchange)
                try:
                    await exchange.answer(Answer(headers=(("content-type", "text/event-stream"),), body=session.stream))
                finally:
                    session.streams.remove(exchange)
                    session.used = self.rules.clock()
                return
        await exchange.forward(self.backend.handle, as_events=self.service.event_stream)

    def _settle(self, exchange: Exchange, who: str, counted_as: str, held: list[Limiter]) -> bool:
        """Take note of what an answer did to sessions; True when it opened one, which then holds `held`."""
        request, known = exchange.request, exchange.request.header(_SESSION)
        if exchange.status != HTTPStatus.OK:
            return False
        if known is not None:
            if request.method == "DELETE":
                self._forget(known)
            elif known in self._sessions:
                self._sessions[known].used = self.rules.clock()
            return False
        opened = exchange.sent_header(_SESSION)
        # The SDK also gives a session id to an initialize that it answers with a JSON-RPC error.
        if request.rpc_method != "initialize" or opened is None or not exchange.succeeded:
            return False
        self._sessions[opened] = Session(caller=who, counted_as=counted_as, held=held, used=self.rules.clock())
        return True

    def _admit(self, request: Request, limiters: Iterable[Limiter], counted_as: str) -> list[Limiter] | None:
        """The limiters that took the request in, or None when one refused it.

        Rates count every request, but nobody is kept from closing a session. Only POST counts as being in flight,
        unless the options say otherwise: a GET stream stays open as long as its session and would hold a place without
        asking anything.
        """
        now, held = self.rules.clock(), list[Limiter]()
        if not self._reaches(request):
            return held
        wanted = {"nothing"}
        if request.method == "POST" or (request.method == "GET" and self.rules.streams):
            wanted.add("request")
        if request.method == "POST" and request.rpc_method == "initialize":
            wanted.add("session")
        for limiter in limiters:
            if limiter.holds not in wanted:
                continue
            if limiter.admit(counted_as, now):
                held.append(limiter)
            elif request.method != "DELETE":
                for taken in held:
                    taken.release(counted_as)
                return None
        return held

    def _reaches(self, request: Request) -> bool:
        """Whether limiters see a request: those that answer behind HTTP see only what they could answer."""
        match self.rules.refusal:
            case "rpc":
                return request.method == "POST" and request.rpc_method is not None and "id" in request.rpc
            case "tool":
                return request.method == "POST" and request.rpc_method == "tools/call" and "id" in request.rpc
            case _:
                return True

    def _counted_as(self, who: str, request: Request) -> str:
        if self.rules.by_address:
            return request.client
        if who == ANONYMOUS:
            return f"{who} {request.client}"
        return accounts.ACCOUNT if self.rules.by_account else f"{who} "

    def _refusal(self, request: Request) -> Answer:
        answer = REFUSALS[self.rules.refusal](request)
        if self.rules.retry_after_s is None:
            return answer
        # Whole seconds are all that the header takes (RFC 9110, section 10.2.3).
        wait = ("retry-after", str(math.ceil(self.rules.retry_after_s)))
        return replace(answer, headers=(*answer.headers, wait))

    async def sweep(self) -> None:
        """End sessions that were silent for too long, so that their places come free."""
        now = self.rules.clock()
        for session_id in [name for name, session in self._sessions.items() if session.idle(now)]:
            await self._end(session_id)

    async def _end(self, session_id: str) -> None:
        self._forget(session_id)
        await self.backend.end_session(session_id)

    def _forget(self, session_id: str) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            session.ended.set()
            for limiter in session.held:
                limiter.release(session.counted_as)
            # Not only when each stream notices: who has read the answer to DELETE finds these places free as well.
            for stream in session.streams:
                stream.end()

    def _noise(self, request: Request) -> Answer | None:
        if request.method != "POST" or self.rules.chance.random() >= self.rules.noise:
            return None
        if self.rules.chance.random() < 0.5:
            return too_many(request)
        return aws_error("ServiceUnavailableException", "Service Unavailable", status=503)

    def _without_session(self, request: Request) -> Answer | None:
        """What is answered by path and method alone."""
        if "/.well-known/" in request.path:
            return self._metadata(request) if self.service.family in ("aws-mcp", "bearer") else not_found()
        if request.method in {"POST", "DELETE"}:
            return None
        match self.service.family:
            case "knowledge":  # reported: awslabs/mcp issue 1604
                return in_json(
                    {"message": "Not Found"}, status=404, headers=(("x-cache", "Error from cloudfront"), *request_id())
                )
            case "regional" if request.method == "GET":
                return None if request.header(_SESSION) else method_not_allowed()
            case _:
                return method_not_allowed()

    def _metadata(self, request: Request) -> Answer:
        base = self._base(request)
        issuer = logins.sign_in(request, self.service.region or "", by_name=request.host == self.service.host)
        path = self.service.paths[0].rstrip("/") if request.host == self.service.host else "/mcp"
        return in_json({"resource": f"{base}{path}", "authorization_servers": [issuer]}, headers=edge())

    def _base(self, request: Request) -> str:
        # By path the lab must not send anybody to the real name; under the real name it says what AWS says.
        prefix = "" if request.host == self.service.host else self.service.prefix
        return f"{request.scheme}://{request.authority}{prefix}"

    def _caller(self, request: Request) -> str | Answer:
        """Who is asking: an ARN, or `anonymous`; or the answer that turns them away."""
        service, authorization = self.service, request.header("authorization")
        if service.signing is None or service.region is None:
            return ANONYMOUS
        if authorization is None:
            return self._unsigned(request)
        if not authorization.startswith("AWS4-") or service.family == "bearer":
            return self._with_token(request)
        found = verify(request, service=service.signing, region=service.region, keys=self.keys)
        if isinstance(found, sigv4.Refusal):
            return refused(request, found, status=service.refusal_status, family=service.family)
        if found.key.denied:
            return denied(found.key.arn, service=service.signing, region=service.region, action=service.action)
        return self._without_header(request) or found.key.arn

    def _without_header(self, request: Request) -> Answer | None:
        """What a server says that needs a header (reported: "HTTP 400 … Invalid streaming URL")."""
        if all(request.header(name) for name in self.service.headers):
            return None
        return aws_error("ValidationException", "Invalid streaming URL", status=400)

    def _unsigned(self, request: Request) -> str | Answer:
        match self.service.family:
            case "agentcore":  # reported: CopilotKit issue 6920; the id really is the string "null"
                error = {"code": -32001, "message": "Missing Authentication Token"}
                return in_json({"jsonrpc": "2.0", "error": error, "id": "null"}, status=401, headers=request_id())
            case "lambda":
                return in_json({"Message": "Forbidden"}, status=403, headers=(FORBIDDEN, *request_id()))
            case "api-gateway":  # reported: CopilotKit issue 6920
                said = {"message": "Missing Authentication Token"}
                kind = ("x-amzn-errortype", "MissingAuthenticationTokenException")
                return in_json(said, status=403, headers=(kind, *request_id()))
            case "bearer":
                return self._challenge(request)
            case "aws-mcp" if not self.rules.closed:
                # Reported since July 2026: the query makes clients log in that take an answer for a welcome.
                if request.rpc_method == "initialize" and _LOGIN in request.query.split("&"):
                    return self._challenge(request)
                # Measured in August 2026 (aws/agent-toolkit-for-aws issue 246): a name that does not exist gets the
                # same 401 as one that needs a signature.
                if request.tool is None and request.rpc_method != "tools/call":
                    return ANONYMOUS
                return ANONYMOUS if request.tool in self.service.public else self._challenge(request)
            case _:
                return rpc_error(request, -32001, UNVERIFIED, status=401)

    def _challenge(self, request: Request) -> Answer:
        base = self._base(request)
        ask = f'Bearer realm="{base}/mcp", resource_metadata="{base}/.well-known/oauth-protected-resource"'
        return rpc_error(request, -32001, UNVERIFIED, status=401, headers=(("www-authenticate", ask), *edge()))

    def _with_token(self, request: Request) -> str | Answer:
        token = logins.bearer(request)
        welcome = self.service.family == "bearer" or (self.service.family == "aws-mcp" and not self.rules.closed)
        if token and welcome:
            if tokens.wrong(token, tokens.SIGN_IN) is None:
                return f"arn:aws:sts::{accounts.ACCOUNT}:assumed-role/lab/oauth"
            return self._challenge(request)
        if self.service.family == "agentcore":  # reported: aws/agentcore-cli issue 714
            return aws_error("AccessDeniedException", METHOD_MISMATCH, status=403)
        return self._challenge(request)


def _stated(limiters: Iterable[Limiter], counted_as: str, now: float) -> Headers:
    """What a caller has left, as draft-ietf-httpapi-ratelimit-headers-10 writes it; nothing without a rate."""
    quotas = [quota for limiter in limiters if (quota := limiter.quota(counted_as, now)) is not None]
    if not quotas:
        return ()
    named = [(f'"lab-{number}"' if number > 1 else '"lab"', quota) for number, quota in enumerate(quotas, 1)]
    return (
        ("ratelimit-policy", ", ".join(f"{name};q={quota.most};w={quota.window_s}" for name, quota in named)),
        ("ratelimit", ", ".join(f"{name};r={quota.left};t={quota.more_s}" for name, quota in named)),
    )


def method_not_allowed() -> Answer:
    """405 of the edge (reported: authprobe capture of 2026-02-09)."""
    error = {"code": -32600, "message": "HTTP method not supported."}
    body = {"jsonrpc": "2.0", "id": "", "result": None, "error": error}
    return in_json(body, status=405, headers=(("allow", "POST"), *edge()))


def verify(
    request: Request,
    *,
    service: str,
    region: str,
    keys: Mapping[str, sigv4.Key],
    now: datetime | None = None,
    headers: Iterable[tuple[str, str]] | None = None,
) -> sigv4.Identity | sigv4.Refusal:
    """Check the signature of a request.

    Args:
        request: What came in.
        service: The service name the signature must be scoped to.
        region: The region likewise.
        keys: The keys that are known.
        now: The server's clock; the real one by default.
        headers: The headers to check in place of those that came in.

    Returns:
        Who signed, or what is wrong.
    """
    return sigv4.verify(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=list(headers if headers is not None else request.headers),
        body=request.body,
        keys=keys,
        service=service,
        region=region,
        now=now or datetime.now(UTC),
    )


def refused(request: Request, refusal: sigv4.Refusal, *, status: int, family: str = "aws-mcp") -> Answer:
    """Tell a caller what is wrong with the signature, in the way of the host.

    Args:
        request: What came in.
        refusal: What is wrong.
        status: 401 or 403.
        family: `aws-mcp` gives an expired token as a JSON-RPC error (reported: aws/mcp-proxy-for-aws issue 95);
            `agentcore` says "is invalid" where `*.api.aws` says "is not recognized".

    Returns:
        The answer.
    """
    message = refusal.message
    if refusal.error_type == "ExpiredTokenException" and family == "aws-mcp":
        return rpc_error(request, -32001, EXPIRED_TOKEN, status=status, headers=request_id())
    if refusal.error_type == "UnrecognizedClientException" and family == "agentcore":
        message = message.replace("is not recognized", "is invalid")
    return aws_error(refusal.error_type, message, status=status)


def denied(arn: str, *, service: str, region: str, action: str = "") -> Answer:
    """The caller is known and may not (reported for AgentCore; the wording is IAM's everywhere)."""
    action = action or f"{service}:InvokeMcp"
    resource = f"arn:aws:{service}:{region}:{accounts.ACCOUNT}:mcp-server/lab"
    message = (
        f"User: {arn} is not authorized to perform: {action} on resource: {resource} because no identity-based policy "
        f"allows the {action} action"
    )
    return aws_error("AccessDeniedException", message, status=403)
