"""The log as the server met it: what arrived in which order, and when the server was done with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcpdoctor.samples import Operation, Outcome, Sample, refused

BLUR_S = 0.012
"""By how many seconds arrivals may be off, at most; see `blur_s`."""

_LEAST_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request at the server.

    Attributes:
        at_s: when it arrived, about.
        done_s: when the server was done with it, about; infinite for a stream that still stands.
        sent_s: when it was sent.
        over_s: when it was over for certain: its answer had come, or a stream's session was closed.
        counted: whether the server took it in: refused requests are counted by no limiter here.
        evidence: whether it tells of a limit: not when it failed, and not when it closed a session (nobody is kept
            from that).
        refused: in which words it was refused; None when it was not.
        luck: logarithm of the chance that, of the requests it was under way with, those were refused that were, if a
            limiter had to refuse as many; shared evenly among the refused. 0 where the order is known.
    """

    at_s: float
    done_s: float
    sent_s: float
    over_s: float
    operation: Operation
    session: int | None
    counted: bool
    evidence: bool
    refused: str | None
    luck: float = 0.0


def blur_s(log: Sequence[Sample]) -> float:
    """By how many seconds two arrivals may change places: on a short way less, for jitter is part of the round trip."""
    return min(BLUR_S, max(_LEAST_S, min((sample.elapsed_s for sample in log), default=BLUR_S))) + clocks_s(log)


def clocks_s(log: Sequence[Sample]) -> float:
    """By how many seconds the clocks of two legs may differ from what was measured; 0 where one leg sent everything.

    What is off on one leg alone is off for all of its requests, and does not change their order.
    """
    off: dict[int, float] = {}
    for sample in log:
        off[sample.leg] = max(off.get(sample.leg, 0.0), sample.off_s)
    return sum(sorted(off.values())[-2:]) if len(off) > 1 else 0.0


def ways_s(log: Sequence[Sample]) -> dict[int, float]:
    """How many seconds requests of each leg are under way: half of its shortest round trip."""
    ways: dict[int, float] = {}
    for sample in log:
        ways[sample.leg] = min(ways.get(sample.leg, math.inf), max(0.0, sample.elapsed_s / 2))
    return ways


def arrivals(log: Sequence[Sample]) -> tuple[Arrival, ...]:
    """Put the log into the order of arrival.

    A request is taken to arrive half of the shortest round trip of its leg after it was sent; what is constant in that
    guess matters to no limiter. Of requests that were under way together and may have changed places, those that were
    accepted come first: a limiter has room until it is full.

    Args:
        log: in any order.

    Returns:
        One arrival for each sample, in order.
    """
    if not log:
        return ()
    ways, blur, clocks = ways_s(log), blur_s(log), clocks_s(log)
    # Whatever the server says to that: the client is gone, and its stream with it.
    closed = {sample.session: sample for sample in log if sample.operation is Operation.CLOSE}
    ordered: list[Arrival] = []
    together: list[Sample] = []
    for sample in sorted(log, key=lambda one: one.sent_s + ways[one.leg]):
        if together and (
            sample.sent_s + ways[sample.leg] > together[0].sent_s + ways[together[0].leg] + blur
            or sample.sent_s >= min(one.received_s for one in together) + clocks
        ):
            ordered += _settled(together, ways, closed)
            together = []
        together.append(sample)
    return (*ordered, *_settled(together, ways, closed))


def _settled(
    together: Sequence[Sample], ways: Mapping[int, float], closed: Mapping[int | None, Sample]
) -> list[Arrival]:
    """Arrivals of requests that were sent together: accepted first, then as they were sent.

    To put them so is to choose one order of many, and a limiter that explains the refusals by it must not get that for
    nothing: any of the requests could have been the last. The times of arrival stay, in their order.
    """
    ordered = sorted(together, key=lambda one: (one.outcome is Outcome.REFUSED, one.sent_s + ways[one.leg]))
    late = refused(ordered)
    luck = -math.log(math.comb(len(ordered), late)) / late if late else 0.0
    times = sorted(sample.sent_s + ways[sample.leg] for sample in together)
    return [_arrival(sample, at, ways[sample.leg], closed, luck) for sample, at in zip(ordered, times, strict=True)]


def _arrival(sample: Sample, at: float, way: float, closed: Mapping[int | None, Sample], luck: float) -> Arrival:
    stands = sample.operation is Operation.STREAM and sample.outcome is Outcome.ACCEPTED
    last = closed.get(sample.session) if stands else sample
    if last is None:
        done = over = math.inf
    else:
        done, over = (last.sent_s + way if stands else last.received_s - way), last.received_s
    turned_away = sample.outcome is Outcome.REFUSED
    # What a server does not offer at all (a stream: 405) it says before any limiter looks.
    nothing = sample.operation is Operation.OTHER and (sample.status or 0) >= 400
    return Arrival(
        at_s=at,
        done_s=max(at, done),
        sent_s=sample.sent_s,
        over_s=over,
        operation=sample.operation,
        session=sample.session,
        counted=not (turned_away or nothing),
        evidence=not nothing and sample.outcome is not Outcome.FAILED and sample.operation is not Operation.CLOSE,
        refused=sample.says if turned_away else None,
        luck=luck if turned_away else 0.0,
    )
