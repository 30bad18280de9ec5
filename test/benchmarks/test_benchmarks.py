# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run and say what they measured; how fast anything is, no test says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stable_baselines3", reason="`make setup` brings it")

from benchmarks.__main__ import main
from benchmarks.bag_memory import BagMemory
from benchmarks.bag_rate import BagRate
from benchmarks.env_rate import EnvRate
from benchmarks.figure import Figure, ratio
from benchmarks.gemm_bound import products_of_update
from benchmarks.learning_curve import LearningCurve, Point
from benchmarks.result import describe, save, text
from benchmarks.update_rate import SB3, UpdateRate

FIELDS = {
    *("benchmark", "title", "date", "command", "revision", "uncommitted_changes"),
    *("machine", "versions", "settings", "figures", "details"),
}


def check_result(result: dict[str, Any], repetitions: int) -> None:
    assert json.loads(json.dumps(result)) == result
    assert set(result) == FIELDS
    assert result["machine"]["cores"] >= 1
    assert result["versions"]["torch"]
    for figure in result["figures"]:
        assert set(figure) == {"name", "unit", "median", "repetitions"}
        assert len(figure["repetitions"]) == repetitions
        assert all(each > 0.0 for each in figure["repetitions"])
        assert figure["name"] in text(result)


@pytest.mark.long
def test_the_update_rate_is_measured_for_all_sizes_and_variants() -> None:
    result = UpdateRate(
        hidden_sizes=((8, 8), (4,)), batch_size=16, turns=1, repetitions=2, peers=(SB3,)
    ).measure()
    check_result(result, repetitions=2)
    names = {figure["name"] for figure in result["figures"]}
    for sizes in ("8x8", "4"):
        assert f"{sizes}: sac_ros / stable-baselines3" in names
        assert f"{sizes}: sac_ros, value network / stable-baselines3" in names
        assert f"{sizes}: matrix products / stable-baselines3" in names
        assert f"{sizes}: share of the GEMM bound, sac_ros" in names


def test_the_env_rate_is_measured_on_the_same_motion() -> None:
    result = EnvRate(turns=1, repetitions=2, arms=3).measure()
    check_result(result, repetitions=2)
    assert [figure["unit"] for figure in result["figures"]] == ["steps/s", "steps/s", "%"] * 2


@pytest.mark.long
def test_the_bag_rate_is_measured_for_both_storages() -> None:
    result = BagRate(seconds=1.0, repetitions=2).measure()
    check_result(result, repetitions=2)
    units = ["messages/s", "messages/s", "x", "x"]
    assert [figure["unit"] for figure in result["figures"]] == units * 2


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's figures are Linux's")
def test_the_bag_memory_is_that_of_the_command() -> None:
    result = BagMemory(states=(500, 5000)).measure()
    check_result(result, repetitions=1)
    assert [figure["unit"] for figure in result["figures"]] == ["MB", "MB", "bytes"] * 2
    assert all(10.0 < figure["median"] < 1000.0 for figure in result["figures"][:2])


def test_the_gemm_bound_counts_what_an_update_multiplies() -> None:
    # One hidden layer of 5, batch 7, observation 3, action 2: counted by hand.
    actor, critics = 3 * 5 + 5 * 4, 2 * (5 * 5 + 5 * 1)
    critic_step = critics + critics + critics + 2 * 5  # target, forward, weights, inputs
    actor_step = (
        actor + critics + critics + actor + 5 * 4
    )  # forward twice, inputs, weights, inputs
    products = products_of_update(3, 2, [5], 7, value_function=False)
    assert sum(each.flop for each in products) == 2 * 7 * (actor + critic_step + actor_step)


def test_a_missing_repetition_counts_as_larger_than_all() -> None:
    assert Figure("time", "s", (3.0, None, 5.0)).median == 5.0
    assert Figure("time", "s", (3.0, None, None)).median is None


def test_a_ratio_divides_repetition_by_repetition() -> None:
    above, below = Figure("a", "s", (2.0, 9.0, None)), Figure("b", "s", (1.0, 3.0, 1.0))
    assert ratio("a / b", above, below).repetitions == (2.0, 3.0, None)
    assert ratio("a / b", above, below, "%").repetitions == (200.0, 300.0, None)


def test_solved_means_three_evaluations_in_a_row() -> None:
    success = [0.5, 1.0, 0.9, 0.96, 0.95, 1.0, 0.2]
    curve = LearningCurve("ours", 0, [Point(10.0 * i, i, s) for i, s in enumerate(success)])
    assert curve.seconds_to_solve == 30.0
    assert not LearningCurve("ours", 0, curve.points[:5]).solved


def test_saved_results_are_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = [Figure("ArmEnv.step", "steps/s", (1.0, 2.0, 4.0))]
    save(describe("env_rate", "A title", figures, {"turns": 1}), tmp_path)
    assert main(["--show", "--directory", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "A title" in shown
    assert "(1 to 4)" in shown
    assert f"update_rate: no result at {tmp_path}" in shown
