"""The catalogue of endpoints for people and for programs: `mcpdoctor targets`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.endpoints import Elsewhere, Endpoint, Field, Quota
from mcpdoctor.inference import why_given
from mcpdoctor.limits import EXACT, per_second, plural
from mcpdoctor.model import SCHEMA_VERSION
from mcpdoctor.render.drawing import Paint, shortened, wrapped

HEADERS = ("target", "what", "service", "accepts", "regions")
_AUTH = {"sigv4": "SigV4", "bearer": "bearer token", "none": "unsigned"}
_SHORT = {"sigv4": "SigV4", "bearer": "bearer", "none": "unsigned"}
_MARK = " (inferred, not documented)"
_LABEL = 20
_TITLE = 1
_EXAMPLE = "us-east-1"


def listing(catalogue: Catalogue, *, color: bool = False, width: int = 120) -> str:
    """Every target in a row, and the hosts that are none."""
    cells = [
        [one.name, one.title, one.service or "-", ", ".join(_SHORT[way] for way in one.auth), _count(one)]
        for one in catalogue.endpoints.values()
    ]
    paint = Paint(on=color)
    parts = [_table(cells, width)]
    lines = [f"{one.name}: {note}" for one in catalogue.endpoints.values() if (note := proxy_note(one))]
    if lines:
        parts.append("\n".join([paint("Where mcp-proxy-for-aws has to be told:", bold=True), *_all(lines, width)]))
    if catalogue.elsewhere:
        lines = [f"{one.host}: {one.title}" for one in catalogue.elsewhere.values()]
        parts.append("\n".join([paint("No MCP servers, whatever they look like:", bold=True), *_all(lines, width)]))
    parts.append("mcpdoctor targets NAME tells everything that is known of one.")
    return "\n\n".join(parts) + "\n"


def page(endpoint: Endpoint, *, color: bool = False, width: int = 120) -> str:
    """Everything that is known of one target."""
    lines = [Paint(on=color)(f"{endpoint.name}: {endpoint.title}", bold=True)]
    for label, texts in _facts(endpoint):
        for number, text in enumerate(texts):
            head = f"  {label + ':' if not number else '':<{_LABEL}}"
            filled = wrapped(text, width, " " * len(head))
            lines += [head + filled[0].lstrip(), *filled[1:]] if filled else []
    return "\n".join(lines) + "\n"


def document(endpoints: Iterable[Endpoint], elsewhere: Iterable[Elsewhere]) -> str:
    """The same as JSON."""
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "targets": [_data(one) for one in endpoints],
            "not_mcp": [_without_nothing(asdict(one)) for one in elsewhere],
        },
        indent=2,
    )


def proxy_note(endpoint: Endpoint) -> str | None:
    """Why the proxy has to be told service and region for such an endpoint; None where it reads them off the host."""
    url = endpoint.url_for(_EXAMPLE)
    if endpoint.yours and not endpoint.signs:
        return None
    return why_given(url, endpoint.service, _EXAMPLE if "{region}" in endpoint.url else None)


def _data(endpoint: Endpoint) -> dict[str, Any]:
    found = _without_nothing(asdict(endpoint))
    found["yours"] = endpoint.yours
    found["sources"] = [{"of": what, "url": url, "as_of": as_of} for what, url, as_of in endpoint.sources()]
    note = proxy_note(endpoint)
    return {**found, "proxy_note": note} if note else found


def _without_nothing(table: dict[str, Any]) -> dict[str, Any]:
    """A table without what is not known; what is known to be nothing (`service` of an unsigned server) goes too."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            value = _without_nothing(value)  # noqa: PLW2901  # the same, with less in it
        if value not in (None, "", (), {}, []):
            found[name] = value
    return found


def _facts(one: Endpoint) -> Iterator[tuple[str, Sequence[str]]]:
    """Label and lines of each part; a part of which nothing is known is left out."""
    yield "URL", [_marked(one, "url", one.url), *one.elsewhere.values()]
    if one.arn:
        yield "ARN", [f"{one.arn} (mcpdoctor check {one.name} --arn ARN)"]
    if "{region}" in one.url:
        known = ", ".join(one.regions) or one.regions_note or "not published"
        yield "regions", [_marked(one, "regions", known)]
    yield "service", [one.service or "none: nothing is signed"]
    yield "accepts", [_marked(one, "auth", ", ".join(_AUTH[way] for way in one.auth))]
    yield from _tools(one)
    yield from _fields(one)
    yield from _actions(one)
    yield from _quotas(one)
    if note := proxy_note(one):
        yield "proxy", [note, *_given(one)]
    if one.quirks:
        yield "good to know", one.quirks
    yield "sources", [f"{url} ({what}, as of {as_of})" for what, url, as_of in one.sources()]


