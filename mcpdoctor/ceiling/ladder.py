"""Second stage: open sessions one by one and keep them; where one is refused, see whether a release makes room.

A limit on what is held lets a request in *sooner after a release* than it refused one *after a longer wait without*. No
rate can do both: a bucket that refused after five seconds lacks most of a token, and the chance that it comes in the
tenth of a second after the release is a few percent; twice in a row, it cannot be.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum, auto

from mcpdoctor.ceiling.actions import Action
from mcpdoctor.ceiling.run import Asking, Run
from mcpdoctor.samples import Kind, Sample

RETRY_S = 1.0
DOUBTS = 4
RUNGS = 16
"""So many refusals within so many rungs, which time alone healed, are a rate where that is likelier than strays."""

PAIRS = 2
LINGERS_S = (5.0, 10.0, 45.0)
"""How much longer to wait for a place that a closed session may still hold."""


class _Rung(Enum):
    LIMIT = auto()  # refused without, accepted with a release, twice over
    PASSED = auto()  # time alone healed it: a stray refusal, or a rate
    BLOCKED = auto()  # a release did not help


def climb(run: Run) -> Asking:
    """Hold more and more sessions until a limit is proved, `--max` is reached, or something else shows.

    It costs three refusals at a ceiling of C, and C+4 requests where a session takes one (C+5 where C is one).
    """
    doubts: list[int] = []
    while len(run.held) < run.settings.most:
        if (yield from run.open()):
            yield from run.rest(run.settings.gap_s)
            continue
        rung = yield from _pin(run)
        if rung is _Rung.LIMIT:
            yield from _assure(run)
            return
        if rung is _Rung.BLOCKED:
            yield from _outwait(run)
            return
        doubts.append(len(run.held))
        often = len(doubts) >= DOUBTS and doubts[-1] - doubts[-DOUBTS] < RUNGS
        belief = run.belief()
        if belief.sure(Kind.RATE, run.settings.sure):
            return
        if often and belief.posterior[Kind.RATE] > belief.posterior[Kind.NONE]:
            return


def _pin(run: Run) -> Generator[Action, Sequence[Sample], _Rung]:
    """Find out what refused the last opening: twice over, is it refused without a release and accepted with one?"""
    yield from run.rest(run.settings.unreleased_s)
    if (yield from run.open()):
        return _Rung.PASSED
    if not run.held:
        return _Rung.BLOCKED
    # The only session is the only way to ask whether calls still pass; once released it may not come back.
    if len(run.held) == 1 and not (yield from run.call()) and not (yield from run.call()):
        return _Rung.BLOCKED
    if not (yield from _exchange(run)):
        return _Rung.BLOCKED
    if (yield from run.open()):
        return _Rung.PASSED
    if not run.belief().sure(Kind.SESSIONS, run.settings.sure):
        yield from _exchange(run)
    return _Rung.LIMIT


def _exchange(run: Run) -> Generator[Action, Sequence[Sample], bool]:
    """Release one session and open another at once. One failure may be a stray: try once more."""
    yield from run.close()
    if (yield from run.open()):
        return True
    yield from run.rest(RETRY_S)
    return (yield from run.open())


def _assure(run: Run) -> Asking:
    """Where the evidence is not enough yet, look further.

    A call over a session that is held tells a limit on sessions from a rate, and from a limit on requests in flight
    that a standing stream counts against; nothing else does, so where streams stand it is made in any case. More pairs
    of refused and accepted openings do the rest.
    """
    asked = False
    for _ in range(PAIRS):
        if run.limited() and (asked or not run.streaming):
            return
        asked = True
        yield from run.call()
        if run.limited():
            return
        if not (yield from run.open()):
            yield from _exchange(run)


def _outwait(run: Run) -> Asking:
    """A release did not help: a rate or a ban refuses calls too, a session that lingers after its end does not."""
    for pause in LINGERS_S:
        belief = run.belief()
        if any(belief.sure(kind, run.settings.sure) for kind in (Kind.SESSIONS, Kind.RATE)):
            return
        if not (yield from run.call()) and not (yield from run.call()):
            return
        yield from run.rest(pause)
        if (yield from run.open()):
            yield from run.open()
