"""`mcpdoctor init`: a first suite from what a project uses, which `mcpdoctor check` then tries."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpdoctor import matrix, suite_files
from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.cli import cli
from mcpdoctor.clients.known import known
from mcpdoctor.lab import Lab
from mcpdoctor.linting import Places
from mcpdoctor.model import Unusable
from mcpdoctor.proposing import LeftOut, Line, Proposal, appended, look, propose, written
from mcpdoctor.proposing.lines import Use
from mcpdoctor.proposing.writing import SCHEMA
from mcpdoctor.suite import Suite

ROOT = Path(__file__).parent.parent
AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
KNOWLEDGE = "https://knowledge-mcp.global.api.aws"
TOKEN = "tok-1234567890abcdef1234"  # no secret: looked for where it must not be


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, as the current directory."""
    directory = tmp_path / "shop"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def home() -> Path:
    """The home directory of this test."""
    return Path(os.environ["HOME"])


def run(*arguments: str, code: int = 0) -> Result:
    ended = CliRunner().invoke(cli, list(arguments))
    assert ended.exit_code == code, ended.output
    return ended


def init(*arguments: str, code: int = 0) -> Result:
    return run("init", *arguments, code=code)


def client_file(path: Path, /, **servers: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}, indent=2), encoding="utf-8")


def proxied(url: str, *options: str, **more: Any) -> dict[str, Any]:
    return {"command": "uvx", "args": ["mcp-proxy-for-aws@1.7.0", url, *options], **more}


def suite(project: Path, catalogue: Catalogue, name: str = "mcpdoctor.toml") -> Suite:
    """The file, read as `mcpdoctor check` reads it, and expanded as it expands it."""
    found = suite_files.load(project / name, catalogue)
    assert matrix.expand((), matrix.Axes(), catalogue, suite=found).cells
    return found


def lines(found: Suite) -> list[tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]]:
    return [(one.target, one.regions, one.services, one.credentials) for one in found.targets]


# what is found --------------------------------------------------------------------------------------------------------


def test_an_empty_project_gets_the_aws_mcp_server_and_is_told_so(project: Path, catalogue: Catalogue) -> None:
    said = init().stderr
    assert lines(suite(project, catalogue)) == [("aws-mcp", (), (), ("default",))]
    assert "Nothing here names an endpoint of AWS" in said
    assert "Wrote mcpdoctor.toml with 1 target. Read it, then run: mcpdoctor check" in said


@pytest.mark.parametrize(
    "path", [".mcp.json", ".kiro/settings/mcp.json", ".cursor/mcp.json", "services/agent/.mcp.json"]
)
def test_an_entry_of_a_client_file_becomes_a_target(path: str, project: Path, catalogue: Catalogue) -> None:
    client_file(project / path, aws=proxied(AWS_MCP, "--profile", "dev"))
    said = init().stderr
    assert lines(suite(project, catalogue)) == [("aws-mcp", ("us-east-1",), ("aws-mcp",), ("profile:dev",))]
    assert f"Found: {path}:3 (aws): aws-mcp in us-east-1 for aws-mcp with profile:dev" in said
    assert f"# {path}:3 (aws)\n[[targets]]" in (project / "mcpdoctor.toml").read_text()


def test_vs_code_keeps_its_servers_under_another_key(project: Path, catalogue: Catalogue) -> None:
    path = project / ".vscode" / "mcp.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"servers": {"docs": {"type": "http", "url": KNOWLEDGE}}}))
    init()
    assert lines(suite(project, catalogue)) == [("aws-knowledge", (), (), ("none",))]


