"""Reports as the command line writes them: several at once, whole or not at all, the same again from a saved one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mcpdoctor.cli import cli
from mcpdoctor.render import FORMATS

GOLDEN = Path(__file__).parent / "golden"
REPORT = str(GOLDEN / "report.json")
BOTH = ["-e", "https://aws-mcp.us-east-1.api.aws/mcp", "-s", "aws-mcp", "-s", "iam", "-c", "default"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mcpdoctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_saved_report_is_drawn_with_the_same_bytes_as_the_run_did() -> None:
    outputs = [word for form in FORMATS for word in ("-o", f"{form}:run.{form}")]
    command = [sys.executable, "-m", "mcpdoctor", "check", "--lab", *BOTH, "-q", *outputs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for more in ((), ("--as-judged",)):
        again = [word for form in FORMATS for word in ("-o", f"{form}:again.{form}")]
        told = mcpdoctor("render", "-q", "run.json", *more, *again)
        assert (told.exit_code, told.stdout) == (0, done.stdout)
        for form in FORMATS:
            assert Path(f"again.{form}").read_bytes() == Path(f"run.{form}").read_bytes(), form


@pytest.mark.parametrize("form", FORMATS)
def test_a_report_of_lint_is_drawn_with_the_same_bytes_too(form: str) -> None:
    Path(".mcp.json").write_text(
        '{"mcpServers": {"a": {"command": "uvx", "args": ["mcp-proxy-for-aws@latest", "nonsense"]}}}'
    )
    Path("b.mcp.json").write_text('{"mcpServers": {}}')
    drawn = mcpdoctor("lint", ".", "--format", form, "-o", "json:saved.json").stdout
    assert mcpdoctor("render", "saved.json", "--format", form).stdout == drawn


def test_the_ending_of_a_file_names_its_format() -> None:
    names = ["r.xml", "r.html", "r.md", "r.sarif", "s.sarif.json", "r.txt", "r.json", "r.prom"]
    told = mcpdoctor("render", "--as-judged", "-q", REPORT, *(word for name in names for word in ("-o", name)))
    assert told.exit_code == 1  # that of the report
    starts = {name: Path(name).read_text(encoding="utf-8")[:14] for name in names}
    assert starts["r.xml"].startswith("<?xml")
    assert starts["r.html"] == "<!DOCTYPE html"
    assert starts["r.md"] == "## mcpdoctor: "
    assert starts["r.sarif"] == starts["s.sarif.json"] == '{\n  "$schema": '[:14]
    assert Path("r.prom").read_text().endswith("# EOF\n")


@pytest.mark.parametrize(
    "outputs",
    [
        ("nowhere/x.json",),
        (".",),
        ("x.weather",),
        ("weather:x",),
        ("x.json", "json:./x.json"),
        ("junit:",),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_sent(outputs: tuple[str, ...]) -> None:
    told = mcpdoctor("check", "https://127.0.0.1:1/mcp", *(word for name in outputs for word in ("-o", name)))
    assert (told.exit_code, told.stdout) == (2, "")
    assert len(told.stderr.splitlines()[-1]) < 250
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_without_permission_is_refused() -> None:
    Path("x.json").touch(mode=0o400)
    assert mcpdoctor("render", REPORT, "-o", "x.json").exit_code == 2


def test_a_file_is_replaced_whole_and_keeps_its_mode() -> None:
    target, link = Path("target.json"), Path("x.json")
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    with target.open() as reader:
        mcpdoctor("render", "--as-judged", REPORT, "-o", "x.json", "-q")
        assert reader.read() == "old"
    assert link.is_symlink()
    assert target.read_bytes() == (GOLDEN / "report.json").read_bytes()
    assert target.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in Path().iterdir()} == {"target.json", "x.json"}


def test_a_device_is_written_to_as_it_is() -> None:
    assert mcpdoctor("render", "--as-judged", REPORT, "-o", f"json:{os.devnull}", "-q").exit_code == 1
    assert Path(os.devnull).is_char_device()


def test_a_disk_that_fills_up_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.json").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    told = mcpdoctor("render", REPORT, "-o", "x.json", "-q")
    assert told.exit_code == 2
    assert "x.json: cannot be written: No space left on device." in told.stderr
    assert Path("x.json").read_text() == "old"
    assert [path.name for path in Path().iterdir()] == ["x.json"]


def test_the_summary_of_a_github_job_is_appended_and_never_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before\n")
    mcpdoctor("render", "--as-judged", REPORT)
    assert Path("summary.md").read_text() == "before\n"  # only where annotations are asked for
    mcpdoctor("render", "--as-judged", REPORT, "--format", "github")
    assert Path("summary.md").read_text() == "before\n" + (GOLDEN / "report.md").read_text()
    Path("summary.md").write_text("x" * (2**20 - 3_000))
    mcpdoctor("render", "--as-judged", REPORT, "-o", "github:out")
    assert 2**20 - 3_000 < Path("summary.md").stat().st_size <= 2**20
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nowhere/summary.md")
    told = mcpdoctor("render", REPORT, "--format", "github")
    assert told.exit_code == 2
    assert "GITHUB_STEP_SUMMARY" in told.stderr


@pytest.mark.parametrize("command", [["--help"], ["check", "--help"], ["render", REPORT, "--format", "junit"]])
def test_jinja_is_imported_for_the_page_alone(command: list[str]) -> None:
    code = (
        "import sys\nfrom mcpdoctor.cli import cli\n"
        f"try: cli({command!r})\nexcept SystemExit: pass\n"
        "print(sorted({'jinja2', 'markupsafe'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
