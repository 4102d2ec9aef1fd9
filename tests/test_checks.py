"""Every check fires on the fault of the lab that it names, alone, and is silent where nothing is wrong."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import anyio
import jsonschema
import network_scenes
import pytest
from conftest import network_of
from credential_scenes import CREDENTIALS
from logins import HEALTHY as LOGIN
from logins import PROVOCATIONS as OF_LOGINS

from mcpdoctor import ceiling, certificates, engine, from_files, matrix, measuring
from mcpdoctor.catalogue import About, Catalogue
from mcpdoctor.clients import known
from mcpdoctor.lab import FAULTS, Lab, Options, limiters, tokens
from mcpdoctor.lab.programs import PROGRAMS
from mcpdoctor.model import Cause, Finding, Report, Result, Severity, Verdict
from mcpdoctor.network import Network, parse_route, tls_context
from mcpdoctor.render import report_json
from mcpdoctor.samples import Operation, Outcome, Stop
from mcpdoctor.verdict import conclude

ROOT = Path(__file__).parent.parent

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
ECHO = matrix.Call(tool="echo", arguments={"text": "hello"})
SSO = """
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = dev
region = us-east-1
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.awsapps.example/start
"""


@dataclass
class Scene:
    """How one configuration is tried; a provocation changes what it needs."""

    lab: Lab
    catalogue: Catalogue
    monkeypatch: pytest.MonkeyPatch
    directory: Path
    url: str = ""
    services: tuple[str, ...] = ("aws-mcp",)
    revisions: bool = False
    regions: tuple[str, ...] = ("us-east-1",)
    credentials: tuple[str, ...] = ("default",)
    environ: dict[str, str] = field(default_factory=dict)
    standby: dict[str, str] | None = None
    call: matrix.Call | None = None
    timeout_s: float = 5.0
    sealed: bool = True
    routes: tuple[str, ...] = ()
    whoami: bool = False
    changed: dict[str, Any] = field(default_factory=dict)
    sockets: list[socket.socket] = field(default_factory=list)

    def run(self) -> Report:
        routes = {(one.host, one.port): one for one in map(parse_route, self.routes)}
        network = Network(
            context=tls_context(self.lab.ca_bundle),
            routes=routes,
            sealed=self.sealed,
            environ=self.environ,
            ca_problem=certificates.fatal(self.environ),
        )
        axes = matrix.Axes(regions=self.regions, services=self.services, credentials=self.credentials)
        plan = matrix.expand([self.url], axes, self.catalogue, call=self.call)
        plan = replace(plan, cells=tuple(replace(cell, **self.changed) for cell in plan.cells))
        settings = engine.Settings(
            timeout_s=self.timeout_s,
            environ=self.environ,
            standby=self.standby,
            revisions=self.revisions,
            whoami=self.whoami,
        )
        return anyio.run(engine.run, plan, self.catalogue, network, settings)

    def aws_config(self, text: str) -> None:
        """Make this the AWS configuration of the user."""
        path = self.directory / "config"
        path.write_text(text, encoding="utf-8")
        self.monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


@pytest.fixture
def scene(lab: Lab, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(
        lab=lab,
        catalogue=catalogue,
        monkeypatch=monkeypatch,
        directory=tmp_path,
        standby=lab.env,
        routes=lab.connect_to,
    )
    yield made
    for one in made.sockets:
        one.close()


def as_it_is(_: Scene) -> None:
    """The lab's fault shows by itself."""


def soon(scene: Scene) -> None:
    scene.timeout_s = 1.0


def unsigned(scene: Scene) -> None:
    scene.credentials = ("none",)


def url_as_written(scene: Scene) -> None:
    scene.services = scene.regions = ()
    scene.credentials = ("none",)


def calling(scene: Scene) -> None:
    scene.call = ECHO


def resolver(fail: Callable[..., Any]) -> Callable[[Scene], None]:
    """The name is looked up for real, by a resolver that behaves like this."""

    def arrange(scene: Scene) -> None:
        scene.sealed, scene.routes, scene.timeout_s = False, (), 0.3
        scene.monkeypatch.setattr(socket, "getaddrinfo", fail)

    return arrange


