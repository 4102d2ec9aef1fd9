"""Measure the ceilings of a plan, one configuration after another, so that none disturbs the next."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio

from mcpdoctor import __version__, engine, probes, way
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling import Action, conclude
from mcpdoctor.ceiling import Settings as Search
from mcpdoctor.ceiling.cross import Crossing
from mcpdoctor.ceiling.machine import client_facts, files_for, open_files, room_for
from mcpdoctor.ceiling.measurement import Hands, Team, measure
from mcpdoctor.ceiling.sessions import COSTS, Sessions, Way
from mcpdoctor.ceiling.whom import whom
from mcpdoctor.identities import Identities
from mcpdoctor.installed import environment
from mcpdoctor.matrix import Cell, Plan
from mcpdoctor.model import Ceiling, Fact, Report, Result, Severity, Verdict
from mcpdoctor.network import Network, port_of
from mcpdoctor.outcomes import on_signal
from mcpdoctor.samples import Operation, Outcome, Sample, Stop
from mcpdoctor.threads import in_thread
from mcpdoctor.verdict import conclude as judge


class Observer(Protocol):
    """Somebody who wants to know how it is going; must not raise and must return at once."""

    def begins(self, cell: Cell, action: Action, log: Sequence[Sample]) -> None:
        """One action of the search of one cell begins; `log` is what is known so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to measure.

    Attributes:
        search: budget, size and manner of each search.
        think_s: seconds that a worker thinks between its calls.
        timeout_s: seconds that one request may take.
        required_workers: how many parallel workers are asked for; None for no requirement.
        environ: environment variables of the user.
        standby: environment variables with the keys of the lab; None against real servers.
        fail_on: see `verdict.exit_code`.
    """

    search: Search = field(default_factory=Search)
    think_s: float = 0.0
    timeout_s: float = 30.0
    required_workers: int | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    standby: Mapping[str, str] | None = None
    fail_on: Severity | None = Severity.ERROR


HandsOf = Callable[[Way], Hands]
"""Makes what carries actions out; `Sessions` on one machine."""


class Crew(Protocol):
    """Several machines that measure together, all of one run."""

    async def team(self, cell: Cell, others: Sequence[Cell], search: Search) -> Team | None:
        """Make them ready for one cell, and for a comparison with the other cells; None where that is not possible."""

    async def examine(self, cell: Cell, examine: Examine) -> Report | None:
        """Have one of them examine a cell; None where it cannot."""

    @property
    def alive(self) -> bool:
        """Whether any is left."""


Examine = Callable[[Cell, Catalogue, Network, Mapping[str, str] | None, float], Coroutine[Any, Any, Report]]
"""Finds out why no session opens, where it is called."""


async def examined(
    cell: Cell,
    catalogue: Catalogue,
    network: Network,
    standby: Mapping[str, str] | None,
    timeout_s: float,
    *,
    environ: Mapping[str, str] | None = None,
) -> Report:
    """Find out why no session opens, from here and with what is here: the same way as `check` does."""
    settings = engine.Settings(
        timeout_s=min(timeout_s, 10.0), environ=os.environ if environ is None else environ, standby=standby
    )
    return await engine.run(Plan(cells=(cell,)), catalogue, network, settings)


async def run(
    plan: Plan,
    catalogue: Catalogue,
    network: Network,
    settings: Settings,
    *,
    observer: Observer | None = None,
    hands_of: HandsOf = Sessions,
    crew: Crew | None = None,
) -> Report:
    """Measure every cell of the plan.

    A configuration that turns the first session away for a reason that is no limit is examined instead, and its result
    is in the report. Interrupting the process (Ctrl-C, SIGTERM) ends the search, not the report.

    Args:
        plan: what to measure.
        catalogue: the checks, and the documented quotas.
        network: the way to the servers.
        settings: how to measure.
        observer: is told how it is going.
        hands_of: makes what carries actions out on this machine.
        crew: several machines that carry them out in its place.

    Returns:
        The report, judged.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    measured = _Measuring(plan, catalogue, network, settings, observer=observer, hands_of=hands_of, crew=crew)
    await measured.run()
    report = Report(
        mcpdoctor=__version__,
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        elapsed_s=round(time.perf_counter() - clock, 3),
        interrupted="interrupted" if measured.interrupted.is_set() else None,
        environment=environment(),
        results=tuple(measured.results),
        ceilings=tuple(measured.ceilings),
        required_workers=settings.required_workers,
    )
    return judge(report, catalogue, settings.fail_on)


