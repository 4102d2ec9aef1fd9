"""Ceilings for people: for each the answer in a sentence, what follows from it, and what it was read from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from mcpdoctor.ceiling import demand
from mcpdoctor.ceiling.timeline import Arrival, arrivals, blur_s
from mcpdoctor.ceiling.workers import SHARE, workers_for_rate
from mcpdoctor.limits import (
    ENDINGS,
    EXACT,
    KINDS,
    answer,
    caller,
    nothing_accepted,
    number,
    observed,
    per_second,
    percent,
    plural,
    required_of,
    stated,
)
from mcpdoctor.model import Ceiling, Report
from mcpdoctor.render.drawing import PLOT_COLUMNS, Paint, Plot, bands, plain, rows, shortened, wrapped
from mcpdoctor.requirements import workers_of
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Shape, Stop

HEADERS = ("target", "caller", "limit", "kind", "sure", "workers", "requests", "refused", "time")

THINK_S = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Seconds between the calls of a worker for which the table under a rate has a column."""

MOST_DRAWN = 5_000
"""Requests of which it is worked out how many were in flight at a time: the work grows with their square."""

_Named = TypeVar("_Named", Kind, Shape)
_REQUIRED = {True: "green", False: "red", None: None}

_AGAIN = {
    Stop.RESOLVED: "measure again at another time",
    Stop.BUDGET: "measure again with a larger --budget",
    Stop.DEADLINE: "measure again with more seconds in --budget",
    Stop.FAILURE: "measure again when the server is well",
    Stop.INTERRUPTED: "measure again to the end",
}
"""What to do where the kind of limit stayed unknown."""


def short(report: Report) -> Iterator[str]:
    """One line for each ceiling."""
    for one, name in zip(report.ceilings, _names(report.ceilings), strict=True):
        use = "use up to" if one.limiter is Kind.NONE else "use"
        words = f"{observed(one)}, {use} {plural(one.recommended_workers, 'worker')}"
        if nothing_accepted(one):
            words = "nothing was measured"
        wanted = required_of(workers_of(report), one.target) or 0
        missing = "" if one.sufficient is not False else f" ({_are(wanted)} required)"
        yield f"{name} {plain(caller(one.configuration))}: {words}{missing}"


def ceilings(report: Report, paint: Paint, width: int, verbose: int = 0) -> Iterator[str]:
    """The parts of a report that tell of its ceilings.

    Args:
        report: judged.
        paint: colours.
        width: columns of the terminal.
        verbose: 1 adds the weight of every kind, 2 every request.

    Yields:
        A table where there are several ceilings; then each by itself.
    """
    if len(report.ceilings) > 1:
        yield _summary(report.ceilings, width)
    for one in report.ceilings:
        parts = [_answer(one, required_of(workers_of(report), one.target), paint, width)]
        parts.append("\n".join(f"  {line}" for line in bands(plot(one), paint)))
        if verbose:
            parts.append("\n".join(wrapped(_posterior(one), width)))
        if verbose > 1:
            parts.append("\n".join(_requests(one)))
        yield "\n\n".join(filter(None, parts))


def _names(found: Sequence[Ceiling]) -> list[str]:
    """What to call each ceiling beside its caller: the target, and its region where that tells it from another."""
    same = Counter((one.target, caller(one.configuration)) for one in found)
    return [_name(one, region=same[one.target, caller(one.configuration)] > 1) for one in found]


def _name(one: Ceiling, *, region: bool) -> str:
    """A target, with its region where that is asked for and means something: that of a signature or of the endpoint."""
    how = one.configuration
    target = plain(one.target or how.endpoint).removeprefix("https://")
    where = how.region if region and how.region and (how.signed or how.region in how.endpoint) else ""
    return f"{target} in {plain(where, 40)}" if where else target


def _summary(found: Sequence[Ceiling], width: int) -> str:
    cells = [
        (
            name,
            plain(caller(one.configuration), 40),
            _limit(one),
            KINDS[one.limiter],
            percent(one.confidence),
            "-" if nothing_accepted(one) else str(one.recommended_workers),
            str(one.requests),
            str(one.refused),
            f"{one.elapsed_s:.0f} s",
        )
        for one, name in zip(found, _names(found), strict=True)
    ]
    return rows(HEADERS, cells, width)


def _limit(one: Ceiling) -> str:
    if nothing_accepted(one):
        return "-"
    if one.limiter is Kind.RATE and one.rate_per_s is not None:
        return f"{number(one.rate_per_s)}/s" + ("" if one.burst is None else f", {one.burst} at once")
    words = {Kind.NONE: "{} or more", Kind.UNKNOWN: "{} accepted", Kind.RATE: "some rate"}
    return words.get(one.limiter, "{}").format(one.highest_clean)


