"""What servers state of their limits is read as they mean it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.ceiling import retry_after, stated
from mcpdoctor.samples import Stated

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 15 ", 15.0),
        ("1.5", 1.5),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"RateLimit-Policy": '"burst";q=100;w=60, "day";q=5000;w=86400', "RateLimit": '"burst";r=40;t=12'},
            (
                Stated(name="burst", requests=100, window_s=60, remaining=40, reset_s=12),
                Stated(name="day", requests=5000, window_s=86400),
            ),
        ),
        ({"RateLimit": '"default";r=0;t=5'}, (Stated(name="default", remaining=0, reset_s=5),)),
        (
            {"ratelimit-limit": "50, 50;w=60", "ratelimit-remaining": "49", "ratelimit-reset": "30"},
            (Stated(requests=50, window_s=60, remaining=49, reset_s=30),),
        ),
        (
            {
                "X-RateLimit-Limit": "60",
                "X-RateLimit-Remaining": "59",
                "X-RateLimit-Reset": str(int(NOW.timestamp()) + 90),
            },
            (Stated(requests=60, remaining=59, reset_s=90),),
        ),
        ({"RateLimit-Policy": "nonsense", "RateLimit-Limit": "many"}, ()),
        ({"content-type": "application/json"}, ()),
    ],
)
def test_every_family_of_headers_is_read(headers, expected):
    assert stated(headers, NOW) == expected


def test_a_rate_needs_both_numbers():
    assert Stated(requests=60, window_s=20).rate_per_s == 3
    assert Stated(requests=60).rate_per_s is None


@given(st.dictionaries(st.sampled_from(["ratelimit", "ratelimit-policy", "x-ratelimit-limit"]), st.text()), st.text())
def test_no_header_breaks_the_reading(headers, value):
    stated(headers, NOW)
    retry_after(value, NOW)
