"""The hook that others name in their `.pre-commit-config.yaml`."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml

from mcpdoctor.cli import cli

ROOT = Path(__file__).parent.parent


def hooks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    return found


def test_the_hook_starts_a_command_that_is_installed_and_exists() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for hook in hooks():
        program, command, *options = shlex.split(hook["entry"])
        assert program in scripts
        assert command in cli.commands
        known = {name for parameter in cli.commands[command].params for name in parameter.opts}
        assert set(options) <= known


def test_the_hook_gets_the_files_that_may_hold_a_configuration() -> None:
    [hook] = hooks()
    assert hook["id"] == "mcpdoctor-lint"
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is True
    assert set(hook["types_or"]) == {"json", "toml", "yaml", "python"}
    assert {"name", "description"} <= set(hook)
