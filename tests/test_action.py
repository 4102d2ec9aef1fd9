"""The GitHub Action: action.yml as GitHub reads it, its steps run as a runner runs them, and what they leave behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Examine

import mcpdoctor
from mcpdoctor.catalogue import locate
from mcpdoctor.integrations import action
from mcpdoctor.lab import Lab, Options
from mcpdoctor.model import Report, Unusable
from mcpdoctor.render import report_json

ROOT = Path(__file__).parent.parent
AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="there is no bash on this machine")


def read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return found


# action.yml -----------------------------------------------------------------------------------------------------------


def test_the_file_has_the_form_of_a_composite_action() -> None:
    # As docs.github.com has it ("Metadata syntax reference"): these keys, and no others.
    document = read()
    assert (
        {"name", "description", "runs"}
        <= set(document)
        <= {"name", "description", "author", "branding"}
        | {
            "inputs",
            "outputs",
            "runs",
        }
    )
    for name, given in document["inputs"].items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        assert set(given) <= {"description", "required", "default", "deprecationMessage"}
        assert given["description"]
        assert isinstance(given["default"], str)  # true and false are texts too
    for given in document["outputs"].values():
        assert set(given) == {"description", "value"}
    assert document["runs"]["using"] == "composite"
    ids = [step["id"] for step in document["runs"]["steps"]]
    assert len(set(ids)) == len(ids)
    for step in document["runs"]["steps"]:
        assert set(step) <= {"name", "id", "if", "shell", "run", "env", "working-directory", "continue-on-error"}
        assert step["shell"] == "bash"  # composite actions have no default


def test_no_script_holds_an_expression() -> None:
    # What a caller writes into an input would be a part of the script.
    for step in read()["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert "eval" not in step["run"]


def test_every_input_is_used_and_every_output_is_set() -> None:
    document = read()
    text = yaml.safe_dump(document["runs"])
    assert set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", text)) == set(document["inputs"])
    report = Report(mcpdoctor="0", exit_code=0)
    values = {*action.outputs(report), "report", "exit-code"}
    assert values == set(document["outputs"])
    assert {one["value"] for one in document["outputs"].values()} == {
        f"${{{{ steps.check.outputs.{name} }}}}" for name in values
    }


def test_every_variable_that_the_script_reads_is_set_by_a_step() -> None:
    step = next(one for one in read()["runs"]["steps"] if one["id"] == "check")
    source = Path(action.__file__).read_text(encoding="utf-8")
    asked = {f"INPUT_{name}" for name in re.findall(r'(?:given\(|, )"([A-Z_]+)"\)', source)}
    asked |= set(re.findall(r'"(INPUT_[A-Z_]+)"', source))
    assert asked == {name for name in step["env"] if name.startswith("INPUT_")}


# the words of the command line ----------------------------------------------------------------------------------------


def words(**inputs: str) -> list[str]:
    return action.arguments({f"INPUT_{name.upper()}": value for name, value in inputs.items()})


def test_inputs_become_words_of_the_command_line() -> None:
    assert words() == ["--yes", "--format", "json"]
    assert words(suite="s.toml", require_workers=" 3 ", fail_on="warning", ceiling="True") == [
        *("--yes", "--suite", "s.toml", "--require-workers", "3", "--fail-on", "warning", "--ceiling"),
        *("--format", "json"),
    ]
    assert words(outputs="junit:a b.xml\n\n  r.html\n", arguments='--tool x --arguments \'{"a": "b c"}\'') == [
        *("--yes", "--output", "junit:a b.xml", "--output", "r.html", "--tool", "x", "--arguments", '{"a": "b c"}'),
        *("--format", "json"),
    ]


def test_what_is_meant_as_a_target_is_never_an_option() -> None:
    assert words(targets="aws-mcp\n--checks=/tmp  x")[-4:] == ["--", "aws-mcp", "--checks=/tmp", "x"]


@pytest.mark.parametrize("value", ["$(touch x)", "`touch x`", "; touch x", "a && touch x", "--suite $HOME"])
def test_nothing_in_the_arguments_is_run_or_expanded(value: str) -> None:
    assert "".join(words(arguments=value)[1:-2]).replace(" ", "") == value.replace(" ", "")


@pytest.mark.parametrize(("inputs", "says"), [({"arguments": "'"}, "arguments"), ({"ceiling": "yes"}, "ceiling")])
def test_an_input_that_cannot_be_used_is_refused(inputs: dict[str, str], says: str) -> None:
    with pytest.raises(Unusable, match=f"The input {says}"):
        words(**inputs)


# what is left behind --------------------------------------------------------------------------------------------------


def read_outputs(path: Path) -> dict[str, str]:
    """The file of outputs, read as the runner reads it."""
    found: dict[str, str] = {}
    lines = iter(path.read_text(encoding="utf-8").split("\n"))
    for line in lines:
        if not line:
            continue
        name, mark, fence = line.partition("<<")
        if not mark:
            name, mark, value = line.partition("=")
            assert mark, line
            found[name] = value
            continue
        inside: list[str] = []
        for inner in lines:
            if inner == fence:
                break
            inside.append(inner)
        found[name] = "\n".join(inside)
    return found


def test_a_working_target_sets_the_outputs(examine: Examine) -> None:
    report = examine("aws-mcp", regions=("us-east-1",), credentials=("default", "none"))
    assert action.outputs(report) == {
        "works": "true",
        "cause": "",
        "best-endpoint": AWS_MCP,
        "best-region": "us-east-1",
        "best-service": "aws-mcp",
        "best-credential": "default",
        "recommended-workers": "",
    }


def test_a_target_that_fails_gives_its_cause_beside_one_that_works(examine: Examine) -> None:
    report = examine("aws-mcp", "https://knowledge-mcp.us-east-1.api.aws/mcp", credentials=("none",))
    found = action.outputs(report)
    assert (found["works"], found["cause"]) == ("false", "dns-failure")
    assert found["best-endpoint"] == AWS_MCP
    assert (found["best-service"], found["best-credential"]) == ("", "none")


def test_outputs_of_hostile_text_stay_one_output_each(tmp_path: Path) -> None:
    path = tmp_path / "out"
    hostile = "x\nworks=true\nworks<<EOF\ntrue\nEOF\nmcpdoctor-\n"
    action._set({"GITHUB_OUTPUT": str(path)}, {"cause": hostile, "works": "false"})
    assert read_outputs(path) == {"cause": hostile, "works": "false"}
    action._set({}, {"works": "true"})  # not on a runner


# the steps, run as a runner runs them ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that ended."""

    code: int
    log: str
    outputs: Mapping[str, str]
    summary: str = ""


