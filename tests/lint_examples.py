"""For each check about files: a fault that it fires on, and the healthy twin on which nothing fires.

`EXAMPLES` maps the slug of a check to its example; `«` in a fault marks where it must be found, and is taken out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

KIRO, CURSOR, CLAUDE, VSCODE = ".kiro/settings/mcp.json", ".cursor/mcp.json", ".mcp.json", ".vscode/mcp.json"
GEMINI, CODEX, ROO, CONTINUE = ".gemini/settings.json", ".codex/config.toml", ".roo/mcp.json", ".continue/config.yaml"
DESKTOP = "Claude/claude_desktop_config.json"
URL = "https://aws-mcp.us-east-1.api.aws/mcp"
PROXY = "mcp-proxy-for-aws@latest"
IMAGE = "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:latest"
RUNTIME = "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes"
CALL = "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as iam\n"
PLAIN = "from mcp.client.streamable_http import streamablehttp_client as plain\n"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A file with a fault, and one without.

    Attributes:
        file: its path in a project.
        aws: the AWS configuration of the user.
    """

    file: str
    fault: str
    healthy: str
    aws: str = ""


def entry(*args: str, command: str = "uvx", name: str = "aws", **more: Any) -> str:
    """A file with one server that is started."""
    return json.dumps({"mcpServers": {name: {"command": command, "args": args, **more}}}, ensure_ascii=False)


def at(url: str, **more: Any) -> str:
    """A file with one server that is reached by URL."""
    return json.dumps({"mcpServers": {"aws": {"url": url, **more}}}, ensure_ascii=False)


def proxy(*args: str, **more: Any) -> str:
    """A file with one server that the proxy reaches."""
    return entry(PROXY, *args, **more)


def several(**servers: Any) -> str:
    """A file with several servers."""
    return json.dumps({"mcpServers": servers}, ensure_ascii=False)


def started(*args: str, **more: Any) -> dict[str, Any]:
    """One of several servers, which the proxy reaches."""
    return {"command": "uvx", "args": [PROXY, URL, *args], **more}


def statement(*actions: str) -> str:
    """A policy."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]},
        ensure_ascii=False,
    )


STRANDS = """\
from mcp.client.streamable_http import streamablehttp_client
from strands import Agent
from strands.tools.mcp import MCPClient

