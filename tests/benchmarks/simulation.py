"""Discrete-event simulation of an endpoint with a limit: carries out what a search asks for, in virtual time.

The limiters are the lab's; those that the lab does not have are here. Nothing waits: the clock jumps from event to
event.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Literal, Protocol

from mcpdoctor.ceiling import Action, Burst, Call, Close, Loop, Open, Settings, Wait, conclude, search
from mcpdoctor.lab.limiters import Limiter, build, parse_limit
from mcpdoctor.model import Ceiling
from mcpdoctor.samples import Operation, Outcome, Sample, Stop

ME = "me"


class Limits(Protocol):
    """A limiter as the simulation uses it: as the lab's, but told the time of a release."""

    holds: Literal["session", "request", "nothing"]

    def admit(self, now: float) -> bool: ...

    def release(self, now: float) -> None: ...


class Timed:
    """One of the lab's limiters, which need no time to release."""

    def __init__(self, inner: Limiter) -> None:
        self._inner, self.holds = inner, inner.holds

    def admit(self, now):
        return self._inner.admit(ME, now)

    def release(self, now):  # noqa: ARG002 - others need the time
        self._inner.release(ME)


@dataclass(slots=True, kw_only=True)
class Lingering:
    """Sessions that go on to count for a while after they were closed; for ever, where a server ignores DELETE."""

    most: int
    linger_s: float
    holds: Literal["session", "request", "nothing"] = "session"
    _until: list[float] = field(default_factory=list)
    _open: int = 0

    def admit(self, now):
        self._until = [until for until in self._until if until > now]
        if self._open + len(self._until) >= self.most:
            return False
        self._open += 1
        return True

    def release(self, now):
        self._open -= 1
        self._until.append(now + self.linger_s)


@dataclass(slots=True, kw_only=True)
class Anchored:
    """Windows that begin with the first request after the one before, as Redis INCR with EXPIRE makes them."""

    most: int
    period_s: float
    holds: Literal["session", "request", "nothing"] = "nothing"
    _end: float = -math.inf
    _count: int = 0

    def admit(self, now):
        if now >= self._end:
            self._end, self._count = now + self.period_s, 0
        self._count += 1
        return self._count <= self.most

    def release(self, now):
        """Nothing is held."""


@dataclass(slots=True, kw_only=True)
class Unforgiving:
    """A sliding window that counts refused requests too: who keeps knocking stays out."""

    most: int
    period_s: float
    holds: Literal["session", "request", "nothing"] = "nothing"
    _times: list[float] = field(default_factory=list)

    def admit(self, now):
        self._times = [time for time in self._times if time > now - self.period_s]
        self._times.append(now)
        return len(self._times) <= self.most

    def release(self, now):
        """Nothing is held."""


def limiter(text: str) -> Limits | None:
    """A limiter from its text: the lab's forms, `lingering:7/10s`, `anchored:20/60s`, `unforgiving:20/60s`."""
    kind, _, rest = text.partition(":")
    if kind not in {"lingering", "anchored", "unforgiving"}:
        inner = build(parse_limit(text))
        return Timed(inner) if inner else None
    most, _, seconds = rest.removesuffix("s").partition("/")
    if kind == "lingering":
        return Lingering(most=int(most), linger_s=float(seconds))
    if kind == "anchored":
        return Anchored(most=int(most), period_s=float(seconds))
    return Unforgiving(most=int(most), period_s=float(seconds))


