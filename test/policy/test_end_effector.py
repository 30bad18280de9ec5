# SPDX-License-Identifier: Apache-2.0
"""The limits of the end effector: what the guards do, and what simulated arms do behind them."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_policy import tiny_spec

from sac_ros.policy.control_loop import ControlLoop
from sac_ros.policy.detectors.limits import Workspace
from sac_ros.policy.end_effector import Motion, end_effector_speed_fraction, workspace_fraction
from sac_ros.policy.guards import braking_torque, guarded, stop_at_end_effector_limits
from sac_ros.policy.runtime import Policy
from sac_ros.policy.safety import SafetyFilter
from sac_ros.policy.safety_config import GRID, LAG, JointLimits, SafetyConfig
from sac_ros.policy.safety_events import Command, Fault, Intervention, Mode
from sac_ros.policy.spec import PolicySpec
from sac_ros.robots.arm import load_arm
from sac_ros.sim.backend import make_backend
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path

MODELS = Path(__file__).parents[2] / "models"
PERIOD = 0.002  # s
CASES = [  # with the number of states from one torque to the next
    (name, *case)
    for name in ("iiwa", "panda", "ur5e")
    for case in (("bullet", (500, 501)), ("mujoco", (10, 250)))
]
ARM = load_arm("iiwa")
N = ARM.joints
HOME = ARM.chain.forward(ARM.home)


@cache
def spec_of(name: str) -> PolicySpec:
    return Policy.load(MODELS / f"{name}_reach.onnx").spec


def limits(**config: Any) -> JointLimits:
    return JointLimits.of(spec_of("iiwa"), SafetyConfig(**config))


def box(place: np.ndarray, half: float) -> tuple[float, ...]:
    return tuple(map(float, np.r_[place - half, place + half]))


class Robot:
    """A filter that gets a state every 2 ms of an arm that no torque moves."""

    def __init__(self, position: np.ndarray = ARM.home, **config: Any) -> None:
        settings = SafetyConfig(**({"soft_start_s": 0.0} | config))
        self.filter = SafetyFilter(limits(**config), settings, 50.0)
        self.now, self.position = 10.0, position.copy()
        self.filter.accept(self.now, self.position, np.zeros(N))
        self.filter.activate(self.now)

    def move(self, tip_velocity: Any, seconds: float, torque: float | None = 0.0) -> Command:
        for _ in range(round(seconds / PERIOD)):
            jacobian = ARM.chain.jacobian(ARM.chain.frames_at(self.position))[:3]
            velocity = np.linalg.pinv(jacobian) @ np.array(tip_velocity, dtype=float)
            self.position = self.position + PERIOD * velocity
            self.now += PERIOD
            assert self.filter.accept(self.now, self.position, velocity)
            wanted = None if torque is None else np.full(N, torque)
            command = self.filter.command(self.now, wanted)
        return command


@pytest.mark.parametrize("soft_start", [False, True])
def test_without_a_goal_and_as_a_soft_start_begins_an_arm_is_braked_by_its_mass_matrix(
    soft_start: bool,
) -> None:
    robot = Robot(**({"soft_start_s": 1.0} if soft_start else {}))
    robot.move([0.05, 0.02, 0.0], 0.1, None if not soft_start else 0.0)
    state = robot.filter
    braked = braking_torque(state.position, state.velocity, state.limits)
    share = 0.098 if soft_start else 0.0  # of the second that the soft start takes
    found = state.command(robot.now, np.zeros(N) if soft_start else None)
    np.testing.assert_allclose(found.torque, (1.0 - share) * braked, rtol=1e-6)
    assert np.abs(braked).max() > 0.3


# ---- simulated arms ------------------------------------------------------------------------


def run(
    name: str, world: str, seed: int, hold: tuple[int, int], **config: Any
) -> tuple[np.ndarray, np.ndarray, set[Fault]]:
    """2 s of full torques of all joints in turns: speeds and places [t, 3] of the end effector."""
    arm, spec = load_arm(name), spec_of(name)
    backend, n = make_backend(world, arm, gravity=False), arm.joints
    if config.pop("boxed", False):
        config["workspace_box"] = box(arm.chain.forward(arm.home), 0.15)
    settings = SafetyConfig(soft_start_s=0.0, **config)
    safety = SafetyFilter(JointLimits.of(spec, settings), settings, spec.control_rate_hz)
    backend.reset(arm.home)
    now, torque, until, faults = 10.0, np.zeros(n), 0, set()
    safety.accept(now, arm.home, np.zeros(n))
    safety.activate(now)
    rng, places, speeds = np.random.default_rng(seed), [], []
    for step in range(1000):
        state = np.array(backend.read())
        position, velocity = state[:n], state[n : 2 * n]
        places.append(state[2 * n : 2 * n + 3])
        speeds.append(Motion.of(position, velocity, safety.limits).speed)
        if step == until:
            wanted = arm.torque_limit * rng.choice([-1, 1], n) * rng.uniform(0.5, 1.0, n)
            until += int(rng.integers(*hold))
        now += PERIOD
        backend.step(torque.tolist(), 1)  # the answer comes a period late
        command = safety.tick(now)
        if safety.accept(now, position, velocity):
            command = safety.command(now, wanted)
        torque = torque if command is None else command.torque
        faults |= set(safety.faults)
        safety.clear_fault(now)
    return np.array(speeds), np.array(places), faults


@pytest.mark.parametrize(("name", "world", "hold"), CASES)
def test_under_full_torque_the_end_effector_stays_below_its_speed_limit(
    name: str, world: str, hold: tuple[int, int]
) -> None:
    speeds, _, faults = run(name, world, 0, hold, max_end_effector_speed=0.25)
    assert speeds.max() <= 0.25
    assert speeds.max() >= 0.05  # it moves: full torque at a wrist leaves little for the rest
    assert Fault.END_EFFECTOR_SPEED not in faults


@pytest.mark.parametrize(("name", "world", "hold"), CASES)
def test_under_full_torque_the_end_effector_leaves_its_box_by_a_few_centimetres_at_most(
    name: str, world: str, hold: tuple[int, int]
) -> None:
    _, places, _ = run(name, world, 1, hold, boxed=True)
    assert np.abs(places - load_arm(name).chain.forward(load_arm(name).home)).max() <= 0.15 + 0.05


# ---- guards --------------------------------------------------------------------------------


def test_the_end_effector_of_a_policy_file_is_that_of_the_arm() -> None:
    for name in ("iiwa", "panda", "ur5e", "xarm7", "gen3"):
        arm, found = load_arm(name), JointLimits.of(spec_of(name), SafetyConfig()).end_effector
        assert found is not None
        place, jacobian = found(arm.home)
        np.testing.assert_allclose(place, arm.chain.forward(arm.home), atol=1e-9)
        expected = arm.chain.jacobian(arm.chain.frames_at(arm.home))[:3]
        np.testing.assert_allclose(jacobian, expected, atol=1e-9)


def test_many_states_at_once_are_judged_as_one_after_the_other() -> None:
    bounded = limits(max_end_effector_speed=0.25, workspace_box=box(HOME, 0.1))
    rng = np.random.default_rng(0)
    position = ARM.home + rng.uniform(-0.1, 0.1, (20, N))
    velocity, torque = rng.uniform(-0.3, 0.3, (20, N)), rng.uniform(-30, 30, (20, N))
    motion = Motion.of(position, velocity, bounded)
    mobility = motion.mobility(position, bounded)
    for fraction_of in (end_effector_speed_fraction, workspace_fraction):
        found = fraction_of(torque, mobility, motion, bounded)
        assert found.shape == (20, 1)
        for row in range(20):
            one = Motion.of(position[row], velocity[row], bounded)
            each = fraction_of(torque[row], one.mobility(position[row], bounded), one, bounded)
            np.testing.assert_allclose(found[row], each, atol=1e-9)
    assert 0.0 < found.mean() < 1.0


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize(("room", "speed"), [(0.04, 0.27), (0.2, 0.95)])
def test_towards_each_face_of_the_box_the_end_effector_is_braked_by_its_speed_and_distance(
    axis: int, side: float, room: float, speed: float
) -> None:
    bounded = limits(workspace_box=box(HOME, 0.25))
    place, velocity = HOME.copy(), np.zeros(3)
    place[axis] += side * (0.25 - room)
    velocity[axis] = side * speed
    motion = Motion(place, velocity, np.zeros((3, N)))
    left = room - LAG * speed
    allowed = min(left / 0.16, np.sqrt(2.0 * 2.0 * left))
    expected = ((speed - 0.02) / allowed - 1.0) / 0.3
    assert 0.0 < expected < 1.0
    found = workspace_fraction(np.zeros(N), np.zeros((3, N)), motion, bounded)
    assert found == pytest.approx(expected)


TORQUE = np.array([20.0, -14.0, 9.0, -30.0, 4.0, 7.0, -2.0])  # N·m
MOBILITY = np.random.default_rng(2).normal(0.0, 0.2, (3, N))  # m/s² for 1 N·m


def acts_for(fraction: Any, torque: np.ndarray, of: JointLimits) -> float:
    """For how many s, at its full strength, the share of a torque acts that is used."""
    share, ramp = 1.0 - float(fraction[0]), (np.abs(torque) / of.slew).max()
    assert 0.0 < share < 1.0
    return share * 0.004 + 0.5 * share**2 * ramp


def test_a_torque_is_used_as_far_as_it_can_be_taken_back_before_the_speed_limit() -> None:
    bounded = limits(max_end_effector_speed=0.25)
    motion = Motion(HOME, np.array([0.0, 0.12, -0.16]), np.zeros((3, N)))  # 0.2 m/s
    found = end_effector_speed_fraction(TORQUE, MOBILITY, motion, bounded)
    gain = sum(np.linalg.norm(MOBILITY[:, i] * TORQUE[i]) for i in range(N))
    assert 0.2 + gain * acts_for(found, TORQUE, bounded) == pytest.approx(0.25)


def test_from_its_speed_limit_on_the_end_effector_is_braked_whatever_the_torque() -> None:
    bounded = limits(max_end_effector_speed=0.25)
    for speed, expected in ((0.24, 0.0), (0.25, 1.0), (0.3, 1.0)):
        motion = Motion(HOME, np.array([0.0, speed, 0.0]), np.zeros((3, N)))
        found = end_effector_speed_fraction(np.zeros(N), MOBILITY, motion, bounded)
        assert found == pytest.approx(expected)


def test_a_torque_is_used_as_far_as_it_can_be_taken_back_before_a_face_of_the_box() -> None:
    bounded = limits(workspace_box=box(HOME, 0.1))
    mobility = MOBILITY.copy()
    mobility[1:] = 0.0
    acceleration = float(mobility[0] @ TORQUE)
    place = HOME + np.array([0.07 * np.sign(acceleration), 0.0, 0.0])
    motion = Motion(place, np.zeros(3), np.zeros((3, N)))
    allowed = 0.03 / 0.16
    found = workspace_fraction(TORQUE, mobility, motion, bounded)
    acts = acts_for(found, TORQUE, bounded)
    assert abs(acceleration) * acts == pytest.approx(allowed + 0.02)
    inwards = workspace_fraction(-TORQUE, mobility, motion, bounded)
    assert inwards == pytest.approx(0.0)
    fast = np.array([np.sign(acceleration) * (allowed + 0.02), 0.0, 0.0])
    motion = Motion(place, fast, np.zeros((3, N)))
    assert workspace_fraction(TORQUE, mobility, motion, bounded) == pytest.approx(1.0)


def test_where_both_limits_act_the_second_goes_on_from_what_the_first_left() -> None:
    bounded = limits(max_end_effector_speed=0.25, workspace_box=box(HOME, 0.02))
    velocity = 0.3 * np.linalg.pinv(ARM.chain.jacobian(ARM.chain.frames_at(ARM.home))[:3])[:, 1]
    motion = Motion.of(ARM.home, 0.6 * velocity, bounded)
    tip, face = stop_at_end_effector_limits(TORQUE, ARM.home, 0.6 * velocity, motion, bounded)
    assert (tip[0], face[0]) == (Intervention.END_EFFECTOR_SPEED, Intervention.WORKSPACE)
    np.testing.assert_array_equal(tip[1], TORQUE)
    assert np.abs(tip[2] - TORQUE).max() > 0.01
    np.testing.assert_array_equal(face[1], tip[2])
    assert np.abs(face[2] - face[1]).max() > 0.01
    stop, mobility = (
        braking_torque(ARM.home, 0.6 * velocity, bounded),
        motion.mobility(ARM.home, bounded),
    )
    for (_, before, after), fraction_of in (
        (tip, end_effector_speed_fraction),
        (face, workspace_fraction),
    ):
        share = 1.0 - fraction_of(TORQUE, mobility, motion, bounded)
        np.testing.assert_allclose(after, share * before + (1.0 - share) * stop)
    whole, steps = guarded(TORQUE, None, ARM.home, 0.6 * velocity, bounded, 0.05, motion)
    np.testing.assert_array_equal(whole, steps[-1][1])
    np.testing.assert_array_equal(whole, steps[-2][2])  # what the last of them left


@pytest.mark.parametrize("bounds", [{}, {"max_end_effector_speed": 0.25}])
def test_one_state_is_judged_as_a_batch_of_it(bounds: dict[str, Any]) -> None:
    """For one state it is seen in plain numbers whether a guard has anything to do."""
    bounded, rng, idle = limits(**bounds), np.random.default_rng(4), 0
    for _ in range(300):
        position = ARM.home + rng.uniform(-1.0, 1.0, N)
        velocity = rng.uniform(-1.0, 1.0, N) * 1.6 * rng.random() ** 3 * bounded.velocity
        torque = rng.uniform(-1.0, 1.0, N) * rng.random() ** 3 * bounded.torque
        motion, motions = (
            Motion.of(q, v, bounded) if bounds else None
            for q, v in ((position, velocity), (position[None], velocity[None]))
        )
        one, _ = guarded(torque, None, position, velocity, bounded, 0.05, motion)
        batch, _ = guarded(
            torque[None], None, position[None], velocity[None], bounded, 0.05, motions
        )
        np.testing.assert_allclose(one, batch[0], rtol=1e-9, atol=1e-9)
        idle += np.array_equal(one, torque)
    assert 10 <= idle <= 290


def test_no_guard_is_asked_while_the_whole_torque_can_be_taken_back_below_the_velocity_limit() -> (
    None
):
    bounded, rng = limits(), np.random.default_rng(5)
    bounded = dataclasses.replace(bounded, position=np.array([[-9.0, 9.0]] * N))
    assert bounded.inverse_mass is not None
    for joint in range(N):
        position = ARM.home + rng.uniform(-0.3, 0.3, N)
        torque = 0.002 * rng.uniform(-1.0, 1.0, N) * bounded.torque
        gain = np.abs(bounded.inverse_mass(position)) @ np.abs(torque)
        faster = gain * (0.004 + 0.5 * (np.abs(torque) / bounded.slew).max())
        velocity = np.zeros(N)
        for over in (-1e-6, 1e-6):
            velocity[joint] = bounded.velocity[joint] - faster[joint] + over
            _, steps = guarded(torque, None, position, velocity, bounded, 0.05)
            assert bool(steps) is (over > 0.0)


def test_the_inverse_mass_is_that_of_the_nearest_point_of_a_grid_which_is_close() -> None:
    of = limits()
    assert of.inverse_mass is not None
    assert of.mass_matrix is not None
    positions = ARM.home + np.random.default_rng(3).uniform(-0.5, 0.5, (4, N))
    many = of.inverse_mass(positions)
    for row, position in enumerate(positions):
        nearest = GRID * np.rint(position / GRID)
        expected = np.linalg.inv(of.mass_matrix(nearest))
        np.testing.assert_array_equal(of.inverse_mass(position), expected)
        np.testing.assert_allclose(many[row], expected, rtol=1e-9, atol=1e-9)
        assert np.abs(nearest - position).max() <= GRID / 2
    zeros = of.inverse_mass(np.zeros(N))
    assert of.inverse_mass(np.full(N, -1e-9)) is zeros  # −0 is no other point


def test_a_torque_is_bounded_alike_towards_opposite_faces_of_the_box() -> None:
    bounded, rng = limits(workspace_box=box(HOME, 0.1)), np.random.default_rng(1)
    aside, velocity = rng.uniform(-0.09, 0.09, (50, 3)), rng.uniform(-0.2, 0.2, (50, 3))
    mobility, torque = rng.normal(0.0, 0.3, (50, 3, N)), rng.uniform(-30.0, 30.0, (50, N))
    found = [
        workspace_fraction(
            sign * torque,
            mobility,
            Motion(HOME + sign * aside, sign * velocity, np.zeros((3, N))),
            bounded,
        )
        for sign in (1.0, -1.0)
    ]
    np.testing.assert_allclose(*found, atol=1e-9)
    assert 0.1 < found[0].mean() < 0.99


def test_a_slow_end_effector_and_a_small_torque_are_left_alone() -> None:
    command = Robot(max_end_effector_speed=0.25, workspace_box=box(HOME, 0.3)).move(
        [0.1, 0, 0], 0.1, 0.3
    )
    assert not {Intervention.END_EFFECTOR_SPEED, Intervention.WORKSPACE} & set(
        command.interventions
    )


def test_an_end_effector_over_its_speed_limit_is_braked_and_if_it_stays_a_fault() -> None:
    robot = Robot(max_end_effector_speed=0.25, over_speed_s=0.1)
    command = robot.move([0.0, 0.28, 0.0], 0.3, 5.0)
    assert Intervention.END_EFFECTOR_SPEED in command.interventions
    assert command.mode is Mode.TRACKING  # not yet by a fifth
    command = robot.move([0.0, 0.31, 0.0], 0.12, 5.0)
    assert Fault.END_EFFECTOR_SPEED in robot.filter.faults
    assert "max_end_effector_speed" in robot.filter.clear_fault(robot.now)
    robot.move([0.0, 0.0, 0.0], 0.1)
    assert robot.filter.clear_fault(robot.now) == ""


def test_the_time_over_a_speed_limit_counts_from_where_the_limit_was_set() -> None:
    robot = Robot(max_end_effector_speed=0.25, over_speed_s=0.1)
    robot.move([0.0, 0.31, 0.0], 0.08, 5.0)
    robot.filter.set_max_end_effector_speed(0.24, robot.now)
    robot.move([0.0, 0.31, 0.0], 0.08, 5.0)
    assert robot.filter.faults == {}
    robot.move([0.0, 0.31, 0.0], 0.04, 5.0)
    assert set(robot.filter.faults) == {Fault.END_EFFECTOR_SPEED}


def test_an_end_effector_that_leaves_its_box_is_a_fault_and_one_that_comes_back_is_none() -> None:
    robot = Robot(workspace_box=box(HOME, 0.05), over_speed_s=0.1)
    robot.move([0.0, 0.2, 0.0], 0.3)
    assert robot.filter.faults == {}
    robot.move([0.0, 0.2, 0.0], 0.22)
    assert Fault.WORKSPACE in robot.filter.faults
    assert "workspace_box" in robot.filter.clear_fault(robot.now)
    robot.move([0.0, 0.0, 0.0], 0.01)
    assert "must be inside workspace_box" in robot.filter.starting_problem()
    robot.move([0.0, -0.2, 0.0], 0.01)
    assert robot.filter.clear_fault(robot.now) == ""
    robot.move([0.0, -0.2, 0.0], 0.5)
    assert robot.filter.faults == {}
    robot.move([0.0, 0.0, 0.0], 0.01)
    assert robot.filter.starting_problem() == ""


def test_another_policy_keeps_the_limits() -> None:
    robot = Robot(max_end_effector_speed=0.1)
    robot.filter.replace_limits(limits(), 50.0)
    assert Intervention.END_EFFECTOR_SPEED in robot.move([0.0, 0.12, 0.0], 0.1, 5.0).interventions


def test_the_speed_limit_falls_at_once_and_rises_softly() -> None:
    robot = Robot()
    assert (
        Intervention.END_EFFECTOR_SPEED not in robot.move([0.0, 0.2, 0.0], 0.1, 5.0).interventions
    )
    robot.filter.set_max_end_effector_speed(0.1, robot.now)
    assert Intervention.END_EFFECTOR_SPEED in robot.move([0.0, 0.15, 0.0], 0.01, 5.0).interventions
    robot = Robot(max_end_effector_speed=0.1)
    robot.filter._config = SafetyConfig(soft_start_s=1.0)
    robot.filter.set_max_end_effector_speed(0.5, robot.now)
    robot.move([0.0, 0.0, 0.0], 0.5)
    assert robot.filter.limits.max_end_effector_speed == pytest.approx(0.3)
    robot.move([0.0, 0.0, 0.0], 0.6)
    robot.filter.set_max_end_effector_speed(0.0, robot.now)
    assert robot.filter.limits.max_end_effector_speed == 0.5
    robot.move([0.0, 0.0, 0.0], 1.1)
    assert not robot.filter.limits.bounds_end_effector


# ---- configuration -------------------------------------------------------------------------


@pytest.mark.parametrize("face", [-1.0, 1.0])
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("outwards", [True, False])
def test_outside_any_face_only_a_motion_away_from_the_box_is_a_fault(
    face: float, axis: int, outwards: bool
) -> None:
    bounded = limits(workspace_box=box(HOME, 0.1))
    place, velocity = HOME.copy(), np.zeros(3)
    place[axis] += 0.14 * face  # 4 cm outside
    velocity[axis] = 0.1 * face if outwards else -0.1 * face
    state = SimpleNamespace(motion=SimpleNamespace(place=place, velocity=velocity), limits=bounded)
    detector = Workspace.__new__(Workspace)
    assert detector.exceeds(state) == outwards  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config", [{"max_end_effector_speed": 0.25}, {"workspace_box": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)}]
)
def test_without_a_model_of_the_arm_a_limit_of_the_end_effector_is_refused(
    config: dict[str, Any],
) -> None:
    with pytest.raises(
        ConfigurationError, match=f"parameter {next(iter(config))} needs a policy file"
    ):
        JointLimits.of(tiny_spec(), SafetyConfig(**config))


def test_without_a_model_of_the_arm_no_limit_is_taken_later_either() -> None:
    safety = SafetyFilter(JointLimits.of(tiny_spec(), SafetyConfig()), SafetyConfig(), 50.0)
    with pytest.raises(
        ConfigurationError, match="parameter max_end_effector_speed needs a policy file"
    ):
        safety.set_max_end_effector_speed(0.25, 1.0)
    safety.set_max_end_effector_speed(0.0, 1.0)


def test_a_policy_without_a_model_is_refused_where_the_end_effector_has_a_limit() -> None:
    model = share_path("models", "iiwa_reach.onnx")
    runs, other = Policy.load(model), Policy.load(model)
    other.spec = dataclasses.replace(other.spec, arm_model=None)
    loop = ControlLoop(runs, SafetyConfig())
    loop.safety.set_max_end_effector_speed(0.25, 1.0)
    before = loop.safety.limits
    with pytest.raises(
        ConfigurationError, match="parameter max_end_effector_speed needs a policy file"
    ):
        loop.swap(2.0, other)
    assert loop.policy is runs
    assert loop.safety.limits is before
    loop.safety.set_max_end_effector_speed(0.0, 3.0)
    loop.state(6.0, np.zeros(7), np.zeros(7))  # the limit has risen until then
    loop.swap(6.0, other)
    assert loop.policy is other


@pytest.mark.parametrize("wrong", [(0.0, 0.0), (0.0, 0.0, 1.0, 1.0, 1.0, 1.0)])
def test_a_box_without_six_ordered_numbers_is_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="workspace_box must be six numbers"):
        SafetyConfig(workspace_box=wrong)


def test_a_file_without_the_end_effectors_place_takes_the_last_joints_frame() -> None:
    spec = spec_of("iiwa")
    assert spec.arm_model is not None
    old = dataclasses.replace(spec.arm_model, end_effector=(0.0, 0.0, 0.0))
    text = dataclasses.replace(spec, arm_model=old).to_json()
    without = text.replace(', "end_effector": [0.0, 0.0, 0.0]', "")
    assert without != text
    assert PolicySpec.from_json(without, "a file").arm_model == old
