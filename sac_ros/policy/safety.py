# SPDX-License-Identifier: Apache-2.0
"""The safety filter: state in, torque in, time in → a torque that may be published.

A pure state machine without ROS and without a clock of its own, so that every sequence of events
can be tested. Of every torque that it returns, this holds: finite, within the limits, within the
slew limit of the torque before, and in *tracking* and *damping* an answer to a state that arrived
no longer ago than the watchdog.

    tracking   the policy's torque, through the guards
    damping    a fault, or the end of the activation: a controlled stop (IEC 60204-1, category 1)
    stopped    at rest after that, or states are stale (category 0): ramp to the safe torque

Where the robot does not carry itself, g(q) does while states are fresh: scale, soft start and
guards act on what comes on top of it, as they do on a robot that adds it itself.

Faults latch: only `SafetyFilter.clear_fault` (or a new activation) leads back to tracking.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from sac_ros.policy import guards
from sac_ros.policy.detectors.plausibility import OVER_VELOCITY, PlausibleStates
from sac_ros.policy.end_effector import CREEP, OUTSIDE, OVER_TIP_SPEED, Motion
from sac_ros.policy.safety_config import Array, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Intervention, Mode
from sac_ros.policy.schedule import ArrivalRate, SoftSetting, StampRate

IN_A_ROW = 3
"""Refused messages of one kind in a row that make a fault."""

SLOW_WARNING = 0.8
"""Share of the control rate below which the states' rate deserves a warning."""

SLOW_FAULT = 0.5
"""Share of the control rate below which the policy cannot be trusted any more."""

BAD_FRACTION = 0.2
"""Share of refused joint states in a second above which the rest is not believed either."""

SLOW_START = 0.05
"""Share of the velocity limit above which an arm is not activated."""

_OVER = {
    Fault.OVER_SPEED: "a joint is over its velocity limit",
    Fault.TIP_SPEED: "the end effector is over max_tip_speed",
    Fault.WORKSPACE: "the end effector moves away from workspace_box",
}
_NO_TIP_SPEED = 10.0  # m/s, the most that the parameter can be; from there it has no limit
_JUDGED_S = 1.0
_FEWEST_JUDGED = 20  # messages: three bad ones of the first five are no share
_STILL = 0.02  # of the velocity limit, at which a joint counts as at rest
_STILL_S = 0.1


