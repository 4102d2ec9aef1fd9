"""The settings of HTTP proxies are read as the client reads them, and what is wrong with them is said."""

from __future__ import annotations

import os
from collections.abc import Mapping

import httpx
import pytest

from mcpdoctor.http_proxies import choose, shown

URL = "https://mcp.api.example/mcp"
PROXY = "http://proxy.example:8080"

EXCEPTIONS = (
    *("", "*", "*.api.example", "mcp.api.example other.example", "localhost, api.example", "10.0.0.0/8", "10.1.2.3"),
    *("::1", ".api.example", "api.example", "i.example", "api.example:443", "api.example:8443", "MCP.API.EXAMPLE"),
    *("https://mcp.api.example", "http://mcp.api.example", "other,mcp.api.example", "[::1]", "::1/128", "fd00::/8"),
)
URLS = (
    URL,
    "https://mcp.api.example:8443/mcp",
    "https://mcp.api.example:443/",
    "https://10.1.2.3/",
    "https://[::1]:8/",
    "http://localhost:8000/",
)


def of_httpx(url: str) -> str | None:
    """The proxy that httpx takes; `!` where it does not even start."""
    try:
        with httpx.Client() as client:
            taken = client._transport_for_url(httpx.URL(url))
            if taken is client._transport:
                return None
            return bytes(taken._pool._proxy_url).decode().rstrip("/")  # type: ignore[attr-defined]  # nothing public says
    except (httpx.InvalidURL, ValueError, ImportError):
        return "!"


@pytest.mark.parametrize("exceptions", EXCEPTIONS)
def test_the_environment_is_read_as_httpx_reads_it(exceptions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HTTPS_PROXY": PROXY, "all_proxy": "http://all.example:1", "NO_PROXY": exceptions}.items():
        monkeypatch.setenv(name, value)
    for url in URLS:
        choice = choose(os.environ, url)
        assert ("!" if choice.problem else choice.url) == of_httpx(url), url


@pytest.mark.parametrize(
    "value",
    [
        *("proxy.example:8080", PROXY, "socks4://p:1", "socks5://p:1", " http://p:1", '"http://p:1"', "ftp://p:1"),
        *("http://p:port", "http://user:pa#ss@p:1", "http://user:pa/ss@p:1", "http://user:p%23ss@p:1"),
    ],
)
def test_a_proxy_with_which_httpx_does_not_start_is_known(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert (of_httpx(URL) == "!") is (choose(os.environ, URL).problem is not None)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({"HTTPS_PROXY": PROXY}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": PROXY}, "https_proxy"),
        ({"ALL_PROXY": PROXY, "HTTP_PROXY": "http://plain:1"}, "ALL_PROXY"),
        ({"HTTP_PROXY": PROXY}, ""),
        ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, ""),
    ],
)
def test_the_variable_that_counts_is_named(environ: Mapping[str, str], variable: str) -> None:
    choice = choose(environ, URL)
    assert (choice.variable, choice.url, choice.problem) == (variable, PROXY if variable else None, None)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("http//proxy.example:8080", "is no URL of a proxy (http//proxy.example:8080): write http://HOST:PORT"),
        ("http:/proxy.example:8080", "is no URL of a proxy (http:/proxy.example:8080): write http://HOST:PORT"),
        ("socks4://p:1", "says socks4://, and httpx knows only http, https, socks5, socks5h"),
        (" http://p:1", "begins with a blank or a quotation mark"),
        ("http://", "names no host: write http://HOST:PORT"),
        ("http://p:port", "is no URL of a proxy: write http://HOST:PORT"),
    ],
)
def test_what_is_wrong_with_a_proxy_is_said(value: str, problem: str) -> None:
    assert choose({"https_proxy": value}, URL).problem == f"https_proxy {problem}"


def test_a_socks_proxy_needs_a_package() -> None:
    said = choose({"HTTPS_PROXY": "socks5://p:1"}, URL).problem
    assert said is None or "socksio" in said


@pytest.mark.parametrize(
    "value",
    [
        "http://user:hunter2",
        "http://user:hunter2/secret@p:1",
        "http://user:hunter2#secret@p:1",
        "http//user:hunter2secret@p:1",
    ],
)
def test_a_password_is_never_shown(value: str) -> None:
    choice = choose({"HTTPS_PROXY": value, "NO_PROXY": "user:hunter2@mcp.api.example:443"}, URL)
    assert choice.problem is not None
    assert "hunter2" not in choice.problem + choice.note


@pytest.mark.parametrize(
    ("exceptions", "note"),
    [
        ("*.api.example", " NO_PROXY holds *.api.example, which matches nothing: write api.example."),
        (
            "localhost mcp.api.example",
            " NO_PROXY separates its entries by something else than commas (localhost mcp.api.example), so none of "
            "them counts.",
        ),
        ("api.example:443", " NO_PROXY holds api.example:443, which does not count with a port: write api.example."),
        ("other.example,localhost", ""),
        ("10.0.0.0/8", ""),
    ],
)
def test_an_exception_that_looks_as_if_it_counted_is_named(exceptions: str, note: str) -> None:
    choice = choose({"HTTPS_PROXY": PROXY, "NO_PROXY": exceptions}, URL)
    assert (choice.url, choice.note) == (PROXY, note)


def test_a_network_is_no_exception() -> None:
    note = choose({"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3/mcp").note
    assert note == " NO_PROXY holds 10.0.0.0/8, and httpx takes no networks: write the address itself."


@pytest.mark.parametrize("proxy", ["http://user:hunter2@p:1", "http://user:hun@ter2@p:1", "http://us er:hunter2@p:1"])
def test_a_proxy_is_shown_without_what_opens_it(proxy: str) -> None:
    assert shown(proxy) in ("http://p:1", "a proxy whose URL cannot be read")


def test_an_exception_at_which_httpx_stops_counts_without_any_proxy() -> None:
    problem = choose({"no_proxy": "localhost,::1/128"}, URL).problem
    assert problem is not None
    assert problem.startswith("no_proxy holds ::1/128, at which httpx stops when it starts (InvalidURL: ")
