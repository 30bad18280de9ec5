# SPDX-License-Identifier: Apache-2.0
"""The Gymnasium environment: an arm, a task, a control rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import load_arm
from sac_ros.robots.dynamics import gravity_of
from sac_ros.robots.kinematics import chain_of
from sac_ros.sim.arm_signals import ArmSignals
from sac_ros.sim.goal_sampler import PostureSampler
from sac_ros.sim.rendering import Camera
from sac_ros.sim.sim_arm import SimArm
from sac_ros.tasks.observation import ReachEncoding
from sac_ros.tasks.reach import ReachReward, ReachTask
from sac_ros.utils.errors import ConfigurationError

PHYSICS_RATE = 500  # Hz
START_SPREAD = 0.4  # rad, how far from home each joint may start

Observation = NDArray[np.float32]


class ArmEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """A torque-controlled arm that learns to reach; `sac_ros/ArmReach-v0`.

    Action: [n] in −1..1; the torque is `action_scale · a`, held for one control period, and less
    near a joint's velocity limit (see `velocity_barrier`). With gravity `external` the robot adds
    g(q), with `none` the torque holds the g(q) of the posture that was measured: a = 0 stands
    still either way.
    Observation: float32, see `ReachEncoding`.
    Reward: see `ReachTask.reward`.
    An episode never terminates; it is truncated after `episode_seconds`.

    `info` holds `distance` (m), `is_success` (within 5 cm), `joint_position` [n] rad,
    `joint_velocity` [n] rad/s, `goal` [3] m and `torque` [n] N·m, the one
    that was held, within the arm's limits.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  the type that Gymnasium declares
        "render_modes": ["human", "rgb_array"],
        "render_fps": 50,
    }

    success_distance = 0.05  # m

    def __init__(
        self,
        arm: str = "iiwa",
        *,
        control_rate_hz: int = 50,
        episode_seconds: float = 3.0,
        gravity: str = "external",
        reward: Mapping[str, float] | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Makes the environment of one arm, in a Bullet client of its own.

        Args:
            arm: name of the arm, see `config/arms/`.
            control_rate_hz: actions per second; must divide 500 Hz, the physics rate.
            episode_seconds: s until truncation.
            gravity: `external` (the robot adds g(q)) or `none` (the torque must hold it).
            reward: weights of the reward by name, see `ReachReward`; others keep their default.
            render_mode: `human` (Bullet's window), `rgb_array` (no display needed) or None.

        Raises:
            ConfigurationError: an argument that is not in its valid set.
        """
        whole = isinstance(control_rate_hz, int) and control_rate_hz > 0
        if not whole or PHYSICS_RATE % control_rate_hz:
            raise ConfigurationError(
                f"control_rate_hz must divide the physics rate of {PHYSICS_RATE} Hz; "
                f"got {control_rate_hz}"
            )
        if not 1 <= episode_seconds * control_rate_hz < math.inf:
            raise ConfigurationError(
                f"episode_seconds must hold one control period of {1 / control_rate_hz} s or "
                f"more and be finite; got {episode_seconds}"
            )
        weights = [field.name for field in fields(ReachReward)]
        for name in reward or {}:
            if name not in weights:
                raise ConfigurationError(
                    f"reward must have keys among {', '.join(weights)}; got {name!r}"
                )
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            modes = ", ".join(self.metadata["render_modes"])
            raise ConfigurationError(f"render_mode must be one of {modes}; got {render_mode!r}")
        self.arm = load_arm(arm)
        self.control_rate_hz = control_rate_hz
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": control_rate_hz}
        self.substeps = PHYSICS_RATE // control_rate_hz
        self.episode_steps = round(episode_seconds * control_rate_hz)
        self.chain = chain_of(self.arm)
        self.encoding = ReachEncoding.for_arm(self.arm)
        self.task = ReachTask(self.encoding, self.arm.home, ReachReward(**(reward or {})))
        self.sim_arm = SimArm(
            self.arm, gravity=gravity, timestep=1.0 / PHYSICS_RATE, gui=render_mode == "human"
        )
        self.postures = PostureSampler(self.sim_arm, self.chain)
        self.gravity_model = gravity_of(self.arm) if gravity == "none" else None
        """What the torque has to hold up; None where the robot adds g(q) itself."""
        self.signals = ArmSignals(self.arm, self.arm.action_scale, self.gravity_model)

        n = self.arm.joints
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (n,), np.float32)
        self.observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (self.encoding.size,), np.float32
        )
        self._camera = Camera(self.sim_arm) if render_mode == "rgb_array" else None
        self._goal = self.arm.goal_low
        self._action = np.zeros(n, dtype=np.float32)
        self._position = np.zeros(n)
        self._velocity_share = np.zeros(n)
        self._step = 0
        self._observation = np.zeros(self.encoding.size, dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts an episode: at rest, in a posture drawn around home, with a drawn goal.

        Args:
            seed: makes the episode, and those that follow, repeatable.
            options: `goal` [3] m and `joint_position` [n] rad take the place of drawn ones.

        Raises:
            ConfigurationError: an option is unknown, of the wrong length or not finite.
        """
        super().reset(seed=seed)
        given = self._checked(options or {})
        _, tips = self.postures.draw(self.np_random, 1)
        posture = self.postures.draw_near(self.arm.home, START_SPREAD, self.np_random)
        self._goal = given.get("goal", tips[0])
        self.sim_arm.reset(given.get("joint_position", posture))
        self._action = np.zeros_like(self._action)
        self._step = 0
        if self._camera is not None:
            self._camera.show_goal(self._goal)
        self._observation, info = self._observe(np.zeros(self.arm.joints))
        return self._observation, info

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Holds the torque of `action`, clipped to −1..1, for one control period."""
        return self.apply(action)

    def apply(
        self, action: NDArray[np.float32], torque: NDArray[np.float64] | None = None
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Like `step`, but with the torque [n] N·m that a controller computed of its action.

        So a policy file is evaluated with its own scaling, not with this environment's.
        """
        signals = self.signals
        clipped = signals.clipped(action)
        if torque is None:
            held = signals.torque(clipped, self._velocity_share, self._position)
        else:
            held = signals.within_torque(torque)
        self.sim_arm.hold(held.tolist(), self.substeps)
        self._action = clipped
        self._step += 1
        before = self._observation
        self._observation, info = self._observe(held)
        reward = self.task.reward(before, clipped, self._observation)
        truncated = self._step >= self.episode_steps
        return self._observation, float(reward), False, truncated, info

    def torque(
        self,
        action: NDArray[np.float32],
        position: NDArray[np.float64],
        velocity: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The torque [..., n] N·m of actions [..., n], see `ArmSignals.torque`.

        Args:
            action: [..., n], −1..1.
            position: [..., n] rad.
            velocity: [..., n] rad/s.
        """
        return self.signals.torque(action, self.signals.velocity_share(velocity), position)

    def render(self) -> Any:
        """An RGB frame [height, width, 3] uint8 with render mode `rgb_array`."""
        return self._camera.frame() if self._camera is not None else None

    def close(self) -> None:
        """Ends the Bullet client."""
        self.sim_arm.close()

    def _observe(self, torque: NDArray[np.float64]) -> tuple[Observation, dict[str, Any]]:
        position, velocity, tip = self.signals.parts(np.array(self.sim_arm.readings()))
        share = self._velocity_share = self.signals.velocity_share(velocity)
        self._position = position
        observation = self.encoding.encode_scaled(position, share, self._goal, tip, self._action)
        distance = math.dist(self._goal.tolist(), tip.tolist())
        info = {
            "distance": distance,
            "is_success": distance < self.success_distance,
            # Copies: what a user keeps or changes must not be the environment's own.
            "joint_position": position.copy(),
            "joint_velocity": velocity,
            "goal": self._goal.copy(),
            "torque": torque,
        }
        return observation, info

    def _checked(self, options: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
        sizes = {"goal": 3, "joint_position": self.arm.joints}
        given = {}
        for name, value in options.items():
            if name not in sizes:
                raise ConfigurationError(
                    f"options must have keys among {', '.join(sizes)}; got {name!r}"
                )
            given[name] = np.array(value, dtype=np.float64)
            if given[name].shape != (sizes[name],) or not np.all(np.isfinite(given[name])):
                raise ConfigurationError(
                    f"option {name} must be {sizes[name]} finite numbers; got {value!r}"
                )
        return given


gymnasium.register(
    id="sac_ros/ArmReach-v0",
    entry_point="sac_ros.sim.env:ArmEnv",
    vector_entry_point="sac_ros.sim.vector_env:ArmVectorEnv",
)
