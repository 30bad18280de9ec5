# SPDX-License-Identifier: Apache-2.0
"""`evaluate_bag` from the command line to its files, on bags that rosbags wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bag_maker import COMMANDS, GOALS, STATES, Entry, Motion, joint_state, pose, write_bag
from evaluate_command import refusal_of, summary_of
from tiny_policy import JOINTS, tiny_gravity, tiny_spec, write_tiny_policy

from sac_ros.bags.files import SERIES_FILE, load_summary
from sac_ros.cli.evaluate_bag import main


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_the_policy_that_was_recorded_has_no_error(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], storage: str
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries(), storage)
    found = summary_of(capsys, bag, "--model", model)
    (one,) = found["models"]
    errors = {each["name"]: each for each in one["errors"]}
    assert errors["policy"]["samples"] == 300
    assert errors["policy"]["overall"]["max_fraction"] < 1e-5
    assert errors["policy"]["overall"]["correlation"] == pytest.approx(1.0)
    assert errors["zero"]["overall"]["rmse"] > 100 * errors["policy"]["overall"]["rmse"]
    # A command came a millisecond after its state.
    assert abs(one["lag"]["overall_s"] + 0.001) <= one["lag"]["resolution_s"] < 0.01
    assert one["divergence"]["first_s"] is None
    assert found["bags"][0]["storage"] == storage
    roles = {each["name"]: each["role"] for each in found["bags"][0]["topics"]}
    assert roles == {STATES: "states", COMMANDS: "commands", "/goal_pose": "goals"}


def test_a_policy_that_carries_the_arm_is_taken_to_hold_it_where_it_has_no_goal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_policy(tmp_path / "tiny.onnx", gravity_compensation="policy")
    motion, first = Motion(), 150
    goal = Entry(GOALS, "pose", motion.time_ns(first) - 1_000_000, pose(0.3, 0.0, 0.2))
    bag = write_bag(tmp_path / "bag", [*motion.states(), goal])
    summary_of(capsys, bag, "--model", model, "--output", tmp_path / "out")
    published = dict(np.load(tmp_path / "out" / SERIES_FILE))["published_torque_0"]
    states = [motion.state(i) for i in range(first)]
    position, velocity = (np.array(each) for each in zip(*states, strict=True))
    drag = 0.5 * np.array(tiny_spec().action_scale) / tiny_spec().velocity_limit
    expected = tiny_gravity(position) - drag * velocity
    assert not published[0].any()  # the robot starts from no torque
    np.testing.assert_allclose(published[1:first], expected[1:], atol=1e-5)


def test_another_policy_has_one_and_diverges(
    tmp_path: Path, bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_tiny_policy(tmp_path / "other.onnx", gain=-3.0)
    (one,) = summary_of(capsys, bag, "--model", other)["models"]
    assert one["errors"][0]["overall"]["rmse_fraction"] > 0.05
    assert one["divergence"]["first_s"] is not None


def test_several_policies_stand_side_by_side_in_the_order_given(
    tmp_path: Path, model: Path, bag: Path
) -> None:
    other = write_tiny_policy(tmp_path / "other.onnx", tuple(reversed(JOINTS)), gain=2.0)
    output = tmp_path / "out"
    assert main([str(bag), "--model", str(model), str(other), "--output", str(output)]) == 0
    summary, series = load_summary(output), dict(np.load(output / SERIES_FILE))
    assert [each.label for each in summary.models] == ["tiny", "other"]
    # One order of joints for both, that of the first.
    assert summary.models[1].torque_limit == (10.0, 20.0, 30.0)
    assert summary.recording.joint_names == JOINTS
    position, goal = series["position"][50], series["goal"][50]
    velocity = series["velocity"][50]
    action = np.tanh(2.0 * (goal[0] - position) - 0.2 * velocity)
    np.testing.assert_allclose(series["policy_torque_1"][50], [5, 10, 15] * action, rtol=1e-5)


def test_the_files_hold_what_they_say(tmp_path: Path, model: Path, bag: Path) -> None:
    output = tmp_path / "new" / "out"
    assert main([str(bag), "--model", str(model), "--output", str(output)]) == 0
    files = {"report.html", "summary.json", "series.npz"}
    assert {each.name for each in output.iterdir()} == files
    series = dict(np.load(output / SERIES_FILE))
    m, n = 300, 3
    assert series["time_s"].shape == (m,)
    for name in ("position", "velocity", "recorded_torque", "policy_torque_0"):
        assert series[name].shape == (m, n), name
    np.testing.assert_allclose(series["recorded_effort"], 0.1 * series["position"], rtol=1e-6)
    assert series["published_torque_0"].shape == (m, n)
    assert series["goal"].shape == (m, 3)
    assert series["spectrum_policy_0"].shape == (len(series["spectrum_hz"]), n)
    assert series["lag_correlation_0"].shape == (len(series["lag_s"]), n)
    assert "spectrum_recorded" in series


def test_the_figures_are_the_same_on_every_run_but_for_the_latency(
    tmp_path: Path, model: Path, bag: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [summary_of(capsys, bag, "--model", model) for _ in range(2)]
    for run in runs:
        assert run["models"][0].pop("latency")["calls"] > 0
    assert runs[0] == runs[1]


def test_states_and_commands_recorded_apart_are_joined(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = Motion()
    states = write_bag(tmp_path / "states", [*motion.states(), *motion.goals()])
    commands = write_bag(tmp_path / "commands", motion.commands(), "mcap")
    found = summary_of(capsys, commands, states, "--model", model)
    assert len(found["bags"]) == 2
    assert found["models"][0]["errors"][0]["samples"] == 300
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5


def test_joints_are_never_paired_by_their_place(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(names=("q0", "q1", "q2")).entries())
    message = refusal_of(capsys, bag, "--model", model)
    assert "shoulder, elbow, wrist" in message
    assert "q0, q1, q2" in message
    assert "--joints" in message
    mapping = "shoulder=q0,elbow=q1,wrist=q2"
    found = summary_of(capsys, bag, "--model", model, "--joints", mapping)
    assert found["recording"]["states"]["joints"] == ["q0", "q1", "q2"]
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5


def test_commands_in_another_order_are_told_so(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = Motion()
    scale = np.array([15.0, 10.0, 5.0])
    motion.torque = lambda q, v: (scale * np.tanh(np.float32(0.3) - q - 0.2 * v))[::-1]
    bag = write_bag(tmp_path / "bag", motion.entries())
    order = "--command-joints", ",".join(reversed(JOINTS))
    found = summary_of(capsys, bag, "--model", model, *order)
    assert found["models"][0]["errors"][0]["overall"]["max_fraction"] < 1e-5
    assert "--command-joints" in refusal_of(
        capsys, bag, "--model", model, "--command-joints", "a,b,c"
    )


def test_the_effort_of_joint_states_can_be_the_recorded_torque(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = Motion()
    bag = write_bag(tmp_path / "bag", [*motion.states(), *motion.goals()])
    found = summary_of(capsys, bag, "--model", model, "--command-topic", STATES)
    assert found["recording"]["commands"]["used"] == 300
    zero = found["models"][0]["errors"][2]
    effort = np.stack([0.1 * motion.state(i)[0] for i in range(300)])
    assert zero["overall"]["rmse"] == pytest.approx(np.sqrt(np.mean(effort**2)))


def test_start_and_end_choose_a_part(
    bag: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = summary_of(capsys, bag, "--model", model, "--start", 1.0, "--end", 2.0)
    recording = found["recording"]
    assert (recording["start_s"], recording["end_s"]) == (1.0, 2.0)
    assert found["models"][0]["errors"][0]["samples"] == 101
    assert recording["states"]["dropped"] == recording["commands"]["dropped"] == {}
    assert "no usable joint state between" in refusal_of(
        capsys, bag, "--model", model, "--start", 100
    )


def test_several_candidates_must_be_chosen_from(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = Motion(count=50)
    two = [
        Entry(f"{side}{each.topic}", each.kind, each.time_ns, each.cdr)
        for side in ("/left", "/right")
        for each in motion.entries()
    ]
    bag = write_bag(tmp_path / "bag", two)
    message = refusal_of(capsys, bag, "--model", model)
    assert "--state-topic from /left/joint_states (50), /right/joint_states (50)" in message
    found = summary_of(
        capsys,
        *(bag, "--model", model, "--state-topic", "/left/joint_states"),
        *("--command-topic", "left/commands", "--goal-topic", "/left/goal_pose"),
    )
    assert found["recording"]["commands"]["topic"] == "/left/commands"


def test_without_goals_the_middle_of_the_trained_box_stands_and_the_page_says_so(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", Motion(goal=None).entries())
    found = summary_of(capsys, bag, "--model", model)
    assert "the middle of the policy's trained box" in found["recording"]["goal_source"]
    given = summary_of(capsys, bag, "--model", model, "--goal", "0.5,0,0")
    assert given["recording"]["goal_source"] == "given by --goal: [0.5, 0.0, 0.0]"
    assert given["models"][0]["errors"] != found["models"][0]["errors"]


@pytest.mark.parametrize(
    ("motion", "why"),
    [
        (Motion(goal=(7.0, 0.0, 0.0)), "no goal that the policy takes (1 refused: goal "),
        (Motion(count=50, delay_ns=0), "none came after a goal; --goal gives one for all"),
    ],
    ids=["refused goal", "late goal"],
)
def test_where_the_policy_answers_no_state_there_is_nothing_to_evaluate(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], motion: Motion, why: str
) -> None:
    entries = motion.entries()
    if motion.goal == Motion.goal:  # it comes behind the last state
        entries = [
            replace(each, time_ns=motion.time_ns(60)) if each.topic == GOALS else each
            for each in entries
        ]
    said = refusal_of(capsys, write_bag(tmp_path / "bag", entries), "--model", model)
    assert f"answers none of the {motion.count} joint states" in said
    assert why in said


def test_a_single_state_is_enough(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = Motion(count=1)
    found = summary_of(capsys, write_bag(tmp_path / "bag", motion.entries()), "--model", model)
    assert found["models"][0]["samples"] == 1
    assert found["recording"]["states"]["rate_hz"] is None


def test_joints_of_another_device_on_the_same_topic_stop_the_policy_as_on_the_robot(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motion = Motion()
    gripper = [
        Entry(STATES, "states", motion.time_ns(i) + 77, joint_state(1, ("finger",), [0.1], [0.0]))
        for i in range(100)
    ]
    bag = write_bag(tmp_path / "bag", [*motion.entries(), *gripper])
    found = summary_of(capsys, bag, "--model", model)
    assert found["recording"]["states"]["dropped"] == {"has none of the policy's joints": 100}
    assert found["models"][0]["errors"][0]["samples"] < 200
    faults = {each["kind"]: each["count"] for each in found["models"][0]["faults"]}
    assert faults["joint_state"] > 1


def test_the_command_brings_no_torch_no_ros_and_no_simulator(bag: Path, model: Path) -> None:
    code = (
        "import sys; from sac_ros.cli.evaluate_bag import main; "
        f"code = main([{str(bag)!r}, '--model', {str(model)!r}, '--json']); "
        "heavy = {'torch', 'rclpy', 'pybullet', 'gymnasium', 'matplotlib'} & set(sys.modules); "
        "sys.exit(code or (3 if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "sac_ros.bag_evaluation"
    assert done.stderr == ""
