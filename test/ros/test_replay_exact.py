# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a control loop, the replay of its log gives the same torques."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from late_worker import LateNowAndThen
from rclpy.serialization import deserialize_message, serialize_message
from replay_bags import START_NS, TORQUES, Replay, replay_here, said, torques
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_events import Command
from sac_ros.ros.bag_writer import BagWriter, RecordedTopic
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.utils.errors import GoalError

__all__ = ["replay_here"]
RATE_HZ = 500.0


class RecordedLoop:
    """A control loop as policy_node drives it, its bag written as a recorder does."""

    def __init__(
        self, path: Path, policies: list[Policy], config: PolicyNodeConfig, seed: int
    ) -> None:
        """Runs the first policy, then any of them."""
        self.policies = policies
        self.chance = np.random.default_rng(seed)
        topics = [RecordedTopic(f"/{name}", JointState) for name in ("joint_states", TORQUES[1])]
        self.bag = BagWriter(path, [*topics, RecordedTopic(f"/{TORQUES[2]}", String)])
        self.now, self.stamp_ns = 7.0, START_NS
        self.torques: list[tuple[float, ...]] = []
        self.position, self.velocity = np.zeros(3), np.zeros(3)
        self.config = config
        self.loop = ControlLoop(
            policies[0],
            config,
            publish=self._publish,
            log=EventLog(lambda text: self._write(TORQUES[2], String(data=text))),
            worker=LateNowAndThen(self.chance),
        )

    def _write(self, name: str, message: Any) -> None:
        ns = START_NS + round((self.now - 7.0) * 1e9)
        self.bag.write(f"/{name}", ns, serialize_message(message))

    def _publish(self, command: Command, _torque: Any, stamp_ns: int) -> None:
        message = JointState(name=list(JOINTS), effort=command.torque.tolist())
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self.torques.append(tuple(command.torque.tolist()))
        self._write(TORQUES[1], message)

    def state(self) -> None:
        self.now += float(self.chance.uniform(0.5, 1.5)) / RATE_HZ
        self.stamp_ns += 2_000_000
        self.velocity = np.clip(self.velocity + self.chance.normal(0.0, 0.01, 3), -0.2, 0.2)
        self.position = self.position + self.velocity / RATE_HZ
        position = self.position + (np.nan if self.chance.random() < 0.005 else 0.0)
        message = JointState(name=list(JOINTS))
        message.position, message.velocity = position.tolist(), self.velocity.tolist()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.stamp_ns, 10**9)
        self._write("joint_states", message)
        self.loop.state(self.now, position, self.velocity, self.stamp_ns)

    def stream(self) -> None:
        """Move a moving goal a few times, with stamps that may stand still, and states between."""
        goal, stamp_ns = self.loop.goal, self.stamp_ns
        assert goal is not None
        for _ in range(4):
            goal = goal + self.chance.normal(0.0, 0.01, 3)
            stamp_ns += 20_000_000 if self.chance.random() < 0.8 else 0
            with suppress(GoalError):
                self.loop.set_goal(self.now, "base", goal, stamp_ns)
            for _ in range(5):
                self.state()

    def something(self) -> None:
        """Let one rare thing happen."""
        loop = self.loop
        if loop.goal_moves and loop.goal is not None:
            self.stream()
        kind = self.chance.integers(10)
        if kind == 0:
            with suppress(GoalError):
                loop.set_goal(self.now, "base", self.chance.uniform(-1.2, 1.2, 3))
        elif kind == 1:
            loop.emergency_stop(self.now, bool(self.chance.random() < 0.3))
            loop.tick(self.now)
        elif kind == 2:
            self.now += float(self.chance.uniform(0.01, 0.12))
            loop.tick(self.now)
        elif kind == 3:
            loop.begin_stop(self.now, at_once=bool(self.chance.random() < 0.2))
        elif kind == 4:
            loop.swap(self.now, self.policies[self.chance.integers(len(self.policies))])
        elif kind == 5:
            loop.set_parameter(self.now, "torque_scale", float(self.chance.random()))
        elif kind == 6:
            others = ["/rival"] if self.chance.random() < 0.3 else []
            loop.other_publishers(self.now, others)
        elif not loop.safety.active:
            loop.activate(self.now)
        else:
            loop.clear_fault(self.now)


@pytest.mark.parametrize(
    ("seed", "carries", "moving"),
    [(0, "robot", False), (1, "policy", False), (2, "robot", False), (3, "robot", True)],
)
def test_every_torque_comes_out_again(
    replay_here: Replay, tmp_path: Path, seed: int, carries: str, moving: bool
) -> None:
    """The goal, the emergency stop and a swap may come before the activation, too."""
    paths = [
        write_tiny_policy(
            tmp_path / f"{gain}.onnx",
            gain=gain,
            state_size=3,
            moving_goal=moving,
            gravity_compensation=carries,
        )
        for gain in (1.0, 0.3)
    ]
    config = PolicyNodeConfig(
        model_path=str(paths[0]),
        gravity_compensation=carries,
        soft_start_s=0.05,
        goal_timeout_s=1.5,
    )
    policies = [Policy.load(path) for path in paths]
    recorded = RecordedLoop(tmp_path / "bag", policies, config, seed)
    for number in range(2000):
        recorded.state()
        if recorded.chance.random() < (0.02 if number > 100 else 0.0):
            recorded.something()
        while recorded.loop.safety.active and recorded.chance.random() < 0.05:
            recorded.now += 0.0001
            recorded.loop.tick(recorded.now)
    recorded.bag.close()
    code, log = replay_here(tmp_path / "bag", tmp_path / "out")
    assert code == 0, log
    assert "the bag lacks" not in log
    # Those that answer no state are among them.
    assert torques(tmp_path / "out") == recorded.torques
    kinds = [
        json.loads(deserialize_message(cdr, String).data)["event"]
        for *_, cdr in said(tmp_path / "out", TORQUES[2])
    ]
    rare = {"activate", "deactivate", "goal", "emergency_stop", "clear_fault"}
    assert rare | {"swap", "set_parameter", "other_publishers"} <= {*kinds}
    assert len(recorded.torques) > 500
