"""The lab, "AWS in a box": real MCP servers on loopback that stand in for AWS, and everything that can go wrong.

It binds to 127.0.0.1 only and takes only its own made-up keys. It imports nothing from the rest of mcpdoctor and not
botocore: it is to be a second, independent witness. `docs/lab.md` tells how to use it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from mcpdoctor.lab import accounts, certificates, logins, tokens
from mcpdoctor.lab.doors import Rules
from mcpdoctor.lab.exchange import Seen
from mcpdoctor.lab.faults import FAULTS, Fault
from mcpdoctor.lab.faults import HOST as FAULT_HOST
from mcpdoctor.lab.limiters import Limit, parse_limit
from mcpdoctor.lab.messages import REFUSALS
from mcpdoctor.lab.modes import CURRENT, MODES
from mcpdoctor.lab.providers import ENVIRONMENTS, STS_HOSTS
from mcpdoctor.lab.services import AWS_MCP_REGIONS, SERVICES

if TYPE_CHECKING:
    from mcpdoctor.lab.hosting import Hosting

__all__ = ["FAULTS", "MODES", "Fault", "Lab", "Limit", "Options", "Seen", "parse_limit"]

_NAMES = (
    "lab.test",
    "portal.lab.test",
    logins.HOST,
    *(f"{region}.{logins.SIGN_IN}" for region in AWS_MCP_REGIONS),
    certificates.UNTRUSTED,
    certificates.EXPIRED,
    certificates.WRONG_NAME,
    certificates.EARLY,
    certificates.SELF_SIGNED,
    certificates.INCOMPLETE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the lab behaves.

    Attributes:
        mode: `current`, or a date: `2026-03` (aws-mcp refuses unsigned callers altogether, as it did until July 2026,
            and has the quotas of that time) or `2026-09` (the quotas that are documented now).
        latency_s: Seconds added before every answer.
        noise: The share of requests, from 0 to 1, answered at random with 429 or 503 (half each).
        seed: Makes that randomness repeatable.
        limits: What every server but the faults limits, as `parse_limit` reads it; empty for the defaults: 7 sessions
            for each signed caller of aws-mcp, 4 for each anonymous caller of aws-mcp and of aws-knowledge.
        per: What limits count by: `identity` (callers without a signature by address) or `address`.
        refusal: How a limiter says no: `429`, `503` (as nginx does), `rpc` (200 with a JSON-RPC error; what is no
            JSON-RPC request is neither refused nor counted) or `tool` (200 with a failed tool call; what is no tool
            call is neither refused nor counted).
        retry_after_s: Seconds for the header `Retry-After` of a refusal, rounded up; None for no such header.
        rate_headers: Whether the headers `RateLimit-Policy` and `RateLimit` of every answer state the limits of kind
            `rate`, `window` and `sliding` that bind its caller.
        streams: Whether an open GET stream counts as a request in flight.
        port: The port of plain HTTP; 0 for a free one.
        https_port: The port of TLS; 0 for a free one.
    """

    mode: str = CURRENT
    latency_s: float = 0.0
    noise: float = 0.0
    seed: int = 0
    limits: tuple[str, ...] = ()
    per: str = "identity"
    refusal: str = "429"
    retry_after_s: float | None = None
    rate_headers: bool = False
    streams: bool = False
    port: int = 0
    https_port: int = 0


