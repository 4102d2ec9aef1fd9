"""Every limiter as one question: does what a request needs fit into a capacity?

A limiter of a given shape (a refill rate, a length of window, a time to forget) lets a request in when its *demand* is
at most the capacity. The demand follows from what was let in before, whatever the capacity is:

| limiter | demand of a request | capacity |
|---|---|---|
| sessions | sessions held, and one | most sessions |
| in-flight | requests being answered, and one | most requests at a time |
| token bucket, GCRA | tokens missing from a full bucket, and one | size of the bucket |
| window | requests in the window so far, and one | requests in a window |

So one pass over the log serves all capacities. Where clocks and networks leave the demand open it is a range: a request
surely fits where the capacity is at least `high`, surely does not where it is below `low`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Sequence

from mcpdoctor.ceiling.timeline import Arrival
from mcpdoctor.samples import Operation

Demand = tuple[float, float]
"""Lowest and highest possible demand of one request; (0, 0) where the limiter does not look at it."""

NONE: Demand = (0.0, 0.0)
BLUR_S = 0.006
"""Seconds by which the time between two arrivals may well differ from the time between their departures.

Twice what networks usually do. More is not safer: what is left open for no reason favours parameters that are off, and
intervals then miss the truth more often than they say.
"""

ANY = frozenset(Operation)
_ROUNDING = 1e-6


def held(arriving: Sequence[Arrival], linger_s: float = 0.0) -> list[Demand]:
    """Demand on a limit on sessions.

    Args:
        arriving: the log in order of arrival.
        linger_s: how long a closed session goes on to count; infinite where closing does nothing.

    Returns:
        One demand for each arrival; requests that open no session have none.
    """
    demands: list[Demand] = []
    opened: set[int | None] = set()
    leaving: list[float] = []
    for one in arriving:
        leaving = [until for until in leaving if until > one.at_s]
        if one.operation is Operation.OPEN:
            count = float(len(opened) + len(leaving) + 1)
            demands.append((count, count))
            if one.counted and one.evidence:
                opened.add(one.session)
            continue
        demands.append(NONE)
        if one.operation is Operation.CLOSE and one.counted and one.session in opened:
            opened.remove(one.session)
            leaving.append(one.at_s + linger_s)
    return demands


def overlap(
    arriving: Sequence[Arrival], *, blur_s: float, streams: bool = False, longer_s: float = 0.0
) -> list[Demand]:
    """Demand on a limit on requests in flight.

    Args:
        arriving: the log in order of arrival.
        blur_s: seconds by which the end of a request at the server may differ from what its answer says.
        streams: whether a standing stream counts as a request in flight.
        longer_s: seconds by which the server was busy longer with each request than `done_s` says.

    Returns:
        One demand for each arrival.
    """
    demands: list[Demand] = []
    active: list[Arrival] = []
    for one in arriving:
        if one.operation is Operation.STREAM and not streams:
            demands.append(NONE)
            continue
        # What was over before this one was sent is not in doubt, however short the way is.
        active = [
            other for other in active if other.done_s + longer_s > one.at_s - blur_s and other.over_s > one.sent_s
        ]
        demands.append((1.0 + sum(other.done_s + longer_s > one.at_s + blur_s for other in active), 1.0 + len(active)))
        if one.counted:
            active.append(one)
    return demands


def bucket(
    arriving: Sequence[Arrival],
    rate_per_s: float,
    counting: Collection[Operation] = ANY,
    clocks_s: float = 0.0,
    fastest_per_s: float = 0.0,
) -> list[Demand]:
    """Demand on a token bucket, which is also the generic cell rate algorithm (ITU-T I.371, appendix).

    Args:
        arriving: the log in order of arrival.
        rate_per_s: tokens that come back each second.
        counting: which requests take a token.
        clocks_s: by how much the clocks of several legs may be off besides.
        fastest_per_s: where the rate is open too, its upper end; `rate_per_s` is its lower one.

    Returns:
        One demand for each arrival.
    """
    fastest_per_s = max(rate_per_s, fastest_per_s)
    demands: list[Demand] = []
    least = most = taken = 0.0
    then = arriving[0].at_s if arriving else 0.0
    least_blur, most_blur = (max(_ROUNDING, rate * (BLUR_S + clocks_s)) for rate in (fastest_per_s, rate_per_s))
    for one in arriving:
        if one.operation not in counting:
            demands.append(NONE)
            continue
        passed, then = one.at_s - then, one.at_s
        least -= fastest_per_s * passed
        most -= rate_per_s * passed
        least = least if least > 0 else 0.0  # max() would take a quarter of the time of all inference
        if most <= 0:
            most = taken = 0.0  # full: waiting longer or shorter made no difference
        # No more can be missing than was taken since the bucket was full.
        demands.append((max(1.0, least + 1 - least_blur), min(most + most_blur, taken) + 1))
        least += one.counted
        most += one.counted
        taken += one.counted
    return demands


def fixed(
    arriving: Sequence[Arrival],
    window_s: float,
    phase_s: float,
    counting: Collection[Operation] = ANY,
    clocks_s: float = 0.0,
) -> list[Demand]:
    """Demand on windows that follow each other without a gap.

    Args:
        arriving: the log in order of arrival.
        window_s: length of a window.
        phase_s: when one of them began, on the clock of the log.
        counting: which requests count.
        clocks_s: as in `bucket`.

    Returns:
        One demand for each arrival.
    """
    demands: list[Demand] = []
    current, count, before = -math.inf, 0.0, 0.0
    blur = BLUR_S + clocks_s
    for one in arriving:
        if one.operation not in counting:
            demands.append(NONE)
            continue
        window, into = divmod(one.at_s - phase_s, window_s)
        if window != current:
            before, count = (count if window == current + 1 else 0.0), 0.0
            current = window
        high = count + 1
        low = 1.0 if window_s - into < blur else high
        if into < blur:
            high = max(high, before + 1)
        demands.append((low, high))
        count += one.counted
    return demands


def anchored(
    arriving: Sequence[Arrival], window_s: float, counting: Collection[Operation] = ANY, clocks_s: float = 0.0
) -> list[Demand]:
    """Demand on windows of which each begins with the first request after the one before (Redis INCR with EXPIRE).

    Args:
        arriving: the log in order of arrival.
        window_s: length of a window.
        counting: which requests count.
        clocks_s: as in `bucket`.

    Returns:
        One demand for each arrival.
    """
    demands: list[Demand] = []
    end, count, before = -math.inf, 0.0, 0.0
    blur = BLUR_S + clocks_s
    for one in arriving:
        if one.operation not in counting:
            demands.append(NONE)
            continue
        late = one.at_s - end
        if late >= 0:
            before, count, end = count, 0.0, one.at_s + window_s
        low = 1.0 if -blur < late < 0 else count + 1
        high = before + 1 if 0 <= late < blur else count + 1
        demands.append((low, high))
        count += one.counted
    return demands


def counter(
    arriving: Sequence[Arrival],
    window_s: float,
    phase_s: float,
    counting: Collection[Operation] = ANY,
    slack_s: float = 0.0,
) -> list[Demand]:
    """Demand on a window that ends now, as most gateways count it: by two windows that follow each other.

    Of the window before, as much counts as the sliding window still reaches into: b(1 - t/W) + c, rounded down, after
    t seconds of a window with c requests so far (Cloudflare, "How we built rate limiting", 2017).

    Args:
        arriving: the log in order of arrival.
        window_s: length of a window, W.
        phase_s: when one of them began, on the clock of the log.
        counting: which requests count.
        slack_s: by how much the phase may be off.

    Returns:
        One demand for each arrival.
    """
    demands: list[Demand] = []
    blur = BLUR_S + slack_s
    current, count, before = -math.inf, 0.0, 0.0
    for one in arriving:
        if one.operation not in counting:
            demands.append(NONE)
            continue
        window, into = divmod(one.at_s - phase_s, window_s)
        if window != current:
            before, count = (count if window == current + 1 else 0.0), 0.0
            current = window
        weighted, spread = before * (1 - into / window_s) + count, max(before, count) * blur / window_s
        demands.append((math.floor(max(0.0, weighted - spread)) + 1.0, math.floor(weighted + spread) + 1.0))
        count += one.counted
    return demands


def sliding(
    arriving: Sequence[Arrival],
    window_s: float,
    counting: Collection[Operation] = ANY,
    clocks_s: float = 0.0,
    longest_s: float = 0.0,
) -> list[Demand]:
    """Demand on a window that ends now, whenever now is.

    Args:
        arriving: the log in order of arrival.
        window_s: length of the window.
        counting: which requests count.
        clocks_s: as in `bucket`.
        longest_s: where the length is open too, its upper end; `window_s` is its lower one.

    Returns:
        One demand for each arrival.
    """
    demands: list[Demand] = []
    surely: deque[float] = deque()
    perhaps: deque[float] = deque()
    blur = BLUR_S + clocks_s
    for one in arriving:
        if one.operation not in counting:
            demands.append(NONE)
            continue
        _forget(surely, one.at_s - window_s + blur)
        _forget(perhaps, one.at_s - max(window_s, longest_s) - blur)
        demands.append((len(surely) + 1.0, len(perhaps) + 1.0))
        if one.counted:
            surely.append(one.at_s)
            perhaps.append(one.at_s)
    return demands


def _forget(times: deque[float], until: float) -> None:
    while times and times[0] <= until:
        times.popleft()
