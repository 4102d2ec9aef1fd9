"""Extra stage, where there are several callers: do they share the limit, or has each of them one of its own?

The callers of the search stay at their limit, and then a rival asks: another address, or another credential. One that
gets in has a limit of its own; one that is turned away, and gets in as soon as the others give a place back, shares
theirs. A stray refusal or acceptance must not decide: everything is seen twice, and at the end it is seen whether the
callers of the search are still at their limit. What comes of all this tells nothing of the height of the limit, and
is left out where that is inferred (`Sample.cross`).

It costs C requests and three refusals where the rival has a limit C of its own, two refusals and three requests where
sessions are shared, some more where a rate is.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mcpdoctor.ceiling.actions import Action
from mcpdoctor.ceiling.run import Asking, Ended, Interrupted, Run
from mcpdoctor.ceiling.timeline import blur_s, ways_s
from mcpdoctor.ceiling.together import APART
from mcpdoctor.samples import Kind, Outcome, Sample, clean, refused

KEPT = 0.25
"""Share of the budget that is kept for it where a rate is to be made more exact."""

RETRY_S = 1.0
TWICE = 2
ROUNDS = 4
MOST_AT_ONCE = 12
"""Requests that a rival may send to show that a rate is its own: beyond that it is no comparison but a load."""

LONGEST_FILL_S = 90.0
RARE = 0.1
"""What has this chance in one round, has a hundredth in two."""


class Answer(StrEnum):
    """What a rival met."""

    OWN = "own"  # it was let in while the others were at their limit
    SHARED = "shared"  # it was turned away, and only for the others being there
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What one rival met while the callers of the search were at their limit.

    Attributes:
        rival: its leg.
        kind: of the limit.
        at_limit: how many sessions, or requests, the callers of the search had.
        got: how many the rival had beside them.
        why: what keeps it unclear, as half a sentence; empty where it is clear.
    """

    rival: int
    kind: Kind
    answer: Answer
    at_limit: int
    got: int
    why: str = ""


_Seen = Generator[Action, Sequence[Sample], tuple[Answer, int]]
"""Part of the stage: what the rival met, and how many it got."""


class _Unclear(Exception):
    """The comparison cannot be made, or does not tell."""


def cross(run: Run, crossings: list[Crossing]) -> Asking:
    """Compare each rival with the callers of the search.

    Args:
        run: the search, with its limit found.
        crossings: one is written here for each rival, whatever happens.
    """
    kind = next((one for one in _STAGES if run.belief().sure(one, run.settings.sure)), None)
    limit = run.belief().capacity(kind) if kind else None
    for rival in run.settings.rivals:
        if kind is None or limit is None:
            why = "no limit was found" if run.belief().sure(Kind.NONE, run.settings.sure) else "its kind is not known"
            crossings.append(_unclear(rival, Kind.UNKNOWN, 0, why))
        elif any(one.leg == rival for one in run.log):
            crossings.append(_unclear(rival, kind, limit, "the search itself needed that leg"))
        else:
            yield from _compare(run, rival, kind, limit, crossings)


def _compare(run: Run, rival: int, kind: Kind, limit: int, crossings: list[Crossing]) -> Asking:
    run.crossing = True
    stage = _STAGES[kind]
    if kind is Kind.IN_FLIGHT and run.belief().streams() > 1 / 2:
        stage = _hold  # streams stand: they can be held as sessions are
    try:
        answer, got = yield from stage(run, rival, limit)
        crossings.append(Crossing(rival=rival, kind=kind, answer=answer, at_limit=limit, got=got))
    except _Unclear as found:
        crossings.append(_unclear(rival, kind, limit, str(found)))
    except Ended as end:
        crossings.append(_unclear(rival, kind, limit, f"the search had to end ({end.why.value})"))
        raise
    except Interrupted:
        crossings.append(_unclear(rival, kind, limit, "it was interrupted"))
        raise
    finally:
        run.crossing = False
    if run.guests:
        yield from run.close_all(run.guests)


def _unclear(rival: int, kind: Kind, limit: int, why: str) -> Crossing:
    return Crossing(rival=rival, kind=kind, answer=Answer.UNCLEAR, at_limit=limit, got=0, why=why)


# sessions -------------------------------------------------------------------------------------------------------------


