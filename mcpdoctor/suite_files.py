"""Read suites: `mcpdoctor.toml`, the table `[tool.mcpdoctor]` of pyproject.toml, and any other file of that form.

Every mistake is told with file, line and column, and with the name that is nearest to what was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mcpdoctor.addresses import is_arn, kind_of
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.source import Trouble, Unreadable, decode, read
from mcpdoctor.clients.tomls import read_toml
from mcpdoctor.clients.values import Items, Member, Table, Value, plain
from mcpdoctor.credentials import PROFILE, check_reference
from mcpdoctor.forms import Misfit, Wrong, build, in_words
from mcpdoctor.matrix import unknown_target
from mcpdoctor.model import SUITE, Cause, Origin, Unusable, Written
from mcpdoctor.redaction import clean
from mcpdoctor.render import output_of
from mcpdoctor.suite import Suite, SuiteTarget, budget_of

NAME = "mcpdoctor.toml"
PROJECT = "pyproject.toml"
TABLE = ("tool", "mcpdoctor")
MOST = 1024 * 1024
"""Bytes of a suite file that are read at most."""

_HEADER = re.compile(rb"""tool["']?[ \t]*\.[ \t]*["']?mcpdoctor""")
_FIXES = {
    Trouble.EMPTY: "name a target in it",
    Trouble.TOO_BIG: "no suite is that large; check the path",
    Trouble.TOO_DEEP: "check whether this is a suite",
    Trouble.NOT_A_FILE: "give the path of a suite file",
}
_AXES = {"target": "endpoint", "regions": "region", "services": "service", "credentials": "profile"}
"""The keys whose values decide what is sent, and what checks call these values."""


def find(directory: Path) -> Path | None:
    """The suite file of a project.

    Looked for in `directory`, and in its parents up to the root of the repository (where `.git` is); outside of a
    repository in `directory` alone, since what lies in the parents then may be anybody's.

    Args:
        directory: absolute.

    Returns:
        The first `mcpdoctor.toml`, or `pyproject.toml` with a table `[tool.mcpdoctor]`; None where there is none.

    Raises:
        Unusable: a pyproject.toml cannot be read.
    """
    parents = [directory, *directory.parents]
    root = next((number for number, one in enumerate(parents) if (one / ".git").exists()), 0)
    for one in parents[: root + 1]:
        if (one / NAME).is_file():
            return one / NAME
        if (one / PROJECT).is_file() and _speaks_of_us(one / PROJECT):
            return one / PROJECT
    return None


def load(path: Path, catalogue: Catalogue, *, shown: str = "", owned: bool = False) -> Suite:
    """Read a suite.

    Args:
        path: of a TOML file; of one called pyproject.toml the table `[tool.mcpdoctor]` is read.
        catalogue: the names that a suite may use.
        shown: the path as messages and reports shall show it; as given without.
        owned: whether the ARN of a server of the user is given elsewhere, for targets that need one.

    Raises:
        Unusable: it cannot be read, or is no suite; the message names file, line and column.
    """
    try:
        source = replace(read(path, limit=MOST), file=shown or str(path))
        root = read_toml(source).root
    except Unreadable as error:
        place = replace(error.place, file=shown or str(path))
        raise Unreadable(error.trouble, place, error.what, _FIXES.get(error.trouble, error.fix)) from error
    within = TABLE if path.name == PROJECT else ()
    table: Value | None = root
    for name in within:
        table = table.get(name) if isinstance(table, Table) else None
    if table is None:
        raise Unusable(
            f"{clean(source.file, limit=300)}: there is no table [tool.mcpdoctor] in it; add one, or {NAME}."
        )
    if not isinstance(table, Table):
        raise Unusable(f"{table.place}: tool.mcpdoctor is no table; write [tool.mcpdoctor].")
    suite = _Reading(table, within, catalogue, owned=owned).suite()
    return replace(suite, directory=str(path.absolute().parent))


def _speaks_of_us(path: Path) -> bool:
    """Whether a pyproject.toml has a table `[tool.mcpdoctor]`; a broken one counts where it seems to."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unusable(f"{path}: cannot be read: {error.strerror or error}.") from error
    if b"mcpdoctor" not in data or len(data) > MOST:
        return False
    try:
        table: Value | None = read_toml(decode(data, str(path))).root
    except Unusable:
        return bool(_HEADER.search(data))  # `load` tells what is wrong with it
    for name in TABLE:
        table = table.get(name) if isinstance(table, Table) else None
    return table is not None


class _Reading:
    """One suite on its way from a table of a file."""

    def __init__(self, table: Table, within: tuple[str, ...], catalogue: Catalogue, *, owned: bool) -> None:
        self.table, self.within, self.catalogue, self.owned = table, within, catalogue, owned
        self.file = clean(table.source.file, limit=1000)

    def suite(self) -> Suite:
        try:
            suite: Suite = build(Suite, plain(self.table), self.file)
        except Misfit as misfit:
            raise Unusable(self.sentence(misfit)) from misfit
        self.judge(suite)
        lines = tuple(self.placed(line, number) for number, line in enumerate(suite.targets))
        whole = replace(suite.require, places=self.places("require"))
        return replace(
            suite, targets=lines, require=whole, name=self.file, file=self.file, places=self.places_of(self.table)
        )

    # places -----------------------------------------------------------------------------------------------------------

    def at(self, *path: str | int) -> Value:
        """The value at a path: as far as there is one."""
        found: Value = self.table
        for step in path:
            further = (
                found.get(step)
                if isinstance(found, Table) and isinstance(step, str)
                else found.items[step]
                if isinstance(found, Items) and isinstance(step, int) and step < len(found.items)
                else None
            )
            if further is None and isinstance(step, str):
                return found
            found = further or found  # one value in place of a list has no number
        return found

    def member(self, *path: str | int) -> Member | None:
        """The key at a path, with its value."""
        table = self.at(*path[:-1])
        return table.member(str(path[-1])) if isinstance(table, Table) else None

    def key(self, *path: str | int) -> Value:
        """The key at a path; where there is none, what stands around it."""
        member = self.member(*path)
        return member.key if member else self.at(*path)

    def places(self, *path: str | int) -> dict[str, tuple[int, int]]:
        """Line and column of each key of a table; none where there is no such table."""
        member = self.member(*path)
        return self.places_of(member.value) if member else {}

    @staticmethod
    def places_of(table: Value) -> dict[str, tuple[int, int]]:
        """Line and column of each key."""
        if not isinstance(table, Table):
            return {}
        return {one.name: (one.key.place.line, one.key.place.column) for one in table.members}

    def refuse(self, at: Value, what: str) -> Unusable:
        """The refusal of what stands somewhere."""
        return Unusable(f"{at.place}: {what}")

    # sentences --------------------------------------------------------------------------------------------------------

    def sentence(self, misfit: Misfit) -> str:
        """What is wrong, where, and what is meant."""
        path, name = misfit.path, _words(misfit.path)
        written = clean(str(misfit.written), limit=80)
        inside = f" in {name}" if name else ""
        if misfit.wrong is Wrong.UNKNOWN_KEY:
            at = self.key(*path, str(misfit.written))
            return f"{at.place}: unknown key {written}{inside}{_end(misfit.hint)}"
        if misfit.wrong is Wrong.MISSING:
            how = ': write [[targets]] and target = "aws-mcp"' if written == "targets" else ""
            return f"{self.at(*path).place}: {written} is missing{inside}{how}."
        at = self.at(*path)
        if misfit.wrong is Wrong.TYPE:
            return f"{at.place}: {name} is {_kind(misfit.written)}, and {in_words(misfit.wanted)} is wanted."
        if misfit.wrong is Wrong.NOT_ONE_OF:
            return f"{at.place}: {name} is {written}, which is not known{_end(misfit.hint)}"
        if misfit.written in ([], ""):
            return f"{at.place}: {name} is empty; {_FILL.get(name, 'name something, or leave the key out')}."
        return f"{at.place}: {name} is {written}; it must be {misfit.wanted}."

    # what the annotations do not tell ---------------------------------------------------------------------------------

    def judge(self, suite: Suite) -> None:
        """Refuse what is of the right form and means nothing.

        Raises:
            Unusable: there is such a thing.
        """
        self.names("require", "forbid", names=suite.require.forbid)
        for number, line in enumerate(suite.targets):
            self.line(line, ("targets", number))
        if suite.budget.ceiling is not None:
            self.hold(("budget", "ceiling"), budget_of, suite.budget.ceiling)
        for number, one in enumerate(suite.outputs):
            self.hold(("outputs", number), output_of, one)
        owners: dict[str, int] = {}
        for number, line in enumerate(suite.targets):
            if line.require.asked():
                first = owners.setdefault(line.label, number)
                if first != number:
                    what = f"{clean(line.label, limit=100)} has requirements in targets[{first + 1}] already"
                    how = "write them there, or give this one a name"
                    raise self.refuse(self.key("targets", number, "require"), f"{what}; {how}.")

    def line(self, line: SuiteTarget, path: tuple[str | int, ...]) -> None:
        """Refuse a line that cannot be tried."""
        self.hold((*path, "target"), self.target, line.target)
        for number, one in enumerate(line.credentials):
            self.hold((*path, "credentials", number), check_reference, one)
        if self.member(*path, "arguments") and line.tool is None:
            raise self.refuse(self.key(*path, "arguments"), "arguments are for a tool; add tool.")
        try:
            json.dumps(line.arguments, allow_nan=False)
        except ValueError:
            raise self.refuse(self.at(*path, "arguments"), "arguments hold nan or inf, which JSON has not.") from None
        if line.expect is not None and self.member(*path, "require"):
            what = "a target that is expected to fail has no requirements; leave out expect or require."
            raise self.refuse(self.key(*path, "require"), what)
        self.names(*path, "require", "forbid", names=line.require.forbid)

    def target(self, target: str) -> None:
        """Refuse what is no target.

        Raises:
            Unusable: it is none.
        """
        if re.match(r"[a-z]+://[^/?#]*@", target, re.IGNORECASE):
            raise Unusable("a URL that holds a user name or password is not used; AWS takes a signature instead.")
        named = self.catalogue.endpoints.get(target)
        if is_arn(target):
            kind_of(target, self.catalogue)
        elif named is not None and named.yours and not (named.arn and self.owned):
            arn = ", or its ARN" if named.arn else ""
            raise Unusable(
                f"the URL of {target} holds a part that only you know; write the whole URL: {named.url}{arn}."
            )
        elif named is None and not re.search(r"[:/.]", target):
            known = [name for name, one in self.catalogue.endpoints.items() if not one.yours]
            raise Unusable(unknown_target(target, known))

    def names(self, *path: str | int, names: tuple[str, ...]) -> None:
        """Refuse what is neither a check nor a cause."""
        known = {*self.catalogue.checks, *Cause}
        for number, one in enumerate(names):
            if one not in known:
                near = get_close_matches(one, sorted(known), n=1)
                hint = f"did you mean {near[0]}?" if near else "mcpdoctor explain NAME shows one, docs/checks.md all."
                what = f"{clean(one, limit=80)} is neither a check nor a cause; {hint}"
                raise self.refuse(self.at(*path, number), what)

    def hold(self, path: tuple[str | int, ...], reads: Callable[[str], object], text: str) -> None:
        """Read a text as its reader does, and name the place of one that is refused."""
        try:
            reads(text)
        except Unusable as error:
            raise self.refuse(self.at(*path), str(error)) from error

    # lines ------------------------------------------------------------------------------------------------------------

    def placed(self, line: SuiteTarget, number: int) -> SuiteTarget:
        """A line that knows where it stands, and where each value of its axes does."""
        at = self.at("targets", number)
        header = ".".join((*self.within, "targets"))
        entry, spans = _entry(line, f"[[{header}]]")
        written = {}
        for key, value, place in self.values(line, number):
            span = spans.get((key, value), (None, None))
            written[key, value] = Written(
                name=_AXES[key],
                line=place.line,
                column=place.column,
                start=span[0],
                end=span[1],
                form=_form(key, value) if span[0] is not None else "",
            )
        origin = Origin(
            file=self.file,
            client=SUITE,
            server=f"targets[{number + 1}]",
            line=at.place.line,
            column=at.place.column,
            entry=entry,
        )
        require = replace(line.require, places=self.places("targets", number, "require"))
        return replace(line, origin=origin, written=written, require=require)

    def values(self, line: SuiteTarget, number: int) -> Iterator[tuple[str, str, Any]]:
        """Key, value and place of each value of the axes of a line."""
        for key in _AXES:
            given = getattr(line, key)
            for count, value in enumerate((given,) if isinstance(given, str) else given):
                yield key, value, self.at("targets", number, key, count).place


_FILL = {"targets": 'write [[targets]] and target = "aws-mcp"'}


def _words(path: tuple[str | int, ...]) -> str:
    """A path as people write it; lists are counted from 1."""
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return clean(text, limit=120)


def _end(hint: str) -> str:
    """A hint, without a list that nobody reads."""
    return hint if len(hint) < 300 else "."


def _kind(value: object) -> str:
    """What a value is, in words; never the value of a list or table, which may hold anything."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return clean(json.dumps(value, ensure_ascii=False), limit=80)


def _entry(line: SuiteTarget, header: str) -> tuple[str, dict[tuple[str, str], tuple[int, int]]]:
    """The line as it may be shown: its target and axes; and where each value stands in that."""
    if "?" in line.target:  # what stands in the query of a URL is shown nowhere
        return "", {}
    text, spans = header, {}
    for key in _AXES:
        given = getattr(line, key)
        values = (given,) if isinstance(given, str) else given
        if not values:
            continue
        text += f"\n{key} = " + ("" if isinstance(given, str) else "[")
        for number, value in enumerate(values):
            text += ", " if number else ""
            piece = json.dumps(clean(value, limit=300), ensure_ascii=False)
            spans[key, value] = (len(text), len(text) + len(piece))
            text += piece
        text += "" if isinstance(given, str) else "]"
    return text, spans


def _form(key: str, value: str) -> str:
    """How a new value is written in place of one."""
    if key == "target" and not re.match(r"https?://", value, re.IGNORECASE):
        return ""  # a name of the catalogue stands for the right URL: what is wrong is another key
    if key == "credentials":
        return f'"{PROFILE}{{}}"' if value.startswith(PROFILE) else ""
    return '"{}"'
