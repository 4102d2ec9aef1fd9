"""Signs on the way: the suite speaks to a server as anybody would, and the lab's server sees a signature.

The suite cannot sign. `Host`, `Origin` and every other header reach the lab as the suite sent them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}


@contextmanager
def signed(base: str, service: str, env: Mapping[str, str]) -> Iterator[str]:
    """A base URL that leads to `base`, with a signature of `us-east-1` on every request.

    Args:
        base: where to, such as `http://127.0.0.1:8080`.
        service: the SigV4 service name.
        env: environment variables with the key.
    """
    credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
    client = httpx.Client(timeout=120, trust_env=False)

    class Forward(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_CONNECTION}
            request = AWSRequest(method=self.command, url=base + self.path, data=body, headers=headers)
            SigV4Auth(credentials, service, "us-east-1").add_auth(request)
            # A stream that is open at the end is cut by either side.
            with (
                suppress(httpx.TransportError, OSError),
                client.stream(self.command, base + self.path, content=body, headers=dict(request.headers)) as answer,
            ):
                self.send_response(answer.status_code)
                for name, value in answer.headers.multi_items():
                    if name not in OF_THE_CONNECTION:
                        self.send_header(name, value)
                self.end_headers()  # HTTP/1.0: the end of the connection is the end of the answer
                for piece in answer.iter_raw():
                    self.wfile.write(piece)
                    self.wfile.flush()

        do_GET = do_DELETE = do_POST  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            """The suite keeps records enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        client.close()
