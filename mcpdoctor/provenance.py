"""Where keys come from, for whom they are and until when, as far as that is known without a call. Never the keys.

What is read: the settings of the profile (chosen names only), the id of the access key, the caches of logins (dates
only), and the environment. What botocore's names of providers mean stands in `checks/providers.toml`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from mcpdoctor import catalogue
from mcpdoctor.endpoints import REGION, host_of
from mcpdoctor.model import Fact
from mcpdoctor.redaction import clean

_ID = re.compile(r"(A[KS]IA)([A-Z2-7]{16})")
_MAX_ACCOUNT = 999_999_999_999
_MAX_CACHE = 2**20
_MAX_SOURCES = 8

SHADOWING = "AWS_ACCESS_KEY_ID"
"""The variable whose key goes before a profile that the environment names."""

_NO_LOGIN = "; there is no login of it on this machine"

_KEPT = (
    "region",
    "role_arn",
    "role_session_name",
    "source_profile",
    "credential_source",
    "credential_process",
    "mfa_serial",
    "web_identity_token_file",
    "login_session",
    "sso_session",
    "sso_start_url",
    "sso_region",
    "sso_account_id",
    "sso_role_name",
)
"""Settings of a profile that are looked at; no key is among them."""

_MAKES_KEYS = ("role_arn", "credential_process", "login_session", "sso_account_id", "aws_access_key_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider of credentials, by botocore's name for it; see `checks/providers.toml`."""

    name: str
    words: str
    renews: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition of AWS; see `checks/partitions.toml`."""

    name: str
    title: str
    regions: tuple[str, ...]
    hosts: tuple[str, ...]
    sts: str
    home: str
    source: str
    as_of: str


@cache
def providers() -> Mapping[str, Provider]:
    """The providers, by name."""
    return {one.name: one for one in catalogue.entries(catalogue.locate() / "providers.toml", Provider)}


@cache
def partitions() -> Mapping[str, Partition]:
    """The partitions, by name."""
    return {one.name: one for one in catalogue.entries(catalogue.locate() / "partitions.toml", Partition)}


def account_of(key_id: str) -> str | None:
    """The account that an access key id belongs to: twelve digits, or None where it does not tell.

    Since about 2019, AWS writes the account into the id: base32 behind the four letters, of which bits 1 to 40 are the
    account; the first bit says that it is one of these. Found by A. Steele and T. Be'ery, not documented by AWS
    (https://hackingthecloud.eu/aws/enumeration/get-account-id-from-keys/), so it is shown as what it is read off.
    """
    found = _ID.fullmatch(key_id)
    if found is None:
        return None
    try:
        first = int.from_bytes(base64.b32decode(found[2])[:6], "big")
    except binascii.Error:
        return None
    number = (first & 0x7FFF_FFFF_FF80) >> 7
    return f"{number:012}" if first >> 47 and number <= _MAX_ACCOUNT else None


def kind_of(key_id: str) -> str | None:
    """`temporary` or `long-term`, by the first four letters; None for keys of others than AWS.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """
    return {"ASIA": "temporary", "AKIA": "long-term"}.get(key_id[:4]) if _ID.fullmatch(key_id) else None


def partition_of_region(region: str) -> str:
    """The partition that a region is in."""
    claims = [(start, one.name) for one in partitions().values() for start in one.regions if region.startswith(start)]
    return max(claims, key=lambda claim: len(claim[0]))[1]


def partition_of_url(url: str, region: str | None) -> str | None:
    """The partition that a server of AWS is in; None for a server that is not one of AWS.

    Args:
        url: of the endpoint.
        region: that its host names, or that is signed for.
    """
    host = host_of(url)
    ending = {
        suffix: one.name
        for one in partitions().values()
        for suffix in one.hosts
        if host == suffix or host.endswith(f".{suffix}")
    }
    if not ending:
        return None
    found = ending[max(ending, key=len)]
    labels = [one for one in host.split(".") if re.fullmatch(REGION, one)]
    where = labels[0] if labels else region
    return partition_of_region(where) if found == "aws" and where else found


def sts_host(region: str | None, partition: str | None) -> tuple[str, str]:
    """Host of AWS STS, and the region to sign for.

    Args:
        region: that is signed for otherwise.
        partition: of the credential, where it is known: STS of another one does not know it.
    """
    found = partition or (partition_of_region(region) if region else "aws")
    one = partitions().get(found, partitions()["aws"])
    usable = region if region and re.fullmatch(REGION, region) else None
    chosen = usable if usable and partition_of_region(usable) == one.name else one.home
    return one.sts.replace("{region}", chosen), chosen


# profiles -------------------------------------------------------------------------------------------------------------


def settings_of(profiles: Mapping[str, Any], name: str) -> dict[str, str]:
    """The settings of a profile that may be looked at; empty where there is no such profile."""
    found = profiles.get(name)
    if not isinstance(found, Mapping):
        return {}
    return {key: found[key] for key in _KEPT if isinstance(found.get(key), str)}


def with_credentials(profiles: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the profiles that have keys, or a way to get them."""
    return tuple(
        sorted(
            name for name, one in profiles.items() if isinstance(one, Mapping) and any(k in one for k in _MAKES_KEYS)
        )
    )


def named_profile(reference_profile: str | None, environ: Mapping[str, str]) -> str | None:
    """The profile that was named, by the reference or by the environment, in botocore's order; None for none."""
    return reference_profile or environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE") or None


def shadows(reference: str, environ: Mapping[str, str], *, of_another: bool) -> bool:
    """Whether keys of the environment go before the profile that the environment names.

    botocore drops the keys of the environment only for a profile that a program names itself
    (`create_credential_resolver` in botocore/credentials.py).

    Args:
        reference: the credential.
        environ: the environment it is resolved in.
        of_another: whether that is the environment of another program: then `env` is what its keys were found to be.
    """
    asked = reference == "default" or (reference == "env" and of_another)
    return asked and bool(environ.get(SHADOWING)) and named_profile(None, environ) is not None


def of_profile(profiles: Mapping[str, Any], name: str) -> dict[str, Fact]:
    """What the settings of a profile say about the credential that it makes.

    Args:
        profiles: settings of all of them, as botocore reads them.
        name: of the one in use.
    """
    mine = settings_of(profiles, name)
    source, origin = _origin(profiles, name)
    role = mine.get("role_arn")
    facts: dict[str, Fact] = {
        "login_session": "login_session" in origin,
        "login_profile": source,
        "profile_region": mine.get("region"),
        "assumes_role": role is not None,
        "web_identity": "web_identity_token_file" in mine,
        "credential_process": "credential_process" in origin,
    }
    if role is not None:
        facts |= {"role": _shown(role), "role_session_name": _shown(mine.get("role_session_name"))}
        facts["source_profile"] = _shown(mine.get("source_profile") or mine.get("credential_source"))
    elif "sso_role_name" in mine:
        facts["role"] = _shown(mine["sso_role_name"])
    if "sso_session" in origin:
        facts["sso_session"] = _shown(origin["sso_session"])
    if "login_session" in origin:
        facts["login_command"] = f"aws login --profile {source}" if source != "default" else "aws login"
    elif "sso_account_id" in origin or "sso_start_url" in origin or "sso_session" in origin:
        command = f"aws sso login --profile {source}" if source != "default" else "aws sso login"
        also = f" (or aws sso login --sso-session {origin['sso_session']})" if "sso_session" in origin else ""
        facts["login_command"] = f"{command}{_shown(also)}"
    return {key: value for key, value in facts.items() if value is not None}


def _origin(profiles: Mapping[str, Any], name: str) -> tuple[str, dict[str, str]]:
    """The profile that a chain of roles begins with: the one that a login is for."""
    mine = settings_of(profiles, name)
    for _ in range(_MAX_SOURCES):
        source = mine.get("source_profile")
        if not source or source == name or "role_arn" not in mine or source not in profiles:
            break
        name, mine = source, settings_of(profiles, source)
    return name, mine


def _shown(value: str | None) -> str | None:
    return clean(value, limit=200) if value is not None else None


# logins ---------------------------------------------------------------------------------------------------------------


def login_of(profiles: Mapping[str, Any], sessions: Mapping[str, Any], name: str, now: datetime) -> dict[str, Fact]:
    """Until when the login of a profile lasts, by the cache that `aws sso login` or `aws login` wrote.

    Args:
        profiles: settings of all profiles.
        sessions: settings of all `sso-session` sections.
        name: of the profile in use.
        now: aware.
    """
    _, origin = _origin(profiles, name)
    if "login_session" in origin:
        key = hashlib.sha256(origin["login_session"].encode()).hexdigest()
        directory = os.environ.get("AWS_LOGIN_CACHE_DIRECTORY") or "~/.aws/login/cache"
        token = _cached(Path(os.path.expandvars(directory)) / f"{key}.json")
        inner = token.get("accessToken")
        ends = moment_of(inner.get("expiresAt")) if isinstance(inner, dict) else None
        if not token:
            return {"login_note": _NO_LOGIN}
        # Its end is known to the sign-in service alone; what stands here is that of the last keys.
        return {"login_note": f"; its last keys ended {when(ends)}"} if ends is not None and ends < now else {}
    session = origin.get("sso_session")
    settings = sessions.get(session) if session else None
    url = session or origin.get("sso_start_url")
    if not url or (session and not isinstance(settings, Mapping)):
        return {}
    from botocore.credentials import SSOProvider

    # As botocore has it: the home directory of the moment in which it was imported.
    token = _cached(Path(SSOProvider._SSO_TOKEN_CACHE_DIR) / f"{hashlib.sha1(url.encode()).hexdigest()}.json")  # noqa: S324
    return _ends(token.get("expiresAt"), now, renews="refreshToken" in token, there=bool(token))


def _cached(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            document = json.loads(file.read(_MAX_CACHE))
    except (OSError, ValueError, RecursionError, RuntimeError):
        return {}
    return document if isinstance(document, dict) else {}


def _ends(text: object, now: datetime, *, renews: bool, there: bool) -> dict[str, Fact]:
    if not there:
        return {"login_note": _NO_LOGIN}
    moment = moment_of(text)
    if moment is None:
        return {}
    left_s = round((moment - now).total_seconds())
    ended = left_s <= 0
    note = f"; its login {'ended' if ended else 'lasts until'} {when(moment)}" + ("" if ended else f" ({span(left_s)})")
    return {"login_expires": _iso(moment), "login_left_s": left_s, "login_renews": renews, "login_note": note}


def moment_of(value: object) -> datetime | None:
    """A moment of botocore (a datetime, or text in ISO 8601); aware, in UTC. None for what is none."""
    if isinstance(value, str) and len(value) < 60:
        try:
            value = datetime.fromisoformat(value.strip().removesuffix("UTC"))
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def when(moment: datetime) -> str:
    """A moment in words: `2026-11-22 12:00 UTC`."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """How far a moment is away: `in 12 min`, `3 h ago`."""
    size = abs(seconds)
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if size >= 2 * length or (unit == "min" and size >= length):
            words = f"{size / length:.0f} {unit}"
            break
    else:
        words = f"{size:.0f} s"
    return f"in {words}" if seconds > 0 else f"{words} ago"


# a credential that was resolved ---------------------------------------------------------------------------------------


def of_keys(
    method: str, key_id: str, *, token: bool, expires: object, account: object, now: datetime
) -> dict[str, Fact]:
    """What the keys themselves tell.

    Args:
        method: botocore's name of the provider.
        key_id: the id of the access key; not kept.
        token: whether there is a session token.
        expires: moment at which they end, where botocore knows it.
        account: account id, where the provider gave it.
        now: aware.
    """
    known = providers().get(method)
    facts: dict[str, Fact] = {"provider": method, "temporary": token, "renews": known.renews if known else None}
    if (kind := kind_of(key_id)) is not None:
        facts["key_kind"] = kind
    if isinstance(account, str) and re.fullmatch(r"\d{12}", account):
        facts |= {"account": account, "account_known_by": "its provider"}
    elif (read := account_of(key_id)) is not None:
        facts |= {"account": read, "account_known_by": "the id of the access key"}
    if (moment := moment_of(expires)) is not None:
        left_s = round((moment - now).total_seconds())
        facts |= {"expires": _iso(moment), "expires_in_s": left_s, "expires_text": f"{when(moment)}, {span(left_s)}"}
    return facts


def partition_of(
    method: str, profile: Mapping[str, str], environ: Mapping[str, str], region: str | None
) -> dict[str, Fact]:
    """The partition that a credential belongs to, and what tells it; nothing where nothing does.

    An ARN says it for certain. A region says it only where it is in one of the smaller partitions: any profile may
    name a usual region.

    Args:
        method: botocore's name of the provider.
        profile: settings of the profile in use.
        environ: the environment it was resolved in.
        region: of the profile or the environment.
    """
    arns = {
        "assume-role": ("role_arn", profile.get("role_arn")),
        "assume-role-with-web-identity": ("role_arn", profile.get("role_arn") or environ.get("AWS_ROLE_ARN")),
        "login": ("login_session", profile.get("login_session")),
    }
    name, arn = arns.get(method, ("", None))
    parts = arn.split(":") if arn else []
    if len(parts) > 5 and parts[0] == "arn" and parts[1] in partitions():
        return _partition(parts[1], f"its {name}", certain=True)
    sso = method == "sso"
    where, known_by = (profile.get("sso_region"), "its sso_region") if sso else (region, f"the region {region}")
    found = partition_of_region(where) if where else "aws"
    if found == "aws":
        return {}
    return _partition(found, known_by, certain=False)


def _partition(name: str, known_by: str, *, certain: bool) -> dict[str, Fact]:
    verb = "belongs to" if certain else "probably belongs to"
    return {
        "credential_partition": name,
        "partition_known_by": known_by,
        "partition_certain": certain,
        "partition_verb": verb,
    }


def words_of(facts: Mapping[str, Fact]) -> str:
    """Who answered, for a person; botocore's own name for a provider that is not known here."""
    known = providers().get(str(facts.get("provider")))
    return known.words.replace("{profile}", str(facts.get("profile") or "default")) if known else str(facts["provider"])


def sentence(facts: Mapping[str, Fact]) -> str:
    """Who answered, for whom, until when: one line for a person."""
    parts = [words_of(facts)]
    if facts.get("role"):
        session = facts.get("role_session_name")
        parts.append(f"role {facts['role']}" + (f" as {session}" if session else ""))
    if facts.get("account"):
        parts.append(f"account {facts['account']} (by {facts.get('account_known_by')})")
    if facts.get("credential_partition"):
        likely = "" if facts.get("partition_certain") else "probably "
        parts.append(f"partition {likely}{facts['credential_partition']} (by {facts.get('partition_known_by')})")
    if facts.get("expires_text"):
        parts.append(f"until {facts['expires_text']}" + (", then renewed" if facts.get("renews") else ""))
    if facts.get("login_expires"):
        parts.append(str(facts.get("login_note", "")).removeprefix("; "))
    return "; ".join(parts)
