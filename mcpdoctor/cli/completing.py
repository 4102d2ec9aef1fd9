"""Completion in the shell: what may stand at a place of the command line, and the script for bash.

It is asked for at every press of a key, so it reads local files and nothing else, and never fails: where something
cannot be read, there is nothing to offer.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.endpoints import Endpoint

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_MCPDOCTOR_COMPLETE"
"""Set by the script of a shell that asks; click reads it."""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Offer = Callable[[click.Context, str], Iterable[tuple[str, str]]]

_BASH = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        if [[ $kind == plain ]]; then
            COMPREPLY+=("$value")
            if [[ $value == *: ]]; then compopt -o nospace 2>/dev/null; fi
        fi
    done < <(env COMP_LINE="${COMP_LINE:0:$COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o default -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -o default -F %(complete_func)s %(prog_name)s
"""
# A name from a file of the user goes into a shell: one with a blank, a quote or a dollar is not offered.
_HARMLESS = re.compile(r"[\w.@+=,/:{}~-]{1,256}")
_LOCAL = re.compile(r"(http://(?:127\.0\.0\.1|localhost|\[::1\]):\d{1,5})/")


class Bash(BashComplete):
    """bash, which takes a word such as `profile:dev` for three: the line is read instead of its words."""

    source_template = _BASH

    def source(self) -> str:
        """The script; click would start a bash here to learn its version."""
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words before the cursor, and the one under it."""
        line = os.environ.get("COMP_LINE")
        if line is None:
            return super().get_completion_args()
        # With one character more, the word under the cursor is the last, whether it has begun or not.
        *words, begun = split_arg_string(f"{line}x")
        return words[1:], begun[:-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What may stand there, without what bash holds for words of their own."""
        items = super().get_completions(args, incomplete)
        value = incomplete.partition("=")[2] if incomplete.startswith("-") else incomplete
        ours = value[: value.rfind(":") + 1] if ":" in os.environ.get("COMP_WORDBREAKS", "") else ""
        for item in items:
            item.value = str(item.value).removeprefix(ours)
        return [item for item in items if item.value or item.type != "plain"]


def register() -> None:
    """Have click use the script above."""
    add_completion_class(Bash)


def script(command: click.Command, shell: str) -> str:
    """What a shell has to read once: it defines the completion of `mcpdoctor`."""
    from click.shell_completion import get_completion_class

    register()
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  # click knows each of SHELLS
    return kind(command, {}, "mcpdoctor", VARIABLE).source().strip() + "\n"


def offering(offer: Offer, *, or_file: bool = False) -> Complete:
    """Completion from an offer of values, each with its help.

    Args:
        offer: gives them, from the context and what was begun; where it cannot read something, it has nothing to offer.
        or_file: whether a file may stand there too; files are offered where nothing else is.
    """

    @functools.wraps(offer)
    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        try:
            fitting = {value: about for value, about in offer(context, begun) if value.startswith(begun)}
        except (OSError, ValueError, RuntimeError):  # of `Unusable` files, or of a user without a home
            fitting = {}
        # The script of zsh takes a colon for the end of a value that has a help.
        items = [
            CompletionItem(value, help=None if ":" in value else about or None)
            for value, about in fitting.items()
            if _HARMLESS.fullmatch(value)
        ]
        return items or ([CompletionItem(begun, type="file")] if or_file else [])

    return complete


def names(found: Callable[[Catalogue], dict[str, str]], *, checks: bool = False, or_file: bool = False) -> Complete:
    """Completion from names of the catalogue, each with its title.

    Args:
        found: takes them out of the catalogue.
        checks: whether it needs the checks; reading them takes most of the time.
        or_file: as for `offering`.
    """
    return offering(lambda context, _: found(_catalogue(context, checks=checks)).items(), or_file=or_file)


def _catalogue(context: click.Context, *, checks: bool = False) -> Catalogue:
    from mcpdoctor.catalogue import CHECK_FILES, load

    return load(context.params.get("checks_dir"), stems=CHECK_FILES if checks else ())


