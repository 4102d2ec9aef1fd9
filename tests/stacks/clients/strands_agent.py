"""An agent of the Strands framework: `with` a client, an `agent` given the client, or a tool `call`.

`swallow` prints the outermost message only and logs nothing, as many programs do.
"""

import logging
import sys

from strands import Agent
from strands.tools.mcp import MCPClient

try:
    from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client
except ImportError:  # it cannot be installed beside mcp 2
    from mcp.client.streamable_http import streamable_http_client as transport
else:

    def transport(url):
        return aws_iam_streamablehttp_client(url, aws_service="aws-mcp", aws_region="us-east-1", timeout=5)


url, mode, *rest = sys.argv[1:]
if "info" in rest:
    logging.basicConfig(level=logging.INFO)
client = MCPClient(lambda: transport(url))

if mode == "agent":
    print(Agent(tools=[client]).tool_names)
elif mode == "swallow":
    logging.disable()
    try:
        with client:
            print(client.list_tools_sync())
    except Exception as error:
        sys.exit(f"Error: {error}")
else:
    with client:
        print([tool.tool_name for tool in client.list_tools_sync()])
        if mode == "call":
            print(client.call_tool_sync("use-1", "echo", {"text": "hello"}))
