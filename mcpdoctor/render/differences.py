"""Draw what changed between two runs: for people, for scripts, and for a comment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby

from mcpdoctor.comparing import Change, Difference, Kind
from mcpdoctor.limits import plural
from mcpdoctor.model import SCHEMA_VERSION, Report
from mcpdoctor.render.digest import TEXT, quieted, shown
from mcpdoctor.render.drawing import Paint, wrapped
from mcpdoctor.render.markdown import prose
from mcpdoctor.render.report_json import ascii_json

FORMATS = ("table", "json", "markdown")
"""What a difference can be drawn as."""

_HEADS = {Kind.WORSE: "Worse", Kind.BETTER: "Better", Kind.OTHER: "Different"}
_COLORS = {Kind.WORSE: "red", Kind.BETTER: "green", Kind.OTHER: "yellow"}
_MARKS = {Kind.WORSE: "❌", Kind.BETTER: "✅", Kind.OTHER: "•"}
_MOST = 500


def draw(difference: Difference, form: str, *, color: bool = False, width: int = 120) -> str:
    """Draw a difference as one of FORMATS, with a line end at its end."""
    if form == "json":
        return _json(difference)
    lines = _markdown(difference) if form == "markdown" else _table(difference, Paint(on=color), width)
    return quieted("\n".join(lines) + "\n")


def headline(difference: Difference) -> str:
    """The difference in one sentence."""
    counts = {kind: sum(one.kind is kind for one in difference.changes) for kind in Kind}
    if not difference.changes:
        return "Nothing changed."
    worse, better, other = (counts[kind] for kind in Kind)
    parts = [
        f"{plural(worse, 'thing')} got worse" if worse else "nothing got worse",
        f"{better} got better" if better else "",
        f"{other} {'is' if other == 1 else 'are'} different" if other else "",
    ]
    text = ", ".join(filter(None, parts))
    return f"{text[0].upper()}{text[1:]}."


def _json(difference: Difference) -> str:
    changes = [asdict(one) for one in difference.changes]
    return (
        ascii_json(
            {
                "schema_version": SCHEMA_VERSION,
                "old": _run(difference.old),
                "new": _run(difference.new),
                "worse": difference.worse,
                "changes": changes,
            }
        )
        + "\n"
    )


def _run(report: Report) -> dict[str, object]:
    return {"started": report.started, "mcpdoctor": report.mcpdoctor, "exit_code": report.exit_code}


def _groups(difference: Difference) -> Iterator[tuple[Kind, list[tuple[str, list[Change]]]]]:
    """Changes by kind, then by what they are about."""
    for kind, changes in groupby(difference.changes[:_MOST], key=lambda one: one.kind):
        subjects: dict[str, list[Change]] = {}
        for one in changes:
            subjects.setdefault(one.subject, []).append(one)
        yield kind, list(subjects.items())


def _table(difference: Difference, paint: Paint, width: int) -> Iterator[str]:
    runs = " with ".join(
        f"the run of {shown(one.started) or 'unknown time'}" for one in (difference.old, difference.new)
    )
    yield f"Compared {runs}: {headline(difference)}"
    for kind, subjects in _groups(difference):
        yield ""
        yield paint(_HEADS[kind], fg=_COLORS[kind], bold=True)
        for subject, changes in subjects:
            if subject:
                yield "  " + paint(shown(subject), bold=True)
            for one in changes:
                yield from wrapped(shown(one.text, TEXT), width, "    " if subject else "  ")
    yield from _more(difference)


def _markdown(difference: Difference) -> Iterator[str]:
    yield f"## mcpdoctor: {prose(headline(difference))}"
    yield ""
    runs = " with ".join(
        f"the run of {prose(one.started) or 'unknown time'}" for one in (difference.old, difference.new)
    )
    yield f"Compared {runs}."
    for kind, subjects in _groups(difference):
        yield ""
        yield f"### {_HEADS[kind]}"
        yield ""
        for subject, changes in subjects:
            for one in changes:
                head = f"**{prose(subject)}**: " if subject else ""
                yield f"- {_MARKS[kind]} {head}{prose(one.text)}"
    yield from _more(difference)


def _more(difference: Difference) -> Iterator[str]:
    if len(difference.changes) > _MOST:
        yield ""
        yield f"{len(difference.changes) - _MOST} more are in the JSON (--format json)."
