"""One entry of a client file as a configuration: what is sent, what is started, and why it cannot be tried."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from mcpdoctor import defects
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients import (
    How,
    Known,
    Problem,
    Proxy,
    Reach,
    Server,
    Transport,
    Word,
    inherited,
    reach,
)
from mcpdoctor.from_files.hiding import pairs, secrets_of, shown_command
from mcpdoctor.from_files.origins import origin_of
from mcpdoctor.matrix import Cell, Start
from mcpdoctor.model import Configuration, Fact
from mcpdoctor.redaction import clean

STDIO = "stdio"
_LONGEST = 2000
_PROFILE = "profile:"
_NO_REGION = "region-missing"
_SECRET = re.compile(r"token|secret|passw|key|credential", re.IGNORECASE)
_KEY_ID = "AWS_ACCESS_KEY_ID"
_PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
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


class Entry:
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
        origin = origin_of(server, reached)
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
        """Why its command cannot be started, as half a sentence; None where it can."""
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
            cell = replace(cell, headers=pairs(proxy.headers), optional=proxy.skips_auth)
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
        """The cell with its endpoint in the catalogue, and what the client keeps from it or is known to do."""
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
            shown=shown_command(command, server, (*secrets_of(server, self.reach), *self.hidden)),
            cwd=server.cwd.text if server.cwd else None,
            found=found,
            patience_s=next((one.seconds for one in server.timeouts if "tool" not in one.key), None),
            secrets=(
                *secrets_of(server, self.reach),
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
