"""The lab answers as AWS does, limits as told, fails as promised, and leaves nothing behind."""

import ast
import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client

import mcpdoctor.lab as package
from mcpdoctor.lab import FAULTS, Lab, Options, app, certificates, doors, servers, tokens
from mcpdoctor.lab.faults import HOSTILE
from mcpdoctor.lab.programs import PROGRAMS
from mcpdoctor.lab.services import SERVICES

US = "aws-mcp/us-east-1"
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
MISMATCH = "The request signature we calculated does not match the signature you provided."


@pytest.fixture(scope="module")
def lab():
    with Lab(Options(limits=("none",))) as running:
        yield running


def rpc(method, params=None, ident=1):
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params or {}}


INITIALIZE = rpc("initialize", HELLO)
LIST = rpc("tools/list")


def call(tool, **arguments):
    return rpc("tools/call", {"name": tool, "arguments": arguments})


def sign(request, env, service, region):
    credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
    headers = {name: value for name, value in request.headers.items() if name != "connection"}
    aws = AWSRequest(method=request.method, url=str(request.url), data=request.content, headers=headers)
    SigV4Auth(credentials, service, region).add_auth(aws)
    request.headers.update(dict(aws.headers))


class Signing(httpx.Auth):
    """Signs as the AWS MCP proxy does: every header but `connection`."""

    def __init__(self, env, service="aws-mcp", region="us-east-1"):
        self.given = env, service, region

    def auth_flow(self, request):
        sign(request, *self.given)
        yield request


class Routed(httpx.HTTPTransport):
    """Connects where the lab says, as `--connect-to` would; name, SNI and signature stay the real ones."""

    def __init__(self, lab, context):
        super().__init__(verify=context)
        self.ports = {entry.split(":")[0]: int(entry.rsplit(":", 1)[1]) for entry in lab.connect_to}

    def handle_request(self, request):
        name = request.url.host
        if name in self.ports:
            request.extensions["sni_hostname"] = name
            request.url = request.url.copy_with(host="127.0.0.1", port=self.ports[name])
        return super().handle_request(request)


def client(lab, env=None, *, service="aws-mcp", region="us-east-1", context=None, more=None, **options):
    transport = Routed(lab, context or ssl.create_default_context(cafile=lab.ca_bundle))
    auth = Signing(env, service, region) if env else None
    return httpx.Client(transport=transport, auth=auth, headers={**ACCEPT, **(more or {})}, timeout=5, **options)


def post(lab, url, message, env=None, *, session=None, **options):
    with client(lab, env, **options) as http:
        return http.post(url, json=message, headers={"mcp-session-id": session} if session else {})


def opened(lab, url, env=None, **options):
    response = post(lab, url, INITIALIZE, env, **options)
    assert response.status_code == 200
    return response.headers["mcp-session-id"]


def close(lab, url, session, env=None, **options):
    with client(lab, env, **options) as http:
        return http.delete(url, headers={"mcp-session-id": session})


def path_of(lab, name):
    return f"{lab.http}/{name}/mcp"


# The lab itself


def test_it_is_ready_at_once_and_leaves_nothing_behind():
    before = set(threading.enumerate())
    begun = time.perf_counter()
    with Lab() as lab:
        assert time.perf_counter() - begun < 1
        assert post(lab, path_of(lab, "knowledge"), INITIALIZE).status_code == 200
        bundle, port = Path(lab.ca_bundle), lab.https_port
        assert "BEGIN CERTIFICATE" in bundle.read_text()
    assert set(threading.enumerate()) == before
    assert not bundle.exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass
    with pytest.raises(RuntimeError, match="not running"):
        _ = lab.http


def test_it_stops_at_once_though_clients_are_waiting():
    with Lab() as lab:
        silent = socket.create_connection(("127.0.0.1", port_of(lab, "silent.lab.test")))
        waiting = socket.create_connection(("127.0.0.1", int(lab.http.rsplit(":", 1)[1])))
        waiting.sendall(b"POST /fault/http/silent/mcp HTTP/1.1\r\nhost: lab.test\r\ncontent-length: 0\r\n\r\n")
        while not lab.requests:
            time.sleep(0.001)
        begun = time.perf_counter()
    assert time.perf_counter() - begun < 2
    silent.close()
    waiting.close()


def test_one_lab_can_follow_another_and_two_can_run_at_once():
    with Lab() as one, Lab() as two:
        assert one.http != two.http
        assert post(one, path_of(one, "knowledge"), INITIALIZE).status_code == 200
        assert post(two, path_of(two, "knowledge"), INITIALIZE).status_code == 200


def test_a_running_lab_cannot_be_entered_again(lab):
    with pytest.raises(RuntimeError, match="already running"):
        lab.__enter__()


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} of 127.0.0.1"):
            Lab(Options(port=port)).__enter__()


def test_the_port_can_be_chosen():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with Lab(Options(port=port)) as lab:
        assert lab.http == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "2025"},
        {"per": "planet"},
        {"noise": 1.5},
        {"latency_s": -1.0},
        {"limits": ("sessions",)},
        {"refusal": "418"},
        {"retry_after_s": -1.0},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"use|write|share|less than"):
        Lab(Options(**options))


def test_its_description_is_all_a_client_needs(lab):
    told = json.loads(json.dumps(lab.describe()))
    assert set(told) == {"http", "https_port", "ca_bundle", "env", "connect_to", "proxies", "endpoints"}
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
    assert set(told["env"]) == {*keys, "MCPDOCTOR_LAB_TOKEN"}
    assert f"aws-mcp.us-east-1.api.aws:443:127.0.0.1:{lab.https_port}" in told["connect_to"]
    assert told["endpoints"][US] == "https://aws-mcp.us-east-1.api.aws/mcp"
    assert told["endpoints"]["fault/auth/wrong-service"] == "https://lab.test/fault/auth/wrong-service/mcp"


