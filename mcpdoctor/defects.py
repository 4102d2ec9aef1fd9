"""Known defects of versions: which of them a version has, and which of them a failure shows.

A version is taken from a pin in a file, from this environment, from the recorder of a program, or from a text. Which
defects there are, and when each matters, stands in `checks/defects.toml`; what is not known to hold does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from mcpdoctor import catalogue
from mcpdoctor.catalogue import Catalogue, Condition, FactRule
from mcpdoctor.diagnosis import finding_of, fires
from mcpdoctor.model import Fact, Finding

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

FILE = "defects.toml"
CHECK = "version-known-defect"
"""The check whose finding stands beside a failure that a defect shows as."""

_NAMES_ANEW = "proxy-session-name"
_REFUSED_FROM, _REPORTED = 400, (404,)
"""mcp itself reports a 404 to whoever waits; other refusals are what some versions never come back from."""
_THIN = ("mcp-proxy-for-aws-cli", "mcp-proxy-for-aws")
"""The first is the second with every dependency pinned: it has its version, and its defects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A known defect of some versions of a package.

    Attributes:
        packages: names of the package.
        affected: the versions that have it: a PEP 440 specifier.
        beside: other packages, each with the versions without which it does not show.
        when: facts without which it does not matter; empty where it always does.
        shows: facts of a failure that it shows as, where `when` holds too; any of the tables.
        checks: slugs of findings that it shows as, whatever else is known.
        files: whether a pin in a file is judged by it.
        text: what happens, as the second half of a sentence.
        fixed: the version to use; empty where there is none.
        remedy: what to do, where a version is not all there is to say.
        source: where that is said.
        as_of: when it was true.
    """

    name: str
    packages: tuple[str, ...]
    affected: str
    text: str
    source: str
    as_of: str
    beside: Mapping[str, str] = field(default_factory=dict)
    when: Mapping[str, FactRule] = field(default_factory=dict)
    shows: tuple[Mapping[str, FactRule], ...] = ()
    checks: tuple[str, ...] = ()
    files: bool = True
    fixed: str = ""
    remedy: str = ""

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.remedy or f"Use {self.packages[0]} {self.fixed} or later."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The versions that somebody asks for, or has: all of them between two.

    Attributes:
        least: None for any, however old.
        most: None for any, however new.
        most_too: whether `most` itself is one of them.
    """

    least: Version | None = None
    most: Version | None = None
    most_too: bool = True

    def within(self, affected: Wanted) -> bool:
        """Whether the newest of these versions, which is what will be installed, is one of those.

        The first version that is affected exists, so where it may be taken, nothing older will be.
        """
        first = affected.least
        if first is not None and (self.least is None or self.least < first) and not (self.most and first <= self.most):
            return False
        if affected.most is None:
            return True
        if self.most is None:
            return False
        return self.most < affected.most or (self.most == affected.most and (affected.most_too or not self.most_too))


@cache
def known_defects() -> tuple[Defect, ...]:
    """The known defects.

    Raises:
        Unusable: the file does not parse, or an entry is not of the form of `Defect`.
    """
    return catalogue.entries(catalogue.locate() / FILE, Defect)


