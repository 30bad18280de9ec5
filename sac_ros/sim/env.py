# SPDX-License-Identifier: Apache-2.0
"""The Gymnasium environment of one arm, and the environments by their Gymnasium names.

Importing this registers them, so that Gymnasium does both by

    gymnasium.make("sac_ros.sim.env:sac_ros/ArmReach-v0", arm="panda", backend="mujoco")

It reads no entry points any more since 1.0.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sac_ros.sim.vector_env import INFO, ArmVectorEnv
from sac_ros.tasks.task import TASKS
from sac_ros.utils.errors import ConfigurationError

Observation = NDArray[np.float32]


class ArmEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """One row of an `ArmVectorEnv`, which describes actions, observations and infos."""

    metadata: dict[str, Any] = ArmVectorEnv.metadata

    def __init__(self, **arguments: Any) -> None:
        """Makes the environment with the arguments of `ArmVectorEnv`.

        Raises:
            ConfigurationError: an argument that is not in its valid set.
        """
        self.rows = ArmVectorEnv(1, **arguments)
        self.metadata = {**self.rows.metadata, "render_modes": _render_modes()}
        self.render_mode = self.rows.render_mode
        self.action_space = self.rows.single_action_space
        self.observation_space = self.rows.single_observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode; see `ArmVectorEnv.reset`."""
        super().reset(seed=seed)
        observations, infos = self.rows.reset(
            seed=None if seed is None else [seed], options=options
        )
        self._show()
        return observations[0], _first(infos)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Holds the torque of `action` [n], clipped to −1..1, for one control period."""
        if np.shape(action) != self.action_space.shape:
            raise ConfigurationError(
                f"action must have shape {self.action_space.shape}; got {np.shape(action)}"
            )
        observations, rewards, _, truncated, infos = self.rows.step(np.asarray(action)[None])
        self._show()
        return observations[0], float(rewards[0]), False, bool(truncated[0]), _first(infos)

    def render(self) -> Any:
        """An RGB frame [height, width, 3] uint8 with render mode `rgb_array`."""
        frames = self.rows.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Ends the engine."""
        self.rows.close()

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()


def _render_modes() -> list[str]:
    """The modes that work here: Gymnasium's `check_env` makes an environment in each of them."""
    no_window = sys.platform == "linux" and not os.environ.get("DISPLAY")
    modes: list[str] = ArmVectorEnv.metadata["render_modes"]
    return [mode for mode in modes if not (no_window and mode == "human")]


def _first(infos: dict[str, Any]) -> dict[str, Any]:
    return {name: infos[name][0] for name in INFO}


def register() -> None:
    """Registers an environment a task, such as `sac_ros/ArmReach-v0`; twice does nothing."""
    for task in TASKS:
        name = f"sac_ros/Arm{task.capitalize()}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="sac_ros.sim.env:ArmEnv",
                vector_entry_point="sac_ros.sim.vector_env:ArmVectorEnv",
                kwargs={"task": task},
            )


register()
