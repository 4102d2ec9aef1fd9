"""Completion in the shell: what is offered where, in which shells, how little it costs, and what it never does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mcpdoctor.cli import cli, completing

Offered = Callable[..., list[str]]

CONFIG = """\
[default]
[profile dev]
aws_secret_access_key = not-for-eyes
[profile dev-2]
[profile two words]
[profile $(touch here)]
[sso-session corp]
"""


@pytest.fixture(autouse=True)
def home(_scrubbed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (_scrubbed / "config").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(_scrubbed / "config"))
    return _scrubbed


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What the script of bash is given for a line, up to the cursor."""

    def ask(line: str, breaks: str = "") -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_WORDBREAKS", breaks)
        drawn = completing.Bash(cli, {}, "mcpdoctor", completing.VARIABLE).complete()
        return [item.removeprefix("plain,") for item in drawn.splitlines()]

    return ask


def test_commands_and_options_are_offered(offered: Offered) -> None:
    assert set(offered("mcpdoctor ")) == set(cli.commands)
    assert {"--region", "--help"} <= set(offered("mcpdoctor check aws-mcp --"))
    assert offered("mcpdoctor check --format=js") == ["json"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("mcpdoctor check aws-", {"aws-mcp", "aws-knowledge"}),
        ("mcpdoctor check --suite pre", {"preflight"}),
        ("mcpdoctor check --from a", {"auto"}),
        ("mcpdoctor check -p dev", {"dev", "dev-2"}),
        ("mcpdoctor check -c profile:dev", {"profile:dev", "profile:dev-2"}),
        ("mcpdoctor check -c b", {"bearer:"}),
        ("mcpdoctor check -c ba", set()),
        ("mcpdoctor check aws-mcp -s aws", {"aws-mcp"}),
        ("mcpdoctor check aws-mcp -r us-w", {"us-west-2"}),
        ("mcpdoctor check aws-mcp --tool aws___sea", {"aws___search_documentation"}),
        ("mcpdoctor ceiling aws-mcp --compare none,def", {"none,default"}),
        ("mcpdoctor explain auth-wrong-se", {"auth-wrong-service"}),
        ("mcpdoctor explain wrong-se", {"wrong-service"}),
        ("mcpdoctor snippet claude-c", {"claude-code"}),
        ("mcpdoctor snippet kiro aws-k", {"aws-knowledge"}),
        ("mcpdoctor snippet kiro aws-mcp -r us-w", {"us-west-2"}),
        ("mcpdoctor targets api", {"api-gateway"}),
        ("mcpdoctor lab --mode 2026-0", {"2026-03", "2026-09"}),
        ("mcpdoctor completion f", {"fish"}),
        (
            "mcpdoctor check http://127.0.0.1:8080/fault/auth/wrong-s",
            {"http://127.0.0.1:8080/fault/auth/wrong-service/mcp"},
        ),
    ],
)
def test_values_are_offered(line: str, values: set[str], offered: Offered) -> None:
    assert set(offered(line)) == values


@pytest.mark.parametrize(
    "line",
    [
        "lint READ",
        "render r",
        "diff old.json n",
        "check -o r",
        "explain ",
        "run -- pyth",
        "check --from x",
        "check --suite ./s",
    ],
)
def test_files_are_left_to_the_shell(line: str, offered: Offered) -> None:
    assert [item.partition(",")[0] for item in offered(f"mcpdoctor {line}")] == ["file"]


def test_regions_are_those_of_the_target_that_was_named(offered: Offered) -> None:
    assert offered("mcpdoctor check partner-central -r ") == ["us-east-1"]
    assert offered("mcpdoctor check eks-mcp -r ") == offered("mcpdoctor check -r ")  # no list of its own is published


def test_bash_takes_a_colon_for_the_end_of_a_word(offered: Offered) -> None:
    breaks = " \t\n\"'><=;|&(:"
    assert offered("mcpdoctor check -c profile:dev", breaks) == ["dev", "dev-2"]
    assert offered("mcpdoctor check --credential=profile:dev-", breaks) == ["dev-2"]
    assert offered("mcpdoctor check -c profile:", breaks) == ["default", "dev", "dev-2"]


def test_a_name_that_a_shell_would_read_is_not_offered(offered: Offered) -> None:
    assert offered("mcpdoctor check -p ") == ["default", "dev", "dev-2"]


def test_a_bearer_token_is_named_by_its_variable(offered: Offered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "not-for-eyes")
    assert "bearer:GATEWAY_TOKEN" in offered("mcpdoctor check -c bearer:")


