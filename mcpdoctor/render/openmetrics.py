"""A report as OpenMetrics text, for a probe that runs on a schedule: a file for node_exporter, or a push.

Everything is a gauge: one run is one observation. What is not known is left out, but for whether a configuration works,
which is NaN then.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mcpdoctor.model import Configuration, Report, Result, Severity, Stage, Trace, Verdict, trace_of
from mcpdoctor.render.digest import distinct, ended, seconds, shown
from mcpdoctor.samples import Kind

_LABEL = 200
_TRIED = (Verdict.PASSED, Verdict.FAILED)
_EXPIRY = re.compile(r"(?:^|_)(?:not_after|expir(?:es|y|ation)(?:_at|_s)?)$")
_CERTIFICATE_TIME = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4}) GMT")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(slots=True)
class _Family:
    """A metric: its samples by their labels, so that no two can have the same."""

    name: str
    help: str
    kind: str = "gauge"
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)

    def add(self, labels: Mapping[str, str | None], value: float) -> None:
        """Add a sample; one with the labels of another gets a number."""
        pairs = tuple((name, shown(text or "", _LABEL)) for name, text in labels.items())
        key, number = pairs, 1
        while key in self.samples:
            number += 1
            key = (*pairs, ("occurrence", str(number)))
        self.samples[key] = value

    def lines(self) -> Iterator[str]:
        if not self.samples:
            return
        yield f"# TYPE {self.name} {self.kind}"
        if self.name.endswith("_seconds"):
            yield f"# UNIT {self.name} seconds"
        yield f"# HELP {self.name} {self.help}"
        suffix = "_info" if self.kind == "info" else ""
        for pairs, value in self.samples.items():
            labels = ",".join(f'{name}="{_escaped(text)}"' for name, text in pairs)
            yield f"{self.name}{suffix}{f'{{{labels}}}' if labels else ''} {_number(value)}"


def dumps(report: Report) -> str:
    """The report as OpenMetrics text, ended by `# EOF`."""
    families = [*_of_run(report), *_of_results(report), *_of_ceilings(report), *_of_findings(report)]
    return "".join(f"{line}\n" for family in families for line in family.lines()) + "# EOF\n"


def _of_run(report: Report) -> Iterator[_Family]:
    build = _Family("mcpdoctor_build", "Versions of mcpdoctor, Python, and the packages that matter.", "info")
    packages = {re.sub(r"\W", "_", name, flags=re.ASCII): text for name, text in report.environment.packages.items()}
    versions = {"version": report.mcpdoctor, "python": report.environment.python}
    build.add({**{name: text for name, text in packages.items() if re.fullmatch(r"[a-zA-Z]\w*", name)}, **versions}, 1)
    yield build
    started = _Family("mcpdoctor_run_timestamp_seconds", "When the run started.")
    if (when := timestamp(report.started)) is not None:
        started.add({}, when)
    yield started
    duration = _Family("mcpdoctor_run_duration_seconds", "How long the run took.")
    duration.add({}, seconds(report.elapsed_s))
    yield duration
    code = _Family("mcpdoctor_run_exit_code", "Exit code of the run: 0 where everything is as wanted.")
    code.add({}, report.exit_code)
    yield code
    lacking = {one.target for one in report.requirements if not one.met}
    success = _Family("mcpdoctor_target_success", "Whether a target is as wanted: 1, or 0.")
    for one in ended(report):
        if one.mark != "not tried":
            success.add({"target": one.target}, one.mark != "fails" and one.target not in lacking)
    yield success
    required = _Family("mcpdoctor_requirement_met", "Whether a requirement is met: 1, 0, or NaN where not known.")
    for asked in report.requirements:
        labels = {"target": asked.target, "requirement": asked.name}
        required.add(labels, math.nan if asked.met is None else asked.met)
    yield required


def _of_results(report: Report) -> Iterator[_Family]:
    works = _Family("mcpdoctor_configuration_works", "Whether a configuration works: 1, 0, or NaN where not known.")
    durations = _Family("mcpdoctor_stage_duration_seconds", "How long a stage took that was tried.")
    passed = _Family("mcpdoctor_stage_passed", "Whether a stage that was tried passed: 1, or 0.")
    status = _Family("mcpdoctor_configuration_http_status", "HTTP status that decided.")
    certificates = _Family("mcpdoctor_certificate_expiry_timestamp_seconds", "When the certificate of a server ends.")
    credentials = _Family("mcpdoctor_credential_expiry_timestamp_seconds", "When a temporary credential ends.")
    for result in report.results:
        if result.untried:
            continue
        labels = _labels(result.target, result.configuration, result)
        works.add(labels, math.nan if result.works is None else result.works)
        if result.http_status is not None:
            status.add(labels, result.http_status)
        for trace in result.stages:
            if trace.verdict in _TRIED:
                durations.add({**labels, "stage": trace.stage.value}, seconds(trace.elapsed_s))
                passed.add({**labels, "stage": trace.stage.value}, trace.verdict is Verdict.PASSED)
        for family, stage in ((certificates, Stage.TLS), (credentials, Stage.AUTH)):
            for fact, when in expiries(trace_of(result.stages, stage)):
                family.add({**labels, "fact": fact}, when)
    yield from (works, status, durations, passed, certificates, credentials)


def _of_ceilings(report: Report) -> Iterator[_Family]:
    clean_ = _Family("mcpdoctor_ceiling_highest_clean", "The most at a time that were all accepted.")
    refused = _Family("mcpdoctor_ceiling_lowest_refused", "The fewest at a time of which one was refused.")
    workers = _Family("mcpdoctor_ceiling_recommended_workers", "How many parallel workers are safe.")
    rate = _Family("mcpdoctor_ceiling_rate_per_second", "Requests per second in the long run.")
    limiter = _Family("mcpdoctor_ceiling_limiter", "The kind of limit that was found: 1 for that one.", "stateset")
    required = _Family("mcpdoctor_required_workers", "How many parallel workers were asked for.")
    for one in report.ceilings:
        labels = _labels(one.target, one.configuration)
        clean_.add(labels, one.highest_clean)
        workers.add(labels, one.recommended_workers)
        for family, value in ((refused, one.lowest_refused), (rate, one.rate_per_s)):
            if value is not None:
                family.add(labels, value)
        for kind in Kind:
            limiter.add({**labels, "mcpdoctor_ceiling_limiter": kind.value}, one.limiter is kind)
    if report.required_workers is not None:
        required.add({}, report.required_workers)
    yield from (clean_, refused, workers, rate, limiter, required)


def _of_findings(report: Report) -> Iterator[_Family]:
    found = _Family("mcpdoctor_finding", "Configurations that a finding stands against; 1 for one of the whole run.")
    for told in distinct(report):
        one = told.finding
        labels = {"check": one.check, "cause": one.cause.value, "severity": one.severity.value}
        found.add({**labels, "pressing": "true" if told.pressing else "false"}, max(1, len(told.places)))
    files = _Family("mcpdoctor_lint_findings", "Findings of files, by severity.")
    if report.lint or report.lint_files:
        counts = Counter(one.severity for one in report.lint)
        for severity in Severity:
            files.add({"severity": severity.value}, counts[severity])
    yield from (found, files)


def _labels(target: str, one: Configuration, result: Result | None = None) -> dict[str, str | None]:
    origin = result.origin if result else None
    return {
        "target": target,
        "endpoint": one.endpoint,
        "region": one.region,
        "service": one.service if one.signed else None,
        "credential": one.credential,
        "transport": one.transport,
        **({"file": origin.file, "server": origin.server} if origin and not origin.in_suite else {}),
    }


def expiries(trace: Trace | None) -> Iterator[tuple[str, float]]:
    """When things end that a stage saw, in seconds since 1970: facts whose name says so and that are a time."""
    for name, value in trace.facts.items() if trace else ():
        if _EXPIRY.search(name) and (when := timestamp(value)) is not None:
            yield name, when


def timestamp(value: object) -> float | None:
    """A time as seconds since 1970.

    Args:
        value: seconds since 1970, ISO 8601 (UTC where it names no zone), or as a certificate has it
            (`Jun  1 12:00:00 2027 GMT`).

    Returns:
        None where it is no time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        # Smaller numbers are no time since 1970 but a duration.
        return float(value) if 10**8 < value < 10**11 else None
    try:
        if found := _CERTIFICATE_TIME.fullmatch(value.strip()):
            month, *numbers = found.groups()
            day, hour, minute, second, year = map(int, numbers)
            return datetime(year, _MONTHS.index(month) + 1, day, hour, minute, second, tzinfo=UTC).timestamp()
        when = datetime.fromisoformat(value.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if isinstance(value, bool) or float(value).is_integer():
        return str(int(value))
    return repr(round(value, 6)) if math.isfinite(value) else "NaN"
