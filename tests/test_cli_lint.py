"""`mcpdoctor lint` on the command line: which files, which formats, which exit code, and what --fix writes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lint_examples import KIRO, PROXY, URL, entry, proxy, several

from mcpdoctor import __version__
from mcpdoctor.cli import cli

FAULT = proxy(URL, "--service", "iam")
HEALTHY = proxy(URL)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without files, in an empty project."""
    place = tmp_path / "home"
    project = tmp_path / "project"
    place.mkdir()
    project.mkdir()
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    for name in ("CODEX_HOME", "CLAUDE_CONFIG_DIR", "COPILOT_HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.chdir(project)
    return place


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lint(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["lint", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_finding_is_printed_as_compilers_do(home: Path) -> None:
    write(Path(KIRO), FAULT)
    result = lint(KIRO)
    first = result.stdout.splitlines()[0]
    assert first.startswith(f"{KIRO}:1:{FAULT.index('iam')}: error: Requests would be signed for iam; ")
    assert first.endswith(" [config-wrong-service]")
    assert "not the AWS service" in first
    assert result.exit_code == 1
    assert "1 error in 1 file; --fix can put 1 of them right." in result.stdout


def test_quiet_prints_one_line_a_finding(home: Path) -> None:
    write(Path(KIRO), FAULT)
    assert len(lint("-q", ".").stdout.splitlines()) == 1
    write(Path(KIRO), HEALTHY)
    assert lint("-q", ".").stdout == ""


def test_without_a_path_the_files_of_user_and_project_are_read(home: Path) -> None:
    write(home / ".cursor" / "mcp.json", FAULT)
    write(Path(KIRO), FAULT)
    write(Path("elsewhere.json"), FAULT)
    result = lint("--format", "json")
    assert [one["file"] for one in json.loads(result.stdout)["lint"]] == [str(home / ".cursor" / "mcp.json"), KIRO]
    assert result.exit_code == 1


def test_without_any_file_there_is_nothing_to_examine(home: Path) -> None:
    assert lint().exit_code == 3
    assert lint(".").exit_code == 0


def test_the_profiles_of_the_user_count(home: Path) -> None:
    write(Path(KIRO), proxy(URL, "--profile", "dev"))
    assert lint(KIRO).exit_code == 0  # without an AWS configuration nothing is known
    write(home / ".aws" / "config", "[profile prod]\nregion = us-east-1\n")
    assert "Profile dev is not in the AWS configuration" in lint(KIRO).stdout


@pytest.mark.parametrize(("option", "code"), [("error", 0), ("warning", 1), ("never", 0)])
def test_fail_on_decides_about_the_exit_code(option: str, code: int, home: Path) -> None:
    write(Path(KIRO), proxy(URL, "--read-only"))
    assert lint("--fail-on", option, KIRO).exit_code == code


def test_a_path_that_cannot_be_read_is_an_error_and_the_rest_is_linted(home: Path) -> None:
    write(Path(KIRO), FAULT)
    Path("loop.json").symlink_to("loop.json")
    result = lint("nothing.json", "loop.json", KIRO)
    assert result.exit_code == 2
    assert "[config-wrong-service]" in result.stdout
    assert "nothing.json:1:1: no such file" in result.stderr
    assert "loop.json:1:1: the symbolic link leads back to itself" in result.stderr


def test_links_that_lead_in_circles_below_a_directory_are_not_followed(home: Path) -> None:
    write(Path(KIRO), FAULT)
    Path(".kiro/again").symlink_to(Path.cwd())
    Path("loop.json").symlink_to("loop.json")
    assert len(lint("-q", ".").stdout.splitlines()) == 1


def test_settings_that_never_say_mcp_are_found_below_a_directory(home: Path) -> None:
    url = "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/arn%3Aaws%3Ax%3Aus-west-2%3A1%3Aruntime%2Fa"
    write(Path(".zed/settings.json"), json.dumps({"context_servers": {"a": {"url": url}}}))
    assert "[config-path-missing]" in lint(".").stdout


def test_a_broken_file_of_a_client_is_a_finding(home: Path) -> None:
    write(Path(KIRO), FAULT[:-2])
    write(Path(".cursor/mcp.json"), FAULT)
    checks = [one["check"] for one in json.loads(lint("--format", "json").stdout)["lint"]]
    assert sorted(checks) == ["config-unreadable", "config-wrong-service"]


def test_json_is_a_report(home: Path) -> None:
    write(Path(KIRO), FAULT)
    report = json.loads(lint("--format", "json", KIRO).stdout)
    (found,) = report["lint"]
    assert (report["schema_version"], report["mcpdoctor"], report["exit_code"]) == (1, __version__, 1)
    assert {key: found[key] for key in ("file", "line", "server", "check", "cause", "severity", "fixable")} == {
        "file": KIRO,
        "line": 1,
        "server": "aws",
        "check": "config-wrong-service",
        "cause": "wrong-service",
        "severity": "error",
        "fixable": True,
    }


def test_a_saved_report_is_drawn_again(home: Path) -> None:
    write(Path(KIRO), FAULT)
    text = lint(KIRO).stdout
    lint("-o", "report.json", KIRO)
    result = CliRunner().invoke(cli, ["render", "report.json"])
    assert (result.stdout, result.exit_code) == (text, 1)
    assert CliRunner().invoke(cli, ["render", "--fail-on", "never", "report.json"]).exit_code == 0


def test_annotations_are_escaped(home: Path) -> None:
    name = "a,b%c::d.json"
    write(Path(name), several(x={"command": "uvx", "args": [PROXY, URL, "--retries", "100%\n::error::x"]}))
    (line,) = lint("--format", "github", name).stdout.splitlines()
    assert line.startswith("::error file=a%2Cb%25c%3A%3Ad.json,line=1,col=")
    assert line.count("::error") == 1


def test_sarif_is_of_the_form_of_2_1_0(home: Path) -> None:
    write(
        Path("with space/.kiro/settings/mcp.json"),
        several(a={"command": "uvx", "args": [PROXY, URL, "--service", "iam", "--read-only"]}),
    )
    document = json.loads(lint("--format", "sarif", ".").stdout)
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "mcpdoctor"
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(set(rules)) == len(rules) == 2
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["helpUri"].startswith("https://")
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "with%20space/.kiro/settings/mcp.json"
        assert place["region"]["startLine"] >= 1
        assert place["region"]["startColumn"] >= 1


def test_an_output_file_gets_its_own_format(home: Path) -> None:
    write(Path(KIRO), FAULT)
    result = lint("-o", "lint.sarif", "-o", "github:out", "-q", KIRO)
    assert json.loads(Path("lint.sarif").read_text())["version"] == "2.1.0"
    assert Path("out").read_text().startswith("::error ")
    assert result.stdout.startswith(KIRO)
    assert lint("-o", "x.weather", KIRO).exit_code == 2


# --fix ---------------------------------------------------------------------------------------------------------------

JSONC = f"""\
{{
  // my servers
  "servers": {{
    "aws": {{ /* signed */
      "command": "uvx",
      "args": ["{PROXY}", "http://aws-mcp.us-east-1.api.aws", "--service", "iam",],  // keep
      "env": {{"OTHER": "hidden-value", "SHORT": "hid"}},
    }},
  }},
}}
"""
FIXABLE = {
    ".vscode/mcp.json": (JSONC, [("http://aws-mcp.us-east-1.api.aws", URL), ('"iam"', '"aws-mcp"')]),
    KIRO: (
        several(aws={"command": "uvx", "timeout": 60, "args": [PROXY, URL, "--region", "eu-west-1"]}).replace(
            ", ", ",\r\n\t"
        ),
        [(" 60", " 60000"), ('"eu-west-1"', '"us-east-1"')],
    ),
    ".codex/config.toml": (
        f"# mine\n[mcp_servers.aws]\ncommand = 'uvx' # here\nargs = ['{PROXY}', '{URL}', '--service', 'iam']\n",
        [("'iam'", "'aws-mcp'")],
    ),
    ".continue/config.yaml": (
        f"# mine\nmcpServers:\n  - name: aws\n    command: uvx  # here\n    args:\n      - {PROXY}\n      - {URL}\n"
        "      - --service\n      - iam\n",
        [("- iam", "- aws-mcp")],
    ),
    "agent.py": (
        "# -*- coding: utf-8 -*-\nfrom mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as c\n"
        f"c('{URL}',  # ümlaut\n  aws_service='iam', aws_region=\"eu-west-1\")\n",
        [("'iam'", "'aws-mcp'"), ('"eu-west-1"', '"us-east-1"')],
    ),
    ".mcp.json": (
        entry("run", "--rm", "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:latest", URL, command="docker"),
        [('"run", ', '"run", "-i", ')],
    ),
}


FIXABLE["opencode.json"] = (
    '{"mcpServers": {"aws": {"type": "local", "command": ["uvx", "' + PROXY + '", "' + URL + '"],\n'
    '  "env": {"A": "hidden-value", "B": "hid"}}}}',
    [("mcpServers", "mcp"), ('"env"', '"environment"')],
)


@pytest.mark.parametrize("name", FIXABLE)
def test_fix_changes_what_is_wrong_and_nothing_else(name: str, home: Path) -> None:
    text, changes = FIXABLE[name]
    path = write(Path(name), text)
    wanted = text
    for old, new in changes:
        assert wanted.count(old) == 1
        wanted = wanted.replace(old, new)
    result = lint("--diff", name)
    assert path.read_bytes() == text.encode()
    assert "+++ b/" in result.stdout
    assert "hidden-value" not in result.stdout
    assert '"hid"' not in result.stdout
    lint("--fix", name)
    assert path.read_bytes() == wanted.encode()
    assert "+++" not in lint("--fix", name).stdout
    assert path.read_bytes() == wanted.encode()


def test_fix_shows_the_difference_first_and_then_what_is_left(home: Path) -> None:
    write(Path(KIRO), proxy(URL, "--service", "iam", "--read-only"))
    result = lint("--fix", KIRO)
    assert result.stdout.index("+++ b/") < result.stdout.index("[config-read-only]")
    assert "[config-wrong-service]" not in result.stdout
    assert result.exit_code == 0


def test_fix_keeps_the_report_on_standard_output_clean(home: Path) -> None:
    write(Path(KIRO), FAULT)
    result = lint("--fix", "--format", "json", KIRO)
    json.loads(result.stdout)
    assert "+++ b/" in result.stderr


def test_fix_keeps_the_byte_order_mark_the_mode_and_the_link(home: Path) -> None:
    real = write(Path("real.json"), b"\xef\xbb\xbf" + FAULT.encode())
    real.chmod(0o640)
    link = Path(KIRO)
    link.parent.mkdir(parents=True)
    link.symlink_to(real.absolute())
    lint("--fix", KIRO)
    assert link.is_symlink()
    assert real.read_bytes() == b"\xef\xbb\xbf" + FAULT.replace('"iam"', '"aws-mcp"').encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [one.name for one in Path.cwd().iterdir() if one.suffix == ".tmp"] == []


def test_a_write_that_fails_leaves_the_file_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(Path(KIRO), FAULT)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    result = lint("--fix", KIRO)
    assert result.exit_code == 2
    assert "not written: No space left on device" in result.stderr
    assert path.read_text() == FAULT
    assert [one.name for one in path.parent.iterdir()] == ["mcp.json"]


def test_what_cannot_be_put_right_for_sure_is_left_alone(home: Path) -> None:
    escaped = FAULT.replace('"iam"', '"\\u0069am"')
    path = write(Path(KIRO), escaped)
    result = lint("--fix", KIRO)
    assert path.read_text() == escaped
    assert result.exit_code == 1


def test_lint_imports_no_client_and_opens_no_socket(home: Path) -> None:
    write(Path(KIRO), FAULT)
    code = (
        "import sys; sys.argv = ['mcpdoctor', 'lint', '.']\n"
        "sys.addaudithook(lambda name, _: name.startswith(('socket.', 'subprocess.')) and sys.exit(99))\n"
        "from mcpdoctor.cli import cli\n"
        "try:\n    cli()\nexcept SystemExit as done:\n"
        "    heavy = {'httpx', 'mcp', 'botocore', 'anyio', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "    print(done.code, *sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "1"


# files of all sorts --------------------------------------------------------------------------------------------------

CALL = (
    "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as c\n"
    f"c('{URL}', aws_service='iam', aws_region='us-east-1')\n"
)


def test_the_cells_of_a_notebook_are_linted_and_never_rewritten(home: Path) -> None:
    cells = [
        {"cell_type": "code", "source": "x = 1\n"},
        {"cell_type": "code", "source": CALL.splitlines(keepends=True)},
    ]
    path = write(Path("book.ipynb"), json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}))
    before = path.read_bytes()
    result = lint("--fix", "-q", "book.ipynb", ".")
    assert result.stdout.splitlines()[0].startswith("book.ipynb:cell 2:2:56: error: ")
    assert path.read_bytes() == before
    (run,) = json.loads(lint("--format", "sarif", "book.ipynb").stdout)["runs"]
    assert run["results"][0]["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "book.ipynb"}}


def test_a_program_in_another_encoding_is_linted_and_not_rewritten(home: Path) -> None:
    path = write(Path("agent.py"), ("# -*- coding: latin-1 -*-\n# \xe4\n" + CALL).encode("latin-1"))
    before = path.read_bytes()
    assert "agent.py:4:56: error: " in lint("--fix", "agent.py").stdout
    assert path.read_bytes() == before


def test_a_program_keeps_its_byte_order_mark(home: Path) -> None:
    path = write(Path("agent.py"), b"\xef\xbb\xbf" + CALL.encode())
    assert lint("--fix", "agent.py").exit_code == 0
    assert path.read_bytes() == b"\xef\xbb\xbf" + CALL.replace("'iam'", "'aws-mcp'").encode()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.py", "nothing.py:1:1: cannot be read"),
        ("loop.py", "loop.py:1:1: cannot be read"),
        ("notes.txt", "notes.txt:1:1: not a file of a client nor a program"),
    ],
)
def test_a_path_of_no_use_is_one_clear_sentence(name: str, said: str, home: Path) -> None:
    Path("loop.py").symlink_to("loop.py")
    write(Path("notes.txt"), "mcp")
    result = lint(name)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes with names")
def test_a_pipe_does_not_hold_lint_up(home: Path) -> None:
    os.mkfifo("pipe.json")
    os.mkfifo("pipe.py")
    assert lint("pipe.json", "pipe.py").exit_code == 2
    assert lint(".").exit_code == 0


def test_a_program_that_does_not_parse_is_told_aside(home: Path) -> None:
    write(Path("agent.py"), CALL + "def (:\n")
    result = lint("agent.py")
    assert "agent.py:3:1: left out: not Python" in result.stderr
    assert result.exit_code == 0


def test_a_file_that_changed_meanwhile_is_not_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcpdoctor import linting

    path = write(Path(KIRO), FAULT)
    monkeypatch.setattr(linting, "difference", lambda *_: str(path.write_text(HEALTHY)))
    result = lint("--fix", KIRO)
    assert result.exit_code == 2
    assert "changed while it was linted" in result.stderr
    assert path.read_text() == HEALTHY


def test_an_output_that_cannot_be_written_is_one_sentence(home: Path) -> None:
    write(Path(KIRO), FAULT)
    result = lint("-o", "nowhere/x.json", KIRO)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
