"""A suite file is read with the place of every mistake, decides what is tried, and is held to what it requires."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpdoctor import suite_files
from mcpdoctor.catalogue import Catalogue, load, locate
from mcpdoctor.ceiling.budget import Budget
from mcpdoctor.cli import cli
from mcpdoctor.comparing import Kind, compare
from mcpdoctor.forms import Misfit, build
from mcpdoctor.matrix import Axes, expand
from mcpdoctor.model import Report, Unusable
from mcpdoctor.render import FORMATS, draw, report_json
from mcpdoctor.suite import BUDGET, Limits, Require, Suite, SuiteTarget, budget_of
from mcpdoctor.suite_schema import schema
from mcpdoctor.verdict import conclude

DOCS = Path(__file__).parents[1] / "docs"
WHOLE = """\
title = "What our agents need"
outputs = ["junit:mcpdoctor.xml", "mcpdoctor.html"]
fail-on = "error"

[[targets]]
target = "aws-mcp"
regions = ["us-east-1"]
services = ["aws-mcp"]
credentials = ["profile:agents"]
tool = "aws___search_documentation"
arguments = { search_phrase = "s3" }

[targets.require]
workers = 3
latency = 2.0
tools = ["aws___search_documentation"]
forbid = ["auth-fallback", "rate-limited"]

[[targets]]
target = "aws-knowledge"

[require]
workers = 2

