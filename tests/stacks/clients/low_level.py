"""A session of the mcp package, 1.x or 2.x: `init` or `call`; `signed` where mcp 2 is to sign."""

import asyncio
import logging
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


def signing():
    """A client that signs as a user of mcp 2 has to do it: by hand."""
    import httpx2
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.session import Session

    class Signed(httpx2.Auth):
        requires_request_body = True

        def auth_flow(self, request):
            kept = {key: request.headers[key] for key in ("host", "content-type") if key in request.headers}
            plain = AWSRequest(request.method, str(request.url), data=request.content, headers=kept)
            SigV4Auth(Session().get_credentials(), "aws-mcp", "us-east-1").add_auth(plain)
            request.headers.update(dict(plain.headers))
            yield request

    return httpx2.AsyncClient(auth=Signed())


async def main(url, mode, *rest):
    client = signing() if "signed" in rest else None
    async with streamable_http_client(url, http_client=client) as streams:
        async with ClientSession(*streams[:2]) as session:
            await session.initialize()
            tools = await session.list_tools()
            print([tool.name for tool in tools.tools])
            if mode == "call":
                print(await session.call_tool("echo", {"text": "hello"}))


if "info" in sys.argv:
    logging.basicConfig(level=logging.INFO)
asyncio.run(main(*sys.argv[1:]))
