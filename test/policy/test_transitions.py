# SPDX-License-Identifier: Apache-2.0
"""The filter's mode follows its table of transitions, and the page shows that table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_policy import tiny_spec

from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.safety_events import TRANSITIONS, Event, Fault, Mode, transition_table

PAGE = Path(__file__).parents[2] / "docs" / "safety.md"
SPEC = tiny_spec()
N, PERIOD = SPEC.joints, 0.004  # s
ACTIONS = (
    *("move", "stand", "rest", "fault", "stop", "engage", "release", "clear", "activate"),
    *("silence", "lies", "nan", "unreadable", "torque", "late"),
)


class Player:
    """Plays actions into a filter, and tells of each which events it is made of."""

    def __init__(self) -> None:
        config = SafetyConfig(soft_start_s=0.0)
        self.filter = SafetyFilter(JointLimits.of(SPEC, config), config, SPEC.control_rate_hz)
        self.now, self.place, self.moved = 5.0, np.zeros(N), 5.0
        self.still = 0.0
        self.engaged = self.stopping = False
        self.filter.accept(self.now, self.place, np.zeros(N))
        self.filter.activate(self.now)

    def good(self, speed: float, *, late: bool = False) -> Event:
        """A state that moves the arm, back and forth around zero, or not."""
        self.now += PERIOD
        velocity = np.full(N, speed if self.place[0] <= 0.0 else -speed)
        self.place = self.place + PERIOD * velocity
        tracking = self.filter.mode is Mode.TRACKING and not late
        self.still = 0.0 if speed else self.still + PERIOD
        if speed or tracking:
            self.moved = self.now
        assert self.filter.accept(self.now, self.place, velocity)
        stood = self.still if tracking else self.now - self.moved
        return Event.STANDS if stood >= 0.1 else Event.MOVES

    def play(self, action: str) -> list[Event]:
        safety = self.filter
        if action == "move":
            return [self.good(0.5)]
        if action == "stand":
            return [self.good(0.0)]
        if action == "rest":
            return [self.good(0.0) for _ in range(40)]
        if action == "stop":
            self.stopping = True
            safety.begin_stop()
        elif action == "engage":
            self.engaged = True
            safety.emergency_stop(True)
        elif action == "release":
            self.engaged = False
            safety.emergency_stop(False)
            return []
        elif action == "clear":
            if safety.clear_fault(self.now) or self.stopping:
                return []
            self.moved = self.now
            return [Event.CLEARED]
        elif action == "activate":
            events = [self.good(0.0)]  # as the node waits for one
            safety.activate(self.now)
            self.moved, self.stopping = self.now, False
            return [*events, Event.CLEARED, *([Event.FAULT] if self.engaged else [])]
        elif action == "silence":
            self.now += 0.06
            safety.tick(self.now)
            return [Event.BLIND]
        elif action == "late":
            self.now += 0.06
            return [Event.BLIND, self.good(0.0, late=True)]
        elif action == "lies":
            for _ in range(3):
                self.now += PERIOD
                assert not safety.accept(self.now, self.place + 4.0, np.zeros(N))
            return [Event.BLIND]
        elif action == "nan":
            for _ in range(3):
                safety.accept(self.now, np.full(N, np.nan), np.zeros(N))
        elif action == "torque":
            safety.command(self.now, np.full(N, np.nan))
        elif action == "unreadable":
            safety.refuse_state(self.now, "joint wrist is missing")
        else:
            safety.fault(Fault.OTHER_PUBLISHER, "another node commands the robot")
        return [Event.FAULT]


def follow(actions: list[str]) -> set[tuple[Mode, Event]]:
    """Hold the filter to the table; return the rows that were reached."""
    player, mode, reached = Player(), Mode.TRACKING, set()
    for action in actions:
        for event in player.play(action):
            reached.add((mode, event))
            mode = TRANSITIONS[mode][event]
        assert player.filter.mode is mode, (action, actions)
    return reached


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(ACTIONS), max_size=40))
def test_every_change_of_mode_is_one_of_the_table(actions: list[str]) -> None:
    follow(actions)


def test_every_row_of_the_table_is_reached() -> None:
    rng, reached = np.random.default_rng(0), set()
    for _ in range(200):
        reached |= follow(rng.choice(ACTIONS, 30).tolist())
    assert reached == {(mode, event) for mode, events in TRANSITIONS.items() for event in events}


def test_the_page_shows_the_table() -> None:
    shown = PAGE.read_text().partition("<!-- transitions -->\n")[2]
    assert shown.partition("\n<!-- end -->")[0] == transition_table()
