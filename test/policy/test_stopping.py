# SPDX-License-Identifier: Apache-2.0
"""What a simulated arm does when the safety filter stops it: how soon, how far, how smoothly."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Fault, Mode
from sac_ros.robots.arm import Arm, load_arm
from sac_ros.robots.dynamics import damped_torque
from sac_ros.sim.backend import Backend, JointProperties, make_backend

MODELS = Path(__file__).parents[2] / "models"
STATE_PERIOD = 0.002  # s
CASES = list(itertools.product(("iiwa", "panda", "ur5e"), ("bullet", "mujoco")))


@dataclass
class Stop:
    """What an arm did after a fault.

    Attributes:
        rest_s: until the end effector was slower than 2 cm/s for good.
        path_m: the way of the end effector.
        fastest: m/s, its highest speed.
        chatter: share of the torque's power above 25 Hz.
        torque: [t, n] N·m, as published.
        modes: of the commands.
    """

    rest_s: float
    path_m: float
    fastest: float
    chatter: float
    torque: np.ndarray
    modes: list[Mode]


class MovingArm:
    """A simulated arm behind a safety filter, whose end effector moves at 1 m/s."""

    def __init__(self, name: str, world: str) -> None:
        self.arm: Arm = load_arm(name)
        self.backend: Backend = make_backend(world, self.arm, gravity=False)
        self.spec = Policy.load(MODELS / f"{name}_reach.onnx").spec
        self._config = SafetyConfig(soft_start_s=0.0)
        self.limits = JointLimits.of(self.spec, self._config)

    def make(self) -> SafetyFilter:
        """A filter that has seen nothing yet."""
        return SafetyFilter(self.limits, self._config, self.spec.control_rate_hz)

    @cache  # noqa: B019 - a handful of arms for the whole run
    def starts(self, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Configurations around home, with the least joint velocities that give 1 m/s."""
        rng, arm, starts = np.random.default_rng(0), self.arm, []
        low, high = arm.position_limit.T
        while len(starts) < number:
            q = np.clip(arm.home + rng.uniform(-0.8, 0.8, arm.joints), low + 0.6, high - 0.6)
            jacobian = arm.chain.jacobian(arm.chain.frames_at(q))[:3]
            velocity = np.linalg.pinv(jacobian, rcond=0.05) @ rng.normal(size=3)
            velocity /= np.linalg.norm(jacobian @ velocity)
            if np.all(np.abs(velocity) < arm.velocity_limit) and not self.backend.contacts(q):
                starts.append((q, velocity))
        return starts

    def stop(self, start: Any, fault: Any, seconds: float = 1.2) -> Stop:
        """Have ``fault(filter, step, position, velocity)`` happen while the arm moves."""
        safety, n, now = self.make(), self.arm.joints, 100.0
        self.backend.reset(*start)
        safety.accept(now, *start)
        safety.activate(now)
        torque, places, torques, modes = np.zeros(n), [], [], []
        for step in range(round(seconds / STATE_PERIOD)):
            state = np.array(self.backend.read())
            places.append(state[2 * n : 2 * n + 3])
            now += STATE_PERIOD
            position, velocity = fault(safety, step, state[:n], state[n : 2 * n])
            self.backend.step(torque.tolist(), 1)  # the answer comes a period late
            if safety.accept(now, position, velocity):
                command = safety.command(now, np.zeros(n))
            else:
                command = safety.tick(now) or command
            torque = command.torque
            torques.append(torque)
            modes.append(command.mode)
        return self._judge(np.array(places), np.array(torques), modes)

    def _judge(self, places: np.ndarray, torque: np.ndarray, modes: list[Mode]) -> Stop:
        speed = np.linalg.norm(np.diff(places, axis=0), axis=1) / STATE_PERIOD
        moving = np.flatnonzero(speed > 0.02)
        window = np.hanning(len(torque))[:, None]  # so that its ends are no chatter
        power = np.abs(np.fft.rfft(torque * window, axis=0)) ** 2
        fast = np.fft.rfftfreq(len(torque), STATE_PERIOD) > 25.0
        return Stop(
            rest_s=(moving[-1] + 1) * STATE_PERIOD if len(moving) else 0.0,
            path_m=float(speed.sum() * STATE_PERIOD),
            fastest=float(speed.max()),
            chatter=float(power[fast].sum() / max(power.sum(), 1e-12)),
            torque=torque,
            modes=modes,
        )


