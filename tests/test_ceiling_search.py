"""The search is polite whatever comes back, ends, and finds what is there."""

import itertools
from contextlib import suppress
from typing import Any

import pytest
from benchmarks.simulation import World, drive, measure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpdoctor.ceiling import Budget, Burst, Call, Close, Costs, Interrupted, Loop, Open, Settings, Wait, search
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop

SENDING = (Open, Call, Burst, Loop)

ANSWERS = st.sampled_from(
    [
        {"outcome": Outcome.ACCEPTED, "status": 200},
        {"outcome": Outcome.ACCEPTED, "status": 200},
        {"outcome": Outcome.ACCEPTED, "status": 200},
        {"outcome": Outcome.REFUSED, "status": 429, "layer": "http"},
        {"outcome": Outcome.REFUSED, "status": 429, "layer": "http", "retry_after_s": 7.0},
        {"outcome": Outcome.REFUSED, "status": 503, "layer": "http"},
        {"outcome": Outcome.REFUSED, "status": 200, "layer": "rpc", "code": -32004},
        {"outcome": Outcome.FAILED, "status": 500},
        {"outcome": Outcome.FAILED, "status": None, "error": "timeout"},
    ]
)


class Whim:
    """A server that answers as it likes, and a performer that never stops a burst: the worst there can be."""

    def __init__(self, answers, costs, elapsed_s=0.05):
        self.answers, self.costs, self.elapsed_s, self.now = answers, costs, elapsed_s, 100.0
        self.open: set[int] = set()

    def sample(self, operation, session=None):
        answer = next(self.answers)
        return Sample(
            operation=operation,
            sent_s=self.now - self.elapsed_s,
            received_s=self.now,
            session=session,
            **answer,
        )

    def perform(self, action):
        if isinstance(action, Wait):
            assert action.until_s > self.now
            self.now = action.until_s
            return []
        self.now += self.elapsed_s
        match action:
            case Open(session=session):
                return self.opened(session)
            case Close(sessions=sessions):
                self.open -= set(sessions)
                return [self.sample(Operation.CLOSE, one) for one in sessions for _ in range(self.costs.close)]
            case Call():
                return [self.sample(Operation.CALL) for _ in range(self.costs.call)]
            case Burst(groups=groups):
                return [self.sample(Operation.CALL) for _ in range(sum(groups) * self.costs.call)]
            case Loop():
                return self.looped(action)

    def opened(self, session):
        samples = []
        for index in range(self.costs.open):
            samples.append(self.sample(Operation.OTHER if index else Operation.OPEN, session))
            if samples[-1].outcome is not Outcome.ACCEPTED:
                if index:
                    samples += [self.sample(Operation.CLOSE, session) for _ in range(self.costs.close)]
                return samples
        self.open.add(session)
        return samples

    def looped(self, action):
        samples = []
        for _ in range(action.requests):
            samples.append(self.sample(Operation.CALL))
            if samples[-1].outcome is not Outcome.ACCEPTED:
                late = min(action.workers - 1, action.requests - len(samples))
                return samples + [self.sample(Operation.CALL) for _ in range(late)]
        return samples


def searched(whim, chosen):
    """Every action with the time it was asked for and what it brought; the log; why it ended."""
    log: list[Sample] = []
    story: list[list[Any]] = []
    steps = search(chosen, lambda: whim.now, log)
    try:
        action = next(steps)
        while True:
            assert len(story) < 2000
            story.append([action, whim.now, ()])
            samples = whim.perform(action)
            story[-1][2] = samples
            action = steps.send(samples)
    except StopIteration as end:
        return story, log, end.value


def endless(data):
    seed = data.draw(st.integers(0, 2**32))
    drawn = data.draw(st.lists(ANSWERS, min_size=40, max_size=40))

    def answers():
        number = seed
        while True:
            number = (1103515245 * number + 12345) % 2**31
            yield drawn[(number >> 8) % len(drawn)]

    return answers


BUDGETS = st.builds(
    Budget, requests=st.integers(1, 150), refusals=st.integers(1, 20), seconds=st.floats(1, 600, allow_nan=False)
)
COSTS = st.builds(Costs, open=st.integers(1, 3), call=st.integers(1, 2), close=st.integers(1, 2))
careful = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@careful
@given(st.data(), BUDGETS, COSTS, st.integers(1, 20), st.booleans())
def test_whatever_comes_back_the_search_is_polite_and_ends(data, budget, costs, most, quick):
    whim = Whim(endless(data)(), costs)
    story, log, why = searched(whim, Settings(budget=budget, costs=costs, most=most, quick=quick))
    assert len(log) <= budget.requests
    counted = [one for one in log if one.operation is not Operation.CLOSE]
    assert sum(one.outcome is Outcome.REFUSED for one in counted) <= budget.refusals
    assert whim.open == set()
    assert why in set(Stop) - {Stop.INTERRUPTED}
    owed, alone = 0.0, False
    for action, asked_s, samples in story:
        if isinstance(action, Wait):
            assert action.until_s < 100.0 + budget.seconds
        if isinstance(action, SENDING):
            assert owed <= asked_s < 100.0 + budget.seconds
            assert not (alone and isinstance(action, (Burst, Loop)))
            alone = any(one.outcome is not Outcome.ACCEPTED for one in samples)
        asked = [one.received_s + one.retry_after_s for one in samples if one.retry_after_s is not None]
        owed = max([owed, *asked])


