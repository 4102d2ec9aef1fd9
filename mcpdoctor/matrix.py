"""What to try, and in which order: a pure function of what the user asked for and of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcpdoctor.addresses import is_arn, kind_of, url_of
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.endpoints import REGION, Endpoint, nearest_region
from mcpdoctor.model import BEARER, UNSIGNED, Cause, Configuration, Fact, Origin, Unusable
from mcpdoctor.suite import Suite, SuiteTarget

DEFAULT_SUITE = "aws-mcp"
DEFAULT_REGION = "us-east-1"
MAX_CELLS = 2000
"""A matrix beyond this is a typing error, not a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What the user gave for each axis; an empty axis is filled from the catalogue."""

    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The tool call of stage `call`, as the user asked for it."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A command to start, as a client would.

    Attributes:
        command: the program and its arguments.
        environ: its whole environment.
        shown: the command as it may be shown, secrets masked.
        cwd: directory to start it in; None for that of the client.
        patience_s: seconds after which the client gives up, as the entry says; None where it says nothing.
        found: where else the program is, should the client not find it.
        secrets: literal secrets of the entry, for masking.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str]
    shown: str = ""
    cwd: str | None = None
    patience_s: float | None = None
    found: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One configuration to try.

    Attributes:
        endpoint: entry of the catalogue that the URL fits; None for a server that AWS does not run.
        call: the tool call that was asked for; None leaves it to the catalogue.
        expected: the cause that a suite expects to see here.
        origin: the entry of a client file, or the line of a suite file, that it was read from.
        skip: why it is not tried; None for one that is.
        facts: what reading the entry found, for stage parse.
        headers: HTTP headers that the entry adds to every request.
        environ: environment of the program that the entry stands for; None for our own.
        optional: whether requests go unsigned where there are no credentials, as `--skip-auth` of the proxy has it.
        start: the command to open MCP through; None for a configuration that is reached by URL.
    """

    target: str
    configuration: Configuration
    endpoint: Endpoint | None = None
    call: Call | None = None
    expected: Cause | None = None
    origin: Origin | None = None
    skip: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] | None = field(default=None, repr=False)
    optional: bool = False
    start: Start | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The matrix, cell by cell, in the order of the report."""

    cells: tuple[Cell, ...]

    def __str__(self) -> str:
        return "\n".join(
            f"{cell.target}: {one.endpoint} region={one.region} service={one.service} credential={one.credential}"
            for cell in self.cells
            for one in [cell.configuration]
        )


def expand(
    targets: Sequence[str],
    axes: Axes,
    catalogue: Catalogue,
    *,
    suite: Suite | None = None,
    call: Call | None = None,
    home_region: str | None = None,
    owned: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Plan:
    """Expand targets x regions x services x credentials.

    Args:
        targets: catalogue names and URLs; `{region}` in a URL expands.
        catalogue: names, regions, services.
        axes: values given by the user; they replace those of the suite.
        suite: lines to try; without targets and suite, the suite `aws-mcp`.
        call: what stage `call` shall call; it replaces that of the suite.
        home_region: the region the user works in; chooses the endpoint where no region was given.
        headers: HTTP headers to send with every request.
        owned: ARNs or ids of servers of the user, for targets that are named by one; without a target, of any kind.

    Raises:
        Unusable: a target is unknown, or nothing says which service signs for it.
    """
    lines = [SuiteTarget(target=target) for target in targets]
    if owned and not (lines or suite):
        lines = [SuiteTarget(target=kind_of(one, catalogue).name) for one in owned]
    elif owned and not any(_owned(line, catalogue) for line in lines):
        known = " or ".join(one.name for one in catalogue.endpoints.values() if one.arn)
        raise Unusable(f"An ARN is for a server of yours; name {known} as the target.")
    if suite is not None:
        lines += suite.targets
    elif not lines:
        lines += catalogue.suites[DEFAULT_SUITE].targets
    cells: dict[tuple[str, Configuration], Cell] = {}
    for line in lines:
        for cell in _cells(_with_axes(line, axes), catalogue, home_region or DEFAULT_REGION, owned):
            mine = call or (Call(tool=line.tool, arguments=line.arguments) if line.tool is not None else None)
            # The same cell twice (a target named twice) would only repeat requests.
            cells.setdefault((cell.target, cell.configuration), replace(cell, call=mine, headers=headers or {}))
        if len(cells) > MAX_CELLS:
            raise Unusable(f"The matrix has more than {MAX_CELLS} configurations; give fewer values to an axis.")
    return Plan(cells=tuple(cells.values()))


def _with_axes(line: SuiteTarget, axes: Axes) -> SuiteTarget:
    return replace(
        line,
        regions=axes.regions or line.regions,
        services=axes.services or line.services,
        credentials=axes.credentials or line.credentials,
    )


def _owned(line: SuiteTarget, catalogue: Catalogue) -> bool:
    named = catalogue.endpoints.get(line.target)
    return named is not None and bool(named.arn)


def _templates(
    line: SuiteTarget, named: Endpoint | None, catalogue: Catalogue, region: str, owned: Sequence[str]
) -> list[str]:
    """The URLs of a target, which may leave the region open; several where several servers were named by it."""
    if is_arn(line.target):
        return [url_of(kind_of(line.target, catalogue), line.target, region, catalogue)]
    if named is None:
        return [line.target]
    if not named.yours:
        return [named.url]
    if named.arn and owned:
        return [url_of(named, one, region, catalogue) for one in owned]
    or_arn = ", or its ARN" if named.arn else ""
    raise Unusable(f"The URL of {named.name} holds a part that only you know; give the whole URL: {named.url}{or_arn}.")


def _cells(line: SuiteTarget, catalogue: Catalogue, home_region: str, owned: Sequence[str]) -> list[Cell]:
    if re.match(r"[a-z]+://[^/?#]*@", line.target, re.IGNORECASE):
        # Refused before anything can show it.
        raise Unusable("A URL that holds a user name or password is not used; AWS takes a signature instead.")
    named = catalogue.endpoints.get(line.target)
    if named is None and not _looks_like_url(line.target):
        known = [name for name, endpoint in catalogue.endpoints.items() if not endpoint.yours or endpoint.arn]
        raise Unusable(unknown_target(line.target, known))
    for given in line.regions:
        if not re.fullmatch(REGION, given):
            raise Unusable(f"{given!r} is no region; write it like us-east-1.")
    region = line.regions[0] if line.regions else home_region
    return [
        cell
        for template in _templates(line, named, catalogue, region, owned)
        for cell in _cells_at(template, line, named, catalogue, home_region)
    ]


def _cells_at(
    template: str, line: SuiteTarget, named: Endpoint | None, catalogue: Catalogue, home_region: str
) -> list[Cell]:
    regions: Sequence[str | None] = line.regions
    if not regions and "{region}" in template:
        matched = named or _endpoint(catalogue, template.replace("{region}", DEFAULT_REGION))
        regions = (nearest_region(home_region, matched.regions if matched else ()),)
    cells: list[Cell] = []
    for region in regions or (None,):
        url = template.replace("{region}", region or "")
        match = catalogue.owner(url)
        endpoint = match.endpoint if match else None
        signing_region = region or (match.region if match else None)
        credentials = _credentials(line, endpoint)
        signs = any(credential != UNSIGNED and not credential.startswith(BEARER) for credential in credentials)
        for service in line.services or (_service(url, endpoint, signs=signs),):
            cells += [
                Cell(
                    target=line.label,
                    endpoint=endpoint,
                    expected=line.expect,
                    configuration=configuration,
                    origin=_origin(line, configuration),
                )
                for credential in credentials
                for configuration in [
                    Configuration(endpoint=url, region=signing_region, service=service, credential=credential)
                ]
            ]
    return cells


def _origin(line: SuiteTarget, configuration: Configuration) -> Origin | None:
    """Where the line stands, with the values that decide what is sent: those that the command line does not replace."""
    if line.origin is None:
        return None
    keys = {
        "target": line.target,
        "regions": configuration.region,
        "services": configuration.service,
        "credentials": configuration.credential,
    }
    written = (line.written.get((key, value)) for key, value in keys.items() if value is not None)
    return replace(line.origin, values=tuple(one for one in written if one is not None))


def _looks_like_url(text: str) -> bool:
    # Anything with a colon, slash or dot was meant as an address; whether it is a usable one, stage `parse` says.
    return bool(re.search(r"[:/.]", text))


def _endpoint(catalogue: Catalogue, url: str) -> Endpoint | None:
    match = catalogue.owner(url)
    return match.endpoint if match else None


def _credentials(line: SuiteTarget, endpoint: Endpoint | None) -> tuple[str, ...]:
    """The credentials to try: those asked for, else what a caller of this endpoint uses."""
    if endpoint is not None and "sigv4" not in endpoint.auth and not line.services:
        # It takes no signature, so that whoever compares it with others need not say so; a token it may take.
        tokens = [one for one in line.credentials if one.startswith(BEARER)] if "bearer" in endpoint.auth else []
        return (*tokens, *[one for one in line.credentials if one == UNSIGNED]) if tokens else (UNSIGNED,)
    if line.credentials:
        return line.credentials
    if endpoint is not None:
        return ("default",) if "sigv4" in endpoint.auth else (UNSIGNED,)
    # A server that AWS does not run is signed for only where the user speaks of signing.
    return ("default",) if line.services or line.regions else (UNSIGNED,)


def _service(url: str, endpoint: Endpoint | None, *, signs: bool) -> str | None:
    if endpoint is not None and endpoint.service is not None:
        return endpoint.service
    if signs:
        raise Unusable(f"Nothing says which SigV4 service signs for {url}; add --service NAME, or --credential none.")
    return None


def unknown_target(target: str, known: Sequence[str]) -> str:
    """What to say to a name that is none of those that are known."""
    from difflib import get_close_matches

    near = get_close_matches(target, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known targets: {', '.join(known)}; or give a URL."
    return f"{target} is no target; {hint}"
