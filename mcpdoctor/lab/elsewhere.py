"""Servers as there are outside AWS: what they do is right or usual there, and no server of AWS does it."""

from __future__ import annotations

from mcpdoctor.lab.messages import Answer, Request, in_json, rpc_result

METHOD_NOT_FOUND = -32601


def resources_only(request: Request) -> Answer:
    """A server of the TypeScript SDK that offers resources and no tools: it says so, and knows no `tools/list`."""
    if request.method != "POST":
        return Answer(status=405, headers=(("allow", "POST"),))
    if "id" not in request.rpc:
        return Answer(status=202)
    match request.rpc_method:
        case "initialize":
            asked = request.rpc.get("params")
            revision = asked.get("protocolVersion") if isinstance(asked, dict) else None
            return rpc_result(
                request,
                {
                    "protocolVersion": revision or "2025-06-18",
                    "capabilities": {"resources": {}},
                    "serverInfo": {"name": "lab without tools", "version": "1.0.0"},
                },
            )
        case "ping":
            return rpc_result(request, {})
        case "resources/list":
            return rpc_result(request, {"resources": [{"uri": "lab://page", "name": "page"}]})
        case _:
            error = {"code": METHOD_NOT_FOUND, "message": "Method not found"}
            return in_json({"jsonrpc": "2.0", "id": request.rpc["id"], "error": error})


def one_slash_less(request: Request) -> Answer:
    """307 as Starlette sends it for a slash too many at the end of a URL; here, to the healthy server next door."""
    return Answer(status=307, headers=(("location", f"{request.scheme}://{request.authority}/fault/healthy/none/mcp"),))


def wrong_host(request: Request) -> Answer:  # noqa: ARG001 - the same for every request
    """421 of the Python SDK for a `Host` that it was not told of (mcp.server.transport_security, mcp 1.30 and 2.3)."""
    return Answer(status=421, headers=(("content-type", "text/plain; charset=utf-8"),), body=b"Invalid Host header")


def wrong_host_in_json(request: Request) -> Answer:
    """403 of the TypeScript SDK for the same (its middleware for `Host`, @modelcontextprotocol/sdk 1.32)."""
    error = {"code": -32000, "message": f"Invalid Host: {request.host}"}
    return in_json({"jsonrpc": "2.0", "error": error, "id": None}, status=403)
