# SPDX-License-Identifier: Apache-2.0
"""The policy spec: exact round trips, and every field refused by name when it is wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_policy import tiny_spec

from sac_ros.policy.safety_config import JointLimits, SafetyConfig
from sac_ros.policy.spec import GoalSpec, ObservationTerm, PolicySpec, RememberedTorque
from sac_ros.robots.arm import load_arm
from sac_ros.training.policy_file import arm_model
from sac_ros.utils.errors import PolicyFileError

SOURCE = "policy file a.onnx"

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-300, 100.0)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
pair = st.tuples(*[st.floats(-1e3, 1e3)] * 2).filter(lambda p: p[0] < p[1])


@st.composite
def specs(draw: st.DrawFn) -> PolicySpec:
    n = draw(st.integers(1, 8))
    per_joint = st.tuples(*[positive] * n)
    torque_limit = draw(per_joint)
    names = draw(st.lists(text, min_size=n, max_size=n, unique=True))
    low_high = draw(st.tuples(pair, pair, pair))
    return dataclasses.replace(
        tiny_spec(
            tuple(names), state_size=draw(st.integers(0, 9)), moving_goal=draw(st.booleans())
        ),
        name=draw(text),
        torque_limit=torque_limit,
        brake_limit=tuple(draw(st.floats(1e-300, limit)) for limit in torque_limit),
        stop_damping=draw(per_joint),
        velocity_limit=draw(per_joint),
        action_scale=draw(per_joint),
        position_limit=draw(st.tuples(*[pair] * n)),
        control_rate_hz=draw(st.floats(1.0, 1000.0)),
        gravity_compensation=draw(st.sampled_from(["robot", "policy"])),
        goal=GoalSpec(
            ("x", "y", "z"),
            "m",
            draw(text),
            tuple(low for low, _ in low_high),
            tuple(high for _, high in low_high),
            draw(positive),
        ),
        training=draw(st.dictionaries(text, st.one_of(finite, text, st.booleans(), st.none()))),
        remembered_torque=draw(
            st.none() | st.builds(RememberedTorque, st.integers(0, 99), per_joint)
        ),
    )


def changed(path: str, value: Any) -> str:
    """The tiny spec as JSON with one field replaced; ``...`` removes it."""
    fields = json.loads(tiny_spec().to_json())
    *parents, last = path.split(".")
    owner = fields
    for parent in parents:
        owner = owner[int(parent)] if isinstance(owner, list) else owner[parent]
    if value is ...:
        del owner[last]
    else:
        owner[last] = value
    return json.dumps(fields)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(specs())
def test_json_round_trips_exactly(spec: PolicySpec) -> None:
    assert PolicySpec.from_json(spec.to_json(), SOURCE) == spec


def test_the_json_starts_with_the_schema_version_and_follows_the_contract() -> None:
    names = list(json.loads(tiny_spec().to_json()))
    assert names[:4] == ["schema_version", "name", "arm", "package_version"]
    assert names[-3:] == ["self_test", "arm_model", "remembered_torque"]


def test_who_carries_a_torque_can_ask_for_four_times_that_of_an_action_up_to_the_limit() -> None:
    plain = tiny_spec(torque_limit=(10.0, 3.0), action_scale=(1.0, 1.0))
    carries = dataclasses.replace(
        plain, observation=(*plain.observation, ObservationTerm("carried_torque", 2))
    )
    assert plain.authority == (1.0, 1.0)
    assert carries.authority == (4.0, 3.0)


def test_the_model_of_the_arm_may_be_missing() -> None:
    assert PolicySpec.from_json(changed("arm_model", ...), SOURCE).arm_model is None


def test_the_model_of_an_arm_round_trips_and_gives_its_mass_matrix_in_any_order() -> None:
    arm = load_arm("panda")
    order = np.random.default_rng(0).permutation(arm.joints)
    spec = tiny_spec(tuple(arm.joint_names[i] for i in order), arm_model=arm_model(arm))
    read = PolicySpec.from_json(spec.to_json(), SOURCE)
    assert read == spec
    matrix = JointLimits.of(read, SafetyConfig()).mass_matrix
    assert matrix is not None
    positions = np.random.default_rng(1).uniform(-2.0, 2.0, (5, arm.joints))
    expected = arm.bodies.mass_matrix(arm.chain, arm.chain.frames_at(positions))
    found = matrix(positions[:, order])
    np.testing.assert_allclose(found, expected[:, order][:, :, order], atol=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("joint_names", ["a", "b"], "the policy's joints"),
        ("mass", [1.0], "a list of 7 numbers"),
        ("inertia", [[1.0] * 9] * 6, "a list of 7 rows"),
        ("axis", [[1.0, 0.0]] * 7, "rows of 3 numbers"),
    ],
)
def test_a_model_of_another_arm_is_refused(field: str, value: Any, expected: str) -> None:
    arm = load_arm("panda")
    fields = json.loads(tiny_spec(arm.joint_names, arm_model=arm_model(arm)).to_json())
    fields["arm_model"][field] = value
    with pytest.raises(PolicyFileError, match=f"field arm_model.{field} must be .*{expected}"):
        PolicySpec.from_json(json.dumps(fields), SOURCE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"offset": -1, "gain": [1.0] * 3}, "offset must be a whole number of at least 0"),
        ({"offset": 0, "gain": [1.0] * 2}, "gain must be a list of 3 numbers above 0"),
        ({"offset": 0, "gain": [1.0, 0.0, 1.0]}, "gain must be a list of 3 numbers above 0"),
    ],
)
def test_a_place_where_no_torque_can_be_remembered_is_refused(
    value: dict[str, Any], expected: str
) -> None:
    spec = PolicySpec.from_json(changed("remembered_torque", ...), SOURCE)
    assert spec.remembered_torque is None
    with pytest.raises(PolicyFileError, match=f"field remembered_torque.{expected}"):
        PolicySpec.from_json(changed("remembered_torque", value), SOURCE)


@pytest.mark.parametrize(
    "field",
    [
        each.name
        for each in dataclasses.fields(PolicySpec)
        if each.name not in ("arm_model", "remembered_torque")
    ],
)
def test_a_missing_field_is_refused_by_name(field: str) -> None:
    with pytest.raises(PolicyFileError) as error:
        PolicySpec.from_json(changed(field, ...), SOURCE)
    assert str(error.value).startswith(f"{SOURCE}: field {field} is missing, it must be ")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "schema_version",
            1,
            "2 (`convert_policy OLD.onnx NEW.onnx` converts a file of schema 1)",
        ),
        ("schema_version", "1", "a whole number"),
        ("schema_version", 0, "2 (`convert_policy"),
        ("schema_version", -1, "a whole number of at least 0; got -1"),
        ("name", "", "a text that is not empty; got ''"),
        ("name", 3, "a text"),
        ("joint_names", [], "a list of different texts"),
        ("joint_names", ["a", "b", "a"], "a list of different texts"),
        ("joint_names", "abc", "a list of different texts"),
        ("joint_names", ["a", "", "b"], "a list of different texts"),
        ("joint_names", ["a", 1, "b"], "a list of different texts"),
        ("torque_limit", [1.0, 2.0], "a list of 3 numbers above 0; got [1.0, 2.0]"),
        ("torque_limit", [1.0, 2.0, 0.0], "a list of 3 numbers above 0"),
        ("torque_limit", [1.0, 2.0, -1.0], "a list of 3 numbers above 0"),
        ("torque_limit", [1.0, 2.0, True], "a list of 3 numbers above 0"),
        ("torque_limit", [1, 2, 10**400], "a list of 3 numbers above 0"),
        ("velocity_limit", [[1.0], 2.0, 3.0], "a list of 3 numbers above 0"),
        ("action_scale", None, "a list of 3 numbers above 0; got None"),
        ("position_limit", [[0, 1]] * 2, "a list of 3 pairs"),
        ("position_limit", [[0, 1], [0, 1], [1, 1]], "low < high"),
        ("position_limit", [[0, 1], [0, 1], [0]], "a list of rows of 2 numbers"),
        ("control_rate_hz", 0, "a number above 0; got 0"),
        ("control_rate_hz", 1e-9, "within 1 to 2000; got 1e-09"),
        ("torque_limit", [1e9, 1e9, 1e9], "within 0 to 10000"),
        ("velocity_limit", [1.0, 1.0, 1e9], "within 0 to 100"),
        ("position_limit", [[-1e9, 1.0], [0.0, 1.0], [0.0, 1.0]], "within -1000 to 1000"),
        ("self_test.tolerance", 1e9, "at most 0.01; got 1000000000.0"),
        ("control_rate_hz", "60", "a number above 0; got '60'"),
        ("gravity_compensation", "none", "one of robot, policy; got 'none'"),
        ("goal", 3, "an object; got 3"),
        ("goal.fields", [], "a list of different texts"),
        ("goal.low", [0.0], "a list of 3 numbers"),
        ("goal.high", [-1.0, 1.0, 1.0], "above low"),
        ("goal.tolerance", 0.0, "a number above 0; got 0.0"),
        ("goal.tolerance", ..., "is missing"),
        ("stop_damping", [1.0, 2.0, 0.0], "a list of 3 numbers above 0"),
        ("stop_damping", [1.0, 2.0], "a list of 3 numbers above 0"),
        ("brake_limit", [1.0, 2.0, -1.0], "a list of 3 numbers above 0"),
        (
            "brake_limit",
            [1.0, 20.5, 1.0],
            "at most torque_limit, [30.0, 20.0, 10.0]; got [1.0, 20",
        ),
        ("observation", [], "a list of objects"),
        ("observation", [1], "a list of objects"),
        ("observation", {}, "a list of objects"),
        ("observation.0.size", 0, "a whole number of at least 1; got 0"),
        ("observation.0.size", True, "a whole number of at least 1; got True"),
        ("observation.0.size", 1.0, "a whole number of at least 1; got 1.0"),
        ("training_range.percentiles", [99, 1], "low < high"),
        ("training_range.joint_velocity", [[0, 1]], "a list of 3 pairs"),
        ("training", [], "an object"),
        ("self_test.tolerance", 0, "a number above 0"),
        ("training_range.percentiles", [50, 50], "low < high"),
        ("training_range.percentiles", [-0.1, 50], "0 <= low"),
        ("training_range.percentiles", [0, 100.1], "high <= 100"),
        ("self_test.torque", 3, "rows of 3 numbers"),
        ("self_test.torque", [[0, 0]], "rows of 3 numbers"),
        ("self_test.torque", [[0, 0, 0]], "as many rows of joint_position as of torque (1)"),
        ("self_test.inputs.goal", ..., "is missing"),
        ("self_test.inputs.goal", [[1.0, 2.0]] * 4, "rows of 3 numbers"),
        ("self_test.inputs.joint_position", [[1.0, 2.0]] * 4, "rows of 3 numbers"),
        ("self_test.inputs.joint_velocity", [[1.0, 2.0]] * 4, "rows of 3 numbers"),
        ("self_test.inputs.state", [[1.0], [1.0, 2.0]], "rows of equally many numbers"),
        ("self_test.inputs.state", [1.0], "rows of equally many numbers"),
        ("self_test.inputs.state", [[1.0]], "as many rows of state as of torque (4)"),
        ("self_test.inputs.goal_velocity", [[1.0]] * 4, "rows of 3 numbers"),
    ],
)
def test_a_wrong_field_is_refused_with_what_was_expected(
    path: str, value: Any, expected: str
) -> None:
    with pytest.raises(PolicyFileError) as error:
        PolicySpec.from_json(changed(path, value), SOURCE)
    sentence = str(error.value)
    assert sentence.startswith(f"{SOURCE}: field ")
    assert path.split(".")[0] in sentence
    assert expected in sentence


@pytest.mark.parametrize("path", ["torqe_limit", "goal.size", "self_test.inputs.effort"])
def test_an_unknown_field_is_refused_with_the_known_ones(path: str) -> None:
    with pytest.raises(PolicyFileError, match=r"is unknown \(fields: "):
        PolicySpec.from_json(changed(path, 1), SOURCE)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"name": NaN}', '{"a": 1e999}'])
def test_what_is_not_a_finite_json_object_is_refused(text: str) -> None:
    with pytest.raises(PolicyFileError, match="must hold one JSON object"):
        PolicySpec.from_json(text, SOURCE)


def test_a_deeply_nested_text_is_refused_and_not_a_crash() -> None:
    with pytest.raises(PolicyFileError):
        PolicySpec.from_json("[" * 100_000, SOURCE)


@pytest.mark.parametrize(
    "change",
    [{"torque_limit": (1.0,)}, {"training": {"loss": math.nan}}, {"gravity_compensation": "mars"}],
)
def test_an_invalid_spec_cannot_be_written(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyFileError):
        dataclasses.replace(tiny_spec(), **change).to_json()


def test_plain_keys_keep_full_precision() -> None:
    spec = dataclasses.replace(tiny_spec(), action_scale=(0.1, 1 / 3, 2e-7))
    plain = spec.plain_metadata(default_joint_pos=(0.0, 1 / 3, -1.0))
    assert plain["joint_names"] == "shoulder,elbow,wrist"
    assert plain["observation_names"] == "joint_position,goal"
    assert tuple(map(float, plain["action_scale"].split(","))) == spec.action_scale
    assert float(plain["default_joint_pos"].split(",")[1]) == 1 / 3


@pytest.mark.parametrize(
    ("field", "lowest", "highest", "beyond"),
    [
        ("torque_limit", [1e-300] * 3, [1e4] * 3, [1.0, 10001.0, 1.0]),
        ("velocity_limit", [1e-300] * 3, [100.0] * 3, [1.0, 101.0, 1.0]),
        ("action_scale", [1e-300] * 3, [1e4] * 3, [1.0, 10001.0, 1.0]),
        ("position_limit", [[-1e3, 0]] * 3, [[0, 1e3]] * 3, [[0, 1], [0, 1001], [0, 1]]),
        ("position_limit", [[-1e3, 0]] * 3, [[0, 1e3]] * 3, [[0, 1], [-1001, 0], [0, 1]]),
        ("control_rate_hz", 1.0, 2e3, 0.99),
        ("control_rate_hz", 1.0, 2e3, 2001.0),
    ],
)
def test_a_limit_may_be_as_large_as_any_arms_and_no_larger(
    field: str, lowest: Any, highest: Any, beyond: Any
) -> None:
    def read(value: Any) -> PolicySpec:
        fields = json.loads(changed(field, value))
        fields["brake_limit"] = [1e-300] * 3
        return PolicySpec.from_json(json.dumps(fields), SOURCE)

    for value in (lowest, highest):
        assert json.loads(json.dumps(getattr(read(value), field))) == value
    with pytest.raises(PolicyFileError, match=f"field {field} must be within "):
        read(beyond)


def test_the_loosest_values_that_are_allowed_are_accepted() -> None:
    for path, value in (
        ("training_range.percentiles", [0, 100]),
        ("self_test.tolerance", 0.01),
        ("observation.0.size", 1),
        ("brake_limit", [30.0, 20.0, 10.0]),  # the torque limit
    ):
        PolicySpec.from_json(changed(path, value), SOURCE)


def test_a_sentence_names_the_place_of_a_nested_field_and_all_known_ones() -> None:
    def sentence(path: str, value: Any) -> str:
        with pytest.raises(PolicyFileError) as error:
            PolicySpec.from_json(changed(path, value), SOURCE)
        return str(error.value)

    assert sentence("observation.1.size", 0).startswith(f"{SOURCE}: field observation[1].size ")
    assert sentence("goal.low", 3) == (
        f"{SOURCE}: field goal.low must be a list of 3 numbers; got 3"
    )
    assert sentence("goal.size", 3) == (
        f"{SOURCE}: field goal.size is unknown "
        "(fields: fields, frame, high, low, orientation, tolerance, unit)"
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_named(number: str) -> None:
    with pytest.raises(PolicyFileError) as error:
        PolicySpec.from_json(f'{{"name": [{number}]}}', SOURCE)
    assert str(error.value) == (
        f"{SOURCE} must hold one JSON object: {number} is not a finite number"
    )


def test_what_is_no_object_is_quoted_in_at_most_80_characters() -> None:
    with pytest.raises(PolicyFileError) as error:
        PolicySpec.from_json(json.dumps("x" * 200), SOURCE)
    quoted = str(error.value).partition("got ")[2]
    assert quoted == "'" + "x" * 76 + "..."


def test_a_spec_that_cannot_be_written_is_named() -> None:
    with pytest.raises(PolicyFileError, match=r"^spec of policy 'tiny': field task must be "):
        dataclasses.replace(tiny_spec(), task="").to_json()


def test_letters_beyond_ascii_stay_readable() -> None:
    assert (
        '"name": "Prüfstand μ"' in dataclasses.replace(tiny_spec(), name="Prüfstand μ").to_json()
    )


def test_the_plain_home_is_the_middle_of_the_position_limits() -> None:
    spec = dataclasses.replace(tiny_spec(), position_limit=((-1.0, 4.0), (0.5, 1.5), (-2.0, -1.0)))
    assert spec.plain_metadata()["default_joint_pos"] == "1.5,1.0,-1.5"


def test_the_graphs_ports_have_the_widths_of_joints_goal_and_state() -> None:
    spec = tiny_spec()
    assert spec.input_sizes((), 5) == {"joint_position": 3, "joint_velocity": 3, "goal": 3}
    assert list(spec.input_sizes(("state", "goal_velocity"), 5).items())[3:] == [
        ("goal_velocity", 3),
        ("state", 5),
    ]
    assert spec.output_sizes(0) == {"torque": 3, "action": 3}
    carrying = dataclasses.replace(spec, gravity_compensation="policy")
    assert carrying.output_sizes(5) == {"torque": 3, "action": 3, "gravity": 3, "next_state": 5}
