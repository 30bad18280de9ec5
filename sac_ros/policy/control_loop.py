# SPDX-License-Identifier: Apache-2.0
"""The control loop: joint states, goals, calls and time in; torques and events out. No ROS.

The policy runs at its own rate, the safety filter at every state. `policy_node`, the replay and
the tests drive this one object.

    inactive   states are taken, nothing is commanded
    active     every state is answered; the modes are those of `sac_ros.policy.safety`
    stopping   the end of an activation; see `sac_ros.policy.controlled_stop`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from sac_ros.policy.controlled_stop import RAMP_PERIOD_S, ControlledStop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.goals import MovingGoal, check_goal
from sac_ros.policy.inference import LATEST_ANSWER, Inference
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import Array, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.policy.schedule import next_tick
from sac_ros.policy.worker import Inline, Worker
from sac_ros.utils.errors import ConfigurationError, GoalError, NonFiniteGoalError

_TICKS_PER_WATCHDOG = 5

LIVE_PARAMETERS: dict[str, Callable[[SafetyFilter, float, float], None]] = {
    "torque_scale": SafetyFilter.set_torque_scale,
    "max_end_effector_speed": SafetyFilter.set_max_end_effector_speed,
}
"""Parameters that a torque follows from, and that may be changed while active."""

Publish = Callable[[Command, Array | None, int], object]
"""(command, the policy's own torque [n] N·m or None, stamp of the state in ns or 0)."""


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


class ControlLoop:
    """One policy, its safety filter, and how an activation begins and ends.

    Times are seconds of one steady clock. Every torque is handed to ``publish`` before it is
    logged and returned.

    Attributes:
        inference: the policy that runs now, and its torque; it counts from the activation on.
        safety: the filter that every torque goes through.
        goal: [k] the goal that stands, or None.
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
        limits = JointLimits.of(policy.spec, config)
        self.inference = Inference(policy, worker)
        self.safety = SafetyFilter(limits, config, policy.spec.control_rate_hz)
        self.goal: Array | None = None
        self._moving = MovingGoal(policy.spec.goal)
        self._released = limits  # by a person, with the activation
        self._stop: ControlledStop | None = None

    @property
    def policy(self) -> Policy:
        """The policy that runs now."""
        return self.inference.policy

    # ---- activation --------------------------------------------------------------------------

    def activate(self, now: float) -> None:
        """Begin to answer states."""
        self.inference.count = self.inference.late = 0
        self._released = self.safety.limits
        self.safety.activate(now)
        self.inference.forget()
        parameters = asdict(self._config) | {"model_path": str(self.policy.path)}
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
        self._drop_goal()
        self.inference.forget()
        self._stop = ControlledStop(self.safety, now, at_once=at_once)
        self._log.note("deactivate", now, at_once=at_once)
        self.tick(now)

    def _stop_on(
        self, now: float, stop: ControlledStop, brake: Callable[[], Command | None]
    ) -> Command | None:
        command = stop.next(now, brake)
        if not self.safety.active:
            self._stop = None
            self._drop_goal()
            self.inference.forget()
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
        active = safety.active
        seen: dict[str, Any] = {}
        torque: Array | None = None
        command: Command | None = None

        def answer() -> Command:
            nonlocal torque, seen
            torque = self._ask(now, position, velocity, stamp_ns)
            seen = self.inference.seen
            return safety.command(now, torque)

        accepted = safety.accept(now, position, velocity, stamp_ns)
        if active:
            act = answer if accepted else partial(safety.tick, now)
            command = self._stop_on(now, self._stop, act) if self._stop else act()
        if command is not None:
            self._publish(command, torque, stamp_ns if accepted else 0)
            self.inference.published(command.torque)
        self._log_state(now, command, torque, stamp_ns, **seen)
        return command

    def refuse_state(self, now: float, sentence: str, stamp_ns: int = 0) -> Command | None:
        """Take a joint state message that cannot be read, and ``sentence`` is the reason."""
        self.safety.refuse_state(now, sentence)
        command = self._on_time(now)
        if command is not None:
            self._publish(command, None, 0)
        self._log_state(now, command, None, stamp_ns)
        return command

    def tick(self, now: float) -> Command | None:
        """Take the passing of time, at each `next_tick`; return what was published."""
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
            inferences=self.inference.count,
            **fields,
        )

    # ---- goals, calls ------------------------------------------------------------------------

    @property
    def goal_moves(self) -> bool:
        """Whether the policy follows a goal that moves; see `MovingGoal`."""
        return self.policy.takes_goal_velocity

    def goal_streams(self, now: float) -> bool:
        """Whether such a goal has come lately."""
        return self.goal_moves and self._moving.streams(now)

    def _drop_goal(self) -> None:
        self.goal = None
        self._moving.forget()

    def set_goal(self, now: float, frame: str, values: Array, stamp_ns: int = 0) -> None:
        """Take a goal, or refuse it and keep the one before; see `check_goal`.

        Args:
            now: s, when it came.
            frame: that the values are given in.
            values: [k].
            stamp_ns: of its header; 0: none. The velocity of a moving goal follows from it.

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
        self._moving.take(now, self.goal, stamp_ns)
        self.safety.goal_accepted(now)
        stamped: dict[str, Any] = {"stamp": stamp_ns} if self.goal_moves else {}
        self._log.note("goal", now, goal=values.tolist(), frame=frame, refused="", **stamped)

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
        return float(np.linalg.norm(place(self.safety.position)[0] - goal[:3]))

    def emergency_stop(self, now: float, engaged: bool) -> None:
        """Engage or release the emergency stop; engaged, the brake acts with the next `tick`."""
        self._log.note("emergency_stop", now, engaged=engaged)
        self.safety.emergency_stop(engaged)

    def other_publishers(self, now: float, names: Sequence[str]) -> None:
        """Take who else publishes on the command topic; see `SafetyFilter.other_publishers`."""
        self._log.note("other_publishers", now, names=[*names])
        self.safety.other_publishers(names)

    def set_parameter(self, now: float, name: str, value: float | bool) -> None:
        """Change a parameter of those that may be changed while active.

        ``torque_scale`` and ``max_end_effector_speed`` act as described in `SafetyFilter`; another
        one is noted for the record of the next activation.

        Raises:
            ConfigurationError: the filter refuses it; nothing is changed.
        """
        if name in LIVE_PARAMETERS:
            LIVE_PARAMETERS[name](self.safety, value, now)
        changed: dict[str, Any] = {name: value}
        self._config = replace(self._config, **changed)
        self._log.note("set_parameter", now, name=name, value=value)

    def clear_fault(self, now: float) -> str:
        """Return to tracking; see `SafetyFilter.clear_fault`."""
        if not self.safety.active:
            return "the node is not active"
        cause = self.safety.clear_fault(now)
        if not cause and self.inference.busy:
            cause = "the policy has not answered yet"
            self.safety.fault(Fault.LATE_POLICY, cause)
        if not cause:
            self.inference.forget()
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
        self._moving = MovingGoal(spec.goal)
        if self.goal is not None:
            self._moving.take(now, self.goal, 0)
        self.inference.replace(policy)
        self._log.note("swap", now, model_path=str(policy.path), sha256=policy.sha256)

    # ---- inference ---------------------------------------------------------------------------

    @property
    def warm_up_time(self) -> float | None:
        """When a state is expected that the policy will run for, s; None where there is none."""
        if self.safety.mode is not Mode.TRACKING or self.goal is None:
            return None
        return self.inference.next_run(self.safety.rate)

    def warm_up(self) -> None:
        """Run the policy for nothing at `warm_up_time`; see `Inference.warm_up`."""
        if self.goal is not None:
            self.inference.warm_up(self.goal)

    def _ask(self, now: float, position: Array, velocity: Array, stamp_ns: int) -> Array | None:
        """Return the policy's torque for a state; the filter gets g(q) and any lateness."""
        goal = self.goal if self.safety.mode is Mode.TRACKING else None
        goal_velocity: Array | None = None
        if goal is not None and self.goal_moves:
            goal, goal_velocity = self._moving.at(now)
        inference, safety = self.inference, self.safety
        torque = inference.ask(now, position, velocity, goal, safety.rate, stamp_ns, goal_velocity)
        if inference.gravity is not None:
            safety.set_gravity_torque(inference.gravity)
        if inference.late_s >= self._config.watchdog_s:
            safety.fault(
                Fault.LATE_POLICY,
                f"the policy has not answered within {LATEST_ANSWER:g} control periods "
                f"for {self._config.watchdog_s:g} s",
            )
        return torque
