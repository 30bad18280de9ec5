# SPDX-License-Identifier: Apache-2.0
"""An arm behind imperfect channels: delays, noise, gains, and gravity that is compensated."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from sac_ros.sim.backend import Backend
from sac_ros.sim.randomization import World

Array = NDArray[np.float64]


class Plant:
    """A backend in a `World`, as a controller meets it: torques in, measurements out.

    With gravity compensation by the robot, the robot adds g(q) to the torque, as the drivers of
    Franka, iiwa and UR do, so that zero torque stands still. Where it has the exact masses,
    that is simulated by switching gravity off: the same motion without an inverse-dynamics call.
    Where it does not, what is left of both is added to the torque of each control period:

        τ_applied = gain · τ + bias + γ_s ĝ(q) − g(q)

    with ĝ of the declared masses times `gravity_scale`, and g of the true ones; with compensation
    by the policy, whose torque holds the g(q) of the arm as described, g is that one.
    """

    def __init__(self, backend: Backend, substeps: int) -> None:
        """Takes a backend, whose `gravity` is on where the policy compensates it.

        Args:
            backend: the arm.
            substeps: physics steps of a control period.
        """
        self.backend = backend
        self._substeps = substeps
        self._known = World.of(backend.arm)  # what the backend was made with
        self.begin(self._known, backend.arm.home, np.random.default_rng(0))

    def begin(self, world: World, position: Array, rng: np.random.Generator) -> None:
        """Starts an episode in `world` at `position` [n] rad, at rest; `rng` draws the noise."""
        before, self.world, self._rng = self._known, world, rng
        if world.bodies is not before.bodies or world.joints is not before.joints:
            self.backend.set_properties(world.bodies, world.joints)
            self._known = world
        self.backend.reset(position)
        steps = 1.0 / self.backend.timestep
        self._state_delay = round(world.state_latency * steps)
        self._command_delay = round(world.command_latency * steps)
        self._jitter = round(world.period_jitter * steps)
        self._delayed = self._state_delay > 0 or self._command_delay > 0
        compensated = self.backend.arm.bodies if self.backend.gravity else world.bodies
        self._gravity_error = world.declared is not compensated or world.gravity_scale != 1.0
        self._compensated = compensated
        self._noisy = (
            world.position_noise > 0.0 or world.velocity_noise > 0.0 or world.position_step > 0.0
        )
        self._plain_torque = np.all(world.torque_gain == 1.0) and np.all(world.torque_bias == 0.0)
        self.true_state = self.backend.read()
        self._time = 0
        self._force = np.zeros(self.backend.arm.joints)
        self._commands: deque[tuple[int, Array]] = deque()
        self._snapshots: deque[tuple[int, list[float]]] = deque([(0, self.true_state)])

    def hold(self, torque: Array) -> None:
        """Holds a torque [n] N·m for a control period, or sends it on its way."""
        substeps = self._substeps
        if self._jitter:
            change = self._rng.integers(-self._jitter, self._jitter, endpoint=True)
            substeps = max(1, substeps + int(change))
        if not self._plain_torque:
            torque = self.world.torque_gain * torque + self.world.torque_bias
        left = self._left_of_gravity() if self._gravity_error else 0.0
        if self._delayed:
            self._hold_delayed(torque, left, substeps)
        else:
            if self._gravity_error:
                torque = torque + left
            self.backend.step(torque.tolist(), substeps)
            self._time += substeps
            self.true_state = self.backend.read()

    def measure(self) -> list[float]:
        """What the policy observes: a row as `Backend.read`, late and noisy by the world."""
        if self._state_delay:
            due = self._time - self._state_delay
            while len(self._snapshots) > 1 and self._snapshots[1][0] <= due:
                self._snapshots.popleft()
            row = self._snapshots[0][1]
        else:
            row = self.true_state
        return self._with_noise(row) if self._noisy else row

    def _left_of_gravity(self) -> Array:
        """γ_s ĝ(q) − g(q) [n] N·m."""
        arm, world = self.backend.arm, self.world
        frames = arm.chain.frames_at(np.array(self.true_state[: arm.joints]))
        declared = world.declared.gravity_torque(arm.chain, frames)
        true = self._compensated.gravity_torque(arm.chain, frames)
        left: Array = world.gravity_scale * declared - true
        return left

    def _hold_delayed(self, torque: Array, left: Array | float, substeps: int) -> None:
        """The robot adds g(q) itself: what is left of gravity, [n] N·m, is never late."""
        end = self._time + substeps
        self._commands.append((self._time + self._command_delay, np.array(torque)))
        # A measurement of this period's end, or of a later one's, is due at this moment of it.
        seen = end - self._state_delay % self._substeps
        breaks = {at for at, _ in self._commands if self._time < at < end} | {seen, end}
        for at in sorted(each for each in breaks if each > self._time):
            while self._commands and self._commands[0][0] <= self._time:
                self._force = self._commands.popleft()[1]
            self.backend.step((self._force + left).tolist(), at - self._time)
            self._time = at
            if at == seen and self._state_delay:
                self._snapshots.append((at, self.backend.read()))
        self.true_state = self.backend.read()

    def _with_noise(self, row: list[float]) -> list[float]:
        world, arm = self.world, self.backend.arm
        n = arm.joints
        values = np.array(row)
        values[:n] += self._rng.normal(0.0, world.position_noise, n)
        values[n : 2 * n] += self._rng.normal(0.0, world.velocity_noise, n)
        if world.position_step > 0.0:
            values[:n] = np.round(values[:n] / world.position_step) * world.position_step
        # The controller computes where its end effector is from the measured positions.
        values[2 * n : 2 * n + 3] = arm.chain.forward(values[:n])
        return values.tolist()
