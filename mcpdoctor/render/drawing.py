"""What drawings for a terminal are made of: colours, texts that fit, tables, and small plots."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import click
from tabulate import tabulate

from mcpdoctor.redaction import clean

PLOT_COLUMNS = 48
"""Most characters of a plot, without what stands in front of it."""

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROWS = 2
_FULL = _ROWS * (len(_BLOCKS) - 1)
_LABEL = 10
_WIDEST_COLUMN = 3
_SHORTEST_NAME = 20
_NARROWEST = 40

_UNIT = re.compile(r"(?<=\d) (?=(?:s|%)(?:\W|$))")
_GLUE = "\x00"


class Paint:
    """ANSI colours, or none."""

    def __init__(self, *, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *, fg: str | None = None, bold: bool = False) -> str:
        """Paint a text."""
        return click.style(text, fg=fg, bold=bold or None) if self.on else text


def shortened(text: str, length: int) -> str:
    """A text that fits a column: of a long URL the middle is left out, since both ends tell it from others."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[head + 1 - length :]}"


def plain(text: str, limit: int = 200) -> str:
    """A text of somebody else on one line, without what a terminal would obey."""
    return clean(" ".join(text.split()), limit=limit)


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """The lines of a paragraph; a number and its unit stay together."""
    lines = textwrap.wrap(
        _UNIT.sub(_GLUE, text),
        width=max(width, _NARROWEST),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines]


def rows(
    headers: Sequence[str],
    cells: Sequence[Sequence[str]],
    width: int,
    painted: Mapping[int, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """A table of which the first column gives way where it is too wide; the others are what one looks for.

    Args:
        headers: names of the columns.
        cells: the rows.
        width: columns of the terminal.
        painted: by the number of a column, what to put in place of a word there: the same, but for colours.
    """
    # tabulate keeps two spaces between columns, and makes each two wider than its header at least.
    columns = list(zip(*cells, strict=True))[1:]
    taken = sum(2 + max(len(name) + 2, *map(len, column)) for name, column in zip(headers[1:], columns, strict=True))
    room = max(width - taken, _SHORTEST_NAME)
    drawn = [
        [shortened(row[0], room), *(painted.get(at, {}).get(cell, cell) for at, cell in enumerate(row[1:], start=1))]
        for row in cells
    ]
    return str(tabulate(drawn, headers, tablefmt="simple", disable_numparse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Accepted and refused requests, counted into columns.

    Attributes:
        accepted: how many, by column.
        refused: how many, by column.
        ticks: what to write under a column, the most important first; what has no room is left out.
        caption: what the columns are.
    """

    accepted: Sequence[int]
    refused: Sequence[int]
    ticks: Mapping[int, str] = field(default_factory=dict)
    caption: str = ""


def bands(plot: Plot, paint: Paint) -> Iterator[str]:
    """The lines of a plot: accepted above refused, both on the same scale; nothing where there is nothing to draw.

    The height of a column is its count; any count but 0 can be seen.
    """
    top = max((*plot.accepted, *plot.refused), default=0)
    if not top:
        return
    wide = max(1, min(_WIDEST_COLUMN, PLOT_COLUMNS // len(plot.accepted)))
    for name, counts, color in (("accepted", plot.accepted, "green"), ("refused", plot.refused, "red")):
        heights = [max(1, round(count / top * _FULL)) if count else 0 for count in counts]
        lines = [_row(heights, row, wide) for row in range(_ROWS)]
        # The row at the bottom bears the name; those above it only where they hold something.
        for line in (line for line in lines[:0:-1] if line):
            yield " " * _LABEL + paint(line, fg=color)
        yield f"{name:<{_LABEL}}" + (paint(lines[0], fg=color) if any(counts) else "none")
    yield " " * _LABEL + _axis(plot.ticks, wide)
    yield " " * _LABEL + f"{plot.caption}; full height: {top} request{'' if top == 1 else 's'}"


def _row(heights: Sequence[int], row: int, wide: int) -> str:
    most = len(_BLOCKS) - 1
    marks = (_BLOCKS[min(most, max(0, height - row * most))] for height in heights)
    return "".join((mark * max(1, wide - 1)).ljust(wide) for mark in marks).rstrip()


def _axis(ticks: Mapping[int, str], wide: int) -> str:
    line = ""
    for column, text in ticks.items():
        start = column * wide
        end = start + len(text)
        if not line[max(0, start - 1) : end + 1].strip():
            line = line.ljust(end)
            line = line[:start] + text + line[end:]
    return line
