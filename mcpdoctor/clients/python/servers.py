"""Make servers of what a program starts or reaches, so that `launch`, `read_proxy` and every check see one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from mcpdoctor.clients.entries import Server
from mcpdoctor.clients.known import Client, Surroundings, Transport
from mcpdoctor.clients.python.known import Protocol, Role
from mcpdoctor.clients.python.usages import Usage
from mcpdoctor.clients.python.values import Place, Value
from mcpdoctor.clients.source import Source
from mcpdoctor.clients.values import Scalar
from mcpdoctor.clients.words import Word

PROGRAM = Client(
    name="python",
    title="this program",
    at=(),
    environment=Surroundings.MINIMAL,
    source="https://github.com/modelcontextprotocol/python-sdk/blob/main/src/mcp/client/stdio/__init__.py",
    as_of="2026-09",
)
"""A program as a client: the SDK gives what it starts HOME, PATH and the like, and no AWS_PROFILE."""

_TRANSPORTS = {
    Protocol.STREAMABLE_HTTP: Transport.HTTP,
    Protocol.SSE: Transport.SSE,
    Protocol.STDIO: Transport.STDIO,
}

Sources = Callable[[Place], Source]
"""The text that a place is in: that of the file, or that of the cell of a notebook."""


def server_of(usage: Usage, sources: Sources) -> Server:
    """The server of a usage.

    Args:
        usage: a call, or an entry of a table in a call.
        sources: gives the text of a place.

    Returns:
        Without its command, where an argument of that is not known at all: what it starts cannot be told then.
    """
    command, args = word_of(usage.given(Role.COMMAND), sources), _words(usage.given(Role.ARGS), sources)
    at = located(usage.place, sources)
    env = usage.given(Role.ENV)
    headers = usage.given(Role.HEADERS)
    return Server(
        client=PROGRAM,
        name=usage.server or usage.function.rpartition(".")[2],
        path=(usage.server,) if usage.server else (),
        at=at,
        entry=at,
        transport=_TRANSPORTS.get(usage.protocol) if usage.protocol else None,
        command=command if args is not None else None,
        args=tuple(args or ()),
        env=dict(_named(env, sources)),
        # Of a table of variables that is not known, any may be in it; `None` passes the few that the SDK chooses.
        forward=None if env is None or env.certain else ("AWS_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        url=setting_of(usage.endpoint, sources),
        headers=dict(_named(headers, sources)),
    )


def located(place: Place, sources: Sources, data: str | None = None) -> Scalar:
    """What stands at a place, as a value of the text."""
    source = sources(place)
    start = source.offset(place.line, place.column)
    return Scalar(source, start, max(start, source.offset(place.end_line, place.end_column)), data)


def word_of(value: Value | None, sources: Sources) -> Word | None:
    """A text as a word, certain or not; None for what is no text, or of which nothing is known."""
    if value is None:
        return None
    text = value.text if value.certain else value.likely or value.template
    if not isinstance(text, str):
        return None
    at = located(value.origin or value.place, sources, text)
    if value.origin is not None:
        at = Scalar(
            at.source, at.start, at.start, text
        )  # who else uses that literal is not known: no edit may touch it
    return Word(text, at, value.certain)


def setting_of(value: Value | None, sources: Sources) -> Word | None:
    """The same for an endpoint, a region or a service, which a program's own default decides.

    What somebody may set in the environment is unknown, but what the program does as it is written is not. (Of a
    profile or a secret it is the environment that counts.)
    """
    word = word_of(value, sources)
    return replace(word, certain=True) if word and value and value.written else word


def _words(value: Value | None, sources: Sources) -> list[Word] | None:
    """A list of texts; None where it is not known which and how many."""
    if value is None:
        return []
    if not value.certain or not isinstance(value.value, tuple):
        return None
    words = [word_of(one, sources) for one in value.value]
    return [one for one in words if one is not None] if all(words) else None


def _named(value: Value | None, sources: Sources) -> Iterator[tuple[str, Word]]:
    for name, one in (value.table if value else {}).items():
        if word := word_of(one, sources):
            yield name, word
