"""A server with one tool, as the pages of FastMCP and of the SDK show it: a port, then settings as NAME=JSON."""

import json
import sys

try:
    from fastmcp import FastMCP as Server
except ImportError:
    try:
        from mcp.server.fastmcp import FastMCP as Server
    except ImportError:  # mcp 2.x
        from mcp.server import MCPServer as Server

server = Server("demo")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


port = int(sys.argv[1])
settings = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in sys.argv[2:])}
if hasattr(getattr(server, "settings", None), "stateless_http"):  # mcp 1.x
    for name, value in {**settings, "port": port}.items():
        setattr(server.settings, name, value)
    settings = {}
else:
    settings |= {"host": "127.0.0.1", "port": port}
server.run(transport="streamable-http", **settings)
