# SPDX-License-Identifier: Apache-2.0
"""The environment is a Gymnasium environment like any other, and repeatable bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sac_ros.robots.arm import load_arm
from sac_ros.sim.env import ArmEnv, register
from sac_ros.tasks.task import RewardWeights
from sac_ros.utils.errors import ConfigurationError

MakeEnv = Callable[..., ArmEnv]

START_SPREAD = 0.4  # rad
WORLDS = ("bullet", "mujoco")
COMPENSATION = ("robot", "policy")
IIWA = load_arm("iiwa")

register()


@pytest.fixture
def arm_env() -> Iterator[MakeEnv]:
    made: list[ArmEnv] = []

    def make(**arguments: Any) -> ArmEnv:
        made.append(ArmEnv(**{"arm": IIWA, **arguments}))
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


@pytest.mark.parametrize("backend", WORLDS)
@pytest.mark.parametrize("compensation", COMPENSATION)
def test_it_passes_gymnasiums_own_check(backend: str, compensation: str) -> None:
    env = gymnasium.make(
        "sac_ros/ArmReach-v0",
        backend=backend,
        gravity_compensation=compensation,
        render_mode="rgb_array",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Raw velocities and offsets have no bound worth the name.
        warnings.filterwarnings("ignore", message=".*Box observation space m.*")
        # Made again by the checker without a window on a machine that has none.
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_it_passes_the_whole_check_of_gymnasium_where_there_is_no_display(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    env = gymnasium.make("sac_ros/ArmReach-v0", backend="mujoco")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("backend", WORLDS)
@pytest.mark.parametrize("compensation", COMPENSATION)
def test_it_passes_the_check_of_stable_baselines3(
    arm_env: MakeEnv, backend: str, compensation: str
) -> None:
    checker = pytest.importorskip(
        "stable_baselines3.common.env_checker", reason="stable-baselines3 is a benchmark extra"
    )
    checker.check_env(arm_env(backend=backend, gravity_compensation=compensation), warn=True)


def test_gymnasium_makes_any_arm_in_any_world_by_the_name_of_the_environment() -> None:
    env = gymnasium.make("sac_ros/ArmReach-v0", arm="ur5e", backend="mujoco")
    observation, info = env.reset(seed=0)
    assert env.action_space.shape == (6,)
    assert env.observation_space.contains(observation)
    assert info["goal"].shape == (3,)
    env.close()
    register()  # twice does nothing


def test_gymnasium_imports_it_by_the_name_of_its_module() -> None:
    code = (
        "import gymnasium\n"
        "name = 'sac_ros.sim.env:sac_ros/ArmReach-v0'\n"
        "env = gymnasium.make(name, arm='xarm7', backend='mock')\n"
        "print(env.reset(seed=0)[0].shape, env.spec.id)\n"
        "many = gymnasium.make_vec(name, num_envs=2, backend='mock')\n"
        "print(many.reset(seed=0)[0].shape)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0
    )
    assert ended.stdout == "(34,) sac_ros/ArmReach-v0\n(2, 34)\n", ended.stderr


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
    env.reset(seed=0, options={"joint_position": IIWA.home})
    speed = np.zeros(7)
    speed[0] = 0.1
    env.rows.plants[0].backend.reset(IIWA.home, speed)
    *_, info = env.step(np.zeros(7, dtype=np.float32))
    moved = info["joint_position"][0] - IIWA.home[0]
    assert moved == pytest.approx(0.1 / rate, rel=0.02)


def test_an_episode_lasts_ten_seconds_unless_it_is_told_otherwise(arm_env: MakeEnv) -> None:
    assert arm_env().rows.episode_steps == 500


def test_the_action_is_scaled_and_clipped_to_its_range(arm_env: MakeEnv) -> None:
    env = arm_env()
    env.reset(seed=0)
    *_, info = env.step(np.full(7, 0.5, dtype=np.float32))
    np.testing.assert_allclose(info["torque"], 0.5 * IIWA.action_scale)
    env.reset(seed=0)
    observation, *_, info = env.step(np.full(7, -3.0, dtype=np.float32))
    np.testing.assert_allclose(info["torque"], -IIWA.action_scale)
    columns = env.rows.task.columns("previous_action")
    np.testing.assert_array_equal(observation[columns], -1.0)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 1000.0])
def test_the_scale_times_a_factor_stays_within_the_torque_limit(
    arm_env: MakeEnv, factor: float
) -> None:
    env = arm_env(action_scale_factor=factor)
    env.reset(seed=0)
    *_, info = env.step(np.ones(7, dtype=np.float32))
    expected = np.minimum(factor * IIWA.action_scale, IIWA.torque_limit)
    np.testing.assert_allclose(info["torque"], expected)


def test_info_tells_the_state_that_the_observation_encodes(arm_env: MakeEnv) -> None:
    env = arm_env()
    env.reset(seed=1)
    action = np.full(7, 0.3, dtype=np.float32)
    for _ in range(5):
        observation, *_, info = env.step(action)
    end_effector = IIWA.chain.forward(info["joint_position"])
    state = np.concatenate([info["joint_position"], info["joint_velocity"], end_effector])
    expected = env.rows.observe(state, info["goal"], action)
    np.testing.assert_allclose(observation, expected, atol=1e-6)
    assert info["distance"] == pytest.approx(np.linalg.norm(info["goal"] - end_effector), abs=1e-6)
    np.testing.assert_array_equal(info["true_state"][:7], info["joint_position"])
    np.testing.assert_array_equal(info["true_state"][7:14], info["joint_velocity"])
    np.testing.assert_allclose(info["true_state"][14:17], end_effector, atol=1e-6)


def test_success_is_half_a_second_at_the_goal_and_slow(arm_env: MakeEnv) -> None:
    env, still = arm_env(), np.zeros(7, dtype=np.float32)
    up = np.array([0.0, 0.0, 1.0])
    near = IIWA.chain.forward(IIWA.home) + 0.04 * up
    _, info = env.reset(options={"goal": near, "joint_position": IIWA.home})
    found = [bool(info["is_success"])] + [
        bool(env.step(still)[-1]["is_success"]) for _ in range(30)
    ]
    assert found == [False] * 25 + [True] * 6  # 25 control periods
    env.step(np.ones(7, dtype=np.float32))
    assert not env.step(np.ones(7, dtype=np.float32))[-1]["is_success"]
    far = near + 0.02 * up
    env.reset(options={"goal": far, "joint_position": IIWA.home})
    assert not any(env.step(still)[-1]["is_success"] for _ in range(30))


def test_what_a_user_does_to_an_info_does_not_reach_the_environment(arm_env: MakeEnv) -> None:
    env = arm_env()
    _, info = env.reset(seed=1)
    info["goal"][:] = 99.0
    observation, *_, after = env.step(np.zeros(7, dtype=np.float32))
    assert np.all(observation[env.rows.task.columns("goal")] < 1.0)
    for name in ("joint_velocity", "joint_position", "true_state", "torque"):
        after[name][:] = 99.0  # rad/s at which the envelope would brake
    *_, unbraked = env.step(np.full(7, 0.5, dtype=np.float32))
    np.testing.assert_allclose(unbraked["torque"], 0.5 * IIWA.action_scale)


def test_the_reward_is_the_tasks_own_of_what_was_observed(arm_env: MakeEnv) -> None:
    env = arm_env(reward={"distance": 3.0, "action_change": 0.5})
    before, _ = env.reset(seed=2)
    for _ in range(5):
        action = env.action_space.sample()
        after, reward, *_ = env.step(action)
        assert reward == pytest.approx(
            float(env.rows.task.reward(before, action, after)), rel=1e-6
        )
        before = after
    assert env.rows.task.weights.distance == 3.0
    assert env.rows.task.weights.closeness == RewardWeights().closeness  # what is not named stays


# ---- starts and goals --------------------------------------------------------------------------


def test_every_episode_starts_at_rest_near_home_with_a_goal_in_the_box(arm_env: MakeEnv) -> None:
    env = arm_env()
    goals = []
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        assert np.all(np.abs(info["joint_position"] - IIWA.home) <= START_SPREAD)
        np.testing.assert_array_equal(info["joint_velocity"], np.zeros(7))
        np.testing.assert_array_equal(observation[env.rows.task.columns("previous_action")], 0.0)
        assert not env.rows.plants[0].backend.contacts(info["joint_position"])
        goals.append(info["goal"])
    assert np.all((goals >= IIWA.goal_low) & (goals <= IIWA.goal_high))
    assert len(np.unique(goals, axis=0)) == 40


def test_options_take_the_place_of_drawn_goal_and_configuration(arm_env: MakeEnv) -> None:
    env = arm_env()
    goal, configuration = np.array([0.5, 0.1, 0.3]), np.full(7, 0.2)
    _, info = env.reset(seed=0, options={"goal": goal, "joint_position": configuration})
    np.testing.assert_array_equal(info["goal"], goal)
    np.testing.assert_allclose(info["joint_position"], configuration)


@pytest.mark.parametrize("backend", WORLDS)
@pytest.mark.parametrize("compensation", COMPENSATION)
def test_a_zero_action_stands_still_whoever_carries_the_arm(
    arm_env: MakeEnv, backend: str, compensation: str
) -> None:
    env = arm_env(backend=backend, gravity_compensation=compensation)
    _, info = env.reset(seed=3)
    start = info["true_state"][14:17]
    for _ in range(25):
        info = env.step(np.zeros(7, dtype=np.float32))[-1]
    np.testing.assert_allclose(info["true_state"][14:17], start, atol=1e-6)
    carried = np.abs(info["torque"]).max()
    assert carried > 1.0 if compensation == "policy" else carried == 0.0


@pytest.mark.parametrize("backend", WORLDS)
def test_a_policy_that_carries_the_arm_moves_it_nearly_as_a_robot_that_does(
    arm_env: MakeEnv, backend: str
) -> None:
    robot, policy = (arm_env(backend=backend, gravity_compensation=each) for each in COMPENSATION)
    rng = np.random.default_rng(5)
    infos = [env.reset(seed=3)[1] for env in (robot, policy)]
    np.testing.assert_array_equal(infos[0]["goal"], infos[1]["goal"])
    for _ in range(25):
        position, velocity = infos[1]["joint_position"], infos[1]["joint_velocity"]
        action = rng.uniform(-0.5, 0.5, 7).astype(np.float32)
        infos = [env.step(action)[-1] for env in (robot, policy)]
        held = robot.rows.torque(action, position, velocity) + IIWA.gravity_torque(position)
        np.testing.assert_allclose(infos[1]["torque"], held, atol=1e-9)
    # Not the very same: g(q) is held for a control period, and a robot adds it at every moment.
    ends = [info["joint_position"] for info in infos]
    assert np.abs(ends[0] - ends[1]).max() < 0.05
    assert np.abs(ends[0] - IIWA.home).max() > 0.1


def test_gravity_is_added_after_the_envelope_and_before_the_torque_limit(
    arm_env: MakeEnv,
) -> None:
    weak = dataclasses.replace(IIWA, torque_limit=np.minimum(IIWA.torque_limit, 20.0))
    rows = arm_env(arm=weak, gravity_compensation="policy").rows
    outstretched = np.array([0.0, np.pi / 2, 0.0, 0.0, 0.0, 0.0, 0.0])
    pull = IIWA.gravity_torque(outstretched)
    assert np.abs(pull).max() > 20.0
    none, full = np.zeros(7), np.ones(7)
    found = rows.torque(none, outstretched, none)
    np.testing.assert_array_equal(found, np.clip(pull, -20.0, 20.0))
    # No accelerating torque is left at 80 % of the limit.
    fast = rows.torque(full, IIWA.home, 0.8 * IIWA.velocity_limit)
    np.testing.assert_allclose(fast, np.clip(IIWA.gravity_torque(IIWA.home), -20, 20), atol=1e-9)


# ---- repeatable --------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", WORLDS)
def test_the_same_seed_and_actions_give_the_same_bits_after_other_episodes(
    arm_env: MakeEnv, backend: str
) -> None:
    used, fresh = arm_env(backend=backend), arm_env(backend=backend)
    for seed in (11, 12, 13):
        trajectory(used, seed)
    assert trajectory(used, 1) == trajectory(fresh, 1)
    assert trajectory(used, 2) != trajectory(fresh, 1)


@pytest.mark.parametrize("backend", WORLDS)
@pytest.mark.parametrize("compensation", COMPENSATION)
def test_the_same_seed_and_actions_give_the_same_bits_in_another_process(
    arm_env: MakeEnv, backend: str, compensation: str
) -> None:
    arguments = {"backend": backend, "gravity_compensation": compensation}
    here = hashlib.sha256(trajectory(arm_env(**arguments), 7)).hexdigest()
    code = (
        "import hashlib, importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('this', {__file__!r})\n"
        "this = importlib.util.module_from_spec(spec); spec.loader.exec_module(this)\n"
        f"found = this.trajectory(this.ArmEnv(**{arguments!r}), 7)\n"
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
        ({"backend": "gazebo"}, r"backend must be one of bullet, mujoco, mock; got 'gazebo'"),
        ({"task": "fetch"}, r"task must be one of reach.*; got 'fetch'"),
        (
            {"gravity_compensation": "moon"},
            r"gravity_compensation must be one of robot, policy; got 'moon'",
        ),
        ({"action_scale_factor": 0.0}, r"action_scale_factor must be a number above 0; got 0.0"),
        ({"action_scale_factor": float("nan")}, r"action_scale_factor must be .*; got nan"),
        ({"randomization": {"wind": [1.0]}}, r"randomization must have keys among .*; got 'wind'"),
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


@pytest.mark.parametrize("backend", WORLDS)
def test_it_renders_without_a_display(
    arm_env: MakeEnv, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    env = arm_env(render_mode="rgb_array", backend=backend)
    env.reset(seed=0)
    frame = env.render()
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert frame.dtype == np.uint8
    assert frame.std() > 5.0
    assert env.metadata["render_fps"] == 50


def test_rendering_changes_nothing_in_the_motion(arm_env: MakeEnv) -> None:
    seen, unseen = arm_env(render_mode="rgb_array"), arm_env()
    assert trajectory(seen, 6, steps=30) == trajectory(unseen, 6, steps=30)


def test_without_a_render_mode_there_is_no_frame(arm_env: MakeEnv) -> None:
    env = arm_env()
    env.reset(seed=0)
    assert env.render() is None


def test_a_window_without_a_display_is_one_sentence_and_not_the_end_of_the_interpreter() -> None:
    code = (
        "from sac_ros.sim.env import ArmEnv\n"
        "from sac_ros.utils.errors import ConfigurationError\n"
        "try: ArmEnv(render_mode='human')\n"
        "except ConfigurationError as error: print(error)\n"
        "print('alive')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    sentence, alive = ended.stdout.splitlines()
    assert sentence.startswith("a window needs a display, and none can be opened here")
    assert alive == "alive"


def test_the_reward_judges_what_is_true_and_not_what_the_policy_is_told() -> None:
    noise = {"position_noise": (0.05, 0.05), "velocity_noise": (0.5, 0.5)}
    told, exact = (ArmEnv(randomization=each) for each in (noise, {}))
    goal = {"goal": [0.5, 0.1, 0.4], "joint_position": IIWA.home}
    for env in (told, exact):
        env.reset(seed=3, options=goal)
    torque = np.zeros((1, 7))
    for _ in range(5):
        action = np.full((1, 7), 0.2, np.float32)
        found = [env.rows.apply(action, torque) for env in (told, exact)]
        assert found[0][1] == found[1][1]
        np.testing.assert_array_equal(found[0][4]["true_observation"], found[1][0])
        assert np.abs(found[0][0] - found[1][0]).max() > 0.01
    for env in (told, exact):
        env.close()
