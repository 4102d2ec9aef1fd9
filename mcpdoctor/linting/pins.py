"""Versions that a project asks for: in requirements, pyproject.toml, lock files and the header of a script."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from mcpdoctor.clients.source import Source, Unreadable
from mcpdoctor.clients.tomls import read_toml
from mcpdoctor.clients.values import Items, Scalar, Table, Value
from mcpdoctor.clients.words import Problem
from mcpdoctor.defects import Defect, Wanted, affecting, exactly, wanted
from mcpdoctor.model import Fact

NEEDLES = (b"mcp", b"strands-agents", b"strands_agents")
"""A file of a project that asks for none of the packages holds none of these."""

LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
_REQUIREMENTS = re.compile(r"(?:[\w.-]*requirements|constraints)[\w.-]*\.(?:txt|in)|[\w.-]+[-.]requirements\.txt")

_LINE = re.compile(r"^[ \t]*+([A-Za-z0-9][^#\n\\]{0,300})", re.MULTILINE)
_OPTIONS = re.compile(r"\s--")  # hashes and the like
_LOCKED = re.compile(r'^\[\[packages?\]\]\r?\nname = "([^"\n]{1,100})"\r?\nversion = "([^"\n]{1,100})"', re.MULTILINE)
_SCRIPT = re.compile(r"^# /// script[ \t]*\r?$", re.MULTILINE)
_KNOWN = re.compile(r"\s*(?:mcp|fastmcp|strands|pydantic)", re.IGNORECASE)  # reading a requirement takes its time
_MOST_OF_A_HEADER = 16_000
_CARET = re.compile(r"\^\s?(\d+(?:\.\d+){0,3})")
_TILDE = re.compile(r"~\s?(\d+(?:\.\d+){0,3})")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pin:
    """A package of which a file asks for certain versions.

    Attributes:
        package: its name, as PyPI compares names.
        wanted: the versions.
        written: how that is written, as the second word of a sentence.
        at: where.
    """

    package: str
    wanted: Wanted
    written: str
    at: Value


def is_manifest(name: str) -> bool:
    """Whether a file of this name says which packages a project asks for."""
    return name == "pyproject.toml" or name in LOCKS or _REQUIREMENTS.fullmatch(name) is not None


def read(source: Source) -> tuple[Pin, ...]:
    """The pins of such a file; none where it cannot be read as what its name says."""
    name = PurePath(source.file).name
    if name in LOCKS:
        return tuple(_locked(source))
    if name == "pyproject.toml":
        try:
            root = read_toml(source).root
        except Unreadable:
            return ()
        return tuple(_project(root)) if isinstance(root, Table) else ()
    lines = (
        (_OPTIONS.split(match[1], maxsplit=1)[0].rstrip(), match.start(1)) for match in _LINE.finditer(source.text)
    )
    found = (_of(text, source, at) for text, at in lines)
    return tuple(one for one in found if one is not None)


def of_script(source: Source) -> tuple[Pin, ...]:
    """The pins in the header of a script."""
    block = _SCRIPT.search(source.text)
    if block is None:
        return ()
    inside = []
    for line in source.text[block.end() + 1 : block.end() + _MOST_OF_A_HEADER].splitlines():
        if not line.startswith("#") or line.rstrip() == "# ///":
            break
        inside.append(line)
    end = block.end() + 1 + sum(len(line) + 2 for line in inside)
    try:
        dependencies = tomllib.loads("\n".join(line[2:] for line in inside)).get("dependencies", ())
    except (ValueError, RecursionError):
        return ()
    found = []
    for one in dependencies if isinstance(dependencies, list) else ():
        at = source.text.find(one, block.end(), end) if isinstance(one, str) and one else -1
        found.append(_of(one, source, at) if at >= 0 else None)
    return tuple(one for one in found if one is not None)


def of_text(text: str, at: Value) -> Pin | None:
    """A requirement as pip takes it; None for one that leaves the version open, or is not for this machine."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    if not _KNOWN.match(text):
        return None
    try:
        asked = Requirement(text.strip())
    except InvalidRequirement:
        return None
    specifier = str(asked.specifier)
    versions = wanted(specifier) if specifier else None
    if versions is None or (asked.marker is not None and not asked.marker.evaluate({"extra": ""})):
        return None
    exact = versions.least is not None and versions.least == versions.most
    written = str(versions.least) if exact else specifier
    return Pin(package=canonicalize_name(asked.name), wanted=versions, written=written, at=at)


