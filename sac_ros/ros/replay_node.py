# SPDX-License-Identifier: Apache-2.0
"""Replays a bag through a policy_node that runs in shadow, and records what that one says."""

from __future__ import annotations

import copy
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMessage

from sac_ros.bags.discovery import parse_mapping
from sac_ros.policy.runtime import Policy
from sac_ros.ros.bag_writer import RECORDED, BagWriter, absolute, new_bag_name
from sac_ros.ros.child_processes import ChildProcesses
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.ros.replay_config import ReplayConfig
from sac_ros.ros.replay_events import (
    Lost,
    ReplayEvent,
    ReplaySource,
    exact_events,
    timed_events,
    without_beginning,
)
from sac_ros.ros.replay_modes import LockStep, PacedReplay
from sac_ros.ros.shadow_policy import ShadowPolicy
from sac_ros.ros.spin import NodeDone, in_thread, run_node
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE, BagError, ConfigurationError

_CHECK_S = 0.02
_REPORT_S = 5.0
_WRITTEN = ("joint_states", "goal_pose")  # and all of policy_node's own
# What belongs to the recorded machine and not to its torques.
_NOT_REPEATED = (
    *("autostart", "shadow", "model_path", "realtime_priority", "lock_memory"),
    "robot_gravity",  # in bags from before it was called gravity_compensation
)


