"""Read a text that tells of a failure: what it says, taken apart and not yet judged.

A text may be a traceback, a log, a client's or a CI system's output, in any mixture. It is hostile and may be large:
every pattern is bounded, each line is looked at a fixed number of times, and what repeats is kept once.
"""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from mcpdoctor.failures import MAX_LEAVES, Chain, is_cleanup
from mcpdoctor.model import Exchange, Unusable
from mcpdoctor.redaction import clean, clean_headers
from mcpdoctor.tracebacks import NAME, SUFFIX, Raised, Tracebacks, failure_of, paths_of

MAX_BYTES = 16 * 2**20
"""Bytes of one text that are read; of a longer one, the end."""

_MAX_LINE = 200_000
_MAX_SENTENCE = 16_000
_MAX_WORDS = 4_000
_MAX_CLUES = 1_500
_MAX_NESTING = 4  # JSON within JSON
_MAX_TEXT = 200_000  # of one string within JSON
_MAX_SHORT = 4  # lines of a text that is nothing but a message
_MAX_BLOCK = 400  # lines of one JSON document or of one JavaScript error


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
    """

    clues: tuple[Clue, ...] = ()
    chains: tuple[Chain, ...] = ()
    urls: tuple[str, ...] = ()
    steps: frozenset[str] = frozenset()


def decode(data: bytes, source: str) -> str:
    """Read the bytes of a text in the encoding that they show.

    Args:
        data: from the beginning of the file on, where a byte order mark stands.
        source: how to name it in an error.

    Raises:
        Unusable: it is empty, or no text.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise Unusable(f"{source}: empty; give the traceback or the log of the program that failed.")
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, errors="replace")
    sample = data[:4096]
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
    # The beginning shows the encoding; the end tells what happened.
    return decode(head + tail, source), left_out


def read_text(text: str) -> Reading:
    """Take a text apart; never fails, whatever it holds, and takes time in proportion to its length."""
    lines = _lines_of(text)
    reader = _Reader(short=sum(1 for line in lines[:100] if line.strip()) <= _MAX_SHORT)
    reader.feed(lines)
    return reader.result()


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


_HEAD = 4096
_CHUNK = 2**20
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")

# --- Lines ---

_ESCAPE = re.compile(r"\x1b\[[0-?]{0,40}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b\n]{0,400}(?:\x07|\x1b\\)?|\x1b[@-Z\\-_=>]")
_BREAK = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
# What a CI system, a container runtime, a journal, pytest-xdist or a mail puts in front of every line of a program.
_WRAPPED = re.compile(r"\{\"(?:log|textPayload)\": ?\"")
_PREFIXES = (
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)(?: (?:stdout|stderr) [FP])? ?"),
    re.compile(r"[\w.-]{1,64} {1,20}\| ?(?! {0,40}[|+]-)"),
    re.compile(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.-]{1,64} [\w./@-]{1,64}(?:\[\d{1,8}\])?: ?"),
    re.compile(r"\[gw\d{1,3}\] ?"),
    re.compile(r"> ?"),
)


def _lines_of(text: str) -> list[str]:
    """The lines of a text, without what stands in front of every one of them."""
    if "\x1b" in text:
        text = _ESCAPE.sub("", text)
    lines = [line if len(line) <= _MAX_LINE else line[:_MAX_LINE] for line in _BREAK.split(text)]
    sample = [line for line in lines[:2000] if line.strip()]
    if len(sample) < 3:
        return lines
    if sum(1 for line in sample if _WRAPPED.match(line)) >= 0.9 * len(sample):
        lines = [_unwrapped(line) for line in lines]
        sample = [line for line in lines[:2000] if line.strip()]
    if indent := min(len(line) - len(line.lstrip()) for line in sample):
        lines = [line[indent:] if not line[:indent].strip() else line for line in lines]
        sample = [line[indent:] for line in sample]
    for prefix in _PREFIXES:
        if sum(1 for line in sample if prefix.match(line)) >= 0.9 * len(sample):
            return [prefix.sub("", line, count=1) for line in lines]
    return lines


def _unwrapped(line: str) -> str:
    """The line of a program that a container runtime wrapped in a JSON object."""
    try:
        record = json.loads(line)
        return str(next(record[name] for name in ("log", "textPayload") if name in record)).rstrip("\n")
    except (ValueError, RecursionError, TypeError, StopIteration):
        return line


