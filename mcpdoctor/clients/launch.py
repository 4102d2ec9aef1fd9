"""Find what a command really starts: through uvx, docker, python -m, env, cmd /c, a shell and the like."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mcpdoctor.clients.known import Runner, Takes
from mcpdoctor.clients.values import Value
from mcpdoctor.clients.versions import Requirement, requirement
from mcpdoctor.clients.words import Problem, Word

_MOST_STEPS = 8
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_JOINED = re.compile(r"\s(?:-|https?://)")
_VERSIONED = re.compile(r"\d+(?:\.\d+)*\Z")
_ENDINGS = re.compile(r"\.(?:exe|cmd|bat|com|ps1)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One runner on the way to the program.

    Attributes:
        word: how it is written.
        options: its options that were recognised, each with its value.
    """

    runner: Runner
    word: Word
    options: tuple[tuple[str, Word], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Launch:
    """What a command starts.

    Attributes:
        steps: the runners that it goes through.
        program: the program, module or image at the end; None where it cannot be told.
        module: whether `program` is a Python module.
        package: where the program comes from, as written; None for one that is installed.
        needed: `package`, read; None where it is a path or an address.
        beside: further packages that a runner is to have there, as written (`--with`).
        words: arguments of the program.
        environment: variables that a runner sets.
        passed: variables that a container gets from outside.
        isolated: whether the program sees only `environment` and `passed`.
        interactive: whether a container keeps its standard input open; None where there is none.
        endpoint: the URL that a bridge talks to.
        problems: what was found on the way.
    """

    steps: tuple[Step, ...] = ()
    program: Word | None = None
    module: bool = False
    package: Word | None = None
    needed: Requirement | None = None
    beside: tuple[Word, ...] = ()
    words: tuple[Word, ...] = ()
    environment: Mapping[str, Word] = field(default_factory=dict)
    passed: Mapping[str, Word] = field(default_factory=dict)
    isolated: bool = False
    interactive: bool | None = None
    endpoint: Word | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def fetched(self) -> bool:
        """Whether the last runner fetches the package, with whatever it asks for, in the newest versions that fit."""
        return any(one.runner.takes is Takes.PACKAGE for one in self.steps)

    @property
    def registry(self) -> str | None:
        """Where the package comes from: that of the last runner that fetches one."""
        return next((one.runner.registry for one in reversed(self.steps) if one.runner.registry), None)

    @property
    def stem(self) -> str:
        """The program's file name, without directory and ending."""
        return stem(self.program.text) if self.program else ""


def stem(path: str) -> str:
    """The file name of a program, without directory and ending, in lower case."""
    return _ENDINGS.sub("", re.split(r"[/\\]", path.strip())[-1]).lower()


def launch(command: Word, args: Sequence[Word], runners: Mapping[str, Runner]) -> Launch:
    """Go through the runners of a command, to the program at the end."""
    return _Walker(runners, command.at).walk([command, *args])


@dataclass
class _Walker:
    """The state of going through one command."""

    runners: Mapping[str, Runner]
    start: Value
    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    environment: dict[str, Word] = field(default_factory=dict)
    passed: dict[str, Word] = field(default_factory=dict)
    package: Word | None = None
    beside: list[Word] = field(default_factory=list)
    interactive: bool | None = None
    isolated: bool = False

    def walk(self, words: list[Word]) -> Launch:
        for _ in range(_MOST_STEPS):
            runner, used = self.find(words)
            if runner is None:
                break
            reading = _Reading(runner, self.runners.get(runner.like or ""), words, used)
            reading.read()
            self.steps.append(Step(runner=runner, word=words[0], options=tuple(reading.options)))
            self.note(reading)
            rest = words[reading.at :]
            if reading.module is not None:
                return self.done(reading.module, rest, module=True)
            if reading.text is not None:
                inner = self.split(reading.text) if runner.takes is Takes.PROGRAM and not runner.versioned else []
                if not inner:
                    return self.done(None, rest)
                words = inner
                continue
            if runner.takes is Takes.URL:
                endpoint = next((one for one in rest if "://" in one.text), None)
                return self.done(words[0], rest, endpoint=endpoint)
            if not rest:
                self.problem("program-missing", words[0], runner=runner.name)
                return self.done(None, [])
            if runner.takes is Takes.IMAGE:
                self.package, self.isolated = rest[0], True
                return self.done(reading.value(runner.entrypoint) or rest[0], rest[1:])
            if runner.takes is Takes.PACKAGE:
                self.package = reading.value(reading.named("from_")) or rest[0]
                if _JOINED.search(self.package.text):
                    self.problem("words-joined", self.package, option=runner.name, written=self.package.text)
            else:
                self.package = self.package or reading.value(reading.named("with_"))
            words = rest
        return self.done(words[0], words[1:])

    def find(self, words: list[Word]) -> tuple[Runner | None, int]:
        """The runner that a command begins with, and how many words name it."""
        if not words:
            return None, 0
        name = stem(words[0].text)
        if self.package is not None and words[0] is self.package:
            name = (requirement(name) or Requirement(name=name)).name  # uvx fastmcp@3 run URL
        for runner in self.runners.values():
            bare = _VERSIONED.sub("", name) if runner.versioned else name
            if name not in runner.programs and bare not in runner.programs:
                continue
            if not runner.words:
                return runner, 1
            for some in runner.words:
                if [one.text for one in words[1 : 1 + len(some)]] == list(some):
                    return runner, 1 + len(some)
        return None, 0

    def note(self, reading: _Reading) -> None:
        self.beside += [word for name, word in reading.options if name in reading.named("with_")]
        self.environment.update(reading.environment)
        self.passed.update(reading.passed)
        if reading.runner.interactive:
            self.interactive = reading.interactive

    def split(self, text: Word) -> list[Word]:
        """The words of a shell text, where it is one simple command."""
        if re.search(r"[;&|<>`\n]|\$\(", text.text):
            return []
        try:
            parts = shlex.split(text.text)
        except ValueError:
            return []
        if parts[:1] == ["exec"]:
            parts = parts[1:]
        certain = text.certain and "$" not in text.text
        return [Word(one, text.at, certain) for one in parts]

    def problem(self, kind: str, at: Word, **facts: str) -> None:
        self.problems.append(Problem(kind=kind, at=at.at, facts=facts))

    def done(
        self, program: Word | None, words: Sequence[Word], *, module: bool = False, endpoint: Word | None = None
    ) -> Launch:
        return Launch(
            steps=tuple(self.steps),
            program=program,
            module=module,
            package=self.package,
            needed=requirement(self.package.text) if self.package else None,
            beside=tuple(one for one in self.beside if one is not self.package),
            words=tuple(words),
            environment=self.environment,
            passed=self.passed,
            isolated=self.isolated,
            interactive=self.interactive,
            endpoint=endpoint,
            problems=tuple(self.problems),
        )


@dataclass
class _Reading:
    """The options of one runner."""

    runner: Runner
    like: Runner | None
    words: list[Word]
    at: int
    options: list[tuple[str, Word]] = field(default_factory=list)
    environment: dict[str, Word] = field(default_factory=dict)
    passed: dict[str, Word] = field(default_factory=dict)
    interactive: bool = False
    module: Word | None = None
    text: Word | None = None

    def named(self, role: str) -> tuple[str, ...]:
        """Options of a role, those of the runner that this one is like included."""
        own: tuple[str, ...] = getattr(self.runner, role)
        return own + (getattr(self.like, role) if self.like else ())

    @cached_property
    def valued(self) -> frozenset[str]:
        """Every option that takes a value."""
        roles = ("from_", "with_", "module", "text", "valued", "variable", "variables_file", "volume", "entrypoint")
        return frozenset(name for role in roles for name in self.named(role))

    def value(self, names: tuple[str, ...]) -> Word | None:
        """The last value of any of these options."""
        return next((word for name, word in reversed(self.options) if name in names), None)

    def read(self) -> None:
        while self.at < len(self.words) and self.module is None and self.text is None:
            word = self.words[self.at]
            if self.runner.assigns and _ASSIGNMENT.match(word.text):
                name, _, value = word.text.partition("=")
                self.environment[name] = Word(value, word.at, word.certain)
            elif self.runner.slashes and word.text.startswith("/"):
                if word.text[:2].lower() in ("/c", "/k"):
                    self.at += 1
                    return
            elif word.text == "--":
                self.at += 1
                break
            elif word.text.startswith("-") and len(word.text) > 1:
                self.option(word)
            else:
                break
            self.at += 1
        if self.runner.skips:
            self.at += self.runner.skips
            if self.at < len(self.words) and self.words[self.at].text == "--":
                self.at += 1

    def option(self, word: Word) -> None:
        """Take one option; `at` is left on the last of its words."""
        name, equals, value = word.text.partition("=")
        if word.text.startswith("--") or name in self.valued:
            self.single(word, name, value if equals else None)
        elif self.runner.clustered:
            for number, letter in enumerate(word.text[1:], start=2):
                if f"-{letter}" in self.valued:
                    self.single(word, f"-{letter}", word.text[number:].removeprefix("=") or None)
                    return
                self.single(word, f"-{letter}", None)
        elif word.text[:2] in self.valued:
            self.single(word, word.text[:2], word.text[2:])
        else:
            self.single(word, word.text, None)

    def single(self, word: Word, name: str, explicit: str | None) -> None:
        taken = word
        if name in self.valued:
            if explicit is not None:
                taken = Word(explicit, word.at, word.certain)
            elif self.at + 1 < len(self.words):
                self.at += 1
                taken = self.words[self.at]
        self.options.append((name, taken))
        if name in self.named("module"):
            self.module = taken
        elif name in self.named("text"):
            self.text = taken
        elif name in self.named("interactive"):
            self.interactive = explicit not in ("false", "0")
        elif name in self.named("variable"):
            key, equals, value = taken.text.partition("=")
            if equals:
                self.environment[key] = Word(value, taken.at, taken.certain)
            else:
                self.passed[key] = taken
