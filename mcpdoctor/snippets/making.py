"""What to paste, and what to tell beside it."""

from __future__ import annotations

from mcpdoctor.clients.known import Client, Surroundings
from mcpdoctor.clients.known import known as known_clients
from mcpdoctor.model import Configuration
from mcpdoctor.snippets.code import program
from mcpdoctor.snippets.entries import entry, needs_program
from mcpdoctor.snippets.libraries import Library
from mcpdoctor.snippets.places import places
from mcpdoctor.snippets.recipients import Recipient


def snippet(who: Recipient, configuration: Configuration, name: str) -> str:
    """What to paste.

    Args:
        who: the client or library.
        configuration: what it is to reach.
        name: what the server is called there.

    Returns:
        A whole file or program, with a line end at its end.
    """
    if isinstance(who, Library):
        return program(who, configuration, name)
    return entry(who, configuration, name, known_clients())


def advice(who: Recipient, configuration: Configuration) -> list[str]:
    """What to tell beside a snippet: where it goes, and what it needs."""
    if not isinstance(who, Client):
        return []
    lines = [f"For {who.title}; put it into, or add it to:"]
    lines += [f"  {place + ':':<9}{path}" for place, path in places(who)]
    if needs_program(who, configuration):
        lines.append("It starts uvx, which comes with uv: https://docs.astral.sh/uv/getting-started/installation/")
        if who.environment is Surroundings.DESKTOP:
            lines.append(
                f"{who.title} does not see the PATH of your shell: where it does not find uvx, write its path."
            )
    return lines
