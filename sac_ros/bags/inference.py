# SPDX-License-Identifier: Apache-2.0
"""A policy on recorded states: at its own rate and held in between, as the node runs it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.alignment import Aligned
from sac_ros.bags.columns import blocks
from sac_ros.bags.policy_runs import PolicyRuns
from sac_ros.policy.goals import check_goal
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.schedule import Decimator
from sac_ros.utils.errors import GoalError

_BLOCK = 4096


@dataclass
class Answers:
    """What one policy asks, for all m states and n joints in the order of the recording.

    Attributes:
        torque: [m, n] float32 N·m; NaN where it has no goal.
        gravity: [m, n] float32 N·m, the g(q) that the node adds; None where the robot does.
        goal: [m, k] float32 the goal that it follows; NaN without.
        rows: [d] the states for which it was run; others hold the torque before them.
        answered: [m] whether the policy has a torque.
        unknown: states without one because a run of the policy before them was not recorded.
        control_rate_hz: of those runs: that of training, or of the states where they are slower.
        refused_goals: why, to how many.
        runs: what it was given, and the policy's spec in the order of the recording.
    """

    torque: NDArray[np.float32]
    gravity: NDArray[np.float32] | None
    goal: NDArray[np.float32]
    rows: NDArray[np.intp]
    answered: NDArray[np.bool_]
    unknown: int
    control_rate_hz: float
    refused_goals: Counter[str]
    runs: PolicyRuns


def answer(policy: Policy, aligned: Aligned, fixed_goal: Any) -> Answers:
    """Run a policy, which drives the recording's joints in any order, over a recording.

    ``fixed_goal`` [k] stands for all states instead of the recorded ones; None for those.
    """
    spec, spool = policy.spec, aligned.spool
    goal_row, goals, refused = _goals(policy, aligned, fixed_goal)
    runs = PolicyRuns(policy, aligned, goals, goal_row)
    period = max(1.0 / spec.control_rate_hz, aligned.period_s)
    held, anew, orphans = _held(spec.control_rate_hz, aligned, goal_row >= 0)
    answered = held >= 0
    rows = np.unique(held[answered])
    run = np.searchsorted(rows, held[answered])
    asked, known = runs.torques(rows, np.isin(rows, anew), np.isin(rows, orphans))
    answered[answered] = known[run]
    run = run[known[run]]
    unknown = int((held >= 0).sum() - answered.sum())
    run_of = np.full(len(held), -1, dtype=np.int64)
    run_of[answered] = run
    torque = spool.empty(aligned.position.shape, np.float32)
    goal = spool.empty((len(goal_row), goals.shape[1]), np.float32)
    for part in blocks(len(torque)):
        torque[part] = np.nan
        torque[part][answered[part]] = asked[run_of[part][answered[part]]]
        goal[part] = np.nan
        known = goal_row[part] >= 0
        goal[part][known] = goals[goal_row[part][known]]
    gravity = None
    if spec.gravity_compensation == "policy":
        gravity = runs.gravity(np.where(answered, held, -1))
    return Answers(torque, gravity, goal, rows, answered, unknown, 1.0 / period, refused, runs)


def _goals(
    policy: Policy, aligned: Aligned, fixed_goal: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64], Counter[str]]:
    """Return the row of each state's goal, the goals, and why some were refused.

    As on the robot, the goal before a refused one stays.
    """
    m = len(aligned.time_s)
    if fixed_goal is not None:
        return np.zeros(m, np.int64), np.asarray(fixed_goal, dtype=float)[np.newaxis], Counter()
    refused: Counter[str] = Counter()
    stands = np.full(len(aligned.goals) + 1, -1, dtype=np.int64)  # the last entry: before any
    last = -1
    goals = aligned.goals[:, : len(policy.spec.goal.fields)].astype(np.float64)
    for row, frame in enumerate(aligned.goal_frames):
        try:
            goals[row] = check_goal(policy.spec.goal, frame, goals[row])
            last = row
        except GoalError as error:
            refused[str(error)] += 1
        stands[row] = last
    return stands[aligned.goal_row], goals, refused


def _held(
    rate_hz: float, aligned: Aligned, has_goal: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the runs of a policy: by the node's own log, or by its decimation where there is none.

    Returns:
        The state whose run stands for each state, −1: none, as from a run whose state the
        recorder missed; the states whose run begins without memory; those before whose run comes
        one that was not recorded.
    """
    view, period_s = aligned.view, aligned.period_s
    if view is None:
        asked = np.flatnonzero(has_goal)
        times: NDArray[np.floating] = aligned.time_s[asked]
        restart = np.zeros(len(asked), dtype=bool)
        holes = np.flatnonzero(np.diff(aligned.segment[asked]) != 0) + 1
        # After a shorter one the node goes on, since no watchdog stops it.
        restart[holes] = times[holes] - times[holes - 1] > SafetyConfig().watchdog_s
        restart[:1] = True
        run = _due(rate_hz, period_s, times, restart)
    else:
        asked, restart, run = view.asked_row, view.restart, view.run
        times = view.asked_ns * 1e-9
        intervals = np.diff(times[np.unique(run[run >= 0])])
        period = float(np.median(intervals)) if len(intervals) else 1.0 / rate_hz
        if abs(period - 1.0 / rate_hz) > period_s:  # another policy than the node's
            run = _due(rate_hz, period_s, times, restart)
    ran_on = asked[run]
    ran_on[run < 0] = -1
    place = np.flatnonzero(np.diff(run, prepend=-2))  # where the torque of a run acts first
    place = place[ran_on[place] >= 0]
    held = np.full(len(has_goal) + 1, -1, dtype=np.int64)  # the last: of what was not recorded
    held[asked] = ran_on
    held = held[:-1]
    held[~has_goal] = -1
    # The run before is not among those that recorded states hold: what it remembered is not known.
    lost = (place > 0) & ~np.isin(ran_on[place - 1], held[held >= 0]) & ~restart[place]
    return held, ran_on[place[restart[place]]], ran_on[place[lost]]


def _due(
    rate_hz: float, period_s: float, times: NDArray[np.floating], restart: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the newest of the states [k] that the node's decimation makes due, for each of them.

    It begins anew at each restart, of which the first state is one.
    """
    run, newest = np.empty(len(times), dtype=np.int64), -1
    decimator = Decimator(rate_hz)
    for part in blocks(len(times), _BLOCK):  # Python's numbers are large
        each = zip(times[part].tolist(), restart[part].tolist(), strict=True)
        for place, (time_s, anew) in enumerate(each, part.start):
            if anew:
                decimator.reset()
            if decimator.due(time_s, period_s):
                newest = place
            run[place] = newest
    return run
