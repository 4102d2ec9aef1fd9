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
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcpdoctor.ceiling import demand
from mcpdoctor.ceiling.intervals import credible, log_chance, log_sum, middle
from mcpdoctor.ceiling.timeline import Arrival, arrivals, blur_s
from mcpdoctor.samples import Kind, Operation, Sample, Shape

SURE = 0.95
"""Posterior weight from which a kind is taken for certain."""

STRAY = (1.0, 19.0)
LEAK = (1.0, 49.0)

_MOST_ERRORS = 12
_NEGLIGIBLE = 14.0
_LARGEST_CAPACITY = 1024
_SLOWEST_PER_S, _FASTEST_PER_S = 1 / 900, 50.0
_LEVELS, _PARTS, _SPLIT, _ENOUGH, _NEARLY_ALL = 4, 4, 5, 12, 0.99
_LINGERS_S = {0.0: 0.75, 2.0: 0.05, 5.0: 0.05, 15.0: 0.05, 60.0: 0.05, math.inf: 0.05}
_WINDOWS_S = {
    1.0: 0.25,
    2.0: 0.03,
    5.0: 0.05,
    10.0: 0.15,
    15.0: 0.04,
    20.0: 0.03,
    30.0: 0.08,
    60.0: 0.25,
    120.0: 0.02,
    300.0: 0.05,
    600.0: 0.05,
}
_SHORTEST_S, _LONGEST_S = 0.5, 900.0
_PHASES = 40
_OPENINGS_ALONE = 0.15
_HALF = math.log(2)
_PRIOR = [
    # Log-uniform over the capacities: proportional to log((c+1)/c), which sums in closed form.
    math.log(math.log1p(1 / max(1, capacity)) / math.log(_LARGEST_CAPACITY + 1))
    for capacity in range(_LARGEST_CAPACITY + 1)
]


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


@dataclass(frozen=True, slots=True)
class _Trial:
    """One grid point before it is weighed against the others: `log_weight` is prior times likelihood."""

    kind: Kind
    log_weight: float
    capacity: int
    rates_per_s: tuple[float, float] | None = None
    shape: Shape | None = None
    openings_alone: bool = False
    streams: bool = False
    near: bool = False


class _Log:
    """The log, sorted into what each hypothesis needs to know of it."""

    __slots__ = ("accepted", "arriving", "blur_s", "refused", "shortest_s", "words")

    def __init__(self, log: Sequence[Sample]) -> None:
        self.arriving = arrivals(log)
        self.blur_s = blur_s(log)
        self.shortest_s = min((one.elapsed_s for one in log), default=0.0)
        telling = [(index, one) for index, one in enumerate(self.arriving) if one.evidence]
        self.accepted = [index for index, one in telling if one.refused is None]
        self.refused: dict[str, list[int]] = {}
        for index, one in telling:
            if one.refused is not None:
                self.refused.setdefault(one.refused, []).append(index)
        self.words = len(self.refused)

    @property
    def refusals(self) -> int:
        return sum(map(len, self.refused.values()))

    def mostly_refuses(self, operations: Collection[Operation]) -> bool:
        """Whether most of what was refused was a request for one of the operations."""
        which = [self.arriving[index].operation in operations for found in self.refused.values() for index in found]
        return 2 * sum(which) > len(which)

    def weigh(self, demands: Sequence[demand.Demand]) -> list[tuple[int, float]]:
        """Logarithm of prior times likelihood for each capacity worth considering."""
        weighed: list[tuple[int, float]] = []
        lows = sorted([demands[index][0] for index in self.accepted])
        highs = sorted([demands[index][1] for index in self.accepted])
        smallest = max(1, math.ceil(lows[-_MOST_ERRORS])) if len(lows) >= _MOST_ERRORS else 1
        for found in self.refused.values():
            refused = sorted([(*demands[index], self.arriving[index].luck) for index in found])
            refused_highs = sorted([high for _, high, _ in refused])
            # Smaller capacities have too many leaks, larger ones foretell nothing or have too many strays.
            largest = min(math.ceil(refused_highs[-1]) - 1, _LARGEST_CAPACITY)
            if len(refused_highs) > _MOST_ERRORS:
                largest = min(largest, math.ceil(refused_highs[_MOST_ERRORS]) - 1)
            elsewhere = self.refusals - len(found)
            for capacity in range(smallest, largest + 1):
                hits = [luck for low, _, luck in refused if low > capacity]
                if not hits:
                    continue
                fitting = bisect_right(highs, capacity)
                leaks = len(lows) - bisect_right(lows, capacity)
                strays = bisect_right(refused_highs, capacity)
                unclear = len(lows) - fitting - leaks + len(found) - strays - len(hits)
                strays += elsewhere
                likelihood = (
                    log_chance(strays, strays + fitting, *STRAY)
                    + log_chance(leaks, leaks + len(hits), *LEAK)
                    + sum(hits)
                    - unclear * _HALF
                    - strays * math.log(self.words)
                )
                weighed.append((capacity, likelihood - math.log(self.words) + _PRIOR[capacity]))
        return weighed

    def without_limit(self) -> float:
        """Log-likelihood of the log if nothing limits: every refusal is a stray."""
        strays = self.refusals
        return log_chance(strays, strays + len(self.accepted), *STRAY) - strays * math.log(max(1, self.words))


