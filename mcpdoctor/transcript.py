"""What one piece of work put on the wire: the exchanges, and what the connection under them did."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from mcpdoctor.model import Exchange
from mcpdoctor.redaction import clean

KEPT_GREETING = 64
"""Bytes that the transcript keeps of what comes first over a connection."""

FALLBACK_S = 1.0
"""Seconds that an address may take to accept before the next one is tried; the last one has all the time there is.

The real client (anyio) does not wait at all: it tries the next address after a quarter of a second, beside the first.
"""


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


def tracer(transcript: Transcript | None, also: Trace | None) -> Trace:
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


def impatient(trace: Trace, patience: anyio.CancelScope) -> Trace:
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