def try_again(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def hang(*_: object, **__: object) -> None:
    threading.Event().wait(3)
    raise socket.gaierror(socket.EAI_NONAME, "too late to matter")


def no_route(scene: Scene) -> None:
    # A listening socket whose queue is full drops every further packet, as a firewall does.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    scene.sockets = [listener, *waiting]
    scene.routes = (f"aws-mcp.us-east-1.api.aws:443:127.0.0.1:{listener.getsockname()[1]}",)
    soon(scene)


def dead_proxy(scene: Scene) -> None:
    refused = next(route for route in scene.lab.connect_to if route.startswith("refused."))
    scene.sealed, scene.routes = False, ()
    scene.environ = {"HTTPS_PROXY": f"http://user:hunter2secret@127.0.0.1:{refused.rpartition(':')[2]}"}


def no_such_profile(scene: Scene) -> None:
    scene.aws_config("[profile dev]\nregion = us-east-1\n")
    scene.credentials = ("profile:no-such-profile",)


def no_region(scene: Scene) -> None:
    scene.url = FAULTS["auth/no-region"].url(scene.lab)
    scene.regions = ()
    keys = {name: value for name, value in scene.lab.env.items() if name != "AWS_DEFAULT_REGION"}
    scene.standby, scene.environ = keys, {"AWS_REGION": "eu-west-3"}


def environment(**variables: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        scene.standby, scene.credentials, scene.environ = None, ("env",), variables

    return arrange


def wrong_secret(scene: Scene) -> None:
    environment(**{**scene.lab.env, "AWS_SECRET_ACCESS_KEY": "not/the/secret/of/this/key/EXAMPLE"})(scene)


def profile(name: str, text: str) -> Callable[[Scene], None]:
    def arrange(scene: Scene) -> None:
        scene.aws_config(text)
        scene.credentials = (f"profile:{name}",)

    return arrange


def no_such_tool(scene: Scene) -> None:
    scene.call = matrix.Call(tool="no_such_tool", arguments={})


def calling_a_removed_tool(scene: Scene) -> None:
    scene.call = matrix.Call(tool="aws___call_aws", arguments={})


def calling_without_prefix(scene: Scene) -> None:
    scene.call = matrix.Call(tool="search_documentation", arguments={"search_phrase": "s3"})


def asking_for_revisions(scene: Scene) -> None:
    scene.credentials, scene.revisions = ("none",), True


def as_agentcore(scene: Scene) -> None:
    scene.services = ("bedrock-agentcore",)


def soon_and_calling(scene: Scene) -> None:
    soon(scene)
    calling(scene)


def agent_access(scene: Scene) -> None:
    scene.services = ("agentaccess-mcp",)


def running(code: str) -> Callable[[Scene], None]:
    """The tool that runs scripts is called with this."""

    def arrange(scene: Scene) -> None:
        scene.call = matrix.Call(tool="aws___run_script", arguments={"code": code})

    return arrange


def unsigned_and_wrongly_signed(scene: Scene) -> None:
    scene.services, scene.credentials = ("bedrock-agentcore",), ("default", "none")


PROVOCATIONS: dict[str, Callable[[Scene], None]] = {
    "parse-url-invalid": url_as_written,
    "parse-insecure-url": url_as_written,
    "parse-not-mcp": url_as_written,
    "dns-unknown-host": url_as_written,
    "dns-unknown-region": as_it_is,
    "dns-unavailable": resolver(try_again),
    "dns-timeout": resolver(hang),
    "tcp-refused": as_it_is,
    "tcp-unreachable": no_route,
    "tcp-proxy": dead_proxy,
    "tls-untrusted": as_it_is,
    "tls-wrong-name": as_it_is,
    "tls-expired": as_it_is,
    "tls-not-tls": as_it_is,
    "tls-failed": as_it_is,
    "tls-connection-lost": as_it_is,
    "tls-timeout": soon,
    "http-timeout": soon,
    "http-connection-lost": as_it_is,
    "http-redirected": as_it_is,
    "http-wrong-host": as_it_is,
    "http-session-lost": as_it_is,
    "http-not-found": as_it_is,
    "http-not-mcp": as_it_is,
    "http-proxy-auth": as_it_is,
    "http-server-error": as_it_is,
    "http-too-large": as_it_is,
    "auth-profile-not-found": no_such_profile,
    "auth-no-region": no_region,
    "auth-credentials-partial": environment(AWS_ACCESS_KEY_ID="AKIALABHALFAKEYONLY1"),
    "auth-no-credentials": environment(),
    "auth-keys-malformed": environment(AWS_ACCESS_KEY_ID="AKIALABWITHABLANK123 ", AWS_SECRET_ACCESS_KEY="made/up"),
    "auth-login-expired": profile("sso", SSO),
    "auth-wants-bearer": as_it_is,
    "auth-method-mismatch": as_it_is,
    "auth-unsigned": unsigned,
    "auth-clock-skew": as_it_is,
    "auth-wrong-service": as_it_is,
    "auth-wrong-region": as_it_is,
    "auth-expired-credentials": as_it_is,
    "auth-bad-credentials": as_it_is,
    "auth-bad-signature": wrong_secret,
    "auth-signature-mismatch": as_it_is,
    "auth-signature-altered": as_it_is,
    "auth-signature-incomplete": as_it_is,
    "auth-access-denied": as_it_is,
    "auth-header-missing": agent_access,
    "auth-rejected-late": calling,
    "auth-signature-counts": as_it_is,
    "auth-anonymous": unsigned,
    "auth-fallback": unsigned_and_wrongly_signed,
    **OF_LOGINS,
    "open-unsupported-protocol": as_it_is,
    "open-rpc-error": as_it_is,
    "open-invalid-answer": as_it_is,
    "open-client-hangs": soon,
    "open-session-id-missing": as_it_is,
    "open-not-latest-revision": asking_for_revisions,
    "list-rpc-error": as_it_is,
    "list-no-tools": as_it_is,
    "list-throttled": as_it_is,
    "runtime-failure": as_agentcore,
    "runtime-slow-start": as_agentcore,
    "runtime-not-mcp": as_agentcore,
    "call-unknown-tool": no_such_tool,
    "call-removed-tool": calling_a_removed_tool,
    "call-tool-throttled": calling,
    "call-access-denied": running("boto3.client('s3').delete_bucket(Bucket='lab-bucket')"),
    "call-profile-ignored": running("aws sts get-caller-identity --profile other"),
    "call-tool-error": calling,
    "unexplained": as_it_is,
    "rate-limited": as_it_is,
    **network_scenes.PROVOCATIONS,
    **CREDENTIALS,
}
"""What the client's side must be for the fault of each check to show."""

WEIGHTY = (Severity.ERROR, Severity.WARNING)


def fault_url(scene: Scene, check: str) -> str:
    fault = FAULTS[scene.catalogue.checks[check].lab]
    return fault.url()


def findings_of(report: Report) -> list[Finding]:
    return [finding for result in report.results for finding in result.findings]


@pytest.mark.parametrize(
    "slug", [pytest.param(slug, marks=pytest.mark.provokes(slug), id=slug) for slug in PROVOCATIONS]
)
def test_a_check_fires_on_its_fault_and_is_the_only_cause(slug: str, scene: Scene) -> None:
    check = scene.catalogue.checks[slug]
    scene.url = fault_url(scene, slug)
    PROVOCATIONS[slug](scene)

    report = scene.run()

    told = [(one, finding) for one in report.results for finding in (*one.findings, *one.notes)]
    result, finding = next((one, finding) for one, finding in told if finding.check == slug)
    if check.severity is Severity.ERROR:
        assert [slug] == [one.check for one in result.findings if one.severity in WEIGHTY]
        assert result.cause is check.cause
        assert result.works is (None if check.cause is Cause.RATE_LIMITED else False)
        assert result.stage in check.stage
    else:  # a warning stands beside the error that it explains, or against something that works
        assert result.works is (check.on is Verdict.PASSED)
    for text in (finding.text, finding.remedy):
        assert "unknown" not in text.lower().replace("where it is unknown", "")
        assert not re.search(r"[{}]|None\b", text.replace("{region}", ""))


def test_every_check_has_a_fault_and_a_provocation_and_no_fault_is_forgotten(catalogue: Catalogue) -> None:
    about = {which: {slug for slug, one in catalogue.checks.items() if one.about is which} for which in About}
    assert about[About.CEILING] == set(CEILINGS)
    assert about[About.ENTRY] == set(ENTRIES)
    programs = {f"start/{name}" for name in (*PROGRAMS, "missing", "unusable")}
    assert {catalogue.checks[slug].lab for slug in about[About.ENTRY]} - set(FAULTS) == programs
    probed = {slug: catalogue.checks[slug] for slug in about[About.CONFIGURATION] if catalogue.checks[slug].probed}
    assert set(probed) == set(PROVOCATIONS)
    assert {catalogue.checks[slug].lab for slug in about[About.CONFIGURATION]} - set(FAULTS) == set()
    limits = {f"limit/{kind}" for kind in get_args(limiters.Kind)}
    assert {catalogue.checks[slug].lab for slug in about[About.CEILING]} - set(FAULTS) - limits == set()
    named = {check.lab for check in probed.values()}
    assert set(FAULTS) - named == set(VARIANTS) | HEALTHY


HEALTHY = {
    "healthy/none",
    "healthy/signed",
    "healthy/signed-only",
    "healthy/bearer",
    "healthy/resources-only",
    "healthy/slash",
    "healthy/events-with-liberties",
    "healthy/events-before-answer",
    "healthy/string-ids",
    "healthy/content-type-with-charset",
    "healthy/more-fields",
}
"""Servers of the lab with which nothing is wrong, however odd some of them write."""


@pytest.fixture(scope="session")
def healthy(lab: Lab, catalogue: Catalogue) -> tuple[Result, ...]:
    """Servers with which nothing is wrong, signed and unsigned."""
    targets = {
        FAULTS["healthy/signed"].url(): "default",
        FAULTS["healthy/signed-only"].url(): "default",
        FAULTS["healthy/none"].url(): "none",
        LOGIN: f"bearer:{tokens.VARIABLE}",
        FAULTS["healthy/resources-only"].url(): "none",
        FAULTS["healthy/slash"].url(): "none",
        lab.endpoints["agentcore-gateway"]: "default",
        lab.endpoints["eks-mcp/us-east-1"]: "default",
    }
    routes = {(one.host, one.port): one for one in map(parse_route, lab.connect_to)}
    network = Network(context=tls_context(lab.ca_bundle), routes=routes, sealed=True)
    results: list[Result] = []
    for url, credential in targets.items():
        service = () if "lab.test" not in url else ("aws-mcp",)
        axes = matrix.Axes(regions=("us-east-1",), services=service, credentials=(credential,))
        plan = matrix.expand([url], axes, catalogue)
        results += anyio.run(engine.run, plan, catalogue, network, engine.Settings(standby=lab.env)).results
    return tuple(results)


@pytest.mark.parametrize("slug", [pytest.param(slug, marks=pytest.mark.silent(slug), id=slug) for slug in PROVOCATIONS])
def test_a_check_is_silent_where_nothing_is_wrong(slug: str, healthy: tuple[Result, ...]) -> None:
    assert [True] * len(healthy) == [result.works for result in healthy]
    assert slug not in {finding.check for result in healthy for finding in result.findings}


# entries of client files ----------------------------------------------------------------------------------------------


@dataclass
class Desk:
    """A client file with one entry, and the machine that it is on."""

    lab: Lab
    catalogue: Catalogue
    directory: Path
    start_timeout_s: float = 20.0

    def examine(self, entry: dict[str, Any], *, run: bool = True, file: str = "settings/mcp.json") -> Result:
        path = self.directory / ".kiro" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"mcpServers": {"it": entry}}), encoding="utf-8")
        machine = from_files.Machine(
            home=self.directory, project=self.directory, environ={"PATH": "/usr/bin:/bin"}, platform="linux"
        )
        there = from_files.Lab(environ=self.lab.env, plain=self.lab.plain)
        made = from_files.planned([str(path)], known(), self.catalogue, machine, run_commands=run, lab=there)
        settings = engine.Settings(timeout_s=5.0, start_timeout_s=self.start_timeout_s, standby=self.lab.env)
        [result] = anyio.run(engine.run, made.plan, self.catalogue, network_of(self.lab), settings).results
        return result


