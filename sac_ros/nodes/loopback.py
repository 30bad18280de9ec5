# SPDX-License-Identifier: Apache-2.0
"""ROS on this machine only, and robust against what killed processes leave behind."""

from __future__ import annotations

from collections.abc import MutableMapping

from rclpy.utilities import get_rmw_implementation_identifier

from sac_ros.utils.package_share import share_path

_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# Of Fast DDS 3, which warns of the other name, and of Fast DDS 2.
_PROFILES, _PROFILES_2 = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
_DISTROS_WITH_2 = ("humble", "iron", "jazzy")


def loopback_only(environment: MutableMapping[str, str]) -> None:
    """Sets what keeps ROS on this machine, before ROS is initialised from ``environment``.

    A discovery range other than LOCALHOST, or a profile of one's own, stands as it is. With Fast
    DDS the range is replaced by a profile that does the same with UDP alone: LOCALHOST brings its
    shared memory, whose ports all domains share. A killed process leaves them behind, and closing
    such a port can end a process with a segmentation fault
    (https://github.com/eProsima/Fast-DDS/issues/1144).
    """
    if environment.get(_RANGE) not in (None, "", "LOCALHOST"):
        return
    environment[_RANGE] = "LOCALHOST"
    fast_dds = "fastrtps" in get_rmw_implementation_identifier()
    if not fast_dds or environment.get(_PROFILES) or environment.get(_PROFILES_2):
        return
    environment[_RANGE] = "SYSTEM_DEFAULT"
    name = _PROFILES_2 if environment.get("ROS_DISTRO") in _DISTROS_WITH_2 else _PROFILES
    environment[name] = str(share_path("config", "loopback.xml"))
