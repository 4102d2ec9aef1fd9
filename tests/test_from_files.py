"""Entries of client files become what that client would send or start."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mcpdoctor import from_files
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients import known
from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.matrix import Call, Cell
from mcpdoctor.model import Configuration, Unusable

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
SHELL = {"PATH": "/usr/bin:/bin", "HOME": "/home/me", "AWS_PROFILE": "of-the-shell", "EDITOR": "ed"}


class Desk:
    """A home and a project with client files."""

    def __init__(self, directory: Path, catalogue: Catalogue) -> None:
        self.home, self.project, self.catalogue = directory / "home", directory / "project", catalogue
        self.home.mkdir()
        self.project.mkdir()

    def write(self, name: str, text: object, *, home: bool = False) -> Path:
        path = (self.home if home else self.project) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        return path

    def plan(
        self,
        *asked: str,
        run: bool = False,
        lab: Lab | None = None,
        environ: Mapping[str, str] = SHELL,
        platform: str = "linux",
        call: Call | None = None,
    ) -> from_files.Planned:
        machine = from_files.Machine(home=self.home, project=self.project, environ=environ, platform=platform)
        there = from_files.Lab(environ=lab.env, plain=lab.plain) if lab else None
        return from_files.planned(asked, known(), self.catalogue, machine, run_commands=run, lab=there, call=call)

    def cell(self, entry: dict[str, Any], *, client: str = ".kiro/settings/mcp.json", **given: Any) -> Cell:
        path = self.write(client, {"mcpServers": {"it": entry}})
        [cell] = self.plan(str(path), **given).plan.cells
        return cell


@pytest.fixture
def desk(tmp_path: Path, catalogue: Catalogue) -> Desk:
    return Desk(tmp_path, catalogue)


def proxy(*args: str, **more: Any) -> dict[str, Any]:
    return {"command": "uvx", "args": ["mcp-proxy-for-aws@1.7.0", *args], **more}


# what an entry stands for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "configuration"),
    [
        (proxy(AWS_MCP), Configuration(endpoint=AWS_MCP, region="us-east-1", service="aws-mcp", credential="default")),
        (
            proxy(AWS_MCP, "--service", "iam", "--profile", "dev"),
            Configuration(endpoint=AWS_MCP, region="us-east-1", service="iam", credential="profile:dev"),
        ),
        (
            proxy("https://x.example/mcp", "--service", "s", env={"AWS_REGION": "eu-west-1", "AWS_PROFILE": "p"}),
            Configuration(endpoint="https://x.example/mcp", region="eu-west-1", service="s", credential="profile:p"),
        ),
        (
            proxy(AWS_MCP, env={"AWS_ACCESS_KEY_ID": "AKIALABLABLABLABLAB1", "AWS_SECRET_ACCESS_KEY": "made/up"}),
            Configuration(endpoint=AWS_MCP, region="us-east-1", service="aws-mcp", credential="env"),
        ),
        ({"url": "https://x.example/mcp", "type": "http"}, Configuration(endpoint="https://x.example/mcp")),
    ],
    ids=["proxy", "its arguments", "its variables", "its keys", "URL"],
)
def test_an_entry_is_tried_as_its_client_would(desk: Desk, entry: dict[str, Any], configuration: Configuration) -> None:
    cell = desk.cell(entry)
    assert (cell.configuration, cell.skip, cell.start) == (configuration, None, None)


def test_headers_of_the_entry_and_of_the_proxy_are_sent(desk: Desk) -> None:
    entry = {"url": "https://x.example/mcp", "headers": {"Authorization": "Bearer abc"}}
    assert desk.cell(entry).headers == {"Authorization": "Bearer abc"}
    assert desk.cell(proxy(AWS_MCP, "--header", "x-team=blue")).headers == {"x-team": "blue"}


def test_the_call_that_was_asked_for_is_that_of_every_entry(desk: Desk) -> None:
    call = Call(tool="echo", arguments={})
    assert desk.cell({"url": AWS_MCP}, call=call).call == call


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"command": "npx", "args": ["-y", "some-server"]}, "only with --run-commands"),
        ({"command": "npx", "args": ["mcp-remote", AWS_MCP]}, "only with --run-commands"),
        (proxy(AWS_MCP, disabled=True), "switched off"),
        ({"command": 5}, "cannot be used as it is (value of wrong type"),
        ({"url": "https://${HOST}/mcp"}, "holds a variable whose value only the client knows"),
        ({"url": AWS_MCP, "headers": {"X-A": "${TOKEN}"}}, "header X-A holds a variable"),
        (proxy("https://${HOST}/mcp"), "holds a variable"),
        ({"url": "https://me:hunter2@x.example/mcp"}, "its URL holds a secret"),
        ({"url": "https://x.example/\x1b[31mmcp"}, "its URL holds a secret, or characters"),
        (proxy(AWS_MCP, "--service", "\x1b]0;pwned\x07"), "its service holds"),
    ],
)
def test_an_entry_that_cannot_be_tried_says_why(desk: Desk, entry: dict[str, Any], why: str) -> None:
    cell = desk.cell(entry)
    assert why in str(cell.skip)
    assert "hunter2" not in repr(cell)
    assert "\x1b" not in repr(cell).replace("\\x1b", "\x1b" if "\\x1b" in str(cell.skip) else "")


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "a\0b"},
        {"command": "python3", "env": {"A=B": "c"}},
        {"command": "python3", "env": {"": "c"}},
    ],
)
def test_what_no_program_can_be_given_is_not_given(desk: Desk, entry: dict[str, Any]) -> None:
    assert "no program can be given" in str(desk.cell(entry, run=True).skip)


def test_a_proxy_that_would_not_start_is_said_to(desk: Desk) -> None:
    facts = desk.cell(proxy(AWS_MCP, "--regoin", "x")).facts
    assert facts["proxy_starts"] is False
    assert "--regoin" in str(facts["argument_problem"])
    assert desk.cell(proxy("https://x.example/mcp")).facts["argument_problem"] == "region-missing"


def test_a_proxy_that_may_go_on_unsigned_is_told_apart(desk: Desk) -> None:
    assert desk.cell(proxy(AWS_MCP, "--skip-auth")).optional
    assert not desk.cell(proxy(AWS_MCP)).optional


# commands -------------------------------------------------------------------------------------------------------------


def test_a_command_gets_what_the_sdks_pass_on_and_what_the_entry_sets(desk: Desk) -> None:
    cell = desk.cell({"command": "python3", "env": {"MINE": "1"}, "cwd": "/srv"}, run=True)
    assert cell.start is not None
    assert cell.start.environ == {"PATH": "/usr/bin:/bin", "HOME": "/home/me", "MINE": "1"}
    assert (cell.start.command, cell.start.cwd, cell.configuration.transport) == (("python3",), "/srv", "stdio")


def test_a_client_of_the_shell_passes_on_everything(desk: Desk) -> None:
    cell = desk.cell(proxy(AWS_MCP, type="stdio"), client=".mcp.json", run=True)
    assert cell.start is not None
    assert cell.start.environ == SHELL
    assert cell.configuration.credential == "profile:of-the-shell"


def test_what_the_client_does_not_pass_on_is_not_used_and_is_told(desk: Desk) -> None:
    cell = desk.cell(proxy(AWS_MCP))
    assert cell.configuration.credential == "default"
    assert cell.facts["withheld"] == ("AWS_PROFILE",)
    assert "AWS_PROFILE" not in (cell.environ or {})


def test_a_container_sees_only_the_variables_that_are_passed_on(desk: Desk) -> None:
    image = "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:1.7.0"
    args = ["run", "-i", "-e", "AWS_PROFILE=inside", "-e", "MINE", image, AWS_MCP]
    cell = desk.cell({"command": "docker", "args": args, "env": {"MINE": "1", "OTHER": "2"}})
    assert (cell.environ, cell.configuration.credential) == ({"AWS_PROFILE": "inside", "MINE": "1"}, "profile:inside")


def test_the_path_of_the_client_decides_and_where_else_a_program_is_gets_told(desk: Desk) -> None:
    tool = desk.home / "bin" / "some-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n", encoding="utf-8")
    tool.chmod(0o755)
    environ = {"PATH": f"{tool.parent}{os.pathsep}/usr/bin"}
    there = desk.cell({"command": "some-tool"}, run=True, environ=environ)
    gone = desk.cell({"command": "some-tool", "env": {"PATH": "/usr/bin"}}, run=True, environ=environ)
    assert there.start is not None
    assert gone.start is not None
    assert (there.start.found, gone.start.found) == (None, str(tool))


def test_a_desktop_of_macos_has_a_path_of_its_own(desk: Desk) -> None:
    name = "Library/Application Support/Claude/claude_desktop_config.json"
    path = desk.write(name, {"mcpServers": {"it": {"command": "uvx"}}}, home=True)
    [cell] = desk.plan(str(path), run=True, platform="darwin").plan.cells
    assert cell.start is not None
    assert cell.start.environ["PATH"].startswith("/usr/local/bin:/opt/homebrew/bin:")


def test_a_secret_that_a_variable_brings_in_is_shown_nowhere(desk: Desk) -> None:
    environ = {**SHELL, "MY_TOKEN": "letmein-please"}
    entry = {"command": "server", "args": ["--flag", "x/${MY_TOKEN}"]}
    cell = desk.cell(entry, run=True, environ=environ)
    assert cell.start is not None
    assert cell.start.command == ("server", "--flag", "x/letmein-please")
    assert cell.start.shown == "server --flag x/[redacted]"
    assert "letmein-please" in cell.start.secrets
    url = desk.cell({"url": "https://x.example/${MY_TOKEN}/mcp"}, environ=environ)
    assert "its URL holds a secret" in str(url.skip)
    assert "letmein" not in repr(url)


# the lab --------------------------------------------------------------------------------------------------------------


def test_in_the_lab_the_installed_proxy_stands_in_for_one_that_would_be_fetched(desk: Desk, lab: Lab) -> None:
    cell = desk.cell(proxy(AWS_MCP, "--metadata", "AWS_REGION=us-west-2"), run=True, lab=lab)
    assert cell.start is not None
    assert cell.start.command == (
        sys.executable,
        "-m",
        "mcp_proxy_for_aws.server",
        f"{lab.http}/aws-mcp/us-east-1/mcp",
        "--metadata",
        "AWS_REGION=us-west-2",
        "--service",
        "aws-mcp",
        "--region",
        "us-east-1",
    )
    assert lab.env.items() <= cell.start.environ.items()
    assert "AWS_PROFILE" not in cell.start.environ
    assert cell.configuration.endpoint == AWS_MCP


def test_in_the_lab_a_proxy_that_is_installed_is_started_as_written(desk: Desk, lab: Lab) -> None:
    entry = {"command": "/opt/python", "args": ["-m", "mcp_proxy_for_aws.server", AWS_MCP, "--service", "iam"]}
    cell = desk.cell(entry, run=True, lab=lab)
    assert cell.start is not None
    assert cell.start.command[:4] == (
        "/opt/python",
        "-m",
        "mcp_proxy_for_aws.server",
        f"{lab.http}/aws-mcp/us-east-1/mcp",
    )
    assert cell.start.command[4:] == ("--service", "iam", "--region", "us-east-1")


def test_in_the_lab_keys_of_the_entry_go_before_those_of_the_lab(desk: Desk, lab: Lab) -> None:
    expired = lab.identities["expired"]
    cell = desk.cell(proxy(AWS_MCP, env=expired), run=True, lab=lab)
    assert cell.start is not None
    assert expired.items() <= cell.start.environ.items()
    assert cell.configuration.credential == "env"


def test_in_the_lab_nothing_is_downloaded_and_nothing_leaves_the_machine(desk: Desk, lab: Lab) -> None:
    assert "nothing is downloaded" in str(desk.cell({"command": "npx", "args": ["x"]}, run=True, lab=lab).skip)
    bridge = desk.cell({"command": "mcp-remote", "args": [AWS_MCP]}, run=True, lab=lab)
    assert (bridge.start, bridge.configuration.endpoint) == (None, AWS_MCP)
    elsewhere = desk.cell(proxy("https://eks-mcp.eu-south-2.api.aws/mcp"), run=True, lab=lab)
    assert elsewhere.start is None
    assert elsewhere.facts["not_started"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (AWS_MCP, "/aws-mcp/us-east-1/mcp"),
        ("https://AWS-MCP.eu-west-1.api.aws/mcp?oauth=initialize", "/aws-mcp/eu-west-1/mcp?oauth=initialize"),
        ("https://knowledge-mcp.global.api.aws", "/knowledge/mcp"),
        (FAULTS["auth/expired-token"].url(), "/fault/auth/expired-token/mcp"),
        ("https://aws-mcp.us-east-1.api.aws/wrong", "/aws-mcp/us-east-1/wrong"),
        ("https://example.com/mcp", None),
        ("https://[", None),
    ],
)
def test_the_lab_tells_the_plain_address_of_what_it_stands_in_for(lab: Lab, url: str, path: str | None) -> None:
    assert lab.plain(url) == (None if path is None else f"{lab.http}{path}")


# where it is written --------------------------------------------------------------------------------------------------

KIRO = """{
  // the servers
  "mcpServers": {
    "aws-mcp": {
      "command": "uvx",
      "args": ["mcp-proxy-for-aws", "https://aws-mcp.us-east-1.api.aws/mcp", "--service", "iam"],
      "env": {"AWS_PROFILE": "dev", "MY_PAT": "letmein"}
    }
  }
}
"""


def test_values_have_their_places_and_the_entry_is_shown_without_secrets(desk: Desk) -> None:
    path = desk.write(".kiro/settings/mcp.json", KIRO)
    [cell] = desk.plan(str(path)).plan.cells
    origin = cell.origin
    assert origin is not None
    assert (origin.file, origin.client, origin.server, origin.line, origin.column) == (
        str(path),
        "Kiro",
        "aws-mcp",
        4,
        5,
    )
    places = {one.name: (one.line, one.column) for one in origin.values}
    assert places == {
        "command": (5, 18),
        "endpoint": (6, 37),
        "service": (6, 91),
        "region": (6, 37),
        "profile": (7, 30),
    }
    assert "letmein" not in repr(cell.origin)
    assert '"MY_PAT": "[redacted]"' in origin.entry


@pytest.mark.parametrize(
    ("name", "new", "was", "becomes"),
    [
        ("service", "aws-mcp", '"iam"', '"aws-mcp"'),
        ("endpoint", "https://x/", '"https://aws-mcp.us-east-1.api.aws/mcp"', '"https://x/"'),
        ("command", "C:\\uvx", '"uvx"', '"C:\\\\uvx"'),
        ("profile", "prod", '"dev"', '"prod"'),
        ("region", "eu-west-1", 'api.aws/mcp"', 'api.aws/mcp", "--region", "eu-west-1"'),
    ],
)
def test_an_entry_is_shown_with_one_value_changed(desk: Desk, name: str, new: str, was: str, becomes: str) -> None:
    path = desk.write(".kiro/settings/mcp.json", KIRO)
    [cell] = desk.plan(str(path)).plan.cells
    assert cell.origin is not None
    assert cell.origin.entry.count(was) == 1
    assert cell.origin.corrected(name, new) == cell.origin.entry.replace(was, becomes)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (
            ".codex/config.toml",
            '[mcp_servers.aws]\ncommand = "uvx"\nargs = ["mcp-proxy-for-aws", "https://x.example/mcp", '
            '"--service=iam", "--region=us-east-1"]\n[mcp_servers.aws.env]\nTOKEN = "letmein"\n',
            '"--service=aws-mcp", "--region=us-east-1"]',
        ),
        (
            ".config/goose/config.yaml",
            "extensions:\n  aws:\n    type: stdio\n    cmd: uvx\n    args:\n      - mcp-proxy-for-aws\n"
            "      - https://x.example/mcp\n      - --service\n      - iam\n      - --region\n      - us-east-1\n"
            "    envs:\n      TOKEN: letmein\n",
            "      - --service\n      - aws-mcp\n",
        ),
    ],
    ids=["TOML", "YAML"],
)
def test_other_formats_are_corrected_too(desk: Desk, name: str, text: str, wanted: str) -> None:
    path = desk.write(name, text, home=True)
    [cell] = desk.plan(str(path)).plan.cells
    assert cell.origin is not None
    assert cell.configuration.service == "iam"
    assert wanted in cell.origin.corrected("service", "aws-mcp")
    assert "letmein" not in repr(cell.origin)


def test_an_entry_that_is_too_long_is_not_shown(desk: Desk) -> None:
    cell = desk.cell(proxy(AWS_MCP, "--service", "iam", "--metadata", "A=" + "b" * 8000))
    assert cell.origin is not None
    assert (cell.origin.entry, cell.origin.corrected("service", "x")) == ("", "")


# files ----------------------------------------------------------------------------------------------------------------


def test_a_server_is_named_behind_the_file_which_may_hold_colons_itself(desk: Desk) -> None:
    servers = {"mcpServers": {"a": {"url": "https://a.example"}, "b:c": {"url": "https://b.example"}}}
    path = desk.write("x:y/mcp.json", servers)
    assert [one.target for one in desk.plan(str(path)).plan.cells] == ["x:y/mcp.json:a", "x:y/mcp.json:b:c"]
    [cell] = desk.plan(f"{path}:b:c").plan.cells
    assert cell.configuration.endpoint == "https://b.example"


def test_files_of_the_user_and_of_the_project_are_found(desk: Desk) -> None:
    entry = {"mcpServers": {"a": {"url": "https://a.example"}}}
    desk.write(".cursor/mcp.json", entry, home=True)
    desk.write(".kiro/settings/mcp.json", entry)
    desk.write(".mcp.json", "{ broken")
    made = desk.plan("auto")
    assert [one.target for one in made.plan.cells] == ["~/.cursor/mcp.json:a", ".kiro/settings/mcp.json:a"]
    [note] = made.notes
    assert ".mcp.json:1:3: " in note
    assert made.files == 2


def test_nothing_is_found_where_nothing_is(desk: Desk) -> None:
    assert desk.plan("auto").plan.cells == ()


def test_what_is_named_twice_is_tried_once_and_entries_of_one_name_are_told_apart(desk: Desk) -> None:
    one = {"mcpServers": {"a": {"url": "https://a.example", "type": "http"}}}
    path = desk.write(".claude.json", {"projects": {"/x": one, "/y": one}}, home=True)
    cells = desk.plan(str(path), f"{path}:a").plan.cells
    names = ["~/.claude.json:a (line 1, column 37)", "~/.claude.json:a (line 1, column 112)"]
    assert [cell.target for cell in cells] == names


@pytest.mark.parametrize(
    ("name", "text", "asked", "says"),
    [
        ("mcp.json", {"mcpServers": {"one": {"url": "https://a"}}}, ":two", "holds no server two; it holds one."),
        ("mcp.json", {"mcpServers": {"aws-mcp": {"url": "https://a"}}}, ":aws-mpc", "did you mean aws-mcp?"),
        ("mcp.json", None, "", "no such file; check the path."),
        ("mcp", None, "", "no such file; check the path."),
        ("mcp.json", None, ":aws-mcp", "mcp.json:1:1: no such file"),
        ("mcp.json", "{", "", "mcp.json:1:2: not valid JSON"),
        ("mcp.json", {"a": 1}, "", "holds no servers of an MCP client that mcpdoctor knows"),
        (".kiro/settings/mcp.json", {}, "", "holds no servers; Kiro keeps them under mcpServers."),
        (
            ".kiro/settings/mcp.json",
            {"servers": {"a": {"command": "x"}}},
            "",
            "mcp.json:1:2: the servers stand under servers; Kiro reads mcpServers.",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(
    desk: Desk, name: str, text: object, asked: str, says: str
) -> None:
    path = desk.project / name
    if text is not None:
        desk.write(name, text)
    with pytest.raises(Unusable) as refusal:
        desk.plan(f"{path}{asked}")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_directory_is_no_file(desk: Desk) -> None:
    with pytest.raises(Unusable, match="this is a directory"):
        desk.plan(str(desk.project))


def test_names_of_servers_are_made_safe_to_show(desk: Desk) -> None:
    path = desk.write("mcp.json", {"mcpServers": {"\x1b[31m::error::x\n": {"url": "https://a.example"}}})
    [cell] = desk.plan(str(path)).plan.cells
    assert cell.origin is not None
    assert "\x1b" not in cell.target + cell.origin.server
    with pytest.raises(Unusable) as refusal:
        desk.plan(f"{path}:nope")
    assert "\x1b" not in str(refusal.value)


# whose credential it is -----------------------------------------------------------------------------------------------

LEFT_OVER = {"AWS_ACCESS_KEY_ID": "AKIALABLABLABLABLAB1", "AWS_SECRET_ACCESS_KEY": "made/up"}


@pytest.mark.parametrize(
    ("entry", "environ", "credential"),
    [
        (proxy(AWS_MCP, env={"AWS_PROFILE": "dev"}), SHELL, "profile:dev"),
        (proxy(AWS_MCP, env={"AWS_PROFILE": "dev", **LEFT_OVER}), SHELL, "env"),
        (proxy(AWS_MCP, "--profile", "dev", env=LEFT_OVER), SHELL, "profile:dev"),
        (proxy(AWS_MCP, env={"AWS_MCP_PROXY_PROFILES": "dev", **LEFT_OVER}), SHELL, "profile:dev"),
    ],
    ids=["profile", "keys before it", "an argument before them", "the variable of the proxy before them"],
)
def test_keys_go_before_a_profile_that_only_a_variable_names(
    desk: Desk, entry: dict[str, Any], environ: Mapping[str, str], credential: str
) -> None:
    assert desk.cell(entry, environ=environ).configuration.credential == credential


def test_what_a_container_does_not_get_comes_with_how_to_pass_it(desk: Desk) -> None:
    image = "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:1.7.0"
    facts = desk.cell({"command": "docker", "args": ["run", "-i", image, AWS_MCP]}).facts
    assert (facts["withheld"], facts["profile_withheld"]) == (("AWS_PROFILE",), True)
    assert str(facts["pass_on"]).startswith("Pass them into the container: -e AWS_PROFILE, and --volume ")
    args = ["run", "-i", "-e", "AWS_PROFILE", image, AWS_MCP]
    passed = desk.cell({"command": "docker", "args": args, "env": {"AWS_PROFILE": "dev"}})
    assert "withheld" not in passed.facts
