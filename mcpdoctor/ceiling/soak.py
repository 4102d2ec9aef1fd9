"""Fourth stage, where no limit showed so far: the recommended number of workers, calling as workers do."""

from __future__ import annotations

from mcpdoctor.ceiling.run import Asking, Run
from mcpdoctor.ceiling.workers import workers_for_places
from mcpdoctor.samples import Kind, refused

REQUESTS = 59
"""None refused of 59 bounds the share of refusals by 5.0 % (one-sided, 95 %; Clopper and Pearson)."""

MORE = 30
ROUNDS = 2


def soak(run: Run) -> Asking:
    """Call 59 times; where that leaves doubts, up to 60 times more.

    A refusal stops the workers; they go on when a single request has passed.
    """
    workers = max(1, workers_for_places(_at_once(run)))
    left = REQUESTS
    for _ in range(1 + ROUNDS):
        while left > 0:
            samples = yield from run.loop(max(1, min(workers, left, run.refusals_left)), left)
            left -= len(samples)
            if refused(samples) and run.belief().sure(Kind.RATE, run.settings.sure):
                return
        if any(run.belief().sure(kind, run.settings.sure) for kind in run.belief().posterior):
            return
        left = MORE


def _at_once(run: Run) -> int:
    return max(1, run.belief().capacity(Kind.IN_FLIGHT) or run.settings.most)
