# SPDX-License-Identifier: Apache-2.0
"""The end of an activation: brake until the arm stands, ramp to the safe torque, be inactive."""

from __future__ import annotations

from collections.abc import Callable

from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_events import Command, Mode

RAMP_PERIOD_S = 0.002
"""Longest time from one torque of a stop to the next."""

_LONGEST_BRAKING_S = 2.0  # a heavy arm takes half a second
_LONGEST_RAMP_S = 3.0  # ros2 launch sends SIGKILL ten seconds after SIGINT


class ControlledStop:
    """A controlled stop (IEC 60204-1, category 1) after which nothing is commanded any more.

    Where states are stale the filter's ramp takes the place of the brake (category 0). What a
    ramp leaves after its longest time goes in one step: a torque that stands for ever is the
    worse end.
    """

    def __init__(self, safety: SafetyFilter, now: float, *, at_once: bool = False) -> None:
        """Begins at ``now`` s of the steady clock; ``at_once`` leaves out brake and ramp."""
        safety.begin_stop()
        self._safety = safety
        self._began, self._ramp_began = now, now if at_once else None
        self._longest_ramp_s = 0.0 if at_once else _LONGEST_RAMP_S

    def next(self, now: float, brake: Callable[[], Command | None]) -> Command | None:
        """Return the torque that is due; the last one is the safe torque, and ends the activation.

        ``brake`` gives the filter's own torque, which is taken until the arm stands.
        """
        safety = self._safety
        if self._ramp_began is None:
            command = brake()
            if safety.mode is Mode.STOPPED or now - self._began >= _LONGEST_BRAKING_S:
                self._ramp_began = now
            return command
        if not safety.at_rest and now - self._ramp_began < self._longest_ramp_s:
            return safety.rest(now)
        last = safety.final_command(now)
        safety.deactivate()
        return last
