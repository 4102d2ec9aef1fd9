"""Stage parse: what the URL and the catalogue tell. Nothing is sent."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit, urlunsplit

import httpx

from mcpdoctor.bearer import sent_facts
from mcpdoctor.bodies import MAX_BODY
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.endpoints import RIGHT_HOST, Endpoint, host_of, is_loopback
from mcpdoctor.installed import version
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Fact, Stage, Trace, Verdict
from mcpdoctor.network import port_of
from mcpdoctor.redaction import clean

_PROFILE_OPTION = re.compile(r"--profile[= ]\s*([\w.@+/-]{1,100})")
_REGION_IN_URL = re.compile(r"(?<![a-z0-9])([a-z]{2}(?:-[a-z]+)+-\d)(?![a-z0-9])")


def parse(cell: Cell, catalogue: Catalogue, *, deadline_s: float) -> Trace:
    """Judge the URL, and note what the catalogue knows of it. Nothing is sent."""
    url = cell.configuration.endpoint
    starts = cell.facts.get("proxy_starts") is not False
    if (cell.start is None and not starts) or (cell.start is not None and not url):
        # What the command is, only starting it tells; where it may not be started, reading its arguments does.
        verdict = Verdict.PASSED if cell.start else Verdict.FAILED
        return Trace(stage=Stage.PARSE, verdict=verdict, facts={**cell.facts, "deadline_s": deadline_s})
    problem = url_problem(url)
    facts: dict[str, Fact] = {
        "url_valid": problem is None,
        "not_mcp": False,
        "deadline_s": deadline_s,
        "max_body_mib": MAX_BODY // 2**20,
        "mcp_version": version("mcp"),
        "sigv4_known": bool(cell.endpoint and "sigv4" in cell.endpoint.auth),
        "bearer_known": cell.endpoint is None or cell.endpoint.takes_tokens,
        "yours": cell.endpoint is None or cell.endpoint.yours,
        **sent_facts(cell.headers),
        **cell.facts,
    }
    if problem is not None:
        facts["url_problem"] = problem
        return Trace(stage=Stage.PARSE, verdict=Verdict.FAILED, facts=facts)
    split = urlsplit(url)
    facts["insecure"] = split.scheme == "http" and not is_loopback(split.hostname or "")
    if (split.hostname or "").endswith("."):
        port = f":{split.port}" if split.port else ""
        bare = split._replace(netloc=f"{(split.hostname or '').rstrip('.')}{port}")
        facts |= {"trailing_dot": True, "endpoint_without_dot": urlunsplit(bare)}
    facts["secure_endpoint"] = urlunsplit(split._replace(scheme="https"))
    facts["port"] = port_of(url)
    facts |= _catalogue_facts(cell, catalogue)
    other = catalogue.not_mcp(url)
    if other is not None:
        facts |= {"not_mcp": True, "host_is": other.title, "use_instead": catalogue.instead(other, url)}
    refused = facts["insecure"] or facts["not_mcp"]
    return Trace(stage=Stage.PARSE, verdict=Verdict.FAILED if refused else Verdict.PASSED, facts=facts)


def url_problem(url: str) -> str | None:
    """What keeps `url` from being used, as half a sentence; None for a usable one."""
    if url != url.strip() or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "it holds a space or a control character"
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        return clean(str(error), limit=200)
    if not split.scheme or split.scheme not in ("http", "https"):
        return f"it starts with {split.scheme}:, not with https://" if split.scheme else "it has no https:// in front"
    if not host:
        return "it has no host"
    if split.username or split.password:
        return "it holds a user name or password; MCP servers of AWS take a signature instead"
    if re.search(r"[{}<>]", host):
        return "its host still holds a placeholder"
    labels = [] if ":" in host else host.rstrip(".").split(".")
    if port == 0 or not all(0 < len(label) < 64 for label in labels):
        return "its host or port is not possible"
    return None


def _catalogue_facts(cell: Cell, catalogue: Catalogue) -> dict[str, Fact]:
    configuration, endpoint = cell.configuration, cell.endpoint
    url = configuration.endpoint
    match = catalogue.owner(url)
    in_url = _REGION_IN_URL.search(url)
    region = match.region if match else None
    expected = region or (in_url[1] if in_url else None)
    facts: dict[str, Fact] = {
        "region_known": True,
        "expected_region": expected or "the region that the endpoint is in",
        "anonymous_note": "without any signature",
        "quota_note": "",
        "login_note": f" {endpoint.login_note}" if endpoint and endpoint.login_note else "",
    }
    if expected is not None:
        facts["right_region"] = expected
    suggestions = catalogue.suggest(url)
    if suggestions and match is not None:
        facts["nearest"] = suggestions[0]
    facts["suggestion"] = " or ".join(suggestions) or "the URL from the documentation of the server"
    facts["host_note"] = "AWS runs MCP servers under similar names." if suggestions and not match else ""
    elsewhere = tuple(one for one in suggestions if host_of(one) != host_of(url))
    if elsewhere:
        facts["host_remedy"] = f"Use {_with_titles(elsewhere, catalogue)}."
    elif suggestions:
        facts["host_remedy"] = RIGHT_HOST
    else:
        facts["host_remedy"] = "Check the spelling of the host in the URL."
    facts["region_remedy"] = (
        f'Sign for {expected}: aws_region="{expected}", or --region {expected}.'
        if expected
        else "Sign for the region that the endpoint is in; its owner or its documentation names it."
    )
    facts["path_remedy"] = "Check the path; MCP endpoints of AWS end in /mcp."
    if endpoint is None:
        return facts
    facts |= _wanted(endpoint, cell)
    facts["server"] = endpoint.title
    facts["anonymous_note"] = endpoint.anonymous_note or "without any signature"
    known = None if endpoint.yours else endpoint.url_for(region or "")
    meant = " or ".join(catalogue.neighbours(url)) or catalogue.meant(url) or known
    right = f"Use {meant}." if meant else f"The form is {endpoint.url}."
    facts["path_remedy"] = f"{right} {endpoint.path_note}".rstrip()
    if endpoint.service is not None:
        facts["expected_service"] = endpoint.service
        facts["service_hint"] = endpoint.service
        if configuration.signed:
            facts["service_matches"] = configuration.service == endpoint.service
    if region is not None:
        facts["host_region"] = region
        facts["region_hint"] = region
        facts["region_known"] = not endpoint.regions or region in endpoint.regions
        facts["server_regions"] = ", ".join(endpoint.regions)
        if configuration.signed:
            facts["region_matches"] = configuration.region == region
    per_s = endpoint.quota.signed_per_s if configuration.signed else endpoint.quota.unsigned_per_s
    if per_s is not None and not endpoint.strict:
        facts["quota_note"] = f" (documented: {per_s:g} requests/s {'signed' if configuration.signed else 'unsigned'})"
    return facts


def _wanted(endpoint: Endpoint, cell: Cell) -> dict[str, Fact]:
    """What a server asks of its callers, and whether the cell has it."""
    facts: dict[str, Fact] = {"action_remedy": endpoint.action_remedy(), "hosted": endpoint.hosted}
    sent = {name.casefold() for name in cell.headers}
    missing = next((one for one in endpoint.required_headers if one.name.casefold() not in sent), None)
    facts["header_missing"] = missing is not None
    if missing is not None:
        also = f", or send {missing.meta} in _meta" if missing.meta else ""
        facts |= {"missing_header": missing.name, "header_text": missing.text, "header_also": also}
    named = _PROFILE_OPTION.search(json.dumps(dict(cell.call.arguments))) if cell.call else None
    if named is not None:
        facts["profile_in_call"] = clean(named[1], limit=100)
    facts["names_profile"] = named is not None
    return facts


def _with_titles(urls: tuple[str, ...], catalogue: Catalogue) -> str:
    parts = []
    for url in urls:
        match = catalogue.match(url)
        kind = ("signed" if match.endpoint.service else "unauthenticated") if match else ""
        parts.append(f"{url} ({kind}: {match.endpoint.title})" if match else url)
    return " or ".join(parts)