def test_the_calls_of_a_program_become_targets(project: Path, catalogue: Catalogue) -> None:
    (project / "src").mkdir()
    (project / "src" / "agent.py").write_text(
        "import os\n"
        "from mcp.client.streamable_http import streamablehttp_client\n"
        "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client\n"
        "URL = 'https://aws-mcp.eu-west-1.api.aws/mcp'\n"
        "def signed():\n"
        "    return aws_iam_streamablehttp_client(endpoint=URL, aws_service='aws-mcp', aws_region='eu-west-1',\n"
        "                                         aws_profile='ops')\n"
        "def plain():\n"
        f"    return streamablehttp_client('{KNOWLEDGE}')\n"
        "def gateway():\n"
        "    return streamablehttp_client('https://gw.example.com/mcp',\n"
        "                                 headers={'Authorization': f\"Bearer {os.environ['GATEWAY_TOKEN']}\"})\n"
        "def own(auth):\n"
        "    streamablehttp_client('https://aws-mcp.us-west-2.api.aws/mcp', auth=auth)\n"
        "    streamablehttp_client('http://127.0.0.1:9/mcp', auth=auth)\n"
        "def unknown():\n"
        "    return aws_iam_streamablehttp_client(endpoint=os.environ['URL'], aws_service='aws-mcp')\n"
        "def half():\n"
        "    return aws_iam_streamablehttp_client(endpoint='https://gw.example.com/mcp', aws_service=os.environ['S'])\n"
    )
    said = init().stderr
    assert lines(suite(project, catalogue)) == [
        ("aws-mcp", ("eu-west-1",), ("aws-mcp",), ("profile:ops",)),
        ("aws-knowledge", (), (), ("none",)),
        ("https://gw.example.com/mcp", (), (), ("bearer:GATEWAY_TOKEN",)),
        ("aws-mcp", ("us-west-2",), ("aws-mcp",), ("default",)),
    ]
    assert [one.label for one in suite(project, catalogue).targets] == [
        "aws-mcp",
        "aws-knowledge",
        "https://gw.example.com/mcp",
        "aws-mcp 2",
    ]
    assert "Left out: src/agent.py:15 (streamablehttp_client): the program brings a client of its own" in said
    assert "Left out: src/agent.py:17 (aws_iam_streamablehttp_client): its URL is known only where it runs" in said
    assert "Left out: src/agent.py:19 (aws_iam_streamablehttp_client): nothing says which service it is signed" in said


def test_a_mistake_is_carried_over_since_check_says_what_is_wrong(project: Path, catalogue: Catalogue) -> None:
    client_file(
        project / ".mcp.json",
        service=proxied(AWS_MCP, "--service", "bedrock-agentcore"),
        region=proxied(AWS_MCP, "--region", "eu-west-1"),
        path=proxied(f"{AWS_MCP}/v2"),
    )
    init()
    assert lines(suite(project, catalogue)) == [
        ("aws-mcp", ("us-east-1",), ("bedrock-agentcore",), ("default",)),
        (AWS_MCP, ("eu-west-1",), ("aws-mcp",), ("default",)),
        (f"{AWS_MCP}/v2", ("us-east-1",), ("aws-mcp",), ("default",)),
    ]


def test_what_is_right_in_one_file_does_not_hide_what_is_wrong_in_another(project: Path) -> None:
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP, "--service", "bedrock-agentcore"))
    client_file(project / ".cursor" / "mcp.json", aws=proxied(AWS_MCP, "--service", "aws-mcp"))
    init()
    drawn = run("check", "--lab", "--suite", "mcpdoctor.toml", "--quiet", code=1).stdout
    assert "wrong-service" in drawn
    assert "aws-mcp 2: works" in drawn


def test_the_same_configuration_is_written_once_with_all_its_places(project: Path, catalogue: Catalogue) -> None:
    client_file(project / ".mcp.json", a=proxied(AWS_MCP), b=proxied(AWS_MCP, "--region", "us-east-1"))
    client_file(project / ".cursor" / "mcp.json", c=proxied(AWS_MCP, "--service", "aws-mcp"))
    init()
    assert lines(suite(project, catalogue)) == [("aws-mcp", ("us-east-1",), ("aws-mcp",), ("default",))]
    text = (project / "mcpdoctor.toml").read_text()
    assert [one for one in text.splitlines() if "mcp.json" in one] == [
        "# .mcp.json:3 (a)",
        "# .mcp.json:10 (b)",
        "# .cursor/mcp.json:3 (c)",
    ]


