"""The help of every command is complete, true, and fits the screen."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mcpdoctor import __version__
from mcpdoctor.cli import cli

COMMANDS: dict[str, click.Command] = {"": cli, **cli.commands}
TEXTS = {name: inspect.cleandoc(command.help or "") for name, command in COMMANDS.items()}
WIDEST = 100


def help_of(name: str, width: int) -> str:
    done = CliRunner().invoke(cli, [*name.split(), "--help"], terminal_width=width, prog_name="mcpdoctor")
    assert done.exit_code == 0
    return done.stdout


def examples(name: str) -> Iterator[str]:
    """Each command of the section Examples; of a pipe or a sequence, each part that is ours."""
    section = TEXTS[name].partition("Examples:")[2].partition("\n\n")[0]
    for line in section.splitlines():
        yield from (part.strip() for part in re.split(r" \| |; | {2,}", line) if part.strip().startswith("mcpdoctor "))


EXAMPLES = sorted({line for name in COMMANDS for line in examples(name)})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_examples_and_exit_codes(name: str) -> None:
    assert list(examples(name))
    assert "Exit codes:" in TEXTS[name]


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_taken_by_the_parser(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what is to be written can be
    words = shlex.split(line.partition(" > ")[0])
    command = cli.commands[words[1]]
    with command.make_context(words[1], words[2:]) as context:
        assert context.params


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_says_what_it_is(name: str) -> None:
    for one in COMMANDS[name].params:
        if isinstance(one, click.Option):
            assert one.help, one.name
            assert re.search(r"[.\]a-z0-9]$", one.help), one.help
            # "INTEGER RANGE" tells nobody anything.
            assert one.is_flag or one.count or isinstance(one.type, click.Choice) or one.metavar, one.name
        else:
            assert isinstance(one.type, click.Choice) or one.metavar, one.name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_screen(name: str) -> None:
    assert [line for line in help_of(name, WIDEST).splitlines() if len(line) > WIDEST] == []
    shown = {line for line in TEXTS[name].splitlines() if line.startswith("  ")}
    narrow = help_of(name, 80)
    # Lines to copy are not broken; everything else is.
    assert [line for line in narrow.splitlines() if len(line) > 80 and line.removeprefix("  ") not in shown] == []


@pytest.mark.parametrize("name", cli.commands)
def test_the_list_of_commands_cuts_no_sentence(name: str) -> None:
    [line] = [line for line in help_of("", 80).splitlines() if line.startswith(f"  {name}  ")]
    assert line.endswith(".")
    assert not line.endswith("...")


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(cli, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"mcpdoctor, version {__version__}\n")


def test_help_names_exit_codes_variables_files_and_docs() -> None:
    told = help_of("", 80)
    for word in (
        "70 mcpdoctor itself failed",
        "AWS_PROFILE",
        "HTTPS_PROXY",
        "MCPDOCTOR_DEBUG",
        "~/.aws/config",
        "/docs",
    ):
        assert word in told
