"""Every code block of the docs is run, or parsed where that is all that can be done here, with the reason."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from code_blocks import PAGES, Block, blocks, commands, no_commands, steps

from mcpdoctor.cli import cli
from mcpdoctor.lab import Lab

WRONG_ENTRY = """\
{
  "mcpServers": {
    "aws-mcp": {
      "command": "uvx",
      "args": ["mcp-proxy-for-aws-cli@latest", "https://aws-mcp.us-east-1.api.aws/mcp", "--service", "iam"]
    }
  }
}
"""
LOG = "httpx.HTTPStatusError: Client error '429 Too Many Requests' for url 'https://knowledge-mcp.global.api.aws'\n"
PROGRAM = """\
import asyncio

from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as connect


async def main():
    at = {"endpoint": "URL", "aws_service": "bedrock-agentcore", "aws_region": "us-east-1"}
    async with connect(**at) as (receive, send, _), ClientSession(receive, send) as session:
        await session.initialize()


asyncio.run(main())
"""
PROFILES = "".join(
    f"[{name}]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = not-a-key\n"
    for name in ("dev", "prod", "other", "agents")
)

IN_LAB = {
    "ARN": "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/hosted-abc123",
    "/var/lib/node_exporter/mcpdoctor.prom": "mcpdoctor.prom",
}
"""What stands for something of the reader's, and what takes its place here."""

PARSED = {
    r"mcpdoctor lab\b": "serves until it is stopped; tests/test_lab_options.py runs it",
    r"mcpdoctor run\b": "starts a program of the reader's; tests/test_running.py has such programs",
}
"""Commands of mcpdoctor that are parsed and not run, by how they begin, and why."""

ELSEWHERE = {
    r"(uvx|pipx|pip|uv|python3? -m venv|\S*bin/pip)\b": "installs",
    r"(make|\.ci/run)\b": "runs the tests, this one too",
    r"git\b": "asks GitHub",
    r"\S*bin/(mcpdoctor|ruff|mypy|pytest)\b": "follows an installation",
    r"pytest( -n| --mcpdoctor)": "a session of its own; tests/test_pytest_plugin.py has such sessions",
    r"python agent\.py$": "the reader's own program",
    r"curl\b": "curl may be missing; tests/test_lab_sigv4.py signs as it does",
    r"dask\b": "a cluster; tests/test_ceiling_distributed.py has one",
    r"(export|eval|set|cd)\b": "sets up the shell",
    r"mcpdoctor COMMAND\b": "stands for any command",
}
"""Commands of others, by how they begin, and why they are not run."""

COMPILED = {
    r"docs/clients/": "needs the library that it is about; `make stacks` runs them (tests/stacks/test_snippets.py)",
    r"docs/recipes/strands\.md": "needs Strands; test_what_a_command_prints… lints the wrong service in it",
    r"(docs/connect\.md|README\.md)": "needs the frameworks that it is about; `make stacks` runs such programs",
}
"""Pages whose Python is compiled and not run, and why."""

READERS_OWN = "make_agent"
"""What tests in the docs call and the reader has; tests/test_pytest_plugin.py has such tests with a real client."""

SHOWN = {
    r"docs/messages\.md": "what is put into explain; test_a_message_is_explained_as_the_page_says",
    r"docs/credentials\.md": "needs a login; tests/test_provenance.py and tests/test_whoami.py ask for these lines",
    r"docs/design\.md": "a drawing",
    r"docs/lab\.md": "headers; tests/test_lab.py asks for them",
    r"docs/suite\.md": "mistakes in a suite, a line each; the tests of suites ask for such",
    r"docs/connect\.md": "a warning and an exception, and no command that prints them",
    r"README\.md": "a measurement of 20 seconds; tests/test_cli_ceiling.py asks for such",
}
"""Pages with text that is compared with no command here, and why."""


UNREAD = {"groovy": "nothing here reads it; the test of that page takes the shell lines out of it"}
"""Languages of which nothing is tested here, and why."""


def reason(table: Mapping[str, str], text: str) -> str | None:
    return next((why for pattern, why in table.items() if re.match(pattern, text)), None)


