"""A suite inside of a pyproject.toml: appended, with everything else left as it is, to the byte."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from mcpdoctor.model import Unusable

TABLE = "tool.mcpdoctor"

_HEADER = re.compile(r"^[ \t]*\[{1,2}[ \t]*tool[ \t]*\.[ \t]*[\"']?mcpdoctor\b", re.MULTILINE)


def appended(before: str, suite: str, *, file: str) -> str:
    """Append a suite.

    Args:
        before: the pyproject.toml, as decoded, with its own line ends.
        suite: what to append: its tables begin with `[tool.mcpdoctor]`.
        file: name of the file, for messages.

    Returns:
        The file with the suite at its end, in the line ends that the file has.

    Raises:
        Unusable: it is not valid TOML, has a suite already, or is written so that nothing can be appended.
    """
    old = _read(before, file)
    if "mcpdoctor" in old.get("tool", {}):
        found = _HEADER.search(before)
        line = f":{before.count(chr(10), 0, found.start()) + 1}" if found else ""
        raise Unusable(f"{file}{line}: there is a [{TABLE}] already; change it, or take it out first.")
    ends = "\r\n" if "\r\n" in before else "\n"
    gap = "" if not before else ends if before.endswith("\n") else 2 * ends
    after = before + gap + suite.replace("\n", ends)
    try:
        new = tomllib.loads(after)
    except tomllib.TOMLDecodeError as error:
        raise _closed(file) from error
    if new.get("tool", {}).pop("mcpdoctor", None) is None or _without_empty(new) != _without_empty(old):
        raise _closed(file)
    return after


def _closed(file: str) -> Unusable:
    return Unusable(
        f"{file}: its table tool is written so that nothing can be appended to it; leave out --pyproject, and a "
        "mcpdoctor.toml is written."
    )


def _read(text: str, file: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unusable(f"{file}: not valid TOML: {error}.") from error
    if not isinstance(found.get("tool", {}), dict):
        raise Unusable(f"{file}: tool is no table; leave out --pyproject, and a mcpdoctor.toml is written.")
    return found


def _without_empty(table: dict[str, Any]) -> dict[str, Any]:
    """The table, without `tool` where nothing is left in it."""
    return {name: value for name, value in table.items() if name != "tool" or value}
