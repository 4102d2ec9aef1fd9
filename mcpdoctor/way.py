"""Stages dns, tcp and tls: the name, the connection, and what both alone do not show.

That is how proxy settings are wrong, whose certificate was shown, and what came that is no HTTP.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import anyio
import httpx

from mcpdoctor import certificates, http_proxies
from mcpdoctor.failures import Chain
from mcpdoctor.http_proxies import Choice
from mcpdoctor.model import Fact, Stage, Trace, Verdict
from mcpdoctor.network import Network, port_of
from mcpdoctor.redaction import clean
from mcpdoctor.threads import in_thread
from mcpdoctor.transcript import FALLBACK_S, Transcript

_READ = ("untrusted", "expired", "wrong-name")
_UNREAD: dict[str, Fact] = {
    "certificate_issuer": "an authority that could not be read",
    "certificate_names": "names that could not be read",
    "certificate_ends": "a date that could not be read",
    "issuer_note": "",
}

# What OpenSSL says, and what it comes down to; the first that is found counts.
_TLS_FAULTS = (
    ("expired", r"certificate has expired|certificate is not yet valid"),
    ("wrong-name", r"[Hh]ostname mismatch|IP address mismatch|doesn't match"),
    ("untrusted", r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"),
    ("not-tls", r"(?i)WRONG.VERSION.NUMBER|HTTP_REQUEST|RECORD.LAYER.FAILURE|UNKNOWN_PROTOCOL|PACKET_LENGTH"),
    ("cut", r"EOF|ECONNRESET|EndOfStream|BrokenResource|ConnectionReset|EPIPE|Connection reset"),
)


_ADDRESSES = {
    "blocked": "an address of this machine itself, by which a DNS filter or an entry in the hosts file blocks a name",
    "private": "an address of a private network, which is that of a VPC endpoint, or of something that answers in its "
    "place (a DNS filter, the login page of a guest network)",
}

# What h11 says of an answer that ends too soon; all else that it refuses is broken HTTP.
_CUT = re.compile(r"Server disconnected|peer (?:unexpectedly )?closed connection|incomplete chunked read")


def unusable(choice: Choice) -> tuple[Trace, Trace]:
    """Stages dns and tcp where the settings of the proxy keep the client from starting; nothing was sent."""
    facts: dict[str, Fact] = {"proxy": True, "proxy_unusable": True, "proxy_problem": choice.problem}
    return (
        Trace(stage=Stage.DNS, verdict=Verdict.SKIPPED, reason="the settings of the HTTP proxy cannot be used"),
        Trace(stage=Stage.TCP, verdict=Verdict.FAILED, facts=facts),
    )


def proxy_facts(choice: Choice) -> dict[str, Fact]:
    """Which variable names the proxy, and what is odd about the exceptions to it."""
    if choice.url is None:
        return {}
    hop = f" The requests go through the HTTP proxy {http_proxies.shown(choice.url)} ({choice.variable})."
    return {"proxy_variable": choice.variable, "no_proxy_note": choice.note, "hop_note": hop}


async def closer(
    tls: Trace,
    network: Network,
    url: str,
    *,
    proxy: str | None,
    address: str | None,
    environ: Mapping[str, str],
    timeout_s: float,
) -> Trace:
    """A trace of stage tls, with what can be learned of the certificate.

    Of a handshake that failed over the certificate, that takes one connection more, over which nothing is sent.

    Args:
        tls: the trace as the handshake left it.
        network: of the run.
        url: of the endpoint.
        proxy: the HTTP proxy on the way.
        address: the address that took the connection.
        environ: environment variables of the user.
        timeout_s: deadline of the further handshake, in seconds.
    """
    host = urlsplit(url).hostname or ""
    routed = network.route(host, port_of(url)) is not None
    if tls.verdict is Verdict.PASSED:
        issuer = tls.facts.get("certificate_issuer")
        found = certificates.foreign(str(issuer), host) if issuer and not routed else None
        facts: dict[str, Fact] = {} if found is None else {"certificate_foreign": found}
        if network.ca_problem is None:
            return replace(tls, facts={**tls.facts, **facts})
        # Only mcpdoctor got here: the client cannot even load what the variable names.
        facts |= {"ca_note": "", **certificates.variables(environ)}
        facts |= {"ca_problem": network.ca_problem, "ca_broken": True}
        return replace(tls, verdict=Verdict.FAILED, facts={**tls.facts, **facts})
    if tls.verdict is not Verdict.FAILED or tls.facts.get("tls_fault") not in _READ:
        return tls
    facts = {**_UNREAD, **certificates.variables(environ)}
    if network.ca_problem is not None:
        facts |= {"ca_problem": network.ca_problem, "ca_broken": True}
    started, shown = time.perf_counter(), None
    with suppress(httpx.TransportError, OSError), anyio.fail_after(timeout_s):
        shown = await certificates.shown(network, url, proxy, address)
    if shown is not None:
        trusted = certificates.organizations(network.context)
        facts |= certificates.facts_of(shown, host, routed=routed, trusted=trusted, at=datetime.now(UTC))
    took = round(time.perf_counter() - started, 6)
    return replace(tls, elapsed_s=tls.elapsed_s + took, facts={**tls.facts, **facts})


# dns ------------------------------------------------------------------------------------------------------------------


async def look_up(network: Network, host: str, port: int, *, public: bool = False) -> dict[str, Fact]:
    """Resolve the name. Raises socket.gaierror.

    Args:
        network: of the run.
        host: the name.
        port: of the URL.
        public: whether the host is known to have addresses that anybody can reach.
    """
    addresses = await in_thread(lambda: network.look_up(host, port))
    routed = network.route(host, port) is not None
    families = tuple(dict.fromkeys("IPv6" if ":" in one else "IPv4" for one in addresses))
    facts: dict[str, Fact] = {"addresses": addresses, "routed": routed, "families": families}
    if public and not routed:
        kinds = {_kind(one) for one in addresses}
        kind = facts["address_kind"] = kinds.pop() if len(kinds) == 1 else "mixed"
        facts["address_note"] = _ADDRESSES.get(kind, "")
    return facts


def _kind(address: str) -> str:
    """`blocked` for an address that stands for this machine or none, `private`, or `public`."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if found.is_loopback or found.is_unspecified:
        return "blocked"
    return "public" if found.is_global else "private"