def every_command() -> list[str]:
    shown = {line for block in blocks("console", "sh") for line in commands(block)}
    return sorted(shown | set(re.findall(r"(?m)^ +(mcpdoctor .*?)(?: {2,}.*)?$", cli.help or "")))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as the docs take it for granted, with a home directory beside it."""
    project = tmp_path_factory.mktemp("docs") / "project"
    for name in (".kiro/settings/mcp.json", ".mcp.json", "home/.cursor/mcp.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(WRONG_ENTRY)
    (project / "logs").mkdir()
    for name in ("agent.log", "one.txt", "two.txt", "logs/a.txt", "logs/b.txt"):
        (project / name).write_text(LOG)
    (project / "agent.py").write_text(wrong_program())
    (project / "requirements.txt").write_text("strands-agents\nmcp-proxy-for-aws==1.6.0\n")
    (project / "credentials").write_text(PROFILES)
    checks = next(one for one in blocks("toml") if one.page == "docs/adding-a-check.md")
    (project / "our-checks").mkdir()
    (project / "our-checks" / "http.toml").write_text(checks.text)
    shutil.copy(Path(__file__).parent / "golden" / "report.json", project / "report.json")
    for name in ("yesterday.json", "today.json", "old.json", "new.json"):
        shutil.copy(project / "report.json", project / name)
    (project / "ceiling.json").write_text('{"ceilings": [{"recommended_workers": 3}]}')
    return project


def wrong_program() -> str:
    return next(one.text for one in blocks("python") if one.page == "docs/recipes/strands.md")


@pytest.fixture
def project(template: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, as the current directory. Commands may change it: others find no less in it."""
    shutil.copy(lab.ca_bundle, template / "company.pem")
    monkeypatch.chdir(template)
    monkeypatch.setenv("HOME", str(template / "home"))
    monkeypatch.setenv("MCP_TOKEN", "a-token-of-nobody")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return template


def in_lab(words: list[str]) -> list[str]:
    """The words of a command of mcpdoctor, so that nothing of it leaves this machine, nor takes long."""
    words = [IN_LAB.get(word, str(Path(word).expanduser()) if word.startswith("~") else word) for word in words]
    if words[0] in ("check", "ceiling") and "--lab" not in words:
        # Without a target the Knowledge server is asked too, at its own slow pace: once is enough (check --lab).
        words += ["--lab"] if {"--suite", "--from"} & {*words} or aims(words) else ["--lab", "aws-mcp"]
    # These take some seconds each: tests/test_cli_ceiling.py and tests/test_ceiling_distributed.py measure, and
    # tests/test_check_from.py starts commands.
    slow = words[0] == "ceiling" or {"--require-workers", "--run-commands"} & {*words}
    return [*words, "--dry-run"] if slow else words


def aims(words: list[str]) -> bool:
    """Whether the words of `check` or `ceiling` name a target."""
    context = cli.commands[words[0]].make_context(words[0], [*words[1:]], parent=click.Context(cli))
    return any(context.params[name] for name in ("targets", "endpoints", "owned"))


@cache
def demo() -> Result:
    """The run of all that the lab shows, once: Knowledge is asked at its own slow pace."""
    return CliRunner().invoke(cli, ["check", "--lab"], prog_name="mcpdoctor")


def shown(line: str) -> tuple[int, str]:
    """Run a command line in this process; exit code and standard output of its last command."""
    code, output = 0, LOG
    for _, (program, *words) in steps(line):
        why_not = reason(ELSEWHERE, " ".join([program, *words]))
        if program != "mcpdoctor" or why_not:
            assert why_not, f"{program}: say in ELSEWHERE why it is not run"
            continue
        whole = words == ["check", "--lab"]
        result = demo() if whole else CliRunner().invoke(cli, in_lab(words), input=output, prog_name="mcpdoctor")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        code, output = result.exit_code, result.output if words[0] == "run" else result.stdout
        assert code in (0, 1), result.output
        assert "Traceback" not in result.output
    return code, output


def parse(words: list[str]) -> None:
    """Parse a command of mcpdoctor, and do nothing."""
    command = cli.commands[words[0]]
    command.make_context(words[0], words[1:], parent=click.Context(cli))


