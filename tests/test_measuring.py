"""A measurement ends well whatever happens: what is known is told, sessions are given back, the exit code is right."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest
from conftest import network_of
from scripted import Answer, Script, as_usual, hang, http, in_turn

from mcpdoctor import engine, matrix, measuring, probes
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling import Action, Budget, Burst, Open, Wait
from mcpdoctor.ceiling import Settings as Search
from mcpdoctor.ceiling import budget as ceiling_budget
from mcpdoctor.ceiling import run as ceiling_run
from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Cause, Report
from mcpdoctor.network import Network, tls_context
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
KNOWLEDGE = "https://knowledge-mcp.global.api.aws"
SWIFT = Search(unreleased_s=0.4, gap_s=0.0, most=8)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ceiling_budget, ceiling_run):
        monkeypatch.setattr(module, "HEALING_S", (0.1, 0.1, 0.1))


def measured(
    catalogue: Catalogue,
    *targets: str,
    lab: Lab | None = None,
    network: Network | None = None,
    credentials: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
    observer: measuring.Observer | None = None,
    search: Search = SWIFT,
    **given: Any,
) -> Report:
    """Measure targets in this process."""
    axes = matrix.Axes(regions=("us-east-1",), services=services, credentials=credentials)
    plan = matrix.expand(targets, axes, catalogue)
    here = network or (network_of(lab) if lab else Network(context=tls_context(None, needed=False)))
    settings = measuring.Settings(search=search, standby=lab.env if lab else None, **{"timeout_s": 5.0, **given})

    async def run() -> Report:
        with anyio.fail_after(60):
            return await measuring.run(plan, catalogue, here, settings, observer=observer)

    return anyio.run(run)


def scripted(catalogue: Catalogue, script: Script, **given: Any) -> Report:
    """Measure a script."""

    async def run() -> Report:
        plan_settings = measuring.Settings(search=given.pop("search", SWIFT), timeout_s=given.pop("timeout_s", 5.0))
        with anyio.fail_after(60):
            async with script.serving():
                plan = matrix.expand([script.url], matrix.Axes(credentials=("none",)), catalogue)
                network = Network(context=tls_context(None, needed=False))
                return await measuring.run(plan, catalogue, network, plan_settings, **given)

    return anyio.run(run)


class At:
    """Interrupts the process, as Ctrl-C does, a little after the first action that is like this."""

    def __init__(self, like: Callable[[Action, Sequence[Sample]], bool], *, after_s: float = 0.1) -> None:
        self.like, self.after_s, self.fired_s = like, after_s, 0.0

    def begins(self, cell: Cell, action: Action, log: Sequence[Sample]) -> None:  # noqa: ARG002  # a protocol
        if not self.fired_s and self.like(action, log):
            self.fired_s = time.monotonic()
            asyncio.get_running_loop().call_later(self.after_s, os.kill, os.getpid(), signal.SIGINT)


def given_back(script: Script) -> bool:
    """Whether every session that was opened was given back."""
    gone = {one.headers["mcp-session-id"] for one in script.asked if one.method == "DELETE"}
    held = {one.headers["mcp-session-id"] for one in script.asked if "mcp-session-id" in one.headers}
    return held == gone and len(gone) == script.count("notifications/initialized")


# interrupted ----------------------------------------------------------------------------------------------------------

MOMENTS: dict[str, tuple[dict[str, Answer], Callable[[Action, Sequence[Sample]], bool]]] = {
    "while the first session opens": (
        {"initialize": hang},
        lambda action, _: isinstance(action, Open),
    ),
    "while a later session opens": (
        {"initialize": in_turn(as_usual, as_usual, as_usual, hang)},
        lambda action, _: isinstance(action, Open) and action.session == 4,
    ),
    "while a session is half open": (
        {"notifications/initialized": in_turn(http(202), http(202), hang)},
        lambda action, _: isinstance(action, Open) and action.session == 3,
    ),
    "while calls are in flight": (
        {"tools/list": in_turn(*[as_usual] * 19, hang)},
        lambda action, _: isinstance(action, Burst),
    ),
    "while it waits": (
        {"initialize": in_turn(*[as_usual] * 4, http(429))},
        lambda action, _: isinstance(action, Wait) and action.until_s > time.monotonic() + 0.3,
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
@pytest.mark.parametrize(("answers", "like"), MOMENTS.values(), ids=MOMENTS)
def test_an_interruption_ends_it_soon_and_gives_every_session_back(
    answers: dict[str, Answer], like: Callable[[Action, Sequence[Sample]], bool], catalogue: Catalogue
) -> None:
    script, watcher = Script(answers=answers), At(like)
    report = scripted(catalogue, script, observer=watcher, search=replace(SWIFT, unreleased_s=30.0), timeout_s=30.0)
    assert watcher.fired_s
    assert time.monotonic() - watcher.fired_s < 6
    assert (report.interrupted, report.exit_code, report.results) == ("interrupted", 1, ())
    assert given_back(script)
    if script.count("tools/list"):
        [ceiling] = report.ceilings
        assert ceiling.stopped is Stop.INTERRUPTED
        assert len(ceiling.samples) == len(script.asked)
        assert sum(one.outcome is Outcome.ACCEPTED for one in ceiling.samples) >= 20
    else:
        assert report.ceilings == ()


def test_an_interruption_while_one_configuration_is_examined_ends_the_others_too(
    lab: Lab, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = engine.run

    async def interrupted(*args: Any) -> Report:
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
        return await run(*args)

    monkeypatch.setattr(engine, "run", interrupted)
    before = len(lab.requests)
    silent, healthy = FAULTS["http/silent"].url(lab), FAULTS["healthy/none"].url(lab)
    report = measured(catalogue, silent, healthy, lab=lab, credentials=("none",), timeout_s=1.0)
    assert (report.interrupted, report.exit_code, report.ceilings) == ("interrupted", 1, ())
    assert not [one for one in lab.requests[before:] if one.path.endswith("/healthy/none/mcp")]


def test_an_interruption_after_one_was_examined_still_gives_back(lab: Lab, catalogue: Catalogue) -> None:
    watcher = At(lambda action, log: isinstance(action, Wait) and len(log) > 20)
    before = len(lab.requests)
    denied = FAULTS["http/not-found"].url(lab)
    report = measured(catalogue, denied, KNOWLEDGE, lab=lab, credentials=("none",), observer=watcher)
    assert (report.interrupted, report.exit_code) == ("interrupted", 1)
    assert [one.cause for one in report.results] == ["not-found"]
    assert [one.stopped for one in report.ceilings] == [Stop.INTERRUPTED]
    seen = [one for one in lab.requests[before:] if one.host == "knowledge-mcp.global.api.aws"]
    opened = sum(one.rpc_method == "initialize" and one.status == 200 for one in seen)
    assert opened == sum(one.method == "DELETE" for one in seen) > 0


# turned away ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("auth/unknown-key", "bad-credentials"),
        ("auth/access-denied", "access-denied"),
        ("http/not-found", "not-found"),
        ("http/redirect-same-origin", "redirected"),
        ("http/json", "not-mcp"),
        ("http/bad-gateway", "server-error"),
        ("open/session-lost", "session-lost"),
        ("open/rpc-error", "protocol-error"),
        ("open/unsupported-protocol", "protocol-error"),
        ("list/denied", "access-denied"),
        ("tls/untrusted", "tls-failure"),
        ("tcp/refused", "connection-refused"),
        ("dns/unknown-host", "dns-failure"),
    ],
)
def test_a_first_session_that_is_turned_away_is_examined(
    fault: str, cause: str, lab: Lab, catalogue: Catalogue
) -> None:
    report = measured(catalogue, FAULTS[fault].url(), lab=lab, services=("aws-mcp",), credentials=("default",))
    assert report.ceilings == ()
    assert [one.cause for one in report.results] == [cause]
    assert report.exit_code == 1


def test_without_credentials_nothing_is_sent(lab: Lab, catalogue: Catalogue) -> None:
    before = len(lab.requests)
    report = measured(catalogue, AWS_MCP, network=network_of(lab), credentials=("default",))
    assert [one.cause for one in report.results] == ["no-credentials"]
    assert (report.ceilings, report.exit_code) == ((), 1)
    assert not [one for one in lab.requests[before:] if one.signed]


def test_of_two_configurations_compared_one_that_opens_is_enough(lab: Lab, catalogue: Catalogue) -> None:
    report = measured(catalogue, "aws-mcp", network=network_of(lab), credentials=("default", "none"))
    assert [one.cause for one in report.results] == ["no-credentials"]
    assert [one.highest_clean for one in report.ceilings] == [4]
    assert report.exit_code == 0


# trouble --------------------------------------------------------------------------------------------------------------


def test_a_server_that_fails_several_times_in_a_row_is_left_alone(catalogue: Catalogue) -> None:
    script = Script(answers={"tools/list": in_turn(*[as_usual] * 3, http(500))})
    report = scripted(catalogue, script)
    [ceiling] = report.ceilings
    assert ceiling.stopped is Stop.FAILURE
    assert script.count("tools/list") == 3 + 3
    assert [one.check for one in report.findings] == ["ceiling-server-failing"]
    assert given_back(script)
    assert report.exit_code == 0  # a warning


def test_a_server_that_stops_answering_is_left_alone(catalogue: Catalogue) -> None:
    script = Script(answers={"tools/list": in_turn(*[as_usual] * 3, hang)})
    [ceiling] = scripted(catalogue, script, timeout_s=0.3).ceilings
    assert ceiling.stopped is Stop.FAILURE
    assert {one.error for one in ceiling.samples if one.outcome is Outcome.FAILED} == {"timeout"}
    assert given_back(script)


def test_a_server_that_dies_is_left_alone(catalogue: Catalogue) -> None:
    script = Script()

    class Dying:
        def begins(self, cell: Cell, action: Action, log: Sequence[Sample]) -> None:  # noqa: ARG002  # a protocol
            if len(log) == 10:
                asyncio.get_running_loop().call_soon(lambda: dying.append(asyncio.create_task(script.die())))

    dying: list[asyncio.Task[None]] = []
    report = scripted(catalogue, script, observer=Dying())
    [ceiling] = report.ceilings
    assert ceiling.stopped is Stop.FAILURE
    assert {one.error for one in ceiling.samples if one.outcome is Outcome.FAILED} == {"connection-lost"}


def test_a_server_that_throttles_every_session_has_no_ceiling_to_tell(lab: Lab, catalogue: Catalogue) -> None:
    url = FAULTS["open/rate-limited"].url(lab)
    search = replace(SWIFT, budget=Budget(requests=100, refusals=4, seconds=60))
    report = measured(catalogue, url, lab=lab, credentials=("none",), search=search)
    [ceiling] = report.ceilings
    assert (ceiling.highest_clean, ceiling.refused, report.exit_code) == (0, len(ceiling.samples), 1)


def test_a_session_that_the_server_forgets_ends_it_soon(catalogue: Catalogue) -> None:
    script = Script(answers={"tools/list": in_turn(*[as_usual] * 5, http(404))})
    report = scripted(catalogue, script)
    [ceiling] = report.ceilings
    assert (ceiling.stopped, ceiling.refused) == (Stop.FAILURE, 0)
    assert script.count("tools/list") == 5 + 3
    [finding] = report.findings
    assert (finding.check, "(HTTP 404)" in finding.text) == ("ceiling-server-failing", True)
    assert given_back(script)


# the best of a check --------------------------------------------------------------------------------------------------


def required(
    lab: Lab, catalogue: Catalogue, workers: int, *targets: str, later: Network | None = None, **given: Any
) -> Report:
    """Check targets, then measure the best of each; `later` is the network when they are measured."""
    axes = matrix.Axes(regions=("us-east-1",), credentials=given.pop("credentials", ()))
    plan = matrix.expand(targets, axes, catalogue)
    settings = engine.Settings(standby=lab.env)
    how = measuring.Settings(search=SWIFT, standby=lab.env, required_workers=workers, timeout_s=5.0, **given)

    async def run() -> Report:
        report = await engine.run(plan, catalogue, network_of(lab), settings)
        return await measuring.run_best(report, plan, catalogue, later or network_of(lab), how)

    return anyio.run(run)


def test_what_is_measured_for_itself_has_to_carry_the_load(lab: Lab, catalogue: Catalogue) -> None:
    report = required(lab, catalogue, 5, "aws-mcp", credentials=("none",), fail_on=None)
    assert report.exit_code == 1  # whatever findings may not fail a run: a requirement is one
    [low] = [one for one in report.findings if one.check == "ceiling-too-low"]
    assert "4 sessions at a time. That is enough for 3." in low.text


def test_a_configuration_that_opens_no_session_any_more_is_none_to_use(lab: Lab, catalogue: Catalogue) -> None:
    gone = network_of(lab, routes={})
    report = required(lab, catalogue, 1, "aws-mcp", later=gone, credentials=("none",))
    assert (report.ceilings, report.best, report.exit_code) == ((), (), 1)
    assert [one.cause for one in report.results] == [Cause.DNS_FAILURE]


def test_what_works_and_could_not_be_measured_proves_nothing(
    lab: Lab, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measure(*_: Any, **__: Any) -> Stop:
        return Stop.FAILURE

    monkeypatch.setattr(measuring, "measure", measure)
    report = required(lab, catalogue, 1, "aws-mcp", credentials=("none",))
    assert [one.works for one in report.results] == [True]
    assert (report.ceilings, report.exit_code) == ((), 1)


def test_where_nothing_works_nothing_is_measured(lab: Lab, catalogue: Catalogue) -> None:
    before = len(lab.requests)
    report = required(lab, catalogue, 5, FAULTS["http/not-found"].url(lab), credentials=("none",))
    assert (report.ceilings, report.exit_code, report.required_workers) == ((), 1, 5)
    assert len(lab.requests) - before < 5


# this machine ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on open files to ask for")
def test_only_as_many_sessions_are_tried_as_files_may_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    now = [(100, 120)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: now.__setitem__(0, both))
    facts, search = measuring._fitted(Search(most=16))
    assert (facts["open_files"], facts["asked_most"], facts["too_few_files"], search.most) == (112, 16, False, 16)
    assert now == [(112, 120)]
    facts, search = measuring._fitted(Search(most=100))
    assert (facts["open_files"], facts["asked_most"], facts["too_few_files"], search.most) == (120, 100, True, 18)
    facts, search = measuring._fitted(Search(most=16))
    assert (facts["too_few_files"], search.most, now) == (False, 16, [(120, 120)])


def test_the_import_of_the_client_is_no_part_of_a_request(lab: Lab, catalogue: Catalogue) -> None:
    probes.load_client()
    report = measured(catalogue, AWS_MCP, lab=lab, credentials=("default",), search=replace(SWIFT, quick=True, most=2))
    [ceiling] = report.ceilings
    assert (ceiling.limiter, ceiling.most, ceiling.facts["quick"]) == (Kind.NONE, 2, True)
    assert ceiling.session_requests == 4
    assert not [one for one in ceiling.samples if one.operation is Operation.STREAM]
