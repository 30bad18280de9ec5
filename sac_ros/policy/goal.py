# SPDX-License-Identifier: Apache-2.0
"""Which goals a policy takes: finite, in its own frame, inside the range it was trained on."""

from __future__ import annotations

import numpy as np

from sac_ros.policy.safety_config import Array
from sac_ros.policy.spec import GoalSpec
from sac_ros.utils.errors import GoalError, NonFiniteGoalError


def check_goal(spec: GoalSpec, frame: str, values: Array) -> Array:
    """Return the goal if the policy may follow it.

    Args:
        spec: what the policy was trained on.
        frame: the frame that ``values`` are given in.
        values: [k] in the order of ``spec.fields``.

    Raises:
        NonFiniteGoalError: a value is NaN or Inf.
        GoalError: another frame, or outside the trained range.
    """
    if not np.isfinite(values).all():
        raise NonFiniteGoalError(f"goal must be finite; got {values.tolist()}")
    if frame != spec.frame:
        raise GoalError(f"goal must be in frame {spec.frame!r}; got frame {frame!r}")
    for name, value, low, high in zip(spec.fields, values, spec.low, spec.high, strict=True):
        if not low <= value <= high:
            raise GoalError(
                f"goal {name} must be within {low:g} to {high:g} {spec.unit}, the range of the "
                f"policy's training; got {value:g}"
            )
    return values
