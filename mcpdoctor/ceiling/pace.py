"""Last stage, where the limit is a rate: how fast does it refill, and how much does it allow at once?"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Generator, Sequence

from mcpdoctor.ceiling.actions import Action
from mcpdoctor.ceiling.budget import owed_pause_s
from mcpdoctor.ceiling.inference import Belief
from mcpdoctor.ceiling.run import Asking, Run
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Shape

NARROW = 1.2
"""The rate is known well enough when the ends of its interval are this close."""

ROUGH = 3.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 90.0
LONGER, SHORTER = 1.5, 0.4
PARTS = (1.0, 0.6, 0.8)
"""How pauses differ: those of one length fit every limit that allows as much in it."""

AT_ONCE = 10
TOLD = 4
"""So many pauses that the server set, not we, tell no more than its Retry-After did: then stop asking for refusals."""

LOOK_EVERY = 8
"""Inference takes a while, and what is accepted tells little: look only now and then."""


def gauge(run: Run) -> Asking:
    """Wait, then send until refused, and again, until the rate is known or the budget is spent; once at least.

    What comes back in a pause is the refill: s requests accepted after T seconds bound the rate by (s-1)/T and (s+1)/T.
    The first pauses double until one suffices, then grow, or shrink where all that goes at once had come back, after
    which nothing more is learnt; once the rate is known roughly, each is as long as it takes for some requests, or a
    part of that.
    """
    pause, told = FIRST_PAUSE_S, 0
    for turn, part in enumerate(itertools.cycle(PARTS)):
        if (turn and known(run.belief())) or told >= TOLD:
            return
        wait = part * _pause_s(run.belief(), pause)
        told += owed_pause_s(run.log) - run.clock() > wait
        yield from run.rest(wait)
        if not (yield from run.call()):
            pause = min(2 * pause, LONGEST_PAUSE_S)
            continue
        came = yield from _drain(run)
        full = came >= (run.belief().capacity(Kind.RATE) or 1)
        pause = min((SHORTER if full else LONGER) * pause, LONGEST_PAUSE_S)


def known(belief: Belief) -> bool:
    """Whether rate and burst are known well enough to stop: 20 % and one request."""
    rates, burst = belief.rate_interval(), belief.capacity_interval(Kind.RATE)
    if rates is None or burst is None:
        return not belief.of(Kind.RATE)
    return rates[1] <= NARROW * rates[0] and burst[1] - burst[0] <= max(1, 0.05 * burst[0])


def _pause_s(belief: Belief, doubling: float) -> float:
    """Seconds until about as much came back as tells most."""
    ends, burst = belief.rate_interval(), belief.capacity(Kind.RATE)
    if ends is None or burst is None or ends[1] > ROUGH * ends[0]:
        return doubling
    if burst <= 2:
        return 1 / math.sqrt(ends[0] * ends[1])  # accepted or refused: as likely the one as the other
    if belief.shapes()[Shape.TOKEN_BUCKET] < 1 / 2:
        # All comes back at once: as likely before this as after it.
        return min(burst / math.sqrt(ends[0] * ends[1]), LONGEST_PAUSE_S)
    return min(min(burst - 1, AT_ONCE) / ends[1], LONGEST_PAUSE_S)


def _drain(run: Run) -> Generator[Action, Sequence[Sample], int]:
    """Send until something is refused; several at a time where one at a time would not outrun the refill.

    Returns:
        How many were accepted, with the one that was before.
    """
    workers, sent, before = _workers(run), 0, len(run.log) - 1
    while not run.refusing:
        if workers == 1:
            yield from run.call()
        else:
            yield from run.loop(workers, max(workers, min(run.requests_left, 4 * workers)), light=True)
        sent += 1
        if not sent % LOOK_EVERY and known(run.belief()):
            break
    return sum(one.outcome is Outcome.ACCEPTED for one in run.log[before:])


def _workers(run: Run) -> int:
    """How many callers together are twice as fast as the rate."""
    times = [one.elapsed_s for one in run.log if one.operation is Operation.CALL and one.outcome is Outcome.ACCEPTED]
    rate = run.belief().rate()
    if not times or rate is None:
        return 1
    return max(1, min(math.ceil(2 * rate * statistics.median(times)), run.settings.most, run.refusals_left - 1))
