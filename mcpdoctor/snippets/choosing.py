"""Which configuration a snippet is made of: from the catalogue, or from what a report says is best."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.proxies import LOCAL
from mcpdoctor.credentials import check_reference, profile_of
from mcpdoctor.endpoints import host_of, nearest_region
from mcpdoctor.matrix import Axes, Cell, expand
from mcpdoctor.model import UNSIGNED, Configuration, Report, Unusable
from mcpdoctor.redaction import clean

DEFAULT_TARGET = "aws-mcp"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST = 2000


def from_catalogue(
    target: str,
    catalogue: Catalogue,
    *,
    region: str | None = None,
    service: str | None = None,
    credential: str | None = None,
    home_region: Callable[[], str | None] = lambda: None,
) -> Configuration:
    """The configuration with which a target works, by what is known of it.

    Args:
        target: a name of the catalogue, or a URL.
        catalogue: the endpoints there are.
        region: the region to sign for, and of the endpoint where its URL has one.
        service: the SigV4 service to sign for.
        credential: a credential reference.
        home_region: asked for the region the user works in, where nothing else tells one.

    Raises:
        Unusable: there is no such target, or it would not work like that.
    """
    axes = Axes(
        regions=(region,) if region else (),
        services=(service,) if service else (),
        credentials=(credential,) if credential else (),
    )
    template = catalogue.endpoints[target].url if target in catalogue.endpoints else target
    open_region = "{region}" in template and not region
    cell = expand((target,), axes, catalogue, home_region=home_region() if open_region else None).cells[0]
    _check_known(cell, credential, catalogue)
    return usable(cell.configuration)


def from_report(report: Report, target: str | None) -> Configuration:
    """What a report says is best.

    Args:
        report: a report of `mcpdoctor check`.
        target: as the report names it; None for the usual one, or the only one.

    Raises:
        Unusable: the report has nothing that works for it.
    """
    best = {one.target: one.configuration for one in report.best}
    if not best:
        raise Unusable("No configuration of the report works; its findings say what to change first.")
    if target is None:
        target = DEFAULT_TARGET if DEFAULT_TARGET in best or len(best) > 1 else next(iter(best))
    if target not in best:
        raise Unusable(f"The report has nothing that works for {_shown(target)}; it has: {_shown(', '.join(best))}.")
    return usable(best[target])


def usable(configuration: Configuration) -> Configuration:
    """Return a configuration if it can stand in a file: complete, and without anything secret.

    Raises:
        Unusable: it cannot.
    """
    from mcpdoctor.probes import url_problem

    endpoint = configuration.endpoint
    problem = url_problem(endpoint)
    if problem is not None:
        raise Unusable(f"{_shown(endpoint)} is not the URL of an MCP endpoint: {problem}.")
    if len(endpoint) > _LONGEST or clean(endpoint, limit=_LONGEST) != endpoint:
        raise Unusable("The URL holds what looks like a secret, or is too long; a snippet holds no secrets.")
    if urlsplit(endpoint).scheme == "http" and host_of(endpoint) not in LOCAL:
        raise Unusable(f"{endpoint} is not encrypted; write https://. Plain http is for servers on this machine.")
    check_reference(configuration.credential)
    if configuration.bearer:
        raise Unusable(
            "A snippet holds no bearer token, and how a client takes one differs; see the manual of the client."
        )
    if not configuration.signed:
        return configuration
    for option, value in (("--service", configuration.service), ("--region", configuration.region)):
        if not value:
            raise Unusable(f"Nothing says which {option[2:]} to sign for at {endpoint}; add {option} NAME.")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value):
            raise Unusable(f"{_shown(value)!r} is no {option[2:]}; write lower-case letters, digits and hyphens.")
    profile = profile_of(configuration.credential)
    if profile is not None and (not profile.isprintable() or profile.startswith("-") or profile != profile.strip()):
        raise Unusable("The name of the profile cannot be one: it begins with a hyphen, or holds what is not printed.")
    if profile is not None and clean(profile) != profile:
        raise Unusable("The name of the profile looks like a secret; a snippet holds no secrets. Name a profile.")
    return configuration


def server_name(given: str | None, configuration: Configuration, catalogue: Catalogue) -> str:
    """What the server is called in the client: as given, as the catalogue calls it, or after its host.

    Raises:
        Unusable: clients do not take such a name.
    """
    if given is not None:
        if not _NAME.fullmatch(given):
            raise Unusable("A server's name is made of letters, digits, hyphens and underscores, 64 at most.")
        return given
    match = catalogue.match(configuration.endpoint)
    if match is not None:
        return match.endpoint.name
    label = configuration.endpoint.split("://", 1)[-1].split("/", 1)[0].split(".", 1)[0]
    return label if _NAME.fullmatch(label) and not label.isdigit() else "mcp-server"


def _check_known(cell: Cell, credential: str | None, catalogue: Catalogue) -> None:
    """Refuse what is known not to work."""
    endpoint, one = cell.endpoint, cell.configuration
    if endpoint is None:
        return
    if "sigv4" not in endpoint.auth and (credential not in (None, UNSIGNED) or one.service):
        raise Unusable(f"{endpoint.title} takes no signature; leave out --profile, --credential and --service.")
    match = catalogue.match(one.endpoint)
    region = match.region if match else None
    if region and endpoint.regions and region not in endpoint.regions:
        raise Unusable(
            f"{endpoint.title} has no endpoint in {region}; use {nearest_region(region, endpoint.regions)}. "
            f"It exists in {', '.join(endpoint.regions)}, and works on resources of any region."
        )
    if not endpoint.yours and (urlsplit(one.endpoint).path or "/") != (urlsplit(endpoint.url).path or "/"):
        right = endpoint.url_for(region) if region else endpoint.url
        raise Unusable(f"{endpoint.title} is not at {_shown(one.endpoint)}; write {right}.")
    if not one.signed:
        if not endpoint.yours and "none" not in endpoint.auth:
            raise Unusable(f"{endpoint.title} answers signed requests only; leave out --credential none.")
        return
    if region and one.region != region:
        raise Unusable(f"{one.endpoint} is in {region}: that is what has to be signed for, not {one.region}.")
    if endpoint.service and one.service != endpoint.service:
        raise Unusable(
            f"{endpoint.title} takes signatures for service {endpoint.service}: --service is the signing name of the "
            "endpoint, not the AWS service that you want to use. Leave it out."
        )


def _shown(text: str) -> str:
    return clean(text, limit=300)
