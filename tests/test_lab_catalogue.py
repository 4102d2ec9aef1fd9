"""Every target of the catalogue is in the lab, where it works and gives no finding."""

from __future__ import annotations

import anyio
import pytest
from conftest import network_of

from mcpdoctor import engine, matrix
from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.lab import Lab
from mcpdoctor.model import Report, Severity

URLS = {
    "agentcore-gateway": "https://lab-gateway-a1b2c3d4e5.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp",
    "agentcore-runtime": "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/hosted-abc123",
    "lambda-url": "https://lab1a2b3c4d5e6f7g8h9i0j1k2l3m4n5.lambda-url.us-east-1.on.aws/mcp",
    "api-gateway": "https://lab1a2b3c4.execute-api.cn-north-1.amazonaws.com.cn/prod/mcp",
    "partner-central-hosted": "https://mcp.partnercentral.aws?appId=lab",
}
"""What names the servers that belong to their callers."""

NEEDS_MORE = {"agent-access": "auth-header-missing", "partner-central-hosted": "auth-wants-bearer"}
"""Targets that no signature alone opens, and what says so."""

NAMES = list(load(stems=()).endpoints)
GATEWAY, RUNTIME, LAMBDA = (URLS[name] for name in ("agentcore-gateway", "agentcore-runtime", "lambda-url"))


def tried(target: str, lab: Lab, catalogue: Catalogue, **given: str) -> Report:
    """`target` as `mcpdoctor check --lab` tries it."""
    axes = matrix.Axes(**{name: (value,) for name, value in given.items()})
    plan = matrix.expand([URLS.get(target, target)], axes, catalogue)
    settings = engine.Settings(timeout_s=10.0, standby=lab.env)
    return anyio.run(engine.run, plan, catalogue, network_of(lab), settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_of_the_catalogue_is_served_and_healthy(name: str, lab: Lab, catalogue: Catalogue) -> None:
    [result] = tried(name, lab, catalogue).results
    weighty = [one.check for one in result.findings if one.severity is not Severity.INFO]
    assert weighty == ([NEEDS_MORE[name]] if name in NEEDS_MORE else [])
    assert result.works is (name not in NEEDS_MORE)


def test_a_header_that_a_server_wants_can_be_sent_and_is_not_shown(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from mcpdoctor.cli import cli

    for name, value in {**lab.env, "STREAM": "https://appstream2.lab.test/session?token=hush-hush-4711"}.items():
        monkeypatch.setenv(name, value)
    there = [text for route in lab.connect_to for text in ("--connect-to", route)]
    words = ["check", "agent-access", "--ca-bundle", lab.ca_bundle, *there, "-vv"]
    header = "X-Amzn-AgentAccess-Streaming-Session-Url"
    done = CliRunner().invoke(cli, [*words, "--header", f"{header}=STREAM"])
    assert done.exit_code == 0, done.output
    assert "works" in done.stdout
    assert "hush-hush-4711" not in done.output
    for wrong in ("NoEquals", f"{header}=NO_SUCH_VARIABLE", "Authorization=STREAM", "a b=STREAM"):
        assert CliRunner().invoke(cli, [*words, "--header", wrong]).exit_code == 2


@pytest.mark.parametrize("region", load(stems=()).endpoints["agent-access"].regions)
def test_a_server_is_in_every_region_of_its_list(region: str, lab: Lab, catalogue: Catalogue) -> None:
    [result] = tried("agent-access", lab, catalogue, regions=region).results
    assert [one.check for one in result.findings] == ["auth-header-missing"]


@pytest.mark.parametrize(
    ("target", "action"),
    [
        ("ecs-mcp", "ecs-mcp:UseMcp to connect, and ecs-mcp:InvokeReadOnlyTools to use its tools"),
        ("eks-mcp", "eks-mcp:InvokeMcp to connect, and eks-mcp:CallReadOnlyTool and eks-mcp:CallPrivilegedTool to"),
        (RUNTIME, "bedrock-agentcore:InvokeAgentRuntime to connect"),
        (GATEWAY, "bedrock-agentcore:InvokeGateway to connect"),
        (LAMBDA, "lambda:InvokeFunctionUrl to connect"),
        ("aws-mcp", "asks for no action of its own; those it had have been without effect since 2026-05-06."),
        ("spark-upgrade", "asks for no action of its own; those it had have been without effect since 2026-05-29."),
    ],
)
def test_who_is_refused_learns_which_action_that_server_asks_for(
    target: str, action: str, lab: Lab, catalogue: Catalogue
) -> None:
    denied = engine.Settings(timeout_s=10.0, standby=lab.identities["denied"])
    plan = matrix.expand([target], matrix.Axes(), catalogue)
    [result] = anyio.run(engine.run, plan, catalogue, network_of(lab), denied).results
    [finding] = result.findings
    assert finding.check == "auth-access-denied"
    assert action in finding.remedy
    assert "aws-mcp:" not in finding.remedy
    assert "InvokeMcp" not in finding.remedy or target == "eks-mcp"


@pytest.mark.parametrize(
    ("name", "service"), [("devops-agent", "connect"), ("api-gateway", "lab1a2b3c4"), ("lambda-url", "s3")]
)
def test_what_the_proxy_would_sign_for_is_the_wrong_service(
    name: str, service: str, lab: Lab, catalogue: Catalogue
) -> None:
    [result] = tried(name, lab, catalogue, services=service).results
    assert [one.check for one in result.findings] == ["auth-wrong-service"]


@pytest.mark.parametrize(
    ("url", "right"),
    [
        (
            "https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/"
            "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/hosted-abc123/invocations?qualifier=DEFAULT",
            "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A111122223333%3Aruntime%2Fhosted-abc123/invocations",
        ),
        (
            "https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/"
            "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A111122223333%3Aruntime%2Fhosted-abc123/invocations/mcp",
            "hosted-abc123/invocations. The ARN in the path must be percent-encoded exactly once",
        ),
        (
            "https://sagemaker-unified-studio-mcp.us-east-1.api.aws/spark-upgrade",
            "Use https://sagemaker-unified-studio-mcp.us-east-1.api.aws/spark-upgrade/mcp or https://",
        ),
        ("https://eks-mcp.us-east-1.api.aws/", "Use https://eks-mcp.us-east-1.api.aws/mcp."),
    ],
)
def test_a_wrong_path_leads_to_the_right_one(url: str, right: str, lab: Lab, catalogue: Catalogue) -> None:
    [result] = tried(url, lab, catalogue).results
    [finding] = [one for one in result.findings if one.severity is Severity.ERROR]
    assert finding.check == "http-not-found"
    assert right in finding.remedy


def test_a_host_that_is_no_mcp_server_gets_no_request(catalogue: Catalogue) -> None:
    with Lab() as lab:
        for other in catalogue.elsewhere.values():
            url = f"https://{other.host.replace('{region}', 'us-east-1')}/mcp"
            [result] = tried(url, lab, catalogue).results
            assert [one.check for one in result.findings] == ["parse-not-mcp"]
        assert lab.requests == []
