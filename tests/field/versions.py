"""Known defects of versions, and servers that do not start."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from field.bench import Bench, Case, Shown
from mcpdoctor import from_files

URL = "https://aws-mcp.us-east-1.api.aws/mcp"
KIRO, CLAUDE = ".kiro/settings/mcp.json", "~/.config/Claude/claude_desktop_config.json"
CLINE = "~/.config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
DESKTOP_OF_MACOS = "~/Library/Application Support/Claude/claude_desktop_config.json"

SIGNING = """\
import asyncio
from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client


async def main():
    async with aws_iam_streamablehttp_client(
        endpoint="https://aws-mcp.us-east-1.api.aws/mcp", aws_service="aws-mcp", aws_region="us-east-1"MORE
    ) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()


asyncio.run(main())
"""

STRANDS = """\
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client
from strands import Agent
from strands.tools.mcp import MCPClient

client = MCPClient(
    lambda: aws_iam_streamablehttp_client(
        endpoint="https://aws-mcp.us-east-1.api.aws/mcp", aws_service="aws-mcp", aws_region="us-east-1"
    )
)
with client:
    Agent(tools=client.list_tools_sync())("hello")
"""

NUMBER = """\
# /// script
# dependencies = ["mcp==1.9.2"]
# ///
from mcp.client.streamable_http import streamablehttp_client


async def main():
    async with streamablehttp_client("https://knowledge-mcp.global.api.aws", timeout=30):
        ...
"""

ON_WINDOWS = """\
error: Failed to spawn: `mcp-proxy-for-aws`
  Caused by: program not found