def infer(log: Sequence[Sample]) -> Belief:
    """Weigh every kind of limiter against the log.

    Args:
        log: all requests so far, in any order.

    Returns:
        The posterior. Without any refusal it is certain that none was seen.
    """
    seen = _Log(log)
    if not seen.refusals:
        return Belief(posterior={kind: float(kind is Kind.NONE) for kind in Kind if kind is not Kind.UNKNOWN})
    trials = [*_places(seen), *_rates(seen)]
    groups = {kind: log_sum(one.log_weight for one in trials if one.kind is kind) for kind in _LIMITERS}
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


_LIMITERS = (Kind.SESSIONS, Kind.IN_FLIGHT, Kind.RATE)


def _places(seen: _Log) -> Iterator[_Trial]:
    """Limits on sessions and on requests in flight."""
    if seen.mostly_refuses({Operation.OPEN}):
        before: list[demand.Demand] | None = None
        weighed: list[tuple[int, float]] = []
        for linger_s, share in _LINGERS_S.items():
            demands = demand.held(seen.arriving, linger_s)
            if demands != before:  # while nothing was closed they are all the same
                weighed, before = [*seen.weigh(demands)], demands
            yield from (_Trial(Kind.SESSIONS, weight + math.log(share), capacity) for capacity, weight in weighed)
    streaming = any(one.operation is Operation.STREAM for one in seen.arriving)
    # How much of the shortest answer was the way there and back is unknown: all of it, or nothing.
    for streams, near in itertools.product((False, True) if streaming else (False,), (False, True)):
        longer_s = seen.shortest_s if near else 0.0
        demands = demand.overlap(seen.arriving, blur_s=seen.blur_s, streams=streams, longer_s=longer_s)
        for capacity, weight in seen.weigh(demands):
            yield _Trial(Kind.IN_FLIGHT, weight - math.log(2 * (1 + streaming)), capacity, streams=streams, near=near)


def _rates(seen: _Log) -> Iterator[_Trial]:
    """Limits on a rate: half of the prior for buckets, a quarter for each kind of window."""
    for openings_alone in (False, True):
        counting = frozenset({Operation.OPEN}) if openings_alone else demand.ANY
        share = math.log(_OPENINGS_ALONE if openings_alone else 1 - _OPENINGS_ALONE)
        if not seen.mostly_refuses(counting):
            continue
        yield from _buckets(seen, counting, share + math.log(0.5), openings_alone=openings_alone)
        shapes = (
            (Shape.FIXED_WINDOW, _fixed(seen, counting)),
            (Shape.FIXED_WINDOW, _plain(seen, counting, demand.anchored)),
            (Shape.SLIDING_WINDOW, _plain(seen, counting, demand.sliding)),
        )
        for shape, found in shapes:
            part = share + math.log(0.25 if shape is Shape.SLIDING_WINDOW else 0.125)
            for window_s, capacity, weight in found:
                rate = capacity / window_s
                yield _Trial(Kind.RATE, weight + part, capacity, (rate, rate), shape, openings_alone)


def _buckets(seen: _Log, counting: Collection[Operation], share: float, *, openings_alone: bool) -> Iterator[_Trial]:
    """Token buckets."""

    def weigh(rate_per_s: float) -> list[tuple[int, float]]:
        return seen.weigh(demand.bucket(seen.arriving, rate_per_s, counting))

    for low, high, weighed in _log_grid(weigh, _SLOWEST_PER_S, _FASTEST_PER_S, 1.1):
        for capacity, weight in weighed:
            yield _Trial(Kind.RATE, weight + share, capacity, (low, high), Shape.TOKEN_BUCKET, openings_alone)


