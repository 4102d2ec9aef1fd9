"""Sockets, the thread and the event loop that the lab runs on, and the ports that misbehave below HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mcpdoctor.lab import certificates
from mcpdoctor.lab.app import App
from mcpdoctor.lab.exchange import reset
from mcpdoctor.lab.hops import HOPS, Meeting, Way, meeting
from mcpdoctor.lab.servers import preload

LOOPBACK = "127.0.0.1"
THREAD = "mcpdoctor-lab"
_CLOSING_S = 1.0


class Hosting:
    """Serves one application on loopback, from a thread of its own.

    Args:
        app: The application.
        names: The names that get a good certificate.
        port: The port of plain HTTP, 0 for a free one.
        https_port: The port of TLS, 0 for a free one.
        hello: Called with the name of every TLS handshake that begins.
        accepted: Called with the port of every connection.

    Attributes:
        port: The port of plain HTTP.
        https_port: The port of TLS.
        refused_port: A port nothing listens on; it stays taken, so that nobody else gets it.
        closed_port: A port whose connections are closed at once.
        silent_port: A port that never says a word.
        alert_port: A port that ends every TLS handshake with an alert.
        reset_port: A port that resets a connection once something has come over it.
        hop_ports: The ports of the HTTP proxies, by name.
        ca_bundle: Path of the PEM file with the authority, from `start` to `stop`.
    """

    def __init__(
        self,
        *,
        app: App,
        names: Iterable[str],
        port: int,
        https_port: int,
        hello: Callable[[str], None],
        accepted: Callable[[int], None],
    ) -> None:
        self._app = app
        self._names = tuple(names)
        self._hello = hello
        self._accepted = accepted
        self._wanted = (port, https_port, 0, 0, 0, 0, 0, *(0 for _ in HOPS))
        self._sockets: list[socket.socket] = []
        self.port = self.https_port = self.refused_port = self.closed_port = self.silent_port = self.alert_port = 0
        self.reset_port = 0
        self.hop_ports: dict[str, int] = {}
        self.ca_bundle = ""
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)

    def start(self) -> None:
        """Begin to serve; returns when every port answers.

        Raises:
            OSError: A port is taken.
        """
        try:
            for wanted in self._wanted:
                self._sockets.append(_bound(wanted))
        except OSError:
            self._close_sockets()
            raise
        # In the caller's thread: a client in this process imports the same package, and two threads that import it at
        # once see each other's half-made modules.
        preload()
        for name in _NOISY:
            logging.getLogger(name).addFilter(_HUSH)
        ports = [bound.getsockname()[1] for bound in self._sockets]
        self.port, self.https_port, self.refused_port, *rest = ports
        self.closed_port, self.silent_port, self.alert_port, self.reset_port, *hops = rest
        self.hop_ports = dict(zip((hop.name for hop in HOPS), hops, strict=True))
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """Stop serving; returns when the thread has ended and the files are gone."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._close_sockets()
        if self.ca_bundle:
            Path(self.ca_bundle).unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        plain, https, _, closed, silent, alert, reset, *hops = self._sockets
        authority = certificates.authority()
        context = certificates.context(authority, self._names, hello=self._hello)
        openers = {hop.issuer: certificates.authority(hop.issuer) for hop in HOPS if hop.issuer}
        trusted = {hop.issuer for hop in HOPS if hop.trusted}
        with tempfile.NamedTemporaryFile(prefix="mcpdoctor-lab-ca-", suffix=".pem", delete=False) as file:
            for one in (authority, *(openers[issuer] for issuer in sorted(trusted))):
                file.write(one.cert_pem.bytes())
            self.ca_bundle = file.name
        trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        opening = {issuer: certificates.opening(one, self._names) for issuer, one in openers.items()}
        way = Way(port=self.https_port, trusting=trusting, opening=opening)
        state, config, open_ones = ServerState(), _config(self._app), _Connections(self._accepted)
        web = partial(_Http, open_ones, config=config, server_state=state, app_state={})
        listeners = [
            await loop.create_server(web, sock=plain),
            await loop.create_server(web, sock=https, ssl=context),
            await loop.create_server(partial(_Closed, open_ones), sock=closed),
            await loop.create_server(partial(_Silent, open_ones), sock=silent),
            await loop.create_server(partial(_Alert, open_ones), sock=alert),
            await loop.create_server(partial(_Reset, open_ones), sock=reset),
        ]
        for hop, sock in zip(HOPS, hops, strict=True):
            listeners.append(await asyncio.start_server(open_ones.keeping(meeting(hop, way)), sock=sock))
        keeper = asyncio.create_task(self._app.run())
        self._ready.set()
        await self._stop.wait()
        for listener in listeners:
            listener.close()
        await _cancel([keeper, *state.tasks, *open_ones.tasks])
        await open_ones.cut()
        await self._app.stop()

    def _close_sockets(self) -> None:
        for bound in self._sockets:
            bound.close()


