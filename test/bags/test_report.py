# SPDX-License-Identifier: Apache-2.0
"""The page: it says what the evaluation found, and stands alone."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from bag_maker import STATES, Motion, write_bag
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.report.format import number, percent, short_names
from sac_ros.bags.report.page import report_html
from sac_ros.bags.report.thinning import spans, thin
from sac_ros.bags.result import OPEN_LOOP, Evaluation, Threshold
from sac_ros.cli.evaluate_bag import main
from sac_ros.policy.runtime import Policy

Found = tuple[Evaluation, dict[str, Any]]
VOID = {"meta", "link", "img"}


class Reader(HTMLParser):
    """Checks that every tag is closed, and collects texts, addresses and pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(given[name]) for name in ("src", "href") if name in given]
        if tag == "img":
            self.pictures.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data.replace("\u00a0", " "))

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def svg(self, alternative: str) -> ElementTree.Element:
        """The picture whose description contains a text."""
        (picture,) = [each for each in self.pictures if alternative in str(each["alt"])]
        source = str(picture["src"]).removeprefix("data:image/svg+xml;base64,")
        return ElementTree.fromstring(base64.b64decode(source))


def words(svg: ElementTree.Element) -> set[str]:
    return {"".join(each.itertext()) for each in svg.iter("{http://www.w3.org/2000/svg}text")}


