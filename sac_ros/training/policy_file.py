# SPDX-License-Identifier: Apache-2.0
"""From a trained agent to its policy file."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sac_ros
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import GoalSpec, PolicySpec, SelfTest, TrainingRange
from sac_ros.robots.dynamics import GRAVITY
from sac_ros.robots.torque_speed_envelope import WIDTH, ZERO_AT
from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.sim.env import ArmEnv
from sac_ros.training.chain_graph import GravityTorque
from sac_ros.training.config import TrainConfig
from sac_ros.training.evaluation import Evaluation
from sac_ros.training.export import GateStates, export_policy
from sac_ros.training.policy_graph import ReachPolicyGraph

GATE_STATES = 1000
PERCENTILES = (1.0, 99.0)


def write_policy(
    path: Path,
    *,
    actor: SquashedGaussianActor,
    env: ArmEnv,
    config: TrainConfig,
    observations: NDArray[np.float32],
    env_steps: int,
    actor_env_steps: int,
    learning_seconds: float,
    evaluation: Evaluation,
) -> Policy:
    """Exports `actor` to `path` through the export gate.

    Args:
        path: the policy file.
        actor: the trained actor.
        env: the environment that it was trained in.
        config: the run's configuration.
        observations: [m, size] seen in training, for the training range.
        env_steps: length of the training.
        actor_env_steps: those after which `actor` was as it is.
        learning_seconds: s, its duration without evaluations.
        evaluation: how the actor did.

    Raises:
        PolicyFileError: the gate refused.
    """
    arm = env.arm
    graph = ReachPolicyGraph(
        copy.deepcopy(actor).cpu(),
        env.chain,
        velocity_limit=arm.velocity_limit,
        action_scale=arm.action_scale,
        torque_limit=arm.torque_limit,
        velocity_barrier=(ZERO_AT, WIDTH),
        gravity=None if env.gravity_model is None else GravityTorque(env.gravity_model, GRAVITY),
    )
    spec = PolicySpec(
        name=f"{arm.name}_reach",
        arm=arm.name,
        package_version=sac_ros.__version__,
        joint_names=arm.joint_names,
        torque_limit=_numbers(arm.torque_limit),
        position_limit=_pairs(arm.position_limit),
        velocity_limit=_numbers(arm.velocity_limit),
        action_scale=_numbers(arm.action_scale),
        control_rate_hz=float(env.control_rate_hz),
        gravity_compensation="robot" if env.gravity_model is None else "policy",
        task="reach",
        goal=GoalSpec(
            ("x", "y", "z"),
            "m",
            arm.base_link,
            _numbers(arm.goal_low),
            _numbers(arm.goal_high),
            tolerance=0.02,
        ),
        stop_damping=_numbers(arm.action_scale / arm.velocity_limit),
        brake_limit=_numbers(np.minimum(arm.torque_limit, 2.0 * arm.action_scale)),
        observation=env.encoding.terms,
        training_range=_training_range(env, observations),
        training={
            "algorithm": "SAC",
            "hyperparameters": dataclasses.asdict(config.sac),
            "reward": dataclasses.asdict(config.env.reward),
            "relabel_share": config.relabel_share,
            "near_share": config.near_share,
            "seed": config.seed,
            "env_steps": env_steps,
            "actor_env_steps": actor_env_steps,
            "wall_seconds": learning_seconds,
            "urdf_sha256": hashlib.sha256(arm.urdf.read_bytes()).hexdigest(),
            "git_revision": _git_revision(),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        },
        evaluation={
            "episodes": evaluation.episodes,
            "seeds": [evaluation.seed, evaluation.seed + evaluation.episodes - 1],
            "success": [
                {"position_tolerance_m": 0.05, "rate": evaluation.success_5cm},
                {"position_tolerance_m": 0.02, "rate": evaluation.success_2cm},
            ],
            "median_error_m": evaluation.median_error_m,
            "p95_error_m": evaluation.p95_error_m,
            "rms_torque_step": evaluation.rms_torque_step,
            "rms_torque_step_share": evaluation.rms_torque_step_share,
            "torque_power_above_10hz": evaluation.torque_power_above_10hz,
            "overspeed_share": evaluation.overspeed_share,
            "joint_limit_share": evaluation.joint_limit_share,
        },
        self_test=SelfTest({}, (), 1.0),  # the export fills it in
    )
    return export_policy(path, graph, spec, gate_states(env), home=arm.home.tolist())


def gate_states(env: ArmEnv, number: int = GATE_STATES) -> GateStates:
    """States for the export gate, with the observations that the simulator makes of them.

    Positions to the joint limits, velocities to twice and goals to beyond their ranges, actions
    saturated in a quarter of the rows.
    """
    rng = np.random.default_rng(0)
    arm, n = env.arm, env.arm.joints
    low, high = arm.position_limit.T
    margin = 0.3 * (arm.goal_high - arm.goal_low)
    position = rng.uniform(low, high, size=(number, n)).astype(np.float32)
    velocity = (2.0 * arm.velocity_limit * rng.uniform(-1, 1, (number, n))).astype(np.float32)
    reach = rng.uniform(arm.goal_low - margin, arm.goal_high + margin, (number, 3))
    goal = reach.astype(np.float32)
    action = rng.uniform(-1.0, 1.0, (number, n)).astype(np.float32)
    action[::4] = np.sign(action[::4])
    tips, gravity = np.empty((number, 3)), np.empty((number, n))
    for row, posture in enumerate(position):
        env.sim_arm.reset(posture)
        tips[row] = env.sim_arm.tip_position()
        gravity[row] = env.sim_arm.gravity_torque(posture)
    inputs: dict[str, NDArray[np.float32]] = {
        "joint_position": position,
        "joint_velocity": velocity,
        "goal": goal,
        "state": action,
    }
    return GateStates(
        inputs,
        env.encoding.encode(position, velocity, goal, tips, action),
        torque=lambda actions: env.torque(
            actions, position.astype(np.float64), velocity.astype(np.float64)
        ),
        gravity=None if env.gravity_model is None else gravity,
    )


def _training_range(env: ArmEnv, observations: NDArray[np.float32]) -> TrainingRange:
    sine = observations[:, env.encoding.columns("joint_position_sin")]
    cosine = observations[:, env.encoding.columns("joint_position_cos")]
    scaled = observations[:, env.encoding.columns("joint_velocity")]
    position = np.percentile(np.arctan2(sine, cosine), PERCENTILES, axis=0).T
    velocity = np.percentile(scaled * env.arm.velocity_limit, PERCENTILES, axis=0).T
    return TrainingRange(PERCENTILES, _pairs(position), _pairs(velocity))


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


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
