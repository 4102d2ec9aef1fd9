"""Several legs as one machine: clocks, places, what is split, and what becomes of a leg that is lost. Without dask."""

import asyncio
import itertools
import logging
import time
from collections import Counter

import anyio
import pytest
from conftest import network_of
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor import matrix
from mcpdoctor.ceiling import Burst, Call, Close, Loop, Open, Settings
from mcpdoctor.ceiling.callers import Caller, parties, rivals
from mcpdoctor.ceiling.clocks import DRIFT, Clock, Exchange
from mcpdoctor.ceiling.distributed import leg as legs
from mcpdoctor.ceiling.distributed.hands import Legs
from mcpdoctor.ceiling.distributed.orders import Order
from mcpdoctor.ceiling.distributed.remote import Gone, Remote
from mcpdoctor.ceiling.machine import room_for
from mcpdoctor.ceiling.measurement import Lost, measure
from mcpdoctor.ceiling.spread import Places, split_burst, split_loop
from mcpdoctor.ceiling.timeline import blur_s
from mcpdoctor.lab import Lab, Options
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop

# clocks ---------------------------------------------------------------------------------------------------------------


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(1e-4, 2), st.floats(1e-4, 2), st.floats(0, 3), st.floats(0, 60)), min_size=1),
)
def test_the_offset_of_a_clock_is_never_off_by_more_than_is_said(ahead, exchanges):
    now, clock = 100.0, Clock()
    for there, back, busy, pause in exchanges:
        clock.note(Exchange(now, now + there + ahead, now + there + busy + ahead, now + there + busy + back))
        now += there + busy + back
        assert abs(clock.offset_s(now) - ahead) <= clock.error_s(now) + 1e-6
        assert clock.ours(clock.theirs(now, now), now) == pytest.approx(now)
        now += pause


def test_the_best_exchange_is_the_shortest_one_that_is_not_too_old():
    clock = Clock()
    clock.note(Exchange(0, 5.001, 5.001, 0.002))
    clock.note(Exchange(900, 905.2, 905.2, 900.2))
    assert clock.offset_s(2) == pytest.approx(5)
    assert clock.error_s(2) == pytest.approx(0.001 + DRIFT * 1.998)
    assert clock.error_s(1000) == pytest.approx(0.1 + DRIFT * 99.8)
    assert clock.offset_s(1000) == pytest.approx(5.1)


def test_two_processes_of_one_machine_have_one_clock_unless_it_shows_otherwise():
    clock = Clock(same=True)
    clock.note(Exchange(10, 10.001, 10.002, 10.004))
    assert (clock.offset_s(99), clock.error_s(99)) == (0, 0)
    clock.note(Exchange(20, 520.001, 520.002, 20.004))
    assert clock.offset_s(20) == pytest.approx(500, abs=0.01)
    with pytest.raises(ValueError, match="never asked"):
        Clock().offset_s(0)


def sample(sent, received, leg=0, off=0.0):
    return Sample(
        operation=Operation.CALL, outcome=Outcome.ACCEPTED, sent_s=sent, received_s=received, leg=leg, off_s=off
    )


def test_the_order_of_arrival_is_as_unsure_as_two_clocks_are():
    one = [sample(0, 0.01, off=0.02), sample(1, 1.01, off=0.02)]
    assert blur_s(one) == pytest.approx(0.01)  # what is off on one leg is off for all of it
    assert blur_s([*one, sample(2, 2.01, leg=1, off=0.03)]) == pytest.approx(0.06)


# places and parts -----------------------------------------------------------------------------------------------------


def test_legs_that_are_alike_are_filled_in_turn_and_others_only_when_they_are_full():
    places = Places([[0, 1], [2]], {0: 2, 1: 2, 2: 2})
    assert [places.take(number) for number in range(6)] == [0, 1, 0, 1, 2, 2]
    assert places.take(6) == 0  # where nothing is free
    places.free(1)
    places.free(3)
    assert places.take(7) == 1
    assert (places.take(8, 2), places.of(8), places.of(None), places.of(None, 2)) == (2, 2, 0, 2)
    places.lose(0)
    assert places.take(9) == 1


