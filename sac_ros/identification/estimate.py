# SPDX-License-Identifier: Apache-2.0
"""The weighted least-squares fit of the model, and how far it can be off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sac_ros.identification.model import EARLIEST_S, LATEST_S, Regressors

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

PER_JOINT = ("torque_gain", "torque_bias", "armature", "joint_damping", "coulomb_friction")
OVERALL = ("payload_kg", "gravity_scale", "delay_s")
"""What is identified, per joint and of the whole arm."""

TIMING_S = 0.002
"""s, a step of the simulators: by so much one torque may act earlier than another."""

_FEWEST_ROWS = 20  # of a joint: fewer make no fit
_CARRIED = 0.15  # of the torque, both standard deviations: a gain is estimated from no less
_GRID_S = 0.005  # first search of the delay
_ROUNDS = 12  # of Gauss-Newton; it takes four
_BLOCK_S = 1.0  # s, and longer in long recordings: residuals are alike for less
_BLOCKS = 60
_PRIOR = 1e-8  # of a column's own square: what nothing excites stays as described
_LEAST_RESIDUAL = 1e-6  # of a joint's largest torque: a perfect fit weighs no more


@dataclass(frozen=True)
class Fit:
    """Estimates in the order of `PER_JOINT` and `OVERALL`; n joints.

    Attributes:
        joint: [n, 5] gain, bias (N·m), armature (kg·m²), damping (N·m·s/rad), Coulomb (N·m).
        joint_error: [n, 5] half of the 95 % intervals; infinite where nothing was to be fitted.
        overall: [3] payload (kg), gravity scale, delay (s).
        overall_error: [3] likewise.
        fitted: [n] whether a joint has any rows.
        free: [n] whether its gain was fitted; else it is 1.
        explained: [n] 1 − the mean square of the residual over that of the torque about its mean.
        residual: [n] N·m, RMS.
    """

    joint: Array
    joint_error: Array
    overall: Array
    overall_error: Array
    fitted: Bools
    free: Bools
    explained: Array
    residual: Array


@dataclass(frozen=True)
class _State:
    """Where Gauss-Newton is: θ of the model, [n, 5] and [3], and each joint's σ [n] N·m."""

    joint: Array  # k, b', a', v', c'
    overall: Array  # m, e, d
    sigma: Array


def fit(found: Regressors, gain_within: float) -> Fit:
    """Fit the model, first with every joint's gain, then with those that can be estimated.

    A gain that is not estimated within ``gain_within`` at 95 %, or by a small part of the torque,
    is 1 from then on: where a joint's own inertia is most of what it moves, only the quotients of
    friction, inertia and gain are estimated.

    The residuals of a recording are like their neighbours, so what each estimate is off by is
    that of a delete-one-block jackknife (Efron and Tibshirani 1993, ch. 11; Künsch, Ann. Statist.
    17, 1989) over blocks of a second and more, which holds where errors are alike within a block
    and of unlike size, and has the leverage of single blocks in it.
    """
    n = found.rigid.shape[1]
    fitted = found.usable.sum(axis=0) >= _FEWEST_ROWS
    free = np.zeros(n, dtype=bool)
    start = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (n, 1))
    state = _State(start, np.zeros(3), _torque_size(found, fitted))
    if not fitted.any():
        return _result(found, state, fitted, free)
    delay = _delay_on_grid(found, state, fitted)
    state = replace(state, overall=np.array([0.0, 0.0, delay]))
    state = _converged(found, state, fitted, free)
    every = _result(found, _converged(found, state, fitted, fitted), fitted, fitted)
    within = np.hypot(every.joint_error[:, 0], timing_of_gain(found, every)) <= gain_within
    free = fitted & within & _carries(found, fitted)
    return _result(found, _converged(found, state, fitted, free), fitted, free)


def timing_of_gain(found: Regressors, fit: Fit) -> Array:
    """What a gain may be off by, as friction may act some ms earlier or later than inertia, [n].

    v q̇(t + δ) ≈ v q̇ + v δ q̈: in a joint that damps more than it carries, a drive's delay, or a
    simulator's time step, looks like inertia.
    """
    off = np.zeros(len(fit.fitted))
    for i in np.flatnonzero(fit.fitted).tolist():
        rows = found.usable[:, i]
        accelerated = float(np.sqrt(np.mean(found.acceleration[rows, i] ** 2)))
        inertia = float(np.std(found.rigid[rows, i])) / max(accelerated, 1e-9)
        off[i] = fit.joint[i, 0] * TIMING_S * abs(fit.joint[i, 3]) / max(inertia, 1e-9)
    return off


def _carries(found: Regressors, fitted: Bools) -> Bools:
    """Return of which joints a good part of the torque moves links whose masses are known, [n]."""
    carries, size = np.zeros(len(fitted), dtype=bool), _torque_size(found, fitted)
    for i in np.flatnonzero(fitted).tolist():
        carries[i] = np.std(found.rigid[found.usable[:, i], i]) >= _CARRIED * size[i]
    return carries


