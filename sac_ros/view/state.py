# SPDX-License-Identifier: Apache-2.0
"""What the page shows at one moment, as plain numbers and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.spec import PolicySpec

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EventLine:
    """One line of the events list.

    Attributes:
        time: s of policy_node's clock.
        text: one sentence.
        severe: whether it is a fault or a refusal.
    """

    time: float
    text: str
    severe: bool = False


@dataclass
class Progress:
    """How a training is doing.

    Attributes:
        values: the entries of train_node's diagnostics.
        curves: [p, 4] environment steps, success within 5 cm, within 2 cm, and median error in m.
    """

    values: Mapping[str, str]
    curves: Array = field(default_factory=lambda: np.zeros((0, 4)))


@dataclass
class ViewState:
    """Everything that the page shows; None and empty is what nobody publishes.

    Attributes:
        position: [n] rad.
        torque: [n] N·m that the robot gets.
        torque_limit: [n] N·m that the safety filter applies now.
        state_age_s: since the last joint state.
        spec: of the policy that runs.
        goal: [k] the last of `goal_pose`, in the arm's base frame.
        goal_note: why there is no goal to show, or why one was refused.
        goal_age_s: since the goal was given.
        reached_after_s: from then until the arm was within the policy's tolerance.
        distance: m, of the end effector to the goal.
        mode: tracking, damping or stopped.
        limited: the joints that a guard acted on in the last command.
        summary: what the nodes report of themselves, by node.
        events: the newest last.
        progress: of a training.
    """

    position: Array | None = None
    torque: Array | None = None
    torque_limit: Array | None = None
    state_age_s: float = math.inf
    spec: PolicySpec | None = None
    goal: Array | None = None
    goal_note: str = ""
    goal_age_s: float = math.inf
    reached_after_s: float | None = None
    distance: float = math.nan
    mode: str = ""
    limited: frozenset[int] = frozenset()
    summary: dict[str, str] = field(default_factory=dict)
    events: list[EventLine] = field(default_factory=list)
    progress: Progress | None = None
