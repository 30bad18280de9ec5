# SPDX-License-Identifier: Apache-2.0
"""The gravity torque is that of Bullet's inverse dynamics, for any serial chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_urdf import JOINTS, random_arm

from sac_ros.robots.arm import ArmModel, arm_names, load_arm
from sac_ros.robots.dynamics import gravity_of
from sac_ros.sim.sim_arm import SimArm
from sac_ros.utils.errors import ConfigurationError


def torques_of_bullet(arm: ArmModel, postures: np.ndarray) -> np.ndarray:
    sim = SimArm(arm)
    torques = np.array([sim.gravity_torque(posture) for posture in postures])
    sim.close()
    return torques


@pytest.mark.parametrize("name", arm_names())
def test_it_is_bullets_over_the_whole_joint_range(name: str) -> None:
    arm = load_arm(name)
    low, high = arm.position_limit.T
    postures = np.random.default_rng(1).uniform(low, high, (500, arm.joints))
    expected = torques_of_bullet(arm, postures)
    assert np.abs(expected).max() > 10.0
    np.testing.assert_allclose(gravity_of(arm).torque(postures), expected, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_frames_axes_and_links_behind_fixed_joints_of_any_kind_are_counted(
    tmp_path: Path, seed: int
) -> None:
    arm = random_arm(tmp_path, seed)
    postures = np.random.default_rng(seed).uniform(-3.0, 3.0, (50, JOINTS))
    expected = torques_of_bullet(arm, postures)
    assert np.all(np.abs(expected).max(axis=0) > 0.1)
    # Bullet reads the numbers of a URDF as float32 here and there.
    np.testing.assert_allclose(gravity_of(arm).torque(postures), expected, rtol=0.0, atol=1e-6)


def test_one_posture_and_any_batch_of_it_give_the_same_torque() -> None:
    arm = load_arm("iiwa")
    model = gravity_of(arm)
    single = model.torque(arm.home)
    batch = model.torque(np.broadcast_to(arm.home, (2, 3, arm.joints)))
    assert single.shape == (7,)
    assert batch.shape == (2, 3, 7)
    np.testing.assert_allclose(batch, np.broadcast_to(single, (2, 3, 7)), atol=1e-12)


def test_a_tool_behind_two_fixed_joints_counts(tmp_path: Path) -> None:
    arm = random_arm(tmp_path, 0)
    bare = gravity_of(arm).torque(arm.home)
    tool = (
        "<link name='camera'><inertial><origin xyz='0.1 0.2 0.3'/><mass value='2'/>"
        "<inertia ixx='1' iyy='1' izz='1' ixy='0' ixz='0' iyz='0'/></inertial></link>"
        "<joint name='mount' type='fixed'><parent link='link_7'/><child link='camera'/>"
        "<origin xyz='0.3 0 0' rpy='0.5 -1 2'/></joint></robot>"
    )
    arm.urdf.write_text(arm.urdf.read_text().replace("</robot>", tool))
    loaded = gravity_of(arm).torque(arm.home)
    assert np.abs(loaded - bare).max() > 1.0
    np.testing.assert_allclose(loaded, torques_of_bullet(arm, arm.home[None])[0], atol=1e-6)


def test_a_link_without_a_mass_is_refused_since_bullet_would_take_one_kilogram(
    tmp_path: Path,
) -> None:
    arm = random_arm(tmp_path, 0)
    flange = (
        "<link name='flange'/><joint name='end' type='fixed'><parent link='link_7'/>"
        "<child link='flange'/></joint></robot>"
    )
    arm.urdf.write_text(arm.urdf.read_text().replace("</robot>", flange))
    with pytest.raises(ConfigurationError, match=r"the link 'flange' of .* has no <inertial>"):
        gravity_of(arm)


def test_a_joint_that_moves_beside_the_arms_own_is_refused(tmp_path: Path) -> None:
    arm = random_arm(tmp_path, 0)
    finger = (
        "<link name='finger'/><joint name='grip' type='prismatic'><parent link='link_7'/>"
        "<child link='finger'/><limit lower='0' upper='1' effort='1' velocity='1'/></joint>"
        "</robot>"
    )
    arm.urdf.write_text(arm.urdf.read_text().replace("</robot>", finger))
    with pytest.raises(ConfigurationError, match=r"the joint 'grip' of .* moves, but is none"):
        gravity_of(arm)
