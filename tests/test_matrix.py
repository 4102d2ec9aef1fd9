"""A plan is what was asked for, cell by cell, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.matrix import MAX_CELLS, Axes, Call, expand
from mcpdoctor.model import Cause, Unusable
from mcpdoctor.suite import Suite, SuiteTarget

CATALOGUE = load()
US = "https://aws-mcp.us-east-1.api.aws/mcp"
EU = "https://aws-mcp.eu-west-1.api.aws/mcp"
KNOWLEDGE = "https://knowledge-mcp.global.api.aws"
GATEWAY = "https://my-gw.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp"
MINE = "https://mcp.example.com/mcp"


def axes(regions: str = "", services: str = "", credentials: str = "") -> Axes:
    return Axes(
        regions=tuple(regions.split()), services=tuple(services.split()), credentials=tuple(credentials.split())
    )


@pytest.mark.parametrize(
    ("targets", "given_axes", "plan"),
    [
        pytest.param(
            [],
            axes(),
            [
                f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=default",
                f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=none",
                f"aws-knowledge: {KNOWLEDGE} region=None service=None credential=none",
            ],
            id="nothing asked for is the suite aws-mcp",
        ),
        pytest.param(
            ["aws-mcp"],
            axes(),
            [f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=default"],
            id="a name takes everything from the catalogue",
        ),
        pytest.param(
            ["aws-mcp"],
            axes(regions="us-east-1 eu-west-1"),
            [
                f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=default",
                f"aws-mcp: {EU} region=eu-west-1 service=aws-mcp credential=default",
            ],
            id="regions of a name choose its URL",
        ),
        pytest.param(
            ["https://aws-mcp.{region}.api.aws/mcp"],
            axes(regions="us-east-1 eu-west-1", credentials="none"),
            [
                f"https://aws-mcp.{{region}}.api.aws/mcp: {US} region=us-east-1 service=aws-mcp credential=none",
                f"https://aws-mcp.{{region}}.api.aws/mcp: {EU} region=eu-west-1 service=aws-mcp credential=none",
            ],
            id="{region} in a URL expands",
        ),
        pytest.param(
            ["https://aws-mcp.{region}.api.aws/mcp"],
            axes(),
            [f"https://aws-mcp.{{region}}.api.aws/mcp: {US} region=us-east-1 service=aws-mcp credential=default"],
            id="{region} without a region is the home region",
        ),
        pytest.param(
            ["https://{region}.example.com/mcp"],
            axes(),
            [
                "https://{region}.example.com/mcp: https://us-east-1.example.com/mcp "
                "region=us-east-1 service=None credential=none"
            ],
            id="{region} of an unknown server is the home region",
        ),
        pytest.param(
            [EU],
            axes(regions="us-east-1"),
            [f"{EU}: {EU} region=us-east-1 service=aws-mcp credential=default"],
            id="another region beside a fixed URL is the signing region",
        ),
        pytest.param(
            [EU],
            axes(),
            [f"{EU}: {EU} region=eu-west-1 service=aws-mcp credential=default"],
            id="the region of a fixed URL is read off its host",
        ),
        pytest.param(
            ["aws-mcp"],
            axes(services="aws-mcp sts", credentials="default profile:dev"),
            [
                f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=default",
                f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=profile:dev",
                f"aws-mcp: {US} region=us-east-1 service=sts credential=default",
                f"aws-mcp: {US} region=us-east-1 service=sts credential=profile:dev",
            ],
            id="services x credentials",
        ),
        pytest.param(
            [GATEWAY],
            axes(),
            [f"{GATEWAY}: {GATEWAY} region=us-west-2 service=bedrock-agentcore credential=default"],
            id="a gateway by its URL",
        ),
        pytest.param(
            [MINE],
            axes(),
            [f"{MINE}: {MINE} region=None service=None credential=none"],
            id="a server that AWS does not run is not signed for",
        ),
        pytest.param(
            ["aws-knowledge"],
            axes(credentials="env profile:dev"),
            [f"aws-knowledge: {KNOWLEDGE} region=None service=None credential=none"],
            id="a server that takes no signature is tried without one",
        ),
        pytest.param(
            [MINE],
            axes(services="execute-api"),
            [f"{MINE}: {MINE} region=None service=execute-api credential=default"],
            id="unless somebody speaks of signing",
        ),
        pytest.param(
            [US, "aws-mcp", US, "aws-mcp"],
            axes(regions="us-east-1 us-east-1"),
            [
                f"{US}: {US} region=us-east-1 service=aws-mcp credential=default",
                f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=default",
            ],
            id="the same cell twice is one; under another target it is another",
        ),
        pytest.param(
            ["htps:/typo"],
            axes(),
            ["htps:/typo: htps:/typo region=None service=None credential=none"],
            id="a URL that cannot work is planned: stage parse says why",
        ),
    ],
)
def test_a_plan_is_what_was_asked_for(targets: list[str], given_axes: Axes, plan: list[str]) -> None:
    assert str(expand(targets, given_axes, CATALOGUE)).splitlines() == plan


def test_a_url_that_cannot_be_split_is_planned_too() -> None:
    plan = expand(["https://[::1/mcp"], Axes(), CATALOGUE)
    assert str(plan) == "https://[::1/mcp: https://[::1/mcp region=None service=None credential=none"


def test_a_mistyped_region_is_not_reported_as_a_missing_service() -> None:
    try:
        said = str(expand(["aws-mcp"], axes(regions="useast1"), CATALOGUE))
    except Unusable as refused:
        said = str(refused)
    assert "useast1" in said
    assert "--service" not in said


def test_the_default_suite_can_be_tried_with_a_profile() -> None:
    plan = expand([], axes(credentials="profile:dev"), CATALOGUE)
    assert f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=profile:dev" in str(plan).splitlines()


def test_a_mistyped_home_region_is_not_reported_as_a_missing_service() -> None:
    try:
        said = str(expand(["eks-mcp"], Axes(), CATALOGUE, home_region="useast1"))
    except Unusable as refused:
        said = str(refused)
    assert "--service" not in said


@pytest.mark.parametrize(
    ("home", "url"),
    [
        (None, US),
        ("eu-west-1", EU),
        ("eu-west-3", EU),
        ("us-west-1", "https://aws-mcp.us-west-2.api.aws/mcp"),
        ("nonsense", US),
    ],
)
def test_the_home_region_chooses_the_nearest_endpoint(home: str | None, url: str) -> None:
    plan = expand(["aws-mcp"], Axes(), CATALOGUE, home_region=home)
    assert [cell.configuration.endpoint for cell in plan.cells] == [url]


def test_a_region_that_was_given_goes_before_the_home_region() -> None:
    plan = expand(["aws-mcp"], axes(regions="us-east-1"), CATALOGUE, home_region="eu-west-1")
    assert [cell.configuration.endpoint for cell in plan.cells] == [US]


@pytest.mark.parametrize(
    ("target", "given_axes", "message"),
    [
        ("aws-mpc", axes(), "aws-mpc is no target; did you mean aws-mcp?"),
        ("zzzzzz", axes(), "zzzzzz is no target; known targets: aws-mcp, aws-knowledge, "),
        (
            "agentcore-gateway",
            axes(),
            "The URL of agentcore-gateway holds a part that only you know; give the whole URL: "
            "https://{gateway}.gateway.bedrock-agentcore.{region}.amazonaws.com/mcp, or its ARN.",
        ),
        (
            MINE,
            axes(credentials="default"),
            f"Nothing says which SigV4 service signs for {MINE}; add --service NAME, or --credential none.",
        ),
        (MINE, axes(regions="us-east-1"), f"Nothing says which SigV4 service signs for {MINE}; "),
    ],
)
def test_what_cannot_be_tried_is_refused_with_the_way_out(target: str, given_axes: Axes, message: str) -> None:
    with pytest.raises(Unusable) as refused:
        expand([target], given_axes, CATALOGUE)
    assert str(refused.value).startswith(message)


def test_what_only_a_url_names_is_not_offered_as_a_target() -> None:
    with pytest.raises(Unusable) as refused:
        expand(["zzzzzz"], Axes(), CATALOGUE)
    assert "lambda-url" not in str(refused.value)
    assert "agentcore-gateway" in str(refused.value)


RUNTIME = "arn:aws:bedrock-agentcore:eu-west-1:111122223333:runtime/my_agent-a1b2c3"
RUNTIME_URL = (
    "https://bedrock-agentcore.eu-west-1.amazonaws.com/runtimes/"
    "arn%3Aaws%3Abedrock-agentcore%3Aeu-west-1%3A111122223333%3Aruntime%2Fmy_agent-a1b2c3/invocations?qualifier=DEFAULT"
)
GATEWAY = "arn:aws:bedrock-agentcore:us-west-2:111122223333:gateway/my-gw-a1b2c3"
GATEWAY_URL = "https://my-gw-a1b2c3.gateway.bedrock-agentcore.us-west-2.amazonaws.com/mcp"


@pytest.mark.parametrize(
    ("targets", "owned", "url", "region"),
    [
        (["agentcore-runtime"], [RUNTIME], RUNTIME_URL, "eu-west-1"),
        (["agentcore-runtime"], [RUNTIME.replace(":", "%3A").replace("/", "%2F")], RUNTIME_URL, "eu-west-1"),
        ([], [RUNTIME], RUNTIME_URL, "eu-west-1"),
        ([RUNTIME], [], RUNTIME_URL, "eu-west-1"),
        (["agentcore-gateway"], [GATEWAY], GATEWAY_URL, "us-west-2"),
        (["agentcore-gateway"], ["my-gw-a1b2c3"], GATEWAY_URL.replace("us-west-2", "us-east-1"), "us-east-1"),
        ([], [GATEWAY], GATEWAY_URL, "us-west-2"),
        (
            ["agentcore-gateway"],
            ["arn:aws-cn:bedrock-agentcore:cn-north-1:111122223333:gateway/gw-1"],
            "https://gw-1.gateway.bedrock-agentcore.cn-north-1.amazonaws.com.cn/mcp",
            "cn-north-1",
        ),
        (
            ["agentcore-gateway"],
            ["arn:aws-us-gov:bedrock-agentcore:us-gov-west-1:111122223333:gateway/gw-1"],
            "https://gw-1.gateway.bedrock-agentcore.us-gov-west-1.amazonaws.com/mcp",
            "us-gov-west-1",
        ),
    ],
)
def test_an_arn_becomes_the_url_of_its_server(targets: list[str], owned: list[str], url: str, region: str) -> None:
    [cell] = expand(targets, Axes(), CATALOGUE, owned=owned).cells
    one = cell.configuration
    assert (one.endpoint, one.region, one.service) == (url, region, "bedrock-agentcore")
    assert cell.target == (targets[0] if targets else cell.endpoint and cell.endpoint.name)


def test_an_id_is_of_the_region_that_was_asked_for() -> None:
    plan = expand(["agentcore-gateway"], axes(regions="eu-west-1"), CATALOGUE, owned=["gw-1"])
    [one] = [cell.configuration for cell in plan.cells]
    assert one.endpoint == "https://gw-1.gateway.bedrock-agentcore.eu-west-1.amazonaws.com/mcp"
    assert one.region == "eu-west-1"


def test_several_arns_are_several_configurations() -> None:
    plan = expand(["agentcore-runtime", "aws-mcp"], Axes(), CATALOGUE, owned=[RUNTIME, RUNTIME.replace("my_", "no_")])
    assert [cell.target for cell in plan.cells] == ["agentcore-runtime", "agentcore-runtime", "aws-mcp"]


@pytest.mark.parametrize(
    ("targets", "owned", "message"),
    [
        (
            ["agentcore-runtime"],
            ["nonsense"],
            "'nonsense' is not the ARN of an AgentCore Runtime; it looks like arn:aws:",
        ),
        (["agentcore-runtime"], [""], "'' is not the ARN of an AgentCore Runtime; "),
        (["agentcore-runtime"], [f"{RUNTIME}/runtime-endpoint/DEFAULT"], "/DEFAULT' is not the ARN of an AgentCore "),
        (
            ["agentcore-runtime"],
            [RUNTIME.replace("111122223333", "1111")],
            "' is not the ARN of an AgentCore Runtime; ",
        ),
        (["agentcore-runtime"], [f"{RUNTIME}/../../x"], "' is not the ARN of an AgentCore Runtime; "),
        (["agentcore-runtime"], [GATEWAY], "That is the ARN of an AgentCore Gateway; the target for it is agentcore-"),
        (["agentcore-gateway"], ["a/b"], "'a/b' is not the ARN of an AgentCore Gateway; "),
        (["agentcore-gateway"], ["evil.example#"], "'evil.example#' is not the ARN of an AgentCore Gateway; "),
        (["aws-mcp"], [RUNTIME], "An ARN is for a server of yours; name agentcore-gateway or agentcore-runtime as "),
        ([], ["arn:aws:s3:::bucket"], "'arn:aws:s3:::bucket' is not the ARN of an MCP server; it looks like "),
        (["arn:aws:s3:::bucket"], [], "'arn:aws:s3:::bucket' is not the ARN of an MCP server; it looks like "),
        (
            ["agentcore-runtime"],
            [],
            "The URL of agentcore-runtime holds a part that only you know; give the whole URL: ",
        ),
    ],
)
def test_a_bad_arn_is_refused_with_one_sentence(targets: list[str], owned: list[str], message: str) -> None:
    with pytest.raises(Unusable) as refused:
        expand(targets, Axes(), CATALOGUE, owned=owned)
    assert message in str(refused.value)
    assert str(refused.value).count(". ") == 0


def test_a_url_whose_path_is_wrong_is_signed_for_all_the_same() -> None:
    url = RUNTIME_URL.replace("%3A", ":").replace("%2F", "/")
    [cell] = expand([url], Axes(), CATALOGUE).cells
    assert (cell.configuration.region, cell.configuration.service) == ("eu-west-1", "bedrock-agentcore")


def test_a_matrix_as_large_as_allowed_is_planned_and_a_larger_one_refused() -> None:
    services = tuple(f"s{number}" for number in range(MAX_CELLS // 2))
    plan = expand(["aws-mcp"], Axes(services=services, credentials=("default", "env")), CATALOGUE)
    assert len(plan.cells) == MAX_CELLS
    with pytest.raises(Unusable, match=f"more than {MAX_CELLS} configurations"):
        expand(["aws-mcp", US], Axes(services=services, credentials=("default", "env")), CATALOGUE)


def test_a_suite_brings_its_axes_and_what_it_expects() -> None:
    suite = Suite(
        name="mine",
        title="Mine",
        targets=(
            SuiteTarget(target="aws-mcp", regions=("eu-west-1",), credentials=("default", "none")),
            SuiteTarget(target=US, services=("sts",), expect=Cause.WRONG_SERVICE),
        ),
    )
    plan = expand([], Axes(), CATALOGUE, suite=suite)
    assert str(plan).splitlines() == [
        f"aws-mcp: {EU} region=eu-west-1 service=aws-mcp credential=default",
        f"aws-mcp: {EU} region=eu-west-1 service=aws-mcp credential=none",
        f"{US}: {US} region=us-east-1 service=sts credential=default",
    ]
    assert [cell.expected for cell in plan.cells] == [None, None, Cause.WRONG_SERVICE]


def test_axes_of_the_user_replace_those_of_a_suite_and_targets_go_first() -> None:
    suite = Suite(name="mine", title="Mine", targets=(SuiteTarget(target="aws-mcp", credentials=("default", "none")),))
    plan = expand([US], axes(credentials="env"), CATALOGUE, suite=suite)
    assert str(plan).splitlines() == [
        f"{US}: {US} region=us-east-1 service=aws-mcp credential=env",
        f"aws-mcp: {US} region=us-east-1 service=aws-mcp credential=env",
    ]


def test_a_call_goes_to_every_cell() -> None:
    call = Call(tool="aws___list_regions", arguments={"a": 1})
    plan = expand([], Axes(), CATALOGUE, call=call)
    assert [cell.call for cell in plan.cells] == [call] * len(plan.cells)


def test_a_cell_knows_its_entry_of_the_catalogue() -> None:
    plan = expand([US, MINE], Axes(), CATALOGUE)
    assert [cell.endpoint and cell.endpoint.name for cell in plan.cells] == ["aws-mcp", None]


@pytest.mark.parametrize("name", sorted(CATALOGUE.suites))
def test_every_suite_of_the_catalogue_can_be_planned(name: str, catalogue: Catalogue) -> None:
    plan = expand([], Axes(), catalogue, suite=catalogue.suites[name])
    assert {cell.target for cell in plan.cells} == {line.target for line in catalogue.suites[name].targets}


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=3).map(tuple)


@given(
    targets=st.lists(
        st.sampled_from(["aws-mcp", "eks-mcp", US, EU, GATEWAY, "https://aws-mcp.{region}.api.aws/mcp"]), min_size=1
    ),
    given_axes=st.builds(
        Axes,
        regions=some("us-east-1", "eu-west-1", "mx-north-9"),
        services=some("aws-mcp", "sts"),
        credentials=some("default", "env", "none", "profile:x"),
    ),
    home=st.none() | st.sampled_from(["eu-west-1", "sa-east-1", ""]),
)
def test_expanding_is_repeatable_and_gives_nothing_twice(
    targets: Sequence[str], given_axes: Axes, home: str | None
) -> None:
    plan = expand(targets, given_axes, CATALOGUE, home_region=home)
    assert plan == expand(targets, given_axes, CATALOGUE, home_region=home)
    cells = [(cell.target, cell.configuration) for cell in plan.cells]
    assert len(cells) == len(set(cells))
    assert [cell.target for cell in plan.cells if "{" in cell.configuration.endpoint] == []
    assert {target for target, _ in cells} == set(targets)
