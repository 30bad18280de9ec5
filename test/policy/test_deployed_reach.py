# SPDX-License-Identifier: Apache-2.0
"""What the shipped policies do on an arm: goal after goal through the whole control loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.robots.arm import load_arm
from sac_ros.sim.backend import make_backend
from sac_ros.sim.goal_sampler import GoalSampler
from sac_ros.tasks.task import make_task

MODELS = Path(__file__).parents[2] / "models"
ARMS = ["iiwa", "panda", "ur5e", "xarm7", "gen3"]
PERIOD = 0.002  # s


def reach(name: str, world: str, number: int, *, late: int, **config: float) -> tuple[int, float]:
    """Send goals as `reach_demo` does: 5 s for each, reached once 1 s within 5 cm.

    Args:
        name: of the arm.
        world: the simulator.
        number: of goals, seed 0.
        late: states that a torque comes after its own.
        config: of the safety filter.

    Returns:
        How many were reached, and the highest speed of a joint in parts of its limit.
    """
    policy, arm = Policy.load(MODELS / f"{name}_reach.onnx"), load_arm(name)
    spec, n = policy.spec, arm.joints
    low, high = np.array(spec.goal.low[:3]), np.array(spec.goal.high[:3])
    inside = dataclasses.replace(arm, goal_low=low, goal_high=high)
    backend = make_backend(world, inside, gravity=False)
    sampler = GoalSampler(backend, make_task(spec.task, inside, {}))
    goals = sampler.draw(np.random.default_rng(0), number)[1][:, :3]
    backend.reset(arm.home)
    loop, now = ControlLoop(policy, SafetyConfig(**config)), 100.0
    loop.state(now, arm.home, np.zeros(n), round(1e9 * now))
    loop.activate(now)
    torques, reached, fastest = [[0.0] * n] * late, 0, 0.0
    for goal in goals:
        loop.set_goal(now, arm.base_link, goal, round(1e9 * now))
        since, given = np.inf, now
        while now - given < 5.0 and now - since < 1.0:
            now += PERIOD
            state = np.array(backend.read())
            fastest = max(fastest, np.abs(state[n : 2 * n] / arm.velocity_limit).max())
            command = loop.state(now, state[:n], state[n : 2 * n], round(1e9 * now))
            assert command is not None
            torques.append(command.torque.tolist())
            backend.step(torques.pop(0), 1)
            close = np.linalg.norm(state[2 * n : 2 * n + 3] - goal) < 0.05
            since = min(since, now) if close else np.inf
        assert not loop.safety.faults, (goal, loop.safety.faults)
        reached += now - since >= 1.0
    backend.close()
    return reached, float(fastest)


@pytest.mark.parametrize("name", ARMS)
def test_a_shipped_policy_reaches_goal_after_goal_and_no_joint_is_too_fast(name: str) -> None:
    reached, fastest = reach(name, "bullet", 10, late=3)
    assert reached == 10
    assert fastest < 1.1


@pytest.mark.parametrize("name", ARMS)
def test_in_commissioning_at_a_quarter_of_a_metre_a_second_no_goal_is_missed(name: str) -> None:
    """Else the policy takes what the speed limit holds back for a load, and leans against it."""
    reached, fastest = reach(name, "bullet", 4, late=2, max_end_effector_speed=0.25)
    assert reached == 4
    assert fastest < 1.0


@pytest.mark.long
@pytest.mark.parametrize("world", ["bullet", "mujoco"])
@pytest.mark.parametrize("name", ARMS)
def test_of_a_hundred_goals_one_after_the_other_none_is_missed(name: str, world: str) -> None:
    reached, fastest = reach(name, world, 100, late=2)
    assert reached == 100
    assert fastest < 1.1
