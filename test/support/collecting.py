# SPDX-License-Identifier: Apache-2.0
"""What sources of transitions are tested with."""

from __future__ import annotations

from functools import cache

import numpy as np

from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.collector import CollectorSetup
from sac_ros.training.numpy_actor import ActorShape
from sac_ros.training.shared_memory import MemoryShape, SharedMemory

ENVIRONMENTS = 2


@cache
def collector_setup() -> CollectorSetup:
    """Of two iiwas, episodes of 0.2 s and a tiny actor."""
    env = ArmVectorEnv()
    size, n = env.task.size, env.arm.joints
    env.close()
    return CollectorSetup(
        environment_arguments={"arm": "iiwa", "episode_seconds": 0.2},
        environments=ENVIRONMENTS,
        actor_shape=ActorShape.of(size, n, (8,), (-3.0, 0.0)),
        warm_up_steps=8,
        random_steps=20,
        noisy_steps=0,
        early_steps=0,
        early_episode_steps=1,
        widening_steps=0,
        continue_probability=0.5,
        seed=3,
    )


def memory_for(setup: CollectorSetup) -> SharedMemory:
    """Memory of 6000 transitions, with weights."""
    sizes = setup.actor_shape.sizes
    shared = SharedMemory(
        MemoryShape(6000, sizes[0], sizes[-1] // 2, setup.actor_shape.parameters)
    )
    rng = np.random.default_rng(0)
    weights = 0.1 * rng.normal(size=setup.actor_shape.parameters)
    shared.weights.publish(weights.astype(np.float32))
    return shared


def never() -> bool:
    """Nobody interrupts."""
    return False
