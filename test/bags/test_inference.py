# SPDX-License-Identifier: Apache-2.0
"""Offline a policy runs as it does in the node: same rate, same goals, same last actions."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from bag_maker import GOALS, Entry, Motion, damaged, pose, text, write_bag
from late_worker import LateNowAndThen
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.alignment import Aligned, align
from sac_ros.bags.columns import Spool
from sac_ros.bags.events import stamp_of
from sac_ros.bags.inference import Answers, answer
from sac_ros.bags.recording import ReadingOptions, opened, read_recording
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Command
from sac_ros.policy.worker import Inline
from sac_ros.utils.errors import GoalError, JointStateError

RATE_HZ, COUNT = 400.0, 2000
PERIOD_NS = round(1e9 / RATE_HZ)


def policy_of(tmp_path: Path, state_size: int, gravity: str = "robot") -> Policy:
    """A policy whose period is no multiple of the states'."""
    path = write_tiny_policy(
        tmp_path / "tiny.onnx",
        state_size=state_size,
        gravity_compensation=gravity,
        control_rate_hz=90.0,
    )
    return Policy.load(path)


def answers_of(
    path: Path, policy: Policy, spool: Spool | None = None
) -> tuple[Aligned, Answers, dict[str, int]]:
    """The recording, what the policy answers to it, and how often each fault latched."""
    options = ReadingOptions()
    with opened([path]) as bags:
        recording = read_recording(bags, JOINTS, options, spool or Spool())
        aligned = align(recording, options)
        found = answer(policy, bags, recording, aligned, None)
    faults = {each.kind: each.count for each in found.safety.faults(aligned.time_s)}
    return aligned, found, faults


class Published(NamedTuple):
    """What a control loop published for one joint state; NaN where nothing was."""

    policy: np.ndarray
    applied: np.ndarray


class Node:
    """policy_node as docs/bags.md says that it is evaluated: the loop, fed by hand."""

    def __init__(self, policy: Policy, **options: Any) -> None:
        self.loop = ControlLoop(policy, SafetyConfig(), publish=self._publish, **options)
        self.reader = JointStateReader(policy.spec.joint_names)
        self._nothing = np.full(policy.spec.joints, np.nan)
        self._last: Published

    def _publish(self, command: Command, torque: Any, _stamp_ns: int) -> None:
        self._last = Published(self._nothing if torque is None else torque, command.torque)

    def begin(self, now: float, cdr: bytes) -> None:
        self.loop.safety.accept(now, *self.reader.read(cdr))
        self.loop.activate(now)

    def state(self, now: float, cdr: bytes) -> Published:
        self._last = Published(self._nothing, self._nothing)
        try:
            position, velocity = self.reader.read(cdr)
        except JointStateError as error:
            self.loop.refuse_state(now, str(error), self.reader.stamp_ns)
        else:
            self.loop.state(now, position, velocity, self.reader.stamp_ns)
        return self._last

    def goal(self, now: float, goal: Any) -> None:
        with suppress(GoalError):
            self.loop.set_goal(now, "base", np.array(goal))


@pytest.mark.parametrize("gravity", ["robot", "policy"])
@pytest.mark.parametrize("state_size", [0, 3, 5])
def test_every_state_gets_the_torque_that_the_node_would_publish(
    tmp_path: Path, state_size: int, gravity: str
) -> None:
    """To the bit: what is lost, late, doubled, swapped or no state at all changes nothing."""
    motion = Motion(rate_hz=RATE_HZ, count=COUNT, goal=None)
    states = damaged(motion, np.random.default_rng(state_size))
    goals = {57: (0.3, 0.0, 0.2), 803: (-0.4, 0.1, 0.3), 1200: (9.0, 0.0, 0.0)}
    entries = states + [
        Entry(GOALS, "pose", states[i].time_ns - 1_000_000, pose(*goal))
        for i, goal in goals.items()
    ]
    policy = policy_of(tmp_path, state_size, gravity)
    aligned, found, faults = answers_of(write_bag(tmp_path / "bag", entries), policy)

    node, expected, newest_ns, now = Node(policy), [], 0, 0.0
    node.begin(0.0, states[0].cdr)
    for i, state in enumerate(states):
        if i in goals:
            node.goal(now, goals[i])
        newest_ns = max(newest_ns, stamp_of(state.cdr) - stamp_of(states[0].cdr))
        now = newest_ns * 1e-9
        if node.loop.safety.faults:
            node.loop.clear_fault(now)
        expected.append(node.state(now, state.cdr))
    rows = aligned.number
    assert len(rows) > 0.9 * len(states)
    np.testing.assert_array_equal(found.torque, np.array([expected[i].policy for i in rows]))
    applied = np.array([expected[i].applied for i in rows], dtype=np.float32)
    np.testing.assert_array_equal(found.published, applied)
    assert {"non_finite_state", "joint_state", "watchdog"} <= faults.keys()
    assert 0.75 * len(rows) < found.answered.sum() < len(rows) - 57
    assert found.unknown == 0
    assert sum(found.refused_goals.values()) == 1


def event_entry(motion: Motion, record: dict[str, Any]) -> Entry:
    """An event as a recorder has it, a little after its joint state."""
    place = round(record["time"] * RATE_HZ)
    return Entry(
        "/policy_node/events", "text", motion.time_ns(place) + 900_000, text(json.dumps(record))
    )


