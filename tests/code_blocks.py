"""The code blocks of the docs: where they stand, what they say, and what a command in one is made of."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "checks/README.md")
PAGES = (*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in AT_TOP))

_FENCE = re.compile(
    r"(?:^<!-- output: (?P<of>.+) -->\n)?^(?P<indent> *)```(?P<info>.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$",
    re.MULTILINE,
)
_PROMPT = "$ "


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        page: path below the root of the project.
        line: of its first line, from 1.
        language: what follows the fence.
        text: what stands in it.
        of: the command whose output it shows, as the comment above it says; empty for most.
    """

    page: str
    line: int
    language: str
    text: str
    of: str = ""

    def __str__(self) -> str:
        """Where it is, for the names of tests."""
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages, or all."""
    return [one for page in PAGES for one in _blocks(page) if not languages or one.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start("text")) + 1,
            language=found["info"].strip(),
            text=textwrap.dedent(found["text"]) if found["indent"] else found["text"],
            of=found["of"] or "",
        )


def commands(block: Block) -> Iterator[str]:
    """The command lines of a block of `console` (each behind a prompt) or `sh`, without their comments."""
    for line in _lines(block):
        if words := _without_comment(line.removeprefix(_PROMPT)):
            yield words


def no_commands(block: Block) -> list[str]:
    """The lines of a block of `console` that are no commands."""
    return [line for line in _lines(block) if block.language == "console" and not line.startswith(_PROMPT)]


def _lines(block: Block) -> list[str]:
    return block.text.replace("\\\n", " ").splitlines()


def _without_comment(line: str) -> str:
    return re.sub(r"(?:^|\s)#\s.*", "", line).strip()


def steps(line: str) -> Iterator[tuple[str, list[str]]]:
    """A command line taken apart: each command with the sign that leads to it (`;`, `|` or nothing).

    Redirections are left out.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split = True
    sign, skip = "", False
    words: list[str] = []
    for word in lexer:
        if word in (";", "|", "&&"):
            yield sign, words
            sign, words = word, []
        elif word in (">", ">&", "<"):
            skip = True
            if words and words[-1].isdigit():
                words.pop()
        elif skip:
            skip = False
        else:
            words.append(word)
    yield sign, words
