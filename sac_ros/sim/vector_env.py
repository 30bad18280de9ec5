# SPDX-License-Identifier: Apache-2.0
"""The environment: several arms with a task, stepped together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sac_ros.controllers.warm_up import WarmUpController
from sac_ros.robots.arm import Arm, load_arm
from sac_ros.sim.backend import PHYSICS_RATE, make_backend
from sac_ros.sim.goal_sampler import GoalSampler
from sac_ros.sim.plant import Plant
from sac_ros.sim.randomization import Randomization
from sac_ros.tasks.memory import Memory, Motion
from sac_ros.tasks.servo import Servo
from sac_ros.tasks.task import AIM, Path, State, make_task
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

GRAVITY_COMPENSATION = ("robot", "policy")
"""``robot``: the robot adds g(q) to the command; ``policy``: the torque holds g(q)."""

PRIORS = ("none", "computed_torque")
"""What is beneath the policy: ``none``: the torque is the action's, with some damping;
``computed_torque``: actions are joint velocities that the arm's model makes torques of, see
`Servo`, and what is learned is added to the straight way to the goal, see `Approach.aim`."""

INFO = (
    "distance", "angle", "is_success", "joint_position", "joint_velocity", "goal", "goal_velocity",
    "time", "torque", "true_state", "true_observation",
)  # fmt: skip

SUCCESS_DISTANCE = 0.05  # in the goal's unit, of `is_success`
SUCCESS_ANGLE = np.deg2rad(10.0)  # of the orientation, where a goal has one
SUCCESS_SECONDS = 0.5  # for how long the end effector must have been within
SLOW = 0.1  # rad/s, and every joint slower than this

WARM_UP_NOISE = 0.5  # standard deviation, on the aim

_LOWEST, _HIGHEST = np.float32(-1.0), np.float32(1.0)


class ArmVectorEnv(VectorEnv[Float32, Float32, NDArray[Any]]):
    """`num_envs` torque-controlled arms; made by `gymnasium.make_vec("sac_ros/ArmReach-v0")`.

    Action: [n] in −1..1; the torque is `action_scale · a`, held for one control period, and less
    the faster the joint moves (see `damped_torque`). With gravity compensation by the
    `robot` it adds g(q), by the `policy` the torque holds the g(q) of the measured position: a = 0
    stands still either way.
    Observation: float32, as the task has it. Reward: see the task.
    An episode never terminates; it is truncated after `episode_seconds`.

    `info` holds, with the arms as the first axis, `distance` (the task's error, m), `angle` (that
    of the orientation, rad; 0 where the goal has none), `is_success` (within 5 cm and 10° and
    slower than 0.1 rad/s for the last half second), what the policy observes: `joint_position` [n]
    rad, `joint_velocity` [n] rad/s, `goal` and `goal_velocity` [k], `time`, s since the episode's
    begin, `torque` [n] N·m, the one that was held, `true_state` [2n + 7], see `Backend.read`, and
    `true_observation`, the one of perfect sensors, from which the reward is computed; and as a
    `_name` for each name which of the arms it is about, as Gymnasium has it.

    Nothing starts an episode but `reset` (`AutoresetMode.DISABLED`), as the collector decides
    where the next one begins. An arm that is stepped on after its time goes on, still truncated.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  the type that Gymnasium declares
        "render_modes": ["human", "rgb_array"],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.DISABLED,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        arm: str | Arm = "iiwa",
        base_link: str = "",
        tip_link: str = "",
        task: str = "reach",
        backend: str = "bullet",
        control_rate_hz: int = 50,
        episode_seconds: float = 10.0,
        gravity_compensation: str = "robot",
        action_scale_factor: float = 1.0,
        action_history: int = 1,
        observer_rate: float = 0.0,
        prior: str = "none",
        reward: Mapping[str, float] | None = None,
        randomization: Mapping[str, Sequence[float]] | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Makes the arms, each in a world of its own.

        Args:
            num_envs: the number of arms.
            arm: a name in `config/arms/`, a path, or a URDF's text, see `load_arm`.
            base_link: where the arm starts; empty: as in its YAML or its URDF.
            tip_link: the end effector; likewise.
            task: one of `TASKS`.
            backend: one of `BACKENDS`.
            control_rate_hz: actions per second; must divide 500 Hz, the physics rate.
            episode_seconds: s until truncation.
            gravity_compensation: `robot` or `policy`.
            action_scale_factor: factor on the torque at action 1, of the arm and the task.
            action_history: so many of its last actions are observed, see `Memory`.
            observer_rate: 1/s, of the torque that the joints carry, see `Memory`; 0: none.
            prior: one of `PRIORS`.
            reward: weights of the task's reward by name; others keep their default.
            randomization: ranges by name, see `randomization.TERMS`.
            render_mode: `human` (a window), `rgb_array` (no display needed) or None.

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
        if gravity_compensation not in GRAVITY_COMPENSATION:
            raise ConfigurationError(
                f"gravity_compensation must be one of {', '.join(GRAVITY_COMPENSATION)}; "
                f"got {gravity_compensation!r}"
            )
        if prior not in PRIORS:
            raise ConfigurationError(f"prior must be one of {', '.join(PRIORS)}; got {prior!r}")
        if not 0.0 < action_scale_factor < math.inf:
            raise ConfigurationError(
                f"action_scale_factor must be a number above 0; got {action_scale_factor}"
            )
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            modes = ", ".join(self.metadata["render_modes"])
            raise ConfigurationError(f"render_mode must be one of {modes}; got {render_mode!r}")
        if num_envs < 1:
            raise ConfigurationError(f"num_envs must be 1 or more; got {num_envs}")
        self.num_envs = num_envs
        self.arm = arm if isinstance(arm, Arm) else load_arm(arm, base_link, tip_link)
        self.backend = backend
        self.control_rate_hz = control_rate_hz
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": control_rate_hz}
        self.episode_steps = round(episode_seconds * control_rate_hz)
        self.gravity_compensation = gravity_compensation
        aims = prior != "none"
        period, kept = 1.0 / control_rate_hz, (action_history, observer_rate)
        memory = (
            Servo.of(self.arm, period, *kept)
            if aims
            else Memory(self.arm, self.arm.action_scale, period, *kept)
        )
        self.task = make_task(task, self.arm, reward or {}, memory.terms, aims)
        factor = (1.0 if aims else self.task.action_scale_factor) * action_scale_factor
        self.action_scale = np.minimum(memory.action_scale * factor, self.arm.torque_limit)
        if isinstance(memory, Servo):
            memory = dataclasses.replace(memory, follows=self.task.moving)
        self.memory = dataclasses.replace(memory, action_scale=self.action_scale)
        self.randomization = Randomization(self.arm, randomization)
        self._warm_up = WarmUpController(self.arm, self.action_scale)
        carried = gravity_compensation == "policy"
        self.plants = [
            Plant(
                make_backend(backend, self.arm, gravity=carried), PHYSICS_RATE // control_rate_hz
            )
            for _ in range(num_envs)
        ]
        self.samplers = [GoalSampler(plant.backend, self.task) for plant in self.plants]
        self.camera = None
        if render_mode is not None:
            from sac_ros.sim.rendering import Camera  # noqa: PLC0415 - MuJoCo alone draws nothing

            self.camera = Camera(self.arm, window=render_mode == "human")

        n, k = self.arm.joints, len(self.task.goal_fields)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (n,), np.float32)
        self.single_observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (self.task.size,), np.float32
        )
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._observations = np.zeros((num_envs, self.task.size), dtype=np.float32)
        self._truths = self._observations  # the same where the sensors are perfect
        self._state = np.zeros((num_envs, 2 * n + 7))  # what the policy observes
        self._true = np.zeros((num_envs, 2 * n + 7))
        self._goals, self._goal_velocities = np.zeros((2, num_envs, k))
        self._paths: list[Path | None] = [None] * num_envs
        self._memory = np.zeros((num_envs, self.memory.size), dtype=np.float32)
        self._motion = Motion(np.zeros((num_envs, n)))
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._held = np.zeros(num_envs, dtype=np.int64)  # steps in a row at the goal, slow
        self._success_steps = max(1, round(SUCCESS_SECONDS * control_rate_hz))
        # Not every step makes new ones; so that nobody changes them, they are read-only.
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

        An arm starts at rest, in a configuration drawn around home, in a drawn world, with a drawn
        goal.

        Args:
            seed: one for each arm; of a single number the arms get it, the next one and so on.
            options: `goal` [k] and `joint_position` [n] rad take the place of drawn ones;
                `reset_mask` [num_envs] bool; and `randomization_fraction`, 0..1, see
                `Randomization.draw`.

        Raises:
            ConfigurationError: an option is unknown, of the wrong length or not finite.
        """
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, dtype=bool)))
        if mask.dtype != bool or mask.shape != (self.num_envs,):
            raise ConfigurationError(
                f"option reset_mask must be {self.num_envs} booleans; got {mask.tolist()!r}"
            )
        share = float(options.pop("randomization_fraction", 1.0))
        given = self._checked(options)
        for index, one in enumerate(self._seeds(seed)):
            if one is not None and mask[index]:
                self._rngs[index] = np.random.default_rng(one)
        for index in np.flatnonzero(mask).tolist():
            self._begin(index, given, share)
        self._observe(mask)
        info = self._info(np.zeros((self.num_envs, self.arm.joints)))
        about = {f"_{name}": mask.copy() for name in INFO}
        return self._observations.copy(), {**info, **about}

    def step(
        self, actions: Float32
    ) -> tuple[Float32, Float32, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Holds the torques of `actions` [num_envs, n], clipped to −1..1, for a control period.

        Returns observations [num_envs, size], rewards [num_envs], terminated and truncated
        [num_envs] and the info.
        """
        return self.apply(actions)

    def apply(
        self, actions: Float32, torque: Array | None = None
    ) -> tuple[Float32, Float32, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Like `step`, but with torques [num_envs, n] N·m that a controller computed of its own.

        So a policy file is evaluated with its own scaling, not with this environment's.
        """
        if np.shape(actions) != self.action_space.shape:
            raise ConfigurationError(
                f"actions must have shape {self.action_space.shape}; got {np.shape(actions)}"
            )
        wanted = np.asarray(actions, dtype=np.float32)
        clipped = np.minimum(np.maximum(wanted, _LOWEST), _HIGHEST)
        limit, n = self.arm.torque_limit, self.arm.joints
        own, memory = self.answer(clipped, self._state[:, :n], self._motion, self._memory)
        torque = own if torque is None else np.clip(torque, -limit, limit)
        for plant, row in zip(self.plants, torque, strict=True):
            plant.hold(row)
        before, self._memory = self._truths, memory
        self._steps += 1
        self._observe(None)
        rewards = self.task.reward(before, clipped, self._truths)
        info = self._info(torque)
        # `.all` and `.max` of numpy take three times as long over rows of seven.
        fast = np.logical_or.reduce(np.abs(self._true[:, n : 2 * n]) >= SLOW, axis=1)
        self._held += 1
        away = (info["distance"] >= SUCCESS_DISTANCE) | (info["angle"] >= SUCCESS_ANGLE)
        self._held[fast | away] = 0
        info["is_success"] = self._held >= self._success_steps
        truncated = self._steps >= self.episode_steps
        terminated = np.zeros(self.num_envs, dtype=bool)
        # A copy: what a user does to it must not reach the next reward.
        return self._observations.copy(), rewards, terminated, truncated, info

    def torque(self, action: Any, position: Array, velocity: Array) -> Array:
        """The torque [..., n] N·m of actions [..., n] in −1..1, in a measured state [..., n].

        That of the `Memory`, plus g(q) where the robot does not add it; all within the torque
        limits. Nothing is carried.
        """
        nothing = np.zeros((*np.shape(position)[:-1], self.memory.size))
        own = self.memory.torque(action, self.motion(position, velocity), nothing)
        return self._bounded(own, position)

    def answer(
        self, action: Any, position: Array, motion: Motion, memory: Array | Float32
    ) -> tuple[Array, Float32]:
        """The torque with what is carried, and the next memory [..., m].

        Args:
            action: [..., n] in −1..1.
            position: [..., n] rad, as measured.
            motion: as `motion` has it.
            memory: [..., m], the present one.
        """
        own: Array = self.memory.torque(action, motion, memory)
        carried = self.memory.carried(memory, motion)
        after = self.memory.after(memory, action, own, motion, carried)
        return self._bounded(own + carried, position), after.astype(np.float32, copy=False)

    def _bounded(self, torque: Array, position: Array) -> Array:
        """With g(q) where the robot does not add it, within the torque limits."""
        if self.gravity_compensation == "policy":
            torque = torque + self.arm.gravity_torque(position)
        limit = self.arm.torque_limit
        bounded: Array = np.minimum(np.maximum(torque, -limit), limit)
        return bounded

    def warm_up_actions(self, rng: np.random.Generator) -> Float32:
        """Actions [num_envs, n] that lead the arms to their goals, with noise."""
        n = self.arm.joints
        if self.task.aims:
            aim = self._observations[:, self.task.columns(AIM)]
            noise = WARM_UP_NOISE * rng.standard_normal(aim.shape, dtype=np.float32)
            return np.tanh(aim + noise)
        goals = self.task.goal_pose(self._goals)
        position, velocity = self._state[:, :n], self._state[:, n : 2 * n]
        return self._warm_up.actions(goals, position, velocity, rng)

    def render(self) -> tuple[Any, ...] | None:
        """A frame [height, width, 3] uint8 of every arm with `rgb_array`; None for a window."""
        if self.camera is None:
            return None
        frames = [
            self.camera.look(state[: self.arm.joints], self.task.goal_pose(goal)[:3])
            for state, goal in zip(self._true, self._goals, strict=True)
        ]
        return tuple(frames) if self.render_mode == "rgb_array" else None

    def close_extras(self, **_: Any) -> None:
        """Ends the engines."""
        for plant in self.plants:
            plant.backend.close()
        if self.camera is not None:
            self.camera.close()

    @property
    def authority(self) -> Array:
        """[n] N·m, the most that a policy can ask for beside g(q)."""
        return self.memory.authority

    def motion(self, position: Array, velocity: Array) -> Motion:
        """See `Memory.motion`, for positions and velocities [..., n]."""
        frames = self.arm.chain.frames_at(position) if self.memory.needs_frames else None
        return self.memory.motion(frames, velocity)

    def observe(
        self,
        state: Array,
        goals: Any,
        memory: Float32,
        motion: Motion | None = None,
        goal_velocities: Any = None,
    ) -> Float32:
        """Observations [..., size] of states [..., 2n + 7], goals [..., k], memories [..., m].

        And of the `motion` that the policy observes, None for that of the states, and the
        velocities [..., k] of the goals, where they move.
        """
        n = self.arm.joints
        position = state[..., :n].copy()
        if motion is None:
            motion = self.motion(position, state[..., n : 2 * n])
        observed = self.task.observe(
            State(
                np.sin(position),
                np.cos(position),
                state[..., n : 2 * n] / self.arm.velocity_limit,
                goals,
                state[..., 2 * n : 2 * n + 3],
                self.memory.observed(memory, self.memory.carried(memory, motion)),
                goal_velocities,
            )
        )
        return np.asarray(observed, dtype=np.float32)

    def _begin(self, index: int, given: Mapping[str, Array], share: float) -> None:
        rng, sampler = self._rngs[index], self.samplers[index]
        world = self.randomization.draw(rng, share)
        goal = given.get("goal")
        if goal is None:
            goal = self.task.goal_at(sampler.draw(rng, 1)[1][0])
        position = given.get("joint_position")
        if position is None:
            position = sampler.draw_start(rng, self.arm.home, world.start_spread)
        self.plants[index].begin(world, position, rng)
        self._goals[index], self._goal_velocities[index] = goal, 0.0
        if self.task.moving:
            end_effector = np.array(self.plants[index].true_state[-7:])
            self._paths[index] = self.task.path(goal, end_effector, rng)
        self._memory[index] = 0.0
        self._steps[index] = self._held[index] = 0

    def _observe(self, mask: NDArray[np.bool_] | None) -> None:
        """Measures; of the arms in `mask` only, since a measurement draws noise."""
        if mask is None:
            rows = [plant.true_state for plant in self.plants]
            told = [plant.measure() for plant in self.plants]
            self._true = np.array(rows)
            perfect = told == rows
            self._state = self._true.copy() if perfect else np.array(told)
        else:
            for index in np.flatnonzero(mask).tolist():
                self._true[index] = self.plants[index].true_state
                self._state[index] = self.plants[index].measure()
            perfect = bool(np.array_equal(self._true, self._state))
        if self.task.moving:
            self._move_goals()
        n = self.arm.joints
        # A copy of the velocities: numpy is twice as fast over it.
        self._motion = self.motion(self._state[:, :n], self._state[:, n : 2 * n].copy())
        known = self._goals, self._memory, self._motion, self._goal_velocities
        self._observations = self._truths = self.observe(self._state, *known)
        if not perfect:
            self._truths = self.observe(self._true, *known)

    def _move_goals(self) -> None:
        for index, path in enumerate(self._paths):
            if path is not None:
                moved = path(self._steps[index] / self.control_rate_hz)
                self._goals[index], self._goal_velocities[index] = moved

    def _info(self, torque: Array) -> dict[str, Any]:
        n = self.arm.joints
        return {
            "distance": self.task.error(self._goals, self._true[:, 2 * n :]),
            "angle": self.task.angle_error(self._goals, self._true[:, 2 * n :]),
            "is_success": np.zeros(self.num_envs, dtype=bool),
            "joint_position": self._state[:, :n].copy(),
            "joint_velocity": self._state[:, n : 2 * n].copy(),
            "goal": self._goals.copy(),
            "goal_velocity": self._goal_velocities.copy(),
            "time": self._steps / self.control_rate_hz,
            "torque": torque,
            "true_state": self._true.copy(),
            "true_observation": self._truths.copy(),
            **self._about,
        }

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ConfigurationError(f"seed must be {self.num_envs} numbers; got {len(seed)}")
        return list(seed)

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Array]:
        sizes = {"goal": self._goals.shape[1], "joint_position": self.arm.joints}
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
