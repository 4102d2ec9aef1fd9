"""Exceptions are read out of what tools print exactly as `failures.unwrap` takes the exception itself apart."""

from __future__ import annotations

import io
import itertools
import logging
import os
import re
import socket
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ErrorData
from rich.console import Console
from rich.traceback import Traceback

from mcpdoctor.failures import Chain, unwrap
from mcpdoctor.reading import read_text
from mcpdoctor.tracebacks import MAX_MESSAGE, MAX_NODES, Raised, Tracebacks, failure_of, paths_of

UNHURRIED = settings(deadline=None)  # other tests run on the same machine

Names = list[list[tuple[str, str]]]


def names(chains: Iterable[Chain]) -> Names:
    """Each chain by the last name of its types: some tools print the module, others do not."""
    return [[(one.type.rpartition(".")[2], one.message) for one in chain] for chain in chains]


def told(text: str) -> Names:
    return names(read_text(text).chains)


def known(exc: BaseException) -> Names:
    return names(unwrap(exc))


def ends(found: Names) -> list[tuple[str, str]]:
    return [chain[-1] for chain in found]


def caught(function: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: PT011 - whatever it raises is what the test is about
        function()
    return info.value


def thrown(
    exc: BaseException, *, cause: BaseException | None = None, during: BaseException | None = None
) -> BaseException:
    """Raise for real, so that there are frames to print."""

    def throw() -> None:
        if cause is not None:
            raise exc from cause
        if during is not None:
            try:
                raise during  # noqa: TRY301 - it is raised to be printed
            except BaseException:  # noqa: BLE001 - of any kind
                raise exc  # noqa: B904 - it is to be "during", not "from"
        raise exc

    return caught(throw)


def group_of(words: str, members: list[BaseException]) -> BaseException:
    """An `ExceptionGroup`, since no member is more than an `Exception`."""
    return BaseExceptionGroup(words, members)


def unhidden(exc: BaseException) -> BaseException:
    """Forget what `raise … from None` hides: it is not printed, so that no text holds it."""
    link: BaseException | None = exc
    while link is not None:
        for member in getattr(link, "exceptions", ()):
            unhidden(member)
        if link.__suppress_context__ and link.__cause__ is None:
            link.__context__ = None
        link = link.__cause__ or link.__context__
    return exc


# --- Exceptions as programs raise them ---


def plain() -> BaseException:
    return thrown(ValueError("the port is 0"))


def caused() -> BaseException:
    refused = caught(lambda: socket.create_connection(("127.0.0.1", closed_port())))
    return thrown(RuntimeError("no session"), cause=thrown(ConnectionError("no way there"), cause=refused))


def during() -> BaseException:
    return thrown(KeyError("name"), during=thrown(FileNotFoundError(2, "No such file or directory", "/no/such")))


def both_links() -> BaseException:
    return thrown(RuntimeError("third"), cause=thrown(KeyError("second"), during=thrown(ValueError("first"))))


def without_words() -> BaseException:
    return thrown(RuntimeError("said"), cause=thrown(TimeoutError()))


def of_a_library() -> BaseException:
    inner = thrown(McpError(ErrorData(code=-32001, message="Timed out while waiting for response")))
    return thrown(RuntimeError("the client initialization failed"), cause=inner)


def group() -> BaseException:
    return thrown(group_of("unhandled errors in a TaskGroup", [thrown(ValueError("a")), thrown(OSError("b"))]))


def nested() -> BaseException:
    inner = thrown(group_of("inner", [caused(), thrown(KeyError("c"))]))
    return thrown(group_of("outer", [thrown(ValueError("a")), inner, during()]))


def group_behind() -> BaseException:
    return thrown(RuntimeError("the agent failed"), cause=nested())


def group_with_cause() -> BaseException:
    return thrown(group_of("outer", [group(), thrown(TypeError("d"))]), cause=thrown(ImportError("why")))


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def of_httpx() -> BaseException:
    return unhidden(caught(lambda: httpx.get(f"http://127.0.0.1:{closed_port()}/", trust_env=False)))


def of_the_mcp_client() -> BaseException:
    async def initialize() -> None:
        with anyio.fail_after(20):
            url = f"http://127.0.0.1:{closed_port()}/mcp"
            async with (
                httpx.AsyncClient(trust_env=False) as client,
                streamable_http_client(url, http_client=client) as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()

    return unhidden(caught(lambda: anyio.run(initialize)))


CHAINED = [plain, caused, during, both_links, without_words, of_a_library, of_httpx]
GROUPS = [group, nested, group_behind, group_with_cause, of_the_mcp_client]
ALL = [*CHAINED, *GROUPS]


# --- Python's own format, and what is put in front of it ---


def formatted(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))


def logged(exc: BaseException) -> str:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    record = logging.LogRecord(
        "agent", logging.ERROR, "a.py", 1, "run failed", None, (type(exc), exc, exc.__traceback__)
    )
    handler.emit(record)
    return written.getvalue()


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("printed", [formatted, logged])
def test_what_python_prints_is_read_as_it_was_raised(
    printed: Callable[[BaseException], str], make: Callable[[], BaseException]
) -> None:
    exc = make()
    assert known(exc) == told(printed(exc))


PREFIXES = {
    "docker compose": "agent-1  | ",
    "docker compose with long names": "mcp-agent-worker-12          | ",
    "github": "2026-11-22T12:00:{second:02d}.{n:07d}Z ",
    "kubernetes": "2026-11-22T12:00:{second:02d}.{n:09d}Z stderr F ",
    "journald": "Nov 22 12:00:00 build-7 python[4711]: ",
    "journald with a day of one digit": "Nov  2 12:00:00 build-7 agent.service[4711]: ",
    "xdist": "[gw3] ",
    "mail": "> ",
}


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_stands_in_front_of_every_line_changes_nothing(prefix: str, make: Callable[[], BaseException]) -> None:
    exc = make()
    text = "".join(
        f"{PREFIXES[prefix].format(n=n, second=n % 60)}{line}"
        for n, line in enumerate(f"starting\n{formatted(exc)}".splitlines(keepends=True))
    )
    assert known(exc) == told(text)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_an_indented_traceback_is_read(indent: str, make: Callable[[], BaseException]) -> None:
    exc = make()
    assert ends(known(exc)) == ends(told(textwrap.indent(formatted(exc), indent)))


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
@pytest.mark.parametrize("make", ALL)
def test_line_ends_of_other_systems_are_read(ending: str, make: Callable[[], BaseException]) -> None:
    exc = make()
    assert known(exc) == told(formatted(exc).replace("\n", ending))


@pytest.mark.parametrize("make", ALL)
def test_colours_change_nothing(make: Callable[[], BaseException]) -> None:
    exc = make()
    text = re.sub(r"^(\s*[|+]?\s*)(\S.*)$", "\\1\x1b[1;31m\\2\x1b[0m", formatted(exc), flags=re.MULTILINE)
    assert known(exc) == told(text)


@pytest.mark.parametrize("make", ALL)
def test_a_traceback_that_is_printed_twice_is_one(make: Callable[[], BaseException]) -> None:
    exc = make()
    text = formatted(exc)
    assert known(exc) == told(f"{text}\nretrying\n{text}")


def test_two_failures_are_two_and_the_later_one_goes_first() -> None:
    assert [*known(during()), *known(plain())] == told(f"{formatted(plain())}\n{formatted(during())}")


def test_lines_of_other_threads_between_the_frames_are_looked_through() -> None:
    exc = caused()
    lines = formatted(exc).splitlines()
    mixed = [piece for line in lines for piece in ([line, "12:00:01 INFO other: tick"] if "File" in line else [line])]
    assert known(exc) == told("\n".join(mixed))


def test_an_elided_group_gives_what_it_shows() -> None:
    exc = thrown(group_of("many", [thrown(ValueError(f"number {n}")) for n in range(40)]))
    text = formatted(exc)
    shown = [f"number {n}" for n in range(40) if f"number {n}\n" in text]
    assert "more exceptions" in text
    assert [("ValueError", message) for message in shown] == ends(told(text))


def test_a_group_too_deep_to_be_printed_gives_what_it_shows() -> None:
    exc: BaseException = thrown(ValueError("leaf"))
    for depth in range(14):
        exc = thrown(group_of(f"depth {depth}", [exc]))
    [chain] = told(formatted(exc))
    assert "max_group_depth" in formatted(exc)
    assert [f"depth {13 - n} (1 sub-exception)" for n in range(len(chain))] == [message for _, message in chain]
    assert len(chain) >= 10


def test_a_message_of_several_lines_is_kept_while_its_brackets_are_open() -> None:
    message = 'refused: {\n  "code": 401,\n  "message": "no"\n}'
    assert [[("RuntimeError", message)]] == told(formatted(thrown(RuntimeError(message))))


def test_the_line_after_a_message_is_no_part_of_it() -> None:
    text = f"{formatted(plain())}Shutting down the agent\n"
    assert known(plain()) == told(text)


def test_messages_are_capped_and_secrets_in_them_masked() -> None:
    [[(_, message)]] = told(formatted(thrown(ValueError(f"key AKIAIOSFODNN7EXAMPLE {'x' * 2 * MAX_MESSAGE}"))))
    assert message.startswith("key [redacted] xxx")
    assert len(message) < MAX_MESSAGE


def test_source_code_that_names_exceptions_raises_none() -> None:
    def fail() -> None:
        raise [ValueError("told"), KeyError("not told: ConnectError: never raised")][0]

    assert told(formatted(caught(fail))) == [[("ValueError", "told")]]


# --- Every nested group ---


Shape = dict[str, Any]
WORDS = st.text(alphabet="abcdefghij '-/.:()=", max_size=20).map(str.strip)
KINDS = st.sampled_from([ValueError, RuntimeError, KeyError, ConnectionError, httpx.ConnectError, httpx.HTTPError])


def shapes() -> st.SearchStrategy[Shape]:
    leaf = st.fixed_dictionaries({"kind": KINDS, "words": WORDS})
    linked = st.recursive(
        leaf,
        lambda inner: st.fixed_dictionaries({"kind": KINDS, "words": WORDS, "cause": inner, "from": st.booleans()}),
    )
    return st.recursive(
        linked,
        lambda inner: st.fixed_dictionaries(
            {"words": WORDS, "members": st.lists(inner, min_size=1, max_size=4)}, optional={"cause": inner}
        ),
        max_leaves=12,
    )


def built(shape: Shape) -> BaseException:
    counter = itertools.count()

    def make(part: Shape) -> BaseException:
        words = f"number {next(counter)} {part['words']}".strip()
        cause = make(part["cause"]) if "cause" in part else None
        if "members" in part:
            members = [make(one) for one in part["members"]]
            return thrown(group_of(words, members), cause=cause)
        exc = part["kind"](words)
        return thrown(exc, cause=cause) if part.get("from") else thrown(exc, during=cause)

    return make(shape)


@UNHURRIED
@given(shapes())
def test_every_leaf_of_any_group_is_read_once_with_the_way_to_it(shape: Shape) -> None:
    exc = built(shape)
    found = told(formatted(exc))
    assert sorted(ends(known(exc))) == sorted(ends(found))
    assert known(exc) == found


# --- rich and typer ---


def boxed(exc: BaseException, *, width: int = 100, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, **options.pop("console", {}))
    console.print(Traceback.from_exception(type(exc), exc, exc.__traceback__, **options))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def shown_by_rich(exc: BaseException) -> Names:
    """What rich prints of an exception: of the members of a group it leaves out what stands behind them."""

    def cut(chain: list[tuple[str, str]]) -> list[tuple[str, str]]:
        last = max((n for n, (kind, _) in enumerate(chain) if kind.endswith("Group")), default=-1)
        return chain[: last + 2] if last >= 0 else chain

    return [cut(chain) for chain in known(exc)]


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("make", [*CHAINED, group, nested, group_behind])
def test_a_box_of_rich_is_read(make: Callable[[], BaseException], width: int) -> None:
    exc = make()
    assert shown_by_rich(exc) == told(boxed(exc, width=width))


def test_a_box_of_rich_in_colour_is_read() -> None:
    exc = both_links()
    text = boxed(exc, console={"force_terminal": True, "color_system": "truecolor"})
    assert "\x1b[" in text
    assert known(exc) == told(text)


def test_a_message_that_rich_wraps_is_whole() -> None:
    message = " ".join(f"word{n}" for n in range(60))
    assert [[("ValueError", message)]] == told(boxed(thrown(ValueError(message)), width=80))


@pytest.mark.parametrize("make", [both_links, group, nested])
def test_local_variables_in_a_box_are_not_raised(make: Callable[[], BaseException]) -> None:
    exc = make()
    assert shown_by_rich(exc) == told(boxed(exc, show_locals=True))


# --- pytest ---

SOURCE = '''
import socket

class LostError(Exception):
    """Of no library."""

def refuse():
    raise LostError("nobody there")

def test_plain():
    refuse()

def test_caused():
    try:
        try:
            refuse()
        except LostError as error:
            raise ConnectionError("no way") from error
    except ConnectionError:
        raise RuntimeError("no session")

def test_group():
    errors = []
    for word in ("one", "two"):
        try:
            raise ValueError(word)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("both", errors)
'''
LOST, NO_WAY = ("LostError", "nobody there"), ("ConnectionError", "no way")
BOTH = ("ExceptionGroup", "both (2 sub-exceptions)")
RAISED = {
    "test_plain": [[LOST]],
    "test_caused": [[("RuntimeError", "no session"), NO_WAY, LOST]],
    "test_group": [[BOTH, ("ValueError", "one")], [BOTH, ("ValueError", "two")]],
}


def run_pytest(directory: Path, *arguments: str, source: str = SOURCE) -> str:
    (directory / "test_it.py").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "--basetemp=temporary",
            "test_it.py",
            *arguments,
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("form", ["auto", "long", "short", "native", "line"])
def test_failures_that_pytest_shows_are_read(form: str, tmp_path: Path) -> None:
    found = told(run_pytest(tmp_path, f"--tb={form}"))
    links = {link for chains in RAISED.values() for chain in chains for link in chain}
    if form == "line":
        assert {chain[0] for chains in RAISED.values() for chain in chains} == {chain[0] for chain in found}
    else:
        assert [chain for chains in RAISED.values() for chain in chains if chain not in found] == []
        assert links == {link for chain in found for link in chain}  # the summary says the outermost again


@pytest.mark.parametrize("form", ["long", "short"])
def test_code_that_pytest_shows_and_that_did_not_run_raised_nothing(form: str, tmp_path: Path) -> None:
    source = """
def test_it():
    port = 0
    if port:
        raise TimeoutError("never raised")
    raise ValueError("told")
"""
    found = told(run_pytest(tmp_path, f"--tb={form}", source=source))
    assert [("ValueError", "told")] in found
    assert {"ValueError"} == {kind for chain in found for kind, _ in chain}


# --- Other tools ---


def test_a_failure_in_ipython_is_read() -> None:
    ultratb = pytest.importorskip("IPython.core.ultratb")
    exc = caused()
    for mode in ("Plain", "Context", "Verbose"):
        try:
            shown = ultratb.FormattedTB(mode=mode, color_scheme="NoColor")
        except TypeError:  # from IPython 9 on
            shown = ultratb.FormattedTB(mode=mode, theme_name="nocolor")
        assert known(exc) == told(shown.text(type(exc), exc, exc.__traceback__))


def test_the_header_of_ipython_is_a_header() -> None:
    text = textwrap.dedent(
        """\
        ---------------------------------------------------------------------------
        OSError                                   Traceback (most recent call last)
        Cell In[3], line 2
              1 def connect():
        ----> 2     raise OSError("nobody there")

        OSError: nobody there

        The above exception was the direct cause of the following exception:

        RuntimeError                              Traceback (most recent call last)
        File ~/agent.py:7, in main()
              5     connect()
        ----> 7     raise RuntimeError("no session")

        RuntimeError: no session
        """
    )
    assert told(text) == [[("RuntimeError", "no session"), ("OSError", "nobody there")]]


def test_a_failure_in_the_form_of_loguru_is_read() -> None:
    text = textwrap.dedent(
        """\
        2026-11-22 12:00:00.000 | ERROR    | __main__:main:9 - run failed
        Traceback (most recent call last):

        > File "agent.py", line 9, in <module>
            main()
            └ <function main at 0x7f0000000000>

          File "agent.py", line 4, in main
            raise ValueError(word)
                             └ 'a bad word'

        ValueError: a bad word
        """
    )
    assert told(text) == [[("ValueError", "a bad word")]]


@pytest.mark.parametrize("make", GROUPS[:-1])
def test_the_repr_of_a_group_shows_every_leaf(make: Callable[[], BaseException]) -> None:
    def shown(exc: BaseException) -> list[str]:
        return (
            [leaf for one in exc.exceptions for leaf in shown(one)] if isinstance(exc, ExceptionGroup) else [repr(exc)]
        )

    exc = make()
    group_ = exc if isinstance(exc, ExceptionGroup) else exc.__cause__
    assert isinstance(group_, ExceptionGroup)
    found = ends(told(f"ERROR agent: run failed: {group_!r}"))
    assert [one.partition("(")[0] for one in shown(group_)] == [kind for kind, _ in found]


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (
            "agent failed: httpx.ConnectError: All connection attempts failed",
            ("ConnectError", "All connection attempts failed"),
        ),
        ("ERROR strands - ValueError: nope", ("ValueError", "nope")),
        ("failed: McpError('Connection closed')", ("McpError", "Connection closed")),
        ("ERROR - botocore.exceptions.NoRegionError", ("NoRegionError", "")),
    ],
)
def test_an_exception_that_a_line_names_is_read(line: str, read: tuple[str, str]) -> None:
    assert [[read]] == told(line)


