"""One request and one answer of the lab, and the bodies that AWS endpoints are known to send.

Where a text comes from a capture, a user's report or documentation is said at each function. Words of AWS are kept
exactly, odd punctuation included: clients match on them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

UNVERIFIED = (
    "Authentication failed: Unable to verify your user identity. Please ensure you are properly authenticated and try "
    "again."
)
EXPIRED_TOKEN = (
    "Your AWS session token has expired. Please refresh your credentials and try again. If you're using temporary "  # noqa: S105 - a message
    "credentials, you may need to re-authenticate to obtain new credentials."
)
SESSION_LOST = "The provided SessionId was not found or has expired, please re-initialize your connection."
TOO_MANY_CODE = -32004
TOO_MANY = "Too many requests. Please try again later."
METHOD_MISMATCH = (
    "Authorization method mismatch. The agent is configured for a different authorization method than what was used in "
    "your request. Check the agent's authorization configuration and ensure your request uses the matching method "
    "(OAuth or SigV4)"
)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, with its whole body.

    Attributes:
        method: The HTTP method.
        scheme: `http` or `https`.
        host: The `Host` header without its port, in lower case.
        authority: The `Host` header as sent.
        path: The path as on the wire, still percent-encoded.
        query: The query string as on the wire.
        headers: Names (lower case) and values in order.
        body: The body.
        client: The address of the caller, without its port.
    """

    method: str
    scheme: str
    host: str
    authority: str
    path: str
    query: str
    headers: Headers
    body: bytes
    client: str

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    @cached_property
    def rpc(self) -> dict[str, Any]:
        """The JSON-RPC message in the body; empty when there is none."""
        try:
            message = json.loads(self.body)
        except ValueError:
            return {}
        return message if isinstance(message, dict) else {}

    @property
    def rpc_method(self) -> str | None:
        """The JSON-RPC method, such as `initialize`."""
        method = self.rpc.get("method")
        return method if isinstance(method, str) else None

    @property
    def tool(self) -> str | None:
        """The tool a `tools/call` names."""
        params = self.rpc.get("params")
        name = params.get("name") if self.rpc_method == "tools/call" and isinstance(params, dict) else None
        return name if isinstance(name, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP response.

    Attributes:
        status: The HTTP status.
        headers: Names and values.
        body: The bytes; or a function that makes them one by one, for answers that are huge or never end.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes | Callable[[], AsyncIterator[bytes]] = field(default=b"", repr=False)


class Drop:
    """Instead of an answer: close the connection without a byte."""


class Silence:
    """Instead of an answer: say nothing for as long as the client waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Instead of an answer: these bytes, as they are, and the end of the connection.

    Attributes:
        pieces: The bytes, each a moment after the one before.
        reset: Whether the connection is reset rather than closed.
    """

    pieces: tuple[bytes, ...]
    reset: bool = False


Reaction = Answer | Drop | Silence | Raw


def request_id() -> Headers:
    """The id header of an answer made inside a Region."""
    return (("x-amzn-requestid", str(uuid4())),)


def edge(outcome: str = "LambdaGeneratedResponse") -> Headers:
    """The headers of an answer made at the edge: CloudFront's id is the only one (reported: authprobe capture)."""
    ident = uuid4().hex
    return (("server", "CloudFront"), ("x-cache", f"{outcome} from cloudfront"), ("x-amz-cf-id", f"{ident}=="))


def in_json(body: object, *, status: int = 200, headers: Headers = ()) -> Answer:
    """An answer with a JSON body, written without spaces as AWS does."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Answer(status=status, headers=(("content-type", "application/json"), *headers), body=text.encode())


def in_html(page: str, *, status: int = 200, headers: Headers = ()) -> Answer:
    """An answer with an HTML page."""
    return Answer(status=status, headers=(("content-type", "text/html; charset=utf-8"), *headers), body=page.encode())


def aws_error(error_type: str, message: str, *, status: int) -> Answer:
    """An error as AWS services write it: `{"message": …}` and the type in a header."""
    return in_json({"message": message}, status=status, headers=(("x-amzn-errortype", error_type), *request_id()))


def rpc_error(request: Request, code: int, message: str, *, status: int, headers: Headers = ()) -> Answer:
    """A JSON-RPC error as the edge of AWS writes it, with `"result": null` beside `"error"`.

    Strict JSON-RPC parsers reject that; it is what was captured (reported: authprobe; awslabs/mcp issue 2949).
    """
    body = {
        "jsonrpc": "2.0",
        "id": request.rpc.get("id", ""),
        "result": None,
        "error": {"code": code, "message": message},
    }
    return in_json(body, status=status, headers=headers or edge())


def rpc_result(request: Request, result: object, *, headers: Headers = ()) -> Answer:
    """A JSON-RPC result."""
    body = {"jsonrpc": "2.0", "id": request.rpc.get("id"), "result": result}
    return in_json(body, headers=headers or request_id())


def too_many(request: Request, *, retry_after: int | None = None) -> Answer:
    """429 as Knowledge sends it (reported: awslabs/mcp issue 2949); AWS sends no `Retry-After`."""
    wait = (("retry-after", str(retry_after)),) if retry_after is not None else ()
    return rpc_error(request, TOO_MANY_CODE, TOO_MANY, status=429, headers=(*wait, *edge("Error")))


def nginx_limited(request: Request) -> Answer:  # noqa: ARG001 - says the same to everybody
    """503 and its page, as nginx refuses what is too much unless `limit_req_status` says otherwise."""
    title = "503 Service Temporarily Unavailable"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return in_html(page, status=503, headers=(("server", "nginx"), *request_id()))


def rpc_too_many(request: Request) -> Answer:
    """The refusal of a server that counts behind HTTP: 200 and a JSON-RPC error, here a well-formed one."""
    error = {"code": TOO_MANY_CODE, "message": TOO_MANY}
    return in_json({"jsonrpc": "2.0", "id": request.rpc.get("id"), "error": error}, headers=request_id())


def tool_too_many(request: Request) -> Answer:
    """The refusal of a tool that was itself refused by what it calls: 200 and a result with `isError`."""
    content = [{"type": "text", "text": f"{TOO_MANY} (HTTP 429)"}]
    return rpc_result(request, {"content": content, "isError": True})


REFUSALS: Mapping[str, Callable[[Request], Answer]] = {
    "429": too_many,
    "503": nginx_limited,
    "rpc": rpc_too_many,
    "tool": tool_too_many,
}
"""The ways in which a limiter can say no."""


def session_lost(request: Request) -> Answer:
    """The session is unknown, or another caller's (reported: aws/mcp-proxy-for-aws issues 117 and 299)."""
    return rpc_error(request, -30001, SESSION_LOST, status=404, headers=request_id())


def foreign_origin() -> Answer:
    """403 for a request that a web page of somewhere else sent (MCP 2025-11-25, Transports, Security Warning)."""
    return in_json({"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Origin header"}}, status=403)


def not_found() -> Answer:
    """404 of a service that does not know the path."""
    return aws_error("ResourceNotFoundException", "Not Found", status=404)
