"""The command line as a person or a CI system meets it: output, exit codes, refusals, secrets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcpdoctor.lab import FAULTS, Lab

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
ENTRY = [sys.executable, "-m", "mcpdoctor"]


def run(*arguments: str, codes: tuple[int, ...] = (0,), text: str | None = None, **environ: str) -> str:
    """Run mcpdoctor in a process of its own; its standard output. Nothing else may be on standard error."""
    done = finished(*arguments, text=text, **environ)
    assert done.returncode in codes, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def finished(*arguments: str, text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ENTRY, *arguments],
        env={**os.environ, **environ},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(*arguments: str, text: str | None = None, **environ: str) -> str:
    """The refusal of input that cannot be used: exit code 2, nothing on standard output, no traceback."""
    done = finished(*arguments, text=text, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def checked(*arguments: str, codes: tuple[int, ...] = (0,), **environ: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("check", *arguments, "--format", "json", codes=codes, **environ))
    return document


def through(lab: Lab) -> list[str]:
    """Options that lead to a lab that is already running."""
    return ["--ca-bundle", lab.ca_bundle, *(text for route in lab.connect_to for text in ("--connect-to", route))]


def test_the_demo_shows_the_usual_mistakes_each_with_its_cause() -> None:
    drawn = run("check", "--lab")
    rows = [line for line in drawn.splitlines() if " as expected " in line]
    assert [row.split()[-3] for row in rows] == ["wrong-service", "wrong-region", "dns-failure", "unsigned"]
    assert [row.split()[-4] for row in rows] == ["401", "401", "-", "401"]
    assert 'aws_service="aws-mcp"' in drawn


def test_four_configurations_give_four_results_and_the_wrong_service_is_named() -> None:
    report = checked("--lab", "-e", AWS_MCP, "-s", "aws-mcp", "-s", "bedrock-agentcore", "-c", "default", "-c", "none")
    seen = {
        (one["configuration"]["service"], one["configuration"]["credential"]): (
            one["works"],
            one["cause"],
            one["http_status"],
        )
        for one in report["results"]
    }
    assert seen == {
        ("aws-mcp", "default"): (True, None, 200),
        ("bedrock-agentcore", "default"): (False, "wrong-service", 401),
        ("aws-mcp", "none"): (True, None, 200),
        ("bedrock-agentcore", "none"): (True, None, 200),
    }


def test_a_host_that_does_not_exist_leads_to_those_that_do() -> None:
    report = checked("--lab", "-e", "https://knowledge-mcp.us-east-1.api.aws/mcp", codes=(1,))
    [result] = report["results"]
    [finding] = result["findings"]
    assert (result["cause"], report["exit_code"]) == ("dns-failure", 1)
    assert AWS_MCP in finding["remedy"]
    assert "https://knowledge-mcp.global.api.aws" in finding["remedy"]


def test_march_2026_refuses_unsigned_callers() -> None:
    with served("--mode", "2026-03") as lab:
        url = f"{lab['http']}/aws-mcp/us-east-1/mcp"
        report = checked(url, "-s", "aws-mcp", "-r", "us-east-1", "-c", "env", "-c", "none", **lab["env"])
    assert [(one["works"], one["cause"]) for one in report["results"]] == [(True, None), (False, "unsigned")]


def test_without_credentials_the_fallback_is_offered_with_a_warning(lab: Lab) -> None:
    report = checked("aws-mcp", "-c", "default", "-c", "none", *through(lab))
    assert [one["works"] for one in report["results"]] == [False, True]
    assert [one["cause"] for one in report["results"]] == ["no-credentials", None]
    assert [one["check"] for one in report["results"][1]["findings"]] == ["auth-fallback"]
    assert report["best"][0]["configuration"]["credential"] == "none"
    assert (
        checked("aws-mcp", "-c", "default", "-c", "none", "--fail-on", "warning", *through(lab), codes=(1,))[
            "exit_code"
        ]
        == 1
    )


def test_help_and_version_are_there_and_name_the_exit_codes() -> None:
    assert re.fullmatch(r"mcpdoctor, version \d+\.\d+\.\d+\n", run("--version"))
    for words in ((), ("check",), ("explain",), ("render",), ("lab",)):
        assert "Example" in run(*words, "--help")
    assert "70 mcpdoctor itself failed" in run("--help")


def test_the_version_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mcpdoctor", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert set() == loaded & {"httpx", "botocore", "mcp", "anyio", "pydantic", "rich", "tabulate", "uvicorn"}


def test_a_dry_run_prints_the_plan_and_touches_nothing(lab: Lab) -> None:
    before = len(lab.requests)
    plan = json.loads(
        run("check", "aws-mcp", "-r", "us-east-1", "-r", "eu-west-1", "--dry-run", "--format", "json", *through(lab))
    )
    assert [one["configuration"]["region"] for one in plan["plan"]] == ["us-east-1", "eu-west-1"]
    assert "Nothing was sent" in run("check", "--dry-run")
    assert before == len(lab.requests)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "xml"], "'xml' is not one of"),
        (["--timeout", "soon"], "'soon' is not a valid float"),
        (["--timeout", "nan"], "range"),
        (["--jobs", "0"], "range"),
        (["--fail-on", "always"], "is not one of"),
        (["-c", "AKIAIOSFODNN7EXAMPLE"], "is no credential reference"),
        (["--connect-to", "nowhere"], "HOST:PORT:HOST2:PORT2"),
        (["--ca-bundle", "/no/such/file.pem"], "not a readable file"),
        (["--suite", "no-such-suite"], "neither a suite"),
        (["aws-mpc"], "did you mean aws-mcp?"),
        (["agentcore-gateway"], "only you know"),
        (["https://my.example/mcp", "-c", "default"], "--service NAME"),
        (["aws-mcp", "--arguments", "{}"], "--tool NAME"),
        (["aws-mcp", "--tool", "x", "--arguments", "{"], "not valid JSON"),
        (["aws-mcp", "--tool", "x", "--arguments", "[]"], "a JSON object is wanted"),
        (["aws-mcp", "--tool", "x", "--arguments", "[" * 100_000], "not valid JSON"),
        (["aws-mcp", "--tool", "x", "--arguments", '{"a": "\\ud800"}'], "not valid JSON in UTF-8"),
        (["https://bob:AKIAIOSFODNN7EXAMPLE@x.example/mcp"], "holds a user name or password"),
        (["-o", "report.pdf"], "does not say its format"),
        (["-o", "json:/no/such/directory/r.json"], "cannot be written"),
        (["--checks", "/no/such/directory"], "no such directory"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_input_that_cannot_be_used_is_refused_in_a_sentence(arguments: list[str], says: str) -> None:
    said = refused("check", *arguments)
    assert says in said
    assert "AKIAIOSFODNN7EXAMPLE" not in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"title = 'x'\n[[targets]\n", ":2:"),
        (b"title = 'x'\n[[targets]]\ntargte = 'aws-mcp'\n", "did you mean target?"),
        (
            b"title = 'x'\n[[targets]]\ntarget = 'aws-mcp'\nexpect = 'bad-luck'\n",
            ":4:10: targets[1].expect is bad-luck, which is not known",
        ),
        ("title = 'ü'\n".encode("latin-1"), "not UTF-8"),
        ("title = 'x'".encode("utf-16"), "in UTF-16"),
        (b"", "the file is empty"),
        (b"title = 'x'\n", "targets is missing"),
        (b"title = 'x'\ntargets = 5\n", ":2:11: targets is 5, and a table is wanted"),
        (b"title = 'x'\ntargets = []\n", ":2:11: targets is empty; write [[targets]]"),
    ],
)
def test_a_suite_that_cannot_be_read_is_refused_with_its_place(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_bytes(content)
    said = refused("check", "--suite", str(path))
    assert "suite.toml" in said
    assert says in said


def test_a_suite_of_the_user_is_tried_and_its_expectation_counts(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    line = '[[targets]]\ntarget = "https://knowledge-mcp.us-east-1.api.aws/mcp"\nexpect = "{}"\n'
    path.write_text("title = 'x'\n" + line.format("dns-failure"), encoding="utf-8")
    assert checked("--lab", "--suite", str(path))["exit_code"] == 0
    path.write_text("title = 'x'\n" + line.format("unsigned"), encoding="utf-8")
    assert checked("--lab", "--suite", str(path), codes=(1,))["exit_code"] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_copy_that_cannot_be_written_costs_no_other(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    url = FAULTS["healthy/none"].url(lab)
    done = finished("check", url, "-o", "json:/dev/full", "-o", str(path))
    assert (done.returncode, "works" in done.stdout) == (2, True)
    assert "/dev/full: cannot be written: No space left on device" in done.stderr
    assert json.loads(path.read_text(encoding="utf-8"))["exit_code"] == 0


def test_a_profile_that_does_not_exist_is_a_finding(lab: Lab) -> None:
    report = checked(AWS_MCP, "-p", "nobody", *through(lab), codes=(1,))
    [result] = report["results"]
    assert (result["cause"], result["stage"]) == ("profile-not-found", "auth")
    assert "no profile nobody" in result["findings"][0]["text"]


MADE_UP = {
    "AWS_ACCESS_KEY_ID": "ASIAMADEUPMADEUPKEY1",
    "AWS_SECRET_ACCESS_KEY": "madeUpSecret/9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjMADEUPTOKEN//////////wEaCXVzLWVhc3QtMSJHMEUCIQ==",
}


@pytest.mark.parametrize("arguments", [["-vv"], ["--format", "json"], ["-q"]])
@pytest.mark.parametrize("fault", ["auth/unknown-key", "http/escapes", "open/rewritten-headers", "call/denied"])
def test_no_secret_is_in_any_output(fault: str, arguments: list[str], lab: Lab, tmp_path: Path) -> None:
    copies = [tmp_path / "r.json", tmp_path / "r.txt"]
    written = [text for path in copies for text in ("-o", str(path))]
    url = FAULTS[fault].url()
    call = ["--tool", "echo", "--arguments", '{"text": "hi"}', "-s", "aws-mcp", "-r", "us-east-1", "-c", "env"]
    done = finished("check", url, *call, *arguments, *written, *through(lab), **MADE_UP)
    assert done.returncode in (0, 1)
    everything = done.stdout + done.stderr + "".join(path.read_text(encoding="utf-8") for path in copies)
    assert [name for name, value in MADE_UP.items() if value in everything or value[:16] in everything] == []
    assert not re.search(r"(?i)authorization[\"']?\s*:|x-amz-security-token|signature=[0-9a-f]", everything)


def test_hostile_text_of_a_server_reaches_no_terminal(lab: Lab) -> None:
    url = FAULTS["http/escapes"].url()
    report = checked(url, "-s", "aws-mcp", "-r", "us-east-1", "-c", "env", *through(lab), codes=(1,), **lab.env)
    drawn = finished("render", "-", "-vv", text=json.dumps(report)).stdout
    assert "owned by the server" in json.dumps(report)
    for text in (drawn, json.dumps(report, ensure_ascii=False)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert not re.search(r"^::error::", drawn, flags=re.MULTILINE)


# The peak of a process counts that of the one it was forked from: a small one has to start it.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize(
    ("fault", "cause"), [("http/huge", "protocol-error"), ("http/endless", "timeout"), ("http/endless-sse", "timeout")]
)
def test_an_answer_of_two_gigabytes_and_one_without_end_are_findings_in_bounded_memory(
    lab: Lab, fault: str, cause: str
) -> None:
    command = [*ENTRY, "check", FAULTS[fault].url(lab), "--timeout", "1", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, timeout=60, check=True
    )
    document, largest_kib = done.stdout.rstrip().rsplit("\n", 1)
    assert json.loads(document)["results"][0]["cause"] == cause
    assert int(largest_kib) < 250 * 1024


def test_a_report_is_drawn_again_and_judged_again(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    url = FAULTS["auth/wrong-service"].url(lab)
    report = run("check", url, "-s", "aws-mcp", "-r", "us-east-1", "-c", "env", "-o", str(path), codes=(1,), **lab.env)
    assert report == run("render", str(path), codes=(1,))
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved == json.loads(run("render", str(path), "--format", "json", codes=(1,)))
    saved["results"][0]["findings"] = []
    path.write_text(json.dumps(saved), encoding="utf-8")
    assert "auth-wrong-service" in run("render", str(path), codes=(1,))
    assert "auth-wrong-service" not in run("render", str(path), "--as-judged", codes=(1,))


def test_a_check_of_the_user_is_applied(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "http.toml").write_text(
        '[our-teapot]\ntitle = "Tea"\ncause = "not-mcp"\nseverity = "error"\nstage = "http"\nsince = "0.1.0"\n'
        'text = "{host} is a teapot."\nremedy = "Get coffee."\n'
        'lab = "http/teapot"\n[[our-teapot.when]]\nstatus = [418]\n',
        encoding="utf-8",
    )
    url = FAULTS["http/teapot"].url(lab)
    [result] = checked(url, "--checks", str(tmp_path), codes=(1,))["results"]
    assert [(one["check"], one["text"]) for one in result["findings"]] == [("our-teapot", "127.0.0.1 is a teapot.")]


@pytest.mark.parametrize("what", ["auth-wrong-service", "wrong-service"])
def test_a_check_and_a_cause_have_pages(what: str) -> None:
    assert "Signed for the wrong service" in run("explain", what)


def test_a_check_that_does_not_exist_is_refused_with_the_nearest_one() -> None:
    assert "did you mean auth-wrong-service?" in refused("explain", "auth-wrong-servce")


def test_progress_and_colour_are_only_for_terminals(lab: Lab) -> None:
    url = FAULTS["healthy/none"].url(lab)
    assert "\x1b" not in run("check", url)
    assert "\x1b[" in run("check", url, FORCE_COLOR="1")
    assert "\x1b" not in run("check", url, FORCE_COLOR="1", NO_COLOR="1")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_is_live_on_a_terminal_and_leaves_standard_output_alone(lab: Lab) -> None:
    import pty

    ours, theirs = pty.openpty()
    url = FAULTS["healthy/none"].url(lab)
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    done = subprocess.run(
        [*ENTRY, "check", url], stdout=subprocess.PIPE, stderr=theirs, env=environ, text=True, timeout=60, check=False
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while piece := os.read(ours, 65536):
            drawn += piece
    os.close(ours)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert b"1/1" in drawn


def test_a_reader_that_goes_away_is_no_error_of_ours(lab: Lab) -> None:
    url = FAULTS["healthy/none"].url(lab)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*ENTRY, "check", url], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_prints_what_was_found_so_far(lab: Lab) -> None:
    urls = [FAULTS["http/not-found"].url(lab), FAULTS["http/silent"].url(lab)]
    before = len(lab.requests)
    process = subprocess.Popen(
        [*ENTRY, "check", *urls, "--timeout", "60", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(
        lambda: (
            len(lab.requests) >= before + 1
            and any(one.path.endswith("http/not-found/mcp") for one in lab.requests[before:])
        )
    )
    time.sleep(0.3)  # the answer must reach the process
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    report = json.loads(out)
    assert (process.returncode, report["interrupted"], err) == (1, "interrupted", "")
    found, under_way = report["results"]
    assert found["cause"] == "not-found"
    assert under_way["works"] is None
    assert tuple(under_way["stages"][-1][key] for key in ("verdict", "reason")) == (
        "skipped",
        "the run was interrupted",
    )


def until(true: Any, seconds: float = 60) -> None:
    """Wait for something in another process."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        threading.Event().wait(0.02)


