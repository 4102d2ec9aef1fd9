"""`mcpdoctor explain`: name the cause in a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import completing, options
from mcpdoctor.cli.showing import in_color

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue


@click.command(context_settings=options.CONTEXT, short_help="Name the cause in a traceback or log; show a check.")
@click.argument(
    "what",
    nargs=-1,
    metavar="[FILE|-|CHECK]...",
    shell_complete=completing.judged,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print; json is one object for each file, on a line of its own.",
)
@options.checks
@options.quiet("One line a file: its name and the cause.")
@options.refusing
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
            click.echo(f"{head}{explanation}" + ("\n" if len(names) > 1 else ""), color=in_color())
    if troubles:
        raise options.Refusal(clean(" ".join(troubles), limit=1000))
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
