"""Whether what is required of the targets is given: a pure function of what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mcpdoctor.endpoints import nearest_tool
from mcpdoctor.limits import answer, nothing_accepted, number, plural
from mcpdoctor.model import Best, Cause, Ceiling, Finding, Report, Requirement, Result, Stage, trace_of
from mcpdoctor.samples import Kind, Stop

WORKERS, LATENCY, TOOLS, FORBID, EXPECT = "workers", "latency", "tools", "forbid", "expect"
WAITED_FOR = (Stage.DNS, Stage.OPEN, Stage.LIST)
"""The stages whose seconds are the latency: what a client waits for until it knows the tools.

`open` is the real client's, which connects by itself (TCP, TLS). What stands between `dns` and `open` are requests of
our own, which no user's client sends.
"""


def workers_of(report: Report) -> int | Mapping[str, int]:
    """How many parallel workers are asked for: of every target (`--require-workers`), or of which.

    Returns:
        A number, or a number for each target that has such a requirement.
    """
    if report.required_workers is not None:
        return report.required_workers
    asked = ((one.target, one.wanted) for one in report.requirements if one.name == WORKERS)
    return {target: wanted for target, wanted in asked if isinstance(wanted, int)}


def judged(
    report: Report, results: Sequence[Result], best: Sequence[Best], ceilings: Sequence[Ceiling]
) -> tuple[Requirement, ...]:
    """The requirements of a report, each with what was seen.

    A cause that a suite expects and that was not seen is one of them: nothing else in a report would say why its exit
    code is 1 where everything works.

    Args:
        report: what is required; what an earlier judgement wrote into it is replaced.
        results: judged.
        best: the configuration to use for each target that has one.
        ceilings: as measured, compared with what is required.
    """
    asked = [one for one in report.requirements if one.name != EXPECT]
    if report.required_workers is not None:
        # The option replaces what a suite says of workers.
        asked = [*_for_all(report.required_workers, results, ceilings), *(one for one in asked if one.name != WORKERS)]
    chosen = {one.target: one for one in best}
    found = (_judged(one, report, results, chosen.get(one.target), ceilings) for one in asked)
    return (*found, *_unseen(report, results))


def _unseen(report: Report, results: Sequence[Result]) -> Iterator[Requirement]:
    """For each target, the causes that are expected of it and were not seen."""
    missed: dict[str, list[Result]] = {}
    for one in results:
        if one.expected is not None and one.cause is not one.expected and not one.untried:
            missed.setdefault(one.target, []).append(one)
    for target, mine in missed.items():
        wanted = tuple(dict.fromkeys(one.expected.value for one in mine if one.expected is not None))
        known = not any(one.works is None for one in mine)
        works = any(one.works for one in mine)
        others = ", ".join(dict.fromkeys(one.cause.value for one in mine if one.cause is not None and not one.works))
        seen = " and ".join(filter(None, ("it works" if works else "", f"{others} was seen" if others else "")))
        why = seen if known else f"whether it shows is not known: {_lacking(report, mine)}"
        origin = mine[0].origin
        yield Requirement(
            target=target,
            name=EXPECT,
            wanted=wanted,
            seen=() if known else None,
            met=False if known else None,
            text=f"The suite expects {', '.join(wanted)}, and {why or 'it was not seen'}.",
            file=origin.file if origin else "",
            line=origin.line if origin else 0,
            column=origin.column if origin else 0,
        )


def _for_all(wanted: int, results: Iterable[Result], ceilings: Sequence[Ceiling]) -> Iterator[Requirement]:
    """The same number of workers of every target, those left out that only stand in for another one, or shall fail."""
    named = [one.target for one in results if one.expected is None and not one.untried]
    named += [one.target for one in ceilings]
    stand_in = {one.target for one in ceilings if one.sufficient is None}
    for target in dict.fromkeys(named):
        if target not in stand_in:
            yield Requirement(target=target, name=WORKERS, wanted=wanted)


def _judged(
    asked: Requirement, report: Report, results: Sequence[Result], best: Best | None, ceilings: Sequence[Ceiling]
) -> Requirement:
    bare = replace(asked, seen=None, met=None, text="")
    mine = [one for one in results if one.target == asked.target]
    if asked.name == WORKERS:
        return _workers(bare, _lacking(report, mine), best, [one for one in ceilings if one.target == asked.target])
    found = next((one for one in mine if best is not None and one.configuration == best.configuration), None)
    if asked.name == FORBID:
        return _forbidden(bare, report, mine, found)
    if found is None:
        what = "How soon its tools are listed" if asked.name == LATENCY else "Which tools it lists"
        return replace(bare, text=f"{what} is not known: {_lacking(report, mine)}.")
    return _latency(bare, found) if asked.name == LATENCY else _tools(bare, found)


def _lacking(report: Report, mine: Sequence[Result]) -> str:
    """Why a target has no working configuration, as half a sentence."""
    if report.interrupted is not None:
        return "the run was interrupted" if report.interrupted == "interrupted" else "the deadline of the run passed"
    if any(one.works is None and one.cause is Cause.RATE_LIMITED for one in mine):
        return "the server throttled it"
    causes = ", ".join(dict.fromkeys(one.cause.value for one in mine if one.cause is not None))
    return f"no configuration works ({causes})" if causes else "no configuration works"


def _workers(asked: Requirement, lacking: str, best: Best | None, measured: Sequence[Ceiling]) -> Requirement:
    wanted = asked.wanted if isinstance(asked.wanted, int) else 0
    noun = f"{plural(wanted, 'parallel worker')} {'is' if wanted == 1 else 'are'} required"
    # What an endpoint says of another configuration is no proof for the one to use.
    fitting = [one for one in measured if best is None or one.configuration == best.configuration]
    if not fitting:
        why = "its ceiling was not measured" if best is not None and "interrupted" not in lacking else lacking
        return replace(asked, text=f"{noun}, and how many are safe is not known: {why}.")
    ceiling = min(fitting, key=lambda one: one.recommended_workers)
    if nothing_accepted(ceiling):
        return replace(asked, text=f"{noun}, and how many are safe is not known. {answer(ceiling)}.")
    safe = ceiling.recommended_workers
    are = "is" if safe == 1 else "are"
    if safe >= wanted:
        return replace(asked, seen=safe, met=True, text=f"{noun}, and {safe} {are} safe.")
    if ceiling.limiter in (Kind.NONE, Kind.UNKNOWN) and ceiling.stopped is not Stop.RESOLVED:
        why = f"measuring ended early ({ceiling.stopped.value})"
        return replace(asked, seen=safe, text=f"{noun}; {safe} {are} known to be safe, more is not known: {why}.")
    return replace(asked, seen=safe, met=False, text=f"{noun}, and only {safe} {are} safe.")


def _latency(asked: Requirement, result: Result) -> Requirement:
    took = round(sum(trace.elapsed_s for trace in result.stages if trace.stage in WAITED_FOR), 3)
    wanted = float(asked.wanted) if isinstance(asked.wanted, int | float) else 0.0
    met = took <= wanted
    text = f"Its tools must be listed within {number(wanted, 4)} s, and that took {number(took, 4)} s"
    parts = ", ".join(
        f"{trace.stage.value} {number(trace.elapsed_s, 3)} s" for trace in result.stages if trace.stage in WAITED_FOR
    )
    return replace(asked, seen=took, met=met, text=f"{text} ({parts}).")


def _tools(asked: Requirement, result: Result) -> Requirement:
    wanted = asked.wanted if isinstance(asked.wanted, tuple) else ()
    listing = trace_of(result.stages, Stage.LIST)
    listed = listing.facts.get("tools") if listing else None
    if not isinstance(listed, tuple):
        return replace(asked, text="Which tools it lists is not known.")
    seen = tuple(one for one in wanted if one in listed)
    missing = [one for one in wanted if one not in listed]
    if not missing:
        words = "The tool that must be listed is." if len(wanted) == 1 else f"All {len(wanted)} tools are listed."
        return replace(asked, seen=seen, met=True, text=words)
    told = []
    for one in missing:
        near = nearest_tool(one, listed)
        told.append(f"{one} (did you mean {near}?)" if near else one)
    text = f"Not among the {plural(len(listed), 'tool')} that it lists: {', '.join(told)}."
    return replace(asked, seen=seen, met=False, text=text)


def _forbidden(asked: Requirement, report: Report, mine: Sequence[Result], best: Result | None) -> Requirement:
    """Of a target that has no working configuration, whatever stands against any of its configurations counts."""
    wanted = asked.wanted if isinstance(asked.wanted, tuple) else ()
    examined = mine if best is None else [best]
    found: list[Finding] = [one for result in examined for one in (*result.findings, *result.notes)]
    seen = tuple(name for name in wanted if any(name in (one.check, one.cause.value) for one in found))
    if seen:
        told = [one for one in found if {one.check, one.cause.value} & set(seen)]
        titles = "; ".join(dict.fromkeys(f"{one.title} [{one.check}]" for one in told))
        return replace(asked, seen=seen, met=False, text=f"Forbidden, and seen: {titles}.")
    if best is None:
        names = ", ".join(wanted)
        return replace(asked, text=f"Whether {names} would show is not known: {_lacking(report, mine)}.")
    return replace(asked, seen=(), met=True, text="Nothing that is forbidden was seen.")