async def run_best(
    report: Report,
    plan: Plan,
    catalogue: Catalogue,
    network: Network,
    settings: Settings,
    *,
    targets: Collection[str] | None = None,
    observer: Observer | None = None,
) -> Report:
    """Measure the best configuration of each target of a report, and judge the report with that.

    A report of a run that was interrupted is only judged again.

    Args:
        report: of the plan.
        plan: what was tried.
        catalogue: the checks, and the documented quotas.
        network: the way to the servers.
        settings: how to measure.
        targets: those to measure; None for all.
        observer: is told how it is going.
    """
    best = {(one.target, one.configuration) for one in report.best if targets is None or one.target in targets}
    cells = tuple(cell for cell in plan.cells if (cell.target, cell.configuration) in best)
    if report.interrupted is not None or not cells:
        return judge(replace(report, required_workers=settings.required_workers), catalogue, settings.fail_on)
    more = await run(Plan(cells=cells), catalogue, network, settings, observer=observer)
    newer = {(one.target, one.configuration): one for one in more.results}
    whole = replace(
        report,
        elapsed_s=round(report.elapsed_s + more.elapsed_s, 3),
        interrupted=more.interrupted,
        # What worked a moment ago and opens no session now is no configuration to use.
        results=tuple(newer.get((one.target, one.configuration), one) for one in report.results),
        ceilings=more.ceilings,
        required_workers=settings.required_workers,
    )
    return judge(whole, catalogue, settings.fail_on)


