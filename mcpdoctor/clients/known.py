"""What is known of clients, of the programs that start servers, and of the proxy: read strictly from `checks/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from mcpdoctor.catalogue import locate, tables
from mcpdoctor.clients.versions import Version, version
from mcpdoctor.forms import build
from mcpdoctor.model import Unusable


class Format(StrEnum):
    """How a file is written."""

    JSON = "json"
    JSONC = "jsonc"  # comments and trailing commas are a part of it
    TOML = "toml"
    YAML = "yaml"


class Transport(StrEnum):
    """How a client talks to a server."""

    STDIO = "stdio"
    HTTP = "streamable-http"
    SSE = "sse"
    ANY = "any"  # the client tries one after the other
    BUILTIN = "builtin"  # a part of the client; nothing is started


class Unit(StrEnum):
    """What a timeout counts."""

    MILLISECONDS = "ms"
    SECONDS = "s"


class Surroundings(StrEnum):
    """What a client gives to the programs that it starts."""

    UNKNOWN = "unknown"
    SHELL = "shell"  # the environment of the shell that the client itself came from
    DESKTOP = "desktop"  # that of a desktop session, where PATH lacks what the shell adds
    MINIMAL = "minimal"  # a few variables, and those that the entry names


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Paths of one kind of file, by operating system; `at` where its servers stand elsewhere than the client's."""

    any: tuple[str, ...] = ()
    linux: tuple[str, ...] = ()
    macos: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    at: tuple[tuple[str, ...], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adds:
    """Keys that a snippet writes beside those that every entry needs; `{name}` in a value is the server's name.

    Attributes:
        stdio: keys of an entry with a command.
        http: keys of an entry with a URL.
        file: keys around the servers.
    """

    stdio: Mapping[str, Any] = field(default_factory=dict)
    http: Mapping[str, Any] = field(default_factory=dict)
    file: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A kind of MCP client: its files and the shape of its entries.

    Attributes:
        aliases: what people call it for short.
        at: keys under which its servers stand; `*` is any key.
        strict: whether it is known to refuse comments and trailing commas.
        remote: whether its files may hold servers that are reached by URL.
        named: its servers are a list, and this key of each holds the name.
        command: keys of the program to start; the first is what it is called here.
        program: key of the program where `command` is a table.
        args: keys of the arguments; none where `command` is a list of the program and its arguments.
        url: keys of the URL, each with the transport it means.
        typed: whether an entry with a URL needs the key `type`.
        types: words of the key `type`, each with the transport it means; none where the client ignores that key.
        timeout: keys of timeouts, each with what it counts.
        disabled: key that switches a server off.
        enabled: key that switches it off where it is false.
        alone: keys that make an entry one of something that is installed elsewhere, so that it needs no command.
        forward: key of a list of environment variables that the program gets from the client's own.
        other: further keys that it reads, or that its own documentation writes.
        variables: how a value may name a variable.
        environment: what its programs get.
        anonymous: whether it talks to a server without signing in as long as the server lets it.
        stderr_is_error: whether it shows whatever a program writes to standard error as an error.
        connected_early: of its files, those whose reader the proxy tells that it is connected before it has connected.
        defaults: values of environment variables in paths where they are not set.
        adds: what a snippet writes besides.
        notes: sentences for people who use it.
    """

    name: str
    title: str
    at: tuple[tuple[str, ...], ...]
    source: str
    as_of: str
    aliases: tuple[str, ...] = ()
    files: tuple[Files, ...] = ()
    format: Format = Format.JSON
    strict: bool = False
    remote: bool = True
    named: str | None = None
    command: tuple[str, ...] = ("command",)
    program: str | None = None
    args: tuple[str, ...] = ("args",)
    env: tuple[str, ...] = ("env",)
    cwd: tuple[str, ...] = ("cwd",)
    url: Mapping[str, Transport] = field(default_factory=lambda: {"url": Transport.ANY})
    headers: tuple[str, ...] = ("headers",)
    typed: bool = False
    types: Mapping[str, Transport] = field(default_factory=dict)
    timeout: Mapping[str, Unit] = field(default_factory=dict)
    disabled: str | None = None
    enabled: str | None = None
    alone: tuple[str, ...] = ()
    forward: str | None = None
    other: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    environment: Surroundings = Surroundings.UNKNOWN
    anonymous: bool = False
    stderr_is_error: bool = False
    connected_early: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    adds: Adds = field(default_factory=Adds)
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> tuple[tuple[str, ...], ...]:
        """Every place where its servers may stand, in any of its files."""
        return tuple(dict.fromkeys((*self.at, *(at for one in self.files for at in one.at or ()))))

    @property
    def keys(self) -> frozenset[str]:
        """Every key that an entry may hold."""
        named = (self.named, self.disabled, self.enabled, self.forward, "type" if self.types else None)
        several = (
            self.command,
            self.args,
            self.env,
            self.cwd,
            self.url,
            self.headers,
            self.timeout,
            self.alone,
            self.other,
        )
        return frozenset(key for key in named if key).union(*several)


class Takes(StrEnum):
    """What a runner starts."""

    PACKAGE = "package"
    PROGRAM = "program"
    IMAGE = "image"
    URL = "url"  # nothing is started: it talks to the server itself, without a signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A program that starts another one.

    Attributes:
        programs: its file names, without `.exe`.
        words: subcommands, one of which must follow.
        like: another runner whose options it takes as well.
        takes: what stands after its options.
        registry: where packages or images come from.
        published: the registry that its own package is in.
        from_: options that name the package apart from the program.
        with_: options that name packages to have beside it.
        module: options that name a Python module to run.
        text: options whose value is a program text.
        valued: further options that take a value.
        interactive: options that keep standard input open.
        variable: options that set or pass on an environment variable.
        variables_file: options that name a file of variables.
        volume: options that mount a directory.
        entrypoint: options that replace the program of an image.
        clustered: whether short options may be written together.
        versioned: whether its file name may end in a version.
        assigns: whether `NAME=value` words stand before the program.
        slashes: whether its options begin with `/`.
        skips: words of its own after its options, before the program.
        credentials: whether it sets AWS credentials for what it starts.
        recommended: the package and versions that a snippet starts it from.
    """

    name: str
    programs: tuple[str, ...]
    takes: Takes
    source: str
    as_of: str
    words: tuple[tuple[str, ...], ...] = ()
    like: str | None = None
    registry: str | None = None
    published: str | None = None
    from_: tuple[str, ...] = ()
    with_: tuple[str, ...] = ()
    module: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    valued: tuple[str, ...] = ()
    interactive: tuple[str, ...] = ()
    variable: tuple[str, ...] = ()
    variables_file: tuple[str, ...] = ()
    volume: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    clustered: bool = False
    versioned: bool = False
    assigns: bool = False
    slashes: bool = False
    skips: int = 0
    credentials: bool = False
    recommended: str | None = None


class Values(StrEnum):
    """How many values an option takes."""

    NONE = "none"
    ONE = "one"
    SOME = "some"
    ANY = "any"


class Number(StrEnum):
    """What kind of number a value must be."""

    WHOLE = "whole"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of the proxy.

    Attributes:
        ends: whether the proxy ends when it is given (`--help`).
        pairs: whether values must be `key=value`.
        reserved: keys of pairs that are refused, in lower case.
        number: the kind of number a value must be; None where any text will do.
        since: the first version that has it.
        until: the first version that has it no longer.
    """

    name: str
    short: str | None = None
    values: Values = Values.NONE
    ends: bool = False
    pairs: bool = False
    reserved: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    number: Number | None = None
    least: float | None = None
    most: float | None = None
    default: float | None = None
    since: str = "0"
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyKind:
    """The proxy: how it is named where it is started, and what arguments it takes.

    Attributes:
        newest: the newest version that was looked at; a version that is not pinned is taken for it.
        recommended: the package and versions that a snippet starts it from.
        forwarded: variables that choose a credential or a region, for clients that pass on only what an entry names.
        forwarded_keys: variables that hold one.
        own_variables: keys of metadata that mean nothing to a server.
        profiles_variable: environment variable that goes before `--profile`.
        last_profile_may_be_endpoint_since: from here on, a URL after `--profile NAME` is found to be the endpoint.
        pairs_add_up_since: from here on, a repeated `--metadata` adds to the first instead of replacing it.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    modules: tuple[str, ...]
    images: tuple[str, ...]
    newest: str
    recommended: str
    forwarded: tuple[str, ...]
    forwarded_keys: tuple[str, ...]
    own_variables: tuple[str, ...]
    profiles_variable: str
    profiles_variable_since: str
    last_profile_may_be_endpoint_since: str
    pairs_add_up_since: str
    options: tuple[Option, ...]
    source: str
    as_of: str

    def options_of(self, of: Version) -> tuple[Option, ...]:
        """The options of one version."""
        return tuple(
            one for one in self.options if version(one.since) <= of and (one.until is None or of < version(one.until))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything in `clients.toml`, `runners.toml` and `proxy.toml`."""

    clients: Mapping[str, Client]
    runners: Mapping[str, Runner]
    proxy: ProxyKind


OTHER = "other"
"""The entry for files of a common shape that no client can be told from."""


@cache
def known() -> Known:
    """Read what is known.

    Raises:
        Unusable: a file does not parse, or an entry is not of the form that `checks/schema.json` gives.
    """
    return load(locate())


def load(directory: Path) -> Known:
    """Read it from a directory.

    Raises:
        Unusable: as for `known`.
    """
    clients = _read(Client, directory / "clients.toml")
    runners = _read(Runner, directory / "runners.toml")
    proxies = _read(ProxyKind, directory / "proxy.toml")
    for runner in runners.values():
        if runner.like is not None and runner.like not in runners:
            raise Unusable(f"{directory / 'runners.toml'}: [{runner.name}]: like names {runner.like}, which is none.")
    if OTHER not in clients or len(proxies) != 1:
        raise Unusable(f"{directory}: clients.toml needs [{OTHER}], and proxy.toml one table.")
    return Known(clients=clients, runners=runners, proxy=next(iter(proxies.values())))


def _read(cls: type[Any], path: Path) -> dict[str, Any]:
    return {name: build(cls, {"name": name, **table}, f"{path}: [{name}]") for name, table in tables(path)}
