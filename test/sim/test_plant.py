# SPDX-License-Identifier: Apache-2.0
"""A plant delays, disturbs and compensates what its world says, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sac_ros.robots.arm import load_arm
from sac_ros.sim.backend import Backend, make_backend
from sac_ros.sim.plant import Plant
from sac_ros.sim.randomization import World

ARM = load_arm("iiwa")
N = ARM.joints
SUBSTEPS = 10  # 20 ms
ZERO = np.zeros(N)
LOAD = ARM.bodies.with_payload(3.0, ARM.chain.end_effector_translation)
Make = Callable[..., Plant]


@pytest.fixture
def make() -> Iterator[Make]:
    """A plant at home in a world with these properties."""
    backends: list[Backend] = []

    def plant(name: str = "mujoco", *, carried: bool = False, **properties: Any) -> Plant:
        backends.append(make_backend(name, ARM, gravity=carried))
        made = Plant(backends[-1], SUBSTEPS)
        world = dataclasses.replace(World.of(ARM), **properties)
        made.begin(world, ARM.home, np.random.default_rng(0))
        return made

    yield plant
    for backend in backends:
        backend.close()


def torques(periods: int) -> np.ndarray:
    drawn = np.random.default_rng(7).uniform(-0.5, 0.5, (periods, N))
    return drawn * ARM.action_scale


def run(plant: Plant, periods: int = 20) -> np.ndarray:
    """What is measured before the first torque and after each: [periods + 1, 2n + 7]."""
    rows = [plant.measure()]
    for torque in torques(periods):
        plant.hold(torque)
        rows.append(plant.measure())
    return np.array(rows)


def moved(plant: Plant, torque: np.ndarray = ZERO, periods: int = 15) -> float:
    """How far, rad, a constant torque takes the joint that moves most."""
    for _ in range(periods):
        plant.hold(torque)
    return float(np.abs(np.array(plant.true_state[:N]) - ARM.home).max())


# ---- delays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bullet", "mujoco"])
def test_as_described_it_is_the_backend_and_nothing_else(make: Make, name: str) -> None:
    found = run(make(name))
    backend = make_backend(name, ARM, gravity=False)
    for row, torque in zip(found[1:], torques(20), strict=True):
        backend.step(torque.tolist(), SUBSTEPS)
        np.testing.assert_array_equal(row, backend.read())
    backend.close()


@pytest.mark.parametrize("late", [1, 2, 5])
def test_with_a_state_latency_of_k_periods_it_measures_what_was_k_periods_before(
    make: Make, late: int
) -> None:
    punctual, delayed = run(make()), run(make(state_latency=late * 0.02))
    np.testing.assert_array_equal(delayed[late:], punctual[:-late])
    np.testing.assert_array_equal(delayed[:late], np.tile(punctual[0], (late, 1)))


def test_with_half_a_period_of_state_latency_it_measures_the_middle_of_the_period(
    make: Make,
) -> None:
    delayed = run(make(state_latency=0.01))
    backend = make_backend("mujoco", ARM, gravity=False)
    for row, torque in zip(delayed[1:], torques(20), strict=True):
        backend.step(torque.tolist(), SUBSTEPS // 2)
        np.testing.assert_array_equal(row, backend.read())
        backend.step(torque.tolist(), SUBSTEPS // 2)
    backend.close()


def test_a_late_measurement_is_of_a_motion_that_is_not_late(make: Make) -> None:
    punctual, delayed = make(), make(state_latency=0.05)
    run(punctual)
    run(delayed)
    np.testing.assert_array_equal(delayed.true_state, punctual.true_state)


@pytest.mark.parametrize("late", [1, 3])
def test_with_a_command_latency_of_k_periods_the_arm_moves_k_periods_later(
    make: Make, late: int
) -> None:
    punctual, delayed = run(make()), run(make(command_latency=late * 0.02))
    np.testing.assert_allclose(delayed[late:], punctual[:-late], atol=1e-9)
    np.testing.assert_allclose(delayed[:late], np.tile(punctual[0], (late, 1)), atol=1e-9)


def test_with_a_third_of_a_period_of_command_latency_a_torque_begins_within_its_period(
    make: Make,
) -> None:
    delayed = run(make(command_latency=0.006))
    backend, before = make_backend("mujoco", ARM, gravity=False), ZERO
    for row, torque in zip(delayed[1:], torques(20), strict=True):
        backend.step(before.tolist(), 3)
        backend.step(torque.tolist(), 7)
        before = torque
        np.testing.assert_array_equal(row, backend.read())
    backend.close()


def test_both_latencies_add_up(make: Make) -> None:
    punctual = run(make())
    both = run(make(state_latency=0.04, command_latency=0.02))
    np.testing.assert_allclose(both[3:], punctual[:-3], atol=1e-9)


def test_no_measurement_piles_up_however_long_it_runs(make: Make) -> None:
    for latencies in ({"command_latency": 0.05}, {"state_latency": 0.05}):
        plant = make("mock", **latencies)
        run(plant, 200)
        assert len(plant._snapshots) < 10
        assert len(plant._commands) < 10


def test_a_period_with_jitter_is_longer_or_shorter_by_so_much_and_repeats_by_its_seed(
    make: Make,
) -> None:
    plant, again = make(period_jitter=0.006), make(period_jitter=0.006)
    steps: list[int] = []
    step = plant.backend.step
    plant.backend.step = lambda torque, k: (steps.append(k), step(torque, k))[1]  # type: ignore
    found = run(plant, 200)
    assert (min(steps), max(steps)) == (7, 13)
    assert np.mean(steps) == pytest.approx(SUBSTEPS, abs=0.5)
    np.testing.assert_array_equal(found, run(again, 200))


# ---- gains and biases --------------------------------------------------------------------------


def test_a_gain_is_a_factor_on_every_torque(make: Make) -> None:
    gain = np.linspace(0.7, 1.3, N)
    plant, plain = make(torque_gain=gain), make()
    for torque in torques(20):
        plant.hold(torque)
        plain.hold(gain * torque)
    np.testing.assert_array_equal(plant.true_state, plain.true_state)


def test_a_bias_is_added_to_every_torque(make: Make) -> None:
    bias = 0.1 * ARM.action_scale
    plant, plain = make(torque_bias=bias), make()
    for torque in torques(20):
        plant.hold(torque)
        plain.hold(torque + bias)
    np.testing.assert_array_equal(plant.true_state, plain.true_state)


# ---- gravity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bullet", "mujoco"])
def test_a_robot_that_knows_its_masses_stands_still_at_zero_torque(make: Make, name: str) -> None:
    assert moved(make(name)) < 1e-6
    # Whatever the masses are, if they are declared.
    assert moved(make(name, bodies=LOAD, declared=LOAD)) < 1e-6


@pytest.mark.parametrize("name", ["bullet", "mujoco"])
def test_a_robot_that_errs_by_a_tenth_in_gravity_lifts_its_arm(make: Make, name: str) -> None:
    plant = make(name, gravity_scale=1.1)
    height = plant.true_state[2 * N + 2]
    assert moved(plant) > 0.01
    assert plant.true_state[2 * N + 2] > height


@pytest.mark.parametrize("name", ["bullet", "mujoco"])
def test_a_robot_sinks_under_a_payload_that_it_does_not_know(make: Make, name: str) -> None:
    plant = make(name, bodies=LOAD)
    height = plant.true_state[2 * N + 2]
    assert moved(plant) > 0.02
    assert plant.true_state[2 * N + 2] < height


@pytest.mark.parametrize("name", ["bullet", "mujoco"])
def test_a_policy_that_holds_the_arm_as_described_stands_unless_there_is_a_payload(
    make: Make, name: str
) -> None:
    held = ARM.gravity_torque(ARM.home)
    assert moved(make(name, carried=True), held) < 1e-6
    assert moved(make(name, carried=True, bodies=LOAD), held) > 0.02
    # And what is declared to it is held on top.
    assert moved(make(name, carried=True, bodies=LOAD, declared=LOAD), held) < 1e-3


def test_an_error_of_gravity_is_that_part_of_the_gravity_torque(make: Make) -> None:
    plant, plain = make(gravity_scale=1.1), make()
    for torque in torques(20):
        pull = ARM.gravity_torque(np.array(plain.true_state[:N]))
        plant.hold(torque)
        plain.hold(torque + 0.1 * pull)
    np.testing.assert_allclose(plant.true_state, plain.true_state, atol=1e-9)


def test_an_error_of_gravity_is_not_late_where_commands_are(make: Make) -> None:
    late, punctual = make(gravity_scale=1.2, command_latency=0.1), make(gravity_scale=1.2)
    for plant in (late, punctual):
        for _ in range(5):
            plant.hold(ZERO)
    np.testing.assert_allclose(late.true_state, punctual.true_state, atol=1e-12)


def test_what_has_no_error_costs_no_computation(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make(bodies=LOAD, declared=LOAD)
    monkeypatch.setattr(plant, "_left_of_gravity", lambda: pytest.fail("was asked for"))
    plant.hold(ZERO)


# ---- sensors -----------------------------------------------------------------------------------


def test_noise_has_the_deviations_asked_for_and_leaves_the_motion_alone(make: Make) -> None:
    plant, quiet = make(position_noise=1e-3, velocity_noise=2e-2), make()
    rows = np.array([plant.measure() for _ in range(1000)])
    assert (rows[:, :N] - ARM.home).std() == pytest.approx(1e-3, rel=0.05)
    assert rows[:, N : 2 * N].std() == pytest.approx(2e-2, rel=0.05)
    # The controller computes its end effector from what it measures.
    np.testing.assert_allclose(rows[:, 2 * N : 2 * N + 3], ARM.chain.forward(rows[:, :N]))
    run(plant)
    run(quiet)
    np.testing.assert_array_equal(plant.true_state, quiet.true_state)


def test_an_encoder_tells_multiples_of_its_step(make: Make) -> None:
    step = 0.01
    position = run(make(position_step=step))[:, :N]
    np.testing.assert_allclose(position / step, np.round(position / step), atol=1e-9)
    assert np.abs(position - run(make())[:, :N]).max() <= step / 2 + 1e-12


# ---- episodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bullet", "mujoco"])
def test_an_episode_knows_nothing_of_the_world_before_it(make: Make, name: str) -> None:
    fresh, used = make(name), make(name, bodies=LOAD, state_latency=0.05, torque_bias=1.0)
    run(used)
    used.begin(World.of(ARM), ARM.home, np.random.default_rng(0))
    np.testing.assert_allclose(run(used), run(fresh), rtol=0.0, atol=1e-12)
