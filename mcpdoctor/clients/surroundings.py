"""The environment that a client gives to the programs it starts."""

from __future__ import annotations

from collections.abc import Mapping

from mcpdoctor.clients.entries import Server
from mcpdoctor.clients.known import Surroundings

# What the MCP SDKs let a program inherit unless the client says otherwise (`getDefaultEnvironment`).
_INHERITED = {
    "win32": (
        "APPDATA",
        "HOMEDRIVE",
        "HOMEPATH",
        "LOCALAPPDATA",
        "PATH",
        "PATHEXT",
        "PROCESSOR_ARCHITECTURE",
        "PROGRAMFILES",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "USERNAME",
        "USERPROFILE",
    )
}
_INHERITED_ELSEWHERE = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")

# A program that macOS starts from the dock has not seen the files of the shell, which add to PATH; these are the
# directories of launchd, and those that clients are known to add by themselves.
_DESKTOP_PATH = {"darwin": "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}


def inherited(server: Server, environ: Mapping[str, str], *, platform: str) -> dict[str, str]:
    """What the program of an entry inherits from its client; the variables that the entry sets come on top.

    Args:
        server: the entry; its client decides.
        environ: the environment of the user's shell.
        platform: as `sys.platform` has it.

    Returns:
        Everything, for a client that runs in the shell. Else the few variables that the MCP SDKs pass on, and those
        that the entry asks for by name.
    """
    kind = server.client.environment
    if kind is Surroundings.SHELL:
        return dict(environ)
    names = (*_INHERITED.get(platform, _INHERITED_ELSEWHERE), *(server.forward or ()))
    found = {name: environ[name] for name in names if name in environ}
    if kind is Surroundings.DESKTOP and platform in _DESKTOP_PATH:
        found["PATH"] = _DESKTOP_PATH[platform]
    return found
