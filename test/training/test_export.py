# SPDX-License-Identifier: Apache-2.0
"""The export is a gate: the file is right, or there is none."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_call import ExportCall, export_call

from sac_ros.policy.runtime import Policy
from sac_ros.policy.spec import SPEC_KEY, RememberedTorque
from sac_ros.utils.errors import PolicyFileError

TOLERANCE = 1e-4


@pytest.fixture(scope="module", params=["robot", "policy"])
def call(request: pytest.FixtureRequest) -> Iterator[ExportCall]:
    made = export_call(request.param)
    yield made
    made.env.close()


@pytest.fixture(scope="module")
def exported(call: ExportCall, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return call.to(tmp_path_factory.mktemp("export") / "policy.onnx")


# ---- the file ----------------------------------------------------------------------------------


def test_one_file_comes_out(exported: Policy) -> None:
    assert [path.name for path in exported.path.parent.iterdir()] == ["policy.onnx"]


def test_the_file_answers_as_the_torch_actor_does_over_the_gates_states(
    call: ExportCall, exported: Policy
) -> None:
    torque, action = exported(**call.states.inputs)
    with torch.no_grad():
        expected = call.graph.actor.deterministic(torch.from_numpy(call.states.observation))
    np.testing.assert_allclose(action, expected, atol=1e-4)
    limit = call.env.arm.torque_limit
    of_simulator = call.states.answer(expected.numpy())[0]
    assert np.max(np.abs(torque - of_simulator) / limit) <= TOLERANCE


def test_a_batch_and_its_rows_one_by_one_give_the_same(call: ExportCall, exported: Policy) -> None:
    rows = {name: values[:5] for name, values in call.states.inputs.items()}
    together, _ = exported(**rows)
    for index in range(5):
        single, _ = exported(**{name: values[index] for name, values in rows.items()})
        np.testing.assert_allclose(single, together[index], rtol=1e-5, atol=1e-5)


def test_the_graph_uses_standard_operators_of_opset_17_or_later_alone(exported: Policy) -> None:
    model = onnx.load(str(exported.path), load_external_data=False)
    assert [(each.domain, each.version >= 17) for each in model.opset_import] == [("", True)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_inputs_and_outputs_are_those_of_the_contract(exported: Policy) -> None:
    graph = onnx.load(str(exported.path)).graph

    def shapes(ports: Any) -> dict[str, list[Any]]:
        dims = {port.name: port.type.tensor_type.shape.dim for port in ports}
        return {name: [d.dim_param or d.dim_value for d in each] for name, each in dims.items()}

    assert shapes(graph.input) == {
        "joint_position": ["batch", 7],
        "joint_velocity": ["batch", 7],
        "goal": ["batch", 3],
        "state": ["batch", 7],
    }
    gravity = ["gravity"] if exported.spec.gravity_compensation == "policy" else []
    names = ["torque", "action", *gravity, "next_state"]
    assert shapes(graph.output) == {name: ["batch", 7] for name in names}


def test_the_state_is_the_previous_action(call: ExportCall, exported: Policy) -> None:
    answer = exported.answer(**call.states.inputs)
    np.testing.assert_array_equal(answer.next_state, answer.action)


def test_what_a_stop_may_brake_with_is_the_arms_own(call: ExportCall, exported: Policy) -> None:
    spec, arm = exported.spec, call.env.arm
    assert spec.goal.tolerance == 0.02
    np.testing.assert_array_equal(spec.stop_damping, arm.stop_damping)
    np.testing.assert_array_equal(spec.brake_limit, arm.brake_limit)
    assert (np.array(spec.brake_limit) <= 0.5 * np.array(spec.torque_limit)).all()


def test_the_metadata_keeps_full_precision(call: ExportCall, exported: Policy) -> None:
    spec, arm = exported.spec, call.env.arm
    np.testing.assert_array_equal(spec.position_limit, arm.position_limit)
    np.testing.assert_array_equal(spec.velocity_limit, arm.velocity_limit)
    np.testing.assert_array_equal(spec.torque_limit, arm.torque_limit)
    np.testing.assert_array_equal(spec.action_scale, call.env.action_scale)
    given, read = (json.loads(json.dumps(dataclasses.asdict(each))) for each in (call.spec, spec))
    assert {**read, "self_test": None} == {**given, "self_test": None}
    written = {e.key: e.value for e in onnx.load(str(exported.path)).metadata_props}
    plain = [float(text) for text in written["action_scale"].split(",")]
    np.testing.assert_array_equal(plain, call.env.action_scale)
    home = [float(text) for text in written["default_joint_pos"].split(",")]
    np.testing.assert_array_equal(home, arm.home)
    assert written["joint_names"].split(",") == list(arm.joint_names)
    assert json.loads(written[SPEC_KEY])["schema_version"] == 2


def test_the_file_says_who_holds_the_arm_up(call: ExportCall, exported: Policy) -> None:
    assert exported.spec.gravity_compensation == call.env.gravity_compensation


def test_what_the_file_adds_to_the_action_is_bullets_gravity_torque_to_a_millionth(
    call: ExportCall, exported: Policy
) -> None:
    arm, backend = call.env.arm, call.env.plants[0].backend
    inputs = {**call.states.inputs, "joint_velocity": np.zeros((1000, 7), np.float32)}
    torque, action = exported(**inputs)
    added = torque - action.astype(np.float64) * call.env.action_scale
    expected = np.array([backend.gravity_torque(q) for q in inputs["joint_position"]])
    if call.env.gravity_compensation == "robot":
        expected = 0.0 * expected
    assert np.all(np.abs(added - expected) <= 1e-6 * arm.torque_limit)


def test_the_gravity_that_the_file_tells_is_bullets_to_a_millionth_of_the_limit(
    call: ExportCall, exported: Policy
) -> None:
    position = call.states.inputs["joint_position"]
    told = exported.gravity(position)
    if call.env.gravity_compensation == "robot":
        assert told is None
        return
    expected = np.array([call.env.plants[0].backend.gravity_torque(q) for q in position])
    assert told is not None
    assert told.dtype == np.float32
    # In single precision, as all of the graph.
    assert np.all(np.abs(told - expected) <= 1e-6 * call.env.arm.torque_limit)


def test_the_self_test_holds_real_states_and_their_torques(
    call: ExportCall, exported: Policy
) -> None:
    test = exported.spec.self_test
    torque, _ = exported(**{name: np.array(rows) for name, rows in test.inputs.items()})
    limit = call.env.arm.torque_limit
    assert len(test.torque) >= 4
    assert np.max(np.abs(torque - np.array(test.torque)) / limit) <= test.tolerance == TOLERANCE
    assert np.abs(test.torque).max() > 0.01 * limit.min()  # an all-zero graph would not pass


BARE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not on this robot", name=name)

BLOCKED = {"torch", "onnx", "pybullet", "pybullet_data", "gymnasium", "rclpy", "yaml", "scipy",
           "matplotlib", "PIL", "tensorboard", "tqdm"}
sys.meta_path.insert(0, Nothing())
import json
import numpy as np
"""


