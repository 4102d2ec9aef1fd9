"""How well the search finds ceilings, in simulation: `python -m tests.benchmarks.ceiling [--runs N] [--kinds N]`.

First table: the ceiling alone, for limits on what is held (hold ladder) and on requests in flight (overlap burst),
beside a linear ramp and a binary search (RFC 2544) of bursts, and the lower bound: C requests held and one refused.
Second table, with `--kinds`: the whole procedure against sixteen kinds of limit. Noise of p is p/2 stray 429 and p/2
stray 503. One session is one request; closing sessions is not counted, as no other method closes any.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tabulate import tabulate

from mcpdoctor.ceiling import Budget, Settings
from mcpdoctor.ceiling.ladder import climb
from mcpdoctor.ceiling.run import Asking, Ended, Run
from mcpdoctor.ceiling.sprint import sprint
from mcpdoctor.ceiling.together import overlap
from mcpdoctor.samples import Kind, Operation, Sample, refused

from .simulation import World, measure

LIMITS = (1, 3, 7, 20, 50, 200)
NOISES = (0.0, 0.02, 0.05)
LARGEST = 256
UNBOUNDED = Settings(most=LARGEST, budget=Budget(requests=10**6, refusals=10**6, seconds=1e6))

KINDS = {
    "none": Kind.NONE,
    "sessions:1": Kind.SESSIONS,
    "sessions:3": Kind.SESSIONS,
    "sessions:7": Kind.SESSIONS,
    "sessions:12": Kind.SESSIONS,
    "lingering:5/10s": Kind.SESSIONS,
    "in-flight:3": Kind.IN_FLIGHT,
    "in-flight:7": Kind.IN_FLIGHT,
    "in-flight:12": Kind.IN_FLIGHT,
    "rate:3/s,burst:10": Kind.RATE,
    "rate:3/s,burst:3": Kind.RATE,
    "rate:1/s,burst:5": Kind.RATE,
    "rate:0.0667/s,burst:4": Kind.RATE,
    "rate:0.0667/s,burst:1": Kind.RATE,
    "window:20/60s": Kind.RATE,
    "sliding:20/60s": Kind.RATE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run of one method found, and what it cost."""

    ceiling: int
    requests: int
    refusals: int
    seconds: float


def alone(stage: Callable[[Run], Asking], world: World, kind: Kind) -> Found:
    """One stage of the search.

    A burst alone cannot tell a limit on requests in flight from a rate: before it comes a sprint of 20 requests, which
    is not counted.
    """
    log: list[Sample] = []
    run = Run(settings=UNBOUNDED, clock=lambda: world.now, log=log, started_s=world.now)
    if kind is Kind.IN_FLIGHT:
        finish(sprint(run), world)
    began, before = world.now, len(log)
    finish(stage(run), world)
    seconds = world.now - began
    counted = [one for one in log[before:] if one.operation is not Operation.CLOSE]
    return Found(
        ceiling=run.belief().capacity(kind) or 0, requests=len(counted), refusals=refused(counted), seconds=seconds
    )


def finish(steps: Asking, world: World) -> None:
    """Carry out a part of a search."""
    try:
        action = next(steps)
        while True:
            action = steps.send(world.perform(action))
    except (StopIteration, Ended):
        return


class Bursts:
    """An endpoint that is asked by bursts of fresh requests: no matter what it limits, a burst of k has k at once."""

    def __init__(self, limit: int, noise: float, seed: int) -> None:
        self.limit, self.noise, self.chance = limit, noise, Random(seed)  # noqa: S311 - noise, not a secret
        self.requests, self.refusals, self.seconds = 0, 0, 0.0

    def passes(self, size: int) -> bool:
        """Whether none of `size` requests at once is refused."""
        strays = sum(self.chance.random() < self.noise for _ in range(size))
        served = min(size - strays, self.limit)
        self.requests += size
        self.refusals += size - served
        self.seconds += 0.6 + max((self.chance.lognormvariate(-1.028, 0.472) for _ in range(served)), default=0.0)
        return served == size

    def found(self, ceiling: int) -> Found:
        """What it came to."""
        return Found(ceiling=ceiling, requests=self.requests, refusals=self.refusals, seconds=self.seconds)


