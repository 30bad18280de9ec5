# SPDX-License-Identifier: Apache-2.0
"""A policy file as what moves the arms of a simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.controllers.computed_torque import ComputedTorque
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.arm import arm_names
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.evaluation import ROWS, Array, Controller
from sac_ros.utils.errors import ConfigurationError, PolicyFileError

AUTHORITIES = ("policy", "robot")
"""How much torque a controller has that is no policy."""


def policy_controller(policy: Policy, env: ArmVectorEnv) -> Controller:
    """The policy file as a controller: raw joint states in, the graph's own torque out."""
    memory = np.zeros((env.num_envs, policy.state_size), dtype=np.float32)

    def control(_: NDArray[np.float32], infos: dict[str, Any]) -> tuple[Array | None, Any]:
        memory[infos["time"] == 0.0] = 0.0
        answer = policy.answer(
            infos["joint_position"],
            infos["joint_velocity"],
            infos["goal"],
            infos["goal_velocity"],
            memory,
        )
        if answer.next_state is not None:
            memory[:] = answer.next_state
        return answer.torque.astype(np.float64), answer.action

    return control


def computed_torque_controller(
    env: ArmVectorEnv, authority: str = "policy", spec: PolicySpec | None = None
) -> Controller:
    """The textbook controller in the place of a policy: the same measurements, goals and rate.

    Args:
        env: where it runs.
        authority: `policy`: no more torque than the policy can ask for; `robot`: all that the arm
            has.
        spec: of the policy in whose place it is; None: one of the environment's.

    Raises:
        ConfigurationError: no such authority.
    """
    if authority not in AUTHORITIES:
        raise ConfigurationError(
            f"authority must be one of {', '.join(AUTHORITIES)}; got {authority!r}"
        )
    limit = env.arm.torque_limit
    if authority == "policy":
        limit = env.authority if spec is None else np.array(spec.authority)
    controller = ComputedTorque(
        env.arm,
        env.control_rate_hz,
        limit,
        moving=env.task.moving,
        holds_gravity=env.gravity_compensation == "policy",
    )
    memory = np.zeros((env.num_envs, controller.state_size))
    actions = np.zeros((env.num_envs, env.arm.joints), dtype=np.float32)

    def control(_: NDArray[np.float32], infos: dict[str, Any]) -> tuple[Array | None, Any]:
        memory[infos["time"] == 0.0] = 0.0
        torque, memory[:] = controller.torque(
            infos["joint_position"],
            infos["joint_velocity"],
            env.task.goal_pose(infos["goal"]),
            infos["goal_velocity"],
            memory,
        )
        return torque, actions

    return control


def environment_of(policy: Policy, num_envs: int = ROWS, **arguments: Any) -> ArmVectorEnv:
    """The environment that a policy file was trained for.

    Args:
        policy: the file.
        num_envs: arms at once.
        arguments: of `ArmVectorEnv`; they take the place of the file's own.

    Raises:
        PolicyFileError: its arm is not known here, its joints are not those of that arm, or its
            rate is none that the simulator has.
    """
    spec = policy.spec
    rate = spec.control_rate_hz
    own = {
        "arm": spec.arm if spec.arm in arm_names() else _reference(spec),
        "task": spec.task,
        "control_rate_hz": int(rate) if rate.is_integer() else rate,
        "gravity_compensation": spec.gravity_compensation,
    }
    try:
        env = ArmVectorEnv(num_envs, **{**own, **arguments})
    except ConfigurationError as error:
        # The user gave a file, not an arm or a rate: the sentence must name it.
        raise PolicyFileError(
            f"policy file {policy.path} cannot be simulated: {error}; --arm names another"
        ) from error
    if spec.joint_names != env.arm.joint_names:
        env.close()
        raise PolicyFileError(
            f"policy file {policy.path} is for the joints {', '.join(spec.joint_names)}; "
            f"arm {env.arm.name} has {', '.join(env.arm.joint_names)}"
        )
    return env


def _reference(spec: PolicySpec) -> str:
    """Where training found the arm, if that is still there; else the arm's name."""
    reference = str(spec.training.get("arm_reference") or "")
    return reference if Path(reference).is_file() else spec.arm
