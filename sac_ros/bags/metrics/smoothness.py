# SPDX-License-Identifier: Apache-2.0
"""How smooth a torque is: steps, jerk, spectrum and spectral arc length, window by window.

All depend on the rate at which they are taken, so torques come on an even grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import Array

PerJoint = tuple[float | None, ...]

_FAST_HZ = 10.0  # an arm does not follow faster torques; what is above is chatter
_WINDOW = 2**14  # rows of a grid that are handled at a time
_SPECTRUM = 256  # rows of one spectrum (Welch 1967), half of them overlapping
_SHORTEST = 32  # rows below which a window has no spectrum
_MOVES = 1e-9  # N·m: a torque that changes less is constant
_CUT_OFF_HZ, _AMPLITUDE, _PADDING = 10.0, 0.05, 4  # of SPARC, as Balasubramanian et al. advise
_MOVEMENT_S = 2.0  # SPARC is of one movement: in a long record noise drowns in the mean


@dataclass(frozen=True)
class SmoothnessFigures:
    """How smooth a torque is, after resampling to `rate_hz`; None where nothing moves."""

    name: Annotated[str, "``policy``, ``published`` (through the safety filter) or ``recorded``."]
    rate_hz: Annotated[float, "of the resampled torque."]
    rms_step: Annotated[tuple[float, ...], "[n] √(mean Δτ²), N·m."]
    max_step: Annotated[tuple[float, ...], "[n] N·m."]
    rms_step_fraction: Annotated[float, "√(mean (Δτ / limit)²) of all joints."]
    jerk: Annotated[PerJoint, "[n] normalised jerk √(mean τ̈²) · T² / range, T = 1 s."]
    power_above_10hz: Annotated[PerJoint, "[n] share of the torque's power."]
    sparc: Annotated[PerJoint, "[n] spectral arc length of the torque rate; nearer 0 is smoother."]


def windows(
    time_s: Array,
    segment: NDArray[np.int32],
    rate_hz: float,
    *torques: NDArray[np.floating],
) -> Iterator[tuple[Array, ...]]:
    """Yield torques [w, n] on an even grid, each held until the next as a robot holds it.

    ``torques`` are [c, n] N·m at the times ``time_s`` [c]. No grid leads across a gap, after which
    ``segment`` [c] counts up, and a window has at most `_WINDOW` rows.
    """
    edges = np.flatnonzero(np.diff(segment)) + 1
    for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(time_s)], strict=True):
        if last <= first:
            continue
        times = time_s[first:last]
        rows = int((times[-1] - times[0]) * rate_hz * (1 + 1e-9)) + 1
        for start in range(0, rows, _WINDOW):
            grid = times[0] + np.arange(start, min(start + _WINDOW, rows)) / rate_hz
            # A sample counts from a hundredth of a period before its time: stamps are rounded.
            held = np.searchsorted(times, grid + 0.01 / rate_hz, side="right") - 1
            yield tuple(torque[first + held].astype(np.float64) for torque in torques)


def smoothness_figures(
    name: str, torques: Iterable[Array], rate_hz: float, limit: Array
) -> tuple[SmoothnessFigures, Array, Array]:
    """Return the figures, frequencies [f] in Hz, and the power density [f, n] in (N·m)²/Hz there.

    ``torques`` are `windows` [w, n] N·m on a grid of so many Hz; ``limit`` is [n] N·m; for
    ``name`` see `SmoothnessFigures`.
    """
    frequency = np.fft.rfftfreq(_SPECTRUM, 1.0 / rate_hz).astype(np.float64)
    zero = np.zeros((len(frequency), len(limit)))
    step, bend, arc, spectrum = _Mean(zero[0]), _Mean(zero[0]), _Mean(zero[0]), _Mean(zero)
    largest, low, high = zero[0], np.full(len(limit), np.inf), np.full(len(limit), -np.inf)
    for each in torques:
        change = np.abs(np.diff(each, axis=0))
        step.add(change**2)
        bend.add(np.diff(each, 2, axis=0) ** 2)
        largest = np.maximum(largest, change.max(axis=0, initial=0.0))
        low, high = np.minimum(low, each.min(axis=0)), np.maximum(high, each.max(axis=0))
        if len(each) > _SHORTEST:
            spectrum.add(_spectra(each, rate_hz))
            arc.add(_sparc(change, rate_hz))
    power = spectrum.value
    spread = high - low if step.count else zero[0]
    moves = spread > _MOVES
    total = power[1:].sum(axis=0)
    fast = power[frequency > _FAST_HZ * (1 + 1e-9)].sum(axis=0)
    jerk = rate_hz**2 * np.sqrt(bend.value)
    figures = SmoothnessFigures(
        name=name,
        rate_hz=rate_hz,
        rms_step=tuple(np.sqrt(step.value).tolist()),
        max_step=tuple(largest.tolist()),
        rms_step_fraction=float(np.sqrt((step.value / limit**2).mean())),
        jerk=_where(moves & (bend.count > 0), jerk, spread),
        power_above_10hz=_where(moves & (total > 0.0), fast, total),
        sparc=_where(moves & (arc.count > 0), arc.value, np.ones(len(limit))),
    )
    return figures, frequency, power


class _Mean:
    """The mean over the first axis of parts that come one after the other; 0 of nothing."""

    def __init__(self, zero: Array) -> None:
        self.count = 0
        self._total = zero

    def add(self, part: Array) -> None:
        self._total = self._total + part.sum(axis=0)
        self.count += len(part)

    @property
    def value(self) -> Array:
        return self._total / max(self.count, 1)


def _where(known: NDArray[np.bool_], above: Array, below: Array) -> PerJoint:
    """Return quotients; None where nothing is known."""
    pairs = zip(known.tolist(), above.tolist(), below.tolist(), strict=True)
    return tuple(float(a) / float(b) if sure else None for sure, a, b in pairs)


def _spectra(torque: Array, rate_hz: float) -> Array:
    """Return power densities [s, f, n] of overlapping pieces; short windows are padded."""
    rows = min(len(torque), _SPECTRUM)
    taper = np.hanning(rows + 2)[1:-1, np.newaxis]
    starts = range(0, len(torque) - rows + 1, max(rows // 2, 1))
    pieces = np.stack([torque[start : start + rows] for start in starts])
    pieces = (pieces - pieces.mean(axis=1, keepdims=True)) * taper
    density = np.abs(np.fft.rfft(pieces, _SPECTRUM, axis=1)) ** 2
    density *= 2.0 / (rate_hz * (taper * taper).sum())
    return np.asarray(density)


def _sparc(rate: Array, rate_hz: float) -> Array:
    """Return the spectral arc lengths [s, n] of how fast a torque changes, |Δτ| [w, n].

    −∫ √((1/ω_c)² + (dV̂/dω)²) dω with V̂ = V(ω) / V(0) over the frequencies up to 10 Hz at which
    V̂ is 0.05 or more (Balasubramanian, Melendez-Calderon, Roby-Brami, Burdet 2015), for each two
    seconds.
    """
    rows = min(len(rate), max(round(_MOVEMENT_S * rate_hz), _SHORTEST))
    pieces = rate[: len(rate) // rows * rows].reshape(-1, rows, rate.shape[1])
    size = 2 ** (int(np.ceil(np.log2(rows))) + _PADDING)
    slow = np.fft.rfftfreq(size, 1.0 / rate_hz) <= _CUT_OFF_HZ
    amplitude = np.stack([np.abs(np.fft.rfft(each, size, axis=0)[slow]) for each in pieces])
    share = amplitude / np.maximum(amplitude[:, :1], 1e-300)
    place = np.arange(share.shape[1])[:, np.newaxis]
    last = np.where(share >= _AMPLITUDE, place, 0).max(axis=1, keepdims=True)
    width = 1.0 / np.maximum(last, 1)
    length = np.sqrt(width**2 + np.diff(share, axis=1) ** 2)
    return np.asarray(-np.where(place[:-1] < last, length, 0.0).sum(axis=1))
