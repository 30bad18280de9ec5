# SPDX-License-Identifier: Apache-2.0
"""A robot of three joints over real DDS, and a policy_node in a process of its own.

The robot publishes joint states and records every command that is ever published.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_audit import CommandAudit
from faulty_robot.driver import FaultyDriver, Recorded
from faulty_robot.policy_process import ACTIVATE, PolicyProcess
from tiny_policy import JOINTS, tiny_action, tiny_spec

SPEC = tiny_spec()
SLEW = 40.0  # N·m/s: slow enough that the jitter of a loaded machine is small beside it
WATCHDOG = 0.5  # s: long enough that a loaded machine never trips it by accident
JITTER = 0.1  # s between deciding a torque and publishing it, on a machine without time for us
MARGIN = 0.05  # rad, the node's default
VELOCITY = (0.15, 0.0, -0.1)  # rad/s, slow enough to be believed of positions that do not change
_LIMIT, _SCALE = np.array(SPEC.torque_limit), np.array(SPEC.action_scale)
AUDIT = CommandAudit(_LIMIT, SLEW * _LIMIT / _LIMIT.max(), np.zeros(3), WATCHDOG, JITTER)


class Robot(PolicyProcess):
    """Publishes joint states at 500 Hz, with the faults of `driver`, and records commands."""

    def __init__(self, ros: Any, eventually: Callable[..., None]) -> None:
        super().__init__(ros.node("robot"), self.eventually)
        self._eventually = eventually
        self.position = [0.1, -0.2, 0.3]
        self.velocity = list(VELOCITY)
        self.driver = FaultyDriver(self.node, JOINTS, lambda: (self.position, self.velocity))

    @property
    def commands(self) -> list[Recorded]:
        return self.driver.commands

    def eventually(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait for a condition; a failure shows what the node wrote last."""
        try:
            self._eventually(condition, what)
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}\n{self.log[-2000:]}")

    # ---- the policy node ---------------------------------------------------------------------

    def start_node(
        self, model: Path | None, *parameters: str, program: str = "", commands: str = "commands"
    ) -> None:
        """Start a policy_node; ``program`` replaces the plain one, ``commands`` its topic."""
        given = (f"slew_limit:={SLEW}", f"watchdog_s:={WATCHDOG}", "soft_start_s:=0.1")
        self.start(model, (*given, *parameters), program, commands)

    def start_active(self, model: Path, *parameters: str, program: str = "") -> None:
        """Start a policy_node and wait for its first command."""
        self.start_node(model, "autostart:=true", *parameters, program=program)
        self.eventually(lambda: self.commands or not self.alive, "a command")
        assert self.alive, self.log

    def begin_tracking(self, goal: float) -> None:
        """Set a goal and wait until the policy's torque for it is published.

        Where the machine left this process no time to publish states for a watchdog, the node has
        stopped as it should: the driver's own record shows that, and the fault is cleared.
        """
        self.set_goal(goal)
        torque = self.policy_torque(goal)
        try:
            self.commands_become(torque)
        except pytest.fail.Exception:
            if np.diff(self.driver.state_times).max() < 0.9 * WATCHDOG:
                raise
            self.eventually(lambda: self.clear_fault() == "", "the fault is cleared")
            self.commands_become(torque)

    def stand(self) -> None:
        """Come to rest, as an arm does in a controlled stop."""
        self.velocity = [0.0, 0.0, 0.0]

    def change_state(self, transition: int) -> bool:
        if transition != ACTIVATE:
            self.stand()
        return super().change_state(transition)

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """Signal the node and return its exit code, once all that it published is recorded."""
        self.stand()
        self.signal(how)
        code = self.wait()
        self.eventually(lambda: self.driver.readers == 0, "the node is gone")
        return code

    def refused(self) -> str:
        """Wait until the node gives up; return the one line on stderr that says why."""
        assert self.wait() == 2, self.log
        assert "Traceback" not in self.log
        (line,) = [line for line in self.log.splitlines() if ": error: " in line]
        return line

    def set_goal(self, x: float, frame: str = "base", y: float = 0.0) -> None:
        self.send_goal(x, y, frame=frame)

    # ---- what must be true -------------------------------------------------------------------

    def policy_torque(self, goal: float, gain: float = 1.0) -> np.ndarray:
        """What the tiny policy asks in the robot's present state."""
        goals = np.array([goal, 0.0, 0.0])
        action = tiny_action(np.array(self.position), np.array(self.velocity), goals, gain=gain)
        return action * _SCALE

    def damping_torque(self) -> np.ndarray:
        return -0.5 * _SCALE / SPEC.velocity_limit * self.velocity

    def commands_become(self, torque: Any, tolerance: float = 1e-5) -> None:
        """Wait for a command of (nearly) this torque that comes after now."""
        looked_at = len(self.commands)

        def became() -> bool:
            nonlocal looked_at
            new = self.commands[looked_at:]
            looked_at += len(new)
            return any(np.abs(command.torque - torque).max() <= tolerance for command in new)

        last = self.commands[-1] if self.commands else None
        self.eventually(became, f"commands become {torque}, before they were {last}")

    def assert_always_true(self, ended: bool = False) -> None:
        """Every command ever published kept the rules of `CommandAudit`."""
        assert self.commands
        times, torques = zip(*self.commands, strict=True)
        found = AUDIT.violations(times, torques, self.driver.state_times, ended)
        assert not found, [
            (violation, self.commands[max(0, violation.index - 2) : violation.index + 2])
            for violation in found[:3]
        ]

    def close(self) -> None:
        self.driver.close()
        self.kill()