def _hold(run: Run, rival: int, limit: int) -> _Seen:
    """The others hold all that they may; the rival opens sessions until it is refused, one more than they have at most.

    Refused from the beginning it is let in by a release, or something else keeps it out.
    """
    yield from _fill(run, limit)
    run.forgive()
    got = yield from _climb(run, rival, limit + 1)
    if not got:
        yield from run.close()
        if not (yield from _enter(run, rival)):
            raise _Unclear("it was refused even when there was a place")
        return Answer.SHARED, 0
    run.forgive()
    if (yield from run.open()):
        raise _Unclear("the limit had moved: the first caller was let in too")
    _refusal(run, "the first caller")
    times = got
    if got == 1 == limit:
        yield from run.close_all(run.guests)
        times += yield from _climb(run, rival, 1)
    if times < TWICE:
        raise _Unclear("it got in once, and not again")
    return Answer.OWN, got


def _fill(run: Run, limit: int) -> Asking:
    """Bring the callers of the search to their limit."""
    refusals = 0
    while len(run.held) < limit:
        if not (yield from run.open()):
            refusals += 1
            if refusals >= TWICE:
                raise _Unclear("the first caller did not come to its limit again")
            yield from run.rest(RETRY_S)


def _climb(run: Run, rival: int, most: int) -> Generator[Action, Sequence[Sample], int]:
    """Let the rival open sessions until it was refused twice in a row. Returns how many."""
    got, refusals = 0, 0
    while got < most and refusals < TWICE:
        if (yield from run.open(rival)):
            got, refusals = got + 1, 0
            continue
        _refusal(run, "the other caller")
        refusals += 1
        if refusals < TWICE:
            yield from run.rest(RETRY_S)
    return got


def _enter(run: Run, rival: int) -> Generator[Action, Sequence[Sample], bool]:
    """Let the rival in where there is room; one refusal may be a stray."""
    for _ in range(TWICE):
        if (yield from run.open(rival)):
            return True
        _refusal(run, "the other caller")
        yield from run.rest(RETRY_S)
    return False


def _refusal(run: Run, who: str) -> None:
    """Make sure that what just failed to open was refused: anything else says nothing of a limit."""
    if not any(one.session == run.opened and one.outcome is Outcome.REFUSED for one in run.log):
        raise _Unclear(f"{who} could not open a session, for a reason that is no limit")


# requests in flight ---------------------------------------------------------------------------------------------------


def _overlap(run: Run, rival: int, limit: int) -> _Seen:
    """The others send as many requests as may be in flight, the rival one with them, and then the others one more.

    Where the limit is shared, all but one of the first are let in, in whatever order they arrive. The last one has to
    be refused either way: the others are at their limit. First they are alone, which shows that requests last longer
    than clocks and ways are unsure. A rival that got in sends as many as the others the next time.
    """
    if not run.held and not (yield from run.open()):
        raise _Unclear("the first caller could not open a session again")
    if not (yield from _enter(run, rival)):
        raise _Unclear("it could not open a session, with nothing in flight")
    guest, mine = run.guests[-1], [run.held[index % len(run.held)] for index in range(limit)]
    gap_s = _gap_s(run, rival)
    yield from _lasting(run, mine, gap_s)
    own, shared, got, most = 0, 0, 0, limit
    for _ in range(ROUNDS):
        run.forgive()
        # All of them might be refused; without budget for that, two have to do.
        many = max(min(TWICE, limit), min(most, run.refusals_left - limit - 1)) if own else 1
        samples = yield from run.burst((limit + many, 1), gap_s=gap_s, over=(*mine, *[guest] * many, mine[0]))
        passed = sum(one.outcome is Outcome.ACCEPTED for one in samples)
        if passed == limit and len(samples) == passed + many + 1:
            shared += 1
        elif passed == limit + many and _last_refused(samples, rival, gap_s):
            own, got = own + 1, max(got, many)
        elif own and limit < passed < limit + many:
            most = passed - limit  # it has a limit of its own, a lower one; ask again for no more than that
        if own == TWICE:
            return Answer.OWN, got
        if shared == TWICE:
            yield from run.recover()
            if not (yield from run.call(rival)) and not (yield from run.call(rival)):
                raise _Unclear("it was refused even with nothing in flight")
            return Answer.SHARED, 0
    raise _Unclear("what came back differed from time to time")


def _last_refused(samples: Sequence[Sample], rival: int, gap_s: float) -> bool:
    """Whether it was the last request of the others that was refused, and it really came after all that went before."""
    ours = sorted((one for one in samples if one.leg != rival), key=lambda one: one.sent_s)
    before = max(one.sent_s for one in samples if one is not ours[-1])
    return ours[-1].outcome is Outcome.REFUSED and ours[-1].sent_s - before > gap_s / 2


