"""Turn evidence into findings: a pure function of traces and checks.

Nothing here knows AWS; what AWS says and means stands in `checks/`. Nothing here asks the network or the clock, so a
saved report can be judged again with newer checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from mcpdoctor.answers import document as read_document
from mcpdoctor.catalogue import EVERY_OTHER, About, Catalogue, Check, Condition, FactRule
from mcpdoctor.challenges import challenge_facts
from mcpdoctor.endpoints import ACTION_REMEDY
from mcpdoctor.failures import Chain, format_chain
from mcpdoctor.model import (
    Best,
    Cause,
    Configuration,
    Exchange,
    Fact,
    Finding,
    Origin,
    Result,
    Severity,
    Stage,
    Trace,
    Verdict,
    trace_of,
)
from mcpdoctor.redaction import clean

REQUEST_ID_HEADERS = ("x-amzn-requestid", "x-amz-apigw-id", "x-amz-cf-id")
PAGE = "https://github.com/mcpdoctor/mcpdoctor/blob/main/docs/checks.md#{slug}"
_SHOWN_TOOLS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a server said in one exchange, whatever dialect it used (JSON-RPC, AWS, plain JSON).

    Attributes:
        kind: `rpc-result`, `rpc-error`, `rpc-invalid`, `json`, `html`, `empty` or `other`.
        error_type: AWS error type without namespace and address, such as `AccessDeniedException`.
        rpc_code: code of the JSON-RPC error.
        message: the server's own words.
        request_id: the first of AWS's request ids.
    """

    kind: str
    error_type: str | None = None
    rpc_code: int | None = None
    message: str = ""
    request_id: str | None = None


def read(exchange: Exchange) -> Said:
    """Read what the server said in `exchange`; never fails, whatever the body holds."""
    headers = exchange.headers
    request_id = next((headers[name] for name in REQUEST_ID_HEADERS if name in headers), None)
    error_type = _bare_type(headers.get("x-amzn-errortype"))
    body = exchange.body or ""
    document = read_document(body)
    # A server that calls its JSON-RPC text/html is an MCP server all the same, if one that clients do not understand.
    spoken = isinstance(document, dict) and "jsonrpc" in document
    page = "html" in headers.get("content-type", "") or body.lstrip().lower().startswith(("<!doctype", "<html"))
    if page and not spoken:
        return Said(kind="html", error_type=error_type, message=_title(body), request_id=request_id)
    if not isinstance(document, dict):
        kind = "other" if body.strip() else "empty"
        code, words = (re.search(rf"<{tag}>([^<]{{1,400}})</{tag}>", body) for tag in ("Code", "Message"))
        message = _line(words[1] if words else body)
        error_type = error_type or (_bare_type(code[1]) if code else None)
        return Said(kind=kind, error_type=error_type, message=message, request_id=request_id)
    if isinstance(error := document.get("error"), dict) and ("jsonrpc" in document or "code" in error):
        code = error.get("code")
        return Said(
            kind="rpc-error",
            error_type=error_type,
            rpc_code=code if isinstance(code, int) else None,
            message=_line(str(error.get("message", ""))),
            request_id=request_id,
        )
    if "jsonrpc" in document:
        kind = "rpc-result" if isinstance(document.get("result"), dict) else "rpc-invalid"
        return Said(kind=kind, error_type=error_type, request_id=request_id)
    message = next((document[key] for key in ("message", "Message", "errorMessage", "error") if key in document), "")
    return Said(
        kind="json",
        error_type=error_type or _bare_type(document.get("__type") or document.get("code")),
        message=_line(str(message)),
        request_id=request_id,
    )


def deciding(trace: Trace) -> Exchange | None:
    """The exchange that decided a stage: its last POST, since GET 405 and DELETE 405 are healthy."""
    return next((one for one in reversed(trace.exchanges) if one.method == "POST"), None)


def throttled(trace: Trace, catalogue: Catalogue) -> bool:
    """Whether `trace` ended in throttling, by the conditions of the checks whose cause is `rate-limited`."""
    exchange = deciding(trace)
    if trace.verdict is not Verdict.FAILED or exchange is None:
        return False
    said = read(exchange)
    return any(
        matches(condition, trace, exchange, said, trace.facts) is not None
        for check in catalogue.checks.values()
        if check.cause is Cause.RATE_LIMITED and trace.stage in check.stage
        for condition in check.when
    )


