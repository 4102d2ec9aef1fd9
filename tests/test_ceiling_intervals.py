"""Intervals keep their promise, and the numbers are those of the tables."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.ceiling.intervals import (
    beta_quantile,
    beta_share,
    clopper_pearson,
    credible,
    log_chance,
    log_sum,
    middle,
    upper_bound,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.30850), (1, 10, 0.00253, 0.44502), (5, 10, 0.18709, 0.81291), (10, 10, 0.69150, 1.0)],
)
def test_the_interval_is_that_of_the_tables(successes, trials, low, high):
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("trials", "bound"), [(59, 0.05), (149, 0.02), (299, 0.01)])
def test_none_of_so_many_bounds_a_share(trials, bound):
    assert upper_bound(0, trials) == pytest.approx(bound, rel=0.01)
    assert upper_bound(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials), rel=1e-9)


def test_without_trials_everything_is_possible():
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert upper_bound(3, 3) == 1.0


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (0, 1, 1.0), (0, 1, 0.0)])
def test_what_cannot_be_counted_is_refused(successes, trials, confidence):
    with pytest.raises(ValueError, match="There is no bound for"):
        clopper_pearson(successes, trials, confidence)


@pytest.mark.parametrize("trials", [5, 20, 59])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9])
def test_the_interval_covers_the_truth_at_least_as_often_as_it_says(trials, share):
    covered = 0.0
    for successes in range(trials + 1):
        low, high = clopper_pearson(successes, trials)
        if low <= share <= high:
            covered += math.comb(trials, successes) * share**successes * (1 - share) ** (trials - successes)
    assert covered >= 0.95


@given(st.floats(0.001, 0.999), st.integers(1, 300), st.integers(1, 300))
def test_the_quantile_undoes_the_share(share, a, b):
    assert beta_share(beta_quantile(share, a, b), a, b) == pytest.approx(share, abs=1e-6)


@given(st.floats(0.0, 1.0), st.integers(1, 60), st.integers(1, 60))
def test_the_incomplete_beta_function_is_the_tail_of_the_binomial(x, a, b):
    trials = a + b - 1
    tail = sum(math.comb(trials, k) * x**k * (1 - x) ** (trials - k) for k in range(a, trials + 1))
    assert beta_share(x, a, b) == pytest.approx(tail, abs=1e-9)


@given(st.integers(0, 40))
def test_the_chances_of_all_orders_sum_to_one(trials):
    whole = sum(math.comb(trials, k) * math.exp(log_chance(k, trials, 1.0, 19.0)) for k in range(trials + 1))
    assert whole == pytest.approx(1)


def test_an_impossible_sum_is_minus_infinity():
    assert log_sum([]) == -math.inf
    assert log_sum([0.0, 0.0]) == pytest.approx(math.log(2))


def test_the_credible_interval_leaves_out_what_has_next_to_no_weight():
    assert credible([(1, 0.01), (7, 0.97), (9, 0.02)]) == (7, 7)
    assert credible([(1, 0.3), (7, 0.4), (9, 0.3)]) == (1, 9)
    assert credible([]) is None
    assert middle([(1, 0.3), (7, 0.4), (9, 0.3)]) == 7
    assert middle([(1, 0.0)]) is None
