# SPDX-License-Identifier: Apache-2.0
"""Bags and policies in, an `Evaluation` and its series out: where everything is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sac_ros
from sac_ros.bags.alignment import Aligned, align
from sac_ros.bags.columns import Spool, blocks
from sac_ros.bags.decision import Bounds, decide, read_bounds
from sac_ros.bags.figures import judge
from sac_ros.bags.inference import Answers, answer
from sac_ros.bags.metrics.coverage import in_degrees
from sac_ros.bags.model_figures import model_result
from sac_ros.bags.reader.bag import Bag
from sac_ros.bags.recording import Progress, ReadingOptions, Recording, opened, read_recording
from sac_ros.bags.result import Evaluation, ModelResult
from sac_ros.bags.streams import NumberStream
from sac_ros.policy.runtime import Policy
from sac_ros.utils.errors import BagError


@dataclass(frozen=True)
class EvaluationOptions:
    """What an evaluation takes.

    Attributes:
        reading: how the bags are read.
        goal: [k] for all states, instead of recorded ones; None: the recorded ones, or where
            there are none the middle of the policy's trained box.
        bounds: what decides whether a policy may go on the robot; None: the package's.
        thresholds: name to the largest value allowed, see `sac_ros.bags.figures`.
        arguments: the command line, for the summary.
    """

    reading: ReadingOptions = field(default_factory=ReadingOptions)
    goal: tuple[float, ...] | None = None
    bounds: Bounds | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def evaluate_bags(
    bags: Sequence[Path],
    policies: Sequence[Policy],
    options: EvaluationOptions,
    spool: Spool,
    progress: Progress = lambda _done, _all: None,
) -> tuple[Evaluation, dict[str, NDArray[Any]]]:
    """Evaluate policies for the same joints on bags, which are joined into one recording.

    Returns the figures, and the arrays of `sac_ros.bags.files`; large ones are in the spool.

    Raises:
        BagError: a bag cannot be used, or the policies do not drive the same joints.
        ConfigurationError: an option does not fit.
    """
    with opened(bags, sent=options.reading.clock == "sent") as opened_bags:
        return _evaluate(opened_bags, policies, options, spool, progress)


def _evaluate(
    bags: Sequence[Bag],
    policies: Sequence[Policy],
    options: EvaluationOptions,
    spool: Spool,
    progress: Progress,
) -> tuple[Evaluation, dict[str, NDArray[Any]]]:
    joints = _common_joints(policies)
    recording = read_recording(bags, joints, options.reading, spool, progress)
    aligned = align(recording, options.reading)
    series = _recorded_series(aligned)
    goal = options.goal
    if goal is None and not _has_goals(recording):
        goal = policies[0].spec.goal.middle
        source = "none were recorded; the middle of the policy's trained box stands for all"
        aligned.facts = replace(aligned.facts, goal_source=f"{source}: {list(goal)}")
    elif goal is not None:
        aligned.facts = replace(aligned.facts, goal_source=f"given by --goal: {list(goal)}")
    models: list[ModelResult] = []
    warnings = _warnings(recording, aligned)
    recording.forget()
    for i, (policy, label) in enumerate(zip(policies, _labels(policies), strict=True)):
        fields = policy.spec.goal.fields
        if goal is not None and len(goal) != len(fields):
            needs = f"needs a goal of {', '.join(fields)}; got {len(goal)} values"
            raise BagError(f"policy file {policy.path} {needs}")
        answers = answer(policy, bags, recording, aligned, goal)
        if not answers.answered.any():
            raise BagError(_nothing_to_evaluate(policy, aligned, answers))
        refused = answers.refused_goals.items()
        warnings += [f"{label}: {n} goals refused: {why}" for why, n in refused]
        if answers.unknown:
            why = "what the policy did just before was not recorded"
            warnings.append(f"{label}: {answers.unknown} states left out: {why}")
        result, arrays = model_result(label, policy, aligned, answers)
        models.append(result)
        series.setdefault("goal", answers.goal)
        shared = {"spectrum_hz", "spectrum_recorded", "lag_s"}
        for name, array in arrays.items():
            series.setdefault(name if name in shared else f"{name}_{i}", array)
    evaluation = Evaluation(
        tool_version=sac_ros.__version__,
        options=dict(options.arguments),
        bags=recording.bags,
        recording=aligned.facts,
        models=tuple(models),
        warnings=tuple(warnings),
    )
    bounds = options.bounds or read_bounds()
    decided = (replace(m, verdict=decide(evaluation, m, bounds)) for m in evaluation.models)
    evaluation = replace(evaluation, models=tuple(decided))
    return replace(evaluation, thresholds=judge(evaluation, options.thresholds)), series


def _has_goals(recording: Recording) -> bool:
    """Return whether goals were recorded, as messages or in the log of policy_node."""
    return bool(recording.activation) or (recording.goals is not None and recording.goals.read > 0)


def _common_joints(policies: Sequence[Policy]) -> tuple[str, ...]:
    first = policies[0]
    for other in policies[1:]:
        if set(other.spec.joint_names) != set(first.spec.joint_names):
            raise BagError(
                f"policy files {first.path} and {other.path} must drive the same joints to be "
                f"compared; got {', '.join(first.spec.joint_names)} and "
                f"{', '.join(other.spec.joint_names)}"
            )
    return first.spec.joint_names


def _labels(policies: Sequence[Policy]) -> list[str]:
    """Return the files' names, with a number where two are the same."""
    stems = [policy.path.stem for policy in policies]
    return [
        stem if stems.count(stem) == 1 else f"{stem} ({stems[: i + 1].count(stem)})"
        for i, stem in enumerate(stems)
    ]


