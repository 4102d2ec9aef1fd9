"""Real MCP servers from the `mcp` package, behind the lab's own doors.

The package takes a second to import, so it is imported in the background once the lab is up, and waited for by the
first request that needs it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from mcpdoctor.lab.services import Tool

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

INVALID_PARAMS = -32602


def preload() -> None:
    """Import the `mcp` package, so that the first request need not wait for it."""
    for module in ("mcp.types", "mcp.server.lowlevel", "mcp.server.streamable_http_manager"):
        importlib.import_module(module)


class Backend:
    """One MCP server with sessions; started by the first request.

    It answers in plain JSON. Where the lab is to answer with server-sent events it wraps the answer itself: the event
    streams of `mcp` 1.26 leave memory streams unclosed, which is a ResourceWarning in the program the lab runs in.

    Args:
        name: The name it gives itself in `initialize`.
        tools: What it serves.
    """

    def __init__(self, *, name: str, tools: tuple[Tool, ...]) -> None:
        self._name = name
        self._tools = tools
        self._handle: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._stop = asyncio.Event()

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI)."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await self._up.wait()
        if self._handle is None:
            await self._task  # raises what went wrong
            raise RuntimeError("The lab's MCP server has stopped.")
        await self._handle(scope, receive, send)

    async def end_session(self, session_id: str) -> None:
        """End a session as its client would with DELETE."""

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            """Nobody is there to read the answer."""

        headers = [(b"mcp-session-id", session_id.encode()), (b"accept", b"application/json")]
        scope = {"type": "http", "method": "DELETE", "path": "/", "query_string": b"", "headers": headers}
        await self.handle(scope, receive, send)

    async def stop(self) -> None:
        """End every session and the server; does nothing when it never started."""
        if self._task is not None:
            self._stop.set()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await asyncio.to_thread(preload)
            from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

            manager = StreamableHTTPSessionManager(_server(self._name, self._tools), json_response=True)
            async with manager.run():
                self._handle = manager.handle_request
                self._up.set()
                await self._stop.wait()
        finally:
            self._handle = None
            self._up.set()


def _server(name: str, tools: tuple[Tool, ...]) -> Server[Any, Any]:
    from mcp import types
    from mcp.server.lowlevel import Server
    from mcp.shared.exceptions import McpError

    server: Server[Any, Any] = Server(name, version="1.0.0")
    by_name = {tool.name: tool for tool in tools}
    listing = [types.Tool(name=tool.name, description=tool.description, inputSchema=tool.schema) for tool in tools]

    async def list_tools(_: types.ListToolsRequest) -> types.ServerResult:
        return types.ServerResult(types.ListToolsResult(tools=listing))

    async def call_tool(request: types.CallToolRequest) -> types.ServerResult:
        tool, given = by_name.get(request.params.name), request.params.arguments or {}
        if tool is None:
            raise McpError(types.ErrorData(code=INVALID_PARAMS, message=f"Unknown tool: {request.params.name}"))
        missing = [name for name in tool.schema["required"] if name not in given]
        failed = f"Missing argument: {missing[0]}" if missing else tool.refuses(given)
        content = types.TextContent(type="text", text=failed or tool.answer(given))
        return types.ServerResult(types.CallToolResult(content=[content], isError=failed is not None))

    # Registered directly: the decorator for tool calls would turn the error for an unknown tool into a result.
    server.request_handlers[types.ListToolsRequest] = list_tools
    server.request_handlers[types.CallToolRequest] = call_tool
    return server
