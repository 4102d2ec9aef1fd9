"""`mcpdoctor diff`: what changed between two runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import options

if TYPE_CHECKING:
    from mcpdoctor.model import Report


@click.command(context_settings=options.CONTEXT, short_help="Say what changed between two saved reports.")
@click.argument("old", type=click.Path(path_type=Path, allow_dash=True), metavar="OLD.json")
@click.argument("new", type=click.Path(path_type=Path, allow_dash=True), metavar="NEW.json")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to print what changed.",
)
@options.quiet("Print nothing; the exit code tells.")
@options.refusing
def diff(old: Path, new: Path, form: str, *, quiet: bool) -> None:
    """Say what changed between two saved reports: it worked yesterday and fails today.

    Configurations are matched by what they are, not by their order. Told are results, stages, findings, headers,
    facts (provider, certificate, expiry, tools), versions and ceilings; not what differs in every run, such as times
    and request ids. A stage is slower when it takes three times as long and a second longer.

    \b
    Examples:
      mcpdoctor check -o yesterday.json
      mcpdoctor diff yesterday.json today.json
      mcpdoctor diff --format markdown yesterday.json today.json
      mcpdoctor check --format json | mcpdoctor diff yesterday.json -

    Exit codes: 0 nothing got worse, 1 something did, 2 a report cannot be read.
    """
    from mcpdoctor.cli.showing import columns, in_color
    from mcpdoctor.comparing import compare
    from mcpdoctor.render import differences

    if str(old) == "-" == str(new):
        raise click.UsageError("Only one of the reports can come from standard input.")
    found = compare(_read(old), _read(new))
    if not quiet:
        color = in_color()
        click.echo(differences.draw(found, form, color=color, width=columns()), nl=False, color=color)
    sys.exit(int(found.worse))


def _read(path: Path) -> Report:
    from mcpdoctor.render import report_json

    if str(path) == "-":
        return report_json.loads(sys.stdin.read(report_json.MAX_FILE), source="standard input")
    return report_json.load(path)
