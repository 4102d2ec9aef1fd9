"""The page of all commands, made from their declarations; `docs/commands.md` holds it.

`python -m mcpdoctor.cli.reference` prints that file.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from mcpdoctor.cli import cli

_INTRO = """# Commands

<!-- Made from mcpdoctor/cli: make docs. Do not edit. -->

`mcpdoctor COMMAND --help` prints the same. Standard output carries the report and nothing else; progress goes to
standard error. [Exit codes](reports.md#exit-codes) are the same for all commands where nothing else is said.
"""
_EXAMPLE = re.compile(r"\s{2,}(?P<command>.*?\bmcpdoctor\b.*?)(?:\s{2,}(?P<what>\S.*))?")


def reference(group: click.Group = cli) -> str:
    """The page, as Markdown."""
    overview = "\n".join(f"- [`mcpdoctor {name}`](#mcpdoctor-{name}): {_first(one)}" for name, one in _commands(group))
    return "\n".join([_INTRO, overview, *(f"\n{_section(name, one)}" for name, one in _commands(group))]) + "\n"


def _commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    return ((name, one) for name, one in group.commands.items() if not one.hidden)


def _first(command: click.Command) -> str:
    return _joined(_paragraphs(command)[0])


def _paragraphs(command: click.Command) -> list[str]:
    return inspect.cleandoc(command.help or "").split("\n\n")


def _joined(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, parent=click.Context(cli, info_name="mcpdoctor"))
    usage = " ".join(["mcpdoctor", name, *command.collect_usage_pieces(context)])
    parts = [f"## mcpdoctor {name}", f"`{usage}`"]
    for paragraph in _paragraphs(command):
        if paragraph.startswith("\b\nExample"):
            parts.append("```console\n" + "\n".join(_examples(paragraph)) + "\n```")
        else:
            parts.append(_joined(paragraph.replace("\b", "")))
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    parts.append("Options:\n\n" + "\n".join(_option(one) for one in options))
    return "\n\n".join(parts)


def _examples(paragraph: str) -> Iterator[str]:
    for line in paragraph.splitlines()[2:]:
        found = _EXAMPLE.fullmatch(line)
        assert found, line  # noqa: S101  # a help text of ours
        yield f"$ {found['command']}" + (f"  # {found['what']}" if found["what"] else "")


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag or option.count else f" `{_value(option)}`"
    facts = [f"default `{option.default}`"] if option.show_default and option.default not in (None, ()) else []
    facts += ["repeatable"] if option.multiple and "Repeatable" not in (option.help or "") else []
    facts += [f"variable `{option.envvar}`"] if option.envvar else []
    text = _joined(option.help or "")
    return f"- {names}{value}: {text}" + (f" ({', '.join(facts)})" if facts else "")


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    kind: Any = option.type
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else "N"


if __name__ == "__main__":
    sys.stdout.write(reference())
