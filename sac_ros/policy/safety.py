# SPDX-License-Identifier: Apache-2.0
"""The safety filter: state in, torque in, time in → a torque that may be published.

A pure state machine without ROS and without a clock of its own, so that every sequence of events
can be tested. Of every torque that it returns, this holds: finite, within the limits, within the
slew limit of the torque before, and in *tracking* and *damping* an answer to a state that arrived
no longer ago than the watchdog. `detectors` find what is wrong, and `strategies` do what is done:

    tracking   the policy's torque, through the guards
    damping    a fault, or the end of the activation: a controlled stop (IEC 60204-1, category 1)
    stopped    at rest after that, or states are stale (category 0): ramp to the safe torque

Where the robot does not carry itself, g(q) does while states are fresh: scale, soft start and
guards act on what comes on top of it, as they do on a robot that adds it itself.

Faults latch: only `SafetyFilter.clear_fault` (or a new activation) leads back to tracking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sac_ros.policy import guards
from sac_ros.policy.detectors import limits as over
from sac_ros.policy.detectors import messages, stamps, timeouts
from sac_ros.policy.detectors.detector import (
    Detector,
    FilterState,
    Message,
    MessageDetector,
    Reported,
    StateDetector,
)
from sac_ros.policy.detectors.plausibility import PlausibleStates
from sac_ros.policy.end_effector import Motion
from sac_ros.policy.safety_config import Array, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Intervention, Mode
from sac_ros.policy.schedule import SoftSetting
from sac_ros.policy.strategies.stops import Damping, Stopped
from sac_ros.policy.strategies.strategy import Acted, Request, Strategy, note
from sac_ros.policy.strategies.tracking import Tracking

_NO_END_EFFECTOR_SPEED = (
    10.0  # m/s, the most that the parameter can be; from there it has no limit
)
_STILL_S = 0.1


class SafetyFilter(FilterState):
    """Decides every torque that the policy node publishes.

    Call order for each joint state: `accept` and, if it was accepted, `set_gravity_torque` where
    the command must carry the arm and its g(q) is computed, and `command` with the policy's
    torque; for each refused message and each tick of a timer: `tick`. Times are seconds of one
    steady clock.

    Attributes:
        active: whether commands are published; while not, states are taken but nothing is a fault.
        stopping: whether the controlled stop before the end of the activation has begun.
        problem: why the last joint state was refused; empty where it was not.
        rate: the rate at which states arrive.
        interventions: how often each kind acted since activation.
        refusals: how many messages of each kind were refused since activation.
    """

    def __init__(self, limits: JointLimits, config: SafetyConfig, control_rate_hz: float) -> None:
        super().__init__(limits)
        self._config = config
        self.active = self.stopping = False
        self.problem = ""
        self.interventions: Counter[Intervention] = Counter()
        self._emergency = Reported(Fault.EMERGENCY_STOP)
        self._others = Reported(Fault.OTHER_PUBLISHER)
        self._watchdog, self._goal = timeouts.Watchdog(config), timeouts.GoalTimeout(config)
        self._slow = timeouts.SlowStates(control_rate_hz)
        self._in_a_row = in_a_row = messages.InARow()
        self._plausible, self._bad = PlausibleStates(limits), messages.BadMessages()
        self._for_long = long = over.ForLong(config)
        # In the order in which they check a message and a state, and `clear_fault` asks them.
        self._detectors: tuple[Detector, ...] = (
            *(self._emergency, self._others, self._watchdog, in_a_row, self._goal),
            *(messages.NotFinite(), stamps.Stamps(in_a_row), stamps.StampRate(in_a_row)),
            *(messages.Unreadable(), self._plausible, self._bad, long),
            *(over.OverSpeed(long), over.TipSpeed(long), over.Workspace(long), self._slow),
        )
        self._of_messages = [d for d in self._detectors if isinstance(d, MessageDetector)]
        self._of_states = [d for d in self._detectors if isinstance(d, StateDetector)]
        self.rate, self.refusals = self._slow.rate, in_a_row.refusals
        self._tracking = Tracking(config)
        self._strategies: dict[Mode, Strategy] = {
            Mode.TRACKING: self._tracking,
            Mode.DAMPING: Damping(),
            Mode.STOPPED: Stopped(),
        }
        self._moved_time = -np.inf
        self._gravity: Array | None = None
        self._last, self._last_time = np.zeros(len(limits.torque)), -np.inf
        self._end_effector_speed = SoftSetting(
            config.max_end_effector_speed or _NO_END_EFFECTOR_SPEED
        )
        self._rising = False  # whether that is on its way up

    @property
    def mode(self) -> Mode:
        """What decides the torque now."""
        if not self.faults and not self.stopping:
            return Mode.TRACKING
        still = self.time - self._moved_time >= _STILL_S
        return Mode.STOPPED if self.blind or still else Mode.DAMPING

    @property
    def at_rest(self) -> bool:
        """Whether the last torque is the safe torque."""
        return bool(np.array_equal(self._last, self.limits.safe_torque))

    def is_fresh(self, now: float) -> bool:
        """Return whether the last accepted state is no older than the watchdog."""
        return not self._watchdog.check(now, self)

    # ---- activation, settings ----------------------------------------------------------------

    def activate(self, now: float) -> None:
        """Start a new activation: faults forgotten, except what is reported and still stands."""
        self.active, self.stopping = True, False
        self.faults.clear()
        for detector in self._detectors:
            detector.reset()
        for reported in (self._emergency, self._others):
            self.fault(reported.kind, reported.cause)
        self.interventions.clear()
        self._gravity = None
        self._moved_time = self._last_time = now
        self.blind = not self.is_fresh(now)
        self._tracking.since = None

    def deactivate(self) -> None:
        """End the activation: states are still taken, but nothing is a fault any more."""
        self.active = self.stopping = False
        self.faults.clear()

    def begin_stop(self) -> None:
        """Begin the controlled stop before `deactivate`; nothing leads back from it."""
        self.stopping = True

    def replace_limits(self, limits: JointLimits, control_rate_hz: float) -> None:
        """Take the limits of another policy for the same joints, and soft-start into it.

        Where the new torque limit is below the torque that stands, the slew limit decides how
        fast the torque comes down to it.
        """
        self._take_limits(limits, self.time)
        self._plausible.replace_limits(limits)
        self._slow.control_rate_hz = control_rate_hz
        self._restart()

    def set_torque_scale(self, value: float, now: float) -> None:
        """Change ``torque_scale``, while active too: downwards at once, upwards softly.

            scale(t) = old + (value − old) · min((t − now) / soft_start_s, 1)   where value > old

        The slew limit holds in either case. Swaps and activations leave it as it is.

        Args:
            value: 0..1; the caller has checked the range.
            now: s.
        """
        self._tracking.scale.set(value, now, self._config.soft_start_s)

    def set_max_end_effector_speed(self, value: float, now: float) -> None:
        """Change ``max_end_effector_speed`` likewise; below the present speed it brakes the arm.

        Args:
            value: m/s, 0: no limit; the caller has checked the range.
            now: s.

        Raises:
            ConfigurationError: the policy file has no model of the arm; nothing is changed.
        """
        self.limits.with_max_end_effector_speed(value)
        self._end_effector_speed.set(
            value or _NO_END_EFFECTOR_SPEED, now, self._config.soft_start_s
        )
        self._rising = True
        self._take_limits(self.limits, now)

    def _take_limits(self, limits: JointLimits, now: float) -> None:
        """Take limits, and the end effector's speed limit of ``now``, which may still rise."""
        value = self._end_effector_speed.at(now)
        self.limits = limits.with_max_end_effector_speed(
            value if value < _NO_END_EFFECTOR_SPEED else 0.0
        )
        self._see_end_effector()
        self._for_long.since.pop(Fault.END_EFFECTOR_SPEED, None)

    def _see_end_effector(self) -> None:
        seen = self.limits.bounds_end_effector
        self.motion = Motion.of(self.position, self.velocity, self.limits) if seen else None

    def _restart(self) -> None:
        """Forget what led to a fault, so that tracking starts softly."""
        self._tracking.since = None
        self._for_long.reset()

    # ---- states, goals, calls ----------------------------------------------------------------

    def accept(self, now: float, position: Array, velocity: Array, stamp_ns: int = 0) -> bool:
        """Take one joint state, or refuse it.

        Args:
            now: when it arrived, s.
            position: [n] rad.
            velocity: [n] rad/s.
            stamp_ns: its header stamp; 0 where the driver sets none.

        Returns:
            False when it is not finite, its stamp does not advance, or it cannot be true (see
            `PlausibleStates`): the state before it stays.
        """
        fresh = self._check_watchdog(now)
        refused = self._refused(Message(now, position, velocity, stamp_ns, self.rate.interval_s))
        self.fault(
            Fault.BAD_MESSAGES, self._bad.note(now, bad=refused is not None and refused.bad)
        )
        if refused:
            return False
        self.problem = ""
        self.position[:] = position
        self.velocity[:] = velocity
        self.time, self.blind = now, False
        if self.mode is Mode.TRACKING or not self.standing:
            self._moved_time = now
        if not fresh:
            self.rate.reset()  # the pause has its own fault; it must not make the next states slow
        if self._rising:
            self._rising = self._end_effector_speed.rising(now)
            self._take_limits(self.limits, now)
        else:
            self._see_end_effector()
        for detector in self._of_states:
            if sentence := detector.check(now, self):
                self.fault(detector.kind, sentence)
        return True

    def _refused(self, message: Message) -> MessageDetector | None:
        """Return the detector that refuses a joint state, having counted it."""
        counts = self._in_a_row.counts
        for detector in self._of_messages:
            if reason := detector.judge(message, self):
                if not detector.refuses:
                    self.fault(detector.kind, reason)
                    continue
                if detector.bad:
                    self.problem = reason
                self.refuse(detector.kind, detector.prefix + reason)
                self._check_watchdog(message.now)
                return detector
            counts[detector.kind] = 0
        return None

    def starting_problem(self) -> str:
        """Return why the arm cannot be activated in its last state; empty where it can be."""
        return next(filter(None, (detector.starting(self) for detector in self._of_states)), "")

    def refuse(self, kind: Fault, sentence: str) -> None:
        """Count a refused message; the third of a kind in a row is a fault."""
        self.fault(kind, self._in_a_row.refuse(kind, sentence))

    def refuse_state(self, now: float, sentence: str) -> None:
        """Count a joint state message that cannot be read; a fault at once while active."""
        self.problem = sentence
        self.fault(Fault.BAD_MESSAGES, self._bad.note(now, bad=True))
        self._in_a_row.refuse(Fault.JOINT_STATE, sentence)
        self.fault(Fault.JOINT_STATE, sentence)

    def goal_accepted(self, now: float) -> None:
        """Note a usable goal: refused ones are in no row, and ``goal_timeout_s`` begins again."""
        self._in_a_row.counts[Fault.NON_FINITE_GOAL] = 0
        self._goal.time = now

    def fault(self, kind: Fault, sentence: str) -> None:
        """Latch a fault, unless ``sentence`` is empty; the first sentence of a kind stays.

        Nothing latches while inactive.
        """
        if sentence and self.active:
            self.faults.setdefault(kind, sentence)

    def emergency_stop(self, engaged: bool) -> None:
        """Engage or release the emergency stop; released, its fault still needs clearing."""
        self._emergency.cause = "the emergency stop is engaged" if engaged else ""
        if engaged:
            self.fault(Fault.EMERGENCY_STOP, "the emergency stop was engaged")

    def other_publishers(self, names: Sequence[str]) -> None:
        """Note which other nodes publish commands just now; any is a fault."""
        others = ", ".join(names)
        self._others.cause = others and f"another node commands the robot: {others}"
        self.fault(Fault.OTHER_PUBLISHER, self._others.cause)

    def clear_fault(self, now: float) -> str:
        """Return to tracking through the soft start, unless a cause still stands.

        Returns:
            An empty text when cleared, else one sentence with the cause.
        """
        for detector in self._detectors:
            if cause := detector.standing(now, self):
                return cause
        self.faults.clear()
        if not self.stopping:
            self._moved_time = now
        self._restart()
        return ""

    def _check_watchdog(self, now: float) -> bool:
        """Return whether the last state is fresh; a fault where it is not."""
        stale = self._watchdog.check(now, self)
        self.blind = (
            bool(stale) or self._in_a_row.counts[Fault.IMPLAUSIBLE_STATE] >= messages.IN_A_ROW
        )
        self.fault(Fault.WATCHDOG, stale)
        return not stale

    # ---- torques -----------------------------------------------------------------------------

    def set_gravity_torque(self, gravity: Array) -> None:
        """Note g(q), what holds the arm still where it is now; it stands until the next call.

        Args:
            gravity: [n] N·m; where it is not finite, a fault, and nothing holds the arm.
        """
        if guards.all_finite(gravity):
            self._gravity = guards.clamp(gravity, self.limits)
        else:
            self.fault(Fault.POLICY_OUTPUT, "the policy's gravity torque is not finite")
            self._gravity = None

    def command(self, now: float, torque: Array | None) -> Command:
        """Return the torque that answers the state accepted last.

        Args:
            now: s.
            torque: [n] N·m, the policy's, g(q) included where `set_gravity_torque` was called;
                None while there is no goal.
        """
        self._check_watchdog(now)
        if torque is not None and not guards.all_finite(torque):
            self.fault(Fault.POLICY_OUTPUT, "the policy's torque is not finite")
            torque = None  # even where nothing latches, it must go no further
        if torque is not None and (sentence := self._goal.check(now, self)):
            self.fault(Fault.GOAL_TIMEOUT, sentence)
        # What gave one torque that is not finite does not carry the arm's weight either.
        gravity = None if Fault.POLICY_OUTPUT in self.faults else self._gravity
        request = Request(now, torque, gravity, {})
        strategy = self._strategies[self.mode]
        wanted = strategy.torque(self, request)
        if strategy.guarded:
            margin = self._config.position_margin
            wanted, steps = guards.guarded(
                wanted, gravity, self.position, self.velocity, self.limits, margin, self.motion
            )
            for step in steps:
                note(request.acted, *step)
        return self._publishable(now, wanted, request.acted)

    def tick(self, now: float) -> Command | None:
        """Return the torque that is due without a new state, or None while the last one may stand.

        In *stopped* that is every time, so that the ramp goes on and the topic is never quiet; in
        *damping* too, so that a fault acts at once and not with the next good state.
        """
        self._check_watchdog(now)
        return None if self.mode is Mode.TRACKING else self.command(now, None)

    def rest(self, now: float) -> Command:
        """Return the next torque on the ramp to the safe torque, whatever the mode is."""
        return self._publishable(now, self.limits.safe_torque, {Intervention.STOPPED: ()})

    def final_command(self, now: float) -> Command:
        """Return the safe torque itself, to be published once when nothing else will follow.

        The only torque without a slew limit; after `rest` has come `at_rest` it is no step.
        """
        self._last = self.limits.safe_torque
        self._last_time = max(now, self._last_time)
        return Command(self._last, self.mode, {Intervention.STOPPED: ()})

    def _publishable(self, now: float, wanted: Array, acted: Acted) -> Command:
        """Apply the slew limit and remember the torque as published.

        The elapsed time is capped at the watchdog: a pause must not buy a jump.
        """
        elapsed = min(max(now - self._last_time, 0.0), self._config.watchdog_s)
        torque = guards.limit_slew(wanted, self._last, elapsed, self.limits)
        note(acted, Intervention.SLEW, wanted, torque)
        self._last = torque
        self._last_time = max(now, self._last_time)
        if acted:  # to count nothing takes as long as a guard
            self.interventions.update(acted.keys())
        return Command(torque, self.mode, acted)
