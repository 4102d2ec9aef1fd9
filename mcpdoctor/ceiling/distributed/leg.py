"""One leg, in the process of a worker: its sessions live here between the calls of the coordinator.

They are closed when the coordinator says so, when it was not heard of for a while, and when the worker ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio

from mcpdoctor import probes, way
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling.actions import Action, Burst
from mcpdoctor.ceiling.callers import Caller
from mcpdoctor.ceiling.distributed.orders import Order, Ready, Reply
from mcpdoctor.ceiling.machine import client_facts, files_for, open_files
from mcpdoctor.ceiling.meter import Line
from mcpdoctor.ceiling.sessions import Sessions, Way
from mcpdoctor.identities import Identities
from mcpdoctor.matrix import Cell
from mcpdoctor.network import Network, port_of, tls_context
from mcpdoctor.samples import Sample
from mcpdoctor.threads import in_thread

CLOSING_S = 8.0
"""Seconds that closing the sessions of one leg may take."""

_CUT_S = 2.0
_PLUGIN = "mcpdoctor"
_TALKATIVE = ("mcp", "mcp_proxy_for_aws", "httpx", "httpcore", "botocore")
_LEVELS: dict[str, int] = {}
_LEGS: dict[str, Leg] = {}
"""The legs in this process, by name."""

Examine = Callable[[Cell, Catalogue, Network, Mapping[str, str] | None, float], Coroutine[Any, Any, Any]]
"""Finds out why no session opens."""


async def muster(name: str, order: Order, *, dask_worker: Any) -> Reply:
    """Make a leg in this process; for `Client.run`."""
    received_s = time.monotonic()
    leg = _LEGS[name] = Leg(name, order, dask_worker)
    ready = await leg.prepare()
    return Reply(received_s=received_s, replied_s=time.monotonic(), value=ready)


async def act(name: str, method: str, arguments: tuple[Any, ...], seen: int) -> Reply:
    """Call a method of a leg of this process; for `Client.run`.

    Args:
        name: of the leg.
        method: its name.
        arguments: of the method.
        seen: how many samples of the leg the coordinator has.
    """
    received_s = time.monotonic()
    leg = _LEGS.get(name)
    if leg is None:
        return Reply(received_s=received_s, replied_s=received_s, gone=True)
    leg.heard_s = received_s
    value = await getattr(leg, method)(*arguments)
    return Reply(received_s=received_s, replied_s=time.monotonic(), samples=tuple(leg.samples[seen:]), value=value)


def can_bind(addresses: Sequence[str]) -> tuple[str, ...]:
    """Which of the addresses this machine has; for `Client.run`."""
    found = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
            found.append(address)
    return tuple(found)


def belong() -> None:
    """Make this process one that only its parent ends, and that says nothing; for the workers that we start.

    Ctrl-C reaches every process of a terminal, and a worker that dies of it cannot close its sessions.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    warnings.showwarning = lambda *_, **__: None


