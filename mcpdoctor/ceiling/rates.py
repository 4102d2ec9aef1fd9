"""Limits on a rate, of every shape: which of them explain the log, and what Retry-After says of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from mcpdoctor.ceiling import demand, grid
from mcpdoctor.ceiling.grid import Weighed
from mcpdoctor.ceiling.intervals import log_sum
from mcpdoctor.ceiling.weighing import Seen, Trial
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Shape

_SLOWEST, _FASTEST = math.log(1 / 900), math.log(50.0)
_SHORTEST, _LONGEST = math.log(0.5), math.log(900.0)
_STEP = math.log(1.2)
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
_PHASES = 40
_FEW, _FEW_CELLS, _FINEST = 8, 40, 400
_OPENINGS_ALONE = 0.15
_RETRY_AFTERS = 20
_ROUNDED_S = 1.1


def weigh(seen: Seen, floor: float = -math.inf) -> Iterator[Trial]:
    """Limits on a rate: half of the prior for buckets, a quarter for each kind of window.

    Args:
        seen: the log.
        floor: log-weight of other explanations: what is little beside it is not looked for closely.
    """
    for openings_alone in (False, True):
        counting = frozenset({Operation.OPEN}) if openings_alone else demand.ANY
        share = _OPENINGS_ALONE if openings_alone else 1 - _OPENINGS_ALONE
        if not seen.mostly_refuses(counting):
            continue
        for shape, prior, family in _FAMILIES:
            part = math.log(share * prior)
            found = [
                Trial(Kind.RATE, weight + part, capacity, rates, shape, openings_alone)
                for rates, capacity, weight in family(seen, counting, floor - part)
            ]
            floor = log_sum((floor, *(one.log_weight for one in found)))
            yield from found


def believing(log: Sequence[Sample], rates: list[Trial]) -> list[Trial]:
    """What Retry-After says of the parameters of a rate; the weight of them all stays as it was.

    Either it is the truth, and whoever had come a second earlier would have been refused still; or it is any number.
    The more different ones there were, the less likely is the latter.
    """
    stated = _promised(log)
    if not stated or not rates:
        return rates
    values = len({round(one.retry_after_s or 0.0) for one in stated})
    believed = [*weigh(Seen([*log, *stated]))]
    doubt = -values * math.log(_RETRY_AFTERS)
    both = [*believed, *(replace(one, log_weight=one.log_weight + doubt) for one in rates)]
    shift = log_sum(one.log_weight for one in rates) - log_sum(one.log_weight for one in both)
    return [replace(one, log_weight=one.log_weight + shift) for one in both]


def _promised(log: Sequence[Sample]) -> list[Sample]:
    """The refusals that would have come if somebody had asked a second before Retry-After was over."""
    sent = sorted(one.sent_s for one in log)
    found: list[Sample] = []
    for one in log:
        if one.outcome is not Outcome.REFUSED or (one.retry_after_s or 0.0) <= _ROUNDED_S:
            continue
        moment = one.received_s + (one.retry_after_s or 0.0) - _ROUNDED_S
        if bisect_right(sent, one.received_s) == bisect_right(sent, moment):
            found.append(replace(one, sent_s=moment - one.elapsed_s, received_s=moment))
    return found


_Found = tuple[tuple[float, float], int, float]
"""Lowest and highest rate, capacity, log-weight."""


def _buckets(seen: Seen, counting: Collection[Operation], floor: float) -> Iterator[_Found]:
    """Token buckets."""

    def told(low: float, high: float, most: bool) -> Weighed:
        return seen.weigh(
            demand.bucket(seen.arriving, math.exp(low), counting, seen.clocks_s, math.exp(high)), most=most
        )

    for low, high, weighed in grid.bounded(told, _SLOWEST, _FASTEST, floor=floor):
        yield from (((math.exp(low), math.exp(high)), capacity, weight) for capacity, weight in weighed)


def _fixed(seen: Seen, counting: Collection[Operation], floor: float) -> Iterator[_Found]:  # noqa: ARG001 - coarse
    """Windows at fixed times. Between two requests a boundary may lie anywhere: the gap is the weight of that phase."""
    for window_s, share in _WINDOWS_S.items():
        marks = sorted({round(one.at_s % window_s, 3) % window_s for one in seen.arriving if one.operation in counting})
        kept = [marks[0]]
        for mark in marks[1:]:
            if mark - kept[-1] >= window_s / _PHASES:
                kept.append(mark)
        ends = [*kept[1:], kept[0] + window_s]
        for mark, end in zip(kept, ends, strict=True):
            demands = demand.fixed(seen.arriving, window_s, (mark + end) / 2, counting, seen.clocks_s)
            yield from _windows(window_s, seen.weigh(demands), (end - mark) / window_s * share)


def _anchored(seen: Seen, counting: Collection[Operation], floor: float) -> Iterator[_Found]:  # noqa: ARG001 - coarse
    """Windows that begin with a request: half of the prior for round lengths, half for all lengths."""

    def told(length: float) -> Weighed:
        return seen.weigh(demand.anchored(seen.arriving, math.exp(length), counting, seen.clocks_s))

    for window_s, share in _WINDOWS_S.items():
        yield from _windows(window_s, told(math.log(window_s)), share / 2)
    for low, high, weighed in grid.refined(told, _SHORTEST, _LONGEST, _STEP):
        yield from _windows(math.exp((low + high) / 2), weighed, 1 / 2)


def _sliding(seen: Seen, counting: Collection[Operation], floor: float) -> Iterator[_Found]:
    """Windows that end now: as above."""

    def told(low: float, high: float, most: bool) -> Weighed:
        return seen.weigh(
            demand.sliding(seen.arriving, math.exp(low), counting, seen.clocks_s, math.exp(high)), most=most
        )

    for window_s, share in _WINDOWS_S.items():
        weighed = seen.weigh(demand.sliding(seen.arriving, window_s, counting, seen.clocks_s))
        floor = log_sum((floor, *(weight for _, weight in weighed)))
        yield from _windows(window_s, weighed, share / 2)
    for low, high, weighed in grid.bounded(told, _SHORTEST, _LONGEST, floor=floor):
        yield from _windows(math.exp((low + high) / 2), weighed, 1 / 2)


def _counter(seen: Seen, counting: Collection[Operation], floor: float) -> Iterator[_Found]:
    """The same by two counters, of round lengths."""
    for window_s, share in _WINDOWS_S.items():

        def told(low: float, high: float, most: bool, window_s: float = window_s) -> Weighed:
            phase_s, slack_s = (low + high) / 2, (high - low) / 2 + seen.clocks_s
            return seen.weigh(demand.counter(seen.arriving, window_s, phase_s, counting, slack_s), most=most)

        narrow, least = window_s / _FINEST, floor - math.log(share)
        cells = grid.bounded(told, 0.0, window_s, narrow=narrow, coarse=_FEW, most=_FEW_CELLS, floor=least)
        for _, _, weighed in cells:
            found = [*_windows(window_s, weighed, share)]
            floor = log_sum((floor, *(weight for *_, weight in found)))
            yield from found


def _windows(window_s: float, weighed: Iterable[tuple[int, float]], share: float) -> Iterator[_Found]:
    """What was found for windows of one length, which has that share of the prior."""
    for capacity, weight in weighed:
        yield (capacity / window_s,) * 2, capacity, weight + math.log(share)


_Family = Callable[[Seen, Collection[Operation], float], Iterator[_Found]]
_FAMILIES: tuple[tuple[Shape, float, _Family], ...] = (
    (Shape.TOKEN_BUCKET, 0.5, _buckets),
    (Shape.FIXED_WINDOW, 0.125, _fixed),
    (Shape.FIXED_WINDOW, 0.125, _anchored),
    (Shape.SLIDING_WINDOW, 0.125, _sliding),
    (Shape.SLIDING_WINDOW, 0.125, _counter),
)