def problems(
    pins: Sequence[Pin], facts: Mapping[str, Fact], defects: Collection[Defect], beside: Sequence[Pin] = ()
) -> Iterator[Problem]:
    """The known defects of what is pinned: one problem for each pin.

    Args:
        pins: to judge.
        facts: what is known of how the packages are used.
        defects: to look for.
        beside: further pins that say what is there too.
    """
    versions = {one.package: one.wanted for one in (*beside, *pins)}
    for pin in pins:
        judged = tuple(one for one in defects if one.files and _is_of(one, pin.package))
        found = tuple(affecting(judged, {**versions, pin.package: pin.wanted}, facts))
        if not found:
            continue
        fixes = [(exact.most, one.fixed) for one in found if one.fixed and (exact := exactly(one.fixed)) and exact.most]
        fixed = max(fixes)[1] if fixes else ""
        advice = [one.remedy for one in found if one.remedy]
        if len(found) > len(advice) and fixed:
            advice.append(f"Use version {fixed} or later.")
        said: dict[str, Fact] = {
            "package": pin.package,
            "version": pin.written,
            "defects": "; ".join(one.text for one in found),
            "advice": " ".join(advice),
            "defect_source": found[-1].source,
        }
        yield Problem(kind="version-defect", at=pin.at, facts=said)


def _is_of(defect: Defect, package: str) -> bool:
    return package in defect.packages or package.removesuffix("-cli") in defect.packages


def _of(text: str, source: Source, at: int) -> Pin | None:
    return of_text(text, Scalar(source, at, at + len(text), text))


def _locked(source: Source) -> Iterator[Pin]:
    for found in _LOCKED.finditer(source.text):
        versions = exactly(found[2])
        if versions is not None:
            at = Scalar(source, found.start(2), found.end(2), found[2])
            yield Pin(package=found[1].lower(), wanted=versions, written=found[2], at=at)


def _project(root: Table) -> Iterator[Pin]:
    """Dependencies of a project, in each of the places where tools keep them."""
    project, tools = _table(root, "project"), _table(root, "tool")
    yield from _listed(project.get("dependencies") if project else None)
    for groups in (
        _table(project, "optional-dependencies"),
        _table(root, "dependency-groups"),
        _table(_table(tools, "pdm"), "dev-dependencies"),
    ):
        for member in groups.members if groups else ():
            yield from _listed(member.value)
    uv = _table(tools, "uv")
    yield from _listed(uv.get("dev-dependencies") if uv else None)
    poetry = _table(tools, "poetry")
    several = _table(poetry, "group")
    groups_of_poetry = [member.value for member in several.members] if several else []
    for one in (poetry, *groups_of_poetry):
        for name in ("dependencies", "dev-dependencies"):
            yield from _of_poetry(_table(one, name))


def _listed(value: Value | None) -> Iterator[Pin]:
    for one in value.items if isinstance(value, Items) else ():
        if isinstance(one, Scalar) and one.text and (pin := of_text(one.text, one)) is not None:
            yield pin


def _of_poetry(table: Table | None) -> Iterator[Pin]:
    for member in table.members if table else ():
        value = member.value.get("version") if isinstance(member.value, Table) else member.value
        if isinstance(value, Scalar) and value.text and (specifier := _specifier(value.text)):
            pin = of_text(f"{member.name}{specifier}", value)
            if pin is not None:
                yield pin


def _specifier(text: str) -> str:
    """The PEP 440 specifier for a constraint of Poetry; empty where it takes any version."""
    if caret := _CARET.fullmatch(text):
        numbers = [int(one) for one in caret[1].split(".")]
        first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        return f">={caret[1]},<{'.'.join(map(str, (*numbers[:first], numbers[first] + 1)))}"
    if tilde := _TILDE.fullmatch(text):
        numbers = [int(one) for one in tilde[1].split(".")][:2]
        return f">={tilde[1]},<{'.'.join(map(str, (*numbers[:-1], numbers[-1] + 1)))}"
    return f"=={text}" if text[:1].isdigit() else "" if text.strip() == "*" else text


def _table(value: Value | None, name: str) -> Table | None:
    found = value.get(name) if isinstance(value, Table) else None
    return found if isinstance(found, Table) else None
