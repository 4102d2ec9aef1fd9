"""Run `mcpdoctor check` in a process of its own, and read its report: for programs that want to know before they start.

A process of its own, because a check silences loggers, runs an event loop and imports the client's libraries: nothing
that a test session or an agent may have done to it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mcpdoctor.model import Report, Unusable
from mcpdoctor.render import report_json


def run(arguments: Sequence[str], *, directory: Path | None = None) -> Report:
    """Run `mcpdoctor check` with these arguments.

    Args:
        arguments: of the command line, without `--format` and `--output`. Its progress goes to standard error.
        directory: to run it in; the current one without.

    Returns:
        Its report, whatever it found.

    Raises:
        Unusable: it was refused, or failed itself; the message is what it said.
    """
    with tempfile.TemporaryDirectory(prefix="mcpdoctor-") as scratch:
        saved = Path(scratch) / "report.json"
        # The directory holds the tests: no module of theirs (a package mcp/, say) may be imported in place of ours.
        words = [sys.executable, "-P", "-m", "mcpdoctor", "check", *arguments, "--quiet", "-o", f"json:{saved}"]
        done = subprocess.run(  # noqa: S603  # our own program
            words,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if not saved.exists():
            raise Unusable(done.stderr.strip() or f"mcpdoctor check ended with {done.returncode} and no report.")
        return report_json.load(saved)


def workers(report: Report, processors: int) -> int | None:
    """How many parallel workers the endpoints of a report allow.

    Args:
        report: of a run that measured.
        processors: how many this machine has; where no limit was seen, they are the limit.

    Returns:
        The fewest that any measured endpoint allows; None where none was measured.
    """
    allowed = [
        one.recommended_workers if one.limiter != "none-seen" else min(one.recommended_workers, processors)
        for one in report.ceilings
    ]
    return min(allowed, default=None)
