# SPDX-License-Identifier: Apache-2.0
"""The guards do to many states at once, as an evaluation of a bag asks, what they do to each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sac_ros.policy import guards
from sac_ros.policy.safety_config import BRAKE_TIME, LAG, STANDOFF, Array, JointLimits

LIMITS = JointLimits(
    joint_names=("shoulder", "elbow"),
    torque=np.array([10.0, 5.0]),
    slew=np.array([1000.0, 500.0]),
    position=np.array([[-1.0, 1.0], [-2.0, 0.5]]),
    velocity=np.array([2.0, 3.0]),
    stop_damping=np.array([1.0, 0.5]),
    brake=np.array([4.0, 2.0]),
    stop=np.array([4.0, 2.0]),
    safe_torque=np.zeros(2),
    mass_matrix=lambda q: np.eye(2) + 0.1 * q[..., None] * q[..., None, :],
    inverse_mass=lambda q: np.linalg.inv(np.eye(2) + 0.1 * q[..., None] * q[..., None, :]),
)
STATES = arrays(float, (6, 2), elements=st.floats(-4.0, 4.0))
TORQUES = arrays(float, (6, 2), elements=st.floats(-30.0, 30.0))
GUARDS: dict[str, Callable[[Array, Array], Array]] = {
    "controlled stop": lambda torque, state: guards.braking_torque(state, torque, LIMITS),
    "stop fraction": lambda _, state: guards.stop_fraction(state, 0.3 * state, LIMITS),
    "stop": lambda torque, state: guards.stop_where_too_fast(torque, state, 0.3 * state, LIMITS),
    "take back": lambda torque, state: guards.use_what_can_be_taken_back(
        torque, state, 0.3 * state, LIMITS
    ),
    "hold": lambda torque, state: guards.hold_at_limits(torque, state, 0.3 * state, LIMITS),
    "clamp": lambda torque, _: guards.clamp(torque, LIMITS),
    "fade": lambda torque, state: guards.fade_at_position_limits(torque, state, LIMITS, 0.05),
    "brake": lambda torque, state: guards.brake_at_velocity_limits(torque, state, LIMITS),
    "slew": lambda torque, state: guards.limit_slew(torque, state, 0.002, LIMITS),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS.keys())
@given(torque=TORQUES, state=STATES)
def test_many_states_at_once_are_guarded_as_one_after_the_other(
    guard: Callable[[Array, Array], Array], torque: Array, state: Array
) -> None:
    each = np.array([guard(torque[row], state[row]) for row in range(len(torque))])
    np.testing.assert_allclose(guard(torque, state), each, rtol=0.0, atol=1e-12)


def test_a_joint_may_be_as_fast_as_the_brake_can_stop_it_before_its_limit() -> None:
    def fraction(position: float, velocity: float) -> float:
        state = np.array([position, -1.0]), np.array([velocity, 0.0])
        return float(guards.stop_fraction(*state, LIMITS)[0])

    assert fraction(-1.0, 2.0) == 0.0  # at the velocity limit, far from the position limit
    assert fraction(-1.0, 2.7) == 1.0
    assert fraction(0.9, 0.1) == 0.0
    assert fraction(0.9, 1.0) == 1.0
    assert fraction(0.9, -1.0) == 0.0  # away from it
    allowed = (1.0 - 0.7 - STANDOFF - LAG * 1.6) / (2.0 * BRAKE_TIME)
    assert fraction(0.7, 1.6) == pytest.approx((1.58 / allowed - 1.0) / 0.3)
    assert fraction(1.0, 0.01) == 0.0  # it may creep, and come back
    assert fraction(1.0, 0.1) == 1.0


@given(torque=TORQUES, position=STATES, velocity=STATES)
def test_an_arm_is_stopped_by_the_fraction_and_never_otherwise(
    torque: Array, position: Array, velocity: Array
) -> None:
    fraction = guards.stop_fraction(position, velocity, LIMITS)
    stop = guards.braking_torque(position, velocity, LIMITS)
    found = guards.stop_where_too_fast(torque, position, velocity, LIMITS)
    np.testing.assert_allclose(found, (1.0 - fraction) * torque + fraction * stop, atol=1e-12)


@given(torque=TORQUES, state=STATES)
def test_a_guard_leaves_what_it_is_given_as_it_was(torque: Array, state: Array) -> None:
    before = torque.copy(), state.copy()
    for guard in GUARDS.values():
        guard(torque, state)
    np.testing.assert_array_equal(torque, before[0])
    np.testing.assert_array_equal(state, before[1])


@given(arrays(float, 4, elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_a_value_that_is_not_finite_is_found_and_a_great_one_is_none(values: Array) -> None:
    assert guards.all_finite(values) == bool(np.isfinite(values).all())


@given(torque=TORQUES, position=STATES, velocity=STATES, gravity=st.none() | STATES)
def test_all_guards_together_do_to_many_states_what_they_do_to_each_and_tell_every_step(
    torque: Array, position: Array, velocity: Array, gravity: Array | None
) -> None:
    found, steps = guards.guarded(torque, gravity, position, velocity, LIMITS, 0.05)
    for row in range(len(torque)):
        carried = None if gravity is None else gravity[row]
        each, its = guards.guarded(
            torque[row], carried, position[row], velocity[row], LIMITS, 0.05
        )
        np.testing.assert_allclose(found[row], each, rtol=0.0, atol=1e-12)
        assert [kind for kind, *_ in its] == ([kind for kind, *_ in steps] if its else [])
        assert its or np.array_equal(each, torque[row])  # nothing to do is told by no step
        assert np.abs(each).max() <= LIMITS.torque.max()
    for (_, _, after), (_, before, _) in zip(steps[:-2], steps[1:-1], strict=True):
        assert after is before


@given(
    torque=arrays(float, 2, elements=st.floats(-12.0, 12.0)),
    position=arrays(float, 2, elements=st.floats(-2.1, 1.1)),
    velocity=arrays(float, 2, elements=st.floats(-3.0, 3.0)),
)
def test_where_no_guard_has_anything_to_do_that_is_found_out_first(
    torque: Array, position: Array, velocity: Array
) -> None:
    after = guards.fade_at_position_limits(torque, position, LIMITS, 0.05)
    after = guards.brake_at_velocity_limits(after, velocity, LIMITS)
    after = guards.stop_where_too_fast(after, position, velocity, LIMITS)
    after = guards.hold_at_limits(after, position, velocity, LIMITS)
    after = guards.use_what_can_be_taken_back(after, position, velocity, LIMITS)
    found, _ = guards.guarded(torque, None, position, velocity, LIMITS, 0.05)
    np.testing.assert_array_equal(found, guards.clamp(after, LIMITS))
