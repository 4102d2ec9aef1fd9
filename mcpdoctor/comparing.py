"""What changed between two reports: which configurations work no more, and what else is different. Pure.

Evidence is compared, not text: what differs in every run (times, request and session ids, addresses, dates) is left
out, or compared without its changing parts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from mcpdoctor.limits import KINDS, caller, nothing_accepted, observed, required_of
from mcpdoctor.model import (
    Ceiling,
    Configuration,
    Exchange,
    Fact,
    Finding,
    LintFinding,
    Report,
    Result,
    Severity,
    Stage,
    Trace,
    Verdict,
)
from mcpdoctor.requirements import EXPECT, workers_of

SLOWER = 3.0
"""A stage is slower when it takes so many times as long, and"""

SLOWER_S = 1.0
"""so many seconds longer: a single request says little, so only what nobody would overlook is told."""

SKEW_S = 60
"""A clock that is off by so many seconds more than before is told."""

HEADERS = (
    "allow",
    "content-type",
    "location",
    "mcp-protocol-version",
    "proxy-authenticate",
    "server",
    "via",
    "www-authenticate",
    "x-amzn-errortype",
    "x-amzn-remapped-www-authenticate",
)
"""Response headers that are compared; the others differ from request to request."""

_Item = TypeVar("_Item")

_ADVICE = re.compile(
    r"(?:_note|_remedy|_hint|_text|_option|_files|_s|_ms|_mib|_size|_at|_from)$|^(?:suggestion|nearest|in_time)$"
)
_NOISE = frozenset(
    {
        "address",
        "addresses",
        "routed",
        "session",
        "answered_in_full",
        "deadline_s",
        "words",
        "server_regions",
        "tool_count",
    }
)
_IDENTITY = re.compile(r"provider|profile|issuer|account|identity|principal|credential")
_EXPIRY = re.compile(r"(?:^|_)(?:not_after|expir(?:es|y|ation)(?:_at|_s)?)$")
_CHANGING = re.compile(
    r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # request ids, session ids
    r"|\b\d{4}-?\d\d-?\d\d[T ]?\d\d:?\d\d:?\d\d(?:\.\d+)?Z?"  # times, also those of signatures
    r"|\b(?:mon|tue|wed|thu|fri|sat|sun), \d\d \w{3} \d{4} [\d:]{8} GMT"
    r"|\b1-[0-9a-f]{8}-[0-9a-f]{24}\b"  # trace ids
    r"|\b(?=[\w+/=-]*\d)[\w+/-]{20,}={0,2}"  # tokens and ids
    r"|\b[0-9a-f]{12,}\b"
    r"|\b\d+(?:\.\d+)? ?m?s\b"
)


class Kind(StrEnum):
    """Which way something changed."""

    WORSE = "worse"
    BETTER = "better"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    Attributes:
        kind: which way.
        about: `result`, `stage`, `finding`, `header`, `fact`, `expiry`, `latency`, `tools`, `configuration`, `best`,
            `ceiling`, `requirement`, `package`, `environment`, `file` or `run`.
        subject: the configuration, target or file that it is about; empty for the run as a whole.
        stage: the stage it was seen in; None for most.
        name: what differs: of a header, a fact or a package.
        old: what it was; empty where there was nothing.
        new: what it is.
        text: the same as a sentence.
    """

    kind: Kind
    about: str
    subject: str = ""
    stage: Stage | None = None
    name: str = ""
    old: str = ""
    new: str = ""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two runs side by side.

    Attributes:
        changes: what is worse first, then what is better, then the rest, each in the order of the new report.
    """

    old: Report
    new: Report
    changes: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Whether something got worse."""
        return any(one.kind is Kind.WORSE for one in self.changes)


def compare(old: Report, new: Report) -> Difference:
    """Compare two reports.

    Args:
        old: the earlier one.
        new: the later one; configurations are matched by what they are, not by their order.
    """
    found = [
        *_results(old, new),
        *_ceilings(old, new),
        *_requirements(old, new),
        *_files(old.lint, new.lint),
        *_run(old, new),
        *_environment(old, new),
    ]
    if old.exit_code == 0 and new.exit_code != 0 and not any(one.kind is Kind.WORSE for one in found):
        text = f"The run ended with exit code {new.exit_code}; it had ended with 0."
        found.append(Change(kind=Kind.WORSE, about="run", name="exit code", old="0", new=str(new.exit_code), text=text))
    order = list(Kind)
    return Difference(old=old, new=new, changes=tuple(sorted(found, key=lambda one: order.index(one.kind))))


