"""Take an exception apart, down to the errno."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from mcpdoctor.redaction import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One exception of a chain.

    Attributes:
        type: qualified name, such as `httpx.ConnectError`.
        message: its text, redacted and capped.
        errno: symbolic name where the exception carries one: `ECONNREFUSED`, `EAI_NONAME`.
    """

    type: str
    message: str = ""
    errno: str | None = None


Chain = tuple[Failure, ...]
"""One failure taken apart: outermost exception first, root cause last."""

_Path = tuple[BaseException, ...]

MAX_DEPTH = 64
"""Longest chain."""

MAX_LEAVES = 200
"""Most chains of one exception."""

# Ranking sees more leaves than are reported: the one that matters may be the last of a thousand cancelled tasks.
_MAX_VISITED = 5000

# How a task is stopped, never why.
_CANCELLED = {"asyncio.exceptions.CancelledError", "concurrent.futures.CancelledError", "trio.Cancelled"}

# How streams, generators and queues say "nothing more"; behind another exception they explain nothing.
_CLEANUP = _CANCELLED | {
    "GeneratorExit",
    "StopAsyncIteration",
    "StopIteration",
    "anyio.BrokenResourceError",
    "anyio.ClosedResourceError",
    "anyio.EndOfStream",
    "anyio.WouldBlock",
    "asyncio.queues.QueueEmpty",
}

# What is raised while something else is torn down.
_CLEANUP_TEXT = re.compile(
    r"Attempted to exit (?:a )?cancel scope|generator didn't stop after a?throw"
    r"|(?:aclose\(\): )?async(?:hronous)? generator (?:is already running|ignored GeneratorExit)"
)

_ERRNO_TEXT = re.compile(r"\[(?:Errno|WinError) (-?\d{1,6})\] ?([^\n]{0,200})")
_NODE_TEXT = re.compile(
    r"(?<![\w/.-])(ECONNREFUSED|ECONNRESET|ECONNABORTED|ENOTFOUND|EAI_[A-Z]{3,10}|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH"
    r"|ENOENT|EPROTO)\b"
)
_SSL_TEXT = re.compile(r"\[(?:SSL|X509): ([A-Z0-9_]{1,80})\]")

# Error numbers of Windows that stand in texts in the language of that machine.
_WINDOWS = {
    10051: "ENETUNREACH",
    10053: "ECONNABORTED",
    10054: "ECONNRESET",
    10060: "ETIMEDOUT",
    10061: "ECONNREFUSED",
    10065: "EHOSTUNREACH",
    11001: "EAI_NONAME",
    11002: "EAI_AGAIN",
    11003: "EAI_FAIL",
    11004: "EAI_NODATA",
}

# Sorted, so that EAI_NONAME wins over EAI_NODATA where a platform gives both one number.
_EAI = {getattr(socket, name): name for name in sorted(dir(socket)) if name.startswith("EAI_")}


def unwrap(exc: BaseException, *, secrets: Collection[str] = ()) -> tuple[Chain, ...]:
    """Take one exception apart into a chain for each leaf.

    Members of groups and causes are both followed, through `raise … from None`, because the errno that a library hid is
    what explains the failure. Left out is what only tells how tasks were stopped.

    Args:
        exc: any exception or exception group, of the standard library or of a backport.
        secrets: literal strings to mask in messages, as for `redaction.clean`.

    Returns:
        At least one chain, the best candidate first: leaves that are mere clean-up come last, otherwise in the order of
        the groups. At most `MAX_LEAVES` chains of at most `MAX_DEPTH` failures.
    """
    return chains_of(paths(exc), secrets=secrets)


def paths(exc: BaseException) -> list[_Path]:
    """The exceptions themselves along each chain that `unwrap` gives, in the same order."""
    found = list(islice(_walk(exc, (), set()), _MAX_VISITED)) or [(exc,)]
    found.sort(key=_rank)
    return found[:MAX_LEAVES]


def chains_of(found: Sequence[_Path], *, secrets: Collection[str] = ()) -> tuple[Chain, ...]:
    """Read the exceptions of `paths` into chains, each exception once."""
    read: dict[int, Failure] = {}
    for path in found:
        for link in path:
            if id(link) not in read:
                read[id(link)] = _read(link, secrets)
    return tuple(tuple(read[id(link)] for link in path) for path in found)


def format_chain(chain: Chain) -> str:
    """Write a chain as one line, outermost exception first.

    Args:
        chain: failures as `unwrap` gives them.

    Returns:
        `type: message <- type: message`; a message is not said again by the exception that wraps or causes it.
    """
    parts = []
    before = ""
    for failure in chain:
        message = " ".join(failure.message.split())
        parts.append(f"{failure.type}: {message}" if message not in ("", before) else failure.type)
        before = message
    return " <- ".join(parts)


