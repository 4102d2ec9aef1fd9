"""A report as one page: no scripts, nothing from elsewhere, readable without colours, on paper and on a phone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from mcpdoctor.limits import KINDS, answer, caller, nothing_accepted, percent, plural
from mcpdoctor.model import Ceiling, Exchange, Finding, Report, Result, Stage, Trace, Verdict
from mcpdoctor.redaction import clean
from mcpdoctor.render.ceilings import plot
from mcpdoctor.render.digest import (
    TEXT,
    correction,
    distinct,
    ended,
    headline,
    labels,
    requirement_words,
    result_word,
    seconds,
    shown,
    snippets,
    target_name,
    took,
)
from mcpdoctor.render.drawing import Plot

MOST = 500
"""Configurations that are drawn; of more the rest are counted."""

_FINDINGS = 200
_EXCHANGES = 20
_BODY = 2_000
_FACTS = 80
_SYMBOLS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.BLOCKED: "·",
    Verdict.SKIPPED: "–",  # noqa: RUF001  # a dash
    Verdict.BROKEN: "!",
}
_MARKS = {
    "works": ("✓", "good"),
    "as expected": ("✓", "good"),
    "fails": ("✗", "bad"),
    "throttled": ("!", "warn"),
    "unknown": ("?", "warn"),
    "not tried": ("–", "idle"),  # noqa: RUF001  # a dash
}
_REQUIRED = {
    True: ("met", "✓", "good"),
    False: ("missed", "✗", "bad"),
    None: ("not known", "?", "warn"),
}
_SEVERITIES = {"error": ("✗", "bad"), "warning": ("!", "warn"), "info": ("i", "note")}
_SLOW_S = (0.25, 1.0)
"""Seconds of a stage that passed, from which on its cell is drawn in the second and in the third shade."""


def dumps(report: Report) -> str:
    """The report as a page in HTML 5, with a line end at its end."""
    style = _style()
    names = labels(report.results)
    found = distinct(report)
    drawn = report.results[:MOST]
    longest = max((_in_stages(result) for result in drawn), default=0.0)
    page = (
        _environment()
        .from_string(_read("page.html"))
        .render(
            report=report,
            headline=headline(report),
            mark=_mark(report),
            policy=_policy(style),
            style=Markup(style),  # noqa: S704  # a file of ours
            targets=[(one, *_MARKS[one.mark]) for one in ended(report)],
            requirements=[(one, requirement_words(one), *_REQUIRED[one.met]) for one in report.requirements[:MOST]],
            pressing=[_finding(one.finding, one.places, names) for one in found[:_FINDINGS] if one.pressing],
            others=[_finding(one.finding, one.places, names) for one in found[:_FINDINGS] if not one.pressing],
            more_findings=max(0, len(found) - _FINDINGS),
            stages=[stage.value for stage in Stage],
            rows=[_row(*pair, number, longest) for number, pair in enumerate(zip(drawn, names, strict=False))],
            more_rows=max(0, len(report.results) - MOST),
            snippets=snippets(report),
            ceilings=[_ceiling(one, number) for number, one in enumerate(report.ceilings[:MOST])],
            lint=[(one, *_SEVERITIES[one.severity.value]) for one in report.lint[:MOST]],
            more_lint=max(0, len(report.lint) - MOST),
            packages=sorted(report.environment.packages.items()),
        )
    )
    # What some CI systems take for a command, where a page is printed into a log.
    page = page.replace("##", "&#35;#").replace("\n::", "\n&#58;:")
    return page.rstrip("\n") + "\n"


def _mark(report: Report) -> tuple[str, str]:
    """Symbol and kind of the whole."""
    if report.exit_code == 0:
        return ("✓", "good")
    return ("–", "idle") if report.exit_code == 3 else ("✗", "bad")  # noqa: RUF001  # a dash


@dataclass(frozen=True, slots=True)
class _Bar:
    """One stage in the waterfall, in thousandths of its width."""

    stage: str
    start: float
    width: float
    words: str


def _row(result: Result, name: str, number: int, longest: float) -> Mapping[str, Any]:
    symbol, kind = _MARKS[result_word(result)]
    traces = {trace.stage: trace for trace in result.stages}
    bars = list(_bars(result, longest))
    return {
        "id": f"c{number + 1}",
        "name": name,
        "how": name.removeprefix(target_name(result.target)).strip(),
        "result": result,
        "word": result_word(result),
        "symbol": symbol,
        "kind": kind,
        "cells": [_cell(stage, traces.get(stage), result) for stage in Stage],
        "took": took(result.elapsed_s),
        "in_stages": took(_in_stages(result)),
        "bars": bars,
        "told": ", ".join(bar.words for bar in bars) or "nothing was tried",
        "traces": [_trace(trace) for trace in result.stages],
        "findings": [finding.check for finding in (*result.findings, *result.notes)],
    }


def _cell(stage: Stage, trace: Trace | None, result: Result) -> Mapping[str, str]:
    if trace is None:
        return {"stage": stage.value, "kind": "idle", "symbol": "–", "text": "", "words": "not tried"}  # noqa: RUF001
    text, kind, words = "", "idle", trace.verdict.value
    if trace.verdict is Verdict.PASSED:
        shade = sum(trace.elapsed_s >= limit for limit in _SLOW_S)
        text, kind = took(trace.elapsed_s), f"good shade{shade}"
    elif trace.verdict is Verdict.FAILED:
        status = result.http_status if stage is result.stage else None
        text, kind = str(status or ""), "good expected" if result_word(result) == "as expected" else "bad"
        words = "failed as expected" if result_word(result) == "as expected" else "failed"
    elif trace.verdict is Verdict.BROKEN:
        kind, words = "warn", "a fault of mcpdoctor itself"
    if trace.reason:
        words = f"{words}: {trace.reason}"
    return {"stage": stage.value, "kind": kind, "symbol": _SYMBOLS[trace.verdict], "text": text, "words": words}


def _bars(result: Result, longest: float) -> Iterator[_Bar]:
    start = 0.0
    for trace in result.stages:
        if trace.verdict not in (Verdict.PASSED, Verdict.FAILED):
            continue
        part = seconds(trace.elapsed_s) / longest * 1000 if longest > 0 else 0.0
        width = max(part, 2.0)  # what was tried can be seen
        words = f"{trace.stage.value} {took(trace.elapsed_s)}"
        yield _Bar(trace.stage.value, round(start, 1), round(min(width, 1000 - start), 1), words)
        start = min(start + width, 998.0)


def _in_stages(result: Result) -> float:
    return sum(seconds(trace.elapsed_s) for trace in result.stages)


def _trace(trace: Trace) -> Mapping[str, Any]:
    facts = [(name, _fact(value)) for name, value in list(trace.facts.items())[:_FACTS] if value not in (None, "", ())]
    return {
        "stage": trace.stage.value,
        "verdict": trace.verdict.value,
        "symbol": _SYMBOLS[trace.verdict],
        "took": took(trace.elapsed_s) if trace.verdict in (Verdict.PASSED, Verdict.FAILED) else "",
        "reason": trace.reason or "",
        "chains": trace.failures[:10],
        "exchanges": [_exchange(one) for one in trace.exchanges[:_EXCHANGES]],
        "facts": facts,
    }


def _exchange(one: Exchange) -> Mapping[str, Any]:
    answered = f"HTTP {one.status}" if one.status else "no answer"
    head = f"{one.method} {one.url} {one.rpc_method or ''} → {answered}, {took(one.elapsed_s)}"
    return {"head": head, "headers": list(one.headers.items())[:40], "body": block(one.body or "", _BODY)}


def _fact(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _finding(finding: Finding, places: Sequence[int], names: Sequence[str]) -> Mapping[str, Any]:
    symbol, kind = _SEVERITIES[finding.severity.value]
    return {
        "finding": finding,
        "symbol": symbol,
        "kind": kind,
        "page": finding.url if finding.url.startswith("https://") else "",
        "correction": block(entry) if (entry := correction(finding)) else "",
        "places": [(f"c{number + 1}", names[number]) for number in places[:20] if number < MOST],
        "more": max(0, len(places) - 20),
    }


def _ceiling(one: Ceiling, number: int) -> Mapping[str, Any]:
    drawn = plot(one)
    return {
        "id": f"p{number + 1}",
        "name": one.target or one.configuration.endpoint,
        "caller": caller(one.configuration),
        "answer": answer(one),
        "workers": "" if nothing_accepted(one) else f"Safe: {plural(one.recommended_workers, 'worker')}.",
        "kind": KINDS[one.limiter],
        "sure": percent(one.confidence),
        "ceiling": one,
        "plot": _drawing(drawn),
        "levels": _levels(drawn),
    }


def _drawing(drawn: Plot) -> Mapping[str, Any] | None:
    """The bars of a plot, in units of a picture of 960 by 240."""
    top = max((*drawn.accepted, *drawn.refused), default=0)
    if not top:
        return None
    wide = 900 / max(1, len(drawn.accepted))
    bars = [
        {
            "kind": kind,
            "x": round(50 + column * wide + wide * 0.1, 1),
            "width": round(wide * 0.8, 1),
            "y": round(base - height if kind == "accepted" else base, 1),
            "height": round(height, 1),
            "words": f"{kind}: {count}",
        }
        for kind, counts, base in (("accepted", drawn.accepted, 110.0), ("refused", drawn.refused, 114.0))
        for column, count in enumerate(counts)
        if count
        for height in [max(3.0, count / top * 92)]
    ]
    ticks = [(round(50 + (column + 0.5) * wide, 1), text) for column, text in _spaced(drawn.ticks, wide)]
    accepted, refused = sum(drawn.accepted), sum(drawn.refused)
    words = f"{accepted} requests accepted and {refused} refused, by {drawn.caption}."
    return {"bars": bars, "ticks": ticks, "caption": drawn.caption, "top": top, "words": words}


def _spaced(ticks: Mapping[int, str], wide: float) -> Iterator[tuple[int, str]]:
    """Of the marks under a plot those that have room, the most important first."""
    taken: list[tuple[float, float]] = []
    for column, text in ticks.items():
        middle, half = column * wide, len(text) * 6 + 6
        if all(middle + half <= start or middle - half >= end for start, end in taken):
            taken.append((middle - half, middle + half))
            yield column, text


def _levels(drawn: Plot) -> list[tuple[str, int, int]]:
    """The plot as a table: only columns that hold something."""
    pairs = zip(drawn.accepted, drawn.refused, strict=True)
    return [
        (drawn.ticks.get(column, str(column + 1)), accepted, refused)
        for column, (accepted, refused) in enumerate(pairs)
        if accepted or refused
    ]


def block(text: str, limit: int = 8_000) -> Markup:
    """Lines of others, escaped."""
    return escape(clean(text, limit=limit))


def _finalize(value: object) -> object:
    """What stands between braces in the page: made safe to show, whatever it is."""
    return shown(value, TEXT) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    environment.filters["block"] = block
    environment.filters["took"] = took
    environment.filters["named"] = target_name
    return environment


@cache
def _style() -> str:
    return "\n" + _read("page.css")


def _policy(style: str) -> str:
    """What the page may do: nothing but its own style."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def _read(name: str) -> str:
    return (files("mcpdoctor.render") / name).read_text(encoding="utf-8")
