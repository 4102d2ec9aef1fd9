"""What one sentence says: an HTTP answer, a JSON-RPC error, an exception; or that it says nothing of a failure.

A sentence is a line of a log, the message of an exception, or the values of a JSON object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mcpdoctor.model import Exchange
from mcpdoctor.tracebacks import NAME, SUFFIX, Raised

MAX_WORDS = 4_000
"""Characters of a sentence that are kept."""

_METHOD = r"(GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH)"
_URL = r"https?://(?:\[[0-9a-fA-F:.%]{2,60}\])?[^\s'\"<>`\\|)\]},;\u2502]{1,2000}"
_LOGGED = re.compile(rf"HTTP Request: {_METHOD} ({_URL}) \"HTTP/[\d.]{{1,3}} (\d{{3}})")
_ACCESSED = re.compile(rf"\"{_METHOD} (\S{{1,2000}}) HTTP/[\d.]{{1,3}}\"(?:,? (?:status=)?| status: )(\d{{3}})\b")
_FOR_URL = re.compile(
    rf"(?:Client error|Server error|Redirect response|Informational response) '(\d{{3}})[^'\n]{{0,80}}'"
    rf"\s{{1,8}}for\s{{1,8}}url:?\s{{1,8}}'?({_URL})"
)
_FROM_URL = re.compile(rf"\bHTTP (\d{{3}})(?: [A-Z][\w -]{{0,60}})? from ({_URL})")
_HUNDREDS = re.compile(r"[1-5]\d\d")  # asked first, since it is cheap
_STATUSES = re.compile(
    r"\bHTTP(?:/[\d.]{1,3})?(?: status| error| response)?(?: code)?:? ?[(=]? ?(?:status:? ?)?([1-5]\d\d)\b"
    r"|\b[sS]tatus(?: code|_code|Code)?[\"']?\)?(?:: ?| ?= ?| of | )[(\"']{0,2}([1-5]\d\d)\b"
    r"|[sS]tatus code[^.:\n]{0,40}: ([45]\d\d)\b"
    r"|\bNon-200 status code \(([1-5]\d\d)\)"
    r"|\b(?:Client|Server) error '([1-5]\d\d)\b"
    r"|\bClientResponseError: ([1-5]\d\d),"
    r"|\b[rR]esponded with (?:an? )?(?:status )?([1-5]\d\d)\b"
    r"|\breturned (?:an? )?(?:HTTP |status )([1-5]\d\d)\b"
    r"|\b([45]\d\d) status\b"
    r"|\b([45]\d\d) (?:Client|Server) Error: |\breturned error: ([45]\d\d)\b|\bAn error occurred \(([45]\d\d)\)"
    r"|\bcode: ([45]\d\d)\b|\bResponse code: ([45]\d\d)\b|<(?:h1|H1|title|TITLE)>(?:ERROR:? )?([45]\d\d)\b"
    r"|\b(?:[eE]rror|failed)[:,]? (?:with )?\(?([45]\d\d)\b[ :)]"
    r"|\b([45]\d\d) (?:Unauthorized|Forbidden|Not Found|Too Many Requests|Internal Server Error|Bad Gateway"
    r"|Service Unavailable|Gateway Time-?out|Proxy Authentication Required)\b"
)
# What an OAuth server answers when it registers a client is not what the endpoint answered.
_REGISTERING = re.compile(r"[Cc]lient [Rr]egistration|Registration failed|RegistrationRejected")
# As package managers, dist-info directories and user agents write it.
_VERSION = re.compile(
    r"(?:(?<=-packages/)|(?<=-packages\\)|(?<![\w./@\\-]))"
    r"(mcp[-_]proxy[-_]for[-_]aws(?:-cli)?|fastmcp|mcp|pydantic|strands[-_]agents)(?:==|[@/-]|[ \t]{1,40}v?)"
    r"(\d{1,3}(?:\.\d{1,6}){1,3}(?:(?:a|b|rc|\.post|\.dev)\d{1,4})?)(?!\w|[.-]\d)"
)
_MOST_SEARCHED = 2**19
# Instance metadata, and where packages come from.
_ELSEWHERE = re.compile(r"169\.254\.|registry\.npmjs\.org|\bnpm (?:ERR|error)|pypi\.org|pythonhosted\.org")
_FALLBACK = re.compile(r"\bSSE\b|\bsse\b|[fF]all(?:ing)? ?back")
_CODE = re.compile(r"(?:MCP error:?|JSON-RPC error:?|[\"']?\bcode[\"']?\s?[:=])\s?(-3\d{4})\b", re.IGNORECASE)
_ANY_URL = re.compile(_URL)
_HOST = re.compile(r"https?://(?:[^/@]{1,200}@)?(?:[\w-]|\[[0-9a-f:])")
_LEADS = (
    "redirect to ",
    "location: ",
    "redirect_uri=",
    "ection uri ",
)  # in front of where a redirect leads, which is not what was asked
_CUT = re.compile(r" ?│")  # at the border of a box: the rest stands on the next line
_ERROR_LINE = re.compile(
    r"^(?:Unexpected|Cannot|Could not|Unable|Invalid|Redirect|Unsupported|No |Missing|Unknown)\b|curl: \(\d"
    r"|.{0,400}(?:x-amzn-[eE]rror[tT]ype|\bbody[=:].{0,40}\{)"
    r"|.{0,160}\b(?:ERROR|ERR|CRITICAL|FATAL|FAILED|WARN|WARNING)\b"
    r"|.{0,160}?\b(?:[eE]rror|[eE]rrors|[eE]rrored|[fF]ailed|[fF]ailure|fatal|Exception)\b.{0,100}?[:=(<]"
    r"|\W{0,6}(?:\w{1,40} ){0,3}(?:[eE]rror|[fF]ailed)\b(?!.{0,400}\?$)"
)
# A list, a heading, a table, a quotation, emphasis, an explanation, what a tool found: such as a model in its answer.
_PROSE = re.compile(
    r"\s{0,40}(?:[-*#] |#{2,6} |\d{1,3}\. |\|.{0,400}\|\s{0,40}$)|[^*]{0,400}\*\*[^*]{1,400}\*\*"
    r"|.{0,400}(?:\b(?:means that|happens when|occurs when|for example|[cC]ommon errors|as expected)\b"
    r"|\b[tT]ool (?:result:|\w{1,80} returned)|['\"]status['\"]: ?['\"]success|isError['\"]?[:=] ?[fF]alse"
    r"|\bDEBUG\b(?!.{0,400}(?:[eE]rror[tT]ype|[bB]ody)))"
    r"|\w{1,80}\{[^}]{1,400}\} \d"  # a metric
)
# What Claude Code says of a server that it does not start, in a list or at level DEBUG, and without a word of failure.
_SET_ASIDE = re.compile(r"\(cached needs-auth\)|\bPending approval \(run ")
_BACKTICKS = re.compile(r"`[^`]{1,400}`")
_ANSWERED = re.compile(
    r"^\W{0,6}(?:HTTP(?:/[\d.]{1,3})?:? \d{3}(?:$|:| [A-Z(]| from)|[sS]tatus\W)"
    r"|[sS]tatus[ _]?[cC]ode|<h1|<H1|<title|<TITLE|Response code|\bstatus="
)
_LOGGER = re.compile(
    r"\b(?:mcp_proxy_for_aws|aws_iam_streamablehttp_client|botocore\.credentials|sigv4|SigV4|AWS4-HMAC-SHA256)\b"
)
_TOOL_FAILED = re.compile(
    r"['\"]?(?:isError|is_error)['\"]?\s?[:=]\s?(?:true|True)\b|['\"]status['\"]\s?:\s?['\"]error['\"]"
)
# A line without one of these says nothing about a failure. Looked for as they are: a pattern takes ten times as long.
# fmt: off
_TROUBLE = (
    "err", "fail", "denied", "invalid", "unable", "expired", "refused", "closed", "missing", "unauthori", "forbidden",
    "throttl", "terminated", "unsupported", "unknown", "mismatch", "required", "exceed", "unexpected", "reauthenticate",
    "redirect", "enoent", "cancel", "http", "status", "exception", "validation", "scoped", "credential", "signature",
    "gateway", "blocked", "overloaded", "timeout", "timed out", "time out", "could", "cannot", "can't", "not found",
    "not supported", "not valid", "not allowed", "not available", "not followed", "not be ", "not match", "not recogni",
    "not installed", "not authori", "not listed", "does not", "too many", "curl: (", "rate limit", "slow down",
    "slowdown", "no such", "must ", "without a", "no aws", "response code", "needs-auth", "pending approval",
)
# fmt: on
# Asking whether OAuth is there is answered with 404 or 405 by most servers.
_ASIDE = re.compile(r"/\.well-known/|/(?:register|authorize|token)(?:$|\?)")
# The model that an agent talks to is no MCP endpoint, and its errors are not ours to explain.
_FOREIGN = re.compile(
    r"https?://(?:api\.(?:openai|anthropic|mistral|groq|deepseek|cohere)\.|[\w-]{1,80}\.openai\.azure\.|bedrock-runtime\."
    r"|generativelanguage\.googleapis\.|[\w-]{1,80}-aiplatform\.googleapis\.|openrouter\.ai)"
)
_FOREIGN_TYPE = re.compile(r"(?:openai|anthropic|litellm|mistralai|groq|cohere|google\.genai|google\.api_core)\.")
_REPORTING = re.compile(r"[/\\](?:opentelemetry|sentry_sdk|langsmith|langfuse|posthog|ddtrace|newrelic)[/\\]")
# Hosts that libraries name in their help texts, and that of instance metadata; no MCP endpoint is there.
_DOCUMENTATION = re.compile(
    r"https?://(?:docs\.|developer\.mozilla\.org|errors\.pydantic\.dev|(?:raw\.)?github(?:usercontent)?\.com|pypi\.org"
    r"|modelcontextprotocol\.io|(?:www\.)?python\.org|peps\.python\.org|gofastmcp\.com|[^/]{1,100}\.readthedocs\.io"
    r"|nodejs\.org|json-schema\.org|aka\.ms|boto3\.amazonaws\.com/v1/doc|(?:www\.)?npmjs\.com|registry\.npmjs\.org"
    r"|datatracker\.ietf\.org|astral\.sh|files\.pythonhosted\.org|www\.w3\.org|curl\.se|(?:platform|console|help|support|learn)\.|cloud\.google\.com|aws\.amazon\.com|169\.254\.|\[?fd00:ec2|bit\.ly)"
)
_ENDS = SUFFIX.strip("(?:)").split("|")
# Statuses, codes and errnos tell one failure from another; other numbers do not.
_NUMBERS = re.compile(
    r"((?<![\d.,:-])[345]\d\d\b(?![.,:]\d)|-3\d{4}\b|(?:Errno|WinError) -?\d{1,5})|0x[0-9a-fA-F]{4,16}|\d{1,20}"
)

_MENTIONED = re.compile(
    rf"(?<![\w.'\"/`])({NAME}[A-Z]\w{{0,80}}?{SUFFIX}|asyncio\.CancelledError)(?: \[(\w{{1,40}})\])?: (?=\S)(.*)"
)
_LABEL = re.compile(r"(?:[\w .\[\]/|-]{0,40}: )?[\s|]{0,40}")  # what may stand in front of one without more ado
_BARE = re.compile(rf"(?:.{{0,200}} - )?((?:[A-Za-z_]\w{{0,80}}\.){{1,12}}[A-Z]\w{{0,80}}?{SUFFIX})(?:\(\))?:?$")
_REPR = re.compile(rf"(?<![\w.])(?<!raise )({NAME}[A-Z]\w{{0,80}}?{SUFFIX}|McpError|MCPError)\((?=[\"'(])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """The line that an HTTP library or server logs for one request."""

    method: str
    url: str
    status: int

    @property
    def aside(self) -> bool:
        """Whether a refusal of it tells nothing: a question on the side, or a request to somebody else."""
        beside = self.method != "POST" and self.status in (400, 404, 405, 406)
        return beside or bool(_FOREIGN.match(self.url) or _ASIDE.search(self.url))


def logged_in(line: str) -> Logged | None:
    """The request that a line logs."""
    if "HTTP" not in line or not (found := _LOGGED.search(line) or _ACCESSED.search(line)):
        return None
    return Logged(method=found[1], url=found[2], status=int(found[3]))


def urls_in(line: str) -> Iterator[str]:
    """The URLs of a line that may be an endpoint: no documentation, no model's API, nothing that is cut off."""
    for found in _ANY_URL.finditer(line):
        url = found[0].rstrip(".:…")
        before = line[max(found.start() - 14, 0) : found.start()].lower()
        if _CUT.match(line, found.end()) or not _HOST.match(url) or before.rstrip("'").endswith(_LEADS):
            continue
        if not _DOCUMENTATION.match(url) and not _FOREIGN.match(url):
            yield url