[budget]
timeout = 10
deadline = 300
jobs = 32
ceiling = "200,20,60"
"""


def read(tmp_path: Path, text: str | bytes, catalogue: Catalogue, name: str = "mcpdoctor.toml") -> Suite:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return suite_files.load(path, catalogue, shown=name)


def refusal(tmp_path: Path, text: str | bytes, catalogue: Catalogue, name: str = "mcpdoctor.toml") -> str:
    with pytest.raises(Unusable) as refused:
        read(tmp_path, text, catalogue, name)
    return str(refused.value)


# reading --------------------------------------------------------------------------------------------------------------


def test_a_whole_suite_is_read_as_it_is_written(tmp_path: Path, catalogue: Catalogue) -> None:
    suite = read(tmp_path, WHOLE, catalogue)
    assert suite == Suite(
        title="What our agents need",
        name="mcpdoctor.toml",
        file="mcpdoctor.toml",
        directory=str(tmp_path),
        outputs=("junit:mcpdoctor.xml", "mcpdoctor.html"),
        fail_on=suite.fail_on,
        targets=(
            SuiteTarget(
                target="aws-mcp",
                regions=("us-east-1",),
                services=("aws-mcp",),
                credentials=("profile:agents",),
                tool="aws___search_documentation",
                arguments={"search_phrase": "s3"},
                require=Require(
                    workers=3,
                    latency=2.0,
                    tools=("aws___search_documentation",),
                    forbid=("auth-fallback", "rate-limited"),
                ),
            ),
            SuiteTarget(target="aws-knowledge"),
        ),
        require=Require(workers=2),
        budget=Limits(timeout=10.0, deadline=300.0, jobs=32, ceiling="200,20,60"),
    )
    assert suite.fail_on is not None
    assert suite.fail_on.value == "error"


def test_the_same_stands_in_pyproject(tmp_path: Path, catalogue: Catalogue) -> None:
    text = re.sub(r"(?m)^(\[+)(?=\w)", r"\1tool.mcpdoctor.", WHOLE)
    nested = read(tmp_path, f"[project]\nname = 'x'\n[tool.mcpdoctor]\n{text}", catalogue, "pyproject.toml")
    assert nested.targets == read(tmp_path, WHOLE, catalogue).targets
    assert nested.targets[0].origin is not None
    assert nested.targets[0].origin.entry.startswith("[[tool.mcpdoctor.targets]]\ntarget = ")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("regions", "regoins", ":7:1: unknown key regoins in targets[1]; did you mean regions?"),
        ("title", "tilte", ":1:1: unknown key tilte; did you mean title?"),
        ("fail-on", "fail_on", ":3:1: unknown key fail_on; did you mean fail-on?"),
        ("[budget]", "[bugdet]", ":25:2: unknown key bugdet; did you mean budget?"),
        ("jobs", "job", ":28:1: unknown key job in budget; did you mean jobs?"),
        ('"us-east-1"', "5", ":7:12: targets[1].regions[1] is 5, and a text is wanted."),
        ('"us-east-1"', '"use1"', ":7:12: targets[1].regions[1] is use1; it must be a region, such as us-east-1."),
        ("workers = 3", "workers = 0", ":14:11: targets[1].require.workers is 0; it must be from 1 to 1000."),
        ("workers = 3", "workers = true", ":14:11: targets[1].require.workers is true, and a whole number is wanted."),
        ("latency = 2.0", "latency = nan", ":15:11: targets[1].require.latency is nan; it must be from 0.001 to 3600."),
        ("timeout = 10", 'timeout = "10"', ':26:11: budget.timeout is "10", and a number is wanted.'),
        ('"aws-mcp"\nregions', '"aws-mpc"\nregions', ":6:10: aws-mpc is no target; did you mean aws-mcp?"),
        ('"aws-mcp"\nregions', '"https://a:b@x.y/"\nregions', ":6:10: a URL that holds a user name or password"),
        ('"aws-knowledge"', '"agentcore-runtime"', ":20:10: the URL of agentcore-runtime holds a part that only you"),
        ('"aws-knowledge"', '"arn:aws:s3:::x"', ":20:10: 'arn:aws:s3:::x' is not the ARN of an MCP server"),
        (
            "rate-limited",
            "rate-limted",
            ":17:28: rate-limted is neither a check nor a cause; did you mean rate-limited",
        ),
        ("rate-limited", "xyzzy", ":17:28: xyzzy is neither a check nor a cause; mcpdoctor explain NAME shows one"),
        ("junit:", "jnuit:", ":2:12: jnuit:mcpdoctor.xml: jnuit is no format; did you mean junit?"),
        ("mcpdoctor.html", "mcpdoctor", ":2:35: mcpdoctor does not say its format"),
        ('"error"', '"errors"', ":3:11: fail-on is errors, which is not known; did you mean error?"),
        ("200,20,60", "many", ":29:11: write REQUESTS,REFUSALS,SECONDS, such as 300,20,600"),
        ('tool = "aws___search_documentation"\n', "", ":10:1: arguments are for a tool; add tool."),
        ('"s3"', "inf", ":11:13: arguments hold nan or inf"),
        ('target = "aws-knowledge"', "", ":19:1: target is missing in targets[2]."),
        (
            'target = "aws-knowledge"',
            'target = "aws-knowledge"\nexpect = "tiemout"',
            ":21:10: targets[2].expect is tiem",
        ),
        (
            'target = "aws-knowledge"',
            'target = "aws-knowledge"\nexpect = "timeout"\nrequire.workers = 2',
            ":22:1: a target that is expected to fail has no requirements",
        ),
        (
            'target = "aws-knowledge"',
            'target = "aws-mcp"\nrequire.workers = 2',
            ":21:1: aws-mcp has requirements in targets[1] already; write them there, or give this one a name.",
        ),
        ('"aws-mcp"]', '""]', ":8:13: targets[1].services[1] is empty; name something, or leave the key out."),
        ("title =", "title = =", ":1:9: not valid TOML: "),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, says: str, tmp_path: Path, catalogue: Catalogue) -> None:
    assert old in WHOLE
    assert refusal(tmp_path, WHOLE.replace(old, new, 1), catalogue).startswith(f"mcpdoctor.toml{says}")


def test_a_mistake_in_pyproject_is_told_with_its_place(tmp_path: Path, catalogue: Catalogue) -> None:
    text = "[project]\nname = 'x'\n\n[[tool.mcpdoctor.targets]]\ntarget = 'aws-mcp'\nregion = 'x'\n"
    says = "pyproject.toml:6:1: unknown key region in targets[1]; did you mean regions?"
    assert refusal(tmp_path, text, catalogue, "pyproject.toml") == says
    text = "[tool]\nmcpdoctor = 5\n"
    says = "pyproject.toml:2:13: tool.mcpdoctor is no table; write [tool.mcpdoctor]."
    assert refusal(tmp_path, text, catalogue, "pyproject.toml") == says
    says = "pyproject.toml: there is no table [tool.mcpdoctor] in it; add one, or mcpdoctor.toml."
    assert refusal(tmp_path, "[project]\nname = 'x'\n", catalogue, "pyproject.toml") == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", ":1:1: the file is empty; name a target in it."),
        (b"# nothing\n", ":1:1: targets is missing: write [[targets]]"),
        (b"targets = []", ":1:11: targets is empty; write [[targets]]"),
        (b"targets = 5", ":1:11: targets is 5, and a table is wanted."),
        ("title = 'é'".encode("latin-1"), ":1:10: byte 0xE9 is not UTF-8; save the file as UTF-8."),
        (b"\x00\x01\x02" * 300, ":1:1: "),
    ],
)
def test_what_is_no_suite_is_refused(text: bytes, says: str, tmp_path: Path, catalogue: Catalogue) -> None:
    assert refusal(tmp_path, text, catalogue).startswith(f"mcpdoctor.toml{says}")


def test_what_cannot_be_read_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as file:
        file.truncate(2**31)
    for path, says in (
        (tmp_path, "this is a directory; give the path of a suite file"),
        (tmp_path / "none.toml", "no such file"),
        (huge, "the file is larger than 1024 KiB; no suite is that large"),
    ):
        with pytest.raises(Unusable, match=re.escape(says)):
            suite_files.load(path, catalogue)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "mcpdoctor.toml"
    path.write_text(WHOLE)
    path.chmod(0)
    with pytest.raises(Unusable, match="may not be read"):
        suite_files.load(path, catalogue)


def test_a_key_that_is_pasted_is_never_repeated(tmp_path: Path, catalogue: Catalogue) -> None:
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    said = refusal(tmp_path, WHOLE.replace("profile:agents", key), catalogue)
    assert said.startswith("mcpdoctor.toml:9:16: that value is no credential reference")
    assert key not in said


# finding --------------------------------------------------------------------------------------------------------------


def test_the_suite_of_a_project_is_found_up_to_its_repository(tmp_path: Path) -> None:
    deep = tmp_path / "repository" / "agents" / "one"
    deep.mkdir(parents=True)
    (tmp_path / "mcpdoctor.toml").write_text(WHOLE)
    assert suite_files.find(deep) is None, "outside of a repository only the directory itself counts"
    assert suite_files.find(tmp_path) == tmp_path / "mcpdoctor.toml"
    (tmp_path / "repository" / ".git").mkdir()
    assert suite_files.find(deep) is None, "what lies above the repository is of somebody else"
    own = tmp_path / "repository" / "pyproject.toml"
    own.write_text("[project]\nname = 'mcpdoctor-user'\n")
    assert suite_files.find(deep) is None, "a bare pyproject.toml is no suite"
    own.write_text("[[tool.mcpdoctor.targets]]\ntarget = 'aws-mcp'\n")
    assert suite_files.find(deep) == own
    (tmp_path / "repository" / "mcpdoctor.toml").write_text(WHOLE)
    assert suite_files.find(deep) == tmp_path / "repository" / "mcpdoctor.toml"


def test_a_broken_pyproject_counts_only_where_it_speaks_of_us(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[project]\nname = = 'x'\ndependencies = ['mcpdoctor']\n")
    assert suite_files.find(tmp_path) is None
    path.write_text("[project]\nname = = 'x'\n[[tool.mcpdoctor.targets]]\n")
    assert suite_files.find(tmp_path) == path


def test_a_broken_pyproject_is_named_from_here_as_any_suite_is(check: Check, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = = 'x'\n[[tool.mcpdoctor.targets]]\n")
    said = check("--dry-run", code=2).output
    assert "\nError: pyproject.toml:2:8: not valid TOML" in said


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_dry_run_shows_no_secret_of_a_url(form: str, check: Check) -> None:
    text = '[[targets]]\ntarget = "https://x.test/mcp?token=hunter2hunter2"\n'
    shown = check("--dry-run", "--format", form, text=text).output
    assert "hunter2" not in shown
    assert "https://x.test/mcp?token=" in shown


def test_no_line_of_a_plan_or_a_refusal_is_a_command_to_a_ci_system(check: Check) -> None:
    plan = check("--dry-run", text='[[targets]]\ntarget = "x:\\n::error::hi"\n').output
    refused = check("--dry-run", text='[[targets]]\ntarget = "aws-mcp"\n"a\\n::error::hi" = 1\n', code=2).output
    for one in plan, refused:
        assert "error::hi" in one
        assert not [line for line in one.splitlines() if line.lstrip().startswith("::")]


# what is tried --------------------------------------------------------------------------------------------------------


def test_a_configuration_knows_the_values_that_it_is_made_of(tmp_path: Path, catalogue: Catalogue) -> None:
    suite = read(tmp_path, WHOLE.replace('["aws-mcp"]', '["aws-mcp", "sts"]'), catalogue)
    first, second, other = expand([], Axes(), catalogue, suite=suite).cells
    assert [(one.name, one.line, one.column) for one in first.origin.values] == [  # type: ignore[union-attr]
        ("endpoint", 6, 10),
        ("region", 7, 12),
        ("service", 8, 13),
        ("profile", 9, 16),
    ]
    assert second.origin is not None
    assert second.origin.value("service").column == 24  # type: ignore[union-attr]
    assert second.origin.corrected("service", "aws-mcp") == (
        '[[targets]]\ntarget = "aws-mcp"\nregions = ["us-east-1"]\nservices = ["aws-mcp", "aws-mcp"]\n'
        'credentials = ["profile:agents"]'
    )
    assert first.call is not None
    assert (first.call.tool, other.call) == ("aws___search_documentation", None)
    assert (other.origin.line, other.origin.server) == (19, "targets[2]")  # type: ignore[union-attr]


def test_a_value_of_the_command_line_stands_in_no_file(tmp_path: Path, catalogue: Catalogue) -> None:
    suite = read(tmp_path, WHOLE, catalogue)
    cell = expand([], Axes(services=("sts",)), catalogue, suite=suite).cells[0]
    assert cell.origin is not None
    assert cell.origin.value("service") is None
    assert cell.origin.value("region") is not None


def test_what_one_target_requires_goes_before_what_all_do(tmp_path: Path, catalogue: Catalogue) -> None:
    asked = read(tmp_path, WHOLE, catalogue).requirements()
    assert [(one.target, one.name, one.wanted, one.line) for one in asked] == [
        ("aws-mcp", "workers", 3, 14),
        ("aws-mcp", "latency", 2.0, 15),
        ("aws-mcp", "tools", ("aws___search_documentation",), 16),
        ("aws-mcp", "forbid", ("auth-fallback", "rate-limited"), 17),
        ("aws-knowledge", "workers", 2, 23),
    ]


def test_a_line_that_shall_fail_requires_nothing(tmp_path: Path, catalogue: Catalogue) -> None:
    text = '[[targets]]\ntarget = "https://x.example/mcp"\nexpect = "dns-failure"\n[require]\nlatency = 1\n'
    assert read(tmp_path, text, catalogue).requirements() == ()


# the schema -----------------------------------------------------------------------------------------------------------


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((DOCS / "suite.schema.json").read_text(encoding="utf-8"))
    assert published == schema(), "run `make docs`"
    jsonschema.Draft202012Validator.check_schema(published)


def test_every_key_is_explained_in_the_docs_and_to_editors() -> None:
    page = (DOCS / "suite.md").read_text(encoding="utf-8")
    made = schema()
    for table in (made, *made["$defs"].values()):
        for key, one in table["properties"].items():
            assert f"`{key}`" in page
            assert one.get("description"), key


def test_the_example_of_the_docs_is_a_suite(tmp_path: Path, catalogue: Catalogue) -> None:
    example, *others = re.findall(r"(?ms)^```toml\n(.*?)^```$", (DOCS / "suite.md").read_text(encoding="utf-8"))
    for one in others:
        assert read(tmp_path, one, catalogue).targets
    suite = read(tmp_path, example, catalogue)
    assert len(suite.targets) == 3
    assert len(suite.requirements()) == 5
    for one in suite_files.find(tmp_path), tmp_path / "mcpdoctor.toml":
        assert one is not None
        assert suite_files.load(one, catalogue).targets == suite.targets


def test_the_ready_suites_are_of_the_same_form(catalogue: Catalogue) -> None:
    for path in (locate() / "suites").glob("*.toml"):
        assert suite_files.load(path, catalogue).targets == catalogue.suites[path.stem].targets


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


_odd = st.sampled_from(["", "x", 0, 1, -1, 0.5, True, [], {}, ["x"], {"x": 1}, [[]]])


def _or_odd(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there."""
    return st.one_of(usual, usual, usual, usual, usual, _odd)


