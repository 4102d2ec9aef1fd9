"""What was measured is compared with what is documented and with what is required, in words that are true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_diagnosis import SIGNED, UNSIGNED
from test_verdict import FALLBACK, KNOWLEDGE, NOTHING, ceiling

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.endpoints import Quota
from mcpdoctor.limits import caller, ceiling_facts, compare_ceilings, difference, documented, judge_ceilings, observed
from mcpdoctor.model import Ceiling, Configuration
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Stop

QUOTA = Quota(signed_per_s=10, unsigned_per_s=5, signed_sessions=90, signed_connections=100)


def rate(per_s: float | None, interval: tuple[float, float] | None, configuration: Configuration = SIGNED) -> Ceiling:
    return ceiling(
        configuration=configuration,
        limiter=Kind.RATE,
        rate_per_s=per_s,
        burst=10,
        interval=interval,
        lowest_refused=None,
        highest_clean=2,
    )


def facts(one: Ceiling, catalogue: Catalogue, required: int | None = None, *others: str) -> dict[str, Any]:
    return ceiling_facts(one, required, others, catalogue)


def call(outcome: Outcome, *, status: int | None = 200, error: str | None = None) -> Sample:
    return Sample(operation=Operation.CALL, outcome=outcome, sent_s=0, received_s=1, status=status, error=error)


# documented -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configuration", "quota", "words"),
    [
        (SIGNED, QUOTA, "10 requests/s, 90 sessions, 100 connections"),
        (UNSIGNED, QUOTA, "5 requests/s"),
        (SIGNED, Quota(signed_sessions=1), "1 session"),
        (SIGNED, Quota(unsigned_per_s=5), ""),
        (UNSIGNED, Quota(signed_per_s=10, signed_sessions=90), ""),
    ],
)
def test_a_quota_is_that_of_the_caller(configuration: Configuration, quota: Quota, words: str) -> None:
    assert documented(configuration, quota) == words


def test_what_was_seen_and_is_not_published_is_documented_nowhere(catalogue: Catalogue) -> None:
    assert catalogue.endpoints["aws-knowledge"].quota.unsigned_per_s == 1
    told = facts(FALLBACK, catalogue)
    assert (told["documented"], told["differs"], told["quota_source"]) == ("nothing", False, "")
    [compared] = compare_ceilings((FALLBACK,), None, catalogue)
    assert (compared.documented, compared.documented_as_of, compared.documented_source) == ("", "", "")


def test_what_is_documented_says_where_it_stands(catalogue: Catalogue) -> None:
    told = facts(ceiling(), catalogue)
    assert told["documented"] == "10 requests/s, 90 sessions, 100 connections"
    assert "aws-mcp-limits" in told["quota_source"]
    assert told["quota_as_of"] == catalogue.endpoints["aws-mcp"].quota.as_of


# observed and documented ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (ceiling(), "7 sessions at a time were observed where 90 sessions are documented"),
        (ceiling(highest_clean=1), "1 session at a time was observed where 90 sessions are documented"),
        (ceiling(highest_clean=90), None),
        (
            ceiling(limiter=Kind.IN_FLIGHT),
            "7 requests at a time were observed where 100 connections are documented",
        ),
        (ceiling(limiter=Kind.IN_FLIGHT, highest_clean=100), None),
        (
            ceiling(configuration=UNSIGNED, highest_clean=4),
            "a limit of 4 sessions at a time was observed where the only figure documented is 5 requests/s",
        ),
        (ceiling(limiter=Kind.NONE), None),
        (ceiling(limiter=Kind.UNKNOWN), None),
        (rate(3.0, (2.9, 3.1)), "3 requests/s were observed where 10 requests/s are documented"),
        (rate(10.5, (10.0, 11.0)), None),
        (rate(11.0, (10.5, 11.9)), None),  # nearly what is documented
        (rate(13.0, (12.5, 13.5)), "13 requests/s were observed where 10 requests/s are documented"),
        (rate(5.0, (4.8, 5.2), UNSIGNED), None),
        (rate(None, (1.0, 2.0)), None),
        (rate(3.0, None), None),
    ],
)
def test_only_what_really_differs_does(one: Ceiling, words: str | None) -> None:
    assert difference(one, QUOTA) == words


@pytest.mark.parametrize("kind", [Kind.SESSIONS, Kind.IN_FLIGHT, Kind.RATE, Kind.NONE])
def test_where_nothing_is_documented_nothing_differs(kind: Kind) -> None:
    assert difference(replace(rate(3.0, (2.9, 3.1)), limiter=kind), Quota()) is None


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (ceiling(), "7 sessions at a time"),
        (ceiling(highest_clean=1), "1 session at a time"),
        (ceiling(limiter=Kind.IN_FLIGHT), "7 requests at a time"),
        (ceiling(limiter=Kind.NONE, highest_clean=16), "no limit up to 16 at a time"),
        (rate(2.97, (2.9, 3.1)), "3 requests/s and 10 at once after a pause"),
    ],
)
def test_what_was_observed_is_half_a_sentence(one: Ceiling, words: str) -> None:
    assert observed(one) == words


def test_the_caller_is_named() -> None:
    assert [caller(SIGNED), caller(UNSIGNED), caller(KNOWLEDGE)] == ["signed with default", "unsigned", "unsigned"]


# required -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("required", "missing", "sufficient"), [(None, False, None), (4, False, True), (5, False, True), (6, True, False)]
)
def test_required_workers_are_compared_with_recommended_ones(
    catalogue: Catalogue, required: int | None, missing: bool, sufficient: bool | None
) -> None:
    assert facts(ceiling(), catalogue, required)["workers_missing"] is missing
    assert [one.sufficient for one in compare_ceilings((ceiling(),), required, catalogue)] == [sufficient]


def test_a_fallback_is_exempt_only_beside_what_it_stands_in_for(catalogue: Catalogue) -> None:
    assert facts(FALLBACK, catalogue, 5)["workers_missing"] is True
    assert facts(FALLBACK, catalogue, 5, "aws-mcp")["workers_missing"] is False
    assert facts(ceiling(), catalogue, 6, "aws-knowledge")["workers_missing"] is True


def test_the_one_worker_that_is_always_recommended_is_not_safe_where_nothing_was_accepted(catalogue: Catalogue) -> None:
    assert facts(ceiling(**NOTHING), catalogue, 1)["workers_missing"] is True


# what else is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "failed", "share", "failure"),
    [
        ((), 0, 0.0, "none"),
        ((call(Outcome.ACCEPTED), call(Outcome.REFUSED, status=429)), 0, 0.0, "none"),
        (
            (call(Outcome.ACCEPTED), call(Outcome.FAILED, status=404, error="http-404")),
            1,
            0.5,
            "HTTP 404",
        ),
        ((call(Outcome.REFUSED, status=503),), 0, 0.0, "HTTP 503"),
        (
            (
                *[call(Outcome.FAILED, status=None, error="timeout")] * 2,
                call(Outcome.FAILED, status=500, error="http-500"),
            ),
            3,
            1.0,
            "timeout",
        ),
    ],
)
def test_failures_are_counted_and_the_usual_one_is_named(
    catalogue: Catalogue, samples: tuple[Sample, ...], failed: int, share: float, failure: str
) -> None:
    told = facts(ceiling(samples=samples), catalogue)
    assert (told["failed_calls"], told["failed_share"], told["failure"]) == (failed, share, failure)


def test_facts_that_were_noted_while_measuring_are_there_too(catalogue: Catalogue) -> None:
    told = facts(ceiling(facts={"loses_session": True, "mcp_version": "1.30.0"}), catalogue)
    assert (told["loses_session"], told["mcp_version"], told["host"]) == (True, "1.30.0", "aws-mcp.us-east-1.api.aws")


def test_a_server_that_aws_does_not_run_has_a_host_and_no_quota(catalogue: Catalogue) -> None:
    own = ceiling("mine", Configuration(endpoint="http://127.0.0.1:3000/mcp"))
    told = facts(own, catalogue)
    assert (told["host"], told["documented"], told["differs"]) == ("127.0.0.1", "nothing", False)
    assert judge_ceilings((own,), None, catalogue) == ()


def test_a_finding_about_two_regions_stands_twice_and_about_the_same_once(catalogue: Catalogue) -> None:
    failing = ceiling(stopped=Stop.FAILURE, highest_clean=90)
    west = replace(failing, configuration=replace(SIGNED, endpoint="https://aws-mcp.us-west-2.api.aws/mcp"))
    found = judge_ceilings((failing, west, failing), None, catalogue)
    assert [(one.check, "us-west-2" in one.text) for one in found] == [
        ("ceiling-server-failing", False),
        ("ceiling-server-failing", True),
    ]
