# SPDX-License-Identifier: Apache-2.0
"""Lags of which the truth is known are found, or said to be unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bag_maker import Motion, write_bag
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiny_policy import write_tiny_policy

from sac_ros.bags.arrival import arrival_times
from sac_ros.bags.columns import Spool
from sac_ros.bags.evaluation import EvaluationOptions, evaluate_bags
from sac_ros.bags.metrics.lag import LagFigures, Steps, lag_figures
from sac_ros.policy.runtime import Policy

LIMIT = np.array([30.0, 20.0, 10.0])


def noise(rows: int, seed: int = 0) -> np.ndarray:
    return LIMIT * np.random.default_rng(seed).normal(0.0, 0.3, (rows, 3))


def band_limited(time_s: np.ndarray, seed: int = 0) -> np.ndarray:
    """A torque [k, n] N·m at any times: twelve sines of 0.1 to 3 Hz a joint."""
    generator = np.random.default_rng(seed)
    rate, phase = (generator.uniform(low, high, (12, 3)) for low, high in ((0.6, 19.0), (0, 6.3)))
    return 0.1 * LIMIT * np.sin(rate * time_s[:, None, None] + phase).sum(axis=1)


def steps(time_s: np.ndarray, torque: np.ndarray) -> Steps:
    return Steps(time_s, torque, np.zeros(len(time_s), dtype=np.int32))


def lag_of(recorded: Steps, policy: Steps, rate_hz: float, jitter_s: float = 0.0) -> LagFigures:
    return lag_figures(recorded, policy, 1.0 / rate_hz, jitter_s, LIMIT, rmse_fraction=0.3)[0]


@pytest.mark.parametrize("rate_hz", [1000.0, 500.0, 200.0])
@pytest.mark.parametrize("commands", ["each state", "50 Hz", "50 Hz, repeated each state"])
@pytest.mark.parametrize("policy_hz", ["each state", "50 Hz"])
@pytest.mark.parametrize("late_ms", [-25, -15, -7, -3, 0, 3, 7, 15, 25])
def test_a_lag_is_found_to_half_a_state_period(
    rate_hz: float, commands: str, policy_hz: str, late_ms: int
) -> None:
    states = np.arange(round(10 * rate_hz)) / rate_hz
    torque, slow = band_limited(states), round(rate_hz / 50)
    policy = slice(None, None, 1 if policy_hz == "each state" else slow)
    sent = slice(None, None, slow if commands == "50 Hz" else 1)
    held = torque if commands == "each state" else np.repeat(torque[::slow], slow, axis=0)
    recorded = steps(states[sent] - 1e-3 * late_ms, held[sent])
    found = lag_of(recorded, steps(states[policy], torque[policy]), rate_hz)
    assert found.overall_s is not None
    assert found.resolution_s is not None
    assert abs(found.overall_s - 1e-3 * late_ms) <= 0.5 / rate_hz
    assert abs(found.overall_s - 1e-3 * late_ms) <= found.resolution_s
    assert found.lag_s == pytest.approx((1e-3 * late_ms,) * 3, abs=0.5 / rate_hz)
    assert found.unknown is None


def test_the_same_policy_run_on_other_states_has_no_lag() -> None:
    states = np.arange(5000) * 0.002
    torque = band_limited(states)
    found = lag_of(steps(states[3::10], torque[3::10]), steps(states[::10], torque[::10]), 500.0)
    assert found.overall_s == pytest.approx(0.0, abs=0.001)
    assert found.resolution_s is not None
    assert 0.004 < found.resolution_s < 0.010  # the held torques change 6 ms apart


@pytest.mark.parametrize("slow", [1, 10])
@pytest.mark.parametrize("seed", range(5))
def test_jitter_of_the_recorder_is_no_lag(slow: int, seed: int) -> None:
    states = np.arange(5000) * 0.002
    torque = band_limited(states)
    arrived = states + np.random.default_rng(seed).uniform(-0.003, 0.003, 5000)
    arrived = np.maximum.accumulate(arrived)[::slow]
    found = lag_of(steps(arrived, torque[::slow]), steps(states, torque), 500.0, jitter_s=0.003)
    assert found.overall_s is not None
    assert found.resolution_s is not None
    assert abs(found.overall_s) <= found.resolution_s < 0.01


def test_a_recording_that_ramps_between_held_torques_has_a_coarse_lag() -> None:
    """As the slew limit of the safety filter makes them."""
    states = np.arange(5000) * 0.002
    held = np.repeat(band_limited(states[::10]), 10, axis=0)
    ramped, step = held.copy(), 0.002 * 1000.0 * LIMIT / 30.0
    for row in range(1, len(held)):
        ramped[row] = np.clip(held[row], ramped[row - 1] - step, ramped[row - 1] + step)
    found = lag_of(steps(states, ramped), steps(states[::10], held[::10]), 500.0)
    assert found.overall_s is not None
    assert found.resolution_s is not None
    assert abs(found.overall_s) <= found.resolution_s
    assert found.resolution_s > 0.005


def test_a_lag_that_cannot_be_told_is_unknown_for_a_reason() -> None:
    states = np.arange(5000) * 0.002
    torque = band_limited(states)

    def unknown(recorded: np.ndarray, policy: np.ndarray) -> str:
        found = lag_of(steps(states, recorded), steps(states, policy), 500.0)
        assert (found.overall_s, found.compensated_rmse_fraction) == (None, None)
        assert found.lag_s == (None,) * 3
        return found.unknown or ""

    assert "never changes" in unknown(np.ones((5000, 3)), torque)
    assert "never changes" in unknown(torque, np.ones((5000, 3)))
    assert "below 0.5" in unknown(-torque, torque)
    assert "below 0.5" in unknown(band_limited(states, seed=1), torque)
    slow = np.sin(2 * np.pi * 0.1 * states)[:, np.newaxis] * LIMIT
    much_later = np.sin(2 * np.pi * 0.1 * (states - 0.8))[:, np.newaxis] * LIMIT
    assert "edge" in unknown(slow, much_later)
    noise_of = 0.3 * noise(5000, 3)
    assert "±20 ms" in unknown(slow, slow + noise_of)
    fast = np.sin(2 * np.pi * 5.0 * states)[:, np.newaxis] * LIMIT
    assert "after 200 ms" in unknown(fast, fast)


def test_joints_that_disagree_about_the_lag_show_their_spread() -> None:
    states = np.arange(5000) * 0.002
    torque = band_limited(states)
    torque[:, 2] = band_limited(states - 0.03)[:, 2]
    found = lag_of(steps(states, band_limited(states)), steps(states, torque), 500.0)
    assert found.spread_s == pytest.approx(0.03, abs=0.001)
    assert found.joint_correlation == pytest.approx((1.0,) * 3, abs=1e-3)


def test_the_error_after_shifting_by_the_lag_is_that_of_what_else_differs() -> None:
    states = np.arange(5000) * 0.002
    torque = band_limited(states)
    late, _, correlation = lag_figures(
        steps(states - 0.014, torque), steps(states, torque), 0.002, 0.0, LIMIT, 0.3
    )
    assert late.compensated_rmse_fraction == pytest.approx(0.0, abs=1e-9)
    assert correlation.shape == (501, 3)
    assert correlation[250 + 7].min() > 0.999


@given(arrays(float, (60, 3), elements=st.floats(-1e6, 1e6)), st.floats(-1e6, 1e6))
def test_a_correlation_is_never_beyond_one(torque: np.ndarray, bias: float) -> None:
    times = np.arange(60) * 0.01
    *_, correlation = lag_figures(
        steps(times, torque), steps(times, bias - torque), 0.01, 0.0, LIMIT, 0.3
    )
    assert not np.any(np.abs(correlation) > 1.0)


@pytest.mark.parametrize("rate_hz", [500.0, 200.0])
@pytest.mark.parametrize("late_ms", [0, 3, 7, 15, 25])
@pytest.mark.parametrize("stamped", [True, False])
def test_a_bag_whose_commands_come_at_the_policys_rate_tells_how_late_they_come(
    tmp_path: Path, rate_hz: float, late_ms: int, stamped: bool
) -> None:
    """Each meets the torque that the policy still holds, so that no error shows it."""
    made = Motion(rate_hz=rate_hz, count=round(4 * rate_hz), delay_ns=late_ms * 10**6)
    if not stamped:
        made.stamps = lambda i: 0
    sent = made.commands()[:: round(rate_hz / 50)]
    bag = write_bag(tmp_path / "bag", [*made.states(), *sent, *made.goals()])
    policy = Policy.load(write_tiny_policy(tmp_path / "tiny.onnx", control_rate_hz=50.0))
    evaluation, _ = evaluate_bags([bag], [policy], EvaluationOptions(), Spool(None))
    (model,) = evaluation.models
    assert model.lag is not None
    assert model.lag.overall_s is not None
    assert abs(model.lag.overall_s + 1e-3 * late_ms) <= 0.5 / rate_hz


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_arrivals_are_told_on_the_clock_of_the_states_without_their_jitter(factor: float) -> None:
    stamps = np.arange(3000) * 0.002
    generator = np.random.default_rng(0)
    received = stamps / factor + generator.uniform(-0.003, 0.003, 3000)
    commands = stamps[::10] / factor + 0.007
    to_ns = [np.round(1e9 * each).astype(np.int64) + 10**18 for each in (commands, received)]
    found, jitter_s = arrival_times(*to_ns, stamps)
    assert np.abs(found - stamps[::10] - 0.007 * factor).max() < 0.002
    assert abs((found - stamps[::10]).mean() - 0.007 * factor) < 0.0005
    assert 0.002 * factor < jitter_s < 0.0035


def test_times_of_arrival_show_their_jitter_by_themselves_and_lost_states_none() -> None:
    even = np.round(np.arange(3000) * 2e6).astype(np.int64)
    kept = np.random.default_rng(0).uniform(size=3000) > 0.1
    assert arrival_times(even[::10], even[kept], even[kept] * 1e-9)[1] == pytest.approx(
        0, abs=1e-9
    )
    late = even + np.random.default_rng(1).integers(-900_000, 900_000, 3000)
    found, jitter_s = arrival_times(late[::10], late, (late - late[0]) * 1e-9)
    np.testing.assert_allclose(found, (late[::10] - late[0]) * 1e-9, atol=1e-9)
    assert 0.0007 < jitter_s < 0.0025
