# SPDX-License-Identifier: Apache-2.0
"""Hidden parameters of a MuJoCo arm are found, with intervals that hold them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from excitation import HIDDEN, Drive, Hidden, Run, run
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.identification import compare, draw
from sac_ros.identification.findings import Estimate, Findings
from sac_ros.identification.identify import IdentificationOptions, identify
from sac_ros.identification.signals import Recorded
from sac_ros.robots.arm import load_arm
from sac_ros.utils.errors import BagError

ARM = load_arm("iiwa")


@pytest.fixture(scope="module")
def findings(hidden_run: Run) -> Findings:
    return identify(hidden_run.arm, hidden_run.recorded(), IdentificationOptions(), "the run")


def values(estimates: list[Estimate]) -> np.ndarray:
    return np.array([each.value for each in estimates], dtype=float)


def meets_the_bar(found: Findings, hidden: Hidden) -> None:
    """Friction and inertia ± 10 %, delay ± 2 ms, payload ± 0.1 kg."""
    for name in ("armature", "joint_damping", "coulomb_friction"):
        estimates = found.of(name)
        assert all(each.estimated for each in estimates), name
        np.testing.assert_allclose(values(estimates), getattr(hidden, name), rtol=0.1)
    (delay,), (payload,) = found.of("delay_s"), found.of("payload_kg")
    assert delay.estimated
    assert delay.value == pytest.approx(1e-3 * hidden.command_latency_ms, abs=2e-3)
    assert payload.estimated
    assert payload.value == pytest.approx(hidden.payload_kg, abs=0.1)


def test_friction_inertia_delay_and_payload_are_found_within_the_bar(findings: Findings) -> None:
    meets_the_bar(findings, HIDDEN)


def test_gains_bias_and_the_gravity_scale_are_found(findings: Findings) -> None:
    np.testing.assert_allclose(values(findings.of("torque_gain")), HIDDEN.torque_gain, atol=0.02)
    assert np.all(np.abs(values(findings.of("torque_bias"))) < 0.1)
    assert values(findings.of("gravity_scale")) == pytest.approx(HIDDEN.gravity_scale, abs=0.01)


def test_a_wrist_of_which_only_the_quotients_are_known_says_so(findings: Findings) -> None:
    last = findings.of("torque_gain")[-1]
    assert (last.value, last.estimated, last.assumed) == (1.0, False, True)
    sentence = findings.not_estimated[-1]
    assert sentence.startswith("Joint lbr_iiwa_joint_7: its own friction and rotor take so much")
    assert "as if it were 1" in sentence


@pytest.mark.parametrize(
    "drive",
    [
        Drive(gravity_compensation="policy", seed=1),
        Drive(rate_hz=50.0, seed=2),
        Drive(rate_hz=500.0, seconds=20.0, seed=3),
        Drive(arm="panda", seed=4),
    ],
    ids=["gravity in the torque", "50 Hz", "500 Hz", "panda"],
)
def test_other_arms_rates_and_torques_that_hold_the_arm_meet_the_bar(drive: Drive) -> None:
    made = run(dataclasses.replace(drive, world=HIDDEN.world()))
    options = IdentificationOptions(gravity_compensation=drive.gravity_compensation)
    meets_the_bar(identify(made.arm, made.recorded(), options, "the run"), HIDDEN)


@pytest.mark.slow
def test_the_intervals_hold_what_is_hidden_in_nine_of_ten_cases() -> None:
    held = []
    for seed in range(6):
        hidden = draw(seed)
        made = run(Drive(world=hidden.world(), seed=seed, seconds=20.0))
        found = identify(ARM, made.recorded(), IdentificationOptions(), "the run")
        held += [case.low <= case.true <= case.high for case in compare(hidden, found)]
    assert len(held) >= 6 * 24
    assert np.mean(held) > 0.9


def test_joints_that_stand_still_are_named_and_the_others_are_found() -> None:
    made = run(Drive(world=HIDDEN.world(), still=(2, 6), seed=5))
    found = identify(ARM, made.recorded(), IdentificationOptions(), "the run")
    for name in ("armature", "joint_damping", "coulomb_friction", "torque_gain", "torque_bias"):
        estimated = [each.estimated for each in found.of(name)]
        assert not estimated[2], name
        assert not estimated[6], name
    assert all(found.of("coulomb_friction")[i].estimated for i in (0, 1, 3, 4, 5))
    text = "\n".join(found.not_estimated)
    for joint in ("lbr_iiwa_joint_3", "lbr_iiwa_joint_7"):
        assert f"Joint {joint} moved 0.0" in text
    assert "nothing of it can be estimated" in text


def test_the_wrong_gravity_compensation_is_named_and_nothing_is_told(hidden_run: Run) -> None:
    wrong = IdentificationOptions(gravity_compensation="policy")
    found = identify(ARM, hidden_run.recorded(), wrong, "the run")
    assert not any(each.estimated for each in found.estimates)
    assert "--gravity-compensation robot" in found.not_estimated[0]


def test_torques_of_another_arm_are_not_explained(hidden_run: Run) -> None:
    torque = np.random.default_rng(0).normal(0.0, 5.0, hidden_run.torque.shape)
    made = dataclasses.replace(hidden_run, torque=torque)
    found = identify(ARM, made.recorded(), IdentificationOptions(), "the run")
    assert not any(each.estimated for each in found.estimates)
    assert found.not_estimated[0].startswith("Nothing is estimated")


def test_torques_in_another_order_of_the_joints_are_not_explained(hidden_run: Run) -> None:
    made = dataclasses.replace(hidden_run, torque=hidden_run.torque[:, ::-1].copy())
    found = identify(ARM, made.recorded(), IdentificationOptions(), "the run")
    assert not any(each.estimated for each in found.estimates)


def test_no_motion_is_refused_with_one_sentence() -> None:
    time = np.arange(1000) / 100.0
    still = np.tile(ARM.home, (1000, 1))
    made = Recorded(time, still, np.zeros(1000, int), time, np.ones((1000, 7)), held=True)
    with pytest.raises(BagError, match=r"^it has no motion: no joint of iiwa moves by more than"):
        identify(ARM, made, IdentificationOptions(), "it")


SIZES = st.sampled_from([0.0, 1e-6, 1.0, 1e3, 1e8])


@settings(max_examples=30)
@given(
    states=st.integers(1, 900),
    torques=st.integers(1, 900),
    period=st.sampled_from([1e-4, 0.002, 0.01, 0.1, 10.0]),
    sizes=st.tuples(SIZES, SIZES),
    offset=st.floats(-20.0, 20.0),
    gaps=st.integers(0, 4),
    held=st.booleans(),
    still=st.sets(st.integers(0, 6)),
    seed=st.integers(0, 2**16),
)
def test_any_recording_gives_finite_numbers_or_one_sentence(
    states: int,
    torques: int,
    period: float,
    sizes: tuple[float, float],
    offset: float,
    gaps: int,
    held: bool,
    still: set[int],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(0.5, 1.5, states)) * period
    position = ARM.home + sizes[0] * np.cumsum(rng.normal(size=(states, 7)), axis=0) / 30.0
    position[:, sorted(still)] = ARM.home[sorted(still)]
    segment = np.sort(rng.integers(0, gaps + 1, states))
    when = offset * period + np.cumsum(rng.uniform(0.5, 1.5, torques)) * period
    torque = sizes[1] * rng.normal(size=(torques, 7))
    made = Recorded(time, position, segment, when, torque, held)
    try:
        found = identify(ARM, made, IdentificationOptions(), "it")
    except BagError as refused:
        sentence = str(refused)
    else:
        sentence = ""
        all_is_finite(found)
    assert "\n" not in sentence


def all_is_finite(found: Findings) -> None:
    for each in found.estimates:
        numbers = [number for number in (each.value, each.low, each.high) if number is not None]
        assert np.all(np.isfinite(numbers))
    for joint in found.excitation:
        assert np.all(np.isfinite(dataclasses.astuple(joint)[1:]))
    assert all(sentence and "nan" not in sentence for sentence in found.not_estimated)
