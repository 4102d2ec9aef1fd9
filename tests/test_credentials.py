"""A reference becomes keys as botocore finds them; where they came from may be shown, they may not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import (
    ConfigParseError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
)
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.chain import CredentialProcessFailed
from mcpdoctor.credentials import (
    Resolved,
    check_reference,
    circumstances,
    environment_region,
    profile_of,
    resolve,
    surroundings,
)
from mcpdoctor.model import Fact, Unusable

KEY, SECRET, TOKEN = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "IQoJb3JpZ2luX2VjEXAMPLETOKEN==",
)
KEYS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
TEMPORARY = {**KEYS, "AWS_SESSION_TOKEN": TOKEN}
STANDBY = {
    "AWS_ACCESS_KEY_ID": "AKIASTANDBYSTANDBY22",
    "AWS_SECRET_ACCESS_KEY": "standby-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The AWS configuration file of this test; write it to have one."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The AWS shared credentials file of this test."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


def export(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def told(resolved: Resolved) -> dict[str, Fact]:
    """Who answered."""
    return {name: resolved.facts[name] for name in ("provider", "temporary", "profile")}


def keys(profile: str, *, token: str | None = None) -> str:
    lines = [f"[{profile}]", f"aws_access_key_id = {KEY}", f"aws_secret_access_key = {SECRET}"]
    return "\n".join([*lines, *([f"aws_session_token = {token}"] if token else []), ""])


# references -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["default", "env", "none", "profile:dev", "profile:with space", "profile:a:b"])
def test_a_reference_is_taken_as_it_is(reference: str) -> None:
    assert check_reference(reference) == reference


@pytest.mark.parametrize(
    ("reference", "shown"),
    [
        ("dev", "dev"),
        ("Default", "Default"),
        ("", "that value"),
        ("profile:", "that value"),
        ("dev-1", "that value"),
        (KEY, "that value"),
        (SECRET, "that value"),
        (TOKEN, "that value"),
    ],
)
def test_what_is_no_reference_is_refused_and_what_may_be_a_key_is_not_repeated(reference: str, shown: str) -> None:
    with pytest.raises(Unusable) as refused:
        check_reference(reference)
    assert str(refused.value) == (
        f"{shown} is no credential reference; write default, env, profile:NAME, bearer:VARIABLE or none. "
        "Keys are never given on the command line."
    )


@given(reference=st.text(alphabet="ABCXYZabcxyz0189+/=", min_size=17, max_size=80))
def test_nothing_as_long_as_a_key_is_repeated(reference: str) -> None:
    with pytest.raises(Unusable) as refused:
        check_reference(reference)
    assert reference not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "profile"), [("profile:dev", "dev"), ("profile:a:b", "a:b"), ("default", None), ("none", None)]
)
def test_the_profile_of_a_reference(reference: str, profile: str | None) -> None:
    assert profile_of(reference) == profile


# resolving ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("environ", "temporary"), [(KEYS, False), (TEMPORARY, True)])
def test_env_takes_the_keys_of_the_environment(environ: dict[str, str], temporary: bool) -> None:
    resolved = resolve("env", environ=environ)
    assert told(resolved) == {"provider": "env", "temporary": temporary, "profile": None}
    assert resolved.secrets == tuple(environ.values())
    assert resolved.credentials.access_key == KEY


def test_env_takes_nothing_from_files(shared: Path) -> None:
    shared.write_text(keys("default"))
    with pytest.raises(NoCredentialsError):
        resolve("env", environ={})


def test_default_follows_the_chain_environment_first(monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    shared.write_text(keys("default", token=TOKEN))
    assert told(resolve("default", environ={})) == {
        "provider": "shared-credentials-file",
        "temporary": True,
        "profile": "default",
    }
    export(monkeypatch, **KEYS)
    assert told(resolve("default", environ={})) == {"provider": "env", "temporary": False, "profile": None}


def test_a_profile_is_found_in_the_credentials_file(shared: Path) -> None:
    shared.write_text(keys("dev"))
    resolved = resolve("profile:dev", environ={})
    assert told(resolved) == {"provider": "shared-credentials-file", "temporary": False, "profile": "dev"}
    assert resolved.secrets == (KEY, SECRET)


def test_a_profile_is_found_in_the_config_file_with_its_region(config: Path) -> None:
    config.write_text(keys("profile dev") + "region = eu-west-1\n")
    resolved = resolve("profile:dev", environ={})
    assert told(resolved) == {"provider": "config-file", "temporary": False, "profile": "dev"}
    assert resolved.region == "eu-west-1"


def test_a_named_profile_goes_before_keys_in_the_environment(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared.write_text(keys("dev"))
    export(monkeypatch, AWS_ACCESS_KEY_ID="AKIAOTHEROTHEROTHER2", AWS_SECRET_ACCESS_KEY="another secret")
    assert resolve("profile:dev", environ={}).secrets == (KEY, SECRET)


def test_a_process_that_makes_keys_is_run_and_named(config: Path, tmp_path: Path) -> None:
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": expires}
    script = tmp_path / "keys.py"
    script.write_text(f"print({json.dumps(made)!r})")
    config.write_text(f"[profile made]\ncredential_process = {sys.executable} {script}\n")
    resolved = resolve("profile:made", environ={})
    assert told(resolved) == {"provider": "custom-process", "temporary": True, "profile": "made"}
    assert resolved.secrets == (KEY, SECRET, TOKEN)


def test_a_process_that_fails_is_a_failure_to_retrieve(config: Path, tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text("raise SystemExit('no way')")
    config.write_text(f"[profile made]\ncredential_process = {sys.executable} {script}\n")
    with pytest.raises(CredentialProcessFailed, match="no way"):
        resolve("profile:made", environ={})


def test_a_login_that_was_never_made_says_so_when_it_is_resolved(config: Path) -> None:
    config.write_text(
        "[profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n"
    )
    with pytest.raises(SSOTokenLoadError):
        resolve("profile:sso", environ={})


def test_a_profile_that_does_not_exist_is_not_found(shared: Path) -> None:
    shared.write_text(keys("dev"))
    with pytest.raises(ProfileNotFound, match="prod"):
        resolve("profile:prod", environ={})


def test_a_profile_without_keys_has_no_credentials(config: Path) -> None:
    config.write_text("[profile bare]\nregion = eu-west-1\n")
    with pytest.raises(NoCredentialsError):
        resolve("profile:bare", environ={})


def test_a_profile_that_the_environment_names_and_nobody_wrote_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, AWS_PROFILE="gone")
    with pytest.raises(ProfileNotFound, match="gone"):
        resolve("default", environ={"AWS_PROFILE": "gone"})


def test_of_another_program_only_its_own_environment_counts(
    shared: Path, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export(monkeypatch, **TEMPORARY, AWS_PROFILE="nobody-wrote-it", AWS_DEFAULT_REGION="eu-west-3")
    shared.write_text(keys("default"), encoding="utf-8")
    theirs = tmp_path / "theirs"
    theirs.write_text(keys("default").replace(KEY, "AKIATHEIRSTHEIRS2222"), encoding="utf-8")
    given = {"AWS_SHARED_CREDENTIALS_FILE": str(theirs), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    found = resolve("default", environ={}, given=given)
    assert (found.credentials.access_key, found.region) == ("AKIATHEIRSTHEIRS2222", None)
    assert circumstances("default", {}, given)["profiles"] == ("default",)
    assert resolve("default", environ={}, given={**given, "AWS_DEFAULT_REGION": "eu-west-1"}).region == "eu-west-1"
    with pytest.raises(ProfileNotFound):
        resolve("profile:dev", environ={}, given=given)


def test_keys_in_the_environment_of_another_program_go_before_its_files() -> None:
    found = resolve("default", environ={}, given={**TEMPORARY, "AWS_CONFIG_FILE": "/no/such/file"})
    assert (found.credentials.access_key, found.facts["provider"]) == (KEY, "env")


def test_what_a_client_does_not_pass_on_is_named_where_keys_are_missing() -> None:
    facts = surroundings("default", {"AWS_PROFILE": "dev", "HOME": "/home/me"}, {"HOME": "/home/me"})
    assert "may not pass on what is set in this shell (AWS_PROFILE)" in str(facts["credential_note"])
    assert facts["profile"] == "default"


def test_half_a_credential_is_partial(shared: Path) -> None:
    with pytest.raises(PartialCredentialsError):
        resolve("env", environ={"AWS_ACCESS_KEY_ID": KEY})
    shared.write_text(f"[dev]\naws_access_key_id = {KEY}\n")
    with pytest.raises(PartialCredentialsError):
        resolve("profile:dev", environ={})


def test_an_empty_environment_and_no_files_hold_no_credentials() -> None:
    for reference in ("default", "env"):
        with pytest.raises(NoCredentialsError):
            resolve(reference, environ={})


def test_a_broken_file_is_a_failure_of_the_credential(config: Path) -> None:
    config.write_text("[profile x\nnonsense")
    with pytest.raises(ConfigParseError):
        resolve("default", environ={})


@pytest.mark.parametrize("environ", [KEYS, TEMPORARY])
def test_no_key_is_shown(environ: dict[str, str]) -> None:
    resolved = resolve("env", environ=environ)
    shown = f"{resolved!r} {resolved} {resolved.facts} {surroundings('env', environ)}"
    assert [value for value in environ.values() if value in shown] == []


def test_what_surrounds_a_credential_holds_no_key(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared.write_text(keys("dev", token=TOKEN))
    export(monkeypatch, **TEMPORARY)
    shown = json.dumps([surroundings(reference, TEMPORARY) for reference in ("default", "env", "profile:dev")])
    assert [value for value in (KEY, SECRET, TOKEN) if value in shown] == []


# standby: the keys of the lab -----------------------------------------------------------------------------------------


def test_the_keys_of_the_lab_are_the_default_even_where_the_user_has_some(shared: Path) -> None:
    shared.write_text(keys("default"))
    resolved = resolve("default", environ=KEYS, standby=STANDBY)
    assert resolved.credentials.access_key == STANDBY["AWS_ACCESS_KEY_ID"]


def test_env_prefers_the_keys_of_the_user_to_those_of_the_lab() -> None:
    assert resolve("env", environ=KEYS, standby=STANDBY).credentials.access_key == KEY
    assert resolve("env", environ={}, standby=STANDBY).credentials.access_key == STANDBY["AWS_ACCESS_KEY_ID"]


def test_a_profile_never_falls_back_to_the_keys_of_the_lab(config: Path) -> None:
    config.write_text("[profile bare]\nregion = eu-west-1\n")
    with pytest.raises(NoCredentialsError):
        resolve("profile:bare", environ={}, standby=STANDBY)
    with pytest.raises(ProfileNotFound):
        resolve("profile:gone", environ={}, standby=STANDBY)


def test_the_region_of_the_lab_is_used_where_the_user_has_none() -> None:
    assert resolve("default", environ={}, standby=STANDBY).region == "us-east-1"
    assert resolve("default", environ={"AWS_DEFAULT_REGION": "eu-west-1"}, standby=STANDBY).region == "eu-west-1"


def test_a_profile_that_does_not_exist_does_not_keep_the_lab_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, AWS_PROFILE="gone")
    resolved = resolve("default", environ={"AWS_PROFILE": "gone"}, standby=STANDBY)
    assert resolved.credentials.access_key == STANDBY["AWS_ACCESS_KEY_ID"]


# regions --------------------------------------------------------------------------------------------------------------


def test_boto3_signs_for_aws_default_region_and_not_for_aws_region(monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, AWS_REGION="eu-west-1")
    assert resolve("env", environ=KEYS).region is None
    export(monkeypatch, AWS_DEFAULT_REGION="eu-central-1")
    assert resolve("env", environ=KEYS).region == "eu-central-1"


@pytest.mark.parametrize(
    ("environ", "note"),
    [
        (
            {"AWS_REGION": "eu-west-1"},
            "AWS_REGION is set (eu-west-1), but boto3 does not read it: it reads AWS_DEFAULT_REGION and the region of "
            "the profile.",
        ),
        ({}, "boto3 reads AWS_DEFAULT_REGION and the region of the profile; neither is set."),
    ],
)
def test_the_note_on_the_region_says_what_boto3_reads(environ: dict[str, str], note: str) -> None:
    assert surroundings("default", environ)["region_note"] == note


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-central-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_REGION": ""}, None),
        ({}, None),
    ],
)
def test_the_region_a_user_works_in_is_named_by_either_variable(environ: dict[str, str], region: str | None) -> None:
    assert environment_region(environ) == region


def test_the_region_a_user_works_in_may_be_that_of_the_profile(config: Path) -> None:
    config.write_text("[default]\nregion = sa-east-1\n")
    assert environment_region({}) == "sa-east-1"


def test_a_profile_that_does_not_exist_gives_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    export(monkeypatch, AWS_PROFILE="gone")
    assert environment_region({"AWS_PROFILE": "gone"}) is None


# surroundings ---------------------------------------------------------------------------------------------------------


def test_the_profiles_that_botocore_sees_are_named_in_order(config: Path, shared: Path) -> None:
    config.write_text("[profile zeta]\nregion = x\n[default]\nregion = y\n")
    shared.write_text(keys("alpha"))
    environ = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(shared)}
    facts = surroundings("profile:beta", environ)
    assert circumstances("default", {})["profiles"] == ("alpha", "default", "zeta")
    assert facts["config_files"] == f"{config} and {shared}"
    assert facts["profile"] == "beta"
    assert facts["profile_option"] == " --profile beta"


def test_without_settings_the_usual_files_are_named() -> None:
    facts = surroundings("default", {})
    assert facts["config_files"] == "~/.aws/config and ~/.aws/credentials"
    assert circumstances("default", {})["profiles"] == ()
    assert (facts["profile"], facts["profile_option"]) == ("default", "")


def test_a_broken_file_leaves_the_profiles_unknown(config: Path) -> None:
    config.write_text("[profile x\nnonsense")
    assert circumstances("default", {})["profiles"] == ()


def test_keys_of_the_environment_need_no_look_at_broken_files_where_the_region_is_known(config: Path) -> None:
    config.write_text("[profile x\nnonsense")
    assert resolve("env", environ=KEYS, with_region=False).region is None
    with pytest.raises(ConfigParseError):
        resolve("env", environ=KEYS)


@pytest.mark.parametrize(
    ("reference", "environ", "note"),
    [
        ("env", {}, "AWS_ACCESS_KEY_ID is not set in the environment"),
        ("profile:dev", {}, "profile dev has neither keys nor a way to get them"),
        (
            "default",
            {},
            "the chain of botocore found nothing: no AWS_ACCESS_KEY_ID in the environment, no AWS_PROFILE, and "
            "[default] has none (~/.aws/config is missing, ~/.aws/credentials is missing), no instance role",
        ),
        (
            "default",
            {"AWS_PROFILE": "dev"},
            "the chain of botocore found nothing: no AWS_ACCESS_KEY_ID in the environment, AWS_PROFILE names dev, "
            "which has none (~/.aws/config is missing, ~/.aws/credentials is missing), no instance role",
        ),
    ],
)
def test_the_note_on_missing_keys_says_where_they_were_looked_for(
    reference: str, environ: dict[str, str], note: str
) -> None:
    assert surroundings(reference, environ)["credential_note"] == note


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_of_the_environment_is_the_one_to_show(name: str) -> None:
    facts = surroundings("default", {name: "dev"})
    assert (facts["profile"], facts["profile_option"]) == ("dev", " --profile dev")


def test_what_is_kept_can_be_taken_apart_without_the_keys_in_the_facts() -> None:
    resolved = resolve("env", environ=TEMPORARY)
    assert {"provider", "temporary", "profile"} < set(asdict(resolved)["facts"])
    assert [value for value in TEMPORARY.values() if value in json.dumps(asdict(resolved)["facts"])] == []
