"""Evidence of a failure that no probe of ours saw: told by a text or an exception, or recorded in a program.

Each piece becomes a clue with the facts that the conditions of checks compare; nothing is judged here.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.diagnosis import Said, read, trace_facts
from mcpdoctor.endpoints import ACTION_REMEDY, RIGHT_HOST, host_of
from mcpdoctor.failures import Chain, chains_of, paths
from mcpdoctor.model import Exchange, Fact, Stage, Trace, Verdict
from mcpdoctor.reading import Clue, Reading, read_text
from mcpdoctor.recording import Recorded, Recording
from mcpdoctor.redaction import clean, clean_headers

_MAX_SAID = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A clue with what conditions compare.

    Attributes:
        trace: the clue in the form that a probe would have left it in.
        said: what the server said in it.
        facts: observations, by name.
        witnessed: whether it was seen on the wire, and not told by somebody.
    """

    clue: Clue
    trace: Trace
    said: Said
    facts: Mapping[str, Fact]
    witnessed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that is known of one failure.

    Attributes:
        evidence: in the order in which it happened, as far as that is known.
        chains: each exception once, the best candidate first.
        urls: that were asked or named, the likeliest endpoint first.
        versions: of packages that took part, as far as they are known.
        library: whether the proxy was used as a library.
        waited: whether somebody gave up waiting.
    """

    evidence: tuple[Evidence, ...] = ()
    chains: tuple[Chain, ...] = ()
    urls: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    library: bool = False
    waited: bool = False


_SIGNING = re.compile(r"mcp_proxy_for_aws|aws_iam_streamable|sigv4|AWS4-HMAC|botocore", re.IGNORECASE)
_LIBRARY = re.compile(r"mcp_proxy_for_aws[./\\]client\b|aws_iam_streamablehttp_client")
_GAVE_UP = ("KeyboardInterrupt", "TimeoutError", "builtins.KeyboardInterrupt", "builtins.TimeoutError")
_CALLING = re.compile(r"(?:^|[\s./_])(?:call_tool|list_tools|callTool|listTools|read_resource|list_prompts)")
_OLD_TRANSPORT = re.compile(r"\bsse_client\b|[/\\]client[/\\]sse\.py|\bSseClientTransport")
_MCP_PATH = re.compile(r"(?i)mcp|/sse$|/invocations")
_STARTING = re.compile(r"stdio|[/\\]subprocess\.py|StdioClientTransport|_spawn|create_subprocess|open_process")
# The path of a URL is the user's own: its words tell nothing. Where a redirect leads does.
# So are the directories of a file.
_DIRECTORIES = re.compile(r"(?<![\w:/.])(?:[A-Za-z]:)?(?:[/\\][\w.@+ -]{1,100}){1,30}(?=[/\\][\w.@+-])")
_PATH = re.compile(
    r"(?<!edirect to )(?<!edirect to ')(?<!ocation: )(?<!ocation: ')(https?://[^\s/'\"<>)]{1,300})/[^\s'\"<>)]{0,2000}"
)


def of_reading(reading: Reading, catalogue: Catalogue) -> Case:
    """The case that a text makes."""
    url = endpoint(reading.urls, catalogue) or ""
    evidence = tuple(_evidence(clue, reading.steps, catalogue, url=url) for clue in reading.clues)
    return Case(
        evidence=evidence,
        chains=reading.chains,
        urls=reading.urls,
        versions=reading.versions,
        library=any(map(_LIBRARY.search, reading.steps)),
        waited=reading.waited,
    )


def of_exception(exc: BaseException, catalogue: Catalogue) -> Case:
    """The case that an exception makes: what it says, and the HTTP response or JSON-RPC error that it carries."""
    found = paths(exc)
    chains = chains_of(found)
    clues, urls = [], dict[str, None]()
    for place, (chain, path) in enumerate(zip(reversed(chains), reversed(found), strict=True), start=1):
        clue = _clue_of_chain(chain, place)
        told = next((one for one in read_text(clue.words).clues if one.exchange or one.rpc_code), None)
        exchange = next(_carried(path), told.exchange if told else None)
        if exchange is not None:
            clue = replace(clue, words="\n".join(filter(None, (clue.words, exchange.body))))
            urls[exchange.url] = None
        code = _rpc_code(path) or (told.rpc_code if told else None)
        clues.append(replace(clue, exchange=exchange, rpc_code=code, steps=frozenset(_steps(path))))
    steps = frozenset(step for clue in clues for step in clue.steps)
    known = tuple(url for url in urls if url)
    return of_reading(Reading(clues=tuple(clues), chains=chains, urls=known, steps=steps), catalogue)


def of_recording(recording: Recording, catalogue: Catalogue) -> Case:
    """The case that a recording makes: what was seen on the wire, then what the program says about it."""
    evidence = list(_of_exchanges(recording.exchanges, catalogue))
    told = read_text(recording.text)
    steps = told.steps
    clues = [_clue_of_chain(chain, 0) for chain in reversed(recording.failures)]
    clues += [Clue(line=0, words=one.message, rpc_code=one.rpc_code) for one in recording.messages]
    clues += told.clues
    urls = tuple(dict.fromkeys(one.exchange.url for one in recording.exchanges)) or told.urls
    url = endpoint(urls, catalogue) or ""
    # What a program says that signs everything is about signed requests.
    signs = {one.signature for one in recording.exchanges} == {"sigv4"}
    for place, clue in enumerate(clues, start=len(recording.exchanges) + 1):
        found = _evidence(replace(clue, line=place), steps, catalogue, url=url)
        evidence.append(replace(found, facts={**found.facts, "signed": True}) if signs else found)
    chains = [*recording.failures, *(chain for one in recording.exchanges for chain in one.failures), *told.chains]
    return Case(
        evidence=tuple(evidence),
        chains=tuple(dict.fromkeys(chains)),
        urls=urls,
        versions=recording.versions or told.versions,
        library=recording.library,
        waited=told.waited or any(link.type in _GAVE_UP for chain in chains for link in chain),
    )


def endpoint(urls: Sequence[str], catalogue: Catalogue) -> str | None:
    """Which of the URLs is the endpoint: one of the catalogue, else one that looks like MCP, else the only one."""
    for url in urls:
        if catalogue.match(url):
            return url
    for url in urls:
        if _MCP_PATH.search(url.split("//", 1)[-1]):
            return url
    return urls[0] if len(urls) == 1 else None


def host_facts(url: str, catalogue: Catalogue) -> dict[str, str]:
    """What the catalogue knows about a host, and about one that does not resolve."""
    suggested = catalogue.suggest(url) if url else ()
    near = [one for one in suggested if host_of(one) != host_of(url)]
    match = catalogue.owner(url) if url else None
    usual = "Names of AWS hosts hold the region: a typing error there is usual."
    if suggested and not near:
        usual = RIGHT_HOST
    return {
        "host_note": f"There is {near[0]}." if near else "",
        "host_remedy": f"You may mean {near[0]}." if near else usual,
        "action_remedy": match.endpoint.action_remedy() if match else ACTION_REMEDY,
    }


def gist(clue: Clue, said: Said) -> str:
    """The words of a clue that tell the most, on one line."""
    if said.message and clue.exchange:
        words = ": ".join(filter(None, (said.error_type, said.message)))
    elif clue.chain:
        telling = next((one for one in reversed(clue.chain) if one.message), clue.chain[-1])
        words = f"{telling.type}: {telling.message}".rstrip(": ")
    else:
        words = clue.words
    return " ".join(words.split())[:_MAX_SAID].rstrip(".")


def _of_exchanges(exchanges: Sequence[Recorded], catalogue: Catalogue) -> Iterator[Evidence]:
    good = {one.exchange.url: place for place, one in enumerate(exchanges) if not one.failed}
    for place, one in enumerate(exchanges):
        exchange = one.exchange
        if not one.failed or exchange.method != "POST":
            continue
        said = read(exchange)
        chain = one.failures[0] if one.failures else ()
        words = [*(f"{link.type}: {link.message}" for link in reversed(chain)), exchange.body or ""]
        if one.pending:
            words.append(f"Request '{exchange.rpc_method}' timed out: no answer in {exchange.elapsed_s:.1f} s")
        clue = Clue(
            line=place + 1,
            words="\n".join(filter(None, words)),
            chain=chain,
            exchange=exchange if exchange.status else None,
            rpc_code=said.rpc_code,
            tool_error=one.tool_failed,
            answered_later=good.get(exchange.url, -1) > place,
        )
        facts: dict[str, Fact] = {
            "signed": one.signature == "sigv4" if one.signature in ("sigv4", None) else None,
            "service": one.service,
            "signing_region": one.region,
            "session": one.session,
        }
        found = _evidence(clue, frozenset(), catalogue, url=exchange.url)
        yield replace(found, facts={**found.facts, **facts}, witnessed=True)


def _evidence(clue: Clue, steps: frozenset[str], catalogue: Catalogue, *, url: str = "") -> Evidence:
    exchange = clue.exchange
    said = read(exchange) if exchange else Said(kind="none")
    if clue.rpc_code is not None:
        said = replace(said, rpc_code=clue.rpc_code)
    trace = Trace(
        stage=Stage.OPEN,
        verdict=Verdict.FAILED,
        exchanges=(exchange,) if exchange else (),
        failures=(clue.chain,) if clue.chain else (),
    )
    url = (exchange.url if exchange else "") or url
    host, match = host_of(url), catalogue.owner(url)
    signed = any(map(_SIGNING.search, steps)) or None
    facts: dict[str, Fact] = {
        **trace_facts(trace, exchange, said),
        "words": _DIRECTORIES.sub("", _PATH.sub(r"\1", clue.words)),
        "said": gist(clue, said),
        "tool_error": clue.tool_error,
        "answered_before": clue.answered_before,
        "calling": any(map(_CALLING.search, clue.steps)),
        "old_transport": any(map(_OLD_TRANSPORT.search, clue.steps)),
        "starting": any(map(_STARTING.search, clue.steps)),
        "signed": signed,
        "sigv4_known": bool((match := catalogue.match(url)) and "sigv4" in match.endpoint.auth),
        "url": url or None,
        "url_hint": shlex.quote(url) if url else "URL",
        "host": host or "in the URL",
        "place": host or "the server",
        **host_facts(url, catalogue),
        "hosted": match is not None and match.endpoint.hosted,
        "status_note": f" (HTTP {exchange.status})" if exchange and exchange.status else "",
        "redirect_location": "another address",
        "limit_scope": "account" if signed else "address",
    }
    return Evidence(clue=clue, trace=trace, said=said, facts=facts)


def _clue_of_chain(chain: Chain, place: int) -> Clue:
    return Clue(line=place, words="\n".join(f"{one.type}: {one.message}" for one in reversed(chain)), chain=chain)


# --- What an exception carries beside its text ---


def _carried(path: Sequence[BaseException]) -> Iterator[Exchange]:
    """The HTTP responses that the exceptions of a chain carry, the root cause first."""
    for one in reversed(path):
        try:
            exchange = _answer_of(one)
        except Exception:  # noqa: BLE001, S112  # an object of somebody else that is not what it looks like
            continue
        # A bool is an int to Python, and anybody may call anything a status.
        if exchange is not None and type(exchange.status) is int and 100 <= exchange.status < 600:
            yield exchange


def _answer_of(one: BaseException) -> Exchange | None:
    """The HTTP response that an exception of httpx, requests, aiohttp or botocore carries, by its shape."""
    response = getattr(one, "response", None)
    if isinstance(response, Mapping):
        return _answer_of_botocore(response)
    if response is not None and hasattr(response, "status_code"):
        return Exchange(
            method=str(getattr(getattr(response, "request", None), "method", "POST")),
            url=clean(str(getattr(response, "url", "")), limit=2000),
            status=response.status_code,
            headers=clean_headers((str(name), str(value)) for name, value in response.headers.items()),
            body=_body(response),
        )
    if hasattr(one, "status") and hasattr(one, "request_info"):
        url = str(getattr(one.request_info, "real_url", ""))
        return Exchange(method="POST", url=clean(url, limit=2000), status=one.status)
    return None


def _answer_of_botocore(response: Mapping[str, Any]) -> Exchange:
    """The answer that a `ClientError` of botocore carries as a dictionary."""
    meta, error = response.get("ResponseMetadata", {}), response.get("Error", {})
    given = {**meta.get("HTTPHeaders", {}), "x-amzn-errortype": str(error.get("Code", ""))}
    if identity := meta.get("RequestId"):
        given["x-amzn-requestid"] = str(identity)
    return Exchange(
        method="POST",
        url="",
        status=meta.get("HTTPStatusCode"),
        headers=clean_headers(given.items()),
        body=clean(json.dumps({"message": error.get("Message")})),
    )


def _body(response: Any) -> str | None:
    """The body of a response of httpx or requests, where it was read; asking them for it might read the network."""
    content = getattr(response, "_content", None)
    return clean(content[:20_000].decode("utf-8", errors="replace")) if isinstance(content, bytes) else None


def _rpc_code(path: Sequence[BaseException]) -> int | None:
    """The code of the JSON-RPC error that an exception of the mcp SDK carries."""
    for one in reversed(path):
        try:
            error = getattr(one, "error", None)
            code = getattr(error, "code", None)
        except Exception:  # noqa: BLE001, S112  # as above
            continue
        if isinstance(code, int) and hasattr(error, "message"):
            return code
    return None


def _steps(path: Sequence[BaseException]) -> Iterator[str]:
    """Functions and modules that the tracebacks of an exception pass through."""
    for one in reversed(path):
        link = one.__traceback__
        for _ in range(200):
            if link is None:
                break
            code = link.tb_frame.f_code
            yield code.co_name
            yield code.co_filename
            link = link.tb_next
