# SPDX-License-Identifier: Apache-2.0
"""An arm is a URDF and a few lines of YAML, and what contradicts itself is refused by its name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_urdf import PLAIN, of_joint, spoilt

from sac_ros.robots.arm import FASTEST, Arm, arm_names, load_arm, resolve
from sac_ros.robots.defaults import above_table, inner_limits
from sac_ros.utils.errors import ConfigurationError

WriteArm = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> WriteArm:
    """Writes an arm's YAML with these keys beside `PLAIN`, or another text; returns its path."""

    def written(text: str = PLAIN, **keys: Any) -> str:
        (tmp_path / "plain.urdf").write_text(text)
        path = tmp_path / "odd.yaml"
        path.write_text(yaml.safe_dump({"urdf": "plain.urdf", **keys}))
        return str(path)

    return written


@pytest.fixture(scope="module")
def plain() -> Arm:
    return load_arm(PLAIN)


@pytest.fixture(scope="module", params=arm_names())
def shipped(request: pytest.FixtureRequest) -> Arm:
    return load_arm(request.param)


# ---- the arms of the package -------------------------------------------------------------------


def test_the_package_has_its_five_arms() -> None:
    assert arm_names() == ["gen3", "iiwa", "panda", "ur5e", "xarm7"]


def test_every_shipped_arm_has_one_entry_per_joint(shipped: Arm) -> None:
    n = shipped.joints
    assert n == len(shipped.joint_names) == (6 if shipped.name == "ur5e" else 7)
    assert shipped.position_limit.shape == (n, 2)
    for name in (
        "velocity_limit", "torque_limit", "damping", "friction", "armature", "action_scale",
        "home", "control_damping", "stop_damping", "brake_limit",
    ):  # fmt: skip
        values = getattr(shipped, name)
        assert values.shape == (n,), name
        assert np.all(np.isfinite(values)), name
    assert shipped.goal_low.shape == shipped.goal_high.shape == (3,)
    assert len(shipped.bodies.mass) == len(shipped.chain.axis) == n
    assert len(shipped.urdf_sha256) == 64


def test_no_shipped_arm_goes_beyond_its_urdf(shipped: Arm) -> None:
    described = [shipped.urdf.joints[joint] for joint in shipped.joint_names]
    assert np.all(shipped.torque_limit <= [joint.effort_limit for joint in described])
    assert np.all(shipped.velocity_limit <= [joint.velocity_limit for joint in described])
    assert np.all(shipped.action_scale <= shipped.torque_limit)
    assert np.all(shipped.brake_limit <= 0.5 * shipped.torque_limit)
    limit = np.array([joint.position_limit for joint in described])
    expected = np.where(np.isinf(limit), [-math.pi, math.pi], limit)
    np.testing.assert_array_equal(shipped.position_limit, expected)


def test_a_shipped_arm_starts_in_front_off_the_table_within_its_limits(shipped: Arm) -> None:
    low, high = inner_limits(shipped.position_limit)
    assert np.all((shipped.home >= low) & (shipped.home <= high))
    assert above_table(shipped.chain.frames_at(shipped.home))
    assert shipped.chain.forward(shipped.home)[0] > 0.3


def test_a_shipped_arm_says_where_every_value_is_from(shipped: Arm) -> None:
    for name in (
        "position_limit", "velocity_limit", "torque_limit", "damping", "friction", "armature",
        "action_scale", "home", "goal_low", "goal_high", "control_damping", "stop_damping",
        "brake_limit",
    ):  # fmt: skip
        assert shipped.origin[name], name
    assert shipped.origin["home"] == f"{shipped.name}.yaml"


@pytest.mark.parametrize("name", ["ur99", "", "../iiwa", "a\0b", "/tmp"])
def test_an_unknown_arm_is_refused_with_the_names_that_exist(name: str) -> None:
    sentence = (
        f"arm must be one of {', '.join(arm_names())}, or the path of a .yaml or .urdf; "
        f"got {name!r}"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(sentence)}$"):
        load_arm(name)


# ---- from a URDF alone -------------------------------------------------------------------------


