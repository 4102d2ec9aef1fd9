"""What measured ceilings mean: in words, as facts, and as findings of the checks that compare them. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from mcpdoctor.catalogue import About, Catalogue
from mcpdoctor.diagnosis import finding_of, fires, silenced
from mcpdoctor.endpoints import Quota
from mcpdoctor.model import Ceiling, Configuration, Fact, Finding
from mcpdoctor.samples import Kind, Operation, Outcome, Shape, Stated, Stop

APART = 1.2
"""A documented rate that is off by no more than this factor agrees with what was observed."""

EXACT = 6
"""Digits of a number that somebody states; of one that was measured two are enough."""

LIMITS = {
    Kind.SESSIONS: "a limit on sessions",
    Kind.IN_FLIGHT: "a limit on requests in flight",
    Kind.RATE: "a limit on the rate",
    Kind.NONE: "no limit at all",
}
"""What each kind is, in words."""

KINDS = {
    Kind.SESSIONS: "sessions",
    Kind.IN_FLIGHT: "requests in flight",
    Kind.RATE: "rate",
    Kind.NONE: "none seen",
    Kind.UNKNOWN: "unknown",
}
"""The same in a word or two, for tables."""

_SHAPES = {
    Shape.TOKEN_BUCKET: "token bucket",
    Shape.FIXED_WINDOW: "fixed window",
    Shape.SLIDING_WINDOW: "sliding window",
}


Required = int | Mapping[str, int] | None
"""How many parallel workers were asked for: of every target, or of which; None where nothing was."""


def compare_ceilings(ceilings: Sequence[Ceiling], required: Required, catalogue: Catalogue) -> tuple[Ceiling, ...]:
    """The ceilings, each with what is documented of it, and whether it is enough.

    Args:
        ceilings: as measured; what an earlier comparison wrote into them is replaced.
        required: how many parallel workers were asked for.
        catalogue: the documented quotas.
    """
    measured = _measured(ceilings, catalogue)
    compared = []
    for one in ceilings:
        quota = _quota(one.configuration, catalogue)
        words = documented(one.configuration, quota)
        compared.append(
            replace(
                one,
                documented=words,
                documented_as_of=quota.as_of if words else "",
                documented_source=quota.source if words else "",
                sufficient=_sufficient(one, required, measured, catalogue),
            )
        )
    return tuple(compared)


def judge_ceilings(ceilings: Sequence[Ceiling], required: Required, catalogue: Catalogue) -> tuple[Finding, ...]:
    """The findings about ceilings, in their order.

    Args:
        ceilings: as measured.
        required: how many parallel workers were asked for.
        catalogue: the checks, and the documented quotas.
    """
    measured = _measured(ceilings, catalogue)
    found: list[Finding] = []
    for one in ceilings:
        facts = ceiling_facts(one, required, measured, catalogue)
        fired = [
            (check, finding_of(check, facts))
            for check in catalogue.checks.values()
            if check.about is About.CEILING and fires(check.when, facts)
        ]
        found += [finding for check, finding in fired if not silenced(check, [other for other, _ in fired])]
    return tuple(dict.fromkeys(found))


def ceiling_facts(
    ceiling: Ceiling, required: Required, measured: Iterable[str], catalogue: Catalogue
) -> dict[str, Fact]:
    """What checks compare and their texts name.

    Args:
        ceiling: as measured.
        required: how many parallel workers were asked for.
        measured: names of the endpoints that were measured in the same run.
        catalogue: the documented quotas.
    """
    configuration = ceiling.configuration
    quota = _quota(configuration, catalogue)
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
        **_failures(ceiling),
        "stopped": ceiling.stopped.value,
        "recommended_workers": ceiling.recommended_workers,
        "required_workers": required_of(required, ceiling.target),
        "workers_missing": _sufficient(ceiling, required, measured, catalogue) is False,
        "documented": documented(configuration, quota) or "nothing",
        "differs": differs is not None,
        "difference": differs or "",
        "quota_source": quota.source,
        "quota_as_of": quota.as_of,
        "evidence": costs(ceiling),
    }


def _failures(ceiling: Ceiling) -> dict[str, Fact]:
    """How many calls failed for a reason that is no limit, and what most failures were."""
    calls = [one for one in ceiling.samples if one.operation is Operation.CALL]
    failed = sum(one.outcome is Outcome.FAILED for one in calls)
    bad = [one for one in ceiling.samples if one.outcome is Outcome.FAILED or one.troubled]
    kinds = Counter(one.error or f"http-{one.status}" for one in bad)
    often = max(kinds, key=lambda kind: kinds[kind], default="")
    return {
        "calls": len(calls),
        "failed_calls": failed,
        "failed_share": failed / len(calls) if calls else 0.0,
        "failure": re.sub(r"^http-", "HTTP ", often) or "none",
    }


def _measured(ceilings: Iterable[Ceiling], catalogue: Catalogue) -> set[str]:
    """Names of the endpoints that were measured."""
    return {match.endpoint.name for one in ceilings if (match := catalogue.match(one.configuration.endpoint))}


def _quota(configuration: Configuration, catalogue: Catalogue) -> Quota:
    """What the owner of an endpoint publishes of its limits."""
    match = catalogue.match(configuration.endpoint)
    return match.endpoint.quota if match and match.endpoint.quota.published else Quota()


def required_of(required: Required, target: str) -> int | None:
    """How many parallel workers were asked for of one target."""
    return required.get(target) if isinstance(required, Mapping) else required


def _sufficient(ceiling: Ceiling, required: Required, measured: Iterable[str], catalogue: Catalogue) -> bool | None:
    """Whether the required workers are safe.

    None where none were required; and where they are required of every target, and this endpoint only stands in for
    another one of the same run: it need not carry the load of that one.
    """
    match = catalogue.match(ceiling.configuration.endpoint)
    wanted = required_of(required, ceiling.target)
    of_all = not isinstance(required, Mapping)
    if wanted is None or (of_all and match and set(match.endpoint.fallback_for) & set(measured)):
        return None
    return ceiling.recommended_workers >= wanted and not nothing_accepted(ceiling)


def caller(configuration: Configuration) -> str:
    """Who called, in words."""
    return f"signed with {configuration.credential}" if configuration.signed else "unsigned"


def observed(ceiling: Ceiling) -> str:
    """What was found, as half a sentence."""
    most = ceiling.highest_clean
    if ceiling.limiter is Kind.RATE:
        rate = "some rate" if ceiling.rate_per_s is None else per_second(ceiling.rate_per_s)
        return rate if ceiling.burst is None else f"{rate} and {ceiling.burst} at once after a pause"
    if ceiling.limiter is Kind.SESSIONS:
        return f"{plural(most, 'session')} at a time"
    if ceiling.limiter is Kind.IN_FLIGHT:
        return f"{plural(most, 'request')} at a time{', streams of sessions included' if ceiling.streams else ''}"
    if ceiling.limiter is Kind.NONE:
        return f"no limit up to {most} at a time"
    return f"some limit that could not be named; {most} at a time {'was' if most == 1 else 'were'} accepted"


def answer(ceiling: Ceiling) -> str:
    """What was found, how sure that is and what it cost, as a sentence without its stop."""
    spent, sure = costs(ceiling), f"{percent(ceiling.confidence)} sure"
    if nothing_accepted(ceiling):
        return f"Nothing was measured: no {'session was opened' if ceiling.requests else 'request was sent'} ({spent})"
    if ceiling.limiter is Kind.UNKNOWN:
        most = ceiling.highest_clean
        weights = ", ".join(f"{KINDS[kind]} {percent(weight)}" for kind, weight in _likeliest(ceiling))
        known = f": {most} at a time {'was' if most == 1 else 'were'} accepted"
        return f"{_undecided(ceiling)} ({'; '.join(filter(None, (weights, spent)))}){known}"
    if ceiling.limiter is Kind.NONE:
        noun = "request" if ceiling.session_requests is None else "session"
        seen = f"none seen, and what was refused was no limit, {sure}" if ceiling.refused else "none seen"
        return f"Not reached: at least {plural(ceiling.highest_clean, noun)} at a time ({seen}; {spent})"
    kind = LIMITS[ceiling.limiter].removeprefix("a ")
    shape = f": {shape_of(ceiling)}" if ceiling.limiter is Kind.RATE else ""
    return f"{observed(ceiling)} ({'; '.join(filter(None, (f'{kind}{shape}, {sure}', _interval(ceiling), spent)))})"


def nothing_accepted(ceiling: Ceiling) -> bool:
    """Whether nothing at all is known to be allowed."""
    return ceiling.highest_clean < 1 and not (ceiling.limiter is Kind.RATE and ceiling.rate_per_s is not None)


def costs(ceiling: Ceiling) -> str:
    """What the measurement took."""
    return f"{plural(ceiling.requests, 'request')}, {ceiling.refused} refused, {ceiling.elapsed_s:.0f} s"


def shape_of(ceiling: Ceiling) -> str:
    """What a limit on a rate is made of, as far as it is clear."""
    names = [_SHAPES[shape] for shape in Shape if shape.value in ceiling.indistinct]
    if names == ["fixed window", "sliding window"]:
        return "window type unknown"
    if len(names) > 1:
        return "token bucket or window: type unknown" if len(names) == 3 else f"{' or '.join(names)}: type unknown"
    likeliest = max(ceiling.shapes, key=lambda shape: ceiling.shapes[shape], default=None)
    return _SHAPES[likeliest] if likeliest is not None else "type unknown"


def _undecided(ceiling: Ceiling) -> str:
    """Between what it could not be decided."""
    # Where something was refused and yet there is no limit, strays were.
    words = {**LIMITS, **({Kind.NONE: "refusals by chance"} if ceiling.refused else {})}
    names = [words[kind] for kind, _ in _likeliest(ceiling)]
    if len(names) > 1:
        return f"Cannot tell {names[0]} from {' or '.join(names[1:])}"
    return f"Not sure of the kind of limit; most likely {names[0]}" if names else "Cannot tell the kind of limit"


def _likeliest(ceiling: Ceiling) -> list[tuple[Kind, float]]:
    """The kinds that could not be ruled out, the likeliest first."""
    weights = sorted(ceiling.posterior.items(), key=lambda one: -one[1])
    return [one for one in weights if one[0] in ceiling.indistinct and one[0] in LIMITS] or [
        one for one in weights[:1] if one[0] in LIMITS
    ]


def _interval(ceiling: Ceiling) -> str:
    """The 95 % interval, where it tells more than the one value does."""
    if ceiling.interval is None:
        return ""
    low, high = ceiling.interval
    if ceiling.limiter is Kind.RATE:
        span = _span(low, high)
        bursts = ceiling.burst_interval or (0, 0)
        more = f", {bursts[0]} to {bursts[1]} at once" if bursts[0] != bursts[1] else ""
        return f"95 % interval {span} requests/s{more}"
    if low == high == ceiling.highest_clean:
        return ""
    return f"95 % interval {_span(low, high)}"


def _span(low: float, high: float) -> str:
    """Two numbers with as many digits as it takes to tell them apart."""
    pairs = [(number(low, digits), number(high, digits)) for digits in (2, 3, 4)]
    one, other = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return one if one == other else f"{one} to {other}"


def stated(limits: Iterable[Stated]) -> str:
    """What the headers of a server say of its limits, in words; empty where they say nothing that lasts."""
    words = []
    for one in limits:
        if one.requests is None and one.window_s is None:
            continue
        count = "some" if one.requests is None else number(one.requests, EXACT)
        noun = "request" if one.requests == 1 else "requests"
        window = "a window of unknown length" if one.window_s is None else f"{number(one.window_s, EXACT)} s"
        words.append(f"{count} {noun} in {window}" + (f" (policy {one.name})" if one.name else ""))
    return ", ".join(dict.fromkeys(words))


ENDINGS = {
    Stop.RESOLVED: "",
    Stop.BUDGET: "Stopped early: the next step might have cost more requests or refusals than --budget allows. A "
    "larger one tells more.",
    Stop.DEADLINE: "Stopped early: the time was nearly up, or the server asked for a longer pause than was left. More "
    "seconds tell more, such as --budget seconds=1200.",
    Stop.FAILURE: "Stopped early: several times in a row the server failed or did not answer, so it was left alone. "
    "Measure again when it is well, with --quick or a smaller --max.",
    Stop.INTERRUPTED: "Stopped early: it was interrupted. This is what was known by then.",
}
"""Why a search ended before it had nothing more to learn, and what to do."""


def documented(configuration: Configuration, quota: Quota) -> str:
    """The documented quota of one caller, in words; empty where nothing is documented."""
    if not configuration.signed:
        return per_second(quota.unsigned_per_s, EXACT) if quota.unsigned_per_s else ""
    parts = [
        per_second(quota.signed_per_s, EXACT) if quota.signed_per_s else "",
        plural(quota.signed_sessions, "session") if quota.signed_sessions else "",
        plural(quota.signed_connections, "connection") if quota.signed_connections else "",
    ]
    return ", ".join(filter(None, parts))


def difference(ceiling: Ceiling, quota: Quota) -> str | None:
    """Where what was observed and what is documented disagree, as a sentence without its stop; None where they agree.

    A ceiling that was not reached disagrees with nothing.
    """
    signed = ceiling.configuration.signed
    rate = quota.signed_per_s if signed else quota.unsigned_per_s
    if ceiling.limiter is Kind.RATE:
        low, high = ceiling.interval or (0.0, math.inf)
        if rate is None or ceiling.rate_per_s is None or low / APART <= rate <= high * APART:
            return None
        return f"{per_second(ceiling.rate_per_s)} were observed where {per_second(rate, EXACT)} are documented"
    if ceiling.limiter not in (Kind.SESSIONS, Kind.IN_FLIGHT):
        return None
    held = ceiling.limiter is Kind.SESSIONS
    noun, places = ("session", quota.signed_sessions) if held else ("connection", quota.signed_connections)
    if signed and places is not None:
        were = "was" if ceiling.highest_clean == 1 else "were"
        differs = places != ceiling.highest_clean
        return f"{observed(ceiling)} {were} observed where {plural(places, noun)} are documented" if differs else None
    if rate is None:
        return None
    return f"a limit of {observed(ceiling)} was observed where the only figure documented is {per_second(rate, EXACT)}"


def plural(count: int, noun: str) -> str:
    """A count and what is counted."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def percent(share: float) -> str:
    """A share in percent; nothing that was observed is ever quite certain, and nothing quite impossible."""
    if not 0 <= share <= 1:  # a report of somebody else
        return "? %"
    if share > 0.995:
        return "over 99 %"
    return f"{min(99, round(100 * share))} %" if share >= 0.01 else "under 1 %"


def number(value: float, digits: int = 2) -> str:
    """A number with so many digits, and never in powers of ten."""
    rounded = float(f"{value:.{digits}g}")
    if not math.isfinite(rounded) or abs(value) >= 10**15:
        return f"{value:.{digits}g}"
    return f"{value:.0f}" if abs(rounded) >= 10**digits else f"{rounded:.10f}".rstrip("0").rstrip(".")


def per_second(rate: float, digits: int = 2) -> str:
    """A rate."""
    words = number(rate, digits)
    return f"{words} request/s" if words == "1" else f"{words} requests/s"
