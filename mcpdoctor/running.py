"""Run a program as if mcpdoctor were not there, with the recorder in it, and end as it ended.

Little is imported before the program has started, and nothing more after a run that went well.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.model import Finding, Report
    from mcpdoctor.recording import Conversation, Message, Recording

NOT_FOUND = 127
"""Exit code for a command that does not exist, as of env(1) and the shells."""

NOT_EXECUTABLE = 126
"""Exit code for one that exists and cannot be executed."""

KEPT_ERRORS = 2**20
"""Bytes that are kept of the end of a program's standard error."""

OPENING = frozenset({"initialize", "server/discover", "tools/list"})
"""JSON-RPC methods without which a server is of no use: an error in answer to one is a failure of the proxy."""

RECORD = "MCPDOCTOR_RECORD"
"""Environment variable that tells the recorder where to write; `mcpdoctor_recorder.VARIABLE`."""

_READ_AT_ONCE = 65536
_DRAIN_S = 1.0

# What a person or another program sends to stop, pause or inform; not what the kernel sends for a fault.
_FORWARDED = tuple(
    getattr(signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)


class NotStarted(Exception):
    """The command cannot be started. The message is one sentence.

    Attributes:
        exit_code: what env(1) would exit with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(slots=True, kw_only=True)
class Run:
    """A program that has ended.

    Attributes:
        returncode: its exit code; of a program that a signal killed, the negative number of the signal.
        started: seconds since the epoch.
        ended: the same.
        directory: where its recorders wrote; None where no directory could be made.
        errors: the end of its standard error; empty where that was not read.
        messages: errors on its pipes, where it is a stdio proxy.
        proxy: whether it is one: an MCP client is at both ends of its pipes.
        told: signals that were passed on to it.
    """

    returncode: int
    started: float
    ended: float
    directory: Path | None
    errors: bytes
    messages: tuple[Message, ...]
    proxy: bool
    told: tuple[int, ...]

    @property
    def failed(self) -> bool:
        """Whether there is something to explain.

        A client ends its proxy by closing the pipes or by a signal, so how a proxy ended says nothing where it was
        told to end; what it answered does.
        """
        if self.proxy:
            refused = any(one.rpc_method in OPENING for one in self.messages)
            return refused or (self.returncode != 0 and not self.told)
        return self.returncode != 0

    def recording(self) -> Recording:
        """Everything that was recorded."""
        from mcpdoctor.recording import read

        return read(
            self.directory,
            started=self.started,
            ended=self.ended,
            text=self.errors.decode("utf-8", errors="replace"),
            messages=self.messages,
        )

    def report(self, recording: Recording, catalogue: Catalogue, findings: tuple[Finding, ...]) -> Report:
        """Everything that was recorded, judged.

        Args:
            recording: of this run.
            catalogue: the checks.
            findings: of the run as a whole.
        """
        import platform
        from dataclasses import replace
        from datetime import UTC, datetime

        from mcpdoctor import __version__
        from mcpdoctor.model import Environment, Report
        from mcpdoctor.recording import results
        from mcpdoctor.verdict import conclude

        began = datetime.fromtimestamp(self.started, UTC)
        report = Report(
            mcpdoctor=__version__,
            started=began.isoformat(timespec="seconds").replace("+00:00", "Z"),
            elapsed_s=round(self.ended - self.started, 6),
            environment=Environment(
                python=", ".join(recording.interpreters), platform=platform.platform(), packages=recording.versions
            ),
            results=results(recording),
        )
        return replace(conclude(report, catalogue), exit_code=exit_code(self.returncode), findings=findings)

    def leave(self) -> NoReturn:
        """Remove what was recorded, and end as the program ended."""
        remove(self.directory)
        if self.returncode < 0:
            _die_of(-self.returncode)
        sys.exit(self.returncode)


def exit_code(returncode: int) -> int:
    """What a shell would say: of a program that a signal killed, 128 and the number of the signal."""
    return 128 - returncode if returncode < 0 else returncode


def run(command: Sequence[str], environ: Mapping[str, str]) -> Run:
    """Run `command` to its end.

    Args:
        command: the program and its arguments.
        environ: its environment; what the recorder needs is added.

    Raises:
        NotStarted: there is no such command, or it cannot be executed.
    """
    directory = private_directory(environ)
    try:
        return _run(command, _with_recorder(environ, directory), directory)
    except BaseException:
        remove(directory)
        raise


def execute(
    command: Sequence[str], environ: Mapping[str, str], report: Callable[[Run], None], *, always: bool = False
) -> NoReturn:
    """Run `command`, report where there is something to explain, and end as it ended.

    Args:
        command: the program and its arguments.
        environ: its environment.
        report: says on standard error what became of it.
        always: report after a success too.
    """
    try:
        ended = run(command, environ)
    except NotStarted as error:
        say(f"mcpdoctor run: {error}\n")
        sys.exit(error.exit_code)
    try:
        if always or ended.failed:
            report(ended)
    except Exception as error:  # noqa: BLE001  # the program has run; its exit code is what counts
        from mcpdoctor.redaction import clean

        say(f"mcpdoctor could not report: {clean(f'{type(error).__name__}: {error}', limit=300)}\n")
    finally:
        ended.leave()


def say(text: str) -> None:
    """Write to standard error, if anybody is there to read it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _run(command: Sequence[str], environ: Mapping[str, str], directory: Path | None) -> Run:
    proxy = _is_pipe(0) and _is_pipe(1)
    tee = not _is_terminal(2) and not _same_file(1, 2)
    started = time.time()
    with _Signals() as signals:
        process = _start(
            command,
            env=environ,
            stdin=subprocess.PIPE if proxy else None,
            stdout=subprocess.PIPE if proxy else None,
            stderr=subprocess.PIPE if tee else None,
            preexec_fn=signals.restore if signals.precise else None,
        )
        tail = _Tail()
        conversation = _conversation() if proxy else None
        outward = []
        if process.stderr is not None:
            outward.append(_pump(_own(process.stderr), 2, tail.add))
        if conversation is not None and process.stdin is not None and process.stdout is not None:
            outward.append(_pump(_own(process.stdout), 1, conversation.proxy_said))
            _pump(0, _own(process.stdin), conversation.client_said, listen_first=True)
        signals.wait(process)
        _drain(outward)
    return Run(
        returncode=process.returncode,
        started=started,
        ended=time.time(),
        directory=directory,
        errors=tail.data(),
        messages=conversation.messages() if conversation else (),
        proxy=proxy,
        told=tuple(signals.told),
    )


def _start(command: Sequence[str], **how: object) -> subprocess.Popen[bytes]:
    name = command[0]
    try:
        return subprocess.Popen(command, bufsize=0, **how)  # type: ignore[call-overload,no-any-return]  # noqa: S603
    except FileNotFoundError as error:
        raise NotStarted(f"{name}: {_why_not_found(name)}", NOT_FOUND) from error
    except OSError as error:
        why = f"cannot be executed: {error.strerror or error}."
        raise NotStarted(f"{name}: {why}", NOT_EXECUTABLE) from error


def _why_not_found(name: str) -> str:
    import shutil

    if shutil.which(name):
        return "the interpreter that its first line names does not exist."
    if os.sep not in name and Path(name).is_file():
        return f"no such command; for the file in this directory write .{os.sep}{name} or python {name}."
    return "no such command."


# The recorder ---------------------------------------------------------------------------------------------------------


def _with_recorder(environ: Mapping[str, str], directory: Path | None) -> Mapping[str, str]:
    """The environment with what makes every Python in it record."""
    if directory is None:
        return environ
    recorder = str(Path(__file__).absolute().with_name("recorder"))
    path = environ.get("PYTHONPATH", "")
    return {**environ, RECORD: str(directory), "PYTHONPATH": os.pathsep.join([recorder, path]) if path else recorder}


def private_directory(environ: Mapping[str, str]) -> Path | None:
    """Make a directory that nobody else can look into; None where that is not possible, and the program runs anyway.

    It is what `tempfile.mkdtemp` does; importing that takes half as long as starting an interpreter.
    """
    for parent in (environ.get("TMPDIR"), environ.get("TEMP"), "/tmp", "/var/tmp"):  # noqa: S108  # the name is random
        if parent:
            path = Path(parent).absolute() / f"mcpdoctor-{os.urandom(8).hex()}"
            with contextlib.suppress(OSError, ValueError):
                path.mkdir(mode=0o700)  # fails where the name is taken, be it by a link
                return path
    return None


def remove(directory: Path | None) -> None:
    """Remove the directory and the files of the recorders."""
    if directory is None:
        return
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            path.unlink(missing_ok=True)  # a process that was left behind may be at work here too
        directory.rmdir()


# Streams --------------------------------------------------------------------------------------------------------------


def _is_pipe(descriptor: int) -> bool:
    """Whether it is a pipe or a socket; MCP clients use either."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _is_terminal(descriptor: int) -> bool:
    """Whether it is a terminal, or closed: there is nothing to pass on to."""
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return os.isatty(descriptor)


def _same_file(one: int, other: int) -> bool:
    """Whether two descriptors lead to the same place: their order in it would suffer if one took a detour."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


class _Tail:
    """The end of a stream of bytes."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        while self._size - len(self._pieces[0]) >= KEPT_ERRORS:
            self._size -= len(self._pieces.popleft())

    def data(self) -> bytes:
        return b"".join(self._pieces)[-KEPT_ERRORS:]


def _conversation() -> Conversation:
    from mcpdoctor.recording import Conversation

    return Conversation()


def _own(stream: IO[bytes]) -> int:
    """Take a pipe out of the hands of the garbage collector: a thread may need it for longer than the process lives."""
    descriptor = os.dup(stream.fileno())
    stream.close()
    return descriptor


def _pump(source: int, sink: int, listener: Callable[[bytes], None], *, listen_first: bool = False) -> threading.Thread:
    """Pass every byte on as soon as it comes, in a thread of its own.

    What is heard is looked at when it has been passed on; first only where somebody might answer it before.
    """
    thread = threading.Thread(target=_pass_on, args=(source, sink, listener, listen_first), daemon=True)
    thread.start()
    return thread


def _pass_on(source: int, sink: int, listener: Callable[[bytes], None], listen_first: bool) -> None:
    def listen(data: bytes) -> None:
        with contextlib.suppress(Exception):  # whatever is heard, it has to be passed on
            listener(data)

    try:
        while data := _read(source):
            if listen_first:
                listen(data)
            _write(sink, data)
            if not listen_first:
                listen(data)
    except OSError:
        pass  # one side has gone; the other one learns it as it would have, by the end of its pipe
    _close(source)
    if sink != 2:  # what we have to say goes there as well
        _close(sink)


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _READ_AT_ONCE)
        except BlockingIOError:  # whoever made the pipe set it so
            select.select([source], [], [])


def _write(sink: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(sink, left) :]
        except BlockingIOError:
            select.select([], [sink], [])


def _close(descriptor: int) -> None:
    """Close an end of a pipe; a standard stream leaves the null device behind, so that nobody else gets its number."""
    with contextlib.suppress(OSError):
        if descriptor > 2:
            os.close(descriptor)
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _drain(pumps: Sequence[threading.Thread]) -> None:
    """Wait for what the program wrote last.

    A process that it left behind may hold the pipes open for ever; the program itself has ended, so nobody who waits
    for it is kept waiting.
    """
    deadline = time.monotonic() + _DRAIN_S
    for thread in pumps:
        thread.join(max(0.0, deadline - time.monotonic()))


# Signals --------------------------------------------------------------------------------------------------------------


class _Signals:
    """Passes signals on to the program, which ends by them or not.

    A Ctrl-C on a terminal goes to the program as well, and must not come twice. On Linux signals are waited for, since
    only there each tells who sent it; elsewhere handlers have to guess.

    Attributes:
        told: signals that came for the program.
        precise: whether it is known who sent them.
    """

    def __init__(self) -> None:
        self.told: list[int] = []
        self.precise = hasattr(signal, "sigwaitinfo")

    def __enter__(self) -> _Signals:
        if self.precise:
            # A parent that ignores SIGCHLD would keep us from learning how the program ended.
            self._child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
        return self

    def __exit__(self, *_: object) -> None:
        if self.precise:
            while signal.sigtimedwait({*_FORWARDED, signal.SIGCHLD}, 0):
                pass  # came when the program had ended
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def restore(self) -> None:
        """Give the program, before it starts, the signals as they were given to us."""
        if self.precise:
            signal.signal(signal.SIGCHLD, self._child)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of the program."""
        if not self.precise:
            with self._handlers(process):
                process.wait()
            return
        while process.poll() is None:
            came = signal.sigwaitinfo({*_FORWARDED, signal.SIGCHLD})
            if came.si_signo != signal.SIGCHLD:
                self._tell(process, came.si_signo, from_terminal=came.si_code > 0)

    def _tell(self, process: subprocess.Popen[bytes], number: int, *, from_terminal: bool) -> None:
        self.told.append(number)
        if not from_terminal:
            with contextlib.suppress(OSError):
                process.send_signal(number)

    @contextlib.contextmanager
    def _handlers(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        def handle(number: int, _: object) -> None:
            keys = (signal.SIGINT, getattr(signal, "SIGQUIT", None), getattr(signal, "SIGBREAK", None))
            self._tell(process, number, from_terminal=number in keys and sys.stdin is not None and sys.stdin.isatty())

        before = {number: signal.signal(number, handle) for number in _FORWARDED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _die_of(number: int) -> NoReturn:
    """End by a signal, so that whoever waits for us sees what became of the program."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(Exception):
        import resource

        # The program has left its core where it wanted one; ours would be no use to anybody.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(Exception):
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    sys.exit(exit_code(-number))
