"""Metadata for logging in is asked for carefully: little, without anything of the user, and nowhere harmful."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from conftest import Examine, network_of
from logins import VARIABLE

from mcpdoctor import oauth
from mcpdoctor.lab import FAULTS, Lab, logins, tokens
from mcpdoctor.model import Exchange, Fact
from mcpdoctor.network import Network
from mcpdoctor.wire import RecordingTransport

ENDPOINT = "https://mcp.example/mcp"


async def nothing() -> None:
    """No pace to keep."""


def asked(network: Network, named: str | None, endpoint: str = ENDPOINT) -> tuple[dict[str, Fact], list[Exchange]]:
    async def go() -> tuple[dict[str, Fact], tuple[Exchange, ...]]:
        return await oauth.Discovery(network, 2.0).facts(endpoint, named, nothing)

    facts, exchanges = anyio.run(go)
    return facts, list(exchanges)


def resolving(addresses: dict[str, str]) -> Callable[..., Any]:
    def look_up(host: str, port: int, **_: object) -> list[Any]:
        if host not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses[host], port))]

    return look_up


ANY = "0.0.0.0"  # noqa: S104  # nothing listens here
HARMFUL = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/latest/",
    "https://[::ffff:169.254.169.254]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://127.0.0.1:8443/",
    "https://localhost/",
    "https://10.0.0.8/x",
    "https://192.168.1.1/x",
    "https://100.64.0.1/x",
    f"https://{ANY}/x",
    "https://[::1]/x",
    "https://inside.example/x",
    "https://2130706433/x",
    "http://outside.example/x",
    "https://user:secret@outside.example/x",
    "https://outside.example\\@169.254.169.254/x",
    "ftp://outside.example/x",
    "file:///etc/passwd",
    "gopher://outside.example/x",
    "//outside.example/x",
    "https://",
    "not a url",
]


@pytest.mark.parametrize("url", HARMFUL)
def test_an_address_that_is_not_public_is_not_asked(url: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"inside.example": "10.1.2.3", "localhost": "127.0.0.1", "2130706433": "127.0.0.1"}
    literal = {one: one for one in ("169.254.169.254", "127.0.0.1", "10.0.0.8", "192.168.1.1", "100.64.0.1", ANY)}
    six = {one: one for one in ("fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::1")}
    monkeypatch.setattr(socket, "getaddrinfo", resolving({**names, **literal, **six}))
    connected: list[str] = []
    monkeypatch.setattr(oauth, "_get", lambda _, target: connected.append(str(target)))
    facts, exchanges = asked(network_of(lab, sealed=False), url)
    assert (facts["metadata_harmful"], connected, exchanges) == (True, [], [])
    assert "secret" not in repr(facts)


def test_a_name_that_leads_nowhere_is_not_looked_up_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> None:
        asked_for.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    facts, exchanges = asked(network_of(lab, sealed=False), "https://rebinding.example/x")
    assert (facts["metadata_problem"], exchanges, asked_for) == ("its name does not resolve", [], ["rebinding.example"])


def test_a_name_behind_a_proxy_is_not_asked(lab: Lab) -> None:
    network = network_of(lab, sealed=False, environ={"HTTPS_PROXY": "http://127.0.0.1:9"})
    facts, exchanges = asked(network, "https://outside.example/x")
    assert (facts["metadata_harmful"], exchanges) == (True, [])
    assert "an HTTP proxy stands between" in str(facts["metadata_problem"])


def test_a_server_on_this_machine_may_name_this_machine(lab: Lab) -> None:
    endpoint = f"{lab.http}/fault/auth/metadata-html/mcp"
    named = f"{lab.http}/.well-known/oauth-protected-resource/fault/healthy/bearer/mcp"
    facts, exchanges = asked(Network(context=network_of(lab).context), named, endpoint)
    assert facts["oauth_issuer"] == f"{lab.http}/login"
    assert [one.status for one in exchanges] == [200, 200]
    harmful, none = asked(Network(context=network_of(lab).context), "http://169.254.169.254/x", endpoint)
    assert (harmful["metadata_harmful"], none) == (True, [])


def test_where_nothing_is_named_the_well_known_addresses_are_asked(lab: Lab) -> None:
    facts, exchanges = asked(network_of(lab), None, FAULTS["healthy/bearer"].url())
    assert [one.url for one in exchanges] == [
        "https://lab.test/.well-known/oauth-protected-resource/fault/healthy/bearer/mcp",
        "https://login.lab.test/.well-known/oauth-authorization-server",
    ]
    assert (facts["resource_matches"], facts["issuer_matches"], facts["registers"], facts["pkce_named"]) == (True,) * 4


def test_a_few_requests_to_a_server_are_enough(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[httpx.Request] = []
    real = RecordingTransport.handle_async_request

    async def watched(transport: RecordingTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return await real(transport, request)

    monkeypatch.setattr(RecordingTransport, "handle_async_request", watched)
    faults = ("no-registration", "other-issuer", "metadata-html", "no-challenge")
    token = tokens.mint(logins.AUDIENCE, valid_s=3600)
    examine(
        *(FAULTS[f"auth/{name}"].url() for name in faults),
        credentials=("none", f"bearer:{VARIABLE}"),
        environ={VARIABLE: token + "x"},
    )
    asked_for = [one for one in sent if "/.well-known/" in one.url.path]
    hosts = [one.url.host for one in asked_for]
    assert {host: hosts.count(host) for host in hosts} == {"lab.test": 4, "login.lab.test": 2}
    for one in asked_for:
        assert (one.method, one.headers["accept"]) == ("GET", "application/json")
        assert set(one.headers) == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize(
    ("resource", "endpoint", "covers"),
    [
        ("https://h/mcp", "https://h/mcp", True),
        ("https://h/mcp", "https://h/mcp/", True),
        ("https://h/mcp", "https://h/mcp?oauth=initialize", True),
        ("https://h", "https://h/mcp", True),
        ("https://H:443/mcp", "https://h/mcp", True),
        ("https://h/mc", "https://h/mcp", False),
        ("https://h/mcp/x", "https://h/mcp", False),
        ("http://h/mcp", "https://h/mcp", False),
        ("https://x/mcp", "https://h/mcp", False),
        ("https://[", "https://h/mcp", False),
    ],
)
def test_a_resource_stands_for_an_endpoint_as_the_sdks_judge_it(resource: str, endpoint: str, covers: bool) -> None:
    assert oauth.covers(resource, endpoint) is covers


@pytest.mark.parametrize(
    ("issuer", "addresses"),
    [
        (
            "https://i/",
            ["https://i/.well-known/oauth-authorization-server", "https://i/.well-known/openid-configuration"],
        ),
        (
            "https://i/pool",
            [
                "https://i/.well-known/oauth-authorization-server/pool",
                "https://i/.well-known/openid-configuration/pool",
                "https://i/pool/.well-known/openid-configuration",
            ],
        ),
        ("https://i/pool/.well-known/openid-configuration", ["https://i/pool/.well-known/openid-configuration"]),
    ],
)
def test_the_metadata_of_an_issuer_is_where_the_standards_put_it(issuer: str, addresses: list[str]) -> None:
    assert oauth.server_addresses(issuer) == addresses


@pytest.mark.parametrize(
    ("body", "status", "kind", "problem"),
    [
        (b"{}", 200, "application/json", ""),
        (b"{}", 404, "application/json", "HTTP 404"),
        (b"<html>", 200, "text/html", "a web page"),
        (b"  <!DOCTYPE html>", 500, "", "HTTP 500 and a web page"),
        (b"[1]", 200, "application/json", "JSON that is no object"),
        (b"[" * 60_000, 200, "application/json", "something that is no JSON"),
        (b" " * 70_000, 200, "application/json", "more than 64 KiB"),
    ],
)
def test_what_is_no_metadata_is_named(body: bytes, status: int, kind: str, problem: str) -> None:
    assert oauth._read(body, status, kind)[1] == problem


def test_metadata_that_makes_no_sense_harms_nothing() -> None:
    facts = oauth.resource_facts({"resource": 3, "authorization_servers": "x", "scopes_supported": [1]}, ENDPOINT)
    assert facts == {"metadata_found": False, "metadata_problem": "it names no resource"}
    server = oauth.server_facts(oauth.Document(url="https://i", content={"issuer": 4}), "https://i")
    assert (server["issuer_matches"], server["server_issuer"]) == (False, "none")
