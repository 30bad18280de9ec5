# SPDX-License-Identifier: Apache-2.0
"""A model card says what was measured, and of an old file no more than was measured then."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tiny_run import TinyRun

from sac_ros.policy.runtime import Policy
from sac_ros.training.model_card import model_card

MOTION = ("RMS change of torque", "power above 10 Hz", "the velocity limit", "a joint stop")


def test_the_card_tells_how_smooth_the_motion_is(tiny_run: TinyRun) -> None:
    policy = Policy.load(tiny_run.outcome.policy)
    card = model_card(policy, "policy.onnx")
    share = policy.spec.evaluation["torque_power_above_10hz"]
    assert "| leave 2 cm, left for 15 s more | " in card
    assert f"| torque's power above 10 Hz | {share:.1%} |\n" in card
    for words in MOTION:
        assert words in card


def test_the_card_has_a_row_for_each_tolerance(tiny_run: TinyRun) -> None:
    policy = Policy.load(tiny_run.outcome.policy)
    card = model_card(policy, "policy.onnx")
    rates = {
        each["position_tolerance_m"]: each["rate"] for each in policy.spec.evaluation["success"]
    }
    assert set(rates) == {0.05, 0.03, 0.02}
    for tolerance, rate in rates.items():
        assert f"| within {100 * tolerance:g} cm, still | {rate:.1%} |\n" in card


def test_a_file_from_before_smoothness_was_measured_still_has_a_card(tiny_run: TinyRun) -> None:
    policy = Policy.load(tiny_run.outcome.policy)
    new = (
        "rms_",
        "torque_",
        "tracking",
        "median_angle",
        "p95_angle",
        "overspeed",
        "joint_stop",
        "time_",
        "hold",
        "max_",
        "work",
        "mean_",
    )
    before = {
        key: value for key, value in policy.spec.evaluation.items() if not key.startswith(new)
    }
    assert set(before) == {
        *("episodes", "seed", "seeds", "success", "median_error_m", "p95_error_m"),
        "wall_seconds",
    }
    spec = dataclasses.replace(policy.spec, evaluation=before)
    old = Policy(policy._session, spec, Path("old.onnx"), policy.sha256)
    card = model_card(old, "old.onnx")
    assert not any(words in card for words in MOTION)
    assert "| median error |" in card
