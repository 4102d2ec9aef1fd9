"""Stages open, list and call: the client that users run."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import httpx

from mcpdoctor import __version__
from mcpdoctor.bodies import ACCEPT_ENCODING
from mcpdoctor.diagnosis import Said
from mcpdoctor.endpoints import Endpoint, nearest_tool
from mcpdoctor.matrix import Call
from mcpdoctor.model import Exchange, Fact
from mcpdoctor.outcomes import Refused
from mcpdoctor.probes.posting import Signer, refused_revision
from mcpdoctor.redaction import clean
from mcpdoctor.transcript import Transcript

if TYPE_CHECKING:
    from mcp import ClientSession

_MAX_PAGES = 10
_REFUSAL = re.compile(r"(?i)expired|credential|identity|authenticat|authoriz|token|denied|too many|throttl|limit")
# Names of tools that models on Amazon Bedrock take (ToolSpecification of its Converse API).
_BEDROCK_TOOL = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def load_client() -> None:
    """Import the real client; about a second, so it is done only once a configuration gets that far.

    What is imported stays, so the garbage collector need not go through it: neither while it is made, nor, later, with
    every session (a seventh of the time that a session takes).
    """
    if "mcp_proxy_for_aws.client" in sys.modules:
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        import mcp_proxy_for_aws.client  # noqa: F401  # imports the SDK in its turn

        gc.freeze()
    finally:
        if collecting:
            gc.enable()


@asynccontextmanager
async def session(
    url: str,
    signer: Signer | None,
    transport: httpx.AsyncBaseTransport,
    *,
    timeout_s: float,
    more: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[ClientSession]:
    """An MCP session of the client that users run, over a transport of ours.

    Signed, that is `mcp_proxy_for_aws.client.aws_iam_streamablehttp_client`; unsigned, the one of the `mcp` SDK.
    """
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client
    from mcp.types import Implementation

    def factory(
        headers: dict[str, str] | None = None,
        timeout: httpx.Timeout | None = None,  # noqa: ARG001  # the deadline of the stage stands in for it
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        asked = {"accept-encoding": ACCEPT_ENCODING, **(headers or {}), **more}
        return httpx.AsyncClient(
            headers=asked,
            timeout=None,  # noqa: S113  # the deadline of the stage
            auth=auth,
            transport=transport,
            # Unsigned, old versions of the SDK follow redirects by themselves; newer ones look at no setting.
            follow_redirects=signer is None,
            event_hooks={"request": [keep_headers]},
        )

    async def keep_headers(request: httpx.Request) -> None:
        """Another server, to which a redirect leads, gets none of the user's headers; httpx withholds the usual."""
        there, here = request.url, httpx.URL(url)
        if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
            for name in more:
                request.headers.pop(name, None)

    if signer is None:
        client = streamable_http_client(url, http_client=factory())
    else:
        from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client

        client = aws_iam_streamablehttp_client(
            endpoint=url,
            aws_service=signer.service,
            aws_region=signer.region,
            credentials=signer.resolved.credentials,
            timeout=timeout_s,
            sse_read_timeout=timeout_s,
            httpx_client_factory=factory,
        )
    who = Implementation(name="mcpdoctor", version=__version__)
    async with client as (receive, send, _), ClientSession(receive, send, client_info=who) as one:
        yield one


async def open_session(one: ClientSession, facts: dict[str, Fact]) -> None:
    """Initialize the session. Raises what the SDK raises."""
    result = await one.initialize()
    facts["protocol"] = clean(str(result.protocolVersion), limit=40)
    facts["server_name"] = clean(f"{result.serverInfo.name} {result.serverInfo.version}", limit=100)


async def list_tools(one: ClientSession, facts: dict[str, Fact], *, never_empty: bool = False) -> None:
    """List the tools, page by page. Raises what the SDK raises.

    A server need not offer tools: it says so when the session opens, and then may answer with none or with an error.

    Args:
        one: the session.
        facts: what is observed.
        never_empty: whether this server is known to have tools, so that a list without any is a refusal.

    Raises:
        Refused: it has tools, and listed none.
    """
    from mcp.shared.exceptions import McpError
    from mcp.types import METHOD_NOT_FOUND

    capabilities = one.get_server_capabilities()
    offered = capabilities is None or capabilities.tools is not None
    facts["tools_offered"] = offered
    names: list[str] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        try:
            page = await one.list_tools(cursor)
        except McpError as error:
            if offered or error.error.code != METHOD_NOT_FOUND:
                raise
            break
        names += [clean(tool.name, limit=100) for tool in page.tools]
        cursor = page.nextCursor
        if not cursor:
            break
    facts["tools"] = tuple(names)
    if refused := tuple(name for name in names if not _BEDROCK_TOOL.fullmatch(name)):
        facts["tools_bedrock_refuses"] = refused
    if names or offered:
        facts["tool_count"] = len(names)
    if never_empty and not names:
        raise Refused