class Lab:
    """A running lab; a context manager.

    It runs on an event loop of its own in a daemon thread and is ready when `with` enters.

    Args:
        options: How it behaves.

    Attributes:
        env: Environment variables that make an AWS client use the lab's default key, and a good bearer token.
        identities: The same for the other callers: `default`, `session` (temporary), `expired`, `denied`.
        endpoints: URLs by name: `aws-mcp/us-east-1`, `aws-knowledge`, …, and `fault/<stage>/<name>`.
        requests: Every request that came in, oldest first.
        tls_handshakes: How many TLS handshakes were begun, by the name asked for ("" for none).
        tcp_accepts: How many TCP connections were accepted, by port; those of TLS once their handshake is done.

    Raises:
        ValueError: The options make no sense; the message says how to write them.
        OSError: On entering, when a port is taken.
    """

    def __init__(self, options: Options = Options()) -> None:
        if options.mode not in MODES:
            raise ValueError(f"No such mode: {options.mode!r}; use one of {', '.join(MODES)}.")
        if options.per not in {"identity", "address"}:
            raise ValueError(f"Limits cannot count by {options.per!r}; use identity or address.")
        if options.refusal not in REFUSALS:
            raise ValueError(f"No limiter refuses with {options.refusal!r}; use one of {', '.join(REFUSALS)}.")
        if options.retry_after_s is not None and options.retry_after_s < 0:
            raise ValueError(f"Retry-After cannot be less than 0 seconds: {options.retry_after_s}.")
        if not 0 <= options.noise <= 1:
            raise ValueError(f"Noise is a share from 0 to 1, not {options.noise}.")
        if options.latency_s < 0:
            raise ValueError(f"Latency cannot be less than 0 seconds: {options.latency_s}.")
        self.options = options
        self.env = accounts.environment(accounts.DEFAULT)
        self.env[tokens.VARIABLE] = tokens.mint(tokens.SIGN_IN, logins.AUDIENCE)
        self.identities = {name: accounts.environment(key) for name, key in accounts.IDENTITIES.items()}
        self.endpoints = {service.name: service.url for service in SERVICES}
        self.endpoints |= {f"fault/{fault.key}": fault.url() for fault in FAULTS.values()}
        self.tls_handshakes: Counter[str] = Counter()
        self.tcp_accepts: Counter[int] = Counter()
        self.requests: list[Seen] = []
        self._limits = tuple(parse_limit(text) for text in options.limits)
        self._hosting: Hosting | None = None

    def __enter__(self) -> Self:
        """Start serving."""
        from mcpdoctor.lab.app import App
        from mcpdoctor.lab.hosting import Hosting

        if self._hosting is not None:
            raise RuntimeError("This lab is already running; make another one.")
        rules = Rules(
            mode=self.options.mode,
            by_address=self.options.per == "address",
            noise=self.options.noise,
            chance=Random(self.options.seed),  # noqa: S311 - noise, not a secret
            refusal=self.options.refusal,
            retry_after_s=self.options.retry_after_s,
            rate_headers=self.options.rate_headers,
            streams=self.options.streams,
        )
        app = App(rules=rules, limits=self._limits, latency_s=self.options.latency_s)
        app.requests = self.requests
        names = (*dict.fromkeys(service.host for service in SERVICES), *STS_HOSTS, *_NAMES)
        hosting = Hosting(
            app=app,
            names=names,
            port=self.options.port,
            https_port=self.options.https_port,
            hello=lambda name: self.tls_handshakes.update([name]),
            accepted=lambda port: self.tcp_accepts.update([port]),
        )
        hosting.start()
        self._hosting = hosting
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop serving and remove what was written."""
        hosting, self._hosting = self._running, None
        hosting.stop()

    @property
    def http(self) -> str:
        """The base URL of plain HTTP, such as `http://127.0.0.1:8080`."""
        return f"http://127.0.0.1:{self._running.port}"

    @property
    def providers(self) -> dict[str, dict[str, str]]:
        """Environment variables that lead botocore here for keys, by what stands in: `services`, `container`, …."""
        return {
            name: {key: value.replace("{http}", self.http) for key, value in table.items()}
            for name, table in ENVIRONMENTS.items()
        }

    @property
    def https_port(self) -> int:
        """The port of TLS on 127.0.0.1."""
        return self._running.https_port

    @property
    def ca_bundle(self) -> str:
        """Path of a PEM file with the authority to trust; gone when the lab stops."""
        return self._running.ca_bundle

    @property
    def connect_to(self) -> tuple[str, ...]:
        """Where to connect instead of the real names: `HOST:443:127.0.0.1:PORT`, as `curl --connect-to` takes it."""
        hosting = self._running
        ports = {service.host: hosting.https_port for service in SERVICES} | dict.fromkeys(
            (*STS_HOSTS, *_NAMES), hosting.https_port
        )
        ports |= {"plain.lab.test": hosting.port, "refused.lab.test": hosting.refused_port}
        ports |= {"closed.lab.test": hosting.closed_port, "silent.lab.test": hosting.silent_port}
        ports |= {"alert.lab.test": hosting.alert_port, "reset.lab.test": hosting.reset_port}
        return tuple(f"{host}:443:127.0.0.1:{port}" for host, port in ports.items())

    @property
    def proxies(self) -> dict[str, str]:
        """URLs of the HTTP proxies of the lab, by name (see `hops.HOPS`): values for HTTPS_PROXY."""
        return {name: f"http://127.0.0.1:{port}" for name, port in self._running.hop_ports.items()}

    def url(self, name: str) -> str:
        """Where a server or a fault answers: on plain HTTP, for clients that cannot be told to connect elsewhere.

        Args:
            name: a key of `endpoints`; a server without its region is that of us-east-1.

        Raises:
            ValueError: there is no such server or fault; the message names the nearest.
        """
        known = {**{key.removesuffix("/us-east-1"): url for key, url in self.endpoints.items()}, **self.endpoints}
        if name not in known:
            near = get_close_matches(name, known, n=3) or sorted(known)[:3]
            raise ValueError(f"The lab has no {name!r}; there are {', '.join(near)}, … (see Lab.endpoints).")
        return self.plain(known[name]) or known[name]

    def plain(self, url: str) -> str | None:
        """The address on plain HTTP that stands for a URL: for clients that cannot be told to connect elsewhere.

        Args:
            url: of a server that the lab stands in for, or of one of its faults.

        Returns:
            None for a name that the lab does not know, or that has no server on plain HTTP.
        """
        try:
            split = urlsplit(url)
            host = (split.hostname or "").lower()
        except ValueError:
            return None
        if url.startswith(f"{self.http}/"):
            return url
        tail = f"?{split.query}" if split.query else ""
        served = [service for service in SERVICES if service.host == host]
        for service in [one for one in served if split.path in one.paths] or served[:1]:
            path = f"{service.prefix}/mcp" if split.path in service.paths else f"{service.prefix}{split.path}"
            return f"{self.http}{path}{tail}"
        return f"{self.http}{split.path}{tail}" if host == FAULT_HOST else None

    def describe(self) -> dict[str, Any]:
        """What a client needs to know, ready for JSON."""
        return {
            "http": self.http,
            "https_port": self.https_port,
            "ca_bundle": self.ca_bundle,
            "env": self.env,
            "connect_to": list(self.connect_to),
            "proxies": self.proxies,
            "endpoints": self.endpoints,
        }

    @property
    def _running(self) -> Hosting:
        if self._hosting is None:
            raise RuntimeError('The lab is not running; use "with Lab() as lab".')
        return self._hosting
