"""An MCP server that AWS hosts: what is known of it, and which URLs are its own.

The facts stand in `checks/endpoints.toml`, with their sources; hosts that are mistaken for such servers in
`checks/elsewhere.toml`. Nothing is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from urllib.parse import quote, unquote, urlsplit

REGION = r"[a-z]{2}(?:-[a-z]+)+-\d+"

_LOOPBACK = re.compile(r"localhost\.?|127\.\d+\.\d+\.\d+|::1|.*\.localhost\.?", re.IGNORECASE)
_NAME = re.compile(r"{(\w+)}")
_ARN_PARTS = {"region": REGION, "partition": "aws(?:-[a-z]+)*", "account": r"\d{12}"}
_ARN_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}"
_DEEPEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one caller may send to one host, and what we allow ourselves.

    Attributes:
        signed_per_s: requests/s with a signature; None where nothing is documented.
        unsigned_per_s: requests/s without one.
        signed_sessions: sessions at a time with a signature, of one user.
        account_sessions: the same, of one account.
        signed_connections: connections at a time with a signature, of one account.
        published: whether the owner of the host publishes the figures; else they are what was seen.
        parallel: sessions that mcpdoctor itself holds at a time.
        source: where the figures come from.
        as_of: the date they were true.
    """

    signed_per_s: float | None = None
    unsigned_per_s: float | None = None
    signed_sessions: int | None = None
    account_sessions: int | None = None
    signed_connections: int | None = None
    published: bool = True
    parallel: int = 4
    source: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a server serves.

    Attributes:
        unsigned: tools that anybody may call.
        signed: tools that need an identity.
        complete: whether these are all.
        note: what else is known of them.
    """

    unsigned: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    complete: bool = True
    note: str = ""
    source: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """IAM actions that a server asks for, those of the services behind its tools left out.

    Attributes:
        connect: to open a session and to list tools.
        tools: to call tools.
        bearer: to sign in with OAuth in place of a signature.
        policy: a managed policy that has them.
        note: what else a caller needs, as half a sentence.
    """

    connect: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    bearer: tuple[str, ...] = ()
    policy: str = ""
    note: str = ""
    source: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A header of HTTP, or a member of `_meta`, that a server reads.

    Attributes:
        required: whether requests are refused without it.
        meta: the member of `_meta` that does the same as a header.
        text: what it is for, as half a sentence.
        inferred: whether that is a reading, and not documented.
    """

    name: str
    text: str
    required: bool = False
    meta: str = ""
    inferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A kind of MCP server that AWS hosts.

    Attributes:
        url: template; `{region}` and other `{names}` stand for one host label or path segment.
        elsewhere: templates for other partitions, by the name of the partition.
        arn: template of the ARN that names one, for a server that belongs to its caller.
        regions: where it exists; empty where no list is published.
        regions_note: what is known of its regions where no list is, as half a sentence.
        service: SigV4 service name; None where nothing is signed.
        auth: what it accepts: `sigv4`, `bearer`, `none`.
        strict: its limit is so low that mcpdoctor sends no request of its own beside the real client's.
        credential_probe: a tool name that does not exist: only a caller whose signature counts gets past the 401.
        probe_answer: what the answer to that tool name matches, once the caller is let in.
        anonymous_probe: a harmless tool that an unsigned caller may call.
        login_note: what a client that logs in with OAuth has to know, where an unsigned caller is let in too.
        mistaken: host templates that people write when they mean this server, and that do not exist.
        instead: targets to name, in this order, where such a host was written.
        fallback_for: endpoints that this one stands in for, unsigned, where they do not work.
        names_service: its own documentation passes the service to the proxy, although the proxy would infer it.
        read_only: what is left of its tools where the proxy hides what may change something; empty where it is enough.
        path_note: what people get wrong in the path of its URL, as sentences.
        tools: what it serves.
        removed_tools: tools that it no longer has, each with the one to use.
        removed_since: when they went.
        never_empty: whether it has tools for every caller, so that an empty list means that it throttles.
        headers: headers that it reads.
        meta: members of `_meta` that it reads.
        actions: IAM actions that it asks for.
        inert_actions: IAM actions, with `*`, that neither allow nor deny anything any more.
        inert_since: since when.
        replaces: packages of local servers whose tools it has as well.
        quirks: what surprises people, as sentences.
        earlier_quotas: limits that it had before; documents that state them are still read.
        inferred: keys of this table that are a reading, and not documented.
        source: where the URL, its regions and its service come from.
        as_of: when that was true.
    """

    name: str
    title: str
    url: str
    source: str
    as_of: str
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    arn: str = ""
    regions: tuple[str, ...] = ()
    regions_note: str = ""
    service: str | None = None
    auth: tuple[str, ...] = ("sigv4",)
    strict: bool = False
    credential_probe: str | None = None
    probe_answer: str = "(?i)unknown tool"
    anonymous_probe: str | None = None
    anonymous_note: str = ""
    login_note: str = ""
    mistaken: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    fallback_for: tuple[str, ...] = ()
    names_service: bool = False
    read_only: str = ""
    path_note: str = ""
    tools: Tools = field(default_factory=Tools)
    removed_tools: Mapping[str, str] = field(default_factory=dict)
    removed_since: str = ""
    never_empty: bool = False
    headers: tuple[Field, ...] = ()
    meta: tuple[Field, ...] = ()
    actions: Actions = field(default_factory=Actions)
    inert_actions: tuple[str, ...] = ()
    inert_since: str = ""
    replaces: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    quota: Quota = field(default_factory=Quota)
    earlier_quotas: tuple[Quota, ...] = ()
    inferred: tuple[str, ...] = ()

    @property
    def takes_tokens(self) -> bool:
        """Whether it may take a bearer token: what users run behind a host without a signature asks as it likes."""
        return "bearer" in self.auth or (self.yours and "none" in self.auth)

    @property
    def yours(self) -> bool:
        """Whether the URL has a part that only its owner knows (a gateway id): it cannot be named as a target."""
        return bool(names(self.url) - {"region"})

    @property
    def hosted(self) -> bool:
        """Whether AWS runs it for everybody who signs: what its tools do is done through an MCP server of AWS."""
        return self.signs and not self.yours

    @property
    def signs(self) -> bool:
        """Whether it takes a signature."""
        return "sigv4" in self.auth

    @property
    def templates(self) -> tuple[str, ...]:
        """Every form of its URL, that of the partition `aws` first."""
        return (self.url, *self.elsewhere.values())

    @property
    def required_headers(self) -> tuple[Field, ...]:
        """Headers without which it refuses."""
        return tuple(one for one in self.headers if one.required)

    def url_for(self, region: str) -> str:
        """The URL in `region`; the template itself where the server is not regional."""
        return self.url.replace("{region}", region)

    def sources(self) -> Iterator[tuple[str, str, str]]:
        """What was read where, and when it was true: what, address, date; each address once."""
        seen = set()
        parts = (
            ("endpoint", self.source, self.as_of),
            ("tools", self.tools.source, self.tools.as_of),
            ("actions", self.actions.source, self.actions.as_of),
            ("quotas", self.quota.source, self.quota.as_of),
            *(("earlier quotas", one.source, one.as_of) for one in self.earlier_quotas),
        )
        for what, source, as_of in parts:
            if source and source not in seen:
                seen.add(source)
                yield what, source, as_of

    def action_remedy(self) -> str:
        """What a caller has to be allowed who is known and refused, as a sentence."""
        to_connect, to_use = " and ".join(self.actions.connect), " and ".join(self.actions.tools)
        if to_connect:
            more = f", and {to_use} to use its tools" if to_use else ""
            return (
                f"{self.title} asks for {to_connect} to connect{more}: allow that to this role or user, or find the "
                "policy (of its organization too) that denies it."
            )
        if self.inert_actions:
            return (
                f"{self.title} asks for no action of its own; those it had have been without effect since "
                f"{self.inert_since}. Allow the actions of the services that its tools call, or find the policy that "
                "denies them."
            )
        return ACTION_REMEDY


ACTION_REMEDY = "Allow the action it names to that role or user, or find the policy that denies it."
"""What to do for a server of which no actions are known."""

RIGHT_HOST = "This is a host of AWS, so look at the network, the VPN and the resolver of this machine first."
"""What to do where a host does not resolve that is known to exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A host of AWS that gets mistaken for an MCP server.

    Attributes:
        host: template of the host.
        title: what it is, as half a sentence.
        instead: targets that may have been meant.
        local: the local MCP server that calls it, where that is what was meant.
    """

    name: str
    host: str
    title: str
    source: str
    as_of: str
    instead: tuple[str, ...] = ()
    local: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A URL that fits an endpoint of the catalogue, with the region its host names."""

    endpoint: Endpoint
    region: str | None


