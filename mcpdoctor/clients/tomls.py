"""TOML with places.

`tomllib` of the standard library decides what is valid TOML and what a scalar means; it keeps no places. So a scanner
finds where keys and values stand, and each scalar it finds is handed to `tomllib`. A test holds that both see the same.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

from mcpdoctor.clients.source import MAX_DEPTH, MAX_VALUES, Source
from mcpdoctor.clients.values import Document, Items, Liberty, Member, Scalar, Table, Taken, Value

_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(r"[ \t\r\n]*+")
_COMMENT = re.compile(r"#[^\n]*+")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"{1,2}+(?!"))*+"{3,5}+'
    r"|'''(?:[^']|'{1,2}+(?!'))*+'{3,5}+"
    r'|"(?:[^"\\\n]|\\[^\n])*+"'
    r"|'[^'\n]*+'"
)
_BARE = re.compile(r"[^\s,\]}#=\[{\"']++(?: [0-9][0-9:.Z+-]*+)?+")  # a date may have a space before its time
_SIMPLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


@dataclass(slots=True)
class _Growing:
    """A table or list of tables that later lines may still add to."""

    start: int
    end: int
    keys: dict[str, Scalar] = field(default_factory=dict)
    values: dict[str, _Growing | Value] = field(default_factory=dict)
    tables: list[_Growing] | None = None  # of [[name]]

    def last(self) -> _Growing:
        """The table that keys go to: itself, or the last of a list of tables."""
        return self.tables[-1] if self.tables else self


def read_toml(source: Source) -> Document:
    """Read TOML.

    Raises:
        Unreadable: it is not valid TOML, or its values stand too deep in one another.
    """
    reader = _Reader(source)
    try:
        reader.read()
    except _Lost as lost:
        _judge(source)
        raise source.unreadable(lost.at, "not valid TOML: this is not understood", "check the line") from lost
    _judge(source)
    return Document(source=source, root=_frozen(source, reader.root), taken=tuple(reader.taken))


class _Lost(Exception):
    """The scanner meets what it cannot read; `tomllib` has the better words for it."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def _judge(source: Source) -> None:
    """Let `tomllib` say whether the text is valid."""
    try:
        tomllib.loads(source.text)
    except RecursionError as error:
        raise source.too_deep(0) from error
    except ValueError as error:  # a number of more than 4300 digits is none of its own errors
        what = str(error)
        position = _POSITION.search(what)
        at = source.offset(int(position[1]), int(position[2])) if position and position[1] else len(source.text)
        what = what[: position.start()] if position else "a number is too long"
        raise source.unreadable(at if position else 0, f"not valid TOML: {what}", "correct the line") from error


