"""Problems with throttling, sessions, tools and revisions of MCP (section 6.5 of the facts)."""

from __future__ import annotations

from field.bench import Bench, Case, Shown

OLD_CLIENT = """\
  File "/srv/agent/.venv/lib/python3.12/site-packages/strands/tools/mcp/mcp_client.py", line 101, in start
    self._init_future.result(timeout=self._startup_timeout)
  File "/srv/agent/.venv/lib/python3.12/site-packages/mcp/client/session.py", line 151, in initialize
    raise RuntimeError(f"Unsupported protocol version from the server: {result.protocolVersion}")
RuntimeError: Unsupported protocol version from the server: 2025-03-26
"""

WAITING = """\
import asyncio
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def hold(url, ready):
    async with streamable_http_client(url) as (receive, send, *_), ClientSession(receive, send) as session:
        await session.initialize()
        ready.set_result(session)
        await asyncio.sleep(60)


async def main(url):
    ready = asyncio.get_running_loop().create_future()
    holder = asyncio.create_task(hold(url, ready))
    session = await asyncio.wait_for(ready, 4)
    await asyncio.wait_for(session.list_tools(), 4)


try:
    asyncio.run(main(sys.argv[1]))
except TimeoutError:
    sys.exit("gave up")
"""
"""One task holds the session and another one calls, as in Strands: nobody tells the caller that it waits in vain."""


def _waiting(bench: Bench, fault: str) -> Shown:
    """A program that shows nothing of what it was answered, as an agent that waits for ever."""
    bench.write({"agent.py": WAITING})
    return bench.run("python", "agent.py", f"{bench.lab.http}/fault/{fault}/mcp")


def _throttled_by_address(bench: Bench) -> Shown:
    return bench.check(bench.fault("open/rate-limited"), "-c", "none")


def _empty_list(bench: Bench) -> Shown:
    return bench.check(bench.fault("list/throttled"))


def _read_only(bench: Bench) -> Shown:
    return bench.explain(
        "mcp.shared.exceptions.McpError: Tool 'aws___run_script' is not available in read-only mode.\n"
    )


def _removed_tool(bench: Bench) -> Shown:
    return bench.check("aws-mcp", "-c", "default", "--tool", "aws___call_aws")


def _expired_session(bench: Bench) -> Shown:
    url = bench.fault("call/session-expired")
    return bench.check(url, "-s", "aws-mcp", "-r", "us-east-1", "--tool", "echo", "--arguments", '{"text": "hi"}')


def _slow_start(bench: Bench) -> Shown:
    return bench.check(bench.fault("auth/runtime-slow-start"))


def _not_mcp(bench: Bench) -> Shown:
    return bench.check(bench.fault("auth/runtime-not-mcp"))


def _runtime_failure(bench: Bench) -> Shown:
    return bench.check(bench.fault("list/runtime-failure"))


def _revisions(bench: Bench) -> Shown:
    return bench.check("aws-mcp", "-c", "none", "--revisions")


CASES = (
    Case(
        rows=("48",),
        reported=("awslabs/mcp#2949",),
        symptom="The Knowledge server does not start: 429, JSON-RPC error -32004",
        command="mcpdoctor check aws-knowledge",
        check="rate-limited",
        says="The configuration is not at fault",
        reproduce=_throttled_by_address,
    ),
    Case(
        rows=("49",),
        reported=("aws/mcp-proxy-for-aws#287",),
        symptom='Nine proxies start at once, and some get HTTP 200 with {"tools": []}',
        command="mcpdoctor check aws-mcp",
        check="list-throttled",
        says="an empty list means that it throttles",
        reproduce=_empty_list,
    ),
    Case(
        rows=("50",),
        reported=("aws/mcp-proxy-for-aws#387",),
        symptom="Tool 'X' is not available in read-only mode, though it only reads",
        command="mcpdoctor explain client.log",
        check="client-proxy-read-only",
        says="It says the same when a 429 kept it from listing the tools",
        reproduce=_read_only,
    ),
    Case(
        rows=("52",),
        reported=("https://docs.aws.amazon.com/agent-toolkit/latest/userguide/understanding-mcp-server-tools.html",),
        symptom="Unknown tool aws___call_aws",
        command="mcpdoctor check aws-mcp --tool aws___call_aws",
        check="call-removed-tool",
        says="Use aws___run_script in its place",
        reproduce=_removed_tool,
    ),
    Case(
        rows=("54",),
        reported=("anthropics/claude-ai-mcp#450", "argoproj-labs/mcp-for-argocd#88"),
        symptom="An AgentCore runtime answers 404 or -32603 after an idle time",
        command="mcpdoctor check URL --tool NAME",
        check="http-session-lost",
        says="a 404 for a request with a session id means that the session has ended",
        reproduce=_expired_session,
    ),
    Case(
        rows=("57",),
        reported=("aws/bedrock-agentcore-sdk-python#599",),
        symptom="424: Runtime initialization time exceeded",
        command="mcpdoctor check URL",
        check="runtime-slow-start",
        says="connecting to MCP servers while it starts is the usual reason",
        reproduce=_slow_start,
    ),
    Case(
        rows=("58",),
        reported=("CrowdStrike/falcon-mcp#332",),
        symptom="An AgentCore runtime answers 502, and its container is never called",
        command="mcpdoctor check URL",
        check="runtime-not-mcp",
        says="serverProtocol=MCP",
        reproduce=_not_mcp,
    ),
    Case(
        rows=("59",),
        reported=("awslabs/agentcore-samples#1022", "awslabs/agentcore-samples#1034"),
        symptom="The target of a gateway is FAILED, since its server listens on 127.0.0.1",
        why_not="only AWS sees the container; the gateway itself answers well",
    ),
    Case(
        rows=("60",),
        reported=("aws/mcp-proxy-for-aws#405",),
        symptom="A Strands or LangChain program hangs after 401, 403 or 429, without a word",
        command="mcpdoctor run -- python agent.py",
        check="rate-limited",
        says="HTTP 429",
        reproduce=lambda bench: _waiting(bench, "open/rate-limited-after-initialize"),
    ),
    Case(
        rows=("60a",),
        reported=("strands-agents/sdk-python#995",),
        symptom="The agent never returns where the server answers HTTP 500",
        command="mcpdoctor run -- python agent.py",
        check="http-server-error",
        says="HTTP 500",
        reproduce=lambda bench: _waiting(bench, "http/server-error"),
    ),
    Case(
        rows=("60c",),
        reported=("strands-agents/sdk-python#792",),
        symptom="The agent hangs on JSON-RPC error -32603 of an AgentCore runtime",
        command="mcpdoctor check URL",
        check="runtime-failure",
        says="Look at the log of the runtime in CloudWatch",
        reproduce=_runtime_failure,
    ),
    Case(
        rows=("60e",),
        reported=("awslabs/agentcore-samples#153", "awslabs/agentcore-samples#157"),
        symptom="Unsupported protocol version from the server: 2025-03-26",
        command="mcpdoctor explain traceback.txt",
        check="open-unsupported-protocol",
        says="the SDK of the client is too old",
        reproduce=lambda bench: bench.explain(OLD_CLIENT),
    ),
    Case(
        rows=("61",),
        reported=("aws/agent-toolkit-for-aws#264", "aws/agent-toolkit-for-aws#265"),
        symptom="Clients that speak MCP 2026-07-28 alone fail",
        command="mcpdoctor check aws-mcp --revisions",
        check="open-not-latest-revision",
        says="does not speak MCP 2026-07-28",
        reproduce=_revisions,
    ),
)
