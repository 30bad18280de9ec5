# SPDX-License-Identifier: Apache-2.0
"""The load gate: a policy file runs exactly as recorded, or is refused with one sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tiny_policy import (
    JOINTS,
    tiny_action,
    tiny_gravity,
    tiny_mixing,
    tiny_model,
    tiny_spec,
    write_tiny_policy,
)

from sac_ros.policy import runtime
from sac_ros.policy.onnx_scan import refuse_unsafe
from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import SPEC_KEY, GoalSpec, RememberedTorque
from sac_ros.utils.errors import PolicyFileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.onnx"


def refusal(path: Path, model: onnx.ModelProto | bytes) -> str:
    """Write a model, load it, and return the sentence that refuses it."""
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(PolicyFileError) as error:
        Policy.load(path)
    sentence = str(error.value)
    assert sentence.startswith(f"policy file {path}")
    assert "\n" not in sentence
    return sentence


def test_to_run_a_policy_reports_nothing_to_anybody(path: Path, tmp_path: Path) -> None:
    """onnxruntime's telemetry opens a database in the home of the user as soon as it is there."""
    home = tmp_path / "home"
    home.mkdir()
    write_tiny_policy(path)
    code = (
        "import sys; from pathlib import Path; from sac_ros.policy.runtime import Policy\n"
        "Policy.load(Path(sys.argv[1]))"
    )
    plain = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    subprocess.run([sys.executable, "-c", code, path], env=plain | {"HOME": str(home)}, check=True)
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("moving_goal", [False, True])
@pytest.mark.parametrize("size", [0, 2, 3, 5])
def test_a_policy_gives_the_torque_and_the_next_state_of_its_graph(
    path: Path, size: int, moving_goal: bool
) -> None:
    policy = Policy.load(write_tiny_policy(path, state_size=size, moving_goal=moving_goal))
    assert policy.state_size == size
    position, velocity, goal = [0.1, -0.2, 0.3], [1.0, 0.0, -1.0], [0.5, 0.0, 0.0]
    state, speed = [0.5, -0.5, 1.0, 0.2, -1.0][:size], [0.4, 0.0, 0.0]
    torque, action, _, next_state = policy.answer(position, velocity, goal, speed, state)
    expected = tiny_action(
        position, velocity, goal, state if size else None, speed if moving_goal else None
    )
    np.testing.assert_allclose(action, expected, rtol=1e-6)
    np.testing.assert_allclose(torque, expected * policy.spec.action_scale, rtol=1e-6)
    assert torque.shape == (3,)
    if size:
        np.testing.assert_array_equal(next_state, action @ tiny_mixing(size, 3).T)
    else:
        assert next_state is None


def test_a_batch_gives_the_same_torques_as_single_states(path: Path) -> None:
    policy = Policy.load(write_tiny_policy(path))
    generator = np.random.default_rng(1)
    states = [generator.uniform(-1, 1, (16, 3)) for _ in range(3)]
    torque, action = policy(*states)
    assert torque.shape == action.shape == (16, 3)
    for row in range(16):
        single, _ = policy(*(state[row] for state in states))
        np.testing.assert_allclose(single, torque[row], rtol=1e-6)


@pytest.mark.parametrize("kind", [{}, {"state_size": 3}, {"moving_goal": True}])
def test_a_policy_that_holds_the_arm_up_tells_by_how_much(path: Path, kind: Any) -> None:
    write_tiny_policy(path, gravity_compensation="policy", **kind)
    policy = Policy.load(path)
    position, goals = np.random.default_rng(1).uniform(-1, 1, (2, 16, 3))
    torque, action, gravity, _ = policy.answer(position, position, goals, state=position)
    assert gravity is not None
    np.testing.assert_allclose(gravity, tiny_gravity(position), rtol=1e-5)
    np.testing.assert_allclose(torque, action * policy.spec.action_scale + gravity, rtol=1e-5)
    np.testing.assert_allclose(policy.gravity(position), gravity, rtol=1e-6)
    np.testing.assert_allclose(policy.gravity(position[3]), gravity[3], rtol=1e-6)
    single = policy.answer(position[3], position[3], goals[3], state=position[3])
    np.testing.assert_allclose(single.gravity, gravity[3], rtol=1e-6)


