"""The catalogue is read strictly, and knows which server a URL means."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcpdoctor.catalogue import Catalogue, FactRule, load, read_toml
from mcpdoctor.endpoints import nearest_region, nearest_tool
from mcpdoctor.model import Cause, Severity, Stage, Unusable, Verdict

CHECK = """
[my-check]
title    = "Mine"
cause    = "timeout"
severity = "warning"
stage    = "http"
since    = "0.1.0"
text     = "It is {status}."
remedy   = "Wait."
lab      = "http/silent"
[[my-check.when]]
status = 418
fact.clock_skew_s = { above = 3 }
"""

ENDPOINT = """
[mine]
title = "My server"
url = "https://mine.{region}.example.com/mcp"
source = "https://example.com"
as_of = "2026-09"
"""


def overlay(tmp_path: Path, name: str, text: str | bytes) -> Path:
    """A directory like `checks/` with one file in it."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path


def refusal(directory: Path) -> str:
    with pytest.raises(Unusable) as refused:
        load(directory)
    return str(refused.value)


# reading --------------------------------------------------------------------------------------------------------------


def test_an_overlay_adds_a_check_with_its_values_read_as_their_types(tmp_path: Path, catalogue: Catalogue) -> None:
    loaded = load(overlay(tmp_path, "http.toml", CHECK))
    check = loaded.checks["my-check"]
    assert set(loaded.checks) == {*catalogue.checks, "my-check"}
    assert (check.cause, check.severity, check.stage, check.on) == (
        Cause.TIMEOUT,
        Severity.WARNING,
        (Stage.HTTP,),
        Verdict.FAILED,
    )
    assert check.when[0].status == (418,)
    assert check.when[0].fact == {"clock_skew_s": FactRule(above=3.0)}


def test_an_overlay_replaces_the_entry_of_the_same_name_as_a_whole(tmp_path: Path, catalogue: Catalogue) -> None:
    text = CHECK.replace("my-check", "http-timeout")
    loaded = load(overlay(tmp_path, "http.toml", text))
    assert loaded.checks["http-timeout"].title == "Mine"
    assert loaded.checks["http-timeout"].when[0].failure == ()
    assert set(loaded.checks) == set(catalogue.checks)
    assert catalogue.checks["http-timeout"].title != "Mine"


def test_an_overlay_adds_endpoints_and_suites(tmp_path: Path) -> None:
    overlay(tmp_path, "endpoints.toml", ENDPOINT)
    overlay(tmp_path, "suites/mine.toml", 'title = "Mine"\n[[targets]]\ntarget = "mine"\nexpect = "timeout"\n')
    loaded = load(tmp_path)
    match = loaded.match("https://mine.eu-west-3.example.com/mcp")
    assert match is not None
    assert (match.endpoint.name, match.region) == ("mine", "eu-west-3")
    assert [(one.target, one.expect) for one in loaded.suites["mine"].targets] == [("mine", Cause.TIMEOUT)]


def test_a_file_of_another_name_in_an_overlay_is_not_read(tmp_path: Path, catalogue: Catalogue) -> None:
    assert set(load(overlay(tmp_path, "notes.toml", "this is = = no TOML")).checks) == set(catalogue.checks)


