"""Reports whose every text attacks whatever shows it, for tests of properties."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mcpdoctor.failures import Failure
from mcpdoctor.model import (
    Best,
    Cause,
    Ceiling,
    Configuration,
    Environment,
    Exchange,
    Finding,
    LintFinding,
    Origin,
    Report,
    Requirement,
    Result,
    Severity,
    Stage,
    Trace,
    Verdict,
)
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop

ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</style>",
    "</title>",
    "</pre></details>",
    "]]>",
    "<!--",
    "-->",
    "<![CDATA[",
    "&amp;",
    "&#0;",
    "&#60;b&#62;",
    "\x00",
    "\x08",
    "\x0b",
    "\x85",
    "\x1b]0;owned\x07",
    "\x1b[31m",
    "\x9b2J",
    "\ud800",
    "\udfff",
    "\ufffe",
    "\u202e",
    "\u2028",
    "\n",
    "\r\n",
    "\t",
    "::error::owned",
    "\n::add-mask::x",
    "\n::stop-commands::x",
    "##[error]owned",
    "##vso[task.complete]",
    "%0A::error::owned",
    "%",
    ",",
    ":",
    "|",
    "\\|",
    "\\",
    "\\\\|",
    "`",
    "``",
    "```\n",
    "~~~",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/p.png)",
    "](https://evil.example)",
    "https://evil.example/x",
    "www.evil.example",
    "WWW.evil.example",
    "mailto:a@evil.example",
    "admin@evil.example",
    "@octocat",
    "#1",
    "$x$",
    ":boom:",
    "**bold**",
    "_em_",
    "~~gone~~",
    "# head",
    "- item",
    "1. item",
    "> quote",
    "---",
    "| a | b |",
    "    code",
    "{{7*7}}",
    "{% raw %}",
    '"',
    "'",
    '" onmouseover="alert(1)',
    "# EOF",
    '"} 1\n# EOF\n',
    "javascript:alert(1)",
    "data:text/html,x",
    "é",
    "漢字",
    "👩‍💻",
)

hostile = st.lists(st.sampled_from(ATTACKS) | st.text(max_size=6), min_size=0, max_size=5).map("".join)
some = hostile.map(lambda text: f"x{text}")
"""The same, never empty."""

_names = st.none() | hostile
_numbers = st.sampled_from([0, 1, 12])
_seconds = st.sampled_from([0.0, 0.0123, 2.5])
_times = hostile | st.sampled_from(["2026-11-22T12:00:00Z", "2026-11-22T12:00:00.5Z", "2026-11-22T12:00:00"])
_places = {"file": hostile, "line": _numbers, "column": _numbers}
_judged: dict[str, Any] = {
    "check": some,
    "cause": st.sampled_from(Cause),
    "severity": st.sampled_from(Severity),
    "title": hostile,
    "text": some,
    "remedy": hostile,
    "url": hostile | st.just("https://example.com/checks#x"),
}
findings = st.builds(Finding, **_judged, **_places, evidence=hostile, correction=hostile)
configurations = st.builds(
    Configuration,
    endpoint=hostile,
    region=_names,
    service=_names,
    credential=hostile | st.just("none"),
    transport=st.sampled_from(["streamable-http", "stdio"]),
)
_facts = st.dictionaries(
    hostile | st.sampled_from(["certificate_expires", "not_after", "credential_expiration", "tools"]),
    hostile
    | st.sampled_from([1.8e9, "Jun  1 12:00:00 2027 GMT", "2027-06-01T12:00:00+00:00", True, None])
    | st.lists(hostile, max_size=2).map(tuple),
    max_size=3,
)
_traces = st.builds(
    Trace,
    stage=st.sampled_from(Stage),
    verdict=st.sampled_from(Verdict),
    elapsed_s=_seconds,
    reason=_names,
    facts=_facts,
    exchanges=st.lists(
        st.builds(
            Exchange,
            method=hostile,
            url=hostile,
            rpc_method=_names,
            status=st.sampled_from([None, 200, 401]),
            headers=st.dictionaries(hostile, hostile, max_size=2),
            body=_names,
        ),
        max_size=1,
    ).map(tuple),
    failures=st.lists(
        st.lists(st.builds(Failure, type=hostile, message=hostile), min_size=1, max_size=2).map(tuple), max_size=1
    ).map(tuple),
)
_results = st.builds(
    Result,
    target=some,
    configuration=configurations,
    works=st.sampled_from([True, False, None]),
    stage=st.sampled_from(Stage),
    http_status=st.sampled_from([None, 200, 401]),
    cause=st.none() | st.sampled_from(Cause),
    expected=st.none() | st.sampled_from([Cause.WRONG_SERVICE]),
    origin=st.none() | st.builds(Origin, file=some, client=hostile, server=hostile, line=_numbers, column=_numbers),
    elapsed_s=_seconds,
    stages=st.lists(_traces, max_size=3, unique_by=lambda trace: trace.stage).map(tuple),
    findings=st.lists(findings, max_size=2).map(tuple),
)
_samples = st.builds(
    Sample,
    operation=st.sampled_from(Operation),
    outcome=st.sampled_from(Outcome),
    sent_s=_seconds,
    received_s=st.just(3.0),
    session=st.sampled_from([None, 1, 2]),
    error=_names,
)
_ceilings = st.builds(
    Ceiling,
    target=some,
    configuration=configurations,
    limiter=st.sampled_from(Kind),
    confidence=st.sampled_from([0.5, 0.97]),
    posterior=st.just({Kind.SESSIONS: 1.0}),
    highest_clean=_numbers,
    lowest_refused=st.none() | _numbers,
    interval=st.just(None),
    rate_per_s=st.none() | st.just(2.5),
    burst=st.none() | _numbers,
    recommended_workers=_numbers,
    requests=_numbers,
    refused=_numbers,
    elapsed_s=_seconds,
    stopped=st.sampled_from(Stop),
    sufficient=st.sampled_from([None, True, False]),
    documented=hostile,
    samples=st.lists(_samples, max_size=3).map(tuple),
)
_requirements = st.builds(
    Requirement,
    target=hostile,
    name=hostile,
    wanted=st.none() | _numbers | hostile,
    seen=st.none() | _seconds | hostile,
    met=st.sampled_from([None, True, False]),
    text=hostile,
    **_places,
)
_lint = st.builds(LintFinding, **{**_judged, **_places, "file": some}, server=hostile, fixable=st.booleans())


def _chosen(report: Report, bests: list[bool]) -> Report:
    from dataclasses import replace

    picked = [one for one, best in zip(report.results, bests, strict=False) if best]
    targets = {one.target: Best(target=one.target, configuration=one.configuration) for one in picked}
    return replace(report, best=tuple(targets.values()))


reports = st.builds(
    _chosen,
    st.builds(
        Report,
        mcpdoctor=hostile,
        started=_times,
        elapsed_s=_seconds,
        exit_code=st.sampled_from([0, 1, 3]),
        interrupted=st.sampled_from([None, "deadline"]),
        environment=st.builds(
            Environment, python=hostile, platform=hostile, packages=st.dictionaries(some, hostile, max_size=2)
        ),
        results=st.lists(_results, max_size=3).map(tuple),
        ceilings=st.lists(_ceilings, max_size=1).map(tuple),
        required_workers=st.sampled_from([None, 8]),
        requirements=st.lists(_requirements, max_size=2).map(tuple),
        lint=st.lists(_lint, max_size=2).map(tuple),
        lint_files=_numbers,
        findings=st.lists(findings, max_size=1).map(tuple),
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
