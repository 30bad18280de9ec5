# SPDX-License-Identifier: Apache-2.0
"""What recordings are worth to a training: `python -m benchmarks.prior_data`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bag_rate import Array, write_rows
from benchmarks.our_run import our_run
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.config import TrainConfig
from sac_ros.training.policy_in_loop import computed_torque_controller

MINUTES = 5.0  # of each recording


def textbook(env: ArmVectorEnv, rng: np.random.Generator) -> Callable[[Any, Any], Array]:
    """Inverse kinematics and computed torque, with as much torque as the policy."""
    control = computed_torque_controller(env)

    def torques(observations: Any, infos: Any) -> Array:
        torque, _ = control(observations, infos)
        assert torque is not None, "it computes torques"
        noise = 0.1 * env.action_scale * rng.standard_normal(torque.shape)
        found: Array = torque + noise
        return found

    return torques


def trembling(env: ArmVectorEnv, rng: np.random.Generator) -> Callable[[Any, Any], Array]:
    """A fresh random torque at each step."""
    shape = (env.num_envs, env.arm.joints)
    return lambda *_: env.action_scale * rng.uniform(-1.0, 1.0, shape)


TEACHERS = {"the textbook controller": textbook, "random torques": trembling}


def record(teacher: str, path: Path) -> None:
    """Writes a bag of an iiwa that a teacher moves from goal to goal."""
    env = ArmVectorEnv(1, episode_seconds=3.0)
    rng = np.random.default_rng(0)
    control = TEACHERS[teacher](env, rng)

    def rows() -> Iterator[tuple[Array, Array, Array]]:
        observations, infos = env.reset(seed=0)
        for _ in range(round(60.0 * MINUTES * env.control_rate_hz)):
            torque = control(observations, infos)
            yield infos["joint_position"][0], infos["joint_velocity"][0], torque[0]
            nothing = np.zeros(torque.shape, dtype=np.float32)
            observations, _, _, over, infos = env.apply(nothing, torque)
            if over.any():  # the next goal, from where it is
                there = infos["joint_position"][0]
                observations, infos = env.reset(options={"joint_position": there})

    write_rows(path, "mcap", env.arm.joint_names, rows(), env.control_rate_hz)
    env.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints when each training solved the task."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prior_data", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each (default 5)")
    parser.add_argument("--only", choices=["nothing", *TEACHERS], help="one of the three")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        bags = {"nothing": ""}
        for number, teacher in enumerate(TEACHERS):
            bags[teacher] = f"{folder}/{number}"
            record(teacher, Path(bags[teacher]))
        bags = {name: bag for name, bag in bags.items() if options.only in (None, name)}
        solved: dict[str, list[int]] = {name: [] for name in bags}
        for seed in range(options.seeds):
            for name, bag in bags.items():
                config = replace(TrainConfig(), seed=seed, prior_data=bag, backend="mujoco")
                at = our_run(config).solved_at
                solved[name].append(config.total_steps if at is None else at.env_steps)
    print(f"steps until 95 % of 50 held-out goals are within 5 cm, seeds 0 to {options.seeds - 1}")
    for name, steps in solved.items():
        each = ", ".join(f"{one:,}" for one in steps)
        print(f"  beside the run's own, {name:24s} median {int(np.median(steps)):,}   ({each})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
