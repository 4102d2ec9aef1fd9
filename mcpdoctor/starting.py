"""Start the command of an entry, talk MCP to it over its pipes, and leave nothing of it running.

The sessions are those of the `mcp` SDK. The pipes are our own: the transport of the SDK does not tell how a program
ended, keeps a line of any length, and leaves the children of a program behind where it is cancelled.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc

from mcpdoctor import __version__, probes
from mcpdoctor.matrix import Call, Cell, Start
from mcpdoctor.model import Fact, Stage, Trace, Verdict
from mcpdoctor.outcomes import Outcome, evidence
from mcpdoctor.redaction import clean

if TYPE_CHECKING:
    from mcp import ClientSession

KEPT_ERRORS = 64 * 1024
"""Bytes that are kept of the end of a program's standard error."""

LONGEST_LINE = 8 * 2**20
"""Bytes of one message; a program that writes more without a line end is no MCP server."""

_SHOWN = 6000
_READ_AT_ONCE = 65536
_CLOSING_S = 1.0
_ENDING_S = 1.0
_DRAINING_S = 0.3
_EXITING_S = 3.0
_POSIX = os.name == "posix"
_TELLING = re.compile(
    r"(?i)\b(?:error|denied|fail|cannot|could not|not found|no module|refused|invalid|exception)|\u00d7"
)