@dataclass(kw_only=True)
class World:
    """An endpoint and the network before it.

    Attributes:
        limits: what it limits, as `limiter` reads it; refused by any is refused.
        noise: share of requests answered at random with 429 or 503, half each.
        rtt_s: round trip, of which half is each way; `jitter_s` is the standard deviation of one way.
        light_s: mean service time of a cheap request; `work_s` of the calls a user makes; `cv` of both, log-normal.
        opening: what one session costs on the wire: `(OPEN,)`, or with legacy sessions `(OPEN, OTHER, STREAM)`.
        status: what limiters answer with.
        retry_after_s: what they ask to wait.
        streams_count: whether standing streams count as in flight, as behind nginx.
        in_front: whether the limiters stand before a server and know nothing of MCP: they refuse to close, too.
        clock_s: what the clock says at the beginning: windows at fixed times do not wait for us.
    """

    limits: tuple[str, ...] = ()
    noise: float = 0.0
    seed: int = 0
    rtt_s: float = 0.05
    jitter_s: float = 0.002
    light_s: float = 0.05
    work_s: float = 0.4
    cv: float = 0.5
    opening: tuple[Operation, ...] = (Operation.OPEN,)
    status: int = 429
    retry_after_s: float | None = None
    streams_count: bool = False
    in_front: bool = False
    clock_s: float = 0.0

    def __post_init__(self):
        self.chance = Random(self.seed)  # noqa: S311 - noise, not a secret
        self.now = self.clock_s or self.chance.uniform(0, 3600)
        self.limiters = [one for one in map(limiter, self.limits) if one]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._streams: dict[int | None, list[Limits]] = {}
        self._places: dict[int | None, list[Limits]] = {}

    def perform(self, action: Action) -> Sequence[Sample]:
        """Do what was asked for; one sample for each request, in the order of the answers."""
        samples: list[Sample] = []
        match action:
            case Wait(until_s=until):
                self.now = max(self.now, until)
            case Open(session=session):
                self._open(session, samples)
            case Close(sessions=sessions):
                for session in sessions:
                    self._send(Operation.CLOSE, session, samples.append)
                    self._run()
            case Call(session=session):
                self._send(Operation.CALL, session, samples.append)
                self._run()
            case Burst():
                self._burst(action, samples)
            case Loop():
                self._loop(action, samples)
        return samples

    def _open(self, session, samples):
        for operation in self.opening:
            self._send(operation, session, samples.append)
            self._run()
            if samples[-1].outcome is not Outcome.ACCEPTED:
                if len(samples) > 1:
                    self._send(Operation.CLOSE, session, samples.append)
                    self._run()
                return

    def _burst(self, action, samples):
        sent, over = count(), [0]

        def told(sample, index):
            samples.append(sample)
            if sample.outcome is not Outcome.ACCEPTED:
                over[0] += 2 if index else 1

        def group(index, size):
            for _ in range(size if over[0] < 2 else 0):
                session = action.sessions[next(sent) % len(action.sessions)]
                self._send(Operation.CALL, session, lambda one: told(one, index), work=not action.light)

        for index, size in enumerate(action.groups):
            self._at(self.now + index * action.gap_s, lambda index=index, size=size: group(index, size))
        self._run()

    def _loop(self, action, samples):
        sent = count()

        def work(worker, sample=None):
            if sample:
                samples.append(sample)
            if any(one.outcome is not Outcome.ACCEPTED for one in samples) or next(sent) >= action.requests:
                return
            session = action.sessions[worker % len(action.sessions)]
            self._send(Operation.CALL, session, lambda one: work(worker, one), work=not action.light)

        for worker in range(action.workers):
            work(worker)
        self._run()

    def _send(self, operation, session, answered, *, work=False):
        """Put one request on its way."""
        sent = self.now
        self._at(sent + self._way(), lambda: self._arrive(operation, session, sent, answered, work))

    def _arrive(self, operation, session, sent, answered, work):
        status = None
        if operation in {Operation.OPEN, Operation.CALL, Operation.OTHER} and self.chance.random() < self.noise:
            status = self.chance.choice((429, 503))
        if operation is Operation.CLOSE:
            self._leave(self._streams, session)
        held = [] if status else self._admit(operation)
        if held is None:
            status = self.status
        elif operation is Operation.CLOSE:
            self._leave(self._places, session)
        serving = 0.0 if status else self._service(operation, work)

        def done():
            for place in held or []:
                if operation is Operation.STREAM:
                    self._streams.setdefault(session, []).append(place)
                elif place.holds == "session" and operation is Operation.OPEN:
                    self._places.setdefault(session, []).append(place)
                else:
                    place.release(self.now)
            self._at(self.now + self._way(), lambda: answered(self._sample(operation, session, sent, status)))

        self._at(self.now + serving, done)

    def _leave(self, holding, session):
        for place in holding.pop(session, []):
            place.release(self.now)

    def _admit(self, operation):
        """The limiters that let a request in, or None when one refused it."""
        held = []
        for one in self.limiters:
            looks = (
                one.holds == "nothing"
                or (one.holds == "session" and operation is Operation.OPEN)
                or (one.holds == "request" and (operation is not Operation.STREAM or self.streams_count))
            )
            leaving = operation is Operation.CLOSE and not self.in_front  # nobody is kept from that
            if not looks or (leaving and one.holds == "request"):
                continue
            if one.admit(self.now):
                held.append(one)
            elif not leaving:
                for taken in held:
                    taken.release(self.now)
                return None
        return held

    def _sample(self, operation, session, sent, status):
        return Sample(
            operation=operation,
            outcome=Outcome.REFUSED if status else Outcome.ACCEPTED,
            sent_s=sent,
            received_s=self.now,
            session=session,
            status=status or 200,
            layer="http" if status else None,
            retry_after_s=self.retry_after_s if status else None,
        )

    def _service(self, operation, work):
        mean = self.work_s if work else self.light_s
        if operation in {Operation.STREAM, Operation.CLOSE, Operation.OTHER} or not self.cv:
            return mean if self.cv == 0 else 0.001
        spread = math.log1p(self.cv**2)
        return self.chance.lognormvariate(math.log(mean) - spread / 2, math.sqrt(spread))

    def _way(self):
        return max(0.0005, self.rtt_s / 2 + self.chance.gauss(0, self.jitter_s))

    def _at(self, moment, what):
        heapq.heappush(self._events, (moment, next(self._order), what))

    def _run(self):
        while self._events:
            moment, _, what = heapq.heappop(self._events)
            self.now = max(self.now, moment)
            what()


def drive(world: World, settings: Settings | None = None, log: list[Sample] | None = None) -> tuple[list[Sample], Stop]:
    """Search the world to the end."""
    log = [] if log is None else log
    steps = search(settings or Settings(), lambda: world.now, log)
    samples: Iterable[Sample] = ()
    try:
        action = next(steps)
        while True:
            samples = world.perform(action)
            action = steps.send(list(samples))
    except StopIteration as end:
        return log, end.value


def measure(world: World, settings: Settings | None = None) -> Ceiling:
    """Search the world and conclude."""
    log, stopped = drive(world, settings)
    return conclude(log, stopped)
