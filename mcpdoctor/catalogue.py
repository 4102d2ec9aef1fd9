"""Find and read `checks/`: what mcpdoctor knows, as data.

Reading is strict: an unknown key, a wrong type or a reference to a check that does not exist is an error that names
the file and the table, so that a typing error in the data cannot turn into a check that never fires.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mcpdoctor.model import Cause, Severity, Stage, Unusable, Verdict

MARKER = "endpoints.toml"
"""A directory is a catalogue when it holds this file; the locator asks for it before it believes a path."""

CHECK_FILES = ("parse", "network", "http", "auth", "oauth", "protocol", "startup", "capacity", "config", "client")
EVERY_OTHER = "*"
"""In `after`: silent while any other error stands."""

Entry = TypeVar("Entry")

REGION = r"[a-z]{2}(?:-[a-z]+)+-\d+"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactRule:
    """What a condition asks of one fact: `is` a value, `above` or `below` a number (numbers are compared only)."""

    is_: Any = None
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One table of `when`: every key that is given must match.

    Attributes:
        status: HTTP statuses, any of them.
        header: response header name (lower case) to a regular expression searched in its value.
        error_type: AWS error types, such as `AccessDeniedException`.
        rpc_code: JSON-RPC error codes.
        body: regular expression searched in the response body; its named groups fill the text.
        failure: qualified-name suffixes of exceptions, or errno names, any of them anywhere in a chain.
        text: regular expression searched in the words of a text; its named groups fill the text of the check.
        fact: fact name to what is asked of it.
    """

    status: tuple[int, ...] = ()
    header: Mapping[str, str] = field(default_factory=dict)
    error_type: tuple[str, ...] = ()
    rpc_code: tuple[int, ...] = ()
    body: str | None = None
    failure: tuple[str, ...] = ()
    text: str | None = None
    fact: Mapping[str, FactRule] = field(default_factory=dict)


class Says(StrEnum):
    """How much the words of a text tell, from most to least."""

    REASON = "reason"  # the cause itself
    STATUS = "status"  # what the server answered, and not why
    SYMPTOM = "symptom"  # what follows from several causes
    NOTHING = "nothing"  # that something failed

    @property
    def weight(self) -> int:
        """3 for a reason, 0 for nothing."""
        return 3 - list(Says).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InText:
    """How a check reads what our own probes did not see: a traceback, a log, what a program was seen to send.

    Attributes:
        seen: the libraries and versions whose words it was observed in.
        says: how much those words tell; a reason goes before a status, wherever they stand.
        causes: what remains, most likely first, where the words do not tell which; else empty.
        text: what is wrong, where the text of the check asks for what only a probe knows.
        remedy: what to change, in the same case.
        when: it fires when any of these matches; without any, the conditions of the check are meant for texts alone.
    """

    seen: tuple[str, ...]
    says: Says = Says.REASON
    causes: tuple[Cause, ...] = ()
    text: str = ""
    remedy: str = ""
    when: tuple[Condition, ...] = ()


