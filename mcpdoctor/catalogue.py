"""Find and read `checks/`: what mcpdoctor knows, as data.

Reading is strict: an unknown key, a wrong type or a reference to a check that does not exist is an error that names
the file and the table, so that a typing error in the data cannot turn into a check that never fires.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher, get_close_matches
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mcpdoctor.endpoints import (
    KEYS,
    Elsewhere,
    Endpoint,
    Match,
    host_and_path,
    meant_path,
    names,
    nearest_region,
    pattern,
)
from mcpdoctor.forms import build
from mcpdoctor.model import Cause, Severity, Stage, Unusable, Verdict
from mcpdoctor.suite import Suite

ELSEWHERE = "elsewhere.toml"
"""Hosts that are no MCP servers, whatever they look like."""
MARKER = "endpoints.toml"
"""A directory is a catalogue when it holds this file; the locator asks for it before it believes a path."""

CHECK_FILES = (
    "parse",
    "network",
    "http",
    "auth",
    "credentials",
    "oauth",
    "protocol",
    "startup",
    "capacity",
    "config",
    "client",
)
EVERY_OTHER = "*"
"""In `after`: silent while any other error stands."""

Entry = TypeVar("Entry")


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
    VERSION = "version"  # the version of an installed package, beside a failure that one of its defects shows as

    @property
    def by_facts(self) -> bool:
        """Whether there is no trace to judge, but facts alone."""
        return self in (About.CEILING, About.FILE, About.VERSION)


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


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Everything in `checks/`."""

    checks: Mapping[str, Check]
    endpoints: Mapping[str, Endpoint]
    suites: Mapping[str, Suite]
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)

    def match(self, url: str) -> Match | None:
        """Which endpoint of the catalogue `url` points at, judged by its host (and by its path where hosts are shared).

        Returns:
            None for a host that AWS does not run, or that is not in the catalogue.
        """
        _, path = host_and_path(url)
        return next((match for match, template in self._fitting(url) if _leads_to(path, template)), None)

    def owner(self, url: str) -> Match | None:
        """The same by the host alone, whatever the path: for a URL whose path may be wrong."""
        found = self._fitting(url)
        return self.match(url) or (found[0][0] if found else None)

    def not_mcp(self, url: str) -> Elsewhere | None:
        """The host of AWS that `url` points at and that is no MCP server; None for any other."""
        host, _ = host_and_path(url)
        return next((one for one in self.elsewhere.values() if re.fullmatch(pattern(one.host), host)), None)

    def instead(self, other: Elsewhere, url: str) -> str:
        """What to use in place of such a host, as a sentence."""
        if other.local:
            return f"Start the local MCP server {other.local} in place of the URL: it calls this host by itself."
        found = re.fullmatch(pattern(other.host), host_and_path(url)[0])
        region = (found.groupdict().get("region") if found else "") or ""
        meant = [self._url_near(self.endpoints[name], region or "us-east-1") for name in other.instead]
        return f"Use {' or '.join(meant)} if an MCP server is meant." if meant else "AWS runs no MCP server for it."

    def suggest(self, url: str) -> tuple[str, ...]:
        """URLs that somebody who wrote `url` may have meant; the best first, empty where nothing is near."""
        host, _ = host_and_path(url)
        for endpoint in self.endpoints.values():
            for template in endpoint.mistaken:
                if found := re.fullmatch(pattern(template), host):
                    region = found.groupdict().get("region") or ""
                    return tuple(self._url_near(self.endpoints[name], region) for name in endpoint.instead)
        matched = self.match(url)
        if matched and matched.region and matched.endpoint.regions:
            return (self._url_near(matched.endpoint, matched.region),)
        if matched:
            return ()  # nobody published where it exists, or only its owner knows its name: nothing nearer is known
        near = get_close_matches(host, self._hosts, n=2, cutoff=0.8)
        return tuple(self._hosts[name] for name in near)

    def neighbours(self, url: str) -> tuple[str, ...]:
        """The URLs at the host of `url`, where it serves several servers; empty where there is one."""
        found = self._fitting(url)
        return tuple(match.endpoint.url_for(match.region or "") for match, _ in found) if len(found) > 1 else ()

    def meant(self, url: str) -> str | None:
        """`url` with the path that its host wants; None where nothing is known to be wrong with the path."""
        found = self._fitting(url)
        path, wrong = meant_path(urlsplit(url).path, urlsplit(found[0][1]).path) if found else ("", None)
        return urlsplit(url)._replace(path=path).geturl() if wrong else None

    def _fitting(self, url: str) -> list[tuple[Match, str]]:
        """Every endpoint whose host that of `url` is, with the template; that whose path is nearest first."""
        host, path = host_and_path(url)
        found = [
            (Match(endpoint=endpoint, region=fits.groupdict().get("region")), template)
            for endpoint, template, host_pattern in self._owners
            if (fits := host_pattern.fullmatch(host))
        ]
        if len(found) < 2:
            return found
        return sorted(found, key=lambda one: -SequenceMatcher(None, path, urlsplit(one[1]).path).ratio())

    @cached_property
    def _owners(self) -> list[tuple[Endpoint, str, re.Pattern[str]]]:
        return [
            (one, template, re.compile(pattern(urlsplit(template).netloc)))
            for one in self.endpoints.values()
            for template in one.templates
        ]

    @cached_property
    def _hosts(self) -> dict[str, str]:
        return {
            host_and_path(url)[0]: url
            for endpoint in self.endpoints.values()
            if not endpoint.yours
            for url in ([endpoint.url_for(region) for region in endpoint.regions] or [endpoint.url])
            if "{" not in url
        }

    def _url_near(self, endpoint: Endpoint, region: str) -> str:
        return endpoint.url_for(nearest_region(region, endpoint.regions))


