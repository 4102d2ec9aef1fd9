"""Read a text that tells of a failure: what it says, taken apart and not yet judged.

A text may be a traceback, a log, a client's or a CI system's output, in any mixture. It is hostile and may be large:
every pattern is bounded, each line is looked at a fixed number of times, and what repeats is kept once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcpdoctor.failures import MAX_LEAVES, Chain, is_cleanup
from mcpdoctor.javascript import read_error
from mcpdoctor.model import Exchange
from mcpdoctor.redaction import clean, clean_headers
from mcpdoctor.sentences import (
    MAX_WORDS,
    answer_of,
    authority_of,
    exchange_in,
    exchange_of,
    gist_of,
    is_answer,
    is_error,
    is_fallback,
    is_foreign,
    is_prose,
    is_trouble,
    logged_in,
    names_exception,
    raised_in,
    rpc_code_in,
    signers_in,
    tool_failed,
    unquoted,
    urls_in,
    versions_in,
)
from mcpdoctor.texts import lines_of, unfolded
from mcpdoctor.tracebacks import NAME, SUFFIX, Raised, Tracebacks, failure_of, paths_of

_MAX_SENTENCE = 16_000
_MAX_CLUES = 1_500
_MAX_NESTING = 4  # JSON within JSON
_MAX_TEXT = 200_000  # of one string within JSON
_MAX_BLOCK = 400  # lines of one JSON document
_MAX_SHORT = 4  # lines of a text that is nothing but a message

_MESSAGE = re.compile(r"(?:< )?HTTP/[\d.]{1,3} ([1-5]\d\d)\b")
_FIELD = re.compile(r"(?:< )?([A-Za-z][\w-]{0,80}): ?(.{0,2000})$")
_ASKED = re.compile(r"> (Host|POST)(?:: | )(\S{1,2000})")
_HEAD_ANSWERED = "HEAD, which is no request of MCP, was answered with HTTP"
_CURL_HEAD = re.compile(r"\bcurl\b.{0,400}?\s(?:--head|-[a-zA-HJ-Z]{0,8}I[a-zA-Z]{0,8})\b")
_CURL = re.compile(r"[*<>] |[{}] \[|<$|\s*$|\s*\d{1,3} +\d|\s*% Total|\s*Dload ")
_STATUS_FIELDS = ("status", "statusCode", "status_code", "httpStatus", "httpStatusCode", "code")
_LOG_FIELDS = frozenset({"level", "severity", "levelname", "log_level", "msg", "message", "event", "log", "error"})
_SERVED = "Access log: HTTP"
_OPENINGS = ("{", "[", "{}", "[{")
# In JSON of Node, of AWS Lambda, of structlog, of OpenTelemetry.
_EXCEPTION_FIELDS = (
    ("name", "message"),
    ("errorType", "errorMessage"),
    ("exc_type", "exc_value"),
    ("exception.type", "exception.message"),
)
_NAMED = re.compile(rf"{NAME}[A-Z]\w{{0,80}}?{SUFFIX}$")
_JSON_AHEAD = re.compile(r"\s{0,40}(?:\w{1,40}: ['`\"])?[{\[]")  # what escapes it holds are its own
# JSON in a string, as Node shows the fields of an object.
_QUOTED_JSON = re.compile(r"\s{0,40}\w{1,40}: ['`\"](\{.{1,15000}\})['`\"],?$")
_CARETS = re.compile(r"\s{0,400}[\^~]{1,400}\s{0,10}$")


_WAITED = re.compile(r"KeyboardInterrupt|TimeoutError|\b[Tt]imed out\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """One thing that a text says about a failure: by an exception, an HTTP answer, a JSON-RPC error, a line of a log.

    What some line just mentions, in prose or in the result of a tool, is no clue.

    Attributes:
        line: number of its line, from 1; the last one where it is said again.
        words: the sentences, redacted and capped; of an exception those of its whole chain, the root cause first.
        chain: the exception, outermost first; empty for anything else.
        steps: functions and files that its traceback passes through.
        exchange: the HTTP exchange it tells of.
        rpc_code: code of a JSON-RPC error.
        tool_error: whether it is the result of a tool that says that the tool failed.
        answered_before: whether the same URL answered well earlier in the text.
        answered_later: whether it answered well later on, so that this was not what ended the program.
    """

    line: int
    words: str
    chain: Chain = ()
    steps: frozenset[str] = frozenset()
    exchange: Exchange | None = None
    rpc_code: int | None = None
    tool_error: bool = False
    answered_before: bool = False
    answered_later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a text says.

    Attributes:
        clues: in the order of their lines.
        chains: every exception once; clean-up comes last, else the later one first.
        urls: the http(s) URLs it names, documentation left out, the most frequent first.
        steps: functions and files in its tracebacks, and loggers of its log lines.
        versions: of packages that it names, by their name.
        waited: whether it tells that somebody gave up waiting.
    """

    clues: tuple[Clue, ...] = ()
    chains: tuple[Chain, ...] = ()
    urls: tuple[str, ...] = ()
    steps: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    waited: bool = False


