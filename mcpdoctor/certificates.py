"""Who issued the certificate that a host shows, who should have, and which variables say whom to trust.

A certificate that was not accepted is read in a second handshake, without verification, and nothing is sent after it.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from mcpdoctor import catalogue
from mcpdoctor.model import Fact
from mcpdoctor.network import Network, port_of
from mcpdoctor.redaction import clean

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

OF_HTTPX = ("SSL_CERT_FILE", "SSL_CERT_DIR")
OF_BOTOCORE = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
OF_NODE = ("NODE_EXTRA_CA_CERTS",)
IGNORED = ("PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE")
"""Variables that name authorities to trust, by who reads them; httpx and botocore read none of the last ones."""

FILE = "authorities.toml"

_SHOWN_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An entry of `checks/authorities.toml`.

    Attributes:
        name: of the entry.
        title: how people call it.
        issuer: a regular expression for the name of the issuer in a certificate.
        hosts: ends of the host names whose certificates it issues.
        inspects: whether it signs for any host, to open the encryption.
        refer: where this is published.
    """

    name: str
    title: str
    issuer: str
    hosts: tuple[str, ...] = ()
    inspects: bool = False
    refer: str = ""


class _SeenEnough(Exception):
    """The certificate is in hand; nothing is to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A certificate that a host showed, whether or not it is accepted.

    Attributes:
        issuer: organization of its issuer, else its name.
        issuer_name: the same with both.
        names: of the hosts that it is for.
        starts: from when it is valid.
        ends: until when.
        self_signed: whether it was issued by itself.
    """

    issuer: str
    issuer_name: str
    names: tuple[str, ...]
    starts: datetime
    ends: datetime
    self_signed: bool


