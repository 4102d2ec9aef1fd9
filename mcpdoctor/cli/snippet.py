"""`mcpdoctor snippet`: print what to paste into a client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import completing, options

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.model import Configuration


def _one(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str | None:
    """Take the only value of an option: of two, one would be left out without a word."""
    if len(values) > 1:
        raise click.BadParameter("a snippet has one; give it once.")
    if values == ("",):
        raise click.BadParameter("it is empty; give a value, or leave the option out.")
    return values[0] if values else None


def _some(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("it is empty; mcpdoctor snippet --help shows how to call it.")
    return value


@click.command(context_settings=options.CONTEXT, short_help="Print a working entry for a client, or a program.")
@click.argument("client", required=False, metavar="CLIENT", callback=_some, shell_complete=completing.clients)
@click.argument(
    "target",
    required=False,
    metavar="[TARGET|URL]",
    callback=_some,
    shell_complete=completing.shared_targets,
)
@click.option("--list", "listed", is_flag=True, help="List the clients, and nothing else.")
@click.option(
    "-r",
    "--region",
    multiple=True,
    metavar="R",
    callback=_one,
    shell_complete=completing.regions,
    help="Region of the endpoint, and to sign for.",
)
@click.option(
    "-s",
    "--service",
    multiple=True,
    metavar="S",
    callback=_one,
    shell_complete=completing.services,
    help="SigV4 service name to sign for, where the catalogue has none.",
)
@click.option(
    "-c",
    "--credential",
    "credentials",
    multiple=True,
    metavar="REF",
    callback=options.read_credentials,
    shell_complete=completing.credentials,
    help="Credential to use: default, env, profile:NAME, or none (unsigned). Never a key.",
)
@click.option(
    "-p",
    "--profile",
    "profiles",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.profiles,
    help="The same as --credential profile:NAME.",
)
@click.option("--name", multiple=True, metavar="NAME", callback=_one, help="What the server is called in the client.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Take the best configuration of a report that check --format json wrote; - is standard input.",
)
@options.checks
@options.quiet("Do not say where it goes.")
@options.refusing
def snippet(
    *,
    client: str | None,
    target: str | None,
    region: str | None,
    service: str | None,
    credentials: tuple[str, ...],
    profiles: tuple[str, ...],
    name: str | None,
    report_file: Path | None,
    checks_dir: Path | None,
    listed: bool,
    quiet: bool,
) -> None:
    """Print what to paste into CLIENT to reach TARGET: an entry of its file, or a Python program.

    TARGET is a name of the catalogue or a URL; without it, the AWS MCP Server. What is printed holds no credential,
    only the name of a profile. Standard output is the entry alone; where it goes is told on standard error.

    \b
    Examples:
      mcpdoctor snippet kiro
      mcpdoctor snippet vscode aws-mcp --profile dev --region eu-west-1
      mcpdoctor snippet claude-desktop aws-knowledge
      mcpdoctor snippet strands https://my-host.example/mcp -s bedrock-agentcore -r us-east-1
      mcpdoctor check --format json > report.json; mcpdoctor snippet codex --report report.json
      mcpdoctor snippet --list

    Exit codes: 0 printed, 2 usage, an unknown client, or a report without a working configuration.
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.credentials import PROFILE
    from mcpdoctor.snippets.choosing import server_name
    from mcpdoctor.snippets.making import advice
    from mcpdoctor.snippets.making import snippet as make
    from mcpdoctor.snippets.recipients import recipient

    if listed:
        _list()
        return
    if client is None:
        raise click.UsageError("Name a client; mcpdoctor snippet --list shows them.")
    references = tuple(dict.fromkeys((*credentials, *(f"{PROFILE}{one}" for one in profiles))))
    if len(references) > 1:
        raise click.UsageError("A snippet uses one credential; give --credential or --profile once.")
    who = recipient(client)
    catalogue = load(checks_dir)
    if report_file is not None:
        if region or service or references:
            raise click.UsageError("--report brings region, service and credential; leave out these options.")
        configuration = _reported(report_file, target)
    else:
        credential = references[0] if references else None
        configuration = _known(target, catalogue, region=region, service=service, credential=credential)
    text = make(who, configuration, server_name(name, configuration, catalogue))
    if not quiet and (lines := advice(who, configuration)):
        click.echo("\n".join(lines), err=True)
    click.echo(text, nl=False)


def _known(
    target: str | None, catalogue: Catalogue, *, region: str | None, service: str | None, credential: str | None
) -> Configuration:
    from mcpdoctor.credentials import environment_region
    from mcpdoctor.snippets.choosing import DEFAULT_TARGET, from_catalogue

    return from_catalogue(
        target or DEFAULT_TARGET,
        catalogue,
        region=region,
        service=service,
        credential=credential,
        home_region=lambda: environment_region(os.environ),
    )


def _reported(file: Path, target: str | None) -> Configuration:
    import sys

    from mcpdoctor.render import report_json
    from mcpdoctor.snippets.choosing import from_report

    if str(file) == "-":
        return from_report(report_json.loads(sys.stdin.read(report_json.MAX_FILE), source="standard input"), target)
    return from_report(report_json.load(file), target)


def _list() -> None:
    from tabulate import tabulate

    from mcpdoctor.snippets.libraries import Library
    from mcpdoctor.snippets.recipients import recipients

    rows = [
        (name, one.title, "Python" if isinstance(one, Library) else one.format.value, ", ".join(one.aliases))
        for name, one in recipients().items()
    ]
    click.echo(tabulate(rows, ("client", "title", "form", "also called"), tablefmt="simple", disable_numparse=True))
