# SPDX-License-Identifier: Apache-2.0
"""Every term changes what it says, within its range, and is off unless it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.sim.backend import JointProperties
from sac_ros.sim.randomization import TERMS, Randomization, RandomizationConfig, World
from sac_ros.sim.robot_driver_config import DriverConfig
from sac_ros.utils.errors import ConfigurationError

ARM = load_arm("iiwa")
PLAIN = World.of(ARM)
TIP = ARM.chain.end_effector_translation


def draw(ranges: dict[str, Any], seed: int = 0) -> World:
    return Randomization(ARM, ranges).draw(np.random.default_rng(seed))


def numbers(world: World) -> dict[str, np.ndarray]:
    """All of a world by name."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(World):
        value = getattr(world, field.name)
        if field.name == "arm":
            continue
        if dataclasses.is_dataclass(value):
            parts = {
                f"{field.name}.{part.name}": getattr(value, part.name)
                for part in dataclasses.fields(value)
            }
            found |= parts
        else:
            found[field.name] = np.inf if value is None else value
    return {name: np.asarray(value, dtype=float) for name, value in found.items()}


def changed(world: World) -> set[str]:
    before, after = numbers(PLAIN), numbers(world)
    return {name for name in before if not np.array_equal(before[name], after[name])}


CHANGES: dict[str, tuple[float, set[str], Callable[[World], Any], Any]] = {
    # term: value, what it changes, a number of the world, what that must be
    "mass_scale": (
        1.2,
        {"bodies.mass", "bodies.inertia"},
        lambda world: world.bodies.mass,
        1.2 * ARM.bodies.mass,
    ),
    "centre_offset": (
        0.01,
        {"bodies.centre"},
        lambda world: np.linalg.norm(world.bodies.centre, axis=1),
        np.linalg.norm(ARM.bodies.centre, axis=1) + 0.01,
    ),
    "payload_kg": (
        2.0,
        {"bodies.mass", "bodies.centre", "bodies.inertia"},
        lambda world: world.bodies.centre[-1],
        (ARM.bodies.mass[-1] * ARM.bodies.centre[-1] + 2.0 * TIP) / (ARM.bodies.mass[-1] + 2.0),
    ),
    "declared_payload_kg": (
        2.0,
        {
            f"{who}.{what}"
            for who in ("bodies", "declared")
            for what in ("mass", "centre", "inertia")
        },
        lambda world: world.declared.mass,
        ARM.bodies.mass + 2.0 * np.eye(7)[6],
    ),
    "joint_damping_scale": (
        3.0,
        {"joints.damping"},
        lambda world: world.joints.damping,
        3.0 * ARM.damping,
    ),
    "joint_damping": (0.7, {"joints.damping"}, lambda world: world.joints.damping, [0.7] * 7),
    "coulomb_friction": (
        0.6,
        {"joints.friction"},
        lambda world: world.joints.friction,
        [0.6] * 7,
    ),
    "armature": (0.2, {"joints.armature"}, lambda world: world.joints.armature, [0.2] * 7),
    "torque_gain": (0.9, {"torque_gain"}, lambda world: world.torque_gain, [0.9] * 7),
    "torque_bias_fraction": (
        0.01,
        {"torque_bias"},
        lambda world: world.torque_bias,
        0.01 * ARM.torque_limit,
    ),
    "gravity_scale": (1.1, {"gravity_scale"}, lambda world: world.gravity_scale, 1.1),
    "latency_ms": (20.0, {"state_latency"}, lambda world: world.state_latency, 0.02),
    "command_latency_ms": (30.0, {"command_latency"}, lambda world: world.command_latency, 0.03),
    "period_jitter_ms": (4.0, {"period_jitter"}, lambda world: world.period_jitter, 0.004),
    "position_noise": (1e-3, {"position_noise"}, lambda world: world.position_noise, 1e-3),
    "velocity_noise": (0.05, {"velocity_noise"}, lambda world: world.velocity_noise, 0.05),
    "position_step": (1e-4, {"position_step"}, lambda world: world.position_step, 1e-4),
    "start_spread": (1.0, {"start_spread"}, lambda world: world.start_spread, 1.0),
}


def test_nothing_is_drawn_unless_it_is_asked_for() -> None:
    empty = dataclasses.asdict(RandomizationConfig())
    assert list(empty) == list(TERMS)
    assert set(empty.values()) == {()}
    for ranges in ({}, None, empty):
        world = Randomization(ARM, ranges).draw(np.random.default_rng(0))
        assert changed(world) == set()
        assert world.bodies is ARM.bodies
        assert world.declared is ARM.bodies


@pytest.mark.parametrize("name", TERMS)
def test_every_term_changes_what_it_says_and_nothing_else(name: str) -> None:
    value, changes, number, expected = CHANGES[name]
    for given in ([value], [value, value], value):
        world = draw({name: given})
        assert changed(world) == changes
        np.testing.assert_allclose(number(world), expected, rtol=1e-12)


