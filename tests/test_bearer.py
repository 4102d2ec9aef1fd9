"""Bearer tokens: taken from a variable, sent, opened for what may be told, and shown nowhere."""

from __future__ import annotations

import base64
import json
import logging
import time
from types import SimpleNamespace

import hypothesis
import pytest
from conftest import Examine
from hypothesis import strategies
from logins import HEALTHY, VARIABLE, good

from mcpdoctor import bearer, engine, followups, lanes
from mcpdoctor.credentials import check_reference
from mcpdoctor.lab import FAULTS, Lab, logins, tokens
from mcpdoctor.model import Report, Unusable, Verdict
from mcpdoctor.render import report_json
from mcpdoctor.render.table import table

NOW = 1_795_000_000.0


def jwt(**claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts), "c2ln"]
    )


@pytest.mark.parametrize("name", ["MCP_TOKEN", "_x", "token2"])
def test_a_reference_names_a_variable(name: str) -> None:
    assert check_reference(f"bearer:{name}") == f"bearer:{name}"


@pytest.mark.parametrize(
    "name", ["", "a b", "1", "eyJhbGciOiJIUzI1NiJ9", jwt(sub="x"), "AKIALABEXAMPLEDEFLT2", "x" * 300]
)
def test_a_token_in_place_of_the_name_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(Unusable) as refused:
        check_reference(f"bearer:{name}")
    assert not name or len(name) < 4 or name not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is not set"),
        ("", "is empty"),
        ("Bearer abc", "begins with the word Bearer"),
        ("bearer abc", "begins with the word Bearer"),
        ("abc\n", "a blank or a line end"),
        (" abc", "a blank or a line end"),
        ("abc def", "a blank or a line end"),
        ('"abc"', "characters that no token has"),
        ("naïve", "characters that no token has"),
        ("AKIALABEXAMPLEDEFLT2", "a key or session token of AWS"),
        ("made/up+lab0Secret/EXAMPLE/0123456789abcd"[:40], "a key or session token of AWS"),
        ("IQoJb3JpZ2luX2VjEXAMPLE", "a key or session token of AWS"),
        ("x" * 40_000, "40000 characters"),
    ],
)
def test_what_cannot_be_a_token_is_named_and_not_shown(value: str | None, words: str) -> None:
    token = bearer.token_of("T", {} if value is None else {"T": value})
    assert token.header == ""
    assert token.facts["token_usable"] is False
    assert words in str(token.facts["token_problem"])
    assert not value or value not in repr(token)


@pytest.mark.parametrize("value", ["abc", "12|abcDEF", "a" * 40, "0123456789abcdef" * 2 + "01234567", jwt(sub="x")])
def test_any_other_word_is_sent_as_it_is(value: str) -> None:
    token = bearer.token_of("T", {"T": value})
    assert token.header == f"Bearer {value}"
    assert value not in repr(token)


def test_a_jwt_tells_who_made_it_for_whom_and_nothing_about_people() -> None:
    facts = bearer.claims_facts(
        jwt(
            iss="https://issuer.example",
            aud="https://mcp.example/mcp",
            azp="client",
            scope="a b",
            exp=NOW - 60,
            nbf=NOW - 3600,
            sub="person-1",
            email="p@example.com",
            name="A Person",
            username="ap",
        ),
        NOW,
    )
    assert facts == {
        "token_kind": "jwt",
        "token_issuer": "https://issuer.example",
        "token_audience": ("https://mcp.example/mcp",),
        "token_client": "client",
        "token_scopes": ("a", "b"),
        "token_expires_s": NOW - 60,
        "token_expires": "11:05 UTC on 2026-11-18",
        "token_valid_from_s": NOW - 3600,
        "token_valid_from": "10:06 UTC on 2026-11-18",
        "token_expired": True,
        "token_early": False,
        "token_note": "The token says: issued by https://issuer.example, for https://mcp.example/mcp, to the client "
        "client, with the scopes a, b, valid until 11:05 UTC on 2026-11-18.",
    }


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "soon", "aud": 3, "iss": None, "scope": {}},
        {"exp": 1e400, "nbf": -1, "aud": [1, None]},
        {"exp": True, "client_id": ""},
        {"exp": 10**30},
    ],
)
def test_claims_that_make_no_sense_are_left_out(claims: dict[str, object]) -> None:
    facts = bearer.claims_facts(jwt(**claims), NOW)
    assert set(facts) == {"token_kind", "token_note"}


@hypothesis.given(strategies.text(max_size=200))
def test_any_word_is_opened(word: str) -> None:
    assert bearer.claims_facts(word)["token_kind"] in ("jwt", "opaque")


def test_a_hostile_jwt_is_opened_safely() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=")
    assert bearer.claims_facts(f"{deep}.{deep}.x")["token_kind"] == "opaque"
    facts = bearer.claims_facts(jwt(iss="\x1b[31m" + "x" * 900, aud=["a"] * 900))
    assert "\x1b" not in repr(facts)
    assert len(repr(facts)) < 1500


@pytest.mark.parametrize(
    ("audience", "issuer", "resource", "issuers", "elsewhere"),
    [
        ("https://h/mcp", "https://i", "https://h/mcp", ("https://i/",), False),
        ("https://h", "https://i", "https://h/mcp", ("https://i/.well-known/openid-configuration",), False),
        ("api://name", "https://i", "https://h/mcp", ("https://i",), False),
        (["https://x/mcp", "account"], "https://i", "https://h/mcp", ("https://i",), False),
        ("https://x/mcp", "https://i", "https://h/mcp", ("https://i",), True),
        ("https://h/mcp", "https://other", "https://h/mcp", ("https://i",), True),
        ("https://h/mcp", "https://other", None, (), False),
    ],
)
def test_only_a_plain_difference_makes_a_token_one_for_another_server(
    audience: object, issuer: str, resource: str | None, issuers: tuple[str, ...], elsewhere: bool
) -> None:
    facts = bearer.claims_facts(jwt(aud=audience, iss=issuer))
    assert bearer.elsewhere(facts, resource, issuers)["token_elsewhere"] is elsewhere


