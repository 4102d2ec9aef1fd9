"""Which limiter explains the log: a posterior over kinds, with the parameters of each.

Every kind of limiter, with each of its parameters, foretells of every request in the log whether it is accepted. Where
it is wrong, either the refusal was a stray (some share of requests is refused for no reason of ours) or the acceptance
was a leak (real limiters are sharded and approximate). Both shares are unknown; they are integrated out, so that the
likelihood of a log is a product of two beta-binomial terms (`intervals.log_chance`):

    strays among requests foretold to be accepted, share ~ Beta(1, 19)
    leaks among requests foretold to be refused, share ~ Beta(1, 49)

Requests whose fate the clocks leave open count one half each. The posterior is Bayes' rule over a grid of parameters
(Gelman and others, Bayesian Data Analysis, 3rd edition, sections 1.3 and 10.3): kinds have equal prior weight,
capacities and rates are log-uniform. A limiter that foretells no refusal in the whole log says the same as no limiter,
and belongs to "none seen".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcpdoctor.ceiling import demand, rates
from mcpdoctor.ceiling.intervals import credible, log_sum, middle
from mcpdoctor.ceiling.weighing import Seen, Trial
from mcpdoctor.samples import Kind, Operation, Sample, Shape

SURE = 0.95
"""Posterior weight from which a kind is taken for certain."""

LIMITERS = (Kind.SESSIONS, Kind.IN_FLIGHT, Kind.RATE)

_NEGLIGIBLE = 14.0
_DOUBTFUL = math.log(0.1)
_LINGERS_S = {0.0: 0.75, 2.0: 0.05, 5.0: 0.05, 15.0: 0.05, 60.0: 0.05, math.inf: 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One limiter with its parameters, and how much of the posterior it has.

    Attributes:
        weight: share of the posterior over everything.
        capacity: sessions, requests in flight, size of the bucket, requests in a window.
        rates_per_s: lowest and highest rate of its cell in the grid, requests per second; None unless a rate.
        shape: None unless a rate.
        openings_alone: whether only requests that open a session count; False unless a rate.
        streams: whether standing streams count too; False unless a limit on requests in flight.
        near: whether the server is so near that the shortest answer was all work, and not the way there and back;
            False unless a limit on requests in flight.
    """

    kind: Kind
    weight: float
    capacity: int
    rates_per_s: tuple[float, float] | None = None
    shape: Shape | None = None
    openings_alone: bool = False
    streams: bool = False
    near: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What the log so far says.

    Attributes:
        posterior: weight of every kind but `UNKNOWN`; they sum to 1.
        explanations: the limiters that have noticeable weight, the heaviest first.
    """

    posterior: Mapping[Kind, float]
    explanations: tuple[Explanation, ...] = ()

    def sure(self, kind: Kind, share: float = SURE) -> bool:
        """Whether a kind has at least that share of the posterior."""
        return self.posterior.get(kind, 0.0) >= share

    def of(self, kind: Kind) -> tuple[Explanation, ...]:
        """The explanations of one kind."""
        return tuple(one for one in self.explanations if one.kind is kind)

    def capacities(self, kind: Kind) -> dict[int, float]:
        """Posterior weight of each capacity, given the kind; sums to 1, or is empty."""
        found = self.of(kind)
        weights: dict[int, float] = {}
        for one in found:
            if one.streams is not found[0].streams:
                continue  # a capacity with streams and one without are not the same measure: keep to the likelier
            weights[one.capacity] = weights.get(one.capacity, 0.0) + one.weight
        whole = sum(weights.values())
        return {capacity: weight / whole for capacity, weight in sorted(weights.items())}

    def capacity(self, kind: Kind) -> int | None:
        """The likeliest capacity, given the kind."""
        weights = self.capacities(kind)
        return max(weights, key=lambda capacity: weights[capacity]) if weights else None

    def capacity_interval(self, kind: Kind, confidence: float = 0.95) -> tuple[int, int] | None:
        """Lowest and highest capacity of the posterior interval, given the kind."""
        ends = credible(((float(value), weight) for value, weight in self.capacities(kind).items()), confidence)
        return (int(ends[0]), int(ends[1])) if ends else None

    def streams(self) -> float:
        """Posterior weight of standing streams counting as requests in flight, given a limit on these."""
        return self._share(lambda one: one.streams)

    def near(self) -> float:
        """Posterior weight of a server to which the way takes no time, given a limit on requests in flight."""
        return self._share(lambda one: one.near)

    def _share(self, which: Callable[[Explanation], bool]) -> float:
        found = self.of(Kind.IN_FLIGHT)
        whole = sum(one.weight for one in found)
        return sum(one.weight for one in found if which(one)) / whole if whole else 0.0

    def rate(self) -> float | None:
        """Median of the rate in requests per second, given that it is a rate."""
        return middle(self._rates())

    def rate_interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Posterior interval of the rate in requests per second, given that it is a rate."""
        return credible(self._rates(), confidence)

    def shapes(self) -> dict[Shape, float]:
        """Posterior weight of each shape of a rate limit, given that it is a rate."""
        found = self.of(Kind.RATE)
        whole = sum(one.weight for one in found)
        return (
            {shape: sum(one.weight for one in found if one.shape is shape) / whole for shape in Shape} if whole else {}
        )

    def _rates(self) -> list[tuple[float, float]]:
        return [(rate, one.weight) for one in self.of(Kind.RATE) if one.rates_per_s for rate in one.rates_per_s]


