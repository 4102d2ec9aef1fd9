"""Resolve a credential reference with botocore, and say where its keys came from. Keys are never shown.

botocore itself reads the environment and the AWS files of the user, as it does in the program that is diagnosed: that
is the point. Resolving may take long (a login, a credential process, the metadata service of an instance), so callers
run it in a thread with a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcpdoctor import chain, provenance
from mcpdoctor.bearer import check_variable, variable_of
from mcpdoctor.model import UNSIGNED, Fact, Unusable

PROFILE = "profile:"
_KEY_ID = provenance.SHADOWING
REFERENCES = "default, env, profile:NAME, bearer:VARIABLE or none"


class MalformedKeysError(ValueError):
    """Keys with characters that no key has: a blank or a line end from pasting, most of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A credential that has keys.

    Attributes:
        credentials: the botocore object; signs, and refreshes itself where it can.
        region: region of the profile or of AWS_DEFAULT_REGION, as boto3 reads it; None where neither is set.
        facts: what may be shown: who answered, for whom, until when (see `provenance`).
        secrets: the literal keys, for redaction only.
    """

    credentials: Any
    region: str | None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def check_reference(reference: str) -> str:
    """Return `reference` if it is one.

    Raises:
        Unusable: it is none of `default`, `env`, `profile:NAME`, `bearer:VARIABLE`, `none`.
    """
    if (variable := variable_of(reference)) is not None:
        check_variable(variable)
        return reference
    if reference in ("default", "env", UNSIGNED) or (reference.startswith(PROFILE) and reference != PROFILE):
        return reference
    # A pasted key must not come back in an error message.
    shown = reference if len(reference) <= 16 and reference.isalpha() else "that value"
    raise Unusable(f"{shown} is no credential reference; write {REFERENCES}. Keys are never given on the command line.")


def profile_of(reference: str) -> str | None:
    """Name of the profile in a reference `profile:NAME`, else None."""
    return reference.removeprefix(PROFILE) if reference.startswith(PROFILE) else None


def resolve(
    reference: str,
    *,
    environ: Mapping[str, str],
    standby: Mapping[str, str] | None = None,
    with_region: bool = True,
    given: Mapping[str, str] | None = None,
    deadline_s: float | None = None,
) -> Resolved:
    """Find the keys behind a reference.

    botocore may call AWS for that, as it does in the user's program: SSO, the sign-in service and STS renew logins and
    assume roles, and the metadata service of a container or an instance gives keys.

    Args:
        reference: `default` (the chain of botocore), `env`, or `profile:NAME`.
        environ: environment variables for `env`.
        standby: environment variables of the lab: they are the `default` credential, and `env` where `environ`
            has no key.
        with_region: find the region too; without it, keys of the environment need no look at the AWS files.
        given: environment of another program, whose credential this is; it takes the place of all of ours.
        deadline_s: seconds after which a credential process is ended.

    Raises:
        botocore.exceptions.BotoCoreError: as botocore raises it: NoCredentialsError, ProfileNotFound,
            PartialCredentialsError, SSO and login errors, … What its message may quote is left out.
        chain.CredentialProcessError, chain.MfaWanted, MalformedKeysError: see there.
    """
    from botocore.exceptions import BotoCoreError

    try:
        return _resolve(
            reference,
            environ=environ if given is None else given,
            standby=standby,
            with_region=with_region,
            given=given,
            deadline_s=deadline_s,
        )
    except BotoCoreError as error:
        safe = chain.discreet(error)
        if safe is error:
            raise
    # Out of reach of the first one, which may quote a line with a key.
    raise safe


def _resolve(
    reference: str,
    *,
    environ: Mapping[str, str],
    standby: Mapping[str, str] | None,
    with_region: bool,
    given: Mapping[str, str] | None,
    deadline_s: float | None,
) -> Resolved:
    from botocore.credentials import EnvProvider
    from botocore.exceptions import NoCredentialsError

    session = None
    if standby is not None and (reference == "default" or (reference == "env" and not environ.get(_KEY_ID))):
        # Nothing of the user's is asked, so nothing of the user's can be in the way.
        region, credentials = environ.get("AWS_DEFAULT_REGION"), EnvProvider(standby).load()
    elif reference == "env" and not with_region:
        region, credentials = None, EnvProvider(environ).load()
    else:
        session = chain.session(profile_of(reference), given, deadline_s=deadline_s)
        region = session.get_config_variable("region")
        keyed = reference == "env" or (reference == "default" and given is not None and bool(given.get(_KEY_ID)))
        credentials = EnvProvider(environ).load() if keyed else session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    # Frozen now, so that a login that has run out says so here and not in the middle of a request.
    keys = credentials.get_frozen_credentials()
    if not keys.access_key or not keys.secret_key:
        raise NoCredentialsError
    odd = [
        name
        for name, value in (("access key", keys.access_key), ("secret key", keys.secret_key), ("token", keys.token))
        if value and not all("!" <= character <= "~" for character in value)
    ]
    if odd:
        raise MalformedKeysError(
            f"the {' and the '.join(odd)} hold a blank, a line end or a character outside of ASCII"
        )
    return Resolved(
        credentials=credentials,
        region=region or (standby or {}).get("AWS_DEFAULT_REGION"),
        facts=_told(reference, credentials, keys, _Seen(session=session, environ=environ, region=region)),
        secrets=tuple(filter(None, (keys.access_key, keys.secret_key, keys.token))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a credential was resolved with; without a session, no file was looked at."""

    session: Any
    environ: Mapping[str, str]
    region: str | None


