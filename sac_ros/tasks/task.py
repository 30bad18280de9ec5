# SPDX-License-Identifier: Apache-2.0
"""What an arm is to do: goal, observation, reward, success, and the tasks by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from inspect import signature
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import Frames, namespace
from sac_ros.tasks.approach import Approach
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

TASKS = {
    "reach": "sac_ros.tasks.reach:ReachTask",
    "pose": "sac_ros.tasks.pose:PoseTask",
    "track": "sac_ros.tasks.track:TrackTask",
}
"""A task is a class in a file of its own, and a line here."""

AIM = "aim"
"""Observation term of tasks that aim, see `Approach.aim`."""
NEAR = 0.08  # m, how far from the end effector a goal "near" it is at most

# Of single precision, as the observations: a Python number is slower in an array's arithmetic.
_ZERO, _FAST, _LIMIT = np.float32(0.0), np.float32(0.8), np.float32(1.0)
_PI, _TURN = np.float32(np.pi), np.float32(2.0 * np.pi)


class State(NamedTuple):
    """What an observation is made of, numpy or torch, n joints and a goal of k numbers.

    Attributes:
        sine, cosine: [..., n] of the joint positions.
        velocity_fraction: [..., n] joint velocities over their limits.
        goal: [..., k].
        end_effector: [..., 3] m, the end effector in the base frame.
        memory: [..., m] what the policy remembers, see `Memory.observed`.
        goal_velocity: [..., k] per second, of moving goals; None for the others.
        frames: of the joints; None where they are still to be computed.
    """

    sine: Any
    cosine: Any
    velocity_fraction: Any
    goal: Any
    end_effector: Any
    memory: Any
    goal_velocity: Any = None
    frames: Frames | None = None


@dataclass(frozen=True)
class RewardWeights:
    """Weights of the reward; see `Task.reward` and each task's `goal_reward`."""

    distance: float = setting(2.0, "weight of the distance to the goal, per m", minimum=0.0)
    closeness: float = setting(6.0, "bonus at the goal itself", minimum=0.0)
    closeness_scale: float = setting(
        0.05, "distance at which the bonus falls to one half", minimum=1e-4, unit="m"
    )
    angle: float = setting(
        0.2,
        "distance that a radian of orientation counts as, in tasks with an orientation",
        minimum=0.0,
        unit="m",
    )
    stillness: float = setting(4.0, "bonus at the goal for joints at rest", minimum=0.0)
    stillness_scale: float = setting(
        0.02,
        "RMS joint velocity, of its limit, at which this bonus falls to one half",
        minimum=1e-4,
    )
    velocity: float = setting(1.4, "weight of the squared, scaled joint velocities", minimum=0.0)
    overspeed: float = setting(
        3.0,
        "weight of the squared excess over 80 % of a velocity limit, linear beyond the limit",
        minimum=0.0,
    )
    configuration: float = setting(
        3.0, "weight of the squared distance of the joints from home", minimum=0.0
    )
    action_change: float = setting(2.0, "weight of the squared change of the action", minimum=0.0)
    action_change_end: float = setting(
        0.0, "what that weight becomes until the middle of a training; 0: it stays", minimum=0.0
    )

    def __post_init__(self) -> None:
        validate(self)


Path = Callable[[float], tuple[Array, Array]]
"""Seconds since its begin to the goal [k] and its velocity [k]."""