def test_files_of_the_user_and_what_was_installed_are_left_alone(
    project: Path, catalogue: Catalogue, home: Path
) -> None:
    client_file(home / ".cursor" / "mcp.json", mine=proxied(AWS_MCP, "--profile", "mine"))
    client_file(project / "node_modules" / "x" / ".mcp.json", theirs=proxied(AWS_MCP, "--profile", "theirs"))
    init()
    assert lines(suite(project, catalogue)) == [("aws-mcp", (), (), ("default",))]


# what is left out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ({"command": "npx", "args": ["-y", "server-filesystem"]}, "it is a program on this machine: mcpdoctor check"),
        ({"command": "uvx", "args": ["awslabs.aws-api-mcp-server@latest"]}, "it is a program on this machine"),
        (proxied(AWS_MCP, disabled=True), "it is switched off"),
        (proxied("https://aws-mcp.${REGION}.api.aws/mcp"), "its URL is known only where it runs"),
        (proxied(AWS_MCP, "--no-such-option"), "the proxy does not start with these arguments: mcpdoctor lint"),
        (proxied(AWS_MCP, "--region", "Frankfurt"), "its region is none"),
        ({"type": "http", "url": f"https://bob:{TOKEN}@gw.example.com/mcp"}, "its URL holds a secret"),
        ({"type": "http", "url": "gw.example.com/mcp"}, "its URL is none"),
        ({"type": "http", "url": f"https://gw.example.com/mcp?access_token={TOKEN}"}, "its URL holds a secret"),
        ({"type": "sse", "url": "https://mcp.example.com/sse"}, "it uses the old transport HTTP+SSE"),
    ],
)
def test_what_cannot_be_tried_is_left_out_with_its_reason(
    server: dict[str, Any], says: str, project: Path, catalogue: Catalogue
) -> None:
    path = ".mcp.json" if server.get("type") == "sse" else ".kiro/settings/mcp.json"
    client_file(project / path, odd=server)
    said = init().stderr
    text = (project / "mcpdoctor.toml").read_text()
    assert f"Left out: {path}:3 (odd): {says}" in said
    assert says.split(":", maxsplit=1)[0] in re.sub(r"\n#\s+", " ", text)
    assert TOKEN not in said + text
    assert lines(suite(project, catalogue)) == [("aws-mcp", (), (), ("default",))]


def test_a_server_of_somebody_else_is_there_for_those_who_take_away_the_comment(
    project: Path, catalogue: Catalogue
) -> None:
    client_file(project / ".mcp.json", gh={"type": "http", "url": "https://mcp.example.com/mcp"})
    assert "it is no server of AWS, and the client may log in to it" in init().stderr
    path = project / "mcpdoctor.toml"
    assert lines(suite(project, catalogue)) == [("aws-mcp", (), (), ("default",))]
    path.write_text(uncommented(path.read_text()))
    assert ("https://mcp.example.com/mcp", (), (), ("none",)) in lines(suite(project, catalogue))


@pytest.mark.parametrize(
    ("header", "credential"),
    [
        ("Bearer ${GATEWAY_TOKEN}", "bearer:GATEWAY_TOKEN"),
        ("Bearer ${GATEWAY_TOKEN:-}", "bearer:GATEWAY_TOKEN"),
        ("bearer ${env:GATEWAY_TOKEN}", "bearer:GATEWAY_TOKEN"),
        ("Bearer $GATEWAY_TOKEN", "bearer:GATEWAY_TOKEN"),
        ("Bearer ${{ secrets.GATEWAY_TOKEN }}", "bearer:GATEWAY_TOKEN"),
        (f"Bearer {TOKEN}", None),
        (f"Basic {TOKEN}", None),
        ("Bearer ${input:token}", None),
        (f"Bearer ${{GATEWAY_TOKEN}}{TOKEN}", None),
        ("${AUTHORIZATION}", None),
    ],
)
def test_a_token_is_named_by_its_variable_and_never_written(
    header: str, credential: str | None, project: Path, catalogue: Catalogue
) -> None:
    url = "https://gw.example.com/mcp"
    client_file(project / ".mcp.json", gw={"type": "http", "url": url, "headers": {"Authorization": header}})
    said = init().stderr
    text = (project / "mcpdoctor.toml").read_text()
    assert TOKEN not in said + text
    if credential is None:
        assert "its token is not in an environment variable" in said
        assert lines(suite(project, catalogue)) == [("aws-mcp", (), (), ("default",))]
    else:
        assert lines(suite(project, catalogue)) == [(url, (), (), (credential,))]


