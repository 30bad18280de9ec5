# SPDX-License-Identifier: Apache-2.0
"""What policy_node would have answered to a recording: its own control loop, state by state."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned
from sac_ros.bags.columns import blocks, take_rows
from sac_ros.bags.events import (
    Lost,
    ReplayEvent,
    exact_events,
    goal_from,
    timed_events,
    with_goal,
)
from sac_ros.bags.lock_step import LockStep
from sac_ros.bags.metrics.safety import BIT, SafetyTally
from sac_ros.bags.reader.bag import Bag
from sac_ros.bags.recording import Recording
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import Array, SafetyConfig
from sac_ros.policy.safety_events import Command
from sac_ros.policy.spec import PolicySpec
from sac_ros.utils.settings import build

_LIMITS = ("torque_limit", "position_limit", "velocity_limit", "brake_limit")
_PER_JOINT = (*_LIMITS, "action_scale", "stop_damping")

Float32 = NDArray[np.float32]


@dataclass
class Answers:
    """What one policy asks, for all m states and n joints in the order of the recording.

    Attributes:
        torque: [m, n] N·m, the policy's; NaN where it has none, or none that is known.
        published: [m, n] N·m, after the safety filter; NaN where nothing was.
        gravity: [m, n] N·m, the g(q) that the torque holds; None where the robot adds it.
        goal: [m, k] the goal that it follows; NaN without.
        rows: [d] the states with which it was run; others hold the torque before them.
        answered: [m] whether the policy has a torque.
        acts: [m] which guards acted: bit i is the i-th `Intervention`.
        unknown: states whose torque is not known, since the recording lacks a state before them.
        control_rate_hz: of its runs: that of training, or of the states where they are slower.
        refused_goals: why, to how many.
        never_began: why the node could not be activated with any state; empty where it was.
        safety: what the safety filter did.
        spec: the policy's, in the order of the recording.
    """

    torque: Float32
    published: Float32
    gravity: Float32 | None
    goal: Float32
    rows: NDArray[np.intp]
    answered: NDArray[np.bool_]
    acts: NDArray[np.uint16]
    unknown: int
    control_rate_hz: float
    refused_goals: Counter[str]
    never_began: str
    safety: SafetyTally
    spec: PolicySpec


def answer(
    policy: Policy,
    bags: Sequence[Bag],
    recording: Recording,
    aligned: Aligned,
    fixed_goal: Sequence[float] | None,
) -> Answers:
    """Run a policy, which drives the recording's joints in any order, over a recording.

    Where policy_node's own log has what happened to it, that is repeated, with the parameters
    and the runs of the policy that were recorded if it is the same policy. Otherwise the node is
    active from the first state on, with its parameters' defaults, and each fault is cleared as
    soon as its cause is gone.

    ``fixed_goal`` [k] stands for all states instead of the recorded ones; None for those.
    """
    spec, topics = policy.spec, recording.topics
    begun = recording.activation
    parameters = begun.get("parameters", {})
    same = bool(begun) and begun["sha256"] == policy.sha256
    same &= parameters.get("controller", "policy") == "policy"
    events: Iterable[ReplayEvent]
    if begun:
        events = exact_events(bags, topics, Lost(), swaps=same, strict=False)
    else:
        events = timed_events(bags, topics, aligned.facts.clock.name)
    if fixed_goal is not None:
        events = with_goal(events, goal_from(fixed_goal, spec.goal.frame))
    collected = _Collected(policy, aligned)
    bag_joint = dict(zip(recording.joint_names, recording.states.joints, strict=True))
    lock_step = LockStep(
        policy,
        build(SafetyConfig, parameters) if same else SafetyConfig(),
        joints=tuple(bag_joint[name] for name in spec.joint_names),
        publish=collected.published,
        follow=same and fixed_goal is None,
        clear=not same,
    )
    for event in events:
        collected.step(lock_step, event)
        if collected.complete:
            break
    return collected.answers(policy, lock_step)


class _Collected:
    """The answers to the states of a recording, one after the other."""

    def __init__(self, policy: Policy, aligned: Aligned) -> None:
        joints, spec, spool = aligned.facts.joint_names, policy.spec, aligned.spool
        self._aligned = aligned
        self._order = [spec.joint_names.index(name) for name in joints]
        m, n, fields = len(aligned.time_s), len(joints), len(spec.goal.fields)
        self.torque, self.safe = (spool.empty((m, n), np.float32) for _ in range(2))
        self.goal = spool.empty((m, fields), np.float32)
        for each in (self.torque, self.safe, self.goal):
            each[:] = np.nan
        self.answered = np.zeros(m, dtype=bool)
        self.acts = np.zeros(m, dtype=np.uint16)
        self.ran = array("q")
        self.unknown = 0
        self.safety = SafetyTally(n, self._order)
        self._next = 0  # row that is expected next
        self._came: list[tuple[Command, Array | None]] = []  # with the event that is handed on

    @property
    def complete(self) -> bool:
        """Whether the last state has been answered."""
        return self._next >= len(self._aligned.number)

    def published(self, command: Command, torque: Array | None, _stamp_ns: int) -> None:
        """Take what the control loop publishes."""
        self._came.append((command, torque))

    def step(self, lock_step: LockStep, event: ReplayEvent) -> None:
        """Hand an event to the control loop, and note what comes of it."""
        self._came, loop = [], lock_step.loop
        runs = loop.inference.count
        lock_step.step(event)
        first = self._next
        row = self._row(event.number) if event.kind == "state" else -1
        for kind, sentence in lock_step.faults.items():
            self.safety.fault(kind, max(row, self._next - 1, 0), sentence)
        if row < 0:
            return
        if loop.goal is not None:
            self.goal[min(first, row) : row + 1] = loop.goal  # a log may lack states between
        command, torque = self._came[-1] if self._came else (None, None)
        self.safety.state(row, command)
        if command is None:
            return
        if torque is not None and not lock_step.known:
            self.unknown += 1
            return
        self.safe[row] = command.torque[self._order]
        self.acts[row] = sum(BIT[kind] for kind in command.interventions)
        if torque is not None:
            self.torque[row] = torque[self._order]
            self.answered[row] = True
            if loop.inference.count > runs:
                self.ran.append(row)

    def _row(self, number: int) -> int:
        """Return which of the aligned states a message is; −1: none that carries figures."""
        numbers, row = self._aligned.number, self._next
        if row >= len(numbers) or numbers[row] != number:
            row = int(np.searchsorted(numbers, number))
            if row >= len(numbers) or numbers[row] != number:
                return -1
        self._next = row + 1
        return row

    def _gravity(self, policy: Policy, ran: NDArray[np.intp]) -> Float32:
        """Return g(q) [m, n] where the policy ran last before each state, or else next."""
        aligned, own = self._aligned, np.argsort(self._order)
        given: Float32 = aligned.spool.empty((len(ran), len(own)), np.float32)
        for part in blocks(len(ran)):
            weight = policy.gravity(aligned.position[ran[part]][:, own])
            assert weight is not None
            given[part] = weight[:, self._order]
        held = np.searchsorted(ran, np.arange(len(aligned.number)), side="right") - 1
        return take_rows(aligned.spool, given, np.maximum(held, 0))

    def answers(self, policy: Policy, lock_step: LockStep) -> Answers:
        """Return everything that was collected."""
        spec, aligned = policy.spec, self._aligned
        rows = np.array(self.ran, dtype=np.intp)
        carries = spec.gravity_compensation == "policy"
        return Answers(
            torque=self.torque,
            published=self.safe,
            gravity=self._gravity(policy, rows) if carries and len(rows) else None,
            goal=self.goal,
            rows=rows,
            answered=self.answered,
            acts=self.acts,
            unknown=self.unknown,
            control_rate_hz=1.0 / max(1.0 / spec.control_rate_hz, aligned.period_s),
            refused_goals=lock_step.refused_goals,
            never_began=lock_step.waits_for,
            safety=self.safety,
            spec=in_order(spec, aligned.facts.joint_names),
        )


def in_order(spec: PolicySpec, joints: tuple[str, ...]) -> PolicySpec:
    """Return a spec whose per-joint fields are in another order of the same joints."""
    place, trained = [spec.joint_names.index(joint) for joint in joints], spec.training_range
    position, velocity = (
        tuple(values[i] for i in place)
        for values in (trained.joint_position, trained.joint_velocity)
    )
    ordered: dict[str, Any] = {
        name: tuple(getattr(spec, name)[i] for i in place) for name in _PER_JOINT
    }
    trained = replace(trained, joint_position=position, joint_velocity=velocity)
    return replace(spec, joint_names=joints, training_range=trained, **ordered)
