"""What a program starts is read like an entry of a client's file."""

from __future__ import annotations

import pytest

from mcpdoctor.clients import known, python, reach
from mcpdoctor.clients.entries import Server
from mcpdoctor.clients.known import Transport
from mcpdoctor.clients.python.servers import server_of
from mcpdoctor.clients.python.values import Place
from mcpdoctor.clients.source import Source

CALLS = python.load()
START = "from mcp import StdioServerParameters\n"


def server(text: str) -> Server:
    source = Source("agent.py", text)
    (usage,) = python.read(text.encode(), "agent.py", CALLS).usages

    def sources(_: Place) -> Source:
        return source

    return server_of(usage, sources)


def test_a_command_in_a_program_leads_to_the_proxy() -> None:
    one = server(
        f"{START}URL = 'https://aws-mcp.us-east-1.api.aws/mcp'\n"
        "StdioServerParameters(command='uvx', args=['mcp-proxy-for-aws@1.6.4', URL, '--service', 'iam'],"
        " env={'AWS_PROFILE': 'dev'})\n"
    )
    found = reach(one, known())
    assert one.transport is Transport.STDIO
    assert found.proxy is not None
    assert (found.proxy.service.value, found.proxy.region.value) == ("iam", "us-east-1")
    assert found.proxy.service.at is not None
    assert found.proxy.service.at.raw == "'iam'"
    assert found.proxy.endpoint is not None
    assert str(found.proxy.endpoint.at.place) == "agent.py:2:7"
    assert found.proxy.endpoint.at.raw == ""  # a constant may be used elsewhere: no edit can touch it
    assert str(found.proxy.service.at.place) == "agent.py:3:89"
    assert found.configuration is not None
    assert found.configuration.credential == "profile:dev"


def test_a_program_passes_no_profile_of_its_own_on() -> None:
    one = server(
        f"{START}StdioServerParameters(command='uvx', args=['mcp-proxy-for-aws', 'https://aws-mcp.us-east-1.api.aws/mcp'])"
    )
    found = reach(one, known(), environ={"AWS_PROFILE": "dev"})
    assert found.configuration is not None
    assert found.configuration.credential == "default"


@pytest.mark.parametrize("args", ["sys.argv", "['mcp-proxy-for-aws', *sys.argv]", "[make()]"])
def test_of_arguments_that_are_not_known_nothing_is_told(args: str) -> None:
    one = server(f"import sys\n{START}StdioServerParameters(command='uvx', args={args})")
    assert reach(one, known()).configuration is None


def test_a_lone_carriage_return_ends_a_line() -> None:
    assert str(Source("a.py", "a\rbc\r\nd\ne").place(8)) == "a.py:4:1"
