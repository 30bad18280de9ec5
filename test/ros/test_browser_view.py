# SPDX-License-Identifier: Apache-2.0
"""The browser view over real ROS: what it reads, and the goals that somebody drags there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from viser_client import ViserClient

from sac_ros.policy.runtime import Policy
from sac_ros.robots.arm import load_arm
from sac_ros.ros.browser_view import BrowserView, watching_demo
from sac_ros.ros.policy.goal_reader import goal_message
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path
from sac_ros.view import texts

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
EVENTS = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ARM = load_arm("iiwa")
SPEC = Policy.load(share_path("models", "iiwa_reach.onnx")).spec
Eventually = Callable[..., None]


class Robot:
    """Publishes what a robot and its policy_node do."""

    def __init__(self, ros: Any) -> None:
        self.node = ros.node("robot")
        self.states = self.node.create_publisher(JointState, "joint_states", 10)
        self.commands = self.node.create_publisher(Float64MultiArray, "commands", 1)
        self.events = self.node.create_publisher(String, "policy_node/events", EVENTS)
        self.spec = self.node.create_publisher(String, "policy_node/policy_spec", LATCHED)
        self.goals: list[PoseStamped] = []
        self.node.create_subscription(PoseStamped, "goal_pose", self.goals.append, 10)

    def stand(self, position: Any, torque: Any) -> None:
        shuffled = [*range(ARM.joints)][::-1]
        self.states.publish(
            JointState(
                name=[ARM.joint_names[i] for i in shuffled],
                position=[float(position[i]) for i in shuffled],
            )
        )
        self.commands.publish(Float64MultiArray(data=list(map(float, torque))))

    def event(self, **fields: Any) -> None:
        self.events.publish(String(data=json.dumps(fields)))


def start(ros_with: Any, *parameters: str) -> tuple[BrowserView, Robot]:
    ros = ros_with(*(word for each in ("port:=0", *parameters) for word in ("-p", each)))
    return ros.add(BrowserView()), Robot(ros)


def test_the_arm_of_the_policy_is_shown_with_its_torques_and_its_goal(
    ros_with: Any, eventually: Eventually
) -> None:
    view, robot = start(ros_with)
    robot.spec.publish(String(data=SPEC.to_json()))
    eventually(lambda: view.state.spec, "the spec")
    torque = np.linspace(-20.0, 40.0, ARM.joints)
    goal = robot.node.create_publisher(PoseStamped, "goal_pose", 1)
    with ViserClient(view.port):
        eventually(goal.get_subscription_count, "the view listens")
        goal.publish(goal_message([0.5, 0.1, 0.4], ARM.base_link))

        def shown() -> bool:
            robot.stand(ARM.home, torque)
            state = view.state
            return state.position is not None and state.torque is not None

        eventually(shown, "position and torque")
        eventually(lambda: view.state.goal is not None, "the goal")
        assert view.state.position == pytest.approx(ARM.home)
        assert view.state.torque == pytest.approx(torque)
        expected = np.linalg.norm(ARM.chain.forward(ARM.home) - [0.5, 0.1, 0.4])
        eventually(lambda: np.isfinite(view.state.distance), "the distance")
        assert view.state.distance == pytest.approx(expected)


def test_a_goal_that_is_dragged_is_published_and_one_outside_the_box_is_refused(
    ros_with: Any, eventually: Eventually
) -> None:
    view, robot = start(ros_with, "allow_goals:=true", "arm:=iiwa")
    robot.spec.publish(String(data=SPEC.to_json()))
    eventually(lambda: view.state.spec, "the spec")
    with ViserClient(view.port) as page:
        page.grab()
        for step in range(20):
            page.drag(0.5, 0.01 * step, 0.4)
        page.drag(0.5, 0.3, 0.4)
        page.release()
        eventually(lambda: robot.goals and robot.goals[-1].pose.position.y == 0.3, "the last one")
        assert robot.goals[-1].header.frame_id == ARM.base_link
        assert robot.goals[-1].header.stamp.sec > 0
        assert len(robot.goals) < 10, "not one for every step"
        count = len(robot.goals)
        page.grab()
        page.drag(0.5, 0.3, 2.0)
        eventually(lambda: view.page.marker.refusal, "it is refused")
        assert "goal z must be within" in view.page.marker.refusal
        page.drag(0.5, 0.2, 0.4)
        eventually(lambda: robot.goals[-1].pose.position.y == 0.2, "one inside")
        assert len(robot.goals) == count + 1
        assert view.page.marker.refusal == ""


def test_nothing_that_a_page_sends_moves_the_arm_where_goals_are_not_allowed(
    ros_with: Any, eventually: Eventually
) -> None:
    view, robot = start(ros_with, "arm:=iiwa")
    robot.spec.publish(String(data=SPEC.to_json()))
    eventually(lambda: view.state.spec, "the spec")
    assert not view.get_publishers_info_by_topic("/goal_pose")
    with ViserClient(view.port) as page:
        page.grab()
        page.drag(0.5, 0.1, 0.4)
        page.release()
        robot.event(n=1, event="emergency_stop", time=1.0, engaged=True)
        eventually(lambda: view.state.events, "a tick or more has passed")
        assert robot.goals == []
        assert not view.page.marker.draggable


def test_events_are_lines_and_those_of_every_state_only_tell_the_mode(
    ros_with: Any, eventually: Eventually
) -> None:
    view, robot = start(ros_with, "arm:=iiwa")
    robot.spec.publish(String(data=SPEC.to_json()))
    eventually(lambda: view.state.spec, "the spec")
    robot.event(n=1, event="activate", time=5.0, sha256="a" * 64, parameters={})
    with ViserClient(view.port):
        eventually(lambda: view.state.events, "what was before the page was opened")
        robot.event(n=2, event="state", time=5.1, mode="tracking", interventions={}, faults=[])
        eventually(lambda: view.state.mode == "tracking", "the mode")
        acted = {"torque_limit": [2]}
        robot.event(
            n=3, event="state", time=5.2, mode="damping", interventions=acted, faults=["x"]
        )
        eventually(lambda: view.state.mode == "damping", "the other mode")
        assert view.state.limited == {2}
        said = [line.text for line in view.state.events]
        assert said == ["activated, policy aaaaaaaa", "damping (x)"]
    eventually(lambda: not robot.events.get_subscription_count(), "nobody looks: not subscribed")
    with ViserClient(view.port):
        robot.event(n=4, event="deactivate", time=5.3, at_once=False)
        eventually(lambda: view.state.events[-1].text == "deactivated", "the next one")
        assert len(view.state.events) == 3, "those from before are not repeated"


def test_a_training_is_shown_with_its_curves(
    ros_with: Any, eventually: Eventually, tmp_path: Path
) -> None:
    view, robot = start(ros_with)
    (tmp_path / "evaluations.csv").write_text(
        "env_steps,success_5cm,success_2cm,median_error_m\n5000,0.5,0.25,0.04\nbroken\n"
    )
    values = {"phase": "training", "env_steps": "5000", "run": str(tmp_path)}
    status = DiagnosticStatus(
        name="train_node: training",
        message="training, 5000 of 9000 steps",
        hardware_id="iiwa",
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    publisher = robot.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    with ViserClient(view.port):
        eventually(publisher.get_subscription_count, "the view listens")
        publisher.publish(DiagnosticArray(status=[status]))
        eventually(lambda: view.state.progress and len(view.state.progress.curves), "the curves")
        assert view.state.progress is not None
        assert view.state.progress.curves.tolist() == [[5000.0, 0.5, 0.25, 0.04]]
        assert "5,000" in texts.training(view.state.progress)


def test_a_name_from_the_network_is_no_path(ros_with: Any, eventually: Eventually) -> None:
    view, robot = start(ros_with)
    robot.spec.publish(String(data=SPEC.to_json().replace('"iiwa"', '"/etc/passwd"', 1)))
    eventually(lambda: view.state.spec, "the spec")
    assert view.state.spec is not None
    assert view.state.spec.arm == "/etc/passwd"
    assert view.arm is None


def test_a_port_in_use_is_one_sentence(ros_with: Any) -> None:
    ros = ros_with("-p", "port:=0")
    view = ros.add(BrowserView())
    from sac_ros.view.server import start_server

    with pytest.raises(ConfigurationError, match=f"port {view.port} of 127.0.0.1 cannot be"):
        start_server("127.0.0.1", view.port)
    with pytest.raises(ConfigurationError, match="host must be an address of this machine"):
        start_server("203.0.113.7", 0)


def test_a_demo_is_found_unless_something_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sac_ros.ros.browser_view.running_demo", lambda: "17")
    monkeypatch.setenv("ROS_DOMAIN_ID", "5")
    assert watching_demo([]) == []
    monkeypatch.delenv("ROS_DOMAIN_ID")
    launched = ["--ros-args", "-r", "__node:=browser_view"]
    assert watching_demo(launched) == launched
    monkeypatch.setenv("ROS_DOMAIN_ID", "")
    assert watching_demo([])[-1] == "__ns:=/reach_demo"
