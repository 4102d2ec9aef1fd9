"""Draw a report. Drawing only: whatever needs judgement was judged before."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcpdoctor.model import Report

FORMATS = ("table", "json", "junit", "markdown", "github", "sarif", "html", "openmetrics")
"""What a report can be drawn as."""

SUFFIXES = {
    ".json": "json",
    ".txt": "table",
    ".xml": "junit",
    ".md": "markdown",
    ".sarif": "sarif",
    ".sarif.json": "sarif",
    ".html": "html",
    ".htm": "html",
    ".prom": "openmetrics",
}
"""File name endings that name a format by themselves."""


def output_of(text: str) -> tuple[str, str]:
    """Format and file of `[FORMAT:]FILE`; the ending of the file names the format where nothing else does.

    Raises:
        Unusable: nothing says which format.
    """
    from difflib import get_close_matches

    from mcpdoctor.model import Unusable

    form, colon, name = text.partition(":")
    if colon and form in FORMATS:
        if not name:
            raise Unusable(f"{text} names no file; write {form}:FILE.")
        return form, name
    if colon and re.fullmatch(r"[A-Za-z]{2,}", form):  # one letter is a drive
        near = get_close_matches(form, FORMATS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"write {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        raise Unusable(f"{text}: {form} is no format; {hint} A file of that name is ./{text}.")
    endings = [one for one in SUFFIXES if text.lower().endswith(one)]
    if not endings:
        raise Unusable(
            f"{text} does not say its format; write FORMAT:FILE with {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        )
    return SUFFIXES[max(endings, key=len)], text


def draw(
    report: Report, form: str, *, color: bool = False, width: int = 120, verbose: int = 0, quiet: bool = False
) -> str:
    """Draw `report` as `form`; but for `table`, the same report always gives the same text.

    Args:
        report: judged.
        form: one of FORMATS.
        color: of a table: ANSI colours, for a terminal.
        width: of a table: columns of the terminal.
        verbose: of a table: 1 adds the stages, 2 the exchanges.
        quiet: of a table: one line a target.

    Returns:
        The text, with a line end at its end.
    """
    if any("?" in one.configuration.endpoint for one in report.results):
        from mcpdoctor.render.hiding import hidden

        report = hidden(report)
    if form == "table":
        return _table(report, color=color, width=width, verbose=verbose, quiet=quiet)
    # Each is imported where it is needed: nobody waits for the others.
    module = import_module(f"mcpdoctor.render.{'report_json' if form == 'json' else form}")
    return str(module.dumps(report))


def _table(report: Report, *, color: bool, width: int, verbose: int, quiet: bool) -> str:
    from mcpdoctor.render.digest import quieted

    if (report.lint or report.lint_files) and not report.results and not report.ceilings:
        from mcpdoctor.render.lint import lines

        return quieted(lines(report.lint, report.lint_files, color=color, width=width, quiet=quiet))
    from mcpdoctor.render.table import table

    return quieted(table(report, color=color, width=width, verbose=verbose, quiet=quiet))
