"""What a search may cost, and when it has to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mcpdoctor.samples import Operation, Outcome, Sample, refused

_HEALTHY, _FAILING = 0.05, 0.30
ALARM = 4.6
"""The sum of `trouble` from which the search stops."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """How many HTTP requests a step takes at most: with a legacy session 3, 1 and 1, for a bare request 1, 1 and 1."""

    open: int = 1
    call: int = 1
    close: int = 1


def trouble(before: float, samples: Sequence[Sample]) -> float:
    """How much speaks for a server in trouble, once the answers to one more action are known.

    A cumulative sum (Page, Biometrika 41, 1954) of the log-likelihood ratio of 30 % against 5 % of failures, never
    below zero; from `ALARM` = ln 100 on a polite client stops, which three failures in a row reach. A refusal with 503
    counts: behind it may be a server that is overloaded. The answers to one action count together, for of requests that
    are sent together the refused ones always come back first.

    Args:
        before: the sum so far; 0 at the beginning.
        samples: the answers to one action.

    Returns:
        The new sum.
    """
    worse, better = math.log(_FAILING / _HEALTHY), math.log((1 - _FAILING) / (1 - _HEALTHY))
    return max(0.0, before + sum(worse if sample.troubled else better for sample in samples))


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
