# SPDX-License-Identifier: Apache-2.0
"""The simulated arm moves as a torque-controlled arm does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.robots.dynamics import GRAVITY
from sac_ros.sim.sim_arm import SimArm
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
LOW, HIGH = ARM.position_limit.T
MakeSim = Callable[..., SimArm]


@pytest.fixture
def sim_arm() -> Iterator[MakeSim]:
    made: list[SimArm] = []

    def make(gravity: str = "external") -> SimArm:
        made.append(SimArm(ARM, gravity=gravity))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_it_starts_at_home_and_at_rest(sim_arm: MakeSim) -> None:
    position, velocity = sim_arm().state()
    np.testing.assert_array_equal(position, ARM.home)
    np.testing.assert_array_equal(velocity, np.zeros(7))


def test_with_external_gravity_zero_torque_stands_still(sim_arm: MakeSim) -> None:
    sim = sim_arm("external")
    sim.step(np.zeros(7), substeps=1000)
    position, velocity = sim.state()
    np.testing.assert_allclose(position, ARM.home, atol=1e-9)
    np.testing.assert_allclose(velocity, 0.0, atol=1e-9)


def test_without_compensation_zero_torque_falls(sim_arm: MakeSim) -> None:
    sim = sim_arm("none")
    height = sim.tip_position()[2]
    sim.step(np.zeros(7), substeps=150)
    assert sim.tip_position()[2] < height - 0.1


def test_gravity_torque_is_the_gradient_of_the_potential_energy(sim_arm: MakeSim) -> None:
    sim = sim_arm()
    client, body = sim.client, sim.body
    masses = [client.getDynamicsInfo(body, link)[0] for link in range(client.getNumJoints(body))]

    def potential(q: np.ndarray) -> float:
        sim.reset(q)
        heights = [
            client.getLinkState(body, link, computeForwardKinematics=True)[0][2]
            for link in range(len(masses))
        ]
        return GRAVITY * float(np.dot(masses, heights))

    rng = np.random.default_rng(0)
    for q in rng.uniform(LOW, HIGH, (5, 7)):
        step = 1e-4 * np.eye(7)
        slope = [(potential(q + d) - potential(q - d)) / 2e-4 for d in step]
        np.testing.assert_allclose(sim.gravity_torque(q), slope, atol=1e-3)


def test_compensating_gravity_by_torque_is_the_same_motion_as_external_gravity(
    sim_arm: MakeSim,
) -> None:
    compensated, external = sim_arm("none"), sim_arm("external")
    rng = np.random.default_rng(1)
    for _ in range(30):
        torque = ARM.action_scale * rng.uniform(-0.5, 0.5, 7)
        for _ in range(5):
            position, _ = compensated.state()
            compensated.step(torque + compensated.gravity_torque(position))
            external.step(torque)
    np.testing.assert_allclose(compensated.state()[0], external.state()[0], atol=1e-6)
    np.testing.assert_allclose(compensated.state()[1], external.state()[1], atol=1e-5)
    assert np.abs(external.state()[0] - ARM.home).max() > 0.01  # it did move


@pytest.mark.parametrize("gravity", ["external", "none"])
def test_asking_for_the_gravity_torque_changes_nothing_in_the_simulation(
    sim_arm: MakeSim, gravity: str
) -> None:
    asked, plain = sim_arm(gravity), sim_arm(gravity)
    for _ in range(20):
        asked.gravity_torque(np.ones(7))
        asked.step(np.zeros(7))
        plain.step(np.zeros(7))
    np.testing.assert_array_equal(asked.state(), plain.state())


def test_a_torque_beyond_the_limit_moves_the_arm_as_the_limit_does(sim_arm: MakeSim) -> None:
    beyond, at_limit = sim_arm(), sim_arm()
    sign = np.array([1, -1, 1, -1, 1, -1, 1])
    beyond.step(1e6 * sign, substeps=10)
    at_limit.step(ARM.torque_limit * sign, substeps=10)
    np.testing.assert_array_equal(beyond.state(), at_limit.state())


def test_a_torque_lasts_for_every_substep(sim_arm: MakeSim) -> None:
    at_once, by_one = sim_arm(), sim_arm()
    torque = 0.5 * ARM.action_scale
    at_once.step(torque, substeps=10)
    for _ in range(10):
        by_one.step(torque)
    np.testing.assert_array_equal(at_once.state(), by_one.state())


def test_a_torque_ends_with_its_step(sim_arm: MakeSim) -> None:
    coasting, unpushed = sim_arm(), sim_arm()
    coasting.step(0.2 * ARM.action_scale, substeps=5)
    unpushed.reset(*coasting.state())
    coasting.step(np.zeros(7))
    unpushed.step(np.zeros(7))
    np.testing.assert_allclose(coasting.state(), unpushed.state(), atol=1e-12)


def test_reset_places_every_joint_with_its_velocity(sim_arm: MakeSim) -> None:
    sim = sim_arm()
    position, velocity = np.linspace(-0.6, 0.6, 7), np.linspace(0.3, -0.3, 7)
    sim.reset(position, velocity)
    np.testing.assert_allclose(sim.state()[0], position, atol=1e-15)
    np.testing.assert_allclose(sim.state()[1], velocity, atol=1e-15)
    sim.reset(position)
    np.testing.assert_array_equal(sim.state()[1], np.zeros(7))


@pytest.mark.parametrize("size", [6, 8])
def test_a_posture_or_torque_of_another_length_raises(sim_arm: MakeSim, size: int) -> None:
    sim = sim_arm()
    with pytest.raises(ValueError, match=r"shape|argument"):
        sim.reset(np.zeros(size))
    with pytest.raises(ValueError, match="shape"):
        sim.step(np.zeros(size))


def test_a_folded_arm_collides_with_itself_and_a_straight_one_does_not(sim_arm: MakeSim) -> None:
    sim = sim_arm()
    rng = np.random.default_rng(0)
    drawn = rng.uniform(LOW, HIGH, (400, 7))
    share = np.mean([sim.collides_with_itself(q) for q in drawn])
    assert not sim.collides_with_itself(np.zeros(7))
    assert not sim.collides_with_itself(ARM.home)
    # Of all postures some touch and most do not; a check that is blind or always hits shows here.
    assert 0.0005 < share < 0.6


def test_overlapping_hulls_of_close_links_are_no_collision(sim_arm: MakeSim) -> None:
    # The wrist bent to its limit: the hulls of links 5 and 7 overlap, a real iiwa is free there.
    bent = ARM.home.copy()
    bent[5] = HIGH[5]
    assert not sim_arm().collides_with_itself(bent)


def test_two_arms_in_one_process_do_not_meet(sim_arm: MakeSim) -> None:
    moved, still = sim_arm(), sim_arm()
    moved.step(ARM.action_scale, substeps=20)
    np.testing.assert_array_equal(still.state()[0], ARM.home)


def test_closing_twice_does_nothing(sim_arm: MakeSim) -> None:
    sim = sim_arm()
    sim.close()
    sim.close()


def test_an_unknown_gravity_mode_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"^gravity must be one of external, none; got"):
        SimArm(ARM, gravity="moon")
