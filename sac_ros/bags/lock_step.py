# SPDX-License-Identifier: Apache-2.0
"""A recording through the control loop of policy_node: the one that the robot has, state by state.

`evaluate_bag` and `replay_node` both run this. Time is that of the events, so two runs are equal
to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.bags.events import RecordedGoal, ReplayEvent
from sac_ros.policy.control_loop import LIVE_PARAMETERS, ControlLoop, Publish
from sac_ros.policy.event_log import EventLog
from sac_ros.policy.joint_state_reader import JointStateReader
from sac_ros.policy.runtime import Answer, Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Command
from sac_ros.policy.worker import Inline
from sac_ros.utils.errors import BagError, GoalError, JointStateError

_SAME = 1e-6  # of the torque limit, a tenth of what is asked of a replay


class _RecordedWorker(Inline):
    """Is late where the recorded one was; its time is not that of this machine."""

    def result(self, within_s: float) -> Any | None:
        return None if self.busy else super().result(within_s)


class _Doubting:
    """A policy whose memory may be unknown: it remembers the least and the most that it may.

    What a policy did before a state that was not recorded is not known, nor what it remembers of
    it. Its ``state`` here is that of two policies, one that remembers −1 throughout and one +1;
    where both ask for the same torque, the difference does not matter any more.

    Attributes:
        state_size: twice that of the policy.
        apart: how far the two torques of the last answer differ, as a share of the torque limit.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy, self._limit = policy, np.array(policy.spec.torque_limit)
        self.state_size = 2 * policy.state_size
        self.apart = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    @property
    def doubt(self) -> NDArray[np.float32]:
        """What is remembered where anything may be."""
        return np.repeat(np.array([-1.0, 1.0], np.float32), self._policy.state_size)

    def answer(
        self, position: Any, velocity: Any, goal: Any, goal_velocity: Any = None, state: Any = None
    ) -> Answer:
        """See `Policy.answer`."""
        given = position, velocity, goal, goal_velocity
        least, most = np.split(state, 2)
        found = self._policy.answer(*given, least)
        self.apart = 0.0
        after = other = found.next_state
        if after is None or other is None:
            return found
        if not np.array_equal(least, most):
            also = self._policy.answer(*given, most)
            self.apart = float((np.abs(also.torque - found.torque) / self._limit).max())
            other = also.next_state
        return found._replace(next_state=np.concatenate([after, other]))

    def corrected(self, state: Any, beside: Any) -> Any:
        """See `Policy.corrected`."""
        return np.concatenate([self._policy.corrected(one, beside) for one in np.split(state, 2)])


