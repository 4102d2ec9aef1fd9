"""Traces of one cell, put together: every stage has a verdict, and a command is told beside its endpoint."""

from __future__ import annotations

from dataclasses import replace

from mcpdoctor.lanes import THROTTLED
from mcpdoctor.model import Stage, Trace, Verdict

ON_THE_WAY = (Stage.DNS, Stage.TCP, Stage.TLS, Stage.HTTP, Stage.AUTH)
"""Stages that a command goes through by itself, and shows nothing of."""

_OF_A_CALL = ("tool_failed", "tool_message")


def complete(traces: list[Trace], interrupted: str | None) -> tuple[Trace, ...]:
    """Every stage has a verdict: what did not come to pass is blocked or skipped, with the reason."""
    found = {trace.stage: trace for trace in traces}
    ended = next((trace for trace in traces if trace.verdict in (Verdict.FAILED, Verdict.BROKEN)), None)
    held = next((trace for trace in traces if trace.verdict is Verdict.SKIPPED and trace.reason == THROTTLED), None)
    if ended is not None:
        verdict, reason = Verdict.BLOCKED, f"{ended.stage} failed"
    elif held is not None:
        verdict, reason = Verdict.SKIPPED, held.reason or ""
    elif interrupted is not None:
        why = "the run was interrupted" if interrupted == "interrupted" else "the deadline of the run passed"
        verdict, reason = Verdict.SKIPPED, why
    else:
        verdict, reason = Verdict.BROKEN, "a fault of mcpdoctor itself: it lost this stage"
    return tuple(found.get(stage) or Trace(stage=stage, verdict=verdict, reason=reason) for stage in Stage)


def merged(traces: list[Trace], direct: list[Trace]) -> list[Trace]:
    """What a command showed, with what the direct way to its endpoint showed.

    A trace of the direct way takes the place of that of the command where it failed; whether the direct way works is a
    fact of every stage that failed with the command.
    """
    failed = {one.stage: one for one in direct if one.verdict in (Verdict.FAILED, Verdict.BROKEN)}
    reached = {one.stage: one for one in direct}
    listed = reached.get(Stage.LIST)
    works = not failed and listed is not None and listed.verdict is Verdict.PASSED
    merged = [one for one in direct if one.stage in ON_THE_WAY]
    for one in traces:
        other = failed.get(one.stage)
        note = " The endpoint itself answers well when it is asked directly." if works else ""
        facts = {**one.facts, **(other.facts if other else {}), "direct_works": works, "direct_note": note}
        if other is not None and one.stage not in ON_THE_WAY and one.stage is not Stage.PARSE:
            both = (*other.failures, *one.failures)
            facts = {name: value for name, value in facts.items() if name not in _OF_A_CALL or name in other.facts}
            merged.append(replace(other, facts=facts, failures=both))
        elif one.verdict is Verdict.FAILED:
            merged.append(replace(one, facts=facts))
        else:
            merged.append(one)
    held = {one.stage for one in merged}
    return [*merged, *(one for stage, one in failed.items() if stage not in held)]
