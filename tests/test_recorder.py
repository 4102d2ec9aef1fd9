"""The recorder, in real interpreters: what it writes down, and that nobody notices it."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipapp
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

import mcpdoctor
from mcpdoctor import redaction
from mcpdoctor.lab import Lab
from mcpdoctor.recording import Recorded, Recording, read

RECORDER = Path(mcpdoctor.__file__).parent / "recorder"
SOURCES = sorted(RECORDER.glob("*.py"))
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"message": "hi"}}}

# Sends `message` to the URL in its first argument, in the way that its second one names.
CLIENT = f"""
import asyncio, sys, threading
import httpx

message = {CALL!r}

def post(url):
    with httpx.Client() as client:
        print(client.post(url, json=message).status_code)

async def post_in_loop(url):
    async with httpx.AsyncClient() as client:
        print((await client.post(url, json=message)).status_code)

def in_thread(url):
    thread = threading.Thread(target=post, args=(url,))
    thread.start()
    thread.join()

ways = {{"sync": post, "async": lambda url: asyncio.run(post_in_loop(url)), "thread": in_thread}}
if __name__ == "__main__":
    ways[sys.argv[2]](sys.argv[1])
"""

# Closes the answer without reading it; prints its status and the seconds that took.
UNREAD = {
    "sync": f"""
import httpx, sys, time
started = time.perf_counter()
with httpx.stream("POST", sys.argv[1], json={CALL!r}) as response:
    print(response.status_code)
print(time.perf_counter() - started)
""",
    "async": f"""
import asyncio, httpx, sys, time
async def main():
    async with httpx.AsyncClient() as client, client.stream("POST", sys.argv[1], json={CALL!r}) as response:
        print(response.status_code)
