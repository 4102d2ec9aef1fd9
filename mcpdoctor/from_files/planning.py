"""From what `--from` was given to a plan: the files, their servers, and a name for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients import (
    By,
    ClientFile,
    Kind,
    Known,
    Server,
    Unreadable,
    find,
    read_client_file,
)
from mcpdoctor.clients.source import read
from mcpdoctor.from_files.entries import Entry, Lab, Machine
from mcpdoctor.matrix import MAX_CELLS, Call, Cell, Plan
from mcpdoctor.model import Unusable
from mcpdoctor.redaction import clean

AUTO = "auto"
"""In place of a file: every client file that this user and this project have."""

_MOST_NAMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan made of files.

    Attributes:
        notes: sentences about files that could not be read, where `auto` found them.
        files: how many files were read.
    """

    plan: Plan
    notes: tuple[str, ...] = ()
    files: int = 0


def planned(
    asked: Sequence[str],
    known: Known,
    catalogue: Catalogue,
    machine: Machine,
    *,
    run_commands: bool = False,
    call: Call | None = None,
    lab: Lab | None = None,
) -> Planned:
    """Make a plan of `FILE`, `FILE:SERVER` and `auto`.

    Args:
        asked: as on the command line.
        known: clients, runners and the proxy.
        catalogue: the endpoints there are.
        machine: where the files are.
        run_commands: whether commands are started; else only what they stand for is tried.
        call: what stage `call` shall call.
        lab: where the lab takes the place of AWS.

    Raises:
        Unusable: a file cannot be read, holds no servers, or none of the name that was asked for.
    """
    cells: dict[tuple[str, int, int], Cell] = {}
    notes: list[str] = []
    files = 0
    for one in asked:
        if one == AUTO:
            found, more = _auto(known, machine)
            notes += more
        else:
            found = [_named(one, known, machine)]
        files += len(found)
        for file, servers in found:
            for server, target in _targets(file, servers, machine):
                place = server.place
                entry = Entry(server, target, known, catalogue, machine, run_commands=run_commands, lab=lab)
                cells.setdefault((place.file, place.line, place.column), replace(entry.cell(), call=call))
        if len(cells) > MAX_CELLS:
            raise Unusable(f"The files hold more than {MAX_CELLS} servers; name a file, or a server in it.")
    return Planned(plan=Plan(cells=tuple(cells.values())), notes=tuple(notes), files=files)


def _auto(known: Known, machine: Machine) -> tuple[list[tuple[ClientFile, tuple[Server, ...]]], list[str]]:
    """Every file of this user and this project that can be read, and a sentence about each that cannot."""
    read: list[tuple[ClientFile, tuple[Server, ...]]] = []
    notes: list[str] = []
    for one in find(
        known.clients,
        home=machine.home,
        project=machine.project,
        environ=machine.environ,
        platform=machine.platform,
    ):
        kind = Kind(client=one.client, files=one.files, by=By.PATH)
        try:
            file = read_client_file(one.path, known, kind=kind, environ=machine.environ)
        except Unreadable as error:
            notes.append(str(error))
            continue
        if file is not None:
            read.append((file, file.entries.servers))
    return read, notes


def _named(asked: str, known: Known, machine: Machine) -> tuple[ClientFile, tuple[Server, ...]]:
    """The file and the servers that `FILE[:SERVER]` names.

    Raises:
        Unusable: there are none.
    """
    path, name = _split(asked)
    file = read_client_file(path, known, environ=machine.environ)
    if file is None:
        read(path)  # a name that tells nothing was not looked at
    shown = clean(str(path), limit=300)
    if file is None or not file.entries.servers:
        raise Unusable(_without_servers(shown, file))
    servers = file.entries.servers
    if name is None:
        return file, servers
    chosen = tuple(one for one in servers if one.name == name)
    if chosen:
        return file, chosen
    names = list(dict.fromkeys(one.name for one in servers))
    near = get_close_matches(name, names, n=1)
    listed = ", ".join(clean(one, limit=60) for one in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    hint = f"; did you mean {clean(near[0], limit=60)}?" if near else "."
    raise Unusable(f"{shown} holds no server {clean(name, limit=60)}; it holds {listed}{more}{hint}")


def _split(asked: str) -> tuple[Path, str | None]:
    """File and server of `FILE[:SERVER]`; a path may hold colons, and so may a name."""
    if Path(asked).exists():
        return Path(asked), None
    at = asked.find(":")
    while at >= 0:
        if at > 0 and asked[at + 1 :] and Path(asked[:at]).is_file():
            return Path(asked[:at]), asked[at + 1 :]
        at = asked.find(":", at + 1)
    # Nothing is there; what stands before a name that looks like one is what the message shall name.
    head, colon, tail = asked.rpartition(":")
    return Path(head if colon and len(head) > 1 and not re.search(r"[/\\]", tail) else asked), None


def _without_servers(shown: str, file: ClientFile | None) -> str:
    """Why a file has nothing to try."""
    if file is None:
        return f"{shown} holds no servers of an MCP client that mcpdoctor knows; name the file that the client reads."
    wanted = ".".join(file.kind.client.at[0])
    problem = next(iter(file.problems), None)
    if problem is not None and problem.kind in ("top-level-of-another-client", "top-level-missing"):
        written = clean(str(problem.facts.get("found", "the top level")), limit=60)
        return f"{problem.place}: the servers stand under {written}; {file.kind.client.title} reads {wanted}."
    return f"{shown} holds no servers; {file.kind.client.title} keeps them under {wanted}."


def _targets(file: ClientFile, servers: Sequence[Server], machine: Machine) -> Iterator[tuple[Server, str]]:
    """Each server with its target: what `--from` takes to try it alone, with the line where that is not enough."""
    path = Path(file.document.source.file)
    shown = str(path)
    for base, sign in ((machine.project, ""), (machine.home, "~/")):
        if path.is_absolute() and path.is_relative_to(base):
            shown = f"{sign}{path.relative_to(base).as_posix()}"
            break
    names = [one.name for one in file.entries.servers]
    for one in servers:
        target = f"{clean(shown, limit=300)}:{clean(one.name, limit=100)}"
        place = f" (line {one.place.line}, column {one.place.column})" if names.count(one.name) > 1 else ""
        yield one, f"{target}{place}"
