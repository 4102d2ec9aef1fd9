"""`mcpdoctor init`: write a first suite file from what the project uses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import options
from mcpdoctor.cli.showing import written

if TYPE_CHECKING:
    from mcpdoctor.proposing import Looked, Proposal

FILE = "mcpdoctor.toml"
PYPROJECT = "pyproject.toml"


@click.command(context_settings=options.CONTEXT, short_help="Write a first mcpdoctor.toml from what the project uses.")
@click.option("--force", is_flag=True, help=f"Write {FILE} anew where there is one.")
@click.option("--pyproject", is_flag=True, help=f"Append [tool.mcpdoctor] to {PYPROJECT} instead.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@options.checks
@options.quiet("Do not tell what was found, nor what was left out.")
@options.refusing
def init(*, force: bool, pyproject: bool, dry_run: bool, checks_dir: Path | None, quiet: bool) -> None:
    """Write a first mcpdoctor.toml: what `mcpdoctor check` tries in this directory, and what must hold.

    It is made of what the project uses: the files of MCP clients in it (.mcp.json, .kiro/settings/mcp.json,
    .vscode/mcp.json, .cursor/mcp.json and others) and the calls in its Python programs that reach an MCP server.
    Nothing is started and nothing is sent. What the project does is written down as it is; whether it works, and what
    is wrong with it, `mcpdoctor check` says then. Keys and tokens are never written.

    \b
    Examples:
      mcpdoctor init
      mcpdoctor init --dry-run
      mcpdoctor init; mcpdoctor check
      mcpdoctor init --pyproject
      mcpdoctor init --force

    Exit codes: 0 written (or printed), 2 there is one already, or it cannot be written.
    """
    from mcpdoctor.catalogue import load
    from mcpdoctor.clients.known import known
    from mcpdoctor.linting import Places
    from mcpdoctor.proposing import appended, look, propose
    from mcpdoctor.proposing import written as drawn

    project = Path.cwd()
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home() raises where there is none
    if project in (home, Path(project.anchor)):
        raise options.Refusal(f"{project} is no project; change to the directory of one first.")
    if not (force or dry_run):
        _refuse_second(pyproject=pyproject)
    catalogue = load(checks_dir, stems=("config",))
    places = Places(home=home, project=project, environ=os.environ, platform=sys.platform)
    looked = look(catalogue, known(), places)
    proposal = propose(looked.subjects, catalogue)
    text = drawn(proposal, project.name, table="tool.mcpdoctor" if pyproject else "")
    name = PYPROJECT if pyproject else FILE
    if pyproject:
        whole = appended(_pyproject(), text, file=PYPROJECT)
        text = text if dry_run else whole
    if not quiet:
        _tell(looked, proposal)
    if dry_run:
        click.echo(text, nl=False)
        return
    if trouble := written(Path(name), text):
        raise options.Refusal(trouble)
    count = len(proposal.lines) or 1
    click.echo(
        f"Wrote {name} with {count} target{'s' if count > 1 else ''}. Read it, then run: mcpdoctor check", err=True
    )


def _refuse_second(*, pyproject: bool) -> None:
    """Refuse where there is a suite already: two of them would make people wonder which one counts."""
    if Path(FILE).exists() or Path(FILE).is_symlink():
        instead = f"take it away before [tool.mcpdoctor] is written to {PYPROJECT}" if pyproject else "--force"
        raise options.Refusal(f"There is a {FILE} already; {instead if pyproject else f'{instead} writes it anew'}.")
    if not pyproject and Path(PYPROJECT).is_file() and _has_suite():
        raise options.Refusal(
            f"{PYPROJECT} has a [tool.mcpdoctor] already, which {FILE} would hide; --force writes {FILE} all the same."
        )


def _has_suite() -> bool:
    """Whether the pyproject.toml holds a suite; one that cannot be read is somebody else's to complain about."""
    from mcpdoctor.catalogue import read_toml
    from mcpdoctor.model import Unusable

    try:
        tool = read_toml(Path(PYPROJECT)).get("tool")
    except Unusable:
        return False
    return isinstance(tool, dict) and "mcpdoctor" in tool


def _pyproject() -> str:
    """The text of the pyproject.toml, with its own line ends."""
    try:
        return Path(PYPROJECT).read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise options.Refusal(f"There is no {PYPROJECT} here; leave out --pyproject.") from error
    except OSError as error:
        raise options.Refusal(f"{PYPROJECT}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise options.Refusal(f"{PYPROJECT}: not UTF-8; save the file in UTF-8.") from error


def _tell(looked: Looked, proposal: Proposal) -> None:
    """Say what was found and where, on standard error."""
    from mcpdoctor.redaction import clean

    def say(words: str) -> None:
        click.echo(clean(words, limit=600), err=True)

    for line in proposal.lines:
        how = [f"in {', '.join(line.regions)}"] if line.regions else []
        how += [f"for {', '.join(line.services)}"] if line.services else []
        how += [f"with {', '.join(line.credentials)}"]
        for use in line.uses:
            say(f"Found: {use}: {line.target} {' '.join(how)}")
    if not proposal.lines:
        say("Nothing here names an endpoint of AWS; the AWS MCP Server is written as an example.")
    for one in proposal.left_out:
        say(f"Left out: {one.use}: {one.why}.")
    for note in looked.notes:
        say(f"Left out: {note}")
