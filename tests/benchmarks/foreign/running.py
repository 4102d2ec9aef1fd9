"""Start the foreign server and nginx in front of it, and measure them as a user would."""

from __future__ import annotations

import getpass
import grp
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

NGINX = shutil.which("nginx") or next((path for path in ("/usr/sbin/nginx",) if Path(path).exists()), None)
SERVER = Path(__file__).with_name("server.py")

CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {base}/nginx.pid;
error_log {base}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {base}/body;
  proxy_temp_path {base}/proxy;
  fastcgi_temp_path {base}/fastcgi;
  uwsgi_temp_path {base}/uwsgi;
  scgi_temp_path {base}/scgi;
  {zone}
  upstream mcp {{ server 127.0.0.1:{behind}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      {rule}
      proxy_pass http://mcp;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


@contextmanager
def mcp_server(*arguments: str) -> Iterator[int]:
    """The foreign server with arguments of its command line; yields its port."""
    process = subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        _reachable(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@contextmanager
def nginx(base: Path, behind: int, *, zone: str = "", rule: str = "") -> Iterator[int]:
    """nginx in front of a port, as the current user; yields its own port."""
    assert NGINX is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Only root may name a user; without a name root's workers would run as nobody, and could not write here.
    user = f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};" if os.geteuid() == 0 else ""
    file = base / "nginx.conf"
    file.write_text(CONFIG.format(user=user, base=base, behind=behind, port=port, zone=zone, rule=rule))
    process = subprocess.Popen([NGINX, "-p", str(base), "-e", str(base / "error.log"), "-c", str(file)])
    try:
        _reachable(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def _reachable(port: int, process: subprocess.Popen[Any]) -> None:
    for _ in range(400):
        assert process.poll() is None, "it ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("it does not listen")


@contextmanager
def endpoint(base: Path, *, server: tuple[str, ...] = (), zone: str | None = None, rule: str = "") -> Iterator[str]:
    """The server, behind nginx where there is a `zone` (it may be empty); yields the URL."""
    with ExitStack() as stack:
        port = stack.enter_context(mcp_server(*server))
        if zone is not None:
            port = stack.enter_context(nginx(base, port, zone=zone, rule=rule))
        yield f"http://127.0.0.1:{port}/mcp"


def measured(url: str, *options: str, timeout_s: float = 900) -> Any:
    """What `mcpdoctor ceiling` says of an endpoint."""
    command = [sys.executable, "-m", "mcpdoctor", "ceiling", url, "--yes", "--format", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["ceilings"][0]
