# SPDX-License-Identifier: Apache-2.0
"""stable-baselines3's SAC on the same environment, until the task is solved or time is up."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from benchmarks.learning_curve import LearningCurve, Point
from benchmarks.peers import stable_baselines3_sac
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import HELD_OUT_SEED, ROWS, evaluate

_EVALUATION_SHARE = 40  # evaluations in the time that the run has


def peer_run(config: TrainConfig, *, update_every: int, cut_seconds: float) -> LearningCurve:
    """Trains with the peer's defaults, but for one update every `update_every` steps.

    Args:
        config: whose arm, environment, seed and held-out goals are used.
        update_every: environment steps per update; 1 is the peer's default.
        cut_seconds: learning seconds after which the run ends, solved or not.
    """
    # It does everything in one process, so both cores are torch's.
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    arguments: dict[str, Any] = {"arm": config.arm, **dataclasses.asdict(config.env)}
    env = gymnasium.make("sac_ros/ArmReach-v0", disable_env_checker=True, **arguments)
    held_out = ArmVectorEnv(ROWS, **arguments)
    model = stable_baselines3_sac(env, seed=config.seed, train_freq=update_every, gradient_steps=1)
    name = f"stable-baselines3, an update every {update_every} steps"
    curve = LearningCurve(name, config.seed)
    callback = _Evaluations(curve, held_out, config.evaluation_episodes, cut_seconds)
    model.learn(total_timesteps=10**9, callback=callback)
    env.close()
    held_out.close()
    torch.set_num_threads(threads)
    if not curve.solved:
        curve.cut_at_seconds = callback.seconds
    return curve


class _Evaluations(BaseCallback):
    """Evaluates on the held-out goals at even times; ends the run."""

    def __init__(
        self, curve: LearningCurve, env: ArmVectorEnv, episodes: int, cut_seconds: float
    ) -> None:
        super().__init__()
        self.seconds = 0.0
        self._curve, self._env, self._episodes = curve, env, episodes
        self._cut = cut_seconds
        self._interval = cut_seconds / _EVALUATION_SHARE
        self._next = self._interval
        self._resumed = 0.0

    def _on_training_start(self) -> None:
        self._resumed = time.perf_counter()

    def _on_step(self) -> bool:
        seconds = self.seconds + time.perf_counter() - self._resumed
        if seconds < self._next and seconds < self._cut:
            return True
        self.seconds = seconds
        self._next = seconds + self._interval
        result = evaluate(self._env, self._controller, episodes=self._episodes, seed=HELD_OUT_SEED)
        assert result is not None, "nothing interrupts this evaluation"
        success = result.success_rate(0.05)
        self._curve.points.append(Point(seconds, self.num_timesteps, success))
        print(
            f"  {self._curve.contestant}, seed {self._curve.seed}: {seconds:.0f} of at most "
            f"{self._cut:.0f} s, {self.num_timesteps:,} steps, {success:.0%}",
            flush=True,
        )
        self._resumed = time.perf_counter()
        return seconds < self._cut and not self._curve.solved

    def _controller(
        self, observation: NDArray[np.float32], _info: dict[str, Any]
    ) -> tuple[None, NDArray[np.float32]]:
        return None, self.model.predict(observation, deterministic=True)[0]
