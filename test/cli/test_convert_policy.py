# SPDX-License-Identifier: Apache-2.0
"""A policy file of schema 1 becomes one of schema 2 with the same torques, or stays as it is."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_policy import tiny_model, tiny_spec

from sac_ros.cli.convert_policy import convert, converted_spec, main
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import SPEC_KEY, PolicySpec
from sac_ros.utils.errors import PolicyFileError


def spec_1(**changes: Any) -> dict[str, Any]:
    """What `tiny_spec` was in schema 1."""
    values = json.loads(tiny_spec(**changes).to_json())
    words = {"robot": "external", "policy": "included"}
    values["gravity"] = words[values.pop("gravity_compensation")]
    del values["goal"]["tolerance"], values["stop_damping"], values["brake_limit"]
    inputs = values["self_test"]["inputs"]
    if "state" in inputs:
        inputs["previous_action"] = inputs.pop("state")
    rates = {"success_rate": 0.9, "success_rate_2cm": 0.75}
    return {**values, "schema_version": 1, "evaluation": {**rates, "episodes": 50}}


def write_1(path: Path, *, state_size: int = 0, spec_json: str = "", **changes: Any) -> Path:
    """A policy file of schema 1; with a state of three numbers it takes the previous action."""
    spec = tiny_spec(state_size=state_size, **changes)
    text = spec_json or json.dumps(spec_1(state_size=state_size, **changes))
    model = tiny_model(spec, state_size=state_size, spec_json=text)
    if state_size:
        del model.graph.output[-1], model.graph.node[-1]
        model.graph.input[3].name = "previous_action"
        for node in model.graph.node:
            node.input[:] = [{"state": "previous_action"}.get(name, name) for name in node.input]
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("gravity_compensation", ["robot", "policy"])
@pytest.mark.parametrize("state_size", [0, 3])
def test_a_converted_file_gives_the_same_torques_to_the_bit(
    tmp_path: Path, state_size: int, gravity_compensation: str
) -> None:
    changes: Any = {"state_size": state_size, "gravity_compensation": gravity_compensation}
    old = write_1(tmp_path / "old.onnx", **changes)
    policy = convert(old, tmp_path / "new.onnx")
    session = onnxruntime.InferenceSession(old, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    action, state = (np.zeros((64, 3), np.float32) for _ in range(2))
    for _ in range(10):
        rows = generator.uniform(-1, 1, (3, 64, 3)).astype(np.float32)
        feeds = dict(zip(("joint_position", "joint_velocity", "goal"), rows, strict=True))
        memory = {"previous_action": action} if state_size else {}
        torque, action = session.run(["torque", "action"], {**feeds, **memory})
        answer = policy.answer(**feeds, state=state)
        np.testing.assert_array_equal(answer.torque, torque)
        if answer.next_state is not None:
            state = answer.next_state


def test_the_converted_spec_says_what_the_old_one_said(tmp_path: Path) -> None:
    old = write_1(tmp_path / "old.onnx", gravity_compensation="policy", state_size=3)
    spec = convert(old, tmp_path / "new.onnx").spec
    scale, speed = np.array(spec.action_scale), np.array(spec.velocity_limit)
    assert spec == tiny_spec(
        gravity_compensation="policy",
        state_size=3,
        stop_damping=tuple(scale / speed),
        brake_limit=tuple(np.minimum(spec.torque_limit, 2.0 * scale)),
        evaluation={
            "episodes": 50,
            "success": [
                {"position_tolerance_m": 0.05, "rate": 0.9},
                {"position_tolerance_m": 0.02, "rate": 0.75},
            ],
        },
    )


def test_a_file_is_converted_in_place_and_nothing_else_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_1(tmp_path / "policy.onnx")
    assert main([str(path), str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: schema 2, sha256 {Policy.load(path).sha256}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["policy.onnx"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            "schema 2",
            "field schema_version must be 1, the one that convert_policy converts; got 2",
        ),
        ("no spec", f"metadata {SPEC_KEY} must hold one JSON object"),
        ("text", "must be an ONNX model"),
        ("missing", "does not exist"),
        ("self test", "cannot be converted: policy file "),
        ("folder", "cannot be written: "),
    ],
)
def test_what_cannot_be_converted_is_refused_and_leaves_the_file_that_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, sentence: str
) -> None:
    old, new = write_1(tmp_path / "old.onnx"), tmp_path / "new.onnx"
    new.write_text("as it was")
    if spoil == "schema 2":
        write_1(old, spec_json=tiny_spec().to_json())
    elif spoil == "no spec":
        model = onnx.load(old)
        del model.metadata_props[:]
        onnx.save(model, old)
    elif spoil == "text":
        old.write_text("Dear robot,\nplease move.\n")
    elif spoil == "missing":
        old.unlink()
    elif spoil == "self test":
        write_1(old, spec_json=json.dumps(spec_1(gain=2.0)))
    to = tmp_path if spoil == "folder" else new
    before = sorted(tmp_path.iterdir())
    assert main([str(old), str(to)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert new.read_text() == "as it was"
    assert sorted(tmp_path.iterdir()) == before


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=2)
    ),
    max_leaves=6,
)


# On a busy machine a draw, and a conversion, may take long.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*spec_1(), "extra"]), anything, max_size=3))
def test_any_spec_is_converted_to_a_valid_one_or_refused(changes: dict[str, Any]) -> None:
    text = json.dumps({**spec_1(), **changes})
    with contextlib.suppress(PolicyFileError):
        spec = converted_spec(text, "policy file a.onnx")
        assert PolicySpec.from_json(spec.to_json(), "again") == spec
