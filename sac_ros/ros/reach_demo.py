# SPDX-License-Identifier: Apache-2.0
"""Drives a simulated arm to goals over ROS, with the policy in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.arm import Arm, load_arm
from sac_ros.ros.child_processes import ChildProcesses
from sac_ros.ros.demo_picture import (
    AUTO,
    DEFAULT_FILE,
    FILMED,
    NONE,
    WINDOW,
    Picture,
    make_picture,
)
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.ros.private_ros import PrivateDomain, loopback_only
from sac_ros.ros.remote_node import RemoteNode, RemoteNodeError
from sac_ros.ros.spin import spinning_node
from sac_ros.sim.backend import make_backend
from sac_ros.sim.goal_sampler import GoalSampler
from sac_ros.tasks.task import make_task
from sac_ros.utils.errors import (
    EXIT_BAD_ANSWER,
    EXIT_DONE,
    ConfigurationError,
    run_command,
)
from sac_ros.utils.heartbeat import Heartbeat, printed
from sac_ros.utils.package_share import share_path

Array = NDArray[np.float64]

# A namespace of its own: where ROS_DOMAIN_ID is set, that domain may hold a real robot.
NAMESPACE = "/reach_demo"
WATCHDOG = 0.3  # s; a desktop is no real-time machine, and delays do no harm here
CLOSE = 0.05  # m, a goal within this distance counts as reached
HEADER = "goal       x       y       z   distance   reached after"
_HOLD = 1.0  # s that the end effector must stay close before the next goal is sent
_STEP_TIMEOUT = 30.0  # s, for each step of bringing the policy node up, and for its services


@dataclass(frozen=True)
class Reach:
    """How a goal was reached."""

    distance: float  # m, of the end effector to the goal at the end
    seconds: float | None  # from the goal's publication until it stays close; None if missed
    track: tuple[tuple[float, float], ...] = ()  # s since the goal's publication, and m to it


class ReachWatch:
    """Publishes `goal_pose`, subscribes `joint_states`."""

    def __init__(
        self,
        policy: RemoteNode,
        arm: Arm,
        picture: Picture | None = None,
        *,
        close: float = CLOSE,
        hold: float = _HOLD,
    ) -> None:
        """Watches ``arm``, which ``policy`` drives; ``picture`` gets its states.

        A goal counts as reached once the end effector stays within ``close`` m for ``hold`` s.
        """
        self._arm = arm
        self._close, self._hold = close, hold
        self._policy = policy
        self._picture = picture
        self._goal: Array | None = None
        self._number, self._started = 0, 0.0
        self._latest: JointState | None = None
        self._goals = policy.node.create_publisher(PoseStamped, "goal_pose", 1)
        self._states = policy.node.create_subscription(
            JointState, "joint_states", self._on_joint_states, qos_profile_sensor_data
        )

    def send(self, goal: Array, allowed: float) -> Reach:
        """Publishes `goal` [3] m in the arm's base frame, and watches for up to `allowed` s.

        The end effector may stay close for longer than the time allowed.

        Raises:
            RemoteNodeError: a process has ended, or the arm is silent.
        """
        wait_until = self._policy.wait_until
        # A goal sent before the policy node is discovered would be lost.
        nobody = f"nobody subscribes to {self._goals.topic_name}"
        wait_until(self._goals.get_subscription_count, nobody, allowed)
        started = time.monotonic()
        self._goal, self._started = goal, started
        self._number += 1
        message = goal_message(goal, self._arm.base_link)
        message.header.stamp = self._policy.node.get_clock().now().to_msg()
        self._goals.publish(message)
        silent = f"no joint states of {self._arm.name} on {self._states.topic_name}"
        wait_until(lambda: self._distance(goal) < math.inf, silent, allowed)
        close_since: float | None = None
        track: list[tuple[float, float]] = []

        def judged() -> Reach | None:
            nonlocal close_since
            now, distance = time.monotonic(), self._distance(goal)
            track.append((now - started, distance))
            if distance > self._close:
                close_since = None
            elif close_since is None:
                close_since = now
            if (now if close_since is None else close_since) - started > allowed:
                return Reach(distance, None, tuple(track))
            if close_since is not None and now - close_since >= self._hold:
                return Reach(distance, close_since - started, tuple(track))
            return None

        reach: Reach = wait_until(judged, "the goal was given up", math.inf)
        return reach

    def clear_fault(self) -> None:
        """Clears a fault that the policy node has latched, for the next goals."""
        with contextlib.suppress(RemoteNodeError):
            self._policy.call(Trigger, "clear_fault", Trigger.Request())

    def _on_joint_states(self, message: JointState) -> None:
        self._latest = message
        position = self._position()
        if self._picture is not None and self._goal is not None and position is not None:
            seconds = time.monotonic() - self._started
            self._picture.add(position, self._goal, self._number, seconds)

    def _position(self) -> list[float] | None:
        """Joint positions [n] rad; None before the first joint states."""
        message = self._latest or JointState()
        position = dict(zip(message.name, message.position, strict=False))
        if not all(name in position for name in self._arm.joint_names):
            return None
        return [position[name] for name in self._arm.joint_names]

    def _distance(self, goal: Array) -> float:
        """Distance [m] of the end effector to `goal`; infinite before the first joint states."""
        position = self._position()
        if position is None:
            return math.inf
        end_effector = self._arm.chain.forward(position)
        return float(np.linalg.norm(end_effector - goal[:3]))


def demo(options: argparse.Namespace) -> int:
    """Runs the demo; returns 0 when every goal was reached, 1 when one was missed.

    Raises:
        SacRosError: it could not run.
    """
    spec = Policy.load(options.model).spec
    arm = load_arm(options.arm or spec.arm)
    goals = draw_goals(arm, spec, options.goals, options.seed)
    picture = make_picture(arm, options.picture)
    with (
        ros_environment(),
        ChildProcesses() as nodes,
        spinning_node("reach_demo", NAMESPACE) as node,
    ):
        printed("starting the nodes")
        start_nodes(nodes, options.model, spec, arm.reference, options.record)
        name = f"{NAMESPACE}/policy_node"
        policy = RemoteNode(node, name, timeout=_STEP_TIMEOUT, given_up=nodes.ended)
        policy.bring_up("joint_states")
        watch = ReachWatch(policy, arm, picture)
        print(f"{options.model}: {len(goals)} goals for {arm.name}, seed {options.seed}")
        print(HEADER, flush=True)
        reaches = []
        for number, goal in enumerate(goals, start=1):
            printed(f"on the way to goal {number}")
            reaches.append(watch.send(goal, options.seconds))
            print(row(number, goal, reaches[-1]), flush=True)
            if reaches[-1].seconds is None:
                watch.clear_fault()
        printed("stopping the nodes")
    reached = sum(reach.seconds is not None for reach in reaches)
    print(f"{reached} of {len(reaches)} goals reached within {CLOSE * 100:.0f} cm", flush=True)
    if picture.pending:
        print(f"drawing the arm, {picture.pending} frames", flush=True)
        printed("drawing")
    if line := picture.finish():
        print(line)
    return EXIT_DONE if reached == len(reaches) else EXIT_BAD_ANSWER


def row(number: int, goal: Array, reach: Reach) -> str:
    """One line of the table: the goal in m, the distance at the end, the time to get close."""
    x, y, z = goal[:3]
    after = f"{reach.seconds:11.2f} s" if reach.seconds is not None else "       missed"
    return f"{number:4d} {x:7.3f} {y:7.3f} {z:7.3f} {reach.distance * 100:7.2f} cm {after}"


def draw_goals(arm: Arm, spec: PolicySpec, number: int, seed: int) -> Array:
    """Goals [number, k] that the arm reaches without self-collision, in the policy's range."""
    low, high = np.array(spec.goal.low[:3]), np.array(spec.goal.high[:3])
    inside = dataclasses.replace(arm, goal_low=low, goal_high=high)
    task = make_task(spec.task, inside, {})
    backend = make_backend("bullet", inside, gravity=False)
    try:
        end_effectors = GoalSampler(backend, task).draw(np.random.default_rng(seed), number)[1]
    finally:
        backend.close()
    return task.goal_at(end_effectors)