class Program:
    """A command that was started, and the traffic on its pipes.

    Args:
        process: that runs it.

    Attributes:
        exit_code: how it ended, a negative number for a signal; None while it runs.
        gone: set once it has ended.
        told: whether it was told to end, so that how it ended tells nothing.
        noise: the first line on standard output that is no message.
        noises: how many such lines there were.
        messages: how many messages it sent.
        mute: whether its standard output has ended.
        flooded: whether it wrote a line that is too long for a message.
        said: what the session receives.
        asked: what the session sends.
    """

    def __init__(self, process: anyio.abc.Process) -> None:
        self.process = process
        self.exit_code: int | None = None
        self.gone, self.silent = anyio.Event(), anyio.Event()
        self.told = self.flooded = self.mute = False
        self.noise, self.noises, self.messages = "", 0, 0
        self._errors: deque[bytes] = deque()
        self._size = 0
        self._to_session, self.said = anyio.create_memory_object_stream[Any](16)
        self.asked, self._from_session = anyio.create_memory_object_stream[Any](16)

    def words(self, secrets: tuple[str, ...]) -> str:
        """What it said on standard error, safe to show; of much, the end."""
        text = b"".join(self._errors)[-KEPT_ERRORS:].decode("utf-8", errors="replace")
        # The end tells how it ended, and `clean` keeps the beginning: cleaned as a whole, then cut at a line.
        masked = clean(text, limit=2 * KEPT_ERRORS, secrets=secrets)
        if len(masked) <= _SHOWN:
            return masked.strip()
        return masked[-_SHOWN:].partition("\n")[2].strip() or masked[-_SHOWN:]

    async def read(self) -> None:
        """Pass on the messages that it writes, and count what else it writes."""
        from mcp.shared.message import SessionMessage
        from mcp.types import JSONRPCMessage

        assert self.process.stdout is not None  # noqa: S101  # it is a pipe
        buffer = b""
        async with self._to_session:
            with _until_closed():
                while not self.flooded:
                    buffer += await self.process.stdout.receive(_READ_AT_ONCE)
                    *lines, buffer = buffer.split(b"\n")
                    self.flooded = len(buffer) > LONGEST_LINE
                    for line in filter(bytes.strip, lines):
                        try:
                            message = JSONRPCMessage.model_validate_json(line)
                        except ValueError:
                            self._not_a_message(line)
                        else:
                            self.messages += 1
                            await self._to_session.send(SessionMessage(message))
                self._not_a_message(buffer)
            self.mute = True

    def _not_a_message(self, line: bytes) -> None:
        self.noises += 1
        self.noise = self.noise or clean(line[:400].decode(errors="replace"), limit=200)

    async def write(self) -> None:
        """Write the messages that the session sends."""
        assert self.process.stdin is not None  # noqa: S101  # it is a pipe
        with _until_closed(), suppress(OSError):
            async for one in self._from_session:
                text = one.message.model_dump_json(by_alias=True, exclude_none=True)
                await self.process.stdin.send(f"{text}\n".encode())

    async def listen(self) -> None:
        """Keep the end of what it says on standard error."""
        assert self.process.stderr is not None  # noqa: S101  # it is a pipe
        with _until_closed():
            while True:
                data = await self.process.stderr.receive(_READ_AT_ONCE)
                self._errors.append(data)
                self._size += len(data)
                while self._size > KEPT_ERRORS and len(self._errors) > 1:
                    self._size -= len(self._errors.popleft())
        self.silent.set()

    async def watch(self) -> None:
        """Wait for its end, and tell the session."""
        self.exit_code = await self.process.wait()
        self.gone.set()
        # A child that was left behind may hold the pipes open; what the program said is read by then.
        await anyio.sleep(_DRAINING_S)
        await self._to_session.aclose()

    async def end(self) -> None:
        """End it and its children: by closing its input, then by asking, then by force."""
        self.told = self.exit_code is None
        with suppress(Exception):
            assert self.process.stdin is not None  # noqa: S101  # it is a pipe
            await self.process.stdin.aclose()
        for number, seconds in ((None, _CLOSING_S), (signal.SIGTERM, _ENDING_S)):
            if number is not None:
                self.send(number)
            with anyio.move_on_after(seconds):
                await self.process.wait()
                break
        self.kill()
        with anyio.move_on_after(_DRAINING_S):
            await self.silent.wait()  # what it said while it ended is evidence too

    def kill(self) -> None:
        """End whatever is left of it, at once."""
        self.send(signal.SIGKILL if _POSIX else signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its whole group; nothing where that is gone."""
        with suppress(ProcessLookupError, PermissionError):
            if _POSIX:
                os.killpg(self.process.pid, number)
            elif self.process.returncode is None:
                self.process.kill()

    def close(self) -> None:
        """Close the streams of messages."""
        for stream in (self._to_session, self.said, self.asked, self._from_session):
            stream.close()


@contextmanager
def _until_closed() -> Iterator[None]:
    """What is done until a pipe or a stream is closed."""
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        yield


def locate(start: Start) -> str | None:
    """Where a client finds the program; None where it does not."""
    path = start.environ.get("PATH", os.defpath)
    program = start.command[0]
    if start.cwd and os.path.dirname(program) and not os.path.isabs(program):  # noqa: PTH117, PTH120
        program = os.path.join(start.cwd, program)  # noqa: PTH118  # as execvp would see it from there
    return shutil.which(program, path=path)


@asynccontextmanager
async def running(start: Start) -> AsyncIterator[Program]:
    """Start a command; at the end of the block it and all that it started are gone.

    Args:
        start: what to start.

    Yields:
        The program; `said` and `asked` are the streams that a `ClientSession` takes.

    Raises:
        OSError: it cannot be executed.
    """
    program_path = start.command[0] if _POSIX else locate(start) or start.command[0]
    process = await anyio.open_process(
        [program_path, *start.command[1:]],
        env=dict(start.environ),
        cwd=start.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A group of its own, so that it and its children can be ended together; Ctrl-C does not reach it there.
        start_new_session=_POSIX,
    )
    program = Program(process)
    try:
        async with anyio.create_task_group() as tasks:
            for work in (program.read, program.write, program.listen, program.watch):
                tasks.start_soon(work)
            try:
                yield program
            finally:
                with anyio.CancelScope(shield=True):
                    await program.end()
                tasks.cancel_scope.cancel()
    finally:
        program.kill()
        program.close()
        with anyio.CancelScope(shield=True):
            await process.aclose()


# the session ----------------------------------------------------------------------------------------------------------


class Conversation:
    """One session with the server that a command starts: stages open, list and call.

    Args:
        cell: what to try; it has a command.
        timeout_s: deadline of stages list and call.
        start_timeout_s: deadline of stage open, the start of the program included.
    """

    def __init__(self, cell: Cell, *, timeout_s: float, start_timeout_s: float) -> None:
        assert cell.start is not None  # noqa: S101  # the engine asks before
        self.cell, self.start = cell, cell.start
        self.timeout_s, self.start_timeout_s = timeout_s, start_timeout_s
        self.secrets = self.start.secrets
        self.traces: list[Trace] = []
        self.under_way: Stage | None = Stage.OPEN
        self.facts: dict[str, Fact] = {}
        self.program: Program | None = None
        self.began = time.perf_counter()

    @property
    def failed(self) -> bool:
        """Whether a stage failed."""
        return any(one.verdict in (Verdict.FAILED, Verdict.BROKEN) for one in self.traces)

    async def hold(self) -> None:
        """Start, open, list, call, end; what became of it stands in `traces`."""
        self.facts = self._of_start()
        if self.facts["command_found"] is False:
            self.traces.append(Trace(stage=Stage.OPEN, verdict=Verdict.FAILED, facts=self.facts))
            return
        with evidence(self.secrets) as outcome:
            await self._talk()
        if self.under_way is not None and outcome.verdict is not Verdict.PASSED:
            self._keep(self.under_way, outcome)

    def _of_start(self) -> dict[str, Fact]:
        secrets = self.secrets
        found = locate(self.start) is not None
        return {
            **({} if found else {"connected_early": False}),  # of what does not start, every client says so
            "command": clean(self.start.command[0], limit=200, secrets=secrets),
            "command_line": clean(self.start.shown, limit=400, secrets=secrets),
            "command_found": found,
            "command_elsewhere": clean(self.start.found, limit=300) if self.start.found else None,
            "elsewhere_note": f" Your shell finds {clean(self.start.found, limit=300)}." if self.start.found else "",
            "start_deadline_s": self.start_timeout_s,
            "said_note": "",
            "direct_note": "",
        }

    async def _talk(self) -> None:
        from mcp import ClientSession
        from mcp.types import Implementation

        who = Implementation(name="mcpdoctor", version=__version__)
        async with running(self.start) as program:
            self.program = program
            try:
                async with ClientSession(program.said, program.asked, client_info=who) as one:
                    await self._stages(one)
            except Exception:
                # Why the pipe closed is known once the program has ended.
                with anyio.move_on_after(_EXITING_S if program.mute else 0):
                    await program.gone.wait()
                self._of_program(program)
                raise

    async def _stages(self, one: ClientSession) -> None:
        async with self._stage(Stage.OPEN, self.start_timeout_s):
            await probes.open_session(one, self.facts)
        async with self._stage(Stage.LIST, self.timeout_s):
            await probes.list_tools(one, self.facts)
        tools = self.facts.get("tools", ())
        call = self._call(tools if isinstance(tools, tuple) else ())
        if call is None:
            reason = "no tool was named; --tool NAME calls one"
            self.traces.append(Trace(stage=Stage.CALL, verdict=Verdict.SKIPPED, reason=reason))
            self.under_way = None
            return
        async with self._stage(Stage.CALL, self.timeout_s):
            self.facts["listed"] = tools
            await probes.call_tool(one, call, self.facts)

    def _call(self, tools: tuple[str, ...]) -> Call | None:
        """What to call: the tool that was asked for, else the harmless one of the endpoint.

        A tool that does not exist proves nothing here: the proxy refuses it by itself.
        """
        if self.cell.call is not None:
            return self.cell.call
        probe = self.cell.endpoint.anonymous_probe if self.cell.endpoint else None
        return Call(tool=probe, arguments={}) if probe and probe in tools else None

    @asynccontextmanager
    async def _stage(self, stage: Stage, seconds: float) -> AsyncIterator[None]:
        if stage is not Stage.OPEN:
            self.facts, self.began = {}, time.perf_counter()
        self.under_way = stage
        with anyio.fail_after(seconds):
            yield
        self.under_way = None
        if stage is Stage.OPEN and self.start.patience_s is not None:
            took = time.perf_counter() - self.began
            self.facts |= {
                "open_s": round(took, 1),
                "patience_s": self.start.patience_s,
                "slower_than_client": took > self.start.patience_s,
            }
        self._keep(stage, Outcome())
        self.under_way = next((later for later in (Stage.LIST, Stage.CALL) if later not in self._reached()), None)

    def _reached(self) -> set[Stage]:
        return {one.stage for one in self.traces}

    def _keep(self, stage: Stage, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.FAILED and self.program is not None:
            self._of_program(self.program)
        facts = {name: self._masked(value) for name, value in self.facts.items()}
        elapsed_s = round(time.perf_counter() - self.began, 6)
        # The groups are those of the tasks that serve the pipes.
        outcome.failures = tuple(
            tuple(link for link in chain if not link.type.endswith("ExceptionGroup")) for chain in outcome.failures
        )
        self.traces.append(outcome.trace(stage, elapsed_s=elapsed_s, facts=facts))

    def _masked(self, value: Fact) -> Fact:
        if isinstance(value, str):
            return clean(value, secrets=self.secrets, limit=2 * _SHOWN)
        return tuple(clean(one, secrets=self.secrets) for one in value) if isinstance(value, tuple) else value

    def _of_program(self, program: Program) -> None:
        """What a failure shows of the program: whether it ended by itself, and what it said."""
        if "ended" in self.facts:
            return
        ended = program.exit_code is not None and not program.told
        words = program.words(self.secrets)
        said = _telling(words) or program.noise
        self.facts |= {
            **{name: value for name, value in self._of_start().items() if name not in self.facts},
            "started": True,
            "answered": program.messages > 0,
            "ended": ended,
            "exit_note": _exit_note(program.exit_code) if ended else "",
            "stdout_noise": program.noise or None,
            "stdout_noises": program.noises,
            "flooded": program.flooded,
            "words": words,
            "said_note": f" It said: {said}." if said else " It said nothing on standard error.",
        }


def _exit_note(code: int | None) -> str:
    if code is None:
        return ""
    if code < 0:
        with suppress(ValueError):
            return f"by signal {signal.Signals(-code).name}"
    return f"with exit code {code}"


def _telling(words: str) -> str:
    """The line that tells the most: the last one that speaks of an error, else the last one."""
    lines = [" ".join(line.split()) for line in words.splitlines() if line.strip(" │╰─▶╭╮╯|")]
    telling = [line for line in lines if _TELLING.search(line)]
    return clean((telling or lines or [""])[-1], limit=300).rstrip(".")
