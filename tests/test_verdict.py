"""The last word: what a report means as a whole, and the exit code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_diagnosis import CATALOGUE, MISMATCH, RPC_ERROR, SIGNED, UNSIGNED, healthy, refused, result, trace

from mcpdoctor.model import Cause, Ceiling, Configuration, Finding, Origin, Report, Result, Severity, Stage, Verdict
from mcpdoctor.samples import Kind, Stop
from mcpdoctor.verdict import conclude, exit_code

KNOWLEDGE = Configuration(endpoint="https://knowledge-mcp.global.api.aws")

# configurations -------------------------------------------------------------------------------------------------------


def code(*results: Result, interrupted: str | None = None, fail_on: Severity | None = Severity.ERROR) -> int:
    concluded = conclude(Report(results=results, interrupted=interrupted), CATALOGUE, fail_on)
    assert exit_code(concluded, concluded.results, concluded.best, fail_on) == concluded.exit_code
    return concluded.exit_code


EMPTY_LIST = result(trace(Stage.OPEN), trace(Stage.LIST, facts={"tool_count": 0}))


@pytest.mark.parametrize(
    ("results", "given", "exits"),
    [
        pytest.param([], {}, 3, id="nothing was examined"),
        pytest.param([healthy()], {}, 0, id="it works"),
        pytest.param([healthy(), refused(401, RPC_ERROR)], {}, 0, id="one of two works"),
        pytest.param([refused(401, RPC_ERROR)], {}, 1, id="none works"),
        pytest.param([refused(429)], {}, 1, id="not known because of throttling"),
        pytest.param([healthy(), refused(401, target="other")], {}, 1, id="one of two targets has none that works"),
        pytest.param([healthy()], {"interrupted": "deadline"}, 1, id="interrupted, whatever works"),
        pytest.param([result(trace(Stage.HTTP, Verdict.BROKEN)), healthy()], {}, 70, id="mcpdoctor broke"),
        pytest.param(
            [result(trace(Stage.HTTP, Verdict.BROKEN))], {"interrupted": "interrupted"}, 70, id="broke goes before"
        ),
        pytest.param([EMPTY_LIST], {}, 0, id="a warning is no failure"),
        pytest.param([EMPTY_LIST], {"fail_on": Severity.WARNING}, 1, id="unless it is to be one"),
        pytest.param([EMPTY_LIST], {"fail_on": None}, 0, id="never"),
        pytest.param([refused(401, RPC_ERROR)], {"fail_on": None}, 1, id="never is about findings, not about working"),
        pytest.param(
            [refused(401, RPC_ERROR, configuration=UNSIGNED, expected=Cause.UNSIGNED)], {}, 0, id="fails as expected"
        ),
        pytest.param(
            [refused(401, RPC_ERROR, configuration=UNSIGNED, expected=Cause.TIMEOUT)], {}, 1, id="fails otherwise"
        ),
        pytest.param([healthy(expected=Cause.UNSIGNED)], {}, 1, id="works although it was to fail"),
        pytest.param(
            [healthy(), refused(401, RPC_ERROR, configuration=UNSIGNED, expected=Cause.UNSIGNED)],
            {},
            0,
            id="works beside one that fails as expected",
        ),
        pytest.param(
            [healthy(), refused(401, RPC_ERROR, configuration=UNSIGNED, expected=Cause.TIMEOUT)],
            {},
            1,
            id="works beside one that fails otherwise",
        ),
        pytest.param(
            [refused(403, MISMATCH), refused(401, RPC_ERROR, configuration=UNSIGNED, expected=Cause.UNSIGNED)],
            {},
            1,
            id="what has no expectation must work",
        ),
    ],
)
def test_the_exit_code_says_whether_every_target_is_as_wanted(
    results: list[Result], given: dict[str, Any], exits: int
) -> None:
    assert code(*results, **given) == exits


def test_the_finding_that_fails_a_run_is_one_of_the_best_configuration() -> None:
    other = replace(EMPTY_LIST, configuration=UNSIGNED)
    assert code(healthy(), other, fail_on=Severity.WARNING) == 0


# ceilings -------------------------------------------------------------------------------------------------------------


def ceiling(target: str = "aws-mcp", configuration: Configuration = SIGNED, **given: Any) -> Ceiling:
    usual: dict[str, Any] = {
        "limiter": Kind.SESSIONS,
        "confidence": 0.99,
        "posterior": {Kind.SESSIONS: 0.99, Kind.RATE: 0.01},
        "highest_clean": 7,
        "lowest_refused": 8,
        "interval": (7, 7),
        "rate_per_s": None,
        "burst": None,
        "recommended_workers": 5,
        "requests": 54,
        "refused": 3,
        "elapsed_s": 6.0,
        "stopped": Stop.RESOLVED,
        "samples": (),
    }
    return Ceiling(target=target, configuration=configuration, **{**usual, **given})


NOTHING: dict[str, Any] = {"highest_clean": 0, "interval": None, "recommended_workers": 1}
FALLBACK = ceiling("aws-knowledge", KNOWLEDGE, recommended_workers=3)


@pytest.mark.parametrize(
    ("report", "exits"),
    [
        pytest.param(Report(ceilings=(ceiling(),)), 0, id="measured"),
        pytest.param(Report(ceilings=(ceiling(**NOTHING),)), 1, id="no session was opened"),
        pytest.param(Report(ceilings=(ceiling(), ceiling(configuration=UNSIGNED, **NOTHING))), 0, id="one of two"),
        pytest.param(Report(ceilings=(ceiling(), ceiling("other", **NOTHING))), 1, id="one of two targets"),
        pytest.param(Report(ceilings=(ceiling(),), interrupted="interrupted"), 1, id="interrupted"),
        pytest.param(Report(interrupted="interrupted"), 1, id="interrupted before anything was known"),
        pytest.param(Report(), 3, id="nothing was measured"),
        pytest.param(
            Report(ceilings=(ceiling(),), results=(refused(401, RPC_ERROR, configuration=UNSIGNED),)),
            0,
            id="one is turned away beside one that was measured",
        ),
        pytest.param(
            Report(ceilings=(ceiling(),), results=(refused(401, RPC_ERROR, target="other"),)),
            1,
            id="a whole target is turned away",
        ),
        pytest.param(Report(ceilings=(ceiling(stopped=Stop.FAILURE),)), 0, id="a warning is no failure"),
        pytest.param(Report(ceilings=(ceiling(),), required_workers=5), 0, id="enough workers"),
        pytest.param(Report(ceilings=(ceiling(),), required_workers=6), 1, id="too few workers"),
        pytest.param(Report(ceilings=(ceiling(**NOTHING),), required_workers=1), 1, id="not even one worker"),
        pytest.param(Report(results=(healthy(),), required_workers=1), 1, id="workers required, nothing measured"),
        pytest.param(Report(results=(healthy(),), ceilings=(ceiling(),), required_workers=5), 0, id="proved"),
        pytest.param(Report(ceilings=(ceiling(), FALLBACK), required_workers=5), 0, id="a fallback may have fewer"),
        pytest.param(Report(ceilings=(FALLBACK,), required_workers=5), 1, id="unless it is all there is"),
    ],
)  # fmt: skip
def test_the_exit_code_says_whether_every_ceiling_is_as_wanted(report: Report, exits: int) -> None:
    assert conclude(report, CATALOGUE).exit_code == exits


def test_a_requirement_is_no_finding_that_can_be_waived() -> None:
    report = Report(ceilings=(ceiling(),), required_workers=6)
    assert conclude(report, CATALOGUE, None).exit_code == 1
    failing = Report(ceilings=(ceiling(stopped=Stop.FAILURE),))
    assert conclude(failing, CATALOGUE, Severity.WARNING).exit_code == 1
    assert conclude(failing, CATALOGUE, None).exit_code == 0


def test_judging_a_report_with_ceilings_again_changes_nothing_and_keeps_what_is_not_about_them() -> None:
    other = Finding(
        check="auth-fallback", cause=Cause.UNSIGNED, severity=Severity.INFO, title="", text="kept", remedy=""
    )
    report = Report(ceilings=(ceiling(), FALLBACK), required_workers=6, findings=(other,))
    once = conclude(report, CATALOGUE)
    assert [one.check for one in once.findings][:2] == ["auth-fallback", "ceiling-too-low"]
    assert conclude(once, CATALOGUE) == once
    relaxed = conclude(replace(once, required_workers=5), CATALOGUE)
    assert "ceiling-too-low" not in {one.check for one in relaxed.findings}
    assert relaxed.exit_code == 0


# entries of client files ----------------------------------------------------------------------------------------------

ENTRY = Origin(file="mcp.json", client="Kiro", server="it", line=3, column=5)


def untried(target: str = "mcp.json:off") -> Result:
    skipped = [replace(trace(stage, Verdict.SKIPPED), reason="the entry is switched off") for stage in Stage]
    return replace(result(*skipped), target=target, origin=ENTRY)


def test_what_was_not_tried_says_nothing() -> None:
    assert code(untried()) == 3
    assert code(untried(), healthy()) == 0
    assert code(untried(), refused(401, RPC_ERROR)) == 1


def test_what_an_interruption_kept_from_being_tried_is_no_such_thing() -> None:
    assert not replace(untried(), origin=None).untried
    assert code(untried(), interrupted="interrupted") == 1
