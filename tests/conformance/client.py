"""What the suite runs as the client: the real command line, with the URL that the suite appends.

Where a scenario wants a tool called, `--tool` says so, as a user would. MCPDOCTOR_REPORT names a file for the report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CALLS = {
    "tools_call": ("add_numbers", {"a": 2, "b": 3}),
    "sse-retry": ("test_reconnection", {}),
    "elicitation-sep1034-client-defaults": ("test_client_elicitation_defaults", {}),
}
"""By scenario: the tool that its server waits to be called, and arguments."""


def main() -> int:
    command = [str(Path(sys.executable).with_name("mcpdoctor")), "check", "--credential", "none", sys.argv[-1]]
    if called := CALLS.get(os.environ.get("MCP_CONFORMANCE_SCENARIO", "")):
        tool, arguments = called
        command += ["--tool", tool, "--arguments", json.dumps(arguments)]
    if report := os.environ.get("MCPDOCTOR_REPORT"):
        command += ["--output", f"json:{report}"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
