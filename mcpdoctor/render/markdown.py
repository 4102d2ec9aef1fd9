"""A report as Markdown (that of GitHub, which GitLab and others read too): for the summary of a job, or a comment.

Words of others are text: what looks like a name, an address or code stands in a code span, where nothing is a link, a
mention or markup; the other words hold nothing but letters and punctuation that means nothing within a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mcpdoctor.limits import KINDS, caller, nothing_accepted, observed, percent
from mcpdoctor.model import Report, Severity
from mcpdoctor.redaction import clean
from mcpdoctor.render.digest import (
    TEXT,
    Told,
    correction,
    distinct,
    ended,
    headline,
    labels,
    quieted,
    requirement_word,
    requirement_words,
    result_word,
    shown,
    snippets,
    took,
)

MAX_SUMMARY = 2**20
"""Bytes that GitHub takes as the summary of one step."""

_ROWS = 500
_FINDINGS = 200
_MARKS = {"works": "✅", "as expected": "✅", "fails": "❌", "not tried": "⚪", "throttled": "⚠️", "unknown": "❔"}
_REQUIRED = {"met": "✅", "missed": "❌", "unknown": "❔"}
_SEVERITIES = {Severity.ERROR: "❌", Severity.WARNING: "⚠️", Severity.INFO: "ℹ️"}  # noqa: RUF001  # the sign for information

_CODE = re.compile(r"www\.|[@#_*`\\<>\[\]{}|~^&$=/]|:\w|\w\.\w", re.IGNORECASE)
_WORD = re.compile(r"(?P<open>[(\"']*)(?P<core>.*?)(?P<close>[.,;:!?)\"']*)", re.DOTALL)
_BARS = re.compile(r"([|\\])")
_COMMAND = re.compile(r"#(?=#\w{0,20}\[)")
_RUNS = re.compile(r"`+")


def dumps(report: Report) -> str:
    """The report as Markdown, with a line end at its end."""
    return "\n\n".join(_parts(report)) + "\n"


def summary(report: Report, room: int = MAX_SUMMARY) -> str:
    """The same, cut between two lines where it has more than `room` bytes."""
    drawn = dumps(report)
    if len(drawn.encode()) <= room:
        return drawn
    note = "\n\n… cut here: the rest is too long for a summary.\n"
    kept = drawn.encode()[: max(0, room - len(note.encode()) - 16)].decode(errors="ignore")
    kept = kept[: kept.rfind("\n") + 1]
    if len(re.findall(r"(?m)^`{3,}", kept)) % 2:
        kept = kept[: kept.rfind("\n```")]
    return kept.rstrip() + note if room > 200 else ""


def _parts(report: Report) -> Iterator[str]:
    yield f"## mcpdoctor: {prose(headline(report))}"
    lines = [f"- {_MARKS[one.mark]} {prose(one.target)}: {prose(one.words)}" for one in ended(report)]
    if lines:
        yield "\n".join(lines)
    found = distinct(report)
    for told in found[:_FINDINGS]:
        if told.pressing:
            yield _finding(told)
    if report.requirements:
        yield _requirements(report)
    if report.lint:
        yield _lint(report)
    if report.results:
        yield _results(report)
    for number, (snippet, targets) in enumerate(snippets(report)):
        words = "Use this" if number == 0 else "Works too"
        yield f"### {words} ({prose(', '.join(targets))})\n\n{fenced(snippet, 'python')}"
    if report.ceilings:
        yield _ceilings(report)
    others = [told for told in found[:_FINDINGS] if not told.pressing]
    if others:
        yield "### Good to know"
        yield from map(_finding, others)
    if len(found) > _FINDINGS:
        yield f"{len(found) - _FINDINGS} more findings are in the JSON report."
    yield _foot(report)


def _requirements(report: Report) -> str:
    lines = []
    for one in report.requirements[:_ROWS]:
        place = f" {code(f'{one.file}:{one.line}:{one.column}')}" if one.file and not one.met else ""
        lines.append(f"- {_REQUIRED[requirement_word(one)]} {prose(requirement_words(one))}{place}")
    more = f"\n- {len(report.requirements) - _ROWS} more" if len(report.requirements) > _ROWS else ""
    return "### Required\n\n" + "\n".join(lines) + more


def _finding(told: Told) -> str:
    finding = told.finding
    where = f" ({len(told.places)} configurations)" if len(told.places) > 1 else ""
    lines = [f"{_SEVERITIES[finding.severity]} **{prose(finding.title)}** {code(finding.check)}{where}", ""]
    lines.append(f"- {finding.severity.value}: {prose(finding.text)}")
    if finding.file:
        lines.append(f"- Where: {code(f'{finding.file}:{finding.line}:{finding.column}')}")
    if finding.evidence:
        lines.append(f"- Seen: {code(finding.evidence)}")
    if finding.remedy:
        lines.append(f"- **Fix:** {prose(finding.remedy)}")
    if entry := correction(finding):
        lines += ["", "The entry, corrected:", "", fenced(entry)]
    return "\n".join(lines)


def _results(report: Report) -> str:
    names = labels(report.results)
    rows = [
        (
            f"{_MARKS[result_word(result)]} {result_word(result)}",
            cell(name),
            result.stage.value,
            str(result.http_status or "-"),
            result.cause.value if result.cause else "-",
            took(result.elapsed_s),
        )
        for result, name in zip(report.results[:_ROWS], names[:_ROWS], strict=True)
    ]
    drawn = _table(("result", "configuration", "stage", "HTTP", "cause", "time"), rows)
    if len(names) > _ROWS:
        drawn += f"\n\n{len(names) - _ROWS} more configurations are in the JSON report."
    return f"### Configurations\n\n{drawn}"


def _ceilings(report: Report) -> str:
    rows = [
        (
            cell(one.target or one.configuration.endpoint),
            cell(caller(one.configuration)),
            "nothing was accepted" if nothing_accepted(one) else cell(observed(one)),
            KINDS[one.limiter],
            percent(one.confidence),
            str(one.recommended_workers),
        )
        for one in report.ceilings[:_ROWS]
    ]
    return "### Ceilings\n\n" + _table(("target", "caller", "observed", "kind", "sure", "workers"), rows)


def _lint(report: Report) -> str:
    rows = [
        (
            _SEVERITIES[one.severity] + " " + one.severity.value,
            cell(f"{one.file}:{one.line}:{one.column}"),
            cell(one.check),
            f"{cell(one.text)} {cell(one.remedy)}",
        )
        for one in report.lint[:_ROWS]
    ]
    more = f"\n\n{len(report.lint) - _ROWS} more." if len(report.lint) > _ROWS else ""
    return "### Files\n\n" + _table(("severity", "place", "check", "what is wrong, and what to do"), rows) + more


def _foot(report: Report) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in report.environment.packages.items())
    known = [
        f"mcpdoctor {report.mcpdoctor}" if report.mcpdoctor else "",
        f"started {report.started}" if report.started else "",
        f"took {took(report.elapsed_s)}" if report.elapsed_s else "",
        f"Python {report.environment.python}" if report.environment.python else "",
        packages,
    ]
    return f"Made by {prose('; '.join(filter(None, known)) or 'mcpdoctor')}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def prose(text: str) -> str:
    """Words of others within a line."""
    return " ".join(_words(shown(text, TEXT).split(" "), in_cell=False))


def cell(text: str) -> str:
    """Words of others in a cell of a table, where a vertical bar would end it even within a code span."""
    return " ".join(_words(shown(text, TEXT).split(" "), in_cell=True))


def _words(words: Sequence[str], *, in_cell: bool) -> Iterator[str]:
    """Words that are inert in Markdown: as they are where they hold nothing but letters and punctuation."""
    for word in words:
        found = _WORD.fullmatch(word)
        if found is None or not (_CODE.search(word) or not word.isprintable()):
            yield word
            continue
        opening, core, closing = found.groups()
        # Parsers differ in what a backslash before a bar means, so neither stands in a cell as it is.
        pieces = _BARS.split(core) if in_cell else [core]
        spans = [f"&#{ord(piece)};" if in_cell and piece in ("|", "\\") else code(piece) for piece in pieces]
        yield f"{opening}{''.join(spans)}{closing}"


def code(text: str) -> str:
    """Words of others as a code span; as two where a CI system would take them for a command in its log."""
    return "&#35;".join(map(_span, _COMMAND.split(shown(text, TEXT))))


def _span(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (max(map(len, _RUNS.findall(text)), default=0) + 1)
    space = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{space}{text}{space}{fence}"


def fenced(text: str, language: str = "") -> str:
    """Lines of others as a block of code."""
    text = quieted(clean(text, limit=8000)).replace("\t", "    ")
    fence = "`" * max(3, max(map(len, _RUNS.findall(text)), default=0) + 1)
    return f"{fence}{language}\n{text}\n{fence}"
