"""The report in a browser: it loads offline, plays, answers keys and pointers, runs nothing else.

Debian's Chromium is used: apt-get install chromium chromium-driver. Without it these tests are
skipped, or fail if WNSIM_REQUIRE_BROWSER is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from results_writers import write_report, write_run
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

EVIL = "<script>alert(1)</script>"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,1400",
)  # fmt: skip
STATE = "const p = window.wnsimReplay; return {time: p.time, playing: p.playing, run: p.number}"


@dataclass
class Browser:
    """A browser with a page of ours.

    Parameters
    ----------
    driver : what talks to it
    """

    driver: webdriver.Chrome

    def __getitem__(self, element: str) -> Any:
        return self.driver.find_element(By.ID, element)

    def open(self, page: Path, *, width: int = 1280, dark: bool = False) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(page.as_uri())

    def state(self) -> dict[str, Any]:
        return dict(self.driver.execute_script(STATE))

    def points(self) -> list[Any]:
        """Return where the devices are on the canvas."""
        return list(self.driver.execute_script("return window.wnsimReplay.map.points"))

    def pixels(self) -> str:
        return str(self.driver.execute_script("return document.getElementById('map').toDataURL()"))

    def requests(self) -> list[str]:
        """Return what the page has asked for since it was opened."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def until(self, holds: Callable[[], bool], limit_s: float = 20.0) -> None:
        began_s = time.monotonic()
        while not holds():
            assert time.monotonic() - began_s < limit_s, "it does not become so"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program, helper = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or helper is None:
        missing = "no browser: apt-get install chromium chromium-driver"
        if os.environ.get("WNSIM_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(helper))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    runs = [
        write_run(results, "lora", 1, devices=["a", "b", "c", "d"]),
        write_run(results, "so-lora", 1, devices=["a", "b", "c", "d"], until_s=50.0),
    ]
    write_report(results, runs, draws=True)
    return results / "report.html"


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Browser:
    chromium.open(page)
    return chromium


def test_it_loads_without_errors_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    assert browser.driver.title == "made \N{EN DASH} wnsim"
    asked = [url for url in browser.requests() if not url.startswith("data:")]
    assert asked == [page.as_uri()]
    assert browser.driver.get_log("browser") == []
    assert len(browser.driver.find_elements(By.CSS_SELECTOR, ".paper svg")) >= 5


def test_the_policy_stops_what_is_not_the_page_s(browser: Browser) -> None:
    browser.driver.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
        "document.body.append(made);"
        "const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/x.png';"
        "document.body.append(image);"
    )
    assert browser.driver.execute_script("return window.ran") is None
    browser.until(lambda: len(browser.driver.get_log("browser")) > 0)


def test_the_slider_moves_devices(browser: Browser) -> None:
    before, drawn = browser.points(), browser.pixels()
    browser.driver.execute_script(
        "const s = document.getElementById('slider'); s.value = 500;"
        "s.dispatchEvent(new Event('input'))"
    )
    assert browser.state()["time"] == pytest.approx(50.0)
    after = browser.points()
    # They walk to the right, each on its line.
    assert all(b[0] > a[0] + 20 for a, b in zip(before[:4], after[:4], strict=True))
    assert [b[1] for b in after[:4]] == pytest.approx([a[1] for a in before[:4]], abs=0.1)
    assert browser.pixels() != drawn
    assert browser["now"].text.startswith("50.0 s")
    # A message takes 4 s, and 200 of them begin in 95 s.
    assert int(browser["flying"].text) == pytest.approx(4 * 200 / 95, abs=1)


def test_play_goes_on_and_pause_stops(browser: Browser) -> None:
    begun = browser.state()["time"]
    browser["play"].click()
    assert browser["play"].text == "Pause"
    browser.until(lambda: browser.state()["time"] > begun + 0.5)
    browser["play"].click()
    stopped = browser.state()
    assert stopped["playing"] is False
    time.sleep(0.3)
    assert browser.state() == stopped


def test_it_stops_at_the_end_and_starts_again(browser: Browser) -> None:
    browser.driver.execute_script("window.wnsimReplay.seek(99.9)")
    browser["play"].click()
    browser.until(lambda: not browser.state()["playing"])
    assert browser.state()["time"] == 100.0
    browser["play"].click()
    assert browser.state()["time"] < 50.0


def test_keys(browser: Browser) -> None:
    browser.driver.execute_script("document.getElementById('map').focus()")

    def press(*keys: str) -> dict[str, Any]:
        ActionChains(browser.driver).send_keys(*keys).perform()
        return browser.state()

    begun = browser.state()["time"]
    assert press(Keys.ARROW_RIGHT)["time"] == pytest.approx(begun + 0.5)
    assert press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)["time"] == pytest.approx(begun)
    assert press(Keys.HOME)["time"] == 0.0
    assert press(Keys.END)["time"] == 100.0
    press(Keys.HOME)
    assert press(Keys.SPACE)["playing"] is True
    assert press(Keys.SPACE)["playing"] is False
    press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert "Device b" in browser["card"].text
    press(Keys.ESCAPE)
    assert not browser["card"].is_displayed()
    assert browser.driver.execute_script("return window.scrollY") == 0


