"""What is odd about several servers of one file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.known import Known
from mcpdoctor.clients.versions import requirement, version
from mcpdoctor.clients.words import Problem
from mcpdoctor.linting.subjects import Subject
from mcpdoctor.model import Fact


def problems(subjects: Sequence[Subject], catalogue: Catalogue, known: Known) -> Iterator[tuple[Subject, Problem]]:
    """What is odd about the servers of one file together, each with the server that it is told of."""
    enabled = [one for one in subjects if one.server.enabled and one.usage is None]
    # Files may hold several lists of servers, such as one for each project: those do not run together.
    lists: dict[tuple[str, ...], list[Subject]] = defaultdict(list)
    for one in enabled:
        lists[one.server.path[:-1]].append(one)
    for group in lists.values():
        yield from _duplicates(group)
        yield from _many(group, known)
        yield from _overlapping(group, catalogue)


def _duplicates(group: Sequence[Subject]) -> Iterator[tuple[Subject, Problem]]:
    seen: dict[object, Subject] = {}
    for one in group:
        sent = one.reach.configuration
        if sent is None:
            continue
        proxy = one.reach.proxy
        # Whatever else tells two servers apart, such as another region to work in, is meant.
        rest = tuple(word.text for word in one.server.args) if proxy is None else _rest(one)
        headers = tuple(sorted((name, word.text) for name, word in one.server.headers.items()))
        key = (sent, rest, headers, tuple(sorted((name, word.text) for name, word in one.server.env.items())))
        if key in seen:
            yield one, Problem(kind="server-twice", at=one.server.at, facts={"other": seen[key].server.name})
        else:
            seen[key] = one


def _rest(subject: Subject) -> tuple[str, ...]:
    proxy = subject.reach.proxy
    return tuple(sorted(word.text for word in proxy.launch.words)) if proxy else ()


def _many(group: Sequence[Subject], known: Known) -> Iterator[tuple[Subject, Problem]]:
    """Proxies of one endpoint that differ in their profile."""
    by_endpoint: dict[str, list[Subject]] = defaultdict(list)
    since = version(known.proxy.profiles_variable_since)
    for one in group:
        if one.reach.proxy is not None and one.endpoint is not None and one.reach.proxy.rules >= since:
            by_endpoint[one.endpoint.text].append(one)
    for url, proxies in by_endpoint.items():
        profiles = {one.profile.value for one in proxies if one.profile and one.profile.certain and one.profile.value}
        if len(profiles) == len(proxies) > 1:
            facts: dict[str, Fact] = {
                "proxies": len(proxies),
                "endpoint": url,
                "profiles": tuple(sorted(profile for profile in profiles if profile)),
                "variable": known.proxy.profiles_variable,
            }
            yield proxies[-1], Problem(kind="proxies", at=proxies[-1].server.at, facts=facts)


def _overlapping(group: Sequence[Subject], catalogue: Catalogue) -> Iterator[tuple[Subject, Problem]]:
    """Servers whose tools another one of the file has as well."""
    owners = [(one, catalogue.owner(one.endpoint.text)) for one in group if one.endpoint is not None]
    whole = {match.endpoint.name: one for one, match in owners if match is not None}
    for name, larger in whole.items():
        endpoint = catalogue.endpoints[name]
        for one in group:
            package = one.reach.launch.package if one.reach.launch else None
            needed = requirement(package.text) if package else None
            replaced = {found.name for text in endpoint.replaces if (found := requirement(text))}
            if needed is not None and needed.name in replaced:
                yield one, _overlap(one, larger, endpoint.title)
    for one, match in owners:
        for name in match.endpoint.fallback_for if match else ():
            if name in whole:
                yield one, _overlap(one, whole[name], catalogue.endpoints[name].title)


def _overlap(one: Subject, larger: Subject, title: str) -> Problem:
    return Problem(
        kind="servers-overlap", at=one.server.at, facts={"other": larger.server.name, "title": title, **_only(one)}
    )


def _only(one: Subject) -> dict[str, Fact]:
    return {"started": one.reach.launch is not None}
