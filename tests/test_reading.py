"""A text is taken apart into what it says of exceptions, HTTP and JSON-RPC, whatever it is written in."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import logging
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpdoctor import texts
from mcpdoctor.model import Exchange, Unusable
from mcpdoctor.reading import Clue, Reading, read_text
from mcpdoctor.texts import decode, load

UNHURRIED = settings(deadline=None)  # other tests run on the same machine

URL = "https://tools.example/mcp"
WORDS = "Traceback: the café closed\n"


def said(clue: Clue) -> tuple[str, str, int | None]:
    assert clue.exchange is not None
    return clue.exchange.method, clue.exchange.url, clue.exchange.status


def answers(text: str) -> list[tuple[str, str, int | None]]:
    return [said(clue) for clue in read_text(text).clues if clue.exchange]


def only(text: str) -> Clue:
    [clue] = read_text(text).clues
    return clue


def exchange_in(text: str) -> Exchange:
    exchange = only(text).exchange
    assert exchange is not None
    return exchange


def ends(found: Reading) -> list[tuple[str, str]]:
    return [(chain[-1].type, chain[-1].message) for chain in found.chains]


def logged(method: str, url: str, status: str, *, library: str = "httpx") -> str:
    """The line that httpx writes at INFO for each request, through the logging module."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    message = f'HTTP Request: {method} {url} "HTTP/1.1 {status}"'
    handler.emit(logging.LogRecord(library, logging.INFO, "x.py", 1, message, None, None))
    return written.getvalue()


REFUSED = logged("POST", URL, "401 Unauthorized")
THROTTLED = logged("POST", URL, "429 Too Many Requests")
ACCEPTED = logged("POST", URL, "200 OK")
GONE = logged("POST", URL, "404 Not Found")


# --- Bytes ---


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"], ids=lambda name: name
)
def test_a_text_is_decoded_as_it_was_written(encoding: str) -> None:
    text = WORDS * 50
    assert text == decode(text.encode(encoding), "it")


def test_utf_16_with_the_other_byte_order_is_told_by_its_mark() -> None:
    assert decode(b"\xfe\xff" + WORDS.encode("utf-16-be"), "it") == WORDS


def test_a_character_that_was_cut_costs_only_itself() -> None:
    data = ("x" * 10 + "é").encode()
    assert decode(data[:-1], "it") == "x" * 10 + "\ufffd"
    assert decode(data[11:] + b"ok", "it").endswith("ok")
    assert decode("\ufeffok".encode("utf-16-le")[:-1], "it").startswith("o")


def test_other_encodings_are_read_as_far_as_they_are_ascii() -> None:
    assert decode("Fehler: Verbindung gelöst".encode("latin-1"), "it") == "Fehler: Verbindung gel\ufffdst"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 20,
        b"\x7fELF\x02\x01\x01" + b"\0" * 400 + b"\x03\0>\0" * 20,
        b"\x1f\x8b\x08\0" + bytes((n * 167 + 13) % 256 for n in range(4000)),
        b"PK\x03\x04\x14\0\0\0\x08\0" + bytes((n * 91 + 7) % 256 for n in range(4000)),
        bytes((n * n * 31 + n) % 256 for n in range(5000)),
    ],
    ids=["png", "elf", "gzip", "zip", "noise"],
)
def test_what_is_no_text_is_refused_by_its_name(data: bytes) -> None:
    with pytest.raises(Unusable, match=r"shot\.png: not a text file"):
        decode(data, "shot.png")


@pytest.mark.parametrize("data", [b"", b" \r\n\t\n", b"\0" * 100])
def test_an_empty_text_is_refused(data: bytes) -> None:
    with pytest.raises(Unusable, match=r"a\.log: empty; give the traceback"):
        decode(data, "a.log")


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf", "\ufeff\r\n".encode("utf-16-le"), b"\xef\xbb\xbf \n"])
def test_a_text_of_nothing_but_a_byte_order_mark_is_empty(data: bytes) -> None:
    with pytest.raises(Unusable, match="empty"):
        decode(data, "a.log")


