"""Read one program, or one notebook: its usages, or a note why there are none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from mcpdoctor.clients.python import names, notebooks
from mcpdoctor.clients.python.calls import Given, Site, given, leads_to, sites
from mcpdoctor.clients.python.constants import Constants
from mcpdoctor.clients.python.known import ENTRY, Call, Known, Protocol, Role
from mcpdoctor.clients.python.names import Program, Scope
from mcpdoctor.clients.python.sessions import Misuse, misuses
from mcpdoctor.clients.python.source import Part, Positions, Unreadable, decode, lines_of, parse
from mcpdoctor.clients.python.usages import Argument, Holder, Usage, of_entry, protocol_of
from mcpdoctor.clients.python.values import Place, Value

NEEDLES = (b"mcp",)
"""A program that imports none of the libraries does not hold this; searching for it is what most files cost."""

_SESSIONS = frozenset({"boto3.Session", "boto3.session.Session"})
_MOST_USAGES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Why something of a file was not read."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one file holds."""

    usages: tuple[Usage, ...] = ()
    notes: tuple[Note, ...] = ()


def read(data: bytes, file: str, known: Known) -> Reading:
    """Read a program.

    Args:
        data: the file.
        file: its path, for the places.
        known: the calls to look for.

    Returns:
        Nothing but a note where it is no program that this Python can parse. It never raises.
    """
    if not _may_matter(data, known) or not _imports(data, known):
        return Reading()
    try:
        text = decode(data)
        tree = parse(text)
    except Unreadable as error:
        return Reading(notes=(_note(file, error),))
    return _read([tree], Positions(file, [Part(1, lines_of(text))]), known)


def read_notebook(data: bytes, file: str, known: Known) -> Reading:
    """Read the code cells of a Jupyter notebook, as one program; see `read`."""
    if not _may_matter(data, known):
        return Reading()
    trees: list[ast.Module] = []
    parts: list[Part] = []
    notes: list[Note] = []
    try:
        cells = notebooks.cells(data)
    except Unreadable as error:
        return Reading(notes=(_note(file, error),))
    first = 1
    for cell in cells:
        lines = lines_of(cell.text)
        try:
            tree = parse(cell.text)
        except Unreadable as error:
            notes.append(_note(file, error, cell.number))
            continue
        ast.increment_lineno(tree, first - 1)
        trees.append(tree)
        parts.append(Part(first, lines, cell.number))
        first += len(lines)
    reading = _read(trees, Positions(file, parts), known) if trees else Reading()
    return replace(reading, notes=(*notes, *reading.notes))


def _may_matter(data: bytes, known: Known) -> bool:
    """Whether the last part of any name is in it; most files that hold `mcp` are servers, or only speak of it."""
    return any(name.rpartition(".")[2].encode() in data for name in known)


def _imports(data: bytes, known: Known) -> bool:
    """Whether one of the libraries is imported; parsing costs a hundred times as much as this."""
    return _pattern(frozenset(name.partition(".")[0] for name in known)).search(data) is not None


@cache
def _pattern(packages: frozenset[str]) -> re.Pattern[bytes]:
    names = "|".join(sorted(packages))
    # Bounded, since a long line may hold `import` a thousand times.
    return re.compile(rf"\b(?:from|import)\b[^\n]{{0,200}}?\b(?:{names})\b".encode())


def _note(file: str, error: Unreadable, cell: int | None = None) -> Note:
    return Note(place=Place(file=file, line=error.line, end_line=error.line, cell=cell), text=error.reason)


def _read(trees: Sequence[ast.Module], positions: Positions, known: Known) -> Reading:
    program = names.read(trees)
    return Reading(usages=tuple(_Reader(program, trees, positions, known).usages()))


