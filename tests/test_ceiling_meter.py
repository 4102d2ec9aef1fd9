"""One sample for each request on the wire, with the right word for what became of it; and the session lives on."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from scripted import (
    TOOL,
    Answer,
    Asked,
    Script,
    as_usual,
    briefly,
    error,
    hang,
    http,
    in_turn,
    late,
    play,
    reset,
    result,
    spoken,
    stand,
    tunnel,
    usual,
)

from mcpdoctor import credentials
from mcpdoctor.ceiling import Burst, Call, Close, Open, Wait, meter, sessions
from mcpdoctor.lab.accounts import SESSION, environment
from mcpdoctor.matrix import Call as ToolCall
from mcpdoctor.probes import Signer, load_client
from mcpdoctor.samples import Operation, Outcome, Stated

OPEN, CALL, CLOSE = Open(session=1), Call(session=1), Close(sessions=(1,))
ECHO = ToolCall(tool="echo", arguments={})
ONCE = Burst(groups=(1,), sessions=(1,))
"""A call of the user's tool: `Call` is always a cheap one."""

OPENED = ["open accepted", "other accepted", "other accepted"]
"""Of a session whose server gives no stream."""


@pytest.fixture(autouse=True, scope="module")
def _client() -> None:
    load_client()  # takes longer than what is timed here