def _tools(one: Endpoint) -> Iterator[tuple[str, Sequence[str]]]:
    more = "" if one.tools.complete else ", and others"
    if one.tools.unsigned:
        yield "tools for anybody", [", ".join(one.tools.unsigned) + more]
    if one.tools.signed:
        yield "signed tools", [", ".join(one.tools.signed) + more]
    if one.tools.note:
        yield "of the tools", [one.tools.note]
    if one.removed_tools:
        since = f" (since {one.removed_since})" if one.removed_since else ""
        yield "removed tools", [f"{old}{since}: use {new}" for old, new in one.removed_tools.items()]


def _fields(one: Endpoint) -> Iterator[tuple[str, Sequence[str]]]:
    def line(given: Field) -> str:
        also = f"; the same in _meta: {given.meta}" if given.meta else ""
        required = "required, " if given.required else ""
        return f"{given.name}: {required}{given.text}{also}{_MARK if given.inferred else ''}"

    if one.headers:
        yield "headers", [line(given) for given in one.headers]
    if one.meta:
        yield "_meta", [line(given) for given in one.meta]


def _actions(one: Endpoint) -> Iterator[tuple[str, Sequence[str]]]:
    asked = one.actions
    lines = [
        f"{what}: {', '.join(names)}"
        for what, names in (("to connect", asked.connect), ("for tools", asked.tools), ("for OAuth", asked.bearer))
        if names
    ]
    if asked.policy:
        lines.append(f"managed policy: {asked.policy}")
    if asked.note:
        lines.append(asked.note)
    if lines:
        yield "IAM", lines
    if one.inert_actions:
        since = f" since {one.inert_since}" if one.inert_since else ""
        yield "without effect", [f"{', '.join(one.inert_actions)} ({'neither allow nor deny anything'}{since})"]


def _quotas(one: Endpoint) -> Iterator[tuple[str, Sequence[str]]]:
    for label, quota in (("quotas", one.quota), *(("earlier quotas", old) for old in one.earlier_quotas)):
        if parts := _quota(quota):
            seen = "" if quota.published else "; seen, nothing is published"
            yield label, [f"{', '.join(parts)} (as of {quota.as_of}{seen})"]


def _quota(quota: Quota) -> list[str]:
    found = []
    for rate, who in ((quota.signed_per_s, "signed"), (quota.unsigned_per_s, "unsigned")):
        if rate is not None:
            found.append(f"{per_second(rate, EXACT)} {who}")
    for count, noun in (
        (quota.signed_sessions, "session of a user"),
        (quota.account_sessions, "session of an account"),
        (quota.signed_connections, "connection"),
    ):
        if count is not None:
            what, of, whom = noun.partition(" of ")
            found.append(f"{plural(count, what)}{of}{whom}")
    return found


def _given(one: Endpoint) -> list[str]:
    if one.service is None:
        return []
    return [f"Write: mcp-proxy-for-aws URL --service {one.service} --region REGION"]


def _marked(one: Endpoint, key: str, text: str) -> str:
    return text + (_MARK if key in one.inferred else "")


def _count(one: Endpoint) -> str:
    if "{region}" not in one.url:
        return "-"
    return str(len(one.regions)) if one.regions else "not listed"


def _table(cells: list[list[str]], width: int) -> str:
    """The rows; titles give way where they are too wide, names do not: they are what one copies."""
    columns = [max(map(len, column)) for column in zip(HEADERS, *cells, strict=True)]
    room = max(width - sum(columns) + columns[_TITLE] - 2 * len(columns), _LABEL)
    cells = [[*row[:_TITLE], shortened(row[_TITLE], room), *row[_TITLE + 1 :]] for row in cells]
    return str(tabulate(cells, HEADERS, tablefmt="simple", disable_numparse=True))


def _all(lines: Iterable[str], width: int) -> list[str]:
    return [part for line in lines for part in wrapped(line, width)]
