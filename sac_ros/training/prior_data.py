# SPDX-License-Identifier: Apache-2.0
"""Transitions from recordings, which a training learns from beside its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Spool
from sac_ros.bags.discovery import parse_mapping
from sac_ros.bags.recording import ReadingOptions
from sac_ros.bags.torques import Torques, read_torques
from sac_ros.robots.kinematics import quaternion_of
from sac_ros.sim.vector_env import ArmVectorEnv
from sac_ros.tasks.memory import Motion
from sac_ros.utils.errors import BagError, ConfigurationError

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

EPISODE_S = 5.0  # s, of a recording, after which the next goal counts
STANDS_FOR = 0.05  # of the torque at action 1: so near must an action come to what was recorded
FASTEST = 1.1  # of a velocity limit: what is faster teaches nothing that an arm may do
_SLOWER = 1.5  # times the control period, the longest between states


@dataclass(eq=False)
class PriorData:
    """Transitions as `ReplaySampler` draws them; for those of a replay, see `ReplayBuffer`."""

    observation: Float32
    action: Float32
    reward: Float32
    next_observation: Float32
    terminated: Float32
    ended: Float32
    env_steps: int = field(init=False)

    def __post_init__(self) -> None:
        self.env_steps = self.size

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.reward)


def read_prior_data(
    paths: Sequence[Path],
    env: ArmVectorEnv,
    say: Callable[[str], object] = print,
    joints: str = "",
) -> PriorData:
    """What recordings of an arm hold for a training of it, at its control rate.

    A recorded torque is that of the action which the policy would have needed for it: that of
    `Memory.action_of`, with what it would have remembered by then. Where no action comes near, it
    asked for more than a policy can, and the step is left out. So is one in which a joint is
    faster than it may be: much of that costs a training more than it adds. A recording
    has no goals: the goal is where the end effector is after every five seconds, and most are
    changed in hindsight. Worlds are taken to be as described: the true state is that which was
    measured.

    Args:
        paths: the bags.
        env: arm, task and memory.
        say: is called with what was found.
        joints: `ARM=BAG,...` pairs of joint names where they differ.

    Raises:
        BagError: a bag is of another arm, has no torques, or its states come too seldom.
        ConfigurationError: goals move, or nothing is left.
    """
    if env.task.moving:
        raise ConfigurationError(
            f"prior_data must be empty for the task {env.task.name}, whose goals move; got "
            f"{', '.join(map(str, paths))}"
        )
    arm, found, lost = env.arm, [], 0
    reading = ReadingOptions(mapping=parse_mapping([joints], "prior_data_joints"))
    for path in paths:
        torques = read_torques(
            [path],
            arm.name,
            arm.joint_names,
            reading,
            "",
            Spool(),
            pairing="prior_data_joints",
        )
        if not len(torques.time_s):
            raise BagError(
                f"bag {path} must have torques for prior_data; {torques.topic} has none"
            )
        slowest = _SLOWER / env.control_rate_hz
        if torques.states.period_s > slowest:
            raise BagError(
                f"bag {path} must have a joint state every {slowest:g} s for prior_data at "
                f"{env.control_rate_hz} Hz; {torques.state_topic} has one every "
                f"{torques.states.period_s:.3g} s"
            )
        for part in np.unique(torques.states.segment):
            made, left_out = _transitions(torques, torques.states.segment == part, env)
            found += [made] if made is not None else []
            lost += left_out
    if not found:
        raise ConfigurationError(
            f"prior_data must hold steps that the policy's actions could make; of {lost:,} in "
            f"{', '.join(map(str, paths))} it has none: their torques are beyond those of "
            f"action 1, {', '.join(f'{each:.3g}' for each in env.action_scale)} N·m, or their "
            "velocities beyond the joints' limits"
        )
    joined = {
        name: np.concatenate([getattr(each, name) for each in found])
        for name in ("observation", "action", "reward", "next_observation", "terminated", "ended")
    }
    data = PriorData(**joined)
    say(
        f"prior_data: {data.size:,} steps, {data.size / env.control_rate_hz:.0f} s, of "
        f"{len(paths)} bags; {lost:,} left out, beyond what a policy can ask for or joints may do"
    )
    return data


def _transitions(
    torques: Torques, rows: NDArray[np.bool_], env: ArmVectorEnv
) -> tuple[PriorData | None, int]:
    """Those of one part without a gap, and how many steps of it were left out."""
    states, period = torques.states, 1.0 / env.control_rate_hz
    time = states.time_s[rows]
    grid = np.arange(time[0], time[-1], period)
    if len(grid) < 2:
        return None, 0
    position, velocity = (
        np.stack([np.interp(grid, time, column) for column in values[rows].T], axis=-1)
        for values in (states.position, states.velocity)
    )
    # The torque in the middle of a period, of the last command by then.
    last = np.searchsorted(torques.time_s, grid + 0.5 * period, side="right") - 1
    age = grid + 0.5 * period - torques.time_s[last.clip(0)]
    known = (last >= 0) & (age <= 2.0 * max(period, states.period_s))
    torque = torques.torque[last.clip(0)]
    if env.gravity_compensation == "policy":
        torque = torque - env.arm.gravity_torque(position)
    motion = env.motion(position, velocity)
    actions, memories, fits = _actions(torque, known, motion, env)

    frames = env.arm.chain.frames_at(position)
    turned = np.array([quaternion_of(each) for each in frames.end_effector_rotation])
    state = np.concatenate([position, velocity, frames.end_effector, turned], axis=-1)
    length = round(EPISODE_S / period)
    end = np.minimum((np.arange(len(grid) - 1) // length + 1) * length, len(grid) - 1)
    goals = env.task.goal_at(state[end, -7:])
    before, after = slice(None, -1), slice(1, None)
    observation = env.observe(state[before], goals, memories[before], _part(motion, before))
    following = env.observe(state[after], goals, memories[after], _part(motion, after))
    reward = env.task.reward(observation, actions[before], following)
    slow = (np.abs(velocity) <= FASTEST * env.arm.velocity_limit).all(axis=-1)
    kept = fits[before] & slow[before] & slow[after]
    if not kept.any():
        return None, len(kept)
    ended = end == np.arange(1, len(grid))
    ended[:-1] |= ~kept[1:]
    ended[-1] = True
    wide = bool(env.randomization.ranges)  # with the true observation behind
    observation, following = (
        np.concatenate([each, each], axis=-1) if wide else each
        for each in (observation, following)
    )
    columns = (observation, actions[before], reward, following, np.zeros(len(kept)), ended)
    made = PriorData(*(np.ascontiguousarray(each[kept], dtype=np.float32) for each in columns))
    return made, int((~kept).sum())


def _actions(
    torque: Array, known: NDArray[np.bool_], motion: Motion, env: ArmVectorEnv
) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    """Actions [k, n], the memories [k, m] before them, and which [k] make the torques [k, n]."""
    steps, memory = len(torque), env.memory
    actions = np.zeros(torque.shape, dtype=np.float32)
    memories = np.zeros((steps, memory.size), dtype=np.float32)
    fits = np.zeros(steps, dtype=bool)
    for step in range(steps):
        now, remembered = _part(motion, step), memories[step]
        if known[step]:
            carried = memory.carried(remembered, now)
            actions[step] = memory.action_of(torque[step] - carried, now, remembered)
            own = memory.torque(actions[step], now, remembered)
            missed = np.abs(own + carried - torque[step])
            fits[step] = (missed <= STANDS_FOR * env.action_scale).all()
            if step + 1 < steps:
                memories[step + 1] = memory.after(remembered, actions[step], own, now, carried)
    return actions, memories, fits


def _part(motion: Motion, which: Any) -> Motion:
    return Motion(*(None if each is None else each[which] for each in motion))
