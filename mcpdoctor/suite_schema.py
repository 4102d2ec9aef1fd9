"""The JSON Schema of a suite file, for editors: made of the same annotations by which suites are read.

What no schema can say, only the reader does: whether an ARN is that of an MCP server, whether the parts of a budget fit
together, and that of two lines of the same name one has requirements.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from enum import Enum
from typing import Any

from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.forms import Filled, Like, Within, hints_of, keys
from mcpdoctor.model import Cause
from mcpdoctor.render import FORMATS, SUFFIXES
from mcpdoctor.suite import Suite, SuiteTarget

ID = "https://mcpdoctor.github.io/mcpdoctor/suite.schema.json"
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
_PART = r" *(?:(?:requests|refusals|seconds)=)?[0-9]+(?:\.[0-9]+)?s? *"
_CREDENTIAL = r"^(?:default|env|none|profile:[\s\S]+|bearer:[A-Za-z_][A-Za-z0-9_]{0,254})$"


def schema(catalogue: Catalogue | None = None) -> dict[str, Any]:
    """The schema (draft 2020-12), with the names of a catalogue; of the built-in one without."""
    made = _Making(catalogue or load())
    whole = made.of_class(Suite)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Suite file of mcpdoctor (mcpdoctor.toml)",
        **whole,
        "$defs": made.defs,
    }


class _Making:
    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.defs: dict[str, Any] = {}
        names = sorted({*catalogue.checks, *Cause})
        self.known: dict[tuple[str, str], dict[str, Any]] = {
            ("SuiteTarget", "target"): self.target(),
            ("SuiteTarget", "credentials"): {"type": "string", "pattern": _CREDENTIAL},
            ("Suite", "outputs"): _output(),
            ("Limits", "ceiling"): {"type": "string", "pattern": f"^{_PART}(?:,{_PART}){{0,2}}$"},
            ("Require", "forbid"): {"enum": names},
        }

    def target(self) -> dict[str, Any]:
        """A name, or what looks like an address, without a user name in it."""
        names = [name for name, one in self.catalogue.endpoints.items() if not one.yours]
        address = {
            "type": "string",
            "pattern": "[:/.]",
            "not": {"pattern": "^[A-Za-z]+://[^/?#]*@"},
        }
        return {"anyOf": [{"enum": names}, address]}

    def of_class(self, cls: type[Any]) -> dict[str, Any]:
        """The schema of a table."""
        told = _told(cls)
        hints = hints_of(cls)
        properties = {}
        for key, one in keys(cls).items():
            known = self.known.get((cls.__name__, one.name))
            made = self.of(hints[one.name], known)
            if text := told.get(one.name):
                made = {"description": text, **made}
            properties[key] = made
        required = [
            key
            for key, one in keys(cls).items()
            if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        ]
        return {
            "type": "object",
            "additionalProperties": False,
            **({"required": required} if required else {}),
            "properties": properties,
            **_BETWEEN.get(cls, {}),
        }

    def of(self, hint: Any, known: dict[str, Any] | None = None) -> dict[str, Any]:
        """The schema of a value; `known` is what is known of it, or of what a list of it holds."""
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            made = self.of(inner[0], known)
            for rule in inner[1:]:
                made = _ruled(made, rule)
            return made
        if origin in (typing.Union, types.UnionType):
            return self.of(next(one for one in inner if one is not type(None)), known)
        if origin is tuple:
            item = self.of(inner[0], known)
            return {"anyOf": [{"type": "array", "items": item}, item]}
        if origin is not None:
            return {"type": "object"}
        if known is not None:
            return known
        if dataclasses.is_dataclass(hint):
            cls = typing.cast("type[Any]", hint)
            if cls.__name__ not in self.defs:
                self.defs[cls.__name__] = self.of_class(cls)
            return {"$ref": f"#/$defs/{cls.__name__}"}
        if isinstance(hint, type) and issubclass(hint, Enum):
            return {"enum": [str(one.value) for one in hint]}
        return {"type": _SIMPLE[hint]}


_BETWEEN: dict[type[Any], dict[str, Any]] = {
    SuiteTarget: {
        "dependentRequired": {"arguments": ["tool"]},
        "not": {"required": ["expect", "require"]},
    }
}
"""What holds between the keys of a table."""


def _ruled(made: dict[str, Any], rule: object) -> dict[str, Any]:
    if isinstance(rule, Within):
        return {**made, "minimum": rule.least, "maximum": rule.most}
    if isinstance(rule, Like):
        return {**made, "pattern": f"^(?:{rule.pattern})$"}
    if isinstance(rule, Filled) and "anyOf" in made and made["anyOf"][0].get("type") == "array":
        several, one = made["anyOf"]
        return {"anyOf": [{**several, "minItems": 1}, one]}
    if isinstance(rule, Filled) and made.get("type") == "string":
        return {**made, "minLength": 1}
    return made


def _output() -> dict[str, Any]:
    """FORMAT:FILE, or a file whose ending names the format; a word before a colon is a format."""
    endings = "|".join(
        "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else re.escape(letter) for letter in one)
        for one in SUFFIXES
    )
    named = {"pattern": rf"^(?:{'|'.join(FORMATS)}):[\s\S]+$"}
    ended = {"pattern": f"(?:{endings})$", "not": {"pattern": "^[A-Za-z]{2,}:"}}
    return {"type": "string", "anyOf": [named, ended]}


def _told(cls: type[Any]) -> dict[str, str]:
    """What the docstring of a class says of each attribute."""
    _, _, text = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for part in re.split(r"\n(?=\w)", textwrap.dedent(text)):
        name, colon, words = part.partition(":")
        if colon:
            sentence = " ".join(words.split()).replace("`", "")
            found[name.strip()] = sentence[:1].upper() + sentence[1:]
    return found


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
