# SPDX-License-Identifier: Apache-2.0
"""Positions and torques of a recording behind the same zero-phase low-pass filter.

The model of the arm is linear in the parameters, so both of its sides may be filtered alike: the
derivatives of the positions then have little noise, and the filter leaves no phase between them
and the torque ("parallel filtering": Gautier, Proc. IEEE CDC 1997; Swevers, Verdonck and De
Schutter, IEEE Control Systems Magazine 27(5), 2007). The filter is a Gaussian, which has no phase
and does not ring, and whose derivatives are the differentiators:

    x * G_σ,   ẋ ≈ x * G'_σ,   ẍ ≈ x * G''_σ,   |G_σ|(f) = exp(−2 π² σ² f²)

so that G_σ1 and then G_σ2 is G_σ with σ² = σ1² + σ2².
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

HALF_POWER = np.sqrt(np.log(2.0)) / (2.0 * np.pi)
"""σ times the frequency at which a Gaussian passes half of the power, −3 dB."""

CUTOFFS_HZ = (5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.0)
"""Those that are tried: motions of arms are below them, bending gears above."""

REACH = 4.0  # σ to either side that a filter's window has
BRIDGED_S = 0.02
"""s without a message that are no gap: motions behind these filters hardly change meanwhile."""

_FINEST = 1e-3  # s, the least step of the torque behind the filter
_FINE = 50.0  # such steps to a σ
_FEWEST_SAMPLES = 1.5  # of the positions to a σ: fewer make no derivative
_STEPS = 2.5  # of the regressors' grid to a σ of the second filter
_LOOKED_AT_S = 120.0  # of a recording, for its noise
_MAD = 1.4826  # standard deviations to a median absolute value of a normal distribution
_NOISE_SHARE = 0.005  # of the mean square of an acceleration
_EVEN = 0.02  # of a period: times so near to an even grid are on it
_HELD = 3.0  # periods of the commands after which it is open what a robot does with the last


@dataclass(frozen=True)
class Recorded:
    """What a recording has of an arm with n joints.

    Attributes:
        time_s: [m] s, ascending, of the positions.
        position: [m, n] rad.
        segment: [m] counts up after every gap.
        torque_time_s: [c] s, ascending.
        torque: [c, n] N·m.
        held: whether a torque acts until the next one, as a command does; else it is a sample.
    """

    time_s: Array
    position: Array
    segment: NDArray[np.integer]
    torque_time_s: Array
    torque: Array
    held: bool

    @property
    def period_s(self) -> float:
        """The median interval of the positions."""
        return float(np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else 0.0

    def first(self, seconds: float) -> Recorded:
        """Return its first seconds."""
        end = self.time_s[0] + seconds
        states, torques = (
            self.time_s <= end,
            np.abs(self.torque_time_s - self.time_s[0]) <= seconds,
        )
        return Recorded(
            self.time_s[states],
            self.position[states],
            self.segment[states],
            self.torque_time_s[torques],
            self.torque[torques],
            self.held,
        )


@dataclass(frozen=True)
class Filters:
    """The widths of both filters, s.

    Attributes:
        first: σ of the one that differentiates the positions.
        second: σ of the one behind the nonlinear terms.
    """

    first: float
    second: float

    @classmethod
    def of(cls, cutoff_hz: float, period_s: float) -> Filters:
        """Those that together pass half of the power at a frequency, or at a lower one.

        A derivative needs some samples to its σ: slowly sampled positions lower the frequency.
        """
        width = HALF_POWER / cutoff_hz
        first = max(width / np.sqrt(2.0), _FEWEST_SAMPLES * period_s)
        return cls(float(first), float(np.sqrt(max(width**2 - first**2, 0.5 * first**2))))

    @property
    def total(self) -> float:
        """σ of both together."""
        return float(np.hypot(self.first, self.second))

    @property
    def cutoff_hz(self) -> float:
        """Where both together pass half of the power."""
        return float(HALF_POWER / self.total)


@dataclass(frozen=True)
class Stretch:
    """A part of a recording without a gap, on an even grid.

    Attributes:
        time_s: [k] s.
        position, velocity, acceleration: [k, n] rad, rad/s, rad/s², behind the first filter.
        inside: [k] whether all of the first filter's window was recorded.
    """

    time_s: Array
    position: Array
    velocity: Array
    acceleration: Array
    inside: Bools


def stretches(recorded: Recorded, filters: Filters) -> Iterator[Stretch]:
    """Yield the parts of a recording that are longer than the filters' windows."""
    period = recorded.period_s
    if period <= 0.0:
        return
    stride = max(1, int(filters.second / (_STEPS * period)))
    edges = np.flatnonzero(np.diff(recorded.segment)) + 1
    for rows in np.split(np.arange(len(recorded.time_s)), edges):
        time = recorded.time_s[rows]
        if len(rows) < 4 or time[-1] - time[0] < 4.0 * REACH * filters.total:
            continue
        grid = time[0] + period * np.arange(int((time[-1] - time[0]) / period + 1e-6) + 1)
        position = _on_grid(time, recorded.position[rows], grid)
        place, speed, change = (
            _convolved(position, each)[::stride] for each in _kernels(filters.first, period)
        )
        edge = int(np.ceil(REACH * filters.first / period))
        inside = np.zeros(len(grid), dtype=bool)
        inside[edge : len(grid) - edge] = True
        yield Stretch(grid[::stride], place, speed, change, inside[::stride])


