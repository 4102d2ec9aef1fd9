"""Reports: JSON and back without loss, the table, snippets, pages; nothing hostile gets through."""

from __future__ import annotations

import ast
import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor import model
from mcpdoctor.failures import Failure
from mcpdoctor.model import (
    Best,
    Cause,
    Ceiling,
    Configuration,
    Environment,
    Exchange,
    Finding,
    Origin,
    Report,
    Result,
    Severity,
    Stage,
    Trace,
    Unusable,
    Verdict,
)
from mcpdoctor.render import draw, report_json
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Shape, Stated, Stop
from mcpdoctor.snippets.code import fragment
from mcpdoctor.snippets.libraries import libraries

SIGNED = Configuration(
    endpoint="https://aws-mcp.us-east-1.api.aws/mcp", region="us-east-1", service="aws-mcp", credential="profile:dev"
)
UNSIGNED = Configuration(endpoint="https://knowledge-mcp.global.api.aws")


def finding(check: str = "auth-wrong-service", **changes: Any) -> Finding:
    made = Finding(
        check=check,
        cause=Cause.WRONG_SERVICE,
        severity=Severity.ERROR,
        title="Signed for the wrong service",
        text="The request was signed for x.",
        remedy="Use aws-mcp.",
        evidence="HTTP 401",
    )
    return replace(made, **changes)


def result(**changes: Any) -> Result:
    made = Result(target="aws-mcp", configuration=SIGNED, works=True, stage=Stage.CALL, http_status=200, elapsed_s=0.5)
    return replace(made, **changes)


def failed(**changes: Any) -> Result:
    kept: dict[str, Any] = {"works": False, "stage": Stage.AUTH, "http_status": 401, "cause": Cause.WRONG_SERVICE}
    return result(**{**kept, "findings": (finding(),), **changes})


text = st.text(max_size=20)
facts = st.dictionaries(
    text, st.one_of(text, st.integers(), st.booleans(), st.none(), st.lists(text, max_size=3).map(tuple)), max_size=4
)
traces = st.builds(
    Trace,
    stage=st.sampled_from(Stage),
    verdict=st.sampled_from(Verdict),
    elapsed_s=st.floats(0, 100),
    reason=st.none() | text,
    facts=facts,
    exchanges=st.lists(
        st.builds(
            Exchange,
            method=text,
            url=text,
            status=st.none() | st.integers(100, 599),
            headers=st.dictionaries(text, text, max_size=3),
            body=st.none() | text,
            body_size=st.integers(0, 10**9),
        ),
        max_size=2,
    ).map(tuple),
    failures=st.lists(
        st.lists(st.builds(Failure, type=text, message=text, errno=st.none() | text), min_size=1, max_size=3).map(
            tuple
        ),
        max_size=2,
    ).map(tuple),
)
results = st.builds(
    Result,
    target=text,
    configuration=st.builds(Configuration, endpoint=text, region=st.none() | text, service=st.none() | text),
    works=st.none() | st.booleans(),
    stage=st.sampled_from(Stage),
    cause=st.none() | st.sampled_from(Cause),
    stages=st.lists(traces, max_size=3).map(tuple),
    findings=st.lists(st.builds(finding, text=text), max_size=2).map(tuple),
)
seconds = st.floats(0, 1e9)
counts = st.integers(0, 10**6)
shares = st.floats(0, 1)
samples = st.builds(
    Sample,
    operation=st.sampled_from(Operation),
    outcome=st.sampled_from(Outcome),
    sent_s=seconds,
    received_s=seconds,
    session=st.none() | st.integers(1, 9),
    status=st.none() | st.integers(100, 599),
    layer=st.sampled_from([None, "http", "rpc", "tool"]),
    code=st.none() | st.integers(-33000, 0),
    error=st.none() | text,
    retry_after_s=st.none() | seconds,
    stated=st.lists(st.builds(Stated, name=text, requests=st.none() | seconds), max_size=2).map(tuple),
)
ceilings = st.builds(
    Ceiling,
    target=text,
    configuration=st.builds(Configuration, endpoint=text, region=st.none() | text, credential=text),
    limiter=st.sampled_from(Kind),
    confidence=shares,
    posterior=st.dictionaries(st.sampled_from([kind for kind in Kind if kind is not Kind.UNKNOWN]), shares),
    highest_clean=counts,
    lowest_refused=st.none() | counts,
    interval=st.none() | st.tuples(seconds, seconds),
    rate_per_s=st.none() | seconds,
    burst=st.none() | counts,
    burst_interval=st.none() | st.tuples(counts, counts),
    shapes=st.dictionaries(st.sampled_from(Shape), shares),
    indistinct=st.lists(st.sampled_from([*Kind, *Shape]).map(str) | text, max_size=3).map(tuple),
    stated=st.lists(
        st.builds(Stated, name=text, requests=st.none() | seconds, window_s=st.none() | seconds), max_size=3
    ).map(tuple),
    per=st.sampled_from(["identity", "address", "unknown"]),
    recommended_workers=counts,
    requests=counts,
    refused=counts,
    elapsed_s=seconds,
    stopped=st.sampled_from(Stop),
    most=counts,
    call_s=seconds,
    session_requests=st.none() | counts,
    facts=facts,
    documented=text,
    documented_as_of=text,
    documented_source=text,
    sufficient=st.none() | st.booleans(),
    samples=st.lists(samples, max_size=6).map(tuple),
)


