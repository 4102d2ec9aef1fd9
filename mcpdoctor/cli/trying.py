"""From what was asked to what is tried: the plan, and the way to the servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.lab import Lab
    from mcpdoctor.matrix import Call, Cell, Plan
    from mcpdoctor.model import Requirement
    from mcpdoctor.network import Network
    from mcpdoctor.suite import Suite


def planned(
    catalogue: Catalogue,
    *,
    targets: tuple[str, ...],
    endpoints: tuple[str, ...],
    regions: tuple[str, ...],
    services: tuple[str, ...],
    credentials: tuple[str, ...],
    profiles: tuple[str, ...],
    owned: tuple[str, ...] = (),
    suite: Suite | None = None,
    tool: str | None = None,
    arguments: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Plan:
    """Expand what was asked into the configurations to try.

    Raises:
        Unusable: where it cannot be tried.
        click.UsageError: where `--tool` and `--arguments` cannot be used.
    """
    from mcpdoctor.credentials import PROFILE, environment_region
    from mcpdoctor.matrix import Axes, expand

    asked = (*targets, *endpoints)
    return expand(
        asked,
        Axes(
            regions=regions,
            services=services,
            credentials=(*credentials, *(f"{PROFILE}{name}" for name in profiles)),
        ),
        catalogue,
        suite=suite,
        call=_call(tool, arguments),
        owned=owned,
        headers=headers,
        # Asking botocore costs a tenth of a second, so only where no region was given in any way.
        home_region=None if regions or _fixed(asked) else environment_region(os.environ),
    )


def planning_from(
    catalogue: Catalogue,
    asked: tuple[str, ...],
    *,
    run_commands: bool,
    others: bool,
    measured: bool,
    tool: str | None,
    arguments: str | None,
    quiet: bool,
) -> Callable[[Lab | None], Plan]:
    """How the entries of client files become a plan.

    Args:
        catalogue: what is known of endpoints.
        asked: `FILE`, `FILE:SERVER` or `auto`.
        run_commands: whether commands are started.
        others: whether something else was asked for that names configurations.
        measured: whether a ceiling was asked for.
        tool: tool to call.
        arguments: its arguments, as JSON.
        quiet: whether to keep silent about files that could not be read.

    Returns:
        Makes the plan, without a lab, or with one that takes the place of AWS; `Unusable` where a file, or a server in
        it, cannot be tried.

    Raises:
        click.UsageError: where the options do not go together.
    """
    if not asked:
        raise click.UsageError("--run-commands is for the entries of a file; add --from FILE.")
    if others:
        raise click.UsageError("--from takes everything from the file; leave out targets, suites and their options.")
    if measured:
        raise click.UsageError("--from measures no ceiling; name the endpoint: mcpdoctor check URL --ceiling.")
    from mcpdoctor import from_files
    from mcpdoctor.clients import known

    call = _call(tool, arguments)
    try:
        home = Path.home()
    except RuntimeError:  # no HOME, and no entry in the list of users
        home = Path(os.devnull)
    machine = from_files.Machine(home=home, project=Path.cwd(), environ=os.environ)

    def plan_in(lab: Lab | None) -> Plan:
        there = from_files.Lab(environ=lab.env, plain=lab.plain) if lab else None
        made = from_files.planned(asked, known(), catalogue, machine, run_commands=run_commands, call=call, lab=there)
        if lab is None and not quiet:  # with a lab, it is the second time
            for note in made.notes:
                click.echo(f"Left out: {note}", err=True)
        if lab is None and not made.plan.cells:
            click.echo("No client file of yours or of this project holds a server; name one: --from FILE.", err=True)
        return made.plan

    return plan_in


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


_ASKED = ("target", "name", "wanted", "file", "line", "column")
"""What is known of a requirement before anything was sent."""


def print_plan(plan: Plan, form: str, requirements: Sequence[Requirement] = ()) -> None:
    """Print what would be tried, and what would be required of it (`--dry-run`)."""
    from mcpdoctor.redaction import clean

    if form == "json":
        import json
        from dataclasses import asdict

        from mcpdoctor.model import SCHEMA_VERSION

        cells = [
            {
                "target": clean(cell.target),
                "configuration": asdict(cell.configuration) | {"endpoint": clean(cell.configuration.endpoint)},
                **({"origin": asdict(cell.origin)} if cell.origin else {}),
                **({"command": _command(cell)} if cell.start else {}),
                **({"skip": cell.skip} if cell.skip else {}),
            }
            for cell in plan.cells
        ]
        asked = [{name: value for name, value in asdict(one).items() if name in _ASKED} for one in requirements]
        required = {"requirements": asked} if asked else {}
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "plan": cells, **required}, indent=2))
        return
    from tabulate import tabulate

    from mcpdoctor.limits import plural
    from mcpdoctor.render.digest import quieted, shown

    rows = [
        (
            shown(cell.target, 2000),
            shown(f"not tried: {cell.skip}" if cell.skip else _command(cell) if cell.start else one.endpoint, 2000),
            shown(one.region or "-"),
            shown(one.service if one.signed and one.service else "-"),
            shown(one.credential),
        )
        for cell in plan.cells
        for one in [cell.configuration]
    ]
    drawn = tabulate(rows, ("target", "endpoint", "region", "service", "credential"), disable_numparse=True)
    click.echo(quieted(drawn))
    for one in requirements:
        wanted = ", ".join(one.wanted) if isinstance(one.wanted, tuple) else one.wanted
        line = shown(f"Required of {one.target}: {one.name} {wanted}", 2000)
        click.echo(quieted(f"{'' if one is not requirements[0] else chr(10)}{line}"))
    click.echo(f"\n{plural(len(rows), 'configuration')}. Nothing was sent.")


def _command(cell: Cell) -> str:
    """The command that would be started, without the secrets of its entry."""
    assert cell.start is not None  # noqa: S101  # asked for before
    return cell.start.shown


@contextmanager
def network_for(
    plan: Plan, connect_to: tuple[str, ...], ca_bundle: str | None, *, use_lab: bool
) -> Iterator[tuple[Network, Lab | None]]:
    """The way to the servers of a plan: the real one, or the lab's."""
    from mcpdoctor import certificates
    from mcpdoctor.network import Network, parse_route, tls_context

    routes = [parse_route(text) for text in connect_to]
    if not use_lab:
        by_name = {(route.host, route.port): route for route in routes}
        tls = any(cell.configuration.endpoint.lower().startswith("https:") for cell in plan.cells)
        context = tls_context(ca_bundle, needed=tls)
        problem = certificates.fatal(os.environ) if tls else None
        yield Network(context=context, routes=by_name, environ=os.environ, ca_problem=problem), None
        return
    from mcpdoctor.lab import Lab

    with Lab() as lab:
        routes = [*(parse_route(text) for text in lab.connect_to), *routes]
        context = tls_context(lab.ca_bundle)
        yield Network(context=context, routes={(one.host, one.port): one for one in routes}, sealed=True), lab


def hush() -> None:
    """Silence the client's libraries: they log what the report tells better, and some versions log credentials."""
    import logging
    import warnings

    logging.disable(logging.CRITICAL)
    if not sys.warnoptions:
        # A filter would not do: authlib and fastmcp, which the proxy imports, set filters of their own.
        warnings.showwarning = lambda *_, **__: None
