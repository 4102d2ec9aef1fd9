"""`mcpdoctor targets`: the catalogue, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.cli import cli


def targets(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, ["targets", *arguments])
    assert done.exit_code == code, done.output
    return done


def document(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(targets(*arguments, "--format", "json").output)
    return found


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_target_stands_in_a_row_by_its_whole_name(catalogue: Catalogue) -> None:
    lines = targets().output.splitlines()
    named = {line.split()[0] for line in lines if line.strip()}
    assert set(catalogue.endpoints) <= named
    assert max(map(len, lines)) <= 120


def test_hosts_that_are_no_mcp_servers_are_listed_as_what_they_are(catalogue: Catalogue) -> None:
    shown = words(targets().output)
    for other in catalogue.elsewhere.values():
        assert f"{other.host}: {other.title}" in shown


def test_a_page_tells_actions_regions_service_and_sources_with_dates() -> None:
    shown = words(targets("ecs-mcp").output)
    for part in (
        "URL: https://ecs-mcp.{region}.api.aws/mcp",
        "regions: the regions of Fargate with Linux",
        "service: ecs-mcp",
        "accepts: SigV4",
        "to connect: ecs-mcp:UseMcp",
        "for tools: ecs-mcp:InvokeReadOnlyTools",
        "ecs-mcp-getting-started.html (endpoint, as of 2026-09)",
    ):
        assert part in shown


def test_a_page_tells_old_quotas_removed_tools_and_actions_without_effect() -> None:
    shown = words(targets("aws-mcp").output)
    for part in (
        "without effect: aws-mcp:* (neither allow nor deny anything since 2026-05-06)",
        "removed tools: aws___call_aws (since 2026-08-31): use aws___run_script",
        "quotas: 10 requests/s signed, 5 requests/s unsigned, 90 sessions of a user, 180 sessions of an account, 100 "
        "connections (as of 2026-09)",
        "earlier quotas: 3 requests/s signed, 27 connections (as of 2026-03)",
    ):
        assert part in shown


def test_what_is_inferred_is_shown_as_such() -> None:
    shown = words(targets("application-signals").output)
    assert "api.aws/mcp (inferred, not documented)" in shown
    assert document("application-signals")["targets"][0]["inferred"] == ["url", "auth"]


def test_a_required_header_is_told() -> None:
    shown = words(targets("agent-access").output)
    assert "headers: X-Amzn-AgentAccess-Streaming-Session-Url: required, " in shown


def test_the_page_of_a_host_that_the_proxy_misreads_says_what_to_write() -> None:
    shown = words(targets("devops-agent").output)
    assert "would sign for connect and find no region" in shown
    assert "--service aidevops --region REGION" in shown


def test_a_url_stands_for_its_target() -> None:
    assert targets("https://ecs-mcp.eu-west-1.api.aws/mcp").output == targets("ecs-mcp").output


def test_json_holds_every_target_and_what_is_none(catalogue: Catalogue) -> None:
    found = document()
    assert found["schema_version"] == 1
    assert [one["name"] for one in found["targets"]] == list(catalogue.endpoints)
    assert [one["name"] for one in found["not_mcp"]] == list(catalogue.elsewhere)
    by_name = {one["name"]: one for one in found["targets"]}
    assert by_name["eks-mcp"]["actions"]["connect"] == ["eks-mcp:InvokeMcp"]
    assert by_name["aws-mcp"]["earlier_quotas"][0]["signed_per_s"] == 3
    assert "service" not in by_name["aws-knowledge"]
    assert all(one["sources"] and one["as_of"] for one in found["targets"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ecs-mpc", "ecs-mpc is no target; did you mean ecs-mcp?"),
        ("zzzz", "zzzz is no target; known targets: aws-mcp, "),
        ("https://bedrock-mantle.us-east-1.api.aws", "is the inference service of Amazon Bedrock, and no MCP server."),
        (
            "https://transform.us-east-1.api.aws",
            "Start the local MCP server aws-transform-mcp-server in place of the URL",
        ),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, said: str) -> None:
    assert said in words(targets(name, code=2).output)


def test_every_endpoint_says_what_a_reader_asks_for(catalogue: Catalogue) -> None:
    for one in catalogue.endpoints.values():
        assert one.signs == (one.service is not None), one.name
        assert one.regions or one.regions_note or one.yours or "{region}" not in one.url, one.name
        dated = [(part.source, part.as_of) for part in (one.quota, *one.earlier_quotas)]
        dated += [(one.tools.source, one.tools.as_of), (one.actions.source, one.actions.as_of)]
        assert all(bool(source) == bool(as_of) for source, as_of in dated), one.name
        for parts in (one.actions.connect, one.actions.tools, one.actions.bearer, one.inert_actions):
            assert all(":" in action for action in parts), one.name
        if one.inert_actions:
            assert one.inert_since
            assert not set(one.inert_actions) & set(one.actions.connect)
