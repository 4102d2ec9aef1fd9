"""Connect to the workers of a dask cluster, or start some, and make legs of them."""

from __future__ import annotations

import asyncio
import importlib.metadata
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling import Settings as Search
from mcpdoctor.ceiling.callers import parties, rivals
from mcpdoctor.ceiling.distributed import leg, require
from mcpdoctor.ceiling.distributed.hands import Legs
from mcpdoctor.ceiling.distributed.orders import Order, Ready
from mcpdoctor.ceiling.distributed.remote import SILENCE_S, Gone, Remote
from mcpdoctor.ceiling.machine import room_for
from mcpdoctor.ceiling.measurement import Team
from mcpdoctor.ceiling.sessions import COSTS
from mcpdoctor.ceiling.spread import Places
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Fact, Unusable
from mcpdoctor.network import Network

Client = Any
"""A `distributed.Client`, which has types in parts only."""

CONNECTING_S = 10.0
STARTING_S = 60.0

_WATCH_S = 2.0
_PACKAGE = "mcpdoctor"


@asynccontextmanager
async def crew_of(
    terms: Terms, *, scheduler: str | None, workers: int | None, addresses: Sequence[str] = ()
) -> AsyncIterator[Crew]:
    """The workers of a cluster that runs, or of one on this machine that lasts as long as the context.

    Args:
        terms: what holds for every leg.
        scheduler: its address; None starts a cluster on this machine.
        workers: how many workers to use; None takes all of them.
        addresses: addresses to connect from, in turn.

    Raises:
        Unusable: there is no cluster, it has no workers, or they cannot be used.
    """
    require()
    async with AsyncExitStack() as stack:
        wanted = workers or len(addresses) or 1
        client = await (_started(stack, wanted) if scheduler is None else _connected(stack, scheduler, wanted))
        found = sorted(await client.nthreads())
        check_versions(await client.get_versions(packages=[_PACKAGE]), found)
        places = await _with_addresses(client, found[:workers], addresses)
        crew = Crew(client, places, terms, scheduler=scheduler)
        watching = asyncio.create_task(crew.watch())  # no task group: what the caller raises is not to be wrapped
        try:
            yield crew
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def _connected(stack: AsyncExitStack, scheduler: str, workers: int) -> Client:
    from distributed import Client

    try:
        client = await stack.enter_async_context(
            Client(scheduler, asynchronous=True, timeout=CONNECTING_S, set_as_default=False)
        )
    except (OSError, ValueError) as error:  # a timeout is an OSError; ValueError: an address that is none
        raise Unusable(
            f"No dask scheduler answers at {scheduler}; start one with `dask scheduler`, or use --workers N for a "
            "cluster on this machine."
        ) from error
    try:
        await client.wait_for_workers(workers, timeout=CONNECTING_S)
    except OSError as error:  # a timeout
        found = len(await client.nthreads()) or "no"
        some = f"{found} worker{'' if found == 1 else 's'}"
        raise Unusable(
            f"The dask scheduler at {scheduler} has {some}, and {workers} or more are needed; run "
            f"`dask worker {scheduler}` on each machine."
        ) from error
    return client


async def _started(stack: AsyncExitStack, workers: int) -> Client:
    """A cluster on this machine. Its ports are on loopback, and only who has its certificates can use them."""
    import dask
    from distributed import Client, LocalCluster, Security

    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="mcpdoctor-"))
    stack.enter_context(dask.config.set({"distributed.scheduler.reuse-broadcast-comm": True}))
    security = Security.temporary()
    try:
        with anyio.fail_after(STARTING_S):
            cluster = await stack.enter_async_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    asynchronous=True,
                    security=security,
                    dashboard_address=None,
                    local_directory=directory,
                    memory_limit=0,
                )
            )
            client = await stack.enter_async_context(
                Client(cluster.scheduler_address, asynchronous=True, security=security, set_as_default=False)
            )
            await client.wait_for_workers(workers)
            await client.run(leg.belong)
    except (OSError, RuntimeError) as error:
        raise Unusable(f"The workers could not be started on this machine: {type(error).__name__}.") from error
    return client