def test_it_imports_nothing_of_ours_and_no_signer():
    for file in Path(package.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith(("botocore", "boto3", "awscrt")), file
                assert name.split(".")[0] != "mcpdoctor" or name.split(".")[1:2] == ["lab"], file


def test_importing_it_is_light():
    program = (
        "import sys, mcpdoctor.lab; print(sorted({'mcp', 'uvicorn', 'trustme', 'anyio', 'httpx'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_it_prints_nothing_even_when_clients_misbehave(capfd):
    with Lab() as lab:
        for port in (int(lab.http.rsplit(":", 1)[1]), lab.https_port):
            with socket.create_connection(("127.0.0.1", port)) as rude:
                rude.sendall(b"\x00\x01 nonsense\r\n\r\n")
                rude.settimeout(2)
                with contextlib.suppress(ConnectionResetError):
                    rude.recv(1000)
        post(lab, path_of(lab, "eks-mcp/us-east-1"), INITIALIZE, lab.env, service="eks-mcp")
    assert capfd.readouterr() == ("", "")


def test_when_it_cannot_start_it_says_why_and_leaves_nothing_behind(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no certificates today")

    monkeypatch.setattr(certificates, "context", fail)
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="no certificates today"):
        Lab().__enter__()
    assert set(threading.enumerate()) == before


def test_when_a_server_cannot_start_the_lab_goes_on(monkeypatch):
    def fail():
        raise ImportError("no mcp today")

    monkeypatch.setattr(servers, "preload", fail)
    with Lab() as lab:
        assert [post(lab, path_of(lab, "knowledge"), INITIALIZE).status_code for _ in range(2)] == [500, 500]
        assert post(lab, f"{lab.http}/fault/http/json/mcp", INITIALIZE).status_code == 200


def test_a_client_that_leaves_before_its_request_is_whole_is_not_logged(lab):
    before = len(lab.requests)
    with socket.create_connection(("127.0.0.1", int(lab.http.rsplit(":", 1)[1]))) as hasty:
        hasty.sendall(b"POST /knowledge/mcp HTTP/1.1\r\nhost: lab.test\r\ncontent-length: 100\r\n\r\n{")
    assert post(lab, path_of(lab, "knowledge"), INITIALIZE).status_code == 200
    assert len(lab.requests) == before + 1


# Servers


def scope_of(service):
    """What a caller of a server signs for, and the headers that it wants."""
    wanted = dict.fromkeys(service.headers, "https://appstream2.lab.test/session?token=made-up")
    return {"service": service.signing, "region": service.region, "more": wanted}


# The one that takes bearer tokens refuses every signature.
SIGNED = [service for service in SERVICES if service.family != "bearer"]


@pytest.mark.parametrize("service", SIGNED, ids=lambda service: service.name)
def test_each_server_answers_by_its_real_name_and_by_path(lab, service):
    env = lab.env if service.signing else None
    scope = scope_of(service)
    for url in (
        lab.endpoints[service.name],
        f"https://lab.test{service.prefix}/mcp",
        f"{lab.http}{service.prefix}/mcp",
    ):
        response = post(lab, url, INITIALIZE, env, **scope)
        assert response.status_code == 200, response.text
        assert response.headers["x-amzn-requestid"]
        assert response.headers["date"].endswith(" GMT")
        session = response.headers["mcp-session-id"]
        assert service.tools[0].name in post(lab, url, LIST, env, session=session, **scope).text
        assert close(lab, url, session, env, **scope).status_code == 200


def test_knowledge_answers_with_and_without_a_path(lab):
    for url in ("https://knowledge-mcp.global.api.aws", "https://knowledge-mcp.global.api.aws/mcp"):
        assert post(lab, url, INITIALIZE).status_code == 200


def test_other_paths_are_not_found(lab):
    for url in (
        "https://aws-mcp.us-east-1.api.aws/other",
        "https://lab.test/",
        f"{lab.http}/fault/auth/unheard-of/mcp",
    ):
        response = post(lab, url, INITIALIZE)
        assert (response.status_code, response.json()) == (404, {"message": "Not Found"})


def test_unsigned_callers_get_the_documentation(lab):
    url = lab.endpoints[US]
    session = opened(lab, url)
    assert len(post(lab, url, LIST, session=session).json()["result"]["tools"]) == 8
    found = post(lab, url, call("aws___search_documentation", search_phrase="s3"), session=session)
    assert "The lab's only page" in found.json()["result"]["content"][0]["text"]


def test_unsigned_callers_cannot_tell_a_tool_from_none(lab):
    url = lab.endpoints[US]
    session = opened(lab, url)
    answers = [
        post(lab, url, call(tool), session=session)
        for tool in ("aws___run_script", "aws___get_presigned_url", "aws___get_tasks", "aws___definitely_not_a_tool")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.text for answer in answers} == {
        '{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":-32001,"message":"Authentication failed: Unable to '
        'verify your user identity. Please ensure you are properly authenticated and try again."}}'
    }
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="https://aws-mcp.us-east-1.api.aws/mcp", '
        'resource_metadata="https://aws-mcp.us-east-1.api.aws/.well-known/oauth-protected-resource"'
    }
    assert "x-amz-cf-id" in answers[0].headers
    assert "x-amzn-requestid" not in answers[0].headers


def test_by_path_nobody_is_sent_to_the_real_aws(lab):
    url = path_of(lab, US)
    challenge = post(lab, url, call("aws___run_script"), session=opened(lab, url)).headers["www-authenticate"]
    assert f'resource_metadata="{lab.http}/aws-mcp/us-east-1/.well-known/oauth-protected-resource"' in challenge
    with client(lab) as http:
        metadata = http.get(f"{lab.http}/aws-mcp/us-east-1/.well-known/oauth-protected-resource").json()
    assert metadata["resource"] == url


def test_since_july_2026_a_query_makes_clients_log_in(lab):
    url = f"{lab.endpoints[US]}?oauth=initialize"
    answer = post(lab, url, INITIALIZE)
    assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
    assert post(lab, url, INITIALIZE, lab.env).status_code == 200
    assert post(lab, lab.endpoints[US], INITIALIZE).status_code == 200


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (tokens.mint(tokens.SIGN_IN), 200),
        (tokens.mint(tokens.SIGN_IN, valid_s=-1), 401),
        (tokens.mint(tokens.SIGN_IN, from_s=36_000), 401),
        (tokens.mint("https://other.example"), 401),
        (tokens.mint(tokens.SIGN_IN)[:-4] + "AAAA", 401),
        ("word", 401),
        ("a.b.c", 401),
    ],
)
def test_a_token_is_verified(lab, token, status):
    with client(lab) as http:
        answer = http.post(
            path_of(lab, US),
            json=INITIALIZE,
            headers={"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"},
        )
    assert answer.status_code == status


