"""Find the files to lint, read each of them once, and make subjects of what they hold. It opens files, nothing else.

A file that cannot be read does not keep the others from being linted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.files import read_client_file, read_document
from mcpdoctor.clients.finding import By as KindBy
from mcpdoctor.clients.finding import Kind, by_path, find, format_of
from mcpdoctor.clients.known import Known
from mcpdoctor.clients.reach import reach
from mcpdoctor.clients.source import Place, Source, Trouble, Unreadable, decode, read
from mcpdoctor.clients.values import Document, Items, Scalar, Table, Value
from mcpdoctor.clients.walking import Wanted, by_suffix, walk
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.linting import circumstances, pins, policies
from mcpdoctor.linting.pins import Pin
from mcpdoctor.linting.profiles import Profiles, read_profiles
from mcpdoctor.linting.subjects import Subject, of_reach
from mcpdoctor.model import Fact

if TYPE_CHECKING:
    from mcpdoctor.clients.python import Known as Calls
    from mcpdoctor.clients.python import Usage
    from mcpdoctor.clients.python.servers import Sources

NEEDLES = (b"mcp",)
"""A file that has to do with MCP and AWS holds this: in the URL, the package, or the key around the servers."""

MORE_NEEDLES = (*NEEDLES, b"bedrock-agentcore")
"""In the settings of some clients the key around the servers is another, and a URL of AgentCore may be all."""

PROGRAMS = (".py", ".ipynb")
DOCUMENTS = (".json", ".jsonc", ".toml", ".yaml", ".yml")

_REFUSED = {Trouble.MISSING, Trouble.NOT_A_FILE, Trouble.LINK_LOOP, Trouble.FORBIDDEN}
"""Of a path that somebody named, these are for them to put right, and no findings."""

_LITERAL = re.compile(r"{\w+}")
_SHORTEST_LITERAL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where to look when no path is given.

    Attributes:
        home: the user's home directory.
        project: the directory of the project.
        environ: environment variables; some clients let them name a directory.
        platform: as `sys.platform` has it.
    """

    home: Path
    project: Path
    environ: Mapping[str, str]
    platform: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """One file, read.

    Attributes:
        path: as it is shown.
        source: its text; None where it could not be read, and for a notebook, whose cells have texts of their own.
        subjects: the servers that it names, in the order of the file.
        problems: what is odd about the file as such.
        document: what it holds, where it is no program.
        of_aws: whether anything in it has to do with AWS.
        pins: versions that it asks for.
        uses: what is known of how the programs of its project use them.
        client: title of the client whose file it is; empty for other files.
        again: makes the same of another text, for what an edit would make of it; None where edits are not possible.
    """

    path: str
    source: Source | None = None
    subjects: tuple[Subject, ...] = ()
    problems: tuple[Problem, ...] = ()
    document: Document | None = None
    of_aws: bool = False
    pins: tuple[Pin, ...] = ()
    uses: Mapping[str, Fact] = field(default_factory=dict)
    client: str = ""
    again: Callable[[str], Gathered] | None = None


