"""YAML with places, from the events of PyYAML: nothing is constructed, no tag is obeyed, no alias is copied.

Events, not `yaml.compose`: that calls itself for every level, and the C version of it ends the process where the
levels are too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from mcpdoctor.clients.source import MAX_DEPTH, MAX_VALUES, Source, Trouble
from mcpdoctor.clients.values import Data, Document, Items, Liberty, Member, Scalar, Table, Taken, Value

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # twenty times as fast; not every build of PyYAML has it

# The core schema of YAML 1.2, which clients use; of YAML 1.1, `on` and `no` were true and false as well.
_WORDS: dict[str, Data] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE = re.compile(r"[-+]?[0-9]{1,19}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MERGE = "<<"


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is not closed yet."""

    start: int
    anchor: str | None
    mapping: bool
    members: list[Member] = field(default_factory=list)
    merged: list[Member] = field(default_factory=list)
    items: list[Value] = field(default_factory=list)
    key: Scalar | None = None
    keys: dict[str, None] = field(default_factory=dict)
    weight: int = 1
    height: int = 0  # of the values in it


def read_yaml(source: Source) -> Document:
    """Read the first document of a YAML file.

    Raises:
        Unreadable: it is not YAML, or its values are too many or stand too deep in one another.
    """
    reader = _Reader(source)
    try:
        for event in _events(source):
            reader.take(event)
            if reader.enough:
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(filter(None, (error.context, error.problem))) or "this is not understood"
        at = mark.index if mark else 0
        raise source.unreadable(at, f"not valid YAML: {what}", "correct the line") from error
    except yaml.reader.ReaderError as error:
        found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", source.text)
        at = found.start() if found else 0
        what = f"not valid YAML: the character U+{ord(source.text[at]):04X} is not allowed"
        raise source.unreadable(at, what, "remove it") from error
    root = reader.root
    if root is None:
        raise source.unreadable(0, "the file holds no value", "write the configuration", Trouble.EMPTY)
    return Document(source=source, root=root, taken=tuple(reader.taken))


def _events(source: Source) -> Iterator[Any]:
    return iter(yaml.parse(source.text, Loader=_LOADER))  # type: ignore[no-untyped-call,unused-ignore]


class _Reader:
    """The state of reading one text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Value | None = None
        self.enough = False
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Value, int, int] | None] = {}
        self.taken: list[Taken] = []

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            start, end = self.span(event)
            self.taken.append(Taken(Liberty.SECOND_DOCUMENT, Value(self.source, start, end)))
            self.enough = True
        elif isinstance(event, yaml.ScalarEvent):
            self.tag(event, event.implicit[0] or event.implicit[1])
            start, end = self.span(event)
            data = _resolved(event.value) if event.implicit[0] and not event.style else event.value
            self.add(Scalar(self.source, start, end, data), event.anchor, 1, 0)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self.tag(event, event.implicit)
            start, _ = self.span(event)
            if len(self.open) >= MAX_DEPTH:
                raise self.source.too_deep(start)
            self.open.append(_Open(start, event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if event.anchor:
                self.anchors[event.anchor] = None
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.close(event)

    def span(self, event: Any) -> tuple[int, int]:
        # Not by line and column: YAML counts line ends that no editor does.
        return event.start_mark.index, event.end_mark.index

    def tag(self, event: Any, implicit: bool) -> None:
        if event.tag and not implicit:
            self.taken.append(Taken(Liberty.TAG, Value(self.source, *self.span(event))))

    def alias(self, event: Any) -> None:
        start, end = self.span(event)
        found = self.anchors.get(event.anchor)
        if found is None:
            what = f"the alias *{event.anchor} stands before its anchor, or inside of it"
            raise self.source.unreadable(start, f"not valid YAML: {what}", "write the value out")
        value, weight, height = found
        self.add(replace(value, start=start, end=end), None, weight, height)

    def close(self, event: Any) -> None:
        inner = self.open.pop()
        _, end = self.span(event)
        end = len(self.source.text[inner.start : end].rstrip()) + inner.start  # a block ends where the next one begins
        value: Value
        if inner.mapping:
            own = {one.name for one in inner.members}
            merged = [one for one in inner.merged if one.name not in own]
            value = Table(self.source, inner.start, end, (*merged, *inner.members))
        else:
            value = Items(self.source, inner.start, end, tuple(inner.items))
        self.add(value, inner.anchor, inner.weight, inner.height + 1)

    def add(self, value: Value, anchor: str | None, weight: int, height: int) -> None:
        """Put a value that is complete where it belongs."""
        if anchor:
            self.anchors[anchor] = (value, weight, height)
        if not self.open:
            self.root = value
            return
        inner = self.open[-1]
        inner.weight += weight
        inner.height = max(inner.height, height)
        if inner.weight > MAX_VALUES:
            raise self.source.too_many(value.start)
        if inner.height + len(self.open) > MAX_DEPTH:
            raise self.source.too_deep(value.start)
        if not inner.mapping:
            inner.items.append(value)
        elif inner.key is None:
            self.key(inner, value)
        else:
            if inner.key.data == _MERGE:
                inner.merged += _members(value)
            else:
                inner.members.append(Member(inner.key, value))
            inner.key = None

    def key(self, inner: _Open, value: Value) -> None:
        if not isinstance(value, Scalar):
            what = "not a client configuration: a list or mapping stands as a key"
            raise self.source.unreadable(value.start, what, "write a text as the key")
        inner.key = value
        if str(value.data) in inner.keys:
            self.taken.append(Taken(Liberty.DUPLICATE_KEY, value))
        inner.keys[str(value.data)] = None


def _members(value: Value) -> list[Member]:
    """What a merge key brings: the members of one mapping, or of each of a list; the first one counts."""
    tables = value.items if isinstance(value, Items) else (value,)
    return [one for table in reversed(tables) if isinstance(table, Table) for one in table.members]


def _resolved(text: str) -> Data:
    """What a scalar without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if len(text) < 400 and _FLOAT.fullmatch(text) else text
