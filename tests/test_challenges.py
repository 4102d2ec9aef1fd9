"""What a refusal asks for is read as servers write it, and harms nothing."""

from __future__ import annotations

import time

import hypothesis
import pytest
from hypothesis import strategies

from mcpdoctor.challenges import HEADER, RENAMED, bearer, challenge_facts, parse

READ = {
    "one": ('Bearer realm="x", error="invalid_token"', [("bearer", {"realm": "x", "error": "invalid_token"})]),
    "words without quotes": ("Bearer error=invalid_token", [("bearer", {"error": "invalid_token"})]),
    "no parameters": ("Bearer", [("bearer", {})]),
    "upper case": ('BEARER Realm="X"', [("bearer", {"realm": "X"})]),
    "several in one header": (
        'Negotiate, Basic realm="a, b", Bearer resource_metadata="https://h/x", scope="a b"',
        [
            ("negotiate", {}),
            ("basic", {"realm": "a, b"}),
            ("bearer", {"resource_metadata": "https://h/x", "scope": "a b"}),
        ],
    ),
    "one word in place of parameters": (
        'Negotiate YIIabc==, Bearer error="e"',
        [("negotiate", {}), ("bearer", {"error": "e"})],
    ),
    "escaped quotes": (r'Bearer realm="say \"hi\", Basic realm=x"', [("bearer", {"realm": 'say "hi", Basic realm=x'})]),
    "a name within a quoted string": (
        'Basic realm="resource_metadata=https://evil.example", Bearer error="e"',
        [("basic", {"realm": "resource_metadata=https://evil.example"}), ("bearer", {"error": "e"})],
    ),
    "blanks around the sign": ('Bearer realm = "x" ,error= e', [("bearer", {"realm": "x", "error": "e"})]),
    "twice the same name": ('Bearer error="a", error="b"', [("bearer", {"error": "a"})]),
    "a quote that does not end": ('Bearer realm="x, error="e"', [("bearer", {"realm": "x, error="})]),
    "cut off": ('Bearer error="e", resource_metadata="https://h/… (9 more', [("bearer", {"error": "e"})]),
    "odd characters": ('Bearer @@@, error="e"', [("bearer", {"error": "e"})]),
    "parameters of nothing": ('realm="x", Bearer error="e"', [("bearer", {"error": "e"})]),
    "nothing": (" , ,", []),
}


@pytest.mark.parametrize("name", READ)
def test_a_challenge_is_read(name: str) -> None:
    header, expected = READ[name]
    assert [(one.scheme, dict(one.parameters)) for one in parse(header)] == expected


@hypothesis.given(strategies.text(alphabet='Ba ,="\\\t@é\n', max_size=60))
def test_any_header_is_read(header: str) -> None:
    assert len(parse(header)) <= 16


@pytest.mark.parametrize("piece", ['a="', "a=,", 'Bearer a="\\', "x ", ",", "=", '"'])
def test_a_hostile_header_takes_no_time(piece: str) -> None:
    started = time.perf_counter()
    parse(piece * 100_000)
    assert time.perf_counter() - started < 1


def test_a_renamed_challenge_is_one_too() -> None:
    asked = 'Bearer resource_metadata="https://h/x"'
    assert bearer({}) is None
    assert bearer({HEADER: "Negotiate"}) is None
    facts = challenge_facts({RENAMED: asked})
    assert facts["bearer_challenge"] is facts["challenge_renamed"] is True
    assert (facts["challenged"], facts["metadata_named"]) == (False, "https://h/x")
    assert challenge_facts({HEADER: asked, RENAMED: asked})["challenge_renamed"] is False


def test_what_a_challenge_says_is_safe_to_show() -> None:
    told = challenge_facts(
        {HEADER: 'Bearer error="invalid_token", error_description="\x1b[31mno eyJhbGci.eyJzdWIi.c2ln"'}
    )
    assert told["challenge_said"] == " (invalid_token: no [redacted])"