moving_arm = cache(MovingArm)


def engage(safety: SafetyFilter, step: int, *state: np.ndarray) -> tuple[np.ndarray, ...]:
    if step == 0:
        safety.emergency_stop(True)
    return state


def end(safety: SafetyFilter, step: int, *state: np.ndarray) -> tuple[np.ndarray, ...]:
    if step == 0:
        safety.begin_stop()
    return state


@pytest.mark.parametrize("fault", [engage, end])
@pytest.mark.parametrize(("name", "world"), CASES)
def test_from_1_m_per_s_an_arm_stands_within_half_a_second_and_15_cm(
    name: str, world: str, fault: Any
) -> None:
    arm = moving_arm(name, world)
    for start in arm.starts(8):
        stop = arm.stop(start, fault)
        assert stop.rest_s <= 0.5
        assert stop.path_m <= 0.15
        assert stop.chatter <= 0.05
        assert np.all(np.abs(stop.torque) <= arm.limits.stop)
        assert stop.modes[-1] is Mode.STOPPED
        np.testing.assert_array_equal(stop.torque[-1], 0.0)


@pytest.mark.parametrize(("name", "world"), CASES[:1] + CASES[5:])
def test_no_joint_is_driven_across_its_position_limit(name: str, world: str) -> None:
    robot = moving_arm(name, world)
    arm, n = robot.arm, robot.arm.joints
    for joint, sign in itertools.product(range(n), (-1.0, 1.0)):
        robot.backend.reset(arm.home)
        safety, now, torque = robot.make(), 100.0, np.zeros(n)
        safety.accept(now, arm.home, np.zeros(n))
        safety.activate(now)
        limit = arm.position_limit[joint, int(sign > 0.0)]
        for step in range(round(2.5 / STATE_PERIOD)):
            state = np.array(robot.backend.read())
            position, velocity = state[:n], state[n : 2 * n]
            if sign * (position[joint] - limit) > 0.0:
                assert sign * velocity[joint] <= 0.05
            now += STATE_PERIOD
            assert safety.accept(now, position, velocity)
            robot.backend.step(torque.tolist(), 1)  # the answer comes a period late
            if step % 10 == 0:  # at the policy's rate, as its graph bounds it
                push = damped_torque(
                    np.where(np.arange(n) == joint, sign, 0.0),
                    velocity,
                    scale=arm.action_scale,
                    damping=arm.control_damping,
                    velocity_limit=arm.velocity_limit,
                )
            torque = safety.command(now, push).torque


