"""docs/field-cases.md, written from the cases: `python -m field.page` in tests/."""

from __future__ import annotations

import sys

from field.cases import CASES, score
from mcpdoctor.catalogue import load

HEAD = """\
# Reported problems, and what names them

{count} problems that users of MCP servers of AWS reported, each with the command that names it. {named} of them are
reproduced, in the lab or as a file, by tests/test_field_cases.py: it runs the command and asks for the finding.
This page is made from the same cases (`make docs`).

| # | reported | what the user saw | the command that names it | finding |
|---|---|---|---|---|
"""


def page() -> str:
    """The page, as Markdown."""
    checks = load().checks
    named, count = score()
    rows = []
    for case in CASES:
        links = ", ".join(f"[{text}]({url})" for text, url in case.links)
        named_by = f"[{case.check}](checks.md#{case.check}): {checks[case.check].title}" if case.check else ""
        cells = (
            ", ".join(case.rows),
            links,
            _cell(case.symptom),
            f"`{_cell(case.command)}`" if case.command else "",
            named_by or f"Not reproduced: {_cell(case.why_not)}",
        )
        rows.append("| " + " | ".join(cells) + " |")
    return HEAD.format(count=count, named=named) + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(page())
