"""`mcpdoctor run`: run a program, and explain its failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import completing, options
from mcpdoctor.cli.showing import columns, in_color, written

if TYPE_CHECKING:
    from mcpdoctor.running import Run


@click.command(
    context_settings={**options.CONTEXT, "allow_interspersed_args": False},  # options behind COMMAND are its own
    options_metavar="[OPTIONS] [--]",
    short_help="Run a program, record its MCP exchanges, explain its failure.",
)
@click.argument(
    "command", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED, shell_complete=completing.files
)
@click.option("--always", is_flag=True, help="Report after a success too.")
@options.output("Write a report to a file, whether the program fails or not.")
@options.checks
@options.quiet("No table of the exchanges, only the explanation.")
def run(
    command: tuple[str, ...],
    outputs: tuple[tuple[str, Path], ...],
    checks_dir: Path | None,
    *,
    always: bool,
    quiet: bool,
) -> None:
    """Run a program, record its MCP exchanges, and explain its failure.

    Input, output, signals and exit code pass through unchanged. Where the program is Python, every MCP request of it
    and of its child processes is recorded, so that a cause is named even if the program swallows it. The report goes
    to standard error, after a failure only. The program needs nothing installed.

    \b
    Examples:
      mcpdoctor run python agent.py
      mcpdoctor run --always -o report.json -- python -m my_agent --verbose
      mcpdoctor run uvx mcp-proxy-for-aws-cli https://aws-mcp.us-east-1.api.aws/mcp

    Exit codes: that of the program; 127 when there is no such command, 126 when it cannot be executed.
    """
    from mcpdoctor import running

    if checks_dir is not None:
        from mcpdoctor.catalogue import load

        options.refusing(load)(checks_dir)  # now rather than when the program has run

    def report(ended: Run) -> None:
        explain_run(ended, outputs, checks_dir, show=always or ended.failed, quiet=quiet)

    running.execute(command, os.environ, report, always=always or bool(outputs))


def explain_run(
    ended: Run,
    outputs: tuple[tuple[str, Path], ...] = (),
    checks_dir: Path | None = None,
    *,
    show: bool = True,
    quiet: bool = False,
) -> None:
    """Tell standard error what was recorded and what it means, and write the reports that were asked for."""
    from mcpdoctor.catalogue import load
    from mcpdoctor.explanation import explain_recording
    from mcpdoctor.model import Cause
    from mcpdoctor.render import draw
    from mcpdoctor.render.recording import table
    from mcpdoctor.running import say

    catalogue = load(checks_dir)
    recording = ended.recording()
    explanation = explain_recording(recording, catalogue)
    if show:
        color = in_color(sys.stderr)
        if ended.directory is None:
            say("Nothing could be recorded, for want of a directory to write to; set TMPDIR.\n")
        drawn = "" if quiet else table(recording, color=color, width=columns())
        # Where there was nothing to explain, or nothing to explain it from, that has been said by now.
        silent = explanation.cause is Cause.UNEXPLAINED and not (ended.failed and recording.exchanges)
        say("\n" + "\n".join(filter(None, (drawn, "" if silent else str(explanation)))) + "\n")
    for form, path in outputs:
        report = ended.report(recording, catalogue, explanation.findings)
        if trouble := written(path, draw(report, form)):
            say(f"{trouble}\n")
