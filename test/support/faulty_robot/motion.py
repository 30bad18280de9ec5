# SPDX-License-Identifier: Apache-2.0
"""How a robot moves that has no physics: what matters is that it moves, and within its limits."""

from __future__ import annotations

import time

import numpy as np

from sac_ros.policy.spec import PolicySpec

_SWING = 0.035  # rad; faster, an arm would not be activated


class Motion:
    """Joints that swing slowly about the middle of where the policy was trained."""

    def __init__(self, spec: PolicySpec) -> None:
        self._middle = np.mean(spec.training_range.joint_position, axis=1)
        self._rate = 2.0 * np.pi * np.linspace(0.1, 0.3, spec.joints)  # rad/s

    def __call__(self) -> tuple[list[float], list[float]]:
        """Position and velocity of every joint now, rad and rad/s."""
        phase = self._rate * time.monotonic()
        position = self._middle + _SWING * np.sin(phase)
        return position.tolist(), (_SWING * self._rate * np.cos(phase)).tolist()