@dataclass(eq=False, slots=True)
class _Reader:
    """One program with what was found in it."""

    program: Program
    trees: Sequence[ast.Module]
    positions: Positions
    known: Known
    constants: Constants = field(init=False)
    found: list[tuple[Site, Given]] = field(init=False)
    holders: dict[int, list[int]] = field(default_factory=dict)
    sessions: Mapping[int, Misuse] = field(init=False)

    def __post_init__(self) -> None:
        self.constants = Constants(self.program, self.positions)
        everything = list(sites(self.program, self.known))[:_MOST_USAGES]
        self.found = [(site, given(site, self.constants)) for site in everything]
        self.sessions = misuses(everything, self.program, self.trees, self.positions)

    def usages(self) -> Iterator[Usage]:
        """The usages in the order of the text."""
        number = {id(site.node): index for index, (site, _) in enumerate(self.found)}
        for index, (site, what) in enumerate(self.found):
            for name, role in site.call.roles.items():
                if role in (Role.TRANSPORT, Role.TARGET) and name in what.nodes:
                    for call in leads_to(self.program, *what.nodes[name]):
                        if id(call) in number and number[id(call)] != index:
                            self.holders.setdefault(number[id(call)], []).append(index)
        made = [self._made(index, site, what) for index, (site, what) in enumerate(self.found)]
        told = {one for index, some in enumerate(made) if any(map(_tells, some)) for one in self._held_by(index)}
        for index, some in enumerate(made):
            for usage in some:
                # What is wrong with the session of a holder is told with the call that it holds, if that is told.
                if _tells(usage) or ((usage.idle or usage.late) and index not in told):
                    yield replace(usage, holders=tuple(map(self._holder, self._held_by(index))))

    def _made(self, index: int, site: Site, what: Given) -> list[Usage]:
        # What is handed on as it was prepared is called without more arguments.
        if site.prepared and index in self.holders:
            what = given(replace(site, prepared=False), self.constants)
        return list(self._of(index, site, what))

    def _held_by(self, index: int) -> list[int]:
        """The sites that hold one, the inner ones first."""
        found: list[int] = []
        pending = list(self.holders.get(index, ()))
        while pending:
            one = pending.pop(0)
            if one != index and one not in found:
                found.append(one)
                pending.extend(self.holders.get(one, ()))
        return found

    def _holder(self, index: int) -> Holder:
        site, what = self.found[index]
        misuse = self.sessions.get(index, Misuse())
        return Holder(
            function=site.call.names[0],
            place=self.positions.place(site.node),
            arguments=what.arguments,
            idle=misuse.idle,
            late=misuse.late,
        )

    def _of(self, index: int, site: Site, what: Given) -> Iterator[Usage]:
        """The usages of one call: one, none, or one for each entry of a table."""
        call, place = site.call, self.positions.place(site.node)
        by_role = {one.role: one for one in what.arguments if one.role}
        target = by_role.get(Role.TARGET)
        servers = by_role.get(Role.SERVERS) or (target if target and isinstance(target.value.value, Mapping) else None)
        if servers is not None:
            yield from self._of_servers(call, servers.value)
            return
        rest = tuple(one for one in what.arguments if one.role is not Role.ENTRY)
        entry = by_role.get(Role.ENTRY)
        if entry is not None:
            for one in entry.value.items or (entry.value,):
                arguments = of_entry(one.table, ENTRY) + rest
                yield self._usage(call, place, arguments, complete=what.complete and one.certain)
            return
        arguments = what.arguments
        if target is not None:
            arguments = tuple(_as_told(one, call) if one is target else one for one in arguments)
        if call.command:
            arguments = _with_command(call, arguments, place)
        misuse = self.sessions.get(index, Misuse())
        usage = self._usage(call, place, arguments, complete=what.complete)
        usage = replace(usage, idle=misuse.idle, late=misuse.late)
        yield self._with_credentials(usage, what) if usage.signs else usage

    def _of_servers(self, call: Call, value: Value) -> Iterator[Usage]:
        table = value.table
        inner = table.get("mcpServers")
        if inner is not None and inner.table:
            value, table = inner, inner.table
        for name, entry in table.items():
            if entry.table:
                arguments = of_entry(entry.table, ENTRY)
                yield self._usage(call, entry.place, arguments, complete=entry.certain, server=name)

    def _usage(
        self, call: Call, place: Place, arguments: tuple[Argument, ...], *, complete: bool, server: str | None = None
    ) -> Usage:
        usage = Usage(
            function=call.names[0],
            place=place,
            arguments=arguments,
            server=server,
            protocol=call.protocol or protocol_of(arguments),
            signs=call.signs,
            complete=complete,
        )
        own = usage.given(Role.CLIENT)
        if call.signs:
            return usage
        return replace(usage, signs=None if own is not None or not complete else False)

    def _with_credentials(self, usage: Usage, what: Given) -> Usage:
        """The usage with what is known of its credentials."""
        if usage.given(Role.CREDENTIALS) is None:
            credential = _reference(usage.given(Role.PROFILE)) if usage.complete else None
            return replace(usage, credential=credential, credentials=False if usage.complete else None)
        name = next(one.name for one in usage.arguments if one.role is Role.CREDENTIALS)
        node = what.nodes.get(name)
        if node is None:
            return replace(usage, credentials=None)
        # The result of a call is taken for an object; a parameter or what `or` gives may be None.
        made = next(leads_to(self.program, *node), None) if isinstance(node[0], (ast.Name, ast.Call)) else None
        return replace(usage, credential=self._of_session(*node), credentials=True if made is not None else None)

    def _of_session(self, node: ast.expr, scope: Scope) -> str | None:
        """`boto3.Session(profile_name=…).get_credentials()`, with or without `.get_frozen_credentials()`."""
        for _ in range(10):
            binding = self.program.one(node.id, scope) if isinstance(node, ast.Name) else None
            if binding is not None and isinstance(binding.node, ast.expr):
                node, scope = binding.node, binding.scope
            elif not isinstance(node, ast.Call):
                return None
            elif set(self.program.qualified(node.func, scope)) & _SESSIONS:
                profile: Value | None = None
                for keyword in node.keywords:
                    if keyword.arg == "profile_name":
                        profile = self.constants.value(keyword.value, scope)
                    elif keyword.arg != "region_name":  # keys, or what is not known
                        return None
                return None if node.args else _reference(profile)
            elif isinstance(node.func, ast.Attribute) and node.func.attr in (
                "get_credentials",
                "get_frozen_credentials",
            ):
                node = node.func.value
            else:
                return None
        return None