def authority_of(url: str) -> str:
    """The host and port of a URL; empty for what is none."""
    return url.split("/")[2] if url.count("/") > 1 else ""


def is_trouble(line: str) -> bool:
    """Whether a line may say something of a failure; asked first, since it is cheap."""
    low = line.lower()
    for word in _TROUBLE:  # noqa: SIM110  # a generator would take twice the time, on every line of a log
        if word in low:
            return True
    return False


def names_exception(line: str) -> bool:
    """Whether a line may name an exception; asking this is cheaper than looking for one."""
    for end in _ENDS:  # noqa: SIM110  # as above
        if end in line:
            return True
    return False


def is_error(line: str) -> bool:
    """Whether a line is one of failure, and not just one that holds such words."""
    return bool(_ERROR_LINE.match(line) or _SET_ASIDE.search(line))


def is_answer(line: str) -> bool:
    """Whether a number of three digits in a line is the status of an HTTP answer, and not just some words."""
    return bool(_ANSWERED.search(line))


def unquoted(line: str) -> str:
    """A line without what stands in it between backticks: names, code, what somebody cites."""
    return _BACKTICKS.sub("``", line) if "`" in line else line


def is_prose(line: str) -> bool:
    """Whether a line explains or quotes something: the answer of a model, the result of a tool."""
    return bool(_PROSE.match(line)) and not _SET_ASIDE.search(line)


