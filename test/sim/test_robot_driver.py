# SPDX-License-Identifier: Apache-2.0
"""The simulated driver, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.sim.randomization import RandomizationConfig
from sac_ros.sim.robot_driver import SimDriver
from sac_ros.sim.robot_driver_config import DriverConfig
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
ZERO = np.zeros(ARM.joints)

MakeDriver = Callable[..., SimDriver]


@pytest.fixture
def make() -> Iterator[MakeDriver]:
    drivers: list[SimDriver] = []

    def driver(**settings: object) -> SimDriver:
        drivers.append(SimDriver(ARM, DriverConfig(**settings)))  # type: ignore[arg-type]
        drivers[-1].advance(0.0)
        return drivers[-1]

    yield driver
    for each in drivers:
        each.close()


def test_without_commands_an_arm_that_its_robot_carries_stands_still(make: MakeDriver) -> None:
    driver = make()
    driver.advance(0.05)
    np.testing.assert_allclose(driver.measure().position, ARM.home, atol=1e-6)


def test_an_arm_that_the_policy_carries_is_held_by_brakes_until_a_command_and_then_falls(
    make: MakeDriver,
) -> None:
    driver = make(gravity_compensation="policy")
    for step in range(1, 11):
        driver.advance(0.05 * step)
    np.testing.assert_array_equal(driver.measure().position, ARM.home)
    driver.command([0.0] * ARM.joints, 0.5)
    driver.advance(0.65)
    np.testing.assert_array_equal(driver.measure().position, ARM.home)
    for step in range(1, 11):
        driver.advance(0.65 + 0.05 * step)
    assert np.abs(driver.measure().position - ARM.home).max() > 0.1


def test_an_unknown_payload_is_held_by_brakes_until_a_command_and_a_declared_one_by_the_robot(
    make: MakeDriver,
) -> None:
    unknown = make(randomization=RandomizationConfig(payload_kg=(2.0, 2.0)))
    declared = make(randomization=RandomizationConfig(declared_payload_kg=(2.0, 2.0)))
    for step in range(1, 11):
        unknown.advance(0.05 * step)
        declared.advance(0.05 * step)
    np.testing.assert_array_equal(unknown.measure().position, ARM.home)
    np.testing.assert_allclose(declared.measure().position, ARM.home, atol=1e-3)
    unknown.command([0.0] * ARM.joints, 0.5)
    for step in range(1, 11):
        unknown.advance(0.7 + 0.05 * step)
    assert np.abs(unknown.measure().position - ARM.home).max() > 0.05


def test_simulated_time_follows_the_clock(make: MakeDriver) -> None:
    driver = make()
    times = []
    for tick in range(1, 500):
        driver.advance(tick * 0.00317)
        times.append(driver.measure().time)
    assert times == sorted(times)
    assert times[-1] == pytest.approx(499 * 0.00317, abs=0.0021)


def test_nothing_is_new_before_the_next_period(make: MakeDriver) -> None:
    driver = make(rate=100.0)
    assert not driver.advance(0.009)
    assert driver.advance(0.0101)


def test_a_command_beyond_the_limit_is_clipped_to_it(make: MakeDriver) -> None:
    driver = make()
    driver.command([1e9, *ZERO[1:]], now=0.001)
    driver.advance(0.002)
    assert driver.measure().effort[0] == ARM.torque_limit[0]


def test_a_command_moves_its_joint_and_its_timeout_ends_the_torque(make: MakeDriver) -> None:
    driver = make(command_timeout=0.02)
    driver.command([5.0, *ZERO[1:]], now=0.0)
    driver.advance(0.01)
    assert driver.measure().effort[0] == 5.0
    assert driver.measure().velocity[0] > 0.0
    driver.advance(0.03)
    assert driver.measure().effort.tolist() == ZERO.tolist()


def test_a_late_call_applies_a_command_for_its_own_time_only(make: MakeDriver) -> None:
    punctual, late = make(command_timeout=0.011), make(command_timeout=0.011)
    for driver in (punctual, late):
        driver.command([5.0, *ZERO[1:]], now=0.0)
    for tick in range(1, 21):
        punctual.advance(tick * 0.002)
    late.advance(0.04)
    np.testing.assert_allclose(late.measure().velocity, punctual.measure().velocity, rtol=1e-9)


def test_a_reset_goes_home_and_drops_the_command_but_does_not_turn_back_time(
    make: MakeDriver,
) -> None:
    driver = make(command_timeout=10.0)
    driver.command([20.0, *ZERO[1:]], now=0.0)
    for tick in range(1, 11):
        driver.advance(tick * 0.02)
    before = driver.measure()
    assert abs(before.position[0]) > 1e-3
    driver.reset()
    after = driver.measure()
    np.testing.assert_allclose(after.position, ARM.home)
    assert after.velocity.tolist() == ZERO.tolist()
    assert after.effort.tolist() == ZERO.tolist()
    assert after.time == before.time


def test_noise_has_the_deviation_asked_for_and_repeats_with_its_seed(make: MakeDriver) -> None:
    settings = {"position_noise": 1e-3, "velocity_noise": 2e-2, "seed": 5}
    first, second = make(**settings), make(**settings)
    drawn = [first.measure() for _ in range(2000)]
    assert np.array_equal(drawn[0].position, second.measure().position)
    position = np.array([each.position - ARM.home for each in drawn])
    velocity = np.array([each.velocity for each in drawn])
    assert position.std() == pytest.approx(1e-3, rel=0.05)
    assert velocity.std() == pytest.approx(2e-2, rel=0.05)


def test_a_shuffled_state_has_every_value_beside_its_own_joint(make: MakeDriver) -> None:
    plain, shuffled = make(), make(shuffle_joints=True)
    for driver in (plain, shuffled):
        driver.command(np.linspace(1.0, 7.0, ARM.joints).tolist(), now=0.0)
        driver.advance(0.05)
    expected = plain.measure()
    orders = set()
    for _ in range(20):
        found = shuffled.measure()
        orders.add(found.joint_names)
        back = [found.joint_names.index(name) for name in expected.joint_names]
        for field in ("position", "velocity", "effort"):
            np.testing.assert_array_equal(
                getattr(found, field)[back], getattr(expected, field), err_msg=field
            )
    assert expected.joint_names == ARM.joint_names
    assert len(orders) > 10


def test_a_share_of_the_commands_is_lost_by_seed_and_the_one_before_stays(
    make: MakeDriver,
) -> None:
    def efforts(seed: int) -> list[float]:
        driver = make(command_loss=0.5, command_timeout=10.0, seed=seed)
        found = []
        for tick in range(1, 401):
            driver.command([tick / 100.0, *ZERO[1:]], now=0.002 * tick)
            driver.advance(0.002 * tick)
            found.append(driver.measure().effort[0])
        return found

    first = efforts(1)
    assert np.mean(np.diff(first) == 0.0) == pytest.approx(0.5, abs=0.1)
    assert first == sorted(first)
    assert first == efforts(1) != efforts(2)


def test_its_state_line_has_its_latency_and_loss(make: MakeDriver) -> None:
    line = make(state_latency=0.02, state_loss=0.25, seed=3).state_line()
    for tick in range(1000):
        line.send(tick, now=1.0)
    assert line.receive(1.019) == []
    assert len(line.receive(1.021)) == pytest.approx(750, abs=50)


def test_noise_is_the_same_whatever_else_is_drawn(make: MakeDriver) -> None:
    settings = {"position_noise": 1e-3, "seed": 5}
    quiet, rough = make(**settings), make(**settings, command_loss=0.5)
    for _ in range(10):
        rough.command(ZERO.tolist(), now=0.0)
    np.testing.assert_array_equal(quiet.measure().position, rough.measure().position)


@pytest.mark.parametrize(("rate", "substeps"), [(2000, 1), (500, 1), (499, 2), (100, 5), (60, 9)])
def test_a_physics_step_is_never_longer_than_two_milliseconds(rate: int, substeps: int) -> None:
    assert DriverConfig(rate=float(rate)).substeps == substeps


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("command_timeout", 0.0, "command_timeout must be a number above 0"),
        ("state_loss", 1.5, "state_loss must be a number at least 0 and at most 1; got 1.5"),
        ("command_loss", -0.1, "command_loss must be a number at least 0 and at most 1"),
        ("state_latency", 2.0, "state_latency must be a number at least 0 and at most 1 .s."),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: float, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        DriverConfig(**{name: value})  # type: ignore[arg-type]
