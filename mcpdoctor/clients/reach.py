"""What an entry would really reach: the one way from a server to the configuration that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcpdoctor.clients.entries import Server
from mcpdoctor.clients.known import Known, Transport
from mcpdoctor.clients.launch import Launch, launch
from mcpdoctor.clients.proxies import Proxy, read_proxy
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.model import Configuration

_NEEDED = ("command", "args")
"""Where one of these cannot be read, what the command starts cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """What a server is, behind its command.

    Attributes:
        launch: what its command starts; None for one that is reached by URL.
        proxy: set where it starts the proxy.
        endpoint: the URL that is called in the end, by client, bridge or proxy; None where that cannot be told.
        configuration: what would be sent there; None where that cannot be told, or is another transport.
        problems: of the entry, of its command and of the arguments.
    """

    server: Server
    launch: Launch | None = None
    proxy: Proxy | None = None
    endpoint: Word | None = None
    configuration: Configuration | None = None
    problems: tuple[Problem, ...] = ()


def reach(server: Server, known: Known, *, environ: Mapping[str, str] | None = None) -> Reach:
    """Follow a server to what it reaches.

    Args:
        server: an entry.
        known: what is known of runners and the proxy.
        environ: the environment that the client runs in; None where it is not known.
    """
    if server.transport is not Transport.STDIO:
        sent = server.url is not None and server.url.certain and server.transport is not Transport.SSE
        return Reach(
            server=server,
            endpoint=server.url,
            configuration=Configuration(endpoint=server.url.text) if sent and server.url else None,
            problems=server.problems,
        )
    if server.command is None or any(one.facts.get("key") in _NEEDED for one in server.problems):
        return Reach(server=server, problems=server.problems)
    started = launch(server.command, server.args, known.runners)
    proxy = read_proxy(server, started, known, environ=environ)
    if proxy is not None:
        return Reach(
            server=server,
            launch=started,
            proxy=proxy,
            endpoint=proxy.endpoint,
            configuration=proxy.configuration,
            problems=(*server.problems, *proxy.problems),
        )
    bridged = started.endpoint
    return Reach(
        server=server,
        launch=started,
        endpoint=bridged,
        configuration=Configuration(endpoint=bridged.text) if bridged and bridged.certain else None,
        problems=(*server.problems, *started.problems),
    )
