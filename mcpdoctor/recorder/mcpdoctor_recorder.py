# ruff: noqa: INP001  # a directory of the module search path, not a package
"""Record the MCP exchanges of the Python program that this module was put into.

`mcpdoctor run` puts this directory in front of PYTHONPATH, and `sitecustomize.py` beside this file calls `start`.
From then on every MCP request that httpx or httpx2 sends leaves a few lines of JSON in a directory that `mcpdoctor run`
reads when the program has ended (`mcpdoctor/recording.py`).

This is a guest in somebody else's interpreter. It runs on every Python from 3.10 and needs the standard library alone;
it imports next to nothing before the program does; it sends nothing, waits for nothing and changes nothing, with one
exception that `_Exchange.worth_reading` explains; and whatever goes wrong in here stays in here.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from contextvars import ContextVar
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType, TracebackType
    from typing import Any

VARIABLE = "MCPDOCTOR_RECORD"
"""Environment variable that names the directory to write to."""

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib is slow to import
"""The directory that PYTHONPATH has to name, for child processes."""

HEADERS = frozenset(
    {
        "allow",
        "content-length",
        "content-type",
        "date",
        "location",
        "mcp-protocol-version",
        "mcp-session-id",
        "proxy-authenticate",
        "retry-after",
        "server",
        "via",
        "www-authenticate",
        "x-amz-apigw-id",
        "x-amz-cf-id",
        "x-amz-cf-pop",
        "x-amzn-errortype",
        "x-amzn-remapped-www-authenticate",
        "x-amzn-requestid",
        "x-cache",
    }
)
"""Response headers that are written: those of `mcpdoctor.redaction`, which a test compares. No request header is."""

MAX_FILE = 32 * 2**20
"""Bytes that one process leaves at most."""

_HEADERS = frozenset(name.encode() for name in HEADERS)
_RATE_LIMITS = (b"ratelimit", b"x-ratelimit")
_MASK = "[redacted]"
_SOON = 65_536  # bytes of a body that come with their headers, or right after them
_MAX_MESSAGE = 2**20  # bytes of a request body that are read for its method
_KEPT = 16_384  # bytes of a body that are looked at
_KEPT_WELL = 2_000  # bytes that are written of a body that holds no error
_KEPT_TEXT = 4_000  # characters of an exception's text
_MAX_LINKS = 200  # exceptions of one failure
_MAX_REFUSAL = 65_536  # bytes of an unread refusal that are fetched
_PATIENCE_S = 0.25  # for each piece of it
_SECRET_HEADERS = (b"x-amz-security-token", b"x-api-key", b"cookie")
_SHORTEST_SECRET = 8
_MAX_REMEMBERED = 200
_PACKAGES = {
    "fastmcp": "fastmcp",
    "httpx": "httpx",
    "httpx2": "httpx2",
    "langchain_mcp_adapters": "langchain-mcp-adapters",
    "mcp": "mcp",
    "mcp_proxy_for_aws": "mcp-proxy-for-aws",
    "pydantic": "pydantic",
    "strands": "strands-agents",
}


class _Harmless:
    """A `with` block whose errors reach nobody; Ctrl-C and cancellation are the program's and pass."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        return isinstance(error, Exception)


_harmless = _Harmless()


# Writing --------------------------------------------------------------------------------------------------------------


class _Json:
    """The json module without its checks, imported when it is needed; by then most programs have it."""

    def __init__(self) -> None:
        self.encode: Callable[[object], str] = self._encode_first
        self.decode: Callable[[str], tuple[Any, int]] = self._decode_first

    def _encode_first(self, value: object) -> str:
        from json import JSONEncoder

        self.encode = JSONEncoder(check_circular=False).encode
        return self.encode(value)

    def _decode_first(self, text: str) -> tuple[Any, int]:
        from json import JSONDecoder

        self.decode = JSONDecoder().raw_decode
        return self.decode(text)


_json = _Json()


