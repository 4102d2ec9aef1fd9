"""What `mcp-proxy-for-aws` would do with an entry: which endpoint it calls, and how it signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from mcpdoctor.clients.arguments import Arguments, parse
from mcpdoctor.clients.entries import Server
from mcpdoctor.clients.known import Known, ProxyKind, Surroundings
from mcpdoctor.clients.launch import Launch, stem
from mcpdoctor.clients.values import Value
from mcpdoctor.clients.versions import Requirement, Version, requirement, version
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.inference import guess
from mcpdoctor.model import Configuration, Fact

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that the proxy reaches over plain HTTP."""
_HARMLESS = ("words-joined",)
"""Problems that do not keep the proxy from starting by themselves."""
_AGENTCORE_SINCE = version("1.1.0")
_HTTPS_ONLY_SINCE = version("1.2.0")
_REGION_OF_PROFILE_SINCE = version("1.6.4")


class How(StrEnum):
    """Where a setting comes from."""

    GIVEN = "given"  # an argument of the proxy
    HOST = "host"  # guessed from the host name
    ENVIRONMENT = "environment"  # a variable that the entry sets, or the client passes on
    METADATA = "metadata"
    CHAIN = "chain"  # botocore's own chain, of which the files of this machine are a part
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """A setting of the proxy.

    Attributes:
        value: None where it is not known, or there is none.
        how: where it comes from.
        at: what to point at; None where nothing in the file says it.
        name: the environment variable, where it comes from one.
        certain: False where a variable that nobody can tell from here decides.
    """

    value: str | None
    how: How
    at: Value | None = None
    name: str | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proxy:
    """The proxy as an entry starts it.

    Attributes:
        package: what it is installed from, as written.
        needed: that, read; None where it is installed already, or comes from elsewhere.
        version: the version that will run; None where that is not pinned.
        rules: the version whose rules were applied.
        arguments: its arguments, taken apart.
        endpoint: the URL.
        service: what it signs for.
        region: the region it signs for.
        operations: the region that it tells the server to work in.
        profiles: the first one is used; others can be asked for.
        metadata: what it sends along, by key; the words hold `key=value`.
        headers: HTTP headers that it adds, in the same form.
        defaults: numbers of options that are not given.
        problems: what reading its arguments found.
    """

    launch: Launch
    package: Word | None
    needed: Requirement | None
    version: Version | None
    rules: Version
    arguments: Arguments
    endpoint: Word | None
    service: Setting
    region: Setting
    operations: Setting
    profiles: tuple[Setting, ...] = ()
    metadata: Mapping[str, Word]
    headers: Mapping[str, Word]
    defaults: Mapping[str, float]
    problems: tuple[Problem, ...] = ()

    @property
    def starts(self) -> bool:
        """Whether it starts: it ends with a message where it refuses an argument, and after its help."""
        return self.arguments.help is None and all(one.kind in _HARMLESS for one in self.problems)

    @property
    def skips_auth(self) -> bool:
        """Whether it goes on without a signature where there are no credentials."""
        return self.arguments.last("--skip-auth") is not None

    @property
    def read_only(self) -> bool:
        """Whether it hides tools that may change something."""
        return self.arguments.last("--read-only") is not None

    @property
    def retries(self) -> int:
        """How often it tries again."""
        return int(self.number("--retries") or 0)

    def number(self, option: str) -> float | None:
        """The number of an option, its default where it is not given; None where this version lacks it."""
        word = self.arguments.value(option)
        try:
            return float(word.text) if word else self.defaults.get(option)
        except ValueError:
            return None

    @property
    def configuration(self) -> Configuration | None:
        """What it sends; None where it does not start, or what decides cannot be told from here."""
        settings = (self.service, self.region, *self.profiles[:1])
        certain = self.endpoint is not None and self.endpoint.certain and all(one.certain for one in settings)
        if self.endpoint is None or not certain or not self.starts:
            return None
        profile = self.profiles[0].value if self.profiles else None
        return Configuration(
            endpoint=self.endpoint.text,
            region=self.region.value,
            service=self.service.value,
            credential=f"profile:{profile}" if profile else "default",
        )


def is_proxy(started: Launch, kind: ProxyKind) -> bool:
    """Whether a command starts the proxy."""
    program = started.program
    if program is None:
        return False
    if started.module:
        return program.text in kind.modules
    if started.isolated and _image(program.text)[0] in kind.images:
        return True
    named = requirement(program.text)
    names = {stem(program.text), named.name if named else ""}
    path = program.text.replace("\\", "/")
    return bool(names & {*kind.programs, *kind.packages}) or any(
        path.endswith(f"{module.replace('.', '/')}.py") for module in kind.modules
    )


