"""Run the benchmarks and print each figure as a ratio: `python -m tests.benchmarks.run`.

Both sides of a ratio take turns in the same run, so that it holds when the machine's speed drifts. The exit code is 1
when a ratio is over its bound. The lab runs in a process of its own, so that it costs neither side anything.

The peer of the last ratio is MCP Inspector's command line; it is measured when MCP_INSPECTOR names its executable
(`npm install @modelcontextprotocol/inspector`, then node_modules/.bin/mcp-inspector), best from an environment that
holds mcpdoctor alone: where trio is installed, as it is for the tests, httpcore imports it, and that counts against us.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio

from mcpdoctor import catalogue, engine, matrix
from mcpdoctor.lab import Lab
from mcpdoctor.network import Network, parse_route, tls_context

HERE = Path(__file__).parent
MCPDOCTOR = str(Path(sys.executable).with_name("mcpdoctor"))
SERVICES = ("aws-mcp", "bedrock-agentcore", "execute-api")
ROUNDS = 5


@contextmanager
def lab(*options: str) -> Iterator[dict[str, Any]]:
    """A lab in a process of its own; gives its JSON line."""
    process = subprocess.Popen([MCPDOCTOR, "lab", "--quiet", *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def environment(given: dict[str, str]) -> dict[str, str]:
    """An environment with the lab's keys and without anything of the user's AWS.

    What is installed is compiled; where that is switched off here, it would count against us alone.
    """
    unwanted = ("AWS_", "PYTHONDONTWRITEBYTECODE")
    rest = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**rest, **nowhere, "AWS_EC2_METADATA_DISABLED": "true", **given}


def seconds(command: Sequence[str], env: dict[str, str], codes: Sequence[int] = (0,)) -> float:
    """Wall seconds of a whole process; it must end with one of `codes`."""
    started = time.perf_counter()
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    if done.returncode not in codes:
        raise SystemExit(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


class Table:
    """Lines of figures; remembers whether one was over its bound."""

    def __init__(self) -> None:
        self.over = False

    def ratio(self, name: str, ours: list[float], floor: list[float], bound: float) -> None:
        ratio = statistics.median(a / b for a, b in zip(ours, floor, strict=True))
        a, b = statistics.median(ours), statistics.median(floor)
        self.line(name, f"{ratio:.2f} ({a:.2f} s / {b:.2f} s)", f"at most {bound}", good=ratio <= bound)

    def line(self, name: str, figure: str, bound: str, *, good: bool) -> None:
        self.over |= not good
        print(f"{'ok  ' if good else 'OVER'} {name:<58} {figure:<28} {bound}", flush=True)


def in_turn(rounds: int, ours: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[list[float], list[float]]:
    """Measure two commands in turn, after one run of each that does not count."""
    seconds(*ours), seconds(*other)
    pairs = [(seconds(*ours), seconds(*other)) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def start_up(table: Table) -> None:
    env = environment({})
    floor = ([sys.executable, "-c", "import click"], env)
    table.ratio("(a) mcpdoctor --version / import click", *in_turn(15, ([MCPDOCTOR, "--version"], env), floor), 1.5)


def healthy(table: Table) -> None:
    with lab() as served:
        env = environment(served["env"])
        url = f"{served['http']}/aws-mcp/us-east-1/mcp"
        ours = [MCPDOCTOR, "check", url, "-s", "aws-mcp", "-r", "us-east-1", "-c", "env", "--format", "json"]
        bare = [sys.executable, str(HERE / "bare.py"), url]
        table.ratio("(b) one healthy check / bare client script", *in_turn(ROUNDS, (ours, env), (bare, env)), 1.3)


def matrix_of_24(table: Table) -> None:
    with lab("--latency", "100ms") as served:
        env = environment(served["env"])
        routes = [text for route in served["connect_to"] for text in ("--connect-to", route)]
        base = [MCPDOCTOR, "check", "aws-mcp", "--ca-bundle", served["ca_bundle"], "--format", "json", *routes]
        regions = catalogue.load().endpoints["aws-mcp"].regions
        axes = [text for one in regions for text in ("-r", one)] + [text for one in SERVICES for text in ("-s", one)]
        many, one = ([*base, *axes], env), ([*base, "-r", "us-east-1"], env)
        table.ratio("(c) 24 configurations / 1, 100 ms latency", *in_turn(ROUNDS, many, one), 1.6)


def failing(table: Table) -> None:
    inspector = os.environ.get("MCP_INSPECTOR")
    if not inspector:
        print("--   (c) failing check / MCP Inspector: not measured, MCP_INSPECTOR is not set")
        return
    with lab() as served, tempfile.TemporaryDirectory() as home:
        env = environment({**served["env"], "HOME": home})
        url = f"{served['http']}/fault/auth/wrong-service/mcp"
        ours = [MCPDOCTOR, "check", url, "-s", "aws-mcp", "-r", "us-east-1", "-c", "env", "--format", "json"]
        theirs = [inspector, "--cli", url, "--transport", "http", "--method", "tools/list"]
        pair = in_turn(ROUNDS, (ours, env, (1,)), (theirs, env, range(1, 128)))
        table.ratio("(c) failing configuration diagnosed / MCP Inspector --cli", *pair, 1.0)


def recorded(table: Table) -> None:
    with lab() as served:
        env = environment(served["env"])
        bare = [sys.executable, str(HERE / "calls.py"), f"{served['http']}/fault/healthy/none/mcp"]
        ours = [MCPDOCTOR, "run", "--", *bare]
        with_us, without = in_turn(9, (ours, env), (bare, env))
        # Whatever else the machine does only adds, here by more than the bound allows: the fastest of each is compared.
        table.ratio("(e) run of a program with 500 calls / the program", [min(with_us)], [min(without)], 1.05)


def thrift(table: Table) -> None:
    """Count in this process: a matrix that ends before the client stages, so every handshake is ours."""
    with Lab() as served:
        routes = {(one.host, one.port): one for one in map(parse_route, served.connect_to)}
        network = Network(context=tls_context(served.ca_bundle), routes=routes, sealed=True)
        known = catalogue.load()
        axes = matrix.Axes(regions=("us-east-1", "eu-west-1"), services=SERVICES[1:], credentials=("default",))
        plan = matrix.expand(["aws-mcp"], axes, known)
        anyio.run(engine.run, plan, known, network, engine.Settings(standby=served.env))
        shakes = dict(served.tls_handshakes)
    most = max(shakes.values())
    table.line(f"(d) TLS handshakes a host, {len(plan.cells)} configurations", str(most), "at most 1", good=most == 1)

    local = Network(context=tls_context(None))
    with Lab() as served:
        port = served.http.rpartition(":")[2]
        urls = [f"http://{host}:{port}/aws-mcp/us-east-1/mcp" for host in ("localhost", "127.0.0.1")]
        plan = matrix.expand(urls, matrix.Axes(regions=("us-east-1",), services=SERVICES), known)
        anyio.run(engine.run, plan, known, local, engine.Settings(standby=served.env))
    asked = len(local.look_ups)
    good = sorted(local.look_ups) == sorted(set(local.look_ups))
    table.line(f"(d) DNS look-ups, {len(plan.cells)} configurations on 2 hosts", str(asked), "at most 2", good=good)


def main() -> int:
    """Run all of them."""
    table = Table()
    for benchmark in (start_up, healthy, matrix_of_24, failing, thrift, recorded):
        benchmark(table)
    return int(table.over)


if __name__ == "__main__":
    sys.exit(main())
