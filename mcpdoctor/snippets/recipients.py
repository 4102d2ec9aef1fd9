"""Who a snippet can be made for: Python libraries, and clients that keep their servers in files."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from mcpdoctor.clients.known import OTHER, Client
from mcpdoctor.clients.known import known as known_clients
from mcpdoctor.model import Unusable
from mcpdoctor.snippets.libraries import Library, libraries

Recipient = Client | Library
"""Who a snippet is made for."""


@cache
def recipients() -> Mapping[str, Recipient]:
    """Everybody that a snippet can be made for, by name: libraries first, then clients."""
    clients = {name: one for name, one in known_clients().clients.items() if name != OTHER}
    return {**libraries(), **clients}


def recipient(name: str) -> Recipient:
    """Find one by its name, or by what people call it.

    Raises:
        Unusable: there is none; the message names the nearest.
    """
    names = {word: one for one in recipients().values() for word in (*one.aliases, one.name)}
    found = names.get(name.lower())
    if found is not None:
        return found
    near = list(dict.fromkeys(names[word].name for word in get_close_matches(name.lower(), names, n=3)))
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(recipients())}."
    raise Unusable(f"{name} is no client that mcpdoctor knows; {hint}")
