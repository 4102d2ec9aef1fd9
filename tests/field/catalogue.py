"""Reported problems with endpoints, service names, regions, paths and tools."""

from __future__ import annotations

import json

import httpx

from field.bench import Bench, Case, Shown

KIRO = ".kiro/settings/mcp.json"
AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
KNOWLEDGE = "https://knowledge-mcp.global.api.aws"
GATEWAY = "https://orders-a1b2c3d4e5.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp"
RUNTIME = (
    "https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/"
    "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/hosted-abc123/invocations?qualifier=DEFAULT"
)
SCRIPT = "aws sts get-caller-identity --profile other"


def started(*words: str, **more: object) -> dict[str, object]:
    """An entry that starts something with uvx."""
    return {"command": "uvx", "args": list(words), **more}


def lint(bench: Bench, files: dict[str, str] | None = None, **servers: object) -> Shown:
    """`mcpdoctor lint` of a file of Kiro with these servers."""
    return bench.lint({KIRO: json.dumps({"mcpServers": servers}, indent=2), **(files or {})})


def _profile_in_the_call(bench: Bench) -> Shown:
    return bench.check("aws-mcp", "--tool", "aws___run_script", "--arguments", json.dumps({"code": SCRIPT}))


def _region_of_the_url(bench: Bench) -> Shown:
    entry = started("mcp-proxy-for-aws@1.6.3", "https://aws-mcp.eu-central-1.api.aws/mcp", "--profile", "work")
    return lint(bench, {"~/.aws/config": "[profile work]\nregion = sa-east-1\n"}, aws=entry)


def _head_of_knowledge(bench: Bench) -> Shown:
    """What curl prints, made of what the lab answers."""
    answer = httpx.head(f"{bench.lab.http}/knowledge/mcp")
    fields = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return bench.explain(f"$ curl -I {KNOWLEDGE}\nHTTP/2 {answer.status_code} \n{fields}\n")


CASES = (
    Case(
        rows=("13",),
        reported=("awslabs/mcp#2217", "aws/agent-toolkit-for-aws#39", "aws/mcp-proxy-for-aws#119"),
        symptom="aws … --profile other inside a tool call answers for the first account",
        command=f"""mcpdoctor check aws-mcp --tool aws___run_script --arguments '{{"code": "{SCRIPT}"}}'""",
        check="call-profile-ignored",
        says="only the identity that signs counts",
        reproduce=_profile_in_the_call,
    ),
    Case(
        rows=("14",),
        reported=("aws/mcp-proxy-for-aws#346",),
        symptom="operations go to eu-central-1, although the profile says sa-east-1",
        command="mcpdoctor lint .kiro/settings/mcp.json",
        check="config-operation-region",
        says="mcp-proxy-for-aws 1.6.3 tells the server to work in eu-central-1",
        reproduce=_region_of_the_url,
    ),
    Case(
        rows=("18",),
        reported=("aws/mcp-proxy-for-aws#282",),
        symptom="tools are listed, and calling one gives 401",
        command="mcpdoctor check aws-mcp --service iam",
        check="auth-wrong-service",
        says="The service is the signing name of the MCP endpoint, not the AWS service you want to use.",
        reproduce=lambda bench: bench.check("aws-mcp", "--service", "iam"),
    ),
    Case(
        rows=("19",),
        reported=("aws/mcp-proxy-for-aws#78",),
        symptom="the client connects to an AgentCore gateway, and there are no tools",
        command="mcpdoctor lint .kiro/settings/mcp.json",
        check="config-wrong-service",
        says="accepts only bedrock-agentcore",
        reproduce=lambda bench: lint(bench, gateway=started("mcp-proxy-for-aws@1.0.1", GATEWAY)),
    ),
    Case(
        rows=("20",),
        reported=("aws/mcp-proxy-for-aws#7",),
        symptom="404 or 403 at the URL of an AgentCore runtime",
        command=f"mcpdoctor check '{RUNTIME}'",
        check="http-not-found",
        says="The ARN in the path must be percent-encoded exactly once",
        reproduce=lambda bench: bench.check(RUNTIME),
    ),
    Case(
        rows=("25",),
        reported=("https://github.com/aws/agent-toolkit-for-aws/tree/main/plugins/aws-agents-for-devsecops",),
        symptom="no output, or an error about a region or about authentication",
        command="mcpdoctor lint .kiro/settings/mcp.json",
        check="config-wrong-service",
        says="(it has 5 labels, and the proxy knows 4)",
        reproduce=lambda bench: lint(
            bench, devops=started("mcp-proxy-for-aws@latest", "https://connect.aidevops.us-east-1.api.aws/mcp")
        ),
    ),
    Case(
        rows=("28",),
        reported=("https://docs.aws.amazon.com/general/latest/gr/aws-mcp.html",),
        symptom="the name of the host does not resolve",
        command="mcpdoctor check https://aws-mcp.us-east-2.api.aws/mcp",
        check="dns-unknown-region",
        says="has no endpoint in us-east-2",
        reproduce=lambda bench: bench.check("https://aws-mcp.us-east-2.api.aws/mcp"),
    ),
    Case(
        rows=("41",),
        reported=("awslabs/mcp#1604", "punkpeye/mcp-remote#177"),
        symptom="curl -I gives 404, so the endpoint looks down",
        command="mcpdoctor explain output-of-curl.txt",
        check="client-head-request",
        says="servers that are well answer HEAD with 404",
        reproduce=_head_of_knowledge,
    ),
    Case(
        rows=("51",),
        reported=("https://docs.aws.amazon.com/agent-toolkit/latest/userguide/understanding-mcp-server-tools.html",),
        symptom="with --read-only there is no access to AWS at all",
        command="mcpdoctor lint .kiro/settings/mcp.json",
        check="config-read-only",
        says="only documentation tools are left",
        reproduce=lambda bench: lint(bench, aws=started("mcp-proxy-for-aws@latest", AWS_MCP, "--read-only")),
    ),
    Case(
        rows=("52",),
        reported=("https://docs.aws.amazon.com/agent-toolkit/latest/userguide/understanding-mcp-server-tools.html",),
        symptom="Unknown tool: aws___call_aws",
        command="mcpdoctor lint .kiro/settings/mcp.json",
        check="config-removed-tool",
        says="Use aws___run_script in its place",
        reproduce=lambda bench: lint(
            bench, aws=started("mcp-proxy-for-aws@latest", AWS_MCP, autoApprove=["aws___call_aws"])
        ),
    ),
    Case(
        rows=("53",),
        reported=("https://docs.aws.amazon.com/agent-toolkit/latest/userguide/",),
        symptom="the agent is confused: every tool is there twice",
        command="mcpdoctor lint .kiro/settings/mcp.json",
        check="config-overlapping-servers",
        says="agents see tools twice and choose either",
        reproduce=lambda bench: lint(
            bench,
            aws=started("mcp-proxy-for-aws@latest", AWS_MCP),
            api=started("awslabs.aws-api-mcp-server@latest"),
            knowledge={"url": KNOWLEDGE},
        ),
    ),
)
