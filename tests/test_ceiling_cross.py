"""Several callers at one endpoint: whether they share its limit is seen, in simulation, and nothing else is claimed."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from benchmarks.simulation import World, limiter
from hypothesis import given
from hypothesis import strategies as st
from test_ceiling_search import BUDGETS, Whim, careful, endless

from mcpdoctor.ceiling import Budget, Burst, Call, Close, Costs, Interrupted, Open, Settings, conclude, search
from mcpdoctor.ceiling.cross import Answer, Crossing
from mcpdoctor.ceiling.whom import Difference, whom
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop


@dataclass(kw_only=True)
class Apart(World):
    """A world with a second leg.

    Attributes:
        theirs: the limits of the second leg; None where it shares those of the first.
        late_s: how much longer the way of the second leg is.
    """

    theirs: tuple[str, ...] | None = None
    late_s: float = 0.0
    legs: dict[int | None, int] = field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        mine = self.limiters
        self.by_leg = [mine, mine if self.theirs is None else [one for one in map(limiter, self.theirs) if one]]
        self._bare = 0

    def perform(self, action):
        if isinstance(action, Open):
            self.legs[action.session] = action.leg or 0
        if isinstance(action, (Burst, Call)):
            self._bare = action.leg or 0
        return super().perform(action)

    def leg(self, session):
        return self._bare if session is None else self.legs[session]

    def _arrive(self, operation, session, sent, answered, work):
        leg = self.leg(session)
        self.limiters = self.by_leg[leg]
        super()._arrive(operation, session, sent, answered, work)

    def _send(self, operation, session, answered, *, work=False):
        if self.leg(session) and self.late_s:
            sent = self.now
            self._at(sent + self.late_s + self._way(), lambda: self._arrive(operation, session, sent, answered, work))
        else:
            super()._send(operation, session, answered, work=work)

    def _sample(self, operation, session, sent, status):
        return replace(super()._sample(operation, session, sent, status), leg=self.leg(session))


def crossed(world: World, chosen: Settings | None = None) -> tuple[Crossing, list[Sample], Stop]:
    log: list[Sample] = []
    crossings: list[Crossing] = []
    steps = search(chosen or Settings(rivals=(1,)), lambda: world.now, log, crossings)
    samples: Sequence[Sample] = ()
    try:
        action = next(steps)
        while True:
            samples = world.perform(action)
            action = steps.send(samples)
    except StopIteration as end:
        assert len(crossings) == 1
        return crossings[0], log, end.value


def refused_across(log):
    return sum(one.cross and one.outcome is Outcome.REFUSED for one in log)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("most", [1, 2, 4, 7])
def test_sessions_of_its_own_or_shared(most, status):
    for seed in range(2):
        limit = f"sessions:{most}"
        own, log, why = crossed(Apart(limits=(limit,), theirs=(limit,), seed=seed, status=status))
        assert (own.answer, own.at_limit, own.got, why) == (Answer.OWN, most, most, Stop.RESOLVED)
        assert refused_across(log) <= 3
        found = conclude(log, why)
        assert (found.limiter, found.highest_clean, found.requests) == (Kind.SESSIONS, most, len(log))
        shared, log, why = crossed(Apart(limits=(limit,), seed=seed, status=status))
        assert (shared.answer, shared.at_limit, shared.got, why) == (Answer.SHARED, most, 0, Stop.RESOLVED)
        assert refused_across(log) == 2
        assert conclude(log, why).highest_clean == most


@pytest.mark.parametrize("most", [2, 4, 7])
def test_requests_in_flight_of_its_own_or_shared(most):
    for seed in range(2):
        limit = f"in-flight:{most}"
        own, log, _ = crossed(Apart(limits=(limit,), theirs=(limit,), seed=seed, cv=0.1))
        assert (own.answer, own.at_limit, own.got) == (Answer.OWN, most, most)
        assert refused_across(log) <= 4
        shared, log, _ = crossed(Apart(limits=(limit,), seed=seed, cv=0.1))
        assert (shared.answer, shared.got) == (Answer.SHARED, 0)
        assert refused_across(log) <= 6


@pytest.mark.parametrize(
    ("limit", "retry_after_s"),
    [("rate:3/s,burst:10", None), ("rate:0.5/s,burst:4", 4.0), ("window:20/60s", 4.0), ("sliding:20/60s", None)],
)
def test_a_rate_of_its_own_or_shared(limit, retry_after_s):
    chosen = Settings(rivals=(1,), budget=Budget(requests=400, refusals=30, seconds=900))
    world = Apart(limits=(limit,), theirs=(limit,), seed=1, retry_after_s=retry_after_s)
    own, log, why = crossed(world, chosen)
    assert (own.answer, conclude(log, why).limiter) == (Answer.OWN, Kind.RATE)
    shared, _, _ = crossed(Apart(limits=(limit,), seed=1, retry_after_s=retry_after_s), chosen)
    assert shared.answer is Answer.SHARED


def test_a_rate_that_lets_no_session_in_is_compared_without_one():
    own, _, _ = crossed(Apart(limits=("rate:0.0667/s,burst:1",), theirs=("rate:0.0667/s,burst:1",), seed=7))
    shared, _, _ = crossed(Apart(limits=("rate:0.0667/s,burst:1",), seed=7))
    assert (own.answer, shared.answer) == (Answer.OWN, Answer.SHARED)


@pytest.mark.parametrize(("limit", "seeds"), [("sessions:4", 10), ("in-flight:4", 2)])
def test_strays_do_not_decide(limit, seeds):
    clear = {Answer.OWN: 0, Answer.SHARED: 0, Answer.UNCLEAR: 0}
    for seed in range(seeds):
        own, _, _ = crossed(Apart(limits=(limit,), theirs=(limit,), seed=seed, noise=0.05, cv=0.1))
        shared, _, _ = crossed(Apart(limits=(limit,), seed=seed, noise=0.05, cv=0.1))
        assert own.answer is not Answer.SHARED
        assert shared.answer is not Answer.OWN
        clear[own.answer] += 1
        clear[shared.answer] += 1
    assert clear[Answer.UNCLEAR] <= seeds // 2 + 1


def test_a_rival_with_a_higher_limit_is_not_asked_for_all_of_it():
    own, log, _ = crossed(Apart(limits=("sessions:3",), theirs=(), seed=1))
    assert (own.answer, own.got) == (Answer.OWN, 4)
    assert refused_across(log) == 1


def test_a_longer_way_is_not_taken_for_a_limit_of_its_own():
    for seed in range(2):
        shared, _, _ = crossed(Apart(limits=("in-flight:4",), seed=seed, late_s=0.08, cv=0.1))
        assert shared.answer is Answer.SHARED
        fast, _, _ = crossed(Apart(limits=("in-flight:4",), seed=seed, late_s=0.08, cv=0.1, work_s=0.06, light_s=0.01))
        assert fast.answer is not Answer.OWN


def test_without_a_limit_there_is_nothing_to_compare():
    found, log, _ = crossed(Apart(seed=1))
    assert (found.answer, found.why) == (Answer.UNCLEAR, "no limit was found")
    assert not any(one.cross or one.leg for one in log)


def test_a_leg_that_the_search_needed_is_no_rival():
    world = Apart(limits=("sessions:3",), seed=1)
    world.leg = lambda _: 1  # type: ignore[method-assign]
    found, _, _ = crossed(world)
    assert (found.answer, found.why) == (Answer.UNCLEAR, "the search itself needed that leg")


def test_a_rival_that_cannot_connect_is_no_evidence():
    world = Apart(limits=("sessions:3",), seed=1)
    usual = world.perform

    def perform(action):
        if isinstance(action, Open) and action.leg == 1:
            now = world.now
            return [
                Sample(
                    operation=Operation.OPEN,
                    outcome=Outcome.FAILED,
                    sent_s=now,
                    received_s=now,
                    session=action.session,
                    leg=1,
                    error="connection-lost",
                )
            ]
        return usual(action)

    world.perform = perform  # type: ignore[method-assign]
    found, _, _ = crossed(world)
    assert (found.answer, found.why) == (
        Answer.UNCLEAR,
        "the other caller could not open a session, for a reason that is no limit",
    )


class Whims(Whim):
    """The worst there can be, with a second leg."""

    def perform(self, action):
        leg = getattr(action, "leg", None) or 0
        return [replace(one, leg=leg) for one in super().perform(action)]


@careful
@given(st.data(), BUDGETS, st.integers(1, 8))
def test_whatever_comes_back_the_budget_holds_and_everything_is_closed(data, budget, most):
    costs = Costs(open=3, call=1, close=1)
    whim = Whims(endless(data)(), costs)
    log: list[Sample] = []
    crossings: list[Crossing] = []
    steps = search(Settings(budget=budget, costs=costs, most=most, rivals=(1,)), lambda: whim.now, log, crossings)
    with suppress(StopIteration):
        action = next(steps)
        for _ in range(2000):
            action = steps.send(whim.perform(action))
    assert len(log) <= budget.requests
    counted = [one for one in log if one.operation is not Operation.CLOSE]
    assert sum(one.outcome is Outcome.REFUSED for one in counted) <= budget.refusals
    assert whim.open == set()
    assert len(crossings) <= 1


@pytest.mark.parametrize("after", range(40, 75, 3))
def test_interrupted_it_closes_the_sessions_of_both(after):
    world = Apart(limits=("sessions:4",), theirs=("sessions:4",), seed=2)
    log: list[Sample] = []
    crossings: list[Crossing] = []
    steps = search(Settings(rivals=(1,)), lambda: world.now, log, crossings)
    held: set[int] = set()

    def perform(action):
        samples = world.perform(action)
        if isinstance(action, Open) and all(one.outcome is Outcome.ACCEPTED for one in samples):
            held.add(action.session)
        if isinstance(action, Close):
            held.difference_update(action.sessions)
        return samples

    with suppress(StopIteration):
        action = next(steps)
        for _ in range(after):
            action = steps.send(perform(action))
        action = steps.throw(Interrupted(perform(action)))
        assert isinstance(action, Close)
        steps.send(perform(action))
    assert held == set()
    assert conclude(log, Stop.INTERRUPTED).highest_clean == 4


def seen(answer, kind=Kind.SESSIONS):
    return Crossing(rival=1, kind=kind, answer=answer, at_limit=4, got=4 if answer is Answer.OWN else 0, why="x")


@pytest.mark.parametrize(
    ("address", "credential", "signed", "own", "shared"),
    [
        (True, False, True, "address", "identity"),
        (True, False, False, "address", "unknown"),
        (None, False, True, "unknown", "unknown"),
        (False, True, True, "identity", "unknown"),
        (False, None, True, "identity", "unknown"),
        (False, True, False, "unknown", "unknown"),
        (True, True, True, "unknown", "unknown"),
        (None, None, True, "unknown", "unknown"),
        (False, False, True, "unknown", "unknown"),
    ],
)
def test_no_more_is_claimed_than_was_seen(address, credential, signed, own, shared):
    difference = Difference(address=address, credential=credential, signed=signed)
    assert whom([(seen(Answer.OWN), difference)])[0] == own
    assert whom([(seen(Answer.SHARED), difference)])[0] == shared
    assert whom([(seen(Answer.UNCLEAR), difference)])[0] == "unknown"


def test_two_comparisons_are_read_together():
    by_address = Difference(address=True, credential=False, signed=True)
    by_key = Difference(address=False, credential=True, signed=True)
    own, shared = seen(Answer.OWN), seen(Answer.SHARED)
    assert whom([(shared, by_address), (own, by_key)])[0] == "identity"
    assert whom([(own, by_address), (shared, by_key)])[0] == "address"
    both, told = whom([(own, by_address), (own, by_key)])
    assert (both, told.endswith("Each address with each key has a limit of its own.")) == ("unknown", True)
    everybody, told = whom([(shared, by_address), (shared, by_key)])
    assert (everybody, told.endswith("it may count an account, or everybody.")) == ("unknown", True)
    assert whom([]) == ("unknown", "Nothing was compared: there was one caller.")


def test_it_says_in_words_what_was_compared():
    difference = Difference(address=True, credential=False, signed=True, first="127.0.0.2", other="127.0.0.3")
    assert whom([(seen(Answer.OWN), difference)])[1] == (
        "While 127.0.0.2 had 4 sessions and no more, 127.0.0.3 got 4 besides."
    )
    assert whom([(seen(Answer.SHARED), difference)])[1] == (
        "While 127.0.0.2 had 4 sessions, 127.0.0.3 was refused twice, until one was given back."
    )
