# SPDX-License-Identifier: Apache-2.0
"""Every drawn posture is one that the arm can be in, and every goal one that it can reach."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.robots.kinematics import chain_of
from sac_ros.sim.goal_sampler import TABLE_CLEARANCE, PostureSampler
from sac_ros.sim.sim_arm import SimArm


@pytest.fixture(params=arm_names())
def sampler(request: pytest.FixtureRequest) -> Iterator[PostureSampler]:
    arm = load_arm(request.param)
    sim = SimArm(arm)
    yield PostureSampler(sim, chain_of(arm))
    sim.close()


def test_every_goal_is_the_tip_of_a_posture_in_the_limits_that_touches_nothing(
    sampler: PostureSampler,
) -> None:
    sim, arm = sampler._sim_arm, sampler._sim_arm.arm
    postures, tips = sampler.draw(np.random.default_rng(2), 200)
    assert postures.shape == (200, arm.joints)
    assert tips.shape == (200, 3)
    assert np.all((postures > arm.position_limit[:, 0]) & (postures < arm.position_limit[:, 1]))
    assert np.all((tips >= arm.goal_low) & (tips <= arm.goal_high))
    frames = chain_of(arm).frame_positions(postures)
    assert frames[..., 2].min() >= TABLE_CLEARANCE
    for posture, tip in zip(postures, tips, strict=True):
        assert not sim.collides_with_itself(posture)
        np.testing.assert_allclose(sim.tip_position(), tip, atol=1e-6)


def test_goals_fill_the_box_and_do_not_cluster_in_a_corner(sampler: PostureSampler) -> None:
    arm = sampler._sim_arm.arm
    _, tips = sampler.draw(np.random.default_rng(3), 400)
    share = (tips - arm.goal_low) / (arm.goal_high - arm.goal_low)
    assert np.all(share.min(axis=0) < 0.1)
    assert np.all(share.max(axis=0) > 0.9)


def test_the_same_generator_draws_the_same_and_another_does_not(sampler: PostureSampler) -> None:
    first, _ = sampler.draw(np.random.default_rng(4), 20)
    again, _ = sampler.draw(np.random.default_rng(4), 20)
    other, _ = sampler.draw(np.random.default_rng(5), 20)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_posture_near_home_is_near_home_in_the_limits_and_touches_nothing(
    sampler: PostureSampler,
) -> None:
    sim, arm = sampler._sim_arm, sampler._sim_arm.arm
    rng = np.random.default_rng(6)
    drawn = np.array([sampler.draw_near(arm.home, 0.4, rng) for _ in range(50)])
    assert np.all(np.abs(drawn - arm.home) <= 0.4)
    assert np.all((drawn >= arm.position_limit[:, 0]) & (drawn <= arm.position_limit[:, 1]))
    assert not any(sim.collides_with_itself(posture) for posture in drawn)


def test_a_posture_drawn_near_a_limit_stays_inside_it(sampler: PostureSampler) -> None:
    arm = sampler._sim_arm.arm
    beyond = arm.home.copy()
    beyond[-1] = arm.position_limit[-1, 1] + 1.0
    drawn = sampler.draw_near(beyond, 0.1, np.random.default_rng(0))
    assert drawn[-1] < arm.position_limit[-1, 1]
