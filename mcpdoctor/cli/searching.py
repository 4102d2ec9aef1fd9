"""What `ceiling` and `check --ceiling` share: how to search, asking first, and progress."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mcpdoctor.ceiling import Settings
    from mcpdoctor.matrix import Plan
    from mcpdoctor.measuring import Observer

MOST = 16


def search_of(
    most: int | None, budget: tuple[int, int, float], *, quick: bool, required: int | None = None
) -> Settings:
    """How to search.

    Args:
        most: the value of `--max`; where it was not given, as much as it takes to prove the required workers.
        budget: requests, refusals and seconds.
        quick: sprint and ladder only.
        required: the value of `--require-workers`.
    """
    from mcpdoctor.ceiling import Budget, Settings
    from mcpdoctor.ceiling.workers import SHARE

    if most is None:
        most = MOST if required is None else max(MOST, math.ceil(required / SHARE))
    requests, refusals, seconds = budget
    return Settings(most=most, quick=quick, budget=Budget(requests=requests, refusals=refusals, seconds=seconds))


def notice(plan: Plan, search: Settings, *, best: bool, machines: str = "") -> str:
    """What is about to be sent, to whom, and at most how much of it."""
    budget, lines = search.budget, []
    for cell in plan.cells:
        one = cell.configuration
        lines.append(f"  {one.endpoint} {f'signed with {one.credential}' if one.signed else 'unsigned'}")
    head = "Measures the best configuration of each target of:" if best else "Measures, one after another:"
    return "\n".join(
        [
            head,
            *dict.fromkeys(lines),
            f"Each gets at most {budget.requests} requests in {budget.seconds:g} s, of which at most {budget.refusals} "
            f"are refused; up to {search.most} sessions at a time.",
            *([machines] if machines else []),
            "It counts against the quota of the account or address, and whoever shares that may be refused meanwhile.",
        ]
    )


def consent(
    plan: Plan,
    search: Settings,
    *,
    asked: bool,
    best: bool = False,
    machines: str = "",
    written: bool = False,
    quiet: bool = False,
) -> None:
    """Say what is about to be sent, and ask.

    Args:
        plan: what is measured.
        search: how.
        asked: whether to ask; not against the lab, and not after `--yes`.
        best: whether only the best configuration of each target is measured.
        machines: from where, where that is not here alone.
        written: whether a suite file asks for it. On a terminal that is no consent, since the file may come with a
            project of somebody else; where nobody can be asked, it is: who put it there runs it there.
        quiet: whether not to say what is sent where nobody is asked.

    Raises:
        click.UsageError: nobody is there to answer, or the plan holds a bearer token.
        click.Abort: the answer was no.
    """
    if any(cell.configuration.bearer for cell in plan.cells):
        raise click.UsageError("A ceiling is not measured with a bearer token; check tells whether the token is taken.")
    if not asked:
        return
    if os.environ.get("CI") or not (sys.stdin and sys.stdin.isatty()):
        if written:
            if not quiet:
                click.echo(notice(plan, search, best=best, machines=machines), err=True)
            return
        budget = search.budget
        raise click.UsageError(
            f"Measuring a ceiling sends up to {budget.requests} requests to each configuration; add --yes to do that."
        )
    click.echo(notice(plan, search, best=best, machines=machines), err=True)
    click.confirm("Go on?", abort=True, err=True)


@contextmanager
def watching(*, quiet: bool) -> Iterator[Observer | None]:
    """Live progress on a terminal; nothing in CI, in a pipe, or when asked to be quiet."""
    if quiet or os.environ.get("CI") or not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    from mcpdoctor.render.progress import Searching

    with Searching() as searching:
        yield searching
