"""One search under way: what every stage shares. Asks for actions, keeps to the budget, is polite."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

from mcpdoctor.ceiling.actions import Action, Burst, Call, Close, Loop, Open, Wait
from mcpdoctor.ceiling.budget import HEALING_S, Budget, Costs, Trouble, counted_refusals, fits, owed_pause_s
from mcpdoctor.ceiling.inference import LIMITERS, Belief, infer
from mcpdoctor.samples import Operation, Sample, Stop, clean

Asking = Generator[Action, Sequence[Sample], None]
"""Part of a search: yields actions and is sent the samples of each."""


class Ended(Exception):
    """The search has to end now.

    Attributes:
        why: the reason, for the report.
    """

    def __init__(self, why: Stop) -> None:
        super().__init__(why.value)
        self.why = why


class Interrupted(Exception):
    """Thrown into a search by whoever carries it out: stop, but ask for what is open to be closed.

    Args:
        samples: what came of the action that was under way.
    """

    def __init__(self, samples: Sequence[Sample] = ()) -> None:
        super().__init__()
        self.samples = samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to search.

    Attributes:
        most: the most sessions or requests at a time to try (`--max`).
        quick: sprint and ladder only.
        sure: share of the posterior from which a kind is taken for certain.
        gap_s: seconds between two sessions of the ladder.
        unreleased_s: how long to wait, releasing nothing, to see whether time alone heals a refusal.
        rivals: legs that the search itself does not need, which differ from those that it needs in address or
            credential: once the limit is known, it is seen whether they share it. Of the budget for making a rate more
            exact a part is kept for that.
    """

    most: int = 16
    quick: bool = False
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    sure: float = 0.95
    gap_s: float = 0.1
    unreleased_s: float = 5.0
    rivals: tuple[int, ...] = ()


