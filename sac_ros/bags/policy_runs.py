# SPDX-License-Identifier: Apache-2.0
"""A policy run on recorded states, one by one as in the node, joints in the recording's order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned
from sac_ros.bags.columns import blocks
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec

Float32 = NDArray[np.float32]

_BATCH = 4096
_SAME = 1e-6  # of the torque limit, a tenth of what is asked of a replay


_LIMITS = ("torque_limit", "position_limit", "velocity_limit", "brake_limit")
_PER_JOINT = (*_LIMITS, "action_scale", "stop_damping")


def in_order(spec: PolicySpec, joints: tuple[str, ...]) -> PolicySpec:
    """Return a spec whose per-joint fields are in another order of the same joints."""
    place, trained = [spec.joint_names.index(joint) for joint in joints], spec.training_range
    position, velocity = (
        tuple(values[i] for i in place)
        for values in (trained.joint_position, trained.joint_velocity)
    )
    ordered: dict[str, Any] = {
        name: tuple(getattr(spec, name)[i] for i in place) for name in _PER_JOINT
    }
    trained = replace(trained, joint_position=position, joint_velocity=velocity)
    return replace(spec, joint_names=joints, training_range=trained, **ordered)


class PolicyRuns:
    """A policy, and the m recorded states with the goal of each that it runs on.

    Attributes:
        spec: the policy's, in the joint order of the recording, as all arrays [..., n].
    """

    def __init__(
        self, policy: Policy, aligned: Aligned, goals: NDArray[Any], goal_row: NDArray[np.int64]
    ) -> None:
        """``goals`` are [g, k], ``goal_row`` [m] is that of each state; −1: none."""
        joints = aligned.facts.joint_names
        self.spec = in_order(policy.spec, joints)
        self._policy, self._aligned = policy, aligned
        self._goals, self._goal_row = goals, goal_row
        self._order = np.array([policy.spec.joint_names.index(name) for name in joints])
        self._own = np.argsort(self._order)

    def inputs(self, states: Any) -> tuple[Float32, Float32, Float32]:
        """Return position and velocity [..., n], in the policy's own order, and goal [..., k]."""
        return (
            self._aligned.position[states][..., self._own].astype(np.float32),
            self._aligned.velocity[states][..., self._own].astype(np.float32),
            self._goals[self._goal_row[states]].astype(np.float32),
        )

    def gravity(self, held: NDArray[np.int64]) -> Float32:
        """Return g(q) [m, n] N·m at the states ``held`` [m]; at a state's own where that is −1."""
        gravity = self._aligned.spool.empty((len(held), len(self._order)), np.float32)
        for part in blocks(len(held), _BATCH):
            rows = np.where(held[part] >= 0, held[part], np.arange(part.start, part.stop))
            told = self._policy.gravity(self._aligned.position[rows][:, self._own])
            assert told is not None
            gravity[part] = told[:, self._order]
        return gravity

    def torques(
        self,
        rows: NDArray[np.intp],
        anew: NDArray[np.bool_],
        orphan: NDArray[np.bool_],
    ) -> tuple[Float32, NDArray[np.bool_]]:
        """Return the torques [d, n] N·m of the runs on the states ``rows``, and which are known.

        Before an orphan, a run is missing in the recording, and with it what a policy with memory
        remembers. It is run from −1 and from +1 throughout; where both lead to the same torque,
        that does not matter any more.

        ``rows`` [d] are the states; ``anew`` and ``orphan`` [d], whether a run begins with zeros,
        and whether the run before it is missing.
        """
        first = np.where(anew, 0.0, np.where(orphan, -1.0, np.nan)).astype(np.float32)
        torque = self._chain(rows, first)
        known = np.ones(len(rows), dtype=bool)
        if self._policy.state_size and orphan.any():
            other = self._chain(rows, np.where(orphan, -first, first))
            limit = np.array(self.spec.torque_limit)
            for part in blocks(len(rows)):
                apart = np.abs(torque[part] - other[part]) / limit
                known[part] = (apart < _SAME).all(axis=1)
        return torque, known

    def _chain(self, rows: NDArray[np.intp], first: Float32) -> Float32:
        """Return the torques; ``first`` [d] is every entry of the memory of a run, NaN: as left.

        Not in batches: they would differ from the node's torques in the last bits.
        """
        torque = self._aligned.spool.empty((len(rows), len(self._order)), np.float32)
        state = np.zeros(self._policy.state_size, dtype=np.float32)
        for part in blocks(len(rows), _BATCH):
            given = zip(*self.inputs(rows[part]), first[part], strict=True)
            for place, (position, velocity, goal, begins) in enumerate(given, part.start):
                if not np.isnan(begins):
                    state = np.full_like(state, begins)
                found = self._policy.answer(position, velocity, goal, state=state)
                torque[place] = found.torque[self._order]
                if found.next_state is not None:
                    state = found.next_state
        return torque
