"""What `mcpdoctor snippet` prints works: it is run as it is, with real libraries, against the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcpdoctor.lab import Lab
from stacks.conftest import PATIENCE_S, Client, Python

SIGNING = [
    ("strands-1.30", "strands"),
    ("strands-1.62", "strands"),
    ("langchain-0.3", "langchain"),
    ("openai-agents-0.24", "openai-agents"),
    ("mcp-1.30", "fastmcp"),
    ("mcp-1.30", "mcp"),
]
"""The proxy's library, and with it fastmcp, is in each of these venvs."""

NOT_SIGNING = [
    *SIGNING,
    ("strands-1.62-mcp-2", "strands"),
    ("fastmcp-3.4", "fastmcp"),
    ("fastmcp-4.1", "fastmcp"),
    ("mcp-1.26", "mcp"),
    ("mcp-2.3", "mcp"),
]

KNOWLEDGE = "search_documentation"
"""A tool that the lab's AWS MCP Server and its Knowledge server both have."""


def printed(*arguments: str) -> str:
    """What `mcpdoctor snippet` prints."""
    command = [sys.executable, "-m", "mcpdoctor", "snippet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


def address(lab: Lab, server: str, *, plain: bool) -> str:
    """The URL of a server of the lab: that of AWS, or one on loopback without TLS."""
    paths = {"aws-mcp/us-east-1": "/aws-mcp/us-east-1/mcp", "aws-knowledge": "/knowledge/mcp"}
    return lab.http + paths[server] if plain else lab.endpoints[server]


@pytest.mark.parametrize("plain", [True, False], ids=["http", "https"])
@pytest.mark.parametrize(("stack", "library"), SIGNING)
def test_a_program_that_signs_lists_the_tools(
    *, stack: str, library: str, plain: bool, client: Client, lab: Lab, tmp_path: Path
) -> None:
    before = len(lab.requests)
    url = address(lab, "aws-mcp/us-east-1", plain=plain)
    options = ["--service", "aws-mcp", "--region", "us-east-1"]
    program = tmp_path / "program.py"
    program.write_text(printed(library, url, *options), encoding="utf-8")
    ended = client.run(stack, str(program))
    assert ended.returncode == 0, ended
    assert KNOWLEDGE in ended.output, ended
    answered = [one for one in lab.requests[before:] if one.method == "POST"]
    assert {one.status for one in answered} <= {200, 202}, ended
    assert all(one.signed for one in answered), ended


@pytest.mark.parametrize("plain", [True, False], ids=["http", "https"])
@pytest.mark.parametrize(("stack", "library"), NOT_SIGNING)
def test_a_program_that_does_not_sign_lists_the_tools(
    *, stack: str, library: str, plain: bool, client: Client, lab: Lab, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(printed(library, address(lab, "aws-knowledge", plain=plain)), encoding="utf-8")
    ended = client.run(stack, str(program))
    assert ended.returncode == 0, ended
    assert KNOWLEDGE in ended.output, ended


@pytest.mark.parametrize(
    ("name", "server", "options"),
    [
        ("kiro", "aws-mcp/us-east-1", ["--service", "aws-mcp", "--region", "us-east-1"]),
        ("claude-desktop", "aws-knowledge", []),
    ],
    ids=["proxy", "bridge"],
)
@pytest.mark.parametrize("plain", [True, False], ids=["http", "https"])
def test_the_command_of_an_entry_lists_the_tools(
    *, name: str, server: str, options: list[str], plain: bool, client: Client, lab: Lab, python: Python
) -> None:
    [entry] = json.loads(printed(name, address(lab, server, plain=plain), *options))["mcpServers"].values()
    option, _, program, *words = entry["args"]
    assert (entry["command"], option) == ("uvx", "--from")
    # The venv has what uvx would fetch; the package whose versions are pinned gives its program another name.
    command = python("mcp-1.30").parent / program.removesuffix("-cli")
    ended = client.run("mcp-1.30", "stdio_entry", str(command), *words)
    assert ended.returncode == 0, ended
    assert KNOWLEDGE in ended.output, ended
