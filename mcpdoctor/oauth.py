"""What a server that was asked for a login says about it: metadata of the resource and of its authorization server.

Asked for only after a refusal that makes them matter, with plain GETs that carry nothing of the user: a few to each
server in a run, short, small, without redirects. The addresses come from servers, so they are hostile: nothing that is
not on the public internet is asked, unless it is the endpoint itself (or a name that the user routes). Nobody logs in
here, and no client is registered.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import httpx

from mcpdoctor import __version__
from mcpdoctor.bodies import ACCEPT_ENCODING
from mcpdoctor.endpoints import is_loopback
from mcpdoctor.model import Exchange, Fact
from mcpdoctor.network import Network
from mcpdoctor.outcomes import Once, evidence
from mcpdoctor.redaction import clean
from mcpdoctor.threads import in_thread
from mcpdoctor.transcript import Transcript
from mcpdoctor.wire import RecordingTransport

MOST_PER_SERVER = 4
"""One address or two for the metadata of the resource, and the places where that of an issuer may be."""
MOST_BYTES = 65_536
DEADLINE_S = 5.0

_RESOURCE = "/.well-known/oauth-protected-resource"
_SERVER = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SHOWN = 300


class NowhereError(Exception):
    """The name in an address does not resolve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one address gave.

    Attributes:
        url: that was asked for.
        content: the JSON object; None where there was none.
        problem: why there was none, as a part of a sentence.
        harmful: why it was not even asked for, in the same form.
        unasked: whether it was not asked for since enough was asked: then nothing is known of it.
        exchanges: what was sent for it.
    """

    url: str
    content: dict[str, Any] | None = None
    problem: str = ""
    harmful: str = ""
    unasked: bool = False
    exchanges: tuple[Exchange, ...] = ()


@dataclass(slots=True)
class Discovery:
    """Asks for metadata, each address once in a run.

    Attributes:
        network: the way to the hosts.
        timeout_s: the deadline of a stage; no request takes longer, nor more than `DEADLINE_S`.
    """

    network: Network
    timeout_s: float
    _asked: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    _once: Once = field(default_factory=Once)

    async def facts(
        self, endpoint: str, named: str | None, pace: Callable[[], Awaitable[object]]
    ) -> tuple[dict[str, Fact], tuple[Exchange, ...]]:
        """What can be known of the login at an endpoint.

        Args:
            endpoint: its URL.
            named: the address of the metadata that its challenge names; None leaves it to the well-known ones.
            pace: awaited before each request to the host of the endpoint, so that its quota is kept.
        """
        exchanges: list[Exchange] = []
        found: dict[str, Fact] = {"metadata_named": named is not None}

        async def first(urls: Sequence[str]) -> Document:
            """The first of some addresses that gives something; else what the first of them gave."""
            tried: list[Document] = []
            for url in urls:
                tried.append(await self._once(url, partial(self._fetch, url, endpoint, pace)))
                exchanges.extend(tried[-1].exchanges)
                if tried[-1].content is not None or tried[-1].harmful:
                    return tried[-1]
            return tried[0]

        resource = await first([named] if named else resource_addresses(endpoint))
        if resource.harmful:
            found |= {
                "metadata_harmful": True,
                "metadata_url": _short(resource.url),
                "metadata_problem": resource.harmful,
            }
        elif resource.content is None and not resource.unasked:
            found |= {
                "metadata_found": False,
                "metadata_url": _short(resource.url),
                "metadata_problem": resource.problem,
            }
        elif resource.content is not None:
            found |= {"metadata_url": _short(resource.url), **resource_facts(resource.content, endpoint)}
            if issuer := _first(resource.content.get("authorization_servers")):
                server = await first(server_addresses(issuer))
                found |= server_facts(server, issuer)
        return found, tuple(exchanges)

    async def _fetch(self, url: str, endpoint: str, pace: Callable[[], Awaitable[object]]) -> Document:
        try:
            target = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            return Document(url=url, harmful="that is no URL")
        try:
            if why := await self._harmful(url, target, endpoint):
                return Document(url=url, harmful=why)
        except NowhereError:
            return Document(url=url, problem="its name does not resolve")
        if self._asked[_origin(target)] >= MOST_PER_SERVER:
            return Document(url=url, unasked=True)
        self._asked[_origin(target)] += 1
        own = _origin(target) == _origin(httpx.URL(endpoint))
        proxy = self.network.proxy_for(str(target))

        async def paced(_: bool) -> float:
            if own:
                await pace()
            return 0.0

        transcript = Transcript()
        transport = RecordingTransport(self.network, transcript, paced, proxy=proxy)
        body, status, kind = b"", 0, ""
        with evidence() as outcome:
            try:
                with anyio.fail_after(min(self.timeout_s, DEADLINE_S)) as transcript.scope:
                    body, status, kind = await _get(transport, target)
            finally:
                with anyio.CancelScope(shield=True):
                    await transport.aclose()
        exchanges = tuple(transcript.exchanges)
        if outcome.failures:
            return Document(url=url, problem=f"no answer ({outcome.failures[0][-1].type})", exchanges=exchanges)
        content, problem = _read(body, status, kind)
        return Document(url=url, content=content, problem=problem, exchanges=exchanges)

    async def _harmful(self, url: str, target: httpx.URL, endpoint: str) -> str:
        """Why an address must not be asked for; empty for one that may.

        Raises:
            NowhereError: its name does not resolve.
        """
        if re.search(r"[\s\\\x00-\x20\x7f]", url) or target.userinfo or not target.host:
            return "that is no plain URL"
        # One parser for what is judged and what is sent: two could take different parts of an address for its host.
        if _origin(target) == _origin(httpx.URL(endpoint)):
            return ""
        own = is_loopback(httpx.URL(endpoint).host)
        if target.scheme != "https" and not (own and target.scheme == "http" and is_loopback(target.host)):
            return "it is not https://"
        port = _origin(target)[2]
        if (target.host, port) in self.network.routes:
            return ""
        if self.network.proxy_for(str(target)) is not None and not _address(target.host):
            return "an HTTP proxy stands between, so nobody here knows where that name leads"
        try:
            with anyio.fail_after(min(self.timeout_s, DEADLINE_S)):
                found = await in_thread(lambda: self.network.look_up(target.host, port))
        except (OSError, UnicodeError) as error:  # TimeoutError among them
            # Not sent either: a name that leads nowhere now may lead anywhere when the connection is made.
            raise NowhereError from error
        bad = [one for one in found if not (_loopback(one) if own else _public(one))]
        return f"it leads to {bad[0]}, which is not on the public internet" if bad else ""


async def _get(transport: RecordingTransport, url: httpx.URL) -> tuple[bytes, int, str]:
    """The beginning of the body, the status and the content type."""
    headers = {
        "accept": "application/json",
        "accept-encoding": ACCEPT_ENCODING,
        "user-agent": f"mcpdoctor/{__version__}",
    }
    request = httpx.Request("GET", url, headers=headers)
    response = await transport.handle_async_request(request)
    body = b""
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MOST_BYTES:
                break
    finally:
        await response.aclose()
    return body, response.status_code, response.headers.get("content-type", "")


def resource_addresses(endpoint: str) -> list[str]:
    """Where clients look for the metadata of an endpoint whose challenge names none (RFC 9728, section 3.1)."""
    url = httpx.URL(endpoint)
    path = url.raw_path.partition(b"?")[0].decode("ascii").rstrip("/")
    return [str(url.copy_with(raw_path=f"{_RESOURCE}{more}".encode())) for more in dict.fromkeys([path, ""])]


def server_addresses(issuer: str) -> list[str]:
    """Where the metadata of an issuer may be, in the order of the MCP specification (authorization, 2025-11-25).

    By RFC 8414, section 3.1, and OpenID Connect Discovery, section 4, with the path of the issuer in front or behind.
    """
    try:
        url = httpx.URL(issuer)
        path = url.raw_path.partition(b"?")[0].decode("ascii").rstrip("/")
    except (httpx.InvalidURL, ValueError):
        return [issuer]
    if path.endswith(_OPENID):  # AgentCore is given this address, and some servers pass it on
        return [issuer]
    places = dict.fromkeys((f"{_SERVER}{path}", f"{_OPENID}{path}", f"{path}{_OPENID}"))
    return [str(url.copy_with(raw_path=one.encode())) for one in places]


def resource_facts(content: dict[str, Any], endpoint: str) -> dict[str, Fact]:
    """What the metadata of a protected resource says, beside the URL that is used."""
    resource = content.get("resource")
    facts: dict[str, Fact] = {"metadata_found": True}
    if isinstance(resource, str):
        facts["oauth_resource"] = _short(resource)
        facts["resource_matches"] = covers(resource, endpoint)
    else:
        facts |= {"metadata_found": False, "metadata_problem": "it names no resource"}
    if issuer := _first(content.get("authorization_servers")):
        facts["oauth_issuer"] = _short(issuer)
        facts["oauth_note"] = f" OAuth clients log in at {_short(issuer)}."
    if scopes := _strings(content.get("scopes_supported")):
        facts["oauth_scopes"] = scopes
    return facts


def server_facts(document: Document, issuer: str) -> dict[str, Fact]:
    """What the metadata of an authorization server says."""
    content = document.content
    if document.harmful:
        return {"metadata_harmful": True, "metadata_url": _short(document.url), "metadata_problem": document.harmful}
    if document.unasked:
        return {}
    if content is None:
        return {"server_found": False, "server_url": _short(document.url), "server_problem": document.problem}
    named = content.get("issuer")
    facts: dict[str, Fact] = {
        "server_found": True,
        "server_url": _short(document.url),
        "server_issuer": _short(named) if isinstance(named, str) else "none",
        "issuer_matches": isinstance(named, str) and _plain(named) == _plain(issuer),
        # Without registration, a client can still name itself by the URL of a document of its own.
        "registers": bool(content.get("registration_endpoint"))
        or content.get("client_id_metadata_document_supported") is True,
        "pkce_named": "code_challenge_methods_supported" in content,
    }
    if scopes := _strings(content.get("scopes_supported")):
        facts["server_scopes"] = scopes
    return facts


def covers(resource: str, endpoint: str) -> bool:
    """Whether a resource identifier stands for an endpoint, as the SDKs of MCP judge it.

    The same origin, and a path that is the endpoint's or begins it; the query does not count.
    """
    try:
        one, other = httpx.URL(resource), httpx.URL(endpoint)
    except (httpx.InvalidURL, ValueError):
        return False
    if _origin(one) != _origin(other):
        return False
    own, asked = (url.raw_path.partition(b"?")[0].rstrip(b"/") + b"/" for url in (one, other))
    return asked.startswith(own)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _plain(issuer: str) -> str:
    return issuer.removesuffix(_OPENID).rstrip("/")


def _read(body: bytes, status: int, kind: str) -> tuple[dict[str, Any] | None, str]:
    """The JSON object in an answer, or why there is none."""
    text = body.decode("utf-8", errors="replace")
    page = "html" in kind or text.lstrip()[:9].lower().startswith(("<!doctype", "<html"))
    if status != httpx.codes.OK:
        return None, f"HTTP {status}{' and a web page' if page else ''}"
    if len(body) > MOST_BYTES:
        return None, f"more than {MOST_BYTES // 1024} KiB"
    if page:
        return None, "a web page"
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None, "something that is no JSON"
    return (document, "") if isinstance(document, dict) else (None, "JSON that is no object")


def _first(value: object) -> str | None:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], str) else None


def _strings(value: object) -> tuple[str, ...]:
    return tuple(_short(one) for one in value[:20] if isinstance(one, str)) if isinstance(value, list) else ()


def _short(text: str) -> str:
    return clean(text, limit=_SHOWN)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _inner(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, or the IPv4 address that it carries through an IPv6 network."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        carried = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            carried = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        return carried or found
    return found


def _public(address: str) -> bool:
    found = _inner(address)
    return found is not None and found.is_global and not found.is_multicast


def _loopback(address: str) -> bool:
    found = _inner(address)
    return found is not None and found.is_loopback