@pytest.mark.parametrize(
    "line",
    [
        "except ConnectError:",
        "import httpx.ConnectError",
        "the class ValueError is documented in /usr/share/doc/errors.md",
        "https://docs.example/errors/ValueError",
        "Exception ignored in: <async_generator object stream at 0x7f0000000000>",
    ],
)
def test_the_name_of_an_exception_is_not_an_exception(line: str) -> None:
    assert told(line) == []


def test_an_error_of_node_is_read_with_its_causes_and_fields() -> None:
    text = textwrap.dedent(
        """\
        TypeError: fetch failed
            at node:internal/deps/undici/undici:13510:13
            at async main (file:///app/agent.mjs:4:3) {
          [cause]: Error: connect ECONNREFUSED 127.0.0.1:9
              at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16) {
            errno: -111,
            code: 'ECONNREFUSED',
            syscall: 'connect'
          }
        }
        """
    )
    assert told(text) == [[("TypeError", "fetch failed"), ("Error", "connect ECONNREFUSED 127.0.0.1:9")]]


# --- The parts ---


def fed(text: str) -> list[Raised]:
    reader = Tracebacks()
    for number, line in enumerate(text.splitlines(), start=1):
        reader.take(line, number)
    return reader.end()


def test_a_line_of_a_traceback_is_told_from_others() -> None:
    reader = Tracebacks()
    lines = ["all is well", *formatted(plain()).splitlines(), 'HTTP Request: POST http://x/ "HTTP/1.1 200 OK"']
    taken = [reader.take(line, number) for number, line in enumerate(lines, start=1)]
    assert [False, *[True] * (len(lines) - 2), False] == taken


