"""Whom a limit counts: what comparisons of callers mean, given in what the callers differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mcpdoctor.ceiling.cross import Answer, Crossing
from mcpdoctor.samples import Kind

Per = Literal["identity", "address", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """In what a rival differs from the callers of the search.

    Attributes:
        address: whether the server sees another address; None where that is not known, as behind one NAT.
        credential: whether it signs with other keys; None where these may be keys of the same role.
        signed: whether both sign.
        first: the callers of the search, in words.
        other: the rival, in words.
    """

    address: bool | None
    credential: bool | None
    signed: bool
    first: str = "the first caller"
    other: str = "the other"


def whom(compared: Sequence[tuple[Crossing, Difference]]) -> tuple[Per, str]:
    """What a limit counts by, and how that was found out.

    Only what the evidence shows is claimed. Two callers that differ in one thing and have a limit each are counted by
    that thing. Two that share it are not counted by the thing in which they differ; by what they are counted is clear
    only for one key at two addresses, and only while no two keys share the limit.

    Args:
        compared: each comparison, with the difference of its callers.

    Returns:
        `identity`, `address` or `unknown`, and sentences for people.
    """
    found = [(*_one(crossing, difference), crossing, difference) for crossing, difference in compared]
    claims: set[Per] = {claim for claim, *_ in found if claim != "unknown"}
    told = " ".join(f"{_told(crossing, difference)}{reason}." for _, reason, crossing, difference in found)
    keys_share = any(
        crossing.answer is Answer.SHARED and difference.credential and difference.signed
        for _, _, crossing, difference in found
    )
    if len(claims) > 1:
        return "unknown", f"{told} Each address with each key has a limit of its own."
    if claims == {"identity"} and keys_share:
        return "unknown", f"{told} Different keys share it too: it may count an account, or everybody."
    return (claims.pop() if claims else "unknown"), told or "Nothing was compared: there was one caller."


def _one(crossing: Crossing, difference: Difference) -> tuple[Per, str]:
    """What one comparison shows, and what has to be added to it."""
    if crossing.answer is Answer.UNCLEAR:
        return "unknown", ""
    if crossing.answer is Answer.OWN:
        return _own(difference)
    return _shared(difference)


def _own(difference: Difference) -> tuple[Per, str]:
    if difference.address is False and difference.credential is False:
        return "unknown", ", although the server sees the same address and the same key"
    if difference.credential is False:
        if difference.address is None:
            return "unknown", "; whether the server sees two addresses is not known (--from-address names them)"
        return "address", ""
    if difference.address is False:
        if not difference.signed:
            return "unknown", "; unsigned and signed callers may have different limits"
        return "identity", ""
    return "unknown", "; they differ in address and in key, and either may count"


def _shared(difference: Difference) -> tuple[Per, str]:
    if difference.credential is False and difference.address:
        if difference.signed:
            return "identity", ""
        return "unknown", "; unsigned callers have no identity: it may count everybody together"
    if difference.credential is False and difference.address is None:
        return "unknown", "; both may leave through one address (NAT)"
    if difference.address is False:
        return "unknown", "; it may count the address, or the account of both keys"
    return "unknown", "; it may count an account, or everybody together"


def _told(crossing: Crossing, difference: Difference) -> str:
    """What was compared and what was seen, as a sentence without its stop."""
    first, other = difference.first, difference.other
    if crossing.answer is Answer.UNCLEAR:
        return f"{other} could not be compared with {first}: {crossing.why}"
    limit, got = crossing.at_limit, crossing.got
    if crossing.kind is Kind.SESSIONS:
        if crossing.answer is Answer.OWN:
            return f"While {first} had {_count(limit, 'session')} and no more, {other} got {got} besides"
        return f"While {first} had {_count(limit, 'session')}, {other} was refused twice, until one was given back"
    if crossing.kind is Kind.IN_FLIGHT:
        if crossing.answer is Answer.OWN:
            return f"While {first} had {_count(limit, 'request')} in flight and no more, {other} got {got} besides"
        return f"{first} and {other} together had {_count(limit, 'request')} in flight and no more, twice over"
    if crossing.answer is Answer.OWN:
        return f"When {first} had used up {_count(limit, 'request')} at once, {other} got {got} besides, twice over"
    return f"When {first} had used up {_count(limit, 'request')} at once, {other} was refused, twice over"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
