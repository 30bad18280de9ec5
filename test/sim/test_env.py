# SPDX-License-Identifier: Apache-2.0
"""The environment is a Gymnasium environment like any other, and repeatable bit for bit."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sac_ros.sim.env import PHYSICS_RATE, START_SPREAD, ArmEnv
from sac_ros.tasks.reach import ReachReward
from sac_ros.utils.errors import ConfigurationError

MakeEnv = Callable[..., ArmEnv]


@pytest.fixture
def arm_env() -> Iterator[MakeEnv]:
    made: list[ArmEnv] = []

    def make(**arguments: Any) -> ArmEnv:
        made.append(ArmEnv(**arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


def trajectory(env: ArmEnv, seed: int, steps: int = 150) -> bytes:
    """All observations and rewards of an episode under hard, random torques, as bytes."""
    actions = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    found = [observation.tobytes()]
    for step in range(steps):
        # Saturated and held for long enough that the arm meets its limits and itself.
        if step % 25 == 0:
            action = np.sign(actions.uniform(-1, 1, 7))
        observation, reward, *_ = env.step(action.astype(np.float32))
        found.append(observation.tobytes() + np.float64(reward).tobytes())
    return b"".join(found)


# ---- the interface -----------------------------------------------------------------------------


@pytest.mark.parametrize("gravity", ["external", "none"])
def test_it_passes_gymnasiums_own_check(gravity: str) -> None:
    env = gymnasium.make("sac_ros/ArmReach-v0", gravity=gravity, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Raw velocities and offsets have no bound worth the name.
        warnings.filterwarnings("ignore", message=".*Box observation space m.*")
        # Made again by the checker without a window on a machine that has none.
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("gravity", ["external", "none"])
def test_it_passes_the_check_of_stable_baselines3(arm_env: MakeEnv, gravity: str) -> None:
    checker = pytest.importorskip(
        "stable_baselines3.common.env_checker", reason="stable-baselines3 is a benchmark extra"
    )
    checker.check_env(arm_env(gravity=gravity), warn=True)


def test_an_episode_is_truncated_at_its_time_and_never_terminated(arm_env: MakeEnv) -> None:
    env = arm_env(episode_seconds=0.5, control_rate_hz=50)
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(25)]
    assert not any(terminated for terminated, _ in ends)
    assert [truncated for _, truncated in ends] == [False] * 24 + [True]
    env.reset()
    assert env.step(env.action_space.sample())[3] is False  # the clock starts anew


@pytest.mark.parametrize("rate", [50, 100, 250])
def test_a_step_lasts_one_control_period_at_every_rate(arm_env: MakeEnv, rate: int) -> None:
    env = arm_env(control_rate_hz=rate)
    env.reset(seed=0, options={"joint_position": env.arm.home})
    speed = np.zeros(7)
    speed[0] = 0.1
    env.sim_arm.reset(env.arm.home, speed)
    *_, info = env.step(np.zeros(7, dtype=np.float32))
    assert env.substeps * rate == PHYSICS_RATE
    moved = info["joint_position"][0] - env.arm.home[0]
    assert moved == pytest.approx(0.1 / rate, rel=0.02)


def test_the_action_is_scaled_and_clipped_to_its_range(arm_env: MakeEnv) -> None:
    env = arm_env()
    env.reset(seed=0)
    *_, info = env.step(np.full(7, 0.5, dtype=np.float32))
    np.testing.assert_allclose(info["torque"], 0.5 * env.arm.action_scale)
    observation, *_, info = env.step(np.full(7, -3.0, dtype=np.float32))
    np.testing.assert_allclose(info["torque"], -env.arm.action_scale)
    np.testing.assert_array_equal(observation[env.encoding.columns("previous_action")], -1.0)


def test_apply_takes_the_controllers_torque_and_remembers_its_action(arm_env: MakeEnv) -> None:
    by_action, by_torque = arm_env(), arm_env()
    action = np.linspace(-1, 1, 7).astype(np.float32)
    for env in (by_action, by_torque):
        env.reset(seed=4)
    expected = by_action.step(action)
    found = by_torque.apply(action, by_torque.arm.action_scale * action)
    np.testing.assert_array_equal(found[0], expected[0])
    other = by_torque.apply(action, np.zeros(7))
    np.testing.assert_array_equal(other[-1]["torque"], np.zeros(7))


def test_info_tells_the_state_that_the_observation_encodes(arm_env: MakeEnv) -> None:
    env = arm_env()
    env.reset(seed=1)
    action = np.full(7, 0.3, dtype=np.float32)
    for _ in range(5):
        observation, *_, info = env.step(action)
    tip = env.chain.forward(info["joint_position"])
    expected = env.encoding.encode(
        info["joint_position"], info["joint_velocity"], info["goal"], tip, action
    )
    np.testing.assert_allclose(observation, expected, atol=1e-6)
    assert info["distance"] == pytest.approx(np.linalg.norm(info["goal"] - tip), abs=1e-6)
    assert info["is_success"] is (info["distance"] < 0.05)


def test_what_a_user_does_to_an_info_does_not_reach_the_environment(arm_env: MakeEnv) -> None:
    env = arm_env()
    _, info = env.reset(seed=1)
    info["goal"][:] = 99.0
    torque = np.zeros(7)
    observation, *_, after = env.apply(np.zeros(7, dtype=np.float32), torque)
    after["torque"][:] = 99.0
    assert np.all(observation[env.encoding.columns("goal")] < 1.0)
    np.testing.assert_array_equal(torque, np.zeros(7))
    after["joint_velocity"][:] = 99.0  # at which the velocity barrier would brake
    *_, unbraked = env.step(np.full(7, 0.5, dtype=np.float32))
    np.testing.assert_allclose(unbraked["torque"], 0.5 * env.arm.action_scale)


def test_info_tells_the_torque_that_was_held_not_the_one_that_was_asked_for(
    arm_env: MakeEnv,
) -> None:
    env = arm_env()
    env.reset(seed=0)
    *_, info = env.apply(np.zeros(7, dtype=np.float32), np.full(7, -1e6))
    np.testing.assert_array_equal(info["torque"], -env.arm.torque_limit)


def test_the_reward_is_the_tasks_own_of_what_was_observed(arm_env: MakeEnv) -> None:
    env = arm_env(reward={"distance": 3.0, "action_change": 0.5})
    before, _ = env.reset(seed=2)
    for _ in range(5):
        action = env.action_space.sample()
        after, reward, *_ = env.step(action)
        assert reward == float(env.task.reward(before, action, after))
        before = after
    assert env.task.weights.distance == 3.0
    assert env.task.weights.closeness == ReachReward().closeness  # what is not named stays


# ---- starts and goals --------------------------------------------------------------------------


def test_every_episode_starts_at_rest_near_home_with_a_goal_in_the_box(arm_env: MakeEnv) -> None:
    env = arm_env()
    goals = []
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        assert np.all(np.abs(info["joint_position"] - env.arm.home) <= START_SPREAD)
        np.testing.assert_array_equal(info["joint_velocity"], np.zeros(7))
        np.testing.assert_array_equal(observation[env.encoding.columns("previous_action")], 0.0)
        assert not env.sim_arm.collides_with_itself(info["joint_position"])
        goals.append(info["goal"])
    assert np.all((goals >= env.arm.goal_low) & (goals <= env.arm.goal_high))
    assert len(np.unique(goals, axis=0)) == 40


def test_options_take_the_place_of_drawn_goal_and_posture(arm_env: MakeEnv) -> None:
    env = arm_env()
    goal, posture = np.array([0.5, 0.1, 0.3]), np.full(7, 0.2)
    _, info = env.reset(seed=0, options={"goal": goal, "joint_position": posture})
    np.testing.assert_array_equal(info["goal"], goal)
    np.testing.assert_allclose(info["joint_position"], posture)


def test_a_given_goal_leaves_the_other_draws_as_they_were(arm_env: MakeEnv) -> None:
    env = arm_env()
    _, drawn = env.reset(seed=5)
    _, given = env.reset(seed=5, options={"goal": np.array([0.5, 0.1, 0.3])})
    np.testing.assert_array_equal(given["joint_position"], drawn["joint_position"])


def test_a_zero_action_stands_still_whoever_carries_the_arm(arm_env: MakeEnv) -> None:
    still = np.zeros(7, dtype=np.float32)
    for gravity in ("external", "none"):
        env = arm_env(gravity=gravity)
        env.reset(seed=3)
        start = env.sim_arm.tip_position()
        for _ in range(25):
            info = env.step(still)[-1]
        np.testing.assert_allclose(env.sim_arm.tip_position(), start, atol=1e-6, err_msg=gravity)
        carried = np.abs(info["torque"]).max()
        assert carried > 1.0 if gravity == "none" else carried == 0.0


def test_without_compensation_the_torque_holds_gravity_and_the_motion_is_nearly_the_same(
    arm_env: MakeEnv,
) -> None:
    external, none = arm_env(gravity="external"), arm_env(gravity="none")
    rng = np.random.default_rng(5)
    for env in (external, none):
        env.reset(seed=3)
    for _ in range(25):
        position, velocity = none.sim_arm.state()
        action = rng.uniform(-0.5, 0.5, 7).astype(np.float32)
        external.step(action)
        info = none.step(action)[-1]
        expected = none.torque(action, position, velocity)
        np.testing.assert_allclose(info["torque"], expected, atol=1e-9)
        held = external.torque(action, position, velocity) + none.sim_arm.gravity_torque(position)
        np.testing.assert_allclose(info["torque"], held, atol=1e-6)
    # Not the very same: g(q) is held for a control period, and a robot adds it at every moment.
    apart = np.abs(external.sim_arm.state()[0] - none.sim_arm.state()[0]).max()
    assert apart < 0.05
    assert np.abs(none.sim_arm.state()[0] - external.arm.home).max() > 0.1


# ---- repeatable --------------------------------------------------------------------------------


def test_the_same_seed_and_actions_give_the_same_bits_after_other_episodes(
    arm_env: MakeEnv,
) -> None:
    used, fresh = arm_env(), arm_env()
    for seed in (11, 12, 13):
        trajectory(used, seed)
    assert trajectory(used, 1) == trajectory(fresh, 1)
    assert trajectory(used, 2) != trajectory(fresh, 1)


@pytest.mark.parametrize("gravity", ["external", "none"])
def test_the_same_seed_and_actions_give_the_same_bits_in_another_process(
    arm_env: MakeEnv, gravity: str
) -> None:
    here = hashlib.sha256(trajectory(arm_env(gravity=gravity), 7)).hexdigest()
    code = (
        "import hashlib, importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('this', {__file__!r})\n"
        "this = importlib.util.module_from_spec(spec); spec.loader.exec_module(this)\n"
        f"found = this.trajectory(this.ArmEnv(gravity={gravity!r}), 7)\n"
        "print(hashlib.sha256(found).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0
    )
    assert there.stdout.strip() == here, there.stderr


def test_episodes_after_a_seeded_one_are_repeatable_and_differ(arm_env: MakeEnv) -> None:
    first, second = arm_env(), arm_env()
    goals = []
    for env in (first, second):
        env.reset(seed=3)
        goals.append([env.reset()[1]["goal"] for _ in range(3)])
    np.testing.assert_array_equal(goals[0], goals[1])
    assert len(np.unique(goals[0], axis=0)) == 3


# ---- wrong arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"arm": "ur99"}, r"arm must be one of .*iiwa.*; got 'ur99'"),
        ({"gravity": "moon"}, r"gravity must be one of external, none; got 'moon'"),
        ({"control_rate_hz": 60}, r"control_rate_hz must divide .* 500 Hz; got 60"),
        ({"control_rate_hz": 0}, r"control_rate_hz must divide .* 500 Hz; got 0"),
        ({"control_rate_hz": -50}, r"control_rate_hz must divide .* 500 Hz; got -50"),
        ({"control_rate_hz": 62.5}, r"control_rate_hz must .*; got 62.5"),
        ({"episode_seconds": 0.0}, r"episode_seconds must .* 0.02 s or more .*; got 0.0"),
        ({"episode_seconds": float("nan")}, r"episode_seconds must .*; got nan"),
        ({"episode_seconds": float("inf")}, r"episode_seconds must .*; got inf"),
        ({"render_mode": "ascii"}, r"render_mode must be one of human, rgb_array; got 'ascii'"),
        ({"reward": {"distance": -1.0}}, r"distance must be .*; got -1.0"),
        ({"reward": {"speed": 1.0}}, r"reward .*distance, closeness.*; got 'speed'"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_value_and_the_valid_set(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ArmEnv(**arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"goal": [0.5, 0.1]}, r"goal must be 3 finite numbers.*got \[0.5, 0.1\]"),
        ({"goal": [0.5, 0.1, float("nan")]}, r"goal must be 3 finite numbers"),
        ({"joint_position": [0.0] * 6}, r"joint_position must be 7 finite numbers"),
        ({"gaol": [0.5, 0.1, 0.3]}, r"options .*goal, joint_position; got 'gaol'"),
    ],
)
def test_a_wrong_reset_option_is_refused_with_its_value_and_the_valid_set(
    arm_env: MakeEnv, options: dict[str, Any], words: str
) -> None:
    env = arm_env()
    with pytest.raises(ConfigurationError, match=words):
        env.reset(seed=0, options=options)


# ---- pictures ----------------------------------------------------------------------------------


def test_it_renders_without_a_display(arm_env: MakeEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    env = arm_env(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert frame.dtype == np.uint8
    assert frame.std() > 5.0
    assert env.metadata["render_fps"] == env.control_rate_hz


def test_rendering_changes_nothing_in_the_motion(arm_env: MakeEnv) -> None:
    seen, unseen = arm_env(render_mode="rgb_array"), arm_env()
    assert trajectory(seen, 6, steps=30) == trajectory(unseen, 6, steps=30)


def test_without_a_render_mode_there_is_no_frame(arm_env: MakeEnv) -> None:
    env = arm_env()
    env.reset(seed=0)
    assert env.render() is None