def test_zeros_in_front_of_a_log_that_was_truncated_while_it_was_written_are_skipped() -> None:
    assert decode(b"\0" * 5000 + WORDS.encode(), "it").strip("\0") == WORDS


@UNHURRIED
@given(st.binary(max_size=600))
def test_bytes_are_decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(Unusable):
        decode(data, "it")


# --- Files ---


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(WORDS.encode())
    assert load(str(path)) == (WORDS, 0)


def test_of_a_file_that_is_too_large_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_BYTES", 3 * texts._CHUNK)
    path = tmp_path / "a.log"
    line = "0123456789abcdef" * 64 + "\n"
    path.write_text(line * 9_000 + "the last line\n", encoding="ascii")

    text, left_out = load(str(path))

    assert text.endswith("\nthe last line\n")
    # The head is looked at for the encoding, and counts on neither side.
    assert path.stat().st_size - (len(text) + left_out) in (0, texts._HEAD)
    assert 3 * texts._CHUNK <= len(text) <= 4 * texts._CHUNK + texts._HEAD


def test_what_is_left_out_of_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_BYTES", texts._CHUNK)
    path = tmp_path / "a.log"
    path.write_text("the first line\n" + "nothing to see here\n" * 200_000, encoding="ascii")
    text, left_out = load(str(path))
    assert left_out > 0
    assert set(text.splitlines()[1:]) == {"nothing to see here"}
    assert "the first line" not in text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_large_file_in_utf_16_stays_what_it_is(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MAX_BYTES", texts._CHUNK)
    path = tmp_path / "a.log"
    path.write_bytes(("nothing to see here\n" * 200_000 + "the last line\n").encode(encoding))
    text, left_out = load(str(path))
    assert text.endswith("nothing to see here\nthe last line\n")
    assert left_out > 0


def test_a_file_of_hundreds_of_megabytes_is_read_in_the_memory_of_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("wb") as file:
        file.write(b"the first line\n" * 300)
        file.seek(400 * 2**20)  # a hole, which takes no room on the disk
        file.write((b"x" * 1023 + b"\n") * (texts.MAX_BYTES // 1024 + 2048) + b"the last line\n")
    text, left_out = load(str(path))
    assert text.endswith("\nthe last line\n")
    assert left_out > 380 * 2**20


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WORDS.encode("utf-16")), encoding="ascii"))
    assert load("-") == (WORDS, 0)


def test_an_error_about_standard_input_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""), encoding="ascii"))
    with pytest.raises(Unusable, match="standard input: empty"):
        load("-")


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "no-such.log"
    with pytest.raises(Unusable, match=r"no-such\.log: cannot be read: No such file or directory\."):
        load(str(missing))
    with pytest.raises(Unusable, match="cannot be read: "):
        load(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permission_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"secret")
    path.chmod(0)
    with pytest.raises(Unusable, match="cannot be read: Permission denied"):
        load(str(path))


# --- Lines ---


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\x0c", "\u2028"])
def test_a_line_ends_however_it_ends(ending: str) -> None:
    clues = read_text(f"first{ending}{REFUSED.strip()}{ending}{GONE.strip()}{ending}").clues
    assert [clue.line for clue in clues] == [2, 3]


def test_escapes_are_no_part_of_the_words() -> None:
    coloured = f"\x1b[2m2026-11-22\x1b[0m \x1b]8;;https://x.example\x07{REFUSED.strip()}\x1b]8;;\x07\x1b[K"
    assert answers(coloured) == [("POST", URL, 401)]


