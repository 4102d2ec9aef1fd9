"""Intervals and distributions, with the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

_ACCURACY = 1e-15
_TINY = 1e-300
_STEPS = 500


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval for a share: the chances of success that `successes` of `trials` allow.

    Lower end: quantile a/2 of Beta(k, n-k+1); upper end: quantile 1-a/2 of Beta(k+1, n-k), with a = 1 - confidence
    (Clopper and Pearson, Biometrika 26, 1934; the Beta form as in Brown, Cai and DasGupta, Statistical Science 16,
    2001).

    Args:
        successes: how often it happened.
        trials: how often it could have; they must be independent of each other.
        confidence: how often such an interval covers the truth, at least; between 0 and 1.

    Returns:
        Lower and upper end, between 0 and 1; (0, 1) without trials.

    Raises:
        ValueError: more successes than trials, or a number out of its range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"There is no bound for {successes} of {trials} at confidence {confidence}.")
    tail = (1 - confidence) / 2
    return 1 - upper_bound(trials - successes, trials, 1 - tail), upper_bound(successes, trials, 1 - tail)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """The one-sided upper bound of a share: quantile `confidence` of Beta(k+1, n-k).

    With nothing in n it is 1 - (1 - confidence)^(1/n): 0 of 59 bounds a share by 5.0 %, 0 of 299 by 1.0 %.

    Args:
        successes: how often it happened.
        trials: how often it could have; they must be independent of each other.
        confidence: how often such a bound is over the truth, at least; between 0 and 1.

    Returns:
        The bound, between 0 and 1; 1 without trials.

    Raises:
        ValueError: more successes than trials, or a number out of its range.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(f"There is no bound for {successes} of {trials} at confidence {confidence}.")
    return beta_quantile(confidence, successes + 1, trials - successes) if successes < trials else 1.0


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = share, by bisection: 60 halvings are as good as a double gets here."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if beta_share(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b).

    By Lentz's method on its continued fraction (Press and others, Numerical Recipes, 3rd edition, section 6.4; the
    fraction is 26.5.8 in Abramowitz and Stegun), which converges quickly for x < (a+1)/(a+b+2); above, by symmetry.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta(a, b)) / a
    c, d = 1.0, 1 / _kept(1 - (a + b) * x / (a + 1))
    fraction = d
    for step in range(1, _STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        for term in (even, odd):
            d = 1 / _kept(1 + term * d)
            c = _kept(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < _ACCURACY:
            break
    return front * fraction


def log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@lru_cache(maxsize=1 << 16)
def log_chance(happened: int, trials: int, a: float, b: float) -> float:
    """Logarithm of the chance of one *order* of `happened` in `trials`, where their rate is unknown: Beta(a, b).

    B(a+k, b+n-k) / B(a, b): the likelihood with the rate integrated out (the beta-binomial distribution without its
    binomial coefficient; Gelman and others, Bayesian Data Analysis, 3rd edition, section 2.3).
    """
    return log_beta(a + happened, b + trials - happened) - log_beta(a, b)


def log_sum(values: Iterable[float]) -> float:
    """Logarithm of the sum of exponentials; minus infinity for nothing."""
    listed = list(values)
    top = max(listed, default=-math.inf)
    return top if math.isinf(top) else top + math.log(sum(math.exp(value - top) for value in listed))


def credible(weighted: Iterable[tuple[float, float]], confidence: float = 0.95) -> tuple[float, float] | None:
    """The interval between the (1-confidence)/2 quantiles of a discrete posterior.

    Args:
        weighted: pairs of value and weight; weights need not sum to 1.
        confidence: the share of the weight that is in the interval, at least.

    Returns:
        Lowest and highest value in it; None where nothing has weight.
    """
    pairs = sorted(pair for pair in weighted if pair[1] > 0)
    if not pairs:
        return None
    tail = sum(weight for _, weight in pairs) * (1 - confidence) / 2
    return _reach(pairs, tail), _reach(pairs[::-1], tail)


def middle(weighted: Iterable[tuple[float, float]]) -> float | None:
    """The median of a discrete posterior; None where nothing has weight."""
    pairs = sorted(pair for pair in weighted if pair[1] > 0)
    return _reach(pairs, sum(weight for _, weight in pairs) / 2) if pairs else None


def _reach(pairs: list[tuple[float, float]], share: float) -> float:
    """The first value at which the summed weight is more than `share`."""
    summed = 0.0
    for value, weight in pairs:
        summed += weight
        if summed > share:
            return value
    return pairs[-1][0]


def _kept(value: float) -> float:
    """Lentz's method must not divide by zero."""
    return value if abs(value) > _TINY else _TINY
