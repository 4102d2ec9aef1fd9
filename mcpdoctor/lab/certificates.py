"""Certificates from throw-away authorities, chosen by the name a client asks for (SNI).

The private keys live in memory and in files that are removed at once: `ssl` can load a key from a file only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme

UNTRUSTED = "untrusted.lab.test"
EXPIRED = "expired.lab.test"
WRONG_NAME = "wrong-name.lab.test"
EARLY = "early.lab.test"
SELF_SIGNED = "self-signed.lab.test"
INCOMPLETE = "incomplete.lab.test"


def authority(organization: str = "mcpdoctor lab (throw-away)") -> trustme.CA:
    """Make a new certificate authority; nobody but this run of the lab ever sees its key."""
    import trustme

    return trustme.CA(organization_name=organization)


def _middle(ca: trustme.CA) -> trustme.CA:
    import trustme

    return trustme.CA(parent_cert=ca, path_length=0, organization_name="mcpdoctor lab (throw-away)")


def context(ca: trustme.CA, names: Iterable[str], *, hello: Callable[[str], None]) -> ssl.SSLContext:
    """Make the TLS context of the lab.

    Args:
        ca: The authority clients are told to trust.
        names: The names served with a good certificate.
        hello: Called with the name each client asks for ("" when it names none), before its handshake is answered.

    Returns:
        A server context that answers each name with its certificate: good ones for `names`; for the names above one of
        another authority, one that ran out a day ago, one for another name, one that is valid from tomorrow on, one
        that signed itself, and one without the authority in the middle that issued it.
    """
    now = datetime.now(UTC)
    good = _context(ca.issue_cert(*names, "127.0.0.1", "localhost"))
    special = {
        UNTRUSTED: _context(authority("An authority that nobody knows").issue_cert(UNTRUSTED)),
        EXPIRED: _context(ca.issue_cert(EXPIRED, not_after=now - timedelta(days=1))),
        WRONG_NAME: _context(ca.issue_cert("another-name.lab.test")),
        EARLY: _made(EARLY, starts=now + timedelta(days=1), by=ca),
        SELF_SIGNED: _made(SELF_SIGNED, starts=now - timedelta(days=1)),
        INCOMPLETE: _context(_middle(ca).issue_cert(INCOMPLETE), whole=False),
    }

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        hello(name or "")
        connection.context = special.get(name or "", good)

    good.sni_callback = choose
    return good


def opening(ca: trustme.CA, names: Iterable[str]) -> ssl.SSLContext:
    """Make the TLS context of a proxy that opens the encryption with an authority of its own."""
    return _context(ca.issue_cert(*names))


def _context(certificate: trustme.LeafCert, *, whole: bool = True) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(["http/1.1"])
    if whole:
        certificate.configure_cert(made)
    else:
        with certificate.private_key_pem.tempfile() as key, certificate.cert_chain_pems[0].tempfile() as leaf:
            made.load_cert_chain(leaf, key)
    return made


def _made(name: str, *, starts: datetime, by: trustme.CA | None = None) -> ssl.SSLContext:
    """A certificate that trustme does not make: signed by itself, or one that is not valid yet."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
    from trustme import Blob

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = who, key
    if by is not None:
        issuer = x509.load_pem_x509_certificate(by.cert_pem.bytes()).subject
        loaded = serialization.load_pem_private_key(by.private_key_pem.bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)  # noqa: S101 - what trustme makes
        signing = loaded
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=who,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=starts,
        not_valid_after=starts + timedelta(days=30),
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    pem = builder.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(["http/1.1"])
    with Blob(secret + pem).tempfile() as both:
        made.load_cert_chain(both)
    return made
