"""Make dataclasses of tables that people write: the annotations of a class are the schema of its table.

What is wrong with a table is told by the path to it, so that a reader which knows places can name line and column. A
field is written under its name; `metadata={"key": "other-name"}` gives it another one, and `metadata={"key": None}`
none at all: such a field is filled by who reads.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Any

from mcpdoctor.model import Unusable

Path = tuple[str | int, ...]
"""The way to a value: keys of tables, and numbers in lists, from 0."""

_TYPES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Within:
    """In an annotation: the least and the greatest number that is taken."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Like:
    """In an annotation: what a text must match as a whole, and how to say that."""

    pattern: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Filled:
    """In an annotation: a list, or a text, that is not empty."""


class Wrong(StrEnum):
    """What is wrong with a value."""

    UNKNOWN_KEY = "unknown-key"
    MISSING = "missing"
    TYPE = "type"
    NOT_ONE_OF = "not-one-of"
    OUT_OF_FORM = "out-of-form"


class Misfit(Unusable):
    """A table that is not of the form of its class.

    Attributes:
        wrong: what is wrong.
        path: to the value; to the table, of a key that is unknown or missing.
        written: the key, or the value.
        wanted: what belongs there, in words.
        known: the keys, or the values, that there are.
    """

    def __init__(
        self, wrong: Wrong, where: str, path: Path, written: object, *, wanted: str = "", known: tuple[str, ...] = ()
    ) -> None:
        self.wrong, self.path, self.written, self.wanted, self.known = wrong, path, written, wanted, known
        what = {
            Wrong.UNKNOWN_KEY: f"unknown key {written}{self.hint}",
            Wrong.MISSING: f"{written} is missing.",
            Wrong.TYPE: f"{written!r} is not of the right type ({wanted} wanted).",
            Wrong.NOT_ONE_OF: f"{written} is not one of {', '.join(known)}.",
            Wrong.OUT_OF_FORM: f"{written!r} is not {wanted}.",
        }[wrong]
        super().__init__(f"{where}: {what}")

    @property
    def hint(self) -> str:
        """The end of a sentence about a name that is not known: the nearest one, else all of them."""
        near = get_close_matches(str(self.written), self.known, n=1)
        return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(self.known)}."


def build(cls: type[Any], table: Mapping[str, Any], where: str, path: Path = ()) -> Any:
    """Make a `cls` from a table; its annotations are the schema.

    Args:
        cls: a dataclass.
        table: keys and values.
        where: what a message begins with.
        path: to the table.

    Raises:
        Misfit: a key is unknown or missing, or a value is not of the form that is wanted.
    """
    hints = hints_of(cls)
    known = keys(cls)
    for key in table:
        if key not in known:
            raise Misfit(Wrong.UNKNOWN_KEY, where, path, key, known=tuple(known))
    values = {}
    for key, one in known.items():
        if key in table:
            values[one.name] = _value(hints[one.name], table[key], f"{where} {key}", (*path, key))
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise Misfit(Wrong.MISSING, where, path, key)
    return cls(**values)


def keys(cls: type[Any]) -> Mapping[str, dataclasses.Field[Any]]:
    """The keys that a table of a `cls` may have, each with its field."""
    return _keys(cls)  # type: ignore[arg-type]  # a class is hashable


@cache
def _keys(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    named = {one.metadata.get("key", one.name.rstrip("_")): one for one in dataclasses.fields(cls)}
    return {key: one for key, one in named.items() if key is not None}


def hints_of(cls: type[Any]) -> dict[str, Any]:
    """The annotations of a class, rules included."""
    return _hints(cls)  # type: ignore[arg-type]  # a class is hashable


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _value(hint: Any, value: Any, where: str, path: Path) -> Any:
    if type(value) is hint:  # most are: a text where a text is wanted
        return value
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is typing.Annotated:
        made = _value(inner[0], value, where, path)
        for rule in inner[1:]:
            _hold(rule, made, value, where, path)
        return made
    if origin in (typing.Union, types.UnionType):
        return _value(next(one for one in inner if one is not type(None)), value, where, path)
    if origin is tuple:
        if not isinstance(value, list):  # one value needs no brackets
            return (_value(inner[0], value, where, path),)
        return tuple(_value(inner[0], one, where, (*path, number)) for number, one in enumerate(value))
    if origin is not None and isinstance(value, dict):
        return {key: _value(inner[1], one, f"{where}.{key}", (*path, key)) for key, one in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return build(typing.cast("type[Any]", hint), value, where, path)
    return _scalar(hint, value, where, path)


def _scalar(hint: Any, value: Any, where: str, path: Path) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and issubclass(hint, str) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError:
            known = tuple(str(one) for one in hint)  # type: ignore[attr-defined]  # only a StrEnum refuses a string
            raise Misfit(Wrong.NOT_ONE_OF, where, path, value, known=known) from None
    raise Misfit(Wrong.TYPE, where, path, value, wanted=getattr(hint, "__name__", str(hint)))


def in_words(hint: str) -> str:
    """The name of a type as somebody says it who does not know Python."""
    return {one.__name__: words for one, words in _TYPES.items()}.get(hint, "a table")


def _hold(rule: object, made: Any, value: Any, where: str, path: Path) -> None:
    """Hold that a value obeys a rule of its annotation."""
    wanted = ""
    if isinstance(rule, Within) and not rule.least <= made <= rule.most:  # nan is in no range
        wanted = f"from {rule.least:g} to {rule.most:g}"
    elif isinstance(rule, Like) and not re.fullmatch(rule.pattern, made):
        wanted = rule.wanted
    elif isinstance(rule, Filled) and not made:
        wanted = "filled: it names nothing"
    if wanted:
        raise Misfit(Wrong.OUT_OF_FORM, where, path, value, wanted=wanted)