def equal(one: Arm, other: Arm) -> None:
    assert one.joint_names == other.joint_names
    for name in ("position_limit", "torque_limit", "action_scale", "home", "goal_low"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.urdf_sha256 == other.urdf_sha256


def test_path_text_package_and_yaml_of_a_urdf_give_the_same_arm(
    tmp_path: Path, plain: Arm, write: WriteArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    equal(load_arm(write()), plain)
    path = tmp_path / "share" / "robots" / "urdf" / "plain.urdf"
    path.parent.mkdir(parents=True)
    path.write_text(PLAIN)
    equal(load_arm(str(path)), plain)
    equal(load_arm(f"file://{path}"), plain)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    equal(load_arm("package://robots/urdf/plain.urdf"), plain)
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    monkeypatch.setenv("ROS_PACKAGE_PATH", str(tmp_path / "share"))
    equal(load_arm("package://robots/urdf/plain.urdf"), plain)


def test_an_arm_is_called_as_its_robot_or_its_yaml(plain: Arm, write: WriteArm) -> None:
    assert plain.name == "plain"
    assert load_arm(write()).name == "odd"


def test_base_and_tip_can_be_chosen(plain: Arm, write: WriteArm) -> None:
    assert (plain.base_link, plain.tip_link) == ("base", "hand")
    path = write(home=[0.0, 0.0], goal_low=[0, -1, 0], goal_high=[1, 1, 1], tip_link="upper_arm")
    arm = load_arm(path, base_link="column", tip_link="forearm")
    assert arm.joint_names == ("shoulder", "elbow")
    assert (arm.base_link, arm.tip_link) == ("column", "forearm")
    with pytest.raises(ConfigurationError, match="home must be 2 finite numbers"):
        load_arm(write(home=[0.0] * 3), base_link="column")


def test_limits_and_friction_are_the_urdfs(plain: Arm) -> None:
    np.testing.assert_array_equal(plain.position_limit, [[-2.5, 2.5]] * 3)
    np.testing.assert_array_equal(plain.velocity_limit, [2.0] * 3)
    np.testing.assert_array_equal(plain.torque_limit, [60.0, 60.0, 30.0])
    np.testing.assert_array_equal(plain.damping, [0.4] * 3)
    np.testing.assert_array_equal(plain.friction, [0.1] * 3)
    np.testing.assert_array_equal(plain.armature, [0.0] * 3)
    assert plain.notes == ()


def test_scales_and_stop_are_computed_from_the_mass_matrix(plain: Arm) -> None:
    low, high = inner_limits(plain.position_limit)
    drawn = np.random.default_rng(5).uniform(low, high, (4000, 3))
    matrix = plain.bodies.mass_matrix(plain.chain, plain.chain.frames_at(drawn))
    inertia = np.diagonal(matrix, axis1=-2, axis2=-1)
    scale = (inertia.mean(axis=0) / 0.3 + plain.damping) * plain.velocity_limit + plain.friction
    np.testing.assert_allclose(
        plain.action_scale, np.minimum(scale, plain.torque_limit), rtol=0.05
    )
    np.testing.assert_allclose(plain.stop_damping, inertia.mean(axis=0) / 0.3, rtol=0.05)
    felt = 1.0 / np.diagonal(np.linalg.inv(matrix), axis1=-2, axis2=-1)
    bound = np.percentile(felt, 1.0, axis=0) / 0.04
    damping = np.minimum(inertia.mean(axis=0) / 0.6, bound)
    np.testing.assert_allclose(plain.control_damping, damping, rtol=0.05)
    brake = np.minimum(inertia.max(axis=0) * plain.velocity_limit / 0.1, 0.5 * plain.torque_limit)
    np.testing.assert_allclose(plain.brake_limit, brake, rtol=0.05)


def test_home_is_in_front_and_above_the_table_and_the_goal_box_about_there(plain: Arm) -> None:
    end_effector = plain.chain.forward(plain.home)
    assert end_effector[0] > 0.0
    assert above_table(plain.chain.frames_at(plain.home))
    assert np.all(plain.goal_low < plain.goal_high)
    drawn = np.random.default_rng(0).uniform(*plain.position_limit.T, (20000, 3))
    end_effectors = plain.chain.forward(drawn)
    inside = np.all(
        (end_effectors >= plain.goal_low) & (end_effectors <= plain.goal_high), axis=-1
    )
    assert inside.mean() > 0.01


def test_the_same_urdf_gives_the_same_arm_every_time(plain: Arm) -> None:
    equal(load_arm(PLAIN), plain)


def test_a_continuous_joint_is_used_within_half_a_turn_and_noted() -> None:
    arm = load_arm(spoilt(of_joint("waist", "revolute", "continuous")))
    np.testing.assert_allclose(arm.position_limit[0], [-math.pi, math.pi])
    assert "continuous joints are used within ±π rad: waist" in arm.notes


def test_a_velocity_limit_that_looks_like_a_placeholder_is_capped_and_noted(
    write: WriteArm,
) -> None:
    text = spoilt(of_joint("elbow", 'velocity="2"', 'velocity="10"'))
    arm = load_arm(text)
    np.testing.assert_allclose(arm.velocity_limit, [2.0, 2.0, FASTEST])
    assert [note for note in arm.notes if note.endswith("lifts it: elbow")]
    lifted = load_arm(write(text, velocity_limit=[2.0, 2.0, 10.0]))
    assert lifted.velocity_limit[2] == 10.0
    assert not lifted.notes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            spoilt(of_joint("elbow", 'effort="30"', "")),
            (
                "the joint 'elbow' must have an effort limit above 0 N·m,"
                " or a YAML must have torque_limit; got none"
            ),
        ),
        (
            spoilt(of_joint("elbow", 'effort="30"', 'effort="0"')),
            (
                "the joint 'elbow' must have an effort limit above 0 N·m,"
                " or a YAML must have torque_limit; got 0"
            ),
        ),
        (
            spoilt(of_joint("elbow", 'velocity="2"', "")),
            (
                "the joint 'elbow' must have a velocity limit above 0 rad/s,"
                " or a YAML must have velocity_limit; got none"
            ),
        ),
        (
            spoilt(of_joint("elbow", 'velocity="2"', 'velocity="0"')),
            (
                "the joint 'elbow' must have a velocity limit above 0 rad/s,"
                " or a YAML must have velocity_limit; got 0"
            ),
        ),
        (
            spoilt(
                of_joint("elbow", '<limit lower="-2.5" upper="2.5" effort="30" velocity="2"/>', "")
            ),
            (
                "the joint 'elbow' must have an effort limit above 0 N·m,"
                " or a YAML must have torque_limit; got none"
            ),
        ),
        (
            spoilt(of_joint("elbow", 'lower="-2.5" upper="2.5" ', "")),
            "the joint 'elbow' must have position limits lower < upper, in rad; got 0 and 0",
        ),
        (
            spoilt(of_joint("elbow", 'lower="-2.5"', 'lower="2.6"')),
            "the joint 'elbow' must have position limits lower < upper, in rad; got 2.6 and 2.5",
        ),
        (
            spoilt(of_joint("elbow", 'upper="2.5"', 'upper="1e9"')),
            "the joint 'elbow' must have position limits",
        ),
        (
            spoilt(of_joint("elbow", "0 1 0", "0 0 0")),
            "the axis of joint 'elbow' must be a unit vector; got (0.0, 0.0, 0.0)",
        ),
        (
            spoilt(of_joint("elbow", 'damping="0.4"', 'damping="-1"')),
            "robot_description: damping of elbow must be at least 0; got -1",
        ),
    ],
)
def test_a_joint_that_lacks_what_an_arm_needs_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_arm(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            spoilt(of_joint("elbow", 'type="revolute"', 'type="prismatic"')),
            "the joint 'elbow' slides, and sac_ros takes revolute joints only",
        ),
        (
            spoilt(of_joint("elbow", "<axis", "<mimic joint='waist'/><axis")),
            "the joint 'elbow' follows another (mimic) and cannot be one of the arm's",
        ),
    ],
)
def test_a_chain_with_a_joint_that_no_torque_can_drive_is_refused_by_name(
    text: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        load_arm(text, tip_link="hand")


def test_a_chain_in_which_nothing_moves_is_refused_with_its_ends() -> None:
    with pytest.raises(ConfigurationError, match="no joint between 'forearm' and 'hand' moves"):
        load_arm(PLAIN, base_link="forearm", tip_link="hand")


def test_an_arm_that_cannot_stand_before_its_base_needs_a_home() -> None:
    hanging = spoilt(('xyz="0 0 0.1"', 'xyz="0 0 -3"'))
    with pytest.raises(ConfigurationError, match="no home was found with the end effector in fr"):
        load_arm(hanging)


def test_an_arm_below_its_table_needs_a_goal_box(write: WriteArm) -> None:
    hanging = spoilt(('xyz="0 0 0.1"', 'xyz="0 0 -3"'))
    with pytest.raises(ConfigurationError, match=r"in only 0\.0% of the conf.*give `goal_low`"):
        load_arm(write(hanging, home=[0.0, 0.0, 0.0]))


# ---- what the YAML says ------------------------------------------------------------------------


def test_a_yaml_gives_what_the_urdf_lacks(write: WriteArm) -> None:
    text = spoilt(
        of_joint("elbow", '<limit lower="-2.5" upper="2.5" effort="30" velocity="2"/>', "")
    )
    given = {
        "torque_limit": [50.0, 50.0, 20.0],
        "velocity_limit": [1.0, 1.0, 1.5],
        "position_limit": [[-2.0, 2.0], [-2.0, 2.0], [-1.0, 2.0]],
        "damping": [0.1, 0.2, 0.3],
        "friction": [0.0, 0.5, 0.0],
        "armature": [0.1, 0.1, 0.05],
        "action_scale": [5.0, 6.0, 7.0],
        "home": [0.1, 0.2, 0.3],
        "goal_low": [0.1, -0.2, 0.2],
        "goal_high": [0.5, 0.2, 0.6],
    }
    arm = load_arm(write(text, **given))
    for name, values in given.items():
        np.testing.assert_array_equal(getattr(arm, name), values)
        assert arm.origin[name] == "odd.yaml"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"torque_limit": [1.0, 2.0]}, "torque_limit must be 3 finite numbers; got [1.0, 2.0]"),
        ({"home": ["left"] * 3}, "home must be 3 finite numbers; got ['left'"),
        ({"home": [[0.0] * 3]}, "home must be 3 finite numbers"),
        ({"home": {"waist": 0.0}}, "home must be 3 finite numbers"),
        ({"action_scale": 3.0}, "action_scale must be 3 finite numbers; got 3.0"),
        ({"velocity_limit": [float("nan")] * 3}, "velocity_limit must be 3 finite numbers"),
        ({"velocity_limit": [float("inf")] * 3}, "velocity_limit must be 3 finite numbers"),
        ({"position_limit": [1.0] * 3}, "position_limit must be 3 pairs [lower, upper]"),
        ({"position_limit": [[1.0, -1.0]] * 3}, "'waist' must have position limits lower < upper"),
        ({"goal_low": [0.1, 0.1, 0.1]}, "goal_low and goal_high belong together"),
        (
            {"goal_low": [0.0, 0.0], "goal_high": [1.0, 1.0, 1.0]},
            "goal_low must be 3 finite numbers; got [0.0, 0.0]",
        ),
        (
            {"goal_low": [9.0, -0.45, 0.15], "goal_high": [1.0, 1.0, 1.0]},
            "goal_low must be below goal_high in x, y and z; got [9.0, -0.45, 0.15] and [1.0",
        ),
        (
            {"torque_limit": [60.5, 60.0, 30.0]},
            "torque_limit of waist must be at most the URDF's effort, 60; got 60.5",
        ),
        ({"torque_limit": [0.0, 60.0, 30.0]}, "torque_limit of waist must be above 0; got 0"),
        (
            {"action_scale": [1.0, 1.0, 31.0]},
            "action_scale of elbow must be at most its torque_limit, 30; got 31",
        ),
        ({"action_scale": [1.0, -1.0, 1.0]}, "action_scale of shoulder must be above 0; got -1"),
        (
            {"control_damping": [1.0, -1.0, 1.0]},
            "control_damping of shoulder must be at least 0; got -1",
        ),
        ({"velocity_limit": [0.0, 1.0, 1.0]}, "velocity_limit of waist must be above 0; got 0"),
        ({"friction": [0.0, -1.0, 1.0]}, "friction of shoulder must be at least 0; got -1"),
        ({"armature": [0.0, -1.0, 1.0]}, "armature of shoulder must be at least 0; got -1"),
        ({"home": [3.0, 0.0, 0.0]}, "home of waist must lie in [-2.5, 2.5] rad; got 3"),
        ({"tip_link": "moon"}, "tip_link must be a link of"),
        ({"torque_limits": [1.0] * 3}, "the key 'torque_limits' is not known; an arm has urdf,"),
        ({"urdf": None}, "must have the key 'urdf', the name of a URDF"),
        ({"urdf": 3}, "must have the key 'urdf', the name of a URDF"),
        ({"urdf": "moon.urdf"}, "moon.urdf cannot be read: No such file"),
        ({"urdf": "package://moon/a.urdf"}, "the package 'moon' with a.urdf is in none of AMENT"),
    ],
)
def test_a_yaml_that_says_nonsense_is_refused_with_file_key_joint_and_value(
    write: WriteArm, keys: dict[str, Any], words: str
) -> None:
    path = write(**keys)
    with pytest.raises(ConfigurationError) as refused:
        load_arm(path)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    if "urdf" not in keys and not {"position_limit", "tip_link"} & keys.keys():
        assert path in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("home: [1, 2", "is not YAML"),
        ("urdf: " + "[" * 1000, "is not YAML"),
        ("just words", "must have the key 'urdf'"),
        ("", "must have the key 'urdf'"),
        ("? [a, b]\n: c\nurdf: plain.urdf", "(is not YAML|is not known)"),
        ("urdf: !!python/object/apply:os.system [true]", "is not YAML"),
        ("#" * (2**14 + 1), "must be at most 16384 bytes"),
    ],
)
def test_a_file_that_is_no_arm_is_refused_by_its_name(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as refused:
        load_arm(str(path))
    assert str(refused.value).startswith(f"arm {path}")
    assert "\n" not in str(refused.value)


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=60))
def test_no_bytes_in_a_yaml_are_answered_with_anything_but_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        load_arm(str(path))


