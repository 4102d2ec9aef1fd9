"""The bodies of answers: read where that is needed to tell what they are, and let through where it is not."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Callable

import httpx

MOST = 8 * 2**20
"""Bytes of an answer that are looked at before the client gets it; a longer one goes through as it comes."""

_BEGINNING = 65536
_PACKED = ("gzip", "x-gzip", "deflate")
_ANSWER = re.compile(rb'"(?:result|error)"\s*:')
_RESUMABLE = re.compile(rb"(?:^|[\r\n])id:")
_TAIL = 16


class _Chunks(httpx.AsyncByteStream):
    """What was read already, then the rest."""

    def __init__(self, kept: bytes, rest: AsyncIterator[bytes], response: httpx.Response) -> None:
        self._kept, self._rest, self._response = kept, rest, response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._kept:
            yield self._kept
        async for chunk in self._rest:
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


class _Events(httpx.AsyncByteStream):
    """An event stream; where it ends without an answer that could still come, an event is added that says so."""

    def __init__(self, response: httpx.Response, last: Callable[[httpx.TransportError | None], bytes]) -> None:
        self._response, self._last = response, last
        self._ends = True
        self._tail = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        failure: httpx.TransportError | None = None
        try:
            async for chunk in _stream(self._response):
                self._look_at(chunk)
                yield chunk
        except httpx.TransportError as error:
            if not self._ends:
                raise
            failure = error
        if self._ends:
            yield self._last(failure)

    def _look_at(self, chunk: bytes) -> None:
        """See whether the answer came, or the client can ask for it again (an event had an id)."""
        seen = self._tail + chunk
        if self._ends and (_ANSWER.search(seen) or _RESUMABLE.search(seen)):
            self._ends = False
        self._tail = seen[-_TAIL:]

    async def aclose(self) -> None:
        await self._response.aclose()


def ended(response: httpx.Response, last: Callable[[httpx.TransportError | None], bytes]) -> httpx.Response:
    """A response with an event stream that ends with an answer.

    Args:
        response: as it came.
        last: what to add where the stream ends without one, given what broke it, if anything did.
    """
    if "content-encoding" in response.headers:
        return response  # what is in it cannot be seen from here
    return _with(response, _Events(response, last))


async def whole(response: httpx.Response) -> tuple[bytes | None, httpx.Response]:
    """Read a body, unpacked, and give the response back as it was.

    Returns:
        None for a body that is longer than MOST or packed in an unknown way.

    Raises:
        httpx.TransportError: it broke off.
    """
    kept = bytearray()
    rest = _stream(response)
    try:
        async for chunk in rest:
            kept += chunk
            if len(kept) > MOST:
                return None, _with(response, _Chunks(bytes(kept), rest, response))
    except httpx.TransportError:
        await response.aclose()
        raise
    return _unpacked(response, bytes(kept), MOST), _with(response, _Chunks(bytes(kept), rest, response))


async def beginning(response: httpx.Response) -> bytes:
    """The first bytes of a body, unpacked; the rest is not read, and the response is closed."""
    kept = bytearray()
    try:
        async for chunk in _stream(response):
            kept += chunk
            if len(kept) >= _BEGINNING:
                break
    except httpx.TransportError:
        pass  # what came is what there is
    finally:
        await response.aclose()
    return _unpacked(response, bytes(kept[:_BEGINNING]), _BEGINNING) or b""


def _stream(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  # an async transport gives nothing else
    return response.stream.__aiter__()


def _unpacked(response: httpx.Response, body: bytes, most: int) -> bytes | None:
    """A body as it was packed; bounded, since a few kilobytes can unpack to gigabytes."""
    packing = response.headers.get("content-encoding", "").lower()
    if not packing:
        return body
    if packing not in _PACKED:
        return None
    try:
        return zlib.decompressobj(wbits=47).decompress(body, most)
    except zlib.error:
        return None


def _with(response: httpx.Response, stream: httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(
        response.status_code, headers=response.headers.raw, stream=stream, extensions=response.extensions
    )
