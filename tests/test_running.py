"""`mcpdoctor run`, as a shell, a CI system and an MCP client meet it: nothing changes, and a failure is explained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpdoctor import running
from mcpdoctor.lab import Lab
from mcpdoctor.render import report_json

ENTRY = [sys.executable, "-m", "mcpdoctor", "run"]
PYTHON = [sys.executable, "-c"]
AGENT = """
import sys, anyio
from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client

async def main(url, service):
    client = aws_iam_streamablehttp_client(endpoint=url, aws_service=service, aws_region="us-east-1")
    async with client as (receive, send, _), ClientSession(receive, send) as session:
        await session.initialize()
        print(len((await session.list_tools()).tools))

try:
    anyio.run(main, *sys.argv[1:])
except BaseException:
    sys.exit("the client initialization failed")
"""

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a run records is gone when it has ended."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield
    assert list(scratch.iterdir()) == []


def run(*arguments: str, stdin: Any = subprocess.DEVNULL, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*ENTRY, *arguments], env={**os.environ, **env}, stdin=stdin, capture_output=True, timeout=60, check=False
    )


# As if it were not there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_that_of_the_program_and_a_success_is_silent(code: int) -> None:
    done = run("--", *PYTHON, f"import sys; print('out'); print('err', file=sys.stderr); sys.exit({code})")
    assert (done.returncode, done.stdout) == (code, b"out\n")
    assert done.stderr.startswith(b"err\n")
    assert (done.stderr == b"err\n") is (code == 0)


@pytest.mark.parametrize("arguments", [["--"], []])
def test_options_behind_the_command_are_its_own(arguments: list[str]) -> None:
    done = run(*arguments, *PYTHON, "import sys; print(sys.argv[1:])", "--always", "-q", "--", "-o", "x")
    assert (done.stdout, done.stderr) == (b"['--always', '-q', '--', '-o', 'x']\n", b"")


@pytest.mark.parametrize("proxy", [False, True])
def test_a_mebibyte_of_anything_passes_through_unchanged(proxy: bool, tmp_path: Path) -> None:
    data = os.urandom(2**20) + b"\r\n\x00no line end"
    (tmp_path / "in").write_bytes(data)
    copy = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    if proxy:
        done = subprocess.run([*ENTRY, *PYTHON, copy], input=data, capture_output=True, timeout=60, check=False)
    else:
        with (tmp_path / "in").open("rb") as source:
            done = run(*PYTHON, copy, stdin=source)
    assert (done.returncode, done.stdout == data, done.stderr) == (0, True, b"")


def test_standard_error_passes_through_byte_for_byte() -> None:
    data = os.urandom(3 * 2**20)
    code = f"import os, random, sys; sys.stderr.buffer.write(open({str(Path('/dev/stdin'))!r}, 'rb').read())"
    with tempfile.TemporaryFile(dir="/") as source:
        source.write(data)
        source.seek(0)
        done = run(*PYTHON, code, stdin=source)
    assert done.stderr == data


def test_the_order_of_output_and_errors_in_one_file_stays(tmp_path: Path) -> None:
    code = "import os\nfor n in range(50): os.write(1 + n % 2, b'%d\\n' % n)"
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(
            [*ENTRY, *PYTHON, code], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=60
        )
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (["no-such-command"], 127, "no-such-command: no such command."),
        (["./no-such-command"], 127, "no such command."),
        (["script.py"], 127, "python script.py"),
        (["./script.py"], 126, "cannot be executed"),
        (["./orphan"], 127, "interpreter that its first line names"),
        (["."], 126, "cannot be executed"),
    ],
)
def test_a_command_that_cannot_start_is_a_sentence(
    command: list[str], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text("")
    (tmp_path / "orphan").write_text("#!/no/such/interpreter\n")
    (tmp_path / "orphan").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    done = run(*command)
    assert (done.returncode, done.stdout) == (code, b"")
    assert says in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument"),
        (["--alwys", "true"], "No such option"),
        (["-o", "x.pdf", "true"], "does not say its format"),
        (["--checks", "/no/such/directory", "true"], "no such directory"),
    ],
)
def test_a_wrong_use_is_refused_before_anything_runs(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()


def test_little_is_imported_before_and_nothing_after_a_success() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *ENTRY[1:], "--", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {name for name in loaded if name.startswith("mcpdoctor")} <= {
        "mcpdoctor",
        "mcpdoctor.__main__",
        "mcpdoctor.cli",
        "mcpdoctor.running",
    }
    assert not loaded & {"httpx", "rich", "tabulate", "pydantic", "botocore", "anyio"}


@posix
def test_the_program_gets_its_signals_as_we_got_them() -> None:
    code = (
        "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []), "
        "[signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1)])"
    )
    plain = subprocess.run([*PYTHON, code], capture_output=True, check=True, timeout=60)
    assert run(*PYTHON, code).stdout == plain.stdout


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_program_that_a_signal_kills_is_seen_to_be_killed_by_it(number: int) -> None:
    done = run(*PYTHON, f"import os; os.kill(os.getpid(), {int(number)})")
    assert done.returncode == -number


READY = """
import os, signal, sys, time
got = []
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGQUIT"):
    signal.signal(getattr(signal, name), lambda number, _: got.append(number))
