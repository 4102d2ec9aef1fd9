"""What a run of `mcpdoctor run` recorded: read from the files of the recorder and from the pipes of a stdio proxy.

What is read was written by other processes, and most of it by servers: all of it is redacted and capped here.
"""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcpdoctor.failures import Chain, unwrap
from mcpdoctor.model import (
    UNSIGNED,
    Configuration,
    Exchange,
    Fact,
    Result,
    Stage,
    Trace,
    Verdict,
)
from mcpdoctor.redaction import clean, clean_headers

MAX_BYTES = 64 * 2**20
"""Bytes that are read of the files of one run."""

MAX_LINE = 2**20
"""Longest line of a stdio proxy that is read; tool results may be longer, errors are not."""

KEPT_BODY = 4000
"""Characters that are kept of a body."""

WHOLE_BODY = 2000
"""Bytes of a body that the recorder always writes whole, if it writes it."""

_RPC = re.compile(r'"jsonrpc"\s*:')
_RPC_ERROR = re.compile(r'"error"\s*:\s*\{')
_TOOL_FAILED = re.compile(r'"isError"\s*:\s*true')
_MAX_MESSAGES = 200
_MAX_WAITING = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One exchange of the program, as its own interpreter saw it.

    Where neither a status nor a failure is known, the request was still waiting for its answer when the program ended:
    it is `pending`, and the elapsed time of its exchange is how long it had waited.

    Attributes:
        exchange: with the beginning of the answer's body.
        started_s: seconds since the run began.
        process: id of the process.
        signature: how the request was authenticated: `sigv4`, `bearer`, `other`, or None.
        service: of the SigV4 credential scope.
        region: of the SigV4 credential scope.
        session: the request carried an mcp-session-id.
        tool: name of the tool of a `tools/call`.
        answer: `rpc-result` where the answer was a good one, whose body is not kept; None otherwise.
        sent: False where it failed on the way to the network, such as while it was signed.
        failures: what was raised instead of an answer, or while its body was read.
    """

    exchange: Exchange
    started_s: float = 0.0
    process: int = 0
    signature: str | None = None
    service: str | None = None
    region: str | None = None
    session: bool = False
    tool: str | None = None
    answer: str | None = None
    sent: bool = True
    failures: tuple[Chain, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether nothing had come of it when the program ended."""
        return self.exchange.status is None and not self.failures

    @property
    def kind(self) -> str | None:
        """`rpc-result` or `rpc-error` where the beginning of the body shows it; the rest of it may be missing."""
        body = self.exchange.body or ""
        if self.answer is not None or not _RPC.search(body):
            return self.answer
        return "rpc-error" if _RPC_ERROR.search(body) else "rpc-result"

    @property
    def tool_failed(self) -> bool:
        """Whether a tool answered that it failed."""
        return self.kind == "rpc-result" and bool(_TOOL_FAILED.search(self.exchange.body or ""))

    @property
    def failed(self) -> bool:
        """Whether this is not what the program asked for.

        A 405 to GET or DELETE is healthy, and an event stream that was opened ends when the program has had enough.
        """
        status, method = self.exchange.status, self.exchange.method
        if status is None:
            return True
        if status >= 300:
            return not (status == 405 and method in ("GET", "DELETE"))
        if method != "POST":
            return False
        return bool(self.failures) or self.kind == "rpc-error" or self.tool_failed or self._foreign()

    def _foreign(self) -> bool:
        """Whether a request was answered well, and with something that is not MCP."""
        content = self.exchange.headers.get("content-type", "")
        asked = self.exchange.rpc_method is not None and not self.exchange.rpc_method.startswith("notifications/")
        if not asked or self.kind is not None or "event-stream" in content:
            return False
        if "json" not in content:
            return True
        # Of a long body only the beginning was seen, and a server may write `"jsonrpc"` last.
        return bool(self.exchange.body) and self.exchange.body_size <= WHOLE_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A JSON-RPC request on the pipes of a stdio proxy that was answered with an error, or not at all.

    Attributes:
        rpc_method: of the request; None where the error names no request.
        rpc_code: of the error; None for a tool that says it failed, and for a request without an answer.
        message: the words of the error or of the tool.
        elapsed_s: seconds from the request to the answer, or to the end of the run.
        answered: whether an answer came.
    """

    rpc_method: str | None = None
    rpc_code: int | None = None
    message: str = ""
    elapsed_s: float = 0.0
    answered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Everything that one run of a program showed.

    Attributes:
        exchanges: MCP exchanges of all its Python processes, in the order they began.
        failures: unhandled exceptions of its processes and their threads.
        text: the end of its standard error as it is, where that could be read.
        messages: errors on the pipes of a stdio proxy.
        python: whether a Python interpreter reported at all.
        versions: of the packages its exchanges were made with, or that kept it from making any.
        library: whether a process of it used the proxy as a library.
        interpreters: versions of the Pythons that reported.
    """

    exchanges: tuple[Recorded, ...] = ()
    failures: tuple[Chain, ...] = ()
    text: str = ""
    messages: tuple[Message, ...] = ()
    python: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    library: bool = False
    interpreters: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Recorded, ...]:
        """The exchanges that were waiting for their answer when the program ended."""
        return tuple(one for one in self.exchanges if one.pending)