@dataclass(slots=True, kw_only=True)
class Run:
    """State of one search.

    Attributes:
        clock: seconds; the clock of the samples.
        log: every sample so far, in the order in which they came back.
        budget: what may be spent by the end of what is under way.
        held: the sessions that are open, the oldest first.
        guests: the sessions that rivals have open.
        crossing: whether callers are compared just now; marks the samples.
        opened: how many sessions were asked for; numbers them.
        refusing: whether the last thing sent was not accepted in all its parts.
        trouble: how much speaks for a server in trouble.
    """

    settings: Settings
    clock: Callable[[], float]
    log: list[Sample]
    started_s: float
    budget: Budget = field(init=False)
    held: list[int] = field(default_factory=list)
    guests: list[int] = field(default_factory=list)
    crossing: bool = False
    opened: int = 0
    trouble: Trouble = field(default_factory=Trouble)
    refusing: bool = False
    _believed: tuple[int, Belief] | None = None

    def __post_init__(self) -> None:
        self.budget = self.settings.budget

    @property
    def deadline_s(self) -> float:
        """When the time is up, on the clock of the run."""
        return self.started_s + self.budget.seconds

    @property
    def refusals_left(self) -> int:
        """How many more answers may be refusals."""
        return self.budget.refusals - counted_refusals(self.log)

    @property
    def requests_left(self) -> int:
        """How many more requests may be sent, with what it takes to close the open sessions set aside."""
        return self.budget.requests - len(self.log) - self._set_aside

    @property
    def _set_aside(self) -> int:
        return (len(self.held) + len(self.guests)) * self.settings.costs.close

    @property
    def sessions(self) -> tuple[int | None, ...]:
        """Over what calls are spread: the open sessions, or none."""
        return tuple(self.held) or (None,)

    def forgive(self) -> None:
        """Take refusals so far for those of the limit that was found, whatever their status."""
        self.trouble = Trouble()

    def belief(self) -> Belief:
        """What the log so far says."""
        if self._believed is None or self._believed[0] != len(self.log):
            self._believed = (len(self.log), infer(self.log))
        return self._believed[1]

    def limited(self) -> bool:
        """Whether it is sure by now what kind of limit there is."""
        return any(self.belief().sure(kind, self.settings.sure) for kind in LIMITERS)

    @property
    def streaming(self) -> bool:
        """Whether a stream stands."""
        stands = (one.session for one in self.log if one.operation is Operation.STREAM)
        return not set(self.held).isdisjoint(stands)

    def rest(self, seconds: float) -> Asking:
        """Send nothing for a while."""
        yield from self._until(self.clock() + seconds)

    def open(self, rival: int | None = None) -> Generator[Action, Sequence[Sample], bool]:
        """Open one more session, or one of a rival. Returns whether it is held now."""
        costs = self.settings.costs
        self.opened += 1
        number = self.opened
        samples = yield from self._send(Open(session=number, leg=rival), costs.open + costs.close, costs.open)
        held = any(one.operation is Operation.OPEN for one in samples) and clean(samples)
        if held:
            (self.held if rival is None else self.guests).append(number)
        return held

    def close(self) -> Generator[Action, Sequence[Sample], None]:
        """Close the session that was opened last."""
        yield from self.close_all(self.held[-1:])

    def close_all(self, sessions: Sequence[int]) -> Generator[Action, Sequence[Sample], None]:
        """Close sessions. What that takes was set aside, and giving back is never impolite: nothing forbids it."""
        gone = tuple(sessions)
        self._take((yield from self._ask(Close(sessions=gone))))
        self.held = [one for one in self.held if one not in gone]
        self.guests = [one for one in self.guests if one not in gone]

    def call(self, rival: int | None = None) -> Generator[Action, Sequence[Sample], bool]:
        """Send one cheap request, or one of a rival. Returns whether it was accepted."""
        cost = self.settings.costs.call
        over = self.sessions if rival is None else tuple(self.guests) or (None,)
        samples = yield from self._send(Call(session=over[-1], leg=rival), cost, cost)
        return clean(samples)

    def burst(
        self,
        groups: Sequence[int],
        *,
        gap_s: float = 0.0,
        light: bool = False,
        over: Sequence[int | None] = (),
        rival: int | None = None,
    ) -> Generator[Action, Sequence[Sample], Sequence[Sample]]:
        """Send requests to be in flight together, over all open sessions or certain ones. Returns their samples."""
        yield from self.recover()
        sessions = tuple(over) or self.sessions
        action = Burst(groups=tuple(groups), gap_s=gap_s, sessions=sessions, light=light, leg=rival)
        count = sum(groups) * self.settings.costs.call
        return (yield from self._send(action, count, count))

    def loop(
        self, workers: int, requests: int, *, light: bool = False
    ) -> Generator[Action, Sequence[Sample], Sequence[Sample]]:
        """Let workers call in turn until something is refused. Returns the samples."""
        yield from self.recover()
        action = Loop(workers=workers, requests=requests, sessions=self.sessions, light=light)
        cost = self.settings.costs.call
        return (yield from self._send(action, requests * cost, workers * cost))

    def recover(self) -> Asking:
        """After a refusal nothing goes out several at a time before a single request has passed.

        What is held may itself be what leaves no room for a call, where standing streams count: let go of half.
        """
        pause = HEALING_S[0]
        while self.refusing:
            yield from self.rest(pause)
            if not (yield from self.call()) and self.held and pause > HEALING_S[0]:
                yield from self.close_all(self.held[len(self.held) // 2 :])
            pause *= 2

    def _send(
        self, action: Action, requests: int, refusals: int
    ) -> Generator[Action, Sequence[Sample], Sequence[Sample]]:
        """Ask for an action that sends something, if it is affordable and nothing forbids it."""
        if not fits(self.log, self.budget, requests=requests + self._set_aside, refusals=refusals):
            raise Ended(Stop.BUDGET)
        yield from self._until(owed_pause_s(self.log))
        if self.clock() >= self.deadline_s:
            raise Ended(Stop.DEADLINE)
        samples = yield from self._ask(action)
        self._take(samples)
        self.refusing = not clean(samples)
        self.trouble = self.trouble.after(samples)
        if self.trouble.alarming:
            raise Ended(Stop.FAILURE)
        if any(one.troubled and one.retry_after_s is None for one in samples) and not self._known():
            yield from self.rest(self.trouble.pause_s)
        return samples

    def _known(self) -> bool:
        """Whether the last refusal is the word of a limit that is certain, and needs no pause to heal from."""
        return self.trouble.unavailable == 1 and not self.trouble.failures and self.limited()

    def _take(self, samples: Sequence[Sample]) -> None:
        self.log += [replace(sample, cross=True) for sample in samples] if self.crossing else samples

    def _until(self, moment_s: float) -> Asking:
        if moment_s <= self.clock():
            return
        if moment_s >= self.deadline_s:
            raise Ended(Stop.DEADLINE)
        yield from self._ask(Wait(until_s=moment_s))

    def _ask(self, action: Action) -> Generator[Action, Sequence[Sample], Sequence[Sample]]:
        """Yield an action; what came of one that is interrupted is in the log all the same."""
        try:
            return (yield action)
        except Interrupted as stop:
            self._take(stop.samples)
            raise
