"""What is found out about limiters that are not ours: `python -m tests.benchmarks.foreign [NAME ...] [--runs N]`.

Each is measured by the command line, several times over: what was found, what it cost, and how often that was right.
Names are those of `CASES`; part of a name will do.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from mcpdoctor.lab import Lab, Options

from .running import endpoint, measured

CONN = "limit_conn_zone $binary_remote_addr zone=held:1m;"
SLOW = ("--tool", "work", "--arguments", '{"seconds": 0.3}')


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What stands there.

    Attributes:
        kinds: the right answers.
        places: sessions or requests at a time.
        rate: requests per second; None unless a rate.
        burst: requests at once.
        server: arguments of the server.
        zone: of nginx; None without nginx.
        rule: of nginx.
        options: of the command line.
        lab: the limit of our own lab, which then stands in for all of this.
    """

    kinds: tuple[str, ...]
    places: int | None = None
    rate: float | None = None
    burst: int | None = None
    server: tuple[str, ...] = ()
    zone: str | None = None
    rule: str = ""
    options: tuple[str, ...] = ()
    lab: tuple[str, ...] = ()

    def verdict(self, found: dict[str, Any]) -> str:
        """right, unsure, or what is wrong."""
        if found["limiter"] == "unknown":
            return "unsure"
        if found["limiter"] not in self.kinds:
            return "WRONG kind"
        if found["limiter"] == "none-seen":
            return "right" if self.lab or not found["refused"] else "WRONG refused"
        if found["limiter"] != "rate":
            return "right" if found["highest_clean"] == self.places else "WRONG places"
        if abs(found["rate_per_s"] / self.rate - 1) > 0.2:
            return "WRONG rate"
        return "right" if abs(found["burst"] - (self.burst or 0)) <= 1 else "WRONG burst"


def connections(most: int, status: int, **given) -> Truth:
    """nginx limit_conn."""
    rule = f"limit_conn held {most};" + (f" limit_conn_status {status};" if status != 503 else "")
    return Truth(kinds=("in-flight", "sessions"), places=most, zone=CONN, rule=rule, **given)


def requests(rate: str, burst: int, status: int, *, nodelay: bool = True, **given) -> Truth:
    """nginx limit_req: the bucket lets `burst` more than one through at once."""
    zone = f"limit_req_zone $binary_remote_addr zone=asked:1m rate={rate};"
    rule = "limit_req zone=asked" + (f" burst={burst}{' nodelay' if nodelay else ''}" if burst else "") + ";"
    rule += f" limit_req_status {status};" if status != 503 else ""
    per_s = int(rate[:-3]) / {"r/s": 1, "r/m": 60}[rate[-3:]]
    kinds = ("rate",) if nodelay else ("in-flight", "rate")
    return Truth(kinds=kinds, rate=per_s, burst=burst + 1, places=burst + 1, zone=zone, rule=rule, **given)


def oracle(strategy: str, most: int, period_s: int, *more: str, **given) -> Truth:
    """A strategy of the `limits` package."""
    server = ("--strategy", strategy, "--rate", f"{most}/{period_s} seconds", *more)
    return Truth(kinds=("rate",), rate=most / period_s, burst=most, server=server, **given)


def lab(kind: str, *arguments: str, **given) -> Truth:
    """Our own lab."""
    return Truth(kinds=(kind,), lab=arguments, **given)


