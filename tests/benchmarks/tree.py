"""`mcpdoctor lint` of a tree of 20,000 files of which 50 matter, against grep: `python -m tests.benchmarks.tree`.

Both take turns, with a warm cache; ours is a process of its own with its start, as grep is.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FILES, MATTER, ROUNDS, BOUND = 20_000, 50, 7, 3.0
GREP = ("grep", "-rlE", "mcp|knowledge-mcp|bedrock-agentcore")
WORDS = (
    "class",
    "return",
    "import",
    "self",
    "data",
    "value",
    "request",
    "response",
    "item",
    "handler",
    "service",
    "client",
)
PYTHON = """
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client
REGION = "us-east-1"
client = aws_iam_streamablehttp_client(f"https://aws-mcp.{REGION}.api.aws/mcp", aws_service="iam")
"""
JSON = (
    '{"mcpServers": {"a": {"command": "uvx", "args": ["mcp-proxy-for-aws", "https://aws-mcp.us-east-1.api.aws/mcp", '
    '"--service", "iam"]}}}'
)
LINT = (sys.executable, "-m", "mcpdoctor", "lint", "--format", "json", "--fail-on", "never")


def make(root: Path) -> None:
    """Write the tree: half Python, half JSON, with the sizes that such files have."""
    dice = random.Random(1)  # noqa: S311  # sizes and words, no secrets
    for number in range(FILES):
        matters = number % (FILES // MATTER) == 0
        is_python = (number // (FILES // MATTER) if matters else number) % 2 == 0
        directory = root / f"package{number % 40:02}" / f"module{number // 40 % 25:02}"
        directory.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(dice.choices(WORDS, k=9)) for _ in range(int(dice.lognormvariate(3.7, 1.0)) + 1)]
        if is_python:
            text = "import os\n" + "".join(f"# {line}\n" for line in lines) + (PYTHON if matters else "")
        else:
            text = JSON if matters else "[\n" + ",\n".join(f'  "{line}"' for line in lines) + "\n]\n"
        (directory / f"file{number}.{'py' if is_python else 'json'}").write_text(text)


def timed(command: tuple[str, ...]) -> tuple[float, str]:
    """Seconds, and what was printed."""
    # What is installed is compiled; where that is switched off here, it would count against us alone.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return time.perf_counter() - started, done.stdout


def rounds(*runs: Callable[[], tuple[float, str]]) -> Iterator[tuple[tuple[float, str], ...]]:
    """The runs in turns; the first turn warms the cache and does not count."""
    for number in range(ROUNDS + 1):
        made = tuple(run() for run in runs)
        if number:
            yield made


def main() -> int:
    """Print the ratio; 1 where it is over the bound."""
    with tempfile.TemporaryDirectory() as directory:
        make(Path(directory))
        turns = list(
            rounds(
                lambda: timed((*GREP, directory)),
                lambda: timed((*LINT, directory)),
            )
        )
    assert len(turns[-1][0][1].splitlines()) == MATTER
    assert len(json.loads(turns[-1][1][1])["lint"]) == MATTER
    grep, ours = (statistics.median(turn[side][0] for turn in turns) for side in (0, 1))
    ratio = statistics.median(turn[1][0] / turn[0][0] for turn in turns)
    print(f"tree: grep {grep:.3f} s, ours {ours:.3f} s, ratio {ratio:.2f} (bound {BOUND})")
    return int(ratio > BOUND)


if __name__ == "__main__":
    sys.exit(main())
