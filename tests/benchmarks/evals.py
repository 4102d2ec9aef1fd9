"""An eval suite of ten cases against the Knowledge server of the lab, with and without the plugin of pytest.

`python -m tests.benchmarks.evals [RUNS]` prints how often each way of running it fails: ten workers, as people start
them, and as many as `--mcpdoctor -n auto` finds safe.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from mcpdoctor.lab import Lab, Options

CASES, RUNS = 10, 20
SUITE = f"""
import os
import anyio, httpx, pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

async def note(response):
    if response.status_code == 429:
        with open("refused.txt", "a") as file:
            file.write("429\\n")

async def ask():
    async with httpx.AsyncClient(event_hooks={{"response": [note]}}) as client:
        async with streamable_http_client(os.environ["ENDPOINT"], http_client=client) as (receive, send, _):
            async with ClientSession(receive, send) as session:
                await session.initialize()
                for _ in range(3):
                    await session.call_tool("aws___search_documentation", {{"search_phrase": "s3"}})
                    await anyio.sleep(0.2)  # a model thinks

@pytest.mark.parametrize("case", range({CASES}))
def test_case(case):
    async def hurried():
        with anyio.fail_after(20):
            await ask()
    anyio.run(hurried)
"""


def run(directory: Path, lab: Lab, *arguments: str) -> tuple[int, int]:
    """Run the suite once: how many cases failed, and how many of its requests were answered with 429."""
    refused = directory / "refused.txt"
    refused.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=directory,
        env={**os.environ, "ENDPOINT": lab.url("aws-knowledge")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    failed = re.search(r"(\d+) failed", done.stdout)
    if not failed and done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return int(failed[1]) if failed else 0, len(refused.read_text().split())


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    rows = []
    with tempfile.TemporaryDirectory() as name, Lab(Options()) as lab:
        directory = Path(name)
        (directory / "test_evals.py").write_text(SUITE)
        preflight = (f"--mcpdoctor={lab.url('aws-knowledge')}", "--mcpdoctor-args=--credential none")
        for words in (("-n", "10"), (*preflight, "-n", "auto")):
            seen = [run(directory, lab, *words) for _ in range(runs)]
            bad = sum(failed > 0 for failed, _ in seen)
            way = "--mcpdoctor -n auto" if words[0] != "-n" else " ".join(words)
            rows.append((way, runs, bad, f"{bad / runs:.0%}", sum(one for one, _ in seen), sum(one for _, one in seen)))
    print(tabulate(rows, ("pytest", "runs", "failed", "share", "failed cases", "429")))


if __name__ == "__main__":
    main()
