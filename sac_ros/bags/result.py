# SPDX-License-Identifier: Apache-2.0
"""What an evaluation of bags finds: plain values, written as ``summary.json``.

The figures themselves are in `sac_ros.bags.metrics`, the arrays in `sac_ros.bags.files`.

Per-joint tuples are [n], in the joint order of the first model. Times are seconds since the first
joint state of the recording, on the clock that `ClockFacts` names. Torques are N·m. A value that
is unknown is None, never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from sac_ros.bags.metrics.coverage import CoverageFigures
from sac_ros.bags.metrics.divergence import DivergenceFigures
from sac_ros.bags.metrics.dynamics import EffectFigures, GravityFigures
from sac_ros.bags.metrics.errors import ErrorFigures
from sac_ros.bags.metrics.goals import GoalFigures
from sac_ros.bags.metrics.lag import LagFigures
from sac_ros.bags.metrics.latency import LatencyFigures
from sac_ros.bags.metrics.limits import LimitFigures
from sac_ros.bags.metrics.safety import FaultFigures, InterventionFigures
from sac_ros.bags.metrics.saturation import SaturationFigures
from sac_ros.bags.metrics.smoothness import SmoothnessFigures

SCHEMA = "sac_ros.bag_evaluation"
"""The field ``schema`` of every ``summary.json``, which ``summary.schema.json`` defines."""

SCHEMA_VERSION = 4
"""Version of the fields; a summary of another version is refused."""

OWN_LIMITS = ("torque", "torque_rate", "non_finite")
"""The limits that are the policy's doing; the others are the recorded robot's."""

DECISIONS = ("go", "shadow", "no")
"""Whether a policy may go on the robot: yes, in shadow first, no."""

ANSWERS = {
    "go": "may go on the robot",
    "shadow": "may go on the robot in shadow mode, not yet to command it",
    "no": "must not go on the robot",
}
"""What each decision means, after the policy's label."""

OPEN_LOOP = (
    "This is open loop on recorded states: the policy never saw the consequences of its own "
    "torques. A good score does not predict the robot."
)
"""To be printed wherever the figures are."""


@dataclass(frozen=True)
class TopicFacts:
    """One topic of a bag."""

    name: Annotated[str, "such as ``/joint_states``."]
    type: Annotated[str, "such as ``sensor_msgs/msg/JointState``."]
    messages: Annotated[int, "how many the bag claims."]
    role: Annotated[str, "``states``, ``commands``, ``goals``, ``events``; empty: unused."] = ""


@dataclass(frozen=True)
class BagFacts:
    """One bag as it was found on the disk."""

    path: Annotated[str, "as given on the command line."]
    sha256: Annotated[str, "of its storage files, in the order of their reading."]
    storage: Annotated[str, "``sqlite3``, ``mcap`` or ``ros1``."]
    bytes: Annotated[int, "of its storage files."]
    duration_s: Annotated[float, "from its first to its last message by the time of recording."]
    topics: Annotated[tuple[TopicFacts, ...], "all of them, by name."]
    warnings: Annotated[tuple[str, ...], "what is odd about it, one sentence each."] = ()


@dataclass(frozen=True)
class ClockFacts:
    """Which clock the figures are on."""

    name: Annotated[str, "``header``, ``received`` or ``sent``."]
    why: Annotated[str, "one sentence: asked for, or what was detected."]
    factor: Annotated[float | None, "s of the header's clock per s of the recorder's, if stamped."]


@dataclass(frozen=True)
class StreamFacts:
    """The states, commands or goals that were read from all bags."""

    topic: Annotated[str, "where they came from."]
    type: Annotated[str, "where they came from."]
    joints: Annotated[tuple[str, ...], "[n] the bag's names of the joints; empty for goals."]
    read: Annotated[int, "messages in the bags."]
    used: Annotated[int, "how many of them carry figures: none outside ``--start``, ``--end``."]
    dropped: Annotated[dict[str, int], 'reason to count, as ``{"stamp does not advance": 3}``.']
    rate_hz: Annotated[float | None, "the median rate; None for fewer than two messages."]
    gaps: Annotated[int, "intervals longer than three periods."]
    longest_gap_s: Annotated[float, "the longest of them; 0 without."]


