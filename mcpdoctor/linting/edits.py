"""Edits of single values: only where the text of the value is written out in full, so that nothing else can change."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from mcpdoctor.clients.values import Edit, Value
from mcpdoctor.clients.words import Problem

_PLAIN = re.compile(r"[A-Za-z][\w./%?=&-]*(?::[\w/.%?=&-]+)*", re.ASCII)
"""What YAML takes for a text without quotes."""

_KEYS = ("key-of-another-client", "key-misspelt")


def replaced(at: Value, old: str, new: str) -> tuple[Edit, ...]:
    """Write `new` where `old` is written; nothing where the value is not simply that, or `--option=` and that."""
    raw = at.raw
    quote = raw[:1] if raw[:1] in ("'", '"') else ""
    if quote and (len(raw) < 2 or raw[-1] != quote):
        return ()
    inner = raw[1:-1] if quote else raw
    if inner == old:
        start = at.start + len(quote)
    elif inner.startswith("--") and inner.endswith(f"={old}"):
        start = at.start + len(quote) + len(inner) - len(old)
    else:
        return ()
    if not _safe(new, quote):
        return ()
    return (Edit(start, start + len(old), new),)


def renamed(problem: Problem) -> Problem:
    """A problem that readers found, with the edit of the key that it is about, where that is certain."""
    found = problem.facts.get("key") if problem.kind in _KEYS else problem.facts.get("found")
    wanted, at = problem.facts.get("wanted"), problem.at
    if problem.kind not in (*_KEYS, "top-level-of-another-client") or problem.facts.get("role") in ("command", "args"):
        return problem  # command and args differ in their form as well
    if not isinstance(found, str) or not isinstance(wanted, str) or "." in wanted:
        return problem
    if at.source.text[at.end : at.end + 20].lstrip()[:1] != ":":  # of TOML, several headers may hold the key
        return problem
    return replace(problem, edits=replaced(at, found, wanted))


def _safe(text: str, quote: str) -> bool:
    """Whether a text can stand between these quotes as it is."""
    if not quote:
        return _PLAIN.fullmatch(text) is not None or text.replace(".", "", 1).isdigit()
    return quote not in text and json.dumps(text, ensure_ascii=False)[1:-1] == text


def before(at: Value, word: str) -> tuple[Edit, ...]:
    """Put a word into a list before `at`; only into a list within brackets, where quotes tell how texts are written."""
    raw, text = at.raw, at.source.text
    quote = raw[:1]
    ahead = text[: at.start].rstrip()
    if quote not in ("'", '"') or ahead[-1:] not in ("[", ","):
        return ()
    gap = text[len(ahead) : at.start]
    return (Edit(at.start, at.start, f"{quote}{word}{quote},{gap if ahead.endswith(',') else ' '}"),)