def test_a_policy_for_a_robot_that_carries_itself_has_no_gravity(path: Path) -> None:
    policy = Policy.load(write_tiny_policy(path))
    assert policy.gravity(np.zeros(3)) is None
    assert policy.answer(np.zeros(3), np.zeros(3), np.zeros(3)).gravity is None


def test_the_policy_knows_its_file(path: Path) -> None:
    policy = Policy.load(str(write_tiny_policy(path)))
    assert policy.path == path
    assert policy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert policy.spec == tiny_spec()


def test_a_wrong_shape_at_run_time_is_refused(path: Path) -> None:
    policy = Policy.load(write_tiny_policy(path))
    with pytest.raises(ValueError, match=r"joint_velocity must have shape \[3\] or \[batch, 3\]"):
        policy(np.zeros(3), np.zeros(2), np.zeros(3))


def test_a_state_that_is_missing_or_of_another_width_is_refused(path: Path) -> None:
    policy = Policy.load(write_tiny_policy(path, state_size=5))
    with pytest.raises(ValueError, match="needs state"):
        policy(np.zeros(3), np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"state must have shape \[5\] or \[batch, 5\]"):
        policy(np.zeros(3), np.zeros(3), np.zeros(3), state=np.zeros(3))


def test_a_state_is_corrected_by_the_torque_that_acted_beside_the_policys(path: Path) -> None:
    remembered = RememberedTorque(1, (0.1, 0.2, 0.5))
    policy = Policy.load(write_tiny_policy(path, state_size=5, remembered_torque=remembered))
    state = np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32)
    found = policy.corrected(state, [-2.0, 1.0, 9.0])
    np.testing.assert_allclose(found, [0.1, 0.0, 0.5, 1.0, 0.5], atol=1e-6)  # at most 1
    np.testing.assert_array_equal(state, np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32))
    plain = Policy.load(write_tiny_policy(path, state_size=5))
    assert plain.corrected(state, [-2.0, 1.0, 9.0]) is state


def test_a_torque_is_remembered_within_the_state(path: Path) -> None:
    remembered = RememberedTorque(3, (1.0, 1.0, 1.0))
    model = tiny_model(tiny_spec(state_size=5, remembered_torque=remembered), state_size=5)
    assert (
        "field remembered_torque.offset must be at most 2, for 3 joints in a state of 5; got 3"
        in (refusal(path, model))
    )


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(PolicyFileError, match=r"policy\.onnx does not exist"):
        Policy.load(path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="cannot be read: Is a directory"):
        Policy.load(tmp_path)


def test_a_huge_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MAXIMUM_FILE_BYTES", 1000)
    assert "must be at most" in refusal(path, tiny_model(tiny_spec()))


@pytest.mark.parametrize("content", [b"", b"just a text file\n", b"\x00" * 64, b"PK\x03\x04zip"])
def test_what_is_not_onnx_is_refused(path: Path, content: bytes) -> None:
    assert "must be an ONNX model" in refusal(path, content)


def test_every_truncated_file_is_refused(path: Path) -> None:
    content = tiny_model(tiny_spec()).SerializeToString()
    # Without its last plain key, which other tools read, a file is whole for this package.
    for size in range(0, content.index(b"observation_names"), 97):
        refusal(path, content[:size])


def test_external_data_is_refused_even_where_the_file_exists(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)  # onnxruntime looks there for a model given as bytes
    onnx.save(
        tiny_model(tiny_spec()), path, save_as_external_data=True, location="w", size_threshold=0
    )
    assert "must be one single file; it refers to external data" in refusal(
        path, path.read_bytes()
    )


