# SPDX-License-Identifier: Apache-2.0
"""A simulated arm with the manners of a real robot's driver, without ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import ArmModel
from sac_ros.sim.command_inbox import CommandInbox
from sac_ros.sim.pacer import Pacer
from sac_ros.sim.robot_driver_config import DriverConfig
from sac_ros.sim.sim_arm import SimArm
from sac_ros.sim.unreliable_line import UnreliableLine

Array = NDArray[np.float64]

# One seed, independent sequences of draws.
_NOISE, _ORDER, _COMMANDS, _STATES = range(4)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the robot's sensors say, n joints.

    Attributes:
        joint_names: the joints, in the order of the arrays.
        time: s of simulated time since the start; a reset does not turn it back.
        position: [n] rad, with noise.
        velocity: [n] rad/s, with noise.
        effort: [n] N·m, the torque in force, without the g(q) that gravity `external` adds.
    """

    joint_names: tuple[str, ...]
    time: float
    position: Array
    velocity: Array
    effort: Array


class SimDriver:
    """A simulated arm that runs in real time and obeys torque commands.

    The caller brings the clock: `now` is in seconds of any monotonic clock, the same for all
    calls. Simulated time starts with the first `advance`.
    """

    def __init__(self, arm: ArmModel, config: DriverConfig) -> None:
        """Puts `arm` at its home posture."""
        period = 1.0 / config.rate
        self._arm = arm
        self._config = config
        self._substeps = config.substeps
        self._sim = SimArm(
            arm, gravity=config.gravity, timestep=period / self._substeps, gui=config.gui
        )
        self._inbox = CommandInbox(
            arm.joint_names,
            UnreliableLine(
                latency=config.latency, loss=config.command_loss, seed=(config.seed, _COMMANDS)
            ),
            timeout=config.command_timeout,
        )
        self._pacer = Pacer(period)
        self._noise = np.random.default_rng((config.seed, _NOISE))
        self._orders = np.random.default_rng((config.seed, _ORDER))
        self._effort = np.zeros(arm.joints)
        self._periods = 0

    @property
    def lost(self) -> float:
        """By so many seconds the simulation fell behind the clock, over its whole life."""
        return self._pacer.lost

    def state_line(self) -> UnreliableLine[Any]:
        """A new line from the sensors to whoever listens, with this robot's latency and loss."""
        config = self._config
        return UnreliableLine(
            latency=config.state_latency, loss=config.state_loss, seed=(config.seed, _STATES)
        )

    def command(self, torque: Sequence[float], now: float) -> None:
        """Takes a command of n torques, N·m, beyond the arm's limits clipped to them.

        Raises:
            CommandRefusedError: wrong number of values, or one that is not finite.
        """
        self._inbox.put(torque, now)

    def advance(self, now: float) -> bool:
        """Simulates up to `now`; says whether there is a new measurement."""
        periods = self._pacer.steps_due(now)
        limit = self._arm.torque_limit
        for remaining in range(periods, 0, -1):
            # A call that comes late applies each command when it was due, not all at the end.
            then = now - (remaining - 1) / self._config.rate
            self._effort = np.clip(self._inbox.torque(then), -limit, limit)
            self._sim.step(self._effort, self._substeps)
        self._periods += periods
        return periods > 0

    def measure(self) -> Measurement:
        """Reads the sensors; noise, and an order of the joints, are drawn afresh at each call."""
        position, velocity = self._sim.state()
        config, size = self._config, self._arm.joints
        names, effort = self._arm.joint_names, self._effort
        if config.position_noise > 0.0:
            position = position + self._noise.normal(0.0, config.position_noise, size)
        if config.velocity_noise > 0.0:
            velocity = velocity + self._noise.normal(0.0, config.velocity_noise, size)
        if config.shuffle_joints:
            order = self._orders.permutation(size)
            names = tuple(names[joint] for joint in order)
            position, velocity, effort = position[order], velocity[order], effort[order]
        return Measurement(names, self._periods / config.rate, position, velocity, effort)

    def reset(self) -> None:
        """Puts the arm back at its home posture, at rest, with no command in force."""
        self._inbox.clear()
        self._effort = np.zeros(self._arm.joints)
        self._sim.reset(self._arm.home)

    def close(self) -> None:
        """Ends the simulation."""
        self._sim.close()