class About(StrEnum):
    """What a check judges."""

    CONFIGURATION = "configuration"  # the trace of a stage
    ENTRY = "entry"  # the traces of an entry of a client file
    CEILING = "ceiling"  # a measured ceiling, by its facts
    FILE = "file"  # what stands in a file of a client or in a program, by its facts

    @property
    def by_facts(self) -> bool:
        """Whether there is no trace to judge, but facts alone."""
        return self in (About.CEILING, About.FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A rule that turns evidence into a finding; `slug` is its only identity.

    Attributes:
        about: what it judges.
        stage: stages whose trace it judges, or that it is about where it judges texts alone; else none.
        on: the verdict a trace must have to be judged; `failed` for nearly all.
        after: slugs it stays silent for while one of them stands; `*` for every other error that is not such a last
            resort itself.
        text: what is wrong; `{names}` are facts and named groups of the condition that matched.
        remedy: what to change.
        lab: the lab's fault that provokes it; of a check about files, its example in the tests.
        value: which value of an entry of a client file it is about: `endpoint`, `service`, `region`, `profile` or
            `command`; empty for the entry as a whole.
        becomes: what that value must be, with `{names}` as in `text`; empty where nobody can tell.
        when: it fires when any of these matches.
        fix: whether `lint --fix` may rewrite what it is about.
        in_text: how it reads a traceback, a log, or what a program was seen to send.
    """

    slug: str
    title: str
    cause: Cause
    severity: Severity
    since: str
    text: str
    remedy: str
    lab: str
    about: About = About.CONFIGURATION
    stage: tuple[Stage, ...] = ()
    on: Verdict = Verdict.FAILED
    after: tuple[str, ...] = ()
    refer: tuple[str, ...] = ()
    value: str = ""
    becomes: str = ""
    when: tuple[Condition, ...] = ()
    fix: bool = False
    in_text: InText | None = None

    @property
    def probed(self) -> bool:
        """Whether it judges what probes saw; a check of what clients print does not."""
        return self.in_text is None or bool(self.in_text.when)

    @property
    def told(self) -> tuple[Condition, ...]:
        """Its conditions for a text; none where it reads none."""
        return (self.in_text.when or self.when) if self.in_text else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one caller may send to one host, and what we allow ourselves.

    Attributes:
        signed_per_s: requests/s with a signature; None where nothing is documented.
        unsigned_per_s: requests/s without one.
        signed_sessions: sessions at a time with a signature, of one user.
        signed_connections: connections at a time with a signature, of one account.
        published: whether the owner of the host publishes the figures; else they are what was seen.
        parallel: sessions that mcpdoctor itself holds at a time.
        source: where the figures come from.
        as_of: the date they were true.
    """

    signed_per_s: float | None = None
    unsigned_per_s: float | None = None
    signed_sessions: int | None = None
    signed_connections: int | None = None
    published: bool = True
    parallel: int = 4
    source: str = ""
    as_of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A kind of MCP server that AWS hosts.

    Attributes:
        url: template; `{region}` and other `{names}` stand for one host label or path segment.
        regions: where it exists; empty where no list is published.
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
        removed_tools: tools that it no longer has, each with the one to use.
        never_empty: whether it has tools for every caller, so that an empty list means that it throttles.
        inert_actions: IAM actions, with `*`, that neither allow nor deny anything any more.
        replaces: packages of local servers whose tools it has as well.
    """

    name: str
    title: str
    url: str
    source: str
    as_of: str
    regions: tuple[str, ...] = ()
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
    removed_tools: Mapping[str, str] = field(default_factory=dict)
    never_empty: bool = False
    inert_actions: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    quota: Quota = field(default_factory=Quota)

    @property
    def takes_tokens(self) -> bool:
        """Whether it may take a bearer token: what users run behind a host without a signature asks as it likes."""
        return "bearer" in self.auth or (self.yours and "none" in self.auth)

    @property
    def yours(self) -> bool:
        """Whether the URL has a part that only its owner knows (a gateway id): it cannot be named as a target."""
        return bool(_names(self.url) - {"region"})

    def url_for(self, region: str) -> str:
        """The URL in `region`; the template itself where the server is not regional."""
        return self.url.replace("{region}", region)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTarget:
    """One line of a suite: a target, its axes, and the cause that is expected (then seeing it is what passes)."""

    target: str
    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    expect: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A ready matrix."""

    name: str
    title: str
    targets: tuple[SuiteTarget, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A URL that fits an endpoint of the catalogue, with the region its host names."""

    endpoint: Endpoint
    region: str | None


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Everything in `checks/`."""

    checks: Mapping[str, Check]
    endpoints: Mapping[str, Endpoint]
    suites: Mapping[str, Suite]

    def match(self, url: str) -> Match | None:
        """Which endpoint of the catalogue `url` points at, judged by its host (and by its path where hosts are shared).

        Returns:
            None for a host that AWS does not run, or that is not in the catalogue.
        """
        host, path = _parts(url)
        for endpoint, pattern in self._owners:
            template = urlsplit(endpoint.url)
            found = pattern.fullmatch(host)
            if found and ("{" not in template.path or re.match(_pattern(template.path), path)):
                return Match(endpoint=endpoint, region=found.groupdict().get("region"))
        return None

    def owner(self, url: str) -> Match | None:
        """The same by the host alone, whatever the path: for a URL whose path may be wrong."""
        host, _ = _parts(url)
        found = [
            Match(endpoint=endpoint, region=fits.groupdict().get("region"))
            for endpoint, pattern in self._owners
            if (fits := pattern.fullmatch(host))
        ]
        return self.match(url) or (found[0] if len(found) == 1 else None)

    def suggest(self, url: str) -> tuple[str, ...]:
        """URLs that somebody who wrote `url` may have meant; the best first, empty where nothing is near."""
        host, _ = _parts(url)
        for endpoint in self.endpoints.values():
            for template in endpoint.mistaken:
                if found := re.fullmatch(_pattern(template), host):
                    region = found.groupdict().get("region") or ""
                    return tuple(self._url_near(self.endpoints[name], region) for name in endpoint.instead)
        matched = self.match(url)
        if matched and matched.region and matched.endpoint.regions:
            return (self._url_near(matched.endpoint, matched.region),)
        if matched:
            return ()  # nobody published where it exists, or only its owner knows its name: nothing nearer is known
        near = get_close_matches(host, self._hosts, n=2, cutoff=0.8)
        return tuple(self._hosts[name] for name in near)

    @cached_property
    def _owners(self) -> list[tuple[Endpoint, re.Pattern[str]]]:
        return [(one, re.compile(_pattern(urlsplit(one.url).netloc))) for one in self.endpoints.values()]

    @cached_property
    def _hosts(self) -> dict[str, str]:
        return {
            _parts(url)[0]: url
            for endpoint in self.endpoints.values()
            if not endpoint.yours
            for url in ([endpoint.url_for(region) for region in endpoint.regions] or [endpoint.url])
            if "{" not in url
        }

    def _url_near(self, endpoint: Endpoint, region: str) -> str:
        return endpoint.url_for(nearest_region(region, endpoint.regions))


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


def locate() -> Path:
    """The directory that holds the catalogue: inside the wheel, else beside the package in a checkout.

    Raises:
        Unusable: neither place has one.
    """
    package = Path(str(files("mcpdoctor")))
    for directory in (package / "checks", package.parent / "checks"):
        if (directory / MARKER).is_file():
            return directory
    raise Unusable(f"The catalogue of checks is missing beside {package}; install mcpdoctor again.")


def load(overlay: Path | None = None, *, stems: Collection[str] = CHECK_FILES) -> Catalogue:
    """Read the catalogue.

    Args:
        overlay: a directory whose files add to the catalogue and replace entries of the same name; nothing in it
            is executed.
        stems: the files of checks to read; a command that needs a few starts faster without the others.

    Raises:
        Unusable: a file does not parse, or an entry is not of the form that `checks/schema.json` gives.
    """
    checks: dict[str, Check] = {}
    endpoints: dict[str, Endpoint] = {}
    suites: dict[str, Suite] = {}
    if overlay is not None and not overlay.is_dir():
        raise Unusable(f"{overlay}: no such directory; --checks takes a directory of the form of checks/.")
    for directory in filter(None, (locate(), overlay)):
        for stem in filter(stems.__contains__, CHECK_FILES):
            for slug, table in tables(directory / f"{stem}.toml"):
                checks[slug] = build(Check, {"slug": slug, **table}, f"{directory / stem}.toml: [{slug}]")
        for name, table in tables(directory / MARKER):
            endpoints[name] = build(Endpoint, {"name": name, **table}, f"{directory / MARKER}: [{name}]")
        for path in sorted((directory / "suites").glob("*.toml")):
            suites[path.stem] = load_suite(path)
    _refer(checks, endpoints, patterns=overlay is not None)
    return Catalogue(checks=checks, endpoints=endpoints, suites=suites)


def load_suite(path: Path) -> Suite:
    """Read one suite file.

    Raises:
        Unusable: it cannot be read, does not parse, or has unknown keys.
    """
    table = read_toml(path)
    suite: Suite = build(Suite, {"name": path.stem, **table}, str(path))
    return suite


def entries(path: Path, cls: type[Entry]) -> tuple[Entry, ...]:
    """Every table of a file as a `cls`, which has the name of the table as `name`.

    Raises:
        Unusable: the file cannot be read, or an entry is not of the form of `cls`.
    """
    return tuple(build(cls, {"name": name, **table}, f"{path}: [{name}]") for name, table in tables(path))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        Unusable: it cannot be read, is not UTF-8, or does not parse; the message names file and line.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise Unusable(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise Unusable(f"{path}:{line}: not UTF-8; save the file in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        place = f"{path}:{found[1]}:{found[2]}" if found else str(path)
        what = re.sub(r" \(at .*\)$", "", str(error))
        raise Unusable(f"{place}: not valid TOML: {what}.") from error


def tables(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and table of each entry of a file; none where there is no such file.

    Raises:
        Unusable: it cannot be read, or a value stands outside of a table.
    """
    if not path.is_file():
        return
    for name, table in read_toml(path).items():
        if not isinstance(table, dict):
            raise Unusable(f"{path}: {name} stands outside of a table; every entry is a [table].")
        yield name, table


def _refer(checks: Mapping[str, Check], endpoints: Mapping[str, Endpoint], *, patterns: bool) -> None:
    for check in checks.values():
        if bool(check.stage) is check.about.by_facts:
            raise Unusable(f"[{check.slug}]: stage is missing; only a check about a ceiling or a file has none.")
        for slug in check.after:
            if slug != EVERY_OTHER and slug not in checks:
                raise Unusable(f"[{check.slug}]: after names {slug}, which is no check.")
        if patterns:
            _compile(check)
    for endpoint in endpoints.values():
        for key, names in (("instead", endpoint.instead), ("fallback_for", endpoint.fallback_for)):
            for name in names:
                if name not in endpoints:
                    raise Unusable(f"[{endpoint.name}]: {key} names {name}, which is no endpoint.")


def _compile(check: Check) -> None:
    """Try the patterns of a check. It is what costs most of loading; those of our own files are tried by the tests."""
    for condition in (*check.when, *check.told):
        for pattern in filter(None, (condition.body, condition.text, *condition.header.values())):
            try:
                re.compile(pattern)
            except re.error as error:
                raise Unusable(f"[{check.slug}]: {pattern!r} is no regular expression: {error}.") from error


def build(cls: type[Any], table: Mapping[str, Any], where: str) -> Any:
    """Make a `cls` from a TOML table; its annotations are the schema.

    Raises:
        Unusable: a key is unknown or missing, or a value is of the wrong type; the message begins with `where`.
    """
    hints = _hints(cls)  # type: ignore[arg-type]  # a class is hashable
    known = {one.name.rstrip("_"): one for one in dataclasses.fields(cls)}
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}."
            raise Unusable(f"{where}: unknown key {key}{hint}")
    values = {}
    for key, one in known.items():
        if key in table:
            values[one.name] = _value(hints[one.name], table[key], f"{where} {key}")
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise Unusable(f"{where}: {key} is missing.")
    return cls(**values)


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _value(next(one for one in inner if one is not type(None)), value, where)
    if origin is tuple:
        return tuple(_value(inner[0], one, where) for one in (value if isinstance(value, list) else [value]))
    if origin is not None and isinstance(value, dict):
        return {key: _value(inner[1], one, f"{where}.{key}") for key, one in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return build(typing.cast("type[Any]", hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and issubclass(hint, str) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError:
            known = ", ".join(hint)  # type: ignore[arg-type]  # only a StrEnum refuses a string
            raise Unusable(f"{where}: {value} is not one of {known}.") from None
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise Unusable(f"{where}: {value!r} is not of the right type ({getattr(hint, '__name__', hint)} wanted).")


def _parts(url: str) -> tuple[str, str]:
    """Host, in lower case, and path; both empty for what is no URL."""
    try:
        split = urlsplit(url)
    except ValueError:  # such as an unclosed [ of an IPv6 address
        return "", ""
    return (split.hostname or "").lower().removesuffix("."), split.path


def _names(template: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", template))


def _pattern(template: str) -> str:
    """A regular expression for a template: `{region}` takes a region, any other name one label or segment."""

    def part(found: re.Match[str]) -> str:
        return f"(?P<region>{REGION})" if found[1] == "region" else f"(?P<{found[1]}>[^./]+)"

    return "".join(
        part(found) if (found := re.fullmatch(r"{(\w+)}", piece)) else re.escape(piece)
        for piece in re.split(r"({\w+})", template)
    )
