"""What the proxy reads off a host, and where it has to be told."""

from __future__ import annotations

import pytest

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.inference import guess, why_given
from mcpdoctor.render.targets import proxy_note


@pytest.mark.parametrize(
    ("url", "service", "region"),
    [
        ("https://aws-mcp.us-east-1.api.aws/mcp", "aws-mcp", "us-east-1"),
        ("https://eks-mcp.us-west-2.api.aws/mcp", "eks-mcp", "us-west-2"),
        ("https://gw-1.gateway.bedrock-agentcore.eu-west-1.amazonaws.com/mcp", "bedrock-agentcore", "eu-west-1"),
        ("https://bedrock-agentcore.eu-west-1.amazonaws.com/runtimes/x/invocations", "bedrock-agentcore", "eu-west-1"),
    ],
)
def test_nothing_is_said_where_the_proxy_reads_both_off_the_host(url: str, service: str, region: str) -> None:
    assert why_given(url, service, region) is None


@pytest.mark.parametrize(
    ("url", "service", "region", "words"),
    [
        ("https://connect.aidevops.us-east-1.api.aws/mcp", "aidevops", "us-east-1", "for connect and find no region"),
        ("https://connect.aidevops.us-east-1.api.aws/mcp", "aidevops", "us-east-1", "5 labels"),
        ("https://abc.lambda-url.us-east-1.on.aws/mcp", "lambda", "us-east-1", "sign for abc and find no region"),
        ("https://abc.execute-api.us-east-1.amazonaws.com/x", "execute-api", "us-east-1", "sign for abc and find no"),
        ("https://mcp.example.com/mcp", "bedrock-agentcore", "us-east-1", "sign for mcp and find no region"),
        (
            "https://bedrock-agentcore.cn-north-1.amazonaws.com.cn/runtimes/x/invocations",
            "bedrock-agentcore",
            "cn-north-1",
            "would find no region at this host (it does not know hosts of China)",
        ),
        ("https://knowledge-mcp.global.api.aws", None, None, "for knowledge-mcp in global, and this server takes no"),
        ("https://aws-mcp.us-east-1.api.aws/mcp", "aws-mcp", "eu-west-1", "would sign in us-east-1 at this host"),
    ],
)
def test_where_the_proxy_would_be_wrong_one_sentence_says_why(
    url: str, service: str | None, region: str | None, words: str
) -> None:
    said = why_given(url, service, region)
    assert said is not None
    assert words in said
    assert said.endswith(".")
    assert ". " not in said


def test_versions_before_1_1_0_do_not_know_agentcore() -> None:
    url = "https://gw-1.gateway.bedrock-agentcore.eu-west-1.amazonaws.com/mcp"
    assert guess(url, agentcore=False) == ("gw-1", "")


def test_the_targets_that_need_a_note_are_those_of_which_the_proxy_reads_something_else(catalogue: Catalogue) -> None:
    noted = {one.name for one in catalogue.endpoints.values() if proxy_note(one)}
    assert noted == {"aws-knowledge", "marketplace", "devops-agent", "lambda-url", "api-gateway"}
