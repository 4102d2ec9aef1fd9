"""Plan what the entries of client files stand for: configurations to try, and commands to start."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

from mcpdoctor import defects
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients import (
    By,
    ClientFile,
    Format,
    How,
    Kind,
    Known,
    Problem,
    Proxy,
    Reach,
    Server,
    Setting,
    Transport,
    Unreadable,
    Value,
    Word,
    find,
    inherited,
    reach,
    read_client_file,
)
from mcpdoctor.clients.source import read
from mcpdoctor.matrix import MAX_CELLS, Call, Cell, Plan, Start
from mcpdoctor.model import Configuration, Fact, Origin, Unusable, Written
from mcpdoctor.redaction import MASK, clean

AUTO = "auto"
"""In place of a file: every client file that this user and this project have."""

STDIO = "stdio"
_MOST_SHOWN = 6000
_MOST_NAMED = 12
_LONGEST = 2000
_PROFILE = "profile:"
_NO_REGION = "region-missing"

# Variables of an entry that are worth showing, and no secrets.
_OPEN = re.compile(
    r"AWS_(?:DEFAULT_)?(?:PROFILE|REGION)|AWS_MCP_PROXY_PROFILES|AWS_(?:CONFIG|SHARED_CREDENTIALS)_FILE|PATH"
    r"|(?:FASTMCP_)?LOG_LEVEL|UV_[A-Z_]{1,40}"
)
_SECRET_OPTION = re.compile(r"--?[\w-]{0,60}(?:token|secret|passw|key|auth|credential|header|bearer)", re.IGNORECASE)
_SECRET = re.compile(r"token|secret|passw|key|credential", re.IGNORECASE)
_KEY_ID = "AWS_ACCESS_KEY_ID"
_PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the files were found: what a client would see there.

    Attributes:
        home: the user's home directory.
        project: the directory of the project.
        environ: environment of the user's shell.
        platform: as `sys.platform` has it.
    """

    home: Path
    project: Path
    environ: Mapping[str, str]
    platform: str = sys.platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What commands need to reach the lab.

    Attributes:
        environ: environment variables with its keys.
        plain: the address on plain http that stands for a URL; None for one that the lab does not know.
    """

    environ: Mapping[str, str]
    plain: Callable[[str], str | None]


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
                entry = _Entry(server, target, known, catalogue, machine, run_commands=run_commands, lab=lab)
                cells.setdefault((place.file, place.line, place.column), replace(entry.cell(), call=call))
        if len(cells) > MAX_CELLS:
            raise Unusable(f"The files hold more than {MAX_CELLS} servers; name a file, or a server in it.")
    return Planned(plan=Plan(cells=tuple(cells.values())), notes=tuple(notes), files=files)


# files ----------------------------------------------------------------------------------------------------------------


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


# entries --------------------------------------------------------------------------------------------------------------


class _Entry:
    """One entry on its way to a cell."""

    def __init__(
        self,
        server: Server,
        target: str,
        known: Known,
        catalogue: Catalogue,
        machine: Machine,
        *,
        run_commands: bool,
        lab: Lab | None,
    ) -> None:
        self.server, self.target, self.catalogue, self.machine = server, target, catalogue, machine
        self.run_commands, self.lab = run_commands, lab
        # A variable may have brought any of these into a value.
        self.hidden = tuple(text for name, text in machine.environ.items() if _SECRET.search(name))
        given = inherited(server, machine.environ, platform=machine.platform)
        if lab is not None:
            given = {name: value for name, value in given.items() if not name.startswith("AWS_")}
        self.inherited = given
        self.reach: Reach = reach(server, known, environ=given)

    def cell(self) -> Cell:
        """What to try of it."""
        server, reached = self.server, self.reach
        origin = _origin(server, reached)
        blank = Configuration(endpoint="", transport=STDIO if server.transport is Transport.STDIO else "none")
        cell = Cell(target=self.target, configuration=reached.configuration or blank, origin=origin)
        if (why := self.untried()) is not None:
            endpoint = clean(reached.endpoint.text, limit=300, secrets=self.hidden) if reached.endpoint else ""
            return replace(cell, configuration=replace(blank, endpoint=endpoint), skip=why)
        if server.transport is not Transport.STDIO:
            return self.placed(replace(cell, headers=_texts(server.headers)))
        return self.command(cell)

    def untried(self) -> str | None:
        """Why nothing of it can be tried; None where something can."""
        server, reached = self.server, self.reach
        if not server.enabled:
            return "the entry is switched off"
        if server.transport is Transport.BUILTIN:
            return "it is a part of the client, and nothing is started for it"
        if (unsafe := self.unsafe()) is not None:
            return unsafe
        broken = next((one for one in server.problems if one.kind in _FATAL), None)
        if broken is not None:
            return f"the entry cannot be used as it is ({_words(broken, self.hidden)}); mcpdoctor lint says more"
        if server.transport is Transport.STDIO:
            return self.command_untried()
        if server.transport is Transport.SSE:
            return "it uses the old transport HTTP+SSE, which mcpdoctor does not speak"
        if reached.configuration is None or not server.url:
            return _open_variable(server.url) or "nothing says how it is reached"
        uncertain = next((name for name, word in server.headers.items() if not word.certain), None)
        return _open_variable(server.headers[uncertain], f"header {uncertain}") if uncertain else None

    def unsafe(self) -> str | None:
        """What of it cannot be given to a server or a program, or not be shown in a report; None for nothing."""
        server, reached = self.server, self.reach
        configuration = reached.configuration
        shown = {
            "URL": reached.endpoint.text if reached.endpoint else "",
            "service": (configuration.service if configuration else None) or "",
            "region": (configuration.region if configuration else None) or "",
            "profile": configuration.credential if configuration else "",
        }
        for name, text in shown.items():
            if clean(text, limit=_LONGEST, secrets=self.hidden) != text:
                return f"its {name} holds a secret, or characters that do not belong there"
        words = [one for one in (server.command, *server.args, *server.env.values(), server.cwd) if one]
        texts = [*(one.text for one in words), *server.env]
        if not all(map(_possible, texts)) or not all(name and "=" not in name for name in server.env):
            return "its command, arguments or variables hold characters that no program can be given"
        return None

    def command_untried(self) -> str | None:
        server, reached = self.server, self.reach
        words = [one for one in (server.command, *server.args, *server.env.values(), server.cwd) if one]
        uncertain = next((one for one in words if not one.certain), None)
        if self.run_commands:
            if server.command is None or reached.launch is None:
                return "nothing says what to start"
            if uncertain is not None:
                return _open_variable(uncertain)
            fetched = reached.proxy is None and reached.endpoint is None and reached.launch.registry is not None
            if self.lab is not None and fetched:
                return "in the lab nothing is downloaded, so this command is not started"
            return None
        if reached.proxy is None:
            return "its command is started only with --run-commands: a file can name any program"
        if reached.configuration is None and reached.proxy.starts:
            return _open_variable(uncertain) or "nothing says which URL the proxy calls"
        return None

    # commands --------------------------------------------------------------------------------------------------------

    def command(self, cell: Cell) -> Cell:
        """A cell for a command: what it stands for, and how to start it."""
        proxy = self.reach.proxy
        facts: dict[str, Fact] = {}
        if proxy is not None:
            if not proxy.starts:
                bad = next((one for one in proxy.problems if one.kind not in _HARMLESS), None)
                words = _words(bad, self.hidden) if bad else "it prints its help and ends"
                facts = {"proxy_starts": False, "argument_problem": words}
            elif proxy.region.value is None:
                facts = {"proxy_starts": False, "argument_problem": _NO_REGION}
            cell = replace(cell, headers=_pairs(proxy.headers), optional=proxy.skips_auth)
        environ = self.environ()
        configuration = cell.configuration
        if configuration.credential == "default" and _KEY_ID in self.server.env:
            # Where the entry brings keys, they are what is tried, whatever the user has.
            configuration = replace(configuration, credential="env")
        seen = self.seen(environ)
        named = proxy.profiles[0] if proxy and proxy.profiles else None
        if self.lab is None and named is not None and named.name in _PROFILE_VARIABLES and seen.get(_KEY_ID):
            # botocore prefers keys of the environment to a profile that only the environment names.
            configuration = replace(configuration, credential="env")
        cell = replace(cell, configuration=configuration, facts=facts, environ=seen)
        if not self.run_commands:
            return self.placed(cell)
        start = self.start(environ)
        if start is None:
            reason = "the command would not reach the lab, so only the endpoint itself was tried"
            return self.placed(replace(cell, facts={**facts, "not_started": reason}))
        whole = replace(cell.configuration, transport=STDIO)
        return self.placed(replace(cell, configuration=whole, start=start))

    def placed(self, cell: Cell) -> Cell:
        match = self.catalogue.owner(cell.configuration.endpoint)
        seen = self.machine.environ if cell.environ is None else cell.environ
        withheld = sorted(
            name for name in self.machine.environ if name.startswith("AWS_") and name not in seen and self.lab is None
        )
        client = clean(self.server.client.title, limit=60)
        facts: dict[str, Fact] = {"client": client}
        if withheld:
            facts["withheld"] = tuple(withheld)
            facts["profile_withheld"] = any(name in withheld for name in _PROFILE_VARIABLES)
            facts["pass_on"] = self.pass_on([name for name in withheld if name in _PROFILE_VARIABLES] or withheld)
        proxy = self.reach.proxy
        if proxy is not None and proxy.version is not None:
            facts |= defects.proxy_facts(".".join(map(str, proxy.version)))
        path = Path(self.server.at.source.file).absolute().as_posix()
        if proxy is not None and any(fnmatch(path, one) for one in self.server.client.connected_early):
            facts["connected_early"] = True
        return replace(cell, endpoint=match.endpoint if match else None, facts={**facts, **cell.facts})

    def pass_on(self, names: Sequence[str]) -> str:
        """What to write so that the server gets variables that it does not get."""
        launched = self.reach.launch
        if launched is not None and launched.isolated:
            options = " ".join(f"-e {name}" for name in names)
            return f"Pass them into the container: {options}, and --volume with the full path of ~/.aws for the files."
        if self.server.client.forward:
            listed = ", ".join(f'"{name}"' for name in names)
            return f"Add {self.server.client.forward} = [{listed}] to the entry, or name the profile: --profile NAME."
        return f"Set {', '.join(names)} in the environment of the entry, or name the profile: --profile NAME."

    def environ(self) -> dict[str, str]:
        """The environment of the program that the entry starts."""
        declared = {name: word.text for name, word in self.server.env.items()}
        if self.lab is None:
            return {**self.inherited, **declared}
        profile = self.reach.configuration and self.reach.configuration.credential.startswith(_PROFILE)
        # Of the user's own settings nothing is asked, so nothing of them can be in the way.
        none = {} if profile else {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        keys = {} if declared.get(_KEY_ID) else dict(self.lab.environ)
        return {**self.inherited, **none, "AWS_EC2_METADATA_DISABLED": "true", **keys, **declared}

    def seen(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What the program at the end of the command sees: runners set variables, and containers let few through."""
        launched = self.reach.launch
        if launched is None:
            return dict(environ)
        given = _texts(launched.environment)
        if not launched.isolated:
            return {**environ, **given}
        lab = {} if self.lab is None else {name: environ[name] for name in environ if name.startswith("AWS_")}
        return {**lab, **given, **{name: environ[name] for name in launched.passed if name in environ}}

    def start(self, environ: Mapping[str, str]) -> Start | None:
        """How to start the command; None where it would reach something else than the lab."""
        server = self.server
        assert server.command is not None  # noqa: S101  # else it is untried
        command = (server.command.text, *(one.text for one in server.args))
        if self.lab is not None and (self.reach.proxy is not None or self.reach.endpoint is not None):
            in_lab = self.in_lab(self.reach.proxy, command, self.lab) if self.reach.proxy else None
            if in_lab is None:
                return None
            command = in_lab
            launched = self.reach.launch
            environ = {**environ, **_texts(launched.environment if launched else {})}
        path = environ.get("PATH", os.defpath)
        found = None
        if not shutil.which(command[0], path=path):
            found = shutil.which(command[0], path=self.machine.environ.get("PATH", os.defpath))
        return Start(
            command=command,
            environ=environ,
            shown=_shown(command, server, (*_secrets(server, self.reach), *self.hidden)),
            cwd=server.cwd.text if server.cwd else None,
            found=found,
            patience_s=next((one.seconds for one in server.timeouts if "tool" not in one.key), None),
            secrets=(
                *_secrets(server, self.reach),
                *self.hidden,
                *(text for name, text in environ.items() if _SECRET.search(name)),
            ),
        )

    def in_lab(self, proxy: Proxy, command: tuple[str, ...], lab: Lab) -> tuple[str, ...] | None:
        """The command with the address of the lab in place of the URL; what the proxy reads off a URL is spelt out.

        Nothing is downloaded in the lab: the proxy that is installed beside mcpdoctor stands in for one that a runner
        would fetch.
        """
        arguments = [one.text for one in proxy.launch.words]
        if proxy.endpoint is not None:
            plain = lab.plain(proxy.endpoint.text)
            if plain is None:
                return None
            at = next((n for n, one in enumerate(proxy.launch.words) if one is proxy.endpoint), None)
            if at is None:
                return None
            spelt: list[str] = []
            for option, setting in (("--service", proxy.service), ("--region", proxy.region)):
                if setting.how is How.HOST and setting.value:
                    spelt += [option, setting.value]
            arguments = [*arguments[:at], plain, *arguments[at + 1 :], *spelt]
        tail = len(proxy.launch.words)
        local = proxy.launch.registry is None and not proxy.launch.isolated
        if (
            local
            and tail <= len(command)
            and list(command[len(command) - tail :]) == [one.text for one in proxy.launch.words]
        ):
            return (*command[: len(command) - tail], *arguments)
        return (sys.executable, "-m", "mcp_proxy_for_aws.server", *arguments)


