"""What a search found out, in the words and fields of the report."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mcpdoctor.ceiling import demand
from mcpdoctor.ceiling.inference import SURE, Belief, infer
from mcpdoctor.ceiling.timeline import Arrival, arrivals, blur_s
from mcpdoctor.ceiling.workers import workers_for_places, workers_for_rate
from mcpdoctor.model import Ceiling
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop, refused

MOST_STRAYS = 0.08
"""A larger share of refusals than that is not noise."""

DOUBT = 0.05
"""What has this share of the posterior cannot be ruled out."""

ROUGH = 1.5
"""Where the ends of a rate's interval are further apart, its lower end is what is safe."""


def conclude(
    log: Sequence[Sample],
    stopped: Stop,
    *,
    think_s: float = 0.0,
    call_s: float | None = None,
    requests_per_cycle: float = 1.0,
) -> Ceiling:
    """Say what a log shows.

    Args:
        log: every sample of the search; those that only compared callers are counted, and tell nothing of the limit.
        stopped: why it ended.
        think_s: seconds that a worker thinks between its calls.
        call_s: mean seconds of the calls that a worker makes; None takes those of the search.
        requests_per_cycle: HTTP requests that a worker sends from one call to the next.

    Returns:
        The ceiling; for an empty log, that none was seen.

    Raises:
        ValueError: `think_s` is negative or `requests_per_cycle` is not positive.
    """
    if think_s < 0 or requests_per_cycle <= 0:
        raise ValueError("A worker thinks for 0 seconds or more, and sends more than 0 requests in a cycle.")
    searched = [sample for sample in log if not sample.cross]
    belief, order = infer(searched), arrivals(searched)
    likeliest = max(belief.posterior, key=lambda kind: belief.posterior[kind])
    limiter = likeliest if belief.sure(likeliest, SURE) else Kind.UNKNOWN
    if limiter is Kind.RATE and stopped is Stop.FAILURE:
        limiter = Kind.UNKNOWN  # a server in trouble refuses for a while, as a rate does
    streams = belief.streams() > 1 / 2
    busy_s = min((one.elapsed_s for one in searched), default=0.0) if belief.near() > 1 / 2 else 0.0
    demands = {
        Kind.SESSIONS: demand.held(order),
        Kind.IN_FLIGHT: demand.overlap(order, blur_s=blur_s(searched), streams=streams, longer_s=busy_s),
    }
    if limiter in demands and _unexplained(order, demands[limiter], belief.capacity(limiter) or 0):
        limiter = Kind.UNKNOWN
    clean, full = _span(order, limiter, demands)
    cycle_s = think_s + (_call_s(searched) if call_s is None else call_s)
    kinds = [
        kind for kind, weight in belief.posterior.items() if weight >= (DOUBT if limiter is Kind.UNKNOWN else SURE)
    ]
    is_rate = limiter is Kind.RATE
    return Ceiling(
        limiter=limiter,
        confidence=belief.posterior[likeliest],
        posterior=belief.posterior,
        highest_clean=clean,
        lowest_refused=full,
        interval=_interval(belief, limiter),
        rate_per_s=belief.rate() if is_rate else None,
        burst=belief.capacity(Kind.RATE) if is_rate else None,
        burst_interval=belief.capacity_interval(Kind.RATE) if is_rate else None,
        shapes=belief.shapes() if is_rate else {},
        indistinct=_indistinct(belief, limiter),
        stated=next((sample.stated for sample in reversed(log) if sample.stated), ()),
        recommended_workers=min(_workers(belief, kind, clean, cycle_s, requests_per_cycle) for kind in kinds),
        requests=len(log),
        refused=refused(log),
        elapsed_s=max((one.received_s for one in log), default=0.0) - min((one.sent_s for one in log), default=0.0),
        stopped=stopped,
        call_s=round(_call_s(searched), 6),
        session_requests=_session_requests(searched),
        streams=streams and limiter is Kind.IN_FLIGHT,
        samples=tuple(log),
    )


def _interval(belief: Belief, limiter: Kind) -> tuple[float, float] | None:
    if limiter is Kind.RATE:
        return belief.rate_interval()
    return belief.capacity_interval(limiter)


