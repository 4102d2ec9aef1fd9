"""Docs say what the code does: generated pages are current, links lead somewhere, commands that are shown exist."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from mcpdoctor.catalogue import Catalogue, Condition, FactRule
from mcpdoctor.cli import cli
from mcpdoctor.model import Cause
from mcpdoctor.render import guides, pages, report_json

ROOT = Path(__file__).parent.parent
AT_TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "checks/README.md")
PAGES = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in AT_TOP)]


def test_the_pages_of_the_checks_are_those_that_the_checks_give(catalogue: Catalogue) -> None:
    assert pages.book(catalogue) == (ROOT / "docs" / "checks.md").read_text(encoding="utf-8"), "run: make docs"


def test_the_pages_of_the_clients_are_those_that_the_data_give(catalogue: Catalogue) -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "clients").iterdir()}
    assert guides.guides(catalogue) == written, "run: make docs"


def test_pages_of_clients_that_are_no_more_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old.md").touch()
    (tmp_path / "kept.txt").touch()
    guides.write_all(tmp_path, {"new.md": "text"})
    assert {path.name for path in tmp_path.iterdir()} == {"new.md", "kept.txt"}


def test_a_page_of_a_client_names_the_check_that_judges_a_problem(catalogue: Catalogue) -> None:
    rule = next(iter(catalogue.checks.values()))
    judging = replace(rule, slug="a-check", when=(Condition(fact={"problem": FactRule(is_="type-missing")}),))
    assert guides.check_of("type-missing", catalogue) in (None, *catalogue.checks)
    assert guides.check_of("type-missing", replace(catalogue, checks={"a-check": judging})) == "a-check"


def test_the_schema_in_the_docs_is_that_of_the_report() -> None:
    written = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    # pydantic words a schema a little differently from version to version; what it allows is what counts.
    assert set(report_json.schema()["properties"]) == set(written["properties"]), "run: make docs"
    assert set(report_json.schema()["$defs"]) == set(written["$defs"]), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_project_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def shown_commands() -> list[str]:
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found |= {line.split("  #")[0].strip() for line in re.findall(r"^\$ (mcpdoctor .*)$", text, flags=re.MULTILINE)}
    for command in cli.commands.values():
        found |= {line.strip() for line in re.findall(r"^ {2,}(mcpdoctor .*)$", command.help or "", flags=re.MULTILINE)}
    return sorted(found)


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_that_is_shown_has_options_that_exist(line: str) -> None:
    words = shlex.split(line.split(";", maxsplit=1)[0].split(" > ", maxsplit=1)[0], comments=True)
    command = cli.commands[words[1]]
    options = {name for parameter in command.params for name in parameter.opts}
    ours = words[2 : words.index("--") if "--" in words else None]  # what follows -- belongs to another program
    assert [word for word in ours if word.startswith("-") and len(word) > 1 and word not in options] == []


def test_every_option_has_a_help_text() -> None:
    for command in cli.commands.values():
        options = [one for one in command.params if isinstance(one, click.Option)]
        assert [one.name for one in options if not one.help] == []
        assert command.help is not None
        assert "Example" in command.help


@pytest.mark.parametrize("path", sorted((ROOT / "checks").rglob("*.toml")), ids=lambda path: path.name)
def test_a_file_of_checks_follows_its_schema(path: Path) -> None:
    schema: dict[str, Any] = json.loads((ROOT / "checks" / "schema.json").read_text(encoding="utf-8"))
    own = (
        "authorities",
        "endpoints",
        "elsewhere",
        "clients",
        "runners",
        "proxy",
        "defects",
        "snippets",
        "mistakes",
        "providers",
        "partitions",
    )
    kinds = {"python": "calls", **dict(zip(own, own, strict=True))}
    schema = {**schema, "$ref": f"#/$defs/{kinds.get(path.stem, 'checks')}"}
    if path.parent.name == "suites":
        schema = json.loads((ROOT / "docs" / "suite.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(tomllib.loads(path.read_text(encoding="utf-8")))


def test_the_schema_of_the_checks_knows_every_cause() -> None:
    schema = json.loads((ROOT / "checks" / "schema.json").read_text(encoding="utf-8"))
    assert [cause.value for cause in Cause] == schema["$defs"]["check"]["properties"]["cause"]["enum"]


def test_the_table_of_the_readme_is_that_of_the_demo() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = text.split("<!-- demo -->")[1].split("<!-- /demo -->")[0]
    for word in ("wrong-service", "wrong-region", "dns-failure", "unsigned", "as expected", "works"):
        assert word in rows