def second_filter(values: Array, step_s: float, filters: Filters) -> Array:
    """Return values [k, n] on an even grid behind the second filter."""
    return _convolved(values, _gaussian(filters.second, step_s))


def both_filters(values: Array, step_s: float, filters: Filters) -> Array:
    """Return values [k, n] on an even grid behind both filters."""
    return _convolved(values, _gaussian(filters.total, step_s))


def near(mask: Bools, step_s: float, width_s: float) -> Bools:
    """Return which places of [k, n], on an even grid, are within a time of one that is marked."""
    reach = int(np.ceil(width_s / step_s))
    window = np.ones(2 * reach + 1)
    counts = _convolved(mask.astype(np.float64), window, padded=0.0)
    return np.asarray(counts > 0.5)


@dataclass(frozen=True)
class FilteredTorque:
    """The torque behind both filters, to be read at any time.

    Attributes:
        start_s, step_s: the first time, and the step.
        values: [k, n] N·m.
        known: [k] whether it was recorded throughout the filter's window.
        period_s: the median interval of what was recorded.
    """

    start_s: float
    step_s: float
    values: Array
    known: Bools
    period_s: float

    def at(self, time_s: Array) -> Array:
        """Return the torque [w, n] at times [w]."""
        joints = range(self.values.shape[1])
        return np.stack([self.of(joint, time_s) for joint in joints], axis=1)

    def of(self, joint: int, time_s: Array) -> Array:
        """Return the torque [w] of one joint at times [w]."""
        place = (time_s - self.start_s) / self.step_s
        whole = np.clip(np.floor(place), 0, len(self.values) - 2).astype(np.intp)
        part, values = np.clip(place - whole, 0.0, 1.0), self.values[:, joint]
        return np.asarray(values[whole] * (1.0 - part) + values[whole + 1] * part)

    def slope(self, joint: int, time_s: Array) -> Array:
        """Return its derivative [w], N·m/s."""
        step = self.step_s
        return (self.of(joint, time_s + step) - self.of(joint, time_s - step)) / (2.0 * step)

    def known_between(self, first_s: Array, last_s: Array) -> Bools:
        """Return whether the torque is known at all times from [w] to [w]."""
        unknown = np.concatenate([[0], np.cumsum(~self.known)])
        low, high = (np.rint((t - self.start_s) / self.step_s) for t in (first_s, last_s))
        inside = (low >= 0) & (high < len(self.known))
        low, high = (np.clip(each, 0, len(self.known) - 1).astype(int) for each in (low, high))
        return np.asarray(inside & (unknown[high + 1] == unknown[low]))


def filtered_torque(recorded: Recorded, filters: Filters) -> FilteredTorque:
    """Return the torque of a recording behind both filters.

    A command is held until the next: its mean over each fine step is exact. After three of its
    periods without another it is unknown.
    """
    time, torque = recorded.torque_time_s, recorded.torque
    finite = np.isfinite(torque).all(axis=1)
    time, torque = time[finite], torque[finite]
    usual = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    step = max(_FINEST, filters.total / _FINE)
    edge = REACH * filters.total + 2.0 * step
    count = int((time[-1] - time[0] + 2.0 * edge) / step) + 2
    grid = time[0] - edge + step * np.arange(count)
    if recorded.held:
        lasting = np.append(np.diff(time), usual)
        area = np.vstack([np.zeros((1, torque.shape[1])), np.cumsum(torque * lasting[:, None], 0)])
        ends = np.append(time, time[-1] + max(usual, 1e-9))
        borders = np.append(grid - step / 2, grid[-1] + step / 2)
        values = np.diff(_linear(borders, ends, area), axis=0) / step
    else:
        values = _linear(grid, time, torque)
    place = np.clip(np.searchsorted(time, grid, side="right") - 1, 0, len(time) - 1)
    longest = max(_HELD * usual, BRIDGED_S)
    unknown = (grid < time[0]) | (grid - time[place] > longest)
    known = ~near(unknown[:, None], step, REACH * filters.total)[:, 0]
    filtered = both_filters(values, step, filters)
    return FilteredTorque(float(grid[0]), step, filtered, known, usual)