@dataclass(frozen=True)
class RecordingFacts:
    """What the bags hold once joined and aligned."""

    joint_names: Annotated[tuple[str, ...], "[n] the policy's."]
    clock: Annotated[ClockFacts, "which clock all times are on."]
    states: Annotated[StreamFacts, "the joint states."]
    commands: Annotated[StreamFacts | None, "the recorded commands; None where there are none."]
    command_kind: Annotated[
        str | None, "``effort``, or ``velocity``, ``position``: not compared; None without."
    ]
    command_join: Annotated[
        str | None,
        "``stamp``: a command answers the state with its stamp; ``receipt``: the newest state "
        "before it; None where nothing is compared.",
    ]
    goals: Annotated[StreamFacts | None, "the goals; None where none were recorded."]
    goal_source: Annotated[str, "one sentence: where the goals come from."]
    start_s: Annotated[float, "first state that has figures."]
    end_s: Annotated[float, "last state that has figures."]
    first_command_s: Annotated[float | None, "None without commands."]
    last_command_s: Annotated[float | None, "None without commands."]
    effort_filled: Annotated[bool, "whether the recorded effort varies: then it is measured."]
    still_joints: Annotated[tuple[str, ...], "joints whose recorded velocity never changes."]


@dataclass(frozen=True)
class Decision:
    """Whether a policy may go on the robot."""

    decision: Annotated[str, "``go``, ``shadow``: in shadow mode first, or ``no``."]
    reasons: Annotated[tuple[str, ...], "what speaks against ``go``, worst first."]


@dataclass(frozen=True)
class ModelResult:
    """One policy on the recording."""

    label: Annotated[str, "short and unique among the models, for legends and columns."]
    path: Annotated[str, "of the policy file."]
    sha256: Annotated[str, "of the policy file."]
    name: Annotated[str, "of the policy file."]
    arm: Annotated[str, "of the policy file."]
    control_rate_hz: Annotated[float, "of inference: as in training, or as states where slower."]
    gravity_compensation: Annotated[str, "who holds g(q): ``robot`` or ``policy``."]
    joint_names: Annotated[tuple[str, ...], "[n] those of the recording, in its order."]
    torque_limit: Annotated[tuple[float, ...], "[n] N·m."]
    action_scale: Annotated[tuple[float, ...], "[n] N·m that it can ask for beside g(q)."]
    unanswered_fraction: Annotated[
        float, "of the states with a goal: without a torque, for a fault."
    ]
    samples: Annotated[int, "states that the policy answered."]
    inferences: Annotated[int, "how often it was run for them; it holds its torque in between."]
    errors: Annotated[tuple[ErrorFigures, ...], "of policy and baselines; empty without torques."]
    lag: Annotated[LagFigures | None, "None without recorded torques."]
    limits: Annotated[tuple[LimitFigures, ...], "of the policy's raw torque, and of the states."]
    recorded_limits: Annotated[tuple[LimitFigures, ...], "of the recorded torque; empty without."]
    interventions: Annotated[tuple[InterventionFigures, ...], "only the kinds that act."]
    faults: Annotated[tuple[FaultFigures, ...], "only the kinds that occur."]
    smoothness: Annotated[tuple[SmoothnessFigures, ...], "policy, published, recorded if there."]
    coverage: Annotated[CoverageFigures, "of the recording by the policy's training."]
    latency: Annotated[LatencyFigures, "of the policy's inference."]
    divergence: Annotated[DivergenceFigures | None, "None without recorded torques."]
    saturation: Annotated[tuple[SaturationFigures, ...], "of the policy, and of the recording."]
    gravity: Annotated[GravityFigures | None, "None without recorded torques or a g(q)."]
    effect: Annotated[EffectFigures | None, "None without recorded torques or the arm's model."]
    goals: Annotated[tuple[GoalFigures, ...], "of each goal that stood."]
    verdict: Annotated[Decision | None, "None before all figures are there."] = None


@dataclass(frozen=True)
class Threshold:
    """One ``--fail-on`` and what became of it."""

    name: Annotated[str, "of the figure."]
    model: Annotated[str, "label of the model."]
    limit: Annotated[float, "the largest value allowed."]
    value: Annotated[float | None, "what was found; None, which misses, where it is unknown."]
    met: Annotated[bool, "whether value ≤ limit."]


@dataclass(frozen=True)
class Evaluation:
    """Everything that ``evaluate_bag`` found."""

    tool_version: Annotated[str, "of sac_ros."]
    options: Annotated[dict[str, Any], "the command line, by name."]
    bags: Annotated[tuple[BagFacts, ...], "the bags, in the order given."]
    recording: Annotated[RecordingFacts, "what they hold together."]
    models: Annotated[tuple[ModelResult, ...], "the policies, in the order given."]
    thresholds: Annotated[tuple[Threshold, ...], "what ``--fail-on`` asked."] = ()
    warnings: Annotated[tuple[str, ...], "one sentence each, for the top of the page."] = ()
    schema: Annotated[str, "always `SCHEMA`."] = SCHEMA
    schema_version: Annotated[int, "always `SCHEMA_VERSION`."] = SCHEMA_VERSION

    @property
    def met(self) -> bool:
        """Whether every threshold is met."""
        return all(each.met for each in self.thresholds)
