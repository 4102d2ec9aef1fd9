"""A session of botocore for looking on: it asks nobody, sees what another program would see, and ends in time.

botocore resolves as it does in the program that is diagnosed. Three things are taken away from it: the prompt for an
MFA code (nobody can be asked in an MCP client, and a prompt in a thread would leave the terminal without its echo),
programs of `credential_process` that never end or never stop printing, and their words, which may hold keys.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

MOST_PRINTED = 2**20
"""Bytes that a credential process may print; keys are a few hundred."""

_SHOWN = 200
_NOTHING = object()
_PLAIN_WORD = re.compile(r"[a-z_./-]+")
_WORD = re.compile(r"[A-Za-z0-9+/=_.~%-]{16,}")


class CredentialProcessError(Exception):
    """The program of `credential_process` gave no keys."""


class CredentialProcessMissing(CredentialProcessError):
    """There is no such program, or it cannot be started."""


class CredentialProcessFailed(CredentialProcessError):
    """It ended with an error."""


class CredentialProcessGarbage(CredentialProcessError):
    """What it printed is not what was agreed."""


class CredentialProcessHangs(CredentialProcessError):
    """It did not end in time, and was ended."""


class MfaWanted(Exception):
    """The role is assumed with an MFA code, which nobody can be asked for."""


def session(profile: str | None, given: Mapping[str, str] | None, *, deadline_s: float | None = None) -> Any:
    """A session of botocore.

    Args:
        profile: that was named; None for that of the environment.
        given: environment of another program: these variables are seen and none of our own. None for ours.
        deadline_s: seconds from now on after which a credential process is ended.
    """
    from botocore.session import Session

    if given is None:
        made = Session(profile=profile)
    else:
        made = Session(
            profile=profile or given.get("AWS_DEFAULT_PROFILE") or given.get("AWS_PROFILE") or None,
            # Name in the AWS files, environment variable, default, conversion; where none is named, none is read.
            session_vars={
                "profile": (None, None, None, None),
                "region": ("region", None, given.get("AWS_DEFAULT_REGION") or None, None),
                "config_file": (None, None, given.get("AWS_CONFIG_FILE") or "~/.aws/config", None),
                "credentials_file": (
                    None,
                    None,
                    given.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
                    None,
                ),
            },
        )
    return _Guarded(made, given, deadline_s)


class _Guarded:
    """The session; its chain is changed when it is first asked for, since making it reads the AWS files."""

    def __init__(self, made: Any, given: Mapping[str, str] | None, deadline_s: float | None) -> None:
        self._made, self._given = made, given
        self._until = None if deadline_s is None else time.monotonic() + deadline_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    def get_credentials(self) -> Any:
        """The credentials that the chain finds; None for none."""
        resolver = self._made.get_component("credential_provider")
        by_name = {provider.METHOD: provider for provider in resolver.providers}
        if self._given is not None:
            resolver.remove("env")  # botocore reads it from our own environment; see `credentials.resolve`
            _set(by_name.get("container-role"), "_environ", dict(self._given))
            if "AWS_WEB_IDENTITY_TOKEN_FILE" not in self._given:
                _set(by_name.get("assume-role-with-web-identity"), "_disable_env_vars", True)
        role = by_name.get("assume-role")
        _set(role, "_prompter", _nobody)
        _set(by_name.get("custom-process"), "_popen", self._popen)
        # A source profile may have a credential process too, and is resolved by a chain of its own.
        builder = getattr(role, "_profile_provider_builder", None)
        usual = getattr(builder, "_create_process_provider", None)
        if usual is not None:

            def watched(profile_name: str) -> Any:
                provider = usual(profile_name)
                _set(provider, "_popen", self._popen)
                return provider

            _set(builder, "_create_process_provider", watched)
        return self._made.get_credentials()

    def _popen(self, command: Sequence[str], **_: Any) -> _Finished:
        left_s = None if self._until is None else max(self._until - time.monotonic(), 0.0)
        return _Finished(_keys_printed_by(command, left_s))


def _set(what: Any, name: str, value: object) -> None:
    """Set a private attribute of botocore, where this version has it."""
    if what is not None and hasattr(what, name):
        setattr(what, name, value)


def _nobody(_: str) -> str:
    raise MfaWanted("the role is assumed with an MFA code")


class _Finished:
    """What botocore wants of `subprocess.Popen`, for a program that has ended well."""

    returncode = 0

    def __init__(self, printed: bytes) -> None:
        self._printed = printed

    def communicate(self) -> tuple[bytes, bytes]:
        """Standard output and standard error."""
        return self._printed, b""


def _keys_printed_by(command: Sequence[str], left_s: float | None) -> bytes:
    """Run a credential process, and return what it printed where that is of the form that was agreed.

    It gets no standard input, which in an MCP client is the conversation, and no terminal.

    Raises:
        CredentialProcessError: it gave no keys; the message holds nothing of what it printed but harmless words.
    """
    if not command:
        raise CredentialProcessMissing("credential_process is empty")
    name, refused = Path(command[0]).name, ""
    try:
        process = subprocess.Popen(  # noqa: S603  # the command of the user's own profile, as botocore starts it
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=os.name == "posix",
        )
    except (OSError, ValueError) as error:
        refused = (error.strerror if isinstance(error, OSError) else None) or "it cannot be started"
    if refused:
        raise CredentialProcessMissing(f"{_discreet(name)}: {refused}")
    printed: dict[str, bytes] = {}
    readers = [
        threading.Thread(target=_read, args=(stream, printed, key, process), daemon=True)
        for key, stream in (("out", process.stdout), ("err", process.stderr))
    ]
    until = None if left_s is None else time.monotonic() + left_s
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(None if until is None else max(until - time.monotonic(), 0.0))
    code = None
    if not any(reader.is_alive() for reader in readers):  # else it, or what it started, still holds a pipe
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(0.2 if until is None else max(until - time.monotonic(), 0.2))
    if code is None:
        _end(process)
        raise CredentialProcessHangs(f"{_discreet(name)} did not end in time, and was ended")
    if any(len(one) > MOST_PRINTED for one in printed.values()):
        raise CredentialProcessGarbage(f"{_discreet(name)} printed more than {MOST_PRINTED // 2**20} MiB")
    if code != 0:
        said = _discreet(" ".join(printed["err"].decode("utf-8", errors="replace").split()))
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise CredentialProcessFailed(f"{_discreet(name)} ended with {how}{': ' + said if said else ''}")
    return _agreed(printed["out"], _discreet(name))


def _read(stream: IO[bytes], printed: dict[str, bytes], key: str, process: subprocess.Popen[bytes]) -> None:
    with stream:
        printed[key] = stream.read(MOST_PRINTED + 1)
    if len(printed[key]) > MOST_PRINTED:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _agreed(printed: bytes, name: str) -> bytes:
    """Check what was printed against the form that AWS documents.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
    """
    document: Any = _NOTHING
    with suppress(ValueError, RecursionError):
        document = json.loads(printed)
    if document is _NOTHING:
        what = "nothing" if not printed.strip() else f"{len(printed)} bytes that are no JSON"
        raise CredentialProcessGarbage(f"{name} printed {what}")
    if not isinstance(document, dict):
        raise CredentialProcessGarbage(f"{name} printed JSON that is no object")
    missing = [key for key in ("AccessKeyId", "SecretAccessKey") if not isinstance(document.get(key), str)]
    if missing:
        raise CredentialProcessGarbage(f"{name} printed JSON without {' and '.join(missing)}")
    if document.get("Version") != 1:
        raise CredentialProcessGarbage(f'{name} printed JSON without "Version": 1')
    return printed


def _discreet(text: str) -> str:
    """Words of a program, without any that may be a key: long, and of more than small letters."""

    def masked(found: re.Match[str]) -> str:
        return found[0] if _PLAIN_WORD.fullmatch(found[0]) else "…"

    shown = _WORD.sub(masked, text[: 4 * _SHOWN])
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def discreet(error: BaseException) -> BaseException:
    """An error of botocore as it may be shown: the same type, without what it may quote of files, programs or servers.

    Its context is gone: `configparser` quotes the line that it cannot read, which may be the one with the key.
    """
    from botocore.exceptions import ConfigParseError, CredentialRetrievalError

    if isinstance(error, ConfigParseError):
        path = str(error.kwargs.get("path", ""))
        line, why = fault_of(path)
        broken: BaseException = ConfigParseError(
            path=", ".join(filter(None, (path, f"line {line}" if line else "", why))), error=""
        )
        return broken
    if isinstance(error, CredentialRetrievalError):
        said = _discreet(" ".join(str(error.kwargs.get("error_msg", "")).split()))
        masked: BaseException = CredentialRetrievalError(provider=error.kwargs.get("provider", ""), error_msg=said)
        return masked
    return error


def fault_of(path: str) -> tuple[int | None, str]:
    """Where an AWS file breaks off, and why; nothing of what stands there.

    Args:
        path: of the file.

    Returns:
        The line from 1, None where it is not one line; and half a sentence.
    """
    import configparser

    try:
        with Path(path).open("rb") as file:
            data = file.read(4 * MOST_PRINTED)
    except OSError as error:
        return None, error.strerror or "it cannot be read"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:200]:
        return 1, "it is in UTF-16, and UTF-8 is wanted"
    if data.startswith(b"\xef\xbb\xbf"):
        return 1, "it begins with a byte order mark"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data[: error.start].count(b"\n") + 1, "it is not in UTF-8"
    try:
        configparser.RawConfigParser().read_string(text)
    except configparser.DuplicateOptionError as error:
        return error.lineno, "the same setting stands twice in one section"
    except configparser.DuplicateSectionError as error:
        return error.lineno, "the same section stands twice"
    except configparser.MissingSectionHeaderError as error:
        return error.lineno, "a setting stands before any [section]"
    except configparser.ParsingError as error:
        return (error.errors[0][0] if error.errors else None), "the line is neither a [section] nor a setting"
    except configparser.Error:
        return None, "it cannot be parsed"
    return None, "an indented setting is not of the form name = value"
