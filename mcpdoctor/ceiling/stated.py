"""What the headers of an answer state about limits: Retry-After and the three families of rate-limit fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from mcpdoctor.samples import Stated

_LONGEST_S = 10 * 365 * 86400.0
"""Larger numbers in a reset field are moments of the Unix clock, as GitHub sends them, not seconds from now."""

_MEMBER = re.compile(r'\s*(?P<name>"[^"]*"|[^;,=\s]+)(?P<parameters>(?:;[^,]*)?)\s*(?:,|$)')
_PARAMETER = re.compile(r";\s*(?P<key>[a-z]+)\s*=\s*(?P<value>-?\d+(?:\.\d+)?)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After field asks to wait (RFC 9110, section 10.2.3).

    Args:
        value: the field; None where there was none.
        now: the wall clock, with its time zone: the field may be a date.

    Returns:
        Seconds, never negative; None where nothing was asked or the field is malformed.
    """
    if value is None:
        return None
    if _NUMBER.fullmatch(value.strip()):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):  # not a date, or one without a zone
        return None


def stated(headers: Mapping[str, str], now: datetime) -> tuple[Stated, ...]:
    """Read what rate-limit headers state.

    Known are `RateLimit-Policy` with `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), `RateLimit-Limit`,
    `-Remaining` and `-Reset` of its older drafts, and the same three with `X-`.

    Args:
        headers: of the answer; names in any case.
        now: the wall clock, with its time zone: `X-RateLimit-Reset` is often a moment.

    Returns:
        One for each policy, in the order of the headers; what is malformed is left out.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    policies = dict(_members(fields.get("ratelimit-policy", "")))
    states = dict(_members(fields.get("ratelimit", "")))
    named = tuple(
        Stated(
            name=name,
            requests=policies.get(name, {}).get("q"),
            window_s=policies.get(name, {}).get("w"),
            remaining=states.get(name, {}).get("r"),
            reset_s=states.get(name, {}).get("t"),
        )
        for name in [*policies, *(name for name in states if name not in policies)]
    )
    if any(one != Stated(name=one.name) for one in named):
        return named
    for family in ("ratelimit", "x-ratelimit"):
        limit, remaining, reset = (_number(fields.get(f"{family}-{what}")) for what in ("limit", "remaining", "reset"))
        if limit is None and remaining is None:
            continue
        windows = [
            parameters["w"] for _, parameters in _members(fields.get(f"{family}-limit", "")) if "w" in parameters
        ]
        if reset is not None and reset > _LONGEST_S:
            reset = max(0.0, reset - now.timestamp())
        return (Stated(requests=limit, window_s=windows[0] if windows else None, remaining=remaining, reset_s=reset),)
    return ()


def _members(field: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and numeric parameters of each member of a structured list (RFC 9651)."""
    for member in _MEMBER.finditer(field):
        parameters = {one["key"]: float(one["value"]) for one in _PARAMETER.finditer(member["parameters"])}
        yield member["name"].strip('"'), parameters


def _number(field: str | None) -> float | None:
    """The number that a field begins with; older drafts put policies after it (`10, 10;w=1`)."""
    found = _NUMBER.match((field or "").strip())
    return float(found[0]) if found else None
