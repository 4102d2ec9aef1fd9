"""How a report is shown: on standard output, in files, in which colour and width."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from mcpdoctor.cli.options import Refusal

if TYPE_CHECKING:
    from mcpdoctor.model import Report


def show(report: Report, form: str, outputs: tuple[tuple[str, Path], ...], *, quiet: bool, verbose: int) -> None:
    """Write a report to the files that were asked for, and to standard output."""
    from mcpdoctor.render import draw

    color = in_color()
    width = click.get_current_context().terminal_width or columns()
    troubles = []
    for file_form, path in outputs:
        try:
            path.write_text(draw(report, file_form, verbose=verbose), encoding="utf-8")
        except OSError as error:
            troubles.append(f"{path}: cannot be written: {error.strerror or error}.")
    try:
        click.echo(draw(report, form, color=color, width=width, verbose=verbose, quiet=quiet), nl=False, color=color)
    except BrokenPipeError:
        # The reader of a pipe has gone (| head); the exit code still tells. Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        troubles.append(f"Standard output cannot be written: {error.strerror or error}.")
    if troubles:
        raise Refusal(" ".join(troubles))


def in_color(stream: TextIO | None = None) -> bool:
    """Colour on a terminal; NO_COLOR and FORCE_COLOR overrule. The stream is standard output unless it is given."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream is not None and stream.isatty())


def columns() -> int:
    """Width of the terminal, at most 120: longer lines are hard to read."""
    import shutil

    return min(shutil.get_terminal_size((120, 24)).columns, 120)