def _unfolded(line: str) -> list[str]:
    """The lines that were written as one, with escapes between them; none where there are no such escapes."""
    if line.count("#012") > 2:  # rsyslog
        return line.replace("#011", "\t").split("#012")
    if line.count("\\n") > 2 and ("Traceback" in line or "  at " in line or "File \\" in line):
        return line.replace('\\"', '"').replace("\\t", "\t").split("\\n")
    return []


# --- What sentences say of HTTP and JSON-RPC ---

_METHOD = r"(GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH)"
_URL = r"https?://[^\s'\"<>`\\|)\]},;\u2502]{1,2000}"
_LOGGED = re.compile(rf"HTTP Request: {_METHOD} ({_URL}) \"HTTP/[\d.]{{1,3}} (\d{{3}})")
_ACCESSED = re.compile(rf"\"{_METHOD} (\S{{1,2000}}) HTTP/[\d.]{{1,3}}\"(?:,? (?:status=)?| status: )(\d{{3}})\b")
_FOR_URL = re.compile(
    rf"(?:Client error|Server error|Redirect response|Informational response) '(\d{{3}})[^'\n]{{0,80}}'"
    rf"\s{{1,8}}for\s{{1,8}}url:?\s{{1,8}}'?({_URL})"
)
_FROM_URL = re.compile(rf"\bHTTP (\d{{3}})(?: [A-Z][\w -]{{0,60}})? from ({_URL})")
_REDIRECT_TO = re.compile(rf"\bRedirect to '?({_URL})'? not followed")
_HUNDREDS = re.compile(r"[1-5]\d\d")  # asked first, since it is cheap
_STATUSES = re.compile(
    r"\bHTTP(?:/[\d.]{1,3})?(?: status| error| response)?(?: code)?:? ?[(=]? ?(?:status:? ?)?([1-5]\d\d)\b"
    r"|\b[sS]tatus(?: code|_code|Code)?[\"']?\)?(?:: ?| ?= ?| of | )[(\"']{0,2}([1-5]\d\d)\b"
    r"|[sS]tatus code[^.:\n]{0,40}: ([45]\d\d)\b"
    r"|\bNon-200 status code \(([1-5]\d\d)\)"
    r"|\b(?:Client|Server) error '([1-5]\d\d)\b"
    r"|\bClientResponseError: ([1-5]\d\d),"
    r"|\b[rR]esponded with (?:an? )?(?:status )?([1-5]\d\d)\b"
    r"|\breturned (?:an? )?(?:HTTP |status )([1-5]\d\d)\b"
    r"|\b([45]\d\d) status\b"
    r"|\b([45]\d\d) (?:Client|Server) Error: |\breturned error: ([45]\d\d)\b|\bAn error occurred \(([45]\d\d)\)"
    r"|\bcode: ([45]\d\d)\b|\bResponse code: ([45]\d\d)\b|<(?:h1|H1|title|TITLE)>(?:ERROR:? )?([45]\d\d)\b"
    r"|\b(?:[eE]rror|failed)[:,]? (?:with )?\(?([45]\d\d)\b[ :)]"
    r"|\b([45]\d\d) (?:Unauthorized|Forbidden|Not Found|Too Many Requests|Internal Server Error|Bad Gateway"
    r"|Service Unavailable|Gateway Time-?out|Proxy Authentication Required)\b"
)
_MESSAGE = re.compile(r"(?:< )?HTTP/[\d.]{1,3} ([1-5]\d\d)\b")
_FIELD = re.compile(r"(?:< )?([A-Za-z][\w-]{0,80}): ?(.{0,2000})$")
_ASKED = re.compile(r"> (Host|POST)(?:: | )(\S{1,2000})")
_CURL_HEAD = re.compile(r"\bcurl\b.{0,400}?\s(?:--head|-[a-zA-HJ-Z]{0,8}I[a-zA-Z]{0,8})\b")
_CURL = re.compile(r"[*<>] |[{}] \[|<$|\s*$|\s*\d{1,3} +\d|\s*% Total|\s*Dload ")
# What an OAuth server answers when it registers a client is not what the endpoint answered.
_REGISTERING = re.compile(r"[Cc]lient [Rr]egistration|Registration failed|RegistrationRejected")
_FALLBACK = re.compile(r"\bSSE\b|\bsse\b|[fF]all(?:ing)? ?back")
_CODE = re.compile(r"(?:MCP error|JSON-RPC error:?|[\"']?\bcode[\"']?\s?[:=])\s?(-3\d{4})\b", re.IGNORECASE)
_ANY_URL = re.compile(_URL)
_HOST = re.compile(r"https?://(?:[^/@]{1,200}@)?(?:[\w-]|\[[0-9a-f:])")
_LEADS = (
    "redirect to ",
    "location: ",
    "redirect_uri=",
    "ection uri ",
)  # in front of where a redirect leads, which is not what was asked
_CUT = re.compile(r" ?│")  # at the border of a box: the rest stands on the next line
_ERROR_LINE = re.compile(
    r"^(?:Unexpected|Cannot|Could not|Unable|Invalid|Redirect|Unsupported|No |Missing|Unknown)\b|curl: \(\d"
    r"|\b(?:ERROR|CRITICAL|FATAL|Error|error|fatal|failed|Failed|FAILED|Exception|errored)\b"
)
# A list, a heading, a table, a quotation, emphasis, an explanation, what a tool found: such as a model in its answer.
_PROSE = re.compile(
    r"\s{0,40}(?:[-*#|] |#{2,6} |\d{1,3}\. )|[^`*]{0,400}(?:`[^`]{1,400}`|\*\*[^*]{1,400}\*\*)"
    r"|.{0,400}(?:\b(?:means that|happens when|occurs when|for example|[cC]ommon errors|as expected)\b"
    r"|\b[tT]ool (?:result:|\w{1,80} returned)|\bDEBUG\b)"
)
_ANSWERED = re.compile(r"HTTP|[sS]tatus|<h1|<H1|<title|<TITLE|Response code")
_LOGGER = re.compile(
    r"\b(?:mcp_proxy_for_aws|aws_iam_streamablehttp_client|botocore\.credentials|sigv4|SigV4|AWS4-HMAC-SHA256)\b"
)
_TOOL_FAILED = re.compile(
    r"['\"]?(?:isError|is_error)['\"]?\s?[:=]\s?(?:true|True)\b|['\"]status['\"]\s?:\s?['\"]error['\"]"
)
# A line without one of these says nothing about a failure. Looked for as they are: a pattern takes ten times as long.
# fmt: off
_TROUBLE = (
    "err", "fail", "denied", "invalid", "unable", "expired", "refused", "closed", "missing", "unauthori", "forbidden",
    "throttl", "terminated", "unsupported", "unknown", "mismatch", "required", "exceed", "unexpected", "reauthenticate",
    "redirect", "enoent", "cancel", "http", "status", "exception", "validation", "scoped", "credential", "signature",
    "gateway", "blocked", "overloaded", "timeout", "timed out", "time out", "could", "cannot", "can't", "not found",
    "not supported", "not valid", "not allowed", "not available", "not followed", "not be ", "not match", "not recogni",
    "not installed", "not authori", "not listed", "does not", "too many", "curl: (", "rate limit", "slow down",
    "slowdown", "no such", "must ", "without a", "no aws", "response code",
)
# fmt: on
# Asking whether OAuth is there is answered with 404 or 405 by most servers.
_ASIDE = re.compile(r"/\.well-known/|/(?:register|authorize|token)(?:$|\?)")
# The model that an agent talks to is no MCP endpoint, and its errors are not ours to explain.
_FOREIGN = re.compile(
    r"https?://(?:api\.(?:openai|anthropic|mistral|groq|deepseek|cohere)\.|[\w-]{1,80}\.openai\.azure\.|bedrock-runtime\."
    r"|generativelanguage\.googleapis\.|[\w-]{1,80}-aiplatform\.googleapis\.|openrouter\.ai)"
)
_FOREIGN_TYPE = re.compile(r"(?:openai|anthropic|litellm|mistralai|groq|cohere|google\.genai|google\.api_core)\.")
# Hosts that libraries name in their help texts, and that of instance metadata; no MCP endpoint is there.
_DOCUMENTATION = re.compile(
    r"https?://(?:docs\.|developer\.mozilla\.org|errors\.pydantic\.dev|(?:raw\.)?github(?:usercontent)?\.com|pypi\.org"
    r"|modelcontextprotocol\.io|(?:www\.)?python\.org|peps\.python\.org|gofastmcp\.com|[^/]{1,100}\.readthedocs\.io"
    r"|nodejs\.org|json-schema\.org|aka\.ms|boto3\.amazonaws\.com/v1/doc|(?:www\.)?npmjs\.com|registry\.npmjs\.org"
    r"|datatracker\.ietf\.org|astral\.sh|files\.pythonhosted\.org|www\.w3\.org|curl\.se|(?:platform|console|help|support|learn)\.|cloud\.google\.com|aws\.amazon\.com|169\.254\.|\[?fd00:ec2|bit\.ly)"
)
_ENDS = SUFFIX.strip("(?:)").split("|")
_NUMBERS = re.compile(r"0x[0-9a-fA-F]{4,16}|\d{1,20}")

