# SPDX-License-Identifier: Apache-2.0
"""The observation holds what its table says, where it says."""

from __future__ import annotations

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.tasks.observation import ReachEncoding

ARM = load_arm("iiwa")
ENCODING = ReachEncoding.for_arm(ARM)


def encoded(rows: int | None = None) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(5)
    lead = () if rows is None else (rows,)
    raw = {
        "position": rng.uniform(-3, 3, (*lead, 7)),
        "velocity": rng.uniform(-2, 2, (*lead, 7)),
        "goal": rng.uniform(-1, 1, (*lead, 3)),
        "tip": rng.uniform(-1, 1, (*lead, 3)),
        "previous_action": rng.uniform(-1, 1, (*lead, 7)),
    }
    return raw, ENCODING.encode(**raw)


def test_every_term_stands_in_its_columns_with_its_scale() -> None:
    raw, observation = encoded(4)
    expected = {
        "joint_position_sin": np.sin(raw["position"]),
        "joint_position_cos": np.cos(raw["position"]),
        "joint_velocity": raw["velocity"] / ARM.velocity_limit,
        "goal": raw["goal"],
        "goal_offset": raw["goal"] - raw["tip"],
        "previous_action": raw["previous_action"],
    }
    assert [term.name for term in ENCODING.terms] == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(observation[:, ENCODING.columns(name)], values, atol=1e-6)


def test_the_columns_cover_the_observation_without_gap_or_overlap() -> None:
    columns = [ENCODING.columns(term.name) for term in ENCODING.terms]
    covered = np.concatenate([np.arange(ENCODING.size)[each] for each in columns])
    np.testing.assert_array_equal(covered, np.arange(ENCODING.size))
    _, observation = encoded()
    assert observation.shape == (ENCODING.size,)
    assert observation.dtype == np.float32


def test_a_term_that_does_not_exist_has_no_columns() -> None:
    with pytest.raises(KeyError, match="torque"):
        ENCODING.columns("torque")
