"""Read one file as text, once, and tell line and column of every character of it."""

from __future__ import annotations

import errno
import re
import stat
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from mcpdoctor.model import Unusable
from mcpdoctor.redaction import clean

MAX_BYTES = 16 * 1024 * 1024
"""Claude Code keeps its history beside its servers, in a file of some megabytes; nobody keeps more than this."""

MAX_DEPTH = 100
"""How deep values may stand in one another: several times what any client uses, and far from Python's own limit."""

MAX_VALUES = 500_000
"""The most values that one file may hold, those counted that an alias of YAML repeats: a bound on time and memory."""

_LINE_END = re.compile(r"\r\n?|\n")
_SHOWN_PATH = 300
_SHOWN_TEXT = 300
_UNTEXTLIKE = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")
_OTHER_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),  # before UTF-16, which begins with the same two bytes
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


class Trouble(StrEnum):
    """Why a file cannot be read."""

    MISSING = "missing"
    NOT_A_FILE = "not-a-file"  # a directory, a pipe, a device
    LINK_LOOP = "link-loop"
    FORBIDDEN = "forbidden"  # the operating system does not let us read it
    TOO_BIG = "too-big"
    TOO_DEEP = "too-deep"
    ENCODING = "encoding"  # text, and not in UTF-8
    BINARY = "binary"
    EMPTY = "empty"
    SYNTAX = "syntax"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands; lines and columns count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{clean(self.file, limit=_SHOWN_PATH)}:{self.line}:{self.column}"


class Unreadable(Unusable):
    """A file that cannot be read as what it should be.

    Attributes:
        trouble: why, as a script may branch on it.
        place: where it was noticed; the beginning of the file where it is about the whole.
        what: what is wrong, without a full stop.
        fix: what to do, without a full stop.
    """

    def __init__(self, trouble: Trouble, place: Place, what: str, fix: str) -> None:
        what = clean(what, limit=_SHOWN_TEXT)  # what a library says may hold characters of the file
        self.trouble, self.place, self.what, self.fix = trouble, place, what, fix
        super().__init__(f"{place}: {what}; {fix}.")


@dataclass(frozen=True)
class Source:
    """The text of one file.

    Attributes:
        file: its path, as it shall be shown.
        text: the text without a byte order mark.
        marked: whether the file began with a byte order mark, which strict JSON readers refuse.
    """

    file: str
    text: str
    marked: bool = False

    @cached_property
    def _starts(self) -> list[int]:
        if "\r" in self.text:  # alone, it ends a line for Python and for editors
            return [0, *(found.end() for found in _LINE_END.finditer(self.text))]
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def place(self, offset: int) -> Place:
        """Line and column of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        return Place(self.file, line, offset - self._starts[line - 1] + 1)

    def offset(self, line: int, column: int) -> int:
        """The reverse of `place`; what lies outside of the text is taken for its end."""
        if line > len(self._starts):
            return len(self.text)
        return min(self._starts[line - 1] + column - 1, len(self.text))

    def unreadable(self, offset: int, what: str, fix: str, trouble: Trouble = Trouble.SYNTAX) -> Unreadable:
        """The refusal of this text, because of what stands at `offset`."""
        return Unreadable(trouble, self.place(offset), what, fix)

    def too_deep(self, offset: int) -> Unreadable:
        """The refusal of this text for values that stand too deep in one another."""
        what = f"values stand more than {MAX_DEPTH} deep in one another"
        return self.unreadable(offset, what, "check whether this is a client configuration", Trouble.TOO_DEEP)

    def too_many(self, offset: int) -> Unreadable:
        """The refusal of this text for its many values."""
        what = f"the file holds more than {MAX_VALUES} values"
        return self.unreadable(offset, what, "check whether this is a client configuration", Trouble.TOO_BIG)


def read(path: Path, *, limit: int = MAX_BYTES) -> Source:
    """Read a file.

    Args:
        path: the file; links to it are followed.
        limit: the most bytes to read.

    Raises:
        Unreadable: it is no file, cannot be read, is larger than `limit`, or holds no text in UTF-8.
    """
    start = Place(str(path), 1, 1)
    try:
        # Asked for before opening: opening a pipe would wait for somebody to write to it.
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            kind = "a directory" if stat.S_ISDIR(about.st_mode) else "neither a file nor a directory"
            raise Unreadable(Trouble.NOT_A_FILE, start, f"this is {kind}", "give the path of a configuration file")
        if about.st_size <= limit:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        if about.st_size > limit or len(data) > limit:
            what = f"the file is larger than {limit // 1024} KiB"
            raise Unreadable(Trouble.TOO_BIG, start, what, "no client configuration is that large; check the path")
    except (OSError, ValueError) as error:  # ValueError: a null character in the path, and Unreadable itself
        if isinstance(error, Unreadable):
            raise
        raise _refused(error, start) from error
    return decode(data, str(path))


def decode(data: bytes, file: str) -> Source:
    """Make text of bytes.

    Raises:
        Unreadable: they are not UTF-8, or no text.
    """
    for mark, name in _OTHER_ENCODINGS:
        if data.startswith(mark):
            what = f"the file is in {name}, and clients read UTF-8"
            raise Unreadable(Trouble.ENCODING, Place(file, 1, 1), what, "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8-sig")) + 1
        if _binary(data):
            raise _no_text(Place(file, line, column)) from error
        what = f"byte 0x{error.object[error.start]:02X} is not UTF-8"
        raise Unreadable(Trouble.ENCODING, Place(file, line, column), what, "save the file as UTF-8") from error
    source = Source(file, text, marked=data.startswith(b"\xef\xbb\xbf"))
    if (null := text.find("\0")) >= 0:
        if data[:400].count(0) >= min(len(data), 400) * 0.4:
            what = "the file is in UTF-16, and clients read UTF-8"
            raise source.unreadable(0, what, "save it as UTF-8", Trouble.ENCODING)
        raise _no_text(source.place(null))
    if not text.strip():
        raise source.unreadable(0, "the file is empty", "write the configuration or remove the file", Trouble.EMPTY)
    return source


def _binary(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 are no text in another encoding either."""
    head = data[:4096]
    return sum(byte in _UNTEXTLIKE for byte in head) > len(head) / 50


def _no_text(place: Place) -> Unreadable:
    return Unreadable(Trouble.BINARY, place, "the file holds binary data, no text", "check the path")


def _refused(error: OSError | ValueError, start: Place) -> Unreadable:
    number = getattr(error, "errno", None)
    if number == errno.ELOOP:
        return Unreadable(Trouble.LINK_LOOP, start, "the symbolic link leads back to itself", "remove the link")
    if number in (errno.ENOENT, errno.ENOTDIR):
        return Unreadable(Trouble.MISSING, start, "no such file", "check the path")
    if isinstance(error, PermissionError):
        return Unreadable(Trouble.FORBIDDEN, start, "the file may not be read", "change its permissions")
    what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return Unreadable(Trouble.FORBIDDEN, start, what, "check the path")
