# SPDX-License-Identifier: Apache-2.0
"""The environments by their Gymnasium names.

Importing `sac_ros.sim.env` registers them, so that Gymnasium does both by

    gymnasium.make("sac_ros.sim.env:sac_ros/ArmReach-v0", arm="panda", backend="mujoco")

Gymnasium reads no entry points any more since 1.0.
"""

from __future__ import annotations

import gymnasium

from sac_ros.tasks.task import TASKS


def environment_id(task: str) -> str:
    """Such as `sac_ros/ArmReach-v0`."""
    return f"sac_ros/Arm{task.capitalize()}-v0"


def register() -> None:
    """Registers an environment for each task; twice does nothing."""
    for task in TASKS:
        name = environment_id(task)
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="sac_ros.sim.env:ArmEnv",
                vector_entry_point="sac_ros.sim.vector_env:ArmVectorEnv",
                kwargs={"task": task},
            )