def test_keys_in_an_entry_and_headers_of_its_own_are_told_and_not_written(project: Path, catalogue: Catalogue) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": TOKEN}
    client_file(
        project / ".mcp.json",
        aws=proxied(AWS_MCP, env=keys),
        docs={"type": "http", "url": KNOWLEDGE, "headers": {"X-Tenant": TOKEN}},
    )
    said = init().stderr
    text = (project / "mcpdoctor.toml").read_text()
    assert not re.search(f"AKIA|{TOKEN}", said + text)
    assert "# Its keys stand in that file; here it is whatever credentials are there." in text
    assert "# It sends X-Tenant too: mcpdoctor check --header X-Tenant=VARIABLE" in text
    assert [one[3] for one in lines(suite(project, catalogue))] == [("default",), ("none",)]


def test_a_client_file_that_cannot_be_read_does_not_keep_the_others_from_being_used(
    project: Path, catalogue: Catalogue
) -> None:
    client_file(project / ".cursor" / "mcp.json", aws=proxied(AWS_MCP))
    (project / ".mcp.json").write_text('{"mcpServers": {')
    said = init().stderr
    assert "Left out: .mcp.json:1:17:" in said
    assert lines(suite(project, catalogue)) == [("aws-mcp", ("us-east-1",), ("aws-mcp",), ("default",))]


# the file -------------------------------------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    """The file with its examples in force."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


def test_the_file_begins_with_its_schema_and_its_examples_are_valid_too(project: Path, catalogue: Catalogue) -> None:
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP), fs={"command": "npx", "args": ["-y", "fs"]})
    init()
    path = project / "mcpdoctor.toml"
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"#:schema {SCHEMA}\n")
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 120
    schema = json.loads((ROOT / "docs" / "suite.schema.json").read_text(encoding="utf-8"))
    assert schema["$id"] == SCHEMA
    for form in (text, uncommented(text.partition("\n")[2])):
        jsonschema.Draft202012Validator(schema).validate(tomllib.loads(form))
    path.write_text(form)
    found = suite(project, catalogue)
    assert set(found.require.asked()) == {"workers", "latency", "tools", "forbid"}
    assert found.fail_on == "warning"
    assert found.outputs


def test_the_same_project_gives_the_same_file(project: Path) -> None:
    for name in ("b", "a", "c"):
        client_file(project / name / ".mcp.json", aws=proxied(AWS_MCP, "--profile", name))
    first = init("--dry-run").stdout
    assert first == init("--dry-run").stdout
    assert re.findall(r"profile:(\w)", first.partition("[[targets]]")[2]) == ["a", "b", "c"]


def test_a_dry_run_prints_the_file_alone_and_writes_nothing(project: Path) -> None:
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP))
    ended = init("-n")
    assert tomllib.loads(ended.stdout)["targets"][0]["target"] == "aws-mcp"
    assert "Found: " in ended.stderr
    assert init("-n", "--quiet").stderr == ""
    assert sorted(one.name for one in project.iterdir()) == [".mcp.json"]


def test_a_file_that_is_there_is_kept_unless_force_is_given(project: Path, catalogue: Catalogue) -> None:
    path = project / "mcpdoctor.toml"
    path.write_text("# mine\n")
    ended = init(code=2)
    assert ended.stdout == ""
    assert "There is a mcpdoctor.toml already; --force writes it anew." in ended.stderr
    assert path.read_text() == "# mine\n"
    init("--force")
    assert suite(project, catalogue).targets


