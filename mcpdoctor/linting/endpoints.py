"""What is odd about a URL and the signature for it, compared with the endpoints of the catalogue.

A host that is not in the catalogue is somebody's own: nothing is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from urllib.parse import urlsplit

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.known import Transport
from mcpdoctor.clients.proxies import How
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.endpoints import REGION, Endpoint, Match, host_of, is_loopback, meant_path, nearest_region
from mcpdoctor.inference import guess, why_given
from mcpdoctor.linting.edits import replaced
from mcpdoctor.linting.subjects import Subject, unsigned
from mcpdoctor.model import Fact

_OAUTH = re.compile(r"(?i)(?:^|&)oauth=")
_NAME = re.compile(r"{(\w+)}")
_PLACEHOLDER = re.compile(r"(?i)[<{\[]{1,2}[\w -]{1,40}[>}\]]{1,2}|(?:your|my|aws)?[-_]?region")
_NEAR = 0.8
_NEAREST = 0.91
"""Words as near as me-central and eu-central may both exist."""


def problems(subject: Subject, catalogue: Catalogue) -> Iterator[Problem]:
    """What is odd about the endpoint of a server."""
    endpoint = subject.endpoint
    if endpoint is None or not host_of(endpoint.text):
        return
    match = catalogue.owner(endpoint.text)
    other = catalogue.not_mcp(endpoint.text)
    if other is not None:
        facts: dict[str, Fact] = {"host_is": other.title, "use_instead": catalogue.instead(other, endpoint.text)}
        yield Problem(kind="host-not-mcp", at=endpoint.at, facts=facts)
        return
    if match is None:
        yield from _unknown_host(endpoint, catalogue)
        return
    yield from _scheme(endpoint)
    yield from _region_of_host(endpoint, match, catalogue)
    yield from _path(endpoint, match, catalogue)
    if subject.signs:
        yield from _service(subject, endpoint, match)
        yield from _region(subject, endpoint, match)
    elif subject.signs is False and not match.endpoint.yours:
        yield from _without_signature(subject, endpoint, match)
    if subject.server.transport is Transport.SSE and not match.endpoint.yours:
        yield Problem(kind="transport-of-old-protocol", at=endpoint.at)


def _unknown_host(endpoint: Word, catalogue: Catalogue) -> Iterator[Problem]:
    """A host under a domain of AWS that does not exist, and is near to one that does."""
    name = host_of(endpoint.text)
    near: tuple[str, ...] = ()
    for one in catalogue.endpoints.values():
        if any(re.fullmatch(_fitting(template), name) for template in one.mistaken):
            near = catalogue.suggest(endpoint.text)
            break
        near = near or _misspelt(name, one, catalogue)
    if near:
        yield Problem(kind="host-unknown", at=endpoint.at, facts={"suggested": near[0]})


def _fitting(template: str) -> str:
    return "[a-z0-9-]+".join(re.escape(part) for part in _NAME.split(template)[::2])


def _misspelt(name: str, endpoint: Endpoint, catalogue: Catalogue) -> tuple[str, ...]:
    """The URL of an endpoint whose host differs from `name` in its first word, or in a region that is none."""
    labels, theirs = name.split("."), urlsplit(endpoint.url).netloc.split(".")
    if len(labels) != len(theirs) or labels[-2:] != theirs[-2:] or theirs[0].startswith("{"):
        return ()
    if not get_close_matches(labels[0], [theirs[0]], cutoff=_NEAR):
        return ()
    filled = []
    for mine, other in zip(labels, theirs, strict=True):
        meant = other if other != "{region}" else _region_meant(mine, endpoint, catalogue)
        if meant is None or (other not in ("{region}", mine) and mine != labels[0]):
            return ()
        filled.append(meant)
    url = urlsplit(endpoint.url)._replace(netloc=".".join(filled)).geturl()
    return (url,) if catalogue.match(url) else ()


def _region_meant(label: str, endpoint: Endpoint, catalogue: Catalogue) -> str | None:
    """The region that a word stands for: itself, what it is a typing error of, or any for a name in braces."""
    if re.fullmatch(REGION, label):
        return label
    if _PLACEHOLDER.fullmatch(label):
        return next(iter(endpoint.regions), "us-east-1")
    return next(iter(get_close_matches(label, sorted(_regions(catalogue)), n=1, cutoff=_NEAR)), None)


def _regions(catalogue: Catalogue) -> set[str]:
    return {region for one in catalogue.endpoints.values() for region in one.regions}


def _scheme(endpoint: Word) -> Iterator[Problem]:
    scheme = urlsplit(endpoint.text).scheme.lower()
    if scheme == "http" and not is_loopback(host_of(endpoint.text)):
        better = "https" + endpoint.text[len(scheme) :]
        edits = replaced(endpoint.at, endpoint.text, better)
        yield Problem(kind="endpoint-not-encrypted", at=endpoint.at, facts={"suggested": better}, edits=edits)


def _region_of_host(endpoint: Word, match: Match, catalogue: Catalogue) -> Iterator[Problem]:
    regions = match.endpoint.regions
    if match.region is None or match.region in regions:
        return
    if not regions:  # nobody published where it exists; a part of the world that is misspelt is none all the same
        known = {one.rpartition("-")[0]: one for one in sorted(_regions(catalogue), reverse=True)}
        area, _, number = match.region.rpartition("-")
        near = get_close_matches(area, known, n=1, cutoff=_NEAREST) if area not in known else []
        if near:
            better = endpoint.text.replace(match.region, f"{near[0]}-{number}", 1)
            yield Problem(kind="host-unknown", at=endpoint.at, facts={"suggested": better})
        return
    nearest = nearest_region(match.region, regions)
    facts: dict[str, Fact] = {
        "region": match.region,
        "regions": regions,
        "title": match.endpoint.title,
        "suggested": match.endpoint.url_for(nearest),
    }
    yield Problem(kind="region-without-endpoint", at=endpoint.at, facts=facts)


def _path(endpoint: Word, match: Match, catalogue: Catalogue) -> Iterator[Problem]:
    """A path that leads elsewhere; what follows the path stays."""
    split = urlsplit(endpoint.text)
    wanted, kind = meant_path(split.path, urlsplit(match.endpoint.url).path)
    if kind is None:
        return
    better = split._replace(path=wanted).geturl()
    facts: dict[str, Fact] = {"path": split.path or "/", "wanted": wanted, "suggested": better}
    facts["title"] = match.endpoint.title
    edits = replaced(endpoint.at, endpoint.text, better)
    if others := catalogue.neighbours(endpoint.text):  # which of them is meant, nobody can tell from here
        paths = [urlsplit(one).path for one in others]
        facts |= {"suggested": f"{others[0]} (or {', '.join(paths[1:])})", "wanted": " or ".join(paths)}
        facts["title"], edits = "This host", ()
    yield Problem(kind=kind, at=endpoint.at, facts=facts, edits=edits)


def _service(subject: Subject, endpoint: Word, match: Match) -> Iterator[Problem]:
    service, wanted = subject.service, match.endpoint.service
    if wanted is None:
        skips = subject.reach.proxy is not None and subject.reach.proxy.skips_auth
        if "none" in match.endpoint.auth and not skips:
            yield Problem(kind="signed-needlessly", at=endpoint.at, facts={"title": match.endpoint.title})
        return
    if service is None or service.value is None or not service.certain:
        return
    facts: dict[str, Fact] = {"service": service.value, "expected_service": wanted, "how": service.how.value}
    why = why_given(endpoint.text, wanted, match.region) if service.how is How.HOST else None
    facts["guess_note"] = f" {why}" if why else ""
    at = service.at or endpoint.at
    if service.value != wanted:
        fixed = replaced(at, service.value, wanted) if service.how is How.GIVEN else ()
        yield Problem(kind="service-differs", at=at, facts=facts, edits=fixed)
    elif (
        service.how is How.GIVEN
        and subject.reach.proxy is not None
        and not (match.endpoint.names_service or match.endpoint.yours)
        and guess(endpoint.text)[0] == wanted
    ):
        yield Problem(kind="service-needless", at=at, facts=facts)


def _region(subject: Subject, endpoint: Word, match: Match) -> Iterator[Problem]:
    region = subject.region
    if region is None or region.value is None or not region.certain or match.region in (None, region.value):
        return
    at = region.at or endpoint.at
    facts: dict[str, Fact] = {"region": region.value, "expected_region": match.region, "how": region.how.value}
    fixed = replaced(at, region.value, match.region or "") if region.how is How.GIVEN else ()
    yield Problem(kind="region-differs", at=at, facts=facts, edits=fixed)


def _without_signature(subject: Subject, endpoint: Word, match: Match) -> Iterator[Problem]:
    accepted, server = match.endpoint.auth, subject.server
    facts: dict[str, Fact] = {"title": match.endpoint.title, "service": match.endpoint.service or ""}
    authorized = any(name.casefold() == "authorization" for name in server.headers) or _has_token(subject)
    if authorized:
        if "sigv4" in accepted and "bearer" not in accepted:
            yield Problem(kind="bearer-not-taken", at=endpoint.at, facts=facts)
        return
    if subject.usage is not None and not unsigned(subject):
        return
    if "bearer" not in accepted and "none" not in accepted:
        yield Problem(kind="not-signed", at=endpoint.at, facts=facts)
    elif "sigv4" in accepted and "none" in accepted and not _OAUTH.search(urlsplit(endpoint.text).query):
        anonymous = server.client.anonymous or subject.usage is not None
        if anonymous and subject.reach.launch is None:
            yield Problem(kind="anonymous", at=endpoint.at, facts=facts)


def _has_token(subject: Subject) -> bool:
    """Whether an entry names where a token or an own way to sign in comes from."""
    entry = subject.server.entry
    keys = ("bearer_token_env_var", "env_http_headers", "headersHelper", "oauth", "auth", "authProviderType", "apiKey")
    members = getattr(entry, "members", ())
    return any(one.name in keys for one in members)
