# SPDX-License-Identifier: Apache-2.0
"""The parameter file gives the worlds that were identified, in a training and in a simulator."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from excitation import HIDDEN, Run

from sac_ros.identification.findings import Findings
from sac_ros.identification.identify import IdentificationOptions, Source, identify
from sac_ros.identification.world_file import (
    read_world,
    save_world,
    world_ranges,
    world_text,
)
from sac_ros.robots.arm import load_arm
from sac_ros.sim.randomization import Randomization
from sac_ros.training.config import TrainConfig
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import build, leaves

ARM = load_arm("iiwa")
SOURCE = Source(("a bag\nwith: # lines",), "/commands", 30.0, 3000, 3000, 100.0, "stamps")


@pytest.fixture(scope="module")
def findings(hidden_run: Run) -> Findings:
    return identify(ARM, hidden_run.recorded(), IdentificationOptions(), "the run")


def parameters(text: str) -> dict[str, Any]:
    """Of train_node, flat, as ROS reads them."""

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, dict):
                found |= flat(value, f"{prefix}{name}.")
            else:
                found[prefix + name] = value
        return found

    (section,) = yaml.safe_load(text).values()
    return flat(section["ros__parameters"])


def config_of(*texts: str) -> TrainConfig:
    """As train_node reads several parameter files, the later ones on top."""
    given: dict[str, Any] = {}
    for text in texts:
        given |= parameters(text)
    known = {leaf.name: leaf for leaf in leaves(TrainConfig)}
    assert set(given) <= set(known)
    return build(TrainConfig, {name: known[name].check(value) for name, value in given.items()})


def text_of(findings: Findings) -> str:
    return world_text(ARM, findings, SOURCE, "robot", "identify_robot bag --arm iiwa\n: today")


def test_a_training_draws_the_worlds_of_the_file_on_top_of_the_robust_ones(
    findings: Findings,
) -> None:
    robust = share_path("config", "robust.yaml").read_text()
    config = config_of(robust, text_of(findings))
    assert config.arm == "iiwa"
    assert config.env.gravity_compensation == "robot"
    ranges = {k: v for k, v in dataclasses.asdict(config.env.randomization).items() if v}
    assert ranges["mass_scale"] == (0.8, 1.2), "what is not identified stays"
    assert ranges["latency_ms"] == (0.0, 0.0)
    for name, values in world_ranges(ARM, findings).items():
        np.testing.assert_allclose(ranges[name], values)
    for seed in range(20):
        world = Randomization(ARM, ranges).draw(np.random.default_rng(seed))
        np.testing.assert_allclose(world.joints.armature, HIDDEN.armature, rtol=0.15)
        np.testing.assert_allclose(world.joints.damping, HIDDEN.joint_damping, rtol=0.15)
        np.testing.assert_allclose(world.joints.friction, HIDDEN.coulomb_friction, rtol=0.15)
        np.testing.assert_allclose(world.torque_gain, HIDDEN.torque_gain, atol=0.03)
        assert world.gravity_scale == pytest.approx(HIDDEN.gravity_scale, abs=0.02)
        assert 1e3 * world.command_latency == pytest.approx(HIDDEN.command_latency_ms, abs=3.5)
        assert world.state_latency == 0.0


def test_ranges_hold_their_estimates_and_have_the_least_width(findings: Findings) -> None:
    ranges = world_ranges(ARM, findings)
    for name in ("armature", "joint_damping", "coulomb_friction"):
        pairs = np.reshape(ranges[name], (-1, 2))
        for (low, high), each in zip(pairs, findings.of(name), strict=True):
            value, lowest, highest = each.told_values
            assert 0.9999 * low <= max(lowest, 0.0) <= value <= highest <= 1.0001 * high
            assert high - low >= 0.0999 * value
    assert np.ptp(ranges["payload_kg"]) >= 0.099
    assert np.ptp(ranges["command_latency_ms"]) >= 1.99


def test_a_joint_that_was_not_told_stays_as_described_and_says_so(findings: Findings) -> None:
    estimates = tuple(
        dataclasses.replace(each, estimated=each.estimated and each.joint != ARM.joint_names[2])
        for each in findings.estimates
    )
    less = dataclasses.replace(findings, estimates=estimates)
    pairs = np.reshape(world_ranges(ARM, less)["joint_damping"], (-1, 2))
    assert pairs[2].tolist() == [ARM.damping[2]] * 2
    assert f"{ARM.joint_names[2]}: not estimated: as described" in text_of(less)


def test_what_was_not_told_is_left_out_and_nothing_told_is_a_valid_file(
    findings: Findings,
) -> None:
    none = dataclasses.replace(
        findings,
        estimates=tuple(dataclasses.replace(each, estimated=False) for each in findings.estimates),
    )
    assert world_ranges(ARM, none) == {}
    assert config_of(text_of(none)).env.randomization == TrainConfig().env.randomization


def test_a_delay_of_measured_torques_is_not_the_commands(findings: Findings) -> None:
    measured = dataclasses.replace(findings, measured=True)
    assert not {"latency_ms", "command_latency_ms"} & set(world_ranges(ARM, measured))


def test_a_file_is_not_written_over_without_force(tmp_path: Path) -> None:
    path = tmp_path / "new" / "world.yaml"
    save_world("one: 1\n", path, force=False)
    with pytest.raises(ConfigurationError, match="exists already: --force writes over it"):
        save_world("two: 2\n", path, force=False)
    save_world("three: 3\n", path, force=True)
    assert path.read_text() == "three: 3\n"
    with pytest.raises(ConfigurationError, match=r"--output must be a file; .* cannot be written"):
        save_world("", path / "below" / "world.yaml", force=True)


def test_a_written_world_is_read_as_its_ranges(findings: Findings, tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    save_world(text_of(findings), path, force=False)
    written = {name: list(values) for name, values in world_ranges(ARM, findings).items()}
    assert read_world(path) == written
    assert read_world(share_path("config", "robust.yaml"))["payload_kg"] == [0.0, 2.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/**/train_node: {ros__parameters: {env: {}}}", "with env.randomization"),
        ("[1, 2]", "with env.randomization"),
        ("a: [", "must be YAML"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_world_is_refused_by_its_name(
    text: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "world.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"world.yaml .*{words}"):
        read_world(path)
