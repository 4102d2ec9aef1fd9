"""Which revisions of MCP a server speaks: one small request for each, and how to read the answer.

Up to 2025-11-25 a session begins with `initialize`, which names a revision; a server that does not speak it answers
with another one. 2026-07-28 has no `initialize`: every request stands for itself, and `server/discover` asks what the
server speaks (https://modelcontextprotocol.io/specification/versioning).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mcpdoctor import __version__
from mcpdoctor.answers import decoded, document
from mcpdoctor.model import Fact
from mcpdoctor.redaction import clean

WITH_INITIALIZE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions that open a session with `initialize`, the oldest first."""

WITHOUT_INITIALIZE = ("2026-07-28",)
"""Revisions without sessions."""

REVISIONS = (*WITH_INITIALIZE, *WITHOUT_INITIALIZE)
"""Every released revision, the oldest first."""

REQUEST_ID = 1

_CLIENT = {"name": "mcpdoctor", "version": __version__}
_META = "io.modelcontextprotocol/"
_MAX = 12


def question(revision: str) -> tuple[bytes, dict[str, str]]:
    """The JSON-RPC request that asks whether a server speaks `revision`, and the headers that go with it."""
    if revision in WITH_INITIALIZE:
        method = "initialize"
        params: dict[str, object] = {"protocolVersion": revision, "capabilities": {}, "clientInfo": _CLIENT}
        headers = {}
    else:
        method = "server/discover"
        about = {"protocolVersion": revision, "clientInfo": _CLIENT, "clientCapabilities": {}}
        params = {"_meta": {f"{_META}{name}": value for name, value in about.items()}}
        headers = {"mcp-protocol-version": revision, "mcp-method": method}
    message = {"jsonrpc": "2.0", "id": REQUEST_ID, "method": method, "params": params}
    return json.dumps(message).encode(), headers


def offered(body: bytes) -> tuple[str, ...]:
    """The revisions that an answer to `question` names as its own; empty where it names none."""
    message = document(decoded(body))
    if not isinstance(message, dict):
        return ()
    result, error = message.get("result"), message.get("error")
    if isinstance(result, dict):
        named = result.get("supportedVersions") or [result.get("protocolVersion")]
    else:
        data = error.get("data") if isinstance(error, dict) else None
        named = data.get("supported") if isinstance(data, dict) else None
    given = named if isinstance(named, list) else []
    return tuple(clean(one, limit=40) for one in given if isinstance(one, str))[:_MAX]


def facts(answers: Mapping[str, tuple[str, ...]]) -> dict[str, Fact]:
    """What the answers to all questions tell.

    Args:
        answers: for each revision that was asked for and answered, those that the answer named.
    """
    if not answers:
        return {}
    # Whoever names a revision without being asked for it speaks it as well.
    named = {one for given in answers.values() for one in given}
    spoken = tuple(sorted(named))
    refused = tuple(one for one in REVISIONS if one in answers and one not in named)
    found: dict[str, Fact] = {"revisions": spoken, "revisions_refused": refused}
    if spoken:
        found["newest_revision"] = spoken[-1]
    if REVISIONS[-1] in answers:
        found["speaks_latest_revision"] = REVISIONS[-1] in named
    return found
