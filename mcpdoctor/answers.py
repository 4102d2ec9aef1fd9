"""Read the body of an answer leniently, and say strictly what keeps MCP clients from taking it as the answer.

What a server meant is one thing, what clients make of it another: mcp 1.x waits for ever for an answer that has the
wrong id, the wrong content type, or anything beside the one JSON document. What is called a problem here was tried with
mcp 1.26 and 1.30.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mcpdoctor.redaction import clean

_EVENTS = "text/event-stream"


def decoded(body: bytes) -> str:
    """A body as text: UTF-8, or UTF-16 and UTF-32 where it looks like JSON in them; without a byte order mark."""
    wide = body.decode(json.detect_encoding(body), errors="replace").removeprefix("\ufeff")
    return wide if wide.lstrip().startswith(("{", "[")) else body.decode("utf-8", errors="replace")


def document(text: str) -> Any:
    """The JSON document of a body, whatever stands around it; None where there is none.

    Of an event stream or a batch the first response in it, else its last message; of several documents the first.
    """
    bare = text.lstrip("\ufeff \t\r\n")
    if bare.startswith(("{", "[")):
        found, _ = _first(bare)
        return _response(found) if isinstance(found, list) else found
    return _response([found for found, _ in map(_first, event_data(text))])


def event_data(body: str) -> list[str]:
    """The data of each event of an event stream, its lines joined (HTML standard, section 9.2.6)."""
    return [data for _, data in _events(body)]


def problem(
    *, status: int, content_type: str | None, body: bytes, request_id: object, complete: bool = True
) -> str | None:
    """What keeps an MCP client from taking an answer, as half a sentence with its subject.

    Args:
        status: HTTP status; only an answer that claims success (2xx) is looked at.
        content_type: of the answer; None where it has none.
        body: what was read of it.
        request_id: of the JSON-RPC request; None for a notification, which needs no answer.
        complete: whether the body was read to its end; clients leave one alone whose type they do not know.

    Returns:
        None for a good answer, and for one that is not looked at.
    """
    if not 200 <= status < 300 or request_id is None:
        return None
    if status in (202, 204):
        return f"HTTP {status} says that nothing follows, and a request wants an answer"
    kind = (content_type or "").lower()
    if not kind.startswith(("application/json", _EVENTS)):
        named = f"its content type is {clean(content_type, limit=100)}" if content_type else "it has no content type"
        return f"{named}; MCP clients take application/json and {_EVENTS}"
    if not complete:
        return None
    if not body.strip():
        return "the body is empty"
    if kind.startswith(_EVENTS):
        return _problem_of_events(body.decode("utf-8", errors="replace"), request_id)
    return _problem_of_json(body, request_id)


def _problem_of_json(body: bytes, request_id: object) -> str | None:
    if (encoding := json.detect_encoding(body)) != "utf-8":
        if encoding == "utf-8-sig":
            return "a byte order mark stands before the JSON"
        return f"the JSON is written in {encoding.upper().removesuffix('-LE').removesuffix('-BE')}, not in UTF-8"
    text = body.decode("utf-8", errors="replace").strip()
    found, rest = _first(text)
    if found is None:
        return "it is called JSON and is none"
    if rest.strip():
        return f"{'another one' if rest.lstrip().startswith(('{', '[')) else 'text'} follows the JSON document"
    return _problem_of(found, request_id)


def _problem_of_events(text: str, request_id: object) -> str | None:
    events = [(name, _first(data)[0]) for name, data in _events(text)]
    for name, message in events:
        if not isinstance(message, dict) or "method" in message or not {"result", "error"} & set(message):
            continue
        if name != "message":
            return f"the event with the answer is called {clean(name, limit=40)!r}, and clients look for message"
        return _problem_of(message, request_id)
    return "the event stream holds no answer to the request"


def _problem_of(message: object, request_id: object) -> str | None:
    """What is wrong with a message of JSON-RPC, judged as mcp 1.x reads it."""
    if isinstance(message, list):
        return "it is a batch (a JSON array), which MCP has not had since 2025-06-18"
    if not isinstance(message, dict):
        return "it is no JSON object"
    if message.get("jsonrpc") != "2.0":
        return 'it is not marked as JSON-RPC ("jsonrpc": "2.0")'
    error, identity = message.get("error"), message.get("id")
    # Servers of AWS write `"result": null` beside an error, others `"error": null` beside a result: clients take both.
    if error is not None:
        if not isinstance(error, dict):
            return "the JSON-RPC error is no object with code and message"
        if type(error.get("code")) is not int:
            return "the JSON-RPC error has no code that is a whole number"
        if not isinstance(error.get("message"), str):
            return "the JSON-RPC error has no message"
    elif not isinstance(message.get("result"), dict):
        return "it has neither a result that is an object nor an error"
    if _same(identity, request_id):
        return None
    return f"the answer has the id {_shown(identity)}, the request had {_shown(request_id)}"


def _same(identity: object, request_id: object) -> bool:
    """Whether mcp finds the request to an id: a whole number may come back as a string."""
    if type(identity) is str and type(request_id) is int:
        return bool(re.fullmatch(r"\s*[+-]?\d{1,30}\s*", identity)) and int(identity) == request_id
    return type(identity) is type(request_id) and identity == request_id


def _shown(value: object) -> str:
    return clean(json.dumps(value), limit=60)


def _events(body: str) -> list[tuple[str, str]]:
    """Name and data of each event of an event stream."""
    events, lines, name = [], list[str](), ""
    for line in [*re.split(r"\r\n|\r|\n", body.removeprefix("\ufeff")), ""]:
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif not line:
            if lines:
                events.append((name or "message", "\n".join(lines)))
            lines, name = [], ""
    return events


def _response(messages: list[Any]) -> Any:
    answers = [one for one in messages if isinstance(one, dict) and ("result" in one or "error" in one)]
    return answers[0] if answers else messages[-1] if messages else None


def _first(text: str) -> tuple[Any, str]:
    """The JSON document at the beginning of `text`, and what follows it; None and nothing where there is none."""
    try:
        found, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None, ""
    return found, text.lstrip()[end:]
