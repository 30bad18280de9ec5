# SPDX-License-Identifier: Apache-2.0
"""docs/your_task.md, followed: its file, its line, a training, a policy file that is evaluated."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_run import finished_run

from sac_ros.policy.runtime import Policy
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.task import TASKS
from sac_ros.training.evaluation import evaluate
from sac_ros.training.policy_in_loop import environment_of, policy_controller
from sac_ros.utils.errors import ConfigurationError

PAGE = Path(__file__).parents[2] / "docs" / "your_task.md"


@pytest.fixture(scope="module")
def aim() -> Iterator[str]:
    """The page's file under its name, and the page's line in the registry."""
    page = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    name, target = re.search(r'\n\+ +"(\w+)": "([\w.:]+)",', page).groups()  # type: ignore[union-attr]
    module = types.ModuleType(target.partition(":")[0])
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    sys.modules[module.__name__] = module
    TASKS[name] = target
    yield name
    del TASKS[name], sys.modules[module.__name__]


def test_a_task_that_does_not_say_where_it_aims_has_no_prior(aim: str) -> None:
    with pytest.raises(ConfigurationError, match="prior must be none for the task aim"):
        ArmVectorEnv(1, task=aim, prior="computed_torque")


def test_another_goal_in_hindsight_is_as_if_it_had_been_there(aim: str) -> None:
    env = ArmVectorEnv(4, task=aim)
    observation, info = env.reset(seed=0)
    goals = np.roll(info["goal"], 1, axis=0)
    zero = np.zeros((4, 7), dtype=np.float32)
    expected = env.observe(info["true_state"], goals, zero)
    env.task.set_goal(observation, goals.astype(np.float32))
    np.testing.assert_allclose(observation, expected, atol=1e-6)
    env.close()


def test_distance_and_error_are_the_same_and_vanish_at_the_goal(aim: str) -> None:
    env = ArmVectorEnv(4, task=aim)
    observation, info = env.reset(seed=0)
    np.testing.assert_allclose(env.task.distance(observation), info["distance"], atol=1e-6)
    end_effector = info["true_state"][:, 14:]
    found = env.task.error(env.task.goal_at(end_effector), end_effector)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    env.close()


def test_a_training_of_it_ends_in_a_policy_file(aim: str, tmp_path: Path) -> None:
    policy = Policy.load(finished_run(tmp_path, task=aim).outcome.policy)
    assert policy.spec.task == aim
    env = environment_of(policy, 2)
    found = evaluate(env, policy_controller(policy, env), episodes=2, seed=0)
    assert found is not None
    assert 0.0 < found.median_error_m < 2.0
    env.close()
