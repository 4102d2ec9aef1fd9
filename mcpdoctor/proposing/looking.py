"""Read what a project uses: the files of its MCP clients, and its programs. Nothing is started, nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.finding import By, Kind, find
from mcpdoctor.clients.known import Known
from mcpdoctor.linting.gathering import Gathered, Gathering, Places
from mcpdoctor.linting.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was read.

    Attributes:
        subjects: the servers, in the order of files and lines; those of client files first.
        notes: sentences about files that could not be read.
        files: how many files were looked into, because they may matter.
    """

    subjects: tuple[Subject, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0


def look(catalogue: Catalogue, known: Known, places: Places) -> Looked:
    """Read the project in the current directory.

    Args:
        catalogue: the endpoints there are.
        known: the clients there are.
        places: where the files are; the project is the current directory, so that places are relative to it. Files of
            the user are left alone: what somebody uses for themselves is no business of the project.
    """
    state = Gathering(catalogue, known, places.platform)
    files: dict[str, Gathered] = {}
    for one in find(
        known.clients, home=places.home, project=places.project, environ=places.environ, platform=places.platform
    ):
        if one.project:
            kind = Kind(client=one.client, files=one.files, by=By.PATH)
            shown = one.path.relative_to(places.project).as_posix()
            for file in state.document(one.path, shown, named=True, kind=kind):
                files.setdefault(shown, file)
    looked = len(files)
    for file in state.named(["."]):
        files.setdefault(Path(file.path).as_posix(), file)
    subjects = [
        subject
        for number, file in enumerate(files.values())
        for subject in sorted(file.subjects, key=lambda one: (one.server.place.line, one.server.place.column))
        if number < looked or file.of_aws
    ]
    broken = tuple(note for file in files.values() for note in _broken(file))
    return Looked(subjects=tuple(subjects), notes=(*state.refused, *broken, *state.notes), files=state.files)


def _broken(file: Gathered) -> list[str]:
    """What keeps a client file from being read, as sentences."""
    return [
        f"{one.place}: {one.facts.get('what')}; {one.facts.get('fix')}."
        for one in file.problems
        if one.kind == "unreadable"
    ]
