"""Read exceptions out of text: Python tracebacks and exception groups, as any tool prints them.

Margins of groups (`|`), boxes of rich and typer, IPython, pytest, loguru. Every line is looked at a fixed number of
times with bounded patterns, so that hostile text costs no more than its length.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from mcpdoctor.failures import MAX_DEPTH, Failure, errno_in, is_noise
from mcpdoctor.redaction import clean

MAX_MESSAGE = 4_000
"""Characters of one message that are kept."""

MAX_NODES = 20_000
"""Exceptions of one text that are kept."""

_MAX_NESTING = 12
_MAX_CONTINUED = 24  # lines of one message
_MAX_FOREIGN = 8  # lines of another thread between two frames

NAME = r"(?:[A-Za-z_]\w{0,80}\.){0,12}"
SUFFIX = (
    r"(?:Error|Exception|Timeout|Group|Interrupt|Exit|Expired|Failure|Failed|Refused|Denied|Fault|NotFound|Invalid"
    r"|TooLarge|Required|Unavailable|nvalidURL|nsupportedProtocol)"
)
"""How the names of exceptions end."""

_HEADER = re.compile(r"(?:\+ )?(?:Exception Group )?Traceback \(most recent call last\):?$")
_IPYTHON_HEADER = re.compile(r"[A-Za-z_][\w.]{0,120} {2,120}Traceback \(most recent call last\)$")
_BOX_HEADER = re.compile(r"╭─{1,400} ?(?:Exception Group )?Traceback \(most recent")
_BOX_MEMBER = re.compile(r"╭─{1,400} ?Sub-exception #\d{1,9} ?─{0,400}╮?$")
_EDGES = ("+", "╭", "╰", "├")
_BORDERS = ("╭", "╰", "├")
_FRAME = re.compile(r'(?:> ?)?File "([^"\n]{1,400})", line \d{1,9}(?:, in ([\w<>.]{1,120}))?')
_IPYTHON_FRAME = re.compile(r"(?:File|Cell|Input) (?:In\[\d{1,9}\], line|~?/?\S{1,400}:\d{1,9}, in |In \[)")
_BOX_FRAME = re.compile(r"(\S{1,400}\.py):\d{1,9} in ([\w<>.]{1,120})")
_IPYTHON_IN = re.compile(r"File (\S{1,400}):\d{1,9}, in ([\w<>.]{1,120})")
_RAISED = re.compile(rf"({NAME}[A-Za-z_]\w{{0,80}}):?(?: (.{{0,{MAX_MESSAGE}}}))?$")
_LINK = re.compile(
    r"(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):?$"
)
_MEMBER = re.compile(r"\+-{4,40} (?:\d{1,9}|\.\.\.) -{4,40}$")
_END = re.compile(r"\+-{20,80}$")
_MARGIN = re.compile(r"( {0,60})([|+])")
_SIDES = re.compile(r"(?:│ ?){1,12}")
_PYTEST = re.compile(r"E {1,120}(?=\S)")
_PYTEST_RAISED = re.compile(rf"({NAME}[A-Z]\w{{0,80}}?{SUFFIX})(?:: (.{{0,{MAX_MESSAGE}}})|:?$)")
_HUMPS = re.compile(r"[A-Z][a-z0-9]+[A-Z]")
_SUFFIXED = re.compile(rf"\w{{0,80}}{SUFFIX}$")
_LOG = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|(?:DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL|NOTICE)\b"
    r"|\[[\d:. -]{8,40}\]|\{\")"
)
_HELP = re.compile(r"For more information check:? ?")


@dataclass(slots=True)
class Raised:
    """One exception of a text, with what stands under it and behind it.

    Attributes:
        type: its name as printed, which may lack the module.
        message: its text.
        line: number of its line.
        steps: functions and files that its traceback passes through.
        members: of a group.
        behind: what it was raised from, or while handling.
        explicit: whether it was raised from that.
        status: HTTP status that was printed as one of its fields, as Node prints them.
        url: URL that was printed so.
    """

    type: str
    message: str
    line: int
    steps: set[str] = field(default_factory=set)
    members: list[Raised] = field(default_factory=list)
    behind: Raised | None = None
    explicit: bool = False
    status: int | None = None
    url: str | None = None


@dataclass(slots=True)
class _Level:
    """What was read at one depth of margins."""

    last: Raised | None = None
    linked: bool = False
    explicit: bool = False
    tracing: bool = False
    boxed: bool = False
    foreign: int = 0
    steps: set[str] = field(default_factory=set)


class Tracebacks:
    """Takes lines in order and puts the exceptions together as they were raised."""

    def __init__(self) -> None:
        self._roots: list[Raised] = []
        self._levels = [_Level()]
        self._count = 0
        self._base = 0
        self._open: Raised | None = None
        self._open_at = 0
        self._wrapped = False
        self._continued = 0
        self._ignoring = False

    def take(self, line: str, number: int) -> bool:
        """Look at one line.

        Args:
            line: without its line end and without escape sequences.
            number: of the line.

        Returns:
            Whether it belongs to a traceback; a line that does not may say something by itself.
        """
        depth, content = self._depth(line)
        depth = min(depth, _MAX_NESTING)
        if self._open is not None and self._continues(depth, content):
            return True
        self._open = None
        level = self._level(depth)
        if content.startswith("Exception ignored "):
            self._ignoring = True  # what a finalizer raised while the program ended; Python goes on
            return True
        if content.startswith(("The above ", "During ")) and _LINK.match(content):
            level.linked, level.explicit = True, content.startswith("The ")
            return True
        if "Traceback (most" in content and _is_header(content):
            level.tracing, level.foreign, level.boxed = True, 0, content.startswith("╭")
            return True
        if content.startswith(_EDGES):
            boxed = content.startswith("╭")
            if _MEMBER.match(content) or (boxed and _BOX_MEMBER.match(content)):
                self._member(depth + boxed)  # a box says it on its border, one step outside of what it holds
                return True
            if boxed or _END.match(content) or content.startswith(("╰", "├")):
                return True
        return self._frame(depth, content) or self._raise(depth, content, number, pytest=line.startswith("E "))

    def add(self, raised: Raised) -> None:
        """Add an exception that was read elsewhere, such as the `repr` of a group."""
        self._count += 1
        if self._count <= MAX_NODES:
            self._roots.append(raised)

    def end(self) -> list[Raised]:
        """Everything that was read, in the order it was printed; causes and members inside what they belong to."""
        self._close(1)
        self._settle(0)
        return self._roots

    def _depth(self, line: str) -> tuple[int, str]:
        """How deep in groups a line stands, and the line without its margins."""
        if found := _PYTEST.match(line):
            line = line[found.end() :]
        content = line.strip()
        if content.startswith("│") and content.endswith("│"):
            sides = _SIDES.match(content)
            depth = sides[0].count("│") if sides else 0
            return depth, content[sides.end() if sides else 0 :].rstrip("│ ")
        if line.lstrip()[:1] in _BORDERS:
            return 0, line.strip()
        if not (found := _MARGIN.match(line)):
            return 0, line
        column, mark, rest = len(found[1]), found[2], line[found.end() :]
        if mark == "+" and rest.startswith(" Exception Group"):
            if not (self._levels[-1].tracing and column > self._base):
                self._base = column
            return max(column - self._base, 0) // 2, f"+{rest}"
        deep = column - self._base
        if deep < 0 or deep % 2 or not (mark == "|" or rest.startswith("-")):
            return 0, line
        if mark == "+":
            return (deep // 2 + 1, rest[1:]) if rest.startswith("-+") else (deep // 2, f"+{rest}")
        return deep // 2, rest.removeprefix(" ")

    def _continues(self, depth: int, content: str) -> bool:
        """Take a further line of the message of the exception before, if this is one."""
        assert self._open is not None  # noqa: S101  # asked for only while one is open
        if _HELP.match(content):
            return True
        message = self._open.message
        if (
            depth != self._open_at
            or self._continued >= _MAX_CONTINUED
            or not content.strip()
            or content.startswith(("╭", "╰", "Traceback", "+", "The above", "During handling"))
            or _LOG.match(content)
            or not (
                self._wrapped or not message or message.endswith((":", ",", "\\", "{", "[", "(")) or _unclosed(message)
            )
        ):
            return False
        self._continued += 1
        if len(message) < MAX_MESSAGE:
            self._open.message = (
                f"{message} {content.strip()}".strip() if self._wrapped else f"{message}\n{content}".strip()
            )
        return True

    def _frame(self, depth: int, content: str) -> bool:
        """Take a frame, or a line of source code or of a box under one."""
        level = self._levels[depth]
        boxes = [one for one in self._levels[:depth] if one.tracing and one.boxed]
        stripped = content.lstrip()
        if boxes:
            if found := _BOX_FRAME.match(stripped):
                boxes[-1].steps |= {found[1], found[2]}
            return True
        if found := _FRAME.match(stripped) or _IPYTHON_IN.match(stripped):
            level.tracing, level.foreign = True, 0
            level.steps |= {step for step in found.groups() if step}
            return True
        if not level.tracing:
            return False
        return (
            not stripped
            or (content[0] in " \t" and not level.boxed)
            or content.startswith(("--", ">"))
            or bool(_IPYTHON_FRAME.match(content))
        )

    def _raise(self, depth: int, content: str, number: int, *, pytest: bool) -> bool:
        """Take the line that names the exception."""
        level = self._levels[depth]
        if level.tracing:
            # rich's log handler leaves a column free in front of everything.
            found = _RAISED.match(content.strip() if level.boxed else content)
            if found and not _is_exception(found[1]):
                found = None
            if found is None:
                level.foreign += 1
                level.tracing = level.foreign <= _MAX_FOREIGN
        else:
            found = _PYTEST_RAISED.match(content) if pytest else None
        if found is None:
            return False
        raised = Raised(type=found[1], message=(found[2] or "").strip(), line=number)
        self._wrapped = level.boxed
        self._raised(depth, raised)
        self._open, self._open_at, self._continued = raised, depth, 0
        return True

    def _level(self, depth: int) -> _Level:
        # Lines of source code inside a box stand deeper than its exceptions do, and close nothing.
        self._close(depth + 1)
        while len(self._levels) <= depth:
            self._levels.append(_Level())
        return self._levels[depth]

    def _close(self, depth: int) -> None:
        """End what stands deeper: it belongs to the last exception of the depth above."""
        while len(self._levels) > max(depth, 1):
            self._settle(len(self._levels) - 1)
            self._levels.pop()

    def _member(self, depth: int) -> None:
        depth = min(depth, _MAX_NESTING)
        level = self._level(depth)
        self._settle(depth)
        # A member that was never raised has no traceback: its name comes at once.
        level.linked, level.tracing, level.foreign = False, True, 0

    def _raised(self, depth: int, raised: Raised) -> None:
        level = self._levels[depth]
        raised.steps |= level.steps
        level.steps = set()
        if self._ignoring:
            self._ignoring = level.tracing = level.linked = False
            return
        self._count += 1
        if self._count <= MAX_NODES:
            if level.linked:
                raised.behind, raised.explicit, level.last = level.last, level.explicit, None
            self._settle(depth)
            level.last = raised
        level.linked = level.tracing = False

    def _settle(self, depth: int) -> None:
        level = self._levels[depth]
        if level.last is None:
            return
        above = self._levels[depth - 1].last if depth else None
        (self._roots if above is None else above.members).append(level.last)
        level.last = None


def paths_of(raised: Raised) -> Iterator[tuple[Raised, ...]]:
    """The way to each leaf of an exception that was read: through members and causes, the outermost first."""
    pending: list[tuple[Raised, tuple[Raised, ...]]] = [(raised, ())]
    while pending:
        node, above = pending.pop()
        path = (*above, node)
        behind = _behind(node)
        inner = [*node.members, *([behind] if behind else [])]
        if inner and len(path) < MAX_DEPTH:
            pending += [(each, path) for each in reversed(inner)]
        else:
            yield path


def _behind(raised: Raised) -> Raised | None:
    """What led to an exception, looking through how tasks were stopped, as `failures.unwrap` does."""
    link = raised
    while link.behind is not None and is_noise(link.behind.type, explicit=link.explicit):
        link = link.behind
    return link.behind


@lru_cache(maxsize=4096)
def failure_of(name: str, message: str) -> Failure:
    """A failure from its printed name and message; private modules are left out, as `failures.unwrap` does."""
    public = [part for part in name.split(".") if not part.startswith("_")]
    return Failure(type=clean(".".join(public) or name, limit=200), message=clean(message), errno=errno_in(message))


def _is_header(content: str) -> bool:
    return bool(_HEADER.match(content) or _BOX_HEADER.match(content) or _IPYTHON_HEADER.match(content))


def _is_exception(name: str) -> bool:
    last = name.rsplit(".", 1)[-1]
    if "." in name:
        return not last.islower() or name.count(".") > 1
    known = getattr(builtins, name, None)
    if isinstance(known, type) and issubclass(known, BaseException):
        return True
    return not name.isupper() and bool(_SUFFIXED.match(last) or _HUMPS.search(last))


def _unclosed(message: str) -> bool:
    """Whether a message ends inside of brackets, so that the next line belongs to it."""
    return any(message.count(opening) > message.count(closing) for opening, closing in ("{}", "[]", "()"))