def _leads_to(path: str, template: str) -> bool:
    """Whether a path can be that of a template; where the template holds no name, any path of its host can."""
    wanted = urlsplit(template).path
    return "{" not in wanted or re.match(pattern(wanted), path) is not None


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
    elsewhere: dict[str, Elsewhere] = {}
    if overlay is not None and not overlay.is_dir():
        raise Unusable(f"{overlay}: no such directory; --checks takes a directory of the form of checks/.")
    for directory in filter(None, (locate(), overlay)):
        for stem in filter(stems.__contains__, CHECK_FILES):
            for slug, table in tables(directory / f"{stem}.toml"):
                checks[slug] = build(Check, {"slug": slug, **table}, f"{directory / stem}.toml: [{slug}]")
        for name, table in tables(directory / MARKER):
            endpoints[name] = build(Endpoint, {"name": name, **table}, f"{directory / MARKER}: [{name}]")
        elsewhere |= {one.name: one for one in entries(directory / ELSEWHERE, Elsewhere)}
        for path in sorted((directory / "suites").glob("*.toml")):
            suites[path.stem] = replace(build(Suite, read_toml(path), str(path)), name=path.stem)
    _refer(checks, patterns=overlay is not None)
    _refer_endpoints(endpoints, elsewhere)
    return Catalogue(checks=checks, endpoints=endpoints, suites=suites, elsewhere=elsewhere)


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


def _refer(checks: Mapping[str, Check], *, patterns: bool) -> None:
    for check in checks.values():
        if bool(check.stage) is check.about.by_facts:
            raise Unusable(f"[{check.slug}]: stage is missing; a check about a ceiling, a file or a version has none.")
        for slug in check.after:
            if slug != EVERY_OTHER and slug not in checks:
                raise Unusable(f"[{check.slug}]: after names {slug}, which is no check.")
        if patterns:
            _compile(check)


def _refer_endpoints(endpoints: Mapping[str, Endpoint], elsewhere: Mapping[str, Elsewhere]) -> None:
    """Hold that what names something names what is there."""
    named = [(one.name, "instead", name) for one in endpoints.values() for name in one.instead]
    named += [(one.name, "instead", name) for one in elsewhere.values() for name in one.instead]
    named += [(one.name, "fallback_for", name) for one in endpoints.values() for name in one.fallback_for]
    for table, key, name in named:
        if name not in endpoints:
            raise Unusable(f"[{table}]: {key} names {name}, which is no endpoint.")
    for endpoint in endpoints.values():
        for key in endpoint.inferred:
            if key not in KEYS:
                raise Unusable(f"[{endpoint.name}]: inferred names {key}, which is no key of an endpoint.")
        for template in endpoint.templates:
            unknown = names(template) - {"region", "arn"} - names(endpoint.arn) if endpoint.arn else set()
            if unknown:
                raise Unusable(f"[{endpoint.name}]: the URL holds {{{min(unknown)}}}, which its ARN does not.")


def _compile(check: Check) -> None:
    """Try the patterns of a check. It is what costs most of loading; those of our own files are tried by the tests."""
    for condition in (*check.when, *check.told):
        for one in filter(None, (condition.body, condition.text, *condition.header.values())):
            try:
                re.compile(one)
            except re.error as error:
                raise Unusable(f"[{check.slug}]: {one!r} is no regular expression: {error}.") from error
