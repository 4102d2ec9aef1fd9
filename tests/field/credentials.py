"""Rows about credentials, profiles and regions (section 6.1), and the partition (row 24)."""

from __future__ import annotations

import json

from credential_scenes import LOGIN, UNKNOWN, base, logged_in, role

from field.bench import Bench, Case, Shown

URL = "https://aws-mcp.us-east-1.api.aws/mcp"
KIRO = ".kiro/settings/mcp.json"
CONFIG = "~/.aws/config"


def _entry(*args: str, command: str = "uvx", **more: object) -> str:
    return json.dumps({"mcpServers": {"aws-mcp": {"command": command, "args": args, **more}}})


def _login(bench: Bench, region: str = "region = us-east-1\n", minutes: float = -5) -> Shown:
    logged_in(bench.patch, bench.home / "login", refresh="gone", minutes=minutes)
    config = f"[profile dev]\nlogin_session = {LOGIN}\n{region}"
    return bench.check("-p", "dev", environ=bench.lab.providers["services"], files={CONFIG: config})


def _login_without_region(bench: Bench) -> Shown:
    return _login(bench, region="")


def _login_expired(bench: Bench) -> Shown:
    return _login(bench)


def _other_profiles_only(bench: Bench) -> Shown:
    files = {KIRO: _entry("mcp-proxy-for-aws@latest", URL), CONFIG: base() + role("staging")}
    return bench.check("--from", KIRO, environ={}, files=files)


def _nothing(bench: Bench) -> Shown:
    return bench.check("-c", "default", environ={})


def _invented_option(bench: Bench) -> Shown:
    return bench.lint({KIRO: _entry("mcp-proxy-for-aws@latest", "--sse-url", URL, "--profile", "sso")})


def _profile_in_metadata(bench: Bench) -> Shown:
    return bench.lint({KIRO: _entry("mcp-proxy-for-aws@latest", URL, "--metadata", "AWS_PROFILE=dev")})


def _no_session_name(bench: Bench) -> Shown:
    files = {KIRO: _entry("mcp-proxy-for-aws@1.6.0", URL, "--profile", "role"), CONFIG: base() + role()}
    return bench.check("--from", KIRO, environ=bench.lab.providers["services"], files=files)


def _without_crt(bench: Bench) -> Shown:
    bench.patch.setattr("botocore.credentials.EC", None)
    return _login(bench, minutes=10)


def _older_than_the_login(bench: Bench) -> Shown:
    return bench.explain(
        "Tool call 'aws___run_script' failed due to expired or invalid AWS credentials. Please refresh your "
        "credentials and retry. The proxy will automatically use the new credentials on the next request."
    )


def _cached_for_life(bench: Bench) -> Shown:
    return bench.lint({KIRO: _entry("mcp-proxy-for-aws@1.3.0", URL, "--profile", "base"), CONFIG: base()})


def _codex(bench: Bench) -> Shown:
    file = f'[mcp_servers.aws-mcp]\ncommand = "uvx"\nargs = ["mcp-proxy-for-aws@latest", "{URL}"]\n'
    instance = bench.lab.providers["instance-denied"]
    files = {".codex/config.toml": file, CONFIG: base()}
    return bench.check("--from", ".codex/config.toml", environ={**instance, "AWS_PROFILE": "base"}, files=files)


def _docker(bench: Bench) -> Shown:
    image = "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:latest"
    args = ("run", "-i", "--rm", "--volume", "/home/me/.aws:/app/.aws:ro", image, URL)
    return bench.lint({KIRO: _entry(*args, command="docker", env={"AWS_PROFILE": "dev"})})


def _china(bench: Bench) -> Shown:
    lines = [f"aws_{name} = {UNKNOWN[f'AWS_{name.upper()}']}" for name in ("access_key_id", "secret_access_key")]
    config = "\n".join(["[profile cn]", *lines, "region = cn-north-1", ""])
    return bench.check("-p", "cn", environ={}, files={CONFIG: config})


