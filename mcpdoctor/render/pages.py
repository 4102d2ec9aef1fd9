"""The page of a check, made from its table; `docs/checks.md` is all of them.

`python -m mcpdoctor.render.pages` prints that file.
"""

from __future__ import annotations

import re
import sys

from mcpdoctor.catalogue import EVERY_OTHER, About, Catalogue, Check, load

_INTRO = """# Checks

<!-- Made from checks/*.toml: make docs. Do not edit. -->

Every finding names one of these checks. `mcpdoctor explain SLUG` shows the same page.
Words in *italics* are filled in from what was seen.
"""


def page(check: Check) -> str:
    """The page of one check, in Markdown that also reads well in a terminal."""
    told = check.in_text
    rows = [("cause", f"`{check.cause.value}`"), ("severity", check.severity.value)]
    if check.about is About.CEILING:
        rows.append(("judges", "a measured ceiling (`mcpdoctor ceiling`, `mcpdoctor check --ceiling`)"))
    elif check.about is About.FILE:
        rows.append(("judges", "files of clients and programs (`mcpdoctor lint`)"))
        rows.append(("put right by", "`mcpdoctor lint --fix`, where that is safe" if check.fix else "you"))
    elif check.about is About.VERSION:
        rows.append(("judges", "versions of packages, beside a failure (`mcpdoctor check`, `explain`, `run`)"))
    elif check.about is About.ENTRY:
        rows.append(("judges", "an entry of a client file (`mcpdoctor check --from`)"))
    elif check.probed:
        rows.append(("stage", ", ".join(f"`{stage.value}`" for stage in check.stage)))
    rows.append(("since", check.since))
    if check.after:
        silent = ", ".join("any other error" if one == EVERY_OTHER else f"`{one}`" for one in check.after)
        rows.append(("silent beside", silent))
    if check.about is not About.FILE:
        rows.append(("in the lab", f"`{check.lab}`"))
    if told:
        rows.append(("seen in", ", ".join(told.seen)))
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    remedies = dict.fromkeys(filter(None, (check.remedy, told.remedy if told else "")))
    parts = [f"## {check.slug}", f"**{check.title}**", f"| | |\n|---|---|\n{table}", _quoted(check.text)]
    if told:
        parts += ["### In a traceback or log", _quoted(told.text)] if told.text else []
        if told.causes:
            parts.append("What remains, most likely first: " + ", ".join(f"`{one.value}`" for one in told.causes) + ".")
    parts += ["### What to do", *map(_quoted, remedies)]
    if check.refer:
        parts += ["See also:", "\n".join(f"- <{url}>" for url in check.refer)]
    return "\n\n".join(filter(None, parts)) + "\n"


def book(catalogue: Catalogue) -> str:
    """All pages, in the order of the stages' files."""
    return "\n".join([_INTRO, *(page(check) for check in catalogue.checks.values())])


def _quoted(text: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: f"*{found[1].replace('_', ' ')}*", text)


if __name__ == "__main__":
    sys.stdout.write(book(load()))
