"""`mcpdoctor check --from`: the command, against the lab, through the real proxy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from conftest import network_of

from mcpdoctor import engine, from_files
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients import known
from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.matrix import Call
from mcpdoctor.model import Report, Result, Verdict
from mcpdoctor.render import draw, report_json
from mcpdoctor.verdict import conclude

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
ON_THE_WAY = {"dns", "tcp", "tls", "http", "auth"}


def kiro(directory: Path, **servers: dict[str, Any]) -> Path:
    path = directory / ".kiro" / "settings" / "mcp.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}, indent=2), encoding="utf-8")
    return path


def proxy(*args: str, **more: Any) -> dict[str, Any]:
    return {"command": "uvx", "args": ["mcp-proxy-for-aws-cli@latest", *args], **more}


def doctor(*args: object, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mcpdoctor", "check", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", **(environ or {})},
    )


@pytest.fixture(scope="module")
def examine(lab: Lab, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Examine the entries of a file in this process, against the lab."""

    def run(*, commands: bool = False, call: Call | None = None, client: str = "", **servers: dict[str, Any]) -> Report:
        directory = tmp_path_factory.mktemp("desk")
        path = kiro(directory, **servers)
        if client:
            path = path.rename(directory / client)
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory)}
        machine = from_files.Machine(home=directory, project=directory, environ=environ)
        there = from_files.Lab(environ=lab.env, plain=lab.plain)
        made = from_files.planned([str(path)], known(), catalogue, machine, run_commands=commands, lab=there, call=call)
        settings = engine.Settings(timeout_s=10, standby=lab.env, environ=environ)
        return anyio.run(engine.run, made.plan, catalogue, network_of(lab), settings)

    return run


def only(report: Report) -> Result:
    [result] = report.results
    return result


# what must be shown ---------------------------------------------------------------------------------------------------


def test_a_kiro_file_that_names_the_service_one_wants_to_use_gets_it_corrected(tmp_path: Path) -> None:
    kiro(tmp_path, **{"aws-mcp": proxy(AWS_MCP, "--service", "iam", env={"GITHUB_TOKEN": "letmein-please"})})
    done = doctor("--lab", "--from", ".kiro/settings/mcp.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    text = " ".join(done.stdout.split())
    assert re.search(r"aws-mcp +us-east-1 +iam +default +fails +auth +401 +wrong-service", text)
    assert "[auth-wrong-service] .kiro/settings/mcp.json:9:9 " in text
    assert "The service is the signing name of the MCP endpoint, not the AWS service you want to use." in text
    shown = done.stdout.split("The entry, corrected:")[1]
    assert json.loads("{" + shown + "}") == {
        "aws-mcp": proxy(AWS_MCP, "--service", "aws-mcp", env={"GITHUB_TOKEN": "[redacted]"})
    }
    assert "letmein" not in done.stdout


def test_the_healthy_twin_passes_through_the_real_proxy(tmp_path: Path) -> None:
    kiro(tmp_path, **{"aws-mcp": proxy(AWS_MCP, "--service", "aws-mcp", "--metadata", "AWS_REGION=us-west-2")})
    args = ("--lab", "--from", ".kiro/settings/mcp.json:aws-mcp", "--run-commands", "--format", "json")
    done = doctor(*args, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    result = only(report_json.loads(done.stdout))
    assert result.works is True
    assert result.configuration.transport == "stdio"
    verdicts = {trace.stage.value: trace.verdict for trace in result.stages}
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.PASSED} == {
        "parse",
        "open",
        "list",
        "call",
    }
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.SKIPPED} == ON_THE_WAY
    origin = json.loads(done.stdout)["results"][0]["origin"]
    assert (origin["file"], origin["server"]) == (".kiro/settings/mcp.json", "aws-mcp")
    assert (origin["line"], origin["column"], origin["client"]) == (3, 5, "Kiro")


def test_through_the_proxy_the_faulty_twin_is_told_as_its_endpoint_tells_it(examine: Any) -> None:
    result = only(examine(commands=True, it=proxy(AWS_MCP, "--service", "iam")))
    assert (result.works, result.stage.value, result.http_status) == (False, "auth", 401)
    [finding] = result.findings
    assert (finding.check, finding.line) == ("auth-wrong-service", 9)
    opened = next(trace for trace in result.stages if trace.stage.value == "open")
    assert opened.verdict is Verdict.FAILED
    assert "401 Unauthorized" in str(opened.facts["words"])
    assert opened.facts["direct_works"] is False