_FATAL = (
    "value-of-wrong-type",
    "command-empty",
    "nothing-to-reach",
    "command-missing",
    "url-missing",
    "type-unknown",
    "remote-not-read",
)
"""Problems of an entry with which its client has nothing to start or to connect to."""

_HARMLESS = ("words-joined",)


def _possible(text: str) -> bool:
    """Whether the operating system takes a text as argument of a program."""
    try:
        return "\0" not in text and bool(os.fsencode(text) or not text)
    except UnicodeEncodeError:
        return False


def _words(problem: Problem, secrets: tuple[str, ...]) -> str:
    """A problem in words: its kind, and what it is about."""
    about = ", ".join(
        clean(str(value), limit=80, secrets=secrets)
        for name, value in problem.facts.items()
        if name in ("option", "argument", "written", "key", "value", "runner", "type", "endpoint", "command")
    )
    return problem.kind.replace("-", " ").replace("unknown", "not known") + (f": {about}" if about else "")


def _open_variable(word: Word | None, what: str = "") -> str | None:
    """The reason where a variable keeps something from being known."""
    if word is None or word.certain:
        return None
    shown = clean(what or word.at.raw, limit=100)
    return f"{shown} holds a variable whose value only the client knows"


def _texts(words: Mapping[str, Word]) -> dict[str, str]:
    return {name: word.text for name, word in words.items()}


