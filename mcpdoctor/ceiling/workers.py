"""How many workers are safe: the number that all of this is for."""

from __future__ import annotations

import math

SHARE = 0.75
"""Part of what was observed that is recommended: ceilings move, and somebody else may use the same account."""


def workers_for_places(ceiling: int) -> int:
    """Workers under a limit on sessions or on requests in flight: `max(1, floor(0.75 * ceiling))`.

    Args:
        ceiling: the most at a time at which nothing was refused.
    """
    return max(1, math.floor(SHARE * ceiling))


def workers_for_rate(rate_per_s: float, cycle_s: float, requests_per_cycle: float) -> int:
    """Workers under a limit on a rate: `max(1, floor(0.75 * rate * T / q))`.

    Little's law (J. D. C. Little, Operations Research 9, 1961): workers in a cycle of T seconds, each sending q
    requests in it, send N q / T requests per second.

    Args:
        rate_per_s: requests per second that the limit allows in the long run.
        cycle_s: seconds from one call of a worker to its next, thinking included.
        requests_per_cycle: HTTP requests that a worker sends in that time.

    Raises:
        ValueError: a number that is not positive.
    """
    if min(rate_per_s, cycle_s, requests_per_cycle) <= 0:
        raise ValueError("A worker's cycle has a length, sends requests, and the rate allows some.")
    return max(1, math.floor(SHARE * rate_per_s * cycle_s / requests_per_cycle))