# what the proxy says, and what is true --------------------------------------------------------------------------------


def test_expired_keys_of_the_entry_are_found(examine: Any, lab: Lab) -> None:
    for commands in (False, True):
        result = only(examine(commands=commands, it=proxy(AWS_MCP, env=lab.identities["expired"])))
        assert [one.check for one in result.findings] == ["auth-expired-credentials"]


def test_a_missing_permission_that_the_proxy_takes_for_expired_keys_is_told_as_what_it_is(
    examine: Any, lab: Lab
) -> None:
    denied = lab.identities["denied"]
    result = only(examine(commands=True, it=proxy(AWS_MCP, env=denied)))
    assert result.works is False
    assert [one.check for one in result.findings] == ["auth-access-denied"]
    assert result.http_status in (401, 403)


def test_a_refusal_that_comes_with_the_call_is_told_as_the_endpoint_tells_it(examine: Any) -> None:
    url = FAULTS["call/denied"].url()
    entry = proxy(url, "--service", "aws-mcp", "--region", "us-east-1")
    call = Call(tool="echo", arguments={"text": "hello"})
    result = only(examine(commands=True, call=call, it=entry))
    assert (result.works, result.stage.value, result.http_status) == (False, "call", 401)
    # The client of March 2026 waits for ever for the answer to a call that is refused.
    assert [one.check for one in result.findings if one.check != "open-client-hangs"] == ["auth-rejected-late"]
    called = result.stages[-1]
    assert "expired or invalid AWS credentials" in str(called.facts) or called.failures


def test_where_the_endpoint_is_well_the_fault_is_the_commands(examine: Any) -> None:
    entry = {"command": "no-such-proxy", "args": ["-m", "mcp_proxy_for_aws.server", AWS_MCP]}
    result = only(examine(commands=True, it={**entry, "command": "/no/such/python3"}))
    assert [one.check for one in result.findings] == ["startup-command-not-found"]
    verdicts = {trace.stage.value: trace.verdict.value for trace in result.stages}
    assert {verdicts[name] for name in ON_THE_WAY} == {"passed"}
    opened = next(trace for trace in result.stages if trace.stage.value == "open")
    assert opened.facts["direct_works"] is True
    assert result.works is False
    assert result.findings[0].text.endswith("The endpoint itself answers well when it is asked directly.")


def test_a_command_that_is_not_on_the_path_of_the_client_is_found_where_it_is(examine: Any) -> None:
    name = Path(sys.executable).name
    result = only(examine(commands=True, it={"command": name, "env": {"PATH": "/no/such/directory"}}))
    [finding] = result.findings
    assert finding.check == "startup-command-not-found"
    command = json.loads("{" + finding.correction + "}")["it"]["command"]
    assert Path(command).is_absolute()
    assert Path(command).name == name


def test_words_of_a_command_are_read_where_nothing_else_tells(examine: Any) -> None:
    words = "botocore.exceptions.NoCredentialsError: Unable to locate credentials"
    entry = {"command": sys.executable, "args": ["-c", f"import sys; sys.exit({words!r})"]}
    result = only(examine(commands=True, it=entry))
    [finding] = result.findings
    assert (finding.check, result.cause) == ("auth-no-credentials", finding.cause)
    assert (finding.file != "", finding.line) == (True, 3)


def test_the_error_that_a_command_answers_with_is_read_too(examine: Any) -> None:
    text = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    error = {'code': -32603, 'message': 'No AWS credentials available. Use --skip-auth.'}\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': json.loads(line)['id'], 'error': error}), flush=True)\n"
    )
    result = only(examine(commands=True, it={"command": sys.executable, "args": ["-c", text]}))
    assert [one.check for one in result.findings] == ["auth-no-credentials"]


def test_a_report_is_judged_again_as_it_was(examine: Any, catalogue: Catalogue) -> None:
    report = examine(commands=True, it=proxy(AWS_MCP, "--service", "iam"), other={"command": "/no/such"})
    again = conclude(report_json.loads(report_json.dumps(report)), catalogue)
    assert again == report


# entries that are not the proxy ---------------------------------------------------------------------------------------


