"""Which HTTP proxy the environment prescribes, read as httpx reads it, and what is wrong with the variables.

Nothing is sent. httpx (and so the MCP client) reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, lower-case
names first, and refuses to start over some values that other programs take.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import httpx

from mcpdoctor.redaction import clean

_SCHEMES = ("http", "https", "socks5", "socks5h")
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The proxy for one URL.

    Attributes:
        url: with its scheme, user and password included; None for a direct connection.
        variable: the environment variable that names it, as it is written there; empty for a direct connection.
        problem: what keeps a client with httpx from using these variables, as a sentence; None where nothing does.
        note: what is odd about `NO_PROXY`, for somebody who thought that it covers the host; empty where nothing is.
    """

    url: str | None = None
    variable: str = ""
    problem: str | None = None
    note: str = ""


def choose(environ: Mapping[str, str], url: str) -> Choice:
    """The proxy that the environment prescribes for `url`."""
    split = urlsplit(url)
    host, variables = (split.hostname or "").lower(), _variables(environ)
    name, exceptions = variables.get("no", ("NO_PROXY", ""))
    problem = next((f"{name} {said}" for entry in _entries(exceptions) if (said := _unreadable(entry))), None)
    variable, proxy = variables.get(split.scheme) or variables.get("all") or ("", "")
    if problem is None:
        # httpx makes a connection for every variable when it starts, not only for the one that a URL needs.
        read = [variables[scheme] for scheme in ("http", "https", "all") if scheme in variables]
        told = ((one, _unusable(value, used=one == variable)) for one, value in read)
        problem = next((f"{one} {said}" for one, said in told if said), None)
    if not proxy or any(_covers(entry, host, split.scheme, _port(url)) for entry in _entries(exceptions)):
        return Choice(problem=problem)
    return Choice(
        url=proxy if "://" in proxy else f"http://{proxy}",
        variable=variable,
        problem=problem,
        note=" ".join(f" {name} {said}." for entry in _entries(exceptions) if (said := _missed(entry, host))),
    )


def shown(proxy: str) -> str:
    """A proxy without user and password."""
    try:
        return clean(str(httpx.URL(proxy).copy_with(userinfo=b"")), limit=200)
    except httpx.InvalidURL:
        return "a proxy whose URL cannot be read"


def _variables(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name and value of `https_proxy` and its like, by scheme; the lower-case name wins, even where it is empty."""
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(environ, key=str.islower):
        if name.lower().endswith("_proxy"):
            found[name.lower().removesuffix("_proxy")] = (name, environ[name])
    return {scheme: one for scheme, one in found.items() if one[1]}


def _entries(exceptions: str) -> Iterator[str]:
    return (entry for part in exceptions.split(",") if (entry := part.strip()))


def _pattern(entry: str) -> str:
    """What httpx makes of an entry of `NO_PROXY` (httpx 0.27 and 0.28, `get_environment_proxies`)."""
    if "://" in entry:
        return entry
    try:
        version = ipaddress.ip_address(entry.partition("/")[0]).version
    except ValueError:
        return f"all://{entry}" if entry.lower() == "localhost" else f"all://*{entry}"
    return f"all://{entry}" if version == 4 else f"all://[{entry}]"


def _unreadable(entry: str) -> str | None:
    """Why httpx stops at an entry of `NO_PROXY`; None where it does not."""
    if entry == "*":
        return None
    try:
        httpx.URL(_pattern(entry))
    except httpx.InvalidURL as error:
        said = clean(str(error), limit=_SHOWN)
        return f"holds {_shown(entry)}, at which httpx stops when it starts (InvalidURL: {said}): leave that entry out"
    return None


def _unusable(value: str, *, used: bool) -> str | None:
    """Why httpx cannot use the value of a proxy variable; None where it can.

    Args:
        value: of the variable.
        used: whether it is the one for the URL; of the others only that counts at which httpx stops when it starts.
    """
    if "://" in value and value[0] in " \t\"'":
        return "begins with a blank or a quotation mark"
    if used and re.match(r"(?i)https?(//|:/[^/])", value):
        return f"is no URL of a proxy ({_shown(value)}): write http://HOST:PORT"
    try:
        url = httpx.URL(value if "://" in value else f"http://{value}")
    except httpx.InvalidURL:
        # What httpx takes for the port may be a password.
        special = "; in a user name or password, / and # are written %2F and %23" if "@" in value else ""
        return f"is no URL of a proxy: write http://HOST:PORT{special}"
    if url.scheme not in _SCHEMES:
        return f"says {clean(url.scheme, limit=20)}://, and httpx knows only {', '.join(_SCHEMES)}"
    if used and not url.host:
        return "names no host: write http://HOST:PORT"
    if url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        return (
            "names a SOCKS proxy, for which httpx needs the package socksio: install httpx[socks] beside the client, "
            "or use an http:// proxy"
        )
    return None


def _covers(entry: str, host: str, scheme: str, port: int | None) -> bool:
    """Whether httpx connects directly because of an entry of `NO_PROXY`."""
    if entry == "*":
        return True
    try:
        url = httpx.URL(_pattern(entry))
    except httpx.InvalidURL:
        return False
    if (url.scheme not in ("all", scheme, "")) or (url.port is not None and url.port != port):
        return False
    name = url.host.lower()
    if not name:
        return False
    if name.startswith("*."):
        return host.endswith(name[1:]) and len(host) > len(name) - 1
    if name.startswith("*"):
        return host == name[1:] or host.endswith(f".{name[1:]}")
    return host == name


def _missed(entry: str, host: str) -> str | None:
    """How an entry that does not cover `host` looks as if it did; None where it does not."""
    parts = [part for part in re.split(r"[\s;|]+", entry) if part]
    if len(parts) > 1 and any(_covers(part, host, "https", None) for part in parts):
        return f"separates its entries by something else than commas ({_shown(entry)}), so none of them counts"
    if "*" in entry and fnmatchcase(host, entry.lower()):
        return f"holds {_shown(entry)}, which matches nothing: write {_shown(entry.replace('*', '').lstrip('.'))}"
    bare, _, port = entry.rpartition(":")
    if bare.strip(":") and port.isdigit() and _covers(bare, host, "https", None):
        return f"holds {_shown(entry)}, which does not count with a port: write {_shown(bare)}"
    if "/" in entry and "://" not in entry:
        try:
            inside = ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return None
        return f"holds {_shown(entry)}, and httpx takes no networks: write the address itself" if inside else None
    return None


def _port(url: str) -> int | None:
    """The port of a URL; None for that of its scheme, as httpx has it."""
    try:
        return httpx.URL(url).port
    except httpx.InvalidURL:
        return None


def _shown(text: str) -> str:
    # A password may stand before the @ of anything that was meant as a URL.
    return clean(re.sub(r"^.*@", "***@", text), limit=_SHOWN)
