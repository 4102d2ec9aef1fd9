"""What a command starts is found behind its runners, and the proxy signs as it really would."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcpdoctor.clients import Launch, Reach, known, reach
from mcpdoctor.clients.entries import read_entries
from mcpdoctor.clients.jsonc import read_json
from mcpdoctor.clients.launch import launch
from mcpdoctor.clients.proxies import How, is_proxy
from mcpdoctor.clients.source import Source
from mcpdoctor.clients.values import Scalar
from mcpdoctor.clients.versions import requirement, version
from mcpdoctor.clients.words import Word
from mcpdoctor.inference import guess

KNOWN = known()
URL = "https://aws-mcp.us-east-1.api.aws/mcp"
AIDEVOPS = "https://connect.aidevops.us-east-1.api.aws/mcp"


def started(line: str) -> Launch:
    words = [Word(one.replace("␣", " "), Scalar(Source("f", ""), 0, 0, one)) for one in line.split()]
    return launch(words[0], words[1:], KNOWN.runners)


def entry(
    command: str,
    *args: str,
    env: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    client: str = "cursor",
    more: Mapping[str, object] | None = None,
) -> Reach:
    server_of = {"command": command, "args": args, "env": env or {}, **(more or {})}
    text = json.dumps({KNOWN.clients[client].at[0][0]: {"a": server_of}})
    document = read_json(Source("f", text))
    (server,) = read_entries(document, KNOWN.clients[client], KNOWN.clients, environ=environ).servers
    return reach(server, KNOWN, environ=environ)


@pytest.mark.parametrize(
    ("line", "pinned"),
    [
        (f"uvx mcp-proxy-for-aws {URL}", None),
        (f"uvx mcp-proxy-for-aws@latest {URL}", None),
        (f"uvx mcp-proxy-for-aws@1.6.4 {URL}", "1.6.4"),
        (f"uvx mcp_proxy_for_aws==1.6.4 {URL}", "1.6.4"),
        (f"/Users/me/.local/bin/uvx mcp-proxy-for-aws-cli@1.7.0 {URL}", "1.7.0"),
        (f"C:\\uv\\uvx.exe --from mcp-proxy-for-aws@1.5.0 mcp-proxy-for-aws.exe {URL}", "1.5.0"),
        (f"uvx --from=mcp-proxy-for-aws==1.5.0 mcp-proxy-for-aws {URL}", "1.5.0"),
        (f"uvx -q --python 3.12 -p3.12 --refresh mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"uvx --with boto3 --index-url https://x/simple mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"uv tool run mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"uv x mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"uv run --with mcp-proxy-for-aws==1.6.0 mcp-proxy-for-aws {URL}", "1.6.0"),
        (f"uv run --directory /x -m mcp_proxy_for_aws.server {URL}", None),
        (f"pipx run mcp-proxy-for-aws==1.6.0 {URL}", "1.6.0"),
        (f"pipx run --spec mcp-proxy-for-aws==1.6.0 mcp-proxy-for-aws {URL}", "1.6.0"),
        (f"python3.12 -u -m mcp_proxy_for_aws.server {URL}", None),
        (f"py -3 -m mcp_proxy_for_aws.server {URL}", None),
        (f"python /src/mcp_proxy_for_aws/server.py {URL}", None),
        (f"/opt/venv/bin/mcp-proxy-for-aws {URL}", None),
        (f"docker run -i --rm public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws:1.6.4 {URL}", "1.6.4"),
        (f"docker run -it --rm -v a:b -e AWS_PROFILE public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws {URL}", None),
        (f"cmd /c uvx mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"wsl -d Ubuntu -- uvx mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"env AWS_PROFILE=x uvx mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"bash -lc uvx␣mcp-proxy-for-aws@1.6.0␣'{URL}'", "1.6.0"),
        (f"aws-vault exec dev -- uvx mcp-proxy-for-aws@1.6.0 {URL}", "1.6.0"),
        (f"npx -y mcp-proxy-for-aws {URL}", None),
    ],
)
def test_the_proxy_is_found_behind_what_starts_it(line: str, pinned: str | None) -> None:
    found = started(line)
    assert is_proxy(found, KNOWN.proxy)
    assert [one.text for one in found.words] == [URL]
    command, *args = [one.replace("␣", " ") for one in line.split()]
    proxy = entry(command, *args).proxy
    assert proxy is not None
    assert proxy.version == (version(pinned) if pinned else None)


@pytest.mark.parametrize(
    "line",
    [
        "uvx awslabs.aws-api-mcp-server@latest",
        "npx -y @modelcontextprotocol/server-filesystem /tmp",
        "node /x/server.js",
        "python server.py",
        "docker run -i --rm mcp/fetch",
        "bash -c cd␣/x;␣uvx␣mcp-proxy-for-aws␣y",
        "bash -c 'unclosed",
        "uvx",
        "docker run -i",
        "mcp-proxy --transport sse",
        "env env env env env env env env env env env uvx mcp-proxy-for-aws",
    ],
)
def test_what_is_not_the_proxy_is_left_alone(line: str) -> None:
    assert not is_proxy(started(line), KNOWN.proxy)


@pytest.mark.parametrize(
    ("line", "endpoint"),
    [
        ("npx -y mcp-remote https://knowledge-mcp.global.api.aws --header X:y", "https://knowledge-mcp.global.api.aws"),
        ("npx mcp-remote@latest https://x/mcp", "https://x/mcp"),
        ("uvx mcp-remote https://x/mcp", "https://x/mcp"),
        ("uvx fastmcp run https://x", "https://x"),
    ],
)
def test_a_bridge_reaches_the_url_that_it_is_given(line: str, endpoint: str) -> None:
    found = started(line)
    assert found.endpoint is not None
    assert found.endpoint.text == endpoint
    assert found.registry == ("npm" if line.startswith("npx") else "pypi")


def test_words_that_belong_apart_are_named() -> None:
    assert [one.kind for one in started(f"uvx mcp-proxy-for-aws@latest␣{URL}").problems] == ["words-joined"]
    assert started("uvx mcp-proxy-for-aws␣>=␣1.6").problems == ()


def test_a_proxy_that_refuses_its_arguments_sends_nothing() -> None:
    found = entry("uvx", "mcp-proxy-for-aws@1.6.4", URL, "--log-level", "warn")
    assert found.proxy is not None
    assert (found.proxy.starts, found.configuration) == (False, None)
    assert found.endpoint is not None
    assert entry("uvx", "mcp-proxy-for-aws@1.6.4", "--help").configuration is None
    assert entry("uvx", "mcp-proxy-for-aws@1.6.4", "http://x.example/mcp", "--region=us-east-1").configuration is None


def test_the_profile_after_a_default_variable_is_uncertain() -> None:
    found = entry("uvx", "mcp-proxy-for-aws", URL, "--profile", "${P}", client="kiro")
    assert (found.configuration, found.problems) == (None, ())


def test_what_runners_do_is_kept() -> None:
    image = "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws"
    assert started(f"docker run --rm {image} {URL}").interactive is False
    assert started(f"docker run --rm -ti {image} {URL}").interactive is True
    found = started(f"docker run -i -e A=1 --env B {image} {URL}")
    assert ({key: word.text for key, word in found.environment.items()}, list(found.passed)) == ({"A": "1"}, ["B"])


# signing --------------------------------------------------------------------------------------------------------------


def signing(found: Reach) -> tuple[str | None, How, str | None, How]:
    assert found.proxy is not None
    return (found.proxy.service.value, found.proxy.service.how, found.proxy.region.value, found.proxy.region.how)


def test_service_and_region_are_given_or_guessed_from_the_host_or_taken_from_the_environment() -> None:
    assert signing(entry("uvx", "mcp-proxy-for-aws", URL)) == ("aws-mcp", How.HOST, "us-east-1", How.HOST)
    assert signing(entry("uvx", "mcp-proxy-for-aws", URL, "--service", "iam", "--region", "eu-west-1")) == (
        "iam",
        How.GIVEN,
        "eu-west-1",
        How.GIVEN,
    )
    assert signing(entry("uvx", "mcp-proxy-for-aws", AIDEVOPS, env={"AWS_REGION": "us-east-1"})) == (
        "connect",
        How.HOST,
        "us-east-1",
        How.ENVIRONMENT,
    )
    assert signing(entry("uvx", "mcp-proxy-for-aws", AIDEVOPS))[2:] == (None, How.NOTHING)
    assert signing(entry("uvx", "mcp-proxy-for-aws", AIDEVOPS, environ={"AWS_REGION": "eu-west-1"}))[2] == "eu-west-1"


def profiles(found: Reach) -> list[str | None]:
    assert found.proxy is not None
    return [one.value for one in found.proxy.profiles]


def test_profiles_come_from_the_variable_before_the_option_before_the_usual_variable() -> None:
    args = ("mcp-proxy-for-aws@1.6.4", URL, "--profile", "b", "c")
    everything = {"AWS_MCP_PROXY_PROFILES": "x y", "AWS_PROFILE": "d"}
    assert profiles(entry("uvx", *args, env=everything)) == ["x", "y"]
    assert profiles(entry("uvx", *args, env={"AWS_PROFILE": "d"})) == ["b", "c"]
    assert profiles(entry("uvx", *args[:2], env={"AWS_PROFILE": "d"})) == ["d"]
    assert profiles(entry("uvx", *args[:2], environ={"AWS_PROFILE": "d"})) == ["d"]
    assert profiles(entry("uvx", "mcp-proxy-for-aws@1.5.0", URL, env=everything)) == ["d"]


def test_a_container_sees_only_the_variables_that_it_is_given() -> None:
    image = "public.ecr.aws/mcp-proxy-for-aws/mcp-proxy-for-aws"
    outside = {"AWS_PROFILE": "d"}
    assert profiles(entry("docker", "run", "-i", image, URL, env=outside)) == []
    assert profiles(entry("docker", "run", "-i", "-e", "AWS_PROFILE", image, URL, env=outside)) == ["d"]
    assert profiles(entry("docker", "run", "-i", "-e", "AWS_PROFILE=e", image, URL, env=outside)) == ["e"]


def test_codex_passes_on_only_what_is_named() -> None:
    environ = {"AWS_PROFILE": "d"}
    assert profiles(entry("uvx", "mcp-proxy-for-aws", URL, environ=environ, client="codex")) == []
    more = {"env_vars": ["AWS_PROFILE"]}
    assert profiles(entry("uvx", "mcp-proxy-for-aws", URL, environ=environ, client="codex", more=more)) == ["d"]


def test_the_region_of_operations_follows_the_version() -> None:
    def operations(*args: str) -> tuple[str | None, How]:
        proxy = entry("uvx", *args).proxy
        assert proxy is not None
        return proxy.operations.value, proxy.operations.how

    assert operations("mcp-proxy-for-aws@1.6.3", URL) == ("us-east-1", How.HOST)
    assert operations("mcp-proxy-for-aws@1.6.4", URL) == (None, How.CHAIN)
    assert operations("mcp-proxy-for-aws@1.6.4", URL, "--metadata", "AWS_REGION=eu-west-1") == (
        "eu-west-1",
        How.METADATA,
    )


def test_numbers_are_those_given_or_the_defaults_of_the_version() -> None:
    proxy = entry("uvx", "mcp-proxy-for-aws@1.1.5", URL, "--retries", "3", "--read-timeout", "9").proxy
    assert proxy is not None
    numbers = (proxy.retries, proxy.number("--read-timeout"), proxy.number("--timeout"), proxy.number("--tool-timeout"))
    assert numbers == (3, 9.0, 180.0, None)


HOSTS = [
    "aws-mcp.us-east-1.api.aws",
    "knowledge-mcp.global.api.aws",
    "connect.aidevops.us-east-1.api.aws",
    "x.gateway.bedrock-agentcore.eu-west-1.amazonaws.com",
    "bedrock-agentcore.eu-west-1.amazonaws.com",
    "bedrock-agentcore.cn-north-1.amazonaws.com.cn",
    "abc.lambda-url.us-east-1.on.aws",
    "localhost:8080",
    "mcp.example.com",
    "[::1]:80",
    "[::1",
    "",
]
ENDPOINTS = st.one_of(
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["https", "http", "ftp", "HTTPS"]),
        st.sampled_from(HOSTS),
        st.sampled_from(["", "/mcp"]),
    ),
    st.sampled_from(["aws-mcp.us-east-1.api.aws/mcp", "https:/x", "//x", "x"]),
)


@given(
    endpoint=ENDPOINTS,
    service=st.sampled_from([None, "", "iam"]),
    region=st.sampled_from([None, "", "eu-west-1"]),
    variable=st.sampled_from([None, "", "ap-south-1"]),
)
@example(endpoint=URL, service=None, region=None, variable="eu-west-1")
@settings(max_examples=400)
def test_the_signature_is_that_of_the_installed_proxy(
    endpoint: str, service: str | None, region: str | None, variable: str | None
) -> None:
    from mcp_proxy_for_aws import utils

    args = ["mcp-proxy-for-aws==" + importlib.metadata.version("mcp-proxy-for-aws"), endpoint]
    args += [] if service is None else [f"--service={service}"]
    args += [] if region is None else [f"--region={region}"]
    environ = {} if variable is None else {"AWS_REGION": variable}
    found = entry("uvx", *args, env=environ)
    region_of = getattr(utils, "determine_signing_region", utils.determine_aws_region)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_REGION", raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        try:
            theirs = (utils.determine_service_name(endpoint, service), region_of(endpoint, region))
        except ValueError:
            theirs = None
    assert found.proxy is not None
    configuration = found.configuration
    refused = [one.kind for one in found.problems if one.kind == "endpoint-refused"]
    if theirs is None:
        assert refused or found.proxy.service.value is None or found.proxy.region.value is None
    else:
        assert configuration is not None
        assert (configuration.service, configuration.region) == theirs
        assert refused == []


@pytest.mark.parametrize("host", [one for one in HOSTS if "[" not in one and one])
def test_a_guess_is_that_of_the_installed_proxy(host: str) -> None:
    from mcp_proxy_for_aws import utils

    assert guess(f"https://{host}/mcp") == utils.get_service_name_and_region_from_endpoint(f"https://{host}/mcp")


def test_requirements_are_read_as_written() -> None:
    read = requirement("mcp_proxy.for-AWS[x]>=1.2")
    assert read is not None
    assert (read.name, read.operator, read.wanted, read.version) == ("mcp-proxy-for-aws", ">=", "1.2", None)
    assert requirement("git+https://github.com/x/y") is None
    assert version("1.6.0") == version("1.6") < version("1.6.1")