print("ready", flush=True)
while not got:
    time.sleep(0.01)
time.sleep(0.5)
print(got, flush=True)
sys.exit(7)
"""


@pytest.fixture(params=["told by the system", "guessed"])
def senders(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this system tells who sent a signal, as Linux does and macOS does not."""
    if request.param == "guessed":
        (tmp_path / "sitecustomize.py").write_text(
            "import signal, sys\nif 'mcpdoctor' in sys.orig_argv: del signal.sigwaitinfo\n", encoding="utf-8"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@posix
@pytest.mark.usefixtures("senders")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_is_sent_to_us_is_passed_on_once(number: int) -> None:
    process = subprocess.Popen(
        [*ENTRY, *PYTHON, READY], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.stdout.read() == f"[{int(number)}]\n".encode()
    process.stdout.close()
    assert process.wait(20) == 7


@posix
@pytest.mark.usefixtures("senders")
def test_ctrl_c_on_a_terminal_comes_once_and_the_terminal_stays_one() -> None:
    import pty

    code = f"import sys; print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty()){READY}"
    child, terminal = pty.fork()
    if not child:
        os.execv(sys.executable, [*ENTRY, *PYTHON, code])  # noqa: S606  # what one does behind a fork
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    while True:
        try:
            shown += os.read(terminal, 1000) or b""
        except OSError:
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert b"True True True" in shown
    assert b"[2]" in shown


@posix
def test_a_process_that_is_left_behind_keeps_nobody_waiting() -> None:
    started = time.monotonic()
    done = run("sh", "-c", "sleep 20 >&- & echo gone >&2")
    assert (done.returncode, done.stderr) == (0, b"gone\n")
    assert time.monotonic() - started < 15


# Pipes at both ends ---------------------------------------------------------------------------------------------------


def piped(code: str, **how: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*ENTRY, *PYTHON, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how
    )


def test_the_end_of_the_output_is_seen_while_the_program_goes_on() -> None:
    with piped("import os, sys; os.write(1, b'x'); os.close(1); sys.stdin.read()") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.read() == b"x"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_program_whose_reader_has_gone_learns_it() -> None:
    with piped("import os\nwhile True: os.write(1, b'x' * 1000)") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(20) != 0


def test_a_program_that_does_not_read_its_input_ends_all_the_same() -> None:
    with piped("print('done')") as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n"
        assert process.wait(20) == 0


@posix
def test_pipes_that_do_not_block_pass_everything_on() -> None:
    data = os.urandom(2**20)
    source, sink = os.pipe()
    back, out = os.pipe()
    for descriptor in (source, out):
        os.set_blocking(descriptor, False)

    def write() -> None:
        with os.fdopen(sink, "wb") as writer:
            writer.write(data)

    copy = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    with subprocess.Popen([*ENTRY, *PYTHON, copy], stdin=source, stdout=out, stderr=subprocess.DEVNULL) as process:
        os.close(source)
        os.close(out)
        threading.Thread(target=write).start()
        with os.fdopen(back, "rb") as reader:
            assert reader.read() == data
        assert process.wait(20) == 0


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stay_closed(closed: str, tmp_path: Path) -> None:
    look = "[stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]"
    code = f"import sys; open({str(tmp_path / 'said')!r}, 'w').write(repr({look}))"
    said = []
    for command in ([*PYTHON, code], [*ENTRY, *PYTHON, code]):
        subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], check=True, timeout=60)
        said.append((tmp_path / "said").read_text())
    assert said[0] == said[1]


PROXY = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    answer = {{"jsonrpc": "2.0", "id": asked["id"], {answer}}}
    print(json.dumps(answer), flush=True)
"""


def talk(answer: str, method: str, *, end: int | None = None) -> tuple[int, str]:
    """Send one request to a proxy through `mcpdoctor run`; its exit code and what was said on standard error."""
    with piped(PROXY.format(answer=answer)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        if end is not None:
            process.send_signal(end)
        else:
            process.stdin.close()
        return process.wait(20), process.stderr.read().decode()


@pytest.mark.parametrize("method", ["initialize", "tools/list"])
def test_a_proxy_that_answers_with_an_error_has_failed_though_it_ends_well(method: str) -> None:
    code, said = talk('"error": {"code": -32000, "message": "Client error 401 Unauthorized"}', method)
    assert code == 0
    assert "stdio" in said
    assert "-32000" in said
    assert "401 Unauthorized" in said


def test_a_proxy_that_answers_well_is_not_talked_about() -> None:
    assert talk('"result": {}', "initialize") == (0, "")


def test_a_proxy_whose_tool_fails_has_done_its_work() -> None:
    assert talk('"error": {"code": 1, "message": "no such file"}', "tools/call") == (0, "")


@posix
def test_a_proxy_that_its_client_stops_has_not_failed() -> None:
    assert talk('"result": {}', "initialize", end=signal.SIGTERM) == (-signal.SIGTERM, "")


CLIENT = """
import sys, anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main(command, *arguments):
    import os
    server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        print([tool.name for tool in (await session.list_tools()).tools])

