"""Bearer tokens of OAuth: taken from an environment variable, sent as they are, and never shown.

A token that is a JWT is opened without its signature being looked at (nobody but the server has the keys): what it
claims explains a refusal, and proves nothing. Opaque tokens are as good.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from mcpdoctor.model import BEARER, Fact, Unusable
from mcpdoctor.redaction import clean

AUTHORIZATION = "authorization"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LONGEST = 32_768
_MOST_SHOWN = 200
_MOST_VALUES = 10
# Key ids of IAM, and how session tokens of STS begin; a token of AWS Sign-in begins otherwise.
# A secret key that is sent as a token is lost, so what looks like one is not sent: 40 letters and digits with / or +.
_AWS_KEY = re.compile(
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}|(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)[\w+/=-]+"
    r"|(?=[^/+]*[/+])(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9])[A-Za-z0-9/+]{40}"
)
# More than section 2.1 of RFC 6750 allows: servers hand out tokens with | and : in them.
_TOKEN = re.compile(r"[!#-&(-+\--:<-\[\]-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that can be sent, or why it cannot.

    Attributes:
        header: value of the header `Authorization`; empty where there is no usable token.
        facts: what may be shown: of a JWT its issuer, audience, client, scopes and times.
    """

    header: str = field(default="", repr=False)
    facts: Mapping[str, Fact] = field(default_factory=dict)


def variable_of(reference: str) -> str | None:
    """Name of the variable in a reference `bearer:NAME`, else None."""
    return reference.removeprefix(BEARER) if reference.startswith(BEARER) else None


def check_variable(name: str) -> str:
    """Return `name` if it can be the name of an environment variable.

    Raises:
        Unusable: it cannot; it may be the token itself, so it is not repeated.
    """
    # A pasted token may look like a name: those of people are short, and no JWT begins otherwise.
    if not _NAME.fullmatch(name) or name.startswith("eyJ") or _AWS_KEY.fullmatch(name):
        raise Unusable(
            "bearer: is followed by the name of an environment variable that holds the token, such as "
            "bearer:MCP_TOKEN. The token itself is never given on the command line."
        )
    return name


def token_of(name: str, environ: Mapping[str, str]) -> Token:
    """The token in an environment variable.

    Args:
        name: of the variable.
        environ: environment variables of the user, or of the program that is diagnosed.
    """
    value = environ.get(name, "")
    problem = _problem(name, value, given=name in environ)
    shown: dict[str, Fact] = {"bearer": True, "token_variable": name, "provider": "an OAuth bearer token"}
    if problem is not None:
        kind, words = problem
        return Token(facts={**shown, "token_usable": False, "token_lack": kind == "missing", "token_problem": words})
    return Token(header=f"Bearer {value}", facts={**shown, "token_usable": True, **claims_facts(value)})


def pieces(header: str) -> tuple[str, ...]:
    """What must not be shown of a value of a header: it, without its scheme too; of a JWT every part of it."""
    bare = header.rpartition(" ")[2]
    return tuple(filter(None, bare.split("."))) if _claims(bare) is not None else (header, bare)


def sent_facts(headers: Mapping[str, str]) -> dict[str, Fact]:
    """What the token in the headers of an entry of a client file says; empty where none is among them.

    Args:
        headers: names and values, as the entry has them.
    """
    value = next((text for name, text in headers.items() if name.casefold() == AUTHORIZATION), "")
    scheme, _, token = value.strip().partition(" ")
    if scheme.casefold() != "bearer":
        return {}
    return {"bearer": True, "token_usable": True, "token_variable": "the entry", **claims_facts(token.strip())}


def _problem(name: str, value: str, *, given: bool) -> tuple[str, str] | None:
    """What keeps a value from being sent as a token: its kind and a part of a sentence."""
    if not value:
        return "missing", f"the environment variable {name} is {'empty' if given else 'not set'}"
    if value.strip().casefold().startswith("bearer "):
        return "form", f"{name} begins with the word Bearer, which mcpdoctor and most clients put in front themselves"
    if value != value.strip() or re.search(r"\s", value):
        return "form", f"{name} holds a blank or a line end, which no token has"
    if _AWS_KEY.fullmatch(value):
        return (
            "form",
            f"{name} holds what looks like a key or session token of AWS; those sign requests, and are not sent",
        )
    if len(value) > _LONGEST:
        return "form", f"{name} holds {len(value)} characters; no server takes a header of that size"
    if not _TOKEN.fullmatch(value):
        return "form", f"{name} holds characters that no token has (quotes, commas and letters with accents are usual)"
    return None


# What a JWT claims ----------------------------------------------------------------------------------------------------


