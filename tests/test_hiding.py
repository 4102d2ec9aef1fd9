"""A secret in the query of a URL is sent as it was written, and drawn nowhere."""

from __future__ import annotations

import pytest
from conftest import Examine

from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.render import draw, report_json

SECRET = "s3cr3t-value-0123"


@pytest.mark.parametrize("fault", ["healthy/none", "auth/access-denied", "http/not-found"])
@pytest.mark.parametrize("name", ["token", "api_key", "X-Api-Key", "access_token"])
def test_a_secret_in_the_query_is_drawn_nowhere(fault: str, name: str, examine: Examine) -> None:
    report = examine(f"{FAULTS[fault].url()}?{name}={SECRET}&page=2")
    drawn = [draw(report, "table", width=200, verbose=2), draw(report, "table", quiet=True), draw(report, "json")]
    assert [SECRET in text for text in drawn] == [False] * 3
    assert [f"{name}=[redacted]&page=2" in text for text in drawn[:1] + drawn[2:]] == [True] * 2
    assert draw(report_json.loads(drawn[2]), "json") == drawn[2]


def test_it_is_sent_and_what_is_no_secret_is_drawn(examine: Examine, lab: Lab) -> None:
    before = len(lab.requests)
    report = examine(f"{FAULTS['healthy/none'].url()}?qualifier=DEFAULT&oauth=initialize")
    assert report.results[0].works is True
    assert "qualifier=DEFAULT&oauth=initialize" in draw(report, "json")
    assert len(lab.requests) > before
