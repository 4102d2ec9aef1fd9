"""Make values: of pieces of text, of variables of the environment, and of other values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcpdoctor.clients.python import texting
from mcpdoctor.clients.python.texting import Pieces
from mcpdoctor.clients.python.values import Hole, Place, Plain, Value

HEAVIEST = 5_000
"""Values within a value, each counted as often as it is met: tables of tables of the same table would have no end."""


def unknown(place: Place, name: str = "", *, variable: str | None = None) -> Value:
    """A value of which nothing is known but, perhaps, what it is called."""
    pieces: Pieces = (Hole(name),) if name else ()
    return Value(place=place, certain=False, from_environment=variable, pieces=pieces)


def uncertain(value: Value) -> Value:
    """The value as a default that something may override."""
    return replace(value, certain=False) if value.certain else value


def of_pieces(pieces: Pieces, place: Place) -> Value:
    """A text: certain where there are no holes, a default where each hole has one."""
    holes = [piece for piece in pieces if isinstance(piece, Hole)]
    if not holes:
        return Value(value="".join(str(piece) for piece in pieces), place=place)
    variable = next((hole.name for hole in holes if hole.environment and hole.name), None)
    return Value(value=texting.likely(pieces), place=place, certain=False, from_environment=variable, pieces=pieces)


def environment(name: str | None, default: Value | None, place: Place) -> Value:
    """What a variable of the environment holds: not known, but its default is what it is where nobody sets it."""
    given: Plain = None
    if default is not None and not isinstance(default.value, (tuple, Mapping)):
        given = default.value
    hole = Hole(name or "", given if isinstance(given, str) else None, environment=True)
    return Value(value=given, place=place, certain=False, from_environment=name, pieces=(hole,))


def moved(value: Value, place: Place) -> Value:
    """The value as it is used somewhere else."""
    return replace(value, place=place, origin=value.origin or value.place)


def open_ended(value: Value) -> Value:
    """A container that the program alters: what its literal says is a part of it, and may be overwritten."""
    if isinstance(value.value, tuple):
        return replace(value, value=tuple(uncertain(one) for one in value.value), certain=False)
    if isinstance(value.value, Mapping):
        return replace(value, value={name: uncertain(one) for name, one in value.value.items()}, certain=False)
    return value


def concatenated(values: list[Value], place: Place) -> Value:
    """Lists one after another; what is no list leaves it open how many elements there are."""
    items: list[Value] = []
    for one in values:
        items.extend(one.items if isinstance(one.value, tuple) else (uncertain(one),))
        if len(items) > HEAVIEST:
            return unknown(place)
    certain = all(one.certain and isinstance(one.value, tuple) for one in values)
    return Value(value=tuple(items), place=place, certain=certain)


def weight(value: Value) -> int:
    """How many values are in it; counting stops where it is too many."""
    count, pending = 0, [value]
    while pending and count <= HEAVIEST:
        one = pending.pop()
        count += 1 + (len(one.value) // 100 if isinstance(one.value, str) else 0)
        pending.extend(one.items)
        pending.extend(one.table.values())
    return count
