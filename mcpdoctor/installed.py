"""Versions of the packages that are installed here."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache

from mcpdoctor.model import Environment

PACKAGES = ("mcp", "mcp-proxy-for-aws", "fastmcp", "strands-agents", "httpx", "botocore", "anyio", "pydantic")
"""What a run depends on, or what is known to break it."""


@cache
def version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> Environment:
    """Versions of what a run depends on."""
    found = {name: one for name in PACKAGES if (one := version(name)) is not None}
    return Environment(python=platform.python_version(), platform=platform.platform(), packages=found)
