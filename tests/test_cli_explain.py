"""`mcpdoctor explain` as a person or a script meets it: what it reads, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_cli import finished, refused, run

from mcpdoctor import texts
from mcpdoctor.cli import cli

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"
REFUSED = "httpx.ConnectError: [Errno 111] Connection refused\n"
EXPIRED = (
    f'HTTP 401 Unauthorized from {AWS_MCP}: {{"message": "The security token included in the request is expired"}}\n'
)
STATUS = f'INFO:httpx:HTTP Request: POST {AWS_MCP} "HTTP/1.1 403 Forbidden"\n'
SWALLOWED = "mcp.shared.exceptions.McpError: Server returned an error response\n"
HEALTHY = f'INFO:httpx:HTTP Request: POST {AWS_MCP} "HTTP/1.1 200 OK"\n' * 5


def file(directory: Path, name: str, content: str | bytes) -> str:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def invoked(*arguments: str, data: bytes | None = None) -> Result:
    """Run the command in this process, with a pipe as its standard input."""
    return CliRunner().invoke(cli, ["explain", *arguments], input=data)


def documents(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


# --- Where the text comes from ---


def test_a_file_is_explained(tmp_path: Path) -> None:
    shown = run("explain", file(tmp_path, "agent.log", EXPIRED))
    assert shown.startswith("expired-credentials: The credentials have expired [auth-expired-credentials]\n")
    assert f"From: {AWS_MCP}" in shown
    assert "agent.log" not in shown


def test_a_pipe_is_explained_where_nothing_is_named() -> None:
    assert run("explain", text=REFUSED).startswith("connection-refused: ")


def test_a_dash_is_standard_input() -> None:
    assert run("explain", "-", text=REFUSED) == run("explain", text=REFUSED)


def test_standard_input_among_files_has_a_name(tmp_path: Path) -> None:
    result = invoked("-", file(tmp_path, "b.log", EXPIRED), "-q", data=REFUSED.encode())
    assert result.stdout.splitlines() == [
        "standard input: connection-refused",
        f"{tmp_path / 'b.log'}: expired-credentials",
    ]


def test_several_files_are_explained_each_under_its_name(tmp_path: Path) -> None:
    names = [file(tmp_path, "a.log", REFUSED), file(tmp_path, "b.log", EXPIRED)]
    blocks = run("explain", *names).strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == names
    assert [block.splitlines()[1].partition(":")[0] for block in blocks] == [
        "connection-refused",
        "expired-credentials",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_file_of_windows_is_explained(encoding: str, tmp_path: Path) -> None:
    content = (HEALTHY + EXPIRED).replace("\n", "\r\n").encode(encoding)
    assert run("explain", file(tmp_path, "a.log", content)).startswith("expired-credentials: ")


def test_a_file_in_utf_16_is_explained_from_a_pipe() -> None:
    result = invoked("-q", data=REFUSED.encode("utf-16"))
    assert (result.exit_code, result.stdout) == (0, "standard input: connection-refused\n")


def test_a_large_file_is_explained_by_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MAX_BYTES", 2**20)
    name = file(tmp_path, "a.log", HEALTHY + "nothing to see here\n" * 200_000 + EXPIRED)
    result = invoked(name)
    assert (result.exit_code, result.stdout.partition(":")[0]) == (0, "expired-credentials")
    assert re.fullmatch(r".*a\.log is large: 2 MiB at the beginning were left out, .* were read\.\n", result.stderr)


def test_hundreds_of_megabytes_are_explained_in_the_memory_of_their_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("wb") as written:
        written.write(HEALTHY.encode() * 100)
        written.seek(200 * 2**20)  # a hole, which takes no room on the disk
        written.write((b"x" * 4095 + b"\n") * (texts.MAX_BYTES // 4096 + 512) + EXPIRED.encode())
    done = finished("explain", str(path))
    assert (done.returncode, done.stdout.partition(":")[0]) == (0, "expired-credentials")
    assert re.fullmatch(r".*a\.log is large: \d+ MiB at the beginning .* the last 16 MiB were read\.\n", done.stderr)


# --- What it prints ---


def test_one_file_is_one_json_document_without_its_name(tmp_path: Path) -> None:
    [document] = documents(run("explain", "--format", "json", file(tmp_path, "a.log", EXPIRED)))
    assert {"schema_version", "cause", "causes", "http_status", "url", "chains", "findings", "advice"} <= set(document)
    assert "file" not in document
    assert (document["schema_version"], document["cause"], document["http_status"]) == (1, "expired-credentials", 401)
    assert document["url"] == AWS_MCP
    assert document["findings"][0]["check"] == "auth-expired-credentials"
    assert {"cause", "severity", "title", "text", "remedy", "evidence", "url"} <= set(document["findings"][0])


def test_several_files_are_one_json_document_a_line_with_their_names(tmp_path: Path) -> None:
    names = [file(tmp_path, "a.log", REFUSED), file(tmp_path, "b.log", EXPIRED), file(tmp_path, "c.log", SWALLOWED)]
    found = documents(run("explain", "--format", "json", *names, codes=(1,)))
    assert [(one["file"], one["cause"]) for one in found] == list(
        zip(names, ["connection-refused", "expired-credentials", "unexplained"], strict=True)
    )


def test_an_exception_is_a_chain_of_types_and_messages(tmp_path: Path) -> None:
    text = f'Traceback (most recent call last):\n  File "a.py", line 1, in main\n{REFUSED}'
    [document] = documents(run("explain", "--format", "json", file(tmp_path, "a.log", text)))
    [[failure]] = document["chains"]
    assert failure == {
        "type": "httpx.ConnectError",
        "message": "[Errno 111] Connection refused",
        "errno": failure["errno"],
    }


def test_quiet_is_one_line_a_file(tmp_path: Path) -> None:
    names = [file(tmp_path, "a.log", REFUSED), file(tmp_path, "b.log", HEALTHY)]
    assert run("explain", "-q", *names, codes=(1,)) == f"{names[0]}: connection-refused\n{names[1]}: unexplained\n"
    assert run("explain", "-q", names[0]) == f"{names[0]}: connection-refused\n"


def test_a_status_without_its_reason_leads_to_the_command_that_tells_it(tmp_path: Path) -> None:
    shown = run("explain", file(tmp_path, "a.log", STATUS))
    assert "What remains, most likely first: access-denied, " in shown
    assert f"mcpdoctor check {AWS_MCP}" in " ".join(shown.split())


def test_colour_is_only_for_those_who_ask(tmp_path: Path) -> None:
    names = [file(tmp_path, "a.log", REFUSED), file(tmp_path, "b.log", EXPIRED)]
    assert "\x1b" not in run("explain", *names)
    assert "\x1b[1m" in run("explain", *names, FORCE_COLOR="1")
    assert "\x1b" not in run("explain", *names, FORCE_COLOR="1", NO_COLOR="1")


HOSTILE = (
    "ERROR \x1b]0;owned\x07\x1b[31mHTTP 403\x1b[0m \x1b[2J\x9b31m \x00\x08 \u202egnp.exe\u202c \u200b"
    "User: AKIAIOSFODNN7EXAMPLE is not authorized to perform: x\r\n::error::a workflow command\n"
)


@pytest.mark.parametrize("options", [[], ["-q"], ["--format", "json"]])
def test_hostile_text_reaches_no_terminal(options: list[str], tmp_path: Path) -> None:
    trace = f'Traceback (most recent call last):\n  File "a.py", line 1, in main\nRuntimeError: {HOSTILE}'
    names = [file(tmp_path, "a.log", HOSTILE), file(tmp_path, "b.log", trace)]
    shown = run("explain", *options, *names)
    plain = json.dumps(documents(shown), ensure_ascii=False) if "json" in options else shown
    for text in (shown, plain):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
    assert "access-denied" in shown
    assert "AKIAIOSFODNN7EXAMPLE" not in shown
    assert not re.search("^::", shown, flags=re.MULTILINE)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_the_name_of_a_file_is_as_hostile_as_its_text(tmp_path: Path) -> None:
    names = [file(tmp_path, "a\x1b[31m\nb.log", REFUSED), file(tmp_path, "c.log", REFUSED)]
    for options in ([], ["-q"]):
        shown = run("explain", *options, *names)
        assert "\x1b" not in shown
    missing = refused("explain", "no\x1b[31msuch\nfile", names[1][:-5] + "d.log")
    assert "\x1b" not in missing


# --- How it ends ---


def test_the_exit_code_tells_whether_every_cause_was_named(tmp_path: Path) -> None:
    good, bad, healthy = (
        file(tmp_path, name, text) for name, text in (("a", EXPIRED), ("b", SWALLOWED), ("c", HEALTHY))
    )
    run("explain", good, codes=(0,))
    run("explain", bad, codes=(1,))
    run("explain", healthy, codes=(1,))
    run("explain", good, good, codes=(0,))
    run("explain", good, bad, codes=(1,))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty; give the traceback or the log of the program that failed"),
        (b"\n \r\n\t", "empty"),
        (b"\0" * 5000, "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 20, "not a text file"),
        (bytes((n * 167 + 13) % 256 for n in range(4000)), "not a text file"),
    ],
    ids=["nothing", "blanks", "zeros", "png", "noise"],
)
def test_what_holds_no_text_is_refused_in_one_sentence(content: bytes, says: str, tmp_path: Path) -> None:
    name = file(tmp_path, "a.log", content)
    said = refused("explain", name)
    assert f"{name}: " in said.replace("\n", "")
    assert says in said
    assert invoked("-", data=content).exit_code == 2


def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    assert "cannot be read: " in refused("explain", str(tmp_path))
    assert "is neither a file nor a check nor a cause" in refused("explain", str(tmp_path / "no-such.log"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_what_may_not_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    name = file(tmp_path, "a.log", EXPIRED)
    Path(name).chmod(0)
    assert "cannot be read: Permission denied" in refused("explain", name)


@pytest.mark.parametrize("form", [[], ["-q"], ["--format", "json"]])
def test_a_file_that_cannot_be_read_keeps_no_other_from_being_explained(form: list[str], tmp_path: Path) -> None:
    names = [str(tmp_path / "gone.log"), file(tmp_path, "a.log", EXPIRED), file(tmp_path, "b.log", b"")]
    done = finished("explain", *form, *names)
    assert (done.returncode, done.stdout.count("expired-credentials: ") > 0 or bool(form)) == (2, True)
    assert "expired-credentials" in done.stdout
    assert "connection-refused" not in done.stdout
    assert "gone.log is neither a file" in done.stderr
    assert "b.log: empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_that_make_no_sense_are_refused() -> None:
    assert "is not one of" in refused("explain", "--format", "xml", "-", text=REFUSED)
    assert "no such directory" in refused("explain", "--checks", "/no/such/directory", "-", text=REFUSED)


# --- Pages ---


@pytest.mark.parametrize("what", ["auth-wrong-service", "wrong-service"])
def test_a_word_that_is_a_check_or_a_cause_shows_its_page(what: str) -> None:
    assert "Signed for the wrong service" in run("explain", what)


def test_a_word_that_is_nearly_a_check_is_met_with_the_nearest() -> None:
    assert "did you mean auth-wrong-service?" in refused("explain", "auth-wrong-servce")


def test_a_file_that_is_called_like_a_check_is_named_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file(tmp_path, "rate-limited", REFUSED)
    page = invoked("rate-limited")
    assert (page.exit_code, "Throttled" in page.stdout, "connection-refused" in page.stdout) == (0, True, False)
    explained = invoked("./rate-limited")
    assert (explained.exit_code, explained.stdout.partition(":")[0]) == (0, "connection-refused")


def test_pages_and_files_may_be_named_together(tmp_path: Path) -> None:
    shown = run("explain", "rate-limited", file(tmp_path, "a.log", EXPIRED))
    assert shown.index("Throttled") < shown.index("expired-credentials: ")


def test_checks_of_the_user_read_texts(tmp_path: Path) -> None:
    (tmp_path / "client.toml").write_text(
        '[our-gateway]\ntitle = "Our gateway is asleep"\ncause = "server-error"\nseverity = "error"\nstage = "open"\n'
        'since = "0.1.0"\ntext = "{said}."\nremedy = "Wake it."\nlab = "http/teapot"\n'
        '[[our-gateway.when]]\ntext = "gateway \\\\w{1,20} is asleep"\n[our-gateway.in_text]\nseen = ["us"]\n',
        encoding="utf-8",
    )
    name = file(tmp_path, "a.log", "ERROR gateway seven is asleep\n")
    shown = run("explain", "--checks", str(tmp_path), name)
    assert shown.startswith("server-error: Our gateway is asleep [our-gateway]\n")
    run("explain", name, codes=(1,))
