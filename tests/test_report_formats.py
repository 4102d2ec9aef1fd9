"""Every format of a report: valid for its readers, as the golden file has it, and inert whatever a server said."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import html5lib
import jsonschema
import pytest
import xmlschema
from conftest import Examine
from hostile import hostile, reports
from hypothesis import given, settings
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mcpdoctor.lab import Lab
from mcpdoctor.model import Report, Requirement, Verdict
from mcpdoctor.render import FORMATS, SUFFIXES, draw, report_json
from mcpdoctor.render.digest import TEXT, distinct, ended, labels, shown
from mcpdoctor.render.markdown import code, prose, summary
from mcpdoctor.render.openmetrics import timestamp

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = Path(__file__).parent / "schemas"
OFFICIAL = Path(os.environ.get("REPORT_SCHEMAS", "/nowhere"))
"""A directory with sarif-schema-2.1.0.json of OASIS, junit-10.xsd of Jenkins and JUnit.xsd of Windy Road."""

JUNIT = xmlschema.XMLSchema(SCHEMAS / "junit.xsd")
SARIF = jsonschema.Draft202012Validator(
    json.loads((SCHEMAS / "sarif.json").read_text()), format_checker=jsonschema.FormatChecker()
)
REPORT = report_json.load(GOLDEN / "report.json")
LINT = report_json.load(GOLDEN / "lint.json")
SAVED = (REPORT, LINT, Report(), Report(lint_files=3), replace(REPORT, interrupted="deadline"))

_COMMAND = re.compile(r"(?m)^\s*::|##\w*\[")


FEW = settings(max_examples=30)  # each holds a dozen hostile texts, and takes its time


# The parsers, each the one of its format ------------------------------------------------------------------------------


def junit(text: str) -> ET.Element:
    JUNIT.validate(text)
    root = ET.fromstring(text)  # noqa: S314  # drawn by us; that it is harmless is what is tested
    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[name]) == len(suite.findall(f"testcase/{tag}"))
    return root


def sarif(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    json.dumps(document, ensure_ascii=False).encode()  # no half characters
    SARIF.validate(document)
    [run] = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    return run  # type: ignore[no-any-return]


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Read workflow commands as the runner of GitHub does."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line)
        assert match, line
        properties = dict(pair.split("=", 1) for pair in match[2].split(","))
        found.append((match[1], {name: unescaped(value) for name, value in properties.items()}, unescaped(match[3])))
    return found


def unescaped(text: str) -> str:
    for code_, char in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code_, char)
    return text


MARKDOWN = MarkdownIt("gfm-like", {"linkify": True})


def markdown(text: str) -> tuple[str, list[str]]:
    """The text that Markdown of GitHub shows, links of bare addresses included, and the types of its parts."""
    words, kinds = [], []
    for block in MARKDOWN.parse(text):
        kinds.append(block.type)
        if block.type == "fence":
            words.append(block.content)
        for one in block.children or ():
            kinds.append(one.type)
            words.append("\n" if one.type == "softbreak" else one.content)
        words.append("\n" if block.type.endswith("_close") else "")
    return "".join(words), kinds


def metrics(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    assert text.endswith("# EOF\n")
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def page(text: str) -> Any:
    parser = html5lib.HTMLParser(tree=html5lib.treebuilders.getTreeBuilder("etree"), namespaceHTMLElements=False)
    tree = parser.parse(text)
    assert parser.errors == []
    return tree


# One saved report in every format -------------------------------------------------------------------------------------

NAMES = {
    "table": "report.txt",
    "json": "report.json",
    "junit": "report.xml",
    "markdown": "report.md",
    "github": "report.github",
    "sarif": "report.sarif",
    "html": "report.html",
    "openmetrics": "report.prom",
}


@pytest.mark.parametrize("form", FORMATS)
def test_a_saved_report_is_drawn_as_the_golden_file_has_it(form: str) -> None:
    drawn = draw(REPORT, form)
    if os.environ.get("REDRAW"):  # look at what `git diff` shows afterwards
        (GOLDEN / NAMES[form]).write_text(drawn, encoding="utf-8")
    assert drawn == (GOLDEN / NAMES[form]).read_text(encoding="utf-8")
    assert drawn.endswith("\n")


@pytest.mark.parametrize("report", SAVED)
def test_every_format_is_valid_for_its_reader(report: Report) -> None:
    junit(draw(report, "junit"))
    sarif(draw(report, "sarif"))
    commands(draw(report, "github"))
    metrics(draw(report, "openmetrics"))
    markdown(draw(report, "markdown"))
    page(draw(report, "html"))
    assert report_json.loads(draw(report, "json")) == report


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="REPORT_SCHEMAS names no directory with the official schemas")
@pytest.mark.parametrize("report", SAVED)
def test_the_official_schemas_take_what_ours_take(report: Report) -> None:
    schema = json.loads((OFFICIAL / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(json.loads(draw(report, "sarif")))
    for name in ("junit-10.xsd", "JUnit.xsd"):
        xmlschema.XMLSchema(OFFICIAL / name).validate(draw(report, "junit"))


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="REPORT_SCHEMAS names no directory with the official schemas")
@given(reports)
@FEW
def test_the_official_schemas_take_hostile_text(report: Report) -> None:
    test_the_official_schemas_take_what_ours_take(report)


def test_every_format_has_an_ending_that_names_it() -> None:
    assert set(SUFFIXES.values()) == set(FORMATS) - {"github"}


def test_junit_has_a_case_for_each_configuration_and_stage() -> None:
    suites = list(junit(draw(REPORT, "junit")))[: len(REPORT.results)]
    for result, suite in zip(REPORT.results, suites, strict=True):
        tags = [[child.tag for child in case] for case in suite.findall("testcase")]
        want = {Verdict.PASSED: [], Verdict.FAILED: ["failure"], Verdict.BROKEN: ["error"]}
        expected = result.expected is not None and result.cause is result.expected
        assert [case.attrib["name"] for case in suite.findall("testcase")] == [one.stage.value for one in result.stages]
        assert tags == [
            [] if expected and one.verdict is Verdict.FAILED else want.get(one.verdict, ["skipped"])
            for one in result.stages
        ]


def test_the_failure_of_junit_tells_cause_finding_and_remedy() -> None:
    root = junit(draw(REPORT, "junit"))
    failure = root.find(".//failure[@type='wrong-service']")
    assert failure is not None
    assert failure.attrib["message"] == "HTTP 401: Signed for the wrong service"
    assert failure.text is not None
    assert "Fix: Use service name aws-mcp" in failure.text
    assert "Another configuration of this target works." in failure.text


def test_an_annotation_points_at_the_line_of_the_entry() -> None:
    entry, key = [one for one in commands(draw(REPORT, "github")) if "file" in one[1]]
    level, place, text = entry
    assert (level, place["file"], place["line"], place["col"]) == ("error", ".kiro/settings/mcp.json", "7", "9")
    assert "Fix: " in text
    level, place, text = key  # what is required and not met
    assert (level, place["file"], place["line"], place["col"]) == ("error", "mcpdoctor.toml", "15", "1")
    assert text == "aws-mcp tools: Not among the 8 tools that it lists: aws___call_aws."


def test_what_fails_beside_a_working_configuration_is_a_notice() -> None:
    levels = {properties["title"]: level for level, properties, _ in commands(draw(REPORT, "github"))}
    assert levels["Signed for the wrong service [auth-wrong-service]"] == "notice"
    assert [result["level"] for result in sarif(draw(REPORT, "sarif"))["results"]].count("error") == 5


def test_a_result_of_sarif_has_the_place_of_the_entry() -> None:
    entry, key = [
        result["locations"][0]["physicalLocation"]
        for result in sarif(draw(REPORT, "sarif"))["results"]
        if "physicalLocation" in result.get("locations", [{}])[0]
    ]
    assert entry == {
        "artifactLocation": {"uri": ".kiro/settings/mcp.json"},
        "region": {"startLine": 7, "startColumn": 9},
    }
    assert key == {"artifactLocation": {"uri": "mcpdoctor.toml"}, "region": {"startLine": 15, "startColumn": 1}}


def test_the_metrics_tell_success_stages_ceilings_and_expiry() -> None:
    found = metrics(draw(replace(REPORT, requirements=()), "openmetrics"))
    success = {labels_["target"]: value for labels_, value in found["mcpdoctor_target_success"]}
    assert success == {"aws-mcp": 1, "https://knowledge-mcp.us-east-1.api.aws/mcp": 0, ".kiro/settings/mcp.json:aws": 0}
    assert found["mcpdoctor_ceiling_recommended_workers"][0][1] == 5
    assert {value for _, value in found["mcpdoctor_certificate_expiry_timestamp_seconds"]} == {1811851200}
    assert {value for _, value in found["mcpdoctor_credential_expiry_timestamp_seconds"]} == {1795363200}
    stages = {labels_["stage"] for labels_, _ in found["mcpdoctor_stage_duration_seconds"]}
    assert stages == {"parse", "dns", "tcp", "tls", "http", "auth", "open", "list", "call"}


def test_the_metrics_of_a_target_whose_requirements_are_missed() -> None:
    found = metrics(draw(REPORT, "openmetrics"))
    [success] = [value for labels_, value in found["mcpdoctor_target_success"] if labels_["target"] == "aws-mcp"]
    assert success == 0
    met = {
        labels_["requirement"]: v for labels_, v in found["mcpdoctor_requirement_met"] if labels_["target"] == "aws-mcp"
    }
    assert met == {"workers": 0, "latency": 1, "tools": 0}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Jun  1 12:00:00 2027 GMT", 1811851200),
        ("2027-06-01T12:00:00Z", 1811851200),
        ("2027-06-01T14:00:00+02:00", 1811851200),
        ("2027-06-01T12:00:00", 1811851200),
        (1811851200, 1811851200),
        (1811851200.5, 1811851200.5),
        (3600, None),
        (True, None),
        (None, None),
        ("tomorrow", None),
        ("Xyz  1 12:00:00 2027 GMT", None),
        (("2027-06-01",), None),
    ],
)
def test_a_time_of_any_form_is_read(value: object, expected: float | None) -> None:
    assert timestamp(value) == expected


def test_metrics_with_the_same_labels_are_told_apart() -> None:
    twice = replace(REPORT, results=(REPORT.results[0], REPORT.results[0]))
    found = metrics(draw(twice, "openmetrics"))["mcpdoctor_configuration_works"]
    assert [labels_.get("occurrence") for labels_, _ in found] == [None, "2"]


def test_configurations_that_differ_have_names_that_differ() -> None:
    result = REPORT.results[0]
    other = replace(result, configuration=replace(result.configuration, endpoint="https://other.example/mcp"))
    assert len(set(labels([result, other, result]))) == 3
    assert labels([result]) == ["aws-mcp aws-mcp/us-east-1 default"]


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    tree = page(draw(REPORT, "html"))
    assert tree.find(".//script") is None
    [policy] = [one.attrib["content"] for one in tree.iter("meta") if "http-equiv" in one.attrib]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    loading = [(one.tag, one.attrib) for one in tree.iter() if {"src", "srcset", "action", "style"} & set(one.attrib)]
    assert loading == []
    assert [one.attrib["href"] for one in tree.iter("link")] == ["data:,"]


def test_the_page_tells_verdicts_in_words_too() -> None:
    tree = page(draw(REPORT, "html"))
    cells = ["".join(one.itertext()) for one in tree.iter("td") if "cell" in one.attrib.get("class", "").split()]
    assert len(cells) == 9 * len(REPORT.results)
    assert all(re.search(r"passed|failed|blocked|skipped|not tried", cell) for cell in cells)
    assert all("aria-label" in one.attrib or "aria-labelledby" in one.attrib for one in tree.iter("svg"))


def test_links_within_the_page_lead_somewhere() -> None:
    tree = page(draw(REPORT, "html"))
    ids = [one.attrib["id"] for one in tree.iter() if "id" in one.attrib]
    assert len(set(ids)) == len(ids)
    wanted = {one.attrib["href"][1:] for one in tree.iter("a") if one.attrib["href"].startswith("#")}
    wanted |= {one.attrib["aria-labelledby"] for one in tree.iter() if "aria-labelledby" in one.attrib}
    assert wanted <= set(ids)


def pointed_at(report: Report) -> list[Requirement]:
    """What is missed, and what is not known though the target works."""
    working = {one.target for one in report.best}
    return [one for one in report.requirements if one.met is False or (one.met is None and one.target in working)]


# Hostile text ---------------------------------------------------------------------------------------------------------


@given(reports)
@FEW
def test_hostile_text_cannot_break_out_of_junit(report: Report) -> None:
    drawn = draw(report, "junit")
    root = junit(drawn)
    assert not _COMMAND.search(drawn)
    values = [one.attrib["value"] for one in root.iter("property")]
    for result, suite in zip(report.results, root, strict=False):
        assert len(suite.findall("testcase")) == len(result.stages)
        assert shown(result.target) in values
        said = suite.findtext("system-out") or ""
        assert all(shown(finding.text, TEXT) in said for finding in result.findings)


@given(reports)
@FEW
def test_hostile_text_cannot_make_workflow_commands(report: Report) -> None:
    found = commands(draw(report, "github"))
    told = distinct(report)
    said = [one for one in told if one.pressing or one.finding.severity.value != "info"]
    extra = (report.interrupted is not None) + bool(list(ended(report)))
    assert len(found) == len(said) + len(pointed_at(report)) + len(report.lint) + extra
    texts = [text for _, _, text in found]
    assert all(any(shown(one.finding.text, 2000) in text for text in texts) for one in said)
    for _, properties, _ in found:
        assert set(properties) <= {"file", "line", "col", "title"}


@given(reports)
@FEW
def test_hostile_text_is_text_in_markdown(report: Report) -> None:
    drawn = draw(report, "markdown")
    said, kinds = markdown(drawn)
    assert not {"link_open", "image", "html_inline", "html_block", "blockquote_open", "code_block"} & set(kinds)
    assert not {"em_open", "s_open", "hr", "ordered_list_open"} & set(kinds)
    assert kinds.count("table_open") == bool(report.results) + bool(report.ceilings) + bool(report.lint)
    columns = 6 * len(report.results) + 6 * len(report.ceilings) + 4 * len(report.lint)
    assert kinds.count("td_open") == columns
    for one in distinct(report):
        assert shown(one.finding.text, TEXT) in said
        assert shown(one.finding.evidence, TEXT) in said
    for lint in report.lint:
        assert f"{shown(lint.text, TEXT)}" in said
    assert not _COMMAND.search(drawn)


@given(hostile)
def test_words_of_others_stay_what_they_are(text: str) -> None:
    said, kinds = markdown(f"- x {prose(text)} {code(text)} y")
    assert said.split("\n")[0].split() == f"x {shown(text)} {shown(text)} y".split()
    assert set(kinds) <= {
        "bullet_list_open", "list_item_open", "paragraph_open", "inline", "text", "code_inline", "text_special",
        "paragraph_close", "list_item_close", "bullet_list_close",
    }  # fmt: skip


@given(reports)
@FEW
def test_hostile_text_is_text_in_sarif(report: Report) -> None:
    drawn = draw(report, "sarif")
    run = sarif(drawn)
    assert drawn.isascii()
    assert not _COMMAND.search(drawn)
    assert len(run["results"]) == len(report.lint) + len(distinct(report)) + len(pointed_at(report))
    messages = [result["message"]["text"] for result in run["results"]]
    assert not any("](" in message for message in messages)


@given(reports)
@FEW
def test_hostile_text_is_text_in_metrics(report: Report) -> None:
    found = metrics(draw(report, "openmetrics"))
    targets = {labels_["target"] for labels_, _ in found.get("mcpdoctor_configuration_works", [])}
    assert targets <= {shown(result.target, 200) for result in report.results}
    assert len(found.get("mcpdoctor_configuration_works", [])) == sum(not one.untried for one in report.results)


TAGS = {
    *(
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "section",
        "article",
        "div",
    ),
    *("h1", "h2", "h3", "p", "b", "a", "code", "pre", "span", "ul", "ol", "li", "dl", "dt", "dd", "time", "details"),
    *("summary", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "svg", "line", "text", "rect"),
}


@given(reports)
@FEW
def test_hostile_text_is_text_in_the_page(report: Report) -> None:
    drawn = draw(report, "html")
    tree = page(drawn)
    tags = [str(one.tag).rpartition("}")[2] for one in tree.iter()]
    assert set(tags) <= TAGS
    assert (tags.count("style"), tags.count("link"), tags.count("h1")) == (1, 1, 1)
    for one in tree.iter():
        assert not any(name.startswith("on") or name in ("src", "style", "srcdoc") for name in one.attrib)
        href = one.attrib.get("href", "#")
        assert href.startswith(("#", "https://")) or (one.tag, href) == ("link", "data:,")
    said = " ".join("".join(tree.itertext()).split())
    for told in distinct(report):
        assert " ".join(shown(told.finding.text, TEXT).split()) in said
    assert not re.search(r"(?m)^::|##\w*\[", drawn)


@given(reports)
@FEW
def test_hostile_text_is_text_in_a_table_and_in_json(report: Report) -> None:
    drawn = draw(report, "json")
    assert not _COMMAND.search(drawn)
    json.dumps(json.loads(drawn), ensure_ascii=False).encode()
    assert not _COMMAND.search(draw(report, "table"))


def test_a_long_report_is_cut_to_what_the_summary_of_a_job_takes() -> None:
    many = replace(REPORT, results=REPORT.results * 40)
    whole = summary(many)
    cut = summary(many, 5_000)
    assert len(cut.encode()) <= 5_000 < len(whole.encode())
    assert cut.endswith("… cut here: the rest is too long for a summary.\n")
    assert summary(many, 10) == ""
    assert markdown(cut)[1].count("table_open") == 1
    for room in range(1_000, 8_000, 331):
        kept = summary(many, room)
        assert len(kept.encode()) <= room
        assert MARKDOWN.parse(kept)[-2].type != "fence"


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"json"}))
def test_the_size_of_a_drawing_is_bounded(form: str) -> None:
    long = "a b" * 100_000
    result = REPORT.results[1]
    findings = tuple(replace(one, text=long, evidence=long, remedy=long) for one in result.findings)
    report = replace(REPORT, results=(replace(result, target=long, findings=findings),))
    assert len(draw(report, form)) < 200_000


def test_what_a_hostile_server_says_is_text_in_every_format(examine: Examine, lab: Lab) -> None:
    report = examine(f"{lab.plain}/fault/http/escapes/mcp", credentials=("none",))
    assert report.results[0].works is False
    root = junit(draw(report, "junit"))
    assert shown(report.results[0].findings[0].text, TEXT) in "".join(root.itertext())
    commands(draw(report, "github"))
    sarif(draw(report, "sarif"))
    metrics(draw(report, "openmetrics"))
    assert not {"html_inline", "html_block", "link_open"} & set(markdown(draw(report, "markdown"))[1])
    assert page(draw(report, "html")).find(".//script") is None
    for form in FORMATS:
        drawn = draw(report, form)
        assert "\x1b" not in drawn
        assert not re.search(r"(?m)^\s*::(?!(error|warning|notice) )|##\w*\[", drawn)
