"""The lab's limiters keep what they promise, by a clock that stands still unless told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.lab.limiters import Limit, Limiter, Quota, build, parse_limit


def built(text) -> Limiter:
    limiter = build(parse_limit(text))
    assert limiter is not None
    return limiter


def admitted(limiter, times, caller="me"):
    return [limiter.admit(caller, now) for now in times]


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("sessions:7", Limit(kind="sessions", amount=7)),
        ("in-flight:4", Limit(kind="in-flight", amount=4)),
        ("rate:10/s,burst:20", Limit(kind="rate", amount=10, burst=20)),
        ("rate:0.5/s", Limit(kind="rate", amount=0.5, burst=1)),
        (" rate:3/s ", Limit(kind="rate", amount=3, burst=3)),
        ("window:60/10s", Limit(kind="window", amount=60, period_s=10)),
        ("sliding:60/2.5s", Limit(kind="sliding", amount=60, period_s=2.5)),
        ("none", Limit(kind="none")),
    ],
)
def test_a_limit_reads_as_it_is_written(text, limit):
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["", "7", "sessions", "sessions:x", "rate:10", "window:60", "rate:10/m", "sessions:7x"]
)
def test_what_is_not_a_limit_is_refused_with_the_ways_to_write_one(text):
    with pytest.raises(ValueError, match=r'write "sessions:7" .* "rate:10/s,burst:20" .* "none"'):
        parse_limit(text)


@pytest.mark.parametrize("text", ["sessions:0", "rate:0/s", "window:0/10s", "sliding:5/0s", "rate:5/s,burst:0"])
def test_a_limit_of_zero_is_refused(text):
    with pytest.raises(ValueError, match="lets nothing through"):
        parse_limit(text)


def test_none_builds_no_limiter():
    assert build(parse_limit("none")) is None


@pytest.mark.parametrize(("text", "holds"), [("sessions:2", "session"), ("in-flight:2", "request")])
def test_places_are_taken_until_given_back(text, holds):
    limiter = built(text)
    assert limiter.holds == holds
    assert admitted(limiter, [0, 0, 0]) == [True, True, False]
    assert admitted(limiter, [0], caller="somebody else") == [True]
    limiter.release("me")
    assert admitted(limiter, [0, 0]) == [True, False]


def test_a_bucket_allows_a_burst_and_then_its_rate():
    limiter = built("rate:2/s,burst:3")
    assert admitted(limiter, [0, 0, 0, 0]) == [True, True, True, False]
    assert admitted(limiter, [0.4, 0.5, 0.6, 1.0]) == [False, True, False, True]
    assert admitted(limiter, [100, 100, 100, 100]) == [True, True, True, False]
    limiter.release("me")
    assert admitted(limiter, [100]) == [False]


def test_fixed_windows_begin_at_multiples_of_their_length():
    limiter = built("window:2/10s")
    assert admitted(limiter, [8, 9, 9.5, 10, 11, 12]) == [True, True, False, True, True, False]
    limiter.release("me")
    assert admitted(limiter, [12]) == [False]


def test_a_sliding_window_remembers_the_last_stretch():
    limiter = built("sliding:2/10s")
    assert admitted(limiter, [8, 9, 9.5, 10, 17.9, 18, 18.5, 19]) == [
        True,
        True,
        False,
        False,
        False,
        True,
        False,
        True,
    ]
    limiter.release("me")
    assert admitted(limiter, [19]) == [False]


@given(st.lists(st.floats(min_value=0, max_value=50), max_size=60).map(sorted))
def test_no_stretch_of_a_sliding_window_holds_more_than_allowed(times):
    limiter = built("sliding:3/5s")
    taken = [now for now in times if limiter.admit("me", now)]
    assert all(after - before >= 5 for before, after in zip(taken, taken[3:], strict=False))


def quota_of(limiter: Limiter, now, caller="me") -> Quota:
    quota = limiter.quota(caller, now)
    assert quota is not None
    assert quota == limiter.quota(caller, now), "asking changes nothing"
    return quota


def quotas(limiter, times):
    """What is left after a request at each time, and seconds until there is more."""
    told = []
    for now in times:
        limiter.admit("me", now)
        quota = quota_of(limiter, now)
        told.append((quota.left, quota.more_s))
    return told


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("rate:10/s,burst:20", Quota(most=20, window_s=2, left=20, more_s=0)),
        ("rate:3/s,burst:10", Quota(most=10, window_s=4, left=10, more_s=0)),
        ("rate:0.07/s,burst:7", Quota(most=7, window_s=100, left=7, more_s=0)),
        ("rate:100/s,burst:1", Quota(most=1, window_s=1, left=1, more_s=0)),
        ("window:60/10s", Quota(most=60, window_s=10, left=60, more_s=0)),
        ("sliding:60/2.5s", Quota(most=60, window_s=3, left=60, more_s=0)),
    ],
)
def test_a_rate_can_tell_its_quota_in_whole_seconds(text, quota):
    assert quota_of(built(text), 7.0) == quota


@pytest.mark.parametrize("text", ["sessions:2", "in-flight:2"])
def test_places_have_no_quota_over_time(text):
    assert built(text).quota("me", 7.0) is None


def test_a_quota_says_what_is_left_and_when_there_is_more():
    assert quotas(built("rate:0.5/s,burst:2"), [0, 0, 0, 1, 3]) == [(1, 2), (0, 2), (0, 2), (0, 1), (0, 1)]
    assert quotas(built("window:2/10s"), [18, 19, 19.5, 20]) == [(1, 2), (0, 1), (0, 1), (1, 10)]
    assert quotas(built("sliding:2/10s"), [18, 19, 19.5, 28]) == [(1, 10), (0, 9), (0, 9), (0, 1)]
    limiter = built("window:2/10s")
    assert quotas(limiter, [18]) == [(1, 2)]
    assert quota_of(limiter, 18, caller="somebody else").left == 2


@given(
    st.sampled_from(["rate:0.7/s,burst:3", "window:3/5s", "sliding:3/2.5s"]),
    st.lists(st.floats(min_value=0, max_value=50), min_size=1, max_size=60).map(sorted),
)
def test_who_waits_as_long_as_the_quota_says_is_admitted(text, times):
    limiter = built(text)
    for now in times:
        left = quota_of(limiter, now).left
        assert limiter.admit("me", now) == (left > 0)
    quota = quota_of(limiter, times[-1])
    assert quota.left or limiter.admit("me", times[-1] + quota.more_s + 1e-6)
