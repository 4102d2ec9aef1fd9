"""Run a plan: cells side by side, what they share done once, every exception turned into evidence."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx

from mcpdoctor import __version__, bearer, challenges, probes, revisions, way, whoami
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.diagnosis import Said, deciding, depends_on, read, scope_facts, throttled, unexplained
from mcpdoctor.endpoints import Quota
from mcpdoctor.failures import Chain
from mcpdoctor.identities import Identities
from mcpdoctor.matrix import Call, Cell, Plan
from mcpdoctor.model import (
    UNSIGNED,
    Environment,
    Exchange,
    Fact,
    Report,
    Result,
    Severity,
    Stage,
    Trace,
    Verdict,
    trace_of,
)
from mcpdoctor.oauth import Discovery
from mcpdoctor.outcomes import Once, Outcome, evidence, on_signal
from mcpdoctor.redaction import clean
from mcpdoctor.verdict import conclude
from mcpdoctor.wire import ACCEPT_ENCODING, Network, Pacer, RecordingTransport, Transcript, port_of

PACKAGES = ("mcp", "mcp-proxy-for-aws", "fastmcp", "strands-agents", "httpx", "botocore", "anyio", "pydantic")
_RELEASE_S = 2.0
_MOST_PROGRAMS = 4
_ON_THE_WAY = (Stage.DNS, Stage.TCP, Stage.TLS, Stage.HTTP, Stage.AUTH)
_OF_A_CALL = ("tool_failed", "tool_message")
_THROTTLED = "the host throttles this caller; nothing more was sent"


_Key = tuple[tuple[str, str], ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One POST of our own, with what became of it."""

    transcript: Transcript
    outcome: Outcome
    facts: Mapping[str, Fact] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def trace(self, stage: Stage, facts: Mapping[str, Fact]) -> Trace:
        return self.outcome.trace(
            stage,
            elapsed_s=self.elapsed_s,
            facts={**facts, **self.facts},
            exchanges=tuple(self.transcript.exchanges),
        )


@dataclass(slots=True, eq=False)
class _Talk:
    """One session with the real client: what it showed so far, and what it sent."""

    traces: list[Trace] = field(default_factory=list)
    transcript: Transcript | None = None


