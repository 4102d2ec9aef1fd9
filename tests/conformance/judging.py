"""What was expected of a scenario, and whether it came so."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Side = Literal["client", "server"]

EXPECTED = Path(__file__).with_name("expected.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one scenario ended.

    Attributes:
        side: what was tested: mcpdoctor as the client, or a server of the lab.
        scenario: its name in the suite.
        suite: the version of the suite.
        subject: the server of the lab; for a client, what mcpdoctor said.
        passed: what the suite says.
        why: in its words, what went wrong; beside a scenario that passed, what it warns of.
    """

    side: Side
    scenario: str
    suite: str
    subject: str
    passed: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure that is expected, and its reason."""

    side: Side
    scenarios: tuple[str, ...]
    suites: tuple[str, ...]
    subjects: tuple[str, ...]
    why: str

    def covers(self, outcome: Outcome) -> bool:
        """Whether it speaks of this scenario in this suite, with this subject; none named means all."""
        return (
            self.side == outcome.side
            and outcome.scenario in self.scenarios
            and (not self.suites or outcome.suite in self.suites)
            and (not self.subjects or outcome.subject in self.subjects)
        )


def read_expected(path: Path = EXPECTED) -> tuple[Failure, ...]:
    """Read the expected failures."""
    return tuple(
        Failure(
            side=one["side"],
            scenarios=tuple(one["scenarios"]),
            suites=tuple(one.get("suites", ())),
            subjects=tuple(one.get("subjects", ())),
            why=" ".join(one["why"].split()),
        )
        for one in tomllib.loads(path.read_text())["failure"]
    )


def reason(outcome: Outcome, expected: Iterable[Failure]) -> str | None:
    """Why it is expected to fail; None for a scenario that should pass."""
    return next((failure.why for failure in expected if failure.covers(outcome)), None)


def surprises(outcomes: Iterable[Outcome], expected: tuple[Failure, ...]) -> list[str]:
    """What did not come as expected, a line each: failures without a reason, and reasons without a failure."""
    lines = []
    for outcome in outcomes:
        wanted = reason(outcome, expected)
        name = f"{outcome.side} {outcome.scenario} ({outcome.suite}; {outcome.subject})"
        if not outcome.passed and wanted is None:
            lines.append(f"{name} failed: {outcome.why}")
        elif outcome.passed and wanted is not None:
            lines.append(f"{name} passed, and is listed as an expected failure: {wanted}")
    return lines
