"""Words of a command line, each with the value of the file that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcpdoctor.clients.source import Place
from mcpdoctor.clients.values import Edit, Value
from mcpdoctor.model import Fact


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """One argument of a command.

    Attributes:
        text: as the program gets it.
        at: the value it stands in; a value may hold several words, where a shell takes it apart.
        certain: False where a variable that nobody can tell from here is a part of it.
    """

    text: str
    at: Value
    certain: bool = True

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.at.place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Something that reading an entry or a command line found. What it means, checks say.

    Attributes:
        kind: a slug, such as `option-unknown`.
        at: the value it is about.
        facts: what checks compare and texts name.
        edits: what would put it right, in the text of `at`; empty where that is not certain.
    """

    kind: str
    at: Value
    facts: Mapping[str, Fact] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()

    @property
    def place(self) -> Place:
        """Where it was found."""
        return self.at.place
