"""`mcpdoctor completion`: the script that completes commands in a shell."""

from __future__ import annotations

import click

from mcpdoctor.cli import completing, options


@click.command(context_settings=options.CONTEXT, short_help="Print the script that completes mcpdoctor in a shell.")
@click.argument("shell", type=click.Choice(completing.SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes mcpdoctor in SHELL: commands, options, targets, regions, profiles, checks.

    A shell reads it once at its start. It completes names out of local files; nothing is sent, and no key is read.

    \b
    Install it:
      bash   at the end of ~/.bashrc: eval "$(mcpdoctor completion bash)"
      zsh    in ~/.zshrc, below compinit: eval "$(mcpdoctor completion zsh)"
      fish   mcpdoctor completion fish > ~/.config/fish/completions/mcpdoctor.fish

    \b
    Examples:
      mcpdoctor completion bash
      mcpdoctor completion zsh
      mcpdoctor completion fish

    Exit codes: 0 printed, 2 no such shell.
    """
    click.echo(completing.script(click.get_current_context().find_root().command, shell), nl=False)