def test_an_entry_by_url_sends_its_headers_and_shows_none(examine: Any, lab: Lab) -> None:
    before = len(lab.requests)
    headers = {"Authorization": "Bearer made-up-token-of-the-lab", "X-Team": "blue-team-of-nine"}
    report = examine(it={"url": FAULTS["auth/access-denied"].url(), "headers": headers})
    assert len(lab.requests) > before
    assert only(report).works is False
    for form in ("json", "table"):
        assert "made-up-token" not in draw(report, form, verbose=2)


def test_entries_of_one_host_with_other_headers_are_asked_for_themselves(examine: Any) -> None:
    url = FAULTS["healthy/none"].url()
    report = examine(one={"url": url, "headers": {"X-A": "1"}}, two={"url": url, "headers": {"X-A": "2"}})
    assert [one.works for one in report.results] == [True, True]


def test_a_proxy_with_skip_auth_goes_on_unsigned(examine: Any, lab: Lab, catalogue: Catalogue, tmp_path: Path) -> None:
    path = kiro(tmp_path, it=proxy(AWS_MCP, "--skip-auth"))
    environ = {"PATH": "/usr/bin", "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    machine = from_files.Machine(home=tmp_path, project=tmp_path, environ=environ)
    plan = from_files.planned([str(path)], known(), catalogue, machine).plan
    settings = engine.Settings(environ=environ)
    result = only(anyio.run(engine.run, plan, catalogue, network_of(lab), settings))
    assert (result.works, result.configuration.credential) == (True, "none")


def test_a_command_that_may_not_be_started_is_not_tried_and_says_how(tmp_path: Path) -> None:
    entry = {"command": sys.executable, "args": ["-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]}
    path = kiro(tmp_path, it=entry)
    done = doctor("--from", path, cwd=tmp_path)
    assert done.returncode == 3
    assert "only with --run-commands" in done.stdout
    assert not (tmp_path / "ran").exists()
    done = doctor("--from", path, "-q", cwd=tmp_path)
    assert done.stdout.startswith(".kiro/settings/mcp.json:it: not tried: its command is started only with")


def test_a_dry_run_starts_nothing_and_shows_no_secret(tmp_path: Path) -> None:
    entry = {
        "command": sys.executable,
        "args": ["-c", f"open({str(tmp_path / 'ran')!r}, 'w')", "--pass", "letmein-please", "--token", "letmein"],
        "env": {"THE_PASS": "letmein-please"},
    }
    path = kiro(tmp_path, it=entry, off={"command": "x", "disabled": True})
    for form in ("table", "json"):
        done = doctor("--from", path, "--run-commands", "--dry-run", "--format", form, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "letmein" not in done.stdout
        assert "switched off" in done.stdout
    assert not (tmp_path / "ran").exists()


def test_what_was_not_tried_does_not_fail_what_works(examine: Any) -> None:
    report = examine(it={"url": FAULTS["healthy/none"].url()}, other={"command": "some-server"})
    assert (report.exit_code, [one.works for one in report.results]) == (0, [True, None])
    drawn = draw(report, "table")
    assert "Works as it is written:" in drawn
    assert "Not tried:" in drawn


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("--from", "auto"), 3, "No client file of yours or of this project holds a server"),
        (("--from", "mcp.json"), 2, "Error: mcp.json:1:1: no such file; check the path."),
        (("--run-commands",), 2, "add --from FILE"),
        (("--from", "x", "aws-mcp"), 2, "leave out targets"),
        (("--from", "x", "-s", "iam"), 2, "leave out targets"),
        (("--from", "x", "--ceiling"), 2, "--from measures no ceiling"),
        (("--from", "x", "--require-workers", "3"), 2, "--from measures no ceiling"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, args: tuple[str, ...], code: int, says: str) -> None:
    done = doctor(*args, cwd=tmp_path, environ={"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)})
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_auto_tries_the_files_of_the_user_and_of_the_project(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".cursor").mkdir(parents=True)
    servers = {"mcpServers": {"cursor": {"command": "some-server"}}}
    (home / ".cursor" / "mcp.json").write_text(json.dumps(servers), encoding="utf-8")
    project = tmp_path / "project"
    kiro(project, healthy={"url": FAULTS["healthy/none"].url()})
    (project / ".mcp.json").write_text("{", encoding="utf-8")
    done = doctor("--lab", "--from", "auto", cwd=project, environ={"HOME": str(home), "USERPROFILE": str(home)})
    assert done.stderr.startswith("Left out: ")
    assert ".kiro/settings/mcp.json:healthy" in done.stdout
    assert "~/.cursor/mcp.json:cursor: its command is started only with --run-commands" in done.stdout
