# SPDX-License-Identifier: Apache-2.0
"""What an evaluation of bags finds: plain values, written as ``summary.json``.

The figures themselves are in `sac_ros.bags.metrics`, the arrays in `sac_ros.bags.series`.

Per-joint tuples are [n], in the joint order of the first model. Times are seconds since the first
joint state of the recording, on the clock that `ClockFacts` names. Torques are N·m. A value that
cannot be told is None, never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sac_ros.bags.metrics.coverage import CoverageFigures
from sac_ros.bags.metrics.divergence import DivergenceFigures
from sac_ros.bags.metrics.errors import ErrorFigures
from sac_ros.bags.metrics.lag import LagFigures
from sac_ros.bags.metrics.latency import LatencyFigures
from sac_ros.bags.metrics.limits import LimitFigures
from sac_ros.bags.metrics.safety import FaultFigures, InterventionFigures
from sac_ros.bags.metrics.smoothness import SmoothnessFigures

SCHEMA = "sac_ros.bag_evaluation"
"""The field ``schema`` of every ``summary.json``, which `summary_schema.SCHEMA_FILE` defines."""

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
        role: ``states``, ``commands``, ``goals``, ``decisions`` or empty where it is not used.
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
        read: messages in the bags.
        used: how many of them carry figures; of those outside ``--start`` and ``--end`` none.
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
        clock: which clock all times are on.
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
        coverage: of the recording by the policy's training.
        latency: of the policy's inference.
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
        schema: always `SCHEMA`.
        schema_version: always `SCHEMA_VERSION`.
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