@pytest.mark.parametrize("runtime", ["bare onnxruntime", "sac_ros.policy"])
def test_it_runs_where_there_is_only_numpy_and_onnxruntime(exported: Policy, runtime: str) -> None:
    open_and_ask = {
        "bare onnxruntime": (
            "import onnxruntime\n"
            "session = onnxruntime.InferenceSession(PATH, providers=['CPUExecutionProvider'])\n"
            f"spec = json.loads(session.get_modelmeta().custom_metadata_map['{SPEC_KEY}'])\n"
            "inputs = spec['self_test']['inputs'].items()\n"
            "feeds = {name: np.array(rows, np.float32) for name, rows in inputs}\n"
            "torque = session.run(['torque'], feeds)[0]\n"
        ),
        "sac_ros.policy": (
            "from sac_ros.policy.runtime import Policy\n"
            "policy = Policy.load(PATH)\n"
            "torque, _ = policy(**policy.spec.self_test.inputs)\n"
        ),
    }
    code = f"{BARE}PATH = {str(exported.path)!r}\n{open_and_ask[runtime]}print(torque.tolist())"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0
    )
    assert ended.returncode == 0, ended.stderr
    difference = np.array(json.loads(ended.stdout)) - exported.spec.self_test.torque
    assert np.max(np.abs(difference) / exported.spec.torque_limit) <= TOLERANCE


# ---- the gate ----------------------------------------------------------------------------------


def spoilt(call: ExportCall, **changes: Any) -> ExportCall:
    return dataclasses.replace(call, **{"graph": copy.deepcopy(call.graph), **changes})


def wrong_scale(call: ExportCall) -> ExportCall:
    broken = spoilt(call)
    scale = 1.01 * call.env.action_scale
    broken.graph._memory = dataclasses.replace(call.env.memory, action_scale=scale)
    return broken


def wrong_kinematics(call: ExportCall) -> ExportCall:
    broken = spoilt(call)
    chain = call.env.arm.chain
    return with_arm(
        broken,
        chain=dataclasses.replace(
            chain, end_effector_translation=chain.end_effector_translation + 0.01
        ),
    )


def with_arm(broken: ExportCall, **changes: Any) -> ExportCall:
    """With other properties of the arm in the graph alone."""
    task = copy.copy(broken.graph._task)
    task.arm = dataclasses.replace(task.arm, **changes)
    broken.graph._task = task
    return broken


