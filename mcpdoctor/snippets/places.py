"""Where the file is that an entry goes into, in words for people."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mcpdoctor.clients.known import Client

_SYSTEMS = {"macos": "macOS", "linux": "Linux", "windows": "Windows"}
_WORDS = {"home": "~", "config": "~/.config", "appdata": "%APPDATA%"}
_ON_WINDOWS = {"home": "%USERPROFILE%", "config": "%USERPROFILE%/.config", "appdata": "%APPDATA%"}


def places(client: Client) -> Iterator[tuple[str, str]]:
    """For whom, and the path: the user's on each system, then the project's. Older and further places are left out."""
    files = client.files[0]
    for system, title in _SYSTEMS.items():
        own = getattr(files, system)
        path = next(iter((*own, *files.any)), None)
        if path is not None:
            shown = _shown(path, client, _ON_WINDOWS if system == "windows" else _WORDS)
            yield title, shown.replace("/", "\\") if system == "windows" else shown
    for path in files.project[:1]:
        yield "project", path.replace("*", "aws")


def _shown(path: str, client: Client, words: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return words.get(found[1]) or re.sub(r"{(\w+)}", value, client.defaults.get(found[1], found[0]))

    return re.sub(r"{(\w+)}", value, path)
