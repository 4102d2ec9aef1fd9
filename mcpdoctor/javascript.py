"""Read errors as Node prints them: stack, fields and causes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mcpdoctor.tracebacks import MAX_MESSAGE, SUFFIX, Raised

_MAX_BLOCK = 400  # lines of one error
_MAX_MESSAGE_LINES = 40

_FRAME = re.compile(r"\s{1,200}at (?:async |new |file:|node:|/)?\S")
_START = re.compile(rf"(?<![\w.'\"])((?:[A-Z]\w{{0,80}}?)?{SUFFIX})(?: \[(\w{{1,40}})\])?: (.*)")
_CAUSE = re.compile(r"\s{0,200}(?:\[?cause\]?: |Caused by: )(?:(\w{1,80}?): )?(.*)")
_FIELD = re.compile(
    r"\s{0,200}\[?'?(code|status|statusCode|errno|hostname|host|url|statusText|event|text|responseBody)'?\]?: "
    r"(.{0,2000}?),?$"
)
_NOTHING = ("undefined", "null", "")
_STATUS = re.compile(r"\bstatus(?:Code)?: ([2-5]\d\d),")


def read_error(lines: Sequence[str], index: int, number: int) -> tuple[Raised, int] | None:
    """Read the error that begins at `lines[index]`.

    Args:
        lines: of the text.
        index: where to begin.
        number: of that line.

    Returns:
        The error, and how many lines it takes; None where no error with a stack begins there.
    """
    start = _START.search(lines[index])
    first = _stack_of(lines, index) if start else None
    if start is None or first is None:
        return None
    message = "\n".join([start[3], *(line.strip() for line in lines[index + 1 : first])])
    raised = Raised(type=start[1], message=message[:MAX_MESSAGE].strip(), line=number + first - index)
    inner, indent, at, inside = raised, 0, first, False
    while at < min(index + _MAX_BLOCK, len(lines)):
        line = lines[at]
        if _FRAME.match(line):
            raised.steps.add(line.strip()[:200])
        elif not inside or line.startswith("}"):
            break
        elif cause := _CAUSE.match(line):
            if (said := cause[2].strip(" {,")) not in _NOTHING:
                inner.behind = Raised(type=cause[1] or "Error", message=said, line=number)
                inner, indent = inner.behind, len(line) - len(line.lstrip())
        elif field := _FIELD.match(line):
            # What is indented deeper than the cause is the cause's own.
            own = inner is raised or len(line) - len(line.lstrip()) <= indent
            _note(raised if own else inner, field[1], field[2].strip("'\" "))
        elif given := _STATUS.search(line):
            raised.status = raised.status or int(given[1])
        inside = inside or line.endswith("{")
        at += 1
    return raised, max(at - index, 1)


def _stack_of(lines: Sequence[str], index: int) -> int | None:
    """Where the stack begins of the error that begins at `index`; its message may take several lines."""
    for at in range(index + 1, min(index + _MAX_MESSAGE_LINES, len(lines))):
        if _FRAME.match(lines[at]):
            return at
        if not lines[at].strip() or _START.search(lines[at]):
            return None
    return None


def _note(raised: Raised, name: str, value: str) -> None:
    """Keep a field of a JavaScript error: a status, or words that say more than its message does."""
    if name in ("code", "status", "statusCode") and value.isdecimal() and 200 <= int(value) < 600:
        raised.status = int(value)
    elif name in ("url", "host") and "://" in value:
        raised.url = value
    elif value in _NOTHING or value in raised.message:
        return
    elif not value.lstrip("-").isdecimal():
        raised.message = f"{raised.message} ({name}: {value})"[:MAX_MESSAGE]
    elif name == "code" and value.startswith("-3") and "error -3" not in raised.message:
        raised.message = f"{raised.message} (code: {value})"
