# SPDX-License-Identifier: Apache-2.0
"""How long one inference takes, as the robot would make it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from sac_ros.policy.runtime import Policy

if TYPE_CHECKING:
    from sac_ros.bags.alignment import Aligned
    from sac_ros.bags.inference import Answers

_TIMED_CALLS = 500


@dataclass(frozen=True)
class LatencyFigures:
    """One inference at a time, as on the robot, on this machine; the only figures that vary."""

    calls: Annotated[int, "how many were timed."]
    first_s: Annotated[float, "the first call, apart from the others."]
    p50_s: Annotated[float, "of the others."]
    p95_s: Annotated[float, "of the others."]
    p99_s: Annotated[float, "of the others."]
    max_s: Annotated[float, "of the others."]
    period_share_p99: Annotated[float, "p99 over the control period."]


def measure_latency(policy: Policy, aligned: Aligned, answers: Answers) -> LatencyFigures:
    """Time single inferences on the recording's own states, as the robot would make them.

    The policy answers at least one of them.
    """
    rows = answers.rows[np.linspace(0, len(answers.rows) - 1, _TIMED_CALLS + 1).astype(np.intp)]
    previous = np.zeros(policy.spec.joints, dtype=np.float32)
    inverse = np.argsort(answers.order)
    inputs = [
        (
            aligned.position[row][inverse].astype(np.float32),
            aligned.velocity[row][inverse].astype(np.float32),
            answers.goal[row],
        )
        for row in rows
    ]
    seconds = []
    for position, velocity, goal in inputs:
        start = time.perf_counter()
        policy(position, velocity, goal, previous)
        seconds.append(time.perf_counter() - start)
    rest = np.array(seconds[1:])
    p50, p95, p99 = (float(value) for value in np.percentile(rest, (50, 95, 99)))
    return LatencyFigures(
        calls=len(seconds),
        first_s=seconds[0],
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        max_s=float(rest.max()),
        period_share_p99=p99 * answers.control_rate_hz,
    )
