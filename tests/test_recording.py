"""Reading what was recorded: whole or in pieces, friendly or hostile; and the JSON-RPC on the pipes of a proxy."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.model import Cause, Exchange, Report, Stage, Verdict
from mcpdoctor.recording import MAX_LINE, Conversation, Message, Recorded, Recording, read, results
from mcpdoctor.render.recording import MAX_ROWS, nothing, table
from mcpdoctor.verdict import conclude

URL = "https://aws-mcp.us-east-1.api.aws/mcp"
SIGNED: dict[str, Any] = {"signature": "sigv4", "service": "bedrock-agentcore", "region": "us-east-1"}
REFUSAL = '{"message": "Credential should be scoped to correct service: \'aws-mcp\'."}'


def sent(number: int = 1, **changes: Any) -> dict[str, Any]:
    made = {"event": "sent", "id": number, "at": 100.5, "method": "POST", "url": URL, "rpc": "initialize"}
    return {**made, **changes}


def answered(number: int = 1, status: int = 401, **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-"), value) for name, value in {"content_type": "application/json", **headers}.items()]
    return {"event": "answered", "id": number, "after": 0.2, "status": status, "headers": named}


def ended(number: int = 1, body: str = REFUSAL, **more: Any) -> dict[str, Any]:
    return {"event": "ended", "id": number, "after": 0.3, "size": len(body), "complete": True, "body": body, **more}


def write(directory: Path, *events: object, name: str = "7-ab.0.jsonl") -> None:
    (directory / name).write_text("".join(f"{json.dumps(event)}\n" for event in events))


def reading(directory: Path) -> Recording:
    return read(directory, started=100.0, ended=130.0)


def test_the_events_of_an_exchange_are_put_together(tmp_path: Path) -> None:
    write(tmp_path, {"event": "start", "at": 100.1, "python": "3.12.1"}, sent(**SIGNED), answered(), ended())
    recording = reading(tmp_path)
    [one] = recording.exchanges
    assert (one.exchange.status, one.exchange.body, one.exchange.elapsed_s) == (401, REFUSAL, 0.3)
    assert (one.started_s, one.process, one.service) == (0.5, 7, "bedrock-agentcore")
    assert recording.interpreters == ("3.12.1",)
    assert one.failed
    assert not one.pending


def test_exchanges_of_all_processes_come_in_the_order_they_began(tmp_path: Path) -> None:
    write(tmp_path, sent(1, at=103), sent(2, at=101), name="7-ab.0.jsonl")
    write(tmp_path, sent(1, at=102), name="8-cd.0.jsonl")
    assert [(one.process, one.started_s) for one in reading(tmp_path).exchanges] == [(7, 1.0), (8, 2.0), (7, 3.0)]


def test_an_exchange_may_go_on_in_the_next_part_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, ended(0), sent(), name="7-ab.9.jsonl")
    write(tmp_path, answered(), ended(), name="7-ab.10.jsonl")
    [one] = reading(tmp_path).exchanges
    assert one.exchange.body == REFUSAL


def test_an_exchange_without_an_end_is_pending_and_one_with_a_status_is_not(tmp_path: Path) -> None:
    write(tmp_path, sent(1), sent(2), answered(2, 200))
    recording = reading(tmp_path)
    assert [one.pending for one in recording.exchanges] == [True, False]
    assert [one.exchange.elapsed_s for one in recording.exchanges] == [29.5, 0.2]
    assert len(recording.pending) == 1


def test_what_is_no_event_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1-a.0.jsonl").write_bytes(
        b'\xff\xfe\n[]\n{"event": "sent"\n' + b"[" * 100_000 + b'\n{"event": "sent", "id"'
    )
    write(tmp_path, answered(5), ended(6), {"event": "new"}, sent(1), sent(1), name="x-y.0.jsonl")
    (tmp_path / "directory.jsonl").mkdir()
    [one] = reading(tmp_path).exchanges
    assert one.process == 0
    assert read(None, started=0, ended=1) == Recording()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "text", "members", "cause", "base", "errno", "reason"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_no_event_whatever_it_holds_is_an_error(value: Any) -> None:
    import tempfile

    names = ("at", "method", "url", "rpc", "status", "headers", "body", "size", "after", "failure", "signature", "tool")
    with tempfile.TemporaryDirectory() as directory:
        write(
            Path(directory),
            *({**sent(number), name: value} for number, name in enumerate(names)),
            {"event": "unhandled", "failure": value},
            {"event": "unhandled", "failure": [value, value]},
            {"event": "packages", "versions": value},
            {"event": "start", "python": value},
        )
        recording = reading(Path(directory))
    assert len(recording.exchanges) == len(names)
    assert table(recording)


def test_a_failure_is_taken_apart_as_if_it_had_been_raised_here(tmp_path: Path) -> None:
    failure = [
        {"type": ["builtins", "ExceptionGroup"], "text": "group", "members": [1, 3], "cause": None, "context": 2},
        {"type": ["httpx", "ConnectError"], "text": "[Errno -2]", "members": [], "cause": 4, "context": None},
        {"type": ["asyncio.exceptions", "CancelledError"], "text": "", "members": [], "cause": None, "context": 0},
        {"type": ["ssl", "SSLError"], "text": "no", "base": "SSLError", "errno": 1, "reason": "WRONG_VERSION_NUMBER"},
        {"type": ["socket", "gaierror"], "text": "unknown", "base": "gaierror", "errno": socket.EAI_NONAME},
    ]
    write(tmp_path, sent(), {"event": "ended", "id": 1, "after": 1, "failure": failure})
    [one] = reading(tmp_path).exchanges
    assert [(chain[-1].type, chain[-1].errno) for chain in one.failures] == [
        ("socket.gaierror", "EAI_NONAME"),
        ("ssl.SSLError", "WRONG_VERSION_NUMBER"),
    ]
    assert one.failures[0][1].type == "httpx.ConnectError"


def test_what_is_read_is_redacted_and_capped(tmp_path: Path) -> None:
    hostile = "\x1b[31mred AKIAIOSFODNN7EXAMPLE " + "x" * 50_000
    failure = [{"type": ["a", "B"], "text": hostile, "cause": None, "context": None}]
    write(
        tmp_path,
        sent(url=f"https://bob:secret@h/{hostile}", rpc=hostile, tool=hostile, service=hostile),
        answered(location=hostile, mcp_session_id="0123456789"),
        ended(body=hostile),
        {"event": "unhandled", "failure": failure},
        {"event": "packages", "versions": {hostile: hostile}},
    )
    shown = repr(reading(tmp_path)) + table(reading(tmp_path))
    assert "\x1b" not in shown
    assert "AKIAIOSFODNN7EXAMPLE" not in shown
    assert "secret" not in shown
    assert "0123456789" not in shown
    assert len(shown) < 40_000


@pytest.mark.parametrize(
    ("events", "failed"),
    [
        ([sent(), answered(1, 200), ended(body='{"jsonrpc": "2.0", "result": {')], False),
        ([sent(), answered(1, 200), ended(body='data: {"jsonrpc": "2.0", "error": {"code": -1}}')], True),
        ([sent(rpc="tools/call"), answered(1, 200), ended(body='{"jsonrpc":"2.0","result":{"isError":true}}')], True),
        ([sent(), answered(1, 200, content_type="text/html"), ended(body="")], True),
        ([sent(), answered(1, 200), ended(body='{"hello": "world"}')], True),
        ([sent(), answered(1, 200, content_type="text/event-stream"), ended(body=": ping\n")], False),
        ([sent(rpc="notifications/initialized"), answered(1, 202), ended(body="")], False),
        ([sent(rpc=None, method="GET"), answered(1, 405), ended(body="")], False),
        ([sent(rpc=None, method="GET"), answered(1, 404), ended(body="")], True),
        ([sent(), answered(1, 307), ended(body="")], True),
        ([sent()], True),
    ],
)
def test_what_counts_as_a_failure(events: list[dict[str, Any]], failed: bool, tmp_path: Path) -> None:
    write(tmp_path, *events)
    [one] = reading(tmp_path).exchanges
    assert one.failed is failed


# As a report ----------------------------------------------------------------------------------------------------------


def test_each_endpoint_and_signature_is_a_result_and_each_method_a_stage(tmp_path: Path, catalogue: Catalogue) -> None:
    good = ended(body='{"jsonrpc": "2.0", "result": {}}')
    write(
        tmp_path,
        *(sent(1, **SIGNED), answered(), ended()),
        *(sent(2), answered(2, 200), {**good, "id": 2}),
        *(sent(3, rpc="tools/list"), answered(3, 200), {**good, "id": 3}),
        *(sent(4, rpc="tools/call", tool="echo"), answered(4, 429), ended(4, "{}")),
        *(
            sent(5, method="GET", rpc=None, url="https://aws-mcp.us-east-1.api.aws/.well-known/oauth-x"),
            answered(5, 404),
        ),
    )
    report = conclude(Report(results=results(reading(tmp_path))), catalogue)
    signed, unsigned = report.results
    assert (signed.configuration.service, signed.configuration.credential) == ("bedrock-agentcore", "default")
    assert (signed.works, signed.stage, signed.http_status, signed.cause) == (
        False,
        Stage.OPEN,
        401,
        Cause.WRONG_SERVICE,
    )
    assert {one.stage: one.verdict for one in unsigned.stages if one.verdict is not Verdict.SKIPPED} == {
        Stage.OPEN: Verdict.PASSED,
        Stage.LIST: Verdict.PASSED,
        Stage.CALL: Verdict.FAILED,
    }
    assert (unsigned.configuration.credential, unsigned.cause) == ("none", Cause.RATE_LIMITED)
    assert all(one.facts.get("recorded") for one in unsigned.stages if one.exchanges)


@pytest.mark.parametrize(
    ("link", "stage"),
    [
        ({"type": ["socket", "gaierror"], "text": "", "base": "gaierror", "errno": socket.EAI_NONAME}, Stage.DNS),
        ({"type": ["builtins", "OSError"], "text": "", "base": "OSError", "errno": errno.ECONNREFUSED}, Stage.TCP),
        ({"type": ["httpx", "ConnectTimeout"], "text": ""}, Stage.TCP),
        ({"type": ["ssl", "SSLError"], "text": "x", "base": "SSLError", "reason": "X"}, Stage.TLS),
        ({"type": ["httpx", "ReadTimeout"], "text": ""}, Stage.OPEN),
    ],
)
def test_a_connection_that_fails_belongs_to_its_stage(link: dict[str, Any], stage: Stage, tmp_path: Path) -> None:
    write(tmp_path, sent(), {"event": "ended", "id": 1, "after": 1, "failure": [link]})
    [result] = results(reading(tmp_path))
    assert [one.stage for one in result.stages if one.verdict is Verdict.FAILED] == [stage]


# The table ------------------------------------------------------------------------------------------------------------


def recorded(**changes: Any) -> Recorded:
    return Recorded(exchange=Exchange(**{"method": "POST", "url": URL, "rpc_method": "initialize", **changes}))


def test_the_table_says_what_went_wrong_in_a_row_each() -> None:
    recording = Recording(
        exchanges=(
            recorded(status=200, body='{"jsonrpc": "2.0", "result": {}}'),
            recorded(status=401, body=REFUSAL, headers={"x-amzn-errortype": "InvalidSignatureException"}),
            recorded(status=302, headers={"location": "https://login.example/"}),
            recorded(status=200, headers={"content-type": "text/html"}, body="<title>Sign in</title>"),
            recorded(
                status=200, body='{"jsonrpc":"2.0","result":{"content":[{"text":"no such file"}],"isError":true}}'
            ),
            recorded(elapsed_s=29.5),
        ),
        messages=(
            Message(rpc_method="initialize", rpc_code=-32000, message="boom"),
            Message(rpc_method="tools/list", answered=False, elapsed_s=4),
        ),
    )
    drawn = table(recording, width=300)
    for words in (
        "aws-mcp.us-east-1.api.aws",
        "401",
        "InvalidSignatureException: Credential should be scoped to correct service",
        "redirected to https://login.example/",
        "a web page: Sign in",
        "the tool failed: no such file",
        "no answer in 29.5 s",
        "-32000",
        "boom",
        "no answer in 4.0 s",
    ):
        assert words in drawn
    assert max(map(len, table(recording, width=80).splitlines())) <= 110
    assert "\x1b[1m" in table(recording, color=True)


def test_of_many_exchanges_the_first_and_the_last_are_shown() -> None:
    many = Recording(exchanges=tuple(recorded(status=200, rpc_method=f"m/{number}") for number in range(500)))
    drawn = table(many)
    assert "m/0\n" in drawn
    assert "m/499" in drawn
    assert "m/250" not in drawn
    assert f"{500 - MAX_ROWS} more" in drawn
    assert len(drawn.splitlines()) == MAX_ROWS + 3


def test_where_nothing_was_recorded_a_sentence_says_why_and_what_to_do() -> None:
    assert "no Python interpreter reported" in table(Recording())
    assert "sent no MCP request" in nothing(Recording(python=True))
    assert "mcpdoctor explain -" in nothing(Recording(python=True))


# Pipes of a stdio proxy -----------------------------------------------------------------------------------------------


def said(**message: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def test_errors_on_the_pipes_are_told_with_the_method_they_answer() -> None:
    heard = Conversation()
    heard.client_said(said(id=1, method="initialize") + said(id="two", method="tools/call") + said(method="note"))
    heard.proxy_said(said(method="notifications/message") + said(id=1, error={"code": -32000, "message": "boom"}))
    heard.proxy_said(said(id="two", result={"isError": True, "content": [{"type": "text", "text": "no"}, 5]}))
    heard.proxy_said(said(id=9, error={"message": "whose?"}) + b"no JSON\n" + said(id=3, result={}) + b"[]\n")
    assert [(one.rpc_method, one.rpc_code, one.message) for one in heard.messages()] == [
        ("initialize", -32000, "boom"),
        ("tools/call", None, "no "),
        (None, None, "whose?"),
    ]


def test_messages_are_read_however_the_bytes_arrive() -> None:
    heard = Conversation()
    for byte in said(id=1, method="initialize"):
        heard.client_said(bytes([byte]))
    answer = said(id=1, error={"code": 1, "message": "ü"})
    heard.proxy_said(answer[:20])
    heard.proxy_said(answer[20:])
    assert [one.message for one in heard.messages()] == ["ü"]


def test_a_line_without_end_costs_no_memory_and_hides_no_later_error() -> None:
    heard = Conversation()
    heard.client_said(said(id=1, method="tools/list"))
    for _ in range(3):
        heard.proxy_said(b"x" * MAX_LINE)
    heard.proxy_said(b"\n" + said(id=1, error={"code": 2, "message": "late"}))
    assert [one.message for one in heard.messages()] == ["late"]


def test_a_request_without_an_answer_is_told() -> None:
    heard = Conversation()
    heard.client_said(said(id=1, method="initialize"))
    [one] = heard.messages()
    assert (one.rpc_method, one.answered) == ("initialize", False)


@given(st.lists(st.binary(max_size=40)), st.lists(st.binary(max_size=40)))
def test_nothing_that_is_said_is_an_error(asked: list[bytes], given: list[bytes]) -> None:
    heard = Conversation()
    for data in asked:
        heard.client_said(data)
    for data in given:
        heard.proxy_said(data)
    assert heard.messages() == ()