class _Log:
    """The files of this process: one JSON document a line, each in one write, so that threads need no lock.

    There are two at most; the older one goes when the newer one is full. What a program did last explains its end.
    """

    def __init__(self) -> None:
        self.directory = ""
        self._name = ""
        self._part = 0
        self._left = 0
        self._file = -1
        self._device = self._inode = 0

    def open(self, directory: str = "") -> None:
        """Begin files of its own, at the start of a process and again behind a fork."""
        self.directory = directory or self.directory
        self._name = f"{os.getpid()}-{os.urandom(6).hex()}"
        self._part, self._left, self._file = 0, MAX_FILE // 2, -1
        version = ".".join(map(str, sys.version_info[:3]))
        self.append(f'{{"event": "start", "at": {time.time():.6f}, "python": "{version}"}}\n')

    def write(self, event: str, **fields: object) -> None:
        """Write one event."""
        self.append(f"{_json.encode({'event': event, **fields})}\n")

    def append(self, text: str) -> None:
        """Write one line, or give up for good: a disk that is full is the program's trouble, not ours to add to."""
        if not self._left:
            return
        line = text.encode()
        written = 0
        with_room = self._left >= len(line)
        try:
            if not (with_room and self._is_ours()):
                self._reopen(turn_over=not with_room)
            written = os.write(self._file, line)
        except OSError:
            pass
        self._left = max(self._left - written, 1) if written == len(line) else 0

    def _is_ours(self) -> bool:
        """Whether the descriptor is still that of our file.

        A daemon closes all descriptors, and the number may be a socket of the program by now. So it is looked at before
        every write; that costs a microsecond.
        """
        try:
            about = os.fstat(self._file)
        except OSError:
            return False
        return about.st_ino == self._inode and about.st_dev == self._device

    def _reopen(self, *, turn_over: bool) -> None:
        if turn_over:
            if self._is_ours():
                os.close(self._file)
            with _harmless:  # there is none the first time
                os.unlink(self._path(self._part - 1))  # noqa: PTH108
            self._part, self._left = self._part + 1, MAX_FILE // 2
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        opened = os.open(self._path(self._part), flags, 0o600)
        if opened < 3:
            # The program was started without standard streams; what it opens next expects this number.
            os.close(opened)
            raise OSError("no standard streams")
        about = os.fstat(opened)
        self._file, self._device, self._inode = opened, about.st_dev, about.st_ino

    def _path(self, part: int) -> str:
        return os.path.join(self.directory, f"{self._name}.{part}.jsonl")  # noqa: PTH118


_log = _Log()


def _told(error: BaseException, mask: Callable[[str], str]) -> list[dict[str, object]]:
    """Write an exception down with its causes, contexts and members: a list whose entries name each other by position.

    What of it explains the failure is decided by the reader (`mcpdoctor.failures`).
    """
    found = [error]
    places = {id(error): 0}

    def place(link: BaseException | None) -> int | None:
        if link is None or (id(link) not in places and len(found) >= _MAX_LINKS):
            return None
        if id(link) not in places:
            places[id(link)] = len(found)
            found.append(link)
        return places[id(link)]

    told = []
    for link in found:  # grows while it is walked
        kind = type(link)
        entry: dict[str, object] = {"type": [kind.__module__, kind.__qualname__], "text": mask(_text_of(link))}
        if isinstance(link, OSError):
            bases = [base.__name__ for base in kind.__mro__ if base.__name__ in ("SSLError", "gaierror", "OSError")]
            entry |= {"base": bases[0], "errno": link.errno, "reason": getattr(link, "reason", None)}
        members = getattr(link, "exceptions", ())
        if isinstance(members, (tuple, list)):
            entry["members"] = [place(one) for one in members if isinstance(one, BaseException)]
        told.append({**entry, "cause": place(link.__cause__), "context": place(link.__context__)})
    return told


def _text_of(error: BaseException) -> str:
    with _harmless:
        return str(error)[:_KEPT_TEXT]
    return "<unprintable>"


# One exchange ---------------------------------------------------------------------------------------------------------

_numbers = count(1)


