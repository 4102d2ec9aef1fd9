"""Drive a search: ask it what to do, have that done, tell it what came back, until it knows or has to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import anyio
import anyio.abc

from mcpdoctor.ceiling.actions import Action, Close
from mcpdoctor.ceiling.cross import Crossing
from mcpdoctor.ceiling.run import Interrupted, Settings
from mcpdoctor.ceiling.search import Search, search
from mcpdoctor.ceiling.whom import Difference
from mcpdoctor.model import Fact
from mcpdoctor.samples import Operation, Outcome, Sample, Stop
from mcpdoctor.threads import in_thread

CLOSING_S = 10.0
"""Seconds that closing the sessions may take once the search is over."""

WEARY = 3
"""So many steps in a row of which nothing came but failures that are no limit are the end; the very first is enough."""


class Lost(Exception):
    """A part of what carries actions out is gone: nothing more can be asked for, and what is known stays."""


class Hands(Protocol):
    """What carries actions out: `sessions.Sessions` on this machine, or several machines together."""

    async def perform(self, action: Action) -> list[Sample]:
        """Do it; a sample for each request. Raises Lost, but not while it closes sessions."""

    def collect(self) -> list[Sample]:
        """Samples of an action that was cut short."""

    async def aclose(self) -> None:
        """Close whatever is still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Hands that are ready for one search.

    Attributes:
        search: what they can carry out.
        differences: in what each rival differs from the others, by its leg.
        facts: what there is to say of them at the end.
    """

    hands: Hands
    search: Settings
    differences: Mapping[int, Difference] = field(default_factory=dict)
    facts: Callable[[], Mapping[str, Fact]] = dict


class Watcher(Protocol):
    """Somebody who wants to know how a search is going; must not raise and must return at once."""

    def begins(self, action: Action, log: Sequence[Sample]) -> None:
        """An action begins; `log` is what is known so far."""


async def measure(
    hands: Hands,
    settings: Settings,
    log: list[Sample],
    *,
    interrupted: anyio.Event,
    watcher: Watcher | None = None,
    clock: Callable[[], float] = time.monotonic,
    crossings: list[Crossing] | None = None,
) -> Stop:
    """Search for the limit of an endpoint.

    Args:
        hands: what carries the actions out; closed at the end.
        settings: budget, size and manner.
        log: every sample is written here, so that what is known outlives whatever happens.
        interrupted: once set, nothing new is sent, and what is open is closed.
        watcher: told of every action.
        clock: the clock of the samples.
        crossings: what came of comparing callers is written here.

    Returns:
        Why it ended; `failure` also where sessions or calls are turned away for a reason that is no limit.
    """
    steps = search(settings, clock, log, crossings)
    try:
        return await _drive(steps, hands, log, interrupted, watcher)
    finally:
        with suppress(ValueError):  # cancelled while a step was being worked out
            steps.close()
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSING_S):
            await hands.aclose()
        log.extend(hands.collect())


async def _drive(
    steps: Search, hands: Hands, log: list[Sample], interrupted: anyio.Event, watcher: Watcher | None
) -> Stop:
    step: Action | Stop = await _next(partial(next, steps))
    weary, gave_up = 0, False
    while not isinstance(step, Stop):
        if watcher is not None:
            watcher.begins(step, log)
        samples: list[Sample] = []
        over = interrupted.is_set()
        if isinstance(step, Close):
            # Giving back is what an interrupted search still does; what takes too long, `aclose` does.
            with anyio.CancelScope(shield=interrupted.is_set()), anyio.move_on_after(CLOSING_S):
                samples = await hands.perform(step)
            samples = samples or hands.collect()
        elif not over:
            samples, over = await _unless(interrupted, hands, step)
            if samples and not over:  # a pause is no rest
                weary = weary + 1 if _turned_away(samples) else 0
                gave_up = weary >= WEARY or (weary > 0 and not log)
        if not isinstance(step, Close) and (over or gave_up):
            step = await _next(partial(steps.throw, Interrupted(samples)))
        else:
            step = await _next(partial(steps.send, samples))
    return Stop.FAILURE if gave_up else step


async def _next(advance: Callable[[], Action]) -> Action | Stop:
    """One step of the search, in a thread: inference takes a tenth of a second, in which streams want attention."""

    def work() -> Action | Stop:
        try:
            return advance()
        except StopIteration as end:
            return Stop(end.value)

    return await in_thread(work)


async def _unless(interrupted: anyio.Event, hands: Hands, action: Action) -> tuple[list[Sample], bool]:
    """Carry an action out, but drop it when the search is interrupted.

    Returns:
        The samples there are, and whether the search has to end.
    """
    samples: list[Sample] = []
    lost = False

    async def watch(scope: anyio.CancelScope) -> None:
        await interrupted.wait()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        try:
            samples = await hands.perform(action)
        except Lost:
            lost = True
        group.cancel_scope.cancel()
    return samples or hands.collect(), lost or interrupted.is_set()


def _turned_away(samples: Sequence[Sample]) -> bool:
    """Whether nothing came of a step but failures that no pause and no smaller number can mend."""
    failed = [one for one in samples if one.outcome is Outcome.FAILED]
    called = any(one.operation is Operation.CALL and one.outcome is Outcome.ACCEPTED for one in samples)
    limited = any(one.outcome is Outcome.REFUSED or (one.troubled and one.status is not None) for one in samples)
    return bool(failed) and not called and not limited
