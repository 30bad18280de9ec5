# SPDX-License-Identifier: Apache-2.0
"""Closed-loop evaluation in the simulator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.errors import ConfigurationError, PolicyFileError
from sac_ros.policy.runtime import Policy
from sac_ros.sim.arm_env import ArmEnv

Array = NDArray[np.float64]
Controller = Callable[[NDArray[np.float32], dict[str, Any]], tuple[Array | None, Any]]
"""Takes an observation and its info; gives a torque [n] N·m (None: from the action), an action."""

HELD_OUT_SEED = 1_000_000  # evaluations during training; evaluate_policy's default is 1000


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; the distance of an episode is the one at its end."""

    episodes: int
    seed: int
    success_5cm: float
    success_2cm: float
    median_error_m: float
    p95_error_m: float
    mean_return: float
    rms_torque_step: float  # N·m, root mean square over joints and steps
    overspeed_share: float  # of joint samples above the velocity limit
    wall_seconds: float


def evaluate(
    env: ArmEnv,
    controller: Controller,
    *,
    episodes: int,
    seed: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> Evaluation | None:
    """Runs `episodes` episodes, episode i reset with `seed + i`; None when interrupted."""
    started = time.perf_counter()
    distances, returns, torque_steps, overspeed = [], [], [], []
    for episode in range(episodes):
        observation, info = env.reset(seed=seed + episode)
        total, torques, speeds = 0.0, [], []
        truncated = False
        while not truncated:
            if interrupted():
                return None
            torque, action = controller(observation, info)
            observation, reward, _, truncated, info = env.apply(action, torque)
            total += reward
            torques.append(info["torque"])
            speeds.append(info["joint_velocity"])
        distances.append(info["distance"])
        returns.append(total)
        torque_steps.append(np.diff(torques, axis=0))
        overspeed.append(np.mean(np.abs(speeds) > env.arm.velocity_limit))
    errors = np.array(distances)
    return Evaluation(
        episodes=episodes,
        seed=seed,
        success_5cm=float(np.mean(errors < 0.05)),
        success_2cm=float(np.mean(errors < 0.02)),
        median_error_m=float(np.median(errors)),
        p95_error_m=float(np.percentile(errors, 95)),
        mean_return=float(np.mean(returns)),
        rms_torque_step=_root_mean_square(np.concatenate(torque_steps)),
        overspeed_share=float(np.mean(overspeed)),
        wall_seconds=time.perf_counter() - started,
    )


def _root_mean_square(values: Array) -> float:
    """0 of nothing: an episode of one step has no change of torque."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def policy_controller(policy: Policy, env: ArmEnv) -> Controller:
    """The policy file as a controller: raw joint states in, the graph's own torque out."""
    previous = env.encoding.columns("previous_action")

    def control(
        observation: NDArray[np.float32], info: dict[str, Any]
    ) -> tuple[Array | None, Any]:
        torque, action = policy(
            info["joint_position"], info["joint_velocity"], info["goal"], observation[previous]
        )
        return torque.astype(np.float64), action

    return control


def environment_of(policy: Policy, **arguments: Any) -> ArmEnv:
    """The environment that a policy file was trained for.

    Raises:
        PolicyFileError: its arm is not known here, its joints are not those of that arm, or its
            rate is none that the simulator has.
    """
    spec = policy.spec
    rate = spec.control_rate_hz
    try:
        env = ArmEnv(
            spec.arm,
            control_rate_hz=int(rate) if rate.is_integer() else rate,  # type: ignore[arg-type]
            gravity="external" if spec.gravity == "external" else "none",
            **arguments,
        )
    except ConfigurationError as error:
        # The user gave a file, not an arm or a rate: the sentence must name it.
        raise PolicyFileError(f"policy file {policy.path} cannot be simulated: {error}") from error
    if spec.joint_names != env.arm.joint_names:
        env.close()
        raise PolicyFileError(
            f"policy file {policy.path} is for the joints {', '.join(spec.joint_names)}; "
            f"arm {spec.arm} has {', '.join(env.arm.joint_names)}"
        )
    return env