def is_fallback(words: str) -> bool:
    """Whether a client says that it turned to the old transport."""
    return bool(_FALLBACK.search(words))


def is_foreign(raised: Raised) -> bool:
    """Whether an exception is that of a library that talks to a model, or that reports to somebody else."""
    return bool(_FOREIGN_TYPE.match(raised.type)) or any(map(_REPORTING.search, raised.steps))


def tool_failed(words: str) -> bool:
    """Whether these are the words of a tool result that says that the tool failed."""
    return bool(_TOOL_FAILED.search(words))


def signers_in(line: str) -> list[str]:
    """Names in a line that show that requests are signed."""
    return _LOGGER.findall(line)


def rpc_code_in(words: str) -> int | None:
    """The code of the JSON-RPC error that a sentence names."""
    found = _CODE.search(words) if "-3" in words else None
    return int(found[1]) if found else None


def gist_of(line: str) -> str:
    """A line without its numbers: what repeats with other times and ids is the same."""
    return _NUMBERS.sub(lambda found: found[1] or "#", line)


def exchange_in(words: str) -> Exchange | None:
    """The HTTP exchange that a sentence tells of."""
    if not _HUNDREDS.search(words):
        return None
    if "://" in words and (found := _FOR_URL.search(words) or _FROM_URL.search(words)):
        return replace(answer_of(int(found[1]), words), url=found[2].rstrip(".:"))
    found = None if _REGISTERING.search(words) or _ELSEWHERE.search(words) else _STATUSES.search(words)
    status = int(next(filter(None, found.groups()))) if found else 0
    return answer_of(status, words) if status >= 300 else None