def test_a_traceback_knows_its_line_and_the_way_it_passed() -> None:
    text = formatted(of_httpx())
    [raised] = fed(f"before\n{text}")
    assert len(text.splitlines()) + 1 == raised.line
    assert "handle_request" in raised.steps
    assert any(step.endswith("httpx/_client.py".replace("/", os.sep)) for step in raised.steps)


def test_a_text_that_ends_within_a_traceback_loses_nothing_before_it() -> None:
    lines = formatted(caused()).splitlines()
    for length in range(len(lines)):
        found = told("\n".join(lines[:length]))
        assert ends(found) in (
            [],
            [("ConnectionRefusedError", "[Errno 111] Connection refused")],
            ends(known(caused())),
        )


def test_no_more_exceptions_are_kept_than_memory_allows() -> None:
    reader = Tracebacks()
    for number in range(MAX_NODES + 100):
        reader.add(Raised(type="ValueError", message=str(number), line=number))
    assert len(reader.end()) == MAX_NODES


def test_the_way_to_a_leaf_is_no_longer_than_a_chain_may_be() -> None:
    raised = Raised(type="ValueError", message="root", line=0)
    for number in range(1000):
        raised = Raised(type="RuntimeError", message=str(number), line=0, behind=raised)
    [path] = paths_of(raised)
    assert len(path) == 64


