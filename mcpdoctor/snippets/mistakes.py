"""Mistakes that people make in the file of a client: each is made in a healthy file, and listed where it is found.

So what a page says of a client is what the readers see, and nothing has to say which mistake is possible where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mcpdoctor.catalogue import locate, tables
from mcpdoctor.clients import Client, Known, known, reach
from mcpdoctor.clients.entries import read_entries
from mcpdoctor.clients.files import read_document
from mcpdoctor.clients.known import Format
from mcpdoctor.clients.source import Source
from mcpdoctor.forms import build
from mcpdoctor.model import Configuration
from mcpdoctor.snippets.entries import around, server, url_key
from mcpdoctor.snippets.writing import write

_NAME = "aws-mcp"
_SIGNED = Configuration(
    endpoint="https://aws-mcp.us-east-1.api.aws/mcp", region="us-east-1", service="aws-mcp", credential="default"
)
_UNSIGNED = Configuration(endpoint="https://knowledge-mcp.global.api.aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A mistake.

    Attributes:
        text: what is wrong, as a sentence with `{names}`.
        problem: what the readers find; None for what no file shows.
        check: the check that names what follows.
    """

    name: str
    text: str
    problem: str | None = None
    check: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A mistake as it is made in the file of one client.

    Attributes:
        text: what is wrong, filled in.
        file: a file that holds it; empty where no file shows it.
    """

    mistake: Mistake
    text: str
    file: str = ""


@cache
def mistakes() -> Mapping[str, Mistake]:
    """Read `mistakes.toml`.

    Raises:
        Unusable: it does not parse, or an entry is not of the form that `checks/schema.json` gives.
    """
    path = locate() / "mistakes.toml"
    return {name: build(Mistake, {"name": name, **table}, f"{path}: [{name}]") for name, table in tables(path)}


def mistakes_with(client: Client) -> list[Made]:
    """The mistakes that can be made with a client, in the order of the data."""
    found = []
    for one in mistakes().values():
        words = {"client": client.title, "own": client.command[0], "args": (*client.args, "")[0]}
        words |= {"known": ", ".join(f"`{form}`" for form in client.variables)}
        made = _MAKERS[one.name](client, words) if one.problem else ""
        if made is not None and (one.problem is None or one.problem in problems_in(made, client, known())):
            found.append(Made(mistake=one, text=one.text.format(**words), file=made))
    return found


def problems_in(text: str, client: Client, of: Known) -> set[str]:
    """Kinds of the problems that the readers find in the text of a client's file."""
    document = read_document(Source(client.title, text), client.format)
    entries = read_entries(document, client, of.clients)
    found = [*entries.problems, *(problem for one in entries.servers for problem in reach(one, of).problems)]
    refused = {one.liberty.value for one in document.taken if client.strict}
    return {one.kind for one in found} | refused


# Each takes the words of the sentence and may change them; it gives the text of a file, or None where a client has
# nothing to get wrong there.


def _top_level_key(client: Client, words: dict[str, str]) -> str:
    own = client.at[0][0]
    words |= {"own": own, "wrong": "servers" if own == "mcpServers" else "mcpServers"}
    document = _healthy(client, _SIGNED)
    servers = document.pop(own)
    # The usual form in which people bring it along.
    return write({**document, words["wrong"]: servers if isinstance(servers, dict) else {}}, client.format)


def _type_left_out(client: Client, _: dict[str, str]) -> str:
    return _changed(client, _UNSIGNED, lambda one: one.pop("type", None))


def _url_key(client: Client, words: dict[str, str]) -> str:
    own = url_key(client)
    wrong = next(key for key in ("url", "serverUrl", "httpUrl") if key not in client.url)
    words |= {"own": own, "wrong": wrong}
    return _changed(client, _UNSIGNED, lambda one: one.update({wrong: one.pop(own, "")}))


def _url_not_read(client: Client, _: dict[str, str]) -> str:
    return write(around(client, {url_key(client): _UNSIGNED.endpoint}, _NAME), client.format)


def _command_line(client: Client, _: dict[str, str]) -> str | None:
    if not client.args:
        return None
    return _changed(client, _SIGNED, lambda one: one.update({client.command[0]: " ".join(_words(client, one))}))


def _command_text(client: Client, _: dict[str, str]) -> str | None:
    if client.args:
        return None
    return _changed(client, _SIGNED, lambda one: one.update({client.command[0]: " ".join(_words(client, one))}))


def _variable(client: Client, words: dict[str, str]) -> str:
    wrong = {"${env:VAR}": "${env:PROFILE}", "${VAR}": "${PROFILE}", "{env:VAR}": "{env:PROFILE}"}
    words["wrong"] = next(text for form, text in wrong.items() if form not in client.variables)
    return _changed(client, _SIGNED, lambda one: one.update({client.env[0]: {"AWS_PROFILE": words["wrong"]}}))


def _comment(client: Client, _: dict[str, str]) -> str | None:
    text = write(_healthy(client, _SIGNED), client.format)
    return f"// for work\n{text}" if client.format in (Format.JSON, Format.JSONC) else None


def _url_after_metadata(client: Client, _: dict[str, str]) -> str:
    return _with_words(client, lambda words: [*words[:-1], "--metadata", "AWS_REGION=us-west-2", words[-1]])


def _option_of_another_proxy(client: Client, words: dict[str, str]) -> str:
    words["wrong"] = "--sse-url"
    return _with_words(client, lambda given: [*given[:-1], words["wrong"], given[-1]])


_MAKERS: Mapping[str, Callable[[Client, dict[str, str]], str | None]] = {
    "top-level-key": _top_level_key,
    "type-left-out": _type_left_out,
    "url-key": _url_key,
    "url-not-read": _url_not_read,
    "command-line": _command_line,
    "command-text": _command_text,
    "variable": _variable,
    "comment": _comment,
    "url-after-metadata": _url_after_metadata,
    "option-of-another-proxy": _option_of_another_proxy,
}


def _healthy(client: Client, configuration: Configuration) -> dict[str, Any]:
    return around(client, server(client, configuration, _NAME, known()), _NAME)


def _changed(client: Client, configuration: Configuration, change: Callable[[dict[str, Any]], Any]) -> str:
    one = server(client, configuration, _NAME, known())
    change(one)
    return write(around(client, one, _NAME), client.format)


def _words(client: Client, one: Mapping[str, Any]) -> list[str]:
    """The command line of an entry."""
    command = one[client.command[0]]
    return [command, *one[client.args[0]]] if client.args else list(command)


def _with_words(client: Client, change: Callable[[list[str]], list[str]]) -> str:
    key = client.args[0] if client.args else client.command[0]
    return _changed(client, _SIGNED, lambda one: one.update({key: change(one[key])}))
