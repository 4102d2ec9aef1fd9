"""The cause is named in what people paste: by every check that reads texts, by the best evidence, and never by luck."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import botocore.exceptions
import botocore.session
import httpx
import pytest
from credential_scenes import LOGIN, role, sso
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.auth import OAuthRegistrationError
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.types import ErrorData
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client
from test_checks import SSO

import mcpdoctor
from mcpdoctor.catalogue import Catalogue, Says
from mcpdoctor.explanation import Explanation, explain
from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.model import Cause, Severity, Unusable

UNHURRIED = settings(deadline=None, max_examples=60)  # other tests run on the same machine

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
URL = "https://tools.example/mcp"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPT = {"accept": "application/json, text/event-stream"}


def checks_of(found: Explanation) -> list[str]:
    return [one.check for one in found.findings]


def formatted(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))


def caught(function: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: PT011 - whatever it raises is what the test is about
        function()
    return info.value


def lookalike(module: str, name: str, base: type[BaseException] = Exception) -> Any:
    """Build the class of a library that is not installed here."""
    return type(name, (base,), {"__module__": module})


def throw(exc: BaseException) -> None:
    raise exc


def refused_by_rpc(code: int, message: str) -> BaseException:
    return caught(lambda: throw(McpError(ErrorData(code=code, message=message))))


@contextmanager
def logging_to(written: io.StringIO, level: int) -> Iterator[None]:
    """Log as a program does after `logging.basicConfig(level=…)`."""
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


@dataclass
class Place:
    """Where real libraries fail: the lab, and an AWS configuration of its own."""

    lab: Lab
    monkeypatch: pytest.MonkeyPatch
    directory: Path
    sockets: list[socket.socket] = field(default_factory=list)

    def url(self, fault: str) -> str:
        return FAULTS[fault].url(self.lab)

    def sign(self) -> None:
        """Have the credentials of the lab in the environment."""
        for name, value in self.lab.env.items():
            self.monkeypatch.setenv(name, value)

    def aws_config(self, text: str) -> None:
        path = self.directory / "config"
        path.write_text(text, encoding="utf-8")
        self.monkeypatch.setenv("AWS_CONFIG_FILE", str(path))

    def posted(self, fault: str, *, timeout: float = 10) -> BaseException:
        """What httpx raises that asks a fault of the lab without a signature."""

        def post() -> None:
            with httpx.Client(trust_env=False, timeout=timeout) as client:
                client.post(self.url(fault), json=INITIALIZE, headers=ACCEPT).raise_for_status()

        return caught(post)

    def greeted(self, greeting: bytes) -> BaseException:
        """What httpx raises at a port that says this, and closes once it was asked something."""

        def greet(listener: socket.socket) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(greeting)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=greet, args=(listener,))
            thread.start()
            try:
                return get(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
            finally:
                thread.join()

    def tls(self, fault: str) -> BaseException:
        """What httpx raises at a name of the lab with which TLS fails."""
        host = FAULTS[fault].endpoint.split("/")[2]
        route = next(one for one in self.lab.connect_to if one.startswith(f"{host}:"))
        port = route.rpartition(":")[2]

        def get() -> None:
            context = ssl.create_default_context(cafile=self.lab.ca_bundle)
            with httpx.Client(trust_env=False, verify=context) as client:
                client.get(f"https://127.0.0.1:{port}/mcp", extensions={"sni_hostname": host})

        return caught(get)

    def client(
        self, fault: str, *, signed: bool, tool: str | None = None, level: int = logging.INFO, timeout_s: float = 15
    ) -> Told:
        """What the real client raises or returns, and what it logs."""
        url = self.url(fault)
        if signed:
            self.sign()

        opened: list[httpx.AsyncClient] = []

        def factory(**given: Any) -> httpx.AsyncClient:
            opened.append(create_mcp_http_client(**given))
            return opened[-1]

        def transport() -> Any:
            if not signed:
                return streamable_http_client(url)
            return aws_iam_streamablehttp_client(
                endpoint=url, aws_service="aws-mcp", aws_region="us-east-1", httpx_client_factory=factory
            )

        async def use() -> Any:
            try:
                with anyio.fail_after(60):
                    wait = timedelta(seconds=timeout_s)
                    async with transport() as (read, write, _), ClientSession(read, write, wait) as session:
                        await session.initialize()
                        tools = await session.list_tools()
                        return await session.call_tool(tool, {"text": "hello"}) if tool else tools
            finally:
                for client in opened:
                    await client.aclose()

        log = io.StringIO()
        with logging_to(log, level):
            try:
                return Told(result=anyio.run(use), log=log.getvalue)
            except Exception as error:  # noqa: BLE001 - whatever it raises is what the test is about
                return Told(error=error, log=log.getvalue)


@dataclass(kw_only=True)
class Told:
    """How a run of the real client ended."""

    log: Callable[[], str]
    error: BaseException | None = None
    result: Any = None

    @property
    def exc(self) -> BaseException:
        assert self.error is not None, self.result
        return self.error

    @property
    def text(self) -> str:
        """What a terminal shows: the log, then the traceback or the result."""
        return self.log() + (formatted(self.error) if self.error else self.result.model_dump_json(indent=1))


@pytest.fixture
def place(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    made = Place(lab=lab, monkeypatch=monkeypatch, directory=tmp_path)
    yield made
    for one in made.sockets:
        one.close()


# --- What the checks read ---

Problem = BaseException | str
Telling = Callable[[Place], Problem]


def get(url: str, **options: Any) -> BaseException:
    def request() -> None:
        with httpx.Client(trust_env=False, **options) as client:
            client.get(url)

    return caught(request)


def resolver(number: int, words: str) -> Telling:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(number, words)

    def tell(place: Place) -> Problem:
        with place.monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", fail)
            return get(AWS_MCP)

    return tell


def refused(_: Place) -> Problem:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return get(f"http://127.0.0.1:{held.getsockname()[1]}/mcp")


def black_hole(place: Place) -> Problem:
    # A listening socket whose queue is full drops every further packet, as a firewall does.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    place.sockets = [listener, *(socket.socket() for _ in range(4))]
    for one in place.sockets[1:]:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    return get(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", timeout=0.3)


class RefusingProxy(BaseHTTPRequestHandler):
    def do_CONNECT(self) -> None:
        self.send_error(502)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        pass


def behind_a_proxy(_: Place) -> Problem:
    with ThreadingHTTPServer(("127.0.0.1", 0), RefusingProxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            return get(AWS_MCP, proxy=f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def with_exceptions(exceptions: str) -> Telling:
    """What httpx raises when it starts with such a NO_PROXY."""

    def tell(place: Place) -> Problem:
        with place.monkeypatch.context() as patch:
            patch.setenv("NO_PROXY", exceptions)
            return caught(httpx.AsyncClient)

    return tell


def posted_in_pieces(place: Place) -> Problem:
    return place.greeted(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\n: a\r\n"
    )


def hung_up_on(_: Place) -> Problem:
    """A server that reads the first message of a TLS handshake and closes."""

    def hang_up(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        try:
            return get(f"https://127.0.0.1:{listener.getsockname()[1]}/mcp")
        finally:
            thread.join()


def of_botocore(profile: str | None = None, config: str = "", **environ: str) -> Telling:
    """What botocore raises where an AWS client is made and used."""

    def use() -> None:
        client = botocore.session.Session(profile=profile).create_client("sts", region_name="us-east-1")
        client.get_caller_identity()

    def tell(place: Place) -> Problem:
        if config:
            place.aws_config(config)
        for name, value in environ.items():
            place.monkeypatch.setenv(name, value)
        return caught(use)

    return tell


def without_region(_: Place) -> Problem:
    return caught(lambda: botocore.session.Session().create_client("ec2"))


def http_to_a_remote_host(place: Place) -> Problem:
    place.sign()
    url = AWS_MCP.replace("https:", "http:")
    return caught(lambda: aws_iam_streamablehttp_client(url, "aws-mcp", aws_region="us-east-1"))


def posted(fault: str, **options: Any) -> Telling:
    return lambda place: place.posted(fault, **options)


def raised(fault: str, *, signed: bool = True, tool: str | None = None) -> Telling:
    """What the real client raises."""
    return lambda place: place.client(fault, signed=signed, tool=tool).exc


def shown(fault: str, *, signed: bool = True, tool: str | None = None, timeout_s: float = 15) -> Telling:
    """What the real client logs and prints."""
    return lambda place: place.client(fault, signed=signed, tool=tool, timeout_s=timeout_s).text


def unheard(fault: str, *, signed: bool) -> Telling:
    """A status of which the reason was thrown away: what the client logs at INFO, and nothing else of it."""

    def tell(place: Place) -> Problem:
        log = place.client(fault, signed=signed).log()
        return "".join(line for line in log.splitlines(keepends=True) if "INFO:" in line)

    return tell


def head_of_knowledge(place: Place) -> Problem:
    """What `curl -I` prints of a healthy server."""
    answer = httpx.head(f"{place.lab.http}/knowledge/mcp")
    fields = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return f"$ curl -I https://knowledge-mcp.global.api.aws\nHTTP/1.1 {answer.status_code} Not Found\n{fields}\n"


def denied_through_mcp(_: Place) -> Problem:
    """The log of a client: the call is answered well, and its result says that something was denied."""
    said = "An error occurred (AccessDenied) when calling the ListBuckets operation: with an explicit deny in an SCP"
    result = {"content": [{"type": "text", "text": said}], "isError": True}
    return ok() + json.dumps({"jsonrpc": "2.0", "id": 4, "result": result}) + "\n"


def over_stdio(command: str, *arguments: str) -> Telling:
    """What the client raises whose server is a program."""

    def tell(place: Place) -> Problem:
        async def use() -> None:
            with (place.directory / "stderr").open("w") as errors, anyio.fail_after(60):
                parameters = StdioServerParameters(command=command, args=list(arguments))
                async with (
                    stdio_client(parameters, errlog=errors) as (read, write),
                    ClientSession(read, write, timedelta(seconds=10)) as session,
                ):
                    await session.initialize()

        return caught(lambda: anyio.run(use))

    return tell


def over_sse(place: Place) -> Problem:
    async def use() -> None:
        with anyio.fail_after(60):
            async with sse_client(place.url("healthy/none")) as (read, write), ClientSession(read, write) as session:
                await session.initialize()

    return caught(lambda: anyio.run(use))


def printed_by(*command: str) -> Telling:
    def tell(_: Place) -> Problem:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        return done.stdout + done.stderr

    return tell


PARSER = "import argparse; a = argparse.ArgumentParser(); a.add_argument('endpoint'); a.parse_args()"

TELLINGS: dict[str, tuple[Telling, ...]] = {
    "parse-url-invalid": (lambda _: get("aws-mcp.us-east-1.api.aws/mcp"), lambda _: get("ftp://tools.example/mcp")),
    "parse-insecure-url": (http_to_a_remote_host,),
    "dns-unknown-host": (
        resolver(socket.EAI_NONAME, "Name or service not known"),
        resolver(socket.EAI_NONAME, "nodename nor servname provided, or not known"),
        lambda _: "curl: (6) Could not resolve host: tools.example",
    ),
    "dns-unavailable": (resolver(socket.EAI_AGAIN, "Temporary failure in name resolution"),),
    "tcp-refused": (refused, lambda _: "Error: connect ECONNREFUSED 127.0.0.1:8000"),
    "tcp-unreachable": (black_hole, lambda _: "OSError: [Errno 113] No route to host"),
    "tcp-proxy": (behind_a_proxy,),
    "tcp-proxy-settings": (
        lambda _: get(AWS_MCP, proxy="socks4://127.0.0.1:1080"),
        with_exceptions("localhost,::1/128"),
        with_exceptions("[::1]"),
    ),
    "tls-ca-variable": (
        lambda _: "OSError: Could not find a suitable TLS CA certificate bundle, invalid path: /etc/ssl/corp.pem",
        lambda _: "Warning: Ignoring extra certs from `/etc/corp.pem`, load failed: error:80000002:system library",
    ),
    "tls-self-signed": (
        lambda place: place.tls("tls/self-signed"),
        lambda _: (
            "Error: self-signed certificate\n    at TLSSocket.onConnectSecure\n  code: 'DEPTH_ZERO_SELF_SIGNED_CERT'"
        ),
    ),
    "tls-incomplete-chain": (
        lambda _: (
            "TypeError: fetch failed\n  [cause]: Error: unable to verify the first certificate\n"
            "    at TLSSocket.onConnectSecure {\n    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'\n  }"
        ),
    ),
    "tls-not-yet-valid": (lambda place: place.tls("tls/not-yet-valid"),),
    "tls-untrusted": (
        lambda place: place.tls("tls/untrusted"),
        lambda place: place.tls("tls/incomplete-chain"),
        lambda _: "Error: self-signed certificate in certificate chain\n  code: 'SELF_SIGNED_CERT_IN_CHAIN'",
        lambda _: (
            "botocore.exceptions.SSLError: SSL validation failed for https://oidc.us-east-1.amazonaws.com/token "
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate"
        ),
    ),
    "tls-wrong-name": (lambda place: place.tls("tls/wrong-name"),),
    "tls-expired": (lambda place: place.tls("tls/expired"),),
    "tls-not-tls": (lambda place: place.tls("tls/not-tls"),),
    "tls-failed": (lambda place: place.tls("tls/alert"),),
    "tls-connection-lost": (hung_up_on,),
    "http-not-http": (
        lambda place: place.greeted(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        lambda _: (
            "TypeError: fetch failed\n  [cause]: HTTPParserError: Response does not match the HTTP/1.1 protocol "
            "(Expected HTTP/)\n    code: 'HPE_INVALID_CONSTANT'"
        ),
    ),
    "http-malformed": (posted("http/two-lengths"), posted("http/huge-headers"), posted("http/bad-chunks")),
    "http-stream-cut": (posted_in_pieces, lambda _: "Error: SSE stream disconnected: TypeError: terminated"),
    "http-timeout": (posted("http/silent", timeout=0.3), lambda _: "ERROR the request timed out"),
    "http-connection-lost": (posted("http/closed"), raised("http/closed")),
    "http-redirected": (posted("http/redirected"), raised("http/redirected")),
    "http-wrong-host": (posted("http/wrong-host"), raised("http/wrong-host", signed=False), shown("http/wrong-host")),
    "http-session-lost": (raised("open/session-lost"), shown("open/session-lost", signed=False)),
    "http-not-found": (posted("http/not-found"), raised("http/not-found", signed=False)),
    "http-not-mcp": (shown("http/html", timeout_s=3), shown("http/html", signed=False, timeout_s=3)),
    "http-proxy-auth": (posted("http/proxy-auth"), raised("http/proxy-auth")),
    "http-server-error": (posted("http/server-error"), raised("http/unavailable"), posted("http/bad-gateway")),
    "auth-profile-not-found": (of_botocore("nobody"),),
    "auth-no-region": (without_region,),
    "auth-credentials-partial": (of_botocore(AWS_ACCESS_KEY_ID="AKIALABHALFAKEYONLY1"),),
    "auth-no-credentials": (of_botocore(),),
    "auth-login-expired": (of_botocore("sso", SSO),),
    "auth-credentials-unusable": (
        lambda _: (
            "botocore.exceptions.CredentialRetrievalError: Error when retrieving credentials from sso: Credential "
            "refresh failed, response did not contain: access_key"
        ),
    ),
    "auth-login-session-expired": (
        of_botocore("dev", f"[profile dev]\nlogin_session = {LOGIN}\nregion = us-east-1\n"),
        lambda _: (
            "ERROR mcp_proxy_for_aws: Your session has expired or credentials have changed. Please reauthenticate "
            "using 'aws login'."
        ),
    ),
    "auth-login-without-crt": (
        lambda _: (
            "botocore.exceptions.MissingDependencyException: Missing Dependency: Using the login credential provider "
            'requires an additional dependency. You will need to pip install "botocore[crt]" before proceeding.'
        ),
    ),
    "auth-source-profile-missing": (of_botocore("role", role(source_profile="nobody")),),
    "auth-source-profile-loop": (
        of_botocore("one", role("one", source_profile="two") + role("two", source_profile="one")),
    ),
    "auth-role-source": (of_botocore("role", role(source_profile="", credential_source="Environment")),),
    "auth-role-refused": (
        lambda _: (
            "botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling the AssumeRole operation: "
            "User: arn:aws:iam::123456789012:user/me is not authorized to perform: sts:AssumeRole on resource: "
            "arn:aws:iam::123456789012:role/other"
        ),
    ),
    "auth-role-mfa": (
        lambda _: "botocore.exceptions.RefreshWithMFAUnsupportedError: Cannot refresh credentials: MFA token required.",
    ),
    "auth-sso-incomplete": (of_botocore("sso", sso(session="nobody")),),
    "auth-sso-role-refused": (
        lambda _: (
            "botocore.errorfactory.ForbiddenException: An error occurred (ForbiddenException) when calling the "
            "GetRoleCredentials operation: No access"
        ),
    ),
    "auth-process-failed": (of_botocore("broken", "[profile broken]\ncredential_process = false\n"),),
    "auth-container-unreachable": (
        lambda _: (
            "botocore.exceptions.CredentialRetrievalError: Error when retrieving credentials from container-role: "
            "Error retrieving metadata: Received non 200 response 500 from container metadata: not ready"
        ),
    ),
    "auth-config-broken": (of_botocore("x", "[profile x\nnonsense"),),
    "auth-keys-expired": (
        lambda _: "RuntimeError: Credentials were refreshed, but the refreshed credentials are still expired.",
    ),
    "auth-wants-bearer": (shown("auth/wants-bearer"),),
    "auth-method-mismatch": (raised("auth/method-mismatch"),),
    "auth-unsigned": (posted("auth/unsigned"), lambda _: 'HTTP 403: {"message": "Missing Authentication Token"}'),
    "auth-clock-skew": (raised("auth/clock-skew"),),
    "auth-wrong-service": (raised("auth/wrong-service"), shown("auth/wrong-service")),
    "auth-wrong-region": (raised("auth/wrong-region"), shown("auth/wrong-region")),
    "auth-expired-credentials": (raised("auth/expired-token"), shown("auth/expired-token")),
    "auth-bad-credentials": (raised("auth/unknown-key"),),
    "auth-signature-mismatch": (raised("auth/ambiguous-signature"), raised("open/rewritten-headers")),
    "auth-signature-incomplete": (raised("auth/incomplete-signature"),),
    "auth-access-denied": (raised("auth/access-denied"), raised("list/denied"), shown("call/tool-denied", tool="echo")),
    "open-unsupported-protocol": (raised("open/unsupported-protocol"),),
    "open-rpc-error": (lambda _: refused_by_rpc(-32603, "the backend is not configured"),),
    "open-invalid-answer": (shown("open/invalid-json-rpc", timeout_s=3),),
    "open-session-id-missing": (lambda _: refused_by_rpc(-32600, "Bad Request: Missing session ID"),),
    "open-not-latest-revision": (
        lambda _: "MCPError: server/discover failed: Invalid request parameters (-32602)",
        lambda _: refused_by_rpc(-32601, "Method not found: server/discover"),
    ),
    "runtime-failure": (
        lambda _: refused_by_rpc(-32603, "An internal error occurred while processing the request."),
        raised("list/rpc-error"),
    ),
    "runtime-slow-start": (
        lambda _: (
            'HTTP/1.1 424 Failed Dependency\ncontent-type: application/json\n\n{"message":"Runtime '
            'initialization time exceeded. Please make sure that initialization completes in 30s."}'
        ),
    ),
    "runtime-not-mcp": (
        lambda _: (
            "httpx.HTTPStatusError: Server error '502 Bad Gateway' for url "
            "'https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/arn/invocations'"
        ),
    ),
    "call-removed-tool": (lambda _: refused_by_rpc(-32602, "Unknown tool: aws___call_aws"),),
    "call-unknown-tool": (lambda _: refused_by_rpc(-32602, "Unknown tool: no_such_tool"),),
    "call-tool-error": (lambda _: 'ERROR {"content": [{"type": "text", "text": "no rows"}], "isError": true}',),
    "unexplained": (
        lambda _: refused_by_rpc(-32603, "Server returned an error response"),
        lambda _: lookalike("strands.types.exceptions", "MCPClientInitializationError")(
            "the client initialization failed"
        ),
    ),
    "rate-limited": (posted("open/rate-limited"), raised("open/rate-limited-after-initialize")),
    "auth-refused-unauthorized": (unheard("auth/expired-token", signed=True),),
    "auth-refused-anonymous": (raised("auth/wants-bearer", signed=False), unheard("auth/wants-bearer", signed=False)),
    "auth-refused-forbidden": (raised("auth/unsigned", signed=False),),
    "client-no-connection": (lambda _: "agent failed: All connection attempts failed",),
    "client-blocked-by-firewall": (lambda _: "Error POSTing to endpoint (HTTP 403): <html>Request blocked</html>",),
    "client-proxy-parameters": (lambda _: refused_by_rpc(-32602, "Invalid request parameters"),),
    "client-proxy-credentials": (
        lambda _: "ToolError: Tool call 'aws___call_aws' failed due to expired or invalid AWS credentials.",
    ),
    "client-proxy-read-only": (lambda _: "ToolError: Tool 'aws___run_script' is not available in read-only mode.",),
    "client-oauth-attempt": (lambda _: OAuthRegistrationError("Registration failed: 404 Not Found"),),
    "client-oauth-no-registration": (
        lambda _: "Error: Incompatible auth server: does not support dynamic client registration",
    ),
    "client-oauth-redirect-not-allowed": (
        lambda _: (
            "Error: Dynamic registration failed: HTTP 400: "
            '{"error":"invalid_redirect_uri","error_description":"The redirection URI https://app.example/cb is not '
            'allowed by this server."}'
        ),
    ),
    "client-oauth-registration-gone": (
        lambda _: "Error: OAuth login failed: HTTP 400 Bad Request: redirect_uri is not registered for this client",
    ),
    "client-oauth-resource-missing": (
        lambda _: "Error: authorization failed: HTTP 400: the resource parameter is required",
        lambda _: 'Error: token request failed: {"error":"invalid_target"}',
    ),
    "client-oauth-page-refused": (
        lambda _: "Error: https://us-east-1.oauth.signin.aws/v1/authorize?client_id=x answered HTTP 400 with text/html",
    ),
    "client-oauth-signin-denied": (
        lambda _: (
            "Error: AccessDeniedException: User: arn:aws:iam::123456789012:user/dev is not authorized to perform: "
            "signin:AuthorizeOAuth2Access on resource: arn:aws:signin:us-east-1:123456789012:service-principal/x"
        ),
    ),
    "client-oauth-fips": (
        lambda _: (
            "Error: Invalid Configuration: FIPS endpoints are not supported for OAuth operations. Disable FIPS or use "
            "a non-OAuth operation."
        ),
    ),
    "client-oauth-metadata-field": (
        lambda _: (
            'ZodError: [{"expected":"array","code":"invalid_type","path":["code_challenge_methods_supported"],'
            '"message":"Invalid input: expected array, received undefined"}]'
        ),
    ),
    "client-approval-pending": (
        lambda _: (
            "Checking MCP server health...\n\naws-mcp: uvx mcp-proxy-for-aws-cli@latest "
            "https://aws-mcp.us-east-1.api.aws/mcp - ⏸ Pending approval (run `claude` to approve)\n"
        ),
    ),
    "client-needs-auth-cached": (lambda _: '[DEBUG] MCP server "aws-mcp": Skipping connection (cached needs-auth)\n',),
    "client-old-transport": (over_sse, lambda place: formatted(cast_exc(over_sse(place)))),
    "client-command-missing": (over_stdio("no-such-mcp-server"), lambda _: "Error: spawn no-such-server ENOENT"),
    "client-server-exited": (over_stdio(sys.executable, "-c", "pass"),),
    "client-arguments": (printed_by("-c", PARSER), printed_by("-c", PARSER, "https://tools.example/", "--profil", "x")),
    "client-head-request": (head_of_knowledge,),
    "call-access-denied": (denied_through_mcp,),
    "client-package-broken": (printed_by("-c", "from mcp import NoSuchName"),),
    "client-timeout-type": (
        lambda _: AttributeError("'int' object has no attribute 'seconds'"),
        lambda _: "AttributeError: 'float' object has no attribute 'total_seconds'",
    ),
    "client-metadata-after-signing": (
        # What metadata= really raises; from which version on it does is not asked here.
        lambda _: lookalike("h11._util", "LocalProtocolError")("Too much data for declared Content-Length"),
        lambda _: (
            'Traceback (most recent call last):\n  File "site-packages/mcp_proxy_for_aws/client.py", line 9, in f\n'
            "h11._util.LocalProtocolError: Too much data for declared Content-Length\n"
        ),
    ),
}
"""What a user might paste for each check that reads texts: preferably made by the library itself."""


def cast_exc(problem: Problem) -> BaseException:
    assert isinstance(problem, BaseException)
    return problem


SWALLOWS = tuple(map(int, version("mcp-proxy-for-aws").split(".")[:3])) < (1, 6, 6)
"""Whether the installed client throws away what the server answered; tests/stacks shows what it leaves."""

told_by_the_client = pytest.mark.skipif(SWALLOWS, reason="mcp-proxy-for-aws before 1.6.6 throws the answer away")

OF_THE_CLIENT = {
    "auth-access-denied-0",
    "auth-access-denied-1",
    "auth-bad-credentials-0",
    "auth-clock-skew-0",
    "auth-expired-credentials-0",
    "auth-expired-credentials-1",
    "auth-method-mismatch-0",
    "auth-signature-incomplete-0",
    "auth-signature-mismatch-0",
    "auth-signature-mismatch-1",
    "auth-wants-bearer-0",
    "auth-wrong-region-0",
    "auth-wrong-region-1",
    "auth-wrong-service-0",
    "auth-wrong-service-1",
    "client-old-transport-1",
    "http-redirected-1",
    "parse-insecure-url-0",
    "rate-limited-1",
}
"""Tellings that hold what the server answered only because the client passes it on."""

ONE_BY_ONE = [
    pytest.param(
        slug,
        tell,
        marks=[pytest.mark.provokes(slug), *([told_by_the_client] if f"{slug}-{number}" in OF_THE_CLIENT else [])],
        id=f"{slug}-{number}",
    )
    for slug, tellings in TELLINGS.items()
    for number, tell in enumerate(tellings)
]


def too_wide(found: Explanation) -> list[str]:
    """Lines that do not fit a terminal; a URL is not broken."""
    return [line for line in str(found).splitlines() if len(line) > 100 and " " in line.strip()]


def forms_of(problem: Problem) -> Iterator[Problem]:
    """What is told, and what Python prints of it where that holds as much."""
    yield problem
    if isinstance(problem, BaseException) and not isinstance(problem, httpx.HTTPStatusError):  # it holds a body
        yield formatted(problem)


@pytest.mark.parametrize(("slug", "tell"), ONE_BY_ONE)
def test_a_check_names_the_cause_in_what_is_told(slug: str, tell: Telling, place: Place, catalogue: Catalogue) -> None:
    check = catalogue.checks[slug]
    told = check.in_text
    assert told is not None
    causes = told.causes or (check.cause,)

    for problem in forms_of(tell(place)):
        found = explain(problem)

        assert checks_of(found)[0] == slug
        if told.says is Says.NOTHING:
            assert (found.cause, found.explained) == (Cause.UNEXPLAINED, False)
        else:
            assert (found.cause, found.explained, found.causes) == (causes[0], True, causes)
        first = found.findings[0]
        assert (first.cause, first.severity, first.title) == (check.cause, check.severity, check.title)
        seen = first.evidence.removeprefix(f"HTTP {found.http_status}: ")
        own = [text.replace(seen, "") for text in (first.text, first.remedy)]
        assert [text for text in own if re.search(r"\{\w+\}|\bNone\b|\bunknown\b", text)] == []
        assert too_wide(found) == []


def test_every_check_that_reads_texts_has_a_telling(catalogue: Catalogue) -> None:
    assert {slug for slug, check in catalogue.checks.items() if check.in_text} == set(TELLINGS)


# --- What is no failure ---

SEARCHED = {
    "jsonrpc": "2.0",
    "id": 4,
    "result": {
        "content": [
            {
                "type": "text",
                "text": "S3 answers 403 AccessDenied where the caller is not authorized to perform: s3:GetObject. "
                "ThrottlingException: too many requests. ExpiredToken: log in again. HTTP 429, HTTP 503.",
            }
        ],
        "isError": False,
    },
}
TOOLS = [
    {
        "name": "call_aws",
        "description": "Runs a command. Errors: AccessDenied, ThrottlingException. HTTP 403 if it is forbidden.",
        "inputSchema": {"type": "object", "properties": {"on_error": {"type": "string"}}},
    },
    {"name": "log_in", "description": "If a request failed with ExpiredToken, call this."},
]


def ok(url: str = AWS_MCP) -> str:
    return f'INFO:httpx:HTTP Request: POST {url} "HTTP/1.1 200 OK"\n'


def answered(status: str, url: str = AWS_MCP) -> str:
    return f'INFO:httpx:HTTP Request: POST {url} "HTTP/1.1 {status}"\n'


@pytest.fixture(scope="module")
def healthy(lab: Lab) -> dict[str, Explanation]:
    """What is said of runs in which nothing failed."""
    texts = {
        "what a tool found": ok() + json.dumps(SEARCHED) + "\n" + ok(),
        "what a tool found, pretty": ok() + json.dumps(SEARCHED, indent=2) + "\n" + ok(),
        "the tools": ok() + json.dumps({"jsonrpc": "2.0", "id": 2, "result": {"tools": []}}) + "\nconnected\n",
        "a retry": answered("429 Too Many Requests") + "INFO:agent:trying again\n" + ok() + "done\n",
        "no stream": ok() + answered("405 Method Not Allowed").replace("POST", "GET") + ok(),
        "a session ended": ok() + answered("404 Not Found").replace("POST", "DELETE"),
        "numbers": "INFO:agent:401 files in 403 ms, 429 tokens left, port 503\n" * 5,
        "nothing": "connected\n12 tools\nhello\nbye\nend\n",
    }
    with pytest.MonkeyPatch.context() as patch:
        place = Place(lab=lab, monkeypatch=patch, directory=Path())
        for level in (logging.INFO, logging.DEBUG):
            for fault in ("healthy/signed", "healthy/none"):
                told = place.client(fault, signed=fault == "healthy/signed", tool="echo", level=level)
                assert told.error is None
                texts[f"{fault} at {logging.getLevelName(level)}"] = told.text
    return {name: explain(text) for name, text in texts.items()}


@pytest.mark.parametrize("slug", [pytest.param(slug, marks=pytest.mark.silent(slug), id=slug) for slug in TELLINGS])
def test_a_check_is_silent_in_the_output_of_a_run_that_went_well(slug: str, healthy: dict[str, Explanation]) -> None:
    assert [name for name, found in healthy.items() if slug in checks_of(found)] == []


def test_nothing_is_explained_where_nothing_failed(healthy: dict[str, Explanation]) -> None:
    for found in healthy.values():
        assert (found.cause, found.causes, found.findings, found.explained) == (Cause.UNEXPLAINED, (), (), False)
        assert "nothing in this tells of a failure" in str(found)


PROSE = {
    "tools": json.dumps(TOOLS),
    "tools, pretty": json.dumps(TOOLS, indent=2),
    "tools of a server": ok() + json.dumps({"jsonrpc": "2.0", "id": 2, "result": {"tools": TOOLS}}),
    "a question": ok() + 'INFO:agent:tool call search {"query": "AccessDenied error"}\n' + ok() + "INFO:agent:done\n",
    "an answer": ok() + "Most often a 403 Forbidden error comes of a missing permission.\nAsk for it.\nDone\n" + ok(),
    "a manual": "# Errors\nAccessDenied means that a permission is missing.\nA ThrottlingException asks you to wait.\n"
    "If the security token is expired, log in again.\nHTTP 429 is retried by the SDK.\nThat is all.\n",
    "a test run": "....\n12 passed, 0 failed, 0 errors in 3.20s\nok\nok\nok\n",
    "a setting": "log level: ERROR\ntimeout: 30\nretries: 3\nmode: fast\nerror_count=0\n",
}


@pytest.mark.parametrize("name", PROSE)
def test_prose_about_errors_is_not_explained(name: str) -> None:
    assert not explain(PROSE[name]).explained


# --- What goes before what ---


def traced(*lines: str) -> str:
    """A traceback that ends in these exceptions, each the cause of the next."""
    head = 'Traceback (most recent call last):\n  File "/app/agent.py", line 3, in main\n    run()\n'
    link = "\nThe above exception was the direct cause of the following exception:\n\n"
    return link.join(f"{head}{line}\n" for line in lines)


STATUS = f"httpx.HTTPStatusError: Client error '401 Unauthorized' for url '{AWS_MCP}'"
REASON = (
    f"WARNING:proxy:HTTP 401 Unauthorized from {AWS_MCP}: "
    '{"message":"The security token included in the request is expired"}\n'
)


@pytest.mark.parametrize("text", [REASON + traced(STATUS), traced(STATUS) + REASON, f"{traced(STATUS)}\nbye\n{REASON}"])
def test_a_reason_goes_before_a_status_wherever_it_stands(text: str) -> None:
    found = explain(text)
    assert (found.cause, found.http_status, found.url) == (Cause.EXPIRED_CREDENTIALS, 401, AWS_MCP)
    assert (found.causes, found.advice) == ((Cause.EXPIRED_CREDENTIALS,), None)


def test_the_reason_of_another_status_is_not_that_of_the_last_exception() -> None:
    earlier = answered("429 Too Many Requests") + 'WARNING:x:HTTP 429 {"message":"Too many requests"}\n'
    found = explain(earlier + traced(STATUS))
    assert (found.http_status, checks_of(found)[0]) == (401, "auth-refused-anonymous")


def test_the_last_exception_is_what_is_asked_about() -> None:
    first = traced("botocore.exceptions.NoCredentialsError: Unable to locate credentials")
    last = traced("httpx.ConnectError: [Errno 111] Connection refused")
    assert explain(first + "\nsecond try\n" + last).cause is Cause.CONNECTION_REFUSED
    assert explain(last + "\nsecond try\n" + first).cause is Cause.NO_CREDENTIALS


def test_clean_up_after_a_refusal_is_noise() -> None:
    refusal = traced(f"httpx.HTTPStatusError: Client error '403 Forbidden' for url '{AWS_MCP}'")
    noise = "".join(
        traced(line)
        for line in (
            "RuntimeError: Attempted to exit cancel scope in a different task than it was entered in",
            "anyio.ClosedResourceError",
            "asyncio.exceptions.CancelledError: Cancelled via cancel scope 7f00",
            "GeneratorExit",
        )
    )
    unawaited = "Task exception was never retrieved\nfuture: <Task finished name='Task-9' exception=GeneratorExit()>\n"
    found = explain(refusal + unawaited + noise)
    assert (found.http_status, checks_of(found)[0]) == (403, "auth-refused-forbidden")
    assert found.chains[0][-1].type == "httpx.HTTPStatusError"


def test_clean_up_in_a_real_exception_is_noise() -> None:
    refusal = ConnectionRefusedError(111, "Connection refused")
    noise = RuntimeError("Attempted to exit cancel scope in a different task than it was entered in")
    members = [caught(lambda one=one: throw(one)) for one in (noise, refusal, GeneratorExit())]  # type: ignore[misc]
    group = BaseExceptionGroup("unhandled errors in a TaskGroup", members)
    assert caught(lambda: throw(group)) is group
    for problem in (group, formatted(group)):
        found = explain(problem)
        assert (found.cause, found.chains[0][-1].type) == (Cause.CONNECTION_REFUSED, "ConnectionRefusedError")


def test_a_refusal_that_a_retry_got_over_is_not_the_cause() -> None:
    throttled = answered("429 Too Many Requests") + ok()
    failed = explain(throttled + traced("botocore.exceptions.NoCredentialsError: Unable to locate credentials"))
    assert (failed.cause, failed.http_status) == (Cause.NO_CREDENTIALS, None)
    assert checks_of(failed) == ["auth-no-credentials"]
    unknown = explain(throttled + traced("KeyError: 'answer'"))
    assert unknown.explained is False or unknown.cause is Cause.RATE_LIMITED


def test_a_refusal_that_no_retry_got_over_is_the_cause() -> None:
    found = explain(ok() + (answered("429 Too Many Requests") + "WARNING:agent:trying again\n") * 3 + "gave up\n")
    assert (found.cause, found.http_status, found.url) == (Cause.RATE_LIMITED, 429, AWS_MCP)


def test_two_servers_that_fail_give_two_findings() -> None:
    text = (
        "ERROR:agent:server docs failed to start: httpx.ConnectError: [Errno 111] Connection refused\n"
        "ERROR:agent:server aws failed to start: botocore.exceptions.NoCredentialsError: Unable to locate credentials\n"
    )
    found = explain(text)
    assert {"tcp-refused", "auth-no-credentials"} == set(checks_of(found))
    assert [one.severity for one in found.findings] == [Severity.ERROR, Severity.WARNING]
    group = BaseExceptionGroup(
        "2 servers failed", [ConnectionRefusedError(111, "refused"), botocore.exceptions.NoCredentialsError()]
    )
    assert {"tcp-refused", "auth-no-credentials"} == set(checks_of(explain(group)))


def test_the_same_cause_is_said_once() -> None:
    text = traced("httpx.ConnectError: [Errno 111] Connection refused") * 3 + "ERROR connect ECONNREFUSED 127.0.0.1:9\n"
    assert checks_of(explain(text)) == ["tcp-refused"]


MISLEADING = [fault.path for fault in FAULTS.values()] + [
    "/ExpiredTokenException/mcp",
    "/AccessDenied/mcp",
    "/Connection-refused/ECONNREFUSED",
    "/error/401/Unauthorized",
    "/429/ThrottlingException/too-many-requests",
    "/session-not-found/mcp?error=invalid_token",
    "/UnrecognizedClientException",
]


@pytest.mark.parametrize("path", MISLEADING)
def test_the_words_of_a_path_decide_nothing(path: str) -> None:
    plain, named = "https://tools.example/mcp", f"https://tools.example{path}"
    for words in (
        f"ERROR:agent:server at {plain} failed\n",
        f"ERROR:agent:HTTP 400 from {plain}\n",
        traced(f"httpx.HTTPStatusError: Client error '403 Forbidden' for url '{plain}'"),
        traced(f"RuntimeError: no session with {plain}"),
        answered("401 Unauthorized", plain) + "Connection closed by the agent\nbye\n" * 3,
        json.dumps({"level": "error", "error": {"message": "request failed", "url": plain}}),
    ):
        without, found = explain(words), explain(words.replace(plain, named))
        assert (found.cause, checks_of(found), found.http_status) == (
            without.cause,
            checks_of(without),
            without.http_status,
        )


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_status_without_its_reason_gives_what_remains_and_how_to_tell_it_apart(status: int) -> None:
    found = explain(answered(f"{status} Whatever", URL))
    assert (found.http_status, found.url, found.advice) == (status, URL, f"mcpdoctor check {URL}")
    assert found.explained
    assert found.causes[0] is found.cause
    assert (len(found.causes) > 1) == (status in (401, 403))
    assert f"mcpdoctor check {URL}" in str(found)


@pytest.mark.parametrize(
    "problem",
    [
        refused_by_rpc(-32603, "An internal error occurred while processing the request."),
        answered("307 Temporary Redirect", URL),
    ],
)
def test_what_is_not_known_is_not_spoken_of(problem: Problem) -> None:
    found = explain(problem)
    assert "unknown" not in found.findings[0].text


@told_by_the_client
def test_a_redirect_that_a_signing_client_chokes_on_is_named(place: Place) -> None:
    exc = place.client("http/redirect-same-origin", signed=True).exc
    for problem in (exc, formatted(exc)):
        assert explain(problem).cause is Cause.REDIRECTED


def test_a_url_is_quoted_where_it_is_a_command() -> None:
    found = explain(answered("401 Unauthorized", f"{URL}?a=b&c=d"))
    assert found.advice == f"mcpdoctor check '{URL}?a=b&c=d'"


def test_the_url_of_the_catalogue_is_the_endpoint() -> None:
    text = f"GET https://example.org/a\nGET https://example.org/b\nERROR:agent:{AWS_MCP} failed with HTTP 401\n"
    assert explain(text).url == AWS_MCP


@pytest.mark.parametrize(
    "problem",
    [
        refused_by_rpc(-32603, "Server returned an error response"),
        traced("strands.types.exceptions.MCPClientInitializationError: the client initialization failed"),
        traced("KeyError: 'answer'"),
        RuntimeError("it broke"),
        "ERROR:agent:something failed\n",
    ],
)
def test_a_cause_that_was_swallowed_stays_unexplained_and_what_reveals_it_is_said(problem: Problem) -> None:
    found = explain(problem)
    assert (found.cause, found.causes, found.explained) == (Cause.UNEXPLAINED, (), False)
    assert found.advice == "mcpdoctor run -- COMMAND"
    assert "mcpdoctor run -- COMMAND" in str(found)


def test_a_swallowed_cause_is_found_in_the_log(place: Place) -> None:
    swallowed = "strands.types.exceptions.MCPClientInitializationError: the client initialization failed"
    log = place.client("auth/expired-token", signed=True).log()
    found = explain(log + traced(swallowed))
    assert (found.cause, found.http_status) == (Cause.EXPIRED_CREDENTIALS, 401)


# --- Exceptions that carry more than their text ---


def test_the_body_of_a_response_that_was_read_gives_the_reason(place: Place) -> None:
    exc = place.posted("auth/wants-bearer")
    assert isinstance(exc, httpx.HTTPStatusError)
    found = explain(exc)
    assert (found.http_status, found.url, found.rpc_code) == (401, place.url("auth/wants-bearer"), -32001)
    assert found.findings[0].evidence == "HTTP 401: Missing Bearer token"
    assert found.request_id == exc.response.headers["x-amzn-requestid"]


def test_a_response_that_was_not_read_is_left_alone(place: Place) -> None:
    def stream() -> None:
        with (
            httpx.Client(trust_env=False) as client,
            client.stream("POST", place.url("auth/wants-bearer"), json=INITIALIZE, headers=ACCEPT) as response,
        ):
            response.raise_for_status()

    exc = caught(stream)
    assert isinstance(exc, httpx.HTTPStatusError)
    found = explain(exc)
    assert (found.http_status, checks_of(found)) == (401, ["auth-refused-anonymous"])
    assert not exc.response.is_stream_consumed


def test_a_response_deep_in_a_group_is_found(place: Place) -> None:
    exc: BaseException = place.posted("auth/access-denied")
    for _ in range(5):
        exc = BaseExceptionGroup("unhandled errors in a TaskGroup", [exc, ValueError("beside it")])
        lost = RuntimeError("the client initialization failed")
        lost.__cause__ = exc
        exc = lost
    assert (explain(exc).http_status, explain(exc).url) == (403, place.url("auth/access-denied"))


def client_error(code: str, message: str, status: int) -> BaseException:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {"x-amzn-requestid": "1b4f0000-2222"}},
    }
    exc: BaseException = botocore.exceptions.ClientError(response, "GetCallerIdentity")
    return exc


@pytest.mark.parametrize(
    ("code", "message", "status", "cause"),
    [
        ("ExpiredToken", "The security token included in the request is expired", 403, Cause.EXPIRED_CREDENTIALS),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", 403, Cause.BAD_CREDENTIALS),
        ("AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: x:Y", 403, Cause.ACCESS_DENIED),
        ("Throttling", "Rate exceeded", 400, Cause.RATE_LIMITED),
    ],
)
def test_an_error_of_botocore_is_read_with_its_response(code: str, message: str, status: int, cause: Cause) -> None:
    found = explain(client_error(code, message, status))
    assert (found.cause, found.aws_error) == (cause, code)


def test_the_status_and_request_id_of_an_error_of_botocore_are_told() -> None:
    found = explain(client_error("ExpiredToken", "The security token included in the request is expired", 403))
    assert (found.http_status, found.request_id) == (403, "1b4f0000-2222")


@told_by_the_client
def test_the_status_of_a_redirect_is_told(place: Place) -> None:
    assert explain(place.client("http/redirected", signed=True).exc).http_status == 301


class Shaped:
    """An object of a library that is not installed here."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def test_an_error_of_requests_is_read_by_its_shape() -> None:
    exc = lookalike("requests.exceptions", "HTTPError")(f"403 Client Error: Forbidden for url: {URL}")
    exc.response = Shaped(
        status_code=403,
        url=URL,
        headers={"x-amzn-errortype": "AccessDeniedException"},
        request=Shaped(method="POST"),
        _content=b'{"message": "User: x is not authorized to perform: a:B"}',
    )
    found = explain(exc)
    assert (found.cause, found.http_status, found.url) == (Cause.ACCESS_DENIED, 403, URL)
    assert found.aws_error == "AccessDeniedException"