# --- Exceptions that no traceback shows ---

_MENTIONED = re.compile(
    rf"(?<![\w.'\"/`])({NAME}[A-Z]\w{{0,80}}?{SUFFIX}|asyncio\.CancelledError)(?: \[(\w{{1,40}})\])?: (?=\S)(.*)"
)
_BARE = re.compile(rf"(?:.{{0,200}} - )?((?:[A-Za-z_]\w{{0,80}}\.){{1,12}}[A-Z]\w{{0,80}}?{SUFFIX})(?:\(\))?:?$")
_REPR = re.compile(rf"(?<![\w.])({NAME}[A-Z]\w{{0,80}}?{SUFFIX}|McpError|MCPError)\((?=[\"'(])")
_JS_FRAME = re.compile(r"\s{1,200}at (?:async |new |file:|node:|/)?\S")
_JS_START = re.compile(
    rf"\s{{0,40}}(?:Uncaught )?(?:\w{{1,80}}: )?((?:[A-Z]\w{{0,80}}?)?{SUFFIX})(?: \[(\w{{1,40}})\])?: (.*)"
)
_JS_CAUSE = re.compile(r"\s{0,200}(?:\[?cause\]?: |Caused by: )(?:(\w{1,80}?): )?(.*)")
_JS_FIELD = re.compile(
    r"\s{0,200}\[?'?(code|status|statusCode|errno|hostname|host|url|statusText|event|text|responseBody)'?\]?: "
    r"(.{0,2000}?),?$"
)
_JS_STATUS = re.compile(r"\bstatus(?:Code)?: ([2-5]\d\d),")
_STATUS_FIELDS = ("status", "statusCode", "status_code", "httpStatus", "httpStatusCode", "code")
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
            if any(_FOREIGN_TYPE.match(one.type) for one in path):
                chains[chain] = (True, 0)
                continue
            steps = frozenset(step for one in path for step in one.steps)
            self._steps |= steps
            # All leaves of a group stand at its line, so that the first of them is not taken for the earlier.
            line, leaf = path[0].line, path[-1]
            chains[chain] = (is_cleanup(leaf.type, leaf.message), -line)
            clue = self._clue("\n".join(_spoken(one) for one in reversed(path)), line)
            found.append(replace(clue, chain=chain, steps=steps, exchange=_exchange_of(path) or clue.exchange))
        found = [self._in_time(clue) for clue in found]
        if any(clue.exchange or clue.rpc_code for clue in found if not _is_fallback(clue)):
            found = [clue for clue in found if not _is_fallback(clue)]
        found.sort(key=lambda clue: clue.line)
        return Reading(
            clues=tuple(replace(clue, words=clean(clue.words, limit=_MAX_WORDS)) for clue in found[-_MAX_CLUES:]),
            chains=tuple(sorted(chains, key=chains.__getitem__)[:MAX_LEAVES]),
            urls=tuple(clean(url, limit=2000) for url in sorted(self._urls, key=lambda url: -self._urls[url])[:50]),
            steps=frozenset(self._steps),
        )

    def _next(self, lines: Sequence[str], index: int, number: int, nesting: int) -> int:
        """Read what begins at `index`; give how many lines that was."""
        line = lines[index]
        if "http" in line:
            self._note_urls(line)
        if nesting < _MAX_NESTING and not _JSON_AHEAD.match(line) and (folded := _unfolded(line)):
            nested = _Reader(short=self._short)
            nested.feed(folded, number=number, nesting=nesting + 1)
            self._absorb(nested)
            return 1
        if self._tracebacks.take(line, number):
            return 1
        start = line.lstrip()
        if len(start) < 3 and start not in _OPENINGS:
            return 1
        if start[0] in "{[" and nesting < _MAX_NESTING and (count := self._json(lines, index, number, nesting)):
            return count
        if (
            _names_one(line)
            and (found := _JS_START.search(line))
            and (count := self._javascript(lines, index, number, found))
        ):
            return count
        if (found := _MESSAGE.match(line)) and (count := self._message(lines, index, number, int(found[1]))):
            return count
        if found := _ASKED.match(line):
            self._asked[found[1].lower()] = found[2]
        if "curl " in line:
            self._asked = {"head": "-I"} if _CURL_HEAD.search(line) else {}
        if index + 1 < len(lines) and _CARETS.match(lines[index + 1]):
            return 2  # source code with a mark under it: it says what might be raised, not what was
        if not self._exchanged(line, number) and _troubled(line):
            self._sentence(line, number, nesting)
        return 1

    # --- Sentences ---

    def _sentence(self, line: str, number: int, nesting: int) -> None:
        line = line[:_MAX_SENTENCE]
        key = _NUMBERS.sub("#", line[:400])
        if known := self._clues.get(key):
            self._keep(key, replace(known, line=number))
            return
        self._steps.update(_LOGGER.findall(line))
        if nesting < _MAX_NESTING and (quoted := _QUOTED_JSON.match(line)):
            nested = _Reader(short=self._short)
            nested.feed([quoted[1].replace("\\\\", "\\").replace("\\'", "'")], number=number, nesting=nesting + 1)
            self._absorb(nested)
        clue = self._clue(line, number)
        if _PROSE.match(line) and not (self._short or clue.tool_error or clue.rpc_code):
            return
        if _names_one(line) and not line.startswith("Exception ignored"):
            for raised in _raised_in(line, number):
                self._tracebacks.add(raised)
        answer = clue.exchange and (clue.exchange.url or _ANSWERED.search(line))
        if self._short or answer or clue.rpc_code or clue.tool_error or _ERROR_LINE.search(line):
            self._keep(key, clue)

    def _clue(self, words: str, number: int) -> Clue:
        code = _CODE.search(words) if "-3" in words else None
        return Clue(
            line=number,
            words=words,
            exchange=_exchange_in(words),
            rpc_code=int(code[1]) if code else None,
            tool_error=bool(_TOOL_FAILED.search(words)),
        )

    def _keep(self, key: object, clue: Clue) -> None:
        """Keep a clue at the place where it is said last."""
        self._clues.pop(key, None)
        self._clues[key] = clue
        if len(self._clues) > _MAX_CLUES:
            del self._clues[next(iter(self._clues))]

    def _note_urls(self, line: str) -> None:
        for found in _ANY_URL.finditer(line):
            url = found[0].rstrip(".:…")
            before = line[max(found.start() - 14, 0) : found.start()].lower()
            if _CUT.match(line, found.end()) or not _HOST.match(url) or before.rstrip("'").endswith(_LEADS):
                continue
            if (
                not _DOCUMENTATION.match(url)
                and not _FOREIGN.match(url)
                and (url in self._urls or len(self._urls) < _MAX_CLUES)
            ):
                self._urls[url] = self._urls.get(url, 0) + 1

    # --- HTTP ---

    def _exchanged(self, line: str, number: int) -> bool:
        """Read the line that an HTTP library logs for each request."""
        if "HTTP" not in line or not (found := _LOGGED.search(line) or _ACCESSED.search(line)):
            return False
        method, url, status = found[1], found[2], int(found[3])
        if status < 300:
            self._answered.setdefault(_host_of(url), []).append(number)
            if method != "POST":
                return True
            self._answered.setdefault(url, []).append(number)
        elif not (_FOREIGN.match(url) or _ASIDE.search(url) or (method != "POST" and status in (400, 404, 405, 406))):
            exchange = Exchange(method=method, url=url if "://" in url else "", status=status)
            self._keep((method, url, status), Clue(line=number, words=f"HTTP {status}", exchange=exchange))
        return True

    def _in_time(self, clue: Clue) -> Clue:
        """Add whether the same URL was answered well before and after."""
        answers: Sequence[int] = ()
        if clue.exchange:
            answers = self._answered.get(clue.exchange.url, ())
            if clue.exchange.status in (404, 405):
                # Where the server was looked for at another path, or spoken to over the other transport.
                answers = answers or self._answered.get(_host_of(clue.exchange.url), ())
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
            if _CURL.match(lines[at]) or lines[at].startswith("$ ") or _LOGGED.search(lines[at]):
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
            body="\n".join(body)[:_MAX_WORDS],
        )
        if status >= 300 and not (self._asked.get("head") and status in (404, 405)):
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
        key = _NUMBERS.sub("#", text[:_MAX_WORDS])
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
        nested = _Reader(short=self._short)
        for text in texts:
            if "\n" in text or text.lstrip()[:1] in "{[":
                nested.feed(_lines_of(text[:_MAX_TEXT]), number=number, nesting=nesting + 1)
        self._absorb(nested)
        scalars = [
            (name, value)
            for name, value in document.items()
            if isinstance(value, str | int) and value not in ("", False)
        ]
        words = "; ".join(f"{name}: {value}" for name, value in scalars)[:_MAX_WORDS]
        failed = document.get("isError") is True or document.get("is_error") is True
        if failed:
            words = f"isError: true; {' '.join(_texts_in(document))}"[:_MAX_WORDS]
        status = next((document[name] for name in _STATUS_FIELDS if _is_status(document.get(name))), None)
        if not (failed or status or _troubled(words)):
            return
        for kind, text in _EXCEPTION_FIELDS:
            name, message = document.get(kind), document.get(text)
            if isinstance(name, str) and isinstance(message, str) and _NAMED.match(name):
                self._tracebacks.add(Raised(type=name, message=message[:_MAX_WORDS], line=number))
        for text in texts:
            for raised in _raised_in(text, number):
                self._tracebacks.add(raised)
        clue = self._clue(words, number)
        if status is not None:
            clue = replace(clue, exchange=replace(_exchange(status, words), url=_url_in(words)))
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
        if self._short or failed or said or clue.exchange or clue.rpc_code or _ERROR_LINE.search(words):
            self._keep(_NUMBERS.sub("#", words[:400]), replace(clue, tool_error=failed))

    def _absorb(self, other: _Reader) -> None:
        for raised in other._tracebacks.end():  # another of the same class
            self._tracebacks.add(raised)
        for key, clue in other._clues.items():
            self._keep(key, clue)
        for url, lines in other._answered.items():
            self._answered.setdefault(url, []).extend(lines)
        self._steps |= other._steps

    # --- JavaScript ---

    def _javascript(self, lines: Sequence[str], index: int, number: int, start: re.Match[str]) -> int:
        """Read an error as Node prints it, with its stack, its fields and its causes; give how many lines it took."""
        end = min(index + _MAX_BLOCK, len(lines))
        first = index + 1
        while first < end and not _JS_FRAME.match(lines[first]):
            if first - index > 40 or not lines[first].strip() or _JS_START.search(lines[first]):
                return 0
            first += 1
        if first >= end:
            return 0
        message = "\n".join([start[3], *(line.strip() for line in lines[index + 1 : first])])
        raised = Raised(type=start[1], message=message[:_MAX_WORDS].strip(), line=number + first - index)
        inner, at, inside = raised, first, False
        while at < end:
            line = lines[at]
            if _JS_FRAME.match(line):
                raised.steps.add(line.strip()[:200])
            elif inside and (cause := _JS_CAUSE.match(line)):
                if cause[2].strip(" {,") not in ("undefined", "null", ""):
                    inner.behind = Raised(type=cause[1] or "Error", message=cause[2].strip(" {,"), line=number)
                    inner = inner.behind
            elif inside and (field := _JS_FIELD.match(line)):
                _note_field(raised, field[1], field[2].strip("'\" "))
            elif inside and (given := _JS_STATUS.search(line)):
                raised.status = raised.status or int(given[1])
                inside = True
            elif not inside or line.startswith("}"):
                break
            self._note_urls(line)
            inside = inside or line.endswith("{")
            at += 1
        self._tracebacks.add(raised)
        return max(at - index, 1)


