"""One function for each stage: send what the stage needs, and say what was seen.

Probes record facts and judge nothing: whether a 401 means a wrong service, a check says. They let exceptions out; the
engine turns them into chains.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx

from mcpdoctor import __version__, revisions
from mcpdoctor.answers import decoded
from mcpdoctor.bearer import sent_facts
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.credentials import Resolved
from mcpdoctor.diagnosis import Said, read
from mcpdoctor.endpoints import Endpoint
from mcpdoctor.matrix import Call, Cell
from mcpdoctor.model import Exchange, Fact, Stage, Trace, Verdict
from mcpdoctor.redaction import clean
from mcpdoctor.wire import ACCEPT_ENCODING, MAX_BODY, Transcript, port_of, read_answer

if TYPE_CHECKING:
    from mcp import ClientSession

T = TypeVar("T")

PROTOCOL = "2025-06-18"
"""MCP revision that our own `initialize` names; servers answer it with the newest one that they share."""

NOWHERE = "mcpdoctor"
"""A service and a region that no server has."""

_REQUEST_ID = 1
_MAX_PAGES = 10
_MAX_REDIRECTS = 3
_REFUSAL = re.compile(r"(?i)expired|credential|identity|authenticat|authoriz|token|denied|too many|throttl|limit")
_LOOPBACK = re.compile(r"localhost\.?|127\.\d+\.\d+\.\d+|::1|.*\.localhost", re.IGNORECASE)
# Names of tools that models on Amazon Bedrock take (ToolSpecification of its Converse API).
_BEDROCK_TOOL = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROFILE_OPTION = re.compile(r"--profile[= ]\s*([\w.@+/-]{1,100})")
_REGION_IN_URL = re.compile(r"(?<![a-z0-9])([a-z]{2}(?:-[a-z]+)+-\d)(?![a-z0-9])")


class Refused(Exception):  # not an error of ours: the answer was complete, and it was no
    """The server answered, and the answer means that this stage failed; the exchange says why."""


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


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a daemon thread, so that a look-up or a login that hangs cannot hold up the end of the program."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(act: Callable[[Any], None], value: object) -> None:
        if not future.done():
            act(value)

    def run() -> None:
        try:
            act, value = future.set_result, work()
        except StopIteration as error:  # a future cannot carry it
            act, value = future.set_exception, RuntimeError(repr(error))  # type: ignore[assignment]
        except BaseException as error:  # noqa: BLE001  # handed to the caller, who waits for it
            act, value = future.set_exception, error  # type: ignore[assignment]
        with suppress(RuntimeError):  # the run ended before; nobody waits
            loop.call_soon_threadsafe(settle, act, value)

    threading.Thread(target=run, daemon=True, name="mcpdoctor").start()
    return await future


# parse ----------------------------------------------------------------------------------------------------------------


def parse(cell: Cell, catalogue: Catalogue, *, deadline_s: float) -> Trace:
    """Judge the URL, and note what the catalogue knows of it. Nothing is sent."""
    url = cell.configuration.endpoint
    starts = cell.facts.get("proxy_starts") is not False
    if (cell.start is None and not starts) or (cell.start is not None and not url):
        # What the command is, only starting it tells; where it may not be started, reading its arguments does.
        verdict = Verdict.PASSED if cell.start else Verdict.FAILED
        return Trace(stage=Stage.PARSE, verdict=verdict, facts={**cell.facts, "deadline_s": deadline_s})
    problem = url_problem(url)
    facts: dict[str, Fact] = {
        "url_valid": problem is None,
        "not_mcp": False,
        "deadline_s": deadline_s,
        "max_body_mib": MAX_BODY // 2**20,
        "mcp_version": _mcp_version(),
        "sigv4_known": bool(cell.endpoint and "sigv4" in cell.endpoint.auth),
        "bearer_known": cell.endpoint is None or cell.endpoint.takes_tokens,
        "yours": cell.endpoint is None or cell.endpoint.yours,
        **sent_facts(cell.headers),
        **cell.facts,
    }
    if problem is not None:
        facts["url_problem"] = problem
        return Trace(stage=Stage.PARSE, verdict=Verdict.FAILED, facts=facts)
    split = urlsplit(url)
    facts["insecure"] = split.scheme == "http" and not is_loopback(split.hostname or "")
    if (split.hostname or "").endswith("."):
        port = f":{split.port}" if split.port else ""
        bare = split._replace(netloc=f"{(split.hostname or '').rstrip('.')}{port}")
        facts |= {"trailing_dot": True, "endpoint_without_dot": urlunsplit(bare)}
    facts["secure_endpoint"] = urlunsplit(split._replace(scheme="https"))
    facts["port"] = port_of(url)
    facts |= _catalogue_facts(cell, catalogue)
    other = catalogue.not_mcp(url)
    if other is not None:
        facts |= {"not_mcp": True, "host_is": other.title, "use_instead": catalogue.instead(other, url)}
    refused = facts["insecure"] or facts["not_mcp"]
    return Trace(stage=Stage.PARSE, verdict=Verdict.FAILED if refused else Verdict.PASSED, facts=facts)


@cache
def _mcp_version() -> str:
    return importlib.metadata.version("mcp")


def url_problem(url: str) -> str | None:
    """What keeps `url` from being used, as half a sentence; None for a usable one."""
    if url != url.strip() or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "it holds a space or a control character"
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        return clean(str(error), limit=200)
    if not split.scheme or split.scheme not in ("http", "https"):
        return f"it starts with {split.scheme}:, not with https://" if split.scheme else "it has no https:// in front"
    if not host:
        return "it has no host"
    if split.username or split.password:
        return "it holds a user name or password; MCP servers of AWS take a signature instead"
    if re.search(r"[{}<>]", host):
        return "its host still holds a placeholder"
    labels = [] if ":" in host else host.rstrip(".").split(".")
    if port == 0 or not all(0 < len(label) < 64 for label in labels):
        return "its host or port is not possible"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address always means this machine."""
    return bool(_LOOPBACK.fullmatch(host))