def program(name: str) -> Callable[[Desk], Result]:
    """An entry that starts one of the lab's bad programs."""

    def examine(desk: Desk) -> Result:
        return desk.examine({"command": sys.executable, "args": ["-m", "mcpdoctor.lab.programs", name]})

    return examine


def slow_program(desk: Desk) -> Result:
    desk.start_timeout_s = 1.5
    return program("silent")(desk)


def noisy_program(desk: Desk) -> Result:
    desk.start_timeout_s = 3.0
    return program("noise")(desk)


def missing_program(desk: Desk) -> Result:
    return desk.examine({"command": "no-such-command-anywhere", "args": []})


def unusable_program(desk: Desk) -> Result:
    path = desk.directory / "server"
    path.write_bytes(b"\x7fELF, says the file, and lies\n")
    path.chmod(0o755)
    return desk.examine({"command": str(path), "args": []})


def wrong_arguments(desk: Desk) -> Result:
    args = ["mcp-proxy-for-aws@1.7.0", AWS_MCP, "--regoin", "us-east-1"]
    return desk.examine({"command": "uvx", "args": args}, run=False)


def region_nowhere(desk: Desk) -> Result:
    return desk.examine({"command": "uvx", "args": ["mcp-proxy-for-aws", "https://mcp.lab.test/mcp"]}, run=False)


