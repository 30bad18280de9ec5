# SPDX-License-Identifier: Apache-2.0
"""Closed-loop evaluation in a simulator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.sim.vector_env import SLOW, SUCCESS_SECONDS, ArmVectorEnv
from sac_ros.training.smoothness import Power, power, root_mean_square

Array = NDArray[np.float64]
Controller = Callable[[NDArray[np.float32], dict[str, Any]], tuple[Array | None, Any]]
"""Takes observations [k, size] and their infos; gives torques [k, n] N·m (None: those of the
actions), and actions [k, n]."""

HELD_OUT_SEED = 1_000_000  # evaluations during training; evaluate_policy's default is 1000
TOLERANCES = (0.05, 0.03, 0.02)  # m
ANGLE_TOLERANCES = tuple(np.deg2rad((10.0, 7.0, 5.0)).tolist())  # rad, of tasks with orientations
APPROACH_SECONDS = 1.0  # of an episode, before its tracking error counts
HOLD_TOLERANCE = 0.02  # m
HOLD_SECONDS = 15.0
ROWS = 25  # arms that are evaluated at once
NEAR_STOP = 0.03  # of a joint's range: closer than this to its end, it leans on its stop


@dataclass(frozen=True)
class Success:
    """The fraction of the episodes that ended, and stayed for 0.5 s, so near the goal and slow.

    Where goals move: of those whose `Tracking` error is so small.
    """

    position_tolerance_m: float
    rate: float
    orientation_tolerance_rad: float | None = None


@dataclass(frozen=True)
class Spread:
    """Median and 95th percentile; None where no episode has a value."""

    median: float | None
    p95: float | None

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of any number of values."""
        if not values:
            return cls(None, None)
        return cls(float(np.median(values)), float(np.percentile(values, 95)))


@dataclass(frozen=True)
class Hold:
    """What the arm does when it is left at its goal after the episode.

    Attributes:
        seconds: s, for how long.
        left_2cm_rate: fraction of the goals that the end effector was not within 2 cm of all the
            time.
        median_joint_speed: rad/s, over goals, joints and time.
    """

    seconds: float
    left_2cm_rate: float
    median_joint_speed: float