def refusing(code: int, message: str, status: int = 200) -> Answer:
    async def answer(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        return error(asked, code, message, status)

    return answer


def failing_tool(text: str) -> Answer:
    async def answer(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        return result(asked, {"content": [{"type": "text", "text": text}], "isError": True})

    return answer


def tools(*listed: object) -> Answer:
    async def answer(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        return result(asked, {"tools": list(listed)})

    return answer


def in_events(then: Answer, *, before: bytes = b"", after: bytes = b"", line: bytes = b"\n") -> Answer:
    """An answer as an event stream that stays open."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        said = await spoken(then, asked, writer) or b""
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + before)
        data = said.partition(b"\r\n\r\n")[2]
        for piece in (b"event: message", line + b"data: " + data[:9], data[9:] + line, line + after):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        await hang(asked, writer)

    return answer


def flood(piece: bytes, kind: str) -> Answer:
    """A body without end."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n".encode())
        while not writer.transport.is_closing():
            writer.write(piece)
            await writer.drain()

    return answer


# accepted -------------------------------------------------------------------------------------------------------------


def test_a_session_takes_three_requests_to_open_and_one_to_close() -> None:
    script = Script(answers={"GET": stand})
    opened, called, closed, _ = play(script, OPEN, CALL, CLOSE)
    assert briefly(opened) == ["open accepted", "other accepted", "stream accepted"]
    assert briefly(called) == ["call accepted"]
    assert briefly(closed) == ["close accepted"]
    assert {one.session for one in [*opened, *called, *closed]} == {1}
    assert [one.status for one in opened] == [200, 202, 200]
    assert [one.what for one in script.asked[3:]] == ["tools/list", "DELETE"]


def test_a_server_without_sessions_is_asked_for_no_stream_and_nothing_is_given_back() -> None:
    async def stateless(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        return usual(asked).replace(b"mcp-session-id", b"x-nothing")

    script = Script(answers={"initialize": stateless, "notifications/initialized": late(0.1)})
    opened, called, _ = play(script, OPEN, CALL)
    assert briefly(opened) == ["open accepted", "other accepted"]
    assert briefly(called) == ["call accepted"]
    assert [one.what for one in script.asked] == ["initialize", "notifications/initialized", "tools/list"]


def test_a_call_of_a_tool_is_one_request() -> None:
    script = Script()
    _, first, again, _ = play(script, OPEN, ONCE, ONCE, call=ToolCall(tool="echo", arguments={"text": "hi"}))
    assert [*briefly(first), *briefly(again)] == ["call accepted"] * 2
    assert script.count("tools/list") == 0
    assert script.asked[-2].rpc["params"] == {"name": "echo", "arguments": {"text": "hi"}}


def test_a_request_outside_of_any_session_is_accepted_when_it_is_let_in() -> None:
    answers: dict[str, Answer] = {
        "tools/list": in_turn(as_usual, http(400), http(404), http(401), http(500), http(429))
    }
    found = play(Script(answers=answers), *[Call(session=None)] * 6)
    assert [one for samples in found for one in briefly(samples)] == [
        *["call accepted"] * 3,
        "call failed http-401",
        "call failed http-500",
        "call refused http",
    ]
    assert {one.session for samples in found for one in samples} == {None}


# refused --------------------------------------------------------------------------------------------------------------

NGINX = "<html><h1>503 Service Temporarily Unavailable</h1>"
ODD = {"jsonrpc": "2.0", "id": 1, "result": {"isError": 1, "content": 5}}

REFUSED = {
    "429": (http(429), "http", None),
    "503 of nginx": (http(503, NGINX, content_type="text/html"), "http", None),
    "429 of Knowledge": (refusing(-32004, "Too many requests", 429), "http", -32004),
    "JSON-RPC": (refusing(-32004, "Too many requests"), "rpc", -32004),
    "JSON-RPC in events": (in_events(refusing(-32004, "Too many requests")), "rpc", -32004),
    "JSON-RPC in words alone": (refusing(-32000, "Rate limit exceeded for client: x"), "rpc", -32000),
    "ThrottlingException": (
        http(400, {"message": "Rate exceeded"}, x_amzn_errortype="ThrottlingException:http://x/"),
        "http",
        None,
    ),
    "ThrottlingException in the body": (http(400, {"__type": "x#ThrottlingException", "message": "x"}), "http", None),
    "tool": (failing_tool("Too many requests (HTTP 429)"), "tool", None),
    "tool of AWS": (failing_tool("An error occurred (ThrottlingException) when calling LookupEvents"), "tool", None),
    "tool in events": (in_events(failing_tool("Rate exceeded")), "tool", None),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "layer", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_known_in_every_layer_and_the_session_lives_on(
    answer: Answer, layer: str, code: int | None
) -> None:
    script = Script(answers={"tools/call": in_turn(answer, as_usual)})
    _, [refused], [accepted], [closed] = play(script, OPEN, ONCE, ONCE, call=ECHO)
    assert (refused.outcome, refused.layer, refused.code) == (Outcome.REFUSED, layer, code)
    assert accepted.outcome is Outcome.ACCEPTED
    assert closed.operation is Operation.CLOSE


NOT_REFUSED = {
    "400": (http(400), "http-400"),
    "401": (http(401), "http-401"),
    "403": (http(403, {"message": "no"}, x_amzn_errortype="AccessDeniedException"), "http-403"),
    "404: the server forgot the session": (http(404), "http-404"),
    "405": (http(405), "http-405"),
    "500": (http(500), "http-500"),
    "502": (http(502), "http-502"),
    "a redirect, which is not followed": (http(307, location="/mcp/"), "http-307"),
    "a web page": (http(200, "<html>Sign in</html>", content_type="text/html"), "not-mcp"),
    "nonsense": (http(200, "nonsense", content_type="application/json"), "not-mcp"),
    "nothing": (http(202), "not-mcp"),
    "events without an answer": (http(200, "data: {}\n\n", content_type="text/event-stream"), "not-mcp"),
    "a tool that fails": (failing_tool("no such bucket"), None),
    "a tool that says odd things": (http(200, ODD), None),
    "a tool that is not there": (refusing(-32602, "Unknown tool"), None),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "wrong"), NOT_REFUSED.values(), ids=NOT_REFUSED)
def test_what_is_no_refusal_is_a_failure_or_an_answer(answer: Answer, wrong: str | None) -> None:
    script = Script(answers={"tools/call": in_turn(answer, as_usual)})
    _, [first], [second], _ = play(script, OPEN, ONCE, ONCE, call=ECHO, timeout_s=0.5)
    assert (first.outcome, first.error) == (Outcome.FAILED if wrong else Outcome.ACCEPTED, wrong)
    assert second.outcome is Outcome.ACCEPTED


def test_an_empty_list_of_tools_is_a_refusal_where_there_was_a_full_one() -> None:
    answers = {"tools/list": in_turn(tools({**TOOL, "description": 'says "error" at times'}), tools())}
    found = play(Script(answers=answers), OPEN, CALL, CALL, Open(session=2), Call(session=2))
    assert [one for samples in (found[1], found[2], found[4]) for one in briefly(samples)] == [
        "call accepted",
        "call refused rpc",
        "call refused rpc",
    ]


def test_a_server_that_never_had_tools_refuses_nothing() -> None:
    _, first, again, _ = play(Script(answers={"tools/list": tools()}), OPEN, CALL, CALL)
    assert briefly([*first, *again]) == ["call accepted"] * 2


# opening and closing --------------------------------------------------------------------------------------------------

HALFWAY = {
    "greeting refused": ("notifications/initialized", http(429), "other refused http"),
    "greeting denied": ("notifications/initialized", http(401), "other failed http-401"),
    "greeting fails": ("notifications/initialized", http(500), "other failed http-500"),
    "greeting redirected": ("notifications/initialized", http(308, location="/mcp/"), "other failed http-308"),
    "greeting cut": ("notifications/initialized", reset, "other failed connection-lost"),
    "greeting never answered": ("notifications/initialized", hang, "other failed timeout"),
    "stream refused": ("GET", http(429), "stream refused http"),
    "stream fails": ("GET", http(500), "stream failed http-500"),
    "stream cut": ("GET", reset, "stream failed connection-lost"),
}


@pytest.mark.parametrize(("what", "answer", "seen"), HALFWAY.values(), ids=HALFWAY)
def test_a_session_that_came_halfway_is_given_back_at_once(what: str, answer: Answer, seen: str) -> None:
    script = Script(answers={what: answer})
    opened, called, closed = play(script, OPEN, CALL, lost=1, timeout_s=0.5)
    assert seen in briefly(opened)
    assert briefly(opened)[-1] == "close accepted"
    assert script.asked[-1].headers["mcp-session-id"].startswith("session-")
    assert briefly(called) == ["call failed session-lost"]
    assert closed == []


def other_protocol(asked: Asked) -> bytes:
    return usual(asked).replace(b"2025-06-18", b"1999-01-01")


async def old(asked: Asked, _: asyncio.StreamWriter) -> bytes:
    return other_protocol(asked)


async def to_somebody_else(asked: Asked, _: asyncio.StreamWriter) -> bytes:
    return usual(asked).replace(b'"id": 0', b'"id": 7').replace(b"mcp-session-id", b"x-nothing")


TURNED_AWAY = {
    "429": (http(429), "open refused http"),
    "401": (http(401), "open failed http-401"),
    "500": (http(500), "open failed http-500"),
    "redirected": (http(307, location="/mcp/"), "open failed http-307"),
    "JSON-RPC error": (refusing(-32603, "no"), "open failed rpc -32603"),
    "web page": (http(200, "<html>", content_type="text/html"), "open failed not-mcp"),
    "another protocol": (old, "open failed not-mcp"),
    "an answer to somebody else": (to_somebody_else, "open failed not-mcp"),
    "cut": (reset, "open failed connection-lost"),
    "never answered": (hang, "open failed timeout"),
}


@pytest.mark.parametrize(("answer", "seen"), TURNED_AWAY.values(), ids=TURNED_AWAY)
def test_a_session_that_is_turned_away_is_a_sample_and_not_held(
    answer: Answer, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_STREAM_S", 0.2)
    script = Script(answers={"initialize": answer})
    opened, called, _ = play(script, OPEN, CALL, lost=1, timeout_s=0.3)
    assert briefly(opened)[0] == seen
    assert briefly(called) == ["call failed session-lost"]


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (http(200), "close accepted"),
        (http(404), "close accepted"),
        (http(405), "close accepted"),
        (http(307, location="/mcp/"), "close accepted"),
        (http(429), "close refused http"),
        (http(500), "close failed http-500"),
        (reset, "close failed connection-lost"),
        (hang, "close failed timeout"),
    ],
    ids=["200", "404", "405", "307", "429", "500", "reset", "hang"],
)
def test_a_session_is_given_back_once_whatever_the_server_says(answer: Answer, seen: str) -> None:
    script = Script(answers={"DELETE": answer})
    _, closed, again, _ = play(script, OPEN, CLOSE, CLOSE, timeout_s=0.3)
    assert briefly(closed) == [seen]
    assert again == []
    assert script.count("DELETE") == 1


# streams --------------------------------------------------------------------------------------------------------------


async def stands_shortly(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\nretry: 20\n\n")
    await asyncio.sleep(0.05)
    writer.close()


def test_a_stream_that_ends_by_itself_is_not_asked_for_again() -> None:
    script = Script(answers={"GET": stands_shortly})
    opened, _, called, _ = play(script, OPEN, Wait(until_s=time.monotonic() + 0.4), CALL)
    assert briefly(opened)[-1] == "stream accepted"
    assert briefly(called) == ["call accepted"]
    assert script.count("GET") == 1


def test_a_stream_whose_head_is_kept_back_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_STREAM_S", 0.1)
    standing = []

    async def at_last(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: ping\n\n")
        await asyncio.sleep(0.1)
        writer.write(b": ping\n\n")
        standing.append(not writer.transport.is_closing())
        await hang(asked, writer)

    script = Script(answers={"GET": at_last})
    opened, _, called, closed = play(script, OPEN, Wait(until_s=time.monotonic() + 0.9), CALL, timeout_s=0.3)
    assert briefly(opened) == ["open accepted", "other accepted", "stream accepted"]
    assert briefly([*called, *closed]) == ["call accepted", "close accepted"]
    assert standing == [True]


@pytest.mark.parametrize("answer", [http(200, "<html>", content_type="text/html"), http(202), http(404), http(307)])
def test_where_no_stream_stands_none_is_counted(answer: Answer) -> None:
    opened, called, _ = play(Script(answers={"GET": answer}), OPEN, CALL)
    assert briefly(opened) == OPENED
    assert briefly(called) == ["call accepted"]


PING = b'data: {"jsonrpc":"2.0","id":1,"method":"ping"}\n\n'


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (b"", b"", b"\n"),
        (b"", b"", b"\r\n"),
        (b": ping\n\n" * 20, b"", b"\n"),
        (b'data: {"jsonrpc":"2.0","method":"notifications/message"}\n\n', b": more to come", b"\n"),
    ],
    ids=["plain", "CRLF", "after pings", "after a notification, before more"],
)
def test_an_answer_in_a_stream_that_stays_open_is_read_when_it_is_there(
    before: bytes, after: bytes, line: bytes
) -> None:
    answers = {"tools/list": in_events(as_usual, before=before, after=after, line=line)}
    _, [first], [again], _ = play(Script(answers=answers), OPEN, CALL, CALL, timeout_s=4)
    assert briefly([first, again]) == ["call accepted"] * 2
    assert max(first.elapsed_s, again.elapsed_s) < 2


def test_what_a_server_asks_the_client_is_answered_and_counted() -> None:
    script = Script(answers={"tools/list": in_turn(in_events(as_usual, before=PING), as_usual)})
    _, called, _, _ = play(script, OPEN, CALL, CALL)
    assert sorted(briefly(called)) in (["call accepted"], ["call accepted", "other accepted"])
    assert [one.rpc["result"] for one in script.asked if "result" in one.rpc] == [{}]


# trouble --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (hang, "timeout"),
        (reset, "connection-lost"),
        (flood(b"x" * 65536, "application/json"), "too-large"),
        (flood(b'data: {"id":0}\n\n' * 4096, "text/event-stream"), "too-large"),
        (http(200, b"no gzip", content_type="application/json", content_encoding="gzip"), "connection-lost"),
    ],
    ids=["never answered", "cut", "without end", "events without end", "not what it says"],
)
def test_trouble_with_one_answer_is_a_failure_and_the_session_lives_on(
    answer: Answer, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "MAX_BODY", 2**20)
    script = Script(answers={"tools/list": in_turn(answer, as_usual)})
    _, [failed], [accepted], _ = play(script, OPEN, CALL, CALL, timeout_s=8 if wrong == "too-large" else 0.5)
    assert (failed.outcome, failed.error, failed.troubled) == (Outcome.FAILED, wrong, True)
    assert accepted.outcome is Outcome.ACCEPTED


