"""Carry out what the search asks for: hold real sessions, send requests together, in turn, or one at a time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
import httpx

from mcpdoctor import probes
from mcpdoctor.bodies import ACCEPT_ENCODING
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling.actions import Action, Burst, Call, Close, Loop, Open, Wait
from mcpdoctor.ceiling.budget import Costs
from mcpdoctor.ceiling.meter import Line, Meter, Refusals
from mcpdoctor.matrix import Call as ToolCall
from mcpdoctor.network import Network
from mcpdoctor.probes import Signer
from mcpdoctor.samples import Operation, Outcome, Sample
from mcpdoctor.transcript import Transcript
from mcpdoctor.wire import RecordingTransport

if TYPE_CHECKING:
    from mcp import ClientSession

COSTS = Costs(open=3, call=1, close=1)
"""HTTP requests of mcp 1.x: initialize, initialized and the stream; a call; a DELETE."""

_STREAM_S = 2.0
_CUT_S = 1.0
_LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to reach what is measured.

    Attributes:
        url: the endpoint.
        signer: what signs; None sends unsigned.
        network: routes and the TLS context, which all sessions share.
        catalogue: tells what counts as a refusal.
        call: the tool that workers call; None lists the tools instead.
        timeout_s: seconds that one request may take.
        local_address: the address of this machine to connect from; None leaves it to the system.
    """

    url: str
    signer: Signer | None
    network: Network
    catalogue: Catalogue
    call: ToolCall | None = None
    timeout_s: float = 30.0
    local_address: str | None = None


class Sessions:
    """Real sessions of the client that users run, each with connections of its own and in a task of its own.

    Args:
        way: how to reach the endpoint.
        clock: seconds, never going back; the clock of the samples and of `Wait`.
    """

    def __init__(self, way: Way, clock: Callable[[], float] = time.monotonic) -> None:
        self._way, self._clock = way, clock
        self._refusals = Refusals(way.catalogue)
        self._proxy = way.network.proxy_for(way.url)
        self._held: dict[int, _Session] = {}
        self._samples: list[Sample] = []
        self._bare: httpx.AsyncClient | None = None
        self._bare_meter: Meter | None = None

    async def perform(self, action: Action) -> list[Sample]:
        """Do what the search asks for.

        Returns:
            A sample for each request, in the order in which the answers came; those of an action that was cut short
            come with the next one.
        """
        match action:
            case Open():
                await self._open(action.session)
            case Close():
                await self._close_all(action.sessions)
            case Call():
                await self._call(action.session, light=True)
            case Burst():
                await self._burst(action)
            case Loop():
                await self._loop(action)
            case Wait():
                await anyio.sleep(max(0.0, action.until_s - self._clock()))
        return self.collect()

    def collect(self) -> list[Sample]:
        """The samples that were not handed out yet."""
        samples, self._samples = self._samples, []
        return samples

    async def aclose(self) -> None:
        """Close every session that is still open, those that came halfway too; all at once, for it is the end."""
        try:
            async with anyio.create_task_group() as closing:
                for number in list(self._held):
                    closing.start_soon(self._close, number)
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.gather(*(session.cut() for session in self._held.values()))
                self._held.clear()
                if self._bare is not None:
                    await self._bare.aclose()

    # one session ------------------------------------------------------------------------------------------------------

    async def _open(self, number: int) -> None:
        seen = len(self._samples)
        session = self._held[number] = _Session(self._way, self._meter(number))
        await session.open()
        if not session.alive and all(one.outcome is Outcome.ACCEPTED for one in self._samples[seen:]):
            # The client did not like an answer that looked well.
            self._samples[seen:] = [
                replace(one, outcome=Outcome.FAILED, error="not-mcp") if one.operation is Operation.OPEN else one
                for one in self._samples[seen:]
            ]
        if any(one.outcome is not Outcome.ACCEPTED for one in self._samples[seen:]) or not session.alive:
            await self._close(number)
        if len(self._samples) == seen:
            self._lost(number, Operation.OPEN)

    async def _close(self, number: int) -> None:
        session = self._held.get(number)
        if session is not None:
            await session.close()
            del self._held[number]

    async def _close_all(self, numbers: Sequence[int]) -> None:
        """One after another; where nobody answers any more, the others are for the end."""
        for number in numbers:
            seen = len(self._samples)
            await self._close(number)
            if any(one.outcome is Outcome.FAILED and one.status is None for one in self._samples[seen:]):
                return

    def _meter(self, number: int | None) -> Meter:
        way = self._way
        inner = RecordingTransport(
            way.network,
            Transcript(),
            _at_once,
            secrets=way.signer.resolved.secrets if way.signer else (),
            proxy=self._proxy,
            local_address=way.local_address,
            keep=False,
        )
        return Meter(
            inner,
            self._samples_append,
            self._refusals,
            session=number,
            timeout_s=way.timeout_s,
            secrets=way.signer.resolved.secrets if way.signer else (),
            clock=self._clock,
        )

    def _samples_append(self, sample: Sample) -> None:
        self._samples.append(sample)

    # calls ------------------------------------------------------------------------------------------------------------

    async def _call(self, number: int | None, *, light: bool, line: Line | None = None) -> None:
        """Send one call, over a session or without.

        Where nothing could be sent (the session is gone, credentials cannot be renewed) there is a sample all the same:
        without one, the search would take it for accepted.
        """
        session = None if number is None else self._held.get(number)
        meter = self._bare_one() if number is None else session.meter if session and session.alive else None
        told = meter.told if meter else 0
        if meter is not None:
            if line is not None:
                meter.lines.append(line)
            if session is None:
                await self._ask()
            else:
                await session.call(None if light else self._way.call, timeout_s=self._way.timeout_s)
        if (meter is None or meter.told == told) and not (line is not None and line.dropped):
            self._lost(number, Operation.CALL)
            if line is not None:
                line.spoiled += 1
                line.arrive()

    def _bare_one(self) -> Meter:
        """The meter of requests outside of any session."""
        if self._bare is None or self._bare_meter is None:
            self._bare_meter = self._meter(None)
            self._bare = httpx.AsyncClient(transport=self._bare_meter, timeout=None)  # noqa: S113  # the meter has one
        return self._bare_meter

    async def _ask(self) -> None:
        """A request outside of any session: whether it is let in at all is what it asks."""
        way = self._way
        with suppress(Exception):  # of the signer; all others are samples
            headers = {
                "accept": "application/json, text/event-stream",
                "accept-encoding": ACCEPT_ENCODING,
                "content-type": "application/json",
                **(way.signer.sign("POST", way.url, _LIST) if way.signer else {}),
            }
            await self._bare.post(way.url, content=_LIST, headers=headers)  # type: ignore[union-attr]  # `_bare_one` made it

    def _lost(self, number: int | None, operation: Operation) -> None:
        now = self._clock()
        self._samples.append(
            Sample(
                operation=operation,
                outcome=Outcome.FAILED,
                sent_s=now,
                received_s=now,
                session=number,
                error="session-lost",
            )
        )

    # several at a time ------------------------------------------------------------------------------------------------

    async def _burst(self, action: Burst) -> None:
        """Prepare all of the requests, then let them go group by group."""
        lines = [Line(size, held=True) for size in action.groups]
        turns = itertools.cycle(action.sessions)
        async with anyio.create_task_group() as calls:
            try:
                for line, size in zip(lines, action.groups, strict=True):
                    for _ in range(size):
                        calls.start_soon(self._turn, next(turns), action.light, line)
                    # Of requests over one session, the order in which they come to the line is that of the calls.
                    await line.complete()
                await self._let_go(lines, action.gap_s)
            finally:
                for line in lines:
                    line.drop()

    async def _let_go(self, lines: Sequence[Line], gap_s: float) -> None:
        """Let one group after another go, unless what came back by then is too much; see `Burst`."""
        goes = self._clock()
        for index, line in enumerate(lines):
            if index:
                goes += gap_s
                await anyio.sleep(max(0.0, goes - self._clock()))
            if sum(one.spoiled for one in lines) >= 2 or any(one.spoiled for one in lines[1:]):
                return
            line.go()

    async def _turn(self, number: int | None, light: bool, line: Line) -> None:
        await self._call(number, light=light, line=line)

    async def _loop(self, action: Loop) -> None:
        first, left = len(self._samples), action.requests

        async def work(number: int | None) -> None:
            nonlocal left
            while left > 0 and all(one.outcome is Outcome.ACCEPTED for one in self._samples[first:]):
                left -= 1
                await self._call(number, light=action.light)

        async with anyio.create_task_group() as workers:
            for number in itertools.islice(itertools.cycle(action.sessions), action.workers):
                workers.start_soon(work, number)


