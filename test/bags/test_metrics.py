# SPDX-License-Identifier: Apache-2.0
"""Each figure against its definition, on torques of which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_policy import JOINTS, tiny_spec

from sac_ros.bags.metrics import errors, limits
from sac_ros.bags.metrics.coverage import coverage_figures
from sac_ros.bags.metrics.divergence import divergence_figures
from sac_ros.bags.metrics.safety import SafetyTally
from sac_ros.bags.metrics.smoothness import smoothness_figures, windows
from sac_ros.policy.safety_events import Command, Intervention, Mode

LIMIT = np.array([30.0, 20.0, 10.0])
SCALE = np.array([5.0, 4.0, 2.0])


def noise(rows: int, seed: int = 0) -> np.ndarray:
    return LIMIT * np.random.default_rng(seed).normal(0.0, 0.3, (rows, 3))


# ---- errors ------------------------------------------------------------------------------------


def test_errors_are_those_of_numpy() -> None:
    policy, recorded, time_s = noise(1000, 1) + 1.0, noise(1000, 2), np.arange(1000) * 0.01
    found = errors.error_figures("policy", policy, recorded, time_s, LIMIT, SCALE)
    e = policy - recorded
    for j, row in enumerate(found.joints):
        one = np.abs(e[:, j])
        assert row.bias == pytest.approx(e[:, j].mean())
        assert row.mae == pytest.approx(one.mean())
        assert row.rmse == pytest.approx(np.sqrt((e[:, j] ** 2).mean()))
        assert row.p95 == pytest.approx(np.quantile(one, 0.95, method="inverted_cdf"))
        assert row.max == one.max()
        assert row.max_s == time_s[one.argmax()]
        assert row.rmse_fraction == pytest.approx(row.rmse / LIMIT[j])
        assert row.max_fraction == pytest.approx(row.max / LIMIT[j])
        assert row.rmse_authority == pytest.approx(row.rmse / SCALE[j])
        assert row.max_authority == pytest.approx(row.max / SCALE[j])
        slope = np.polyfit(time_s, e[:, j], 1)[0]
        assert row.drift == pytest.approx(slope * (time_s[-1] - time_s[0]))
        expected = np.corrcoef(policy[:, j], recorded[:, j])[0, 1]
        assert row.correlation == pytest.approx(expected)
        clear = (np.abs(policy[:, j]) > 0.01 * LIMIT[j]) & (
            np.abs(recorded[:, j]) > 0.01 * LIMIT[j]
        )
        same = np.sign(policy[clear, j]) == np.sign(recorded[clear, j])
        assert row.sign_agreement == pytest.approx(same.mean())
    assert found.overall.rmse == pytest.approx(np.sqrt((e**2).mean()))
    assert found.overall.rmse_fraction == pytest.approx(np.sqrt(((e / LIMIT) ** 2).mean()))
    assert found.overall.max == np.abs(e).max()
    p95 = np.quantile(np.abs(e), 0.95, method="inverted_cdf")
    assert found.overall.p95 == pytest.approx(p95)
    flat = (policy / LIMIT).ravel(), (recorded / LIMIT).ravel()
    assert found.overall.correlation == pytest.approx(np.corrcoef(*flat)[0, 1])


def test_the_baselines_know_nothing_of_the_policy() -> None:
    recorded, time_s = noise(500), np.arange(500) * 0.01
    found = {
        each.name: each for each in errors.all_errors(recorded * 0, recorded, time_s, LIMIT, SCALE)
    }
    assert list(found) == ["policy", "hold_last", "zero", "mean"]
    assert found["zero"] == errors.error_figures(
        "zero", recorded * 0, recorded, time_s, LIMIT, SCALE
    )
    assert found["mean"].overall.rmse == pytest.approx(np.sqrt(recorded.var(axis=0).mean()))
    before = np.vstack([np.zeros((1, 3)), recorded[:-1]])
    assert found["hold_last"].overall.rmse == pytest.approx(
        np.sqrt(((recorded - before) ** 2).mean())
    )


def test_a_torque_that_never_changes_has_no_correlation_and_no_sign() -> None:
    still, time_s = np.zeros((50, 3)), np.arange(50.0)
    found = errors.error_figures("policy", still, still, time_s, LIMIT, SCALE)
    assert found.overall.correlation is None
    assert found.overall.sign_agreement is None
    assert found.overall.max == 0.0


# ---- limits ------------------------------------------------------------------------------------


def test_torques_beyond_their_limit_are_counted_with_the_worst_and_the_longest() -> None:
    torque, time_s = np.zeros((100, 3)), np.arange(100) * 0.01
    torque[10:15, 2] = 11.0
    torque[12, 0] = -45.0
    torque[80, 1] = np.nan
    beyond, none = limits.torque_figures(torque, time_s, LIMIT, JOINTS)
    assert (beyond.count, beyond.joint_count) == (5, (1, 0, 5))
    assert beyond.fraction == 0.05
    assert beyond.worst == pytest.approx(1.5)
    assert (beyond.worst_s, beyond.worst_joint) == (pytest.approx(0.12), "shoulder")
    assert beyond.longest_run_s == pytest.approx(0.04)
    assert (none.count, none.joint_count, none.worst) == (1, (0, 1, 0), None)
    assert none.worst_joint == "elbow"


def test_a_torque_at_its_limit_is_within_it() -> None:
    torque = np.tile(LIMIT.astype(np.float32), (5, 1)) * np.float32(1.0 + 1e-6)
    found = limits.torque_figures(torque, np.arange(5.0), LIMIT, JOINTS)
    assert found[0].count == 0


def test_rates_are_judged_by_the_time_between_torques_and_not_across_a_gap() -> None:
    torque = np.cumsum(np.full((6, 3), 1.0), axis=0)
    time_s = np.array([0.0, 0.1, 0.2, 0.21, 9.0, 9.1])
    segment = np.array([0, 0, 0, 0, 1, 1], dtype=np.int32)
    torque[4:] += 1000.0
    slew = np.full(3, 20.0)
    found = limits.rate_figures(torque, time_s, segment, slew, JOINTS)
    assert found.count == 1
    assert found.worst_s == pytest.approx(0.21)
    assert found.worst == pytest.approx(5.0)


def test_states_are_held_to_the_policys_position_and_velocity_limits() -> None:
    position, velocity = np.zeros((10, 3)), np.zeros((10, 3))
    position[3, 1], velocity[5, 2] = 3.0, -5.0
    where, fast = limits.state_figures(position, velocity, np.arange(10.0), tiny_spec())
    assert (where.count, where.worst_joint, where.worst_s) == (1, "elbow", 3.0)
    assert where.worst == pytest.approx(3.0 / 2.9)
    assert (fast.count, fast.worst_joint, fast.worst_s) == (1, "wrist", 5.0)
    assert fast.worst == pytest.approx(5.0 / 4.0)


# ---- coverage, divergence ----------------------------------------------------------------------


def test_coverage_counts_states_goals_and_what_has_none() -> None:
    position, velocity = np.zeros((10, 3)), np.zeros((10, 3))
    goal = np.zeros((10, 3), dtype=np.float32)
    position[:4, 0], velocity[2:6, 1] = 2.5, -1.5
    goal[:2], goal[9, 0] = np.nan, 1.5
    found = coverage_figures(position, velocity, goal, tiny_spec())
    assert found.outside_fraction == 0.6
    assert found.position_outside == (0.4, 0.0, 0.0)
    assert found.velocity_outside == (0.0, 0.4, 0.0)
    assert (found.no_goal_fraction, found.goal_outside_fraction) == (0.2, 0.1)


@pytest.mark.parametrize(("gap", "expected"), [(False, 3.0), (True, None)])
def test_divergence_is_the_first_error_that_stays(gap: bool, expected: float | None) -> None:
    time_s = np.arange(1000) * 0.01
    segment = np.zeros(1000, dtype=np.int32)
    recorded, policy = noise(1000), noise(1000)
    policy[100:130, 0] += 5.0  # too short
    policy[300:351, 1] += 2.5
    if gap:
        segment[320:] = 1
    found = divergence_figures(policy, recorded, time_s, segment, LIMIT, JOINTS)
    assert found.first_s == expected
    assert found.joint == ("elbow" if expected else None)


# ---- resampling and smoothness -----------------------------------------------------------------


def test_resampling_holds_a_torque_and_never_leads_across_a_gap() -> None:
    time_s = np.array([0.0, 0.1, 0.2, 5.0, 5.1])
    torque = np.arange(5.0)[:, np.newaxis]
    segment = np.array([0, 0, 0, 1, 1], dtype=np.int32)
    found = [each[:, 0].tolist() for (each,) in windows(time_s, segment, 20.0, torque)]
    assert found == [[0, 0, 1, 1, 2], [3, 3, 4]]


def figures(torque: np.ndarray, rate_hz: float = 100.0):  # type: ignore[no-untyped-def]
    return smoothness_figures("policy", iter([torque]), rate_hz, LIMIT)


def test_power_above_10_hz_is_that_of_a_sine_above_it() -> None:
    t = np.arange(4096)[:, np.newaxis] / 100.0
    slow, fast = np.sin(2 * np.pi * 3.0 * t), np.sin(2 * np.pi * 20.0 * t)
    torque = np.hstack([slow, fast, 3.0 * slow + fast])
    found, hz, power = figures(torque)
    assert found.power_above_10hz == pytest.approx((0.0, 1.0, 0.1), abs=1e-3)
    assert hz[power[:, 1].argmax()] == pytest.approx(20.0, abs=0.4)
    # Parseval: the density's integral is the variance.
    width = hz[1]
    assert power[:, 0].sum() * width == pytest.approx(0.5, rel=0.02)


def test_steps_and_jerk_are_those_of_a_parabola() -> None:
    t = np.arange(101)[:, np.newaxis] / 100.0
    found, *_ = figures(np.hstack([t**2, 10 * t**2, 0 * t]))
    assert found.max_step == pytest.approx((1.0 - 0.99**2, 10 * (1.0 - 0.99**2), 0.0))
    assert found.rms_step[0] == pytest.approx(np.sqrt(np.mean(np.diff(t**2, axis=0) ** 2)))
    # τ̈ = 2 over a range of 1, in units of (1 s)².
    assert found.jerk[:2] == pytest.approx((2.0, 2.0))
    assert found.jerk[2] is None
    assert found.sparc[2] is None


def test_chatter_is_told_from_smooth_motion_by_every_figure() -> None:
    t = np.arange(2000)[:, np.newaxis] / 100.0
    smooth = LIMIT * np.sin(2 * np.pi * 0.4 * t)
    rough = smooth + 0.2 * noise(2000)
    calm, wild = figures(smooth)[0], figures(rough)[0]
    assert calm.rms_step_fraction < wild.rms_step_fraction
    for name in ("rms_step", "jerk", "power_above_10hz"):
        assert np.all(np.array(getattr(calm, name)) < np.array(getattr(wild, name))), name
    assert np.all(np.array(calm.sparc) > np.array(wild.sparc))


def test_a_torque_of_few_samples_has_no_spectrum() -> None:
    found, *_ = figures(noise(5))
    assert found.power_above_10hz == (None,) * 3
    assert found.rms_step[0] > 0.0
    assert figures(noise(1))[0].rms_step == (0.0,) * 3


# ---- the safety filter -------------------------------------------------------------------------


def command(**acted: tuple[int, ...]) -> Command:
    kinds = {Intervention(kind): joints for kind, joints in acted.items()}
    return Command(np.zeros(3), Mode.TRACKING, kinds)


def test_interventions_are_counted_by_kind_and_joint_with_the_times_they_begin() -> None:
    tally, time_s = SafetyTally(3, order=[2, 0, 1]), np.arange(6) * 0.1
    for row, each in enumerate(
        [
            command(),
            command(slew=(0, 2)),
            command(slew=(2,), clamp=(1,)),
            None,
            command(slew=(2,)),
            command(no_goal=()),
        ]
    ):
        tally.state(row, each)
    found = {each.kind: each for each in tally.interventions(time_s)}
    assert set(found) == {"slew", "clamp", "no_goal"}
    assert (found["slew"].count, found["slew"].fraction) == (3, 0.5)
    # Joint 2 of the policy is the recording's first, joint 0 its second, joint 1 its third.
    assert found["slew"].joint_count == (3, 1, 0)
    assert found["clamp"].joint_count == (0, 0, 1)
    assert found["slew"].first_s == pytest.approx((0.1, 0.4))


def test_faults_are_counted_with_their_times() -> None:
    tally = SafetyTally(3, order=[0, 1, 2])
    for row in (2, 5):
        tally.fault("watchdog", row, f"of row {row}")
    (found,) = tally.faults(np.arange(6) * 0.1)
    assert (found.kind, found.count, found.sentence) == ("watchdog", 2, "of row 2")
    assert found.first_s == pytest.approx((0.2, 0.5))
    assert SafetyTally(3, order=[0, 1, 2]).faults(np.arange(6) * 0.1) == ()