STATELESS = ("--stateless",)
CASES = {
    "plain": Truth(kinds=("none-seen",), zone=""),
    "plain slow": Truth(kinds=("none-seen",), zone="", options=SLOW),
    "plain stateless": Truth(kinds=("none-seen",), zone="", server=STATELESS),
    "plain stateless slow": Truth(kinds=("none-seen",), zone="", server=STATELESS, options=SLOW),
    "direct": Truth(kinds=("none-seen",)),
    "conn 7 429": connections(7, 429),
    "conn 7 503": connections(7, 503),
    "conn 7 429 slow": connections(7, 429, options=SLOW),
    "conn 3 503": connections(3, 503),
    "conn 2 429": connections(2, 429),
    "conn 12 503 slow": connections(12, 503, options=SLOW),
    "conn 5 429 stateless": connections(5, 429, server=STATELESS),
    "conn 5 429 stateless slow": connections(5, 429, server=STATELESS, options=SLOW),
    "conn 5 503 stateless slow": connections(5, 503, server=STATELESS, options=SLOW),
    "req 5/s 10 429": requests("5r/s", 10, 429),
    "req 5/s 10 503": requests("5r/s", 10, 503),
    "req 3/s 20 503": requests("3r/s", 20, 503),
    "req 30/m 5 429": requests("30r/m", 5, 429),
    "req 10/s 0 503": requests("10r/s", 0, 503),
    "req 1/s 3 429": requests("1r/s", 3, 429),
    "req 2/s 5 429 stateless": requests("2r/s", 5, 429, server=STATELESS),
    "req 2/s 5 503 stateless slow": requests("2r/s", 5, 503, server=STATELESS, options=SLOW),
    "queue 5/s 10 429": requests("5r/s", 10, 429, nodelay=False),
    "queue 5/s 10 503 slow": requests("5r/s", 10, 503, nodelay=False, options=SLOW),
    "queue 20/s 4 503": requests("20r/s", 4, 503, nodelay=False),
    "queue 5/s 5 429 stateless": requests("5r/s", 5, 429, nodelay=False, server=STATELESS),
    "moving 20/10s": oracle("moving", 20, 10),
    "moving 20/10s told": oracle("moving", 20, 10, "--retry-after"),
    "moving 30/10s stateless": oracle("moving", 30, 10, "--stateless"),
    "fixed 20/10s": oracle("fixed", 20, 10),
    "fixed 20/10s told": oracle("fixed", 20, 10, "--retry-after"),
    "fixed 60/60s": oracle("fixed", 60, 60),
    "fixed 5/1s stateless": oracle("fixed", 5, 1, "--stateless"),
    "counter 20/10s": oracle("sliding-counter", 20, 10),
    "counter 20/10s told": oracle("sliding-counter", 20, 10, "--retry-after"),
    "lab noise": lab("none-seen", "--limit", "none", "--noise", "0.05"),
    "lab sessions 7 noise": lab("sessions", "--limit", "sessions:7", "--noise", "0.05", places=7),
    "lab rate 3 10": lab("rate", "--limit", "rate:3/s,burst:10", rate=3, burst=10),
    "lab in-flight 4": lab("in-flight", "--limit", "in-flight:4", "--latency", "0.2", places=4),
    "lab window 60/10s": lab("rate", "--limit", "window:60/10s", rate=6, burst=60),
    "lab sliding 20/10s": lab("rate", "--limit", "sliding:20/10s", rate=2, burst=20),
    "lab rate 0.2 3": lab("rate", "--limit", "rate:0.2/s,burst:3", rate=0.2, burst=3),
}


@contextmanager
def standing(truth: Truth, base: Path, seed: int) -> Iterator[tuple[str, ...]]:
    """Start it; yields the arguments that name it."""
    if not truth.lab:
        with endpoint(base, server=truth.server, zone=truth.zone, rule=truth.rule) as url:
            yield (url, *truth.options)
        return
    options = lab_options(truth.lab, seed)
    with Lab(options) as running:
        more = (
            "--ca-bundle",
            running.ca_bundle,
            *(part for one in running.connect_to for part in ("--connect-to", one)),
        )
        os.environ.update(running.env)
        yield ("aws-mcp", "--credential", "default", *more, *truth.options)


def lab_options(limits: tuple[str, ...], seed: int) -> Options:
    """Options of the lab, from arguments as its command line takes them."""
    given = dict(zip(limits[::2], limits[1::2], strict=True))
    return Options(
        limits=(given["--limit"],),
        seed=seed,
        noise=float(given.get("--noise", 0)),
        latency_s=float(given.get("--latency", 0)),
    )


def main() -> int:
    """Measure, and print one line a run and a table at the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="directory for the whole answers, as JSON")
    chosen = parser.parse_args()
    rows = []
    for name, truth in CASES.items():
        if chosen.names and not any(re.search(part, name) for part in chosen.names):
            continue
        verdicts, founds = [], []
        for run in range(chosen.runs):
            with tempfile.TemporaryDirectory() as base, standing(truth, Path(base), run) as (url, *options):
                found = measured(url, *options)
            verdicts.append(truth.verdict(found))
            founds.append(found)
            if chosen.keep:
                chosen.keep.mkdir(parents=True, exist_ok=True)
                (chosen.keep / f"{name.replace(' ', '_').replace('/', '-')}.{run}.json").write_text(json.dumps(found))
            print(f"{time.strftime('%H:%M:%S')} {name:28} {told(found)}  {verdicts[-1]}", flush=True)
        costs = [[one[what] for one in founds] for what in ("requests", "refused", "elapsed_s")]
        spans = [f"{min(one):.0f}-{max(one):.0f}" for one in costs]
        counts = [sum(one.startswith(word) for one in verdicts) for word in ("right", "unsure", "WRONG")]
        rows.append([name, *spans, *counts])
    print("\n" + tabulate(rows, headers=["limit", "requests", "refused", "seconds", "right", "unsure", "wrong"]))
    return int(any(row[-1] for row in rows))


def told(found: dict[str, Any]) -> str:
    """One answer in a line."""
    numbers = f"clean {found['highest_clean']} refused {found['lowest_refused']}"
    if found["limiter"] == "rate":
        numbers = f"{found['rate_per_s']:.3g}/s burst {found['burst']} ({found['burst_interval']})"
    posterior = " ".join(f"{kind}:{weight:.2f}" for kind, weight in found["posterior"].items() if weight > 0.005)
    ends = [round(end, 3) for end in found["interval"] or ()]
    return (
        f"{found['limiter']:9} {numbers} {ends} workers {found['recommended_workers']}, {found['requests']} requests "
        f"{found['refused']} refused {found['elapsed_s']:.0f} s {found['stopped']} [{posterior}]"
    )


if __name__ == "__main__":
    sys.exit(main())