def _catalogue_facts(cell: Cell, catalogue: Catalogue) -> dict[str, Fact]:
    configuration, endpoint = cell.configuration, cell.endpoint
    url = configuration.endpoint
    match = catalogue.owner(url)
    in_url = _REGION_IN_URL.search(url)
    region = match.region if match else None
    expected = region or (in_url[1] if in_url else None)
    facts: dict[str, Fact] = {
        "region_known": True,
        "expected_region": expected or "the region that the endpoint is in",
        "anonymous_note": "without any signature",
        "quota_note": "",
        "login_note": f" {endpoint.login_note}" if endpoint and endpoint.login_note else "",
    }
    if expected is not None:
        facts["right_region"] = expected
    suggestions = catalogue.suggest(url)
    if suggestions and match is not None:
        facts["nearest"] = suggestions[0]
    facts["suggestion"] = " or ".join(suggestions) or "the URL from the documentation of the server"
    facts["host_note"] = "AWS runs MCP servers under similar names." if suggestions and not match else ""
    facts["host_remedy"] = (
        f"Use {_with_titles(suggestions, catalogue)}." if suggestions else "Check the spelling of the host in the URL."
    )
    facts["region_remedy"] = (
        f'Sign for {expected}: aws_region="{expected}", or --region {expected}.'
        if expected
        else "Sign for the region that the endpoint is in; its owner or its documentation names it."
    )
    facts["path_remedy"] = "Check the path; MCP endpoints of AWS end in /mcp."
    if endpoint is None:
        return facts
    facts |= _wanted(endpoint, cell)
    facts["server"] = endpoint.title
    facts["anonymous_note"] = endpoint.anonymous_note or "without any signature"
    known = None if endpoint.yours else endpoint.url_for(region or "")
    meant = " or ".join(catalogue.neighbours(url)) or catalogue.meant(url) or known
    right = f"Use {meant}." if meant else f"The form is {endpoint.url}."
    facts["path_remedy"] = f"{right} {endpoint.path_note}".rstrip()
    if endpoint.service is not None:
        facts["expected_service"] = endpoint.service
        facts["service_hint"] = endpoint.service
        if configuration.signed:
            facts["service_matches"] = configuration.service == endpoint.service
    if region is not None:
        facts["host_region"] = region
        facts["region_hint"] = region
        facts["region_known"] = not endpoint.regions or region in endpoint.regions
        facts["server_regions"] = ", ".join(endpoint.regions)
        if configuration.signed:
            facts["region_matches"] = configuration.region == region
    per_s = endpoint.quota.signed_per_s if configuration.signed else endpoint.quota.unsigned_per_s
    if per_s is not None and not endpoint.strict:
        facts["quota_note"] = f" (documented: {per_s:g} requests/s {'signed' if configuration.signed else 'unsigned'})"
    return facts


def _wanted(endpoint: Endpoint, cell: Cell) -> dict[str, Fact]:
    """What a server asks of its callers, and whether the cell has it."""
    facts: dict[str, Fact] = {"action_remedy": endpoint.action_remedy(), "hosted": endpoint.hosted}
    sent = {name.casefold() for name in cell.headers}
    missing = next((one for one in endpoint.required_headers if one.name.casefold() not in sent), None)
    facts["header_missing"] = missing is not None
    if missing is not None:
        also = f", or send {missing.meta} in _meta" if missing.meta else ""
        facts |= {"missing_header": missing.name, "header_text": missing.text, "header_also": also}
    named = _PROFILE_OPTION.search(json.dumps(dict(cell.call.arguments))) if cell.call else None
    if named is not None:
        facts["profile_in_call"] = clean(named[1], limit=100)
    facts["names_profile"] = named is not None
    return facts


def _with_titles(urls: tuple[str, ...], catalogue: Catalogue) -> str:
    parts = []
    for url in urls:
        match = catalogue.match(url)
        kind = ("signed" if match.endpoint.service else "unauthenticated") if match else ""
        parts.append(f"{url} ({kind}: {match.endpoint.title})" if match else url)
    return " or ".join(parts)


# http and auth: our own POST ------------------------------------------------------------------------------------------


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


_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


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


# open, list, call: the real client ------------------------------------------------------------------------------------


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
        # Unsigned, old versions of the SDK follow redirects by themselves; newer ones look at no setting.
        follow = signer is None
        return httpx.AsyncClient(headers=asked, timeout=None, auth=auth, transport=transport, follow_redirects=follow)  # noqa: S113

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
    # Servers of AWS put a prefix and three underscores before the names of tools.
    bare = tool.rpartition("___")[2]
    near = [name for name in listed if name.rpartition("___")[2] == bare] or get_close_matches(tool, listed, n=1)
    if near:
        facts["tool_hint"] = f"You may mean --tool {near[0]}."
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


def refused_revision(said: Said | None, body: bytes) -> dict[str, Fact]:
    """The revisions that a server names which does not speak the one that it was asked for."""
    if said is None or said.kind != "rpc-error":
        return {}
    named = revisions.offered(body)
    return {"server_protocol": " or ".join(named)} if named else {}


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
