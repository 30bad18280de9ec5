# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node is brought up step by step, and a step that fails is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from sac_ros.ros.remote_node import RemoteNode, RemoteNodeError


class Target(LifecycleNode):
    """A lifecycle node that notes its transitions, and refuses one of them."""

    def __init__(self, name: str, refuses: str = "") -> None:
        super().__init__(name)
        self._refuses = refuses
        self.steps: list[str] = []

    def _step(self, name: str) -> TransitionCallbackReturn:
        self.steps.append(name)
        refused = name == self._refuses
        return TransitionCallbackReturn.FAILURE if refused else TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._step("configure")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_activate(state)
        return self._step("activate")


@pytest.fixture
def speaking_robot(ros: Any) -> Iterator[None]:
    publisher = ros.node("robot").create_publisher(
        JointState, "joint_states", qos_profile_sensor_data
    )
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(0.02):
            publisher.publish(JointState())

    thread = threading.Thread(target=speak)
    thread.start()
    yield
    stop.set()
    thread.join()


def bring_up(ros: Any, name: str, timeout: float = 20.0) -> None:
    RemoteNode(ros.node(), f"/{name}", timeout=timeout).bring_up("joint_states")


# Each test has a name of its own: the graph may still hold the node of the test before.


@pytest.mark.usefixtures("speaking_robot")
def test_a_node_is_configured_and_activated(ros: Any) -> None:
    target = ros.add(Target("willing"))
    bring_up(ros, "willing")
    assert target.steps == ["configure", "activate"]


@pytest.mark.usefixtures("speaking_robot")
@pytest.mark.parametrize("step", ["configure", "activate"])
def test_a_refused_step_is_named_and_the_next_is_not_tried(ros: Any, step: str) -> None:
    target = ros.add(Target(f"refuses_{step}", refuses=step))
    with pytest.raises(RemoteNodeError, match=f"/refuses_{step} refused to {step}"):
        bring_up(ros, f"refuses_{step}")
    assert target.steps[-1] == step


def test_a_second_node_of_the_same_name_is_told_and_neither_is_configured(ros: Any) -> None:
    first, second = ros.add(Target("twin")), ros.add(Target("twin"))
    with pytest.raises(RemoteNodeError, match=r"another node is named /twin .*\(waited 1 s\)"):
        bring_up(ros, "twin", timeout=1.0)
    assert first.steps == second.steps == []


def test_a_silent_robot_is_named_by_its_topic_and_the_node_is_not_activated(ros: Any) -> None:
    target = ros.add(Target("deaf"))
    with pytest.raises(RemoteNodeError, match=r"no joint states on /joint_states \(waited 1 s\)"):
        bring_up(ros, "deaf", timeout=1.0)
    assert target.steps == ["configure"]


def test_a_node_that_is_not_there_is_named(ros: Any) -> None:
    absent = RemoteNode(ros.node(), "/absent", timeout=0.3)
    with pytest.raises(RemoteNodeError, match=r"/absent offers no lifecycle services \(waited"):
        absent.bring_up("joint_states")


def test_a_reason_to_give_up_ends_the_wait_at_once(ros: Any) -> None:
    reason = "absent ended with exit code 2"
    absent = RemoteNode(ros.node(), "/absent", timeout=1000.0, given_up=lambda: reason)
    with pytest.raises(RemoteNodeError, match=f"lifecycle services: {reason}"):
        absent.bring_up("joint_states")


def test_what_changes_nothing_is_asked_again_where_an_answer_is_lost(
    ros: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_ros.ros.remote_node._AGAIN_S", 0.05)

    def answer(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = True
        return response

    ros.node("target").create_service(Trigger, "target/look", answer)
    remote = RemoteNode(ros.node(), "/target", timeout=20.0)
    client = remote._client(Trigger, "look")
    ask, asked = client.call_async, []

    def lost_at_first(request: Trigger.Request) -> Future[Any]:
        asked.append(request)
        return Future() if len(asked) < 3 else ask(request)

    monkeypatch.setattr(client, "call_async", lost_at_first)
    assert remote.call(Trigger, "look", Trigger.Request(), repeat=True).success
    assert len(asked) >= 3
