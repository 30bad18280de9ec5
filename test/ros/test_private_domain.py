# SPDX-License-Identifier: Apache-2.0
"""A private domain is held by one at a time."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from sac_ros.ros import private_ros
from sac_ros.ros.private_ros import PrivateDomain
from sac_ros.utils.errors import ConfigurationError


def test_two_never_share_a_domain() -> None:
    domains = [PrivateDomain() for _ in range(10)]
    assert len({domain.id for domain in domains}) == 10
    assert all(1 <= domain.id <= 101 for domain in domains)
    for domain in domains:
        domain.release()


def test_a_released_domain_is_free_and_a_full_machine_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = PrivateDomain()
    monkeypatch.setattr(private_ros, "_DOMAINS", range(only.id, only.id + 1))
    with pytest.raises(ConfigurationError, match="set ROS_DOMAIN_ID"):
        PrivateDomain()
    only.release()
    again = PrivateDomain()
    assert again.id == only.id
    again.release()