class _Exchange:
    """One MCP request on its way, and what came of it.

    Args:
        request: of httpx or httpx2.
        headers: of the request, names in lower case.
        message: the JSON-RPC message of its body; empty where it has none.
        unsent: it failed before it could be sent.
    """

    begun = False  # somebody reads the body
    complete = False
    size = 0
    _room = _KEPT
    _status = 0
    _encoding = ""
    _length: int | None = None
    _http2 = False
    _ended = False
    _patience = 0.0

    def __init__(
        self, request: Any, headers: Mapping[bytes, bytes], message: Mapping[str, Any], *, unsent: bool = False
    ) -> None:
        self.number = next(_numbers)
        self.started = time.perf_counter()
        self._method = request.method
        self._extensions = request.extensions
        self._kept: list[bytes] = []
        self._answer: dict[str, object] = {}
        about, self._secrets = _description(request, headers)
        _remember(self._secrets)
        rpc = message.get("method")
        parameters = message.get("params") if rpc == "tools/call" else None
        tool = parameters.get("name") if isinstance(parameters, dict) else None
        _log.append(
            f'{{"event": "sent", "id": {self.number}, "at": {time.time():.6f}, "rpc": {_quoted(rpc)}, '
            f'"tool": {_quoted(tool)}, "unsent": {"true" if unsent else "false"}, {about}}}\n'
        )

    def answered(self, response: Any, tape: Callable[[Any, _Exchange], object]) -> None:
        """Take the answer, and put a tape around its stream, which keeps the beginning of what passes by.

        Args:
            response: its body has not been read.
            tape: makes the stream that goes in the place of its own.
        """
        try:
            raw = [(name.lower(), value) for name, value in response.headers.raw]
            headers = dict(raw)
            self._status = response.status_code
            self._encoding = headers.get(b"content-encoding", b"").decode("latin-1").lower()
            length = headers.get(b"content-length", b"")
            self._length = int(length) if length.isdigit() else None
            self._http2 = response.extensions.get("http_version") == b"HTTP/2"
            shown = [pair for pair in raw if pair[0] in _HEADERS or pair[0].startswith(_RATE_LIMITS)]
            # Of a session id the start will do: whoever has it can use the session.
            values = b"\n".join([value[:8] if name == b"mcp-session-id" else value for name, value in shown])
            texts = self.mask(values.decode("latin-1")).split("\n")
            pairs = [(pair[0].decode("latin-1"), text) for pair, text in zip(shown, texts)]  # noqa: B905  # as long
            self._answer = {"status": self._status, "headers": pairs}
            if self._length is None or self._length > _SOON:
                self.tell()
            else:
                _untold[self.number] = self
            response.stream = tape(response.stream, self)
        except Exception:  # noqa: BLE001, S110  # as in `_begin`
            pass

    def keep(self, chunk: bytes) -> None:
        """Take a piece of the body that passes by."""
        self.size += len(chunk)
        if self._room > 0:
            self._kept.append(chunk[: self._room])
            self._room -= len(chunk)

    def worth_reading(self) -> bool:
        """Whether to read the body of a refusal that the program closes unread.

        mcp 1.x does that, and the body holds the reason. It has been announced and is on its way, so it costs no
        request and hardly any time. It is left alone where it may be long, and on HTTP/2, where giving up would end
        the other streams of the connection.
        """
        short = self._length is None or self._length <= _MAX_REFUSAL
        return (
            self._status >= 400 and short and not (self.begun or self._ended or self._http2 or self._method == "HEAD")
        )

    def hurry(self) -> _Hurry:
        """Bound the time for which an unread refusal is waited for."""
        self._patience = time.perf_counter() + 2 * _PATIENCE_S
        return _Hurry(self._extensions)

    def enough(self) -> bool:
        """Whether no more of an unread refusal is wanted: it is long, or it drips."""
        return self.size >= _MAX_REFUSAL or time.perf_counter() > self._patience

    def tell(self) -> None:
        """Write status and headers before the body has come."""
        _untold.pop(self.number, None)
        answer, self._answer = self._answer, {}
        _log.write("answered", id=self.number, after=self._elapsed(), **answer)

    def end(self, error: BaseException | None = None) -> None:
        """Write what came of it, once."""
        if self._ended:
            return
        self._ended = True
        _untold.pop(self.number, None)
        try:
            fields = {"event": "ended", "id": self.number, "after": self._elapsed(), **self._answer}
            if error is not None:
                fields["failure"] = _told(error, self.mask)
            if self._status:
                fields["size"], fields["complete"] = self.size, self.complete
                key, value = self._body()
                fields[key] = value
            _log.append(f"{_json.encode(fields)}\n")
        except Exception:  # noqa: BLE001, S110  # as in `_begin`
            pass
        self._kept.clear()

    def mask(self, text: str) -> str:
        """Hide what the request was authenticated with: servers send it back in their explanations."""
        return _masked(text, self._secrets)

    def _body(self) -> tuple[str, str]:
        """The beginning of the body; of a good answer only that it is one, since its content is nobody's business."""
        data = _unpacked(b"".join(self._kept), self._encoding)
        bad = self._status >= 400 or b'"error"' in data or b'"isError":true' in data or b'"isError": true' in data
        if not bad and b'"result"' in data and (b'"jsonrpc"' in data or self.size > len(data)):
            return "answer", "rpc-result"
        return "body", self.mask(data[: _KEPT if bad else _KEPT_WELL].decode("utf-8", "replace"))

    def _elapsed(self) -> float:
        return round(time.perf_counter() - self.started, 6)