def check_versions(versions: Mapping[str, Any], workers: Sequence[str]) -> None:
    """Make sure that every worker has this version of mcpdoctor: between two, what travels may mean other things.

    Args:
        versions: what `Client.get_versions` returns for this package.
        workers: addresses of the workers.

    Raises:
        Unusable: one has none, or another.
    """
    ours = importlib.metadata.version(_PACKAGE)
    for worker in workers:
        theirs = versions["workers"].get(worker, {}).get("packages", {})
        found = dict(theirs).get(_PACKAGE)
        if found is None:
            raise Unusable(
                f'The worker at {worker} has no mcpdoctor; run `pip install "mcpdoctor[distributed]=={ours}"` in its '
                "environment and start it again."
            )
        if found != ours:
            raise Unusable(f"The worker at {worker} has mcpdoctor {found}, this is {ours}; install the same on both.")


async def _with_addresses(
    client: Client, workers: Sequence[str], addresses: Sequence[str]
) -> list[tuple[str, str | None]]:
    """Each worker with the address that it connects from: those that its machine has, in turn."""
    if not addresses:
        return [(worker, None) for worker in workers]
    able: Mapping[str, Sequence[str]] = await client.run(leg.can_bind, tuple(addresses), workers=list(workers))
    used = dict.fromkeys(addresses, 0)
    found: list[tuple[str, str | None]] = []
    for worker in workers:
        if not able[worker]:
            raise Unusable(f"The machine of the worker at {worker} has none of the addresses of --from-address.")
        address = min(able[worker], key=lambda one: used[one])
        used[address] += 1
        found.append((worker, address))
    unused = [address for address, count in used.items() if not count]
    if unused:
        raise Unusable(f"No worker is left for --from-address {unused[0]}; use more workers, or fewer addresses.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every leg of a run.

    Attributes:
        catalogue: tells what counts as a refusal.
        network: routes of the run; connections are each leg's own.
        authority: PEM certificates to trust besides the usual ones.
        timeout_s: seconds that one request may take.
        standby: environment variables with the made-up keys of the lab; None against real servers.
    """

    catalogue: Catalogue
    network: Network
    authority: str | None = None
    timeout_s: float = 30.0
    standby: Mapping[str, str] | None = field(default=None, repr=False)


class Crew:
    """The workers that legs can be made on.

    Args:
        client: of the cluster.
        workers: addresses of the workers, each with the address to connect from.
        terms: what holds for every leg.
        scheduler: the address of the cluster, for people; None for one that we started.
    """

    def __init__(
        self, client: Client, workers: Sequence[tuple[str, str | None]], terms: Terms, *, scheduler: str | None
    ) -> None:
        self._client, self._workers, self._terms, self._scheduler = client, list(workers), terms, scheduler
        self._remotes: list[Remote] = []
        self._salt = secrets.token_hex(16)

    @property
    def alive(self) -> bool:
        """Whether any worker is left."""
        return bool(self._workers)

    async def team(self, cell: Cell, others: Sequence[Cell], search: Search) -> Team | None:
        """Legs for one cell, ready.

        Args:
            cell: what is measured.
            others: the same endpoint with other credentials, to compare with.
            search: how to search.

        Returns:
            The team; None where its first leg cannot reach the endpoint.
        """
        self._remotes = []
        order = self._order(cell, search.most)
        ready: dict[int, Ready] = {}
        wanted = [(cell, *place) for place in self._workers] + [(other, *self._workers[0]) for other in others]
        first = await self._muster(wanted[:1], order, ready, 0)
        if not first:
            return None
        order = replace(order, addresses=ready[0].addresses)
        remotes = first | await self._muster(wanted[1:], order, ready, 1)
        mine = {number: ready[number].caller for number in remotes if number < len(self._workers)}
        groups = parties(mine)
        left = {number: one.caller for number, one in ready.items() if number in remotes and number not in groups[0]}
        differences = rivals(ready[0].caller, left)
        room = {number: room_for(ready[number].files, search.most) for number in mine}
        most = min(search.most, sum(room.values()))
        places = Places(groups, room)
        hands = Legs(remotes, places)
        idle = {number: one.trouble for number, one in ready.items() if number not in remotes}
        facts: dict[str, Fact] = {
            **ready[0].client,
            "legs": tuple(f"{ready[number].caller} by {remotes[number].worker}" for number in remotes),
            "idle_legs": tuple(f"leg {number} {why}" for number, why in idle.items()),
            "open_files": ready[0].files,
            "asked_most": search.most,
            "too_few_files": most < search.most,
        }
        return Team(
            hands=hands,
            search=replace(search, most=most, costs=COSTS, rivals=tuple(differences)),
            differences=differences,
            facts=lambda: {**facts, **hands.facts()},
        )

    async def examine(self, cell: Cell, examine: leg.Examine) -> Any:
        """Have the first leg find out why it opens no session; None where it does not answer."""
        if not self._workers:
            return None
        worker, address = self._workers[0]
        remote = self._remote(0, worker)
        with suppress(Gone):
            await remote.muster(replace(self._order(cell, 1), local_address=address))
            report = await remote.ask("examine", examine)
            await remote.ask("disband")
            return report
        return None

    async def watch(self) -> None:
        """Notice what is gone, workers or the scheduler; and keep the legs from closing their sessions meanwhile."""
        while True:
            await anyio.sleep(_WATCH_S)
            present: Mapping[str, Any] | None = None
            with suppress(OSError), anyio.move_on_after(SILENCE_S / 2):
                present = await self._client.nthreads()
            if present is None:
                where = f"at {self._scheduler} " if self._scheduler else ""
                self._lose(self._remotes, f"the dask scheduler {where}does not answer any more")
                self._workers = []
                return
            self._workers = [place for place in self._workers if place[0] in present]
            self._lose([one for one in self._remotes if one.worker not in present], "its worker is gone")
            async with anyio.create_task_group() as pings:
                for remote in self._remotes:
                    if remote.lost is None:
                        pings.start_soon(self._ping, remote)

    async def _ping(self, remote: Remote) -> None:
        with suppress(Gone), anyio.move_on_after(SILENCE_S) as scope:
            await remote.ask("ping")
        if scope.cancelled_caught:
            remote.lose(f"it did not answer for {SILENCE_S:.0f} s")

    @staticmethod
    def _lose(remotes: Sequence[Remote], why: str) -> None:
        for remote in remotes:
            remote.lose(why)

    def _order(self, cell: Cell, sessions: int) -> Order:
        terms = self._terms
        return Order(
            cell=cell,
            catalogue=terms.catalogue,
            routes=terms.network.routes,
            sealed=terms.network.sealed,
            authority=terms.authority,
            timeout_s=terms.timeout_s,
            sessions=sessions,
            standby=terms.standby,
            salt=self._salt,
        )

    def _remote(self, number: int, worker: str) -> Remote:
        remote = Remote(
            number, self._client, worker, f"{self._salt}-{number}-{time.monotonic_ns()}", machine=leg.machine()
        )
        self._remotes.append(remote)
        return remote

    async def _muster(
        self, wanted: Sequence[tuple[Cell, str, str | None]], order: Order, ready: dict[int, Ready], number: int
    ) -> dict[int, Remote]:
        """Make legs, all at once. Returns those that are ready; what each says of itself goes to `ready`."""
        found: dict[int, Remote] = {}

        async def one(number: int, cell: Cell, worker: str, address: str | None) -> None:
            remote = self._remote(number, worker)
            try:
                says = await remote.muster(replace(order, cell=cell, local_address=address))
            except Gone as gone:
                says = Ready(caller=leg.nobody(worker), trouble=str(gone))
            ready[number] = says
            if says.trouble is None:
                found[number] = remote
            else:
                with suppress(Gone):
                    await remote.ask("disband")

        async with anyio.create_task_group() as group:
            for index, (cell, worker, address) in enumerate(wanted, start=number):
                group.start_soon(one, index, cell, worker, address)
        return dict(sorted(found.items()))