def test_every_block_says_how_it_is_tested() -> None:
    known = ("console", "sh", "python", "toml", "json", "jsonc", "yaml", "text", *UNREAD)
    assert [str(block) for block in blocks() if block.language not in known] == [], f"write one of {known} on the fence"
    printed = [f"{block}: {line}" for block in blocks("console") for line in no_commands(block)]
    assert printed == [], "what a command prints belongs into a block of text, below <!-- output: COMMAND -->"
    fences = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines() if "```" in line]
    assert len(fences) == 2 * len(blocks()), "a fence that is not closed, or not at the beginning of its line"


@pytest.mark.parametrize("line", every_command())
def test_a_command_runs(line: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if line.startswith("mcpdoctor init"):  # the suite that it writes is what check would try from then on
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "ours"\n')
    if "profile" in line:
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(project / "credentials"))
    if reason(PARSED, line):
        [(_, words)] = steps(line)
        parse(words[1:])
    elif "mcpdoctor" in line or not reason(ELSEWHERE, line):
        shown(line)


@pytest.mark.parametrize("block", blocks("text"), ids=str)
def test_what_a_command_prints_is_what_the_page_shows(
    block: Block, project: Path, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not block.of:
        assert reason(SHOWN, block.page), f"{block}: no <!-- output: COMMAND --> above it, and no reason in SHOWN"
        return
    if block.of.startswith("mcpdoctor run "):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "agent.py").write_text(PROGRAM.replace("URL", lab.url("aws-mcp")))
        for name, value in lab.env.items():
            monkeypatch.setenv(name, value)
    printed = plain(re.sub(r"127\.0\.0\.1:\d+", "aws-mcp.us-east-1.api.aws", shown(block.of)[1]))
    for wanted in map(plain, re.split(r"(?m)^ *…$", block.text)):
        assert wanted in printed, f"{block}: {block.of} does not print this, numbers aside:\n{wanted}\n\n{printed}"


def plain(text: str) -> str:
    """A text without what differs from run to run: numbers, ids of requests, the widths and wraps that follow."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", text)
    text = re.sub(r"\S+…\S+", "…", text)  # a cell is cut where a time beside it is wider
    text = re.sub(r"\d+(\.\d+)?", "0", text)
    return re.sub(r"-{3,}", "--", re.sub(r"\s+", " ", text)).strip()


@pytest.mark.parametrize("block", blocks("json", "jsonc", "yaml", "toml"), ids=str)
def test_data_can_be_read(block: Block, tmp_path: Path) -> None:
    match block.language:
        case "json":
            document = json.loads(block.text)
            # Those of other clients have their words: tests/test_snippets.py reads them back.
            if "mcpServers" in document and not block.page.startswith("docs/clients/"):
                (tmp_path / ".mcp.json").write_text(block.text)
                result = CliRunner().invoke(cli, ["lint", str(tmp_path / ".mcp.json")])
                assert result.exit_code == 0, result.output
        case "jsonc":
            json.loads(re.sub(r"(?m)^\s*//.*$|\s//\s.*$", "", block.text))
        case "yaml":
            yaml.safe_load(block.text)
        case "toml":
            document = tomllib.loads(block.text)
            if "targets" in document:
                (tmp_path / "suite.toml").write_text(block.text)
                command = ["check", "--suite", str(tmp_path / "suite.toml"), "--lab", "--dry-run"]
                result = CliRunner().invoke(cli, command)
                assert result.exit_code == 0, result.output


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs(block: Block, project: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(block.text, str(block), "exec")
    if block.page == "docs/adding-a-check.md" or READERS_OWN in block.text or reason(COMPILED, block.page):
        return
    for name in ("HTTPS_PROXY", *(name for way in lab.providers.values() for name in way)):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever the block sets
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, hook, getattr(sys, hook))
    exec(code, {"__name__": "docs"})  # noqa: S102  # that is the test


def test_the_worked_example_of_a_check_passes_its_own_test(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    for block in blocks("python"):
        if block.page == "docs/adding-a-check.md":
            exec(compile(block.text, str(block), "exec"), names)  # noqa: S102  # that is the test
    test = names["test_maintenance_is_named"]
    assert callable(test)
    test(monkeypatch)