def read_proxy(
    server: Server, started: Launch, known: Known, *, environ: Mapping[str, str] | None = None
) -> Proxy | None:
    """Read an entry that starts the proxy.

    Args:
        server: the entry.
        started: what its command starts.
        known: what is known of the proxy.
        environ: the environment that the client runs in; None where it is not known.

    Returns:
        None where the entry starts something else.
    """
    kind = known.proxy
    if not is_proxy(started, kind) or started.program is None:
        return None
    pinned = _version(started)
    rules = pinned or version(kind.newest)
    arguments = parse(started.words, kind, rules, started.words[-1].at if started.words else started.program.at)
    surroundings = _Environment(server, started, environ)
    endpoint = arguments.endpoint
    service, region, refused = _signing(arguments, surroundings, rules)
    metadata = arguments.pairs("--metadata")
    return Proxy(
        launch=started,
        package=started.package,
        needed=started.needed,
        version=pinned,
        rules=rules,
        arguments=arguments,
        endpoint=endpoint,
        service=service,
        region=region,
        operations=_operations(metadata, region, rules),
        profiles=_profiles(arguments, surroundings, kind, rules),
        metadata=metadata,
        headers=arguments.pairs("--header"),
        problems=(*started.problems, *arguments.problems, *refused),
        defaults={one.name: one.default for one in kind.options_of(rules) if one.default is not None},
    )


def _version(started: Launch) -> Version | None:
    if started.isolated and started.package is not None:
        tag = _image(started.package.text)[1]
        return version(tag) or None
    for word in (started.package, started.program):
        needed = requirement(word.text) if word else None
        if needed is not None and needed.version is not None:
            return needed.version
    return None


def _image(text: str) -> tuple[str, str]:
    """Name and tag of an image."""
    name = text.partition("@")[0]
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag


class _Environment:
    """The variables that the proxy sees."""

    def __init__(self, server: Server, started: Launch, environ: Mapping[str, str] | None) -> None:
        self.server, self.started = server, started
        self.environ = environ

    def get(self, name: str) -> Setting | None:
        """The value of a variable; None where it is not set, or empty, or not known."""
        if word := self.started.environment.get(name):
            return _of_environment(word, name)
        if self.started.isolated and name not in self.started.passed:
            return None
        if word := self.server.env.get(name):
            return _of_environment(word, name)
        minimal = self.server.client.environment is Surroundings.MINIMAL
        if minimal and name not in (self.server.forward or ()):
            return None
        value = (self.environ or {}).get(name)
        return Setting(value=value, how=How.ENVIRONMENT, name=name) if value else None


def _of_environment(word: Word, name: str) -> Setting | None:
    if not word.text:
        return None
    return Setting(value=word.text, how=How.ENVIRONMENT, at=word.at, name=name, certain=word.certain)


def _signing(
    arguments: Arguments, surroundings: _Environment, rules: Version
) -> tuple[Setting, Setting, list[Problem]]:
    """Service and region of the signature, as the proxy determines them."""
    endpoint = arguments.endpoint
    given = {name: arguments.value(name) for name in ("--service", "--region")}
    given = {name: word if word and word.text else None for name, word in given.items()}
    settings: list[Setting] = []
    problems: list[Problem] = []
    guessed = guess(endpoint.text, agentcore=rules >= _AGENTCORE_SINCE) if endpoint else ("", "")
    for name, from_host in zip(given, guessed, strict=True):
        word = given[name]
        if word is not None:
            settings.append(Setting(value=word.text, how=How.GIVEN, at=word.at, certain=word.certain))
        elif from_host and endpoint is not None:
            settings.append(Setting(value=from_host, how=How.HOST, at=endpoint.at, certain=endpoint.certain))
        else:
            variable = surroundings.get("AWS_REGION") if name == "--region" else None
            certain = endpoint is None or endpoint.certain
            settings.append(variable or Setting(value=None, how=How.NOTHING, certain=certain))
    if endpoint is not None and endpoint.certain and not all(given.values()):
        problems += _refused(endpoint, rules)
    return settings[0], settings[1], problems


def _refused(endpoint: Word, rules: Version) -> list[Problem]:
    """What the proxy refuses of a URL, where it has to look at it."""
    try:
        split = urlsplit(endpoint.text)
        scheme, host = split.scheme, split.hostname or ""
        if rules < _HTTPS_ONLY_SINCE:
            return []
    except ValueError:
        scheme, host = "", ""
    if scheme == "https" or (scheme == "http" and host in LOCAL):
        return []
    facts: dict[str, Fact] = {"scheme": scheme, "host": host, "endpoint": endpoint.text}
    return [Problem(kind="endpoint-refused", at=endpoint.at, facts=facts)]


def _operations(metadata: Mapping[str, Word], region: Setting, rules: Version) -> Setting:
    if word := metadata.get("AWS_REGION"):
        value = word.text.partition("=")[2]
        return Setting(value=value, how=How.METADATA, at=word.at, certain=word.certain)
    if rules < _REGION_OF_PROFILE_SINCE:
        return region
    return Setting(value=None, how=How.CHAIN)


def _profiles(arguments: Arguments, surroundings: _Environment, kind: ProxyKind, rules: Version) -> tuple[Setting, ...]:
    several = surroundings.get(kind.profiles_variable)
    if several is not None and several.value and rules >= version(kind.profiles_variable_since):
        return tuple(
            Setting(value=name, how=How.ENVIRONMENT, at=several.at, name=several.name, certain=several.certain)
            for name in several.value.split()
        )
    given = arguments.last("--profile")
    if given is not None:
        named = [one for one in given.values if one.text]
        if named:
            return tuple(Setting(value=one.text, how=How.GIVEN, at=one.at, certain=one.certain) for one in named)
    one = surroundings.get("AWS_PROFILE") or surroundings.get("AWS_DEFAULT_PROFILE")
    return (one,) if one else ()
