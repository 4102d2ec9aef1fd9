"""Faults of the way and of the wire: certificates, answers that are no HTTP, streams and bodies that break off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mcpdoctor.lab import certificates
from mcpdoctor.lab.fault import AWS_MCP, Fault, always, named, on
from mcpdoctor.lab.messages import Answer, Raw, Request

STREAMED_S = 0.3
"""How long the stream of `…/stream-cut` lasts."""


def _raw(*pieces: bytes, reset: bool = False) -> Raw:
    return Raw(pieces=pieces, reset=reset)


async def _comments_only() -> AsyncIterator[bytes]:
    yield b": working\n\n"
    await asyncio.sleep(STREAMED_S)


def _ending_stream(_: Request) -> Answer:
    return Answer(headers=(("content-type", "text/event-stream"),), body=_comments_only)


async def _silent_stream() -> AsyncIterator[bytes]:
    yield b": working\n\n"
    await asyncio.sleep(3600)


def _quiet_stream(_: Request) -> Answer:
    return Answer(headers=(("content-type", "text/event-stream"),), body=_silent_stream)


_JSON = b"content-type: application/json\r\n"
_HUGE_HEADER = b"x-padding: " + b"x" * 1024 * 1024 + b"\r\n"

WIRE_FAULTS: tuple[Fault, ...] = (
    Fault(
        stage="dns",
        name="private-address",
        summary="The resolver gives an address of this machine for a public name.",
        endpoint=AWS_MCP,
        setup="The resolver of this machine answers 127.0.0.1.",
    ),
    Fault(
        stage="tcp",
        name="ipv6-silent",
        summary="The name has an IPv6 address from which nothing comes back; IPv4 works.",
        endpoint=named("lab.test", "/fault/healthy/none/mcp"),
        setup="The resolver of this machine gives an address that drops every packet, and then a good one.",
    ),
    Fault(
        stage="tcp",
        name="proxy-settings",
        summary="HTTPS_PROXY is no URL of a proxy.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY is http//127.0.0.1:8080.",
    ),
    Fault(
        stage="tcp",
        name="proxy-blocking",
        summary="The HTTP proxy answers CONNECT with 403.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names the lab's proxy blocking.",
    ),
    Fault(
        stage="tcp",
        name="proxy-asking",
        summary="The HTTP proxy wants a password.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names the lab's proxy asking.",
    ),
    Fault(
        stage="tcp",
        name="proxy-failing",
        summary="The HTTP proxy answers CONNECT with 502.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names the lab's proxy failing.",
    ),
    Fault(
        stage="tcp",
        name="proxy-garbled",
        summary="What HTTPS_PROXY names is a mail server.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names the lab's proxy garbled.",
    ),
    Fault(
        stage="tls",
        name="intercepted",
        summary="A proxy opens TLS, with an authority that nobody trusts.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names the lab's proxy inspecting.",
    ),
    Fault(
        stage="tls",
        name="ca-file",
        summary="SSL_CERT_FILE names a file that does not exist.",
        endpoint=AWS_MCP,
        setup="SSL_CERT_FILE names no file.",
    ),
    Fault(
        stage="tls",
        name="trailing-dot",
        summary="The host in the URL ends with a dot, and no certificate is for such a name.",
        endpoint=named("aws-mcp.us-east-1.api.aws."),
    ),
    Fault(
        stage="tls",
        name="not-yet-valid",
        summary="The certificate begins to be valid tomorrow.",
        endpoint=named(certificates.EARLY),
    ),
    Fault(
        stage="tls",
        name="self-signed",
        summary="The certificate was signed by itself.",
        endpoint=named(certificates.SELF_SIGNED),
    ),
    Fault(
        stage="tls",
        name="incomplete-chain",
        summary="The certificate is good, and the one between it and its authority is not sent.",
        endpoint=named(certificates.INCOMPLETE),
    ),
    Fault(
        stage="tls",
        name="reset",
        summary="The connection is reset after the client has named the host (SNI).",
        endpoint=named("reset.lab.test"),
    ),
    Fault(
        stage="http",
        name="ssh",
        summary="The port belongs to SSH.",
        answer=always(_raw(b"SSH-2.0-OpenSSH_9.6\r\n")),
    ),
    Fault(
        stage="http",
        name="smtp",
        summary="The port belongs to a mail server.",
        answer=always(_raw(b"220 mail.lab.test ESMTP ready\r\n", b"500 5.5.1 unrecognized command\r\n")),
    ),
    Fault(
        stage="http",
        name="huge-headers",
        summary="One megabyte of headers.",
        answer=always(_raw(b"HTTP/1.1 200 OK\r\n" + _HUGE_HEADER + _JSON + b"content-length: 2\r\n\r\n{}")),
    ),
    Fault(
        stage="http",
        name="two-lengths",
        summary="Two Content-Length that differ.",
        answer=always(_raw(b"HTTP/1.1 200 OK\r\n" + _JSON + b"content-length: 2\r\ncontent-length: 20\r\n\r\n{}")),
    ),
    Fault(
        stage="http",
        name="bad-chunks",
        summary="A chunked body whose chunks have no length.",
        answer=always(_raw(b"HTTP/1.1 200 OK\r\n" + _JSON + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n")),
    ),
    Fault(
        stage="http",
        name="bad-coding",
        summary="A Transfer-Encoding that does not exist.",
        answer=always(_raw(b"HTTP/1.1 200 OK\r\n" + _JSON + b"transfer-encoding: zipped\r\n\r\n{}")),
    ),
    Fault(
        stage="http",
        name="short-body",
        summary="The body ends before its Content-Length.",
        answer=always(_raw(b"HTTP/1.1 200 OK\r\n" + _JSON + b'content-length: 200\r\n\r\n{"jsonrpc":')),
    ),
    Fault(
        stage="http",
        name="reset-in-body",
        summary="The connection is reset in the middle of the body.",
        answer=always(_raw(b"HTTP/1.1 200 OK\r\n" + _JSON + b'content-length: 200\r\n\r\n{"jsonrpc":', reset=True)),
    ),
    Fault(
        stage="http",
        name="stream-cut",
        summary="An event stream ends before it has brought the answer.",
        answer=on("initialize", do=_ending_stream),
    ),
    Fault(
        stage="http",
        name="redirect-slash",
        summary="301 to the same URL with a slash at its end.",
        answer=always(Answer(status=301, headers=(("location", "/fault/http/redirect-slash/mcp/"),))),
    ),
    Fault(
        stage="list",
        name="stream-cut",
        summary="The event stream of tools/list ends before it has brought the answer.",
        answer=on("tools/list", do=_ending_stream),
    ),
    Fault(
        stage="list",
        name="stream-idle",
        summary="The event stream of tools/list says nothing for an hour; the lab's proxy idle-timeout cuts it.",
        answer=on("tools/list", do=_quiet_stream),
    ),
    Fault(
        stage="auth",
        name="altered-body",
        summary="Something on the way writes the JSON of requests anew after signing.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names the lab's proxy rewriting-body.",
    ),
)
