# SPDX-License-Identifier: Apache-2.0
"""What of a world differs from episode to episode, drawn from ranges."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.robots.arm import Arm
from sac_ros.robots.dynamics import Bodies
from sac_ros.sim.backend import JointProperties
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting

Array = NDArray[np.float64]


@dataclass
class World:
    """The properties of one arm's world during an episode, n joints.

    Attributes:
        arm: the arm as described.
        bodies: the true masses.
        joints: what truly resists the joints.
        declared: the masses by which the robot, or the policy, computes g(q).
        gravity_scale: factor on that g(q).
        torque_gain: [n], factor on every commanded torque.
        torque_bias: [n] N·m, added to it.
        state_latency: s, from a measurement until the policy sees it.
        command_latency: s, from the policy's answer until it moves the joints.
        period_jitter: s, by so much a control period is longer or shorter, at most.
        position_noise: rad, standard deviation.
        velocity_noise: rad/s, standard deviation.
        position_step: rad, resolution of the encoders; 0: exact.
        start_spread: rad, how far from home each joint may start; None: anywhere.
    """

    arm: Arm
    bodies: Bodies
    joints: JointProperties
    declared: Bodies
    gravity_scale: float = 1.0
    torque_gain: Array | float = 1.0
    torque_bias: Array | float = 0.0
    state_latency: float = 0.0
    command_latency: float = 0.0
    period_jitter: float = 0.0
    position_noise: float = 0.0
    velocity_noise: float = 0.0
    position_step: float = 0.0
    start_spread: float | None = 0.4

    @classmethod
    def of(cls, arm: Arm) -> World:
        """The world in which `arm` is as described."""
        return cls(arm, arm.bodies, JointProperties.of(arm), arm.bodies)


@dataclass(frozen=True)
class Term:
    """One property that can be drawn.

    Attributes:
        apply: changes a world by a drawn value, [n] where `per_joint`, else a number.
        unit: of the value.
        description: one phrase.
        minimum, maximum: what can be simulated.
        per_joint: whether every joint, or link, gets a draw of its own.
        described: the value with which the world is as described; None: it is not one number.
    """

    apply: Callable[[World, Array], None]
    unit: str
    description: str
    minimum: float
    maximum: float
    per_joint: bool = False
    described: float | None = 0.0


def _sets(name: str, factor: float = 1.0) -> Callable[[World, Array], None]:
    def apply(world: World, value: Array) -> None:
        setattr(world, name, value * factor)

    return apply


def _mass(world: World, value: Array) -> None:
    world.bodies = world.bodies.scaled(value)


def _centre(world: World, value: Array) -> None:
    # Along the link: from its joint towards its centre of mass.
    centre = world.bodies.centre
    length = np.linalg.norm(centre, axis=-1, keepdims=True)
    world.bodies = world.bodies.shifted(value[:, None] * centre / np.maximum(length, 1e-6))


def _payload(world: World, value: Array) -> None:
    if value > 0.0:
        world.bodies = world.bodies.with_payload(
            float(value), world.arm.chain.end_effector_translation
        )


def _declared_payload(world: World, value: Array) -> None:
    _payload(world, value)
    if value > 0.0:
        end_effector = world.arm.chain.end_effector_translation
        world.declared = world.declared.with_payload(float(value), end_effector)


def _joints(name: str, scale: bool = False) -> Callable[[World, Array], None]:
    def apply(world: World, value: Array) -> None:
        size = np.broadcast_to(value, (world.arm.joints,))
        new = size * getattr(world.joints, name) if scale else size
        world.joints = dataclasses.replace(world.joints, **{name: new})

    return apply


def _bias(world: World, value: Array) -> None:
    world.torque_bias = value * world.arm.torque_limit


def _start(world: World, value: Array) -> None:
    world.start_spread = None if value >= WIDE else float(value)


WIDE = 4.0  # rad of spread and more: starts anywhere in the joint ranges

TERMS: dict[str, Term] = {
    "mass_scale": Term(
        _mass, "", "factor on each link's mass and inertia", 0.2, 5.0, True, described=1.0
    ),
    "centre_offset": Term(_centre, "m", "each centre of mass further out", -0.2, 0.2, True),
    "payload_kg": Term(_payload, "kg", "at the end effector, unknown to g(q)", 0.0, 50.0),
    "declared_payload_kg": Term(_declared_payload, "kg", "the same, known to g(q)", 0.0, 50.0),
    "joint_damping_scale": Term(
        _joints("damping", scale=True),
        "",
        "factor on the viscous friction",
        0.0,
        20.0,
        True,
        described=1.0,
    ),
    "joint_damping": Term(
        _joints("damping"),
        "N·m·s/rad",
        "viscous friction of every joint",
        0.0,
        100.0,
        True,
        described=None,
    ),
    "coulomb_friction": Term(
        _joints("friction"),
        "N·m",
        "Coulomb friction of every joint",
        0.0,
        100.0,
        True,
        described=None,
    ),
    "armature": Term(
        _joints("armature"),
        "kg·m²",
        "rotor inertia seen at every joint",
        0.0,
        10.0,
        True,
        described=None,
    ),
    "torque_gain": Term(
        _sets("torque_gain"), "", "factor on each torque", 0.1, 3.0, True, described=1.0
    ),
    "torque_bias_fraction": Term(_bias, "", "added to each torque, of its limit", -0.5, 0.5, True),
    "gravity_scale": Term(
        _sets("gravity_scale"), "", "factor on the g(q) that holds", 0.0, 3.0, described=1.0
    ),
    "latency_ms": Term(
        _sets("state_latency", 1e-3),
        "ms",
        "from measurement to policy",
        0.0,
        500.0,
    ),
    "command_latency_ms": Term(
        _sets("command_latency", 1e-3), "ms", "from policy to joints", 0.0, 500.0
    ),
    "period_jitter_ms": Term(
        _sets("period_jitter", 1e-3), "ms", "a control period longer or shorter", 0.0, 50.0
    ),
    "position_noise": Term(_sets("position_noise"), "rad", "standard deviation", 0.0, 1.0),
    "velocity_noise": Term(_sets("velocity_noise"), "rad/s", "standard deviation", 0.0, 10.0),
    "position_step": Term(_sets("position_step"), "rad", "resolution of the encoders", 0.0, 0.1),
    "start_spread": Term(
        _start,
        "rad",
        f"starts so far from home; {WIDE:g} and more: anywhere",
        0.0,
        10.0,
        described=0.4,
    ),
}
"""A term is a function of a world and a value, and a line here."""

RandomizationConfig = dataclasses.make_dataclass(
    "RandomizationConfig",
    [
        (
            name,
            tuple[float, ...],
            setting(
                (),
                f"{term.description}: lowest and highest value, drawn per episode; empty: as "
                "described"
                + ("; or both of each joint in turn, 2 n numbers" if term.per_joint else ""),
                minimum=term.minimum,
                maximum=term.maximum,
                unit=term.unit,
            ),
        )
        for name, term in TERMS.items()
    ],
    frozen=True,
    namespace={"__doc__": "Ranges [low, high] of what differs per episode; see `TERMS`."},
)


class Randomization:
    """Draws worlds.

    Attributes:
        ranges: lowest and highest value by name, of what differs; where joints differ, those of
            each joint in turn [2 n].
    """

    def __init__(self, arm: Arm, ranges: Mapping[str, Sequence[float]] | None) -> None:
        """Takes ranges by the names of `TERMS`: a number, or low and high; empty ones are off.

        A term that is drawn per joint may have low and high of each joint in turn, [2 n].

        Raises:
            ConfigurationError: an unknown name, or a range that is not in the term's valid set.
        """
        self._arm = arm
        self.ranges = {
            name: _checked(name, values, arm.joints)
            for name, values in (ranges or {}).items()
            if np.size(values)
        }

    def draw(self, rng: np.random.Generator, share: float = 1.0) -> World:
        """A world of one episode.

        Args:
            rng: draws it.
            share: 0..1, of the way of each value from what is described to what was drawn. (What
                is not one number for all arms, such as their friction, is drawn whole.)
        """
        world = World.of(self._arm)
        for name, values in self.ranges.items():
            term = TERMS[name]
            low, high = values if len(values) == 2 else np.reshape(values, (-1, 2)).T
            value = np.asarray(
                rng.uniform(low, high, self._arm.joints if term.per_joint else None)
            )
            if share < 1.0 and term.described is not None:
                value = term.described + share * (value - term.described)
            term.apply(world, value)
        return world


def parse_perturbations(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Ranges by name of texts such as `latency_ms=20`, `mass_scale=0.8:1.2`, `start_spread=wide`.

    Raises:
        ConfigurationError: an unknown name, or a value outside the term's valid set.
    """
    ranges = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in TERMS:
            near = difflib.get_close_matches(name, TERMS, n=1, cutoff=0.4)
            raise ConfigurationError(
                f"a perturbation must be one of {', '.join(TERMS)}; got {name!r}"
                + (f" (closest: {near[0]})" if near else "")
            )
        words = [str(WIDE)] if (name, value) == ("start_spread", "wide") else value.split(":")
        try:
            ranges[name] = _checked(name, [float(word) for word in words])
        except ValueError as error:
            raise ConfigurationError(
                f"perturbation {name} must be {name}=VALUE or {name}=LOW:HIGH, in numbers "
                f"({TERMS[name].unit or 'no unit'}); got {text!r}"
            ) from error
    return ranges


def _checked(
    name: str, values: Sequence[float] | float, joints: int | None = None
) -> tuple[float, ...]:
    """Low and high, [2], or those of each joint in turn, [2 n], where joints are given."""
    if name not in TERMS:
        raise ConfigurationError(
            f"randomization must have keys among {', '.join(TERMS)}; got {name!r}"
        )
    term, each = TERMS[name], joints if TERMS[name].per_joint else None
    try:
        found = np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel()
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if len(found) == 1:
        found = np.repeat(found, 2)
    low, high = found[::2], found[1::2]
    fits = len(found) == 2 or (each is not None and len(found) == 2 * each)
    if not fits or not np.all((term.minimum <= low) & (low <= high) & (high <= term.maximum)):
        raise ConfigurationError(
            f"randomization {name} must be one number or two, low <= high, within "
            f"{term.minimum:g} to {term.maximum:g} {term.unit}".rstrip()
            + (f", or two for each of the {each} joints in turn" if each else "")
            + f"; got {values!r}"
        )
    return tuple(found.tolist())
