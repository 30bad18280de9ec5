# SPDX-License-Identifier: Apache-2.0
"""The verdict on a run follows from its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sample_contents import GOOD, cell, sample_contents
from sample_evaluation import sample_evaluation

from sac_ros.sim.randomization import RandomizationConfig
from sac_ros.training.config import EnvironmentConfig, TrainConfig
from sac_ros.training.evaluation import Hold, Success
from sac_ros.training.page.contents import Contents
from sac_ros.training.page.verdict import answer, findings

PATH = Path("runs/mine")
WORLDS = TrainConfig(
    env=EnvironmentConfig(randomization=RandomizationConfig(mass_scale=(0.8, 1.2)))
)


def words_of(contents: Contents, meaning: str) -> str:
    return " ".join(each.words for each in findings(contents) if each.meaning == meaning)


def test_a_policy_that_reaches_every_bar_in_worlds_that_differ_may_be_tried_on_a_robot() -> None:
    contents = sample_contents(PATH, config=WORLDS)
    assert answer(contents).meaning == "good"
    assert "try on a robot" in answer(contents).words
    assert {each.meaning for each in findings(contents)} == {"good"}


def test_too_few_goals_reached_is_a_no_that_names_the_bar() -> None:
    few = sample_evaluation(success=tuple(Success(each, 0.5) for each in (0.05, 0.03, 0.02)))
    contents = sample_contents(PATH, config=WORLDS, measured=few)
    assert answer(contents).meaning == "bad"
    assert "not good enough" in answer(contents).words
    assert "minimum_success_rate 90%, is missed" in words_of(contents, "bad")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"median_error_m": 0.02}, "good.median_error_m 6 mm, is missed"),
        ({"hold": Hold(15.0, 0.5, 0.01)}, "good.hold_rate 98%, is missed"),
        ({"overspeed_fraction": 0.01}, "1.00% of the joint samples"),
        ({"torque_power_above_10hz": 0.3}, "30% of the torque's power is above 10 Hz"),
        ({"joint_stop_rate": 0.1}, "10% of the episodes end near a joint stop"),
    ],
)
def test_what_is_not_as_it_should_be_is_named_before_a_robot(
    changes: dict[str, Any], words: str
) -> None:
    measured = type(GOOD)(**{**vars(GOOD), **changes})
    contents = sample_contents(PATH, config=WORLDS, measured=measured)
    assert answer(contents).meaning == "mind"
    assert words in words_of(contents, "mind")


def test_one_world_is_named_and_so_is_a_condition_in_which_the_textbook_is_better() -> None:
    assert "the one world" in words_of(sample_contents(PATH), "mind")
    cells = [cell("nominal", "policy", 0.5), cell("nominal", "computed_torque", 1.0)]
    words = words_of(sample_contents(PATH, cells=cells), "mind")
    assert "worse in 1 (nominal)" in words
    assert "nominal is hardest: 50% within 2 cm" in words


@pytest.mark.parametrize(
    ("state", "words"),
    [("learning", "is learning: step 20,000 of 150,000"), ("interrupted", "was interrupted at")],
)
def test_an_unfinished_run_gets_no_verdict_but_its_best_figures(state: str, words: str) -> None:
    contents = sample_contents(PATH, state=state, measured=None, cells=[])
    assert answer(contents).meaning == "mind"
    assert words in answer(contents).words
    assert "within 5 cm" in words_of(contents, "good")
    nothing = sample_contents(PATH, state=state, measured=None, best=None)
    assert [each.words for each in findings(nothing)] == ["Nothing has been evaluated yet."]