def test_by_path_the_authorization_server_is_here_too(lab):
    with client(lab) as http:
        issuer = http.get(f"{lab.http}/aws-mcp/us-east-1/.well-known/oauth-protected-resource").json()[
            "authorization_servers"
        ][0]
        assert issuer == f"{lab.http}/signin/us-east-1"
        metadata = http.get(f"{lab.http}/.well-known/oauth-authorization-server/signin/us-east-1").json()
    assert metadata["issuer"] == issuer
    assert "code_challenge_methods_supported" not in metadata


def test_in_march_2026_unsigned_callers_were_refused_altogether():
    with Lab(Options(mode="2026-03")) as lab:
        answer = post(lab, lab.endpoints[US], INITIALIZE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, -32001)
        assert not {"www-authenticate", "x-amzn-requestid", "x-amzn-errortype"} & set(answer.headers)
        assert post(lab, lab.endpoints[US], INITIALIZE, lab.env).status_code == 200


@pytest.mark.parametrize("identity", ["default", "session"])
def test_signed_callers_get_every_tool(lab, identity):
    url, env = lab.endpoints[US], lab.identities[identity]
    session = opened(lab, url, env)
    ran = post(lab, url, call("aws___run_script", code="sts.get_caller_identity()"), env, session=session)
    assert json.loads(ran.json()["result"]["content"][0]["text"]) == {"account": "123456789012"}
    unknown = post(lab, url, call("aws___definitely_not_a_tool"), env, session=session)
    assert unknown.status_code == 200
    assert unknown.json()["error"] == {"code": -32602, "message": "Unknown tool: aws___definitely_not_a_tool"}


@pytest.mark.parametrize("service", SIGNED, ids=lambda service: service.name)
def test_every_tool_answers(lab, service):
    env = lab.env if service.signing else None
    url, scope = lab.endpoints[service.name], scope_of(service)
    session = opened(lab, url, env, **scope)
    for tool in service.tools:
        arguments = dict.fromkeys(tool.parameters, "us-east-1")
        answer = post(lab, url, call(tool.name, **arguments), env, session=session, **scope)
        assert '"isError":false' in answer.text
        if tool.parameters:
            answer = post(lab, url, call(tool.name), env, session=session, **scope)
            assert '"isError":true' in answer.text
            assert f"Missing argument: {tool.parameters[0]}" in answer.text


def test_only_post_is_supported_by_aws_mcp(lab):
    with client(lab) as http:
        for method in ("GET", "PUT", "HEAD"):
            answer = http.request(method, lab.endpoints[US])
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert http.get(lab.endpoints[US]).text == (
            '{"jsonrpc":"2.0","id":"","result":null,"error":{"code":-32600,"message":"HTTP method not supported."}}'
        )


def test_a_get_of_knowledge_looks_as_if_it_were_down(lab):
    with client(lab) as http:
        for method in ("GET", "HEAD"):
            answer = http.request(method, lab.endpoints["aws-knowledge"])
            assert (answer.status_code, answer.headers["x-cache"]) == (404, "Error from cloudfront")
            assert answer.headers["x-amzn-requestid"]


def test_the_oauth_metadata_names_the_resource(lab):
    with client(lab) as http:
        metadata = http.get("https://aws-mcp.us-east-1.api.aws/.well-known/oauth-protected-resource").json()
        assert metadata == {
            "resource": "https://aws-mcp.us-east-1.api.aws/mcp",
            "authorization_servers": ["https://us-east-1.oauth.signin.aws/"],
        }
        assert http.get("https://knowledge-mcp.global.api.aws/.well-known/oauth-protected-resource").status_code == 404


@pytest.mark.parametrize("name", ["agentcore-gateway", "agentcore-runtime"])
def test_agentcore_says_null_to_unsigned_callers(lab, name):
    answer = post(lab, lab.endpoints[name], INITIALIZE)
    assert answer.status_code == 401
    assert answer.json() == {
        "jsonrpc": "2.0",
        "error": {"code": -32001, "message": "Missing Authentication Token"},
        "id": "null",
    }


def test_other_regional_servers_refuse_unsigned_callers(lab):
    for name in ("eks-mcp/us-east-1", "ecs-mcp/us-east-1"):
        answer = post(lab, lab.endpoints[name], INITIALIZE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, -32001)


def test_a_bearer_token_is_no_signature(lab):
    with client(lab) as http:
        bearer = {"authorization": "Bearer made-up"}
        answer = http.post(lab.endpoints["agentcore-gateway"], json=INITIALIZE, headers=bearer)
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
        assert answer.json()["message"].startswith("Authorization method mismatch.")
        answer = http.post(lab.endpoints[US], json=INITIALIZE, headers=bearer)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, -32001)


@pytest.mark.parametrize(("name", "status"), [(US, 401), ("agentcore-gateway", 403)])
def test_a_wrong_scope_is_refused_with_the_status_of_the_host(lab, name, status):
    answer = post(lab, lab.endpoints[name], INITIALIZE, lab.env, service="iam")
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (status, "InvalidSignatureException")
    assert "Credential should be scoped to correct service" in answer.json()["message"]


def test_each_region_wants_its_own_signature(lab):
    url = lab.endpoints["aws-mcp/eu-west-1"]
    assert post(lab, url, INITIALIZE, lab.env, region="eu-west-1").status_code == 200
    answer = post(lab, url, INITIALIZE, lab.env, region="us-east-1")
    assert answer.json()["message"] == "Credential should be scoped to a valid region, not 'us-east-1'. "


def test_an_unknown_key_is_put_as_the_host_puts_it(lab):
    stranger = {**lab.env, "AWS_ACCESS_KEY_ID": "AKIASTRANGEREXAMPLE2"}
    answer = post(lab, lab.endpoints[US], INITIALIZE, stranger)
    assert answer.json()["message"] == "The security token included in the request is not recognized."
    answer = post(lab, lab.endpoints["agentcore-gateway"], INITIALIZE, stranger, service="bedrock-agentcore")
    assert answer.json()["message"] == "The security token included in the request is invalid."


