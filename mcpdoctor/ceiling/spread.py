"""Which leg does what: sessions find their places, and actions are split by the places of their sessions. Pure.

Legs that are alike in address and credential are one party: to the server they are one caller, and sessions go to them
in turn. Legs that differ are other parties, and are left alone while the first party has room: a limit that counts
addresses, met from two of them in turn, would look like no limit that there is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mcpdoctor.ceiling.actions import Burst, Loop


class Places:
    """Where sessions live.

    Args:
        parties: numbers of the legs; those that are alike together, in the order in which they are filled.
        room: how many sessions each leg can hold.
    """

    def __init__(self, parties: Sequence[Sequence[int]], room: Mapping[int, int]) -> None:
        self._parties = [list(party) for party in parties]
        self._room = dict(room)
        self._leg_of: dict[int, int] = {}

    def take(self, session: int, leg: int | None = None) -> int:
        """Give a session its place.

        Args:
            session: its number.
            leg: the leg that it has to be on; None takes the emptiest of the first party that has room.

        Returns:
            The leg.
        """
        self._leg_of[session] = self._emptiest() if leg is None else leg
        return self._leg_of[session]

    def free(self, session: int) -> None:
        """A session is gone."""
        self._leg_of.pop(session, None)

    def of(self, session: int | None, leg: int | None = None) -> int:
        """The leg of a session; of a request without one, `leg` or the first.

        Raises:
            KeyError: there is no such session.
        """
        if session is None:
            return self._parties[0][0] if leg is None else leg
        return self._leg_of[session]

    def lose(self, leg: int) -> None:
        """A leg is gone, and nothing more is put there."""
        self._parties = [left for party in self._parties if (left := [one for one in party if one != leg])]

    def _emptiest(self) -> int:
        held = {leg: 0 for party in self._parties for leg in party}
        for leg in self._leg_of.values():
            if leg in held:
                held[leg] += 1
        for party in self._parties:
            free = [leg for leg in party if held[leg] < self._room[leg]]
            if free:
                return min(free, key=lambda leg: held[leg])
        return min(held, key=lambda leg: held[leg])


def split_burst(burst: Burst, places: Places) -> dict[int, Burst]:
    """The part of each leg: the same groups, with the requests in them whose session lives there."""
    turns = itertools.cycle(burst.sessions)
    sizes: dict[int, list[int]] = {}
    sessions: dict[int, list[int | None]] = {}
    for group, size in enumerate(burst.groups):
        for session in itertools.islice(turns, size):
            leg = places.of(session, burst.leg)
            sizes.setdefault(leg, [0] * len(burst.groups))[group] += 1
            sessions.setdefault(leg, []).append(session)
    return {leg: replace(burst, groups=tuple(sizes[leg]), sessions=tuple(sessions[leg])) for leg in sizes}


def split_loop(loop: Loop, places: Places) -> dict[int, Loop]:
    """The part of each leg: the workers whose session lives there, and their share of the requests."""
    over: dict[int, list[int | None]] = {}
    for session in itertools.islice(itertools.cycle(loop.sessions), loop.workers):
        over.setdefault(places.of(session), []).append(session)
    parts: dict[int, Loop] = {}
    workers, left = loop.workers, loop.requests
    for leg, sessions in over.items():
        share = round(left * len(sessions) / workers)
        parts[leg] = replace(loop, workers=len(sessions), requests=share, sessions=tuple(sessions))
        workers, left = workers - len(sessions), left - share
    return {leg: part for leg, part in parts.items() if part.requests}