async def shown(network: Network, url: str, proxy: str | None, address: str | None) -> Shown | None:
    """Read the certificate of a host without accepting it, over a new connection; None where there is none to read.

    Args:
        network: of the run.
        url: where the handshake failed.
        proxy: the HTTP proxy on the way.
        address: the address that took the connection before.

    Raises:
        httpx.TransportError: the handshake fails without verification too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    found: list[bytes] = []
    streams: list[Any] = []

    async def trace(name: str, info: Mapping[str, Any]) -> None:
        if name == "connection.connect_tcp.complete":
            streams.append(info["return_value"])
        if name == ("proxy" if proxy else "connection") + ".start_tls.complete":
            stream = info["return_value"]
            streams.append(stream)
            tls = stream.get_extra_info("ssl_object")
            found.append(tls.getpeercert(binary_form=True) or b"")
            raise _SeenEnough

    target = httpx.URL(url)
    extensions: dict[str, Any] = {"trace": trace}
    if proxy is None:
        targets = network.targets(target.host, port_of(url))
        to, port = next((one for one in targets if one[0] == address), targets[0])
        extensions["sni_hostname"] = target.raw_host.decode("ascii")
        target = target.copy_with(host=to, port=port)
    transport = httpx.AsyncHTTPTransport(verify=context, proxy=proxy, trust_env=False)
    try:
        await transport.handle_async_request(httpx.Request("HEAD", target, extensions=extensions))
    except _SeenEnough:
        return read(found[0]) if found[0] else None
    finally:
        for stream in reversed(streams):
            await stream.aclose()
        await transport.aclose()
    return None


def read(certificate: bytes) -> Shown | None:
    """Read a certificate in DER; None for one that cannot be read."""
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(certificate)
        issuer, subject = found.issuer, found.subject
        names = _names(found)
    except ValueError:
        return None
    return Shown(
        issuer=_organization(issuer),
        issuer_name=" / ".join(dict.fromkeys(filter(None, (_part(issuer, "O"), _part(issuer, "CN"))))) or "nobody",
        names=names,
        starts=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
        self_signed=issuer == subject,
    )


def authorities(path: Path | None = None) -> tuple[Authority, ...]:
    """What `checks/authorities.toml` holds.

    Raises:
        Unusable: it is not of the form of `Authority`.
    """
    return catalogue.entries(path or catalogue.locate() / FILE, Authority)


def facts_of(certificate: Shown, host: str, *, routed: bool, trusted: Collection[str], at: datetime) -> dict[str, Fact]:
    """What a certificate that was not accepted tells.

    Args:
        certificate: as shown.
        host: that it was shown for.
        routed: whether the user chose another address for the host; then no middlebox is to blame.
        trusted: organizations of the authorities that are trusted here.
        at: the time of this machine.
    """
    known = authorities()
    issuer = certificate.issuer_name
    due = next((one for one in known if any(_ends(host, end) for end in one.hosts)), None)
    inspector = next((one for one in known if one.inspects and re.search(one.issuer, issuer)), None)
    as_due = due is not None and re.search(due.issuer, issuer) is not None
    recognised = not certificate.self_signed and certificate.issuer in trusted
    more = len(certificate.names) - _SHOWN_NAMES
    return {
        "certificate_issuer": issuer,
        "certificate_names": (", ".join(certificate.names[:_SHOWN_NAMES]) or "no host")
        + (f" and {more} more" if more > 0 else ""),
        "certificate_starts": f"{certificate.starts:%Y-%m-%d %H:%M} UTC",
        "certificate_ends": f"{certificate.ends:%Y-%m-%d %H:%M} UTC",
        "certificate_expected": due.title if due else "a public authority",
        "certificate_self_signed": certificate.self_signed,
        "certificate_state": "early" if at < certificate.starts else "late" if at > certificate.ends else "valid",
        "chain_incomplete": recognised and not inspector,
        "issuer_note": " That is the right authority for this host; those that this machine trusts lack it."
        if as_due and not recognised
        else "",
        "intercepted": not routed and (inspector is not None or (due is not None and not as_due)),
        "inspector_note": f", which is {inspector.title}" if inspector and inspector.title not in issuer else "",
    }


def foreign(issuer: str, host: str) -> bool | None:
    """Whether somebody else than usual issued a certificate that is accepted; None where nobody is known for `host`."""
    due = next((one for one in authorities() if any(_ends(host, end) for end in one.hosts)), None)
    return None if due is None else re.search(due.issuer, issuer) is None


def _ends(host: str, end: str) -> bool:
    host = host.rstrip(".").lower()
    return host == end or host.endswith(f".{end}")


def organizations(context: ssl.SSLContext) -> frozenset[str]:
    """Organizations of the authorities that a context trusts, as far as they are loaded."""
    subjects: Iterable[Any] = (one.get("subject", ()) for one in context.get_ca_certs())
    pairs = (pair for subject in subjects for part in subject for pair in part)
    return frozenset(str(value) for key, value in pairs if key == "organizationName")


def fatal(environ: Mapping[str, str]) -> str | None:
    """Why httpx cannot even make a connection ready with these variables, as half a sentence; None where it can."""
    return _problem("SSL_CERT_FILE", environ["SSL_CERT_FILE"]) if environ.get("SSL_CERT_FILE") else None


def variables(environ: Mapping[str, str]) -> dict[str, Fact]:
    """Which of the variables that name authorities are set, and what is wrong with those that httpx reads."""
    every = (*OF_HTTPX, *OF_BOTOCORE, *OF_NODE, *IGNORED)
    present = tuple(name for name in every if environ.get(name))
    unread = ", ".join(name for name in present if name not in OF_HTTPX)
    facts: dict[str, Fact] = {
        "ca_variables": present,
        "ca_note": f" Set here, and not read by httpx: {unread}." if unread else "",
    }
    read = next((name for name in OF_HTTPX if name in present), None)  # httpx reads the directory only without the file
    problem = _problem(read, environ[read]) if read else None
    if problem:
        facts |= {"ca_problem": problem, "ca_broken": True}
    return facts


def _problem(name: str, value: str) -> str | None:
    """What keeps a variable from naming any authority, as half a sentence; None where nothing does."""
    path, place = Path(value), clean(value, limit=200)
    if name == "SSL_CERT_DIR":
        directories = [Path(one) for one in value.split(os.pathsep) if one]
        if not any(one.is_dir() for one in directories):
            return f"{name} names {place}, and there is no such directory"
        hashed = any(
            one.name[:8].isalnum() and one.suffix[1:].isdigit() for each in directories for one in _files(each)
        )
        return None if hashed else f"{name} names {place}, which holds no certificate by its hash (see openssl rehash)"
    if not path.exists():
        return f"{name} names {place}, and there is no such file"
    if path.is_dir():
        return f"{name} names {place}, which is a directory (for one there is SSL_CERT_DIR)"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except ssl.SSLError:
        return f"{name} names {place}, which holds no certificate in PEM"
    except OSError as error:
        return f"{name} names {place}, which cannot be read ({error.strerror})"
    return None


def _files(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        named = [_part(certificate.subject, "CN")]
    else:
        value = extension.value
        named = [
            *value.get_values_for_type(x509.DNSName),
            *(str(one) for one in value.get_values_for_type(x509.IPAddress)),
        ]
    return tuple(clean(name, limit=100) for name in named if name)


def _organization(name: Name) -> str:
    return _part(name, "O") or _part(name, "CN")


def _part(name: Name, which: str) -> str:
    from cryptography.x509.oid import NameOID

    oid = {"O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}[which]
    return next((clean(str(one.value), limit=100) for one in name.get_attributes_for_oid(oid)), "")