def _results(old: Report, new: Report) -> Iterator[Change]:
    before, after = _by_identity(old.results), _by_identity(new.results)
    names = _names([*before, *after])
    for key, result in after.items():
        if key not in before:
            text = f"New configuration: it {_ended(result)}."
            yield Change(kind=Kind.OTHER, about="configuration", subject=names[key], new=_ended(result), text=text)
            continue
        yield from _result(before[key], result, names[key])
    for key, result in before.items():
        if key not in after:
            text = f"No longer tried; it {_ended(result, past=True)}."
            yield Change(
                kind=Kind.OTHER, about="configuration", subject=names[key], old=_ended(result, past=True), text=text
            )
    yield from _best(old, new)


_Key = tuple[str, str, str, str, str, str, str, str, int]


def _by_identity(results: Sequence[Result]) -> dict[_Key, Result]:
    """Results by what they are; of several that are the same the first is compared with the first."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = {}
    for result in results:
        key = _identity(result.target, result.configuration)
        # A line of a suite may move; what it tries is what tells it from others.
        named = result.origin is not None and not result.origin.in_suite
        own = (result.origin.file, result.origin.server) if named and result.origin else ("", "")
        seen[*key, *own] += 1
        found[*key, *own, seen[*key, *own]] = result
    return found


def _identity(target: str, one: Configuration) -> tuple[str, str, str, str, str, str]:
    return (
        target,
        one.endpoint,
        one.region or "",
        (one.service or "") if one.signed else "",
        one.credential,
        one.transport,
    )


def _names(keys: Iterable[_Key]) -> dict[_Key, str]:
    """As little of each configuration as tells it from the others."""
    wanted = list(dict.fromkeys(keys))
    short = {key: _name(key, endpoint=False) for key in wanted}
    counts = Counter(short.values())
    return {key: name if counts[name] == 1 else _name(key, endpoint=True) for key, name in short.items()}


def _name(key: _Key, *, endpoint: bool) -> str:
    target, url, region, service, credential, transport, *_, number = key
    how = "command" if transport == "stdio" else "unsigned"
    if credential != "none":
        how = f"{service or 'no service'}/{region or 'no region'} {credential}"
    where = f" {url}" if endpoint and url != target else ""
    return f"{target.removeprefix('https://')}{where} {how}{f' ({number})' if number > 1 else ''}"


def _ended(result: Result, *, past: bool = False) -> str:
    if result.untried:
        return "was not tried"
    if result.works:
        return "worked" if past else "works"
    status = f", HTTP {result.http_status}" if result.http_status else ""
    cause = f", {result.cause.value}" if result.cause else ""
    if result.works is None:
        return f"could not be known (stage {result.stage.value}{status}{cause})"
    return f"{'failed' if past else 'fails'} at {result.stage.value}{status}{cause}"


def _result(old: Result, new: Result, name: str) -> Iterator[Change]:
    told = list(_verdict(old, new, name))
    yield from told
    yield from _findings((*old.findings, *old.notes), (*new.findings, *new.notes), name, said=bool(told))
    traces = {trace.stage: trace for trace in old.stages}
    for trace in new.stages:
        if (before := traces.get(trace.stage)) is not None:
            yield from _stage(before, trace, name, told=bool(told))


def _verdict(old: Result, new: Result, name: str) -> Iterator[Change]:
    """Whether it works, and where and why it fails."""
    said = _ended(old, past=True), _ended(new)
    if (old.works, old.stage, old.http_status, old.cause) == (new.works, new.stage, new.http_status, new.cause):
        return
    if old.works and new.works and old.cause is new.cause:
        return  # a tool was called in one of them only
    kind = Kind.OTHER
    if bool(old.works) is not bool(new.works):
        expected = new.expected is not None and new.cause is new.expected
        kind = Kind.BETTER if new.works else Kind.OTHER if expected else Kind.WORSE
    elif _regressed(old, new):
        kind = Kind.WORSE
    why = next((one for one in new.findings if one.severity is Severity.ERROR), None)
    more = f" {why.title} [{why.check}]. {why.remedy}" if why and not new.works else ""
    text = f"It {said[0]}, now it {said[1]}.{more}"
    yield Change(
        kind=kind, about="result", subject=name, stage=new.stage, name="result", old=said[0], new=said[1], text=text
    )


def _regressed(old: Result, new: Result) -> bool:
    """Whether a stage fails that had passed."""
    passed = {trace.stage for trace in old.stages if trace.verdict is Verdict.PASSED}
    return any(trace.stage in passed and trace.verdict in (Verdict.FAILED, Verdict.BROKEN) for trace in new.stages)


def _findings(old: Sequence[Finding], new: Sequence[Finding], name: str, *, said: bool) -> Iterator[Change]:
    before, after = {one.check: one for one in old}, {one.check: one for one in new}
    for check, one in after.items():
        if check in before or (said and one.severity is Severity.ERROR):
            continue
        kind = Kind.OTHER if one.severity is Severity.INFO or said else Kind.WORSE
        text = f"New {one.severity.value}: {one.title} [{check}]. {one.remedy}"
        yield Change(kind=kind, about="finding", subject=name, name=check, new=one.title, text=text)
    for check, one in before.items():
        if check in after or (said and one.severity is Severity.ERROR):
            continue
        kind = Kind.OTHER if one.severity is Severity.INFO or said else Kind.BETTER
        text = f"Gone: {one.severity.value} {one.title} [{check}]."
        yield Change(kind=kind, about="finding", subject=name, name=check, old=one.title, text=text)


def _stage(old: Trace, new: Trace, name: str, *, told: bool) -> Iterator[Change]:
    tried = (Verdict.PASSED, Verdict.FAILED)
    if old.verdict not in tried or new.verdict not in tried:
        return
    if old.exchanges and new.exchanges:
        yield from _exchange(old.exchanges[-1], new.exchanges[-1], new.stage, name, told=told)
    yield from _facts(old.facts, new.facts, new.stage, name, told=told)
    if old.verdict is new.verdict is Verdict.PASSED:
        before, after = old.elapsed_s, new.elapsed_s
        if after >= SLOWER * before and after - before >= SLOWER_S:
            text = f"Stage {new.stage.value} took {after:.1f} s; it had taken {before:.1f} s."
            yield Change(
                kind=Kind.WORSE,
                about="latency",
                subject=name,
                stage=new.stage,
                name="elapsed_s",
                old=f"{before:.1f} s",
                new=f"{after:.1f} s",
                text=text,
            )


def _exchange(old: Exchange, new: Exchange, stage: Stage, name: str, *, told: bool) -> Iterator[Change]:
    if old.status != new.status and not told:
        was, now = str(old.status or "no answer"), str(new.status or "no answer")
        text = f"HTTP status of {stage.value}: {was} before, {now} now."
        yield Change(
            kind=Kind.OTHER, about="stage", subject=name, stage=stage, name="status", old=was, new=now, text=text
        )
    for header in HEADERS:
        was, now = old.headers.get(header, ""), new.headers.get(header, "")
        if steady(was) != steady(now):
            text = f"Header {header} of the answer in {stage.value}: {_shown(was)} before, {_shown(now)} now."
            yield Change(
                kind=Kind.OTHER, about="header", subject=name, stage=stage, name=header, old=was, new=now, text=text
            )


def _facts(
    old: Mapping[str, Fact], new: Mapping[str, Fact], stage: Stage, name: str, *, told: bool
) -> Iterator[Change]:
    for fact in dict.fromkeys((*old, *new)):
        was, now = old.get(fact), new.get(fact)
        if was == now:
            continue
        kind, about = Kind.OTHER, "fact"
        if fact == "tools":
            yield from _tools(was, now, stage, name)
            continue
        if fact == "clock_skew_s":
            if not (isinstance(was, int | float) and isinstance(now, int | float)) or abs(now - was) < SKEW_S:
                continue
            kind = Kind.WORSE if abs(now) > abs(was) else Kind.BETTER
        elif _EXPIRY.search(fact):
            # Temporary credentials end at another time in every run; that a certificate does is told.
            if stage is not Stage.TLS and (was is None) is (now is None):
                continue
            about = "expiry"
        elif not _told_of(fact, was, now, told=told):
            continue
        words = fact.replace("_", " ")
        yield Change(
            kind=kind,
            about=about,
            subject=name,
            stage=stage,
            name=fact,
            old=_words(was),
            new=_words(now),
            text=f"{stage.value}: {words}: {_shown(_words(was))} before, {_shown(_words(now))} now.",
        )


def _told_of(fact: str, was: Fact, now: Fact, *, told: bool) -> bool:
    """Whether a fact that differs says something: not advice, not noise, and no mere trace of another result."""
    if _ADVICE.search(fact) or fact in _NOISE or isinstance(was, float) or isinstance(now, float):
        return False
    if told and (was is None or now is None) and not _IDENTITY.search(fact):
        return False
    return _steady_fact(was) != _steady_fact(now)


def _tools(was: Fact, now: Fact, stage: Stage, name: str) -> Iterator[Change]:
    if not (isinstance(was, tuple) and isinstance(now, tuple)):
        return
    gone, come = [one for one in was if one not in now], [one for one in now if one not in was]
    for kind, words, names in ((Kind.WORSE, "gone", gone), (Kind.OTHER, "new", come)):
        if names:
            listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            old, new = (listed, "") if words == "gone" else ("", listed)
            text = f"Tools that are {words}: {listed}."
            yield Change(kind=kind, about="tools", subject=name, stage=stage, name="tools", old=old, new=new, text=text)


def _best(old: Report, new: Report) -> Iterator[Change]:
    before = {one.target: one.configuration for one in old.best}
    for one in new.best:
        was = before.get(one.target)
        if was is not None and was != one.configuration:
            names = [
                _name((*_identity(one.target, each), "", "", 1), endpoint=True) for each in (was, one.configuration)
            ]
            text = f"Another configuration is the best now: {names[1]}; it was {names[0]}."
            yield Change(kind=Kind.OTHER, about="best", subject=one.target, old=names[0], new=names[1], text=text)


def _ceilings(old: Report, new: Report) -> Iterator[Change]:
    before = {_identity(one.target, one.configuration): one for one in old.ceilings}
    after = {_identity(one.target, one.configuration): one for one in new.ceilings}
    for key, one in after.items():
        name = f"{one.target or one.configuration.endpoint} {caller(one.configuration)}"
        was = before.get(key)
        if was is None:
            if old.ceilings:
                text = f"Measured for the first time: {observed(one)}."
                yield Change(kind=Kind.OTHER, about="ceiling", subject=name, new=observed(one), text=text)
        elif (kind := _moved(was, one)) is not None:
            said = [f"{observed(each)}, {each.recommended_workers} safe" for each in (was, one)]
            text = f"The ceiling was {said[0]}; now {said[1]}."
            if was.limiter is not one.limiter:
                text += f" Kind of limit: {KINDS[was.limiter]} before, {KINDS[one.limiter]} now."
            yield Change(
                kind=kind,
                about="ceiling",
                subject=name,
                name="recommended_workers",
                old=said[0],
                new=said[1],
                text=text,
            )
        if was is not None and was.sufficient is not False and one.sufficient is False:
            text = f"Fewer workers are safe than the {required_of(workers_of(new), one.target)} that are required."
            yield Change(kind=Kind.WORSE, about="ceiling", subject=name, name="sufficient", text=text)
    for key, one in before.items():
        if key not in after and new.ceilings:
            name = f"{one.target or one.configuration.endpoint} {caller(one.configuration)}"
            yield Change(kind=Kind.OTHER, about="ceiling", subject=name, old=observed(one), text="No longer measured.")


def _requirements(old: Report, new: Report) -> Iterator[Change]:
    """What is required in both, and met in only one of them; what is required now and was not before."""
    before = {(one.target, one.name): one for one in old.requirements}
    for one in new.requirements:
        was = before.pop((one.target, one.name), None)
        if was is None and one.met:
            continue
        if was is None or was.met is not one.met:
            kind = Kind.BETTER if one.met else Kind.WORSE if was is None or was.met else Kind.OTHER
            text = f"Required {one.name}: {one.text}" + (f" Before: {was.text}" if was else "")
            yield Change(
                kind=kind,
                about="requirement",
                subject=one.target,
                name=one.name,
                old=was.text if was else "",
                new=one.text,
                text=text,
            )
    for was in before.values():
        text = f"No longer {'missed' if was.name == EXPECT else 'required'}: {was.name}."
        yield Change(kind=Kind.OTHER, about="requirement", subject=was.target, name=was.name, old=was.text, text=text)


def _moved(old: Ceiling, new: Ceiling) -> Kind | None:
    """Which way a ceiling went; None where two measurements of the same limit may differ as much."""
    if nothing_accepted(old) is not nothing_accepted(new):
        return Kind.WORSE if nothing_accepted(new) else Kind.BETTER
    if old.limiter is new.limiter:
        if old.recommended_workers == new.recommended_workers:
            return None
        if old.interval and new.interval and old.interval[0] <= new.interval[1] and new.interval[0] <= old.interval[1]:
            return None
    if old.recommended_workers == new.recommended_workers:
        return Kind.OTHER
    return Kind.WORSE if new.recommended_workers < old.recommended_workers else Kind.BETTER


def _files(old: Sequence[LintFinding], new: Sequence[LintFinding]) -> Iterator[Change]:
    """What lint found. Lines move, so a finding is the same in the same entry of the same file."""
    before = Counter((one.file, one.server, one.check) for one in old)
    after = Counter((one.file, one.server, one.check) for one in new)
    for findings, left, kind in ((new, after - before, Kind.WORSE), (old, before - after, Kind.BETTER)):
        for one in findings:
            key = one.file, one.server, one.check
            if left[key] <= 0:
                continue
            left[key] -= 1
            word = "New" if kind is Kind.WORSE else "Gone"
            way = Kind.OTHER if one.severity is Severity.INFO else kind
            place = f"{one.file}:{one.line}"
            text = f"{word} {one.severity.value} in line {one.line}: {one.text} [{one.check}]"
            yield Change(kind=way, about="file", subject=place, name=one.check, text=text)


def _run(old: Report, new: Report) -> Iterator[Change]:
    if old.interrupted != new.interrupted:
        kind = Kind.WORSE if new.interrupted else Kind.BETTER
        was, now = old.interrupted or "", new.interrupted or ""
        text = f"The run ended early: {now}." if now else f"The earlier run had ended early: {was}."
        yield Change(kind=kind, about="run", name="interrupted", old=was, new=now, text=text)
    yield from _findings(old.findings, new.findings, "", said=False)


def _environment(old: Report, new: Report) -> Iterator[Change]:
    before, after = old.environment, new.environment
    for package in dict.fromkeys((*before.packages, *after.packages)):
        was, now = before.packages.get(package, ""), after.packages.get(package, "")
        if was != now:
            text = f"Version of {package}: {_shown(was)} before, {_shown(now)} now."
            yield Change(kind=Kind.OTHER, about="package", name=package, old=was, new=now, text=text)
    for name, was, now in (
        ("Python", before.python, after.python),
        ("platform", before.platform, after.platform),
        ("mcpdoctor", old.mcpdoctor, new.mcpdoctor),
    ):
        if was != now:
            text = f"{name[0].upper()}{name[1:]}: {_shown(was)} before, {_shown(now)} now."
            yield Change(kind=Kind.OTHER, about="environment", name=name, old=was, new=now, text=text)


def steady(text: str) -> str:
    """A text without what differs from request to request: ids, tokens, times."""
    return _CHANGING.sub("…", text)


def _steady_fact(value: Fact) -> object:
    if isinstance(value, tuple):
        return sorted(map(steady, value))
    return steady(value) if isinstance(value, str) else value


def _words(value: Fact) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _shown(text: str) -> str:
    return text or "nothing"
