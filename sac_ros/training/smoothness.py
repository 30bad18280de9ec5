# SPDX-License-Identifier: Apache-2.0
"""How smooth torques are, joint by joint on one scale.

Torques are divided by the torque at action 1 of their joint before joints are put together.  In
newton metres the shoulder drowns every wrist, and relative to the torque limits still does: the
limits fall by 7 from base to end effector, the inertia that a joint moves by 60.  The torque at
action 1 is sized by that inertia, so equal numbers stand for about equally rough motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUGH_ABOVE = 10.0  # Hz; a reach of a second or two needs nothing this fast
_ROUNDING = 1e-24  # of a signal's power: what float64 leaves of a constant minus its mean


@dataclass(frozen=True)
class Power:
    """Power of a signal, of any unit, and the part of it above a frequency."""

    above: float = 0.0
    total: float = 0.0

    def __add__(self, other: Power) -> Power:
        """The power of both signals."""
        return Power(self.above + other.above, self.total + other.total)

    @property
    def fraction(self) -> float:
        """`above` / `total`, 0 to 1; 0 of a signal that never changes."""
        return self.above / self.total if self.total > 0.0 else 0.0


def power(signal: Array, rate_hz: float, above_hz: float = ROUGH_ABOVE) -> Power:
    """Sums the periodograms of the columns of `signal`, each without its mean.

    P(f) = |Σ_t h_t (x_t − x̄) exp(−2πi f t / rate)|², with a Hann window h, so that the end of an
    episode is not taken for a jump (Welch 1967, with a single segment).

    Args:
        signal: [t, n] samples, the columns on one scale.
        rate_hz: Hz, samples per second.  Nothing above half of it can be seen, so that of a
            signal of 20 Hz the power above 10 Hz is 0.
        above_hz: Hz, where `Power.above` begins, itself excluded.
    """
    samples = len(signal)
    changing = signal - signal.mean(axis=0)
    if np.sum(np.square(changing)) <= _ROUNDING * np.sum(np.square(signal)):
        return Power()
    # The window of samples 0 to t − 1 among t + 1 intervals: no sample is multiplied by zero.
    window = np.sin(np.pi * np.arange(1, samples + 1) / (samples + 1)) ** 2
    spectrum = np.square(np.abs(np.fft.rfft(window[:, None] * changing, axis=0))).sum(axis=1)
    # Every frequency but 0 and half the rate stands for its negative too.
    spectrum[1 : (samples + 1) // 2] *= 2.0
    # Rounding of the frequencies must not decide on which side the limit itself lies.
    fast = np.fft.rfftfreq(samples, 1.0 / rate_hz) > above_hz * (1.0 + 1e-9)
    return Power(float(spectrum[fast].sum()), float(spectrum.sum()))


def root_mean_square(values: Array) -> float:
    """√ of the mean square over all entries; 0 of nothing: one step has no change of torque."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