def wrong_gravity(call: ExportCall) -> ExportCall:
    """A link 1 % heavier than the simulator's; or gravity in a policy that must not have it."""
    broken = spoilt(call)
    if not broken.graph._holds_gravity:
        broken.graph._holds_gravity = True
        return broken
    return with_arm(broken, bodies=call.env.arm.bodies.scaled(1.01))


def wrong_told_gravity(call: ExportCall) -> ExportCall:
    """What the filter would hold the arm by, while the torque itself is right."""
    broken = spoilt(call)
    if not broken.graph._holds_gravity:
        return wrong_gravity(call)
    right = type(broken.graph).forward

    class Wrong(type(broken.graph)):  # type: ignore[misc]
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            torque, action, gravity, state = right(self, *inputs)
            return torque, action, 1.01 * gravity, state

    broken.graph.__class__ = Wrong
    return broken


def wrong_next_state(call: ExportCall) -> ExportCall:
    broken = spoilt(call)
    right = type(broken.graph).forward

    class Wrong(type(broken.graph)):  # type: ignore[misc]
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            *others, state = right(self, *inputs)
            return *others, 0.999 * state

    broken.graph.__class__ = Wrong
    return broken


def wrong_velocity_unit(call: ExportCall) -> ExportCall:
    return with_arm(spoilt(call), velocity_limit=57.3 * call.env.arm.velocity_limit)


def other_encoding(call: ExportCall) -> ExportCall:
    observation = call.states.observation.copy()
    goal, offset = (call.env.task.columns(name) for name in ("goal", "goal_offset"))
    observation[:, goal], observation[:, offset] = (
        call.states.observation[:, offset],
        call.states.observation[:, goal],
    )
    return spoilt(call, states=dataclasses.replace(call.states, observation=observation))


def nan_weight(call: ExportCall) -> ExportCall:
    broken = spoilt(call)
    with torch.no_grad():
        next(broken.graph.actor.parameters())[0] = float("nan")
    return broken


FAULTS = [
    *(wrong_scale, wrong_kinematics, wrong_gravity, wrong_told_gravity, wrong_next_state),
    *(wrong_velocity_unit, other_encoding, nan_weight),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_graph_that_is_not_the_actor_is_refused_and_leaves_no_file(
    call: ExportCall, fault: Callable[[ExportCall], ExportCall], tmp_path: Path
) -> None:
    path = tmp_path / "policy.onnx"
    with pytest.raises(PolicyFileError) as refused:
        fault(call).to(path)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_in_a_single_state_of_all_is_found(call: ExportCall, tmp_path: Path) -> None:
    observation = call.states.observation.copy()
    observation[937] += 0.2
    broken = spoilt(call, states=dataclasses.replace(call.states, observation=observation))
    with pytest.raises(PolicyFileError, match=r"is not written: over 1000 states .* by up to"):
        broken.to(tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_leaves_the_policy_that_was_there(
    call: ExportCall, exported: Policy, tmp_path: Path
) -> None:
    path = tmp_path / "policy.onnx"
    path.write_bytes(exported.path.read_bytes())
    with pytest.raises(PolicyFileError):
        wrong_scale(call).to(path)
    assert Policy.load(path).sha256 == exported.sha256
    assert [file.name for file in tmp_path.iterdir()] == ["policy.onnx"]


def test_an_exporter_that_writes_a_second_file_is_refused(
    call: ExportCall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.onnx.export

    def with_data(graph: Any, example: Any, file: Path, **options: Any) -> None:
        real(graph, example, file, **options)
        Path(f"{file}.data").write_bytes(b"weights")

    monkeypatch.setattr(torch.onnx, "export", with_data)
    with pytest.raises(PolicyFileError, match=r"must export one file; it wrote .*\.onnx\.data"):
        call.to(tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


# ---- more memory -------------------------------------------------------------------------------


def test_a_policy_that_remembers_more_answers_and_remembers_as_the_simulator_does(
    tmp_path: Path,
) -> None:
    call = export_call("policy", action_history=3, observer_rate=2.0)
    exported = call.to(tmp_path / "policy.onnx")
    assert exported.state_size == 4 * call.env.arm.joints
    answer = exported.answer(**call.states.inputs)
    torque, remembered = call.states.answer(answer.action)
    limit = call.env.arm.torque_limit
    assert np.max(np.abs(answer.torque - torque) / limit) <= TOLERANCE
    np.testing.assert_allclose(answer.next_state, remembered, atol=1e-5)
    offset, gain = call.env.memory.remembered_torque or (0, np.zeros(0))
    assert exported.spec.remembered_torque == RememberedTorque(offset, tuple(gain.tolist()))
    broken = spoilt(call)
    broken.graph._memory = dataclasses.replace(call.env.memory, observer_rate=2.1)
    with pytest.raises(PolicyFileError):
        broken.to(tmp_path / "broken.onnx")
    call.env.close()