class SafetyFilter:
    """Decides every torque that the policy node publishes.

    Call order for each joint state: `accept` and, if it was accepted, `set_gravity_torque` where
    the command must carry the arm and its g(q) is computed, and `command` with the policy's
    torque; for each refused message and each tick of a timer: `tick`. Times are seconds of one
    steady clock.

    Attributes:
        active: whether commands are wanted; while not, states are taken but nothing is a fault.
        stopping: whether the controlled stop before the end of the activation has begun.
        problem: why the last joint state was refused; empty where it was not.
        limits: what a torque must respect.
        faults: the latched faults, each with the sentence that explains it.
        rate: the rate at which states arrive.
        interventions: how often each kind acted since activation.
        refusals: how many messages of each kind were refused since activation.
    """

    def __init__(self, limits: JointLimits, config: SafetyConfig, control_rate_hz: float) -> None:
        self._config = config
        self._control_rate_hz = control_rate_hz
        n = len(limits.torque)
        self.limits = limits
        self.faults: dict[Fault, str] = {}
        self.rate = ArrivalRate()
        self.interventions: Counter[Intervention] = Counter()
        self.refusals: Counter[Fault] = Counter()
        self._in_a_row: Counter[Fault] = Counter()
        self._emergency = False
        self._others = ""
        self.active = False
        self.stopping = False
        self.problem = ""
        self._plausible = PlausibleStates(limits)
        self._judged: deque[tuple[float, bool]] = deque()  # when a state came, whether it is bad
        self._bad = 0
        self._blind = True  # no state to brake by: none is fresh, or they cannot be true
        self._moved_time = -np.inf
        self._position = np.zeros(n)
        self._velocity = np.zeros(n)
        self._motion: Motion | None = None  # of the end effector, where it has limits
        self._gravity: Array | None = None
        self._state_time = -np.inf
        self._stamp_ns = 0
        self._stamps = StampRate()
        self._last = np.zeros(n)
        self._last_time = -np.inf
        self._tracking_since: float | None = None
        self._scale = SoftSetting(config.torque_scale)
        self._tip_speed = SoftSetting(config.max_tip_speed or _NO_TIP_SPEED)
        self._rising = False  # whether that is on its way up
        self._goal_time = np.inf  # of the last goal; infinite: none came
        self._over_since: dict[Fault, float] = {}  # for how long a limit of speed or place

    @property
    def mode(self) -> Mode:
        """What decides the torque now."""
        if not self.faults and not self.stopping:
            return Mode.TRACKING
        still = self._state_time - self._moved_time >= _STILL_S
        return Mode.STOPPED if self._blind or still else Mode.DAMPING

    @property
    def at_rest(self) -> bool:
        """Whether the last torque is the safe torque."""
        return bool(np.array_equal(self._last, self.limits.safe_torque))

    @property
    def standing(self) -> bool:
        """Whether no joint moved in the last state."""
        return not (np.abs(self._velocity) > _STILL * self.limits.velocity).any()

    @property
    def position(self) -> Array:
        """[n] rad, of the last state."""
        return self._position

    def is_fresh(self, now: float) -> bool:
        """Tell whether the last accepted state is no older than the watchdog."""
        return now - self._state_time <= self._config.watchdog_s

    def activate(self, now: float) -> None:
        """Start a new activation: faults forgotten, except an emergency stop that still holds."""
        self.active, self.stopping = True, False
        self.faults.clear()
        self._moved_time = now
        self._plausible.reset()
        self._judged.clear()
        self._bad = 0
        if self._emergency:
            self.fault(Fault.EMERGENCY_STOP, "the emergency stop is engaged")
        self.interventions.clear()
        self.refusals.clear()
        self._in_a_row.clear()
        self.rate.reset()
        self._goal_time = np.inf
        self._gravity = None
        self._last_time = now
        self._blind = not self.is_fresh(now)
        self._restart()

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
        self._take_limits(self._with_tip_speed(limits, self._state_time))
        self._plausible.replace_limits(limits)
        self._control_rate_hz = control_rate_hz
        self._restart()

    def set_torque_scale(self, value: float, now: float) -> None:
        """Change ``torque_scale``, while active too: downwards at once, upwards softly.

            scale(t) = old + (value − old) · min((t − now) / soft_start_s, 1)   where value > old

        The slew limit holds in either case. Swaps and activations leave it as it is.

        Args:
            value: 0..1; the caller has checked the range.
            now: s.
        """
        self._scale.set(value, now, self._config.soft_start_s)

    def set_max_tip_speed(self, value: float, now: float) -> None:
        """Change ``max_tip_speed`` in the same way; below the present speed it brakes the arm.

        Args:
            value: m/s, 0: no limit; the caller has checked the range.
            now: s.

        Raises:
            ConfigurationError: the policy file has no model of the arm; nothing is changed.
        """
        self.limits.with_max_tip_speed(value)
        self._tip_speed.set(value or _NO_TIP_SPEED, now, self._config.soft_start_s)
        self._rising = True
        self._take_limits(self._with_tip_speed(self.limits, now))

    def _with_tip_speed(self, limits: JointLimits, now: float) -> JointLimits:
        value = self._tip_speed.at(now)
        return limits.with_max_tip_speed(value if value < _NO_TIP_SPEED else 0.0)

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
        refused = self._refused(now, position, velocity, stamp_ns)
        # A message that comes twice is no bad one.
        self._judge(now, bad=refused not in (None, Fault.STAMP))
        if refused:
            return False
        self.problem = ""
        self._position[:] = position
        self._velocity[:] = velocity
        self._state_time = now
        self._blind = False
        if self.mode is Mode.TRACKING or not self.standing:
            self._moved_time = now
        if not fresh:
            self.rate.reset()  # the pause has its own fault; it must not make the next states slow
        self.rate.arrived(now)
        self._check_speed(now)
        if self._rising:
            self._rising = self._tip_speed.rising(now)
            self._take_limits(self._with_tip_speed(self.limits, now))
        if self.limits.bounds_end_effector:
            self._check_end_effector(now)
        self._check_rate()
        return True

    def _take_limits(self, limits: JointLimits) -> None:
        self.limits = limits
        seen = limits.bounds_end_effector
        self._motion = Motion.of(self._position, self._velocity, limits) if seen else None
        self._over_since.pop(Fault.TIP_SPEED, None)

    def _refused(
        self, now: float, position: Array, velocity: Array, stamp_ns: int
    ) -> Fault | None:
        """Return why a joint state is refused, having counted it; None where it is not."""
        if not (guards.all_finite(position) and guards.all_finite(velocity)):
            self.problem = "joint states are not finite"
            self.refuse(Fault.NON_FINITE_STATE, self.problem)
            return Fault.NON_FINITE_STATE
        self._in_a_row[Fault.NON_FINITE_STATE] = 0
        interval = self.rate.interval_s
        step = (stamp_ns - self._stamp_ns) * 1e-9 if stamp_ns and self._stamp_ns else 0.0
        if not self._stamp_advances(stamp_ns):
            return Fault.STAMP
        if stamp_ns and self._stamps.arrived(now, stamp_ns):
            self.refusals[Fault.STAMP] += 1
            if self._stamps.wrong > 1:
                self.fault(Fault.STAMP, self._other_rate())
        if not stamp_ns and 0.4 * interval < now - self._state_time < 2.5 * interval:
            step = now - self._state_time  # but not in a burst after a gap
        self._in_a_row[Fault.JOINT_STATE] = 0
        self.problem = self._plausible.problem(now, step, interval, position, velocity)
        if self.problem:
            self.refuse(Fault.IMPLAUSIBLE_STATE, f"joint states cannot be true: {self.problem}")
            self._check_watchdog(now)
            return Fault.IMPLAUSIBLE_STATE
        self._in_a_row[Fault.IMPLAUSIBLE_STATE] = 0
        return None

    def starting_problem(self) -> str:
        """Return why the arm cannot be activated in its last state; empty where it can be."""
        speed = np.abs(self._velocity) / self.limits.velocity
        if speed.max() > SLOW_START:
            joint = int(np.argmax(speed))
            return (
                f"joint {self.limits.joint_names[joint]} must be slower than "
                f"{SLOW_START * self.limits.velocity[joint]:g} rad/s; "
                f"it moves at {self._velocity[joint]:g} rad/s"
            )
        if self._motion is not None and (self._outside() > 0.0).any():
            place = ", ".join(f"{each:.3f}" for each in self._motion.place)
            return f"the end effector must be inside workspace_box; it is at {place} m"
        return ""

    def _judge(self, now: float, *, bad: bool) -> None:
        """Note whether a joint state is refused; too many of the last second are a fault."""
        self._judged.append((now, bad))
        self._bad += bad
        while now - self._judged[0][0] > _JUDGED_S:
            self._bad -= self._judged.popleft()[1]
        if bad and self._bad_fraction() > BAD_FRACTION:
            self.fault(
                Fault.BAD_MESSAGES,
                f"{self._bad} of the last {len(self._judged)} joint states were refused",
            )

    def _bad_fraction(self) -> float:
        judged = len(self._judged)
        return self._bad / judged if judged >= _FEWEST_JUDGED else 0.0

    def set_gravity_torque(self, gravity: Array) -> None:
        """Note g(q), what holds the arm still where it is now; it stands until the next call.

        Args:
            gravity: [n] N·m; where it is not finite, a fault, and nothing holds the arm.
        """
        if guards.all_finite(gravity):
            self._gravity = self._clamp(gravity)
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
        if torque is not None and self._goal_is_old(now):
            self.fault(Fault.GOAL_TIMEOUT, self._no_goal())
        acted: dict[Intervention, tuple[int, ...]] = {}
        # What gave one torque that is not finite is not trusted with the arm's weight either.
        gravity = None if Fault.POLICY_OUTPUT in self.faults else self._gravity
        if self.mode is Mode.STOPPED:
            acted[Intervention.STOPPED] = ()
            rest = self.limits.safe_torque
            if gravity is not None and not self._blind:
                rest = self._clamp(gravity + rest)
            return self._publishable(now, rest, acted)
        wanted, steps = guards.guarded(
            self._wanted(now, torque, gravity, acted),
            gravity,
            self._position,
            self._velocity,
            self.limits,
            self._config.position_margin,
            self._motion,
        )
        for step in steps:
            _note(acted, *step)
        return self._publishable(now, wanted, acted)

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

    def refuse(self, kind: Fault, sentence: str) -> None:
        """Count a refused message; the third of a kind in a row is a fault."""
        self.refusals[kind] += 1
        self._in_a_row[kind] += 1
        if self._in_a_row[kind] >= IN_A_ROW:
            self.fault(kind, f"{sentence} ({IN_A_ROW} in a row)")

    def goal_accepted(self, now: float | None = None) -> None:
        """Note a usable goal: refused ones are not in a row, and ``goal_timeout_s`` begins anew.

        Args:
            now: s; None: when the last state came.
        """
        self._in_a_row[Fault.NON_FINITE_GOAL] = 0
        self._goal_time = self._state_time if now is None else now

    def _no_goal(self) -> str:
        return f"no goal arrived within {self._config.goal_timeout_s:g} s"

    def _goal_is_old(self, now: float) -> bool:
        return 0.0 < self._config.goal_timeout_s < now - self._goal_time

    def refuse_state(self, now: float, sentence: str) -> None:
        """Count a joint state message that cannot be read; a fault at once while active."""
        self.problem = sentence
        self._judge(now, bad=True)
        self.refusals[Fault.JOINT_STATE] += 1
        self._in_a_row[Fault.JOINT_STATE] += 1
        self.fault(Fault.JOINT_STATE, sentence)

    def fault(self, kind: Fault, sentence: str) -> None:
        """Latch a fault; the first sentence of a kind stays. Nothing latches while inactive."""
        if self.active:
            self.faults.setdefault(kind, sentence)

    def emergency_stop(self, engaged: bool) -> None:
        """Engage or release the emergency stop; released, its fault still wants clearing."""
        self._emergency = engaged
        if engaged:
            self.fault(Fault.EMERGENCY_STOP, "the emergency stop was engaged")

    def other_publishers(self, names: Sequence[str]) -> None:
        """Note which other nodes publish commands just now; any is a fault."""
        self._others = ", ".join(names)
        if self._others:
            self.fault(Fault.OTHER_PUBLISHER, f"another node commands the robot: {self._others}")

    def clear_fault(self, now: float) -> str:
        """Return to tracking through the soft start, unless a cause still stands.

        Returns:
            An empty text when cleared, else one sentence with the cause.
        """
        cause = self._standing_cause(now)
        if not cause:
            self.faults.clear()
            if not self.stopping:
                self._moved_time = now
            self._restart()
        return cause

    def _standing_cause(self, now: float) -> str:
        """Say what still stands in the way of tracking; empty when nothing does."""
        if self._emergency:
            return "the emergency stop is engaged"
        if self._others:
            return f"another node commands the robot: {self._others}"
        if not self.is_fresh(now):
            return f"no joint state arrived within {self._config.watchdog_s:g} s"
        for kind, count in self._in_a_row.items():
            if count and kind in self.faults:
                return f"the last message was refused: {self.faults[kind]}"
        if Fault.GOAL_TIMEOUT in self.faults and self._goal_is_old(now):
            return self._no_goal()
        if Fault.STAMP in self.faults and self._stamps.wrong:
            return self._other_rate()
        if self._bad_fraction() > BAD_FRACTION:
            return f"{self._bad} of the last {len(self._judged)} joint states were refused"
        for kind in self._over_since:
            return _OVER[kind]
        if self._is_slow():
            return f"joint states arrive at {self.rate.hz:.1f} Hz"
        return ""

    def _wanted(
        self,
        now: float,
        torque: Array | None,
        gravity: Array | None,
        acted: dict[Intervention, tuple[int, ...]],
    ) -> Array:
        """Return the torque before the guards: damping, the policy's, or the blend of both.

        It comes on top of ``gravity``, if there is one.
        """
        if self.mode is Mode.DAMPING:
            acted[Intervention.DAMPING] = ()
            return self._damping()
        if torque is None:
            acted[Intervention.NO_GOAL] = ()
            self._tracking_since = None
            return self._damping()
        if self._tracking_since is None:
            self._tracking_since = now
        # Clamped before the blend: an absurd torque must not shorten the soft start.
        scaled = _note(acted, Intervention.CLAMP, torque, self._clamp(torque))
        if gravity is not None:
            scaled = scaled - gravity
        scaled = scaled * self._scale.at(now)
        elapsed = max(now - self._tracking_since, 0.0)
        if elapsed >= self._config.soft_start_s:
            return scaled
        acted[Intervention.SOFT_START] = ()
        share = elapsed / self._config.soft_start_s
        return (1.0 - share) * self._damping() + share * scaled

    def _publishable(
        self, now: float, wanted: Array, acted: dict[Intervention, tuple[int, ...]]
    ) -> Command:
        """Apply the slew limit and remember the torque as published.

        The elapsed time is capped at the watchdog: a pause must not buy a jump.
        """
        elapsed = min(max(now - self._last_time, 0.0), self._config.watchdog_s)
        torque = guards.limit_slew(wanted, self._last, elapsed, self.limits)
        _note(acted, Intervention.SLEW, wanted, torque)
        self._last = torque
        self._last_time = max(now, self._last_time)
        if acted:  # to count nothing takes as long as a guard
            self.interventions.update(acted.keys())
        return Command(torque, self.mode, acted)

    def _restart(self) -> None:
        """Forget what led to a fault, so that tracking starts softly."""
        self._tracking_since = None
        self._over_since.clear()

    def _check_watchdog(self, now: float) -> bool:
        """Tell whether the last state is fresh; a fault where it is not."""
        fresh = self.is_fresh(now)
        self._blind = not fresh or self._in_a_row[Fault.IMPLAUSIBLE_STATE] >= IN_A_ROW
        if not fresh:
            self.fault(
                Fault.WATCHDOG, f"no joint state arrived within {self._config.watchdog_s:g} s"
            )
        return fresh

    def _stamp_advances(self, stamp_ns: int) -> bool:
        if stamp_ns and stamp_ns <= self._stamp_ns:
            self.refuse(Fault.STAMP, "joint state stamps do not advance")
            if self._in_a_row[Fault.STAMP] >= IN_A_ROW:
                self._stamp_ns = stamp_ns  # the clock stepped back for good: follow it from here
            return False
        self._in_a_row[Fault.STAMP] = 0
        if stamp_ns:  # one without a stamp is not judged, and the newest stamp stays known
            self._stamp_ns = stamp_ns
        return True

    def _other_rate(self) -> str:
        return f"joint state stamps advance by {self._stamps.ratio:.3g} s in a second"

    def _check_speed(self, now: float) -> None:
        over = bool((np.abs(self._velocity) > self.limits.velocity).any())
        self._check_over(now, Fault.OVER_SPEED, over)
        if over and (np.abs(self._velocity) > OVER_VELOCITY * self.limits.velocity).any():
            self.fault(
                Fault.OVER_SPEED, f"a joint is {OVER_VELOCITY:g} times as fast as its limit"
            )

    def _check_end_effector(self, now: float) -> None:
        motion = self._motion = Motion.of(self._position, self._velocity, self.limits)
        fast = motion.speed > OVER_TIP_SPEED * self.limits.max_tip_speed
        self._check_over(now, Fault.TIP_SPEED, bool(fast))
        outwards = np.stack([motion.velocity, -motion.velocity])
        out = (self._outside() > OUTSIDE) & (outwards > CREEP)
        self._check_over(now, Fault.WORKSPACE, bool(out.any()))

    def _outside(self) -> Array:
        """[2, 3] m by which the end effector is beyond the high and the low faces of its box."""
        if self._motion is None or self.limits.workspace is None:
            return np.zeros((2, 3))
        low, high = self.limits.workspace
        return np.stack([self._motion.place - high, low - self._motion.place])

    def _check_over(self, now: float, kind: Fault, over: bool) -> None:
        """A limit that is exceeded for ``over_speed_s`` is a fault."""
        if not over:
            self._over_since.pop(kind, None)
        elif now - self._over_since.setdefault(kind, now) >= self._config.over_speed_s:
            self.fault(kind, f"{_OVER[kind]} ({self._config.over_speed_s:g} s)")

    def _is_slow(self) -> bool:
        return self.rate.settled and self.rate.hz < SLOW_FAULT * self._control_rate_hz

    def _check_rate(self) -> None:
        if self._is_slow():
            self.fault(
                Fault.SLOW_STATES,
                f"joint states arrive at {self.rate.hz:.1f} Hz, below half of the policy's "
                f"{self._control_rate_hz:g} Hz",
            )

    def _damping(self) -> Array:
        return guards.braking_torque(self._position, self._velocity, self.limits)

    def _clamp(self, torque: Array) -> Array:
        return guards.clamp(torque, self.limits)


def _note(
    acted: dict[Intervention, tuple[int, ...]], kind: Intervention, before: Array, after: Array
) -> Array:
    """Record the joints that a guard changed, and return what it made of them."""
    if after is not before:
        changed = before != after
        if changed.any():
            acted[kind] = tuple(np.flatnonzero(changed).tolist())
    return after
