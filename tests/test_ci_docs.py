"""docs/ci.md: every example is what its system reads, and every command of mcpdoctor in it does what it says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import mcpdoctor
from mcpdoctor.cli import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BASH = shutil.which("bash")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def documents() -> list[dict[str, Any]]:
    return [yaml.safe_load(one) for one in blocks("yaml")]


def having(key: str) -> list[dict[str, Any]]:
    return [one for one in documents() if key in one]


def workflows() -> list[dict[str, Any]]:
    return [one for one in having("jobs") if "permissions" in one]


def steps() -> Iterator[dict[str, Any]]:
    for workflow in workflows():
        for job in workflow["jobs"].values():
            yield from job["steps"]


def scripts() -> list[str]:
    """Every script that a system gives to a shell, and the shell blocks of the page."""
    found = [step["run"] for step in steps() if "run" in step]
    found += [line for one in having("preflight") for line in one["preflight"]["script"]]
    for one in having("workflows"):
        found += [step["run"] for step in one["jobs"]["preflight"]["steps"] if "run" in step]
    found += re.findall(r"sh '''\n(.*?)'''", "".join(blocks("groovy")), flags=re.DOTALL)
    found += blocks("sh")
    found += [line.removeprefix("$ ") for one in blocks("console") for line in one.splitlines()]
    return found


def commands() -> list[str]:
    """Every line that runs mcpdoctor, once."""
    lines = (line.split("  #")[0].strip() for script in scripts() for line in script.splitlines())
    return list(dict.fromkeys(line for line in lines if re.search(r"(?:^|[ /])mcpdoctor (?!\w+==)", line)))


# structure ------------------------------------------------------------------------------------------------------------


def test_all_kinds_of_examples_are_there() -> None:
    assert (len(workflows()), len(having("preflight")), len(having("workflows")), len(having("repos"))) == (2, 1, 1, 1)
    assert len(blocks("groovy")) == 1
    assert len(commands()) > 10


def test_a_workflow_takes_on_a_role_and_no_more_rights_than_that_needs() -> None:
    for workflow in workflows():
        assert workflow["permissions"] == {}
        assert {"on", "True"} & set(map(str, workflow))  # YAML 1.1 reads `on` as true
        for job in workflow["jobs"].values():
            assert job["permissions"] == {"contents": "read", "id-token": "write"}
            uses = [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]
            assert uses[:2] == ["actions/checkout", "aws-actions/configure-aws-credentials"]
            given = next(step["with"] for step in job["steps"] if "configure-aws" in step.get("uses", ""))
            assert set(given) == {"role-to-assume", "aws-region"}


def test_the_actions_of_others_are_pinned_to_a_commit_with_its_version() -> None:
    for line in re.findall(r"uses: (.*)", PAGE):
        name, _, version = line.partition("@")
        if name == "mcpdoctor/mcpdoctor":
            assert version == f"v{mcpdoctor.__version__}"
        else:
            assert re.fullmatch(r"[0-9a-f]{40}  # v\d+\.\d+\.\d+", version), line


def test_the_action_is_given_inputs_that_it_has_and_asked_for_outputs_that_it_has() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    ours = [step for step in steps() if step.get("uses", "").startswith("mcpdoctor/")]
    assert len(ours) == 1
    assert set(ours[0]["with"]) <= set(action["inputs"])
    asked = set(re.findall(rf"steps\.{ours[0]['id']}\.outputs\.([\w-]+)", PAGE))
    assert asked
    assert asked <= set(action["outputs"])
    tables = PAGE.split("| input | meaning |")[1].split("Pin the action")[0]
    named = {
        name for row in re.findall(r"^\|([^|]*)\|", tables, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", row)
    }
    assert named == set(action["inputs"]) | set(action["outputs"])


def test_the_job_of_gitlab_hands_its_token_to_botocore_and_keeps_the_report_of_a_failure() -> None:
    [document] = having("preflight")
    job = document["preflight"]
    [token] = job["id_tokens"]
    assert "aud" in job["id_tokens"][token]
    assert {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= set(job["variables"])
    assert f'"${token}"' in job["script"][0]
    assert job["artifacts"]["when"] == "always"
    assert f"-o junit:{job['artifacts']['reports']['junit']}" in job["script"][-1]


def test_the_job_of_circleci_hands_its_token_to_botocore_and_stores_the_tests() -> None:
    [document] = having("workflows")
    job = document["jobs"]["preflight"]
    assert document["version"] == 2.1
    assert {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= set(job["environment"])
    stored = next(step["store_test_results"] for step in job["steps"] if "store_test_results" in step)
    assert f"junit:{stored['path']}/" in next(run["run"] for run in job["steps"] if "mcpdoctor check" in str(run))
    assert "preflight" in document["workflows"]["evals"]["jobs"]


def test_the_pipeline_of_jenkins_is_balanced_and_reads_the_report_that_it_writes() -> None:
    [text] = blocks("groovy")
    assert [text.count(one) for one in "{[("] == [text.count(one) for one in "}])"]
    written = re.findall(r"-o junit:(\S+)", text)
    assert re.findall(r"junit testResults: '([^']+)'", text) == written


def test_the_hook_is_the_one_that_exists() -> None:
    [document] = having("repos")
    [repo] = document["repos"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [one["id"] for one in repo["hooks"]] == [one["id"] for one in hooks]
    assert repo["rev"] == f"v{mcpdoctor.__version__}"
    assert project["urls"]["Changelog"].startswith(repo["repo"])


# commands -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(BASH is None, reason="there is no bash on this machine")
def test_every_script_is_one_that_a_shell_can_read() -> None:
    for script in scripts():
        done = subprocess.run([str(BASH), "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script


@pytest.mark.skipif(BASH is None, reason="there is no bash on this machine")
@pytest.mark.parametrize("variable", ["AWS_ID_TOKEN", "CIRCLE_OIDC_TOKEN_V2"])
def test_a_token_gets_into_its_file_as_it_is_and_nobody_else_reads_it(variable: str, tmp_path: Path) -> None:
    [line] = [one for one in scripts() if variable in one]
    path = tmp_path / "token"
    environ = {variable: "a.b%s\\n-c", "AWS_WEB_IDENTITY_TOKEN_FILE": str(path), "PATH": "/usr/bin:/bin"}
    subprocess.run([str(BASH), "-euc", line], env=environ, check=True)
    assert path.read_text() == "a.b%s\\n-c"
    assert path.stat().st_mode & 0o077 == 0


def run(line: str, directory: Path) -> int:
    """Run a line in this process, `check` in the lab; what is written goes below the directory."""
    line = re.sub(r"^.* && ", "", line)
    line, _, stdout = line.partition(" > ")
    words = shlex.split(line.replace("/var/lib/node_exporter", str(directory)))
    assert re.fullmatch(r"(?:\.mcpdoctor/bin/)?mcpdoctor", words[0])
    words = [*words[1:], *(["--lab"] if words[1] == "check" else [])]
    ended = CliRunner().invoke(cli, words)
    assert ended.exit_code in (0, 1), ended.output
    if stdout:
        (directory / stdout).write_text(ended.stdout, encoding="utf-8")
    return ended.exit_code


def write(directory: Path, service: str = "aws-mcp") -> None:
    (directory / "test-results").mkdir(exist_ok=True)
    (directory / ".mcp.json").write_text("{}")
    (directory / "mcpdoctor.toml").write_text(
        f'[[targets]]\ntarget = "aws-mcp"\nregions = ["us-east-1"]\nservices = ["{service}"]\n'
        'credentials = ["profile:mine"]\n'
    )


def test_every_command_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    codes = {}
    for line in commands():
        write(tmp_path)
        if "pip" in line.split() or line.startswith(("uvx", "pipx")):
            continue
        if "mcpdoctor init" in line:
            (tmp_path / "mcpdoctor.toml").unlink(missing_ok=True)
        if "yesterday.json" in line:
            shutil.copy(tmp_path / "today.json", tmp_path / "yesterday.json")
        codes[line] = run(line, tmp_path)
    # The suite names a profile, which the lab does not have: what a job gives with --credential takes its place.
    failing = {line for line in codes if "mcpdoctor check" in line and not re.search("--credential|aws-mcp", line)}
    assert {line for line, code in codes.items() if code == 1} == failing
    assert {line for line, code in codes.items() if code == 0} == set(codes) - failing
    written = {path.name for path in tmp_path.rglob("mcpdoctor.*")}
    assert written >= {"mcpdoctor.xml", "mcpdoctor.html", "mcpdoctor.prom", "mcpdoctor.json"}
    assert (tmp_path / "test-results" / "mcpdoctor.xml").exists()


def test_a_wrong_service_fails_the_job_of_each_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    write(tmp_path, service="bedrock-agentcore")
    jobs = [line for line in commands() if "--credential default" in line]
    assert len(jobs) == 5
    assert {run(line, tmp_path) for line in jobs} == {1}
    assert "wrong-service" in (tmp_path / "mcpdoctor.xml").read_text(encoding="utf-8")