@dataclass(eq=False)
class Gathering:
    """The state of reading many files.

    Attributes:
        refused: sentences about paths that somebody named and that cannot be read.
        notes: sentences about what was left out.
        files: how many files were looked into, because they may matter.
        platform: as `sys.platform` has it.
    """

    catalogue: Catalogue
    known: Known
    platform: str = ""
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    _programs: list[Gathered] = field(default_factory=list)
    _manifests: list[tuple[Source, bool]] = field(default_factory=list)

    @cached_property
    def calls(self) -> Calls:
        """The calls of libraries; read only where there is a program."""
        from mcpdoctor.clients import python

        return python.load()

    @cached_property
    def words(self) -> re.Pattern[str]:
        """What only a text that has to do with AWS holds: parts of hosts, names of packages."""
        hosts = [urlsplit(one.url).netloc for one in self.catalogue.endpoints.values()]
        mistaken = [host for one in self.catalogue.endpoints.values() for host in one.mistaken]
        literals = {
            part for host in (*hosts, *mistaken) for part in _LITERAL.split(host) if len(part) >= _SHORTEST_LITERAL
        }
        packages = {name for one in self.catalogue.endpoints.values() for name in one.replaces}
        proxy = self.known.proxy
        names = {*literals, *packages, *proxy.packages, *proxy.images, *proxy.modules}
        names |= {action.rstrip("*") for action in policies.inert(self.catalogue)}
        return re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))

    @cached_property
    def inert(self) -> re.Pattern[str]:
        """What only a policy holds that relies on inert actions."""
        return re.compile("|".join(re.escape(one.rstrip("*")) for one in policies.inert(self.catalogue)), re.IGNORECASE)

    @cached_property
    def wanted(self) -> Wanted:
        """Which files below a directory to read. Searching every file for one thing more would cost a third more."""
        usual = by_suffix(dict.fromkeys((*PROGRAMS, *DOCUMENTS), NEEDLES))
        paths = (
            path
            for client in self.known.clients.values()
            for files in client.files
            for path in (*files.any, *files.linux, *files.macos, *files.windows, *files.project)
        )
        settings = frozenset(path.rpartition("/")[2] for path in paths)

        def wanted(name: str, /) -> tuple[bytes, ...] | None:
            if pins.is_manifest(name):
                return pins.NEEDLES
            return MORE_NEEDLES if name in settings else usual(name)

        return wanted

    # which files -----------------------------------------------------------------------------------------------------

    def own(self, places: Places) -> Iterator[Gathered]:
        """The client files of this user and of this project."""
        found = find(
            self.known.clients,
            home=places.home,
            project=places.project,
            environ=places.environ,
            platform=places.platform,
        )
        for one in found:
            kind = Kind(client=one.client, files=one.files, by=KindBy.PATH)
            yield from self.document(one.path, _shown(one.path, places.project), kind=kind, named=False)

    def named(self, paths: Iterable[str]) -> Iterator[Gathered]:
        """Files that somebody names, and what matters below directories that somebody names."""
        yield from self._named(paths)
        yield from self._projects()

    def _named(self, paths: Iterable[str]) -> Iterator[Gathered]:
        for name in paths:
            path = Path(name)
            try:
                directory = path.is_dir()
            except (OSError, ValueError):
                directory = False
            if not directory:
                yield from self.file(path, name)
                continue
            for found in walk([name], self.wanted):
                if found.reason is not None:
                    self.notes.append(f"{found.path}: left out: {found.reason}.")
                    continue
                shown = found.path.removeprefix(f".{os.sep}")
                if shown.endswith(PROGRAMS):
                    yield from self.program(found.data, shown, named=False)
                elif pins.is_manifest(Path(shown).name):
                    self._manifest(found.data, shown, named=False)
                else:
                    yield from self.document(Path(shown), shown, named=False, data=found.data)

    def file(self, path: Path, name: str) -> Iterator[Gathered]:
        """One file that somebody names."""
        try:
            if path.suffix in PROGRAMS:
                data = read_bytes(path)
                yield from self.program(data, name, named=True)
            elif pins.is_manifest(path.name):
                self._manifest(read_bytes(path), name, named=True)
            else:
                yield from self.document(path, name, named=True)
        except Unreadable as error:
            self.refused.append(str(error))

    # which versions --------------------------------------------------------------------------------------------------

    def _manifest(self, data: bytes, name: str, *, named: bool) -> None:
        """Keep a file that asks for versions until the programs of its project are read."""
        self.files += 1
        try:
            self._manifests.append((decode(data, name), named))
        except Unreadable as error:
            if named:
                self.refused.append(str(error))

    def _projects(self) -> Iterator[Gathered]:
        """The files that ask for versions, each with what the programs of its project do with them."""
        roots = {Path(source.file).absolute().parent for source, _ in self._manifests}
        used: dict[Path, list[Subject]] = {}
        for program in self._programs if roots else ():
            # A program belongs to the nearest directory above it that has such a file.
            nearest = next((one for one in Path(program.path).absolute().parents if one in roots), None)
            if nearest is not None:
                used.setdefault(nearest, []).extend(program.subjects)
        for source, named in self._manifests:
            uses = circumstances.of_programs(used.get(Path(source.file).absolute().parent, ()), self.platform)
            if uses or named:
                yield Gathered(path=source.file, source=source, pins=pins.read(source), uses=uses, of_aws=True)

    # what they hold --------------------------------------------------------------------------------------------------

    def document(
        self, path: Path, name: str, *, named: bool, kind: Kind | None = None, data: bytes | None = None
    ) -> Iterator[Gathered]:
        """A file in JSON, TOML or YAML."""
        kind = kind or by_path(path.absolute(), self.known.clients)
        if format_of(path) is None and kind is None:
            if named:
                self.refused.append(f"{Place(name, 1, 1)}: not a file of a client nor a program; give one of those.")
            return
        try:
            source = decode(data, name) if data is not None else _renamed(read(path), name)
        except Unreadable as error:
            if named and error.trouble in _REFUSED:
                self.refused.append(str(Unreadable(error.trouble, Place(name, 1, 1), error.what, error.fix)))
            elif named or (kind is not None and kind.by is KindBy.PATH and error.trouble is not Trouble.EMPTY):
                yield self._unreadable(error, name, Source(name, ""))
            return
        self.files += 1
        yield from self._document(path, source, kind, named=named)

    def _document(self, path: Path, source: Source, kind: Kind | None, *, named: bool) -> Iterator[Gathered]:
        of_aws = self.words.search(source.text) is not None
        if not of_aws and not named:
            return
        try:
            file = read_client_file(path, self.known, kind=kind, source=source)
            document = file.document if file else None
            written = format_of(path)
            if file is None and written is not None and self.inert.search(source.text):
                document = read_document(source, written)
        except Unreadable as error:
            # Somebody else's broken file is not ours to report, unless it is one of a client or was named.
            if (kind is not None and of_aws) or named:
                yield self._unreadable(error, source.file, source)
            return

        def again(text: str) -> Gathered:
            made = list(self._document(path, Source(source.file, text, source.marked), kind, named=True))
            return made[0]

        if file is None:
            problems = tuple(policies.problems(document.root, self.catalogue)) if document is not None else ()
            yield Gathered(path=source.file, source=source, document=document, problems=problems, of_aws=of_aws)
            return
        subjects = tuple(of_reach(reach(one, self.known)) for one in file.entries.servers)
        yield Gathered(
            path=source.file,
            source=source,
            document=document,
            subjects=subjects,
            problems=file.problems,
            of_aws=of_aws,
            client=file.kind.client.title,
            again=again,
        )

    def _unreadable(self, error: Unreadable, name: str, source: Source) -> Gathered:
        at = source.offset(error.place.line, error.place.column)
        value = Scalar(source, at, at, None)
        problem = Problem(
            kind="unreadable", at=value, facts={"trouble": error.trouble.value, "what": error.what, "fix": error.fix}
        )
        return Gathered(path=name, source=source, problems=(problem,), of_aws=True)

    def program(self, data: bytes, name: str, *, named: bool) -> Iterator[Gathered]:
        """A program, or a notebook."""
        self.files += 1
        for one in self._program(data, name, named=named):
            self._programs.append(one)
            yield one

    def _program(self, data: bytes, name: str, *, named: bool) -> Iterator[Gathered]:
        from mcpdoctor.clients import python

        notebook = name.endswith(".ipynb")
        reading = (python.read_notebook if notebook else python.read)(data, name, self.calls)
        if named:
            self.notes += [f"{note.place}: left out: {note.text}." for note in reading.notes]
        if not reading.usages:
            return
        text = "" if notebook else _text_of(data)
        sources = _sources(data, name, text, notebook=notebook)

        def again(changed: str) -> Gathered:
            marked = data.startswith(b"\xef\xbb\xbf")
            return next(
                self._program(changed.encode("utf-8-sig" if marked else "utf-8"), name, named=False),
                Gathered(path=name),
            )

        subjects = tuple(self._of_usage(usage, sources) for usage in reading.usages)
        from mcpdoctor.linting.entries import in_program

        utf8 = not notebook and _is_utf8(data)
        whole = sources(reading.usages[0].place)
        asked = () if notebook else pins.of_script(whole)
        yield Gathered(
            path=name,
            source=whole if utf8 else None,
            subjects=subjects,
            problems=() if notebook else tuple(in_program(whole, self.catalogue)),
            of_aws=True,
            pins=asked,
            uses=circumstances.of_programs(subjects, self.platform) if asked else {},
            again=again if utf8 else None,
        )

    def _of_usage(self, usage: Usage, sources: Sources) -> Subject:
        from dataclasses import replace

        from mcpdoctor.clients.proxies import How, Setting
        from mcpdoctor.clients.python import Protocol, RegionSource, Role
        from mcpdoctor.clients.python.servers import server_of, setting_of, word_of
        from mcpdoctor.linting.entries import of_call
        from mcpdoctor.linting.subjects import given

        reached = reach(server_of(usage, sources), self.known)
        if usage.protocol is Protocol.STDIO:
            made = replace(of_reach(reached), usage=usage)
        else:
            made = Subject(reach=replace(reached, configuration=usage.configuration), usage=usage, signs=usage.signs)
            if usage.signs:
                region = given(setting_of(usage.given(Role.REGION), sources))
                if region is None and usage.region_source is RegionSource.SESSION:
                    region = Setting(value=None, how=How.CHAIN)
                made = replace(
                    made,
                    service=given(setting_of(usage.given(Role.SERVICE), sources)),
                    region=region,
                    profile=given(word_of(usage.given(Role.PROFILE), sources)),
                )
        return replace(made, found=tuple(of_call(made, sources)))