def test_a_custom_operator_is_refused_by_name(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.graph.node[-1].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert "got Mul of domain com.microsoft" in refusal(path, model)


def test_a_custom_operator_inside_a_subgraph_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    inner = helper.make_node("Gelu", ["action"], ["y"], domain="com.microsoft")
    branch = helper.make_graph([inner], "b", [], [helper.make_empty_tensor_value_info("y")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)
    assert "got Gelu of domain com.microsoft" in refusal(path, model)


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan"])
def test_a_graph_that_may_never_end_is_refused(path: Path, operator: str) -> None:
    model = tiny_model(tiny_spec())
    branch = helper.make_graph([], "b", [], [helper.make_empty_tensor_value_info("y")])
    body = {"then_branch": branch} if operator == "If" else {"body": branch}
    model.graph.node.append(helper.make_node(operator, ["c"], ["y"], **body))
    assert f"neither loops nor conditions; got the operator {operator}" in refusal(path, model)


def test_a_graph_that_is_too_slow_for_its_rate_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_policy(path)
    clock = itertools.count()
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: 0.006 * next(clock))
    sentence = "must take at most 5 ms, half of a control period; the quickest of 5 took 6 ms"
    with pytest.raises(PolicyFileError, match=sentence):
        Policy.load(path)
    Policy.load(path, timed=False)  # where no robot waits


def test_a_model_that_defines_its_own_operators_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.functions.append(
        helper.make_function(
            "own", "F", ["x"], ["y"], [helper.make_node("Tanh", ["x"], ["y"])], model.opset_import
        )
    )
    assert "it defines its own" in refusal(path, model)


def test_an_old_opset_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.opset_import[0].version = 13
    assert "must use ONNX opset 17 or newer; got 13" in refusal(path, model)


def test_a_broken_graph_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.graph.node[-1].op_type = "NoSuchOperator"
    assert "is refused by onnxruntime" in refusal(path, model)


def test_a_model_without_a_spec_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    del model.metadata_props[:]
    assert f"metadata {SPEC_KEY} is missing" in refusal(path, model)


def test_a_broken_spec_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec(), spec_json='{"schema_version": 2}')
    assert "field joint_names is missing" in refusal(path, model)


def test_a_renamed_input_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.graph.input[1].name = model.graph.node[3].input[0] = "velocity"
    assert "inputs must be joint_position, joint_velocity, goal; got" in refusal(path, model)


def test_a_missing_output_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    del model.graph.output[1]
    assert "outputs must be torque, action; got torque" in refusal(path, model)


def test_a_file_of_schema_1_is_refused_with_the_command_that_converts_it(path: Path) -> None:
    model = tiny_model(tiny_spec(), spec_json='{"schema_version": 1}')
    sentence = refusal(path, model)
    assert "must be 2 (`convert_policy OLD.onnx NEW.onnx` converts a file of schema 1)" in sentence


def test_a_state_without_a_next_one_is_refused_and_the_reverse(path: Path) -> None:
    model = tiny_model(tiny_spec(state_size=5), state_size=5)
    next_state = model.graph.output.pop()
    assert "must be torque, action, next_state; got torque, action" in refusal(path, model)
    model = tiny_model(tiny_spec())
    model.graph.output.append(next_state)
    model.graph.node.append(helper.make_node("Identity", ["action"], ["next_state"]))
    model.graph.output[2].type.tensor_type.shape.dim[1].dim_value = 3
    assert "must be torque, action; got torque, action, next_state" in refusal(path, model)


@pytest.mark.parametrize("width", ["m", 0, 4])
def test_a_state_of_no_fixed_width_or_of_another_than_the_next_is_refused(
    path: Path, width: int | str
) -> None:
    model = tiny_model(tiny_spec(state_size=5), state_size=5)
    model.graph.input[3].CopyFrom(
        helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", width])
    )
    sentence = refusal(path, model)
    assert "state must have shape [batch, " in sentence or "refused by onnxruntime" in sentence


def test_a_self_test_with_a_state_of_another_width_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec(state_size=4), state_size=5)
    assert "the self test fails: state must have shape [5] or [batch, 5]" in refusal(path, model)


def test_a_next_state_that_is_not_finite_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec(state_size=3), state_size=3)
    nan = onnx.numpy_helper.from_array(np.full((3, 3), np.nan, np.float32), "unmixing")
    (found,) = [each for each in model.graph.initializer if each.name == "unmixing"]
    found.CopyFrom(nan)
    assert "output next_state must be finite" in refusal(path, model)


