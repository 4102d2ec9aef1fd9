"""Cells of a Jupyter notebook as text that Python's parser takes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from mcpdoctor.clients.python.source import Unreadable

_MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|.*\?[ \t]*)$", re.MULTILINE)
_ASSIGNED = re.compile(r"^([ \t]*[\w, ]+=[ \t]*)[%!].*$", re.MULTILINE)
_PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell.

    Attributes:
        number: from 1, cells of text counted too.
        text: its lines are those of the notebook; commands of IPython are made `pass`.
    """

    number: int
    text: str


def cells(data: bytes) -> list[Cell]:
    """The code cells of a notebook in Python.

    Raises:
        Unreadable: it is no JSON.
    """
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"no notebook: {type(error).__name__}") from error
    given = notebook.get("cells") if isinstance(notebook, dict) else None
    found: list[Cell] = []
    for number, cell in enumerate(given if isinstance(given, list) else [], 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source")
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if isinstance(source, str):
            found.append(Cell(number, _plain(source)))
    return found


def _plain(text: str) -> str:
    if text.lstrip().startswith("%%") and not text.lstrip().startswith(_PYTHON_MAGICS):
        return ""  # another language
    text = _ASSIGNED.sub(r"\1None", text)
    return _MAGIC.sub(r"\1pass", text)