def read_text(text: str) -> Reading:
    """Take a text apart; never fails, whatever it holds, and takes time in proportion to its length."""
    lines = lines_of(text)
    said = [line for line in lines[:100] if line.strip()]
    reader = _Reader(short=len(said) <= _MAX_SHORT and not any(map(logged_in, said)))
    reader.feed(lines)
    return replace(reader.result(), versions=versions_in(text), waited=_WAITED.search(text[-_MAX_TEXT:]) is not None)


class _Reader:
    """Takes lines in order and keeps what they say."""

    def __init__(self, *, short: bool = False) -> None:
        # Of a few lines that somebody pasted, every one is about the failure.
        self._short = short
        self._tracebacks = Tracebacks()
        self._clues: dict[object, Clue] = {}
        self._answered: dict[str, list[int]] = {}
        self._urls: dict[str, int] = {}
        self._steps: set[str] = set()
        self._records: dict[str, _Reader] = {}
        self._asked: dict[str, str] = {}  # what curl says it sends
        # Up to where a search forward found nothing: looking again from every line would cost its length each time.
        self._no_json_before = 0

    def feed(self, lines: Sequence[str], *, number: int | None = None, nesting: int = 0) -> None:
        """Read lines.

        Args:
            lines: without their line ends.
            number: the number of all of them, where they stand inside of one line of the text.
            nesting: how deep in JSON they stand.
        """
        index = 0
        while index < len(lines):
            index += self._next(lines, index, number or index + 1, nesting)

    def result(self) -> Reading:
        """What was read."""
        found = list(self._clues.values())
        chains: dict[Chain, tuple[bool, int]] = {}
        for path in _distinct(self._tracebacks.end()):
            chain = tuple(failure_of(one.type, one.message) for one in path)
            if any(map(is_foreign, path)):
                chains[chain] = (True, 0)
                continue
            steps = frozenset(step for one in path for step in one.steps)
            self._steps |= steps
            # All leaves of a group stand at its line, so that the first of them is not taken for the earlier.
            line, leaf = path[0].line, path[-1]
            chains[chain] = (is_cleanup(leaf.type, leaf.message), -line)
            clue = self._clue("\n".join(_spoken(one) for one in reversed(path)), line)
            found.append(replace(clue, chain=chain, steps=steps, exchange=exchange_of(path) or clue.exchange))
        if any(clue.exchange.url for clue in found if clue.exchange):
            # What the program itself answered to its own callers is not what it was answered.
            found = [clue for clue in found if not (clue.words.startswith(_SERVED) and clue.exchange)]
        found = [self._in_time(clue) for clue in found]
        if any(clue.exchange or clue.rpc_code for clue in found if not _is_fallback(clue)):
            found = [clue for clue in found if not _is_fallback(clue)]
        found.sort(key=lambda clue: clue.line)
        return Reading(
            clues=tuple(map(_cleaned, found[-_MAX_CLUES:])),
            chains=tuple(sorted(chains, key=chains.__getitem__)[:MAX_LEAVES]),
            urls=tuple(clean(url, limit=2000) for url in sorted(self._urls, key=lambda url: -self._urls[url])[:50]),
            steps=frozenset(self._steps),
        )

    def _next(self, lines: Sequence[str], index: int, number: int, nesting: int) -> int:
        """Read what begins at `index`; give how many lines that was."""
        line = lines[index]
        if not line and index and not lines[index - 1]:
            return 1  # a text may be nothing but empty lines
        if "http" in line:
            self._note_urls(line)
        if nesting < _MAX_NESTING and not _JSON_AHEAD.match(line) and (folded := unfolded(line)):
            self._inner(folded, number, nesting)
            return 1
        if self._tracebacks.take(line, number):
            return 1
        start = line.lstrip()
        if len(start) < 3 and start not in _OPENINGS:
            return 1
        if start[0] in "{[" and nesting < _MAX_NESTING and (count := self._json(lines, index, number, nesting)):
            return count
        if names_exception(line) and (read := read_error(lines, index, number)):
            raised, count = read
            self._tracebacks.add(raised)
            for inner in lines[index + 1 : index + count]:
                self._note_urls(inner)
            return count
        if (found := _MESSAGE.match(line)) and (count := self._message(lines, index, number, int(found[1]))):
            return count
        self._note_asked(line)
        if index + 1 < len(lines) and _CARETS.match(lines[index + 1]):
            return 2  # source code with a mark under it: it says what might be raised, not what was
        if not self._exchanged(line, number) and is_trouble(line):
            self._sentence(line, number, nesting)
        return 1

    def _note_asked(self, line: str) -> None:
        """Keep what curl says it sends, and whether it asks for headers only."""
        if found := _ASKED.match(line):
            self._asked[found[1].lower()] = found[2]
        if "curl " in line:
            self._asked = {"head": "-I"} if _CURL_HEAD.search(line) else {}

    # --- Sentences ---

    def _sentence(self, line: str, number: int, nesting: int) -> None:
        line = line[:_MAX_SENTENCE]
        key = gist_of(line[:400])
        if known := self._clues.get(key):
            self._keep(key, replace(known, line=number))
            return
        self._steps.update(signers_in(line))
        if nesting < _MAX_NESTING and (quoted := _QUOTED_JSON.match(line)):
            self._inner([quoted[1].replace("\\\\", "\\").replace("\\'", "'")], number, nesting)
        line = unquoted(line)
        clue = self._clue(line, number)
        if is_prose(line) and not (clue.tool_error or clue.rpc_code):
            return
        if names_exception(line):
            for raised in raised_in(line, number):
                self._tracebacks.add(raised)
        answer = clue.exchange and (clue.exchange.url or is_answer(line))
        if self._short or answer or clue.rpc_code or clue.tool_error or is_error(line):
            self._keep(key, clue)

    def _clue(self, words: str, number: int) -> Clue:
        return Clue(
            line=number,
            words=words,
            exchange=exchange_in(words),
            rpc_code=rpc_code_in(words),
            tool_error=tool_failed(words),
        )

    def _keep(self, key: object, clue: Clue) -> None:
        """Keep a clue at the place where it is said last."""
        self._clues.pop(key, None)
        self._clues[key] = clue
        if len(self._clues) > _MAX_CLUES:
            del self._clues[next(iter(self._clues))]

    def _note_urls(self, line: str) -> None:
        for url in urls_in(line):
            if url in self._urls or len(self._urls) < _MAX_CLUES:
                self._urls[url] = self._urls.get(url, 0) + 1

    # --- HTTP ---

    def _exchanged(self, line: str, number: int) -> bool:
        """Read the line that an HTTP library logs for each request."""
        logged = logged_in(line)
        if logged is None:
            return False
        if logged.status < 300:
            self._answered.setdefault(authority_of(logged.url), []).append(number)
            if logged.method == "POST":
                self._answered.setdefault(logged.url, []).append(number)
        elif not logged.aside:
            url = logged.url if "://" in logged.url else ""
            exchange = Exchange(method=logged.method, url=url, status=logged.status)
            words = f"HTTP {logged.status}" if url else f"{_SERVED} {logged.status}"
            self._keep(logged, Clue(line=number, words=words, exchange=exchange))
        return True

    def _in_time(self, clue: Clue) -> Clue:
        """Add whether the same URL was answered well before and after."""
        answers: Sequence[int] = ()
        if clue.exchange:
            answers = self._answered.get(clue.exchange.url, ())
            if clue.exchange.status in (404, 405):
                # Where the server was looked for at another path, or spoken to over the other transport.
                answers = answers or self._answered.get(authority_of(clue.exchange.url), ())
        return replace(
            clue,
            answered_before=any(line < clue.line for line in answers[:1]),
            answered_later=any(line > clue.line for line in answers[-1:]),
        )

    def _message(self, lines: Sequence[str], index: int, number: int, status: int) -> int:
        """Read an HTTP answer as curl shows it: the status line, headers, an empty line, the beginning of the body."""
        at = index + 1
        headers = {}
        while at < min(index + 60, len(lines)) and (found := _FIELD.match(lines[at])):
            headers[found[1].lower()] = found[2]
            at += 1
        if not headers:
            return 0
        body: list[str] = []
        while at < min(index + 120, len(lines)) and not (body and not lines[at].strip()):
            if _CURL.match(lines[at]) or lines[at].startswith("$ ") or logged_in(lines[at]):
                if body or not _CURL.match(lines[at]):
                    break
            else:
                body.append(lines[at])
            at += 1
        host, path = self._asked.get("host", ""), self._asked.get("post", "")
        url = f"https://{host}{path}" if host else ""
        if status < 300:
            self._answered.setdefault(url, []).append(number)
        exchange = Exchange(
            method="POST",
            url=url,
            status=status,
            headers=clean_headers(headers.items()),
            body="\n".join(body)[:MAX_WORDS],
        )
        if self._asked.get("head") and status in (404, 405):
            # No failure of MCP, whatever the one who asked made of it; without an exchange, it explains nothing else.
            self._keep(("head", status), Clue(line=number, words=f"{_HEAD_ANSWERED} {status}"))
        elif status >= 300:
            words = f"{lines[index]}\n{exchange.body}"
            self._keep(("message", status, url), Clue(line=number, words=words, exchange=exchange))
        return at - index

    # --- JSON ---

    def _json(self, lines: Sequence[str], index: int, number: int, nesting: int) -> int:
        """Read a JSON document that begins at `index`, on one line or on many; give how many lines it took."""
        text = lines[index].strip().removesuffix(",")
        count = 1
        if len(text) == 1:
            if index < self._no_json_before:
                return 0
            indent = lines[index][: -len(lines[index].lstrip())]
            ends = {f"{indent}{end}" for end in ("}", "]", "},", "],", "};")}
            last = next((at for at in range(index + 1, min(index + _MAX_BLOCK, len(lines))) if lines[at] in ends), None)
            if last is None:
                self._no_json_before = index + _MAX_BLOCK
                return 0
            count = last - index + 1
            text = "\n".join(lines[index : last + 1]).strip().rstrip(",;")
        key = gist_of(text[:MAX_WORDS])
        record = self._records.get(key)
        if record is None:
            try:
                document = json.loads(text)
            except (ValueError, RecursionError):
                self._no_json_before = index + count
                return 0
            record = _Reader(short=self._short)
            for one in _inside(document):
                record._object(one, number, nesting)  # another of the same class
            self._records[key] = record
            if len(self._records) > _MAX_CLUES:
                del self._records[next(iter(self._records))]
            self._absorb(record)
        for line in lines[index : index + count]:
            self._note_urls(line)
        record._move(number)
        for name, clue in record._clues.items():
            self._keep(name, clue)
        return count

    def _move(self, number: int) -> None:
        """Say that what was read stands at another line: a record that a log repeats."""
        for raised in self._tracebacks.end():
            raised.line = number
        self._clues = {name: replace(clue, line=number) for name, clue in self._clues.items()}

    def _object(self, document: Mapping[str, Any], number: int, nesting: int) -> None:
        """Read one JSON object: an error, the result of a tool, or a record of a log."""
        texts = [value for value in document.values() if isinstance(value, str) and value]
        # Some formatters write a stack as a list of its lines.
        stacks = [
            value for value in document.values() if isinstance(value, list) and value and isinstance(value[0], str)
        ]
        texts += ["\n".join(map(str, stack)) for stack in stacks if len(stack) > 2]
        for text in texts:
            if "\n" in text or text.lstrip()[:1] in "{[":
                self._inner(lines_of(text[:_MAX_TEXT]), number, nesting)
        scalars = [
            (name, value)
            for name, value in document.items()
            if isinstance(value, str | int) and value not in ("", False)
        ]
        words = "; ".join(f"{name}: {value}" for name, value in scalars)[:MAX_WORDS]
        failed = document.get("isError") is True or document.get("is_error") is True
        if failed:
            words = f"isError: true; {' '.join(_texts_in(document))}"[:MAX_WORDS]
        status = next((document[name] for name in _STATUS_FIELDS if _is_status(document.get(name))), None)
        if not (failed or status or is_trouble(words)):
            return
        for kind, text in _EXCEPTION_FIELDS:
            name, message = document.get(kind), document.get(text)
            if isinstance(name, str) and isinstance(message, str) and _NAMED.match(name):
                self._tracebacks.add(Raised(type=name, message=message[:MAX_WORDS], line=number))
        for text in texts:
            for raised in raised_in(text, number):
                self._tracebacks.add(raised)
        clue = self._clue(words, number)
        if status is not None:
            clue = replace(clue, exchange=answer_of(status, words))
        bare = set(document) <= {"message", "Message", "__type", "code", "type"}  # the body of an AWS error
        said = bare or (
            not {"message", "error", "msg"}.isdisjoint(document)
            and not {
                "code",
                "error",
                "name",
                "type",
            }.isdisjoint(document)
        )
        logged = not _LOG_FIELDS.isdisjoint(document) and is_error(words)
        if self._short or failed or said or clue.exchange or clue.rpc_code or logged:
            self._keep(gist_of(words[:400]), replace(clue, tool_error=failed))

    def _inner(self, lines: Sequence[str], number: int, nesting: int) -> None:
        """Read a text that stands inside of line `number`: its tracebacks begin and end there."""
        nested = _Reader(short=self._short)
        nested.feed(lines, number=number, nesting=nesting + 1)
        self._absorb(nested)

    def _absorb(self, other: _Reader) -> None:
        for raised in other._tracebacks.end():  # another of the same class
            self._tracebacks.add(raised)
        for key, clue in other._clues.items():
            self._keep(key, clue)
        for url, lines in other._answered.items():
            self._answered.setdefault(url, []).extend(lines)
        self._steps |= other._steps


