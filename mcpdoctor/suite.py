"""What a project needs of its MCP servers: targets, requirements, budgets and reports, as a suite names them. Pure.

A suite is a file of its own or a table of pyproject.toml (`mcpdoctor.suite_files` reads them), or one of the ready ones
in `checks/suites`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any

from mcpdoctor.endpoints import REGION
from mcpdoctor.forms import Filled, Like, Within
from mcpdoctor.model import Cause, Fact, Origin, Requirement, Unusable, Written

BUDGET = (300, 20, 600)
"""Requests, refusals and seconds that measuring one configuration may cost."""

_NO_KEY = {"key": None}
_LABEL = Like(r"[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]{0,79}", "a name of up to 80 characters")


class FailOn(StrEnum):
    """The least severity of a finding against the best configuration that makes the exit code 1."""

    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Require:
    """What the best configuration of a target must give.

    Attributes:
        workers: parallel workers that must be safe; the ceiling is measured for it.
        latency: seconds that a client may take to connect, to open a session and to list the tools.
        tools: tools that must be listed.
        forbid: checks or causes that must not stand against it, notes included.
        places: line and column of each of these keys, from 1; empty where nobody knows.
    """

    workers: Annotated[int, Within(1, 1000)] | None = None
    latency: Annotated[float, Within(0.001, 3600)] | None = None
    tools: tuple[Annotated[str, Filled()], ...] = ()
    forbid: tuple[str, ...] = ()
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict, metadata=_NO_KEY, compare=False)

    def asked(self) -> dict[str, Fact]:
        """The requirements that are made, by name."""
        return {
            one.name: wanted
            for one in fields(self)
            if one.metadata.get("key", one.name) and (wanted := getattr(self, one.name)) not in (None, ())
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTarget:
    """One line of a suite: a target and its axes. An axis that is not given is filled from the catalogue.

    Attributes:
        target: a name of the catalogue, a URL, or the ARN of an AgentCore runtime or gateway.
        name: what reports call it; lines of other names are judged by themselves. Without it, the target.
        regions: regions to sign for, and of the endpoint where its URL has one.
        services: SigV4 service names to sign for.
        credentials: `default`, `env`, `profile:NAME`, `bearer:VARIABLE` or `none` (unsigned). Never a key.
        tool: a tool to call in stage call.
        arguments: its arguments.
        expect: the cause that must be seen: then seeing it is what passes.
        require: what its best configuration must give; a key here goes before the same key for every target.
        origin: where the line stands; None where nobody knows.
        written: where each value of an axis stands, by key and value.
    """

    target: Annotated[str, Filled()]
    name: Annotated[str, _LABEL] | None = None
    regions: tuple[Annotated[str, Like(REGION, "a region, such as us-east-1")], ...] = ()
    services: tuple[Annotated[str, Filled()], ...] = ()
    credentials: tuple[str, ...] = ()
    tool: Annotated[str, Filled()] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    expect: Cause | None = None
    require: Require = field(default_factory=Require)
    origin: Origin | None = field(default=None, metadata=_NO_KEY, compare=False)
    written: Mapping[tuple[str, str], Written] = field(default_factory=dict, metadata=_NO_KEY, compare=False)

    @property
    def label(self) -> str:
        """What reports call it."""
        return self.name or self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may take.

    Attributes:
        timeout: seconds that one stage may take, as `--timeout`.
        deadline: seconds that the whole run may take, as `--deadline`.
        jobs: configurations at work at a time, as `--jobs`.
        ceiling: REQUESTS,REFUSALS,SECONDS that measuring one configuration may cost, as `--budget`; parts may be
            named, as in refusals=5.
    """

    timeout: Annotated[float, Within(0.1, 3600)] | None = None
    deadline: Annotated[float, Within(0.1, 86400)] | None = None
    jobs: Annotated[int, Within(1, 256)] | None = None
    ceiling: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What to try, and what must come of it.

    Attributes:
        title: what it is for, in a few words.
        targets: what to try, one table for each.
        require: what the best configuration of every target must give.
        budget: what a run may take.
        outputs: reports to write, as `-o`: FILE or FORMAT:FILE, relative to the suite file and below its directory.
        fail_on: least severity of a finding against the best configuration that makes the exit code 1, as `--fail-on`.
        name: of a ready suite; of another one, the path of its file.
        file: the file that it was read from, as it is shown; empty for a ready one.
        directory: where that file is, which `outputs` are relative to; empty for a ready one.
        places: line and column of each key, from 1; empty where nobody knows.
    """

    title: str = ""
    targets: Annotated[tuple[SuiteTarget, ...], Filled()]
    require: Require = field(default_factory=Require)
    budget: Limits = field(default_factory=Limits)
    outputs: tuple[str, ...] = ()
    fail_on: FailOn | None = field(default=None, metadata={"key": "fail-on"})
    name: str = field(default="", metadata=_NO_KEY)
    file: str = field(default="", metadata=_NO_KEY)
    directory: str = field(default="", metadata=_NO_KEY)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict, metadata=_NO_KEY, compare=False)

    def requirements(self) -> tuple[Requirement, ...]:
        """What is required of each target, not judged yet.

        A line that expects a cause asks for nothing. Of two lines of the same name, only one has requirements of its
        own (`suite_files` sees to that), and they hold for both.
        """
        found: dict[tuple[str, str], Requirement] = {}
        lines = [one for one in self.targets if one.expect is None]
        for line, asked in [*((one, one.require) for one in lines), *((one, self.require) for one in lines)]:
            for name, wanted in asked.asked().items():
                at = asked.places.get(name, (0, 0))
                made = Requirement(
                    target=line.label,
                    name=name,
                    wanted=wanted,
                    file=self.file if at[0] else "",
                    line=at[0],
                    column=at[1],
                )
                found.setdefault((line.label, name), made)
        order = list(dict.fromkeys(one.label for one in lines))
        return tuple(sorted(found.values(), key=lambda one: order.index(one.target)))


def budget_of(text: str) -> tuple[int, int, float]:
    """Read `REQUESTS[,REFUSALS[,SECONDS]]`; each part may have its name in front: `refusals=5`.

    Raises:
        Unusable: it is none.
    """
    names = ("requests", "refusals", "seconds")
    found: dict[str, float] = {}
    for place, part in enumerate(text.split(",")):
        name, equals, number = part.strip().partition("=")
        if not equals:
            name, number = names[place] if place < len(names) else "", name
        try:
            amount = float(number.removesuffix("s"))
        except ValueError:
            amount = -1.0
        known = name in names and name not in found and (name == "seconds" or amount.is_integer())
        if not known or not (0 if name == "refusals" else 1) <= amount <= 1_000_000:
            raise Unusable("write REQUESTS,REFUSALS,SECONDS, such as 300,20,600, or refusals=5.")
        found[name] = amount
    requests, refusals, seconds = (found.get(name, usual) for name, usual in zip(names, BUDGET, strict=True))
    return int(requests), int(refusals), float(seconds)
