"""What measured ceilings mean: their facts, and the findings of the checks that compare them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from mcpdoctor.catalogue import About, Catalogue, Condition, Quota
from mcpdoctor.diagnosis import Said, finding_of, matches, silenced
from mcpdoctor.model import Ceiling, Configuration, Fact, Finding, Stage, Trace, Verdict
from mcpdoctor.samples import Kind

APART = 1.2
"""A documented rate that is off by no more than this factor agrees with what was observed."""

_NOTHING = Trace(stage=Stage.CALL, verdict=Verdict.PASSED)


def judge_ceilings(ceilings: Sequence[Ceiling], required: int | None, catalogue: Catalogue) -> tuple[Finding, ...]:
    """The findings about ceilings, in their order.

    Args:
        ceilings: as measured.
        required: how many parallel workers were asked for; None where nothing was.
        catalogue: the checks, and the documented quotas.
    """
    measured = {match.endpoint.name for one in ceilings if (match := catalogue.match(one.configuration.endpoint))}
    found: list[Finding] = []
    for one in ceilings:
        facts = ceiling_facts(one, required, measured, catalogue)
        fired = [
            (check, finding_of(check, facts))
            for check in catalogue.checks.values()
            if check.about is About.CEILING and _fires(check.when, facts)
        ]
        found += [finding for check, finding in fired if not silenced(check, [other for other, _ in fired])]
    return tuple(dict.fromkeys(found))


def _fires(conditions: Iterable[Condition], facts: Mapping[str, Fact]) -> bool:
    nobody = Said(kind="none")
    return any(matches(one, _NOTHING, None, nobody, facts) is not None for one in conditions)


def ceiling_facts(
    ceiling: Ceiling, required: int | None, measured: Iterable[str], catalogue: Catalogue
) -> dict[str, Fact]:
    """What checks compare and their texts name.

    Args:
        ceiling: as measured.
        required: how many parallel workers were asked for.
        measured: names of the endpoints that were measured in the same run.
        catalogue: the documented quotas.
    """
    configuration = ceiling.configuration
    match = catalogue.match(configuration.endpoint)
    stands_in = bool(match and set(match.endpoint.fallback_for) & set(measured))
    quota = match.endpoint.quota if match and match.endpoint.quota.published else Quota()
    differs = difference(ceiling, quota)
    return {
        **ceiling.facts,
        "host": urlsplit(configuration.endpoint).hostname or configuration.endpoint,
        "caller": caller(configuration),
        "signed": configuration.signed,
        "limiter": ceiling.limiter.value,
        "observed": observed(ceiling),
        "highest_clean": ceiling.highest_clean,
        "most": ceiling.most,
        "requests": ceiling.requests,
        "refused": ceiling.refused,
        "stopped": ceiling.stopped.value,
        "recommended_workers": ceiling.recommended_workers,
        "required_workers": required,
        # What only stands in for another endpoint of the same run need not carry the load of that one.
        "workers_missing": required is not None and ceiling.recommended_workers < required and not stands_in,
        "documented": documented(configuration, quota) or "nothing",
        "differs": differs is not None,
        "difference": differs or "",
        "quota_source": quota.source,
        "quota_as_of": quota.as_of,
        "evidence": f"{ceiling.requests} requests, {ceiling.refused} refused, {ceiling.elapsed_s:.0f} s",
    }


def caller(configuration: Configuration) -> str:
    """Who called, in words."""
    return f"signed with {configuration.credential}" if configuration.signed else "unsigned"


def observed(ceiling: Ceiling) -> str:
    """What was found, as half a sentence."""
    most = ceiling.highest_clean
    if ceiling.limiter is Kind.RATE and ceiling.rate_per_s is not None:
        return f"{ceiling.rate_per_s:.3g} requests/s, {ceiling.burst} at once after a pause"
    if ceiling.limiter is Kind.SESSIONS:
        return f"{_plural(most, 'session')} at a time"
    if ceiling.limiter is Kind.IN_FLIGHT:
        return f"{_plural(most, 'request')} at a time"
    if ceiling.limiter is Kind.NONE:
        return f"no limit up to {most} at a time"
    return f"some limit that could not be named; {most} at a time were accepted"


def documented(configuration: Configuration, quota: Quota) -> str:
    """The documented quota of one caller, in words; empty where nothing is documented."""
    if not configuration.signed:
        return f"{quota.unsigned_per_s:g} requests/s" if quota.unsigned_per_s else ""
    parts = [
        f"{quota.signed_per_s:g} requests/s" if quota.signed_per_s else "",
        _plural(quota.signed_sessions, "session") if quota.signed_sessions else "",
        _plural(quota.signed_connections, "connection") if quota.signed_connections else "",
    ]
    return ", ".join(filter(None, parts))


def difference(ceiling: Ceiling, quota: Quota) -> str | None:
    """Where what was observed and what is documented disagree, as a sentence without its stop; None where they agree.

    A ceiling that was not reached disagrees with nothing.
    """
    signed = ceiling.configuration.signed
    rate = quota.signed_per_s if signed else quota.unsigned_per_s
    if ceiling.limiter is Kind.RATE and ceiling.interval is not None:
        low, high = ceiling.interval
        if rate is None:
            return None
        if rate > high * APART or rate < low / APART:
            return f"{ceiling.rate_per_s:.3g} requests/s were observed where {rate:g} requests/s are documented"
        return None
    places = (quota.signed_sessions or quota.signed_connections) if signed else None
    if ceiling.limiter in (Kind.SESSIONS, Kind.IN_FLIGHT):
        if places is not None and places != ceiling.highest_clean:
            return f"{observed(ceiling)} were observed where {places} are documented"
        if places is None and rate is not None:
            return f"a limit of {observed(ceiling)} was observed where only a rate of {rate:g} requests/s is documented"
    return None


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