def test_a_home_directory_is_no_project(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert "is no project" in init(code=2).stderr
    assert not (home / "mcpdoctor.toml").exists()


def test_a_directory_that_cannot_be_written_is_told(project: Path) -> None:
    (project / "mcpdoctor.toml").mkdir()
    assert "mcpdoctor.toml: cannot be written" in init("--force", code=2).stderr


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=150)
@given(
    project=HOSTILE,
    file=HOSTILE,
    name=HOSTILE,
    why=HOSTILE,
    target=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).map(lambda rest: f"https://h.example/{rest}"),
)
def test_whatever_a_project_is_called_the_file_is_valid(
    project: str, file: str, name: str, why: str, target: str
) -> None:
    use = Use(file=file, line=1, name=name)
    line = Line(target=target, credentials=("default",), services=(name or "x",), uses=(use,), remarks=(why,))
    proposal = Proposal(lines=(line,), left_out=(LeftOut(use=use, why=why), LeftOut(use=use, why=why, line=line)))
    for table in ("", "tool.mcpdoctor"):
        text = written(proposal, project, table=table)
        for form in (text, re.sub(r"^#:schema.*\n", "", uncommented(text))):
            found: Any = tomllib.loads(form)
            for key in filter(None, table.split(".")):
                found = found[key]
            assert found["targets"][0] == {"target": target, "services": [name or "x"], "credentials": ["default"]}


def test_a_server_with_a_hostile_name_stays_inside_of_its_comment(project: Path, catalogue: Catalogue) -> None:
    name = 'x\n[[targets]]\ntarget = "evil"\n\x1b[2J\u202e'
    client_file(project / ".mcp.json", **{name: proxied(AWS_MCP)})
    said = init().stderr
    text = (project / "mcpdoctor.toml").read_text(encoding="utf-8")
    assert [one.target for one in suite(project, catalogue).targets] == ["aws-mcp"]
    assert not re.search("[\x1b\u202e]", said + text)


def test_more_targets_than_a_project_can_have_are_counted_out(project: Path, catalogue: Catalogue) -> None:
    client_file(project / ".mcp.json", **{f"s{n}": proxied(AWS_MCP, "--profile", f"p{n}") for n in range(103)})
    said = init().stderr
    assert len(suite(project, catalogue).targets) == 100
    assert said.count("there are more than 100 targets") == 3


# pyproject.toml -------------------------------------------------------------------------------------------------------

PYPROJECT = '[project]\nname = "shop"   # ours\n\n[tool.ruff]\nline-length = 120\n'


@pytest.mark.parametrize("text", [PYPROJECT, PYPROJECT.rstrip(), "", "[tool]\nx = 1\n", "# nothing\n\n\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_pyproject_keeps_every_byte_and_gets_the_suite_at_its_end(
    text: str, ends: str, project: Path, catalogue: Catalogue
) -> None:
    before = text.replace("\n", ends).encode()
    (project / "pyproject.toml").write_bytes(before)
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP, "--profile", "dev"))
    assert "Wrote pyproject.toml with 1 target" in init("--pyproject").stderr
    after = (project / "pyproject.toml").read_bytes()
    assert after.startswith(before)
    assert (b"\r\n" in after) == (b"\r\n" in before)
    assert after.count(b"\r\n") in (0, after.count(b"\n"))
    assert [one[3] for one in lines(suite(project, catalogue, "pyproject.toml"))] == [("profile:dev",)]
    assert not (project / "mcpdoctor.toml").exists()
    assert "pyproject.toml:" in init("--pyproject", code=2).stderr
    assert "which mcpdoctor.toml would hide" in init(code=2).stderr
    assert (project / "pyproject.toml").read_bytes() == after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "There is no pyproject.toml here"),
        (b"[project\n", "not valid TOML"),
        ("# \u00fc".encode("latin-1"), "not UTF-8"),
        (b"tool = { ruff = { line-length = 100 } }\n", "written so that nothing can be appended"),
        (b"tool = 5\n", "tool is no table"),
        (b"[tool.mcpdoctor]\ntitle = 'mine'\n", "pyproject.toml:1: there is a [tool.mcpdoctor] already"),
        (b"[x]\n\n[[tool.mcpdoctor.targets]]\ntarget='aws-mcp'\n", "pyproject.toml:3: there is a [tool.mcpdoctor]"),
    ],
)
def test_a_pyproject_that_cannot_take_it_is_left_as_it_is(text: bytes | None, says: str, project: Path) -> None:
    path = project / "pyproject.toml"
    if text is not None:
        path.write_bytes(text)
    ended = init("--pyproject", code=2)
    assert says in ended.stderr
    assert "Traceback" not in ended.output
    assert (path.read_bytes() if text is not None else None) == text


