"""The vocabulary: what a run tries, what it sees, what it concludes.

Frozen data, no input or output. Everything here goes to JSON and comes back without loss
(`mcpdoctor.render.report_json`), so fields hold only strings, numbers, booleans, None, and tuples and dicts of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from mcpdoctor.failures import Chain
from mcpdoctor.samples import Kind, Sample, Shape, Stated, Stop

SCHEMA_VERSION = 1

Fact = str | int | float | bool | None | tuple[str, ...]
"""One observation of a probe: a scalar, or a list of strings (as a tuple)."""

UNSIGNED = "none"
"""The credential reference that sends requests without a signature."""

BEARER = "bearer:"
"""How a credential reference begins that sends the bearer token of an environment variable."""


SUITE = "mcpdoctor"
"""In place of the client: where a configuration was read from a suite file."""


class Unusable(ValueError):
    """Input that is refused. The message is one sentence that says where it is wrong and how to fix it."""


class Stage(StrEnum):
    """One step of reaching a configuration, in the order they are tried."""

    PARSE = "parse"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    AUTH = "auth"
    OPEN = "open"
    LIST = "list"
    CALL = "call"


class Verdict(StrEnum):
    """How a stage ended. Every configuration x stage has one: nothing vanishes."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"  # an earlier stage failed; not tried
    SKIPPED = "skipped"  # not asked for or not applicable; `reason` says why
    BROKEN = "broken"  # a fault of mcpdoctor itself


