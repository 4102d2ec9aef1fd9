"""Known defects of versions: told where their circumstance is known to hold, and nowhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lint_examples import KIRO, URL, entry
from test_linting import lint

from mcpdoctor import defects, linting
from mcpdoctor.catalogue import Catalogue, load
from mcpdoctor.clients.known import known
from mcpdoctor.clients.source import Source
from mcpdoctor.defects import Wanted, exactly, known_defects, wanted
from mcpdoctor.explanation import explain
from mcpdoctor.failures import Failure
from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.linting import pins
from mcpdoctor.model import (
    Cause,
    Configuration,
    Environment,
    Exchange,
    LintFinding,
    Report,
    Result,
    Stage,
    Trace,
    Verdict,
)
from mcpdoctor.verdict import conclude

LIBRARY = (
    "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as iam\n"
    'iam("https://aws-mcp.us-east-1.api.aws/mcp", aws_service="aws-mcp", aws_region="us-east-1")\n'
)
HANGING = """\
import asyncio, sys
from mcp import ClientSession
from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client


async def main():
    async with aws_iam_streamablehttp_client(
        endpoint=sys.argv[1], aws_service="aws-mcp", aws_region="us-east-1"
    ) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()


try:
    asyncio.run(main())
except BaseException:
    raise TimeoutError("what gave up waiting for the session") from None
