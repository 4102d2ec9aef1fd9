"""What `mcpdoctor snippet` prints: read back it means what was asked for, it is valid, and it holds no secret."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.catalogue import Catalogue, locate
from mcpdoctor.cli import cli
from mcpdoctor.clients import Reach, find, known, reach, read_client_file
from mcpdoctor.clients.known import OTHER, Client, Format, Transport
from mcpdoctor.model import Best, Configuration, Report, Unusable
from mcpdoctor.render import report_json
from mcpdoctor.snippets.choosing import from_catalogue, from_report, server_name, usable
from mcpdoctor.snippets.entries import entry
from mcpdoctor.snippets.libraries import Library, libraries, read_libraries
from mcpdoctor.snippets.making import advice, snippet
from mcpdoctor.snippets.mistakes import _MAKERS, mistakes, mistakes_with, problems_in
from mcpdoctor.snippets.places import places
from mcpdoctor.snippets.recipients import recipient, recipients
from mcpdoctor.snippets.writing import write

KNOWN = known()
CLIENTS = [one for one in recipients().values() if isinstance(one, Client)]
LIBRARIES = list(libraries().values())

SIGNED = Configuration(
    endpoint="https://aws-mcp.eu-west-1.api.aws/mcp", region="eu-west-1", service="aws-mcp", credential="profile:dev"
)
DEFAULT = replace(SIGNED, credential="default")
UNSIGNED = Configuration(endpoint="https://knowledge-mcp.global.api.aws")
RUNTIME = Configuration(
    endpoint="https://bedrock-agentcore.us-east-1.amazonaws.com/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1"
    "%3A123456789012%3Aruntime%2Fmine-a1B2c3D4e5/invocations?qualifier=DEFAULT",
    region="us-east-1",
    service="bedrock-agentcore",
    credential="default",
)
ODD_HOST = Configuration(
    endpoint="https://connect.aidevops.us-east-1.api.aws/mcp", region="us-east-1", service="aidevops", credential="env"
)
CONFIGURATIONS = {
    "signed": SIGNED,
    "signed by default": DEFAULT,
    "unsigned": UNSIGNED,
    "runtime": RUNTIME,
    "host of five labels": ODD_HOST,
    "lambda": replace(ODD_HOST, endpoint="https://abc.lambda-url.us-east-1.on.aws/", service="lambda"),
}


def by_id(one: Client | Library) -> str:
    return one.name


def path_of(client: Client, directory: Path) -> Path:
    """The place of the client's file, below a directory."""
    for files in client.files:
        for template in (*files.any, *files.linux, *files.project):
            filled = re.sub(r"{(\w+)}", lambda found: client.defaults.get(found[1], found[0]), template)
            return directory / re.sub(r"{\w+}/?", "", filled).replace("*", "aws")
    raise AssertionError(client.name)


