"""Commands are started as clients start them, and nothing of them is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from mcpdoctor import starting
from mcpdoctor.matrix import Call, Cell, Start
from mcpdoctor.model import Configuration, Fact, Stage, Trace, Verdict
from mcpdoctor.starting import Conversation

SERVER = """
import os, sys
from mcp.server.fastmcp import FastMCP
server = FastMCP("desk")

@server.tool()
def variables() -> str:
    return ",".join(sorted(os.environ))

@server.tool()
def fail() -> str:
    raise ValueError("no such luck with s3cr3t-value-of-mine")

sys.stderr.write("ready, with s3cr3t-value-of-mine\\n")
server.run("stdio")
"""

posix = pytest.mark.skipif(os.name != "posix", reason="process groups are those of POSIX")


def cell(*command: str, call: Call | None = None, secrets: tuple[str, ...] = (), **environ: str) -> Cell:
    given = {"PATH": os.environ.get("PATH", os.defpath), **environ}
    start = Start(command=command, environ=given, secrets=secrets)
    configuration = Configuration(endpoint="", transport="stdio")
    return Cell(target="desk", configuration=configuration, start=start, call=call)


def hold(one: Cell, *, timeout_s: float = 10.0, start_timeout_s: float = 30.0) -> dict[Stage, Trace]:
    talk = Conversation(one, timeout_s=timeout_s, start_timeout_s=start_timeout_s)
    anyio.run(talk.hold)
    return {trace.stage: trace for trace in talk.traces}


def python(text: str) -> tuple[str, ...]:
    return sys.executable, "-c", text


@pytest.fixture
def server(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "server.py"
    path.write_text(SERVER, encoding="utf-8")
    return sys.executable, str(path)


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for yet does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_a_session_is_opened_tools_are_listed_and_a_tool_is_called(server: tuple[str, ...]) -> None:
    traces = hold(cell(*server, call=Call(tool="variables", arguments={}), AWS_PROFILE="dev"))
    assert {stage: one.verdict for stage, one in traces.items()} == dict.fromkeys(
        (Stage.OPEN, Stage.LIST, Stage.CALL), Verdict.PASSED
    )
    assert str(traces[Stage.OPEN].facts["server_name"]).startswith("desk ")
    assert traces[Stage.LIST].facts["tools"] == ("variables", "fail")


def test_no_tool_is_called_that_nobody_named(server: tuple[str, ...]) -> None:
    assert hold(cell(*server))[Stage.CALL].verdict is Verdict.SKIPPED


def test_a_tool_that_fails_fails_the_stage_and_secrets_of_the_entry_are_masked(server: tuple[str, ...]) -> None:
    secrets = ("s3cr3t-value-of-mine",)
    failed = hold(cell(*server, call=Call(tool="fail", arguments={}), secrets=secrets))[Stage.CALL]
    assert failed.verdict is Verdict.FAILED
    assert failed.facts["tool_failed"] is True
    assert "no such luck with [redacted]" in str(failed.facts["tool_message"])
    assert "ready, with [redacted]" in str(failed.facts["words"])
    assert "s3cr3t" not in repr(failed)


def test_the_program_gets_the_environment_that_was_given_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS_ALONE", "1")
    out = tmp_path / "seen"
    text = f"import os; open({str(out)!r}, 'w').write(' '.join(os.environ))"
    hold(cell(*python(text), THEIRS="1"))
    seen = set(out.read_text(encoding="utf-8").split())
    assert "THEIRS" in seen
    assert "OURS_ALONE" not in seen


def facts_of(one: Cell, **given: float) -> dict[str, Fact]:
    traces = hold(one, **given)
    assert set(traces) == {Stage.OPEN}
    assert traces[Stage.OPEN].verdict is Verdict.FAILED
    return dict(traces[Stage.OPEN].facts)


def test_how_a_program_ended_and_what_it_said_is_kept() -> None:
    facts = facts_of(cell(*python("import sys; sys.stderr.write('one\\nError: two\\nthree\\n'); sys.exit(7)")))
    assert (facts["ended"], facts["exit_note"]) == (True, "with exit code 7")
    assert facts["said_note"] == " It said: Error: two."
    assert facts["words"] == "one\nError: two\nthree"


@posix
def test_a_signal_that_ended_it_is_named() -> None:
    facts = facts_of(cell(*python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")))
    assert facts["exit_note"] == "by signal SIGKILL"


def test_of_endless_words_the_end_is_kept() -> None:
    text = "import sys\nfor n in range(200000): sys.stderr.write(f'line {n} \\x1b[31mred\\n')\nsys.exit(1)"
    words = str(facts_of(cell(*python(text)))["words"])
    assert len(words) <= 6000
    assert words.endswith("line 199999 red")
    assert "\x1b" not in words


def test_a_line_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "LONGEST_LINE", 100_000)
    text = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    facts = facts_of(cell(*python(text)), start_timeout_s=20)
    assert facts["flooded"] is True
    assert len(str(facts["stdout_noise"])) < 300


def test_a_program_that_takes_its_time_to_end_has_ended_all_the_same() -> None:
    text = "import os, sys, time; os.close(1); time.sleep(1); sys.exit(4)"
    facts = facts_of(cell(*python(text)))
    assert (facts["ended"], facts["exit_note"]) == (True, "with exit code 4")


def test_what_is_no_message_is_counted_and_the_session_goes_on(server: tuple[str, ...]) -> None:
    loud = (sys.executable, "-c", f"print('Welcome!', flush=True); import runpy; runpy.run_path({server[1]!r})")
    assert hold(cell(*loud))[Stage.LIST].verdict is Verdict.PASSED


def test_a_program_that_is_not_on_the_path_given_is_not_started() -> None:
    start = Start(command=("python3",), environ={"PATH": "/nowhere"}, found="/usr/bin/python3")
    one = Cell(target="t", configuration=Configuration(endpoint=""), start=start)
    facts = facts_of(one)
    assert (facts["command_found"], facts["command_elsewhere"]) == (False, "/usr/bin/python3")


def test_a_directory_that_does_not_exist_is_evidence() -> None:
    start = Start(command=(sys.executable,), environ={}, cwd="/no/such/directory")
    trace = hold(Cell(target="t", configuration=Configuration(endpoint=""), start=start))[Stage.OPEN]
    assert trace.verdict is Verdict.FAILED


# nothing is left behind ---------------------------------------------------------------------------------------------


PARENT = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
"""


