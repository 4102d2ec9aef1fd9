"""Draw what lint found: as compilers print it, and as annotations of GitHub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mcpdoctor.limits import plural
from mcpdoctor.model import LintFinding, Severity
from mcpdoctor.render.drawing import Paint, wrapped

_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


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
        drawn.append(_summary(findings, files))
    return "".join(f"{line}\n" for line in drawn)


def _summary(findings: Sequence[LintFinding], files: int) -> str:
    of = f"in {plural(files, 'file')}"
    counts = [(severity, sum(one.severity is severity for one in findings)) for severity in Severity]
    found = [plural(count, _noun(severity)) for severity, count in counts if count]
    fixable = sum(one.fixable for one in findings)
    more = f"; --fix can put {fixable} of them right" if fixable else ""
    return f"{', '.join(found)} {of}{more}." if found else f"Nothing found {of}."


def _noun(severity: Severity) -> str:
    return "note" if severity is Severity.INFO else severity.value


def workflow_commands(findings: Iterable[LintFinding]) -> str:
    """Workflow commands that GitHub shows beside the lines of a change."""
    return "".join(
        f"::{_LEVELS[one.severity]} file={_property(one.file)},line={one.line},col={one.column},"
        f"title={_property(one.check)}::{_data(f'{one.text} {one.remedy}')}\n"
        for one in findings
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
