"""The GitHub Action (action.yml): run `mcpdoctor check`, show what it found, and set the outputs of the step.

Inputs come in variables of the environment, never in the text of a script. What servers, files and people wrote is
hostile here too: lines of the log that begin with `::` are commands to the runner, and so are lines in the file of
outputs. Both are fenced off with words that nobody can guess.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mcpdoctor.integrations.preflight import workers
from mcpdoctor.model import Report, Unusable
from mcpdoctor.redaction import clean
from mcpdoctor.render import github, report_json

_REFUSED = 2
_PLACE = re.compile(r"(?P<file>[^\s:][^:\n]{0,300}\.toml):(?P<line>\d{1,9})(?::(?P<col>\d{1,9}))?: ")


def main() -> None:
    """Run the action; exits as `mcpdoctor check` does."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # runners of Windows have other ideas
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(run(os.environ))


def run(environ: Mapping[str, str]) -> int:
    """Run the check that the inputs ask for.

    Args:
        environ: `INPUT_…` of action.yml, `GITHUB_OUTPUT` and what else the runner sets.

    Returns:
        The exit code of `mcpdoctor check`.
    """
    try:
        words = arguments(environ)
        saved = _report_path(environ)
    except Unusable as error:
        _say(github.command("error", {"title": "mcpdoctor"}, str(error)))
        _set(environ, {"works": "false", "exit-code": str(_REFUSED)})
        return _REFUSED
    # The summary is made once, of the report, whatever reports the suite asks for.
    plain = {name: value for name, value in environ.items() if name != "GITHUB_STEP_SUMMARY"}
    with saved.open("wb") as file:
        done = _mcpdoctor(["check", *words], plain, stdout=file)
    if done.stderr:
        with _fenced():
            _say(done.stderr)
    report = _read(saved)
    if report is None or not (report.results or done.returncode):  # a plan reads as a report of nothing
        if not done.returncode:  # --dry-run or --help among the arguments
            with _fenced():
                _say(saved.read_text(encoding="utf-8", errors="replace"))
        saved.unlink(missing_ok=True)
        _set(environ, {"works": "false", "exit-code": str(done.returncode)})
        if not done.returncode:
            return 0
        refusal = done.stderr.strip().rpartition("Error: ")[2] or f"mcpdoctor ended with {done.returncode}."
        _say(github.command("error", {**_place(refusal), "title": "mcpdoctor"}, refusal))
        return done.returncode
    _show(saved, environ)
    _set(environ, {**outputs(report), "report": str(saved), "exit-code": str(done.returncode)})
    return done.returncode


def arguments(environ: Mapping[str, str]) -> list[str]:
    """The words of `mcpdoctor check` that the inputs stand for.

    Raises:
        Unusable: an input cannot be used.
    """

    def given(name: str) -> str:
        return environ.get(f"INPUT_{name}", "").strip()

    words = ["--yes"]  # nobody can be asked, and whoever wrote the input or the suite has agreed to measuring
    for option, name in (("--suite", "SUITE"), ("--require-workers", "REQUIRE_WORKERS"), ("--fail-on", "FAIL_ON")):
        if value := given(name):
            words += [option, value]
    ceiling = given("CEILING").lower()
    if ceiling not in ("", "true", "false"):
        raise Unusable("The input ceiling is true or false.")
    words += ["--ceiling"] if ceiling == "true" else []
    for line in given("OUTPUTS").splitlines():
        words += ["--output", line.strip()] if line.strip() else []
    try:
        words += shlex.split(given("ARGUMENTS"))
    except ValueError as error:
        raise Unusable(f"The input arguments cannot be taken apart: {error}.") from error
    words += ["--format", "json"]  # the last one counts
    targets = given("TARGETS").split()
    return [*words, "--", *targets] if targets else words


def outputs(report: Report) -> dict[str, str]:
    """The outputs of the step that a report gives."""
    best = report.best[0].configuration if report.best else None
    working = {one.target for one in report.best}
    failed = [one for one in report.results if one.expected is None and not one.untried and one.target not in working]
    measured = workers(report, os.cpu_count() or 1)
    return {
        "works": "true" if working and not failed else "false",
        "cause": next((one.cause.value for one in failed if one.cause is not None), ""),
        "best-endpoint": best.endpoint if best else "",
        "best-region": (best.region if best else None) or "",
        "best-service": (best.service if best and best.signed else None) or "",
        "best-credential": best.credential if best else "",
        "recommended-workers": "" if measured is None else str(measured),
    }


def _report_path(environ: Mapping[str, str]) -> Path:
    """Where the JSON goes.

    Raises:
        Unusable: nothing can be written there.
    """
    wanted = environ.get("INPUT_REPORT", "").strip()
    try:
        if wanted:
            path = Path(wanted).absolute()
            path.touch()
            return path
        number, name = tempfile.mkstemp(prefix="mcpdoctor-", suffix=".json", dir=environ.get("RUNNER_TEMP") or None)
        os.close(number)
        return Path(name)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise Unusable(f"The report cannot be written to {wanted or 'RUNNER_TEMP'}: {why}.") from error


def _mcpdoctor(
    words: list[str], environ: Mapping[str, str], *, stdout: IO[bytes] | int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    # The working directory holds what is checked: no module of it may be imported in place of ours.
    safe = "-I" if sys.flags.isolated else "-P"
    return subprocess.run(  # noqa: S603  # our own program
        [sys.executable, safe, "-m", "mcpdoctor", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _read(saved: Path) -> Report | None:
    """The report; None where there is none, since the check was refused."""
    try:
        return report_json.load(saved) if saved.stat().st_size else None
    except Unusable:
        return None


def _show(saved: Path, environ: Mapping[str, str]) -> None:
    """The report as people read it in the log, as annotations, and in the summary of the job."""
    with tempfile.TemporaryDirectory(prefix="mcpdoctor-") as directory:
        table = Path(directory) / "table.txt"
        drawn = _mcpdoctor(["render", "--as-judged", "--format", "github", "-o", f"table:{table}", str(saved)], environ)
        if table.exists():
            with _fenced():
                _say(table.read_text(encoding="utf-8"))
        _say(drawn.stdout)
        if drawn.stderr:
            with _fenced():
                _say(drawn.stderr)


def _place(refusal: str) -> dict[str, str]:
    """File, line and column of a suite file that a refusal begins with."""
    found = _PLACE.match(refusal)
    return {name: value for name, value in found.groupdict().items() if value} if found else {}


@contextmanager
def _fenced() -> Iterator[None]:
    """Text in which nothing is a command to the runner."""
    token = secrets.token_hex(16)
    _say(f"::stop-commands::{token}")
    yield
    _say(f"::{token}::")


def _say(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
    sys.stdout.flush()


def _set(environ: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Set outputs of the step, where there is a runner to set them for."""
    name = environ.get("GITHUB_OUTPUT")
    if not name:
        return
    with Path(name).open("a", encoding="utf-8", newline="\n") as file:
        for key, value in values.items():
            fence = f"mcpdoctor-{secrets.token_hex(16)}"
            file.write(f"{key}<<{fence}\n{clean(value, limit=4000)}\n{fence}\n")


if __name__ == "__main__":
    main()