def run_step(name: str, where: Path, inputs: Mapping[str, str], **environ: str) -> Step:
    """Run a step with bash, with the defaults of the inputs that are not given."""
    document = read()
    step = next(one for one in document["runs"]["steps"] if one["id"] == name)
    given = {**{key: one["default"] for key, one in document["inputs"].items()}, **inputs}
    assert set(given) == set(document["inputs"])
    values = {f"inputs.{key}": value for key, value in given.items()}
    values |= {"github.action_path": environ.pop("ACTION_PATH", str(ROOT))}
    values |= {"steps.install.outputs.python": environ.pop("PYTHON", sys.executable)}

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: values[found[1]], text)

    temp = where / "runner-temp"
    temp.mkdir(exist_ok=True)
    script, out, summary = temp / "step.sh", temp / "output", temp / "summary"
    script.write_text(step["run"], encoding="utf-8")
    out.write_text("")
    summary.write_text("")
    runner = {
        "GITHUB_ACTIONS": "true",
        "CI": "true",
        "GITHUB_WORKSPACE": str(where),
        "GITHUB_OUTPUT": str(out),
        "GITHUB_STEP_SUMMARY": str(summary),
        "RUNNER_TEMP": str(temp),
    }
    done = subprocess.run(
        [str(BASH), "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=where / filled(step.get("working-directory", ".")),
        env={**os.environ, **runner, **{key: filled(value) for key, value in step["env"].items()}, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return Step(
        code=done.returncode, log=done.stdout, outputs=read_outputs(out), summary=summary.read_text(encoding="utf-8")
    )


def seen(log: str) -> list[str]:
    """The commands in a log that the runner carries out."""
    found, fence = [], None
    for line in log.splitlines():
        if fence is not None:
            fence = None if line == f"::{fence}::" else fence
        elif line.startswith("::stop-commands::"):
            fence = line.removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::"):
            found.append(line)
    assert fence is None
    return found


def wheel(directory: Path) -> None:
    """A wheel of the sources, put together by hand: building one needs hatchling, which tests do not."""
    package = Path(mcpdoctor.__file__).parent
    info = f"mcpdoctor-{mcpdoctor.__version__}.dist-info"
    name = f"mcpdoctor-{mcpdoctor.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(directory / name, "w") as archive:
        for path in sorted(one for one in package.rglob("*") if one.is_file() and "__pycache__" not in one.parts):
            if "checks" not in path.relative_to(package).parts:
                archive.write(path, f"mcpdoctor/{path.relative_to(package).as_posix()}")
        for path in sorted(one for one in locate().rglob("*") if one.is_file()):
            archive.write(path, f"mcpdoctor/checks/{path.relative_to(locate()).as_posix()}")
        metadata = f"Metadata-Version: 2.1\nName: mcpdoctor\nVersion: {mcpdoctor.__version__}\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python that the first step sets up: mcpdoctor from a wheel, what it needs from where the tests run."""
    where = tmp_path_factory.mktemp("installed")
    wheels = where / "wheels"
    wheels.mkdir()
    wheel(wheels)
    step = run_step(
        "install",
        where,
        {"version": mcpdoctor.__version__, "python": sys.executable},
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheels),
        PIP_NO_DEPS="1",
        PIP_NO_COMPILE="1",
    )
    assert step.code == 0, step.log
    python = step.outputs["python"]
    library = next(Path(python).parent.parent.glob("lib*/**/site-packages"))
    others = [one for one in sys.path if "-packages" in one]
    (library / "of-the-tests.pth").write_text("\n".join(others))
    return python


@needs_bash
@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"version": "1.0; touch x"}, "The input version is no version"),
        ({"version": "$(touch x)"}, "The input version is no version"),
        ({"python": "no-such-python"}, "Python 3.11 or newer is needed"),
    ],
)
def test_an_installation_that_cannot_be_is_refused(inputs: dict[str, str], says: str, tmp_path: Path) -> None:
    step = run_step("install", tmp_path, {"python": sys.executable, **inputs})
    assert step.code == 2
    assert f"::error title=mcpdoctor::{says}" in step.log
    assert not (tmp_path / "x").exists()
    assert step.outputs == {}


