"""What several commands share: declarations of options, how their values are read, and how input is refused.

Each declaration is a decorator: `@options.targets`, `@options.quiet("...")`. `--help` shows them in the order in which
they stand above the command.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from mcpdoctor.cli import completing
from mcpdoctor.render import FORMATS, output_of

if TYPE_CHECKING:
    from mcpdoctor.model import Severity

F = TypeVar("F", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Refusal(click.ClickException):
    """Input that cannot be used: one sentence, exit code 2."""

    exit_code = 2


def refusing(command: F) -> F:
    """Turn `Unusable` of any layer into a Refusal."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from mcpdoctor.model import Unusable
        from mcpdoctor.redaction import clean

        try:
            return command(*args, **kwargs)
        except Unusable as error:
            from mcpdoctor.render.digest import quieted

            raise Refusal(quieted(clean(str(error), limit=600))) from error

    return wrapped  # type: ignore[return-value]  # the same signature


def given(name: str) -> bool:
    """Whether the command line, or a variable in its place, says the option or argument `name`."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


class Range(click.FloatRange):
    """A number in a range; click's own range lets `nan` through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124  # true of nan only
            self.fail("nan is not in the range.", param, ctx)
        return number


def together(*declarations: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several declarations as one decorator, shown by `--help` in this order."""

    def declare(command: F) -> F:
        for one in reversed(declarations):
            command = one(command)
        return command

    return declare


def read_outputs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """Read `[FORMAT:]FILE`; the ending of the file names the format where nothing else does.

    What can be known of a file that cannot be written is said here, before anything is sent.
    """
    from mcpdoctor.model import Unusable

    try:
        return writable([output_of(value) for value in values])
    except Unusable as error:
        raise click.BadParameter(str(error)) from error


def writable(named: Sequence[tuple[str, str]], directory: Path | None = None) -> tuple[tuple[str, Path], ...]:
    """The files to write, each with its format.

    Args:
        named: format and name of each.
        directory: that the names are relative to; the current one without.

    Raises:
        Unusable: one of them cannot be written.
    """
    from mcpdoctor.model import Unusable

    found: list[tuple[str, Path]] = []
    for form, name in named:
        path = directory / name if directory else Path(name)
        if path.is_dir() or not path.parent.is_dir():
            raise Unusable(f"{name} cannot be written: its directory does not exist, or it is one.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Unusable(f"{name} cannot be written: permission denied.")
        if path.resolve() in {other.resolve() for _, other in found}:
            raise Unusable(f"{name} is named twice; give each report a file of its own.")
        found.append((form, path))
    return tuple(found)


def read_credentials(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read the references; a secret in their place is refused."""
    from mcpdoctor.credentials import check_reference
    from mcpdoctor.model import Unusable

    try:
        return tuple(check_reference(value) for value in values)
    except Unusable as error:
        raise click.BadParameter(str(error)) from error


def severity(name: str) -> Severity | None:
    """The value of `--fail-on`; none where nothing is to fail."""
    from mcpdoctor.model import Severity

    return None if name == "never" else Severity(name)


targets = together(
    click.argument(
        "targets",
        nargs=-1,
        metavar="[TARGET|URL]...",
        shell_complete=completing.targets,
    ),
    click.option(
        "-e",
        "--endpoint",
        "endpoints",
        multiple=True,
        metavar="URL",
        shell_complete=completing.targets,
        help="URL to try; {region} in it expands.",
    ),
    click.option(
        "--arn",
        "owned",
        multiple=True,
        metavar="ARN",
        help="ARN of your AgentCore runtime or gateway, for the target of that name; of a gateway the id will do.",
    ),
    click.option(
        "-r",
        "--region",
        "regions",
        multiple=True,
        metavar="R",
        shell_complete=completing.regions,
        help="Region to sign for, and of the endpoint where its URL has one.",
    ),
    click.option(
        "-s",
        "--service",
        "services",
        multiple=True,
        metavar="S",
        shell_complete=completing.services,
        help="SigV4 service name to sign for.",
    ),
    click.option(
        "-c",
        "--credential",
        "credentials",
        multiple=True,
        metavar="REF",
        callback=read_credentials,
        shell_complete=completing.credentials,
        help="Credential to use: default, env, profile:NAME, bearer:VARIABLE (an OAuth token, from an environment "
        "variable), or none (unsigned). Never a key.",
    ),
    click.option(
        "-p",
        "--profile",
        "profiles",
        multiple=True,
        metavar="NAME",
        shell_complete=completing.profiles,
        help="The same as --credential profile:NAME.",
    ),
)
"""What to try: `[TARGET|URL]...`, `--endpoint`, `--arn`, `--region`, `--service`, `--credential`, `--profile`."""

call = together(
    click.option("--tool", metavar="NAME", shell_complete=completing.tools, help="Call this tool in stage call."),
    click.option("--arguments", metavar="JSON", help="Arguments of that tool, a JSON object."),
)
"""`--tool` and `--arguments`."""

_HEADERS_OF_A_SIGNATURE = (
    "authorization",
    "date",
    "host",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
)


def read_headers(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=VARIABLE`; the value is taken from the environment, so that it stands in no list of processes."""
    import os
    import re

    found = {}
    for value in values:
        name, equals, variable = value.partition("=")
        if not (equals and re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) and re.fullmatch(r"\w+", variable)):
            raise click.BadParameter(
                "write NAME=VARIABLE: a header, and the environment variable that holds its value."
            )
        if name.lower() in _HEADERS_OF_A_SIGNATURE:
            raise click.BadParameter(f"{name} belongs to the signature; name a credential with --credential.")
        given = os.environ.get(variable, "").strip()
        if not given or not given.isprintable() or not given.isascii():
            raise click.BadParameter(f"the environment variable {variable} holds nothing that a header can take.")
        found[name] = given
    return found


header = click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME=VARIABLE",
    callback=read_headers,
    help="Send this header with every request; its value is that of an environment variable, and is not shown.",
)
"""`--header`: for servers that want one of their own."""

sending = together(
    click.option(
        "--lab", "use_lab", is_flag=True, help="Try against a local stand-in for AWS; nothing leaves this machine."
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be tried, and send nothing."),
    click.option(
        "--timeout",
        type=Range(0.1, 3600),
        default=10.0,
        show_default=True,
        metavar="S",
        help="Seconds that one stage may take.",
    ),
)
"""Whether anything is sent, and how long to wait for it: `--lab`, `--dry-run`, `--timeout`."""

network = together(
    click.option(
        "--connect-to",
        "connect_to",
        multiple=True,
        metavar="HOST:PORT:HOST2:PORT2",
        help="Connect to another address; name, TLS and signature stay.",
    ),
    click.option(
        "--ca-bundle", type=click.Path(), metavar="FILE", help="PEM certificates to trust besides the usual ones."
    ),
)
"""The way to the servers: `--connect-to`, `--ca-bundle`."""


def read_budget(_: click.Context, __: click.Parameter, value: str) -> tuple[int, int, float]:
    """Read what measuring may cost."""
    from mcpdoctor.model import Unusable
    from mcpdoctor.suite import budget_of

    try:
        return budget_of(value)
    except Unusable as error:
        raise click.BadParameter(str(error)) from error


measuring = together(
    click.option(
        "--max",
        "most",
        type=click.IntRange(1, 1000),
        default=None,
        metavar="N",
        help="Most sessions, or requests, at a time to try.  [default: 16]",
    ),
    click.option(
        "--budget",
        default="300,20,600",
        show_default=True,
        metavar="REQUESTS,REFUSALS,SECONDS",
        callback=read_budget,
        help="What measuring one configuration may cost; parts may be named, as in refusals=5.",
    ),
    click.option("--quick", is_flag=True, help="Measure the rate and the sessions only; about half of the requests."),
    click.option(
        "--think",
        type=Range(0, 86400),
        default=0.0,
        show_default=True,
        metavar="S",
        help="Seconds that a worker thinks between two calls; for the number of workers under a rate.",
    ),
    click.option("--yes", is_flag=True, help="Measure without asking first; needed where nobody can answer (CI)."),
)
"""How a ceiling is measured: `--max`, `--budget`, `--quick`, `--think`, `--yes`."""


def read_addresses(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Read IP addresses of this machine, or of that of a worker."""
    import ipaddress

    for value in values:
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            raise click.BadParameter(f"{value} is no IP address.") from error
    return tuple(dict.fromkeys(values))


machines = together(
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Measure from the workers of this dask cluster, such as tcp://10.0.0.1:8786.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 1000),
        metavar="N",
        help="Measure from N processes on this machine; with --scheduler, from N workers of the cluster.",
    ),
    click.option(
        "--from-address",
        "addresses",
        multiple=True,
        metavar="IP",
        callback=read_addresses,
        help="Connect from this address of the machine; several are given to the workers in turn.",
    ),
)
"""Measuring from several machines or addresses: `--scheduler`, `--workers`, `--from-address`."""


def form(text: str) -> Callable[[F], F]:
    """`--format` of a report on standard output; the commands word its help differently."""
    return click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help=text)


def output(text: str) -> Callable[[F], F]:
    """`--output`, into files; the commands word its help differently."""
    return click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        metavar="[FORMAT:]FILE",
        callback=read_outputs,
        shell_complete=completing.files,
        help=text,
    )


def quiet(text: str) -> Callable[[F], F]:
    """`--quiet`; what is left out depends on the command."""
    return click.option("-q", "--quiet", is_flag=True, help=text)


checks = click.option(
    "--checks",
    "checks_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Add the checks, endpoints and suites of a directory to the built-in ones. Nothing in it is executed.",
)
fail_on = click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="Least severity of a finding against the best configuration that makes the exit code 1.",
)
verbose = click.option("-v", "--verbose", count=True, help="Show every stage; twice: every exchange too.")

report = together(
    form("Format of the report on standard output."),
    output("Write the report to a file too; its ending names the format. Repeatable: -o x.xml -o html:report.html"),
    fail_on,
    checks,
    quiet("No progress, and one line a target in place of the table."),
    verbose,
)
"""All about the report of a run: `--format`, `--output`, `--fail-on`, `--checks`, `--quiet`, `--verbose`."""
