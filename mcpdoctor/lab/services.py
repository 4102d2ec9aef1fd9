"""Which servers the lab stands in for: names, paths, signing names, tools. Data, and how each greets strangers.

The facts come from AWS's documentation (endpoints, signing names, tools) and from captures by users (status codes and
bodies for callers without credentials); `docs/lab.md` says which.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mcpdoctor.lab.accounts import ACCOUNT

AWS_MCP_REGIONS = (
    "us-east-1",
    "us-west-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
)

REGIONS = ("us-east-1", "us-west-2", "eu-central-1")
"""Where the lab has the servers of which no list of regions is published: some of them is enough."""

AGENT_ACCESS_REGIONS = (
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
)
STREAMING_URL = "x-amzn-agentaccess-streaming-session-url"

Family = Literal["aws-mcp", "knowledge", "agentcore", "regional", "lambda", "api-gateway", "bearer", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One MCP tool and its small answer.

    Attributes:
        name: The name on the wire.
        description: What it says it does.
        answer: Makes the text of the answer from the arguments.
        parameters: Names of string parameters; the first is required.
        refuses: Makes the text of a failed answer from the arguments; None where nothing fails.
    """

    name: str
    description: str
    answer: Callable[[dict[str, Any]], str]
    parameters: tuple[str, ...] = ()
    refuses: Callable[[dict[str, Any]], str | None] = lambda given: None  # noqa: ARG005 - most refuse nothing

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        return {
            "type": "object",
            "properties": {name: {"type": "string"} for name in self.parameters},
            "required": list(self.parameters[:1]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One server and where it is found.

    Attributes:
        name: Its key in `Lab.endpoints`.
        host: The real name it answers to over TLS.
        paths: The paths of MCP under that name.
        prefix: Where it is found by path, on plain HTTP and on `lab.test`; MCP is at `<prefix>/mcp`.
        url: What a user would configure.
        tools: What it serves.
        family: How it treats callers it does not know, and methods other than POST.
        signing: The SigV4 service name; None when it takes no signature.
        region: The region signatures must be scoped to.
        public: Names of the tools that need no signature.
        action: The IAM action that opening a session asks for.
        headers: Headers, in lower case, without which it refuses.
        limits: The limits on each caller with a signature, unless the options say otherwise.
        anonymous_limits: The same for callers without one; where no signature is taken, for everybody.
        event_stream: Whether it answers with server-sent events (as newer servers do) or with plain JSON.
    """

    name: str
    host: str
    prefix: str
    url: str
    tools: tuple[Tool, ...]
    family: Family
    paths: tuple[str, ...] = ("/mcp",)
    signing: str | None = None
    region: str | None = None
    public: frozenset[str] = frozenset()
    action: str = ""
    headers: tuple[str, ...] = ()
    limits: tuple[str, ...] = ("none",)
    anonymous_limits: tuple[str, ...] = ("none",)
    event_stream: bool = False

    @property
    def refusal_status(self) -> int:
        """401 on `*.api.aws`, 403 on `*.amazonaws.com`: both kinds of hosts were seen to differ in this."""
        return 403 if self.host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".on.aws")) else 401


DENIED_BY_SCP = (
    "An error occurred (AccessDenied) when calling the DeleteBucket operation: User: "
    f"arn:aws:iam::{ACCOUNT}:user/lab is not authorized to perform: s3:DeleteBucket on resource: "
    '"arn:aws:s3:::lab-bucket" with an explicit deny in a service control policy'
)


def _text(**fields: object) -> str:
    return json.dumps(fields)


_DOCUMENTATION = (
    Tool(
        name="aws___search_documentation",
        description="Search all AWS documentation.",
        parameters=("search_phrase", "limit"),
        answer=lambda given: _text(
            search_results=[
                {
                    "rank_order": 1,
                    "url": "https://docs.aws.amazon.com/lab/latest/userguide/welcome.html",
                    "title": f"The lab's only page, about {given.get('search_phrase', 'nothing')}",
                    "context": "This is the lab of mcpdoctor, not AWS.",
                }
            ]
        ),
    ),
    Tool(
        name="aws___read_documentation",
        description="Fetch an AWS documentation page as markdown.",
        parameters=("url", "max_length", "start_index"),
        answer=lambda given: f"# A page of the lab\n\n{given.get('url', '')}\n\nThis is the lab of mcpdoctor, not AWS.",
    ),
    Tool(
        name="aws___list_regions",
        description="List the AWS Regions.",
        answer=lambda given: _text(regions=[{"region_id": region} for region in AWS_MCP_REGIONS]),  # noqa: ARG005 - takes no arguments
    ),
    Tool(
        name="aws___get_regional_availability",
        description="Tell whether a product is available in a Region.",
        parameters=("region", "resource_type"),
        answer=lambda given: _text(region=given.get("region"), available=given.get("region") in AWS_MCP_REGIONS),
    ),
    Tool(
        name="aws___retrieve_skill",
        description="Retrieve a skill by its name.",
        parameters=("skill_name",),
        answer=lambda given: _text(skill=given.get("skill_name"), content="This is the lab of mcpdoctor, not AWS."),
    ),
)

_ACCOUNT_TOOLS = (
    Tool(
        name="aws___run_script",
        description="Run a Python script against the AWS APIs. The lab reads it and never runs it.",
        parameters=("code",),
        answer=lambda given: (
            _text(account=ACCOUNT)
            if any(
                sign in str(given.get("code", "")).lower() for sign in ("get_caller_identity", "get-caller-identity")
            )
            else _text(output="The lab runs no scripts.")
        ),
        # What an SCP with aws:ViaAWSMCPService does to a call, in the words of IAM.
        refuses=lambda given: DENIED_BY_SCP if "delete_bucket" in str(given.get("code", "")).lower() else None,
    ),
    Tool(
        name="aws___get_presigned_url",
        description="Get a URL to upload or download an object.",
        parameters=("file_name",),
        answer=lambda given: _text(url=f"https://lab.test/files/{given.get('file_name', '')}"),
    ),
    Tool(
        name="aws___get_tasks",
        description="Tell how tasks are going.",
        parameters=("task_id",),
        answer=lambda given: _text(task_id=given.get("task_id"), status="COMPLETED"),
    ),
)

PLAIN_TOOLS = (
    Tool(
        name="echo",
        description="Say the text again.",
        parameters=("text",),
        answer=lambda given: str(given.get("text", "")),
    ),
)

_GATEWAY_TOOLS = (
    Tool(
        name="orders___get_order",
        description="Look an order up.",
        parameters=("order_id",),
        answer=lambda given: _text(order_id=given.get("order_id"), status="shipped"),
    ),
    Tool(
        name="weather___get_forecast",
        description="Tell the weather.",
        parameters=("city",),
        answer=lambda given: _text(city=given.get("city"), forecast="sunny"),
    ),
)

_EKS_TOOLS = (
    Tool(
        name="list_k8s_resources",
        description="List Kubernetes resources of a cluster.",
        parameters=("cluster_name", "kind"),
        answer=lambda given: _text(cluster=given.get("cluster_name"), items=["lab-pod-1"]),
    ),
    Tool(
        name="get_pod_logs",
        description="Read the log of a pod.",
        parameters=("pod_name",),
        answer=lambda given: f"{given.get('pod_name', '')}: This is the lab of mcpdoctor, not AWS.",
    ),
)

_ECS_TOOLS = (
    Tool(
        name="list_clusters",
        description="List ECS clusters.",
        answer=lambda given: _text(clusters=[f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/lab"]),  # noqa: ARG005 - takes no arguments
    ),
    Tool(
        name="describe_service",
        description="Describe an ECS service.",
        parameters=("service",),
        answer=lambda given: _text(service=given.get("service"), running=1),
    ),
)


def _said(name: str, description: str, *parameters: str) -> Tool:
    """A tool that says which it is, and what it was given."""
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        answer=lambda given: _text(tool=name, given=given, note="This is the lab of mcpdoctor, not AWS."),
    )


_DEVOPS_TOOLS = (
    _said("list_agent_spaces", "List the agent spaces."),
    _said("chat", "Ask the agent.", "message", "agent_space_id"),
    _said("investigate", "Investigate an incident.", "title", "agent_space_id"),
)
_DESKTOP_TOOLS = (
    _said("agentaccess___screenshot", "Take a screenshot."),
    _said("agentaccess___type_text", "Type a text.", "text"),
    _said("agentaccess___get_session_info", "Tell about the session."),
)
_PARTNER_TOOLS = (
    _said("sendMessage", "Send a message to the agent.", "message"),
    _said("getSession", "Tell about a session.", "sessionId"),
)
_MARKETPLACE_TOOLS = (
    _said("search_aws_marketplace_solutions", "Search AWS Marketplace.", "query"),
    _said("get_aws_marketplace_solution", "Tell about a solution.", "solution_id"),
    _said("submit_aws_marketplace_feedback", "Send feedback.", "feedback"),
)


def _aws_mcp(region: str) -> Service:
    host = f"aws-mcp.{region}.api.aws"
    return Service(
        name=f"aws-mcp/{region}",
        host=host,
        prefix=f"/aws-mcp/{region}",
        url=f"https://{host}/mcp",
        tools=_DOCUMENTATION + _ACCOUNT_TOOLS,
        family="aws-mcp",
        action="aws-mcp:InvokeMcp",
        signing="aws-mcp",
        region=region,
        public=frozenset(tool.name for tool in _DOCUMENTATION),
        limits=("sessions:7",),
        # "Unauthenticated callers have lower limits" says AWS, but not which: as many as Knowledge here.
        anonymous_limits=("sessions:4",),
    )


def _regional(
    service: str,
    tools: tuple[Tool, ...],
    *,
    regions: tuple[str, ...] = REGIONS,
    label: str = "",
    name: str = "",
    path: str = "/mcp",
    action: str = "",
    headers: tuple[str, ...] = (),
) -> Iterator[Service]:
    """A server in each of its regions; `label` is that of its host where it is not the name of the service."""
    for region in regions:
        host = f"{label or service}.{region}.api.aws"
        yield Service(
            name=f"{name or service}/{region}",
            host=host,
            prefix=f"/{name or service}/{region}",
            url=f"https://{host}{path}",
            paths=(path,),
            tools=tools,
            family="regional",
            signing=service,
            region=region,
            action=action,
            headers=headers,
            event_stream=True,
        )


def _spark(name: str, *tools: Tool) -> Iterator[Service]:
    return _regional("sagemaker-unified-studio-mcp", tools, name=name, path=f"/{name}/mcp")


_GATEWAY_HOST = "lab-gateway-a1b2c3d4e5.gateway.bedrock-agentcore.us-east-1.amazonaws.com"
_RUNTIME_HOST = "bedrock-agentcore.us-east-1.amazonaws.com"
_RUNTIME_PATH, _OTHER_RUNTIME_PATH = (
    f"/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A{account}%3Aruntime%2F{runtime}/invocations"
    for account, runtime in ((ACCOUNT, "lab-a1b2c3d4e5"), ("111122223333", "hosted-abc123"))
)

SERVICES: tuple[Service, ...] = (
    *(_aws_mcp(region) for region in AWS_MCP_REGIONS),
    Service(
        name="aws-knowledge",
        host="knowledge-mcp.global.api.aws",
        prefix="/knowledge",
        url="https://knowledge-mcp.global.api.aws",
        paths=("", "/", "/mcp"),
        tools=_DOCUMENTATION,
        family="knowledge",
        anonymous_limits=("sessions:4",),
    ),
    Service(
        name="agentcore-gateway",
        host=_GATEWAY_HOST,
        prefix="/agentcore-gateway",
        url=f"https://{_GATEWAY_HOST}/mcp",
        tools=_GATEWAY_TOOLS,
        family="agentcore",
        signing="bedrock-agentcore",
        region="us-east-1",
        action="bedrock-agentcore:InvokeGateway",
    ),
    Service(
        name="agentcore-runtime",
        host=_RUNTIME_HOST,
        prefix="/agentcore-runtime",
        url=f"https://{_RUNTIME_HOST}{_RUNTIME_PATH}?qualifier=DEFAULT",
        paths=(_RUNTIME_PATH, _OTHER_RUNTIME_PATH),
        tools=PLAIN_TOOLS,
        family="agentcore",
        signing="bedrock-agentcore",
        region="us-east-1",
        action="bedrock-agentcore:InvokeAgentRuntime",
    ),
    *_regional("eks-mcp", _EKS_TOOLS, action="eks-mcp:InvokeMcp"),
    *_regional("ecs-mcp", _ECS_TOOLS, action="ecs-mcp:UseMcp"),
    *_spark("spark-upgrade", _said("generate_spark_upgrade_plan", "Plan an upgrade of Spark.")),
    *_spark("spark-troubleshooting", _said("analyze_spark_workload", "Say why a Spark job failed.")),
    *_spark("spark-code-recommendation", _said("spark_code_recommendation", "Suggest better Spark code.")),
    *_regional("aidevops", _DEVOPS_TOOLS, label="connect.aidevops", name="devops-agent", action="aidevops:InvokeMcp"),
    *_regional(
        "agentaccess-mcp",
        _DESKTOP_TOOLS,
        regions=AGENT_ACCESS_REGIONS,
        name="agent-access",
        action="agentaccess-mcp:InvokeMcp",
        headers=(STREAMING_URL,),
    ),
    *_regional(
        "partnercentral-agents-mcp",
        _PARTNER_TOOLS,
        regions=("us-east-1",),
        name="partner-central",
        action="partnercentral:UseSession",
    ),
    *_regional(
        "application-signals-mcp",
        (_said("list_monitored_services", "List services."),),
        name="application-signals",
        action="application-signals-mcp:InvokeMcp",
    ),
    Service(
        name="partner-central-hosted",
        host="mcp.partnercentral.aws",
        prefix="/partner-central-hosted",
        url="https://mcp.partnercentral.aws?appId=lab",
        paths=("", "/"),
        tools=_PARTNER_TOOLS,
        family="bearer",
        signing="partnercentral-agents-mcp",
        region="us-east-1",
    ),
    Service(
        name="marketplace",
        host="marketplace-mcp.us-east-1.api.aws",
        prefix="/marketplace",
        url="https://marketplace-mcp.us-east-1.api.aws/mcp",
        tools=_MARKETPLACE_TOOLS,
        family="regional",
    ),
    Service(
        name="lambda-url",
        host="lab1a2b3c4d5e6f7g8h9i0j1k2l3m4n5.lambda-url.us-east-1.on.aws",
        prefix="/lambda-url",
        url="https://lab1a2b3c4d5e6f7g8h9i0j1k2l3m4n5.lambda-url.us-east-1.on.aws/mcp",
        tools=PLAIN_TOOLS,
        family="lambda",
        signing="lambda",
        region="us-east-1",
        action="lambda:InvokeFunctionUrl",
    ),
    *(
        Service(
            name=f"api-gateway/{region}",
            host=f"lab1a2b3c4.execute-api.{region}.{domain}",
            prefix=f"/api-gateway/{region}",
            url=f"https://lab1a2b3c4.execute-api.{region}.{domain}/prod/mcp",
            paths=("/prod/mcp",),
            tools=PLAIN_TOOLS,
            family="api-gateway",
            signing="execute-api",
            region=region,
            action="execute-api:Invoke",
        )
        for region, domain in (("us-east-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn"))
    ),
)