def impatient_client(desk: Desk) -> Result:
    return desk.examine({"command": "uvx", "args": ["mcp-proxy-for-aws@latest", AWS_MCP], "timeout": 100})


def refused_in_kiro(desk: Desk) -> Result:
    args = ["mcp-proxy-for-aws@latest", FAULTS["auth/access-denied"].url(), "--service", "aws-mcp"]
    entry = {"command": "uvx", "args": [*args, "--region", "us-east-1"]}
    assert "startup-connected-early" not in {one.check for one in desk.examine(entry).findings}  # read by the IDE too
    return desk.examine(entry, file="agents/agent.json")


ENTRIES: dict[str, Callable[[Desk], Result]] = {
    "startup-arguments-refused": program("arguments"),
    "startup-proxy-arguments": wrong_arguments,
    "startup-proxy-region": region_nowhere,
    "startup-command-not-found": missing_program,
    "startup-command-unusable": unusable_program,
    "startup-package-not-found": program("no-package"),
    "startup-executable-missing": program("no-module"),
    "startup-download-failed": program("no-network"),
    "startup-container-engine": program("no-engine"),
    "startup-not-mcp": noisy_program,
    "startup-ended": program("ended"),
    "startup-no-answer": slow_program,
    "startup-refused": program("refusing"),
    "startup-slower-than-client": impatient_client,
    "startup-connected-early": refused_in_kiro,
}
"""The entry that makes each check about entries fire."""


