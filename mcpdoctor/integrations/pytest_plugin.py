"""A plugin of pytest: a preflight before anything is collected, and as many workers as the endpoint allows.

`pytest --mcpdoctor` runs `mcpdoctor check` first. Where no configuration works, the session ends at once with the
diagnosis, and not with a hundred failing tests. With pytest-xdist, `-n auto` starts as many workers as were measured to
be safe. Without the option the plugin does nothing, and imports nothing of mcpdoctor.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from mcpdoctor.testing import add_marker, mcp_lab

if TYPE_CHECKING:
    from pathlib import Path

    from mcpdoctor.model import Configuration, Report

__all__ = ["mcp_endpoint", "mcp_lab"]

_BEST = "mcpdoctor_best"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What the preflight of this session found; `refusal` where it could not be run."""

    report: Report | None
    refusal: str = ""


_OUTCOME = pytest.StashKey[_Outcome]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--mcpdoctor`, and what goes with it."""
    group = parser.getgroup("mcpdoctor", "preflight for tests that use MCP servers (mcpdoctor)")
    group.addoption(
        "--mcpdoctor",
        nargs="?",
        const="",
        metavar="SUITE",
        help="Check the MCP endpoints first, and end at once with the diagnosis where none works. SUITE is a suite, a "
        "suite file, a target or a URL; without it, the suite of the project (mcpdoctor.toml, or [tool.mcpdoctor] in "
        "pyproject.toml), else what `mcpdoctor check` does. With -n auto (pytest-xdist), also measure how many workers "
        "are safe, and start as many.",
    )
    group.addoption(
        "--mcpdoctor-args",
        default="",
        metavar="ARGUMENTS",
        help="More arguments of `mcpdoctor check`, such as '--credential none --timeout 20'.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker of the lab known."""
    add_marker(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Answer `-n auto` with the number of workers that was measured to be safe."""
    if not _asked(config):
        return None
    from mcpdoctor.integrations.preflight import workers

    found = _preflight(config, measured=True)
    if found.report is None or found.report.exit_code:
        return 0  # the session ends before it would start any
    return workers(found.report, os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker of pytest-xdist which configuration is best."""
    node.workerinput[_BEST] = json.dumps([asdict(one) for one in _best(node.config)])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Run the preflight, and end the session where it fails."""
    config = session.config
    if not _asked(config) or hasattr(config, "workerinput"):
        return
    found = _preflight(config)
    if found.report is None:
        raise pytest.UsageError(f"--mcpdoctor: {found.refusal}")
    if found.report.exit_code:
        from mcpdoctor.render import draw

        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write(draw(found.report, "table", color=reporter.hasmarkup, width=reporter._tw.fullwidth))
        missed = any(not one.met for one in found.report.requirements) and bool(found.report.best)
        what = "what is required is not given" if missed else "no configuration works"
        pytest.exit(f"mcpdoctor: {what}; nothing was collected (see above).", returncode=1)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Which configuration works, and how many workers are safe."""
    found = config.stash.get(_OUTCOME, None)
    if found is None or found.report is None or found.report.exit_code:
        return []
    lines = []
    for one in found.report.best:
        how = f"signed for {one.configuration.service}" if one.configuration.signed else "unsigned"
        lines.append(f"mcpdoctor: {one.target} works at {one.configuration.endpoint}, {how}")
    return lines + [
        f"mcpdoctor: {one.target} allows {one.recommended_workers} parallel workers" for one in found.report.ceilings
    ]


@pytest.fixture(scope="session")
def mcp_endpoint(pytestconfig: pytest.Config) -> Configuration:
    """The best configuration that the preflight found: `endpoint`, `region`, `service`, `credential`.

    Where several targets were checked, it is that of the first.
    """
    if not _asked(pytestconfig):
        pytest.fail("mcp_endpoint comes from a preflight: run pytest with --mcpdoctor.", pytrace=False)
    from mcpdoctor.model import Configuration

    given = getattr(pytestconfig, "workerinput", {}).get(_BEST)
    best = json.loads(given) if given else [asdict(one) for one in _best(pytestconfig)]
    if not best:
        pytest.fail("mcp_endpoint: the preflight found no configuration that works.", pytrace=False)
    return Configuration(**best[0])


def _asked(config: pytest.Config) -> bool:
    return config.getoption("--mcpdoctor", None) is not None


def _best(config: pytest.Config) -> list[Configuration]:
    found = config.stash.get(_OUTCOME, None)
    return [one.configuration for one in found.report.best] if found and found.report else []


def _preflight(config: pytest.Config, *, measured: bool = False) -> _Outcome:
    """The preflight of this session: the first call runs it."""
    if _OUTCOME not in config.stash:
        config.stash[_OUTCOME] = _run(config, measured=measured)
    return config.stash[_OUTCOME]


def _run(config: pytest.Config, *, measured: bool) -> _Outcome:
    import shlex

    from mcpdoctor.integrations.preflight import run
    from mcpdoctor.model import Unusable

    suite = config.getoption("--mcpdoctor")
    try:
        more = shlex.split(config.getoption("--mcpdoctor-args"))
        words = [*_named(suite), *(("--ceiling", "--yes") if measured else ()), *more]
        return _Outcome(report=run(words, directory=None if suite else _project(config)))
    except (Unusable, ValueError) as error:
        return _Outcome(report=None, refusal=str(error))


def _project(config: pytest.Config) -> Path | None:
    """The root of the session where the project has a suite; None leaves it to where pytest was started."""
    from mcpdoctor.suite_files import find

    return config.rootpath if find(config.rootpath) else None


def _named(suite: str) -> list[str]:
    """The arguments that stand for what was given: a target or URL as it is, anything else as a suite."""
    if not suite:
        return []
    if "://" in suite:
        return [suite]
    from mcpdoctor.catalogue import load

    known = load(stems=())
    return [suite] if suite in known.endpoints and suite not in known.suites else ["--suite", suite]
