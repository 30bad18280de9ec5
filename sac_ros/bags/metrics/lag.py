# SPDX-License-Identifier: Apache-2.0
"""How far a policy runs behind the recording: where their cross-correlation is largest.

Both torques are samples at the times at which they change, not rows of states: where commands come
at the policy's own rate, each meets the torque that the policy still holds, and a lag below one
control period cannot be seen in such pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array, Spool, take_rows

_WINDOW_S = 0.5  # searched to either side; what is later is no lag but another motion
_ROWS = 2**14  # of a grid that are handled at a time
_GAP_PERIODS = 3.0  # a longer interval between two changes is not interpolated across
_UNEVEN = 0.1  # share of unusual intervals, from which on a torque is not held evenly
_OVERLAP = 0.05  # share of the samples that a lag needs: few of them correlate by chance
_MOVES = 1e-9  # a variance below this share of the mean square is rounding
_LIKENESS = 0.5  # a correlation below it is of two torques that have no lag
_COARSE_S = 0.02  # a lag with a coarser resolution than this is unknown
_AS_HIGH = 0.01  # another peak that is lower by less could be the right one


@dataclass(frozen=True)
class LagFigures:
    """How far the policy's torque runs behind the recorded one (positive) or ahead of it."""

    lag_s: Annotated[tuple[float | None, ...], "[n] of the best correlation; None: unknown."]
    overall_s: Annotated[float | None, "of the correlations summed over joints; None: unknown."]
    unknown: Annotated[str | None, "why `overall_s` is unknown; None where it is known."]
    resolution_s: Annotated[float | None, "`overall_s` is known to ± this; None: nothing moves."]
    correlation: Annotated[float | None, "the largest, of all joints; None: nothing moves."]
    joint_correlation: Annotated[tuple[float | None, ...], "[n] the largest of each."]
    spread_s: Annotated[float | None, "largest less smallest `lag_s`; None for fewer than two."]
    window_s: Annotated[float, "the search went from −window_s to window_s."]
    rmse_fraction: Annotated[float, "raw, as in `ErrorRow`."]
    compensated_rmse_fraction: Annotated[
        float | None, "after shifting every joint by `overall_s`."
    ]


