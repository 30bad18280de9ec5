# SPDX-License-Identifier: Apache-2.0
"""When a policy first goes another way than the recording for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.metrics.limits import runs

_SHARE = 0.1  # of the torque limit, in any joint
_SUSTAINED_S = 0.5  # how long the error has to stay above it


@dataclass(frozen=True)
class DivergenceFigures:
    """When the policy first goes another way than the recording for good."""

    threshold_fraction: Annotated[float, "error as a share of the torque limit, in any joint."]
    sustained_s: Annotated[float, "how long it has to stay above."]
    first_s: Annotated[float | None, "when that begins; None if it never does."]
    joint: Annotated[str | None, "which joint; None if none."]


def divergence_figures(
    policy: NDArray[np.floating],
    recorded: NDArray[np.float64],
    time_s: NDArray[np.float64],
    segment: NDArray[np.int32],
    limit: NDArray[np.float64],
    joints: Sequence[str],
) -> DivergenceFigures:
    """Find the first sustained error of torques [c, n] N·m at the times ``time_s`` [c].

    No error is sustained across a gap, after which ``segment`` [c] counts up. ``limit`` is [n]
    N·m, ``joints`` are the names [n].
    """
    breaks = np.flatnonzero(np.diff(segment)) + 1
    first_s, joint = np.inf, None
    for j, name in enumerate(joints):
        above = np.abs(policy[:, j] - recorded[:, j]) > _SHARE * limit[j]
        starts, ends = runs(above, breaks)
        lasting = starts[time_s[ends] - time_s[starts] >= _SUSTAINED_S]
        if len(lasting) and time_s[lasting[0]] < first_s:
            first_s, joint = float(time_s[lasting[0]]), name
    return DivergenceFigures(_SHARE, _SUSTAINED_S, first_s if joint else None, joint)
