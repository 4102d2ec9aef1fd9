"""Arguments of the proxy are taken apart as the proxy's own argparse does, and every mistake has a place and a kind."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import sys
from argparse import Namespace
from collections.abc import Sequence
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcpdoctor.clients.arguments import Arguments, parse
from mcpdoctor.clients.known import known
from mcpdoctor.clients.source import Source
from mcpdoctor.clients.values import Scalar
from mcpdoctor.clients.versions import version
from mcpdoctor.clients.words import Word

URL = "https://aws-mcp.us-east-1.api.aws/mcp"
OAUTH = f"{URL}?oauth=initialize"
INSTALLED = importlib.metadata.version("mcp-proxy-for-aws")


def ours(words: Sequence[str], of: str = INSTALLED) -> Arguments:
    source = Source("f", "\n".join(words))
    at, line = 0, []
    for word in words:
        line.append(Word(word, Scalar(source, at, at + len(word), word)))
        at += len(word) + 1
    return parse(line, known().proxy, version(of), Scalar(source, 0, 0, None))


def kinds(words: Sequence[str], of: str = INSTALLED) -> list[str]:
    return [one.kind for one in ours(words, of).problems]


def theirs(words: Sequence[str]) -> Namespace | None:
    """What the installed proxy makes of it; None where it ends."""
    from mcp_proxy_for_aws.cli import parse_args

    quiet = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["mcp-proxy-for-aws", *words]),
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        try:
            parsed: Namespace = parse_args()
            return parsed
        except SystemExit:
            return None


def summary_of(parsed: Arguments) -> dict[str, object] | None:
    if parsed.help or [one for one in parsed.problems if one.kind != "words-joined"]:
        return None
    assert parsed.endpoint is not None

    def text(name: str) -> str | None:
        word = parsed.value(name)
        return word.text if word else None

    profiles = parsed.last("--profile")
    metadata = parsed.pairs("--metadata")
    return {
        "endpoint": parsed.endpoint.text,
        "service": text("--service"),
        "region": text("--region"),
        "profiles": [one.text for one in profiles.values] if profiles else [],
        "metadata": {key: word.text.partition("=")[2] for key, word in metadata.items()},
        "read_only": parsed.last("--read-only") is not None,
        "retries": int(text("--retries") or 0),
        "timeout": repr(float(text("--timeout") or 180)),
    }


def summary_of_theirs(parsed: Namespace | None) -> dict[str, object] | None:
    if parsed is None:
        return None
    profiles = (
        parsed.profiles if hasattr(parsed, "profiles") else [parsed.profile] if parsed.profile is not None else []
    )
    return {
        "endpoint": parsed.endpoint,
        "service": parsed.service,
        "region": parsed.region,
        "profiles": profiles or [],
        "metadata": parsed.metadata or {},
        "read_only": parsed.read_only,
        "retries": parsed.retries,
        "timeout": repr(parsed.timeout),
    }


FLAGS = ["--service", "--profile", "--region", "--metadata", "--read-only", "--log-level", "--retries", "--timeout"]
MORE_FLAGS = ["--read-timeout", "--tool-timeout", "--skip-auth", "--header", "--disable-telemetry", "--sse-url", "-h"]
SHORT = ["--serv", "--re", "--reg", "--meta", "--prof", "--read", "--h", "--he", "-x", "-hx", "-", "-5", "-.5", "-5.x"]
VALUES = [
    URL,
    OAUTH,
    "aws-mcp",
    "us-east-1",
    "AWS_REGION=us-west-2",
    "dev",
    "a=b=c",
    "",
    "3",
    "11",
    "1.5",
    "nan",
    "1e9",
]
ODD = [
    "--service aws-mcp",
    "--region=us-east-1",
    "--metadata=A=B",
    "--profile=dev",
    "--read-only=1",
    "--service=",
    "--=x",
]
WORDS = st.lists(
    st.one_of(
        st.sampled_from([*FLAGS, URL]),
        st.sampled_from([*FLAGS, *MORE_FLAGS, *SHORT]),
        st.sampled_from(VALUES),
        st.sampled_from([*ODD, "INFO", "warn", "x-a=b", "Authorization=x", "--"]),
    ),
    max_size=8,
)


@given(words=WORDS)
@example(words=["--profile", "dev", URL])
@example(words=["--metadata", "AWS_REGION=us-west-2", URL])
@example(words=["--metadata", "AWS_REGION=us-west-2", OAUTH])
@example(words=[URL, "--service aws-mcp"])
@example(words=["--service aws-mcp", URL])
@example(words=["--metadata", "a=b", "--", URL])
@example(words=["--sse-url", URL])
@example(words=[URL, "--metadata", "a=1", "b=2", "--metadata", "c=3"])
@settings(max_examples=600)
def test_arguments_mean_what_the_installed_proxy_takes_them_for(words: list[str]) -> None:
    # What a separator with nothing after it means differs from one version of Python to the next.
    words = words[:-1] if words[-1:] == ["--"] else words
    assert summary_of(ours(words)) == summary_of_theirs(theirs(words))


@pytest.mark.parametrize(
    ("version", "words", "endpoint", "problems"),
    [
        ("1.5.0", ["--profile", "dev", URL], URL, []),
        ("1.6.0", ["--profile", "dev", URL], None, ["endpoint-swallowed"]),
        ("1.6.3", ["--profile", "dev", "--read-only", URL], URL, []),
        ("1.6.4", ["--profile", "dev", URL], URL, []),
        ("1.6.4", ["--profile=dev", URL], URL, []),
        ("1.6.3", ["--profile", "dev", "--", URL], URL, []),
        ("1.5.0", ["--profile", "dev", "test", URL], "test", ["argument-surplus"]),
        ("1.7.0", ["--metadata", "AWS_REGION=us-west-2", URL], None, ["endpoint-swallowed"]),
        ("1.7.0", ["--metadata", "AWS_REGION=us-west-2", OAUTH], None, ["endpoint-swallowed"]),
        ("1.7.0", ["--metadata", "AWS_REGION", URL], None, ["pair-malformed", "endpoint-swallowed"]),
        ("1.7.0", ["--metadata", f"REFER={URL}"], None, ["endpoint-missing"]),
        ("1.7.0", ["--region", URL], None, ["endpoint-swallowed"]),
        ("1.7.0", [], None, ["endpoint-missing"]),
        ("1.7.0", ["--sse-url", URL], URL, ["option-unknown"]),
        ("1.4.2", [URL, "--skip-auth"], URL, ["option-unknown"]),
        ("1.5.0", [URL, "--skip-auth"], URL, []),
        ("1.7.0", [URL, "--re", "x"], URL, ["option-ambiguous", "argument-surplus"]),
        ("1.7.0", [URL, "--service aws-mcp"], URL, ["words-joined", "argument-surplus"]),
        ("1.7.0", [URL, "--service"], URL, ["value-missing"]),
        ("1.7.0", [URL, "--read-only=yes"], URL, ["value-not-taken"]),
        ("1.7.0", [URL, "--log-level", "warn", "--retries", "11", "--timeout", "-1"], URL, ["value-not-allowed"] * 3),
        ("1.7.0", [URL, "--header", "Authorization=Bearer x"], URL, ["header-reserved"]),
        ("1.7.0", ["--help", "x", "y"], None, []),
    ],
)
def test_a_mistake_has_a_kind(version: str, words: list[str], endpoint: str | None, problems: list[str]) -> None:
    parsed = ours(words, version)
    assert (parsed.endpoint.text if parsed.endpoint else None, [one.kind for one in parsed.problems]) == (
        endpoint,
        problems,
    )


def test_a_problem_points_at_the_word_it_is_about() -> None:
    parsed = ours(["--metadata", "AWS_REGION=us-west-2", URL], "1.7.0")
    assert [str(one.place) for one in parsed.problems] == ["f:3:1"]
    assert parsed.problems[0].facts == {"option": "--metadata", "endpoint": URL}


def test_an_unknown_option_tells_which_version_has_it_or_what_is_near() -> None:
    assert ours([URL, "--skip-auth"], "1.4.2").problems[0].facts == {
        "option": "--skip-auth",
        "since": "1.5.0",
        "near": None,
    }
    assert ours([URL, "--servise=x"], "1.7.0").problems[0].facts == {
        "option": "--servise",
        "since": None,
        "near": "--service",
    }


def test_pairs_of_a_repeated_option_add_up_from_1_7_on() -> None:
    words = [URL, "--metadata", "a=1", "b=2", "--metadata", "c=3"]
    assert list(ours(words, "1.6.6").pairs("--metadata")) == ["c"]
    assert list(ours(words, "1.7.0").pairs("--metadata")) == ["a", "b", "c"]


def test_what_a_variable_may_hold_is_not_judged() -> None:
    source = Source("f", "x")
    value = Scalar(source, 0, 1, "x")
    words = [Word("${URL}", value, certain=False), Word("--log-level", value), Word("${LEVEL}", value, certain=False)]
    assert parse(words, known().proxy, version("1.7.0"), value).problems == ()


def test_a_hundred_thousand_arguments_are_no_burden() -> None:
    assert len(ours(["--read-only"] * 100_000 + [URL]).given) == 100_000