def read(
    directory: Path | None, *, started: float, ended: float, text: str = "", messages: tuple[Message, ...] = ()
) -> Recording:
    """Read what the recorders of one run wrote.

    Args:
        directory: holds a file for each process; what is no line of a recorder is passed over. None for none.
        started: when the run began, in seconds since the epoch.
        ended: when it ended.
        text: the end of its standard error.
        messages: errors on the pipes of a stdio proxy.
    """
    exchanges: list[Recorded] = []
    failures: list[Chain] = []
    versions: dict[str, str] = {}
    library = False
    interpreters: list[str] = []
    for process, lines in _logs(directory) if directory else ():
        begun: dict[str, list[dict[str, Any]]] = {}
        for event in _events(lines):
            match event.get("event"):
                case "start":
                    interpreters.append(clean(str(event.get("python")), limit=40))
                case "sent" | "answered" | "ended":
                    begun.setdefault(str(event.get("id")), []).append(event)
                case "unhandled":
                    failures += _chains(event.get("failure"))
                case "packages":
                    given = event.get("versions")
                    library = library or event.get("library") is True
                    versions |= {clean(name): clean(str(one), limit=40) for name, one in _object(given).items()}
        exchanges += [
            _recorded(events, process=process, started=started, ended=ended)
            for events in begun.values()
            if events[0]["event"] == "sent"  # the rest of an exchange that a parent began
        ]
    return Recording(
        exchanges=tuple(sorted(exchanges, key=lambda one: one.started_s)),
        failures=tuple(failures),
        text=text,
        messages=messages,
        python=bool(interpreters),
        versions=versions,
        library=library,
        interpreters=tuple(dict.fromkeys(interpreters)),
    )