def gather(
    paths: Sequence[str], catalogue: Catalogue, known: Known, places: Places
) -> tuple[Gathering, Iterator[Gathered]]:
    """Read files.

    Args:
        paths: files and directories; none for the client files of this user and this project.
        catalogue: the endpoints there are.
        known: the clients there are.
        places: where the files of this user and this project are.

    Returns:
        The state, complete once all files were taken, and the files.
    """
    state = Gathering(catalogue, known, places.platform)
    return state, state.named(paths) if paths else state.own(places)


def profiles_of(places: Places) -> Profiles:
    """The profiles of this user."""
    return read_profiles(places.home, places.environ)


def concerns(subject: Subject, words: re.Pattern[str]) -> bool:
    """Whether a server has to do with AWS."""
    server = subject.server
    parts: list[Word | None] = [server.command, *server.args, server.url, subject.reach.endpoint]
    texts = [server.entry.raw, *(one.text for one in parts if one is not None)]
    return any(words.search(text) for text in texts)


def read_bytes(path: Path) -> bytes:
    """What a program holds, under the bounds of every reader.

    Raises:
        Unreadable: it is no file, or cannot be read.
    """
    found = next(iter(walk([str(path)], by_suffix({}))))
    if found.reason is not None:
        loop = "ymbolic" in found.reason
        missing = not path.exists() and not loop
        trouble = Trouble.LINK_LOOP if loop else Trouble.MISSING if missing else Trouble.FORBIDDEN
        raise Unreadable(trouble, Place(str(path), 1, 1), f"cannot be read ({found.reason})", "check the path")
    return found.data


