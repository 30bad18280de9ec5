# SPDX-License-Identifier: Apache-2.0
"""The words and bars of the page: right, and with nothing in them that a browser would run."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.view import texts
from sac_ros.view.evaluations import EvaluationsFile
from sac_ros.view.event_lines import is_frequent, line_of, read_event
from sac_ros.view.joint_bars import joint_bars, short_names
from sac_ros.view.state import EventLine, Progress, ViewState

ARM = load_arm("iiwa")
EVIL = "<img src=x onerror=alert(1)>"


def test_names_from_the_network_are_escaped_everywhere() -> None:
    evil = dataclasses.replace(ARM, name=EVIL, joint_names=tuple(f"{EVIL}{i}" for i in range(7)))
    state = ViewState(
        position=ARM.home,
        goal=np.zeros(3),
        goal_note=EVIL,
        mode=EVIL,
        summary={EVIL: EVIL},
        events=[EventLine(0.0, EVIL)],
        progress=Progress({"phase": EVIL, "run": EVIL}),
    )
    assert state.progress is not None
    pieces = [
        joint_bars(evil, state),
        texts.status(evil.name, state),
        texts.goal(state, EVIL, EVIL),
        texts.events(state.events),
        texts.training(state.progress),
        texts.waiting(EVIL),
    ]
    for piece in pieces:
        assert "<img" not in piece
        assert "&lt;img" in piece


@pytest.mark.parametrize(
    ("fraction", "colour", "bar"),
    [
        (0.5, "#228be6", "left:50.0%;width:25.0%"),
        (-0.9, "#f08c00", "left:5.0%;width:45.0%"),
        (-3.0, "#e03131", "left:0.0%;width:50.0%"),
    ],
)
def test_a_torque_bar_grows_from_the_middle_to_its_limit(
    fraction: float, colour: str, bar: str
) -> None:
    torque = np.zeros(7)
    torque[2] = fraction * ARM.torque_limit[2]
    html = joint_bars(ARM, ViewState(torque=torque))
    assert bar in html
    assert colour in html
    assert "-0.0<" not in html


def test_the_limit_is_that_of_the_safety_filter_where_it_is_known() -> None:
    state = ViewState(torque=np.full(7, 10.0), torque_limit=np.full(7, 20.0))
    assert joint_bars(ARM, state).count("width:25.0%") == 7


def test_a_joint_that_a_guard_acts_on_is_marked() -> None:
    assert joint_bars(ARM, ViewState()).count("font-weight:700") == 0
    assert joint_bars(ARM, ViewState(limited=frozenset({1, 3}))).count("font-weight:700") == 2


def test_what_all_joints_are_called_is_left_out() -> None:
    assert short_names(["arm_joint_1", "arm_joint_2"]) == ["1", "2"]
    assert short_names(["joint"]) == ["joint"]
    assert short_names(["a", "ab"]) == ["a", "b"]


def test_old_joint_states_are_said_to_be_old() -> None:
    assert "no joint states yet" in texts.status("iiwa", ViewState())
    assert "no joint states for 3 s" in texts.status("iiwa", ViewState(state_age_s=3.2))
    assert "joint states" not in texts.status("iiwa", ViewState(state_age_s=0.1))


@pytest.mark.parametrize(
    ("fields", "text", "severe"),
    [
        ({"event": "goal", "goal": [0.5, 0.1, 0.4]}, "goal 0.500, 0.100, 0.400 m", False),
        ({"event": "goal", "goal": None, "refused": "far"}, "goal refused: far", True),
        ({"event": "clear_fault", "refused": ""}, "faults cleared", False),
        ({"event": "emergency_stop", "engaged": True}, "emergency stop engaged", True),
        ({"event": "other_publishers", "names": ["/b"]}, "commanded by others too: /b", True),
        ({"event": "set_parameter", "name": "s", "value": 1}, "s set to 1", False),
    ],
)
def test_an_event_is_a_sentence(fields: dict[str, object], text: str, severe: bool) -> None:
    assert line_of({"time": 2.0, **fields}) == EventLine(2.0, text, severe)


def test_what_is_no_event_is_left_out() -> None:
    assert read_event("{") == read_event("[]") == read_event('{"time": "now"}') == {}
    assert line_of({"event": "state", "time": 1.0}) is None
    assert is_frequent('{"n": 12, "event": "state", "time": 1.0}')
    assert not is_frequent('{"n": 12, "event": "goal", "time": 1.0}')


def test_a_run_that_is_not_here_has_no_curves() -> None:
    assert EvaluationsFile().read("/nowhere").shape == (0, 4)
    words = texts.training(Progress({"success_rate": "nan", "env_steps": "many"}))
    assert "nan" not in words
    assert math.isnan(ViewState().distance)