def test_a_yaml_that_is_not_there_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"arm nope\.yaml cannot be read: No such file"):
        load_arm("nope.yaml")


# ---- files of packages -------------------------------------------------------------------------


def test_a_package_is_found_above_the_file_that_names_it(tmp_path: Path) -> None:
    mesh = tmp_path / "arm_description" / "meshes" / "link.stl"
    mesh.parent.mkdir(parents=True)
    mesh.touch()
    beside = tmp_path / "arm_description" / "urdf"
    beside.mkdir()
    assert resolve("package://arm_description/meshes/link.stl", beside) == mesh
    assert resolve("meshes/link.stl", mesh.parent.parent) == mesh
    assert resolve("file:///a/b.stl", beside) == Path("/a/b.stl")
    with pytest.raises(ConfigurationError, match=r"the package 'moon' with x\.stl .* nor above "):
        resolve("package://moon/x.stl", beside)


# ---- other people's ----------------------------------------------------------------------------


def test_pybullet_datas_panda_is_refused_with_a_link_of_it() -> None:
    data = pytest.importorskip("pybullet_data").getDataPath()
    path = f"{data}/franka_panda/panda.urdf"
    with pytest.raises(
        ConfigurationError, match=r"franka_panda/panda\.urdf: the link 'panda_link8' must have a"
    ):
        load_arm(path)


def test_pybullet_datas_xarm6_loads_with_notes_on_its_inertias() -> None:
    data = pytest.importorskip("pybullet_data").getDataPath()
    arm = load_arm(f"{data}/xarm/xarm6_robot.urdf")
    assert arm.joint_names == tuple(f"joint{i}" for i in range(1, 7))
    noted = "\n".join(arm.notes)
    assert "'link2' has an impossible inertia" in noted
    assert "'link3' has an impossible inertia" in noted
