"""What the search can ask for. Whoever carries an action out reports one sample for each HTTP request it took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Open one session and keep it.

    It counts as held when every request it took was accepted. Of one that came halfway, whoever carries this out gives
    back what was opened, and reports that request too.

    Attributes:
        session: its number; never used before.
        leg: from which machine or address, by its number; None leaves that to whoever carries it out. Everything else
            that belongs to a session goes the way on which it was opened.
    """

    session: int
    leg: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close sessions, all requests of it one after another.

    Attributes:
        sessions: their numbers.
    """

    sessions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Send one cheap request, and wait for its answer.

    Attributes:
        session: over which session; None for a request of its own, where none could be opened.
        leg: as in `Open`, for a request without a session.
    """

    session: int | None
    leg: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Send requests so that they are in flight together.

    The requests of a group go out at once. `gap_s` after a group went out comes the next, unless by then one request of
    a group but the first was refused or failed, or two of any. (The first group is known to pass: one refusal in it is
    a stray and tells nothing of the next group.) The burst ends when all that was sent is answered.

    Attributes:
        groups: how many requests are in each group.
        gap_s: seconds from group to group.
        sessions: the sessions to spread requests over, in turn; None stands for a request without a session.
        light: whether the requests are cheap ones, answered at once; else the calls that the user wants to make.
        leg: as in `Open`, for requests without a session.
    """

    groups: tuple[int, ...]
    gap_s: float = 0.0
    sessions: tuple[int | None, ...] = (None,)
    light: bool = False
    leg: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Let workers call, each of them again as soon as it has its answer.

    Nothing more is sent once something was refused or failed; the loop ends when all that was sent is answered.

    Attributes:
        workers: how many requests are in flight at a time.
        requests: how many are sent in all.
        sessions: one for each worker, in turn, as in `Burst`.
        light: as in `Burst`.
    """

    workers: int
    requests: int
    sessions: tuple[int | None, ...] = (None,)
    light: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Send nothing for a while.

    Attributes:
        until_s: until when, in seconds of the search's clock.
    """

    until_s: float


Action = Open | Close | Call | Burst | Loop | Wait