def test_a_burst_is_split_by_where_its_sessions_live():
    places = Places([[0, 1]], {0: 9, 1: 9})
    for number in range(4):
        places.take(number)
    parts = split_burst(Burst(groups=(3, 2, 1), gap_s=0.1, sessions=(0, 1, 2, 3), light=True), places)
    assert {leg: part.groups for leg, part in parts.items()} == {0: (2, 1, 0), 1: (1, 1, 1)}
    assert {leg: part.sessions for leg, part in parts.items()} == {0: (0, 2, 0), 1: (1, 3, 1)}
    assert all(part.light and part.gap_s == 0.1 for part in parts.values())
    bare = split_burst(Burst(groups=(2,), leg=1), places)
    assert {leg: part.groups for leg, part in bare.items()} == {1: (2,)}


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 4), st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_nothing_is_lost_or_doubled_when_work_is_split(workers, requests, groups, homes):
    places = Places([[0, 1, 2, 3]], dict.fromkeys(range(4), 99))
    for number, home in enumerate(homes):
        places.take(number, home)
    sessions = tuple(range(len(homes)))
    parts = split_loop(Loop(workers=workers, requests=requests, sessions=sessions), places)
    assert sum(part.requests for part in parts.values()) == requests
    assert sum(part.workers for part in parts.values()) <= workers
    sizes = tuple(range(1, groups + 1))
    shares = split_burst(Burst(groups=sizes, sessions=sessions), places)
    assert tuple(map(sum, zip(*(part.groups for part in shares.values()), strict=True))) == sizes
    assert all(len(part.sessions) == sum(part.groups) for part in shares.values())
    turns = itertools.islice(itertools.cycle(sessions), sum(sizes))
    assert Counter(turns) == sum((Counter(part.sessions) for part in shares.values()), Counter())


def test_open_files_are_room_for_a_third_as_many_sessions():
    assert [room_for(files, 16) for files in (None, 20000, 112, 70, 3)] == [16, 16, 16, 2, 1]


# callers --------------------------------------------------------------------------------------------------------------


def caller(address="10.0.0.1", *, seen=True, machine="m", key="k", credential="default"):
    return Caller(address=address, seen=seen, machine=machine, key=key, credential=credential, name="host")


def test_legs_are_one_caller_where_address_and_key_are_the_same_for_certain():
    others = {
        0: caller(),
        1: caller(),
        2: caller("10.0.0.2"),
        3: caller(machine="n"),
        4: caller(machine="n", seen=False),  # the same private address behind another NAT
        5: caller(key="other"),
        6: caller(None),
    }
    assert parties(others) == [[0, 1, 3], [2], [4], [5], [6]]


def test_rivals_differ_in_one_thing_alone_where_there_are_such():
    first = caller()
    others = {
        1: caller("10.0.0.2", key="q", credential="profile:q"),
        2: caller("10.0.0.3", seen=False),
        3: caller("10.0.0.2"),
        4: caller(key="q", credential="profile:q"),
        5: caller("10.0.0.4", key=None, credential="none"),
    }
    chosen = rivals(first, others)
    assert {leg: (one.address, one.credential, one.signed) for leg, one in chosen.items()} == {
        3: (True, False, True),
        4: (False, True, True),
    }
    assert list(rivals(first, {1: others[1], 5: others[5]})) == [1]
    assert rivals(first, {5: others[5]}) == {}
    [unsure] = rivals(first, {2: others[2]}).values()
    assert (unsure.address, unsure.credential) == (None, False)
    [role] = rivals(first, {7: caller(key="temporary")}).values()
    assert (role.address, role.credential) == (False, None)
    assert str(others[5]) == "10.0.0.4 (unsigned)"


# legs of this process -------------------------------------------------------------------------------------------------


class Here:
    """Calls functions in this process, as a client of dask calls them on a worker.

    Attributes:
        broken: workers to which there is no connection.
        asked: how often each method was called.
    """

    def __init__(self):
        self.broken: set[str] = set()
        self.asked: Counter[str] = Counter()

    async def run(self, function, *arguments, workers):
        [worker] = workers
        if function is legs.act:
            self.asked[arguments[1]] += 1
        await asyncio.sleep(0.001)
        if worker in self.broken:
            raise OSError("connection closed")
        given = {"dask_worker": None} if function is legs.muster else {}
        return {worker: await function(*arguments, **given)}


