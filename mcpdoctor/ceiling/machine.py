"""What the machine that sends, and the client on it, allow: limits that are not the server's."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from mcpdoctor.model import Fact

SOCKETS = 3
"""Sockets that one session needs at most: its calls, its stream, and one to spare."""

OTHER_FILES = 64


def open_files(needed: int) -> int | None:
    """How many files this process may open, once it has asked for as many as it needs; None where nothing says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None if soft == resource.RLIM_INFINITY else soft
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def files_for(sessions: int) -> int:
    """How many files so many sessions may need."""
    return sessions * SOCKETS + OTHER_FILES


def room_for(files: int | None, sessions: int) -> int:
    """How many sessions, of so many wanted, the files are enough for."""
    return sessions if files is None else min(sessions, max(1, (files - OTHER_FILES) // SOCKETS))


def client_facts(*, signed: bool) -> dict[str, Fact]:
    """What the installed client adds to the limits of a server.

    mcp 1.x raises a refused request in a task of its own, which ends the session; mcp-proxy-for-aws translates such an
    answer from 1.6.6 on, in its module mcp1_compat.
    """
    mcp = importlib.metadata.version("mcp")
    translated = signed and importlib.util.find_spec("mcp_proxy_for_aws.mcp1_compat") is not None
    return {
        "mcp_version": mcp,
        "proxy_version": importlib.metadata.version("mcp-proxy-for-aws"),
        "loses_session": mcp.split(".")[0] == "1" and not translated,
    }
