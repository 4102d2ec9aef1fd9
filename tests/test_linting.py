"""Each check about files fires on its fault, at its place, and is silent on the healthy twin."""

from __future__ import annotations

import re
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from lint_examples import CALL, EXAMPLES, KIRO, PLAIN, PROXY, URL, at, entry, proxy, several, started

from mcpdoctor import linting
from mcpdoctor.catalogue import About, Catalogue, load
from mcpdoctor.clients.known import known
from mcpdoctor.defects import known_defects
from mcpdoctor.linting.profiles import Profiles, parse
from mcpdoctor.model import LintFinding

CATALOGUE = load()


def rules_for(words: re.Pattern[str], aws: str = "") -> linting.Rules:
    """What to judge by, with an AWS configuration."""
    profiles: Profiles = {}
    parse(aws, profiles)
    return linting.Rules(catalogue=CATALOGUE, known=known(), profiles=profiles, defects=known_defects(), words=words)


def lint(directory: Path, name: str, text: str | bytes, aws: str = "") -> list[LintFinding]:
    """The findings in one file of a project."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    places = linting.Places(home=directory, project=directory, environ={}, platform="linux")
    state, files = linting.gather([str(path)], CATALOGUE, known(), places)
    rules = rules_for(state.words, aws)
    found = [finding for file in files for finding in linting.judge(file, rules).findings]
    assert state.refused == []
    return found


def marked(text: str) -> tuple[str, tuple[int, int]]:
    """A text without its mark, and the place of the mark; behind the quote, where it stands inside of one."""
    head, _, tail = text.partition("«")
    start = head[:-1] if head.endswith('"') and not tail.startswith('"') else head
    line = start.count("\n") + 1
    return head + tail, (line, len(start) - (start.rfind("\n") + 1) + 1)


def test_every_check_about_files_has_an_example_and_no_example_is_forgotten(catalogue: Catalogue) -> None:
    about = {slug for slug, one in catalogue.checks.items() if one.about is About.FILE}
    assert about == set(EXAMPLES)
    assert {catalogue.checks[slug].lab for slug in about} == {
        f"config/{slug.removeprefix('config-')}" for slug in about
    }


def test_every_check_about_files_asks_for_a_kind_of_problem(catalogue: Catalogue) -> None:
    for one in catalogue.checks.values():
        if one.about is About.FILE:
            assert all(rule.fact["problem"].is_ for rule in one.when), one.slug


@pytest.mark.parametrize("slug", EXAMPLES)
def test_a_check_fires_on_its_fault_at_its_place(slug: str, tmp_path: Path) -> None:
    example = EXAMPLES[slug]
    text, place = marked(example.fault)
    found = lint(tmp_path, example.file, text, example.aws)
    assert [one.check for one in found] == [slug]
    assert (found[0].line, found[0].column) == place
    assert "unknown" not in found[0].text.lower().replace("missing or unknown", "")
    assert not set("{}") & set(found[0].text + found[0].remedy) - set(text)


@pytest.mark.parametrize("slug", EXAMPLES)
def test_nothing_fires_on_the_healthy_twin(slug: str, tmp_path: Path) -> None:
    example = EXAMPLES[slug]
    assert lint(tmp_path, example.file, example.healthy, example.aws) == []


HEALTHY = {
    "a server that has nothing to do with AWS": (
        KIRO,
        several(
            files={"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/"], "timeout": 5},
            web={"url": "http://mcp.example.com/", "headers": {"Authorization": "Bearer abcdefghijklmnopqrstuvwxyz"}},
            odd={"comand": "uvx"},
            github={
                "command": "docker",
                "args": ["run", "ghcr.io/github/github-mcp-server"],
                "env": {"TOKEN": "ghp_x"},
            },
        ),
    ),
    "an own gateway, signed": (
        KIRO,
        proxy(
            "https://mine-abc.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp", "--service", "bedrock-agentcore"
        ),
    ),
    "an own gateway with a token": (
        ".cursor/mcp.json",
        at(
            "https://mine-abc.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp",
            headers={"Authorization": "${env:T}"},
        ),
    ),
    "a custom domain, signed": (
        KIRO,
        proxy("https://mcp.example.com/anything", "--service", "execute-api", "--region", "eu-central-1"),
    ),
    "a custom domain, without a service": (KIRO, proxy("https://mcp.example.com/anything")),
    "an API of one's own": (
        KIRO,
        proxy(
            "https://abc123.execute-api.eu-west-1.amazonaws.com/prod/mcp",
            "--service",
            "execute-api",
            "--region",
            "eu-west-1",
        ),
    ),
    "as the plugin of AWS has it": (
        ".mcp.json",
        entry("mcp-proxy-for-aws@1.6.4", URL, "--skip-auth", "--metadata", "INSTALL_SOURCE=agent-toolkit-core"),
    ),
    "as the documentation of EKS has it": (
        KIRO,
        entry(
            "mcp-proxy-for-aws@latest",
            "https://eks-mcp.us-west-2.api.aws/mcp",
            "--service",
            "eks-mcp",
            "--profile",
            "default",
            "--region",
            "us-west-2",
        ),
    ),
    "as the documentation has it for Windows": (
        KIRO,
        entry("--from", "mcp-proxy-for-aws@latest", "mcp-proxy-for-aws.exe", URL),
    ),
    "as the documentation has it for Kiro": (
        KIRO,
        entry(
            "mcp-proxy-for-aws-cli@latest", URL, "--metadata", "AWS_REGION=us-west-2", timeout=100000, transport="stdio"
        ),
    ),
    "without a proxy, in Claude Code": (".mcp.json", several(aws={"type": "http", "url": URL})),
    "the proxy without a signature": (KIRO, proxy("https://knowledge-mcp.global.api.aws", "--skip-auth")),
    "what is switched off": (KIRO, proxy("http://aws-mcp.us-east-1.api.aws", disabled=True)),
    "what is not known here": (KIRO, proxy("https://aws-mcp.${REGION}.api.aws/mcp", "--region", "${REGION}")),
    "two profiles": (KIRO, several(a=started("--profile", "a"), b=started("--profile", "b"))),
    "a local server": ("agent.py", f'{PLAIN}plain("http://localhost:8000/mcp")\nplain("http://127.0.0.1:8000/mcp")\n'),
    "somebody's server": ("agent.py", f'{PLAIN}plain("http://internal.example.com/mcp")\n'),
    "an URL that comes from outside": (
        "agent.py",
        f'import os\n{CALL}iam(os.environ["URL"], aws_service=os.environ.get("SERVICE", "iam"))\n',
    ),
    "a region of the session": ("agent.py", f'{CALL}iam("{URL}", aws_service="aws-mcp")\n'),
    "another file": ("package.json", '{"name": "mcp", "scripts": {"aws-mcp.": "1"}}'),
    "Spark as its README has it": (
        KIRO,
        proxy(
            "https://sagemaker-unified-studio-mcp.us-east-1.api.aws/spark-upgrade/mcp",
            *("--service", "sagemaker-unified-studio-mcp", "--region", "us-east-1", "--read-timeout", "180"),
            timeout=180000,
        ),
    ),
    "a policy that is needed": ("policy.json", '{"Statement": {"Effect": "Allow", "Action": "eks-mcp:*"}}'),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_files_raise_no_alarm(name: str, tmp_path: Path) -> None:
    assert lint(tmp_path, *HEALTHY[name], aws="[default]\nregion = us-east-1\n[profile a]\n[profile b]\n") == []


def test_the_profile_of_a_local_server_of_aws_is_judged_and_never_shown(tmp_path: Path) -> None:
    text = entry("awslabs.aws-api-mcp-server@latest", env={"AWS_PROFILE": "hidden"})
    (found,) = lint(tmp_path, KIRO, text, aws="[profile dev]\n")
    assert found.check == "config-profile-not-found"
    assert "hidden" not in found.text + found.remedy
    assert lint(tmp_path, KIRO, entry("other-server", env={"AWS_PROFILE": "hidden"}), aws="[profile dev]\n") == []


def test_a_role_without_a_session_name_matters_where_sessions_are(tmp_path: Path) -> None:
    role = "[profile dev]\nrole_arn = arn:aws:iam::111122223333:role/dev\n"
    text = entry("awslabs.aws-api-mcp-server@latest", env={"AWS_PROFILE": "dev"})
    assert lint(tmp_path, KIRO, text, aws=role) == []
    old = entry("mcp-proxy-for-aws@1.6.1", URL, "--profile", "dev")
    checks = [one.check for one in lint(tmp_path, KIRO, old, aws=role)]
    assert checks == ["config-version-defect", "config-session-name"]


@pytest.mark.parametrize(
    ("text", "checks"),
    [
        (proxy("https://connect.aidevops.us-east-1.api.aws/mcp"), ["config-wrong-service"]),
        (proxy("https://aws-mpc.us-east-1.api.aws/mcp"), ["config-unknown-host"]),
        (proxy("https://abc.lambda-url.us-east-1.on.aws/", "--region", "us-east-1"), ["config-wrong-service"]),
        (entry("@modelcontextprotocol/server-fetch", URL), ["config-wrong-registry"]),
        (proxy(URL, "--service", "${SERVICE}"), []),
        (proxy("https://aws-mcp.us-east1.api.aws/mcp"), ["config-unknown-host"]),
        (proxy("https://aws-mcp.<region>.api.aws/mcp"), ["config-unknown-host"]),
        (proxy("https://aws-mcp.us-east-1.amazonaws.com/mcp"), ["config-unknown-host"]),
        (proxy("https://eks-mcp.us-est-1.api.aws/mcp"), ["config-unknown-host"]),
        (proxy("https://eks-mcp.me-central-1.api.aws/mcp"), []),
        (proxy("https://eks-mcp.sa-west-1.api.aws/mcp"), []),
        (proxy("https://new-mcp.us-east-1.api.aws/mcp"), []),
        (proxy(URL, command="npx"), ["config-wrong-registry"]),
        (entry("mcp-proxy-for-aws@1.6.2", "--profile", "dev", URL), ["config-endpoint-swallowed"]),
        (entry("mcp-proxy-for-aws@1.4.2", URL, "--skip-auth"), ["config-unknown-option"]),
        (
            entry("mcp-remote", URL, "--header", "Authorization: Bearer abcdefghijklmnop1234", command="npx"),
            ["config-secret"],
        ),
        (proxy(URL, env={"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}), ["config-secret"]),
        (proxy(URL, env={"AWS_SECRET_ACCESS_KEY": "your-secret-access-key-goes-here"}), []),
    ],
)
def test_less_common_faults(text: str, checks: list[str], tmp_path: Path) -> None:
    assert [one.check for one in lint(tmp_path, KIRO, text)] == checks


def test_a_program_that_calls_a_removed_tool(tmp_path: Path) -> None:
    start = f'{CALL}async def main():\n    iam("{URL}", aws_service="aws-mcp")\n'
    (found,) = lint(tmp_path, "agent.py", f'{start}    await session.call_tool("aws___call_aws", {{}})\n')
    assert (found.check, found.line, found.column) == ("config-removed-tool", 4, 30)
    assert lint(tmp_path, "other.py", f'{start}    print("aws___call_aws")\n') == []


HOSTILE = {
    "nothing at all": b"",
    "blanks": b" \n\n",
    "5 MB of one list": b'{"mcpServers": {"aws-mcp.": [' + b'"x", ' * 1_000_000 + b'"x"]}}',
    "5 MB of open brackets": b"[" * 5_000_000,
    "deep": b'{"mcpServers": ' + b'{"a": ' * 5000 + b"1" + b"}" * 5001,
    "binary": bytes(range(256)) * 100,
    "UTF-16": proxy("http://aws-mcp.us-east-1.api.aws/mcp").encode("utf-16"),
    "not UTF-8": b'{"mcpServers": {"\xff": {}}}',
    "not closed": b'{"mcpServers": {"aws": {"command": "uvx", "args": ["mcp-proxy-for-aws',
    "a list": b'["mcp-proxy-for-aws"]',
    "a number": b"1 ",
    "types": b'{"mcpServers": {"a": 1, "b": [], "c": {"command": 1, "args": {"mcp-proxy-for-aws": 2}, "env": []}}}',
    "long arguments": proxy(*["--profile"] * 3000, URL).encode(),
    "lone surrogate": b'{"mcpServers": {"a": {"command": "uvx", "args": ["mcp-proxy-for-aws", "http://\\ud800.api.aws/"]}}}',
    "broken URL": proxy("https://[aws-mcp.us-east-1.api.aws/mcp").encode(),
}


@pytest.mark.parametrize(
    ("endpoint", "service", "checks"),
    [
        ('f"https://aws-mcp.{REGION}.api.aws/mcp"', '"iam"', ["config-wrong-service"]),
        ('os.getenv("ENDPOINT", "https://aws-mcp.us-east-1.api.aws/mcp")', '"iam"', ["config-wrong-service"]),
        ('"https://aws-mcp.us-east-1.api.aws/mcp"', 'os.environ.get("SERVICE", "iam")', ["config-wrong-service"]),
        ('"https://aws-mcp.us-east-1.api.aws/mcp"', 'os.environ["SERVICE"]', []),
        ('f"https://{HOST}/mcp"', '"iam"', []),
        ('f"https://aws-mcp.{REGION}.api.aws/mcp"', '"aws-mcp"', []),
    ],
)
def test_the_default_of_a_variable_is_what_a_program_says(
    endpoint: str, service: str, checks: list[str], tmp_path: Path
) -> None:
    text = f'import os\n{CALL}REGION = os.environ.get("AWS_REGION", "us-east-1")\n'
    text += 'HOST = os.environ["HOST"]\n'
    found = lint(tmp_path, "agent.py", f"{text}iam({endpoint}, aws_service={service}, aws_region=REGION)\n")
    assert [one.check for one in found] == checks


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("file", [KIRO, ".codex/config.toml", ".continue/config.yaml", "agent.py", "book.ipynb"])
def test_hostile_files_give_findings_and_no_crash(name: str, file: str, tmp_path: Path) -> None:
    found = lint(tmp_path, file, HOSTILE[name])
    for one in found:
        assert one.line >= 1
        assert "\x1b" not in one.text
        assert len(one.text) < 2000


def test_what_a_file_holds_cannot_reach_a_terminal(tmp_path: Path) -> None:
    name = "\x1b]0;own\x07a\n::error::b"
    text = several(
        **{name: {"command": "uvx", "args": [PROXY, "http://aws-mcp.us-east-1.api.aws/mcp\x1b[31m\n::error::x"]}}
    )
    for one in lint(tmp_path, KIRO, text):
        assert not set("\x1b\x07\n") & set(one.text + one.remedy + one.server.replace("\n", ""))


def test_a_secret_is_never_a_part_of_a_finding(tmp_path: Path) -> None:
    text = EXAMPLES["config-secret"].fault.replace("«", "")
    (found,) = lint(tmp_path, KIRO, text)
    assert "q8dXz" not in found.text + found.remedy


@hypothesis.given(
    slug=st.sampled_from(sorted(EXAMPLES)),
    at=st.floats(0, 1),
    left_out=st.integers(0, 12),
    put_in=st.text(alphabet='"{}[],:\\\n\0\x1b%/-é1 ', max_size=6),
)
def test_a_damaged_file_crashes_nothing_and_a_second_fix_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, slug: str, at: float, left_out: int, put_in: str
) -> None:
    text = EXAMPLES[slug].fault.replace("«", "")
    start = int(at * len(text))
    directory = tmp_path_factory.getbasetemp() / "damaged"
    path = directory / EXAMPLES[slug].file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text[:start] + put_in + text[start + left_out :], encoding="utf-8", newline="")
    places = linting.Places(home=directory, project=directory, environ={}, platform="linux")
    state, files = linting.gather([str(path)], CATALOGUE, known(), places)
    rules = rules_for(state.words)
    for file in files:
        linting.judge(file, rules)
        after = linting.rewrite(file, lambda one: linting.judge(one, rules))
        if after is not None:
            assert linting.difference(file, after, known())
            assert linting.rewrite(after, lambda one: linting.judge(one, rules)) is None


def test_of_several_servers_at_a_host_none_is_written_into_a_file(tmp_path: Path) -> None:
    url = "https://sagemaker-unified-studio-mcp.us-east-1.api.aws/mcp"
    [found] = lint(tmp_path, KIRO, proxy(url))
    assert found.check == "config-path-missing"
    assert "/spark-upgrade/mcp" in found.remedy
    assert "/spark-troubleshooting/mcp" in found.remedy
    assert not found.fixable


def test_a_version_that_does_not_know_agentcore_signs_for_the_first_label(tmp_path: Path) -> None:
    url = "https://orders-1.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp"
    told = {
        version: {one.check: one.text for one in lint(tmp_path, KIRO, entry(f"mcp-proxy-for-aws@{version}", url))}
        for version in ("1.0.1", "1.1.5")
    }
    assert "signed for orders-1" in told["1.0.1"]["config-wrong-service"]
    assert "config-wrong-service" not in told["1.1.5"]


@pytest.mark.parametrize(
    ("words", "aws"),
    [
        (("mcp-proxy-for-aws@1.6.4", URL, "--profile", "dev"), "[profile dev]\nregion = sa-east-1\n"),
        (("mcp-proxy-for-aws@latest", URL, "--profile", "dev"), "[profile dev]\nregion = sa-east-1\n"),
        (("mcp-proxy-for-aws@1.6.3", URL, "--profile", "dev"), "[profile dev]\nregion = us-east-1\n"),
        (("mcp-proxy-for-aws@1.6.3", URL, "--profile", "dev"), "[profile dev]\nsso_session = x\n"),
        (("mcp-proxy-for-aws@1.6.3", URL, "--profile", "${P}"), "[profile dev]\nregion = sa-east-1\n"),
        (
            ("mcp-proxy-for-aws@1.6.3", "https://eks-mcp.us-east-1.api.aws/mcp", "--profile", "dev"),
            "[profile dev]\nregion = sa-east-1\n",
        ),
    ],
)
def test_nothing_is_said_of_operations_that_go_where_they_should(
    words: tuple[str, ...], aws: str, tmp_path: Path
) -> None:
    found = lint(tmp_path, KIRO, entry(*words), aws)
    assert "config-operation-region" not in [one.check for one in found]
