"""Sessions are really held and really given back; what is to be in flight together is; and nothing is sent unseen."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
from conftest import network_of
from scripted import (
    CATALOGUE,
    CONTEXT,
    Answer,
    Asked,
    Script,
    as_usual,
    briefly,
    hang,
    http,
    in_turn,
    late,
    play,
    tunnel,
    usual,
)
from scripted import sessions as opening

from mcpdoctor import credentials, probes
from mcpdoctor.ceiling import Action, Budget, Burst, Call, Close, Loop, Open, Settings, Wait, conclude
from mcpdoctor.ceiling.measurement import measure
from mcpdoctor.ceiling.sessions import COSTS, Sessions, Way
from mcpdoctor.lab import Lab, Options
from mcpdoctor.matrix import Call as ToolCall
from mcpdoctor.network import Network
from mcpdoctor.probes import Signer
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop

LASTING_S = 0.3
"""What a call takes in these tests: long beside what this machine needs to send all of them."""


def opened(count: int) -> list[Action]:
    return [Open(session=number) for number in range(1, count + 1)]


def starts(script: Script) -> list[float]:
    return [one.at_s for one in script.asked if one.what.startswith("tools/")]


# together -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [0, 1, 4, 16])
def test_the_requests_of_a_burst_are_in_flight_together(held: int) -> None:
    script = Script(answers={"tools/list": late(LASTING_S)})
    over: tuple[int | None, ...] = tuple(range(1, held + 1)) or (None,)
    *_, burst, _ = play(script, *opened(held), Burst(groups=(16,), sessions=over))
    assert briefly(burst) == ["call accepted"] * 16
    assert script.together == 16
    assert Counter(one.session for one in burst) == dict.fromkeys(over, 16 // max(1, held))
    left = [one.sent_s for one in burst]
    assert max(left) - min(left) < LASTING_S


def test_they_are_together_where_their_connections_take_a_while_one_longer_than_the_other() -> None:
    answer, context = tunnel(lambda number: max(0.0, number - 2) * 0.25)  # the first three open the session
    script = Script(answers={"CONNECT": answer, "tools/list": late(0.2)})
    _, burst, _ = play(
        script,
        *opened(1),
        Burst(groups=(5,), sessions=(1,)),
        url="https://endpoint.test/mcp",
        context=context,
        environ=lambda: {"HTTPS_PROXY": f"http://127.0.0.1:{script.port}"},
    )
    assert briefly(burst) == ["call accepted"] * 5
    assert script.together == 5


def test_groups_leave_one_gap_apart_and_in_their_order() -> None:
    script = Script(answers={"tools/list": late(0.8)})
    _, burst, _ = play(script, *opened(1), Burst(groups=(3, 2, 2), gap_s=0.2, sessions=(1,)))
    assert len(burst) == 7
    assert script.together == 7
    first, second, third = (starts(script)[part] for part in (slice(0, 3), slice(3, 5), slice(5, 7)))
    assert min(second) - min(first) >= 0.15
    assert min(third) - min(second) >= 0.15


def numbered(*refused: int, status: int = 429) -> Answer:
    """Refuses the calls with these numbers, in the order in which they arrive, at once; the others take a while."""
    count = itertools.count(1)

    async def answer(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        if next(count) in refused:
            return http(status)
        await asyncio.sleep(0.05)
        return usual(asked)

    return answer


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ((), 10),
        ((2,), 10),  # one of the group that is known to pass is a stray
        ((5,), 6),
        ((6,), 6),
        ((7,), 8),
        ((1, 2), 4),
        ((2, 5), 6),
        ((9,), 10),
    ],
)
def test_a_burst_goes_on_until_one_of_what_is_new_or_two_of_any_are_not_accepted(
    refused: tuple[int, ...], sent: int
) -> None:
    script = Script(answers={"tools/list": numbered(*refused, status=500 if sent == 6 else 429)})
    burst = Burst(groups=(4, 2, 2, 2), gap_s=0.2, sessions=(1,))
    _, samples, after, _ = play(script, *opened(1), burst, Burst(groups=(1,), sessions=(1,)))
    assert len(samples) == sent
    assert sum(one.outcome is not Outcome.ACCEPTED for one in samples) == len(refused)
    assert briefly(after) == ["call accepted"]  # what was not sent has not harmed the session


def test_a_loop_keeps_its_workers_busy_and_sends_as_many_as_asked() -> None:
    script = Script(answers={"tools/call": late(0.05)})
    action = Loop(workers=3, requests=10, sessions=(1, 2, 3))
    *_, looped, _ = play(script, *opened(3), action, call=ToolCall(tool="echo", arguments={}))
    assert len(looped) == script.count("tools/call") == 10
    assert script.together == 3
    assert {one.session for one in looped} == {1, 2, 3}


@pytest.mark.parametrize("answer", [http(429), http(500)])
def test_a_loop_sends_nothing_more_once_something_was_not_accepted(answer: Answer) -> None:
    script = Script(answers={"tools/list": in_turn(*[late(0.05)] * 5, answer, late(0.05))})
    _, looped, _ = play(script, *opened(1), Loop(workers=2, requests=50, sessions=(1,), light=True))
    assert 6 <= len(looped) <= 7
    assert sum(one.outcome is Outcome.ACCEPTED for one in looped) == len(looped) - 1


def test_cheap_requests_are_cheap_where_a_tool_is_given() -> None:
    script, tool = Script(), ToolCall(tool="echo", arguments={})
    actions: list[Action] = [
        Burst(groups=(2,), sessions=(1,), light=True),
        Loop(workers=1, requests=2, sessions=(1,), light=True),
    ]
    play(script, *opened(1), Call(session=1), *actions, Burst(groups=(2,), sessions=(1,)), call=tool)
    assert (script.count("tools/list"), script.count("tools/call")) == (5, 2)


# giving back ----------------------------------------------------------------------------------------------------------


def test_sessions_are_closed_one_after_another() -> None:
    now, most = [0], [0]

    async def answer(_: Asked, __: asyncio.StreamWriter) -> bytes:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.02)
        now[0] -= 1
        return http(200)

    script = Script(answers={"DELETE": answer})
    *_, closed, _ = play(script, *opened(4), Close(sessions=(1, 3, 2)))
    assert [one.session for one in closed] == [1, 3, 2]
    assert most == [1]
    assert script.count("DELETE") == 4  # the last one at the end


def test_what_is_open_at_the_end_is_closed_at_once_and_each_with_its_own_id() -> None:
    script = Script(answers={"DELETE": late(0.5)})
    began = time.monotonic()
    *_, closed = play(script, *opened(6))
    assert [one.operation for one in closed] == [Operation.CLOSE] * 6
    assert len({one.headers["mcp-session-id"] for one in script.asked if one.method == "DELETE"}) == 6
    assert time.monotonic() - began < 6 * 0.5


def test_a_server_that_never_answers_a_close_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from mcpdoctor.ceiling import meter

    monkeypatch.setattr(meter, "CLOSE_S", 0.3)
    script = Script(answers={"DELETE": hang})
    began = time.monotonic()
    *_, first, rest = play(script, *opened(6), Close(sessions=(1, 2, 3, 4, 5, 6)), timeout_s=10)
    assert briefly(first) == ["close failed timeout"]
    assert briefly(rest) == ["close failed timeout"] * 5
    assert time.monotonic() - began < 4


def test_closing_that_is_cut_short_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(answers={"DELETE": hang, "initialize": in_turn(as_usual, hang)})

    async def run() -> list[Sample]:
        async with script.serving(), opening(script) as hands:
            await hands.perform(Open(session=1))
            with anyio.move_on_after(0.2):
                await hands.perform(Open(session=2))
            with anyio.move_on_after(0.2):
                await hands.aclose()
            return hands.collect()

    began = time.monotonic()
    samples = anyio.run(run)
    assert sorted(briefly(samples)) == ["close failed interrupted", "open failed interrupted"]
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("what", ["initialize", "notifications/initialized", "GET"])
def test_a_session_that_is_closed_while_it_opens_is_given_back(what: str) -> None:
    script = Script(answers={what: hang})

    async def run() -> None:
        async with script.serving(), opening(script, timeout_s=10) as hands:
            with anyio.move_on_after(0.3):
                await hands.perform(Open(session=1))

    began = time.monotonic()
    anyio.run(run)
    assert script.count("DELETE") == (what != "initialize")  # without an answer there is no id to give back
    assert time.monotonic() - began < 5


def test_what_is_cut_short_is_told_with_the_next_action() -> None:
    script = Script(answers={"tools/list": in_turn(as_usual, hang)})

    async def run() -> list[Sample]:
        async with script.serving(), opening(script) as hands:
            await hands.perform(Open(session=1))
            with anyio.move_on_after(0.3):
                await hands.perform(Burst(groups=(2, 2), gap_s=9, sessions=(1,)))
            return await hands.perform(Close(sessions=(1,)))

    samples = anyio.run(run)
    assert sorted(briefly(samples)) == ["call accepted", "call failed interrupted", "close accepted"]
    assert script.count("tools/list") == 2


# trouble --------------------------------------------------------------------------------------------------------------


def test_a_server_that_dies_in_the_middle_of_a_burst_ends_it() -> None:
    deaths: list[asyncio.Task[None]] = []

    async def last(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if script.count("tools/list") == 4:
            deaths.append(asyncio.create_task(script.die()))
        await hang(asked, writer)

    script = Script(answers={"tools/list": last})
    burst = Burst(groups=(4, 4), gap_s=0.5, sessions=(1, 2, 3, 4))
    *_, samples, closed = play(script, *opened(4), burst, lost=4, timeout_s=20)
    assert briefly(samples) == ["call failed connection-lost"] * 4
    assert briefly(closed) == ["close failed connection-lost"] * 4


def test_a_session_that_is_gone_fails_its_calls_and_sends_nothing() -> None:
    script = Script()
    _, _, called, burst, looped, _ = play(
        script,
        *opened(1),
        Close(sessions=(1,)),
        Call(session=1),
        Burst(groups=(2, 2), sessions=(1,)),
        Loop(workers=2, requests=4, sessions=(1,)),
        lost=1 + 4 + 1,
    )
    assert briefly([*called, *burst, *looped]) == ["call failed session-lost"] * 6
    assert script.count("tools/list") == 0


def test_a_call_that_cannot_be_signed_any_more_is_a_failure() -> None:
    class Gone:
        def __getattr__(self, name: str) -> str:
            raise RuntimeError("the login has run out")

    resolved = credentials.Resolved(credentials=Gone(), region=None)
    signer = Signer(resolved=resolved, region="us-east-1", service="aws-mcp")
    bare, over, _ = play(Script(), Call(session=None), Open(session=1), signer=signer, lost=2)
    assert briefly([*bare, *over]) == ["call failed session-lost", "open failed session-lost"]


# whole searches: what the samples count is what the lab saw -----------------------------------------------------------

SWIFT = Settings(unreleased_s=0.5, gap_s=0.0, costs=COSTS)


def measured(lab: Lab, url: str, settings: Settings = SWIFT, *, signed: bool = False, **given: object) -> list[Sample]:
    probes.load_client()
    resolved = credentials.resolve("env", environ=lab.env) if signed else None
    service = "eks-mcp" if "eks" in url else "aws-mcp"
    signer = Signer(resolved=resolved, region="us-east-1", service=service) if resolved else None
    log: list[Sample] = []

    async def run() -> Stop:
        way = Way(url=url, signer=signer, network=network_of(lab), catalogue=CATALOGUE, **given)  # type: ignore[arg-type]
        with anyio.fail_after(60):
            return await measure(Sessions(way), settings, log, interrupted=anyio.Event())

    assert anyio.run(run) is Stop.RESOLVED
    return log


METHODS = {Operation.CLOSE: "DELETE", Operation.STREAM: "GET"}


def compare(lab: Lab, before: int, log: list[Sample], *, path: str) -> None:
    """The samples tell of as many requests, of the same kinds and with the same answers, as the lab saw."""
    seen = [one for one in lab.requests[before:] if one.path == path]
    assert len(seen) == len(lab.requests[before:]) == len(log)
    assert Counter(one.status for one in log) == Counter(one.status for one in seen)
    for operation, method in METHODS.items():
        if operation is Operation.CLOSE or any(one.operation is operation for one in log):
            assert sum(one.operation is operation for one in log) == sum(one.method == method for one in seen)
    opening = sum(one.rpc_method == "initialize" for one in seen)
    calls = sum((one.rpc_method or "").startswith("tools/") for one in seen)
    assert sum(one.operation is Operation.OPEN for one in log) == opening
    assert sum(one.operation is Operation.CALL for one in log) == calls
    given = sum(one.operation is Operation.OPEN and one.outcome is Outcome.ACCEPTED for one in log)
    assert sum(one.method == "DELETE" and one.status == 200 for one in seen) == given


@pytest.mark.parametrize(
    ("name", "signed", "ceiling"),
    [("aws-mcp/us-east-1", True, 7), ("aws-mcp/us-east-1", False, 4), ("aws-knowledge", False, 4)],
)
def test_a_limit_on_sessions_is_found_over_tls_and_every_request_is_counted(
    lab: Lab, name: str, signed: bool, ceiling: int
) -> None:
    before, url = len(lab.requests), lab.endpoints[name]
    log = measured(lab, url, signed=signed)
    found = conclude(log, Stop.RESOLVED)
    assert (found.limiter, found.highest_clean, found.lowest_refused) == (Kind.SESSIONS, ceiling, ceiling + 1)
    assert found.refused <= 5
    compare(lab, before, log, path="/mcp" if "aws-mcp" in name else "/")


@pytest.mark.parametrize(("name", "streams"), [("eks-mcp/us-east-1", 6), ("aws-mcp/us-east-1", 0)])
def test_where_there_is_no_limit_nothing_is_refused_and_every_request_is_counted(name: str, streams: int) -> None:
    with Lab(Options(limits=("none",))) as lab:
        log = measured(lab, lab.endpoints[name], replace(SWIFT, most=6), signed=True)
        compare(lab, 0, log, path="/mcp")
    found = conclude(log, Stop.RESOLVED)
    assert (found.limiter, found.refused) == (Kind.NONE, 0)
    assert sum(one.operation is Operation.OPEN for one in log) == 6
    assert sum(one.operation is Operation.STREAM for one in log) == streams


def test_whatever_words_a_limiter_uses_every_request_is_counted() -> None:
    with Lab(Options(limits=("sessions:3",), refusal="rpc")) as lab:
        path = "/aws-mcp/us-east-1/mcp"
        log = measured(lab, f"{lab.http}{path}")
        compare(lab, 0, log, path=path)
    found = conclude(log, Stop.RESOLVED)
    assert (found.limiter, found.highest_clean) == (Kind.SESSIONS, 3)
    assert {one.layer for one in log} - {None} == {"rpc"}


def test_a_small_budget_is_kept_on_the_wire() -> None:
    with Lab(Options(limits=("sessions:7",))) as lab:
        path = "/aws-mcp/us-east-1/mcp"
        log: list[Sample] = []
        budget = Budget(requests=30, refusals=4, seconds=60)
        way = Way(url=f"{lab.http}{path}", signer=None, network=network_of(lab), catalogue=CATALOGUE)

        async def run() -> Stop:
            settings = Settings(unreleased_s=0.3, gap_s=0.0, costs=COSTS, budget=budget)
            return await measure(Sessions(way), settings, log, interrupted=anyio.Event())

        assert anyio.run(run) is Stop.BUDGET
        assert len(lab.requests) <= 30
        compare(lab, 0, log, path=path)


def test_a_search_that_is_interrupted_in_its_first_step_was_not_turned_away() -> None:
    script, log = Script(answers={"initialize": hang}), list[Sample]()

    async def run() -> Stop:
        interrupted = anyio.Event()
        async with script.serving():
            network = Network(context=CONTEXT)
            way = Way(url=script.url, signer=None, network=network, catalogue=CATALOGUE)
            asyncio.get_running_loop().call_later(0.3, interrupted.set)
            return await measure(Sessions(way), SWIFT, log, interrupted=interrupted)

    assert anyio.run(run) is Stop.INTERRUPTED
    assert briefly(log) == ["open failed interrupted"]


def test_an_interrupted_search_gives_every_session_back(lab: Lab) -> None:
    before, log = len(lab.requests), list[Sample]()
    way = Way(url=lab.endpoints["aws-knowledge"], signer=None, network=network_of(lab), catalogue=CATALOGUE)

    async def run() -> Stop:
        interrupted = anyio.Event()

        class Watcher:
            def begins(self, action: Action, log: Sequence[Sample]) -> None:
                if isinstance(action, Wait) and sum(one.operation is Operation.OPEN for one in log) >= 3:
                    asyncio.get_running_loop().call_later(0.05, interrupted.set)

        return await measure(Sessions(way), SWIFT, log, interrupted=interrupted, watcher=Watcher())

    assert anyio.run(run) is Stop.INTERRUPTED
    compare(lab, before, log, path="/")
