"""Bodies of answers: read as they come, never without end, and only as far as somebody waits for them."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

import anyio
import httpx

MAX_BODY = 8 * 2**20
"""Bytes of one answer that are read at most; the largest tool lists seen are below 1 MiB."""

EARLY_BODY = 65536
"""Bytes of a refusal that are read before the client gets it."""

ACCEPT_ENCODING = "gzip, deflate"
"""What we ask for: httpx offers more where more is installed, and only these are unpacked within bounds."""

_READ_AT_ONCE = 65536
_STREAM_END_S = 0.2


class ResponseTooLarge(httpx.TransportError):
    """The server sent more than MAX_BODY bytes in one answer."""


class Body(httpx.AsyncByteStream):
    """Streams a body through, keeps its beginning, and stops at MAX_BODY bytes, unpacked ones counted.

    gzip and deflate are unpacked here and not by httpx: a few kilobytes can unpack to gigabytes.
    """

    def __init__(self, response: httpx.Response, on_close: Callable[[bytes, bool, bool], None]) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  # an async transport gives nothing else
        self._stream = response.stream
        self._on_close: Callable[[bytes, bool, bool], None] | None = on_close
        self._kept = bytearray()
        self.complete = self.broke = False
        self._early: list[bytes] = []
        self._failure: httpx.TransportError | None = None
        self._source = self._read()
        packing = response.headers.get("content-encoding", "").lower()
        self._unpack = zlib.decompressobj(wbits=47) if packing in ("gzip", "x-gzip", "deflate") else None
        # A packing that we do not ask for stays packed: httpx would unpack it without a bound.
        self.replaced = (b"content-encoding", b"content-length") if packing else ()

    async def read_early(self) -> None:
        """Read the beginning now: mcp 1.x drops the body of a refusal, and the reason with it."""
        try:
            async for piece in self._source:
                self._early.append(piece)
                if len(self._kept) >= EARLY_BODY:
                    return
        except httpx.TransportError as error:
            self._failure = error  # raised where the client reads

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._early:
            yield piece
        if self._failure is not None:
            raise self._failure
        async for piece in self._source:
            yield piece

    async def _read(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in self._stream:
                for piece in self._pieces(chunk):
                    if len(self._kept) + len(piece) > MAX_BODY:
                        raise ResponseTooLarge(f"more than {MAX_BODY // 2**20} MiB in one answer")
                    self._kept += piece
                    yield piece
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            self.broke = True
            raise
        self.complete = True

    def _pieces(self, chunk: bytes) -> Iterable[bytes]:
        if self._unpack is None:
            yield chunk
            return
        while chunk:
            try:
                piece = self._unpack.decompress(chunk, _READ_AT_ONCE)
            except zlib.error as error:
                raise httpx.DecodingError(f"the body is not what its content-encoding says: {error}") from error
            chunk = self._unpack.unconsumed_tail
            yield piece

    async def aclose(self) -> None:
        """Tell what was read, once, and let go of the connection."""
        if self._on_close is not None:
            self._on_close(bytes(self._kept), self.complete, self.broke)
            self._on_close = None
        await self._source.aclose()
        await self._stream.aclose()


def unanswered(response: httpx.Response, body: bytes) -> bool:
    """Whether an event stream that was to bring the answer to a POST holds none."""
    if response.status_code != httpx.codes.OK:
        return False
    return "text/event-stream" in response.headers.get("content-type", "") and not re.search(
        rb'"(?:result|error)"\s*:', body
    )


async def read_answer(response: httpx.Response, request_id: object) -> None:
    """Read a body to its end, or, of an event stream, until the event that answers `request_id`."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        async for _ in response.aiter_bytes():
            pass
        return
    data: list[str] = []
    with anyio.CancelScope() as patience:
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                data.append(line[5:])
            elif not line:
                if _answers("\n".join(data), request_id):
                    # A server ends the stream after its answer; a connection that saw that end can be used again.
                    patience.deadline = min(patience.deadline, anyio.current_time() + _STREAM_END_S)
                data = []


def _answers(data: str, request_id: object) -> bool:
    try:
        message = json.loads(data)
    except ValueError:
        return False
    return isinstance(message, dict) and (message.get("id") == request_id or "error" in message)