def test_an_expired_token_is_put_as_the_host_puts_it(lab):
    expired = lab.identities["expired"]
    answer = post(lab, lab.endpoints[US], INITIALIZE, expired)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, -32001)
    assert answer.json()["error"]["message"].startswith("Your AWS session token has expired.")
    answer = post(lab, lab.endpoints["agentcore-gateway"], INITIALIZE, expired, service="bedrock-agentcore")
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "ExpiredTokenException")
    assert answer.json()["message"] == "The security token included in the request is expired"


def test_a_caller_without_permission_is_denied(lab):
    answer = post(lab, lab.endpoints["eks-mcp/us-east-1"], INITIALIZE, lab.identities["denied"], service="eks-mcp")
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert answer.json()["message"] == (
        "User: arn:aws:sts::123456789012:assumed-role/lab/denied is not authorized to perform: eks-mcp:InvokeMcp on "
        "resource: arn:aws:eks-mcp:us-east-1:123456789012:mcp-server/lab because no identity-based policy allows the "
        "eks-mcp:InvokeMcp action"
    )


def test_a_session_belongs_to_its_caller(lab):
    url = lab.endpoints[US]
    session = opened(lab, url, lab.env)
    assert post(lab, url, LIST, lab.env, session=session).status_code == 200
    for env in (lab.identities["session"], None):
        answer = post(lab, url, LIST, env, session=session)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, -30001)
        assert close(lab, url, session, env).status_code == 404
    assert close(lab, url, session, lab.env).status_code == 200
    assert post(lab, url, LIST, lab.env, session=session).json()["error"] == {
        "code": -30001,
        "message": "The provided SessionId was not found or has expired, please re-initialize your connection.",
    }


def test_a_role_under_another_session_name_is_another_caller(lab):
    """What an assume-role profile without role_session_name meets (Qiita 84785020216699a1d0b9)."""
    url, one, other = lab.endpoints[US], lab.identities["session"], lab.identities["session-2"]
    session = opened(lab, url, one)
    assert post(lab, url, LIST, other, session=session).json()["error"]["code"] == -30001
    assert post(lab, url, LIST, one, session=session).status_code == 200
    assert close(lab, url, session, one).status_code == 200


def test_without_a_session_only_initialize_is_served(lab):
    assert post(lab, lab.endpoints[US], LIST).status_code == 400
    with client(lab) as http:
        assert http.post(lab.endpoints[US], content=b"[not json").status_code == 400
        assert http.post(lab.endpoints[US], json=[1]).status_code == 400


def test_a_body_nobody_should_send_is_not_read_to_its_end(lab):
    # The answer comes while the client is still sending, so it may or may not get to read it.
    with client(lab) as http, contextlib.suppress(httpx.TransportError):
        assert http.post(path_of(lab, US), content=b" " * 20_000_000).status_code == 413
    assert post(lab, path_of(lab, US), INITIALIZE).status_code == 200


# Limits, latency, noise


@pytest.mark.parametrize(
    ("mode", "signed", "unsigned"),
    [
        ("current", None, None),
        ("2026-03", '"lab";q=10;w=4', None),
        ("2026-09", '"lab";q=20;w=2', '"lab";q=10;w=2'),
    ],
)
def test_a_mode_has_the_rates_of_its_date(mode, signed, unsigned):
    with Lab(Options(mode=mode, rate_headers=True)) as lab:
        url = lab.endpoints[US]
        assert post(lab, url, INITIALIZE, lab.env).headers.get("ratelimit-policy") == signed
        answer = post(lab, url, INITIALIZE)
        assert answer.headers.get("ratelimit-policy") == unsigned
        assert answer.status_code == (401 if mode == "2026-03" else 200)
        # Servers of which no quota is documented keep what they have.
        eks = post(lab, lab.endpoints["eks-mcp/us-east-1"], INITIALIZE, lab.env, service="eks-mcp")
        assert (eks.status_code, eks.headers.get("ratelimit-policy")) == (200, None)


def test_more_than_the_rate_of_a_date_is_refused():
    with Lab(Options(mode="2026-03")) as lab, client(lab, lab.env) as http:
        seen = [http.post(lab.endpoints[US], json=INITIALIZE).status_code for _ in range(40)]
    assert seen[:10] == [200] * 10
    assert 429 in seen


def test_documented_quotas_are_those_of_the_account():
    with Lab(Options(mode="2026-03", rate_headers=True)) as lab:
        url = lab.endpoints[US]
        for _ in range(5):
            post(lab, url, INITIALIZE, lab.env)
        answer = post(lab, url, INITIALIZE, lab.identities["session"])
        left = re.search(r"r=(\d+)", answer.headers["ratelimit"])
        assert left is not None
        assert int(left[1]) < 9


def test_a_limit_that_is_given_goes_before_that_of_the_mode():
    with Lab(Options(mode="2026-09", limits=("sessions:1",))) as lab:
        assert statuses(lab, lab.endpoints[US], lab.env, times=2) == [200, 429]


def test_a_server_refuses_where_its_header_is_missing(lab):
    url, scope = lab.endpoints["agent-access/us-east-1"], {"service": "agentaccess-mcp"}
    assert post(lab, url, INITIALIZE).status_code == 401
    refused = post(lab, url, INITIALIZE, lab.env, **scope)
    assert (refused.status_code, refused.json()) == (400, {"message": "Invalid streaming URL"})
    more = {"X-Amzn-AgentAccess-Streaming-Session-Url": "https://appstream2.lab.test/session"}
    assert post(lab, url, INITIALIZE, lab.env, more=more, **scope).status_code == 200


@pytest.mark.parametrize(
    ("name", "service", "action"),
    [
        ("ecs-mcp/us-east-1", "ecs-mcp", "ecs-mcp:UseMcp"),
        ("agentcore-runtime", "bedrock-agentcore", "bedrock-agentcore:InvokeAgentRuntime"),
        ("agentcore-gateway", "bedrock-agentcore", "bedrock-agentcore:InvokeGateway"),
        ("lambda-url", "lambda", "lambda:InvokeFunctionUrl"),
        ("api-gateway/us-east-1", "execute-api", "execute-api:Invoke"),
        ("partner-central/us-east-1", "partnercentral-agents-mcp", "partnercentral:UseSession"),
    ],
)
def test_a_denied_caller_is_told_the_action_of_the_server(lab, name, service, action):
    answer = post(lab, lab.endpoints[name], INITIALIZE, lab.identities["denied"], service=service)
    assert f"is not authorized to perform: {action} on resource" in answer.json()["message"]


