# SPDX-License-Identifier: Apache-2.0
"""The policy spec: a policy file's description of itself, as JSON in the ONNX metadata."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sac_ros.policy.json_fields import JsonFields, parse_object
from sac_ros.robots.dynamics import most_torque

SPEC_KEY = "sac_ros.policy_spec"
"""Key of the spec in the ONNX file's metadata."""

SCHEMA_VERSION = 2
"""Version of the spec's fields; a file of another version is refused."""

BOUNDS = {
    "torque_limit": (0.0, 1e4),
    "velocity_limit": (0.0, 1e2),
    "position_limit": (-1e3, 1e3),
    "action_scale": (0.0, 1e4),
    "control_rate_hz": (1.0, 2e3),
}
"""What no arm goes beyond; a file that does is refused before it sets limits by it."""

LARGEST_TOLERANCE = 0.01
"""Of the torque limit, by which the self test may be missed."""

GRAVITY_COMPENSATION = ("robot", "policy")
"""``robot``: the robot adds g(q) itself; ``policy``: the graph's torque holds g(q)."""

INPUTS = ("joint_position", "joint_velocity", "goal")
"""Graph inputs that every policy has, in order."""

GOAL_VELOCITY = "goal_velocity"
"""Graph input of policies for moving goals alone."""

QUATERNION = ("qx", "qy", "qz", "qw")
"""The last fields of a goal with an orientation."""

STATE = "state"
"""Graph input of policies with memory alone: zeros at the start, then the last `NEXT_STATE`."""

OUTPUTS = ("torque", "action")
"""Graph outputs that every policy has, in order."""

GRAVITY_OUTPUT = "gravity"
"""Graph output of policies that compensate gravity alone: g(q), from the joint positions only."""

NEXT_STATE = "next_state"
"""Graph output of policies with memory alone: the `STATE` of the next inference."""


@dataclass(frozen=True)
class OrientationSpec:
    """The orientations among a goal's numbers, whose last four are a quaternion x y z w.

    Attributes:
        reference: [4] the middle of the orientations of training.
        range: rad, how far a goal may be turned from it.
        tolerance: rad, within which an orientation is reached.
    """

    reference: tuple[float, ...]
    range: float
    tolerance: float


@dataclass(frozen=True)
class GoalSpec:
    """What a goal is: k numbers in one frame, and the box that training drew them from.

    Attributes:
        fields: name of each number, such as ``("x", "y", "z")``.
        unit: unit of every number, such as ``"m"``.
        frame: the frame that the goal is given in, such as the arm's base link.
        low, high: [k] the trained range; goals outside it are refused on the robot.
        tolerance: distance, in ``unit``, within which a goal is reached.
        orientation: of goals with one; see `OrientationSpec`.
    """

    fields: tuple[str, ...]
    unit: str
    frame: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    tolerance: float
    orientation: OrientationSpec | None = None

    @property
    def middle(self) -> tuple[float, ...]:
        """[k] the goal amid those of training."""
        middle = tuple((low + high) / 2 for low, high in zip(self.low, self.high, strict=True))
        if self.orientation is None:
            return middle
        return (*middle[: -len(QUATERNION)], *self.orientation.reference)


@dataclass(frozen=True)
class ObservationTerm:
    """One term of the observation that the graph builds inside: its name and its size."""

    name: str
    size: int


@dataclass(frozen=True)
class TrainingRange:
    """Joint states seen in training, between two percentiles, for coverage checks.

    Attributes:
        percentiles: the two percentiles, in percent.
        joint_position: [n][2] rad (m if prismatic).
        joint_velocity: [n][2] rad/s.
    """

    percentiles: tuple[float, float]
    joint_position: tuple[tuple[float, float], ...]
    joint_velocity: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class SelfTest:
    """A few real states and the torques that the graph must give for them.

    Attributes:
        inputs: graph input name to rows [m][size of that input].
        torque: [m][n] N·m.
        tolerance: largest |Δtorque| allowed, as a share of each joint's torque limit.
    """

    inputs: dict[str, tuple[tuple[float, ...], ...]]
    torque: tuple[tuple[float, ...], ...]
    tolerance: float


