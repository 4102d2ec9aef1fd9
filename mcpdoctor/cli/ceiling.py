"""`mcpdoctor ceiling`: measure how much an endpoint allows."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import click

from mcpdoctor.cli import completing, options
from mcpdoctor.cli.machines import Machines, measured
from mcpdoctor.cli.searching import consent, notice, search_of, watching
from mcpdoctor.cli.showing import show
from mcpdoctor.cli.trying import hush, network_for, planned, print_plan


def _compared(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read `none,default`."""
    parts = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
    return options.read_credentials(context, parameter, parts)


@click.command(context_settings=options.CONTEXT, short_help="Measure how many parallel sessions an endpoint allows.")
@options.targets
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="REF,REF",
    callback=_compared,
    shell_complete=completing.compared,
    help="Credentials to measure side by side, such as none,default.",
)
@options.measuring
@options.machines
@options.call
@options.sending
@options.network
@options.report
@options.refusing
def ceiling(
    *,
    targets: tuple[str, ...],
    endpoints: tuple[str, ...],
    owned: tuple[str, ...],
    regions: tuple[str, ...],
    services: tuple[str, ...],
    credentials: tuple[str, ...],
    profiles: tuple[str, ...],
    compared: tuple[str, ...],
    most: int | None,
    budget: tuple[int, int, float],
    quick: bool,
    think: float,
    yes: bool,
    scheduler: str | None,
    workers: int | None,
    addresses: tuple[str, ...],
    tool: str | None,
    arguments: str | None,
    checks_dir: Path | None,
    use_lab: bool,
    dry_run: bool,
    timeout: float,
    connect_to: tuple[str, ...],
    ca_bundle: str | None,
    form: str,
    outputs: tuple[tuple[str, Path], ...],
    fail_on: str,
    quiet: bool,
    verbose: int,
) -> None:
    """Measure how many parallel sessions an endpoint allows, what kind of limit it has, and how many workers are safe.

    It opens real sessions with the real client and holds them, sends requests one at a time and together, and reads
    the kind of the limit off what was refused: sessions, requests in flight, or a rate. It says what it is about to
    send and asks first; it keeps to a budget, honours Retry-After, and closes its sessions, after Ctrl-C too.

    \b
    Examples:
      mcpdoctor ceiling aws-mcp
      mcpdoctor ceiling aws-mcp aws-knowledge --compare none,default
      mcpdoctor ceiling aws-mcp --quick --budget 100,5 --yes --format json
      mcpdoctor ceiling https://host.example/mcp --tool find --arguments '{"query": "s3"}' --think 2
      mcpdoctor ceiling --lab aws-mcp
      mcpdoctor ceiling aws-mcp --scheduler tls://10.0.0.1:8786 --yes
      mcpdoctor ceiling aws-mcp --from-address 10.0.0.5 --from-address 10.0.0.6

    Exit codes: 0 measured, 1 a target has no configuration that opens a session, or Ctrl-C, 2 usage.
    """
    import anyio

    from mcpdoctor import measuring
    from mcpdoctor.catalogue import load

    if not (targets or endpoints or owned):
        raise click.UsageError("Name what to measure: a target such as aws-mcp, or a URL.")
    catalogue = load(checks_dir)
    plan = planned(
        catalogue,
        targets=targets,
        endpoints=endpoints,
        owned=owned,
        regions=regions,
        services=services,
        credentials=(*credentials, *compared),
        profiles=profiles,
        tool=tool,
        arguments=arguments,
    )
    search = search_of(most, budget, quick=quick)
    machines = Machines(scheduler=scheduler, workers=workers, addresses=addresses)
    if machines.several:
        from mcpdoctor.ceiling.distributed import require

        require()
    if dry_run:
        print_plan(plan, form)
        if form != "json":
            click.echo(notice(plan, search, best=False, machines=str(machines)))
        return
    consent(plan, search, asked=not (yes or use_lab), machines=str(machines))
    hush()
    with network_for(plan, connect_to, ca_bundle, use_lab=use_lab) as (network, lab):
        settings = measuring.Settings(
            search=search,
            think_s=think,
            timeout_s=timeout,
            environ=os.environ,
            standby=lab.env if lab else None,
            fail_on=options.severity(fail_on),
        )
        bundle = lab.ca_bundle if lab else ca_bundle
        authority = Path(bundle).read_text(encoding="ascii", errors="ignore") if bundle else None
        with watching(quiet=quiet) as observer:
            report = anyio.run(
                partial(
                    measured,
                    plan,
                    catalogue,
                    network,
                    settings,
                    machines=machines,
                    authority=authority,
                    observer=observer,
                )
            )
    show(report, form, outputs, quiet=quiet, verbose=verbose)
    sys.exit(report.exit_code)
