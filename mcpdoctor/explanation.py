"""Name the cause of a failure: evidence and checks in, an explanation out."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from mcpdoctor import defects, evidence
from mcpdoctor.catalogue import Catalogue, Check, Condition, Says, load
from mcpdoctor.diagnosis import finding_of, matches, read, silenced
from mcpdoctor.evidence import Case, Evidence
from mcpdoctor.failures import Chain, format_chain
from mcpdoctor.model import SCHEMA_VERSION, Cause, Exchange, Fact, Finding, Severity
from mcpdoctor.reading import read_text
from mcpdoctor.texts import decode

if TYPE_CHECKING:
    from mcpdoctor.recording import Recording

_MAX_FINDINGS = 5
_MAX_CHAINS = 20
_WIDTH = 100

_AWS_ERROR = re.compile(
    r"An error occurred \(([A-Za-z]\w{2,80})\)|[\"']__type[\"']\s?: ?[\"'](?:[\w.]{0,100}#)?(\w{3,80})"
    r"|(?i:x-amzn-errortype)[\"']?\s?[:=] ?[\"']?(\w{3,80})"
)
_RELATED = re.compile(r"(?i)mcp|taskgroup|cancel")
_WORD = re.compile(r"\b[A-Z]\w{5,60}\b")
_REQUEST_ID = re.compile(
    r"(?:x-amzn-request-?id|x-amz-cf-id|[rR]equest ?[iI][dD])[\"']{0,2}\s?[:=]\s?[\"']?([\w=/+-]{8,100})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a failure comes from, as far as the evidence tells.

    Attributes:
        cause: the cause, or the likeliest of those that remain; `unexplained` where nothing tells.
        causes: what remains, most likely first; one where the evidence is clear, none where nothing tells.
        http_status: of the answer that decided; None where no answer is known.
        url: of the endpoint; None where none is known.
        aws_error: AWS error type, such as `ExpiredTokenException`.
        rpc_code: code of the JSON-RPC error.
        request_id: by which AWS finds the request again.
        chains: each exception, outermost first; the one that decided is the first.
        findings: the checks that fired; the first gives the cause.
        advice: a command that shows more; None where the cause is clear.
    """

    cause: Cause = Cause.UNEXPLAINED
    causes: tuple[Cause, ...] = ()
    http_status: int | None = None
    url: str | None = None
    aws_error: str | None = None
    rpc_code: int | None = None
    request_id: str | None = None
    chains: tuple[Chain, ...] = ()
    findings: tuple[Finding, ...] = ()
    advice: str | None = None

    @property
    def explained(self) -> bool:
        """Whether a cause could be named."""
        return self.cause is not Cause.UNEXPLAINED

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `mcpdoctor explain --format json`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def __str__(self) -> str:
        """Several lines for a person."""
        return "\n".join(_described(self))


def explain(problem: BaseException | str | bytes, *, catalogue: Catalogue | None = None) -> Explanation:
    """Name the cause of a failure.

    Args:
        problem: an exception, with all its causes and members; or text: a traceback, a log, any output.
        catalogue: the checks; those of mcpdoctor where none are given.

    Returns:
        Always an explanation; its cause is `unexplained` where nothing in the evidence tells.

    Raises:
        Unusable: bytes that are no text.
    """
    known = catalogue or _catalogue()
    if isinstance(problem, BaseException):
        return conclude(evidence.of_exception(problem, known), known)
    text = decode(problem, "the text") if isinstance(problem, bytes) else problem
    return conclude(evidence.of_reading(read_text(text), known), known)


def explain_recording(recording: Recording, catalogue: Catalogue) -> Explanation:
    """Name the cause in what a program was seen to send and receive, and in what it printed.

    What was seen on the wire goes before what the program says about it.
    """
    return conclude(evidence.of_recording(recording, catalogue), catalogue)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fired:
    """A check that fired on a piece of evidence; `says` is how much that tells."""

    check: Check
    evidence: Evidence
    facts: Mapping[str, Fact]
    says: Says

    @property
    def rank(self) -> tuple[int, bool, bool, int]:
        """What goes before what: a reason before a status, what lasted before what did not, later before earlier."""
        clue = self.evidence.clue
        return (self.says.weight, not clue.answered_later, self.evidence.witnessed, clue.line)