def test_an_error_of_aiohttp_is_read_by_its_shape() -> None:
    words = f"429, message='Too Many Requests', url='{URL}'"
    exc = lookalike("aiohttp.client_exceptions", "ClientResponseError")(words)
    exc.status = 429
    exc.request_info = Shaped(real_url=URL)
    found = explain(exc)
    assert (found.cause, found.http_status, found.url) == (Cause.RATE_LIMITED, 429, URL)


def test_the_code_of_an_mcp_error_is_told() -> None:
    assert explain(refused_by_rpc(-32004, "slow down")).rpc_code == -32004
    assert explain(refused_by_rpc(-32004, "slow down")).cause is Cause.RATE_LIMITED


def broken(**raising: BaseException) -> BaseException:
    """An exception with attributes that cannot be looked at."""

    def fail(error: BaseException) -> property:
        def get(_: object) -> None:
            raise error

        return property(get)

    exc: BaseException = type("BrokenError", (Exception,), {name: fail(error) for name, error in raising.items()})(
        "HTTP 401"
    )
    return exc


@pytest.mark.parametrize(
    "exc",
    [
        pytest.param(broken(response=ValueError("no")), id="response"),
        pytest.param(broken(error=ValueError("no")), id="error"),
        pytest.param(broken(exceptions=ValueError("no")), id="exceptions"),
        pytest.param(broken(status=ValueError("no")), id="status"),
        pytest.param(broken(request_info=ValueError("no"), status=ValueError("no")), id="request_info"),
        pytest.param(broken(__str__=ValueError("no")), id="str"),
    ],
)
def test_an_exception_that_cannot_be_looked_at_is_explained(exc: BaseException) -> None:
    assert str(explain(exc))