class LockStep:
    """Hands a control loop what happened to a recorded one, when that one saw it.

    Attributes:
        loop: the control loop.
        refused_goals: why, to how many; last_refused_goal: the newest reason.
        waits_for: why no state has come yet with which to begin; empty where one has.
        faults: the faults that latched with the last event, and their sentences.
    """

    def __init__(
        self,
        policy: Policy,
        config: SafetyConfig,
        *,
        joints: tuple[str, ...] = (),
        publish: Publish = lambda *_: None,
        log: EventLog | None = None,
        answering: Callable[[Policy], Policy] = lambda policy: policy,
        follow: bool = False,
        clear: bool = False,
    ) -> None:
        """Begins inactive.

        Args:
            policy: answers the states.
            config: of the safety filter.
            joints: the recording's names of the policy's joints [n]; empty: the same.
            publish: takes every command; see `ControlLoop`.
            log: takes what the loop reports.
            answering: what answers in the place of a policy that is swapped in.
            follow: whether the policy is the recorded one, and runs on the states on which that
                ran, by the node's own count.
            clear: whether each fault is cleared as soon as its cause is gone, as somebody who
                attends to the robot does: latched, the first would hide all that follows.

        Raises:
            ConfigurationError: policy and configuration do not fit.
        """
        self._answering, self._follow, self._clear = answering, follow, clear
        self._reader = JointStateReader(joints or policy.spec.joint_names)
        self._worker = _RecordedWorker()
        self._policy = self._doubting(answering(policy))
        self.loop = ControlLoop(
            self._policy, config, publish=publish, log=log, worker=self._worker
        )
        self.refused_goals: Counter[str] = Counter()
        self.last_refused_goal = ""
        self.faults: dict[str, str] = {}
        self.waits_for = ""
        self._stop_began: float | None = None
        self._runs: int | None = None  # of the recorded policy, by the last event; None: not known
        self._ahead = 0  # those that it counted and this loop did not
        self._astray = False  # whether the two may have run on different states since
        self._restarted = False

    @property
    def known(self) -> bool:
        """Whether the last torque of the policy is that of the recorded one.

        It is not where that ran on a state that the recording lacks, nor while what it remembers
        of such a state matters.
        """
        return not self._astray and getattr(self._policy, "apart", 0.0) < _SAME

    def _doubting(self, policy: Policy) -> Any:
        return _Doubting(policy) if self._follow else policy

    def step(self, event: ReplayEvent) -> Command | None:
        """Take one event; return the torque that answers a state, where there is one."""
        if self._clear and event.kind == "state" and self.loop.safety.faults:
            self.loop.clear_fault(event.time)
        stood = set(self.loop.safety.faults)
        command = self._step(event)
        standing = self.loop.safety.faults.items()
        self.faults = {kind.value: why for kind, why in standing if kind not in stood}
        return command

    def _step(self, event: ReplayEvent) -> Command | None:
        loop, kind, time = self.loop, event.kind, event.time
        self._worker.busy = event.late
        if kind == "state":
            return self._state(event)
        if kind == "lost":
            self._lost(event)
        elif kind == "tick":
            if time != self._stop_began:  # the beginning of a stop is a tick by itself
                loop.tick(time)
        elif event.goal is not None:
            self._goal(time, event.goal)
        elif kind == "activate":
            self._activate(event)
        elif kind == "deactivate":
            self._stop_began = time
            loop.begin_stop(time, at_once=bool(event.record.get("at_once")))
        elif kind == "emergency_stop":
            loop.emergency_stop(time, event.record["engaged"])
        elif event.policy is not None:
            self._policy = self._doubting(self._answering(event.policy))
            loop.swap(time, self._policy)
            self._restarted = True
        elif kind == "set_parameter" and event.record["name"] in LIVE_PARAMETERS:
            loop.set_parameter(time, event.record["name"], event.record["value"])
        elif kind == "other_publishers":
            loop.other_publishers(time, [*map(str, event.record["names"])])
        elif kind == "clear_fault":
            self._restarted |= not loop.clear_fault(time)
        return None

    def _lost(self, event: ReplayEvent) -> None:
        """Mark the policy's memory as unknown, if it may have run meanwhile."""
        before = self._runs
        of_state = event.record.get("event") == "state"
        self._runs = event.record.get("inferences") if of_state else None
        if self._follow and self.loop.safety.active:
            self._astray |= before is None or self._runs != before

    def _activate(self, event: ReplayEvent) -> None:
        """Begin, with a joint state of about that time where none is fresh."""
        loop, safety = self.loop, self.loop.safety
        if safety.active:
            return
        if not safety.is_fresh(event.time):
            if event.state is None:
                raise BagError("the bag has no joint state from about the time of the activation")
            try:  # no stamp: the state itself may follow
                safety.accept(event.time, *self._reader.read(event.state))
                if safety.problem:
                    raise JointStateError(safety.problem)
            except JointStateError as error:
                if not self._clear:
                    raise
                self.waits_for = str(error)
                return
        self.waits_for, self._restarted, self._runs = "", True, 0
        loop.activate(event.time)

    def _state(self, event: ReplayEvent) -> Command | None:
        loop, raw = self.loop, event.state
        assert raw is not None
        if self.waits_for:
            self._activate(event)
        runs: int | None = event.record.get("inferences") if self._follow else None
        if runs is not None:
            self._catch_up(event, runs)
        try:
            position, velocity = self._reader.read(raw)
        except JointStateError as error:
            command = loop.refuse_state(event.time, str(error), self._reader.stamp_ns)
        else:
            command = loop.state(event.time, position, velocity, self._reader.stamp_ns)
        if runs is not None:
            if self._restarted:  # both restart with the next state that has a goal
                self._astray = self._restarted = False
                self._ahead = runs - loop.inference.count
            self._astray |= runs != loop.inference.count + self._ahead
        if self._follow:
            self._forgive(event)
        return command

    def _forgive(self, event: ReplayEvent) -> None:
        """Drop the faults that the recorded node did not have: states are lost, not late."""
        faults, told = self.loop.safety.faults, event.record.get("faults")
        if isinstance(told, list):
            for kind in [kind for kind in faults if kind.value not in told]:
                del faults[kind]

    def _catch_up(self, event: ReplayEvent, runs: int) -> None:
        """Run on this state because the recorded policy did, where that was lost sight of."""
        before, self._runs = self._runs, runs
        ran = before is not None and runs == before + 1
        if not (self._astray and ran) or event.late or "ran_on" in event.record:
            return
        inference = self.loop.inference
        inference.run_next(self._policy.doubt if self._policy.state_size else None)
        self._ahead = runs - inference.count - 1
        self._astray = False

    def _goal(self, time: float, goal: RecordedGoal) -> None:
        fields = len(self.loop.policy.spec.goal.fields)
        try:
            values = np.array(goal.values[:fields])
            self.loop.set_goal(time, goal.frame, values, goal.stamp_ns)
        except GoalError as error:
            self.refused_goals[str(error)] += 1
            self.last_refused_goal = str(error)