def works(traces: Sequence[Trace], catalogue: Catalogue) -> bool | None:
    """Whether a configuration works: its session opened, its tools were listed, and no call that was tried failed.

    Returns:
        None where throttling kept us from knowing, where the run ended first, or where mcpdoctor itself broke.
    """
    for trace in traces:
        if trace.verdict is Verdict.FAILED:
            return None if throttled(trace, catalogue) else False
        if trace.verdict is Verdict.BROKEN:
            return None
    listed = trace_of(traces, Stage.LIST)
    return True if listed is not None and listed.verdict is Verdict.PASSED else None


def unexplained(result: Result, catalogue: Catalogue) -> bool:
    """Whether nothing but the last resort explains why `result` fails; its siblings are not asked."""
    return _judge(result, (result,), catalogue).cause is Cause.UNEXPLAINED


def depends_on(result: Result, stage: Stage, facts: Mapping[str, Fact], catalogue: Catalogue) -> bool:
    """Whether `result` would have another cause had `stage` shown these facts too: only then is it worth asking."""
    supposed = tuple(replace(one, facts={**one.facts, **facts}) if one.stage is stage else one for one in result.stages)
    other = replace(result, stages=supposed)
    return _judge(other, (other,), catalogue).cause is not _judge(result, (result,), catalogue).cause


def scope_facts(trace: Trace, configuration: Configuration, catalogue: Catalogue) -> dict[str, Fact]:
    """What the answer to a request with a scope that is certainly wrong says about the scope of `configuration`.

    A server that names the wrong part of a scope would have named ours too. One that does not says nothing.
    """
    exchange = deciding(trace)
    if exchange is None:
        return {}
    said = read(exchange)
    facts: dict[str, Fact] = {}
    for check in catalogue.checks.values():
        if check.cause not in (Cause.WRONG_SERVICE, Cause.WRONG_REGION):
            continue
        for condition in check.when:
            captured = matches(condition, trace, exchange, said, {})
            if captured is None:
                continue
            if check.cause is Cause.WRONG_REGION:
                facts["region_matches"] = True
            elif "expected_service" in captured:
                facts["expected_service"] = captured["expected_service"]
                facts["service_matches"] = captured["expected_service"] == configuration.service
    return facts


def judge(results: Sequence[Result], catalogue: Catalogue) -> tuple[Result, ...]:
    """Give every result its findings, cause, stage reached and HTTP status.

    Args:
        results: evidence: target, configuration and stages are read, everything else is made anew.
        catalogue: the checks.
    """
    known = [replace(result, works=works(result.stages, catalogue)) for result in results]
    return tuple(_judge(result, known, catalogue) for result in known)


def choose(results: Sequence[Result]) -> tuple[Best, ...]:
    """The configuration to use for each target that has a working one, in the order of the targets.

    A signed one is better than an unsigned one (more tools, a higher limit); then fewer findings, then the faster.
    """
    chosen = []
    for target in dict.fromkeys(result.target for result in results):
        working = [result for result in results if result.target == target and result.works]
        if working:
            best = min(working, key=_burden)
            chosen.append(Best(target=target, configuration=best.configuration))
    return tuple(chosen)


def _burden(result: Result) -> tuple[bool, int, float]:
    weight = sum(finding.severity.weight for finding in result.findings)
    return (not result.configuration.signed, weight, result.elapsed_s)


def _judge(result: Result, all_results: Sequence[Result], catalogue: Catalogue) -> Result:
    facts = {**_cell_facts(result.configuration), **_sibling_facts(result, all_results, catalogue)}
    fired: list[tuple[Check, Finding, Trace]] = []
    for trace in result.stages:
        facts |= {**trace.facts, f"{trace.stage}_verdict": trace.verdict.value}
        fired += [(*one, trace) for one in _fire(trace, facts, catalogue.checks.values(), result.origin)]
    spoken = [one for one in fired if not silenced(one[0], [check for check, _, _ in fired])]
    # The same may show in the stage of a command and in that of the direct way to its endpoint.
    findings = tuple({(finding.check, finding.text): finding for _, finding, _ in reversed(spoken)}.values())[::-1]
    # An entry fails with its command, and for a reason that its endpoint gives: the stage with the reason decides.
    failed = [trace for trace in result.stages if trace.verdict is Verdict.FAILED]
    reasons = [one for _, finding, one in spoken if finding.severity is Severity.ERROR and one in failed]
    decided = next(iter([*reasons, *failed]), None)
    reached = decided or next((trace for trace in reversed(result.stages) if trace.verdict is Verdict.PASSED), None)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    return replace(
        result,
        findings=tuple(sorted(findings, key=lambda finding: -finding.severity.weight)),
        cause=errors[0].cause if errors and result.works is not True else None,
        stage=reached.stage if reached else Stage.PARSE,
        http_status=_status(result.stages, decided),
    )


