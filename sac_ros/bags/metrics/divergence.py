# SPDX-License-Identifier: Apache-2.0
"""When a policy first goes another way than the recording for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.columns import blocks
from sac_ros.bags.metrics.errors import Rows
from sac_ros.bags.metrics.limits import runs

THRESHOLD_SHARE = 0.1
"""Of the torque limit, in any joint."""

SUSTAINED_S = 0.5
"""How long the error has to stay above the threshold."""


@dataclass(frozen=True)
class DivergenceFigures:
    """When the policy first goes another way than the recording for good."""

    threshold_share: Annotated[float, "error as a share of the torque limit, in any joint."]
    sustained_s: Annotated[float, "how long it has to stay above."]
    first_s: Annotated[float | None, "when that begins; None if it never does."]
    joint: Annotated[str | None, "which joint; None if none."]


def divergence_figures(
    policy: Rows,
    recorded: Rows,
    time_s: NDArray[np.float64],
    segment: NDArray[np.int32],
    limit: NDArray[np.float64],
    joints: Sequence[str],
) -> DivergenceFigures:
    """Find the first sustained error; arguments as in `sac_ros.bags.metrics.errors`."""
    above = np.zeros((len(joints), len(time_s)), dtype=bool)
    for part in blocks(len(time_s)):
        above[:, part] = (np.abs(policy(part) - recorded(part)) > THRESHOLD_SHARE * limit).T
    # A run ends at a gap: nobody knows what was in between.
    breaks = np.flatnonzero(np.diff(segment)) + 1
    first: tuple[float, int] | None = None
    for j in range(len(joints)):
        starts, ends = runs(above[j])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            inside = breaks[(breaks > start) & (breaks <= end)]
            edges = [start, *inside.tolist(), end + 1]
            for a, b in zip(edges, edges[1:], strict=False):
                lasts = time_s[b - 1] - time_s[a]
                if lasts >= SUSTAINED_S and (first is None or time_s[a] < first[0]):
                    first = (float(time_s[a]), j)
    return DivergenceFigures(
        threshold_share=THRESHOLD_SHARE,
        sustained_s=SUSTAINED_S,
        first_s=first[0] if first else None,
        joint=joints[first[1]] if first else None,
    )