client = MCPClient(lambda: streamablehttp_client("https://knowledge-mcp.global.api.aws"))
"""

ROLE = "[profile dev]\nregion = us-east-1\nrole_arn = arn:aws:iam::111122223333:role/dev\nsource_profile = base\n"

EXAMPLES = {
    "config-insecure-url": Example(file=KIRO, fault=proxy("«http://aws-mcp.us-east-1.api.aws/mcp"), healthy=proxy(URL)),
    "config-url-invalid": Example(
        file=KIRO, fault=proxy("«aws-mcp.us-east-1.api.aws/mcp"), healthy=proxy("http://localhost:8000/mcp")
    ),
    "config-unknown-host": Example(
        file=KIRO,
        fault=at("«https://knowledge-mcp.us-east-1.api.aws"),
        healthy=at("https://knowledge-mcp.global.api.aws"),
    ),
    "config-not-mcp": Example(
        file=KIRO,
        fault=proxy("«https://api-mcp.global.api.aws/suggest-aws-commands"),
        healthy=proxy(URL),
    ),
    "config-operation-region": Example(
        file=KIRO,
        fault=entry("«mcp-proxy-for-aws@1.6.3", "https://aws-mcp.eu-central-1.api.aws/mcp", "--profile", "dev"),
        healthy=entry(
            "mcp-proxy-for-aws@1.6.3",
            "https://aws-mcp.eu-central-1.api.aws/mcp",
            "--profile",
            "dev",
            "--metadata",
            "AWS_REGION=sa-east-1",
        ),
        aws="[profile dev]\nregion = sa-east-1\n",
    ),
    "config-unknown-region": Example(
        file=KIRO,
        fault=proxy("«https://aws-mcp.us-east-2.api.aws/mcp"),
        healthy=proxy(URL, "--metadata", "AWS_REGION=us-east-2"),
    ),
    "config-path-missing": Example(file=KIRO, fault=proxy("«https://aws-mcp.us-east-1.api.aws"), healthy=proxy(URL)),
    "config-path-added": Example(
        file=KIRO,
        fault=at("«https://knowledge-mcp.global.api.aws/mcp"),
        healthy=at("https://knowledge-mcp.global.api.aws/"),
    ),
    "config-path-not-encoded": Example(
        file="agent.py",
        fault=f'{CALL}iam(«"{RUNTIME}/arn:aws:bedrock-agentcore:us-west-2:111122223333:runtime/a/invocations?qualifier=DEFAULT",'
        ' aws_service="bedrock-agentcore", aws_region="us-west-2")\n',
        healthy=f'{CALL}iam("{RUNTIME}/arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A111122223333%3Aruntime%2Fa/invocations'
        '?qualifier=DEFAULT", aws_service="bedrock-agentcore", aws_region="us-west-2")\n',
    ),
    "config-old-transport": Example(
        file=GEMINI,
        fault=at("«https://knowledge-mcp.global.api.aws"),
        healthy=several(aws={"httpUrl": "https://knowledge-mcp.global.api.aws"}),
    ),
    "config-wrong-service": Example(
        file=KIRO,
        fault=proxy("https://eks-mcp.us-west-2.api.aws/mcp", "--service", "«eks"),
        healthy=proxy("https://eks-mcp.us-west-2.api.aws/mcp", "--service", "eks-mcp", "--region", "us-west-2"),
    ),
    "config-needless-service": Example(
        file=KIRO, fault=proxy(URL, "--service", "«aws-mcp"), healthy=proxy(URL, "--retries", "1")
    ),
    "config-wrong-region": Example(
        file=KIRO, fault=proxy(URL, "--region", "«eu-west-1"), healthy=proxy(URL, "--region", "us-east-1")
    ),
    "config-not-signed": Example(
        file=KIRO,
        fault=at("«https://eks-mcp.us-west-2.api.aws/mcp"),
        healthy=at("https://mine.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp"),
    ),
    "config-anonymous": Example(file=CURSOR, fault=at(f"«{URL}"), healthy=at(f"{URL}?oauth=initialize")),
    "config-needless-signature": Example(
        file=KIRO,
        fault=proxy("«https://knowledge-mcp.global.api.aws"),
        healthy=at("https://knowledge-mcp.global.api.aws"),
    ),
    "config-wants-signature": Example(
        file=KIRO,
        fault=at("«https://ecs-mcp.us-west-2.api.aws/mcp", headers={"Authorization": "Bearer ${TOKEN}"}),
        healthy=at(URL, headers={"Authorization": "Bearer ${TOKEN}"}),
    ),
    "config-profile-not-found": Example(
        file=KIRO,
        fault=proxy(URL, "--profile", "«prod"),
        healthy=proxy(URL, "--profile", "dev"),
        aws="[profile dev]\nregion = us-east-1\n",
    ),
    "config-no-default-profile": Example(
        file=KIRO,
        fault=proxy(URL, name="«aws"),
        healthy=proxy(URL, env={"AWS_PROFILE": "dev"}),
        aws="[profile dev]\nregion = us-east-1\n",
    ),
    "config-profile-without-region": Example(
        file=KIRO,
        fault=proxy(URL, "--profile", "«dev"),
        healthy=proxy(URL, "--profile", "dev", env={"AWS_REGION": "us-east-1"}),
        aws="[profile dev]\nlogin_session = arn:aws:iam::111122223333:user/dev\n",
    ),
    "config-no-region": Example(
        file="agent.py",
        fault=f'import boto3\n{CALL}«iam("{URL}", aws_service="aws-mcp",'
        " credentials=boto3.Session().get_credentials())\n",
        healthy=f'import boto3\n{CALL}iam("{URL}", aws_service="aws-mcp", aws_region="us-east-1",'
        " credentials=boto3.Session().get_credentials())\n",
    ),
    "config-session-name": Example(
        file=KIRO,
        fault=entry("mcp-proxy-for-aws-cli@1.6.5", URL, "--profile", "dev")
        .replace("-cli@1.6.5", "@latest")
        .replace('"dev"', '«"dev"'),
        healthy=entry("mcp-proxy-for-aws-cli@1.6.5", URL, "--profile", "dev"),
        aws=ROLE,
    ),
    "config-profile-in-metadata": Example(
        file=KIRO,
        fault=proxy(URL, "--metadata", "«AWS_PROFILE=dev"),
        healthy=proxy(URL, "--metadata", "AWS_REGION=us-west-2"),
    ),
    "config-secret": Example(
        file=KIRO,
        fault=proxy(URL, env={"AWS_SECRET_ACCESS_KEY": "«q8dXzL0aVb3nM5kP7sT9wY2cF4hJ6gR1eU8iO0pA"}),
        healthy=proxy(URL, env={"AWS_SECRET_ACCESS_KEY": "${AWS_SECRET_ACCESS_KEY}"}),
    ),
    "config-inert-action": Example(
        file="policy.json",
        fault=statement("s3:GetObject", "«aws-mcp:InvokeMcp"),
        healthy=statement("s3:GetObject", "eks-mcp:InvokeMcp"),
    ),
    "config-version-defect": Example(
        file=KIRO, fault=entry("«mcp-proxy-for-aws@1.3.1", URL), healthy=entry("mcp-proxy-for-aws@1.6.4", URL)
    ),
    "config-noisy-log": Example(
        file="Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        fault=proxy(URL, "--log-level", "«INFO"),
        healthy=proxy(URL, "--log-level", "ERROR"),
    ),
    "config-unknown-option": Example(
        file=KIRO, fault=proxy(URL, "«--sse-url"), healthy=proxy(URL, "--tool-timeout", "60")
    ),
    "config-option-value": Example(
        file=KIRO, fault=proxy(URL, "--retries", "«many"), healthy=proxy(URL, "--retries", "2")
    ),
    "config-surplus-argument": Example(
        file=KIRO, fault=proxy(URL, "«us-east-1"), healthy=proxy(URL, "--region", "us-east-1")
    ),
    "config-endpoint-swallowed": Example(
        file=KIRO,
        fault=proxy("--metadata", "AWS_REGION=us-west-2", f"«{URL}"),
        healthy=proxy(URL, "--metadata", "AWS_REGION=us-west-2"),
    ),
    "config-endpoint-missing": Example(
        file=KIRO, fault=proxy("--read-only").replace('"--', '«"--'), healthy=proxy(URL)
    ),
    "config-read-only": Example(
        file=KIRO,
        fault=proxy(URL, "«--read-only"),
        healthy=proxy("https://eks-mcp.us-west-2.api.aws/mcp", "--read-only"),
    ),
    "config-wrong-registry": Example(
        file=KIRO,
        fault=entry("«mcp-remote", "https://knowledge-mcp.global.api.aws"),
        healthy=entry("mcp-remote", "https://knowledge-mcp.global.api.aws", command="npx"),
    ),
    "config-input-closed": Example(
        file=KIRO,
        fault=entry("run", "--rm", "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:latest", URL, command="«docker"),
        healthy=entry(
            "run", "-i", "--rm", "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:latest", URL, command="docker"
        ),
    ),
    "config-variable-not-in-container": Example(
        file=KIRO,
        fault=entry("run", "-i", "--rm", IMAGE, URL, command="docker", env={"AWS_PROFILE": "dev"}).replace(
            '"AWS_PROFILE": "dev"', '"AWS_PROFILE": «"dev"'
        ),
        healthy=entry(
            "run", "-i", "--rm", "-e", "AWS_PROFILE", IMAGE, URL, command="docker", env={"AWS_PROFILE": "dev"}
        ),
    ),
    "config-words-joined": Example(
        file=KIRO, fault=proxy(URL, "«--profile dev"), healthy=proxy(URL, "--profile", "dev")
    ),
    "config-command-missing": Example(
        file=KIRO,
        fault=several(aws={"args": [PROXY, URL]}).replace('"args"', '«"args"'),
        healthy=proxy(URL),
    ),
    "config-wrong-key": Example(
        file=CLAUDE,
        fault=several(aws={"type": "http", "httpUrl": URL}).replace('"httpUrl"', '«"httpUrl"'),
        healthy=several(aws={"type": "http", "url": URL}),
    ),
    "config-wrong-top-level-key": Example(
        file=VSCODE,
        fault=proxy(URL).replace('"mcpServers"', '«"mcpServers"'),
        healthy=proxy(URL).replace("mcpServers", "servers"),
    ),
    "config-no-top-level-key": Example(
        file=KIRO,
        fault="«" + json.dumps({"aws": {"command": "uvx", "args": [PROXY, URL]}}),
        healthy=proxy(URL),
    ),
    "config-wrong-type": Example(
        file=KIRO,
        fault=several(aws={"command": "uvx", "args": f"{PROXY} {URL}"}).replace(f'"{PROXY}', f'«"{PROXY}'),
        healthy=proxy(URL),
    ),
    "config-transport-type": Example(
        file=CLAUDE,
        fault=several(aws={"type": "https", "url": URL}).replace('"https"', '«"https"'),
        healthy=several(aws={"type": "http", "url": URL}),
    ),
    "config-command-and-url": Example(
        file=KIRO,
        fault=several(aws={"command": "uvx", "args": [PROXY, URL], "url": f"«{URL}"}),
        healthy=proxy(URL),
    ),
    "config-no-remote-servers": Example(file=DESKTOP, fault=at(f"«{URL}?oauth=initialize"), healthy=proxy(URL)),
    "config-variable-not-replaced": Example(
        file=CLAUDE,
        fault=proxy(URL, "--profile", "«${env:NAME}"),
        healthy=proxy(URL, "--profile", "${NAME}"),
    ),
    "config-timeout-unit": Example(
        file=KIRO,
        fault=proxy(URL, timeout=60).replace(" 60", " «60"),
        healthy=proxy(URL, timeout=100000),
    ),
    "config-duplicate-key": Example(
        file=KIRO,
        fault=proxy(URL)
        .replace('"args"', '"command": "uvx", "args"')
        .replace('"command": "uvx", "a', '«"command": "uvx", "a'),
        healthy=proxy(URL),
    ),
    "config-strict-json": Example(file=CLAUDE, fault=proxy(URL)[:-1] + "«// comment\n}", healthy=proxy(URL)),
    "config-second-document": Example(
        file=CONTINUE,
        fault=f"mcpServers:\n  - name: aws\n    command: uvx\n    args: [{PROXY}, '{URL}']\n«---\nrest: 1\n",
        healthy=f"mcpServers:\n  - name: aws\n    command: uvx\n    args: [{PROXY}, '{URL}']\n",
    ),
    "config-unreadable": Example(file=KIRO, fault=proxy(URL)[:-1] + "«", healthy=proxy(URL)),
    "config-removed-tool": Example(
        file=KIRO,
        fault=proxy(URL, autoApprove=["«aws___call_aws"]),
        healthy=proxy(URL, autoApprove=["aws___search_documentation"]),
    ),
    "config-duplicate-server": Example(
        file=KIRO,
        fault=several(a=started(), b=started()).replace('"b"', '«"b"'),
        healthy=several(a=started(), b=started("--profile", "dev")),
    ),
    "config-overlapping-servers": Example(
        file=KIRO,
        fault=several(a=started(), b={"command": "uvx", "args": ["awslabs.aws-api-mcp-server@latest"]}).replace(
            '"b"', '«"b"'
        ),
        healthy=several(a=started(), b={"command": "uvx", "args": ["awslabs.cost-explorer-mcp-server@latest"]}),
    ),
    "config-many-proxies": Example(
        file=KIRO,
        fault=several(**{one: started("--profile", one) for one in "abc"}).replace('"c": {', '«"c": {'),
        healthy=several(abc=started("--profile", "a", "b", "c")),
    ),
    "config-metadata-after-signing": Example(
        file="agent.py",
        fault=f'{CALL}iam("{URL}", aws_service="aws-mcp", aws_region="us-east-1",'
        ' metadata=«{"AWS_REGION": "us-west-2"})\n',
        healthy=f'{CALL}iam("{URL}", aws_service="aws-mcp", aws_region="us-east-1")\n',
    ),
    "config-session-not-open": Example(
        file="agent.py",
        fault=f"{STRANDS}«client.list_tools_sync()\n",
        healthy=f"{STRANDS}with client:\n    client.list_tools_sync()\n",
    ),
    "config-session-ended": Example(
        file="agent.py",
        fault=f'{STRANDS}with client:\n    agent = Agent(tools=client.list_tools_sync())\n«agent("hello")\n',
        healthy=f'{STRANDS}with client:\n    agent = Agent(tools=client.list_tools_sync())\n    agent("hello")\n',
    ),
}
