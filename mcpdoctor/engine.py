"""Run a plan: cells side by side, what they share done once, every exception turned into evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.abc

from mcpdoctor import __version__, probes, revisions, way
from mcpdoctor.caller import Key, caller, key, named, no_token, secrets, with_token
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.diagnosis import Said, deciding, read, throttled
from mcpdoctor.failures import Chain
from mcpdoctor.followups import FollowUps
from mcpdoctor.identities import Identities
from mcpdoctor.installed import environment
from mcpdoctor.lanes import RELEASE_S, THROTTLED, Lane, Lanes, origin
from mcpdoctor.matrix import Cell, Plan
from mcpdoctor.model import UNSIGNED, Exchange, Fact, Report, Result, Severity, Stage, Trace, Verdict, trace_of
from mcpdoctor.network import Network, port_of
from mcpdoctor.outcomes import Once, evidence, on_signal
from mcpdoctor.talking import Conversation, Talk
from mcpdoctor.threads import in_thread
from mcpdoctor.traces import ON_THE_WAY, complete, merged
from mcpdoctor.transcript import Transcript
from mcpdoctor.verdict import conclude
from mcpdoctor.wire import RecordingTransport

_MOST_PROGRAMS = 4


class Observer(Protocol):
    """Somebody who wants to know how a run is going; must not raise and must return at once."""

    def stage(self, cell: Cell, trace: Trace) -> None:
        """One stage of one cell has ended."""

    def finished(self, cell: Cell) -> None:
        """All stages of one cell have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run.

    Attributes:
        timeout_s: deadline of one stage, in seconds.
        start_timeout_s: seconds that a command may take to start and to answer; a first start may have to download it.
        deadline_s: deadline of the whole run, in seconds.
        jobs: cells at work at a time.
        environ: environment variables of the user.
        standby: environment variables with the keys of the lab; None against real servers.
        fail_on: see `diagnosis.exit_code`.
        revisions: whether each server is asked which revisions of MCP it speaks: one more request for each of them.
        whoami: whether AWS STS is asked who each credential is.
    """

    timeout_s: float = 10.0
    start_timeout_s: float = 60.0
    deadline_s: float = 300.0
    jobs: int = 32
    environ: Mapping[str, str] = field(default_factory=dict)
    standby: Mapping[str, str] | None = None
    fail_on: Severity | None = Severity.ERROR
    revisions: bool = False
    whoami: bool = False


async def run(
    plan: Plan, catalogue: Catalogue, network: Network, settings: Settings, observer: Observer | None = None
) -> Report:
    """Try every cell of the plan, and report what was seen and what it means.

    Interrupting the process (Ctrl-C, SIGTERM) or reaching the deadline ends the work, not the report: it tells what
    was found until then.
    """
    return await _Run(plan, catalogue, network, settings, observer).report()


class _Run:
    def __init__(
        self, plan: Plan, catalogue: Catalogue, network: Network, settings: Settings, observer: Observer | None
    ) -> None:
        self.plan, self.catalogue, self.network, self.settings = plan, catalogue, network, settings
        self.observer = observer
        self.cells = list(plan.cells)
        self.starts = anyio.CapacityLimiter(_MOST_PROGRAMS)
        self.traces: list[list[Trace]] = [[] for _ in plan.cells]
        self.elapsed = [0.0 for _ in plan.cells]
        self.once = Once()
        self.follow_ups = FollowUps(catalogue, network, self.once, timeout_s=settings.timeout_s, whoami=settings.whoami)
        self.identities = Identities(
            (cell.configuration for cell in plan.cells),
            environ=settings.environ,
            standby=settings.standby,
            timeout_s=settings.timeout_s,
        )
        self.lanes = Lanes(network, catalogue, timeout_s=settings.timeout_s, later=self._later)
        self.talks: dict[tuple[Hashable, ...], Talk] = {}
        self.jobs = anyio.CapacityLimiter(settings.jobs)
        self.interrupted: str | None = None

    async def report(self) -> Report:
        started, clock = datetime.now(UTC), time.perf_counter()
        try:
            with anyio.move_on_after(self.settings.deadline_s) as deadline:
                async with anyio.create_task_group() as watch:
                    watch.start_soon(on_signal, partial(self._stop, watch.cancel_scope))
                    async with anyio.create_task_group() as self.background:
                        for index, cell in enumerate(self.plan.cells):
                            self.background.start_soon(self._cell, index, cell)
                    watch.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(RELEASE_S):
                await self.lanes.aclose()
        if deadline.cancelled_caught:
            self.interrupted = "deadline"
        report = Report(
            mcpdoctor=__version__,
            started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            elapsed_s=round(time.perf_counter() - clock, 3),
            interrupted=self.interrupted,
            environment=environment(),
            results=tuple(self._result(index, cell) for index, cell in enumerate(self.cells)),
        )
        return conclude(report, self.catalogue, self.settings.fail_on)

    def _later(self, work: Callable[..., Any], *given: object) -> None:
        self.background.start_soon(work, *given)

    def _stop(self, scope: anyio.CancelScope) -> None:
        self.interrupted = "interrupted"
        scope.cancel()

    def _result(self, index: int, cell: Cell) -> Result:
        return Result(
            target=cell.target,
            configuration=cell.configuration,
            works=None,
            stage=Stage.PARSE,
            expected=cell.expected,
            origin=cell.origin,
            elapsed_s=round(self.elapsed[index], 3),
            stages=complete(self.traces[index], self.interrupted),
        )

    async def _cell(self, index: int, cell: Cell) -> None:
        async with self.jobs:
            started = time.perf_counter()
            traces = self.traces[index]
            try:
                with evidence() as outcome:
                    cell = with_token(cell, self.settings.environ, self.settings.standby)
                    if cell.optional and not await self._has_keys(cell):
                        unsigned = replace(cell.configuration, credential=UNSIGNED)
                        cell = self.cells[index] = replace(cell, configuration=unsigned)
                    await (self._walk_command if cell.start else self._walk)(cell, traces)
                if outcome.verdict is not Verdict.PASSED:
                    # Nothing should come out of there; what does costs this cell its next stage, not the run.
                    reached = {trace.stage for trace in traces}
                    self._add(
                        cell, traces, outcome.trace(next((one for one in Stage if one not in reached), Stage.CALL))
                    )
            finally:
                self.elapsed[index] = time.perf_counter() - started
            if self.observer is not None:
                self.observer.finished(cell)

    def _add(self, cell: Cell, traces: list[Trace], *new: Trace) -> bool:
        """Keep traces; False once one of them ends the way."""
        for trace in new:
            traces.append(trace)
            if self.observer is not None:
                self.observer.stage(cell, trace)
            if throttled(trace, self.catalogue):
                self.lanes.of(cell).throttled.add(named(cell))
            if trace.verdict in (Verdict.FAILED, Verdict.BROKEN):
                return False
        return True

    async def _has_keys(self, cell: Cell) -> bool:
        configuration = cell.configuration
        if not configuration.signed:
            return True
        return (await self.identities.resolved(configuration.credential, cell.environ)).resolved is not None

    async def _walk_command(self, cell: Cell, traces: list[Trace]) -> None:
        """Open MCP through the command of an entry; where that fails, try its endpoint directly too.

        What the endpoint says goes before what the program makes of it: a proxy says "expired credentials" for any
        refusal. So the stages up to auth are those of the direct way, and the later ones those of the program, with
        the evidence of the direct way beside it.
        """
        from mcpdoctor.starting import Conversation as OverPipes

        self._add(cell, traces, probes.parse(cell, self.catalogue, deadline_s=self.settings.timeout_s))
        talk = OverPipes(cell, timeout_s=self.settings.timeout_s, start_timeout_s=self.settings.start_timeout_s)
        try:
            async with self.starts:
                await self.once("client", lambda: in_thread(probes.load_client))
                await talk.hold()
        finally:
            self._add(cell, traces, *talk.traces)
        # A proxy that has no region or refuses its arguments never gets to its endpoint.
        reaches = bool(cell.configuration.endpoint) and cell.facts.get("proxy_starts") is not False
        if not talk.failed or not reaches:
            why = "the command does this by itself"
            traces += [Trace(stage=stage, verdict=Verdict.SKIPPED, reason=why) for stage in ON_THE_WAY]
            return
        direct: list[Trace] = []
        configuration = replace(cell.configuration, transport="streamable-http")
        try:
            await self._walk(replace(cell, start=None, facts={}, configuration=configuration), direct)
        finally:
            traces[:] = merged(traces, direct)

    async def _walk(self, cell: Cell, traces: list[Trace]) -> None:
        """Take one cell through its stages, until one fails."""
        if cell.skip is not None:
            traces += [Trace(stage=stage, verdict=Verdict.SKIPPED, reason=cell.skip) for stage in Stage]
            return
        configuration = cell.configuration
        url = configuration.endpoint
        if not self._add(cell, traces, probes.parse(cell, self.catalogue, deadline_s=self.settings.timeout_s)):
            return
        if not await self._find(cell, traces):
            return
        lane = self.lanes.of(cell)
        if configuration.signed:
            # Logging in takes time of its own; it begins while the network is being waited for.
            self.background.start_soon(self.identities.resolved, configuration.credential, cell.environ)
        if cell.endpoint is not None and cell.endpoint.strict:
            await self._walk_strict(cell, traces, lane)
            return
        asked = (url, key(cell.headers))
        contacted, tcp, tls, http = await self.once(("contact", *origin(url)), lambda: self._contact(cell, lane))
        if not self._add(cell, traces, tcp, tls):
            return
        if contacted != asked:
            http = await self.once(("http", *asked), lambda: self._http(cell, lane))
        if http.verdict is Verdict.FAILED and configuration.signed:
            http = await self._signed_first(cell, lane, http)
        if not self._add(cell, traces, http) or (http.verdict is Verdict.SKIPPED and not configuration.signed):
            return
        signer, auth = await self._auth(cell, lane, http)
        auth = await self.follow_ups.after(cell, lane, signer, traces, auth)
        if not self._add(cell, traces, auth) or auth.verdict is Verdict.SKIPPED:
            return
        talk = self._talk_of(cell)
        try:
            await self.once(talk, lambda: self._talk(cell, lane, signer, talk))
        finally:  # what was found stays found when the run is interrupted
            self._add(cell, traces, *talk.traces)

    async def _find(self, cell: Cell, traces: list[Trace]) -> bool:
        """Whether there is a proxy that can be asked, or an address that can be connected to."""
        url = cell.configuration.endpoint
        choice = self.network.proxy_choice(url)
        if choice.problem is not None:
            return self._add(cell, traces, *way.unusable(choice))
        host, port = urlsplit(url).hostname or "", port_of(url)
        public = cell.endpoint is not None
        dns = await self.once(("dns", host, port), lambda: self._dns(url, host, port, public=public))
        return self._add(cell, traces, dns)

    async def _walk_strict(self, cell: Cell, traces: list[Trace], lane: Lane) -> None:
        """No request of our own: the first exchange of the real client is the evidence of tcp, tls, http and auth."""
        signer, refusal, facts = None, no_token(cell), {}
        if cell.configuration.signed:
            signer, refusal = await self.identities.signer(cell.configuration, cell.environ)
            facts = await self.identities.facts(cell.configuration, signer, cell.environ)
        if refusal is not None:
            self._add(cell, traces, refusal)
            return
        talk = self._talk_of(cell)
        try:
            await self.once(talk, lambda: self._talk(cell, lane, signer, talk))
        finally:
            await self._add_strict(cell, traces, lane, talk, facts)

    async def _add_strict(
        self, cell: Cell, traces: list[Trace], lane: Lane, talk: Talk, facts: Mapping[str, Fact]
    ) -> None:
        opened = trace_of(talk.traces, Stage.OPEN)
        if talk.transcript is not None and (opened is not None or talk.transcript.exchanges):
            failures = opened.failures if opened else ()
            transcript = talk.transcript
            for trace in await self.once(("way", talk), lambda: self._way(cell, lane, transcript, failures)):
                if not self._add(cell, traces, trace):
                    return
            first = talk.transcript.first_post
            said = probes.heard_first(talk.transcript)
            http = self._judged(Stage.HTTP, first, said, probes.check_http, failures)
            auth = self._judged(Stage.AUTH, first, said, probes.check_auth, failures)
            if not self._add(cell, traces, http, replace(auth, facts={**facts, **auth.facts})):
                return
        self._add(cell, traces, *talk.traces)

    def _judged(
        self,
        stage: Stage,
        exchange: Exchange | None,
        said: Said | None,
        check: Callable[[Exchange, Any], None],
        failures: tuple[Chain, ...] = (),
    ) -> Trace:
        """A trace of a stage from an exchange that another stage, or the real client, sent."""
        if exchange is None or exchange.status is None or said is None:
            return Trace(
                stage=stage, verdict=Verdict.FAILED, failures=failures, exchanges=(exchange,) if exchange else ()
            )
        with evidence() as outcome:
            check(exchange, said)
        return outcome.trace(
            stage,
            elapsed_s=exchange.elapsed_s,
            exchanges=(exchange,),
            facts={"answer": said.kind, **probes.clock_facts(exchange, time.time())},
        )

    # shared work ------------------------------------------------------------------------------------------------------

    async def _dns(self, url: str, host: str, port: int, *, public: bool) -> Trace:
        proxy = self.network.proxy_for(url)
        if proxy is not None:
            return Trace(stage=Stage.DNS, verdict=Verdict.SKIPPED, reason="the HTTP proxy looks the name up")
        started = time.perf_counter()
        facts: dict[str, Fact] = {}
        with evidence() as outcome, anyio.fail_after(self.settings.timeout_s):
            facts |= await way.look_up(self.network, host, port, public=public)
        return outcome.trace(Stage.DNS, elapsed_s=time.perf_counter() - started, facts=facts)

    async def _contact(self, cell: Cell, lane: Lane) -> tuple[tuple[str, Key], Trace, Trace, Trace]:
        """The first POST to a host: it makes the connection, so it tells of tcp and tls too."""
        url = cell.configuration.endpoint
        attempt = await lane.post(cell, None, probes.check_http)
        if attempt.outcome.verdict is Verdict.BROKEN and not attempt.transcript.events:
            why = "mcpdoctor broke before it connected"
            tcp, tls = (Trace(stage=stage, verdict=Verdict.SKIPPED, reason=why) for stage in (Stage.TCP, Stage.TLS))
        else:
            tcp, tls = await self._way(cell, lane, attempt.transcript, attempt.outcome.failures)
        return (url, key(cell.headers)), tcp, tls, attempt.trace(Stage.HTTP, {})

    async def _way(
        self, cell: Cell, lane: Lane, transcript: Transcript, failures: tuple[Chain, ...]
    ) -> tuple[Trace, Trace]:
        """Stages tcp and tls of a host, with a closer look at a certificate that was refused."""
        url = cell.configuration.endpoint
        tcp, tls = way.connection(transcript, failures, lane.proxy, url=url)
        tcp = replace(tcp, facts={**tcp.facts, **way.proxy_facts(lane.choice)})
        settings = self.settings
        environ, timeout_s = settings.environ, settings.timeout_s
        tls = await way.closer(
            tls, self.network, url, proxy=lane.proxy, address=transcript.address, environ=environ, timeout_s=timeout_s
        )
        return tcp, tls

    async def _http(self, cell: Cell, lane: Lane) -> Trace:
        return (await lane.post(cell, None, probes.check_http)).trace(Stage.HTTP, {})

    async def _auth(self, cell: Cell, lane: Lane, http: Trace) -> tuple[probes.Signer | None, Trace]:
        configuration = cell.configuration
        unsigned = deciding(http)
        if (refusal := no_token(cell)) is not None:
            return None, refusal
        if not configuration.signed:
            # The exchange keeps the beginning of the body; what it was, the stage before has read from all of it.
            said = replace(read(unsigned), kind=str(http.facts.get("answer"))) if unsigned else None
            return None, self._judged(Stage.AUTH, unsigned, said, probes.check_auth)
        signer, refusal = await self.identities.signer(cell.configuration, cell.environ)
        if signer is None:
            assert refusal is not None  # noqa: S101  # one of the two is given
            return None, refusal
        question = ("auth", configuration.endpoint, signer.region, signer.service, *caller(cell))
        attempt = await self.once(question, lambda: lane.post(cell, signer, probes.check_auth))
        facts = await self.identities.facts(cell.configuration, signer, cell.environ)
        return signer, attempt.trace(Stage.AUTH, {**facts, "unsigned_status": unsigned.status if unsigned else None})

    async def _signed_first(self, cell: Cell, lane: Lane, http: Trace) -> Trace:
        """A server may answer unsigned callers with anything; to a signed cell, only its own request counts."""
        if deciding(http) is None:
            return http  # no answer at all: asking once more would only wait once more
        _, auth = await self._auth(cell, lane, http)
        exchange = deciding(auth)
        if exchange is None:
            return http
        said = replace(read(exchange), kind=str(auth.facts.get("answer")))
        again = self._judged(Stage.HTTP, exchange, said, probes.check_http)
        return again if again.verdict is Verdict.PASSED else http

    # the real client --------------------------------------------------------------------------------------------------

    def _talk_of(self, cell: Cell) -> Talk:
        """The session of a cell; cells that send the same share one."""
        one = cell.configuration
        axes = (one.region, one.service) if one.signed else ()
        return self.talks.setdefault((one.endpoint, *caller(cell), *axes), Talk())

    async def _talk(self, cell: Cell, lane: Lane, signer: probes.Signer | None, talk: Talk) -> None:
        """Stages open, list and call, with the client that users run."""
        async with lane.sessions:
            if named(cell) in lane.throttled:
                talk.traces.append(Trace(stage=Stage.OPEN, verdict=Verdict.SKIPPED, reason=THROTTLED))
                return
            await self.once("client", lambda: in_thread(probes.load_client))
            talk.transcript = Transcript()
            transport = RecordingTransport(
                self.network,
                talk.transcript,
                lane.pace,
                answered=lane.answered,
                secrets=secrets(cell, signer),
                proxy=lane.proxy,
            )
            await Conversation(cell, signer, transport, talk, timeout_s=self.settings.timeout_s).hold()
        if self.settings.revisions:
            spoken = await self._revisions(cell, lane, signer)
            talk.traces[:] = [
                replace(one, facts={**one.facts, **spoken}) if one.stage is Stage.OPEN else one for one in talk.traces
            ]

    async def _revisions(self, cell: Cell, lane: Lane, signer: probes.Signer | None) -> dict[str, Fact]:
        """Which revisions the server speaks; what throttling or the network left unanswered is left out."""
        answers: dict[str, tuple[str, ...]] = {}
        for revision in revisions.REVISIONS:
            body, more = revisions.question(revision)
            attempt = await lane.post(cell, signer, _take, body=body, more=more)
            last = deciding(attempt.trace(Stage.OPEN, {}))
            if last is None or last.status is None or cell.configuration.signed in lane.throttled:
                break
            answers[revision] = revisions.offered(attempt.transcript.last_body)
        return revisions.facts(answers)


def _take(exchange: Exchange, said: Any) -> None:
    """Whatever was answered is an answer."""
