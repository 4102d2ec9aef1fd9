"""A configuration as a Python program."""

from __future__ import annotations

import json
import re
from string import Template

from mcpdoctor.bearer import variable_of
from mcpdoctor.credentials import profile_of
from mcpdoctor.model import Configuration
from mcpdoctor.snippets.libraries import Library

_ENOUGH = "# ---\n"
"""Ends what is enough for who has a program already."""

_EMPTY_ARGUMENT = re.compile(r"^ *\w+=\$(\w+),\n|(?<=\()\w+=\$(\w+)(?=\))", re.MULTILINE)


_BEARER = """\
import os

import httpx
from mcp.client.streamable_http import streamable_http_client
from strands.tools.mcp import MCPClient

token = {"Authorization": "Bearer " + os.environ[$variable]}
client = MCPClient(
    lambda: streamable_http_client($endpoint, http_client=httpx.AsyncClient(headers=token, timeout=60))
)"""
"""Only a report shows it, for the one library that it shows: a token is no part of the ready snippets."""


def program(library: Library, configuration: Configuration, name: str) -> str:
    """A program that opens a session and lists the tools.

    Args:
        library: what it is written for.
        configuration: what it is to reach.
        name: what the server is called, where the library wants a name.
    """
    packages = library.packages.signed if configuration.signed else library.packages.unsigned
    install = " ".join(json.dumps(one) if re.search(r"[<>=]", one) else one for one in packages)
    return f"# pip install {install}\n{_filled(library, configuration, name).replace(_ENOUGH, '')}"


def fragment(library: Library, configuration: Configuration) -> str:
    """The part of the program that makes the client, without a line end at its end."""
    if (variable := variable_of(configuration.credential)) is not None:
        return Template(_BEARER).substitute(endpoint=_literal(configuration.endpoint), variable=_literal(variable))
    return _filled(library, configuration, "aws").partition(_ENOUGH)[0].rstrip()


def _filled(library: Library, configuration: Configuration, name: str) -> str:
    values = {
        "endpoint": configuration.endpoint,
        "service": configuration.service,
        "region": configuration.region,
        "profile": profile_of(configuration.credential),
        "name": name,
    }
    template = library.signed if configuration.signed else library.unsigned
    template = _EMPTY_ARGUMENT.sub(lambda found: found[0] if values[found[1] or found[2]] else "", template)
    return Template(template).substitute({key: _literal(value) for key, value in values.items()})


def _literal(value: str | None) -> str:
    """A value as Python, in plain ASCII, so that no terminal can be misled by it."""
    if value is None:
        return "None"
    return f'"{"".join(map(_character, value))}"'


def _character(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    if " " <= one <= "~":
        return one
    return f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"
