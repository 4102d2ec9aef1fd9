"""The page of a client, made from what is known of it; `docs/clients` holds all of them.

`python -m mcpdoctor.render.guides DIRECTORY` writes them there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.clients.known import Client, Surroundings, Transport, Unit
from mcpdoctor.clients.known import known as known_clients
from mcpdoctor.endpoints import Endpoint
from mcpdoctor.model import Configuration
from mcpdoctor.snippets.entries import needs_program
from mcpdoctor.snippets.libraries import Library
from mcpdoctor.snippets.making import snippet
from mcpdoctor.snippets.mistakes import mistakes_with
from mcpdoctor.snippets.places import places
from mcpdoctor.snippets.recipients import Recipient, recipients

INDEX = "README.md"
_MADE = "<!-- Made from checks/*.toml: make docs. Do not edit. -->"
_REGION = "us-east-1"
_UNITS = {Unit.SECONDS: "seconds", Unit.MILLISECONDS: "milliseconds"}
_GETS = {
    Surroundings.SHELL: "the environment of the shell that it was started from",
    Surroundings.DESKTOP: "the environment of the desktop, in which PATH lacks what your shell adds",
    Surroundings.MINIMAL: "a few variables, and those that the entry names in `{forward}`",
}
_URL = {
    Transport.HTTP: "the URL, of streamable HTTP",
    Transport.SSE: "the URL, of SSE, which servers of AWS do not speak",
    Transport.ANY: "the URL",
}
_TYPE = {Transport.SSE: "; a `type` beside it may say otherwise", Transport.ANY: "; `type` says what is spoken there"}


def guides(catalogue: Catalogue) -> dict[str, str]:
    """Every page, by the name of its file."""
    pages = {f"{name}.md": guide(one, catalogue) for name, one in recipients().items()}
    return {INDEX: _index(), **pages}


def guide(who: Recipient, catalogue: Catalogue) -> str:
    """The page of one client or library."""
    signed, unsigned = (_configuration(catalogue.endpoints[name]) for name in ("aws-mcp", "aws-knowledge"))
    parts = [f"# {who.title}", _MADE]
    if isinstance(who, Client):
        parts.append(_table(_facts(who)))
    parts += ["## The AWS MCP Server, signed", _command(who, "aws-mcp"), _block(who, signed, "aws-mcp")]
    parts.append(
        "`--profile NAME` names a profile, `--region R` a region. No keys stand in it: they are found where the AWS "
        "CLI finds them."
    )
    parts += ["## The AWS Knowledge MCP Server", _command(who, "aws-knowledge")]
    parts.append(_block(who, unsigned, "aws-knowledge"))
    if isinstance(who, Client):
        if needs_program(who, unsigned):
            parts.append("A bridge stands between, since this file takes no URLs.")
        parts += ["## Mistakes", "\n".join(_mistakes(who, catalogue))]
    if who.notes:
        parts += ["## Good to know", "\n".join(f"- {note}" for note in who.notes)]
    parts.append(f"Source: <{who.source}>, {who.as_of}.")
    return "\n\n".join(parts) + "\n"


def _configuration(endpoint: Endpoint) -> Configuration:
    signed = "sigv4" in endpoint.auth
    return Configuration(
        endpoint=endpoint.url_for(_REGION),
        region=_REGION if signed else None,
        service=endpoint.service,
        credential="default" if signed else "none",
    )


def _facts(client: Client) -> Iterator[tuple[str, str]]:
    for place, path in places(client):
        yield (f"file, {place}", f"`{path}`")
    yield ("format", {"json": "JSON", "jsonc": "JSON with comments", "toml": "TOML", "yaml": "YAML"}[client.format])
    shape = "a list, each with its `name`" if client.named else "by name"
    yield ("servers", f"under `{'.'.join(client.at[0])}`, {shape}")
    if client.remote:
        for key, transport in client.url.items():
            yield (f"`{key}`", _URL[transport] + (_TYPE.get(transport, "") if client.types else ""))
    if client.typed or len(client.types) > 1:
        needed = "needed beside a URL" if client.typed else "may be left out beside a command"
        yield ("`type`", f"{', '.join(f'`{word}`' for word in client.types)}; {needed}")
    for key, unit in client.timeout.items():
        yield (f"`{key}`", f"in {_UNITS[unit]}")
    if client.variables:
        yield ("variables", ", ".join(f"`{form}`" for form in client.variables))
    if client.environment in _GETS:
        yield ("programs get", _GETS[client.environment].format(forward=client.forward))


def _table(rows: Iterator[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _command(who: Recipient, target: str) -> str:
    return f"```console\n$ mcpdoctor snippet {who.name} {target}\n```"


def _block(who: Recipient, configuration: Configuration, name: str) -> str:
    language = "python" if isinstance(who, Library) else who.format.value
    return f"```{language}\n{snippet(who, configuration, name)}```"


def _mistakes(client: Client, catalogue: Catalogue) -> Iterator[str]:
    for one in mistakes_with(client):
        check = one.mistake.check or check_of(one.mistake.problem, catalogue)
        named = f"[`{check}`](../checks.md#{check})" if check else f"`{one.mistake.problem}`"
        yield f"- {one.text} ({named})"


def check_of(problem: str | None, catalogue: Catalogue) -> str | None:
    """The check that judges a problem of a client's file: one that compares a fact with its name; None without any."""
    for check in catalogue.checks.values():
        for condition in check.when:
            if any(rule.is_ == problem for rule in condition.fact.values()):
                return check.slug
    return None


def _index() -> str:
    proxy = known_clients().proxy
    forms = {name: "Python" if isinstance(one, Library) else one.format.value for name, one in recipients().items()}
    rows = [f"| [{one.title}]({name}.md) | `{name}` | {forms[name]} |" for name, one in recipients().items()]
    parts = [
        "# Clients",
        _MADE,
        "What to write for each client, and what people get wrong. `mcpdoctor snippet CLIENT [TARGET]` prints the same "
        "entry for your region, profile and endpoint, or for the best configuration of a report.",
        "\n".join(["| client | `mcpdoctor snippet` | form |", "|---|---|---|", *rows]),
        f"Clients that cannot sign start the [proxy]({proxy.source}), pinned to versions that are known to be good: "
        f"`{proxy.recommended}`. It comes by `uvx`, a part of [uv](https://docs.astral.sh/uv/).",
    ]
    return "\n\n".join(parts) + "\n"


def write_all(directory: Path, pages: Mapping[str, str]) -> None:
    """Write the pages, and remove those of clients that are no more."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]), guides(load()))
