"""The floor of a healthy check: import the client that users run, open a session, list tools."""

import sys

import anyio
from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client


async def main(endpoint: str) -> None:
    client = aws_iam_streamablehttp_client(endpoint=endpoint, aws_service="aws-mcp", aws_region="us-east-1")
    async with client as (receive, send, _), ClientSession(receive, send) as session:
        await session.initialize()
        print(len((await session.list_tools()).tools))


anyio.run(main, sys.argv[1])
