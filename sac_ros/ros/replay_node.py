# SPDX-License-Identifier: Apache-2.0
"""Replays a bag through a policy that commands nothing, and records its answers."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState

from sac_ros.bags.discovery import AskedTopics, TopicFinder, parse_mapping
from sac_ros.bags.events import (
    Lost,
    ReplayEvent,
    ReplayTopics,
    activation,
    exact_events,
    goal_from,
    timed_events,
    without_beginning,
)
from sac_ros.bags.reader.bag import Bag
from sac_ros.policy.runtime import Policy
from sac_ros.ros.answers import Answers
from sac_ros.ros.bag_writer import RECORDED, BagWriter, absolute, new_bag_name
from sac_ros.ros.child_processes import ChildProcesses
from sac_ros.ros.lock_step import Tally, WrittenLockStep
from sac_ros.ros.paced_replay import PacedReplay
from sac_ros.ros.parameters import declare
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.replay_config import ReplayConfig
from sac_ros.ros.robot_description import LATCHED
from sac_ros.ros.spin import NodeDone, in_thread, run_node
from sac_ros.utils.errors import EXIT_BAD_ANSWER, EXIT_DONE, BagError, ConfigurationError
from sac_ros.utils.heartbeat import Heartbeat, printed

_CHECK_S = 0.02
_REPORT_S = 5.0
_WRITTEN = ("joint_states", "goal_pose")  # and all of policy_node's own
# What belongs to the recorded machine and not to its torques.
_NOT_REPEATED = (
    *("autostart", "model_path", "realtime_priority", "lock_memory"),
    "robot_gravity",  # in bags from before it was called gravity_compensation
)


class ReplayNode(Node):
    """Lives in a namespace of its own: no live node receives what it publishes.

    The replay runs in a thread of its own, which alone writes the bag: SQLite insists. The node's
    thread receives what a policy_node answers.
    """

    def __init__(self) -> None:
        """Begins; raises a `ConfigurationError` where a parameter cannot be used."""
        super().__init__("replay_node")
        self._config = config = declare(self, ReplayConfig)
        self._lock_step = config.mode == "lock_step"
        if not config.bag:
            raise ConfigurationError("parameter bag must name the bag to replay; it is empty")
        if self._lock_step and not config.start_policy_node:
            raise ConfigurationError(
                "parameter start_policy_node must be true in mode lock_step, which needs no "
                "policy_node; got false"
            )
        pairs = parse_mapping(config.joints, "parameter joints")
        self._names = {bag: policy for policy, bag in pairs.items()}
        self._own = self.get_fully_qualified_name()
        self._output = Path(config.output or new_bag_name("replay")).expanduser()
        self._stopped = threading.Event()
        self._progress = ""
        self._tally, self._lost = Tally(), Lost()
        self._onlookers: dict[str, Publisher] = {}  # by the topic that they look at
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._replaying = in_thread("replay", self._replay)
        self.create_timer(_CHECK_S, self._end_when_done, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)

    def stop(self) -> None:
        """Ends the replay and closes its bag; called by `run_node` whatever the node ends for."""
        ended = self._replaying.done()
        self._stopped.set()
        futures.wait([self._replaying], 10.0)
        if not ended:
            self.get_logger().info(
                f"stopped after {self._tally.states} joint states, in {self._output}"
            )

    def _end_when_done(self) -> None:
        if self._replaying.done():
            raise NodeDone(self._replaying.result())  # or what ended it

    def _report(self) -> None:
        if self._progress:
            self.get_logger().info(f"replayed {self._progress}")

    # ---- in the replay's thread --------------------------------------------------------------

    def _replay(self) -> int:
        """Replay the bag; return the exit code."""
        config = self._config
        path = Path(config.bag).expanduser()
        with ExitStack() as opened:
            bag = opened.enter_context(Bag(path))
            asked = AskedTopics(
                config.states_topic, goals=config.goals_topic, option="parameter {}s_topic"
            )
            topics = TopicFinder(bag.topics, asked, f"bag {path}").replayed()
            begun = activation([bag], topics)
            recorded: dict[str, Any] = begun.get("parameters", {})
            exact = bool(begun) and self._lock_step
            model = self._model(recorded)
            self._check(bag, has_goals=bool(topics.goals) or exact)
            same = bool(begun) and begun["sha256"] == model.sha256
            if begun and not same:
                self.get_logger().warning(f"{model.path} is not the policy that was recorded")
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="replay_node_")))
            files = self._parameter_files(folder, model, recorded)
            written = [t for t in RECORDED if t.name in _WRITTEN or "/" in t.name[1:]]
            recorded_as = [each._replace(name=absolute(each.name, self._own)) for each in written]
            replay: WrittenLockStep | PacedReplay
            if self._lock_step:
                self._onlookers = {
                    each.name: self.create_publisher(
                        each.message, each.name, LATCHED if each.latched else 10
                    )
                    for each in recorded_as
                }
                replay = WrittenLockStep(
                    *(self, model, self._policy_config(files), self._write),
                    clear=config.clear_faults and not exact,
                )
            else:
                replay = self._paced(opened.enter_context(ChildProcesses()), files)
            self._tally = replay.tally
            self._bag = opened.enter_context(
                closing(BagWriter(self._output, recorded_as, config.storage))
            )
            replay.run(self._events(bag, topics, exact, same, model.spec.goal.frame))
        if self._stopped.is_set():
            return EXIT_DONE
        if not self._tally.states:
            raise BagError(f"bag {config.bag} has no joint state that could be replayed")
        # Only what is asked to come out the same can fail to.
        judged = same and exact and not config.policy_params_file
        codes = [self._conclude(bag, judged=judged), self._read_back()]
        if isinstance(replay, PacedReplay):
            codes.append(self._judge(replay.answers))
        return max(codes)

    def _model(self, recorded: dict[str, Any]) -> Policy:
        path = self._config.model_path or recorded.get("model_path", "")
        if not path:
            raise ConfigurationError(
                "parameter model_path must name a policy file: the bag does not name one"
            )
        path = Path(path).expanduser()
        if not self._config.model_path and not path.exists():
            raise ConfigurationError(
                f"policy file {path}, which the bag names, does not exist here; give it by the "
                "parameter model_path"
            )
        return Policy.load(path)

    def _check(self, bag: Bag, has_goals: bool) -> None:
        config, duration_s = self._config, _duration_s(bag)
        if not has_goals and not config.goal:
            raise ConfigurationError(
                f"bag {config.bag} has no goals (no topic of type geometry_msgs/msg/PoseStamped); "
                "give one by the parameter goal"
            )
        if config.start_offset_s >= max(duration_s, 1e-9):
            raise ConfigurationError(
                f"parameter start_offset_s must be below the {duration_s:.3f} s that bag "
                f"{config.bag} lasts; got {config.start_offset_s:g}"
            )

    def _parameter_files(
        self, folder: Path, model: Policy, recorded: dict[str, Any]
    ) -> list[Path]:
        """Return files with the recorded parameters: they are part of the policy's torques."""
        given = {k: v for k, v in recorded.items() if k not in _NOT_REPEATED and v != []}
        # The model's, whatever the robot's: no robot is moved.
        own = {
            "model_path": str(model.path.resolve()),
            "gravity_compensation": model.spec.gravity_compensation,
        }
        files = [folder / "recorded.yaml", folder / "own.yaml"]
        for file, values in zip(files, (given, own), strict=True):
            file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        if self._config.policy_params_file:
            files[0] = Path(self._config.policy_params_file).expanduser()
        return files

    def _policy_config(self, files: list[Path]) -> PolicyNodeConfig:
        """Read parameter files as a policy_node of this namespace does."""
        arguments = [part for file in files for part in ("--params-file", str(file))]
        try:
            node = Node(
                "policy_node",
                namespace=self._own,
                cli_args=["--ros-args", *arguments],
                use_global_arguments=False,
                enable_rosout=False,
                start_parameter_services=False,
            )
        except Exception as error:  # rclpy raises its own kinds
            reason = " ".join(str(error).split())
            raise ConfigurationError(
                f"ROS refuses parameter file {files[0]} of the policy_node: {reason}"
            ) from error
        try:
            return declare(node, PolicyNodeConfig)
        finally:
            node.destroy_node()

    def _paced(self, children: ChildProcesses, files: list[Path]) -> PacedReplay:
        config = self._config
        if config.start_policy_node:
            children.start_node("policy_node", self._own, files, shadow="true")
        clock = self.create_publisher(ClockMessage, "/clock", 10) if config.publish_clock else None

        def given_up() -> str:
            return "it was stopped" if self._stopped.is_set() else children.ended()

        return PacedReplay(
            self,
            self._own,
            self._write,
            given_up,
            rate=config.rate,
            clock=clock,
            stopped=self._stopped,
        )

    def _events(
        self, bag: Bag, topics: ReplayTopics, exact: bool, same: bool, frame: str
    ) -> Iterator[ReplayEvent]:
        """The bag's events, renamed, cut and with the goal that it may lack, in ``frame``.

        Another policy than the recorded one is not swapped for those that took over from that.
        """
        if exact:
            events = exact_events([bag], topics, self._lost, swaps=same)
        else:
            events = timed_events([bag], topics)
        start_ns, duration_s = bag.span_ns[0], _duration_s(bag)
        if self._config.start_offset_s:
            events = without_beginning(events, start_ns + round(self._config.start_offset_s * 1e9))
        waiting = not exact and bool(self._config.goal)
        for event in events:
            if self._stopped.is_set():
                return
            yield self._renamed(event)
            if waiting and event.kind == "activate":
                waiting = False
                goal = goal_from(self._config.goal, frame)
                yield ReplayEvent("goal", event.time, event.bag_ns, goal=goal)
            self._progress = f"{(event.bag_ns - start_ns) * 1e-9:.1f} of {duration_s:.1f} s"

    def _renamed(self, event: ReplayEvent) -> ReplayEvent:
        """With the policy's names."""
        if event.state is None or not self._names:
            return event
        try:
            state = deserialize_message(event.state, JointState)
        except Exception as error:  # what the middleware raises is its own
            raise BagError(
                f"bag {self._config.bag} has a message that is no JointState"
            ) from error
        state.name = [self._names.get(name, name) for name in state.name]
        return replace(event, state=serialize_message(state))

    def _write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        name = absolute(topic, self._own)
        self._bag.write(name, time_ns, cdr)
        if onlooker := self._onlookers.get(name):
            onlooker.publish(cdr)

    def _conclude(self, bag: Bag, *, judged: bool) -> int:
        """Report the result of the replay; return the exit code."""
        tally, log = self._tally, self.get_logger()
        for warning in bag.warnings:
            log.warning(warning)
        log.info(f"{tally.states} joint states, {tally.torques} torques, in {self._output}")
        lacks = [f"the bag lacks {self._lost}"] if str(self._lost) else []
        if not tally.compared or self._config.start_offset_s:
            for sentence in lacks:
                log.warning(sentence)
            return EXIT_DONE  # from the middle on, soft start and decimation begin elsewhere
        equal = f"{tally.equal} of {tally.compared} applied torques are equal to the recorded ones"
        worst = f" bit for bit; the largest difference is {tally.worst:g} N·m"
        words = "; ".join([equal + worst, *lacks])
        if judged and tally.equal < tally.compared:
            log.error(words)
            return EXIT_BAD_ANSWER
        log.info(words)
        return EXIT_DONE

    def _read_back(self) -> int:
        """Compare the bag that was written with what was to be written."""
        if words := self._bag.mismatch():
            self.get_logger().error(words)
            return EXIT_BAD_ANSWER
        return EXIT_DONE

    def _judge(self, answers: Answers) -> int:
        """Return how many states got no torque, and whether those are too many."""
        log, most = self.get_logger(), self._config.max_unanswered
        words = (
            f"{answers.unanswered} of {answers.sent} joint states sent after the first goal got "
            "no applied torque"
        )
        if answers.unanswered > most * answers.sent:
            log.error(f"{words}; parameter max_unanswered allows a fraction of {most:g}")
            return EXIT_BAD_ANSWER
        log.info(words)
        return EXIT_DONE


def _duration_s(bag: Bag) -> float:
    first_ns, last_ns = bag.span_ns
    return (last_ns - first_ns) * 1e-9


def main(args: list[str] | None = None) -> int:
    """Console script `replay_node`; returns the exit code.

    1: the recorded policy_node's own torques did not come out again, bit for bit, too many
    states got none, or the written bag is not what was sent and received.
    """
    with Heartbeat():
        printed("replaying")
        return run_node(ReplayNode, args, about=__doc__, parameters=ReplayConfig)


if __name__ == "__main__":
    sys.exit(main())
