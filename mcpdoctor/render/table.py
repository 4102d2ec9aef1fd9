"""A report for people: one row a configuration, then what to use, then what is wrong and how to mend it."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from mcpdoctor.credentials import profile_of
from mcpdoctor.inference import why_given
from mcpdoctor.model import Cause, Configuration, Finding, Report, Result, Severity, Stage, Trace, Verdict, trace_of
from mcpdoctor.redaction import clean
from mcpdoctor.render import ceilings
from mcpdoctor.render.drawing import Paint, plain, rows, wrapped
from mcpdoctor.snippets.code import fragment
from mcpdoctor.snippets.libraries import libraries

HEADERS = ("target", "region", "service", "credential", "result", "stage", "HTTP", "cause", "time")
_COLORS = {
    "works": "green",
    "not tried": "yellow",
    "fails": "red",
    "throttled": "yellow",
    "unknown": "yellow",
    "as expected": "green",
}
_GROUPS = ("green", "yellow", "red")
_SEVERITY_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}


def table(report: Report, *, color: bool = False, width: int = 120, verbose: int = 0, quiet: bool = False) -> str:
    """Draw `report`; see `mcpdoctor.render.draw` for the arguments."""
    if quiet:
        return "".join(f"{line}\n" for line in (*_short(report), *ceilings.short(report)))
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
    parts += [_finding(finding, places, paint, width) for finding, places in _distinct(report)]
    return "\n\n".join(parts) + "\n"


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


def _short(report: Report) -> Iterator[str]:
    best = {one.target: one.configuration for one in report.best}
    for target in dict.fromkeys(result.target for result in report.results):
        if target in best:
            one = best[target]
            if one.transport == "stdio":
                yield f"{target}: works: its command was started"
                continue
            signed = f"signed for {one.service} in {one.region} with {one.credential}" if one.signed else "unsigned"
            yield f"{target}: works: {one.endpoint} {f'with {one.credential}' if one.bearer else signed}"
            continue
        mine = [result for result in report.results if result.target == target]
        if all(result.untried for result in mine):
            yield f"{target}: not tried: {mine[0].stages[0].reason}"
            continue
        causes = dict.fromkeys(result.cause.value if result.cause else "unknown" for result in mine)
        words = "fails as expected" if {"as expected"} == set(map(result_word, mine)) else "does not work"
        yield f"{target}: {words}: {', '.join(causes)}"


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
    read = {result.target for result in report.results if result.origin is not None}
    yield from _entries(report, paint, width)
    targets: dict[str, list[str]] = {}
    notes: dict[str, tuple[str, str]] = {}
    strands = libraries()["strands"]
    for one in sorted(report.best, key=lambda best: not best.configuration.signed):
        if one.target not in read:
            snippet = fragment(strands, one.configuration)
            targets.setdefault(snippet, []).append(one.target)
            if told := _proxy(one.configuration):
                notes[snippet] = told
    for number, (snippet, names) in enumerate(targets.items()):
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
        yield paint(f"No configuration works for {', '.join(missing)}.", fg="red", bold=True)


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


def _entries(report: Report, paint: Paint, width: int) -> Iterator[str]:
    """Which entries of client files work, which do not, and which were not tried, for what reason."""
    working = {one.target: one.configuration.transport for one in report.best}
    groups: dict[tuple[str, str], list[str]] = {}
    for result in report.results:
        if result.origin is None:
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


def _distinct(report: Report) -> list[tuple[Finding, int]]:
    """Each finding once, with how many configurations it stands against; the worst first.

    Two findings of configurations are the same when their check and remedy are: the text may name another host. Those
    of the run, about ceilings, hold figures that differ.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault((finding.check, finding.text), []).append(finding)
    for finding in (one for result in report.results for one in result.findings):
        place = f"{finding.file}:{finding.line}:{finding.column}" if finding.file else ""
        groups.setdefault((finding.check, f"{place} {finding.remedy}"), []).append(finding)
    found = [(group[0], len(group)) for group in groups.values()]
    return sorted(found, key=lambda pair: -pair[0].severity.weight)


def _finding(finding: Finding, places: int, paint: Paint, width: int) -> str:
    kind = paint(finding.severity.value, fg=_SEVERITY_COLORS[finding.severity], bold=True)
    more = f" ({places} configurations)" if places > 1 else ""
    lines = [f"{kind} {paint(finding.title, bold=True)} [{finding.check}]{more}"]
    if finding.file:
        lines.append(f"  {plain(finding.file, 400)}:{finding.line}:{finding.column}")
    pairs: Sequence[tuple[str, str]] = (("", finding.text), ("Seen: ", finding.evidence), ("Fix: ", finding.remedy))
    for label, text in pairs:
        if text:
            lines += wrapped(label + text, width)
    if finding.correction:
        entry = textwrap.dedent(clean(finding.correction, limit=8000)).strip("\n")
        # A line that a CI system would take for a command is none of a configuration.
        if not any(line.lstrip().startswith(("::", "##[")) for line in entry.splitlines()):
            lines += ["  The entry, corrected:", "", textwrap.indent(entry, "      ")]
    return "\n".join(lines)
