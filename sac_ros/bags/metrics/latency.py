# SPDX-License-Identifier: Apache-2.0
"""How long one inference takes, as the robot would make it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.runtime import Policy


@dataclass(frozen=True)
class LatencyFigures:
    """One inference at a time, as on the robot, on this machine; the only figures that vary."""

    calls: Annotated[int, "how many were timed."]
    first_s: Annotated[float, "the first call, apart from the others."]
    p50_s: Annotated[float, "of the others."]
    p95_s: Annotated[float, "of the others."]
    p99_s: Annotated[float, "of the others."]
    max_s: Annotated[float, "of the others."]
    period_fraction_p99: Annotated[float, "p99 over the control period."]


def measure_latency(
    policy: Policy, inputs: Sequence[NDArray[np.float32]], control_rate_hz: float
) -> LatencyFigures:
    """Time single inferences as the robot would make them, at least two.

    ``inputs`` are position, velocity [c, n] and goal [c, k] of each call.
    """
    state = np.zeros(policy.state_size, dtype=np.float32)
    seconds = []
    for position, velocity, goal in zip(*inputs, strict=True):
        start = time.perf_counter()
        policy(position, velocity, goal, state=state)
        seconds.append(time.perf_counter() - start)
    rest = np.array(seconds[1:])
    p50, p95, p99 = (float(value) for value in np.percentile(rest, (50, 95, 99)))
    most = float(rest.max())
    return LatencyFigures(len(seconds), seconds[0], p50, p95, p99, most, p99 * control_rate_hz)