class Team:
    """Legs of this process, on addresses of loopback."""

    def __init__(self, lab, catalogue, *, addresses=("127.0.0.1", "127.0.0.1"), url=None, clock=time.monotonic):
        plan = matrix.expand([url or f"{lab.http}/knowledge/mcp"], matrix.Axes(), catalogue)
        network = network_of(lab)
        self.client = Here()
        self.orders = [
            Order(
                cell=plan.cells[0],
                catalogue=catalogue,
                routes=network.routes,
                sealed=True,
                local_address=address,
                timeout_s=5.0,
                standby=lab.env,
            )
            for address in addresses
        ]
        self.remotes = {}
        numbers = list(range(len(addresses)))
        self.places = Places([numbers], dict.fromkeys(numbers, 99))
        self.clock = clock

    async def __aenter__(self):
        for number, order in enumerate(self.orders):
            name = f"{id(self)}-{number}"
            machine = legs.machine() if self.clock is time.monotonic else "another"
            self.remotes[number] = Remote(number, self.client, f"w{number}", name, machine=machine, clock=self.clock)
            ready = await self.remotes[number].muster(order)
            assert ready.trouble is None
        self.hands = Legs(self.remotes, self.places, clock=self.clock)
        return self

    async def __aexit__(self, *_):
        self.client.broken.clear()
        for name in [name for name in legs._LEGS if name.startswith(str(id(self)))]:
            await legs._LEGS[name].disband()


def open_sessions(lab, since):
    seen = lab.requests[since:]
    opened = sum(one.rpc_method == "initialize" and one.status == 200 for one in seen)
    return opened - sum(one.method == "DELETE" and one.status == 200 for one in seen)


async def until(condition, seconds=5.0):
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  # what others do is waited for
            await anyio.sleep(0.02)


def test_actions_go_to_the_legs_of_their_sessions_and_bursts_start_together(catalogue):
    levels = [logging.getLogger(name).level for name in ("mcp", "botocore")]

    async def work(lab):
        async with Team(lab, catalogue) as team:
            hands, began = team.hands, time.monotonic()
            assert logging.getLogger("botocore").level > logging.CRITICAL
            opened = [await hands.perform(Open(session=number)) for number in range(4)]
            assert [{one.leg for one in came} for came in opened] == [{0}, {1}, {0}, {1}]
            assert all(one.outcome is Outcome.ACCEPTED for came in opened for one in came)
            [called] = await hands.perform(Call(session=3))
            assert (called.leg, called.outcome, called.off_s) == (1, Outcome.ACCEPTED, 0)
            burst = await hands.perform(Burst(groups=(4, 2), gap_s=0.15, sessions=(0, 1, 2, 3)))
            assert Counter(one.leg for one in burst) == {0: 3, 1: 3}
            first, late = sorted(burst, key=lambda one: one.sent_s)[:4], sorted(burst, key=lambda one: one.sent_s)[4:]
            assert max(one.sent_s for one in first) < min(one.received_s for one in first)
            assert min(one.sent_s for one in late) - max(one.sent_s for one in first) > 0.1
            assert began < min(one.sent_s for one in burst) < time.monotonic()
            looped = await hands.perform(Loop(workers=3, requests=7, sessions=(0, 1, 2, 3)))
            assert (len(looped), {one.leg for one in looped}) == (7, {0, 1})
            closed = await hands.perform(Close(sessions=(0, 1)))
            assert [(one.operation, one.session) for one in closed] == [(Operation.CLOSE, 0), (Operation.CLOSE, 1)]
            assert open_sessions(lab, 0) == 2
            await hands.aclose()
            assert [one.operation for one in hands.collect()] == [Operation.CLOSE] * 2
            assert (open_sessions(lab, 0), legs._LEGS) == (0, {})
            assert levels == [logging.getLogger(name).level for name in ("mcp", "botocore")]
            assert team.client.asked["launch"] == team.client.asked["finish"] == 2

    with Lab(Options(limits=("none",), latency_s=0.05)) as lab:
        anyio.run(work, lab)


