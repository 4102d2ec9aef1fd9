"""Every problem that users reported is brought about, and named by the command that the page of them shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from field.bench import Bench, Case
from field.cases import CASES

from mcpdoctor.lab import Lab

REPRODUCED = [pytest.param(case, id=case.name) for case in CASES if case.reproduce]


@pytest.fixture
def bench(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(lab, monkeypatch, tmp_path)


@pytest.mark.parametrize("case", REPRODUCED)
def test_a_reported_problem_is_named(case: Case, bench: Bench) -> None:
    assert case.reproduce
    shown = case.reproduce(bench)
    assert case.check in shown.checks, shown.output
    assert case.says in " ".join(shown.output.split())
