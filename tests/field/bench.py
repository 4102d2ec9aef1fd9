"""What a case of the field stands on: the real command line, with the lab as AWS and a user of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mcpdoctor.cli import cli
from mcpdoctor.lab import FAULTS, Lab

REPOSITORY = "https://github.com/{}/issues/{}"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a command showed.

    Attributes:
        checks: slugs of its findings, in their order.
        output: what a person reads: standard output, then standard error.
        exit_code: how it ended.
    """

    checks: tuple[str, ...]
    output: str
    exit_code: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """One reported problem.

    Attributes:
        rows: its numbers in section 6 of the facts.
        reported: where it was reported: `owner/repository#number`, or a URL.
        symptom: what the user saw.
        command: the command that names it, as a user types it; empty where none can.
        check: the finding that names it.
        says: a part of the sentence that the user must read.
        reproduce: brings the problem about and lets the command loose on it.
        why_not: why it cannot be reproduced; then there is neither command nor check.
    """

    rows: tuple[str, ...]
    reported: tuple[str, ...]
    symptom: str
    command: str = ""
    check: str = ""
    says: str = ""
    reproduce: Callable[[Bench], Shown] | None = None
    why_not: str = ""

    @property
    def name(self) -> str:
        """Its rows and its check, for the name of its test."""
        return "-".join((*self.rows, self.check or "not-reproduced"))

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """Text and URL of each report."""
        return tuple(
            (one.rstrip("/").rpartition("/")[2], one) if "://" in one else (one, REPOSITORY.format(*one.rsplit("#", 1)))
            for one in self.reported
        )


class Bench:
    """Runs commands as a user would, in a directory and a home of their own; nothing leaves this machine.

    Attributes:
        lab: stands in for AWS.
        patch: for what a case needs to be different about this machine.
        home: of the user; empty at first.
        project: the directory in which commands run; empty at first.
    """

    def __init__(self, lab: Lab, patch: pytest.MonkeyPatch, directory: Path) -> None:
        self.lab, self.patch = lab, patch
        self.home, self.project = directory / "home", directory / "project"
        for one in (self.home, self.project):
            one.mkdir()
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(self.home))
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.delenv(name, raising=False)
        patch.chdir(self.project)
        _seal(patch)

    def fault(self, key: str) -> str:
        """URL of a fault of the lab, by `stage/name`."""
        return FAULTS[key].url()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files by their path in the project; `~/` leads to the home of the user."""
        for name, text in files.items():
            path = self.home / name[2:] if name.startswith("~/") else self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def check(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        routed: bool = True,
    ) -> Shown:
        """`mcpdoctor check` with the lab as AWS.

        Args:
            arguments: of the command, without those that lead to the lab.
            environ: environment variables of the user; the keys of the lab where none are given.
            files: see `write`.
            routed: whether names lead straight to the lab; without it only its proxies (`Lab.proxies`) get there.
        """
        self.write(files or {})
        there = [text for route in self.lab.connect_to for text in ("--connect-to", route)] if routed else []
        words = ["check", *arguments, "--ca-bundle", self.lab.ca_bundle, *there]
        return self._twice(words, self.lab.env if environ is None else environ)

    def lint(self, files: Mapping[str, str], *arguments: str, environ: Mapping[str, str] | None = None) -> Shown:
        """`mcpdoctor lint` of these files: each that is not of the home is named on the command line."""
        self.write(files)
        named = [one for one in files if not one.startswith("~/")]
        return self._twice(["lint", *named, *arguments], environ or {})

    def explain(self, text: str, *arguments: str) -> Shown:
        """`mcpdoctor explain -` of a text."""
        return self._twice(["explain", "-", *arguments], {}, text=text)

    def run(self, *command: str, environ: Mapping[str, str] | None = None) -> Shown:
        """`mcpdoctor run -- COMMAND`; `python` in the first place is the one of the tests."""
        words = [sys.executable if word == "python" and not index else word for index, word in enumerate(command)]
        saved = self.project / "run.json"
        done = subprocess.run(
            [sys.executable, "-m", "mcpdoctor", "run", "-o", str(saved), "--", *words],
            env={**os.environ, **(self.lab.env if environ is None else environ)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        document = json.loads(saved.read_text(encoding="utf-8")) if saved.exists() else {}
        return Shown(checks=_slugs(document), output=done.stdout + done.stderr, exit_code=done.returncode)

    def _twice(self, words: list[str], environ: Mapping[str, str], text: str | None = None) -> Shown:
        """Once as a person, once as a program: both must tell the same."""
        with self.patch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            read = _invoked(words, text)
            told = _invoked([*words, "--format", "json"], text)
        document: Any = json.loads(told.stdout) if told.stdout else {}
        return Shown(checks=_slugs(document), output=read.stdout + read.stderr, exit_code=told.exit_code)


def _invoked(words: list[str], text: str | None) -> Result:
    result = CliRunner().invoke(cli, words, input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _slugs(document: Any) -> tuple[str, ...]:
    """Slugs of the findings of a report, of an explanation or of lint."""
    found = [*document.get("findings", ()), *document.get("lint", ())]
    for result in document.get("results", ()):
        found += [*result.get("findings", ()), *result.get("notes", ())]
    explained = document.get("explanation") or {}
    found += explained.get("findings", ())
    return tuple(dict.fromkeys(one["check"] for one in found))


def _seal(patch: pytest.MonkeyPatch) -> None:
    """No name resolves but those of this machine."""
    real = socket.getaddrinfo

    def only_here(host: Any, *arguments: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in (None, "", "localhost") and not _is_address(name):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments, **more)

    patch.setattr(socket, "getaddrinfo", only_here)


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name.partition("%")[0])
        except OSError:
            continue
        return True
    return False
