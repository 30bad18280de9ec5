# SPDX-License-Identifier: Apache-2.0
"""The end of an activation, with a clock of its own: how long it brakes, how long it ramps."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_policy import tiny_spec

from sac_ros.policy.controlled_stop import ControlledStop
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Mode

NOW = 8.0  # s
SPEC = tiny_spec()
TORQUE = np.array([4.0, -2.0, 1.0])  # N·m


class Stopping:
    """A filter that has applied `TORQUE`, states every 1/128 s, and its stop."""

    def __init__(self, slew_limit: float) -> None:
        config = SafetyConfig(soft_start_s=0.0, slew_limit=1e5)
        self.safety = SafetyFilter(JointLimits.of(SPEC, config), config, 100.0)
        self.now, self.position = NOW, np.zeros(3)
        self.state(0.0)
        self.safety.activate(self.now)
        self.state(0.0)
        self.safety.command(self.now, TORQUE)
        slow = SafetyConfig(soft_start_s=0.0, slew_limit=slew_limit)
        self.safety.replace_limits(JointLimits.of(SPEC, slow), 100.0)
        self.stop = ControlledStop(self.safety, self.now)
        self.began = self.now

    def state(self, speed: float) -> None:
        self.now += 1 / 128
        self.position = self.position + speed / 128
        assert self.safety.accept(self.now, self.position, np.full(3, speed))

    def next(self, speed: float = 0.0) -> Command:
        self.state(speed)
        command = self.stop.next(self.now, lambda: self.safety.command(self.now, None))
        assert command is not None
        return command


@pytest.mark.parametrize("slew_limit", [1e5, 40.0])
def test_an_arm_that_stands_gets_a_ramp_to_the_safe_torque_and_then_nothing(
    slew_limit: float,
) -> None:
    stopping = Stopping(slew_limit)
    found = [TORQUE]
    while stopping.safety.active:
        found.append(stopping.next().torque)
    largest = slew_limit * np.array(SPEC.torque_limit) / max(SPEC.torque_limit) / 128
    assert np.all(np.abs(np.diff(found, axis=0)) <= largest + 1e-9)
    np.testing.assert_array_equal(found[-1], 0.0)
    assert stopping.now - stopping.began < 2.0


def test_an_arm_that_moves_is_braked_and_only_the_longest_braking_ends_that() -> None:
    stopping = Stopping(1e5)
    while stopping.now < stopping.began + 2.0 - 1 / 128:
        command = stopping.next(speed=0.1)
        assert command.mode is Mode.DAMPING
        assert stopping.safety.active
    braked = stopping.next(speed=0.1)  # after 2 s, the last one
    assert (braked.torque < 0.0).all()
    np.testing.assert_array_equal(stopping.next(speed=0.1).torque, 0.0)
    np.testing.assert_array_equal(stopping.next(speed=0.1).torque, 0.0)
    assert not stopping.safety.active


def test_what_the_longest_ramp_leaves_goes_in_one_step() -> None:
    stopping = Stopping(0.5)  # N·m/s: eight seconds
    before = TORQUE
    while stopping.safety.active:
        last, before = before, stopping.next().torque
    assert last[0] > 2.0
    np.testing.assert_array_equal(before, 0.0)
    assert 3.0 < stopping.now - stopping.began < 3.5
