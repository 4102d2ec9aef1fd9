"""The program whose run is measured: 500 tool calls with the client that users run."""

import sys

import anyio
from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client

CALLS = 500


async def main(endpoint: str) -> None:
    client = aws_iam_streamablehttp_client(endpoint=endpoint, aws_service="aws-mcp", aws_region="us-east-1")
    async with client as (receive, send, _), ClientSession(receive, send) as session:
        await session.initialize()
        for number in range(CALLS):
            await session.call_tool("echo", {"message": str(number)})
    print(CALLS)


anyio.run(main, sys.argv[1])