def _pairs(words: Mapping[str, Word]) -> dict[str, str]:
    """Values of words of the form `key=value`."""
    return {name: word.text.partition("=")[2] for name, word in words.items()}


def _secrets(server: Server, reached: Reach) -> tuple[str, ...]:
    """Literal secrets of an entry: what may be one, since nobody can tell a variable's meaning from its name."""
    return (
        *(word.text for name, word in server.env.items() if not _OPEN.fullmatch(name)),
        *(part for word in server.headers.values() for part in (word.text, word.text.rpartition(" ")[2])),
        *_pairs(reached.proxy.headers if reached.proxy else {}).values(),
        *(text.rpartition("=")[2] for _, text in _secret_arguments(server)),
    )


def _secret_arguments(server: Server) -> Iterator[tuple[Word, str]]:
    """Arguments that hold a secret, by the name of the option: `--token abc` and `--token=abc`."""
    before = ""
    for word in server.args:
        name, equals, _ = word.text.partition("=")
        named = _SECRET_OPTION.match(name if equals else before)
        if named and not (word.text.startswith("-") and not equals):
            yield word, word.text
        before = word.text


def _shown(command: Sequence[str], server: Server, secrets: tuple[str, ...]) -> str:
    """A command on one line, with its secrets masked."""
    hidden = {text for _, text in _secret_arguments(server)}
    words = [(f"{one.partition('=')[0]}={MASK}" if "=" in one else MASK) if one in hidden else one for one in command]
    line = " ".join(one if one.startswith(MASK) else shlex.quote(one) for one in words)
    return clean(line, limit=400, secrets=secrets)


