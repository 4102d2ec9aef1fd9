"""What one held session costs: ours beside the same session of the client with its defaults, in CPU time; and memory.

`python -m tests.benchmarks.holding [--sessions 40] [--held 500]`. The lab serves from a process of its own; each side
runs in a fresh process, after its imports and one session to warm up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import certifi
from tabulate import tabulate

from .run import environment, lab

HOST = "aws-mcp.us-east-1.api.aws"
ALLOWED = 0.4
MEMORY_MB = 300


def measured(side: str, sessions: int, about: dict[str, Any]) -> dict[str, float]:
    """Run one side in a fresh process.

    Both trust the authorities that httpx trusts by default, and the lab's: to load them is what costs.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as authorities:
        authorities.write(Path(certifi.where()).read_text("utf-8") + Path(about["ca_bundle"]).read_text("utf-8"))
        authorities.flush()
        return _fresh(side, sessions, {**environment(about["env"]), "SSL_CERT_FILE": authorities.name}, about)


def _fresh(side: str, sessions: int, environment: dict[str, str], about: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.holding", "--side", side, "--sessions", str(sessions)]
    command += ["--port", str(about["https_port"])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


async def theirs(sessions: int, port: int) -> float:
    """CPU seconds of a session with the defaults of the library."""
    from mcp import ClientSession
    from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client

    async def hold(stack: contextlib.AsyncExitStack) -> None:
        client = aws_iam_streamablehttp_client(f"https://{HOST}:{port}/mcp", "aws-mcp", "us-east-1")
        receive, send, _ = await stack.enter_async_context(client)
        session = await stack.enter_async_context(ClientSession(receive, send))
        await session.initialize()

    async with contextlib.AsyncExitStack() as stack:
        await hold(stack)
        began = time.process_time()
        for _ in range(sessions):
            await hold(stack)
        return (time.process_time() - began) / sessions


async def ours(sessions: int, port: int) -> float:
    """CPU seconds of a session as `mcpdoctor ceiling` holds it."""
    from mcpdoctor import credentials, probes
    from mcpdoctor.catalogue import load
    from mcpdoctor.ceiling import Open
    from mcpdoctor.ceiling.sessions import Sessions, Way
    from mcpdoctor.network import Network, Route, tls_context
    from mcpdoctor.samples import Outcome

    probes.load_client()
    resolved = credentials.resolve("default", environ=os.environ, standby=None, with_region=False)
    way = Way(
        url=f"https://{HOST}/mcp",
        signer=probes.Signer(resolved=resolved, region="us-east-1", service="aws-mcp"),
        network=Network(context=tls_context(None), routes={(HOST, 443): Route(HOST, 443, "127.0.0.1", port)}),
        catalogue=load(),
    )
    hands = Sessions(way)
    try:
        await hands.perform(Open(session=1))
        began = time.process_time()
        for number in range(2, sessions + 2):
            samples = await hands.perform(Open(session=number))
            assert all(one.outcome is Outcome.ACCEPTED for one in samples), samples
        return (time.process_time() - began) / sessions
    finally:
        await hands.aclose()


def side(name: str, sessions: int, port: int) -> None:
    """One side, in this process."""
    import anyio

    real = socket.getaddrinfo

    def here(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host in (HOST, HOST.encode()) else host, *rest, **more)

    socket.getaddrinfo = here
    cpu_s = anyio.run({"ours": ours, "theirs": theirs}[name], sessions, port)
    print(json.dumps({"cpu_s": cpu_s, "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> int:
    """Measure both sides, print a table, fail where a bound is missed."""
    options = argparse.ArgumentParser()
    options.add_argument("--side")
    options.add_argument("--port", type=int)
    options.add_argument("--sessions", type=int, default=40)
    options.add_argument("--held", type=int, default=500)
    given = options.parse_args()
    if given.side:
        side(given.side, given.sessions, given.port)
        return 0
    with lab("--limit", "none") as about:
        runs = {name: [measured(name, given.sessions, about) for _ in range(3)] for name in ("theirs", "ours")}
        held = measured("ours", given.held, about)
    cpu = {name: min(one["cpu_s"] for one in of) for name, of in runs.items()}
    ratio = cpu["ours"] / cpu["theirs"]
    rows = [
        ("CPU of a held session, defaults of the library", f"{cpu['theirs'] * 1000:.1f} ms", ""),
        ("CPU of a held session, ours", f"{cpu['ours'] * 1000:.1f} ms", f"{ratio:.2f} (at most {ALLOWED})"),
        (f"memory with {given.held} held sessions", f"{held['memory_mb']:.0f} MB", f"at most {MEMORY_MB} MB"),
    ]
    print(tabulate(rows, ("what", "measured", "ratio, bound")))
    return int(ratio > ALLOWED or held["memory_mb"] > MEMORY_MB)


if __name__ == "__main__":
    sys.exit(main())
