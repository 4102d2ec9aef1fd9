"""The page in a real Chromium: no errors, names for everything, readable dark, narrow, printed and by keyboard."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile import ATTACKS

from mcpdoctor.render import draw, report_json

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with its chromedriver on this machine")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
REPORT = report_json.load(Path(__file__).parent / "golden" / "report.json")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        yield running
    finally:
        running.quit()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    """The page of the golden report."""
    return show(browser, tmp_path, draw(REPORT, "html"))


def show(browser: Any, directory: Path, text: str, *, width: int = 1200, scheme: str = "light") -> Any:
    path = directory / "report.html"
    path.write_text(text, encoding="utf-8")
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    browser.get(path.as_uri())
    return browser


def test_the_console_stays_empty(opened: Any) -> None:
    assert opened.get_log("browser") == []
    assert opened.title.startswith("✗ 2 of 3 targets do not work.")


def test_everything_that_a_reader_can_reach_has_a_name(opened: Any) -> None:
    nodes = opened.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {"link", "heading", "region", "table", "rowheader", "columnheader", "image", "img", "DisclosureTriangle"}
    bare = [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in named and not node.get("name", {}).get("value")
    ]
    assert bare == []
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    assert roles.count("main") == 1
    assert roles.count("rowheader") >= len(REPORT.results)


def test_the_cause_and_the_fix_stand_on_the_first_screen(opened: Any) -> None:
    fixes = opened.execute_script("return document.querySelector('.fix').getBoundingClientRect().bottom")
    assert fixes < 900


def test_the_first_tab_leads_past_the_head(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    opened.find_element("tag name", "body").send_keys(Keys.TAB)
    assert opened.switch_to.active_element.text == "Skip to the result"
    assert opened.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_link_to_a_configuration_opens_its_details(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    assert not opened.find_element("id", "c2").is_displayed()
    opened.find_element("css selector", "a[href='#c2']").send_keys(Keys.ENTER)
    assert opened.find_element("id", "c2").is_displayed()


@pytest.mark.parametrize("width", [320, 390, 700, 1000])
def test_a_narrow_screen_needs_no_scrolling_to_the_side(browser: Any, tmp_path: Path, width: int) -> None:
    shown = show(browser, tmp_path, draw(REPORT, "html"), width=width)
    assert shown.execute_script("return document.documentElement.scrollWidth") <= width


CONTRAST = """
function light(text) {
  const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(one) {
  for (; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if (!/rgba\\(.*, 0\\)|transparent/.test(color)) return color;
  }
}
return [...document.querySelectorAll('body *')].filter(one =>
    one.checkVisibility() && !one.closest('svg') && [...one.childNodes].some(n => n.nodeType == 3 && n.data.trim()))
  .map(one => {
    const [a, b] = [getComputedStyle(one).color, behind(one)].map(light).sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), one.className, one.textContent.slice(0, 40)];
  }).filter(one => one[0] < 4.5);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Any, tmp_path: Path, scheme: str) -> None:
    shown = show(browser, tmp_path, draw(REPORT, "html"), scheme=scheme)
    assert shown.execute_script(CONTRAST) == []
    back = shown.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(252, 252, 251)", "dark": "rgb(20, 23, 26)"}[scheme]


def test_on_paper_every_detail_is_open(opened: Any) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = "return [...document.querySelectorAll('details > *')].filter(one => !one.checkVisibility()).length"
    assert opened.execute_script(hidden) == 0
    printed = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")


def test_hostile_text_is_inert(browser: Any, tmp_path: Path) -> None:
    everything = " ".join(ATTACKS)
    result = REPORT.results[1]
    finding = replace(result.findings[0], title=everything, text=everything, remedy=everything, evidence=everything)
    traces = tuple(
        replace(
            trace,
            facts={everything: everything},
            exchanges=tuple(
                replace(one, url=everything, body=everything, headers={everything: everything})
                for one in trace.exchanges
            ),
        )
        for trace in result.stages
    )
    report = replace(
        REPORT, results=(replace(result, target=everything, stages=traces, findings=(finding,)),), started=everything
    )
    shown = show(browser, tmp_path, draw(report, "html"))
    assert shown.get_log("browser") == []
    assert shown.execute_script("return document.querySelectorAll('script, img, iframe').length") == 0
    assert "<script>alert(1)</script>" in shown.find_element("tag name", "main").text
