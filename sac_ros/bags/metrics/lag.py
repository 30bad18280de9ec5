# SPDX-License-Identifier: Apache-2.0
"""How far a policy runs behind the recording: where their cross-correlation is largest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array

Pairs = Callable[[], Iterable[tuple[Array, ...]]]

_WINDOW_S = 0.5  # searched to either side; what is later is no lag but another motion
_MOVES = 1e-20


@dataclass(frozen=True)
class LagFigures:
    """How far the policy's torque runs behind the recorded one (positive) or ahead of it."""

    lag_s: Annotated[tuple[float | None, ...], "[n] of the best correlation; None: none found."]
    overall_s: Annotated[float | None, "of the correlations summed over joints; None likewise."]
    window_s: Annotated[float, "the search went from −window_s to window_s."]
    rmse_share: Annotated[float, "raw, as in `ErrorRow`."]
    compensated_rmse_share: Annotated[float | None, "after shifting every joint by `overall_s`."]


def lag_figures(
    pairs: Pairs, rate_hz: float, limit: Array, rmse_share: float
) -> tuple[LagFigures, Array, Array]:
    """Return the figures, the lags [l] in s, and the correlation [l, n] at each.

    With centred torques x (recorded) and y (policy):
    r(k) = Σ_t x(t) · y(t + k) / √(Σ_t x(t)² · Σ_t y(t + k)²) over the t at which both are there.

    ``pairs``, called thrice, gives windows (recorded, policy), each [w, n] N·m on a grid of
    ``rate_hz``; ``limit`` is [n] N·m. For ``rmse_share`` see `LagFigures`.
    """
    n, reach = len(limit), max(round(_WINDOW_S * rate_hz), 1)
    lags = np.arange(-reach, reach + 1)
    count, totals = 0, np.zeros((2, n))
    for recorded, policy in pairs():
        count += len(recorded)
        totals += [recorded.sum(axis=0), policy.sum(axis=0)]
    means = totals / max(count, 1)
    products = np.zeros((len(lags), n))
    energy = np.zeros((2, len(lags), n))
    for recorded, policy in pairs():
        x, y = recorded - means[0], policy - means[1]
        size = 2 ** int(np.ceil(np.log2(len(x) + reach + 1)))
        both = np.conj(np.fft.rfft(x, size, axis=0)) * np.fft.rfft(y, size, axis=0)
        products += np.fft.irfft(both, size, axis=0)[lags]
        energy += [_energy(x, lags), _energy(y, -lags)]
    moves = energy.min(axis=(0, 1)) > _MOVES
    correlation = np.full(products.shape, np.nan)
    quotient = products[:, moves] / np.sqrt(energy[:, :, moves].prod(axis=0))
    correlation[:, moves] = np.clip(quotient, -1.0, 1.0)  # by rounding it may be beyond
    each_best = [_best(correlation[:, j]) if moves[j] else None for j in range(n)]
    best = None
    if moves.any():
        x_share, y_share = ((each / limit**2).sum(axis=1) for each in energy)
        best = _best((products / limit**2).sum(axis=1) / np.sqrt(x_share * y_share))
    figures = LagFigures(
        lag_s=tuple(None if lag is None else lag / rate_hz for lag in each_best),
        overall_s=None if best is None else best / rate_hz,
        window_s=reach / rate_hz,
        rmse_share=rmse_share,
        compensated_rmse_share=None if best is None else _shifted_rmse(pairs, best, limit),
    )
    return figures, lags / rate_hz, correlation


def _best(correlation: Array) -> int | None:
    """Return the lag [-reach..reach] of the largest value; None at the edge: no lag was found."""
    reach, place = len(correlation) // 2, int(correlation.argmax())
    return None if place in (0, 2 * reach) else place - reach


def _energy(x: Array, lags: NDArray[np.int64]) -> Array:
    """Return Σ x(t)² [l, n] over the t for which t + lag is there too."""
    until = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x * x, axis=0)])
    rows = len(x)
    first, last = np.clip(-lags, 0, rows), np.clip(rows - lags, 0, rows)
    return until[last] - until[np.minimum(first, last)]


def _shifted_rmse(pairs: Pairs, lag: int, limit: Array) -> float | None:
    """Return √(mean ((τ(t + lag) − τ_recorded(t)) / limit)²) over what overlaps."""
    square, values = 0.0, 0
    for recorded, policy in pairs():
        rows = len(recorded) - abs(lag)
        if rows <= 0:
            continue
        x = recorded[max(-lag, 0) : max(-lag, 0) + rows]
        y = policy[max(lag, 0) : max(lag, 0) + rows]
        square += float((((y - x) / limit) ** 2).sum())
        values += y.size
    return float(np.sqrt(square / values)) if values else None
