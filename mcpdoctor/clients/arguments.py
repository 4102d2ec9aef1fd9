"""Take the arguments of the proxy apart as its own version of `argparse` would, and go on where that would stop.

`argparse` itself is of no use here: it knows no places, ends at the first mistake, differs between versions of Python,
and takes quadratic time for many arguments. A test compares the two over random command lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from mcpdoctor.clients.known import Number, Option, ProxyKind, Values
from mcpdoctor.clients.values import Value
from mcpdoctor.clients.versions import Version, version
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.model import Fact

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_SEPARATOR = "--"
_URL = "://"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """An option as it was given.

    Attributes:
        flag: the word that names it; holds the value as well in `--name=value`.
        values: its values.
    """

    option: Option
    flag: Word
    values: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arguments:
    """Arguments of the proxy, taken apart.

    Attributes:
        endpoint: the URL; None where none is found.
        given: options in the order they were given.
        help: the option that makes the proxy print its help and end.
        problems: what `argparse` refuses, and what it takes for something else than was meant.
        pairs_add_up: whether pairs of a repeated option are joined; else the last one counts.
    """

    endpoint: Word | None = None
    given: tuple[Given, ...] = ()
    help: Word | None = None
    problems: tuple[Problem, ...] = ()
    pairs_add_up: bool = True

    def last(self, name: str) -> Given | None:
        """The last time an option was given, which is the one that counts."""
        return next((one for one in reversed(self.given) if one.option.name == name), None)

    def value(self, name: str) -> Word | None:
        """The value of an option that takes one."""
        given = self.last(name)
        return given.values[0] if given and given.values else None

    def pairs(self, name: str) -> dict[str, Word]:
        """Keys of an option that takes `key=value`, each with the word that counts."""
        times = [one for one in self.given if one.option.name == name]
        return {
            word.text.partition("=")[0]: word
            for one in (times if self.pairs_add_up else times[-1:])
            for word in one.values
            if "=" in word.text
        }


@dataclass(slots=True)
class _Sorted:
    """A word, and what `argparse` takes it for before it looks at its neighbours."""

    word: Word
    kind: str  # A: argument, O: option, -: the separator
    options: tuple[Option, ...] = ()
    explicit: str | None = None  # what follows the =


def parse(words: Sequence[Word], kind: ProxyKind, of: Version, end: Value) -> Arguments:
    """Take arguments apart.

    Args:
        words: what follows the name of the program.
        kind: the proxy.
        of: its version, which decides about the options there are.
        end: the value to name for something that is missing.
    """
    return _Parser(words, kind, of, end).parse()


@dataclass
class _Parser:
    """The state of taking one command line apart."""

    words: Sequence[Word]
    kind: ProxyKind
    of: Version
    end: Value
    endpoint: Word | None = None
    help: Word | None = None
    given: list[Given] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.options = self.kind.options_of(self.of)
        self.names = {name: one for one in self.options for name in (one.name, one.short) if name}

    def parse(self) -> Arguments:
        at, line = 0, self.sort()
        while at < len(line) and self.help is None:
            at = self.option(line, at) if line[at].kind == "O" else self.positional(line, at)
        if self.help is None and self.endpoint is None:
            self.without_endpoint()
        return Arguments(
            endpoint=self.endpoint,
            given=tuple(self.given),
            help=self.help,
            problems=tuple(self.problems),
            pairs_add_up=self.of >= version(self.kind.pairs_add_up_since),
        )

    def problem(self, kind: str, at: Word | Value, **facts: Fact) -> None:
        self.problems.append(Problem(kind=kind, at=at.at if isinstance(at, Word) else at, facts=facts))

    # sorting ---------------------------------------------------------------------------------------------------------

    def sort(self) -> list[_Sorted]:
        line: list[_Sorted] = []
        for number, word in enumerate(self.words):
            if word.text == _SEPARATOR:
                rest = [_Sorted(one, "A") for one in self.words[number + 1 :]]
                return [*line, _Sorted(word, "-"), *rest]
            line.append(self.sorted(word))
        return line

    def sorted(self, word: Word) -> _Sorted:
        text = word.text
        if text in self.names:
            return _Sorted(word, "O", (self.names[text],))
        if len(text) < 2 or not text.startswith("-"):
            return _Sorted(word, "A")
        name, equals, value = text.partition("=")
        explicit = value if equals else None
        if equals and name in self.names:
            return _Sorted(word, "O", (self.names[name],), explicit)
        if text.startswith("--"):
            meant = tuple(one for one in self.options if one.name.startswith(name))
        else:
            meant = tuple(one for one in self.options if one.short == text[:2])
            explicit = text[2:]
        if meant:
            return _Sorted(word, "O", meant, explicit)
        if _NEGATIVE_NUMBER.fullmatch(text):
            return _Sorted(word, "A")
        if " " in text:
            head = text.split(maxsplit=1)[0]
            if head in self.names or head.partition("=")[0] in self.names:
                self.problem("words-joined", word, option=head, written=text)
            return _Sorted(word, "A")
        return _Sorted(word, "O")

    # consuming -------------------------------------------------------------------------------------------------------

    def positional(self, line: list[_Sorted], at: int) -> int:
        """Take the endpoint from a run of arguments; the rest of the run is too much."""
        while at < len(line) and line[at].kind != "O":
            if line[at].kind == "A":
                if self.endpoint is None:
                    self.endpoint = line[at].word
                else:
                    self.problem("argument-surplus", line[at].word, argument=line[at].word.text)
            at += 1
        return at

    def option(self, line: list[_Sorted], at: int) -> int:
        """Take one option and its values; where to go on."""
        one = line[at]
        if not one.options:
            self.unknown(one.word)
            return at + 1
        if len(one.options) > 1:
            names = tuple(option.name for option in one.options)
            self.problem("option-ambiguous", one.word, option=one.word.text, meant=names)
            return at + 1
        option = one.options[0]
        if one.explicit is not None:
            if option.values is Values.NONE:
                self.problem("value-not-taken", one.word, option=option.name, value=one.explicit)
            else:
                self.take(option, one.word, (Word(one.explicit, one.word.at, one.word.certain),))
            return at + 1
        last = at + 1
        most = {Values.NONE: 0, Values.ONE: 1}.get(option.values, len(line))
        while last < len(line) and line[last].kind == "A" and last - at - 1 < most:
            last += 1
        values = tuple(part.word for part in line[at + 1 : last])
        if not values and option.values in (Values.ONE, Values.SOME):
            self.problem("value-missing", one.word, option=option.name)
        elif option.ends:
            self.help = one.word
        else:
            self.take(option, one.word, values)
        return last

    def take(self, option: Option, flag: Word, values: tuple[Word, ...]) -> None:
        for value in values:
            self.check(option, value)
        self.given.append(Given(option=option, flag=flag, values=values))

    def check(self, option: Option, value: Word) -> None:
        """What the proxy itself refuses of a value."""
        if not value.certain:
            return
        facts: dict[str, Fact] = {"option": option.name, "value": value.text}
        if option.choices and value.text not in option.choices:
            self.problem("value-not-allowed", value, **facts, allowed=option.choices)
        elif option.number and not _fits(option, value.text):
            allowed = f"a number from {option.least:g}" + (f" to {option.most:g}" if option.most is not None else "")
            self.problem("value-not-allowed", value, **facts, allowed=(allowed,))
        elif option.pairs:
            key, equals, _ = value.text.partition("=")
            if not equals and _URL in value.text:
                self.problem("endpoint-swallowed", value, option=option.name, endpoint=value.text)
            elif not equals:
                self.problem("pair-malformed", value, **facts)
            elif key.lower() in option.reserved:
                self.problem("header-reserved", value, option=option.name, header=key)

    def unknown(self, word: Word) -> None:
        """An option that this version does not have; another may."""
        if not word.certain:
            return
        name = word.text.partition("=")[0]
        elsewhere = [one for one in self.kind.options if one.name == name]
        later = [one.since for one in elsewhere if version(one.since) > self.of]
        near = get_close_matches(name, [one.name for one in self.options], n=1)
        facts: dict[str, Fact] = {"option": name, "since": later[0] if later else None}
        self.problem("option-unknown", word, **facts, near=near[0] if near and not later else None)

    def without_endpoint(self) -> None:
        """Find out where the endpoint went."""
        profiles = self.given_last("--profile")
        found_again = self.of >= version(self.kind.last_profile_may_be_endpoint_since)
        if profiles and found_again and _URL in profiles.values[-1].text:
            self.endpoint = profiles.values[-1]
            left = Given(option=profiles.option, flag=profiles.flag, values=profiles.values[:-1])
            self.given = [left if one is profiles else one for one in self.given]
            return
        for one in self.given:
            for value in one.values:
                if _URL in value.text.partition("=" if one.option.pairs else "\0")[0]:
                    if not one.option.pairs or "=" in value.text:  # without it, the value was refused already
                        self.problem("endpoint-swallowed", value, option=one.option.name, endpoint=value.text)
                    return
        if all(word.certain for word in self.words):
            self.problem("endpoint-missing", self.end)

    def given_last(self, name: str) -> Given | None:
        return next((one for one in reversed(self.given) if one.option.name == name), None)


def _fits(option: Option, text: str) -> bool:
    """Whether a value is a number in the range of an option, read as Python reads numbers."""
    try:
        number = int(text) if option.number is Number.WHOLE else float(text)
    except ValueError:
        return False
    return not (option.least is not None and number < option.least) and not (
        option.most is not None and number > option.most
    )
