# SPDX-License-Identifier: Apache-2.0
"""From a trained agent to its policy file."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sac_ros
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import (
    ArmModel,
    GoalSpec,
    ObservationTerm,
    OrientationSpec,
    PolicySpec,
    RememberedTorque,
    SelfTest,
    TrainingRange,
)
from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import quaternion_of
from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.memory import Memory
from sac_ros.tasks.pose import LARGEST_TURN
from sac_ros.tasks.task import Task
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import Evaluation
from sac_ros.training.export import GateStates, export_policy
from sac_ros.training.policy_graph import PolicyGraph

GATE_STATES = 1000
PERCENTILES = (1.0, 99.0)


def write_policy(
    path: Path,
    *,
    actor: SquashedGaussianActor,
    env: ArmVectorEnv,
    config: TrainConfig,
    joint_positions: NDArray[np.float32],
    joint_velocities: NDArray[np.float32],
    env_steps: int,
    actor_env_steps: int,
    began_with: Mapping[str, Any],
    learning_seconds: float,
    evaluation: Evaluation,
) -> Policy:
    """Exports `actor` to `path` through the export gate.

    Args:
        path: the policy file.
        actor: the trained actor.
        env: the environment that it was trained in.
        config: the run's configuration.
        joint_positions: [m, n] rad, seen in training, for the training range.
        joint_velocities: [m, n] rad/s, likewise.
        env_steps: length of the training.
        actor_env_steps: those after which `actor` was as it is.
        began_with: the origin of its initial policy; empty without one.
        learning_seconds: s, its duration without evaluations.
        evaluation: how the actor did.

    Raises:
        PolicyFileError: the gate refused.
    """
    arm = env.arm
    carried = env.gravity_compensation == "policy"
    graph = PolicyGraph(
        copy.deepcopy(actor).cpu(),
        env.task,
        memory=env.memory,
        holds_gravity=carried,
    )
    low, high = env.task.goal_bounds()
    spec = PolicySpec(
        name=f"{arm.name}_{env.task.name}",
        arm=arm.name,
        package_version=sac_ros.__version__,
        joint_names=arm.joint_names,
        torque_limit=_numbers(arm.torque_limit),
        position_limit=_pairs(arm.position_limit),
        velocity_limit=_numbers(arm.velocity_limit),
        action_scale=_numbers(env.action_scale),
        control_rate_hz=float(env.control_rate_hz),
        gravity_compensation=env.gravity_compensation,
        task=env.task.name,
        goal=GoalSpec(
            env.task.goal_fields,
            env.task.goal_unit,
            arm.base_link,
            _numbers(low),
            _numbers(high),
            env.task.tolerance,
            _orientation(env.task),
        ),
        stop_damping=_numbers(arm.stop_damping),
        brake_limit=_numbers(arm.brake_limit),
        observation=tuple(ObservationTerm(*term) for term in env.task.terms.items()),
        training_range=TrainingRange(
            PERCENTILES, _percentiles(joint_positions), _percentiles(joint_velocities)
        ),
        training={
            "algorithm": "SAC",
            "hyperparameters": dataclasses.asdict(config.sac),
            "reward": dataclasses.asdict(config.env.reward),
            "relabel_probability": config.relabel_probability,
            "near_probability": config.near_probability,
            "seed": config.seed,
            "backend": env.backend,
            "prior": config.env.prior,
            "randomization": env.randomization.ranges,
            "env_steps": env_steps,
            "actor_env_steps": actor_env_steps,
            **({"began_with": dict(began_with)} if began_with else {}),
            "wall_seconds": learning_seconds,
            # So that the file can be simulated again where no arm of the package has its name.
            "arm_reference": arm.reference if len(arm.reference) < 1000 else "",
            "urdf_sha256": arm.urdf_sha256,
            "git_revision": _git_revision(),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        },
        evaluation={
            "seeds": [evaluation.seed, evaluation.seed + evaluation.episodes - 1],
            **dataclasses.asdict(evaluation),
        },
        self_test=SelfTest({}, (), 1.0),  # the export fills it in
        arm_model=arm_model(arm),
        remembered_torque=_remembered_torque(env.memory),
    )
    return export_policy(path, graph, spec, gate_states(env), home=arm.home.tolist())


def _remembered_torque(memory: Memory) -> RememberedTorque | None:
    if memory.remembered_torque is None:
        return None
    offset, gain = memory.remembered_torque
    return RememberedTorque(offset, _numbers(gain))


def _orientation(task: Task) -> OrientationSpec | None:
    if task.angle_tolerance is None:
        return None
    home = task.arm.chain.frames_at(task.arm.home).end_effector_rotation
    return OrientationSpec(_numbers(quaternion_of(home)), LARGEST_TURN, task.angle_tolerance)


def arm_model(arm: Arm) -> ArmModel:
    """The arm's kinematics and masses, as a policy file has them."""
    chain, bodies, n = arm.chain, arm.bodies, arm.joints
    return ArmModel(
        arm.joint_names,
        rotation=_rows(chain.rotation.reshape(n, 9)),
        translation=_rows(chain.translation),
        axis=_rows(chain.axis),
        mass=_numbers(bodies.mass),
        centre=_rows(bodies.centre),
        inertia=_rows(bodies.inertia.reshape(n, 9)),
        end_effector=_numbers(chain.end_effector_translation),
    )


