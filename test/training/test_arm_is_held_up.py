# SPDX-License-Identifier: Apache-2.0
"""Closed loop: on a robot that adds no g(q), the controller holds the arm up, in Bullet.

The policy is untrained: what it wants is any torque, and all that matters is who carries the arm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from export_call import export_call
from numpy.typing import NDArray

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety_config import SafetyConfig
from sac_ros.policy.safety_events import Fault
from sac_ros.robots.arm import load_arm
from sac_ros.sim.backend import make_backend

Array = NDArray[np.float64]

RATE_HZ = 500
ARM = load_arm("iiwa")
POSTURES = {"home": ARM.home, "stretched out": np.array([0.3, 1.4, 0.0, -0.2, 0.0, 0.3, 0.0])}
GOAL = np.array([0.5, 0.1, 0.4])


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Policy]:
    """By who compensates gravity, with the same actor."""
    found = {}
    for gravity in ("policy", "robot"):
        call = export_call(gravity)
        found[gravity] = call.to(tmp_path_factory.mktemp(gravity) / "policy.onnx")
        call.env.close()
    return found


class Loop:
    """A controller and an arm: one state, and the command that answers it, every 2 ms."""

    def __init__(
        self, policy: Policy, gravity: str, configuration: Array, **config: float
    ) -> None:
        self.now = 1.0
        # A robot that compensates gravity exactly moves as one without gravity.
        pulls = gravity == "policy"
        self._arm = make_backend("bullet", ARM, gravity=pulls, timestep=1.0 / RATE_HZ)
        self._arm.reset(configuration)
        self.controller = ControlLoop(policy, SafetyConfig(**config))
        self.controller.safety.accept(self.now, *self._state())
        self.controller.activate(self.now)
        for _ in range(50):  # behind brakes, until the slew limit has let the torque come
            self.now += 1.0 / RATE_HZ
            self.controller.state(self.now, *self._state())

    def run(self, seconds: float) -> Array:
        """Return the positions [steps, n] rad."""
        positions = []
        for _ in range(round(seconds * RATE_HZ)):
            self.now += 1.0 / RATE_HZ
            command = self.controller.state(self.now, *self._state())
            assert command is not None
            self._arm.step(command.torque.tolist(), 1)
            positions.append(self._state()[0])
        return np.array(positions)

    def _state(self) -> tuple[Array, Array]:
        row, n = np.array(self._arm.read()), ARM.joints
        return row[:n], row[n : 2 * n]

    def close(self) -> None:
        self._arm.close()


@pytest.fixture
def loop(policies: dict[str, Policy]) -> Iterator[Callable[..., Loop]]:
    """Opens a loop; see `Loop`."""
    opened: list[Loop] = []

    def start(gravity: str, configuration: Array, **config: float) -> Loop:
        opened.append(Loop(policies[gravity], gravity, configuration, **config))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def before_the_first_goal(_loop: Loop) -> None:
    pass


def in_damping(loop: Loop) -> None:
    loop.controller.safety.fault(Fault.OTHER_PUBLISHER, "on purpose")


def with_a_goal_and_none_of_its_torque(loop: Loop) -> None:
    loop.controller.set_goal(1.0, "lbr_iiwa_link_0", GOAL)


configurations = pytest.mark.parametrize("configuration", POSTURES.values(), ids=list(POSTURES))


@configurations
@pytest.mark.parametrize(
    ("situation", "scale"),
    [
        (before_the_first_goal, 1.0),
        (in_damping, 1.0),
        (with_a_goal_and_none_of_its_torque, 0.0),
    ],
)
def test_the_arm_stays_where_it_is(
    loop: Callable[..., Loop],
    configuration: Array,
    situation: Callable[[Loop], None],
    scale: float,
) -> None:
    opened = loop("policy", configuration, torque_scale=scale)
    situation(opened)
    drift = np.abs(opened.run(3.0) - configuration).max(axis=0)
    assert drift.max() < 2e-3, drift


@configurations
def test_an_arm_that_nothing_holds_falls(loop: Callable[..., Loop], configuration: Array) -> None:
    # The fault that takes g(q) away: what the tests above would see without it.
    opened = loop("policy", configuration)
    opened.controller.safety.fault(Fault.POLICY_OUTPUT, "on purpose")
    assert np.abs(opened.run(1.0) - configuration).max() > 0.5


@configurations
def test_at_a_tenth_of_the_torque_the_arm_moves_as_on_a_robot_that_carries_itself(
    loop: Callable[..., Loop], configuration: Array
) -> None:
    ways = []
    for gravity in ("policy", "robot"):
        opened = loop(gravity, configuration, torque_scale=0.1)
        opened.controller.set_goal(1.0, "lbr_iiwa_link_0", GOAL)
        ways.append(opened.run(1.5))
    assert np.abs(ways[1] - configuration).max() > 0.15
    # Not the same motion: g(q) is held for a period of the policy.
    assert np.abs(ways[0] - ways[1]).max() < 0.03
