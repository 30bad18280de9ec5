# SPDX-License-Identifier: Apache-2.0
"""Tries an installed sac_ros that has the dependencies of the core alone; for check_wheel.sh."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

import sac_ros
from sac_ros.policy.runtime import Policy
from sac_ros.utils.package_share import share_path

ABSENT = ("torch", "onnx", "tensorboard", "pybullet", "mujoco", "gymnasium", "matplotlib", "ray")
"""No part of the core."""

NEEDS = {
    "check_arm": ("sim", "iiwa"),
    "convert_policy": ("train", "old.onnx", "new.onnx"),
    "evaluate_policy": ("sim", "policy.onnx"),
    "sweep": ("ray", "space.yaml"),
}
"""A command, the extra that it names where that is not installed, and arguments."""

PREFIX = Path(sys.prefix)
START_NS = 1_700_000_000_000_000_000
KINDS = {
    "/joint_states": "sensor_msgs/msg/JointState",
    "/goal_pose": "geometry_msgs/msg/PoseStamped",
    "/commands": "std_msgs/msg/Float64MultiArray",
}
TYPES = get_typestore(Stores.LATEST)


def command(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a console script of this environment."""
    return subprocess.run(
        [str(PREFIX / "bin" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120.0,
    )


def record(policy: Policy, bag: Path) -> None:
    """Writes a bag of an arm that stands still and gets the torques of `policy`."""
    spec, types = policy.spec, TYPES.types
    q = np.mean(spec.training_range.joint_position, axis=1)
    still, state, goal = np.zeros_like(q), np.zeros(policy.state_size), np.array(spec.goal.middle)

    def header(now: int, frame: str = "") -> Any:
        time = types["builtin_interfaces/msg/Time"](sec=now // 10**9, nanosec=now % 10**9)
        return types["std_msgs/msg/Header"](stamp=time, frame_id=frame)

    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            name: writer.add_connection(name, kind, typestore=TYPES)
            for name, kind in KINDS.items()
        }

        def write(topic: str, now: int, *fields: Any) -> None:
            data = TYPES.serialize_cdr(types[KINDS[topic]](*fields), KINDS[topic])
            writer.write(topics[topic], now, data)

        pose = types["geometry_msgs/msg/Pose"](
            types["geometry_msgs/msg/Point"](*goal),
            types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
        )
        write("/goal_pose", START_NS - 10**6, header(START_NS, spec.goal.frame), pose)
        layout = types["std_msgs/msg/MultiArrayLayout"]([], 0)
        period = round(1e9 / spec.control_rate_hz)
        for now in range(START_NS, START_NS + 3 * 10**9, period):
            answer = policy.answer(q, still, goal, None, state)
            state = answer.next_state if policy.state_size else state
            torque = answer.torque.astype(float)
            assert np.isfinite(torque).all(), torque
            write("/joint_states", now, header(now), list(spec.joint_names), q, still, torque)
            write("/commands", now + 10**6, layout, torque)


def main() -> None:
    """Raises where something does not hold."""
    found = [name for name in ABSENT if find_spec(name)]
    assert not found, f"the core must not bring {', '.join(found)}"
    for path in (Path(sac_ros.__file__), share_path("package.xml")):
        assert PREFIX in path.parents, f"{path} is not in {PREFIX}"

    model = share_path("models", "iiwa_reach.onnx")
    record(Policy.load(model), Path("bag"))
    done = command("evaluate_bag", "bag", "--model", model, "--output", "out", "--json")
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout), done.stdout
    assert Path("out/report.html").is_file(), "evaluate_bag wrote no report"

    for name, (extra, *arguments) in NEEDS.items():
        done = command(name, *arguments)
        words = done.stderr
        assert done.returncode == 2, f"{name} ended with {done.returncode}: {words}"
        assert words.count("\n") == 1, words
        assert f'"sac_ros[{extra}]"' in words, words

    done = command(
        "policy_node", "--ros-args", "-p", "autostart:=true", "-p", "model_path:=/no.onnx"
    )
    expected = "/no.onnx" if find_spec("rclpy") else '"sac_ros[ros]"'
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


if __name__ == "__main__":
    main()
