# SPDX-License-Identifier: Apache-2.0
"""The worlds behind `Backend` are one world: they agree on every arm, and move it alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from plain_urdf import of_joint, of_link, spoilt

from sac_ros.robots.arm import Arm, arm_names, load_arm
from sac_ros.sim.backend import (
    BACKENDS,
    PHYSICS_RATE,
    Backend,
    JointProperties,
    close_pairs,
    make_backend,
)
from sac_ros.utils.errors import ConfigurationError

ENGINES = ("bullet", "mujoco")
IIWA = load_arm("iiwa")
LOW, HIGH = IIWA.position_limit.T
Make = Callable[..., Backend]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Backend] = []

    def backend(name: str, arm: Arm = IIWA, *, gravity: bool = False) -> Backend:
        made.append(make_backend(name, arm, gravity=gravity))
        return made[-1]

    yield backend
    for each in made:
        each.close()


@pytest.fixture(scope="module", params=arm_names())
def worlds(request: pytest.FixtureRequest) -> Iterator[list[Backend]]:
    """Bullet, MuJoCo and the mock with the same arm."""
    arm = load_arm(request.param)
    made = [make_backend(name, arm, gravity=False) for name in (*ENGINES, "mock")]
    yield made
    for each in made:
        each.close()


def state(backend: Backend) -> tuple[np.ndarray, np.ndarray]:
    n = backend.arm.joints
    row = np.array(backend.read())
    return row[:n], row[n : 2 * n]


def end_effector(backend: Backend) -> np.ndarray:
    return np.array(backend.read()[2 * backend.arm.joints :])


def positions_of(arm: Arm, number: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(*arm.position_limit.T, (number, arm.joints))


def alike(worlds: list[Backend], what: Callable[[Backend], np.ndarray], atol: float) -> None:
    first, *others = [what(world) for world in worlds]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0.0, atol=atol)


def as_described(backend: Backend) -> None:
    backend.set_properties(backend.arm.bodies, JointProperties.of(backend.arm))


# ---- the worlds agree --------------------------------------------------------------------------


def test_all_worlds_have_the_same_kinematics_mass_matrix_and_gravity(
    worlds: list[Backend],
) -> None:
    for q in positions_of(worlds[0].arm, 25):
        for world in worlds:
            world.reset(q)
        alike(worlds, lambda world: end_effector(world)[:3], 1e-6)
        # q and −q are one rotation.
        turned = [np.outer(end_effector(world)[3:], end_effector(world)[3:]) for world in worlds]
        np.testing.assert_allclose(turned[1], turned[0], atol=1e-6)
        np.testing.assert_allclose(turned[2], turned[0], atol=1e-6)
        alike(worlds, lambda world, q=q: world.mass_matrix(q), 1e-6)
        alike(worlds, lambda world, q=q: world.gravity_torque(q), 1e-6)


def test_all_worlds_take_other_masses_and_resistances_again_and_again(
    worlds: list[Backend],
) -> None:
    arm = worlds[0].arm
    q = positions_of(arm, 1)[0]
    rng = np.random.default_rng(2)
    for _ in range(4):  # an engine that keeps something of the bodies before shows it here
        bodies = arm.bodies.scaled(rng.uniform(0.7, 1.5, arm.joints))
        bodies = bodies.shifted(rng.uniform(-0.02, 0.02, (arm.joints, 3)))
        bodies = bodies.with_payload(rng.uniform(0.5, 3.0), arm.chain.end_effector_translation)
        joints = JointProperties(*rng.uniform(0.0, 1.0, (3, arm.joints)))
        expected = bodies.mass_matrix(arm.chain, arm.chain.frames_at(q))
        expected = expected + np.diag(joints.armature)
        for world in worlds:
            world.set_properties(bodies, joints)
            np.testing.assert_allclose(world.mass_matrix(q), expected, rtol=0.0, atol=1e-6)
        alike(worlds, lambda world: world.gravity_torque(q), 1e-6)
    for world in worlds:
        as_described(world)
    alike(worlds, lambda world: world.mass_matrix(q), 1e-6)


@pytest.mark.parametrize(("armature", "tolerance"), [(0.0, 0.02), (0.1, 1e-6)])
def test_a_second_of_random_torque_moves_the_arm_alike_in_both_engines(
    worlds: list[Backend], armature: float, tolerance: float
) -> None:
    """`tolerance` in rad; Bullet's torques with rotor inertia make MuJoCo's very step."""
    arm, ends = worlds[0].arm, []
    for world in worlds[:2]:
        as_described(world)
        joints = JointProperties(arm.damping, arm.friction, np.full(arm.joints, armature))
        world.set_properties(arm.bodies, joints)
        world.reset(arm.home)
        rng = np.random.default_rng(4)
        for _ in range(50):
            torque = 0.5 * arm.action_scale * rng.uniform(-1.0, 1.0, arm.joints)
            world.step(torque.tolist(), PHYSICS_RATE // 50)
        ends.append(state(world)[0])
        as_described(world)
    assert np.abs(ends[0] - arm.home).max() > 0.05
    np.testing.assert_allclose(ends[0], ends[1], rtol=0.0, atol=tolerance)


def test_both_engines_leave_out_the_same_links_and_see_the_same_collisions(
    worlds: list[Backend],
) -> None:
    bullet, mujoco, _ = worlds
    assert bullet.touching == mujoco.touching == []
    found = [
        (bool(bullet.contacts(q)), bool(mujoco.contacts(q))) for q in positions_of(bullet.arm, 200)
    ]
    agree = np.mean([one == other for one, other in found])
    assert agree > 0.97  # but for configurations that just touch
    assert any(one for one, _ in found)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("ratio", "tolerance"), [(10.0, 0.05), (100.0, 0.15)])
def test_damping_that_is_stiff_for_the_time_step_is_stable_in_every_world(
    make: Make, name: str, ratio: float, tolerance: float
) -> None:
    world = make(name)
    inertia = 1.0 / np.diag(np.linalg.inv(world.mass_matrix(IIWA.home)))
    damping = ratio * inertia * PHYSICS_RATE  # c·dt/I = ratio; explicit damping explodes above 2
    world.set_properties(IIWA.bodies, JointProperties(damping, IIWA.friction, IIWA.armature))
    world.reset(IIWA.home, np.full(7, 1.0))
    fastest = []
    for _ in range(20):
        world.step((0.2 * damping).tolist(), 50)
        fastest.append(np.abs(state(world)[1]).max())
    assert np.all(np.isfinite(fastest))
    # v = τ / c once it moves steadily, whatever the engine.
    np.testing.assert_allclose(state(world)[1], 0.2, atol=tolerance)
    assert max(fastest[5:]) < 0.4


@pytest.mark.parametrize("armature", [0.0, 0.1])
def test_coulomb_friction_slows_a_joint_alike_in_both_engines(make: Make, armature: float) -> None:
    friction, ends = 0.4, []  # N·m
    for name in ENGINES:
        world = make(name)
        still = np.zeros(7)
        properties = JointProperties(still, np.full(7, friction), np.full(7, armature))
        world.set_properties(IIWA.bodies, properties)
        world.reset(IIWA.home, [0.5, *[0.0] * 6])
        world.step([0.0] * 7, 100)
        ends.append(state(world)[1])
    assert ends[0][0] < 0.49
    np.testing.assert_allclose(ends[0], ends[1], atol=0.02)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("armature", [0.0, 0.1])
def test_friction_holds_a_joint_against_less_torque_and_gives_way_to_more(
    make: Make, name: str, armature: float
) -> None:
    world = make(name)
    properties = JointProperties(np.zeros(7), np.full(7, 1.0), np.full(7, armature))
    moved = []
    for torque in (0.8, 1.6):
        world.set_properties(IIWA.bodies, properties)
        world.reset(IIWA.home)
        world.step([*[0.0] * 6, torque], 100)
        moved.append(abs(state(world)[0][6] - IIWA.home[6]))
    assert moved[0] < 0.01
    assert moved[1] > 0.05


# ---- each world --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
def test_it_starts_at_home_and_at_rest(make: Make, name: str) -> None:
    position, velocity = state(make(name))
    np.testing.assert_allclose(position, IIWA.home, atol=1e-15)
    np.testing.assert_array_equal(velocity, np.zeros(7))


@pytest.mark.parametrize("name", BACKENDS)
def test_without_gravity_zero_torque_stands_still_and_with_it_the_arm_falls(
    make: Make, name: str
) -> None:
    still, falling = make(name), make(name, gravity=True)
    height = end_effector(still)[2]
    for world in (still, falling):
        world.step([0.0] * 7, 200)
    np.testing.assert_allclose(state(still)[0], IIWA.home, atol=1e-9)
    np.testing.assert_allclose(state(still)[1], 0.0, atol=1e-9)
    assert end_effector(falling)[2] < height - 0.1


@pytest.mark.parametrize("name", BACKENDS)
def test_compensating_gravity_by_torque_is_nearly_the_motion_without_gravity(
    make: Make, name: str
) -> None:
    compensated, without = make(name, gravity=True), make(name)
    rng = np.random.default_rng(1)
    for _ in range(30):
        torque = IIWA.action_scale * rng.uniform(-0.5, 0.5, 7)
        for _ in range(5):
            held = IIWA.gravity_torque(state(compensated)[0])
            compensated.step((torque + held).tolist(), 1)
            without.step(torque.tolist(), 1)
    np.testing.assert_allclose(state(compensated)[0], state(without)[0], atol=1e-3)
    assert np.abs(state(without)[0] - IIWA.home).max() > 0.01  # it did move


@pytest.mark.parametrize("name", BACKENDS)
def test_a_torque_lasts_for_every_substep_and_ends_with_them(make: Make, name: str) -> None:
    at_once, by_one, coasting = make(name), make(name), make(name)
    torque = (0.5 * IIWA.action_scale).tolist()
    at_once.step(torque, 10)
    for _ in range(10):
        by_one.step(torque, 1)
    np.testing.assert_allclose(state(at_once), state(by_one), rtol=0.0, atol=1e-12)
    coasting.reset(*state(at_once))
    for world in (at_once, coasting):
        world.step([0.0] * 7, 1)
    np.testing.assert_allclose(state(at_once), state(coasting), atol=1e-12)


@pytest.mark.parametrize("name", BACKENDS)
def test_reset_places_every_joint_with_its_velocity(make: Make, name: str) -> None:
    world = make(name)
    position, velocity = np.linspace(-0.6, 0.6, 7), np.linspace(0.3, -0.3, 7)
    world.reset(position, velocity)
    np.testing.assert_allclose(state(world), [position, velocity], atol=1e-15)
    np.testing.assert_allclose(end_effector(world)[:3], IIWA.chain.forward(position), atol=1e-6)
    world.reset(position)
    np.testing.assert_array_equal(state(world)[1], np.zeros(7))


@pytest.mark.parametrize("name", BACKENDS)
def test_changing_its_properties_keeps_its_state(make: Make, name: str) -> None:
    world = make(name)
    world.reset(np.linspace(-0.6, 0.6, 7), np.linspace(0.3, -0.3, 7))
    before = world.read()
    world.set_properties(IIWA.bodies.scaled(1.2), JointProperties.of(IIWA))
    np.testing.assert_allclose(world.read(), before, atol=1e-9)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("gravity", [True, False])
def test_asking_what_it_computes_changes_nothing_in_the_motion(
    make: Make, name: str, gravity: bool
) -> None:
    asked, plain = make(name, gravity=gravity), make(name, gravity=gravity)
    for world in (asked, plain):
        world.reset(np.linspace(-0.6, 0.6, 7))
    asked.gravity_torque(np.ones(7))
    asked.mass_matrix(np.ones(7))
    asked.contacts(np.ones(7))
    asked.reset(np.linspace(-0.6, 0.6, 7))
    for world in (asked, plain):
        world.step((0.3 * IIWA.action_scale).tolist(), 50)
    np.testing.assert_array_equal(asked.read(), plain.read())


@pytest.mark.parametrize("name", ENGINES)
def test_a_joint_stops_at_its_limit(make: Make, name: str) -> None:
    world = make(name)
    near = IIWA.home.copy()
    near[6] = HIGH[6] - 0.05
    world.reset(near)
    world.step([*[0.0] * 6, 0.2], 500)
    assert abs(state(world)[0][6] - HIGH[6]) < 0.05


@pytest.mark.parametrize("name", ENGINES)
def test_a_folded_arm_collides_with_itself_and_a_straight_one_does_not(
    make: Make, name: str
) -> None:
    world = make(name)
    drawn = np.random.default_rng(0).uniform(LOW, HIGH, (300, 7))
    share = np.mean([bool(world.contacts(q)) for q in drawn])
    assert not world.contacts(np.zeros(7))
    assert not world.contacts(IIWA.home)
    # Of all configurations some touch and most do not; a check that is blind or always hits shows.
    assert 0.0005 < share < 0.6
    names = {link for q in drawn for pair in world.contacts(q) for link in pair}
    assert names <= {IIWA.base_link, *(IIWA.urdf.joints[name].child for name in IIWA.joint_names)}


@pytest.mark.parametrize("name", ENGINES)
def test_overlapping_hulls_of_close_links_are_no_collision(make: Make, name: str) -> None:
    # The wrist bent to its limit: the hulls of links 5 and 7 overlap, a real iiwa is free there.
    bent = IIWA.home.copy()
    bent[5] = HIGH[5]
    assert not make(name).contacts(bent)
    assert close_pairs(["a", "b", "c", "d"]) == [
        ("a", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "d"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ENGINES)
def test_links_that_touch_at_home_are_named_and_left_out(make: Make, name: str) -> None:
    whole = '<origin xyz="0 0 0.15"/><geometry><box size="0.05 0.05 0.2"/></geometry>'
    ball = "<geometry><sphere radius='2'/></geometry>"  # as wide as the whole arm
    rock = "<collision><geometry><sphere radius='0.1'/></geometry></collision>"
    text = spoilt(
        of_link("forearm", whole, ball),
        ('<link name="base"/>', f'<link name="base">{rock}</link>'),
    )
    world = make(name, load_arm(text))
    assert world.touching == [("base", "forearm")]
    assert not world.contacts(world.arm.home)


@pytest.mark.parametrize("name", ENGINES)
def test_two_arms_in_one_process_do_not_meet_and_closing_twice_does_nothing(
    make: Make, name: str
) -> None:
    moved, still = make(name), make(name)
    moved.step(IIWA.action_scale.tolist(), 20)
    np.testing.assert_allclose(state(still)[0], IIWA.home, atol=1e-15)
    moved.close()
    moved.close()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("size", [6, 8])
def test_a_position_or_torque_of_another_length_raises(make: Make, name: str, size: int) -> None:
    world = make(name)
    with pytest.raises(ValueError, match=r"shape|argument|broadcast"):
        world.reset(np.zeros(size))
    with pytest.raises(Exception, match=r"shape|argument|broadcast|size"):
        world.step([0.0] * size, 1)


# ---- what is refused ---------------------------------------------------------------------------


def test_an_unknown_backend_is_refused_with_those_that_exist() -> None:
    with pytest.raises(
        ConfigurationError, match=f"^backend must be one of {', '.join(BACKENDS)}; got 'gazebo'$"
    ):
        make_backend("gazebo", IIWA, gravity=False)


def test_a_world_that_is_not_installed_is_refused_with_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "from sac_ros.sim.vector_env import ArmVectorEnv\n"
        "from sac_ros.utils.errors import ConfigurationError\n"
        "try: ArmVectorEnv(1, backend='mujoco')\n"
        "except ConfigurationError as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60.0
    )
    assert ended.stdout == (
        "backend 'mujoco' needs MuJoCo, and the module 'mujoco' is not found: "
        'pip install "sac_ros[mujoco]"\n'
    ), ended.stderr


def test_an_arm_that_mujoco_refuses_is_one_sentence(tmp_path: object) -> None:
    path = f"{tmp_path}/bad.stl"
    with open(path, "w") as file:
        file.write("garbage")
    whole = '<origin xyz="0 0 0.15"/><geometry><box size="0.05 0.05 0.2"/></geometry>'
    mesh = f"<geometry><mesh filename='{path}'/></geometry>"
    arm = load_arm(spoilt(of_link("forearm", whole, mesh)))
    with pytest.raises(ConfigurationError, match=r"^MuJoCo refuses the arm plain: .*bad\.stl"):
        make_backend("mujoco", arm, gravity=False)


def test_a_continuous_arm_with_fixed_links_before_its_base_is_the_same_in_both_worlds(
    make: Make,
) -> None:
    stand = (
        "<link name='world'/><joint name='stand' type='fixed'><parent link='world'/>"
        "<child link='base'/><origin xyz='1 2 3' rpy='0.1 0.2 0.3'/></joint>"
    )
    text = spoilt(of_joint("waist", "revolute", "continuous"), extra=stand)
    arm = load_arm(text, base_link="base")
    one, other = make("bullet", arm), make("mujoco", arm)
    for world in (one, other):
        world.reset([0.4, 0.5, 0.6])
    np.testing.assert_allclose(end_effector(one)[:3], end_effector(other)[:3], atol=1e-6)
    np.testing.assert_allclose(
        end_effector(one)[:3], arm.chain.forward([0.4, 0.5, 0.6]), atol=1e-6
    )
