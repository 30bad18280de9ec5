# SPDX-License-Identifier: Apache-2.0
"""A policy run on recorded states in batches, its joints in the order of the recording.

Runs of a policy with memory need the state that the one before left; one after the other, they
take as long as on the robot. But a policy forgets: after some hundred runs it no longer matters
which state it began with. So a recording is cut into pieces that run side by side, each from
zeros at first; then those that began wrongly run again from where the piece before them ended,
until they meet what they did before. When no beginning changes any more, the states are those of
one long chain, to the bit.
"""

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
_LENGTH = 512  # runs of one piece; some hundred are what it takes to forget
_PIECES = 64  # side by side, which bounds the memory
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

    def batched(self, rows: NDArray[np.intp]) -> Float32:
        """Return the torques [d, n] N·m of a policy without memory for the states ``rows`` [d]."""
        torque = self._aligned.spool.empty((len(rows), len(self._order)), np.float32)
        for part in blocks(len(rows), _BATCH):
            torque[part] = self._policy(*self.inputs(rows[part]))[0][:, self._order]
        return torque

    def chained(
        self,
        rows: NDArray[np.intp],
        anew: NDArray[np.bool_],
        orphan: NDArray[np.bool_],
    ) -> tuple[Float32, NDArray[np.bool_]]:
        """Return the torques [d, n] N·m of a policy with memory, and which of them are known.

        Before an orphan, a run is missing in the recording, and with it the state. It is run from
        −1 and from +1 throughout; where both lead to the same torque, it does not matter any more.

        ``rows`` [d] are the states; ``anew`` and ``orphan`` [d], whether a run begins with zeros,
        and whether the run before it is missing.
        """
        first = np.where(anew, 0.0, np.where(orphan, -1.0, np.nan)).astype(np.float32)
        torque = self._chain(rows, first)
        known = np.ones(len(rows), dtype=bool)
        if orphan.any():
            other = self._chain(rows, np.where(orphan, -first, first))
            limit = np.array(self.spec.torque_limit)
            for part in blocks(len(rows)):
                apart = np.abs(torque[part] - other[part]) / limit
                known[part] = (apart < _SAME).all(axis=1)
        return torque, known

    def _chain(self, rows: NDArray[np.intp], first: Float32) -> Float32:
        """Return the torques; ``first`` [d] is every entry of the state of a run that begins."""
        n = len(self._order)
        torque = self._aligned.spool.empty((len(rows), n), np.float32)
        last = np.zeros(self._policy.state_size, dtype=np.float32)
        for part in blocks(len(rows), _LENGTH * _PIECES):
            count = part.stop - part.start
            pieces = -(-count // _LENGTH)
            # [length, pieces]: a column is a piece; what is missing in the last repeats its end.
            place = np.arange(pieces * _LENGTH).reshape(pieces, _LENGTH).T
            place = part.start + np.minimum(place, count - 1)
            asked, ended = self._settled(rows[place], first[place], last)
            torque[part] = asked.swapaxes(0, 1).reshape(-1, n)[:count][:, self._order]
            last = ended.swapaxes(0, 1).reshape(-1, len(last))[count - 1]
        return torque

    def _settled(
        self, states: NDArray[np.intp], first: Float32, last: Float32
    ) -> tuple[Float32, Float32]:
        """Return torques [length, pieces, n] and the policy's states after them.

        ``last`` is the policy's state before all of them.
        """
        position, velocity, goal = self.inputs(states)
        length, pieces, n = position.shape
        asked = np.empty((length, pieces, n), np.float32)
        ended, previous = (np.empty((length, pieces, len(last)), np.float32) for _ in range(2))
        begins = np.zeros((pieces, len(last)), dtype=np.float32)
        begins[0] = last
        for sweep in range(pieces + 1):
            state = begins
            for t in range(length):
                given = first[t][:, np.newaxis]
                before = np.where(np.isnan(given), state, given)
                if sweep and np.array_equal(before, previous[t], equal_nan=True):
                    break  # from here on everything is as in the sweep before
                previous[t] = before
                found = self._policy.answer(position[t], velocity[t], goal[t], state=before)
                asked[t], ended[t] = found.torque, found.next_state
                state = ended[t]
            ends = np.concatenate([begins[:1], ended[-1, :-1]])
            if np.array_equal(ends, begins, equal_nan=True):
                break
            begins = ends
        return asked, ended