def _fire(
    trace: Trace, facts: Mapping[str, Fact], checks: Iterable[Check], origin: Origin | None = None
) -> Iterator[tuple[Check, Finding]]:
    """Each check that fires on `trace`, with its finding."""
    if trace.verdict not in (Verdict.PASSED, Verdict.FAILED):
        return
    exchange = deciding(trace)
    said = read(exchange) if exchange else Said(kind="none")
    # The probe saw the whole body, the exchange keeps its beginning: what the probe says of it goes first.
    seen = {**trace_facts(trace, exchange, said), **facts, "answer": trace.facts.get("answer", said.kind)}
    # What fails on the pipes of a command is no failure of HTTP.
    piped = exchange is None and "command_found" in trace.facts
    for check in checks:
        if trace.stage not in check.stage or check.on is not trace.verdict or not check.probed:
            continue
        for condition in check.when:
            if condition.failure and piped and check.about is not About.ENTRY:
                continue
            captured = matches(condition, trace, exchange, said, seen)
            if captured is not None:
                known = {**seen, **captured}
                yield check, pointed(finding_of(check, known), check, known, origin)
                break


def fires(conditions: Iterable[Condition], facts: Mapping[str, Fact]) -> bool:
    """Whether any of the conditions of a check that is judged by facts alone holds."""
    return any(all(_holds(rule, facts.get(name)) for name, rule in one.fact.items()) for one in conditions)


def silenced(check: Check, fired: Sequence[Check]) -> bool:
    """Whether a check keeps silent beside others that fired: only the root cause speaks.

    Of checks that keep silent beside every other one, each goes before those that name it.
    """
    if EVERY_OTHER in check.after and any(
        other.severity is Severity.ERROR and EVERY_OTHER not in other.after for other in fired
    ):
        return True
    return any(other.slug in check.after for other in fired)


def matches(
    condition: Condition, trace: Trace, exchange: Exchange | None, said: Said, facts: Mapping[str, Fact]
) -> dict[str, str] | None:
    """Compare one condition of a check with evidence.

    Returns:
        Its named groups where it holds, or None where one of its keys does not.
    """
    captured: dict[str, str] = {}
    status = exchange.status if exchange else None
    if condition.status and status not in condition.status:
        return None
    if condition.rpc_code and said.rpc_code not in condition.rpc_code:
        return None
    if condition.error_type and said.error_type not in condition.error_type:
        return None
    headers, body = (exchange.headers, exchange.body) if exchange else ({}, None)
    patterns = [(headers.get(name), pattern) for name, pattern in condition.header.items()]
    if condition.body is not None:
        patterns.append((body, condition.body))
    if condition.text is not None:
        patterns.append((str(facts.get("words", "")), condition.text))
    for text, pattern in patterns:
        found = re.search(pattern, text) if text is not None else None
        if found is None:
            return None
        captured |= {name: value for name, value in found.groupdict().items() if value}
    if condition.failure and not any(_names(failure, condition.failure) for failure in trace.failures):
        return None
    if not all(_holds(rule, facts.get(name)) for name, rule in condition.fact.items()):
        return None
    return captured


def _names(chain: Chain, wanted: tuple[str, ...]) -> bool:
    return any(
        link.errno in wanted or any(link.type == name or link.type.endswith(f".{name}") for name in wanted)
        for link in chain
    )


def _holds(rule: FactRule, value: Fact) -> bool:
    if rule.is_ is not None and value != rule.is_:
        return False
    if rule.above is None and rule.below is None:
        return True
    if not isinstance(value, int | float):
        return False
    return (rule.above is None or value > rule.above) and (rule.below is None or value < rule.below)


class _Words(dict[str, str]):
    """Words for a text; a name that nobody observed reads as `unknown`."""

    def __missing__(self, key: str) -> str:
        return "unknown"


def finding_of(check: Check, facts: Mapping[str, Fact], *, in_text: bool = False) -> Finding:
    """Fill the words of a check that fired; `in_text` takes those that do with what a text tells."""
    text, remedy = check.text, check.remedy
    if in_text and check.in_text:
        text, remedy = check.in_text.text or text, check.in_text.remedy or remedy
    words = _Words({name: _word(value) for name, value in facts.items() if value is not None})
    return Finding(
        check=check.slug,
        cause=check.cause,
        severity=check.severity,
        title=check.title,
        text=_sentence(text.format_map(words)),
        remedy=_sentence(remedy.format_map(words)),
        evidence=words.get("evidence", ""),
        url=PAGE.format(slug=check.slug),
    )