async def call_tool(
    one: ClientSession, call: Call, facts: dict[str, Fact], *, removed: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Call a tool that the user or the catalogue named.

    Args:
        one: the session.
        call: the tool and its arguments.
        facts: what is observed; `listed` in it, the names of the tools that there are, is taken out.
        removed: tools that the server is known to have no longer, each with the one to use.

    Raises:
        Refused: the tool answered with an error.
    """
    facts["tool"] = call.tool
    listed = facts.pop("listed", ())
    if isinstance(listed, tuple) and listed:
        facts |= _facts_of_name(call.tool, listed, removed)
    result = await one.call_tool(call.tool, dict(call.arguments))
    text = " ".join(getattr(part, "text", "") for part in result.content)
    if result.isError:
        facts["tool_failed"] = True
        facts["tool_message"] = clean(" ".join(text.split()), limit=300) or "no text"
        raise Refused
    facts["tool_answer_size"] = len(text)


def _facts_of_name(tool: str, listed: tuple[str, ...], removed: Mapping[str, str]) -> dict[str, Fact]:
    """Whether there is a tool of this name, and which one may have been meant."""
    facts: dict[str, Fact] = {"tool_listed": tool in listed, "tool_removed": False, "tool_hint": "Correct --tool."}
    if tool in listed:
        return facts
    if tool in removed:
        return {**facts, "tool_removed": True, "replacement": removed[tool]}
    near = nearest_tool(tool, listed)
    if near is not None:
        facts["tool_hint"] = f"You may mean --tool {near}."
    return facts


def answers_as(exchanges: Sequence[Exchange]) -> dict[str, Fact]:
    """How the server answers requests: with one JSON document each, or with a stream of events."""
    kinds = {
        "SSE" if "text/event-stream" in one.headers.get("content-type", "") else "JSON"
        for one in exchanges
        if one.method == "POST" and one.status == httpx.codes.OK and one.rpc_method is not None
    }
    return {"answers_as": " and ".join(sorted(kinds))} if kinds else {}


async def one_call(one: ClientSession, call: Call | None) -> None:
    """Send one request over a session: call a tool, or list the tools where none is given. Raises what the SDK raises.

    `ClientSession.call_tool` lists the tools by itself before it is content with a first answer, to check the answer
    against their schemas; that would be a request that nobody asked for.
    """
    if call is None:
        await one.list_tools()
        return
    from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest

    params = CallToolRequestParams(name=call.tool, arguments=dict(call.arguments))
    await one.send_request(ClientRequest(CallToolRequest(params=params)), CallToolResult)


async def probe_credential(
    one: ClientSession, endpoint: Endpoint, transcript: Transcript, facts: dict[str, Fact]
) -> None:
    """Call a tool that does not exist: a caller whose signature counts learns that there is no such tool.

    An unsigned caller gets 401 for it (section 4.1 of the notes on the AWS MCP Server), so this tells what the
    signature is worth, and has no side effect. An answer that is neither that nor a refusal proves nothing, and is
    no failure either.

    Raises:
        Refused: the tool answered with a refusal of the caller.
        mcp.shared.exceptions.McpError: the server did.
    """
    from mcp.shared.exceptions import McpError

    facts["tool"] = endpoint.credential_probe
    try:
        result = await one.call_tool(endpoint.credential_probe or "", {})
        text = " ".join(getattr(part, "text", "") for part in result.content)
        refused = result.isError and bool(_REFUSAL.search(text))
    except McpError as error:
        text = str(error)
        last = next((exchange for exchange in reversed(transcript.exchanges) if exchange.method == "POST"), None)
        if last is None or last.status != httpx.codes.OK or _REFUSAL.search(text):
            raise
        refused = False
    if refused:
        facts["tool_failed"] = True
        facts["tool_message"] = clean(" ".join(text.split()), limit=300)
        raise Refused
    facts["signature_counts"] = bool(re.search(endpoint.probe_answer, text))


def protocol_facts(said: Said | None, body: bytes) -> dict[str, Fact]:
    """Whether the installed SDK speaks the revision in an answer to `initialize`."""
    if said is None or said.kind != "rpc-result":
        return refused_revision(said, body)
    from mcp.shared.version import SUPPORTED_PROTOCOL_VERSIONS

    found = re.search(rb'"protocolVersion"\s*:\s*"([^"]{1,40})"', body)
    if not found:
        return {}
    spoken = clean(found[1].decode("utf-8", errors="replace"), limit=40)
    return {"server_protocol": spoken, "protocol_supported": spoken in SUPPORTED_PROTOCOL_VERSIONS}