def test_private_modules_are_left_out_of_a_name() -> None:
    assert failure_of("httpcore._exceptions.ConnectError", "x").type == "httpcore.ConnectError"
    assert failure_of("_x", "y").type == "_x"
    assert (
        failure_of("OSError", "[Errno 111] Connection refused").errno
        == unwrap(ConnectionRefusedError(111, ""))[0][0].errno
    )


def printed_by(script: str) -> str:
    """What a program writes to standard error."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    return done.stderr


def test_a_thread_that_fails_is_read() -> None:
    script = (
        "import threading\ndef work(): raise ValueError('in a thread')\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    )
    assert told(printed_by(script)) == [[("ValueError", "in a thread")]]


def test_a_task_whose_exception_was_never_retrieved_is_read() -> None:
    script = (
        "import asyncio\nasync def fail(): raise ValueError('in a task')\n"
        "async def main():\n    task = asyncio.create_task(fail())\n    await asyncio.sleep(0)\n    del task\n"
        "asyncio.run(main())\n"
    )
    text = printed_by(script)
    assert "never retrieved" in text
    assert told(text) == [[("ValueError", "in a task")]]


def test_members_of_a_group_that_were_never_raised_are_read() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    exc = thrown(group_of("2 servers failed", [refused, group_of("inner", [ValueError("a"), OSError("b")])]))
    assert known(exc) == told(formatted(exc))
