"""A configuration as something to paste."""

from __future__ import annotations

import json

from mcpdoctor.credentials import profile_of
from mcpdoctor.model import Configuration


def strands(configuration: Configuration) -> str:
    """Python for a Strands agent that uses `configuration`."""
    endpoint = json.dumps(configuration.endpoint)
    if not configuration.signed:
        return (
            "from mcp.client.streamable_http import streamable_http_client\n"
            "from strands.tools.mcp import MCPClient\n"
            "\n"
            f"client = MCPClient(lambda: streamable_http_client({endpoint}))"
        )
    given = {
        "endpoint": configuration.endpoint,
        "aws_service": configuration.service,
        "aws_region": configuration.region,
        "aws_profile": profile_of(configuration.credential),
    }
    lines = "".join(f"    {name}={json.dumps(value)},\n" for name, value in given.items() if value)
    return (
        "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client\n"
        "from strands.tools.mcp import MCPClient\n"
        "\n"
        f"client = MCPClient(lambda: aws_iam_streamablehttp_client(\n{lines}))"
    )