@given(
    st.lists(results, max_size=3).map(tuple),
    st.lists(ceilings, max_size=2).map(tuple),
    st.none() | st.integers(1, 1000),
    st.none() | text,
)
def test_a_report_goes_to_json_and_back_without_loss(
    some: tuple[Result, ...], measured: tuple[Ceiling, ...], required: int | None, interrupted: str | None
) -> None:
    report = Report(
        mcpdoctor="0.1.0",
        results=some,
        ceilings=measured,
        required_workers=required,
        interrupted=interrupted,
        environment=Environment(python="3.11", packages={"mcp": "1.30.0"}),
        best=(Best(target="a", configuration=SIGNED),),
    )
    assert report == report_json.loads(report_json.dumps(report))


@given(st.lists(results, max_size=2).map(tuple), st.lists(ceilings, max_size=1).map(tuple))
def test_json_is_plain_ascii_and_follows_the_schema(some: tuple[Result, ...], measured: tuple[Ceiling, ...]) -> None:
    drawn = report_json.dumps(Report(results=some, ceilings=measured))
    assert drawn.isascii()
    jsonschema.Draft202012Validator(report_json.schema()).validate(json.loads(drawn))


def test_every_field_of_the_report_in_the_design_is_there() -> None:
    document = json.loads(
        report_json.dumps(Report(results=(failed(stages=(Trace(stage=Stage.DNS, verdict=Verdict.PASSED),)),)))
    )
    assert {"schema_version", "mcpdoctor", "started", "elapsed_s", "exit_code", "environment"} <= set(document)
    assert {"results", "best", "ceilings", "lint", "findings"} <= set(document)
    one = document["results"][0]
    assert {"target", "configuration", "works", "stage", "http_status", "cause", "elapsed_s", "stages"} <= set(one)
    assert {"endpoint", "region", "service", "credential", "transport"} == set(one["configuration"])
    assert {"stage", "verdict", "elapsed_s", "reason", "facts", "exchanges", "failures"} == set(one["stages"][0])
    finding = {"check", "cause", "severity", "title", "text", "remedy", "evidence", "url"}
    assert finding | {"file", "line", "column", "correction"} == set(one["findings"][0])


