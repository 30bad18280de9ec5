# SPDX-License-Identifier: Apache-2.0
"""The page: it says what the evaluation found, and stands alone."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import STATES, Motion, write_bag
from tiny_evaluation import Found, evaluate, many
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.report.page import report_html
from sac_ros.bags.report.thinning import Thinner, spans
from sac_ros.bags.result import OPEN_LOOP, Threshold
from sac_ros.cli.evaluate_bag import main
from sac_ros.pages.format import number, percent, short_names

VOID = {"meta", "link", "img"}


class Reader(HTMLParser):
    """Checks that every tag is closed, and collects texts, addresses and pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.plots: list[dict[str, str | None]] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(given[name]) for name in ("src", "href") if name in given]
        if "data-figure" in given:
            self.plots.append(given)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data.replace("\u00a0", " "))

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def data(self) -> dict[str, Any]:
        """What the plots are drawn from."""
        return dict(json.loads(self.scripts[0]))

    def figure(self, name: str) -> dict[str, Any]:
        return dict(self.data["figures"][name])

    def line(self, line: dict[str, Any]) -> tuple[list[float], list[float | None]]:
        """Places and values of a line of a panel."""
        columns, tick = self.data["columns"], self.data["tick"]
        return list(np.cumsum(columns[line["x"]]) * tick), columns[line["y"]]


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


