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


def authority() -> trustme.CA:
    """Make a new certificate authority; nobody but this run of the lab ever sees its key."""
    import trustme

    return trustme.CA(organization_name="mcpdoctor lab (throw-away)")


def context(ca: trustme.CA, names: Iterable[str], *, hello: Callable[[str], None]) -> ssl.SSLContext:
    """Make the TLS context of the lab.

    Args:
        ca: The authority clients are told to trust.
        names: The names served with a good certificate.
        hello: Called with the name each client asks for ("" when it names none), before its handshake is answered.

    Returns:
        A server context that answers each name with its certificate: good ones for `names`; for the three names above
        one of another authority, one that ran out a day ago, and one for another name.
    """
    good = _context(ca.issue_cert(*names, "127.0.0.1", "localhost"))
    special = {
        UNTRUSTED: _context(authority().issue_cert(UNTRUSTED)),
        EXPIRED: _context(ca.issue_cert(EXPIRED, not_after=datetime.now(UTC) - timedelta(days=1))),
        WRONG_NAME: _context(ca.issue_cert("another-name.lab.test")),
    }

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        hello(name or "")
        connection.context = special.get(name or "", good)

    good.sni_callback = choose
    return good


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_alpn_protocols(["http/1.1"])
    certificate.configure_cert(made)
    return made