def test_an_overlay_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == (
        f"{tmp_path / 'nowhere'}: no such directory; --checks takes a directory of the form of checks/."
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("remedy ", "remdy ", "http.toml: [my-check]: unknown key remdy; did you mean remedy?"),
        ("title ", "zzz ", "http.toml: [my-check]: unknown key zzz; known: slug, title, cause, "),
        ("status =", "statsu =", "http.toml: [my-check] when: unknown key statsu; did you mean status?"),
        ("above =", "abov =", "http.toml: [my-check] when fact.clock_skew_s: unknown key abov; did you mean above?"),
        ("418", '"418"', "http.toml: [my-check] when status: '418' is not of the right type (int wanted)."),
        ("418", "true", "http.toml: [my-check] when status: True is not of the right type (int wanted)."),
        ("418", "418.0", "http.toml: [my-check] when status: 418.0 is not of the right type (int wanted)."),
        ('"Mine"', "5", "http.toml: [my-check] title: 5 is not of the right type (str wanted)."),
        ("above = 3", 'above = "3"', "fact.clock_skew_s above: '3' is not of the right type (float wanted)."),
        ("above = 3", "above = true", "fact.clock_skew_s above: True is not of the right type (float wanted)."),
        ('"timeout"', '"tiemout"', "http.toml: [my-check] cause: tiemout is not one of url-invalid, insecure-url, "),
        ('"warning"', '"fatal"', "http.toml: [my-check] severity: fatal is not one of error, warning, info."),
        ('= "http"', '= ["http", "ftp"]', "http.toml: [my-check] stage: ftp is not one of parse, dns, tcp, "),
        ('remedy   = "Wait."', "", "http.toml: [my-check]: remedy is missing."),
        ("since ", 'after = ["no-such"]\nsince ', "[my-check]: after names no-such, which is no check."),
        ("status = 418", 'body = "(unclosed"', "[my-check]: '(unclosed' is no regular expression: "),
        ("status = 418", 'header.location = "*"', "[my-check]: '*' is no regular expression: "),
    ],
)
def test_a_mistake_in_a_check_is_refused_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CHECK
    assert message in refusal(overlay(tmp_path, "http.toml", CHECK.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("quotas = 1", "endpoints.toml: [mine]: unknown key quotas; did you mean quota?"),
        ("[mine.quota]\nparalel = 2", "endpoints.toml: [mine] quota: unknown key paralel; did you mean parallel?"),
        ('strict = "yes"', "endpoints.toml: [mine] strict: 'yes' is not of the right type (bool wanted)."),
        ('instead = ["nobody"]', "[mine]: instead names nobody, which is no endpoint."),
        ('inferred = ["uri"]', "[mine]: inferred names uri, which is no key of an endpoint."),
        ("[mine.actions]\nconect = []", "endpoints.toml: [mine] actions: unknown key conect; did you mean connect?"),
        ('[[mine.headers]]\nname = "X"', "endpoints.toml: [mine] headers: text is missing."),
    ],
)
def test_a_mistake_in_an_endpoint_is_refused_with_its_place(tmp_path: Path, addition: str, message: str) -> None:
    assert message in refusal(overlay(tmp_path, "endpoints.toml", ENDPOINT + addition))


def test_a_key_outside_of_every_table_is_refused(tmp_path: Path) -> None:
    directory = overlay(tmp_path, "auth.toml", 'title = "x"')
    assert refusal(directory) == f"{tmp_path / 'auth.toml'}: title stands outside of a table; every entry is a [table]."


@pytest.mark.parametrize("name", ["http.toml", "endpoints.toml", "suites/mine.toml"])
def test_broken_toml_is_refused_with_line_and_column(tmp_path: Path, name: str) -> None:
    directory = overlay(tmp_path, name, "# a comment\n[fine]\ntitle = = 5\n")
    assert refusal(directory).startswith(f"{tmp_path / name}:3:9: not valid TOML: ")


def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    directory = overlay(tmp_path, "http.toml", "# fine: é\n".encode() + "# not: é".encode("latin-1"))
    assert refusal(directory) == f"{tmp_path / 'http.toml'}:2: not UTF-8; save the file in UTF-8."


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load(overlay(tmp_path, "http.toml", CHECK.encode("utf-8-sig"))).checks["my-check"].title == "Mine"


def test_a_missing_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Unusable) as refused:
        read_toml(tmp_path / "none.toml")
    assert str(refused.value) == f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory."


def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot be read"):
        read_toml(tmp_path)


