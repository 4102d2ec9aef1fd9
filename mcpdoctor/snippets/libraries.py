"""Python libraries that a snippet can be made for. Light, since every report shows one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mcpdoctor.catalogue import locate, tables
from mcpdoctor.forms import build


@dataclass(frozen=True, slots=True, kw_only=True)
class Packages:
    """What has to be installed."""

    signed: tuple[str, ...]
    unsigned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A Python library.

    Attributes:
        aliases: what people call it for short.
        packages: what its programs need.
        signed: a program that signs, as a template.
        unsigned: a program that does not.
        notes: sentences for people who use it.
    """

    name: str
    title: str
    packages: Packages
    signed: str
    unsigned: str
    source: str
    as_of: str
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@cache
def libraries() -> Mapping[str, Library]:
    """Read `snippets.toml`.

    Raises:
        Unusable: it does not parse, or an entry is not of the form that `checks/schema.json` gives.
    """
    return read_libraries(locate())


def read_libraries(directory: Path) -> Mapping[str, Library]:
    """Read it from a directory.

    Raises:
        Unusable: as for `libraries`.
    """
    path = directory / "snippets.toml"
    return {name: build(Library, {"name": name, **table}, f"{path}: [{name}]") for name, table in tables(path)}
