"""The page of a check, made from its table; `docs/checks.md` is all of them.

`python -m mcpdoctor.render.pages` prints that file.
"""

from __future__ import annotations

import re
import sys

from mcpdoctor.catalogue import Catalogue, Check, load

_INTRO = """# Checks

<!-- Made from checks/*.toml: make docs. Do not edit. -->

Every finding names one of these checks. `mcpdoctor explain SLUG` shows the same page.
Words in *italics* are filled in from what was seen.
"""


def page(check: Check) -> str:
    """The page of one check, in Markdown that also reads well in a terminal."""
    rows = [
        ("cause", f"`{check.cause.value}`"),
        ("severity", check.severity.value),
        ("stage", ", ".join(f"`{stage.value}`" for stage in check.stage)),
        ("since", check.since),
        ("in the lab", f"`{check.lab}`"),
    ]
    if check.after:
        silent = "any other error" if check.after == ("*",) else ", ".join(f"`{slug}`" for slug in check.after)
        rows.insert(3, ("silent beside", silent))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    refer = "".join(f"\n- <{url}>" for url in check.refer)
    return (
        f"## {check.slug}\n\n**{check.title}**\n\n| | |\n|---|---|\n{table}\n\n"
        f"{_quoted(check.text)}\n\n### What to do\n\n{_quoted(check.remedy)}\n"
        + (f"\nSee also:\n{refer}\n" if refer else "")
    )


def book(catalogue: Catalogue) -> str:
    """All pages, in the order of the stages' files."""
    return "\n".join([_INTRO, *(page(check) for check in catalogue.checks.values())])


def _quoted(text: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: f"*{found[1].replace('_', ' ')}*", text)


if __name__ == "__main__":
    sys.stdout.write(book(load()))
