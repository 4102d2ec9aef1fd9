"""A connection: what `ClientSession` and agent frameworks take for a transport."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mcpdoctor.connect import telling
from mcpdoctor.connect.telling import ConnectionFailed
from mcpdoctor.connect.wanted import Choice, Wanted, choose
from mcpdoctor.model import Unusable

if TYPE_CHECKING:
    from agents.mcp import MCPServerStreamableHttp
    from fastmcp.client.transports import ClientTransport

    from mcpdoctor.connect.line import Line
    from mcpdoctor.identities import Identity
    from mcpdoctor.probes import Signer

Streams = tuple[Any, Any, Callable[[], str | None]]
"""What the SDK's transports give: read stream, write stream, and what returns the id of the session."""

_PATIENCE_S = 20.0
"""Seconds at most for finding the credentials: Strands gives a connection 30 s altogether."""


class Connection:
    """A transport to one MCP server: an async context manager that gives read stream, write stream, session id getter.

    It can be opened again after it was closed. Several at a time: `open()` each, or make a connection for each.

    Args:
        wanted: what to connect to.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._opened: AbstractAsyncContextManager[Streams] | None = None

    def __repr__(self) -> str:
        from mcpdoctor.redaction import clean

        return f"<{type(self).__name__} to {clean(self._wanted.target)}>"

    async def __aenter__(self) -> Streams:
        """Open it; see `open`."""
        if self._opened is not None:
            raise RuntimeError("This connection is open already; use open(), or make another one.")
        self._opened = self.open()
        try:
            return await self._opened.__aenter__()
        except BaseException:
            self._opened = None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Close it, ending the session."""
        opened, self._opened = self._opened, None
        assert opened is not None  # noqa: S101  # it was entered
        return await opened.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Streams]:
        """Open one session's transport.

        Credentials are looked for here, and nothing is sent: the first request is the session's `initialize`.

        Yields:
            Read stream, write stream, and a function that returns the id of the session.

        Raises:
            ConnectionFailed: there is no usable credential and no fallback; or, on leaving, the connection had failed.
            Unusable: what was asked for does not exist.
        """
        import anyio

        _on_asyncio()
        choice, signer = await self._prepared()
        headers = self._headers(choice)
        line = self._line(choice, signer, headers)
        try:
            async with self._transport(line, signer, headers) as streams:
                yield streams
        except Exception as error:
            failed = _failure(error, line)
            if failed is None:
                raise
            raise failed from failed.__cause__ or error
        finally:
            with anyio.CancelScope(shield=True):
                if line.client is not None:
                    await line.client.aclose()

    # frameworks -------------------------------------------------------------------------------------------------------

    def for_fastmcp(self) -> ClientTransport:
        """The transport for a `fastmcp.Client` (fastmcp 2 and 3)."""
        from fastmcp.client.transports import ClientTransport

        connection = self

        class Transport(ClientTransport):
            @asynccontextmanager
            async def connect_session(self, **session_kwargs: Any) -> AsyncIterator[Any]:
                from mcp import ClientSession

                async with connection.open() as (read, write, _), ClientSession(read, write, **session_kwargs) as one:
                    yield one

        return Transport()

    def for_openai_agents(self, **options: Any) -> MCPServerStreamableHttp:
        """The server for an `agents.Agent` of the OpenAI Agents SDK.

        Args:
            options: of `agents.mcp.MCPServerStreamableHttp`, without `params`. A call has as long as an answer may
                take, unless `client_session_timeout_seconds` says otherwise.
        """
        from agents.mcp import MCPServerStreamableHttp

        connection = self

        class Server(MCPServerStreamableHttp):  # type: ignore[misc,unused-ignore]  # only in environments of its users
            def create_streams(self) -> AbstractAsyncContextManager[Any]:
                return connection.open()

        wanted = self._wanted
        given = {"name": wanted.target, "client_session_timeout_seconds": wanted.read_timeout_s, **options}
        return Server(params={"url": wanted.url or wanted.target}, **given)

    # opening ----------------------------------------------------------------------------------------------------------

    async def _prepared(self) -> tuple[Choice, Signer | None]:
        """What to connect to, and what signs for it; None for nothing, as for a stand-in."""
        import anyio.to_thread

        choice = await anyio.to_thread.run_sync(self._looked_up)
        if (refused := telling.beforehand(choice.cell, choice.catalogue)) is not None:
            raise ConnectionFailed(refused)
        if not choice.cell.configuration.signed:
            return choice, None
        identity, signer, failed = await self._signer(choice)
        if failed is None:
            return choice, signer
        failed.__cause__ = identity.error
        if not telling.warned(failed.explanation, choice):
            raise failed
        return choice, None

    def _looked_up(self) -> Choice:
        """What to connect to. The client's libraries are imported here, in a thread: they take more than a second."""
        choice = choose(self._wanted)
        module = "mcp_proxy_for_aws.client" if choice.cell.configuration.signed else "mcp.client.streamable_http"
        importlib.import_module(module)
        importlib.import_module("mcpdoctor.connect.line")
        importlib.import_module("mcpdoctor.identities")
        return choice

    async def _signer(self, choice: Choice) -> tuple[Identity, Signer | None, ConnectionFailed | None]:
        from mcpdoctor.identities import Identities

        configuration = choice.cell.configuration
        patience_s = min(self._wanted.timeout_s, _PATIENCE_S)
        identities = Identities(
            (configuration,), environ=dict(os.environ), standby=None, timeout_s=patience_s, renewing=True
        )
        signer, refusal = await identities.signer(configuration)
        identity = await identities.resolved(configuration.credential)
        if refusal is None:
            return identity, signer, None
        return identity, None, ConnectionFailed(telling.of_trace(refusal, choice.cell, choice.catalogue))

    def _headers(self, choice: Choice) -> dict[str, str]:
        """The headers to add; a bearer token is one of them.

        Raises:
            ConnectionFailed: there is no token where it should be, or it cannot be sent.
        """
        from mcpdoctor.bearer import AUTHORIZATION, token_of, variable_of
        from mcpdoctor.model import Stage, Trace, Verdict

        headers = dict(self._wanted.headers)
        name = variable_of(choice.cell.configuration.credential)
        if name is None:
            return headers
        token = token_of(name, os.environ)
        if not token.header:
            trace = Trace(stage=Stage.AUTH, verdict=Verdict.FAILED, facts=token.facts)
            raise ConnectionFailed(telling.of_trace(trace, choice.cell, choice.catalogue))
        return {**headers, AUTHORIZATION: token.header}

    def _line(self, choice: Choice, signer: Signer | None, headers: Mapping[str, str]) -> Line:
        from mcpdoctor.bearer import pieces
        from mcpdoctor.connect.line import Line

        secrets = [part for value in headers.values() for part in pieces(value)]
        if signer is not None:
            secrets += signer.resolved.secrets
        return Line(
            choice,
            service=signer.service if signer is not None else None,
            region=signer.region if signer is not None else None,
            secrets=tuple(secrets),
            moved=signer is None and choice.cell.configuration.signed,
        )

    def _transport(
        self, line: Line, signer: Signer | None, added: dict[str, str]
    ) -> AbstractAsyncContextManager[Streams]:
        """The transport of the SDK, or for a signed endpoint the one of mcp-proxy-for-aws, over our line."""
        import httpx

        from mcpdoctor.connect.line import Client

        wanted = self._wanted

        def client(
            headers: dict[str, str] | None = None,
            timeout: httpx.Timeout | None = None,  # noqa: ARG001  # ours says the same, and of reading too
            auth: httpx.Auth | None = None,
        ) -> httpx.AsyncClient:
            return Client(
                line,
                headers=headers,
                timeout=httpx.Timeout(wanted.timeout_s, read=wanted.read_timeout_s),
                auth=auth,
                # Old versions of the SDK leave it to httpx, which takes added headers along to wherever it is led.
                follow_redirects=signer is None and not headers,
            )

        if signer is None:
            from mcp.client.streamable_http import streamable_http_client

            return streamable_http_client(line.url, http_client=client(headers={} if line.moved else added))
        from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client

        found: AbstractAsyncContextManager[Streams] = aws_iam_streamablehttp_client(
            endpoint=line.url,
            aws_service=signer.service,
            aws_region=signer.region,
            credentials=signer.resolved.credentials,
            headers=added,
            timeout=wanted.timeout_s,
            sse_read_timeout=wanted.read_timeout_s,
            httpx_client_factory=client,
        )
        return found


