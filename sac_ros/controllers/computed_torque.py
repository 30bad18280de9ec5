# SPDX-License-Identifier: Apache-2.0
"""The textbook controller: inverse kinematics, a smooth path, computed torque.

It is what a learned policy is measured against, at the same rate, by the same measurements, with
the same goals and, by default, the same torque.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_ros.controllers import inverse_kinematics as ik
from sac_ros.robots.arm import Arm

Array = NDArray[np.float64]

STIFFNESS = 5.0  # rad/s, the bandwidth ω of the joints' feedback: stable with 60 ms of latency
INTEGRAL = 0.2  # of ω³, the slow integral
WINDUP = 6.0  # rad/s², the most that the integral adds
PEAK_SPEED = 0.88  # of a velocity limit, on the way
PEAK_TORQUE = 0.8  # of the torque there is, likewise
CATCH_UP = 6.0  # 1/s, how a moving goal is caught up with
ITERATIONS_PER_CALL = 6  # of the inverse kinematics: some 2 ms
_PLAN = 11  # numbers of the memory before a plan: begun, time, duration, iteration, goal
HOME = 0.5  # 1/s, how a redundant arm goes home while it follows


@dataclass(frozen=True, eq=False)
class ComputedTorque:
    """Torques for k arms of n joints; a pure function, whose memory is an array that it returns.

    A goal that stands is reached along a straight line in joint space with the minimum-jerk time
    law (Flash and Hogan 1985), s = 10 u³ − 15 u⁴ + 6 u⁵ with u = t/T, to the nearest configuration
    at the goal. T is the least time in which no joint moves faster than `PEAK_SPEED` of its limit,
    nor needs more than `PEAK_TORQUE` of its torque. A goal that moves is followed by its velocity:
    q̇_d = J⁺ (ẋ_g + K e) + (I − J⁺ J) (home − q_d) / T_h. With q_d of either,

        τ = M(q) (q̈_d + 2 ω ė + ω² e + 0.2 ω³ ∫e) + c(q, q̇) + D (q̇_d + ω e) + F sign q̇_d

    and e = q_d − q (Siciliano et al., Robotics, 2009, eq. 8.57; a joint of much damping and little
    inertia needs the second ω e, see Slotine and Li 1987), plus g(q) where the robot adds none.

    Attributes:
        arm: the arm as described: no payload, latency or other friction.
        rate: Hz, at which it is called.
        limit: [n] N·m, its torque is within; g(q) comes on top.
        moving: whether goals move.
        holds_gravity: whether the torque holds g(q).
    """

    arm: Arm
    rate: float
    limit: Array
    moving: bool = False
    holds_gravity: bool = False

    @property
    def state_size(self) -> int:
        """The width m of the memory: zeros at the start, then what `torque` returned last."""
        n = self.arm.joints
        return 1 + 3 * n if self.moving else _PLAN + (3 + ik.STARTS) * n

    def torque(
        self,
        position: Array,
        velocity: Array,
        goal: Array,
        goal_velocity: Array,
        state: Array,
    ) -> tuple[Array, Array]:
        """Torques [k, n] N·m and the memory [k, m] of the next call.

        Args:
            position: [k, n] rad.
            velocity: [k, n] rad/s.
            goal: [k, 3] m, or [k, 7] with a quaternion x y z w.
            goal_velocity: [k, 3] m/s.
            state: [k, m].
        """
        n, period = self.arm.joints, 1.0 / self.rate
        state = state.copy()
        if self.moving:
            way = self._follow(position, velocity, goal, goal_velocity, state)
        else:
            way = self._way(position, goal, state)
        desired, speed, acceleration = way
        integral = state[:, -n:]
        error = desired - position
        commanded = (
            acceleration + 2.0 * STIFFNESS * (speed - velocity) + STIFFNESS**2 * error + integral
        )
        arm = self.arm
        frames = arm.chain.frames_at(position)
        torque = arm.bodies.inverse_dynamics(arm.chain, frames, velocity, commanded)
        torque += arm.armature * commanded + arm.friction * np.sign(speed)
        torque += arm.damping * (speed + STIFFNESS * error)
        bounded = np.clip(torque, -self.limit, self.limit)
        grown = integral + INTEGRAL * STIFFNESS**3 * period * error
        # An integral that grows while its joint's torque is at its limit would overshoot.
        state[:, -n:] = np.where(torque == bounded, np.clip(grown, -WINDUP, WINDUP), integral)
        if self.holds_gravity:
            bounded = bounded + arm.bodies.gravity_torque(arm.chain, frames)
        return np.clip(bounded, -arm.torque_limit, arm.torque_limit), state

    def _way(self, position: Array, goal: Array, state: Array) -> tuple[Array, Array, Array]:
        """q_d, q̇_d and q̈_d [k, n] on the way to goals that stand; plans again for other ones.

        A plan is made in several calls: none takes long, and the same memory gives the same plan.
        Until it is there the arm goes on as before.
        """
        n, size = self.arm.joints, goal.shape[1]
        known = state[:, 4 : 4 + size]
        begin, end, search, _ = np.split(state, _PLAN + n * np.array([0, 1, 2, 2 + ik.STARTS]), 1)[
            1:
        ]
        fresh = state[:, 0] == 0.0
        state[fresh, 0] = state[fresh, 2] = 1.0
        begin[fresh] = end[fresh] = position[fresh]
        changed = fresh | np.any(known != goal, axis=1)
        known[changed] = goal[changed]
        state[changed, 3] = 1.0
        way = _minimum_jerk(state, begin, end)
        if changed.any():
            search[changed] = ik.starts(self.arm, way[0][changed]).reshape(-1, ik.STARTS * n)
        planning = np.flatnonzero(state[:, 3])
        if len(planning):
            self._plan(planning, goal, way[0], state, begin, end, search)
            way = _minimum_jerk(state, begin, end)
        state[:, 1] += 1.0 / self.rate
        return way

    def _plan(
        self,
        rows: NDArray[np.intp],
        goal: Array,
        reference: Array,
        state: Array,
        begin: Array,
        end: Array,
        search: Array,
    ) -> None:
        """Goes on with the inverse kinematics of `rows`, and begins the ways of those that end."""
        arm, goals = self.arm, goal[rows]
        found = search[rows].reshape(len(rows), ik.STARTS, arm.joints)
        for _ in range(ITERATIONS_PER_CALL):
            found = ik.improve(arm, goals, found, state[rows, 3] - 1.0)
            state[rows, 3] += 1.0
        search[rows] = found.reshape(len(rows), -1)
        iteration = state[rows, 3]
        ready = (iteration > ik.HOME_ITERATIONS) & ik.arrived(arm, goals, found)
        ready |= iteration > ik.ITERATIONS
        ended = rows[ready]
        # From where the reference is, so that it does not jump.
        begin[ended] = reference[ended]
        end[ended] = ik.soonest(arm, goals[ready], found[ready], reference[ended])
        for row in ended:
            state[row, 1:4] = 0.0, self._least_time(begin[row], end[row]), 0.0

    def _least_time(self, begin: Array, end: Array) -> float:
        arm, way = self.arm, end - begin
        inertia = arm.bodies.mass_matrix(arm.chain, arm.chain.frames_at(0.5 * (begin + end)))
        needed = np.abs((inertia + np.diag(arm.armature)) @ way)
        fastest = 1.875 * np.abs(way) / (PEAK_SPEED * arm.velocity_limit)
        # 5.77 and 1.875: the peaks of the time law's second and first derivative. With a T² as
        # large as what is needed at most of b T for damping and c for the inertia:
        room = np.maximum(PEAK_TORQUE * self.limit - arm.friction, 0.1 * self.limit)
        damped = 0.5 * 1.875 * arm.damping * np.abs(way) / room
        strongest = damped + np.sqrt(damped**2 + 5.77 * needed / room)
        return float(max(0.1, fastest.max(), strongest.max()))

    def _follow(
        self, position: Array, velocity: Array, goal: Array, goal_velocity: Array, state: Array
    ) -> tuple[Array, Array, Array]:
        """q_d, q̇_d and q̈_d [k, n] for goals that move."""
        arm, n, period = self.arm, self.arm.joints, 1.0 / self.rate
        fresh = state[:, 0] == 0.0
        state[fresh, 0] = 1.0
        state[fresh, 1 : 1 + n], state[fresh, 1 + n : 1 + 2 * n] = position[fresh], velocity[fresh]
        wanted, speed = state[:, 1 : 1 + n].copy(), state[:, 1 + n : 1 + 2 * n].copy()
        frames = arm.chain.frames_at(wanted)
        jacobian = arm.chain.jacobian(frames)[:, :3]
        inverse = ik.damped_inverse(jacobian)
        # Where the goal will be at the end of this period.
        missing = (
            goal
            + period * goal_velocity
            - frames.end_effector
            - period * ((jacobian @ speed[..., None])[..., 0])
        )
        home = HOME * (arm.home - wanted)[..., None]
        way = (goal_velocity + CATCH_UP * missing)[..., None]
        aimed = (inverse @ (way - jacobian @ home) + home)[..., 0]
        over = np.abs(aimed / (PEAK_SPEED * arm.velocity_limit)).max(axis=1, keepdims=True)
        aimed /= np.maximum(over, 1.0)
        inertia = np.einsum("kii->ki", arm.bodies.mass_matrix(arm.chain, frames)) + arm.armature
        most = PEAK_TORQUE * self.limit / inertia * period
        change = aimed - speed
        # All joints by one factor, so that the end effector keeps its direction.
        change /= np.maximum(np.abs(change / most).max(axis=1, keepdims=True), 1.0)
        following = speed + change
        low, high = arm.position_limit.T
        state[:, 1 : 1 + n] = np.clip(wanted + 0.5 * period * (speed + following), low, high)
        state[:, 1 + n : 1 + 2 * n] = following
        return wanted, speed, change / period


def _minimum_jerk(state: Array, begin: Array, end: Array) -> tuple[Array, Array, Array]:
    """Place, velocity and acceleration [k, n] at the time and of the duration in `state`."""
    duration = state[:, 2:3]
    u = np.clip(state[:, 1:2] / duration, 0.0, 1.0)
    way = end - begin
    place = begin + way * (u**3 * (10.0 - 15.0 * u + 6.0 * u**2))
    velocity = way * (30.0 * u**2 * (1.0 - u) ** 2) / duration
    return place, velocity, way * (60.0 * u * (1.0 - u) * (1.0 - 2.0 * u)) / duration**2
