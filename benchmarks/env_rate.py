# SPDX-License-Identifier: Apache-2.0
"""Steps per CPU second of `ArmEnv` against a bare loop of the same PyBullet calls."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.figure import ratio
from benchmarks.interleave import clock, interleaved_rates, one_core
from benchmarks.result import describe
from sac_ros.sim.arm_env import ArmEnv
from sac_ros.sim.bullet import pybullet

NAME = "env_rate"
OURS, BARE = "ArmEnv.step", "bare PyBullet calls"
_TOLERANCE = 1e-9  # rad


@dataclass(frozen=True)
class EnvRate:
    """What to measure.

    A turn is one episode of random actions.  The bare loop repeats it in a second Bullet client,
    with the torques that the environment recorded: the same motion and the same contacts, hence
    the same work for Bullet.  Resets are outside of both clocks.
    """

    turns: int = 20
    repetitions: int = 3

    def measure(self) -> dict[str, Any]:
        """The result, see `benchmarks.result`."""
        env, bare_env = ArmEnv(), ArmEnv()
        episodes = _Episodes(env, bare_env)
        with one_core():
            rates = interleaved_rates(
                {OURS: episodes.with_env, BARE: episodes.bare},
                per_turn=env.episode_steps,
                turns=self.turns,
                repetitions=self.repetitions,
                unit="steps/s",
            )
        settings = {
            "control_rate_hz": env.control_rate_hz,
            "substeps": env.substeps,
            "steps_per_turn": env.episode_steps,
            "turns": self.turns,
        }
        env.close()
        bare_env.close()
        share = ratio("ArmEnv.step / bare", rates[OURS], rates[BARE], "%")
        title = f"Env rate per CPU second, {env.arm.name}, {env.substeps} physics steps each"
        return describe(NAME, title, [*rates.values(), share], settings)


class _Episodes:
    """Episodes in turn: first with the environment, then the same one bare."""

    def __init__(self, env: ArmEnv, bare_env: ArmEnv) -> None:
        self._env, self._bare = env, bare_env
        self._rng = np.random.default_rng(0)
        self._seed = 0
        self._start = np.array(env.arm.home)
        self._end = self._start
        self._torques: list[list[float]] = []

    def with_env(self) -> float:
        """Runs a new episode; returns the seconds that its steps took."""
        self._seed += 1
        env = self._env
        _, info = env.reset(seed=self._seed)
        self._start = info["joint_position"]
        shape = (env.episode_steps, env.arm.joints)
        actions = self._rng.uniform(-1.0, 1.0, shape).astype(np.float32)
        torques = []
        started = clock()
        for action in actions:
            # Not all of the info: who keeps that pays for memory, not for steps.
            info = env.step(action)[4]
            torques.append(info["torque"])
        seconds = clock() - started
        self._torques = [torque.tolist() for torque in torques]
        self._end = info["joint_position"]
        return seconds

    def bare(self) -> float:
        """Repeats it with nothing but the calls; returns their seconds."""
        arm = self._bare.sim_arm
        arm.reset(self._start)
        number = arm.client._client
        client = {"physicsClientId": number}
        body, joints, tip = arm.body, arm._joints, arm._tip
        substeps, mode = self._bare.substeps, pybullet.TORQUE_CONTROL
        set_torque, step = pybullet.setJointMotorControlArray, pybullet.stepSimulation
        get_joints, get_link = pybullet.getJointStates, pybullet.getLinkState
        states: Any = ()
        started = clock()
        for torque in self._torques:
            for _ in range(substeps):
                set_torque(body, joints, mode, forces=torque, **client)
                step(number)
            states = get_joints(body, joints, number)
            get_link(body, tip, computeForwardKinematics=True, **client)
        seconds = clock() - started
        difference = float(np.max(np.abs(self._end - [state[0] for state in states])))
        if difference > _TOLERANCE:
            raise RuntimeError(
                f"the bare loop ended {difference:.3g} rad from where the environment did, so "
                "the two did not do the same work"
            )
        return seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    parser.add_argument(
        "--env-turns", type=int, default=20, metavar="N", help="episodes of each a repetition"
    )


def from_options(options: argparse.Namespace) -> EnvRate:
    """As the options of `python -m benchmarks` say."""
    return EnvRate(turns=options.env_turns, repetitions=options.repetitions)
