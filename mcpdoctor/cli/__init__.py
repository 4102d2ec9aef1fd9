"""The command line: parse, call one function, exit. Nothing is decided here.

A module for each command; what several share is in `options` (declarations), `trying` (before) and `showing` (after).
"""

from __future__ import annotations

import click

from mcpdoctor import __version__
from mcpdoctor.cli import ceiling, check, completion, diff, explain, init, lab, lint, render, run, snippet, targets
from mcpdoctor.cli.options import CONTEXT


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="mcpdoctor")
def cli() -> None:
    """Find out why an MCP client cannot talk to AWS, and which configuration works.

    \b
    Examples:
      mcpdoctor check                     which AWS MCP endpoint works from here, signed and unsigned
      mcpdoctor check aws-mcp -r us-east-1 -r eu-west-1 -c default -c profile:dev
      mcpdoctor check -e https://my-host.example/mcp -s my-service -r us-east-1
      mcpdoctor check --lab               the same against a local stand-in for AWS
      mcpdoctor init                      write a suite file from what this project uses
      mcpdoctor ceiling aws-mcp           how many parallel workers are safe
      mcpdoctor lint                      validate configuration files of MCP clients, and Python code
      mcpdoctor explain agent.log         name the cause in a traceback or log
      mcpdoctor run python agent.py       run a program and explain its failure
      mcpdoctor snippet cursor            print an entry that works, for the file of a client
      mcpdoctor targets ecs-mcp           what is known of a server: regions, IAM actions, quotas
      mcpdoctor diff old.json new.json    what changed between two saved reports

    Exit codes: 0 as wanted, 1 a target has no working configuration, 2 usage or unreadable input,
    3 nothing to examine, 70 mcpdoctor itself failed.

    \b
    Environment:
      AWS_PROFILE, AWS_REGION and other AWS_ variables    as botocore reads them
      HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE                as httpx reads them
      NO_COLOR, FORCE_COLOR, CI                           colour and progress
      MCPDOCTOR_DEBUG=1                                   a traceback where mcpdoctor itself failed

    \b
    Files:
      ~/.aws/config, ~/.aws/credentials                   profiles and credentials, read by botocore
      the files of MCP clients (lint, check --from)       docs/clients lists them

    \b
    Read on:
      mcpdoctor COMMAND --help                            options and examples of a command
      mcpdoctor completion --help                         completion in the shell
      https://github.com/mcpdoctor/mcpdoctor/tree/main/docs
    """


for _command in (
    check.check,
    init.init,
    ceiling.ceiling,
    lint.lint,
    explain.explain,
    run.run,
    snippet.snippet,
    targets.targets,
    render.render,
    diff.diff,
    lab.lab,
    completion.completion,
):
    cli.add_command(_command)
