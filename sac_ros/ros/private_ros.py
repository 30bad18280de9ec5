# SPDX-License-Identifier: Apache-2.0
"""ROS for one run: a domain of its own, on this machine only."""

from __future__ import annotations

import random
import socket
from collections.abc import MutableMapping

from rclpy.utilities import get_rmw_implementation_identifier

from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

# DDS derives its ports from the domain; above 101 they meet Linux' ephemeral ports.
_DOMAINS = range(1, 102)
# ROS 2's own tests (domain_coordinator) reserve a domain by binding this port + domain.
_PORT_BASE = 22119


class PrivateDomain:
    """A reserved ROS domain ``id``; free again after `release`, or when the process ends."""

    def __init__(self) -> None:
        """Reserves a domain; raises a `ConfigurationError` where every one is taken."""
        for self.id in random.sample(_DOMAINS, len(_DOMAINS)):
            self._reservation = socket.socket()
            try:
                self._reservation.bind(("127.0.0.1", _PORT_BASE + self.id))
            except OSError:
                self._reservation.close()
            else:
                return
        raise ConfigurationError(
            f"every ROS domain from {_DOMAINS[0]} to {_DOMAINS[-1]} is reserved on this machine; "
            "set ROS_DOMAIN_ID"
        )

    def release(self) -> None:
        """Lets others have the domain."""
        self._reservation.close()


_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# Of Fast DDS 3, which warns of the other name, and of Fast DDS 2.
_PROFILES, _PROFILES_2 = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
_DISTROS_WITH_2 = ("humble", "iron", "jazzy")


def loopback_only(environment: MutableMapping[str, str]) -> None:
    """Sets what keeps ROS on this machine, before ROS is initialised from ``environment``.

    A discovery range other than LOCALHOST, or a profile of one's own, stands as it is. With Fast
    DDS a profile does the same with UDP alone. Its shared memory, whose ports all domains share
    and a killed process leaves behind, can end a process with a segmentation fault
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
