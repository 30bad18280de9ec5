# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a policy or a recording is named, on torques of which it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import Entry, Motion, joint_state, numbers, write_bag
from tiny_policy import JOINTS, tiny_action, tiny_gravity, tiny_spec, write_tiny_policy

from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.figures import parse_thresholds
from sac_ros.bags.metrics.dynamics import effect_figures, gravity_figures, gravity_of
from sac_ros.bags.metrics.goals import goal_figures
from sac_ros.bags.metrics.limits import rate_figures
from sac_ros.bags.metrics.saturation import saturated, saturation_figures
from sac_ros.bags.report.verdict import causes
from sac_ros.bags.result import Decision, Evaluation
from sac_ros.bags.text_report import text_report
from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import BagError

SCALE = np.array(tiny_spec().action_scale)
GOAL = np.float32((0.3, 0.0, 0.2))
Torque = Callable[[np.ndarray, np.ndarray], np.ndarray]


def own(position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    return SCALE * tiny_action(position, velocity, GOAL)


@pytest.fixture
def evaluate(tmp_path: Path) -> Any:
    """Call it with the recorded torque: the tiny policy's evaluation."""

    def call(torque: Torque, more: Any = None, **changes: Any) -> Evaluation:
        entries = Motion(torque=torque, count=600).entries()
        bag = write_bag(tmp_path / "bag", more(entries) if more else entries)
        policy = Policy.load(write_tiny_policy(tmp_path / "tiny.onnx", **changes))
        options = EvaluationOptions(thresholds=parse_thresholds("shadow"))
        return evaluate_bags([bag], [policy], options, Spool(None))[0]

    return call


def named(evaluation: Evaluation) -> list[str]:
    return [each.words for each in causes(evaluation.models[0])]


def missed(evaluation: Evaluation) -> set[str]:
    return {each.name for each in evaluation.thresholds if not each.met}


def test_the_policy_that_made_the_recording_may_go_and_has_nothing_named(
    evaluate: Any,
) -> None:
    evaluation = evaluate(own)
    assert evaluation.models[0].verdict == Decision("go", ())
    assert (missed(evaluation), named(evaluation)) == (set(), [])


def test_the_opposite_policy_must_not_go_and_is_named(evaluate: Any) -> None:
    evaluation = evaluate(lambda q, v: -own(q, v))
    verdict = evaluation.models[0].verdict
    assert verdict is not None
    assert verdict.decision == "no"
    assert "opposite of the recorded torques" in verdict.reasons[0]
    assert {each.split()[0] for each in verdict.reasons[1:]} >= {"decorrelation", "rmse_authority"}
    assert missed(evaluation) == {"verdict"}
    assert "opposite of the recorded torques" in named(evaluation)[0]
    assert "opposite of the recorded torques" in text_report(evaluation)
    row = evaluation.models[0].errors[0].overall
    assert row.motion_correlation == pytest.approx(-1.0)


def test_the_opposite_about_gravity_is_named(evaluate: Any) -> None:
    evaluation = evaluate(lambda q, v: tiny_gravity(q) - own(q, v), gravity_compensation="policy")
    row = evaluation.models[0].errors[0].overall
    assert row.motion_correlation == pytest.approx(-1.0, abs=1e-3)
    assert "opposite" in named(evaluation)[0]


def test_gravity_that_only_the_policy_holds_is_named(evaluate: Any) -> None:
    evaluation = evaluate(own, gravity_compensation="policy")
    gravity = evaluation.models[0].gravity
    assert gravity is not None
    assert gravity.mismatch == "policy"
    assert gravity.rmse_removed == pytest.approx(0.0, abs=1e-4)
    (words,) = named(evaluation)
    assert "The policy's torques hold the gravity torque g(q)" in words


def test_gravity_is_named_only_where_it_explains_the_error() -> None:
    gravity = np.random.default_rng(0).normal(size=(500, 3))
    noise = np.random.default_rng(1).normal(size=(500, 3))
    assert gravity_figures(0.1 * noise - gravity, gravity).mismatch == "recorded"
    assert gravity_figures(0.1 * noise + gravity, gravity).mismatch == "policy"
    assert gravity_figures(noise, gravity).mismatch is None
    assert gravity_figures(0.0 * noise, gravity).mismatch is None


def test_degrees_are_named(evaluate: Any) -> None:
    def in_degrees(entries: list[Entry]) -> list[Entry]:
        made = Motion(count=600)
        states = [
            Entry(
                "/joint_states",
                "states",
                made.time_ns(i),
                joint_state(made.time_ns(i), JOINTS, *(np.degrees(x) for x in made.state(i))),
            )
            for i in range(600)
        ]
        return [*states, *(each for each in entries if each.kind != "states")]

    with pytest.raises(BagError, match=r"stopped all the time: .*look like degrees"):
        evaluate(own, in_degrees)


def test_commands_of_another_arm_are_named(evaluate: Any) -> None:
    generator = np.random.default_rng(0)
    evaluation = evaluate(lambda q, v: SCALE * generator.normal(0.0, 0.3, 3))
    assert any("nothing in common" in words for words in named(evaluation))


def test_a_bias_is_named_with_its_joint(evaluate: Any) -> None:
    evaluation = evaluate(lambda q, v: own(q, v) - np.array([0.0, 2.0, 0.0]))
    (words,) = named(evaluation)
    assert words.startswith(f"The error of {JOINTS[1]} is mostly a constant, 2")


def test_a_drift_is_named_with_its_joint(evaluate: Any) -> None:
    def drifting(entries: list[Entry]) -> list[Entry]:
        made = Motion(count=600)
        rest = [each for each in entries if each.kind != "numbers"]
        for i in range(600):
            torque = own(*made.state(i)) - np.array([0.0, 0.0, 3.0]) * (i / 599 - 0.5)
            rest.append(Entry("/commands", "numbers", made.time_ns(i) + 10**6, numbers(torque)))
        return rest

    evaluation = evaluate(own, drifting)
    (words,) = named(evaluation)
    assert words.startswith(f"The error of {JOINTS[2]} drifts by 3")


# ---- the figures behind them -------------------------------------------------------------------


def test_the_same_torque_has_the_same_rates_whether_recorded_or_the_policys(
    tmp_path: Path,
) -> None:
    """At 500 Hz with commands at each state, which a policy of 50 Hz holds for ten."""

    made = Motion(rate_hz=500.0, count=2000)
    commands = []
    for i in range(2000):
        torque = SCALE * tiny_action(*made.state(i // 10 * 10), GOAL)
        commands.append(Entry("/commands", "numbers", made.time_ns(i) + 10**5, numbers(torque)))
    bag = write_bag(tmp_path / "bag", [*made.states(), *commands, *made.goals()])
    file = write_tiny_policy(tmp_path / "tiny.onnx", control_rate_hz=50.0)
    found, _ = evaluate_bags([bag], [Policy.load(file)], EvaluationOptions(), Spool(None))
    (model,) = found.models
    assert model.errors[0].overall.max_fraction < 1e-5
    policy, recorded = (
        next(each for each in limits if each.kind == "torque_rate")
        for limits in (model.limits, model.recorded_limits)
    )
    assert policy == recorded


def test_a_step_is_a_rate_by_the_interval_in_which_it_is_taken() -> None:
    torque = np.array([[0.0], [1.0], [1.0]])
    none = np.zeros(3, dtype=np.int32)
    slew = np.array([100.0])
    fast = rate_figures(torque, np.arange(3) * 0.002, none, slew, ("a",))
    slow = rate_figures(torque, np.arange(3) * 0.02, none, slew, ("a",))
    assert (fast.count, slow.count) == (1, 0)


def test_a_torque_is_saturated_at_its_limit_or_about_gravity_at_its_action_scale() -> None:
    limit, scale = np.array([10.0, 10.0]), np.array([2.0, 2.0])
    torque = np.array([[0.0, 0.0], [1.99, 0.0], [5.0, 4.0], [9.95, 8.0], [-7.0, 5.0]])
    gravity = np.array([[0.0, 0.0], [0.0, 0.0], [4.0, 4.0], [9.0, 8.0], [-5.0, 4.0]])
    found = saturated(torque, limit, scale, gravity)
    assert found.tolist() == [[0, 0], [1, 0], [0, 0], [1, 0], [1, 0]]
    assert saturated(torque, limit).sum() == 1
    figures = saturation_figures("policy", found)
    assert (figures.fraction, figures.joint_fraction) == (0.6, (0.6, 0.0))


def test_figures_stand_goal_by_goal() -> None:
    goal = np.full((10, 2), np.nan, dtype=np.float32)
    goal[2:6], goal[6:] = (1.0, 2.0), (3.0, 4.0)
    error = np.full((10, 2), np.nan)
    error[3:6] = 2.0
    at_bound = np.zeros((10, 2), dtype=bool)
    at_bound[6:8, 1] = True
    first, second = goal_figures(goal, error, at_bound, np.arange(10.0), np.array([4.0, 4.0]))
    assert (first.goal, first.from_s, first.to_s) == ((1.0, 2.0), 2.0, 5.0)
    assert (first.samples, first.rmse, first.rmse_authority) == (3, 2.0, 0.5)
    assert (second.samples, second.rmse, second.saturation) == (0, None, 0.5)


def test_an_error_accelerates_joints_and_end_effector_by_the_arms_own_model() -> None:
    spec = Policy.load(Path("models/iiwa_reach.onnx")).spec
    position = np.random.default_rng(0).uniform(-1.0, 1.0, (20, 7))
    model = gravity_of(spec)
    assert model is not None
    one = effect_figures(np.tile(np.eye(7)[1], (20, 1)), position, spec)
    two = effect_figures(np.tile(2.0 * np.eye(7)[1], (20, 1)), position, spec)
    assert one is not None
    assert two is not None
    assert two.end_effector_rmse == pytest.approx(2.0 * one.end_effector_rmse)
    assert one.joint_rmse[1] > 0.1  # of 1 N·m on an inertia of a few kg·m²
    assert effect_figures(np.ones((2, 7)), position[:2], replace(spec, arm_model=None)) is None
    assert np.abs(model(np.zeros((1, 7)))).max() < 0.01  # upright: next to nothing to hold
    assert np.abs(model(np.eye(7)[1:2] * np.pi / 2)).max() > 20.0