def test_servers_that_share_a_host_are_told_apart_by_their_path(lab):
    scope = {"service": "sagemaker-unified-studio-mcp"}
    for name in ("spark-upgrade", "spark-troubleshooting", "spark-code-recommendation"):
        url = lab.endpoints[f"{name}/us-east-1"]
        assert urlsplit(url).hostname == "sagemaker-unified-studio-mcp.us-east-1.api.aws"
        assert f'"name":"lab {name}/us-east-1"' in post(lab, url, INITIALIZE, lab.env, **scope).text
        assert lab.plain(url) == f"{lab.http}/{name}/us-east-1/mcp"


def test_strangers_are_turned_away_as_each_kind_of_host_does(lab):
    lambda_url = post(lab, lab.endpoints["lambda-url"], INITIALIZE)
    assert (lambda_url.status_code, lambda_url.json()) == (403, {"Message": "Forbidden"})
    gateway = post(lab, lab.endpoints["api-gateway/us-east-1"], INITIALIZE)
    assert (gateway.status_code, gateway.json()) == (403, {"message": "Missing Authentication Token"})
    hosted = post(lab, lab.endpoints["partner-central-hosted"], INITIALIZE)
    assert hosted.status_code == 401
    assert hosted.headers["www-authenticate"].startswith("Bearer ")


def test_what_a_tool_calls_may_be_denied_by_an_organization(lab):
    url = lab.endpoints[US]
    session = opened(lab, url, lab.env)
    code = "boto3.client('s3').delete_bucket(Bucket='x')"
    answer = post(lab, url, call("aws___run_script", code=code), lab.env, session=session).json()["result"]
    assert answer["isError"] is True
    assert answer["content"][0]["text"].endswith("with an explicit deny in a service control policy")


def statuses(lab, url, env=None, *, times):
    return [post(lab, url, INITIALIZE, env).status_code for _ in range(times)]


def test_aws_mcp_holds_seven_sessions_of_each_caller():
    with Lab() as lab:
        url = lab.endpoints[US]
        sessions = [opened(lab, url, lab.env) for _ in range(7)]
        refused = post(lab, url, INITIALIZE, lab.env)
        assert (refused.status_code, refused.json()["error"]) == (
            429,
            {"code": -32004, "message": "Too many requests. Please try again later."},
        )
        assert "retry-after" not in refused.headers
        assert post(lab, url, LIST, lab.env, session=sessions[0]).status_code == 200
        assert statuses(lab, url, lab.identities["session"], times=1) == [200]
        assert post(lab, lab.endpoints["aws-mcp/us-west-2"], INITIALIZE, lab.env, region="us-west-2").status_code == 200
        assert close(lab, url, sessions[0], lab.env).status_code == 200
        assert statuses(lab, url, lab.env, times=2) == [200, 429]


@pytest.mark.parametrize("name", [US, "aws-knowledge"])
def test_callers_without_a_signature_hold_four_sessions(name):
    with Lab() as lab:
        url = lab.endpoints[name]
        sessions = [opened(lab, url) for _ in range(4)]
        refused = post(lab, url, INITIALIZE)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, -32004)
        assert post(lab, url, LIST, session=sessions[0]).status_code == 200
        assert close(lab, url, sessions[0]).status_code == 200
        assert statuses(lab, url, times=2) == [200, 429]


def test_callers_with_and_without_a_signature_have_limits_of_their_own():
    with Lab(Options(per="address")) as lab:
        url = lab.endpoints[US]
        assert statuses(lab, url, times=5) == [200] * 4 + [429]
        assert statuses(lab, url, lab.env, times=8) == [200] * 7 + [429]


def test_limits_can_count_addresses():
    with Lab(Options(limits=("sessions:2",), per="address")) as lab:
        url = path_of(lab, US)
        assert statuses(lab, url, lab.env, times=1) == [200]
        assert statuses(lab, url, times=2) == [200, 429]


def test_a_session_that_falls_silent_gives_its_place_back(monkeypatch):
    monkeypatch.setattr(doors, "IDLE_S", 0.2)
    monkeypatch.setattr(app, "SWEEP_S", 0.02)
    with Lab(Options(limits=("sessions:1",))) as lab:
        url = path_of(lab, US)
        session = opened(lab, url, lab.env)
        assert statuses(lab, url, lab.env, times=1) == [429]
        deadline = time.monotonic() + 5
        while statuses(lab, url, lab.env, times=1) == [429]:
            assert time.monotonic() < deadline
        assert post(lab, url, LIST, lab.env, session=session).status_code == 404


async def together(lab, url, times):
    gathered = []
    async with httpx.AsyncClient(headers=ACCEPT, timeout=5) as http, anyio.create_task_group() as group:

        async def one():
            gathered.append((await http.post(url, json=INITIALIZE)).status_code)

        for _ in range(times):
            group.start_soon(one)
    return sorted(gathered)


def test_a_place_in_flight_is_taken_until_the_answer():
    # That two are refused shows that six were there at once: latency blocks nobody.
    with Lab(Options(latency_s=0.5, limits=("in-flight:4",))) as lab:
        url = path_of(lab, "knowledge")
        assert anyio.run(together, lab, url, 4) == [200] * 4
        assert anyio.run(together, lab, url, 6) == [200] * 4 + [429] * 2
        assert anyio.run(together, lab, url, 4) == [200] * 4


@pytest.mark.parametrize("limit", ["in-flight:1", "sessions:1"])
def test_a_client_that_does_one_thing_after_another_is_never_refused(limit):
    with Lab(Options(limits=(limit,))) as lab, client(lab) as http:
        url = path_of(lab, US)
        for _ in range(50):
            opening = http.post(url, json=INITIALIZE)
            of_session = {"mcp-session-id": opening.headers.get("mcp-session-id", "")}
            listing = http.post(url, json=LIST, headers=of_session)
            closing = http.delete(url, headers=of_session)
            assert (opening.status_code, listing.status_code, closing.status_code) == (200, 200, 200)


