# SPDX-License-Identifier: Apache-2.0
"""An evaluation is decided by its seed, and its figures are what happened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_run import TinyRun

from sac_ros.policy.runtime import Policy
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.evaluation import Evaluation, evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller
from sac_ros.utils.errors import PolicyFileError


@pytest.fixture
def env() -> Iterator[ArmVectorEnv]:
    made = ArmVectorEnv(2, episode_seconds=0.3)
    yield made
    made.close()


@pytest.fixture(scope="module")
def policy(tiny_run: TinyRun) -> Policy:
    return Policy.load(tiny_run.outcome.policy)


def still(observations: np.ndarray, infos: dict[str, Any]) -> tuple[None, np.ndarray]:
    return None, np.zeros((len(observations), 7), dtype=np.float32)


def push(observations: np.ndarray, infos: dict[str, Any]) -> tuple[None, np.ndarray]:
    return None, np.full((len(observations), 7), 0.4, dtype=np.float32)


def without_time(result: Evaluation | None) -> dict[str, Any]:
    assert result is not None
    return {**dataclasses.asdict(result), "wall_seconds": None}


def test_the_figures_are_those_of_the_episodes(env: ArmVectorEnv) -> None:
    result = evaluate(env, still, episodes=6, seed=40)
    assert result is not None
    distances = [env.reset(seed=40 + episode)[1]["distance"][0] for episode in range(6)]
    assert (result.episodes, result.seed) == (6, 40)
    assert result.median_error_m == pytest.approx(np.median(distances), abs=1e-6)
    assert result.p95_error_m == pytest.approx(np.percentile(distances, 95), abs=1e-6)
    assert [each.position_tolerance_m for each in result.success] == [0.05, 0.03, 0.02]
    assert result.success_rate(0.05) == np.mean(np.array(distances) < 0.05)
    assert result.rms_torque_step == result.rms_torque_step_fraction == 0.0
    assert result.torque_power_above_10hz == result.work_j == 0.0
    assert result.overspeed_fraction == result.joint_stop_rate == 0.0
    assert result.max_velocity_fraction < 1e-6
    assert result.time_to_goal_s.median is result.hold is None
    assert result.wall_seconds > 0.0


def at_the_goal(env: ArmVectorEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every episode start at its goal."""
    reset = env.reset
    options = {"goal": env.arm.chain.forward(env.arm.home), "joint_position": env.arm.home}
    monkeypatch.setattr(env, "reset", lambda *, seed: reset(seed=seed, options=options))