class ReplayNode(Node):
    """Lives in a namespace of its own: no live node receives what it publishes.

    The replay runs in a thread of its own; the node's thread receives the policy_node's answers.
    """

    def __init__(self) -> None:
        """Begins; raises a `SacRosError` where a parameter, bag or model cannot be used."""
        super().__init__("replay_node")
        self._config = config = declare(self, ReplayConfig)
        if not config.bag:
            raise ConfigurationError("parameter bag must name the bag to replay; it is empty")
        pairs = parse_mapping(config.joints, "parameter joints")
        self._names = {bag: policy for policy, bag in pairs.items()}
        self._own = self.get_fully_qualified_name()
        self._stopped = threading.Event()
        self._progress = ""
        self._lost = Lost()
        self._open = ExitStack()
        try:
            self._prepare()
        except BaseException:
            self._open.close()
            raise
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._replaying = in_thread("replay", self._replay)
        self.create_timer(_CHECK_S, self._end_when_done, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)

    def stop(self) -> None:
        """Ends the replay and closes its bag; called by `run_node` whatever the node ends for."""
        ended = self._replaying.done()
        self._stopped.set()
        futures.wait([self._replaying], 10.0)
        self._open.close()
        if not ended:
            states = self._policy.tally.states
            self.get_logger().info(f"stopped after {states} joint states, in {self._bag.path}")

    # ---- before ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        config = self._config
        path = Path(config.bag).expanduser()
        self._source = ReplaySource(path, config.states_topic, config.goals_topic)
        self._open.callback(self._source.close)
        activation = self._source.activation() if self._source.events else {}
        self._exact = bool(activation) and config.mode == "lock_step"
        recorded: dict[str, Any] = activation.get("parameters", {})
        model = self._model(recorded)
        self._spec = model.spec
        if not self._source.goals and not self._exact and not config.goal:
            raise ConfigurationError(
                f"bag {config.bag} has no goals (no topic of type geometry_msgs/msg/PoseStamped); "
                "give one by the parameter goal"
            )
        self._duration = (self._source.end_ns - self._source.start_ns) * 1e-9
        if config.start_offset_s >= max(self._duration, 1e-9):
            raise ConfigurationError(
                f"parameter start_offset_s must be below the {self._duration:.3f} s that bag "
                f"{config.bag} lasts; got {config.start_offset_s:g}"
            )
        same = bool(activation) and activation["sha256"] == model.sha256
        if activation and not same:
            self.get_logger().warning(f"{model.path} is not the policy that was recorded")
        # Only what is asked to come out the same can fail to.
        self._judged = same and self._exact and not config.policy_params_file
        written = [t for t in RECORDED if t.name in _WRITTEN or "/" in t.name[1:]]
        topics = [each._replace(name=absolute(each.name, self._own)) for each in written]
        path = Path(config.output or new_bag_name("replay")).expanduser()
        self._bag = BagWriter(path, topics, config.storage)
        self._open.callback(self._bag.close)
        self._children = self._open.enter_context(ChildProcesses())
        if config.start_policy_node:
            self._start_policy_node(model, recorded)
        clock = self.create_publisher(ClockMessage, "/clock", 10) if config.publish_clock else None
        connections = (self, self._own, self._write, self._given_up)
        self._policy: ShadowPolicy = (
            LockStep(*connections)
            if config.mode == "lock_step"
            else PacedReplay(*connections, rate=config.rate, clock=clock, stopped=self._stopped)
        )

    def _model(self, recorded: dict[str, Any]) -> Policy:
        path = self._config.model_path or recorded.get("model_path", "")
        if not path:
            raise ConfigurationError(
                "parameter model_path must name a policy file: the bag does not tell which one ran"
            )
        path = Path(path).expanduser()
        if not self._config.model_path and not path.exists():
            raise ConfigurationError(
                f"policy file {path}, which the bag says ran, does not exist here; give it by the "
                "parameter model_path"
            )
        return Policy.load(path)

    def _start_policy_node(self, model: Policy, recorded: dict[str, Any]) -> None:
        """Start a policy_node with the recorded parameters: they are part of its torques."""
        given = {k: v for k, v in recorded.items() if k not in _NOT_REPEATED and v != []}
        own = {"model_path": str(model.path.resolve()), "shadow": True}
        # The model's, whatever the robot's: no robot is moved.
        own["gravity_compensation"] = model.spec.gravity_compensation
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="replay_node_"))
        files = [Path(folder, "recorded.yaml"), Path(folder, "own.yaml")]
        for file, values in zip(files, (given, own), strict=True):
            file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        if self._config.policy_params_file:
            files[0] = Path(self._config.policy_params_file).expanduser()
        lock_step = self._config.mode == "lock_step"
        module = "replayed_policy_node" if lock_step else "policy.node"
        self._children.start_node("policy_node", self._own, files, module=module)

    # ---- meanwhile ---------------------------------------------------------------------------

    def _replay(self) -> None:
        self._policy.connect()
        self._policy.run(self._events())

    def _events(self) -> Iterator[ReplayEvent]:
        """The bag's events, renamed, cut and with the goal that it may lack."""
        source = self._source
        events = exact_events(source, self._lost) if self._exact else timed_events(source)
        if self._config.start_offset_s:
            begin_ns = source.start_ns + round(self._config.start_offset_s * 1e9)
            events = without_beginning(events, begin_ns)
        waiting = not self._exact and bool(self._config.goal)
        for event in events:
            if self._stopped.is_set():
                return
            yield self._renamed(event)
            if waiting and event.kind == "activate":
                waiting = False
                goal = goal_message(self._config.goal, self._spec.goal.frame)
                yield ReplayEvent("goal", event.time, event.bag_ns, goal=goal)
            done = (event.bag_ns - source.start_ns) * 1e-9
            self._progress = f"{done:.1f} of {self._duration:.1f} s"

    def _renamed(self, event: ReplayEvent) -> ReplayEvent:
        """With the policy's names in a copy: two events may hold the same joint state."""
        if event.state is None or not self._names:
            return event
        state = copy.copy(event.state)
        state.name = [self._names.get(name, name) for name in event.state.name]
        return replace(event, state=state)

    def _write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        self._bag.write(absolute(topic, self._own), time_ns, cdr)

    def _given_up(self) -> str:
        return "it was stopped" if self._stopped.is_set() else self._children.ended()

    def _report(self) -> None:
        if self._progress:
            self.get_logger().info(f"replayed {self._progress}")

    # ---- afterwards --------------------------------------------------------------------------

    def _end_when_done(self) -> None:
        if not self._replaying.done():
            return
        self._replaying.result()  # raises what ended it
        if not self._policy.tally.states:
            raise BagError(f"bag {self._config.bag} has no joint state that could be replayed")
        raise NodeDone(self._conclude())

    def _conclude(self) -> int:
        """Say what the replay came to; return the exit code."""
        tally, log = self._policy.tally, self.get_logger()
        for warning in self._source.warnings:
            log.warning(warning)
        log.info(f"{tally.states} joint states, {tally.torques} torques, in {self._bag.path}")
        lacks = [f"the bag lacks {self._lost}"] if str(self._lost) else []
        if not tally.compared or self._config.start_offset_s:
            for sentence in lacks:
                log.warning(sentence)
            return EXIT_DONE  # from the middle on, soft start and decimation begin elsewhere
        equal = f"{tally.equal} of {tally.compared} applied torques are equal to the recorded ones"
        worst = f" bit for bit; the largest difference is {tally.worst:g} N·m"
        words = "; ".join([equal + worst, *lacks])
        if self._judged and tally.equal < tally.compared:
            log.error(words)
            return EXIT_BAD_ANSWER
        log.info(words)
        return EXIT_DONE


def main(args: list[str] | None = None) -> int:
    """Console script `replay_node`; returns the exit code.

    1: the recorded policy_node's own torques did not come out again, bit for bit.
    """
    return run_node(ReplayNode, args)


if __name__ == "__main__":
    sys.exit(main())
