"""A configuration as an entry of a client's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcpdoctor.clients.known import Client, Known, Runner, Surroundings, Transport
from mcpdoctor.clients.versions import requirement
from mcpdoctor.credentials import profile_of
from mcpdoctor.inference import guess
from mcpdoctor.model import Configuration
from mcpdoctor.snippets.writing import write

_STARTER = "uvx"
_BRIDGE = "fastmcp"


def entry(client: Client, configuration: Configuration, name: str, known: Known) -> str:
    """The text of a file that holds one server.

    Args:
        client: whose file it is.
        configuration: what it is to reach.
        name: what the server is called.
        known: how the proxy and bridges are started.

    Returns:
        A whole file, with a line end at its end; who has one already takes what stands in it.
    """
    return write(around(client, server(client, configuration, name, known), name), client.format)


def around(client: Client, one: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a file holds that has one server."""
    servers: Any = {name: one} if client.named is None else [{client.named: name, **one}]
    for key in reversed(client.at[0]):
        servers = {key: servers}
    return {**_filled(client.adds.file, name), **servers}


def needs_program(client: Client, configuration: Configuration) -> bool:
    """Whether the entry starts a program: the proxy to sign, or a bridge where the client takes no URL."""
    return configuration.signed or not client.remote


def server(client: Client, configuration: Configuration, name: str, known: Known) -> dict[str, Any]:
    """What an entry holds."""
    if not needs_program(client, configuration):
        key = url_key(client)
        kind = _type(client, Transport.HTTP) if client.url[key] is not Transport.HTTP or client.typed else {}
        return {**kind, key: configuration.endpoint, **_filled(client.adds.http, name)}
    words = _proxy(configuration, known) if configuration.signed else _bridge(configuration, known)
    command = {client.command[0]: words[0], client.args[0]: words[1:]} if client.args else {client.command[0]: words}
    # Where the key of the URL does not tell how the client talks to a server, its type does, for programs too.
    kind = _type(client, Transport.STDIO) if client.typed or Transport.HTTP not in client.url.values() else {}
    return {**kind, **command, **_forward(client, configuration, known), **_filled(client.adds.stdio, name)}


def url_key(client: Client) -> str:
    """The key that means streamable HTTP; else the first one, and a type beside it says so."""
    return next((key for key, one in client.url.items() if one is Transport.HTTP), next(iter(client.url)))


def _type(client: Client, transport: Transport) -> dict[str, Any]:
    """The key `type`; nothing for a client that does not read it."""
    word = next((word for word, one in client.types.items() if one is transport), None)
    return {"type": word} if word else {}


def _filled(adds: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value.replace("{name}", name) if isinstance(value, str) else value for key, value in adds.items()}


def _proxy(configuration: Configuration, known: Known) -> list[str]:
    """The command of the proxy. The URL comes first: some options would take it for a value of theirs."""
    service, region = guess(configuration.endpoint)
    options = {
        "--service": configuration.service if configuration.service != service else None,
        "--region": configuration.region if configuration.region != region else None,
        "--profile": profile_of(configuration.credential),
    }
    given = [word for option, value in options.items() if value for word in (option, value)]
    return [*_started(known.runners[_STARTER], known.proxy.recommended), configuration.endpoint, *given]


def _bridge(configuration: Configuration, known: Known) -> list[str]:
    """The command of a program that speaks stdio with the client and HTTP, unsigned, with the server."""
    bridge = known.runners[_BRIDGE]
    started = _started(known.runners[_STARTER], bridge.recommended or bridge.name)
    return [*started, *bridge.words[0], configuration.endpoint]


def _started(starter: Runner, package: str) -> list[str]:
    """A program of that name, from versions of a package."""
    needed = requirement(package)
    return [starter.programs[0], starter.from_[0], package, needed.name if needed else package]


def _forward(client: Client, configuration: Configuration, known: Known) -> dict[str, Any]:
    """Names of variables that the proxy needs, for a client that passes on no others."""
    if client.forward is None or client.environment is not Surroundings.MINIMAL or not configuration.signed:
        return {}
    if profile_of(configuration.credential):
        return {}
    choosing = () if configuration.credential == "env" else known.proxy.forwarded
    return {client.forward: [*choosing, *known.proxy.forwarded_keys]}
