# SPDX-License-Identifier: Apache-2.0
"""loopback_only: nodes hear each other, nobody else hears them, and no memory is shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from rclpy.utilities import get_rmw_implementation_identifier

from sac_ros.ros.private_ros import loopback_only

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"

PROGRAM = """
import json, os, rclpy

rclpy.init()
node = rclpy.create_node("one")
sockets = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
           if os.path.exists(f"/proc/self/fd/{fd}")}
inodes = {s[8:-1] for s in sockets if s.startswith("socket:[")}
udp = [line.split() for line in open("/proc/net/udp").readlines()[1:]]
print(json.dumps({
    "addresses": sorted({row[1].split(":")[0] for row in udp if row[9] in inodes}),
    "shared": [line for line in open("/proc/self/maps") if "fastdds" in line and "/shm/" in line],
}))
node.destroy_node()
rclpy.shutdown()
"""


@pytest.mark.skipif(
    sys.platform != "linux" or "fastrtps" not in get_rmw_implementation_identifier(),
    reason="reads Linux' /proc, and configures Fast DDS",
)
def test_a_node_listens_on_the_loopback_alone_and_shares_no_memory() -> None:
    environment = {**os.environ, RANGE: "LOCALHOST", PROFILES: ""}
    environment.pop("FASTRTPS_DEFAULT_PROFILES_FILE", None)
    loopback_only(environment)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(result.stdout)
    assert result.stderr == ""
    assert seen["addresses"] == ["0100007F"]  # 127.0.0.1, as /proc writes it
    assert seen["shared"] == []


def use_middleware(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sac_ros.ros.private_ros.get_rmw_implementation_identifier", lambda: name)


def test_without_a_range_or_with_localhost_the_profile_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_middleware(monkeypatch, "rmw_fastrtps_cpp")
    for environment in ({}, {RANGE: ""}, {RANGE: "LOCALHOST"}):
        loopback_only(environment)
        assert environment[RANGE] == "SYSTEM_DEFAULT"
        assert environment[PROFILES].endswith("loopback.xml")
        assert os.path.isfile(environment[PROFILES])


def test_the_profile_goes_by_the_name_that_the_distros_fast_dds_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_middleware(monkeypatch, "rmw_fastrtps_cpp")
    for distro, name in (("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"), ("kilted", PROFILES)):
        environment = {"ROS_DISTRO": distro}
        loopback_only(environment)
        assert set(environment) == {"ROS_DISTRO", RANGE, name}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({RANGE: "SUBNET"}, {RANGE: "SUBNET"}),
        ({RANGE: "OFF"}, {RANGE: "OFF"}),
        ({PROFILES: "/mine.xml"}, {PROFILES: "/mine.xml", RANGE: "LOCALHOST"}),
    ],
)
def test_what_the_user_has_set_stands(before: dict[str, str], after: dict[str, str]) -> None:
    environment = dict(before)
    loopback_only(environment)
    assert environment == after


def test_another_middleware_keeps_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    use_middleware(monkeypatch, "rmw_cyclonedds_cpp")
    environment: dict[str, str] = {}
    loopback_only(environment)
    assert environment == {RANGE: "LOCALHOST"}