def test_the_page_needs_nothing_from_elsewhere_and_runs_only_its_own_scripts(
    two: Found, page: Reader
) -> None:
    text = report_html(*two)
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not re.findall(r"(?:url\((?!#)|@import|https?://(?!github\.com/leeoniya/uPlot))", text)
    assert page.policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; ")
    assert "unsafe" not in page.policy
    for style_or_script in [*page.scripts[1:], text[text.index("<style>") + 7 :].split("</")[0]]:
        digest = base64.b64encode(hashlib.sha256(style_or_script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy


def test_every_plot_has_its_data_and_words_for_who_cannot_see_it(page: Reader) -> None:
    assert {str(plot["data-figure"]) for plot in page.plots} == set(page.data["figures"])
    assert all(plot["aria-label"] for plot in page.plots)
    assert page.tags.count("svg") == 3, "bars: the errors of two policies, and coverage"
    assert "noscript" in page.tags


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
            assert percent(each.overall.rmse_fraction).replace("\u00a0", " ") in page.text
        for kind in (*model.interventions, *model.faults):
            assert kind.kind in page.text
        shown = percent(model.coverage.outside_fraction).replace("\u00a0", " ")
        assert shown in page.text


def test_the_plots_have_a_panel_for_each_joint_and_a_line_for_each_policy(page: Reader) -> None:
    for name, lines in (
        ("torques", ["recorded", "measured effort", "m0", "m1"]),
        ("spectra", ["recorded", "m0", "m1"]),
    ):
        figure = page.figure(name)
        assert [each["label"] for each in figure["groups"] if each["width"]] == lines
        assert [panel["joint"] for panel in figure["panels"]] == [0, 1, 2]
        for panel in figure["panels"]:
            assert [line["g"] for line in panel["lines"]] == list(range(len(lines)))
    assert [panel["title"] for panel in page.figure("torques")["panels"]] == list(JOINTS)


def test_lines_are_what_was_recorded_and_computed(two: Found, page: Reader) -> None:
    _, series = two
    panel = page.figure("torques")["panels"][1]
    names = ("recorded_torque", "recorded_effort", "policy_torque_0", "policy_torque_1")
    for line, name in zip(panel["lines"], names, strict=True):
        times, values = page.line(line)
        valued = np.isfinite(series[name][:, 1])
        np.testing.assert_allclose(times, series["time_s"][valued], atol=1e-5)
        np.testing.assert_allclose(
            np.array(values, dtype=float), series[name][valued, 1], rtol=1e-4, atol=1e-9
        )


def test_a_torque_beyond_its_limit_is_shaded_red_in_its_own_panel(two: Found) -> None:
    def shades(series: dict[str, Any]) -> list[int]:
        figure = Reader(report_html(two[0], series)).figure("torques")
        return [len(panel["wrong"]) for panel in figure["panels"]]

    beyond = two[1]["policy_torque_0"].copy()
    assert shades(two[1]) == [0, 0, 0]
    beyond[50:60, 1] = 1.01 * two[0].models[0].torque_limit[1]
    beyond[80, 2] = -1.01 * two[0].models[0].torque_limit[2]
    assert shades({**two[1], "policy_torque_0": beyond}) == [0, 1, 1]


@pytest.mark.parametrize(("joints", "models"), [(1, 1), (16, 6)])
def test_any_number_of_joints_of_a_long_bag_fits_into_a_page(
    joints: int, models: int, tmp_path: Path
) -> None:
    evaluation, series = many(tmp_path, joints, models, states=200_000)
    began = time.process_time()
    page = report_html(evaluation, series)
    assert len(page.encode()) < 5e6
    assert time.process_time() - began < 10.0, "about 1 s: as long for any bag"
    figure = Reader(page).figure("torques")
    assert [len(panel["lines"]) for panel in figure["panels"]] == [2 + models] * joints


def test_an_effort_that_was_not_measured_is_not_drawn(two: Found) -> None:
    series = {name: array for name, array in two[1].items() if name != "recorded_effort"}
    figure = Reader(report_html(two[0], series)).figure("torques")
    assert [each["label"] for each in figure["groups"] if each["width"]] == [
        "recorded",
        "m0",
        "m1",
    ]


def test_what_is_not_finite_is_a_gap(two: Found) -> None:
    series = dict(two[1])
    series["policy_torque_0"] = series["policy_torque_0"].copy()
    series["policy_torque_0"][100:150, 0] = np.inf
    page = Reader(report_html(two[0], series))
    times, values = page.line(page.figure("torques")["panels"][0]["lines"][2])
    (gap,) = [at for at, value in zip(times, values, strict=True) if value is None]
    assert series["time_s"][99] < gap < series["time_s"][150]


def test_a_threshold_that_is_missed_is_said_and_looks_wrong(two: Found) -> None:
    missed = Threshold("rmse", "m0", limit=0.1, value=0.2, met=False)
    page = report_html(dataclasses.replace(two[0], thresholds=(missed,)), two[1])
    assert '<td class="bad">missed</td>' in page
    assert "Thresholds" not in report_html(*two)


def test_a_recording_without_torques_has_a_page_too(tmp_path: Path) -> None:
    page = Reader(report_html(*evaluate(tmp_path, commands=False)))
    assert "No torques were recorded" in page.text
    assert "errors" not in page.data["figures"]
    assert "recorded" not in [each["label"] for each in page.figure("torques")["groups"]]


def test_the_same_evaluation_gives_the_same_page(two: Found) -> None:
    assert report_html(*two) == report_html(*two)


def test_names_from_a_bag_cannot_write_html(two: Found) -> None:
    evil = "</script><script>alert('x')</script><!--\"&"
    bag = dataclasses.replace(two[0].bags[0], path=f"/{evil}")
    model = dataclasses.replace(two[0].models[0], label=evil)
    states = dataclasses.replace(two[0].recording.states, topic=evil)
    recording = dataclasses.replace(two[0].recording, states=states)
    evaluation = dataclasses.replace(
        two[0], bags=(bag,), models=(model,), recording=recording, warnings=(evil,)
    )
    page = report_html(evaluation, two[1])
    assert "<script>alert" not in page
    assert page.count("</script>") == 3
    assert evil in Reader(page).text
    assert evil in [each["label"] for each in Reader(page).figure("torques")["groups"]]


def test_evaluate_bag_writes_it_beside_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    model = write_tiny_policy(tmp_path / "m.onnx")
    out = tmp_path / "out"
    assert main([str(bag), "--model", str(model), "--output", str(out)]) == 0
    assert STATES in Reader((out / "report.html").read_text()).text
    assert not [path for path in out.iterdir() if path.name.endswith((".partial", ".tmp"))]


# ---- pieces ------------------------------------------------------------------------------------


def test_a_peak_of_one_sample_survives_thinning_at_its_time_and_height() -> None:
    time = np.arange(100_000) * 0.002
    values = np.sin(time)
    values[54_321] = 99.0
    values[77_777] = -99.0
    thinned, line = Thinner(time, np.zeros(100_000, dtype=int), bins=500).thin(values)
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
    thinned, line = Thinner(time, segment, bins=100).thin(values)
    assert (np.diff(thinned) > 0.0).all(), "a break has a time of its own"
    breaks = np.flatnonzero(np.isnan(line))
    assert len(breaks) == 2
    for place, (before, after) in zip(
        breaks, [(count // 4, count // 4 + 8), (count // 2, count // 2)], strict=True
    ):
        assert thinned[place - 1] < before
        assert thinned[place + 1] >= after
        assert thinned[place - 1] < thinned[place] < thinned[place + 1]


def test_a_line_of_nothing_is_empty() -> None:
    for count in (0, 5, 5000):
        nothing = np.full(count, np.nan)
        assert not len(Thinner(np.arange(count), np.zeros(count, dtype=int)).thin(nothing)[0])


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