def pointed(finding: Finding, check: Check, facts: Mapping[str, Fact], origin: Origin | None) -> Finding:
    """A finding that points to the value of an entry that it is about, and shows the entry with that value changed.

    Args:
        finding: of a configuration that was read from a file, or not.
        check: that fired.
        facts: words for what the value must be.
        origin: the entry; None leaves the finding as it is.
    """
    if origin is None:
        return finding
    at = origin.value(check.value) or origin
    words = {name: _word(value) for name, value in facts.items() if value is not None}
    try:
        becomes = check.becomes.format_map(words)
    except KeyError:  # nobody observed what it must be
        becomes = ""
    correction = origin.corrected(check.value, becomes) if becomes else ""
    return replace(finding, file=origin.file, line=at.line, column=at.column, correction=correction)


def _word(value: Fact) -> str:
    if isinstance(value, tuple):
        shown = ", ".join(value[:_SHOWN_TOOLS])
        return f"{shown}, … ({len(value)} in all)" if len(value) > _SHOWN_TOOLS else shown or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(text: str) -> str:
    """One line without the double stops that come from a server's own full stop inside a text."""
    return re.sub(r"([.!?])\s*\.(?=\s|$)", r"\1", re.sub(r"\s+", " ", text)).strip()


def _cell_facts(configuration: Configuration) -> dict[str, Fact]:
    parts = _parts(configuration.endpoint)
    return {
        "endpoint": configuration.endpoint,
        "host": parts[0],
        "path": parts[1] or "/",
        "credential": configuration.credential,
        "signed": configuration.signed,
        "bearer": configuration.bearer,
        "oauth_note": "",
        "token_note": "",
        "challenge_said": "",
        "service": configuration.service,
        "signing_region": configuration.region,
        "region_hint": configuration.region or "us-east-1",
        "service_hint": configuration.service or "…",
        "auth_used": "SigV4" if configuration.signed else "a bearer token" if configuration.bearer else "no signature",
        "other_way": "an OAuth token (JWT)" if configuration.signed else "an AWS signature (SigV4)",
        "signed_note": ", and the signature was not even looked at" if configuration.signed else "",
        "limit_scope": "account" if configuration.signed else "address",
        "action_remedy": ACTION_REMEDY,
    }


def _parts(url: str) -> tuple[str, str]:
    try:
        split = urlsplit(url)
        return split.hostname or url, split.path
    except ValueError:
        return url, ""


def _sibling_facts(result: Result, all_results: Sequence[Result], catalogue: Catalogue) -> dict[str, Fact]:
    """What the other configurations of the same run tell about this one."""
    mine = result.configuration
    match = catalogue.match(mine.endpoint)
    stands_in_for = match.endpoint.fallback_for if match else ()
    same_target = [other for other in all_results if other is not result and other.target == result.target]
    twins = [
        other.configuration
        for other in same_target
        if other.works
        and other.configuration.signed
        and (other.configuration.endpoint, other.configuration.credential) == (mine.endpoint, mine.credential)
    ]
    services = [twin.service for twin in twins if twin.region == mine.region and twin.service != mine.service]
    regions = [twin.region for twin in twins if twin.service == mine.service and twin.region != mine.region]
    signed = [
        other
        for other in all_results
        if other.configuration.signed
        and (
            other.target == result.target
            or ((theirs := catalogue.match(other.configuration.endpoint)) and theirs.endpoint.name in stands_in_for)
        )
    ]
    facts: dict[str, Fact] = {
        "works": result.works is True,
        "other_service_works": bool(services),
        "other_region_works": bool(regions),
        "signed_fails": bool(signed) and not any(other.works is not False for other in signed),
    }
    facts |= _ways(mine.endpoint, all_results)
    if services:
        facts["expected_service"] = services[0]
    if regions:
        facts["expected_region"] = regions[0]
    return facts


def _ways(endpoint: str, results: Sequence[Result]) -> dict[str, Fact]:
    """Which ways to authenticate an endpoint accepted, of those that were tried with a bearer token beside them."""
    found: dict[str, list[Result]] = {}
    for result in results:
        one = result.configuration
        if one.endpoint == endpoint and not result.untried:
            way = "signed" if one.signed else "with a bearer token" if one.bearer else "without either"
            found.setdefault(way, []).append(result)

    def word(mine: Sequence[Result]) -> str:
        if any(one.works for one in mine):
            return "accepted"
        failed = next((trace for one in mine for trace in one.stages if trace.verdict is Verdict.FAILED), None)
        status = _status(mine[0].stages, failed)
        return f"refused (HTTP {status})" if failed and status else "not answered" if failed else "not known"

    compared = len(found) > 1 and "with a bearer token" in found
    ways = "; ".join(f"{way}: {word(mine)}" for way, mine in found.items())
    return {"ways_compared": compared, "ways": ways}


