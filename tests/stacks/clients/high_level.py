"""A client of the fastmcp package, or of mcp 2 where that is not installed: `init` or `call`."""

import asyncio
import logging
import sys

try:
    from fastmcp import Client
except ImportError:
    from mcp import Client


async def main(url, mode, *_):
    async with Client(url) as client:
        tools = await client.list_tools()
        print([tool.name for tool in getattr(tools, "tools", tools)])
        if mode == "call":
            print(await client.call_tool("echo", {"text": "hello"}))


if "info" in sys.argv:
    logging.basicConfig(level=logging.INFO)
asyncio.run(main(*sys.argv[1:]))
