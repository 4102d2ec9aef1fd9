"""The last word on a report: what every result and ceiling means, what to use, and the exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

from mcpdoctor import defects
from mcpdoctor.catalogue import EVERY_OTHER, About, Catalogue
from mcpdoctor.diagnosis import choose, deciding, judge, pointed
from mcpdoctor.limits import compare_ceilings, judge_ceilings, nothing_accepted
from mcpdoctor.model import Best, Fact, Finding, Report, Result, Severity, Stage, Trace, Verdict
from mcpdoctor.requirements import judged as judged_requirements
from mcpdoctor.requirements import workers_of


def conclude(report: Report, catalogue: Catalogue, fail_on: Severity | None = Severity.ERROR) -> Report:
    """Judge a report: findings of results and ceilings, the best configuration of each target, the exit code.

    Args:
        report: evidence; what an earlier judgement wrote into it is replaced.
        catalogue: the checks.
        fail_on: the least severity that fails a run when it stands against a best configuration; None for never.
    """
    judged = (_told(result, catalogue) for result in judge(report.results, catalogue))
    packages = report.environment.packages
    results = tuple(
        _noted(replace(one, findings=(*one.findings, *_defects(one, packages, catalogue)))) for one in judged
    )
    best = choose(results)
    required = workers_of(report)
    ceilings = compare_ceilings(report.ceilings, required, catalogue)
    limits = judge_ceilings(ceilings, required, catalogue)
    asked = judged_requirements(report, results, best, ceilings)
    others = tuple(one for one in report.findings if _about(one, catalogue) is not About.CEILING)
    report = replace(
        report, results=results, best=best, ceilings=ceilings, requirements=asked, findings=(*others, *limits)
    )
    code = exit_code(report, results, best, fail_on)
    if code == 0 and fail_on is not None and any(one.severity.weight >= fail_on.weight for one in limits):
        code = 1
    return replace(report, exit_code=code)


def _noted(result: Result) -> Result:
    """A result with what is merely worth knowing apart: a configuration that is healthy has no finding."""
    notes = tuple(one for one in result.findings if result.works and one.severity is Severity.INFO)
    return replace(result, findings=tuple(one for one in result.findings if one not in notes), notes=notes)


def _told(result: Result, catalogue: Catalogue) -> Result:
    """A result whose command failed in a way that only its own words explain: a log is read as `explain` reads it."""
    words = [line for trace in result.stages if "started" in trace.facts for line in _words(trace)]
    errors = [one for one in result.findings if one.severity is Severity.ERROR]
    last_resort = all(EVERY_OTHER in catalogue.checks[one.check].after for one in errors)
    if result.works is not False or not words or not last_resort:
        return result
    from mcpdoctor import explanation  # not needed otherwise, and it takes its time

    told = explanation.explain("\n".join(words), catalogue=catalogue)
    if not told.explained:
        return result
    first = told.findings[0]
    found = pointed(first, catalogue.checks[first.check], {}, result.origin)
    others = tuple(one for one in result.findings if one not in errors)
    return replace(result, cause=told.cause, findings=(found, *others))


def _defects(result: Result, packages: Mapping[str, str], catalogue: Catalogue) -> tuple[Finding, ...]:
    """What the installed versions add to a failure of our own client; nothing where that did not fail by them.

    Only a client that goes on waiting after it was refused shows the hang: other refusals come out of it well. A
    command of an entry runs in an environment of its own, and what was recorded in a program is told with it.
    """
    failed = next((one for one in result.stages if one.verdict is Verdict.FAILED), None)
    if result.works is not False or failed is None or "command_found" in failed.facts or "recorded" in failed.facts:
        return ()
    exchange = deciding(failed)
    hangs = any(link.type.endswith("TimeoutError") for chain in failed.failures for link in chain)
    facts: dict[str, Fact] = {
        "library": result.configuration.signed and failed.stage in (Stage.OPEN, Stage.LIST, Stage.CALL),
        "refused": exchange is not None and exchange.complete and defects.refused(exchange.status),
        "waited": hangs,
    }
    return defects.notes(catalogue, packages, facts, ())


def _words(trace: Trace) -> Iterator[str]:
    """What a command said: on standard error, and in the error that it answered with."""
    if words := str(trace.facts.get("words") or ""):
        yield words
    if not trace.facts.get("ended"):
        for chain in trace.failures:
            if chain[-1].type.endswith("McpError"):
                yield f"{chain[-1].type}: {chain[-1].message}"


def _about(finding: Finding, catalogue: Catalogue) -> About | None:
    check = catalogue.checks.get(finding.check)
    return check.about if check else None


def exit_code(report: Report, results: Sequence[Result], best: Sequence[Best], fail_on: Severity | None) -> int:
    """0 where every target is as wanted, 1 where one is not or the run was interrupted, 3 where nothing was examined.

    A result of which nothing was tried (an entry of a file that is switched off, or a command that may not be started)
    says nothing.

    A target is as wanted when it has a working configuration without a finding at or above `fail_on`, and every
    configuration that a suite expects to fail fails with the cause it names. Where only ceilings were measured, it is
    one of which a session was opened. What is required of it is known to be given, whatever `fail_on` says.
    """
    if (report.lint or report.lint_files) and not results and not report.ceilings:
        return int(fail_on is not None and any(one.severity.weight >= fail_on.weight for one in report.lint))
    results = [result for result in results if not result.untried]
    if not results and not report.ceilings:
        return 3 if report.interrupted is None else 1
    if any(trace.verdict is Verdict.BROKEN for result in results for trace in result.stages):
        return 70
    if report.interrupted is not None:
        return 1
    chosen = {one.target: one.configuration for one in best}
    opened = {one.target for one in report.ceilings if not nothing_accepted(one)}
    if _lacking(report, set(chosen), opened) or any(not one.met for one in report.requirements):
        return 1
    for target in {result.target for result in results}:
        mine = [result for result in results if result.target == target]
        if any(result.expected is not None and result.cause is not result.expected for result in mine):
            return 1
        if all(result.expected is not None for result in mine):
            continue
        if target not in chosen and target in opened:
            continue
        found = next((result for result in mine if result.configuration == chosen.get(target)), None)
        if found is None or (
            fail_on is not None and any(one.severity.weight >= fail_on.weight for one in found.findings)
        ):
            return 1
    return 0


def _lacking(report: Report, chosen: Set[str], opened: Set[str]) -> bool:
    """Whether nothing opens a session to a target that was measured, or the required workers are not proved safe.

    Args:
        report: the report.
        chosen: targets that have a working configuration.
        opened: targets to which a session was opened while they were measured.
    """
    measured = {one.target for one in report.ceilings}
    if measured - opened - chosen:
        return True
    if report.required_workers is None:
        return False
    return bool(chosen - measured) or any(one.sufficient is False for one in report.ceilings)