def start_nodes(
    nodes: ChildProcesses, model: Path, spec: PolicySpec, arm: str, record: Path | None
) -> None:
    """Starts a simulated robot as the policy expects it, and the policy node.

    With `record` all of it goes into a bag; its recorder comes first and ends last.
    """
    if record is not None:
        nodes.start_node("recorder_node", NAMESPACE, bag=record.resolve())
    gravity = spec.gravity_compensation
    nodes.start_node(
        "sim_node",
        NAMESPACE,
        [share_path("config", "sim.yaml")],
        arm=arm,
        gravity_compensation=gravity,
    )
    nodes.start_node(
        "policy_node",
        NAMESPACE,
        [share_path("config", "policy.yaml")],
        model_path=model.resolve(),
        watchdog_s=WATCHDOG,
        gravity_compensation=gravity,
    )


@contextlib.contextmanager
def ros_environment() -> Iterator[None]:
    """Keeps ROS on this machine, in a domain of its own unless one is set."""
    loopback_only(os.environ)
    if os.environ.get("ROS_DOMAIN_ID"):
        yield
        return
    domain = PrivateDomain()
    os.environ["ROS_DOMAIN_ID"] = str(domain.id)
    try:
        yield
    finally:
        del os.environ["ROS_DOMAIN_ID"]
        domain.release()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line.

    Raises:
        ConfigurationError: a value is outside its valid set.
    """
    parser = argparse.ArgumentParser(
        prog="reach_demo",
        description="Drive a simulated arm to goals over ROS. Exit code 0: every goal was "
        "reached; 1: one was missed; 2: the demo could not run.",
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=share_path("models", "iiwa_reach.onnx"),
        help="policy file (default: the shipped %(default)s)",
    )
    parser.add_argument("--arm", help="arm, a .yaml or .urdf (default: as in the policy file)")
    parser.add_argument(
        "--goals", type=int, default=10, help="number of goals (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the goals (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="time allowed for each goal (default: %(default)s)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="BAG",
        help="folder for a bag of the demo, which must not exist",
    )
    parser.add_argument(
        "--picture",
        metavar="WHERE",
        default=AUTO,
        help=f"{WINDOW}, {NONE} or a file.gif (default: a window where there is a display, else "
        f"{DEFAULT_FILE}, of the first {FILMED} goals)",
    )
    options = parser.parse_args(arguments)
    for name, value, valid, words in (
        ("--goals", options.goals, options.goals >= 1, "at least 1"),
        ("--seed", options.seed, options.seed >= 0, "at least 0"),
        (
            "--picture",
            options.picture,
            options.picture in (AUTO, WINDOW, NONE) or options.picture.endswith(".gif"),
            f"{WINDOW}, {NONE} or end in .gif",
        ),
        ("--seconds", options.seconds, 0.0 < options.seconds < math.inf, "above 0"),
    ):
        if not valid:
            raise ConfigurationError(f"{name} must be {words}; got {value}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Console script `reach_demo`; returns the exit code."""
    with Heartbeat():
        return run_command(lambda: demo(parse(arguments)))


if __name__ == "__main__":
    sys.exit(main())
