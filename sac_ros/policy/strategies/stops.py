# SPDX-License-Identifier: Apache-2.0
"""The stops of IEC 60204-1: under power (category 1), and to the safe torque."""

from __future__ import annotations

from sac_ros.policy import guards
from sac_ros.policy.detectors.detector import FilterState
from sac_ros.policy.safety_config import Array
from sac_ros.policy.safety_events import Intervention
from sac_ros.policy.strategies.strategy import Request, Strategy


class Damping(Strategy):
    """The controlled stop, by the last state."""

    def torque(self, state: FilterState, request: Request) -> Array:
        request.acted[Intervention.DAMPING] = ()
        return guards.braking_torque(state.position, state.velocity, state.limits)


class Stopped(Strategy):
    """The safe torque, on top of g(q) while states are fresh; the slew limit makes it a ramp."""

    guarded = False

    def torque(self, state: FilterState, request: Request) -> Array:
        request.acted[Intervention.STOPPED] = ()
        rest = state.limits.safe_torque
        if request.gravity is None or state.blind:
            return rest
        return guards.clamp(request.gravity + rest, state.limits)
