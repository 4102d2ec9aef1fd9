"""From the bytes of a file to the lines of a program: encodings, escapes, and what others put around each line."""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from mcpdoctor.model import Unusable

MAX_BYTES = 16 * 2**20
"""Bytes of one text that are read; of a longer one, the end."""

_MAX_LINE = 200_000

_HEAD = 4096
_CHUNK = 2**20
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")

_ESCAPE = re.compile(r"\x1b\[[0-?]{0,40}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b\n]{0,400}(?:\x07|\x1b\\)?|\x1b[@-Z\\-_=>]")
_BREAK = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
# What a CI system, a container runtime, a journal, pytest-xdist or a mail puts in front of every line of a program.
_WRAPPED = re.compile(r"\{\".{0,400}\"(?:log|textPayload|message)\": ?\"|\{\"(?:log|textPayload|message)\": ?\"")
_CONTAINER = re.compile(r"\{.{0,400}\"(?:log|textPayload)\": ?\"")
# A record that holds nothing but the first line of a traceback: the others hold the other lines.
_MESSAGE = re.compile(r"\"message\": ?\"(?:  \+ Exception Group )?Traceback \(most recent call last\):?(?:\\n)?\"")
_TRACEBACK = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\)")
_PREFIXES = (
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)(?: (?:stdout|stderr) [FP])? ?"),
    re.compile(r"[\w.-]{1,64} {1,20}\| ?"),
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.-]{1,64} [\w./@-]{1,64}(?:\[\d{1,8}\])?: ?"),
    re.compile(r"\[gw\d{1,3}\] ?"),
    re.compile(r"> ?"),
)


def decode(data: bytes, source: str) -> str:
    """Read the bytes of a text in the encoding that they show.

    Args:
        data: from the beginning of the file on, where a byte order mark stands.
        source: how to name it in an error.

    Raises:
        Unusable: it is empty, or no text.
    """
    text = _decoded(data, source) if data.strip(b"\0") else ""
    if not text.strip("\0 \t\r\n\f\v"):
        raise Unusable(f"{source}: empty; give the traceback or the log of the program that failed.")
    return text


def _decoded(data: bytes, source: str) -> str:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, errors="replace")
    # A log that was emptied while it was written begins with zeros; pairs of them, so that UTF-16 stays what it is.
    start = (len(data) - len(data.lstrip(b"\0"))) & ~1
    sample = data[start : start + 4096]
    if 0 in sample:
        # UTF-16 without its mark, as some pipes give it: every other byte of English is zero.
        odd, even = sample[1::2].count(0), sample[::2].count(0)
        if max(odd, even) > len(sample) // 4 and min(odd, even) <= len(sample) // 50:
            return data.decode("utf-16-le" if odd > even else "utf-16-be", errors="replace")
    if len(_CONTROLS.findall(sample)) > len(sample) // 50:
        raise Unusable(f"{source}: not a text file; give the traceback or the log of the program that failed.")
    return data.decode("utf-8", errors="replace")


def load(path: str) -> tuple[str, int]:
    """Read the text of a file, or of standard input where the path is `-`.

    Args:
        path: of the file.

    Returns:
        The text, and how many bytes at its beginning were left out because there are more than `MAX_BYTES`.

    Raises:
        Unusable: it cannot be read, is empty, or is no text.
    """
    source = "standard input" if path == "-" else path
    try:
        if path == "-":
            head, tail, left_out = _end_of(sys.stdin.buffer)
        else:
            with Path(path).open("rb") as file:
                head, tail, left_out = _end_of(file)
    except OSError as error:
        raise Unusable(f"{source}: cannot be read: {error.strerror or error}.") from error
    if left_out:  # the end tells what happened; of the beginning only the mark of the encoding is of use
        head = next((mark for mark, _ in _MARKS if head.startswith(mark)), b"")
    return decode(head + tail, source), left_out


def lines_of(text: str) -> list[str]:
    """The lines of a text, without what stands in front of every one of them."""
    if "\x1b" in text:
        text = _ESCAPE.sub("", text)
    lines = [line if len(line) <= _MAX_LINE else line[:_MAX_LINE] for line in _BREAK.split(text)]
    sample = [line for line in lines[:2000] if line.strip()]
    if len(sample) < 3:
        return lines
    if _share(_WRAPPED, sample) >= 0.9 and (_share(_CONTAINER, sample) >= 0.9 or any(map(_MESSAGE.search, sample))):
        lines = [_unwrapped(line) for line in lines]
        sample = [line for line in lines[:2000] if line.strip()]
    if indent := min(len(line) - len(line.lstrip()) for line in sample):
        lines = [line[indent:] if not line[:indent].strip() else line for line in lines]
        sample = [line[indent:] for line in sample]
    for _ in range(3):  # a container runtime inside of a CI system
        prefix = next((one for one in (*_PREFIXES, *_own_prefix(sample)) if _share(one, sample) >= 0.9), None)
        if prefix is None:
            break
        lines = [prefix.sub("", line, count=1) if prefix.match(line) else line for line in lines]
        sample = [line for line in lines[:2000] if line.strip()]
    return lines


def _share(pattern: re.Pattern[str], sample: Sequence[str]) -> float:
    return sum(1 for line in sample if pattern.match(line)) / max(len(sample), 1)


def _own_prefix(sample: Sequence[str]) -> Iterator[re.Pattern[str]]:
    """What stands in front of the first traceback, with any numbers in it: a prefix, if it stands everywhere."""
    for line in sample:
        if (found := _TRACEBACK.search(line)) and re.search(r"\w", line[: found.start()]):
            parts = re.split(r"\d+", line[: found.start()])
            yield re.compile(r"\d{1,20}".join(map(re.escape, parts)))
            return


def _unwrapped(line: str) -> str:
    """The line of a program that a container runtime wrapped in a JSON object."""
    try:
        record = json.loads(line)
        return str(next(record[name] for name in ("log", "textPayload", "message") if name in record)).rstrip("\n")
    except (ValueError, RecursionError, TypeError, StopIteration):
        return line


def unfolded(line: str) -> list[str]:
    """The lines that were written as one, with escapes between them; none where there are no such escapes."""
    if line.count("#012") > 2:  # rsyslog
        return line.replace("#011", "\t").split("#012")
    if line.count("\\n") > 2 and ("Traceback" in line or "  at " in line or "File \\" in line):
        return line.replace('\\"', '"').replace("\\t", "\t").split("\\n")
    return []


def _end_of(file: BinaryIO) -> tuple[bytes, bytes, int]:
    """The first few bytes of a file, its end, and how much was left out between them."""
    head = file.read(_HEAD)
    chunks: deque[bytes] = deque()
    kept = left_out = 0
    while chunk := file.read(_CHUNK):
        chunks.append(chunk)
        kept += len(chunk)
        while kept - len(chunks[0]) >= MAX_BYTES:
            gone = len(chunks.popleft())  # whole chunks, of an even length: UTF-16 stays what it is
            kept, left_out = kept - gone, left_out + gone
    return head, b"".join(chunks), left_out