def test_a_gravity_that_is_missing_or_too_much_is_refused(path: Path) -> None:
    without, carrying = tiny_spec(), tiny_spec(gravity_compensation="policy")
    sentence = refusal(path, tiny_model(without, spec_json=carrying.to_json()))
    assert "outputs must be torque, action, gravity; got torque, action" in sentence
    sentence = refusal(path, tiny_model(carrying, spec_json=without.to_json()))
    assert "outputs must be torque, action; got torque, action, gravity" in sentence


def with_gravity_from(node: onnx.NodeProto) -> onnx.ModelProto:
    """A model whose gravity output is ``wrong``, what ``node`` makes; its torque is as it was."""
    model = tiny_model(tiny_spec(gravity_compensation="policy"))
    nan = onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), "nothing_at_all")
    model.graph.initializer.append(nan)
    model.graph.node.append(node)
    for each in model.graph.node:
        for names in (each.input, each.output):
            names[:] = [{"gravity": "right", "wrong": "gravity"}.get(name, name) for name in names]
    return model


def test_a_gravity_of_another_width_is_refused(path: Path) -> None:
    model = with_gravity_from(helper.make_node("Concat", ["gravity", "goal"], ["wrong"], axis=1))
    model.graph.output[2].type.tensor_type.shape.dim[1].dim_value = 6
    assert "gravity must have shape [batch, 3]; got ['batch', 6]" in refusal(path, model)


def test_a_gravity_of_another_number_of_states_is_refused(path: Path) -> None:
    first = helper.make_node("Slice", ["gravity", "zero", "one", "zero"], ["wrong"])
    sentence = refusal(path, with_gravity_from(first))
    assert "the graph's gravity must have shape [4, 3]; got [1, 3]" in sentence


@pytest.mark.parametrize(
    ("other_input", "reason"),
    [
        ("nothing_at_all", "output gravity must be finite"),
        ("joint_velocity", "the gravity of {} must follow from joint_position alone"),
        ("goal", "the gravity of {} must follow from joint_position alone"),
    ],
)
def test_a_gravity_that_is_not_finite_or_not_of_the_position_alone_is_refused(
    path: Path, other_input: str, reason: str
) -> None:
    model = with_gravity_from(helper.make_node("Add", ["gravity", other_input], ["wrong"]))
    sentence = refusal(path, model)
    assert any(reason.format(name) in sentence for name in JOINTS)


@pytest.mark.parametrize("shape", [[1, 3], ["batch", 4], ["batch", "n"], [3]])
def test_a_wrong_input_shape_is_refused(path: Path, shape: list[int | str]) -> None:
    model = tiny_model(tiny_spec())
    model.graph.input[1].CopyFrom(
        helper.make_tensor_value_info("joint_velocity", TensorProto.FLOAT, shape)
    )
    sentence = refusal(path, model)
    assert "joint_velocity must have shape [batch, 3]" in sentence or "refused" in sentence


def test_a_double_input_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    sentence = refusal(path, model)
    assert "must be float32" in sentence or "is refused by onnxruntime" in sentence


def test_a_spec_of_another_arm_does_not_fit_the_graph(path: Path) -> None:
    model = tiny_model(tiny_spec(), spec_json=tiny_spec(("a", "b")).to_json())
    assert "joint_position must have shape [batch, 2]; got ['batch', 3]" in refusal(path, model)


def test_a_graph_that_fails_its_self_test_is_refused(path: Path) -> None:
    sentence = refusal(path, tiny_model(tiny_spec(gain=1.0), gain=1.01))
    assert "the self test fails, " in sentence
    assert "N·m in state" in sentence


def test_a_self_test_without_the_graphs_inputs_is_refused(path: Path) -> None:
    sentence = refusal(path, tiny_model(tiny_spec(), state_size=3))
    assert "field self_test.inputs must have the graph's inputs" in sentence


def test_a_torque_that_is_not_finite_is_refused(path: Path) -> None:
    model = tiny_model(tiny_spec(), gain=float("nan"))
    assert "output torque must be finite" in refusal(path, model)


def test_a_torque_beyond_the_limit_is_refused(path: Path) -> None:
    spec = tiny_spec()
    low = (0.01, 20.0, 10.0)
    spec = dataclasses.replace(spec, torque_limit=low, brake_limit=(0.01, 10.0, 5.0))
    assert "the torque of shoulder must stay within ±0.01 N·m" in refusal(path, tiny_model(spec))


