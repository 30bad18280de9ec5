# SPDX-License-Identifier: Apache-2.0
"""A ROS domain of one's own, so that two runs on one machine never hear each other."""

from __future__ import annotations

import random
import socket

from sac_ros.utils.errors import ConfigurationError

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
