"""`mcpdoctor targets`: what is known of the MCP servers of AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import completing, options

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.endpoints import Endpoint


@click.command(context_settings=options.CONTEXT, short_help="List what is known of the MCP servers of AWS.")
@click.argument(
    "names",
    nargs=-1,
    metavar="[NAME|URL]...",
    shell_complete=completing.known_targets,
)
@options.form("Format of the list.")
@options.checks
@options.refusing
def targets(*, names: tuple[str, ...], form: str, checks_dir: Path | None) -> None:
    """List the MCP servers of AWS, or tell what is known of one: URL, regions, service, IAM actions, quotas, sources.

    Nothing is sent. Facts age: each has the date at which it was true.

    \b
    Examples:
      mcpdoctor targets
      mcpdoctor targets ecs-mcp
      mcpdoctor targets https://connect.aidevops.us-east-1.api.aws/mcp
      mcpdoctor targets --format json

    Exit codes: 0 told, 2 an unknown target, or a host that is no MCP server.
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.cli.showing import columns, in_color
    from mcpdoctor.render.targets import document, listing, page

    catalogue = load(checks_dir, stems=())
    found = list(dict.fromkeys(_named(name, catalogue).name for name in names))
    if form == "json":
        chosen = [catalogue.endpoints[name] for name in found or catalogue.endpoints]
        click.echo(document(chosen, () if found else catalogue.elsewhere.values()))
        return
    color, width = in_color(), click.get_current_context().terminal_width or columns()
    if not found:
        click.echo(listing(catalogue, color=color, width=width), nl=False)
    else:
        drawn = [page(catalogue.endpoints[name], color=color, width=width) for name in found]
        click.echo("\n".join(drawn), nl=False)


def _named(name: str, catalogue: Catalogue) -> Endpoint:
    """The target of a name, or that of a URL.

    Raises:
        Unusable: there is none.
    """
    from mcpdoctor.matrix import unknown_target
    from mcpdoctor.model import Unusable

    if name in catalogue.endpoints:
        return catalogue.endpoints[name]
    match = catalogue.owner(name)
    if match is not None:
        return match.endpoint
    other = catalogue.not_mcp(name)
    if other is not None:
        raise Unusable(f"{other.host} is {other.title}, and no MCP server. {catalogue.instead(other, name)}")
    raise Unusable(unknown_target(name, list(catalogue.endpoints)))