def _answer(one: Ceiling, required: int | None, paint: Paint, width: int) -> str:
    """The headline, the answer, and what belongs to it."""
    who = plain(caller(one.configuration), 60)
    head = f"{shortened(_name(one, region=True), max(width - len(who) - 2, 20))}, {who}"
    lines = [paint(head, bold=True), *wrapped(f"{answer(one)}. {_advice(one)}", width)]
    if one.limiter is Kind.RATE and one.rate_per_s is not None and _load(one, 0.0) is not None:
        lines += _arithmetic(one, one.rate_per_s, width)
    if one.limiter is Kind.NONE:
        lines += wrapped(_untried(one), width)
    notes = [
        f"Documented: {plain(one.documented)}{f' ({plain(one.documented_as_of)})' if one.documented_as_of else ''}."
        if one.documented
        else "",
        f"The server states {plain(said, 400)}." if (said := stated(one.stated)) else "",
        f"The limit counts each {one.per} by itself." if one.per != "unknown" else "",
        plain(str(one.facts.get("compared", "")), 600),
        ENDINGS[one.stopped],
    ]
    for note in filter(None, notes):
        lines += wrapped(note, width)
    if required is not None:
        lines += [paint(line, fg=_REQUIRED[one.sufficient]) for line in wrapped(_required(one, required), width)]
    return "\n".join(lines)


def _required(one: Ceiling, required: int) -> str:
    need, safe = f"Required workers: {required}", f"{_are(one.recommended_workers)} safe"
    if one.sufficient is None:
        return f"{need}; not asked of an endpoint that only stands in for another one, where {safe}."
    if nothing_accepted(one):
        return f"{need}; not met."
    return f"{need}; {'met' if one.sufficient else 'not met'}: {safe}."


def _are(count: int) -> str:
    return f"{count} {'is' if count == 1 else 'are'}"


def _advice(one: Ceiling) -> str:
    """How many workers to use."""
    if nothing_accepted(one):
        return "Wait, and measure again with nothing else running." if one.requests else ""
    workers = plural(one.recommended_workers, "worker")
    if one.limiter is Kind.NONE:
        return f"Use up to {workers}."
    if one.limiter is Kind.UNKNOWN:
        return f"Use {workers}, and {_AGAIN[one.stopped]}."
    think_s = _fact(one, "think_s")
    load = _load(one, think_s) if one.limiter is Kind.RATE else None
    if load is None or one.rate_per_s is None:
        return f"Use {workers}."
    if load < 1:
        pause_s = 1 / (SHARE * one.rate_per_s) - max(0.0, one.call_s)
        return f"Use {workers}, and let it pause {number(pause_s)} s or more between its calls."
    if think_s <= 0:
        return f"Workers that call without a pause: {one.recommended_workers}."
    return f"Use {workers} that think {number(think_s)} s between their calls."


def _untried(one: Ceiling) -> str:
    """What may lie above, where no limit was met."""
    words = []
    if one.highest_clean >= one.most > 0:
        words.append(f"More than {one.most} at a time was not tried (--max).")
    if one.facts.get("quick") is True:
        words.append("Requests in flight were not tried (--quick).")
    return " ".join(words)


def _arithmetic(one: Ceiling, rate: float, width: int) -> list[str]:
    """What a rate means for workers, and for test cases: Little's law (see `ceiling.workers`)."""
    think_s = _fact(one, "think_s")
    pace = (
        f"thinks {number(think_s)} s between its calls (--think {think_s:g})"
        if think_s > 0
        else "calls without a pause"
    )
    each = number(1 / _cycle(one, think_s))
    words = f"A worker that {pace} sends up to {each} requests/s."
    if one.session_requests is not None and one.session_requests >= 0:
        count = one.session_requests + 1
        words += (
            f" A test case that opens a session of its own and makes one call sends {plural(count, 'request')}: at "
            f"{per_second(rate)} that is {_cases(rate / count)}."
        )
    loads = {think: _load(one, think) for think in THINK_S}
    columns = [
        (f"{think:g} s", f"{workers_for_rate(rate, _cycle(one, think), 1)}{'*' if load < 1 else ''}")
        for think, load in loads.items()
        if load is not None
    ]
    widths = [max(map(len, column)) for column in columns]
    lines = wrapped(words, width)
    for name, cells in zip(("think time", "workers"), zip(*columns, strict=True), strict=True):
        lines.append(
            f"    {name:<10}  " + "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
        )
    if any(load is not None and load < 1 for load in loads.values()):
        lines += wrapped("* even one is refused now and then, unless it pauses longer.", width, "    ")
    return lines


def _cases(per_s: float) -> str:
    return f"{number(per_s)} test cases a second" if per_s >= 0.1 else f"{number(60 * per_s)} test cases a minute"


def _cycle(one: Ceiling, think_s: float) -> float:
    """Seconds from one call of a worker to its next."""
    return max(1e-3, one.call_s + think_s)


def _load(one: Ceiling, think_s: float) -> float | None:
    """Workers that use the safe part of a rate, not rounded; None where the numbers make no sense."""
    rate = one.rate_per_s or 0.0
    load = SHARE * rate * _cycle(one, think_s)
    return load if rate > 0 and 0 < load < 1e9 else None