class Leg:
    """Carries out what the coordinator asks for.

    Args:
        name: in the registry.
        order: what it has to know.
        worker: the dask worker of this process.
    """

    def __init__(self, name: str, order: Order, worker: Any) -> None:
        self.name, self._order, self._worker = name, order, worker
        self.samples: list[Sample] = []
        self.heard_s = time.monotonic()
        self._hands: _Hands | None = None
        self._network: Network | None = None
        self._under_way: asyncio.Task[Any] | None = None
        self._lease: asyncio.Task[None] | None = None

    # ready ------------------------------------------------------------------------------------------------------------

    async def prepare(self) -> Ready:
        """Resolve the credential, look up the server, load the client."""
        order, configuration = self._order, self._order.cell.configuration
        _quiet()
        self._lease = asyncio.create_task(self._expire())
        await self._stay()
        network = self._network = await in_thread(self._make_network)
        caller = Caller(address=None, credential=configuration.credential, name=_machine_name())
        signer = None
        if configuration.signed:
            identities = Identities(
                (configuration,), environ=os.environ, standby=order.standby, timeout_s=order.timeout_s
            )
            signer, _ = await identities.signer(configuration)
            if signer is None:
                return Ready(caller=caller, trouble="has no credential of that name")
        host, port = urlsplit(configuration.endpoint).hostname or "", port_of(configuration.endpoint)
        found: tuple[str, ...] = ()
        proxied = network.proxy_for(configuration.endpoint) is not None
        if not proxied:
            try:
                with anyio.fail_after(order.timeout_s):
                    await way.look_up(network, host, port)
            except OSError:
                return Ready(caller=caller, trouble=f"cannot look up {host}")
            found = network.addresses.get(host, ())
        await in_thread(probes.load_client)
        self._hands = _Hands(
            Way(
                url=configuration.endpoint,
                signer=signer,
                network=network,
                catalogue=order.catalogue,
                call=order.cell.call,
                timeout_s=order.timeout_s,
                local_address=order.local_address,
            )
        )
        target = network.targets(host, port)[0][0]
        address = None if proxied else order.local_address or _address_towards(target, port)
        caller = Caller(
            address=address,
            seen=address is not None and (order.local_address is not None or _unchanged(address, target)),
            machine=machine(),
            key=None if signer is None else _fingerprint(order.salt, signer.resolved.credentials),
            credential=configuration.credential,
            name=_machine_name(),
        )
        return Ready(
            caller=caller,
            addresses=found,
            files=open_files(files_for(order.sessions)),
            client=client_facts(signed=configuration.signed),
        )

    def _make_network(self) -> Network:
        order, url = self._order, self._order.cell.configuration.endpoint
        context = tls_context(None, needed=url.lower().startswith("https:"))
        if order.authority is not None:
            context.load_verify_locations(cadata=order.authority)
        host = urlsplit(url).hostname or ""
        return Network(
            context=context,
            routes=order.routes,
            sealed=order.sealed,
            environ=os.environ,
            addresses={host: order.addresses} if order.addresses else {},
        )

    # actions ----------------------------------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Say that one is there."""

    async def perform(self, action: Action) -> None:
        """Carry an action out, all of it."""
        await self._carry_out(action)

    async def line_up(self, burst: Burst) -> None:
        """Prepare the part of a burst that is this leg's, up to where its requests wait to be let go."""
        hands = self._ready()
        volley = hands.volley = _Volley([index for index, size in enumerate(burst.groups) if size])
        mine = Burst(
            groups=tuple(filter(None, burst.groups)), sessions=burst.sessions, light=burst.light, leg=burst.leg
        )
        self._begin(mine)
        waiting = asyncio.create_task(volley.ready.wait())
        await asyncio.wait({waiting, *([self._under_way] if self._under_way else [])}, return_when="FIRST_COMPLETED")
        waiting.cancel()

    async def launch(self, times_s: Sequence[float]) -> None:
        """Let the groups of the burst go, each at its time of this leg's clock, for as long as that is polite."""
        volley = self._ready().volley
        if volley is not None:
            volley.launching = asyncio.create_task(volley.launch(times_s))

    async def spoiled(self) -> tuple[int, int]:
        """How many requests of the burst were not accepted so far, and how many of these are of later groups."""
        volley = self._ready().volley
        return volley.spoiled() if volley is not None else (0, 0)

    async def hold(self) -> None:
        """Send no more groups."""
        volley = self._ready().volley
        if volley is not None:
            volley.over.set()

    async def finish(self) -> None:
        """Return when all groups have gone, and all that was sent is answered."""
        volley, task = self._ready().volley, self._under_way
        if volley is not None:
            if volley.launching is not None:
                await asyncio.wait([volley.launching])
            volley.over.set()
        if task is not None:
            await self._ended(task)

    async def halt(self) -> None:
        """Let the workers of a loop begin nothing more."""
        self._ready().halted = True

    async def interrupt(self) -> None:
        """Drop what is under way."""
        task = self._under_way
        if self._hands is not None and self._hands.volley is not None:
            self._hands.volley.over.set()
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_CUT_S)
        self._settle()

    async def examine(self, examine: Examine) -> Any:
        """Find out why no session opens from here. In a thread: signals of this process are no business of ours."""
        order, network = self._order, self._network
        if network is None:
            network = await in_thread(self._make_network)
        work = partial(examine, order.cell, order.catalogue, network, order.standby, order.timeout_s)
        return await in_thread(partial(anyio.run, work))

    async def disband(self) -> None:
        """Close all sessions and leave the registry."""
        if _LEGS.pop(self.name, None) is None:
            return
        await self.interrupt()
        if self._hands is not None:
            with suppress(Exception), anyio.move_on_after(CLOSING_S):
                await self._hands.aclose()
        self._settle()
        if not _LEGS:
            _aloud()
        if self._lease is not None and self._lease is not asyncio.current_task():
            self._lease.cancel()

    def _ready(self) -> _Hands:
        if self._hands is None:
            raise RuntimeError("this leg is not ready")
        return self._hands

    async def _carry_out(self, action: Action) -> None:
        hands = self._ready()
        hands.volley = None
        await self._ended(self._begin(action))

    def _begin(self, action: Action) -> asyncio.Task[Any]:
        hands = self._ready()
        hands.halted = False
        self._under_way = asyncio.create_task(hands.perform(action))
        self._under_way.add_done_callback(self._keep)
        return self._under_way

    def _keep(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is None:
            self.samples += task.result()

    async def _ended(self, task: asyncio.Task[Any]) -> None:
        """Wait for what is under way; its samples are in the list then."""
        await asyncio.wait([task])
        self._settle()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def _settle(self) -> None:
        """Take the samples that no action handed out."""
        if self._hands is not None and (self._under_way is None or self._under_way.done()):
            self.samples += self._hands.collect()

    # the end ----------------------------------------------------------------------------------------------------------

    async def _expire(self) -> None:
        """Close everything when nobody asks for it any more."""
        while time.monotonic() - self.heard_s < self._order.lease_s:  # noqa: ASYNC110  # nothing happens: time passes
            await asyncio.sleep(min(1.0, self._order.lease_s / 4))
        await self.disband()

    async def _stay(self) -> None:
        """Be told when the worker ends: then sessions are closed while its event loop still runs."""
        if self._worker is None or _PLUGIN in getattr(self._worker, "plugins", {_PLUGIN: None}):
            return
        from distributed import WorkerPlugin

        class Closing(WorkerPlugin):  # type: ignore[misc]  # dask has types in parts only
            async def teardown(self, worker: Any) -> None:  # noqa: ARG002
                await asyncio.gather(*(leg.disband() for leg in list(_LEGS.values())))

        await self._worker.plugin_add(Closing(), _PLUGIN)


class _Volley:
    """A burst whose groups are let go from outside.

    Args:
        numbers: which groups of the whole burst this leg has a part in.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = list(numbers)
        self._lines: Sequence[Line] = ()
        self.ready, self.over = asyncio.Event(), asyncio.Event()
        self.launching: asyncio.Task[None] | None = None

    def line_up(self, lines: Sequence[Line]) -> None:
        """All requests wait in these lines."""
        self._lines = lines
        self.ready.set()

    async def launch(self, times_s: Sequence[float]) -> None:
        """Let one group after another go; see `Burst` for when that has to end. Other legs may end it too (`over`)."""
        for number, line in zip(self._numbers, self._lines, strict=False):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), max(0.0, times_s[number] - time.monotonic()))
            if self.over.is_set() or too_much(*self.spoiled()):
                return
            line.go()

    def spoiled(self) -> tuple[int, int]:
        """How many were not accepted, and how many of these are of later groups than the first of the whole burst."""
        counts = list(zip(self._numbers, (line.spoiled for line in self._lines), strict=False))
        return sum(count for _, count in counts), sum(count for number, count in counts if number)


class _Hands(Sessions):
    """Sessions whose bursts and loops are steered from outside."""

    def __init__(self, way: Way) -> None:
        super().__init__(way)
        self.volley: _Volley | None = None
        self.halted = False

    async def _let_go(self, lines: Sequence[Line], gap_s: float) -> None:
        if self.volley is None:
            await super()._let_go(lines, gap_s)
            return
        self.volley.line_up(lines)
        await self.volley.over.wait()

    async def _call(self, number: int | None, *, light: bool, line: Line | None = None) -> None:
        if not self.halted:
            await super()._call(number, light=light, line=line)


def _quiet() -> None:
    """Silence the client's libraries while there are legs: some versions log credentials, and this log is not ours."""
    for talker in _TALKATIVE:
        logger = logging.getLogger(talker)
        _LEVELS.setdefault(talker, logger.level)
        logger.setLevel(logging.CRITICAL + 1)


def _aloud() -> None:
    for talker in list(_LEVELS):
        logging.getLogger(talker).setLevel(_LEVELS.pop(talker))


def too_much(spoiled: int, later: int) -> bool:
    """Whether a burst has to end: two requests were not accepted, or one that was not in the part known to pass."""
    return spoiled >= 2 or later >= 1


def _fingerprint(salt: str, credentials: Any) -> str:
    key = credentials.get_frozen_credentials().access_key
    return hashlib.blake2b(key.encode(), key=salt.encode()[:64], digest_size=16).hexdigest()


def _address_towards(target: str, port: int) -> str | None:
    """The address that the system connects from; nothing is sent."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((target, port))
        return str(probe.getsockname()[0])
    return None


def _unchanged(address: str, target: str) -> bool:
    """Whether the server sees the address: a public one, or one of the server's own kind of network."""
    try:
        return ipaddress.ip_address(address).is_global or not ipaddress.ip_address(target).is_global
    except ValueError:
        return False


def machine() -> str:
    """This machine, since it was started: two processes with the same have one clock."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{_machine_name()} {os.getpid()}"


def _machine_name() -> str:
    return socket.gethostname()


def nobody(name: str) -> Caller:
    """A leg that says nothing of itself."""
    return Caller(address=None, name=name)


__all__ = ["Leg", "act", "belong", "can_bind", "machine", "muster", "nobody", "too_much"]