@pytest.mark.parametrize(
    ("given_text", "says"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not a report of mcpdoctor"),
        ('{"schema_version": 2}', "schema version 2"),
        ('{"schema_version": 1, "results": 5}', "results"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_report_is_refused_in_one_sentence(given_text: str, says: str) -> None:
    with pytest.raises(Unusable, match=says) as refusal:
        report_json.loads(given_text, source="r.json")
    assert str(refusal.value).startswith("r.json: ")
    assert "\n" not in str(refusal.value)


def test_a_report_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes('{"schema_version": 1}'.encode("utf-16"))
    with pytest.raises(Unusable, match="not UTF-8"):
        report_json.load(path)


def test_a_table_has_a_row_for_each_configuration_and_each_finding_once() -> None:
    other = replace(SIGNED, region="eu-west-1")
    drawn = draw(Report(results=(failed(), failed(configuration=other), result())), "table")
    assert drawn.count("wrong-service") == 2 + 1  # two rows, and the slug of the finding
    assert drawn.count("Use aws-mcp.") == 1
    assert "(2 configurations)" in drawn


@pytest.mark.parametrize(
    ("one", "word"),
    [
        (result(), "works"),
        (failed(), "fails"),
        (failed(expected=Cause.WRONG_SERVICE), "as expected"),
        (failed(expected=Cause.WRONG_REGION), "fails"),
        (failed(works=None, cause=Cause.RATE_LIMITED), "throttled"),
        (result(works=None), "unknown"),
    ],
)
def test_the_result_of_a_row_is_one_word(one: Result, word: str) -> None:
    row = draw(Report(results=(one,)), "table").splitlines()[2]
    assert word in row.split("  ")[4:] or f" {word} " in row


def test_a_table_without_colour_holds_no_escape_and_with_colour_it_does() -> None:
    report = Report(results=(failed(),))
    assert "\x1b" not in draw(report, "table")
    assert "\x1b[31m" in draw(report, "table", color=True)


def test_the_best_configuration_is_shown_as_something_to_paste_signed_first() -> None:
    best = (Best(target="k", configuration=UNSIGNED), Best(target="a", configuration=SIGNED))
    drawn = draw(Report(results=(result(),), best=best), "table")
    assert drawn.index("Use this (a)") < drawn.index("Works too (k)")
    assert 'aws_service="aws-mcp"' in drawn


def test_a_target_without_a_working_configuration_is_named() -> None:
    assert "No configuration works for aws-mcp." in draw(Report(results=(failed(),)), "table")


def test_an_interrupted_run_says_so() -> None:
    assert "interrupted" in draw(Report(results=(result(),), interrupted="interrupted"), "table")


def test_quiet_is_one_line_for_each_target() -> None:
    other = failed(target="other", configuration=UNSIGNED)
    drawn = draw(
        Report(results=(result(), other), best=(Best(target="aws-mcp", configuration=SIGNED),)), "table", quiet=True
    )
    assert drawn.splitlines() == [
        "aws-mcp: works: https://aws-mcp.us-east-1.api.aws/mcp signed for aws-mcp in us-east-1 with profile:dev",
        "other: does not work: wrong-service",
    ]


def test_quiet_tells_an_expected_failure_from_another() -> None:
    drawn = draw(Report(results=(failed(expected=Cause.WRONG_SERVICE),)), "table", quiet=True)
    assert drawn == "aws-mcp: fails as expected: wrong-service\n"


def test_verbose_shows_stages_and_twice_the_exchanges() -> None:
    exchange = Exchange(
        method="POST", url="https://x/mcp", status=401, headers={"server": "s"}, body='{"message": "no"}'
    )
    trace = Trace(stage=Stage.AUTH, verdict=Verdict.FAILED, exchanges=(exchange,))
    report = Report(results=(failed(stages=(trace,)),))
    assert "auth  failed" in draw(report, "table", verbose=1)
    assert "POST https://x/mcp" not in draw(report, "table", verbose=1)
    assert "POST https://x/mcp" in draw(report, "table", verbose=2)
    assert '{"message": "no"}' in draw(report, "table", verbose=2)


@pytest.mark.parametrize(
    "configuration",
    [SIGNED, UNSIGNED, replace(SIGNED, endpoint='https://x/"+__import__("os")+"', credential='profile:a"b\\')],
)
def test_a_snippet_is_python_and_holds_the_values_as_they_are(configuration: Configuration) -> None:
    tree = ast.parse(fragment(libraries()["strands"], configuration))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert configuration.endpoint in strings
    assert not configuration.signed or configuration.credential.removeprefix("profile:") in strings


def test_the_vocabulary_is_frozen_and_takes_keywords_only() -> None:
    kinds = [kind for kind in vars(model).values() if is_dataclass(kind) and isinstance(kind, type)]
    assert len(kinds) >= 8
    for kind in kinds:
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert all(one.kw_only for one in fields(kind))


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_a_long_target_gives_way_to_the_columns_that_one_looks_for(width: int) -> None:
    target = f"https://{'gateway' * 20}.example.com/mcp"
    [_, line, row, *_] = draw(Report(results=(result(target=target),)), "table", width=width).splitlines()
    column = len(line.split()[0])
    assert len(line) <= width or column == 20
    assert row[:7] == "gateway"
    assert row[column - 4 : column] == "/mcp"
    assert ("…" in row) == (width < 300)


# entries of client files ----------------------------------------------------------------------------------------------


def of_entry(correction: str) -> Report:
    found = Finding(
        check="auth-wrong-service",
        cause=Cause.WRONG_SERVICE,
        severity=Severity.ERROR,
        title="Wrong",
        text="It is wrong.",
        remedy="Mend it.",
        file="mcp.json",
        line=4,
        column=9,
        correction=correction,
    )
    origin = Origin(file="mcp.json", client="Kiro", server="it", line=2, column=3)
    return Report(results=(replace(failed(), target="mcp.json:it", origin=origin, findings=(found,)),))


def test_a_finding_of_an_entry_has_its_place_and_the_entry_corrected() -> None:
    drawn = draw(of_entry('    "it": {\n      "args": []\n    }'), "table")
    assert "\n  mcp.json:4:9\n" in drawn
    assert drawn.endswith('  The entry, corrected:\n\n      "it": {\n        "args": []\n      }\n')
    assert "Does not work:\n  mcp.json:it\n" in drawn


@pytest.mark.parametrize("line", ["::error::pwned", "  ##[error]pwned"])
def test_no_entry_is_shown_that_a_ci_system_would_obey(line: str) -> None:
    assert "pwned" not in draw(of_entry(f'"it": {{\n{line}\n}}'), "table")


def test_an_entry_whose_command_works_says_so_in_one_line() -> None:
    stdio = Configuration(endpoint="", transport="stdio")
    works = replace(of_entry("").results[0], works=True, configuration=stdio, findings=())
    report = Report(results=(works,), best=(Best(target=works.target, configuration=stdio),))
    assert draw(report, "table", quiet=True) == "mcp.json:it: works: its command was started\n"
    assert "Works as it is written:\n  mcp.json:it\n" in draw(report, "table")