def test_whoever_comes_by_tab_sees_where_he_is(browser: Browser) -> None:
    passed = []
    for _ in range(8):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        passed.append(browser.driver.execute_script("return document.activeElement.id"))
        outline = browser.driver.execute_script(
            "return getComputedStyle(document.activeElement).outlineStyle"
        )
        assert outline == "solid", passed[-1]
    assert passed[:6] == ["run", "device", "map", "play", "slider", "speed"]


def test_another_run_can_be_chosen(browser: Browser) -> None:
    assert browser.state()["run"] == 0
    Select(browser["run"]).select_by_visible_text("so-lora, seed 1")
    assert browser.state()["run"] == 1
    assert "of 50.00 s" in browser["now"].text
    browser.driver.execute_script("window.wnsimReplay.seek(1e9)")
    assert browser.state()["time"] == 50.0


def test_a_device_shows_its_numbers(browser: Browser) -> None:
    browser.driver.execute_script("window.wnsimReplay.seek(56)")
    assert not browser["card"].is_displayed()
    x, y = browser.points()[1]
    canvas = browser["map"]
    size = canvas.size
    ActionChains(browser.driver).move_to_element_with_offset(
        canvas, round(x - size["width"] / 2), round(y - size["height"] / 2)
    ).perform()
    card = browser["card"].text
    # It is on the line y = 10 m; after the fifth of ten rounds all accuracies are one half; at 56 s
    # it has done a fifth of the training of the sixth.
    for part in ("Device b", "reverse", "50.0 %", "56.0 m, 10.0 m", "6 of 11"):
        assert part in card
    ActionChains(browser.driver).move_to_element(browser["play"]).perform()
    assert not browser["card"].is_displayed()
    # Who is clicked, or tapped, stays.
    ActionChains(browser.driver).move_to_element_with_offset(
        canvas, round(x - size["width"] / 2), round(y - size["height"] / 2)
    ).click().move_to_element(browser["play"]).perform()
    assert "Device b" in browser["card"].text
    Select(browser["device"]).select_by_visible_text("c")
    assert "Device c" in browser["card"].text


def test_the_curve_is_in_step_with_the_map(browser: Browser) -> None:
    curve = browser["curve"]
    ActionChains(browser.driver).move_to_element(curve).click().perform()
    # The middle of the canvas is a little left of that of the curve, whose axis is on the left.
    assert browser.state()["time"] == pytest.approx(48.0, abs=4.0)
    assert browser["round"].text == "5"


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_has_no_horizontal_scroll(chromium: Browser, page: Path, width: int) -> None:
    chromium.open(page, width=width)
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    assert chromium.driver.execute_script(widths) == [width, width]
    Select(chromium["device"]).select_by_visible_text("c")
    assert chromium.driver.execute_script(widths) == [width, width]
    assert chromium["card"].is_displayed()


def test_dark_is_dark_in_page_and_canvas(chromium: Browser, page: Path) -> None:
    def brightness() -> list[float]:
        found = chromium.driver.execute_script(
            "const body = getComputedStyle(document.body);"
            "return [body.backgroundColor, body.color, window.wnsimReplay.colors.ink]"
        )
        ink = [int(found[2][n : n + 2], 16) for n in (1, 3, 5)]
        rgb = [[int(part) for part in text[4:-1].split(",")] for text in found[:2]]
        return [sum(each) / 3 for each in (*rgb, ink)]

    chromium.open(page, dark=True)
    ground, ink, drawn = brightness()
    assert ground < 60
    assert min(ink, drawn) > 180
    chromium.open(page)
    ground, ink, drawn = brightness()
    assert ground > 200
    assert max(ink, drawn) < 60


def test_names_that_look_like_markup_stay_text(chromium: Browser, tmp_path: Path) -> None:
    evils = [EVIL, "</script><img src=x onerror=alert(1)>", "<!--<script>"]
    devices = [*evils, "\u2028'\"`${1}", "plain"]
    runs = [
        write_run(tmp_path, evil, scenario=EVIL, description=evil, task=evil, devices=devices)
        for evil in evils
    ]
    write_report(tmp_path, runs, draws=True)
    chromium.open(tmp_path / "report.html")
    assert chromium.driver.find_element(By.TAG_NAME, "h1").text == EVIL
    assert len(chromium.driver.find_elements(By.TAG_NAME, "img")) == 0
    for number, evil in reversed(list(enumerate(evils))):
        Select(chromium["run"]).select_by_index(number)
        Select(chromium["device"]).select_by_index(1)
        assert evil in chromium["card"].text
    assert f"Device {EVIL}" in chromium["card"].text
    # An alert would stop this, and the policy would report a script that it blocked.
    assert chromium.driver.get_log("browser") == []
    assert chromium.state()["run"] == 0
