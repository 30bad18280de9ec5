# SPDX-License-Identifier: Apache-2.0
"""What URDFs in the wild have, each a copy of a small arm's with something else in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sac_ros.robots.arm import Arm, load_arm
from sac_ros.utils.errors import ConfigurationError

LAB6 = Path(__file__).parents[1] / "support" / "lab6.urdf"


def with_more(elements: str) -> Arm:
    return load_arm(LAB6.read_text().replace("</robot>", f"{elements}</robot>"))


def finger(name: str, parent: str, kind: str = "revolute", inside: str = "") -> str:
    return (
        f'<link name="{name}"><inertial><mass value="0.05"/>'
        '<inertia ixx="1e-5" iyy="1e-5" izz="1e-5"/></inertial></link>'
        f'<joint name="{name}_joint" type="{kind}"><parent link="{parent}"/><child link="{name}"/>'
        f'<axis xyz="1 0 0"/><limit lower="0" upper="1" effort="1" velocity="1"/>{inside}</joint>'
    )


def test_the_fingers_of_a_hand_are_no_part_of_the_arm() -> None:
    hand = finger("thumb", "tool0") + finger("index", "tool0") + finger("index_tip", "index")
    arm = with_more(hand)
    assert (arm.tip_link, arm.joints) == ("tool0", 6)
    assert "thumb_joint, index_joint, index_tip_joint" in arm.notes[-1]


def test_a_joint_that_others_follow_is_a_grippers() -> None:
    follows = finger("right", "tool0", inside='<mimic joint="left_joint"/>')
    assert with_more(finger("left", "tool0") + follows).joints == 6


def test_a_second_arm_asks_for_the_tip() -> None:
    second = finger("a", "base") + finger("b", "a") + finger("c", "b")
    with pytest.raises(ConfigurationError, match="more than one arm: name one with tip_link"):
        with_more(second)


def test_a_slide_below_the_arm_asks_for_the_base() -> None:
    text = LAB6.read_text().replace('type="revolute"', 'type="prismatic"', 1)
    with pytest.raises(ConfigurationError, match="away from base_link 'base': name the links"):
        load_arm(text)


def test_words_of_xacro_in_a_comment_do_no_harm() -> None:
    assert with_more('<!-- <xacro:arm angle="${pi}"/> -->').joints == 6
    with pytest.raises(ConfigurationError, match="is a xacro file"):
        with_more('<link name="${prefix}tool"/>')


def test_a_yaml_gives_the_torque_limits_that_a_urdf_lacks(tmp_path: Path) -> None:
    urdf = tmp_path / "industrial.urdf"
    urdf.write_text(re.sub('effort="[^"]*"', 'effort="0"', LAB6.read_text()))
    with pytest.raises(
        ConfigurationError, match=r"'shoulder_pan' must have an effort limit.*YAML"
    ):
        load_arm(str(urdf))
    arm = tmp_path / "industrial.yaml"
    arm.write_text(f"urdf: {urdf}\ntorque_limit: [80, 80, 50, 15, 15, 8]\n")
    assert load_arm(str(arm)).torque_limit.tolist() == [80, 80, 50, 15, 15, 8]


def test_a_tool_with_a_mass_and_no_inertia_is_a_point_mass() -> None:
    arm = with_more(
        '<link name="cup"><inertial><mass value="0.2"/></inertial></link><joint name="grasp" '
        'type="fixed"><parent link="tool0"/><child link="cup"/></joint>'
    )
    assert arm.bodies.mass[-1] == pytest.approx(0.7)
    assert "'cup' has a mass but no inertia: taken as a point mass" in arm.notes[-1]


def test_a_wrist_whose_last_frames_are_close_has_a_home() -> None:
    text = LAB6.read_text().replace(
        'xyz="0 0 0.10"/>\n    <axis xyz="0 1', 'xyz="0 0 0"/>\n    <axis xyz="0 1'
    )
    assert (
        load_arm(text.replace('xyz="0 0 0.06"/>\n  </joint>', 'xyz="0 0 0"/>\n  </joint>')).joints
        == 6
    )


def test_more_joints_than_an_arm_has_are_refused() -> None:
    tail = "".join(finger(f"l{i}", "tool0" if i == 0 else f"l{i - 1}") for i in range(19))
    with pytest.raises(ConfigurationError, match=r"at most 24 joints; from 'base' to 'l18'.* 25"):
        with_more(tail)