def read_back(text: str, client: Client, directory: Path) -> Reach:
    """The only server of a file, as the readers understand it; nothing may be wrong with it."""
    path = path_of(client, directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    file = read_client_file(path, KNOWN, environ={})
    assert file is not None
    assert file.kind.client.name == client.name
    assert [one.kind for one in file.problems] == []
    assert file.document.taken == ()
    [server] = file.entries.servers
    reached = reach(server, KNOWN, environ={})
    assert [one.kind for one in reached.problems] == []
    passes_lint(path)
    return reached


def passes_lint(path: Path) -> None:
    """`mcpdoctor lint` has nothing to say of it."""
    done = CliRunner().invoke(cli, ["lint", str(path), "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["findings"] == [], done.stdout


def run(*arguments: str, text: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mcpdoctor", "snippet", *arguments],
        env={**os.environ, **environ},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(*arguments: str, text: str | None = None) -> str:
    done = run(*arguments, text=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


# entries of files ----------------------------------------------------------------------------------------------------


def test_a_snippet_can_be_made_for_every_client_there_is() -> None:
    assert {one.name for one in CLIENTS} == set(KNOWN.clients) - {OTHER}
    assert len(recipients()) == len(CLIENTS) + len(LIBRARIES)


@pytest.mark.parametrize("what", CONFIGURATIONS)
@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_an_entry_is_read_back_as_what_was_asked_for(client: Client, what: str, tmp_path: Path) -> None:
    asked = CONFIGURATIONS[what]
    found = read_back(entry(client, asked, "aws-mcp", KNOWN), client, tmp_path)
    # In a file, keys of the environment are those that the chain finds first.
    wanted = replace(asked, credential="default") if asked.credential == "env" else asked
    assert found.configuration == wanted
    assert found.server.name == "aws-mcp"
    assert found.server.enabled
    if asked.signed:
        assert found.proxy is not None
        assert found.proxy.starts
    else:
        assert found.proxy is None
        assert (found.server.transport is Transport.STDIO) != client.remote


@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_options_that_the_proxy_does_not_need_are_left_out(client: Client) -> None:
    assert "--service" not in entry(client, SIGNED, "aws", KNOWN)
    assert "--region" not in entry(client, SIGNED, "aws", KNOWN)
    assert "--profile" not in entry(client, DEFAULT, "aws", KNOWN)
    assert "aidevops" in entry(client, ODD_HOST, "aws", KNOWN).replace("connect.aidevops.", "")


@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_the_url_stands_before_every_option_of_the_proxy(client: Client, tmp_path: Path) -> None:
    found = read_back(entry(client, ODD_HOST, "aws", KNOWN), client, tmp_path)
    assert found.launch is not None
    assert found.launch.words[0].text == ODD_HOST.endpoint
    assert found.launch.needed is not None
    assert found.launch.needed.operator == "~="


@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_an_entry_is_valid_for_another_reader_too(client: Client) -> None:
    for configuration in CONFIGURATIONS.values():
        text = entry(client, configuration, "aws", KNOWN)
        data: Any
        if client.format is Format.TOML:
            data = tomllib.loads(text)
        else:
            data = yaml.safe_load(text) if client.format is Format.YAML else json.loads(text)
        for key in client.at[0]:
            data = data[key]
        assert len(data) == 1
        assert configuration.endpoint in text


def test_an_entry_for_a_client_that_passes_nothing_on_names_what_the_proxy_needs() -> None:
    codex = KNOWN.clients["codex"]

    def forwarded(configuration: Configuration) -> list[str] | None:
        server = tomllib.loads(entry(codex, configuration, "aws", KNOWN))["mcp_servers"]["aws"]
        names: list[str] | None = server.get("env_vars")
        return names

    assert forwarded(SIGNED) is None
    assert forwarded(UNSIGNED) is None
    assert forwarded(ODD_HOST) == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    assert "AWS_PROFILE" in (forwarded(DEFAULT) or ())


@given(
    profile=st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip() == text and text[0] != "-"),
    path=st.text(alphabet="aZ0-_.~%/:;,@!$&'()*+=?#\"\\ü日\U0001f600", max_size=30),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True),
)
def test_whatever_is_asked_for_is_written_so_that_it_is_read_back(profile: str, path: str, name: str) -> None:
    asked = replace(ODD_HOST, endpoint=f"https://x.example/{path}", credential=f"profile:{profile}")
    for form, load in ((Format.JSON, json.loads), (Format.TOML, tomllib.loads), (Format.YAML, yaml.safe_load)):
        client = next(one for one in CLIENTS if one.format is form and one.named is None and one.args)
        server: Any = load(entry(client, asked, name, KNOWN))[client.at[0][0]][name]
        words = server[client.args[0]]
        assert words[words.index("--profile") + 1] == profile
        assert asked.endpoint in words
    for library in LIBRARIES:
        text = snippet(library, asked, name)
        assert text.isascii()
        strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
        assert {asked.endpoint, profile} <= strings


def test_tables_lists_and_odd_keys_are_written_as_toml() -> None:
    data = {"a b": {"c": [1, "x\x7f", True], "d": {"e": {}, "f.g": 1.5}}, "h": "ü"}
    assert tomllib.loads(write(data, Format.TOML)) == data
    assert yaml.safe_load(write({"a": [data, data]}, Format.YAML)) == {"a": [data, data]}


# where it goes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_the_place_that_is_named_is_one_where_the_clients_file_is_found(client: Client, tmp_path: Path) -> None:
    named = dict(places(client))
    assert set(named) - {"project"} == {"macOS", "Linux", "Windows"}
    home, project, appdata = tmp_path / "home", tmp_path / "project", tmp_path / "appdata"
    for system, platform in (("macOS", "darwin"), ("Linux", "linux"), ("Windows", "win32"), ("project", "linux")):
        if system not in named:
            continue
        shown = named[system].replace("\\", "/").replace("%USERPROFILE%", "~").replace("%APPDATA%", str(appdata))
        path = project / shown if system == "project" else Path(shown.replace("~", str(home)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry(client, DEFAULT, "aws", KNOWN), encoding="utf-8")
        found = find(KNOWN.clients, home=home, project=project, environ={"APPDATA": str(appdata)}, platform=platform)
        assert path in [one.path for one in found if one.client.name == client.name]
        assert not PurePosixPath(shown).is_absolute() or system == "Windows"
        path.unlink()


@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_the_advice_names_the_place_and_what_is_started(client: Client) -> None:
    signed, unsigned = "\n".join(advice(client, SIGNED)), "\n".join(advice(client, UNSIGNED))
    assert all(path in signed for _, path in places(client))
    assert "uvx" in signed
    assert ("uvx" in unsigned) != client.remote


def test_a_program_goes_wherever_its_writer_wants_it() -> None:
    assert advice(LIBRARIES[0], SIGNED) == []


# Python programs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
@pytest.mark.parametrize("library", LIBRARIES, ids=by_id)
def test_a_program_compiles_and_holds_the_values(library: Library, configuration: Configuration) -> None:
    text = snippet(library, configuration, "aws")
    compile(text, library.name, "exec")
    assert "$" not in text
    assert "# ---" not in text
    assert max(map(len, text.replace(configuration.endpoint, "").splitlines())) <= 120
    strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    assert configuration.endpoint in strings
    assert not configuration.signed or {configuration.service, configuration.region} <= strings
    assert ("dev" in strings) == (configuration.credential == "profile:dev")
    assert ("profile" in text) == (configuration.credential == "profile:dev")
    assert text.startswith("# pip install ")


@pytest.mark.parametrize("library", LIBRARIES, ids=by_id)
def test_a_program_signs_only_where_it_has_to(library: Library) -> None:
    assert "mcp_proxy_for_aws" in snippet(library, SIGNED, "aws")
    assert "mcp_proxy_for_aws" not in snippet(library, UNSIGNED, "aws")
    assert "mcp-proxy-for-aws" not in snippet(library, UNSIGNED, "aws")


def test_a_library_with_a_typing_error_is_refused(tmp_path: Path) -> None:
    text = (locate() / "snippets.toml").read_text(encoding="utf-8")
    (tmp_path / "snippets.toml").write_text(text.replace("unsigned = '''", "unsinged = '''", 1), encoding="utf-8")
    with pytest.raises(Unusable, match="did you mean unsigned"):
        read_libraries(tmp_path)


# mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS, ids=by_id)
def test_a_mistake_that_a_page_names_is_seen_by_the_readers(client: Client) -> None:
    made = mistakes_with(client)
    assert len(made) >= 6
    for one in made:
        assert "{" not in re.sub(r"`[^`]*`", "", one.text)
        if one.mistake.problem:
            assert one.mistake.problem in problems_in(one.file, client, KNOWN)
    assert problems_in(entry(client, SIGNED, "aws", KNOWN), client, KNOWN) == set()


def test_every_mistake_is_made_with_some_client_and_names_a_check_that_exists(catalogue: Catalogue) -> None:
    assert {name for name, one in mistakes().items() if one.problem} == set(_MAKERS)
    assert {made.mistake.name for client in CLIENTS for made in mistakes_with(client)} == set(mistakes())
    assert {one.check for one in mistakes().values() if one.check} <= set(catalogue.checks)


# which configuration -------------------------------------------------------------------------------------------------


def test_the_catalogue_gives_what_works(catalogue: Catalogue) -> None:
    assert from_catalogue("aws-mcp", catalogue, credential="profile:dev", region="eu-west-1") == SIGNED
    assert from_catalogue("aws-mcp", catalogue, home_region=lambda: "eu-west-3") == DEFAULT
    assert from_catalogue(SIGNED.endpoint, catalogue) == DEFAULT
    assert from_catalogue("aws-knowledge", catalogue) == replace(UNSIGNED, service=None)
    assert from_catalogue(RUNTIME.endpoint, catalogue) == RUNTIME
    assert from_catalogue("https://knowledge-mcp.global.api.aws/", catalogue).signed is False
    assert from_catalogue("http://localhost:3001/mcp", catalogue).signed is False


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("aws-mpc", {}, "did you mean aws-mcp"),
        ("aws-mcp", {"region": "us-east-2"}, "no endpoint in us-east-2; use us-east-1"),
        ("aws-mcp", {"region": "virginia"}, "no region"),
        ("aws-mcp", {"service": "iam"}, "signing name of the endpoint"),
        ("aws-knowledge", {"credential": "profile:dev"}, "takes no signature"),
        ("aws-knowledge", {"service": "knowledge-mcp"}, "takes no signature"),
        ("eks-mcp", {"credential": "none"}, "signed requests only"),
        ("agentcore-gateway", {}, "give the whole URL"),
        (SIGNED.endpoint, {"region": "us-east-1"}, "is in eu-west-1"),
        ("https://aws-mcp.us-east-2.api.aws/mcp", {}, "use us-east-1"),
        ("https://x.example/mcp", {"credential": "default"}, "--service"),
        ("https://x.example/mcp", {"service": "lambda"}, "--region"),
        ("https://x.example/mcp", {"service": "IAM", "region": "us-east-1"}, "is no service"),
        ("http://x.example/mcp", {"service": "lambda", "region": "us-east-1"}, "not encrypted"),
        ("http://localhost.example/mcp", {"service": "lambda", "region": "us-east-1"}, "not encrypted"),
        ("http://x.example/mcp", {}, "not encrypted"),
        ("https://aws-mcp.us-east-1.api.aws", {}, "write https://aws-mcp.us-east-1.api.aws/mcp"),
        ("https://aws-mcp.us-east-1.api.aws/mcp/", {}, "write https://aws-mcp.us-east-1.api.aws/mcp."),
        ("https://knowledge-mcp.global.api.aws/mcp", {}, "write https://knowledge-mcp.global.api.aws."),
        ("https://[::1/mcp", {}, "is not the URL"),
        ("ftp://x.example/mcp", {}, "is not the URL"),
        ("https://user:password@x.example/mcp", {}, "user name or password"),
        ("https://x.example/mcp?X-Amz-Security-Token=IQoJb3JpZ2luX2VjEJr//////////wEaCXVz", {}, "secret"),
        ("https://x.example/" + "a" * 3000, {}, "too long"),
        ("aws-mcp", {"credential": "profile:AKIAIOSFODNN7EXAMPLE"}, "looks like a secret"),
        ("aws-mcp", {"credential": "profile:--skip-auth"}, "cannot be one"),
        ("aws-mcp", {"credential": "profile:a\x1b[2J"}, "cannot be one"),
    ],
)
def test_what_would_not_work_is_refused_with_the_way_out(
    target: str, options: dict[str, str], said: str, catalogue: Catalogue
) -> None:
    with pytest.raises(Unusable, match=re.escape(said)):
        from_catalogue(target, catalogue, **options)  # type: ignore[arg-type]  # none of these asks for the region


def test_a_refusal_shows_no_secret(catalogue: Catalogue) -> None:
    for target in ("https://user:hunter2hunter2@x.example/mcp", "https://x.example/mcp?api_key=hunter2hunter2"):
        with pytest.raises(Unusable) as refusal:
            from_catalogue(target, catalogue)
        assert "hunter2" not in str(refusal.value)


REPORT = Report(
    best=(
        Best(target="aws-mcp", configuration=SIGNED),
        Best(target="aws-knowledge", configuration=UNSIGNED),
    )
)


def test_a_report_gives_its_best_configuration() -> None:
    assert from_report(REPORT, None) == SIGNED
    assert from_report(REPORT, "aws-knowledge") == UNSIGNED
    only = replace(REPORT, best=REPORT.best[1:])
    assert from_report(only, None) == UNSIGNED
    with pytest.raises(Unusable, match="nothing that works for aws-mcp; it has: aws-knowledge"):
        from_report(only, "aws-mcp")
    with pytest.raises(Unusable, match="No configuration of the report works"):
        from_report(Report(), None)


@pytest.mark.parametrize(
    "hostile",
    [
        {"endpoint": 'https://x/mcp"\n[mcp_servers.b]\ncommand = "rm"'},
        {"endpoint": "https://x/\x1b]0;title"},
        {"region": "us-east-1 --skip-auth"},
        {"service": "a\nb"},
        {"credential": "AKIAIOSFODNN7EXAMPLE"},
        {"credential": "profile:a\u202eb"},
        {"region": None},
    ],
)
def test_a_report_that_was_tampered_with_is_refused(hostile: dict[str, str]) -> None:
    with pytest.raises(Unusable):
        usable(replace(SIGNED, **hostile))


def test_a_server_is_called_as_the_catalogue_calls_it(catalogue: Catalogue) -> None:
    def name(url: str, given: str | None = None) -> str:
        return server_name(given, Configuration(endpoint=url), catalogue)

    assert name(SIGNED.endpoint) == "aws-mcp"
    assert name(RUNTIME.endpoint) == "agentcore-runtime"
    assert name("https://tools.example/mcp") == "tools"
    assert name("http://127.0.0.1:3001/mcp") == "mcp-server"
    assert name("http://[::1]:3001/mcp") == "mcp-server"
    assert name(SIGNED.endpoint, "mine_2") == "mine_2"
    for wrong in ("", "-x", "a b", 'a"b', "a" * 65):
        with pytest.raises(Unusable, match="letters, digits"):
            name(SIGNED.endpoint, wrong)


# the command ---------------------------------------------------------------------------------------------------------


def test_standard_output_is_the_entry_alone() -> None:
    done = run("kiro", "aws-mcp", "--region", "eu-west-1", "--profile", "dev")
    assert done.returncode == 0
    assert done.stdout == entry(KNOWN.clients["kiro"], SIGNED, "aws-mcp", KNOWN)
    assert "~/.kiro/settings/mcp.json" in done.stderr
    assert run("kiro", "-q", "-r", "eu-west-1", "-p", "dev", "--name", "x").stderr == ""


def test_the_entry_in_the_readme_is_the_one_that_is_printed() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    shown = text.split("$ mcpdoctor snippet kiro --profile dev")[1].split("```json\n")[1].split("```")[0]
    assert shown == run("kiro", "--profile", "dev").stdout


def test_the_region_of_the_user_chooses_the_endpoint() -> None:
    assert "aws-mcp.eu-central-1.api.aws" in run("cursor", AWS_REGION="eu-central-1").stdout
    assert "aws-mcp.us-east-1.api.aws" in run("cursor").stdout


@pytest.mark.parametrize("said", ["gemini", "GEMINI", "gemini-cli"])
def test_a_client_is_found_by_what_people_call_it(said: str) -> None:
    assert recipient(said).name == "gemini-cli"


def test_no_alias_is_the_name_of_another() -> None:
    said = [word for one in recipients().values() for word in (one.name, *one.aliases)]
    assert sorted(set(said)) == sorted(said)
    assert all(word == word.lower() for word in said)


def test_the_list_names_every_client() -> None:
    done = run("--list")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()[2:]} == set(recipients())


def test_an_unknown_client_brings_the_nearest_names() -> None:
    assert "did you mean cursor?" in refused("crusor")
    assert "known: strands, langchain" in refused("xyzzy")
    assert "--list" in refused()


def test_what_contradicts_itself_is_refused() -> None:
    assert "one credential" in refused("kiro", "-p", "a", "-c", "none")
    assert "never given on the command line" in refused("kiro", "-c", "AKIAIOSFODNN7EXAMPLE").lower()
    assert "leave out these options" in refused("kiro", "--report", "-", "-r", "us-east-1", text="{}")


@pytest.mark.parametrize("option", ["--region", "--service", "--name"])
def test_an_option_that_counts_once_is_given_once(option: str) -> None:
    assert "give it once" in refused("kiro", option, "us-east-1", option, "eu-west-1")
    assert "it is empty" in refused("kiro", option, "")


def test_empty_words_are_refused() -> None:
    assert "it is empty" in refused("")
    assert "it is empty" in refused("kiro", "")


def test_a_saved_report_becomes_an_entry(tmp_path: Path) -> None:
    saved = tmp_path / "report.json"
    saved.write_text(report_json.dumps(REPORT), encoding="utf-8")
    from_file = run("codex", "--report", str(saved))
    piped = run("codex", "aws-mcp", "--report", "-", text=saved.read_text(encoding="utf-8"))
    assert from_file.stdout == piped.stdout == entry(KNOWN.clients["codex"], SIGNED, "aws-mcp", KNOWN)
    assert "knowledge-mcp" in run("codex", "aws-knowledge", "--report", str(saved)).stdout
    assert "it has: aws-mcp, aws-knowledge" in refused("codex", "eks-mcp", "--report", str(saved))
    assert "not valid JSON" in refused("codex", "--report", "-", text="{")
    assert "cannot be read" in refused("codex", "--report", str(tmp_path / "none.json"))


def test_a_report_of_the_lab_becomes_a_program() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mcpdoctor", "check", "aws-mcp", "--lab", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    done = run("strands", "--report", "-", text=checked.stdout)
    assert done.returncode == 0, done.stderr
    assert 'aws_service="aws-mcp"' in done.stdout


def test_the_shell_completes_clients_and_targets() -> None:
    def completed(words: str, number: int) -> set[str]:
        environ = {"_MCPDOCTOR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        done = subprocess.run(
            [sys.executable, "-m", "mcpdoctor"],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert completed("mcpdoctor snippet c", 2) == {one for one in recipients() if one.startswith("c")}
    assert completed("mcpdoctor snippet kiro aws-", 3) == {"aws-mcp", "aws-knowledge"}
