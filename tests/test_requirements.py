"""Whether what is required is given: known to be, known not to be, or not known, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_diagnosis import CATALOGUE, MISMATCH, SIGNED, UNSIGNED, healthy, refused, result, trace
from test_verdict import FALLBACK, NOTHING, ceiling

from mcpdoctor.model import SUITE as SUITE_NAME
from mcpdoctor.model import Cause, Fact, Origin, Report, Requirement, Result, Severity, Stage, Verdict
from mcpdoctor.render import draw
from mcpdoctor.samples import Kind, Stop
from mcpdoctor.verdict import conclude


def asked(name: str, wanted: Any, target: str = "aws-mcp") -> Requirement:
    return Requirement(target=target, name=name, wanted=wanted, file="mcpdoctor.toml", line=3, column=1)


def judged(one: Requirement, *results: Result, **given: Any) -> tuple[Requirement, int]:
    """The requirement as it is judged, and the exit code of the run."""
    report = conclude(Report(results=results, requirements=(one,), **given), CATALOGUE, Severity.ERROR)
    [found] = report.requirements
    assert (found.target, found.name, found.wanted, found.file, found.line) == (
        one.target,
        one.name,
        one.wanted,
        one.file,
        one.line,
    )
    assert conclude(report, CATALOGUE, Severity.ERROR) == report, "judging again changes nothing"
    return found, report.exit_code


def listing(*tools: str) -> Result:
    """A configuration that works and lists these tools, in 0.2 s + 0.5 s + 0.25 s, with requests of our own between."""
    took = {Stage.DNS: 0.2, Stage.OPEN: 0.5, Stage.LIST: 0.25}
    facts: dict[str, Fact] = {"tools": tools, "tool_count": len(tools)}
    traces = [trace(stage, facts=facts if stage is Stage.LIST else {}) for stage in Stage if stage is not Stage.PARSE]
    return result(*(replace(one, elapsed_s=took.get(one.stage, 9.0)) for one in traces))


WRONG = refused(403, MISMATCH)


@pytest.mark.parametrize(("wanted", "met"), [(0.95, True), (0.949, False), (60, True)])
def test_the_latency_is_what_a_client_waits_for(wanted: float, met: bool) -> None:
    found, code = judged(asked("latency", wanted), listing("a"))
    assert (found.seen, found.met, code) == (0.95, met, 0 if met else 1)
    assert found.text.endswith("that took 0.95 s (dns 0.2 s, open 0.5 s, list 0.25 s).")


def test_tools_must_be_listed() -> None:
    found, code = judged(asked("tools", ("search", "read")), listing("search", "read", "more"))
    assert (found.seen, found.met, found.text, code) == (("search", "read"), True, "All 2 tools are listed.", 0)
    found, code = judged(asked("tools", ("search", "raed", "xyzzy")), listing("search", "read"))
    assert (found.seen, found.met, code) == (("search",), False, 1)
    assert found.text == "Not among the 2 tools that it lists: raed (did you mean read?), xyzzy."


def test_what_is_forbidden_is_a_check_or_a_cause_of_the_best_configuration() -> None:
    found, code = judged(asked("forbid", ("wrong-service",)), healthy(), replace(WRONG, configuration=UNSIGNED))
    assert (found.seen, found.met, code) == ((), True, 0)
    empty = result(trace(Stage.OPEN), trace(Stage.LIST, facts={"tool_count": 0}))
    [finding] = conclude(Report(results=(empty,)), CATALOGUE).results[0].findings
    for name in (finding.check, finding.cause.value):
        found, code = judged(asked("forbid", ("rate-limited", name)), empty)
        assert (found.seen, found.met, code) == ((name,), False, 1)
        assert f"[{finding.check}]" in found.text


def test_where_nothing_works_what_is_forbidden_may_have_been_seen_all_the_same() -> None:
    refusal = refused(429)
    [finding] = conclude(Report(results=(refusal,)), CATALOGUE).results[0].findings
    found, _ = judged(asked("forbid", ("rate-limited",)), refusal)
    assert (found.seen, found.met) == (("rate-limited",), False)
    assert finding.title in found.text
    found, _ = judged(asked("forbid", ("clock-skew",)), refusal)
    assert (found.seen, found.met) == (None, None)
    assert found.text == "Whether clock-skew would show is not known: the server throttled it."


@pytest.mark.parametrize(
    ("results", "given", "why"),
    [
        pytest.param((refused(429),), {}, "the server throttled it", id="throttled"),
        pytest.param((), {"interrupted": "interrupted"}, "the run was interrupted", id="interrupted"),
        pytest.param((), {"interrupted": "deadline"}, "the deadline of the run passed", id="deadline"),
        pytest.param((WRONG,), {}, "no configuration works (", id="refused"),
        pytest.param((healthy(target="other"),), {}, "no configuration works.", id="not tried"),
    ],
)
@pytest.mark.parametrize("one", [asked("latency", 1.0), asked("tools", ("a",)), asked("workers", 2)])
def test_what_could_not_be_known_is_not_met_and_says_why(
    one: Requirement, results: tuple[Result, ...], given: dict[str, Any], why: str
) -> None:
    found, code = judged(one, *results, **given)
    assert (found.seen, found.met) == (None, None)
    assert code == 1
    assert why in found.text


def test_a_list_that_nobody_kept_is_not_known() -> None:
    found, code = judged(asked("tools", ("a",)), result(trace(Stage.OPEN), trace(Stage.LIST)))
    assert (found.met, found.text, code) == (None, "Which tools it lists is not known.", 1)


@pytest.mark.parametrize(
    ("wanted", "measured", "met", "text"),
    [
        (5, {}, True, "5 parallel workers are required, and 5 are safe."),
        (6, {}, False, "6 parallel workers are required, and only 5 are safe."),
        (1, {"recommended_workers": 1}, True, "1 parallel worker is required, and 1 is safe."),
        (1, NOTHING, None, "1 parallel worker is required, and how many are safe is not known. Nothing was measured"),
        (
            6,
            {"limiter": Kind.UNKNOWN, "stopped": Stop.BUDGET},
            None,
            "6 parallel workers are required; 5 are known to be safe, more is not known: measuring ended early (budg",
        ),
        (6, {"stopped": Stop.BUDGET}, False, "6 parallel workers are required, and only 5 are safe."),
    ],
)
def test_workers_are_compared_with_what_was_measured(
    wanted: int, measured: dict[str, Any], met: bool | None, text: str
) -> None:
    found, code = judged(asked("workers", wanted), healthy(), ceilings=(ceiling(**measured),))
    assert (found.met, code) == (met, 0 if met else 1)
    assert found.text.startswith(text)


def test_a_ceiling_of_another_configuration_proves_nothing() -> None:
    found, code = judged(asked("workers", 1), healthy(), ceilings=(ceiling(configuration=UNSIGNED),))
    assert (found.met, code) == (None, 1)
    assert "its ceiling was not measured" in found.text


def test_a_stand_in_counts_only_where_a_suite_asks_for_its_workers() -> None:
    results = (healthy(), replace(healthy(target="aws-knowledge"), configuration=FALLBACK.configuration))
    both = Report(results=results, ceilings=(ceiling(), FALLBACK))
    of_all = conclude(replace(both, required_workers=5), CATALOGUE)
    assert [(one.target, one.met) for one in of_all.requirements] == [("aws-mcp", True)]
    assert of_all.exit_code == 0
    own = (asked("workers", 5), asked("workers", 5, "aws-knowledge"))
    of_suite = conclude(replace(both, requirements=own), CATALOGUE)
    assert [(one.target, one.met) for one in of_suite.requirements] == [("aws-mcp", True), ("aws-knowledge", False)]
    assert [one.sufficient for one in of_suite.ceilings] == [True, False]
    assert "ceiling-too-low" in {one.check for one in of_suite.findings}
    assert of_suite.exit_code == 1


def test_the_option_goes_before_the_suite() -> None:
    report = Report(
        results=(healthy(),),
        ceilings=(ceiling(),),
        required_workers=4,
        requirements=(asked("workers", 50), asked("latency", 3600)),
    )
    once = conclude(report, CATALOGUE)
    assert [(one.name, one.wanted, one.met) for one in once.requirements] == [
        ("workers", 4, True),
        ("latency", 3600, True),
    ]
    assert once.exit_code == 0
    assert conclude(once, CATALOGUE) == once


def test_a_target_that_shall_fail_needs_no_workers() -> None:
    other = refused(403, MISMATCH, target="other", expected=Cause.UNEXPLAINED)
    report = conclude(Report(results=(healthy(), other), ceilings=(ceiling(),), required_workers=5), CATALOGUE)
    assert [one.target for one in report.requirements] == ["aws-mcp"]


def test_no_severity_excuses_a_requirement() -> None:
    report = Report(results=(listing("a"),), requirements=(asked("tools", ("b",)),))
    assert conclude(report, CATALOGUE, None).exit_code == 1
    assert report.results[0].configuration == SIGNED
    assert report.results[0].stages[-1].verdict is Verdict.PASSED


SUITE = Origin(file="mcpdoctor.toml", client=SUITE_NAME, server="targets[1]", line=3, column=1)


@pytest.mark.parametrize(
    ("one", "met", "words"),
    [
        (healthy(), False, "The suite expects wrong-region, and it works."),
        (refused(403, MISMATCH), False, "The suite expects wrong-region, and unexplained was seen."),
        (
            refused(429, headers={"retry-after": "1"}),
            None,
            "The suite expects wrong-region, and whether it shows is not known: the server throttled it.",
        ),
    ],
    ids=["it works", "another cause", "throttled"],
)
def test_an_expected_cause_that_is_not_seen_is_told(one: Result, met: bool | None, words: str) -> None:
    """Else nothing in the report says why the exit code is 1."""
    given = replace(one, expected=Cause.WRONG_REGION, origin=SUITE)
    report = conclude(Report(results=(given,)), CATALOGUE, Severity.ERROR)
    [found] = report.requirements
    assert (found.name, found.wanted, found.met, found.text) == ("expect", ("wrong-region",), met, words)
    assert (found.file, found.line, found.column) == ("mcpdoctor.toml", 3, 1)
    assert report.exit_code == 1
    assert conclude(report, CATALOGUE, Severity.ERROR) == report, "judging again changes nothing"
    assert words in " ".join(draw(report, "table", quiet=True).split())
    assert "as wanted" not in draw(report, "markdown")


def test_an_expected_cause_that_is_seen_needs_no_word() -> None:
    given = replace(refused(403, MISMATCH), expected=Cause.UNEXPLAINED)
    report = conclude(Report(results=(given,)), CATALOGUE, Severity.ERROR)
    assert (report.requirements, report.exit_code) == ((), 0)