def test_what_repeats_is_one_clue_at_the_line_where_it_is_said_last() -> None:
    lines = [f"2026-11-22 12:00:{n:02d} ERROR agent: run {n} failed after {n * 3} s" for n in range(60)]
    text = "\n".join([lines[0], REFUSED.strip(), *lines[1:], "done"])
    # Of what differs only in its numbers the first wording is kept.
    assert [("HTTP 401", 2), (lines[0], 61)] == [(clue.words, clue.line) for clue in read_text(text).clues]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("ERROR agent: the server said HTTP 429", "ERROR agent: the server said HTTP 401"),
        (
            '{"level": "error", "message": "failed", "statusCode": 429}',
            '{"level": "error", "message": "failed", "statusCode": 401}',
        ),
        ("MCP error -32602: no", "MCP error -32001: no"),
        ("ERROR agent: [Errno 111] no way", "ERROR agent: [Errno 113] no way"),
    ],
    ids=["sentence", "json", "json-rpc", "errno"],
)
def test_what_differs_in_a_status_or_a_code_is_no_repetition(earlier: str, later: str) -> None:
    alone = only(later)
    last = read_text(f"{earlier}\n{later}").clues[-1]
    assert (alone.exchange, alone.rpc_code, alone.words) == (last.exchange, last.rpc_code, last.words)


def test_lines_that_tell_of_no_failure_are_no_clues() -> None:
    text = "\n".join(f"2026-11-22 12:00:0{n} INFO agent: step {n} done" for n in range(8)) + f"\n{ACCEPTED}"
    assert read_text(text).clues == ()


def test_a_line_without_end_is_cut() -> None:
    text = f"{'x' * 5_000_000} ERROR failed\n{REFUSED}"
    assert answers(text) == [("POST", URL, 401)]


def test_of_endless_clues_the_last_are_kept() -> None:
    words = map("".join, itertools.product("abcdefghijklmno", repeat=3))
    text = "\n".join(f"ERROR agent: cannot {word}" for word in itertools.islice(words, 3000))
    clues = read_text(text).clues
    assert (len(clues), clues[-1].line) == (1500, 3000)


@pytest.mark.parametrize("prefix", ["agent-1  | ", "2026-11-22T12:00:00.1234567Z ", "[gw0] ", "> "])
def test_what_stands_in_front_of_every_line_is_left_out(prefix: str) -> None:
    text = "".join(prefix + line for line in (REFUSED, "ERROR: Forbidden\n", ACCEPTED))
    assert [clue.words for clue in read_text(text).clues] == ["HTTP 401", "ERROR: Forbidden"]


def test_a_line_that_was_folded_is_unfolded() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in main\nOSError: gone\n'
    for folded in (trace.replace("\n", "#012"), trace.replace("\n", "\\n").replace('"', '\\"')):
        assert ends(read_text(f"ERROR agent: {folded}\nnext\nnext\nnext\nnext")) == [("OSError", "gone")]


# --- HTTP ---


def test_the_line_of_an_http_library_gives_method_url_and_status() -> None:
    assert answers(REFUSED) == [("POST", URL, 401)]
    assert answers(logged("POST", URL, "403 Forbidden", library="httpx2")) == [("POST", URL, 403)]


def test_the_access_log_of_a_server_gives_the_status() -> None:
    assert answers('INFO:     127.0.0.1:51234 - "POST /mcp HTTP/1.1" 403 Forbidden') == [("POST", "", 403)]


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", URL, "405 Method Not Allowed"),
        ("DELETE", URL, "404 Not Found"),
        ("GET", "https://tools.example/.well-known/oauth-protected-resource/mcp", "404 Not Found"),
        ("POST", "https://tools.example/register", "404 Not Found"),
    ],
)
def test_what_servers_usually_refuse_is_no_clue(method: str, url: str, status: str) -> None:
    assert answers(logged(method, url, status)) == []


def test_a_refusal_that_a_retry_got_over_knows_it() -> None:
    [clue] = read_text(THROTTLED + ACCEPTED).clues
    assert (clue.answered_before, clue.answered_later) == (False, True)