@dataclass(frozen=True)
class Tracking:
    """How a moving goal was followed after the first second, over all episodes.

    With e = x − g the error and ġ the goal's velocity, the lag is the L of e ≈ −L ġ that fits
    best: L = −Σ e·ġ / Σ |ġ|².

    Attributes:
        tracking_rms_m: m, √(mean |e|²).
        tracking_lag_s: s; None where no goal moved.
    """

    tracking_rms_m: float
    tracking_lag_s: float | None


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; an episode's error is the distance at its end.

    Rates and fractions are 0 to 1. On the scale of the two smoothness figures that are not in N·m,
    and why it is the torque at action 1, see `sac_ros.training.smoothness`.
    """

    episodes: int
    seed: int
    success: tuple[Success, ...]
    median_error_m: float
    p95_error_m: float
    time_to_goal_s: Spread  # until the end effector stays within 2 cm
    hold: Hold | None
    max_velocity_fraction: float
    joint_stop_rate: float  # of episodes that end with a joint near its stop
    rms_torque_step: float  # N·m, root mean square over joints and steps
    work_j: float  # mean over episodes of Σ |τ · q̇| dt
    mean_return: float
    wall_seconds: float
    rms_torque_step_fraction: float  # the same of torques divided by the torque at action 1
    torque_power_above_10hz: float  # fraction of such torques' power, of all joints and episodes
    overspeed_fraction: float  # of joint samples above the velocity limit
    median_angle_error_rad: float | None = None  # of tasks with orientations
    p95_angle_error_rad: float | None = None
    tracking: Tracking | None = None  # of moving goals

    def success_rate(self, tolerance_m: float) -> float:
        """The success rate within one of `TOLERANCES`."""
        return next(s.rate for s in self.success if s.position_tolerance_m == tolerance_m)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Evaluation:
        """The inverse of `dataclasses.asdict`."""
        hold, tracking = values["hold"], values.get("tracking")
        nested = {
            "success": tuple(Success(**each) for each in values["success"]),
            "time_to_goal_s": Spread(**values["time_to_goal_s"]),
            "hold": None if hold is None else Hold(**hold),
            "tracking": None if tracking is None else Tracking(**tracking),
        }
        return cls(**{**values, **nested})


def evaluate(
    env: ArmVectorEnv,
    controller: Controller,
    *,
    episodes: int,
    seed: int,
    hold_seconds: float = 0.0,
    interrupted: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda _: None,
    keep: list[Episode] | None = None,
) -> Evaluation | None:
    """Runs `episodes` episodes, episode i reset with `seed + i`; None when interrupted.

    Args:
        env: as many episodes run at once as it has arms.
        controller: what moves them.
        episodes: how many.
        seed: of the first.
        hold_seconds: s for which each arm is then left at its goal.
        interrupted: asked at every step.
        progress: gets the number of episodes that are done, once a simulated second; of those
            under way, what their steps make together.
        keep: gets what each episode was like.
    """
    started = time.perf_counter()
    found: list[Episode] = []
    for first in range(0, episodes, env.num_envs):
        seeds = [seed + first + row for row in range(env.num_envs)]
        rows = min(env.num_envs, episodes - first)

        def advanced(share: float, first: int = first, rows: int = rows) -> None:
            progress(first + int(share * rows))

        recorded = _run(env, controller, seeds, rows, hold_seconds, interrupted, advanced)
        if recorded is None:
            return None
        found += recorded
        progress(len(found))
    if keep is not None:
        keep[:] = found
    return summarize(env, found, seed, hold_seconds, time.perf_counter() - started)


def summarize(
    env: ArmVectorEnv,
    found: list[Episode],
    seed: int,
    hold_seconds: float,
    wall_seconds: float,
) -> Evaluation:
    """The figures of episodes that ran in `env`."""
    errors = np.array([each.error for each in found])
    angles = np.array([each.angle for each in found])
    turns = env.task.angle_tolerance is not None
    steps = np.concatenate([np.diff(each.torques, axis=0) for each in found])
    return Evaluation(
        episodes=len(found),
        seed=seed,
        success=tuple(
            Success(
                tolerance,
                float(
                    np.mean(
                        [each.last_error < tolerance and each.last_angle < turn for each in found]
                    )
                ),
                turn if turns else None,
            )
            for tolerance, turn in zip(TOLERANCES, ANGLE_TOLERANCES, strict=True)
        ),
        median_error_m=float(np.median(errors)),
        p95_error_m=float(np.percentile(errors, 95)),
        time_to_goal_s=Spread.of([e.time_to_goal for e in found if e.time_to_goal is not None]),
        hold=_held(found, hold_seconds),
        max_velocity_fraction=max(each.max_velocity_fraction for each in found),
        joint_stop_rate=float(np.mean([each.at_stop for each in found])),
        rms_torque_step=root_mean_square(steps),
        work_j=float(np.mean([each.work for each in found])),
        mean_return=float(np.mean([each.total_reward for each in found])),
        wall_seconds=wall_seconds,
        rms_torque_step_fraction=root_mean_square(steps / env.action_scale),
        torque_power_above_10hz=sum((each.power for each in found), Power()).fraction,
        overspeed_fraction=float(np.mean([each.overspeed for each in found])),
        median_angle_error_rad=float(np.median(angles)) if turns else None,
        p95_angle_error_rad=float(np.percentile(angles, 95)) if turns else None,
        tracking=_tracking(found) if env.task.moving else None,
    )


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode's figures, and the motion without a hold that they are of.

    `last_error`: the largest of the last 0.5 s, infinite if not slow. Where goals move, it is the
    RMS error after the first second. `lag`: Σ e·ġ and Σ |ġ|².
    """

    goals: NDArray[np.float32]  # [steps, 3] m
    positions: NDArray[np.float32]  # [steps, n] rad
    errors: NDArray[np.float32]  # [steps] m
    torques: Array  # [steps, n] N·m

    error: float
    last_error: float
    angle: float
    last_angle: float
    lag: tuple[float, float]
    time_to_goal: float | None
    total_reward: float
    power: Power
    work: float
    overspeed: float
    max_velocity_fraction: float
    at_stop: bool
    hold_error: float
    hold_speed: Array


