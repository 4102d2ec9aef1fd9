"""The clock of another machine, read through ours.

Every call to the other machine is an exchange of four times, as NTP makes it (RFC 5905, section 8): sent and answered
by our clock, received and replied by theirs. If both ways took as long, the offset of their clock is

    ((received - sent) + (replied - answered)) / 2

and however the time under way was shared between the two ways, that is off by no more than half of it. Clocks drift, so
the bound grows with the age of the exchange, and the best exchange is the one whose bound is the smallest now.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

DRIFT = 2e-4
"""Seconds a second by which two clocks drift apart at most: a hundred parts in a million each."""

_KEPT, _LATE = 32, 8
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer.

    Attributes:
        sent_s: when it was sent, by our clock.
        received_s: when it was received, by theirs.
        replied_s: when the answer was sent, by theirs.
        answered_s: when the answer came, by ours.
    """

    sent_s: float
    received_s: float
    replied_s: float
    answered_s: float

    @property
    def offset_s(self) -> float:
        """By how much their clock is ahead of ours."""
        return (self.received_s - self.sent_s + self.replied_s - self.answered_s) / 2

    @property
    def under_way_s(self) -> float:
        """How long question and answer were under way."""
        return max(0.0, (self.answered_s - self.sent_s) - (self.replied_s - self.received_s))

    def error_s(self, now_s: float) -> float:
        """By how much the offset may be off at a time of our clock."""
        return self.under_way_s / 2 + DRIFT * abs(now_s - self.answered_s)


class Clock:
    """What is known of one clock.

    Args:
        same: whether both run on one machine since it was started: then they are one clock, unless what is measured
            speaks against that (a container may have a clock of its own).
    """

    def __init__(self, *, same: bool = False) -> None:
        self.same = same
        self._exchanges: deque[Exchange] = deque(maxlen=_KEPT)

    def note(self, exchange: Exchange) -> None:
        """Take one more exchange into account."""
        self._exchanges.append(exchange)
        if abs(exchange.offset_s) > exchange.under_way_s / 2 + _ROUNDING_S:
            self.same = False

    def offset_s(self, now_s: float) -> float:
        """By how much it is ahead of ours."""
        return 0.0 if self.same else self._best(now_s).offset_s

    def error_s(self, now_s: float) -> float:
        """By how much `offset_s` may be off."""
        return 0.0 if self.same else self._best(now_s).error_s(now_s)

    def ours(self, theirs_s: float, now_s: float) -> float:
        """A time of theirs on our clock."""
        return theirs_s - self.offset_s(now_s)

    def theirs(self, ours_s: float, now_s: float) -> float:
        """A time of ours on their clock."""
        return ours_s + self.offset_s(now_s)

    def trip_s(self) -> float:
        """How long question and answer are under way, at worst of late."""
        return max((one.under_way_s for one in list(self._exchanges)[-_LATE:]), default=0.0)

    def _best(self, now_s: float) -> Exchange:
        if not self._exchanges:
            raise ValueError("A clock that was never asked tells nothing.")
        return min(self._exchanges, key=lambda one: one.error_s(now_s))