def _logs(directory: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Id and lines of each process; its parts are `PID-NAME.NUMBER.jsonl`."""
    parts: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(directory.glob("*.jsonl")):
        name, _, number = path.stem.rpartition(".")
        parts.setdefault(name, []).append((int(number) if number.isdecimal() else 0, path))
    left = MAX_BYTES
    for name, numbered in parts.items():
        lines: list[bytes] = []
        for _, path in sorted(numbered):
            data = _content(path, left)
            left -= len(data)
            lines += data.split(b"\n")[:-1]  # the last one is cut off where the disk was full or the process killed
        process = name.partition("-")[0]
        yield int(process) if process.isdecimal() else 0, lines


def _content(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError:
        return b""


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        event = _json(line)
        if isinstance(event, dict):
            yield event


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object, limit: int = 200) -> str | None:
    return clean(value, limit=limit) if isinstance(value, str) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _recorded(events: list[dict[str, Any]], *, process: int, started: float, ended: float) -> Recorded:
    """Put the events of one exchange together: `sent`, then perhaps `answered`, then perhaps `ended`."""
    sent = events[0]
    known: dict[str, Any] = {name: value for event in events for name, value in event.items() if value is not None}
    status = known.get("status")
    headers = [pair for pair in _list(known.get("headers")) if isinstance(pair, list) and len(pair) == 2]
    began = _number(sent.get("at"))
    return Recorded(
        exchange=Exchange(
            method=_text(sent.get("method"), 20) or "",
            url=_text(sent.get("url"), 2000) or "",
            rpc_method=_text(sent.get("rpc")),
            status=status if isinstance(status, int) else None,
            headers=clean_headers((str(name), str(value)) for name, value in headers),
            body=_text(known.get("body"), KEPT_BODY),
            body_size=int(_number(known.get("size"))),
            complete=known.get("complete") is True,
            elapsed_s=_number(known["after"]) if "after" in known else round(max(ended - began, 0.0), 6),
        ),
        started_s=round(max(began - started, 0.0), 6),
        process=process,
        signature=_text(sent.get("signature"), 20),
        service=_text(sent.get("service")),
        region=_text(sent.get("region")),
        session=sent.get("session") is True,
        tool=_text(sent.get("tool")),
        answer="rpc-result" if known.get("answer") == "rpc-result" else None,
        sent=sent.get("unsent") is not True,
        failures=_chains(known.get("failure")),
    )


# Exceptions -----------------------------------------------------------------------------------------------------------

_BASES: Mapping[str, type[Exception]] = {"SSLError": ssl.SSLError, "gaierror": socket.gaierror, "OSError": OSError}


def _chains(told: object) -> tuple[Chain, ...]:
    """Take a failure apart as if it had been raised here, so that every failure is taken apart in the same way."""
    links = [one for one in _list(told) if isinstance(one, dict)]
    if not links:
        return ()
    made = [_stand_in(link) for link in links]

    def at(place: object) -> BaseException | None:
        return made[place] if isinstance(place, int) and 0 <= place < len(made) else None

    for error, link in zip(made, links, strict=True):
        error.__cause__, error.__context__ = at(link.get("cause")), at(link.get("context"))
        found = [at(place) for place in _list(link.get("members"))]
        error.exceptions = tuple(one for one in found if one is not None)  # type: ignore[attr-defined]
    return unwrap(made[0])


def _stand_in(link: Mapping[str, Any]) -> BaseException:
    """An exception that has the name, the words and the number of the recorded one."""
    kind = link.get("type")
    module, name = map(str, kind) if isinstance(kind, list) and len(kind) == 2 else ("builtins", "Exception")
    base = _BASES.get(str(link.get("base")), Exception)
    words = str(link.get("text", ""))
    body = {"__module__": module, "__qualname__": name, "__str__": lambda _: words}
    error: BaseException = type(name, (base,), body)()
    if isinstance(error, OSError):
        number = link.get("errno")
        error.errno = number if isinstance(number, int) else None
        if isinstance(error, ssl.SSLError):
            error.reason = str(link.get("reason") or "")
    return error


# As a report ----------------------------------------------------------------------------------------------------------

_STAGES = {"initialize": Stage.OPEN, "server/discover": Stage.OPEN, "tools/list": Stage.LIST, None: Stage.OPEN}
_UNREACHABLE = {"ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH"}


def results(recording: Recording) -> tuple[Result, ...]:
    """What was recorded, one result for each endpoint and way of signing, not yet judged.

    Requests for the metadata of an authorization server are left out: they are about an endpoint, not to it.
    """
    cells: dict[Configuration, list[Recorded]] = {}
    for one in recording.exchanges:
        if "/.well-known/" in one.exchange.url:
            continue
        signed = one.signature == "sigv4"
        configuration = Configuration(
            endpoint=one.exchange.url,
            region=one.region,
            service=one.service,
            credential="default" if signed else UNSIGNED,
        )
        cells.setdefault(configuration, []).append(one)
    return tuple(
        Result(
            target=configuration.endpoint,
            configuration=configuration,
            works=None,
            stage=Stage.PARSE,
            elapsed_s=round(sum(one.exchange.elapsed_s for one in seen if one.exchange.method == "POST"), 6),
            stages=tuple(_trace(stage, [one for one in seen if _stage(one) is stage]) for stage in Stage),
        )
        for configuration, seen in cells.items()
    )


def _stage(one: Recorded) -> Stage:
    """The stage that an exchange shows: of the connection where it did not get beyond, else by its JSON-RPC method."""
    links = [link for chain in one.failures for link in chain] if one.exchange.status is None else []
    if any((link.errno or "").startswith("EAI_") for link in links):
        return Stage.DNS
    if any("SSL" in link.type or "certificate" in link.message for link in links):
        return Stage.TLS
    if any(link.errno in _UNREACHABLE or link.type.endswith("ConnectTimeout") for link in links):
        return Stage.TCP
    method = one.exchange.rpc_method
    if method is not None and method.startswith("notifications/"):
        return Stage.OPEN
    return _STAGES.get(method, Stage.CALL)


def _trace(stage: Stage, seen: list[Recorded]) -> Trace:
    if not seen:
        return Trace(stage=stage, verdict=Verdict.SKIPPED, reason="not recorded")
    # The last POST decides, as in a report of `check`: what failed before was tried again or did not matter.
    last = next((one for one in reversed(seen) if one.exchange.method == "POST"), seen[-1])
    facts: dict[str, Fact] = {"recorded": True}
    if last.kind is not None:
        facts["answer"] = last.kind
    if last.tool is not None:
        facts |= {"tool": last.tool, "tool_failed": last.tool_failed}
    waited = f"no answer came in {last.exchange.elapsed_s:.1f} s, until the program ended"
    return Trace(
        stage=stage,
        verdict=Verdict.FAILED if last.failed else Verdict.PASSED,
        elapsed_s=last.exchange.elapsed_s,
        reason=waited if last.pending else None,
        facts=facts,
        exchanges=tuple(one.exchange for one in seen if one.exchange.status is not None),
        failures=last.failures,
    )


# Pipes of a stdio proxy -----------------------------------------------------------------------------------------------


class Conversation:
    """Follows the JSON-RPC on the pipes of a stdio proxy, and keeps what went wrong in it.

    Both sides may be fed at the same time, each by one thread.
    """

    def __init__(self) -> None:
        self._asked = _Splitter()
        self._answered = _Splitter()
        self._waiting: dict[object, tuple[str, float]] = {}
        self._errors: list[Message] = []

    def client_said(self, data: bytes) -> None:
        """Take what went to the proxy."""
        for message in self._asked.messages(data):
            method, number = message.get("method"), message.get("id")
            if isinstance(method, str) and isinstance(number, str | int) and len(self._waiting) < _MAX_WAITING:
                self._waiting[number] = (method, time.monotonic())

    def proxy_said(self, data: bytes) -> None:
        """Take what came from the proxy."""
        for message in self._answered.messages(data):
            if "method" in message:
                continue  # a request or a notification of the server
            number = message.get("id")
            method, since = self._waiting.pop(number, (None, None)) if isinstance(number, str | int) else (None, None)
            error = _error_in(message)
            if error is not None and len(self._errors) < _MAX_MESSAGES:
                elapsed = 0.0 if since is None else round(time.monotonic() - since, 6)
                code, words = error
                self._errors.append(Message(rpc_method=method, rpc_code=code, message=words, elapsed_s=elapsed))

    def messages(self) -> tuple[Message, ...]:
        """The errors, then the requests that have no answer yet."""
        now = time.monotonic()
        waiting = [
            Message(rpc_method=clean(method, limit=200), elapsed_s=round(now - since, 6), answered=False)
            for method, since in list(self._waiting.values())[:_MAX_MESSAGES]
        ]
        return (*self._errors, *waiting)


class _Splitter:
    """Cuts a stream of bytes into JSON-RPC messages; lines that are too long are passed over."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._too_long = False

    def messages(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Those that `data` completes."""
        *complete, rest = data.split(b"\n")
        for piece in complete:
            line, whole = bytes(self._begun) + piece, not self._too_long
            self._begun.clear()
            self._too_long = False
            message = _json(line) if whole and len(line) <= MAX_LINE else None
            if isinstance(message, dict) and "jsonrpc" in message:
                yield message
        self._begun += rest
        if len(self._begun) > MAX_LINE:
            self._begun.clear()
            self._too_long = True


def _error_in(message: Mapping[str, Any]) -> tuple[int | None, str] | None:
    """Code and words of an answer that is an error, or of a tool that says it failed; None for any other."""
    error = message.get("error")
    if error is not None:
        code = _object(error).get("code")
        words = str(_object(error).get("message", ""))
        return code if isinstance(code, int) else None, clean(words, limit=KEPT_BODY)
    result = _object(message.get("result"))
    if result.get("isError") is not True:
        return None
    parts = [_object(part).get("text", "") for part in _list(result.get("content"))]
    return None, clean(" ".join(map(str, parts)), limit=KEPT_BODY)
