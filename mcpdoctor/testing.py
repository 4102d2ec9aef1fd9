"""The lab as a fixture of pytest: an integration test of one's own, without AWS and without an account.

Installing mcpdoctor is enough; pytest finds the fixture.

    def test_the_agent_finds_documentation(mcp_lab):
        agent = make_agent(mcp_lab.url("aws-mcp"), service="aws-mcp", region="us-east-1")
        assert agent.ask("What is S3?")

    @pytest.mark.mcp_lab(limits="sessions:2")
    def test_the_agent_survives_throttling(mcp_lab): ...

    def test_the_agent_says_what_is_wrong(mcp_lab):
        with pytest.raises(AgentError, match="expired"):
            make_agent(mcp_lab.url("fault/auth/expired-credentials"), service="aws-mcp", region="us-east-1")
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mcpdoctor.lab import Lab, Options

MARKER = "mcp_lab"
_MARKER_HELP = "mcp_lab(**options): how the lab of this test behaves, such as limits='sessions:2' or noise=0.05"


def add_marker(config: pytest.Config) -> None:
    """Make the marker `mcp_lab` known to pytest."""
    config.addinivalue_line("markers", _MARKER_HELP)


@pytest.fixture
def mcp_lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A running lab: local MCP servers that verify signatures and answer as those of AWS do.

    Each test has one of its own, on free ports of 127.0.0.1, so tests may run side by side; it starts in some 20 ms.
    While it runs, the AWS settings of the environment are those of the lab alone: no key, profile or file of the
    machine can be used by mistake. Its options are those of `mcpdoctor.lab.Options`, given by the marker `mcp_lab`.

    Yields:
        The lab. `url(name)` is where a server or a fault answers, `env` what an AWS client needs, `requests` what came
        in.

    Raises:
        pytest.UsageError: the marker names no option, or a value that makes no sense.
    """
    from mcpdoctor.lab import Lab

    with Lab(_options(request.node)) as lab:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {**_NOTHING_ELSE, **lab.env}.items():
            monkeypatch.setenv(name, value)
        yield lab


_NOTHING_ELSE = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def _options(node: Any) -> Options:
    from mcpdoctor.lab import Options

    given: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers(MARKER))):  # the nearest one last: it wins
        if marker.args:
            raise pytest.UsageError(f"{node.nodeid}: the options of mcp_lab have names, such as limits='sessions:2'.")
        given |= marker.kwargs
    known = [one.name for one in fields(Options)]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            raise pytest.UsageError(f"{node.nodeid}: mcp_lab has no option {name}; {hint}")
    if isinstance(limits := given.get("limits"), str):
        given["limits"] = (limits,)
    from mcpdoctor.lab import Lab

    options = Options(**given)
    try:
        Lab(options)  # not started: it only reads its options
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{node.nodeid}: mcp_lab: {error}") from error
    return options
