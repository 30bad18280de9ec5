# SPDX-License-Identifier: Apache-2.0
"""What an evaluation of bags finds: plain values, written as ``summary.json``.

Per-joint tuples are [n], in the joint order of the first model. Times in figures are seconds since
the recording's first joint state, on the clock that `ClockFacts` names. Torques are N·m. A value
that cannot be told is None, never NaN. Every array is in `sac_ros.bags.series`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SCHEMA = "sac_ros.bag_evaluation"
"""The field ``schema`` of every ``summary.json``."""

SCHEMA_VERSION = 1
"""Version of the fields; a summary of another version is refused."""

OPEN_LOOP = (
    "This is open loop on recorded states: the policy never saw the consequences of its own "
    "torques. A good score does not predict the robot."
)
"""To be printed wherever the figures are."""


@dataclass(frozen=True)
class TopicFacts:
    """One topic of a bag.

    Attributes:
        name, type: such as ``/joint_states`` and ``sensor_msgs/msg/JointState``.
        messages: how many the bag says that it has.
        role: ``states``, ``commands``, ``goals``, ``spec`` or empty where it is not used.
    """

    name: str
    type: str
    messages: int
    role: str = ""


@dataclass(frozen=True)
class BagFacts:
    """One bag as it was found on the disk.

    Attributes:
        path: as given on the command line.
        sha256: of its storage files, in the order of their reading.
        storage: ``sqlite3``, ``mcap`` or ``ros1``.
        bytes: of its storage files.
        duration_s: from its first to its last message by the time of recording.
        topics: all of them, by name.
        warnings: what is odd about it, one sentence each.
    """

    path: str
    sha256: str
    storage: str
    bytes: int
    duration_s: float
    topics: tuple[TopicFacts, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClockFacts:
    """Which clock the figures are on.

    Attributes:
        name: ``header``, ``received`` or ``sent``.
        why: one sentence: asked for, or what was detected.
        factor: seconds of the header's clock per second of the recorder's; None without stamps.
    """

    name: str
    why: str
    factor: float | None


@dataclass(frozen=True)
class StreamFacts:
    """The states, commands or goals that were read from all bags.

    Attributes:
        topic, type: where they came from.
        joints: [n] the names in the bag for the policy's joints; empty for goals.
        read: messages read within ``--start`` and ``--end``.
        used: how many of them carry figures.
        dropped: the reason to how many, such as ``{"stamp does not advance": 3}``.
        rate_hz: the median rate; None for fewer than two messages.
        gaps: intervals longer than three periods.
        longest_gap_s: the longest of them; 0 without.
    """

    topic: str
    type: str
    joints: tuple[str, ...]
    read: int
    used: int
    dropped: dict[str, int]
    rate_hz: float | None
    gaps: int
    longest_gap_s: float


@dataclass(frozen=True)
class RecordingFacts:
    """What the bags hold once joined and aligned.

    Attributes:
        joint_names: [n] the policy's.
        clock: see `ClockFacts`.
        states: the joint states.
        commands: the recorded torques; None where there are none.
        goals: the goals; None where none were recorded and one was given instead.
        goal_source: one sentence: where the goals come from.
        start_s, end_s: first and last state that has figures.
        first_command_s, last_command_s: None without commands.
        effort_filled: whether the recorded effort varies, so that it is a measurement.
        still_joints: joints whose recorded velocity never changes.
    """

    joint_names: tuple[str, ...]
    clock: ClockFacts
    states: StreamFacts
    commands: StreamFacts | None
    goals: StreamFacts | None
    goal_source: str
    start_s: float
    end_s: float
    first_command_s: float | None
    last_command_s: float | None
    effort_filled: bool
    still_joints: tuple[str, ...]


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
        lag_s: [n] where the cross-correlation is largest; None where a torque never changes.
        overall_s: of the sum over joints of their correlations.
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


@dataclass(frozen=True)
class ModelResult:
    """One policy on the recording.

    Attributes:
        label: short and unique among the models, for legends and columns.
        path, sha256, name, arm: of the policy file.
        control_rate_hz: the rate of inference: that of training, or of the states where slower.
        gravity: ``external`` or ``included``, of the policy's torque.
        torque_limit: [n] N·m.
        samples: states that the policy answered.
        inferences: how often it was run for them; it holds its torque in between.
        errors: of the policy and the baselines; empty without recorded torques.
        lag: None without recorded torques.
        limits: of the policy's raw torque, and of the recorded states.
        recorded_limits: of the recorded torque; empty without.
        interventions: only the kinds that act at least once.
        faults: only the kinds that occur.
        smoothness: policy, published, and recorded where there is one.
        coverage, latency: see there.
        divergence: None without recorded torques.
    """

    label: str
    path: str
    sha256: str
    name: str
    arm: str
    control_rate_hz: float
    gravity: str
    torque_limit: tuple[float, ...]
    samples: int
    inferences: int
    errors: tuple[ErrorFigures, ...]
    lag: LagFigures | None
    limits: tuple[LimitFigures, ...]
    recorded_limits: tuple[LimitFigures, ...]
    interventions: tuple[InterventionFigures, ...]
    faults: tuple[FaultFigures, ...]
    smoothness: tuple[SmoothnessFigures, ...]
    coverage: CoverageFigures
    latency: LatencyFigures
    divergence: DivergenceFigures | None


@dataclass(frozen=True)
class Threshold:
    """One ``--fail-on`` and what became of it.

    Attributes:
        name: of the figure.
        model: label of the model.
        limit: the largest value allowed.
        value: what was found; None where the figure cannot be told, which misses.
        met: whether value ≤ limit.
    """

    name: str
    model: str
    limit: float
    value: float | None
    met: bool


@dataclass(frozen=True)
class Evaluation:
    """Everything that ``evaluate_bag`` found.

    Attributes:
        tool_version: of sac_ros.
        options: the command line, by name.
        bags: the bags, in the order given.
        recording: what they hold together.
        models: the policies, in the order given.
        thresholds: what ``--fail-on`` asked.
        warnings: one sentence each, for the top of the page.
        schema, schema_version: see there.
    """

    tool_version: str
    options: dict[str, Any]
    bags: tuple[BagFacts, ...]
    recording: RecordingFacts
    models: tuple[ModelResult, ...]
    thresholds: tuple[Threshold, ...] = ()
    warnings: tuple[str, ...] = ()
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