@pytest.fixture
def desk(lab: Lab, catalogue: Catalogue, tmp_path: Path) -> Desk:
    return Desk(lab=lab, catalogue=catalogue, directory=tmp_path)


@pytest.mark.parametrize("slug", [pytest.param(slug, marks=pytest.mark.provokes(slug), id=slug) for slug in ENTRIES])
def test_a_check_about_an_entry_fires_and_is_the_only_cause(slug: str, desk: Desk) -> None:
    check = desk.catalogue.checks[slug]
    result = ENTRIES[slug](desk)
    [finding] = [one for one in result.findings if one.check == slug]
    assert (finding.check, finding.cause, finding.severity) == (slug, check.cause, check.severity)
    beside = check.severity is Severity.WARNING and check.on is Verdict.FAILED  # then something else is the cause
    assert len(result.findings) == 1 + beside
    if beside:
        assert (result.works, result.cause) == (False, result.findings[0].cause)
        assert result.findings[0].severity is Severity.ERROR
    elif check.severity is Severity.ERROR:
        assert (result.works, result.cause) == (False, check.cause)
        assert result.stage in check.stage
    else:
        assert result.works is True
    assert Path(finding.file).is_relative_to(desk.directory / ".kiro")
    assert finding.line == 1
    for text in (finding.text, finding.remedy):
        assert "unknown" not in text.lower()
        assert not re.search(r"[{}]|None\b", text)


