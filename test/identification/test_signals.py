# SPDX-License-Identifier: Apache-2.0
"""Both sides of the model go through the same filter, whatever the clock of a recording."""

from __future__ import annotations

import numpy as np
import pytest

from sac_ros.identification.signals import (
    Filters,
    Recorded,
    choose_cutoff,
    filtered_torque,
    position_noise,
    second_filter,
    stretches,
)

OMEGA = 2.0 * np.pi * np.array([0.3, 0.8])


def sines(time: np.ndarray) -> np.ndarray:
    return np.sin(time[:, None] * OMEGA)


def recording(time: np.ndarray, noise: float = 0.0, segment: np.ndarray | None = None) -> Recorded:
    position = sines(time) + np.random.default_rng(0).normal(0.0, noise, (len(time), 2))
    kept = np.zeros(len(time), dtype=int) if segment is None else segment
    return Recorded(time, position, kept, time, sines(time), held=False)


@pytest.mark.parametrize("jitter", [0.0, 0.2])
@pytest.mark.parametrize("rate", [50.0, 100.0, 500.0])
def test_derivatives_are_those_of_the_motion_behind_the_same_filter(
    rate: float, jitter: float
) -> None:
    time = np.arange(round(20 * rate)) / rate
    time += np.random.default_rng(1).uniform(-jitter / 2, jitter / 2, len(time)) / rate
    filters = Filters.of(3.0, 1.0 / rate)
    (stretch,) = stretches(recording(time), filters)
    rows, at = stretch.inside, stretch.time_s[stretch.inside, None]
    passed = np.exp(-0.5 * (filters.first * OMEGA) ** 2)
    for found, true in (
        (stretch.position, np.sin(at * OMEGA)),
        (stretch.velocity, OMEGA * np.cos(at * OMEGA)),
        (stretch.acceleration, -(OMEGA**2) * np.sin(at * OMEGA)),
    ):
        error = found[rows] - passed * true
        assert np.abs(error).max() < 0.01 * np.abs(true).max()


def test_positions_and_torques_that_are_alike_stay_alike_behind_both_filters() -> None:
    time = np.arange(2000) / 100.0
    filters = Filters.of(3.0, 0.01)
    made = recording(time)
    (stretch,) = stretches(made, filters)
    both = second_filter(stretch.position, stretch.time_s[1] - stretch.time_s[0], filters)
    torque = filtered_torque(made, filters)
    inner = slice(len(both) // 5, -len(both) // 5)
    np.testing.assert_allclose(both[inner], torque.at(stretch.time_s[inner]), atol=2e-4)


def test_a_held_command_acts_half_a_period_later_than_a_sample() -> None:
    time = np.arange(1000) / 50.0
    filters = Filters.of(3.0, 0.02)
    made = recording(time)
    sample = filtered_torque(made, filters)
    held = filtered_torque(
        Recorded(time, made.position, made.segment, time, made.torque, True), filters
    )
    at = np.arange(5.0, 15.0, 0.01)
    np.testing.assert_allclose(held.at(at), sample.at(at - 0.01), atol=2e-3)


def test_a_torque_is_unknown_where_no_command_came() -> None:
    time = np.arange(1000) / 50.0
    silent = (time > 8.0) & (time < 10.0)
    made = recording(time)
    made = Recorded(time, made.position, made.segment, time[~silent], made.torque[~silent], True)
    torque = filtered_torque(made, Filters.of(3.0, 0.02))
    times = np.array([4.0, 9.0, 8.1, 15.0])
    assert torque.known_between(times, times).tolist() == [True, False, False, True]
    assert (
        torque.known_between(np.array([-1.0, 5.0]), np.array([1.0, 25.0])).tolist() == [False] * 2
    )


def test_parts_between_gaps_are_filtered_apart_and_short_ones_left_out() -> None:
    time = np.arange(1500) / 50.0
    segment = np.digitize(np.arange(1500), [700, 720])
    found = list(stretches(recording(time, segment=segment), Filters.of(3.0, 0.02)))
    assert [round(each.time_s[0], 2) for each in found] == [0.0, 14.4]


def test_noise_is_told_from_motion_and_lowers_the_cutoff() -> None:
    time = np.arange(3000) / 100.0
    np.testing.assert_allclose(position_noise(recording(time, noise=1e-3)), 1e-3, rtol=0.1)
    assert np.all(position_noise(recording(time)) < 1e-6)
    cutoffs = [choose_cutoff(recording(time, noise=noise)) for noise in (0.0, 1e-3, 1e-2)]
    assert cutoffs == sorted(cutoffs, reverse=True)
    assert cutoffs[0] > cutoffs[-1]


def test_slow_samples_lower_the_cutoff_that_is_possible() -> None:
    assert Filters.of(3.0, 0.01).cutoff_hz == pytest.approx(3.0)
    assert Filters.of(5.0, 0.05).cutoff_hz < 2.0
