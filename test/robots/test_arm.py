# SPDX-License-Identifier: Apache-2.0
"""An arm is what its YAML and its URDF say, and a YAML that says nonsense is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sac_ros.robots.arm import ArmModel, _arm_from, arm_names, load_arm
from sac_ros.robots.urdf import read_joints
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

SOURCE = Path("config/arms/odd.yaml")


@pytest.fixture
def keys() -> dict[str, Any]:
    """The iiwa's YAML, to be spoilt."""
    return yaml.safe_load(share_path("config", "arms", "iiwa.yaml").read_text(encoding="utf-8"))


def arm_from(keys: dict[str, Any]) -> ArmModel:
    return _arm_from("odd", keys, SOURCE)


@pytest.mark.parametrize("name", arm_names())
def test_every_shipped_arm_loads_with_one_entry_per_joint(name: str) -> None:
    arm = load_arm(name)
    n = arm.joints
    assert n == len(arm.joint_names) > 0
    assert arm.position_limit.shape == (n, 2)
    for vector in (arm.velocity_limit, arm.torque_limit, arm.action_scale, arm.home):
        assert vector.shape == (n,)
    assert arm.goal_low.shape == arm.goal_high.shape == (3,)
    assert arm.urdf.is_file()


@pytest.mark.parametrize("name", arm_names())
def test_no_shipped_arm_goes_beyond_its_urdf(name: str) -> None:
    arm = load_arm(name)
    described = [read_joints(arm.urdf)[joint] for joint in arm.joint_names]
    assert np.all(arm.torque_limit <= [joint.effort_limit for joint in described])
    assert np.all(arm.action_scale <= arm.torque_limit)
    np.testing.assert_array_equal(arm.position_limit, [j.position_limit for j in described])


@pytest.mark.parametrize("name", ["ur99", "", "../iiwa", "iiwa.yaml"])
def test_an_unknown_arm_is_refused_with_the_names_that_exist(name: str) -> None:
    sentence = f"arm must be one of {', '.join(arm_names())}; got {name!r}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(sentence)}$"):
        load_arm(name)


def test_a_missing_key_is_named_with_its_file(keys: dict[str, Any]) -> None:
    del keys["torque_limit"]
    with pytest.raises(ConfigurationError, match=r"odd\.yaml: the key 'torque_limit' is missing"):
        arm_from(keys)


def test_an_unknown_key_is_named_with_the_keys_that_exist(keys: dict[str, Any]) -> None:
    keys["torque_limits"] = keys["torque_limit"]
    with pytest.raises(
        ConfigurationError, match=r"odd\.yaml: the key 'torque_limits' is not known.*torque_limit,"
    ):
        arm_from(keys)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("torque_limit", [1.0, 2.0], "torque_limit must be 7 finite numbers; got [1.0, 2.0]"),
        ("home", ["left"] * 7, "home must be 7 finite numbers"),
        ("home", [[0.0] * 7], "home must be 7 finite numbers"),
        ("action_scale", 3.0, "action_scale must be 7 finite numbers; got 3.0"),
        ("velocity_limit", [float("nan")] * 7, "velocity_limit must be 7 finite numbers"),
        ("velocity_limit", [float("inf")] * 7, "velocity_limit must be 7 finite numbers"),
        ("goal_low", [0.0, 0.0], "goal_low must be 3 finite numbers"),
        ("goal_low", [9.0, -0.45, 0.15], "goal_low must be below goal_high in x, y and z"),
        ("joint_names", ["elbow"], "joint_names has 'elbow', which"),
    ],
)
def test_a_value_of_the_wrong_kind_or_length_is_refused(
    keys: dict[str, Any], key: str, value: Any, words: str
) -> None:
    keys[key] = value
    with pytest.raises(ConfigurationError) as refused:
        arm_from(keys)
    assert str(refused.value).startswith(f"{SOURCE}: ")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("torque_limit", 300.5, "must be above 0 and at most the URDF's 300.0 N·m; got 300.5"),
        ("torque_limit", 0.0, "must be above 0 and at most the URDF's"),
        ("action_scale", 301.0, "must be above 0 and at most its torque_limit 300.0 N·m"),
        ("action_scale", -1.0, "must be above 0 and at most its torque_limit"),
        ("velocity_limit", 0.0, "must be above 0 rad/s; got 0.0"),
        ("home", 3.0, "must lie in the URDF's [-2.96705972839, 2.96705972839] rad; got 3.0"),
    ],
)
def test_a_limit_that_the_urdf_does_not_bear_names_joint_and_value(
    keys: dict[str, Any], key: str, value: float, words: str
) -> None:
    keys[key][0] = value
    with pytest.raises(ConfigurationError) as refused:
        arm_from(keys)
    assert f"{key} of lbr_iiwa_joint_1 " in str(refused.value)
    assert words in str(refused.value)