def _several(values: list[Any]) -> st.SearchStrategy[Any]:
    one = st.sampled_from(values)
    return one | st.lists(one, max_size=2)


_require = st.fixed_dictionaries(
    {},
    optional={
        "workers": _or_odd(st.sampled_from([1, 1000, 1001, 0])),
        "latency": _or_odd(st.sampled_from([1, 0.001, 0.0001, 3600, 3600.5])),
        "tools": _or_odd(_several(["a", ""])),
        "forbid": _or_odd(_several(["rate-limited", "auth-fallback", "nonsense"])),
        "worker": st.just(1),
    },
)
_target = st.fixed_dictionaries(
    {
        "target": _or_odd(
            st.sampled_from(["aws-mcp", "aws-knowledge", "https://x.example/mcp", "http://a@b/", "nobody"])
        )
    },
    optional={
        "name": _or_odd(st.sampled_from(["n", "n m", " n", "", "n" * 81, "n\n"])),
        "regions": _or_odd(_several(["us-east-1", "use1", "us-gov-west-1", "us-east-1 "])),
        "services": _or_odd(_several(["aws-mcp", ""])),
        "credentials": _or_odd(_several(["default", "none", "profile:x", "profile:", "bearer:T", "bearer:1", "key"])),
        "tool": _or_odd(st.just("t")),
        "arguments": _or_odd(st.just({"a": [1, {"b": "c"}]})),
        "expect": _or_odd(st.sampled_from(["timeout", "dns-failure", "soon"])),
        "require": _or_odd(_require),
        "region": st.just("us-east-1"),
    },
)
_suites = st.fixed_dictionaries(
    {"targets": _or_odd(_target | st.lists(_target, max_size=2))},
    optional={
        "title": _or_odd(st.just("t")),
        "outputs": _or_odd(_several(["a.xml", "A.HTML", "junit:x", "junit:", "jnuit:x.xml", "c:x.md", "none"])),
        "fail-on": _or_odd(st.sampled_from(["error", "warning", "never", "info"])),
        "require": _or_odd(_require),
        "budget": _or_odd(
            st.fixed_dictionaries(
                {},
                optional={
                    "timeout": _or_odd(st.sampled_from([0.1, 0.05, 3600])),
                    "deadline": _or_odd(st.sampled_from([86400, 86401])),
                    "jobs": _or_odd(st.sampled_from([256, 257])),
                    "ceiling": _or_odd(st.sampled_from(["1,2,3", "refusals=5", " 300, 20,600s", "1,2,3,4", "many"])),
                },
            )
        ),
        "version": st.just(1),
    },
)
_VALIDATOR = jsonschema.Draft202012Validator(schema())
_CATALOGUE = load()