def ramp(limit: int, noise: float, seed: int) -> Found:
    """Bursts of 1, 2, 3, ... until something is refused."""
    bursts = Bursts(limit, noise, seed)
    size = 1
    while size <= LARGEST and bursts.passes(size):
        size += 1
    return bursts.found(size - 1)


def rfc2544(limit: int, noise: float, seed: int) -> Found:
    """Binary search for the largest burst without loss (RFC 2544, section 26.1), from half of the range."""
    bursts = Bursts(limit, noise, seed)
    low, high = 0, LARGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bursts.passes(middle) else (low, middle)
    return bursts.found(low)


def bound(limit: int, noise: float, seed: int) -> Found:
    """Nothing can show that C are accepted at once, and no more, with less."""
    return Found(ceiling=limit, requests=limit + 1, refusals=1, seconds=0.0)


METHODS: dict[str, Callable[[int, float, int], Found]] = {
    "lower bound": bound,
    "hold ladder": lambda limit, noise, seed: alone(
        climb, World(limits=(f"sessions:{limit}",), noise=noise, seed=seed), Kind.SESSIONS
    ),
    "overlap burst": lambda limit, noise, seed: alone(
        overlap, World(limits=(f"in-flight:{limit}",), noise=noise, seed=seed), Kind.IN_FLIGHT
    ),
    "linear ramp": ramp,
    "RFC 2544": rfc2544,
}


def ceilings(runs: int) -> Iterator[list[str]]:
    """Rows of the first table: exact % / within one % · requests · refusals · virtual seconds."""
    for noise in NOISES:
        for name, method in METHODS.items():
            if name == "lower bound" and noise:
                continue
            cells = []
            for limit in LIMITS:
                found = [method(limit, noise, seed) for seed in range(runs)]
                exact = 100 * statistics.fmean(one.ceiling == limit for one in found)
                near = 100 * statistics.fmean(abs(one.ceiling - limit) <= 1 for one in found)
                costs = (statistics.fmean(getattr(one, what) for one in found) for what in Found.__slots__[1:])
                requests, refusals, seconds = costs
                share = f"{exact:.0f}" if exact == near else f"{exact:.0f}/{near:.0f}"
                cells.append(f"{share} · {requests:.0f} · {refusals:.1f} · {seconds:.0f}")
            yield [f"{noise:.0%}", name, *cells]


def kinds(runs: int) -> Iterator[list[Any]]:
    """Rows of the second table."""
    for limit, kind in KINDS.items():
        for noise in NOISES:
            found = [measure(World(limits=(limit,), noise=noise, seed=seed)) for seed in range(runs)]
            verdicts = Counter(
                "right" if one.limiter is kind else "unsure" if unsure(one, limit) else "wrong" for one in found
            )
            yield [
                limit,
                f"{noise:.0%}",
                *(verdicts[name] for name in ("right", "unsure", "wrong")),
                *(round(statistics.median(getattr(one, what) for one in found)) for what in COSTS),
            ]


COSTS = ("requests", "refused", "elapsed_s")


def unsure(found, limit: str) -> bool:
    """Whether the answer leaves the truth open: no kind is sure, or none was seen as far as it could look."""
    below = limit.startswith("in-flight") and found.highest_clean <= int(limit.partition(":")[2])
    return found.limiter is Kind.UNKNOWN or (found.limiter is Kind.NONE and below)


def main() -> int:
    """Print the tables; 1 when too many answers of the second are sure and wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="runs for each cell of the first table")
    parser.add_argument("--kinds", type=int, default=0, help="runs for each row of the second table; 0 leaves it out")
    chosen = parser.parse_args()
    if chosen.runs:
        print("exact % / within one % · requests · refusals · virtual seconds\n")
        headers = ["noise", "method", *(f"C={limit}" for limit in LIMITS)]
        print(tabulate(ceilings(chosen.runs), headers=headers), flush=True)
    if not chosen.kinds:
        return 0
    rows = [*kinds(chosen.kinds)]
    print("\n" + tabulate(rows, headers=["limit", "noise", "right", "unsure", "wrong", *COSTS]))
    whole = sum(sum(row[2:5]) for row in rows)
    shares = {
        name: sum(row[index] for row in rows) / whole for index, name in enumerate(("right", "unsure", "wrong"), 2)
    }
    print("\n" + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    return int(shares["wrong"] > 0.005 or shares["right"] < 0.97)


if __name__ == "__main__":
    sys.exit(main())
