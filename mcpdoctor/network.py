"""How names become addresses in a run: routes, look-ups made once, HTTP proxies, one TLS context."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from mcpdoctor.http_proxies import Choice, choose
from mcpdoctor.model import Unusable
from mcpdoctor.redaction import clean


@dataclass(frozen=True, slots=True)
class Route:
    """One `--connect-to`: what is meant for `host:port` goes to `to_host:to_port`."""

    host: str
    port: int
    to_host: str
    to_port: int


def parse_route(text: str) -> Route:
    """Read `HOST:PORT:HOST2:PORT2`, as curl's --connect-to writes it (IPv6 addresses in brackets).

    Raises:
        Unusable: it is not of that form.
    """
    found = re.fullmatch(r"(\[[^\]]+\]|[^:\[\]]+):(\d{1,5}):(\[[^\]]+\]|[^:\[\]]+):(\d{1,5})", text)
    if not found or not (0 < int(found[2]) < 65536 and 0 < int(found[4]) < 65536):
        shown = clean(text, limit=100)
        raise Unusable(f"{shown!r} is no route; write HOST:PORT:HOST2:PORT2, such as api.example:443:127.0.0.1:8443.")
    return Route(found[1].strip("[]").lower(), int(found[2]), found[3].strip("[]"), int(found[4]))


@dataclass(slots=True)
class Network:
    """How names become addresses in this run.

    Attributes:
        routes: connect-to; a routed name is not looked up.
        sealed: names without a route do not resolve (the lab: nothing may leave this machine).
        environ: environment variables, for HTTP proxies.
        context: the one TLS context of the run.
        addresses: what was looked up, by host; filled by `look_up`.
        look_ups: names that were really asked for, in order.
        ca_problem: why the client cannot load the authorities that the environment names, as half a sentence; None
            where it can.
        silent: addresses that did not answer while another one of the same host did; they are tried last.
    """

    context: ssl.SSLContext
    routes: Mapping[tuple[str, int], Route] = field(default_factory=dict)
    sealed: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    look_ups: list[str] = field(default_factory=list)
    ca_problem: str | None = None
    silent: set[str] = field(default_factory=set)

    def route(self, host: str, port: int) -> Route | None:
        """The route of a host; a dot at the end of its name says only that the name is whole."""
        return self.routes.get((host.lower().removesuffix("."), port))

    def proxy_choice(self, url: str) -> Choice:
        """What the environment says about a proxy for `url`; nothing of it counts where the way is given (routes)."""
        if self.sealed or self.route(urlsplit(url).hostname or "", port_of(url)) is not None:
            return Choice()
        return choose(self.environ, url)

    def proxy_for(self, url: str) -> str | None:
        """The HTTP proxy that the environment prescribes for `url`, as httpx reads it; None for a direct connection."""
        return self.proxy_choice(url).url

    def look_up(self, host: str, port: int) -> tuple[str, ...]:
        """Addresses of `host`, looked up once in the run. Blocks: callers run it in a thread.

        Raises:
            socket.gaierror: the name does not resolve.
        """
        route = self.route(host, port)
        if route is not None:
            return (route.to_host,)
        if host not in self.addresses:
            if self.sealed and not _is_address(host):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            self.look_ups.append(host)
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self.addresses[host] = tuple(dict.fromkeys(str(address[4][0]) for address in found))
        return self.addresses[host]

    def targets(self, host: str, port: int) -> tuple[tuple[str, int], ...]:
        """Where to connect for `host:port`: the route, else the addresses that the look-up gave.

        The first one of the other family comes second (RFC 8305, section 4), those that are known to be silent last.
        """
        route = self.route(host, port)
        if route is not None:
            return ((route.to_host, route.to_port),)
        found = self.addresses.get(host, (host,))
        other = [address for address in found if (":" in address) != (":" in found[0])][:1]
        ordered = dict.fromkeys((found[0], *other, *found))
        return tuple((address, port) for address in sorted(ordered, key=self.silent.__contains__))


def tls_context(ca_bundle: str | None, *, needed: bool = True) -> ssl.SSLContext:
    """The TLS context of the real client (httpx's, so SSL_CERT_FILE counts), plus the authorities of a bundle.

    Args:
        ca_bundle: path of PEM certificates to trust besides the usual ones.
        needed: whether any URL is https; where none is, no authorities are loaded, and nothing would be trusted.

    Raises:
        Unusable: the bundle cannot be read or holds no certificate.
    """
    if not needed:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        try:
            context = httpx.create_ssl_context()
        except OSError:  # SSL_CERT_FILE names nothing that can be read; the client would end here
            context = httpx.create_ssl_context(trust_env=False)
    if ca_bundle is not None:
        try:
            context.load_verify_locations(ca_bundle)
        except (OSError, ssl.SSLError) as error:
            why = f"not a readable file of PEM certificates ({error.args[-1]})"
            raise Unusable(f"--ca-bundle {ca_bundle}: {why}.") from error
    return context


def port_of(url: str) -> int:
    """The port that `url` names, or that of its scheme."""
    split = urlsplit(url)
    return split.port or (443 if split.scheme == "https" else 80)


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
