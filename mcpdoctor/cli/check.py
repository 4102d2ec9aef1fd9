"""`mcpdoctor check`: try configurations."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import completing, options
from mcpdoctor.cli.searching import consent, notice, search_of, watching
from mcpdoctor.cli.showing import show
from mcpdoctor.cli.suites import Wishes, suite_for
from mcpdoctor.cli.trying import hush, network_for, planned, planning_from, print_plan

if TYPE_CHECKING:
    from mcpdoctor import measuring
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.engine import Observer, Settings
    from mcpdoctor.matrix import Plan
    from mcpdoctor.model import Report, Requirement, Severity
    from mcpdoctor.network import Network


@click.command(
    context_settings=options.CONTEXT, short_help="Try configurations; say which work, and why others do not."
)
@options.targets
@click.option(
    "--suite",
    metavar="NAME|FILE",
    shell_complete=completing.suites,
    help="Try the lines of a suite, with its requirements, budget and reports; options go before them.",
)
@click.option(
    "--from",
    "entries",
    multiple=True,
    metavar="FILE[:SERVER]",
    shell_complete=completing.entries,
    help="Try the entries of an MCP client's file as that client would; auto: of every file of yours and this project.",
)
@click.option(
    "--run-commands",
    is_flag=True,
    help="With --from, start the commands of the entries too. A file can name any program: read it first.",
)
@click.option(
    "--start-timeout",
    type=options.Range(0.1, 3600),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds that a command may take to start and answer; a first start may have to download it.",
)
@options.call
@options.header
@click.option(
    "--whoami",
    "with_caller",
    is_flag=True,
    help="Ask AWS STS too who each credential is, and show account and ARN.",
)
@options.sending
@click.option(
    "--deadline",
    type=options.Range(0.1, 86400),
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
    "--revisions",
    is_flag=True,
    help="Ask which revisions of MCP each server speaks too: five more requests, one for each revision.",
)
@options.network
@click.option("--ceiling", "with_ceiling", is_flag=True, help="Measure the ceiling of the best configuration too.")
@click.option(
    "--require-workers",
    "required_workers",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Exit with 1 unless N parallel workers are safe; measures the ceiling.",
)
@options.measuring
@options.report
@options.refusing
def check(
    *,
    targets: tuple[str, ...],
    endpoints: tuple[str, ...],
    owned: tuple[str, ...],
    regions: tuple[str, ...],
    services: tuple[str, ...],
    credentials: tuple[str, ...],
    profiles: tuple[str, ...],
    suite: str | None,
    entries: tuple[str, ...],
    run_commands: bool,
    start_timeout: float,
    tool: str | None,
    arguments: str | None,
    headers: dict[str, str],
    with_caller: bool,
    checks_dir: Path | None,
    use_lab: bool,
    dry_run: bool,
    timeout: float,
    deadline: float,
    jobs: int,
    revisions: bool,
    connect_to: tuple[str, ...],
    ca_bundle: str | None,
    with_ceiling: bool,
    required_workers: int | None,
    most: int | None,
    budget: tuple[int, int, float],
    quick: bool,
    think: float,
    yes: bool,
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    fail_on: str,
    quiet: bool,
    verbose: int,
) -> None:
    """Try configurations stage by stage, and say which work, why the others do not, and what to change.

    Every combination of endpoint, region, service and credential is tried. An axis that is not given is filled from
    the catalogue. Without TARGET: the suite of this project (mcpdoctor.toml, or [tool.mcpdoctor] in pyproject.toml);
    where there is none, the AWS MCP Server signed and unsigned, and the Knowledge server.

    \b
    Examples:
      mcpdoctor check
      mcpdoctor check aws-mcp --profile dev --profile prod --whoami
      mcpdoctor check -e https://aws-mcp.us-east-1.api.aws/mcp -s aws-mcp -s bedrock-agentcore
      mcpdoctor check -e "https://aws-mcp.{region}.api.aws/mcp" -r us-east-1 -r eu-west-1
      mcpdoctor check agentcore-runtime --arn ARN
      mcpdoctor check http://127.0.0.1:3001/mcp --tool echo --arguments '{"message": "hi"}'
      mcpdoctor check --suite preflight --format json -o table:report.txt
      mcpdoctor check aws-mcp --revisions
      mcpdoctor check --suite preflight --format github -o report.xml -o report.html
      mcpdoctor check aws-mcp --require-workers 8 --yes
      mcpdoctor check --from .kiro/settings/mcp.json:aws-mcp
      mcpdoctor check --from auto --run-commands

    Exit codes: 0 every target has a working configuration, 1 one has none, or a requirement is missed, 2 usage or
    unreadable input, 3 nothing to examine.
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.engine import Settings
    from mcpdoctor.matrix import Plan

    catalogue = load(checks_dir)
    wishes = Wishes(timeout=timeout, deadline=deadline, jobs=jobs, budget=budget, fail_on=fail_on, outputs=outputs)
    plan_in = None
    if entries or run_commands:
        given = bool(
            targets or endpoints or owned or headers or regions or services or credentials or profiles or suite
        )
        plan_in = planning_from(
            catalogue,
            entries,
            run_commands=run_commands,
            others=given,
            measured=with_ceiling or required_workers is not None,
            tool=tool,
            arguments=arguments,
            quiet=quiet,
        )
        plan = plan_in(None)
    else:
        named = bool(targets or endpoints or owned)
        wanted = suite_for(suite, catalogue, named=named, use_lab=use_lab, owned=bool(owned), quiet=quiet)
        wishes = wishes.with_suite(wanted, writes=not dry_run)
        plan = planned(
            catalogue,
            targets=targets,
            endpoints=endpoints,
            owned=owned,
            regions=regions,
            services=services,
            credentials=credentials,
            profiles=profiles,
            suite=wanted,
            tool=tool,
            arguments=arguments,
            headers=headers,
        )
    required = wishes.measured()
    searching = None
    if with_ceiling or required_workers is not None or required:
        most_required = required_workers or max(required.values(), default=None)
        searching = search_of(most, wishes.budget, quick=quick, required=most_required)
    elif most is not None or quick or think or options.given("budget"):
        raise click.UsageError("--max, --budget, --quick and --think are for measuring; add --ceiling.")
    asked_for = with_ceiling or required_workers is not None
    measured = plan if asked_for else Plan(cells=tuple(one for one in plan.cells if one.target in required))
    if dry_run:
        print_plan(plan, form, wishes.requirements)
        if searching is not None and form != "json":
            click.echo(notice(measured, searching, best=True))
        return
    if searching is not None:
        consent(measured, searching, asked=not (yes or use_lab), best=True, written=not asked_for, quiet=quiet)
    with network_for(plan, connect_to, ca_bundle, use_lab=use_lab) as (network, lab):
        if plan_in is not None and lab is not None:
            plan = plan_in(lab)  # where the lab is, is known only now
        settings = Settings(
            timeout_s=wishes.timeout,
            start_timeout_s=start_timeout,
            deadline_s=wishes.deadline,
            jobs=wishes.jobs,
            environ=os.environ,
            standby=lab.env if lab else None,
            fail_on=options.severity(wishes.fail_on),
            revisions=revisions,
            whoami=with_caller,
        )
        report = _run(plan, catalogue, network, settings, quiet=quiet)
        report = _held_to(report, wishes.requirements, catalogue, settings.fail_on)
        if searching is not None:
            from mcpdoctor import measuring

            how = measuring.Settings(
                search=searching,
                think_s=think,
                timeout_s=wishes.timeout,
                required_workers=required_workers,
                environ=settings.environ,
                standby=settings.standby,
                fail_on=settings.fail_on,
            )
            whom = None if asked_for else required
            report = _measured(report, plan, catalogue, network, how, targets=whom, quiet=quiet)
    show(report, form, wishes.outputs, quiet=quiet, verbose=verbose)
    sys.exit(report.exit_code)


def _held_to(
    report: Report, requirements: tuple[Requirement, ...], catalogue: Catalogue, fail_on: Severity | None
) -> Report:
    """The report, judged with what is required."""
    if not requirements:
        return report
    from mcpdoctor.verdict import conclude

    return conclude(replace(report, requirements=requirements), catalogue, fail_on)


def _measured(
    report: Report,
    plan: Plan,
    catalogue: Catalogue,
    network: Network,
    how: measuring.Settings,
    *,
    targets: Collection[str] | None,
    quiet: bool,
) -> Report:
    """The report with the ceilings of the best configurations: of these targets, or of all."""
    import anyio

    from mcpdoctor import measuring

    with watching(quiet=quiet) as observer:
        run = partial(measuring.run_best, report, plan, catalogue, network, how, targets=targets, observer=observer)
        return anyio.run(run)


def _run(plan: Plan, catalogue: Catalogue, network: Network, settings: Settings, *, quiet: bool) -> Report:
    import anyio

    from mcpdoctor import engine

    hush()
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
