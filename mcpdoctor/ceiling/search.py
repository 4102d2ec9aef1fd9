"""The whole search: which question comes next, given the answers so far. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from mcpdoctor.ceiling.actions import Action
from mcpdoctor.ceiling.cross import KEPT, Crossing, cross
from mcpdoctor.ceiling.ladder import climb
from mcpdoctor.ceiling.pace import gauge
from mcpdoctor.ceiling.run import Asking, Ended, Interrupted, Run, Settings
from mcpdoctor.ceiling.soak import soak
from mcpdoctor.ceiling.sprint import sprint
from mcpdoctor.ceiling.together import overlap, part_streams, remember
from mcpdoctor.samples import Kind, Sample, Stop, refused

Search = Generator[Action, Sequence[Sample], Stop]
"""Yields what to do next; is sent the samples of it (none for `Wait`); returns why it ended."""


def search(
    settings: Settings,
    clock: Callable[[], float],
    log: list[Sample] | None = None,
    crossings: list[Crossing] | None = None,
) -> Search:
    """Find out how much an endpoint allows, and what kind of limit it has.

    Drive it like this, with a `perform` of your own:

        steps = search(Settings(), time.monotonic, log := [])
        samples: Sequence[Sample] = ()
        try:
            action = next(steps)
            while True:
                action = steps.send(perform(action))
        except StopIteration as end:
            stopped = end.value

    One action is asked for at a time. After a refusal nothing but a single request is, and that not before the pause
    which the server asked for is over. Neither requests nor refusals can exceed the budget, whatever comes back; what
    it takes to close the open sessions is set aside, and closing them is the last action. To stop early, throw
    `Interrupted` into the generator and carry out what it still yields.

    Args:
        settings: budget, size and manner.
        clock: seconds, never going back; the same clock as in the samples.
        log: the list to write every sample into, so that it can be read while the search is under way.
        crossings: the list to write into what came of each comparison with a rival.

    Yields:
        Actions.

    Returns:
        Why it ended.
    """
    run = Run(settings=settings, clock=clock, log=[] if log is None else log, started_s=clock())
    try:
        why = yield from _until_ended(_stages(run))
        if settings.rivals and why is not Stop.FAILURE:
            run.budget = settings.budget
            crossed = yield from _until_ended(cross(run, [] if crossings is None else crossings))
            why = crossed if why is Stop.RESOLVED else why
    except Interrupted:
        why = Stop.INTERRUPTED
    run.crossing = False
    try:
        yield from _give_back(run)
    except Interrupted:
        why = Stop.INTERRUPTED
        yield from _give_back(run)
    return why


def _give_back(run: Run) -> Asking:
    if run.held or run.guests:
        yield from run.close_all([*run.held, *run.guests])


def _until_ended(asking: Asking) -> Generator[Action, Sequence[Sample], Stop]:
    """Part of a search, to its end; returns why it ended."""
    try:
        yield from asking
    except Ended as end:
        return end.why
    return Stop.RESOLVED


def _stages(run: Run) -> Asking:
    """Sprint, ladder, overlap, soak, pace: until one kind of limit is sure."""
    sure = run.settings.sure
    yield from sprint(run)
    if not run.belief().sure(Kind.RATE, sure):
        yield from climb(run)
    if run.settings.quick:
        return
    if _possible(run, Kind.NONE, Kind.IN_FLIGHT):
        if not run.belief().sure(Kind.IN_FLIGHT, sure):
            yield from overlap(run)
        yield from part_streams(run)
        if refused(run.log) and _possible(run, Kind.IN_FLIGHT):
            yield from remember(run)
    if _possible(run, Kind.NONE):
        yield from soak(run)
    if run.belief().sure(Kind.RATE, sure):
        if run.settings.rivals:
            run.budget = run.settings.budget.part(1 - KEPT)
        yield from gauge(run)


def _possible(run: Run, *kinds: Kind) -> bool:
    """Whether the evidence leaves room for one of the kinds."""
    posterior = run.belief().posterior
    return sum(posterior[kind] for kind in kinds) > 1 - run.settings.sure