@settings(max_examples=400)
@given(_suites)
def test_what_the_schema_refuses_the_reader_refuses_and_the_reverse(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "property.toml"
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in document.items()), encoding="utf-8")
    try:
        suite_files.load(path, _CATALOGUE)
        said = ""
    except Unusable as error:
        said = str(error)
        assert re.match(re.escape(str(path)) + r":\d+:\d+: .", said)
    if "has requirements in targets" not in said:  # of two lines no schema can tell
        assert _VALIDATOR.is_valid(document) is (not said), said


@given(st.text(alphabet="0123456789.,=s erquistfcond", max_size=20))
def test_a_budget_is_read_or_refused(text: str) -> None:
    try:
        requests, refusals, seconds = budget_of(text)
    except Unusable:
        return
    assert requests >= 1
    assert refusals >= 0
    assert seconds >= 1


def test_the_usual_budget_is_the_same_everywhere() -> None:
    usual = Budget()
    assert (usual.requests, usual.refusals, usual.seconds) == BUDGET
    (option,) = (one for one in cli.commands["check"].params if one.name == "budget")
    assert budget_of(str(option.default)) == BUDGET  # text of its own there: `--help` imports nothing for it


def test_building_tells_the_path_to_what_is_wrong() -> None:
    with pytest.raises(Misfit) as refused:
        build(Suite, {"targets": [{"target": "x"}, {"target": "x", "require": {"tools": ["a", 5]}}]}, "here")
    assert refused.value.path == ("targets", 1, "require", "tools", 1)
    assert str(refused.value) == "here targets require tools: 5 is not of the right type (str wanted)."


