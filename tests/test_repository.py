"""What surrounds the code: workflows that give nothing away, forms, the changelog, and what contributors are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import mcpdoctor
from mcpdoctor.catalogue import load

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def read(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job["steps"]


def named(path: Path) -> str:
    return path.name


def test_there_are_the_workflows_that_the_docs_speak_of() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "pages", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_every_action_is_pinned_to_a_commit_and_says_which_version_that_is(path: Path) -> None:
    lines = [
        line.strip().removeprefix("- ") for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line
    ]
    assert [line for line in lines if not PINNED.fullmatch(line)] == []
    assert lines


def test_one_action_has_one_pin() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, commit in re.findall(r"uses: (\S+)@(\w+)", path.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add(commit)
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_a_job_may_do_what_it_says_and_no_more(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    allowed = {"contents": "read", "id-token": "write", "pages": "write"}
    for job in workflow["jobs"].values():
        assert job["permissions"].items() <= allowed.items()
        assert job["timeout-minutes"] <= 90
    # A job that has what somebody would like to take runs none of our code.
    for job in workflow["jobs"].values():
        if "id-token" in job["permissions"]:
            assert [step for step in job["steps"] if "run" in step or "checkout" in step.get("uses", "")] == []
            assert job["environment"]["name"] in {"pypi", "github-pages"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=named)
def test_no_text_of_others_gets_into_a_script_and_no_token_stays(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", "")
        assert "secrets." not in str(step)
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    assert not {"pull_request_target", "workflow_run"} & set(read(path)[True])  # YAML 1.1 reads `on` as true


def test_the_release_is_built_from_a_tag_and_published_without_a_password() -> None:
    workflow = read(ROOT / ".github" / "workflows" / "release.yml")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    publish = workflow["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1]["with"] == {"attestations": True}


def test_ci_runs_what_runs_here() -> None:
    workflow = read(ROOT / ".github" / "workflows" / "ci.yml")
    job = workflow["jobs"]["run"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@pytest.mark.parametrize("path", FORMS, ids=named)
def test_a_form_asks_for_a_report_and_says_what_is_masked(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert {one["type"] for one in form["body"]} <= kinds
    ids = [one["id"] for one in form["body"] if one["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    [report] = [one for one in form["body"] if one.get("id") == "report"]
    assert "mcpdoctor check" in report["attributes"]["placeholder"]
    assert "-o report.json" in report["attributes"]["placeholder"]
    assert "masked" in report["attributes"]["description"]


def test_updates_are_asked_for_the_actions() -> None:
    settings = read(ROOT / ".github" / "dependabot.yml")
    assert [one["package-ecosystem"] for one in settings["updates"]] == ["github-actions"]


# --- CHANGELOG.md ---

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def sections() -> dict[str, str]:
    """Text of each version, newest first."""
    parts = re.split(r"^## (.+)$", CHANGELOG, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_changelog_begins_with_what_is_not_released() -> None:
    versions = list(sections())
    assert CHANGELOG.startswith("# Changelog\n")
    assert versions[0] == "[Unreleased]"
    assert [one for one in versions[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", one)] == []
    assert versions[1:] == sorted(versions[1:], reverse=True, key=lambda one: [int(n) for n in re.findall(r"\d+", one)])


def test_the_version_is_released_or_about_to_be() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", mcpdoctor.__version__)
    released = [one for one in sections() if one.startswith(f"[{mcpdoctor.__version__}]")]
    assert released or sections()["[Unreleased]"].strip()


@pytest.mark.parametrize("version", sections())
def test_a_version_tells_what_changed_by_kind(version: str) -> None:
    parts = re.split(r"^### (.+)$", sections()[version], flags=re.MULTILINE)
    assert parts[0].strip().count("\n") <= 2  # what to say of the whole
    kinds, texts = parts[1::2], parts[2::2]
    assert list(kinds) == [kind for kind in KINDS if kind in kinds]
    for text in texts:
        entries = re.findall(r"^- (.+(?:\n  .+)*)", text, flags=re.MULTILINE)
        assert entries
        rest = re.sub(r"^- (.+(?:\n  .+)*)", "", text, flags=re.MULTILINE)
        assert rest.strip() == ""
        assert [entry for entry in entries if not entry.rstrip().endswith((".", ")"))] == []


def test_checks_that_the_changelog_names_exist() -> None:
    known = set(load().checks)
    families = {slug.partition("-")[0] for slug in known} - {"no"}
    named = {name for name in re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", CHANGELOG) if name.partition("-")[0] in families}
    assert named - known == set()


# --- CONTRIBUTING.md ---

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_targets_of_make_that_contributors_are_told_of_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    there = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    told = set(re.findall(r"^\$ make (?:-j\d+ )?([a-z-]+)", CONTRIBUTING, flags=re.MULTILINE))
    assert {"test", "docs", "stacks", "conformance", "benchmarks"} <= told
    assert told - there == set()


def test_files_and_tests_that_contributors_are_told_of_exist() -> None:
    paths = re.findall(r"`((?:tests|checks|docs|mcpdoctor|\.github|\.ci)/[\w./-]*)`", CONTRIBUTING)
    paths += re.findall(r"(?<=pytest )(tests/\S+)", CONTRIBUTING)
    assert [path for path in paths if not (ROOT / path.partition("::")[0]).exists()] == []
    assert paths
