"""What is expected of the conformance suite is complete and honest; `make conformance` runs the suite itself."""

import json
from datetime import date
from pathlib import Path

import httpx
import pytest
from conformance.judging import Failure, Outcome, read_expected, reason, surprises
from conformance.report import document, table
from conformance.signing import signed

from mcpdoctor.lab import Lab, Options

DIRECTORY = Path(__file__).parent / "conformance"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def outcome(*, passed, scenario="ping", subject="eks-mcp", suite="1.0", why=""):
    why = why if passed else "no pong"
    return Outcome(side="server", scenario=scenario, suite=suite, subject=subject, passed=passed, why=why)


def listed(**given):
    return Failure(**{"side": "server", "scenarios": ("ping",), "suites": (), "subjects": (), "why": "mute", **given})


def test_each_scenario_has_one_reason():
    found = [(one.side, name, one.suites, one.subjects) for one in read_expected() for name in one.scenarios]
    assert len(found) == len(set(found))
    assert all(len(one.why) > 40 for one in read_expected())


def test_versions_are_pinned_exactly_and_expected_for_those():
    pins = json.loads((DIRECTORY / "package.json").read_text())["dependencies"].values()
    assert all(pin.rsplit("@", 1)[-1][0].isdigit() for pin in pins)
    versions = {pin.rsplit("@", 1)[-1] for pin in pins}
    assert {suite for one in read_expected() for suite in one.suites} <= versions


def test_what_comes_as_expected_is_no_surprise():
    assert surprises([outcome(passed=True)], ()) == []
    assert surprises([outcome(passed=False)], (listed(),)) == []


def test_a_failure_without_a_reason_is_a_surprise():
    [line] = surprises([outcome(passed=False)], (listed(subjects=("aws-mcp",)), listed(suites=("2.0",))))
    assert line == "server ping (1.0; eks-mcp) failed: no pong"


def test_a_reason_without_a_failure_is_a_surprise():
    [line] = surprises([outcome(passed=True)], (listed(),))
    assert line.endswith("passed, and is listed as an expected failure: mute")


def test_the_table_tells_which_servers_failed_and_why():
    ran = [outcome(passed=True), outcome(passed=False, subject="aws-mcp"), outcome(passed=True, suite="2.0")]
    assert "| ping | server | failed on aws-mcp (1) | passed | 2 |" in table(ran, (listed(subjects=("aws-mcp",)),))
    assert "| ping | server | failed on aws-mcp (not explained) | passed | 2 |" in table(ran, ())


def test_a_warning_beside_a_scenario_that_passed_is_shown():
    ran = [
        Outcome(side="server", scenario="ping", suite="1.0", subject="eks-mcp", passed=True, why="slow: a pong is due")
    ]
    page = document(ran, (), suites=["1.0"], day=date(2026, 11, 23))
    assert "| ping | server | passed with warnings | 1 |" in page
    assert page.endswith("\n- ping: slow: a pong is due\n")


def test_the_page_counts_what_the_table_shows():
    ran = [outcome(passed=True), outcome(passed=False, subject="aws-mcp"), outcome(passed=False, scenario="list")]
    page = document(ran, (listed(subjects=("aws-mcp",)),), suites=["1.0"], day=date(2026, 11, 23))
    assert "| 1.0 | servers of the lab | 3 | 1 | 1 | 1 |" in page
    assert "\n1. mute\n" in page


def test_the_page_in_docs_was_made_by_the_run_of_these_versions():
    page = (Path(__file__).parents[1] / "docs" / "conformance.md").read_text()
    pins = json.loads((DIRECTORY / "package.json").read_text())["dependencies"]
    for name, pin in pins.items():
        if name.startswith("conformance"):
            assert f" {pin.rsplit('@', 1)[-1]} |" in page
    assert "not explained" not in page
    for one in read_expected():
        assert one.why in page
        assert all(f"| {name} | {one.side} | " in page for name in one.scenarios)
    assert reason(outcome(passed=False), read_expected()) is None


@pytest.mark.parametrize("origin", [None, "http://evil.example.com"])
def test_what_is_signed_on_the_way_reaches_the_lab_as_it_was_sent(origin):
    headers = {"accept": "application/json, text/event-stream"} | ({"origin": origin} if origin else {})
    with Lab(Options(limits=("none",))) as lab, signed(lab.http, "eks-mcp", lab.env) as base:
        url = f"{base}/eks-mcp/us-east-1/mcp"
        with httpx.Client(trust_env=False) as client:
            answer = client.post(url, json=INITIALIZE, headers=headers)
            if origin is None:
                client.delete(url, headers={"mcp-session-id": answer.headers["mcp-session-id"]})
        assert lab.requests[0].signed
    assert answer.status_code == (403 if origin else 200)
    assert answer.text.startswith("{" if origin else "event: message")