def _on_asyncio() -> None:
    """Refuse other event loops: below, it would look like a credential that does not work.

    Raises:
        Unusable: the program runs on trio.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise Unusable("mcpdoctor.connect works on asyncio only: run the program with asyncio.run().") from None


def _failure(error: Exception, line: Line) -> ConnectionFailed | None:
    """The failure of the connection that ended a session; None where something else ended it.

    What the program itself raised while the connection was open passes as it is.
    """
    from mcpdoctor.connect.line import MARK
    from mcpdoctor.explanation import explain
    from mcpdoctor.failures import is_noise, paths

    found: ConnectionFailed | None = None
    for path in paths(error):
        leaf = path[-1]
        if any(isinstance(one, ConnectionFailed) for one in path):
            return None
        data = next((given for one in path if isinstance(given := _data(one), dict) and MARK in given), None)
        if data is not None:
            found = line.failures.get(data[MARK], found)
        elif line.ended is not None and str(leaf) == _ENDED:
            found = line.ended
        elif any(map(_of_client, path)):
            explanation = explain(error)
            if explanation.explained:
                found = ConnectionFailed(replace(explanation, url=explanation.url or line.url))
                found.__cause__ = leaf
        elif not is_noise(f"{type(leaf).__module__}.{type(leaf).__qualname__}", explicit=False):
            return None
    return found


def _data(error: BaseException) -> object:
    """The data of the JSON-RPC error that an exception of the SDK carries."""
    return getattr(getattr(error, "error", None), "data", None)


_ENDED = "Session terminated"
"""What the client makes of 404 inside of a session, without the words of the server."""

_SENDING = {
    "mcp.client.streamable_http": ("_handle_post_request", "handle_request_async"),
    "mcp.client.session": ("initialize", "list_tools"),
}
"""Functions of the client, by module, whose errors are those of the connection; calls are the program's business."""


def _of_client(error: BaseException) -> bool:
    """Whether the client raised it while it opened a session or sent a request.

    What a program raises passes through the contexts of the client, too, but not through these functions.
    """
    link = error.__traceback__
    while link is not None:
        module, name = str(link.tb_frame.f_globals.get("__name__")), link.tb_frame.f_code.co_name
        if name in _SENDING.get(module, ()):
            return True
        link = link.tb_next
    return False