@contextmanager
def served(*options: str) -> Iterator[dict[str, Any]]:
    """`mcpdoctor lab` in a process of its own; gives its JSON line."""
    process = subprocess.Popen([*ENTRY, "lab", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()
        process.stderr.close()


def test_the_lab_prints_what_a_client_needs_and_ends_when_told() -> None:
    with served("--port", "0") as lab:
        assert {"http", "https_port", "ca_bundle", "env", "connect_to", "proxies", "endpoints"} == set(lab)
        assert Path(lab["ca_bundle"]).is_file()
        url = f"{lab['http']}/aws-mcp/us-east-1/mcp"
        assert checked(url, "-s", "aws-mcp", "-r", "us-east-1", "-c", "env", **lab["env"])["exit_code"] == 0
    assert not Path(lab["ca_bundle"]).exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--limit", "sessions"], "sessions:7"),
        (["--latency", "soon"], "100ms"),
        (["--mode", "2020"], "is not one of"),
        (["--port", "99999"], "range"),
    ],
)
def test_options_of_the_lab_that_make_no_sense_are_refused(arguments: list[str], says: str) -> None:
    assert says in refused("lab", *arguments)


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "Choose another --port" in refused("lab", "--port", str(taken.getsockname()[1]))


def test_names_are_completed_in_the_shell() -> None:
    done = finished(_MCPDOCTOR_COMPLETE="bash_complete", COMP_WORDS="mcpdoctor check aws-", COMP_CWORD="2")
    assert {"plain,aws-mcp", "plain,aws-knowledge"} == set(done.stdout.split())


def test_a_fault_of_ours_is_a_sentence_and_70(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import mcpdoctor.matrix\ndef broken(*a, **k): raise TypeError('oops')\nmcpdoctor.matrix.expand = broken\n",
        encoding="utf-8",
    )
    done = finished("check", "--dry-run", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (70, "")
    assert "mcpdoctor itself failed: TypeError: oops" in done.stderr
    assert "Traceback" not in done.stderr