def conclude(case: Case, catalogue: Catalogue) -> Explanation:
    """Judge a case with the checks."""
    fired = [one for each in case.evidence for one in _fire(each, catalogue)]
    lasting = _lasting(fired)
    url = evidence.endpoint(case.urls, catalogue)
    if not lasting:
        return Explanation(url=url, chains=case.chains[:_MAX_CHAINS])
    best = _decisive(lasting, case.evidence)
    clue = best.evidence.clue
    answer = _answer(best, case.evidence)
    url = (answer.url if answer and answer.url else None) or _str(best.evidence.facts.get("url")) or url
    if url is None and (host := _str(best.facts.get("host"))) and "." in host:
        url = f"https://{host}"
    told = best.check.in_text
    assert told is not None  # noqa: S101  # only such checks fire
    check_it = f"mcpdoctor check {shlex.quote(url)}" if url else "mcpdoctor run -- COMMAND"
    cause = Cause.UNEXPLAINED if best.says is Says.NOTHING else told.causes[0] if told.causes else best.check.cause
    found = tuple(_findings(best, lasting))
    return Explanation(
        cause=cause,
        causes=told.causes or ((cause,) if cause is not Cause.UNEXPLAINED else ()),
        http_status=answer.status if answer else None,
        url=url,
        aws_error=_aws_error(best, catalogue),
        rpc_code=best.evidence.said.rpc_code,
        request_id=_request_id(best, answer),
        chains=_ordered(clue.chain, case.chains),
        findings=(*found, *_defects(case, found, answer, catalogue)),
        advice=check_it if best.says is not Says.REASON else None,
    )


def _fire(piece: Evidence, catalogue: Catalogue) -> list[_Fired]:
    """The checks that fire on one clue: those that it tells most of, and of these only the root cause."""
    fired = [one for check in catalogue.checks.values() if (one := _fired(check, piece, catalogue))]
    fired = [one for one in fired if not silenced(one.check, [other.check for other in fired])]
    heaviest = max((one.says.weight for one in fired), default=0)
    return [one for one in fired if one.says.weight == heaviest]


def _fired(check: Check, piece: Evidence, catalogue: Catalogue) -> _Fired | None:
    """What a check makes of a clue: by the condition that tells most, or None where none holds."""
    best: _Fired | None = None
    for condition in check.told:
        says = check.in_text.says if check.in_text else Says.NOTHING
        if condition.status and condition == Condition(status=condition.status):
            says = max(says, Says.STATUS, key=list(Says).index)  # a status alone never tells the reason
        if best is not None and best.says.weight >= says.weight:
            continue
        captured = matches(condition, piece.trace, piece.clue.exchange, piece.said, piece.facts)
        if captured is None:
            continue
        if host := captured.get("host"):
            captured |= evidence.host_facts(f"https://{host.strip('.')}/mcp", catalogue)
        best = _Fired(check=check, evidence=piece, facts={**piece.facts, **captured}, says=says)
    return best


def _lasting(fired: Sequence[_Fired]) -> list[_Fired]:
    """What was not got over: a refusal whose URL answered well later was retried, and did not end the program.

    Unless all that is left is an exception that says nothing, and there was one kind of refusal only: then a worker
    ended by it beside others that went on.
    """
    lasting = [one for one in fired if not one.evidence.clue.answered_later]
    refused = [one for one in fired if one.evidence.clue.answered_later and one.says.weight >= Says.STATUS.weight]
    raised = any(_RELATED.search(one.evidence.clue.words) for one in lasting if one.evidence.clue.chain)
    if raised and all(one.says is Says.NOTHING for one in lasting) and len({one.check.slug for one in refused}) == 1:
        return [*lasting, *refused]
    return lasting


def _decisive(fired: Sequence[_Fired], pieces: Sequence[Evidence]) -> _Fired:
    """The one that names the cause.

    The exception that is printed last is what the user asks about. Where it holds a status and not the reason, the
    reason may stand elsewhere, beside the same status; where it holds neither, whatever tells most goes first.
    """
    witnessed = [one for one in fired if one.evidence.witnessed and one.says.weight >= Says.STATUS.weight]
    if witnessed:
        return max(witnessed, key=lambda one: one.rank)
    raised = [one for one in fired if one.evidence.clue.chain and one.says.weight >= Says.STATUS.weight]
    last = max(raised, key=lambda one: one.evidence.clue.line, default=None)
    if last is None:
        return max(fired, key=lambda one: one.rank)
    if last.says is Says.REASON:
        return last
    answer = _answer(last, pieces)
    status = answer.status if answer else None
    reasons = [one for one in fired if one.says is Says.REASON and _explains(one, status)]
    return max(reasons, key=lambda one: one.rank, default=last)


def _explains(one: _Fired, status: int | None) -> bool:
    """Whether a reason fits an HTTP status: it came with it, or its check knows it with that status."""
    exchange = one.evidence.clue.exchange
    if exchange is not None and exchange.status is not None:
        return exchange.status == status
    return any(status in condition.status for condition in one.check.when)