def _fixed(seen: _Log, counting: Collection[Operation]) -> Iterator[tuple[float, int, float]]:
    """Windows at fixed times. Between two requests a boundary may lie anywhere: the gap is the weight of that phase."""
    for window_s, share in _WINDOWS_S.items():
        marks = sorted({round(one.at_s % window_s, 3) % window_s for one in seen.arriving if one.operation in counting})
        kept = [marks[0]]
        for mark in marks[1:]:
            if mark - kept[-1] >= window_s / _PHASES:
                kept.append(mark)
        ends = [*kept[1:], kept[0] + window_s]
        for mark, end in zip(kept, ends, strict=True):
            part = math.log((end - mark) / window_s * share)
            demands = demand.fixed(seen.arriving, window_s, (mark + end) / 2, counting)
            yield from ((window_s, capacity, weight + part) for capacity, weight in seen.weigh(demands))


_Pass = Callable[[Sequence[Arrival], float, Collection[Operation]], list[demand.Demand]]


def _plain(seen: _Log, counting: Collection[Operation], passing: _Pass) -> Iterator[tuple[float, int, float]]:
    """Windows that need no phase: half of the prior for round lengths, half for all lengths."""

    def weigh(window_s: float) -> list[tuple[int, float]]:
        return seen.weigh(passing(seen.arriving, window_s, counting))

    for window_s, share in _WINDOWS_S.items():
        part = math.log(share / 2)
        yield from ((window_s, capacity, weight + part) for capacity, weight in weigh(window_s))
    for low, high, weighed in _log_grid(weigh, _SHORTEST_S, _LONGEST_S, 1.2):
        middle_s = math.sqrt(low * high)
        yield from ((middle_s, capacity, weight - _HALF) for capacity, weight in weighed)


_Cell = tuple[float, float, list[tuple[int, float]], float]
"""Ends of a cell (logarithms), the weight of each capacity in it, and the sum of these."""


def _log_grid(
    weigh: Callable[[float], list[tuple[int, float]]], lowest: float, highest: float, ratio: float
) -> list[tuple[float, float, list[tuple[int, float]]]]:
    """Weigh a log-uniform parameter on a grid that is made finer where the weight is.

    The likelihood is made of steps, and a cell whose middle fits badly may hold a value that fits well: beside the
    heaviest cells their neighbours are split too. That ends when enough cells share the weight.

    Returns:
        Ends of each cell, and the weights found at its middle times the prior of the cell.
    """
    span = math.log(highest / lowest)

    def cell(low: float, high: float) -> _Cell:
        part = math.log((high - low) / span)
        weighed = [(capacity, weight + part) for capacity, weight in weigh(math.exp((low + high) / 2))]
        return low, high, weighed, log_sum([weight for _, weight in weighed])

    def split(low: float, high: float, parts: int) -> list[_Cell]:
        edges = [low + (high - low) * index / parts for index in range(parts + 1)]
        return [cell(*ends) for ends in itertools.pairwise(edges)]

    grid = split(math.log(lowest), math.log(highest), round(span / math.log(ratio)))
    for _ in range(_LEVELS):
        heavy = _heaviest([whole for *_, whole in grid])
        if not heavy or len(heavy) >= _ENOUGH:
            break
        chosen = {near for index in heavy[:_SPLIT] for near in (index - 1, index, index + 1)}
        grid = [
            fine
            for index, one in enumerate(grid)
            for fine in (split(one[0], one[1], _PARTS) if index in chosen else [one])
        ]
    return [(math.exp(low), math.exp(high), weighed) for low, high, weighed, _ in grid]


def _heaviest(weights: Sequence[float]) -> list[int]:
    """Which log-weights make up nearly all of their sum, the heaviest first."""
    whole, summed = log_sum(weights), 0.0
    heavy: list[int] = []
    for index in sorted(range(len(weights)), key=lambda index: -weights[index]):
        if summed >= _NEARLY_ALL or weights[index] == -math.inf:
            break
        heavy.append(index)
        summed += math.exp(weights[index] - whole)
    return heavy


__all__ = ["SURE", "Belief", "Explanation", "infer"]