def test_a_suite_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    text = 'title = "x"\n[[targets]]\ntarget = "aws-mcp"\nexpects = "timeout"'
    directory = overlay(tmp_path, "suites/mine.toml", text)
    assert "mine.toml targets: unknown key expects; did you mean expect?" in refusal(directory)


# match ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name", "region"),
    [
        ("https://aws-mcp.us-east-1.api.aws/mcp", "aws-mcp", "us-east-1"),
        ("https://aws-mcp.us-gov-west-1.api.aws/mcp", "aws-mcp", "us-gov-west-1"),
        ("https://aws-mcp.us-east-1.api.aws:443/elsewhere?oauth=initialize", "aws-mcp", "us-east-1"),
        ("HTTPS://AWS-MCP.US-EAST-1.API.AWS/mcp", "aws-mcp", "us-east-1"),
        ("https://knowledge-mcp.global.api.aws", "aws-knowledge", None),
        ("https://knowledge-mcp.global.api.aws/mcp", "aws-knowledge", None),
        ("https://eks-mcp.eu-west-1.api.aws/mcp", "eks-mcp", "eu-west-1"),
        ("https://ecs-mcp.eu-west-1.api.aws/mcp", "ecs-mcp", "eu-west-1"),
        (
            "https://sagemaker-unified-studio-mcp.us-east-1.api.aws/spark-troubleshooting/mcp",
            "spark-troubleshooting",
            "us-east-1",
        ),
        ("https://sagemaker-unified-studio-mcp.us-west-2.api.aws/spark-upgrade/mcp", "spark-upgrade", "us-west-2"),
        ("https://sagemaker-unified-studio-mcp.us-west-2.api.aws/spark-upgrad/mcp", "spark-upgrade", "us-west-2"),
        ("https://gw-1.gateway.bedrock-agentcore.cn-north-1.amazonaws.com.cn/mcp", "agentcore-gateway", "cn-north-1"),
        ("https://abc123.execute-api.cn-northwest-1.amazonaws.com.cn/prod/mcp", "api-gateway", "cn-northwest-1"),
        (
            "https://my-gw-1a2b.gateway.bedrock-agentcore.eu-central-1.amazonaws.com/mcp",
            "agentcore-gateway",
            "eu-central-1",
        ),
        (
            "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/"
            "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fx/invocations?qualifier=DEFAULT",
            "agentcore-runtime",
            "us-west-2",
        ),
        ("https://abc123.lambda-url.ap-south-1.on.aws/mcp", "lambda-url", "ap-south-1"),
        ("https://abc123.execute-api.us-east-1.amazonaws.com/prod/mcp", "api-gateway", "us-east-1"),
    ],
)
def test_a_host_of_aws_is_recognised(catalogue: Catalogue, url: str, name: str, region: str | None) -> None:
    match = catalogue.match(url)
    assert match is not None
    assert (match.endpoint.name, match.region) == (name, region)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil-aws-mcp.us-east-1.api.aws.example.com/mcp",
        "https://evil-aws-mcp.us-east-1.api.aws/mcp",
        "https://aws-mcp.us-east-1.api.aws.evil.com/mcp",
        "https://aws-mcp.us-east-1.api.awsome.com/mcp",
        "https://aws-mcpxus-east-1xapixaws/mcp",
        "https://x.aws-mcp.us-east-1.api.aws/mcp",
        "https://aws-mcp.global.api.aws/mcp",
        "https://aws-mcp.us-east-1.evil.com.api.aws/mcp",
        "https://aws-mcp.us-east-1.api.aws@evil.com/mcp",
        "https://evil.com/aws-mcp.us-east-1.api.aws/mcp",
        "https://evil.com?aws-mcp.us-east-1.api.aws",
        "https://a.b.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp",
        "https://.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp",
        "https://bedrock-agentcore.us-east-1.amazonaws.com/somewhere/else",
        "https://example.com/mcp",
        "http://127.0.0.1:8000/mcp",
        "not a url",
        "",
    ],
)
def test_a_look_alike_is_not_taken_for_a_host_of_aws(catalogue: Catalogue, url: str) -> None:
    assert catalogue.match(url) is None


