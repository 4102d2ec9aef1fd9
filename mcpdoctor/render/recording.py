"""A recording for people: one row for each exchange, and a sentence where there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import click
from tabulate import tabulate

from mcpdoctor.diagnosis import read
from mcpdoctor.failures import Failure
from mcpdoctor.recording import Message, Recorded, Recording
from mcpdoctor.redaction import clean

HEADERS = ("time", "method", "host", "status", "JSON-RPC method", "error")

MAX_ROWS = 40
"""Rows that are shown at most; of more the first and the last half of them."""

_NARROWEST_ERROR = 30
_WIDEST_ERROR = 300
_TOOL_WORDS = re.compile(r'"text"\s*:\s*("(?:[^"\\]|\\.){1,2000}")')
_ALTERNATIVE = "Pipe what it prints to mcpdoctor explain - instead."


def table(recording: Recording, *, color: bool = False, width: int = 120) -> str:
    """Draw the exchanges.

    Args:
        recording: of one run.
        color: ANSI colours, for a terminal.
        width: columns of the terminal.

    Returns:
        The text, with a line end at its end.
    """
    rows = [_row(one) for one in recording.exchanges] + [_message_row(one) for one in recording.messages]
    if not rows:
        return f"{nothing(recording)}\n"
    left_out = len(rows) - MAX_ROWS
    if left_out > 0:
        half = MAX_ROWS // 2
        rows = [*rows[:half], ("", "", f"… {left_out} more", "", "", ""), *rows[-half:]]
    taken = sum(2 + max(map(len, column)) for column in list(zip(HEADERS, *rows, strict=True))[:-1])
    lines = tabulate(
        rows,
        HEADERS,
        tablefmt="simple",
        disable_numparse=True,
        maxcolwidths=[None] * 5 + [max(width - taken, _NARROWEST_ERROR)],
    )
    if color:
        head, rule, *body = lines.splitlines()
        lines = "\n".join([click.style(head, bold=True), rule, *body])
    return f"{lines}\n"


def nothing(recording: Recording) -> str:
    """Why no exchange was recorded, and what to do instead."""
    if not recording.python:
        return (
            "No MCP exchange was recorded: no Python interpreter reported. The program is not Python, or its Python "
            f"ignores PYTHONPATH (options -I and -E, and some launchers, see to that). {_ALTERNATIVE}"
        )
    return (
        "No MCP exchange was recorded: the program sent no MCP request with httpx or httpx2, in no process of Python "
        f"3.10 or newer. {_ALTERNATIVE}"
    )


def _row(one: Recorded) -> tuple[str, ...]:
    exchange = one.exchange
    words = filter(None, (exchange.rpc_method, one.tool))
    return (
        f"{one.started_s:.2f} s",
        exchange.method,
        _host(exchange.url),
        str(exchange.status or "-"),
        _line(" ".join(words), 60) or "-",
        _line(_error(one), _WIDEST_ERROR),
    )


def _message_row(one: Message) -> tuple[str, ...]:
    said = one.message if one.answered else f"no answer in {one.elapsed_s:.1f} s"
    code = "-" if one.rpc_code is None else str(one.rpc_code)
    return ("-", "stdio", "-", code, _line(one.rpc_method or "-", 60), _line(said, _WIDEST_ERROR))


def _host(url: str) -> str:
    try:
        return _line(urlsplit(url).netloc, 60)
    except ValueError:
        return "-"


def _error(one: Recorded) -> str:
    """What went wrong, in the words of the server or of the exception at the root; nothing where nothing did."""
    if not one.failed:
        return ""
    if one.pending:
        return f"no answer in {one.exchange.elapsed_s:.1f} s, until the program ended"
    if one.failures:
        root = _root(one.failures[0])
        return f"{'' if one.sent else 'not sent: '}{root.type}: {root.message}".removesuffix(": ")
    if one.tool_failed:
        return f"the tool failed: {_tool_words(one.exchange.body or '')}"
    if location := one.exchange.headers.get("location"):
        return f"redirected to {location}"
    said = read(one.exchange)
    if said.kind == "html":
        return f"a web page: {said.message}"
    return ": ".join(filter(None, (said.error_type, said.message)))


def _root(chain: Sequence[Failure]) -> Failure:
    """The cause furthest down that has something to say."""
    return next((failure for failure in reversed(chain) if failure.message), chain[-1])


def _tool_words(body: str) -> str:
    found = _TOOL_WORDS.search(body)
    try:
        return str(json.loads(found[1])) if found else ""
    except ValueError:
        return ""


def _line(text: str, limit: int) -> str:
    # Cleaned once more: what was escaped in a JSON body is plain text only now.
    line = clean(" ".join(text.split()), limit=4 * limit)
    return line if len(line) <= limit else f"{line[:limit]}…"
