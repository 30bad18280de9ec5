# SPDX-License-Identifier: Apache-2.0
"""Closed-loop evaluation in the simulator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.runtime import Policy
from sac_ros.sim.env import ArmEnv
from sac_ros.sim.gravity_mode import GRAVITY_MODE
from sac_ros.training.smoothness import Power, power, root_mean_square
from sac_ros.utils.errors import ConfigurationError, PolicyFileError

Array = NDArray[np.float64]
Controller = Callable[[NDArray[np.float32], dict[str, Any]], tuple[Array | None, Any]]
"""Takes an observation and its info; gives a torque [n] N·m (None: from the action), an action."""

HELD_OUT_SEED = 1_000_000  # evaluations during training; evaluate_policy's default is 1000
NEAR_LIMIT = 0.03  # of a joint's range: closer than this to its end, it leans on its stop


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; the distance of an episode is the one at its end.

    Shares are 0 to 1.  On the scale of the two smoothness figures that are not in N·m, and why it
    is the torque at action 1, see `sac_ros.training.smoothness`.
    """

    episodes: int
    seed: int
    success_5cm: float
    success_2cm: float
    median_error_m: float
    p95_error_m: float
    mean_return: float
    rms_torque_step: float  # N·m, root mean square over joints and steps
    rms_torque_step_share: float  # the same of torques divided by the torque at action 1
    torque_power_above_10hz: float  # share of such torques' power, of all joints and episodes
    overspeed_share: float  # of joint samples above the velocity limit
    joint_limit_share: float  # of joint samples at most 3 % of the range from a position limit
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
    distances, returns, torque_steps, overspeed, near_limit = [], [], [], [], []
    torque_power = Power()
    for episode in range(episodes):
        observation, info = env.reset(seed=seed + episode)
        total, torques, speeds, positions = 0.0, [], [], []
        truncated = False
        while not truncated:
            if interrupted():
                return None
            torque, action = controller(observation, info)
            observation, reward, _, truncated, info = env.apply(action, torque)
            total += reward
            torques.append(info["torque"])
            speeds.append(info["joint_velocity"])
            positions.append(info["joint_position"])
        distances.append(info["distance"])
        returns.append(total)
        torque_steps.append(np.diff(torques, axis=0))
        torque_power += power(np.array(torques) / env.arm.action_scale, env.control_rate_hz)
        overspeed.append(np.mean(np.abs(speeds) > env.arm.velocity_limit))
        near_limit.append(np.mean(_near_limit(np.array(positions), env.arm.position_limit)))
    errors, steps = np.array(distances), np.concatenate(torque_steps)
    return Evaluation(
        episodes=episodes,
        seed=seed,
        success_5cm=float(np.mean(errors < 0.05)),
        success_2cm=float(np.mean(errors < 0.02)),
        median_error_m=float(np.median(errors)),
        p95_error_m=float(np.percentile(errors, 95)),
        mean_return=float(np.mean(returns)),
        rms_torque_step=root_mean_square(steps),
        rms_torque_step_share=root_mean_square(steps / env.arm.action_scale),
        torque_power_above_10hz=torque_power.share,
        overspeed_share=float(np.mean(overspeed)),
        joint_limit_share=float(np.mean(near_limit)),
        wall_seconds=time.perf_counter() - started,
    )


def _near_limit(position: Array, limit: Array) -> NDArray[np.bool_]:
    """[t, n] whether positions [t, n] are near, at or beyond the limits [n, 2]; all in rad."""
    low, high = limit.T
    margin = NEAR_LIMIT * (high - low)
    return (position <= low + margin) | (position >= high - margin)


def policy_controller(policy: Policy, env: ArmEnv) -> Controller:
    """The policy file as a controller: raw joint states in, the graph's own torque out."""
    previous = env.encoding.columns("previous_action")

    def control(
        observation: NDArray[np.float32], info: dict[str, Any]
    ) -> tuple[Array | None, Any]:
        torque, action = policy(
            info["joint_position"],
            info["joint_velocity"],
            info["goal"],
            state=observation[previous],
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
            gravity=GRAVITY_MODE[spec.gravity_compensation],
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
