"""What real clients print when the lab fails them, and what `mcpdoctor explain` and `mcpdoctor run` make of it.

The texts are not kept: each is printed anew by a client of the pinned version, in a venv of its own (`make stacks`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from mcpdoctor.lab import Lab
from stacks.conftest import Client, Ended, Explained

Explain = Callable[[str], Explained]

LAB = "lab.test"
LOCAL = "127.0.0.1"

REFUSED_401 = frozenset(
    {"unsigned", "wrong-service", "wrong-region", "bad-credentials", "expired-credentials", "wrong-auth-method"}
)
REFUSED_403 = REFUSED_401 | {"access-denied"}
"""What may be behind a status when the text does not hold the server's reason: any of these is an honest answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One program, one fault, and what a careful reader of the output knows.

    Attributes:
        stack: A venv.
        program: A client and its arguments behind the URL.
        fault: A key of `Lab.endpoints`, or a name that `url_of` knows.
        status: The HTTP status in the text.
        host: The host in the text.
        causes: Those that may be named; none where the text does not tell.
    """

    stack: str
    program: str
    fault: str
    status: int | None
    host: str | None
    causes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.stack}: {self.program}: {self.fault.removeprefix('fault/')}"


def row(stack: str, program: str, fault: str, status: int | None, host: str | None, *causes: str) -> Row:
    return Row(stack, program, fault, status, host, frozenset(causes))


SILENT = ()
"""The stack swallows the cause."""

ROWS = [
    # Strands with mcp 1.26: the status is in a group, in the cause of the exception or only in the log.
    row("strands-1.30", "strands_agent with", "auth/wrong-service", 401, LAB, *REFUSED_401),
    row("strands-1.30", "strands_agent agent", "auth/access-denied", 403, LAB, *REFUSED_403),
    row("strands-1.30", "strands_agent with", "auth/expired-token", 401, LAB, *REFUSED_401),
    row("strands-1.30", "strands_agent with info", "open/rate-limited", 429, LAB, "rate-limited"),
    row("strands-1.30", "strands_agent agent", "http/unavailable", 503, LAB, "server-error"),
    row("strands-1.30", "strands_agent with", "refused", None, None, "connection-refused"),
    row("strands-1.30", "strands_agent with", "tls/expired", None, None, "tls-failure"),
    row("strands-1.30", "strands_agent with", "http/html", None, None, "not-mcp"),
    row("strands-1.30", "strands_agent call", "call/tool-error", None, None, "access-denied"),
    row("strands-1.30", "strands_agent swallow", "auth/wrong-service", None, None, *SILENT),
    # With mcp 1.30 and the newest proxy the server's reason is in the message.
    row("strands-1.62", "strands_agent with", "auth/wrong-service", 401, LAB, "wrong-service"),
    row("strands-1.62", "strands_agent agent", "auth/wrong-region", 401, LAB, "wrong-region"),
    row("strands-1.62", "strands_agent agent", "auth/access-denied", 403, LAB, "access-denied"),
    row("strands-1.62", "strands_agent with", "auth/unknown-key", 401, LAB, "bad-credentials"),
    row("strands-1.62", "strands_agent call", "call/denied", 401, LAB, *REFUSED_401),
    row("strands-1.62", "strands_agent with", "open/rate-limited", 429, LAB, "rate-limited"),
    row("strands-1.62", "strands_agent agent", "refused", None, None, "connection-refused"),
    row("strands-1.62", "strands_agent swallow", "auth/wrong-service", None, None, *SILENT),
    # With mcp 2 every status becomes the same sentence, unless the body is JSON-RPC; the log of httpx2 has it.
    row("strands-1.62-mcp-2", "strands_agent with", "auth/unsigned", None, None, *SILENT),
    row("strands-1.62-mcp-2", "strands_agent agent", "auth/wants-bearer", None, None, *REFUSED_401),
    row(
        "strands-1.62-mcp-2",
        "strands_agent agent info",
        "auth/wants-bearer",
        401,
        LAB,
        "wrong-auth-method",
        *REFUSED_401,
    ),
    row("strands-1.62-mcp-2", "strands_agent with info", "open/rate-limited", 429, LAB, "rate-limited"),
    row("strands-1.62-mcp-2", "strands_agent with", "tls/untrusted", None, None, "tls-failure"),
    row("strands-1.62-mcp-2", "strands_agent with", "http/not-found", None, None, "not-found", "not-mcp"),
    # mcp alone.
    row("mcp-1.26", "low_level init", "auth/unsigned", 403, LAB, *REFUSED_403),
    row("mcp-1.26", "low_level init", "http/server-error", 500, LAB, "server-error"),
    row("mcp-1.26", "low_level init", "http/not-found", None, None, "not-found", "not-mcp", "session-lost"),
    row("mcp-1.26", "low_level init info", "http/not-found", 404, LAB, "not-found", "not-mcp"),
    row("mcp-1.26", "low_level init", "open/unsupported-protocol", None, None, "protocol-error"),
    row("mcp-1.26", "low_level init", "refused", None, None, "connection-refused"),
    row("mcp-1.30", "low_level init", "open/rate-limited-after-initialize", 429, LAB, "rate-limited"),
    row("mcp-1.30", "low_level init", "http/bad-gateway", 502, LAB, "server-error"),
    row("mcp-1.30", "low_level init", "http/redirected", None, None, "redirected"),
    row("mcp-1.30", "low_level init", "tls/wrong-name", None, None, "tls-failure"),
    row("mcp-1.30", "through_proxy init", "auth/wrong-service", 401, LAB, *REFUSED_401),
    row("mcp-1.30", "through_proxy init", "refused", None, None, "connection-refused"),
    row("mcp-2.3", "low_level init signed", "auth/wrong-service", None, None, *SILENT),
    row("mcp-2.3", "low_level init signed info", "auth/wrong-service", 401, LAB, *REFUSED_401),
    row("mcp-2.3", "high_level init", "http/unavailable", None, None, *SILENT),
    row("mcp-2.3", "high_level init", "open/rate-limited", None, None, "rate-limited"),
    row("mcp-2.3", "high_level init info", "open/rate-limited", 429, LAB, "rate-limited"),
    row("mcp-2.3", "high_level init", "http/html", None, None, "not-mcp"),
    row("mcp-2.3", "high_level init", "refused", None, None, "connection-refused"),
    row("mcp-2.3", "low_level call signed", "call/denied", None, None, *REFUSED_401),
    # fastmcp unwraps the group itself.
    row("fastmcp-3.4", "high_level init", "auth/unsigned", 403, LAB, *REFUSED_403),
    row("fastmcp-3.4", "high_level init", "open/rate-limited", 429, LAB, "rate-limited"),
    row("fastmcp-3.4", "high_level init", "refused", None, None, "connection-refused"),
    row("fastmcp-3.4", "high_level call", "call/tool-error", None, None, "access-denied"),
    row("fastmcp-4.1", "high_level init", "http/server-error", None, None, *SILENT),
    row("fastmcp-4.1", "high_level init info", "open/rate-limited", 429, LAB, "rate-limited"),
    row("fastmcp-4.1", "high_level init", "refused", None, None, "connection-refused"),
]

SOUND = [
    row("strands-1.30", "strands_agent with", "aws-mcp/us-east-1", None, None),
    row("strands-1.30", "strands_agent call info", "healthy/signed", None, None),
    row("strands-1.62", "strands_agent agent", "aws-mcp/us-east-1", None, None),
    row("strands-1.62-mcp-2", "strands_agent call info", "healthy/none", None, None),
    row("mcp-1.26", "low_level call info", "healthy/none", None, None),
    row("mcp-1.30", "through_proxy call", "healthy/signed", None, None),
    row("mcp-2.3", "high_level call info", "healthy/none", None, None),
    row("mcp-2.3", "low_level call signed info", "healthy/signed", None, None),
    row("fastmcp-3.4", "high_level call info", "healthy/none", None, None),
    row("fastmcp-4.1", "high_level call", "healthy/none", None, None),
]


def url_of(lab: Lab, fault: str) -> str:
    if fault == "refused":  # on plain HTTP, where no proxy stands between
        host, port = next(route for route in lab.connect_to if route.startswith("refused.")).rsplit(":", 2)[1:]
        return f"http://{host}:{port}/mcp"
    return lab.endpoints.get(f"fault/{fault}") or lab.endpoints[fault]


def perform(client: Client, lab: Lab, case: Row) -> Ended:
    program, *arguments = case.program.split()
    return client.run(case.stack, program, url_of(lab, case.fault), *arguments)


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_explain_reads_what_a_client_prints(case: Row, client: Client, lab: Lab, explain: Explain) -> None:
    ended = perform(client, lab, case)
    read = explain(ended.output)
    shown = f"{ended}\nexplained as\n{read.said}"

    assert read.status == case.status, shown
    host = urlsplit(read.url or "").hostname
    assert host == case.host, shown
    if case.causes:
        assert read.exit_code == 0, shown
        assert read.cause in case.causes, shown
    else:
        assert (read.exit_code, read.cause) == (1, "unexplained"), shown


@pytest.mark.parametrize("case", SOUND, ids=str)
def test_explain_names_nothing_where_nothing_failed(case: Row, client: Client, lab: Lab, explain: Explain) -> None:
    ended = perform(client, lab, case)
    assert ended.returncode == 0, ended
    read = explain(ended.output)
    assert (read.exit_code, read.cause) == (1, "unexplained"), f"{ended}\nexplained as\n{read.said}"


SWALLOWED = {
    row("mcp-2.3", "low_level init signed", "auth/wrong-service", None, None): "Server returned an error response",
    row("strands-1.30", "strands_agent swallow", "auth/wrong-service", None, None): "the client initialization failed",
    row("strands-1.62", "strands_agent swallow", "auth/wrong-service", None, None): "the client initialization failed",
}
"""Programs of which the text says only this, while the server gives its reason on the wire."""


@pytest.mark.parametrize("case", SWALLOWED, ids=str)
def test_run_names_the_cause_that_the_text_swallows(case: Row, client: Client, lab: Lab) -> None:
    alone = perform(client, lab, case)
    assert alone.returncode == 1, alone
    assert SWALLOWED[case] in alone.output, alone
    assert "401" not in alone.output, alone

    program, *arguments = case.program.split()
    ended, report = client.recorded(case.stack, program, url_of(lab, case.fault), *arguments)
    assert ended.returncode == 1, ended
    assert SWALLOWED[case] in ended.output, ended
    result = report["results"][0]
    assert (result["cause"], result["http_status"]) == ("wrong-service", 401), ended
    finding = next(finding for finding in result["findings"] if finding["cause"] == "wrong-service")
    assert "other-service" in finding["text"] + finding["remedy"], ended


@pytest.mark.parametrize("case", SOUND, ids=str)
def test_run_is_silent_where_nothing_failed(case: Row, client: Client, lab: Lab) -> None:
    program, *arguments = case.program.split()
    ended, report = client.recorded(case.stack, program, url_of(lab, case.fault), *arguments)
    assert ended.returncode == 0, ended
    assert "mcpdoctor" not in ended.output, ended
    assert not report["findings"], ended
    assert {result["cause"] for result in report["results"]} <= {None}, ended
