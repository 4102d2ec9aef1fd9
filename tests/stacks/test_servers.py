"""Healthy servers that are not ours and not AWS's: `mcpdoctor check` says that they work, and not a word more."""

from __future__ import annotations

import getpass
import grp
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from benchmarks.foreign.running import NGINX

from mcpdoctor.lab import Lab
from stacks.conftest import HERE, PATIENCE_S, VENVS, Python

FAST = str(HERE / "servers" / "fast.py")
NODE = VENVS / "node" / "node_modules"
EXAMPLES = "@modelcontextprotocol/sdk/dist/esm/examples/server"

STATELESS = "stateless_http=true"
JSON = "json_response=true"

IN_PYTHON = [
    *(
        (stack, "/mcp", ())
        for stack in ("fastmcp-2.14", "fastmcp-3.4", "fastmcp-4.1", "mcp-1.26", "mcp-1.30", "mcp-2.3")
    ),
    *((stack, "/mcp", (STATELESS, JSON)) for stack in ("fastmcp-2.14", "fastmcp-3.4", "fastmcp-4.1", "mcp-2.3")),
    ("mcp-1.26", "/mcp", (STATELESS,)),
    ("mcp-1.30", "/mcp", (STATELESS,)),
    ("mcp-1.30", "/mcp", (JSON,)),
    ("mcp-1.30", "/mcp", (STATELESS, JSON)),
    # A slash too many, which Starlette answers with 307.
    ("fastmcp-2.14", "/mcp/", ()),
    ("mcp-1.30", "/mcp/", ()),
]
IN_NODE = [
    ("@modelcontextprotocol/server-everything/dist/index.js", ("streamableHttp",)),
    (f"{EXAMPLES}/simpleStreamableHttp.js", ()),
    (f"{EXAMPLES}/honoWebStandardStreamableHttp.js", ()),
]

PROXY = """
{user}
daemon off;
worker_processes 1;
pid {base}/nginx.pid;
error_log {base}/error.log warn;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {base}/body;
  proxy_temp_path {base}/proxy;
  fastcgi_temp_path {base}/fastcgi;
  uwsgi_temp_path {base}/uwsgi;
  scgi_temp_path {base}/scgi;
  server {{
    listen 127.0.0.1:{port} {tls};
    location / {{ proxy_pass http://127.0.0.1:{behind}; {more} }}
  }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, log: Path, **variables: str) -> Iterator[None]:
    """A server for as long as it is needed."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **variables})
        try:
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                assert child.poll() is None, log.read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield
        finally:
            child.terminate()
            child.wait(timeout=20)


@contextmanager
def nginx(base: Path, behind: int, *, tls: str = "", more: str = "") -> Iterator[int]:
    """nginx with its defaults before a port: HTTP/1.0 to the server, and answers held back until they are whole."""
    assert NGINX is not None
    port = free_port()
    # Only root may name a user; without a name root's workers would run as nobody, and could not write here.
    user = f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};" if os.geteuid() == 0 else ""
    file = base / "nginx.conf"
    file.write_text(PROXY.format(user=user, base=base, behind=behind, port=port, tls=tls, more=more))
    command = [NGINX, "-p", str(base), "-e", str(base / "error.log"), "-c", str(file)]
    with running(command, port, base / "nginx.log"):
        yield port


def checked(url: str, *options: str) -> dict[str, Any]:
    """What `mcpdoctor check` makes of a server that wants no signature."""
    command = [sys.executable, "-m", "mcpdoctor", "check", "--credential", "none", "--format", "json", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    [result] = json.loads(done.stdout)["results"]
    return {
        "exit_code": done.returncode,
        "works": result["works"],
        "findings": [finding["check"] for finding in result["findings"]],
        "stderr": done.stderr,
    }


HEALTHY = {"exit_code": 0, "works": True, "findings": [], "stderr": ""}


@pytest.mark.parametrize(("stack", "path", "settings"), IN_PYTHON)
def test_a_healthy_server_in_python_works(
    stack: str, path: str, settings: tuple[str, ...], python: Python, tmp_path: Path
) -> None:
    port = free_port()
    with running([str(python(stack)), FAST, str(port), *settings], port, tmp_path / "log"):
        assert checked(f"http://127.0.0.1:{port}{path}") == HEALTHY


@pytest.mark.parametrize(("program", "arguments"), IN_NODE)
def test_a_healthy_server_in_node_works(program: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    needs_node()
    port = free_port()
    command = ["node", str(NODE / program), *arguments]
    with running(command, port, tmp_path / "log", PORT=str(port), MCP_PORT=str(port)):
        assert checked(f"http://127.0.0.1:{port}/mcp") == HEALTHY


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("settings", [(), (STATELESS, JSON)], ids=["sessions", "stateless"])
def test_a_healthy_server_behind_nginx_works(
    settings: tuple[str, ...], python: Python, tmp_path: Path, *, tls: bool
) -> None:
    behind = free_port()
    authority = tmp_path / "ca.pem"
    options = ("--ca-bundle", str(authority)) if tls else ()
    listen, more = "", "proxy_set_header Host $http_host;"
    if tls:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(authority))
        pair = tmp_path / "server.pem"
        ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pair))
        listen = f"ssl; ssl_certificate {pair}; ssl_certificate_key {pair}"
    with ExitStack() as stack:
        command = [str(python("mcp-1.30")), FAST, str(behind), *settings]
        stack.enter_context(running(command, behind, tmp_path / "log"))
        port = stack.enter_context(nginx(tmp_path, behind, tls=listen, more=more))
        assert checked(f"{'https' if tls else 'http'}://localhost:{port}/mcp", *options) == HEALTHY


def test_the_inspector_of_the_mcp_project_takes_the_lab(lab: Lab) -> None:
    needs_node()
    for path in ("/knowledge/mcp", "/aws-mcp/us-east-1/mcp", "/fault/healthy/none/mcp"):
        program = str(NODE / "@modelcontextprotocol/inspector/cli/build/cli.js")
        command = ["node", program, "--cli", lab.http + path, "--transport", "http", "--method", "tools/list"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["tools"]


def needs_node() -> None:
    """Skip where `make stacks` found no npm."""
    if not NODE.exists():
        pytest.skip(f"{NODE} is not there: `make stacks` builds it where there is npm")
