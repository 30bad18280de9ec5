# SPDX-License-Identifier: Apache-2.0
"""Gravity torque and mass matrix are those of the energies, for any serial chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from plain_urdf import PLAIN, of_joint, of_link, spoilt
from random_urdf import JOINTS, random_arm

from sac_ros.robots.arm import Arm, arm_names, load_arm
from sac_ros.robots.dynamics import GRAVITY, Bodies
from sac_ros.sim.backend import Backend, make_backend
from sac_ros.utils.errors import ConfigurationError

TOOL = (
    "<link name='camera'><inertial><origin xyz='0.1 0.2 0.3'/><mass value='2'/>"
    "<inertia ixx='0.1' iyy='0.12' izz='0.15' ixy='0' ixz='0' iyz='0'/></inertial></link>"
    "<joint name='mount' type='fixed'><parent link='link_7'/><child link='camera'/>"
    "<origin xyz='0.3 0 0' rpy='0.5 -1 2'/></joint>"
)


def positions_of(arm: Arm, number: int) -> np.ndarray:
    low, high = arm.position_limit.T
    return np.random.default_rng(1).uniform(low, high, (number, arm.joints))


def mass_matrix(arm: Arm, q: np.ndarray) -> np.ndarray:
    return arm.bodies.mass_matrix(arm.chain, arm.chain.frames_at(q))


def centres(arm: Arm, q: np.ndarray) -> np.ndarray:
    """[..., n, 3] m in the base frame."""
    frames = arm.chain.frames_at(q)
    return frames.origin + (frames.rotation @ arm.bodies.centre[..., None])[..., 0]


def potential_energy(arm: Arm, q: np.ndarray) -> np.ndarray:
    return GRAVITY * centres(arm, q)[..., 2] @ arm.bodies.mass


def kinetic_energy(arm: Arm, q: np.ndarray, speed: np.ndarray) -> float:
    """Of the moving bodies: ½ Σ m ċ² + ωᵀ I ω, the motion by finite differences."""
    dt = 1e-6
    before, now, after = (arm.chain.frames_at(q + t * speed) for t in (-dt, 0.0, dt))
    linear = (centres(arm, q + dt * speed) - centres(arm, q - dt * speed)) / (2 * dt)
    spin = (after.rotation - before.rotation) / (2 * dt) @ now.rotation.mT
    angular = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], axis=-1)
    inertia = now.rotation @ arm.bodies.inertia @ now.rotation.mT
    turning = np.einsum("ki,kij,kj->", angular, inertia, angular)
    return 0.5 * float(arm.bodies.mass @ (linear**2).sum(axis=-1) + turning)


@pytest.fixture(scope="module", params=arm_names())
def arm(request: pytest.FixtureRequest) -> Arm:
    return load_arm(request.param)


def of_bullet(arm: Arm, positions: np.ndarray, what: str) -> np.ndarray:
    backend: Backend = make_backend("bullet", arm, gravity=False)
    found = [getattr(backend, what)(position) for position in positions]
    backend.close()
    return np.array(found)


def test_the_gravity_torque_is_the_gradient_of_the_potential_energy(arm: Arm) -> None:
    for q in positions_of(arm, 10):
        step = 1e-6 * np.eye(arm.joints)
        slope = (potential_energy(arm, q + step) - potential_energy(arm, q - step)) / 2e-6
        np.testing.assert_allclose(arm.gravity_torque(q), slope, atol=1e-6)


def test_the_mass_matrix_gives_the_kinetic_energy_of_the_bodies(arm: Arm) -> None:
    rng = np.random.default_rng(3)
    for q in positions_of(arm, 10):
        speed = rng.uniform(-1.0, 1.0, arm.joints)
        energy = 0.5 * speed @ mass_matrix(arm, q) @ speed
        assert energy == pytest.approx(kinetic_energy(arm, q, speed), rel=1e-7)


def test_the_mass_matrix_is_symmetric_and_positive_everywhere(arm: Arm) -> None:
    matrix = mass_matrix(arm, positions_of(arm, 200))
    np.testing.assert_allclose(matrix, matrix.mT, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > 0.0


def test_gravity_torque_and_mass_matrix_are_bullets_over_the_whole_joint_range(arm: Arm) -> None:
    positions = positions_of(arm, 100)
    expected = of_bullet(arm, positions, "gravity_torque")
    assert np.abs(expected).max() > 10.0
    np.testing.assert_allclose(arm.gravity_torque(positions), expected, rtol=0.0, atol=1e-9)
    expected = of_bullet(arm, positions, "mass_matrix") - np.diag(arm.armature)
    np.testing.assert_allclose(mass_matrix(arm, positions), expected, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_frames_axes_and_links_behind_fixed_joints_of_any_kind_are_counted(
    tmp_path: Path, seed: int
) -> None:
    arm = random_arm(tmp_path, seed)
    positions = np.random.default_rng(seed).uniform(-3.0, 3.0, (50, JOINTS))
    expected = of_bullet(arm, positions, "gravity_torque")
    assert np.all(np.abs(expected).max(axis=0) > 0.05)
    # Bullet reads the numbers of a URDF as float32 here and there.
    np.testing.assert_allclose(arm.gravity_torque(positions), expected, rtol=0.0, atol=1e-6)
    expected = of_bullet(arm, positions, "mass_matrix")
    np.testing.assert_allclose(mass_matrix(arm, positions), expected, rtol=0.0, atol=1e-6)


def test_numpy_and_torch_give_the_same_gravity_torque_and_mass_matrix(arm: Arm) -> None:
    q = positions_of(arm, 20)
    angles = torch.as_tensor(q)
    frames = arm.chain.frames(torch.sin(angles), torch.cos(angles))
    for found, expected in (
        (arm.bodies.gravity_torque(arm.chain, frames), arm.gravity_torque(q)),
        (arm.bodies.mass_matrix(arm.chain, frames), mass_matrix(arm, q)),
    ):
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), expected, rtol=0.0, atol=1e-10)


def test_one_position_and_any_batch_of_it_give_the_same(arm: Arm) -> None:
    n = arm.joints
    batch = np.broadcast_to(arm.home, (2, 3, n))
    for single, many in (
        (arm.gravity_torque(arm.home), arm.gravity_torque(batch)),
        (mass_matrix(arm, arm.home), mass_matrix(arm, batch)),
    ):
        assert many.shape == (2, 3, *single.shape)
        np.testing.assert_allclose(many, np.broadcast_to(single, many.shape), atol=1e-12)


# ---- bodies ------------------------------------------------------------------------------------


def test_a_tool_behind_two_fixed_joints_counts(tmp_path: Path) -> None:
    bare, loaded = random_arm(tmp_path, 0), random_arm(tmp_path, 0, TOOL)
    assert np.abs(loaded.gravity_torque(bare.home) - bare.gravity_torque(bare.home)).max() > 1.0
    assert loaded.bodies.mass.sum() == pytest.approx(bare.bodies.mass.sum() + 2.0)
    expected = of_bullet(loaded, loaded.home[None], "gravity_torque")[0]
    np.testing.assert_allclose(loaded.gravity_torque(loaded.home), expected, atol=1e-6)


def test_links_lumped_into_one_body_have_their_mass_centre_and_inertia() -> None:
    weight = (
        "<link name='weight'><inertial><origin xyz='0.1 0 0'/><mass value='3'/>"
        "<inertia ixx='0.01' iyy='0.02' izz='0.02' ixy='0' ixz='0' iyz='0'/></inertial></link>"
        "<joint name='clamp' type='fixed'><parent link='hand'/><child link='weight'/></joint>"
    )
    arm = load_arm(spoilt(extra=weight), tip_link="hand")
    # 1 kg at z = 0.15 m, 3 kg at x = 0.1, z = 0.35 m, in the elbow's frame.
    assert arm.bodies.mass[-1] == 4.0
    np.testing.assert_allclose(arm.bodies.centre[-1], [0.075, 0.0, 0.3])
    reduced = 1.0 * 3.0 / 4.0  # kg
    away = np.array([0.1, 0.0, 0.2])
    expected = np.diag([0.01 + 0.01, 0.01 + 0.02, 0.004 + 0.02])
    expected += reduced * (away @ away * np.eye(3) - np.outer(away, away))
    np.testing.assert_allclose(arm.bodies.inertia[-1], expected, atol=1e-15)


def test_a_payload_is_a_point_mass_at_its_place(arm: Arm) -> None:
    load = 1.7  # kg
    loaded = arm.bodies.with_payload(load, arm.chain.end_effector_translation)
    np.testing.assert_array_equal(loaded.mass[:-1], arm.bodies.mass[:-1])
    for q in positions_of(arm, 5):
        frames = arm.chain.frames_at(q)
        jacobian = arm.chain.jacobian(frames)[:3]
        more = loaded.mass_matrix(arm.chain, frames) - mass_matrix(arm, q)
        np.testing.assert_allclose(more, load * jacobian.T @ jacobian, atol=1e-12)
        pull = loaded.gravity_torque(arm.chain, frames) - arm.gravity_torque(q)
        np.testing.assert_allclose(pull, load * GRAVITY * jacobian[2], atol=1e-10)


def test_masses_times_a_factor_are_inertias_times_that_factor(arm: Arm) -> None:
    q = arm.home
    frames = arm.chain.frames_at(q)
    heavier = arm.bodies.scaled(1.3)
    np.testing.assert_allclose(
        heavier.mass_matrix(arm.chain, frames), 1.3 * mass_matrix(arm, q), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(
        heavier.gravity_torque(arm.chain, frames),
        1.3 * arm.gravity_torque(q),
        rtol=1e-12,
        atol=1e-12,
    )
    factors = np.linspace(0.5, 2.0, arm.joints)
    np.testing.assert_allclose(arm.bodies.scaled(factors).mass, factors * arm.bodies.mass)


def test_a_shifted_centre_of_mass_keeps_mass_and_inertia(arm: Arm) -> None:
    offset = np.full((arm.joints, 3), 0.01)
    shifted = arm.bodies.shifted(offset)
    np.testing.assert_allclose(shifted.centre - arm.bodies.centre, offset)
    np.testing.assert_array_equal(shifted.mass, arm.bodies.mass)
    np.testing.assert_array_equal(shifted.inertia, arm.bodies.inertia)


# ---- what is no body ---------------------------------------------------------------------------


def bodies_of(text: str) -> tuple[Bodies, tuple[str, ...]]:
    arm = load_arm(text)
    return arm.bodies, arm.notes


def inertia(xx: float, yy: float, zz: float) -> tuple[str, str]:
    """The upper arm's, of 2 kg."""
    return of_link(
        "upper_arm",
        'ixx="0.02" iyy="0.02" izz="0.004"',
        f'ixx="{xx}" iyy="{yy}" izz="{zz}"',
    )


