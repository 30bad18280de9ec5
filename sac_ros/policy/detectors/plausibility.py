# SPDX-License-Identifier: Apache-2.0
"""Whether a joint state can be true, by the arm's limits and by the states before it."""

from __future__ import annotations

from sac_ros.policy.detectors.detector import FilterState, Message, MessageDetector
from sac_ros.policy.safety_config import Array, JointLimits
from sac_ros.policy.safety_events import Fault

BEYOND_POSITION = 0.02  # rad beyond a position limit, by which a mechanical stop may yield
OVER_VELOCITY = 1.5  # times the velocity limit, beyond which positions must confirm a velocity
_CONFIRMED = 0.3  # of the velocity, by which what the position changes by may differ from it
_FASTEST = 4.0  # times the velocity limit, beyond which nothing confirms it
_JUMP = 0.01  # rad, what an encoder may be wrong by
_MEMORY_S = 0.1  # over which positions and velocities are compared
_CONTRADICTION = 0.1  # of the velocity limit, by which the two may differ for that long
_FROZEN_S = 0.05  # of positions that are equal to the last bit
_FROZEN_SPEED = 0.05  # of the velocity limit, at which they cannot be
_LONGEST_STEP_S = 0.05  # between two states that are compared; longer ones are gaps


class PlausibleStates(MessageDetector):
    """Checks one joint state after the other.

    A state is implausible where, for a joint of it,

    - the position is beyond its limit by more than 0.02 rad,
    - |q̇| > 1.5 · limit, and |Δq − q̇ Δt| > 0.3 |q̇| Δt + 0.001 rad: the positions do not confirm it,
    - |Δq| > 4 · limit · Δt + 0.01 rad since the last plausible state,
    - the position has not changed by one bit for 50 ms at 5 % of the limit or more, or
    - |r| > 0.1 · limit · 0.1 s + 0.01 rad, with r ← r (1 − Δt / 0.1 s) + Δq − q̇ Δt: positions
      and velocities contradict each other, as with a wrong sign.
    """

    kind = Fault.IMPLAUSIBLE_STATE
    prefix = "joint states cannot be true: "

    def __init__(self, limits: JointLimits) -> None:
        self.replace_limits(limits)

    def judge(self, message: Message, state: FilterState) -> str:
        position, velocity = message.position, message.velocity
        return self.problem(message.now, message.step_s, message.interval_s, position, velocity)

    def replace_limits(self, limits: JointLimits) -> None:
        """Check by other limits from the next state on, without those before."""
        self._names = limits.joint_names
        self._limits = [
            (low, high, fastest)
            for (low, high), fastest in zip(
                limits.position.tolist(), limits.velocity.tolist(), strict=True
            )
        ]
        self.reset()

    def reset(self) -> None:
        n = len(self._limits)
        self._position: list[float] = []
        self._time = 0.0
        self._skipped = False  # whether the state before was refused, and is not what stands here
        self._changed = [0.0] * n
        self._residual = [0.0] * n

    def problem(
        self, now: float, step: float, interval: float, position: Array, velocity: Array
    ) -> str:
        """Return why a state cannot be true, in one sentence; empty where it can be.

        Args:
            now: when it arrived, s.
            step: s since the state before it; 0: unknown.
            interval: s, the usual time from one arrival to the next; 0: unknown.
            position: [n] rad.
            velocity: [n] rad/s.
        """
        # Plain numbers: over seven joints this takes a quarter of numpy's time.
        q, v = position.tolist(), velocity.tolist()
        if self._skipped:  # what is compared is further back than the last message
            step = now - self._time
        self._skipped = True
        for joint, (low, high, fastest) in enumerate(self._limits):
            if not low - BEYOND_POSITION <= q[joint] <= high + BEYOND_POSITION:
                return self._sentence(joint, f"is at {q[joint]:g} rad, beyond its limit")
            if abs(v[joint]) > OVER_VELOCITY * fastest and not self._confirms(
                joint, q[joint], v[joint], step or interval
            ):
                return self._sentence(
                    joint,
                    f"has a velocity of {v[joint]:g} rad/s, its limit is {fastest:g} rad/s",
                )
        if not self._position:
            self._changed = [now] * len(q)
        else:
            longest = _FASTEST * max(now - self._time, interval, step)
            for joint, (before, (_, _, fastest)) in enumerate(
                zip(self._position, self._limits, strict=True)
            ):
                if abs(q[joint] - before) > longest * fastest + _JUMP:
                    return self._sentence(joint, f"jumps from {before:g} to {q[joint]:g} rad")
        problem = self._contradiction(now, step, q, v) if self._position else ""
        self._position, self._time, self._skipped = q, now, False
        return problem

    def _confirms(self, joint: int, position: float, velocity: float, step: float) -> bool:
        if not self._position or abs(velocity) > _FASTEST * self._limits[joint][2]:
            return False
        change = position - self._position[joint]
        return abs(change - velocity * step) <= _CONFIRMED * abs(velocity) * step + 0.001

    def _contradiction(self, now: float, step: float, q: list[float], v: list[float]) -> str:
        compared = 0.0 < step <= _LONGEST_STEP_S
        problem = ""
        for joint, (_, _, fastest) in enumerate(self._limits):
            change = q[joint] - self._position[joint]
            if change or abs(v[joint]) < _FROZEN_SPEED * fastest:
                self._changed[joint] = now
            elif now - self._changed[joint] > _FROZEN_S:
                problem = self._sentence(
                    joint, f"stands at {q[joint]:g} rad with a velocity of {v[joint]:g} rad/s"
                )
            if compared:
                kept = (1.0 - step / _MEMORY_S) * self._residual[joint]
                self._residual[joint] = kept + change - v[joint] * step
            if abs(self._residual[joint]) > _CONTRADICTION * _MEMORY_S * fastest + _JUMP:
                problem = self._sentence(
                    joint,
                    f"has a velocity of {v[joint]:g} rad/s that its positions contradict",
                )
        return problem

    def _sentence(self, joint: int, what: str) -> str:
        return f"joint {self._names[joint]} {what}"