def cross_speed(name: str, world: str, seed: int, *, bounded: bool, load_kg: float = 0.0) -> float:
    """rad/s at which a joint is beyond a limit and moves on, in 3 s of random commands.

    Judged is the time before the arm hits itself, which throws a wrist as no torque does: within
    12 ms from 0 to 7 rad/s for the UR5e, its elbow folded.

    Args:
        name, world: of the simulated arm.
        seed: of where it starts and what is asked of it.
        bounded: by the policy's graph; else torques up to the torque limits.
        load_kg: at the last link, of which the policy file's model knows nothing.
    """
    robot = moving_arm(name, world)
    arm, n, rng = robot.arm, robot.arm.joints, np.random.default_rng(seed)
    low, high = arm.position_limit.T
    mass = np.append(arm.bodies.mass[:-1], arm.bodies.mass[-1] + load_kg)
    robot.backend.set_properties(
        dataclasses.replace(arm.bodies, mass=mass), JointProperties.of(arm)
    )
    while robot.backend.contacts(start := rng.uniform(low + 0.05, high - 0.05)):
        pass
    robot.backend.reset(start)
    safety, now, torque = robot.make(), 100.0, np.zeros(n)
    safety.accept(now, start, np.zeros(n))
    safety.activate(now)
    path, speeds, until = [], [], 0
    for step in range(round(3.0 / STATE_PERIOD)):
        state = np.array(robot.backend.read())
        position, velocity = state[:n], state[n : 2 * n]
        beyond = np.where(position > high, velocity, np.where(position < low, -velocity, 0.0))
        path.append(position)
        speeds.append(beyond.max())
        now += STATE_PERIOD
        if step == until:
            asked = rng.choice([-1.0, 0.0, 1.0] if bounded else [-1.0, 1.0], n)
            asked *= 1.0 if bounded else rng.uniform(0.3, 1.0) * arm.torque_limit
            until = step + int(rng.integers(10, 300))
        if bounded and step % 10 == 0:
            push = damped_torque(
                asked,
                velocity,
                scale=arm.action_scale,
                damping=arm.control_damping,
                velocity_limit=arm.velocity_limit,
            )
        robot.backend.step(torque.tolist(), 1)  # the answer comes a period late
        accepted = safety.accept(now, position, velocity)
        command = safety.command(now, push if bounded else asked) if accepted else None
        command = command or safety.tick(now)
        torque = torque if command is None else command.torque
        if step % 50 == 0:
            safety.clear_fault(now)
    crossed = next((step for step, speed in enumerate(speeds) if speed > 0.05), 0)
    with patch("sac_ros.sim.mujoco._PENETRATION", 0.0):  # it pushes from the first touch on
        hit = next((step for step in range(crossed) if robot.backend.contacts(path[step])), None)
    robot.backend.set_properties(arm.bodies, JointProperties.of(arm))
    return float(max(speeds[:hit]))


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize(("name", "world"), CASES)
def test_no_combination_of_commands_drives_a_joint_across_its_position_limit(
    name: str, world: str, bounded: bool
) -> None:
    assert cross_speed(name, world, 0, bounded=bounded) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize(("name", "world"), CASES)
def test_none_of_fifty_combinations_drives_a_joint_across_its_position_limit(
    name: str, world: str, bounded: bool
) -> None:
    speeds = {seed: cross_speed(name, world, seed, bounded=bounded) for seed in range(50)}
    assert max(speeds.values()) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("world", ["bullet", "mujoco"])
@pytest.mark.parametrize("name", ["iiwa", "panda"])
def test_nor_does_any_with_an_unknown_load_of_2_kg(name: str, world: str, bounded: bool) -> None:
    for seed in range(10):
        assert cross_speed(name, world, seed, bounded=bounded, load_kg=2.0) <= 0.05


@pytest.mark.parametrize("steps", [1, 500])
@pytest.mark.parametrize(("name", "world"), CASES)
def test_a_reading_of_100_rad_per_s_does_not_accelerate_the_arm(
    name: str, world: str, steps: int
) -> None:
    def misread(
        safety: SafetyFilter, step: int, position: np.ndarray, velocity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        wrong = velocity.copy()
        wrong[1] = 100.0
        return position, wrong if 20 <= step < 20 + steps else velocity

    arm = moving_arm(name, world)
    for start in arm.starts(3):
        stop = arm.stop(start, misread)
        assert stop.fastest <= 1.0 + 0.3
        assert np.all(np.abs(stop.torque) <= arm.limits.stop)


@pytest.mark.parametrize(("name", "world"), CASES)
def test_an_arm_that_flips_the_sign_of_its_velocities_is_not_braked_into_speed(
    name: str, world: str
) -> None:
    def flip(
        safety: SafetyFilter, step: int, position: np.ndarray, velocity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if step == 20:
            safety.fault(Fault.NON_FINITE_GOAL, "a reason to brake")
        return position, -velocity if step >= 20 else velocity

    arm = moving_arm(name, world)
    for start in arm.starts(3):
        assert arm.stop(start, flip).fastest <= 1.5
