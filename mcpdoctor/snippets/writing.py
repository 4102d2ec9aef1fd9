"""Write plain data as JSON, TOML or YAML, in the way in which people write it by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcpdoctor.clients.known import Format

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write(data: Mapping[str, Any], form: Format) -> str:
    """Write a table.

    Args:
        data: texts, numbers, true and false, lists and tables of these.
        form: what to write it in.

    Returns:
        The text, with a line end at its end.
    """
    if form is Format.TOML:
        return "\n".join(_toml(data, ())).lstrip("\n") + "\n"
    if form is Format.YAML:
        import yaml

        text: str = yaml.dump(data, Dumper=_indenting(), sort_keys=False, allow_unicode=True, width=1000)
        return text
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _indenting() -> type[Any]:
    """A dumper of YAML that indents lists below their key, and writes nothing by reference."""
    import yaml

    class Indenting(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    return Indenting


def _toml(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: its values first, then the tables in it."""
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if path and (values or not table):
        yield ""
        yield f"[{'.'.join(map(_key, path))}]"
    yield from (f"{_key(key)} = {_value(value)}" for key, value in values.items())
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _toml(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # What JSON escapes TOML escapes in the same way, but for one character that only TOML refuses as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
