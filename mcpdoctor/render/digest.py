"""What every drawing of a report tells: how each target ended, what to use, each finding once, a name for each row."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcpdoctor.credentials import profile_of
from mcpdoctor.inference import why_given
from mcpdoctor.model import Cause, Configuration, Finding, Report, Requirement, Result, Severity
from mcpdoctor.redaction import clean
from mcpdoctor.render.drawing import plain
from mcpdoctor.render.lint import summary
from mcpdoctor.snippets.code import fragment
from mcpdoctor.snippets.libraries import libraries

NAME = 300
"""Characters of a name (a target, a region, a file) that are drawn."""

TEXT = 4_000
"""Characters of a sentence that are drawn."""

_ENTRY = 8_000
_COMMAND = re.compile(r"(?m)^[ \t]*::|##(?=\w{0,20}\[)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one target ended.

    Attributes:
        mark: `works`, `fails`, `as expected`, or `not tried`.
        words: the same in words, with the best configuration or the causes.
    """

    target: str
    mark: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A finding, and what it stands against.

    Attributes:
        places: numbers of the results that have it, from 0; empty for a finding of the run.
        pressing: whether something has to be done about it: it stands against the best configuration of a target, or
            against one of a target that has no working configuration. A configuration that fails beside one that works,
            or because a suite says so, is information.
    """

    finding: Finding
    places: tuple[int, ...]
    pressing: bool


def result_word(result: Result) -> str:
    """How a configuration ended, in a word or two."""
    if result.expected is not None and result.cause is result.expected:
        return "as expected"
    if result.untried:
        return "not tried"
    if result.works:
        return "works"
    if result.works is False:
        return "fails"
    return "throttled" if result.cause is Cause.RATE_LIMITED else "unknown"


def ended(report: Report) -> Iterator[Ended]:
    """How each target ended, in the order of the results."""
    best = {one.target: one.configuration for one in report.best}
    for target in dict.fromkeys(result.target for result in report.results):
        if target in best:
            one = best[target]
            if one.transport == "stdio":
                yield Ended(target=target, mark="works", words="works: its command was started")
                continue
            signed = f"signed for {one.service} in {one.region} with {one.credential}" if one.signed else "unsigned"
            how = f"with {one.credential}" if one.bearer else signed
            yield Ended(target=target, mark="works", words=f"works: {one.endpoint} {how}")
            continue
        mine = [result for result in report.results if result.target == target]
        if all(result.untried for result in mine):
            yield Ended(target=target, mark="not tried", words=f"not tried: {mine[0].stages[0].reason}")
            continue
        causes = dict.fromkeys(result.cause.value if result.cause else "unknown" for result in mine)
        expected = {"as expected"} == set(map(result_word, mine))
        words = "fails as expected" if expected else "does not work"
        mark = "as expected" if expected else "fails"
        yield Ended(target=target, mark=mark, words=f"{words}: {', '.join(causes)}")


def headline(report: Report) -> str:
    """The report in one sentence."""
    found = list(ended(report))
    failing = [one.target for one in found if one.mark == "fails"]
    if report.interrupted is not None:
        return "The run ended early: " + (
            "it was interrupted." if report.interrupted == "interrupted" else "its deadline passed."
        )
    if failing:
        count = f"{len(failing)} of {len(found)} targets" if len(found) > 1 else shown(failing[0])
        return f"{count} {'does' if len(failing) == 1 else 'do'} not work."
    if report.required_workers is not None and any(one.sufficient is False for one in report.ceilings):
        return f"Fewer workers are safe than the {report.required_workers} that are required."
    unmet = [one for one in report.requirements if not one.met]
    if unmet:
        count = "A requirement is" if len(unmet) == 1 else f"{len(unmet)} requirements are"
        return f"{count} not met."
    if any(one.pressing for one in distinct(report)):
        return "It works, with something to mend." if found else "There is something to mend."
    if found:
        tried = [one for one in found if one.mark != "not tried"]
        if not tried:
            return "Nothing was tried."
        return "Everything is as wanted." if len(tried) > 1 else f"{shown(tried[0].target)} is as wanted."
    if report.ceilings:
        return "Measured."
    if report.lint or report.lint_files:
        return summary(report.lint, report.lint_files)
    return "Nothing was examined."


def pressing_requirements(report: Report) -> list[Requirement]:
    """The requirements to point at.

    Of a target that does not work nothing more is known than that: its finding says so.
    """
    working = {one.target for one in report.best}
    return [one for one in report.requirements if one.met is False or (one.met is None and one.target in working)]


def requirement_word(one: Requirement) -> str:
    """Whether a requirement is met, in a word."""
    return {True: "met", False: "missed", None: "unknown"}[one.met]


def requirement_words(one: Requirement) -> str:
    """What is required of which target, and what came of it."""
    return f"{target_name(one.target)} {one.name}: {one.text}"


def distinct(report: Report) -> list[Told]:
    """Each finding and note once: what is pressing first, then the worst.

    Two findings of configurations are the same when their check and remedy are: the text may name another host. Those
    of the run, about ceilings, hold figures that differ.
    """
    chosen = {one.target: one.configuration for one in report.best}
    groups: dict[tuple[str, str], list[tuple[Finding, int | None, bool]]] = {}
    for number, result in enumerate(report.results):
        best = chosen.get(result.target)
        wanted = result_word(result) != "as expected" and (best is None or best == result.configuration)
        for finding in (*result.findings, *result.notes):
            place = f"{finding.file}:{finding.line}:{finding.column}" if finding.file else ""
            key = finding.check, f"{place} {finding.remedy}"
            groups.setdefault(key, []).append((finding, number, wanted))
    for finding in report.findings:
        groups.setdefault((finding.check, finding.text), []).append((finding, None, True))
    found = [
        Told(
            finding=next((one for one, _, wanted in group if wanted), group[0][0]),
            places=tuple(number for _, number, _ in group if number is not None),
            pressing=any(wanted for _, _, wanted in group) and group[0][0].severity is not Severity.INFO,
        )
        for group in groups.values()
    ]
    return sorted(found, key=lambda one: (not one.pressing, -one.finding.severity.weight))


def labels(results: Sequence[Result]) -> list[str]:
    """A name for each configuration, unlike those of the others: as little of it as tells them apart."""
    parts = [_parts(result) for result in results]
    short = [" ".join((target_name(result.target), *own)) for result, own in zip(results, parts, strict=True)]
    counts = Counter(short)
    names = [
        name
        if counts[name] == 1
        else " ".join((target_name(result.target), target_name(result.configuration.endpoint), *own))
        for name, result, own in zip(short, results, parts, strict=True)
    ]
    seen: Counter[str] = Counter()
    unique = []
    for name in (shown(name) for name in names):
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def target_name(target: str) -> str:
    """A target as a name: of a URL what tells it from others."""
    return target.removeprefix("https://")


def _parts(result: Result) -> tuple[str, ...]:
    one = result.configuration
    if one.transport == "stdio":
        return ("command",)
    if not one.signed:
        return (one.credential,) if one.bearer else ("unsigned",)
    return (f"{one.service or 'no service'}/{one.region or 'no region'}", one.credential)


def snippets(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """What to paste for which targets: the signed ones first, the same snippet once.

    Entries of client files that work stay as they are.
    """
    read = read_from_clients(report)
    targets: dict[str, list[str]] = {}
    strands = libraries()["strands"]
    for one in sorted(report.best, key=lambda best: not best.configuration.signed):
        if one.target not in read:
            targets.setdefault(fragment(strands, one.configuration), []).append(one.target)
    return [(snippet, tuple(names)) for snippet, names in targets.items()]


def read_from_clients(report: Report) -> set[str]:
    """The targets that are entries of client files; a line of a suite is none."""
    return {one.target for one in report.results if one.origin is not None and not one.origin.in_suite}


def proxy_notes(report: Report) -> dict[str, tuple[str, str]]:
    """For snippets whose configuration the proxy would not find by itself: how to start it, and why."""
    strands = libraries()["strands"]
    told = {fragment(strands, one.configuration): _proxy(one.configuration) for one in report.best}
    return {snippet: note for snippet, note in told.items() if note}


def _proxy(one: Configuration) -> tuple[str, str] | None:
    """The arguments of the proxy, and why all of them are needed, where it would not find them by itself."""
    if not one.signed or not one.service or not one.region:
        return None
    why = why_given(one.endpoint, one.service, one.region)
    if why is None:
        return None
    profile = profile_of(one.credential)
    words = ["mcp-proxy-for-aws", one.endpoint, "--service", one.service, "--region", one.region]
    return shlex.join([*words, *(("--profile", profile) if profile else ())]), why


def correction(finding: Finding) -> str:
    """The corrected entry of a client file, safe to show; empty where there is none, or a CI system would obey it."""
    entry = textwrap.dedent(clean(finding.correction, limit=_ENTRY)).strip("\n")
    return "" if _COMMAND.search(entry) else entry


def shown(text: str, limit: int = NAME) -> str:
    """A text of somebody else on one line, without what does not show."""
    return " ".join(plain(text, limit).split())  # what did not show may have stood between two spaces


def quieted(text: str) -> str:
    """A drawing for people in which no line is a command to a CI system: `::error::`, `##[error]`, `##vso[…]`."""
    return _COMMAND.sub(lambda found: "# #" if found[0] == "##" else found[0].replace("::", ": :"), text)


def seconds(value: float) -> float:
    """A duration that can be drawn: a saved report may hold anything."""
    return min(max(value, 0.0), 1e9) if value == value else 0.0  # noqa: PLR0124  # false of nan only


def took(value: float) -> str:
    """A duration for people."""
    value = seconds(value)
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"
