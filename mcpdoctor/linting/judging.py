"""Say what is wrong: problems and the checks about files make findings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mcpdoctor.catalogue import About, Catalogue, Check
from mcpdoctor.clients.known import Known
from mcpdoctor.clients.values import Edit
from mcpdoctor.clients.words import Problem
from mcpdoctor.defects import Defect
from mcpdoctor.diagnosis import finding_of, fires, silenced
from mcpdoctor.linting import endpoints, entries, groups, pins, proxies, secrets
from mcpdoctor.linting.edits import renamed
from mcpdoctor.linting.gathering import Gathered, concerns
from mcpdoctor.linting.profiles import Profiles
from mcpdoctor.linting.subjects import Subject
from mcpdoctor.model import Fact, LintFinding
from mcpdoctor.redaction import clean

_SHOWN = 160
_SHOWN_FILE = 400
_OURS = ("defects", "advice")
"""Facts whose words are those of `checks/defects.toml`, and no file's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """What was found in one file.

    Attributes:
        findings: by line and column.
        edits: what `--fix` would change.
    """

    findings: tuple[LintFinding, ...] = ()
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is judged by.

    Attributes:
        words: what only a text that has to do with AWS holds.
        platform: as `sys.platform` has it; empty where that does not matter.
    """

    catalogue: Catalogue
    known: Known
    profiles: Profiles
    defects: tuple[Defect, ...]
    words: re.Pattern[str]
    platform: str = ""

    @cached_property
    def checks(self) -> Mapping[str, Sequence[Check]]:
        """The checks about files, by the kind of problem that they ask for."""
        found: dict[str, list[Check]] = {}
        for one in self.catalogue.checks.values():
            kinds = {str(rule.fact["problem"].is_) for rule in one.when if "problem" in rule.fact}
            for kind in kinds if one.about is About.FILE else ():
                found.setdefault(kind, []).append(one)
        return found


def judge(file: Gathered, rules: Rules) -> Linted:
    """Judge one file.

    Args:
        file: as it was read.
        rules: what to judge by.
    """
    checks = rules.checks
    fired: list[tuple[Check, Subject | None, Problem, Mapping[str, Fact]]] = []
    for subject, problems in _all(file, rules):
        here = []
        for problem in problems:
            common = subject.facts if subject else {}
            facts: Mapping[str, Fact] = {"client": file.client, **common, **problem.facts, "problem": problem.kind}
            here += [
                (check, subject, problem, facts) for check in checks.get(problem.kind, ()) if fires(check.when, facts)
            ]
        others = list({check.slug: check for check, _, _, _ in here}.values())
        fired += [one for one in here if not silenced(one[0], others)]
    findings: dict[tuple[str, str, int, int], LintFinding] = {}
    edits: list[Edit] = []
    # Of two that say the same of one place, the one that knows what to write speaks.
    for check, subject, problem, about in sorted(fired, key=lambda one: not one[2].edits):
        place = problem.place
        key = (check.slug, place.file, place.line, place.column)
        if key in findings:
            continue
        fixable = check.fix and bool(problem.edits) and file.again is not None
        edits += problem.edits if fixable else ()
        findings[key] = _finding(check, subject, problem, about, fixable=fixable)
    ordered = sorted(findings.values(), key=lambda one: (one.file, one.line, one.column, one.check))
    return Linted(findings=tuple(ordered), edits=tuple(edits))


def _all(file: Gathered, rules: Rules) -> Iterator[tuple[Subject | None, list[Problem]]]:
    """What is odd, by server; what is odd about the file as such comes first."""
    if file.of_aws:
        yield None, [renamed(one) for one in file.problems]
    if file.pins:
        yield None, list(pins.problems(file.pins, file.uses, rules.defects))
    together: dict[int, list[Problem]] = {}
    for one, problem in groups.problems(file.subjects, rules.catalogue, rules.known):
        together.setdefault(id(one), []).append(problem)
    for subject in file.subjects:
        found = [*_of(subject, rules), *together.get(id(subject), ())]
        if found:
            yield subject, found


def _of(subject: Subject, rules: Rules) -> Iterator[Problem]:
    of_aws = concerns(subject, rules.words)
    yield from secrets.problems(subject, of_aws=of_aws)
    if not subject.server.enabled or (not of_aws and subject.usage is None):
        return
    yield from (renamed(one) for one in subject.reach.problems)
    yield from endpoints.problems(subject, rules.catalogue)
    yield from proxies.problems(subject, rules.catalogue, rules.known, rules.profiles)
    name = rules.known.proxy.name
    yield from proxies.defects(subject, name, rules.profiles, rules.defects, platform=rules.platform)
    yield from entries.problems(subject, rules.catalogue, rules.known)
    if of_aws or subject.reach.proxy is not None:
        yield from subject.found


def _finding(
    check: Check, subject: Subject | None, problem: Problem, facts: Mapping[str, Fact], *, fixable: bool
) -> LintFinding:
    said = finding_of(check, {name: value if name in _OURS else _shown(value) for name, value in facts.items()})
    place = problem.place
    return LintFinding(
        file=clean(place.file, limit=_SHOWN_FILE),
        line=place.line,
        column=place.column,
        server=clean(subject.server.name, limit=_SHOWN) if subject else "",
        check=check.slug,
        cause=check.cause,
        severity=check.severity,
        title=check.title,
        text=said.text,
        remedy=said.remedy,
        fixable=fixable,
        url=said.url,
    )


def _shown(value: Fact) -> Fact:
    """A fact as it may be shown; what files hold is hostile."""
    if isinstance(value, str):
        return clean(value, limit=_SHOWN)
    if isinstance(value, tuple):
        return tuple(clean(one, limit=_SHOWN) for one in value)
    return value


def worst(findings: Iterable[LintFinding]) -> int:
    """The weight of the worst finding; 0 where there are none."""
    return max((one.severity.weight for one in findings), default=0)
