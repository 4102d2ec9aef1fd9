"""Draw what came of a run: the table on the terminal, and the page in docs/."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby

from .judging import Failure, Outcome, Side, reason

HEAD = ("scenario", "side")


def table(outcomes: Sequence[Outcome], expected: tuple[Failure, ...]) -> str:
    """The table in Markdown: a row for each scenario and side, a column for each version of the suite."""
    suites = list(dict.fromkeys(outcome.suite for outcome in outcomes))
    lines = []
    for side in ("client", "server"):
        mine = [outcome for outcome in outcomes if outcome.side == side]
        if mine:
            lines += [_heading(side, suites), *_rows(mine, suites, expected), ""]
    return "\n".join(lines)


def document(outcomes: Sequence[Outcome], expected: tuple[Failure, ...], *, suites: Iterable[str], day: date) -> str:
    """The page `docs/conformance.md`."""
    totals = []
    for side, subject in (("client", "`mcpdoctor check` as the client"), ("server", "servers of the lab")):
        for suite, mine in groupby((one for one in outcomes if one.side == side), key=lambda one: one.suite):
            listed = list(mine)
            good = sum(one.passed for one in listed)
            known = sum(not one.passed and reason(one, expected) is not None for one in listed)
            row = f"| {suite} | {subject} | {len(listed)} | {good} | {known} | {len(listed) - good - known} |"
            totals.append(row)
    reasons = list(dict.fromkeys(failure.why for failure in expected))
    listing = "\n".join(f"{number}. {why}" for number, why in enumerate(reasons, 1))
    warned = dict.fromkeys(f"- {one.scenario}: {one.why}" for one in outcomes if one.passed and one.why)
    warnings = (
        "\n".join(["Warnings are about what MCP recommends and does not require:", "", *warned]) if warned else ""
    )
    versions = " and ".join(suites)
    return (
        f"""# Conformance

The [conformance suite of the MCP project](https://github.com/modelcontextprotocol/conformance),
versions {versions}, on {day.isoformat()}: its client scenarios with `mcpdoctor check` as the client, its server
scenarios against the healthy servers of the lab.
`make conformance` runs it again and writes this page; it needs Node.js and npm.
It ends with exit code 1 when a scenario fails that `tests/conformance/expected.toml` does not explain, or passes that
is listed there.

| suite | tested | run | passed | failed, explained | failed |
|---|---|---|---|---|---|
{chr(10).join(totals)}

A scenario that fails has the number of its reason beside it.

{listing}

## Scenarios

The column `mcpdoctor says` holds what `mcpdoctor check` made of the scenario's server.

{table(outcomes, expected).rstrip()}

{warnings}
""".rstrip()
        + "\n"
    )


def _heading(side: Side, suites: Sequence[str]) -> str:
    cells = [*HEAD, *suites, "mcpdoctor says" if side == "client" else "servers"]
    return f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}"


def _rows(outcomes: Sequence[Outcome], suites: Sequence[str], expected: tuple[Failure, ...]) -> list[str]:
    reasons = list(dict.fromkeys(failure.why for failure in expected))
    rows = []
    for scenario in dict.fromkeys(outcome.scenario for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.scenario == scenario]
        cells = [_result([one for one in mine if one.suite == suite], reasons, expected) for suite in suites]
        subjects = list(dict.fromkeys(outcome.subject for outcome in mine))
        words = "; ".join(subjects) if mine[0].side == "client" else str(len(subjects))
        rows.append(f"| {scenario} | {mine[0].side} | {' | '.join(cells)} | {words} |")
    return rows


def _result(outcomes: Sequence[Outcome], reasons: Sequence[str], expected: tuple[Failure, ...]) -> str:
    if not outcomes:
        return "-"
    failed = [one for one in outcomes if not one.passed]
    if not failed:
        return "passed with warnings" if any(one.why for one in outcomes) else "passed"
    why = reason(failed[0], expected)
    number = f" ({reasons.index(why) + 1})" if why is not None else " (not explained)"
    which = "" if len(failed) == len(outcomes) else f" on {', '.join(one.subject for one in failed)}"
    return f"failed{which}{number}"