@cache
def wanted(specifier: str) -> Wanted | None:
    """The versions that a PEP 440 specifier allows, `!=` aside; None for what is none, and for none at all."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return _between(SpecifierSet(specifier))
    except (InvalidSpecifier, ValueError):
        return None


def exactly(text: str) -> Wanted | None:
    """One version; None for what is none."""
    from packaging.version import InvalidVersion, Version

    try:
        one = Version(text)
    except InvalidVersion:
        return None
    return Wanted(least=one, most=one)


def _between(given: SpecifierSet) -> Wanted | None:
    from packaging.version import Version

    least: Version | None = None
    most: Version | None = None
    most_too = True
    for one in given:
        text = one.version.removesuffix(".*")
        version = Version(text)
        low, high, too = None, None, True
        if one.operator == "===" or (one.operator == "==" and text == one.version):
            low, high = version, version
        elif one.operator in ("==", "~="):  # 1.5.* is from 1.5 to before 1.6, ~=1.5.2 from 1.5.2 to before 1.6
            kept = version.release if one.operator == "==" else version.release[:-1]
            low, high, too = version, Version(".".join(map(str, (*kept[:-1], kept[-1] + 1)))), False
        elif one.operator in (">=", ">"):
            low = version
        elif one.operator in ("<", "<="):
            high, too = version, one.operator == "<="
        if low is not None and (least is None or low > least):
            least = low
        if high is not None and (most is None or high < most):
            most, most_too = high, too
    return Wanted(least=least, most=most, most_too=most_too)


def affecting(defects: Sequence[Defect], versions: Mapping[str, Wanted], facts: Mapping[str, Fact]) -> Iterator[Defect]:
    """The defects that these versions certainly have, and whose circumstances are known to hold.

    Args:
        defects: to choose from.
        versions: what is asked for or installed, by the name of the package.
        facts: what is known of how it is used.
    """
    for one in defects:
        if _has_it(one, versions) and _hold(one.when, facts):
            yield one


def shown(
    defects: Sequence[Defect], versions: Mapping[str, str], facts: Mapping[str, Fact], checks: Collection[str]
) -> Iterator[Defect]:
    """The defects of these versions that a failure shows.

    Args:
        defects: to choose from.
        versions: by the name of the package.
        facts: of the failure.
        checks: slugs of its findings.
    """
    known = {name: found for name, version in versions.items() if (found := exactly(version)) is not None}
    for one in defects if known else ():
        told = bool(set(one.checks) & set(checks))
        shows = any(_hold({**one.when, **table}, facts) for table in one.shows)
        if (told or shows) and _has_it(one, known):
            yield one


def notes(
    catalogue: Catalogue, versions: Mapping[str, str], facts: Mapping[str, Fact], checks: Collection[str]
) -> tuple[Finding, ...]:
    """What to say of these versions beside a failure: never its cause, and nothing where they are not known.

    Args:
        catalogue: the checks.
        versions: by the name of the package.
        facts: of the failure.
        checks: slugs of its findings.
    """
    check = catalogue.checks.get(CHECK)
    if check is None or not versions:
        return ()
    found = []
    for one in shown(known_defects(), versions, facts, checks):
        package = next(name for name in _named(one.packages) if name in versions)
        others = [f"{name} {versions[name]}" for name in one.beside]
        said: dict[str, Fact] = {
            "package": package,
            "version": versions[package],
            "defect": one.text,
            "advice": one.advice,
            "evidence": ", ".join([f"{package} {versions[package]}", *others]),
        }
        found.append(finding_of(check, said))
    return tuple(found)


def proxy_facts(version: str) -> dict[str, Fact]:
    """What the version of the proxy means for a credential.

    Args:
        version: of mcp-proxy-for-aws; what is no version is taken for one without the defect.
    """
    has = exactly(version)
    anew = any(has and _has(has, one.affected) for one in known_defects() if one.name == _NAMES_ANEW)
    shown = version if has is None or has.least is None else ".".join(map(str, (*has.least.release, 0, 0)[:3]))
    return {"proxy_version": shown, "proxy_names_anew": anew}


def refused(status: int | None) -> bool:
    """Whether an HTTP status is a refusal that some versions never come back from."""
    return status is not None and status >= _REFUSED_FROM and status not in _REPORTED


def _named(packages: Sequence[str]) -> tuple[str, ...]:
    return (*_THIN, *packages) if _THIN[1] in packages else tuple(packages)


def _has_it(one: Defect, versions: Mapping[str, Wanted]) -> bool:
    package = next((name for name in _named(one.packages) if name in versions), "")
    asked = ((package, one.affected), *one.beside.items())
    return all(name in versions and _has(versions[name], specifier) for name, specifier in asked)


def _has(versions: Wanted, specifier: str) -> bool:
    affected = wanted(specifier)
    return affected is not None and versions.within(affected)


def _hold(rules: Mapping[str, FactRule], facts: Mapping[str, Fact]) -> bool:
    return fires([Condition(fact=rules)], facts)