def _note_field(raised: Raised, name: str, value: str) -> None:
    """Keep a field of a JavaScript error: a status, or words that say more than its message does."""
    if name in ("code", "status", "statusCode") and value.isdecimal() and 200 <= int(value) < 600:
        raised.status = int(value)
    elif name in ("url", "host") and "://" in value:
        raised.url = value
    elif value in ("undefined", "null", "") or value in raised.message:
        return
    elif not value.lstrip("-").isdecimal():
        raised.message = f"{raised.message} ({name}: {value})"[:_MAX_WORDS]
    elif name == "code" and value.startswith("-3") and "error -3" not in raised.message:
        raised.message = f"{raised.message} (code: {value})"


def _host_of(url: str) -> str:
    return url.split("/")[2] if url.count("/") > 1 else ""


def _troubled(line: str) -> bool:
    low = line.lower()
    for word in _TROUBLE:  # noqa: SIM110  # a generator would take twice the time, on every line of a log
        if word in low:
            return True
    return False


def _names_one(line: str) -> bool:
    """Whether a line may name an exception; asking this is cheaper than looking for one."""
    for end in _ENDS:  # noqa: SIM110  # as above
        if end in line:
            return True
    return False


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
    return bool(clue.exchange and clue.exchange.status in (404, 405) and _FALLBACK.search(clue.words))


