# SPDX-License-Identifier: Apache-2.0
"""Every fault that a policy_node may meet, as one table, and a robot that can cause them all."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faulty_robot.calls import Calls
from faulty_robot.policy_process import ACTIVATE
from faulty_robot.state_faults import STATE_FAULTS
from policy_harness import MARGIN, SPEC, VELOCITY, Robot
from tiny_policy import tiny_action, write_tiny_policy

from sac_ros.policy.safety_events import Mode

GOAL = 0.9
_NAN_BELOW_Z = -0.97  # lower than every goal of the tiny policy's self test
_SCALE, _LIMIT = np.array(SPEC.action_scale), np.array(SPEC.torque_limit)
_VELOCITY_LIMIT, _POSITION_LIMIT = np.array(SPEC.velocity_limit), np.array(SPEC.position_limit)


class MatrixRobot(Robot):
    """A robot whose policy_node is brought back to tracking after each fault."""

    def __init__(self, ros: Any, eventually: Callable[..., None], directory: Path) -> None:
        super().__init__(ros, eventually)
        self.models = [
            write_tiny_policy(directory / f"{name}.onnx", nan_below_z=_NAN_BELOW_Z)
            for name in ("one", "other")
        ]
        bad = directory / "bad.onnx"
        bad.write_text("Dear robot,\nplease move.\n")
        self.calls = Calls(self, SPEC.goal, self.models, bad)

    def track(self) -> None:
        """Clear what can be cleared, and wait until the policy's torque is published."""
        self.velocity = list(VELOCITY)
        if not self.alive:
            seen = len(self.commands)
            self.start_node(self.models[0], "autostart:=true")
            self.eventually(lambda: len(self.commands) > seen or not self.alive, "a command")
            assert self.alive, self.log
        if self.state() == "inactive":
            self.eventually(lambda: self.change_state(ACTIVATE), "activation")
        self.send_goal(GOAL)
        self.eventually(lambda: self.clear_fault() == "", "the fault is cleared")
        self.settles_in(Mode.TRACKING)

    def settles_in(self, mode: Mode) -> None:
        """Wait until the commands that arrive are those of a mode, one after the other."""
        first = len(self.commands)
        # A fault that is none must have had time to be taken for one.
        enough = first + (30 if mode is Mode.TRACKING else 3)

        def settled() -> bool:
            newest = [command.torque for command in self.commands[first:][-3:]]
            wanted = self._expected(mode)
            return len(self.commands) >= enough and all(
                np.allclose(torque, wanted, rtol=0.0, atol=1e-5) for torque in newest
            )

        self.eventually(settled, f"{mode.value}: {self._expected(mode)}")

    def _expected(self, mode: Mode) -> np.ndarray:
        """What the documentation says for the state that was answered last, computed anew."""
        if mode is Mode.STOPPED:
            return np.zeros(3)
        position, velocity = self.driver.answered
        if mode is Mode.DAMPING:
            torque = -0.5 * _SCALE / _VELOCITY_LIMIT * velocity
        else:
            torque = tiny_action(position, velocity, np.array([GOAL, 0.0, 0.0])) * _SCALE
        torque = np.clip(torque, -_LIMIT, _LIMIT)
        ahead = np.where(torque > 0.0, _POSITION_LIMIT[:, 1] - position, position + 2.9)
        torque = torque * np.clip(ahead / MARGIN, 0.0, 1.0)
        forward = np.sign(velocity)
        braked = forward * np.minimum(forward * torque, -_SCALE)
        return np.where(np.abs(velocity) > _VELOCITY_LIMIT, braked, torque)


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        begin, end: cause it, and take its cause away.
        mode: where it leads while it lasts.
    """

    begin: Callable[[MatrixRobot], object]
    end: Callable[[MatrixRobot], object]
    mode: Mode


def _of_states(name: str) -> Fault:
    return Fault(
        lambda robot: robot.driver.begin(name),
        lambda robot: robot.driver.end(name),
        STATE_FAULTS[name].mode,
    )


def _of_calls(name: str, mode: Mode) -> Fault:
    return Fault(lambda robot: robot.calls.begin(name), lambda robot: robot.calls.end(name), mode)


FAULTS = {
    **{name: _of_states(name) for name in STATE_FAULTS},
    "policy gives nan": Fault(
        lambda robot: robot.send_goal(GOAL, z=-1.0),
        lambda robot: robot.send_goal(GOAL),
        Mode.DAMPING,
    ),
    "emergency stop": _of_calls("emergency stop", Mode.DAMPING),
    "goals of nan": _of_calls("goals of nan", Mode.DAMPING),
    "another publisher": _of_calls("another publisher", Mode.DAMPING),
    "goal out of range": _of_calls("goal out of range", Mode.TRACKING),
    "goal in unknown frame": _of_calls("goal in unknown frame", Mode.TRACKING),
    "bad model": _of_calls("bad model", Mode.TRACKING),
    "model swap": _of_calls("model swap", Mode.TRACKING),
}
"""Every fault by name, and what is no fault but looks like one."""

_SEVERITY = (Mode.TRACKING, Mode.DAMPING, Mode.STOPPED)


def worst(*faults: str) -> Mode:
    """Where several faults lead together."""
    return max((FAULTS[fault].mode for fault in faults), key=_SEVERITY.index)


def ring_of_pairs(seed: int) -> list[tuple[str, str]]:
    """Pair every fault with two others, drawn once and for all."""
    names = sorted(FAULTS)
    random.Random(seed).shuffle(names)
    return list(zip(names, names[1:] + names[:1], strict=True))


def meanwhile(act: Callable[[], object], then: Callable[[], object], delay_s: float) -> Any:
    """Start ``act`` in a thread, ``then`` do something after ``delay_s``; return act's result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    threading.Event().wait(delay_s)
    then()
    thread.join()
    (result,) = results
    return result