KEYS = frozenset(one.name for one in fields(Endpoint))
"""Keys of a table of `endpoints.toml`."""


def nearest_region(region: str, regions: tuple[str, ...]) -> str:
    """The region of `regions` nearest to `region`: itself, else one with the longest common beginning.

    Args:
        region: the region wanted; may be empty or unknown.
        regions: where the server exists; empty means that no list is published, so `region` stands.
    """
    if region in regions or not regions:
        return region

    def shared(other: str) -> int:
        # Whole parts only: eu-central-2 is nearer to eu-central-1 than to eu-west-2.
        parts, others = region.split("-"), other.split("-")
        return next((n for n, (a, b) in enumerate(zip(parts, others, strict=False)) if a != b), len(parts))

    return max(regions, key=shared)


def nearest_tool(tool: str, listed: Iterable[str]) -> str | None:
    """The listed tool that may have been meant; None where none is near.

    Servers of AWS put a prefix and three underscores before the names of their tools (`aws___search_documentation`),
    which makes no two of them alike: what comes after it is compared. A gateway puts the name of the target there, so
    the prefix decides between tools that are else the same.
    """
    by_name: dict[str, list[str]] = {}
    for name in listed:
        by_name.setdefault(name.rpartition("___")[2], []).append(name)
    near = get_close_matches(tool.rpartition("___")[2], by_name, n=1)
    return get_close_matches(tool, by_name[near[0]], n=1, cutoff=0)[0] if near else None


