"""How a report is shown: on standard output, in files, in which colour and width."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from mcpdoctor.cli.options import Refusal

if TYPE_CHECKING:
    from mcpdoctor.model import Report


def show(report: Report, form: str, outputs: tuple[tuple[str, Path], ...], *, quiet: bool, verbose: int) -> None:
    """Write a report to the files that were asked for, to the summary of a GitHub job, and to standard output."""
    from mcpdoctor.render import draw

    color = in_color()
    width = click.get_current_context().terminal_width or columns()
    troubles = [
        trouble for file_form, path in outputs if (trouble := written(path, draw(report, file_form, verbose=verbose)))
    ]
    if "github" in (form, *(file_form for file_form, _ in outputs)):
        troubles += _summarized(report)
    try:
        click.echo(draw(report, form, color=color, width=width, verbose=verbose, quiet=quiet), nl=False, color=color)
    except BrokenPipeError:
        # The reader of a pipe has gone (| head); the exit code still tells. Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        troubles.append(f"Standard output cannot be written: {error.strerror or error}.")
    if any(troubles):
        raise Refusal(" ".join(filter(None, troubles)))


def written(path: Path, text: str) -> str:
    """Write a file, so that whoever reads it sees the old one or the whole new one; what hindered it, or nothing."""
    try:
        _write(path, text.encode("utf-8", errors="replace"))
    except OSError as error:
        return f"{path}: cannot be written: {error.strerror or error}."
    return ""


def _write(path: Path, data: bytes) -> None:
    path = path.resolve()  # a link stays one
    if (path.exists() and not path.is_file()) or not os.access(path.parent, os.W_OK):
        path.write_bytes(data)  # a pipe or a device, or a directory in which nothing else can be made
        return
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    fresh = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        with fresh.open("xb") as file:
            file.write(data)
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _summarized(report: Report) -> list[str]:
    """Append the report to the summary of a GitHub job, where there is one; what hindered it."""
    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        return []
    from mcpdoctor.render.markdown import MAX_SUMMARY, summary

    path = Path(name)
    try:
        taken = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as file:
            file.write(summary(report, MAX_SUMMARY - taken))
    except OSError as error:
        return [f"{name} (GITHUB_STEP_SUMMARY): cannot be written: {error.strerror or error}."]
    return []


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
