"""What travels between the coordinator and its legs. No secret does: each leg resolves a reference to its own keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.ceiling.callers import Caller
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Fact
from mcpdoctor.network import Route
from mcpdoctor.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a leg has to know to be ready.

    Attributes:
        cell: what is measured, with the credential reference that this leg uses.
        catalogue: tells what counts as a refusal.
        routes: connect-to.
        sealed: names without a route do not resolve.
        authority: PEM certificates to trust besides the usual ones.
        timeout_s: seconds that one request may take.
        sessions: how many sessions at a time are wanted at most.
        local_address: the address to connect from; None leaves it to the system.
        addresses: the addresses of the server, where the first leg has looked them up: all go to the same.
        standby: environment variables with the made-up keys of the lab; None against real servers.
        salt: makes fingerprints of keys useless to anybody else.
        lease_s: after so long without a word from the coordinator the leg closes its sessions.
    """

    cell: Cell
    catalogue: Catalogue = field(repr=False)
    routes: Mapping[tuple[str, int], Route] = field(default_factory=dict)
    sealed: bool = False
    authority: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0
    sessions: int = 16
    local_address: str | None = None
    addresses: tuple[str, ...] = ()
    standby: Mapping[str, str] | None = field(default=None, repr=False)
    salt: str = field(default="", repr=False)
    lease_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a leg says of itself.

    Attributes:
        caller: as whom it appears.
        addresses: of the server, as it looked them up.
        files: how many files it may open; None where nothing says.
        client: facts of the client that is installed there.
        trouble: why it is not ready, as half a sentence; None where it is.
    """

    caller: Caller
    addresses: tuple[str, ...] = ()
    files: int | None = None
    client: Mapping[str, Fact] = field(default_factory=dict)
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one call, with the times of the leg's clock.

    Attributes:
        samples: those that the coordinator had not seen when it called.
        gone: whether there is no such leg any more.
    """

    received_s: float
    replied_s: float
    samples: tuple[Sample, ...] = ()
    value: Any = None
    gone: bool = False