def test_a_suite_in_both_places_is_refused(project: Path) -> None:
    init()
    (project / "pyproject.toml").write_text(PYPROJECT)
    assert "take it away before [tool.mcpdoctor] is written" in init("--pyproject", code=2).stderr


def test_appending_refuses_what_would_change_anything_else() -> None:
    with pytest.raises(Unusable, match="nothing can be appended"):
        appended("[tool]\n", "x = 1\n", file="pyproject.toml")


# init, then check -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Any:
    """A lab, reached over plain HTTP as a server on this machine is."""
    with Lab() as running:
        yield running


@pytest.mark.parametrize("kind", ["client file", "program"])
def test_init_and_check_work_in_a_scratch_project(
    kind: str, project: Path, server: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    url = server.plain(AWS_MCP)
    assert url is not None
    if kind == "client file":
        client_file(project / ".mcp.json", aws=proxied(url, "--service", "aws-mcp", "--region", "us-east-1"))
    else:
        (project / "agent.py").write_text(
            "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client\n"
            f"client = aws_iam_streamablehttp_client(endpoint='{url}', aws_service='aws-mcp', aws_region='us-east-1')\n"
        )
    init()
    assert f"{url}: works" in run("check", "--quiet").stdout


def test_init_and_check_find_the_wrong_service_at_its_line(
    project: Path, server: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    url = server.plain(AWS_MCP)
    client_file(project / ".mcp.json", aws=proxied(str(url), "--service", "wrong", "--region", "us-east-1"))
    init()
    ended = run("check", "--format", "github", code=1)
    rows = (project / "mcpdoctor.toml").read_text().splitlines()
    line = next(number for number, row in enumerate(rows, 1) if row.startswith("services"))
    assert f"::error file=mcpdoctor.toml,line={line}," in ended.stdout
    assert "auth-wrong-service" in ended.stdout


def test_a_local_server_without_a_signature_is_checked_too(project: Path, server: Lab) -> None:
    url = server.plain(KNOWLEDGE)
    client_file(project / ".mcp.json", docs={"type": "http", "url": url})
    init()
    assert f"{url}: works" in run("check", "--quiet").stdout


def test_in_the_lab_the_suite_reads_as_it_would_against_aws(project: Path) -> None:
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP), docs={"type": "http", "url": AWS_MCP})
    init()
    drawn = run("check", "--lab", "--quiet").stdout
    assert f"aws-mcp: works: {AWS_MCP} signed for aws-mcp in us-east-1 with default" in drawn
    assert f"aws-mcp 2: works: {AWS_MCP} unsigned" in drawn


def test_the_suite_in_a_pyproject_is_the_one_that_check_uses(project: Path) -> None:
    (project / "pyproject.toml").write_text(PYPROJECT)
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP, "--service", "wrong"))
    init("--pyproject")
    ended = run("check", "--lab", "--format", "github", code=1)
    rows = (project / "pyproject.toml").read_text().splitlines()
    line = next(number for number, row in enumerate(rows, 1) if row.startswith("services"))
    assert f"::error file=pyproject.toml,line={line}," in ended.stdout


def test_reading_a_project_sends_and_starts_nothing(project: Path, server: Lab) -> None:
    before = len(server.requests)
    client_file(
        project / ".mcp.json",
        aws={"type": "http", "url": server.plain(KNOWLEDGE)},
        evil={"command": "touch", "args": ["started"]},
    )
    (project / "agent.py").write_text("import mcp\nopen('started', 'w')\n" + "from mcp import stdio_client\n")
    init()
    assert len(server.requests) == before
    assert not (project / "started").exists()


def test_the_library_gives_the_same_without_a_terminal(project: Path, catalogue: Catalogue, home: Path) -> None:
    client_file(project / ".mcp.json", aws=proxied(AWS_MCP))
    places = Places(home=home, project=project, environ={}, platform="linux")
    looked = look(load(stems=("config",)), known(), places)
    [line] = propose(looked.subjects, catalogue).lines
    assert (line.target, line.uses) == ("aws-mcp", (Use(file=".mcp.json", line=3, name="aws"),))
