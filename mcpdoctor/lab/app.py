"""The ASGI application: finds the server or the fault that a request is for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from random import Random
from urllib.parse import urlsplit

from mcpdoctor.lab import limiters, logins, modes
from mcpdoctor.lab.doors import Door, Rules
from mcpdoctor.lab.exchange import Exchange, Seen
from mcpdoctor.lab.faults import FAULTS, HOST, Fault
from mcpdoctor.lab.messages import Request, foreign_origin, in_html, in_json
from mcpdoctor.lab.providers import react
from mcpdoctor.lab.servers import Backend, Receive, Scope, Send
from mcpdoctor.lab.services import PLAIN_TOOLS, SERVICES, Service

SWEEP_S = 1.0
"""How often sessions that went silent are looked for."""

PORTAL = f"portal.{HOST}"

_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


class App:
    """Everything the lab serves.

    Args:
        rules: What holds for every server.
        limits: The limits of every server but the faults; empty for each server's own.
        latency_s: Seconds before every answer.
    """

    def __init__(self, *, rules: Rules, limits: Iterable[limiters.Limit] = (), latency_s: float = 0.0) -> None:
        self.requests: list[Seen] = []
        self._latency_s = latency_s
        chosen = tuple(limits)
        # Some hosts serve several servers, each at a path of its own.
        self._by_host: dict[str, list[tuple[Service, Door]]] = {}
        self._by_prefix: dict[str, Door] = {}
        for service in SERVICES:
            door = _door(service, rules, chosen)
            self._by_host.setdefault(service.host, []).append((service, door))
            self._by_prefix[service.prefix] = door
        quiet = Rules(mode="current", by_address=False, noise=0.0, chance=Random(0), clock=rules.clock)  # noqa: S311 - not a secret
        self._faults: dict[str, tuple[Fault, Door]] = {
            fault.path: (fault, _door(_behind(fault), quiet)) for fault in FAULTS.values() if fault.answer
        }
        self._by_query = {
            (split.hostname or "", split.path, split.query): fault
            for fault in FAULTS.values()
            if fault.answer and fault.endpoint and (split := urlsplit(fault.endpoint))
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        exchange = await Exchange.read(scope, receive, send, latency_s=self._latency_s)
        if exchange is None:
            return
        self.requests.append(exchange.seen)
        await self._route(exchange)

    async def run(self) -> None:
        """Look after sessions until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for door in self._doors():
                await door.sweep()

    async def stop(self) -> None:
        """End every server."""
        for door in self._doors():
            await door.stop()

    async def _route(self, exchange: Exchange) -> None:
        request = exchange.request
        if not self._at_home(request):
            await exchange.answer(foreign_origin())
            return
        if found := self._by_host.get(request.host):
            for service, door in found:
                if request.query and (fault := self._by_query.get((request.host, request.path, request.query))):
                    await self._meet(exchange, fault, door)
                    return
                if request.path in service.paths or request.path.startswith("/.well-known/"):
                    await door.enter(exchange)
                    return
        elif request.host == PORTAL:
            page = "<!DOCTYPE html><html><title>Sign in</title><form><input name=user></form></html>"
            await exchange.answer(in_html(page))
            return
        elif (reaction := react(request)) is not None:
            await exchange.answer(reaction)
            return
        elif request.path.startswith("/.well-known/"):
            await exchange.answer(logins.metadata(request))
            return
        elif served := self._fault(request.host, request.path):
            await self._meet(exchange, *served)
            return
        else:
            for prefix, door in self._by_prefix.items():
                if request.path == f"{prefix}/mcp" or request.path.startswith(f"{prefix}/.well-known/"):
                    await door.enter(exchange)
                    return
        await exchange.answer(in_json({"message": "Not Found"}, status=404))

    def _at_home(self, request: Request) -> bool:
        """Whether a request comes from no web page, or from one of this machine or of the lab's own names.

        Any page that a browser shows can send requests to loopback (DNS rebinding), so servers there must look at
        `Origin`: MCP 2025-11-25, Transports, Security Warning. Programs send none.
        """
        origin = request.header("origin")
        if origin is None:
            return True
        try:
            host = urlsplit(origin).hostname or ""
        except ValueError:
            return False
        own = host == HOST or host.endswith(f".{HOST}") or host in self._by_host
        return own or _LOOPBACK.fullmatch(host) is not None

    def _fault(self, host: str, path: str) -> tuple[Fault, Door] | None:
        # A client that gets past a faulty certificate of `*.lab.test` meets a healthy server.
        if path == "/mcp" and host.endswith(f".{HOST}"):
            return self._faults[FAULTS["healthy/none"].path]
        return self._faults.get(path)

    async def _meet(self, exchange: Exchange, fault: Fault, door: Door) -> None:
        exchange.clock_shift_s = fault.clock_shift_s
        reaction = fault.answer(exchange.request) if fault.answer else None
        if reaction is None:
            await door.enter(exchange)
        else:
            await exchange.answer(reaction)

    def _doors(self) -> list[Door]:
        return [*self._by_prefix.values(), *(door for _, door in self._faults.values())]


def _door(service: Service, rules: Rules, chosen: tuple[limiters.Limit, ...] = ()) -> Door:
    dated = modes.QUOTAS.get(rules.mode, {}).get(service.family)
    known = dated.limits if dated else service.limits
    signed = _built(chosen or map(limiters.parse_limit, known))
    # What was chosen counts everybody together: with `per address`, one address is one caller, signed or not.
    known = dated.anonymous_limits if dated else service.anonymous_limits
    anonymous = signed if chosen else _built(map(limiters.parse_limit, known))
    backend = Backend(name=f"lab {service.name}", tools=service.tools)
    return Door(service=service, backend=backend, limiters=signed, anonymous_limiters=anonymous, rules=rules)


def _built(limits: Iterable[limiters.Limit]) -> tuple[limiters.Limiter, ...]:
    return tuple(limiter for limit in limits if (limiter := limiters.build(limit)) is not None)


def _behind(fault: Fault) -> Service:
    """The healthy server behind a fault, which lets everybody in."""
    return Service(
        name=f"fault/{fault.key}",
        host=HOST,
        prefix=f"/fault/{fault.key}",
        url=fault.url(),
        tools=PLAIN_TOOLS,
        family="plain",
    )
