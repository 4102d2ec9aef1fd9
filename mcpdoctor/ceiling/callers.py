"""As whom each leg appears to the server: which legs are one caller, which differ, and in what. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcpdoctor.ceiling.whom import Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """As whom one leg appears.

    Attributes:
        address: the address it connects from; None where that is not known, as behind an HTTP proxy.
        seen: whether the server sees that address for certain: a public one, one on the server's own network, or one
            that the user named. A private one may be changed on the way.
        machine: the machine, and since when it runs: two with the same private address are told apart by it.
        key: a fingerprint of the key that it signs with, salted for this run; None where it does not sign.
        credential: the reference of that key.
        name: the machine, in words.
    """

    address: str | None
    seen: bool = False
    machine: str = ""
    key: str | None = None
    credential: str = "none"
    name: str = ""

    def __str__(self) -> str:
        signing = f"signed with {self.credential}" if self.key else "unsigned"
        return f"{self.address or self.name} ({signing})"


def same_key(one: Caller, other: Caller) -> bool | None:
    """Whether both sign with the same key, or neither signs; None where two keys may be of one role."""
    if one.key == other.key:
        return True
    return None if one.credential == other.credential else False


def same_address(one: Caller, other: Caller) -> bool | None:
    """Whether the server sees one address; None where that is not known."""
    if one.address is None or other.address is None:
        return None
    if one.address == other.address:
        return True if one.machine == other.machine or (one.seen and other.seen) else None
    return False if one.seen and other.seen else None


def parties(callers: Mapping[int, Caller]) -> list[list[int]]:
    """Legs that are one caller together, in their order.

    Args:
        callers: by the number of the leg.
    """
    found: list[list[int]] = []
    for leg, caller in callers.items():
        mine = next(
            (
                party
                for party in found
                if same_key(callers[party[0]], caller) and same_address(callers[party[0]], caller)
            ),
            None,
        )
        if mine is None:
            found.append([leg])
        else:
            mine.append(leg)
    return found


def difference(one: Caller, other: Caller) -> Difference:
    """In what the other differs from the one."""
    address, key = same_address(one, other), same_key(one, other)
    return Difference(
        address=None if address is None else not address,
        credential=None if key is None else not key,
        signed=one.key is not None and other.key is not None,
        first=str(one),
        other=str(other),
    )


def rivals(first: Caller, others: Mapping[int, Caller]) -> dict[int, Difference]:
    """Whom it is worth to compare the first caller with: one that differs in address alone, one in its key alone.

    Where there is neither, one that differs in both. Signed and unsigned callers are not compared: servers have other
    limits for these, and neither answer would tell what is counted.

    Args:
        first: the caller of the search.
        others: the legs that are not of its party, by number.
    """
    found = {
        leg: difference(first, other) for leg, other in others.items() if (first.key is None) == (other.key is None)
    }
    by_address = _best(found, [(True, False), (None, False)])
    by_key = _best(found, [(False, True), (False, None)])
    chosen = [leg for leg in (by_address, by_key) if leg is not None]
    if not chosen:
        chosen = list(found)[:1]
    return {leg: found[leg] for leg in chosen}


def _best(found: Mapping[int, Difference], wanted: Sequence[tuple[bool | None, bool | None]]) -> int | None:
    for address, credential in wanted:
        for leg, one in found.items():
            if (one.address, one.credential) == (address, credential):
                return leg
    return None
