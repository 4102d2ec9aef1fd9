"""The calls that are looked for: `checks/python.toml`.

It is data in a file, not a tuple in code: forty entries that change with the versions of twelve libraries, each with
the version it was read from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mcpdoctor import catalogue
from mcpdoctor.model import Unusable

FILE = "python.toml"


class Role(StrEnum):
    """What a parameter is for."""

    ENDPOINT = "endpoint"  # the URL
    SERVICE = "service"  # SigV4 service name
    REGION = "region"  # region to sign for
    PROFILE = "profile"  # profile to take credentials from
    CREDENTIALS = "credentials"  # an object that holds credentials
    CLIENT = "client"  # an HTTP client or an authorizer of the program's own: it may sign, or send any header
    HEADERS = "headers"
    METADATA = "metadata"  # goes into `_meta` of every request
    TIMEOUT = "timeout"
    READ_TIMEOUT = "read-timeout"
    TERMINATE = "terminate"  # whether to end the session on the server
    COMMAND = "command"
    TOOL = "tool"  # the first argument of a command that the call itself names
    ARGS = "args"
    ENV = "env"
    TRANSPORT = "transport"  # another call, or a function that makes it
    TARGET = "target"  # a URL, a table of servers, another call, or a command
    SERVERS = "servers"  # a table of servers by name
    ENTRY = "entry"  # a table of one server
    KIND = "kind"  # the name of a protocol


class Protocol(StrEnum):
    """What a connection speaks."""

    STREAMABLE_HTTP = "streamable-http"
    SSE = "sse"
    STDIO = "stdio"


ENTRY: Mapping[str, Role] = {
    "url": Role.ENDPOINT,
    "command": Role.COMMAND,
    "args": Role.ARGS,
    "env": Role.ENV,
    "headers": Role.HEADERS,
    "auth": Role.CLIENT,
    "httpx_client_factory": Role.CLIENT,
    "transport": Role.KIND,
    "type": Role.KIND,
    "timeout": Role.TIMEOUT,
    "sse_read_timeout": Role.READ_TIMEOUT,
    "terminate_on_close": Role.TERMINATE,
}
"""Keys of a table that describes one server: the libraries took them over from each other."""

KINDS: Mapping[str, Protocol] = {
    "http": Protocol.STREAMABLE_HTTP,
    "streamable-http": Protocol.STREAMABLE_HTTP,
    "streamable_http": Protocol.STREAMABLE_HTTP,
    "streamableHttp": Protocol.STREAMABLE_HTTP,
    "sse": Protocol.SSE,
    "stdio": Protocol.STDIO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One function or class of a library.

    Attributes:
        name: of its entry in the file.
        names: absolute names; the first is what messages say.
        positional: parameters that may be given without a name.
        roles: parameter to what it is for.
        protocol: what the connection speaks; None where the arguments tell.
        signs: whether it signs with SigV4 by itself.
        command: the command that it starts; empty where an argument names it.
        sessions: methods of the object that need an open session.
        agents: what the tools of a session are given to.
        as_of: versions whose source was read.
    """

    name: str
    names: tuple[str, ...]
    as_of: str
    positional: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    protocol: Protocol | None = None
    signs: bool = False
    command: str = ""
    sessions: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


Known = Mapping[str, Call]
"""Every absolute name to its call."""


def load(path: Path | None = None) -> Known:
    """Read the calls.

    Args:
        path: another file than that of the catalogue.

    Raises:
        Unusable: the file does not parse, or an entry is not of the form of `Call`.
    """
    known: dict[str, Call] = {}
    for call in catalogue.entries(path or catalogue.locate() / FILE, Call):
        for name in call.names:
            if name in known:
                raise Unusable(f"{FILE}: {name} is in [{known[name].name}] and in [{call.name}].")
            known[name] = call
    return known
