# SPDX-License-Identifier: Apache-2.0
"""Train with any library: Stable-Baselines3's SAC on an arm, with the evaluation of this package.

The arm is a plain Gymnasium environment. `pip install stable-baselines3`, then:
python examples/any_library.py --arm panda --steps 20000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import SAC

from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.evaluation import Evaluation, evaluate
from sac_ros.training.report import evaluation_table

GAMMA = 0.92  # that of config/train.yaml: an arm needs to look half a second ahead
EPISODE_SECONDS = 3.0  # of the training; what is evaluated has the usual ten


def evaluated(model: SAC, arm: str, episodes: int) -> Evaluation:
    """How the model does on goals that no training sees."""
    env = ArmVectorEnv(episodes, arm=arm, backend="mujoco")

    def control(observations: np.ndarray, _: dict[str, Any]) -> tuple[None, np.ndarray]:
        return None, model.predict(observations, deterministic=True)[0]

    found = evaluate(env, control, episodes=episodes, seed=5000)
    env.close()
    assert found is not None, "nothing interrupts it"
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, and prints the evaluation before and after; returns 0."""
    parser = argparse.ArgumentParser(description="Train an arm with Stable-Baselines3's SAC")
    parser.add_argument("--arm", default="iiwa", help="a name or a path (%(default)s)")
    parser.add_argument("--steps", type=int, default=20_000, help="(%(default)s)")
    parser.add_argument("--episodes", type=int, default=20, help="of an evaluation (%(default)s)")
    options = parser.parse_args(arguments)
    # Gymnasium 1 reads no entry points: the module before the name registers it.
    name = "sac_ros.sim.env:sac_ros/ArmReach-v0"
    env = gymnasium.make(name, arm=options.arm, backend="mujoco", episode_seconds=EPISODE_SECONDS)
    model = SAC("MlpPolicy", env, gamma=GAMMA, learning_rate=1e-3, seed=0, verbose=1)
    print(
        "untrained:", evaluation_table(evaluated(model, options.arm, options.episodes)), sep="\n"
    )
    model.learn(options.steps)
    env.close()
    print("trained:", evaluation_table(evaluated(model, options.arm, options.episodes)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
