"""The text of a first suite file. Pure.

Comments in words begin with `# `. Examples that work once their `#` is taken away begin with `#` alone; a test takes
all of them away.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from mcpdoctor.proposing.lines import LeftOut, Line, Proposal
from mcpdoctor.redaction import clean

SCHEMA = "https://mcpdoctor.github.io/mcpdoctor/suite.schema.json"
"""Where editors find the JSON Schema of the file."""

DEFAULT = Line(target="aws-mcp", credentials=("default",))
"""What is asked where a project uses nothing: the one server that AWS runs for everybody, signed."""

_WIDTH = 110
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f]")

_ABOUT = """\
# What `mcpdoctor check` tries in this directory, and what must hold. `mcpdoctor init` wrote it; now it is yours.
# Every key: https://github.com/mcpdoctor/mcpdoctor/blob/main/docs/suite.md
"""
_REPORTS = """\
#outputs = ["mcpdoctor.html", "junit:mcpdoctor.xml"]  # reports that every check writes, as -o does
#fail-on = "warning"                                  # exit with 1 for warnings too
"""
_TARGETS = """\
# Each target is tried with every combination of its values, and one that works is enough. Tables of the same target
# count as one, unless they have a name.
# target: a name (mcpdoctor targets lists them) or a URL. credentials: default, env, profile:NAME,
# bearer:VARIABLE (a token in an environment variable), none. In CI, where a role comes from the environment,
# take default: mcpdoctor check -c default uses it in place of what stands here.
"""
_REQUIRE = """\
# What must hold besides. For one target, write [{table}targets.require] below it.
#[{table}require]
#workers = 2                               # parallel workers that must be safe; measures the ceiling
#latency = 5.0                             # seconds that the best configuration may take
#tools = ["aws___search_documentation"]    # tools that must be listed
#forbid = ["rate-limited"]                 # checks or causes that must not be found
"""


def written(proposal: Proposal, project: str, *, table: str = "") -> str:
    """Write the file.

    Args:
        proposal: what was found.
        project: name of the project, for the title.
        table: what stands before the names of tables: `tool.mcpdoctor` inside of a pyproject.toml.

    Returns:
        TOML, with line feeds.
    """
    prefix = f"{table}." if table else ""
    head = _ABOUT if table else f"#:schema {SCHEMA}\n{_ABOUT}\n"
    if table:
        head += f"[{table}]\n"
    title = f"MCP servers of {clean(project, limit=60)}" if project.strip() else "MCP servers"
    parts = [f"{head}title = {text(title)}\n{_REPORTS}", _TARGETS.rstrip("\n")]
    if proposal.lines:
        parts += ["\n".join(_block(one, prefix)) for one in proposal.lines]
    else:
        nothing = "# Nothing in this project names an endpoint of AWS, so here is the AWS MCP Server."
        parts.append("\n".join([nothing, *_block(DEFAULT, prefix)]))
    possible = [one for one in proposal.left_out if one.line is not None]
    impossible = [one for one in proposal.left_out if one.line is None]
    parts += ["\n".join(_possible(one, prefix)) for one in possible]
    if impossible:
        told = [words for one in impossible for words in _comment(f"{one.use}: {one.why}.")]
        parts.append("\n".join(["# Left out:", *told]))
    parts.append(_REQUIRE.format(table=prefix))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def text(value: str) -> str:
    """A text as a basic string of TOML."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _UNWRITABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted) + '"'


def _texts(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(text, values))}]"


def _block(line: Line, prefix: str) -> Iterator[str]:
    for words in (*map(str, line.uses), *line.remarks):
        yield from _comment(words)
    yield from _table(line, prefix)


def _table(line: Line, prefix: str) -> Iterator[str]:
    yield f"[[{prefix}targets]]"
    yield f"target = {text(line.target)}"
    if line.name:
        yield f"name = {text(line.name)}"
    for key, values in (("regions", line.regions), ("services", line.services), ("credentials", line.credentials)):
        if values:
            yield f"{key} = {_texts(values)}"


def _possible(one: LeftOut, prefix: str) -> Iterator[str]:
    """A target that only its owner can complete: a comment that becomes one."""
    yield from _comment(f"{one.use}: {one.why}. To check it, take away the # of:")
    yield from (f"#{words}" for words in _table(one.line or DEFAULT, prefix))


def _comment(words: str) -> list[str]:
    """A comment, whatever a file holds."""
    plain = " ".join(_UNWRITABLE.sub(" ", words).split())
    return textwrap.wrap(f"# {plain}", _WIDTH, subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False)
