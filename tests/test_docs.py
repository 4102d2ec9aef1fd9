"""Docs say what the code does: generated pages are current, links lead somewhere, commands that are shown exist."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from code_blocks import PAGES
from field import messages

from mcpdoctor import explain
from mcpdoctor.catalogue import Catalogue, Condition, FactRule
from mcpdoctor.cli import cli, reference
from mcpdoctor.model import Cause
from mcpdoctor.render import fields, guides, pages, report_json

ROOT = Path(__file__).parent.parent


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


def test_the_page_of_the_fields_is_that_of_the_schema() -> None:
    written = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    assert fields.fields(written) == (ROOT / "docs" / "report.md").read_text(encoding="utf-8"), "run: make docs"


def test_the_page_of_the_commands_is_that_of_their_declarations() -> None:
    assert reference.reference() == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), "run: make docs"


def test_the_page_of_the_messages_is_what_explain_says_of_them() -> None:
    assert messages.page() == (ROOT / "docs" / "messages.md").read_text(encoding="utf-8"), "run: make docs"


@pytest.mark.parametrize("message", messages.MESSAGES, ids=messages.title)
def test_a_message_is_explained_as_the_page_says(message: messages.Message) -> None:
    told = explain(message.text)
    assert told.findings[0].check == message.check
    assert tuple(cause.value for cause in told.causes) == message.causes
    assert message.text.endswith(messages.title(message)) or messages.title(message).split("…")[0] in message.text


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_project_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
    docs = ROOT / "docs"
    outside = [
        link for link in links if page.is_relative_to(docs) and docs not in (page.parent / link).resolve().parents
    ]
    assert outside == [], "the site has docs/ alone: link to https://github.com/mcpdoctor/mcpdoctor/blob/main/…"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_headings_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]*\.md)?#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [f"{file}#{name}" for file, name in links if name not in anchors((page.parent / file) if file else page)]
    assert missing == []


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub and the site give the headings of a page."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    headings = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one) for one in re.findall(r"(?m)^#+ (.+)$", text)]
    return frozenset(map(messages.anchor, headings))


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
