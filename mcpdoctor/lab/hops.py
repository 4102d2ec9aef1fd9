"""HTTP proxies on the way to the lab: those that refuse, those that open TLS, those that change what passes.

Each listens on a port of its own and takes `CONNECT` for any host; behind it is always the TLS port of the lab.
One that opens TLS is itself a TLS server with certificates of an authority of its own, and speaks TLS to the lab.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

_VIA = b"via: 1.1 gateway.lab.test"

IDLE_S = 0.4
"""After so many seconds of silence the hop `idle-timeout` ends a connection."""

Meeting = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Rewriting = Callable[[list[str], bytes], tuple[list[str], bytes]]


def same(lines: list[str], body: bytes) -> tuple[list[str], bytes]:
    """Pass a request on as it came."""
    return lines, body


def rewrite_headers(lines: list[str], body: bytes) -> tuple[list[str], bytes]:
    """Replace User-Agent and Accept-Encoding, as gateways do that cache and scan, and say so in Via."""
    changed = {"user-agent": "SecureWebGateway/1.0", "accept-encoding": "identity"}
    kept = [line for line in lines if line.partition(":")[0].lower() not in changed]
    return [*kept, *(f"{name}: {value}" for name, value in changed.items()), _VIA.decode()], body


def rewrite_body(lines: list[str], body: bytes) -> tuple[list[str], bytes]:
    """Write JSON anew, with other blanks: the same to a server, and not to a signature."""
    try:
        body = json.dumps(json.loads(body), indent=1).encode()
    except ValueError:
        return lines, body
    kept = [line for line in lines if not line.lower().startswith("content-length:")]
    return [*kept, f"content-length: {len(body)}"], body


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One proxy.

    Attributes:
        name: under which `Lab.proxies` has its URL.
        summary: what it does, in one sentence.
        says: what CONNECT is answered with; empty for a way that opens.
        issuer: organization of the authority with which it opens TLS; empty for one that leaves TLS alone.
        trusted: whether that authority is in the lab's `ca_bundle`, like that of a company on its machines.
        rewrite: what it makes of a request that it can read.
        idle_s: seconds of silence after which it cuts.
    """

    name: str
    summary: str
    says: bytes = b""
    issuer: str = ""
    trusted: bool = False
    rewrite: Rewriting = same
    idle_s: float | None = None


def _refusal(status: str, page: str, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", "content-type: text/html", f"content-length: {len(page)}", *headers])
    return f"{head}\r\n\r\n{page}".encode()


_BLOCKED = "<html><title>Access Denied</title><p>Category: Uncategorised. Policy: block.</p></html>"
INSPECTOR = "Zscaler Inc. (made up by the mcpdoctor lab)"
GATEWAY = "Lab Secure Web Gateway"

HOPS = (
    Hop(name="open", summary="Passes everything on, as a proxy should."),
    Hop(name="blocking", summary="Answers CONNECT with 403 and a page.", says=_refusal("403 Forbidden", _BLOCKED)),
    Hop(
        name="asking",
        summary="Wants a password.",
        says=_refusal("407 Proxy Authentication Required", _BLOCKED, 'proxy-authenticate: Basic realm="lab"'),
    ),
    Hop(name="failing", summary="Reaches nobody.", says=_refusal("502 Bad Gateway", _BLOCKED)),
    Hop(name="garbled", summary="Is a mail server.", says=b"220 mail.lab.test ESMTP\r\n500 unrecognized command\r\n"),
    Hop(name="inspecting", summary="Opens TLS, and nobody trusts its authority.", issuer=INSPECTOR),
    Hop(
        name="inspecting-trusted", summary="Opens TLS with an authority that is trusted.", issuer=GATEWAY, trusted=True
    ),
    Hop(
        name="rewriting-headers",
        summary="Opens TLS with an authority that is trusted, and replaces User-Agent and Accept-Encoding.",
        issuer=GATEWAY,
        trusted=True,
        rewrite=rewrite_headers,
    ),
    Hop(
        name="rewriting-body",
        summary="Opens TLS with an authority that is trusted, and writes JSON anew.",
        issuer=GATEWAY,
        trusted=True,
        rewrite=rewrite_body,
    ),
    Hop(name="idle-timeout", summary="Cuts a connection over which nothing comes for a moment.", idle_s=IDLE_S),
)


@dataclass(slots=True, kw_only=True)
class Way:
    """Where the hops lead.

    Attributes:
        port: the TLS port of the lab.
        trusting: a client context that trusts the lab.
        opening: a server context for each issuer.
    """

    port: int
    trusting: ssl.SSLContext
    opening: dict[str, ssl.SSLContext]


def meeting(hop: Hop, way: Way) -> Meeting:
    """What a hop does with each connection."""
    return partial(_meet, hop, way)


async def _meet(hop: Hop, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, TimeoutError):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if hop.says or not (found := re.match(r"CONNECT ([^:\s]+):\d+ ", head)):
                writer.write(hop.says or b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            if hop.issuer:
                await writer.start_tls(way.opening[hop.issuer])
                await _relay(hop, way, found[1], reader, writer)
            else:
                await _tunnel(hop, way, reader, writer)
        finally:
            writer.close()


async def _tunnel(hop: Hop, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    back, onward = await asyncio.open_connection("127.0.0.1", way.port)
    try:
        await _both(_pump(reader, onward), _pump(back, writer, hop.idle_s))
    finally:
        onward.close()


async def _relay(hop: Hop, way: Way, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    back, onward = await asyncio.open_connection("127.0.0.1", way.port, ssl=way.trusting, server_hostname=host)

    async def requests() -> None:
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
            size = next((line.partition(":")[2] for line in lines if line.lower().startswith("content-length:")), "0")
            lines, body = hop.rewrite(lines, await reader.readexactly(int(size)))
            onward.write("\r\n".join([first, *lines, "", ""]).encode("latin-1") + body)
            await onward.drain()

    try:
        await _both(requests(), _pump(back, writer, mark=_VIA))
    finally:
        onward.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle_s: float | None = None, mark: bytes = b""
) -> None:
    while data := await asyncio.wait_for(reader.read(65536), idle_s):
        if mark and data.startswith(b"HTTP/1.1 "):
            data = data.replace(b"\r\n", b"\r\n" + mark + b"\r\n", 1)
        writer.write(data)
        await writer.drain()


async def _both(*work: Awaitable[None]) -> None:
    """Until the first of them ends; then the other ends too."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
