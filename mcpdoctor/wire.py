"""HTTP with a transcript: routing, one TLS context, pacing, and a record of every exchange.

Our own requests and those of the real MCP client go through the same `RecordingTransport`, so both leave the same
evidence, and neither can be made to read without end.
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
import time
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx

from mcpdoctor.answers import decoded, problem
from mcpdoctor.http_proxies import Choice, choose
from mcpdoctor.model import Exchange, Unusable
from mcpdoctor.redaction import clean, clean_headers

MAX_BODY = 8 * 2**20
"""Bytes of one answer that are read at most; the largest tool lists seen are below 1 MiB."""

EARLY_BODY = 65536
"""Bytes of a refusal that are read before the client gets it."""

KEPT_BODY = 4000
"""Characters of a body that the transcript keeps."""

KEPT_GREETING = 64
"""Bytes that the transcript keeps of what comes first over a connection."""

ACCEPT_ENCODING = "gzip, deflate"
"""What we ask for: httpx offers more where more is installed, and only these are unpacked within bounds."""

FALLBACK_S = 1.0
"""Seconds that an address may take to accept before the next one is tried; the last one has all the time there is.

The real client (anyio) does not wait at all: it tries the next address after a quarter of a second, beside the first.
"""

_READ_AT_ONCE = 65536
_STREAM_END_S = 0.2


class ResponseTooLarge(httpx.TransportError):
    """The server sent more than MAX_BODY bytes in one answer."""


@dataclass(frozen=True, slots=True)
class Route:
    """One `--connect-to`: what is meant for `host:port` goes to `to_host:to_port`."""

    host: str
    port: int
    to_host: str
    to_port: int


def parse_route(text: str) -> Route:
    """Read `HOST:PORT:HOST2:PORT2`, as curl's --connect-to writes it (IPv6 addresses in brackets).

    Raises:
        Unusable: it is not of that form.
    """
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+):(\d{1,5}):(\[[^\]]+\]|[^:\[\]]+):(\d{1,5})", text)
    if not found or not (0 < int(found[2]) < 65536 and 0 < int(found[4]) < 65536):
        shown = clean(text, limit=100)
        raise Unusable(f"{shown!r} is no route; write HOST:PORT:HOST2:PORT2, such as api.example:443:127.0.0.1:8443.")
    return Route(found[1].strip("[]").lower(), int(found[2]), found[3].strip("[]"), int(found[4]))


@dataclass(slots=True)
class Network:
    """How names become addresses in this run.

    Attributes:
        routes: connect-to; a routed name is not looked up.
        sealed: names without a route do not resolve (the lab: nothing may leave this machine).
        environ: environment variables, for HTTP proxies.
        context: the one TLS context of the run.
        addresses: what was looked up, by host; filled by `look_up`.
        look_ups: names that were really asked for, in order.
        ca_problem: why the client cannot load the authorities that the environment names, as half a sentence; None
            where it can.
        silent: addresses that did not answer while another one of the same host did; they are tried last.
    """

    context: ssl.SSLContext
    routes: Mapping[tuple[str, int], Route] = field(default_factory=dict)
    sealed: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    look_ups: list[str] = field(default_factory=list)
    ca_problem: str | None = None
    silent: set[str] = field(default_factory=set)

    def route(self, host: str, port: int) -> Route | None:
        """The route of a host; a dot at the end of its name says only that the name is whole."""
        return self.routes.get((host.lower().removesuffix("."), port))

    def proxy_choice(self, url: str) -> Choice:
        """What the environment says about a proxy for `url`; nothing of it counts where the way is given (routes)."""
        if self.sealed or self.route(urlsplit(url).hostname or "", port_of(url)) is not None:
            return Choice()
        return choose(self.environ, url)

    def proxy_for(self, url: str) -> str | None:
        """The HTTP proxy that the environment prescribes for `url`, as httpx reads it; None for a direct connection."""
        return self.proxy_choice(url).url

    def look_up(self, host: str, port: int) -> tuple[str, ...]:
        """Addresses of `host`, looked up once in the run. Blocks: callers run it in a thread.

        Raises:
            socket.gaierror: the name does not resolve.
        """
        route = self.route(host, port)
        if route is not None:
            return (route.to_host,)
        if host not in self.addresses:
            if self.sealed and not _is_address(host):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            self.look_ups.append(host)
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self.addresses[host] = tuple(dict.fromkeys(str(address[4][0]) for address in found))
        return self.addresses[host]

    def targets(self, host: str, port: int) -> tuple[tuple[str, int], ...]:
        """Where to connect for `host:port`: the route, else the addresses that the look-up gave.

        The first one of the other family comes second (RFC 8305, section 4), those that are known to be silent last.
        """
        route = self.route(host, port)
        if route is not None:
            return ((route.to_host, route.to_port),)
        found = self.addresses.get(host, (host,))
        other = [address for address in found if (":" in address) != (":" in found[0])][:1]
        ordered = dict.fromkeys((found[0], *other, *found))
        return tuple((address, port) for address in sorted(ordered, key=self.silent.__contains__))


def tls_context(ca_bundle: str | None, *, needed: bool = True) -> ssl.SSLContext:
    """The TLS context of the real client (httpx's, so SSL_CERT_FILE counts), plus the authorities of a bundle.

    Args:
        ca_bundle: path of PEM certificates to trust besides the usual ones.
        needed: whether any URL is https; where none is, no authorities are loaded, and nothing would be trusted.

    Raises:
        Unusable: the bundle cannot be read or holds no certificate.
    """
    if not needed:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        try:
            context = httpx.create_ssl_context()
        except OSError:  # SSL_CERT_FILE names nothing that can be read; the client would end here
            context = httpx.create_ssl_context(trust_env=False)
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except (OSError, ssl.SSLError) as error:
            why = f"not a readable file of PEM certificates ({error.args[-1]})"
            raise Unusable(f"--ca-bundle {ca_bundle}: {why}.") from error
    return context


def port_of(url: str) -> int:
    """The port that `url` names, or that of its scheme."""
    split = urlsplit(url)
    return split.port or (443 if split.scheme == "https" else 80)


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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


@dataclass(slots=True)
class Transcript:
    """What one piece of work put on the wire.

    Attributes:
        exchanges: finished or failed ones, in the order they were sent.
        events: connection events of httpcore, name to (started, ended) seconds; the last connection counts.
        peer: facts of the TLS session, where one was made.
        address: the address that took the connection.
        tunnelled: whether a TLS handshake was begun through an HTTP proxy.
        unanswered: addresses that were tried before it, with the seconds that each of them took.
        first_body: the body of the first POST's answer, whole.
        last_body: the last body that was read, whole.
        last_headers: the headers of the last answer, not redacted.
        greeting: what came first over the newest connection, as far as it was read; what is no HTTP shows here only.
        cut_s: seconds after which the event stream ended that was to bring the answer to the last POST and did not;
            None where it did not end, or brought it.
        waited_s: seconds that the pacer held requests back.
        scope: the deadline of the stage at work; None between stages.
        waiting: requests that the pacer holds back just now.
        left_s: what was left of the deadline when the first of them began to wait.
    """

    exchanges: list[Exchange] = field(default_factory=list)
    events: dict[str, list[float | None]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    peer: dict[str, Any] = field(default_factory=dict)
    address: str | None = None
    tunnelled: bool = False
    unanswered: dict[str, float] = field(default_factory=dict)
    first_body: bytes = b""
    last_body: bytes = b""
    last_headers: httpx.Headers = field(default_factory=httpx.Headers)
    greeting: bytes = b""
    cut_s: float | None = None
    waited_s: float = 0.0
    scope: anyio.CancelScope | None = None
    waiting: int = 0
    left_s: float = math.inf

    @property
    def first_post(self) -> Exchange | None:
        """The exchange of the first POST; None before there was one."""
        return next((one for one in self.exchanges if one.method == "POST"), None)

    def note(self, name: str, info: Mapping[str, Any]) -> None:
        """Take an event of httpcore's trace extension: when a connection and its TLS handshake began and ended."""
        event, _, phase = name.rpartition(".")
        if event not in ("connection.connect_tcp", "connection.start_tls", "proxy.start_tls"):
            return
        if phase == "complete":
            self.greeting = b""
            self._listen(info.get("return_value"))
        self.tunnelled = self.tunnelled or event.startswith("proxy.")
        event = event.rpartition(".")[2]
        now = time.perf_counter()
        if phase == "started":
            self.events[event] = [now, None]
            self.failed.discard(event)
        elif event in self.events:
            self.events[event][1] = now
            if phase == "failed":
                self.failed.add(event)
            elif event == "start_tls":
                self.peer = _peer(info.get("return_value"))

    def _listen(self, stream: Any) -> None:
        """Keep what comes first over a connection. httpcore shows bytes that are no HTTP to nobody else."""
        read = stream.read

        async def listening(max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # as httpcore's
            data: bytes = await read(max_bytes, timeout)
            self.greeting += data[: KEPT_GREETING - len(self.greeting)]
            if len(self.greeting) >= KEPT_GREETING:
                stream.read = read
            return data

        stream.read = listening

    def seconds(self, event: str) -> float:
        """How long `connect_tcp` or `start_tls` took; 0 where it did not happen or did not end."""
        started, ended = self.events.get(event, [None, None])
        return ended - started if started is not None and ended is not None else 0.0


Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""A trace extension of httpcore: told of every step of a request."""


def _tracer(transcript: Transcript | None, also: Trace | None) -> Trace:
    """A trace extension for one request; it tells the transcript and `also`, and closes what httpcore leaves open."""
    connected: list[Any] = []

    async def trace(name: str, info: Mapping[str, Any]) -> None:
        if transcript is not None:
            transcript.note(name, info)
        if also is not None:
            await also(name, info)
        if name == "connection.connect_tcp.complete":
            connected.append(info["return_value"])
        elif name == "connection.start_tls.failed":
            # httpcore closes the socket of a handshake that failed, but leaks that of one that was cancelled.
            with anyio.CancelScope(shield=True):
                for stream in connected:
                    await stream.aclose()

    return trace


def _impatient(trace: Trace, patience: anyio.CancelScope) -> Trace:
    """A trace extension that gives a connection FALLBACK_S to be accepted, and the rest of the work all its time."""

    async def told(name: str, info: Mapping[str, Any]) -> None:
        event, _, phase = name.rpartition(".")
        if event == "connection.connect_tcp":
            patience.deadline = anyio.current_time() + FALLBACK_S if phase == "started" else math.inf
        await trace(name, info)

    return told


def _peer(stream: Any) -> dict[str, Any]:
    """Facts of a TLS session, from the network stream that httpcore hands over."""
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    if tls is None:
        return {}
    certificate = tls.getpeercert() or {}
    issuer = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return {
        "tls_version": tls.version(),
        "certificate_issuer": clean(str(issuer.get("organizationName") or issuer.get("commonName") or ""), limit=200),
        "certificate_expires": str(certificate.get("notAfter", "")),
    }


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
        body = _Body(
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
        tracer = _tracer(transcript if self._keep else None, request.extensions.get("trace"))
        request.extensions = {**request.extensions, "trace": tracer}
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
                    routed.extensions = {**request.extensions, "trace": _impatient(tracer, patience)}
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
            cut = (complete or broke) and _unanswered(response, body)
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


def _unanswered(response: httpx.Response, body: bytes) -> bool:
    """Whether an event stream that was to bring the answer to a POST holds none."""
    if response.status_code != httpx.codes.OK:
        return False
    return "text/event-stream" in response.headers.get("content-type", "") and not re.search(
        rb'"(?:result|error)"\s*:', body
    )


class _Body(httpx.AsyncByteStream):
    """Streams a body through, keeps its beginning, and stops at MAX_BODY bytes, unpacked ones counted.

    gzip and deflate are unpacked here and not by httpx: a few kilobytes can unpack to gigabytes.
    """

    def __init__(self, response: httpx.Response, on_close: Callable[[bytes, bool, bool], None]) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  # an async transport gives nothing else
        self._stream = response.stream
        self._on_close: Callable[[bytes, bool, bool], None] | None = on_close
        self._kept = bytearray()
        self.complete = self.broke = False
        self._early: list[bytes] = []
        self._failure: httpx.TransportError | None = None
        self._source = self._read()
        packing = response.headers.get("content-encoding", "").lower()
        self._unpack = zlib.decompressobj(wbits=47) if packing in ("gzip", "x-gzip", "deflate") else None
        # A packing that we do not ask for stays packed: httpx would unpack it without a bound.
        self.replaced = (b"content-encoding", b"content-length") if packing else ()

    async def read_early(self) -> None:
        """Read the beginning now: mcp 1.x drops the body of a refusal, and the reason with it."""
        try:
            async for piece in self._source:
                self._early.append(piece)
                if len(self._kept) >= EARLY_BODY:
                    return
        except httpx.TransportError as error:
            self._failure = error  # raised where the client reads

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._early:
            yield piece
        if self._failure is not None:
            raise self._failure
        async for piece in self._source:
            yield piece

    async def _read(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in self._stream:
                for piece in self._pieces(chunk):
                    if len(self._kept) + len(piece) > MAX_BODY:
                        raise ResponseTooLarge(f"more than {MAX_BODY // 2**20} MiB in one answer")
                    self._kept += piece
                    yield piece
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            self.broke = True
            raise
        self.complete = True

    def _pieces(self, chunk: bytes) -> Iterable[bytes]:
        if self._unpack is None:
            yield chunk
            return
        while chunk:
            try:
                piece = self._unpack.decompress(chunk, _READ_AT_ONCE)
            except zlib.error as error:
                raise httpx.DecodingError(f"the body is not what its content-encoding says: {error}") from error
            chunk = self._unpack.unconsumed_tail
            yield piece

    async def aclose(self) -> None:
        if self._on_close is not None:
            self._on_close(bytes(self._kept), self.complete, self.broke)
            self._on_close = None
        await self._source.aclose()
        await self._stream.aclose()


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


async def read_answer(response: httpx.Response, request_id: object) -> None:
    """Read a body to its end, or, of an event stream, until the event that answers `request_id`."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        async for _ in response.aiter_bytes():
            pass
        return
    data: list[str] = []
    with anyio.CancelScope() as patience:
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                data.append(line[5:])
            elif not line:
                if _answers("\n".join(data), request_id):
                    # A server ends the stream after its answer; a connection that saw that end can be used again.
                    patience.deadline = min(patience.deadline, anyio.current_time() + _STREAM_END_S)
                data = []


def _answers(data: str, request_id: object) -> bool:
    try:
        message = json.loads(data)
    except ValueError:
        return False
    return isinstance(message, dict) and (message.get("id") == request_id or "error" in message)