def test_a_refusal_in_the_middle_of_a_session_knows_it() -> None:
    [clue] = read_text(ACCEPTED + GONE).clues
    assert (clue.answered_before, clue.answered_later) == (True, False)


def test_the_answer_of_another_url_supersedes_nothing() -> None:
    [clue] = read_text(THROTTLED + logged("POST", "https://other.example/mcp", "200 OK")).clues
    assert (clue.answered_before, clue.answered_later) == (False, False)


def test_a_repeated_refusal_after_the_last_good_answer_is_not_superseded() -> None:
    [clue] = read_text(THROTTLED + ACCEPTED + THROTTLED).clues
    assert (clue.answered_before, clue.answered_later) == (True, False)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("ERROR Client error '403 Forbidden' for url 'https://tools.example/mcp'", 403),
        ("Error: Streamable HTTP error: Error POSTing to endpoint (HTTP 502): bad", 502),
        ("ERROR got status_code=503", 503),
        ("ERROR statusCode: 429", 429),
        ("error: Non-200 status code (401)", 401),
        ("ERROR 500 Server Error: boom", 500),
        ("aiohttp.client_exceptions.ClientResponseError: 401, message='Unauthorized'", 401),
        ("curl: (22) The requested URL returned error: 404", 404),
        ("ERROR the server responded with a status of 504", 504),
        ("ERROR <html><head><title>502 Bad Gateway</title></head>", 502),
        ("ERROR 401 Unauthorized", 401),
    ],
)
def test_a_status_in_a_sentence_is_read(words: str, status: int) -> None:
    assert [status] == [exchange.status for clue in read_text(words).clues if (exchange := clue.exchange)][-1:]


@pytest.mark.parametrize(
    "words",
    [
        "ERROR failed after 401 ms",
        "ERROR at line 403 of agent.py",
        "ERROR job 500 failed",
        "ERROR could not read https://tools.example/fault/status/503/mcp",
        "ERROR cannot bind port 404",
        "ERROR HTTP 200 but no tools",
        "ERROR took 429 tokens",
    ],
)
def test_a_number_that_is_no_status_is_not_read_as_one(words: str) -> None:
    assert answers(words) == []


def test_curl_with_headers_gives_status_headers_and_body() -> None:
    text = textwrap.dedent(
        """\
        HTTP/2 403
        content-type: application/json
        x-amzn-errortype: AccessDeniedException
        x-amzn-requestid: 1b4f0000-1111-2222

        {"message": "no"}
        """
    )
    exchange = exchange_in(text)
    assert (exchange.status, exchange.body) == (403, '{"message": "no"}')
    assert {"content-type", "x-amzn-errortype", "x-amzn-requestid"} == set(exchange.headers)


def test_curl_with_everything_gives_the_url_too() -> None:
    text = textwrap.dedent(
        """\
        * Connected to tools.example (192.0.2.1) port 443
        > POST /mcp HTTP/2
        > Host: tools.example
        > Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-east-1/x/aws4_request
        >
        < HTTP/2 401
        < content-type: application/json
        < www-authenticate: Bearer realm="x"
        <
        {"message": "Missing Bearer token"}
        * Connection #0 to host tools.example left intact
        """
    )
    [clue] = [clue for clue in read_text(text).clues if clue.exchange]
    assert said(clue) == ("POST", URL, 401)
    assert "AKIAIOSFODNN7EXAMPLE" not in repr(clue)


def test_a_good_answer_in_curl_is_no_clue() -> None:
    text = 'HTTP/2 200\ncontent-type: application/json\n\n{"jsonrpc": "2.0", "id": 1, "result": {}}\n'
    assert read_text(text).clues == ()


# --- JSON ---


def test_the_stack_in_a_record_is_read_as_text_or_as_a_list_of_lines() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in main\nOSError: gone'
    for stack in (trace, trace.splitlines()):
        record = json.dumps({"level": "ERROR", "message": "run failed", "stackTrace": stack})
        assert ends(read_text(record)) == [("OSError", "gone")]
        assert ends(read_text(json.dumps({"log": record}, indent=2))) == [("OSError", "gone")]


