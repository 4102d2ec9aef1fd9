"""Draw a report. Drawing only: whatever needs judgement was judged before."""

from __future__ import annotations

from mcpdoctor.model import Report

FORMATS = ("table", "json")
"""What a report can be drawn as."""

SUFFIXES = {".json": "json", ".txt": "table"}
"""File name endings that name a format by themselves."""


def draw(
    report: Report, form: str, *, color: bool = False, width: int = 120, verbose: int = 0, quiet: bool = False
) -> str:
    """Draw `report` as `form`.

    Args:
        report: judged.
        form: one of FORMATS.
        color: ANSI colours, for a terminal.
        width: columns of the terminal.
        verbose: 1 adds the stages, 2 the exchanges.
        quiet: one line a target.

    Returns:
        The text, with a line end at its end.
    """
    if any("?" in one.configuration.endpoint for one in report.results):
        from mcpdoctor.render.hiding import hidden

        report = hidden(report)
    if form == "json":
        from mcpdoctor.render.report_json import dumps

        return dumps(report)
    if report.lint and not report.results and not report.ceilings:
        from mcpdoctor.render.lint import lines

        return lines(report.lint, len({one.file for one in report.lint}), color=color, width=width, quiet=quiet)
    from mcpdoctor.render.table import table

    return table(report, color=color, width=width, verbose=verbose, quiet=quiet)
