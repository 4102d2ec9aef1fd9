"""All cases, in the order of the facts, and which rows of the facts there are."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from field.bench import Case

ROWS = (
    *(str(number) for number in range(1, 37)),
    "36a",
    "36b",
    *(str(number) for number in range(37, 61)),
    *(f"60{letter}" for letter in "abcde"),
    "61",
)
"""Section 6 of the facts, row by row."""

AREAS = tuple(
    path.stem
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem not in ("__init__", "bench", "cases", "messages", "page")
)


def place(case: Case) -> tuple[int, str]:
    """Where a case stands among the others."""
    number, letter = re.fullmatch(r"(\d+)([a-z]?)", case.rows[0]).groups()  # type: ignore[union-attr]
    return int(number), letter


CASES: tuple[Case, ...] = tuple(
    sorted((case for area in AREAS for case in import_module(f"field.{area}").CASES), key=place)
)


def score() -> tuple[int, int]:
    """How many rows have a case that is reproduced, and how many rows there are."""
    return len({row for case in CASES if case.reproduce for row in case.rows}), len(ROWS)
