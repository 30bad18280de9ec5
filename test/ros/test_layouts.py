# SPDX-License-Identifier: Apache-2.0
"""The layouts for Foxglove and PlotJuggler name what the nodes publish for the default arm."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sac_ros.robots.arm import load_arm
from sac_ros.ros.bag_writer import RECORDED
from sac_ros.utils.package_share import share_path

ARM = load_arm("iiwa")
# By their names outside of a namespace, with the class of their messages.
TOPICS = {f"/{each.name.removeprefix('/')}": each.message for each in RECORDED}
FOXGLOVE = json.loads(share_path("config", "layouts", "foxglove.json").read_text())
PLOTJUGGLER = ElementTree.parse(share_path("config", "layouts", "plotjuggler.xml")).getroot()


def leaves(layout: Any) -> Iterator[str]:
    if isinstance(layout, str):
        yield layout
    else:
        yield from leaves(layout["first"])
        yield from leaves(layout["second"])


def assert_field(kind: Any, fields: list[str]) -> None:
    """A message of a kind has a field of a field of a field."""
    message = kind()
    for field in fields:
        assert field in message.get_fields_and_field_types(), f"{kind.__name__} has no {field}"
        message = getattr(message, field)


def topic_of(path: str) -> str:
    (found,) = [each for each in TOPICS if re.match(rf"{each}([./]|$)", path)]
    return found


def test_every_panel_of_foxglove_is_in_the_layout() -> None:
    assert sorted(leaves(FOXGLOVE["layout"])) == sorted(FOXGLOVE["configById"])


def test_every_path_of_foxglove_is_a_field_of_a_topic() -> None:
    panels = FOXGLOVE["configById"]
    paths = [path["value"] for panel in panels.values() for path in panel.get("paths", ())]
    paths += [panel["topicPath"] for panel in panels.values() if "topicPath" in panel]
    for path in paths:
        if not path.startswith("/"):
            assert abs(float(path)) in ARM.torque_limit, "the line of a limit"
            continue
        topic = topic_of(path)
        fields, _, index = path.removeprefix(topic + ".").partition("[")
        assert_field(TOPICS[topic], fields.split("."))
        assert not index or int(index.removesuffix("]")) < ARM.joints
    named = [panel["topicToRender"] for panel in panels.values() if "topicToRender" in panel]
    named += [*panels["3D!arm"]["topics"], panels["3D!arm"]["layers"]["arm"]["topic"]]
    assert set(named) <= set(TOPICS)
    assert panels["3D!arm"]["followTf"] == ARM.base_link


def test_every_curve_of_plotjuggler_is_a_field_of_a_topic() -> None:
    curves = [curve.get("name", "") for curve in PLOTJUGGLER.iter("curve")]
    assert len(curves) > 4 * ARM.joints
    for curve in curves:
        topic = topic_of(curve)
        first, *fields = curve.removeprefix(topic + "/").split("/")
        if first in ARM.joint_names:  # PlotJuggler takes a JointState apart by joint
            assert_field(TOPICS[topic], fields)
        else:
            assert_field(TOPICS[topic], [first, *fields])


def test_the_axes_of_the_torques_are_the_limits_of_the_arm() -> None:
    tab = next(iter(PLOTJUGGLER.iter("Tab")))
    for plot in tab.iter("plot"):
        limit = plot.find("limitY")
        assert limit is not None
        for curve in plot.iter("curve"):
            joint = ARM.joint_names.index(curve.get("name", "").split("/")[-2])
            assert float(limit.get("max", "0")) == ARM.torque_limit[joint]
