"""Put texts together the way Python does, where some of their parts are not known.

A text is a tuple of pieces: strings, and holes for what is not written in the file.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote, urljoin

from mcpdoctor.clients.python.values import Hole, Piece, Plain, Value

MOST_TEXT = 20_000
"""Characters. No URL is longer, and names that double each other could make a text of any length."""
MOST_PIECES = 200

UNKNOWN = Hole()

Pieces = tuple[Piece, ...]

_PERCENT = re.compile(r"%(?:\((?P<name>[^()]*)\))?(?P<kind>[a-zA-Z%]|.)", re.DOTALL)
_AS_IT_IS = frozenset("sdi")


def joined(pieces: Iterable[Piece]) -> Pieces:
    """The pieces with neighbouring strings made one; a single hole where it is too much."""
    made: list[Piece] = []
    run: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece if isinstance(piece, str) else piece.default or "")
        if size > MOST_TEXT or len(made) > MOST_PIECES:
            return (UNKNOWN,)
        if isinstance(piece, str):
            run.append(piece)
        else:
            made += ["".join(run), piece]
            run = []
    made.append("".join(run))
    return tuple(piece for piece in made if piece != "") or ("",)


def pieces_of(value: Value) -> Pieces:
    """What `str(value)` is put together of."""
    if value.pieces:
        return value.pieces
    if value.certain and not isinstance(value.value, (tuple, Mapping)):
        return (shown(value.value),)
    if isinstance(value.value, (str, int, float)):
        return (Hole(value.from_environment or "", shown(value.value), value.from_environment is not None),)
    return (Hole(value.from_environment or "", None, value.from_environment is not None),)


def shown(value: Plain) -> str:
    """A scalar as `str` shows it; a number of more digits than Python prints as nothing."""
    try:
        return str(value)
    except ValueError:
        return ""


def fill_percent(template: Pieces, value: Value) -> Pieces:
    """`template % value`, with %s, %d and %i."""
    table = value.table
    rest = iter(value.items if isinstance(value.value, tuple) else (value,))

    def field(found: re.Match[str]) -> Pieces:
        if found["kind"] == "%" and not found["name"]:
            return ("%",)
        if found["kind"] not in _AS_IT_IS:
            return (UNKNOWN,)
        if found["name"] is not None:
            return pieces_of(table[found["name"]]) if found["name"] in table else (UNKNOWN,)
        given = next(rest, None)
        return (UNKNOWN,) if given is None else pieces_of(given)

    made: list[Piece] = []
    for piece in template:
        if isinstance(piece, Hole):
            made.append(piece)
            continue
        end = 0
        for found in _PERCENT.finditer(piece):
            if len(made) > 2 * MOST_PIECES:
                return (UNKNOWN,)
            made.append(piece[end : found.start()])
            made.extend(field(found))
            end = found.end()
        made.append(piece[end:])
    return joined(made)


def fill_braces(template: Pieces, positional: Sequence[Value], named: Mapping[str, Value], *, open_: bool) -> Pieces:
    """`template.format(…)`, for fields without a format of their own.

    Args:
        template: must be one string; anything else is not known.
        positional: the arguments.
        named: the keywords.
        open_: whether there may be more arguments than these.
    """
    if len(template) != 1 or not isinstance(template[0], str):
        return (UNKNOWN,)
    made: list[Piece] = []
    number = 0
    try:
        for literal, written, form, conversion in string.Formatter().parse(template[0]):
            made.append(literal)
            if len(made) > 2 * MOST_PIECES:
                return (UNKNOWN,)
            if written is None:
                continue
            name = written or str(number)
            number += not written
            value = named.get(name)
            if name.isascii() and name.isdigit() and len(name) < 4 and int(name) < len(positional) and not open_:
                value = positional[int(name)]
            made.extend(pieces_of(value) if value and not form and conversion in (None, "s") else (Hole(name),))
    except ValueError:  # it would fail when it runs, too
        return (UNKNOWN,)
    return joined(made)


def likely(pieces: Pieces) -> str | None:
    """The text with every hole at its default; None where one has none."""
    if any(isinstance(piece, Hole) and piece.default is None for piece in pieces):
        return None
    return "".join(piece if isinstance(piece, str) else piece.default or "" for piece in pieces)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    if (len(text) + 1) * len(new) > MOST_TEXT * 100:
        raise ValueError(count)  # it could be a text of gigabytes
    return text.replace(old, new, count)


Function = Callable[..., str | Sequence[str]]

METHODS: Mapping[str, Function] = {
    "capitalize": str.capitalize,
    "casefold": str.casefold,
    "lower": str.lower,
    "lstrip": str.lstrip,
    "partition": str.partition,
    "removeprefix": str.removeprefix,
    "removesuffix": str.removesuffix,
    "replace": _replace,
    "rpartition": str.rpartition,
    "rsplit": str.rsplit,
    "rstrip": str.rstrip,
    "split": str.split,
    "strip": str.strip,
    "upper": str.upper,
}
"""Methods of str that make a text, or several, of one."""

FUNCTIONS: Mapping[str, Function] = {
    "str": str,
    "urllib.parse.quote": quote,
    "urllib.parse.quote_plus": quote_plus,
    "urllib.parse.unquote": unquote,
    "urllib.parse.urljoin": urljoin,
    "pydantic.AnyUrl": str,
    "pydantic.AnyHttpUrl": str,
    "pydantic.HttpUrl": str,
}
"""Functions that make a text of texts: those that people build URLs with."""