class Severity(StrEnum):
    """How much a finding weighs; `--fail-on` compares against it."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def weight(self) -> int:
        """2 for error, 1 for warning, 0 for info: larger is worse."""
        return {"error": 2, "warning": 1, "info": 0}[self.value]


class Cause(StrEnum):
    """The closed family a check belongs to: what a script branches on."""

    URL_INVALID = "url-invalid"
    INSECURE_URL = "insecure-url"
    DNS_FAILURE = "dns-failure"
    CONNECTION_REFUSED = "connection-refused"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection-lost"
    TLS_FAILURE = "tls-failure"
    PROXY_FAILURE = "proxy-failure"
    REDIRECTED = "redirected"
    NOT_FOUND = "not-found"
    NOT_MCP = "not-mcp"
    UNSIGNED = "unsigned"
    NO_CREDENTIALS = "no-credentials"
    PROFILE_NOT_FOUND = "profile-not-found"
    NO_REGION = "no-region"
    EXPIRED_CREDENTIALS = "expired-credentials"
    BAD_CREDENTIALS = "bad-credentials"
    WRONG_PARTITION = "wrong-partition"
    CLOCK_SKEW = "clock-skew"
    WRONG_SERVICE = "wrong-service"
    WRONG_REGION = "wrong-region"
    SIGNATURE_ALTERED = "signature-altered"
    WRONG_AUTH_METHOD = "wrong-auth-method"
    ACCESS_DENIED = "access-denied"
    RATE_LIMITED = "rate-limited"
    SESSION_LOST = "session-lost"
    SERVER_ERROR = "server-error"
    PROTOCOL_ERROR = "protocol-error"
    TOOL_ERROR = "tool-error"
    NO_TOOLS = "no-tools"
    STARTUP_FAILURE = "startup-failure"
    CONFIG_INVALID = "config-invalid"
    VERSION_DEFECT = "version-defect"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One cell of the matrix: the thing a user could paste into a client.

    Attributes:
        endpoint: the URL, exactly as it is sent.
        region: the signing region; None where it was not given and cannot be read off the host.
        service: the SigV4 service name; None where nothing is signed.
        credential: a reference, never keys: `default`, `env`, `profile:NAME`, `bearer:VARIABLE` or `none`.
        transport: `streamable-http`, or `stdio` for an entry of a client file whose command was started.
    """

    endpoint: str
    region: str | None = None
    service: str | None = None
    credential: str = UNSIGNED
    transport: str = "streamable-http"

    @property
    def signed(self) -> bool:
        """Whether requests of this configuration carry a SigV4 signature."""
        return self.credential != UNSIGNED and not self.bearer

    @property
    def bearer(self) -> bool:
        """Whether requests of this configuration carry a bearer token that the user named."""
        return self.credential.startswith(BEARER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A value of an entry, as it is written in the file.

    Attributes:
        name: what it is: `endpoint`, `service`, `region`, `profile` or `command`.
        line: where it stands, from 1; for one that is not written, where its absence shows.
        column: the same, in characters from 1.
        start: offset of it in `Origin.entry`; None where the entry cannot show it changed.
        end: offset after it.
        form: what to put there, with `{}` for the new value.
    """

    name: str
    line: int
    column: int
    start: int | None = None
    end: int | None = None
    form: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a configuration was read: an entry of the file of an MCP client, or a line of a suite file.

    Attributes:
        file: path of the file, as it was given or found.
        client: whose file it is; SUITE for a suite file.
        server: name of the entry; of a suite file `targets[1]` and so on.
        line: where the entry begins, from 1.
        column: the same, in characters from 1.
        entry: the entry as written, secrets masked; empty where it is too long to show.
        values: the values that decide what is sent.
    """

    file: str
    client: str
    server: str
    line: int
    column: int
    entry: str = ""
    values: tuple[Written, ...] = ()

    @property
    def in_suite(self) -> bool:
        """Whether it is a line of a suite file; else it is an entry of the file of a client."""
        return self.client == SUITE

    def value(self, name: str) -> Written | None:
        """The value of that name, or None."""
        return next((one for one in self.values if one.name == name), None)

    def corrected(self, name: str, new: str) -> str:
        """The entry with one value changed; empty where that cannot be shown."""
        one = self.value(name)
        if one is None or one.start is None or one.end is None or not self.entry:
            return ""
        literal = json.dumps(new, ensure_ascii=False)[1:-1]
        return f"{self.entry[: one.start]}{one.form.replace('{}', literal)}{self.entry[one.end :]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One recorded HTTP request and its response.

    Attributes:
        method: HTTP method.
        url: the URL requested, without user information.
        rpc_method: JSON-RPC method of the request body, where it had one.
        status: HTTP status; None where no response came.
        headers: chosen response headers, names in lower case, values redacted and capped.
        body: beginning of the response body as text, redacted and capped; None where it was not read.
        body_size: bytes of body that were read.
        complete: whether the body was read to its end.
        elapsed_s: seconds from sending the request to the last byte read.
        problem: what keeps an MCP client from taking this as the answer to its request, as half a sentence; None where
            nothing does, and where the server refused.
    """

    method: str
    url: str
    rpc_method: str | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    body_size: int = 0
    complete: bool = False
    elapsed_s: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one stage showed.

    Attributes:
        reason: why it was skipped, blocked or broken; None when passed.
        facts: observations, by name; checks compare them (`fact.NAME`).
        exchanges: in the order they were sent; the last POST decided the stage.
        failures: one chain for each leaf of what was raised; empty when nothing was.
    """

    stage: Stage
    verdict: Verdict
    elapsed_s: float = 0.0
    reason: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()
    failures: tuple[Chain, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A check that fired.

    Attributes:
        check: slug of the check: its only identity.
        evidence: one line of what was seen, such as `HTTP 401 InvalidSignatureException: …`.
        url: the page of the check.
        file: the client file that it points to; empty where the configuration is not from one.
        line: line of the value that it is about, from 1; 0 without a file.
        column: the same, in characters from 1.
        correction: the entry with that value changed; empty where the remedy is another.
    """

    check: str
    cause: Cause
    severity: Severity
    title: str
    text: str
    remedy: str
    evidence: str = ""
    url: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    correction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """A check that fired on a file of a client or on a program.

    Attributes:
        file: path of the file, with the number of the cell where it is a notebook.
        line: from 1.
        column: from 1, in characters.
        server: name of the entry, or of the function that is called; empty for what is about the file.
        check: slug of the check: its only identity.
        fixable: whether `mcpdoctor lint --fix` rewrites it.
        url: the page of the check.
    """

    file: str
    line: int
    column: int
    server: str
    check: str
    cause: Cause
    severity: Severity
    title: str
    text: str
    remedy: str
    fixable: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is known of one configuration.

    Attributes:
        works: None where throttling kept us from knowing, or the run ended before it could be known.
        stage: the stage reached: the first that failed, else the last that passed.
        http_status: status of the exchange that decided.
        cause: cause of the first error finding; None where it works.
        expected: cause that a suite says must be seen here (then seeing it is what passes); None for most.
        origin: where the configuration was read; None for one that was asked for on the command line.
        elapsed_s: seconds spent on this configuration, shared work included once for each that waited for it.
        findings: what is wrong, or may become wrong; empty for one that is healthy.
        notes: what is worth knowing of one that works, such as what its credential is good for; nothing to mend.
    """

    target: str
    configuration: Configuration
    works: bool | None
    stage: Stage
    http_status: int | None = None
    cause: Cause | None = None
    expected: Cause | None = None
    origin: Origin | None = None
    elapsed_s: float = 0.0
    stages: tuple[Trace, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    @property
    def untried(self) -> bool:
        """Whether it is an entry of which nothing was tried: one that is switched off, for example."""
        skipped = bool(self.stages) and all(trace.verdict is Verdict.SKIPPED for trace in self.stages)
        return skipped and self.origin is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The configuration to use for one target."""

    target: str
    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where the run happened: Python, platform, versions of the packages that matter."""

    python: str = ""
    platform: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """How much one endpoint allows one caller, as it was observed.

    Attributes:
        target: what the user wanted to reach.
        configuration: how it was reached.
        limiter: the kind of limit; `unknown` where no kind has 95 % of the posterior.
        confidence: posterior weight of `limiter`, or of the likeliest kind where it is unknown.
        posterior: weight of every kind; sums to 1.
        highest_clean: the most at a time that were all accepted: sessions held under a limit on sessions, else requests
            in flight, each over a session of its own (where none was seen: answers awaited at a time); sessions held
            where there never were two requests in flight.
        lowest_refused: the fewest at a time, more than that, of which one was refused; None where none was, and for a
            rate, which does not refuse for their number.
        interval: 95 % posterior interval of the limit: sessions, requests in flight, or requests per second; None where
            no limit was found.
        rate_per_s: requests per second in the long run (posterior median); None unless a rate.
        burst: requests at once after a long pause; None unless a rate.
        burst_interval: 95 % posterior interval of `burst`.
        shapes: weight of each shape of a rate limit, given that it is one; empty unless a rate.
        indistinct: kinds, or shapes of a rate, that the evidence cannot tell apart; empty where one is clear.
        stated: what the server states of its limits, as it stated it last.
        per: whom the limit counts: only more than one address or identity can tell.
        recommended_workers: how many workers are safe.
        requests: HTTP requests sent.
        refused: answers that said it was too much.
        elapsed_s: seconds from the first request to the last answer.
        stopped: why the search ended.
        most: the most at a time that the search was allowed to try.
        call_s: mean seconds of an accepted call.
        session_requests: HTTP requests that opening and closing one session takes, as counted; None without one.
        streams: whether the standing streams of sessions are among the requests in flight that are limited: a worker
            takes two places then.
        facts: what else was observed, of this machine and its client, by name; checks compare them.
        documented: what the owner of the server publishes for this caller, in words; empty where nothing is.
        documented_as_of: when that was true.
        documented_source: where that stands.
        sufficient: whether as many workers are safe as were required; None where none were, or where the endpoint only
            stands in for another one of the run.
        samples: every request, in the order in which the answers came.
    """

    target: str = ""
    configuration: Configuration = field(default_factory=lambda: Configuration(endpoint=""))
    limiter: Kind
    confidence: float
    posterior: Mapping[Kind, float]
    highest_clean: int
    lowest_refused: int | None
    interval: tuple[float, float] | None
    rate_per_s: float | None
    burst: int | None
    burst_interval: tuple[int, int] | None = None
    shapes: Mapping[Shape, float] = field(default_factory=dict)
    indistinct: tuple[str, ...] = ()
    stated: tuple[Stated, ...] = ()
    per: Literal["identity", "address", "unknown"] = "unknown"
    recommended_workers: int
    requests: int
    refused: int
    elapsed_s: float
    stopped: Stop
    most: int = 0
    call_s: float = 0.0
    session_requests: int | None = None
    streams: bool = False
    facts: Mapping[str, Fact] = field(default_factory=dict)
    documented: str = ""
    documented_as_of: str = ""
    documented_source: str = ""
    sufficient: bool | None = None
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What must come of a target, as a suite or an option says, and what came of it.

    Attributes:
        name: `workers`, `latency`, `tools` or `forbid`; `expect` where a cause that a suite expects was not seen.
        wanted: the least number of workers, the most seconds, the tools, or the checks and causes.
        seen: the safe workers, the seconds, those of the tools that are listed, or of the checks and causes that stand
            against it; None where that is not known.
        met: None where it could not be known.
        text: the same in words, as a sentence.
        file: the suite file that asks for it; empty where an option does.
        line: line of the key, from 1; 0 without a file.
        column: the same, in characters from 1.
    """

    target: str
    name: str
    wanted: Fact
    seen: Fact = None
    met: bool | None = None
    text: str = ""
    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run learned.

    Attributes:
        started: UTC, ISO 8601 with `Z`.
        elapsed_s: wall seconds of the whole run.
        interrupted: why the run ended early (`interrupted`, `deadline`); None when it did not.
        best: one for each target that has a working configuration, in the order of the targets.
        ceilings: one for each configuration that was measured.
        required_workers: how many parallel workers were asked for of every target; None where nothing was.
        requirements: what was asked of each target, and whether it is met.
        lint: what `mcpdoctor lint` found, by file and line.
        lint_files: how many files it looked into.
        findings: of the run as a whole; those of one configuration are in its result.
    """

    schema_version: int = SCHEMA_VERSION
    mcpdoctor: str = ""
    started: str = ""
    elapsed_s: float = 0.0
    exit_code: int = 0
    interrupted: str | None = None
    environment: Environment = field(default_factory=Environment)
    results: tuple[Result, ...] = ()
    best: tuple[Best, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    required_workers: int | None = None
    requirements: tuple[Requirement, ...] = ()
    lint: tuple[LintFinding, ...] = ()
    lint_files: int = 0
    findings: tuple[Finding, ...] = ()


def trace_of(traces: Iterable[Trace], stage: Stage) -> Trace | None:
    """The trace of one stage, or None where it is not among `traces`."""
    return next((trace for trace in traces if trace.stage is stage), None)
