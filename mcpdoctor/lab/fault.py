"""What a fault of the lab is, and the simplest ways to answer; `faults.py` has the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mcpdoctor.lab.messages import Reaction, Request

HOST = "lab.test"
AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"

Answering = Callable[[Request], Reaction | None]


class HasHttp(Protocol):
    """What `Fault.url` needs of a lab."""

    @property
    def http(self) -> str:
        """The base URL of its plain HTTP side."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        stage: The stage of a diagnosis at which it shows.
        name: Its name within the stage.
        summary: What happens, in one sentence.
        answer: What is done with each request; None as its result passes the request to a healthy server. None in its
            place: nothing is served, the fault is in `endpoint`.
        endpoint: The URL to use; the fault's path on `https://lab.test` by default. With an `answer` it is a real name,
            and its query tells it from the healthy server there.
        clock_shift_s: How far the server's clock is ahead, in seconds.
        setup: What must be true of the client's side for the fault to show, where the lab alone cannot make it.
    """

    stage: str
    name: str
    summary: str
    answer: Answering | None = None
    endpoint: str = ""
    clock_shift_s: float = 0.0
    setup: str = ""

    @property
    def key(self) -> str:
        """`stage/name`."""
        return f"{self.stage}/{self.name}"

    @property
    def path(self) -> str:
        """The path under which it is served."""
        return f"/fault/{self.key}/mcp"

    def url(self, lab: HasHttp | None = None) -> str:
        """Where to find it.

        Args:
            lab: A running lab, for the URL on plain HTTP; without one, the URL to use with `connect_to`.

        Returns:
            The URL. A fault of the URL or the name has only one.
        """
        if lab is not None and self.answer is not None and not self.endpoint:
            return f"{lab.http}{self.path}"
        return self.endpoint or f"https://{HOST}{self.path}"


def always(reaction: Reaction) -> Answering:
    """Meet every request in the same way."""
    return lambda request: reaction  # noqa: ARG005 - whatever was asked


def on(*methods: str, do: Callable[[Request], Reaction]) -> Answering:
    """Answer the JSON-RPC methods named; a healthy server answers the others."""
    return lambda request: do(request) if request.method == "POST" and request.rpc_method in methods else None


def after_initialize(do: Callable[[Request], Reaction]) -> Answering:
    """Let `initialize` succeed, then answer every POST."""
    return lambda request: do(request) if request.method == "POST" and request.rpc_method != "initialize" else None


def named(host: str, path: str = "/mcp") -> str:
    """The URL of a host of the lab on TLS."""
    return f"https://{host}{path}"
