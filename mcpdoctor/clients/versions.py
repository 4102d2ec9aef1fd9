"""Compare versions, and read how a package is pinned."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, ...]

_VERSION = re.compile(
    r"v?(\d{1,9}(?:\.\d{1,9}){0,5})(?:\.\*)?(?:[-.]?(?:post|rev|r|a|b|rc|dev)\d{0,9}|\+\S{0,40})?", re.IGNORECASE
)
_REQUIREMENT = re.compile(
    r"(?P<name>@?[A-Za-z0-9][\w./-]{0,200}?)(?:\[[^\]]{0,200}\])?\s*"
    r"(?:(?P<operator>===|==|~=|>=|<=|!=|<|>|@)\s*(?P<version>[^;\s][^;]{0,200}?))?\s*(?:;.{0,200})?"
)
LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A package as somebody asked for it.

    Attributes:
        name: as PyPI compares names: lower case, with hyphens.
        operator: what stands before the version; `@` for that of uvx and npm; None without any.
        wanted: the version as written, such as `1.6.4`, `latest`, `1.*`, or a URL.
        version: the version that will be had, where only that one can be; else None.
    """

    name: str
    operator: str | None = None
    wanted: str | None = None
    version: Version | None = None


def version(text: str) -> Version:
    """The numbers of a version, without zeros at their end; of what is no version, none."""
    found = _VERSION.fullmatch(text.strip())
    numbers = [int(one) for one in found[1].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def requirement(text: str) -> Requirement | None:
    """Read `name`, `name@latest`, `name==1.6.4`, `name[extra]>=1`; None for what is none of these, such as a path."""
    found = _REQUIREMENT.fullmatch(text.strip())
    if not found:
        return None
    name = re.sub(r"[-_.]+", "-", found["name"]).lower() if not found["name"].startswith("@") else found["name"]
    operator, wanted = found["operator"], found["version"]
    exact = operator in ("@", "==", "===") and wanted and _VERSION.fullmatch(wanted) and "*" not in wanted
    return Requirement(name=name, operator=operator, wanted=wanted, version=version(wanted) if exact else None)
