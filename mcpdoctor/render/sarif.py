"""Draw what lint found as SARIF 2.1.0, which code hosts and editors read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from mcpdoctor.catalogue import Check
from mcpdoctor.diagnosis import PAGE
from mcpdoctor.model import LintFinding, Severity

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


def dumps(findings: Sequence[LintFinding], checks: Mapping[str, Check], version: str) -> str:
    """The findings as SARIF.

    Args:
        findings: by file and line.
        checks: every check; those that fired become rules.
        version: of mcpdoctor.

    Returns:
        Plain ASCII with a line end at its end.
    """
    slugs = list(dict.fromkeys(one.check for one in findings))
    driver = {
        "name": "mcpdoctor",
        "informationUri": "https://github.com/mcpdoctor/mcpdoctor",
        "version": version,
        "rules": [_rule(checks[slug]) for slug in slugs],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, slugs.index(one.check)) for one in findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.slug,
        "shortDescription": {"text": check.title},
        "helpUri": PAGE.format(slug=check.slug),
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
        "properties": {"cause": check.cause.value},
    }


def _result(one: LintFinding, rule: int) -> dict[str, Any]:
    # Of a notebook the cell is a part of the name here, and no part of the file's.
    file, _, cell = one.file.partition(".ipynb:cell ")
    path = f"{file}.ipynb" if cell else one.file
    region = {"startLine": one.line, "startColumn": one.column}
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if not cell:
        place["region"] = region
    return {
        "ruleId": one.check,
        "ruleIndex": rule,
        "level": _LEVELS[one.severity],
        "message": {"text": f"{one.text} {one.remedy}"},
        "locations": [{"physicalLocation": place}],
        "properties": {"cause": one.cause.value, "server": one.server, "fixable": one.fixable},
    }


def _uri(path: str) -> str:
    pure = PurePath(path)
    text = quote(pure.as_posix())
    return f"file://{text if text.startswith('/') else '/' + text}" if pure.is_absolute() else text
