"""The page of all fields of a report, made from its JSON Schema; `docs/report.md` holds it.

`python -m mcpdoctor.render.fields docs/report.schema.json` prints that file.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_INTRO = """# The JSON report, field by field

<!-- Made from docs/report.schema.json: make docs. Do not edit. -->

`mcpdoctor check --format json` prints a report; [Reports](reports.md#json) says which fields matter most. The schema is
[report.schema.json](report.schema.json), also printed by `mcpdoctor render --schema`. `schema_version` is 1: fields are
added within a version, never renamed or removed.
"""
_ATTRIBUTE = re.compile(r"(?m)^ {4}(\w+): (.*(?:\n {8}.*)*)")
_NONE = re.compile(r"\bNone\b")


def fields(schema: Mapping[str, Any]) -> str:
    """The page, as Markdown.

    Args:
        schema: the JSON Schema of a report, as `report_json.schema` gives it.
    """
    parts = [_INTRO, _object("Report", schema)]
    for name, one in schema["$defs"].items():
        parts.append(_object(name, one) if "properties" in one else _words(name, one))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _object(name: str, schema: Mapping[str, Any]) -> str:
    summary, meanings = _told(schema)
    rows = [f"| `{field}` | {_kind(one)} | {meanings.get(field, '')} |" for field, one in schema["properties"].items()]
    return "\n".join([f"## {name}", "", summary, "", "| field | type | meaning |", "|---|---|---|", *rows])


def _words(name: str, schema: Mapping[str, Any]) -> str:
    return f"## {name}\n\n{_told(schema)[0]}\n\n" + ", ".join(f"`{word}`" for word in schema["enum"])


def _told(schema: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """What the docstring says of the whole, and of each field."""
    summary, _, rest = inspect.cleandoc(schema.get("description", "")).partition("\n\nAttributes:\n")
    meanings = {found[1]: _cell(found[2]) for found in _ATTRIBUTE.finditer(rest)}
    return " ".join(summary.split()), meanings


def _cell(text: str) -> str:
    return _NONE.sub("`null`", " ".join(text.split())).replace("|", "\\|")


def _kind(schema: Mapping[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_kinds(schema)))


def _kinds(schema: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        yield f"[{name}](#{name.lower()})"
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _kinds(one)
    elif schema.get("type") == "array":
        pair = schema.get("prefixItems")
        yield f"list of {len(pair)}: {_kind(pair[0])}" if pair else f"list of {_kind(schema.get('items', {}))}"
    elif schema.get("type") == "object":
        yield "object"
    elif "const" in schema or "enum" in schema:
        yield ", ".join(f"`{word}`" for word in schema.get("enum", [schema.get("const")]))
    else:
        yield str(schema.get("type", "any"))


if __name__ == "__main__":
    sys.stdout.write(fields(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
