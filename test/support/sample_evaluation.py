# SPDX-License-Identifier: Apache-2.0
"""An evaluation with made-up figures."""

from __future__ import annotations

from typing import Any

from sac_ros.training.evaluation import Evaluation, Hold, Spread, Success


def sample_evaluation(**changes: Any) -> Evaluation:
    figures: dict[str, Any] = {
        "episodes": 5,
        "seed": 0,
        "success": (Success(0.05, 0.8), Success(0.03, 0.6), Success(0.02, 0.4)),
        "median_error_m": 0.01,
        "p95_error_m": 0.05,
        "time_to_goal_s": Spread(1.5, 3.0),
        "hold": Hold(15.0, 0.02, 0.01),
        "max_velocity_fraction": 0.9,
        "joint_stop_rate": 0.04,
        "rms_torque_step": 1.5,
        "work_j": 12.0,
        "mean_return": -7.0,
        "wall_seconds": 3.0,
        "rms_torque_step_fraction": 0.06,
        "torque_power_above_10hz": 0.03,
        "overspeed_fraction": 0.02,
    }
    return Evaluation(**{**figures, **changes})
