# SPDX-License-Identifier: Apache-2.0
"""A policy at its own rate: asked for some of the states, its torque held for the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_ros.policy.runtime import Answer, Policy
from sac_ros.policy.safety_config import Array
from sac_ros.policy.schedule import ArrivalRate, Decimator
from sac_ros.policy.worker import Inline, Worker

LATEST_ANSWER = 1.5
"""Control periods after the arrival of a state, from which on its inference is too late."""

_AWAITED = 0.5
"""Of the time to the next state, for which the answer to a state waits for its inference."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the policy was asked for: when, s, in which state, with which goal."""

    time: float
    stamp_ns: int
    goal: Array | None


class Inference:
    """When a policy runs, what it remembers, and the torque that it asked for last.

    An answer that is not there in half the time to the next state is that of a later state:
    control goes on meanwhile. After `LATEST_ANSWER` it is abandoned.

    Attributes:
        policy: the policy that runs.
        torque: [n] N·m, the policy's own for the state asked about last; None where there is none.
        gravity: [n] N·m, g(q) that the graph gave for the state asked about last; None if not.
        seen: of the state asked about last, for its record: whether its answer was ``late``, and
            the stamp of the state that the policy ``ran_on``, where that is another.
        count: how often the policy ran for a goal.
        late: how often it was too late.
        late_s: s, for how long none had been in time when one was given up for the state asked
            about last; 0 where none was.
    """

    def __init__(self, policy: Policy, worker: Inline | Worker | None = None) -> None:
        """``worker`` runs the policy, in this thread where it is None."""
        self._worker = worker or Inline()
        self.gravity: Array | None = None
        self.seen: dict[str, Any] = {}
        self.count = self.late = 0
        self.late_s = 0.0
        self.replace(policy)

    def replace(self, policy: Policy) -> None:
        """Let another policy answer from the next state on."""
        self.policy = policy
        self._decimator = Decimator(policy.spec.control_rate_hz)
        self.forget()

    def forget(self) -> None:
        """Restart: a torque or a state from before must not act again."""
        self._decimator.reset()
        self._answered: tuple[float, Array, Array] | None = None
        self._asked: _Asked | None = None
        self._late_since: float | None = None
        self._memory = np.zeros(self.policy.state_size, dtype=np.float32)
        self.torque: Array | None = None
        self._beside: list[Array] = []

    def run_next(self, memory: NDArray[np.float32] | None) -> None:
        """Run on the next state, due or not; ``memory`` [m] is what it remembers, None: the same.

        For the replay of a recording that is not whole.
        """
        self._decimator.force()
        self._asked = None
        self._beside.clear()
        if memory is not None:
            self._memory = memory

    def published(self, torque: Array) -> None:
        """Note what the robot got for a state, [n] N·m: the filter may have changed the policy's.

        What the policy remembers is that of the torque that acted (`RememberedTorque`).
        """
        if self.torque is not None:
            self._beside.append(torque - self.torque)

    @property
    def carries(self) -> bool:
        """Whether the graph has the output g(q), which then holds the arm in every mode."""
        return self.policy.spec.gravity_compensation == "policy"

    @property
    def busy(self) -> bool:
        """Whether an inference that was too late has not ended yet."""
        return self._worker.busy

    def ask(
        self,
        now: float,
        position: Array,
        velocity: Array,
        goal: Array | None,
        rate: ArrivalRate,
        stamp_ns: int,
        goal_velocity: Array | None = None,
    ) -> Array | None:
        """Return the policy's torque [n] N·m: fresh when it is due, held in between, or None.

        Without a goal there is none, but g(q) comes at the same rate, where the graph has it.

        Args:
            now: s, when the state came.
            position: [n] rad.
            velocity: [n] rad/s.
            goal: [k], or None.
            rate: that of the states.
            stamp_ns: of the state.
            goal_velocity: [k] per second, of a goal that moves.
        """
        self.seen, self.gravity, self.late_s = {}, None, 0.0
        if goal is None and not self.carries:
            return None
        if goal is not None and self.torque is None and self._asked is None:
            self._decimator.reset()  # the first state with a goal is answered at once
        # By arrival: a driver whose stamps stand still must not keep an old torque in force.
        self._answered = (now, position, velocity)
        interval, period = rate.interval_s, 1.0 / self.policy.spec.control_rate_hz
        due = self._decimator.due(now, interval)
        # One look a state, so that a log of the looks in vain is complete (`EventLog`).
        if looked := self._asked is not None:
            self._take(now, 0.0)
        if due and self._asked is None:
            self._asked = _Asked(now, stamp_ns, goal)
            if self._beside:
                beside = np.mean(self._beside, axis=0)
                if beside.any() and np.isfinite(beside).all():
                    self._memory = self.policy.corrected(self._memory, beside)
                self._beside.clear()
            # Copies: the next state may come before the policy has read this one.
            self._worker.begin(self._work(position.copy(), velocity.copy(), goal, goal_velocity))
            if not looked:
                self._take(now, _AWAITED * min(interval, period) if rate.settled else period)
        return self.torque if goal is not None else None

    def _take(self, now: float, within_s: float) -> None:
        """Take the answer that was asked for, or else hold the torque, or find that it is late."""
        asked = self._asked
        assert asked is not None
        if now - asked.time > LATEST_ANSWER / self.policy.spec.control_rate_hz:
            self._give_up(now, asked)
            return
        answer: Answer | None = self._worker.result(within_s)
        if answer is None:
            self.seen["late"] = True
            return
        self._asked = self._late_since = None
        if answer.gravity is not None:
            self.gravity = answer.gravity.astype(np.float64)
        if asked.goal is None:
            return
        if asked.time != now:
            self.seen["ran_on"] = asked.stamp_ns
        self.torque = answer.torque.astype(np.float64)
        if answer.next_state is not None:
            self._memory = answer.next_state
        self._beside.clear()
        self.count += 1

    def _give_up(self, now: float, asked: _Asked) -> None:
        self.seen["late"] = True
        self._asked = self.torque = None
        self._worker.abandon()
        self.policy.terminate()
        self.late += 1
        if self._late_since is None:
            self._late_since = asked.time
        self.late_s = now - self._late_since

    def _work(
        self,
        position: Array,
        velocity: Array,
        goal: Array | None,
        goal_velocity: Array | None = None,
    ) -> Callable[[], Answer]:
        if goal is None:
            return partial(self.policy.at_rest, position)
        return partial(
            self.policy.answer, position, velocity, goal, goal_velocity, state=self._memory
        )

    # ---- a warm cache ------------------------------------------------------------------------

    def next_run(self, rate: ArrivalRate) -> float | None:
        """Return when a state is expected that the policy will run for, s; None: not yet."""
        if self._asked is not None or self._answered is None:
            return None
        arrived, interval = self._answered[0], rate.interval_s
        return arrived + interval if self._decimator.next_is_due(arrived, interval) else None

    def warm_up(self, goal: Array) -> None:
        """Run the policy for nothing, shortly before it runs for a state.

        What has not run for a control period has left the processor's caches, and takes three
        times as long (docs/timing.md). Nothing that is decided depends on it.
        """
        if self._answered is not None:
            _, position, velocity = self._answered
            self._worker.prepare(self._work(position, velocity, goal))