def family(path: Path, *, stays: bool) -> tuple[str, ...]:
    """A program with a child; both do not obey when they are asked to end."""
    return sys.executable, "-c", PARENT + ("time.sleep(600)" if stays else ""), str(path)


@posix
@pytest.mark.parametrize("stays", [True, False], ids=["it stays", "it ends and leaves its child behind"])
def test_after_a_deadline_no_process_is_left(tmp_path: Path, stays: bool) -> None:
    pids = tmp_path / "pids"
    hold(cell(*family(pids, stays=stays)), start_timeout_s=2.0)
    parent, child = map(int, pids.read_text(encoding="utf-8").split())
    wait_until(lambda: not alive(parent) and not alive(child), 3)


@posix
def test_after_a_cancellation_no_process_is_left(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def run() -> None:
        talk = Conversation(cell(*family(pids, stays=True)), timeout_s=30, start_timeout_s=30)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk.hold)
            with anyio.fail_after(10):
                while not pids.exists() or not pids.read_text(encoding="utf-8"):  # noqa: ASYNC110  # of another process
                    await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()

    anyio.run(run)
    parent, child = map(int, pids.read_text(encoding="utf-8").split())
    wait_until(lambda: not alive(parent) and not alive(child), 3)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_no_process_is_left_and_the_report_is_written(tmp_path: Path, number: signal.Signals) -> None:
    pids, file = tmp_path / "pids", tmp_path / "mcp.json"
    command, *args = family(pids, stays=True)
    file.write_text(json.dumps({"mcpServers": {"it": {"command": command, "args": args}}}), encoding="utf-8")
    doctor = subprocess.Popen(
        [sys.executable, "-m", "mcpdoctor", "check", "--from", str(file), "--run-commands", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: pids.exists() and bool(pids.read_text(encoding="utf-8")), 30)
    doctor.send_signal(number)
    out, err = doctor.communicate(timeout=60)
    parent, child = map(int, pids.read_text(encoding="utf-8").split())
    wait_until(lambda: not alive(parent) and not alive(child), 3)
    assert (doctor.returncode, err) == (1, "")
    assert '"interrupted": "interrupted"' in out
