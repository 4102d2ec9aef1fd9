"""What of an entry may be a secret: nobody can tell the meaning of a variable from its name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from mcpdoctor.clients import (
    Reach,
    Server,
    Word,
)
from mcpdoctor.redaction import MASK, clean

# Variables of an entry that are worth showing, and no secrets.
OPEN = re.compile(
    r"AWS_(?:DEFAULT_)?(?:PROFILE|REGION)|AWS_MCP_PROXY_PROFILES|AWS_(?:CONFIG|SHARED_CREDENTIALS)_FILE|PATH"
    r"|(?:FASTMCP_)?LOG_LEVEL|UV_[A-Z_]{1,40}"
)

_SECRET_OPTION = re.compile(r"--?[\w-]{0,60}(?:token|secret|passw|key|auth|credential|header|bearer)", re.IGNORECASE)


def secrets_of(server: Server, reached: Reach) -> tuple[str, ...]:
    """Literal secrets of an entry: what may be one, since nobody can tell a variable's meaning from its name."""
    return (
        *(word.text for name, word in server.env.items() if not OPEN.fullmatch(name)),
        *(part for word in server.headers.values() for part in (word.text, word.text.rpartition(" ")[2])),
        *pairs(reached.proxy.headers if reached.proxy else {}).values(),
        *(text.rpartition("=")[2] for _, text in secret_arguments(server)),
    )


def secret_arguments(server: Server) -> Iterator[tuple[Word, str]]:
    """Arguments that hold a secret, by the name of the option: `--token abc` and `--token=abc`."""
    before = ""
    for word in server.args:
        name, equals, _ = word.text.partition("=")
        named = _SECRET_OPTION.match(name if equals else before)
        if named and not (word.text.startswith("-") and not equals):
            yield word, word.text
        before = word.text


def pairs(words: Mapping[str, Word]) -> dict[str, str]:
    """Values of words of the form `key=value`."""
    return {name: word.text.partition("=")[2] for name, word in words.items()}


def shown_command(command: Sequence[str], server: Server, secrets: tuple[str, ...]) -> str:
    """A command on one line, with its secrets masked."""
    hidden = {text for _, text in secret_arguments(server)}
    words = [(f"{one.partition('=')[0]}={MASK}" if "=" in one else MASK) if one in hidden else one for one in command]
    line = " ".join(one if one.startswith(MASK) else shlex.quote(one) for one in words)
    return clean(line, limit=400, secrets=secrets)
