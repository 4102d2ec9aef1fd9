"""Variables in values: each client has its own way to write them, and leaves that of the others as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcpdoctor.clients.known import Client

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,200}"
_SYNTAXES = {
    "${VAR}": re.compile(rf"\$\{{({_NAME})\}}"),
    "${VAR:-default}": re.compile(rf"\$\{{({_NAME}):-([^}}]{{0,2000}})\}}"),
    "${env:VAR}": re.compile(rf"\$\{{env:({_NAME})\}}"),
    "$VAR": re.compile(rf"\$({_NAME})"),
    "{env:VAR}": re.compile(rf"\{{env:({_NAME})\}}"),
    "${input:ID}": re.compile(r"\$\{input:[^}]{1,200}\}"),
    "{file:PATH}": re.compile(r"\{file:[^}]{1,400}\}"),
    "${userHome}": re.compile(r"\$\{userHome\}"),
    "${workspaceFolder}": re.compile(r"\$\{workspaceFolder(?:Basename)?(?::[^}]{1,200})?\}"),
    "${{ secrets.NAME }}": re.compile(r"\$\{\{[^}]{1,200}\}\}"),
}
_ANY = re.compile(rf"\$\{{\{{?[^}}]{{1,400}}\}}|\{{(?:env|file):[^}}]{{1,400}}\}}|\$(?:env:)?{_NAME}|%{_NAME}%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A text as the program gets it.

    Attributes:
        text: with the variables replaced whose value is known.
        certain: False where some are not.
        foreign: variables as written that the client leaves as they are.
    """

    text: str
    certain: bool = True
    foreign: tuple[str, ...] = ()


def expand(text: str, client: Client, environ: Mapping[str, str] | None) -> Expanded:
    """Replace the variables that a client replaces.

    Args:
        text: as written.
        client: whose file it stands in.
        environ: what the client's own environment holds; None where that is not known.
    """
    if "$" not in text and "{" not in text and "%" not in text:
        return Expanded(text=text)
    unknown: list[str] = []
    for syntax in client.variables:
        text = _SYNTAXES[syntax].sub(_replacer(syntax, environ, unknown), text)
    left = tuple(found[0] for found in _ANY.finditer(text) if found[0] not in unknown)
    # Of a client whose own way is not known, a variable that is left tells nothing.
    foreign = tuple(one for one in left if one.startswith(("${", "{"))) if client.variables else ()
    return Expanded(text=text, certain=not unknown and not left, foreign=foreign)


def _replacer(syntax: str, environ: Mapping[str, str] | None, unknown: list[str]) -> Callable[[re.Match[str]], str]:
    def value(found: re.Match[str]) -> str:
        name = found[1] if found.re.groups else ""
        if environ is not None and name in environ:
            return environ[name]
        unknown.append(found[0])
        return found[2] if syntax == "${VAR:-default}" else found[0]

    return value
