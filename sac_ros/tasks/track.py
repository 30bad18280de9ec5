# SPDX-License-Identifier: Apache-2.0
"""The track task: follow a moving goal point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import like
from sac_ros.tasks.approach import APPROACH_TIME
from sac_ros.tasks.reach import ReachTask
from sac_ros.tasks.servo import PEAK_SPEED
from sac_ros.tasks.task import (
    Array,
    Float32,
    Path,
    State,
    Task,
    sum_squares,
)
from sac_ros.utils.errors import ConfigurationError

FASTEST = 0.8  # m/s, the highest speed of a goal in training
SLOWEST_TURN, FASTEST_TURN = 0.5, 5.0  # rad/s of the paths' sines
RAMP_TIME = 0.5  # s, after which a goal on a path has its speed
_TRIES = 100  # draws of a path that fits in the goal box where the arm is
_POINTS = 480  # of a path
AT_REST = 0.2  # m/s off the goal's velocity, as bad as the whole velocity limit of every joint


class TrackTask(ReachTask):
    """Goal: a point x y z, m, in the arm's base frame, and its velocity, m/s.

    | observation term | size | |
    |---|---|---|
    | `goal` | 3 | m, in the base frame |
    | `goal_offset` | 3 | goal − end effector, m |
    | `goal_velocity` | 3 | m/s |
    | `velocity_offset` | 3 | goal's velocity − end effector's, m/s |
    | `joint_offset` | n | rad, where the joints would have to go, see `Approach.joint_offset` |

    In hindsight a goal is moved, its velocity stays: a path beside the recorded one is as likely.
    """

    name = "track"
    purpose = "follows a goal point that moves, or rests at one that stands"
    moving = True
    action_scale_factor = 2.0  # a goal at 0.5 m/s on a circle is not followed with less

    def __init__(
        self,
        arm: Arm,
        reward: Mapping[str, float] | None = None,
        memory: Mapping[str, int] | None = None,
        aims: bool = False,
    ) -> None:
        names = ("goal", "goal_offset", "goal_velocity", "velocity_offset")
        terms = {**dict.fromkeys(names, 3), "joint_offset": arm.joints}
        Task.__init__(self, arm, reward, terms, memory, aims)
        self._path, self._speed = "random", 0.0

    def goal_terms(self, state: State) -> list[Any]:
        chain = self.arm.chain
        frames = chain.frames(state.sine, state.cosine)
        jacobian = chain.jacobian(frames)[..., :3, :]
        speed = state.velocity_fraction * like(self.arm.velocity_limit, state.velocity_fraction)
        velocity = (jacobian @ speed[..., None])[..., 0]
        goal, offset = super().goal_terms(state)
        missing = state.goal_velocity - velocity
        joint_offset = self.approach.joint_offset(state.sine, state.cosine, frames, offset)
        return [goal, offset, state.goal_velocity, missing, joint_offset]

    def errors(self, observation: Any) -> tuple[Any, ...]:
        """With where the goal will be by then: T = 0.2 s, of the 0.95 that a `Servo` asks for."""
        velocity = observation[..., self.columns("goal_velocity")]
        return (
            observation[..., self.columns("goal_offset")] + APPROACH_TIME / PEAK_SPEED * velocity,
        )

    def set_goal(self, observation: Float32, goal: Float32) -> None:
        changed = np.flatnonzero(np.any(goal != self.goal(observation), axis=-1))
        rows = observation[changed]
        super().set_goal(rows, goal[changed])
        offset = rows[..., self.columns("goal_offset")]
        rows[..., self.columns("joint_offset")] = self.observed_joint_offset(rows, offset)
        observation[changed] = rows

    def unrest(self, observation: Float32) -> Float32:
        """|velocity_offset| [...] over `AT_REST`."""
        return np.sqrt(sum_squares(observation[..., self.columns("velocity_offset")])) / AT_REST

    def follow(self, path: str, speed: float) -> None:
        """Has the goals of later episodes follow one of `PATH_NAMES`, at a speed in m/s.

        Raises:
            ConfigurationError: no such path.
        """
        if path not in PATH_NAMES:
            raise ConfigurationError(f"path must be one of {', '.join(PATH_NAMES)}; got {path!r}")
        self._path, self._speed = path, speed

    def path(self, goal: Array, end_effector: Array, rng: np.random.Generator) -> Path:
        """The path of an episode; those of training are random, and begin anywhere.

        The others begin at rest where the arm is, if they fit in the goal box there, and have
        their speed after `RAMP_TIME`.
        """
        low, high = self.goal_bounds()
        if self._path == "random":
            return _random_path(goal, low, high, rng)
        begin = np.clip(end_effector[:3], low, high)
        if self._path == "way_points":
            return _way_points(np.vstack([begin, rng.uniform(low, high, (9, 3))]), self._speed)
        for _ in range(_TRIES):
            points = begin + CURVES[self._path](rng)
            if np.all((points >= low) & (points <= high)):
                return _along(points, self._speed)
        points = 0.5 * (low + high) + 0.5 * CURVES[self._path](rng)
        return _along(np.clip(points, low, high), self._speed)


def _random_path(goal: Array, low: Array, high: Array, rng: np.random.Generator) -> Path:
    """A smooth path through the goal box that passes near `goal` [3]:

        p(t) = c + ½ Σ_k A_k ∘ sin(ω_k t + φ_k),   k = 1, 2

    with c the goal, pulled inwards so that the amplitudes A_k fit, and slow enough that the speed
    is never above a drawn one, up to `FASTEST`. One in five stands still.
    """
    amplitude = 0.5 * (high - low) * rng.uniform(0.1, 0.6, (2, 3))
    reach = 0.5 * amplitude.sum(axis=0)
    centre = np.clip(goal, low + reach, high - reach)
    turn, phase = rng.uniform(SLOWEST_TURN, FASTEST_TURN, (2, 3)), rng.uniform(0, 7, (2, 3))
    speed = FASTEST * rng.random() * (rng.random() > 0.2)
    turn *= min(1.0, speed / float(np.linalg.norm(0.5 * (amplitude * turn).sum(axis=0))))

    def at(t: float) -> tuple[Array, Array]:
        angle = turn * t + phase
        place = centre + 0.5 * (amplitude * np.sin(angle)).sum(axis=0)
        return place, 0.5 * (amplitude * turn * np.cos(angle)).sum(axis=0)

    return at


def _along(points: Array, speed: float) -> Path:
    """Along a closed curve of points [m, 3] close to each other: `speed` after a soft start."""
    closed = np.vstack([points, points[:1]])
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1)))
    tangent = np.gradient(closed, length, axis=0)
    tangent[[0, -1]] = 0.5 * (tangent[0] + tangent[-1])

    def at(t: float) -> tuple[Array, Array]:
        started = min(t / RAMP_TIME, 1.0)
        way = speed * (t - RAMP_TIME * (started - 0.5 * started**2)) % length[-1]
        place = np.array([np.interp(way, length, column) for column in closed.T])
        ahead = np.array([np.interp(way, length, column) for column in tangent.T])
        return place, speed * started * ahead

    return at


def _way_points(points: Array, speed: float) -> Path:
    """From one of [m, 3] to the next on straight lines, of minimum jerk with `speed` as the peak.

    They begin again after the last.
    """
    ways = np.roll(points, -1, axis=0) - points
    durations = 1.875 * np.linalg.norm(ways, axis=1) / max(speed, 1e-3)
    ends = np.cumsum(durations)

    def at(t: float) -> tuple[Array, Array]:
        t %= ends[-1]
        leg = int(np.searchsorted(ends, t, side="right"))
        u = 1.0 - (ends[leg] - t) / durations[leg]
        place = points[leg] + ways[leg] * u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
        return place, ways[leg] * 30.0 * u**2 * (1.0 - u) ** 2 / durations[leg]

    return at


def _circle(rng: np.random.Generator) -> Array:
    """A circle through the origin, of a radius of 12 to 18 cm, in any plane."""
    angle = np.linspace(0.0, 2.0 * np.pi, _POINTS, endpoint=False)[:, None]
    one, other = _plane(rng)
    circle: Array = rng.uniform(0.12, 0.18) * ((np.cos(angle) - 1.0) * one + np.sin(angle) * other)
    return circle


def _figure_eight(rng: np.random.Generator) -> Array:
    """Gerono's lemniscate through the origin, 30 to 40 cm long, in any plane."""
    angle = np.linspace(0.0, 2.0 * np.pi, _POINTS, endpoint=False)[:, None]
    one, other = _plane(rng)
    size = rng.uniform(0.15, 0.20)
    eight: Array = size * (np.sin(angle) * one + np.sin(angle) * np.cos(angle) * other)
    return eight


def _plane(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two unit vectors at right angles."""
    one, other = rng.standard_normal((2, 3))
    one /= np.linalg.norm(one)
    other -= (one @ other) * one
    return one, other / np.linalg.norm(other)


CURVES: dict[str, Callable[[np.random.Generator], Array]] = {
    "circle": _circle,
    "figure_eight": _figure_eight,
}
"""A path is a function that draws the points [m, 3] m of a closed curve, and a line here."""

PATH_NAMES = ("random", "way_points", *CURVES)