@settings(careful, max_examples=5)
@given(st.data())
def test_the_same_answers_lead_to_the_same_questions(data):
    answers = endless(data)
    first, again = (searched(Whim(answers(), Costs()), Settings()) for _ in range(2))
    assert first == again


@settings(careful, max_examples=10)
@given(st.data(), st.integers(0, 60))
def test_an_interrupted_search_asks_only_for_what_is_open_to_be_closed(data, after):
    whim = Whim(endless(data)(), Costs())
    steps, ended = search(Settings(), lambda: whim.now), []
    with suppress(StopIteration):
        action = next(steps)
        for _ in range(after):
            action = steps.send(whim.perform(action))
        try:
            action = steps.throw(Interrupted())
            assert isinstance(action, Close)
            assert set(action.sessions) >= whim.open
            steps.send(whim.perform(action))
        except StopIteration as end:
            ended.append(end.value)
    assert ended in ([], [Stop.INTERRUPTED])
    assert whim.open == set()


def test_an_interruption_while_sessions_are_given_back_still_gives_them_back():
    whim = Whim(itertools.repeat({"outcome": Outcome.ACCEPTED, "status": 200}), Costs())
    steps = search(Settings(most=2, quick=True), lambda: whim.now)
    action = next(steps)
    while not isinstance(action, Close):
        action = steps.send(whim.perform(action))
    assert whim.open
    action = steps.throw(Interrupted())
    with pytest.raises(StopIteration) as ended:
        steps.send(whim.perform(action))
    assert (ended.value.value, whim.open) == (Stop.INTERRUPTED, set())


def test_three_failures_in_a_row_stop_it():
    whim = Whim(iter([{"outcome": Outcome.ACCEPTED, "status": 200}] + 9 * [{"outcome": Outcome.FAILED}]), Costs())
    _, log, why = searched(whim, Settings())
    assert why is Stop.FAILURE
    assert [one.operation for one in log] == [Operation.OPEN, *[Operation.CALL] * 3, Operation.CLOSE]


def test_a_pause_longer_than_the_time_left_ends_it():
    told = {"outcome": Outcome.REFUSED, "status": 429, "retry_after_s": 3600.0}
    _, log, why = searched(Whim(iter([told]), Costs()), Settings())
    assert (why, len(log)) == (Stop.DEADLINE, 1)


@pytest.mark.parametrize("noise", [0, 0.02])
@pytest.mark.parametrize("most", [1, 3, 7, 12])
def test_a_limit_on_sessions_is_found_exactly(most, noise):
    for seed in range(5):
        found = measure(World(limits=(f"sessions:{most}",), noise=noise, seed=seed))
        assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.SESSIONS, most, most + 1)
        assert found.interval == (most, most)
        assert found.refused <= (3 if noise == 0 else 7)


@pytest.mark.parametrize("most", [2, 4, 7])
def test_a_limit_on_requests_in_flight_is_found_exactly(most):
    for seed in range(2):
        found = measure(World(limits=(f"in-flight:{most}",), seed=seed))
        assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.IN_FLIGHT, most, most + 1)
        assert found.refused <= 5


@pytest.mark.parametrize(
    ("limit", "rate", "burst"),
    [("rate:3/s,burst:10", 3, 10), ("rate:3/s,burst:3", 3, 3), ("window:10/10s", 1, 10), ("sliding:20/60s", 1 / 3, 20)],
)
def test_a_rate_is_never_taken_for_a_number_of_workers(limit, rate, burst):
    for seed in range(2):
        found = measure(World(limits=(limit,), seed=seed))
        assert found.limiter is Kind.RATE
        assert found.rate_per_s == pytest.approx(rate, rel=0.2)
        assert found.burst == pytest.approx(burst, abs=1)
        assert found.lowest_refused is None
        assert found.refused <= 20


def test_where_there_is_no_limit_none_is_seen_and_nothing_refused():
    found = measure(World(seed=1))
    assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.NONE, 16, None)
    assert (found.refused, found.confidence, found.recommended_workers, found.stopped) == (0, 1.0, 12, Stop.RESOLVED)


def test_noise_is_not_taken_for_a_limit():
    kinds = {measure(World(noise=0.05, seed=seed)).limiter for seed in range(3)}
    assert kinds <= {Kind.NONE, Kind.UNKNOWN}


def test_a_limit_that_answers_with_503_is_not_taken_for_a_server_in_trouble():
    found = measure(World(limits=("sessions:7",), status=503, seed=3))
    assert (found.limiter, found.highest_clean, found.stopped) == (Kind.SESSIONS, 7, Stop.RESOLVED)
    assert measure(World(limits=("rate:3/s,burst:10",), status=503, seed=3)).limiter is Kind.RATE