"""


def between(text: str) -> Wanted:
    found = wanted(text) or exactly(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "affected", "within"),
    [
        ("==1.6.0", ">=1.6.0,<1.6.2", True),
        ("==1.6.2", ">=1.6.0,<1.6.2", False),
        ("1.6.2rc1", "<1.6.2", True),
        ("~=1.5.0", "<1.6", True),
        ("==1.5.*", "<1.6", True),
        ("==1.*", "<1.6", False),
        (">=1.5", "<1.6", False),
        (">=1.5,<1.6", "<1.6", True),
        ("<=1.6", "<1.6", False),
        ("<1.6", ">=1.5,<1.6", True),  # pip takes the newest, and 1.5 is there to be taken
        ("<1.4", ">=1.5,<1.6", False),
        ("!=1.5", "<1.6", False),
        ("===1.5.0", "<1.6", True),
    ],
)
def test_a_version_is_affected_where_the_newest_that_is_asked_for_is(asked: str, affected: str, within: bool) -> None:
    assert between(asked).within(between(affected)) is within


def test_the_table_names_checks_that_exist(catalogue: Catalogue) -> None:
    for one in known_defects():
        assert set(one.checks) <= set(catalogue.checks), one.name
        assert one.files or one.checks or one.shows, one.name
        assert re.fullmatch(r"[a-z].*[^.]", one.text), one.name
        assert all(wanted(text) is not None for text in (one.affected, *one.beside.values())), one.name


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("mcp-proxy-for-aws@1.6.4", URL), ""),
        (("mcp-proxy-for-aws-cli@1.6.5", URL), ""),
        (("mcp-proxy-for-aws", URL), ""),
        (("mcp-proxy-for-aws>=1.5", URL), ""),
        (("mcp-proxy-for-aws~=1.5.0", URL), "loses its session"),
        (("--with", "fastmcp==3.2.4", "mcp-proxy-for-aws@1.5.0", URL), ""),
        (("--with", "fastmcp==3.3.1", "mcp-proxy-for-aws@1.6.1", URL), "with FastMCP 3.3"),
        (("mcp-proxy-for-aws@1.6.3", URL, "--read-only"), "calls them all the same"),
        (("mcp-proxy-for-aws@1.6.3", URL), ""),
        (("mcp-proxy-for-aws@1.1.4", URL), "No module named 'httpx'"),
    ],
)
def test_an_entry_is_judged_by_what_it_asks_for(args: tuple[str, ...], says: str, tmp_path: Path) -> None:
    found = [one.text for one in lint(tmp_path, KIRO, entry(*args)) if one.check == "config-version-defect"]
    assert len(found) == bool(says)
    assert all(says in text for text in found)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("requirements.txt", "boto3\n  mcp-proxy-for-aws==1.6.0 --hash=sha256:00  # why\n", (2, 3)),
        ("requirements-dev.in", "mcp_proxy_for_aws[extra] ~= 1.6.0 ; python_version > '3'\n", None),
        ("constraints.txt", "mcp-proxy-for-aws<1.6.6\n", (1, 1)),
        ("pyproject.toml", '[project]\ndependencies = ["mcp-proxy-for-aws==1.6.0"]\n', (2, 17)),
        ("pyproject.toml", '[project.optional-dependencies]\na = ["mcp-proxy-for-aws==1.6.0"]\n', (2, 6)),
        ("pyproject.toml", '[dependency-groups]\ndev = [{include-group = "a"}, "mcp-proxy-for-aws==1.6.0"]\n', (2, 31)),
        ("pyproject.toml", '[tool.poetry.dependencies]\nmcp-proxy-for-aws = "1.6.0"\n', (2, 21)),
        ("pyproject.toml", '[tool.poetry.group.a.dependencies]\nmcp-proxy-for-aws = {version = "~1.5"}\n', (2, 32)),
        ("pyproject.toml", '[tool.poetry.dependencies]\nmcp-proxy-for-aws = "^1.5"\n', None),
        ("uv.lock", '[[package]]\nname = "mcp-proxy-for-aws"\nversion = "1.6.0"\n', (3, 12)),
        ("poetry.lock", '[[package]]\nname = "mcp-proxy-for-aws"\nversion = "1.7.0"\n', None),
        ("requirements.txt", "mcp-proxy-for-aws==1.6.0 ; sys_platform == 'nowhere'\n", None),
        ("requirements.txt", "mcp-proxy-for-aws @ https://example.com/x.whl\n-r other.txt\n\0broken\n", None),
        ("pyproject.toml", "not toml at all", None),
    ],
)
def test_a_project_is_judged_by_what_it_asks_for_and_uses(
    name: str, text: str, place: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "agent.py").write_text(LIBRARY, encoding="utf-8")
    found = linted(tmp_path)
    assert [(one.line, one.column) for one in found] == ([place] if place else [])
    (tmp_path / "agent.py").write_text("print('mcp')\n", encoding="utf-8")
    assert linted(tmp_path) == []  # nobody uses it


def linted(directory: Path) -> list[LintFinding]:
    """Findings about versions below a directory."""
    catalogue = load()
    places = linting.Places(home=directory, project=directory, environ={}, platform="linux")
    state, files = linting.gather(["."], catalogue, known(), places)
    rules = linting.Rules(
        catalogue=catalogue, known=known(), profiles={}, defects=known_defects(), words=state.words, platform="linux"
    )
    found = [finding for file in files for finding in linting.judge(file, rules).findings]
    return [one for one in found if one.check == "config-version-defect"]


def test_the_header_of_a_script_is_read_at_its_place() -> None:
    text = '# /// script\n# requires-python = ">=3.11"\n# dependencies = [\n#   "mcp==1.9.2",\n# ]\n# ///\nimport mcp\n'
    [pin] = pins.of_script(Source("agent.py", text))
    assert (pin.package, pin.written, str(pin.at.place)) == ("mcp", "1.9.2", "agent.py:4:6")
    assert pins.of_script(Source("agent.py", "# /// script\n# nonsense [\n# ///\n")) == ()


SEEN = "httpx.HTTPStatusError: Client error '403 Forbidden' for url 'https://aws-mcp.us-east-1.api.aws/mcp'\n"
OLD = "mcp-proxy-for-aws==1.6.0\nstrands-agents==1.10.0\n"


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        (SEEN, []),
        (SEEN + OLD, []),  # it raised, and did not hang
        (SEEN + OLD + "KeyboardInterrupt\n", ["strands-agents"]),  # how the proxy was used is not known
        (SEEN + "strands-agents==1.10.0 strands-agents==1.16.0\nKeyboardInterrupt\n", []),
        ("RuntimeError: Unsupported protocol version from the server: 2025-03-26\nmcp 1.7.1\n", ["mcp"]),
        ("RuntimeError: Unsupported protocol version from the server: 2025-03-26\nmcp 1.30.0\n", []),
        ("MCP error -32602: Invalid request parameters\nuvx mcp-proxy-for-aws@1.6.4 URL\n", ["mcp-proxy-for-aws"]),
        ("MCP error -32602: Invalid request parameters\nuvx mcp-proxy-for-aws@1.6.5 URL\n", []),
        (
            "ImportError: cannot import name 'eval_type_backport' from 'pydantic._internal._typing_extra' "
            "(/x/site-packages/pydantic/_internal/_typing_extra.py)\nmcp==1.20.0\npydantic==2.14.1\n",
            ["mcp"],
        ),
    ],
)
def test_a_text_is_told_the_defects_that_it_shows(text: str, packages: list[str]) -> None:
    first, *others = explain(text).findings
    assert first.check != defects.CHECK
    noted = [one for one in (first, *others) if one.check == defects.CHECK]
    assert [one.text.partition(" ")[0] for one in noted] == packages


def refused(error: str, packages: dict[str, str]) -> Report:
    """What `check` saw: a request of its own client was refused, and this is what the client raised."""
    exchange = Exchange(
        method="POST", url="https://lab.test/mcp", status=403, headers={}, body="{}", complete=True, elapsed_s=0.1
    )
    trace = Trace(stage=Stage.CALL, verdict=Verdict.FAILED, exchanges=(exchange,), failures=((Failure(type=error),),))
    configuration = Configuration(
        endpoint="https://lab.test/mcp", region="us-east-1", service="aws-mcp", credential="default"
    )
    result = Result(
        target="lab", configuration=configuration, works=None, stage=Stage.CALL, elapsed_s=0.1, stages=(trace,)
    )
    return conclude(Report(mcpdoctor="0", environment=Environment(packages=packages), results=(result,)), load())


@pytest.mark.parametrize(
    ("error", "version", "noted"),
    [
        ("TimeoutError", "1.6.4", True),
        ("TimeoutError", "1.6.6", False),
        ("TimeoutError", "nonsense", False),
        ("httpx.HTTPStatusError", "1.6.4", False),
    ],
)
def test_check_says_so_where_its_own_client_waits_for_ever(error: str, version: str, noted: bool) -> None:
    [result] = refused(error, {"mcp-proxy-for-aws": version}).results
    assert (defects.CHECK in [one.check for one in result.findings]) is noted
    assert result.findings[0].check != defects.CHECK
    assert result.cause is not Cause.VERSION_DEFECT


@pytest.mark.provokes("version-known-defect")
@pytest.mark.parametrize("version", ["1.6.0", "1.6.6"])
def test_run_names_the_defect_of_the_version_that_the_program_has(version: str, lab: Lab, tmp_path: Path) -> None:
    about = tmp_path / "site" / f"mcp_proxy_for_aws-{version}.dist-info"
    about.mkdir(parents=True)  # as if this version were what is imported
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mcp-proxy-for-aws\nVersion: {version}\n")
    (tmp_path / "agent.py").write_text(HANGING, encoding="utf-8")
    url = FAULTS["auth/access-denied"].url(lab)
    done = subprocess.run(
        [sys.executable, "-m", "mcpdoctor", "run", "--", sys.executable, str(tmp_path / "agent.py"), url],
        env={**os.environ, **lab.env, "PYTHONPATH": str(about.parent)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "access-denied: " in done.stderr
    assert ("[version-known-defect]" in done.stderr) is (version == "1.6.0")
    assert ("mcp-proxy-for-aws 1.6.0 waits for ever" in " ".join(done.stderr.split())) is (version == "1.6.0")


@pytest.mark.parametrize(
    ("version", "anew"),
    [("1.5.0", False), ("1.6.0", True), ("1.6", True), ("1.6.1", True), ("1.6.2", False), ("1.7.0", False)],
)
def test_which_proxies_name_their_sessions_anew(version: str, anew: bool) -> None:
    assert defects.proxy_facts(version)["proxy_names_anew"] is anew