def answer_of(status: int, words: str) -> Exchange:
    """An HTTP answer with the URL and the body that `words` quote."""
    page, start, end = words.lower().find("<html", 0, MAX_WORDS), words.find("{"), words.rfind("}") + 1
    body = words[page:] if page >= 0 else words[start : end or None] if start >= 0 else None
    return Exchange(method="POST", url=url_in(words), status=status, body=body)


def url_in(words: str) -> str:
    """The one URL of a sentence; empty where there are several."""
    if "edirect" in words:
        return ""  # where it leads, and not what was asked
    urls = {found[0].rstrip(".:") for found in _ANY_URL.finditer(words)}
    own = [url for url in urls if not _DOCUMENTATION.match(url)]
    return own[0] if len(own) == 1 else ""


def raised_in(line: str, number: int) -> Iterator[Raised]:
    """The exceptions that a sentence names: in words, or as the `repr` of one or of a group."""
    outer: Raised | None = None
    for found in _REPR.finditer(line):
        raised = Raised(type=found[1], message=_quoted(line, found.end()), line=number)
        if outer is None:
            outer = raised
            yield raised
        else:
            outer.members.append(raised)
        if found[1].endswith("Group"):
            outer = raised
    if (
        outer is None
        and (named := _MENTIONED.search(line))
        and (_LABEL.fullmatch(line[: named.start()]) or is_error(line))
    ):
        yield Raised(type=named[1], message=named[3].strip()[:MAX_WORDS], line=number)
    elif outer is None and (bare := _BARE.match(line)):
        yield Raised(type=bare[1], message="", line=number)


def _quoted(line: str, start: int) -> str:
    """The text of the quoted string that begins at `start`, as Python writes one."""
    quote = line[start]
    end = start + 1
    limit = min(len(line), start + MAX_WORDS)
    while end < limit and line[end] != quote:
        end += 2 if line[end] == "\\" else 1
    return line[start + 1 : end].replace("\\n", "\n").replace("\\'", "'").replace('\\"', '"')


def exchange_of(path: Sequence[Raised]) -> Exchange | None:
    """The HTTP exchange that the fields of an error tell of."""
    for raised in path:
        if raised.status:
            answer = answer_of(raised.status, raised.message)
            return replace(answer, url=raised.url) if raised.url else answer
    return None


def versions_in(text: str) -> dict[str, str]:
    """Versions that a text names, by package; none of a package of which it names several."""
    found: dict[str, set[str]] = {}
    # Of a long text, what a program was started with and what it ended with.
    for part in (text[:_MOST_SEARCHED], text[_MOST_SEARCHED:][-_MOST_SEARCHED:]):
        for package, version in _VERSION.findall(part):
            found.setdefault(package.replace("_", "-"), set()).add(version)
    return {package: versions.pop() for package, versions in found.items() if len(versions) == 1}