@dataclass(frozen=True)
class ArmModel:
    """Kinematics and masses of the arm's n joints: what its mass matrix follows from.

    The fields are those of `robots.kinematics.Chain` and `robots.dynamics.Bodies`.

    Attributes:
        joint_names: [n] from the base to the end effector.
        rotation: [n][9] of each joint's frame in the one before, row by row.
        translation: [n][3] m.
        axis: [n][3] unit vectors.
        mass: [n] kg.
        centre: [n][3] m.
        inertia: [n][9] kg·m², row by row.
        end_effector: [3] m in the last joint's frame; its origin in files without it.
    """

    joint_names: tuple[str, ...]
    rotation: tuple[tuple[float, ...], ...]
    translation: tuple[tuple[float, ...], ...]
    axis: tuple[tuple[float, ...], ...]
    mass: tuple[float, ...]
    centre: tuple[tuple[float, ...], ...]
    inertia: tuple[tuple[float, ...], ...]
    end_effector: tuple[float, ...] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RememberedTorque:
    """Where the graph's ``next_state`` remembers the torque that it asked for.

    A disturbance observer takes what the arm does not answer for a disturbance. Where another
    torque τ_p was published than the policy's τ, it winds up without this correction:

        next_state[offset + i] += gain_i (τ_p − τ)_i

    Attributes:
        offset: place in ``next_state`` of the first joint.
        gain: [n] 1/(N·m).
    """

    offset: int
    gain: tuple[float, ...]