def position_noise(recorded: Recorded) -> Array:
    """Return the standard deviation of the noise of the positions, [n] rad.

    The fifth difference has hardly any of a motion, and of white noise √252 times its deviation.
    """
    differences = np.diff(recorded.position, 5, axis=0)
    if not len(differences):
        return np.zeros(recorded.position.shape[1])
    middle = np.median(np.abs(differences), axis=0)
    return np.asarray(_MAD * middle / np.sqrt(252.0))


def noise_passed(sigma_s: float, period_s: float) -> tuple[float, float]:
    """Return the velocity and acceleration, 1/s and 1/s², that a filter makes of 1 of noise.

    Of white noise, a sample each T, the derivatives of a Gaussian pass T ∫ G'² = T / (4 √π σ³)
    and T ∫ G''² = 3 T / (8 √π σ⁵) of the variance.
    """
    velocity = period_s / (4.0 * np.sqrt(np.pi) * sigma_s**3)
    acceleration = 3.0 * period_s / (8.0 * np.sqrt(np.pi) * sigma_s**5)
    return float(np.sqrt(velocity)), float(np.sqrt(acceleration))


def choose_cutoff(recorded: Recorded) -> float:
    """Return the highest cutoff, Hz, at which accelerations have next to no noise.

    What noise a regressor has, as a share of its mean square, an estimate loses.
    """
    recorded = recorded.first(_LOOKED_AT_S)
    noise, period = position_noise(recorded), recorded.period_s
    for cutoff in CUTOFFS_HZ:
        width = Filters.of(cutoff, period).total
        both = Filters(width, width)
        parts = [each.acceleration[each.inside] for each in stretches(recorded, both)]
        if not parts:
            continue
        square = np.mean(np.concatenate(parts) ** 2, axis=0)
        lost = (noise * noise_passed(width, period)[1]) ** 2 / np.maximum(square, 1e-12)
        moves = np.ptp(recorded.position, axis=0) > 0.05
        if moves.any() and np.median(lost[moves]) <= _NOISE_SHARE:
            return cutoff
    return CUTOFFS_HZ[-1]


def _linear(at: Array, time: Array, values: Array) -> Array:
    columns = [np.interp(at, time, values[:, j]) for j in range(values.shape[1])]
    return np.stack(columns, axis=1)


def _on_grid(time: Array, values: Array, grid: Array) -> Array:
    """Values [m, n] on an even grid: themselves, or a cubic Hermite interpolation of them."""
    period = grid[1] - grid[0]
    if len(grid) == len(time) and np.abs(time - grid).max() < _EVEN * period:
        return np.asarray(values, dtype=np.float64)
    slope = np.gradient(values, time, axis=0)
    place = np.clip(np.searchsorted(time, grid, side="right") - 1, 0, len(time) - 2)
    width = (time[place + 1] - time[place])[:, None]
    s = (grid - time[place])[:, None] / width
    left, right = values[place], values[place + 1]
    return np.asarray(
        left * (1 + 2 * s) * (1 - s) ** 2
        + right * s**2 * (3 - 2 * s)
        + width * (slope[place] * s * (1 - s) ** 2 - slope[place + 1] * s**2 * (1 - s))
    )


def _gaussian(sigma: float, step: float) -> Array:
    offset = step * np.arange(-int(np.ceil(REACH * sigma / step)), 1)
    half = np.exp(-0.5 * (offset / sigma) ** 2)
    window = np.concatenate([half, half[-2::-1]])
    return np.asarray(window / window.sum())


def _kernels(sigma: float, step: float) -> tuple[Array, Array, Array]:
    """Of the value and both derivatives, each exact on parabolas."""
    smooth = _gaussian(sigma, step)
    reach = len(smooth) // 2
    offset = step * np.arange(-reach, reach + 1)
    first = smooth * offset
    first /= -(first * offset).sum()
    second = smooth * (offset**2 - (smooth * offset**2).sum())
    second /= 0.5 * (second * offset**2).sum()
    return smooth, first, second


def _convolved(values: Array, window: Array, padded: float | None = None) -> Array:
    """Values [k, n] with a window, [k, n]; beyond their ends they stand, or are a number."""
    reach = len(window) // 2
    found = np.empty(values.shape)
    for j in range(values.shape[1]):
        column = values[:, j]
        ends = (column[0], column[-1]) if padded is None else (padded, padded)
        whole = np.concatenate([np.full(reach, ends[0]), column, np.full(reach, ends[1])])
        found[:, j] = np.convolve(whole, window, mode="valid")
    return found