# the command ----------------------------------------------------------------------------------------------------------


Check = Callable[..., Result]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """`mcpdoctor check` in a directory of its own, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, text: str | None = None, code: int = 0) -> Result:
        if text is not None:
            (tmp_path / "mcpdoctor.toml").write_text(text, encoding="utf-8")
        done = CliRunner().invoke(cli, ["check", *arguments], prog_name="mcpdoctor")
        assert done.exit_code == code, done.output
        return done

    return run


KNOWLEDGE = '[[targets]]\ntarget = "aws-knowledge"\n'


def test_a_directory_with_a_suite_is_checked_by_it(check: Check, tmp_path: Path) -> None:
    done = check("--dry-run", text=WHOLE)
    assert done.stderr == "Suite: mcpdoctor.toml\n"
    assert "Required of aws-mcp: latency 2.0" in done.stdout
    assert "Each gets at most 200 requests in 60 s, of which at most 20 are refused" in done.stdout
    assert "profile:agents" in done.stdout
    assert check("--dry-run", "-q").stderr == ""
    assert "Required" not in check("--dry-run", "aws-knowledge").stdout, "who names a target asks for that alone"
    plan = json.loads(check("--dry-run", "--format", "json", "-r", "eu-west-1").stdout)
    assert plan["plan"][0]["configuration"]["endpoint"] == "https://aws-mcp.eu-west-1.api.aws/mcp"
    assert plan["requirements"][0] == {
        "target": "aws-mcp",
        "name": "workers",
        "wanted": 3,
        "file": "mcpdoctor.toml",
        "line": 14,
        "column": 1,
    }
    assert list(tmp_path.iterdir()) == [tmp_path / "mcpdoctor.toml"]


def test_lines_of_other_names_are_judged_by_themselves(check: Check, tmp_path: Path) -> None:
    suite = tmp_path / "mcpdoctor.toml"
    both = '[[targets]]\ntarget = "aws-mcp"\n{name}[[targets]]\ntarget = "aws-mcp"\nservices = ["ecs-mcp"]\n'
    suite.write_text(both.format(name=""))
    together = check("--lab", "--quiet")
    assert "aws-mcp: works" in together.stdout
    suite.write_text(both.format(name='name = "for agents"\n'))
    apart = check("--lab", "--quiet", code=1)
    assert "for agents: works" in apart.stdout
    assert "aws-mcp: does not work: wrong-service" in apart.stdout


def test_a_mistake_in_the_suite_ends_with_one_sentence(check: Check) -> None:
    done = check(text=WHOLE.replace("regions", "regoins"), code=2)
    said = "Error: mcpdoctor.toml:7:1: unknown key regoins in targets[1]; did you mean regions?\n"
    assert done.output.endswith(said)
    assert "mcpdoctor.toml:1:1: outputs" not in done.output
    done = check("--lab", text=f'outputs = ["nowhere/x.xml"]\n{KNOWLEDGE}', code=2)
    assert "mcpdoctor.toml:1:1: nowhere/x.xml cannot be written" in done.output


WRONG = """\
title = "x"
outputs = ["junit:out/report.xml", "json:out/report.json"]

