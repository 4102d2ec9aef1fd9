"""Resolve a credential reference with botocore, and say where its keys came from. Keys are never shown.

botocore itself reads the environment and the AWS files of the user, as it does in the program that is diagnosed: that
is the point. Resolving may take long (a login, a credential process, the metadata service of an instance), so callers
run it in a thread with a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpdoctor.bearer import check_variable, variable_of
from mcpdoctor.model import UNSIGNED, Fact, Unusable

PROFILE = "profile:"
_KEY_ID = "AWS_ACCESS_KEY_ID"
REFERENCES = "default, env, profile:NAME, bearer:VARIABLE or none"


class MalformedKeysError(ValueError):
    """Keys with characters that no key has: a blank or a line end from pasting, most of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A credential that has keys.

    Attributes:
        credentials: the botocore object; signs, and refreshes itself where it can.
        region: region of the profile or of AWS_DEFAULT_REGION, as boto3 reads it; None where neither is set.
        facts: what may be shown: provider, whether temporary, profile.
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
) -> Resolved:
    """Find the keys behind a reference.

    Args:
        reference: `default` (the chain of botocore), `env`, or `profile:NAME`.
        environ: environment variables for `env`.
        standby: environment variables of the lab: they are the `default` credential, and `env` where `environ`
            has no key.
        with_region: find the region too; without it, keys of the environment need no look at the AWS files.
        given: environment of another program, whose credential this is; it takes the place of all of ours.

    Raises:
        botocore.exceptions.BotoCoreError: as botocore raises it: NoCredentialsError, ProfileNotFound,
            PartialCredentialsError, SSO and login errors, …
    """
    from botocore.credentials import EnvProvider
    from botocore.exceptions import NoCredentialsError

    if given is not None:
        environ = given
    if standby is not None and (reference == "default" or (reference == "env" and not environ.get(_KEY_ID))):
        # Nothing of the user's is asked, so nothing of the user's can be in the way.
        region, credentials = environ.get("AWS_DEFAULT_REGION"), EnvProvider(standby).load()
    elif reference == "env" and not with_region:
        region, credentials = None, EnvProvider(environ).load()
    else:
        session = _session(profile_of(reference), given)
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
        facts={"provider": credentials.method, "temporary": bool(keys.token), "profile": profile_of(reference)},
        secrets=tuple(filter(None, (keys.access_key, keys.secret_key, keys.token))),
    )


def _session(profile: str | None, given: Mapping[str, str] | None) -> Any:
    """A session of botocore; with `given`, one that sees these variables and none of our own."""
    from botocore.session import Session

    if given is None:
        return Session(profile=profile)
    session = Session(
        profile=profile,
        # Name in the AWS files, environment variable, default, conversion; where no variable is named, none is read.
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
    session.get_component("credential_provider").remove("env")
    return session


def known_profiles(given: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Names of the profiles that botocore sees; empty where it cannot read its files.

    Args:
        given: environment of another program, as for `resolve`.
    """
    from botocore.exceptions import BotoCoreError

    try:
        return tuple(sorted(_session(None, given).full_config.get("profiles", {})))
    except BotoCoreError:
        return ()


def surroundings(reference: str, environ: Mapping[str, str], given: Mapping[str, str] | None = None) -> dict[str, Fact]:
    """What the texts of a failed credential need to say where it was looked for. No keys, no files, no network.

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
    named = profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    only = "AWS_REGION" in environ and "AWS_DEFAULT_REGION" not in environ
    return {
        "profile": named or "default",
        "config_files": " and ".join(files),
        "profile_option": f" --profile {named}" if named else "",
        "credential_note": _no_keys(reference, environ) + _not_passed(withheld),
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


def _no_keys(reference: str, environ: Mapping[str, str]) -> str:
    if reference == "env":
        return "AWS_ACCESS_KEY_ID is not set in the environment"
    if profile := profile_of(reference):
        return f"profile {profile} has neither keys nor a way to get them"
    named = environ.get("AWS_PROFILE")
    where = f"AWS_PROFILE names {named}, which has none" if named else "no AWS_PROFILE, and [default] has none"
    return f"the chain of botocore found nothing: no AWS_ACCESS_KEY_ID in the environment, {where}, no instance role"
