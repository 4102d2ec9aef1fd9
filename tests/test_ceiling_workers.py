"""The number of workers follows the formula of the report."""

import pytest

from mcpdoctor.ceiling import Budget, conclude, workers_for_places, workers_for_rate
from mcpdoctor.ceiling.budget import Trouble, fits, owed_pause_s
from mcpdoctor.samples import Operation, Outcome, Sample, Stop


@pytest.mark.parametrize(("ceiling", "workers"), [(0, 1), (1, 1), (2, 1), (4, 3), (7, 5), (16, 12)])
def test_three_quarters_of_the_places_and_at_least_one(ceiling, workers):
    assert workers_for_places(ceiling) == workers


@pytest.mark.parametrize(
    ("rate", "cycle", "requests", "workers"), [(3, 2.3, 1, 5), (3, 0.1, 1, 1), (10, 4, 4, 7), (1 / 15, 60, 2, 1)]
)
def test_workers_of_a_rate_follow_littles_law(rate, cycle, requests, workers):
    assert workers_for_rate(rate, cycle, requests) == workers


def test_a_cycle_without_length_is_refused():
    with pytest.raises(ValueError, match="A worker's cycle has a length"):
        workers_for_rate(1, 0, 1)


def said(status, *, operation=Operation.CALL, retry_after_s=None, sent_s=0.0):
    outcome = {200: Outcome.ACCEPTED, 429: Outcome.REFUSED, 503: Outcome.REFUSED}.get(status, Outcome.FAILED)
    return Sample(
        operation=operation,
        outcome=outcome,
        sent_s=sent_s,
        received_s=sent_s + 1,
        status=status,
        retry_after_s=retry_after_s,
    )


def test_workers_of_a_rate_count_the_thinking_too():
    log = [said(200 if index < 5 or index % 10 == 0 else 429, sent_s=float(index)) for index in range(60)]
    eager = conclude(log, Stop.RESOLVED)
    slow = conclude(log, Stop.RESOLVED, think_s=100.0)
    assert (eager.limiter.value, eager.recommended_workers) == ("rate", 1)
    assert slow.rate_per_s is not None
    assert slow.recommended_workers == max(1, int(0.75 * slow.rate_per_s * 101))
    assert conclude(log, Stop.RESOLVED, call_s=5.0, think_s=100.0, requests_per_cycle=2).recommended_workers >= 1


@pytest.mark.parametrize(
    ("statuses", "alarm"),
    [
        ([500, 502, 504], True),
        ([500, 200, 500], False),
        ([429] * 9, False),
        ([None, None, None], True),
        ([503] * 4, True),
        ([503] * 3 + [200] + [503] * 3, False),
        ([503, 500, 503, 500, 503, 500], True),
    ],
)
def test_a_run_of_failures_raises_the_alarm(statuses, alarm):
    trouble = Trouble()
    for status in statuses:
        trouble = trouble.after([said(status)])
    assert trouble.alarming is alarm


def test_a_few_failures_of_many_sent_together_raise_none():
    trouble = Trouble().after([said(500)] * 4 + [said(200)] * 40)
    assert (trouble.failures, trouble.alarming) == (0.0, False)


def test_what_a_limit_may_have_said_is_waited_out_longer_each_time():
    trouble, pauses = Trouble(), []
    for _ in range(3):
        trouble = trouble.after([said(503)] * 9)
        pauses.append(trouble.pause_s)
    assert pauses == [1.0, 2.0, 8.0]
    assert trouble.after([said(200), said(503)]).pause_s == 1.0


def test_refusals_to_close_do_not_count():
    log = [said(429, operation=Operation.CLOSE)] * 5
    budget = Budget(requests=10, refusals=2)
    assert fits(log, budget, requests=5, refusals=2)
    assert not fits(log, budget, requests=6, refusals=2)
    assert not fits([said(429)], budget, requests=1, refusals=2)


def test_the_longest_pause_asked_for_is_owed():
    log = [said(429, retry_after_s=30.0), said(429, retry_after_s=5.0, sent_s=10.0), said(200, retry_after_s=99.0)]
    assert owed_pause_s(log) == 31.0
    assert owed_pause_s([]) == 0.0
