# SPDX-License-Identifier: Apache-2.0
"""Every drawn configuration is one the arm can be in, and every goal one that it can reach."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator

import numpy as np
import pytest

from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.robots.defaults import TABLE_CLEARANCE
from sac_ros.sim.backend import Backend, make_backend
from sac_ros.sim.goal_sampler import GoalSampler
from sac_ros.utils.errors import ConfigurationError


@pytest.fixture(scope="module", params=arm_names())
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    made = make_backend("mujoco", load_arm(request.param), gravity=False)
    yield made
    made.close()


def test_every_goal_is_the_tip_of_a_configuration_in_the_limits_that_touches_nothing(
    backend: Backend,
) -> None:
    arm = backend.arm
    positions, end_effectors = GoalSampler(backend).draw(np.random.default_rng(2), 100)
    assert positions.shape == (100, arm.joints)
    assert end_effectors.shape == (100, 7)
    assert np.all((positions > arm.position_limit[:, 0]) & (positions < arm.position_limit[:, 1]))
    assert np.all((end_effectors[:, :3] >= arm.goal_low) & (end_effectors[:, :3] <= arm.goal_high))
    frames = arm.chain.frames_at(positions)
    assert frames.origin[:, 1:, 2].min() >= TABLE_CLEARANCE
    assert end_effectors[:, 2].min() >= TABLE_CLEARANCE
    np.testing.assert_allclose(frames.end_effector, end_effectors[:, :3], atol=1e-6)
    assert not any(backend.contacts(position) for position in positions)


def test_goals_fill_the_box_and_do_not_cluster_in_a_corner(backend: Backend) -> None:
    arm = backend.arm
    _, end_effectors = GoalSampler(backend).draw(np.random.default_rng(3), 200)
    share = (end_effectors[:, :3] - arm.goal_low) / (arm.goal_high - arm.goal_low)
    assert np.all(share.min(axis=0) < 0.15)
    assert np.all(share.max(axis=0) > 0.85)


def test_the_same_generator_draws_the_same_and_another_does_not(backend: Backend) -> None:
    sampler = GoalSampler(backend)
    first, again, other = (sampler.draw(np.random.default_rng(seed), 10)[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_start_near_home_is_near_home_in_the_limits_and_touches_nothing(
    backend: Backend,
) -> None:
    arm, sampler, rng = backend.arm, GoalSampler(backend), np.random.default_rng(6)
    drawn = np.array([sampler.draw_start(rng, arm.home, 0.4) for _ in range(30)])
    assert np.all(np.abs(drawn - arm.home) <= 0.4 + 1e-12)
    assert np.all((drawn >= arm.position_limit[:, 0]) & (drawn <= arm.position_limit[:, 1]))
    assert not any(backend.contacts(position) for position in drawn)


def test_a_start_anywhere_is_off_the_table_and_far_from_home(backend: Backend) -> None:
    arm, sampler, rng = backend.arm, GoalSampler(backend), np.random.default_rng(6)
    drawn = np.array([sampler.draw_start(rng, arm.home, None) for _ in range(30)])
    assert np.abs(drawn - arm.home).max() > 1.5
    assert arm.chain.frames_at(drawn).origin[:, 1:, 2].min() >= TABLE_CLEARANCE
    assert not any(backend.contacts(position) for position in drawn)


def test_a_start_near_a_limit_stays_inside_it(backend: Backend) -> None:
    arm = backend.arm
    beyond = arm.home.copy()
    beyond[-1] = arm.position_limit[-1, 1] + 1.0
    drawn = GoalSampler(backend).draw_start(np.random.default_rng(0), beyond, 0.1)
    assert drawn[-1] < arm.position_limit[-1, 1]


@pytest.mark.parametrize("number", [1, 3])
def test_a_goal_box_out_of_reach_is_refused_within_seconds(number: int) -> None:
    iiwa = load_arm("iiwa")
    far = dataclasses.replace(iiwa, goal_low=np.full(3, 5.0), goal_high=np.full(3, 6.0))
    sampler = GoalSampler(make_backend("mock", far, gravity=False))
    began = time.monotonic()
    with pytest.raises(
        ConfigurationError,
        match=re.escape(
            "arm iiwa: no configuration without self-collision has its end effector "
            "'lbr_iiwa_link_7' in the goal box [5.0, 5.0, 5.0] to [6.0, 6.0, 6.0] m; tried 19200"
        ),
    ):
        sampler.draw(np.random.default_rng(0), number)
    assert time.monotonic() - began < 20.0


def test_an_arm_that_always_touches_itself_is_refused_with_its_links(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    iiwa = load_arm("iiwa")
    backend = make_backend("mock", iiwa, gravity=False)
    monkeypatch.setattr(backend, "contacts", lambda _: [("link_1", "link_5")])
    with pytest.raises(ConfigurationError, match=r"at home these links touch: link_1 and link_5$"):
        GoalSampler(backend).draw_start(np.random.default_rng(0), iiwa.home, 0.4)