def _nothing_to_evaluate(policy: Policy, aligned: Aligned, answers: Answers) -> str:
    """Return why a policy answers no state at all."""
    if answers.refused_goals:
        refused = "; ".join(f"{n} refused: {why}" for why, n in answers.refused_goals.items())
        why = f"it has no goal that the policy takes ({refused}); --goal gives one"
    elif answers.unknown:
        why = f"what the policy did before {answers.unknown} of them was not recorded"
    elif stops := _what_stops(answers, aligned):
        why = f"policy_node would be stopped all the time: {stops}"
        if in_degrees(aligned.position, np.array(answers.spec.position_limit)):
            why += " (the positions look like degrees; they must be rad)"
    else:
        why = "none came after a goal; --goal gives one for all"
    states = f"{len(aligned.time_s)} joint states"
    return f"policy file {policy.path} answers none of the {states}: {why}"


def _what_stops(answers: Answers, aligned: Aligned) -> str:
    """Return the sentence of what keeps a policy from being asked; empty where nothing does."""
    faults = answers.safety.faults(aligned.time_s)
    most = max(faults, key=lambda fault: fault.count, default=None)
    return answers.never_began or (most.sentence if most else "")


def _recorded_series(aligned: Aligned) -> dict[str, NDArray[Any]]:
    series: dict[str, NDArray[Any]] = {"time_s": aligned.time_s}
    series["received_ns"] = aligned.received_ns
    for name, values in (("position", aligned.position), ("velocity", aligned.velocity)):
        series[name] = aligned.spool.empty(values.shape, np.float32)
        series[name][:] = values
    series["segment"] = aligned.segment
    if aligned.effort is not None:
        series["recorded_effort"] = aligned.effort
    if len(aligned.commanded):
        recorded = aligned.spool.empty(aligned.position.shape, np.float32)
        recorded[:] = np.nan
        for part in blocks(len(aligned.commanded)):
            recorded[aligned.commanded[part]] = aligned.torque[part]
        series["recorded_torque"] = recorded
    return series


def _warnings(recording: Recording, aligned: Aligned) -> list[str]:
    """Warn of what somebody who reads the figures needs."""
    facts = aligned.facts
    found = [warning for bag in recording.bags for warning in bag.warnings]
    for stream in (facts.states, facts.commands, facts.goals):
        if stream is not None and stream.dropped:
            why = ", ".join(f"{count} {reason}" for reason, count in stream.dropped.items())
            found.append(f"{stream.topic}: not used: {why}")
    for read in (recording.states, recording.commands):
        if read is not None and read.trailing:
            found.append(f"{read.topic}: {read.trailing} messages have bytes behind their end")
    states = facts.states
    found += [f"{states.topic}: {step}" for step in aligned.steps]
    if not facts.effort_filled:
        found.append(f"{states.topic}: effort is not filled, so nothing measured is compared")
    if still := ", ".join(facts.still_joints):
        found.append(f"{states.topic}: the velocity of {still} never changes")
    if facts.commands is None:
        found.append("no recorded torques: nothing is compared with the policy's")
    elif facts.command_kind != "effort":
        found.append(
            f"{facts.commands.topic} has {facts.command_kind} commands, which are no torques: "
            "nothing is compared with the policy's"
        )
    elif not facts.commands.used:
        found.append(f"{facts.commands.topic}: no command belongs to a state")
    elif isinstance(recording.commands, NumberStream):
        order = ", ".join(recording.commands.order)
        found.append(f"{facts.commands.topic} has no joint names: taken in the order {order}")
    stamped = recording.commands is not None and recording.commands.columns["stamp_ns"].any()
    if stamped and facts.command_join == "receipt" and facts.commands is not None:
        found.append(
            f"{facts.commands.topic}: fewer than half of its stamps are those of states: each "
            "command is taken for the newest state recorded before it"
        )
    if states.gaps:
        longest = f"the longest {states.longest_gap_s:.3f} s"
        found.append(
            f"{states.topic}: {states.gaps} gaps, {longest}; nothing is interpolated across them"
        )
    return found
