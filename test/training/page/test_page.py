# SPDX-License-Identifier: Apache-2.0
"""`report.html` of a run: what is in it, with a browser and without."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from sample_contents import sample_contents
from tiny_run import TinyRun

from sac_ros.training.page import goal_map
from sac_ros.training.page.contents import Goal
from sac_ros.training.page.page import run_html

LARGEST = 5_000_000  # bytes


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def figures_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_finished_run_has_a_page_with_its_curves_goals_and_commands(tiny_run: TinyRun) -> None:
    page = tiny_run.directory.page.read_text(encoding="utf-8")
    assert len(page) < LARGEST
    assert {"success", "error", "return", "losses"} <= set(figures_of(page)["figures"])
    assert f"evaluate_policy {tiny_run.directory.policy} --robustness" in page
    assert "resume:=true" in page
    assert "<circle" in page or "not reached</title>" in page
    with tiny_run.directory.goals.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == tiny_run.outcome.evaluation.episodes
    median = float(np.median([float(row["error_m"]) for row in rows]))
    assert median == pytest.approx(tiny_run.outcome.evaluation.median_error_m)


def test_the_page_marks_the_exported_actor_and_shows_the_textbook_controller(
    tmp_path: Path,
) -> None:
    contents = sample_contents(tmp_path / "mine")
    page = run_html(contents)
    marks = [
        panel["verticals"]
        for figure in figures_of(page)["figures"].values()
        for panel in figure["panels"]
    ]
    assert {mark["x"] for each in marks for mark in each} == {10.0}  # thousand steps
    assert page.count("payload 2 kg") >= 1
    assert ">textbook</th>" in page
    assert 'class="heat10"' in page


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "learning", "measured": None, "cells": []},
        {
            "state": "interrupted",
            "measured": None,
            "best": None,
            "points": [],
            "curves": {},
            "cells": [],
        },
    ],
)
def test_an_unfinished_run_shows_what_is_there(changes: dict[str, Any], tmp_path: Path) -> None:
    changes = {"goals": [], **changes}
    page = run_html(sample_contents(tmp_path / "mine", **changes))
    assert "Not measured" in page
    assert "evaluate_policy" not in page, "there is no policy file to evaluate"


def test_a_picture_is_inside_the_page_unless_it_is_too_large(tmp_path: Path) -> None:
    small = run_html(sample_contents(tmp_path / "mine", picture=b"GIF89a"))
    assert "data:image/gif;base64,R0lGODlh" in small
    large = run_html(sample_contents(tmp_path / "mine", picture=bytes(4_000_000)))
    assert "data:image/gif" not in large


def test_the_map_has_a_mark_for_each_goal_at_its_place_and_a_cross_where_it_was_missed() -> None:
    box = np.array([[0.0, -1.0, 0.0], [1.0, 1.0, 1.0]])
    goals = [Goal(0.9, 0.0, 0.1, 0.001, True, 1.0), Goal(0.1, 0.0, 0.9, 0.5, False, None)]
    top, side = (goal_map.goal_map(goals, box, view) for view in ("top", "side"))
    for text in (top, side):
        assert text.count("<title>goal ") == 2
        assert text.count("not reached</title>") == 1
    circle = re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"', side)
    cross = re.search(r'<path d="M([\d.]+) ([\d.]+)l12', side)
    assert circle is not None
    assert cross is not None
    assert float(circle[1]) > float(cross[1])  # x to the right
    assert float(circle[2]) > float(cross[2])  # z upwards
    assert [number for number, _ in goal_map.worst(goals)] == [2, 1]


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: set CHROMIUM to its path")
@pytest.mark.parametrize("width", [1200, 390])
def test_a_browser_draws_it_without_a_word_and_nothing_sticks_out(
    width: int, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(run_html(sample_contents(tmp_path / "mine")), encoding="utf-8")
    browser.said.clear()
    browser.asked.clear()
    browser.size(width, 900)
    browser.open(page.as_uri())
    assert browser.said == []
    assert browser.asked == [page.as_uri()], "nothing from elsewhere"
    assert browser.run("document.documentElement.dataset.plots") == "9"
    assert browser.run("document.documentElement.scrollWidth") <= width