# the whole way --------------------------------------------------------------------------------------------------------


def checks_of(report: Report) -> list[str]:
    return [finding.check for result in report.results for finding in result.findings]


def test_a_good_token_opens_a_session_and_nothing_more_is_asked(examine: Examine, lab: Lab) -> None:
    before = len(lab.requests)
    report = examine(HEALTHY, credentials=(f"bearer:{VARIABLE}",), environ={VARIABLE: tokens.mint(logins.AUDIENCE)})
    [result] = report.results
    assert (result.works, result.findings) == (True, ())
    assert {seen.method for seen in lab.requests[before:]} <= {"POST", "GET", "DELETE"}
    assert not [seen.path for seen in lab.requests[before:] if "well-known" in seen.path]


@pytest.mark.parametrize("fault", ["healthy/bearer", "auth/token-scope", "auth/no-challenge"])
@pytest.mark.parametrize("good", [True, False])
def test_a_token_is_shown_nowhere(
    fault: str, good: bool, examine: Examine, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    token = tokens.mint(logins.AUDIENCE, valid_s=3600 if good else -3600)
    with caplog.at_level(logging.DEBUG):
        report = examine(FAULTS[fault].url(), credentials=(f"bearer:{VARIABLE}",), environ={VARIABLE: token})
    shown = [
        repr(report),
        report_json.dumps(report),
        table(report, width=200, verbose=2),
        caplog.text,
        *capfd.readouterr(),
    ]
    for piece in (token, *token.split(".")[1:], "made-up-lab-person", "person@lab.test"):
        assert [piece in text for text in shown] == [False] * len(shown)


def test_a_token_that_cannot_be_sent_is_not_sent(examine: Examine, lab: Lab) -> None:
    before = len(lab.requests)
    report = examine(HEALTHY, credentials=(f"bearer:{VARIABLE}",), environ={VARIABLE: f"Bearer {good()}"})
    assert checks_of(report) == ["auth-token-malformed"]
    assert [seen.status for seen in lab.requests[before:]] == [401]  # asked without it


def test_an_expired_token_costs_no_look_at_the_metadata(examine: Examine, lab: Lab) -> None:
    before = len(lab.requests)
    token = tokens.mint(logins.AUDIENCE, valid_s=-3600)
    report = examine(HEALTHY, credentials=(f"bearer:{VARIABLE}",), environ={VARIABLE: token})
    assert checks_of(report) == ["auth-token-expired"]
    assert len(lab.requests) == before + 1


def test_a_token_that_ran_out_and_is_taken_is_no_finding(examine: Examine) -> None:
    token = tokens.mint("https://elsewhere.example/x", valid_s=-3600)
    report = examine(FAULTS["healthy/none"].url(), credentials=(f"bearer:{VARIABLE}",), environ={VARIABLE: token})
    assert (checks_of(report), report.results[0].works) == ([], True)


def test_the_time_is_that_of_the_server(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    # By the clock of this machine the token has run out; by that of the server it is only not known.
    ahead = SimpleNamespace(time=lambda: time.time() + 7200, perf_counter=time.perf_counter)
    for module in (engine, lanes, followups):
        monkeypatch.setattr(module, "time", ahead)
    token = tokens.mint("https://mcp.other.example/mcp", valid_s=3600)
    report = examine(HEALTHY, credentials=(f"bearer:{VARIABLE}",), environ={VARIABLE: token})
    assert checks_of(report) == ["auth-token-for-another"]


def test_a_token_is_taken_at_aws_beside_a_signature(examine: Examine) -> None:
    token = tokens.mint(tokens.SIGN_IN)
    report = examine("aws-mcp", credentials=("default", f"bearer:{VARIABLE}", "none"), environ={VARIABLE: token})
    assert [result.works for result in report.results] == [True] * 3
    [told] = {one.text for result in report.results for one in result.notes if one.check == "auth-ways"}
    assert told.endswith("signed: accepted; with a bearer token: accepted; without either: accepted.")


def test_a_token_of_the_wrong_kind_is_told_apart_at_a_gateway_with_signatures(examine: Examine, lab: Lab) -> None:
    report = examine(
        lab.endpoints["agentcore-gateway"],
        credentials=("default", f"bearer:{VARIABLE}"),
        environ={VARIABLE: tokens.mint(logins.AUDIENCE)},
    )
    signed, token = report.results
    assert signed.works is True
    assert [one.check for one in token.findings] == ["auth-method-mismatch"]
    assert "than a bearer token" in token.findings[0].text
    assert "refused (HTTP 403)" in next(one.text for one in signed.notes if one.check == "auth-ways")


def test_a_signature_at_a_server_that_wants_tokens_is_told_where_to_log_in(examine: Examine) -> None:
    report = examine(FAULTS["healthy/bearer"].url(), services=("aws-mcp",), regions=("us-east-1",))
    [result] = report.results
    assert [one.check for one in result.findings] == ["auth-wants-bearer"]
    assert "OAuth clients log in at https://login.lab.test." in result.findings[0].remedy
    assert result.stages[-1].verdict is Verdict.BLOCKED
