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
    """A reserved ROS domain id; free again after `release`, or when the process ends.

    The id goes into `ROS_DOMAIN_ID` before ROS is initialised.
    """

    def __init__(self) -> None:
        """Reserves a domain.

        Raises:
            ConfigurationError: every domain is taken.
        """
        candidates = random.sample(_DOMAINS, len(_DOMAINS))
        for domain in candidates:
            reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                reservation.bind(("127.0.0.1", _PORT_BASE + domain))
            except OSError:
                reservation.close()
                continue
            self.id = domain
            self._reservation = reservation
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
