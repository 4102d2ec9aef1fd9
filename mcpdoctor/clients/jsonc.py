"""JSON with places; comments, trailing commas and repeated keys are noted and read over.

A scanner of our own: see docs/design.md for the libraries that were compared. It goes through the text once, keeps its
own stack, and looks at no character twice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from mcpdoctor.clients.source import MAX_DEPTH, MAX_VALUES, Source, Trouble, Unreadable
from mcpdoctor.clients.values import Data, Document, Items, Liberty, Member, Scalar, Table, Taken, Value

_SPACE = re.compile(r"[ \t\r\n]*+")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"')
_UNCLOSED = re.compile(_STRING.pattern[:-1])
_NUMBER = re.compile(r"-?+(?:0|[1-9][0-9]*+)(\.[0-9]++)?+([eE][+-]?+[0-9]++)?+(?![\w.+-])")
_WORD = re.compile(r"[^\s,:{}\[\]\"'/\x00]{1,40}+")
_WORDS: dict[str, Data] = {"true": True, "false": False, "null": None}
_EXACT_DIGITS = 19
"""Longer whole numbers are read as floating point, as JavaScript does; making an int of a million digits takes long."""


@dataclass(slots=True)
class _Open:
    """An object or list that is not closed yet."""

    start: int
    keys: dict[str, None] | None  # None in a list
    members: list[Member] = field(default_factory=list)
    items: list[Value] = field(default_factory=list)
    key: Scalar | None = None


def read_json(source: Source) -> Document:
    """Read JSON, with the liberties that configuration files take.

    Raises:
        Unreadable: it is not JSON even so, or its values stand too deep in one another.
    """
    return _Reader(source).read()


class _Reader:
    """The state of reading one text."""

    def __init__(self, source: Source) -> None:
        self.source, self.at, self.count = source, 0, 0
        self.text = source.text + "\0"  # no text holds it: what reads the end of the text reads this, and refuses it
        self.open: list[_Open] = []
        self.taken: list[Taken] = []

    def read(self) -> Document:
        if self.source.marked:
            self.taken.append(Taken(Liberty.BYTE_ORDER_MARK, Value(self.source, 0, 0)))
        root = self.value(self.skip())
        while root is None:
            root = self.next()
        if self.skip() != "\0":
            raise self.wrong("something stands after the end of the configuration", "remove it, or a bracket before it")
        return Document(source=self.source, root=root, taken=tuple(self.taken))

    def next(self) -> Value | None:
        """Read one more value of what is open, or close it; the value of the whole file once nothing is open."""
        inner = self.open[-1]
        char, comma = self.skip(), -1
        if char == "," and (inner.members or inner.items):
            comma, self.at = self.at, self.at + 1
            char = self.skip()
        closing = "]" if inner.keys is None else "}"
        if char == closing:
            if comma >= 0:
                self.taken.append(Taken(Liberty.TRAILING_COMMA, Value(self.source, comma, comma + 1)))
            return self.close(inner)
        if comma < 0 and (inner.members or inner.items):
            raise self.unfinished(inner, f"a comma or {closing} is missing before", "add it")
        if inner.keys is not None:
            char = self.key(inner, inner.keys)
        value = self.value(char)
        if value is not None:
            self.add(value)
        return None

    def key(self, inner: _Open, known: dict[str, None]) -> str:
        """Read a key and its colon; the character after them."""
        found = _STRING.match(self.text, self.at)
        if not found:
            if self.text[self.at] == '"':
                raise self.bad_string()
            raise self.unfinished(inner, "a key in double quotes is missing before", "write every key in double quotes")
        name = self.string(found)
        inner.key = Scalar(self.source, self.at, found.end(), name)
        if name in known:
            self.taken.append(Taken(Liberty.DUPLICATE_KEY, inner.key))
        known[name] = None
        self.at = found.end()
        if self.skip() != ":":
            raise self.unfinished(inner, "a colon is missing before", "write it between key and value")
        self.at += 1
        return self.skip()

    def value(self, char: str) -> Value | None:
        """Read the value that begins with `char`; None where it is an object or list that has just been opened."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.source.too_many(self.at)
        if char in "{[":
            if len(self.open) >= MAX_DEPTH:
                raise self.source.too_deep(self.at)
            self.open.append(_Open(self.at, {} if char == "{" else None))
            self.at += 1
            return None
        if char == '"':
            found = _STRING.match(self.text, self.at)
            if not found:
                raise self.bad_string()
            return self.scalar(found.end(), self.string(found))
        if number := _NUMBER.match(self.text, self.at):
            return self.scalar(number.end(), _number(number))
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _WORDS:
            return self.scalar(word.end(), _WORDS[word[0]])
        raise self.no_value(char, word[0] if word else "")

    def scalar(self, end: int, data: Data) -> Scalar:
        start, self.at = self.at, end
        return Scalar(self.source, start, end, data)

    def add(self, value: Value) -> None:
        """Put a value that is complete into what is open."""
        inner = self.open[-1]
        if inner.key is not None:
            inner.members.append(Member(inner.key, value))
            inner.key = None
        else:
            inner.items.append(value)

    def close(self, inner: _Open) -> Value | None:
        self.at += 1
        self.open.pop()
        done: Value
        if inner.keys is None:
            done = Items(self.source, inner.start, self.at, tuple(inner.items))
        else:
            done = Table(self.source, inner.start, self.at, tuple(inner.members))
        if not self.open:
            return done
        self.add(done)
        return None

    def string(self, found: re.Match[str]) -> str:
        raw = found[0]
        if "\\" not in raw:
            return raw[1:-1]
        try:
            text = str(json.loads(raw))
        except ValueError as error:
            at = found.start() + max(0, getattr(error, "pos", 0))
            what = "not valid JSON: this backslash begins no escape that JSON knows"
            raise self.source.unreadable(at, what, "write \\\\ for a backslash") from error
        # One half of a surrogate pair can be written in JSON, and in nothing that we print.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def skip(self) -> str:
        """Go over space and comments; the character after them."""
        while True:
            char = self.text[self.at]
            if char in " \t\r\n":
                self.at = _end(_SPACE, self.text, self.at)
                char = self.text[self.at]
            if char != "/":
                return char
            if self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                end = len(self.text) - 1 if end < 0 else end
            elif self.text.startswith("/*", self.at):
                end = self.text.find("*/", self.at + 2) + 2
                if end == 1:
                    raise self.wrong("the comment that begins here has no end", "close it with */")
            else:
                return char
            self.count += 1
            if self.count > MAX_VALUES:
                raise self.source.too_many(self.at)
            self.taken.append(Taken(Liberty.COMMENT, Value(self.source, self.at, end)))
            self.at = end

    # refusals ---------------------------------------------------------------------------------------------------------

    def wrong(self, what: str, fix: str, trouble: Trouble = Trouble.SYNTAX) -> Unreadable:
        return self.source.unreadable(self.at, f"not valid JSON: {what}", fix, trouble)

    def unfinished(self, inner: _Open, what: str, fix: str) -> Unreadable:
        """Where something else was wanted: at the end of the file it is the bracket that is missing."""
        if self.text[self.at] != "\0":
            return self.wrong(f"{what} {_shown(self.text[self.at])}", fix)
        place = self.source.place(inner.start)
        kind = "{" if inner.keys is not None else "["
        what = f"the file ends, and the {kind} of line {place.line}, column {place.column} is not closed"
        return self.wrong(what, "close it")

    def bad_string(self) -> Unreadable:
        """Say where a text goes wrong: it has no end, or holds what must be written as an escape."""
        start = self.at
        self.at = _end(_UNCLOSED, self.text, start)
        char = self.text[self.at]
        if char in "\0\n\r\\":
            self.at = start
            return self.wrong("the text that begins here is not closed on its line", 'close it with "')
        return self.wrong(f"{_shown(char)} stands in a text", f"write it as \\u{ord(char):04x}")

    def no_value(self, char: str, word: str) -> Unreadable:
        if char == "\0" and self.open:
            return self.unfinished(self.open[-1], "", "")
        if char == "\0":
            return self.wrong("the file holds no value", "write an object in braces", Trouble.EMPTY)
        if char == "'":
            return self.wrong("a text stands in single quotes", "write double quotes")
        if word.isascii() and word.isprintable() and word:
            return self.wrong(f"{word} is no value", "write a text in double quotes, a number, true, false or null")
        return self.wrong(f"a value is missing before {_shown(char)}", "write it, or remove the comma or key before it")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _number(found: re.Match[str]) -> int | float:
    if found[1] or found[2] or found.end() - found.start() > _EXACT_DIGITS:
        return float(found[0])
    return int(found[0])


def _shown(char: str) -> str:
    """One character, safe to show."""
    return char if char.isprintable() and not char.isspace() else f"U+{ord(char):04X}"