class _Lane:
    """Everything that concerns one host and port: one connection of our own, the pace, who is throttled."""

    def __init__(self, network: Network, url: str, quota: Quota) -> None:
        self.choice = network.proxy_choice(url)
        self.proxy = self.choice.url
        self.sessions = anyio.CapacityLimiter(quota.parallel)
        self.throttled: set[bool] = set()
        self.turn = anyio.Lock()
        self._pacers = {True: Pacer(quota.signed_per_s), False: Pacer(quota.unsigned_per_s)}
        self.transport = RecordingTransport(
            network, Transcript(), self.pace, answered=self.answered, single=True, proxy=self.proxy
        )
        self.client = httpx.AsyncClient(
            transport=self.transport,
            timeout=None,  # noqa: S113  # every stage has its deadline
            headers={"user-agent": f"mcpdoctor/{__version__}", "accept-encoding": ACCEPT_ENCODING},
        )

    async def pace(self, signed: bool) -> float:
        return await self._pacers[signed].wait()

    def answered(self, signed: bool) -> None:
        self._pacers[signed].answered()


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
        self.discovery = Discovery(network, settings.timeout_s)
        self.identities = Identities(
            (cell.configuration for cell in plan.cells),
            environ=settings.environ,
            standby=settings.standby,
            timeout_s=settings.timeout_s,
        )
        self.lanes: dict[tuple[str, str, int], _Lane] = {}
        self.talks: dict[tuple[Hashable, ...], _Talk] = {}
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
            with anyio.CancelScope(shield=True), anyio.move_on_after(_RELEASE_S):
                for lane in self.lanes.values():
                    await lane.client.aclose()
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
            stages=_complete(self.traces[index], self.interrupted),
        )

    async def _cell(self, index: int, cell: Cell) -> None:
        async with self.jobs:
            started = time.perf_counter()
            traces = self.traces[index]
            try:
                with evidence() as outcome:
                    cell = self._with_token(cell)
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
                self._lane(cell).throttled.add(_named(cell))
            if trace.verdict in (Verdict.FAILED, Verdict.BROKEN):
                return False
        return True

    def _with_token(self, cell: Cell) -> Cell:
        """A cell whose credential is a bearer token, with the token among its headers; other cells stay as they are.

        One whose token cannot be sent is tried without, up to where a caller has to say who it is.
        """
        name = bearer.variable_of(cell.configuration.credential)
        if name is None:
            return cell
        environ = self.settings.environ if cell.environ is None else cell.environ
        if name not in environ and self.settings.standby is not None:
            environ = self.settings.standby
        token = bearer.token_of(name, environ)
        headers = {**cell.headers, bearer.AUTHORIZATION: token.header} if token.header else cell.headers
        return replace(cell, headers=headers, facts={**cell.facts, **token.facts})

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
        from mcpdoctor.starting import Conversation

        self._add(cell, traces, probes.parse(cell, self.catalogue, deadline_s=self.settings.timeout_s))
        talk = Conversation(cell, timeout_s=self.settings.timeout_s, start_timeout_s=self.settings.start_timeout_s)
        try:
            async with self.starts:
                await self.once("client", lambda: probes.in_thread(probes.load_client))
                await talk.hold()
        finally:
            self._add(cell, traces, *talk.traces)
        # A proxy that has no region or refuses its arguments never gets to its endpoint.
        reaches = bool(cell.configuration.endpoint) and cell.facts.get("proxy_starts") is not False
        if not talk.failed or not reaches:
            why = "the command does this by itself"
            traces += [Trace(stage=stage, verdict=Verdict.SKIPPED, reason=why) for stage in _ON_THE_WAY]
            return
        direct: list[Trace] = []
        configuration = replace(cell.configuration, transport="streamable-http")
        try:
            await self._walk(replace(cell, start=None, facts={}, configuration=configuration), direct)
        finally:
            traces[:] = _merged(traces, direct)

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
        lane = self._lane(cell)
        if configuration.signed:
            # Logging in takes time of its own; it begins while the network is being waited for.
            self.background.start_soon(self.identities.resolved, configuration.credential, cell.environ)
        if cell.endpoint is not None and cell.endpoint.strict:
            await self._walk_strict(cell, traces, lane)
            return
        asked = (url, _key(cell.headers))
        contacted, tcp, tls, http = await self.once(("contact", *_origin(url)), lambda: self._contact(cell, lane))
        if not self._add(cell, traces, tcp, tls):
            return
        if contacted != asked:
            http = await self.once(("http", *asked), lambda: self._http(cell, lane))
        if http.verdict is Verdict.FAILED and configuration.signed:
            http = await self._signed_first(cell, lane, http)
        if not self._add(cell, traces, http) or (http.verdict is Verdict.SKIPPED and not configuration.signed):
            return
        signer, auth = await self._auth(cell, lane, http)
        if signer is not None and auth.verdict is Verdict.FAILED:
            auth = await self._ask_for_scope(cell, lane, signer, traces, auth)
            auth = await self._ask_without_body(cell, lane, signer, traces, auth)
        auth = await self._ask_for_login(cell, lane, auth)
        auth = await self._with_caller(cell, signer, auth)
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

    async def _walk_strict(self, cell: Cell, traces: list[Trace], lane: _Lane) -> None:
        """No request of our own: the first exchange of the real client is the evidence of tcp, tls, http and auth."""
        signer, refusal, facts = None, _no_token(cell), {}
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
        self, cell: Cell, traces: list[Trace], lane: _Lane, talk: _Talk, facts: Mapping[str, Fact]
    ) -> None:
        opened = trace_of(talk.traces, Stage.OPEN)
        if talk.transcript is not None and (opened is not None or talk.transcript.exchanges):
            failures = opened.failures if opened else ()
            transcript = talk.transcript
            key = ("way", talk)
            for trace in await self.once(key, lambda: self._way(cell, lane, transcript, failures)):
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

    def _lane(self, cell: Cell) -> _Lane:
        url = cell.configuration.endpoint
        key = _origin(url)
        if key not in self.lanes:
            quota = cell.endpoint.quota if cell.endpoint else Quota()
            self.lanes[key] = _Lane(self.network, url, quota)
        return self.lanes[key]

    async def _dns(self, url: str, host: str, port: int, *, public: bool) -> Trace:
        proxy = self.network.proxy_for(url)
        if proxy is not None:
            return Trace(stage=Stage.DNS, verdict=Verdict.SKIPPED, reason="the HTTP proxy looks the name up")
        started = time.perf_counter()
        facts: dict[str, Fact] = {}
        with evidence() as outcome, anyio.fail_after(self.settings.timeout_s):
            facts |= await way.look_up(self.network, host, port, public=public)
        return outcome.trace(Stage.DNS, elapsed_s=_since(started), facts=facts)

    async def _contact(self, cell: Cell, lane: _Lane) -> tuple[tuple[str, _Key], Trace, Trace, Trace]:
        """The first POST to a host: it makes the connection, so it tells of tcp and tls too."""
        url = cell.configuration.endpoint
        attempt = await self._post(cell, lane, None, probes.check_http)
        if attempt.outcome.verdict is Verdict.BROKEN and not attempt.transcript.events:
            why = "mcpdoctor broke before it connected"
            tcp, tls = (Trace(stage=stage, verdict=Verdict.SKIPPED, reason=why) for stage in (Stage.TCP, Stage.TLS))
        else:
            tcp, tls = await self._way(cell, lane, attempt.transcript, attempt.outcome.failures)
        return (url, _key(cell.headers)), tcp, tls, attempt.trace(Stage.HTTP, {})

    async def _way(
        self, cell: Cell, lane: _Lane, transcript: Transcript, failures: tuple[Chain, ...]
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

    async def _http(self, cell: Cell, lane: _Lane) -> Trace:
        return (await self._post(cell, lane, None, probes.check_http)).trace(Stage.HTTP, {})

    async def _auth(self, cell: Cell, lane: _Lane, http: Trace) -> tuple[probes.Signer | None, Trace]:
        configuration = cell.configuration
        unsigned = deciding(http)
        if (refusal := _no_token(cell)) is not None:
            return None, refusal
        if not configuration.signed:
            # The exchange keeps the beginning of the body; what it was, the stage before has read from all of it.
            said = replace(read(unsigned), kind=str(http.facts.get("answer"))) if unsigned else None
            return None, self._judged(Stage.AUTH, unsigned, said, probes.check_auth)
        signer, refusal = await self.identities.signer(cell.configuration, cell.environ)
        if signer is None:
            assert refusal is not None  # noqa: S101  # one of the two is given
            return None, refusal
        key = ("auth", configuration.endpoint, signer.region, signer.service, *_caller(cell))
        attempt = await self.once(key, lambda: self._post(cell, lane, signer, probes.check_auth))
        facts = await self.identities.facts(cell.configuration, signer, cell.environ)
        return signer, attempt.trace(Stage.AUTH, {**facts, "unsigned_status": unsigned.status if unsigned else None})

    async def _with_caller(self, cell: Cell, signer: probes.Signer | None, auth: Trace) -> Trace:
        """The trace with who the caller is, where that was asked for; STS is asked once for each credential."""
        if signer is None or not self.settings.whoami:
            return auth
        found = await self.once(
            ("whoami", cell.configuration.credential, _given(cell)),
            lambda: whoami.ask(
                self.network,
                signer,
                refused=auth.verdict is Verdict.FAILED,
                timeout_s=self.settings.timeout_s,
            ),
        )
        return replace(auth, facts={**auth.facts, **found})

    async def _signed_first(self, cell: Cell, lane: _Lane, http: Trace) -> Trace:
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

    async def _ask_for_scope(
        self, cell: Cell, lane: _Lane, signer: probes.Signer, traces: list[Trace], auth: Trace
    ) -> Trace:
        """Where a refused signature is not explained, see whether the server names a scope that is wrong.

        One more request, with a service and a region that do not exist: if the server names those, it would have
        named ours, so ours are right and the secret key is not.
        """
        so_far = Result(
            target=cell.target,
            configuration=cell.configuration,
            works=False,
            stage=Stage.AUTH,
            stages=(*traces, auth),
        )
        if deciding(auth) is None or not unexplained(so_far, self.catalogue):
            return auth
        nowhere = replace(signer, service=probes.NOWHERE, region=probes.NOWHERE)
        key = ("scope", cell.configuration.endpoint, *_caller(cell))
        attempt = await self.once(key, lambda: self._post(cell, lane, nowhere, probes.check_auth))
        asked = attempt.trace(Stage.AUTH, {})
        return replace(auth, facts={**auth.facts, **scope_facts(asked, cell.configuration, self.catalogue)})

    async def _ask_for_login(self, cell: Cell, lane: _Lane, auth: Trace) -> Trace:
        """Where a refusal is about a login with OAuth, see what the server says of it.

        A few small GETs, and only where their answers can explain the refusal: not for a signature that AWS does take
        at this host, nor for a token that has run out.
        """
        exchange = deciding(auth)
        if auth.verdict is not Verdict.FAILED or exchange is None or exchange.status not in (401, 403):
            return auth
        sent = {**cell.facts, **bearer.sent_facts(cell.headers)}
        skew = auth.facts.get("clock_skew_s", 0)
        facts = bearer.validity(sent, time.time() - (skew if isinstance(skew, int) else 0))
        auth = replace(auth, facts={**auth.facts, **facts})
        asked = challenges.bearer(exchange.headers)
        token = bool(sent.get("bearer"))
        known = cell.endpoint
        elsewhere = known is not None and (
            (cell.configuration.signed and not known.yours) or (token and not known.takes_tokens)
        )
        if elsewhere or facts.get("token_expired") or not (asked or (token and exchange.status == 401)):
            return auth
        named = asked.parameters.get("resource_metadata") if asked else None
        found, exchanges = await self.discovery.facts(cell.configuration.endpoint, named, lambda: lane.pace(False))
        issuer = found.get("oauth_issuer")
        if token:
            resource = found.get("oauth_resource")
            issuers = (issuer,) if isinstance(issuer, str) else ()
            found |= bearer.elsewhere(sent, resource if isinstance(resource, str) else None, issuers)
        return replace(auth, facts={**auth.facts, **found}, exchanges=(*exchanges, *auth.exchanges))

    async def _ask_without_body(
        self, cell: Cell, lane: _Lane, signer: probes.Signer, traces: list[Trace], auth: Trace
    ) -> Trace:
        """Where the signature over a body is refused, see whether one over no body is refused in the same words.

        One more request, only where its answer changes the diagnosis: a body that something on the way changes looks
        like a wrong secret key.
        """
        stages = (*traces, auth)
        so_far = Result(
            target=cell.target, configuration=cell.configuration, works=False, stage=Stage.AUTH, stages=stages
        )
        if not depends_on(so_far, Stage.AUTH, {"bare_refused_alike": False}, self.catalogue):
            return auth
        refused = deciding(auth)
        bare = await self._bare(cell, lane, signer)
        if refused is None or bare is None:
            return auth
        alike = bare == (refused.status, read(refused).message)
        if not alike:
            # Without this, a server that reads the body before the signature would look like one that took it.
            nowhere = replace(signer, service=probes.NOWHERE, region=probes.NOWHERE)
            if await self._bare(cell, lane, nowhere) in (None, bare):
                return auth
        return replace(auth, facts={**auth.facts, "bare_status": bare[0], "bare_refused_alike": alike})

    async def _bare(self, cell: Cell, lane: _Lane, signer: probes.Signer) -> tuple[int, str] | None:
        """Status and words for a signed POST without a body."""
        key = ("bare", cell.configuration.endpoint, signer.region, signer.service, *_caller(cell))
        attempt = await self.once(key, lambda: self._post(cell, lane, signer, probes.check_auth, body=b""))
        exchange = deciding(attempt.trace(Stage.AUTH, {}))
        return (exchange.status, read(exchange).message) if exchange and exchange.status else None

    async def _post(
        self,
        cell: Cell,
        lane: _Lane,
        signer: probes.Signer | None,
        check: Callable[[Exchange, Any], None],
        *,
        body: bytes | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> _Attempt:
        """One POST of our own, and the end of the session it may have opened.

        Nothing is sent once the host has throttled this kind of caller; a signed one has a limit of its own.
        """
        url, secrets = cell.configuration.endpoint, _secrets(cell, signer)
        transcript = Transcript()
        facts: dict[str, Fact] = {}
        async with lane.turn:
            named = signer is not None or cell.configuration.bearer
            if named in lane.throttled:
                return _Attempt(transcript=transcript, outcome=Outcome(Verdict.SKIPPED, reason=_THROTTLED))
            lane.transport.use(transcript, secrets)
            started = time.perf_counter()
            with evidence(secrets) as outcome:
                with anyio.fail_after(self.settings.timeout_s) as transcript.scope:
                    await probes.post(lane.client, url, signer, {**cell.headers, **more}, body=body)
                check(transcript.exchanges[-1], probes.heard(transcript))
            elapsed_s = _since(started) - transcript.waited_s
            sent = Trace(stage=Stage.HTTP, verdict=Verdict.FAILED, exchanges=tuple(transcript.exchanges))
            if throttled(sent, self.catalogue):
                lane.throttled.add(named)
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
            self.background.start_soon(self._release, cell, lane, signer, session_id)
        return _Attempt(transcript=transcript, outcome=outcome, facts=facts, elapsed_s=round(max(elapsed_s, 0.0), 6))

    async def _release(self, cell: Cell, lane: _Lane, signer: probes.Signer | None, session_id: str) -> None:
        async with lane.turn:
            lane.transport.use(Transcript(), _secrets(cell, signer))
            with anyio.move_on_after(_RELEASE_S):
                # Whatever keeps us from it, the server drops the session by itself, only later.
                with suppress(Exception):
                    await probes.release(lane.client, cell.configuration.endpoint, signer, session_id, cell.headers)

    # the real client --------------------------------------------------------------------------------------------------

    def _talk_of(self, cell: Cell) -> _Talk:
        """The session of a cell; cells that send the same share one."""
        one = cell.configuration
        axes = (one.region, one.service) if one.signed else ()
        return self.talks.setdefault((one.endpoint, *_caller(cell), *axes), _Talk())

    async def _talk(self, cell: Cell, lane: _Lane, signer: probes.Signer | None, talk: _Talk) -> None:
        """Stages open, list and call, with the client that users run."""
        async with lane.sessions:
            if _named(cell) in lane.throttled:
                talk.traces.append(Trace(stage=Stage.OPEN, verdict=Verdict.SKIPPED, reason=_THROTTLED))
                return
            await self.once("client", lambda: probes.in_thread(probes.load_client))
            talk.transcript = Transcript()
            transport = RecordingTransport(
                self.network,
                talk.transcript,
                lane.pace,
                answered=lane.answered,
                secrets=_secrets(cell, signer),
                proxy=lane.proxy,
            )
            await _Conversation(cell, signer, transport, talk, timeout_s=self.settings.timeout_s).hold()
        if self.settings.revisions:
            spoken = await self._revisions(cell, lane, signer)
            talk.traces[:] = [
                replace(one, facts={**one.facts, **spoken}) if one.stage is Stage.OPEN else one for one in talk.traces
            ]

    async def _revisions(self, cell: Cell, lane: _Lane, signer: probes.Signer | None) -> dict[str, Fact]:
        """Which revisions the server speaks; what throttling or the network left unanswered is left out."""
        answers: dict[str, tuple[str, ...]] = {}
        for revision in revisions.REVISIONS:
            body, more = revisions.question(revision)
            attempt = await self._post(cell, lane, signer, _take, body=body, more=more)
            last = deciding(attempt.trace(Stage.OPEN, {}))
            if last is None or last.status is None or cell.configuration.signed in lane.throttled:
                break
            answers[revision] = revisions.offered(attempt.transcript.last_body)
        return revisions.facts(answers)


class _Conversation:
    """One session with the real client, stage by stage.

    The SDK reports a failed request by cancelling the task that waits for it, and raises the reason only where its
    context ends. So a stage that was under way when something came out of there is the one that failed.
    """

    def __init__(
        self,
        cell: Cell,
        signer: probes.Signer | None,
        transport: RecordingTransport,
        talk: _Talk,
        *,
        timeout_s: float,
    ) -> None:
        self.cell, self.signer, self.transport, self.timeout_s = cell, signer, transport, timeout_s
        self.secrets = _secrets(cell, signer)
        self.transcript = transport.transcript
        self.keep = talk.traces.append
        self.under_way: Stage | None = None
        self.facts: dict[str, Fact] = {}
        self.seen = 0
        self.started = 0.0

    async def hold(self) -> None:
        """Open, list, call, close."""
        url, more = self.cell.configuration.endpoint, self.cell.headers
        with evidence(self.secrets) as outcome, anyio.CancelScope() as closing:
            async with probes.session(url, self.signer, self.transport, timeout_s=self.timeout_s, more=more) as one:
                async with self._stage(Stage.OPEN):
                    await probes.open_session(one, self.facts)
                async with self._stage(Stage.LIST):
                    endpoint = self.cell.endpoint
                    never_empty = endpoint is not None and endpoint.never_empty
                    await probes.list_tools(one, self.facts, never_empty=never_empty)
                tools = self.facts.get("tools", ())
                await self._call(one, tools if isinstance(tools, tuple) else ())
                closing.deadline = anyio.current_time() + self.timeout_s
        # Where every stage had ended, what breaks while the session is closed is noise.
        if self.under_way is not None and outcome.verdict is not Verdict.PASSED:
            if self.under_way is Stage.OPEN:
                # The last exchange may be the end of a session that the client did not want.
                self.facts |= probes.protocol_facts(probes.heard_first(self.transcript), self.transcript.first_body)
            self._keep(self.under_way, outcome)
        await self.transport.aclose()

    async def _call(self, one: Any, tools: tuple[str, ...]) -> None:
        endpoint, call = self.cell.endpoint, self.cell.call
        named = _named(self.cell)
        if call is not None:
            removed = endpoint.removed_tools if endpoint is not None else {}
            async with self._stage(Stage.CALL, listed=tools):
                await probes.call_tool(one, call, self.facts, removed=removed)
        elif named and endpoint is not None and endpoint.credential_probe:
            async with self._stage(Stage.CALL):
                await probes.probe_credential(one, endpoint, self.transcript, self.facts)
        elif not named and endpoint is not None and endpoint.anonymous_probe and not endpoint.strict:
            async with self._stage(Stage.CALL):
                await probes.call_tool(one, Call(tool=endpoint.anonymous_probe, arguments={}), self.facts)
        else:
            reason = "no tool was named; --tool NAME calls one"
            self.keep(Trace(stage=Stage.CALL, verdict=Verdict.SKIPPED, reason=reason))

    @asynccontextmanager
    async def _stage(self, stage: Stage, **facts: Fact) -> AsyncIterator[None]:
        self.under_way, self.facts, self.started = stage, dict(facts), time.perf_counter()
        self.transcript.waited_s = 0.0
        with anyio.fail_after(self.timeout_s) as self.transcript.scope:
            yield
        self.transcript.scope = None
        self.under_way = None
        self._keep(stage, Outcome())

    def _keep(self, stage: Stage, outcome: Outcome) -> None:
        exchanges = tuple(self.transcript.exchanges[self.seen :])
        self.seen = len(self.transcript.exchanges)
        self.facts |= way.http_fault(self.transcript, outcome.failures)
        if self.transcript.cut_s is not None:
            self.facts["stream_cut_s"], self.transcript.cut_s = self.transcript.cut_s, None
        all_of_them = self.transcript.exchanges
        self.facts["session"] = any("mcp-session-id" in one.headers for one in all_of_them)
        self.facts["initialized"] = any(one.rpc_method == "initialize" and one.status == 200 for one in all_of_them)
        if stage is Stage.OPEN:
            self.facts |= probes.answers_as(exchanges)
        elapsed_s = round(max(_since(self.started) - self.transcript.waited_s, 0.0), 6)
        self.keep(outcome.trace(stage, elapsed_s=elapsed_s, facts=self._shown(), exchanges=exchanges))

    def _shown(self) -> dict[str, Fact]:
        """The facts of the stage, without what a server may have sent back of our keys."""

        def masked(value: Fact) -> Fact:
            if isinstance(value, str):
                return clean(value, secrets=self.secrets)
            return tuple(clean(one, secrets=self.secrets) for one in value) if isinstance(value, tuple) else value

        return {name: masked(value) for name, value in self.facts.items()}


def _take(exchange: Exchange, said: Any) -> None:
    """Whatever was answered is an answer."""


def _complete(traces: list[Trace], interrupted: str | None) -> tuple[Trace, ...]:
    """Every stage has a verdict: what did not come to pass is blocked or skipped, with the reason."""
    found = {trace.stage: trace for trace in traces}
    ended = next((trace for trace in traces if trace.verdict in (Verdict.FAILED, Verdict.BROKEN)), None)
    held = next((trace for trace in traces if trace.verdict is Verdict.SKIPPED and trace.reason == _THROTTLED), None)
    if ended is not None:
        verdict, reason = Verdict.BLOCKED, f"{ended.stage} failed"
    elif held is not None:
        verdict, reason = Verdict.SKIPPED, held.reason or ""
    elif interrupted is not None:
        why = "the run was interrupted" if interrupted == "interrupted" else "the deadline of the run passed"
        verdict, reason = Verdict.SKIPPED, why
    else:
        verdict, reason = Verdict.BROKEN, "a fault of mcpdoctor itself: it lost this stage"
    return tuple(found.get(stage) or Trace(stage=stage, verdict=verdict, reason=reason) for stage in Stage)


def _merged(traces: list[Trace], direct: list[Trace]) -> list[Trace]:
    """What a command showed, with what the direct way to its endpoint showed.

    A trace of the direct way takes the place of that of the command where it failed; whether the direct way works is a
    fact of every stage that failed with the command.
    """
    failed = {one.stage: one for one in direct if one.verdict in (Verdict.FAILED, Verdict.BROKEN)}
    reached = {one.stage: one for one in direct}
    listed = reached.get(Stage.LIST)
    works = not failed and listed is not None and listed.verdict is Verdict.PASSED
    merged = [one for one in direct if one.stage in _ON_THE_WAY]
    for one in traces:
        other = failed.get(one.stage)
        note = " The endpoint itself answers well when it is asked directly." if works else ""
        facts = {**one.facts, **(other.facts if other else {}), "direct_works": works, "direct_note": note}
        if other is not None and one.stage not in _ON_THE_WAY and one.stage is not Stage.PARSE:
            both = (*other.failures, *one.failures)
            facts = {name: value for name, value in facts.items() if name not in _OF_A_CALL or name in other.facts}
            merged.append(replace(other, facts=facts, failures=both))
        elif one.verdict is Verdict.FAILED:
            merged.append(replace(one, facts=facts))
        else:
            merged.append(one)
    held = {one.stage for one in merged}
    return [*merged, *(one for stage, one in failed.items() if stage not in held)]


def _named(cell: Cell) -> bool:
    """Whether the caller says who it is: such callers have a limit of their own."""
    return cell.configuration.signed or cell.configuration.bearer


def _no_token(cell: Cell) -> Trace | None:
    """The trace that says why the token of a cell cannot be sent; None where there is one, or none is wanted."""
    if cell.facts.get("token_usable") is not False:
        return None
    return Trace(stage=Stage.AUTH, verdict=Verdict.FAILED, facts={"token_usable": False})


def _caller(cell: Cell) -> tuple[Hashable, ...]:
    """Who asks: cells that differ in this share no answer."""
    return cell.configuration.credential, _given(cell) if cell.configuration.signed else None, _key(cell.headers)


def _given(cell: Cell) -> _Key | None:
    """The environment of the program that the cell stands for; None for our own."""
    return None if cell.environ is None else _key(cell.environ)


def _key(table: Mapping[str, str]) -> _Key:
    return tuple(sorted(table.items()))


def _secrets(cell: Cell, signer: probes.Signer | None) -> tuple[str, ...]:
    """Literal secrets of a cell: keys, and what its headers hold, with and without the word in front of a token."""
    headers = [part for value in cell.headers.values() for part in bearer.pieces(value)]
    return (*(signer.resolved.secrets if signer else ()), *headers)


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    return split.scheme, split.hostname or "", port_of(url)


def _since(started: float) -> float:
    return time.perf_counter() - started


def environment() -> Environment:
    """Versions of what a run depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Environment(python=platform.python_version(), platform=platform.platform(), packages=found)