@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_drawn_within_its_range_anew_each_time_and_by_its_seed(name: str) -> None:
    value, _, number, _ = CHANGES[name]
    ranges = {name: [value, min(1.05 * value, TERMS[name].maximum)]}
    low, high = (np.asarray(number(draw({name: end}))) for end in ranges[name])
    drawn = [np.asarray(number(draw(ranges, seed))) for seed in range(20)]
    tiny = 1e-12 * np.abs(high).max()
    for one in drawn:
        assert np.all(one >= np.minimum(low, high) - tiny)
        assert np.all(one <= np.maximum(low, high) + tiny)
    assert len({one.tobytes() for one in drawn}) == 20
    np.testing.assert_array_equal(drawn[3], number(draw(ranges, 3)))


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.per_joint])
def test_a_term_of_joints_draws_for_each_of_its_own(name: str) -> None:
    value, _, number, _ = CHANGES[name]
    drawn = np.asarray(number(draw({name: [0.5 * value, value]})))
    assert drawn.shape == (7,)
    assert len(np.unique(drawn)) == 7


def test_the_arm_itself_is_never_changed() -> None:
    before = {name: np.copy(value) for name, value in numbers(PLAIN).items()}
    draw({name: value for name, (value, *_) in CHANGES.items()})
    for name, value in numbers(World.of(ARM)).items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(JointProperties.of(ARM).damping, ARM.damping)


def test_no_payload_is_the_arm_as_described() -> None:
    assert changed(draw({"payload_kg": 0.0, "declared_payload_kg": 0.0})) == set()


def test_a_wide_spread_starts_anywhere() -> None:
    assert draw({"start_spread": [4.0]}).start_spread is None


@pytest.mark.parametrize("name", TERMS)
def test_a_range_that_cannot_be_simulated_is_refused_with_the_one_that_can(name: str) -> None:
    term = TERMS[name]
    words = rf"^randomization {name} must be one number or two, low <= high, within .* to .*; got "
    for wrong in (
        [term.maximum + 1.0],
        [term.minimum - 1.0],
        [term.maximum, term.minimum],
        [term.minimum] * 3,
        [float("nan")],
        float("inf"),
    ):
        with pytest.raises(ConfigurationError, match=words) as refused:
            Randomization(ARM, {name: wrong})
        assert "\n" not in str(refused.value)


def test_words_in_a_range_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="randomization latency_ms must be one number"):
        Randomization(ARM, {"latency_ms": ["long"]})  # type: ignore[list-item]


def test_a_term_that_is_drawn_per_joint_may_have_a_range_for_each_joint() -> None:
    low = np.linspace(0.1, 0.7, ARM.joints)
    ranges = np.stack([low, low + 0.05], axis=1).ravel().tolist()
    for seed in range(20):
        friction = draw({"coulomb_friction": ranges}, seed).joints.friction
        assert np.all((low <= friction) & (friction <= low + 0.05))
    biased = draw({"torque_bias_fraction": np.repeat(0.1 * low, 2).tolist()})
    np.testing.assert_allclose(biased.torque_bias, 0.1 * low * ARM.torque_limit)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("latency_ms", [1.0] * 14),  # not drawn per joint
        ("armature", [0.1] * 12),
        ("armature", [0.1, 0.2] * 6 + [0.2, 0.1]),
        ("armature", [0.1] * 13 + [11.0]),
    ],
)
def test_ranges_of_other_joints_than_the_arms_are_refused(name: str, values: list[float]) -> None:
    with pytest.raises(ConfigurationError, match=rf"randomization {name} must be one number"):
        Randomization(ARM, {name: values})


def test_an_unknown_term_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^randomization must have keys among mass_scale, .*; got 'wind'"
    ):
        Randomization(ARM, {"wind": [1.0]})


def test_a_setting_out_of_range_is_refused_with_its_unit() -> None:
    wrong = RandomizationConfig(latency_ms=(501.0,))
    with pytest.raises(ConfigurationError, match=r"latency_ms must be .*at most 500.*\(ms\)"):
        DriverConfig(randomization=wrong)


def test_every_term_says_what_it_is_in_a_unit() -> None:
    for name, term in TERMS.items():
        assert term.description, name
        assert term.minimum < term.maximum, name


def test_worlds_widen_from_what_is_described_to_what_is_drawn() -> None:
    ranges = {"mass_scale": (0.5, 1.5), "latency_ms": (40.0, 60.0), "payload_kg": (1.0, 1.0)}
    worlds = [
        Randomization(ARM, ranges).draw(np.random.default_rng(0), share) for share in (0.0, 0.5, 1)
    ]
    plain, half, whole = worlds
    np.testing.assert_allclose(plain.bodies.mass, ARM.bodies.mass)
    assert plain.state_latency == 0.0
    assert half.state_latency == 0.5 * whole.state_latency
    links = slice(0, -1)  # the last one carries the payload
    grown = [world.bodies.mass[links] / ARM.bodies.mass[links] - 1.0 for world in (half, whole)]
    np.testing.assert_allclose(2.0 * grown[0], grown[1])