class _Measuring:
    def __init__(
        self,
        plan: Plan,
        catalogue: Catalogue,
        network: Network,
        settings: Settings,
        *,
        observer: Observer | None,
        hands_of: HandsOf,
        crew: Crew | None,
    ) -> None:
        self.plan, self.catalogue, self.network, self.settings = plan, catalogue, network, settings
        self.observer, self.hands_of, self.crew = observer, hands_of, crew
        self.identities = Identities(
            (cell.configuration for cell in plan.cells),
            environ=settings.environ,
            standby=settings.standby,
            timeout_s=settings.timeout_s,
        )
        self.interrupted, self.preparing = anyio.Event(), anyio.CancelScope()
        self.ceilings: list[Ceiling] = []
        self.results: list[Result] = []

    async def run(self) -> None:
        for cell in self.plan.cells:
            if self.interrupted.is_set():
                return
            async with anyio.create_task_group() as watch:
                watch.start_soon(on_signal, self._stop)
                known = await self._measured(cell)
                watch.cancel_scope.cancel()
            if self.crew is not None and not self.crew.alive:
                self.interrupted.set()  # nobody is left to measure the next one
            if not known and not self.interrupted.is_set():
                await self._examine(cell)  # outside of the watch: it looks out for signals by itself

    def _stop(self) -> None:
        self.interrupted.set()
        self.preparing.cancel()

    async def _measured(self, cell: Cell) -> bool:
        """Measure one cell. Returns whether that told anything of its limit."""
        with anyio.CancelScope() as self.preparing:
            team = await self._team(cell)
        if self.preparing.cancelled_caught or team is None:
            return False
        log: list[Sample] = []
        crossings: list[Crossing] = []
        watcher = None if self.observer is None else _Told(self.observer, cell)
        stopped = await measure(
            team.hands, team.search, log, interrupted=self.interrupted, watcher=watcher, crossings=crossings
        )
        # Where the budget allows nothing at all, that is what there is to say.
        if not (_tells(log) or (not log and stopped in (Stop.BUDGET, Stop.DEADLINE))):
            return False
        per, compared = whom([(one, team.differences[one.rival]) for one in crossings])
        if team.differences and not crossings:
            compared = "Nothing was compared: the search ended before."
        told: dict[str, Fact] = {} if self.crew is None else {"compared": compared}
        self.ceilings.append(
            replace(
                conclude(log, stopped, think_s=self.settings.think_s),
                target=cell.target,
                configuration=cell.configuration,
                most=team.search.most,
                per=per,
                facts={"think_s": self.settings.think_s, "quick": team.search.quick, **told, **team.facts()},
            )
        )
        return True

    async def _team(self, cell: Cell) -> Team | None:
        """What carries the search of a cell out; None where the cell cannot be reached."""
        if probes.parse(cell, self.catalogue, deadline_s=self.settings.timeout_s).verdict is not Verdict.PASSED:
            return None
        if self.crew is not None:
            return await self.crew.team(cell, self._others(cell), self.settings.search)
        way = await self._way(cell)
        if way is None:
            return None
        files, search = _fitted(self.settings.search)
        facts = {**files, **client_facts(signed=cell.configuration.signed)}
        return Team(hands=self.hands_of(way), search=search, facts=lambda: facts)

    def _others(self, cell: Cell) -> list[Cell]:
        """The cells of the plan that differ from this one in the credential alone."""
        one = cell.configuration
        return [
            other
            for other in self.plan.cells
            if other.configuration.credential != one.credential
            and other.configuration.signed
            and one.signed
            and replace(other.configuration, credential=one.credential) == one
        ]

    async def _way(self, cell: Cell) -> Way | None:
        """How to reach a cell; None where its URL, its name or its credential says that it cannot be reached."""
        url = cell.configuration.endpoint
        signer = None
        if cell.configuration.signed:
            signer, _ = await self.identities.signer(cell.configuration)
            if signer is None:
                return None
        if self.network.proxy_for(url) is None:
            try:
                with anyio.fail_after(self.settings.timeout_s):
                    await way.look_up(self.network, urlsplit(url).hostname or "", port_of(url))
            except OSError:  # a timeout is one
                return None
        await in_thread(probes.load_client)
        return Way(
            url=url,
            signer=signer,
            network=self.network,
            catalogue=self.catalogue,
            call=cell.call,
            timeout_s=self.settings.timeout_s,
        )

    async def _examine(self, cell: Cell) -> None:
        """Find out why no session opens, on the machine where it does not."""
        if self.crew is not None:
            report = await self.crew.examine(cell, examined)
        else:
            environ, standby = self.settings.environ, self.settings.standby
            report = await examined(
                cell, self.catalogue, self.network, standby, self.settings.timeout_s, environ=environ
            )
        if report is None:
            return
        self.results += report.results
        if report.interrupted == "interrupted":
            self.interrupted.set()


class _Told:
    """Passes on which cell the search is of."""

    def __init__(self, observer: Observer, cell: Cell) -> None:
        self._observer, self._cell = observer, cell

    def begins(self, action: Action, log: Sequence[Sample]) -> None:
        self._observer.begins(self._cell, action, log)


def _tells(log: Sequence[Sample]) -> bool:
    """Whether a log tells of a limit: something was refused, or a call passed."""
    called = any(one.operation is Operation.CALL and one.outcome is Outcome.ACCEPTED for one in log)
    return called or any(one.outcome is Outcome.REFUSED for one in log)


def _fitted(search: Search) -> tuple[dict[str, Fact], Search]:
    """A search that this machine can carry out: as many sessions as it may open files for."""
    search = replace(search, costs=COSTS)
    allowed = open_files(files_for(search.most))
    most = room_for(allowed, search.most)
    facts: dict[str, Fact] = {"open_files": allowed, "asked_most": search.most, "too_few_files": most < search.most}
    return facts, replace(search, most=most)
