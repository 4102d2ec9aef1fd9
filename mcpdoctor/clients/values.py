"""Values of a file, each with its place: what the readers of JSON, TOML and YAML make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mcpdoctor.clients.source import Place, Source

Data = str | int | float | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """Anything that stands in a file.

    Attributes:
        source: the file.
        start: offset of its first character in the text.
        end: offset after its last character; `text[start:end]` is what an edit would replace.
    """

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.start)

    @property
    def raw(self) -> str:
        """As it is written, quotes and all."""
        return self.source.text[self.start : self.end]


@dataclass(frozen=True, slots=True, eq=False)
class Scalar(Value):
    """A text, a number, true, false or null; a date of TOML is its text."""

    data: Data

    @property
    def text(self) -> str | None:
        """The data where it is a text; else None."""
        return self.data if isinstance(self.data, str) else None


@dataclass(frozen=True, slots=True, eq=False)
class Items(Value):
    """A list."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A key and its value."""

    key: Scalar
    value: Value

    @property
    def name(self) -> str:
        """The key as text."""
        return str(self.key.data)


@dataclass(frozen=True, slots=True, eq=False)
class Table(Value):
    """Keys and values, in the order of the file; the same key may stand there twice."""

    members: tuple[Member, ...]

    def member(self, name: str) -> Member | None:
        """The last member of that name, which is the one that counts."""
        return next((one for one in reversed(self.members) if one.name == name), None)

    def get(self, name: str) -> Value | None:
        """The value of that name, or None."""
        member = self.member(name)
        return member.value if member else None

    def last(self) -> Iterator[Member]:
        """One member for each name, the one that counts, in the order of the file."""
        counts = {one.name: one for one in self.members}
        return (one for one in self.members if counts[one.name] is one)


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """A change of a text: what stands from `start` to `end` becomes `text`."""

    start: int
    end: int
    text: str


class Liberty(StrEnum):
    """What is written although a strict reader of the format refuses it, or keeps only a part of it."""

    BYTE_ORDER_MARK = "byte-order-mark"
    COMMENT = "comment"
    TRAILING_COMMA = "trailing-comma"
    DUPLICATE_KEY = "duplicate-key"
    TAG = "tag"  # of YAML; it names a type, and we read the value without
    SECOND_DOCUMENT = "second-document"  # of YAML; only the first is read


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A liberty that a file takes, and where."""

    liberty: Liberty
    at: Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One file, read.

    Attributes:
        root: the value that the file holds.
        taken: liberties that it takes, in the order of the file.
    """

    source: Source
    root: Value
    taken: tuple[Taken, ...] = ()


def plain(value: Value) -> Any:
    """The value without places: dicts, lists and scalars."""
    if isinstance(value, Table):
        return {one.name: plain(one.value) for one in value.members}
    if isinstance(value, Items):
        return [plain(one) for one in value.items]
    return value.data if isinstance(value, Scalar) else None
