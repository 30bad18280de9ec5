# SPDX-License-Identifier: Apache-2.0
"""A recorded deployment is replayed through a policy_node in shadow to the same bits."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from lifecycle_msgs.msg import Transition
from policy_harness import Robot
from rclpy.serialization import deserialize_message
from replay_bags import (
    PERIOD_NS,
    START_NS,
    STATES,
    TORQUES,
    Replay,
    arguments,
    replay,
    replay_here,
    said,
    torques,
    write_bag,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.cli.evaluate_bag import main as evaluate_bag

__all__ = ["replay_here"]
COMMAND = (sys.executable, "-m", "sac_ros.ros.replay_node")


class Replayed(NamedTuple):
    """A bag of a robot and its replay with a policy; nobody changes the files."""

    model: Path
    bag: Path
    output: Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_policy(tmp_path_factory.mktemp("model") / "policy.onnx", state_size=3)


@pytest.fixture(scope="module")
def carrying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that holds the arm up."""
    path = tmp_path_factory.mktemp("carrying") / "carrying.onnx"
    return write_tiny_policy(path, state_size=3, gravity_compensation="policy")


@pytest.fixture(scope="module")
def replayed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp("replayed")
    bag = write_bag(folder / "bag")
    code, log = replay(bag, folder / "out", f"model_path:={model}")
    assert code == 0, log
    return Replayed(model, bag, folder / "out")


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A recorder_node that writes `tmp_path/bag`."""
    command = [sys.executable, "-m", "sac_ros.ros.recorder_node", "--ros-args"]
    process = subprocess.Popen([*command, "-p", f"bag:={tmp_path / 'bag'}"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("policy", "parameters", "replays"),
    [("model", (), 1), ("carrying", ("gravity_compensation:=policy",), 2)],
)
def test_what_happened_to_a_robot_is_replayed_to_the_same_bits_every_time(
    ros: Any,
    eventually: Callable[..., None],
    policy: str,
    parameters: tuple[str, ...],
    replays: int,
    request: pytest.FixtureRequest,
    recorder: subprocess.Popen[bytes],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Goals, a state that is not finite, a pause, an emergency stop, and faults cleared."""
    robot = Robot(ros, eventually)
    events: list[dict[str, Any]] = []
    ros.node("listener").create_subscription(
        String, "policy_node/events", lambda m: events.append(json.loads(m.data)), 1000
    )
    eventually(lambda: robot.driver.readers, "the recorder listens")
    try:
        robot.start_node(request.getfixturevalue(policy), *parameters)
        assert robot.state() == "unconfigured"
        # A recorder that missed the node's first announcement gets the next one 0.2 s later.
        announced = time.monotonic() + 1.0
        eventually(lambda: time.monotonic() > announced, "the recorder knows the node")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            assert robot.change_state(transition), robot.log

        def seen(event: str, **fields: Any) -> Callable[[], bool]:
            wanted = {"event": event, **fields}.items()
            return lambda: any(all(d.get(k) == v for k, v in wanted) for d in [*events])

        eventually(seen("state", active=True), "the node says what it decides")
        robot.set_goal(0.6)
        eventually(seen("goal"), "the goal")
        robot.driver.begin("nan position")
        eventually(seen("state", mode="damping"), "a fault")
        robot.driver.end("nan position")
        eventually(lambda: not robot.clear_fault(), "the fault is cleared")
        robot.set_goal(-0.3)
        robot.driver.begin("velocity of 100 rad/s")
        eventually(lambda: "implausible_state" in events[-1].get("faults", ()), "too fast")
        robot.driver.end("velocity of 100 rad/s")
        eventually(lambda: not robot.clear_fault(), "the fault is cleared")
        robot.driver.begin("silence")
        eventually(seen("tick", mode="stopped"), "the watchdog stops it")
        robot.driver.end("silence")
        eventually(lambda: not robot.clear_fault(), "the fault is cleared")
        robot.emergency_stop(True)
        eventually(seen("emergency_stop", engaged=True), "the emergency stop")
        robot.emergency_stop(False)
        eventually(lambda: not robot.clear_fault(), "the fault is cleared")
        count = len(events)
        eventually(lambda: len(events) > count + 100, "it goes on")
        robot.signal(signal.SIGINT)
        assert robot.wait() == 0, robot.log
    finally:
        robot.close()
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(30.0) == 0

    bags = [tmp_path / f"replay_{number}" for number in range(replays)]
    for bag in bags:
        code, log = replay(tmp_path / "bag", bag)
        assert code == 0, log
        found = re.search(r"(\d+) of (\d+) applied torques are equal", log)
        assert found, log
        assert int(found[1]) == int(found[2]) > 50, log
    assert said(bags[0], *TORQUES) == said(bags[-1], *TORQUES)

    # Offline too every torque is that of the node, to the last bit.
    capfd.readouterr()
    model = str(request.getfixturevalue(policy))
    assert evaluate_bag([str(tmp_path / "bag"), "--model", model, "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    (found,) = summary["models"]
    assert found["errors"][0]["overall"]["max"] == 0.0
    assert found["errors"][0]["samples"] == summary["recording"]["commands"]["used"] > 50
    kinds = {kind for event in events for kind in event.get("faults", ())}
    assert kinds <= {each["kind"] for each in found["faults"]}
    assert kinds >= {"non_finite_state", "implausible_state", "emergency_stop"}


def test_a_bag_of_any_robot_gives_the_same_torques_on_every_run_and_in_every_storage(
    replayed: Replayed, replay_here: Replay, tmp_path: Path
) -> None:
    first = torques(replayed.output)
    assert len(first) == STATES
    assert any(abs(value) > 1.0 for value in first[-1])
    bags = {"mcap": replayed.bag, "sqlite3": write_bag(tmp_path / "bag", storage="sqlite3")}
    for storage, bag in bags.items():
        given = (f"model_path:={replayed.model}", f"storage:={storage}")
        code, log = replay_here(bag, tmp_path / storage, *given)
        assert code == 0, log
        assert torques(tmp_path / storage) == first
        assert said(tmp_path / storage, *TORQUES) == said(replayed.output, *TORQUES)


def test_a_policy_that_holds_the_arm_up_is_asked_to_whatever_the_robot_did(
    replayed: Replayed, carrying: Path, replay_here: Replay, tmp_path: Path
) -> None:
    code, log = replay_here(replayed.bag, tmp_path / "out", f"model_path:={carrying}")
    assert code == 0, log
    carried, plain = (torques(bag)[-1] for bag in (tmp_path / "out", replayed.output))
    assert carried != plain
    assert any(abs(value) > 1.0 for value in carried)


def test_the_torques_answer_the_recorded_states_and_are_timed_by_them(replayed: Replayed) -> None:
    applied = said(replayed.output, "policy_node/applied_torque")
    assert [time_ns for _, time_ns, _ in applied] == [
        START_NS + number * PERIOD_NS for number in range(STATES)
    ]
    stamps = [deserialize_message(cdr, JointState).header.stamp for *_, cdr in applied]
    assert [10**9 * s.sec + s.nanosec for s in stamps] == [time_ns for _, time_ns, _ in applied]


def test_a_replay_can_be_replayed(replayed: Replayed, replay_here: Replay, tmp_path: Path) -> None:
    code, log = replay_here(replayed.output, tmp_path / "again")
    assert code == 0
    assert f"{STATES} of {STATES} applied torques are equal" in log
    assert torques(tmp_path / "again") == torques(replayed.output)


def test_a_replays_own_bag_is_evaluated_like_any_other(
    replayed: Replayed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate_bag([str(replayed.output), "--model", str(replayed.model), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    assert found["errors"][0]["samples"] == STATES - 51  # from the goal on, after state 50
    assert found["errors"][0]["overall"]["max_fraction"] < 1e-5
    assert "no_goal" in [each["kind"] for each in found["interventions"]]
    events = [
        json.loads(deserialize_message(cdr, String).data)
        for *_, cdr in said(replayed.output, TORQUES[2])
    ]
    acted = {kind for each in events for kind in each.get("interventions", {})}
    assert {"no_goal", "soft_start"} <= acted


def test_a_replay_that_is_stopped_says_how_far_it_came_and_leaves_a_whole_bag(
    ros: Any, eventually: Callable[..., None], model: Path, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag", count=8_000)  # a quarter of a minute
    given = arguments(bag, tmp_path / "out", f"model_path:={model}")
    process = subprocess.Popen([*COMMAND, *given], stderr=subprocess.PIPE, text=True)
    answers: list[JointState] = []
    ros.node().create_subscription(JointState, f"/replay_node/{TORQUES[1]}", answers.append, 10)
    eventually(lambda: len(answers) > 2, "the replay is under way", timeout=60.0)
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=30.0)
    assert process.returncode == 0
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if "stopped after" in line]
    found = re.search(r"stopped after (\d+) joint states", line)
    assert found
    assert len(said(tmp_path / "out", "joint_states")) == int(found[1]) > 0
    assert (tmp_path / "out" / "metadata.yaml").exists()


def test_no_command_is_ever_published_and_no_live_topic_is_used(
    ros: Any, eventually: Callable[..., None], model: Path, tmp_path: Path
) -> None:
    """The bag holds commands; it is replayed slowly, so that there is time to look around."""
    bag = write_bag(tmp_path / "bag")
    node = ros.node("onlooker")
    slowly = (f"model_path:={model}", "mode:=real_time", "rate:=0.02")
    process = subprocess.Popen([*COMMAND, *arguments(bag, tmp_path / "out", *slowly)])
    published: set[str] = set()
    answers: list[JointState] = []
    node.create_subscription(JointState, f"/replay_node/{TORQUES[1]}", answers.append, 10)

    def seen() -> bool:
        assert process.poll() is None
        names = [name for name, _ in node.get_topic_names_and_types()]
        published.update(name for name in names if node.count_publishers(name))
        return {f"/replay_node/{name}" for name in (*TORQUES, "joint_states")} <= published and (
            len(answers) > 2
        )

    eventually(seen, "the replay is under way", timeout=60.0)
    process.send_signal(signal.SIGINT)
    assert process.wait(30.0) == 0
    assert not [name for name in published if "commands" in name]
    assert not published & {"/joint_states", "/goal_pose", "/clock"}
    assert said(tmp_path / "out", "joint_states"), "a replay that is stopped leaves a whole bag"


def test_in_real_time_the_states_come_at_their_own_pace_and_the_clock_is_the_recordings(
    ros: Any, eventually: Callable[..., None], model: Path, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag")
    clocks: list[int] = []
    ros.node().create_subscription(
        Clock, "/clock", lambda m: clocks.append(m.clock.sec * 10**9 + m.clock.nanosec), 1000
    )
    code, log = replay(
        bag,
        tmp_path / "out",
        f"model_path:={model}",
        "mode:=real_time",
        "rate:=0.5",
        "start_offset_s:=0.2",
        "publish_clock:=true",
        "max_unanswered:=1.0",  # the machine is busy
    )
    assert code == 0, log
    left = STATES - 100
    states = said(tmp_path / "out", "joint_states")
    assert len(states) == left
    took = (states[-1][1] - states[0][1]) * 1e-9
    assert took >= 0.95 * (left - 1) * PERIOD_NS * 1e-9 / 0.5
    assert torques(tmp_path / "out")
    assert clocks == sorted(clocks)
    assert set(clocks) <= {START_NS + number * PERIOD_NS for number in range(100, STATES)}
    assert len(clocks) > left // 2


@pytest.mark.parametrize("mode", ["lock_step", "real_time"])
def test_a_replay_from_the_middle_on_knows_the_goal_that_stood(
    replayed: Replayed, replay_here: Replay, tmp_path: Path, mode: str
) -> None:
    """The only goal of the bag comes after 0.1 s."""
    given = (f"model_path:={replayed.model}", f"mode:={mode}", "start_offset_s:=0.4")
    if mode == "real_time":
        given = (*given, "storage:=sqlite3", "max_unanswered:=1.0")  # the machine is busy
    code, log = replay_here(replayed.bag, tmp_path / "out", *given)
    assert code == 0, log
    states = said(tmp_path / "out", "joint_states")
    assert len(states) == STATES - 200
    asked = len(torques(tmp_path / "out", TORQUES[0]))
    assert asked == len(states) if mode == "lock_step" else asked > 10


def test_joints_whose_names_are_new_or_swapped_are_told_by_name(
    replayed: Replayed, replay_here: Replay, tmp_path: Path
) -> None:
    """Two names are those of other joints in the policy, and one is of none."""
    others = (JOINTS[1], "other", JOINTS[0])
    bag = write_bag(tmp_path / "bag", others)
    pairs = ",".join(f"'{policy}={name}'" for policy, name in zip(JOINTS, others, strict=True))
    given = (f"model_path:={replayed.model}", f"joints:=[{pairs}]")
    code, log = replay_here(bag, tmp_path / "out", *given)
    assert code == 0, log
    states = said(tmp_path / "out", "joint_states")
    names = [tuple(deserialize_message(cdr, JointState).name) for *_, cdr in states]
    assert names == [JOINTS] * STATES
    assert torques(tmp_path / "out") == torques(replayed.output)


def test_a_bag_without_goals_takes_one_from_the_user(
    model: Path, replay_here: Replay, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag", goals=False)
    code, log = replay_here(bag, tmp_path / "out", f"model_path:={model}")
    assert code == 2
    assert "has no goals" in log
    assert not (tmp_path / "out").exists()
    given = (f"model_path:={model}", "goal:=[0.6, 0.0, 0.0]")
    code, log = replay_here(bag, tmp_path / "out", *given)
    assert code == 0, log
    assert len(torques(tmp_path / "out", TORQUES[0])) == STATES


def test_parameters_come_from_a_file_as_a_policy_node_reads_them(
    replayed: Replayed, replay_here: Replay, tmp_path: Path
) -> None:
    """And no difference to the recorded torques is a bad answer then."""
    file = tmp_path / "parameters.yaml"
    given = (f"policy_params_file:={file}",)
    file.write_text("/**/policy_node: {ros__parameters: {torque_scale: 0.0}}")
    code, log = replay_here(replayed.output, tmp_path / "out", *given)
    assert code == 0, log
    assert "of 300 applied torques are equal" in log
    scaled, full = (torques(bag)[-1] for bag in (tmp_path / "out", replayed.output))
    assert max(map(abs, scaled)) < 0.1 * max(map(abs, full))
    for text, words in (
        ("/**: {ros__parameters: {torque_scal: 0.0}}", "did you mean torque_scale?"),
        ("/**: [", f"ROS refuses parameter file {file}"),
    ):
        file.write_text(text)
        assert_refused(
            replay_here(replayed.output, tmp_path / "no", *given), words, tmp_path / "no"
        )


def assert_refused(found: tuple[int, str], words: str, output: Path) -> None:
    code, log = found
    assert code == 2
    (line,) = [line for line in log.splitlines() if ": error: " in line]
    assert words in line
    assert not output.exists()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (("bag:=''",), "parameter bag must name the bag to replay"),
        (("bag:=/no/such",), "bag /no/such does not exist"),
        (("model_path:=''",), "parameter model_path must name a policy file"),
        (("model_path:=/no/such.onnx",), "/no/such.onnx"),
        (("states_topic:=/goal_pose",), "parameter states_topic must name a topic of"),
        (("joints:=['shoulder']",), "parameter joints must be policy=bag pairs"),
        (("mode:=fast",), "parameter mode"),
        (("start_policy_node:=false",), "parameter start_policy_node must be true in mode lock"),
        (
            ("start_offset_s:=9.0",),
            "parameter start_offset_s must be below the 0.598 s that bag",
        ),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence_and_exit_code_2(
    replayed: Replayed,
    replay_here: Replay,
    tmp_path: Path,
    parameters: tuple[str, ...],
    words: str,
) -> None:
    output = tmp_path / "out"
    found = replay_here(replayed.bag, output, f"model_path:={replayed.model}", *parameters)
    assert_refused(found, words, output)


def test_a_refusal_is_the_exit_code_of_the_process(replayed: Replayed, tmp_path: Path) -> None:
    found = replay(replayed.bag, tmp_path / "out", "mode:=fast")
    assert_refused(found, "parameter mode must be one of", tmp_path / "out")


def test_of_two_robots_in_a_bag_one_must_be_chosen(
    model: Path, replay_here: Replay, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag", more="/left/joint_states")
    given = f"model_path:={model}"
    code, log = replay_here(bag, tmp_path / "out", given)
    assert code == 2
    assert "by parameter states_topic from /joint_states (300), /left/joint_states (300)" in log
    code, log = replay_here(bag, tmp_path / "out", given, "states_topic:=/left/joint_states")
    assert code == 0, log


def test_a_joint_that_the_bag_does_not_have_is_named(
    model: Path, replay_here: Replay, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "bag", ("a", "b", "c"))
    code, log = replay_here(bag, tmp_path / "out", f"model_path:={model}")
    assert code == 2
    assert "joint shoulder is missing from the joint states, which have a, b, c" in log


def test_a_running_policy_node_that_commands_is_refused(
    replayed: Replayed, replay_here: Replay, tmp_path: Path
) -> None:
    model = f"model_path:={replayed.model}"
    command = [sys.executable, "-m", "sac_ros.ros.policy.node", "--ros-args"]
    node = subprocess.Popen([*command, "-r", "__ns:=/replay_node", "-p", model])
    try:
        given = (model, "mode:=real_time", "start_policy_node:=false")
        code, log = replay_here(replayed.bag, tmp_path / "out", *given)
    finally:
        node.kill()
        node.wait()
    assert code == 2
    assert "parameter shadow of /replay_node/policy_node must be true" in log