@dataclass(frozen=True)
class PolicySpec:
    """Everything that a robot, a bag or a person needs of a policy file.

    Attributes:
        name: the policy's own name.
        arm: the arm that it was trained on, as in ``config/arms``.
        package_version: version of sac_ros that wrote it.
        joint_names: [n] the order of every per-joint array.
        torque_limit: [n] N·m, of the graph's torque output.
        position_limit: [n][2] rad (m if prismatic).
        velocity_limit: [n] rad/s.
        action_scale: [n] N·m per unit of action.
        control_rate_hz: the rate it was trained at.
        gravity_compensation: one of `GRAVITY_COMPENSATION`.
        task: such as ``"reach"``.
        goal: see `GoalSpec`.
        stop_damping: [n] N·m·s/rad, of the brake in a controlled stop.
        brake_limit: [n] N·m, the largest torque of that brake, at most ``torque_limit``.
        observation: the terms that the graph builds inside.
        training_range: see `TrainingRange`.
        training: algorithm, hyperparameters, seed, env_steps, and so on; free.
        evaluation: episodes, seeds, success, and so on; free.
        self_test: see `SelfTest`.
        arm_model: see `ArmModel`; None: a controlled stop brakes by ``stop_damping``.
        remembered_torque: see `RememberedTorque`; None: nothing depends on what was published.
        schema_version: always `SCHEMA_VERSION` in memory.
    """

    name: str
    arm: str
    package_version: str
    joint_names: tuple[str, ...]
    torque_limit: tuple[float, ...]
    position_limit: tuple[tuple[float, float], ...]
    velocity_limit: tuple[float, ...]
    action_scale: tuple[float, ...]
    control_rate_hz: float
    gravity_compensation: str
    task: str
    goal: GoalSpec
    stop_damping: tuple[float, ...]
    brake_limit: tuple[float, ...]
    observation: tuple[ObservationTerm, ...]
    training_range: TrainingRange
    training: dict[str, Any]
    evaluation: dict[str, Any]
    self_test: SelfTest
    arm_model: ArmModel | None = None
    remembered_torque: RememberedTorque | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def joints(self) -> int:
        """Number of joints, n."""
        return len(self.joint_names)

    def input_sizes(self, graph_inputs: Container[str], state_size: int) -> dict[str, int]:
        """Return the width of every graph input, in order; optional ones as the graph has them."""
        return _input_sizes(self.joints, len(self.goal.fields), state_size, graph_inputs)

    def output_sizes(self, state_size: int) -> dict[str, int]:
        """Return the width of every graph output, in order; ``state_size`` is 0 without memory."""
        sizes = dict.fromkeys(OUTPUTS, self.joints)
        if self.gravity_compensation == "policy":
            sizes[GRAVITY_OUTPUT] = self.joints
        return {**sizes, NEXT_STATE: state_size} if state_size else sizes

    def to_json(self) -> str:
        """Write the spec as one JSON object in full precision (floats round-trip exactly).

        Raises:
            PolicyFileError: the spec is not valid, so that no file is written which no one reads.
        """
        ordered = {"schema_version": self.schema_version, **vars(self)}
        text = json.dumps(ordered, ensure_ascii=False, default=vars)
        PolicySpec.from_json(text, source=f"spec of policy {self.name!r}")
        return text

    @property
    def authority(self) -> tuple[float, ...]:
        """[n] N·m, the most that it can ask for beside g(q)."""
        terms = [term.name for term in self.observation]
        most = most_torque(np.array(self.action_scale), np.array(self.torque_limit), terms)
        return tuple(most.tolist())

    @classmethod
    def from_json(cls, text: str, source: str) -> PolicySpec:
        """Read a spec, strictly.

        Args:
            text: the JSON text.
            source: where it came from, such as ``policy file a.onnx``, for the errors.

        Raises:
            PolicyFileError: a field is missing, unknown, of the wrong type, size or range.
        """
        fields = parse_object(text, source)
        if fields.integer("schema_version", minimum=0) != SCHEMA_VERSION:
            convert = "`convert_policy OLD.onnx NEW.onnx` converts a file of schema 1"
            fields.refuse("schema_version", f"{SCHEMA_VERSION} ({convert})")
        names = fields.texts("joint_names")
        n = len(names)
        goal = _read_goal(fields.nested("goal"))
        spec = cls(
            name=fields.text("name"),
            arm=fields.text("arm"),
            package_version=fields.text("package_version"),
            joint_names=names,
            torque_limit=fields.numbers("torque_limit", n, positive=True),
            position_limit=fields.pairs("position_limit", n),
            velocity_limit=fields.numbers("velocity_limit", n, positive=True),
            action_scale=fields.numbers("action_scale", n, positive=True),
            control_rate_hz=fields.positive("control_rate_hz"),
            gravity_compensation=fields.text("gravity_compensation", GRAVITY_COMPENSATION),
            task=fields.text("task"),
            goal=goal,
            stop_damping=fields.numbers("stop_damping", n, positive=True),
            brake_limit=fields.numbers("brake_limit", n, positive=True),
            observation=tuple(_read_term(term) for term in fields.objects("observation")),
            training_range=_read_range(fields.nested("training_range"), n),
            training=fields.mapping("training"),
            evaluation=fields.mapping("evaluation"),
            self_test=_read_self_test(fields.nested("self_test"), n, len(goal.fields)),
            arm_model=_read_arm_model(fields, names),
            remembered_torque=_read_remembered_torque(fields, n),
        )
        if any(map(float.__gt__, spec.brake_limit, spec.torque_limit)):
            fields.refuse("brake_limit", f"at most torque_limit, {list(spec.torque_limit)}")
        for name, (low, high) in BOUNDS.items():
            if not low <= np.min(getattr(spec, name)) <= np.max(getattr(spec, name)) <= high:
                fields.refuse(name, f"within {low:g} to {high:g}")
        fields.refuse_unread()
        return spec

    def plain_metadata(self, default_joint_pos: Sequence[float] | None = None) -> dict[str, str]:
        """Return the plain keys that other tools read (mjlab's loaders among them).

        Lists are joined by commas; numbers keep full precision.

        Args:
            default_joint_pos: [n] rad, the arm's home; the middle of the limits when None.
        """
        middle = [(low + high) / 2 for low, high in self.position_limit]
        home = middle if default_joint_pos is None else default_joint_pos
        return {
            "joint_names": ",".join(self.joint_names),
            "observation_names": ",".join(term.name for term in self.observation),
            "action_scale": ",".join(repr(float(scale)) for scale in self.action_scale),
            "default_joint_pos": ",".join(repr(float(position)) for position in home),
        }


