# SPDX-License-Identifier: Apache-2.0
"""Goals: which ones a policy may follow, and where one is that moves."""

from __future__ import annotations

import numpy as np

from sac_ros.policy.safety_config import Array
from sac_ros.policy.spec import QUATERNION, GoalSpec, OrientationSpec
from sac_ros.utils.errors import GoalError, NonFiniteGoalError

STREAM_TIMEOUT = 0.25
"""s without another goal, after which a moving one has come to rest at its last place."""

FASTEST = 1.0
"""Units a second: two goals that are further apart are another goal, and not a moving one."""

_QUATERNION_SLACK = 0.01  # by which its length may differ from one
_ANGLE_SLACK = 1e-6  # rad


def check_goal(spec: GoalSpec, frame: str, values: Array) -> Array:
    """Return the goal if the policy may follow it.

    Args:
        spec: what the policy was trained on.
        frame: the frame that ``values`` are given in.
        values: [k] in the order of ``spec.fields``.

    Raises:
        NonFiniteGoalError: a value is NaN or Inf.
        GoalError: another frame, other numbers, or outside the trained range.

    A quaternion is brought to length one where it is nearly so.
    """
    if len(values) != len(spec.fields):
        raise GoalError(f"goal must be {', '.join(spec.fields)}; got {len(values)} numbers")
    if not np.isfinite(values).all():
        raise NonFiniteGoalError(f"goal must be finite; got {values.tolist()}")
    if frame != spec.frame:
        raise GoalError(f"goal must be in frame {spec.frame!r}; got frame {frame!r}")
    numbers = None if spec.orientation is None else -len(QUATERNION)  # those with a box
    rows = zip(spec.fields, values, spec.low, spec.high, strict=True)
    for name, value, low, high in list(rows)[:numbers]:
        if not low <= value <= high:
            raise GoalError(
                f"goal {name} must be within {low:g} to {high:g} {spec.unit}, the range of the "
                f"policy's training; got {value:g}"
            )
    return values if spec.orientation is None else _check_orientation(spec.orientation, values)


def _check_orientation(spec: OrientationSpec, values: Array) -> Array:
    quaternion = values[-4:]
    length = float(np.hypot.reduce(quaternion))  # which no finite number overflows
    if abs(length - 1.0) > _QUATERNION_SLACK:
        raise GoalError(
            f"goal orientation must be a unit quaternion x y z w; got {quaternion.tolist()}, "
            f"of length {length:g}"
        )
    turned = 2.0 * np.arccos(min(1.0, abs(float(quaternion @ np.array(spec.reference))) / length))
    if turned > spec.range + _ANGLE_SLACK:
        raise GoalError(
            f"goal orientation must be within {np.rad2deg(spec.range):.0f}° of the quaternion "
            f"{[round(each, 4) for each in spec.reference]}, the range of the policy's training; "
            f"got {quaternion.tolist()}, {np.rad2deg(turned):.0f}° from it"
        )
    return np.concatenate((values[:-4], quaternion / length))


class MovingGoal:
    """A goal that is sent again and again, for a policy that takes its velocity.

    Its velocity is the difference of the last two over that of their stamps. Between two it moves
    on with that velocity, within the trained range, so that the policy sees no stairs; after
    `STREAM_TIMEOUT` it rests at its last place.
    """

    def __init__(self, spec: GoalSpec) -> None:
        self._low, self._high = np.array(spec.low), np.array(spec.high)
        self.forget()

    def forget(self) -> None:
        """Restart: the next goal stands until another one follows."""
        self._came = -np.inf
        self._stamp_ns = 0
        self._place: Array | None = None
        self._velocity = np.zeros(len(self._low))

    def streams(self, now: float) -> bool:
        """Whether the goal has been sent within `STREAM_TIMEOUT`."""
        return now - self._came <= STREAM_TIMEOUT

    def take(self, now: float, place: Array, stamp_ns: int) -> None:
        """Take a goal [k] that came at ``now``, s, with its header's stamp, ns or 0 for none."""
        apart = now - self._came
        if stamp_ns and self._stamp_ns:
            apart = 1e-9 * (stamp_ns - self._stamp_ns)
        self._velocity = np.zeros(len(place))
        if self._place is not None and self.streams(now) and 0.0 < apart <= STREAM_TIMEOUT:
            velocity = (place - self._place) / apart
            if np.linalg.norm(velocity) <= FASTEST:
                self._velocity = velocity
        self._came, self._stamp_ns, self._place = now, stamp_ns, place

    def at(self, now: float) -> tuple[Array, Array]:
        """Return the goal [k] and its velocity [k] per second at ``now``, s."""
        assert self._place is not None
        if not self.streams(now):
            return self._place, np.zeros(len(self._place))
        ahead = self._place + (now - self._came) * self._velocity
        return np.clip(ahead, self._low, self._high), self._velocity
