"""Carry actions out on several legs as if they were one machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import anyio

from mcpdoctor.ceiling.actions import Action, Burst, Call, Close, Loop, Open, Wait
from mcpdoctor.ceiling.distributed.leg import too_much
from mcpdoctor.ceiling.distributed.remote import Gone, Remote
from mcpdoctor.ceiling.measurement import Lost
from mcpdoctor.ceiling.spread import Places, split_burst, split_loop
from mcpdoctor.model import Fact
from mcpdoctor.samples import Operation, Outcome, Sample

LEAD_S = 0.005
"""Seconds that a leg has at least, after it was told when to let a burst go."""

_LONGEST_LEAD_S = 0.5
_LOOK_S = 0.01
_CUT_S = 3.0


class Legs:
    """Several legs; see `measurement.Hands`.

    Args:
        remotes: the legs, by number.
        places: where sessions live.
        clock: our clock, which is that of the search.
    """

    def __init__(
        self, remotes: Mapping[int, Remote], places: Places, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._remotes, self._places, self._now = dict(remotes), places, clock
        self._samples: list[Sample] = []

    async def perform(self, action: Action) -> list[Sample]:
        """Do what the search asks for.

        Raises:
            Lost: a leg that had a part in it is gone.
        """
        try:
            await self._perform(action)
        except Gone as gone:
            await self._interrupt()
            raise Lost(str(gone)) from gone
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._interrupt()
            raise
        return self.collect()

    def collect(self) -> list[Sample]:
        """The samples that were not handed out yet, in the order in which the answers came."""
        samples = [*self._samples, *(one for remote in self._remotes.values() for one in remote.collect())]
        self._samples = []
        return sorted(samples, key=lambda one: one.received_s)

    async def aclose(self) -> None:
        """Close every session, on all legs at once."""
        await self._all(remote.ask("disband") for remote in self._alive())

    def facts(self) -> dict[str, Fact]:
        """What there is to say of the legs at the end."""
        lost = [f"leg {one.number} ({one.worker}): {one.lost}" for one in self._remotes.values() if one.lost]
        now = self._now()
        errors = [one.clock.error_s(now) for one in self._alive()]
        return {
            "leg_lost": bool(lost),
            "lost_legs": "; ".join(lost),
            "clock_error_s": round(max(errors, default=0.0), 6),
        }

    async def _perform(self, action: Action) -> None:
        match action:
            case Open():
                await self._open(action)
            case Close():
                await self._close(action)
            case Call():
                await self._of(action.session, action.leg).ask("perform", action)
            case Burst():
                await self._burst(split_burst(action, self._places), action)
            case Loop():
                await self._loop(split_loop(action, self._places))
            case Wait():
                await anyio.sleep(max(0.0, action.until_s - self._now()))

    def _of(self, session: int | None, leg: int | None = None) -> Remote:
        return self._remotes[self._places.of(session, leg)]

    def _alive(self) -> list[Remote]:
        return [one for one in self._remotes.values() if one.lost is None]

    # sessions ---------------------------------------------------------------------------------------------------------

    async def _open(self, action: Open) -> None:
        remote = self._remotes[self._places.take(action.session, action.leg)]
        await remote.ask("perform", action)
        self._samples += remote.collect()
        came = [one for one in self._samples if one.session == action.session]
        opened = any(one.operation is Operation.OPEN for one in came)
        if not opened or any(one.outcome is not Outcome.ACCEPTED for one in came):
            self._places.free(action.session)

    async def _close(self, action: Close) -> None:
        """Close sessions, on one leg after another; those of a leg that is gone are gone."""
        by_leg: dict[int, list[int]] = {}
        for session in action.sessions:
            by_leg.setdefault(self._places.of(session), []).append(session)
        for leg, sessions in by_leg.items():
            try:
                await self._remotes[leg].ask("perform", Close(sessions=tuple(sessions)))
            except Gone:
                continue
        for session in action.sessions:
            self._places.free(session)

    # several at a time ------------------------------------------------------------------------------------------------

    async def _burst(self, parts: Mapping[int, Burst], whole: Burst) -> None:
        """A burst on one leg is that leg's own affair; one on several is prepared everywhere, and then let go.

        When each group is to go, all are told in the time of their own clocks, soon enough for the first. Between
        groups every leg looks at what came back to it, and we at what came back to all of them.
        """
        if len(parts) == 1:
            [(leg, part)] = parts.items()
            await self._remotes[leg].ask("perform", part)
            return
        remotes = [self._remotes[leg] for leg in parts]
        await _together(self._remotes[leg].ask("line_up", part) for leg, part in parts.items())
        lead_s = min(_LONGEST_LEAD_S, max(LEAD_S, *(one.clock.trip_s() for one in remotes)))
        now = self._now()
        times_s = [now + lead_s + group * whole.gap_s for group in range(len(whole.groups))]
        await _together(
            one.ask("launch", tuple(one.clock.theirs(time_s, now) for time_s in times_s)) for one in remotes
        )
        while self._now() < times_s[-1]:
            await anyio.sleep(min(_LOOK_S, max(0.0, times_s[-1] - self._now())))
            counts = await _together(one.ask("spoiled") for one in remotes)
            if too_much(sum(count for count, _ in counts), sum(later for _, later in counts)):
                await _together(one.ask("hold") for one in remotes)
                break
        await _together(one.ask("finish") for one in remotes)

    async def _loop(self, parts: Mapping[int, Loop]) -> None:
        """Each leg lets its workers call; when one was refused, all are told to begin nothing more."""

        async def work(leg: int, part: Loop) -> None:
            await self._remotes[leg].ask("perform", part)
            came = self._remotes[leg].collect()
            self._samples += came
            if any(one.outcome is not Outcome.ACCEPTED for one in came):
                await _together(self._remotes[other].ask("halt") for other in parts if other != leg)

        await _together(work(leg, part) for leg, part in parts.items())

    # the end ----------------------------------------------------------------------------------------------------------

    async def _interrupt(self) -> None:
        """Have every leg drop what it is at; what came until then comes with the answer."""
        await self._all((one.ask("interrupt") for one in self._alive()), within_s=_CUT_S)

    async def _all(self, asking: Iterable[Coroutine[Any, Any, Any]], within_s: float | None = None) -> None:
        """Ask several, whatever becomes of each."""
        tasks = [asyncio.ensure_future(one) for one in asking]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _together(asking: Iterable[Coroutine[Any, Any, Any]]) -> Sequence[Any]:
    """Ask several at once; when one fails, that is raised after all have answered."""
    tasks = [asyncio.ensure_future(one) for one in asking]
    if not tasks:
        return ()
    try:
        await asyncio.wait(tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return [task.result() for task in tasks]
