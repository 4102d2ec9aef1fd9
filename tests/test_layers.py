"""Imports flow one way, from the lower layers to the upper (docs/design.md): read off the source of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcpdoctor

PACKAGE = Path(mcpdoctor.__file__).parent

LAYERS = {
    "failures": 0,
    "threads": 0,
    "redaction": 0,
    "samples": 0,
    "model": 1,
    "forms": 2,
    "suite": 2,
    "suite_files": 6,
    "suite_schema": 6,
    "requirements": 4,
    "bearer": 2,
    "challenges": 2,
    "answers": 1,
    "revisions": 3,
    "tracebacks": 1,
    "javascript": 2,
    "sentences": 2,
    "texts": 2,
    "endpoints": 1,
    "inference": 1,
    "installed": 2,
    "catalogue": 2,
    "addresses": 3,
    "chain": 2,
    "provenance": 2,
    "credentials": 2,
    "reading": 3,
    "clients": 3,
    "matrix": 3,
    "diagnosis": 3,
    "defects": 3,
    "limits": 3,
    "verdict": 5,
    "http_proxies": 3,
    "network": 3,
    "bodies": 3,
    "transcript": 3,
    "wire": 3,
    "certificates": 4,
    "way": 4,
    "probes": 4,
    "from_files": 4,
    "starting": 5,
    "evidence": 4,
    "linting": 4,
    "oauth": 4,
    "outcomes": 4,
    "identities": 4,
    "ceiling": 4,
    "whoami": 4,
    "caller": 4,
    "lanes": 4,
    "talking": 4,
    "followups": 4,
    "traces": 4,
    "engine": 5,
    "comparing": 5,
    "proposing": 5,
    "snippets": 5,
    "measuring": 5,
    "explanation": 5,
    "render": 6,
    "lab": 6,
    "hooks": 6,
    "recording": 3,
    "recorder": 6,
    "running": 6,
    "testing": 6,
    "connect": 6,
    "integrations": 6,
    "cli": 7,
    "__init__": 7,
    "__main__": 7,
}

PURE = (
    "endpoints",
    "forms",
    "suite",
    "requirements",
    "inference",
    "addresses",
    "matrix",
    "diagnosis",
    "limits",
    "verdict",
    "samples",
    "model",
    "answers",
    "revisions",
    "redaction",
    "challenges",
    "tracebacks",
    "javascript",
    "sentences",
    "reading",
    "evidence",
    "explanation",
    "defects",
    "comparing",
)
ACTS = {"anyio", "asyncio", "botocore", "boto3", "httpx", "mcp", "os", "shutil", "socket", "ssl", "subprocess", "time"}
HEAVY = ("httpx", "mcp", "botocore", "mcp_proxy_for_aws", "anyio")

MODULES = sorted(PACKAGE.rglob("*.py"))


def unit(module: Path) -> str:
    """The module or package of the first level that `module` belongs to."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(module: Path) -> Iterator[str]:
    """Absolute name of everything that `module` imports, wherever in its text."""
    package = ["mcpdoctor", *module.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(module.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def ours(module: Path) -> set[str]:
    """Units of mcpdoctor that `module` imports, its own left out; the version may be asked for by anybody."""
    names = {name.split(".")[1] for name in imported(module) if name.startswith("mcpdoctor.")}
    return names - {"__version__", unit(module)}


def test_reading_the_imports_finds_every_form_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "render" / "table.py"
    module.parent.mkdir()
    module.write_text(
        "import json, os.path\nfrom mcpdoctor import __version__, engine\nfrom mcpdoctor.model import Stage\n"
        "from . import html\nfrom ..wire import Route\ndef late():\n    from mcpdoctor.cli import main\n"
    )
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    assert set(imported(module)) == {
        "json",
        "os.path",
        "mcpdoctor.__version__",
        "mcpdoctor.engine",
        "mcpdoctor.model.Stage",
        "mcpdoctor.render.html",
        "mcpdoctor.wire.Route",
        "mcpdoctor.cli.main",
    }
    assert ours(module) == {"engine", "model", "wire", "cli"}


def test_every_module_has_a_layer() -> None:
    assert {unit(module) for module in MODULES} - set(LAYERS) == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_a_module_imports_nothing_from_above(module: Path) -> None:
    above = {name for name in ours(module) if LAYERS.get(name, 99) > LAYERS[unit(module)]}
    assert above == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    needs: dict[str, set[str]] = {}
    for module in MODULES:
        if unit(module) != "__init__":  # everybody takes the version from there
            needs.setdefault(unit(module), set()).update(ours(module))
    left = dict(needs)
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    assert left == {}


def test_the_lab_is_an_independent_witness() -> None:
    foreign = {
        name
        for module in MODULES
        if unit(module) == "lab"
        for name in imported(module)
        if name.split(".")[0] in {"botocore", "boto3", "mcp_proxy_for_aws"}
        or (name.startswith("mcpdoctor.") and not name.startswith("mcpdoctor.lab"))
    }
    assert foreign == set()


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_can_do_no_input_or_output(name: str) -> None:
    assert {one.split(".")[0] for one in imported(PACKAGE / f"{name}.py")} & ACTS == set()


def test_failures_takes_only_names_of_errors_from_the_modules_that_act() -> None:
    # It has to tell errors apart by class and number; with these names nothing can be opened, sent or asked for.
    text = (PACKAGE / "failures.py").read_bytes()
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ACTS
    }
    assert used == {"os.strerror", "socket.gaierror", "ssl.SSLError"}
    assert {one.split(".")[0] for one in imported(PACKAGE / "failures.py")} & ACTS == {"os", "socket", "ssl"}


SENDING = {"meter", "sessions", "measurement", "distributed"}
"""What of `ceiling` carries the search out; the rest of it is pure."""
PURE_CEILING = sorted(one for one in (PACKAGE / "ceiling").glob("*.py") if one.stem not in SENDING)


@pytest.mark.parametrize("module", PURE_CEILING, ids=lambda module: module.stem)
def test_the_search_for_a_ceiling_can_do_no_input_or_output(module: Path) -> None:
    assert {one.split(".")[0] for one in imported(module)} & ACTS == set()
    assert not {one for one in imported(module) for name in SENDING if f"ceiling.{name}" in one}


OPENING = {"files", "finding", "known", "source", "walking"}
"""What of `clients/` opens files; the rest of it works on what was read."""
PURE_CLIENTS = sorted(one for one in (PACKAGE / "clients").rglob("*.py") if one.stem not in OPENING)


@pytest.mark.parametrize("module", PURE_CLIENTS, ids=lambda module: module.stem)
def test_the_reading_of_what_is_opened_opens_nothing(module: Path) -> None:
    assert {one.split(".")[0] for one in imported(module)} & {*ACTS, "pathlib", "importlib"} == set()


LOOKING = {"looking"}
"""What of `proposing/` reads files; the rest of it makes a text."""
PURE_PROPOSING = sorted(one for one in (PACKAGE / "proposing").glob("[a-z]*.py") if one.stem not in LOOKING)


@pytest.mark.parametrize("module", PURE_PROPOSING, ids=lambda module: module.stem)
def test_the_writing_of_a_first_suite_can_do_no_input_or_output(module: Path) -> None:
    assert {one.split(".")[0] for one in imported(module)} & {*ACTS, "pathlib"} == set()


READING = {"gathering", "profiles", "rewriting"}
"""What of `linting/` reads and writes files; the rest of it judges what was read."""
PURE_LINTING = sorted(one for one in (PACKAGE / "linting").glob("[a-z]*.py") if one.stem not in READING)


@pytest.mark.parametrize("module", PURE_LINTING, ids=lambda module: module.stem)
def test_the_judging_of_files_can_do_no_input_or_output(module: Path) -> None:
    assert {one.split(".")[0] for one in imported(module)} & ACTS == set()


@pytest.mark.parametrize(
    "name", ["model", "catalogue", "clients", "credentials", "matrix", "diagnosis", "explanation", "hooks"]
)
def test_importing_a_lower_module_imports_no_client(name: str) -> None:
    code = f"import sys, mcpdoctor.{name}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == []


def test_the_table_of_a_report_does_without_the_readers_of_client_files() -> None:
    code = "import sys, mcpdoctor.render.table; print(*sorted({'mcpdoctor.clients', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == []


def test_importing_the_engine_does_not_import_the_sdk() -> None:
    code = "import sys, mcpdoctor.engine; print(*sorted({'mcp', 'mcp_proxy_for_aws', 'botocore'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == []


def test_help_needs_none_of_what_does_the_work() -> None:
    code = (
        "import sys\n"
        "from mcpdoctor.cli import cli\n"
        "for words in ['--help'], ['check', '--help'], ['--version']:\n"
        "    cli(words, standalone_mode=False)\n"
        "print(*sorted(one for one in sys.modules if one.startswith('mcpdoctor.')), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert "check [OPTIONS]" in done.stdout
    assert {one.split(".")[1] for one in done.stderr.split()} == {"cli", "render"}
