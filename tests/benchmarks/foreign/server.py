"""The MCP server of the Python SDK, with or without a limiter of the `limits` package in front. Run as a program.

It listens on a free port of the loopback address, and says on its first line of output which one that is.
"""

from __future__ import annotations

import argparse
import math
import socket
import time
from typing import Any

import anyio
import uvicorn
from mcp.server.fastmcp import FastMCP

STRATEGIES = ("fixed", "moving", "sliding-counter")


class Limited:
    """Answers 429 where a strategy of `limits` says so; every HTTP request counts, as in a gateway that knows no MCP.

    Args:
        app: what is behind.
        strategy: one of `STRATEGIES`.
        rate: in the notation of `limits`, such as `20/10 seconds`.
        retry_after: whether refusals say when the window is over.
    """

    def __init__(self, app, strategy: str, rate: str, *, retry_after: bool):
        from limits import parse, strategies
        from limits.storage import MemoryStorage

        classes: dict[str, Any] = {
            "fixed": strategies.FixedWindowRateLimiter,
            "moving": strategies.MovingWindowRateLimiter,
            "sliding-counter": strategies.SlidingWindowCounterRateLimiter,
        }
        self._app, self._item, self._retry_after = app, parse(rate), retry_after
        self._limiter: strategies.RateLimiter = classes[strategy](MemoryStorage())

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or self._limiter.hit(self._item, scope["client"][0]):
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain")]
        if self._retry_after:
            left = self._limiter.get_window_stats(self._item, scope["client"][0]).reset_time - time.time()
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(left))))
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"Too Many Requests"})


def build(*, stateless: bool) -> FastMCP:
    """The server: stateful with event streams, or stateless with JSON alone."""
    server = FastMCP("foreign", stateless_http=stateless, json_response=stateless, log_level="CRITICAL")

    @server.tool()
    async def work(seconds: float = 0.3) -> str:
        """Takes a while."""
        await anyio.sleep(seconds)
        return "done"

    @server.tool()
    def echo(text: str = "") -> str:
        """Answers at once."""
        return text

    return server


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stateless", action="store_true")
    parser.add_argument("--strategy", choices=STRATEGIES)
    parser.add_argument("--rate", default="20/10 seconds")
    parser.add_argument("--retry-after", action="store_true")
    chosen = parser.parse_args()
    app: Any = build(stateless=chosen.stateless).streamable_http_app()
    if chosen.strategy:
        app = Limited(app, chosen.strategy, chosen.rate, retry_after=chosen.retry_after)
    # asyncio sends small packets at once only where the socket says that it is TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
