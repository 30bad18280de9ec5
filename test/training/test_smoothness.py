# SPDX-License-Identifier: Apache-2.0
"""The figures of smoothness are what they are for signals whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest

from sac_ros.training.smoothness import Power, power, root_mean_square

RATE = 50.0
TIME = np.arange(150) / RATE


def sine(hertz: float, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * TIME + 0.3)[:, None]


@pytest.mark.parametrize(("hertz", "share"), [(2.0, 0.0), (9.0, 0.0), (11.0, 1.0), (20.0, 1.0)])
def test_a_sine_is_above_or_below_ten_hertz(hertz: float, share: float) -> None:
    assert power(sine(hertz), RATE).fraction == pytest.approx(share, abs=1e-3)


def test_two_sines_share_by_the_squares_of_their_amplitudes() -> None:
    # Whole periods in 3 s, and 17 Hz apart: the window's main lobes of 4/3 Hz do not meet.
    both = sine(3.0, 2.0) + sine(20.0, 1.0)
    assert power(both, RATE).fraction == pytest.approx(1.0 / 5.0, rel=1e-3)


def test_columns_add_and_so_do_signals() -> None:
    slow, fast = sine(3.0, 2.0), sine(20.0, 1.0)
    together = power(np.hstack([slow, fast]), RATE)
    one_by_one = power(slow, RATE) + power(fast, RATE)
    assert together.fraction == pytest.approx(one_by_one.fraction, rel=1e-12)
    assert together.fraction == pytest.approx(1.0 / 5.0, rel=1e-3)


def test_white_noise_has_the_share_of_its_frequencies() -> None:
    noise = np.random.default_rng(0).normal(size=(150, 2000))
    # 10 to 25 of 0 to 25 Hz; 24/25 for the mean that is taken away would be within the error.
    assert power(noise, RATE).fraction == pytest.approx(0.6, abs=0.01)


def test_a_constant_of_any_size_counts_for_nothing() -> None:
    constant = np.full((150, 1), 1e3 / 3)
    assert power(constant, RATE) == Power(0.0, 0.0)
    assert power(constant, RATE).fraction == 0.0
    assert power(constant + sine(20.0), RATE).fraction > 0.999


def test_the_ends_of_an_episode_are_no_jump() -> None:
    ramp = TIME[:, None]
    assert power(ramp, RATE).fraction < 1e-4


def test_ten_hertz_itself_is_not_above_it_at_any_length() -> None:
    for samples in (5, 50, 85, 149, 150):
        alternating = np.array([1.0, -1.0])[np.arange(samples) % 2][:, None]
        assert power(alternating, rate_hz=20.0).fraction == 0.0
        assert power(alternating, rate_hz=30.0).fraction > 0.9


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_shortest_episodes_have_a_share(samples: int) -> None:
    assert 0.0 <= power(np.eye(samples), RATE).fraction <= 1.0


@pytest.mark.parametrize("samples", [149, 150])
def test_the_power_is_that_of_the_windowed_samples(samples: int) -> None:
    """Parseval: the one-sided spectrum counts every frequency as often as it occurs."""
    signal = np.random.default_rng(1).normal(size=(samples, 3))
    window = np.hanning(samples + 2)[1:-1, None]
    expected = samples * np.sum(np.square(window * (signal - signal.mean(axis=0))))
    assert power(signal, RATE).total == pytest.approx(expected, rel=1e-12)


def test_the_root_mean_square_of_nothing_is_nought() -> None:
    assert root_mean_square(np.empty((0, 7))) == 0.0
    assert root_mean_square(np.array([[3.0, 4.0], [0.0, 0.0]])) == 2.5