_untold: dict[int, _Exchange] = {}
"""Exchanges whose short body is about to come: one event tells of both. Where it never comes, the end does."""


class _Hurry:
    """Shortens the read timeout of one request.

    That is where httpcore looks before it waits for a piece of the body. A deadline of the event loop would do it as
    well, but not on every loop in the same way, and never without the risk of swallowing a cancellation.
    """

    def __init__(self, extensions: dict[str, Any]) -> None:
        self._extensions = extensions
        self._before = extensions.get("timeout")

    def __enter__(self) -> None:
        self._extensions["timeout"] = {**(self._before or {}), "read": _PATIENCE_S}

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del self._extensions["timeout"]
        else:
            self._extensions["timeout"] = self._before


def _begin(request: Any, *, unsent: bool = False) -> _Exchange | None:
    """Note a request that is MCP. Any other is the program's own business: None."""
    try:
        headers = {name.lower(): value for name, value in request.headers.raw}
        message = _message(request) if request.method == "POST" else None
        if message is not None or _belongs_to_mcp(request, headers):
            return _Exchange(request, headers, message or {}, unsent=unsent)
    except Exception:  # noqa: BLE001, S110  # the same as `_harmless`, in no time where all goes well
        pass
    return None


def _message(request: Any) -> dict[str, Any] | None:
    """The JSON-RPC message in the body of a request, of a batch the first; None where there is none."""
    try:
        content = request.content
        if b'"jsonrpc"' not in content or len(content) > _MAX_MESSAGE:
            return None
        document, _ = _json.decode(content.decode().lstrip())
    except (ValueError, RecursionError, RuntimeError):  # no JSON, or a stream, which can be read only once
        return None
    first = document[0] if isinstance(document, list) and document else document
    return first if isinstance(first, dict) and "jsonrpc" in first else None


def _belongs_to_mcp(request: Any, headers: Mapping[bytes, bytes]) -> bool:
    return (
        b"mcp-session-id" in headers
        or b"mcp-protocol-version" in headers
        or (request.method == "GET" and b"text/event-stream" in headers.get(b"accept", b""))
        or "/.well-known/oauth-" in request.url.path
    )