def _endpoints(context: click.Context) -> Iterator[Endpoint]:
    """The endpoints of the targets that were named before; all, where none was."""
    known = _catalogue(context).endpoints
    # An option that still lacks its value keeps click from giving the words before it to the arguments.
    yield from [known[name] for name in context.args if name in known] or known.values()


def _targets(context: click.Context, begun: str) -> Iterator[tuple[str, str]]:
    if local := _LOCAL.match(begun):
        yield from _faults(local[1])
        return
    for one in _catalogue(context).endpoints.values():
        if one.arn or not one.yours:
            yield one.name, one.title


def _faults(base: str) -> Iterator[tuple[str, str]]:
    """Where `mcpdoctor lab` serves its faults."""
    from mcpdoctor.lab import FAULTS

    for one in FAULTS.values():
        if one.answer is not None and not one.endpoint:
            yield f"{base}{one.path}", one.summary


def _regions(context: click.Context, _: str) -> Iterator[tuple[str, str]]:
    """Those of the target, or where no list of its regions is published, those of every other."""
    own = [region for one in _endpoints(context) for region in one.regions]
    others = (region for one in _catalogue(context).endpoints.values() for region in one.regions)
    yield from ((region, "") for region in own or others)


def _services(context: click.Context, _: str) -> Iterator[tuple[str, str]]:
    for one in _endpoints(context):
        if one.service and "{" not in one.service:
            yield one.service, one.title


def _tools(context: click.Context, _: str) -> Iterator[tuple[str, str]]:
    for one in _endpoints(context):
        yield from ((tool, one.title) for tool in (*one.tools.unsigned, *one.tools.signed))


def _profiles(_: click.Context, __: str) -> Iterator[tuple[str, str]]:
    """Names of the profiles of the AWS files; botocore would take ten times as long to import."""
    from mcpdoctor.linting.profiles import read_profiles

    yield from ((name, "") for name in read_profiles(Path.home(), os.environ))


def _credentials(context: click.Context, begun: str) -> Iterator[tuple[str, str]]:
    yield "default", "what botocore finds"
    yield "env", "keys of the environment"
    yield "none", "unsigned"
    if begun.startswith("bearer:"):
        yield from ((f"bearer:{name}", "") for name in os.environ if name.upper().endswith(("TOKEN", "JWT")))
    else:
        yield "bearer:", ""
    if "profile:".startswith(begun) and begun:
        yield "profile:", ""
    if begun.startswith("profile:") or not begun:
        yield from ((f"profile:{name}", about) for name, about in _profiles(context, begun))


def _compared(context: click.Context, begun: str) -> Iterator[tuple[str, str]]:
    """The last of `none,default`."""
    before, comma, last = begun.rpartition(",")
    yield from ((f"{before}{comma}{value}", "") for value, _ in _credentials(context, last))


def _clients(_: click.Context, __: str) -> Iterator[tuple[str, str]]:
    from mcpdoctor.snippets.recipients import recipients

    yield from ((name, one.title) for name, one in recipients().items())


def _judged(context: click.Context, begun: str) -> Iterator[tuple[str, str]]:
    """Checks and causes; at first, a file is what most people name."""
    if not begun:
        return
    checks = _catalogue(context, checks=True).checks.values()
    yield from ((one.slug, one.title) for one in checks)
    yield from ((one.cause.value, "a cause: every check of it") for one in checks)


def _entries(_: click.Context, begun: str) -> Iterator[tuple[str, str]]:
    if begun:
        yield "auto", "every client file of yours and of this project"


def _nothing(_: click.Context, __: str) -> Iterator[tuple[str, str]]:
    yield from ()


targets = offering(_targets)
known_targets = names(lambda known: {one.name: one.title for one in known.endpoints.values()})
shared_targets = names(lambda known: {one.name: one.title for one in known.endpoints.values() if not one.yours})
suites = names(lambda known: {one.name: one.title for one in known.suites.values()}, or_file=True)
regions = offering(_regions)
services = offering(_services)
tools = offering(_tools)
profiles = offering(_profiles)
credentials = offering(_credentials)
compared = offering(_compared)
clients = offering(_clients)
judged = offering(_judged, or_file=True)
entries = offering(_entries, or_file=True)
files = offering(_nothing, or_file=True)
