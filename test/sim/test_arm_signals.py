# SPDX-License-Identifier: Apache-2.0
"""What goes to an arm keeps to its limits, for one arm and for several alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.robots.dynamics import gravity_of
from sac_ros.sim.arm_signals import ArmSignals

ARM = load_arm("iiwa")


@pytest.mark.parametrize("share_of_limit", [0.5, 1.0, 2.0])
def test_no_action_makes_a_torque_beyond_the_arms_limits(share_of_limit: float) -> None:
    scale = share_of_limit * ARM.torque_limit
    signals = ArmSignals(ARM, scale)
    for sign in (1.0, -1.0):
        action = signals.clipped(np.full((4, 7), sign * 9.0))
        torque = signals.torque(action, np.zeros((4, 7)), np.zeros((4, 7)))
        expected = sign * np.minimum(scale, ARM.torque_limit)
        np.testing.assert_array_equal(torque, np.tile(expected, (4, 1)))
        single = signals.torque(action[0], np.zeros(7), np.zeros(7))
        np.testing.assert_array_equal(single, expected)


def test_gravity_is_added_after_the_velocity_bound_and_before_the_torque_limit() -> None:
    weak = dataclasses.replace(ARM, torque_limit=np.minimum(ARM.torque_limit, 20.0))
    model = gravity_of(ARM)
    signals = ArmSignals(weak, ARM.action_scale, model)
    outstretched = np.array([0.0, np.pi / 2, 0.0, 0.0, 0.0, 0.0, 0.0])
    pull = model.torque(outstretched)
    assert np.abs(pull).max() > 20.0
    none, full = np.zeros(7), np.ones(7)
    found = signals.torque(none, np.zeros(7), outstretched)
    np.testing.assert_array_equal(found, np.clip(pull, -20.0, 20.0))
    fast = signals.torque(full, np.full(7, 0.8), ARM.home)  # no accelerating torque is left
    np.testing.assert_allclose(fast, np.clip(model.torque(ARM.home), -20.0, 20.0), atol=1e-9)


def test_the_parts_of_readings_are_told_apart_for_one_arm_and_several() -> None:
    signals = ArmSignals(ARM, ARM.action_scale)
    rows = np.arange(2 * 17.0).reshape(2, 17)
    for readings in (rows, rows[1]):
        position, velocity, tip = signals.parts(readings)
        np.testing.assert_array_equal(position, readings[..., :7])
        np.testing.assert_array_equal(velocity, readings[..., 7:14])
        np.testing.assert_array_equal(tip, readings[..., 14:])
    share = signals.velocity_share(np.tile(0.25 * ARM.velocity_limit, (3, 1)))
    np.testing.assert_allclose(share, 0.25)