def _exchange_of(path: Sequence[Raised]) -> Exchange | None:
    """The HTTP exchange that the fields of an error tell of."""
    for raised in path:
        if raised.status:
            return replace(_exchange(raised.status, raised.message), url=raised.url or _url_in(raised.message))
    return None


def _exchange_in(words: str) -> Exchange | None:
    """The HTTP exchange that a sentence tells of."""
    if not _HUNDREDS.search(words):
        return None
    if "://" in words and (found := _FOR_URL.search(words) or _FROM_URL.search(words)):
        return replace(_exchange(int(found[1]), words), url=found[2].rstrip(".:"))
    found = None if _REGISTERING.search(words) or "169.254." in words else _STATUSES.search(words)
    status = int(next(filter(None, found.groups()))) if found else 0
    return replace(_exchange(status, words), url=_url_in(words)) if status >= 300 else None


def _exchange(status: int, words: str) -> Exchange:
    """An exchange with the body that `words` quote."""
    start = words.find("{")
    if start < 0 or (page := words.lower().find("<html", 0, 4000)) >= 0:
        return Exchange(method="POST", url="", status=status, body=words[page:] if start >= 0 else None)
    end = words.rfind("}") + 1
    return Exchange(method="POST", url="", status=status, body=words[start : end or None])