def test_a_record_that_repeats_is_read_once() -> None:
    records = "\n".join(
        json.dumps({"time": n, "level": "ERROR", "exception": {"name": "TypeError", "message": "fetch failed"}})
        for n in range(50)
    )
    found = read_text(records)
    assert ends(found) == [("TypeError", "fetch failed")]
    assert {50} == {clue.line for clue in found.clues if clue.chain}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_rpc_error_gives_its_code(indent: int | None) -> None:
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "Unable to do it"}}
    clue = only(json.dumps(error, indent=indent))
    assert clue.rpc_code == -32001
    assert "Unable to do it" in clue.words


@pytest.mark.parametrize(
    "words", ["MCP error -32001: no", "JSON-RPC error: -32001", "{'code': -32001, 'message': 'no'}"]
)
def test_the_code_of_json_rpc_is_read_from_a_sentence(words: str) -> None:
    assert [clue.rpc_code for clue in read_text(f"ERROR {words}").clues] == [-32001]


def test_a_status_in_a_record_is_a_status() -> None:
    record = json.dumps({"level": "error", "message": "request failed", "statusCode": 503, "endpoint": URL})
    assert said(only(record)) == ("POST", URL, 503)


def test_the_result_of_a_tool_that_failed_is_a_tool_error() -> None:
    result = {"content": [{"type": "text", "text": "AccessDenied: no"}], "isError": True}
    found = read_text(json.dumps({"jsonrpc": "2.0", "id": 3, "result": result}))
    assert [clue.words for clue in found.clues if clue.tool_error] == ["isError: true; text AccessDenied: no"]


def test_what_a_tool_answered_well_is_not_looked_at() -> None:
    text = "OSError: AccessDenied, HTTP 403, An error occurred (ExpiredToken)"
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": False}
    assert read_text(json.dumps({"jsonrpc": "2.0", "id": 3, "result": result}, indent=2)) == Reading()


@pytest.mark.parametrize(
    "text", ["{" * 5000, "[" * 5000, "[" * 100_000 + "]" * 100_000, '{"a":\n' * 3000, "{\n" * 3000]
)
def test_json_without_end_is_text(text: str) -> None:
    assert read_text(f"{text}\n{REFUSED}").clues[-1].words == "HTTP 401"


def test_json_in_json_in_json_is_read_to_a_depth() -> None:
    record = json.dumps({"level": "ERROR", "exception": {"name": "TypeError", "message": "fetch failed"}})
    for _ in range(3):
        record = json.dumps({"log": record})
    assert ends(read_text(record)) == [("TypeError", "fetch failed")]
    for _ in range(3):
        record = json.dumps({"log": record})
    read_text(record)


# --- JavaScript ---


def test_an_error_of_node_gives_its_status_and_url() -> None:
    text = textwrap.dedent(
        f"""\
        Error: request refused
            at Client.post (file:///app/node_modules/some-sdk/client.js:10:20)
            at async main (file:///app/agent.mjs:3:1) {{
          code: 403,
          url: '{URL}'
        }}
        """
    )
    [clue] = [clue for clue in read_text(text).clues if clue.chain]
    assert said(clue) == ("POST", URL, 403)
    assert "at Client.post (file:///app/node_modules/some-sdk/client.js:10:20)" in clue.steps


def test_a_caused_by_of_node_is_a_cause() -> None:
    text = textwrap.dedent(
        """\
        Uncaught Error: no session
            at main (file:///app/agent.mjs:3:1) {
          [cause]: TypeError: fetch failed
              at node:internal/deps/undici/undici:1:1 {
            [cause]: Error: getaddrinfo ENOTFOUND tools.example
                at GetAddrInfoReqWrap.onlookup (node:dns:1:1)
          }
        }
        """
    )
    [chain] = read_text(text).chains
    assert [(one.type, one.errno) for one in chain] == [("Error", None), ("TypeError", None), ("Error", "ENOTFOUND")]