@pytest.mark.parametrize(
    "line",
    ["check --checks /no/such aws", "check 'aws", 'check "x', "check aws\\", "check --nothing ", "nothing ", "=", ""],
)
def test_a_line_that_makes_no_sense_is_no_error(line: str, offered: Offered) -> None:
    offered(f"mcpdoctor {line}")


def test_files_that_cannot_be_read_offer_nothing(home: Path, offered: Offered, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config").write_bytes(b"\xff\xfe[profile \x00")
    offered("mcpdoctor check -p ")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home))
    assert offered("mcpdoctor check -p ") == []
    (home / "endpoints.toml").write_text("[broken", encoding="utf-8")
    assert offered(f"mcpdoctor check --checks {home} aws-") == []


def test_every_parameter_with_a_closed_list_of_values_offers_it() -> None:
    """Free are numbers, JSON, addresses and other words that nobody can know."""
    free = {
        "arguments",
        "headers",
        "connect_to",
        "owned",
        "addresses",
        "scheduler",
        "budget",
        "limits",
        "latency",
        "name",
    }
    numbers = (click.types.IntParamType, click.types.FloatParamType)
    for command in cli.commands.values():
        for one in command.params:
            flag = isinstance(one, click.Option) and (one.is_flag or one.count)
            known = isinstance(one.type, (click.Choice, click.Path, *numbers)) or one._custom_shell_complete is not None
            assert flag or known or one.name in free, f"{command.name}: {one.name}"


@pytest.mark.parametrize("shell", completing.SHELLS)
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_MCPDOCTOR_COMPLETE={shell}_complete" in done.stdout


def test_another_shell_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(cli, ["completion", "cmd"])
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`mcpdoctor` on the PATH, as of this interpreter."""
    path = tmp_path / "bin" / "mcpdoctor"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mcpdoctor "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def said(shell: str, program: str) -> str:
    """What a program of a shell prints; its standard error is empty."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run([shell, *options, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


def test_a_real_bash_completes(program: Path, tmp_path: Path) -> None:
    asking = """
        eval "$(mcpdoctor completion bash)"
        complete -p mcpdoctor
        asked=('mcpdoctor check aws-k' 'mcpdoctor check -c profile:dev-' 'mcpdoctor check $(touch oops) aws-k')
        for COMP_LINE in "${asked[@]}"; do
            COMP_POINT=${#COMP_LINE}
            _mcpdoctor_completion mcpdoctor
            echo "${COMPREPLY[@]}"
        done
    """
    drawn = said("bash", f"cd '{tmp_path}'\n{asking}").splitlines()
    assert drawn[0].endswith("-F _mcpdoctor_completion mcpdoctor")
    assert drawn[1:4] == ["aws-knowledge", "dev-2", "aws-knowledge"]
    assert not (tmp_path / "oops").exists()


def test_a_real_zsh_completes(program: Path) -> None:
    # What the completion system of zsh would show, without a terminal: its functions are ours.
    asking = """
        compdef() { echo "compdef $@" }
        compadd() { print -rl -- $completions }
        _describe() { print -rl -- $completions_with_descriptions }
        eval "$(mcpdoctor completion zsh)"
        words=(mcpdoctor check aws-k) CURRENT=3
        _mcpdoctor_completion
        words=(mcpdoctor check -c profile:dev-) CURRENT=4
        _mcpdoctor_completion
    """
    drawn = said("zsh", asking).splitlines()
    assert drawn == [
        "compdef _mcpdoctor_completion mcpdoctor",
        "aws-knowledge:AWS Knowledge MCP Server",
        "profile:dev-2",
    ]


def test_a_real_fish_completes(program: Path) -> None:
    asking = """
        mcpdoctor completion fish | source
        complete -C 'mcpdoctor check aws-k'
        complete -C 'mcpdoctor check -c profile:dev-'
    """
    assert said("fish", asking).splitlines() == ["aws-knowledge\tAWS Knowledge MCP Server", "profile:dev-2"]


def test_completing_imports_no_client_and_says_nothing_of_its_failures() -> None:
    code = (
        "import atexit, os, sys\n"
        "os.environ.update(_MCPDOCTOR_COMPLETE='bash_complete', COMP_LINE='mcpdoctor check -p d')\n"
        "heavy = {'mcp', 'botocore', 'httpx', 'anyio'}\n"
        "atexit.register(lambda: print('imported', *sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['mcpdoctor']; from mcpdoctor.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["plain,default", "plain,dev", "plain,dev-2", "imported"], "")