def trace_facts(trace: Trace, exchange: Exchange | None, said: Said) -> dict[str, Fact]:
    """Facts that come straight from what was recorded: words for the texts of checks."""
    root = trace.failures[0][-1] if trace.failures else None
    status = exchange.status if exchange else None
    headers = exchange.headers if exchange else {}
    said_text = ": ".join(filter(None, (said.error_type, said.message)))
    evidence = f"HTTP {status} {said_text}".rstrip() if status else format_chain(trace.failures[0]) if root else ""
    wait = headers.get("retry-after")
    return {
        "status": status,
        "server_message": said.message or said.error_type or "no reason given",
        "server_said": f" ({said_text})" if said_text else "",
        "error_type": said.error_type,
        "rpc_code": said.rpc_code,
        "request_id": said.request_id or "none was sent",
        "asked": exchange.rpc_method if exchange and exchange.rpc_method else "the request",
        **challenge_facts(headers),
        "location": headers.get("location", "an address it does not name"),
        "redirect_note": _redirect_note(exchange),
        "via_note": f" The answer came through {headers['via']}." if "via" in headers else "",
        "hop_note": "",
        "content_kind": _content_kind(said, headers),
        "answer_unfit": exchange is not None and exchange.problem is not None,
        "answer_problem": (exchange.problem if exchange else None)
        or f"it is no answer to the request ({_content_kind(said, headers)})",
        "retry_after": wait,
        "retry_note": f" ({wait}{' s' if wait.isdigit() else ''}, says its Retry-After header)" if wait else "",
        "answer_complete": exchange is not None and exchange.complete,
        "timeout_note": f" (HTTP {status} came, the body did not end)" if status else "",
        "server_protocol": "in a revision that it does not name",
        "root_message": f"{root.type}: {root.message}" if root else "no exception",
        "chain": " / ".join(format_chain(chain) for chain in trace.failures) or "none",
        "evidence": f"{evidence} (request id {said.request_id})" if said.request_id and status else evidence,
    }


def _redirect_note(exchange: Exchange | None) -> str:
    """What a redirect changes, where that is one thing that people get wrong."""
    location = exchange.headers.get("location", "") if exchange else ""
    if exchange is None or not location:
        return ""
    try:
        here, there = urlsplit(exchange.url), urlsplit(urljoin(exchange.url, location))
    except ValueError:
        return ""
    if there.hostname != here.hostname:
        return " (another host: a login page, unless the server has moved)"
    if (here.scheme, there.scheme) == ("http", "https"):
        return " (https:// in place of http://)"
    if there.path != here.path and there.path.rstrip("/") == here.path.rstrip("/"):
        return f" (the same path {'with' if there.path.endswith('/') else 'without'} a slash at its end)"
    return ""


def _content_kind(said: Said, headers: Mapping[str, str]) -> str:
    if said.kind == "html":
        return f"a web page ({said.message})" if said.message else "a web page"
    if said.kind == "empty":
        return "nothing"
    return headers.get("content-type", "no content type") + (f" ({said.message})" if said.message else "")


def _status(traces: Sequence[Trace], decided: Trace | None) -> int | None:
    """Status of the exchange that decided; for a working configuration, of the last POST."""
    for trace in [decided] if decided else reversed(traces):
        exchange = deciding(trace)
        if exchange is not None:
            return exchange.status
    return None


def _bare_type(value: object) -> str | None:
    """`com.amazon.coral#ExpiredTokenException:http://…` is `ExpiredTokenException`."""
    if not isinstance(value, str) or not value:
        return None
    return value.split(":", 1)[0].rsplit("#", 1)[-1].strip() or None


def _title(body: str) -> str:
    found = re.search(r"<title[^>]{0,200}>([^<]{1,200})", body, flags=re.IGNORECASE)
    return _line(found[1]) if found else ""


def _line(text: str, limit: int = 300) -> str:
    # Cleaned once more: what was escaped in a JSON body is plain text only now.
    line = clean(" ".join(text.split()), limit=4 * limit)
    return line if len(line) <= limit else f"{line[:limit]}…"
