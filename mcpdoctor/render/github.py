"""A report as workflow commands of GitHub Actions: annotations of a run, and beside the lines of a change.

The syntax, and what has to be escaped, are those of actions/toolkit: `%`, CR and LF in the text; `:` and `,` too in a
property. GitHub shows at most ten errors, ten warnings and ten notices of a step, so what is pressing comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mcpdoctor.model import LintFinding, Report, Requirement, Severity
from mcpdoctor.render.digest import NAME, Told, distinct, ended, labels, pressing_requirements, requirement_words, shown

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_NAMED = 5
"""Configurations that a finding names; of more the rest are counted."""


def dumps(report: Report) -> str:
    """One workflow command a line: those of findings, then a notice of how each target ended."""
    return "".join(f"{line}\n" for line in _commands(report))


def _commands(report: Report) -> Iterator[str]:
    names = labels(report.results)
    found = distinct(report)
    for told in found:
        if told.pressing:
            yield _of(told, names, _LEVELS[told.finding.severity])
    for asked in pressing_requirements(report):
        yield _of_requirement(asked)
    for one in report.lint:
        yield _of_file(one)
    for told in found:
        if not told.pressing and told.finding.severity is not Severity.INFO:
            yield _of(told, names, "notice")
    lines = [f"{shown(one.target)}: {shown(one.words, 1000)}" for one in ended(report)]
    if report.interrupted is not None:
        yield command("error", {"title": "The run ended early"}, f"It was stopped: {report.interrupted}.")
    if lines:
        yield command("notice", {"title": "mcpdoctor"}, "\n".join(lines))


def _of(told: Told, names: list[str], level: str) -> str:
    finding = told.finding
    place = {"file": finding.file, "line": str(finding.line), "col": str(finding.column)} if finding.file else {}
    lines = [shown(finding.text, 2000)]
    lines += [f"Seen: {shown(finding.evidence, 1000)}"] if finding.evidence else []
    lines += [f"Fix: {shown(finding.remedy, 2000)}"] if finding.remedy else []
    if told.places:
        more = f" and {len(told.places) - _NAMED} more" if len(told.places) > _NAMED else ""
        lines.append(f"Configuration: {', '.join(names[number] for number in told.places[:_NAMED])}{more}")
    return command(level, {**place, "title": f"{finding.title} [{finding.check}]"}, "\n".join(lines))


def _of_requirement(one: Requirement) -> str:
    place = {"file": one.file, "line": str(one.line), "col": str(one.column)} if one.file else {}
    title = f"Required and {'not met' if one.met is False else 'not known'} [{one.name}]"
    return command("error", {**place, "title": title}, shown(requirement_words(one), 2000))


def _of_file(one: LintFinding) -> str:
    # Of a notebook the cell is a part of the name here, and its lines are no lines of the file.
    file, _, cell = one.file.partition(".ipynb:cell ")
    if cell:
        place = {"file": f"{file}.ipynb"}
        where = f"Cell {cell}, line {one.line}: "
    else:
        place, where = {"file": one.file, "line": str(one.line), "col": str(one.column)}, ""
    text = f"{where}{shown(one.text, 2000)} {shown(one.remedy, 2000)}"
    return command(_LEVELS[one.severity], {**place, "title": one.check}, text)


def command(level: str, properties: Mapping[str, str], text: str) -> str:
    """One workflow command: `error`, `warning` or `notice`, with its properties and its text escaped."""
    pairs = ",".join(f"{name}={_property(shown(value, NAME))}" for name, value in properties.items())
    return f"::{level} {pairs}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
