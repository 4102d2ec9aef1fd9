"""Who asks: what a caller shows of itself, and which cells would ask the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

from mcpdoctor import bearer
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Stage, Trace, Verdict
from mcpdoctor.probes import Signer

Key = tuple[tuple[str, str], ...]


def named(cell: Cell) -> bool:
    """Whether the caller says who it is: such callers have a limit of their own."""
    return cell.configuration.signed or cell.configuration.bearer


def no_token(cell: Cell) -> Trace | None:
    """The trace that says why the token of a cell cannot be sent; None where there is one, or none is wanted."""
    if cell.facts.get("token_usable") is not False:
        return None
    return Trace(stage=Stage.AUTH, verdict=Verdict.FAILED, facts={"token_usable": False})


def caller(cell: Cell) -> tuple[Hashable, ...]:
    """Who asks: cells that differ in this share no answer."""
    return cell.configuration.credential, given(cell) if cell.configuration.signed else None, key(cell.headers)


def given(cell: Cell) -> Key | None:
    """The environment of the program that the cell stands for; None for our own."""
    return None if cell.environ is None else key(cell.environ)


def key(table: Mapping[str, str]) -> Key:
    """A table of words as something that can be compared."""
    return tuple(sorted(table.items()))


def secrets(cell: Cell, signer: Signer | None) -> tuple[str, ...]:
    """Literal secrets of a cell: keys, and what its headers hold, with and without the word in front of a token."""
    headers = [part for value in cell.headers.values() for part in bearer.pieces(value)]
    return (*(signer.resolved.secrets if signer else ()), *headers)


def with_token(cell: Cell, environ: Mapping[str, str], standby: Mapping[str, str] | None) -> Cell:
    """A cell whose credential is a bearer token, with the token among its headers; other cells stay as they are.

    One whose token cannot be sent is tried without, up to where a caller has to say who it is.

    Args:
        cell: names the variable that holds the token.
        environ: environment variables of the user.
        standby: those of the lab, which stand in; None against real servers.
    """
    name = bearer.variable_of(cell.configuration.credential)
    if name is None:
        return cell
    given = environ if cell.environ is None else cell.environ
    if name not in given and standby is not None:
        given = standby
    token = bearer.token_of(name, given)
    headers = {**cell.headers, bearer.AUTHORIZATION: token.header} if token.header else cell.headers
    return replace(cell, headers=headers, facts={**cell.facts, **token.facts})
