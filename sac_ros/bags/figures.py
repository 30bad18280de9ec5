# SPDX-License-Identifier: Apache-2.0
"""The figures of one policy on a recording: plain values, each with its definition.

Units, times and None are as in `sac_ros.bags.result`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorRow:
    """A torque against the recorded one, of one joint or of all joints together.

    With e = τ − τ_recorded over all compared samples:

    Attributes:
        bias: mean e, N·m.
        mae: mean |e|, N·m.
        rmse: √(mean e²), N·m.
        p95: 95th percentile of |e|, N·m.
        max: largest |e|, N·m.
        max_s: when that was.
        rmse_share: √(mean (e / limit)²); overall the mean runs over joints and samples.
        max_share: largest |e| / limit.
        sign_agreement: share of samples with the same sign, among those where both torques are
            beyond 1 % of the limit; None without such samples.
        correlation: Pearson's, −1..1; None where one of the two never changes. Overall: of the
            torques as shares of their limits, all joints in one.
    """

    bias: float
    mae: float
    rmse: float
    p95: float
    max: float
    max_s: float
    rmse_share: float
    max_share: float
    sign_agreement: float | None
    correlation: float | None


@dataclass(frozen=True)
class ErrorFigures:
    """`ErrorRow` overall and of each joint.

    Attributes:
        name: ``policy``, or a baseline: ``hold_last``, ``zero``, ``mean``.
        samples: compared samples.
        overall: of all joints.
        joints: [n].
    """

    name: str
    samples: int
    overall: ErrorRow
    joints: tuple[ErrorRow, ...]


@dataclass(frozen=True)
class LagFigures:
    """How far the policy's torque runs behind the recorded one (positive) or ahead of it.

    Attributes:
        lag_s: [n] where the cross-correlation is largest; None where a torque never changes, or
            where it is largest at the edge of the search, so that none was found.
        overall_s: of the sum over joints of their correlations; None likewise.
        window_s: the search went from −window_s to window_s.
        rmse_share: raw, as in `ErrorRow`.
        compensated_rmse_share: after shifting every joint by `overall_s`.
    """

    lag_s: tuple[float | None, ...]
    overall_s: float | None
    window_s: float
    rmse_share: float
    compensated_rmse_share: float | None


@dataclass(frozen=True)
class LimitFigures:
    """One limit, over all joints.

    Attributes:
        kind: ``torque``, ``torque_rate``, ``position``, ``velocity`` or ``non_finite``.
        unit: of the values.
        limit: [n] or [n] pairs.
        count: samples in which any joint is beyond it.
        share: `count` over all samples.
        joint_count: [n] samples in which that joint is.
        worst: the value farthest beyond its limit, as a share of it; None where there is none.
        worst_s, worst_joint: when and which joint.
        longest_run_s: the longest time without a sample inside the limit.
    """

    kind: str
    unit: str
    limit: tuple[Any, ...]
    count: int
    share: float
    joint_count: tuple[int, ...]
    worst: float | None
    worst_s: float | None
    worst_joint: str | None
    longest_run_s: float


@dataclass(frozen=True)
class InterventionFigures:
    """What the safety filter would have changed, by one of its guards.

    Attributes:
        kind: as `sac_ros.policy.safety_events.Intervention` names it.
        count: samples in which it acts.
        share: over all samples.
        joint_count: [n] samples in which it changes that joint's torque.
        first_s: the times at which it begins to act, the first hundred.
    """

    kind: str
    count: int
    share: float
    joint_count: tuple[int, ...]
    first_s: tuple[float, ...]


@dataclass(frozen=True)
class FaultFigures:
    """A fault that would have latched in the safety filter.

    Attributes:
        kind: as `sac_ros.policy.safety_events.Fault` names it.
        count: how often, each taken as cleared at once.
        first_s: when, the first hundred.
    """

    kind: str
    count: int
    first_s: tuple[float, ...]


@dataclass(frozen=True)
class SmoothnessFigures:
    """How smooth a torque is, after resampling to `rate_hz`; the longer, the more is averaged.

    Attributes:
        name: ``policy``, ``published`` (through the safety filter) or ``recorded``.
        rate_hz: of the resampled torque.
        rms_step: [n] √(mean Δτ²), N·m.
        max_step: [n] N·m.
        rms_step_share: √(mean (Δτ / limit)²) of all joints.
        jerk: [n] normalised jerk √(mean τ̈²) · T² / range, T = 1 s; None where nothing moves.
        power_above_10hz: [n] share of the torque's power; None where nothing moves.
        sparc: [n] spectral arc length of the torque rate (Balasubramanian et al. 2015), negative,
            nearer zero is smoother; None where nothing moves.
    """

    name: str
    rate_hz: float
    rms_step: tuple[float, ...]
    max_step: tuple[float, ...]
    rms_step_share: float
    jerk: tuple[float | None, ...]
    power_above_10hz: tuple[float | None, ...]
    sparc: tuple[float | None, ...]


@dataclass(frozen=True)
class CoverageFigures:
    """How much of the recording lies within what the policy was trained on.

    Attributes:
        percentiles: of training between which a value counts as inside.
        outside_share: share of samples with any joint outside, by position or velocity.
        position_outside, velocity_outside: [n] shares.
        goal_outside_share: share of samples whose goal is outside the trained box.
        no_goal_share: share of samples before the first goal.
    """

    percentiles: tuple[float, float]
    outside_share: float
    position_outside: tuple[float, ...]
    velocity_outside: tuple[float, ...]
    goal_outside_share: float
    no_goal_share: float


@dataclass(frozen=True)
class LatencyFigures:
    """One inference at a time, as on the robot, on this machine; the only figures that vary.

    Attributes:
        calls: how many were timed.
        first_s: the first call, apart from the others.
        p50_s, p95_s, p99_s, max_s: of the others.
        period_share_p99: p99 over the control period.
    """

    calls: int
    first_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float
    period_share_p99: float


@dataclass(frozen=True)
class DivergenceFigures:
    """When the policy first goes another way than the recording for good.

    Attributes:
        threshold_share: error as a share of the torque limit, in any joint.
        sustained_s: how long it has to stay above.
        first_s: when that begins; None if it never does.
        joint: which joint; None if none.
    """

    threshold_share: float
    sustained_s: float
    first_s: float | None
    joint: str | None