def infer(log: Sequence[Sample]) -> Belief:
    """Weigh every kind of limiter against the log.

    Args:
        log: all requests so far, in any order; those that only compared callers are left out.

    Returns:
        The posterior. Without any refusal it is certain that none was seen.
    """
    seen = Seen([sample for sample in log if not sample.cross])
    if not seen.refusals:
        return Belief(posterior={kind: float(kind is Kind.NONE) for kind in Kind if kind is not Kind.UNKNOWN})
    places = [*_places(seen)]
    others = log_sum((seen.without_limit(), *(one.log_weight for one in places)))
    trials = [*places, *rates.believing(log, [*rates.weigh(seen, others + _DOUBTFUL)])]
    groups = {kind: log_sum(one.log_weight for one in trials if one.kind is kind) for kind in LIMITERS}
    groups[Kind.NONE] = seen.without_limit()
    whole = log_sum(groups.values())
    explanations = (
        Explanation(
            kind=one.kind,
            weight=math.exp(one.log_weight - whole),
            capacity=one.capacity,
            rates_per_s=one.rates_per_s,
            shape=one.shape,
            openings_alone=one.openings_alone,
            streams=one.streams,
            near=one.near,
        )
        for one in trials
        if one.log_weight > groups[one.kind] - _NEGLIGIBLE
    )
    return Belief(
        posterior={kind: math.exp(weight - whole) for kind, weight in groups.items()},
        explanations=tuple(sorted(explanations, key=lambda one: -one.weight)),
    )


def _places(seen: Seen) -> Iterator[Trial]:
    """Limits on sessions and on requests in flight."""
    if seen.mostly_refuses({Operation.OPEN}):
        before: list[demand.Demand] | None = None
        weighed: list[tuple[int, float]] = []
        for linger_s, share in _LINGERS_S.items():
            demands = demand.held(seen.arriving, linger_s)
            if demands != before:  # while nothing was closed they are all the same
                weighed, before = [*seen.weigh(demands)], demands
            yield from (Trial(Kind.SESSIONS, weight + math.log(share), capacity) for capacity, weight in weighed)
    streaming = any(one.operation is Operation.STREAM for one in seen.arriving)
    # How much of the shortest answer was the way there and back is unknown: all of it, or nothing.
    for streams, near in itertools.product((False, True) if streaming else (False,), (False, True)):
        longer_s = seen.shortest_s if near else 0.0
        demands = demand.overlap(seen.arriving, blur_s=seen.blur_s, streams=streams, longer_s=longer_s)
        for capacity, weight in seen.weigh(demands):
            yield Trial(Kind.IN_FLIGHT, weight - math.log(2 * (1 + streaming)), capacity, streams=streams, near=near)


__all__ = ["LIMITERS", "SURE", "Belief", "Explanation", "infer"]