def test_retry_after_is_honoured_and_the_limit_found_all_the_same():
    world = World(limits=("sessions:4",), retry_after_s=8.0, seed=2)
    found = measure(world)
    assert (found.limiter, found.highest_clean) == (Kind.SESSIONS, 4)
    refusals = [one for one in found.samples if one.outcome is Outcome.REFUSED]
    for refusal in refusals:
        later = [
            one.sent_s for one in found.samples if one.sent_s > refusal.sent_s and one.operation is not Operation.CLOSE
        ]
        assert min(later, default=refusal.received_s + 8) >= refusal.received_s + 8


def test_sessions_that_linger_after_their_end_are_told_from_a_rate():
    found = measure(World(limits=("lingering:5/10s",), seed=1))
    assert (found.limiter, found.posterior[Kind.RATE] < 0.05) == (Kind.SESSIONS, True)


LEGACY = (Operation.OPEN, Operation.OTHER, Operation.STREAM)


@pytest.mark.parametrize("status", [429, 503])
def test_standing_streams_that_count_as_in_flight_are_told_from_sessions(status):
    chosen = Settings(costs=Costs(open=3, call=1, close=1))
    nginx = World(limits=("in-flight:6",), streams_count=True, in_front=True, seed=1, opening=LEGACY, status=status)
    found = measure(nginx, chosen)
    assert (found.limiter, found.highest_clean, found.streams) == (Kind.IN_FLIGHT, 6, True)
    assert found.recommended_workers == 2  # each has a stream and a call
    sessions = measure(World(limits=("sessions:6",), seed=1, opening=LEGACY, status=status), chosen)
    assert (sessions.limiter, sessions.highest_clean, sessions.streams) == (Kind.SESSIONS, 6, False)
    calls = measure(World(limits=("in-flight:6",), seed=1, opening=LEGACY, status=status), chosen)
    assert (calls.limiter, calls.highest_clean, calls.streams) == (Kind.IN_FLIGHT, 6, False)
    assert calls.recommended_workers == 4


@pytest.mark.parametrize(("most", "busy_s"), [(3, 0.03), (3, 0.2), (4, 0.1), (7, 0.2)])
def test_a_limit_on_requests_in_flight_behind_a_fixed_latency_is_no_rate(most, busy_s):
    # The shortest answer is all work and no way: to a search that takes half of it for the way, nothing overlaps.
    limits = (f"in-flight:{most}",)
    world = World(limits=limits, seed=1, rtt_s=0.002, jitter_s=0.0002, light_s=busy_s, work_s=busy_s, cv=0.02)
    found = measure(world)
    assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.IN_FLIGHT, most, most + 1)


@pytest.mark.parametrize(("limit", "rate"), [("rate:3/s,burst:4", 3), ("window:10/10s", 1)])
def test_a_rate_behind_a_fixed_latency_is_no_number_of_requests(limit, rate):
    world = World(limits=(limit,), seed=1, rtt_s=0.002, jitter_s=0.0002, light_s=0.1, work_s=0.1, cv=0.02)
    found = measure(world)
    assert found.limiter is Kind.RATE
    assert found.rate_per_s == pytest.approx(rate, rel=0.2)


@pytest.mark.parametrize("light_s", [0.002, 0.05])
def test_without_a_limit_as_many_are_clean_as_were_awaited_at_a_time(light_s):
    found = measure(World(seed=1, rtt_s=0.03, light_s=light_s, work_s=light_s), Settings(most=20))
    assert (found.limiter, found.highest_clean, found.refused) == (Kind.NONE, 20, 0)


def test_short_requests_on_a_short_way_are_still_in_flight_together():
    for seed in range(3):
        world = World(limits=("in-flight:4",), seed=seed, rtt_s=0.001, jitter_s=0.0002, light_s=0.003, work_s=0.005)
        found = measure(world)
        assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.IN_FLIGHT, 4, 5)
        assert found.refused <= 8


def test_a_rate_behind_retry_after_is_not_asked_for_more_refusals_than_tell_something():
    found = measure(World(limits=("rate:0.0667/s,burst:1",), retry_after_s=15.0, seed=7))
    assert found.limiter is Kind.RATE
    assert found.refused <= 10


def test_a_quick_search_is_a_sprint_and_a_ladder():
    log, why = drive(World(limits=("in-flight:3",), seed=1), Settings(quick=True))
    assert why is Stop.RESOLVED
    assert sum(one.operation is Operation.CALL for one in log) == 19
    assert sum(one.operation is Operation.OPEN for one in log) == 16


def test_the_first_session_refused_for_good_ends_the_search():
    whim = Whim(iter(lambda: {"outcome": Outcome.REFUSED, "status": 429}, None), Costs())
    _, log, why = searched(whim, Settings())
    assert why in {Stop.BUDGET, Stop.DEADLINE}
    assert len(log) <= 20
