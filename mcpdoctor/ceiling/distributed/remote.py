"""One leg as the coordinator sees it: asks it, keeps its clock, notices when it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from mcpdoctor.ceiling.clocks import Clock, Exchange
from mcpdoctor.ceiling.distributed import leg
from mcpdoctor.ceiling.distributed.orders import Order, Ready, Reply
from mcpdoctor.redaction import clean
from mcpdoctor.samples import Sample

EXCHANGES = 5
"""How often the clock of a leg is read before anything is measured."""

SILENCE_S = 15.0
"""A leg that does not answer for so long is gone."""


class Workers(Protocol):
    """What calls functions on workers at once: a `distributed.Client`."""

    async def run(self, function: Callable[..., Any], *arguments: Any, workers: list[str]) -> dict[str, Any]:
        """The result of the function by the address of each worker."""


class Gone(Exception):  # not an error of ours
    """A leg does not answer any more."""


class Remote:
    """One leg.

    Args:
        number: of the leg.
        client: calls functions on workers.
        worker: the address of its worker.
        name: its name there.
        machine: this machine since it was started; where the leg says the same, both have one clock.
        clock: our clock.
    """

    def __init__(
        self,
        number: int,
        client: Workers,
        worker: str,
        name: str,
        *,
        machine: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number, self.worker, self.name = number, worker, name
        self.clock = Clock()
        self.lost: str | None = None
        self.heard_s = clock()
        self._client, self._machine, self._now = client, machine, clock
        self._gone = asyncio.Event()
        self._seen = 0
        self._fresh: list[Sample] = []

    async def muster(self, order: Order) -> Ready:
        """Have it made, and read its clock.

        Raises:
            Gone: its worker does not answer.
        """
        ready: Ready = await self._call(leg.muster, self.name, order)
        self.clock = Clock(same=ready.caller.machine == self._machine)
        for _ in range(EXCHANGES):
            await self.ask("ping")
        return ready

    async def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the leg; the samples that come with the answer are in `collect`.

        Nothing is ever sent twice, and a call that was given up here goes on there until it is interrupted.

        Raises:
            Gone: it does not answer any more.
        """
        return await self._call(leg.act, self.name, method, arguments, self._seen)

    def collect(self) -> list[Sample]:
        """The samples that were not handed out yet, on our clock."""
        samples, self._fresh = self._fresh, []
        return samples

    def lose(self, why: str) -> None:
        """It is gone: whoever waits for it is told."""
        if self.lost is None:
            self.lost = why
            self._gone.set()

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.lost is not None:
            raise Gone(self.lost)
        sent_s, seen = self._now(), self._seen
        # A call that was cancelled half-way could leave its answer for the next one: it is left alone instead.
        calling = asyncio.ensure_future(self._client.run(function, *arguments, workers=[self.worker]))
        calling.add_done_callback(lambda task: task.cancelled() or task.exception())
        waiting = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait({calling, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not calling.done():
            raise Gone(self.lost)
        return self._taken(calling, sent_s, seen)

    def _taken(self, calling: asyncio.Future[dict[str, Any]], sent_s: float, seen: int) -> Any:
        """What an answer holds: its times, its samples, its value."""
        try:
            reply: Reply = calling.result()[self.worker]
        except Exception as error:  # whatever it is, nothing more can be had from this leg
            self.lose(_in_words(error))
            raise Gone(self.lost) from error
        if reply.gone:
            self.lose("it had not heard of us for too long, and has closed its sessions")
            raise Gone(self.lost)
        now = self.heard_s = self._now()
        self.clock.note(Exchange(sent_s, reply.received_s, reply.replied_s, now))
        # Another call may have brought some of the samples meanwhile.
        samples = reply.samples[self._seen - seen :]
        self._seen += len(samples)
        offset, error_s = self.clock.offset_s(now), self.clock.error_s(now)
        self._fresh += [
            replace(
                one,
                sent_s=one.sent_s - offset,
                received_s=one.received_s - offset,
                leg=self.number,
                off_s=error_s,
            )
            for one in samples
        ]
        return reply.value


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError):
        return "the connection to its worker was lost"
    return clean(f"{type(error).__name__}: {error}", limit=200)
