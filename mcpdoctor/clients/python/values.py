"""A value that somebody wrote in a file: what it is, where it stands, and how sure that is.

Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Plain: TypeAlias = str | int | float | bool | None
Content: TypeAlias = "Plain | tuple[Value, ...] | Mapping[str, Value]"
"""A scalar, or a list or table of values that each have a place of their own."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where something stands, as compilers count it: from 1, in characters, a tab being one.

    Attributes:
        file: the path as it was given.
        end_line: line of the last character.
        end_column: the column after the last character.
        cell: number of the cell from 1, in a notebook; lines then count from the beginning of that cell.
    """

    file: str
    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1
    cell: int | None = None

    def __str__(self) -> str:
        """`file:line:column`."""
        cell = "" if self.cell is None else f":cell {self.cell}"
        return f"{self.file}{cell}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Hole:
    """A part of a text that is not written in the file.

    Attributes:
        name: what stands for it there: a variable of the environment, a name of the program, or nothing.
        default: what it is unless the environment or a caller says otherwise; None where nothing says that.
        environment: whether `name` is a variable of the environment.
    """

    name: str = ""
    default: str | None = None
    environment: bool = False


Piece = str | Hole


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value as far as it can be known without running anything.

    Attributes:
        value: what it is; None where it is not known (and where it is null: `certain` tells which).
        place: where it is used: the argument of the call, the entry of the file.
        certain: whether it is `value` whenever the program runs. Where not, a scalar is the default that something may
            override, and a list or table is the part of it that is known.
        from_environment: the first variable of the environment that decides about it.
        origin: where the literal stands, if that is somewhere else than `place`.
        pieces: what a text is put together of, where a part of it is not in the file; else empty.
    """

    value: Content = None
    place: Place
    certain: bool = True
    from_environment: str | None = None
    origin: Place | None = None
    pieces: tuple[Piece, ...] = ()

    @property
    def known(self) -> bool:
        """Whether anything is known of it, be it only a default."""
        return self.certain or self.value is not None

    @property
    def text(self) -> str | None:
        """The text, where it is certainly this one."""
        return self.value if self.certain and isinstance(self.value, str) else None

    @property
    def likely(self) -> str | None:
        """The text, where it is this one unless something overrides it."""
        return self.value if isinstance(self.value, str) else None

    @property
    def written(self) -> bool:
        """Whether the file says what it is: a literal, or the default of a variable of the environment."""
        defaults = (piece.environment and piece.default for piece in self.pieces if isinstance(piece, Hole))
        return self.certain or bool(self.from_environment and self.likely and self.pieces and all(defaults))

    @property
    def template(self) -> str | None:
        """The text with `{}` for what is not in the file, so that its fixed parts can be judged; None for no text."""
        if self.pieces:
            return "".join(piece if isinstance(piece, str) else "{}" for piece in self.pieces)
        return self.text

    @property
    def table(self) -> Mapping[str, Value]:
        """Its entries by key, as far as they are known; empty for what is no table."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def items(self) -> tuple[Value, ...]:
        """Its elements, as far as they are known; empty for what is no list."""
        return self.value if isinstance(self.value, tuple) else ()
