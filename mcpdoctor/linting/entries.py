"""What is odd about an entry as such: how its command starts, its timeouts, tools it names, and calls in programs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.known import Known, Unit
from mcpdoctor.clients.launch import Launch
from mcpdoctor.clients.source import Source
from mcpdoctor.clients.values import Items, Scalar, Table, Value
from mcpdoctor.clients.words import Problem
from mcpdoctor.linting.edits import before, replaced
from mcpdoctor.linting.subjects import Subject
from mcpdoctor.model import Fact

if TYPE_CHECKING:
    from mcpdoctor.clients.python.servers import Sources


_REGISTRIES = {"pypi": "PyPI", "npm": "npm"}
_TOOL_CALL = re.compile(r"""\bcall_tool\w{0,20}\(\s{0,200}(?:(?:tool_)?name\s{0,3}=\s{0,3})?["'](\w{3,80})["']""")
_CREDENTIALS = re.compile(r"AWS_[A-Z_]{1,60}")
_RUNNERS = {"pypi": "uvx", "npm": "npx"}
"""What starts a package of each."""


def problems(subject: Subject, catalogue: Catalogue, known: Known) -> Iterator[Problem]:
    """What is odd about an entry of a client's file, or about a command in a program."""
    yield from _started(subject, known.proxy.packages)
    yield from _timeouts(subject)
    yield from _tools(subject, catalogue)


def _started(subject: Subject, proxies: Collection[str]) -> Iterator[Problem]:
    started = subject.reach.launch
    if started is None:
        return
    for number, step in enumerate(started.steps):
        if step.runner.interactive and started.interactive is False:
            words = (subject.server.command, *subject.server.args)
            after = [one for one in words if one is not None and one.at.start > step.word.at.start]
            run = next((at for at, one in enumerate(after) if one.text == "run"), None)
            edits = before(after[run + 1].at, "-i") if run is not None and run + 1 < len(after) else ()
            yield Problem(kind="input-closed", at=step.word.at, facts={"runner": step.word.text}, edits=edits)
        yield from _registry(started, number, proxies)
    yield from _not_in_container(subject, started)


def _not_in_container(subject: Subject, started: Launch) -> Iterator[Problem]:
    """Variables that the entry sets for the engine of a container, and that the server in it does not get."""
    engine = next((step for step in started.steps if step.runner.variables_file), None)
    if (
        not started.isolated
        or engine is None
        or any(name in engine.runner.variables_file for name, _ in engine.options)
    ):
        return
    inside = {*started.passed, *started.environment}
    lost = [name for name in subject.server.env if _CREDENTIALS.fullmatch(name) and name not in inside]
    if lost:
        options = " ".join(f"-e {name}" for name in lost)
        facts: dict[str, Fact] = {"variables": ", ".join(lost), "options": options, "runner": engine.word.text}
        yield Problem(kind="variable-not-in-container", at=subject.server.env[lost[0]].at, facts=facts)


def _registry(started: Launch, number: int, proxies: Collection[str]) -> Iterator[Problem]:
    """A package that the runner looks for where it is not."""
    step, package = started.steps[number], started.package
    if package is None or step.runner.registry not in _REGISTRIES:
        return
    inner = started.steps[number + 1].runner if number + 1 < len(started.steps) else None
    if (inner is not None and inner.published == "npm") or package.text.startswith("@"):
        published = "npm"
    elif started.needed is not None and started.needed.name in proxies:
        published = "pypi"
    else:
        return
    if published == step.runner.registry:
        return
    facts: dict[str, Fact] = {
        "runner": step.word.text,
        "package": package.text,
        "wanted_registry": _REGISTRIES[step.runner.registry],
        "registry": _REGISTRIES[published],
        "instead": _RUNNERS[published],
    }
    simple = step.word.text in _RUNNERS.values() and not step.options
    edits = replaced(step.word.at, step.word.text, _RUNNERS[published]) if simple else ()
    yield Problem(kind="package-of-another-registry", at=package.at, facts=facts, edits=edits)


def _timeouts(subject: Subject) -> Iterator[Problem]:
    for one in subject.server.timeouts:
        thousandth = one.number / 1000
        other = one.number * 1000 if one.unit is Unit.MILLISECONDS else thousandth
        written = f"{other:g}" if other.is_integer() and other < 10**6 else ""
        facts: dict[str, Fact] = {
            "key": one.key,
            "number": f"{one.number:g}",
            "unit": "milliseconds" if one.unit is Unit.MILLISECONDS else "seconds",
            "seconds": one.seconds,
            "suggested": written or f"{other:.0f}",
        }
        edits = replaced(one.at, one.at.raw, written) if written else ()
        yield Problem(kind="timeout", at=one.at, facts=facts, edits=edits)


def _tools(subject: Subject, catalogue: Catalogue) -> Iterator[Problem]:
    """Tools that an entry names and its server no longer has."""
    match = catalogue.owner(subject.endpoint.text) if subject.endpoint else None
    removed: Mapping[str, str] = match.endpoint.removed_tools if match else {}
    entry = subject.server.entry
    if not removed or not isinstance(entry, Table):
        return
    own = {*subject.server.client.args, *subject.server.client.command}
    for member in entry.members:
        if member.name in own:
            continue
        for one in _texts(member.value):
            instead = removed.get(one.text or "")
            if instead is not None:
                facts: dict[str, Fact] = {"tool": one.text, "instead": instead, "key": member.name}
                yield Problem(kind="tool-removed", at=one, facts=facts)


def _texts(value: Value) -> Iterator[Scalar]:
    """Every text of a list, and every key of a table that is switched by name."""
    if isinstance(value, Items):
        yield from (one for one in value.items if isinstance(one, Scalar))
    elif isinstance(value, Table):
        yield from (one.key for one in value.members)


def in_program(source: Source, catalogue: Catalogue) -> Iterator[Problem]:
    """Calls of tools, by name, that no longer exist; names that stand elsewhere tell nothing."""
    removed = {name: (one, new) for one in catalogue.endpoints.values() for name, new in one.removed_tools.items()}
    for found in _TOOL_CALL.finditer(source.text):
        if found[1] in removed:
            one, new = removed[found[1]]
            at = Scalar(source, found.start(1), found.end(1), None)
            facts: dict[str, Fact] = {"tool": found[1], "instead": new, "key": "The call", "host": one.title}
            yield Problem(kind="tool-removed", at=at, facts=facts)


def of_call(subject: Subject, sources: Sources) -> Iterator[Problem]:
    """What is odd about a call of a library."""
    from mcpdoctor.clients.python import RegionSource, Role
    from mcpdoctor.clients.python.servers import located

    usage = subject.usage
    if usage is None:
        return
    call: dict[str, Fact] = {"function": usage.function.rpartition(".")[2]}
    metadata = usage.given(Role.METADATA)
    if usage.signs and metadata is not None and metadata.known and (metadata.table or not metadata.certain):
        yield Problem(kind="metadata-after-signing", at=located(metadata.place, sources), facts=call)
    if usage.region_source is RegionSource.NONE:
        yield Problem(kind="credentials-without-region", at=subject.server.at, facts=call)
    misused = [("session-not-open", usage.idle), ("session-ended", usage.late)]
    for holder in usage.holders:
        misused += [("session-not-open", holder.idle), ("session-ended", holder.late)]
    for kind, places in misused:
        for place in places:
            yield Problem(kind=kind, at=located(place, sources), facts=call)