def _told(reference: str, credentials: Any, keys: Any, seen: _Seen) -> dict[str, Fact]:
    """Who answered, for whom, until when; no keys."""
    now = datetime.now(UTC)
    method = credentials.method
    facts = provenance.of_keys(
        method,
        keys.access_key,
        token=bool(keys.token),
        expires=getattr(credentials, "_expiry_time", None),
        account=getattr(keys, "account_id", None),
        now=now,
    )
    facts["profile"] = profile_of(reference)
    profile: dict[str, str] = {}
    if seen.session is not None and method not in ("env", "explicit", "iam-role", "container-role"):
        name = provenance.named_profile(profile_of(reference), seen.environ) or "default"
        config = seen.session.full_config
        profiles, sessions = config.get("profiles", {}), config.get("sso_sessions", {})
        profile = provenance.settings_of(profiles, name)
        facts |= provenance.of_profile(profiles, name)
        facts |= provenance.login_of(profiles, sessions, name, now)
        facts["profile"] = name
    facts |= provenance.partition_of(method, profile, seen.environ, seen.region)
    facts["session_named"] = facts.get("assumes_role") is not True or "role_session_name" in profile
    facts["provider_words"] = provenance.words_of(facts)
    facts["credential_words"] = provenance.sentence(facts)
    return facts


def circumstances(
    reference: str, environ: Mapping[str, str], given: Mapping[str, str] | None = None
) -> dict[str, Fact]:
    """What the files say about a credential that could not be resolved: its login, its role, who else has keys.

    Reads the AWS files and the dates in the caches of logins; no keys, no network.

    Args:
        reference: the credential.
        environ: environment variables of the user.
        given: environment of another program, as for `resolve`.
    """
    config = _config(given)
    profiles, sessions = config.get("profiles", {}), config.get("sso_sessions", {})
    name = provenance.named_profile(profile_of(reference), environ if given is None else given) or "default"
    facts = provenance.of_profile(profiles, name)
    facts |= provenance.login_of(profiles, sessions, name, datetime.now(UTC))
    others = tuple(one for one in provenance.with_credentials(profiles) if one != name)
    facts["profiles"] = tuple(sorted(profiles))
    facts["other_profiles"] = others
    facts["others_note"] = f". There are credentials in {', '.join(others[:_SHOWN_PROFILES])}" if others else ""
    return facts


_SHOWN_PROFILES = 8