def _run(
    env: ArmVectorEnv,
    controller: Controller,
    seeds: list[int],
    rows: int,
    hold_seconds: float,
    interrupted: Callable[[], bool],
    advanced: Callable[[float], None],
) -> list[Episode] | None:
    """The first `rows` of the episodes with `seeds`, run at once; None when interrupted."""
    n, rate, length = env.arm.joints, env.control_rate_hz, env.episode_steps
    hold = round(hold_seconds * rate)
    errors, angles = np.empty((2, length + hold, env.num_envs))
    offsets, goal_velocity = np.zeros((2, length + hold, env.num_envs, 3))
    velocity, torques = np.empty((2, length + hold, env.num_envs, n))
    observations, infos = env.reset(seed=seeds)
    positions = np.empty((length, env.num_envs, n), dtype=np.float32)
    goals = np.empty((length, *infos["goal"].shape))
    total = np.zeros(env.num_envs)
    for step in range(length + hold):
        if interrupted():
            return None
        if step % rate == 0:
            advanced(step / (length + hold))
        torque, actions = controller(observations, infos)
        observations, rewards, _, _, infos = env.apply(actions, torque)
        errors[step], torques[step] = infos["distance"], infos["torque"]
        angles[step] = infos["angle"]
        if env.task.moving:
            offsets[step] = infos["true_state"][:, 2 * n : 2 * n + 3] - infos["goal"]
            goal_velocity[step] = infos["goal_velocity"]
        velocity[step] = infos["true_state"][:, n : 2 * n]
        if step < length:
            total += rewards
            positions[step] = infos["true_state"][:, :n]
            goals[step] = infos["goal"]
    position = positions[-1]
    places = env.task.goal_pose(goals)[..., :3].astype(np.float32)
    last = slice(max(0, length - round(SUCCESS_SECONDS * rate)), length)
    low, high = env.arm.position_limit.T
    margin = NEAR_STOP * (high - low)
    at_stop = np.any((position < low + margin) | (position > high - margin), axis=1)
    fraction = np.abs(velocity[:length]) / env.arm.velocity_limit
    if env.task.moving:
        followed = slice(round(APPROACH_SECONDS * rate), length)
        last_error = np.sqrt(np.square(errors[followed]).mean(axis=0))
        along = (offsets * goal_velocity)[followed].sum(axis=(0, 2))
        square = np.square(goal_velocity)[followed].sum(axis=(0, 2))
    else:
        slow = np.abs(velocity[last]).max(axis=(0, 2)) < SLOW
        last_error = np.where(slow, errors[last].max(axis=0), np.inf)
        along = square = np.zeros(env.num_envs)
    return [
        Episode(
            goals=places[:, row].copy(),
            positions=positions[:, row].copy(),
            errors=errors[:length, row].astype(np.float32),
            torques=torques[:length, row].copy(),
            error=float(errors[length - 1, row]),
            last_error=float(last_error[row]),
            angle=float(angles[length - 1, row]),
            last_angle=float(angles[last, row].max()),
            lag=(float(along[row]), float(square[row])),
            time_to_goal=_time_to_goal(errors[:length, row], rate),
            total_reward=float(total[row]),
            power=power(torques[:length, row] / env.action_scale, rate),
            work=float(np.abs(torques[:length, row] * velocity[:length, row]).sum() / rate),
            overspeed=float(np.mean(fraction[:, row] > 1.0)),
            max_velocity_fraction=float(fraction[:, row].max()),
            at_stop=bool(at_stop[row]),
            hold_error=float(errors[length - 1 :, row].max()),
            hold_speed=np.abs(velocity[length:, row]).ravel(),
        )
        for row in range(rows)
    ]


def _tracking(found: list[Episode]) -> Tracking:
    along, square = np.sum([each.lag for each in found], axis=0).tolist()
    rms = root_mean_square(np.array([each.last_error for each in found]))
    return Tracking(rms, -along / square if square > 0.0 else None)


def _time_to_goal(errors: Array, rate: float) -> float | None:
    """s until the error stays within 2 cm; None where it does not."""
    outside = np.flatnonzero(errors >= HOLD_TOLERANCE)
    steps = outside[-1] + 1 if len(outside) else 0
    return (steps + 1) / rate if steps < len(errors) else None


def _held(found: list[Episode], seconds: float) -> Hold | None:
    if seconds <= 0.0:
        return None
    return Hold(
        seconds=seconds,
        left_2cm_rate=float(np.mean([each.hold_error >= HOLD_TOLERANCE for each in found])),
        median_joint_speed=float(np.median(np.concatenate([each.hold_speed for each in found]))),
    )
