# SPDX-License-Identifier: Apache-2.0
"""What `evaluate_policy` lets a user change: engine, hold, perturbations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sac_ros.cli import evaluate_policy
from sac_ros.sim.randomization import TERMS
from sac_ros.utils.package_share import share_path


@pytest.fixture(scope="module")
def model() -> Path:
    return share_path("models", "iiwa_reach.onnx")


def found(capsys: pytest.CaptureFixture[str], model: Path, *arguments: str) -> dict[str, Any]:
    common = ["--episodes", "1", "--hold", "0.2", "--json"]
    assert evaluate_policy.main([str(model), *common, *arguments]) == 0
    seen = capsys.readouterr()
    assert seen.err == ""
    result: dict[str, Any] = json.loads(seen.out)
    return result


def refusal(capsys: pytest.CaptureFixture[str], model: Path, *arguments: str) -> str:
    assert evaluate_policy.main([str(model), *arguments]) == 2
    seen = capsys.readouterr()
    assert (seen.out, seen.err.count("\n")) == ("", 1)
    return seen.err


def test_the_object_has_the_keys_of_the_contract(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = found(capsys, model)
    assert list(result) == list(evaluate_policy.KEYS)
    assert [each["position_tolerance_m"] for each in result["success"]] == [0.05, 0.03, 0.02]
    assert (result["backend"], result["controller"]) == ("bullet", "policy")
    assert result["perturbation"] == {}
    assert result["hold"]["seconds"] == 0.2
    assert set(result["time_to_goal_s"]) == {"median", "p95"}


def test_a_policy_is_judged_in_the_other_engine(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mujoco", reason="the other engine is not installed")
    result = found(capsys, model, "--backend", "mujoco")
    assert result["backend"] == "mujoco"
    assert result["median_error_m"] != found(capsys, model)["median_error_m"]


@pytest.mark.parametrize("name", TERMS)
def test_every_term_can_be_perturbed_by_its_name(
    model: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    value = 0.5 * max(TERMS[name].minimum, 0.0) + 0.05 * min(TERMS[name].maximum, 10.0)
    value = max(value, TERMS[name].minimum)
    result = found(capsys, model, "--perturb", f"{name}={value}")
    assert result["perturbation"] == {name: [value, value]}


def test_ranges_and_wide_starts_are_perturbations(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--perturb", "mass_scale=0.8:1.2", "start_spread=wide"]
    result = found(capsys, model, *arguments)
    assert result["perturbation"] == {"mass_scale": [0.8, 1.2], "start_spread": [4.0, 4.0]}
    assert result["median_error_m"] != found(capsys, model)["median_error_m"]


@pytest.mark.parametrize(
    ("perturbation", "sentence"),
    [
        ("latncy=2", "one of mass_scale, .*start_spread; got 'latncy' .closest: latency_ms"),
        ("latency_ms=2000", "latency_ms .*within 0 to 500 ms; got"),
        ("mass_scale=1.2:0.8", "mass_scale .*low <= high"),
        ("latency_ms", "latency_ms=VALUE or .*got 'latency_ms'"),
        ("latency_ms=nan", "latency_ms .*got"),
        ("mass_scale=1:2:3", "mass_scale .*one number or two"),
    ],
)
def test_a_wrong_perturbation_is_one_sentence(
    model: Path, capsys: pytest.CaptureFixture[str], perturbation: str, sentence: str
) -> None:
    assert re.search(sentence, refusal(capsys, model, "--perturb", perturbation))


def test_the_arm_of_a_policy_can_be_given(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refusal(capsys, model, "--arm", "panda", "--episodes", "1")
    assert re.search("lbr_iiwa_joint_1.*panda has panda_joint1", sentence)
    assert found(capsys, model, "--arm", "iiwa")["arm"] == "iiwa"


def test_ctrl_c_ends_it_without_a_traceback(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_policy, "evaluate", interrupt)
    assert evaluate_policy.main([str(model)]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_world_file_is_where_it_runs_and_what_is_named_beside_it_is_as_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    friction = [0.1] * 12 + [0.3] * 2
    ranges = f"{{payload_kg: [1.0, 1.0], coulomb_friction: {friction}, latency_ms: [0.0, 0.0]}}"
    world = tmp_path / "world.yaml"
    world.write_text(f"/**/train_node: {{ros__parameters: {{env: {{randomization: {ranges}}}}}}}")
    result = found(capsys, model, "--world", str(world), "--perturb", "payload_kg=2")
    given = {"payload_kg": [2.0, 2.0], "coulomb_friction": friction, "latency_ms": [0.0, 0.0]}
    assert result["perturbation"] == given
    assert "none.yaml cannot be read" in refusal(
        capsys, model, "--world", str(tmp_path / "none.yaml")
    )
    assert "--world" in refusal(capsys, model, "--world", str(world), "--robustness")
