# SPDX-License-Identifier: Apache-2.0
"""The observation holds what its table says, where it says, in numpy and in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sac_ros.robots.arm import load_arm
from sac_ros.tasks.reach import ReachTask
from sac_ros.tasks.task import TASKS, State, make_task
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
TASK = make_task("reach", ARM, {})


def state(rows: int | None = None) -> State:
    rng = np.random.default_rng(5)
    lead = () if rows is None else (rows,)
    position = rng.uniform(-3, 3, (*lead, 7))
    return State(
        sine=np.sin(position),
        cosine=np.cos(position),
        velocity_fraction=rng.uniform(-2, 2, (*lead, 7)),
        goal=rng.uniform(-1, 1, (*lead, 3)),
        end_effector=rng.uniform(-1, 1, (*lead, 3)),
        memory=rng.uniform(-1, 1, (*lead, 7)),
    )


def test_every_term_stands_in_its_columns() -> None:
    raw = state(4)
    observation = TASK.observe(raw)
    expected = {
        "joint_position_sin": raw.sine,
        "joint_position_cos": raw.cosine,
        "joint_velocity": raw.velocity_fraction,
        "goal": raw.goal,
        "goal_offset": raw.goal - raw.end_effector,
        "previous_action": raw.memory,
    }
    assert list(TASK.terms) == list(expected)
    for name, values in expected.items():
        assert TASK.terms[name] == values.shape[-1]
        np.testing.assert_array_equal(observation[:, TASK.columns(name)], values)


def test_the_columns_cover_the_observation_without_gap_or_overlap() -> None:
    covered = np.concatenate([np.arange(TASK.size)[TASK.columns(name)] for name in TASK.terms])
    np.testing.assert_array_equal(covered, np.arange(TASK.size))
    assert TASK.observe(state()).shape == (TASK.size,)


def test_numpy_and_torch_give_the_same_observation() -> None:
    raw = state(4)
    found = TASK.observe(State(*(torch.as_tensor(each) for each in raw[:6])))
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found.numpy(), TASK.observe(raw))


def test_a_term_that_does_not_exist_has_no_columns() -> None:
    with pytest.raises(KeyError, match="torque"):
        TASK.columns("torque")


def test_tasks_are_made_by_name_with_the_weights_that_are_named() -> None:
    made = make_task("reach", ARM, {"distance": 7.0})
    assert isinstance(made, ReachTask)
    assert (made.name, made.arm, made.weights.distance) == ("reach", ARM, 7.0)
    assert made.weights.closeness == ReachTask(ARM).weights.closeness


@pytest.mark.parametrize("name", ["fetch", "", "Reach"])
def test_an_unknown_task_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"^task must be one of {', '.join(TASKS)}; got {name!r}$"
    ):
        make_task(name, ARM, {})