@pytest.fixture(scope="module")
def narrow() -> Iterator[Lab]:
    """A lab that lets two sessions in, reached over plain HTTP."""
    with Lab(Options(limits=("sessions:2",))) as running:
        yield running


def suite(directory: Path, url: str | None, service: str = "aws-mcp") -> int:
    """Write a suite; the line that names the service."""
    directory.mkdir(exist_ok=True)
    assert url is not None
    rows = ['title = "Evals"', "", "[[targets]]", f'target = "{url}"', 'regions = ["us-east-1"]']
    rows += [f'services = ["{service}"]', 'credentials = ["env"]', ""]
    (directory / "mcpdoctor.toml").write_text("\n".join(rows), encoding="utf-8")
    return rows.index(f'services = ["{service}"]') + 1


@needs_bash
def test_a_suite_that_works_sets_the_workers_and_ends_well(installed: str, narrow: Lab, tmp_path: Path) -> None:
    suite(tmp_path, narrow.plain(AWS_MCP))
    # Modules of the project must not take the place of ours.
    for name in ("json", "mcpdoctor", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the project')\n")
    inputs = {"ceiling": "true", "arguments": "--max 3 --quick --quiet", "outputs": "junit:mcpdoctor.xml"}
    step = run_step("check", tmp_path, inputs, PYTHON=installed, PYTHONPATH=str(tmp_path), **narrow.env)
    assert step.code == 0, step.log
    assert (step.outputs["works"], step.outputs["exit-code"], step.outputs["cause"]) == ("true", "0", "")
    assert step.outputs["recommended-workers"] == "1"  # three quarters of two
    assert step.outputs["best-endpoint"] == narrow.plain(AWS_MCP)
    report = report_json.load(Path(step.outputs["report"]))
    assert report.ceilings[0].recommended_workers == 1
    assert (tmp_path / "mcpdoctor.xml").read_text().startswith("<?xml")
    assert "works" in step.log
    assert step.summary.startswith("## mcpdoctor")
    assert [line for line in seen(step.log) if line.startswith("::error")] == []
    assert narrow.env["AWS_SECRET_ACCESS_KEY"] not in step.log + step.summary


@needs_bash
def test_a_wrong_service_fails_with_an_annotation_at_its_line(installed: str, narrow: Lab, tmp_path: Path) -> None:
    line = suite(tmp_path / "evals", narrow.plain(AWS_MCP), service="bedrock-agentcore")
    inputs = {"working-directory": "evals", "report": "report.json"}
    step = run_step("check", tmp_path, inputs, PYTHON=installed, **narrow.env)
    assert step.code == 1, step.log
    [error] = [one for one in seen(step.log) if one.startswith("::error")]
    assert error.startswith(f"::error file=evals/mcpdoctor.toml,line={line},")
    assert "auth-wrong-service" in error
    assert (step.outputs["works"], step.outputs["cause"], step.outputs["exit-code"]) == ("false", "wrong-service", "1")
    assert step.outputs["report"] == str(tmp_path / "evals" / "report.json")
    assert "auth-wrong-service" in step.summary


def act(where: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], **inputs: str) -> Step:
    """The script of the second step alone, in this process."""
    monkeypatch.chdir(where)
    monkeypatch.setenv("CI", "true")
    out = where / "output"
    environ = {**os.environ, "GITHUB_OUTPUT": str(out), "RUNNER_TEMP": str(where)}
    code = action.run({**environ, **{f"INPUT_{name.upper()}": value for name, value in inputs.items()}})
    said = capfd.readouterr()
    assert said.err == ""
    return Step(code=code, log=said.out, outputs=read_outputs(out))