[[targets]]
target = "aws-mcp"
regions = ["us-east-1"]
services = [
  "bedrock-agentcore",
]

[[targets]]
target = "aws-knowledge"

[targets.require]
latency = 600
tools = ["aws___search_documentation", "aws___serch_documentation"]
forbid = ["wrong-service"]
"""


def test_a_wrong_service_ends_with_an_annotation_on_its_line(check: Check, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = check("--lab", "--format", "github", text=WRONG, code=1)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "::error file=mcpdoctor.toml,line=8,col=3,title=Signed for the wrong service [auth-wrong-service]::"
    )
    missed = next(line for line in lines if "title=Required and not met [tools]" in line)
    assert missed.startswith("::error file=mcpdoctor.toml,line=16,col=1,")
    assert "aws___serch_documentation (did you mean aws___search_documentation?)" in missed
    report = report_json.load(tmp_path / "out" / "report.json")
    asked = {one.name: one for one in report.requirements}
    assert [(name, one.met) for name, one in asked.items()] == [("latency", True), ("tools", False), ("forbid", True)]
    assert asked["tools"].seen == ("aws___search_documentation",)
    stages = next(one for one in report.results if one.target == "aws-knowledge").stages
    waited = [one.elapsed_s for one in stages if one.stage.value in ("dns", "open", "list")]
    assert asked["latency"].seen == round(sum(waited), 3)
    assert [one.origin.line for one in report.results if one.origin] == [4, 11]
    assert report.ceilings == (), "nothing is measured that is not required"
    _drawn_alike(report, done.stdout, (tmp_path / "out" / "report.xml").read_text(encoding="utf-8"))


def _drawn_alike(report: Report, github: str, junit: str) -> None:
    """Every format tells of the requirement, and a saved report draws the same bytes as the run did."""
    again = conclude(report, _CATALOGUE)
    assert again == report
    assert draw(again, "github") == github
    assert draw(again, "junit") == junit
    for form in FORMATS:
        drawn = draw(again, form)
        assert "aws___serch_documentation" in drawn or form == "openmetrics"
    metrics = draw(again, "openmetrics")
    assert 'mcpdoctor_requirement_met{target="aws-knowledge",requirement="tools"} 0' in metrics
    assert 'mcpdoctor_target_success{target="aws-knowledge"} 0' in metrics
    assert "missed: aws-knowledge tools: Not among the " in draw(again, "table", quiet=True)
    better = replace(again, requirements=tuple(replace(one, met=True, text="Fine.") for one in again.requirements))
    [change] = [one for one in compare(better, again).changes if one.about == "requirement"]
    assert (change.kind, change.subject, change.name) == (Kind.WORSE, "aws-knowledge", "tools")


def test_the_workers_that_a_suite_requires_are_measured(check: Check) -> None:
    text = f'{KNOWLEDGE}require.workers = 2\n[[targets]]\ntarget = "aws-mcp"\n[budget]\nceiling = "150,8,60"\n'
    done = check("--lab", "--quick", "--format", "json", text=text)
    report = json.loads(done.stdout)
    [asked] = report["requirements"]
    assert (asked["met"], asked["wanted"], asked["seen"]) == (True, 2, report["ceilings"][0]["recommended_workers"])
    assert asked["text"] == f"2 parallel workers are required, and {asked['seen']} are safe."
    assert [one["target"] for one in report["ceilings"]] == ["aws-knowledge"]
    assert [one["sufficient"] for one in report["ceilings"]] == [True]


@pytest.mark.parametrize("name", ["../x.html", "linked/x.html", "{tmp_path}/outside.html"])
def test_a_suite_writes_below_its_own_directory_only(name: str, check: Check, tmp_path: Path) -> None:
    inner = tmp_path / "clone"
    inner.mkdir()
    (inner / "linked").symlink_to(tmp_path)
    shown = name.format(tmp_path=tmp_path)
    (inner / "suite.toml").write_text(f'outputs = ["{shown}"]\n{KNOWLEDGE}')
    done = check("--suite", "clone/suite.toml", code=2)
    assert f"clone/suite.toml:1:1: {shown} is not below the directory of the suite" in done.output
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("junit:mcpdoctor.toml", "mcpdoctor.toml is the suite itself"),
        ("table:.git/config", ".git/config is in the directory of git"),
    ],
)
def test_a_suite_writes_neither_over_itself_nor_into_git(name: str, words: str, check: Check, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    text = f'outputs = ["{name}"]\n{KNOWLEDGE}'
    assert f"mcpdoctor.toml:1:1: {words}" in check(text=text, code=2).output
    assert (tmp_path / "mcpdoctor.toml").read_text() == text
    assert not list((tmp_path / ".git").iterdir())


def test_options_go_before_the_suite(check: Check, tmp_path: Path) -> None:
    text = f'outputs = ["a.xml"]\n{KNOWLEDGE}require.workers = 3\n[budget]\nceiling = "100,10,30"\n'
    assert "at most 100 requests in 30 s, of which at most 10" in check("--dry-run", text=text).stdout
    assert "at most 50 requests in 20 s, of which at most 5" in check("--dry-run", "--budget", "50,5,20").stdout
    assert "up to 40 sessions at a time" in check("--dry-run", "--require-workers", "30").stdout
    check("--lab", "--quiet", "-o", "b.xml", text=f'outputs = ["a.xml"]\n{KNOWLEDGE}')
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.xml", "mcpdoctor.toml"]


def test_who_annotates_on_github_sees_paths_of_the_workspace(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "agents"
    inner.mkdir()
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    (inner / "mcpdoctor.toml").write_text(KNOWLEDGE)
    monkeypatch.chdir(inner)
    assert check("--dry-run").stderr == "Suite: agents/mcpdoctor.toml\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_suite_is_consent_only_where_nobody_can_be_asked(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue
) -> None:
    import click

    from mcpdoctor.cli.searching import consent, search_of

    plan = expand(["aws-knowledge"], Axes(), catalogue)
    monkeypatch.setattr("sys.stdin", type("Stream", (), {"isatty": lambda _: terminal})())
    monkeypatch.setattr("click.confirm", lambda *_, **__: (_ for _ in ()).throw(click.Abort))
    search = search_of(None, (300, 20, 600.0), quick=False)
    if terminal:
        with pytest.raises(click.Abort):
            consent(plan, search, asked=True, best=True, written=True)
    else:
        consent(plan, search, asked=True, best=True, written=True)
        with pytest.raises(click.UsageError, match="add --yes"):
            consent(plan, search, asked=True, best=True)


def test_pytest_takes_the_suite_of_the_project_from_wherever_it_is_started(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_it(mcp_endpoint): assert mcp_endpoint.endpoint\n")
    (tmp_path / "mcpdoctor.toml").write_text(KNOWLEDGE + 'require.tools = ["no_such_tool"]\n')
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--mcpdoctor", "--mcpdoctor-args=--lab"]
    done = subprocess.run(
        words,
        cwd=tmp_path / "tests",
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no_such_tool" in done.stdout
    assert "mcpdoctor: what is required is not given; nothing was collected" in done.stdout + done.stderr
