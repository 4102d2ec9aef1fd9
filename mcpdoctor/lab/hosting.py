"""Sockets, the thread and the event loop that the lab runs on, and the ports that misbehave below HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
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
        self._wanted = (port, https_port, 0, 0, 0, 0)
        self._sockets: list[socket.socket] = []
        self.port = self.https_port = self.refused_port = self.closed_port = self.silent_port = self.alert_port = 0
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
        self.closed_port, self.silent_port, self.alert_port = rest
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
        plain, https, _, closed, silent, alert = self._sockets
        authority = certificates.authority()
        context = certificates.context(authority, self._names, hello=self._hello)
        with tempfile.NamedTemporaryFile(prefix="mcpdoctor-lab-ca-", suffix=".pem", delete=False) as file:
            file.write(authority.cert_pem.bytes())
            self.ca_bundle = file.name
        state, config, open_ones = ServerState(), _config(self._app), _Connections(self._accepted)
        web = partial(_Http, open_ones, config=config, server_state=state, app_state={})
        listeners = [
            await loop.create_server(web, sock=plain),
            await loop.create_server(web, sock=https, ssl=context),
            await loop.create_server(partial(_Closed, open_ones), sock=closed),
            await loop.create_server(partial(_Silent, open_ones), sock=silent),
            await loop.create_server(partial(_Alert, open_ones), sock=alert),
        ]
        keeper = asyncio.create_task(self._app.run())
        self._ready.set()
        await self._stop.wait()
        for listener in listeners:
            listener.close()
        await _cancel([keeper, *state.tasks])
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

    def add(self, transport: asyncio.Transport) -> None:
        self._accepted(transport.get_extra_info("sockname")[1])
        self._open.add(transport)
        self._none.clear()

    def remove(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        if not self._open:
            self._none.set()

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
