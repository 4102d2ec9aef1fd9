"""docs/images/check.svg, a picture of what `mcpdoctor check --lab` prints: `python -m screenshot FILE` in tests/.

It is the output of a run, cut to what fits on a page, and nothing else; `lines` are compared with a run by a test.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COMMAND = "mcpdoctor check --lab"
WIDTH = 118
CUT = "…"
_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b")
# No @font-face: the template of rich fetches its font from a CDN. The fonts of the reader's system do.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
  <title>mcpdoctor check --lab</title>
  <style>
    .{unique_id}-matrix {{
      font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
      font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
    }}
    {styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">{matrix}</g>
  </g>
</svg>
"""
_COLOURS = TerminalTheme(
    (27, 31, 36),
    (214, 220, 228),
    [
        *((70, 78, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65)),
        *((121, 192, 255), (210, 168, 255), (86, 212, 221), (214, 220, 228)),
    ],
)


def run() -> str:
    """What the command prints on a terminal, with its colours."""
    environ = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.split()], env=environ, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout


def cut(printed: str) -> str:
    """The table, the first thing to paste, and the first two findings; ids of requests are masked."""
    table, use, imports, program, *rest = _ID.sub("00000000-0000-0000-0000-000000000000", printed).split("\n\n")
    findings = [part for part in rest if "\x1b[31m" in part][:2]
    return "\n\n".join([table, use, imports, program, CUT, *findings, CUT])


def svg(shown: str) -> str:
    """The picture."""
    console = Console(record=True, width=WIDTH + 2, file=io.StringIO())
    console.print(Text.assemble(("$ ", "dim"), (COMMAND, "bold"), "\n"))
    console.print(Text.from_ansi(shown), no_wrap=True, crop=False)
    return console.export_svg(title="", theme=_COLOURS, code_format=_SVG, unique_id="check")


def lines(drawn: str) -> list[str]:
    """The lines of text in a picture, below the command."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for attributes, text in re.findall(r"<text ([^>]*)>(.*?)</text>", drawn):
        x, y = (float(re.search(rf'\b{axis}="([\d.]+)"', attributes)[1]) for axis in "xy")  # type: ignore[index]
        rows.setdefault(y, []).append((x, unescape(text).replace("\xa0", " ")))
    texts = ["".join(text for _, text in sorted(rows[y])).rstrip() for y in sorted(rows)]
    return [text for text in texts if text.strip()][1:]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg(cut(run())), encoding="utf-8")
