# SPDX-License-Identifier: Apache-2.0
"""What goes to an arm keeps to its limits, for one arm and for several alike."""

from __future__ import annotations

import numpy as np
import pytest

from sac_ros.sim.arm_model import load_arm
from sac_ros.sim.arm_signals import ArmSignals

ARM = load_arm("iiwa")


@pytest.mark.parametrize("share_of_limit", [0.5, 1.0, 2.0])
def test_no_action_makes_a_torque_beyond_the_arms_limits(share_of_limit: float) -> None:
    scale = share_of_limit * ARM.torque_limit
    signals = ArmSignals(ARM, scale)
    for sign in (1.0, -1.0):
        action = signals.clipped(np.full((4, 7), sign * 9.0))
        torque = signals.torque(action, np.zeros((4, 7)))
        expected = sign * np.minimum(scale, ARM.torque_limit)
        np.testing.assert_array_equal(torque, np.tile(expected, (4, 1)))
        np.testing.assert_array_equal(signals.torque(action[0], np.zeros(7)), expected)


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
