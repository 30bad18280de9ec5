# SPDX-License-Identifier: Apache-2.0
"""The command guard: what stands between a policy node, which may die, and the robot. No ROS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sac_ros.policy.controlled_stop import RAMP_PERIOD_S, ControlledStop
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import Array, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.policy.schedule import next_tick
from sac_ros.robots.arm import Arm
from sac_ros.utils.settings import setting

_NO_RATE_HZ = 1.0  # the guard has no control rate of its own; the watchdog finds slow states


@dataclass(frozen=True)
class CommandGuardConfig(SafetyConfig):
    """Settings of the command guard; those of the safety filter have wider margins here."""

    command_timeout_s: float = setting(
        0.05,
        "longest time without a command before the guard stops the arm itself",
        above=0.0,
        maximum=0.5,
        unit="s",
    )
    slew_limit: float = setting(
        2000.0,  # twice policy_node's: a command that comes late is followed by one that does not
        "largest torque rate of the strongest joint; weaker joints in proportion to their limits",
        above=0.0,
        maximum=1e5,
        unit="N·m/s",
    )
    soft_start_s: float = setting(
        0.0,
        "time of the blend from the controlled stop to the commands",
        minimum=0.0,
        maximum=60.0,
        unit="s",
    )
    position_margin: float = setting(
        0.02,  # within policy_node's: what it has faded passes as it is
        "distance to a position limit over which the torque towards it fades to zero",
        above=0.0,
        maximum=1.0,
        unit="rad",
    )


class CommandGuard:
    """Forwards commands within the robot's own limits, and stops the arm where they end.

    The first command, with a fresh joint state, begins an activation. It ends, without a fault,
    with a command of the safe torque to an arm that stands, after which no other comes: so ends
    an activation of `policy_node`. Silence after any other command is a fault.

    Attributes:
        safety: the filter that every command goes through.
    """

    def __init__(self, arm: Arm, config: CommandGuardConfig, gravity_compensation: str) -> None:
        self._arm, self._config = arm, config
        self._carries = gravity_compensation == "policy"
        self.safety = SafetyFilter(JointLimits.of(arm, config), config, _NO_RATE_HZ)
        self._commanded = -float("inf")
        self._stop: ControlledStop | None = None

    def command(self, now: float, torque: Array) -> Command | None:
        """Return what to forward for a command [n] N·m, in the arm's joint order.

        None where no joint state has come that the command could be checked by.
        """
        safety = self.safety
        if self._stop:
            return None
        if not safety.active:
            if not safety.is_fresh(now):
                return None
            safety.activate(now)
            self._hold(safety)
        self._commanded = now
        return safety.command(now, torque)

    def begin_stop(self, now: float) -> None:
        """Forward no more: stop the arm, which `state` and `tick` go on with, and be inactive."""
        if self.safety.active and not self._stop:
            self._stop = ControlledStop(self.safety, now)

    def next_tick(self, ticked: float) -> float:
        """Return when `tick` is due after one at ``ticked``, s."""
        config = self._config
        period = RAMP_PERIOD_S if self._stop else config.command_timeout_s / 10.0
        deadlines = (
            self._commanded + config.command_timeout_s,
            self.safety.time + config.watchdog_s,
        )
        return next_tick(ticked, period, *deadlines)

    def refuse_command(self, now: float, sentence: str) -> Command | None:
        """Stop the arm for a command that cannot be read."""
        self.safety.fault(Fault.COMMAND, sentence)
        return self.tick(now)

    def state(
        self, now: float, position: Array, velocity: Array, stamp_ns: int = 0
    ) -> Command | None:
        """Take a joint state; return what it asks for in a stop, None while tracking."""
        safety = self.safety
        if not safety.accept(now, position, velocity, stamp_ns):
            return safety.tick(now) if safety.active else None
        if not safety.active or safety.mode is Mode.TRACKING:
            return None
        self._hold(safety)
        brake = partial(safety.command, now, None)
        return self._stop.next(now, brake) if self._stop else brake()

    def tick(self, now: float) -> Command | None:
        """Return the torque that is due without a message; None while what stands may stand."""
        safety = self.safety
        if not safety.active:
            return None
        if self._stop:
            return self._stop.next(now, partial(safety.tick, now))
        if now - self._commanded > self._config.command_timeout_s:
            if not safety.faults and not safety.stopping and safety.at_rest and safety.standing:
                safety.deactivate()
                return None
            safety.fault(
                Fault.COMMAND,
                f"no command arrived within {self._config.command_timeout_s:g} s",
            )
        return safety.tick(now)

    def clear_fault(self, now: float) -> str:
        """Forward again from the next command on; return why not, empty where it will."""
        if now - self._commanded > self._config.command_timeout_s:
            if self.safety.mode is Mode.TRACKING or not self.safety.active:
                return ""
            if self.safety.mode is not Mode.STOPPED:
                return "the arm has not come to rest"
            self.safety.deactivate()  # the next command is a new start
            return ""
        return self.safety.clear_fault(now)

    def _hold(self, safety: SafetyFilter) -> None:
        if self._carries:
            safety.set_gravity_torque(self._arm.gravity_torque(safety.position))
