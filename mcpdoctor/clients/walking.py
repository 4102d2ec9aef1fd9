"""Walk a tree and read what may matter: the only module of the readers that touches the file system.

Most files of a tree have nothing to do with MCP. So every file is read once, in one piece, and searched for a few
bytes; only the few that hold one of them go on to a parser.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MOST_BYTES = 8 << 20
"""No file of a client and no program that a person wrote is larger; what is, gets a note instead of a look."""

SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".jj",
        "node_modules",
        "bower_components",
        ".venv",
        "venv",
        "site-packages",
        "dist-packages",
        "__pycache__",
        "build",
        "dist",
        ".eggs",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".terraform",
        "cdk.out",
    }
)
"""Directories that hold what others wrote, or what a tool made."""

_VENV = "pyvenv.cfg"
_CHUNK = 1 << 16  # nearly every file fits; a larger buffer would cost each of them a mapping of memory
# A fifo would hold us up for good, and what is a link by now was a file when its directory was read.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class Wanted(Protocol):
    """Which files to read, and what to look for in them."""

    def __call__(self, name: str, /) -> tuple[bytes, ...] | None:
        """The needles for a file of this name: it is given on if it holds one of them, or if there are none.

        Returns:
            None for a file that is not to be read at all.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file that was asked for.

    Attributes:
        path: as the root was given, with what is below it.
        data: what it holds; empty where it was not read.
        reason: why it was not read; None where it was.
    """

    path: str
    data: bytes = b""
    reason: str | None = None


def by_suffix(needles: dict[str, tuple[bytes, ...]]) -> Wanted:
    """Ask for files by the end of their name: `{".py": (b"mcp",)}`."""
    get = needles.get

    def wanted(name: str, /) -> tuple[bytes, ...] | None:
        return get(name[name.rfind(".") :])

    return wanted


def walk(
    roots: Iterable[str], wanted: Wanted, *, most: int = MOST_BYTES, skipped: frozenset[str] = SKIPPED
) -> Iterator[Found]:
    """The files below `roots` that hold what is looked for, in the order of their names.

    Links are not followed below a root: what they lead to inside the tree is found there, and the rest is not ours to
    read; so there are no loops either. A root that is a link is followed, since somebody named it. A root that is a
    file is given on whatever it holds.

    Args:
        roots: files and directories.
        wanted: which files of a directory to read.
        most: bytes; a larger file is given on with a reason.
        skipped: names of directories not to look into, below a root.
    """
    for root in roots:
        if Path(root).is_dir():
            yield from _below(root, wanted, most, skipped)
        else:
            yield _found(root, (), most, follow=True) or Found(path=root)


def _below(root: str, wanted: Wanted, most: int, skipped: frozenset[str]) -> Iterator[Found]:
    pending = [root]  # a list, not recursion: trees can be deeper than Python's stack
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(directory) as listing:
                entries = sorted(listing, key=_name)
        except OSError as error:
            yield Found(path=directory, reason=_why(error))
            continue
        inner: list[str] = []
        for entry in entries:
            name = entry.name
            needles = wanted(name)
            if needles is not None and entry.is_file(follow_symlinks=False):
                found = _found(entry.path, needles, most)
                if found is not None:
                    yield found
            elif name == _VENV and directory != root:
                inner.clear()
                break
            elif name not in skipped and entry.is_dir(follow_symlinks=False):
                inner.append(entry.path)
        pending.extend(reversed(inner))


_name: Callable[[os.DirEntry[str]], str] = lambda entry: entry.name  # noqa: E731  # called for every file of the tree


def _found(path: str, needles: tuple[bytes, ...], most: int, *, follow: bool = False) -> Found | None:
    """The file, if it holds one of `needles`. With bare descriptors, since buffered files cost three times as much."""
    try:
        descriptor = os.open(path, _FLAGS & ~getattr(os, "O_NOFOLLOW", 0) if follow else _FLAGS)
        try:
            data = os.read(descriptor, _CHUNK)
            if len(data) == _CHUNK:
                data = _rest(descriptor, data, most)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        return Found(path=path, reason=_why(error))
    if len(data) > most:
        return Found(path=path, reason=f"larger than {most >> 20} MiB")
    for needle in needles:
        if needle in data:
            return Found(path=path, data=data)
    return None if needles else Found(path=path, data=data)


def _rest(descriptor: int, beginning: bytes, most: int) -> bytes:
    chunks, size = [beginning], len(beginning)
    while size <= most:
        chunk = os.read(descriptor, min(1 << 20, most + 1 - size))
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
