# SPDX-License-Identifier: Apache-2.0
"""The page as a browser shows it: every plot drawn, not a word on the console, zoom and switches.

Needs Chromium (`apt install chromium`, or CHROMIUM: its path); skipped without.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser
from tiny_evaluation import evaluate, many
from tiny_policy import JOINTS

from sac_ros.bags.report.page import report_html

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: set CHROMIUM to its path")

# How many pixels of each plot's canvas are not transparent.
PAINTED = """[...document.querySelectorAll('.panel canvas')].map(c => {
  const copy = Object.assign(document.createElement('canvas'), {width: c.width, height: c.height});
  const pen = copy.getContext('2d', {willReadFrequently: true});
  pen.drawImage(c, 0, 0);
  const pixels = pen.getImageData(0, 0, c.width, c.height).data;
  let painted = 0;
  for (let i = 3; i < pixels.length; i += 4) painted += pixels[i] > 0;
  return painted;
})"""
HIDDEN = "[...document.querySelectorAll('.panel')].filter(p => p.hidden).length"
RANGES = """[...new Set([...document.querySelectorAll(
  '[data-figure=torques] .panel, [data-figure=errors] .panel, [data-figure=states] .panel')]
  .map(p => p.dataset.from + ' ' + p.dataset.to))]"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    page = folder / "report.html"
    page.write_text(report_html(*evaluate(folder, models=2)), encoding="utf-8")
    return page.as_uri()


def place(browser: Browser, figure: str, panel: int = 0) -> tuple[float, float, float, float]:
    """Left, top, width and height of the area of a panel in which lines are drawn."""
    box = browser.run(
        "(() => {"
        f"const o = document.querySelectorAll('[data-figure={figure}] .u-over')[{panel}];"
        "o.scrollIntoView({block: 'center'}); const r = o.getBoundingClientRect();"
        "return [r.left, r.top, r.width, r.height]; })()"
    )
    left, top, width, height = box
    return left, top, width, height


def switch(browser: Browser, selector: str) -> None:
    browser.run(f"document.querySelector('{selector}').click()")


def test_every_plot_is_drawn_and_nothing_is_said_or_loaded(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    browser.open(address)
    assert browser.said == []
    assert browser.asked == [address]
    painted = browser.run(PAINTED)
    assert len(painted) == len(JOINTS) * 4 + 2 + 1  # 3 over time, spectra; two filters; the lag
    assert min(painted) > 1000
    widths = browser.run("[...document.querySelectorAll('.panel')].map(p => p.clientWidth)")
    assert min(widths) > 200
    assert browser.run("document.documentElement.scrollWidth") <= 1000, "nothing sticks out"
    browser.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 50_000


def test_dragging_zooms_all_plots_over_time_and_a_double_click_shows_all_again(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    left, top, width, height = place(browser, "torques")
    browser.drag(left + 0.25 * width, top + height / 2, left + 0.5 * width)
    (zoomed,) = browser.run(RANGES)
    assert [float(end) for end in zoomed.split()] == pytest.approx([0.75, 1.495], abs=0.02)
    assert "from" not in browser.run(
        "({...document.querySelector('[data-figure=lag] .panel').dataset})"
    )
    browser.double_click(left + 0.5 * width, top + height / 2)
    (whole,) = browser.run(RANGES)
    assert [float(end) for end in whole.split()] == pytest.approx([0.0, 2.99])
    assert browser.said == []


def test_pointing_at_a_plot_reads_every_line_in_all_of_them(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    left, top, width, height = place(browser, "torques", 1)
    browser.mouse("mouseMoved", left + 0.5 * width, top + height / 2)
    words = "[...document.querySelectorAll('[data-figure=%s] .readout')].map(r => r.innerText)"
    for figure, names in (
        ("torques", ("recorded", "measured effort", "m0", "m1")),
        ("errors", ("m0", "m1")),
        ("states", ("position", "velocity")),
    ):
        said = browser.run(words % figure)
        assert len(said) == len(JOINTS)
        for each in said:
            assert each.startswith("1.4"), "s"
            assert all(name in each for name in names)


def test_lines_and_joints_are_switched_off_and_on(browser: Browser, address: str) -> None:
    browser.open(address)
    before = browser.run(PAINTED)
    switch(browser, '[data-figure=torques] input[data-group="3"]')
    browser.run("new Promise(f => setTimeout(() => f(1), 100))")
    after = browser.run(PAINTED)
    assert before[:3] != after[:3]
    assert before[3:] == after[3:], "of this figure only"
    switch(browser, 'input[data-joint="0"]')
    assert browser.run(HIDDEN) == 4, "the joint's panels in all figures"
    for selector in ('[data-figure=torques] input[data-group="3"]', 'input[data-joint="0"]'):
        switch(browser, selector)
    browser.run("new Promise(f => setTimeout(() => f(1), 100))")
    assert browser.run(PAINTED) == before
    assert browser.said == []


def test_names_from_a_bag_are_words_there_too(browser: Browser, tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    found = evaluate(tmp_path, names=("a", evil))
    (tmp_path / "page.html").write_text(report_html(*found), encoding="utf-8")
    browser.said.clear()
    browser.open((tmp_path / "page.html").as_uri())
    assert browser.said == []
    assert browser.run("document.querySelectorAll('img').length") == 0
    titles = browser.run("[...document.querySelectorAll('.head b')].map(b => b.textContent)")
    assert evil in titles


@pytest.mark.parametrize(("joints", "models"), [(1, 1), (16, 3)])
def test_a_long_bag_with_any_number_of_joints_is_drawn(
    joints: int, models: int, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(report_html(*many(tmp_path, joints, models, 100_000)), encoding="utf-8")
    browser.said.clear()
    browser.open(page.as_uri())
    painted = browser.run(PAINTED)
    assert len(painted) >= 3 * joints
    assert min(painted) > 500
    assert browser.said == []


def test_without_scripts_the_page_says_so_and_keeps_its_tables(
    browser: Browser, address: str
) -> None:
    browser.script(on=False)
    try:
        browser.open(address)
        shown: Any = browser.run("document.body.innerText")
        assert "need JavaScript" in shown
        assert "At a glance" in shown
        assert browser.run("document.querySelectorAll('canvas').length") == 0
    finally:
        browser.script(on=True)


def test_it_prints(browser: Browser, address: str, tmp_path: Path) -> None:
    browser.open(address)
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert browser.said == []
