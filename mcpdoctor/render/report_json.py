"""A report as JSON, and back without loss."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcpdoctor.model import SCHEMA_VERSION, Report, Unusable

MAX_FILE = 64 * 2**20
"""Bytes of a report file that are read at most."""

_COMMAND = re.compile(r"##(?=\w{0,20}\[)")
# A backslash, a character above U+FFFF, or half of one: the name of a file may hold that.
_ESCAPES = re.compile(r"\\\\|\\ud[89ab]\w\w\\ud[c-f]\w\w|(?P<lone>\\ud[89a-f]\w\w)")


def dumps(report: Report) -> str:
    """The report as JSON text; plain ASCII, so that no terminal or log can be misled by it."""
    return ascii_json(asdict(report)) + "\n"


def ascii_json(document: object) -> str:
    """JSON in plain ASCII that is valid UTF-8 when it is read, and holds nothing that a CI system obeys in a log."""
    drawn = json.dumps(document, indent=2)
    drawn = _COMMAND.sub(r"\\u0023#", drawn)
    return _ESCAPES.sub(lambda found: "\\ufffd" if found["lone"] else found[0], drawn) if "\\ud" in drawn else drawn


def loads(text: str, *, source: str = "the report") -> Report:
    """Read what `dumps` wrote.

    Raises:
        Unusable: the text is no JSON, or no report of this schema version.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{source}: not valid JSON: {error}.") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise Unusable(f"{source}: not a report of mcpdoctor; make one with mcpdoctor check --format json.")
    if document["schema_version"] != SCHEMA_VERSION:
        raise Unusable(
            f"{source}: made for schema version {str(document['schema_version'])[:20]}; this mcpdoctor reads "
            f"version {SCHEMA_VERSION}. Use the mcpdoctor that wrote it."
        )
    try:
        return TypeAdapter(Report).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unusable(f"{source}: {place}: {first['msg']}.") from error


def load(path: Path) -> Report:
    """Read a report from a file.

    Raises:
        Unusable: it cannot be read, is too large, or is no report.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Unusable(f"{path}: cannot be read: {error.strerror or error}.") from error
    if len(data) > MAX_FILE:
        raise Unusable(f"{path}: larger than {MAX_FILE // 2**20} MiB; that is no report.")
    try:
        return loads(data.decode("utf-8-sig"), source=str(path))
    except UnicodeDecodeError as error:
        raise Unusable(f"{path}: not UTF-8; save the report in UTF-8.") from error


def schema() -> dict[str, Any]:
    """The JSON Schema of a report."""
    from pydantic import TypeAdapter

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of mcpdoctor",
        **TypeAdapter(Report).json_schema(mode="serialization"),
    }