def _url_in(words: str) -> str:
    """The one URL of a sentence; empty where there are several."""
    if "edirect" in words:
        return ""  # where it leads, and not what was asked
    urls = {found[0].rstrip(".:") for found in _ANY_URL.finditer(words)}
    own = [url for url in urls if not _DOCUMENTATION.match(url)]
    return own[0] if len(own) == 1 else ""


def _raised_in(line: str, number: int) -> Iterator[Raised]:
    """The exceptions that a sentence names: in words, or as the `repr` of one or of a group."""
    outer: Raised | None = None
    for found in _REPR.finditer(line):
        raised = Raised(type=found[1], message=_quoted(line, found.end()), line=number)
        if outer is None:
            outer = raised
            yield raised
        else:
            outer.members.append(raised)
        if found[1].endswith("Group"):
            outer = raised
    if outer is None and (named := _MENTIONED.search(line)) and (named.start() < 3 or _ERROR_LINE.search(line)):
        yield Raised(type=named[1], message=named[3].strip()[:_MAX_WORDS], line=number)
    elif outer is None and (bare := _BARE.match(line)):
        yield Raised(type=bare[1], message="", line=number)


def _quoted(line: str, start: int) -> str:
    """The text of the quoted string that begins at `start`, as Python writes one."""
    quote = line[start]
    end = start + 1
    limit = min(len(line), start + _MAX_WORDS)
    while end < limit and line[end] != quote:
        end += 2 if line[end] == "\\" else 1
    return line[start + 1 : end].replace("\\n", "\n").replace("\\'", "'").replace('\\"', '"')


def _inside(document: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a JSON document, the outer one first, without recursion."""
    pending = [document]
    for _ in range(5_000):
        if not pending:
            return
        one = pending.pop()
        if isinstance(one, dict):
            if one.get("isError") is False:
                continue  # what a tool answered well is the user's own
            yield one
            pending += [value for value in reversed(one.values()) if isinstance(value, dict | list)]
        elif isinstance(one, list):
            pending += [value for value in reversed(one) if isinstance(value, dict | list)]


def _texts_in(document: Any) -> list[str]:
    return [value for one in _inside(document) for value in one.values() if isinstance(value, str)]
