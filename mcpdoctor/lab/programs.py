"""Commands that are no MCP servers, or bad ones: what a client may find behind an entry of its file.

`python -m mcpdoctor.lab.programs NAME` behaves as the command of that name, in the words that the real programs use.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

_USAGE = """usage: mcp-proxy-for-aws [-h] [--service SERVICE] [--profile PROFILE [PROFILE ...]]
                         [--region REGION] [endpoint]
mcp-proxy-for-aws: error: unrecognized arguments: --regoin us-east-1
"""
_NO_PACKAGE = """  \u00d7 No solution found when resolving tool dependencies:
  ╰─▶ Because mcp-proxy-for-awss was not found in the package registry and you require mcp-proxy-for-awss, we can
      conclude that your requirements are unsatisfiable.
"""
_NO_NETWORK = """error: Failed to fetch: `https://pypi.org/simple/mcp-proxy-for-aws/`
  Caused by: Request failed after 3 retries
  Caused by: error sending request for url (https://pypi.org/simple/mcp-proxy-for-aws/)
  Caused by: client error (Connect)
  Caused by: dns error: failed to lookup address information: Temporary failure in name resolution
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a command behaves.

    Attributes:
        name: the last part of its key; `start/NAME`.
        summary: what it does, in a sentence.
        errors: what it writes to standard error.
        output: what it writes to standard output.
        exit_code: how it ends; None for one that stays and says nothing.
        refuses: whether it answers every request with a JSON-RPC error.
    """

    name: str
    summary: str
    errors: str = ""
    output: str = ""
    exit_code: int | None = 1
    refuses: bool = False


PROGRAMS = {
    one.name: one
    for one in (
        Program(name="arguments", summary="The program refuses its arguments.", errors=_USAGE, exit_code=2),
        Program(name="no-package", summary="uvx does not find the package.", errors=_NO_PACKAGE),
        Program(name="no-network", summary="uvx does not reach PyPI.", errors=_NO_NETWORK, exit_code=2),
        Program(
            name="no-module",
            summary="Python has no such module.",
            errors="/usr/bin/python3: No module named mcp_proxy_for_aws\n",
        ),
        Program(
            name="no-engine",
            summary="Docker does not run.",
            errors="docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
            "running?\n",
            exit_code=125,
        ),
        Program(
            name="noise",
            summary="It prints a greeting, and no MCP.",
            output="Welcome to the machine!\n",
            exit_code=None,
        ),
        Program(name="ended", summary="It ends without a word.", exit_code=3),
        Program(name="silent", summary="It never answers.", exit_code=None),
        Program(name="refusing", summary="It answers every request with an error.", exit_code=None, refuses=True),
    )
}
"""By name. Two more are no programs: for `start/missing` nobody has the command, for `start/unusable` it cannot run."""


def behave(program: Program) -> int:
    """Be a program, to its end.

    Returns:
        Its exit code.
    """
    sys.stderr.write(program.errors)
    sys.stderr.flush()
    sys.stdout.write(program.output)
    sys.stdout.flush()
    if program.exit_code is not None:
        return program.exit_code
    if program.refuses:
        import json

        for line in sys.stdin:
            request = json.loads(line)
            if "id" in request:
                error = {"code": -32602, "message": "Invalid request parameters", "data": ""}
                sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}) + "\n")
                sys.stdout.flush()
        return 0
    while sys.stdin.read(1):
        time.sleep(0)
    return 0


if __name__ == "__main__":
    sys.exit(behave(PROGRAMS[sys.argv[1]]))
