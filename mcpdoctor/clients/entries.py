"""Make servers of the entries of a file: what the client would start, or where it would connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from mcpdoctor.clients.known import OTHER, Client, Files, Transport, Unit
from mcpdoctor.clients.source import Place
from mcpdoctor.clients.values import Document, Items, Member, Scalar, Table, Value
from mcpdoctor.clients.variables import expand
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.model import Fact

ROLES = ("command", "args", "env", "url", "headers")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeout:
    """A timeout of an entry.

    Attributes:
        key: what the client calls it.
        number: as written.
        unit: what the client counts in.
    """

    key: str
    number: float
    unit: Unit
    at: Value

    @property
    def seconds(self) -> float:
        """The time it means."""
        return self.number / 1000 if self.unit is Unit.MILLISECONDS else self.number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """One entry of a client's file.

    Attributes:
        path: the keys that lead to it.
        at: its name where it has one, else the entry.
        entry: the entry itself.
        transport: how the client talks to it; None where that cannot be told.
        command: the program to start; None for a server that is reached by URL.
        env: variables that the program gets from the entry.
        forward: names of variables that it gets from the client's own environment; None where the client passes all.
        url: where it is reached.
        url_key: the key that the URL stands under.
        headers: HTTP headers.
        enabled: False where the entry is switched off.
        problems: what is wrong with the entry as such.
    """

    client: Client
    name: str
    path: tuple[str, ...]
    at: Value
    entry: Value
    transport: Transport | None = None
    command: Word | None = None
    args: tuple[Word, ...] = ()
    env: Mapping[str, Word] = field(default_factory=dict)
    forward: tuple[str, ...] | None = None
    cwd: Word | None = None
    url: Word | None = None
    url_key: str | None = None
    headers: Mapping[str, Word] = field(default_factory=dict)
    timeouts: tuple[Timeout, ...] = ()
    enabled: bool = True
    problems: tuple[Problem, ...] = ()

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.at.place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entries:
    """The servers of a file, and what is wrong around them."""

    servers: tuple[Server, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_entries(
    document: Document,
    client: Client,
    clients: Mapping[str, Client],
    *,
    files: Files | None = None,
    environ: Mapping[str, str] | None = None,
) -> Entries:
    """Read the servers of a file.

    Args:
        document: the file.
        client: the client whose file it is.
        clients: every client; tells a key of another one from a typing error.
        files: which kind of file of that client it is.
        environ: the environment that the client runs in; None where it is not known.
    """
    found = list(tables_at(document.root, files.at if files and files.at is not None else client.at))
    if not found:
        elsewhere = files is not None and files.at is not None  # its other files are the usual place
        return Entries(problems=() if elsewhere else tuple(_misplaced(document.root, client, clients)))
    servers: list[Server] = []
    problems: list[Problem] = []
    for path, table in found:
        for name, at, entry in _named(table, client, problems):
            servers.append(_Entry(client, clients, environ).read((*path, name), name, at, entry))
    return Entries(servers=tuple(servers), problems=tuple(problems))


def tables_at(root: Value, shapes: tuple[tuple[str, ...], ...]) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Every value that holds servers, with the keys that lead to it."""
    seen = False
    for shape in shapes:
        if not shape and (seen or not _bare(root)):
            continue
        level: list[tuple[tuple[str, ...], Value]] = [((), root)]
        for key in shape:
            level = [
                ((*path, one.name), one.value)
                for path, value in level
                if isinstance(value, Table)
                for one in value.last()
                if key in ("*", one.name)
            ]
        seen = seen or bool(level)
        yield from level


def _bare(root: Value) -> bool:
    """Whether a file holds servers without a key around them."""
    members = root.members if isinstance(root, Table) else ()
    return bool(members) and all(looks_like_server(one.value) for one in members)


def looks_like_server(value: Value) -> bool:
    """Whether a value has what makes an entry a server, in the words of any client."""
    keys = {"command", "cmd", "url", "serverUrl", "httpUrl", "uri"}
    return isinstance(value, Table) and any(one.name in keys for one in value.members)


def _misplaced(root: Value, client: Client, clients: Mapping[str, Client]) -> Iterator[Problem]:
    """Servers that stand under a key which this client does not read."""
    if not isinstance(root, Table):
        yield Problem(kind="file-not-a-table", at=root)
        return
    wanted = ".".join(client.at[0])
    if _bare(root):
        yield Problem(kind="top-level-missing", at=root, facts={"wanted": wanted})
        return
    # Names with a dot are those of extensions, which keep their servers in the settings of any editor.
    theirs = {shape[0] for other in clients.values() for shape in other.at if len(shape) == 1 and "." not in shape[0]}
    for one in root.members:
        inner = one.value.members if isinstance(one.value, Table) else ()
        servers = bool(inner) and all(looks_like_server(member.value) for member in inner)
        if servers and (one.name in theirs or _same(one.name, client.at[0][0])):
            yield Problem(kind="top-level-of-another-client", at=one.key, facts={"found": one.name, "wanted": wanted})


