# SPDX-License-Identifier: Apache-2.0
"""A log of policy_node that somebody else wrote, or that is damaged: never a traceback."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from bag_maker import START_NS, Entry, Motion, text, write_bag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_policy import write_tiny_policy

from sac_ros.bags.events import read_event
from sac_ros.cli.evaluate_bag import main
from sac_ros.policy.runtime import Policy

KINDS = (
    *("state", "goal", "activate", "deactivate", "swap", "set_parameter", "emergency_stop"),
    *("other_publishers", "clear_fault", "tick", "unheard_of"),
)
NUMBERS = st.one_of(st.integers(-3, 300), st.floats(), st.sampled_from([10**400, -(2**70), 2**64]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=5)),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4), st.dictionaries(st.text(max_size=5), inside, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    *("n", "time", "stamp", "applied", "active", "inferences", "ran_on", "late", "faults"),
    *("goal", "frame", "refused", "sha256", "parameters", "model_path", "name", "value"),
    *("names", "engaged", "at_once", "has_policy_torque"),
)


def sound(sha256: str, motion: Motion) -> list[dict[str, Any]]:
    """The log of a node that answered every state."""
    log: list[dict[str, Any]] = [
        {"event": "activate", "sha256": sha256, "parameters": {}},
        {"event": "goal", "goal": [0.3, 0.0, 0.2], "frame": "base", "refused": ""},
    ]
    for i in range(motion.count):
        log.append(
            {"event": "state", "stamp": motion.time_ns(i), "applied": True, "inferences": i}
        )
    for n, record in enumerate(log, 1):
        record.update(n=n, time=n * 0.01)
    return log


def test_the_speed_limit_of_an_older_log_has_its_new_name() -> None:
    head = {"n": 1, "time": 0.0, "faults": ["tip_speed"]}
    begun = {"event": "activate", "sha256": "", "parameters": {"max_tip_speed": 0.25}}
    record = read_event(text(json.dumps(begun | head)))
    assert record["parameters"] == {"max_end_effector_speed": 0.25}
    assert record["faults"] == ["end_effector_speed"]
    later = {"event": "set_parameter", "name": "max_tip_speed", "value": 0.1}
    assert read_event(text(json.dumps(later | head)))["name"] == "max_end_effector_speed"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_log_is_evaluated_or_refused_with_one_sentence(
    data: st.DataObject, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = write_tiny_policy(
            Path(folder) / "tiny.onnx", state_size=data.draw(st.sampled_from([0, 3]))
        )
        motion = Motion(count=40)
        log = sound(Policy.load(model).sha256, motion)
        for _ in range(data.draw(st.integers(1, 6))):
            record = log[data.draw(st.integers(0, len(log) - 1))]
            field = data.draw(st.sampled_from(["event", *FIELDS]))
            kinds = st.sampled_from(KINDS)
            record[field] = data.draw(kinds if field == "event" else VALUES)
        events = [
            Entry("/policy_node/events", "text", START_NS + i * 10_000_000, text(json.dumps(each)))
            for i, each in enumerate(log)
        ]
        bag = write_bag(Path(folder) / "bag", [*motion.entries(), *events])
        code = main([str(bag), "--model", str(model)])
        said = capsys.readouterr().err
        assert code in (0, 2)
        assert said.count("\n") == (code == 2), said


@given(VALUES)
def test_any_value_is_an_event_or_refused(value: Any) -> None:
    try:
        record = read_event(text(json.dumps(value)))
    except ValueError:
        return
    assert {"n", "event", "time"} <= record.keys()


def test_a_log_without_an_activation_tells_no_goals(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion()
    record = {"n": 7, "event": "deactivate", "time": 1.0}
    event = Entry("/policy_node/events", "text", motion.time_ns(0), text(json.dumps(record)))
    found = evaluated(write_bag(tmp_path / "bag", [*motion.entries(), event]))
    assert found["recording"]["goal_source"] == "from /goal_pose"
    assert found["models"][0]["samples"] == motion.count
