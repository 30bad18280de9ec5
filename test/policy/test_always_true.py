# SPDX-License-Identifier: Apache-2.0
"""The always-true list over arbitrary sequences of messages, calls and pauses.

`SAC_ROS_THOROUGH=1` plays 100,000 of them into the filter and 20,000 into the controller, with a
robot that carries itself and with one that does not, minutes on one core; otherwise 300 and 60.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from late_worker import LateWorker
from tiny_policy import tiny_spec, write_tiny_policy

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Mode
from sac_ros.utils.errors import ConfigurationError, GoalError

THOROUGH = bool(os.environ.get("SAC_ROS_THOROUGH"))
SPEC = tiny_spec()  # torque limits 30, 20, 10 N·m; scale 15, 10, 5; ±2.9 rad; 4 rad/s; 100 Hz
WEAKER = dataclasses.replace(SPEC, torque_limit=(3.0, 20.0, 1.0), control_rate_hz=50.0)
N = SPEC.joints
START = 100.0  # s

pytestmark = [pytest.mark.timeout(0)] if THOROUGH else []

pauses = st.sampled_from([0.0, 1e-6, 0.002, 0.04, 0.2])  # s; the watchdog is 0.05
anything = st.floats(allow_nan=True, allow_infinity=True)
plausible = st.floats(-5, 5)
vectors = st.one_of(st.tuples(*[plausible] * N), st.tuples(*[anything] * N))
stamps = st.integers(0, 5)
configs = st.builds(
    dict,
    soft_start_s=st.sampled_from([0.0, 0.1]),
    slew_limit=st.sampled_from([100.0, 1000.0]),
    torque_limit=st.sampled_from([(), (5.0, 100.0, 1.0)]),
    safe_torque=st.sampled_from([(), (1.0, -2.0, 0.5)]),
    torque_scale=st.sampled_from([0.1, 1.0]),
    brake_limit=st.sampled_from([(), (0.5, 100.0, 1.0)]),
)


def sequences(*events: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(pauses, st.one_of(*events)), max_size=60)


def played(examples: int, thorough: int) -> Callable[..., Any]:
    """How many sequences a test plays."""
    return settings(
        max_examples=thorough if THOROUGH else examples,
        deadline=None,
        database=None if THOROUGH else settings.default.database,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


class Judge:
    """Holds one command after the other to the always-true list."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.given = config.get("torque_limit") or (math.inf,) * N
        self.bound = np.minimum(SPEC.torque_limit, self.given)
        self.slew_limit = config.get("slew_limit", 1000.0)
        self.slew = self.slew_limit * np.array(SPEC.torque_limit) / max(SPEC.torque_limit)
        self.last, self.last_time, self.accepted = np.zeros(N), START, -math.inf

    def swapped(self, spec: Any) -> None:
        """The limits are another policy's: torque may be beyond them until it has come down."""
        self.bound = np.minimum(spec.torque_limit, self.given)
        self.slew = self.slew_limit * np.array(spec.torque_limit) / max(spec.torque_limit)

    def judge(self, now: float, command: Command, active: bool) -> None:
        assert np.isfinite(command.torque).all()
        assert (np.abs(command.torque) <= np.maximum(self.bound, np.abs(self.last))).all()
        # A pause buys no jump: no more than one watchdog counts.
        step = self.slew * min(now - self.last_time, 0.05)
        assert (np.abs(command.torque - self.last) <= step + 1e-9).all()
        if active:
            assert command.mode is Mode.STOPPED or now - self.accepted <= 0.05
        self.last, self.last_time = command.torque, now


@played(300, thorough=100_000)
@given(
    configs,
    sequences(
        st.tuples(st.just("state"), vectors, vectors, stamps),
        st.tuples(st.just("move"), st.tuples(*[plausible] * N), st.integers(1, 60)),
        st.tuples(st.just("command"), st.one_of(st.none(), st.tuples(*[plausible] * N), vectors)),
        st.tuples(st.just("gravity"), vectors),
        st.tuples(st.just("tick")),
        st.tuples(st.just("rest")),
        st.tuples(st.just("emergency"), st.booleans()),
        st.tuples(st.just("others"), st.sampled_from([[], ["/rival"]])),
        st.tuples(st.just("swap"), st.sampled_from([SPEC, WEAKER])),
        st.tuples(st.just("clear")),
        st.tuples(st.just("activate")),
        st.tuples(st.just("deactivate")),
        st.tuples(st.just("unreadable")),
        st.tuples(st.just("goal")),
        st.tuples(st.just("stop")),
    ),
)
@example({}, [(0.0, ("unreadable",)), (0.0, ("deactivate",)), (0.0, ("tick",))])
@example({}, [(0.0, ("deactivate",)), (0.002, ("command", (math.nan,) * N))])
def test_whatever_happens_a_command_of_the_filter_is_finite_limited_slewed_and_fresh(
    config: dict[str, Any], sequence: list[tuple[float, tuple[Any, ...]]]
) -> None:
    safety_config = SafetyConfig(**config)
    safety = SafetyFilter(JointLimits.of(SPEC, safety_config), safety_config, 100.0)
    judge, now, active, place = Judge(config), START, True, np.zeros(N)
    safety.activate(now)
    for delay, (kind, *arguments) in sequence:
        now += delay
        command: Command | None = None
        with np.errstate(all="ignore"):
            if kind == "state":
                position, velocity, stamp = arguments
                if safety.accept(now, np.array(position), np.array(velocity), stamp):
                    assert np.isfinite([position, velocity]).all()
                    judge.accepted = now
            elif kind == "move":
                for _ in range(arguments[1]):
                    now += 0.002
                    place = np.clip(place + 0.002 * np.array(arguments[0]), -2.9, 2.9)
                    if safety.accept(now, place, np.array(arguments[0])):
                        judge.accepted = now
                    judge.judge(now, safety.command(now, None), active)
            elif kind == "stop":
                safety.begin_stop()
            elif kind == "command":
                command = safety.command(now, arguments[0] and np.array(arguments[0]))
            elif kind == "gravity":
                safety.set_gravity_torque(np.array(arguments[0]))
            elif kind == "tick":
                command = safety.tick(now)
            elif kind == "rest":
                command = safety.rest(now)
            elif kind == "emergency":
                safety.emergency_stop(arguments[0])
            elif kind == "others":
                safety.other_publishers(arguments[0])
            elif kind == "swap":
                with contextlib.suppress(ConfigurationError):  # a safe torque beyond its limits
                    safety.replace_limits(JointLimits.of(arguments[0], safety_config), 100.0)
                    judge.swapped(arguments[0])
            elif kind == "clear":
                safety.clear_fault(now)
            elif kind == "activate":
                safety.activate(now)
                active = True
            elif kind == "deactivate":
                safety.deactivate()
                active = False
            elif kind == "unreadable":
                safety.refuse_state(now, "joint wrist is missing")
            elif kind == "goal":
                safety.refuse(Fault.NON_FINITE_GOAL, "goals are not finite")
        if command is not None:
            judge.judge(now, command, active and kind != "rest")


