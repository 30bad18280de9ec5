# SPDX-License-Identifier: Apache-2.0
"""policy_node under the clock of a recording: what `replay_node` drives in lock-step.

The time by which it decides comes with the joint states and not from this machine: the filter's
soft start, slew limit and watchdog depend on it, and two replays must give the same torques.

A node of its own, and not a parameter of policy_node: what commands a robot must have no switch
that lets a message set its clock.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from typing import TypeVar

from sensor_msgs.msg import JointState

from sac_ros.policy.worker import Inline
from sac_ros.ros.policy.node import PolicyNode
from sac_ros.ros.spin import run_node
from sac_ros.utils.errors import ConfigurationError, JointStateError

T = TypeVar("T")

_PREFIX = "replay_time "
_LATE = " late"
TICKED = "ticked"
"""The event in ``~/events`` that answers a message without joints."""


def with_time(message: JointState, time: float, *, late: bool = False) -> JointState:
    """Return a copy whose ``frame_id`` carries a time, s: joint states have no use for a frame.

    ``late``: the inference for this state was too late.
    """
    timed = copy.copy(message)
    timed.header = copy.deepcopy(message.header)
    timed.header.frame_id = f"{_PREFIX}{time!r}{_LATE if late else ''}"
    return timed


class _RecordedWorker(Inline):
    """Runs what was in time when it was recorded."""

    late = False

    def run(self, work: Callable[[], T], within_s: float) -> T | None:
        return None if self.late else super().run(work, within_s)


class ReplayedPolicyNode(PolicyNode):
    """A `PolicyNode` that runs in shadow only, and whose time is that of the last joint state.

    A joint state without joints is a tick of the watchdog's timer; the timer itself does nothing.
    """

    def __init__(self) -> None:
        """Raises a `ConfigurationError` where ``shadow`` is not true."""
        self._time = 0.0
        super().__init__()
        if not self._config.shadow:
            raise ConfigurationError("parameter shadow must be true in a replay; got false")

    def _now(self) -> float:
        return self._time

    def _make_worker(self) -> Inline:
        self._recorded = _RecordedWorker()
        return self._recorded

    def _on_joint_state(self, raw: bytes) -> None:
        self._reader.look(raw)
        frame = self._reader.frame
        try:
            self._time = float(frame.removeprefix(_PREFIX).removesuffix(_LATE))
        except ValueError:
            raise JointStateError(
                f"a replayed joint state's frame_id must be '{_PREFIX}SECONDS'; got {frame!r} "
                "(only replay_node may publish here)"
            ) from None
        self._recorded.late = frame.endswith(_LATE)
        if self._reader.names:
            super()._on_joint_state(raw)
            return
        self._configured().tick(self._time)
        self._log.note(TICKED, self._time)

    def _next_tick(self) -> float:
        """Leave the ticks to the replay: this machine's clock is not that of the recording."""
        return math.inf

    def _tick_now(self) -> None:
        """Leave this one to the replay, too: it was recorded."""


def main(args: list[str] | None = None) -> int:
    """Run the node, as a child of `replay_node`."""
    return run_node(ReplayedPolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