def test_a_suite_that_cannot_be_read_is_an_annotation_at_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcpdoctor.toml").write_text('title = "x"\n[[targets]]\ntargte = "aws-mcp"\n')
    step = act(tmp_path, monkeypatch, capfd, suite="mcpdoctor.toml")
    assert (step.code, step.outputs["exit-code"], step.outputs["works"]) == (2, "2", "false")
    [error] = seen(step.log)
    assert error.startswith("::error file=mcpdoctor.toml,line=3,")
    assert "target" in error
    assert list(tmp_path.glob("*.json")) == []


def test_a_hostile_suite_gives_the_runner_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcpdoctor.toml").write_text('"x\\n::add-path::/evil\\n::set-output name=works::true" = 1\n')
    step = act(tmp_path, monkeypatch, capfd, suite="mcpdoctor.toml")
    assert step.code == 2
    assert [line.split(" ")[0] for line in seen(step.log)] == ["::error"]
    assert step.outputs["works"] == "false"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"arguments": "'"}, "The input arguments cannot be taken apart"),
        ({"report": "no/such/directory/r.json"}, "The report cannot be written to no/such/directory/r.json"),
        ({"targets": "aws-mpc"}, "did you mean aws-mcp?"),
        ({"require_workers": "many"}, "many"),
    ],
)
def test_inputs_that_cannot_be_used_are_annotations(
    inputs: dict[str, str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    step = act(tmp_path, monkeypatch, capfd, **inputs)
    assert step.code == 2
    [error] = seen(step.log)
    assert error.startswith("::error title=mcpdoctor::")
    assert says in error
    assert step.outputs == {"works": "false", "exit-code": "2"}


def test_a_dry_run_shows_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    step = act(tmp_path, monkeypatch, capfd, targets="aws-mcp", arguments="--dry-run")
    assert step.code == 0
    assert AWS_MCP in step.log
    assert seen(step.log) == []
    assert step.outputs["exit-code"] == "0"