def test_loading_needs_numpy_and_onnxruntime_alone(path: Path) -> None:
    write_tiny_policy(path)
    code = (
        "import sys\n"
        "from sac_ros.policy.runtime import Policy\n"
        f"Policy.load({str(path)!r})([0.0] * 3, [0.0] * 3, [0.0] * 3)\n"
        "heavy = {'torch', 'pybullet', 'gymnasium', 'onnx', 'rclpy', 'yaml'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    root = Path(runtime.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_without_a_crash(content: bytes) -> None:
    with pytest.raises(PolicyFileError):
        refuse_unsafe(content, "policy file x")


class Spy:
    """A session that records what it is asked."""

    def __init__(self, session: Any) -> None:
        self.session, self.feeds = session, []

    def run(self, outputs: list[str], feeds: dict[str, np.ndarray], options: Any) -> Any:
        self.feeds.append(feeds)
        return self.session.run(outputs, feeds, options)


def test_gravity_is_asked_for_at_rest_and_in_the_middle_of_the_goals_range(path: Path) -> None:
    goal = GoalSpec(("x", "y", "z"), "m", "base", (-1.0, 0.0, 0.5), (1.0, 0.5, 1.5), 0.02)
    write_tiny_policy(
        path, gravity_compensation="policy", state_size=5, moving_goal=True, goal=goal
    )
    policy = Policy.load(path)
    policy._session = spy = Spy(policy._session)
    policy.gravity(np.ones((2, 3)))
    (feeds,) = spy.feeds
    np.testing.assert_array_equal(feeds["joint_position"], np.ones((2, 3)))
    np.testing.assert_array_equal(feeds["joint_velocity"], np.zeros((2, 3)))
    np.testing.assert_array_equal(feeds["goal"], [[0.0, 0.25, 1.0]] * 2)
    np.testing.assert_array_equal(feeds["goal_velocity"], np.zeros((2, 3)))
    np.testing.assert_array_equal(feeds["state"], np.zeros((2, 5)))


def with_gravity_that_moves(change: list[float], tolerance: float) -> onnx.ModelProto:
    """A model whose gravity has some of the joint velocity in it."""
    spec = tiny_spec(gravity_compensation="policy")
    spec = dataclasses.replace(
        spec, self_test=dataclasses.replace(spec.self_test, tolerance=tolerance)
    )
    model = tiny_model(spec)
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array(change, np.float32), "change")
    )
    for each in model.graph.node:
        for names in (each.input, each.output):
            names[:] = [{"gravity": "right"}.get(name, name) for name in names]
    model.graph.node.append(helper.make_node("Mul", ["joint_velocity", "change"], ["moved"]))
    model.graph.node.append(helper.make_node("Add", ["right", "moved"], ["gravity"]))
    return model


def test_gravity_may_change_by_the_tolerance_of_the_torque_limit(path: Path) -> None:
    path.write_bytes(with_gravity_that_moves([0.0, 0.0, 0.05], 0.01).SerializeToString())
    assert Policy.load(path).spec.torque_limit[2] == 10.0  # at most 0.005 of it


def test_the_joint_whose_gravity_changes_most_is_named(path: Path) -> None:
    sentence = refusal(path, with_gravity_that_moves([0.0, 0.0, 0.3], 0.01))
    assert "the gravity of wrist must follow from joint_position alone" in sentence


