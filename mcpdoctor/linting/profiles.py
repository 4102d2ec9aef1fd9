"""Profiles of the AWS configuration of this user, read without botocore: names and what they are made of, no keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

MAX_BYTES = 2 * 2**20

_SECTION = re.compile(r"\[\s*(?:profile\s+)?([\"']?)([^\]]+?)\1\s*\]")
_SETTING = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII)
_KEPT = frozenset(
    {
        "region",
        "role_arn",
        "role_session_name",
        "login_session",
        "sso_session",
        "sso_start_url",
        "credential_process",
        "source_profile",
    }
)
CREDENTIALS = frozenset(
    {
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    }
)
"""Variables that make credentials without a profile called default."""

_OTHERS = ("sso-session ", "services ", "plugins")


Profiles = dict[str, dict[str, str]]
"""Settings by name of the profile; empty where this machine has no AWS configuration, or none that could be read."""


def read_profiles(home: Path, environ: Mapping[str, str]) -> Profiles:
    """Read the two files where they are."""
    found: Profiles = {}
    for variable, name in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = Path(environ.get(variable) or home / ".aws" / name)
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            parse(path.read_text(encoding="utf-8", errors="replace"), found)
        except (OSError, ValueError):
            return {}  # what is not known cannot be missing
    return found


def parse(text: str, into: Profiles) -> None:
    """Add the profiles of one file; only settings that checks ask for are kept, so no key ever is."""
    current: dict[str, str] | None = None
    for line in text.splitlines():
        if line.startswith("["):
            section = _SECTION.match(line)
            inner = line[1:].strip()
            other = section is None or inner.startswith(_OTHERS)
            current = None if other or section is None else into.setdefault(section[2], {})
        elif current is not None and (setting := _SETTING.match(line)) and setting[1] in _KEPT:
            current[setting[1]] = setting[2].strip()