def test_every_template_matches_its_own_endpoint_in_every_region(catalogue: Catalogue) -> None:
    for endpoint in catalogue.endpoints.values():
        for region in endpoint.regions or ("eu-north-1",):
            url = re.sub(r"{\w+}", "abc123", endpoint.url_for(region))
            match = catalogue.match(url)
            assert match is not None, url
            assert (match.endpoint.name, match.region) == (
                endpoint.name,
                region if "{region}" in endpoint.url else None,
            )


@pytest.mark.parametrize("url", ["https://[::1/mcp", "https://\u2100.com/mcp"])
def test_a_url_that_cannot_be_split_matches_nothing(catalogue: Catalogue, url: str) -> None:
    assert catalogue.match(url) is None


# suggest --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "suggested"),
    [
        (
            "https://knowledge-mcp.us-east-1.api.aws/mcp",
            ("https://aws-mcp.us-east-1.api.aws/mcp", "https://knowledge-mcp.global.api.aws"),
        ),
        (
            "https://aws-knowledge-mcp.eu-central-2.api.aws",
            ("https://aws-mcp.eu-central-1.api.aws/mcp", "https://knowledge-mcp.global.api.aws"),
        ),
        (
            "https://aws-mcp.global.api.aws/mcp",
            ("https://aws-mcp.us-east-1.api.aws/mcp", "https://knowledge-mcp.global.api.aws"),
        ),
        ("https://aws-mcp.us-east-2.api.aws/mcp", ("https://aws-mcp.us-east-1.api.aws/mcp",)),
        ("https://aws-mcp.us-west-1.api.aws/mcp", ("https://aws-mcp.us-west-2.api.aws/mcp",)),
        ("https://aws-mcp.eu-central-2.api.aws/mcp", ("https://aws-mcp.eu-central-1.api.aws/mcp",)),
        ("https://aws-mcp.eu-west-2.api.aws/wrong", ("https://aws-mcp.eu-west-2.api.aws/mcp",)),
        ("https://knowledge-mcp.global.api.was", ("https://knowledge-mcp.global.api.aws",)),
        ("https://example.com/mcp", ()),
        ("https://127.0.0.1:8000/mcp", ()),
        ("", ()),
    ],
)
def test_what_was_meant_is_suggested(catalogue: Catalogue, url: str, suggested: tuple[str, ...]) -> None:
    assert catalogue.suggest(url) == suggested


@pytest.mark.parametrize(
    "url",
    [
        "https://aws-mpc.us-east-1.api.aws/mcp",
        "https://aws-mcp.us-east-1.api.was/mcp",
        "https://aws-mcp.us-east1.api.aws",
    ],
)
def test_a_typing_error_in_the_host_leads_to_the_right_one_first(catalogue: Catalogue, url: str) -> None:
    assert catalogue.suggest(url)[0] == "https://aws-mcp.us-east-1.api.aws/mcp"


@pytest.mark.parametrize(
    "url",
    [
        "https://my-gw-1a2b.gateway.bedrock-agentcore.us-east-1.amazonaws.com/mcp",
        "https://bedrock-agentcore.us-west-2.amazonaws.com/runtimes/arn%3Aaws/invocations",
        "https://abc123.lambda-url.ap-south-1.on.aws/mcp",
    ],
)
def test_no_suggestion_holds_a_placeholder(catalogue: Catalogue, url: str) -> None:
    assert [one for one in catalogue.suggest(url) if "{" in one] == []


def test_the_host_that_was_written_is_not_suggested_again(catalogue: Catalogue) -> None:
    assert catalogue.suggest("https://eks-mcp.us-esat-1.api.aws/mcp") != ("https://eks-mcp.us-esat-1.api.aws/mcp",)