def uneven(i: int) -> float:
    """Arrivals of states, as on a machine with other work."""
    return (i + 1) / RATE_HZ + 0.004 * float(np.sin(i / 3.0))


def recorded(
    policy: Policy, worker: Inline, cleared: Collection[int] = ()
) -> tuple[Motion, list[dict[str, Any]], list[Published]]:
    """A deployment: its states, the log of its node, and what that published for each state."""
    motion = Motion(rate_hz=RATE_HZ, count=COUNT, goal=None)
    told: list[str] = []
    node = Node(policy, log=EventLog(told.append), worker=worker)
    states, published = motion.states(), []
    node.begin(0.0, states[0].cdr)
    for i, state in enumerate(states):
        now = uneven(i)
        if i == 100:
            node.goal(now, (0.3, 0.0, 0.2))
        if i == 900:
            node.goal(now, (-0.5, 0.0, 0.2))
        if i in cleared:
            node.loop.emergency_stop(now, True)
            node.loop.tick(now)
            node.loop.emergency_stop(now, False)
            assert not node.loop.clear_fault(now)
        published.append(node.state(now, state.cdr))
    assert not node.loop.safety.faults
    return motion, [json.loads(each) for each in told], published


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("state_size", [0, 3, 5])
def test_the_nodes_own_log_decides_what_a_state_was_answered_with(
    tmp_path: Path, state_size: int, late: bool
) -> None:
    """To the bit, whenever its states came and its answers were late."""
    policy = policy_of(tmp_path, state_size)
    worker = LateNowAndThen(np.random.default_rng(0)) if late else Inline()
    motion, log, published = recorded(policy, worker, cleared=[1213])
    # The recorder saw the goal ten states before the node did.
    entries = [
        *motion.states(),
        *(event_entry(motion, record) for record in log),
        Entry(GOALS, "pose", motion.time_ns(90), pose(0.3, 0.0, 0.2)),
    ]
    _, found, faults = answers_of(write_bag(tmp_path / "bag", entries), policy)
    np.testing.assert_array_equal(found.torque, np.array([each.policy for each in published]))
    applied = np.array([each.applied for each in published], dtype=np.float32)
    np.testing.assert_array_equal(found.published, applied)
    assert faults == {"emergency_stop": 1}
    assert found.unknown == 0


@pytest.mark.parametrize("state_size", [0, 3, 5])
def test_what_the_node_did_with_a_state_that_is_not_recorded_is_not_guessed(
    tmp_path: Path, state_size: int
) -> None:
    """What was held from a state that the recorder missed is left out, and comes again after."""
    policy = policy_of(tmp_path, state_size)
    motion, log, published = recorded(policy, Inline(), cleared=[1213])
    missed = {i for i in range(COUNT) if i % 97 == 60}
    lost = range(1500, 1520)
    entries = [each for i, each in enumerate(motion.states()) if i not in missed]
    entries += [event_entry(motion, each) for i, each in enumerate(log) if i not in lost]
    aligned, found, _ = answers_of(write_bag(tmp_path / "bag", entries), policy)
    torque = np.array([each.policy for each in published])
    seen = [i for i in range(COUNT) if i not in missed]
    assert len(aligned.number) == len(seen)
    answered = found.answered
    assert not answered[: np.searchsorted(seen, 100)].any()
    # To the bit, but for what a policy remembers of runs that are not in the recording.
    apart = np.abs(found.torque[answered] - torque[seen][answered]).max()
    assert apart <= (1e-5 * 30 if state_size else 0.0)
    left_out = sum(1 for i in seen if i >= 100) - int(answered.sum())
    gone = len(missed) + len(lost)
    assert 0 < left_out <= (20 if state_size else 4) * gone
    assert found.unknown > 0
    begun = np.searchsorted(seen, 100)
    assert np.isfinite(found.goal[begun:]).all(), "what is lost of a log is no pause of its goal"
    assert len(np.unique(found.goal[begun:], axis=0)) == 2


def test_another_policy_than_the_recorded_one_runs_at_its_own_rate(tmp_path: Path) -> None:
    motion, log, _ = recorded(policy_of(tmp_path, 0), Inline())
    entries = [*motion.states(), *(event_entry(motion, record) for record in log)]
    bag = write_bag(tmp_path / "bag", entries)
    for rate_hz in (100.0, 50.0):
        path = write_tiny_policy(tmp_path / f"{rate_hz}.onnx", control_rate_hz=rate_hz)
        _, found, _ = answers_of(bag, Policy.load(path))
        assert found.answered[100:].all()
        assert len(found.rows) == pytest.approx((COUNT - 100) * rate_hz / RATE_HZ, rel=0.02)


def test_large_recordings_live_in_files_and_give_the_same(tmp_path: Path) -> None:
    motion = Motion(rate_hz=RATE_HZ, count=COUNT)
    policy = policy_of(tmp_path, state_size=5)
    bag = write_bag(tmp_path / "bag", motion.entries())
    folder = tmp_path / "spool"
    folder.mkdir()
    small, large = Spool(), Spool(folder, in_memory=1000)
    results = [answers_of(bag, policy, each)[1] for each in (small, large)]
    assert isinstance(results[1].torque.base, np.memmap)
    np.testing.assert_array_equal(results[0].torque, results[1].torque)
    assert not list(folder.iterdir()), "nothing is left behind"
