"""Who answered, for whom and until when: read off what is there, without a call."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from credential_scenes import (
    ACCOUNT_OF_UNKNOWN,
    LOGIN,
    UNKNOWN,
    UNKNOWN_ID,
    base,
    exported,
    logged_in,
    logged_in_to_sso,
    role,
    sso,
)
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor import provenance
from mcpdoctor.credentials import Resolved, circumstances, resolve, surroundings
from mcpdoctor.lab import Lab, accounts, providers

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def here(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose botocore talks to the lab; write `config` to have one."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    exported(monkeypatch, lab.providers["services"])
    return tmp_path


def of(profile: str, config: str, here: Path) -> Resolved:
    (here / "config").write_text(config, encoding="utf-8")
    return resolve(f"profile:{profile}", environ=os.environ)


# keys -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_id", "account"),
    [
        (UNKNOWN_ID, ACCOUNT_OF_UNKNOWN),
        (UNKNOWN_ID.replace("AKIA", "ASIA"), ACCOUNT_OF_UNKNOWN),
        ("AKIAIOSFODNN7EXAMPLE", None),  # an old one: it holds no account
        ("AKIAQNZGKIQY56JQ7WM", None),
        ("AKIAQNZGKIQY56JQ7WM1", None),  # 1 is no letter of base32
        ("AROAQNZGKIQY56JQ7WML", None),
        ("minio-access-key-001", None),
        ("", None),
    ],
)
def test_the_account_is_read_off_the_id_of_a_key(key_id: str, account: str | None) -> None:
    assert provenance.account_of(key_id) == account


@given(key_id=st.text(max_size=30))
def test_no_id_of_a_key_is_too_odd(key_id: str) -> None:
    assert provenance.account_of(key_id) is None or len(provenance.account_of(key_id) or "") == 12
    assert provenance.kind_of(key_id) in (None, "temporary", "long-term")


def test_keys_of_others_than_aws_are_of_no_kind() -> None:
    assert provenance.kind_of("minioadmin") is None
    assert provenance.kind_of(accounts.SESSION.access_key_id) == "temporary"
    assert provenance.kind_of(accounts.DEFAULT.access_key_id) == "long-term"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (720, "in 12 min"),
        (-60, "1 min ago"),
        (30, "in 30 s"),
        (7200, "in 2 h"),
        (3 * 86400, "in 3 d"),
        (-7300, "2 h ago"),
    ],
)
def test_a_span_is_told_in_words(seconds: float, words: str) -> None:
    assert provenance.span(seconds) == words


def test_the_end_of_keys_is_told_in_utc_and_from_now() -> None:
    there = datetime(2026, 11, 22, 14, 12).astimezone()
    told = provenance.of_keys("sso", UNKNOWN_ID, token=True, expires=NOW + timedelta(minutes=12), account=None, now=NOW)
    assert told["expires_text"] == "2026-11-22 12:12 UTC, in 12 min"
    assert (told["expires"], told["expires_in_s"], told["renews"]) == ("2026-11-22T12:12:00Z", 720, True)
    assert provenance.moment_of(there) == there
    for odd in ("soon", "", None, 12, "9" * 80, datetime.max.replace(tzinfo=UTC)):
        assert provenance.moment_of(odd) is None or isinstance(odd, datetime)


def test_the_account_that_a_provider_gives_goes_before_that_of_the_key() -> None:
    told = provenance.of_keys("login", UNKNOWN_ID, token=True, expires=None, account="210987654321", now=NOW)
    assert (told["account"], told["account_known_by"]) == ("210987654321", "its provider")


# partitions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "region", "partition"),
    [
        ("https://aws-mcp.us-east-1.api.aws/mcp", None, "aws"),
        ("https://knowledge-mcp.global.api.aws", None, "aws"),
        ("https://bedrock-agentcore.us-gov-west-1.amazonaws.com/x", None, "aws-us-gov"),
        ("https://x.gateway.bedrock-agentcore.cn-north-1.amazonaws.com.cn/mcp", None, "aws-cn"),
        ("https://bedrock-agentcore.eusc-de-east-1.amazonaws.eu/x", None, "aws-eusc"),
        ("https://mcp.example.org/mcp", "cn-north-1", None),
        ("https://notamazonaws.com/mcp", None, None),
        ("http://127.0.0.1:8080/mcp", "us-east-1", None),
        ("https://[broken/mcp", None, None),
    ],
)
def test_the_partition_of_a_server_is_that_of_its_host(url: str, region: str | None, partition: str | None) -> None:
    assert provenance.partition_of_url(url, region) == partition


def test_a_usual_region_says_nothing_about_the_partition_of_a_credential() -> None:
    assert provenance.partition_of("shared-credentials-file", {}, {}, "us-east-1") == {}
    assert provenance.partition_of("shared-credentials-file", {}, {}, None) == {}
    found = provenance.partition_of("shared-credentials-file", {}, {}, "us-gov-west-1")
    assert (found["credential_partition"], found["partition_verb"]) == ("aws-us-gov", "probably belongs to")


def test_an_arn_says_the_partition_for_certain() -> None:
    found = provenance.partition_of("assume-role", {"role_arn": "arn:aws-cn:iam::123456789012:role/x"}, {}, "us-east-1")
    assert (found["credential_partition"], found["partition_known_by"]) == ("aws-cn", "its role_arn")
    assert provenance.partition_of("assume-role", {"role_arn": "nonsense"}, {}, None) == {}


@pytest.mark.parametrize(
    ("region", "partition", "host"),
    [
        ("eu-west-1", None, "sts.eu-west-1.amazonaws.com"),
        ("mcpdoctor", None, "sts.us-east-1.amazonaws.com"),
        (None, None, "sts.us-east-1.amazonaws.com"),
        ("us-east-1", "aws-cn", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-east-1", None, "sts.us-gov-east-1.amazonaws.com"),
        ("evil.example/", None, "sts.us-east-1.amazonaws.com"),
    ],
)
def test_sts_is_asked_in_the_partition_of_the_credential(region: str | None, partition: str | None, host: str) -> None:
    assert provenance.sts_host(region, partition)[0] == host


# what resolves, with real botocore and the lab ------------------------------------------------------------------------


def test_every_provider_of_botocore_has_words() -> None:
    from botocore import credentials as theirs

    methods = {
        getattr(one, "METHOD", None)
        for one in vars(theirs).values()
        if isinstance(one, type) and issubclass(one, theirs.CredentialProvider)
    }
    assert methods - {None} <= set(provenance.providers())


def test_single_sign_on_tells_role_account_and_both_ends(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in_to_sso(monkeypatch, here / "sso", minutes=130)
    words = str(of("sso", sso(), here).facts["credential_words"])
    assert words.startswith("single sign-on (aws sso login), profile sso; role lab; account 123456789012 (by its ")
    assert ", in 60 min, then renewed; its login lasts until " in words
    assert words.endswith("(in 2 h)")


def test_an_assumed_role_tells_its_arn_and_partition(here: Path) -> None:
    facts = of("role", base() + role(role_session_name="me"), here).facts
    assert facts["provider"] == "assume-role"
    assert (facts["role"], facts["role_session_name"]) == (providers.ROLE, "me")
    assert (facts["credential_partition"], facts["session_named"]) == ("aws", True)
    assert of("role", base() + role(), here).facts["session_named"] is False


def test_a_login_of_aws_login_renews_itself_and_tells_its_account(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in(monkeypatch, here / "login", minutes=-5)
    facts = of("dev", f"[profile dev]\nlogin_session = {LOGIN}\nregion = us-east-1\n", here).facts
    assert (facts["provider"], facts["account"]) == ("login", accounts.ACCOUNT)
    assert 800 < int(str(facts["expires_in_s"])) <= 900


@pytest.mark.parametrize(("name", "provider"), [("container", "container-role"), ("instance", "iam-role")])
def test_metadata_services_are_named(
    name: str, provider: str, here: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(monkeypatch, lab.providers[name])
    facts = resolve("default", environ=os.environ).facts
    assert (facts["provider"], facts["renews"], facts["profile"]) == (provider, True, None)


def test_a_token_of_a_web_identity_assumes_its_role(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "token").write_text("a web identity", encoding="utf-8")
    variables = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(here / "token"), "AWS_ROLE_ARN": providers.ROLE}
    exported(monkeypatch, {**variables, "AWS_DEFAULT_REGION": "us-east-1"})
    facts = resolve("default", environ=os.environ).facts
    assert (facts["provider"], facts["credential_partition"]) == ("assume-role-with-web-identity", "aws")


def test_an_instance_that_does_not_answer_gives_nothing_in_two_seconds(
    here: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import NoCredentialsError

    exported(monkeypatch, lab.providers["instance-silent"])
    with pytest.raises(NoCredentialsError):
        resolve("default", environ=os.environ)


def test_no_key_is_among_what_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in_to_sso(monkeypatch, here / "sso", refreshToken=providers.REFRESH_TOKEN)
    logged_in(monkeypatch, here / "login", minutes=10)
    config = base() + role() + sso() + f"[profile dev]\nlogin_session = {LOGIN}\nregion = us-east-1\n"
    shown = [dict(of(name, config, here).facts) for name in ("base", "role", "sso", "dev")]
    shown += [circumstances(f"profile:{name}", os.environ) for name in ("base", "role", "sso", "dev")]
    text = json.dumps(shown)
    keys = [part for key in accounts.IDENTITIES.values() for part in (key.secret, key.access_key_id, key.token) if part]
    assert [one for one in (*keys, providers.SSO_TOKEN, providers.REFRESH_TOKEN, "BEGIN") if one in text] == []


# what does not --------------------------------------------------------------------------------------------------------


def test_the_command_to_log_in_names_the_profile_that_the_login_is_of(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "config").write_text(sso() + role(source_profile="sso"), encoding="utf-8")
    logged_in_to_sso(monkeypatch, here / "sso", minutes=-20)
    facts = circumstances("profile:role", os.environ)
    assert facts["login_command"] == "aws sso login --profile sso (or aws sso login --sso-session corp)"
    assert "; its login ended " in str(facts["login_note"])


def test_a_login_that_was_never_made_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(here))
    (here / "config").write_text(f"[default]\nlogin_session = {LOGIN}\n", encoding="utf-8")
    facts = circumstances("default", os.environ)
    assert (facts["login_command"], facts["login_session"]) == ("aws login", True)
    assert facts["login_note"] == "; there is no login of it on this machine"


@pytest.mark.parametrize("text", ["", "null", "[1]", '{"expiresAt": 7}', '{"accessToken": "x"}', "{" * 5000, "\0"])
def test_a_cache_of_logins_may_hold_anything(text: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged_in_to_sso(monkeypatch, here / "sso")
    [path] = (here / "sso").iterdir()
    path.write_text(text, encoding="utf-8")
    (here / "config").write_text(sso(), encoding="utf-8")
    assert circumstances("profile:sso", os.environ)["login_profile"] == "sso"


def test_other_profiles_that_have_credentials_are_named(here: Path) -> None:
    (here / "config").write_text(base() + role() + "[profile bare]\nregion = x\n", encoding="utf-8")
    assert circumstances("default", os.environ)["others_note"] == ". There are credentials in base, role"


@pytest.mark.parametrize(
    ("reference", "environ", "of_another", "expected"),
    [
        ("default", {**UNKNOWN, "AWS_PROFILE": "dev"}, False, True),
        ("default", UNKNOWN, False, False),
        ("default", {"AWS_PROFILE": "dev"}, False, False),
        ("profile:dev", {**UNKNOWN, "AWS_PROFILE": "dev"}, False, False),  # botocore drops the keys then
        ("env", {**UNKNOWN, "AWS_PROFILE": "dev"}, False, False),  # that was asked for
        ("env", {**UNKNOWN, "AWS_PROFILE": "dev"}, True, True),
    ],
)
def test_keys_go_before_a_profile_that_only_the_environment_names(
    reference: str, environ: dict[str, str], of_another: bool, expected: bool
) -> None:
    facts = surroundings(reference, environ, environ if of_another else None)
    assert facts["keys_shadow_profile"] is expected


def test_botocore_does_prefer_the_keys(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "config").write_text(base(), encoding="utf-8")
    exported(monkeypatch, {**UNKNOWN, "AWS_PROFILE": "base"})
    assert resolve("default", environ=os.environ).credentials.access_key == UNKNOWN_ID
    assert resolve("profile:base", environ=os.environ).credentials.access_key == accounts.DEFAULT.access_key_id


@given(
    profiles=st.dictionaries(
        st.text(max_size=5),
        st.one_of(
            st.none(),
            st.text(),
            st.dictionaries(
                st.sampled_from(["role_arn", "source_profile", "sso_session", "login_session"]), st.text(max_size=5)
            ),
        ),
    )
)
def test_any_settings_can_be_looked_at(profiles: dict[str, Any]) -> None:
    for name in (*profiles, "none"):
        assert provenance.of_profile(profiles, name)["login_profile"] is not None