class _Connections:
    """The open connections, to be counted when they come and cut when the lab stops."""

    def __init__(self, accepted: Callable[[int], None]) -> None:
        self._accepted = accepted
        self._open: set[asyncio.Transport] = set()
        self._none = asyncio.Event()
        self._none.set()
        self.tasks: set[asyncio.Task[None]] = set()

    def add(self, transport: asyncio.Transport) -> None:
        self._accepted(transport.get_extra_info("sockname")[1])
        self._open.add(transport)
        self._none.clear()

    def remove(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        if not self._open:
            self._none.set()

    def keeping(self, meet: Meeting) -> Meeting:
        """The same, with its task among those that are cancelled when the lab stops."""

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]  # a server runs this in one
            self.tasks.add(task)
            self._accepted(writer.get_extra_info("sockname")[1])
            try:
                await meet(reader, writer)
            except asyncio.CancelledError:
                pass  # the lab stops
            finally:
                self.tasks.discard(task)
                writer.transport.abort()

        return met

    async def cut(self) -> None:
        for transport in tuple(self._open):
            transport.abort()
        with suppress(TimeoutError):  # a transport tells that it is closed on a later turn of the loop
            await asyncio.wait_for(self._none.wait(), _CLOSING_S)


class _Http(H11Protocol):
    """HTTP/1.1 that hands its transport to the application, which drops connections on purpose."""

    def __init__(self, open_ones: _Connections, **given: Any) -> None:
        super().__init__(**given)
        self._lab_connections = open_ones

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {"transport": transport}
        self._lab_connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lab_connections.remove(self.transport)


class _Silent(asyncio.Protocol):
    """Takes what it is sent and never answers."""

    def __init__(self, open_ones: _Connections) -> None:
        self._open = open_ones
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        if self._transport is not None:
            self._open.remove(self._transport)


class _Closed(_Silent):
    """Closes every connection at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.close()


class _Alert(_Silent):
    """Answers a TLS handshake with the alert handshake_failure (RFC 8446, section 6.2); asyncio would only close."""

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - whatever was said
        if self._transport is not None:
            self._transport.write(bytes.fromhex("15 03 03 00 02 02 28"))
            self._transport.close()


class _Reset(_Silent):
    """Resets a connection once something has come over it, such as the name of a host that is not allowed (SNI)."""

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - whatever was said
        if self._transport is not None:
            reset(self._transport)


class _Hush(logging.Filter):
    """Keeps the libraries quiet that serve the lab, in the lab's thread only.

    They log every client that goes away; nobody asked for that on standard error. Their loggers may also serve the
    program the lab runs in, and that must stay as it is.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return record.threadName != THREAD


_HUSH = _Hush()
_NOISY = (
    "asyncio",
    "mcp.server.lowlevel.server",
    "mcp.server.streamable_http",
    "mcp.server.streamable_http_manager",
    "root",  # where mcp 1.26 complains of an initialize that makes no sense
    "sse_starlette.sse",
    "uvicorn.error",
)


def _config(app: App) -> Config:
    # The lab speaks for itself: dates may be wrong on purpose, ids are AWS's, and nothing is printed. It believes no
    # X-Forwarded-For: limits count by the address that connects, and a client must not be able to choose it.
    config = Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
    )
    config.load()
    return config


def _bound(port: int) -> socket.socket:
    # With the protocol named: asyncio turns Nagle's algorithm off (40 ms an answer over TLS) only where it can see TCP.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"Port {port} of {LOOPBACK} cannot be had: {error.strerror}.") from None
    return bound


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