def gate_states(env: ArmVectorEnv, number: int = GATE_STATES) -> GateStates:
    """States for the export gate, with the observations that the simulator makes of them.

    Positions to the joint limits, velocities to twice and goals to beyond their ranges, memories
    saturated in a quarter of the rows.
    """
    rng = np.random.default_rng(0)
    arm, n, backend = env.arm, env.arm.joints, env.plants[0].backend
    low, high = arm.position_limit.T
    goal_low, goal_high = env.task.goal_bounds()
    margin = 0.3 * (goal_high - goal_low)
    position = rng.uniform(low, high, size=(number, n)).astype(np.float32)
    velocity = (2.0 * arm.velocity_limit * rng.uniform(-1, 1, (number, n))).astype(np.float32)
    wanted = rng.uniform(goal_low - margin, goal_high + margin, (number, len(goal_low)))
    goal = wanted.astype(np.float32)
    if env.task.angle_tolerance is not None:
        goal[:, 3:] /= np.linalg.norm(goal[:, 3:], axis=1, keepdims=True)
    memory = rng.uniform(-1.0, 1.0, (number, env.memory.size)).astype(np.float32)
    memory[::4] = np.sign(memory[::4])
    states, gravity = np.empty((number, 2 * n + 7)), np.empty((number, n))
    for row in range(number):
        gravity[row] = backend.gravity_torque(position[row])
        backend.reset(position[row], velocity[row])
        states[row] = backend.read()
    inputs: dict[str, NDArray[np.float32]] = {
        "joint_position": position,
        "joint_velocity": velocity,
        "goal": goal,
    }
    velocity_of_goal = np.zeros_like(goal)
    if env.task.moving:
        velocity_of_goal = rng.normal(0.0, 0.5, goal.shape).astype(np.float32)
        inputs["goal_velocity"] = velocity_of_goal
    inputs["state"] = memory
    q, v = position.astype(np.float64), velocity.astype(np.float64)
    motion = env.motion(q, v)
    return GateStates(
        inputs,
        env.observe(states, goal, memory, motion, velocity_of_goal),
        answer=lambda actions: env.answer(actions, q, motion, memory),
        gravity=gravity if env.gravity_compensation == "policy" else None,
    )


def _percentiles(values: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    """[n] pairs of [m, n]; a joint that never moved gets a range of its float's resolution."""
    low, high = np.percentile(values.astype(np.float64), PERCENTILES, axis=0)
    return _pairs(np.stack((low, np.maximum(high, low + 1e-9)), axis=1))


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _rows(values: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(row) for row in values)


def _pairs(values: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(low), float(high)) for low, high in values)


def _git_revision() -> str:
    """The source's revision, with `+` where the tree was changed since; `unknown` without git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
