"""Servers that let a caller in and fail later: sessions that are lost, tools that are missing, containers that break.

Each function answers one request, or returns None to let the healthy server behind it do so. The texts are those that
users reported; where, is said at each.
"""

from __future__ import annotations

from collections.abc import Callable

from mcpdoctor.lab.dialects import said
from mcpdoctor.lab.fault import Fault
from mcpdoctor.lab.messages import (
    SESSION_LOST,
    Answer,
    Reaction,
    Request,
    aws_error,
    in_html,
    in_json,
    request_id,
    rpc_result,
)

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
RUNTIME = (
    "https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/"
    "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Flab-a1b2c3d4e5/invocations"
)
RUNTIME_FAILURE = "An internal error occurred while processing the request."
SLOW_START = "Runtime initialization time exceeded. Please make sure that initialization completes in 30s."
BOUND_CALLER = "arn:aws:sts::123456789012:assumed-role/lab/session"


def _at_the_name(url: str, key: str) -> str:
    """The URL of a fault that is found under a real name: its query tells it from the healthy server there."""
    return f"{url}?lab={key.replace('/', '-')}"


def _at(*methods: str, do: Callable[[Request], Reaction]) -> Callable[[Request], Reaction | None]:
    return lambda request: do(request) if request.method == "POST" and request.rpc_method in methods else None


def _signed(reaction: Answer) -> Callable[[Request], Reaction | None]:
    """Meet callers with a signature like this; the server turns the others away as it always does."""
    return lambda request: reaction if request.method == "POST" and request.header("authorization") else None


def _rpc_error(request: Request, code: int, message: str, *, status: int = 200) -> Answer:
    error = {"code": code, "message": message}
    return in_json({"jsonrpc": "2.0", "id": request.rpc.get("id"), "error": error}, status=status, headers=request_id())


def _after_initialize(do: Callable[[Request], Reaction]) -> Callable[[Request], Reaction | None]:
    return lambda request: do(request) if request.method == "POST" and request.rpc_method != "initialize" else None


def _without_id(refuse: Callable[[Request], Answer]) -> Callable[[Request], Reaction | None]:
    """Sessions whose id never reaches the client: something on the way takes the header off."""

    def answer(request: Request) -> Reaction | None:
        if request.method != "POST":
            return Answer(status=405, headers=(("allow", "POST"),))
        if request.rpc_method == "initialize":
            return in_json({"jsonrpc": "2.0", "id": request.rpc.get("id"), **said(request)}, headers=request_id())
        return refuse(request)

    return answer


def _missing_id(request: Request) -> Answer:
    # The words of the server in the mcp package, for a request without the header.
    return _rpc_error(request, -32600, "Bad Request: Missing session ID", status=400)


def _failing_tool(text: str) -> Callable[[Request], Reaction | None]:
    result = {"content": [{"type": "text", "text": text}], "isError": True}
    return _at("tools/call", do=lambda request: rpc_result(request, result))


def _unprefixed(request: Request) -> Answer:
    return _rpc_error(request, -32602, f"Unknown tool: knowledge___{request.tool}")


LAPSES = (
    Fault(
        stage="open",
        name="session-lost-in-200",
        summary="The session is gone at the next request, and HTTP says 200.",
        # In a mock of a third-party client; whether aws-mcp says 200 or 404 is not known.
        answer=_after_initialize(lambda request: _rpc_error(request, -30001, SESSION_LOST)),
    ),
    Fault(
        stage="open",
        name="session-terminated",
        summary="The session is gone at the next request, in the words of the mcp package.",
        answer=_after_initialize(
            lambda request: _rpc_error(request, -32600, "Not Found: Session has been terminated", status=404)
        ),
    ),
    Fault(
        stage="open",
        name="session-id-missing",
        summary="The session id does not reach the client, and the next request is refused without it.",
        answer=_without_id(_missing_id),
    ),
    Fault(
        stage="open",
        name="session-id-missing-404",
        summary="The same, refused with 404.",
        answer=_without_id(lambda request: in_json({"message": "Not Found"}, status=404)),  # noqa: ARG005 - the same for all
    ),
    Fault(
        stage="call",
        name="session-expired",
        summary="The session of an AgentCore runtime ends between two requests: 404 for its id.",
        # reported: anthropics/claude-ai-mcp issue 450
        answer=_at("tools/call", do=lambda _: aws_error("ResourceNotFoundException", "Session not found", status=404)),
    ),
    Fault(
        stage="call",
        name="accepted-only",
        summary="A tool call is answered with 202 and nothing else.",
        answer=_at("tools/call", do=lambda _: Answer(status=202)),
    ),
    Fault(
        stage="list",
        name="throttled",
        summary="AWS MCP Server lists no tools, since it throttles.",
        # reported: aws/mcp-proxy-for-aws issue 287
        answer=_at("tools/list", do=lambda request: rpc_result(request, {"tools": []})),
        endpoint=_at_the_name(AWS_MCP, "list/throttled"),
    ),
    Fault(
        stage="list",
        name="runtime-failure",
        summary="The container of an AgentCore runtime fails: JSON-RPC error -32603.",
        # reported: argoproj-labs/mcp-for-argocd issue 88
        answer=_at("tools/list", do=lambda request: _rpc_error(request, -32603, RUNTIME_FAILURE)),
        endpoint=_at_the_name(RUNTIME, "list/runtime-failure"),
    ),
    Fault(
        stage="auth",
        name="runtime-slow-start",
        summary="An AgentCore runtime is not ready within 30 seconds: 424.",
        # reported: aws/bedrock-agentcore-sdk-python issue 599
        answer=_signed(in_json({"message": SLOW_START}, status=424, headers=request_id())),
        endpoint=_at_the_name(RUNTIME, "auth/runtime-slow-start"),
    ),
    Fault(
        stage="auth",
        name="runtime-not-mcp",
        summary="An AgentCore runtime that was not created for MCP: 502.",
        # reported: CrowdStrike/falcon-mcp issue 332
        answer=_signed(in_html("<html><title>502 Bad Gateway</title></html>", status=502, headers=request_id())),
        endpoint=_at_the_name(RUNTIME, "auth/runtime-not-mcp"),
    ),
    Fault(
        stage="call",
        name="unprefixed-tool",
        summary="The tool has a prefix, and is called without it.",
        # measured by aws/agent-toolkit-for-aws issue 246
        answer=_at("tools/call", do=_unprefixed),
        endpoint=_at_the_name(AWS_MCP, "call/unprefixed-tool"),
        setup="Call the tool search_documentation.",
    ),
    Fault(
        stage="call",
        name="throttled",
        summary="The tool answers that an API behind it throttles.",
        # reported: awslabs/mcp issue 1377
        answer=_failing_tool(
            "An error occurred (ThrottlingException) when calling the LookupEvents operation (reached max retries: 4): "
            "Rate exceeded"
        ),
    ),
    Fault(
        stage="call",
        name="tool-denied",
        summary="The tool answers that AWS did not let it do what it was asked.",
        answer=_failing_tool(
            f"An error occurred (AccessDenied) when calling the ListBuckets operation: User: {BOUND_CALLER} is not "
            "authorized to perform: s3:ListAllMyBuckets"
        ),
    ),
)
