# SPDX-License-Identifier: Apache-2.0
"""Settings of a simulated robot; launch files read them where there is no simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sac_ros.sim.backend import PHYSICS_RATE, ArmSettings
from sac_ros.sim.randomization import RandomizationConfig
from sac_ros.utils.settings import setting, validate


@dataclass(frozen=True)
class DriverConfig(ArmSettings):
    """Settings of a simulated robot."""

    gravity_compensation: str = setting(
        "robot",
        "robot: the robot adds g(q) to the command, as Franka and iiwa drivers do; policy: it "
        "adds nothing",
        choices=("robot", "policy"),
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
    state_latency: float = setting(
        0.0,
        "time from a measurement, whose stamp it has, until the joint state is published",
        minimum=0.0,
        maximum=1.0,
        unit="s",
    )
    command_loss: float = setting(
        0.0, "fraction of the commands that are lost on their way", minimum=0.0, maximum=1.0
    )
    state_loss: float = setting(
        0.0, "fraction of the joint states that are lost on their way", minimum=0.0, maximum=1.0
    )
    shuffle_joints: bool = setting(
        False, "every joint state has its joints in an order of its own; commands keep theirs"
    )
    command_timeout: float = setting(
        0.1, "time after which a command that no other follows becomes zero", above=0.0, unit="s"
    )
    seed: int = setting(0, "seed of noise, losses, orders and worlds", minimum=0)
    gui: bool = setting(False, "show Bullet's own window")
    randomization: RandomizationConfig = field(  # type: ignore[valid-type]
        default_factory=RandomizationConfig
    )

    def __post_init__(self) -> None:
        """Refuses invalid settings with a `ConfigurationError`."""
        validate(self)

    @property
    def substeps(self) -> int:
        """Physics steps per joint state: as few as keep each at 2 ms or less."""
        return math.ceil(PHYSICS_RATE / self.rate - 1e-9)
