"""Ceilings for people: each kind has its sentence, plots show what the samples say, nothing odd breaks a drawing."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from benchmarks.simulation import World, measure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_render import ceilings, failed, finding, result

from mcpdoctor.ceiling import Costs, Settings
from mcpdoctor.limits import judge_ceilings, number, per_second, percent, stated
from mcpdoctor.model import Best, Ceiling, Configuration, Report
from mcpdoctor.render import draw, report_json
from mcpdoctor.render.ceilings import MOST_DRAWN, plot
from mcpdoctor.render.drawing import PLOT_COLUMNS, Paint, Plot, bands
from mcpdoctor.samples import Kind, Operation, Outcome, Sample, Shape, Stated, Stop
from mcpdoctor.verdict import conclude

SIGNED = Configuration(
    endpoint="https://aws-mcp.us-east-1.api.aws/mcp", region="us-east-1", service="aws-mcp", credential="default"
)
KNOWLEDGE = Configuration(endpoint="https://knowledge-mcp.global.api.aws")
EIGHTHS = " ▁▂▃▄▅▆▇█"


def sample(sent_s, outcome=Outcome.ACCEPTED, operation=Operation.CALL, took_s=0.01, **more):
    refused = {"status": 429, "layer": "http"} if outcome is Outcome.REFUSED else {"status": 200}
    return Sample(
        operation=operation, outcome=outcome, sent_s=sent_s, received_s=sent_s + took_s, **{**refused, **more}
    )


def opened(most, refusals=2):
    """As many sessions as are allowed, then some that are refused, far apart in time."""
    taken = [sample(one, operation=Operation.OPEN, session=one) for one in range(most)]
    return tuple(taken + [sample(most + n, Outcome.REFUSED, Operation.OPEN, session=most + n) for n in range(refusals)])


def ceiling(kind=Kind.SESSIONS, **changes):
    places = kind in (Kind.SESSIONS, Kind.IN_FLIGHT)
    made = Ceiling(
        target="aws-mcp",
        configuration=SIGNED,
        limiter=kind,
        confidence=0.99,
        posterior={Kind.SESSIONS: 0.99, Kind.RATE: 0.01},
        highest_clean=7,
        lowest_refused=8 if places else None,
        interval=(7, 7) if places else None,
        rate_per_s=None,
        burst=None,
        recommended_workers=5,
        requests=54,
        refused=3,
        elapsed_s=6.2,
        stopped=Stop.RESOLVED,
        most=16,
        call_s=0.01,
        session_requests=4,
        facts={"think_s": 0.0, "quick": False},
        samples=opened(7),
    )
    return replace(made, **changes)


def rate(**changes):
    kept = {
        "highest_clean": 1,
        "interval": (2.9, 3.2),
        "rate_per_s": 2.97,
        "burst": 10,
        "shapes": {Shape.TOKEN_BUCKET: 0.99, Shape.FIXED_WINDOW: 0.01},
        "recommended_workers": 1,
        "samples": (),
    }
    return ceiling(Kind.RATE, **{**kept, **changes})


def drawn(*found, width=400, verbose=0, color=False, **report):
    return draw(Report(ceilings=found, **report), "table", width=width, verbose=verbose, color=color)


def quiet(*found, **report):
    return draw(Report(ceilings=found, **report), "table", quiet=True).splitlines()


def heights(text, band):
    """The heights of a band in sixteenths, read off what was drawn."""
    lines = text.splitlines()
    bottom = next(at for at, line in enumerate(lines) if line.strip().startswith(band))
    above = lines[bottom - 1] if not lines[bottom - 1].strip(" " + EIGHTHS) else ""
    low, high = (re.sub(r"^ *[a-z]+", lambda found: " " * len(found[0]), line) for line in (lines[bottom], above))
    pairs = zip(low[12:].ljust(400), high[12:].ljust(400), strict=True)
    return [EIGHTHS.index(one) + EIGHTHS.index(other) for one, other in pairs]


# --- The sentence of each kind ---


def test_a_limit_on_sessions_is_a_number_and_how_many_workers_to_use():
    head, answer = drawn(ceiling()).splitlines()[:2]
    assert head == "aws-mcp in us-east-1, signed with default"
    assert answer == (
        "  7 sessions at a time (limit on sessions, 99 % sure; 54 requests, 3 refused, 6 s). Use 5 workers."
    )


def test_a_limit_on_requests_in_flight_counts_requests():
    said = drawn(ceiling(Kind.IN_FLIGHT, interval=(6, 8), target="https://x/mcp", configuration=KNOWLEDGE))
    assert said.startswith("x/mcp, unsigned\n")
    assert "7 requests at a time (limit on requests in flight, 99 % sure; 95 % interval 6 to 8; 54 requests" in said


def test_a_rate_says_its_shape_its_interval_and_what_it_means_for_workers():
    said = drawn(rate(call_s=0.5))
    assert "3 requests/s and 10 at once after a pause (limit on the rate: token bucket, 99 % sure; " in said
    assert "95 % interval 2.9 to 3.2 requests/s; 54 requests, 3 refused, 6 s). " in said
    assert "Workers that call without a pause: 1." in said
    assert "sends 5 requests: at 3 requests/s that is 0.59 test cases a second." in said


def test_where_no_limit_was_met_that_is_no_ceiling():
    said = drawn(ceiling(Kind.NONE, highest_clean=16, refused=0, recommended_workers=12, samples=()))
    assert "Not reached: at least 16 sessions at a time (none seen; 54 requests, 0 refused, 6 s)." in said
    assert "Use up to 12 workers." in said
    assert "More than 16 at a time was not tried (--max)." in said
    assert "--quick" not in said


def test_where_sessions_are_not_known_to_server_requests_are_counted():
    assert "at least 7 requests at a time" in drawn(ceiling(Kind.NONE, session_requests=None))


def test_refusals_without_a_limit_are_said_to_be_none():
    assert "(none seen, and what was refused was no limit, 99 % sure; 54 requests, 3" in drawn(ceiling(Kind.NONE))


def test_what_a_quick_search_did_not_try_is_said():
    assert "Requests in flight were not tried (--quick)." in drawn(ceiling(Kind.NONE, facts={"quick": True}))


def test_what_cannot_be_told_apart_is_named_with_what_to_do():
    one = ceiling(
        Kind.UNKNOWN,
        posterior={Kind.RATE: 0.524, Kind.NONE: 0.476, Kind.SESSIONS: 0.0},
        indistinct=("rate", "none-seen"),
        highest_clean=8,
        recommended_workers=6,
        stopped=Stop.BUDGET,
    )
    assert (
        "Cannot tell a limit on the rate from refusals by chance (rate 52 %, none seen 48 %; 54 requests, 3 refused, "
        "6 s): 8 at a time were accepted. Use 6 workers, and measure again with a larger --budget."
    ) in drawn(one)
    assert "from no limit at all" in drawn(replace(one, refused=0))


def test_one_kind_that_is_likely_but_not_sure_is_named_as_such():
    one = ceiling(Kind.UNKNOWN, posterior={Kind.RATE: 0.94, Kind.NONE: 0.03, Kind.SESSIONS: 0.03})
    assert "Not sure of the kind of limit; most likely a limit on the rate (rate 94 %; 54" in drawn(one)
    assert "Cannot tell the kind of limit (54 requests" in drawn(replace(one, posterior={}))


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        (3, "Nothing was measured: no session was opened (3 requests, 3 refused, 6 s). Wait"),
        (0, "Nothing was measured: no request was sent (0 requests"),
    ],
)
@pytest.mark.parametrize("kind", Kind)
def test_without_anything_accepted_no_number_of_workers_is_said(kind, requests, says):
    one = ceiling(kind, highest_clean=0, requests=requests, samples=())
    assert says in drawn(one)
    assert "Use" not in drawn(one)
    assert quiet(one) == ["aws-mcp signed with default: nothing was measured"]


@pytest.mark.parametrize(
    ("shapes", "indistinct", "says"),
    [
        ({Shape.SLIDING_WINDOW: 0.97}, (), "rate: sliding window,"),
        ({}, ("fixed-window", "sliding-window"), "rate: window type unknown,"),
        ({}, ("sliding-window", "token-bucket"), "rate: token bucket or sliding window: type unknown,"),
        ({}, tuple(Shape), "rate: token bucket or window: type unknown,"),
        ({}, (), "rate: type unknown,"),
    ],
)
def test_a_shape_is_named_where_it_is_clear(shapes, indistinct, says):
    assert says in drawn(rate(shapes=shapes, indistinct=tuple(map(str, indistinct))))


def test_a_burst_that_is_not_certain_has_its_interval_too():
    assert "2.9 to 3.2 requests/s, 9 to 11 at once;" in drawn(rate(burst_interval=(9, 11)))
    assert "at once;" not in drawn(rate(burst_interval=(10, 10)))


def test_one_of_a_thing_is_singular():
    one = ceiling(
        highest_clean=1, lowest_refused=2, interval=(1, 1), requests=1, recommended_workers=1, samples=opened(1, 1)
    )
    said = drawn(one, required_workers=1)
    assert "1 session at a time (" in said
    assert "; 1 request, 3 refused" in said
    assert "Use 1 worker." in said
    assert "full height: 1 request\n" in said
    assert "1 request at a time" in drawn(replace(one, limiter=Kind.IN_FLIGHT))
    assert "1 at a time was accepted" in drawn(replace(one, limiter=Kind.UNKNOWN))
    assert "1 request/s and 1 at once" in drawn(rate(rate_per_s=1.0, burst=1))
    assert "(2 are required)" in quiet(replace(one, sufficient=False), required_workers=2)[0]


@given(st.floats(0, 1))
def test_nothing_is_ever_a_hundred_percent_or_impossible(share):
    assert percent(share) in {"under 1 %", "over 99 %", *(f"{value} %" for value in range(1, 100))}


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "over 99 %"), (0.9949, "99 %"), (0.5, "50 %"), (0.0, "under 1 %"), (math.nan, "? %"), (7.0, "? %")],
)
def test_a_share_in_percent(share, words):
    assert percent(share) == words


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [
        (2.974, 2, "3"),
        (2.31, 2, "2.3"),
        (0.0667, 2, "0.067"),
        (123.4, 2, "123"),
        (99.7, 2, "100"),
        (1_000_000.0, 6, "1000000"),
        (12.25, 6, "12.25"),
        (0.0, 2, "0"),
        (math.inf, 2, "inf"),
        (1e300, 2, "1e+300"),
    ],
)
def test_a_number_has_as_many_digits_as_it_deserves(value, digits, words):
    assert number(value, digits) == words


def test_an_interval_has_as_many_digits_as_tell_its_ends_apart():
    assert "interval 2.98 to 3.02 requests/s" in drawn(rate(interval=(2.981, 3.019)))
    assert "interval 3 requests/s" in drawn(rate(interval=(3.0, 3.0)))


# --- What belongs to the answer ---


def test_workers_of_a_rate_are_those_of_littles_law_for_every_pace():
    think, workers = (
        line.split("  ", maxsplit=3)[-1]
        for line in drawn(rate(call_s=0.5, rate_per_s=3.0)).splitlines()
        if re.match(r" +(think time|workers) ", line)
    )
    assert [one.strip() for one in re.split(r" {2,}", think.replace("think time", "").strip())] == [
        "0 s",
        "1 s",
        "2 s",
        "5 s",
        "10 s",
    ]
    # Three quarters of 3 requests/s, times 0.5 s and the thinking, rounded down.
    assert workers.replace("workers", "").split() == ["1", "3", "5", "12", "23"]


def test_a_worker_that_is_too_fast_by_itself_is_told_to_pause():
    said = drawn(rate())
    assert "Use 1 worker, and let it pause 0.44 s or more between its calls." in said
    assert " 1*  " in said
    assert "* even one is refused now and then" in said
    assert "even one" not in drawn(rate(call_s=0.5))


def test_the_pace_of_the_user_is_in_the_answer():
    said = drawn(rate(facts={"think_s": 2.0}, recommended_workers=4))
    assert "Use 4 workers that think 2 s between their calls." in said
    assert "A worker that thinks 2 s between its calls (--think 2) sends up to 0.5 requests/s." in said


def test_few_test_cases_are_counted_by_the_minute():
    assert "1 request: at 0.067 requests/s that is 4 test cases a minute." in drawn(
        rate(rate_per_s=0.0667, session_requests=0)
    )
    assert "test case" not in drawn(rate(session_requests=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_per_s": None},
        {"rate_per_s": -1.0},
        {"rate_per_s": math.nan},
        {"rate_per_s": 1e300},
        {"call_s": math.inf},
        {"facts": {"think_s": ("x",)}, "rate_per_s": None},
        {"burst": None, "interval": None},
    ],
)
def test_a_rate_that_makes_no_sense_is_still_drawn(changes):
    assert "limit on the rate" in drawn(rate(**changes))


def test_what_is_documented_comes_from_the_catalogue_when_a_report_is_judged(catalogue):
    signed, unsigned, other = (
        conclude(Report(ceilings=(ceiling(configuration=one),)), catalogue).ceilings[0]
        for one in (SIGNED, replace(SIGNED, credential="none"), KNOWLEDGE)
    )
    assert "Documented: 10 requests/s, 90 sessions, 100 connections (2026-09)." in drawn(signed)
    assert "Documented: 5 requests/s (2026-09)." in drawn(unsigned)
    assert signed.documented_source.startswith("https://docs.aws.amazon.com/")
    assert (other.documented, other.documented_as_of, other.documented_source) == ("", "", "")
    assert "Documented" not in drawn(other)


def test_judging_again_replaces_what_was_documented_before(catalogue):
    old = ceiling(documented="9 requests/s", documented_as_of="1999", sufficient=True)
    judged = conclude(Report(ceilings=(old,)), catalogue)
    assert (judged.ceilings[0].documented_as_of, judged.ceilings[0].sufficient) == ("2026-09", None)
    assert conclude(judged, catalogue) == judged


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([Stated(name="lab", requests=60, window_s=10)], "60 requests in 10 s (policy lab)"),
        ([Stated(requests=1, window_s=0.5)], "1 request in 0.5 s"),
        ([Stated(requests=12345678)], "12345678 requests in a window of unknown length"),
        ([Stated(window_s=60)], "some requests in 60 s"),
        ([Stated(remaining=3, reset_s=1)], ""),
        ([Stated(requests=5, window_s=1), Stated(requests=90, window_s=60)], "5 requests in 1 s, 90 requests in 60 s"),
        ([], ""),
    ],
)
def test_what_a_server_states_is_said_in_words(limits, words):
    assert stated(limits) == words
    assert (f"The server states {words}." in drawn(ceiling(stated=tuple(limits)))) == bool(words)


@pytest.mark.parametrize(
    ("stopped", "says"),
    [
        (Stop.BUDGET, "more requests or refusals than --budget allows"),
        (Stop.DEADLINE, "--budget seconds=1200"),
        (Stop.FAILURE, "Measure again when it is well"),
        (Stop.INTERRUPTED, "it was interrupted"),
    ],
)
def test_a_search_that_stopped_early_says_why_and_what_to_do(stopped, says):
    assert re.search(f"Stopped early: .*{says}", drawn(ceiling(stopped=stopped)))
    assert "Stopped" not in drawn(ceiling())


def test_whom_a_limit_counts_is_said_where_it_is_known():
    assert "The limit counts each address by itself." in drawn(ceiling(per="address"))
    assert "by itself" not in drawn(ceiling())


@pytest.mark.parametrize(
    ("required", "says", "code"),
    [(5, "Required workers: 5; met: 5 are safe.", 0), (6, "Required workers: 6; not met: 5 are safe.", 1)],
)
def test_whether_the_required_workers_are_safe_is_said(catalogue, required, says, code):
    report = conclude(Report(ceilings=(ceiling(),), required_workers=required), catalogue)
    assert says in draw(report, "table")
    assert report.exit_code == code
    line = "aws-mcp signed with default: 7 sessions at a time, use 5 workers"
    assert draw(report, "table", quiet=True) == f"{line}{' (6 are required)' if code else ''}\n"


def test_where_nothing_was_accepted_not_even_one_worker_is_safe(catalogue):
    nothing = ceiling(highest_clean=0, recommended_workers=1, samples=())
    report = conclude(Report(ceilings=(nothing,), required_workers=1), catalogue)
    assert report.exit_code == 1
    assert "Required workers: 1; not met." in draw(report, "table")
    assert draw(report, "table", quiet=True).endswith("nothing was measured (1 is required)\n")


def test_what_only_stands_in_for_another_endpoint_need_not_be_enough(catalogue):
    both = (ceiling(recommended_workers=8), ceiling(target="aws-knowledge", configuration=KNOWLEDGE))
    report = conclude(Report(ceilings=both, required_workers=8), catalogue)
    assert [one.sufficient for one in report.ceilings] == [True, None]
    assert "only stands in for another one, where 5 are safe." in draw(report, "table")
    assert report.exit_code == 0
    alone = conclude(Report(ceilings=both[1:], required_workers=8), catalogue)
    assert [one.sufficient for one in alone.ceilings] == [False]
    assert "ceiling-too-low" in {one.check for one in judge_ceilings(alone.ceilings, 8, catalogue)}


# --- Plots ---


def test_a_plot_of_sessions_counts_what_was_opened_and_refused():
    seen = plot(ceiling(samples=opened(7, 3)))
    assert (list(seen.accepted), list(seen.refused)) == ([1] * 7 + [0], [0] * 7 + [3])
    assert seen.ticks[7] == "8"


def test_calls_and_closes_are_no_part_of_a_plot_of_sessions():
    more = [
        sample(20),
        sample(21, operation=Operation.CLOSE, session=3),
        sample(22, operation=Operation.OPEN, session=20),
    ]
    seen = plot(ceiling(samples=(*opened(7, 0), *more)))
    assert list(seen.accepted) == [1] * 6 + [2]


def test_a_plot_of_requests_in_flight_counts_what_was_sent_together():
    bursts = [sample(0.0 + n / 50, took_s=1.0) for n in range(4)] + [sample(0.5, Outcome.REFUSED, took_s=0.02)]
    seen = plot(ceiling(Kind.IN_FLIGHT, highest_clean=4, samples=tuple(bursts)))
    assert (list(seen.accepted), list(seen.refused)) == ([1, 1, 1, 1, 0], [0, 0, 0, 0, 1])


def test_a_plot_of_a_rate_counts_by_time():
    middles = [100, *(100.05 + n / 10 for n in range(1, 10))]
    log = [*map(sample, middles), sample(104.8, Outcome.REFUSED, took_s=0.1)]
    seen = plot(rate(samples=tuple(log)))
    assert len(seen.accepted) == PLOT_COLUMNS
    assert (sum(seen.accepted), sum(seen.refused)) == (10, 1)
    assert (seen.accepted[0], seen.accepted[9], seen.refused[-1]) == (1, 1, 1)
    assert seen.ticks[0] == "0 s"
    assert "4.8 s" in seen.ticks.values()
    assert seen.caption == "time, 0.1 s a column"


def test_what_is_drawn_is_as_high_as_it_was_often():
    seen = Plot(accepted=[16, 8, 1, 0, 160], refused=[0, 0, 0, 7, 0])
    text = "\n".join(f"  {line}" for line in bands(seen, Paint(on=False)))
    # Full height is 160, of sixteen steps; what is more than nothing can be seen.
    assert heights(text, "accepted")[:15:3] == [2, 1, 1, 0, 16]
    assert heights(text, "refused")[:15:3] == [0, 0, 0, 1, 0]
    assert "full height: 160 requests" in text


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=PLOT_COLUMNS))
def test_a_drawing_of_any_counts_is_true_to_scale(pairs):
    seen = Plot(accepted=[one for one, _ in pairs], refused=[other for _, other in pairs])
    text = "\n".join(f"  {line}" for line in bands(seen, Paint(on=False)))
    top = max((*seen.accepted, *seen.refused))
    assert bool(text) == bool(top)
    if not top:
        return
    wide = max(1, min(3, PLOT_COLUMNS // len(pairs)))
    for name, counts in (("accepted", seen.accepted), ("refused", seen.refused)):
        if any(counts):
            read = heights(text, name)[: len(pairs) * wide : wide]
            assert read == [max(1, round(count / top * 16)) if count else 0 for count in counts]
        else:
            assert re.search(rf"{name} +none$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("limits", [("sessions:7",), ("in-flight:4",), ("rate:3/s,burst:10",), (), ("window:20/10s",)])
@pytest.mark.parametrize("noise", [0, 0.05])
def test_a_plot_of_a_whole_search_agrees_with_its_answer_and_its_samples(limits, noise):
    found = measure(World(limits=limits, noise=noise, seed=4))
    seen = plot(found)
    said = "\n".join(bands(seen, Paint(on=False))).splitlines()
    assert len(said) <= 6
    assert max(map(len, said)) <= 62
    outcomes = Counter(one.outcome for one in found.samples)
    if found.limiter is Kind.RATE:
        assert (sum(seen.accepted), sum(seen.refused)) == (outcomes[Outcome.ACCEPTED], outcomes[Outcome.REFUSED])
    if found.limiter in (Kind.SESSIONS, Kind.IN_FLIGHT):
        assert max(at + 1 for at, count in enumerate(seen.accepted) if count) == found.highest_clean
        over = [at + 1 for at, count in enumerate(seen.refused) if count and at + 1 > found.highest_clean]
        assert min(over) == found.lowest_refused
        assert sum(seen.refused) <= outcomes[Outcome.REFUSED]
    if found.limiter in (Kind.SESSIONS, Kind.NONE):
        opens = Counter(one.outcome for one in found.samples if one.operation is Operation.OPEN)
        assert (sum(seen.accepted), sum(seen.refused)) == (opens[Outcome.ACCEPTED], opens[Outcome.REFUSED])


def test_standing_streams_are_drawn_where_the_limit_counts_them():
    legacy = (Operation.OPEN, Operation.OTHER, Operation.STREAM)
    world = World(limits=("in-flight:6",), streams_count=True, seed=1, opening=legacy)
    found = measure(world, Settings(costs=Costs(open=3, call=1, close=1)))
    seen = plot(found)
    assert seen.caption == "requests and streams in flight"
    assert max(at + 1 for at, count in enumerate(seen.accepted) if count) == found.highest_clean


def test_failed_requests_are_left_out_and_said_to_be():
    failures = (sample(3, Outcome.FAILED, status=500), sample(math.inf), sample(9))
    assert "2 failed not drawn; full height: 1 request" in drawn(rate(samples=failures))
    broken = (*opened(2), sample(9, Outcome.FAILED, Operation.OPEN, status=500), sample(9.5, operation=Operation.CLOSE))
    assert "sessions at a time, 1 failed not drawn;" in drawn(ceiling(samples=broken))


def test_more_levels_than_columns_share_columns():
    seen = plot(ceiling(highest_clean=100, samples=opened(100, 1)))
    assert (sum(seen.accepted), sum(seen.refused)) == (100, 1)
    assert len(seen.accepted) <= PLOT_COLUMNS
    assert "3 a column" in seen.caption
    assert seen.ticks[33] == "100"


def test_a_limit_that_is_unknown_is_drawn_as_the_likeliest_kind():
    posterior = {Kind.RATE: 0.6, Kind.IN_FLIGHT: 0.4}
    assert plot(ceiling(Kind.UNKNOWN, posterior=posterior)).caption.startswith("time")
    assert plot(ceiling(Kind.UNKNOWN, posterior={})).caption.startswith("sessions")


def test_without_sessions_requests_in_flight_are_drawn():
    assert plot(ceiling(Kind.NONE, samples=(sample(0), sample(1)))).caption == "requests in flight"


def test_very_many_requests_are_drawn_over_time():
    log = tuple(sample(at / 100, took_s=60) for at in range(MOST_DRAWN + 1))
    assert sum(plot(ceiling(Kind.IN_FLIGHT, samples=log)).accepted) == len(log)


def test_without_samples_there_is_no_plot():
    assert "accepted" not in drawn(ceiling(samples=()))
    assert list(bands(plot(ceiling(samples=())), Paint(on=False))) == []


def test_accepted_is_green_and_refused_red_on_a_terminal_and_plain_elsewhere():
    text = drawn(ceiling(), color=True)
    assert re.search(r"accepted +\x1b\[32m█", text)
    assert re.search(r"refused +\x1b\[31m +█", text)
    assert text.startswith("\x1b[1maws-mcp in us-east-1, signed with default\x1b[0m")
    assert "\x1b" not in drawn(ceiling())
    assert re.sub(r"\x1b\[\d+m", "", text) == drawn(ceiling())


# --- The whole report ---


def test_several_ceilings_stand_side_by_side_before_each_by_itself():
    nobody = replace(SIGNED, credential="none")
    said = drawn(
        ceiling(Kind.NONE, configuration=nobody, highest_clean=16),
        ceiling(),
        rate(target="other", configuration=KNOWLEDGE),
        ceiling(Kind.UNKNOWN, target="third"),
        ceiling(target="fourth", highest_clean=0),
        width=160,
    )
    table, *details = said.split("\n\n")
    rows = [re.split(r"  +", line.strip()) for line in table.splitlines() if "---" not in line]
    assert rows == [
        ["target", "caller", "limit", "kind", "sure", "workers", "requests", "refused", "time"],
        ["aws-mcp", "unsigned", "16 or more", "none seen", "99 %", "5", "54", "3", "6 s"],
        ["aws-mcp", "signed with default", "7", "sessions", "99 %", "5", "54", "3", "6 s"],
        ["other", "unsigned", "3/s, 10 at once", "rate", "99 %", "1", "54", "3", "6 s"],
        ["third", "signed with default", "7 accepted", "unknown", "99 %", "5", "54", "3", "6 s"],
        ["fourth", "signed with default", "-", "sessions", "99 %", "-", "54", "3", "6 s"],
    ]
    assert details[0].startswith("aws-mcp in us-east-1, unsigned\n")


def test_one_ceiling_needs_no_table():
    assert "workers  " not in drawn(ceiling())


def test_two_regions_of_one_target_are_told_apart():
    other = ceiling(configuration=replace(SIGNED, region="eu-west-1"))
    assert quiet(ceiling(), other) == [
        "aws-mcp in us-east-1 signed with default: 7 sessions at a time, use 5 workers",
        "aws-mcp in eu-west-1 signed with default: 7 sessions at a time, use 5 workers",
    ]
    assert "\naws-mcp in eu-west-1  signed" in drawn(ceiling(), other)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (ceiling(), "7 sessions at a time, use 5 workers"),
        (ceiling(Kind.IN_FLIGHT), "7 requests at a time, use 5 workers"),
        (rate(), "3 requests/s and 10 at once after a pause, use 1 worker"),
        (ceiling(Kind.NONE), "no limit up to 7 at a time, use up to 5 workers"),
        (ceiling(Kind.UNKNOWN), "some limit that could not be named; 7 at a time were accepted, use 5 workers"),
    ],
)
def test_quiet_is_one_line_for_each_ceiling(one, line):
    assert quiet(one) == [f"aws-mcp signed with default: {line}"]


def test_a_region_that_an_endpoint_does_not_have_is_not_named():
    said = drawn(ceiling(target="aws-knowledge", configuration=replace(KNOWLEDGE, region="us-east-1")))
    assert said.startswith("aws-knowledge, unsigned\n")


def test_a_number_and_its_unit_stand_on_one_line():
    for width in range(40, 110):
        assert not re.search(r"\d\n +(s|%)\b", drawn(rate(), width=width))


def test_quiet_keeps_the_lines_of_the_check():
    report = {"results": (result(),), "best": (Best(target="aws-mcp", configuration=SIGNED),)}
    assert quiet(ceiling(), **report) == [
        "aws-mcp: works: https://aws-mcp.us-east-1.api.aws/mcp signed for aws-mcp in us-east-1 with default",
        "aws-mcp signed with default: 7 sessions at a time, use 5 workers",
    ]


def test_verbose_adds_how_likely_each_kind_is_and_twice_every_request():
    log = (
        sample(100.0, operation=Operation.OPEN, session=1),
        sample(100.5, Outcome.REFUSED, layer="rpc", code=-32004, status=200, retry_after_s=2.0),
        sample(101.25, Outcome.FAILED, status=None, error="timeout"),
        sample(102.0, Outcome.REFUSED, layer="tool"),
    )
    one = rate(samples=log)
    likely = "How likely each kind is: sessions 99 %, rate 1 %. If it is a rate: token bucket 99 %, fixed window 1 %."
    assert "How likely" not in drawn(one)
    assert likely in drawn(one, verbose=1)
    assert "0.500 s" not in drawn(one, verbose=1)
    lines = [re.split(r"  +", line.strip()) for line in drawn(one, verbose=2).split("\n\n")[-1].splitlines()]
    assert lines == [
        ["0.000 s", "open", "accepted", "200"],
        ["0.500 s", "call", "refused", "200", "rpc -32004", "Retry-After 2 s"],
        ["1.250 s", "call", "failed", "-", "timeout"],
        ["2.000 s", "call", "refused", "429", "tool"],
    ]


def test_a_report_with_ceilings_alone_was_examined():
    assert "Nothing was examined" not in drawn(ceiling())
    assert draw(Report(), "table") == "Nothing was examined: the suite names no target.\n"
    assert draw(Report(interrupted="interrupted"), "table") == "Nothing was examined: the run ended before.\n"
    assert draw(Report(), "table", quiet=True) == ""


def test_results_ceilings_and_findings_come_in_this_order_and_once_each():
    said = drawn(ceiling(), results=(failed(),), findings=(finding("ceiling-too-low", remedy="Less."),))
    places = [said.index(words) for words in ("wrong-service", "7 sessions at a time", "[ceiling-too-low]")]
    assert places == sorted(places)
    assert (said.count("Less."), said.count("Use aws-mcp."), said.count("7 sessions")) == (1, 1, 1)


def test_an_interrupted_measurement_says_so_once_for_the_run_and_once_for_the_ceiling():
    said = drawn(ceiling(stopped=Stop.INTERRUPTED), interrupted="interrupted")
    assert said.startswith("The run ended early: it was interrupted.")


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_lines_fit_the_terminal(width):
    texts = drawn(rate(samples=opened(9)), ceiling(stopped=Stop.BUDGET, documented="x " * 90), width=width)
    details = texts.split("\n\n", maxsplit=1)[1].splitlines()
    assert max(map(len, details)) <= max(width, 62)


def test_words_of_others_cannot_reach_the_terminal():
    evil = "a\x1b[2Jb\n\u202ec"
    one = ceiling(
        target=evil,
        configuration=Configuration(endpoint=evil, region=evil, credential=evil),
        stated=(Stated(name=evil, requests=1),),
        documented=evil,
        documented_as_of=evil,
        samples=(sample(1, Outcome.FAILED, error=evil),),
    )
    for said in (drawn(one, one, verbose=2), "\n".join(quiet(one))):
        assert "\x1b" not in said
        assert "\u202e" not in said
        assert "ab c" in said


numbers = st.floats() | st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, 5e-324, 1e-9, 1e308])
wholes = st.integers(-5, 40) | st.integers()
odd_samples = st.builds(
    Sample,
    operation=st.sampled_from(Operation),
    outcome=st.sampled_from(Outcome),
    sent_s=numbers,
    received_s=numbers,
    session=st.none() | wholes,
    status=st.none() | wholes,
    layer=st.sampled_from([None, "http", "rpc", "tool"]),
    code=st.none() | wholes,
    error=st.none() | st.text(max_size=5),
    retry_after_s=st.none() | numbers,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(ceilings, st.data())
def test_no_report_of_somebody_else_breaks_the_drawing(catalogue, one, data):
    odd = replace(
        one,
        confidence=data.draw(numbers),
        posterior=data.draw(st.dictionaries(st.sampled_from(Kind), numbers)),
        highest_clean=data.draw(wholes),
        lowest_refused=data.draw(st.none() | wholes),
        interval=data.draw(st.none() | st.tuples(numbers, numbers)),
        rate_per_s=data.draw(st.none() | numbers),
        shapes=data.draw(st.dictionaries(st.sampled_from(Shape), numbers)),
        stated=(Stated(requests=data.draw(st.none() | numbers), window_s=data.draw(st.none() | numbers)),),
        recommended_workers=data.draw(wholes),
        elapsed_s=data.draw(numbers),
        most=data.draw(wholes),
        call_s=data.draw(numbers),
        session_requests=data.draw(st.none() | wholes),
        facts={"think_s": data.draw(numbers | wholes | st.none() | st.booleans()), "quick": data.draw(st.booleans())},
        samples=tuple(data.draw(st.lists(odd_samples, max_size=12))),
    )
    required = data.draw(st.none() | wholes)
    report = conclude(Report(ceilings=(odd, one), required_workers=required), catalogue)
    for quietly in (False, True):
        text = draw(report, "table", verbose=data.draw(st.integers(0, 2)), quiet=quietly, width=data.draw(wholes))
        assert text.endswith("\n")
        assert " 100 % sure" not in text


def test_what_the_design_says_of_a_ceiling_is_in_the_report():
    written = json.loads(report_json.dumps(Report(ceilings=(ceiling(),))))["ceilings"][0]
    assert {"target", "configuration", "highest_clean", "lowest_refused", "confidence", "interval"} <= set(written)
    assert {"limiter", "posterior", "rate_per_s", "burst", "per", "recommended_workers", "requests"} <= set(written)
    assert {"refused", "elapsed_s", "stopped", "samples", "documented", "documented_source", "sufficient"} <= set(
        written
    )


def test_a_real_measurement_goes_to_json_and_back_and_draws_the_same():
    found = replace(measure(World(limits=("sessions:4",), seed=2)), target="x", configuration=SIGNED)
    report = Report(ceilings=(found, found), required_workers=3)
    again = report_json.loads(report_json.dumps(report))
    assert again == report
    assert draw(again, "table", verbose=2) == draw(report, "table", verbose=2)


def test_a_rate_of_one_is_singular():
    assert (per_second(1.0), per_second(2.0)) == ("1 request/s", "2 requests/s")
