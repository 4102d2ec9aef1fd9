"""Entry point of `mcpdoctor` and `python -m mcpdoctor`."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

_COMPLETING = "_MCPDOCTOR_COMPLETE"


def main() -> None:
    """Run the command line; exits with the codes of the design, never with a traceback."""
    # httpx imports its own command line where click and rich are installed: a tenth of a run that fails early.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None makes the import fail, which httpx expects
    # Importing the MCP client makes a million objects that stay; looking through them for garbage is a tenth of a run.
    gc.set_threshold(100_000)
    try:
        if command := _bare_run(sys.argv[1:]):
            _run(command)
        from mcpdoctor.cli import cli

        if _COMPLETING in os.environ:
            from mcpdoctor.cli.completing import register

            register()
        cli(prog_name="mcpdoctor")
    except KeyboardInterrupt:
        sys.exit(1)  # before there was anything to report
    except BrokenPipeError:
        # The reader of a pipe has gone (| head). Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the last resort: one sentence in place of a traceback
        if os.environ.get("MCPDOCTOR_DEBUG"):
            raise
        from mcpdoctor.redaction import clean

        what = clean(f"{type(error).__name__}: {error}", limit=300)
        sys.stderr.write(
            f"mcpdoctor itself failed: {what}\n"
            "Please report it with the command you ran; MCPDOCTOR_DEBUG=1 shows the traceback.\n"
        )
        sys.exit(70)


def _bare_run(words: list[str]) -> list[str]:
    """The command of `mcpdoctor run COMMAND…` without options; else nothing, and click reads what is meant."""
    if words[:1] != ["run"] or _COMPLETING in os.environ:
        return []
    command = words[2:] if words[1:2] == ["--"] else words[1:]
    return command if command and not command[0].startswith("-") else []


def _run(command: list[str]) -> NoReturn:
    """Run a program before click is imported: somebody waits for it to start."""
    from mcpdoctor import running

    def report(ended: running.Run) -> None:
        from mcpdoctor.cli.run import explain_run

        explain_run(ended)

    running.execute(command, os.environ, report)


if __name__ == "__main__":
    main()
