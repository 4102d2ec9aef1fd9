"""Every problem that users reported is brought about, and named by the command that the page of them shows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from field.bench import Bench, Case
from field.cases import CASES, ROWS, score
from field.page import page

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.lab import Lab

REPRODUCED = [pytest.param(case, id=case.name) for case in CASES if case.reproduce]


NAMED: set[str] = set()
"""Rows of which a case was named in this session of pytest."""


@pytest.fixture
def bench(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(lab, monkeypatch, tmp_path)


@pytest.mark.parametrize("case", REPRODUCED)
def test_a_reported_problem_is_named(case: Case, bench: Bench) -> None:
    assert case.reproduce
    shown = case.reproduce(bench)
    assert case.check in shown.checks, shown.output
    assert case.says in " ".join(shown.output.split())
    NAMED.update(case.rows)


def test_every_row_is_there_and_says_what_names_it_or_why_nothing_can(catalogue: Catalogue) -> None:
    assert {row for case in CASES for row in case.rows} == set(ROWS)
    for case in CASES:
        assert case.symptom
        assert case.reported
        assert bool(case.reproduce) == bool(case.command) == bool(case.check) == (not case.why_not), case.name
        assert not case.check or case.check in catalogue.checks
        assert not case.command or shlex.split(case.command)[0] == "mcpdoctor"


def test_the_page_and_the_readme_tell_the_score() -> None:
    root = Path(__file__).parents[1]
    assert (root / "docs/field-cases.md").read_text(encoding="utf-8") == page()
    named, count = score()
    assert f"{named} of {count}" in (root / "README.md").read_text(encoding="utf-8")