def _description(request: Any, headers: Mapping[bytes, bytes]) -> tuple[str, list[str]]:
    """What a request has in common with others of the same caller to the same URL, as JSON; and its secrets."""
    caller, _, signature = headers.get(b"authorization", b"").partition(b"Signature=")
    session = b"mcp-session-id" in headers
    key = (request.method, str(request.url), session, caller, *map(headers.get, _SECRET_HEADERS))
    if key not in _descriptions:
        if len(_descriptions) >= _MAX_REMEMBERED:
            _descriptions.clear()
        known, secrets = _authorization(headers)
        about = {"method": request.method, "url": _safe_url(request.url), "session": session, **known}
        _descriptions[key] = _json.encode(about)[1:-1], secrets
    about_all, secrets = _descriptions[key]
    return about_all, [*secrets, signature.decode("latin-1")] if signature else secrets


_descriptions: dict[tuple[object, ...], tuple[str, list[str]]] = {}


def _authorization(headers: Mapping[bytes, bytes]) -> tuple[dict[str, str | None], list[str]]:
    """How a request is authenticated, with the scope of a SigV4 signature; and the secrets to hide."""
    value = headers.get(b"authorization", b"").decode("latin-1")
    scheme, _, rest = value.partition(" ")
    secrets = [headers[name].decode("latin-1") for name in _SECRET_HEADERS if name in headers]
    known: dict[str, str | None] = {"signature": "other" if value or b"x-api-key" in headers else None}
    if scheme.startswith("AWS4-"):
        key, *scope = rest.partition("Credential=")[2].partition(",")[0].split("/")
        secrets.append(key)
        # KEY/date/region/service/aws4_request; the asymmetric kind has no region.
        known = {"signature": "sigv4"}
        if len(scope) in (3, 4):
            known |= {"service": scope[-2], "region": scope[1] if len(scope) == 4 else None}
    elif value:
        secrets.append(rest or value)
        if scheme.lower() == "bearer":
            known["signature"] = "bearer"
    secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]
    return known, secrets + [secret.replace("/", "\\/") for secret in secrets if "/" in secret]


_recent: list[list[str]] = []
"""What recent requests were authenticated with: an exception that nobody handles tells of any of them."""


def _remember(secrets: list[str]) -> None:
    _recent.append(secrets)
    if len(_recent) > 2 * _MAX_REMEMBERED:
        del _recent[:_MAX_REMEMBERED]


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return text


def _masked_all(text: str) -> str:
    return _masked(text, dict.fromkeys(secret for secrets in _recent for secret in secrets))


def _safe_url(url: Any) -> str:
    """The URL without user name and password, and without values in its query that look like secrets."""
    if url.userinfo:
        url = url.copy_with(userinfo=b"")
    text = str(url)
    if "?" not in text:
        return text
    import re

    names = "signature|token|credential|key|secret|code|assertion|password|auth"
    return re.sub(rf"(?i)([?&][^=&#]*(?:{names})[^=&#]*=)[^&#]*", rf"\1{_MASK}", text)


def _quoted(value: object) -> str:
    return _json.encode(value[:200]) if isinstance(value, str) else "null"


def _unpacked(data: bytes, encoding: str) -> bytes:
    """The beginning of a body in plain bytes; nothing where its packing is not of the standard library."""
    if not encoding or encoding == "identity":
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return b""
    import zlib

    try:
        return zlib.decompressobj(wbits=47).decompress(data, _KEPT)
    except zlib.error:
        return b""


# httpx and httpx2 -----------------------------------------------------------------------------------------------------


_transports: ContextVar[list[bool] | None] = ContextVar("mcpdoctor_transports", default=None)
"""A mark for each transport that the request of the innermost client has reached; None outside of clients."""


def _reached_transport() -> None:
    marks = _transports.get()
    if marks is not None:
        marks.append(True)


class _Chunks:
    """An iterator over the pieces of a body that lets a tape listen.

    It stands in for an async generator and so has all of its methods: httpx2 closes an iterator that has them.
    """

    def __init__(self, source: Any, exchange: _Exchange) -> None:
        self._source = source
        self._exchange = exchange

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await self._source.__anext__()
        except StopAsyncIteration:
            self._exchange.complete = True
            raise
        except BaseException as error:
            self._exchange.end(error)
            raise
        self._exchange.keep(chunk)
        return chunk

    async def asend(self, value: object) -> object:
        return await self._source.asend(value)

    async def athrow(self, *error: Any) -> object:
        return await self._source.athrow(*error)

    async def aclose(self) -> None:
        await self._source.aclose()