def _answer(best: _Fired, pieces: Sequence[Evidence]) -> Exchange | None:
    """The exchange that belongs to the cause: its own, else the last refusal that it explains and nothing answered."""
    clue = best.evidence.clue
    if clue.exchange and clue.exchange.status:
        return clue.exchange
    refusals = [
        one.clue.exchange
        for one in pieces
        if one.clue.exchange and (one.clue.exchange.status or 0) >= 300 and not one.clue.answered_later
    ]
    fitting = [one for one in refusals if best.says is not Says.REASON or _explains(best, one.status)]
    return fitting[-1] if fitting else None


def _findings(best: _Fired, fired: Sequence[_Fired]) -> Iterator[Finding]:
    """The finding that decides, then what is as clear and has another cause: two servers may fail in one log."""
    yield replace(finding_of(best.check, best.facts, in_text=True), evidence=_seen(best))
    met = {best.check.cause}
    if best.says.weight < Says.STATUS.weight:
        return
    for one in sorted(fired, key=lambda one: one.rank, reverse=True):
        if one.says is not best.says or one.check.cause in met:
            continue
        met.add(one.check.cause)
        found = finding_of(one.check, one.facts, in_text=True)
        yield replace(found, evidence=_seen(one), severity=Severity.WARNING)
        if len(met) == _MAX_FINDINGS:
            return


def _defects(
    case: Case, found: Sequence[Finding], answer: Exchange | None, catalogue: Catalogue
) -> tuple[Finding, ...]:
    """What the versions in play add to a failure."""
    facts: dict[str, Fact] = {
        "refused": defects.refused(answer.status if answer else None),
        "library": case.library,
        "waited": case.waited,
        "strands": "strands-agents" in case.versions,
    }
    return defects.notes(catalogue, case.versions, facts, {one.check for one in found})


def _seen(one: _Fired) -> str:
    clue = one.evidence.clue
    status = clue.exchange.status if clue.exchange else None
    told = evidence.gist(clue, one.evidence.said)
    return f"HTTP {status}: {told}" if status and str(status) not in told else told


def _ordered(first: Chain, chains: Iterable[Chain]) -> tuple[Chain, ...]:
    """The chain that decided, then the others, each once."""
    return tuple(dict.fromkeys([*([first] if first else []), *chains]))[:_MAX_CHAINS]


def _aws_error(best: _Fired, catalogue: Catalogue) -> str | None:
    """The AWS error type: the one the server named, else one that the checks know and the words hold."""
    if best.evidence.said.error_type:
        return best.evidence.said.error_type
    if found := _AWS_ERROR.search(best.evidence.clue.words):
        return str(next(filter(None, found.groups())))
    known = {name for check in catalogue.checks.values() for condition in check.when for name in condition.error_type}
    return next((word for word in _WORD.findall(best.evidence.clue.words) if word in known), None)


def _request_id(best: _Fired, answer: Exchange | None) -> str | None:
    if answer and (given := read(answer).request_id):
        return given
    found = _REQUEST_ID.search(best.evidence.clue.words)
    return found[1] if found else None


def _str(value: Fact) -> str | None:
    return value if isinstance(value, str) and value else None


@cache
def _catalogue() -> Catalogue:
    return load()


# --- For a person ---


def _described(explanation: Explanation) -> Iterator[str]:
    if not explanation.findings:
        yield "unexplained: nothing in this tells of a failure"
        yield from _wrapped(
            "", "Give the whole output, from the first error on; or run the program under mcpdoctor run -- COMMAND."
        )
        return
    first, *others = explanation.findings
    yield f"{explanation.cause.value}: {first.title} [{first.check}]"
    yield from _wrapped("", first.text)
    if len(explanation.causes) > 1:
        yield from _wrapped("What remains, most likely first: ", ", ".join(one.value for one in explanation.causes))
    answered = [
        f"HTTP {explanation.http_status}" if explanation.http_status else "",
        explanation.aws_error or "",
        f"JSON-RPC {explanation.rpc_code}" if explanation.rpc_code else "",
        f"(request id {explanation.request_id})" if explanation.request_id else "",
    ]
    if any(answered):
        yield from _wrapped("Answer: ", " ".join(filter(None, answered)))
    if explanation.url:
        yield from _wrapped("From: ", explanation.url)
    if first.evidence:
        yield from _wrapped("Seen: ", first.evidence)
    chain = explanation.chains[0] if explanation.chains else ()
    if len(chain) > 1:
        yield from _wrapped("Chain: ", format_chain(tuple(replace(one, message=one.message[:160]) for one in chain)))
    yield from _wrapped("Fix: ", first.remedy)
    if explanation.advice and explanation.advice not in first.remedy:
        yield from _wrapped("Tell more: ", explanation.advice)
    for other in others:
        yield f"also {other.cause.value}: {other.title} [{other.check}]"
        yield from _wrapped("", other.text)
        yield from _wrapped("Fix: ", other.remedy)


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{label}{text[:1500]}",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