@pytest.mark.parametrize(
    "response",
    [
        None,
        5,
        "text",
        {},
        {"ResponseMetadata": None, "Error": None},
        {"ResponseMetadata": {"HTTPStatusCode": "403", "HTTPHeaders": 3}, "Error": {"Code": 1}},
        Shaped(status_code=401),
        Shaped(status_code=401, headers=None),
        Shaped(status_code=401, headers={"a": 5, 3: "b"}, url=object(), _content="text"),
        Shaped(status_code=True, headers={}),
        Shaped(status_code=-5, headers={}, _content=b"\xff\xfe\x00"),
    ],
)
def test_what_looks_like_a_response_and_is_none_harms_nothing(response: Any) -> None:
    exc = RuntimeError("HTTP 401 Unauthorized")
    exc.response = response  # type: ignore[attr-defined]
    assert explain(exc).http_status == 401


def test_bytes_are_a_text_and_what_is_none_is_refused() -> None:
    assert explain("ERROR connect ECONNREFUSED".encode("utf-16")).cause is Cause.CONNECTION_REFUSED
    with pytest.raises(Unusable, match="the text: not a text file"):
        explain(bytes(range(256)) * 4)


def test_another_catalogue_is_used_where_one_is_given(catalogue: Catalogue) -> None:
    few = Catalogue(checks={}, endpoints=catalogue.endpoints, suites={})
    assert explain("ERROR connect ECONNREFUSED", catalogue=few) == Explanation(url=None)