def test_a_sample_that_two_answers_bring_counts_once(catalogue):
    async def work(lab):
        async with Team(lab, catalogue, addresses=("127.0.0.1",)) as team:
            remote = team.remotes[0]
            await team.hands.perform(Open(session=0))
            async with anyio.create_task_group() as group:
                group.start_soon(remote.ask, "perform", Loop(workers=2, requests=40, sessions=(0,)))
                for _ in range(40):
                    group.start_soon(remote.ask, "ping")
                    await anyio.sleep(0.005)
            assert len(team.hands.collect()) == 40
            await team.hands.aclose()

    with Lab(Options(limits=("none",))) as lab:
        anyio.run(work, lab)


def test_a_burst_ends_on_all_legs_when_one_was_refused(catalogue):
    async def work(lab):
        async with Team(lab, catalogue) as team:
            for number in range(2):
                await team.hands.perform(Open(session=number))
            sent = await team.hands.perform(Burst(groups=(5, 4, 4), gap_s=0.3, sessions=(0, 1)))
            assert Counter(one.outcome for one in sent) == {Outcome.ACCEPTED: 3, Outcome.REFUSED: 2}
            await team.hands.aclose()

    with Lab(Options(limits=("in-flight:3",), latency_s=0.1)) as lab:
        anyio.run(work, lab)


def test_a_loop_ends_on_all_legs_when_one_was_refused(catalogue):
    async def work(lab):
        async with Team(lab, catalogue) as team:
            for number in range(2):
                await team.hands.perform(Open(session=number))
            sent = await team.hands.perform(Loop(workers=2, requests=200, sessions=(0, 1)))
            assert 1 <= sum(one.outcome is Outcome.REFUSED for one in sent) <= 2
            assert len(sent) < 60
            await team.hands.aclose()
            assert team.hands.collect() != []

    with Lab(Options(limits=("rate:1/s,burst:20",))) as lab:
        anyio.run(work, lab)


def test_with_clocks_that_differ_times_come_back_in_ours_and_bursts_start_together(catalogue):
    def ours():
        return time.monotonic() - 1e5  # and not that of the legs

    async def work(lab):
        async with Team(lab, catalogue, clock=ours) as team:
            for number in range(2):
                await team.hands.perform(Open(session=number))
            began = ours()
            burst = await team.hands.perform(Burst(groups=(2, 2), gap_s=0.1, sessions=(0, 1)))
            early, late = sorted(one.sent_s for one in burst)[:2], sorted(one.sent_s for one in burst)[2:]
            assert (
                began < early[0] <= early[1] < early[0] + 0.09 < late[0] < max(one.received_s for one in burst) < ours()
            )
            assert {one.leg for one in burst} == {0, 1}
            assert all(0 < one.off_s < 0.1 for one in burst)
            assert 0 < team.hands.facts()["clock_error_s"] < 0.1
            assert blur_s(burst) > max(one.off_s for one in burst)
            await team.hands.aclose()

    with Lab(Options(limits=("none",), latency_s=0.05)) as lab:
        anyio.run(work, lab)


def test_an_interrupted_action_hands_out_what_came_and_everything_is_closed(catalogue):
    async def work(lab):
        async with Team(lab, catalogue) as team:
            for number in range(2):
                await team.hands.perform(Open(session=number))
            before = len(lab.requests)
            async with anyio.create_task_group() as group:
                group.start_soon(team.hands.perform, Loop(workers=2, requests=500, sessions=(0, 1)))
                await until(lambda: len(lab.requests) > before + 6)
                group.cancel_scope.cancel()
            came = team.hands.collect()
            assert len(came) >= 6
            await team.hands.aclose()
            assert open_sessions(lab, 0) == 0
            sent = len(lab.requests)
            await anyio.sleep(0.1)
            assert len(lab.requests) == sent

    with Lab(Options(limits=("none",), latency_s=0.02)) as lab:
        anyio.run(work, lab)


