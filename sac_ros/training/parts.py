# SPDX-License-Identifier: Apache-2.0
"""The parts of a training run, made from its configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sac_ros.sac.agent import SacAgent
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.best_actor import BestActor
from sac_ros.training.collector import CollectorSetup
from sac_ros.training.config import TrainConfig
from sac_ros.training.hindsight import HindsightRelabeler
from sac_ros.training.n_step import NStep
from sac_ros.training.numpy_actor import ActorShape
from sac_ros.training.progress import say
from sac_ros.training.replay_sampler import MixedSampler, ReplaySampler
from sac_ros.training.resume import RunState
from sac_ros.training.shared_memory import MemoryShape, SharedMemory
from sac_ros.training.sources import InProcessSource, Source, WorkerSource
from sac_ros.training.training_loop import UPDATES_PER_BLOCK

# Where the schedules of step size, entropy, goals and reward begin with an initial policy.
BEGUN_PROGRESS = 0.5
GOAL_POOL = 4096  # goals that replayed transitions are given in hindsight


def make_env(config: TrainConfig, number: int, render_mode: str | None = None) -> ArmVectorEnv:
    """`number` arms as those of the collector."""
    return ArmVectorEnv(number, render_mode=render_mode, **_env_arguments(config))


def make_relabeler(config: TrainConfig, env: ArmVectorEnv) -> HindsightRelabeler:
    """Over goals of the task's own distribution.

    Raises:
        ConfigurationError: the arm reaches none.
    """
    end_effectors = env.samplers[0].draw(np.random.default_rng([config.seed, 3]), GOAL_POOL)[1]
    goals = env.task.observed(env.task.goal_at(end_effectors)).astype(np.float32)
    return HindsightRelabeler(env.task, goals, config.relabel_probability, config.near_probability)


def actor_shape(config: TrainConfig, env: ArmVectorEnv) -> ActorShape:
    """Of the actor that the collector mirrors."""
    sac = config.sac
    log_std = (sac.log_std_min, sac.log_std_max)
    return ActorShape.of(
        env.task.size, env.arm.joints, sac.hidden_sizes, log_std, env.task.aim_columns
    )


def make_memory(config: TrainConfig, env: ArmVectorEnv) -> SharedMemory:
    """With room for what the collector writes ahead of the last block."""
    sac = config.sac
    ahead = 2000 + round(4 * UPDATES_PER_BLOCK / sac.updates_per_step)
    steps = max(config.total_steps, sac.learning_starts) + ahead
    parameters = actor_shape(config, env).parameters
    size = env.task.size * (2 if env.randomization.ranges else 1)
    capacity = min(sac.replay_capacity, steps)
    return SharedMemory(MemoryShape(capacity, size, env.arm.joints, parameters))


def make_state(config: TrainConfig, env: ArmVectorEnv, shared: SharedMemory) -> RunState:
    """An agent that has learned nothing; seeds torch."""
    torch.manual_seed(config.seed)
    task = env.task
    agent = SacAgent(task.size, env.arm.joints, config.sac, config.device, task.aim_columns)
    rng = np.random.default_rng([config.seed, 0])
    return RunState(agent, shared.replay, rng, BestActor(agent.averaged_actor))


def make_sampler(
    config: TrainConfig, env: ArmVectorEnv, state: RunState, relabel: HindsightRelabeler
) -> ReplaySampler | MixedSampler:
    """What draws the batches.

    Raises:
        BagError, ConfigurationError: `prior_data` cannot be used.
    """
    n_step = NStep(config.sac.n_step, config.sac.gamma, stride=config.environments)
    own = ReplaySampler(state.replay, state.rng, relabel=relabel, n_step=n_step)
    if not config.prior_data:
        return own
    say(f"reading prior_data, {config.prior_data}")
    # Only here: a run without recordings need not import what reads them.
    from sac_ros.training.prior_data import read_prior_data  # noqa: PLC0415

    paths = [Path(each.strip()).expanduser() for each in config.prior_data.split(",")]
    given = read_prior_data(paths, env, say, config.prior_data_joints)
    n_step = dataclasses.replace(n_step, stride=1)
    return MixedSampler(own, ReplaySampler(given, state.rng, relabel=relabel, n_step=n_step))


def start_source(
    config: TrainConfig, env: ArmVectorEnv, shared: SharedMemory, *, begun: bool = False
) -> Source:
    """A collector like `env`, here or in a process of its own.

    `begun`: with an initial policy, which acts from the first step on and in whole worlds: a noisy
    controller, random actions, short episodes and narrow worlds are for an actor that has learned
    nothing.
    """
    setup = CollectorSetup(
        environment_arguments=_env_arguments(config),
        environments=config.environments,
        actor_shape=actor_shape(config, env),
        warm_up_steps=0 if begun else config.warm_up_steps,
        early_steps=0 if begun else config.early_steps,
        early_episode_steps=round(config.early_episode_seconds * config.env.control_rate_hz),
        widening_steps=0 if begun else config.widening_steps,
        random_steps=0 if begun else config.sac.learning_starts,
        noisy_steps=config.critics_first_steps if begun else 0,
        continue_probability=config.continue_probability,
        seed=collector_seed(config, shared.replay.env_steps),
    )
    if config.collector == "worker":
        return WorkerSource(setup, shared)
    if config.collector == "in_process":
        return InProcessSource(setup, shared)
    # Only here: Ray is an extra.
    from sac_ros.training.ray_source import RaySource  # noqa: PLC0415

    return RaySource(setup, shared, address=config.ray_address, collectors=config.ray_collectors)


def collector_seed(config: TrainConfig, env_steps: int) -> int:
    """Follows from the steps: a resumed run must not meet the episodes of its start again."""
    return config.seed + 7919 * env_steps


def _env_arguments(config: TrainConfig) -> dict[str, Any]:
    names = ("arm", "base_link", "tip_link", "task", "backend")
    return {
        **{name: getattr(config, name) for name in names},
        **dataclasses.asdict(config.env),
    }
