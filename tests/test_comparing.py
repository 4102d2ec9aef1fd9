"""What `diff` tells of two runs: what changed, and nothing that differs in every run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Examine
from hostile import reports
from hypothesis import given, settings

from mcpdoctor.cli import cli
from mcpdoctor.comparing import Change, Kind, compare, steady
from mcpdoctor.lab import Lab
from mcpdoctor.model import Cause, Environment, Report, Stage, Verdict
from mcpdoctor.render import report_json
from mcpdoctor.render.differences import FORMATS, draw

GOLDEN = Path(__file__).parent / "golden"
OLD = report_json.load(GOLDEN / "report.json")
WORKS, FAILS = OLD.results[:2]
AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"


def changes(old: Report, new: Report) -> list[tuple[str, str, str]]:
    return [(one.kind.value, one.about, one.name) for one in compare(old, new).changes]


def with_stage(stage: Stage, **changed: Any) -> Report:
    """The report with a stage of its first result changed; facts are added to those that are there."""
    facts = changed.pop("facts", {})
    traces = tuple(
        replace(one, **{"facts": {**one.facts, **facts}, **changed}) if one.stage is stage else one
        for one in WORKS.stages
    )
    return replace(OLD, results=(replace(WORKS, stages=traces), *OLD.results[1:]))


def only(old: Report, new: Report) -> Change:
    [change] = compare(old, new).changes
    return change


def test_two_runs_of_the_same_lab_do_not_differ(examine: Examine) -> None:
    targets = ("aws-mcp", "https://knowledge-mcp.us-east-1.api.aws/mcp")
    runs = [examine(*targets, credentials=("default", "none"), services=("aws-mcp", "iam")) for _ in range(2)]
    assert compare(*runs).changes == ()


def test_what_worked_yesterday_and_fails_today_is_told_with_stage_cause_and_remedy(examine: Examine, lab: Lab) -> None:
    old = examine(AWS_MCP, services=("aws-mcp",), credentials=("env",), environ=lab.env)
    bad = {**lab.env, "AWS_SECRET_ACCESS_KEY": "x" * 40}
    new = examine(AWS_MCP, services=("aws-mcp",), credentials=("env",), environ=bad)
    difference = compare(old, new)
    assert difference.worse
    first = difference.changes[0]
    assert (first.kind, first.about, first.stage) == (Kind.WORSE, "result", Stage.AUTH)
    assert "worked" in first.old
    assert "fails at auth" in first.new
    assert first.text.endswith(new.results[0].findings[0].remedy)
    assert any(one.about == "header" and one.name == "x-amzn-errortype" for one in difference.changes)
    assert not compare(new, old).worse


def test_a_report_does_not_differ_from_itself_in_another_order() -> None:
    assert compare(OLD, replace(OLD, results=OLD.results[::-1], started="2027-01-01T00:00:00Z")).changes == ()


def test_configurations_that_are_new_or_gone_are_named() -> None:
    new = replace(OLD, results=OLD.results[1:])
    assert changes(OLD, new) == [("other", "configuration", "")]
    assert only(OLD, new).text == "No longer tried; it worked."
    assert only(new, OLD).text == "New configuration: it works."
    assert only(new, OLD).subject == "aws-mcp aws-mcp/us-east-1 default"


def test_versions_are_told() -> None:
    packages = {**OLD.environment.packages, "mcp": "2.0.1"}
    new = replace(OLD, environment=replace(OLD.environment, packages=packages))
    assert only(OLD, new).text == "Version of mcp: 1.30.0 before, 2.0.1 now."
    other = replace(OLD, environment=Environment(python="3.12", platform="Linux", packages=OLD.environment.packages))
    assert changes(OLD, other) == [("other", "environment", "Python")]


@pytest.mark.parametrize(
    ("stage", "changed", "expected"),
    [
        (Stage.AUTH, {"facts": {"provider": "env"}}, ("other", "fact", "provider")),
        (Stage.TLS, {"facts": {"certificate_issuer": "Proxy CA"}}, ("other", "fact", "certificate_issuer")),
        (Stage.TLS, {"facts": {"not_after": "Jul  1 12:00:00 2027 GMT"}}, ("other", "expiry", "not_after")),
        (Stage.AUTH, {"facts": {"clock_skew_s": 0}}, None),
        (Stage.AUTH, {"facts": {"credential_expires": "2026-11-23T16:00:00+00:00"}}, None),
        (Stage.AUTH, {"facts": {"credential_expires": None}}, ("other", "expiry", "credential_expires")),
        (Stage.LIST, {"facts": {"tools": ("aws___read_documentation",)}}, ("worse", "tools", "tools")),
        (Stage.DNS, {"facts": {"addresses": ("10.0.0.1",)}}, None),
        (Stage.HTTP, {"elapsed_s": 1.2}, ("worse", "latency", "elapsed_s")),
        (Stage.HTTP, {"elapsed_s": 0.9}, None),
    ],
)  # fmt: skip
def test_of_a_stage_what_means_something_is_told(
    stage: Stage, changed: dict[str, Any], expected: tuple[str, str, str] | None
) -> None:
    assert changes(OLD, with_stage(stage, **changed)) == ([expected] if expected else [])


def test_a_header_that_differs_is_told_and_one_that_always_differs_is_not() -> None:
    http = next(one for one in WORKS.stages if one.stage is Stage.HTTP)

    def answering(**headers: str) -> Report:
        return with_stage(Stage.HTTP, exchanges=(replace(http.exchanges[0], headers=headers),))

    always = {"date": "Mon, 23 Nov 2026 04:00:00 GMT", "x-amzn-requestid": "a", "server": "one"}
    later = {"date": "Tue, 24 Nov 2026 04:00:00 GMT", "x-amzn-requestid": "b", "server": "one"}
    assert changes(answering(**always), answering(**later)) == []
    change = only(answering(**always), answering(**{**later, "server": "Zscaler"}))
    assert (change.about, change.name, change.old, change.new) == ("header", "server", "one", "Zscaler")


def test_another_cause_of_a_failure_is_told_and_a_stage_that_passed_before_is_worse() -> None:
    other = replace(FAILS, cause=Cause.WRONG_REGION)
    assert changes(OLD, replace(OLD, results=(WORKS, other, *OLD.results[2:]))) == [("other", "result", "result")]
    stages = tuple(
        replace(one, verdict=Verdict.FAILED if one.stage is Stage.DNS else Verdict.BLOCKED) for one in FAILS.stages[1:]
    )
    earlier = replace(FAILS, stage=Stage.DNS, http_status=None, cause=Cause.DNS_FAILURE, stages=stages)
    assert changes(OLD, replace(OLD, results=(WORKS, earlier, *OLD.results[2:]))) == [("worse", "result", "result")]


def test_a_lower_ceiling_is_worse_unless_two_measurements_may_differ_as_much() -> None:
    [ceiling] = OLD.ceilings
    lower = replace(ceiling, highest_clean=3, recommended_workers=2, interval=(3, 3))
    assert changes(OLD, replace(OLD, ceilings=(lower,))) == [("worse", "ceiling", "recommended_workers")]
    assert changes(replace(OLD, ceilings=(lower,)), OLD) == [("better", "ceiling", "recommended_workers")]
    near = replace(ceiling, recommended_workers=4, interval=(5, 8))
    assert changes(OLD, replace(OLD, ceilings=(near,))) == []


def test_findings_of_files_are_matched_without_their_lines() -> None:
    lint = report_json.load(GOLDEN / "lint.json")
    moved = replace(lint, lint=(replace(lint.lint[0], line=99), *lint.lint[1:]))
    assert compare(lint, moved).changes == ()
    assert changes(replace(lint, lint=lint.lint[1:]), lint) == [("worse", "file", "config-wrong-service")]
    assert changes(lint, replace(lint, lint=lint.lint[1:])) == [("better", "file", "config-wrong-service")]


def test_an_exit_code_that_nothing_else_explains_is_worse() -> None:
    assert changes(replace(OLD, exit_code=0), OLD) == [("worse", "run", "exit code")]
    assert changes(OLD, replace(OLD, interrupted="deadline")) == [("worse", "run", "interrupted")]


@pytest.mark.parametrize(
    "text",
    [
        "1.1 {}.cloudfront.net (CloudFront)".format("d3ab12cd34ef567890"),
        "request id 7eb0535c-4890-4dc9-b8c4-dce55233687b",
        "Root=1-67891233-abcdef012345678912345678",
        "20261123T040000Z",
    ],
)
def test_ids_and_times_are_no_part_of_a_text(text: str) -> None:
    assert "…" in steady(text)
    assert not any(char.isdigit() for char in steady(text).replace("1.1 ", ""))


@given(reports, reports)
@settings(max_examples=30)
def test_any_two_reports_can_be_compared_and_drawn(old: Report, new: Report) -> None:
    assert compare(old, old).changes == ()
    difference = compare(old, new)
    for form in FORMATS:
        drawn = draw(difference, form)
        assert "\x1b" not in drawn
        assert "##[" not in drawn
        assert not any(line.lstrip().startswith("::") for line in drawn.splitlines())
    document = json.loads(draw(difference, "json"))
    assert document["worse"] is difference.worse
    assert len(document["changes"]) == len(difference.changes)


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> tuple[str, str]:
    """Two reports: it works, then it does not."""
    paths = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    failing = replace(FAILS, configuration=WORKS.configuration)
    new = replace(OLD, results=(failing, *OLD.results[2:]), best=())
    for path, report in zip(paths, (replace(OLD, results=(WORKS, *OLD.results[2:])), new), strict=True):
        Path(path).write_text(report_json.dumps(report))
    return paths


def test_diff_exits_with_1_where_something_got_worse(saved: tuple[str, str]) -> None:
    old, new = saved
    told = CliRunner().invoke(cli, ["diff", old, new])
    assert told.exit_code == 1
    assert "It worked, now it fails at auth, HTTP 401, wrong-service." in told.stdout
    assert CliRunner().invoke(cli, ["diff", new, old]).exit_code == 0
    same = CliRunner().invoke(cli, ["diff", old, old])
    assert (same.exit_code, same.stdout.splitlines()[-1][-16:]) == (0, "Nothing changed.")
    assert CliRunner().invoke(cli, ["diff", "-q", old, new]).stdout == ""
    piped = CliRunner().invoke(cli, ["diff", old, "-"], input=Path(new).read_text())
    assert piped.exit_code == 1


def test_diff_as_markdown_and_json(saved: tuple[str, str]) -> None:
    assert "### Worse" in CliRunner().invoke(cli, ["diff", "--format", "markdown", *saved]).stdout
    document = json.loads(CliRunner().invoke(cli, ["diff", "--format", "json", *saved]).stdout)
    assert document["worse"] is True
    assert {"kind", "about", "subject", "stage", "name", "old", "new", "text"} == set(document["changes"][0])


def test_a_report_that_cannot_be_read_is_refused(saved: tuple[str, str], tmp_path: Path) -> None:
    for arguments in ([saved[0], "none.json"], ["-", "-"], [saved[0]]):
        told = CliRunner().invoke(cli, ["diff", *arguments])
        assert (told.exit_code, told.stdout) == (2, "")
