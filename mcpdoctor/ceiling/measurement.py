"""Drive a search: ask it what to do, have that done, tell it what came back, until it knows or has to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import anyio
import anyio.abc

from mcpdoctor.ceiling.actions import Action, Close, Open
from mcpdoctor.ceiling.run import Interrupted, Settings
from mcpdoctor.ceiling.search import Search, search
from mcpdoctor.probes import in_thread
from mcpdoctor.samples import Outcome, Sample, Stop

CLOSING_S = 10.0
"""Seconds that closing the sessions may take once the search is over."""


class Hands(Protocol):
    """What carries actions out: `sessions.Sessions` on this machine, or several machines together."""

    async def perform(self, action: Action) -> list[Sample]:
        """Do it; a sample for each request."""

    def collect(self) -> list[Sample]:
        """Samples of an action that was cut short."""

    async def aclose(self) -> None:
        """Close whatever is still open."""


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
) -> Stop:
    """Search for the limit of an endpoint.

    Args:
        hands: what carries the actions out; closed at the end.
        settings: budget, size and manner.
        log: every sample is written here, so that what is known outlives whatever happens.
        interrupted: once set, nothing new is sent, and what is open is closed.
        watcher: told of every action.
        clock: the clock of the samples.

    Returns:
        Why it ended; `failure` where the very first session was turned away for a reason that is no limit.
    """
    steps = search(settings, clock, log)
    try:
        return await _drive(steps, hands, log, interrupted, watcher)
    finally:
        steps.close()
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSING_S):
            await hands.aclose()
        log.extend(hands.collect())


async def _drive(
    steps: Search, hands: Hands, log: list[Sample], interrupted: anyio.Event, watcher: Watcher | None
) -> Stop:
    step: Action | Stop = await _next(partial(next, steps))
    while not isinstance(step, Stop):
        if watcher is not None:
            watcher.begins(step, log)
        if isinstance(step, Close):
            # Giving back is what an interrupted search still does.
            with anyio.CancelScope(shield=interrupted.is_set()), anyio.move_on_after(CLOSING_S):
                samples = await hands.perform(step)
        elif interrupted.is_set():
            step = await _next(partial(steps.throw, Interrupted()))
            continue
        else:
            samples = await _unless(interrupted, hands, step)
            if interrupted.is_set():
                log.extend(samples)
                step = await _next(partial(steps.throw, Interrupted()))
                continue
        if isinstance(step, Open) and not log and _turned_away(samples):
            log.extend(samples)
            return Stop.FAILURE
        step = await _next(partial(steps.send, samples))
    return step


async def _next(advance: Callable[[], Action]) -> Action | Stop:
    """One step of the search, in a thread: inference takes a tenth of a second, in which streams want attention."""

    def work() -> Action | Stop:
        try:
            return advance()
        except StopIteration as end:
            return Stop(end.value)

    return await in_thread(work)


async def _unless(interrupted: anyio.Event, hands: Hands, action: Action) -> list[Sample]:
    """Carry an action out, but drop it when the search is interrupted. Returns the samples there are."""
    samples: list[Sample] = []

    async def watch(scope: anyio.CancelScope) -> None:
        await interrupted.wait()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        samples = await hands.perform(action)
        group.cancel_scope.cancel()
    return samples or hands.collect()


def _turned_away(samples: Sequence[Sample]) -> bool:
    """Whether a first session failed for a reason that no pause and no smaller number can mend."""
    failed = [one for one in samples if one.outcome is Outcome.FAILED]
    return bool(failed) and not any(one.troubled and one.status is not None for one in failed)
