# SPDX-License-Identifier: Apache-2.0
"""Offline a policy runs as it does in the node: same rate, same goals, same last actions."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import GOALS, START_NS, Entry, Motion, pose, text, write_bag
from late_worker import LateNowAndThen
from tiny_policy import JOINTS, tiny_gravity, write_tiny_policy

from sac_ros.bags.alignment import Aligned, align
from sac_ros.bags.columns import Spool
from sac_ros.bags.inference import answer
from sac_ros.bags.recording import ReadingOptions, read_recording
from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.worker import Inline

RATE_HZ, COUNT = 400.0, 2000


def policy_of(tmp_path: Path, state_size: int, gravity: str = "robot") -> Policy:
    path = tmp_path / "tiny.onnx"
    return Policy.load(
        write_tiny_policy(path, state_size=state_size, gravity_compensation=gravity)
    )


def aligned_of(path: Path, spool: Spool | None = None) -> Aligned:
    recording = read_recording([path], JOINTS, ReadingOptions(), spool or Spool())
    return align(recording, ReadingOptions())


def jittered(i: int) -> int:
    return round(1e9 + i * 1e9 / RATE_HZ + 3e5 * np.sin(7.0 * i))


def evenly(i: int) -> float:
    return (i + 1) / RATE_HZ


def run_live(
    controller: ControlLoop,
    motion: Motion,
    goals: dict[int, Any],
    cleared: int | None,
    arrival: Callable[[int], float],
    lost: Collection[int] = (),
) -> np.ndarray:
    """What `ControlLoop` asks state by state.

    ``goals``: before state number i; ``arrival``: s, of state number i; ``lost``: those that do
    not arrive.
    """
    controller.activate(0.0)
    asked = []
    for i in range(motion.count):
        if i in lost:
            continue
        if i in goals:
            controller.set_goal(arrival(i), "base", np.array(goals[i]))
        if i == cleared:
            assert not controller.clear_fault(arrival(i))
        stamp = motion.stamps(i) if motion.stamps else 0
        position, velocity = (each.astype(float) for each in motion.state(i))
        controller.safety.faults.clear()  # a motion that is none of a robot would stop the policy
        controller.state(arrival(i), position, velocity, stamp)
        torque = controller.inference.torque
        asked.append(np.full(3, np.nan) if torque is None else torque)
    return np.array(asked)


@pytest.mark.parametrize("gravity", ["robot", "policy"])
@pytest.mark.parametrize("state_size", [0, 3, 5])
@pytest.mark.parametrize("hole", [0, 4])
def test_every_state_gets_the_torque_that_the_node_would_ask(
    tmp_path: Path, hole: int, state_size: int, gravity: str
) -> None:
    """To the bit; after a hole that no watchdog notices, too."""
    lost = {i for i in range(COUNT) if i % 97 >= 97 - hole}
    motion = Motion(rate_hz=RATE_HZ, count=COUNT, goal=None, stamps=jittered)
    changes = {57: (0.3, 0.0, 0.2), 803: (-0.4, 0.1, 0.3)}
    goals = [
        Entry(GOALS, "pose", motion.time_ns(i) - 1_000_000, pose(*goal))
        for i, goal in changes.items()
    ]
    policy = policy_of(tmp_path, state_size, gravity)
    states = [state for i, state in enumerate(motion.states()) if i not in lost]
    aligned = aligned_of(write_bag(tmp_path / "bag", [*states, *goals]))
    found = answer(policy, aligned, None)
    live = ControlLoop(policy, SafetyConfig())
    expected = run_live(live, motion, changes, None, evenly, lost)
    assert (found.gravity is None) == (gravity == "robot")
    assert len(np.unique(aligned.segment)) == (1 if not hole else 1 + COUNT // 97)
    np.testing.assert_array_equal(found.torque, expected)
    assert len(found.rows) == pytest.approx(
        COUNT * policy.spec.control_rate_hz / RATE_HZ, rel=0.05
    )


def event_entry(n: int, event: str, **fields: Any) -> Entry:
    data = json.dumps({"time": 0.0, **fields, "n": n, "event": event})
    return Entry("/policy_node/events", "text", START_NS - 10_000_000 + n * 1000, text(data))


def uneven(i: int) -> float:
    """Arrivals of states whose rate seems to swing by half, as on a machine with other work."""
    return (i + 1) / RATE_HZ + 0.04 * float(np.sin(i / 30.0))


@pytest.mark.parametrize("worker", [Inline(), LateNowAndThen(np.random.default_rng(0))])
@pytest.mark.parametrize("state_size", [0, 3, 5])
def test_the_nodes_own_log_decides_what_a_state_was_answered_with(
    tmp_path: Path, state_size: int, worker: Inline
) -> None:
    # The recorder saw the goal ten states before the node did, and missed some of the states and
    # some of the log. States do not divide the policy's period: which one it ran on depends on
    # how they arrived, which no recorder sees.
    motion = Motion(
        rate_hz=RATE_HZ, count=COUNT, goal=None, stamps=lambda i: 10**9 + i * 2_700_000
    )
    goals, cleared = {100: [0.3, 0.0, 0.2], 900: [-0.5, 0.0, 0.2]}, 1213
    policy = policy_of(tmp_path, state_size)
    told: list[str] = []
    controller = ControlLoop(policy, SafetyConfig(), log=EventLog(told.append), worker=worker)
    expected = run_live(controller, motion, goals, cleared, uneven)
    entries = [each for i, each in enumerate(motion.states()) if i % 97 != 60]
    entries.append(Entry(GOALS, "pose", motion.time_ns(90), pose(0.3, 0.0, 0.2)))
    log = []
    for record in map(json.loads, told):
        log.append(event_entry(record.pop("n"), record.pop("event"), **record))
    lost = log[1500:1520]
    aligned = aligned_of(
        write_bag(tmp_path / "bag", [*entries, *(each for each in log if each not in lost)])
    )
    found = answer(policy, aligned, None)
    seen = [i for i in range(COUNT) if i % 97 != 60]
    answered = found.answered
    assert not answered[:90].any()
    # To the bit, but for what a policy remembers of runs that are not in the recording.
    apart = np.abs(found.torque[answered] - expected[seen][answered]).max()
    assert apart <= (1e-5 * 30 if state_size else 0.0)
    # What was held from a state that the recorder missed cannot be told, nor what the policy did
    # until its last action from then did not matter any more; everything else can.
    missed = sum(1 for i in range(100, COUNT) if i % 97 == 60) + len(lost)
    assert 0 < (~answered).sum() - sum(i < 100 for i in seen) <= (32 if state_size else 4) * missed
    assert bool(found.unknown) == bool(state_size)


def test_where_the_policy_holds_the_arm_up_is_where_it_ran_last(tmp_path: Path) -> None:
    motion = Motion(rate_hz=RATE_HZ, count=COUNT, goal=None, stamps=jittered)
    start = Entry(GOALS, "pose", motion.time_ns(57) - 1_000_000, pose(0.3, 0.0, 0.2))
    path = write_tiny_policy(
        tmp_path / "a.onnx", tuple(reversed(JOINTS)), gravity_compensation="policy"
    )
    policy = Policy.load(path)
    aligned = aligned_of(write_bag(tmp_path / "bag", [*motion.states(), start]))
    found = answer(policy, aligned, None)
    assert found.gravity is not None
    own = tiny_gravity(aligned.position[:, ::-1])[:, ::-1]
    ran = found.rows[np.searchsorted(found.rows, np.arange(57, COUNT), side="right") - 1]
    np.testing.assert_allclose(found.gravity[:57], own[:57], atol=1e-5)  # without a goal
    np.testing.assert_allclose(found.gravity[57:], own[ran], atol=1e-5)
    assert np.abs(own[57:] - own[ran]).max() > 1e-3


def test_a_policy_of_another_rate_than_the_nodes_runs_at_its_own(tmp_path: Path) -> None:
    motion = Motion(rate_hz=RATE_HZ, count=COUNT, stamps=lambda i: 10**9 + i * 2_500_000)
    log = [event_entry(1, "activate", sha256="", parameters={})]
    told = {"goal": [0.3, 0.0, 0.2], "frame": "base", "refused": ""}
    log.append(event_entry(2, "goal", **told))
    for i in range(COUNT):  # a node whose policy runs on every fourth state
        fields = {
            "active": True,
            "has_policy_torque": True,
            "applied": True,
            "inferences": 1 + i // 4,
        }
        log.append(event_entry(i + 3, "state", stamp=10**9 + i * 2_500_000, **fields))
    aligned = aligned_of(write_bag(tmp_path / "bag", [*motion.states(), *log]))
    for rate_hz, every in ((100.0, 4), (50.0, 8)):
        path = write_tiny_policy(tmp_path / f"{rate_hz}.onnx", control_rate_hz=rate_hz)
        found = answer(Policy.load(path), aligned, None)
        assert found.answered.all()
        np.testing.assert_array_equal(found.rows, np.arange(0, COUNT, every))


def test_large_recordings_live_in_files_and_give_the_same(tmp_path: Path) -> None:
    motion = Motion(rate_hz=RATE_HZ, count=COUNT)
    policy = policy_of(tmp_path, state_size=5)
    bag = write_bag(tmp_path / "bag", motion.entries())
    folder = tmp_path / "spool"
    folder.mkdir()
    small, large = Spool(), Spool(folder, in_memory=1000)
    results = [answer(policy, aligned_of(bag, each), None) for each in (small, large)]
    assert isinstance(results[1].torque, np.memmap)
    np.testing.assert_array_equal(results[0].torque, results[1].torque)
    assert not list(folder.iterdir()), "nothing is left behind"