def test_an_inference_may_take_exactly_half_a_period(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_policy(path, control_rate_hz=64.0)
    clock = itertools.count()
    monkeypatch.setattr(runtime.time, "perf_counter", lambda: next(clock) / 128.0)
    assert Policy.load(path).spec.control_rate_hz == 64.0


def test_a_reason_of_onnxruntime_is_cut_to_300_characters(path: Path) -> None:
    model = tiny_model(tiny_spec())
    model.graph.node[-1].op_type = "NoSuchOperator" * 50
    reason = refusal(path, model).partition("is refused by onnxruntime: ")[2]
    assert len(reason) == 300


def test_the_joint_that_is_furthest_beyond_its_limit_is_named(path: Path) -> None:
    largest = np.abs(tiny_spec().self_test.torque).max(axis=0)
    limit = tuple((largest * [1.5, 0.99, 0.9]).tolist())
    spec = dataclasses.replace(tiny_spec(), torque_limit=limit, brake_limit=(0.1, 0.1, 0.1))
    sentence = refusal(path, tiny_model(spec))
    assert f"the torque of wrist must stay within ±{limit[2]:g} N·m" in sentence
    assert f"{largest[2]:g}" in sentence


def test_the_graphs_outputs_may_stand_in_any_order(path: Path) -> None:
    model = tiny_model(tiny_spec(gravity_compensation="policy"))
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend(reversed(outputs))
    path.write_bytes(model.SerializeToString())
    policy = Policy.load(path)
    expected = Policy.load(write_tiny_policy(path, gravity_compensation="policy"))
    state = np.full(3, 0.3), np.full(3, -0.1), np.full(3, 0.5)
    for found, right in zip(policy.answer(*state)[:3], expected.answer(*state)[:3], strict=True):
        np.testing.assert_array_equal(found, right)


SHIFT = 0.5  # N·m per rad


def with_torque_of_the_batch(first_row_alone: bool) -> onnx.ModelProto:
    """A model whose torque has the mean position of all states at once in it.

    Its self test has the torques of the batch, the first of them those of a single state.
    """
    spec = tiny_spec()
    torque = np.array(spec.self_test.torque)
    position = np.array(spec.self_test.inputs["joint_position"])
    shift = np.broadcast_to(SHIFT * position.mean(axis=0), torque.shape).copy()
    if first_row_alone:
        shift[0] = SHIFT * position[0]
    test = dataclasses.replace(
        spec.self_test, torque=tuple(map(tuple, (torque + shift).tolist())), tolerance=1e-5
    )
    model = tiny_model(dataclasses.replace(spec, self_test=test))
    model.graph.node[-1].output[0] = "alone"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(SHIFT, np.float32), "by"))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["joint_position"], ["mean"], axes=[0]),
            helper.make_node("Mul", ["mean", "by"], ["shift"]),
            helper.make_node("Add", ["alone", "shift"], ["torque"]),
        ]
    )
    return model


@pytest.mark.parametrize("first_row_alone", [False, True])
def test_a_graph_that_answers_a_state_otherwise_among_others_is_refused(
    path: Path, first_row_alone: bool
) -> None:
    sentence = refusal(path, with_torque_of_the_batch(first_row_alone))
    assert "the self test fails, " in sentence
    assert "N·m in state 0; got" in sentence


def test_the_joint_and_the_state_that_miss_the_self_test_most_are_named(path: Path) -> None:
    spec = tiny_spec()
    torque = [list(row) for row in spec.self_test.torque]
    torque[1][0] += 0.01  # a share of 30 N·m
    torque[2][2] += 0.005  # of 10 N·m
    test = dataclasses.replace(spec.self_test, torque=tuple(map(tuple, torque)))
    sentence = refusal(path, tiny_model(dataclasses.replace(spec, self_test=test)))
    assert f"wrist must get {torque[2][2]:g} N·m in state 2; got" in sentence


def test_an_inference_runs_in_one_thread_of_the_cpu_and_logs_nothing(path: Path) -> None:
    session = Policy.load(write_tiny_policy(path))._session
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.execution_mode == runtime.onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.log_severity_level == 4
    assert session.get_providers() == ["CPUExecutionProvider"]


class Counted(io.BytesIO):
    """A file that notes how much of it is asked for at once."""

    asked: int | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.asked = size
        return super().read(size)


def test_a_file_of_the_largest_size_is_read_and_no_more_than_one_byte_beyond(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_tiny_policy(path).read_bytes()
    file = Counted(content)
    files = iter([file, Counted(content)])
    monkeypatch.setattr(runtime, "MAXIMUM_FILE_BYTES", len(content))
    monkeypatch.setattr(Path, "open", lambda *_: next(files))
    assert runtime.read_model(path, "policy file x") == content
    assert file.asked == len(content) + 1
    monkeypatch.setattr(runtime, "MAXIMUM_FILE_BYTES", len(content) - 1)
    with pytest.raises(PolicyFileError, match="policy file x must be at most 0 MiB"):
        runtime.read_model(path, "policy file x")
