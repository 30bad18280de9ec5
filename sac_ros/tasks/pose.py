# SPDX-License-Identifier: Apache-2.0
"""The pose task: bring the end effector to a position and an orientation, and stay there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.kinematics import (
    Frames,
    cross,
    namespace,
    quaternion_of,
    rotation_from_quaternion,
)
from sac_ros.tasks.task import Array, Float32, State, Task, sum_squares

LARGEST_TURN = np.deg2rad(60.0)  # of a goal's orientation from that at home
SPREAD = 1.2  # rad, goals are poses of configurations so far from home
NEAR_ANGLE = 0.4  # rad, the same as `NEAR` for orientations


class PoseTask(Task):
    """Goal: a point x y z, m, and a quaternion qx qy qz qw, in the arm's base frame.

    | observation term | size | |
    |---|---|---|
    | `goal` | 3 | m, in the base frame |
    | `goal_rotation` | 6 | first two columns of its rotation matrix |
    | `goal_offset` | 3 | goal − end effector, m |
    | `rotation_offset` | 6 | `goal_rotation` − the end effector's |
    | `joint_offset` | n | rad, where the joints would have to go, see `Approach.joint_offset` |
    | `rotation_error` | 3 | ½ Σ e_i × g_i over both's axes: sin θ times the axis to turn about |

    Six numbers are continuous in the rotation, a quaternion is not (Zhou et al. 2019).
    """

    name = "pose"
    purpose = "brings the end effector to a position and an orientation, and keeps it there"
    goal_fields = ("x", "y", "z", "qx", "qy", "qz", "qw")
    angle_tolerance = float(np.deg2rad(5.0))
    goal_spread = SPREAD

    def __init__(
        self,
        arm: Arm,
        reward: Mapping[str, float] | None = None,
        memory: Mapping[str, int] | None = None,
        aims: bool = False,
    ) -> None:
        own = {
            "goal": 3,
            "goal_rotation": 6,
            "goal_offset": 3,
            "rotation_offset": 6,
            "rotation_error": 3,
            "joint_offset": arm.joints,
        }
        super().__init__(arm, reward, own, memory, aims)
        self._goal = slice(self.columns("goal").start, self.columns("goal_rotation").stop)
        offset, rotation = self.columns("goal_offset"), self.columns("rotation_offset")
        self._offset = slice(offset.start, rotation.stop)
        self._home_rotation = arm.chain.frames_at(arm.home).end_effector_rotation

    def goal_terms(self, state: State) -> list[Any]:
        frames = self.arm.chain.frames(state.sine, state.cosine)
        end_effector = _six(frames.end_effector_rotation)
        wanted = _six(rotation_from_quaternion(state.goal[..., 3:]))
        offset, turn = state.goal[..., :3] - state.end_effector, _turn(end_effector, wanted)
        return [
            state.goal[..., :3],
            wanted,
            offset,
            wanted - end_effector,
            turn,
            self.approach.joint_offset(state.sine, state.cosine, frames, offset, turn),
        ]

    def errors(self, observation: Any) -> tuple[Any, ...]:
        names = ("goal_offset", "rotation_error")
        return tuple(observation[..., self.columns(name)] for name in names)

    def distance(self, observation: Float32) -> Float32:
        """√(|offset|² + (w χ)²), χ = 2 sin(θ/2) of the angle θ between the orientations."""
        angle = self.weights.angle * _chord(*self._rotations(observation))
        offset = observation[..., self.columns("goal_offset")]
        return np.sqrt(sum_squares(offset) + np.square(angle))

    def goal(self, observation: Float32) -> Float32:
        return observation[..., self._goal]

    def achieved(self, observation: Float32) -> Float32:
        achieved: Float32 = observation[..., self._goal] - observation[..., self._offset]
        return achieved

    def set_goal(self, observation: Float32, goal: Float32) -> None:
        change = goal - observation[..., self._goal]
        observation[..., self._offset] += change
        observation[..., self._goal] = goal
        changed = np.flatnonzero(np.any(change != 0.0, axis=-1)) if change.ndim > 1 else ...
        rows = observation[changed]
        turn = _turn(*self._rotations(rows))
        rows[..., self.columns("rotation_error")] = turn
        offset = rows[..., self.columns("goal_offset")]
        rows[..., self.columns("joint_offset")] = self.observed_joint_offset(rows, offset, turn)
        self.update_aim(rows)
        observation[changed] = rows

    def observed(self, goal: Array) -> Array:
        six = _six(rotation_from_quaternion(goal[..., 3:]))
        return np.concatenate((goal[..., :3], six), axis=-1)

    def recognised(self, observed: Array) -> Array:
        quaternion = quaternion_of(np.stack(_columns(observed[3:]), axis=1))
        return np.append(observed[:3], quaternion)

    def near(self, achieved: Float32, rng: np.random.Generator) -> Float32:
        """Points as for a point, orientations turned by up to `NEAR_ANGLE` about any axis."""
        points = super().near(achieved[:, :3], rng)
        axis = rng.standard_normal((len(achieved), 3), dtype=np.float32)
        angle = np.float32(NEAR_ANGLE) * rng.random((len(achieved), 1), dtype=np.float32)
        axis /= np.sqrt(sum_squares(axis))[:, None]
        turned = [
            # Rodrigues' formula, of a vector v: v + sin · a × v + (1 − cos) · a × (a × v)
            v + np.sin(angle) * cross(axis, v) + (1 - np.cos(angle)) * cross(axis, cross(axis, v))
            for v in (achieved[:, 3:6], achieved[:, 6:9])
        ]
        return np.concatenate((points, *turned), axis=1)

    def goal_at(self, end_effector: Array) -> Array:
        return end_effector

    def angle_error(self, goal: Array, end_effector: Array) -> Array:
        """2 arcsin(χ/2) [...] rad, with χ = 2 sin(θ/2)."""
        wanted = _six(rotation_from_quaternion(goal[..., 3:]))
        found = _six(rotation_from_quaternion(end_effector[..., 3:]))
        return 2.0 * np.arcsin(np.minimum(0.5 * _chord(found, wanted), 1.0))

    def accepts(self, frames: Frames) -> NDArray[np.bool_]:
        """Orientations up to `LARGEST_TURN` from that at home."""
        rotation = frames.end_effector_rotation
        trace = np.einsum("...ij,ij->...", rotation, self._home_rotation)
        accepted: NDArray[np.bool_] = 0.5 * (trace - 1.0) > np.cos(LARGEST_TURN)
        return accepted

    def goal_bounds(self) -> tuple[Array, Array]:
        ones = np.ones(4)
        return np.append(self.arm.goal_low, -ones), np.append(self.arm.goal_high, ones)

    def _rotations(self, observation: Float32) -> tuple[Float32, Float32]:
        """The end effector's and the goal's two columns, [..., 6] each."""
        wanted = observation[..., self.columns("goal_rotation")]
        return wanted - observation[..., self.columns("rotation_offset")], wanted


def _six(rotation: Any) -> Any:
    """The first two columns [..., 6] of rotations [..., 3, 3], one after the other."""
    return namespace(rotation).concatenate((rotation[..., 0], rotation[..., 1]), -1)


def _columns(six: Any) -> tuple[Any, Any, Any]:
    """The three columns, [..., 3] each, of the first two."""
    x, y = six[..., :3], six[..., 3:]
    return x, y, cross(x, y)


def _turn(found: Any, wanted: Any) -> Any:
    """½ Σ e_i × g_i [..., 3] of two columns [..., 6] each: sin θ times the axis to turn about."""
    parts = [cross(e, g) for e, g in zip(_columns(found), _columns(wanted), strict=True)]
    return 0.5 * (parts[0] + parts[1] + parts[2])


def _chord(found: Any, wanted: Any) -> Any:
    """2 sin(θ/2) = ‖E − G‖ / √2 [...] of two columns [..., 6] each, θ the angle between them."""
    squares = [sum_squares(g - e) for e, g in zip(_columns(found), _columns(wanted), strict=True)]
    return np.sqrt(np.maximum(0.5 * (squares[0] + squares[1] + squares[2]), 0.0))
