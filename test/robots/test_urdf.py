# SPDX-License-Identifier: Apache-2.0
"""A URDF is read as its format says, and what is none is one sentence that names the place."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_urdf import PLAIN, of_joint, of_link, spoilt

from sac_ros.robots.arm import load_arm
from sac_ros.robots.urdf import Urdf, UrdfJoint
from sac_ros.utils.errors import ConfigurationError

LINKS = "<link name='a'/><link name='b'/>"


def read(text: str) -> Urdf:
    return Urdf.from_text(f"<robot name='r'>{text}</robot>", "some.urdf")


def joint(text: str) -> UrdfJoint:
    """The joint of `text`, between the links a and b."""
    return read(LINKS + text).joints["j"]


# ---- what is read ------------------------------------------------------------------------------


def test_a_joint_is_read_with_its_frame_axis_limits_and_friction() -> None:
    found = joint(
        """<joint name="j" type="revolute">
             <parent link="a"/><child link="b"/>
             <origin xyz="1 2 3" rpy="0.1 0.2 0.3"/><axis xyz="0 0 1"/>
             <limit lower="-1.5" upper="2.5" effort="30" velocity="4"/>
             <dynamics damping="0.5" friction="0.2"/>
           </joint>"""
    )
    assert found == UrdfJoint(
        name="j",
        kind="revolute",
        parent="a",
        child="b",
        xyz=(1.0, 2.0, 3.0),
        rpy=(0.1, 0.2, 0.3),
        axis=(0.0, 0.0, 1.0),
        position_limit=(-1.5, 2.5),
        effort_limit=30.0,
        velocity_limit=4.0,
        damping=0.5,
        friction=0.2,
        mimic=False,
    )
    assert found.moving


def test_what_a_urdf_leaves_out_has_the_defaults_of_the_format() -> None:
    found = joint("<joint name='j' type='fixed'><parent link='a'/><child link='b'/></joint>")
    assert found.xyz == found.rpy == (0.0, 0.0, 0.0)
    assert found.axis == (1.0, 0.0, 0.0)
    assert found.damping == found.friction == 0.0
    assert not found.moving
    assert math.isnan(found.effort_limit)
    assert math.isnan(found.velocity_limit)


def test_a_continuous_joint_has_no_position_limit_whatever_its_limit_tag_says() -> None:
    found = joint(
        """<joint name="j" type="continuous"><parent link="a"/><child link="b"/>
             <limit lower="-1" upper="1" effort="5" velocity="2"/></joint>"""
    )
    assert found.position_limit == (-math.inf, math.inf)
    assert (found.effort_limit, found.velocity_limit) == (5.0, 2.0)


def test_a_link_is_read_with_mass_place_and_symmetric_inertia() -> None:
    found = read(
        "<link name='a'><inertial><origin xyz='1 2 3' rpy='0 0 1'/><mass value='4'/>"
        "<inertia ixx='1' ixy='0.1' ixz='0.2' iyy='1.1' iyz='0.3' izz='1.2'/></inertial></link>"
    ).links["a"]
    assert found is not None
    assert (found.mass, found.xyz, found.rpy) == (4.0, (1.0, 2.0, 3.0), (0.0, 0.0, 1.0))
    assert found.inertia.tolist() == [[1.0, 0.1, 0.2], [0.1, 1.1, 0.3], [0.2, 0.3, 1.2]]


def test_joints_come_in_the_order_of_the_file() -> None:
    arm = load_arm("iiwa")
    moving = [joint.name for joint in arm.urdf.joints.values() if joint.moving]
    assert tuple(moving) == arm.joint_names


def test_the_path_leads_from_one_link_to_the_other_through_fixed_joints() -> None:
    urdf = Urdf.from_text(PLAIN, "plain")
    names = [joint.name for joint in urdf.path("column", "hand")]
    assert names == ["shoulder", "elbow", "wrist"]
    assert urdf.path("column", "column") == []
    assert urdf.root_link == "base"


def test_a_file_knows_its_directory_and_a_text_has_none(tmp_path: Path) -> None:
    path = tmp_path / "plain.urdf"
    path.write_text(PLAIN)
    assert Urdf.from_file(path).directory == tmp_path.resolve()
    assert Urdf.from_text(PLAIN, "plain").directory is None


# ---- the end effector -----------------------------------------------------------------------


def more(*links: tuple[str, str]) -> str:
    """Links (name, carrier) behind fixed joints."""
    return "".join(
        f"<link name='{name}'/><joint name='to_{name}' type='fixed'>"
        f"<parent link='{carrier}'/><child link='{name}'/></joint>"
        for name, carrier in links
    )


def finger(name: str, mimic: bool = False) -> str:
    follows = "<mimic joint='to_left'/>" if mimic else ""
    kind = "revolute" if mimic else "prismatic"
    return (
        f"<link name='{name}'/><joint name='to_{name}' type='{kind}'><parent link='hand'/>"
        f"<child link='{name}'/><limit lower='0' upper='1' effort='1' velocity='1'/>{follows}"
        "</joint>"
    )


@pytest.mark.parametrize(
    ("extra", "end_effector"),
    [
        ("", "hand"),  # the only end
        (more(("gripper", "hand")), "gripper"),
        (finger("left") + finger("right", mimic=True), "hand"),  # a gripper's do not count
        (more(("camera", "hand"), ("screw", "hand")), "forearm"),  # neither end, nor the other
        (more(("camera", "hand"), ("tool0", "hand")), "tool0"),
        (more(("camera", "hand"), ("my_tcp", "hand"), ("end_effector", "my_tcp")), "my_tcp"),
        (more(("flange", "hand"), ("tcp", "flange"), ("camera", "hand")), "tcp"),
        (more(("left_tcp", "hand"), ("right_tcp", "hand"), ("flange", "hand")), "flange"),
        (more(("tool0", "base")), "hand"),  # not behind the last joint
    ],
)
def test_the_tip_is_a_tool_frame_by_its_name_else_the_only_end_else_what_turns_last(
    extra: str, end_effector: str
) -> None:
    assert Urdf.from_text(spoilt(extra=extra), "plain").only_end_effector("base") == end_effector


def second_arm() -> str:
    return (
        "<link name='left'/><joint name='left_waist' type='revolute'><parent link='base'/>"
        "<child link='left'/><limit lower='-1' upper='1' effort='1' velocity='1'/></joint>"
    )


def test_two_arms_are_refused_with_a_tip_of_each() -> None:
    urdf = Urdf.from_text(spoilt(extra=second_arm()), "twins.urdf")
    with pytest.raises(
        ConfigurationError,
        match=r"^twins.urdf has more than one arm: name one with tip_link, such as 'forearm' or "
        "'left'$",
    ):
        urdf.only_end_effector("base")
    assert urdf.only_end_effector("column") == "hand"


def test_a_base_that_no_revolute_joint_starts_at_is_refused_by_name() -> None:
    with pytest.raises(
        ConfigurationError, match="no revolute joints of plain lead away from base_link 'hand'"
    ):
        Urdf.from_text(PLAIN, "plain").only_end_effector("hand")


@pytest.mark.parametrize(
    ("base", "end_effector", "words"),
    [
        ("moon", "hand", r"base_link must be a link of plain \(base, column,.*; got 'moon'"),
        ("base", "moon", r"tip_link must be a link of plain \(base, column,.*; got 'moon'"),
        ("hand", "base", "no joints of plain lead from base_link 'hand' to tip_link 'base'"),
    ],
)
def test_a_path_that_is_none_is_refused_with_its_links(
    base: str, end_effector: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Urdf.from_text(PLAIN, "plain").path(base, end_effector)


# ---- what is refused ---------------------------------------------------------------------------

XACRO = "<robot xmlns:xacro='http://ros.org/wiki/xacro'><xacro:include/></robot>"
RING = (
    "<link name='one'/><link name='two'/>"
    "<joint name='f' type='fixed'><parent link='one'/><child link='two'/></joint>"
    "<joint name='g' type='fixed'><parent link='two'/><child link='one'/></joint>"
)
CLOSING = "<joint name='rod' type='fixed'><parent link='base'/><child link='hand'/></joint>"


def collision(new: str) -> str:
    """The forearm with another shape."""
    whole = '<origin xyz="0 0 0.15"/><geometry><box size="0.05 0.05 0.2"/></geometry>'
    return spoilt(of_link("forearm", whole, new))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not XML"),
        ("<robot", "is not XML"),
        ("\ud800", "is not XML"),
        ("<sdf/>", "must have a <robot>; got <sdf>"),
        ("<robot/>", "must have one link that no joint carries; got a ring of joints"),
        ("<!DOCTYPE x><robot/>", "must have no DOCTYPE and no entities"),
        ("<robot><!ENTITY x 'y'></robot>", "must have no DOCTYPE and no entities"),
        (
            XACRO,
            "is a xacro file: expand it first, with `xacro FILE",
        ),
        (spoilt(('mass value="3.0"', 'mass value="${m}"')), "is a xacro file"),
        (spoilt(of_joint("elbow", 'type="revolute"', 'type="ball"')), "the type of joint 'elbow'"),
        (
            spoilt(of_joint("elbow", '<child link="forearm"/>', "")),
            "joint 'elbow' has no <child>",
        ),
        (
            spoilt(of_joint("elbow", '<parent link="upper_arm"/>', "")),
            "joint 'elbow' has no <parent>",
        ),
        (
            spoilt(of_joint("elbow", 'child link="forearm"', 'child link="moon"')),
            "the child of joint 'elbow' must be a link of it; got 'moon'",
        ),
        (
            spoilt(of_joint("elbow", 'xyz="0 0 0.35"', 'xyz="0 0"')),
            "xyz of joint 'elbow' must be 3 finite numbers; got '0 0'",
        ),
        (
            spoilt(of_joint("elbow", 'effort="30"', 'effort="much"')),
            "effort of joint 'elbow' must be 1 finite number; got 'much'",
        ),
        (
            spoilt(('joint name="elbow"', 'joint name="waist"')),
            "every joint must have a name of its own; got 'waist' 2 times",
        ),
        (
            spoilt(('<link name="base"/>', "<link/>")),
            "every link must have a name of its own; got '' 1 times",
        ),
        (
            spoilt(extra="<link name='hand'/>"),
            "every link must have a name of its own; got 'hand'",
        ),
        (spoilt(extra=CLOSING), "the link 'hand' is carried by two joints, 'wrist' and 'rod': a"),
        (
            spoilt(extra="<link name='moon'/>"),
            "must have one link that no joint carries; got 'base', 'moon'",
        ),
        (spoilt(extra=RING), "the link 'one' carries itself: a closed chain is no arm"),
        (
            spoilt(extra="".join(f"<link name='l{i}'/>" for i in range(1000))),
            "must have at most 500 links and joints; got 1005 and 4",
        ),
        (
            collision("<geometry><box/></geometry>"),
            "size of a shape of link 'forearm' must be 3 finite numbers; got ''",
        ),
        (
            collision("<origin rpy='a b c'/><geometry><sphere radius='1'/></geometry>"),
            "rpy of a shape of link 'forearm' must be 3 finite numbers; got 'a b c'",
        ),
    ],
)
def test_what_is_no_urdf_of_a_tree_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        Urdf.from_text(text, "some.urdf")
    sentence = str(refused.value)
    assert sentence.startswith("URDF some.urdf")
    assert "\n" not in sentence
    assert len(sentence) < 300


def test_a_file_that_is_not_there_too_large_or_no_text_is_refused_by_its_name(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=r"nope\.urdf cannot be read: No such file"):
        Urdf.from_file(tmp_path / "nope.urdf")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        Urdf.from_file(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read: it is not text"):
        Urdf.from_file(Path("\0.urdf"))
    binary = tmp_path / "binary.urdf"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"binary\.urdf cannot be read: it is not text"):
        Urdf.from_file(binary)
    large = tmp_path / "large.urdf"
    with large.open("wb") as file:
        file.truncate(16 * 2**20 + 1)
    with pytest.raises(ConfigurationError, match=r"large\.urdf must be at most 16777216 bytes"):
        Urdf.from_file(large)


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=60) | st.text("<>/&;'\"= robtlinkj\0\ud800", max_size=60))
def test_no_text_is_answered_with_anything_but_a_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Urdf.from_text(text, "x")


@settings(deadline=None, max_examples=60)
@given(
    place=st.integers(0, len(PLAIN) - 1),
    length=st.integers(0, 40),
    put=st.text(" <>/='\"-.0123456789einfaxyz", max_size=6),
)
def test_a_urdf_with_a_piece_torn_out_is_an_arm_or_a_sentence(
    place: int, length: int, put: str
) -> None:
    with contextlib.suppress(ConfigurationError):
        load_arm(PLAIN[:place] + put + PLAIN[place + length :])
