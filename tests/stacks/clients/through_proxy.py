"""A session of mcp 1.x with the stdio proxy of AWS as its server."""

import asyncio
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(url, mode, *_):
    started = "from mcp_proxy_for_aws.server import main; main()"
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", started, url, "--service", "aws-mcp", "--region", "us-east-1"],
        env=dict(os.environ),
    )
    async with stdio_client(server) as streams:
        async with ClientSession(*streams) as session:
            await session.initialize()
            tools = await session.list_tools()
            print([tool.name for tool in tools.tools])
            if mode == "call":
                print(await session.call_tool("echo", {"text": "hello"}))


asyncio.run(main(*sys.argv[1:]))
