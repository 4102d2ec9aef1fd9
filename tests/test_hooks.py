"""After `mcpdoctor.install()` a failure that ends a program is followed by its explanation, and by nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import mcpdoctor, socket
mcpdoctor.install()

def fail():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        socket.create_connection(held.getsockname())

class LostError(Exception):
    pass
LostError.__module__ = "mcp.shared.exceptions"
"""
HEAD = "mcpdoctor: connection-refused: Nothing listens there [tcp-refused]"


def run(script: str, *, code: int, prelude: str = PRELUDE, **environ: str) -> str:
    """Run a program; what it writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", f"{prelude}\n{textwrap.dedent(script)}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environ},
    )
    assert (done.returncode, done.stdout) == (code, ""), done.stdout + done.stderr
    return done.stderr


def test_an_unhandled_exception_is_printed_as_ever_and_then_explained() -> None:
    with_hook = run("fail()", code=1)
    without = run("fail()", code=1, prelude=PRELUDE.replace("mcpdoctor.install()", "pass # the same length"))
    traceback, _, explanation = with_hook.partition("\nmcpdoctor: ")
    assert traceback == without
    assert explanation.startswith("connection-refused: Nothing listens there [tcp-refused]\n")
    assert explanation.endswith("\n")


def test_a_thread_is_explained() -> None:
    error = run("import threading\nthread = threading.Thread(target=fail)\nthread.start()\nthread.join()", code=0)
    assert error.startswith("Exception in thread Thread-1 (fail):\nTraceback (most recent call last):\n")
    assert error.count(HEAD) == 1
    assert error.index("ConnectionRefusedError") < error.index(HEAD)


def test_a_task_whose_exception_nobody_asks_for_is_explained() -> None:
    script = """
        import asyncio

        async def work():
            fail()

        async def main():
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            del task

        asyncio.run(main())
    """
    error = run(script, code=0)
    assert error.startswith("Task exception was never retrieved\n")
    assert error.count(HEAD) == 1


def test_what_ends_asyncio_run_is_explained_once() -> None:
    error = run("import asyncio\nasync def main():\n    fail()\nasyncio.run(main())", code=1)
    assert error.count(HEAD) == 1


def test_a_group_is_explained() -> None:
    script = """
        import asyncio

        async def work():
            fail()

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(work())

        asyncio.run(main())
    """
    error = run(script, code=1)
    assert "Exception Group Traceback (most recent call last):" in error
    assert error.count(HEAD) == 1


@pytest.mark.parametrize("times", [2, 5])
def test_a_second_call_changes_nothing(times: int) -> None:
    assert run("mcpdoctor.install()\n" * (times - 1) + "fail()", code=1).count(HEAD) == 1


def test_a_failure_that_has_nothing_to_do_with_mcp_is_left_alone() -> None:
    error = run("1 / 0", code=1)
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith("ZeroDivisionError: division by zero\n")


def test_a_swallowed_failure_of_an_mcp_library_is_told_to_be_unexplained() -> None:
    error = run("raise LostError('the client initialization failed')", code=1)
    assert "mcp.shared.exceptions.LostError: the client initialization failed" in error
    assert "\nmcpdoctor: unexplained: " in error


@pytest.mark.parametrize(("script", "code"), [("raise SystemExit(3)", 3), ("import sys; sys.exit()", 0), ("pass", 0)])
def test_a_program_that_ends_as_it_wants_is_left_alone(script: str, code: int) -> None:
    assert run(script, code=code) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends an interrupted program otherwise")
def test_an_interrupt_is_left_alone() -> None:
    error = run("raise KeyboardInterrupt", code=-2)
    assert error.endswith("KeyboardInterrupt\n")


def test_a_hook_that_was_there_is_called_first() -> None:
    prelude = "import sys\nsys.excepthook = lambda *args: print('mine', file=sys.stderr)\n" + PRELUDE
    assert run("fail()", code=1, prelude=prelude).startswith(f"mine\n\n{HEAD}\n")


def test_a_handler_that_a_program_gives_its_loop_stays_its_own() -> None:
    script = """
        import asyncio, sys

        async def work():
            fail()

        async def main():
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: print("mine", file=sys.stderr))
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            del task

        asyncio.run(main())
    """
    assert run(script, code=0) == "mine\n"


def test_an_explanation_that_fails_does_not_hide_the_failure() -> None:
    script = """
        import mcpdoctor.explanation

        def broken(exc):
            raise RuntimeError("no")

        mcpdoctor.explanation.explain = broken
        fail()
    """
    error = run(script, code=1)
    assert "ConnectionRefusedError" in error
    assert error.endswith("\nmcpdoctor could not explain this (RuntimeError).\n")


def test_a_program_without_standard_error_ends_as_ever() -> None:
    assert run("import sys\nsys.stderr = None\nfail()", code=1) == ""


def test_a_standard_error_of_another_encoding_is_written_to(tmp_path: Path) -> None:
    script = "raise LostError('the café is closed: connect ECONNREFUSED \\u2014')"
    error = run(script, code=1, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert "mcpdoctor: connection-refused" in error


def test_installing_imports_nothing_heavy() -> None:
    script = """
        import sys
        heavy = {"httpx", "mcp", "botocore", "pydantic", "anyio", "click", "mcpdoctor.explanation", "mcpdoctor.reading"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    assert run(script, code=0) == ""


def test_a_shell_of_ipython_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    script = """
        import sys
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        sys.stdout = sys.stderr
        assert shell.run_cell(PRELUDE).success
        assert not shell.run_cell("fail()").success
    """
    error = run(script, code=0, IPYTHONDIR=str(tmp_path), prelude=f"PRELUDE = {PRELUDE!r}")
    assert "ConnectionRefusedError" in error
    assert error.count(HEAD) == 1