def _sources(data: bytes, name: str, text: str, *, notebook: bool) -> Sources:
    """The text of each place: the file, or a cell."""
    made: dict[int | None, Source] = {}
    if notebook:
        from mcpdoctor.clients.python import notebooks

        made = {one.number: Source(f"{name}:cell {one.number}", one.text) for one in notebooks.cells(data)}
    whole = Source(name, text, marked=data.startswith(b"\xef\xbb\xbf"))

    def source(place: object) -> Source:
        return made.get(getattr(place, "cell", None), whole)

    return source


def _text_of(data: bytes) -> str:
    from mcpdoctor.clients.python.source import decode as decode_program

    return decode_program(data)


def _is_utf8(data: bytes) -> bool:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return text == _text_of(data)


def _renamed(source: Source, name: str) -> Source:
    return Source(name, source.text, source.marked)


def _shown(path: Path, project: Path) -> str:
    try:
        return str(path.relative_to(project))
    except ValueError:
        return str(path)


def hidden(file: Gathered, known: Known) -> Iterator[Value]:
    """Values that must not be shown, whatever they are: those of variables and of headers, wherever they stand."""
    names = {name for one in known.clients.values() for name in (*one.env, *one.headers)}
    pending = [(file.document.root, False)] if file.document is not None else []
    while pending:
        value, inside = pending.pop()
        if isinstance(value, Table):
            pending += [(one.value, inside or one.name in names) for one in value.members]
        elif isinstance(value, Items):
            pending += [(one, inside) for one in value.items]
        elif inside:
            yield value
    for subject in file.subjects:
        words = [*subject.server.env.values(), *subject.server.headers.values()]
        if subject.reach.launch is not None:
            words += subject.reach.launch.environment.values()
        if subject.reach.proxy is not None:
            words += subject.reach.proxy.headers.values()
        yield from (word.at for word in words)