@pytest.mark.parametrize("limit", ["rate:1/s,burst:3", "window:3/1000s", "sliding:3/1000s"])
def test_a_rate_counts_requests_but_keeps_nobody_from_leaving(limit):
    with Lab(Options(limits=(limit,))) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        assert statuses(lab, url, times=3)[-1] == 429
        assert close(lab, url, session).status_code == 200


def test_several_limits_hold_together():
    with Lab(Options(limits=("in-flight:9", "sessions:2", "window:5/1000s"))) as lab:
        url = path_of(lab, US)
        assert statuses(lab, url, times=3) == [200, 200, 429]
        assert statuses(lab, url, lab.env, times=3) == [200, 200, 429]


def test_an_open_stream_takes_no_place_in_flight():
    with Lab(Options(limits=("in-flight:1",))) as lab:
        url, scope = path_of(lab, "eks-mcp/us-east-1"), {"service": "eks-mcp"}
        session = opened(lab, url, lab.env, **scope)
        of_session = {"mcp-session-id": session}
        with client(lab, lab.env, **scope) as http, http.stream("GET", url, headers=of_session) as stream:
            assert stream.status_code == 200
            pieces = stream.iter_raw()  # without a name it would be closed at once, and the stream with it
            assert next(pieces) == b": ping\n\n"
            assert post(lab, url, LIST, lab.env, session=session, **scope).status_code == 200
            assert close(lab, url, session, lab.env, **scope).status_code == 200
            assert list(pieces) == []
        with client(lab, lab.env, **scope) as http:
            assert http.get(url).status_code == 405


def test_a_session_with_an_open_stream_is_not_given_up_and_its_end_ends_the_stream(monkeypatch):
    monkeypatch.setattr(doors, "IDLE_S", 0.05)
    monkeypatch.setattr(app, "SWEEP_S", 0.01)
    with Lab() as lab:
        url, scope = path_of(lab, "eks-mcp/us-east-1"), {"service": "eks-mcp"}
        session = opened(lab, url, lab.env, **scope)
        of_session = {"mcp-session-id": session}
        with client(lab, lab.env, **scope) as http, http.stream("GET", url, headers=of_session) as stream:
            pieces = stream.iter_raw()
            next(pieces)
            time.sleep(0.2)  # four times what would be too long without the stream
            assert close(lab, url, session, lab.env, **scope).status_code == 200
            assert list(pieces) == []


def test_latency_delays_every_answer():
    with Lab(Options(latency_s=0.2, limits=("none",))) as lab:
        begun = time.perf_counter()
        assert post(lab, f"{lab.http}/fault/http/json/mcp", INITIALIZE).status_code == 200
        assert time.perf_counter() - begun >= 0.2


def test_noise_is_random_and_repeatable():
    def noisy():
        with Lab(Options(noise=0.5, seed=7, limits=("none",))) as lab:
            return statuses(lab, path_of(lab, "knowledge"), times=40)

    first = noisy()
    assert set(first) == {200, 429, 503}
    assert 8 <= first.count(200) <= 32
    assert noisy() == first


# Faults


def test_every_fault_has_one_name_and_a_place():
    assert list(FAULTS) == [f"{fault.stage}/{fault.name}" for fault in FAULTS.values()]
    assert len(FAULTS) >= 50
    for fault in FAULTS.values():
        assert fault.summary.endswith(".")
        # A fault with both is found under a real name, by the query of its URL.
        assert fault.answer is not None or fault.endpoint
        assert not (fault.answer and fault.endpoint) or "?lab=" in fault.endpoint


ANSWERS = {
    "http/not-found": (404, "Not Found"),
    "http/html": (200, "<script>"),
    "http/json": (200, '"status":"healthy"'),
    "http/server-error": (500, "Internal Server Error"),
    "http/unavailable": (503, "Service Unavailable"),
    "http/bad-gateway": (502, "<h1>502 Bad Gateway</h1>"),
    "http/forbidden-html": (403, "policy blocks this site"),
    "auth/expired-token": (401, "The security token included in the request is expired"),
    "auth/unknown-key": (401, "The security token included in the request is not recognized."),
    "auth/clock-skew": (401, "Signature expired: "),
    "auth/wrong-service": (401, "Credential should be scoped to correct service: 'other-service'. "),
    "auth/wrong-region": (401, "Credential should be scoped to a valid region, not 'us-east-1'. "),
    "auth/bad-signature": (401, MISMATCH),
    "auth/ambiguous-signature": (401, MISMATCH),
    "auth/wants-bearer": (401, "Missing Bearer token"),
    "auth/method-mismatch": (403, "Authorization method mismatch."),
    "auth/access-denied": (403, "is not authorized to perform: aws-mcp:InvokeMcp"),
    "open/rate-limited": (429, "-32004"),
    "open/rewritten-headers": (401, MISMATCH),
    "open/invalid-json-rpc": (200, '{"jsonrpc":"2.0","id":1}'),
    "open/unsupported-protocol": (200, '"protocolVersion":"1999-01-01"'),
    "open/rpc-error": (200, '"code":-32603'),
}


@pytest.mark.parametrize("key", ANSWERS)
@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
def test_a_fault_meets_a_properly_signed_initialize(lab, key, secure):
    status, text = ANSWERS[key]
    answer = post(lab, FAULTS[key].url(None if secure else lab), INITIALIZE, lab.env)
    assert answer.status_code == status
    assert text in (answer.text if key.startswith(("http", "open")) else json.dumps(answer.json(), ensure_ascii=False))


def test_a_fault_of_signatures_accepts_what_is_signed_for_it(lab):
    def accepted(key, **options):
        return post(lab, FAULTS[key].url(), INITIALIZE, options.pop("env", lab.env), **options).status_code == 200

    assert accepted("auth/unsigned")
    assert accepted("healthy/signed")
    assert accepted("auth/wrong-service", service="other-service")
    assert accepted("auth/wrong-region", region="eu-south-1")
    assert accepted("auth/ambiguous-signature", service="other-service")
    other = {**lab.env, "AWS_SECRET_ACCESS_KEY": "not/the/secret/of/the/lab/EXAMPLEKEY/+42"}
    assert accepted("auth/bad-signature", env=other)
    assert not accepted("healthy/signed", env=other)
    assert not accepted("healthy/signed", env=lab.identities["denied"])


