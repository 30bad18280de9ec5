# SPDX-License-Identifier: Apache-2.0
"""Steps per CPU second of the environments against a bare loop of the same PyBullet calls."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.figure import Figure, ratio
from benchmarks.interleave import clock, interleaved_rates, one_core
from benchmarks.result import describe
from sac_ros.sim.backend import PHYSICS_RATE
from sac_ros.sim.bullet import pybullet
from sac_ros.sim.env import ArmEnv
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.config import TrainConfig

NAME = "env_rate"
_TOLERANCE = 1e-9  # rad


@dataclass(frozen=True)
class EnvRate:
    """What to measure: `ArmEnv`, and `ArmVectorEnv` with as many arms as training has.

    A turn is one episode of random actions.  The bare loop repeats it in Bullet clients of its
    own, as many, with the torques that the environment recorded: the same motions and the same
    contacts in the same order, hence the same work for Bullet.  Resets are outside of all clocks.
    """

    turns: int = 20
    repetitions: int = 3
    arms: int = TrainConfig().environments

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        figures: list[Figure] = []
        with one_core():
            figures += self._compare("ArmEnv.step", ArmEnv(), arms=1)
            name = f"ArmVectorEnv.step, {self.arms} arms"
            figures += self._compare(name, ArmVectorEnv(self.arms), self.arms)
        env = ArmVectorEnv()
        substeps = PHYSICS_RATE // env.control_rate_hz
        settings = {
            "control_rate_hz": env.control_rate_hz,
            "substeps": substeps,
            "steps_per_turn": env.episode_steps,
            "turns": self.turns,
        }
        env.close()
        title = f"Env rate per CPU second, {env.arm.name}, {substeps} physics steps each"
        return describe(NAME, title, figures, settings)

    def _compare(self, name: str, env: ArmEnv | ArmVectorEnv, arms: int) -> list[Figure]:
        """Steps of an arm per second, by `env` and bare, and their ratio."""
        bare = f"bare PyBullet calls, {arms} arm{'s'[: arms - 1]}"
        episodes = _Episodes(env, [ArmVectorEnv() for _ in range(arms)])
        rates = interleaved_rates(
            {name: episodes.with_env, bare: episodes.bare},
            per_turn=episodes.steps * arms,
            turns=self.turns,
            repetitions=self.repetitions,
            unit="steps/s",
        )
        episodes.close()
        return [*rates.values(), ratio(f"{name} / bare", rates[name], rates[bare], "%")]


class _Episodes:
    """Episodes in turn: first with the environment, then the same ones bare, one for each arm."""

    def __init__(self, env: ArmEnv | ArmVectorEnv, bare: list[ArmVectorEnv]) -> None:
        self._env, self._bare = env, bare
        self.steps = bare[0].episode_steps
        self._rng = np.random.default_rng(0)
        self._seed = 0
        self._start = self._end = np.zeros((len(bare), bare[0].arm.joints))
        self._torques: list[list[list[float]]] = []

    def with_env(self) -> float:
        """Runs new episodes; returns the seconds that their steps took."""
        env = self._env
        _, info = env.reset(seed=self._seed)
        self._seed += len(self._bare)
        # Of one arm without its axis, of several with it: here it always has one.
        self._start = info["joint_position"].reshape(self._start.shape)
        shape = (self.steps, *(env.action_space.shape or ()))
        actions = self._rng.uniform(-1.0, 1.0, shape).astype(np.float32)
        torques = []
        started = clock()
        for action in actions:
            # Not all of the info: who keeps that pays for memory, not for steps.
            info = env.step(action)[4]
            torques.append(info["torque"])
        seconds = clock() - started
        self._torques = np.reshape(torques, (self.steps, *self._start.shape)).tolist()
        self._end = info["joint_position"].reshape(self._start.shape)
        return seconds

    def bare(self) -> float:
        """Repeats them with nothing but the calls; returns their seconds."""
        arms: list[Any] = [env.plants[0].backend for env in self._bare]
        for arm, start in zip(arms, self._start, strict=True):
            arm.reset(start)
        numbers = [arm.client._client for arm in arms]
        # The same in every client.
        body, joints, end_effector = arms[0].body, arms[0]._joints, len(arms[0]._joints)
        substeps, mode = self._bare[0].plants[0]._substeps, pybullet.TORQUE_CONTROL
        set_torque, step = pybullet.setJointMotorControlArray, pybullet.stepSimulation
        get_joints, get_link = pybullet.getJointStates, pybullet.getLinkState
        # The backend scales torques by a constant where a joint's damping is stiff.
        scale = np.array(arms[0]._scale) if arms[0]._scaled else 1.0
        forces = (scale * np.array(self._torques)).tolist()
        started = clock()
        for torques in forces:
            for number, torque in zip(numbers, torques):  # noqa: B905  strict takes time
                for _ in range(substeps):
                    set_torque(body, joints, mode, forces=torque, physicsClientId=number)
                    step(number)
                get_joints(body, joints, number)
                get_link(
                    body, end_effector, 0, 1, number
                )  # by place, as above; 1: forward kinematics
        seconds = clock() - started
        ends = np.array([arm.read()[: len(joints)] for arm in arms])
        difference = float(np.max(np.abs(self._end - ends)))
        if difference > _TOLERANCE:
            raise RuntimeError(
                f"the bare loop ended {difference:.3g} rad from where the environment did, so "
                "the two did not do the same work"
            )
        return seconds

    def close(self) -> None:
        """Ends all Bullet clients."""
        for env in (self._env, *self._bare):
            env.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument(
        "--env-turns", type=int, default=20, metavar="N", help="episodes of each a repetition"
    )


def from_options(options: argparse.Namespace) -> EnvRate:
    """From the options of `python -m benchmarks`."""
    return EnvRate(turns=options.env_turns, repetitions=options.repetitions)