# tcp and tls ----------------------------------------------------------------------------------------------------------


def connection(
    transcript: Transcript, failures: tuple[Chain, ...], proxy: str | None, *, url: str = ""
) -> tuple[Trace, Trace]:
    """Stages tcp and tls, read off the connection events of the first request to a host.

    Args:
        transcript: of that request.
        failures: what it raised.
        proxy: the HTTP proxy it went through.
        url: where it went, for a request that left no exchange.
    """
    https = urlsplit(url or next((one.url for one in transcript.exchanges), "")).scheme != "http"
    events = transcript.events
    ended = {event for event, (_, end) in events.items() if end is not None and event not in transcript.failed}
    facts: dict[str, Fact] = {
        "address": transcript.address,
        "proxy": proxy is not None,
        "proxy_url": http_proxies.shown(proxy) if proxy else None,
        "unanswered": tuple(transcript.unanswered),
        "fallback_s": round(sum(transcript.unanswered.values()), 1),
        "ipv6_silent": _ipv6_silent(transcript),
    }
    tunnel_failed = proxy is not None and https and not transcript.tunnelled and bool(failures)
    if "connect_tcp" not in ended or tunnel_failed:
        if "connect_tcp" in ended:
            facts |= _proxy_fault(transcript, failures)
        tcp = Trace(stage=Stage.TCP, verdict=Verdict.FAILED, facts=facts, failures=failures)
        return tcp, Trace(stage=Stage.TLS, verdict=Verdict.BLOCKED, reason="tcp failed")
    tcp = Trace(
        stage=Stage.TCP, verdict=Verdict.PASSED, facts=facts, elapsed_s=round(transcript.seconds("connect_tcp"), 6)
    )
    if not https:
        return tcp, Trace(stage=Stage.TLS, verdict=Verdict.SKIPPED, reason="plain http has no TLS")
    if "start_tls" not in ended:
        return tcp, Trace(stage=Stage.TLS, verdict=Verdict.FAILED, facts=tls_fault(failures), failures=failures)
    return tcp, Trace(
        stage=Stage.TLS,
        verdict=Verdict.PASSED,
        facts=dict(transcript.peer),
        elapsed_s=round(transcript.seconds("start_tls"), 6),
    )


def _ipv6_silent(transcript: Transcript) -> bool:
    """Whether IPv6 was tried and said nothing, and IPv4 took the connection; one refused at once costs nothing."""
    connected = transcript.address is not None and ":" not in transcript.address
    return connected and any(":" in one and took > FALLBACK_S / 2 for one, took in transcript.unanswered.items())


def _proxy_fault(transcript: Transcript, failures: tuple[Chain, ...]) -> dict[str, Fact]:
    """What an HTTP proxy made of CONNECT: its status, or what it said that is no HTTP."""
    said = next((link.message for chain in failures for link in chain if link.type.endswith("ProxyError")), "")
    if re.match(r"\d{3}\b", said):
        return {"proxy_status": int(said[:3]), "proxy_answer": f"HTTP {said}".strip()}
    if transcript.greeting and not transcript.greeting.startswith(b"HTTP/"):
        return {"proxy_fault": "not-http", "proxy_answer": _seen(transcript.greeting)}
    return {}


def http_fault(transcript: Transcript, failures: tuple[Chain, ...]) -> dict[str, Fact]:
    """How an answer is broken as HTTP: `not-http` for another protocol, `malformed`; nothing where it is not."""
    if not failures:
        return {}
    if not b"HTTP/".startswith(transcript.greeting.lstrip(b"\r\n")[:5]):
        return {"http_fault": "not-http", "http_seen": _seen(transcript.greeting)}
    said = next((one.message for chain in failures for one in chain if one.type.endswith("RemoteProtocolError")), "")
    if not said or _CUT.search(said):
        return {}
    return {"http_fault": "malformed", "http_seen": clean(said, limit=200)}


def _seen(greeting: bytes) -> str:
    """The beginning of what came, for people."""
    line = next(iter(greeting.decode("ascii", errors="replace").split("\n")), "").strip()
    return clean(line, limit=60) if re.search(r"[ -~]{4}", line) else "bytes that are no text"


def tls_fault(failures: tuple[Chain, ...]) -> dict[str, Fact]:
    """What kind of TLS failure the chains tell of, and OpenSSL's own words."""
    links = [link for chain in failures for link in chain]
    text = " ".join(f"{link.type} {link.errno or ''} {link.message}" for link in links)
    if re.search(r"Timeout", text):
        return {}
    fault = next((name for name, pattern in _TLS_FAULTS if re.search(pattern, text)), "other")
    words = max((link.message for link in links if "SSL" in link.type or "SSL" in link.message), key=len, default="")
    return {"tls_fault": fault, "tls_problem": re.sub(r"\s*\(_ssl\.c:\d+\)", "", words) or "no reason given"}