MCP error -32000: Connection closed
"""

OLD_SDK = """\
Successfully installed httpx-0.28.1 mcp-1.7.1 pydantic-2.11.10
  + Exception Group Traceback (most recent call last):
  |   File "/app/agent.py", line 12, in <module>
  |     asyncio.run(main())
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/.venv/lib/python3.12/site-packages/mcp/client/session.py", line 116, in initialize
    |     raise RuntimeError(
    | RuntimeError: Unsupported protocol version from the server: 2025-03-26
    +------------------------------------
"""


def _file(command: str, *args: str, **more: Any) -> str:
    return json.dumps({"mcpServers": {"aws": {"command": command, "args": args, **more}}}, indent=2)


def _linted(command: str, *args: str, at: str = KIRO, aws: str = "", **more: Any) -> Callable[[Bench], Shown]:
    """Lints one entry of a client file."""

    def reproduce(bench: Bench) -> Shown:
        own = at.startswith("~/")
        bench.patch.setenv("XDG_CONFIG_HOME", str(bench.home / ".config"))
        if aws:
            bench.write({"~/.aws/config": aws})
        named = (str(bench.home / at[2:]),) if own else ()
        return bench.lint({at: _file(command, *args, **more)}, *named)

    return reproduce


def _project(**files: str) -> Callable[[Bench], Shown]:
    """Lints the files of a project; names are written with __ for a dot."""
    named: Mapping[str, str] = {name.replace("__", "."): text for name, text in files.items()}
    return lambda bench: bench.lint(named)


def _told(text: str) -> Callable[[Bench], Shown]:
    return lambda bench: bench.explain(text)


def _no_uvx(bench: Bench) -> Shown:
    environ = {**bench.lab.env, "PATH": "/nonexistent"}
    return bench.check("--from", KIRO, "--run-commands", files={KIRO: _proxy()}, environ=environ)


def _elsewhere(bench: Bench) -> Shown:
    """A desktop client of macOS, whose PATH lacks the directory that uv is in."""
    tools = bench.home / ".local" / "bin"
    bench.write({"~/.local/bin/uvx": "#!/bin/sh\nexit 1\n", DESKTOP_OF_MACOS: _proxy()})
    (tools / "uvx").chmod(0o755)
    bench.patch.setattr(from_files, "Machine", partial(from_files.Machine, platform="darwin"))
    path = str(bench.home / DESKTOP_OF_MACOS[2:])
    environ = {**bench.lab.env, "PATH": f"{tools}:/usr/bin:/bin"}
    return bench.check("--from", path, "--run-commands", environ=environ)


def _impatient(bench: Bench) -> Shown:
    args = ["-m", "mcp_proxy_for_aws.server", f"{bench.lab.http}/aws-mcp/us-east-1/mcp"]
    args += ["--service", "aws-mcp", "--region", "us-east-1"]
    text = _file(sys.executable, *args, timeout=100, env=bench.lab.env)
    return bench.check("--from", KIRO, "--run-commands", files={KIRO: text})


def _green(bench: Bench) -> Shown:
    entry = _file("uvx", "mcp-proxy-for-aws@latest", URL, "--service", "iam")
    return bench.check("--from", ".kiro/agents/dev.json", files={".kiro/agents/dev.json": entry})


def _proxy() -> str:
    return _file("uvx", "mcp-proxy-for-aws@latest", URL)


PROFILES = "[profile a]\nregion = sa-east-1\nsso_session = corp\n[profile b]\nregion = us-east-1\n"
PROCESS = "[profile corp]\nregion = us-east-1\ncredential_process = get-keys\n"

CASES = (
    Case(
        rows=("8",),
        reported=("aws/mcp-proxy-for-aws#299",),
        symptom="-30001 after one tool call, with mcp-proxy-for-aws 1.5.0 or 1.6.0",
        command="mcpdoctor lint",
        check="config-version-defect",
        says="loses its session after one call",
        reproduce=_linted("uvx", "mcp-proxy-for-aws@1.6.0", URL),
    ),
    Case(
        rows=("10",),
        reported=("aws/mcp-proxy-for-aws#320",),
        symptom="the default profile recovers, others do not: Tool call failed using profile 'dev'.",
        command="mcpdoctor lint",
        check="config-version-defect",
        says="keeps expired credentials for every profile but the first",
        reproduce=_linted("uvx", "mcp-proxy-for-aws@1.6.3", URL, "--profile", "a", "b", aws=PROFILES),
    ),
    Case(
        rows=("16",),
        reported=("aws/mcp-proxy-for-aws#293",),
        symptom="hangs at start on Windows, where the profile has credential_process",
        command="mcpdoctor lint",
        check="config-version-defect",
        says="hangs at its start on Windows",
        reproduce=_linted("uvx.exe", "mcp-proxy-for-aws@1.5.0", URL, "--profile", "corp", aws=PROCESS),
    ),
    Case(
        rows=("22",),
        reported=("https://github.com/aws/mcp-proxy-for-aws/pull/301",),
        symptom="Too much data for declared Content-Length, with metadata= of aws_iam_streamablehttp_client",
        command="mcpdoctor lint agent.py",
        check="config-metadata-after-signing",
        reproduce=_project(agent__py=SIGNING.replace("MORE", ', metadata={"AWS_REGION": "us-west-2"}')),
    ),
    Case(
        rows=("22",),
        reported=("https://github.com/aws/mcp-proxy-for-aws/pull/301",),
        symptom="h11._util.LocalProtocolError: Too much data for declared Content-Length",
        command="mcpdoctor explain agent.log",
        check="client-metadata-after-signing",
        says="Leave metadata= out in library mode",
        reproduce=_told("h11._util.LocalProtocolError: Too much data for declared Content-Length\n"),
    ),
    Case(
        rows=("26",),
        reported=("aws/mcp-proxy-for-aws#358",),
        symptom="the following arguments are required: endpoint; the client shows -32000",
        command="mcpdoctor lint",
        check="config-endpoint-swallowed",
        says="Put the URL first",
        reproduce=_linted("uvx", "mcp-proxy-for-aws@1.7.0", "--metadata", "AWS_REGION=us-west-2", URL),
    ),
    Case(
        rows=("26",),
        reported=("aws/mcp-proxy-for-aws#358",),
        symptom="the following arguments are required: endpoint, with --profile before the URL",
        command="mcpdoctor explain mcp.log",
        check="version-known-defect",
        says="mcp-proxy-for-aws 1.6.1 takes a URL behind --profile NAME for one more profile",
        reproduce=_told(
            f"$ uvx mcp-proxy-for-aws@1.6.1 --profile dev {URL}\nusage: mcp-proxy-for-aws [-h] endpoint\n"
            "mcp-proxy-for-aws: error: the following arguments are required: endpoint\n"
        ),
    ),
    Case(
        rows=("37",),
        reported=("aws/agent-toolkit-for-aws#183",),
        symptom="the server is silently absent, since uvx is not installed",
        command="mcpdoctor check --from .kiro/settings/mcp.json --run-commands",
        check="startup-command-not-found",
        says="Kiro is to start uvx, and on the PATH that it gives to programs there is none",
        reproduce=_no_uvx,
    ),
    Case(
        rows=("38",),
        reported=("cline/cline#1160",),
        symptom="spawn uvx ENOENT in a desktop app, while uvx runs in the shell",
        command="mcpdoctor check --from claude_desktop_config.json --run-commands",
        check="startup-command-not-found",
        says="/.local/bin/uvx",
        reproduce=_elsewhere,
    ),
    Case(
        rows=("39",),
        reported=("awslabs/mcp#273", "awslabs/mcp#482", "awslabs/mcp#927", "awslabs/mcp#939", "kirodotdev/Kiro#241"),
        symptom="Failed to spawn: program not found, -32000 on Windows",
        command="mcpdoctor explain mcp.log",
        check="client-command-missing",
        says="mcp-proxy-for-aws.exe",
        reproduce=_told(ON_WINDOWS),
    ),
    Case(
        rows=("40",),
        reported=("awslabs/mcp#1304",),
        symptom="-32002 connection closed: initialize response, at once",
        command="mcpdoctor lint",
        check="config-wrong-registry",
        says="npm",
        reproduce=_linted("uvx", "mcp-remote", "https://knowledge-mcp.global.api.aws"),
    ),
    Case(
        rows=("44",),
        reported=("https://github.com/aws/mcp-proxy-for-aws#readme",),
        symptom="Cline shows errors for a server that works",
        command="mcpdoctor lint",
        check="config-noisy-log",
        says="Leave --log-level out",
        reproduce=_linted("uvx", "mcp-proxy-for-aws@latest", URL, "--log-level", "INFO", at=CLINE),
    ),
    Case(
        rows=("45",),
        reported=("https://github.com/aws/mcp-proxy-for-aws#readme",),
        symptom="the first start times out",
        command="mcpdoctor check --from .kiro/settings/mcp.json --run-commands",
        check="startup-slower-than-client",
        says="the timeout of the entry lets Kiro wait 0.1 s",
        reproduce=_impatient,
    ),
    Case(
        rows=("46",),
        reported=("https://github.com/aws/mcp-proxy-for-aws/pull/95",),
        symptom="-32000: Connection closed, whatever is wrong, with mcp-proxy-for-aws 1.1.1",
        command="mcpdoctor lint",
        check="config-version-defect",
        says="says Connection closed (-32000) whatever went wrong",
        reproduce=_linted("uvx", "mcp-proxy-for-aws@1.1.1", URL),
    ),
    Case(
        rows=("47",),
        reported=(
            "https://github.com/aws/mcp-proxy-for-aws/blob/main/mcp_proxy_for_aws/middleware/initialize_middleware.py",
        ),
        symptom="Kiro CLI shows the server as connected, and the first list of tools fails",
        command="mcpdoctor check --from .kiro/agents/dev.json",
        check="startup-connected-early",
        says="a green light does not mean that the endpoint is reachable",
        reproduce=_green,
    ),
    Case(
        rows=("60",),
        reported=("aws/mcp-proxy-for-aws#405",),
        symptom="the agent hangs on 401, 403 and 429",
        command="mcpdoctor lint .",
        check="config-version-defect",
        says="waits for ever, where it is used as a library",
        reproduce=_project(agent__py=STRANDS, requirements__txt="strands-agents\nmcp-proxy-for-aws==1.6.4\n"),
    ),
    Case(
        rows=("60a",),
        reported=("strands-agents/harness-sdk#995",),
        symptom="the agent never returns, with Strands 1.10 and a server that answers HTTP 500",
        command="mcpdoctor lint .",
        check="config-version-defect",
        says="strands-agents 1.10.0: waits for ever when the server refuses a call of a tool",
        reproduce=_project(agent__py=STRANDS, requirements__txt="strands-agents==1.10.0\nmcp-proxy-for-aws\n"),
    ),
    Case(
        rows=("60d",),
        reported=("awslabs/agentcore-samples#175", "awslabs/agentcore-samples#176"),
        symptom="AttributeError: 'int' object has no attribute 'seconds'",
        command="mcpdoctor explain agent.log",
        check="client-timeout-type",
        says="timedelta",
        reproduce=_told("mcp==1.9.2\nAttributeError: 'int' object has no attribute 'seconds'\n"),
    ),
    Case(
        rows=("60d",),
        reported=("awslabs/agentcore-samples#175", "awslabs/agentcore-samples#176"),
        symptom="a number as timeout, with mcp 1.9.2",
        command="mcpdoctor lint agent.py",
        check="config-version-defect",
        says="wants a timedelta as timeout",
        reproduce=_project(agent__py=NUMBER),
    ),
    Case(
        rows=("60e",),
        reported=("awslabs/agentcore-samples#153", "awslabs/agentcore-samples#157"),
        symptom="Unsupported protocol version from the server: 2025-03-26",
        command="mcpdoctor explain agent.log",
        check="version-known-defect",
        says="mcp 1.7.1 knows revision 2024-11-05 of MCP alone",
        reproduce=_told(OLD_SDK),
    ),
)
