"""A report as JUnit XML, which CI systems show as tests: a suite for each configuration, a case for each stage.

Written to satisfy both common schemas, that of Ant (Windy Road) and that of Jenkins (xunit plugin, junit-10): order of
the elements and every attribute that one of them requires.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mcpdoctor.limits import caller, nothing_accepted, observed, plural, required_of
from mcpdoctor.model import Ceiling, Finding, LintFinding, Report, Result, Severity, Trace, Verdict
from mcpdoctor.render.digest import (
    TEXT,
    ended,
    labels,
    requirement_word,
    requirement_words,
    result_word,
    seconds,
    shown,
)
from mcpdoctor.requirements import workers_of

_NO_TIME = "1970-01-01T00:00:00"


def dumps(report: Report) -> str:
    """The report as XML, with a line end at its end."""
    root = Element("testsuites")
    for result, name in zip(report.results, labels(report.results), strict=True):
        _of_result(root, report, result, name)
    if report.ceilings:
        _of_ceilings(root, report)
    if report.requirements:
        _of_requirements(root, report)
    for file, found in groupby(report.lint, key=lambda one: one.file):
        _of_file(root, report, file, list(found))
    if report.interrupted is not None:
        suite = _suite(root, report, "mcpdoctor", report.elapsed_s)
        _case(suite, "the run came to its end", "mcpdoctor", report.elapsed_s).append(
            _told("failure", f"The run ended early: {report.interrupted}.", "interrupted")
        )
    for number, suite in enumerate(root):
        _count(suite, number)
    indent(root)
    drawn = tostring(root, encoding="unicode")
    # What some CI systems take for a command, wherever it stands in a log.
    drawn = drawn.replace("##", "&#35;#").replace("\n::", "\n&#58;:")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{drawn}\n'


def _of_result(root: Element, report: Report, result: Result, name: str) -> None:
    one = result.configuration
    origin = f"{result.origin.file}:{result.origin.line}" if result.origin else ""
    own = {
        "target": result.target,
        "endpoint": one.endpoint,
        "region": one.region or "",
        "service": one.service or "",
        "credential": one.credential,
        "transport": one.transport,
        "result": result_word(result),
        "entry": origin,
    }
    suite = _suite(root, report, name, result.elapsed_s, own)
    works = {one.target for one in ended(report) if one.mark == "works"}
    for trace in result.stages:
        case = _case(suite, trace.stage.value, name, trace.elapsed_s)
        if trace.verdict in (Verdict.BLOCKED, Verdict.SKIPPED):
            SubElement(case, "skipped", message=shown(trace.reason or trace.verdict.value, TEXT))
        elif trace.verdict is Verdict.BROKEN:
            what = f"A fault of mcpdoctor itself: {trace.reason or 'unknown'}"
            case.append(_told("error", what, "broken", "\n".join(_chains(trace))))
        elif trace.verdict is Verdict.FAILED and result_word(result) != "as expected":
            case.append(_failure(result, trace, beside=result.target in works))
    _lines(suite, [line for finding in (*result.findings, *result.notes) for line in _lines_of(finding)])


def _failure(result: Result, trace: Trace, *, beside: bool) -> Element:
    """What failed: the findings of its configuration, the worst first; without one, the chain of exceptions."""
    found = sorted(result.findings, key=lambda one: -one.severity.weight)
    errors = [one for one in found if one.severity is not Severity.INFO]
    status = f"HTTP {result.http_status}: " if result.http_status else ""
    said = errors[0].title if errors else f"stage {trace.stage.value} failed"
    lines = [line for one in errors for line in _lines_of(one)] or list(_chains(trace))
    if beside:
        lines.append("Another configuration of this target works.")
    kind = result.cause.value if result.cause else "unknown"
    return _told("failure", f"{status}{said}", kind, "\n".join(lines))


def _of_ceilings(root: Element, report: Report) -> None:
    suite = _suite(root, report, "ceilings", sum(seconds(one.elapsed_s) for one in report.ceilings))
    for one in report.ceilings:
        case = _case(suite, f"{one.target or one.configuration.endpoint} {caller(one.configuration)}", "ceilings")
        case.set("time", f"{seconds(one.elapsed_s):.3f}")
        if nothing_accepted(one):
            case.append(_told("failure", "Nothing was accepted.", "ceiling", _measured(one)))
        elif one.sufficient is False:
            wanted = required_of(workers_of(report), one.target)
            what = f"{wanted} workers are required, {one.recommended_workers} are safe."
            case.append(_told("failure", what, "ceiling", _measured(one)))
    lines = [_measured(one) for one in report.ceilings]
    _lines(suite, [*lines, *(line for finding in report.findings for line in _lines_of(finding))])


def _of_requirements(root: Element, report: Report) -> None:
    suite = _suite(root, report, "requirements", 0.0)
    for one in report.requirements:
        case = _case(suite, f"{one.target} {one.name}", "requirements")
        if not one.met:
            place = f"{shown(one.file)}:{one.line}:{one.column}" if one.file else ""
            case.append(_told("failure", one.text, f"requirement {requirement_word(one)}", place))
    _lines(suite, [shown(requirement_words(one), TEXT) for one in report.requirements])


def _measured(one: Ceiling) -> str:
    name = shown(f"{one.target or one.configuration.endpoint} {caller(one.configuration)}")
    return f"{name}: {shown(observed(one), TEXT)}; safe: {plural(one.recommended_workers, 'worker')}."


def _of_file(root: Element, report: Report, file: str, found: list[LintFinding]) -> None:
    suite = _suite(root, report, shown(file), 0.0)
    for one in found:
        case = _case(suite, f"{one.check} at {one.line}:{one.column}", file)
        text = f"{file}:{one.line}:{one.column}: {one.text}"
        if one.severity is not Severity.INFO:
            kind = f"{one.severity.value} {one.cause.value}"
            case.append(_told("failure", one.title or one.text, kind, f"{shown(text, TEXT)}\nFix: {shown(one.remedy)}"))


def _lines_of(finding: Finding) -> Iterator[str]:
    place = f"{shown(finding.file)}:{finding.line}:{finding.column}: " if finding.file else ""
    what = f"{shown(finding.title)} [{shown(finding.check)}]: {shown(finding.text, TEXT)}"
    yield f"{place}{finding.severity.value}: {what}"
    for label, text in (("Seen", finding.evidence), ("Fix", finding.remedy), ("See", finding.url)):
        if text:
            yield f"{label}: {shown(text, TEXT)}"


def _chains(trace: Trace) -> Iterator[str]:
    for chain in trace.failures:
        yield " <- ".join(f"{shown(one.type)}: {shown(one.message, TEXT)}" for one in chain)


def _suite(root: Element, report: Report, name: str, elapsed_s: float, own: Mapping[str, str] | None = None) -> Element:
    started = shown(report.started, 40).removesuffix("Z").partition(".")[0]
    suite = SubElement(
        root,
        "testsuite",
        name=shown(name) or "-",
        package="mcpdoctor",
        timestamp=started if _is_time(started) else _NO_TIME,
        hostname="localhost",
        time=f"{seconds(elapsed_s):.3f}",
    )
    environment = {
        "mcpdoctor": report.mcpdoctor,
        "exit_code": str(report.exit_code),
        "python": report.environment.python,
        "platform": report.environment.platform,
        **{f"package.{package}": version for package, version in report.environment.packages.items()},
        **(own or {}),
    }
    properties = SubElement(suite, "properties")
    for key, value in environment.items():
        if value:
            SubElement(properties, "property", name=shown(key), value=shown(value))
    return suite


def _is_time(text: str) -> bool:
    from datetime import datetime

    try:
        return len(text) == len(_NO_TIME) and bool(datetime.fromisoformat(text)) and text[10] == "T"
    except ValueError:
        return False


def _case(suite: Element, name: str, of: str, elapsed_s: float = 0.0) -> Element:
    time = f"{seconds(elapsed_s):.3f}"
    return SubElement(suite, "testcase", name=shown(name) or "-", classname=shown(of) or "-", time=time)


def _told(tag: str, message: str, kind: str, text: str = "") -> Element:
    told = Element(tag, message=shown(message, TEXT), type=shown(kind))
    told.text = text or None
    return told


def _lines(suite: Element, lines: list[str]) -> None:
    SubElement(suite, "system-out").text = "\n".join(lines) or None
    SubElement(suite, "system-err")


def _count(suite: Element, number: int) -> None:
    if suite.find("system-out") is None:
        _lines(suite, [])
    suite.set("id", str(number))
    suite.set("tests", str(len(suite.findall("testcase"))))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