def test_the_package_offers_it() -> None:
    assert mcpdoctor.explain is explain
    assert mcpdoctor.Explanation is Explanation


# --- What is shown ---

SECRETS = {
    "key": "AKIAIOSFODNN7EXAMPLE",
    "secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "token": "IQoJb3JpZ2luX2VjMADEUPTOKEN//////////wEaCXVzLWVhc3QtMSJHMEUCIQ",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123",
    "password": "hunter2hunter2",
}
SECRET_URL = f"https://bob:{SECRETS['password']}@tools.example/mcp?token={SECRETS['jwt']}"
SPOKEN = (
    f"User: {SECRETS['key']} is not authorized to perform: x (aws_secret_access_key={SECRETS['secret']}, "
    f'"sessionToken": "{SECRETS["token"]}", Authorization: Bearer {SECRETS["jwt"]}) at {SECRET_URL} '
    "\x1b[31mred\x1b]0;owned\x07\u202e\x00"
)
LEAKY = {
    "sentence": f"ERROR agent: HTTP 403 {SPOKEN}",
    "traceback": traced(f"RuntimeError: HTTP 403 {SPOKEN}"),
    "for-url": traced(f"httpx.HTTPStatusError: Client error '403 Forbidden' for url '{SECRET_URL}'"),
    "logged": answered("403 Forbidden", SECRET_URL),
    "curl": f"HTTP/2 403\ncontent-type: application/json\nserver: {SPOKEN}\n\n{json.dumps({'message': SPOKEN})}",
    "json": json.dumps({"level": "error", "statusCode": 403, "error": SPOKEN, "url": SECRET_URL}),
    "json-rpc": json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": SPOKEN}}),
    "tool": json.dumps({"result": {"isError": True, "content": [{"type": "text", "text": SPOKEN}]}}),
    "node": f"Error: HTTP 403 {SPOKEN}\n    at f (file:///a.mjs:1:1) {{\n  code: 403,\n  url: '{SECRET_URL}'\n}}",
    "redirect": f"ERROR Redirect to '{SECRET_URL}' not followed",
    "profile": f"botocore.exceptions.ProfileNotFound: The config profile ({SECRETS['key']}) could not be found",
    "service": f"ERROR HTTP 403 Credential should be scoped to correct service: '{SECRETS['key']}'",
    "request-id": f"ERROR HTTP 403 Forbidden x-amzn-requestid: {SECRETS['key']}",
}


