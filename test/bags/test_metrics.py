# SPDX-License-Identifier: Apache-2.0
"""Each figure against its definition, on torques of which it is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_policy import JOINTS, tiny_spec

from sac_ros.bags import columns
from sac_ros.bags.columns import Spool
from sac_ros.bags.metrics import errors, limits, safety
from sac_ros.bags.metrics.coverage import coverage_figures
from sac_ros.bags.metrics.divergence import divergence_figures
from sac_ros.bags.metrics.smoothness import smoothness_figures, windows
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Intervention

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
        assert row.rmse_share == pytest.approx(row.rmse / LIMIT[j])
        assert row.max_share == pytest.approx(row.max / LIMIT[j])
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
    assert found.overall.rmse_share == pytest.approx(np.sqrt(((e / LIMIT) ** 2).mean()))
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
    assert beyond.share == 0.05
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
    assert found.outside_share == 0.6
    assert found.position_outside == (0.4, 0.0, 0.0)
    assert found.velocity_outside == (0.0, 0.4, 0.0)
    assert (found.no_goal_share, found.goal_outside_share) == (0.2, 0.1)


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
    assert calm.rms_step_share < wild.rms_step_share
    for name in ("rms_step", "jerk", "power_above_10hz"):
        assert np.all(np.array(getattr(calm, name)) < np.array(getattr(wild, name))), name
    assert np.all(np.array(calm.sparc) > np.array(wild.sparc))


def test_a_torque_of_few_samples_has_no_spectrum() -> None:
    found, *_ = figures(noise(5))
    assert found.power_above_10hz == (None,) * 3
    assert found.rms_step[0] > 0.0
    assert figures(noise(1))[0].rms_step == (0.0,) * 3


# ---- the safety filter -------------------------------------------------------------------------


def filtered(
    torque: np.ndarray,
    gravity: np.ndarray | None,
    position: np.ndarray,
    velocity: np.ndarray,
    time_s: np.ndarray,
) -> Iterator[tuple[np.ndarray, set[Intervention]]]:
    """The real filter, state by state, past its soft start and at the first torque."""
    spec, config = tiny_spec(control_rate_hz=50.0), SafetyConfig(soft_start_s=0.0)
    real = SafetyFilter(JointLimits.of(spec, config), config, spec.control_rate_hz)
    real.accept(float(time_s[0]) - 0.003, position[0], velocity[0])
    real.activate(float(time_s[0]) - 0.002)
    for i, now in enumerate(time_s.tolist()):
        assert real.accept(now, position[i], velocity[i])
        if gravity is not None:
            real.set_gravity_torque(gravity[i])
        command = real.command(now, None if np.isnan(torque[i]).all() else torque[i])
        assert not real.faults
        yield command.torque, set(command.interventions)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3.0), st.integers(1, 12), st.booleans())
def test_torques_are_those_of_the_safety_filter_bit_for_bit(
    seed: int, size: float, held: int, carries: bool
) -> None:
    generator, rows = np.random.default_rng(seed), 300
    time_s = np.cumsum(generator.uniform(0.001, 0.004, rows))
    torque = np.repeat(noise(rows // held + 1, seed) * size, held, axis=0)[:rows]
    gravity = (0.5 * noise(rows, seed + 1) * size).astype(np.float32) if carries else None
    if gravity is not None:
        gravity[0] = 0.0
    torque[generator.uniform(size=rows) < 0.1] = np.nan  # no goal
    torque[0] = 0.0  # the filter begins at no torque
    torque = torque.astype(np.float32)
    velocity = generator.uniform(-3.9, 3.9, (rows, 3))
    velocity[::7] *= 1.2  # over the limit, never for long
    velocity[0] = 0.0
    way = np.cumsum(velocity * np.diff(time_s, prepend=time_s[0])[:, None], axis=0)
    position = way + 2.905 - way.max(axis=0)  # to just beyond the limit
    with pytest.MonkeyPatch.context() as patch:  # a ramp goes on from one block to the next
        patch.setattr(safety, "blocks", lambda rows: columns.blocks(rows, 41))
        found = safety.review(
            torque,
            gravity,
            np.isfinite(torque).all(axis=1),
            position,
            velocity,
            time_s,
            time_s,
            tiny_spec(control_rate_hz=50.0),
            Spool(),
        )
    weight = None if gravity is None else gravity.astype(float)
    expected = list(filtered(torque.astype(float), weight, position, velocity, time_s))
    np.testing.assert_array_equal(
        found.published, np.array([each for each, _ in expected], dtype=np.float32)
    )
    counts = {each.kind: each.count for each in found.interventions}
    for kind in Intervention:
        assert counts.get(kind.value, 0) == sum(kind in acted for _, acted in expected), kind
    assert not found.faults


def review(**changes: np.ndarray) -> safety.SafetyReview:
    rows = 500
    time_s = np.arange(rows) * 0.005
    given: dict[str, np.ndarray | None] = {
        "torque": np.zeros((rows, 3), dtype=np.float32),
        "gravity": None,
        "answered": np.ones(rows, dtype=bool),
        "position": np.zeros((rows, 3)),
        "velocity": np.zeros((rows, 3)),
        "time_s": time_s,
        "arrival_s": time_s,
        **changes,
    }
    return safety.review(**given, spec=tiny_spec(), spool=Spool())  # type: ignore[arg-type]


def faults(found: safety.SafetyReview) -> dict[str, tuple[int, tuple[float, ...]]]:
    return {each.kind: (each.count, each.first_s) for each in found.faults}


def test_a_quiet_robot_needs_no_intervention_and_has_no_fault() -> None:
    assert review().interventions == ()
    assert review().faults == ()


def test_faults_are_counted_with_their_times() -> None:
    late = np.arange(500) * 0.005
    late[200:] += 0.06
    assert faults(review(arrival_s=late)) == {"watchdog": (1, (1.0,))}
    slow = np.arange(500) * 0.03
    assert set(faults(review(arrival_s=slow, time_s=slow))) == {"slow_states"}
    fast = np.zeros((500, 3))
    fast[100:130, 1], fast[200:260, 2] = 5.0, -5.0  # 0.145 s, then 0.295 s
    assert faults(review(velocity=fast)) == {"over_speed": (1, (1.0,))}
    broken = np.zeros((500, 3), dtype=np.float32)
    broken[300:303] = np.nan
    assert faults(review(torque=broken)) == {"policy_output": (1, (1.5,))}


def test_without_a_goal_a_robot_is_damped() -> None:
    answered = np.arange(500) >= 100
    torque = np.zeros((500, 3), dtype=np.float32)
    torque[:100] = np.nan
    velocity = np.full((500, 3), 0.5)
    found = review(torque=torque, answered=answered, velocity=velocity)
    kinds = {each.kind: each for each in found.interventions}
    assert (kinds["no_goal"].count, kinds["no_goal"].first_s) == (100, (0.0,))
    assert np.all(found.published[:100] < 0.0)
    assert faults(found) == {}
