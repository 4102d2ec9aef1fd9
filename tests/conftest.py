"""What every test gets: a clean environment, the lab, the catalogue, and a way to run a plan."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import anyio
import hypothesis
import pytest

from mcpdoctor import engine, matrix
from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.lab import Lab, Options
from mcpdoctor.model import Report
from mcpdoctor.network import Network, parse_route, tls_context

_SCRUBBED = re.compile(
    r"AWS_.*|BOTO_CONFIG|.*_PROXY|CI|GITHUB_.*|NO_COLOR|FORCE_COLOR|CLICOLOR.*|COLUMNS|LINES|MCPDOCTOR_.*"
    r"|SSL_CERT_(FILE|DIR)|SSLKEYLOGFILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|XDG_.*|APPDATA|LOCALAPPDATA",
    re.IGNORECASE,
)


# How long one example takes depends on what else the machine does: nothing that a test of a property may fail for.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _scrubbed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No test sees the settings, the AWS files or the instance role of the machine it runs on."""
    for name in [name for name in os.environ if _SCRUBBED.fullmatch(name)]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "no-such-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "no-such-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command that runs in this process silences loggers and warnings for good; the next test hears them again."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    yield
    logging.disable(logging.NOTSET)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many of the problems that users reported were named."""
    cases = sys.modules.get("test_field_cases")
    if cases is not None and cases.NAMED:
        terminalreporter.write_line(f"Reported problems that were named: {len(cases.NAMED)} of {len(cases.ROWS)}.")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """What `checks/` holds."""
    return load()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab with its default options. Count by difference: its log goes on from test to test."""
    with Lab(Options()) as running:
        yield running


def network_of(lab: Lab, **given: Any) -> Network:
    """A network of which nothing leaves this machine: the names of the lab, and no others."""
    routes = {(route.host, route.port): route for route in map(parse_route, lab.connect_to)}
    return Network(context=tls_context(lab.ca_bundle), **{"routes": routes, "sealed": True, **given})


class Examine(Protocol):
    """Expands targets to a plan and runs it in this process, against the lab."""

    def __call__(
        self,
        *targets: str,
        regions: tuple[str, ...] = (),
        services: tuple[str, ...] = (),
        credentials: tuple[str, ...] = (),
        lab: Lab | None = None,
        environ: Mapping[str, str] | None = None,
        call: matrix.Call | None = None,
        timeout_s: float = 10.0,
        deadline_s: float = 60.0,
        network: Network | None = None,
        catalogue: Catalogue | None = None,
        standby: Mapping[str, str] | None = None,
        observer: engine.Observer | None = None,
    ) -> Report:
        """The report.

        Args:
            targets: as on the command line.
            regions: an axis of the matrix; so are `services` and `credentials`.
            lab: another one than that of the session.
            environ: environment variables of the user; none by default.
            call: the tool call of stage `call`.
            timeout_s: deadline of a stage.
            deadline_s: deadline of the run.
            network: another one than that of the lab.
            catalogue: another one than `checks/`.
            standby: another identity than the lab's default one.
            observer: is told how the run is going.
        """
        ...


@pytest.fixture
def examine(lab: Lab, catalogue: Catalogue) -> Examine:
    """See `Examine`."""
    usual_lab, usual_catalogue = lab, catalogue

    def run(
        *targets: str,
        regions: tuple[str, ...] = (),
        services: tuple[str, ...] = (),
        credentials: tuple[str, ...] = (),
        lab: Lab | None = None,
        environ: Mapping[str, str] | None = None,
        call: matrix.Call | None = None,
        timeout_s: float = 10.0,
        deadline_s: float = 60.0,
        network: Network | None = None,
        catalogue: Catalogue | None = None,
        standby: Mapping[str, str] | None = None,
        observer: engine.Observer | None = None,
    ) -> Report:
        here, known = lab or usual_lab, catalogue or usual_catalogue
        axes = matrix.Axes(regions=regions, services=services, credentials=credentials)
        plan = matrix.expand(targets, axes, known, call=call)
        settings = engine.Settings(
            timeout_s=timeout_s, deadline_s=deadline_s, environ=environ or {}, standby=standby or here.env
        )
        return anyio.run(engine.run, plan, known, network or network_of(here), settings, observer)

    return run