# where it is written --------------------------------------------------------------------------------------------------


def _origin(server: Server, reached: Reach) -> Origin:
    place = server.place
    start, end = _span(server)
    masked = _masked(server, reached)
    values = list(_values(server, reached))
    pieces, spans = _cut(server, start, end, masked=masked, values=values, secrets=_secrets(server, reached))
    written = []
    for name, value, form in values:
        at = spans.get(value.start) if form else None
        if at is not None and _INSERT in form:
            at = (at[1], at[1])
        written.append(
            Written(
                name=name,
                line=value.place.line,
                column=value.place.column,
                start=at[0] if at and pieces else None,
                end=at[1] if at and pieces else None,
                form=form.replace(_INSERT, "") if at and pieces else "",
            )
        )
    return Origin(
        file=clean(place.file, limit=1000),
        client=clean(server.client.title, limit=60),
        server=clean(server.name, limit=200),
        line=place.line,
        column=place.column,
        entry=pieces,
        values=tuple(written),
    )


_INSERT = "\x00"
"""In a form: it is put behind the value, and not in its place."""


def _span(server: Server) -> tuple[int, int]:
    """Where the entry stands in the text, from the beginning of its line where nothing else stands before it."""
    text = server.entry.source.text
    start = min(server.at.start, server.entry.start) if server.at.source is server.entry.source else server.entry.start
    line = text.rfind("\n", 0, start) + 1
    return (line if not text[line:start].strip() else start), server.entry.end


