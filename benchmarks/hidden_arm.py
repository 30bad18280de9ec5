# SPDX-License-Identifier: Apache-2.0
"""A simulated arm with hidden parameters, which moves by sums of sines and is recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sac_ros.identification.signals import Recorded
from sac_ros.robots.arm import Arm, load_arm
from sac_ros.sim.backend import make_backend
from sac_ros.sim.plant import Plant
from sac_ros.sim.randomization import Randomization

Array = np.ndarray


@dataclass(frozen=True)
class Hidden:
    """What a recording is of, and an identification must find; n joints, SI units."""

    armature: Sequence[float] = (0.5, 0.5, 0.3, 0.3, 0.1, 0.05, 0.05)
    joint_damping: Sequence[float] = (1.0, 2.0, 0.8, 0.5, 0.3, 0.3, 0.1)
    coulomb_friction: Sequence[float] = (2.0, 1.5, 1.0, 1.0, 0.5, 0.5, 0.2)
    torque_gain: Sequence[float] = (0.95, 1.05, 1.0, 1.0, 1.0, 1.0, 1.0)
    payload_kg: float = 1.0
    gravity_scale: float = 0.97
    command_latency_ms: float = 12.0
    position_noise: float = 1e-4

    def world(self) -> dict[str, Any]:
        """As ranges of the randomisation."""
        return {
            name: value if isinstance(value, float) else np.repeat(value, 2).tolist()
            for name, value in vars(self).items()
        }


HIDDEN = Hidden()


@dataclass
class Drive:
    """What a recording is made of.

    Attributes:
        arm: moved in MuJoCo.
        world: hidden parameters, by the names of the randomisation's terms.
        seconds: how long.
        rate_hz: of states and commands.
        amplitude: rad, of each joint [n] or of all.
        still: joints that a brake holds.
        seed: of the motion's phases and the noise.
        gravity_compensation: robot, or policy: the commands hold g(q).
    """

    arm: str = "iiwa"
    world: Mapping[str, Any] | None = None
    seconds: float = 30.0
    rate_hz: float = 100.0
    amplitude: float = 0.5
    still: Sequence[int] = ()
    seed: int = 0
    gravity_compensation: str = "robot"


@dataclass
class Run:
    """What was recorded: states at `time` [m] and the commands that answered them, [m, n]."""

    arm: Arm
    time: Array
    position: Array
    velocity: Array
    torque: Array

    def recorded(self, held: bool = True) -> Recorded:
        """As `identify` takes it, without a bag."""
        segment = np.zeros(len(self.time), dtype=int)
        return Recorded(self.time, self.position, segment, self.time, self.torque, held)


def run(drive: Drive) -> Run:
    """Simulate a computed-torque controller, of the arm as described, on sums of five sines."""
    arm = load_arm(drive.arm)
    gravity = drive.gravity_compensation == "policy"
    plant = Plant(make_backend("mujoco", arm, gravity=gravity), round(500 / drive.rate_hz))
    rng = np.random.default_rng(drive.seed)
    world = Randomization(arm, drive.world or {}).draw(rng)
    friction = world.joints.friction.copy()
    friction[list(drive.still)] = 100.0
    world.joints = dataclasses.replace(world.joints, friction=friction)
    n, m = arm.joints, round(drive.seconds * drive.rate_hz)
    frequency = np.array([0.1, 0.23, 0.37, 0.61, 0.83])  # Hz, no two alike for ten seconds
    share = rng.uniform(0.5, 1.0, (n, 5)) / frequency**0.5
    share *= drive.amplitude / np.abs(share).sum(axis=1, keepdims=True)
    share[list(drive.still)] = 0.0
    phase = rng.uniform(0.0, 2 * np.pi, (n, 5))
    omega = 2 * np.pi * frequency
    start = arm.home
    plant.begin(world, start, rng)
    time = np.arange(m) / drive.rate_hz
    position, velocity, torque = (np.empty((m, n)) for _ in range(3))
    for k in range(m):
        measured = np.array(plant.measure())
        position[k], velocity[k] = measured[:n], measured[n : 2 * n]
        angle = omega * time[k] + phase
        ramp = min(1.0, time[k] / 2.0)  # the arm starts at rest
        wanted = start + ramp * (share * np.sin(angle)).sum(1)
        speed = ramp * (share * omega * np.cos(angle)).sum(1)
        inertia = _inertia(arm, position[k])
        torque[k] = inertia * (30.0 * (wanted - position[k]) + 9.0 * (speed - velocity[k]))
        if gravity:
            torque[k] += arm.gravity_torque(position[k])
        torque[k] = np.clip(torque[k], -arm.torque_limit, arm.torque_limit)
        plant.hold(torque[k])
    plant.backend.close()
    return Run(arm, time, position, velocity, torque)


def _inertia(arm: Arm, position: Array) -> Array:
    frames = arm.chain.frames_at(position)
    return np.diag(arm.bodies.mass_matrix(arm.chain, frames)) + 0.2
