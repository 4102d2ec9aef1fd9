"""The plugin of pytest, in sessions of pytest of their own: a scratch project that uses it as a user's would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mcpdoctor.integrations import preflight
from mcpdoctor.lab import Lab, Options
from mcpdoctor.model import Unusable

USE = """
import anyio
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

async def talk(url, held_s=0.0):
    async with streamable_http_client(url) as (receive, send, _), ClientSession(receive, send) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        await anyio.sleep(held_s)
        return [tool.name for tool in tools]
"""


class Project:
    """A scratch project, and pytest in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "use.py").write_text(USE)
        (directory / "pytest.ini").write_text("[pytest]\naddopts = -p no:randomly -p no:cacheprovider\n")

    def write(self, text: str, name: str = "test_it.py") -> None:
        (self.directory / name).write_text(textwrap.dedent(text))

    def pytest(self, *arguments: str, code: int = 0, **environ: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", f"--basetemp={self.directory / 'temporary'}", *arguments],
            cwd=self.directory,
            env={**os.environ, "COLUMNS": "120", **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


class TestTheLabAsAFixture:
    def test_a_client_reaches_a_server_of_its_own(self, project: Project) -> None:
        project.write("""
            import anyio, os
            from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client
            from mcp import ClientSession
            from use import talk

            def test_unsigned(mcp_lab):
                assert "aws___search_documentation" in anyio.run(talk, mcp_lab.url("aws-mcp"))
                assert [one.rpc_method for one in mcp_lab.requests][0] == "initialize"

            def test_signed(mcp_lab):
                async def main():
                    client = aws_iam_streamablehttp_client(
                        endpoint=mcp_lab.url("aws-mcp/eu-west-1"), aws_service="aws-mcp", aws_region="eu-west-1"
                    )
                    async with client as (receive, send, _), ClientSession(receive, send) as session:
                        await session.initialize()
                        await session.list_tools()
                anyio.run(main)
                assert os.environ["AWS_ACCESS_KEY_ID"] == mcp_lab.env["AWS_ACCESS_KEY_ID"]
                assert "AWS_PROFILE" not in os.environ
        """)
        assert "2 passed" in project.pytest(AWS_PROFILE="of-the-user", AWS_SESSION_TOKEN="left-over")

    def test_faults_and_limits_are_chosen_by_name(self, project: Project) -> None:
        project.write("""
            import anyio, httpx, pytest
            from use import talk

            pytestmark = pytest.mark.mcp_lab(limits="sessions:9", latency_s=0.001)

            async def together(url, count):
                async def one(): await talk(url, 0.5)
                async with anyio.create_task_group() as group:
                    for _ in range(count):
                        group.start_soon(one)

            @pytest.mark.mcp_lab(limits="sessions:1")
            def test_a_second_session_is_refused(mcp_lab):
                assert mcp_lab.options.latency_s == 0.001
                with pytest.raises(BaseExceptionGroup):
                    anyio.run(together, mcp_lab.url("aws-knowledge"), 2)

            def test_two_fit(mcp_lab):
                anyio.run(together, mcp_lab.url("aws-knowledge"), 2)

            def test_a_fault(mcp_lab):
                answer = httpx.post(mcp_lab.url("fault/http/server-error"), json={"jsonrpc": "2.0"})
                assert answer.status_code == 500
        """)
        assert "3 passed" in project.pytest()

    def test_tests_side_by_side_have_servers_of_their_own(self, project: Project) -> None:
        project.write("""
            import anyio, pytest
            from use import talk

            @pytest.mark.parametrize("number", range(8))
            @pytest.mark.mcp_lab(limits="sessions:1")
            def test_alone(mcp_lab, number):
                anyio.run(talk, mcp_lab.url("aws-knowledge"), 0.2)
        """)
        assert "8 passed" in project.pytest("-n", "4")

    @pytest.mark.parametrize(
        ("marker", "words"),
        [
            ("limit='sessions:1'", "mcp_lab has no option limit; did you mean limits?"),
            ("'sessions:1'", "the options of mcp_lab have names"),
            ("limits='sessions:none'", "sessions:none"),
            ("mode='1999-12'", "No such mode: '1999-12'"),
        ],
    )
    def test_an_option_that_makes_no_sense_is_named(self, project: Project, marker: str, words: str) -> None:
        project.write(f"import pytest\n\n@pytest.mark.mcp_lab({marker})\ndef test_it(mcp_lab): ...\n")
        assert words in project.pytest(code=1)

    def test_a_name_that_the_lab_has_not_brings_the_nearest(self) -> None:
        with Lab(Options()) as lab, pytest.raises(ValueError, match="there are aws-mcp"):
            lab.url("aws-mpc")


class TestPreflight:
    def test_without_the_option_nothing_happens(self, project: Project) -> None:
        project.write("""
            import sys
            def test_it():
                assert not {"mcpdoctor.engine", "mcpdoctor.lab", "mcp", "botocore", "httpx"} & set(sys.modules)
        """)
        drawn = project.pytest()
        assert "1 passed" in drawn
        assert "mcpdoctor:" not in drawn

    def test_what_works_is_said_and_given_to_the_tests(self, project: Project) -> None:
        project.write("""
            import anyio
            from use import talk
            def test_it(mcp_endpoint):
                assert not mcp_endpoint.signed
                assert anyio.run(talk, mcp_endpoint.endpoint)
        """)
        with Lab(Options()) as lab:
            url = lab.url("aws-knowledge")
            for more in ((), ("-n", "2")):
                drawn = project.pytest(f"--mcpdoctor={url}", "--mcpdoctor-args=--credential none", *more)
                assert "1 passed" in drawn
                assert f"works at {url}, unsigned" in drawn

    def test_where_nothing_works_the_session_ends_at_once_with_the_diagnosis(self, project: Project) -> None:
        project.write("raise SystemExit('collected')\n")
        with Lab(Options()) as lab:
            url, args = lab.url("aws-mcp"), "--mcpdoctor-args=--service iam --region us-east-1"
            for more in ((), ("-n", "2"), ("-n", "auto")):
                drawn = project.pytest(f"--mcpdoctor={url}", args, *more, code=1, **lab.env)
                assert "wrong-service" in drawn
                assert "no configuration works; nothing was collected" in drawn
                assert "Traceback" not in drawn

    def test_a_check_that_is_refused_is_a_wrong_use(self, project: Project) -> None:
        project.write("def test_it(): ...\n")
        assert "no-such-suite is neither a suite" in project.pytest("--mcpdoctor=no-such-suite", code=4)
        assert "No closing quotation" in project.pytest("--mcpdoctor", "--mcpdoctor-args='", code=4)

    def test_no_module_of_the_project_takes_the_place_of_one_that_the_check_needs(self, tmp_path: Path) -> None:
        """A package mcp/ beside the tests is what many a project of MCP has."""
        (tmp_path / "click.py").write_text("raise SystemExit('of the project')\n")
        with pytest.raises(Unusable, match="no-such-suite is neither a suite"):
            preflight.run(["--suite", "no-such-suite"], directory=tmp_path)

    def test_the_fixture_asks_for_the_preflight(self, project: Project) -> None:
        project.write("def test_it(mcp_endpoint): ...\n")
        assert "run pytest with --mcpdoctor" in project.pytest(code=1)

    def test_auto_starts_as_many_workers_as_are_safe(self, project: Project) -> None:
        """An eval suite of ten cases, of which each holds a session: ten at a time are too many, auto is not."""
        project.write("""
            import anyio, os, pytest
            from use import talk

            @pytest.mark.parametrize("case", range(10))
            def test_case(case):
                assert anyio.run(talk, os.environ["ENDPOINT"], 1.0)
        """)
        with Lab(Options()) as lab:
            url = lab.url("aws-knowledge")
            drawn = project.pytest("-n", "10", code=1, ENDPOINT=url)
            assert re.search(r"[1-9] failed", drawn)
            ask = (f"--mcpdoctor={url}", "--mcpdoctor-args=--credential none", "-n", "auto")
            drawn = project.pytest(*ask, ENDPOINT=url)
            assert "10 passed" in drawn
            assert "allows 3 parallel workers" in drawn
            assert "3 workers" in drawn