@dataclass(frozen=True)
class Steps:
    """A torque that is held from one change to the next.

    Attributes:
        time_s: [k] when it changes, ascending.
        torque: [k, n] N·m from then on.
        segment: [k] counts up after every gap, across which nothing is held.
        spool: where large arrays go.
    """

    time_s: Array
    torque: NDArray[np.floating]
    segment: NDArray[np.integer]
    spool: Spool = field(default_factory=Spool)

    def changes(self) -> Steps:
        """Return it without the samples that repeat the one before.

        Of a torque that stands still for longer, the sample one period before the next change
        stays, so that an interpolation does not begin to rise with the standstill.
        """
        new = np.ones(len(self.time_s), dtype=bool)
        new[1:] = (self.torque[1:] != self.torque[:-1]).any(axis=1)
        breaks = self.segment[1:] != self.segment[:-1]
        new[1:] |= breaks
        rows, ends = np.flatnonzero(new), np.append(np.flatnonzero(breaks), len(new) - 1)
        period = float(np.median(np.diff(self.time_s[rows]))) if len(rows) > 1 else 0.0
        eve = np.searchsorted(self.time_s, self.time_s[rows] - 1.01 * period)
        eve = np.minimum(np.maximum(eve[1:], rows[:-1]), rows[1:])
        rows = np.unique(np.concatenate([rows, eve, ends]))
        torque = take_rows(self.spool, self.torque, rows)
        return replace(self, time_s=self.time_s[rows], torque=torque, segment=self.segment[rows])

    def joined(self, slack_s: float) -> Steps:
        """Return it with a new segment after every interval of more than three periods, too.

        ``slack_s`` is added to a period: what arrives late leaves no gap.
        """
        intervals = np.diff(self.time_s)
        usual = (np.median(intervals) if len(intervals) else 0.0) + slack_s
        breaks = (intervals > _GAP_PERIODS * usual) | (np.diff(self.segment) != 0)
        return replace(self, segment=np.concatenate([[0], np.cumsum(breaks)]))

    @property
    def period_s(self) -> float:
        """The median interval of its changes."""
        return float(np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else 0.0

    @property
    def unevenness_s(self) -> float:
        """Half of how long it is held at most, where it is held unevenly: a ramp, then a rest."""
        intervals, usual = np.diff(self.time_s), self.period_s
        other = (intervals < 0.5 * usual) | (intervals > 1.5 * usual)
        if other.sum() <= _UNEVEN * len(other):
            return 0.0
        return float(np.quantile(intervals, 0.9)) / 2

    def spans(self) -> Iterator[slice]:
        """Yield the rows of each segment."""
        edges = [0, *(np.flatnonzero(np.diff(self.segment)) + 1).tolist(), len(self.time_s)]
        for first, last in zip(edges[:-1], edges[1:], strict=True):
            yield slice(first, last)

    def held(self, rows: slice, grid: Array, tolerance: float) -> Array:
        """Return the torque [w, n] at the times ``grid`` [w], as a robot holds it."""
        place = np.searchsorted(self.time_s[rows], grid + tolerance, side="right") - 1
        return np.asarray(self.torque[rows.start + np.maximum(place, 0)], dtype=np.float64)

    def between(self, rows: slice, grid: Array) -> Array:
        """Return the torque [w, n] at the times ``grid`` [w], interpolated between its changes."""
        near = np.searchsorted(self.time_s[rows], [grid[0], grid[-1]])
        part = slice(rows.start + max(int(near[0]) - 1, 0), rows.start + int(near[1]) + 1)
        part = slice(part.start, min(part.stop, rows.stop))
        times, torque = self.time_s[part], self.torque[part]
        columns = [np.interp(grid, times, torque[:, j]) for j in range(torque.shape[1])]
        return np.stack(columns, axis=1)


def lag_figures(
    recorded: Steps,
    policy: Steps,
    period_s: float,
    jitter_s: float,
    limit: Array,
    rmse_fraction: float,
) -> tuple[LagFigures, Array, Array]:
    """Return the figures, the lags [l] in s, and the correlation [l, n] at each.

    With x (recorded) and y (policy) interpolated between their changes, Pearson's correlation of
    x(t) and y(t + k), over the t at which both are there, is largest at the lag k; a parabola
    through the three largest values gives it to a fraction of the grid. Interpolated, two torques
    of different rates compare, and so do two that were decided on different states.

    The same with both torques held, less half the difference of how long each is held, has to
    find the same lag. It is known to ± the largest of

    - half a period of the states, and the jitter, and half of an uneven hold;
    - the difference of the two, where it is more than one period of the states;
    - 2 σ with σ² = (1/ρ² − 1) / (N β²), β² = −r''/r at the peak ρ, N = max(1, T β / 2π): torques
      that are not quite the same have no exact lag.

    ``period_s`` is the states' and the grid's, ``jitter_s`` what the times of the recorded torque
    are uncertain by; ``limit`` is [n] N·m. For ``rmse_fraction`` see `LagFigures`.
    """
    n, reach = len(limit), max(round(_WINDOW_S / period_s), 1)
    lags = np.arange(-reach, reach + 1)
    recorded, policy = recorded.joined(jitter_s).changes(), policy.joined(0.0)
    found = _Sums(lags, limit).add(_grids(recorded, policy, period_s, smooth=True))
    correlation, overall, span_s = found.joints(), found.overall(), found.samples * period_s
    peaks = [_peak(correlation[:, j], period_s) for j in range(n)]
    best = _peak(overall, period_s)
    resolution = None
    if best is not None:
        held = _Sums(lags, limit).add(_grids(recorded, policy, period_s, smooth=False)).overall()
        resolution = max(
            period_s / 2 + jitter_s + recorded.unevenness_s + policy.unevenness_s,
            _disagreement(best, _peak(held, period_s), recorded, policy, period_s),
            2.0 * _sigma(best, span_s),
        )
    unknown = _unknown(best, overall, resolution, period_s, found)
    known = best is not None and unknown is None
    each = [p.lag_s if known and p is not None and _clear(p, span_s) else None for p in peaks]
    clear = [lag for lag in each if lag is not None]
    shifted = None
    if best is not None and known:
        shift = round(best.lag_s / period_s)
        shifted = _shifted_rmse(_grids(recorded, policy, period_s, smooth=False), shift, limit)
    figures = LagFigures(
        lag_s=tuple(each),
        overall_s=best.lag_s if best is not None and known else None,
        unknown=unknown,
        resolution_s=resolution,
        correlation=None if best is None else best.height,
        joint_correlation=tuple(None if p is None else p.height for p in peaks),
        spread_s=max(clear) - min(clear) if len(clear) > 1 else None,
        window_s=reach * period_s,
        rmse_fraction=rmse_fraction,
        compensated_rmse_fraction=shifted,
    )
    return figures, (lags * period_s).astype(np.float64), correlation


@dataclass(frozen=True)
class _Peak:
    """The largest value of a correlation: where, how high, −r''/r there in 1/s², at the edge."""

    lag_s: float
    height: float
    bend: float
    edge: bool


def _peak(correlation: Array, period_s: float) -> _Peak | None:
    """Return the largest of the correlations [l], a parabola put through it; None of nothing."""
    known = np.flatnonzero(np.isfinite(correlation))
    if not len(known):
        return None
    place, reach = int(np.nanargmax(correlation)), len(correlation) // 2
    top = float(correlation[place])
    if place in (known[0], known[-1]):
        return _Peak((place - reach) * period_s, top, 0.0, edge=True)
    before, after = float(correlation[place - 1]), float(correlation[place + 1])
    bend = 2.0 * top - before - after
    part = 0.5 * (after - before) / bend if bend > 0.0 else 0.0
    curvature = bend / (max(abs(top), 1e-9) * period_s**2)
    return _Peak((place - reach + part) * period_s, top, curvature, edge=False)


def _disagreement(
    smooth: _Peak, held: _Peak | None, recorded: Steps, policy: Steps, period_s: float
) -> float:
    """Return how far apart both ways put the lag, s; 0 where the grid explains it.

    Where the torques as they are held are more alike than interpolated ones, both are held for as
    long, and one only ramps: the slew limit's changes are no periods.
    """
    if held is None or held.edge:
        return 0.0 if held is None else np.inf
    ramps = held.height > smooth.height
    longer = 0.0 if ramps else (policy.period_s - recorded.period_s) / 2
    apart = abs(held.lag_s - longer - smooth.lag_s)
    return apart if apart > period_s else 0.0


def _sigma(peak: _Peak, span_s: float) -> float:
    """Return the standard deviation of a peak's place, s; see `lag_figures`."""
    if peak.height <= 0.0 or peak.bend <= 0.0:
        return np.inf
    noise = max(1.0 / peak.height**2 - 1.0, 0.0)
    independent = max(1.0, span_s * np.sqrt(peak.bend) / (2 * np.pi))
    return float(np.sqrt(noise / (independent * peak.bend)))


def _clear(peak: _Peak, span_s: float) -> bool:
    """Whether the lag of one joint is known."""
    if peak.edge or peak.height < _LIKENESS:
        return False
    return 2.0 * _sigma(peak, span_s) <= _COARSE_S


def _unknown(
    best: _Peak | None, overall: Array, resolution: float | None, period_s: float, found: _Sums
) -> str | None:
    """Return why the lag is unknown, in words; None where it is known."""
    if best is None or resolution is None:
        if not found.samples:
            return "the torques do not overlap"
        return "a torque that never changes has no lag"
    if best.height < _LIKENESS:
        return f"the largest correlation is {best.height:.2f}, below {_LIKENESS:g}"
    if best.edge:
        return "the correlation is largest at the edge of the search"
    if resolution > _COARSE_S:
        return f"its resolution is more than ±{1e3 * _COARSE_S:g} ms"
    inner = overall[1:-1]
    tops = np.flatnonzero((inner >= overall[:-2]) & (inner >= overall[2:])) + 1
    places = (tops - len(overall) // 2) * period_s
    rivals = places[
        (overall[tops] > best.height - _AS_HIGH)
        & (np.abs(places - best.lag_s) > max(resolution, 2 * period_s))
    ]
    # Beside a peak that is this sharp, a ripple on its slope is no rival: it needs a valley.
    for rival in rivals.tolist():
        low, high = sorted((rival, best.lag_s))
        grid = (np.arange(len(overall)) - len(overall) // 2) * period_s
        if np.nanmin(overall[(grid >= low) & (grid <= high)]) < best.height - 2 * _AS_HIGH:
            return f"the torques repeat themselves after {1e3 * abs(rival - best.lag_s):.0f} ms"
    return None


def _grids(
    recorded: Steps, policy: Steps, period_s: float, smooth: bool
) -> Iterator[tuple[Array, Array]]:
    """Yield both torques [w, n] on an even grid, wherever neither has a gap."""
    theirs = list(policy.spans())
    ends = np.array([policy.time_s[span.stop - 1] for span in theirs])
    for span in recorded.spans():
        first, last = recorded.time_s[span.start], recorded.time_s[span.stop - 1]
        for other in theirs[int(np.searchsorted(ends, first)) :]:
            start = max(first, policy.time_s[other.start])
            if policy.time_s[other.start] > last:
                break
            end = min(last, policy.time_s[other.stop - 1])
            rows = int((end - start) / period_s * (1 + 1e-9)) + 1
            for row in range(0, rows if rows > 1 else 0, _ROWS):
                grid = start + np.arange(row, min(row + _ROWS, rows)) * period_s
                if smooth:
                    yield recorded.between(span, grid), policy.between(other, grid)
                else:  # a sample counts from a hundredth before its time: stamps are rounded
                    slack = 0.01 * period_s
                    yield recorded.held(span, grid, slack), policy.held(other, grid, slack)


class _Sums:
    """What a correlation at each of the lags [l] follows from, summed over windows.

    Attributes:
        samples: of the grid, both torques there.
    """

    def __init__(self, lags: NDArray[np.int64], limit: Array) -> None:
        self.samples = 0
        self._lags, self._limit = lags, limit
        self._count = np.zeros((len(lags), 1))
        self._sum, self._square = np.zeros((2, 2, len(lags), len(limit)))
        self._product = np.zeros((len(lags), len(limit)))
        self._middle: tuple[Array, Array] | None = None

    def add(self, windows: Iterator[tuple[Array, Array]]) -> _Sums:
        """Add windows (recorded, policy), each [w, n]; return itself."""
        for recorded, policy in windows:
            if self._middle is None:  # near the mean, so that nothing cancels
                self._middle = recorded.mean(axis=0), policy.mean(axis=0)
            x, y = recorded - self._middle[0], policy - self._middle[1]
            rows, reach = len(x), len(self._lags) // 2
            self.samples += rows
            size = 2 ** int(np.ceil(np.log2(rows + reach + 1)))
            both = np.conj(np.fft.rfft(x, size, axis=0)) * np.fft.rfft(y, size, axis=0)
            near = np.abs(self._lags) < rows
            self._product[near] += np.fft.irfft(both, size, axis=0)[self._lags[near]]
            self._count[:, 0] += np.maximum(rows - np.abs(self._lags), 0)
            for i, (values, ahead) in enumerate(((x, self._lags), (y, -self._lags))):
                self._sum[i] += _overlapping(values, ahead)
                self._square[i] += _overlapping(values * values, ahead)
        return self

    def joints(self) -> Array:
        """Return the correlation [l, n]; NaN where a torque hardly changes."""
        product, (x, y) = self._moments()
        return self._quotient(product, x, y)

    def overall(self) -> Array:
        """Return that of all joints together [l], each over its limit."""
        product, (x, y) = (each / self._limit**2 for each in self._moments())
        product, x, y = (each.sum(axis=-1, keepdims=True) for each in (product, x, y))
        return self._quotient(product, x, y)[:, 0]

    def _moments(self) -> tuple[Array, Array]:
        """Return the covariance [l, n], and both variances [2, l, n], each times the count."""
        count = np.maximum(self._count, 1.0)
        squares = self._square - self._sum**2 / count
        squares[squares < _MOVES * self._square.max(axis=1, keepdims=True)] = 0.0
        return self._product - self._sum.prod(axis=0) / count, squares

    def _quotient(self, product: Array, x: Array, y: Array) -> Array:
        enough = self._count >= max(_OVERLAP * self.samples, 3.0)
        usable = enough & (x > 0.0) & (y > 0.0)
        found = np.full(product.shape, np.nan)
        found[usable] = product[usable] / (np.sqrt(x[usable]) * np.sqrt(y[usable]))
        return np.clip(found, -1.0, 1.0)  # by rounding it may be beyond


def _overlapping(values: Array, ahead: NDArray[np.int64]) -> Array:
    """Return Σ v(t) [l, n] over the t for which t + ahead is there too."""
    until = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    rows = len(values)
    first, last = np.clip(-ahead, 0, rows), np.clip(rows - ahead, 0, rows)
    return np.asarray(until[last] - until[np.minimum(first, last)])


def _shifted_rmse(windows: Iterator[tuple[Array, Array]], lag: int, limit: Array) -> float | None:
    """Return √(mean ((τ(t + lag) − τ_recorded(t)) / limit)²) over what overlaps."""
    square, values = 0.0, 0
    for recorded, policy in windows:
        rows = len(recorded) - abs(lag)
        if rows <= 0:
            continue
        x = recorded[max(-lag, 0) : max(-lag, 0) + rows]
        y = policy[max(lag, 0) : max(lag, 0) + rows]
        square += float((((y - x) / limit) ** 2).sum())
        values += y.size
    return float(np.sqrt(square / values)) if values else None
