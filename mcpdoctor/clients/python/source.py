"""Text of a program: decode it, parse it, and tell where each node stands in it.

Whatever a file holds, this gives a tree or one sentence; it does not raise.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from mcpdoctor.clients.python.values import Place

MOST_CHARACTERS = 1 << 20
"""The parser takes a second and 200 MB for this much; nobody writes more by hand."""

_LINE = re.compile(r"\r\n?|\n")  # what ends a line for Python; str.splitlines knows more
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


class Unreadable(Exception):
    """The text is not a program that this Python can parse; the message says why, in a few words."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def decode(data: bytes) -> str:
    """The text of a program, by its byte order mark or its coding cookie, else UTF-8.

    Raises:
        Unreadable: it is in another encoding, or names one that does not exist.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data[:4096]).readline)
        return data.decode(encoding)
    # A cookie may name any codec: of those that make no text of bytes, such as zlib, each raises what it likes.
    except Exception as error:
        raise Unreadable(f"not readable as text: {type(error).__name__}") from error


def parse(text: str) -> ast.Module:
    """The tree of a program.

    Raises:
        Unreadable: it does not parse, or is too large or too deep to try.
    """
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"longer than {MOST_CHARACTERS:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know: whoever runs the program is told
            return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(f"not Python: {error.msg}", error.lineno or 1) from error
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:  # null bytes; nesting
        raise Unreadable(f"not parsed: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Part:
    """A run of lines that counts for itself: the whole file, or one cell of a notebook.

    Attributes:
        first: number of its first line in the joined tree.
        lines: its lines without their ends.
        cell: number of the cell; None for a file.
    """

    first: int
    lines: Sequence[str]
    cell: int | None = None


class Positions:
    """Turns the positions of nodes, which Python counts in bytes of UTF-8, into places."""

    def __init__(self, file: str, parts: Sequence[Part]) -> None:
        self.file = file
        self._parts = parts
        self._firsts = [part.first for part in parts]
        self._wide: dict[int, tuple[list[int], list[int]]] = {}

    def place(self, node: ast.expr | ast.stmt) -> Place:
        """Where `node` stands."""
        part = self._parts[max(0, bisect_right(self._firsts, node.lineno) - 1)]
        line = node.lineno - part.first + 1
        column = self._column(part, node.lineno, node.col_offset)
        end_line = node.lineno if node.end_lineno is None else node.end_lineno
        end_column = column if node.end_col_offset is None else self._column(part, end_line, node.end_col_offset)
        return Place(
            file=self.file,
            line=line,
            column=column,
            end_line=end_line - part.first + 1,
            end_column=end_column,
            cell=part.cell,
        )

    def _column(self, part: Part, number: int, offset: int) -> int:
        index = number - part.first
        text = part.lines[index] if index < len(part.lines) else ""
        if text.isascii():
            return offset + 1
        # Once for each line, so that a thousand calls on one long line do not take a thousand times its length.
        wide = self._wide.get(number)
        if wide is None:
            ends, extras, extra = [], [], 0
            for found in _BEYOND_ASCII.finditer(text):
                size = len(found[0].encode("utf-8", "surrogatepass"))
                ends.append(found.start() + extra + size)
                extra += size - 1
                extras.append(extra)
            wide = self._wide[number] = (ends, extras)
        before = bisect_right(wide[0], offset)
        return offset + 1 - (wide[1][before - 1] if before else 0)


def lines_of(text: str) -> list[str]:
    """The lines of `text` as Python's parser counts them, without their ends."""
    return _LINE.split(text)