def shown_of(found: Explanation) -> str:
    return f"{found}\n{json.dumps(found.as_dict(), ensure_ascii=False)}\n{found!r}"


@pytest.mark.parametrize("form", ["text", "exception"])
@pytest.mark.parametrize("name", LEAKY)
def test_no_secret_and_no_control_character_is_in_any_output(name: str, form: str) -> None:
    found = explain(LEAKY[name] if form == "text" else RuntimeError(LEAKY[name]))
    assert found.findings
    everything = shown_of(found)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", everything)
    assert [kind for kind, secret in SECRETS.items() if secret in everything] == []


def test_long_words_are_wrapped_and_cut() -> None:
    words = "the server said " + "no and " * 2000 + "x" * 5000
    group = BaseExceptionGroup(words, [RuntimeError(f"HTTP 401 Unauthorized: {words}"), ValueError(words)])
    for problem in (group, f"ERROR HTTP 401 Unauthorized: {words}"):
        found = explain(problem)
        assert too_wide(found) == []
        assert len(str(found)) < 5000


@told_by_the_client
def test_what_is_shown_reads_in_order(place: Place) -> None:
    found = explain(place.client("auth/wrong-service", signed=True).exc)
    labels = re.findall(r"^(?:  )?([A-Za-z-]+): ", str(found), flags=re.MULTILINE)
    assert labels == ["wrong-service", "Answer", "From", "Seen", "Chain", "Fix"]
    document = found.as_dict()
    assert set(json.loads(json.dumps(document))) == {"schema_version", *(one.name for one in dataclasses.fields(found))}
    assert (document["schema_version"], document["cause"], document["http_status"]) == (1, "wrong-service", 401)