@pytest.mark.parametrize("largest", [0.0301, 0.045])
def test_an_inertia_impossible_by_a_half_at_most_is_mended_and_noted(largest: float) -> None:
    bodies, notes = bodies_of(spoilt(inertia(0.02, 0.01, largest)))
    np.testing.assert_allclose(np.diag(bodies.inertia[1]), [0.02, 0.01, 0.03])
    assert [note for note in notes if "'upper_arm' has an impossible inertia" in note]


def test_a_possible_inertia_is_taken_as_it_is_without_a_note() -> None:
    bodies, notes = bodies_of(PLAIN)
    np.testing.assert_allclose(np.diag(bodies.inertia[1]), [0.02, 0.02, 0.004])
    assert not [note for note in notes if "inertia" in note]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (spoilt(inertia(0.02, 0.01, 0.0451)), "'upper_arm' has an impossible inertia: no princ"),
        (spoilt(inertia(0.0, 0.0, 0.0)), "'upper_arm' must have principal moments of inertia abo"),
        (spoilt(inertia(-0.02, 0.02, 0.02)), "'upper_arm' must have principal moments of inerti"),
        (spoilt(inertia(2.1, 2.1, 0.2)), "'upper_arm' has an implausible inertia: 2.1 kg·m² at 2"),
        (
            spoilt(of_link("upper_arm", 'mass value="2.0"', 'mass value="0"')),
            "'upper_arm' must have a mass above 0 kg; got 0 kg",
        ),
        (
            spoilt(of_link("upper_arm", 'mass value="2.0"', 'mass value="-2"')),
            "'upper_arm' must have a mass above 0 kg; got -2 kg",
        ),
        (
            spoilt(of_link("upper_arm", 'mass value="2.0"', 'mass value="nan"')),
            "value of link 'upper_arm' must be 1 finite number; got 'nan'",
        ),
        (
            PLAIN.replace('izz="0.004"', 'izz="0.1"')
            .replace('ixx="0.03" iyy="0.03"', 'ixx="0.1" iyy="0.1"')
            .replace('ixx="0.02" iyy="0.02"', 'ixx="0.1" iyy="0.1"')
            .replace('ixx="0.01" iyy="0.01"', 'ixx="0.1" iyy="0.1"'),
            "has placeholder inertias: the links column, upper_arm, forearm all have 0.1 kg·m² ab",
        ),
    ],
)
def test_an_inertia_that_no_body_has_is_refused_with_its_link(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_arm(text)
    assert str(refused.value).startswith("URDF robot_description")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_joint_that_moves_nothing_with_a_mass_is_refused_by_name() -> None:
    part, _ = of_link("forearm", "<inertial>", "<inertial>")
    start, end = part.index("<inertial>"), part.index("</inertial>") + len("</inertial>")
    with pytest.raises(
        ConfigurationError, match=r"the link 'forearm', which joint 'elbow' moves, must have a m"
    ):
        load_arm(spoilt((part, part[:start] + part[end:])))


def test_a_link_without_a_mass_behind_a_fixed_joint_weighs_nothing() -> None:
    assert load_arm(PLAIN).bodies.mass.tolist() == [3.0, 2.0, 1.0]  # base and hand have none


def test_a_joint_beside_the_arms_own_is_held_at_zero_counted_and_noted() -> None:
    finger = (
        "<link name='finger'><inertial><mass value='0.5'/><inertia ixx='0.001' iyy='0.001' "
        "izz='0.001' ixy='0' ixz='0' iyz='0'/></inertial></link>"
        "<joint name='grip' type='prismatic'><parent link='hand'/><child link='finger'/>"
        "<limit lower='0' upper='1' effort='1' velocity='1'/></joint>"
    )
    arm = load_arm(spoilt(extra=finger))
    assert arm.joint_names == ("waist", "shoulder", "elbow")
    assert arm.bodies.mass[-1] == 1.5
    assert any("held at zero: grip" in note for note in arm.notes)


def test_a_fixed_link_of_a_chain_that_is_spoilt_is_no_concern_of_the_base() -> None:
    # What stands still has no part in the motion, whatever its inertia.
    still = "<link name='rock'><inertial><mass value='5'/></inertial></link>"
    joint = "<joint name='r' type='fixed'><parent link='base'/><child link='rock'/></joint>"
    arm = load_arm(spoilt(of_joint("wrist", "0 0 0.35", "0 0 0.30"), extra=still + joint))
    assert arm.bodies.mass.tolist() == [3.0, 2.0, 1.0]