@pytest.fixture(scope="module")
def good_entries(lab: Lab, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Entries with which nothing is wrong: the proxy, started and not, and a server that is reached by URL."""
    desk = Desk(lab=lab, catalogue=catalogue, directory=tmp_path_factory.mktemp("good"))
    proxy = {"command": "uvx", "args": ["mcp-proxy-for-aws@latest", AWS_MCP], "timeout": 100_000}
    url = {"url": FAULTS["healthy/none"].url(), "type": "http"}
    return [desk.examine(proxy), desk.examine(proxy, run=False), desk.examine(url)]


@pytest.mark.parametrize("slug", [pytest.param(slug, marks=pytest.mark.silent(slug), id=slug) for slug in ENTRIES])
def test_a_check_about_an_entry_is_silent_where_nothing_is_wrong(slug: str, good_entries: list[Result]) -> None:
    assert [one.works for one in good_entries] == [True] * 3
    assert slug not in {finding.check for one in good_entries for finding in one.findings}


# ceilings -------------------------------------------------------------------------------------------------------------

SWIFT = ceiling.Settings(unreleased_s=0.4, gap_s=0.0, most=6)


@dataclass(frozen=True)
class Yard:
    """Where ceilings are measured: a lab with its usual limits, and one without any."""

    lab: Lab
    open: Lab
    catalogue: Catalogue

    def measure(
        self, url: str, credential: str = "none", *, search: ceiling.Settings = SWIFT, free: bool = False, **given: Any
    ) -> Report:
        lab = self.open if free else self.lab
        axes = matrix.Axes(regions=("us-east-1",), credentials=(credential,))
        plan = matrix.expand([url], axes, self.catalogue)
        settings = measuring.Settings(search=search, standby=lab.env, timeout_s=5.0, **given)
        return anyio.run(measuring.run, plan, self.catalogue, network_of(lab), settings)

    def judged(self, report: Report, **changes: Any) -> Report:
        """The same report, had it shown something else."""
        [found] = report.ceilings
        return conclude(replace(report, ceilings=(replace(found, **changes),)), self.catalogue)


@pytest.fixture(scope="module")
def yard(lab: Lab, catalogue: Catalogue) -> Iterator[Yard]:
    with Lab(Options(limits=("none",))) as free:
        yield Yard(lab=lab, open=free, catalogue=catalogue)


def refused_some(yard: Yard) -> Report:
    return yard.measure("aws-mcp", required_workers=10)


def wide_open(yard: Yard) -> Report:
    return yard.measure("aws-mcp", "default", search=replace(SWIFT, quick=True, most=8), free=True)


def a_hundred_at_a_time(yard: Yard) -> Report:
    return yard.judged(wide_open(yard), highest_clean=100)


def few_files(yard: Yard) -> Report:
    url = f"{yard.open.http}/knowledge/mcp"
    command = f"{shlex.quote(sys.executable)} -m mcpdoctor ceiling {url} --quick --yes --format json"
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n 82; exec {command}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return report_json.loads(done.stdout)


def failing(yard: Yard) -> Report:
    return yard.measure(FAULTS["http/unavailable"].url(yard.lab))


def calls_denied(yard: Yard) -> Report:
    report = wide_open(yard)
    [found] = report.ceilings
    samples = [
        replace(one, outcome=Outcome.FAILED, status=401, error="http-401")
        if one.operation is Operation.CALL and number % 2
        else one
        for number, one in enumerate(found.samples)
    ]
    return yard.judged(report, samples=tuple(samples))


def a_machine_lost(yard: Yard) -> Report:
    report = wide_open(yard)
    [found] = report.ceilings
    lost = {"leg_lost": True, "lost_legs": "leg 1 (tcp://10.0.0.7:40123): its worker is gone"}
    return yard.judged(report, facts={**found.facts, **lost})


CEILINGS: dict[str, Callable[[Yard], Report]] = {
    "ceiling-too-low": refused_some,
    "ceiling-differs-from-quota": refused_some,
    "ceiling-loses-session": refused_some,
    "ceiling-proxy-connections": wide_open,
    "ceiling-client-pool": a_hundred_at_a_time,
    "ceiling-open-files": few_files,
    "ceiling-server-failing": failing,
    "ceiling-calls-fail": calls_denied,
    "ceiling-leg-lost": a_machine_lost,
}
"""What is measured for each check about a ceiling to fire."""

UNSIGNED = r"aws-mcp\.us-east-1\.api\.aws \(unsigned\)"
SIGNED = r"aws-mcp\.us-east-1\.api\.aws \(signed with default\)"
SAYS = {
    "ceiling-too-low": rf"^10 .* required\. Observed at {UNSIGNED}: 4 sessions at a time\. That is enough for 3\.$",
    "ceiling-differs-from-quota": rf"^{UNSIGNED}: a limit of 4 sessions at a time .* only figure .* 5 requests/s \(",
    "ceiling-loses-session": rf"^\d of \d+ requests to {UNSIGNED} were refused\. .* mcp 1[.0-9]+, one refused call",
    "ceiling-proxy-connections": rf"^{SIGNED} is good for 6 workers, .* at most 5 connections",
    "ceiling-client-pool": rf"^{SIGNED} accepted 100 at a time\.",
    "ceiling-open-files": r"^Up to 16 at a time .*\. This process may open 82 files, which is enough for 6;",
    "ceiling-server-failing": r"^Several times in a row .* \(HTTP 503\)\. Measuring stopped after \d requests",
    "ceiling-leg-lost": rf"^Measuring {SIGNED} ended early: leg 1 \(tcp://10\.0\.0\.7:40123\): its worker is gone\. ",
    "ceiling-calls-fail": rf"^\d+ of 19 calls to {SIGNED} failed, most of them with HTTP 401\.",
}


@pytest.mark.parametrize("slug", [pytest.param(slug, marks=pytest.mark.provokes(slug), id=slug) for slug in CEILINGS])
def test_a_check_about_a_ceiling_fires_on_what_it_is_about(slug: str, yard: Yard) -> None:
    if slug == "ceiling-open-files" and sys.platform == "win32":
        pytest.skip("Windows has no limit on open files to lower")
    report = CEILINGS[slug](yard)
    [finding] = [one for one in report.findings if one.check == slug]
    check = yard.catalogue.checks[slug]
    assert (finding.severity, finding.cause) == (check.severity, check.cause)
    assert re.search(SAYS[slug], finding.text)
    for text in (finding.text, finding.remedy, finding.evidence):
        assert text
        assert not re.search(r"[{}]|(?<!=)None\b|unknown", text)


@pytest.fixture(scope="module")
def well(yard: Yard) -> tuple[Report, ...]:
    """Ceilings with which nothing is wrong, signed and unsigned."""
    return (
        yard.measure("aws-mcp", "default", free=True, required_workers=3),
        yard.measure("aws-knowledge", free=True, required_workers=3),
    )


@pytest.mark.parametrize("slug", [pytest.param(slug, marks=pytest.mark.silent(slug), id=slug) for slug in CEILINGS])
def test_a_check_about_a_ceiling_is_silent_where_nothing_is_wrong(slug: str, well: tuple[Report, ...]) -> None:
    assert [(report.exit_code, len(report.ceilings)) for report in well] == [(0, 1)] * 2
    assert slug not in {finding.check for report in well for finding in report.findings}


def test_calls_that_fail_are_not_told_twice_where_the_server_failed(yard: Yard) -> None:
    report = calls_denied(yard)
    [found] = report.ceilings
    again = conclude(replace(report, ceilings=(replace(found, stopped=Stop.FAILURE),)), yard.catalogue)
    assert {"ceiling-server-failing", "ceiling-calls-fail"} & {one.check for one in again.findings} == {
        "ceiling-server-failing"
    }


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"about": "configuration"}, False),
        ({"about": "weather"}, False),
        ({"stage": "open"}, False),
        ({"on": "passed"}, False),
        ({"when": [{"status": [429]}]}, False),
        ({"when": [{"status": [429], "fact": {"refused": {"above": 0}}}]}, False),
        ({"when": []}, False),
    ],
)
def test_the_schema_takes_a_check_about_a_ceiling_by_facts_and_without_a_stage(
    changes: dict[str, Any], valid: bool
) -> None:
    schema = json.loads((ROOT / "checks" / "schema.json").read_text(encoding="utf-8"))
    table = tomllib.loads((ROOT / "checks" / "capacity.toml").read_text(encoding="utf-8"))["ceiling-too-low"]
    validator = jsonschema.Draft202012Validator({**schema, "$ref": "#/$defs/check"})
    assert validator.is_valid({**table, **changes}) is valid


NOT_TAKEN = {
    "other-id": "the answer has the id 4711, the request had 0",
    "id-null-in-words": 'the answer has the id "null", the request had 0',
    "id-empty": 'the answer has the id "", the request had 0',
    "id-null": "the answer has the id null, the request had 0",
    "id-with-fraction": "the answer has the id 0.0, the request had 0",
    "byte-order-mark": "a byte order mark stands before the JSON",
    "trailing-text": "text follows the JSON document",
    "two-documents": "another one follows the JSON document",
    "batch": "it is a batch (a JSON array)",
    "utf-16": "the JSON is written in UTF-16, not in UTF-8",
    "content-type-html": "its content type is text/html; charset=utf-8;",
    "content-type-text": "its content type is text/plain;",
    "content-type-missing": "it has no content type;",
    "events-of-another-name": "the event with the answer is called 'result'",
    "error-without-code": "the JSON-RPC error has no code that is a whole number",
    "error-code-in-words": "the JSON-RPC error has no code that is a whole number",
}
"""Answers of stage open for which the real client waits for ever, and what is said of each."""

VARIANTS: dict[str, tuple[str, Callable[[Scene], None]]] = {
    "http/redirect-same-origin": ("http-redirected", as_it_is),
    "http/wrong-host-in-json": ("http-wrong-host", unsigned),
    "auth/wants-dpop": ("auth-wants-bearer", unsigned),
    "http/json": ("http-not-mcp", as_it_is),
    "http/unavailable": ("http-server-error", as_it_is),
    "http/bad-gateway": ("http-server-error", as_it_is),
    "http/forbidden-html": ("http-not-mcp", as_it_is),
    "http/endless": ("http-timeout", soon),
    "http/endless-sse": ("http-timeout", soon),
    "http/escapes": ("auth-bad-credentials", as_it_is),
    "auth/bad-signature": ("auth-bad-signature", as_it_is),
    "open/rate-limited-after-initialize": ("rate-limited", as_it_is),
    "list/denied": ("auth-access-denied", as_it_is),
    "open/session-lost-in-200": ("http-session-lost", as_it_is),
    "open/session-terminated": ("http-session-lost", as_it_is),
    "open/session-id-missing-404": ("open-session-id-missing", as_it_is),
    "open/latest-revision-only": ("open-unsupported-protocol", as_it_is),
    "call/session-expired": ("http-session-lost", calling),
    "call/accepted-only": ("open-client-hangs", soon_and_calling),
    "call/tool-denied": ("call-access-denied", calling),
    "call/unprefixed-tool": ("call-unknown-tool", calling_without_prefix),
    **{f"open/{name}": ("open-client-hangs", soon) for name in NOT_TAKEN},
    **{f"open/{name}": ("http-not-mcp", as_it_is) for name in ("accepted-only", "no-content", "empty")},
    "open/events-without-answer": ("http-stream-cut", as_it_is),
    "open/error-in-words": ("open-invalid-answer", as_it_is),
    **network_scenes.VARIANTS,
}
"""Further faults of the lab, and the check that explains each."""


@pytest.mark.parametrize("fault", VARIANTS)
def test_a_further_fault_is_explained_by_one_check(fault: str, scene: Scene) -> None:
    slug, arrange = VARIANTS[fault]
    scene.url = FAULTS[fault].url()
    arrange(scene)
    [result] = scene.run().results
    assert [slug] == [finding.check for finding in result.findings if finding.severity in WEIGHTY]


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_what_the_client_waits_for_in_vain_is_named_with_what_was_seen(name: str, scene: Scene) -> None:
    scene.url = FAULTS[f"open/{name}"].url()
    soon(scene)
    [finding] = findings_of(scene.run())
    assert f": {NOT_TAKEN[name]}" in finding.text


def test_a_tool_called_without_its_prefix_is_named_with_the_one_that_was_meant(scene: Scene) -> None:
    scene.url = FAULTS["call/unprefixed-tool"].url()
    calling_without_prefix(scene)
    [finding] = [one for one in findings_of(scene.run()) if one.severity in WEIGHTY]
    assert finding.remedy == "You may mean --tool aws___search_documentation."


NOT_ODD = {"healthy/signed", "healthy/signed-only", "healthy/bearer", "healthy/resources-only"}


@pytest.mark.parametrize("fault", sorted(HEALTHY - NOT_ODD))
def test_odd_answers_that_clients_take_give_no_finding_at_all(fault: str, scene: Scene) -> None:
    scene.url, scene.call = FAULTS[fault].url(), ECHO
    unsigned(scene)
    [result] = scene.run().results
    assert (result.works, result.stage.value, result.findings) == (True, "call", ())


@pytest.mark.parametrize(
    ("target", "credential", "form"),
    [("eks-mcp", "default", "SSE"), ("agentcore-gateway", "default", "JSON"), ("healthy/none", "none", "JSON")],
)
def test_a_refused_get_and_a_stream_in_answer_to_it_are_both_healthy(
    target: str, credential: str, form: str, scene: Scene
) -> None:
    """Servers of AWS answer GET and DELETE with 405; others open a stream. Neither is worth a word."""
    name = {"eks-mcp": "eks-mcp/us-east-1"}.get(target, target)
    scene.url = FAULTS[target].url() if target in FAULTS else scene.lab.endpoints[name]
    scene.services, scene.credentials = (), (credential,)
    before = len(scene.lab.requests)
    [result] = scene.run().results
    sent = {(one.method, one.status) for one in scene.lab.requests[before:] if one.method != "POST"}
    assert ("GET", 200 if form == "SSE" else 405) in sent
    assert (result.works, result.findings) == (True, ())
    [opened] = [one for one in result.stages if one.stage.value == "open"]
    assert opened.facts["answers_as"] == form


def test_a_healthy_server_gives_no_finding_when_it_is_asked_for_its_revisions(scene: Scene) -> None:
    scene.url = FAULTS["healthy/none"].url()
    asking_for_revisions(scene)
    before = len(scene.lab.requests)
    [result] = scene.run().results
    assert (result.findings, [one.check for one in result.notes]) == ((), ["open-not-latest-revision"])
    [opened] = [one for one in result.stages if one.stage.value == "open"]
    assert opened.facts["revisions"] == ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
    assert opened.facts["revisions_refused"] == ("2026-07-28",)
    seen = [one.rpc_method for one in scene.lab.requests[before:] if one.method == "POST"]
    assert seen.count("server/discover") == 1
    assert seen.count("initialize") == 6  # our own, the client's, and one for each revision


def test_no_revision_is_asked_for_by_default(scene: Scene) -> None:
    scene.url = FAULTS["healthy/none"].url()
    unsigned(scene)
    before = len(scene.lab.requests)
    scene.run()
    seen = [one.rpc_method for one in scene.lab.requests[before:] if one.method == "POST"]
    assert (seen.count("initialize"), seen.count("server/discover")) == (2, 0)


def test_a_wrong_service_that_aws_does_not_name_is_found_when_another_service_works(scene: Scene) -> None:
    scene.url = FAULTS["auth/ambiguous-signature"].url()
    scene.services = ("aws-mcp", "other-service")
    wrong, right = scene.run().results
    assert right.works is True
    assert [finding.check for finding in wrong.findings] == ["auth-wrong-service"]
    assert "accepts only other-service" in wrong.findings[0].text


def test_a_proxy_password_is_not_shown(scene: Scene) -> None:
    scene.url = AWS_MCP
    dead_proxy(scene)
    report = scene.run()
    assert [finding.check for finding in findings_of(report)] == ["tcp-proxy"]
    assert "hunter2secret" not in repr(report)


def test_the_skew_of_the_clock_is_told_in_seconds_and_direction(scene: Scene) -> None:
    scene.url = FAULTS["auth/clock-skew"].url()
    [finding] = findings_of(scene.run())
    seconds = re.search(r"(\d+) s behind", finding.text)
    assert seconds is not None
    assert 898 <= int(seconds[1]) <= 902


def test_a_region_that_only_aws_region_names_is_explained(scene: Scene) -> None:
    no_region(scene)
    [finding] = findings_of(scene.run())
    assert "AWS_REGION is set (eu-west-3), but boto3 does not read it" in finding.text
