# SPDX-License-Identifier: Apache-2.0
"""Bags to replay, replay_node run on them, and what its own bag holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from tiny_policy import JOINTS

from sac_ros.bags.reader.bag import Bag
from sac_ros.ros.bag_writer import BagWriter, RecordedTopic
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.ros.replay_node import main

STATES = 300
PERIOD_NS = 2_000_000
START_NS = 1_700_000_000_000_000_000
TORQUES = ("policy_node/policy_torque", "policy_node/applied_torque", "policy_node/events")


Replay = Callable[..., tuple[int, str]]
"""(bag, output, *parameters) → exit code and what was written to stderr."""


def arguments(bag: Path, output: Path, *parameters: str) -> list[str]:
    given = [f"bag:={bag}", f"output:={output}", *parameters]
    return ["--ros-args", *(part for each in given for part in ("-p", each))]


def replay(bag: Path, output: Path, *parameters: str) -> tuple[int, str]:
    """Run replay_node to its end, in a process of its own; see `Replay`."""
    command = [sys.executable, "-m", "sac_ros.ros.replay_node"]
    done = subprocess.run(
        [*command, *arguments(bag, output, *parameters)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=200.0,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def replay_here(capfd: pytest.CaptureFixture[str]) -> Replay:
    """As `replay`, but in this process, which saves the imports; not beside the fixture `ros`."""

    def run(bag: Path, output: Path, *parameters: str) -> tuple[int, str]:
        capfd.readouterr()
        # Not in the main thread, whose signals run_node would take and then ignore.
        with ThreadPoolExecutor(1) as thread:
            code = thread.submit(main, arguments(bag, output, *parameters)).result()
        log = capfd.readouterr().err
        assert "Traceback" not in log, log
        return code, log

    return run


def said(bag: Path, *topics: str) -> list[tuple[str, int, bytes]]:
    """Everything in a replay's bag on some topics."""
    with Bag(bag) as opened:
        batches = opened.batches({f"/replay_node/{topic}" for topic in topics})
        return [(topic, ns, cdr) for batch in batches for topic, ns, _, cdr in batch]


def torques(bag: Path, topic: str = TORQUES[1]) -> list[tuple[float, ...]]:
    return [tuple(deserialize_message(cdr, JointState).effort) for _, _, cdr in said(bag, topic)]


def write_bag(
    path: Path,
    names: tuple[str, ...] = JOINTS,
    *,
    goals: bool = True,
    storage: str = "mcap",
    more: str = "",
    count: int = STATES,
    repeats: int = 1,
    goal_at: int = 51,
) -> Path:
    """A bag as a robot's recorder writes it: states and commands at 500 Hz, a goal among them.

    ``goal_at``: the number of the state that the goal comes right before.
    ``repeats``: so many states in a row have the same stamp.
    """
    topics = [RecordedTopic("/joint_states", JointState)]
    topics.append(RecordedTopic("/commands", Float64MultiArray))
    if goals:
        topics.append(RecordedTopic("/goal_pose", type(goal_message([0, 0, 0], ""))))
    if more:
        topics.append(RecordedTopic(more, JointState))
    bag = BagWriter(path, topics, storage)
    for number in range(count):
        now = START_NS + number * PERIOD_NS
        if goals and number == goal_at:
            bag.write("/goal_pose", now - 1, serialize_message(goal_message([0.6, 0, 0], "base")))
        state = JointState(name=list(names))
        state.position = [0.1 + 0.0001 * number, -0.2, 0.3]
        state.velocity = [0.05, 0.0, -0.1]
        stamp = now - number % repeats * PERIOD_NS
        state.header.stamp.sec, state.header.stamp.nanosec = divmod(stamp, 10**9)
        bag.write("/joint_states", now, serialize_message(state))
        bag.write("/commands", now, serialize_message(Float64MultiArray(data=[1.0, 2.0, 3.0])))
        if more:
            bag.write(more, now, serialize_message(state))
    bag.close()
    return path
