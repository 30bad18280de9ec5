# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics is Bullet's, for arms as they are and for chains that no one designed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from random_urdf import JOINTS, random_arm

from sac_ros.robots.arm import ArmModel, arm_names, load_arm
from sac_ros.robots.kinematics import chain_of
from sac_ros.sim.sim_arm import SimArm
from sac_ros.utils.errors import ConfigurationError


def tips_of_bullet(arm: ArmModel, postures: np.ndarray) -> np.ndarray:
    sim = SimArm(arm)
    tips = []
    for posture in postures:
        sim.reset(posture)
        tips.append(sim.tip_position())
    sim.close()
    return np.array(tips)


@pytest.mark.parametrize("name", arm_names())
def test_the_tip_is_where_bullet_has_it_over_the_whole_joint_range(name: str) -> None:
    arm = load_arm(name)
    low, high = arm.position_limit.T
    postures = np.random.default_rng(1).uniform(low, high, (300, arm.joints))
    tips = tips_of_bullet(arm, postures)
    # Bullet places links through float32 inertial frames.
    np.testing.assert_allclose(chain_of(arm).forward(postures), tips, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_frames_axes_and_fixed_joints_of_any_kind_are_folded_in(tmp_path: Path, seed: int) -> None:
    arm = random_arm(tmp_path, seed)
    postures = np.random.default_rng(seed).uniform(-3.0, 3.0, (50, JOINTS))
    tips = tips_of_bullet(arm, postures)

    np.testing.assert_allclose(chain_of(arm).forward(postures), tips, atol=1e-6)


def test_one_posture_and_any_batch_of_it_give_the_same_tip() -> None:
    arm = load_arm("iiwa")
    chain = chain_of(arm)
    single = chain.forward(arm.home)
    batch = chain.forward(np.broadcast_to(arm.home, (2, 3, arm.joints)))
    assert single.shape == (3,)
    assert batch.shape == (2, 3, 3)
    np.testing.assert_allclose(batch, np.broadcast_to(single, (2, 3, 3)), atol=1e-15)


def test_the_frame_positions_start_at_the_first_joint_and_end_at_the_tip() -> None:
    arm = load_arm("iiwa")
    chain = chain_of(arm)
    frames = chain.frame_positions(arm.home)
    assert frames.shape == (arm.joints + 1, 3)
    np.testing.assert_allclose(frames[0], chain.translation[0])
    np.testing.assert_array_equal(frames[-1], chain.forward(arm.home))
    # Rigid links: how far one frame is from the next does not depend on the posture.
    lengths = np.linalg.norm(np.diff(frames, axis=0), axis=1)
    other = np.linalg.norm(np.diff(chain.frame_positions(np.ones(7)), axis=0), axis=1)
    np.testing.assert_allclose(lengths, other, atol=1e-12)


def test_a_tip_that_no_joint_leads_to_is_refused() -> None:
    arm = dataclasses.replace(load_arm("iiwa"), tip_link="left_foot")
    with pytest.raises(ConfigurationError, match="'lbr_iiwa_link_0' to 'left_foot'"):
        chain_of(arm)


def test_joints_in_another_order_than_the_chain_are_refused_with_the_right_one() -> None:
    arm = load_arm("iiwa")
    turned = dataclasses.replace(arm, joint_names=tuple(reversed(arm.joint_names)))
    with pytest.raises(ConfigurationError, match=r"joint_names must be .* lbr_iiwa_joint_1, "):
        chain_of(turned)


def test_a_chain_with_a_prismatic_joint_is_refused(tmp_path: Path) -> None:
    arm = random_arm(tmp_path, 0)
    text = arm.urdf.read_text()
    arm.urdf.write_text(text.replace("type='revolute'", "type='prismatic'", 1))
    with pytest.raises(ConfigurationError, match="must be the revolute joints"):
        chain_of(arm)