@pytest.mark.parametrize("key", ["auth/unsigned", "auth/wrong-service", "healthy/signed"])
def test_a_fault_of_signatures_wants_one(lab, key):
    answer = post(lab, FAULTS[key].url(), INITIALIZE)
    assert (answer.status_code, answer.json()) == (403, {"message": "Missing Authentication Token"})
    assert answer.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


def test_the_skewed_clock_shows_in_the_date(lab):
    answer = post(lab, FAULTS["auth/clock-skew"].url(), INITIALIZE, lab.env)
    said = httpx.Headers(answer.headers)["date"]
    from email.utils import parsedate_to_datetime

    assert 14 * 60 < parsedate_to_datetime(said).timestamp() - time.time() < 16 * 60


def test_rewritten_headers_spare_a_signature_that_does_not_cover_them(lab):
    url = FAULTS["open/rewritten-headers"].url()
    with client(lab) as http:
        request = http.build_request("POST", url, json=INITIALIZE)
        aws = AWSRequest(method="POST", url=url, data=request.content)
        credentials = Credentials(lab.env["AWS_ACCESS_KEY_ID"], lab.env["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(credentials, "aws-mcp", "us-east-1").add_auth(aws)
        request.headers.update(dict(aws.headers))
        assert http.send(request).status_code == 200


def test_ambiguity_is_only_about_the_signature(lab):
    answer = post(lab, FAULTS["auth/ambiguous-signature"].url(), INITIALIZE, lab.identities["expired"])
    assert answer.json()["error"]["message"].startswith("Your AWS session token has expired.")


def test_a_bearer_challenge_names_its_metadata(lab):
    answer = post(lab, FAULTS["auth/wants-bearer"].url(), INITIALIZE, lab.env)
    assert answer.headers["www-authenticate"] == (
        'Bearer resource_metadata="https://lab.test/.well-known/oauth-protected-resource/fault/auth/wants-bearer/mcp"'
    )


def test_throttling_may_say_how_long(lab):
    assert post(lab, FAULTS["open/rate-limited"].url(), INITIALIZE).headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("key", "message", "status", "text"),
    [
        ("open/rate-limited-after-initialize", LIST, 429, "-32004"),
        ("open/session-lost", LIST, 404, "-30001"),
        ("list/empty", LIST, 200, '"tools":[]'),
        ("list/denied", LIST, 403, "is not authorized to perform"),
        ("list/rpc-error", LIST, 200, '"code":-32603'),
        ("call/denied", LIST, 200, '"name":"echo"'),
        ("call/denied", call("echo", text="x"), 401, "Unable to verify your user identity"),
        ("call/tool-error", call("echo", text="x"), 200, '"isError":true'),
        ("healthy/none", call("echo", text="hello"), 200, '"text":"hello"'),
    ],
)
def test_a_late_fault_lets_the_session_open(lab, key, message, status, text):
    url = FAULTS[key].url()
    session = opened(lab, url, lab.env)
    answer = post(lab, url, message, lab.env, session=session)
    assert (answer.status_code, text in answer.text) == (status, True)
    assert close(lab, url, session, lab.env).status_code == 200


def test_a_redirect_points_away_or_within(lab):
    away = post(lab, FAULTS["http/redirected"].url(), INITIALIZE)
    assert (away.status_code, away.headers["location"]) == (301, "https://portal.lab.test/login")
    with client(lab) as http:
        assert "Sign in" in http.get(away.headers["location"]).text
    within = post(lab, FAULTS["http/redirect-same-origin"].url(), INITIALIZE)
    assert (within.status_code, within.headers["location"]) == (307, "/aws-mcp/us-east-1/mcp")
    followed = post(lab, FAULTS["http/redirect-same-origin"].url(), INITIALIZE, follow_redirects=True)
    assert followed.status_code == 200


def test_hostile_text_arrives_as_it_was_meant(lab):
    answer = post(lab, FAULTS["http/escapes"].url(), INITIALIZE)
    assert (answer.status_code, answer.json()["message"]) == (401, HOSTILE)
    for part in ("\x1b]0;", "\n::error::", "<script>", "\x00", "\u202e"):
        assert part in HOSTILE


def test_silence_lasts_as_long_as_the_client_waits(lab):
    with client(lab) as http, pytest.raises(httpx.ReadTimeout):
        http.post(FAULTS["http/silent"].url(lab), json=INITIALIZE, timeout=0.2)
    assert lab.requests[-1].status is None


@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
def test_a_dropped_connection_brings_not_a_byte(lab, secure):
    with client(lab) as http, pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        http.post(FAULTS["http/closed"].url(None if secure else lab), json=INITIALIZE)


@pytest.mark.parametrize(
    ("key", "kind", "start"),
    [
        ("http/huge", "application/json", b'{"padding":"xxx'),
        ("http/endless", "application/json", b'{"jsonrpc"'),
        ("http/endless-sse", "text/event-stream", b": still here\n\n"),
    ],
)
def test_an_answer_without_end_begins_at_once_and_ends_with_its_reader(lab, key, kind, start):
    with client(lab) as http, http.stream("POST", FAULTS[key].url(lab), json=INITIALIZE) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        got = b""
        for piece in answer.iter_raw():
            got += piece
            if len(got) >= len(start):
                break
        assert got.startswith(start)
    assert post(lab, FAULTS["http/json"].url(lab), INITIALIZE).status_code == 200


def port_of(lab, name):
    return next(int(entry.rsplit(":", 1)[1]) for entry in lab.connect_to if entry.startswith(f"{name}:"))


def handshake(lab, name, context=None):
    context = context or ssl.create_default_context(cafile=lab.ca_bundle)
    with (
        socket.create_connection(("127.0.0.1", port_of(lab, name)), timeout=0.5) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.version()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("untrusted.lab.test", "unable to get local issuer certificate"),
        ("expired.lab.test", "certificate has expired"),
        ("wrong-name.lab.test", "Hostname mismatch"),
    ],
)
def test_a_faulty_certificate_is_told_by_the_name_asked_for(lab, name, reason):
    before = lab.tls_handshakes[name]
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(lab, name)
    assert lab.tls_handshakes[name] == before + 1


