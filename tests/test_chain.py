"""The chain of botocore, looked at: nobody is asked, every program ends, and nothing that may be a key is shown."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from botocore.exceptions import ConfigParseError, CredentialRetrievalError
from credential_scenes import base, exported, role
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor import chain
from mcpdoctor.credentials import resolve
from mcpdoctor.failures import unwrap
from mcpdoctor.lab import Lab, accounts

KEY, SECRET = "AKIAQNZGKIQY56JQ7WML", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # made up, and public
POSIX = pytest.mark.skipif(os.name != "posix", reason="its commands are those of a POSIX shell")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


def told(error: BaseException) -> str:
    """All that a report would show of it."""
    return " ".join(f"{link.type} {link.message}" for one in unwrap(error) for link in one)


def failing(command: str, config: Path, deadline_s: float = 5.0) -> BaseException:
    config.write_text(f"[profile made]\ncredential_process = {command}\n", encoding="utf-8")
    with pytest.raises(chain.CredentialProcessError) as raised:
        resolve("profile:made", environ={}, deadline_s=deadline_s)
    return raised.value


@POSIX
@pytest.mark.parametrize(
    ("command", "kind", "words"),
    [
        ("/no/such/program --x", chain.CredentialProcessMissing, "program: No such file or directory"),
        (
            f'sh -c "echo {SECRET} is wrong >&2; exit 3"',
            chain.CredentialProcessFailed,
            "sh ended with exit code 3: … is",
        ),
        ('sh -c "kill -9 $$"', chain.CredentialProcessFailed, "sh ended with signal 9"),
        (f"echo {KEY} {SECRET}", chain.CredentialProcessGarbage, "echo printed 62 bytes that are no JSON"),
        ("true", chain.CredentialProcessGarbage, "true printed nothing"),
        ("echo [1]", chain.CredentialProcessGarbage, "echo printed JSON that is no object"),
        (
            f'printf \'{{"AccessKeyId": "{KEY}"}}\'',
            chain.CredentialProcessGarbage,
            "printf printed JSON without SecretAccessKey",
        ),
        (
            f'printf \'{{"AccessKeyId": "{KEY}", "SecretAccessKey": "{SECRET}", "Version": "{SECRET}"}}\'',
            chain.CredentialProcessGarbage,
            'printf printed JSON without "Version": 1',
        ),
        ("yes", chain.CredentialProcessGarbage, "yes printed more than 1 MiB"),
    ],
)
def test_a_program_that_gives_no_keys_is_told_without_its_words(
    command: str, kind: type[BaseException], words: str, config: Path
) -> None:
    error = failing(command, config)
    assert type(error) is kind
    assert str(error).startswith(words)
    assert KEY not in told(error)
    assert SECRET not in told(error)
    assert error.__context__ is None


@POSIX
@pytest.mark.parametrize("command", ["sleep 60", 'sh -c "sleep 60 & exec sleep 60"', 'sh -c "sleep 60 & exit 0"'])
def test_a_program_that_hangs_is_ended_with_all_that_it_started(command: str, config: Path) -> None:
    started = time.monotonic()
    assert isinstance(failing(command, config, deadline_s=0.5), chain.CredentialProcessHangs)
    assert time.monotonic() - started < 3


@POSIX
def test_a_program_gets_no_input_and_no_terminal(config: Path) -> None:
    assert isinstance(failing('sh -c "read line; exit 7"', config), chain.CredentialProcessFailed)


@POSIX
def test_the_program_of_a_source_profile_is_watched_too(config: Path) -> None:
    process = "[profile base]\ncredential_process = sleep 60\n"
    config.write_text(process + role(), encoding="utf-8")
    with pytest.raises(chain.CredentialProcessHangs):
        resolve("profile:role", environ={}, deadline_s=0.5)


def test_nobody_is_asked_for_a_code(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked"))
    config.write_text(base() + role(mfa_serial="arn:aws:iam::123456789012:mfa/me"), encoding="utf-8")
    with pytest.raises(chain.MfaWanted):
        resolve("profile:role", environ={})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            f"[default]\naws_secret_access_key {SECRET}\n".encode(),
            "line 2, the line is neither a [section] nor a setting",
        ),
        (f"aws_secret_access_key = {SECRET}\n".encode(), "line 1, a setting stands before any [section]"),
        (b"[a]\nregion = x\n[a]\n", "line 3, the same section stands twice"),
        (b"[a]\nregion = x\nregion = y\n", "line 3, the same setting stands twice in one section"),
        ("[default]\nregion = x\n".encode("utf-16"), "line 1, it is in UTF-16, and UTF-8 is wanted"),
        (b"\xef\xbb\xbf[default]\nregion = x\n", "line 1, it begins with a byte order mark"),
        (b"[default]\nregion = \xff\xfe\n", "line 2, it is not in UTF-8"),
        (b"[default]\ns3 =\n  nonsense\n", "an indented setting is not of the form name = value"),
    ],
)
def test_a_broken_file_is_told_by_its_line_and_not_by_what_stands_there(data: bytes, words: str, config: Path) -> None:
    config.write_bytes(data)
    with pytest.raises(ConfigParseError) as raised:
        resolve("default", environ={})
    assert str(raised.value) == f"Unable to parse config file: {config}, {words}"
    assert SECRET not in told(raised.value)


def test_what_a_container_answers_is_not_shown_where_it_may_be_a_key(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    error = CredentialRetrievalError(provider="container-role", error_msg=f"Received non 200 response 500: {SECRET} x")
    safe = chain.discreet(error)
    assert str(safe).endswith("Received non 200 response 500: … x")
    exported(monkeypatch, lab.providers["container-broken"])
    with pytest.raises(CredentialRetrievalError, match="non 200 response 500"):
        resolve("default", environ=os.environ)


@pytest.mark.parametrize("key", [*(one.secret for one in accounts.IDENTITIES.values()), KEY, SECRET, "a1" * 8])
def test_a_key_among_words_is_left_out(key: str) -> None:
    for text in (key, f"error: {key}.", f"key={key}", f'"{key}"', f"/path/{key}"):
        assert key not in chain._discreet(text)


@given(text=st.text(max_size=400))
def test_what_is_shown_is_short(text: str) -> None:
    assert len(chain._discreet(text)) <= 201


def test_the_environment_of_another_program_decides_what_its_chain_asks(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    config.write_text(base(), encoding="utf-8")
    exported(
        monkeypatch, {**lab.providers["container"], "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such", "AWS_ROLE_ARN": "x"}
    )
    given = {"AWS_CONFIG_FILE": str(config)}
    from botocore.exceptions import NoCredentialsError

    with pytest.raises(NoCredentialsError):
        resolve("default", environ={}, given=given)
    assert resolve("default", environ={}, given={**given, "AWS_PROFILE": "base"}).facts["provider"] == "config-file"
    assert resolve("default", environ={}, given=lab.providers["container"]).facts["provider"] == "container-role"
