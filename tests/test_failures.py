"""An exception is taken apart into one chain for each leaf, down to the errno, without noise."""

from __future__ import annotations

import asyncio
import errno
import http.server
import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator
from concurrent.futures import CancelledError as FutureCancelled
from contextlib import contextmanager
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from mcpdoctor.failures import MAX_DEPTH, MAX_LEAVES, Chain, Failure, format_chain, unwrap

UNHURRIED = settings(deadline=None)  # other tests run on the same machine


def root_cause(exc: BaseException, *, secrets: Collection[str] = ()) -> Failure:
    return unwrap(exc, secrets=secrets)[0][-1]


def types(chain: Chain) -> list[str]:
    return [failure.type for failure in chain]


def messages(chains: tuple[Chain, ...]) -> list[list[str]]:
    return [[failure.message for failure in chain] for chain in chains]


def lookalike(module: str, name: str, base: type[BaseException] = Exception) -> type[BaseException]:
    """Build the class of a library that is not installed here."""
    return type(name, (base,), {"__module__": module})


def caught(function: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: PT011 - whatever it raises is what the test is about
        function()
    return info.value


def raised(
    exc: BaseException, *, cause: BaseException | None = None, context: BaseException | None = None
) -> BaseException:
    exc.__cause__ = cause
    exc.__context__ = context
    return exc


def group(*members: BaseException, cause: BaseException | None = None) -> BaseException:
    made = BaseExceptionGroup("unhandled errors in a TaskGroup", members)
    return raised(made, cause=cause, context=raised(asyncio.CancelledError(), context=anyio.WouldBlock()))


# --- Real exceptions of real clients ---


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        pass


@contextmanager
def refusing_server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def closed_port() -> Iterator[int]:
    """Hold a port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def run(work: Callable[[], Coroutine[Any, Any, object]]) -> object:
    async def bounded() -> None:
        with anyio.fail_after(20):
            await work()

    return anyio.run(bounded)


async def fetch(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get(url)


async def initialize(url: str) -> None:
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        streamable_http_client(url, http_client=client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()


def test_a_closed_port_is_followed_down_to_the_errno_that_httpcore_hid() -> None:
    with closed_port() as port:
        chains = unwrap(caught(lambda: run(lambda: fetch(f"http://127.0.0.1:{port}/"))))
    assert [types(chain) for chain in chains] == [
        ["httpx.ConnectError", "httpcore.ConnectError", "OSError", "ConnectionRefusedError"]
    ]
    assert chains[0][-1].errno == "ECONNREFUSED"


def test_a_closed_port_behind_the_synchronous_client_names_its_errno_at_every_step() -> None:
    with closed_port() as port:
        chains = unwrap(caught(lambda: httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)))
    assert [(failure.type, failure.errno) for failure in chains[0]] == [
        ("httpx.ConnectError", "ECONNREFUSED"),
        ("httpcore.ConnectError", "ECONNREFUSED"),
        ("ConnectionRefusedError", "ECONNREFUSED"),
    ]


def test_tls_to_a_plain_port_names_the_reason_of_openssl() -> None:
    with refusing_server() as port:
        (chain,) = unwrap(caught(lambda: run(lambda: fetch(f"https://127.0.0.1:{port}/"))))
    assert types(chain) == ["httpx.ConnectError", "httpcore.ConnectError", "ssl.SSLError"]
    assert {failure.errno for failure in chain} == {"WRONG_VERSION_NUMBER"}


def test_the_mcp_client_refused_with_401_shows_the_status_error_inside_the_group() -> None:
    with refusing_server() as port:
        exc = caught(lambda: run(lambda: initialize(f"http://127.0.0.1:{port}/mcp")))
    assert [types(chain) for chain in unwrap(exc)] == [["ExceptionGroup", "httpx.HTTPStatusError"]]
    assert "401 Unauthorized" in root_cause(exc).message


def test_the_mcp_client_at_a_closed_port_shows_the_whole_way_down() -> None:
    with closed_port() as port:
        exc = caught(lambda: run(lambda: initialize(f"http://127.0.0.1:{port}/mcp")))
    (chain,) = unwrap(exc)
    assert types(chain) == [
        "ExceptionGroup",
        "httpx.ConnectError",
        "httpcore.ConnectError",
        "OSError",
        "ConnectionRefusedError",
    ]


def test_a_timeout_of_asyncio_does_not_end_in_the_cancellation_that_carried_it() -> None:
    async def wait() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    assert [types(chain) for chain in unwrap(caught(lambda: asyncio.run(wait())))] == [["TimeoutError"]]


# --- Shapes of libraries that are not installed here ---


def test_httpx2_keeps_its_own_name() -> None:
    connect = lookalike("httpx2", "ConnectError")("All connection attempts failed")
    inner = lookalike("httpcore._exceptions", "ConnectError")("All connection attempts failed")
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    exc = group(raised(connect, cause=raised(inner, context=refused)))
    assert [types(chain) for chain in unwrap(exc)] == [
        ["ExceptionGroup", "httpx2.ConnectError", "httpcore.ConnectError", "ConnectionRefusedError"]
    ]


def test_a_group_inside_a_cause_is_descended() -> None:
    status = lookalike("httpx", "HTTPStatusError")("Client error '401 Unauthorized'")
    strands = lookalike("strands.types.exceptions", "MCPClientInitializationError")("the client initialization failed")
    assert types(unwrap(raised(strands, cause=group(group(status))))[0]) == [
        "strands.types.exceptions.MCPClientInitializationError",
        "ExceptionGroup",
        "ExceptionGroup",
        "httpx.HTTPStatusError",
    ]


def test_every_address_that_was_tried_has_its_chain() -> None:
    tried = group(OSError(errno.ECONNREFUSED, "v4"), OSError(errno.ENETUNREACH, "v6"))
    chains = unwrap(raised(OSError("All connection attempts failed"), cause=tried))
    assert [chain[-1].errno for chain in chains] == ["ECONNREFUSED", "ENETUNREACH"]
    assert {types(chain)[0] for chain in chains} == {"OSError"}


def test_from_none_hides_nothing() -> None:
    def hide() -> None:
        try:
            os.close(-1)
        except OSError:
            raise RuntimeError("lost") from None

    exc = caught(hide)
    assert exc.__suppress_context__
    assert types(unwrap(exc)[0]) == ["RuntimeError", "OSError"]
    assert root_cause(exc).errno == "EBADF"


def test_an_explicit_cause_goes_before_the_context() -> None:
    exc = raised(RuntimeError("a"), cause=ValueError("cause"), context=KeyError("context"))
    assert messages(unwrap(exc)) == [["a", "cause"]]


def test_a_group_of_a_backport_is_a_group() -> None:
    backport = lookalike("exceptiongroup", "ExceptionGroup")("2 sub-exceptions")
    backport.exceptions = [ValueError("a"), ValueError("b")]  # type: ignore[attr-defined]
    assert [types(chain) for chain in unwrap(backport)] == [["exceptiongroup.ExceptionGroup", "ValueError"]] * 2


@pytest.mark.parametrize("members", ["text", (), ["not an exception"], [ValueError(), None], 3])
def test_other_attributes_called_exceptions_do_not_make_a_group(members: object) -> None:
    exc = ValueError("alone")
    exc.exceptions = members  # type: ignore[attr-defined]
    assert messages(unwrap(exc)) == [["alone"]]


# --- Noise ---


def test_the_context_of_a_group_is_not_followed_but_its_cause_is() -> None:
    assert messages(unwrap(group(ValueError("leaf")))) == [
        ["unhandled errors in a TaskGroup (1 sub-exception)", "leaf"]
    ]
    both = unwrap(group(ValueError("leaf"), cause=OSError("why")))
    assert [types(chain)[1:] for chain in both] == [["ValueError"], ["OSError"]]


@pytest.mark.parametrize(
    "noise",
    [
        asyncio.CancelledError(),
        FutureCancelled(),
        lookalike("trio", "Cancelled", BaseException)(),
        anyio.WouldBlock(),
        anyio.EndOfStream(),
        anyio.ClosedResourceError(),
        anyio.BrokenResourceError(),
        asyncio.QueueEmpty(),
        StopIteration(),
        StopAsyncIteration(),
        GeneratorExit(),
    ],
)
def test_clean_up_in_a_context_is_left_out_and_looked_through(noise: BaseException) -> None:
    assert types(unwrap(raised(ValueError(), context=noise))[0]) == ["ValueError"]
    noise.__context__ = OSError("behind")
    assert messages(unwrap(raised(ValueError("leaf"), context=noise))) == [["leaf", "behind"]]


def test_clean_up_as_an_explicit_cause_is_kept() -> None:
    exc = raised(RuntimeError("read failed"), cause=raised(anyio.BrokenResourceError(), cause=ConnectionResetError()))
    assert types(unwrap(exc)[0]) == ["RuntimeError", "anyio.BrokenResourceError", "ConnectionResetError"]


def test_a_cancellation_that_is_all_there_is_is_reported() -> None:
    alone = raised(asyncio.CancelledError("Cancelled via cancel scope 7f5d"), context=anyio.WouldBlock())
    assert types(unwrap(alone)[0]) == ["asyncio.exceptions.CancelledError"]
    assert types(unwrap(group(asyncio.CancelledError()))[0])[-1] == "asyncio.exceptions.CancelledError"


def test_clean_up_leaves_come_last_and_are_not_dropped() -> None:
    chains = unwrap(
        group(
            asyncio.CancelledError(),
            RuntimeError("Attempted to exit cancel scope in a different task than it was entered in"),
            raised(anyio.BrokenResourceError(), cause=ConnectionResetError()),
            group(GeneratorExit(), RuntimeError("aclose(): asynchronous generator is already running")),
            group(raised(ValueError("Attempted to exit cancel scope"), context=OSError("why"))),
        )
    )
    assert [types(chain)[-1] for chain in chains] == [
        "OSError",
        "ConnectionResetError",
        "asyncio.exceptions.CancelledError",
        "RuntimeError",
        "GeneratorExit",
        "RuntimeError",
    ]


def test_the_rank_is_that_of_the_leaf_and_not_of_what_wraps_it() -> None:
    exc = raised(RuntimeError("the client failed"), cause=group(GeneratorExit(), ValueError("real")))
    assert [types(chain)[-1] for chain in unwrap(exc)] == ["ValueError", "GeneratorExit"]


def test_the_real_leaf_behind_more_clean_up_than_is_reported_is_found() -> None:
    chains = unwrap(group(*(asyncio.CancelledError() for _ in range(MAX_LEAVES + 50)), OSError("real")))
    assert len(chains) == MAX_LEAVES
    assert chains[0][-1].message == "real"


# --- Odd graphs ---


@UNHURRIED
@given(st.data())
def test_unwrap_ends_on_any_graph(data: st.DataObject) -> None:
    nodes = [Exception(str(number)) for number in range(data.draw(st.integers(1, 6)))]
    pick = st.sampled_from(nodes)
    for node in nodes:
        if data.draw(st.booleans()):
            node.__cause__ = data.draw(st.none() | pick)
        node.__context__ = data.draw(st.none() | pick)
        node.exceptions = data.draw(st.lists(pick, max_size=3))  # type: ignore[attr-defined]
    chains = unwrap(nodes[0])
    assert 1 <= len(chains) <= MAX_LEAVES
    for chain in chains:
        assert chain[0].message == "0"
        assert len({failure.message for failure in chain}) == len(chain)


@UNHURRIED
@given(st.recursive(st.booleans(), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=40))
def test_unwrap_yields_every_leaf_once_with_the_groups_it_is_in(shape: Any) -> None:
    counter = itertools.count()
    expected: list[list[str]] = []

    def build(part: Any, above: list[str]) -> BaseException:
        name = str(next(counter))
        if isinstance(part, bool):
            expected.append([*above, name, *(["cause"] if part else [])])
            return raised(ValueError(name), cause=OSError("cause") if part else None)
        members = [build(inner, [*above, name]) for inner in part]
        made = lookalike("backport", "Group")(name)
        made.exceptions = members  # type: ignore[attr-defined]
        return made

    assert messages(unwrap(build(shape, []))) == expected


def test_a_leaf_that_is_met_twice_in_a_group_is_reported_once() -> None:
    leaf = ValueError("leaf")
    shared = group(leaf)
    assert len(unwrap(group(leaf, shared, shared))) == 1


def test_a_cause_that_two_leaves_share_is_shown_for_both() -> None:
    shared = group(OSError("why"))
    chains = unwrap(group(raised(ValueError("a"), cause=shared), raised(ValueError("b"), cause=shared)))
    assert [[failure.message for failure in chain][1::2] for chain in chains] == [["a", "why"], ["b", "why"]]


def test_a_group_of_nothing_but_itself_is_reported() -> None:
    exc = lookalike("odd", "Group")("itself")
    exc.exceptions = [exc]  # type: ignore[attr-defined]
    assert messages(unwrap(exc)) == [["itself"]]


def test_groups_that_share_members_at_every_level_take_no_time() -> None:
    exc: BaseException = ValueError("leaf")
    for _ in range(MAX_DEPTH - 2):
        exc = group(exc, exc)
    assert len(unwrap(exc)) == 1


def test_depth_is_capped_for_causes_and_for_groups() -> None:
    deep: BaseException = ValueError("root")
    nested: BaseException = ValueError("root")
    for _ in range(MAX_DEPTH + 10):
        deep = raised(ValueError("link"), cause=deep)
        nested = group(nested)
    assert [len(chain) for chain in unwrap(deep)] == [MAX_DEPTH]
    assert [len(chain) for chain in unwrap(nested)] == [MAX_DEPTH]


# --- One failure ---


@pytest.mark.parametrize(
    ("exc", "name"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "ECONNREFUSED"),
        (OSError("no number"), None),
        (OSError(99999, "unknown number"), None),
        (OSError([], "odd number"), None),
        (socket.gaierror(socket.EAI_NONAME, "x"), "EAI_NONAME"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "EAI_AGAIN"),
        (socket.gaierror("text only"), None),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "WRONG_VERSION_NUMBER"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), None),
        (RuntimeError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"), "CERTIFICATE_VERIFY_FAILED"),
        (RuntimeError(f"failed: [Errno {errno.ECONNRESET}] Connection reset by peer"), "ECONNRESET"),
        (RuntimeError(f"[Errno {socket.EAI_NONAME}] Name or service not known"), "EAI_NONAME"),
        (RuntimeError(f"[WinError {errno.ECONNREFUSED}] actively refused"), "ECONNREFUSED"),
        (RuntimeError("[Errno 99999] never heard of"), None),
        (RuntimeError("nothing"), None),
    ],
)
def test_the_errno_has_a_name(exc: BaseException, name: str | None) -> None:
    assert root_cause(exc).errno == name


def test_openssl_reasons_come_from_the_attribute() -> None:
    exc = ssl.SSLCertVerificationError(1, "certificate verify failed")
    exc.reason = "CERTIFICATE_VERIFY_FAILED"
    assert root_cause(exc).errno == "CERTIFICATE_VERIFY_FAILED"


def test_a_number_that_means_two_things_is_told_by_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on macOS, where 8 is EAI_NONAME and also ENOEXEC.
    monkeypatch.setattr("mcpdoctor.failures._EAI", {8: "EAI_NONAME"})
    assert root_cause(RuntimeError("[Errno 8] nodename nor servname provided, or not known")).errno == "EAI_NONAME"
    assert root_cause(RuntimeError(f"[Errno 8] {os.strerror(8)}: 'x'")).errno == errno.errorcode[8]


def test_windows_names_of_errors_are_those_of_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(errno.errorcode, 10061, "WSAECONNREFUSED")
    assert root_cause(OSError(10061, "refused")).errno == "ECONNREFUSED"


def test_a_broken_str_does_not_hide_the_failure() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise KeyError("no text")

    assert root_cause(Broken()).message == "<unprintable>"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "Lost"),
        ("mcp.shared.exceptions", "mcp.shared.exceptions.Lost"),
        ("httpcore._exceptions", "httpcore.Lost"),
        ("anyio._core._exceptions", "anyio.Lost"),
        ("_private.errors", "_private.errors.Lost"),
        (None, "None.Lost"),
    ],
)
def test_a_type_has_its_public_name(module: Any, name: str) -> None:
    assert root_cause(lookalike(module, "Lost")()).type == name


def test_messages_are_redacted_and_capped() -> None:
    token = "wJalrXUtnFEMI/K7MDENG"
    exc = group(ValueError(f"key AKIAIOSFODNN7EXAMPLE and {token} \x1b[31m" + "x" * 9000))
    for found in (root_cause(exc, secrets=[token]), unwrap(exc, secrets=[token])[0][-1]):
        assert found.message.startswith("key [redacted] and [redacted] xxx")
        assert len(found.message) < 2100


def test_a_chain_is_one_line_that_does_not_repeat_itself() -> None:
    chain = (
        Failure(type="httpx.ConnectError", message="All connection\nattempts failed"),
        Failure(type="httpcore.ConnectError", message="All connection attempts failed"),
        Failure(type="ConnectionRefusedError", message="[Errno 111] Connection refused", errno="ECONNREFUSED"),
        Failure(type="anyio.WouldBlock"),
    )
    assert format_chain(chain) == (
        "httpx.ConnectError: All connection attempts failed <- httpcore.ConnectError"
        " <- ConnectionRefusedError: [Errno 111] Connection refused <- anyio.WouldBlock"
    )
