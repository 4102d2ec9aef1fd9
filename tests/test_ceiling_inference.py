"""Inference names the limiter that made a log, with parameters that hold the truth as often as it says."""

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpdoctor.ceiling import conclude, infer
from mcpdoctor.ceiling import demand as needs
from mcpdoctor.ceiling.timeline import arrivals
from mcpdoctor.lab.limiters import build, parse_limit
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Shape, Stop


def sample(sent_s, outcome=Outcome.ACCEPTED, operation=Operation.CALL, took_s=0.05, status=429, **more):
    status = status if outcome is Outcome.REFUSED else 200
    return Sample(
        operation=operation, outcome=outcome, sent_s=sent_s, received_s=sent_s + took_s, status=status, **more
    )


def answered(text, times, noise=0.0, seed=0, jitter_s=0.003):
    """The log of single calls to one of the lab's rate limiters, which arrive a little earlier or later than meant."""
    limiter, chance = build(parse_limit(text)), Random(seed)  # noqa: S311 - noise, not a secret
    assert limiter is not None
    log = []
    for time in times:
        stray = chance.random() < noise
        fine = not stray and limiter.admit("me", time + chance.gauss(0, jitter_s))
        status = 503 if stray and chance.random() < 0.5 else 429
        log.append(sample(time, Outcome.ACCEPTED if fine else Outcome.REFUSED, status=status))
    return log


def volleys(chance, rounds=10, size=12):
    """Requests 60 ms apart in volleys, with pauses between them."""
    now, times = chance.uniform(0, 100), []
    for _ in range(rounds):
        times += [now + 0.06 * index for index in range(size)]
        now += 0.06 * size + chance.uniform(1, 6)
    return times