def _indistinct(belief: Belief, limiter: Kind) -> tuple[str, ...]:
    """What is at least as likely as the doubt that is allowed, where it is more than one."""
    weights: Iterable[tuple[str, float]] = ()
    if limiter is Kind.UNKNOWN:
        weights = belief.posterior.items()
    elif limiter is Kind.RATE:
        weights = belief.shapes().items()
    names = tuple(str(name) for name, weight in sorted(weights, key=lambda one: -one[1]) if weight >= DOUBT)
    return names if len(names) > 1 else ()


def _unexplained(order: Sequence[Arrival], demands: Sequence[demand.Demand], capacity: int) -> bool:
    """Whether a limit leaves most refusals to chance, and more of them than chance has: then it is another limit.

    The likeliest of all limits that are known is still the wrong one where none of them is right.
    """
    room = [one for one, (_, high) in zip(order, demands, strict=True) if one.evidence and high <= capacity]
    strays = sum(one.refused is not None for one in room)
    told = sum(one.refused is not None for one in order if one.evidence)
    return strays > told / 2 and strays > MOST_STRAYS * len(room)


def _span(
    order: Sequence[Arrival], limiter: Kind, measured: Mapping[Kind, Sequence[demand.Demand]]
) -> tuple[int, int | None]:
    """The most at a time that were accepted, and the fewest, more than that, of which one was refused."""
    if limiter in measured:
        demands = measured[limiter]
        clean = _most_accepted(order, demands)
        over = [low for one, (low, _) in zip(order, demands, strict=True) if one.refused is not None and low > clean]
        return clean, int(min(over)) if over else None
    # Nobody was in the way: what counts is how many answers were awaited at a time, not where those requests were.
    none = limiter is Kind.NONE
    together = _most_awaited(order) if none else _most_accepted(order, measured[Kind.IN_FLIGHT])
    return together if together > 1 else _most_accepted(order, measured[Kind.SESSIONS]), None


def _most_accepted(order: Sequence[Arrival], demands: Sequence[demand.Demand]) -> int:
    fine = (low for one, (low, _) in zip(order, demands, strict=True) if one.counted and one.evidence)
    return int(max(fine, default=0.0))


def _most_awaited(order: Sequence[Arrival]) -> int:
    """The most accepted requests, one more than were under way when it was sent, as the client saw it."""
    fine = [one for one in order if one.counted and one.evidence and one.operation is not Operation.STREAM]
    awaited: list[float] = []
    most = 0
    for one in sorted(fine, key=lambda one: one.sent_s):
        awaited = [over_s for over_s in awaited if over_s > one.sent_s] + [one.over_s]
        most = max(most, len(awaited))
    return most


def _call_s(log: Sequence[Sample]) -> float:
    """Mean seconds of an accepted call; of any request where there was none."""
    done = [one for one in log if one.outcome is Outcome.ACCEPTED]
    calls = [one for one in done if one.operation is Operation.CALL] or done
    return max(1e-3, statistics.fmean(one.elapsed_s for one in calls)) if calls else 1.0


def _session_requests(log: Sequence[Sample]) -> int | None:
    """HTTP requests that opening and closing a session takes: the middle one of those that were accepted."""
    opened = {one.session for one in log if one.operation is Operation.OPEN and one.outcome is Outcome.ACCEPTED}
    counts = Counter(one.session for one in log if one.session in opened and one.operation is not Operation.CALL)
    return statistics.median_low(counts.values()) if counts else None


def _workers(belief: Belief, kind: Kind, clean: int, cycle_s: float, requests_per_cycle: float) -> int:
    """Workers that are safe if the limit is of this kind."""
    rate, ends = belief.rate(), belief.rate_interval()
    if kind is Kind.RATE and rate is not None and ends is not None:
        safe = rate if ends[1] <= ROUGH * ends[0] else ends[0]
        return workers_for_rate(safe, cycle_s, requests_per_cycle)
    places = belief.capacity(kind) or clean
    # The session of a worker has a stream, which takes a place beside that of the worker's call.
    return workers_for_places(places // 2 if kind is Kind.IN_FLIGHT and belief.streams() > 1 / 2 else places)