# --- Any text, any exception ---

LINES = [
    answered("401 Unauthorized"),
    ok(),
    traced(STATUS),
    traced("RuntimeError: no session", "ValueError: why"),
    REASON,
    "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: x (2 sub-exceptions)\n",
    "  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    | OSError: y\n",
    "    +------------------------------------\n",
    "╭─ Traceback (most recent call last) ─╮\n│ /app/a.py:1 in main │\n╰──╯\nOSError: gone\n",
    "│ │ │ x = ValueError('y') │ │ │\n",
    "ERROR ExceptionGroup('x', [ValueError('y'), ExceptionGroup('z', [KeyError('w'\n",
    '{"level": "ERROR", "stackTrace": "Traceback (most recent call last):\\n  File \\"a\\"\\nOSError: gone"}\n',
    json.dumps(SEARCHED, indent=2) + "\n",
    "HTTP/2 403\ncontent-type: application/json\n\n{",
    "Error: no\n    at main (file:///a.mjs:1:1) {\n  [cause]: TypeError: fetch failed\n",
    "E       OSError: gone\n",
    "ERROR\t\x1b[31m429 Too Many Requests\x1b[0m\r\n",
    "https://tools.example/mcp?a=%zz#[\n",
    "http://[::1\n",
]
MIXED = st.lists(st.sampled_from(LINES) | st.text(max_size=60), max_size=12).map("".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A realistic text, with pieces cut out, doubled, or put in."""
    text = draw(MIXED)
    for _ in range(draw(st.integers(0, 6))):
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        middle = draw(st.sampled_from(["", text[start:end] * 2, "\0", '"', "{", "\n", "│", "\\"]))
        text = text[:start] + middle + text[end:]
    return text


def fits(found: Explanation) -> None:
    """What holds of every explanation."""
    shown = str(found)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert too_wide(found) == []
    assert json.loads(json.dumps(found.as_dict()))["cause"] == found.cause
    assert found.explained == bool(found.causes)
    assert bool(found.findings) or not found.explained


@UNHURRIED
@given(st.text() | mutated())
def test_any_text_is_explained(text: str) -> None:
    fits(explain(text))


@UNHURRIED
@given(st.binary(max_size=400) | mutated().map(lambda text: text.encode("utf-8", errors="replace")))
def test_any_bytes_are_explained_or_refused(data: bytes) -> None:
    try:
        found = explain(data)
    except Unusable:
        return
    fits(found)


@UNHURRIED
@given(
    st.recursive(
        mutated() | st.text(max_size=80),
        lambda inner: st.lists(inner, min_size=1, max_size=3) | st.tuples(inner, inner),
        max_leaves=8,
    )
)
def test_any_nested_exception_is_explained(shape: Any) -> None:
    def build(part: Any) -> BaseException:
        if isinstance(part, str):
            return RuntimeError(part)
        if isinstance(part, list):
            return BaseExceptionGroup("group", [build(one) for one in part])
        outer, inner = map(build, part)
        outer.__cause__ = inner
        return outer

    fits(explain(build(shape)))


HOSTILE: dict[str, Callable[[int], str]] = {
    "margins": lambda n: "    | x\n" * n,
    "nested margins": lambda n: "".join(" " * (i % 40) + "| ValueError: x\n" for i in range(n)),
    "group heads": lambda n: "  + Exception Group Traceback (most recent call last):\n" * n,
    "braces": lambda n: "{\n" * n,
    "braces in a line": lambda n: "{" * 40 * n,
    "objects": lambda n: '{"a":' * 10 * n + "1" + "}" * 10 * n,
    "quotes": lambda n: "ERROR '" * n,
    "errors": lambda n: "Error: " * 20 * n,
    "lines of errors": lambda n: "Error: x\n    at y\n" * n,
    "names": lambda n: "aB." * 20 * n + "Error: x",
    "blanks": lambda n: " " * 20 * n + "Error: x\n" + " " * 20 * n + "at x",
    "boxes": lambda n: "│ │ x │ │\n" * n,
    "box": lambda n: "│ " * 40 * n,
    "reprs": lambda n: "ERROR ExceptionGroup('x', [" * n,
    "distinct errors": lambda n: "".join(f"ERROR could not do {chr(97 + i % 26) * (i % 97)}\n" for i in range(n)),
    "tracebacks": lambda n: traced("ValueError: x") * (n // 2),
    "a chain": lambda n: traced(*(f"ValueError: {i}" for i in range(n // 2))),
    "an open message": lambda n: traced("ValueError: {[(") + "(\n" * n,
    "exchanges": lambda n: "".join(answered("401 Unauthorized", f"{URL}/{i}") for i in range(n)),
    "curl": lambda n: "HTTP/2 401\na: b\n" * n,
    "records": lambda n: (json.dumps({"level": "ERROR", "error": {"code": -32001, "message": "no"}}) + "\n") * n,
    "a record": lambda n: json.dumps({"error": "Error: x\n" * n}),
    "escapes": lambda n: "\x1b]" * 20 * n,
    "folded": lambda n: "Traceback\\n" * n,
    "URLs": lambda n: "ERROR " + "http://a.b/c " * n,
}


def seconds(make: Callable[[int], str], size: int) -> float:
    """Processor time of the fastest of three; what else the machine does is not counted."""
    text = make(size)
    taken: list[float] = []
    while len(taken) < 3 and sum(taken) < 3:
        start = time.process_time()
        explain(text)
        taken.append(time.process_time() - start)
    return min(taken)


@pytest.mark.parametrize("name", HOSTILE)
def test_time_grows_with_the_length_of_a_hostile_text_and_no_faster(name: str) -> None:
    size = 250
    while (before := seconds(HOSTILE[name], size)) < 0.02 and size < 30_000:
        size *= 2
    assert seconds(HOSTILE[name], 4 * size) < 8 * before


def test_ten_megabytes_of_log_take_a_few_seconds() -> None:
    lines = "".join(
        f'2026-11-22 12:00:{n % 60:02d},{n % 1000:03d} INFO httpx HTTP Request: POST {AWS_MCP} "HTTP/1.1 200 OK"\n'
        f"2026-11-22 12:00:{n % 60:02d},{n % 1000:03d} DEBUG mcp.client Received: {{'id': {n}, 'result': {{}}}}\n"
        for n in range(6000)
    )
    text = lines * (10 * 2**20 // len(lines)) + traced(STATUS)
    start = time.process_time()
    found = explain(text)
    assert time.process_time() - start < 15  # a few on a machine of one's own
    assert found.http_status == 401


def test_a_host_that_exists_is_not_suggested_in_its_own_place() -> None:
    text = "httpx.ConnectError: [Errno -2] Name or service not known (https://aws-mcp.us-east-1.api.aws/mcp)"
    [found] = explain(text).findings
    assert found.check == "dns-unknown-host"
    assert "You may mean" not in found.remedy
    assert "look at the network" in found.remedy


def test_a_network_that_cannot_be_reached_is_no_refused_connection() -> None:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = OSError(errno.ENETUNREACH, "Network is unreachable")
    assert checks_of(explain(error)) == ["tcp-unreachable"]
