"""What a search may cost, and when it has to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mcpdoctor.samples import Operation, Outcome, Sample, refused

_HEALTHY, _FAILING = 0.05, 0.30
_ALARM = 4.6
HEALING_S = (1.0, 2.0, 8.0)
"""Pauses after a refusal, where the server asks for none: after the first, the second and the third in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that a search may cost.

    Attributes:
        requests: HTTP requests, those that close sessions among them.
        refusals: answers that say it is too much; refusals to close a session do not count, for closing gives back.
        seconds: no request is sent later than this after the start.
    """

    requests: int = 300
    refusals: int = 20
    seconds: float = 600.0

    def part(self, share: float) -> Budget:
        """A share of it, from 0 to 1; never less than one request."""
        return Budget(
            requests=max(1, int(self.requests * share)),
            refusals=int(self.refusals * share),
            seconds=self.seconds * share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """How many HTTP requests a step takes at most: with a legacy session 3, 1 and 1, for a bare request 1, 1 and 1."""

    open: int = 1
    call: int = 1
    close: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How much speaks for a server in trouble, from which a polite client stays away.

    Failures count one by one: a cumulative sum (Page, Biometrika 41, 1954) of the log-likelihood ratio of 30 % against
    5 % of failures, never below zero, which three failures in a row bring over ln 100.

    A refusal with 503 may be a limit's as well; nginx and Envoy say it so. A limit lets a request in again once there
    is room or time has passed, a server in trouble does not. So after each there is a longer pause, and what counts is
    how many actions in a row brought nothing else.

    Attributes:
        failures: the sum for failures.
        unavailable: how many actions in a row ended in a refusal with 503, since anything was accepted.
    """

    failures: float = 0.0
    unavailable: int = 0

    def after(self, samples: Sequence[Sample]) -> Trouble:
        """What it is once the answers to one more action are known.

        The answers to one action count together, for of requests that are sent together the refused ones always come
        back first.
        """
        worse, better = math.log(_FAILING / _HEALTHY), math.log((1 - _FAILING) / (1 - _HEALTHY))
        steps = {Outcome.FAILED: worse, Outcome.ACCEPTED: better, Outcome.REFUSED: 0.0}
        change = sum(steps[one.outcome] for one in samples if one.troubled or one.outcome is Outcome.ACCEPTED)
        again = any(one.troubled and one.outcome is Outcome.REFUSED for one in samples)
        return Trouble(
            failures=max(0.0, self.failures + change),
            unavailable=again + (0 if any(one.outcome is Outcome.ACCEPTED for one in samples) else self.unavailable),
        )

    @property
    def alarming(self) -> bool:
        """Whether to leave the server alone."""
        return self.failures >= _ALARM or self.unavailable > len(HEALING_S)

    @property
    def pause_s(self) -> float:
        """Seconds to leave it alone for, before the next request."""
        return HEALING_S[max(0, min(self.unavailable, len(HEALING_S)) - 1)]


def fits(log: Sequence[Sample], budget: Budget, *, requests: int, refusals: int) -> bool:
    """Whether a step is affordable even if it takes all of its requests and all that can be refused is.

    Args:
        log: what was spent so far.
        budget: what may be spent.
        requests: the most HTTP requests that the step takes, with those that clean up after it.
        refusals: the most refusals that it can meet.
    """
    return len(log) + requests <= budget.requests and counted_refusals(log) + refusals <= budget.refusals


def counted_refusals(log: Sequence[Sample]) -> int:
    """How many of the refusals count against the budget: all but those to close a session."""
    return refused(sample for sample in log if sample.operation is not Operation.CLOSE)


def owed_pause_s(log: Sequence[Sample]) -> float:
    """Until when the answers so far ask to send nothing more, in seconds of the log's clock; 0 where none does."""
    asked = (
        sample.received_s + sample.retry_after_s
        for sample in log
        if sample.retry_after_s is not None and sample.outcome is not Outcome.ACCEPTED
    )
    return max(asked, default=0.0)
