"""Requests of our own: one connection to each host, at the pace it allows, and none once it throttles us."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx

from mcpdoctor import __version__, caller, probes, way
from mcpdoctor.bodies import ACCEPT_ENCODING
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.diagnosis import throttled
from mcpdoctor.endpoints import Quota
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Exchange, Fact, Stage, Trace, Verdict
from mcpdoctor.network import Network, port_of
from mcpdoctor.outcomes import Outcome, evidence
from mcpdoctor.transcript import Transcript
from mcpdoctor.wire import Pacer, RecordingTransport

RELEASE_S = 2.0
"""Seconds that the end of a session or of a connection may take."""

THROTTLED = "the host throttles this caller; nothing more was sent"
"""Why a stage was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST of our own, with what became of it."""

    transcript: Transcript
    outcome: Outcome
    facts: Mapping[str, Fact] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def trace(self, stage: Stage, facts: Mapping[str, Fact]) -> Trace:
        """It as the trace of a stage, with more facts."""
        return self.outcome.trace(
            stage,
            elapsed_s=self.elapsed_s,
            facts={**facts, **self.facts},
            exchanges=tuple(self.transcript.exchanges),
        )


class Lane:
    """Everything that concerns one host and port: one connection of our own, the pace, who is throttled.

    Args:
        network: the way there.
        url: of any of its endpoints.
        quota: what it is known to allow.
        catalogue: says which answers are throttling.
        timeout_s: seconds that one request may take.
        later: starts work that nobody waits for.

    Attributes:
        choice: what the environment says about an HTTP proxy.
        proxy: its URL; None for a direct connection.
        sessions: how many sessions of the real client the host takes at a time.
        throttled: callers that it throttles: those who say who they are (True), those who do not (False).
    """

    def __init__(
        self,
        network: Network,
        url: str,
        quota: Quota,
        *,
        catalogue: Catalogue,
        timeout_s: float,
        later: Callable[..., None],
    ) -> None:
        self._catalogue, self._timeout_s, self._later = catalogue, timeout_s, later
        self.choice = network.proxy_choice(url)
        self.proxy = self.choice.url
        self.sessions = anyio.CapacityLimiter(quota.parallel)
        self.throttled: set[bool] = set()
        self._turn = anyio.Lock()
        self._pacers = {True: Pacer(quota.signed_per_s), False: Pacer(quota.unsigned_per_s)}
        self._transport = RecordingTransport(
            network, Transcript(), self.pace, answered=self.answered, single=True, proxy=self.proxy
        )
        self._client = httpx.AsyncClient(
            transport=self._transport,
            timeout=None,  # noqa: S113  # every stage has its deadline
            headers={"user-agent": f"mcpdoctor/{__version__}", "accept-encoding": ACCEPT_ENCODING},
        )

    async def pace(self, signed: bool) -> float:
        """Wait for the turn of a request; the seconds that it took."""
        return await self._pacers[signed].wait()

    def answered(self, signed: bool) -> None:
        """An answer has come."""
        self._pacers[signed].answered()

    async def post(
        self,
        cell: Cell,
        signer: probes.Signer | None,
        check: Callable[[Exchange, Any], None],
        *,
        body: bytes | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Attempt:
        """One POST of our own, and the end of the session it may have opened.

        Nothing is sent once the host has throttled this kind of caller; a signed one has a limit of its own.
        """
        url, secrets = cell.configuration.endpoint, caller.secrets(cell, signer)
        transcript = Transcript()
        facts: dict[str, Fact] = {}
        async with self._turn:
            named = signer is not None or cell.configuration.bearer
            if named in self.throttled:
                return Attempt(transcript=transcript, outcome=Outcome(Verdict.SKIPPED, reason=THROTTLED))
            self._transport.use(transcript, secrets)
            started = time.perf_counter()
            with evidence(secrets) as outcome:
                with anyio.fail_after(self._timeout_s) as transcript.scope:
                    await probes.post(self._client, url, signer, {**cell.headers, **more}, body=body)
                check(transcript.exchanges[-1], probes.heard(transcript))
            elapsed_s = time.perf_counter() - started - transcript.waited_s
            sent = Trace(stage=Stage.HTTP, verdict=Verdict.FAILED, exchanges=tuple(transcript.exchanges))
            if throttled(sent, self._catalogue):
                self.throttled.add(named)
        facts |= way.http_fault(transcript, outcome.failures)
        if transcript.cut_s is not None:
            facts["stream_cut_s"] = transcript.cut_s
        said = probes.heard(transcript)
        if said is not None:
            facts["answer"] = said.kind
            facts["answered_in_full"] = transcript.exchanges[-1].complete
            facts |= probes.clock_facts(transcript.exchanges[-1], time.time())
            facts |= probes.refused_revision(said, transcript.last_body)
        if session_id := transcript.last_headers.get("mcp-session-id"):
            self._later(self._release, cell, signer, session_id)
        return Attempt(transcript=transcript, outcome=outcome, facts=facts, elapsed_s=round(max(elapsed_s, 0.0), 6))

    async def _release(self, cell: Cell, signer: probes.Signer | None, session_id: str) -> None:
        async with self._turn:
            self._transport.use(Transcript(), caller.secrets(cell, signer))
            with anyio.move_on_after(RELEASE_S):
                # Whatever keeps us from it, the server drops the session by itself, only later.
                with suppress(Exception):
                    await probes.release(self._client, cell.configuration.endpoint, signer, session_id, cell.headers)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._client.aclose()


class Lanes:
    """The lanes of a run, made as they are needed.

    Args:
        network: the way to all hosts.
        catalogue: says which answers are throttling.
        timeout_s: seconds that one request may take.
        later: starts work that nobody waits for.
    """

    def __init__(self, network: Network, catalogue: Catalogue, *, timeout_s: float, later: Callable[..., None]) -> None:
        self._lane = partial(Lane, network, catalogue=catalogue, timeout_s=timeout_s, later=later)
        self._lanes: dict[tuple[str, str, int], Lane] = {}

    def of(self, cell: Cell) -> Lane:
        """The lane of a cell: that of the host and port of its endpoint."""
        url = cell.configuration.endpoint
        key = origin(url)
        if key not in self._lanes:
            self._lanes[key] = self._lane(url, cell.endpoint.quota if cell.endpoint else Quota())
        return self._lanes[key]

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in self._lanes.values():
            await lane.aclose()


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: what one connection serves."""
    split = urlsplit(url)
    return split.scheme, split.hostname or "", port_of(url)