def test_behind_a_faulty_certificate_the_server_is_healthy(lab):
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    assert post(lab, FAULTS["tls/untrusted"].url(), INITIALIZE, context=careless).status_code == 200


def test_below_tls_a_port_can_be_plain_closed_silent_or_refused(lab):
    with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number|record layer failure"):
        handshake(lab, "plain.lab.test")
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        handshake(lab, "closed.lab.test")
    with pytest.raises(TimeoutError):
        handshake(lab, "silent.lab.test")
    with pytest.raises(ConnectionRefusedError):
        handshake(lab, "refused.lab.test")


def test_names_the_lab_does_not_know_are_not_routed(lab):
    known = {entry.split(":")[0] for entry in lab.connect_to}
    for key in ("dns/unknown-host", "dns/unknown-region"):
        assert httpx.URL(FAULTS[key].url()).host not in known


def test_a_client_that_names_no_host_gets_the_good_certificate(lab):
    context = ssl.create_default_context(cafile=lab.ca_bundle)
    before = lab.tls_handshakes[""]
    with httpx.Client(verify=context, headers=ACCEPT) as http:
        assert http.post(f"https://127.0.0.1:{lab.https_port}/knowledge/mcp", json=INITIALIZE).status_code == 200
    assert lab.tls_handshakes[""] == before + 1


# The log, and real clients


def test_every_request_is_logged():
    with Lab() as lab:
        begun = time.time()
        session = opened(lab, lab.endpoints[US], lab.env)
        post(lab, lab.endpoints[US], call("aws___list_regions"), lab.env, session=session)
        post(lab, f"{lab.http}/nowhere", {"not": "rpc"})
        seen = [
            (line.host, line.port, line.path, line.method, line.rpc_method, line.tool, line.signed, line.status)
            for line in lab.requests
        ]
        host, port = "aws-mcp.us-east-1.api.aws", int(lab.http.rsplit(":", 1)[1])
        assert seen == [
            (host, lab.https_port, "/mcp", "POST", "initialize", None, True, 200),
            (host, lab.https_port, "/mcp", "POST", "tools/call", "aws___list_regions", True, 200),
            ("127.0.0.1", port, "/nowhere", "POST", None, None, False, 404),
        ]
        assert all(begun - 1 < line.time < time.time() + 1 for line in lab.requests)
        assert lab.tls_handshakes == {host: 2}
        assert lab.tcp_accepts == {lab.https_port: 2, port: 1}


async def whole_session(url, auth, tool, arguments):
    with anyio.fail_after(10):
        async with (
            httpx.AsyncClient(auth=auth, timeout=5) as http,
            streamable_http_client(url, http_client=http) as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            opening = await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            result = await session.call_tool(tool, arguments)
            with pytest.raises(McpError, match="Unknown tool: nonsense"):
                await session.call_tool("nonsense", {})
            return opening.serverInfo.name, tools, result


@pytest.mark.parametrize(
    ("name", "service", "tool", "arguments"),
    [
        ("aws-mcp/us-east-1", "aws-mcp", "aws___run_script", {"code": "get_caller_identity"}),
        ("knowledge", None, "aws___list_regions", {}),
        ("agentcore-gateway", "bedrock-agentcore", "orders___get_order", {"order_id": "1"}),
        ("eks-mcp/us-east-1", "eks-mcp", "get_pod_logs", {"pod_name": "x"}),
        ("ecs-mcp/us-east-1", "ecs-mcp", "list_clusters", {}),
        ("fault/healthy/signed", "aws-mcp", "echo", {"text": "hello"}),
        ("fault/healthy/none", None, "echo", {"text": "hello"}),
    ],
)
def test_a_real_client_has_a_whole_session(lab, name, service, tool, arguments):
    auth = Signing(lab.env, service) if service else None
    server, tools, result = anyio.run(whole_session, path_of(lab, name), auth, tool, arguments)
    assert server.startswith("lab ")
    assert tool in tools
    assert not result.isError
    assert result.content[0].text


@pytest.mark.skipif(os.name == "nt", reason="lists addresses through /proc or lsof")
def test_it_listens_on_loopback_only():
    with Lab() as lab:
        ports = {int(entry.rsplit(":", 1)[1]) for entry in lab.connect_to} | {lab.https_port}
        for port in ports:
            with socket.socket() as elsewhere:
                # Every other address of this machine still has the port free: the lab did not take it there.
                elsewhere.bind(("127.0.0.2", port))


def test_the_docs_list_every_command_that_goes_wrong() -> None:
    text = (Path(__file__).parent.parent / "docs" / "lab.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `start/([a-z-]+)` \| (.+) \|$", text, flags=re.MULTILINE)
    assert dict(rows) == {one.name: one.summary for one in PROGRAMS.values()}


@pytest.mark.parametrize("path", ["/fault/healthy/none/mcp", "/knowledge/mcp", "/aws-mcp/us-east-1/mcp"])
@pytest.mark.parametrize("origin", ["http://evil.example.com", "http://127.0.0.1.evil.example.com", "null", "http://["])
def test_a_web_page_of_somewhere_else_reaches_no_server(lab, path, origin):
    # DNS rebinding: the page's own name leads to loopback, so that the browser sees no other origin.
    with httpx.Client(trust_env=False) as client:
        answer = client.post(lab.http + path, json=INITIALIZE, headers={**ACCEPT, "origin": origin})
        listed = client.get(lab.http + path, headers={"origin": origin})
    assert (answer.status_code, listed.status_code) == (403, 403)
    assert answer.json()["error"]["message"] == "Invalid Origin header"
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost:6274", "http://127.0.0.1", "http://[::1]:80", "https://lab.test"])
def test_a_web_page_of_this_machine_is_let_in(lab, origin):
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{lab.http}/knowledge/mcp", json=INITIALIZE, headers={**ACCEPT, "origin": origin})
        client.delete(f"{lab.http}/knowledge/mcp", headers={"mcp-session-id": answer.headers["mcp-session-id"]})
    assert answer.status_code == 200
