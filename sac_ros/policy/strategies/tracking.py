# SPDX-License-Identifier: Apache-2.0
"""The policy's torque, softly at first."""

from __future__ import annotations

from sac_ros.policy import guards
from sac_ros.policy.detectors.detector import FilterState
from sac_ros.policy.safety_config import Array, SafetyConfig
from sac_ros.policy.safety_events import Intervention
from sac_ros.policy.schedule import SoftSetting
from sac_ros.policy.strategies.strategy import Request, Strategy, note


class Tracking(Strategy):
    """(1 − s) · damping + s · ``torque_scale`` · policy, s from 0 to 1 over ``soft_start_s``.

    Damping alone while there is no goal. ``since`` is when the soft start began; None: not yet.
    """

    def __init__(self, config: SafetyConfig) -> None:
        self._soft_start_s = config.soft_start_s
        self.scale = SoftSetting(config.torque_scale)
        self.since: float | None = None

    def torque(self, state: FilterState, request: Request) -> Array:
        if request.torque is None:
            request.acted[Intervention.NO_GOAL] = ()
            self.since = None
            return guards.braking_torque(state.position, state.velocity, state.limits)
        if self.since is None:
            self.since = request.now
        # Clamped before the blend: an absurd torque must not shorten the soft start.
        clamped = guards.clamp(request.torque, state.limits)
        scaled = note(request.acted, Intervention.CLAMP, request.torque, clamped)
        if request.gravity is not None:
            scaled = scaled - request.gravity
        if (scale := self.scale.at(request.now)) != 1.0:
            scaled = scaled * scale
        elapsed = max(request.now - self.since, 0.0)
        if elapsed >= self._soft_start_s:
            return scaled
        request.acted[Intervention.SOFT_START] = ()
        share = elapsed / self._soft_start_s
        damping = guards.braking_torque(state.position, state.velocity, state.limits)
        return (1.0 - share) * damping + share * scaled