@pytest.mark.parametrize(
    "during",
    [Call(session=1), Burst(groups=(4,), sessions=(0, 1)), Loop(workers=2, requests=9, sessions=(0, 1))],
    ids=["call", "burst", "loop"],
)
def test_a_lost_leg_ends_the_search_and_the_others_close_their_sessions(catalogue, during):
    async def work(lab):
        async with Team(lab, catalogue) as team:
            for number in range(4):
                await team.hands.perform(Open(session=number))
            team.client.broken.add("w1")
            with pytest.raises(Lost):
                await team.hands.perform(during)
            team.hands.collect()
            closed = await team.hands.perform(Close(sessions=(0, 1, 2, 3)))
            assert [one.session for one in closed] == [0, 2]
            facts = team.hands.facts()
            assert facts["leg_lost"] is True
            assert facts["lost_legs"] == "leg 1 (w1): the connection to its worker was lost"
            with pytest.raises(Gone):
                await team.remotes[1].ask("ping")
            await team.hands.aclose()

    with Lab(Options(limits=("none",))) as lab:
        anyio.run(work, lab)


def test_what_is_known_when_a_leg_is_lost_stays(catalogue):
    async def work(lab):
        async with Team(lab, catalogue) as team:
            log: list[Sample] = []

            async def breaking():
                await until(lambda: sum(one.rpc_method == "initialize" for one in lab.requests) >= 4)
                team.client.broken.add("w1")

            async with anyio.create_task_group() as group:
                group.start_soon(breaking)
                why = await measure(team.hands, Settings(gap_s=0.2), log, interrupted=anyio.Event())
            assert why is Stop.INTERRUPTED
            assert sum(one.operation is Operation.OPEN for one in log) >= 3
            assert sum(one.operation is Operation.CLOSE for one in log) >= 1

    with Lab(Options(limits=("none",))) as lab:
        anyio.run(work, lab)


def test_a_leg_that_is_forgotten_closes_its_sessions(catalogue):
    async def work(lab):
        async with Team(lab, catalogue, addresses=("127.0.0.1",)) as team:
            await team.hands.perform(Open(session=1))
            leg = legs._LEGS[team.remotes[0].name]
            leg.heard_s -= 3600
            await until(lambda: not legs._LEGS)
            await until(lambda: open_sessions(lab, 0) == 0)
            with pytest.raises(Lost):
                await team.hands.perform(Call(session=1))
            assert "had not heard of us" in str(team.hands.facts()["lost_legs"])

    with Lab(Options(limits=("none",))) as lab:
        anyio.run(work, lab)


def test_a_leg_without_credential_or_name_says_so(lab, catalogue):
    async def work(url, **given):
        plan = matrix.expand([url], matrix.Axes(services=("aws-mcp",), regions=("us-east-1",), **given), catalogue)
        order = Order(cell=plan.cells[0], catalogue=catalogue, sealed=True, standby=None)
        reply = await legs.muster("one", order, dask_worker=None)
        await legs._LEGS["one"].disband()
        return reply.value.trouble

    assert anyio.run(lambda: work(f"{lab.http}/mcp", credentials=("profile:nobody",))) == (
        "has no credential of that name"
    )
    assert anyio.run(lambda: work("https://nowhere.test/mcp", credentials=("none",))) == "cannot look up nowhere.test"


def test_no_key_is_in_what_travels(lab, catalogue):
    import pickle

    async def work():
        async with Team(lab, catalogue, addresses=("127.0.0.1",), url="https://aws-mcp.us-east-1.api.aws/mcp") as team:
            await team.hands.perform(Open(session=1))
            reply = await legs.act(team.remotes[0].name, "ping", (), 0)
            ready = await legs._LEGS[team.remotes[0].name].prepare()
            await team.hands.aclose()
            return pickle.dumps((reply, ready)), ready

    sent, ready = anyio.run(work)
    assert ready.caller.key is not None
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert lab.env[name].encode() not in sent


def test_the_whole_search_over_two_alike_legs_finds_the_limit(catalogue):
    async def work(lab):
        async with Team(lab, catalogue) as team:
            log: list[Sample] = []
            why = await measure(
                team.hands, Settings(most=8, unreleased_s=0.3, gap_s=0.02), log, interrupted=anyio.Event()
            )
            return log, why

    from mcpdoctor.ceiling import conclude

    with Lab(Options(limits=("sessions:5",))) as lab:
        log, why = anyio.run(work, lab)
        assert open_sessions(lab, 0) == 0
        assert len(log) == len(lab.requests)
    found = conclude(log, why)
    assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.SESSIONS, 5, 6)
    assert {one.leg for one in log} == {0, 1}
