"""Bodies are read leniently, and what clients do not take is said strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor import revisions
from mcpdoctor.answers import decoded, document, event_data, problem
from mcpdoctor.diagnosis import read
from mcpdoctor.model import Exchange

GOOD = {"jsonrpc": "2.0", "id": 7, "result": {}}
EVENTS = "text/event-stream"
JSON = "application/json"


def found(
    body: object, kind: str | None = JSON, *, status: int = 200, request_id: object = 7, **more: Any
) -> str | None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return problem(status=status, content_type=kind, body=raw, request_id=request_id, **more)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (GOOD, JSON),
        (GOOD, "Application/JSON; charset=utf-8"),
        ({**GOOD, "id": "7"}, JSON),
        ({**GOOD, "error": None, "more": 1}, JSON),
        ({"jsonrpc": "2.0", "id": 7, "result": None, "error": {"code": -32600, "message": "no"}}, JSON),
        (b"\n " + json.dumps(GOOD).encode() + b"\r\n", JSON),
        (b": hi\r\nretry: 5\r\n\r\ndata: " + json.dumps(GOOD).encode() + b"\r\n\r\n", EVENTS),
        (b'data: {"jsonrpc":"2.0",\ndata: "id":7,\ndata: "result":{}}\n\n', f"{EVENTS};charset=utf-8"),
        (
            b'data: {"jsonrpc":"2.0","id":1,"method":"ping"}\n\nevent: message\ndata: '
            + json.dumps(GOOD).encode()
            + b"\n\n",
            EVENTS,
        ),
    ],
)
def test_what_clients_take_is_no_problem(body: object, kind: str) -> None:
    assert found(body, kind) is None


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({**GOOD, "id": 8}, JSON, "the answer has the id 8, the request had 7"),
        ({**GOOD, "id": "7.0"}, JSON, 'the answer has the id "7.0", the request had 7'),
        ({**GOOD, "id": True}, JSON, "the answer has the id true, the request had 7"),
        ({"id": 7, "result": {}}, JSON, 'it is not marked as JSON-RPC ("jsonrpc": "2.0")'),
        ({**GOOD, "result": []}, JSON, "it has neither a result that is an object nor an error"),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": 1}}, JSON, "the JSON-RPC error has no message"),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": True, "message": ""}}, JSON, "the JSON-RPC error has no code"),
        (b"OK", JSON, "it is called JSON and is none"),
        (b"7", JSON, "it is no JSON object"),
        (b"  ", JSON, "the body is empty"),
        (b"", EVENTS, "the body is empty"),
        (b": nothing\n\n", EVENTS, "the event stream holds no answer"),
        (b"data: {\n\n", EVENTS, "the event stream holds no answer"),
        (json.dumps(GOOD).encode("utf-32"), JSON, "the JSON is written in UTF-32, not in UTF-8"),
        (GOOD, "text/\x1b[31mplain", "its content type is text/"),
    ],
)
def test_what_clients_do_not_take_is_named(body: object, kind: str, words: str) -> None:
    told = found(body, kind)
    assert told is not None
    assert told.startswith(words)
    assert "\x1b" not in told


def test_a_notification_needs_no_answer_and_a_refusal_is_none() -> None:
    assert found(b"", None, status=202, request_id=None) is None
    assert found(b"<html>", "text/html", status=403) is None


def test_of_a_body_that_was_not_read_only_its_type_is_judged() -> None:
    assert found(b"", JSON, complete=False) is None
    assert found(b"", EVENTS, complete=False) is None
    assert "text/plain" in (found(b"", "text/plain", complete=False) or "")


@given(
    st.binary(max_size=200), st.sampled_from([JSON, EVENTS, "text/html", None]), st.sampled_from([200, 202, 204, 299])
)
def test_nothing_that_is_sent_breaks_the_reading(body: bytes, kind: str | None, status: int) -> None:
    problem(status=status, content_type=kind, body=body, request_id=1)
    document(decoded(body))
    revisions.offered(body)


def test_deep_nesting_is_no_json() -> None:
    assert document("[" * 100_000) is None
    assert found(b"[" * 100_000) == "it is called JSON and is none"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_json_is_read_in_every_encoding(encoding: str) -> None:
    assert document(decoded(json.dumps(GOOD).encode(encoding))) == GOOD


def test_of_several_messages_the_answer_is_read() -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert document(json.dumps([ping, GOOD])) == GOOD
    assert document(f"{json.dumps(GOOD)}{json.dumps(ping)}") == GOOD
    assert document(f"data: {json.dumps(ping)}\n\ndata: {json.dumps(GOOD)}\n\n") == GOOD
    assert document("") is None


def test_events_are_read_whatever_ends_their_lines() -> None:
    assert event_data("data: a\rdata: b\r\rdata:c\n\nid: 1\n\ndata: d") == ["a\nb", "c", "d"]


def test_json_rpc_that_is_called_html_is_json_rpc_and_a_page_is_a_page() -> None:
    def said(body: str) -> str:
        headers = {"content-type": "text/html"}
        return read(Exchange(method="POST", url="", status=200, headers=headers, body=body)).kind

    assert (said(json.dumps(GOOD)), said('{"hello": 1}'), said("<p>")) == ("rpc-result", "html", "html")


# revisions ------------------------------------------------------------------------------------------------------------


def answer(**given: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, **given}).encode()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (answer(result={"protocolVersion": "2025-06-18"}), ("2025-06-18",)),
        (answer(result={"supportedVersions": ["2026-07-28"]}), ("2026-07-28",)),
        (answer(error={"code": -32022, "message": "", "data": {"supported": ["2025-11-25"]}}), ("2025-11-25",)),
        (answer(error={"code": -32602, "message": "Invalid request parameters", "data": ""}), ()),
        (answer(result={"protocolVersion": 7}), ()),
        (answer(result={"supportedVersions": "2026-07-28"}), ()),
        (b"<html>", ()),
    ],
)
def test_the_revisions_that_an_answer_names_are_read(body: bytes, named: tuple[str, ...]) -> None:
    assert revisions.offered(body) == named


def test_each_revision_is_asked_for_in_its_own_way() -> None:
    asked = {one: revisions.question(one) for one in revisions.REVISIONS}
    methods = [json.loads(body)["method"] for body, _ in asked.values()]
    assert methods == ["initialize"] * 4 + ["server/discover"]
    body, headers = asked["2026-07-28"]
    assert headers == {"mcp-protocol-version": "2026-07-28", "mcp-method": "server/discover"}
    assert json.loads(body)["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert all(not headers for one, (_, headers) in asked.items() if one != "2026-07-28")


def test_what_was_not_answered_is_neither_spoken_nor_refused() -> None:
    facts = revisions.facts({"2024-11-05": ("2024-11-05",), "2025-03-26": ("2024-11-05",)})
    assert facts["revisions"] == ("2024-11-05",)
    assert facts["revisions_refused"] == ("2025-03-26",)
    assert "speaks_latest_revision" not in facts
    assert revisions.facts({}) == {}
