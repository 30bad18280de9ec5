# SPDX-License-Identifier: Apache-2.0
"""Several arms that learn to reach, stepped together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sac_ros.sim.env import ArmEnv
from sac_ros.utils.errors import ConfigurationError

Float32 = NDArray[np.float32]

INFO = ("distance", "is_success", "joint_position", "joint_velocity", "goal", "torque")


class ArmVectorEnv(VectorEnv[Float32, Float32, NDArray[Any]]):
    """`num_envs` times `ArmEnv`, faster: one numpy call for all arms where each had its own.

    The motions are those of single environments with the same seeds and actions, bit for bit;
    observations and rewards are theirs up to rounding. Made by
    `gymnasium.make_vec("sac_ros/ArmReach-v0", num_envs=4)`.

    Nothing starts an episode but `reset` (`AutoresetMode.DISABLED`), as the collector wants to say
    where the next one begins. An arm that is stepped on after its time goes on, still truncated.

    `info` holds what `ArmEnv`'s does, with the arms as the first axis, and as a `_name` for each
    name which of the arms it is about, as Gymnasium has it.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  the type that Gymnasium declares
        **ArmEnv.metadata,
        "autoreset_mode": AutoresetMode.DISABLED,
    }

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        """Makes the environments, each with `arguments`: those of `ArmEnv`.

        Raises:
            ConfigurationError: an argument that is not in its valid set.
        """
        if num_envs < 1:
            raise ConfigurationError(f"num_envs must be 1 or more; got {num_envs}")
        self.num_envs = num_envs
        # They begin episodes and hold the arms; what changes from step to step is here.
        self.envs = tuple(ArmEnv(**arguments) for _ in range(num_envs))
        one = self.envs[0]
        self.metadata = {**self.metadata, "render_fps": one.control_rate_hz}
        self.render_mode = one.render_mode
        self.single_action_space = one.action_space
        self.single_observation_space = one.observation_space
        self.action_space = batch_space(one.action_space, num_envs)
        self.observation_space = batch_space(one.observation_space, num_envs)
        self._arms = [env.sim_arm for env in self.envs]
        self._signals, self._encoding, self._task = one.signals, one.encoding, one.task
        self._substeps, self._episode_steps = one.substeps, one.episode_steps
        self._actions_shape = (num_envs, one.arm.joints)
        self._observations = np.zeros((num_envs, one.encoding.size), dtype=np.float32)
        self._positions = np.zeros(self._actions_shape)
        self._velocity_share = np.zeros(self._actions_shape)
        self._goals = np.tile(one.arm.goal_low, (num_envs, 1))
        self._steps = np.zeros(num_envs, dtype=np.int64)
        # Not every step makes them anew; so that nobody changes them, they are read-only.
        everyone = np.ones(num_envs, dtype=bool)
        everyone.flags.writeable = False
        self._about = {f"_{name}": everyone for name in INFO}

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Float32, dict[str, Any]]:
        """Starts an episode of every arm, or of those that the option `reset_mask` chooses.

        Args:
            seed: one for each arm; of a single number the arms get it, the next one and so on.
            options: those of `ArmEnv.reset`, the same for every arm that starts; and
                `reset_mask` [num_envs] bool, which do.

        Returns:
            The observations [num_envs, size] of all arms, also of those that did not start; and
            the info of those that did.

        Raises:
            ConfigurationError: an option is unknown or has no usable value, or there are more or
                fewer seeds than arms.
        """
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,):
            raise ConfigurationError(
                f"option reset_mask must be {self.num_envs} booleans; got {mask.tolist()!r}"
            )
        seeds = self._seeds(seed)
        observations = self._observations.copy()
        infos: dict[str, Any] = {}
        for index in np.flatnonzero(mask).tolist():
            observations[index], info = self.envs[index].reset(seed=seeds[index], options=options)
            infos = self._add_info(infos, info, index)
            self._goals[index] = info["goal"]
            self._positions[index] = info["joint_position"]
            self._velocity_share[index] = 0.0
            self._steps[index] = 0
        self._observations = observations
        return observations.copy(), infos

    def step(
        self, actions: Float32
    ) -> tuple[Float32, Float32, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Holds the torques of `actions` [num_envs, n], clipped to −1..1, for a control period.

        Returns observations [num_envs, size], rewards [num_envs], terminated and truncated
        [num_envs] and the info.
        """
        if np.shape(actions) != self._actions_shape:
            raise ConfigurationError(
                f"actions must have shape {self._actions_shape}; got {np.shape(actions)}"
            )
        signals = self._signals
        clipped = signals.clipped(actions)
        torque = signals.torque(clipped, self._velocity_share, self._positions)
        readings = []
        for arm, forces in zip(self._arms, torque.tolist(), strict=True):
            arm.hold(forces, self._substeps)
            readings += arm.readings()
        position, velocity, tip = signals.parts(np.array(readings).reshape(self.num_envs, -1))
        share = self._velocity_share = signals.velocity_share(velocity)
        self._positions = position
        before = self._observations
        self._observations = self._encoding.encode_scaled(
            position, share, self._goals, tip, clipped
        )
        rewards = self._task.reward(before, clipped, self._observations)
        self._steps += 1
        truncated = self._steps >= self._episode_steps
        # By rows: cheaper than numpy's sum over rows of three.
        distance = np.array([*map(math.dist, self._goals.tolist(), tip.tolist())])
        infos = {
            "distance": distance,
            "is_success": distance < ArmEnv.success_distance,
            "joint_position": position.copy(),
            "joint_velocity": velocity,
            "goal": self._goals.copy(),
            "torque": torque,
            **self._about,
        }
        terminated = np.zeros(self.num_envs, dtype=bool)
        # A copy: what a user does to it must not reach the next reward.
        return self._observations.copy(), rewards, terminated, truncated, infos

    def render(self) -> tuple[Any, ...]:
        """A frame of every arm, see `ArmEnv.render`."""
        return tuple(env.render() for env in self.envs)

    def close_extras(self, **_: Any) -> None:
        """Ends the Bullet clients."""
        for env in self.envs:
            env.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int):
            return [seed + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ConfigurationError(f"seed must be {self.num_envs} numbers; got {len(seed)}")
        return list(seed)