def _torque_size(found: Regressors, fitted: Bools) -> Array:
    size = np.ones(len(fitted))
    for i in np.flatnonzero(fitted).tolist():
        torque = found.torque.of(i, found.time_s[found.usable[:, i]])
        size[i] = max(float(np.std(torque)), 1e-9)
    return size


def _columns(found: Regressors, state: _State, i: int) -> tuple[Array, Array]:
    """The residual [r] of joint i, and what it falls by with each of θ [r, 8]."""
    rows = found.usable[:, i]
    k, bias, *drag = state.joint[i]
    m, e, delay = state.overall
    time = found.time_s[rows] - delay
    rigid, payload, gravity = (
        each[rows, i] for each in (found.rigid, found.payload, found.gravity)
    )
    carried = rigid + m * payload + e * gravity
    motion = [each[rows, i] for each in (found.acceleration, found.velocity, found.sign)]
    torque = found.torque.of(i, time)
    residual = torque - k * carried - sum(a * b for a, b in zip(drag, motion, strict=True)) + bias
    slope = found.torque.slope(i, time)
    columns = [carried, -np.ones(len(time)), *motion, k * payload, k * gravity, slope]
    return residual, np.stack(columns, axis=1)


def _delay_on_grid(found: Regressors, state: _State, fitted: Bools) -> float:
    """The delay with the smallest sum of squares, all else fitted at gain 1, s."""
    n = len(fitted)
    delays = np.arange(EARLIEST_S, LATEST_S - 0.02, _GRID_S)
    matrix, parts = np.zeros((4 * n + 2, 4 * n + 2)), []
    for i in np.flatnonzero(fitted).tolist():
        columns = _columns(found, state, i)[1][:, 1:7] / state.sigma[i]
        place = [*range(4 * i, 4 * i + 4), 4 * n, 4 * n + 1]
        matrix[np.ix_(place, place)] += columns.T @ columns
        parts.append((i, place, columns))
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-12))
    inverse = np.linalg.pinv(matrix / np.outer(scale, scale), rcond=1e-10, hermitian=True)
    costs = []
    for delay in delays:
        right, square = np.zeros(4 * n + 2), 0.0
        for i, place, columns in parts:
            rows = found.usable[:, i]
            torque = found.torque.of(i, found.time_s[rows] - delay)
            y = (torque - found.rigid[rows, i]) / state.sigma[i]
            right[place] += columns.T @ y
            square += float(y @ y)
        costs.append(square - float(right / scale @ inverse @ (right / scale)))
    return float(delays[int(np.argmin(costs))])


def _converged(found: Regressors, state: _State, fitted: Bools, free: Bools) -> _State:
    """Gauss-Newton with each joint weighted by its own residual."""
    n = len(fitted)
    for _ in range(_ROUNDS):
        sums = _Sums.of(found, state, fitted, free, blocks=np.zeros(len(found.time_s), int))
        step = sums.solve(sums.matrix[0], sums.right[0])
        overall = state.overall + step[5 * n :]
        overall[2] = np.clip(
            np.clip(overall[2], state.overall[2] - _GRID_S, state.overall[2] + _GRID_S),
            EARLIEST_S + 0.002,
            LATEST_S - 0.002,
        )
        joint = state.joint + step[: 5 * n].reshape(n, 5)
        joint[:, 0] = np.clip(joint[:, 0], 0.2, 5.0)
        small = np.abs(step) <= 1e-7 * (1.0 + np.abs(np.append(joint.ravel(), overall)))
        state = _State(joint, overall, _residual_size(found, state, fitted))
        if small.all():
            break
    return state


def _residual_size(found: Regressors, state: _State, fitted: Bools) -> Array:
    size = state.sigma.copy()
    for i in np.flatnonzero(fitted).tolist():
        residual, _ = _columns(found, state, i)
        least = _LEAST_RESIDUAL * np.abs(found.torque.values[:, i]).max() + 1e-9
        size[i] = max(float(np.sqrt(np.mean(residual**2))), least)
    return size


