"""What was sent and what came back: the log that the search writes and that inference reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Layer = Literal["http", "rpc", "tool"]
"""Where a refusal was said: the HTTP status, a JSON-RPC error (such as -32004), a tool result with `isError`."""

LIMITED = frozenset({429, 503})
"""Statuses that limiters answer with: nginx and Envoy say 503 unless told otherwise."""


class Operation(StrEnum):
    """What one HTTP request was for."""

    OPEN = "open"  # asks for a session: the request that a limit on sessions refuses
    STREAM = "stream"  # stays in flight until its session is closed
    CALL = "call"  # a request that is answered and done with
    CLOSE = "close"  # gives a session back
    OTHER = "other"  # costs a request, means nothing else: notifications


class Outcome(StrEnum):
    """How one HTTP request ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # said to be too much: 429, 503, or the same in the words of JSON-RPC or of a tool
    FAILED = "failed"  # neither: 500, 502, 504, a lost connection, no answer in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One limit as a server states it. What it did not state is None.

    Attributes:
        name: the policy's name; empty where the header family has none.
        requests: how many requests are allowed in a window.
        window_s: length of that window in seconds.
        remaining: how many are left now.
        reset_s: seconds until more are allowed.
    """

    name: str = ""
    requests: float | None = None
    window_s: float | None = None
    remaining: float | None = None
    reset_s: float | None = None

    @property
    def rate_per_s(self) -> float | None:
        """Requests per second in the long run; None unless both numbers were stated."""
        return self.requests / self.window_s if self.requests and self.window_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One HTTP request as it was sent on the wire, and its answer.

    Attributes:
        sent_s: when its first byte was sent, in seconds of the search's clock.
        received_s: when its answer was complete (of a stream: when the stream stood), same clock.
        session: the session it belonged to, by the number in the action; None outside of any.
        status: HTTP status; None where no response came.
        layer: where the refusal was said; None unless refused.
        code: JSON-RPC error code, where that is what refused.
        error: kind of failure, such as `timeout` or `connection-lost`; None unless failed.
        retry_after_s: seconds the answer asked to wait; None where it did not.
        stated: what rate-limit headers of the answer stated.
        leg: which of several machines or addresses sent it, counted from 0; 0 where there is one.
        off_s: by how many seconds its times may be off against those of another leg; 0 where there is one clock.
        cross: whether it compared two callers: what finds the limit of one leaves it out.
    """

    operation: Operation
    outcome: Outcome
    sent_s: float
    received_s: float
    session: int | None = None
    status: int | None = None
    layer: Layer | None = None
    code: int | None = None
    error: str | None = None
    retry_after_s: float | None = None
    stated: tuple[Stated, ...] = ()
    leg: int = 0
    off_s: float = 0.0
    cross: bool = False

    @property
    def elapsed_s(self) -> float:
        """Seconds from sending to the complete answer."""
        return self.received_s - self.sent_s

    @property
    def says(self) -> str:
        """In which words it was refused, such as `429` or `rpc -32004`: one limiter always uses the same."""
        return f"{self.layer} {self.code}" if self.code is not None else f"{self.status}"

    @property
    def troubled(self) -> bool:
        """Whether the answer may come from a server in trouble: a status of 500 or more, or none at all."""
        return self.outcome is not Outcome.ACCEPTED and (self.status is None or self.status >= 500)


class Kind(StrEnum):
    """The kinds of limiter that are told apart."""

    NONE = "none-seen"
    SESSIONS = "sessions"
    IN_FLIGHT = "in-flight"
    RATE = "rate"
    UNKNOWN = "unknown"  # a result, never in a posterior: no kind is sure


class Shape(StrEnum):
    """What a limit on a rate can be made of."""

    TOKEN_BUCKET = "token-bucket"  # noqa: S105 - not a password
    FIXED_WINDOW = "fixed-window"
    SLIDING_WINDOW = "sliding-window"


class Stop(StrEnum):
    """Why a search ended."""

    RESOLVED = "resolved"  # nothing more to learn
    BUDGET = "budget"  # the next step might cost more requests or refusals than are left
    DEADLINE = "deadline"  # the next step would begin too late, or the server asked for a longer pause than is left
    FAILURE = "failure"  # the server answers as one in trouble does: leave it alone
    INTERRUPTED = "interrupted"


def refused(samples: Iterable[Sample]) -> int:
    """How many of the samples were refused."""
    return sum(sample.outcome is Outcome.REFUSED for sample in samples)


def clean(samples: Iterable[Sample]) -> bool:
    """Whether every one of the samples was accepted."""
    return all(sample.outcome is Outcome.ACCEPTED for sample in samples)
