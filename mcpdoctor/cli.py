"""The command line: parse, call one function, exit. Nothing is decided here."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from mcpdoctor import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mcpdoctor.catalogue import Catalogue, Suite
    from mcpdoctor.engine import Observer, Settings
    from mcpdoctor.lab import Lab
    from mcpdoctor.matrix import Call, Plan
    from mcpdoctor.model import Report, Severity
    from mcpdoctor.running import Run
    from mcpdoctor.wire import Network

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Refusal(click.ClickException):
    """Input that cannot be used: one sentence, exit code 2."""

    exit_code = 2


def refusing(command: F) -> F:
    """Turn `Unusable` of any layer into a Refusal."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from mcpdoctor.model import Unusable
        from mcpdoctor.redaction import clean

        try:
            return command(*args, **kwargs)
        except Unusable as error:
            raise Refusal(clean(str(error), limit=600)) from error

    return wrapped  # type: ignore[return-value]  # the same signature


def _completing(
    names: Callable[[Catalogue], dict[str, str]],
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Completion in the shell from names of the catalogue, each with its title."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from mcpdoctor.catalogue import load

        return [CompletionItem(name, help=title) for name, title in names(load()).items() if name.startswith(begun)]

    return complete


_complete_targets = _completing(
    lambda known: {one.name: one.title for one in known.endpoints.values() if not one.yours}
)
_complete_suites = _completing(lambda known: {one.name: one.title for one in known.suites.values()})
_complete_checks = _completing(lambda known: {one.slug: one.title for one in known.checks.values()})


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="mcpdoctor")
def cli() -> None:
    """Find out why an MCP client cannot talk to AWS, and which configuration works.

    \b
    Examples:
      mcpdoctor check                     which AWS MCP endpoint works from here, signed and unsigned
      mcpdoctor check aws-mcp -r us-east-1 -r eu-west-1 -c default -c profile:dev
      mcpdoctor check -e https://my-host.example/mcp -s my-service -r us-east-1
      mcpdoctor check --lab               the same against a local stand-in for AWS
      mcpdoctor explain agent.log         name the cause in a traceback or log
      mcpdoctor run python agent.py       run a program and explain its failure

    Exit codes: 0 as wanted, 1 a target has no working configuration, 2 usage or unreadable input,
    3 nothing to examine, 70 mcpdoctor itself failed.

    Shell completion: eval "$(_MCPDOCTOR_COMPLETE=bash_source mcpdoctor)" (or zsh_source, fish_source).
    """


