"""A report as SARIF 2.1.0, which code hosts and editors read: findings of files, of configurations and of ceilings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from mcpdoctor.diagnosis import PAGE
from mcpdoctor.model import Finding, LintFinding, Report, Requirement, Severity
from mcpdoctor.redaction import clean
from mcpdoctor.render.digest import TEXT, Told, correction, distinct, labels, pressing_requirements, requirement_words
from mcpdoctor.render.report_json import ascii_json

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_RULE_NAME = re.compile(r"[a-z0-9-]{1,100}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def dumps(report: Report) -> str:
    """The report as SARIF, plain ASCII with a line end at its end."""
    told = distinct(report)
    fired: dict[str, Finding | LintFinding] = {}
    found: list[Finding | LintFinding] = [*report.lint, *(one.finding for one in told)]
    for one in found:
        fired.setdefault(_text(one.check), one)
    numbers = {check: number for number, check in enumerate(fired)}
    pressing = pressing_requirements(report)
    required = {f"requirement-{_text(one.name)}": one.name for one in pressing}
    numbers |= {rule: len(fired) + number for number, rule in enumerate(required)}
    names = labels(report.results)
    driver = {
        "name": "mcpdoctor",
        "informationUri": "https://github.com/mcpdoctor/mcpdoctor",
        "version": _text(report.mcpdoctor) or "unknown",
        "rules": [
            *(_rule(one) for one in fired.values()),
            *(_rule_of_requirement(rule, name) for rule, name in required.items()),
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": [
            *(_of_file(one, numbers[_text(one.check)]) for one in report.lint),
            *(_of_run(one, numbers[_text(one.finding.check)], names) for one in told),
            *(_of_requirement(one, numbers) for one in pressing),
        ],
    }
    return ascii_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}) + "\n"


def _invocation(report: Report) -> dict[str, Any]:
    # Whether mcpdoctor itself did its work: a target that fails is what it is asked for.
    told: dict[str, Any] = {
        "executionSuccessful": report.exit_code in (0, 1) and report.interrupted is None,
        "exitCode": report.exit_code,
    }
    if _UTC.fullmatch(report.started):
        told["startTimeUtc"] = report.started
    return told


def _rule(one: Finding | LintFinding) -> dict[str, Any]:
    slug = _text(one.check)
    page = one.url if one.url.startswith("https://") and one.url.isascii() and one.url.isprintable() else ""
    known = PAGE.format(slug=slug) if _RULE_NAME.fullmatch(slug) else ""
    return {
        "id": slug,
        "shortDescription": {"text": _text(one.title) or slug},
        **({"helpUri": quote(page or known, safe=":/?#[]@!$&'()*+,;=%")} if page or known else {}),
        "defaultConfiguration": {"level": _LEVELS[one.severity]},
        "properties": {"cause": one.cause.value},
    }


def _of_file(one: LintFinding, rule: int) -> dict[str, Any]:
    # Of a notebook the cell is a part of the name here, and no part of the file's.
    file, _, cell = one.file.partition(".ipynb:cell ")
    place = _place(f"{file}.ipynb") if cell else _place(one.file, one.line, one.column)
    return {
        "ruleId": _text(one.check),
        "ruleIndex": rule,
        "level": _LEVELS[one.severity],
        "message": {"text": f"{_text(one.text)} {_text(one.remedy)}"},
        "locations": [place],
        "properties": {"cause": one.cause.value, "server": _text(one.server), "fixable": one.fixable},
    }


def _of_run(told: Told, rule: int, names: list[str]) -> dict[str, Any]:
    """A finding of configurations or of ceilings; in a file where a client's entry was tried.

    What fails beside a configuration that works, or is expected to fail, is a note: it is no reason to stop.
    """
    one = told.finding
    where = [{"name": names[number], "kind": "resource"} for number in told.places[:100]]
    location: dict[str, Any] = _place(one.file, one.line, one.column) if one.file else {}
    if where:
        location["logicalLocations"] = where
    parts = (one.text, f"Seen: {one.evidence}" if one.evidence else "", one.remedy)
    properties: dict[str, Any] = {"cause": one.cause.value, "pressing": told.pressing}
    if entry := correction(one):
        properties["correction"] = _text(entry)
    return {
        "ruleId": _text(one.check),
        "ruleIndex": rule,
        "level": _LEVELS[one.severity] if told.pressing else "note",
        "message": {"text": " ".join(map(_text, filter(None, parts))) or _text(one.check)},
        **({"locations": [location]} if location else {}),
        "properties": properties,
    }


def _rule_of_requirement(rule: str, name: str) -> dict[str, Any]:
    return {
        "id": rule,
        "shortDescription": {"text": f"What is required ({_text(name)}) is not given"},
        "defaultConfiguration": {"level": "error"},
    }


def _of_requirement(one: Requirement, numbers: Mapping[str, int]) -> dict[str, Any]:
    rule = f"requirement-{_text(one.name)}"
    location: dict[str, Any] = _place(one.file, one.line, one.column) if one.file else {}
    location["logicalLocations"] = [{"name": _text(one.target) or "-", "kind": "resource"}]
    return {
        "ruleId": rule,
        "ruleIndex": numbers[rule],
        "level": "error",
        "message": {"text": _text(requirement_words(one))},
        "locations": [location],
        "properties": {"met": one.met},
    }


def _place(file: str, line: int = 0, column: int = 0) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(_text(file))}}
    if line >= 1:
        place["region"] = {"startLine": line, **({"startColumn": column} if column >= 1 else {})}
    return {"physicalLocation": place}


def _uri(path: str) -> str:
    pure = PurePath(path)
    text = quote(pure.as_posix())
    return f"file://{text if text.startswith('/') else '/' + text}" if pure.is_absolute() else text


def _text(text: str) -> str:
    """A text of somebody else; `[words](address)` would be a link in a message of SARIF."""
    return clean(text, limit=TEXT).replace("](", "] (")
