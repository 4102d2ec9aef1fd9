"""A venv for each stack, a way into the lab under the names of AWS, and a way to run a client there."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcpdoctor.lab import Lab
from mcpdoctor.network import parse_route

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VENVS = Path(os.environ.get("STACKS", ROOT / ".venv-stacks")).absolute()
"""Where `make stacks` builds a venv for each file in `requirements`."""

PATIENCE_S = 90.0
"""For one program: importing some of the stacks takes seconds where the disk is cold."""


class Way:
    """An HTTP proxy on loopback that leads the names of the lab to the lab, and no other name anywhere."""

    def __init__(self, lab: Lab) -> None:
        routes = map(parse_route, lab.connect_to)
        self._routes = {f"{route.host}:{route.port}": (route.to_host, route.to_port) for route in routes}
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._server.accept()[:1], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := client.recv(4096)):
                    return
                head += more
            asked = re.match(rb"CONNECT (\S+)", head)
            to = self._routes.get(asked[1].decode()) if asked else None
            if to is None:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with socket.create_connection(to) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _join(client, server)


def _join(one: socket.socket, other: socket.socket) -> None:
    while True:
        for readable in select.select([one, other], [], [])[0]:
            if not (data := readable.recv(65536)):
                return
            (other if readable is one else one).sendall(data)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a user has before them when a program has ended: the output, as a shell with `2>&1` shows it."""

    command: str
    returncode: int
    output: str

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.output}\n[exit code {self.returncode}]"


@pytest.fixture(scope="session")
def way(lab: Lab) -> Iterator[str]:
    """URL of the proxy that leads into the lab."""
    opened = Way(lab)
    yield opened.url
    opened.close()


Python = Callable[[str], Path]


@pytest.fixture(scope="session")
def python() -> Python:
    """The interpreter of a stack's venv."""

    def of(stack: str) -> Path:
        if not (VENVS / stack / ".installed").exists():
            pytest.fail(f"{VENVS / stack} is not there: `make stacks` builds it.")
        return VENVS / stack / "bin" / "python"

    return of


@contextmanager
def _child(command: list[str], **given: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is gone at the end, with the stdio servers it has started."""
    with subprocess.Popen(command, start_new_session=True, **given) as child:
        try:
            yield child
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)


class Client:
    """Runs the client programs of a stack against the lab, directly or under `mcpdoctor run`."""

    def __init__(self, lab: Lab, way: str, python: Python, directory: Path) -> None:
        self._lab = lab
        self._way = way
        self._python = python
        self._directory = directory

    def run(
        self, stack: str, program: str, *arguments: str, env: Mapping[str, str | None] | None = None, under: Any = ()
    ) -> Ended:
        """Run a program of `clients/` in a stack's venv.

        Args:
            stack: The name of the venv.
            program: The program, without `.py`; or the path of another one.
            arguments: What it gets.
            env: Environment variables on top of the lab's default key; None takes one away.
            under: A command to run it under.
        """
        changes: dict[str, str | None] = {
            **self._lab.env,
            "AWS_REGION": self._lab.env["AWS_DEFAULT_REGION"],
            "HTTPS_PROXY": self._way,
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(self._lab.ca_bundle),
            "PYTHONIOENCODING": "utf-8",
            **(env or {}),
        }
        settings = {**os.environ, **{key: value for key, value in changes.items() if value is not None}}
        for key in [key for key, value in changes.items() if value is None]:
            settings.pop(key, None)
        path = program if Path(program).is_absolute() else str(HERE / "clients" / f"{program}.py")
        command = [*under, str(self._python(stack)), path, *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with _child(command, cwd=self._directory, env=settings, **pipes) as child:
            try:
                output = child.communicate(timeout=PATIENCE_S)[0]
            except subprocess.TimeoutExpired:
                pytest.fail(f"{stack}: {program} {' '.join(arguments)} did not end in {PATIENCE_S:.0f} s")
        return Ended(" ".join(command), child.returncode, output.decode(errors="replace"))

    def recorded(self, stack: str, program: str, *arguments: str) -> tuple[Ended, dict[str, Any]]:
        """The same under `mcpdoctor run`, and the report of that."""
        report = self._directory / "report.json"
        under = [sys.executable, "-m", "mcpdoctor", "run", "-o", f"json:{report}", "--"]
        ended = self.run(stack, program, *arguments, under=under)
        assert report.exists(), f"no report was written\n{ended}"
        return ended, json.loads(report.read_text(encoding="utf-8"))


@pytest.fixture
def client(lab: Lab, way: str, python: Python, tmp_path: Path) -> Client:
    """A way to run client programs."""
    return Client(lab, way, python, tmp_path)


@dataclass(frozen=True, slots=True)
class Explained:
    """What `mcpdoctor explain` makes of a text."""

    exit_code: int
    status: int | None
    url: str | None
    cause: str
    causes: tuple[str, ...]
    said: str


@pytest.fixture
def explain(tmp_path: Path) -> Callable[[str], Explained]:
    """Pipe a text to `mcpdoctor explain`."""

    def read(text: str) -> Explained:
        done = subprocess.run(
            [sys.executable, "-m", "mcpdoctor", "explain", "--format", "json", "-"],
            input=text.encode(),
            capture_output=True,
            cwd=tmp_path,
            timeout=PATIENCE_S,
            check=False,
        )
        said = done.stdout.decode() + done.stderr.decode()
        assert done.returncode in (0, 1), f"explain failed\n{said}\non\n{text}"
        found = json.loads(done.stdout)
        causes = tuple(found.get("causes", [found["cause"]]))
        return Explained(done.returncode, found["http_status"], found["url"], found["cause"], causes, said)

    return read