@dataclass(frozen=True)
class _Sums:
    """Normal equations [b, p, p] and [b, p] of each block, p = 5 n + 3.

    A joint whose gain is only taken as 1 does not take part in those of payload and gravity, where
    others do: what its gain is off by would be weight.
    """

    matrix: Array
    right: Array
    prior: Array
    used: Bools

    @classmethod
    def of(
        cls,
        found: Regressors,
        state: _State,
        fitted: Bools,
        free: Bools,
        blocks: NDArray[np.intp],
    ) -> _Sums:
        n, count = len(fitted), int(blocks.max()) + 1
        size = 5 * n + 3
        matrix, right = np.zeros((count, size, size)), np.zeros((count, size))
        used = np.ones(size, dtype=bool)
        for i in range(n):
            used[5 * i : 5 * i + 5] = fitted[i]
            used[5 * i] = free[i]
        for i in np.flatnonzero(fitted).tolist():
            residual, columns = _columns(found, state, i)
            place = [*range(5 * i, 5 * i + 5), *range(5 * n, size)]
            residual, columns = residual / state.sigma[i], columns / state.sigma[i]
            asking = columns
            if free.any() and not free[i]:
                asking = columns * _NO_LOAD
            block = blocks[found.usable[:, i]]
            for each in np.unique(block).tolist():
                rows = block == each
                matrix[each][np.ix_(place, place)] += asking[rows].T @ columns[rows]
                right[each][place] += asking[rows].T @ residual[rows]
        prior = np.append(np.tile(1.0 / _WIDEST[:5] ** 2, n), 1.0 / _WIDEST[5:] ** 2)
        return cls(matrix, right, prior, used)

    def solve(self, matrix: Array, right: Array) -> Array:
        """The step of the parameters in use; the others do not move."""
        u = self.used
        whole = matrix[np.ix_(u, u)] + np.diag(self.prior[u])
        scale = np.sqrt(np.diag(whole))
        found = np.zeros(len(right))
        found[u] = np.linalg.solve(whole / np.outer(scale, scale), right[u] / scale) / scale
        return found

    def variance(self, matrix: Array) -> Array:
        """Of independent residuals, [p]: the least that an estimate can have."""
        u = self.used
        whole = matrix[np.ix_(u, u)] + np.diag(self.prior[u])
        scale = np.sqrt(np.diag(whole))
        found = np.full(len(matrix), np.inf)
        inverse = np.linalg.inv(whole / np.outer(scale, scale))
        found[u] = np.abs(np.diag(inverse)) / scale**2
        return found


_NO_LOAD = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0])  # of a joint's columns

_WIDEST = np.array([0.5, 100.0, 10.0, 100.0, 100.0, 50.0, 3.0, 0.5])
"""As far as anything may be from described: the prior's standard deviations, of `_State`."""


def _blocks(found: Regressors) -> NDArray[np.intp]:
    used = found.usable.any(axis=1)
    step = float(np.median(np.diff(found.time_s))) if len(found.time_s) > 1 else 1.0
    length = max(_BLOCK_S, used.sum() * step / _BLOCKS)
    # By the rows that are in use: blocks of about as much information.
    return np.asarray(np.cumsum(used) * step // length, dtype=np.intp)


def _result(found: Regressors, state: _State, fitted: Bools, free: Bools) -> Fit:
    n = len(fitted)
    joint, overall = _physical(state.joint, state.overall)
    error = np.full(5 * n + 3, np.inf)
    explained, residual = np.zeros(n), np.zeros(n)
    if fitted.any():
        error = _errors(found, state, fitted, free)
        for i in np.flatnonzero(fitted).tolist():
            left, _ = _columns(found, state, i)
            torque = found.torque.of(i, found.time_s[found.usable[:, i]] - overall[2])
            residual[i] = np.sqrt(np.mean(left**2))
            explained[i] = 1.0 - np.mean(left**2) / max(float(np.var(torque)), 1e-18)
    return Fit(
        joint=joint,
        joint_error=error[: 5 * n].reshape(n, 5),
        overall=overall,
        overall_error=error[5 * n :],
        fitted=fitted,
        free=free,
        explained=explained,
        residual=residual,
    )


def _physical(joint: Array, overall: Array) -> tuple[Array, Array]:
    """Gain, bias, armature, damping, friction [..., n, 5]; payload, γ, delay [..., 3]."""
    k = joint[..., :1]
    m, e, d = np.moveaxis(overall, -1, 0)
    return np.concatenate([1.0 / k, joint[..., 1:] / k], axis=-1), np.stack([m, 1.0 - e, d], -1)


def _errors(found: Regressors, state: _State, fitted: Bools, free: Bools) -> Array:
    """Half of the 95 % intervals [p], by the jackknife, and no smaller than of white residuals."""
    n = len(fitted)
    sums = _Sums.of(found, state, fitted, free, _blocks(found))
    present = np.flatnonzero(sums.matrix.any(axis=(1, 2)))
    count, whole, right = len(present), sums.matrix.sum(axis=0), sums.right.sum(axis=0)
    white = 1.96 * np.sqrt(sums.variance(whole))
    gains = np.repeat(state.joint[:, 0], 5)
    gains[::5] **= 2
    white[: 5 * n] /= gains
    if count < 3:
        return np.full(len(white), np.inf)
    steps = [sums.solve(whole - sums.matrix[b], right - sums.right[b]) for b in present]
    left_out = np.array(steps)
    joint = state.joint + left_out[:, : 5 * n].reshape(count, n, 5)
    joint[..., 0] = np.clip(joint[..., 0], 0.05, 20.0)
    parts = _physical(joint, state.overall + left_out[:, 5 * n :])
    each = np.concatenate([parts[0].reshape(count, -1), parts[1]], axis=1)
    spread = np.sqrt((count - 1) / count * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    error = np.maximum(_student(count - 1) * spread, white)
    error[~sums.used] = np.inf
    return error


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution (Abramowitz and Stegun 1964, 26.7.5)."""
    z = 1.959964
    g1, g2 = (z**3 + z) / 4.0, (5 * z**5 + 16 * z**3 + 3 * z) / 96.0
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384.0
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3