def _lasting(run: Run, mine: Sequence[int], gap_s: float) -> Asking:
    """Make sure that requests are in flight long enough for those of two legs to meet."""
    for _ in range(TWICE):
        run.forgive()
        if refused((yield from run.burst((len(mine), 1), gap_s=gap_s, over=(*mine, mine[0])))) == 1:
            return
    raise _Unclear("one more than the limit got in, or requests end too soon to meet: name a slower tool (--tool)")


def _gap_s(run: Run, rival: int) -> float:
    """How long after the others the last request has to leave, to arrive after that of the rival for certain."""
    ways = ways_s(run.log)
    mine = min(way for leg, way in ways.items() if leg != rival)
    return APART * blur_s(run.log) + max(0.0, ways[rival] - mine)


# rates ----------------------------------------------------------------------------------------------------------------


def _drain(run: Run, rival: int, limit: int) -> _Seen:
    """After a pause that fills it up, the others send as much as the limit allows; then the rival sends a few more.

    Nothing need be refused for that until the rival asks, so that nobody was asked to wait (Retry-After) by then. Where
    the rival is let in, one more of the others has to be refused: they are at their limit.
    """
    if run.held:
        yield from _settle(run, limit)
        if not (yield from _enter(run, rival)):
            raise _Unclear("it could not open a session after a pause")
    own, shared, got, less = 0, 0, 0, 0
    for _ in range(ROUNDS):
        yield from _settle(run, limit)
        run.forgive()
        began_s, sent = run.clock(), len(run.log)
        yield from run.recover()
        left = limit - less - sum(one.outcome is Outcome.ACCEPTED for one in run.log[sent:])
        samples = (yield from run.loop(_workers(run, left), left, light=True)) if left > 0 else ()
        if not clean(samples):
            less += refused(samples)
            continue
        few = _few(run, limit, less, run.clock() - began_s)
        groups = (TWICE, few - TWICE) if few > TWICE else (few,)  # two refusals are enough
        over = run.guests[-1:] or (None,)
        samples = yield from run.burst(groups, gap_s=_trip_s(run), light=True, over=over, rival=rival)
        spare = less + _spare(run, run.clock() - began_s)
        if clean(samples):
            if few > spare and (yield from _refuses(run, math.floor(spare) + TWICE)):
                own, got = own + 1, max(got, few)
        elif len(samples) - refused(samples) <= spare + 1:
            shared += 1
        if own == TWICE:
            return Answer.OWN, got
        if shared == TWICE:
            return Answer.SHARED, 0
    raise _Unclear("what came back differed from time to time")


def _settle(run: Run, requests: int) -> Asking:
    """Wait until so many requests are allowed at once again."""
    ends = run.belief().rate_interval()
    yield from run.rest(min(requests / ends[0], LONGEST_FILL_S) if ends and ends[0] > 0 else RETRY_S)


def _spare(run: Run, seconds: float) -> float:
    """How many requests a shared limit may let in although it was used up: what came back, and what is not known."""
    ends, sizes = run.belief().rate_interval(), run.belief().capacity_interval(Kind.RATE)
    unsure = sizes[1] - sizes[0] if sizes else 0
    return unsure + (ends[1] * seconds if ends else 0.0)


def _few(run: Run, limit: int, less: int, seconds: float) -> int:
    """How many requests of the rival cannot be let in any more, `seconds` after the limit began to be used up."""
    spare = less + _spare(run, seconds + 2 * _trip_s(run))
    few = 1 if spare <= RARE else math.ceil(spare + 1)
    if few > min(limit, MOST_AT_ONCE):
        raise _Unclear("the rate is too fast to be used up from there")
    return few


def _trip_s(run: Run) -> float:
    return 1.2 * max(2 * way for way in ways_s(run.log).values())


def _workers(run: Run, limit: int) -> int:
    """How many callers at a time use the limit up before much of it comes back."""
    return max(1, min(limit, run.settings.most, run.refusals_left - 1))


def _refuses(run: Run, tries: int) -> Generator[Action, Sequence[Sample], bool]:
    """Whether the callers of the search are refused now, after no more requests than may have come back."""
    for _ in range(tries):
        if not (yield from run.call()):
            return run.log[-1].outcome is Outcome.REFUSED
    return False


_STAGES = {Kind.SESSIONS: _hold, Kind.IN_FLIGHT: _overlap, Kind.RATE: _drain}