anyio.run(main, *sys.argv[1:])
"""


def test_a_real_stdio_proxy_is_explained_to_the_one_who_reads_its_errors(lab: Lab) -> None:
    url = lab.http + "/aws-mcp/us-east-1/mcp"
    proxy = [sys.executable, "-m", "mcp_proxy_for_aws.server", url, "--region", "us-east-1", "--service", "execute-api"]
    done = subprocess.run(
        [*PYTHON, CLIENT, *ENTRY, *proxy],
        env={**os.environ, **lab.env},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "wrong-service" in done.stderr
    assert "correct service: 'aws-mcp'" in done.stderr


# What is said of a failure --------------------------------------------------------------------------------------------


def test_a_swallowed_cause_is_named_with_its_reason(lab: Lab, tmp_path: Path) -> None:
    url = lab.http + "/aws-mcp/us-east-1/mcp"
    out = tmp_path / "report.json"
    done = run("-o", str(out), *PYTHON, AGENT, url, "bedrock-agentcore", **lab.env)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (1, b"")
    assert "the client initialization failed" in said
    for words in ("JSON-RPC method", "initialize", "401", "InvalidSignatureException", "wrong-service"):
        assert words in said
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert lab.env[name] not in said + out.read_text()
    report = report_json.load(out)
    [result] = report.results
    assert (report.exit_code, result.cause, result.http_status) == (1, "wrong-service", 401)
    assert (result.configuration.service, result.configuration.region) == ("bedrock-agentcore", "us-east-1")
    assert [one.cause for one in report.findings] == ["wrong-service"]
    assert report.environment.packages["mcp"]
    drawn = subprocess.run(
        [sys.executable, "-m", "mcpdoctor", "render", str(out)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (drawn.returncode, drawn.stderr) == (1, "")
    assert "wrong-service" in drawn.stdout


def test_a_success_is_reported_on_demand(lab: Lab, tmp_path: Path) -> None:
    url = lab.http + "/aws-mcp/us-east-1/mcp"
    out = tmp_path / "report.json"
    quiet = run("-o", str(out), *PYTHON, AGENT, url, "aws-mcp", **lab.env)
    assert (quiet.returncode, quiet.stdout.strip().isdigit()) == (0, True)
    assert b"JSON-RPC method" not in quiet.stderr  # what its libraries warn of is there all the same
    assert report_json.load(out).results[0].works
    loud = run("--always", *PYTHON, AGENT, url, "aws-mcp", **lab.env)
    assert loud.returncode == 0
    assert "tools/list" in loud.stderr.decode()
    assert "tools/list" not in run("--always", "-q", *PYTHON, AGENT, url, "aws-mcp", **lab.env).stderr.decode()


def test_what_servers_say_attacks_no_terminal(lab: Lab) -> None:
    done = run(*PYTHON, AGENT, lab.http + "/fault/http/escapes/mcp", "aws-mcp", **lab.env)
    assert done.returncode == 1
    ours = done.stderr.decode().partition("\ntime ")[2]
    assert "401" in ours
    assert not {"\x1b", "\x9b", "\u202e"} & set(ours)


@posix
def test_a_program_that_is_stopped_while_it_waits_is_seen_to_have_waited(lab: Lab) -> None:
    url = lab.http + "/fault/http/silent/mcp"
    before = len(lab.requests)
    process = subprocess.Popen(
        [*ENTRY, *PYTHON, AGENT, url, "aws-mcp"],
        env={**os.environ, **lab.env},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(lab.requests) == before:
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert "no answer in" in said
    assert "initialize" in said


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["sh", "-c", "exit 1"], "no Python interpreter reported"),
        ([sys.executable, "-I", "-c", "raise SystemExit(1)"], "no Python interpreter reported"),
        ([*PYTHON, "raise SystemExit(1)"], "sent no MCP request"),
    ],
)
def test_where_nothing_was_recorded_it_is_said_why(command: list[str], says: str) -> None:
    done = run(*command)
    assert done.returncode == 1
    assert says in done.stderr.decode()


def test_without_a_place_for_the_record_the_program_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(Path, "mkdir", full)
    ended = running.run([*PYTHON, "import sys; sys.exit(3)"], os.environ)
    assert (ended.returncode, ended.directory, ended.failed) == (3, None, True)
    assert not ended.recording().python


@posix
def test_the_record_is_for_nobody_else(tmp_path: Path) -> None:
    made = running.private_directory({"TMPDIR": str(tmp_path)})
    assert made is not None
    assert made.stat().st_mode & 0o777 == 0o700
    running.remove(made)
    assert not made.exists()


def test_a_report_that_cannot_be_made_costs_neither_exit_code_nor_output(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'mcpdoctor' in sys.orig_argv:\n"
        "    import mcpdoctor.recording\n"
        "    def broken(*a, **k): raise TypeError('oops')\n"
        "    mcpdoctor.recording.read = broken\n",
        encoding="utf-8",
    )
    done = run(*PYTHON, "print('out'); raise SystemExit(5)", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (5, b"out\n")
    assert "could not report: TypeError: oops" in done.stderr.decode()
