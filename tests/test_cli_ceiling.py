"""Measuring a ceiling on the command line: what is asked first, what is shown, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from test_cli import ENTRY, refused, run, through, until

from mcpdoctor.cli import cli, options
from mcpdoctor.lab import FAULTS, Lab, Options

COMPARED = ["ceiling", "--lab", "aws-mcp", "aws-knowledge", "--compare", "none,default", "--yes", "--format", "json"]
ENOUGH = ["check", "--lab", "aws-mcp", "aws-knowledge", "--require-workers", "5", "--format", "json"]
TOO_MANY = ["check", "--lab", "aws-mcp", "--require-workers", "10"]


@pytest.fixture(scope="module", autouse=True)
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """The commands that take long, side by side and beside the other tests: they mostly wait."""
    directory = tmp_path_factory.mktemp("reports")
    commands = {
        "compared": [*COMPARED, "-o", f"table:{directory / 'compared.txt'}", "-o", str(directory / "compared.json")],
        "enough": ENOUGH,
        "too many": TOO_MANY,
    }
    with contextlib.ExitStack() as stack:
        processes = {}
        for name, command in commands.items():
            process = subprocess.Popen(
                [*ENTRY, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            processes[name] = stack.enter_context(process)
            stack.callback(process.kill)
        yield processes


@pytest.fixture(scope="module")
def shown(started: dict[str, subprocess.Popen[str]]) -> dict[str, subprocess.CompletedProcess[str]]:
    """How they ended."""
    ended = {}
    for name, process in started.items():
        out, err = process.communicate(timeout=120)
        ended[name] = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    return ended


Shown = dict[str, subprocess.CompletedProcess[str]]


# what is shown --------------------------------------------------------------------------------------------------------


def test_limits_of_the_lab_are_named_exactly_and_at_little_cost(shown: Shown) -> None:
    done = shown["compared"]
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert [
        (one["target"], one["configuration"]["credential"], one["limiter"], one["highest_clean"], one["lowest_refused"])
        for one in report["ceilings"]
    ] == [
        ("aws-mcp", "none", "sessions", 4, 5),
        ("aws-mcp", "default", "sessions", 7, 8),
        ("aws-knowledge", "none", "sessions", 4, 5),
    ]
    assert [one["recommended_workers"] for one in report["ceilings"]] == [3, 5, 3]
    assert max(one["refused"] for one in report["ceilings"]) <= 5
    assert min(one["confidence"] for one in report["ceilings"]) >= 0.95
    assert {one["stopped"] for one in report["ceilings"]} == {"resolved"}
    assert all(one["requests"] == len(one["samples"]) for one in report["ceilings"])


def test_a_copy_is_the_same_report_and_a_table_names_the_workers(shown: Shown) -> None:
    *_, table, _, copy = shown["compared"].args
    assert json.loads(Path(copy).read_text(encoding="utf-8")) == json.loads(shown["compared"].stdout)
    drawn = Path(table.removeprefix("table:")).read_text(encoding="utf-8")
    assert "7 sessions at a time" in drawn
    assert "Use 5 workers" in drawn


def test_a_saved_report_with_ceilings_is_judged_again_and_says_the_same(shown: Shown) -> None:
    saved = shown["compared"].stdout
    assert json.loads(run("render", "-", "--format", "json", text=saved)) == json.loads(saved)


def test_workers_that_are_safe_are_enough(shown: Shown) -> None:
    done = shown["enough"]
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["exit_code"], report["required_workers"]) == (0, 5)
    best = {one["target"]: one["configuration"]["credential"] for one in report["best"]}
    assert {one["target"]: one["configuration"]["credential"] for one in report["ceilings"]} == best
    assert [one["sufficient"] for one in report["ceilings"]] == [True, None]  # Knowledge only stands in
    assert "ceiling-too-low" not in {one["check"] for one in report["findings"]}


def test_more_workers_than_are_safe_are_an_error_that_says_what_was_found(shown: Shown) -> None:
    done = shown["too many"]
    assert (done.returncode, done.stderr) == (1, "")
    text = re.sub(r"\s+", " ", done.stdout)
    assert "10 parallel workers are required. Observed at aws-mcp.us-east-1.api.aws (signed with default): 7" in text
    assert "That is enough for 5." in text


def test_a_quick_search_is_short_and_says_what_it_left_out(lab: Lab) -> None:
    with Lab(Options(limits=("none",))) as free:
        url = f"{free.http}/knowledge/mcp"
        report = json.loads(run("ceiling", url, "--quick", "--max", "3", "--yes", "--format", "json"))
        [ceiling] = report["ceilings"]
        assert (ceiling["limiter"], ceiling["highest_clean"], ceiling["facts"]["quick"]) == ("none-seen", 3, True)
        assert ceiling["requests"] == len(free.requests) < 40


def test_a_tool_is_called_as_the_user_says(lab: Lab) -> None:
    before, url = len(lab.requests), FAULTS["healthy/none"].url(lab)
    run("ceiling", url, "--max", "2", "--budget", "80", "--yes", "--tool", "echo", "--arguments", '{"text": "hi"}')
    seen = [one for one in lab.requests[before:] if one.tool == "echo"]
    assert seen
    assert len(lab.requests) - before <= 80


def test_what_turns_everybody_away_is_explained(lab: Lab) -> None:
    url = FAULTS["auth/unsigned"].url(lab)
    drawn = run("ceiling", url, "--yes", codes=(1,))
    assert "[auth-unsigned]" in drawn
    assert "sessions at a time" not in drawn


# asking first ---------------------------------------------------------------------------------------------------------


def test_without_a_terminal_it_has_to_be_told_to(lab: Lab) -> None:
    before = len(lab.requests)
    said = refused("check", "aws-knowledge", "--require-workers", "2", *through(lab))
    assert "sends up to 300 requests to each configuration; add --yes" in said
    assert before == len(lab.requests)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ceiling"], "Name what to measure"),
        (["ceiling", "aws-mpc"], "did you mean aws-mcp?"),
        (["ceiling", "aws-mcp", "--max", "0"], "range"),
        (["ceiling", "aws-mcp", "--think", "-1"], "range"),
        (["ceiling", "aws-mcp", "--budget", "much"], "REQUESTS,REFUSALS,SECONDS"),
        (["ceiling", "https://my.example/mcp", "--compare", "default"], "--service NAME"),
        (["check", "aws-mcp", "--max", "5"], "add --ceiling"),
        (["check", "aws-mcp", "--budget", "100"], "add --ceiling"),
        (["check", "aws-mcp", "--quick"], "add --ceiling"),
        (["check", "aws-mcp", "--think", "2"], "add --ceiling"),
    ],
)
def test_input_that_cannot_be_used_is_refused_in_a_sentence(arguments: list[str], says: str) -> None:
    ended = CliRunner().invoke(cli, [*arguments, "--yes"])
    assert ended.exit_code == 2
    assert says in ended.output


def test_a_secret_in_place_of_a_reference_is_not_said_again() -> None:
    said = refused("ceiling", "aws-mcp", "--compare", "none,AKIAIOSFODNN7EXAMPLE", "--yes")
    assert "is no credential reference" in said
    assert "AKIAIOSFODNN7EXAMPLE" not in said


def budget(text: str) -> tuple[int, int, float]:
    return options.read_budget(click.Context(click.Command("x")), click.Option(["--budget"]), text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("100", (100, 20, 600)),
        ("100,5", (100, 5, 600)),
        ("100, 5, 60s", (100, 5, 60)),
        ("100,0,0.5e1", (100, 0, 5)),
        ("refusals=5", (300, 5, 600)),
        ("seconds=1.5,requests=7", (7, 20, 1.5)),
    ],
)
def test_a_budget_is_read_by_place_and_by_name(text: str, read: tuple[int, int, float]) -> None:
    assert budget(text) == read


@pytest.mark.parametrize(
    "text",
    ["", ",", "0", "1.5", "nan", "inf", "seconds=nan", "seconds=inf", "1,-1", "1,2,3,4", "money=5", "refusals=5,10"],
)
def test_a_budget_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="REQUESTS,REFUSALS,SECONDS"):
        budget(text)


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(lab: Lab) -> None:
    before = len(lab.requests)
    budget = ["--budget", "requests=100,refusals=5,seconds=60", "--max", "9"]
    said = run("ceiling", "aws-mcp", "--compare", "none,default", *budget, "--dry-run", *through(lab))
    assert "https://aws-mcp.us-east-1.api.aws/mcp unsigned" in said
    assert "https://aws-mcp.us-east-1.api.aws/mcp signed with default" in said
    assert "at most 100 requests in 60 s, of which at most 5 are refused; up to 9 sessions" in said
    best = run("check", "aws-mcp", "--require-workers", "20", "--dry-run", *through(lab))
    assert "best configuration of each target" in best
    assert "up to 27 sessions" in best  # as many as it takes to prove 20 workers
    assert before == len(lab.requests)


@contextlib.contextmanager
def at_a_terminal(*arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process whose standard input and standard error are a terminal; with our end of that."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*ENTRY, *arguments],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "120", **environ},
        text=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()
        os.close(ours)


def read_until(end: int, words: bytes) -> bytes:
    """What a terminal shows, up to some words, or to its end."""
    drawn = b""
    with contextlib.suppress(OSError):
        while words not in drawn and (piece := os.read(end, 65536)):
            drawn += piece
    return drawn


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_it_says_what_it_will_send_and_asks(answer: str, lab: Lab) -> None:
    before, url = len(lab.requests), FAULTS["healthy/none"].url(lab)
    with at_a_terminal("ceiling", url, "--quick", "--max", "2", "--format", "json") as (process, end):
        asked = read_until(end, b"[y/N]")
        assert before == len(lab.requests)
        os.write(end, f"{answer}\n".encode())
        out, _ = process.communicate(timeout=60)
    shown = re.sub(r"\s+", " ", asked.decode())
    assert f"{url} unsigned" in shown
    assert "at most 300 requests in 600 s, of which at most 20 are refused; up to 2 sessions at a time" in shown
    if answer == "y":
        assert json.loads(out)["ceilings"][0]["limiter"] == "none-seen"
        assert process.returncode == 0
    else:
        assert (out, process.returncode) == ("", 1)
        assert before == len(lab.requests)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_in_ci_nobody_is_asked_even_at_a_terminal(lab: Lab) -> None:
    with at_a_terminal("ceiling", FAULTS["healthy/none"].url(lab), CI="true") as (process, end):
        said = read_until(end, b"add --yes to do that.")
        assert process.wait(30) == 2
    assert b"add --yes to do that." in said


# Ctrl-C ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_an_interruption_tells_what_is_known_and_gives_every_session_back(lab: Lab) -> None:
    before = len(lab.requests)

    def seen() -> list[Any]:
        return [one for one in lab.requests[before:] if one.host == "knowledge-mcp.global.api.aws"]

    process = subprocess.Popen(
        [*ENTRY, "ceiling", "aws-knowledge", "--yes", "--format", "json", *through(lab)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: any(one.status == 429 for one in seen()))  # then it waits for five seconds
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert (process.returncode, report["interrupted"], err) == (1, "interrupted", "")
    [ceiling] = report["ceilings"]
    assert ceiling["stopped"] == "interrupted"
    assert ceiling["highest_clean"] == 4
    assert ceiling["requests"] == len(seen())
    assert sum(one.method == "DELETE" for one in seen()) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_an_interruption_before_anything_is_known_is_a_report_too(lab: Lab) -> None:
    before = len(lab.requests)
    process = subprocess.Popen(
        [*ENTRY, "ceiling", FAULTS["http/silent"].url(lab), "--yes", "--timeout", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: len(lab.requests) > before)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")


def test_help_names_the_exit_codes_and_says_that_it_asks() -> None:
    said = CliRunner().invoke(cli, ["ceiling", "--help"]).output
    assert "Exit codes: 0 measured" in said
    assert "asks first" in said
