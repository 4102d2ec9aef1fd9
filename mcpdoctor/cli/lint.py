"""`mcpdoctor lint`: validate files of clients and programs, without the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import options
from mcpdoctor.cli.showing import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpdoctor.clients.known import Known
    from mcpdoctor.linting import Gathered, Linted
    from mcpdoctor.model import LintFinding


@click.command(context_settings=options.CONTEXT, short_help="Validate files of MCP clients, and calls in Python code.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path())
@options.form("How to print; github is for annotations in a workflow.")
@options.output("Write the findings to a file too; its ending names the format. Repeatable.")
@click.option("--fix", is_flag=True, help="Rewrite what is safe to rewrite; shows the difference first.")
@click.option("--diff", is_flag=True, help="Show what --fix would change, and change nothing.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="The least severity of a finding that makes the exit code 1.",
)
@options.checks
@options.quiet("One line a finding, and nothing else.")
@options.refusing
def lint(
    paths: tuple[str, ...],
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    checks_dir: Path | None,
    fail_on: str,
    *,
    fix: bool,
    diff: bool,
    quiet: bool,
) -> None:
    """Validate configuration files of MCP clients, and calls in Python programs; nothing is sent or started.

    Each PATH is a file, or a directory whose files are searched. Without one, the client files of this user and of
    the project in the current directory are read. Servers that have nothing to do with AWS are left alone.

    \b
    Examples:
      mcpdoctor lint
      mcpdoctor lint .
      mcpdoctor lint .kiro/settings/mcp.json agent.py
      mcpdoctor lint --diff ~/.cursor/mcp.json
      mcpdoctor lint --fix .mcp.json
      mcpdoctor lint --format github .
      mcpdoctor lint --quiet -o sarif:lint.sarif .

    Exit codes: 0 no finding at or above --fail-on, 1 there is one, 2 usage or a PATH that cannot be read,
    3 no file to examine.
    """
    from mcpdoctor import __version__, linting
    from mcpdoctor.catalogue import load
    from mcpdoctor.clients.known import known
    from mcpdoctor.defects import known_defects
    from mcpdoctor.model import Report
    from mcpdoctor.redaction import clean

    catalogue, clients = load(checks_dir, stems=("config",)), known()
    places = linting.Places(home=Path.home(), project=Path.cwd(), environ=os.environ, platform=sys.platform)
    state, gathered = linting.gather(paths, catalogue, clients, places)
    rules = linting.Rules(
        catalogue=catalogue,
        known=clients,
        profiles=linting.profiles_of(places),
        defects=known_defects(),
        words=state.words,
        platform=places.platform,
    )

    def judge(file: Gathered) -> Linted:
        return linting.judge(file, rules)

    findings: list[LintFinding] = []
    for file in gathered:
        if fix or diff:
            file = _rewritten(file, judge, state.refused, clients, write=fix, aside=form != "table")  # noqa: PLW2901  # what is left is what counts
        findings += judge(file).findings
    for note in () if quiet else state.notes:
        click.echo(clean(note, limit=600), err=True)
    failed = options.severity(fail_on)
    code = int(failed is not None and linting.worst(findings) >= failed.weight)
    if not paths and not state.files:
        click.echo("No file of an MCP client was found for this user or in this directory; name a PATH.", err=True)
        code = 3
    code = 2 if state.refused else code
    report = Report(mcpdoctor=__version__, exit_code=code, lint=tuple(findings), lint_files=state.files)
    show(report, form, outputs, quiet=quiet, verbose=0)
    if state.refused:
        raise options.Refusal(clean(" ".join(state.refused), limit=2000))
    sys.exit(code)


def _rewritten(
    file: Gathered,
    judge: Callable[[Gathered], Linted],
    refused: list[str],
    known: Known,
    *,
    write: bool,
    aside: bool,
) -> Gathered:
    """Show the difference that edits make to a file, and write it where that is wanted."""
    from mcpdoctor import linting
    from mcpdoctor.model import Unusable

    after = linting.rewrite(file, judge)
    if after is None:
        return file
    click.echo(linting.difference(file, after, known), nl=False, err=aside)
    if not write:
        return file
    try:
        linting.save(Path(file.path), file, after)
    except Unusable as error:
        refused.append(str(error))
        return file
    return after