def test_without_refusals_none_is_seen_for_certain():
    belief = infer([sample(index) for index in range(30)])
    assert belief.posterior == {Kind.NONE: 1.0, Kind.SESSIONS: 0.0, Kind.IN_FLIGHT: 0.0, Kind.RATE: 0.0}
    assert belief.capacity(Kind.SESSIONS) is None
    assert (belief.rate(), belief.rate_interval(), belief.shapes()) == (None, None, {})


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Outcome), st.sampled_from(Operation), st.floats(0, 3)), max_size=25))
def test_the_posterior_of_any_log_sums_to_one(told):
    now, log = 0.0, []
    for index, (outcome, operation, pause) in enumerate(told):
        now += pause
        log.append(sample(now, outcome, operation, session=index // 3))
    belief = infer(log)
    assert sum(belief.posterior.values()) == pytest.approx(1)
    assert set(belief.posterior) == set(Kind) - {Kind.UNKNOWN}
    for kind in belief.posterior:
        weights = belief.capacities(kind)
        assert not weights or sum(weights.values()) == pytest.approx(1)
    found = conclude(log, Stop.BUDGET)
    assert found.recommended_workers >= 1
    assert found.limiter in set(Kind)


def scattered(chance, count=100):
    """Requests one by one: where all of a window goes at once, all of it comes back at once, whatever its shape."""
    return [*itertools.accumulate(chance.expovariate(1.2) for _ in range(count))]


@pytest.mark.parametrize(
    ("text", "times", "shape", "rate", "burst"),
    [
        ("rate:2/s,burst:6", volleys, Shape.TOKEN_BUCKET, 2, 6),
        ("window:12/30s", volleys, Shape.FIXED_WINDOW, 0.4, 12),
        ("sliding:8/10s", scattered, Shape.SLIDING_WINDOW, 0.8, 8),
    ],
)
def test_the_shape_of_a_rate_is_told(text, times, shape, rate, burst):
    belief = infer(answered(text, times(Random(5)), noise=0.02))  # noqa: S311 - as above
    assert belief.sure(Kind.RATE)
    shapes = belief.shapes()
    assert max(shapes, key=lambda one: shapes[one]) is shape
    assert belief.rate() == pytest.approx(rate, rel=0.1)
    assert belief.capacity(Kind.RATE) == burst


def held(truth, interval):
    """Whether there is an interval and the truth is in it."""
    return interval is not None and interval[0] <= truth <= interval[1]


def test_intervals_hold_the_truth_as_often_as_they_say():
    rates = bursts = 0
    runs = 30
    for seed in range(runs):
        chance = Random(seed)  # noqa: S311 - noise, not a secret
        rate, burst = 10 ** chance.uniform(-0.7, 0.8), chance.randint(2, 10)
        belief = infer(answered(f"rate:{rate:.4f}/s,burst:{burst}", volleys(chance), noise=0.03, seed=seed))
        rates += held(rate, belief.rate_interval())
        bursts += held(burst, belief.capacity_interval(Kind.RATE))
    # 95 % of 30 are 28 or 29; fewer than 26 would come up twice in 100 times, and the seeds do not change.
    assert rates >= 26
    assert bursts >= 26


def test_a_stray_refusal_in_other_words_is_told_from_the_limit():
    log = [sample(index, operation=Operation.OPEN, session=index) for index in range(5)]
    told = [
        (Operation.OPEN, Outcome.REFUSED, 429),
        (Operation.OPEN, Outcome.REFUSED, 429),
        (Operation.CALL, Outcome.REFUSED, 503),
        (Operation.CALL, Outcome.ACCEPTED, 200),
        (Operation.OPEN, Outcome.REFUSED, 429),
        (Operation.CALL, Outcome.ACCEPTED, 200),
        (Operation.OPEN, Outcome.REFUSED, 429),
    ]
    log += [
        sample(10 + 0.1 * index, outcome, operation, status=status, session=10 + index)
        for index, (operation, outcome, status) in enumerate(told)
    ]
    assert infer(log).capacity(Kind.SESSIONS) == 5


def test_a_burst_in_unknown_order_is_no_proof_of_a_limit():
    # One refusal among twelve sent at once: with a limit of eleven any of them could have been the last.
    strays = [
        sample(10.0 * turn, Outcome.REFUSED if index == turn else Outcome.ACCEPTED)
        for turn in range(2)
        for index in range(12)
    ]
    assert not infer(strays).sure(Kind.IN_FLIGHT)


@given(st.lists(st.tuples(st.floats(0, 0.05), st.floats(0.01, 2), st.booleans()), max_size=40))
def test_demand_is_a_range_and_grows_by_what_was_let_in(told):
    now, log = 0.0, []
    for pause, took, fine in told:
        now += pause
        log.append(sample(now, Outcome.ACCEPTED if fine else Outcome.REFUSED, took_s=took))
    order = arrivals(log)
    assert len(order) == len(log)
    assert [one.at_s for one in order] == sorted(one.at_s for one in order)
    passes = [
        needs.overlap(order, blur_s=0.012),
        needs.bucket(order, 2.0),
        needs.fixed(order, 5.0, 0.0),
        needs.anchored(order, 5.0),
        needs.sliding(order, 5.0),
    ]
    for demands in passes:
        assert all(1 <= low <= high <= len(log) + 1 for low, high in demands)


def test_an_empty_log_concludes_that_none_was_seen():
    found = conclude([], Stop.INTERRUPTED)
    assert (found.limiter, found.highest_clean, found.requests, found.elapsed_s) == (Kind.NONE, 0, 0, 0.0)


@pytest.mark.parametrize("given_wrong", [{"think_s": -1.0}, {"requests_per_cycle": 0.0}])
def test_a_cycle_that_cannot_be_is_refused(given_wrong):
    with pytest.raises(ValueError, match="A worker thinks for 0 seconds or more"):
        conclude([], Stop.RESOLVED, **given_wrong)


def test_what_cannot_be_told_apart_is_named():
    # One request every ten seconds at most: a bucket of one, or a window for one.
    log, now = [], 0.0
    for _ in range(6):
        log += [sample(now), sample(now + 0.1, Outcome.REFUSED), sample(now + 5, Outcome.REFUSED)]
        now += 10.5
    found = conclude(log, Stop.BUDGET)
    assert found.limiter is Kind.RATE
    assert len(found.indistinct) > 1
    assert held(0.1, found.interval)