def claims_facts(token: str, now: float | None = None) -> dict[str, Fact]:
    """What a token says of itself; only that it is opaque where it is no JWT. Nothing is verified.

    Neither the subject nor any name or address of a person is among them.

    Args:
        token: without the word Bearer.
        now: seconds since the epoch; the clock of this machine by default.
    """
    claims = _claims(token)
    if claims is None:
        return {"token_kind": "opaque", "token_note": "It is opaque: nothing can be read off it."}
    facts: dict[str, Fact] = {"token_kind": "jwt"}
    for fact, keys in (("token_issuer", ("iss",)), ("token_client", ("client_id", "azp", "cid", "appid"))):
        named = next((text for key in keys if (text := _text(claims.get(key)))), None)
        if named:
            facts[fact] = named
    if audience := _texts(claims.get("aud")):
        facts["token_audience"] = audience
    if scopes := _texts(claims.get("scope") or claims.get("scp"), split=True):
        facts["token_scopes"] = scopes
    for fact, key in (("token_expires", "exp"), ("token_valid_from", "nbf")):
        if (moment := _moment(claims.get(key))) is not None:
            facts[f"{fact}_s"] = moment
            facts[fact] = clock_time(moment)
    return {**facts, **validity(facts, time.time() if now is None else now), "token_note": _note(facts)}


def validity(facts: Mapping[str, Fact], now: float) -> dict[str, Fact]:
    """Whether the times that a token claims allow its use at `now`, in seconds since the epoch."""
    ends, begins = facts.get("token_expires_s"), facts.get("token_valid_from_s")
    found: dict[str, Fact] = {}
    if isinstance(ends, int | float):
        found["token_expired"] = ends <= now
    if isinstance(begins, int | float):
        found["token_early"] = begins > now + 1
    return found


def clock_time(moment: float) -> str:
    """A moment, in seconds since the epoch, as `14:05 UTC on 2026-11-22`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M UTC on %Y-%m-%d")


def elsewhere(facts: Mapping[str, Fact], resource: str | None, issuers: tuple[str, ...]) -> dict[str, Fact]:
    """Whether a token was made for another server, or by another issuer, than the server asks for.

    An audience that is no URL is a name that only issuer and server understand, so it tells nothing.

    Args:
        facts: of the token.
        resource: `resource` of the metadata of the protected resource.
        issuers: `authorization_servers` of the same.
    """
    audience, issuer = facts.get("token_audience"), facts.get("token_issuer")
    wanted = []
    named = audience if isinstance(audience, tuple) and all(re.match("https?://", one) for one in audience) else ()
    if resource and named and not any(_same(one, resource) or _same_origin(one, resource) for one in named):
        wanted.append(f"a token for {clean(resource, limit=_MOST_SHOWN)}")
    if issuers and isinstance(issuer, str) and not any(_same(issuer, one) for one in issuers):
        wanted.append(f"one of the issuer {clean(issuers[0], limit=_MOST_SHOWN)}")
    return {"token_elsewhere": bool(wanted), "token_wanted": " and ".join(wanted)}


def _same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    try:
        a, b = urlsplit(one), urlsplit(other)
        return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)
    except ValueError:
        return False


def _same(one: str, other: str) -> bool:
    """Whether two identifiers are the same but for what is written in different ways."""

    def plain(text: str) -> str:
        text = re.sub(r"/\.well-known/(?:openid-configuration|oauth-authorization-server)$", "", text)
        return text.rstrip("/").casefold()

    return plain(one) == plain(other)


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        return None
    head, claims = (_document(part) for part in parts[:2])
    return claims if head is not None and "alg" in head and claims is not None else None


def _document(part: str) -> dict[str, Any] | None:
    try:
        document = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(value: object) -> str | None:
    return clean(" ".join(value.split()), limit=_MOST_SHOWN) if isinstance(value, str) and value.strip() else None


def _texts(value: object, *, split: bool = False) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split() if split else [value]
    if not isinstance(value, list):
        return ()
    return tuple(filter(None, map(_text, value[:_MOST_VALUES])))


def _moment(value: object) -> float | None:
    """Seconds since the epoch that `datetime` can show."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 32_503_680_000:
        return None
    return round(value) if math.isfinite(value) else None


def _note(facts: Mapping[str, Fact]) -> str:
    """What the token says of itself, in one sentence."""

    def shown(name: str) -> str:
        value = facts[name]
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    words = (
        ("token_issuer", "issued by"),
        ("token_audience", "for"),
        ("token_client", "to the client"),
        ("token_scopes", "with the scopes"),
        ("token_expires", "valid until"),
    )
    said = [f"{word} {shown(name)}" for name, word in words if name in facts]
    return f"The token says: {', '.join(said)}." if said else "The token says neither who it is for nor until when."