CASES = (
    Case(
        rows=("1",),
        reported=("aws/mcp-proxy-for-aws#342", "aws/agent-toolkit-for-aws#63"),
        symptom="-32602 Invalid request parameters at start; aws sso login does not help",
        command="mcpdoctor check -p dev",
        check="auth-login-without-region",
        says="Profile dev has login_session and no region. Renewing the login needs one; --metadata AWS_REGION",
        reproduce=_login_without_region,
    ),
    Case(
        rows=("2",),
        reported=("aws/mcp-proxy-for-aws#304",),
        symptom="The same -32602, after some hours",
        command="mcpdoctor check -p dev",
        check="auth-login-session-expired",
        says="Log in again: aws login --profile dev",
        reproduce=_login_expired,
    ),
    Case(
        rows=("3",),
        reported=("https://github.com/aws/agent-toolkit-for-aws/blob/main/setup.md",),
        symptom="-32602 after aws configure agent-toolkit; the user is logged in under a named profile",
        command="mcpdoctor check --from .kiro/settings/mcp.json",
        check="auth-no-credentials",
        says="There are credentials in base, staging",
        reproduce=_other_profiles_only,
    ),
    Case(
        rows=("4",),
        reported=("aws/mcp-proxy-for-aws#385",),
        symptom="-32602, or -32603 No AWS credentials available",
        command="mcpdoctor check -c default",
        check="auth-no-credentials",
        says="no AWS_PROFILE, and [default] has none (~/.aws/config is missing, ~/.aws/credentials is missing)",
        reproduce=_nothing,
    ),
    Case(
        rows=("5",),
        reported=("anthropics/claude-code#22630",),
        symptom="Connected, but no tools; -32602",
        command="mcpdoctor lint",
        check="config-unknown-option",
        says="--sse-url",
        reproduce=_invented_option,
    ),
    Case(
        rows=("6",),
        reported=("aws/mcp-proxy-for-aws#117",),
        symptom="-30001 SessionId was not found; --metadata AWS_PROFILE=… changes nothing",
        command="mcpdoctor lint",
        check="config-profile-in-metadata",
        says="goes to the server and does not choose credentials",
        reproduce=_profile_in_metadata,
    ),
    Case(
        rows=("7",),
        reported=("https://qiita.com/charita/items/84785020216699a1d0b9",),
        symptom="The first call works, every later one fails with -30001",
        command="mcpdoctor check --from .kiro/settings/mcp.json",
        check="auth-session-name",
        says="Profile role assumes a role without role_session_name and the proxy is 1.6.0",
        reproduce=_no_session_name,
    ),
    Case(
        rows=("9",),
        reported=("aws/mcp-proxy-for-aws#321",),
        symptom="Works, then fails after a quarter of an hour until any aws command has run",
        command="mcpdoctor check -p dev",
        check="auth-login-without-crt",
        says='pip install "botocore[crt]"',
        reproduce=_without_crt,
    ),
    Case(
        rows=("11",),
        reported=("aws/mcp-proxy-for-aws#388",),
        symptom="Expired credentials in the client, although the CLI works",
        command="mcpdoctor explain client.log",
        check="client-proxy-credentials",
        says="restart the client",
        reproduce=_older_than_the_login,
    ),
    Case(
        rows=("12",),
        reported=("aws/mcp-proxy-for-aws#193", "aws/mcp-proxy-for-aws#245", "aws/mcp-proxy-for-aws#294"),
        symptom="After switching accounts the old one is still used",
        command="mcpdoctor lint",
        check="config-version-defect",
        says="keeps credentials until it is started again",
        reproduce=_cached_for_life,
    ),
    Case(
        rows=("15",),
        reported=("https://developers.openai.com/codex/mcp",),
        symptom="AccessDenied as an instance role, only in Codex",
        command="mcpdoctor check --from .codex/config.toml",
        check="auth-variables-withheld",
        says='env_vars = ["AWS_PROFILE"]',
        reproduce=_codex,
    ),
    Case(
        rows=("17",),
        reported=("awslabs/mcp#1877",),
        symptom="All containers use one account, whatever AWS_PROFILE says",
        command="mcpdoctor lint",
        check="config-variable-not-in-container",
        says="-e AWS_PROFILE",
        reproduce=_docker,
    ),
    Case(
        rows=("24",),
        reported=("https://docs.aws.amazon.com/agent-toolkit/latest/userguide/security_iam_troubleshoot.html",),
        symptom="UnrecognizedClientException: The security token included in the request is not recognized",
        command="mcpdoctor check -p cn",
        check="auth-wrong-partition",
        says="the partition aws-cn (by the region cn-north-1); aws-mcp.us-east-1.api.aws is in aws",
        reproduce=_china,
    ),
)
