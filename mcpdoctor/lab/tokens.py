"""Bearer tokens of the lab: JSON Web Tokens with a key that is in this file for everybody to read.

Written from RFC 7515 and RFC 7519 with the standard library alone, so that the lab stays an independent witness. They
open nothing anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

VARIABLE = "MCPDOCTOR_LAB_TOKEN"
"""The environment variable in which the lab hands a good token out."""

ISSUER = "https://login.lab.test"
SIGN_IN = "aws-mcp.amazonaws.com"
"""The resource that tokens for AWS MCP Server are asked for (documented: create-oauth2-token-with-iam)."""

CLIENT = "made-up-lab-client"
LIFETIME_S = 12 * 3600

_KEY = b"made-up/lab/key/for/tokens/EXAMPLEKEY+42"


def mint(*audience: str, valid_s: float = LIFETIME_S, from_s: float = 0.0, **claims: Any) -> str:
    """Make a token.

    Args:
        audience: What it is for.
        valid_s: How long from now it is valid, in seconds; less than nothing for one that ran out.
        from_s: When from now it becomes valid, in seconds.
        claims: Further ones, or others in place of the usual ones.

    Returns:
        The token, signed with HS256.
    """
    now = int(time.time())
    body = {
        "iss": ISSUER,
        "aud": list(audience),
        "client_id": CLIENT,
        "scope": "tools:read tools:call",
        "sub": "made-up-lab-person",
        "email": "person@lab.test",
        "iat": now,
        "nbf": now + int(from_s),
        "exp": now + int(valid_s),
        **claims,
    }
    parts = (_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, body))
    text = ".".join(parts)
    return f"{text}.{_encoded(_signature(text))}"


def wrong(token: str, audience: str) -> str | None:
    """What is wrong with a token, in the words of an OAuth error description; None for a good one."""
    text, _, signature = token.rpartition(".")
    try:
        given, claims = _decoded(signature), json.loads(_decoded(text.partition(".")[2]))
    except ValueError:
        return "The access token is malformed"
    if not hmac.compare_digest(given, _signature(text)):
        return "The access token is not known"
    now = time.time()
    if claims["exp"] <= now:
        return "The access token expired"
    if claims["nbf"] > now + 5:
        return "The access token is not valid yet"
    if audience not in claims["aud"]:
        return "The access token is not meant for this resource"
    return None


def _signature(text: str) -> bytes:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
