"""Stages http and auth: a POST of our own, and what its answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import httpx

from mcpdoctor import __version__, revisions
from mcpdoctor.answers import decoded
from mcpdoctor.bodies import read_answer
from mcpdoctor.credentials import Resolved
from mcpdoctor.diagnosis import Said, read
from mcpdoctor.model import Exchange, Fact
from mcpdoctor.outcomes import Refused
from mcpdoctor.transcript import Transcript

PROTOCOL = "2025-06-18"
"""MCP revision that our own `initialize` names; servers answer it with the newest one that they share."""

NOWHERE = "mcpdoctor"
"""A service and a region that no server has."""

_REQUEST_ID = 1
_MAX_REDIRECTS = 3
_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """What a signed request needs.

    Attributes:
        region: the signing region.
        service: the SigV4 service name.
    """

    resolved: Resolved
    region: str
    service: str

    def sign(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """Headers of a SigV4 signature over as few headers as allowed: host, date and session token.

        The real client signs every header it sends. Where few pass and all do not, something on the way rewrites
        headers (aws/mcp-proxy-for-aws#313).
        """
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method=method, url=url, data=body)
        SigV4Auth(self.resolved.credentials, self.service, self.region).add_auth(request)
        return dict(request.headers.items())


def initialize_body() -> bytes:
    """The JSON-RPC `initialize` that our own POSTs send."""
    return json.dumps(
        {
            "jsonrpc": "2.0",
            "id": _REQUEST_ID,
            "method": "initialize",
            "params": {
                "protocolVersion": PROTOCOL,
                "capabilities": {},
                "clientInfo": {"name": "mcpdoctor", "version": __version__},
            },
        }
    ).encode()


async def post(
    client: httpx.AsyncClient,
    url: str,
    signer: Signer | None,
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    body: bytes | None = None,
) -> None:
    """Send one JSON-RPC request, signed or not, and read the answer; the transcript has it.

    Args:
        client: sends it.
        url: where to.
        signer: signs it; None for no signature.
        more: headers that are not signed.
        body: the request, with the id 1; `initialize` where none is given, none at all where it is empty.

    Raises:
        httpx.TransportError: no complete answer came.
    """
    sent = initialize_body() if body is None else body
    await _send(client, "POST", url, signer, sent, headers={**_HEADERS, **more})


async def release(
    client: httpx.AsyncClient,
    url: str,
    signer: Signer | None,
    session_id: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """End a session that our own POST opened: a session that is left over counts against the limit of its caller."""
    # 405 is healthy: not every server lets clients end sessions. Read to the end, the connection stays usable.
    await _send(client, "DELETE", url, signer, b"", headers={"mcp-session-id": session_id, **more})


async def _send(
    client: httpx.AsyncClient, method: str, url: str, signer: Signer | None, body: bytes, *, headers: Mapping[str, str]
) -> None:
    """Send a request and read the answer.

    Unsigned, it goes on where a redirect leads within the same server, as the real client does: a slash too many at the
    end of a URL is often answered with one. Signed, the real client stops there.
    """
    signature = signer.sign(method, url, body) if signer is not None else {}
    for _ in range(1 + (_MAX_REDIRECTS if signer is None else 0)):
        async with client.stream(method, url, content=body, headers={**signature, **headers}) as response:
            await read_answer(response, _REQUEST_ID)
        following = _redirected_within(response)
        if following is None:
            return
        url = following


def _redirected_within(response: httpx.Response) -> str | None:
    """Where a redirect leads that keeps method, body and origin of a request; None for any other answer."""
    following = response.next_request
    if response.status_code not in (307, 308) or following is None or following.url.userinfo:
        return None
    before, after = response.request.url, following.url
    same = (before.scheme, before.host, before.port) == (after.scheme, after.host, after.port)
    return str(after) if same else None


def heard(transcript: Transcript) -> Said | None:
    """What the server said in the last exchange, read from the whole body; None where no answer came."""
    if not transcript.exchanges or transcript.exchanges[-1].status is None:
        return None
    last = transcript.exchanges[-1]
    return read(replace(last, body=decoded(transcript.last_body)))


def heard_first(transcript: Transcript) -> Said | None:
    """What the server said to the first POST, read from the whole body; None where no answer came."""
    first = transcript.first_post
    if first is None or first.status is None:
        return None
    return read(replace(first, body=decoded(transcript.first_body)))


def check_http(exchange: Exchange, said: Said) -> None:
    """Whether an answer to an unsigned `initialize` comes from something that can be an MCP server.

    A refusal of the caller counts as one, and so does throttling: who may come in, and how often, is the business of
    stage auth. A signed caller has a limit of its own.

    Raises:
        Refused: it is no such answer.
    """
    status = exchange.status or 0
    refusal = status in (400, 401, 403) and (said.kind == "rpc-error" or said.error_type is not None)
    bare_refusal = status in (401, 403) and said.kind != "html"
    throttled = status == httpx.codes.TOO_MANY_REQUESTS
    if refusal or bare_refusal or throttled or _accepted(exchange, said):
        return
    raise Refused


def check_auth(exchange: Exchange, said: Said) -> None:
    """Whether the caller was let in.

    Raises:
        Refused: the server turned the caller away, or did not answer as MCP does.
    """
    if not _accepted(exchange, said):
        raise Refused


def _accepted(exchange: Exchange, said: Said) -> bool:
    return exchange.status == httpx.codes.OK and said.kind in ("rpc-result", "rpc-error")


def clock_facts(exchange: Exchange, now: float) -> dict[str, Fact]:
    """How far the clock of this machine is from the server's, by its Date header (whole seconds).

    Args:
        exchange: an answer that has just come.
        now: seconds since the epoch at that moment.
    """
    try:
        skew = round(now - parsedate_to_datetime(exchange.headers.get("date", "")).timestamp())
    except (TypeError, ValueError, OverflowError):
        return {}
    words = f"{abs(skew)} s {'ahead' if skew > 0 else 'behind'}" if abs(skew) > 1 else "right"
    return {"clock_skew_s": skew, "clock_skew_text": words}


def refused_revision(said: Said | None, body: bytes) -> dict[str, Fact]:
    """The revisions that a server names which does not speak the one that it was asked for."""
    if said is None or said.kind != "rpc-error":
        return {}
    named = revisions.offered(body)
    return {"server_protocol": " or ".join(named)} if named else {}
