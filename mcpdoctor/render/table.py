"""A report for people: one row a configuration, then what to use, then what is wrong and how to mend it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from mcpdoctor.model import Report, Requirement, Result, Severity, Stage, Trace, Verdict, trace_of
from mcpdoctor.render import ceilings
from mcpdoctor.render.digest import (
    NAME,
    TEXT,
    Told,
    correction,
    distinct,
    ended,
    proxy_notes,
    read_from_clients,
    requirement_word,
    requirement_words,
    result_word,
    snippets,
)
from mcpdoctor.render.drawing import Paint, plain, rows, wrapped
from mcpdoctor.requirements import WORKERS

HEADERS = ("target", "region", "service", "credential", "result", "stage", "HTTP", "cause", "time")
_COLORS = {
    "works": "green",
    "not tried": "yellow",
    "fails": "red",
    "throttled": "yellow",
    "unknown": "yellow",
    "as expected": "green",
}
_REQUIREMENT_COLORS = {"met": "green", "missed": "red", "unknown": "yellow"}
_GROUPS = ("green", "yellow", "red")
_SEVERITY_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def table(report: Report, *, color: bool = False, width: int = 120, verbose: int = 0, quiet: bool = False) -> str:
    """Draw `report`; see `mcpdoctor.render.draw` for the arguments."""
    if quiet:
        return "".join(f"{line}\n" for line in (*short(report), *ceilings.short(report), *_missed(report)))
    if not report.results and not report.ceilings:
        why = "the suite names no target" if report.interrupted is None else "the run ended before"
        return f"Nothing was examined: {why}.\n"
    paint = Paint(on=color)
    parts = [_rows(report.results, paint, width)] if report.results else []
    parts += _callers(report, width)
    if report.interrupted is not None:
        why = "it was interrupted" if report.interrupted == "interrupted" else "its deadline passed"
        parts.append(paint(f"The run ended early: {why}. This is what was found until then.", fg="yellow"))
    if verbose:
        parts += [_stages(result, paint, exchanges=verbose > 1) for result in report.results]
    parts += _revisions(report.results, width)
    parts += _best(report, paint, width)
    parts += ceilings.ceilings(report, paint, width, verbose)
    parts += _requirements(report, paint, width)
    parts += [_finding(told, paint, width) for told in distinct(report)]
    return "\n\n".join(parts) + "\n"


def short(report: Report) -> Iterator[str]:
    """One line for each target."""
    yield from (f"{one.target}: {one.words}" for one in ended(report))


def _missed(report: Report) -> Iterator[str]:
    """One line for each requirement that is not met."""
    for one in _asked(report):
        if not one.met:
            yield f"{requirement_word(one)}: {plain(requirement_words(one), TEXT)}"


def _asked(report: Report) -> Iterator[Requirement]:
    """The requirements, without those of `--require-workers` that stand beside a ceiling already."""
    measured = {one.target for one in report.ceilings}
    for one in report.requirements:
        if one.file or one.name != WORKERS or one.target not in measured:
            yield one


def _requirements(report: Report, paint: Paint, width: int) -> Iterator[str]:
    """What is required, and what came of it; where it is asked for, of what is not met."""
    lines = []
    for one in _asked(report):
        word = requirement_word(one)
        place = f" ({plain(one.file, 400)}:{one.line}:{one.column})" if one.file and not one.met else ""
        first, *more = wrapped(plain(requirement_words(one), TEXT) + place, width, " " * 10)
        lines += [f"  {paint(f'{word:<7}', fg=_REQUIREMENT_COLORS[word])} {first.lstrip()}", *more]
    if lines:
        yield "\n".join([paint("Required:", bold=True), *lines])


def _rows(results: Iterable[Result], paint: Paint, width: int) -> str:
    cells = []
    for result in results:
        one = result.configuration
        cells.append(
            [
                result.target.removeprefix("https://"),
                one.region or "-",
                one.service if one.signed and one.service else "-",
                one.credential,
                result_word(result),
                result.stage.value,
                str(result.http_status or "-"),
                result.cause.value if result.cause else "-",
                f"{result.elapsed_s:.2f} s",
            ]
        )
    words = {word: paint(word, fg=color) for word, color in _COLORS.items()}
    return rows(HEADERS, cells, width, {HEADERS.index("result"): words})


def _stages(result: Result, paint: Paint, *, exchanges: bool) -> str:
    one = result.configuration
    head = f"{one.endpoint} region={one.region} service={one.service} credential={one.credential}"
    lines = [paint(head, bold=True)]
    for trace in result.stages:
        lines.append(f"  {trace.stage.value:<5} {trace.verdict.value:<7} {_note(trace)}".rstrip())
        if trace.stage is Stage.AUTH and (words := trace.facts.get("credential_words")):
            lines.append(f"        credential: {plain(str(words), 800)}")
        if exchanges:
            lines += [f"        {line}" for line in _exchange_lines(trace)]
    return "\n".join(lines)


def _revisions(results: Iterable[Result], width: int) -> Iterator[str]:
    """Which revisions of MCP each endpoint speaks, where that was asked."""
    told: dict[str, None] = {}
    for result in results:
        for trace in result.stages:
            spoken, refused = trace.facts.get("revisions"), trace.facts.get("revisions_refused")
            if isinstance(spoken, tuple) and isinstance(refused, tuple):
                words = f"speaks MCP {', '.join(spoken)}" if spoken else "names no revision of MCP"
                without = f"; not {', '.join(refused)}" if refused else ""
                told[f"{result.configuration.endpoint} {words}{without}."] = None
    if told:
        yield "\n".join(line for one in told for line in wrapped(one, width))


def _spoken(trace: Trace) -> str:
    """In which revision and form a session was opened."""
    revision, form = trace.facts.get("protocol"), trace.facts.get("answers_as")
    return (f" MCP {revision}" if revision else "") + (f" in {form}" if form else "")


def _note(trace: Trace) -> str:
    if trace.reason:
        return trace.reason
    took = f"{trace.elapsed_s * 1000:.0f} ms"
    statuses = [str(one.status) for one in trace.exchanges if one.method == "POST" and one.status]
    root = f" {trace.failures[0][-1].type}: {trace.failures[0][-1].message}" if trace.failures else ""
    return took + (f" HTTP {' '.join(statuses)}" if statuses else "") + _spoken(trace) + root


def _callers(report: Report, width: int) -> Iterator[str]:
    """Who each credential is, where AWS STS was asked (`--whoami`)."""
    lines: dict[str, None] = {}
    for result in report.results:
        auth = trace_of(result.stages, Stage.AUTH)
        facts = auth.facts if auth else {}
        if facts.get("whoami_failed") is None:
            continue
        who = f"{facts.get('whoami_arn')} (account {facts.get('whoami_account')})"
        if facts["whoami_failed"]:
            who = f"{facts.get('whoami_host')} did not say who it is: {facts.get('whoami_problem')}"
        lines |= dict.fromkeys(wrapped(f"{result.configuration.credential}: {who}", width))
    if lines:
        yield "\n".join(["Callers, as AWS STS names them:", *lines])


def _exchange_lines(trace: Trace) -> Iterator[str]:
    for one in trace.exchanges:
        answer = one.status or "no answer"
        yield f"{one.method} {one.url} {one.rpc_method or ''} -> {answer} {one.elapsed_s * 1000:.0f} ms"
        for name, value in one.headers.items():
            yield f"  {name}: {value}"
        if one.body and trace.verdict is Verdict.FAILED:
            yield f"  {' '.join(one.body.split())[:400]}"


def _best(report: Report, paint: Paint, width: int) -> Iterator[str]:
    """What to paste, the signed ones first; the same snippet once. Entries of files that work stay as they are."""
    read = read_from_clients(report)
    yield from _entries(report, paint, width)
    notes = proxy_notes(report)
    for number, (snippet, names) in enumerate(snippets(report)):
        words = "Use this" if number == 0 else "Works too"
        head = paint(f"{words} ({', '.join(names)}):", fg="green", bold=True)
        drawn = f"{head}\n\n{textwrap.indent(snippet, '    ')}"
        if snippet in notes:
            command, why = notes[snippet]
            drawn += "\n\n" + "\n".join([f"    {command}", *wrapped(why, width)])
        yield drawn
    missing = [
        target
        for target in dict.fromkeys(result.target for result in report.results if result.expected is None)
        if target not in {one.target for one in report.best} | read
    ]
    if missing:
        yield paint(
            f"No configuration works for {', '.join(plain(one, NAME) for one in missing)}.", fg="red", bold=True
        )


def _entries(report: Report, paint: Paint, width: int) -> Iterator[str]:
    """Which entries of client files work, which do not, and which were not tried, for what reason."""
    working = {one.target: one.configuration.transport for one in report.best}
    groups: dict[tuple[str, str], list[str]] = {}
    for result in report.results:
        if result.origin is None or result.origin.in_suite:
            continue
        if result.untried:
            key = "Not tried:", "yellow"
            told = f"{result.target}: {result.stages[0].reason}."
        else:
            begun = working.get(result.target) == "stdio" or result.origin.value("command") is None
            well = "Works as it is written:" if begun else "Its endpoint works; its command was not started:"
            key = (well, "green") if result.target in working else ("Does not work:", "red")
            told = result.target
        groups.setdefault(key, []).append(told)
    for (words, color), names in sorted(groups.items(), key=lambda group: _GROUPS.index(group[0][1])):
        lines = [line for name in names for line in wrapped(name, width)]
        yield "\n".join([paint(words, fg=color, bold=True), *lines])


def _finding(told: Told, paint: Paint, width: int) -> str:
    finding, places = told.finding, len(told.places)
    kind = paint(finding.severity.value, fg=_SEVERITY_COLORS[finding.severity], bold=True)
    more = f" ({places} configurations)" if places > 1 else ""
    lines = [f"{kind} {paint(finding.title, bold=True)} [{finding.check}]{more}"]
    if finding.file:
        lines.append(f"  {plain(finding.file, 400)}:{finding.line}:{finding.column}")
    pairs: Sequence[tuple[str, str]] = (("", finding.text), ("Seen: ", finding.evidence), ("Fix: ", finding.remedy))
    for label, text in pairs:
        if text:
            lines += wrapped(label + plain(text, TEXT), width)
    if entry := correction(finding):
        lines += ["  The entry, corrected:", "", textwrap.indent(entry, "      ")]
    return "\n".join(lines)
