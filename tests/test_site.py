"""The site: it is built from docs/ without a warning, every page is in its navigation, and it asks nobody else."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import screenshot

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURE = DOCS / "images" / "check.svg"
CHROMIUM = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
needs_mkdocs = pytest.mark.skipif(not find_spec("material"), reason='no mkdocs-material: pip install -e ".[docs]"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` builds it."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return directory


def test_every_page_has_a_place() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert [page for page in pages if not re.search(rf"(?m)^ *(- |/)(.*: )?{re.escape(page)}$", settings)] == [], (
        "put it into nav"
    )


@needs_mkdocs
def test_every_page_is_built_and_can_be_edited(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS).with_suffix("")
        built = site / (path.parent if path.name in ("index", "README") else path) / "index.html"
        assert f"/edit/main/docs/{page.relative_to(DOCS).as_posix()}" in built.read_text(encoding="utf-8")
    assert (site / "report.schema.json").exists()


@needs_mkdocs
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?https?:|<link\b[^>]*\brel=[\"']?stylesheet[^>]*https?:"
    )
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not loading.search(text), page
        assert "fonts.g" not in text, page
        assert 'data-md-component="source"' not in text, f"{page}: would ask api.github.com"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """The site on a port of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site))) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@needs_mkdocs
@pytest.mark.skipif(not (CHROMIUM and shutil.which("chromedriver")), reason="no Chromium with its chromedriver")
def test_a_browser_asks_nobody_else_and_complains_of_nothing(served: str) -> None:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
        )
        for page in ("", "start/", "messages/", "commands/", "checks/", "report/", "clients/kiro/"):
            browser.get(f"{served}/{page}")
            beyond = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, f"{page} is wider than a phone"
        browser.get(f"{served}/start/")
        copied = browser.execute_script(
            "const code = [...document.querySelectorAll('code')].find(one => one.querySelector('.gp'));"
            "code.setAttribute('data-md-copying', ''); return code.innerText"
        )
        assert copied.strip() == "mcpdoctor check --lab"
        assert browser.get_log("browser") == []
        sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    finally:
        browser.quit()
    asked = [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]
    assert {urlsplit(url).netloc for url in asked if url.startswith("http")} == {urlsplit(served).netloc}


def test_the_picture_shows_what_a_run_prints() -> None:
    def plain(lines: list[str]) -> list[str]:
        # A cell is cut where a time beside it is wider.
        texts = [re.sub(r"\s|-{3,}", "", re.sub(r"\S+…\S+", "…", line)) for line in lines]
        return [re.sub(r"\d+\.\d+s$", "0s", text) for text in texts]

    drawn = PICTURE.read_text(encoding="utf-8")
    now = screenshot.svg(screenshot.cut(screenshot.run()))
    assert plain(screenshot.lines(drawn)) == plain(screenshot.lines(now)), "run: make screenshot"
    assert len(screenshot.lines(drawn)) > 30


def test_the_picture_loads_nothing() -> None:
    drawn = PICTURE.read_text(encoding="utf-8")
    assert not re.search(r"@import|@font-face|url\((?!#)|<script|<image|\bhref", drawn)
