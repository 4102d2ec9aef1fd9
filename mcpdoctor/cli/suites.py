"""What a suite says beside its targets, and what the command line says in its place."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import options

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.model import Requirement
    from mcpdoctor.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a run is done, and what must come of it.

    Attributes:
        timeout: seconds that one stage may take.
        deadline: seconds that the whole run may take.
        jobs: configurations at work at a time.
        budget: requests, refusals and seconds that measuring one configuration may cost.
        fail_on: `error`, `warning` or `never`.
        outputs: reports to write.
        requirements: what a suite requires.
        suite: where the other wishes come from; None for the command line alone.
    """

    timeout: float
    deadline: float
    jobs: int
    budget: tuple[int, int, float]
    fail_on: str
    outputs: tuple[tuple[str, Path], ...]
    requirements: tuple[Requirement, ...] = ()
    suite: Suite | None = None

    def measured(self) -> dict[str, int]:
        """The targets whose workers the suite requires, each with their number."""
        asked = ((one.target, one.wanted) for one in self.requirements if one.name == "workers")
        return {target: wanted for target, wanted in asked if isinstance(wanted, int)}

    def with_suite(self, suite: Suite | None, *, writes: bool) -> Wishes:
        """The same with what a suite says, wherever the command line says nothing.

        Args:
            suite: the suite; None for none.
            writes: whether reports are written: then they are looked at now, before anything is sent.

        Raises:
            Unusable: one of its reports cannot be written.
        """
        if suite is None:
            return self
        from mcpdoctor.suite import budget_of

        limits = suite.budget
        said = {
            "timeout": limits.timeout,
            "deadline": limits.deadline,
            "jobs": limits.jobs,
            "budget": None if limits.ceiling is None else budget_of(limits.ceiling),
            "fail_on": None if suite.fail_on is None else suite.fail_on.value,
            "outputs": _outputs(suite) if writes and suite.outputs else None,
        }
        taken = {name: value for name, value in said.items() if value is not None and not options.given(name)}
        return replace(self, **taken, requirements=suite.requirements(), suite=suite)  # type: ignore[arg-type]


def suite_for(
    name: str | None, catalogue: Catalogue, *, named: bool, use_lab: bool, owned: bool, quiet: bool
) -> Suite | None:
    """The suite to try: the one that is named; where nothing else is, that of the project; else, in the lab, its own.

    Args:
        name: of a ready suite, or a file; None for none.
        catalogue: the ready suites, and the names that a file may use.
        named: whether targets are named.
        use_lab: whether it is tried in the lab.
        owned: whether the ARN of a server of the user is given.
        quiet: whether to keep silent about the file that was found.

    Raises:
        Unusable: there is no such suite, or it cannot be used.
    """
    if name is None and named:
        return None
    if name is not None and name in catalogue.suites:
        return catalogue.suites[name]
    from mcpdoctor import suite_files
    from mcpdoctor.model import Unusable
    from mcpdoctor.render.digest import shown

    if name is None:
        here = _here()
        path = None if here is None else suite_files.find(here)
        if path is None:
            return catalogue.suites["lab"] if use_lab else None
        if not quiet:
            click.echo(f"Suite: {shown(_shown(path), 300)}", err=True)
    else:
        path = Path(name)
        if path.suffix != ".toml" and not path.exists():
            known = ", ".join(sorted(catalogue.suites))
            raise Unusable(f"{name} is neither a suite ({known}) nor a file.")
    return suite_files.load(path, catalogue, shown=_shown(path), owned=owned)


def _shown(path: Path) -> str:
    """A path as reports show it: relative to the workspace of a GitHub job, as annotations need it, or to here."""
    here = _here()
    if here is None:
        return str(path)
    for base in (os.environ.get("GITHUB_WORKSPACE"), here):
        if base and (here / path).is_relative_to(base):
            return (here / path).relative_to(base).as_posix()
    with suppress(ValueError):  # another drive
        return os.path.relpath(path)
    return str(path)


def _here() -> Path | None:
    """The current directory; None where it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _outputs(suite: Suite) -> tuple[tuple[str, Path], ...]:
    """The reports of a suite, below the directory of its file: a project of somebody else writes nowhere else.

    Raises:
        Unusable: one of them stands elsewhere, be it by a link, or cannot be written.
    """
    from mcpdoctor.model import Unusable
    from mcpdoctor.render import output_of

    directory = Path(suite.directory) if suite.directory else Path()
    line, column = suite.places.get("outputs", (1, 1))
    place = f"{suite.name}:{line}:{column}"
    named = [output_of(one) for one in suite.outputs]
    for _, name in named:
        path, root = (directory / name).resolve(), directory.resolve()
        if not path.is_relative_to(root):
            raise Unusable(f"{place}: {name} is not below the directory of the suite; name it with -o.")
        if suite.file and path.exists() and path.samefile(directory / Path(suite.file).name):
            raise Unusable(f"{place}: {name} is the suite itself; give the report a file of its own.")
        if ".git" in path.parts[len(root.parts) :]:
            raise Unusable(f"{place}: {name} is in the directory of git, where files can start programs.")
    try:
        return options.writable(named, directory)
    except Unusable as error:
        raise Unusable(f"{place}: {error}") from error