@pytest.fixture(scope="module", params=["robot", "policy"])
def policies(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Policy]:
    """For the same joints: one that gives NaN for low goals, one that remembers, a weaker one."""
    directory = tmp_path_factory.mktemp("policies")
    weak = (15.0 if request.param == "robot" else 26.0, 20.0, 10.0)
    changes: dict[str, dict[str, Any]] = {
        "nan": {"nan_below_z": -0.97},
        "memory": {"state_size": 5},
        "weak": {"torque_limit": weak, "gain": 9.0},
    }
    return [
        Policy.load(
            write_tiny_policy(
                directory / f"{name}.onnx", gravity_compensation=request.param, **change
            )
        )
        for name, change in changes.items()
    ]


@played(60, thorough=20_000)
@given(
    config=configs,
    sequence=sequences(
        st.tuples(st.just("state"), vectors, vectors, stamps),
        st.tuples(st.just("states"), vectors, vectors, st.integers(2, 40)),
        st.tuples(st.just("move"), vectors, st.tuples(*[plausible] * N), st.integers(2, 60)),
        st.tuples(st.just("tick")),
        st.tuples(
            st.just("goal"),
            st.sampled_from(["base", "base", "camera"]),
            st.one_of(
                st.tuples(*[st.floats(-1, 1)] * 3),
                st.sampled_from([(0.9, 0.0, -1.0), (math.nan, 0.0, 0.0), (1e300, 0.0, 0.0)]),
            ),
        ),
        st.tuples(st.just("emergency"), st.booleans()),
        st.tuples(st.just("late"), st.booleans()),
        st.tuples(st.just("swap"), st.integers(0, 2)),
        st.tuples(st.just("clear")),
        st.tuples(st.just("restart")),
    ),
)
def test_whatever_happens_a_command_of_the_control_loop_is_finite_limited_slewed_and_fresh(
    policies: list[Policy], config: dict[str, Any], sequence: list[tuple[float, tuple[Any, ...]]]
) -> None:
    published: list[Command] = []
    worker = LateWorker()
    loop = ControlLoop(
        policies[0],
        SafetyConfig(**config),
        publish=lambda command, *_: published.append(command),
        worker=worker,
    )
    judge, now = Judge(config), START
    accept, accepted = loop.safety.accept, []

    def judge_all() -> None:
        for command in published:
            judge.judge(now, command, active=True)
        published.clear()

    # What a refusal is counted for also happens to states that are accepted: another stamp rate.
    loop.safety.accept = lambda *state: accepted.append(accept(*state)) or accepted[-1]  # type: ignore[assignment, func-returns-value]
    loop.activate(now)
    with np.errstate(all="ignore"):
        for delay, (kind, *arguments) in sequence:
            now += delay
            if kind in ("state", "states", "move"):
                position, velocity, number = map(np.array, arguments)
                usable = np.isfinite([position, velocity]).all()
                for i in range(1 if kind == "state" else int(number)):
                    now += 0.002 * (i > 0)
                    if kind == "move":
                        position = position + 0.002 * velocity
                    stamp = int(number) if kind == "state" else 0
                    loop.state(now, position, velocity, stamp)
                    if accepted[-1]:
                        assert usable
                        judge.accepted = now
                    judge_all()
                continue
            if kind == "tick":
                loop.tick(now)
            elif kind == "goal":
                with contextlib.suppress(GoalError):
                    loop.set_goal(now, arguments[0], np.array(arguments[1]))
            elif kind == "emergency":
                loop.emergency_stop(now, arguments[0])
            elif kind == "late":
                worker.busy = arguments[0]
            elif kind == "swap":
                with contextlib.suppress(ConfigurationError):  # a torque limit that is raised
                    loop.swap(now, policies[arguments[0]])
                    judge.swapped(policies[arguments[0]].spec)
            elif kind == "clear":
                loop.clear_fault(now)
            elif kind == "restart":
                loop.begin_stop(now)
                while loop.safety.active:
                    judge_all()
                    now += 0.02
                    loop.tick(now)
                judge_all()
                loop.activate(now)
            judge_all()
