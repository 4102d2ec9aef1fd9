"""Which servers the lab stands in for: names, paths, signing names, tools. Data, and how each greets strangers.

The facts come from AWS's documentation (endpoints, signing names, tools) and from captures by users (status codes and
bodies for callers without credentials); `docs/lab.md` says which.
"""

from __future__ import annotations

import json
from collections.abc import Callable
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

Family = Literal["aws-mcp", "knowledge", "agentcore", "regional", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One MCP tool and its small answer.

    Attributes:
        name: The name on the wire.
        description: What it says it does.
        answer: Makes the text of the answer from the arguments.
        parameters: Names of string parameters; the first is required.
    """

    name: str
    description: str
    answer: Callable[[dict[str, Any]], str]
    parameters: tuple[str, ...] = ()

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
        limit: The limit on each caller with a signature, unless the options say otherwise.
        anonymous_limit: The same for callers without one; where no signature is taken, for everybody.
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
    limit: str = "none"
    anonymous_limit: str = "none"
    event_stream: bool = False

    @property
    def refusal_status(self) -> int:
        """401 on `*.api.aws`, 403 on `*.amazonaws.com`: both kinds of hosts were seen to differ in this."""
        return 403 if self.host.endswith(".amazonaws.com") else 401


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


def _aws_mcp(region: str) -> Service:
    host = f"aws-mcp.{region}.api.aws"
    return Service(
        name=f"aws-mcp/{region}",
        host=host,
        prefix=f"/aws-mcp/{region}",
        url=f"https://{host}/mcp",
        tools=_DOCUMENTATION + _ACCOUNT_TOOLS,
        family="aws-mcp",
        signing="aws-mcp",
        region=region,
        public=frozenset(tool.name for tool in _DOCUMENTATION),
        limit="sessions:7",
        # "Unauthenticated callers have lower limits" says AWS, but not which: as many as Knowledge here.
        anonymous_limit="sessions:4",
    )


def _regional(service: str, tools: tuple[Tool, ...]) -> Service:
    host = f"{service}.us-east-1.api.aws"
    return Service(
        name=f"{service}/us-east-1",
        host=host,
        prefix=f"/{service}/us-east-1",
        url=f"https://{host}/mcp",
        tools=tools,
        family="regional",
        signing=service,
        region="us-east-1",
        event_stream=True,
    )


_GATEWAY_HOST = "lab-gateway-a1b2c3d4e5.gateway.bedrock-agentcore.us-east-1.amazonaws.com"
_RUNTIME_HOST = "bedrock-agentcore.us-east-1.amazonaws.com"
_RUNTIME_PATH = (
    f"/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A{ACCOUNT}%3Aruntime%2Flab-a1b2c3d4e5/invocations"
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
        anonymous_limit="sessions:4",
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
    ),
    Service(
        name="agentcore-runtime",
        host=_RUNTIME_HOST,
        prefix="/agentcore-runtime",
        url=f"https://{_RUNTIME_HOST}{_RUNTIME_PATH}?qualifier=DEFAULT",
        paths=(_RUNTIME_PATH,),
        tools=PLAIN_TOOLS,
        family="agentcore",
        signing="bedrock-agentcore",
        region="us-east-1",
    ),
    _regional("eks-mcp", _EKS_TOOLS),
    _regional("ecs-mcp", _ECS_TOOLS),
)