def test_a_body_that_trickles_is_given_up_in_time() -> None:
    async def trickle(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not writer.transport.is_closing():
            writer.write(b": ping\n\n")
            await asyncio.sleep(0.02)

    _, [failed], _ = play(Script(answers={"tools/list": trickle}), OPEN, CALL, timeout_s=0.4)
    assert failed.error == "timeout"
    assert failed.elapsed_s >= 0.39


def test_a_port_that_nobody_listens_on_is_a_failure() -> None:
    opened, called, _ = play(Script(), OPEN, Call(session=None), lost=2, url="http://127.0.0.1:1/mcp")
    assert briefly([*opened, *called]) == ["open failed connection-lost", "call failed connection-lost"]


# what answers state ---------------------------------------------------------------------------------------------------


def test_retry_after_and_rate_limits_are_kept() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    policy = {"ratelimit_policy": '"per-user";q=60;w=10', "ratelimit": '"per-user";r=0;t=5'}
    answers: dict[str, Answer] = {
        "tools/list": in_turn(http(429, retry_after="7"), http(503, retry_after=date), http(429, **policy)),
    }
    _, [seconds], [moment], [stating], _ = play(Script(answers=answers), OPEN, CALL, CALL, CALL)
    assert seconds.retry_after_s == 7
    assert moment.retry_after_s == pytest.approx(60, abs=10)
    assert stating.stated == (Stated(name="per-user", requests=60, window_s=10, remaining=0, reset_s=5),)


def test_no_secret_is_in_a_sample_whatever_a_server_sends_back() -> None:
    async def echo(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        signature = asked.headers["authorization"].rpartition("Signature=")[2]
        said = [SESSION.token, signature, SESSION.secret, SESSION.access_key_id]
        policy = ", ".join(f'"{one}";q=1;w=1' for one in said)
        return error(asked, -32004, " ".join(map(str, said)), 429, ratelimit_policy=policy, retry_after=signature)

    keys = environment(SESSION)
    signer = Signer(resolved=credentials.resolve("env", environ=keys), region="us-east-1", service="aws-mcp")
    script = Script(answers={"tools/list": in_turn(as_usual, echo)})
    found = play(script, OPEN, CALL, CALL, Call(session=None), signer=signer)
    assert [one.outcome for samples in found[2:4] for one in samples] == [Outcome.REFUSED] * 2
    assert all("authorization" in one.headers for one in script.asked)
    told = repr(found)
    assert len(found[2][0].stated) == 4
    signatures = {one.headers["authorization"].rpartition("Signature=")[2] for one in script.asked}
    for secret in (SESSION.token, SESSION.secret, SESSION.access_key_id, *signatures):
        assert str(secret)[:12] not in told


# the way --------------------------------------------------------------------------------------------------------------


def test_requests_leave_from_the_address_that_is_given() -> None:
    script = Script()
    play(script, OPEN, CALL, Call(session=None), local_address="127.0.0.2")
    assert {one.peer for one in script.asked} == {"127.0.0.2"}


def test_the_time_that_a_proxy_takes_for_its_tunnel_is_no_part_of_a_request() -> None:
    answer, context = tunnel(lambda _: 0.6)
    script = Script(answers={"CONNECT": answer})
    opened, called, _ = play(
        script,
        OPEN,
        Burst(groups=(3,), sessions=(1,)),
        url="https://endpoint.test/mcp",
        context=context,
        environ=lambda: {"HTTPS_PROXY": f"http://127.0.0.1:{script.port}"},
    )
    assert script.count("CONNECT") >= 3
    assert briefly(called) == ["call accepted"] * 3
    assert max(one.elapsed_s for one in [*opened, *called]) < 0.5
