# SPDX-License-Identifier: Apache-2.0
"""A simulated arm with the manners of a real robot's driver, without ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.settings import setting, validate
from sac_ros.sim.arm_model import ArmModel
from sac_ros.sim.command_inbox import CommandInbox
from sac_ros.sim.pacer import Pacer
from sac_ros.sim.sim_arm import GRAVITY_MODES, SimArm

Array = NDArray[np.float64]

MAX_TIMESTEP = 0.002  # s, the physics step that policies are trained at


@dataclass(frozen=True)
class DriverConfig:
    """Settings of a simulated robot."""

    arm: str = setting("iiwa", "name of the arm, a file in config/arms")
    gravity: str = setting(
        "external",
        "external: the robot adds g(q) to the command, as Franka and iiwa drivers do; none: it "
        "adds nothing",
        choices=GRAVITY_MODES,
    )
    rate: float = setting(500.0, "joint states per second", minimum=1.0, maximum=2000.0, unit="Hz")
    position_noise: float = setting(
        0.0, "standard deviation of the measured joint positions", minimum=0.0, unit="rad"
    )
    velocity_noise: float = setting(
        0.0, "standard deviation of the measured joint velocities", minimum=0.0, unit="rad/s"
    )
    latency: float = setting(
        0.0,
        "time from a command's arrival until it takes effect",
        minimum=0.0,
        maximum=1.0,
        unit="s",
    )
    command_timeout: float = setting(
        0.1, "time after which a command that no other follows becomes zero", above=0.0, unit="s"
    )
    seed: int = setting(0, "seed of the measurement noise", minimum=0)
    gui: bool = setting(False, "show Bullet's own window")

    def __post_init__(self) -> None:
        """Refuses invalid settings with a `ConfigurationError`."""
        validate(self)

    @property
    def substeps(self) -> int:
        """Physics steps per joint state: as few as keep each at 2 ms or less."""
        return math.ceil(1.0 / (self.rate * MAX_TIMESTEP) - 1e-9)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the robot's sensors say, n joints.

    Attributes:
        time: s of simulated time since the start; a reset does not turn it back.
        position: [n] rad, with noise.
        velocity: [n] rad/s, with noise.
        effort: [n] N·m, the torque in force, without the g(q) that gravity `external` adds.
    """

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
            arm.joint_names, latency=config.latency, timeout=config.command_timeout
        )
        self._pacer = Pacer(period)
        self._rng = np.random.default_rng(config.seed)
        self._effort = np.zeros(arm.joints)
        self._periods = 0

    @property
    def lost(self) -> float:
        """By so many seconds the simulation fell behind the clock, over its whole life."""
        return self._pacer.lost

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
        """Reads the sensors; noise is drawn afresh at each call."""
        position, velocity = self._sim.state()
        config, size = self._config, self._arm.joints
        if config.position_noise > 0.0:
            position = position + self._rng.normal(0.0, config.position_noise, size)
        if config.velocity_noise > 0.0:
            velocity = velocity + self._rng.normal(0.0, config.velocity_noise, size)
        return Measurement(self._periods / config.rate, position, velocity, self._effort)

    def reset(self) -> None:
        """Puts the arm back at its home posture, at rest, with no command in force."""
        self._inbox.clear()
        self._effort = np.zeros(self._arm.joints)
        self._sim.reset(self._arm.home)

    def close(self) -> None:
        """Ends the simulation."""
        self._sim.close()
