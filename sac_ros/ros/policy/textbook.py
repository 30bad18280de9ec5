# SPDX-License-Identifier: Apache-2.0
"""The textbook controller in the place of a policy: the same node, loop, safety and goals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sac_ros.controllers.computed_torque import ComputedTorque
from sac_ros.policy.runtime import Answer, Policy
from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.utils.errors import ConfigurationError, PolicyFileError


class TextbookPolicy(Policy):
    """Answers as a `Policy` does, by `ComputedTorque` with the torque that the policy has.

    Its memory is the controller's. So an owner compares both on the robot by one parameter, and
    recordings, shadow mode and safety are the same.
    """

    def __init__(self, policy: Policy) -> None:
        """Takes the place of `policy`, whose file has arm, rate, goals and limits.

        Raises:
            PolicyFileError: its arm is not known here.
        """
        spec = self.spec = policy.spec
        self.path, self.sha256 = policy.path, policy.sha256
        self._policy = policy
        try:
            arm = load_arm(
                spec.arm if spec.arm in arm_names() else str(spec.training.get("arm_reference"))
            )
        except ConfigurationError as error:
            raise PolicyFileError(
                f"policy file {policy.path} cannot be replaced by computed_torque: {error}"
            ) from error
        if arm.joint_names != spec.joint_names:
            raise PolicyFileError(
                f"policy file {policy.path} cannot be replaced by computed_torque: its joints are "
                f"{', '.join(spec.joint_names)}, those of arm {arm.name} are "
                f"{', '.join(arm.joint_names)}"
            )
        self._controller = ComputedTorque(
            arm,
            spec.control_rate_hz,
            np.array(spec.authority),
            moving=policy.takes_goal_velocity,
            holds_gravity=spec.gravity_compensation == "policy",
        )
        self.state_size = self._controller.state_size

    @property
    def takes_goal_velocity(self) -> bool:
        """Whether the policy follows goals that move."""
        return self._policy.takes_goal_velocity

    def answer(
        self,
        joint_position: ArrayLike,
        joint_velocity: ArrayLike,
        goal: ArrayLike,
        goal_velocity: ArrayLike | None = None,
        state: ArrayLike | None = None,
    ) -> Answer:
        """Torques for one state of the robot or for a batch of them; see `Policy.answer`."""
        given = (joint_position, joint_velocity, goal, goal_velocity, state)
        zero = np.zeros_like(goal)
        rows = [np.atleast_2d(np.asarray(zero if x is None else x, np.float64)) for x in given]
        torque, next_state = self._controller.torque(*rows)
        found: list[Any] = [torque, np.zeros_like(torque), None, next_state]
        if self.spec.gravity_compensation == "policy":
            found[2] = self._gravity(rows[0])
        if np.ndim(joint_position) == 1:
            found = [each if each is None else each[0] for each in found]
        return Answer(*found)

    def at_rest(self, joint_position: ArrayLike) -> Answer:
        """Gravity alone, for an arm that stands and has no goal."""
        position = np.asarray(joint_position, np.float64)
        gravity = self._gravity(position)
        return Answer(gravity, np.zeros_like(gravity), gravity)

    def corrected(self, state: Any, beside: Any) -> Any:  # noqa: ARG002
        """See `Policy.corrected`; this controller remembers no torque."""
        return state

    def terminate(self) -> None:
        """Nothing runs that could be ended: an answer takes milliseconds."""

    def _gravity(self, position: Any) -> Any:
        arm = self._controller.arm
        return arm.bodies.gravity_torque(arm.chain, arm.chain.frames_at(position))
