# SPDX-License-Identifier: Apache-2.0
"""Which recorded commands are compared with a policy's torques, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_maker import COMMANDS, Entry, Motion, joint_state, numbers, trajectory, write_bag
from evaluate_command import is_exact
from tiny_policy import JOINTS

Message = Callable[[Motion, int], bytes]


def bag_with(path: Path, topic: str, kind: str, message: Message, *others: Entry) -> Path:
    """States, goals, and one command after each state."""
    motion = Motion()
    commands = [
        Entry(topic, kind, motion.time_ns(i) + motion.delay_ns, message(motion, i))
        for i in range(motion.count)
    ]
    return write_bag(path, [*motion.states(), *motion.goals(), *commands, *others])


def array(motion: Motion, i: int) -> bytes:
    return numbers(motion.command(i))


def not_compared(found: dict[str, Any], topic: str, kind: str) -> bool:
    """Whether nothing was compared, and one warning says so with topic and kind."""
    (warning,) = (each for each in found["warnings"] if "are no torques" in each)
    assert warning.startswith(f"{topic} has {kind} commands")
    recording = found["recording"]
    assert recording["commands"]["topic"] == topic
    assert (recording["commands"]["read"], recording["commands"]["used"]) == (300, 0)
    return recording["command_kind"] == kind and not found["models"][0]["errors"]


# ---- kinds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "topic",
    [
        "/commands",
        "/left/commands",
        "/effort_controller/commands",
        "/joint_group_effort_controller/commands",
        "/forward_effort_controller/commands",
        "/effort_controllers/arm/commands",
        "/position_arm/torque_controller/commands",
        "/desired_torques",
        "/arm/eff_cmd",
    ],
)
def test_effort_commands_are_known_by_their_topic(
    tmp_path: Path, evaluated: Any, topic: str
) -> None:
    found = evaluated(bag_with(tmp_path / "bag", topic, "numbers", array))
    assert found["recording"]["command_kind"] == "effort"
    assert is_exact(found)


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("/velocity_controller/commands", "velocity"),
        ("/forward_velocity_controller/commands", "velocity"),
        ("/effort_arm/joint_group_vel_controller/command", "velocity"),
        ("/position_controller/commands", "position"),
        ("/forward_position_controller/commands", "position"),
        ("/joint_trajectory_controller/commands", "position"),
    ],
)
def test_other_commands_are_not_compared_and_one_warning_says_so(
    tmp_path: Path, evaluated: Any, topic: str, kind: str
) -> None:
    bag = bag_with(tmp_path / "bag", topic, "numbers", array)
    found = evaluated(bag, "--output", tmp_path / "out")
    assert not_compared(found, topic, kind)
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"only of {kind}, which is not compared" in page


def test_the_kind_can_be_given_against_the_name(tmp_path: Path, evaluated: Any) -> None:
    topic = "/velocity_controller/commands"
    bag = bag_with(tmp_path / "bag", topic, "numbers", array)
    found = evaluated(bag, "--command-kind", "effort")
    assert found["recording"]["command_kind"] == found["options"]["command_kind"] == "effort"
    assert is_exact(found)
    other = bag_with(tmp_path / "other", COMMANDS, "numbers", array)
    assert not_compared(evaluated(other, "--command-kind", "velocity"), COMMANDS, "velocity")


@pytest.mark.parametrize("topic", ["/arm_controller/commands", "/numbers", "/effort_position"])
def test_a_name_that_tells_no_kind_or_two_is_asked_about(
    tmp_path: Path, evaluated: Any, refused: Any, topic: str
) -> None:
    bag = bag_with(tmp_path / "bag", topic, "numbers", array)
    message = refused(bag)
    assert f"the name of {topic} in bag" in message
    assert "--command-kind effort, velocity or position" in message
    assert is_exact(evaluated(bag, "--command-kind", "effort"))


def test_commands_beside_policy_node_are_its_torques(tmp_path: Path, evaluated: Any) -> None:
    other = Entry("/policy_node/latency", "numbers", Motion().time_ns(0), numbers([1.0]))
    bag = bag_with(tmp_path / "bag", "/arm_controller/commands", "numbers", array, other)
    assert is_exact(evaluated(bag))


def test_torques_are_preferred_to_other_commands(tmp_path: Path, evaluated: Any) -> None:
    other = Entry("/a_velocity_controller/commands", "numbers", Motion().time_ns(0), numbers([1]))
    bag = bag_with(tmp_path / "bag", "/effort_controller/commands", "numbers", array, other)
    assert is_exact(evaluated(bag))


ZERO = np.zeros(3)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (lambda q, v, tau: {"effort": tau}, "effort"),
        (lambda q, v, tau: {"position": ZERO, "effort": tau}, "effort"),
        (lambda q, v, tau: {"position": q}, "position"),
        (lambda q, v, tau: {"velocity": v}, "velocity"),
        (lambda q, v, tau: {"position": q, "velocity": ZERO, "effort": ZERO}, "position"),
    ],
)
def test_joint_states_as_commands_are_known_by_the_field_that_they_fill(
    tmp_path: Path, evaluated: Any, fields: Any, kind: str
) -> None:
    def message(motion: Motion, i: int) -> bytes:
        return joint_state(0, JOINTS, **fields(*motion.state(i), motion.command(i)))

    found = evaluated(bag_with(tmp_path / "bag", "/joint_command", "states", message))
    if kind == "effort":
        assert found["recording"]["command_kind"] == "effort"
        assert is_exact(found)
    else:
        assert not_compared(found, "/joint_command", kind)


def test_joint_states_that_fill_several_fields_are_known_by_their_name_or_asked_about(
    tmp_path: Path, evaluated: Any, refused: Any
) -> None:
    def message(motion: Motion, i: int) -> bytes:
        return joint_state(0, JOINTS, *motion.state(i), motion.command(i))

    named = bag_with(tmp_path / "named", "/effort_command", "states", message)
    assert is_exact(evaluated(named))
    contract = bag_with(tmp_path / "contract", "/left/commands", "states", message)
    assert "--command-kind" in refused(contract)  # policy_node's are arrays
    bag = bag_with(tmp_path / "bag", "/joint_command", "states", message)
    assert "--command-kind" in refused(bag)
    assert is_exact(evaluated(bag, "--command-kind", "effort"))


TRAJECTORY = "/joint_trajectory_controller/joint_trajectory"


def test_trajectories_are_compared_where_their_points_carry_effort(
    tmp_path: Path, evaluated: Any
) -> None:
    def message(motion: Motion, i: int) -> bytes:
        point = {"positions": motion.state(i)[0], "effort": motion.command(i)}
        return trajectory(0, JOINTS, *[point] * (2 if i == 7 else 1))

    found = evaluated(bag_with(tmp_path / "bag", TRAJECTORY, "trajectory", message))
    assert found["recording"]["command_kind"] == "effort"
    assert is_exact(found, 299)
    dropped = found["recording"]["commands"]["dropped"]
    assert dropped == {"trajectory of several points": 1}


@pytest.mark.parametrize(
    ("field", "kind"), [("positions", "position"), ("velocities", "velocity")]
)
def test_trajectories_without_effort_are_not_compared(
    tmp_path: Path, evaluated: Any, field: str, kind: str
) -> None:
    def message(motion: Motion, i: int) -> bytes:
        return trajectory(0, JOINTS, *[{field: motion.command(i)}] * 3)

    found = evaluated(bag_with(tmp_path / "bag", TRAJECTORY, "trajectory", message))
    assert not_compared(found, TRAJECTORY, kind)


# ---- joints ------------------------------------------------------------------------------------


def with_a_gripper(motion: Motion, i: int) -> bytes:
    shoulder, elbow, wrist = motion.command(i)
    return numbers([wrist, 99.0, shoulder, elbow])


@pytest.mark.parametrize("other", ["_", "gripper"])
def test_values_that_are_not_the_policys_are_passed_over(
    tmp_path: Path, evaluated: Any, other: str
) -> None:
    bag = bag_with(tmp_path / "bag", COMMANDS, "numbers", with_a_gripper)
    found = evaluated(bag, "--command-joints", f"wrist,{other},shoulder,elbow")
    assert is_exact(found)
    assert any(f"the order wrist, {other}, shoulder, elbow" in each for each in found["warnings"])


def test_one_arm_of_two_is_taken_from_commands_for_both(tmp_path: Path, evaluated: Any) -> None:
    def message(motion: Motion, i: int) -> bytes:
        return numbers([*np.arange(3.0), *motion.command(i)])

    bag = bag_with(tmp_path / "bag", COMMANDS, "numbers", message)
    assert is_exact(evaluated(bag, "--command-joints", "_,_,_,shoulder,elbow,wrist"))


def test_commands_with_more_values_than_joints_are_refused_with_both(
    tmp_path: Path, refused: Any
) -> None:
    bag = bag_with(tmp_path / "bag", COMMANDS, "numbers", with_a_gripper)
    message = refused(bag)
    assert "/commands has commands of 4 values, not of 3 (shoulder, elbow, wrist)" in message
    assert "--command-joints" in message
    five = refused(bag, "--command-joints", "wrist,_,shoulder,elbow,_")
    assert "4 values, not of 5 (wrist, _, shoulder, elbow, _)" in five


@pytest.mark.parametrize("names", ["wrist,_,shoulder,_", "wrist,wrist,shoulder,elbow"])
def test_command_joints_hold_each_of_the_policys_joints_once(
    tmp_path: Path, refused: Any, names: str
) -> None:
    bag = bag_with(tmp_path / "bag", COMMANDS, "numbers", with_a_gripper)
    message = refused(bag, "--command-joints", names)
    assert "must name each of shoulder, elbow, wrist once" in message
    assert f"got {names.replace(',', ', ')}" in message


def test_a_single_command_of_another_length_is_counted(tmp_path: Path, evaluated: Any) -> None:
    def message(motion: Motion, i: int) -> bytes:
        return with_a_gripper(motion, i) if i == 9 else array(motion, i)

    found = evaluated(bag_with(tmp_path / "bag", COMMANDS, "numbers", message))
    assert is_exact(found, 299)
    assert found["recording"]["commands"]["dropped"] == {"4 values, not 3": 1}


MOTORS = ("gripper", "motor_3", "motor_1", "motor_2")
PAIRS = "shoulder=motor_1,elbow=motor_2,wrist=motor_3"


def by_motor(motion: Motion, i: int, kind: str = "states") -> bytes:
    shoulder, elbow, wrist = motion.command(i)
    effort = [0.0, wrist, shoulder, elbow]
    if kind == "states":
        return joint_state(0, MOTORS, effort=effort)
    return trajectory(0, MOTORS, {"effort": effort})


@pytest.mark.parametrize("kind", ["states", "trajectory"])
def test_commands_may_name_joints_otherwise_than_the_states(
    tmp_path: Path, evaluated: Any, refused: Any, kind: str
) -> None:
    bag = bag_with(
        tmp_path / "bag", "/joint_command", kind, lambda motion, i: by_motor(motion, i, kind)
    )
    found = evaluated(bag, "--command-joints", PAIRS)
    assert is_exact(found)
    assert found["recording"]["commands"]["joints"] == ["motor_1", "motor_2", "motor_3"]
    message = refused(bag)
    assert "/joint_command has no joint shoulder" in message
    assert "drives shoulder, elbow, wrist, the bag has gripper, motor_3" in message
    assert "--command-joints" in message


def test_commands_are_named_as_the_states_where_no_pair_says_otherwise(
    tmp_path: Path, evaluated: Any
) -> None:
    names = ("q0", "q1", "q2")
    motion = Motion(names=names)
    commands = [
        Entry(
            "/joint_command",
            "states",
            motion.time_ns(i) + motion.delay_ns,
            joint_state(0, ("motor", *names[1:]), effort=motion.command(i)),
        )
        for i in range(motion.count)
    ]
    bag = write_bag(tmp_path / "bag", [*motion.states(), *motion.goals(), *commands])
    mapping = "--joints", "shoulder=q0,elbow=q1,wrist=q2"
    assert is_exact(evaluated(bag, *mapping, "--command-joints", "shoulder=motor"))


def test_no_joint_is_read_twice(tmp_path: Path, refused: Any) -> None:
    bag = bag_with(tmp_path / "bag", "/joint_command", "states", by_motor)
    message = refused(bag, "--joints", "shoulder=elbow")
    assert "--joints must give" in message
    assert "shoulder and elbow are both elbow" in message


@pytest.mark.parametrize(
    ("topic", "kind", "message", "joints", "expected"),
    [
        (COMMANDS, "numbers", array, "shoulder=a", "must be the joints in the order of /commands"),
        ("/joint_command", "states", by_motor, "motor_1", "must be policy=command pairs"),
        ("/joint_command", "states", by_motor, f"{PAIRS},a=b", "must name the policy's joints"),
        ("/joint_command", "states", by_motor, f"{PAIRS},b", "must be policy=bag pairs"),
    ],
)
def test_command_joints_of_the_wrong_form_are_refused(
    tmp_path: Path,
    refused: Any,
    topic: str,
    kind: str,
    message: Any,
    joints: str,
    expected: str,
) -> None:
    bag = bag_with(tmp_path / "bag", topic, kind, message)
    assert f"--command-joints {expected}" in refused(bag, "--command-joints", joints)


# ---- stamps ------------------------------------------------------------------------------------


def stamped(stamp: Callable[[Motion, int], int]) -> Message:
    return lambda motion, i: joint_state(stamp(motion, i), JOINTS, effort=motion.command(i))


def test_commands_with_a_time_of_their_own_are_joined_by_receipt_with_a_warning(
    tmp_path: Path, evaluated: Any
) -> None:
    own = stamped(lambda motion, i: motion.time_ns(i) + motion.delay_ns - 7)
    found = evaluated(bag_with(tmp_path / "bag", "/joint_command", "states", own))
    assert is_exact(found)
    assert found["recording"]["command_join"] == "receipt"
    (warning,) = (each for each in found["warnings"] if "stamps are those of states" in each)
    assert warning.startswith("/joint_command: fewer than half")


def test_commands_that_mostly_carry_a_states_stamp_are_joined_by_it(
    tmp_path: Path, evaluated: Any
) -> None:
    # Three states late, so that by receipt they would belong to others.
    motion = Motion(delay_ns=35_000_000)
    some = stamped(lambda motion, i: motion.time_ns(i) + (i % 5 == 0))
    commands = [
        Entry("/joint_command", "states", motion.time_ns(i) + motion.delay_ns, some(motion, i))
        for i in range(motion.count)
    ]
    found = evaluated(write_bag(tmp_path / "bag", [*motion.states(), *motion.goals(), *commands]))
    assert is_exact(found, 240)
    assert found["recording"]["command_join"] == "stamp"
    assert found["recording"]["commands"]["dropped"] == {"answers no state in the bag": 60}
    assert not any("stamps are those of states" in each for each in found["warnings"])


def test_policy_nodes_own_torques_are_joined_by_stamp_however_many_states_are_lost(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion(rate_hz=300.0)
    torques = [
        Entry(
            "/policy_node/policy_torque",
            "states",
            motion.time_ns(i),
            joint_state(motion.time_ns(i), JOINTS, effort=motion.command(i)),
        )
        for i in range(motion.count)
    ]
    bag = write_bag(tmp_path / "bag", [*motion.states()[::3], *motion.goals(), *torques])
    found = evaluated(bag)
    assert is_exact(found, 100)
    assert found["recording"]["command_join"] == "stamp"