def _input_sizes(n: int, k: int, m: int, given: Container[str]) -> dict[str, int]:
    sizes = dict(zip((*INPUTS, GOAL_VELOCITY, STATE), (n, n, k, k, m), strict=True))
    return {name: size for name, size in sizes.items() if name in INPUTS or name in given}


def _read_goal(fields: JsonFields) -> GoalSpec:
    names = fields.texts("fields")
    goal = GoalSpec(
        fields=names,
        unit=fields.text("unit"),
        frame=fields.text("frame"),
        low=fields.numbers("low", len(names)),
        high=fields.numbers("high", len(names)),
        tolerance=fields.positive("tolerance"),
        orientation=_read_orientation(fields, len(names)),
    )
    if any(low >= high for low, high in zip(goal.low, goal.high, strict=True)):
        fields.refuse("high", f"above low, which is {list(goal.low)}")
    fields.refuse_unread()
    return goal


def _read_orientation(fields: JsonFields, k: int) -> OrientationSpec | None:
    if fields.is_null("orientation"):
        return None
    nested = fields.nested("orientation")
    if k < len(QUATERNION):
        fields.refuse("orientation", f"left out of a goal of {k} numbers")
    reference = nested.numbers("reference", 4)
    if abs(np.linalg.norm(reference) - 1.0) > 1e-3:
        nested.refuse("reference", "a unit quaternion x y z w")
    orientation = OrientationSpec(
        reference, nested.positive("range"), nested.positive("tolerance")
    )
    nested.refuse_unread()
    return orientation


def _read_arm_model(fields: JsonFields, names: tuple[str, ...]) -> ArmModel | None:
    if fields.is_null("arm_model"):
        return None
    model, n = fields.nested("arm_model"), len(names)
    joint_names = model.texts("joint_names")
    if sorted(joint_names) != sorted(names):
        model.refuse("joint_names", f"the policy's joints, {', '.join(names)}")
    widths = {"rotation": 9, "translation": 3, "axis": 3, "centre": 3, "inertia": 9}
    rows = {name: model.rows(name, width) for name, width in widths.items()}
    for name, values in rows.items():
        if len(values) != n:
            model.refuse(name, f"a list of {n} rows")
    mass = model.numbers("mass", n)
    if model.is_null("end_effector"):
        end_effector = ArmModel.end_effector
    else:
        end_effector = model.numbers("end_effector", 3)
    model.refuse_unread()
    return ArmModel(joint_names, mass=mass, end_effector=end_effector, **rows)


def _read_remembered_torque(fields: JsonFields, n: int) -> RememberedTorque | None:
    if fields.is_null("remembered_torque"):
        return None
    remembered = fields.nested("remembered_torque")
    found = RememberedTorque(
        remembered.integer("offset", minimum=0), remembered.numbers("gain", n, positive=True)
    )
    remembered.refuse_unread()
    return found


def _read_term(fields: JsonFields) -> ObservationTerm:
    term = ObservationTerm(fields.text("name"), fields.integer("size", minimum=1))
    fields.refuse_unread()
    return term


def _read_range(fields: JsonFields, n: int) -> TrainingRange:
    low, high = fields.numbers("percentiles", 2)
    if not 0 <= low < high <= 100:
        fields.refuse("percentiles", "two percentages [low, high] with 0 <= low < high <= 100")
    result = TrainingRange(
        percentiles=(low, high),
        joint_position=fields.pairs("joint_position", n),
        joint_velocity=fields.pairs("joint_velocity", n),
    )
    fields.refuse_unread()
    return result


def _read_self_test(fields: JsonFields, n: int, k: int) -> SelfTest:
    inputs = fields.nested("inputs")
    widths = _input_sizes(n, k, 0, inputs)
    rows = {name: inputs.rows(name, width) for name, width in widths.items()}
    inputs.refuse_unread()
    test = SelfTest(rows, fields.rows("torque", n), fields.positive("tolerance"))
    if test.tolerance > LARGEST_TOLERANCE:
        fields.refuse("tolerance", f"at most {LARGEST_TOLERANCE:g}")
    for name, values in rows.items():
        if len(values) != len(test.torque):
            fields.refuse("inputs", f"as many rows of {name} as of torque ({len(test.torque)})")
    fields.refuse_unread()
    return test
