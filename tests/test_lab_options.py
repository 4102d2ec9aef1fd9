"""The command `mcpdoctor lab` hands its options about limits to the lab."""

import httpx
import pytest
from test_cli import refused, served
from test_lab import ACCEPT, INITIALIZE, LIST, Signing


def test_a_limit_refuses_and_states_as_the_options_say() -> None:
    options = ("--limit", "window:1/1000s", "--refusal", "503", "--retry-after", "7", "--rate-headers")
    with served("--port", "0", *options) as lab, httpx.Client(headers=ACCEPT) as http:
        first, second = (http.post(f"{lab['http']}/knowledge/mcp", json=INITIALIZE) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 503)
    assert "retry-after" not in first.headers
    assert second.headers["retry-after"] == "7"
    assert {one.headers["ratelimit-policy"] for one in (first, second)} == {'"lab";q=1;w=1000'}


def test_open_streams_count_as_the_option_says() -> None:
    options = ("--limit", "in-flight:1", "--streams")
    with served("--port", "0", *options) as lab:
        url = f"{lab['http']}/eks-mcp/us-east-1/mcp"
        with httpx.Client(headers=ACCEPT, auth=Signing(lab["env"], "eks-mcp")) as http:
            http.headers["mcp-session-id"] = http.post(url, json=INITIALIZE).headers["mcp-session-id"]
            with http.stream("GET", url):
                assert http.post(url, json=LIST).status_code == 429


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--refusal", "418"], "is not one of"), (["--retry-after", "-1"], "range"), (["--retry-after", "soon"], "valid")],
)
def test_options_about_refusals_that_make_no_sense_are_refused(arguments: list[str], says: str) -> None:
    assert says in refused("lab", *arguments)