class _Session:
    """One session: it lives in a task of its own, since its contexts must be left where they were entered."""

    def __init__(self, way: Way, meter: Meter) -> None:
        self._way, self.meter = way, meter
        self._client: ClientSession | None = None
        self._opened, self._leave, self._opening = anyio.Event(), anyio.Event(), anyio.CancelScope()
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether calls can be sent over it."""
        return self._client is not None

    async def open(self) -> None:
        """Open it; `alive` tells whether that worked."""
        self._task = asyncio.create_task(self._live())
        await self._opened.wait()

    async def close(self) -> None:
        """Close it, also while it is being opened, and wait until that was told to the server."""
        self.meter.closing = True
        self._leave.set()
        self._opening.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def cut(self) -> None:
        """End it without a word; nothing where it has ended."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CUT_S)

    async def call(self, call: ToolCall | None, *, timeout_s: float) -> None:
        """Send one call; what became of it, its sample tells."""
        if self._client is None:
            return
        # The meter bounds the request; this bounds a client that loses the answer.
        with suppress(Exception), anyio.move_on_after(2 * timeout_s):
            await probes.one_call(self._client, call)

    async def _live(self) -> None:
        way = self._way
        try:
            # Whatever goes wrong in there, the samples tell; and the client reports at the end what it met on the way.
            with suppress(Exception):
                async with probes.session(way.url, way.signer, self.meter, timeout_s=way.timeout_s) as client:
                    # The meter bounds each of two requests; this bounds a client that loses an answer.
                    with self._opening, anyio.move_on_after(2 * way.timeout_s + _STREAM_S):
                        await client.initialize()
                        await self.meter.opened(min(_STREAM_S, way.timeout_s / 2))
                        self._client = client
                    self._opened.set()
                    if self._client is not None:
                        await self._leave.wait()
        finally:
            self._client = None
            self._opened.set()
            await self.meter.aclose()


async def _at_once(_: bool) -> float:
    """The pace of requests: the search itself says when to send."""
    return 0.0