def _walk(exc: BaseException, above: _Path, met: set[int]) -> Iterator[_Path]:
    """Yield the path to each leaf and on to its root cause.

    `met` holds what was met in the same tree of groups: a leaf that is in it twice is reported once. A new tree starts
    behind each leaf with nothing but the path to it, so that a cause that two leaves share is shown for both.
    """
    if id(exc) in met:
        return
    met.add(id(exc))
    path = (*above, exc)
    members = _members(exc)
    behind = _behind(exc)
    inner = members if behind is None else [*members, behind]
    leaf = True
    if len(path) < MAX_DEPTH:
        tree = met if members else {id(link) for link in path}
        for each in inner:
            for found in _walk(each, path, tree):
                leaf = False
                yield found
    # A group with nothing in it but what was met already has no leaf of its own.
    if leaf and (not members or len(path) == MAX_DEPTH):
        yield path


def _members(exc: BaseException) -> Sequence[BaseException]:
    """Give the members of a group, by its shape and not its class: backports are groups too."""
    try:
        members = getattr(exc, "exceptions", ())
    except Exception:  # noqa: BLE001 - a property of somebody else that is broken
        return ()
    if isinstance(members, Sequence) and all(isinstance(member, BaseException) for member in members):
        return members
    return ()


def _behind(exc: BaseException) -> BaseException | None:
    """Give what led to an exception, looking through noise.

    Returns:
        The explicit cause, else the context even where `raise … from None` hid it; for a group the cause only, because
        its context is how the task group was cancelled.
    """
    looked_at: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in looked_at:
        looked_at.add(id(link))
        if link.__cause__ is not None:
            link, noise = link.__cause__, _CANCELLED
        elif _members(link):
            return None
        else:
            link, noise = link.__context__, _CLEANUP
        if link is not None and _type_name(link) not in noise:
            return link
    return None


def _rank(path: _Path) -> int:
    """Order chains: 0 a real leaf, 1 clean-up that a real cause stands behind, 2 nothing but clean-up."""
    start = max((depth + 1 for depth, link in enumerate(path) if _members(link)), default=0)
    own = [is_cleanup(name := _type_name(link), _text(link) if name == "RuntimeError" else "") for link in path[start:]]
    return (own[:1] == [True]) + all(own)


def is_noise(name: str, *, explicit: bool) -> bool:
    """Whether what stands behind an exception explains nothing, by its printed name.

    Args:
        name: as printed; private modules may be part of it.
        explicit: whether it is the cause that was given (`raise … from`), and not the context.
    """
    public = ".".join(part for part in name.split(".") if not part.startswith("_"))
    return any(known == public or known.endswith(f".{public}") for known in (_CANCELLED if explicit else _CLEANUP))


def is_cleanup(name: str, message: str) -> bool:
    """Whether an exception is mere clean-up: raised because something else failed.

    Args:
        name: its qualified name, or the end of it where a text shows no more.
        message: its text.
    """
    if name in _CLEANUP or (name == "RuntimeError" and _CLEANUP_TEXT.match(message)):
        return True
    return "." not in name and any(known.endswith(f".{name}") for known in _CLEANUP)


def _read(exc: BaseException, secrets: Collection[str]) -> Failure:
    text = _text(exc)
    return Failure(type=_type_name(exc), message=clean(text, secrets=secrets), errno=_errno(exc, text))


def _type_name(exc: BaseException) -> str:
    """Give the public qualified name: a class is not known to its users by the private module it lives in."""
    cls = type(exc)
    first, *rest = str(cls.__module__).split(".")
    public = [first, *(part for part in rest if not part.startswith("_"))]
    return cls.__qualname__ if first == "builtins" else ".".join((*public, cls.__qualname__))


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - a broken `__str__` of somebody else must not hide the failure it belongs to
        return "<unprintable>"


def _errno(exc: BaseException, text: str) -> str | None:
    """Give the symbolic name of the error number, from the attribute or else from the text."""
    if isinstance(exc, ssl.SSLError):
        # Its errno counts in OpenSSL's own numbers; the reason is there only where OpenSSL itself raised.
        return getattr(exc, "reason", None) or errno_in(text)
    number = exc.errno if isinstance(exc, OSError) else None
    if not isinstance(number, int):
        return errno_in(text)
    return _EAI.get(number) if isinstance(exc, socket.gaierror) else _posix(number)


def errno_in(text: str) -> str | None:
    """Find an error number, or its name as Node writes it, in a message: httpx keeps of what it wraps only the text."""
    if named := _SSL_TEXT.search(text):
        return named[1]
    if numbered := _ERRNO_TEXT.search(text):
        return _numbered(int(numbered[1]), numbered[2])
    named = _NODE_TEXT.search(text)
    return named[1] if named else None


def _numbered(number: int, words: str) -> str | None:
    """Name an error number of a text, which another system may have written: where the two differ, the words count."""
    if number in _WINDOWS:
        return _WINDOWS[number]
    said = next((name for text, name in _strerrors().items() if words.startswith(text)), None)
    if number in _EAI and said is None:
        return _EAI[number]
    return said or _posix(number)


@cache
def _strerrors() -> dict[str, str]:
    """The words of this system for each error, the longest first, with its name."""
    words = {os.strerror(number): name.removeprefix("WSA") for number, name in errno.errorcode.items()}
    return dict(sorted(words.items(), key=lambda pair: -len(pair[0])))


def _posix(number: int) -> str | None:
    """Give one name on every system: Windows calls ECONNREFUSED WSAECONNREFUSED."""
    name = errno.errorcode.get(number)
    return name and name.removeprefix("WSA")