def host_and_path(url: str) -> tuple[str, str]:
    """Host, in lower case, and path; both empty for what is no URL."""
    try:
        split = urlsplit(url)
    except ValueError:  # such as an unclosed [ of an IPv6 address
        return "", ""
    return (split.hostname or "").lower().removesuffix("."), split.path


def host_of(url: str) -> str:
    """Host, in lower case and without a dot at the end; empty for what is no URL."""
    return host_and_path(url)[0]


def is_loopback(host: str) -> bool:
    """Whether a host name or address always means this machine."""
    return bool(_LOOPBACK.fullmatch(host))


def names(template: str) -> set[str]:
    """The `{names}` of a template."""
    return set(_NAME.findall(template))


def pattern(template: str) -> str:
    """A regular expression for a template: `{region}` takes a region, any other name one label or segment."""
    return _filled(template, {"region": REGION}, "[^./]+")


def arn_pattern(template: str) -> str:
    """A regular expression for the template of an ARN."""
    return _filled(template, _ARN_PARTS, _ARN_NAME)


def _filled(template: str, known: Mapping[str, str], other: str) -> str:
    def part(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{known.get(found[1], other)})"

    return "".join(
        part(found) if (found := _NAME.fullmatch(piece)) else re.escape(piece)
        for piece in re.split(r"({\w+})", template)
    )


def meant_path(path: str, template: str) -> tuple[str, str | None]:
    """The path that is meant where `path` was written, and what is wrong with the one that was.

    Args:
        path: as written.
        template: that of the endpoint.

    Returns:
        The path, and `path-missing`, `path-added`, `path-differs`, `path-not-encoded` or `path-incomplete`; None where
        nothing is wrong, or where only the owner of the server knows.
    """
    name = _NAME.search(template)
    if name is None:
        if template == "/" or path.rstrip("/") == template.rstrip("/"):
            return path, None
        if not path.strip("/"):
            return template, "path-missing"
        return template, "path-added" if not template or path.startswith(f"{template}/") else "path-differs"
    head, tail = template[: name.start()], template[name.end() :]
    if not path.startswith(head) or "{" in tail:
        return path, None
    rest, added = path[len(head) :], False
    before, found, after = rest.rpartition(tail)
    if found:
        rest, added = before, bool(after.strip("/"))
    decoded = rest
    for _ in range(_DEEPEST):
        decoded = unquote(decoded)
    if not decoded.startswith("arn:"):
        return path, None
    wanted = f"{head}{quote(decoded, safe='')}{tail}"
    if unquote(rest) != decoded or quote(decoded, safe="").lower() != rest.lower():
        return wanted, "path-not-encoded"
    return wanted, "path-added" if added else None if found else "path-incomplete"