class _Tape:
    """A stream around the stream of a response; it keeps the beginning of what passes by.

    `_patch_transports` makes a subclass of the class that httpx itself puts there, for whoever asks what it is.
    """

    def __init__(self, stream: Any, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_stream"], name)


class _AsyncTape(_Tape):
    def __aiter__(self) -> _Chunks:
        self._exchange.begun = True
        return _Chunks(self._stream.__aiter__(), self._exchange)

    async def aclose(self) -> None:
        try:
            if self._exchange.worth_reading():
                with self._exchange.hurry():
                    await self._read_refusal()
        finally:
            self._exchange.end()
            await self._stream.aclose()

    async def _read_refusal(self) -> None:
        pieces = self._stream.__aiter__()
        try:
            async for piece in pieces:
                self._exchange.keep(piece)
                if self._exchange.enough():
                    return
            self._exchange.complete = True
        except Exception:  # noqa: BLE001, S110  # the program did not ask for this body; cancellation passes
            pass
        finally:
            await pieces.aclose()


class _SyncTape(_Tape):
    def __iter__(self) -> Iterator[bytes]:
        self._exchange.begun = True
        try:
            for chunk in self._stream:
                self._exchange.keep(chunk)
                yield chunk
        except GeneratorExit:  # the program has had enough
            raise
        except BaseException as error:
            self._exchange.end(error)
            raise
        self._exchange.complete = True

    def close(self) -> None:
        try:
            if self._exchange.worth_reading():
                with self._exchange.hurry(), _harmless:
                    self._read_refusal()
        finally:
            self._exchange.end()
            self._stream.close()

    def _read_refusal(self) -> None:
        for piece in self._stream:
            self._exchange.keep(piece)
            if self._exchange.enough():
                return
        self._exchange.complete = True


def _patch_transports(module: Any) -> None:
    """Record where a request leaves httpx: below its clients, so that every subclass and wrapper comes by."""
    from functools import wraps

    async_tape = type("AsyncTape", (_AsyncTape, module.AsyncResponseStream), {})
    tape = type("Tape", (_SyncTape, module.ResponseStream), {})
    send_async, send = module.AsyncHTTPTransport.handle_async_request, module.HTTPTransport.handle_request

    @wraps(send_async)
    async def handle_async_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _begin(request)
        if exchange is None:
            return await send_async(self, request, *args, **kwargs)
        _reached_transport()
        try:
            response = await send_async(self, request, *args, **kwargs)
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.answered(response, async_tape)
        return response

    @wraps(send)
    def handle_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _begin(request)
        if exchange is None:
            return send(self, request, *args, **kwargs)
        _reached_transport()
        try:
            response = send(self, request, *args, **kwargs)
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.answered(response, tape)
        return response

    module.AsyncHTTPTransport.handle_async_request = handle_async_request
    module.HTTPTransport.handle_request = handle_request


def _leave(token: Any) -> None:
    with _harmless:  # a coroutine that is thrown away ends in another context
        _transports.reset(token)


def _note_unsent(request: Any, marks: list[bool], error: BaseException) -> None:
    """Note a request that failed before it reached a transport: where it was to be signed, most of all."""
    exchange = None if marks else _begin(request, unsent=True)
    if exchange is not None:
        exchange.end(error)


def _patch_clients(module: Any) -> None:
    """Record what fails on the way from a client of httpx to its transport."""
    from functools import wraps

    send_async, send_sync = module.AsyncClient.send, module.Client.send

    @wraps(send_async)
    async def send_in_loop(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        marks: list[bool] = []
        token = _transports.set(marks)
        try:
            return await send_async(self, request, *args, **kwargs)
        except BaseException as error:
            _note_unsent(request, marks, error)
            raise
        finally:
            _leave(token)

    @wraps(send_sync)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        marks: list[bool] = []
        token = _transports.set(marks)
        try:
            return send_sync(self, request, *args, **kwargs)
        except BaseException as error:
            _note_unsent(request, marks, error)
            raise
        finally:
            _leave(token)

    module.AsyncClient.send, module.Client.send = send_in_loop, send


# The standard library -------------------------------------------------------------------------------------------------


def _patch_subprocess(module: Any) -> None:
    """Take the recorder along to child processes that get an environment of their own, as stdio servers of MCP do."""
    from functools import wraps

    start_process = module.Popen.__init__

    @wraps(start_process)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        with _harmless:
            if kwargs.get("env") is not None:
                kwargs["env"] = _with_recorder(kwargs["env"])
        start_process(self, *args, **kwargs)

    module.Popen.__init__ = init


def _with_recorder(env: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if any(isinstance(name, bytes) for name in env):  # may name the same variable twice
        return env
    path = env.get("PYTHONPATH", "")
    paths = path.split(os.pathsep) if path else []  # an empty entry would be the current directory
    ours = {} if HERE in paths else {"PYTHONPATH": os.pathsep.join([HERE, *paths])}
    return {VARIABLE: _log.directory, **env, **ours}


def _patch_threading(module: Any) -> None:
    """Note the exceptions that threads die of; whoever is told of them is told of them still."""
    tell = module.excepthook

    def excepthook(args: Any) -> None:
        with _harmless:
            if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
                _log.write("unhandled", failure=_told(args.exc_value, _masked_all))
        tell(args)

    module.excepthook = excepthook


_PATCHES: dict[str, Callable[[Any], None]] = {
    "httpx._client": _patch_clients,
    "httpx._transports.default": _patch_transports,
    "httpx2._client": _patch_clients,
    "httpx2._transports.default": _patch_transports,
    "subprocess": _patch_subprocess,
    "threading": _patch_threading,
}


class _Finder:
    """First on `sys.meta_path`: lets the others find a module, and patches the few that matter once they have run."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Find nothing that the others do not find."""
        if name not in _PATCHES or name in self._busy:
            return None
        self._busy.add(name)  # another finder of this kind may ask us in its turn
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find is not None else None
                if spec is not None:
                    _patch_after(spec.loader, name)
                    return spec
        finally:
            self._busy.discard(name)
        return None


def _patch_after(loader: Any, name: str) -> None:
    """Have one module patched when its loader has run it; the loader is then as it was."""
    with _harmless:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            with _harmless:
                del loader.exec_module
            run(module)
            if module.__name__ == name:  # a loader of archives is shared by all of their modules
                with _harmless:
                    _PATCHES[name](module)

        loader.exec_module = exec_module


# Start and end --------------------------------------------------------------------------------------------------------


def start() -> None:
    """Record from now on, if the environment says where to."""
    directory = os.environ.get(VARIABLE)
    if not directory:
        return
    _log.open(directory)
    atexit.register(_finish)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_log.open)
    for name, patch in _PATCHES.items():
        if name in sys.modules:
            with _harmless:
                patch(sys.modules[name])
    sys.meta_path.insert(0, _Finder())


def _finish() -> None:
    """Write what the program ended with, and which versions its exchanges were made with."""
    error = None
    with _harmless:
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if isinstance(error, BaseException):
            _log.write("unhandled", failure=_told(error, _masked_all))
    with _harmless:
        for exchange in list(_untold.values()):
            exchange.tell()
        broken = isinstance(error, ImportError)  # a package that cannot be imported is in no list of modules
        if next(_numbers) > 1 or broken:
            from importlib.metadata import version

            used = {}
            for module, name in _PACKAGES.items():
                with _harmless:  # imported from a directory that no package manager knows of
                    if module in sys.modules or broken:
                        used[name] = version(name)
            # Of the modules of the proxy, the server is what the stdio proxy runs.
            library = "mcp_proxy_for_aws.client" in sys.modules and "mcp_proxy_for_aws.server" not in sys.modules
            _log.write("packages", versions=used, library=library)