def test_a_controller_that_is_at_the_goal_succeeds_and_holds(
    env: ArmVectorEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_goal(env, monkeypatch)
    result = evaluate(env, still, episodes=2, seed=0, hold_seconds=0.5)
    assert result is not None
    assert [each.rate for each in result.success] == [1.0, 1.0, 1.0]
    assert result.time_to_goal_s.median == 1 / env.control_rate_hz
    assert result.hold is not None
    assert (result.hold.seconds, result.hold.left_2cm_rate) == (0.5, 0.0)
    assert result.hold.median_joint_speed < 1e-6


def test_an_arm_that_leaves_its_goal_after_the_episode_does_not_hold_it(
    env: ArmVectorEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_goal(env, monkeypatch)
    step = 0

    def push_late(observations: np.ndarray, infos: dict[str, Any]) -> tuple[None, np.ndarray]:
        nonlocal step
        step += 1
        return (still if step <= env.episode_steps else push)(observations, infos)

    result = evaluate(env, push_late, episodes=2, seed=0, hold_seconds=1.0)
    assert result is not None
    assert result.success_rate(0.02) == 1.0
    assert result.hold is not None
    assert result.hold.left_2cm_rate == 1.0
    assert result.hold.median_joint_speed > 0.1


def test_an_arm_that_rushes_through_its_goal_does_not_succeed(
    env: ArmVectorEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_goal(env, monkeypatch)

    def tremble(observations: np.ndarray, infos: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        wanted = np.where(infos["joint_velocity"] > 0.0, -0.5, 0.5)[:, 6]
        torque = np.zeros((2, 7))
        torque[:, 6] = wanted * env.action_scale[6]
        return torque, np.zeros((2, 7), dtype=np.float32)

    result = evaluate(env, tremble, episodes=2, seed=0)
    assert result is not None
    assert result.median_error_m < 0.02
    assert result.success_rate(0.05) == 0.0


def test_it_is_the_same_for_the_same_seed_whatever_ran_before(env: ArmVectorEnv) -> None:
    first = evaluate(env, push, episodes=3, seed=7)
    evaluate(env, push, episodes=2, seed=900)
    env.reset(seed=1)
    env.step(np.ones((2, 7), dtype=np.float32))
    again = evaluate(env, push, episodes=3, seed=7)
    other = evaluate(env, push, episodes=3, seed=8)
    assert without_time(first) == without_time(again)
    assert without_time(first) != without_time(other)


def test_episode_i_is_that_of_the_seed_plus_i(env: ArmVectorEnv) -> None:
    singles = [evaluate(env, push, episodes=1, seed=seed) for seed in (7, 8, 9)]
    together = evaluate(env, push, episodes=3, seed=7)
    assert together is not None
    returns = [single.mean_return for single in singles if single is not None]
    assert together.mean_return == pytest.approx(np.mean(returns), rel=1e-12)


def test_an_interrupted_evaluation_has_no_result(env: ArmVectorEnv) -> None:
    asked = iter([False] * 20 + [True])
    assert evaluate(env, still, episodes=9, seed=0, interrupted=lambda: next(asked)) is None


def test_overspeed_and_torque_steps_are_counted(env: ArmVectorEnv) -> None:
    sign = 1.0

    def shake(observations: np.ndarray, infos: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        nonlocal sign
        sign = -sign
        torque = sign * np.tile(env.arm.torque_limit, (2, 1))
        return torque, np.zeros((2, 7), dtype=np.float32)

    result = evaluate(env, shake, episodes=1, seed=0)
    assert result is not None
    expected = np.sqrt(np.mean(np.square(2 * env.arm.torque_limit)))
    assert result.rms_torque_step == pytest.approx(expected)
    assert 0.0 < result.overspeed_fraction <= 1.0
    assert result.max_velocity_fraction > 1.0
    assert result.work_j > 0.0


def swung(env: ArmVectorEnv, hertz: float, joints: slice = slice(None)) -> Evaluation:
    """Of torques that swing at `hertz`, by half of the torque at action 1, in `joints`."""
    step = 0

    def swing(observations: np.ndarray, infos: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        nonlocal step
        step += 1
        torque = np.zeros((1, 7))
        torque[:, joints] = 0.5 * np.sin(2 * np.pi * hertz * step / env.control_rate_hz)
        return torque * env.action_scale, np.zeros((1, 7), dtype=np.float32)

    result = evaluate(env, swing, episodes=2, seed=0)
    assert result is not None
    return result


def test_fast_torques_are_told_from_slow_ones_and_from_large_ones() -> None:
    env = ArmVectorEnv(episode_seconds=2.0)
    slow, fast = swung(env, 2.0), swung(env, 20.0)
    env.close()
    assert slow.torque_power_above_10hz < 1e-4
    assert fast.torque_power_above_10hz > 0.999
    # The steps of a·sin(2πft) are 2a·sin(πf/rate) at most, 1/√2 of it in the mean square.
    for result, hertz in ((slow, 2.0), (fast, 20.0)):
        expected = 2 * 0.5 * np.sin(np.pi * hertz / 50) / np.sqrt(2)
        assert result.rms_torque_step_fraction == pytest.approx(expected, rel=0.02)
        in_newton_metres = expected * np.sqrt(np.mean(np.square(env.action_scale)))
        assert result.rms_torque_step == pytest.approx(in_newton_metres, rel=0.02)


def test_a_trembling_wrist_counts_as_much_as_a_trembling_shoulder() -> None:
    env = ArmVectorEnv(episode_seconds=1.0)
    shoulder, wrist = swung(env, 20.0, slice(0, 1)), swung(env, 20.0, slice(6, 7))
    env.close()
    assert wrist.rms_torque_step < shoulder.rms_torque_step / 20
    assert wrist.rms_torque_step_fraction == pytest.approx(shoulder.rms_torque_step_fraction)


def test_episodes_that_end_near_a_joint_stop_are_counted(
    env: ArmVectorEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = env.arm.position_limit.T
    configuration = env.arm.home.copy()
    configuration[2] = low[2] + 0.029 * (high - low)[2]
    configuration[4] = high[4] - 0.029 * (high - low)[4]
    configuration[6] = high[6] - 0.031 * (high - low)[6]
    reset = env.reset
    monkeypatch.setattr(
        env, "reset", lambda *, seed: reset(seed=seed, options={"joint_position": configuration})
    )
    result = evaluate(env, still, episodes=2, seed=0)
    assert result is not None
    assert result.joint_stop_rate == 1.0
    configuration[2] = configuration[4] = 0.0  # the third is just outside
    result = evaluate(env, still, episodes=2, seed=0)
    assert result is not None
    assert result.joint_stop_rate == 0.0


# ---- of a policy file --------------------------------------------------------------------------


def test_the_controller_of_a_policy_file_gives_the_files_own_torque(policy: Policy) -> None:
    env = environment_of(policy)
    controller = policy_controller(policy, env)
    observations, info = env.reset(seed=0)
    _, previous = controller(observations, info)  # which it then remembers
    observations, *_, info = env.step(previous)
    torque, action = controller(observations, info)
    expected = policy(info["joint_position"], info["joint_velocity"], info["goal"], state=previous)
    np.testing.assert_array_equal(torque, expected[0])
    np.testing.assert_array_equal(action, expected[1])
    env.close()


def test_the_environment_of_a_policy_has_its_rate_and_gravity(policy: Policy) -> None:
    env = environment_of(policy)
    assert env.control_rate_hz == policy.spec.control_rate_hz
    assert env.gravity_compensation == "robot"
    env.close()
    policy_included = with_spec(policy, gravity_compensation="policy", control_rate_hz=100.0)
    env = environment_of(policy_included)
    assert env.control_rate_hz == 100
    assert env.gravity_compensation == "policy"
    env.close()


def with_spec(policy: Policy, **changes: Any) -> Policy:
    spec = dataclasses.replace(policy.spec, **changes)
    return Policy(policy._session, spec, Path("odd.onnx"), policy.sha256)


def test_a_policy_for_an_unknown_arm_is_refused(policy: Policy) -> None:
    with pytest.raises(PolicyFileError, match=r"odd\.onnx .*arm must be one of .*; got 'ur99'"):
        environment_of(with_spec(policy, arm="ur99"))


def test_a_policy_for_joints_of_another_arm_or_order_is_refused(policy: Policy) -> None:
    turned = tuple(reversed(policy.spec.joint_names))
    with pytest.raises(PolicyFileError, match=r"odd\.onnx is for the joints lbr_iiwa_joint_7, "):
        environment_of(with_spec(policy, joint_names=turned))