class Range(click.FloatRange):
    """A number in a range; click's own range lets `nan` through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124  # true of nan only
            self.fail("nan is not in the range.", param, ctx)
        return number


CHECKS_OPTION = click.option(
    "--checks",
    "checks_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Add the checks, endpoints and suites of a directory to the built-in ones. Nothing in it is executed.",
)
FAIL_ON_OPTION = click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="Least severity of a finding against the best configuration that makes the exit code 1.",
)
VERBOSE_OPTION = click.option("-v", "--verbose", count=True, help="Show every stage; twice: every exchange too.")


def _formats(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """Read `[FORMAT:]FILE`; the ending of the file names the format where nothing else does."""
    from mcpdoctor.render import FORMATS, SUFFIXES

    found = []
    for value in values:
        form, colon, name = value.partition(":")
        if not (colon and form in FORMATS):
            form, name = SUFFIXES.get(Path(value).suffix.lower(), ""), value
        if not form:
            raise click.BadParameter(f"{value} does not say its format; write FORMAT:FILE with {' or '.join(FORMATS)}.")
        path = Path(name)
        if not name or path.is_dir() or not path.parent.is_dir():
            raise click.BadParameter(f"{name or value} cannot be written: its directory does not exist, or it is one.")
        found.append((form, path))
    return tuple(found)


def _credentials(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    from mcpdoctor.credentials import check_reference
    from mcpdoctor.model import Unusable

    try:
        return tuple(check_reference(value) for value in values)
    except Unusable as error:
        raise click.BadParameter(str(error)) from error


def _fixed(targets: tuple[str, ...]) -> bool:
    """Whether all targets are URLs that leave no region open."""
    return bool(targets) and all("://" in target and "{region}" not in target for target in targets)


def _call(tool: str | None, arguments: str | None) -> Call | None:
    import json

    from mcpdoctor.matrix import Call

    if tool is None:
        if arguments is not None:
            raise click.UsageError("--arguments is for a tool; add --tool NAME.")
        return None
    try:
        given = json.loads(arguments or "{}")
        json.dumps(given, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not valid JSON in UTF-8: {error}.", param_hint="--arguments") from error
    if not isinstance(given, dict):
        raise click.BadParameter('a JSON object is wanted, such as {"query": "s3"}.', param_hint="--arguments")
    return Call(tool=tool, arguments=given)


def _suite(name: str | None, catalogue: Catalogue) -> Suite | None:
    from mcpdoctor.catalogue import load_suite
    from mcpdoctor.model import Unusable

    if name is None:
        return None
    if name in catalogue.suites:
        return catalogue.suites[name]
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return load_suite(path)
    known = ", ".join(sorted(catalogue.suites))
    raise Unusable(f"{name} is neither a suite ({known}) nor a file.")


@cli.command(context_settings=CONTEXT)
@click.argument("targets", nargs=-1, metavar="[TARGET|URL]...", shell_complete=_complete_targets)
@click.option("-e", "--endpoint", "endpoints", multiple=True, metavar="URL", help="URL to try; {region} in it expands.")
@click.option(
    "-r",
    "--region",
    "regions",
    multiple=True,
    metavar="R",
    help="Region to sign for, and of the endpoint where its URL has one.",
)
@click.option("-s", "--service", "services", multiple=True, metavar="S", help="SigV4 service name to sign for.")
@click.option(
    "-c",
    "--credential",
    "credentials",
    multiple=True,
    metavar="REF",
    callback=_credentials,
    help="Credential to use: default, env, profile:NAME, or none (unsigned). Never a key.",
)
@click.option(
    "-p", "--profile", "profiles", multiple=True, metavar="NAME", help="The same as --credential profile:NAME."
)
@click.option("--suite", metavar="NAME|FILE", shell_complete=_complete_suites, help="Try the lines of a suite.")
@click.option("--tool", metavar="NAME", help="Call this tool in stage call.")
@click.option("--arguments", metavar="JSON", help="Arguments of that tool, a JSON object.")
@click.option(
    "--lab", "use_lab", is_flag=True, help="Try against a local stand-in for AWS; nothing leaves this machine."
)
@click.option("--dry-run", is_flag=True, help="Print what would be tried, and send nothing.")
@click.option(
    "--timeout",
    type=Range(0.1, 3600),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Seconds that one stage may take.",
)
@click.option(
    "--deadline",
    type=Range(0.1, 86400),
    default=300.0,
    show_default=True,
    metavar="S",
    help="Seconds that the whole run may take.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=32,
    show_default=True,
    metavar="N",
    help="Configurations at work at a time.",
)
@click.option(
    "--connect-to",
    "connect_to",
    multiple=True,
    metavar="HOST:PORT:HOST2:PORT2",
    help="Connect to another address; name, TLS and signature stay.",
)
@click.option(
    "--ca-bundle", type=click.Path(), metavar="FILE", help="PEM certificates to trust besides the usual ones."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format of the report on standard output.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="[FORMAT:]FILE",
    callback=_formats,
    help="Write the report to a file too.",
)
@FAIL_ON_OPTION
@CHECKS_OPTION
@click.option("-q", "--quiet", is_flag=True, help="No progress, and one line a target in place of the table.")
@VERBOSE_OPTION
@refusing
def check(
    *,
    targets: tuple[str, ...],
    endpoints: tuple[str, ...],
    regions: tuple[str, ...],
    services: tuple[str, ...],
    credentials: tuple[str, ...],
    profiles: tuple[str, ...],
    suite: str | None,
    tool: str | None,
    arguments: str | None,
    checks_dir: Path | None,
    use_lab: bool,
    dry_run: bool,
    timeout: float,
    deadline: float,
    jobs: int,
    connect_to: tuple[str, ...],
    ca_bundle: str | None,
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    fail_on: str,
    quiet: bool,
    verbose: int,
) -> None:
    """Try configurations stage by stage, and say which work, why the others do not, and what to change.

    Every combination of endpoint, region, service and credential is tried. An axis that is not given is filled from
    the catalogue. Without TARGET: the AWS MCP Server signed and unsigned, and the Knowledge server.

    \b
    Examples:
      mcpdoctor check
      mcpdoctor check aws-mcp --profile dev --profile prod
      mcpdoctor check -e https://aws-mcp.us-east-1.api.aws/mcp -s aws-mcp -s bedrock-agentcore
      mcpdoctor check -e "https://aws-mcp.{region}.api.aws/mcp" -r us-east-1 -r eu-west-1
      mcpdoctor check http://127.0.0.1:3001/mcp --tool echo --arguments '{"message": "hi"}'
      mcpdoctor check --suite preflight --format json -o table:report.txt
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.credentials import PROFILE, environment_region
    from mcpdoctor.engine import Settings
    from mcpdoctor.matrix import Axes, expand

    catalogue = load(checks_dir)
    asked = (*targets, *endpoints)
    plan = expand(
        asked,
        Axes(
            regions=regions,
            services=services,
            credentials=(*credentials, *(f"{PROFILE}{name}" for name in profiles)),
        ),
        catalogue,
        suite=_suite(suite or ("lab" if use_lab and not asked else None), catalogue),
        call=_call(tool, arguments),
        # Asking botocore costs a tenth of a second, so only where no region was given in any way.
        home_region=None if regions or _fixed(asked) else environment_region(os.environ),
    )
    if dry_run:
        _print_plan(plan, form)
        return
    tls = any(cell.configuration.endpoint.lower().startswith("https:") for cell in plan.cells)
    with _network(connect_to, ca_bundle, use_lab=use_lab, tls=tls) as (network, lab):
        settings = Settings(
            timeout_s=timeout,
            deadline_s=deadline,
            jobs=jobs,
            environ=os.environ,
            standby=lab.env if lab else None,
            fail_on=_severity(fail_on),
        )
        report = _run(plan, catalogue, network, settings, quiet=quiet)
    _show(report, form, outputs, quiet=quiet, verbose=verbose)
    sys.exit(report.exit_code)


