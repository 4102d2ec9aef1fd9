"""The conformance suite of the MCP project against mcpdoctor and its lab: `make conformance`.

Its client scenarios run with `mcpdoctor check` as the client, its server scenarios against the healthy servers of the
lab. Prints a table; the exit code is 1 when a scenario fails that `expected.toml` does not explain, or passes that it
lists. With --write FILE the table goes there too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from mcpdoctor.lab import Lab, Options

from .judging import Failure, Outcome, Side, read_expected, surprises
from .report import document, table
from .signing import signed

HERE = Path(__file__).parent
PINS = json.loads((HERE / "package.json").read_text())["dependencies"]
SUITES = {name: pin.rsplit("@", 1)[1] for name, pin in PINS.items() if name.startswith("conformance")}
"""By the name of its directory: the version of a suite."""

REVISION = "2025-11-25"
"""The newest revision of MCP that the lab's servers speak. Suites that do not know the option test nothing newer."""

SERVERS = (
    ("healthy/none", "/fault/healthy/none/mcp", None),
    ("aws-knowledge", "/knowledge/mcp", None),
    ("aws-mcp, unsigned", "/aws-mcp/us-east-1/mcp", None),
    ("aws-mcp", "/aws-mcp/us-east-1/mcp", "aws-mcp"),
    ("agentcore-gateway", "/agentcore-gateway/mcp", "bedrock-agentcore"),
    ("agentcore-runtime", "/agentcore-runtime/mcp", "bedrock-agentcore"),
    ("eks-mcp", "/eks-mcp/us-east-1/mcp", "eks-mcp"),
)
"""Servers of the lab: name, path on plain HTTP, and the service that they want signatures for."""


def install(where: Path) -> None:
    """Have npm install what package.json pins, unless it is there.

    Raises:
        SystemExit: npm is missing, or failed.
    """
    if shutil.which("npm") is None:
        sys.exit(
            "The conformance suite is an npm package, and there is no npm here: install Node.js (https://nodejs.org)."
        )
    pins = (HERE / "package.json").read_bytes()
    done = where / "installed.json"
    if done.exists() and done.read_bytes() == pins:
        return
    where.mkdir(parents=True, exist_ok=True)
    (where / "package.json").write_bytes(pins)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=where, check=True)
    done.write_bytes(pins)


class Suite:
    """One version of the suite, installed.

    Args:
        where: the directory that npm installed into.
        name: the directory of the suite in it.
        results: a directory for what the suite writes.
    """

    def __init__(self, where: Path, name: str, results: Path) -> None:
        self.version = SUITES[name]
        self._results = results / name
        self._node = where / "node_modules/node/bin/node"
        self._main = where / "node_modules" / name / "dist/index.js"

    def scenarios(self, side: Side) -> list[str]:
        """Names of its scenarios for that side, as it lists them."""
        listed = self._run("list")[1]
        part = re.search(rf"(?m)^{side.title()} scenarios.*\n((?:  - .*\n)+)", listed)
        if part is None:
            sys.exit(f"{self.version} lists no {side} scenarios:\n{listed}")
        return re.findall(r"(?m)^  - (\S+)", part[1])

    def client(self, scenario: str) -> Outcome:
        """Run a client scenario with `mcpdoctor check` as the client."""
        results = self._results / "client" / scenario
        results.mkdir(parents=True)
        report = results / "mcpdoctor.json"
        command = f"{sys.executable} {HERE / 'client.py'}"
        arguments = ("client", "--command", command, "--scenario", scenario, "--timeout", "60000")
        passed, output = self._run(*arguments, "--output-dir", str(results), MCPDOCTOR_REPORT=str(report))
        why = _complaints(results) or ("" if passed else output.strip()[-500:])
        return Outcome(
            side="client", scenario=scenario, suite=self.version, subject=_said(report), passed=passed, why=why
        )

    def servers(self, subject: str, url: str) -> Iterator[Outcome]:
        """Run every server scenario about the revisions that the lab speaks against one of its servers."""
        results = self._results / "server" / subject.replace(", ", "-").replace("/", "-")
        results.mkdir(parents=True)
        arguments = ("server", "--url", url, "--suite", "all", "--spec-version", REVISION)
        _, output = self._run(*arguments, "--output-dir", str(results))
        ended = re.findall(r"(?m)^([✓✗]) (\S+): ", output)
        if not ended:
            sys.exit(f"{self.version} ran no server scenario:\n{output}")
        for mark, scenario in ended:
            why = _complaints(results, f"server-{scenario}-20*/checks.json")
            yield Outcome(
                side="server", scenario=scenario, suite=self.version, subject=subject, passed=mark == "✓", why=why
            )

    def _run(self, *arguments: str, **environ: str) -> tuple[bool, str]:
        unwanted = ("AWS_", "MCPDOCTOR_", "MCP_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        done = subprocess.run(
            [self._node, self._main, *arguments],
            env={**kept, "AWS_EC2_METADATA_DISABLED": "true", **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode == 0, done.stdout


def _complaints(results: Path, pattern: str = "**/checks.json") -> str:
    """What the suite found wrong, from its own records."""
    checks = [check for path in results.glob(pattern) for check in json.loads(path.read_text())]
    wrong = [check for check in checks if check["status"] in ("FAILURE", "WARNING")]
    return "; ".join(f"{check['id']}: {check.get('errorMessage') or check['description']}" for check in wrong)


def _said(report: Path) -> str:
    """What mcpdoctor made of the server: that it works, or the checks that fired."""
    if not report.exists():
        return "no report"
    result = json.loads(report.read_text())["results"][0]
    checks = [finding["check"] for finding in result["findings"]]
    return ", ".join([*(["works"] if result["works"] else []), *checks]) or "nothing"


@contextmanager
def servers() -> Iterator[list[tuple[str, str]]]:
    """The healthy servers of a lab without limits: name and URL."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(Options(limits=("none",))))
        urls = []
        for name, path, service in SERVERS:
            base = lab.http if service is None else stack.enter_context(signed(lab.http, service, lab.env))
            urls.append((name, base + path))
        yield urls


def outcomes(where: Path, results: Path, only: str) -> Iterator[Outcome]:
    """Run everything whose scenario is like `only`, one after another: some scenarios measure time."""
    suites = [Suite(where, name, results) for name in SUITES]
    for suite in suites:
        yield from (suite.client(name) for name in suite.scenarios("client") if fnmatch(name, only))
    with servers() as found:
        for suite in suites:
            for name, url in found:
                yield from (outcome for outcome in suite.servers(name, url) if fnmatch(outcome.scenario, only))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--npm", type=Path, required=True, help="directory to install the suite into")
    parser.add_argument("--results", type=Path, help="keep what the suite writes here")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="scenarios with such names alone")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to FILE too")
    given = parser.parse_args()
    expected: tuple[Failure, ...] = read_expected()
    install(given.npm.absolute())
    with tempfile.TemporaryDirectory() as temporary:
        results = (given.results or Path(temporary)).absolute()
        ran = []
        for outcome in outcomes(given.npm.absolute(), results, given.only):
            ran.append(outcome)
            mark = "passed" if outcome.passed else "failed"
            print(f"{outcome.suite} {outcome.side} {outcome.scenario} ({outcome.subject}): {mark}", file=sys.stderr)
    print(table(ran, expected))
    if given.write:
        given.write.write_text(document(ran, expected, suites=SUITES.values(), day=datetime.now(UTC).date()))
    wrong = surprises(ran, expected)
    for line in wrong:
        print(line)
    return 1 if wrong or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