def _reference(profile: Value | None) -> str | None:
    if profile is None or (profile.certain and profile.value is None):
        return "default"
    return f"profile:{profile.text}" if profile.text else None


def _as_told(argument: Argument, call: Call) -> Argument:
    """What a parameter that takes several things was given."""
    text = argument.value.template
    if text is None:
        return argument
    if text.lower().startswith(("http://", "https://")):
        return replace(argument, role=Role.ENDPOINT)
    if Role.ARGS in call.roles.values():
        return replace(argument, role=Role.COMMAND)
    return argument


def _with_command(call: Call, arguments: tuple[Argument, ...], place: Place) -> tuple[Argument, ...]:
    """The command that a call starts without naming it, with the tool as its first argument."""
    by_role = {one.role: one for one in arguments if one.role}
    tool, args = by_role.get(Role.TOOL), by_role.get(Role.ARGS)
    if tool is None:
        return arguments
    rest = args.value if args else Value(value=(), place=tool.value.place)
    certain = rest.certain and isinstance(rest.value, tuple)
    every = Value(value=(tool.value, *rest.items), place=rest.place, certain=certain)
    others = tuple(one for one in arguments if one.role not in (Role.TOOL, Role.ARGS))
    command = Argument(name="command", role=Role.COMMAND, value=Value(value=call.command, place=place))
    return (command, Argument(name="args", role=Role.ARGS, value=every), *others)


def _tells(usage: Usage) -> bool:
    """Whether anything that a check could judge is known; a call of which nothing is gives no record."""
    endpoint = usage.endpoint
    if endpoint is not None and (endpoint.likely is not None or "://" in (endpoint.template or "")):
        return True
    if usage.protocol is Protocol.STDIO or usage.given(Role.COMMAND):
        return any(one is not None and one.known for one in (usage.given(Role.COMMAND), usage.given(Role.ARGS)))
    return bool(usage.signs) and any(one.role and one.value.certain for one in usage.arguments)
