# SPDX-License-Identifier: Apache-2.0
"""A simulated arm that behaves like a real robot's driver, without ROS."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.sim.backend import make_backend
from sac_ros.sim.command_inbox import CommandInbox, LossyChannel
from sac_ros.sim.plant import Plant
from sac_ros.sim.randomization import Randomization
from sac_ros.sim.robot_driver_config import DriverConfig

Array = NDArray[np.float64]

_RELEASE_S = 0.2  # from the first command until the brakes are off

# One seed, independent sequences of draws.
_WORLD, _ORDER, _COMMANDS, _STATES = range(4)


@dataclass(frozen=True, eq=False)
class Measurement:
    """The readings of the robot's sensors, n joints.

    Attributes:
        joint_names: the joints, in the order of the arrays.
        time: s of simulated time since the start; a reset does not turn it back.
        position: [n] rad, with noise.
        velocity: [n] rad/s, with noise.
        effort: [n] N·m, the torque in force, without the g(q) that the robot adds.
    """

    joint_names: tuple[str, ...]
    time: float
    position: Array
    velocity: Array
    effort: Array


class SimDriver:
    """A simulated arm that runs in real time and follows torque commands.

    Where the robot adds no g(q), or another than the arm needs (an unknown payload), brakes hold
    the arm until 0.2 s after the first command, as on a real one: without them it would lie on its
    stops before a policy is there.

    The caller brings the clock: `now` is in seconds of any monotonic clock, the same for all
    calls. Simulated time starts with the first `advance`.
    """

    def __init__(self, arm: Arm, config: DriverConfig) -> None:
        """Puts `arm` at its home configuration."""
        period = 1.0 / config.rate
        self._arm = arm
        self._config = config
        backend = make_backend(
            config.backend,
            arm,
            timestep=period / config.substeps,
            gravity=config.gravity_compensation == "policy",
        )
        self._plant = Plant(backend, config.substeps)
        self._camera = None
        if config.gui:
            from sac_ros.sim.rendering import Camera  # noqa: PLC0415 - MuJoCo alone draws nothing

            self._camera = Camera(arm, window=True)
        noise = {"position_noise": config.position_noise, "velocity_noise": config.velocity_noise}
        ranges = {
            **dataclasses.asdict(config.randomization),
            **{name: (sigma,) for name, sigma in noise.items() if sigma > 0.0},
        }
        self._randomization = Randomization(arm, ranges)
        self._inbox = CommandInbox(
            arm.joint_names,
            LossyChannel(
                latency=config.latency, loss=config.command_loss, seed=(config.seed, _COMMANDS)
            ),
            timeout=config.command_timeout,
        )
        self._clock = FixedRateClock(period)
        self._rng = np.random.default_rng((config.seed, _WORLD))
        self._orders = np.random.default_rng((config.seed, _ORDER))
        self._effort = np.zeros(arm.joints)
        self._periods = 0
        self._braked = False
        self._release: float | None = None
        self._begin()

    @property
    def lost(self) -> float:
        """By so many seconds the simulation fell behind the clock, over its whole life."""
        return self._clock.lost

    def state_line(self) -> LossyChannel[Any]:
        """A new channel from the sensors to a subscriber, with this robot's latency and loss."""
        config = self._config
        return LossyChannel(
            latency=config.state_latency, loss=config.state_loss, seed=(config.seed, _STATES)
        )

    def command(self, torque: Sequence[float], now: float) -> None:
        """Takes a command of n torques, N·m, beyond the arm's limits clipped to them.

        Raises:
            CommandRefusedError: wrong number of values, or one that is not finite.
        """
        self._inbox.put(torque, now)
        if self._release is None:
            self._release = now + _RELEASE_S

    def advance(self, now: float) -> bool:
        """Simulates up to `now`; returns whether there is a new measurement."""
        periods = self._clock.steps_due(now)
        limit = self._arm.torque_limit
        for remaining in range(periods, 0, -1):
            # A call that comes late applies each command when it was due, not all at the end.
            then = now - (remaining - 1) / self._config.rate
            self._effort = np.clip(self._inbox.torque(then), -limit, limit)
            if not self._braked or (self._release is not None and then >= self._release):
                self._braked = False
                self._plant.hold(self._effort)
        self._periods += periods
        return periods > 0

    def measure(self) -> Measurement:
        """Reads the sensors; noise, and an order of the joints, are drawn at each call."""
        config, n = self._config, self._arm.joints
        names, effort = self._arm.joint_names, self._effort
        measured = np.array(self._plant.measure())
        position, velocity = measured[:n], measured[n : 2 * n]
        if self._camera is not None:
            self._show(position)
        if config.shuffle_joints:
            order = self._orders.permutation(n)
            names = tuple(names[joint] for joint in order)
            position, velocity, effort = position[order], velocity[order], effort[order]
        return Measurement(names, self._periods / config.rate, position, velocity, effort)

    def reset(self) -> None:
        """Puts the arm back at its home, at rest, in another world, with no command in force."""
        self._inbox.clear()
        self._effort = np.zeros(self._arm.joints)
        self._begin()

    def close(self) -> None:
        """Ends the simulation."""
        self._plant.backend.close()
        if self._camera is not None:
            self._camera.close()

    def _begin(self) -> None:
        world = self._randomization.draw(self._rng)
        exact = world.declared is world.bodies and world.gravity_scale == 1.0
        self._braked = self._config.gravity_compensation == "policy" or not exact
        self._release = None
        self._plant.begin(world, self._arm.home, self._rng)

    def _show(self, position: Array) -> None:
        """Thirty times a second."""
        assert self._camera is not None
        if self._periods % max(1, round(self._config.rate / 30.0)) == 0:
            self._camera.look(position, self._arm.chain.forward(position))


class FixedRateClock:
    """Returns how many steps are due, so that step k happens at start + k · period.

    It starts with the first question. Counting from one start means that rounding and late calls
    do not add up to a drift. A caller that was held up catches up by at most `max_catch_up` steps
    at once; what is beyond is given up and counted in `lost`, since a simulation slower than real
    time would otherwise fall behind for ever, doing ever more at each call.
    """

    def __init__(self, period: float, *, max_catch_up: int = 25) -> None:
        """Expects a step every `period` s."""
        self._period = period
        self._start: float | None = None
        self._done = 0
        self._max_catch_up = max_catch_up
        self.lost = 0.0
        """Time given up so far, s: by so much is the simulation behind the clock."""

    def steps_due(self, now: float) -> int:
        """The number of steps to do at `now` (s, any monotonic clock), assumed done after this."""
        if self._start is None:
            self._start = now
        # A caller woken exactly on time may read a clock a rounding error short of the step.
        due = math.floor((now - self._start) / self._period + 1e-6) - self._done
        if due > self._max_catch_up:
            given_up = (due - self._max_catch_up) * self._period
            self._start += given_up
            self.lost += given_up
            due = self._max_catch_up
        due = max(due, 0)
        self._done += due
        return due
