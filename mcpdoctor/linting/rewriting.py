"""Rewrite a file: edits at recorded offsets, nothing else; shown as a difference, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from difflib import unified_diff
from pathlib import Path

from mcpdoctor.clients.known import Known
from mcpdoctor.clients.source import Place, Source
from mcpdoctor.clients.values import Edit, Value
from mcpdoctor.linting.gathering import Gathered, hidden
from mcpdoctor.linting.judging import Linted
from mcpdoctor.model import Unusable
from mcpdoctor.redaction import MASK, clean

_ROUNDS = 6
"""A URL may be wrong in several ways, of which one round of edits takes one."""
_LONGEST_LINE = 400


def apply(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits; of two that touch the same text, the first counts."""
    pieces, at = [], 0
    taken: list[Edit] = []
    for one in sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.end)):
        if (taken and one.start < taken[-1].end) or (taken and one.start == taken[-1].start):
            continue
        pieces += [text[at : one.start], one.text]
        taken.append(one)
        at = one.end
    return "".join([*pieces, text[at:]])


def rewrite(file: Gathered, judge: Callable[[Gathered], Linted]) -> Gathered | None:
    """What the edits make of a file, until none is left.

    Args:
        file: as it was read.
        judge: gives the edits.

    Returns:
        None where nothing changes.
    """
    now = file
    for _ in range(_ROUNDS):
        edits = judge(now).edits
        if not edits or now.source is None or now.again is None:
            break
        text = apply(now.source.text, edits)
        changed = now.again(text)
        if text == now.source.text or changed.source is None or not changed.subjects:
            break  # a text that no longer reads is not what anybody wanted
        now = changed
    return None if now is file else now


def difference(before: Gathered, after: Gathered, known: Known) -> str:
    """Both texts as a unified diff, without values of variables and headers."""
    old, new = (_shown(one, known) for one in (before, after))
    name = clean(before.path, limit=_LONGEST_LINE)
    lines = unified_diff(old, new, f"a/{name}", f"b/{name}", lineterm="", n=1)
    return "".join(f"{clean(line, limit=_LONGEST_LINE)}\n" for line in lines)


def _shown(file: Gathered, known: Known) -> list[str]:
    if file.source is None:
        return []
    text = apply(file.source.text, (_mask(one) for one in hidden(file, known) if one.end > one.start))
    return text.replace("\r\n", "\n").split("\n")


def _mask(value: Value) -> Edit:
    quote = value.raw[:1] if value.raw[:1] in ("'", '"') else ""
    return Edit(value.start, value.end, f"{quote}{MASK}{quote}")


def save(path: Path, before: Gathered, after: Gathered) -> None:
    """Write a file whole: to another one beside it, which then takes its place. Mode and links stay.

    Raises:
        Unusable: it cannot be written, or is no longer what was read.
    """
    if before.source is None or after.source is None:
        return
    place = Place(str(path), 1, 1)
    try:
        real = path.resolve(strict=True)  # the link stays a link
        if real.read_bytes() != _bytes(before.source):
            raise Unusable(
                f"{place}: not written: the file changed while it was linted; run mcpdoctor lint --fix again."
            )
        mode = real.stat().st_mode & 0o7777
        descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_bytes(after.source))
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)
            temporary.replace(real)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Unusable(f"{place}: not written: {why}; check the permissions of the file and its directory.") from error


def _bytes(source: Source) -> bytes:
    return source.text.encode("utf-8-sig" if source.marked else "utf-8")
