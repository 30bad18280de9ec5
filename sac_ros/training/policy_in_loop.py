# SPDX-License-Identifier: Apache-2.0
"""A policy file as what moves the arms of a simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.arm import arm_names
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.training.evaluation import ROWS, Array, Controller
from sac_ros.utils.errors import ConfigurationError, PolicyFileError


def policy_controller(policy: Policy, env: ArmVectorEnv) -> Controller:
    """The policy file as a controller: raw joint states in, the graph's own torque out."""
    previous = env.task.columns("previous_action")

    def control(
        observations: NDArray[np.float32], infos: dict[str, Any]
    ) -> tuple[Array | None, Any]:
        torque, action = policy(
            infos["joint_position"],
            infos["joint_velocity"],
            infos["goal"],
            state=observations[:, previous],
        )
        return torque.astype(np.float64), action

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
