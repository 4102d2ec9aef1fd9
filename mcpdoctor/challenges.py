"""Read what a refusal asks for: the challenges of `WWW-Authenticate` (RFC 9110, section 11.6.1).

Written here because nothing that is kept up reads it as servers send it: the regular expression of the `mcp` SDK finds
names inside of quoted strings and in other challenges, werkzeug reads the first challenge only, and the parsers on PyPI
are abandoned or refuse a header with one odd character. This one goes on behind what it does not understand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mcpdoctor.model import Fact
from mcpdoctor.redaction import clean

HEADER = "www-authenticate"
RENAMED = "x-amzn-remapped-www-authenticate"
"""What API Gateway makes of `WWW-Authenticate`; no client reads it."""

_LONGEST = 8192
_MOST = 16

_GAP = re.compile(r"[ \t,]*+")
_BLANK = re.compile(r"[ \t]*+")
_WORD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
_EQUALS = re.compile(r"[ \t]*+=[ \t]*+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]++=*+(?=[ \t]*+(?:,|$))")
_REST = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers.

    Attributes:
        scheme: its name in lower case, such as `bearer`.
        parameters: by lower-case name; of a name that comes twice, the first counts.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(header: str) -> tuple[Challenge, ...]:
    """Read a header, or several that were joined by commas; what is malformed is left out.

    Takes time that grows with the length only, of which no more than 8192 characters are read.
    """
    text = header[:_LONGEST]
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while (at := _end(_GAP, text, at)) < len(text) and len(found) <= _MOST:
        word = _WORD.match(text, at)
        if word is None:
            at = max(_end(_REST, text, at), at + 1)
            continue
        equals = _EQUALS.match(text, word.end())
        if equals is None:
            found.append((word[0].lower(), {}))
            at = _end(_BLANK, text, word.end())
            # `Negotiate YIIabc==`: a scheme with one word in place of parameters.
            token = _TOKEN68.match(text, at)
            if token is not None and "=" not in text[word.end() : at] and at > word.end():
                at = token.end()
            continue
        quoted = _QUOTED.match(text, equals.end())
        plain = _WORD.match(text, equals.end())
        value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else plain[0] if plain else None
        at = _end(_REST, text, equals.end())
        if found and value is not None:
            found[-1][1].setdefault(word[0].lower(), value)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found[:_MOST])


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def bearer(headers: Mapping[str, str]) -> Challenge | None:
    """The challenge for a bearer token in the headers of an answer, renamed or not; None where there is none."""
    for name in (HEADER, RENAMED):
        for one in parse(headers.get(name, "")):
            if one.scheme == "bearer":
                return one
    return None


def challenge_facts(headers: Mapping[str, str]) -> dict[str, Fact]:
    """What conditions compare and texts say of the challenges of an answer.

    Args:
        headers: by lower-case name, already made safe to show.
    """
    asked = bearer(headers)
    facts: dict[str, Fact] = {
        "challenged": HEADER in headers,
        "bearer_challenge": asked is not None,
        "challenge_renamed": RENAMED in headers and HEADER not in headers,
    }
    if asked is None:
        return facts
    for name, key in (
        ("challenge_error", "error"),
        ("challenge_description", "error_description"),
        ("challenge_scope", "scope"),
        ("metadata_named", "resource_metadata"),
    ):
        if value := asked.parameters.get(key):
            facts[name] = clean(value, limit=400)
    facts["challenge_said"] = _said(facts)
    return facts


def _said(facts: Mapping[str, Fact]) -> str:
    words = [str(facts[name]) for name in ("challenge_error", "challenge_description") if name in facts]
    return f" ({': '.join(words)})" if words else ""
