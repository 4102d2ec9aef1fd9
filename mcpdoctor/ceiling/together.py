"""Third stage, where no limit on sessions showed: how many requests may be in flight at a time?"""

from __future__ import annotations

import statistics
from collections.abc import Generator, Sequence

from mcpdoctor.ceiling.actions import Action
from mcpdoctor.ceiling.run import Asking, Run
from mcpdoctor.ceiling.timeline import blur_s
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, refused

GROWTH = 1.5
CONFIRMATIONS = 6
ROUNDS = 3
LIKELY = 0.1
"""Share of the posterior from which a limit on requests in flight is worth a closer look."""

IDLE = 3
"""So many bursts without getting higher, and without a limit to show for it, are enough: there are too many strays."""

PAIR = 2
APART = 2.5
"""So many times the blur apart, the order of arrival is sure."""

LASTING = 4
"""Of requests that take so many times that gap, none is done before the next group arrives."""
STEPS = 3
MANY = 24
"""In a burst of so many at least one stray is to be expected; at the share that noise usually has."""
SLOW = 8
"""A service time of that many round trips leaves time to send what is new group by group."""


def overlap(run: Run) -> Asking:
    """Send 2, 3, 4, 6, 9, ... requests at once, up to `--max`, until some of them are refused; then make sure.

    Of each burst the part that is known to pass goes out first, and what is new after it by pairs, one round trip
    apart, so that the second of two pairs is not sent when the first was refused. After a refusal comes a burst of one
    more than was ever accepted together, of which the last has to be refused: an in-flight limit forgets at once.
    """
    good, target, best, idle = 1, 2, 1, 0
    while good < run.settings.most and idle < IDLE:
        target = min(target, run.settings.most)
        if target == run.settings.most:
            # Nothing above will be tried: so that all of them really are in flight together, do not wait for refusals.
            samples = yield from _two_parts(run, good, target - good)
        else:
            samples = yield from run.burst(_groups(run, good, target), gap_s=_gap_s(run.log))
        passed = len(samples) - refused(samples)
        if passed == target:
            good = target
        elif run.belief().sure(Kind.RATE, run.settings.sure):
            return
        elif run.belief().posterior[Kind.IN_FLIGHT] < LIKELY:
            good = max(good, passed)  # a stray: a limit that was missed shows all the more in the next burst
        else:
            good = yield from _confirm(run, good)
            if not good:
                return
        target = max(good + 1, int(good * GROWTH))
        best, idle = max(best, good), 0 if good > best else idle + 1


def _confirm(run: Run, good: int) -> Generator[Action, Sequence[Sample], int]:
    """See whether one more than was ever accepted is refused. Returns where to climb on from; 0 when that is done."""
    for attempt in range(CONFIRMATIONS):
        belief = run.belief()
        weights = belief.capacities(Kind.IN_FLIGHT)
        likeliest = belief.capacity(Kind.IN_FLIGHT) or 1
        # A limit for certain, and how high: whether it forgets at once is for `remember` to find out.
        limited = belief.posterior[Kind.IN_FLIGHT] + belief.posterior[Kind.RATE] >= run.settings.sure
        settled = limited and weights.get(likeliest, 0.0) >= run.settings.sure
        if attempt and (settled or belief.sure(Kind.RATE, run.settings.sure)):
            return 0
        size = max(good, likeliest) + 1
        if size > run.settings.most:
            return 0
        # A stray refusal makes room for one more; where there are strays, a few more tell all the same.
        new = min(1 + attempt * size // MANY, run.settings.most - size + 1)
        samples = yield from _two_parts(run, size - 1, new)
        if not refused(samples):
            return size + new - 1
    return 0


def _two_parts(
    run: Run, good: int, new: int, *, late: bool = False
) -> Generator[Action, Sequence[Sample], Sequence[Sample]]:
    """What is known to pass, and what is new right behind it; all at once where requests are too short for that.

    Late, the new ones go when the others are half done: a bucket that fills up while requests are answered has room
    again by then.
    """
    gap_s, service_s = APART * blur_s(run.log), _service_s(run.log)
    if service_s < LASTING * gap_s:
        return (yield from run.burst((good + new,)))
    gap_s = max(gap_s, service_s / 2) if late else gap_s
    return (yield from run.burst((good, new), gap_s=gap_s))


def part_streams(run: Run) -> Asking:
    """Find out whether the streams of open sessions count as requests in flight: without them, does more fit?"""
    belief = run.belief()
    size, share = belief.capacity(Kind.IN_FLIGHT), belief.streams()
    if size is None or not 1 - run.settings.sure < share < run.settings.sure or len(run.held) < 2:
        return
    calls = max(1, size - len(run.held)) if share > 1 / 2 else size
    yield from run.close_all(run.held[1:])
    yield from _two_parts(run, calls, 1)


def remember(run: Run) -> Asking:
    """Two bursts of as many as pass, back to back, of cheap requests: an in-flight limit forgets, a rate does not.

    Done even where the limit seems sure: a bucket that happens to refill between two bursts by as much as the pause
    lets it looks like a limit on requests in flight, and nothing but haste shows the difference.
    """
    size = run.belief().capacity(Kind.IN_FLIGHT)
    if size is None:
        return
    if run.streaming and run.belief().streams() > 1 / 2:
        # What stands takes places too: half of them for calls.
        yield from run.close_all(run.held[size // 2 :])
        size -= len(run.held)
    for turn in range(ROUNDS):
        for _ in range(2):
            if refused((yield from run.burst((size,), light=True))):
                break
        if _told(run):
            return
        yield from _two_parts(run, size, 1, late=turn > 0)
        if _told(run):
            return


def _told(run: Run) -> bool:
    """Whether it is sure by now that requests in flight, or that a rate, is limited."""
    return any(run.belief().sure(kind, run.settings.sure) for kind in (Kind.IN_FLIGHT, Kind.RATE))


def _groups(run: Run, good: int, target: int) -> tuple[int, ...]:
    """The part of a burst that is known to pass, then what is new, in groups that a refusal can stop."""
    new = target - good
    if _service_s(run.log) < SLOW * _gap_s(run.log):
        return (target,)
    size = max(PAIR, -(-new // STEPS))
    return (good, *(min(size, new - sent) for sent in range(0, new, size)))


def _gap_s(log: Sequence[Sample]) -> float:
    """A round trip: the shortest there was, and a fifth more."""
    return 1.2 * min((sample.elapsed_s for sample in log), default=0.0)


def _service_s(log: Sequence[Sample]) -> float:
    """About how long the last accepted calls took."""
    calls = [
        sample.elapsed_s for sample in log if sample.operation is Operation.CALL and sample.outcome is Outcome.ACCEPTED
    ]
    return statistics.median(calls[-9:]) if calls else 0.0