def _same(one: str, other: str) -> bool:
    """Whether two keys differ in their spelling only."""
    plain = [key.replace("_", "").replace("-", "").lower().rstrip("s") for key in (one, other)]
    return plain[0] == plain[1]


def _named(table: Value, client: Client, problems: list[Problem]) -> Iterator[tuple[str, Value, Value]]:
    """Name, place and entry of each server."""
    if isinstance(table, Table) and client.named is None:
        for one in table.last():
            yield one.name, one.key, one.value
    elif isinstance(table, Items) and client.named is not None:
        for number, entry in enumerate(table.items):
            name = entry.get(client.named) if isinstance(entry, Table) else None
            text = name.text if isinstance(name, Scalar) else None
            yield text or f"#{number + 1}", name or entry, entry
    elif not (isinstance(table, Scalar) and table.data is None):  # nothing at all is a list without entries
        wanted = "a list" if client.named else "an object"
        problems.append(
            Problem(kind="servers-of-wrong-type", at=table, facts={"wanted": wanted, "found": _type(table)})
        )


class _Entry:
    """The state of reading one entry."""

    def __init__(self, client: Client, clients: Mapping[str, Client], environ: Mapping[str, str] | None) -> None:
        self.client, self.clients, self.environ = client, clients, environ
        self.problems: list[Problem] = []

    def read(self, path: tuple[str, ...], name: str, at: Value, entry: Value) -> Server:
        if not isinstance(entry, Table):
            self.wrong_type(entry, "entry", "an object")
            return self.server(path, name, at, entry)
        client = self.client
        command, args = self.command(entry)
        url_key, url = self.url(entry)
        transport = self.transport(entry, command, url_key)
        self.keys(entry)
        if transport is not Transport.BUILTIN:
            self.reachable(entry, transport, command, url)
        forward = self.names(entry, client.forward) if client.forward else None
        return Server(
            client=client,
            name=name,
            path=path,
            at=at,
            entry=entry,
            transport=transport,
            command=command,
            args=tuple(args),
            env=self.texts(entry, self.member(entry, client.env)),
            forward=forward,
            cwd=self.text(self.member(entry, client.cwd), "cwd"),
            url=url,
            url_key=url_key,
            headers=self.texts(entry, self.member(entry, client.headers)),
            timeouts=tuple(self.timeouts(entry)),
            enabled=self.enabled(entry),
            problems=tuple(self.problems),
        )

    def server(self, path: tuple[str, ...], name: str, at: Value, entry: Value) -> Server:
        return Server(client=self.client, name=name, path=path, at=at, entry=entry, problems=tuple(self.problems))

    def problem(self, kind: str, at: Value, **facts: Fact) -> None:
        self.problems.append(Problem(kind=kind, at=at, facts=facts))

    def wrong_type(self, at: Value, key: str, wanted: str) -> None:
        self.problem("value-of-wrong-type", at, key=key, wanted=wanted, found=_type(at))

    def member(self, entry: Table, keys: tuple[str, ...]) -> Member | None:
        """The first of these keys that an entry holds."""
        return next((one for key in keys if (one := entry.member(key))), None)

    # parts -----------------------------------------------------------------------------------------------------------

    def command(self, entry: Table) -> tuple[Word | None, list[Word]]:
        client = self.client
        member = self.member(entry, client.command)
        args = self.member(entry, client.args)
        given = self.words(args.value, "args") if args else []
        if member is None:
            return None, given
        value = member.value
        if isinstance(value, Table) and client.program:
            program = value.get(client.program)
            inner = value.get("args")
            word = self.word(program) if program else None
            return word, [*(self.words(inner, "args") if inner else []), *given]
        if not client.args:
            words = self.words(value, member.name)
            return (words[0], words[1:]) if words else (None, [])
        word = self.text(member, member.name)
        if word is not None and word.text.strip() == "":
            self.problem("command-empty", value)
            return None, given
        if word is not None and _several(word.text):
            self.problem("command-with-arguments", value, command=word.text, program=word.text.split()[0])
        return word, given

    def words(self, value: Value, key: str) -> list[Word]:
        if not isinstance(value, Items):
            if not (isinstance(value, Scalar) and value.data is None):
                self.wrong_type(value, key, "a list of texts")
            return []
        found = []
        for one in value.items:
            word = self.word(one)
            if word is None:
                self.wrong_type(one, key, "a text")
            else:
                found.append(word)
        return found

    def word(self, value: Value) -> Word | None:
        """A text with its variables replaced; None for what is no text."""
        if not isinstance(value, Scalar) or value.text is None:
            return None
        done = expand(value.text, self.client, self.environ)
        for one in done.foreign:
            self.problem("variable-not-expanded", value, variable=one, known=self.client.variables)
        return Word(done.text, value, done.certain)

    def text(self, member: Member | None, key: str) -> Word | None:
        if member is None:
            return None
        word = self.word(member.value)
        if word is None and not (isinstance(member.value, Scalar) and member.value.data is None):
            self.wrong_type(member.value, key, "a text")
        return word

    def texts(self, entry: Table, member: Member | None) -> dict[str, Word]:
        """A table of texts, such as variables or headers."""
        value = member.value if member else None
        if value is None and self.client.program:  # the older shape of Zed has it inside of the command
            command = entry.get("command")
            value = command.get("env") if isinstance(command, Table) and member is None else None
        if value is None or (isinstance(value, Scalar) and value.data is None):
            return {}
        name = member.name if member else "env"
        if not isinstance(value, Table):
            self.wrong_type(value, name, "an object")
            return {}
        found = {}
        for one in value.last():
            word = self.word(one.value)
            if word is None:
                self.wrong_type(one.value, f"{name}.{one.name}", "a text")
            else:
                found[one.name] = word
        return found

    def names(self, entry: Table, key: str) -> tuple[str, ...]:
        value = entry.get(key)
        return tuple(word.text for word in self.words(value, key)) if value else ()

    def url(self, entry: Table) -> tuple[str | None, Word | None]:
        for key in self.client.url:
            if member := entry.member(key):
                return key, self.text(member, key)
        return None, None

    def timeouts(self, entry: Table) -> Iterator[Timeout]:
        for key, unit in self.client.timeout.items():
            value = entry.get(key)
            if value is None:
                continue
            data = value.data if isinstance(value, Scalar) else None
            if isinstance(data, bool) or not isinstance(data, int | float):
                if not (isinstance(value, Scalar) and data is None):
                    self.wrong_type(value, key, "a number")
            else:
                yield Timeout(key=key, number=float(data), unit=unit, at=value)

    def enabled(self, entry: Table) -> bool:
        off = entry.get(self.client.disabled) if self.client.disabled else None
        on = entry.get(self.client.enabled) if self.client.enabled else None
        is_off = isinstance(off, Scalar) and off.data is True
        return not is_off and not (isinstance(on, Scalar) and on.data is False)

    # judging the shape -----------------------------------------------------------------------------------------------

    def transport(self, entry: Table, command: Word | None, url_key: str | None) -> Transport | None:
        kind = entry.get("type") if self.client.types else None
        if isinstance(kind, Scalar) and kind.text is not None:
            if kind.text in self.client.types:
                return self.client.types[kind.text]
            if self.client.name == OTHER:  # words of a client that nobody knows cannot be wrong
                return self.client.url[url_key] if url_key and command is None else Transport.STDIO
            self.problem("type-unknown", kind, type=kind.text, known=tuple(self.client.types))
            return None
        if url_key is not None and command is None:
            if self.client.typed:
                value = entry.get(url_key) or entry
                words = tuple(word for word, one in self.client.types.items() if one is Transport.HTTP)
                self.problem("type-missing", value, known=words)
            return self.client.url[url_key]
        return Transport.STDIO if command is not None else None

    def reachable(self, entry: Table, transport: Transport | None, command: Word | None, url: Word | None) -> None:
        if self.problems or not self.enabled(entry) or self.member(entry, self.client.alone):
            return  # what is missing is told already, or not needed
        if command is None and url is None:
            at = entry.members[0].key if entry.members else entry
            self.problem("nothing-to-reach", at, wanted=self.client.command[0])
        elif transport is Transport.STDIO and command is None:
            self.problem("command-missing", url.at if url else entry, wanted=self.client.command[0])
        elif transport in (Transport.HTTP, Transport.SSE, Transport.ANY) and url is None:
            self.problem("url-missing", command.at if command else entry, wanted=next(iter(self.client.url)))
        elif command is not None and url is not None:
            self.problem("command-and-url", url.at)
        elif url is not None and not self.client.remote:
            self.problem("remote-not-read", url.at)

    def keys(self, entry: Table) -> None:
        """Keys of other clients, and typing errors, where this client's own key is missing."""
        for role in ROLES:
            own = tuple(getattr(self.client, role))
            if not own or self.member(entry, own):
                continue
            theirs = {key for other in self.clients.values() for key in getattr(other, role)}
            for one in entry.last():
                if one.name in self.client.keys:
                    continue
                if one.name in theirs:
                    self.problem("key-of-another-client", one.key, key=one.name, wanted=own[0], role=role)
                elif get_close_matches(one.name, own, n=1, cutoff=0.8):
                    self.problem("key-misspelt", one.key, key=one.name, wanted=own[0], role=role)


def _several(text: str) -> bool:
    """Whether a command is written together with its arguments; a path may hold spaces as well."""
    first, _, rest = text.strip().partition(" ")
    return bool(rest) and "/" not in first and "\\" not in first


def _type(value: Value) -> str:
    """What a value is, in words of JSON."""
    if isinstance(value, Table):
        return "an object"
    if isinstance(value, Items):
        return "a list"
    data = value.data if isinstance(value, Scalar) else None
    if isinstance(data, bool):
        return "true or false"
    return "a text" if isinstance(data, str) else "null" if data is None else "a number"