@contextmanager
def _network(
    connect_to: tuple[str, ...], ca_bundle: str | None, *, use_lab: bool, tls: bool
) -> Iterator[tuple[Network, Lab | None]]:
    """The way to the servers: the real one, or the lab's."""
    from mcpdoctor.wire import Network, parse_route, tls_context

    routes = [parse_route(text) for text in connect_to]
    if not use_lab:
        by_name = {(route.host, route.port): route for route in routes}
        context = tls_context(ca_bundle, needed=tls)
        yield Network(context=context, routes=by_name, environ=os.environ), None
        return
    from mcpdoctor.lab import Lab

    with Lab() as lab:
        routes = [*(parse_route(text) for text in lab.connect_to), *routes]
        context = tls_context(lab.ca_bundle)
        yield Network(context=context, routes={(one.host, one.port): one for one in routes}, sealed=True), lab


def _run(plan: Plan, catalogue: Catalogue, network: Network, settings: Settings, *, quiet: bool) -> Report:
    import logging
    import warnings

    import anyio

    from mcpdoctor import engine

    # The client's libraries log what the report tells better, and some of their versions log credentials.
    logging.disable(logging.CRITICAL)
    if not sys.warnoptions:
        # A filter would not do: authlib and fastmcp, which the proxy imports, set filters of their own.
        warnings.showwarning = lambda *_, **__: None
    with _progress(plan, quiet=quiet) as observer:
        return anyio.run(engine.run, plan, catalogue, network, settings, observer)


@contextmanager
def _progress(plan: Plan, *, quiet: bool) -> Iterator[Observer | None]:
    """Live progress on a terminal; nothing in CI, in a pipe, or when asked to be quiet."""
    if quiet or os.environ.get("CI") or not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    from mcpdoctor.render.progress import Progress

    with Progress(len(plan.cells)) as progress:
        yield progress


def _show(report: Report, form: str, outputs: tuple[tuple[str, Path], ...], *, quiet: bool, verbose: int) -> None:
    from mcpdoctor.render import draw

    color = _color()
    width = click.get_current_context().terminal_width or _columns()
    troubles = []
    for file_form, path in outputs:
        try:
            path.write_text(draw(report, file_form, verbose=verbose), encoding="utf-8")
        except OSError as error:
            troubles.append(f"{path}: cannot be written: {error.strerror or error}.")
    try:
        click.echo(draw(report, form, color=color, width=width, verbose=verbose, quiet=quiet), nl=False, color=color)
    except BrokenPipeError:
        # The reader of a pipe has gone (| head); the exit code still tells. Python would complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        troubles.append(f"Standard output cannot be written: {error.strerror or error}.")
    if troubles:
        raise Refusal(" ".join(troubles))