class _Reader:
    """The state of reading one text."""

    def __init__(self, source: Source) -> None:
        self.source, self.text, self.at, self.count = source, source.text, 0, 0
        self.root = _Growing(0, len(source.text))
        self.taken: list[Taken] = []

    def read(self) -> None:
        table = self.root
        while self.blank():
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)
            self.skip()

    def blank(self) -> bool:
        """Go over space, line ends and comments; whether something follows."""
        while True:
            found = _BLANK.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if not self.skip():
                return self.at < len(self.text)

    def skip(self) -> bool:
        """Go over space and a comment; whether there was a comment."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        comment = _COMMENT.match(self.text, self.at)
        if comment:
            self.counted()
            self.taken.append(Taken(Liberty.COMMENT, Value(self.source, self.at, comment.end())))
            self.at = comment.end()
        return comment is not None

    def counted(self) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.source.too_many(self.at)

    def expect(self, what: str) -> None:
        if not self.text.startswith(what, self.at):
            raise _Lost(self.at)
        self.at += len(what)

    def header(self) -> _Growing:
        self.counted()
        start = self.at
        brackets = "[[" if self.text.startswith("[[", start) else "["
        self.at += len(brackets)
        path = self.keys()
        self.expect(brackets.replace("[", "]"))
        table = self.reach(self.root, path[:-1])
        found = table.values.get(str(path[-1].data))
        if brackets == "[":
            return self.reach(table, path[-1:], start)
        if found is None:
            found = self.put(table, path[-1], _Growing(start, self.at, tables=[]))
        if not isinstance(found, _Growing) or found.tables is None:
            raise _Lost(start)
        found.tables.append(_Growing(start, self.at))
        return found.last()

    def reach(self, table: _Growing, path: list[Scalar], start: int | None = None) -> _Growing:
        """The table at `path`, made where it is missing."""
        for key in path:
            found = table.values.get(str(key.data))
            if found is None:
                found = self.put(table, key, _Growing(key.start if start is None else start, self.at))
            if not isinstance(found, _Growing):
                raise _Lost(key.start)
            table = found.last()
        return table

    def put(self, table: _Growing, key: Scalar, value: _Growing) -> _Growing:
        table.keys[str(key.data)] = key
        table.values[str(key.data)] = value
        return value

    def keys(self) -> list[Scalar]:
        path: list[Scalar] = []
        while True:
            self.space()
            found = _BARE_KEY.match(self.text, self.at) or _TEXT.match(self.text, self.at)
            if not found:
                raise _Lost(self.at)
            data = found[0] if found[0][0] not in "\"'" else self.plain(found[0], found.start())
            path.append(Scalar(self.source, self.at, found.end(), str(data)))
            self.at = found.end()
            self.space()
            if len(path) > MAX_DEPTH:
                raise self.source.too_deep(path[0].start)
            if not self.text.startswith(".", self.at):
                return path
            self.at += 1

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def pair(self, table: _Growing, depth: int = 0) -> None:
        path = self.keys()
        self.expect("=")
        table = self.reach(table, path[:-1])
        if str(path[-1].data) in table.values:
            raise _Lost(path[-1].start)
        self.space()
        value = self.value(depth)
        table.keys[str(path[-1].data)] = path[-1]
        table.values[str(path[-1].data)] = value
        table.end = max(table.end, self.at)

    def value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise self.source.too_deep(self.at)
        self.counted()
        start, char = self.at, self.text[self.at : self.at + 1]
        if char == "[":
            return self.items(depth)
        if char == "{":
            return self.inline(depth)
        found = _TEXT.match(self.text, start) or _BARE.match(self.text, start)
        if not found:
            raise _Lost(start)
        self.at = found.end()
        return Scalar(self.source, start, self.at, self.plain(found[0], start))

    def items(self, depth: int) -> Items:
        start, found = self.at, []
        self.at += 1
        while self.blank() and not self.text.startswith("]", self.at):
            found.append(self.value(depth + 1))
            self.blank()
            if not self.text.startswith("]", self.at):
                self.expect(",")
        self.expect("]")
        return Items(self.source, start, self.at, tuple(found))

    def inline(self, depth: int) -> Table:
        start = self.at
        table = _Growing(start, start)
        self.at += 1
        while self.blank() and not self.text.startswith("}", self.at):
            self.pair(table, depth + 1)
            self.blank()
            if not self.text.startswith("}", self.at):
                self.expect(",")
        self.expect("}")
        table.end = self.at
        return _frozen(self.source, table)

    def plain(self, raw: str, start: int) -> str | int | float | bool:
        """What a scalar means, as `tomllib` reads it; dates stay text."""
        if raw[0] in "\"'" and "\\" not in raw and "\n" not in raw:
            quotes = 3 if raw[:3] in ('"""', "'''") and len(raw) >= 6 else 1
            return raw[quotes:-quotes]
        if _SIMPLE.fullmatch(raw):
            return int(raw)
        try:
            value = tomllib.loads(f"x = {raw}")["x"]
        except ValueError as error:
            raise _Lost(start) from error
        return value if isinstance(value, str | int | float | bool) else raw


def _frozen(source: Source, growing: _Growing) -> Table:
    """The finished table; depth is bounded by what the reader let pass."""
    members = []
    for name, value in growing.values.items():
        done: Value
        if not isinstance(value, _Growing):
            done = value
        elif value.tables is None:
            done = _frozen(source, value)
        else:
            done = Items(source, value.start, value.end, tuple(_frozen(source, one) for one in value.tables))
        members.append(Member(growing.keys[name], done))
    return Table(source, growing.start, growing.end, tuple(members))