# --- URLs and secrets ---


def test_urls_are_counted_and_documentation_is_left_out() -> None:
    text = textwrap.dedent(
        f"""\
        trying https://other.example/mcp then {URL}.
        For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/401
        see https://docs.aws.amazon.com/x, https://github.com/a/b/issues/1 and https://errors.pydantic.dev/2/v/x
        posting to '{URL}' ({URL})
        """
    )
    assert read_text(text).urls == (URL, "https://other.example/mcp")


def test_where_a_redirect_leads_is_not_what_was_asked() -> None:
    text = f"ERROR {URL}: Redirect to 'https://login.example/' not followed\n< location: https://login.example/"
    assert read_text(text).urls == (URL,)


SECRETS = {
    "key": "AKIAIOSFODNN7EXAMPLE",
    "token": "IQoJb3JpZ2luX2VjMADEUPTOKEN",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123",
    "password": "hunter2hunter2",
}
SECRET_URL = f"https://bob:{SECRETS['password']}@tools.example/mcp?token={SECRETS['jwt']}"
SPOKEN = f"no: key {SECRETS['key']}, session_token={SECRETS['token']}, Authorization: Bearer {SECRETS['jwt']}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"ERROR agent: {SPOKEN}", id="sentence"),
        pytest.param(
            f'Traceback (most recent call last):\n  File "a.py", line 1, in f\nOSError: {SPOKEN}', id="traceback"
        ),
        pytest.param(json.dumps({"level": "ERROR", "error": SPOKEN}), id="json"),
        pytest.param(f"ERROR cannot reach {SECRET_URL}", id="url"),
        pytest.param(logged("POST", SECRET_URL, "403 Forbidden"), id="logged"),
        pytest.param(f"ERROR Client error '403 Forbidden' for url '{SECRET_URL}'", id="for-url"),
        pytest.param(f"HTTP/2 403\ncontent-type: text/plain\n\n{SPOKEN}", id="curl"),
    ],
)
def test_secrets_are_masked_where_they_are_read(text: str) -> None:
    found = read_text(text)
    assert found.clues
    shown = repr((found.clues, found.chains, found.urls))
    assert [name for name, secret in SECRETS.items() if secret in shown] == []


# --- Any text ---


LINES = st.sampled_from(
    [
        REFUSED,
        ACCEPTED,
        "Traceback (most recent call last):\n",
        '  File "a.py", line 1, in main\n',
        "ValueError: no\n",
        "  + Exception Group Traceback (most recent call last):\n",
        "  | ExceptionGroup: x (2 sub-exceptions)\n",
        "  +-+---------------- 1 ----------------\n",
        "    | Traceback (most recent call last):\n",
        "╭─── Traceback (most recent call last) ───╮\n",
        "│ a.py:1 in main │\n",
        "╰──────╯\n",
        "ERROR failed: ExceptionGroup('x', [ValueError('y')])\n",
        '{"level": "ERROR", "error": {"code": -32001, "message": "no"}}\n',
        "HTTP/2 401\n",
        "content-type: application/json\n",
        "\n",
        "Error: no\n    at main (file:///a.mjs:1:1) {\n",
        "  [cause]: Error: why\n",
        "}\n",
        "The above exception was the direct cause of the following exception:\n",
        "E       OSError: gone\n",
    ]
)


@UNHURRIED
@given(st.lists(LINES | st.text(max_size=40), max_size=30).map("".join))
def test_clues_stand_in_the_order_of_their_lines_and_within_the_text(text: str) -> None:
    lines = [clue.line for clue in read_text(text).clues]
    assert sorted(lines) == lines
    assert all(1 <= line <= len(texts._BREAK.split(text)) for line in lines)
