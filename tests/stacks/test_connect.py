"""`mcpdoctor.connect` in real frameworks: the programs of docs/connect.md, as they stand there, against the lab.

They use the real names of AWS, which a proxy leads to the lab: the way is that of a user, down to TLS and DNS.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcpdoctor.lab import Lab
from stacks.conftest import ROOT, Client, Ended

PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")

STACKS = [
    ("mcp-1.30", "MCP SDK"),
    ("strands-1.30", "MCP SDK"),
    ("strands-1.62", "Strands Agents"),
    ("strands-1.30", "Strands Agents"),
    ("langchain-0.3", "LangChain"),
    ("openai-agents-0.24", "OpenAI Agents SDK"),
    ("fastmcp-3.4", "FastMCP"),
    ("strands-1.30", "FastMCP"),
]
"""Venvs with what they show; that of strands-1.30 has mcp 1.26, fastmcp 2.14 and the proxy of March 2026."""

NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_CONFIG_FILE": "/none"}
WRONG_SERVICE = 'endpoint("aws-mcp", service="bedrock-agentcore")'

each = pytest.mark.parametrize(("stack", "section"), STACKS, ids=[f"{one}: {two}" for one, two in STACKS])


def program(section: str, directory: Path, *, instead: str = "") -> str:
    """The program of a section of the page; `instead` takes the place of its connection."""
    [text] = re.findall(rf"^## {section}\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    if instead:
        text = text.replace("import aws_knowledge", f"import {instead.partition('(')[0]}")
        text = text.replace("MCPClient(aws_knowledge)", f"MCPClient(lambda: {instead})")
        text = text.replace("aws_knowledge()", instead)
    path = directory / "program.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def posts(lab: Lab, since: int) -> list[tuple[str, bool, int | None]]:
    """What came in: host, whether it was signed, status."""
    return [(one.host, one.signed, one.status) for one in lab.requests[since:] if one.method == "POST"]


def named(ended: Ended) -> bool:
    return "search_documentation" in ended.output


@each
def test_with_good_credentials_it_is_signed_and_nothing_is_said(
    stack: str, section: str, client: Client, lab: Lab, tmp_path: Path
) -> None:
    before = len(lab.requests)
    ended = client.run(stack, program(section, tmp_path))
    assert ended.returncode == 0, ended
    assert named(ended), ended
    assert "FallbackWarning" not in ended.output
    seen = posts(lab, before)
    assert {(host, signed) for host, signed, _ in seen} == {("aws-mcp.us-east-1.api.aws", True)}, ended
    assert len(seen) == 3, seen  # initialize, initialized, tools/list


@each
def test_without_credentials_it_falls_back_and_says_why(
    stack: str, section: str, client: Client, lab: Lab, tmp_path: Path
) -> None:
    before = len(lab.requests)
    ended = client.run(stack, program(section, tmp_path), env=NO_KEYS)
    assert ended.returncode == 0, ended
    assert named(ended), ended
    assert "FallbackWarning: AWS MCP Server cannot be used" in ended.output, ended
    assert "no-credentials" in ended.output, ended
    assert {(host, signed) for host, signed, _ in posts(lab, before)} == {("knowledge-mcp.global.api.aws", False)}


@each
def test_an_expired_credential_falls_back_after_one_refusal(
    stack: str, section: str, client: Client, lab: Lab, tmp_path: Path
) -> None:
    before = len(lab.requests)
    ended = client.run(stack, program(section, tmp_path), env=dict(lab.identities["expired"]))
    assert ended.returncode == 0, ended
    assert named(ended), ended
    assert "expired-credentials" in ended.output, ended
    seen = posts(lab, before)
    assert seen[0] == ("aws-mcp.us-east-1.api.aws", True, 401)
    assert {one[:2] for one in seen[1:]} == {("knowledge-mcp.global.api.aws", False)}


@each
def test_a_wrong_service_is_explained(stack: str, section: str, client: Client, lab: Lab, tmp_path: Path) -> None:
    before = len(lab.requests)
    ended = client.run(stack, program(section, tmp_path, instead=WRONG_SERVICE))
    assert ended.returncode == 1, ended
    assert "wrong-service: Signed for the wrong service" in ended.output, ended
    assert "Use service name aws-mcp" in ended.output, ended
    assert "request id" in ended.output, ended
    assert posts(lab, before) == [("aws-mcp.us-east-1.api.aws", True, 401)]


@each
def test_missing_credentials_are_explained_where_no_fallback_is_allowed(
    stack: str, section: str, client: Client, lab: Lab, tmp_path: Path
) -> None:
    before = len(lab.requests)
    ended = client.run(stack, program(section, tmp_path, instead="aws_mcp()"), env=NO_KEYS)
    assert ended.returncode == 1, ended
    assert "no-credentials: No AWS credentials found" in ended.output, ended
    assert lab.requests[before:] == []


TOOL_CALL = """
from strands.tools.mcp import MCPClient
from mcpdoctor.connect import endpoint

client = MCPClient(lambda: endpoint("aws-mcp", credential="none"))

with client:
    print(client.call_tool_sync("1", "aws___run_script", {}))
    print([tool.tool_name for tool in client.list_tools_sync()])
"""


@pytest.mark.parametrize("stack", ["strands-1.30", "strands-1.62"])
def test_a_refused_tool_call_is_explained_and_the_session_goes_on(
    stack: str, client: Client, lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "program.py"
    path.write_text(TOOL_CALL, encoding="utf-8")
    ended = client.run(stack, str(path))
    assert ended.returncode == 0, ended
    assert "unsigned: The server wants a signature" in ended.output, ended
    assert named(ended), ended
