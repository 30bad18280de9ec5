# SPDX-License-Identifier: Apache-2.0
"""The deployed control law: policy at its own rate, safety filter at every state. Without ROS."""

from __future__ import annotations

import numpy as np

from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import Array, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault
from sac_ros.policy.schedule import Decimator
from sac_ros.policy.spec import GoalSpec
from sac_ros.utils.errors import ConfigurationError, GoalError, NonFiniteGoalError


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


class PolicyController:
    """One policy and its safety filter: joint states and goals in, commands out.

    Attributes:
        policy: the policy that runs now.
        safety: the filter that every torque goes through.
        goal: [k] the goal that stands, or None.
        policy_torque: [n] N·m, the policy's own for the state answered last; None without a goal.
        refused: whether the last joint state was refused, so that no command answers it.
        inferences: how often the policy ran for a goal since activation.
    """

    def __init__(self, policy: Policy, config: SafetyConfig) -> None:
        self._config = config
        spec = policy.spec
        limits = JointLimits.of(spec, config)
        self.policy = policy
        self.safety = SafetyFilter(limits, config, spec.control_rate_hz)
        self.goal: Array | None = None
        self.policy_torque: Array | None = None
        self.refused = False
        self.inferences = 0
        self._released = limits  # by a person, with the activation
        self._decimator = Decimator(spec.control_rate_hz)
        self._answered: tuple[float, Array, Array] | None = None
        self._policy_state = np.zeros(policy.state_size, dtype=np.float32)

    def activate(self, now: float) -> None:
        """Start answering states at ``now`` s of the steady clock."""
        self.inferences = 0
        self._released = self.safety.limits
        self.safety.activate(now)
        self._forget_past()

    def begin_stop(self) -> None:
        """Brake from now on, until `deactivate`; the goal is forgotten."""
        self.goal = self.policy_torque = None
        self.safety.begin_stop()

    def deactivate(self) -> None:
        """Stop answering; a goal must be given again after the next activation."""
        self.safety.deactivate()
        self.goal = None
        self._forget_past()

    def state(
        self, now: float, position: Array, velocity: Array, stamp_ns: int = 0
    ) -> Command | None:
        """Answer one joint state; see `SafetyFilter.accept` for the arguments.

        Returns:
            The torque to publish, or None when the state was refused and the last command may
            stand.
        """
        self.refused = not self.safety.accept(now, position, velocity, stamp_ns)
        if self.refused:
            return self.safety.tick(now)
        return self.safety.command(now, self._infer(now, position, velocity))

    @property
    def next_is_due(self) -> bool:
        """Whether the policy will run for the next state, if that comes on time."""
        if self.goal is None or self._answered is None:
            return False
        return self._decimator.next_is_due(self._answered[0], self.safety.rate.interval_s)

    def warm_up(self) -> None:
        """Run the policy for nothing, shortly before it runs for a state.

        What has not run for a control period has left the processor's caches, and takes three
        times as long (docs/timing.md). Nothing that is decided depends on it.
        """
        if self.goal is not None and self._answered is not None:
            _, position, velocity = self._answered
            self.policy(position, velocity, self.goal, state=self._policy_state)

    def set_goal(self, frame: str, values: Array) -> None:
        """Take a goal, or refuse it and keep the one before; see `check_goal`.

        Raises:
            GoalError: the goal is refused.
        """
        try:
            self.goal = check_goal(self.policy.spec.goal, frame, values)
        except NonFiniteGoalError as error:
            self.safety.refuse(Fault.NON_FINITE_GOAL, str(error))
            raise
        self.safety.goal_accepted()

    def clear_fault(self, now: float) -> str:
        """Return to tracking; see `SafetyFilter.clear_fault`."""
        cause = self.safety.clear_fault(now)
        if not cause:
            self._forget_past()
        return cause

    def swap(self, policy: Policy) -> None:
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
        if self.goal is not None:
            try:
                check_goal(spec.goal, self.policy.spec.goal.frame, self.goal)
            except GoalError:
                self.goal = None
        self.policy = policy
        self.safety.replace_limits(limits, spec.control_rate_hz)
        self._decimator = Decimator(spec.control_rate_hz)
        self._forget_past()

    @property
    def _carries(self) -> bool:
        """Whether the command must hold the arm up."""
        return self.policy.spec.gravity_compensation == "policy"

    def _infer(self, now: float, position: Array, velocity: Array) -> Array | None:
        """Return the policy's torque: fresh when it is due, held in between.

        The safety filter gets g(q) at the same rate, where the graph has it: without a goal too.
        """
        if self.goal is None and not self._carries:
            return None
        if self.goal is not None and self.policy_torque is None:
            self._decimator.reset()  # the first state with a goal is answered at once
        # By arrival: a driver whose stamps stand still must not keep an old torque in force.
        self._answered = (now, position, velocity)
        if not self._decimator.due(now, self.safety.rate.interval_s):
            return self.policy_torque
        if self.goal is None:
            gravity = self.policy.gravity(position)
        else:
            torque, _, gravity, next_state = self.policy.answer(
                position, velocity, self.goal, state=self._policy_state
            )
            self.policy_torque = torque.astype(np.float64)
            if next_state is not None:
                self._policy_state = next_state
            self.inferences += 1
        if gravity is not None:
            self.safety.set_gravity_torque(gravity.astype(np.float64))
        return self.policy_torque

    def _forget_past(self) -> None:
        """Start inference anew: a torque or a state from before must not act again."""
        self._decimator.reset()
        self._answered = None
        self._policy_state = np.zeros(self.policy.state_size, dtype=np.float32)
        self.policy_torque = None
