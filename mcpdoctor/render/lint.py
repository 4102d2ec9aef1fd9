"""Draw what lint found, as compilers print it."""

from __future__ import annotations

from collections.abc import Sequence

from mcpdoctor.limits import plural
from mcpdoctor.model import LintFinding, Severity
from mcpdoctor.render.drawing import Paint, wrapped

_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def lines(
    findings: Sequence[LintFinding], files: int, *, color: bool = False, width: int = 120, quiet: bool = False
) -> str:
    """`file:line:column: severity: text [check]`, each with its remedy below it.

    Args:
        findings: by file and line.
        files: how many files were looked into.
        color: ANSI colours, for a terminal.
        width: columns of the terminal; remedies are wrapped to it, findings never are.
        quiet: no remedies and no summary.
    """
    paint = Paint(on=color)
    drawn = []
    for one in findings:
        place = paint(f"{one.file}:{one.line}:{one.column}:", bold=True)
        severity = paint(f"{one.severity.value}:", fg=_COLORS[one.severity], bold=True)
        drawn.append(f"{place} {severity} {one.text} [{one.check}]")
        if not quiet:
            drawn += wrapped(one.remedy, width, "    ")
    if not quiet:
        drawn.append(summary(findings, files))
    return "".join(f"{line}\n" for line in drawn)


def summary(findings: Sequence[LintFinding], files: int) -> str:
    """How much was found, and in how many files."""
    of = f"in {plural(files, 'file')}"
    counts = [(severity, sum(one.severity is severity for one in findings)) for severity in Severity]
    found = [plural(count, _noun(severity)) for severity, count in counts if count]
    fixable = sum(one.fixable for one in findings)
    more = f"; --fix can put {fixable} of them right" if fixable else ""
    return f"{', '.join(found)} {of}{more}." if found else f"Nothing found {of}."


def _noun(severity: Severity) -> str:
    return "note" if severity is Severity.INFO else severity.value