def _values(server: Server, reached: Reach) -> Iterator[tuple[str, Value, str]]:
    """Name, place and form of each value that decides what is sent."""
    if server.command is not None:
        yield "command", server.command.at, _form(server.command.at, server.command.text)
    proxy = reached.proxy
    if proxy is None:
        if reached.endpoint is not None:
            yield "endpoint", reached.endpoint.at, _form(reached.endpoint.at, reached.endpoint.text)
        return
    if proxy.endpoint is not None:
        yield "endpoint", proxy.endpoint.at, _form(proxy.endpoint.at, proxy.endpoint.text)
    for name, setting in (("service", proxy.service), ("region", proxy.region)):
        yield from _setting(name, setting, proxy, server)
    if proxy.profiles and proxy.profiles[0].at is not None:
        profile = proxy.profiles[0]
        assert profile.at is not None  # noqa: S101  # asked for above
        yield "profile", profile.at, _form(profile.at, profile.value or "")


def _setting(name: str, setting: Setting, proxy: Proxy, server: Server) -> Iterator[tuple[str, Value, str]]:
    if setting.how in (How.HOST, How.NOTHING):
        # What is read off the URL is corrected by saying it: one more option behind the URL.
        endpoint = proxy.endpoint
        if endpoint is not None:
            listed = server.client.format in (Format.JSON, Format.JSONC, Format.TOML)
            form = f'{_INSERT}, "--{name}", "{{}}"' if listed and _form(endpoint.at, endpoint.text) else ""
            yield name, endpoint.at, form
    elif setting.at is not None:
        yield name, setting.at, _form(setting.at, setting.value or "")


def _form(at: Value, text: str) -> str:
    """How a new value is written in place of `text` in a value of a file; empty where that cannot be told."""
    raw = at.raw
    if "\x00" in raw or raw.count(text) != 1 or not text:
        return ""
    return raw.replace(text, "{}") if "{}" not in raw else ""


def _masked(server: Server, reached: Reach) -> dict[int, tuple[int, str]]:
    """Values that hold secrets, or may: where each begins and ends, and what to show."""
    found = {}
    for names in (server.env, server.headers):
        for name, word in names.items():
            if not _OPEN.fullmatch(name) and word.certain:
                raw = word.at.raw
                quote = raw[0] if raw[:1] in "\"'" else ""
                found[word.at.start] = (word.at.end, f"{quote}{MASK}{quote}")
    if reached.proxy is not None:
        for name, word in reached.proxy.headers.items():
            found[word.at.start] = (word.at.end, f'"{clean(name, limit=60)}={MASK}"')
    for word, text in _secret_arguments(server):
        name, equals, _ = text.partition("=")
        found[word.at.start] = (word.at.end, f'"{clean(name, limit=60)}={MASK}"' if equals else f'"{MASK}"')
    return found


def _cut(
    server: Server,
    start: int,
    end: int,
    *,
    masked: Mapping[int, tuple[int, str]],
    values: Sequence[tuple[str, Value, str]],
    secrets: tuple[str, ...],
) -> tuple[str, dict[int, tuple[int, int]]]:
    """The entry with secrets masked, and where each value stands in it; each piece is cleaned for itself."""
    if end - start > _MOST_SHOWN:
        return "", {}
    text = server.entry.source.text
    cuts = sorted(
        {
            **{value.start: (value.end, None) for _, value, _ in values},
            **dict(masked.items()),
        }.items()
    )
    done, at, spans = "", start, dict[int, tuple[int, int]]()
    for first, (last, instead) in cuts:
        if not at <= first <= last <= end:
            continue
        done += clean(text[at:first], limit=_MOST_SHOWN, secrets=secrets)
        piece = instead if instead is not None else clean(text[first:last], limit=_MOST_SHOWN, secrets=secrets)
        spans[first] = (len(done), len(done) + len(piece))
        done += piece
        at = last
    done += clean(text[at:end], limit=_MOST_SHOWN, secrets=secrets)
    return done, spans
