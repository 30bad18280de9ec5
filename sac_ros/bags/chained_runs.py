# SPDX-License-Identifier: Apache-2.0
"""Inference where every run needs the state that the one before left, still in batches.

One after the other, such runs take as long as on the robot. But a policy forgets: after some
hundred runs it no longer matters which state it began with. So a recording is cut into pieces
that run side by side, each from zeros at first; then those that began wrongly run again from
where the piece before them ended, until they meet what they did before. When no beginning changes
any more, the states are those of one long chain, to the bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Spool, blocks
from sac_ros.bags.policy_inputs import PolicyInputs
from sac_ros.policy.runtime import Policy

_LENGTH = 512  # runs of one piece; some hundred are what it takes to forget
_PIECES = 64  # side by side, which bounds the memory
_SAME = 1e-6  # of the torque limit, a tenth of what is asked of a replay


def chained_runs(
    policy: Policy,
    inputs: PolicyInputs,
    rows: NDArray[np.intp],
    begins: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    spool: Spool,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the torques [d, n] N·m of runs for the states ``rows`` [d], and which are known.

    Before an orphan, a run is missing in the recording, and with it the state. It is run from
    −1 and from +1 throughout; where both lead to the same torque, it does not matter any more.

    Args:
        policy: has a state.
        inputs: what it is given.
        rows: [d] the states.
        begins: [d] whether a run begins with zeros, and [d] whether it is an orphan.
        spool: where the torques go.
    """
    anew, orphan = begins
    first = np.where(anew, 0.0, np.where(orphan, -1.0, np.nan)).astype(np.float32)
    torque = _chain(policy, inputs, rows, first, spool)
    known = np.ones(len(rows), dtype=bool)
    if orphan.any():
        other = _chain(policy, inputs, rows, np.where(orphan, -first, first), spool)
        limit = np.array(policy.spec.torque_limit)[inputs.order]
        for part in blocks(len(rows)):
            apart = np.abs(torque[part] - other[part]) / limit
            known[part] = (apart < _SAME).all(axis=1)
    return torque, known


def _chain(
    policy: Policy,
    inputs: PolicyInputs,
    rows: NDArray[np.intp],
    first: NDArray[np.float32],
    spool: Spool,
) -> NDArray[np.float32]:
    """Return the torques; ``first`` [d] is every entry of the state of a run that begins."""
    n = len(inputs.order)
    torque = spool.empty((len(rows), n), np.float32)
    last = np.zeros(policy.state_size, dtype=np.float32)
    for part in blocks(len(rows), _LENGTH * _PIECES):
        count = part.stop - part.start
        pieces = -(-count // _LENGTH)
        # [length, pieces]: a column is a piece; what is missing in the last repeats its end.
        place = np.arange(pieces * _LENGTH).reshape(pieces, _LENGTH).T
        place = part.start + np.minimum(place, count - 1)
        asked, ended = _settled(policy, inputs.at(rows[place]), first[place], last)
        torque[part] = asked.swapaxes(0, 1).reshape(-1, n)[:count][:, inputs.order]
        last = ended.swapaxes(0, 1).reshape(-1, len(last))[count - 1]
    return torque


def _settled(
    policy: Policy,
    inputs: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    first: NDArray[np.float32],
    last: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return torques [length, pieces, n] and the states after them [length, pieces, m].

    ``last`` [m] is the state before all of them.
    """
    position, velocity, goal = inputs
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
            found = policy.answer(position[t], velocity[t], goal[t], state=before)
            asked[t], ended[t] = found.torque, found.next_state
            state = ended[t]
        ends = np.concatenate([begins[:1], ended[-1, :-1]])
        if np.array_equal(ends, begins, equal_nan=True):
            break
        begins = ends
    return asked, ended
