"""`mcpdoctor lab`: serve the lab."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mcpdoctor.cli import options

if TYPE_CHECKING:
    from mcpdoctor.lab import Lab


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    """Read `0.1`, `0.1s` or `100ms`."""
    text, factor = (value[:-2], 0.001) if value.endswith("ms") else (value.removesuffix("s"), 1.0)
    try:
        seconds = float(text) * factor
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise click.BadParameter("seconds from 0 to 60 are wanted, such as 0.1 or 100ms.")
    return seconds


@click.command(context_settings=options.CONTEXT, short_help="Serve local MCP servers that stand in for AWS.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    show_default=True,
    help="Port of plain HTTP; 0 takes a free one.",
)
@click.option(
    "--https-port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    show_default=True,
    help="Port of TLS; 0 takes a free one.",
)
@click.option(
    "--mode",
    type=click.Choice(["current", "2026-03", "2026-09"]),
    default="current",
    show_default=True,
    help="Behave as AWS was last seen to, as in March 2026 (aws-mcp refuses unsigned callers; 3 requests/s), or as "
    "documented in September 2026 (10 requests/s signed, 5 unsigned).",
)
@click.option(
    "--latency", default="0", metavar="S", callback=_seconds, help="Time added before every answer: 0.1 or 100ms."
)
@click.option(
    "--noise",
    type=options.Range(0, 1),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Share of requests answered with a random 429 or 503.",
)
@click.option("--seed", type=int, default=0, metavar="N", show_default=True, help="Makes that randomness repeatable.")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="sessions:7, in-flight:7, rate:10/s,burst:20, window:60/10s, sliding:60/10s, none.",
)
@click.option(
    "--per",
    type=click.Choice(["identity", "address"]),
    default="identity",
    show_default=True,
    help="What a limit counts by.",
)
@click.option(
    "--refusal",
    type=click.Choice(["429", "503", "rpc", "tool"]),
    default="429",
    show_default=True,
    help="How a limit refuses: HTTP 429, HTTP 503 as nginx does, a JSON-RPC error, or a failed tool call.",
)
@click.option(
    "--retry-after", type=click.IntRange(0), metavar="S", help="Seconds to ask for with Retry-After in a refusal."
)
@click.option(
    "--rate-headers", is_flag=True, help="State rates, windows and what is left of them in RateLimit headers."
)
@click.option("--streams", is_flag=True, help="Count open GET streams as requests in flight.")
@options.quiet("Do not log requests.")
@options.refusing
def lab(
    *,
    port: int,
    https_port: int,
    mode: str,
    latency: float,
    noise: float,
    seed: int,
    limits: tuple[str, ...],
    per: str,
    refusal: str,
    retry_after: int | None,
    rate_headers: bool,
    streams: bool,
    quiet: bool,
) -> None:
    """Serve the lab: real local MCP servers that stand in for AWS, with every fault a check knows.

    It prints one JSON line with what a client needs (URLs, ports, certificates, made-up keys), then logs requests to
    standard error until it is stopped. It binds to loopback only and takes only its own made-up keys.

    \b
    Examples:
      mcpdoctor lab --port 8080
      mcpdoctor lab --limit sessions:7 --latency 100ms
      mcpdoctor lab --mode 2026-09
      mcpdoctor lab --limit rate:10/s,burst:20 --refusal 503 --retry-after 2 --rate-headers

    Exit codes: 0 stopped by Ctrl-C or a signal, 2 usage, or a port that is taken.
    """
    from mcpdoctor.lab import Lab, Options
    from mcpdoctor.model import Unusable

    options = Options(
        mode=mode,
        latency_s=latency,
        noise=noise,
        seed=seed,
        limits=limits,
        per=per,
        refusal=refusal,
        retry_after_s=retry_after,
        rate_headers=rate_headers,
        streams=streams,
        port=port,
        https_port=https_port,
    )
    try:
        serving = Lab(options)
        with serving:
            _serve(serving, quiet=quiet)
    except ValueError as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"The lab cannot listen: {error.strerror or error}. Choose another --port.") from error


def _serve(serving: Lab, *, quiet: bool) -> None:
    """Print the JSON line, then log until SIGINT or SIGTERM."""
    import json
    import signal
    import threading

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    click.echo(json.dumps(serving.describe()))
    sys.stdout.flush()
    shown = 0
    while not stopped.wait(0.2):
        seen = serving.requests[shown:]
        shown += len(seen)
        if not quiet:
            for one in seen:
                click.echo(f"{one.method} {one.host}{one.path} {one.rpc_method or '-'} {one.status}", err=True)