def _color(stream: TextIO | None = None) -> bool:
    """Colour on a terminal; NO_COLOR and FORCE_COLOR overrule. The stream is standard output unless it is given."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream is not None and stream.isatty())


def _columns() -> int:
    import shutil

    return min(shutil.get_terminal_size((120, 24)).columns, 120)


def _severity(name: str) -> Severity | None:
    from mcpdoctor.model import Severity

    return None if name == "never" else Severity(name)


def _print_plan(plan: Plan, form: str) -> None:
    if form == "json":
        import json
        from dataclasses import asdict

        from mcpdoctor.model import SCHEMA_VERSION

        cells = [{"target": cell.target, "configuration": asdict(cell.configuration)} for cell in plan.cells]
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "plan": cells}, indent=2))
        return
    from tabulate import tabulate

    rows = [
        (
            cell.target,
            one.endpoint,
            one.region or "-",
            one.service if one.signed and one.service else "-",
            one.credential,
        )
        for cell in plan.cells
        for one in [cell.configuration]
    ]
    click.echo(tabulate(rows, ("target", "endpoint", "region", "service", "credential"), disable_numparse=True))
    click.echo(f"\n{len(rows)} configurations. Nothing was sent.")


@cli.command(context_settings=CONTEXT)
@click.argument("what", nargs=-1, metavar="[FILE|-|CHECK]...", shell_complete=_complete_checks)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print; json is one object for each file, on a line of its own.",
)
@CHECKS_OPTION
@click.option("-q", "--quiet", is_flag=True, help="One line a file: its name and the cause.")
@refusing
def explain(what: tuple[str, ...], form: str, checks_dir: Path | None, *, quiet: bool) -> None:
    """Name the cause in a traceback, a log or any other output; or show the page of a check.

    Each FILE is read on its own; - is standard input, as is a pipe where nothing is named. A word that is a check or
    a cause shows what mcpdoctor knows about it; write ./WORD for a file of that name.

    \b
    Examples:
      mcpdoctor explain agent.log
      python agent.py 2>&1 | mcpdoctor explain
      mcpdoctor explain --format json logs/a.txt logs/b.txt
      mcpdoctor explain auth-wrong-service
      mcpdoctor explain dns-failure

    Exit codes: 0 every cause could be named, 1 one could not, 2 unreadable input.
    """
    from mcpdoctor.catalogue import load

    if not what and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("Name a file, a check, or - to paste a text.")
    catalogue = load(checks_dir)
    names = what or ("-",)
    pages = [page for name in names for page in _pages(name, catalogue)]
    if pages:
        click.echo("\n".join(pages), nl=False)
    files = [name for name in names if not _is_check(name, catalogue)]
    if files:
        sys.exit(_explain_files(files, catalogue, form, quiet=quiet))


def _is_check(name: str, catalogue: Catalogue) -> bool:
    return name in catalogue.checks or any(one.cause.value == name for one in catalogue.checks.values())


def _pages(name: str, catalogue: Catalogue) -> list[str]:
    """The pages of a check, or of every check of a cause; none for a file."""
    from mcpdoctor.render.pages import page

    if name in catalogue.checks:
        return [page(catalogue.checks[name])]
    return [page(one) for one in catalogue.checks.values() if one.cause.value == name]


def _explain_files(names: list[str], catalogue: Catalogue, form: str, *, quiet: bool) -> int:
    """Explain each file; what is wrong with one does not keep the others from being explained."""
    import json

    from mcpdoctor.explanation import explain as explain_text
    from mcpdoctor.model import Unusable
    from mcpdoctor.redaction import clean

    troubles, unnamed = [], False
    for name in names:
        try:
            explanation = explain_text(_text_of(name, catalogue), catalogue=catalogue)
        except Unusable as error:
            troubles.append(str(error))
            continue
        unnamed = unnamed or not explanation.explained
        shown = "standard input" if name == "-" else clean(name, limit=400)
        if form == "json":
            file = {"file": name} if len(names) > 1 else {}
            click.echo(json.dumps({**file, **explanation.as_dict()}))
        elif quiet:
            click.echo(f"{shown}: {explanation.cause.value}")
        else:
            head = f"{click.style(shown, bold=True)}\n" if len(names) > 1 else ""
            click.echo(f"{head}{explanation}" + ("\n" if len(names) > 1 else ""), color=_color())
    if troubles:
        raise Refusal(clean(" ".join(troubles), limit=1000))
    return int(unnamed)


def _text_of(name: str, catalogue: Catalogue) -> str:
    """The text of a file or of standard input."""
    from difflib import get_close_matches

    from mcpdoctor.model import Unusable
    from mcpdoctor.texts import MAX_BYTES
    from mcpdoctor.texts import load as load_text

    if name == "-" and sys.stdin is not None and sys.stdin.isatty():
        click.echo("Paste the text, then press Ctrl-D (Ctrl-Z and Enter on Windows).", err=True)
    if name != "-" and not Path(name).exists():
        known = [*catalogue.checks, *(one.cause.value for one in catalogue.checks.values())]
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "a file, - for standard input, or the slug of a check is wanted."
        raise Unusable(f"{name} is neither a file nor a check nor a cause; {hint}")
    text, left_out = load_text(name)
    if left_out:
        size = f"{left_out / 2**20:.0f} MiB at the beginning were left out"
        click.echo(f"{name} is large: {size}, the last {MAX_BYTES // 2**20} MiB were read.", err=True)
    return text


def _late_formats(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    """The same as `_formats`, without an import where there is nothing to read: a program is waiting to start."""
    return _formats(context, parameter, values) if values else ()


@cli.command(
    context_settings={**CONTEXT, "allow_interspersed_args": False},  # options behind COMMAND are its own
    options_metavar="[OPTIONS] [--]",
)
@click.argument("command", nargs=-1, required=True, metavar="COMMAND...", type=click.UNPROCESSED)
@click.option("--always", is_flag=True, help="Report after a success too.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="[FORMAT:]FILE",
    callback=_late_formats,
    help="Write a report to a file, whether the program fails or not.",
)
@CHECKS_OPTION
@click.option("-q", "--quiet", is_flag=True, help="No table of the exchanges, only the explanation.")
def run(
    command: tuple[str, ...],
    outputs: tuple[tuple[str, Path], ...],
    checks_dir: Path | None,
    *,
    always: bool,
    quiet: bool,
) -> None:
    """Run a program, record its MCP exchanges, and explain its failure.

    Input, output, signals and exit code pass through unchanged. Where the program is Python, every MCP request of it
    and of its child processes is recorded, so that a cause is named even if the program swallows it. The report goes
    to standard error, after a failure only. The program needs nothing installed.

    \b
    Examples:
      mcpdoctor run python agent.py
      mcpdoctor run --always -o report.json -- python -m my_agent --verbose
      mcpdoctor run uvx mcp-proxy-for-aws-cli https://aws-mcp.us-east-1.api.aws/mcp

    The exit code is that of the program; 127 when there is no such command, 126 when it cannot be executed.
    """
    from mcpdoctor import running

    if checks_dir is not None:
        from mcpdoctor.catalogue import load

        refusing(load)(checks_dir)  # now rather than when the program has run

    def report(ended: Run) -> None:
        explain_run(ended, outputs, checks_dir, show=always or ended.failed, quiet=quiet)

    running.execute(command, os.environ, report, always=always or bool(outputs))


def explain_run(
    ended: Run,
    outputs: tuple[tuple[str, Path], ...] = (),
    checks_dir: Path | None = None,
    *,
    show: bool = True,
    quiet: bool = False,
) -> None:
    """Tell standard error what was recorded and what it means, and write the reports that were asked for."""
    from mcpdoctor.catalogue import load
    from mcpdoctor.explanation import explain_recording
    from mcpdoctor.model import Cause
    from mcpdoctor.render import draw
    from mcpdoctor.render.recording import table
    from mcpdoctor.running import say

    catalogue = load(checks_dir)
    recording = ended.recording()
    explanation = explain_recording(recording, catalogue)
    if show:
        color = _color(sys.stderr)
        if ended.directory is None:
            say("Nothing could be recorded, for want of a directory to write to; set TMPDIR.\n")
        drawn = "" if quiet else table(recording, color=color, width=_columns())
        # Where there was nothing to explain, or nothing to explain it from, that has been said by now.
        silent = explanation.cause is Cause.UNEXPLAINED and not (ended.failed and recording.exchanges)
        say("\n" + "\n".join(filter(None, (drawn, "" if silent else str(explanation)))) + "\n")
    for form, path in outputs:
        report = ended.report(recording, catalogue, explanation.findings)
        try:
            path.write_text(draw(report, form), encoding="utf-8")
        except OSError as error:
            say(f"{path}: cannot be written: {error.strerror or error}.\n")


@cli.command(context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False, metavar="REPORT.json")
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Format to draw."
)
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="[FORMAT:]FILE", callback=_formats, help="Write to a file too."
)
@click.option("--as-judged", is_flag=True, help="Keep the findings of the report; do not judge it again.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a report, and nothing else.")
@FAIL_ON_OPTION
@CHECKS_OPTION
@click.option("-q", "--quiet", is_flag=True, help="One line a target in place of the table.")
@VERBOSE_OPTION
@refusing
def render(
    file: Path | None,
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    fail_on: str,
    checks_dir: Path | None,
    *,
    as_judged: bool,
    schema: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Draw a saved report again; its evidence is judged with the checks of today.

    The exit code is that of the report, judged again.

    \b
    Examples:
      mcpdoctor check --format json > report.json; mcpdoctor render report.json
      mcpdoctor render --schema
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.diagnosis import conclude
    from mcpdoctor.render import report_json

    if schema:
        import json

        click.echo(json.dumps(report_json.schema(), indent=2))
        return
    if file is None:
        raise click.UsageError("Name a report, or - for standard input.")
    if str(file) == "-":
        report = report_json.loads(sys.stdin.read(report_json.MAX_FILE), source="standard input")
    else:
        report = report_json.load(file)
    if not as_judged:
        report = conclude(report, load(checks_dir), _severity(fail_on))
    _show(report, form, outputs, quiet=quiet, verbose=verbose)
    sys.exit(report.exit_code)


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    """Read `0.1`, `0.1s` or `100ms`."""
    text, factor = (value[:-2], 0.001) if value.endswith("ms") else (value.removesuffix("s"), 1.0)
    try:
        seconds = float(text) * factor
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise click.BadParameter("seconds from 0 to 60 are wanted, such as 0.1 or 100ms.")
    return seconds


@cli.command(context_settings=CONTEXT)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of plain HTTP; 0 takes a free one.",
)
@click.option(
    "--https-port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port of TLS; 0 takes a free one."
)
@click.option(
    "--mode",
    type=click.Choice(["current", "2026-03"]),
    default="current",
    show_default=True,
    help="Behave as AWS does now, or as it did in March 2026 (aws-mcp refuses unsigned callers).",
)
@click.option(
    "--latency", default="0", metavar="S", callback=_seconds, help="Time added before every answer: 0.1 or 100ms."
)
@click.option(
    "--noise",
    type=Range(0, 1),
    default=0.0,
    show_default=True,
    help="Share of requests answered with a random 429 or 503.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Makes that randomness repeatable.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="sessions:7, in-flight:7, rate:10/s,burst:20, window:60/10s, sliding:60/10s, none.",
)
@click.option(
    "--per",
    type=click.Choice(["identity", "address"]),
    default="identity",
    show_default=True,
    help="What a limit counts by.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not log requests.")
@refusing
def lab(
    *,
    port: int,
    https_port: int,
    mode: str,
    latency: float,
    noise: float,
    seed: int,
    limits: tuple[str, ...],
    per: str,
    quiet: bool,
) -> None:
    """Serve the lab: real local MCP servers that stand in for AWS, with every fault a check knows.

    It prints one JSON line with what a client needs (URLs, ports, certificates, made-up keys), then logs requests to
    standard error until it is stopped. It binds to loopback only and takes only its own made-up keys.

    \b
    Examples:
      mcpdoctor lab --port 8080
      mcpdoctor lab --limit sessions:7 --latency 100ms
    """
    from mcpdoctor.lab import Lab, Options
    from mcpdoctor.model import Unusable

    options = Options(
        mode=mode,
        latency_s=latency,
        noise=noise,
        seed=seed,
        limits=limits,
        per=per,
        port=port,
        https_port=https_port,
    )
    try:
        serving = Lab(options)
        with serving:
            _serve(serving, quiet=quiet)
    except ValueError as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"The lab cannot listen: {error.strerror or error}. Choose another --port.") from error


def _serve(serving: Lab, *, quiet: bool) -> None:
    """Print the JSON line, then log until SIGINT or SIGTERM."""
    import json
    import signal
    import threading

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    click.echo(json.dumps(serving.describe()))
    sys.stdout.flush()
    shown = 0
    while not stopped.wait(0.2):
        seen = serving.requests[shown:]
        shown += len(seen)
        if not quiet:
            for one in seen:
                click.echo(f"{one.method} {one.host}{one.path} {one.rpc_method or '-'} {one.status}", err=True)
