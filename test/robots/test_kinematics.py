# SPDX-License-Identifier: Apache-2.0
"""Forward kinematics is Bullet's, for arms as they are and for chains that no one designed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_urdf import JOINTS, random_arm

from sac_ros.robots.arm import Arm, arm_names, load_arm
from sac_ros.robots.kinematics import cross, like, namespace, quaternion_of, rotation_of, rpy_of
from sac_ros.sim.backend import make_backend

ANGLE = st.floats(-4.0, 4.0)


def positions_of(arm: Arm, number: int) -> np.ndarray:
    """Drawn over the whole joint range."""
    low, high = arm.position_limit.T
    return np.random.default_rng(1).uniform(low, high, (number, arm.joints))


def tips_of_bullet(arm: Arm, positions: np.ndarray) -> np.ndarray:
    """[k, 7] m, quaternion."""
    backend = make_backend("bullet", arm, gravity=False)
    end_effectors = []
    for position in positions:
        backend.reset(position)
        end_effectors.append(backend.read()[2 * arm.joints :])
    backend.close()
    return np.array(end_effectors)


def rotation_of_quaternion(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.fixture(scope="module", params=arm_names())
def arm(request: pytest.FixtureRequest) -> Arm:
    return load_arm(request.param)


def test_the_tip_is_where_bullet_has_it_over_the_whole_joint_range(arm: Arm) -> None:
    positions = positions_of(arm, 200)
    end_effectors = tips_of_bullet(arm, positions)
    frames = arm.chain.frames_at(positions)
    # Bullet places links through float32 inertial frames.
    np.testing.assert_allclose(frames.end_effector, end_effectors[:, :3], atol=1e-6)
    turned = [rotation_of_quaternion(end_effector[3:]) for end_effector in end_effectors]
    np.testing.assert_allclose(frames.end_effector_rotation, turned, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_frames_axes_and_fixed_joints_of_any_kind_are_folded_in(tmp_path: Path, seed: int) -> None:
    arm = random_arm(tmp_path, seed)
    positions = np.random.default_rng(seed).uniform(-3.0, 3.0, (50, JOINTS))
    end_effectors = tips_of_bullet(arm, positions)
    np.testing.assert_allclose(arm.chain.forward(positions), end_effectors[:, :3], atol=1e-6)


def test_the_jacobian_is_what_finite_differences_say(arm: Arm) -> None:
    step = 1e-6
    for q in positions_of(arm, 5):
        jacobian = arm.chain.jacobian(arm.chain.frames_at(q))
        before = arm.chain.frames_at(q - step * np.eye(arm.joints))
        after = arm.chain.frames_at(q + step * np.eye(arm.joints))
        linear = (after.end_effector - before.end_effector) / (2 * step)
        # ω× = Ṙ Rᵀ
        spin = (after.end_effector_rotation - before.end_effector_rotation) / (2 * step)
        spin = spin @ arm.chain.frames_at(q).end_effector_rotation.T
        angular = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], axis=-1)
        np.testing.assert_allclose(jacobian, np.hstack([linear, angular]).T, atol=1e-8)


def test_numpy_and_torch_give_the_same_frames_and_jacobian(arm: Arm) -> None:
    q = positions_of(arm, 20)
    by_numpy = arm.chain.frames_at(q)
    angles = torch.as_tensor(q)
    by_torch = arm.chain.frames(torch.sin(angles), torch.cos(angles))
    for found, expected in zip(by_torch, by_numpy, strict=True):
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(
        arm.chain.jacobian(by_torch).numpy(),
        arm.chain.jacobian(by_numpy),
        rtol=0.0,
        atol=1e-10,
    )


def test_one_position_and_any_batch_of_it_give_the_same_tip(arm: Arm) -> None:
    single = arm.chain.forward(arm.home)
    batch = arm.chain.forward(np.broadcast_to(arm.home, (2, 3, arm.joints)))
    assert single.shape == (3,)
    assert batch.shape == (2, 3, 3)
    np.testing.assert_allclose(batch, np.broadcast_to(single, (2, 3, 3)), atol=1e-15)


def test_the_frames_start_at_the_first_joint_and_keep_their_distances(arm: Arm) -> None:
    def places(q: np.ndarray) -> np.ndarray:
        frames = arm.chain.frames_at(q)
        return np.vstack([frames.origin, frames.end_effector])

    frames = places(arm.home)
    assert frames.shape == (arm.joints + 1, 3)
    np.testing.assert_allclose(frames[0], arm.chain.translation[0])
    # Rigid links: how far one frame is from the next does not depend on the configuration.
    lengths = np.linalg.norm(np.diff(frames, axis=0), axis=1)
    other = np.linalg.norm(np.diff(places(np.ones(arm.joints)), axis=0), axis=1)
    np.testing.assert_allclose(lengths, other, atol=1e-12)


def test_every_rotation_is_one(arm: Arm) -> None:
    rotation = arm.chain.frames_at(positions_of(arm, 20)).rotation
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(rotation @ rotation.mT, identity, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0)


@settings(deadline=None, max_examples=200)
@given(roll=ANGLE, pitch=ANGLE | st.sampled_from([np.pi / 2, -np.pi / 2]), yaw=ANGLE)
def test_roll_pitch_and_yaw_come_back_from_their_rotation(
    roll: float, pitch: float, yaw: float
) -> None:
    rotation = rotation_of([roll, pitch, yaw])
    np.testing.assert_allclose(rotation_of(rpy_of(rotation)), rotation, atol=1e-7)
    if abs(roll) < 3.0 and abs(pitch) < 1.5 and abs(yaw) < 3.0:
        np.testing.assert_allclose(rpy_of(rotation), [roll, pitch, yaw], atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(roll=ANGLE, pitch=ANGLE, yaw=ANGLE)
def test_a_quaternion_turns_as_its_rotation(roll: float, pitch: float, yaw: float) -> None:
    rotation = rotation_of([roll, pitch, yaw])
    quaternion = quaternion_of(rotation)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation_of_quaternion(quaternion), rotation, atol=1e-12)


def test_a_rotation_turns_about_fixed_axes_roll_first() -> None:
    about_x, about_z = rotation_of([0.3, 0.0, 0.0]), rotation_of([0.0, 0.0, 0.7])
    np.testing.assert_allclose(rotation_of([0.3, 0.0, 0.7]), about_z @ about_x, atol=1e-15)
    np.testing.assert_allclose(about_z @ [1, 0, 0], [np.cos(0.7), np.sin(0.7), 0.0])


def test_constants_take_kind_and_precision_of_the_array_they_meet() -> None:
    constant = np.ones(3)
    assert namespace(constant) is np
    assert namespace(torch.ones(1)) is torch
    assert like(constant, np.ones(1, dtype=np.float32)).dtype == np.float32
    assert like(constant, torch.ones(1)).dtype == torch.float32


def test_the_cross_product_is_numpys() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_allclose(cross(a, b), np.cross(a, b), atol=1e-15)