started = time.perf_counter()
asyncio.run(main())
print(time.perf_counter() - started)
""",
}


class Program:
    """Runs Python with the recorder in it.

    Attributes:
        directory: where it records.
        env: its environment.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started = time.time()
        self.env = {**os.environ, "PYTHONPATH": str(RECORDER), "MCPDOCTOR_RECORD": str(directory)}

    def run(
        self, *arguments: str, python: str = sys.executable, codes: tuple[int, ...] = (0,), **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [python, *arguments], env={**self.env, **env}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode in codes, done.stdout + done.stderr
        return done

    def recording(self) -> Recording:
        return read(self.directory, started=self.started, ended=time.time())

    def only(self) -> Recorded:
        [one] = self.recording().exchanges
        return one

    def written(self) -> str:
        return "".join(path.read_text() for path in self.directory.glob("*"))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """See `Program`."""
    directory = tmp_path / "record"
    directory.mkdir(mode=0o700)
    return Program(directory)


@pytest.fixture
def healthy(lab: Lab) -> str:
    """URL of a server that answers any call."""
    return lab.http + "/fault/healthy/none/mcp"


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that answers every POST with what `answer` writes; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/mcp"
        finally:
            server.shutdown()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def chunks(handler: BaseHTTPRequestHandler, status: int, pieces: Iterator[bytes]) -> None:
    handler.send_response(status)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for piece in pieces:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


# What is recorded -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sync", "async", "thread"])
def test_a_call_is_recorded_whatever_way_it_is_sent(program: Program, healthy: str, way: str) -> None:
    done = program.run("-c", CLIENT, healthy, way)
    one = program.only()
    assert one.exchange.status == int(done.stdout)
    assert (one.exchange.method, one.exchange.url, one.exchange.rpc_method) == ("POST", healthy, "tools/call")
    assert (one.tool, one.signature, one.session, one.sent) == ("echo", None, False, True)
    assert one.exchange.body
    assert one.exchange.complete
    assert 0 < one.exchange.elapsed_s < 10


REAL = """
import sys, anyio
from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client

async def main(url, service):
    client = aws_iam_streamablehttp_client(endpoint=url, aws_service=service, aws_region="us-east-1")
    async with client as (receive, send, _), ClientSession(receive, send) as session:
        await session.initialize()
        await session.list_tools()

anyio.run(main, *sys.argv[1:])
"""


def test_the_reason_of_a_refusal_is_recorded_though_the_client_does_not_read_it(program: Program, lab: Lab) -> None:
    url = lab.http + "/aws-mcp/us-east-1/mcp"
    program.run("-c", REAL, url, "bedrock-agentcore", codes=(1,), **lab.env)
    one = program.only()
    assert (one.exchange.status, one.exchange.rpc_method) == (401, "initialize")
    assert (one.signature, one.service, one.region) == ("sigv4", "bedrock-agentcore", "us-east-1")
    assert "correct service: 'aws-mcp'" in (one.exchange.body or "")
    assert one.exchange.headers["x-amzn-errortype"].startswith("InvalidSignatureException")
    assert program.recording().failures
    assert program.recording().versions["mcp"]


@pytest.mark.parametrize("identity", ["default", "session", "expired"])
def test_no_key_token_or_signature_is_written(program: Program, lab: Lab, identity: str) -> None:
    def echo(handler: BaseHTTPRequestHandler) -> None:
        said = json.dumps({"message": f"The Canonical String was: {handler.headers}"})
        reply(handler, 403, said.encode(), location=handler.headers["authorization"])

    env = lab.identities[identity]
    with answering(echo) as url:
        program.run("-c", REAL, url, "aws-mcp", codes=(1,), **env)
    written = program.written()
    assert "Canonical String" in written
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert env.get(name, "nothing") not in written
    assert not re.search("Signature=[0-9a-f]{8}", written)
    assert program.only().service == "aws-mcp"


def test_no_bearer_token_password_or_secret_in_a_query_is_written(program: Program, healthy: str) -> None:
    with_password = healthy.replace("http://", "http://bob:hunter2hunter2@")
    program.run("-c", CLIENT, with_password, "sync")
    assert program.only().signature == "other"
    url = healthy + "?access_token=hunter3hunter3&qualifier=DEFAULT"
    code = CLIENT.replace("json=message", "json=message, headers={'authorization': 'Bearer hunter4hunter4'}")
    program.run("-c", code, url, "sync")
    assert "hunter" not in program.written()
    last = program.recording().exchanges[-1]
    assert last.signature == "bearer"
    assert "qualifier=DEFAULT" in last.exchange.url


def test_what_a_program_says_to_others_is_its_own_business(program: Program, healthy: str) -> None:
    code = f"""
import httpx
httpx.post({healthy!r}, json={{"model": "m", "messages": [{{"role": "user", "content": '{{"jsonrpc": "2.0"}}'}}]}})
httpx.post({healthy!r}, json={{"tools": [{{"schema": {{"jsonrpc": {{"type": "string"}}}}}}]}})
httpx.post({healthy!r}, content=iter([b"a", b"b"]))
httpx.post({healthy!r}, content=b"jsonrpc" * 10)
httpx.get({healthy!r})
"""
    program.run("-c", code)
    assert program.recording().exchanges == ()
    assert program.recording().python


def test_requests_around_the_calls_are_recorded_too(program: Program, healthy: str, lab: Lab) -> None:
    code = f"""
import httpx
httpx.get({healthy!r}, headers={{"accept": "text/event-stream"}})
httpx.delete({healthy!r}, headers={{"mcp-session-id": "0123456789abcdef"}})
httpx.get({lab.http!r} + "/.well-known/oauth-protected-resource")
httpx.post({healthy!r}, json=[{{"jsonrpc": "2.0", "id": 1, "method": "ping"}}])
"""
    program.run("-c", code)
    seen = [(one.exchange.method, one.exchange.rpc_method, one.session) for one in program.recording().exchanges]
    assert seen == [("GET", None, False), ("DELETE", None, True), ("GET", None, False), ("POST", "ping", False)]
    assert "0123456789abcdef" not in program.written()


def test_nothing_of_many_threads_is_lost(program: Program, healthy: str) -> None:
    code = f"""
import httpx, threading
with httpx.Client() as client:
    def work():
        for _ in range(25):
            client.post({healthy!r}, json={CALL!r})
    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""
    program.run("-c", code)
    seen = program.recording().exchanges
    assert len(seen) == 200
    assert all(one.exchange.complete for one in seen)


def test_a_transport_of_ones_own_is_recorded_once(program: Program, healthy: str) -> None:
    code = f"""
import httpx
class Mine(httpx.HTTPTransport):
    def handle_request(self, request):
        return super().handle_request(request)
class Around(httpx.BaseTransport):
    def handle_request(self, request):
        return Mine().handle_request(request)
with httpx.Client(transport=Around()) as client:
    client.post({healthy!r}, json={CALL!r})
"""
    program.run("-c", code)
    assert program.only().tool == "echo"


def test_a_connection_that_fails_is_recorded_down_to_the_errno(program: Program) -> None:
    program.run("-c", CLIENT, "http://127.0.0.1:1/mcp", "async", codes=(1,))
    one = program.only()
    assert (one.exchange.status, one.pending) == (None, False)
    assert one.failures[0][0].type == "httpx.ConnectError"
    assert one.failures[0][-1].errno == "ECONNREFUSED"


def test_a_request_that_cannot_be_signed_is_recorded_though_it_is_not_sent(program: Program, lab: Lab) -> None:
    before = len(lab.requests)
    program.run("-c", REAL, lab.http + "/aws-mcp/us-east-1/mcp", "aws-mcp", codes=(1,))
    one = program.only()
    assert (one.sent, one.exchange.rpc_method) == (False, "initialize")
    assert one.failures[0][-1].type == "botocore.exceptions.NoCredentialsError"
    assert len(lab.requests) == before


def test_a_packed_refusal_is_recorded_in_plain_text(program: Program) -> None:
    body = gzip.compress(b'{"message": "Credential should be scoped to correct service"}')
    with answering(lambda handler: reply(handler, 403, body, content_encoding="gzip")) as url:
        program.run("-c", CLIENT, url, "async")
    assert "correct service" in (program.only().exchange.body or "")


@pytest.mark.parametrize("packing", ["br", "gzip"])
def test_a_body_that_cannot_be_unpacked_is_left_out(program: Program, packing: str) -> None:
    with answering(lambda handler: reply(handler, 403, b"not packed at all", content_encoding=packing)) as url:
        program.run("-c", UNREAD["sync"], url)
    one = program.only()
    assert (one.exchange.status, one.exchange.body or "") == (403, "")


def test_what_only_looks_like_json_rpc_is_not_recorded(program: Program, healthy: str) -> None:
    program.run("-c", f"import httpx; httpx.post({healthy!r}, content=b'{{\"jsonrpc\"')")
    assert program.recording().exchanges == ()


def test_an_asymmetric_signature_names_no_region(program: Program, healthy: str) -> None:
    header = (
        "AWS4-ECDSA-P256-SHA256 Credential=AKIALABEXAMPLEDEFLT2/20261122/aws-mcp/aws4_request, Signature=0123456789"
    )
    program.run(
        "-c", CLIENT.replace("json=message", f"json=message, headers={{'authorization': {header!r}}}"), healthy, "sync"
    )
    one = program.only()
    assert (one.signature, one.service, one.region) == ("sigv4", "aws-mcp", None)


def test_a_body_that_breaks_off_is_recorded_with_what_was_raised(program: Program) -> None:
    def break_off(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    for way in ("sync", "async"):
        with answering(break_off) as url:
            program.run("-c", CLIENT, url, way, codes=(1,))
    for one in program.recording().exchanges:
        assert (one.exchange.status, one.exchange.body, one.exchange.complete) == (200, "half", False)
        assert one.failures[0][0].type == "httpx.RemoteProtocolError"


def test_a_program_may_leave_a_body_unread(program: Program) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"data: more\n\n"

    code = f"""
import asyncio, httpx, sys
with httpx.stream("POST", sys.argv[1], json={CALL!r}) as response:
    next(response.iter_raw())
async def main():
    async with httpx.AsyncClient(timeout=None) as client, client.stream("POST", sys.argv[1], json={CALL!r}) as response:
        async for piece in response.aiter_raw():
            break
asyncio.run(main())
"""
    with answering(lambda handler: chunks(handler, 200, endless())) as url:
        assert program.run("-c", code, url).stderr == ""
    assert {one.exchange.complete for one in program.recording().exchanges} == {False}
    assert {one.failures for one in program.recording().exchanges} == {()}


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_long_refusal_is_read_for_its_beginning_only(program: Program, way: str) -> None:
    def long() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 8192

    with answering(lambda handler: chunks(handler, 403, long())) as url:
        program.run("-c", UNREAD[way], url)
    assert 0 < program.only().exchange.body_size < 200_000


def test_of_a_long_answer_the_beginning_is_kept(program: Program) -> None:
    body = b'{"jsonrpc": "2.0", "result": "' + b"x" * 3_000_000 + b'"}'
    with answering(lambda handler: reply(handler, 200, body)) as url:
        program.run("-c", CLIENT, url, "sync")
    one = program.only()
    assert (one.exchange.body_size, one.exchange.complete) == (len(body), True)
    assert len(program.written()) < 10_000
    assert one.kind == "rpc-result"


def test_exceptions_of_the_program_and_of_its_threads_are_recorded(program: Program) -> None:
    code = """
import errno, threading
def fail():
    raise LookupError("in a thread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
try:
    raise OSError(errno.ECONNREFUSED, "refused")
except OSError as error:
    raise ExceptionGroup("two", [ValueError("one"), KeyError("other")]) from error
"""
    done = program.run("-c", code, codes=(1,))
    assert "LookupError: in a thread" in done.stderr
    assert "KeyError: 'other'" in done.stderr
    roots = {(chain[-1].type, chain[-1].errno) for chain in program.recording().failures}
    refused = ("ConnectionRefusedError", "ECONNREFUSED")
    assert roots == {("LookupError", None), ("ValueError", None), ("KeyError", None), refused}


def test_a_request_that_waits_when_the_program_is_killed_is_pending(program: Program) -> None:
    asked = threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        time.sleep(60)

    with answering(silent) as url:
        process = subprocess.Popen([sys.executable, "-c", CLIENT, url, "sync"], env=program.env)
        assert asked.wait(20)
        process.kill()
        process.wait()
    one = program.only()
    assert one.pending
    assert one.exchange.rpc_method == "tools/call"
    assert len(program.recording().pending) == 1


# Processes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"PYTHONPATH": "elsewhere"}])
def test_a_child_with_an_environment_of_its_own_is_recorded(
    program: Program, healthy: str, given: dict[str, str]
) -> None:
    given = {**given, "PATH": os.environ["PATH"]}
    arguments = [sys.executable, "-c", CLIENT, healthy, "sync"]
    program.run("-c", f"import subprocess; subprocess.run({arguments!r}, env={given!r}, check=True)")
    assert program.only().process > 0


def test_children_of_every_kind_are_recorded(program: Program, healthy: str, tmp_path: Path) -> None:
    script = tmp_path / "family.py"
    script.write_text(
        f"{CLIENT}\n"
        "    import multiprocessing, os\n"
        "    if hasattr(os, 'fork'):\n"
        "        if not (child := os.fork()):\n"
        "            post(sys.argv[1])\n"
        "            os._exit(0)\n"
        "        os.waitpid(child, 0)\n"
        "    for kind in multiprocessing.get_all_start_methods():\n"
        "        process = multiprocessing.get_context(kind).Process(target=post, args=(sys.argv[1],))\n"
        "        process.start()\n"
        "        process.join()\n"
    )
    program.run("-W", "ignore", str(script), healthy, "sync")
    seen = program.recording().exchanges
    assert len(seen) == len({one.process for one in seen}) == (5 if sys.platform == "linux" else 3)
    assert {one.exchange.status for one in seen} == {seen[0].exchange.status}


def test_a_daemon_that_closes_its_descriptors_writes_only_where_it_means_to(
    program: Program, healthy: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.txt"
    code = f"""
import os
post(sys.argv[1])
os.closerange(3, 64)
files = [open({str(own)!r}, "a") for _ in range(8)]
post(sys.argv[1])
"""
    program.run("-c", CLIENT.replace('if __name__ == "__main__":', "if 0:") + code, healthy)
    assert own.read_text() == ""
    assert len(program.recording().exchanges) == 2


@pytest.mark.parametrize("trouble", ["deleted", "no directory", "full", "no standard streams"])
def test_a_record_that_cannot_be_written_disturbs_nobody(
    program: Program, healthy: str, tmp_path: Path, trouble: str
) -> None:
    code = CLIENT
    if trouble == "deleted":
        code = f"import shutil; shutil.rmtree({str(program.directory)!r})\n{code}"
    elif trouble == "no directory":
        program.env["MCPDOCTOR_RECORD"] = __file__
    elif trouble == "full":
        code = f"import os\ndef full(*_): raise OSError(28, 'No space left on device')\nos.write = full\n{code}"
    else:
        program.env["MCPDOCTOR_RECORD"] = str(tmp_path)
    command = [sys.executable, "-B", "-c", code, healthy, "async"]
    if trouble == "no standard streams":
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(command, env=program.env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


# Nobody notices -------------------------------------------------------------------------------------------------------


def test_a_body_streams_while_it_is_recorded(program: Program) -> None:
    arrived = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"data: first\n\n"
        assert arrived.wait(20), "the first piece is held back until the last one has come"
        yield b"data: last\n\n"

    code = f"""
import asyncio, httpx, sys
async def main():
    async with httpx.AsyncClient() as client, client.stream("POST", sys.argv[1], json={CALL!r}) as response:
        async for piece in response.aiter_raw():
            print(piece.decode().strip(), flush=True)
asyncio.run(main())
"""
    with answering(lambda handler: chunks(handler, 200, pieces())) as url:
        process = subprocess.Popen(
            [sys.executable, "-c", code, url], env=program.env, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        arrived.set()
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait(20) == 0
    assert (first, rest.split()) == ("data: first\n", ["data:", "last"])
    assert program.only().exchange.body == "data: first\n\ndata: last\n\n"


def test_no_request_is_added_left_out_or_changed(program: Program, lab: Lab) -> None:
    url = lab.http + "/aws-mcp/us-east-1/mcp"
    plain = {**program.env, "PYTHONPATH": ""}
    seen = []
    for env in (plain, program.env):
        before = len(lab.requests)
        subprocess.run(
            [sys.executable, "-c", REAL, url, "aws-mcp"], env={**env, **lab.env}, check=True, capture_output=True
        )
        seen.append(sorted((one.method, one.path, one.rpc_method or "", one.status) for one in lab.requests[before:]))
    assert seen[0] == seen[1]
    assert len(program.recording().exchanges) == len(seen[1])


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_refusal_that_never_ends_holds_nobody_up(program: Program, way: str) -> None:
    def drip() -> Iterator[bytes]:
        yield b"no reason"
        for _ in range(300):
            time.sleep(0.1)
            yield b"."

    with answering(lambda handler: chunks(handler, 403, drip())) as url:
        done = program.run("-c", UNREAD[way], url)
    status, took = done.stdout.split()
    assert (status, done.stderr) == ("403", "")
    assert float(took) < 3
    assert (program.only().exchange.body or "").startswith("no reason")
    assert not program.only().exchange.complete


def test_a_refusal_that_is_cancelled_while_it_is_read_is_cancelled(program: Program) -> None:
    code = f"""
import anyio, httpx, sys
async def main():
    async with httpx.AsyncClient() as client:
        with anyio.move_on_after(0.1) as scope:
            async with client.stream("POST", sys.argv[1], json={CALL!r}) as response:
                timeout = response.request.extensions["timeout"]
        print(scope.cancelled_caught, response.request.extensions["timeout"] is timeout)
anyio.run(main)
"""

    def stuck() -> Iterator[bytes]:
        yield b"half"
        time.sleep(5)

    with answering(lambda handler: chunks(handler, 401, stuck())) as url:
        done = program.run("-c", code, url)
    assert (done.stdout, done.stderr) == ("True True\n", "")


LOOK = "import json, sys; print(json.dumps([sys.path, sorted(m for m in sys.modules if 'custom' in m), sys.flags[:]]))"


@pytest.mark.parametrize("form", ["-c", "-m", "script", "zipapp", "-P"])
def test_the_program_sees_the_module_search_path_of_its_own(program: Program, tmp_path: Path, form: str) -> None:
    package = tmp_path / "app"
    package.mkdir()
    (package / "__main__.py").write_text(LOOK)
    zipapp.create_archive(package, tmp_path / "app.pyz")
    arguments = {
        "-c": ["-c", LOOK],
        "-m": ["-m", "app"],
        "script": [str(package / "__main__.py")],
        "zipapp": [str(tmp_path / "app.pyz")],
        "-P": ["-P", "-c", LOOK],
    }[form]
    seen = [
        subprocess.run(
            [sys.executable, *arguments], env={**program.env, **env}, cwd=tmp_path, capture_output=True, check=True
        ).stdout
        for env in ({"PYTHONPATH": "/a"}, {"PYTHONPATH": f"{RECORDER}{os.pathsep}/a"})
    ]
    assert seen[0] == seen[1]
    assert program.recording().python


@pytest.mark.parametrize(
    "text",
    [
        "import sys; print('theirs', __name__, sys.modules[__name__].__file__)",
        "raise ValueError('theirs')",
        "import nix",
        None,
    ],
)
def test_another_sitecustomize_runs_as_if_ours_were_not_there(
    program: Program, tmp_path: Path, text: str | None
) -> None:
    if text:
        (tmp_path / "sitecustomize.py").write_text(text)
    code = "import sys; print(getattr(sys.modules.get('sitecustomize'), '__file__', None))"
    alone = program.run("-c", code, PYTHONPATH=str(tmp_path))
    both = program.run("-c", code, PYTHONPATH=f"{RECORDER}{os.pathsep}{tmp_path}")
    assert (both.stdout, both.stderr) == (alone.stdout, alone.stderr)


def test_without_the_variable_nothing_is_recorded(program: Program, healthy: str) -> None:
    del program.env["MCPDOCTOR_RECORD"]
    program.run("-c", CLIENT, healthy, "sync")
    assert not program.recording().python


def test_a_fault_of_the_recorder_does_not_reach_the_program(program: Program, tmp_path: Path, healthy: str) -> None:
    broken = tmp_path / "recorder"
    shutil.copytree(RECORDER, broken)
    source = (broken / "mcpdoctor_recorder.py").read_text()
    for name in ("_message", "_told", "_unpacked"):
        source = re.sub(
            rf"(def {name}\(.*\n(?:    .*\n)*?)(?=    )", r"\1    raise RuntimeError('ours')\n", source, count=1
        )
    (broken / "mcpdoctor_recorder.py").write_text(source)
    for url, codes in ((healthy, (0,)), ("http://127.0.0.1:1/", (1,))):
        done = program.run("-c", CLIENT, url, "async", codes=codes, PYTHONPATH=str(broken))
        assert "ours" not in done.stderr
    (broken / "mcpdoctor_recorder.py").write_text("this is no Python")
    assert program.run("-c", CLIENT, healthy, "sync", PYTHONPATH=str(broken)).stderr == ""


def test_the_stream_of_a_response_is_still_of_its_class(program: Program, healthy: str) -> None:
    code = f"""
import httpx
from httpx._transports.default import ResponseStream
response = httpx.HTTPTransport().handle_request(httpx.Request("POST", {healthy!r}, json={CALL!r}))
print(isinstance(response.stream, ResponseStream), response.stream._httpcore_stream is not None)
response.read()
response.close()
print(httpx.HTTPTransport.handle_request.__qualname__)
"""
    assert program.run("-c", code).stdout.split() == ["True", "True", "HTTPTransport.handle_request"]


# Sources --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def module() -> Any:
    """The recorder, imported and not started."""
    spec = importlib.util.spec_from_file_location("mcpdoctor_recorder", RECORDER / "mcpdoctor_recorder.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_headers_are_those_that_mcpdoctor_shows(module: Any) -> None:
    assert module.HEADERS == redaction.HEADERS


def test_of_a_program_that_runs_for_days_the_end_is_kept(module: Any, program: Program) -> None:
    module.MAX_FILE = 20_000
    module._log.open(str(program.directory))
    for number in range(1000):
        module._log.write("sent", id=number, method="POST", url="https://h/mcp", at=program.started + number)
    os.close(module._log._file)
    assert len(program.written()) <= module.MAX_FILE
    seen = [one.started_s for one in program.recording().exchanges]
    assert 50 < len(seen) < 1000
    assert round(seen[-1]) == 999


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_recorder_needs_nothing_but_the_standard_library_of_python_3_10(source: Path) -> None:
    tree = ast.parse(source.read_bytes(), feature_version=(3, 10))
    names = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {str(name).split(".")[0] for name in names} <= {
        *sys.stdlib_module_names,
        "mcpdoctor_recorder",
        "sitecustomize",
    }


def interpreters() -> list[str]:
    """Every Python from 3.10 on the search path."""
    found = [shutil.which(f"python3.{minor}") for minor in range(10, 20)]
    return [sys.executable, *filter(None, found)]


@pytest.mark.parametrize("python", interpreters())
def test_every_python_records(program: Program, healthy: str, python: str) -> None:
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("a name without an interpreter behind it")
    site = Path(httpx.__file__).parents[1]  # httpx and all that its synchronous client needs is plain Python
    path = os.pathsep.join([str(RECORDER), str(site)])
    done = program.run("-B", "-W", "error", "-c", CLIENT, healthy, "sync", python=python, PYTHONPATH=path)
    assert done.stderr == ""
    assert program.only().exchange.status == int(done.stdout)


def test_starting_costs_next_to_nothing(program: Program) -> None:
    done = program.run("-X", "importtime", "-c", "pass")
    alone = program.run("-X", "importtime", "-c", "pass", PYTHONPATH="")
    loaded, without = ({line.rpartition("|")[2].strip() for line in run.stderr.splitlines()} for run in (done, alone))
    assert "mcpdoctor_recorder" in loaded
    light = {"__future__", "atexit", "time", "contextvars", "_contextvars", "itertools"}
    assert loaded - without <= {"mcpdoctor_recorder", "sitecustomize", *light}


def test_a_signal_kills_a_recorded_program_as_any_other(program: Program) -> None:
    done = program.run("-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)", codes=(-signal.SIGTERM,))
    assert done.stderr == ""