def _fact(one: Ceiling, name: str) -> float:
    value = one.facts.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 10**9 else 0.0


def _posterior(one: Ceiling) -> str:
    weights = ", ".join(f"{KINDS[kind]} {percent(weight)}" for kind, weight in _sorted(one.posterior))
    shapes = ", ".join(f"{shape.value.replace('-', ' ')} {percent(weight)}" for shape, weight in _sorted(one.shapes))
    return f"How likely each kind is: {weights or 'not known'}." + (f" If it is a rate: {shapes}." if shapes else "")


def _sorted(weights: Mapping[_Named, float]) -> list[tuple[_Named, float]]:
    return sorted(weights.items(), key=lambda pair: -pair[1])


def _requests(one: Ceiling) -> Iterator[str]:
    start = min((sample.sent_s for sample in one.samples), default=0.0)
    for sample in one.samples:
        words = [f"  {sample.sent_s - start:9.3f} s  {sample.operation.value:<6}  {sample.outcome.value:<8}"]
        words.append(f"{sample.status if sample.status is not None else '-':<4}")
        if sample.layer is not None:
            words.append(sample.layer if sample.code is None else f"{sample.layer} {sample.code}")
        if sample.error:
            words.append(plain(sample.error, 60))
        if sample.retry_after_s is not None:
            words.append(f"Retry-After {number(sample.retry_after_s, EXACT)} s")
        yield "  ".join(words).rstrip()


def plot(one: Ceiling) -> Plot:
    """What was accepted and what was refused: against time under a rate, else against how much there was at a time."""
    kind = one.limiter
    if kind is Kind.UNKNOWN:
        kind = max(one.posterior, key=lambda each: one.posterior[each], default=Kind.NONE)
    if kind is Kind.RATE or len(one.samples) > MOST_DRAWN:
        return _over_time(one.samples)
    order = arrivals(one.samples)
    held = demand.held(order)
    if kind is Kind.IN_FLIGHT or not any(low for low, _ in held):
        return _in_flight(one, order)
    return _by_level(one, order, held, "sessions at a time")


def _in_flight(one: Ceiling, order: Sequence[Arrival]) -> Plot:
    """Counted as the answer was: with standing streams where only so the numbers agree."""
    plots = [
        _by_level(one, order, demand.overlap(order, blur_s=blur_s(one.samples), streams=streams), caption)
        for streams, caption in ((False, "requests in flight"), (True, "requests and streams in flight"))
    ]
    return next((each for each in plots if _highest(each) == one.highest_clean), plots[0])


def _highest(each: Plot) -> int:
    return max((column + 1 for column, count in enumerate(each.accepted) if count), default=0)


def _by_level(one: Ceiling, order: Sequence[Arrival], demands: Sequence[demand.Demand], caption: str) -> Plot:
    """Count requests by how much there was at a time, they included: as little as it can have been."""
    asked = [(int(low), each) for each, (low, _) in zip(order, demands, strict=True) if low >= 1]
    told = [(level, each.refused is not None) for level, each in asked if each.evidence]
    top = max((level for level, _ in told), default=0)
    wide = max(1, math.ceil(top / PLOT_COLUMNS))
    counts = Counter(((level - 1) // wide, refused) for level, refused in told)
    columns = range(math.ceil(top / wide))
    marked = [level for level in (one.highest_clean, one.lowest_refused, 1, top) if level and 1 <= level <= top]
    ticks = {(level - 1) // wide: str((level - 1) // wide * wide + 1) for level in (*marked, *range(1, top + 1))}
    failed = sum(each.counted and not each.evidence and each.operation is not Operation.CLOSE for _, each in asked)
    return Plot(
        accepted=[counts[column, False] for column in columns],
        refused=[counts[column, True] for column in columns],
        ticks=ticks,
        caption=caption + (f", {wide} a column" if wide > 1 else "") + _left_out(failed),
    )


def _over_time(samples: Sequence[Sample]) -> Plot:
    """Count requests by when they were sent."""
    sent = [one for one in samples if math.isfinite(one.sent_s)]
    start = min((one.sent_s for one in sent), default=0.0)
    span_s = max((one.sent_s for one in sent), default=0.0) - start
    size = PLOT_COLUMNS if 0 < span_s < 10**9 else 1
    counts = Counter(
        (min(size - 1, int((one.sent_s - start) / span_s * size)) if size > 1 else 0, one.outcome) for one in sent
    )
    end = f"{number(span_s)} s"
    return Plot(
        accepted=[counts[column, Outcome.ACCEPTED] for column in range(size)],
        refused=[counts[column, Outcome.REFUSED] for column in range(size)],
        ticks={0: "0 s", size - len(end): end, size // 2: f"{number(span_s / 2)} s"} if size > 1 else {},
        caption=f"time, {number(span_s / size)} s a column"
        + _left_out(len(samples) - len(sent) + sum(one.outcome is Outcome.FAILED for one in sent)),
    )


def _left_out(failed: int) -> str:
    return f", {failed} failed not drawn" if failed else ""
