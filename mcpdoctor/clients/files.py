"""Read one file of a client, from its path to its servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcpdoctor.clients.entries import Entries, read_entries
from mcpdoctor.clients.finding import Kind, by_path, by_shape, format_of
from mcpdoctor.clients.jsonc import read_json
from mcpdoctor.clients.known import Format, Known
from mcpdoctor.clients.source import Source, read
from mcpdoctor.clients.tomls import read_toml
from mcpdoctor.clients.values import Document, Liberty
from mcpdoctor.clients.words import Problem

_PART_OF_FORMAT = {
    Format.JSONC: {Liberty.COMMENT, Liberty.TRAILING_COMMA},
    Format.TOML: {Liberty.COMMENT},
    Format.YAML: {Liberty.COMMENT, Liberty.BYTE_ORDER_MARK},
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClientFile:
    """A file of a client, read.

    Attributes:
        kind: which client it is for, and how that was told.
        problems: what is wrong with the file around its servers, liberties that its client is known to refuse included.
    """

    document: Document
    kind: Kind
    entries: Entries
    problems: tuple[Problem, ...] = ()


def read_document(source: Source, written: Format) -> Document:
    """Read a text as what it is written in.

    Raises:
        Unreadable: it is not that.
    """
    if written is Format.YAML:
        from mcpdoctor.clients.yamls import read_yaml  # imported only where there is YAML: it takes its time

        return read_yaml(source)
    return read_toml(source) if written is Format.TOML else read_json(source)


def read_client_file(
    path: Path,
    known: Known,
    *,
    kind: Kind | None = None,
    source: Source | None = None,
    environ: Mapping[str, str] | None = None,
) -> ClientFile | None:
    """Read a file that may be one of a client.

    Args:
        path: the file.
        known: the clients there are.
        kind: what it is, where that is known already; else its path decides, and then what it holds.
        source: its text, where that was read already.
        environ: the environment that the client runs in; None where it is not known.

    Returns:
        None for a file that holds no servers of a client.

    Raises:
        Unreadable: it cannot be read, or is not written as its name says.
    """
    kind = kind or by_path(path.absolute(), known.clients)
    written = format_of(path) or (kind.client.format if kind else None)
    if written is None:
        return None
    document = read_document(source or read(path), written)
    kind = kind or by_shape(document, known.clients, written)
    if kind is None:
        return None
    entries = read_entries(document, kind.client, known.clients, files=kind.files, environ=environ)
    return ClientFile(
        document=document, kind=kind, entries=entries, problems=(*entries.problems, *_liberties(document, kind))
    )


def _liberties(document: Document, kind: Kind) -> list[Problem]:
    """Liberties that the client of a file refuses, or of which it keeps only a part."""
    client = kind.client
    allowed = _PART_OF_FORMAT.get(client.format, set())
    if not client.strict:  # nothing is known of it: only what loses a part of the file counts
        allowed = allowed | {Liberty.COMMENT, Liberty.TRAILING_COMMA, Liberty.BYTE_ORDER_MARK}
    return [
        Problem(kind=one.liberty.value, at=one.at, facts={"client": client.title})
        for one in document.taken
        if one.liberty not in allowed
    ]
