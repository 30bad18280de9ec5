# SPDX-License-Identifier: Apache-2.0
"""Gravity torque, mass matrix and torque-speed envelope, for numpy and torch arrays alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sac_ros.robots.kinematics import Chain, Frames, cross, like, namespace, rotation_of
from sac_ros.robots.urdf import Urdf
from sac_ros.utils.errors import ConfigurationError

Array = NDArray[np.float64]

_ROUNDING = 1e-9  # an inertia so near to impossible is beyond it after a rotation: MuJoCo refuses
GRAVITY = 9.81  # m/s², standard value that robot drivers compensate

CARRIED_TORQUE = "carried_torque"
"""Observation term of policies whose joints carry a torque beside that of their actions."""

CARRIED = 3.0
"""Times the torque at action 1: the most that they carry."""

DAMPING_DOUBT = "damping_doubt"
"""Observation term of policies whose actions are joint velocities."""

OWN = 4.0
"""Times the torque at action 1: the most of their servo."""

LOADS = 0.1
"""Of the torque limit: what they carry at most, beside 3 times the torque at action 1."""

ZERO_AT = 0.8  # share of the velocity limit at which no accelerating torque is left
WIDTH = 0.3  # share of the limit over which it falls from all to none
_DIRECTIONS = np.array([1.0, -1.0])
BRAKE = 0.25  # action of the brake at 1.8 times the limit and beyond; above 0.8 it rises from 0


@dataclass(frozen=True, eq=False)
class Bodies:
    """What the n joints of a chain move: body i is what joint i moves and joint i + 1 does not.

    Attributes:
        mass: [n] kg.
        centre: [n, 3] m, centre of mass in the frame of joint i.
        inertia: [n, 3, 3] kg·m² about the centre of mass, in the axes of that frame.
    """

    mass: Array
    centre: Array
    inertia: Array

    @classmethod
    def of(cls, urdf: Urdf, joint_names: tuple[str, ...], note: Callable[[str], object]) -> Bodies:
        """The bodies of an arm; links behind fixed joints, tools and grippers are part of them.

        An inertia that is impossible by up to a half, as some vendors publish them, is mended: the
        largest principal moment becomes the sum of the other two, and `note` gets the sentence. A
        link without inertia that is fixed to another is a point mass.

        Raises:
            ConfigurationError: a link has an impossible or placeholder inertia, or a joint moves
                nothing that has a mass.
        """
        n, moved = len(joint_names), {urdf.joints[name].child for name in joint_names}
        parts: list[list[tuple[float, Array, Array]]] = [[] for _ in range(n)]
        for link, inertial in urdf.links.items():
            mover, rotation, translation = place_of(urdf, link, joint_names)
            if mover is None or inertial is None:
                continue
            if inertial.mass > 0.0 and not inertial.inertia.any() and link not in moved:
                note(f"the link {link!r} has a mass but no inertia: taken as a point mass")
                inertia = inertial.inertia
            else:
                inertia = _possible(urdf, link, inertial.mass, inertial.inertia, note)
            turned = rotation @ rotation_of(inertial.rpy)
            parts[mover].append(
                (
                    inertial.mass,
                    translation + rotation @ np.array(inertial.xyz),
                    turned @ inertia @ turned.T,
                )
            )
        _refuse_placeholders(urdf, joint_names)
        for joint, part in zip(joint_names, parts, strict=True):
            if sum(mass for mass, _, _ in part) <= 0.0:
                raise ConfigurationError(
                    f"URDF {urdf.source}: the link {urdf.joints[joint].child!r}, which joint "
                    f"{joint!r} moves, must have a mass above 0 kg; give its <inertial>"
                )
        lumps = [_lump(part) for part in parts]
        mass, centre, inertia = (np.array(each) for each in zip(*lumps, strict=True))
        return cls(mass, centre, inertia)

    @cached_property
    def _inertia_root(self) -> Array:
        """[n, 3, 3] L with L Lᵀ the inertia."""
        moments, axes = np.linalg.eigh(self.inertia)
        root: Array = axes * np.sqrt(np.maximum(moments, 0.0))[:, None, :]
        return root

    def scaled(self, factor: ArrayLike) -> Bodies:
        """The bodies with masses and inertias times `factor`, one number or [n]."""
        k = np.broadcast_to(np.asarray(factor, dtype=np.float64), self.mass.shape)
        return Bodies(self.mass * k, self.centre, self.inertia * k[:, None, None])

    def shifted(self, offset: ArrayLike) -> Bodies:
        """The bodies with their centres of mass moved by `offset` [n, 3] m."""
        return dataclasses.replace(self, centre=self.centre + np.asarray(offset))

    def with_payload(self, mass: float, centre: ArrayLike) -> Bodies:
        """The bodies with a point mass, kg, at `centre` [3] m in the frame of the last joint."""
        own = (float(self.mass[-1]), self.centre[-1], self.inertia[-1])
        load = (mass, np.asarray(centre, dtype=np.float64), np.zeros((3, 3)))
        last = _lump([own, load])
        return Bodies(
            np.append(self.mass[:-1], last[0]),
            np.vstack([self.centre[:-1], last[1]]),
            np.concatenate([self.inertia[:-1], last[2][None]]),
        )

    def gravity_torque(self, chain: Chain, frames: Frames) -> Any:
        """g(q) [..., n] N·m, what holds the chain against gravity; the base frame's z points up.

        With o_i the origin and z_i the axis of joint i, M_i the mass and S_i the sum of mass times
        position of everything that joint i moves, in the base frame:

            g_i(q) = ∂U/∂q_i = γ · [z_i × (S_i − M_i · o_i)]_z,   γ = 9.81 m/s²
        """
        z = chain.axes(frames)
        mass = like(self.mass, z)[:, None]
        # Row i of the sum takes the bodies from i to the end effector.
        outwards = like(np.triu(np.ones((len(self.mass),) * 2)), z)
        lever = outwards @ (mass * self._centres(frames)) - (outwards @ mass) * frames.origin
        return GRAVITY * (z[..., 0] * lever[..., 1] - z[..., 1] * lever[..., 0])

    def mass_matrix(self, chain: Chain, frames: Frames) -> Any:
        """M(q) [..., n, n] kg·m², without the motors' own inertia.

            M(q) = Σ_k m_k Jv_kᵀ Jv_k + Jw_kᵀ I_k Jw_k,   Jv_k,i = z_i × (c_k − o_i), Jw_k,i = z_i

        as one product of its root with itself, of rows √m_k Jv_k and L_kᵀ Jw_k, I_k = L_k L_kᵀ,
        for the joints i ≤ k that move body k with centre of mass c_k (Siciliano et al., Robotics,
        2009, eq. 7.32).
        """
        xp, n = namespace(frames.origin), len(self.mass)
        # In each body's own frame: its joint's axis, its centre of mass, the root of its inertia.
        columns = np.concatenate(
            (chain.axis[..., None], self.centre[..., None], self._inertia_root), -1
        )
        turned = frames.rotation @ like(columns, frames.rotation)
        z, centre = turned[..., None, :, :, 0], frames.origin + turned[..., 1]
        arm = centre[..., :, None, :] - frames.origin[..., None, :, :]
        moves = np.tril(np.ones((n, n)))[..., None]
        linear = cross(z, arm) * like(moves * np.sqrt(self.mass)[:, None, None], z)
        angular = (z @ turned[..., 2:]) * like(moves, z)
        root = xp.concatenate((linear, angular), -1).swapaxes(-3, -2)  # [..., i, k, 6]
        root = root.reshape(*root.shape[:-2], 6 * n)
        return root @ root.swapaxes(-1, -2)

    def inverse_dynamics(
        self, chain: Chain, frames: Frames, velocity: Any, acceleration: Any
    ) -> Any:
        """M(q) q̈ + c(q, q̇) [..., n] N·m, without gravity and without the motors' own inertia.

        Newton-Euler (Siciliano et al., Robotics, 2009, ch. 7.5) in the base frame, where its
        recursions are sums: with ω, α the angular velocity and acceleration of body i, and a that
        of its centre of mass c,

            ω_i = Σ_j≤i z_j q̇_j,   α_i = Σ_j≤i z_j q̈_j + ω_j-1 × z_j q̇_j
            f_i = m_i a_i,   n_i = I_i α_i + ω_i × I_i ω_i
            τ_i = z_i · Σ_k≥i (n_k + (c_k − o_i) × f_k)

        Args:
            chain: the kinematics.
            frames: of the positions.
            velocity: [..., n] rad/s.
            acceleration: [..., n] rad/s².
        """
        z, origin, centre = chain.axes(frames), frames.origin, self._centres(frames)
        turning = z * velocity[..., None]
        omega = turning.cumsum(-2)
        below = omega - turning  # of the body that carries joint i
        alpha = (z * acceleration[..., None] + cross(below, turning)).cumsum(-2)
        alpha_below = alpha - z * acceleration[..., None] - cross(below, turning)
        link = origin - namespace(z).concatenate((origin[..., :1, :], origin[..., :-1, :]), -2)
        moved = (cross(alpha_below, link) + cross(below, cross(below, link))).cumsum(-2)
        lever = centre - origin
        accelerated = moved + cross(alpha, lever) + cross(omega, cross(omega, lever))
        force = like(self.mass, z)[:, None] * accelerated
        inertia = frames.rotation @ like(self.inertia, z) @ frames.rotation.swapaxes(-1, -2)
        spin = (inertia @ omega[..., None])[..., 0]
        moment = (inertia @ alpha[..., None])[..., 0] + cross(omega, spin) + cross(centre, force)
        outwards = like(np.triu(np.ones((len(self.mass),) * 2)), z)
        return (z * (outwards @ moment - cross(origin, outwards @ force))).sum(-1)

    def _centres(self, frames: Frames) -> Any:
        """Centres of mass in the base frame, [..., n, 3] m."""
        centre = like(self.centre, frames.rotation)[..., None]
        return frames.origin + (frames.rotation @ centre)[..., 0]


def damped_torque(
    action: Any,
    velocity: Any,
    *,
    scale: Array,
    damping: Array,
    velocity_limit: Array,
) -> Any:
    """The torque [..., n] N·m that an action [..., n] in −1..1 stands for; gravity is apart.

        τ = scale · u,   u = a − damping · q̇ / scale,   within the `torque_speed_envelope`

    so that an arm comes to rest by itself under zero action. Without damping a policy has to
    learn all of it, and in some configurations it does not: the arm circles about its goal, or
    trembles.

    Args:
        action: [..., n], numpy or torch.
        velocity: [..., n] rad/s.
        scale: [n] N·m at action 1.
        damping: [n] N·m·s/rad.
        velocity_limit: [n] rad/s.
    """
    wanted = action - like(damping / scale, velocity) * velocity
    bounded = torque_speed_envelope(wanted, velocity / like(velocity_limit, velocity))
    return like(scale, velocity) * bounded


def damped_action(torque: Any, velocity: Any, *, scale: Array, damping: Array) -> Any:
    """The action [..., n] that stands for torques [..., n]: `damped_torque` without its envelope.

    a = (τ + damping · q̇) / scale,   within −1..1
    """
    wanted = (torque + like(damping, velocity) * velocity) / like(scale, velocity)
    return wanted.clip(-1.0, 1.0)


def most_torque(scale: Array, limit: Array, terms: Container[str]) -> Array:
    """[n] N·m, the most that a policy asks for beside g(q).

    Args:
        scale: [n] N·m at action 1.
        limit: [n] N·m, of the torque.
        terms: the names of its observation's terms, which decide what is beneath its actions.
    """
    most = OWN * scale if DAMPING_DOUBT in terms else scale
    if CARRIED_TORQUE in terms:
        most = most + CARRIED * scale
        if DAMPING_DOUBT in terms:
            most = most + LOADS * limit
    return np.minimum(most, limit)


def torque_speed_envelope(torque: Any, velocity_fraction: Any) -> Any:
    """The torque u [..., n], over its joint's scale, bounded by how fast each joint already moves.

    With v the velocity over its limit, per joint:

        −sat(0.8 + v) ≤ u ≤ sat(0.8 − v),   sat(x) = clip(max(x / 0.3, x / 4), −1/4, 1)

    Up to 50 % of the limit nothing changes; from 80 % on no torque accelerates the joint further,
    and beyond it brakes: an arm that folds while it turns speeds up by itself. The brake is gentle
    on purpose: held for a control period T, a strong one throws a joint of little inertia to the
    other side. Alone, a joint with the effective inertia Λ = 1 / (M⁻¹)_ii is stable while

        action_scale · T / (4 v_limit Λ) < 2

    In the iiwa's rare worst configurations Λ is a thirtieth of its usual value: with a slope of 1
    in place of 1/4, twice the action scale made its first and third joint oscillate at three times
    their limit in one configuration of ten, and nothing was learned. The envelope is part of the
    controller, in the exported graph too, so that exploration and the robot keep to the same
    velocities.

    Args:
        torque: [..., n], numpy or torch.
        velocity_fraction: [..., n], joint velocities over their limits.
    """
    xp = namespace(velocity_fraction)
    # Both directions at once: 0.8 + v, then 0.8 − v.
    room = ZERO_AT + velocity_fraction[..., None] * like(_DIRECTIONS, velocity_fraction)
    saturated = xp.maximum(room / WIDTH, BRAKE * room).clip(-BRAKE, 1.0)
    return xp.minimum(xp.maximum(torque, -saturated[..., 0]), saturated[..., 1])


def place_of(
    urdf: Urdf, link: str, joint_names: tuple[str, ...]
) -> tuple[int | None, Array, Array]:
    """Which joint moves a link, and the link's rotation [3, 3] and place [3] m in its frame.

    A joint that is none of `joint_names`, a gripper's, counts as fixed at zero. None, with the
    place in the root link's frame, for a link that stands still.
    """
    rotation, translation = np.eye(3), np.zeros(3)
    while link in urdf.joint_above:
        joint = urdf.joint_above[link]
        if joint.name in joint_names:
            return joint_names.index(joint.name), rotation, translation
        fixed = rotation_of(joint.rpy)
        rotation, translation = fixed @ rotation, np.array(joint.xyz) + fixed @ translation
        link = joint.parent
    return None, rotation, translation


def _lump(parts: list[tuple[float, Array, Array]]) -> tuple[float, Array, Array]:
    """One body of several (mass, centre, inertia), by the parallel axis theorem."""
    mass = sum(m for m, _, _ in parts)
    centre = sum((m * c for m, c, _ in parts), np.zeros(3)) / mass
    inertia = np.zeros((3, 3))
    for m, c, own in parts:
        away = c - centre
        inertia += own + m * (away @ away * np.eye(3) - np.outer(away, away))
    return mass, centre, inertia


def _possible(
    urdf: Urdf, link: str, mass: float, inertia: Array, note: Callable[[str], object]
) -> Array:
    """The inertia [3, 3] if a rigid body can have it (Lynch and Park 2017, ch. 8), or mended."""
    moments, axes = np.linalg.eigh(inertia)
    words = ", ".join(f"{moment:.3g}" for moment in moments)
    where = f"URDF {urdf.source}: the link {link!r}"
    if mass < 0.0 or (mass == 0.0 and np.any(inertia)):
        raise ConfigurationError(f"{where} must have a mass above 0 kg; got {mass:g} kg")
    if mass > 1e-6 and moments[0] <= 0.0:
        raise ConfigurationError(
            f"{where} must have principal moments of inertia above 0 kg·m²; its mass is {mass:g} "
            f"kg and they are {words}"
        )
    if mass > 0.0 and moments[2] > mass:  # a radius of gyration of a metre
        raise ConfigurationError(
            f"{where} has an implausible inertia: {moments[2]:.3g} kg·m² at {mass:g} kg is that "
            "of a body metres wide"
        )
    excess = moments[2] / (moments[0] + moments[1]) if np.any(moments) else 1.0
    if excess > 1.5:
        raise ConfigurationError(
            f"{where} has an impossible inertia: no principal moment can be above the sum of the "
            f"other two; got {words} kg·m²"
        )
    if excess > 1.0 + _ROUNDING:
        note(
            f"the link {link!r} has an impossible inertia, principal moments {words} kg·m²: the "
            "largest is taken as the sum of the other two"
        )
    if excess > 1.0 - _ROUNDING:
        moments[2] = (moments[0] + moments[1]) * (1.0 - _ROUNDING)
        return np.asarray(axes @ np.diag(moments) @ axes.T)
    return inertia


def _refuse_placeholders(urdf: Urdf, joint_names: tuple[str, ...]) -> None:
    """Refuses the same sphere's inertia on three or more links of different masses."""
    alike: dict[float, dict[str, float]] = {}
    for joint in joint_names:
        link = urdf.joints[joint].child
        inertial = urdf.links[link]
        if inertial is not None and np.ptp(np.linalg.eigvalsh(inertial.inertia)) < 1e-12:
            alike.setdefault(float(inertial.inertia[0, 0]), {})[link] = inertial.mass
    for moment, links in alike.items():
        if len(links) >= 3 and len(set(links.values())) > 1:
            raise ConfigurationError(
                f"URDF {urdf.source} has placeholder inertias: the links {', '.join(links)} all "
                f"have {moment:g} kg·m² about every axis; give each its own"
            )
