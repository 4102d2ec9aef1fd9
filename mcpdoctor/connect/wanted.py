"""What a user wants to connect to, and what that means: which endpoint, signed how, and what stands in for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from mcpdoctor.model import UNSIGNED, Unusable

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.endpoints import Endpoint
    from mcpdoctor.matrix import Cell


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _text(name: str, value: object) -> None:
    """Refuse what is no text. The value is not shown: it may be a key that was put into the wrong place.

    Raises:
        Unusable: it is something else, or empty.
    """
    if not isinstance(value, str):
        raise Unusable(f"{name} must be text, and is of type {type(value).__name__}.")
    if not value.strip():
        raise Unusable(f"{name} is empty; leave it out, or give a value.")


def _seconds(name: str, value: object) -> None:
    """Refuse what is no time to wait: nothing can be done in 0 s, and it would look like a failure of the server."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise Unusable(f"{name} must be a number of seconds, more than 0.")


def _header(name: object, value: object) -> None:
    """Refuse what cannot be a header; the client would fail on it somewhere below.

    Raises:
        Unusable: name or value cannot be sent.
    """
    if not isinstance(name, str) or not _HEADER.fullmatch(name):
        raise Unusable("headers has a name that no HTTP header can have: letters, digits and - make one.")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or value != value.strip():
        raise Unusable(
            f"The value of the header {name} cannot be sent: it must be ASCII text on one line, no blanks around it."
        )


# Without repr: a URL and a reference may hold a secret that was put into the wrong place.
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Wanted:
    """What was asked for.

    Attributes:
        target: name of the catalogue, or URL.
        url: where the target answers; None for the URL of the catalogue.
        region: None leaves it to the catalogue and to the settings of the user.
        service: None leaves it to the catalogue.
        credential: a reference; None leaves it to the catalogue.
        headers: HTTP headers to add; their values are secrets.
        fallback: whether the catalogue's stand-in may be used; or name or URL of another one.
        timeout_s: seconds for connecting, and for finding the credentials.
        read_timeout_s: seconds that an answer may take.
        prefer_signed: whether the endpoint that the target stands in for is to be used where it works.

    Raises:
        Unusable: a value is of a wrong type, empty, or nothing that can be sent.
    """

    target: str
    url: str | None = None
    region: str | None = None
    service: str | None = None
    credential: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fallback: bool | str | None = False
    timeout_s: float = 30.0
    read_timeout_s: float = 300.0
    prefer_signed: bool = False

    def __post_init__(self) -> None:
        """Refuse here, where the program's own line is in the traceback, what would fail somewhere below."""
        _text("The name or URL of the endpoint", self.target)
        for name in ("url", "region", "service", "credential"):
            if (value := getattr(self, name)) is not None:
                _text(name, value)
        if self.fallback is not None and not isinstance(self.fallback, bool):
            _text("fallback", self.fallback)
        _seconds("timeout", self.timeout_s)
        _seconds("read_timeout", self.read_timeout_s)
        for header in self.headers.items():
            _header(*header)

    @staticmethod
    def reference(profile: str | None, credential: str | None) -> str | None:
        """The credential reference that `profile` and `credential` make.

        Raises:
            Unusable: both are given, or the profile has no name.
        """
        if profile is not None:
            _text("profile", profile)
        if profile is not None and credential is not None:
            raise Unusable("Give profile or credential, not both: profile='dev' is credential='profile:dev'.")
        return credential if profile is None else f"profile:{profile}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What that means.

    Attributes:
        cell: the endpoint to use, and how.
        title: what the endpoint is called.
        stand_in: what to use, unsigned, where the credential does not work; None for nothing.
        stand_in_title: what that is called.
        lost: tools that were wanted and that the stand-in does not have.
        catalogue: the checks.
    """

    cell: Cell
    title: str
    stand_in: Cell | None
    stand_in_title: str
    lost: tuple[str, ...]
    catalogue: Catalogue


@cache
def _catalogue() -> Catalogue:
    from mcpdoctor.catalogue import load

    return load()


def choose(wanted: Wanted) -> Choice:
    """Look it up in the catalogue and in the AWS settings of the user. Reads files; sends nothing.

    Raises:
        Unusable: there is no such target, or nothing says which service signs for it.
    """
    from mcpdoctor.credentials import check_reference

    catalogue = _catalogue()
    if wanted.credential is not None:
        check_reference(wanted.credential)
    named = catalogue.endpoints.get(wanted.target)
    meant, fallback = named, wanted.fallback
    if named is not None and wanted.prefer_signed and wanted.credential != UNSIGNED:
        meant = next((catalogue.endpoints[one] for one in named.fallback_for), named)
        fallback = named.name if fallback is True else fallback
    cell = _cell(wanted, meant, catalogue)
    stand_in = _stand_in(meant, cell, fallback, catalogue)
    there = stand_in.endpoint if stand_in is not None else None
    return Choice(
        cell=cell,
        title=meant.title if meant is not None else cell.configuration.endpoint,
        stand_in=stand_in,
        stand_in_title=f"the unauthenticated {there.title}" if there is not None else "the fallback",
        lost=() if wanted.prefer_signed else _lost(meant, there),
        catalogue=catalogue,
    )


def _cell(wanted: Wanted, meant: Endpoint | None, catalogue: Catalogue) -> Cell:
    """The one configuration that is meant."""
    from mcpdoctor import matrix
    from mcpdoctor.credentials import environment_region
    from mcpdoctor.endpoints import nearest_region

    home = wanted.region or environment_region(os.environ) or matrix.DEFAULT_REGION
    region, service, credential = wanted.region, wanted.service, wanted.credential
    if meant is not None and wanted.url is not None:
        # The URL may say nothing about region and service; the target does.
        region = region or nearest_region(home, meant.regions)
        service = service or meant.service
        credential = credential or ("default" if meant.signs else UNSIGNED)
    axes = matrix.Axes(
        regions=(region,) if region is not None else (),
        services=(service,) if service is not None else (),
        credentials=(credential,) if credential is not None else (),
    )
    target = wanted.url or (meant.name if meant is not None else wanted.target)
    plan = matrix.expand([target], axes, catalogue, home_region=home, headers=wanted.headers)
    return plan.cells[0]


def _stand_in(meant: Endpoint | None, cell: Cell, fallback: bool | str | None, catalogue: Catalogue) -> Cell | None:
    from mcpdoctor import matrix

    if not fallback or not cell.configuration.signed:
        return None
    known = [one.name for one in catalogue.endpoints.values() if meant is not None and meant.name in one.fallback_for]
    target = known[0] if fallback is True and known else fallback
    if not isinstance(target, str):
        raise Unusable(
            f"Nothing is known to stand in for {cell.configuration.endpoint}; give fallback= the URL of an endpoint "
            "that needs no signature, or leave it out."
        )
    plan = matrix.expand([target], matrix.Axes(credentials=(UNSIGNED,)), catalogue)
    found = plan.cells[0]
    if found.endpoint is not None and UNSIGNED not in found.endpoint.auth:
        raise Unusable(f"{found.endpoint.title} takes no unsigned requests, so it cannot be a fallback.")
    return found


def _lost(meant: Endpoint | None, there: Endpoint | None) -> tuple[str, ...]:
    """Tools of the one that the other is not known to have."""
    if meant is None or there is None:
        return ()
    has = set(there.tools.unsigned)
    return tuple(one for one in (*meant.tools.unsigned, *meant.tools.signed) if one not in has)
