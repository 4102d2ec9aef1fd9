"""Where the files of clients are: on this machine, and which client a given file is for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from mcpdoctor.clients.entries import looks_like_server, tables_at
from mcpdoctor.clients.known import OTHER, Client, Files, Format
from mcpdoctor.clients.values import Document, Items, Table, Value

_VARIABLE = re.compile(r"\{(\w+)\}")
_SYSTEMS = {"darwin": "macos", "win32": "windows", "cygwin": "windows"}
_FORMATS = {
    ".json": Format.JSON,
    ".jsonc": Format.JSONC,
    ".toml": Format.TOML,
    ".yaml": Format.YAML,
    ".yml": Format.YAML,
}
_MOST_OF_A_KIND = 200
"""Plugins and agents are some dozens; a directory of more holds something else."""


class By(StrEnum):
    """How it was told which client a file is for."""

    PATH = "path"
    SHAPE = "shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a file is: of which client, and which of its files."""

    client: Client
    files: Files | None
    by: By


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A client's file on this machine.

    Attributes:
        project: whether it belongs to the project, and not to the user.
    """

    path: Path
    client: Client
    files: Files
    project: bool


def find(
    clients: Mapping[str, Client],
    *,
    home: Path,
    project: Path | None,
    environ: Mapping[str, str],
    platform: str,
) -> list[Found]:
    """List the files of all clients that this user and this project have.

    Args:
        clients: the clients to look for.
        home: the user's home directory.
        project: the directory of the project; None for the user's files alone.
        environ: environment variables; some clients let them name a directory.
        platform: as `sys.platform` has it.

    Returns:
        Each file once, those of the user before those of the project. Links that lead nowhere are among them, so that
        reading can say so.
    """
    found: dict[object, Found] = {}
    system = _SYSTEMS.get(platform, "linux")
    for of_project in (False, True):
        if of_project and project is None:
            continue
        for client in clients.values():
            for files in client.files:
                templates = files.project if of_project else (*files.any, *getattr(files, system))
                for template in templates:
                    base = f"{{project}}/{template}" if of_project else template
                    for path in _existing(_filled(base, client, home, project, environ)):
                        # The project may be the home directory, or a link to it.
                        found.setdefault(
                            _identity(path), Found(path=path, client=client, files=files, project=of_project)
                        )
    return list(found.values())


def _filled(template: str, client: Client, home: Path, project: Path | None, environ: Mapping[str, str]) -> Path:
    """The path that a template means here."""
    places = {
        "home": str(home),
        "project": str(project),
        "config": environ.get("XDG_CONFIG_HOME") or str(home / ".config"),
        "appdata": environ.get("APPDATA") or str(home / "AppData" / "Roaming"),
    }

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in places:
            return places[name]
        return environ.get(name) or _VARIABLE.sub(value, client.defaults.get(name, ""))

    return Path(_VARIABLE.sub(value, template))


def _existing(path: Path) -> Iterator[Path]:
    """The files that a path with stars means; each star stands for one name, so no link can lead in circles."""
    parts = path.parts
    first = next((number for number, part in enumerate(parts) if "*" in part), None)
    try:
        if first is None:
            if path.is_file() or path.is_symlink():
                yield path
            return
        matches = Path(*parts[:first]).glob("/".join(parts[first:]))
        for _, one in zip(range(_MOST_OF_A_KIND), matches, strict=False):
            if one.is_file() or one.is_symlink():
                yield one
    except (OSError, ValueError):
        return  # a directory that may not be read, or a name that cannot be one, holds nothing for us


def _identity(path: Path) -> object:
    try:
        about = path.stat()
    except (OSError, ValueError):
        return str(path)
    return (about.st_dev, about.st_ino) if about.st_ino else str(path)


def format_of(path: PurePath) -> Format | None:
    """How a file is written, by its name; None where the name does not tell."""
    return _FORMATS.get(path.suffix.lower())


def by_path(path: PurePath, clients: Mapping[str, Client]) -> Kind | None:
    """Tell the client from name and place of a file.

    Args:
        path: the file, as absolute path: the names of its directories tell clients apart.
        clients: the clients there are.
    """
    best: tuple[int, Kind] | None = None
    for client in clients.values():
        for files in client.files:
            for template in (*files.any, *files.linux, *files.macos, *files.windows, *files.project):
                tail = _tail(template, client)
                parts = path.parts[-len(tail) :]
                if len(parts) == len(tail) and all(map(fnmatchcase, parts, tail)):
                    score = 2 * len(tail) - any("*" in one for one in tail)
                    if best is None or score > best[0]:
                        best = score, Kind(client=client, files=files, by=By.PATH)
    return best[1] if best else None


def _tail(template: str, client: Client) -> tuple[str, ...]:
    """The names at the end of a path that are the same for everybody."""
    filled = _VARIABLE.sub(lambda found: client.defaults.get(found[1], ""), template)
    return tuple(one for one in _VARIABLE.sub("", filled).split("/") if one)


def by_shape(document: Document, clients: Mapping[str, Client], written: Format | None) -> Kind | None:
    """Tell the client from what a file holds.

    Args:
        document: the file.
        clients: the clients there are.
        written: how the file is written; clients that use another format are left out.

    Returns:
        The client; `other` for a shape that several share; None where nothing in the file looks like a server.
    """
    fitting = [
        client
        for client in clients.values()
        if client.name != OTHER and _same_format(client.format, written) and _fits(document.root, client)
    ]
    if len(fitting) > 1:
        own = [client for client in fitting if _uses_own_url(document.root, client, fitting)]
        fitting = own if len(own) == 1 else [clients[OTHER]]
    return Kind(client=fitting[0], files=None, by=By.SHAPE) if fitting else None


def _same_format(one: Format, other: Format | None) -> bool:
    json = (Format.JSON, Format.JSONC)
    return other is None or one is other or (one in json and other in json)


def _servers(root: Value, client: Client) -> Iterator[Value]:
    for _, table in tables_at(root, tuple(shape for shape in client.shapes if shape)):
        if isinstance(table, Table) and client.named is None:
            yield from (one.value for one in table.members)
        elif isinstance(table, Items) and client.named is not None:
            yield from table.items


def _fits(root: Value, client: Client) -> bool:
    return any(looks_like_server(one) for one in _servers(root, client))


def _uses_own_url(root: Value, client: Client, rivals: list[Client]) -> bool:
    """Whether a server stands under a key for URLs that only this client has."""
    own = set(client.url) - {key for rival in rivals if rival is not client for key in rival.url}
    return any(
        isinstance(one, Table) and own & {member.name for member in one.members} for one in _servers(root, client)
    )