class Task(ABC):
    """A goal of k numbers, how it is observed, and what reaching it is worth.

    Rewards and goals are pure functions of observations, over batches [..., size], so that the
    environment, the replay and a test use the same. `observe` runs on numpy arrays in the
    environment and on torch tensors in the exported graph. The observation of every task has

    | observation term | size | |
    |---|---|---|
    | `joint_position_sin` | n | sin q |
    | `joint_position_cos` | n | cos q |
    | `joint_velocity` | n | q̇ over the joint's velocity limit |
    | the task's own | | see there |
    | `aim` | n, where it `aims` | before tanh, see `Approach.aim` |
    | those of its `Memory` | m | |

    A goal as it is observed may be other numbers than the goal: a quaternion is observed as a part
    of its rotation matrix. The replay changes goals as they are observed.
    """

    name: ClassVar[str]
    purpose: ClassVar[str] = "a task without a description"
    """What the arm does, in a phrase; for the model card."""
    goal_fields: ClassVar[tuple[str, ...]]
    goal_unit: ClassVar[str] = "m"
    tolerance: ClassVar[float] = 0.02
    """In the goal's unit: how near counts as reached."""
    angle_tolerance: ClassVar[float | None] = None
    """rad, the same of the orientation; None where a goal has none."""
    moving: ClassVar[bool] = False
    """Whether the goal moves during an episode, along a `path`."""
    action_scale_factor: ClassVar[float] = 1.0
    """On the arm's torque at action 1, which is for goals that stand."""
    goal_spread: ClassVar[float | None] = None
    """rad, goals are drawn from configurations so far from home; None: from all."""

    def __init__(
        self,
        arm: Arm,
        reward: Mapping[str, float] | None,
        terms: Mapping[str, int],
        memory: Mapping[str, int] | None = None,
        aims: bool = False,
    ) -> None:
        """Makes the task for `arm`.

        Args:
            arm: who does it.
            reward: weights by name, see `RewardWeights`; others keep their default.
            terms: names and sizes of the observation's terms that are the task's own, in order.
            memory: the same of what the policy remembers, see `Memory`; None: its last action.
            aims: whether `Approach.aim` is observed.

        Raises:
            ConfigurationError: no such weight, or one that is not in its valid set.
        """
        n = arm.joints
        self.arm = arm
        self.terms = {
            "joint_position_sin": n,
            "joint_position_cos": n,
            "joint_velocity": n,
            **terms,
            **({AIM: n} if aims else {}),
            **(memory or {"previous_action": n}),
        }
        ends = list(accumulate(self.terms.values()))
        self._columns = {
            name: slice(end - size, end)
            for (name, size), end in zip(self.terms.items(), ends, strict=True)
        }
        self.size = ends[-1]
        self.aims = aims
        names = [field.name for field in fields(RewardWeights)]
        for name in reward or {}:
            if name not in names:
                raise ConfigurationError(
                    f"reward must have keys among {', '.join(names)}; got {name!r}"
                )
        self.weights = RewardWeights(**(reward or {}))
        # Single precision, as the observations: numpy would make the rewards double otherwise.
        self._home = arm.home.astype(np.float32)

    @cached_property
    def approach(self) -> Approach:
        """The way to its goals."""
        oriented = self.angle_tolerance is not None
        return Approach(self.arm, self.goal_bounds, self.goal_spread, oriented, self.moving)

    def columns(self, name: str) -> slice:
        """Where the term `name` stands in the observation."""
        return self._columns[name]

    @property
    def aim_columns(self) -> tuple[int, int] | None:
        """First column of `aim` and the one after its last; None where the task does not aim."""
        where = self.columns(AIM) if self.aims else None
        return None if where is None else (where.start, where.stop)

    def observe(self, state: State) -> Any:
        """The observation [..., size]: the terms one after the other."""
        terms = [
            state.sine,
            state.cosine,
            state.velocity_fraction,
            *self.goal_terms(state),
        ]
        xp = namespace(state.sine)
        if self.aims:
            # The errors are read from the terms, as in hindsight.
            errors = self.errors(xp.concatenate(terms, -1))
            frames = state.frames or self.arm.chain.frames(state.sine, state.cosine)
            terms.append(self.approach.aim(state.sine, state.cosine, frames, *errors))
        return xp.concatenate((*terms, state.memory), -1)

    @abstractmethod
    def goal_terms(self, state: State) -> list[Any]:
        """The arrays of the task's own terms, each [..., its size]."""

    def errors(self, observation: Any) -> tuple[Any, ...]:  # noqa: ARG002
        """What leads the end effector to its goal, [..., 3] m and, where it counts, [..., 3] rad.

        In observations [..., at least the task's own terms], numpy or torch; of those that aim.
        """
        raise ConfigurationError(
            f"the task {self.name} must define in `errors` what it aims at, docs/your_task.md"
        )

    def update_aim(self, observation: Float32) -> None:
        """Puts into observations [..., size] where they aim, after their goals have changed."""
        if self.aims:
            sine = observation[..., self.columns("joint_position_sin")]
            cosine = observation[..., self.columns("joint_position_cos")]
            frames = self.arm.chain.frames(sine, cosine)
            aim = self.approach.aim(sine, cosine, frames, *self.errors(observation))
            observation[..., self.columns(AIM)] = aim

    def observed_joint_offset(self, observation: Float32, *errors: Any) -> Any:
        """`Approach.joint_offset` [..., n] in observations [..., size], for other errors."""
        sine = observation[..., self.columns("joint_position_sin")]
        cosine = observation[..., self.columns("joint_position_cos")]
        frames = self.arm.chain.frames(sine, cosine)
        return self.approach.joint_offset(sine, cosine, frames, *errors)

    # ---- reward --------------------------------------------------------------------------------

    def reward(self, observation: Float32, action: Float32, next_observation: Float32) -> Float32:
        """Reward [...] of transitions: observations [..., size], actions [..., n] in −1..1.

        With v the velocities after the step over their limits and Δa the change of action, each
        weight w as in `RewardWeights`:

            r = goal_reward − w_v mean v² − w_o Σ (max(0, |v| − 0.8)² − max(0, |v| − 1)²)
                − ½ w_p mean (q − home)² − w_a mean Δa²,   q − home in −π..π

        Overspeed costs its square up to the limit, and in proportion beyond: an arm that explores
        reaches three times the limit, and the square of that, ten times all other terms together,
        is all that the critics would learn.
        The configuration term chooses among the many configurations that reach a goal; without it
        a redundant arm drifts into its joint limits from goal to goal. Its slope must not fall on
        the way: with 1 − cos, flat at π, a wrist that had turned over stayed at its stop.
        """
        w, after, n = self.weights, next_observation, self.arm.joints
        speed = np.abs(after[..., self.columns("joint_velocity")])
        fast, beyond = np.maximum(speed - _FAST, _ZERO), np.maximum(speed - _LIMIT, _ZERO)
        change = action - observation[..., self.columns("previous_action")]
        sine = after[..., self.columns("joint_position_sin")]
        cosine = after[..., self.columns("joint_position_cos")]
        from_home = (np.arctan2(sine, cosine) - self._home + _PI) % _TURN - _PI
        return (
            self.goal_reward(after)
            - w.velocity * sum_squares(speed) / n
            - w.overspeed * (sum_squares(fast) - sum_squares(beyond))
            - 0.5 * w.configuration * sum_squares(from_home) / n
            - w.action_change * sum_squares(change) / n
        )

    def late_reward(self, previous_action: Float32, action: Float32, progress: float) -> Float32:
        """What [...] is added to `reward` when `progress`, 0..1, of a training has passed.

            −(w_end − w_a) min(2 · progress, 1) mean Δa²

        of actions [..., n]. Much weight on it from the start on is in the way of learning to
        reach at all; without, what was learned in worlds that differ trembles.

        Args:
            previous_action: [..., n].
            action: [..., n].
            progress: of the training.
        """
        more = self.weights.action_change_end - self.weights.action_change
        weight = np.float32(-more * min(1.0, 2.0 * progress) / self.arm.joints)
        return weight * sum_squares(action - previous_action)

    def goal_reward(self, next_observation: Float32) -> Float32:
        """The terms [...] of `reward` that depend on the goal, for next observations.

        Under another goal a reward changes by the change of this, exactly. With d the `distance`
        and u the `unrest`:

            (w_c + w_s / (1 + u / σ_v)) / (1 + d/σ) − w_d d

        Both bonuses have their steepest slope at the goal itself, at rest, so that the last
        millimetres and the last tremble count: without the one for stillness a redundant arm may
        circle in its null space for ever.
        """
        w, d = self.weights, self.distance(next_observation)
        bonus = w.closeness + w.stillness / (
            1.0 + self.unrest(next_observation) / w.stillness_scale
        )
        return bonus / (1.0 + d / w.closeness_scale) - w.distance * d

    @abstractmethod
    def distance(self, observation: Float32) -> Float32:
        """How far [...] the goal is, in m, for observations [..., size]."""

    def unrest(self, observation: Float32) -> Float32:
        """√(mean v²) [...] of the joint velocities over their limits: what is to vanish there."""
        speed = observation[..., self.columns("joint_velocity")]
        return np.sqrt(sum_squares(speed) / self.arm.joints)

    # ---- goals as they are observed ------------------------------------------------------------

    @abstractmethod
    def goal(self, observation: Float32) -> Float32:
        """The observed goals [..., g] in observations [..., size]: a view, not a copy."""

    @abstractmethod
    def achieved(self, observation: Float32) -> Float32:
        """The observed goals [..., g] that observations [..., size] would have reached."""

    @abstractmethod
    def set_goal(self, observation: Float32, goal: Float32) -> None:
        """Writes other observed goals [..., g] into observations [..., size], exactly.

        A row whose goal stays keeps every number.
        """

    def observed(self, goal: Array) -> Array:
        """Goals [..., k] as they are observed, [..., g]."""
        return goal

    def recognised(self, observed: Array) -> Array:
        """The goal [k] that is observed as [g]: the inverse of `observed`."""
        return observed

    def near(self, achieved: Float32, rng: np.random.Generator) -> Float32:
        """Observed goals [B, g] near those [B, g] that were achieved.

        Points in a random direction, uniformly up to `NEAR` away.
        """
        points = np.ascontiguousarray(achieved.T)  # numpy is slow over rows of three numbers
        direction = rng.standard_normal(points.shape, dtype=np.float32)
        distance = np.float32(NEAR) * rng.random(points.shape[1], dtype=np.float32)
        return (points + direction * (distance / np.sqrt(np.square(direction).sum(axis=0)))).T

    # ---- goals ---------------------------------------------------------------------------------

    @abstractmethod
    def goal_at(self, end_effector: Array) -> Array:
        """The goals [..., k] that an end effector at [..., 7] (m, quaternion) has reached."""

    def error(self, goal: Array, end_effector: Array) -> Array:
        """How far [...] the end effector at [..., 7] is from goals [..., k], in `goal_unit`."""
        return np.sqrt(sum_squares(goal[..., :3] - end_effector[..., :3]))

    def angle_error(self, goal: Array, end_effector: Array) -> Array:
        """The same of the orientation, rad; 0 where a goal has none."""
        return np.zeros(np.broadcast_shapes(goal.shape[:-1], end_effector.shape[:-1]))

    def goal_pose(self, goal: Array) -> Array:
        """Where the end effector is at goals [..., k]: [..., 3] m, or [..., 7] with a quaternion.

        For pictures, the warm-up and the textbook controller.
        """
        return goal

    def accepts(self, frames: Frames) -> NDArray[np.bool_]:
        """Which [...] of the end effectors in the goal box may be drawn as goals."""
        return np.ones(frames.end_effector.shape[:-1], dtype=bool)

    def goal_bounds(self) -> tuple[Array, Array]:
        """[k], [k]: lower and upper corner of the goals that are drawn."""
        return self.arm.goal_low, self.arm.goal_high

    def path(
        self,
        goal: Array,
        end_effector: Array,  # noqa: ARG002  of those that move
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Path:
        """How a goal moves in an episode, where it is `moving`.

        Args:
            goal: [k], as it was drawn.
            end_effector: [7], where the arm starts (m, quaternion).
            rng: draws the rest.

        Here it stands.
        """
        return lambda _: (goal, np.zeros_like(goal))


def sum_squares(values: Any) -> Any:
    """Over the last axis: numpy's own sums take two to five times as long over short rows."""
    return np.einsum("...i,...i", values, values)


def make_task(
    name: str,
    arm: Arm,
    reward: Mapping[str, float],
    memory: Mapping[str, int] | None = None,
    aims: bool = False,
) -> Task:
    """The task called `name`, for `arm`.

    Args:
        name: one of `TASKS`.
        arm: who does it.
        reward: weights of the reward by name; others keep their default.
        memory: names and sizes of what the policy remembers; None: its last action.
        aims: whether it observes `Approach.aim`.

    Raises:
        ConfigurationError: no such task, or no such weight, or it does not aim.
    """
    if name not in TASKS:
        raise ConfigurationError(f"task must be one of {', '.join(TASKS)}; got {name!r}")
    module, _, kind = TASKS[name].partition(":")
    task = getattr(import_module(module), kind)
    if aims and "aims" not in signature(task).parameters:  # one of a user's own need not
        raise ConfigurationError(
            f"prior must be none for the task {name}, which does not define where it aims "
            "(`aims` and `errors`, docs/your_task.md); got 'computed_torque'"
        )
    more = {"aims": True} if aims else {}
    made: Task = task(arm, reward, memory, **more)
    return made