def evaluate(folder: Path, commands: bool = True, models: int = 1) -> Found:
    motion = Motion()
    entries = [*motion.states(), *motion.goals(), *(motion.commands() if commands else [])]
    bag = write_bag(folder / "bag", entries)
    paths = [write_tiny_policy(folder / f"m{i}.onnx", gain=1.0 + i) for i in range(models)]
    policies = [Policy.load(path) for path in paths]
    return evaluate_bags([bag], policies, EvaluationOptions(), Spool(None))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A recording on the policy that commanded it, and on one of twice its gain."""
    return evaluate(tmp_path_factory.mktemp("two"), models=2)


@pytest.fixture(scope="module")
def page(two: Found) -> Reader:
    return Reader(report_html(*two))


def test_every_tag_is_closed_and_every_section_is_there(page: Reader) -> None:
    targets = [address for address in page.addresses if address.startswith("#")]
    assert len(targets) == 11
    assert page.tags.count("section") == len(targets)


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(page: Reader) -> None:
    assert "script" not in page.tags
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    for picture in page.pictures:
        assert str(picture["src"]).startswith("data:image/svg+xml;base64,")
        assert picture["alt"]


def test_it_says_first_that_it_is_open_loop(two: Found, page: Reader) -> None:
    assert OPEN_LOOP in page.text
    assert page.text.index(OPEN_LOOP) < page.text.index("At a glance")


def test_it_names_every_policy_joint_and_warning(two: Found, page: Reader) -> None:
    evaluation, _ = dataclasses.replace(two[0], warnings=("mind the <gap> & the clock",)), None
    shown = Reader(report_html(evaluation, two[1])).text
    for name in (*JOINTS, "m0", "m1", "mind the <gap> & the clock", evaluation.bags[0].path):
        assert name in shown


def test_it_shows_the_figures_of_the_summary(two: Found, page: Reader) -> None:
    evaluation, _ = two
    for model in evaluation.models:
        for each in model.errors:
            assert number(each.overall.rmse).replace("\u00a0", " ") in page.text
            assert percent(each.overall.rmse_share).replace("\u00a0", " ") in page.text
        for kind in (*model.interventions, *model.faults):
            assert kind.kind in page.text
        shown = percent(model.coverage.outside_share).replace("\u00a0", " ")
        assert shown in page.text


def test_the_plots_have_a_panel_for_each_joint_and_a_line_for_each_policy(page: Reader) -> None:
    found = words(page.svg("Torque of each joint"))
    assert {*JOINTS, "recorded", "m0", "m1"} <= found
    assert {"recorded", "m0", "m1"} <= words(page.svg("Power density"))


def test_a_torque_beyond_its_limit_is_shaded_red_in_its_own_panel(two: Found) -> None:
    def shades(series: dict[str, Any]) -> int:
        svg = Reader(report_html(two[0], series)).svg("Torque of each joint")
        styles = [each.get("style", "") for each in svg.iter()]
        return sum("fill: #dc2626; opacity: 0.35" in style for style in styles)

    beyond = two[1]["policy_torque_0"].copy()
    assert shades(two[1]) == 0
    beyond[50:60, 1] = 1.01 * two[0].models[0].torque_limit[1]
    beyond[80, 2] = -1.01 * two[0].models[0].torque_limit[2]
    assert shades({**two[1], "policy_torque_0": beyond}) == 2


def test_a_threshold_that_is_missed_is_said_and_looks_wrong(two: Found) -> None:
    missed = Threshold("rmse", "m0", limit=0.1, value=0.2, met=False)
    page = report_html(dataclasses.replace(two[0], thresholds=(missed,)), two[1])
    assert '<td class="bad">missed</td>' in page
    assert "Thresholds" not in report_html(*two)


def test_a_recording_without_torques_has_a_page_too(tmp_path: Path) -> None:
    page = Reader(report_html(*evaluate(tmp_path, commands=False)))
    assert "No torques were recorded" in page.text
    assert "recorded" not in words(page.svg("Torque of each joint"))


def test_the_same_evaluation_gives_the_same_page(two: Found) -> None:
    assert report_html(*two) == report_html(*two)


def test_names_from_a_bag_cannot_write_html(two: Found) -> None:
    evil = "<script>alert('x')</script>\"&"
    bag = dataclasses.replace(two[0].bags[0], path=f"/{evil}")
    model = dataclasses.replace(two[0].models[0], label=evil)
    states = dataclasses.replace(two[0].recording.states, topic=evil)
    recording = dataclasses.replace(two[0].recording, states=states)
    evaluation = dataclasses.replace(
        two[0], bags=(bag,), models=(model,), recording=recording, warnings=(evil,)
    )
    page = report_html(evaluation, two[1])
    assert "<script" not in page
    assert evil in Reader(page).text
    assert "default-src 'none'" in page


def test_evaluate_bag_writes_it_beside_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    model = write_tiny_policy(tmp_path / "m.onnx")
    out = tmp_path / "out"
    assert main([str(bag), "--model", str(model), "--output", str(out)]) == 0
    assert STATES in Reader((out / "report.html").read_text()).text
    assert not [path for path in out.iterdir() if path.name.endswith((".partial", ".tmp"))]


BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(not BROWSER, reason="no Chromium: set CHROMIUM to its path")
def test_a_browser_renders_it_without_a_word_on_its_console(two: Found, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_html(*two), encoding="utf-8")
    picture = tmp_path / "page.png"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    options += ["--window-size=1000,3000", f"--screenshot={picture}", page.as_uri()]
    done = subprocess.run([str(BROWSER), *options], capture_output=True, text=True, timeout=120.0)
    assert not re.findall(r".*CONSOLE.*", done.stderr)
    pixels = np.asarray(_image(picture))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100  # plots, not only text
    assert (pixels[2500:] < 200).any()


def _image(path: Path) -> Any:
    from PIL import Image

    return Image.open(path).convert("RGB")


# ---- pieces ------------------------------------------------------------------------------------


def test_a_peak_of_one_sample_survives_thinning_at_its_time_and_height() -> None:
    time = np.arange(100_000) * 0.002
    values = np.sin(time)
    values[54_321] = 99.0
    values[77_777] = -99.0
    thinned, line = thin(time, values, np.zeros(100_000, dtype=int), bins=500)
    assert len(line) < 1_600
    assert thinned[np.argmax(line)] == time[54_321]
    assert thinned[np.argmin(line)] == time[77_777]
    assert (np.diff(thinned) > 0.0).all()


@pytest.mark.parametrize("count", [50, 50_000])
def test_a_line_breaks_at_a_gap_and_where_values_are_missing_for_long(count: int) -> None:
    time = np.arange(count, dtype=float)
    values = np.ones(count)
    values[1::2] = np.nan  # commands at half the rate of the states: one line all the same
    values[count // 4 : count // 4 + 8] = np.inf
    segment = (time >= count // 2).astype(int)
    thinned, line = thin(time, values, segment, bins=100)
    np.testing.assert_array_equal(np.isnan(thinned), np.isnan(line))
    breaks = np.flatnonzero(np.isnan(line))
    assert len(breaks) == 2
    for place, (before, after) in zip(
        breaks, [(count // 4, count // 4 + 8), (count // 2, count // 2)], strict=True
    ):
        assert thinned[place - 1] < before
        assert thinned[place + 1] >= after


def test_a_line_of_nothing_is_empty() -> None:
    for count in (0, 5, 5000):
        nothing = np.full(count, np.nan)
        assert not len(thin(np.arange(count), nothing, np.zeros(count, dtype=int))[0])


def test_runs_have_their_start_and_at_least_one_period() -> None:
    flags = np.array([True, False, True, True, False, True])
    assert spans(np.arange(6) * 0.5, flags, 0.1) == [(0.0, 0.1), (1.0, 0.5), (2.5, 0.1)]
    assert spans(np.arange(6) * 0.5, flags, 1.1) == [(0.0, 2.5)], "closer than a hair: one"
    assert spans(np.arange(3), np.zeros(3, dtype=bool), 0.1) == []


@pytest.mark.parametrize(
    ("joints", "shown"),
    [
        (("lbr_iiwa_joint_1", "lbr_iiwa_joint_2"), ("joint_1", "joint_2")),
        (("joint_a1", "joint_a2"), ("joint_a1", "joint_a2")),
        (("arm_shoulder", "arm_elbow"), ("shoulder", "elbow")),
        (("shoulder", "elbow"), ("shoulder", "elbow")),
        (("arm_joint",), ("arm_joint",)),
    ],
)
def test_names_lose_what_they_share(joints: tuple[str, ...], shown: tuple[str, ...]) -> None:
    assert short_names(joints) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0"), (-1.2345, "−1.23"), (12345.6, "12346"), (1e-15, "0")],
)
def test_numbers_have_three_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, "–"), (0.0, "0.00 %"), (0.1234, "12.34 %"), (1e-6, "<0.01 %"), (-0.5, "−50.00 %")],
)
def test_a_share_that_is_not_zero_does_not_look_like_zero(share: float | None, shown: str) -> None:
    assert percent(share).replace("\u00a0", " ") == shown
