# SPDX-License-Identifier: Apache-2.0
"""Times to solve are compared seed by seed, and a run that was cut is told as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("stable_baselines3", reason="`make setup` brings it")

from benchmarks import time_to_solve
from benchmarks.__main__ import main
from benchmarks.learning_curve import LearningCurve, Point
from benchmarks.our_run import our_name, our_run
from benchmarks.time_to_solve import TimeToSolve
from sac_ros.training.config import TrainConfig
from sac_ros.utils.settings import build


def solved(name: str, seed: int, seconds: float) -> LearningCurve:
    points = [Point(seconds + i, 1000 * i, 1.0) for i in range(3)]
    return LearningCurve(name, seed, [Point(1.0, 10, 0.2), *points])


def cut(name: str, seed: int, seconds: float) -> LearningCurve:
    points = [Point(seconds / 2, 1000, 0.7), Point(seconds, 2000, 0.6)]
    return LearningCurve(name, seed, points, cut_at_seconds=seconds)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be trained: ours takes 10 s + the seed, twice that with a value network."""
    calls: list[Any] = []

    def our_run(config: TrainConfig) -> LearningCurve:
        calls.append((our_name(config), config.seed))
        seconds = (10.0 + config.seed) * (2.0 if config.sac.value_function else 1.0)
        return solved(our_name(config), config.seed, seconds)

    def peer_run(config: TrainConfig, *, update_every: int, cut_seconds: float) -> LearningCurve:
        name = f"peer {update_every}"
        calls.append((name, config.seed, cut_seconds))
        assert not config.sac.value_function
        if update_every == 8:
            return solved(name, config.seed, cut_seconds / 2)
        return cut(name, config.seed, cut_seconds)

    monkeypatch.setattr(time_to_solve, "our_run", our_run)
    monkeypatch.setattr(time_to_solve, "peer_run", peer_run)
    return calls


def figures_of(study: TimeToSolve) -> dict[str, list[float | None]]:
    result = study.measure()
    assert json.loads(json.dumps(result)) == result
    return {figure["name"]: figure["repetitions"] for figure in result["figures"]}


def test_both_variants_are_trained_with_every_seed_and_compared(asked: list[Any]) -> None:
    found = figures_of(TimeToSolve(seeds=2))
    one, other = "sac_ros", "sac_ros, value network"
    assert asked == [(one, 0), (other, 0), (one, 1), (other, 1)]
    assert found[f"{one}: solved after"] == [10.0, 11.0]
    assert found[f"{other}: solved after"] == [20.0, 22.0]
    assert found[f"{other} / {one}"] == [2.0, 2.0]


def test_the_peer_with_fewer_seeds_is_held_against_ours_with_the_same(asked: list[Any]) -> None:
    found = figures_of(TimeToSolve(seeds=3, variants=("2018b",), peer_seeds=2))
    assert [call for call in asked if call[0] == "peer 1"] == [
        ("peer 1", 0, 400.0),
        ("peer 1", 1, 440.0),
    ]
    assert found["sac_ros: solved after"] == [10.0, 11.0, 12.0]
    assert found["peer 8 / sac_ros"] == [20.0, 20.0]


def test_a_run_that_was_cut_gives_a_lower_bound_and_how_far_it_was(asked: list[Any]) -> None:
    found = figures_of(TimeToSolve(seeds=2, peer_seeds=1))
    assert found["peer 1 / sac_ros, lower bound: cut"] == [40.0]
    assert found["peer 1: solved after"] == [None]
    assert found["peer 1: success at the cut"] == [60.0]
    assert found["peer 1: best success"] == [70.0]
    assert "sac_ros: success at the cut" not in found


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ((), ["sac_ros"] * 5 + ["sac_ros, value network"] * 5),
        (("--seeds", "1", "--variants", "2018a"), ["sac_ros, value network"]),
        (("--seeds", "1", "--variants", "2018b", "--peer"), ["peer 1", "peer 8", "sac_ros"]),
        (("--seeds", "2", "--variants", "2018b", "--peer-seeds", "1"),
         ["peer 1", "peer 8", "sac_ros", "sac_ros"]),
    ],
)  # fmt: skip
def test_the_options_say_what_is_trained(
    asked: list[Any], tmp_path: Path, options: tuple[str, ...], trained: list[str]
) -> None:
    assert main(["time_to_solve", "--directory", str(tmp_path), *options]) == 0
    assert sorted(call[0] for call in asked) == trained


def test_a_run_of_ours_that_was_not_solved_says_how_far_and_for_how_long_it_went() -> None:
    tiny = {
        "sac.value_function": True,
        "sac.hidden_sizes": (8, 8),
        "sac.batch_size": 16,
        "sac.learning_starts": 100,
        "env.episode_seconds": 0.4,
        "total_steps": 400,
        "evaluation_interval": 200,
        "evaluation_episodes": 2,
        "collector": "in_process",
    }
    curve = our_run(build(TrainConfig, tiny))
    assert curve.contestant == "sac_ros, value network"
    assert [point.env_steps // 200 for point in curve.points] == [1, 2]
    assert curve.seconds_to_solve is None
    assert curve.cut_at_seconds is not None
    assert 0.0 < curve.points[0].seconds < curve.points[1].seconds <= curve.cut_at_seconds
