"""What a program does to reach an MCP server: one record for each call that names a server.

Facts only. Whether they are right is for the checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mcpdoctor.clients.python.known import KINDS, Protocol, Role
from mcpdoctor.clients.python.values import Place, Value
from mcpdoctor.model import UNSIGNED, Configuration


class RegionSource(StrEnum):
    """Where the region comes from that a request is signed for."""

    ARGUMENT = "argument"  # the call names it
    # boto3.Session: AWS_DEFAULT_REGION, then `region` of the profile. Not AWS_REGION, and not the host of the URL.
    SESSION = "session"
    NONE = "none"  # with credentials= the library takes it from nowhere else, and raises ValueError
    UNSIGNED = "unsigned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """What was given for one parameter, or stands under one key.

    Attributes:
        name: of the parameter, as the library calls it.
        role: what it is for; None where that says nothing of how the server is reached.
    """

    name: str
    role: Role | None
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A call that holds another one: `MCPClient(lambda: …)`.

    Attributes:
        function: absolute name of what is called.
        place: of the whole call.
        arguments: its own.
        idle: calls of its methods that certainly stand outside of its session, and fail.
        late: calls of an agent whose tools certainly come from a session that has ended by then.
    """

    function: str
    place: Place
    arguments: tuple[Argument, ...] = ()
    idle: tuple[Place, ...] = ()
    late: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A call that names a server, or one server of a table in a call.

    Attributes:
        function: absolute name of what is called.
        place: of the whole call; of the entry, where it is one of a table.
        arguments: in the order they are written.
        server: name of the entry in its table.
        protocol: what the connection speaks; None where that is not known.
        signs: whether requests carry a SigV4 signature; None where the program brings a client of its own, which may.
        complete: whether every argument is among `arguments`: only then does the absence of one tell anything.
        credential: reference to the credentials that a signing call uses; None where it is not known.
        credentials: whether it is given an object that holds credentials; None where that may be nothing.
        holders: the calls that hold this one, the inner ones first.
        idle: as in `Holder`, of the call itself.
        late: as in `Holder`, of the call itself.
    """

    function: str
    place: Place
    arguments: tuple[Argument, ...]
    server: str | None = None
    protocol: Protocol | None = None
    signs: bool | None = False
    complete: bool = True
    credential: str | None = None
    credentials: bool | None = False
    holders: tuple[Holder, ...] = ()
    idle: tuple[Place, ...] = ()
    late: tuple[Place, ...] = ()

    def given(self, role: Role) -> Value | None:
        """The value of a role; None where nothing was given for it. `None` as an argument counts as nothing."""
        for argument in self.arguments:
            if argument.role is role and not (argument.value.certain and argument.value.value is None):
                return argument.value
        return None

    def lacks(self, role: Role) -> bool:
        """Whether certainly nothing was given for a role."""
        return self.complete and self.given(role) is None

    @property
    def endpoint(self) -> Value | None:
        """The URL."""
        return self.given(Role.ENDPOINT)

    @property
    def authorization(self) -> Value | None:
        """The header Authorization that the call sets."""
        headers = self.given(Role.HEADERS)
        for name, value in (headers.table if headers else {}).items():
            if name.casefold() == "authorization":
                return value
        return None

    @property
    def region_source(self) -> RegionSource:
        """Where the region comes from that requests are signed for."""
        if self.signs is None:
            return RegionSource.UNKNOWN
        if not self.signs:
            return RegionSource.UNSIGNED
        region = self.given(Role.REGION)
        if region is not None:
            # os.environ.get("AWS_REGION") without a default may be None: then it is taken from elsewhere.
            return RegionSource.ARGUMENT if region.value else RegionSource.UNKNOWN
        if not self.complete:
            return RegionSource.UNKNOWN
        if self.credentials is None:
            return RegionSource.UNKNOWN
        return RegionSource.NONE if self.credentials else RegionSource.SESSION

    @property
    def configuration(self) -> Configuration | None:
        """The configuration that the call uses; None where a part of it is not certain, or there is no name for it."""
        endpoint = self.endpoint.text if self.endpoint else None
        if endpoint is None or self.protocol is not Protocol.STREAMABLE_HTTP or not self.complete:
            return None
        if self.signs is False:
            bearer = self.given(Role.HEADERS)
            unsigned = bearer is None or (bearer.certain and self.authorization is None)
            return Configuration(endpoint=endpoint, credential=UNSIGNED) if unsigned else None
        service, region = self.given(Role.SERVICE), self.given(Role.REGION)
        if not self.signs or service is None or service.text is None or self.credential is None:
            return None
        if region is not None and region.text is None:
            return None
        return Configuration(
            endpoint=endpoint,
            service=service.text,
            region=region.text if region else None,
            credential=self.credential,
        )


def of_entry(table: Mapping[str, Value], roles: Mapping[str, Role]) -> tuple[Argument, ...]:
    """The entries of a table as arguments."""
    return tuple(Argument(name=key, role=roles.get(key), value=value) for key, value in table.items())


def protocol_of(arguments: tuple[Argument, ...]) -> Protocol | None:
    """What a connection speaks, by its arguments, where the library leaves it to them."""
    by_role = {one.role: one.value for one in arguments if one.role}
    kind = by_role.get(Role.KIND)
    if kind is not None:
        return KINDS.get(kind.text or "")
    if Role.COMMAND in by_role:
        return Protocol.STDIO
    endpoint = by_role.get(Role.ENDPOINT)
    if endpoint is None or endpoint.template is None:
        return None
    # fastmcp and llama-index take an URL with a segment /sse for one of the old protocol.
    path = endpoint.template.partition("?")[0]
    return Protocol.SSE if path.endswith("/sse") or "/sse/" in path else Protocol.STREAMABLE_HTTP
