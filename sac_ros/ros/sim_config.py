# SPDX-License-Identifier: Apache-2.0
"""Parameters of `sim_node`."""

from __future__ import annotations

from dataclasses import dataclass

from sac_ros.sim.robot_driver_config import DriverConfig
from sac_ros.utils.settings import setting


@dataclass(frozen=True)
class SimNodeConfig(DriverConfig):
    """Parameters of `sim_node`; those of the simulated robot are among them."""

    publish_clock: bool = setting(
        False,
        "publish simulated time on /clock and stamp joint states with it; it never turns back",
    )