def _cleaned(clue: Clue) -> Clue:
    """A clue that is safe to show."""
    exchange = clue.exchange
    if exchange is not None:
        body = clean(exchange.body, limit=MAX_WORDS) if exchange.body else exchange.body
        exchange = replace(exchange, url=clean(exchange.url, limit=2000), body=body)
    return replace(clue, words=clean(clue.words, limit=MAX_WORDS), exchange=exchange)


def _spoken(raised: Raised) -> str:
    return f"{raised.type}: {raised.message}"


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 300 <= value < 600


def _distinct(roots: Sequence[Raised]) -> list[tuple[Raised, ...]]:
    """The way to each leaf of each exception; of those that say the same, the one printed last."""
    paths: dict[tuple[tuple[str, str], ...], tuple[Raised, ...]] = {}
    for raised in roots:
        for path in paths_of(raised):
            key = tuple((one.type, one.message) for one in path)
            paths.pop(key, None)
            paths[key] = path
    return list(paths.values())[-_MAX_CLUES:]


def _is_fallback(clue: Clue) -> bool:
    """Whether a client only says that the old transport, which it tried next, is not there either."""
    return bool(clue.exchange and clue.exchange.status in (404, 405) and is_fallback(clue.words))


def _inside(document: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a JSON document, the outer one first, without recursion."""
    pending = [document]
    for _ in range(5_000):
        if not pending:
            return
        one = pending.pop()
        if isinstance(one, dict):
            if one.get("isError") is False or one.get("status") == "success" or {"name", "description"} <= set(one):
                continue  # what a tool is for, or answered well, is the user's own
            yield one
            pending += [value for value in reversed(one.values()) if isinstance(value, dict | list)]
        elif isinstance(one, list):
            pending += [value for value in reversed(one) if isinstance(value, dict | list)]


def _texts_in(document: Any) -> list[str]:
    return [value for one in _inside(document) for value in one.values() if isinstance(value, str)]
