"""`mcpdoctor render`: draw a saved report again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mcpdoctor.cli import options
from mcpdoctor.cli.showing import show


@click.command(
    context_settings=options.CONTEXT, short_help="Draw a saved report again, judged with the checks of today."
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False, metavar="REPORT.json")
@options.form("Format to draw.")
@options.output("Write to a file too; its ending names the format. Repeatable.")
@click.option("--as-judged", is_flag=True, help="Keep the findings of the report; do not judge it again.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a report, and nothing else.")
@options.fail_on
@options.checks
@options.quiet("One line a target in place of the table.")
@options.verbose
@options.refusing
def render(
    file: Path | None,
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    fail_on: str,
    checks_dir: Path | None,
    *,
    as_judged: bool,
    schema: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Draw a saved report again; its evidence is judged with the checks of today.

    \b
    Examples:
      mcpdoctor check --format json > report.json; mcpdoctor render report.json
      mcpdoctor render report.json -o report.html -o junit:report.xml
      mcpdoctor render --schema

    Exit codes: that of the report, judged again (0, 1 or 3); 2 a report that cannot be read.
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.render import report_json
    from mcpdoctor.verdict import conclude

    if schema:
        import json

        click.echo(json.dumps(report_json.schema(), indent=2))
        return
    if file is None:
        raise click.UsageError("Name a report, or - for standard input.")
    if str(file) == "-":
        report = report_json.loads(sys.stdin.read(report_json.MAX_FILE), source="standard input")
    else:
        report = report_json.load(file)
    if not as_judged:
        report = conclude(report, load(checks_dir), options.severity(fail_on))
    show(report, form, outputs, quiet=quiet, verbose=verbose)
    sys.exit(report.exit_code)
