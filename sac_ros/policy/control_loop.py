# SPDX-License-Identifier: Apache-2.0
"""The control loop: joint states, goals, calls and time in; torques and events out. No ROS.

The policy runs at its own rate, the safety filter at every state. `policy_node`, the replay and
the tests drive this one object.

    inactive   states are taken, nothing is commanded
    active     every state is answered; the modes are those of `sac_ros.policy.safety`
    stopping   the end of an activation; see `sac_ros.policy.controlled_stop`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from sac_ros.policy.controlled_stop import RAMP_PERIOD_S, ControlledStop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Answer, Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import Array, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.policy.schedule import Decimator, next_tick
from sac_ros.policy.spec import GoalSpec
from sac_ros.policy.worker import Inline, Worker
from sac_ros.utils.errors import ConfigurationError, GoalError, NonFiniteGoalError

LATEST_ANSWER = 1.5
"""Control periods after the arrival of a state, from which on its inference is too late."""

_AWAITED = 0.5
"""Of the time to the next state, for which the answer to a state waits for its inference."""

_TICKS_PER_WATCHDOG = 5

Publish = Callable[[Command, Array | None, int], object]
"""(command, the policy's own torque [n] N·m or None, stamp of the state in ns or 0)."""


def check_goal(spec: GoalSpec, frame: str, values: Array) -> Array:
    """Return the goal if the policy may follow it.

    Args:
        spec: what the policy was trained on.
        frame: the frame that ``values`` are given in.
        values: [k] in the order of ``spec.fields``.

    Raises:
        NonFiniteGoalError: a value is NaN or Inf.
        GoalError: another frame, or outside the trained range.
    """
    if not np.isfinite(values).all():
        raise NonFiniteGoalError(f"goal must be finite; got {values.tolist()}")
    if frame != spec.frame:
        raise GoalError(f"goal must be in frame {spec.frame!r}; got frame {frame!r}")
    for name, value, low, high in zip(spec.fields, values, spec.low, spec.high, strict=True):
        if not low <= value <= high:
            raise GoalError(
                f"goal {name} must be within {low:g} to {high:g} {spec.unit}, the range of the "
                f"policy's training; got {value:g}"
            )
    return values


def _refuse_raised(policy: Policy, limits: JointLimits, released: JointLimits) -> None:
    """Refuse limits above those that a person has released by activating."""
    old, new = released.position, limits.position
    pairs = {
        "torque_limit": (limits.torque, released.torque),
        "velocity_limit": (limits.velocity, released.velocity),
        "position_limit": (np.maximum(old[:, 0] - new[:, 0], new[:, 1] - old[:, 1]), 0.0),
        "brake_limit": (limits.brake, released.brake),
    }
    for name, (wanted, allowed) in pairs.items():
        raised = np.flatnonzero(wanted > np.asarray(allowed) * (1.0 + 1e-9))
        if len(raised):
            raise ConfigurationError(
                f"policy file {policy.path} must not raise a limit while the node is active; its "
                f"{name} of joint {limits.joint_names[raised[0]]} is beyond that of the policy "
                "that was activated (deactivate first)"
            )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the policy was asked for: when, s, in which state, with which goal."""

    time: float
    stamp_ns: int
    goal: Array | None


class ControlLoop:
    """One policy, its safety filter, and how an activation begins and ends.

    Times are seconds of one steady clock. Every torque is handed to ``publish`` before it is
    logged and returned.

    Attributes:
        policy: the policy that runs now.
        safety: the filter that every torque goes through.
        goal: [k] the goal that stands, or None.
        policy_torque: [n] N·m, the policy's own for the state answered last; None without a goal.
        inferences: how often the policy ran for a goal since activation.
        late: how often an inference was too late since activation.
    """

    def __init__(
        self,
        policy: Policy,
        config: SafetyConfig,
        *,
        publish: Publish = lambda *_: None,
        log: EventLog | None = None,
        worker: Inline | Worker | None = None,
    ) -> None:
        """Starts inactive; ``worker`` runs the inferences, in this thread where it is None."""
        self._config = config
        self._publish = publish
        self._log = log or EventLog(lambda _: None, lambda: False)
        self._worker = worker or Inline()
        spec = policy.spec
        limits = JointLimits.of(spec, config)
        self.policy = policy
        self.safety = SafetyFilter(limits, config, spec.control_rate_hz)
        self.goal: Array | None = None
        self.policy_torque: Array | None = None
        self.inferences = 0
        self.late = 0
        self._late_since: float | None = None
        self._asked: _Asked | None = None
        self._seen: dict[str, Any] = {}  # of the answer, for the log of the state
        self._released = limits  # by a person, with the activation
        self._decimator = Decimator(spec.control_rate_hz)
        self._answered: tuple[float, Array, Array] | None = None
        self._policy_state = np.zeros(policy.state_size, dtype=np.float32)
        self._stop: ControlledStop | None = None

    # ---- activation --------------------------------------------------------------------------

    def activate(self, now: float) -> None:
        """Begin to answer states."""
        self.inferences = self.late = 0
        self._released = self.safety.limits
        self.safety.activate(now)
        self._forget_past()
        parameters = asdict(self._config)
        self._log.note("activate", now, sha256=self.policy.sha256, parameters=parameters)

    def begin_stop(self, now: float, *, at_once: bool = False) -> None:
        """Begin to stop the arm and end the activation, which `tick` and `state` go on with.

        A goal must be given again after the next activation.

        Args:
            now: s.
            at_once: end now; for a policy in shadow mode, which moves nothing.
        """
        if not self.safety.active or self._stop:
            return
        self.goal = self.policy_torque = None
        self._stop = ControlledStop(self.safety, now, at_once=at_once)
        self._log.note("deactivate", now)
        self.tick(now)

    def _stop_on(
        self, now: float, stop: ControlledStop, brake: Callable[[], Command | None]
    ) -> Command | None:
        command = stop.next(now, brake)
        if not self.safety.active:
            self._stop, self.goal = None, None
            self._forget_past()
        return command

    # ---- states and time ---------------------------------------------------------------------

    def state(
        self, now: float, position: Array, velocity: Array, stamp_ns: int = 0
    ) -> Command | None:
        """Take one joint state; see `SafetyFilter.accept` for the arguments.

        Returns:
            The torque that was published; None while inactive, or when the state was refused and
            the last command may stand.
        """
        safety = self.safety
        active, self._seen = safety.active, {}
        torque: Array | None = None
        command: Command | None = None

        def answer() -> Command:
            nonlocal torque
            torque = self._infer(now, position, velocity, stamp_ns)
            return safety.command(now, torque)

        accepted = safety.accept(now, position, velocity, stamp_ns)
        if active:
            act = answer if accepted else partial(safety.tick, now)
            command = self._stop_on(now, self._stop, act) if self._stop else act()
        if command is not None:
            self._publish(command, torque, stamp_ns if accepted else 0)
        self._log_state(now, command, torque, stamp_ns, **self._seen)
        return command

    def refuse_state(self, now: float, sentence: str, stamp_ns: int = 0) -> Command | None:
        """Take a joint state message that cannot be read, and ``sentence`` says why."""
        self.safety.refuse_state(now, sentence)
        command = self._on_time(now)
        if command is not None:
            self._publish(command, None, 0)
        self._log_state(now, command, None, stamp_ns)
        return command

    def tick(self, now: float) -> Command | None:
        """Take the passing of time, as often as `next_tick` says; return what was published."""
        command = self._on_time(now)
        if command is not None:
            self._publish(command, None, 0)
            self._log.answered("tick", now, command, self.safety, has_policy_torque=False)
        return command

    def next_tick(self, ticked: float) -> float:
        """Return when `tick` is due after one at ``ticked``, s."""
        watchdog_s = self._config.watchdog_s
        period = RAMP_PERIOD_S if self._stop else watchdog_s / _TICKS_PER_WATCHDOG
        return next_tick(ticked, period, self.safety.time + watchdog_s)

    def _on_time(self, now: float) -> Command | None:
        if not self.safety.active:
            return None
        brake = partial(self.safety.tick, now)
        return self._stop_on(now, self._stop, brake) if self._stop else brake()

    def _log_state(
        self,
        now: float,
        command: Command | None,
        torque: Array | None,
        stamp_ns: int,
        **fields: Any,
    ) -> None:
        self._log.answered(
            "state",
            now,
            command,
            self.safety,
            stamp=stamp_ns,
            active=self.safety.active and not self.safety.stopping,
            has_policy_torque=torque is not None,
            inferences=self.inferences,
            **fields,
        )

    # ---- goals, calls ------------------------------------------------------------------------

    def set_goal(self, now: float, frame: str, values: Array) -> None:
        """Take a goal, or refuse it and keep the one before; see `check_goal`.

        Raises:
            GoalError: the goal is refused.
        """
        try:
            self.goal = check_goal(self.policy.spec.goal, frame, values)
        except GoalError as error:
            if isinstance(error, NonFiniteGoalError):
                self.safety.refuse(Fault.NON_FINITE_GOAL, str(error))
            self.refuse_goal(now, frame, str(error), values)
            raise
        self.safety.goal_accepted(now)
        self._log.note("goal", now, goal=values.tolist(), frame=frame, refused="")

    def refuse_goal(
        self, now: float, frame: str, reason: str, values: Array | None = None
    ) -> None:
        """Log a goal that is not followed, with its numbers where they are known."""
        goal = None if values is None else values.tolist()
        self._log.note("goal", now, goal=goal, frame=frame, refused=reason)

    def goal_error(self) -> float | None:
        """Return how far the end effector is from the goal, in its unit; None where none is known.

        It is not where there is no goal, or no model of the arm in the policy file.
        """
        goal, place = self.goal, self.safety.limits.end_effector
        if goal is None or place is None:
            return None
        return float(np.linalg.norm(place(self.safety.position)[0] - goal))

    def emergency_stop(self, now: float, engaged: bool) -> None:
        """Engage or release the emergency stop; engaged, the brake acts with the next `tick`."""
        self._log.note("emergency_stop", now, engaged=engaged)
        self.safety.emergency_stop(engaged)

    def clear_fault(self, now: float) -> str:
        """Return to tracking; see `SafetyFilter.clear_fault`."""
        if not self.safety.active:
            return "the node is not active"
        cause = self.safety.clear_fault(now)
        if not cause and self._worker.busy:
            cause = "the policy has not answered yet"
            self.safety.fault(Fault.LATE_POLICY, cause)
        if not cause:
            self._forget_past()
        self._log.note("clear_fault", now, refused=cause)
        return cause

    def swap(self, now: float, policy: Policy) -> None:
        """Let another policy answer from the next state on, through the soft start.

        A goal outside the new policy's range is dropped.

        Raises:
            ConfigurationError: the policy drives other joints, has another gravity compensation,
                raises a limit while active, or does not fit the parameters.
        """
        spec = policy.spec
        if spec.joint_names != self.policy.spec.joint_names:
            raise ConfigurationError(
                f"policy file {policy.path} must drive the joints "
                f"{', '.join(self.policy.spec.joint_names)}; got {', '.join(spec.joint_names)}"
            )
        if spec.gravity_compensation != self.policy.spec.gravity_compensation:
            raise ConfigurationError(
                f"policy file {policy.path} must have gravity_compensation "
                f"{self.policy.spec.gravity_compensation}, as the one that runs; "
                f"got {spec.gravity_compensation}"
            )
        limits = JointLimits.of(spec, self._config)
        if self.safety.active:
            _refuse_raised(policy, limits, self._released)
        self.safety.replace_limits(limits, spec.control_rate_hz)  # which may refuse them, too
        if self.goal is not None:
            try:
                check_goal(spec.goal, self.policy.spec.goal.frame, self.goal)
            except GoalError:
                self.goal = None
        self.policy = policy
        self._decimator = Decimator(spec.control_rate_hz)
        self._forget_past()
        self._log.note("swap", now, sha256=policy.sha256)

    # ---- inference ---------------------------------------------------------------------------

    @property
    def warm_up_time(self) -> float | None:
        """When a state is expected that the policy will run for, s; None where there is none."""
        if self.safety.mode is not Mode.TRACKING or self._asked is not None:
            return None
        if self.goal is None or self._answered is None:
            return None
        interval = self.safety.rate.interval_s
        arrived = self._answered[0]
        return arrived + interval if self._decimator.next_is_due(arrived, interval) else None

    def warm_up(self) -> None:
        """Run the policy for nothing, shortly before it runs for a state.

        What has not run for a control period has left the processor's caches, and takes three
        times as long (docs/timing.md). Nothing that is decided depends on it.
        """
        if self.goal is not None and self._answered is not None:
            _, position, velocity = self._answered
            self._worker.prepare(self._inference(position, velocity, self.goal))

    @property
    def _carries(self) -> bool:
        """Whether the graph tells g(q), which then holds the arm in every mode."""
        return self.policy.spec.gravity_compensation == "policy"

    def _infer(self, now: float, position: Array, velocity: Array, stamp_ns: int) -> Array | None:
        """Return the policy's torque: fresh when it is due, held in between, None when too late.

        An answer that is not there in half the time to the next state is that of a later state:
        control goes on meanwhile. After `LATEST_ANSWER` it is abandoned.

        The safety filter gets g(q) at the same rate, where the graph has it: without a goal too.
        """
        goal = self.goal if self.safety.mode is Mode.TRACKING else None
        if goal is None and not self._carries:
            return None
        if goal is not None and self.policy_torque is None and self._asked is None:
            self._decimator.reset()  # the first state with a goal is answered at once
        # By arrival: a driver whose stamps stand still must not keep an old torque in force.
        self._answered = (now, position, velocity)
        interval, period = self.safety.rate.interval_s, 1.0 / self.policy.spec.control_rate_hz
        due = self._decimator.due(now, interval)
        # One look a state, so that a log of the looks in vain tells all (`EventLog`).
        if looked := self._asked is not None:
            self._take(now, 0.0)
        if due and self._asked is None:
            self._asked = _Asked(now, stamp_ns, goal)
            # Copies: the next state may come before the policy has read this one.
            self._worker.begin(self._inference(position.copy(), velocity.copy(), goal))
            if not looked:
                settled = self.safety.rate.settled
                self._take(now, _AWAITED * min(interval, period) if settled else period)
        return self.policy_torque if goal is not None else None

    def _take(self, now: float, within_s: float) -> None:
        """Take the answer that was asked for, or else hold the torque, or find that it is late."""
        asked = self._asked
        assert asked is not None
        if now - asked.time > LATEST_ANSWER / self.policy.spec.control_rate_hz:
            self._asked = None
            self._seen["late"] = True
            self._worker.abandon()
            self.policy.terminate()
            self._note_late(now, asked.time)
            return
        answer: Answer | None = self._worker.result(within_s)
        if answer is None:
            self._seen["late"] = True
            return
        self._asked = self._late_since = None
        if answer.gravity is not None:
            self.safety.set_gravity_torque(answer.gravity.astype(np.float64))
        if asked.goal is None:
            return
        if asked.time != now:
            self._seen["ran_on"] = asked.stamp_ns
        self.policy_torque = answer.torque.astype(np.float64)
        if answer.next_state is not None:
            self._policy_state = answer.next_state
        self.inferences += 1

    def _inference(
        self, position: Array, velocity: Array, goal: Array | None
    ) -> Callable[[], Answer]:
        policy = self.policy
        if goal is None:
            return partial(policy.at_rest, position)
        return partial(policy.answer, position, velocity, goal, state=self._policy_state)

    def _note_late(self, now: float, asked: float) -> None:
        """Hold no torque; a fault where no inference has been in time for the watchdog's time."""
        self.policy_torque = None
        self.late += 1
        if self._late_since is None:
            self._late_since = asked
        if now - self._late_since >= self._config.watchdog_s:
            self.safety.fault(
                Fault.LATE_POLICY,
                f"the policy has not answered within {LATEST_ANSWER:g} control periods "
                f"for {self._config.watchdog_s:g} s",
            )

    def _forget_past(self) -> None:
        """Start inference anew: a torque or a state from before must not act again."""
        self._decimator.reset()
        self._answered = self._asked = None
        self._policy_state = np.zeros(self.policy.state_size, dtype=np.float32)
        self.policy_torque = self._late_since = None