def _config(given: Mapping[str, str] | None) -> Mapping[str, Any]:
    """All sections of the AWS files; empty where botocore cannot read them."""
    from botocore.exceptions import BotoCoreError

    try:
        found: Mapping[str, Any] = chain.session(None, _unnamed(given)).full_config
    except BotoCoreError:
        return {}
    return found


def _unnamed(given: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """An environment without a profile, which may not exist."""
    if given is None:
        return None
    return {name: value for name, value in given.items() if name not in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")}


def surroundings(reference: str, environ: Mapping[str, str], given: Mapping[str, str] | None = None) -> dict[str, Fact]:
    """What the texts of a failed credential need to say where it was looked for. No keys, no network.

    Args:
        reference: the credential.
        environ: environment variables of the user.
        given: environment of another program, as for `resolve`.
    """
    withheld = [] if given is None else sorted(one for one in environ if one.startswith("AWS_") and one not in given)
    environ = environ if given is None else given
    files = [
        environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
        environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ]
    profile = profile_of(reference)
    # A profile of the environment fails in the same way as one that was named; then its name is the thing to show.
    named = provenance.named_profile(profile, environ)
    only = "AWS_REGION" in environ and "AWS_DEFAULT_REGION" not in environ
    regions = environ.get("AWS_REGION"), environ.get("AWS_DEFAULT_REGION")
    variable = next((one for one in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE") if environ.get(one)), "AWS_PROFILE")
    return {
        "profile": named or "default",
        "config_files": " and ".join(files),
        "profile_option": f" --profile {named}" if named else "",
        "login_command": f"aws sso login{f' --profile {named}' if named else ''}, or aws login where the profile has "
        "login_session",
        "login_note": "",
        "others_note": "",
        "credential_note": _no_keys(reference, environ, files) + _not_passed(withheld),
        "keys_shadow_profile": provenance.shadows(reference, environ, of_another=given is not None),
        "profile_variable": variable,
        "named_profile": provenance.named_profile(None, environ),
        "environment_region": regions[0],
        "environment_default_region": regions[1],
        "regions_differ": bool(regions[0] and regions[1] and regions[0] != regions[1]),
        "region_note": (
            f"AWS_REGION is set ({environ['AWS_REGION']}), but boto3 does not read it: it reads AWS_DEFAULT_REGION and "
            "the region of the profile."
            if only
            else "boto3 reads AWS_DEFAULT_REGION and the region of the profile; neither is set."
        ),
    }


def environment_region(environ: Mapping[str, str]) -> str | None:
    """The region the user works in: AWS_REGION or AWS_DEFAULT_REGION, else that of the profile in use.

    It only chooses which endpoint to try first; for signing, the rule of boto3 holds (see `resolve`).
    """
    named = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if named:
        return named
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return str(Session().get_config_variable("region") or "") or None
    except BotoCoreError:  # such as AWS_PROFILE that names no profile: the auth stage says so
        return None


def _not_passed(names: list[str]) -> str:
    if not names:
        return ""
    return f". The client may not pass on what is set in this shell ({', '.join(names)}): set it in env of the entry"


def _no_keys(reference: str, environ: Mapping[str, str], files: list[str]) -> str:
    if reference == "env":
        return "AWS_ACCESS_KEY_ID is not set in the environment"
    if profile := profile_of(reference):
        return f"profile {profile} has neither keys nor a way to get them"
    named = provenance.named_profile(None, environ)
    variable = "AWS_DEFAULT_PROFILE" if environ.get("AWS_DEFAULT_PROFILE") else "AWS_PROFILE"
    where = f"{variable} names {named}, which has none" if named else "no AWS_PROFILE, and [default] has none"
    states = ", ".join(f"{path} {_state(path)}" for path in files)
    return (
        f"the chain of botocore found nothing: no AWS_ACCESS_KEY_ID in the environment, {where} ({states}), "
        "no instance role"
    )


def _state(path: str) -> str:
    """Whether an AWS file is there and can be read; botocore passes over one that cannot."""
    try:
        with Path(path).expanduser().open("rb"):
            return "was read"
    except FileNotFoundError:
        return "is missing"
    except (OSError, RuntimeError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or 'its path is not usable'}"