_LABELS = st.lists(
    st.sampled_from(["aws-mcp", "knowledge-mcp", "us-east-1", "eu-west-9", "global", "api", "aws", "gateway", "x"]),
    max_size=7,
)


@given(labels=_LABELS, path=st.sampled_from(["", "/", "/mcp", "/runtimes/x/invocations"]))
@example(labels=["knowledge-mcp", "us-east-1", "api", "aws"], path="/mcp")
def test_what_is_matched_or_suggested_is_always_a_host_of_the_catalogue(labels: list[str], path: str) -> None:
    known = load_once()
    url = f"https://{'.'.join(labels)}{path}"
    match = known.match(url)
    host = urlsplit(url).hostname or ""
    if match is not None:
        assert host.endswith((".api.aws", ".amazonaws.com", ".on.aws"))
    for suggestion in known.suggest(url):
        found = known.match(suggestion)
        assert found is not None
        assert found.endpoint.name in known.endpoints


def load_once(_cache: list[Catalogue] = []) -> Catalogue:  # noqa: B006  # hypothesis and fixtures do not mix
    if not _cache:
        _cache.append(load())
    return _cache[0]


# nearest_region -------------------------------------------------------------------------------------------------------

REGIONS = ("us-east-1", "us-west-2", "ap-southeast-1", "ap-northeast-1", "eu-central-1", "eu-west-1", "eu-west-2")


@pytest.mark.parametrize(
    ("region", "nearest"),
    [
        ("eu-west-2", "eu-west-2"),
        ("eu-west-3", "eu-west-1"),
        ("eu-central-2", "eu-central-1"),
        ("eu-north-1", "eu-central-1"),
        ("ap-southeast-4", "ap-southeast-1"),
        ("ap-northeast-3", "ap-northeast-1"),
        ("us-west-1", "us-west-2"),
        ("us-gov-west-1", "us-east-1"),
        ("sa-east-1", "us-east-1"),
        ("", "us-east-1"),
        ("nonsense", "us-east-1"),
    ],
)
def test_the_nearest_region_shares_the_longest_beginning(region: str, nearest: str) -> None:
    assert nearest_region(region, REGIONS) == nearest


def test_without_a_list_of_regions_the_region_stands() -> None:
    assert nearest_region("eu-west-3", ()) == "eu-west-3"


@given(region=st.text(max_size=20) | st.from_regex(r"[a-z]{2}-[a-z]+-\d", fullmatch=True))
def test_the_nearest_region_is_always_one_that_exists(region: str) -> None:
    assert nearest_region(region, REGIONS) in REGIONS


@pytest.mark.parametrize(
    ("tool", "near"),
    [
        ("search", "search"),
        ("serch", "search"),
        ("get_tasks", "aws___get_tasks"),
        ("aws___get_task", "aws___get_tasks"),
        ("aws___call_aws", None),  # only the prefix is alike
        ("", None),
    ],
)
def test_a_tool_is_near_by_what_follows_the_prefix(tool: str, near: str | None) -> None:
    assert nearest_tool(tool, ("aws___get_tasks", "aws___run_script", "search")) == near


@pytest.mark.parametrize(
    ("tool", "near"),
    [("orders___serch", "orders___search"), ("stock___serch", "stock___search"), ("search", "stock___search")],
)
def test_the_prefix_decides_between_tools_that_are_else_the_same(tool: str, near: str) -> None:
    assert nearest_tool(tool, ("stock___search", "orders___search", "stock___list")) == near


def test_every_pattern_of_the_catalogue_is_a_regular_expression(
    catalogue: Catalogue,
) -> None:
    patterns = [
        pattern
        for check in catalogue.checks.values()
        for condition in check.when
        for pattern in (condition.body, *condition.header.values())
        if pattern is not None
    ]
    assert len(patterns) > 10
    for pattern in patterns:
        re.compile(pattern)
