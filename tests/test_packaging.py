"""The catalogue is found, every file of it is read, every entry is usable; what is built holds it, byte for byte."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import string
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

import mcpdoctor
from mcpdoctor import catalogue as module
from mcpdoctor.catalogue import (
    CHECK_FILES,
    EVERY_OTHER,
    MARKER,
    About,
    Catalogue,
    Check,
    Condition,
    load,
    locate,
    read_toml,
)
from mcpdoctor.model import Severity, Stage, Unusable, Verdict

# Read by `mcpdoctor.clients`, `mcpdoctor.linting` and `mcpdoctor.snippets`, and by people and their editors.
READ_BY_OTHERS = {
    "clients.toml",
    "authorities.toml",
    "defects.toml",
    "mistakes.toml",
    "partitions.toml",
    "providers.toml",
    "proxy.toml",
    "python.toml",
    "runners.toml",
    "snippets.toml",
    "README.md",
    "schema.json",
}

STAGES = {stage.value for stage in Stage}


def named(check: Check) -> Iterator[str]:
    """Names in braces of text and remedy."""
    for text in (check.text, check.remedy):
        yield from (name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def problems(check: Check) -> list[str]:
    """What is wrong with a check."""
    stages, by_facts = {stage.value for stage in check.stage}, check.about.by_facts
    wanted = {
        "slug is lower-case words joined by hyphens": re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", check.slug),
        "title is a phrase without a full stop": check.title and check.title[-1] not in ".!",
        "text is a sentence": check.text.endswith((".", "}", "}.")),
        "remedy is a sentence": check.remedy.endswith((".", "}")),
        "since is a version": re.fullmatch(r"\d+\.\d+\.\d+", check.since),
        "stages are named, each once; a ceiling or a file has none": (
            not check.stage if by_facts else stages and len(stages) == len(check.stage)
        ),
        "a ceiling or a file is judged by facts alone": not by_facts
        or (check.in_text is None and all(rule == Condition(fact=rule.fact) for rule in check.when)),
        "on is a verdict that shows something": check.on in (Verdict.FAILED, Verdict.PASSED),
        "what is wrong with a stage that passed is no error": not (
            check.on is Verdict.PASSED and check.severity is Severity.ERROR
        ),
        "it has a condition": check.when,
        "it is not silent because of itself": check.slug not in check.after,
        "references are https": all(re.fullmatch(r"https://\S+", one) for one in check.refer),
        "statuses are those of HTTP": all(100 <= one < 600 for rule in check.when for one in rule.status),
        "header names are in lower case": all(name == name.lower() for rule in check.when for name in rule.header),
        "error types are bare": all(re.fullmatch(r"\w+", one) for rule in check.when for one in rule.error_type),
        "failures are names": all(re.fullmatch(r"[\w.]+", one) for rule in check.when for one in rule.failure),
        "fact rules ask something": all(
            (rule.is_, rule.above, rule.below) != (None, None, None)
            for condition in check.when
            for rule in condition.fact.values()
        ),
        "names in braces are plain": all(re.fullmatch(r"[a-z_0-9]+", name) for name in named(check)),
        "only a last resort yields to every other": (
            EVERY_OTHER not in check.after or check.slug == "unexplained" or check.about is About.ENTRY
        ),
        "a value that changes is named": check.value or not check.becomes,
    }
    return [what for what, holds in wanted.items() if not holds]


def test_the_catalogue_is_found_by_its_marker() -> None:
    directory = locate()
    assert (directory / MARKER).is_file()
    package = Path(mcpdoctor.__file__).parent
    assert directory in (package / "checks", package.parent / "checks")


def test_a_catalogue_inside_the_package_goes_before_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "files", lambda _: tmp_path / "mcpdoctor")
    inside, beside = tmp_path / "mcpdoctor" / "checks", tmp_path / "checks"
    for directory in (inside, beside):
        directory.mkdir(parents=True)
    with pytest.raises(Unusable, match="install mcpdoctor again"):
        locate()  # directories of that name are not believed without the marker
    (beside / MARKER).touch()
    assert locate() == beside
    (inside / MARKER).touch()
    assert locate() == inside


def test_no_file_of_the_catalogue_is_left_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()

    def reading(path: Path) -> dict[str, Any]:
        read.add(path.relative_to(locate()).as_posix())
        return read_toml(path)

    monkeypatch.setattr(module, "read_toml", reading)
    load()
    present = {path.relative_to(locate()).as_posix() for path in locate().rglob("*") if path.is_file()}
    assert present - read - READ_BY_OTHERS == set()
    assert {MARKER, "suites/aws-mcp.toml", "suites/aws-knowledge.toml", "suites/preflight.toml"} <= read


def test_every_file_of_checks_holds_some() -> None:
    for path in locate().glob("*.toml"):
        if path.stem in CHECK_FILES:
            assert read_toml(path), path.name


def test_no_check_is_written_twice() -> None:
    written = [slug for stem in CHECK_FILES for slug in _tables(locate() / f"{stem}.toml")]
    assert sorted(set(written)) == sorted(written)


def _tables(path: Path) -> list[str]:
    return list(read_toml(path)) if path.exists() else []


@pytest.mark.parametrize("check", [pytest.param(one, id=one.slug) for one in load().checks.values()])
def test_a_check_is_of_the_required_form(check: Check) -> None:
    assert problems(check) == []


def test_only_the_last_resort_asks_for_nothing(catalogue: Catalogue) -> None:
    empty = {check.slug for check in catalogue.checks.values() if module.Condition() in check.when}
    assert empty == {"unexplained"}


@pytest.mark.parametrize("check", [pytest.param(one, id=one.slug) for one in load().checks.values()])
def test_a_check_names_the_fault_that_provokes_it(check: Check) -> None:
    stage, _, name = check.lab.partition("/")
    others = {About.CEILING: {"limit"}, About.ENTRY: {"start"}}
    assert stage in STAGES | {"healthy", "config"} | others.get(check.about, set())
    assert (stage == "config") is (check.about is About.FILE)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


def test_no_check_waits_for_itself_in_a_circle(catalogue: Catalogue) -> None:
    left = {check.slug: set(check.after) for check in catalogue.checks.values()}
    while free := [slug for slug, others in left.items() if not others & set(left)]:
        for slug in free:
            del left[slug]
    assert left == {}


# --- What is built ---

ROOT = Path(__file__).parent.parent
TARGETS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
SHIPPED = TARGETS["sdist"]["only-include"]
READ_BY_TESTS = (
    "mcpdoctor",
    "checks",
    "tests",
    "docs",
    ".ci",
    ".github",
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
)
CACHES = (
    "__pycache__",
    "*.pyc",
    "*.egg-info",
    ".git",
    ".venv*",
    ".npm*",
    ".*_cache",
    ".hypothesis",
    "build",
    "dist",
    "site",
)


def build(source: Path, into: Path, *targets: str, umask: int, **environ: str) -> Path:
    """Build with the backend itself: no network, no environment of its own."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    pytest.importorskip("hatch_fancy_pypi_readme", reason="hatch-fancy-pypi-readme is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(into), *(f"-t{target}" for target in targets)]
    done = subprocess.run(
        command, cwd=source, env={**os.environ, **environ}, capture_output=True, text=True, check=False, umask=umask
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return into


def files_of(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist of this checkout, or of the unpacked sdist that this is."""
    base = tmp_path_factory.mktemp("built")
    source = base / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*CACHES))
    stray = source / "mcpdoctor" / "__pycache__" / "stray.cpython-311.pyc"
    stray.parent.mkdir()
    stray.touch()
    return build(source, base / "dist", "wheel", "sdist", umask=0o022, TZ="UTC")


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    [archive] = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(built.parent, filter="data")
    return built.parent / archive.name.removesuffix(".tar.gz")


def test_another_build_elsewhere_and_later_gives_the_same_bytes(built: Path, unpacked: Path, tmp_path: Path) -> None:
    # From the sdist, too: what is taken from there is what is taken from a checkout.
    other = tmp_path / "a directory of another name"
    shutil.copytree(unpacked, other)
    for path in other.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
        path.chmod(path.stat().st_mode & 0o700)
    again = build(
        other, tmp_path / "dist", "wheel", "sdist", umask=0o077, TZ="Asia/Tokyo", LC_ALL="tr_TR", PYTHONHASHSEED="7"
    )
    assert files_of(again) == files_of(built)


def test_the_wheel_holds_the_package_the_checks_the_license_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"mcpdoctor-{mcpdoctor.__version__}.dist-info"
    source = {
        f"{prefix}{path.relative_to(ROOT).as_posix()}"
        for top, prefix in (("mcpdoctor", ""), ("checks", "mcpdoctor/"))
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    added = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == source | added
    assert {"mcpdoctor/py.typed", "mcpdoctor/render/page.html", "mcpdoctor/render/page.css"} <= names
    assert {"mcpdoctor/recorder/sitecustomize.py", "mcpdoctor/checks/endpoints.toml"} <= names


def test_the_sdist_holds_all_that_the_tests_read(unpacked: Path) -> None:
    wanted = {
        path.relative_to(ROOT).as_posix()
        for top in SHIPPED
        for path in ([ROOT / top] if (ROOT / top).is_file() else (ROOT / top).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(READ_BY_TESTS) <= set(SHIPPED)
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    # .gitignore comes along by itself, so that a build from here leaves out what one from a checkout does.
    assert held - wanted == {"PKG-INFO", ".gitignore", "pyproject.toml"}
    assert wanted - held == set()


def test_the_metadata_is_complete(built: Path) -> None:
    from packaging.metadata import Metadata

    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(f"mcpdoctor-{mcpdoctor.__version__}.dist-info/METADATA")
    told = Metadata.from_email(raw, validate=True)
    assert str(told.version) == mcpdoctor.__version__
    assert str(told.requires_python) == ">=3.11"
    assert {"Homepage", "Documentation", "Changelog", "Issues", "Source"} == set(told.project_urls or {})
    minors = [name.rpartition(".")[2] for name in told.classifiers or [] if re.search(r":: 3\.\d+$", name)]
    assert minors == ["11", "12", "13", "14"]
    assert told.summary
    assert message_from_bytes(raw)["License-Expression"] == "Apache-2.0"


def test_links_of_the_readme_lead_somewhere_on_the_package_index(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        text = message_from_bytes(archive.read(f"mcpdoctor-{mcpdoctor.__version__}.dist-info/METADATA")).get_payload()
    links = re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", str(text))
    assert links
    assert [link for pair in links for link in pair if link and not link.startswith(("https://", "#"))] == []
    assert f"https://github.com/mcpdoctor/mcpdoctor/blob/v{mcpdoctor.__version__}/docs/checks.md" in str(text)
