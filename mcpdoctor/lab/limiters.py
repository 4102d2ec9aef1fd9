"""Refuse what is too much: the limiters that stand in front of the lab's servers.

Which kind AWS uses is not published for every endpoint, and mcpdoctor has to tell the kinds apart from outside. So the
lab has each of them. All run on the event loop of one thread and take the time as an argument.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Literal, Protocol

HOW = (
    'write "sessions:7" (open sessions), "in-flight:7" (requests at a time), "rate:10/s,burst:20" (token bucket), '
    '"window:60/10s" (fixed windows), "sliding:60/10s" (any 10 seconds) or "none"'
)

Kind = Literal["sessions", "in-flight", "rate", "window", "sliding", "none"]

_FORMS: tuple[tuple[Kind, str], ...] = (
    ("sessions", r"sessions:(?P<amount>\d+)"),
    ("in-flight", r"in-flight:(?P<amount>\d+)"),
    ("rate", r"rate:(?P<amount>\d+(\.\d+)?)/s(,burst:(?P<burst>\d+))?"),
    ("window", r"window:(?P<amount>\d+)/(?P<period>\d+(\.\d+)?)s"),
    ("sliding", r"sliding:(?P<amount>\d+)/(?P<period>\d+(\.\d+)?)s"),
    ("none", r"none"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a limiter allows each caller.

    Attributes:
        kind: What is counted.
        amount: How many: sessions, requests, or for `rate` requests a second.
        period_s: For `window` and `sliding`: the length of the window in seconds.
        burst: For `rate`: how many requests a caller who was quiet may send at once.
    """

    kind: Kind
    amount: float = 0.0
    period_s: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a limiter of a rate can tell a caller, in the whole numbers that headers take.

    Attributes:
        most: How many requests a caller who was quiet may send at once.
        window_s: In how many seconds as many are given again, rounded up.
        left: How many are left.
        more_s: Seconds until there are more, rounded up; 0 when none is missing.
    """

    most: int
    window_s: int
    left: int
    more_s: int


class Limiter(Protocol):
    """Admits or refuses one caller's requests.

    Attributes:
        holds: What an admission takes hold of until `release`: a session, a request, or nothing (rates).
    """

    holds: Literal["session", "request", "nothing"]

    def admit(self, caller: str, now: float) -> bool:
        """Whether the caller may go on at `now` (seconds of a monotonic clock); counts it when so."""
        ...

    def release(self, caller: str) -> None:
        """Give back what an admission took."""
        ...

    def quota(self, caller: str, now: float) -> Quota | None:
        """What the caller has left at `now`; None where nothing is counted over time."""
        ...


def parse_limit(text: str) -> Limit:
    """Read one limit as it is written on the command line.

    Args:
        text: For example `sessions:7` or `rate:10/s,burst:20`.

    Returns:
        The limit. Without `burst`, a rate allows a burst of one second.

    Raises:
        ValueError: The text is not a limit; the message says how to write one.
    """
    for kind, form in _FORMS:
        match = re.fullmatch(form, text.strip())
        if not match:
            continue
        parts = match.groupdict()
        amount, period = float(parts.get("amount") or 0), float(parts.get("period") or 0)
        burst = int(parts.get("burst") or max(1, int(amount))) if kind == "rate" else 0
        if kind != "none" and (not amount or (parts.get("period") and not period) or (kind == "rate" and not burst)):
            raise ValueError(f"A limit of zero lets nothing through: {text!r}; {HOW}.")
        return Limit(kind=kind, amount=amount, period_s=period, burst=burst)
    raise ValueError(f"Not a limit: {text!r}; {HOW}.")


def build(limit: Limit) -> Limiter | None:
    """Make the limiter that keeps a limit.

    Args:
        limit: What to allow.

    Returns:
        A fresh limiter, or None for `none`.
    """
    count = int(limit.amount)
    match limit.kind:
        case "sessions":
            return Held(most=count, holds="session")
        case "in-flight":
            return Held(most=count, holds="request")
        case "rate":
            return TokenBucket(per_s=limit.amount, burst=limit.burst)
        case "window":
            return FixedWindow(most=count, period_s=limit.period_s)
        case "sliding":
            return SlidingWindow(most=count, period_s=limit.period_s)
        case "none":
            return None


@dataclass(slots=True, kw_only=True)
class Held:
    """At most so many of something at a time: open sessions, or requests being answered."""

    most: int
    holds: Literal["session", "request", "nothing"]
    _held: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def admit(self, caller: str, now: float) -> bool:  # noqa: ARG002 - a limiter of another kind needs the time
        """Whether the caller has a place left; takes it when so."""
        if self._held[caller] >= self.most:
            return False
        self._held[caller] += 1
        return True

    def release(self, caller: str) -> None:
        """Give a place back."""
        self._held[caller] -= 1

    def quota(self, caller: str, now: float) -> None:
        """A place comes free when somebody leaves, which no header can tell."""


@dataclass(slots=True, kw_only=True)
class TokenBucket:
    """A bucket of `burst` tokens that fills with `per_s` a second; each request takes one."""

    per_s: float
    burst: int
    holds: Literal["session", "request", "nothing"] = "nothing"
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def admit(self, caller: str, now: float) -> bool:
        """Whether a token was left at `now`; a refused request takes none."""
        tokens = self._tokens(caller, now)
        admitted = tokens >= 1
        self._buckets[caller] = (tokens - admitted, now)
        return admitted

    def release(self, caller: str) -> None:
        """Nothing is held."""

    def quota(self, caller: str, now: float) -> Quota:
        """The tokens in the bucket; the window is the time that an empty one takes to fill."""
        tokens = self._tokens(caller, now)
        missing = 0.0 if tokens == self.burst else 1 - tokens % 1
        return Quota(
            most=self.burst,
            window_s=_whole(self.burst / self.per_s),
            left=int(tokens),
            more_s=_whole(missing / self.per_s),
        )

    def _tokens(self, caller: str, now: float) -> float:
        tokens, then = self._buckets.get(caller, (float(self.burst), now))
        return min(float(self.burst), tokens + (now - then) * self.per_s)


@dataclass(slots=True, kw_only=True)
class FixedWindow:
    """At most so many requests in each window; windows begin at multiples of the period."""

    most: int
    period_s: float
    holds: Literal["session", "request", "nothing"] = "nothing"
    _counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def admit(self, caller: str, now: float) -> bool:
        """Whether the window of `now` has room; refused requests are not counted."""
        window, count = self._window(caller, now)
        admitted = count < self.most
        self._counts[caller] = (window, count + admitted)
        return admitted

    def release(self, caller: str) -> None:
        """Nothing is held."""

    def quota(self, caller: str, now: float) -> Quota:
        """What is left of the window of `now`."""
        window, count = self._window(caller, now)
        rest = (window + 1) * self.period_s - now if count else 0.0
        return Quota(most=self.most, window_s=_whole(self.period_s), left=self.most - count, more_s=_whole(rest))

    def _window(self, caller: str, now: float) -> tuple[int, int]:
        """The number of the window, and how many requests it has seen."""
        window = int(now // self.period_s)
        seen, count = self._counts.get(caller, (window, 0))
        return window, count if seen == window else 0


@dataclass(slots=True, kw_only=True)
class SlidingWindow:
    """At most so many requests in any stretch of the period's length."""

    most: int
    period_s: float
    holds: Literal["session", "request", "nothing"] = "nothing"
    _times: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def admit(self, caller: str, now: float) -> bool:
        """Whether the last period before `now` has room; refused requests are not counted."""
        times = self._recent(caller, now)
        if len(times) >= self.most:
            return False
        times.append(now)
        return True

    def release(self, caller: str) -> None:
        """Nothing is held."""

    def quota(self, caller: str, now: float) -> Quota:
        """What is left; there is more when the oldest request is forgotten."""
        times = self._recent(caller, now)
        rest = times[0] + self.period_s - now if times else 0.0
        return Quota(most=self.most, window_s=_whole(self.period_s), left=self.most - len(times), more_s=_whole(rest))

    def _recent(self, caller: str, now: float) -> deque[float]:
        times = self._times[caller]
        while times and times[0] <= now - self.period_s:
            times.popleft()
        return times


def _whole(seconds: float) -> int:
    # Up, so that who keeps to it is not refused; but 0.7 / 0.07 is ten, whatever floating point says.
    return math.ceil(seconds - 1e-9)
