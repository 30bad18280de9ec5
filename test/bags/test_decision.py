# SPDX-License-Identifier: Apache-2.0
"""May this policy go on the robot: go, in shadow first, or no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bag_maker import Motion, write_bag
from hypothesis import given
from hypothesis import strategies as st
from tiny_policy import write_tiny_policy

from sac_ros.bags.decision import read_bounds
from sac_ros.bags.figures import FIGURES
from sac_ros.cli.evaluate_bag import main
from sac_ros.utils.errors import ConfigurationError


def verdict_of(found: dict[str, Any]) -> tuple[str, list[str]]:
    verdict = found["models"][0]["verdict"]
    return verdict["decision"], verdict["reasons"]


def test_a_policy_on_its_own_recording_may_go(bag: Path, evaluated: Any) -> None:
    assert verdict_of(evaluated(bag)) == ("go", [])


def test_pauses_of_a_busy_machine_are_no_reason_against_it(tmp_path: Path, evaluated: Any) -> None:
    motion = Motion(count=1500)
    entries = [
        each
        for each in motion.entries()
        if not any(
            motion.time_ns(i) <= each.time_ns < motion.time_ns(i + 9) for i in (300, 700, 1100)
        )
    ]
    found = evaluated(write_bag(tmp_path / "bag", entries))
    assert [each["kind"] for each in found["models"][0]["faults"]] == ["watchdog"]
    assert verdict_of(found) == ("go", [])


def test_where_nothing_was_recorded_to_compare_with_it_goes_in_shadow_first(
    tmp_path: Path, evaluated: Any
) -> None:
    motion = Motion()
    found = evaluated(write_bag(tmp_path / "bag", [*motion.states(), *motion.goals()]))
    decision, reasons = verdict_of(found)
    assert decision == "shadow"
    assert reasons == ["no torque was recorded that could be compared with the policy's"]


def test_the_verdict_comes_first_and_its_reasons_in_order(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_tiny_policy(tmp_path / "other.onnx", gain=2.0)
    assert main([str(bag), "--model", str(other)]) == 0
    first, reason = capsys.readouterr().out.splitlines()[:2]
    assert first == "SHADOW: other may go on the robot in shadow mode, not yet to command it"
    assert reason.startswith("  - rmse_authority 0.")


@pytest.mark.parametrize(
    ("gain", "asked", "code"),
    [(1.0, "shadow", 0), (2.0, "shadow", 1), (2.0, "no", 0), (-1.0, "no", 1)],
)
def test_the_verdict_decides_the_exit_code_on_demand(
    bag: Path, tmp_path: Path, gain: float, asked: str, code: int
) -> None:
    model = write_tiny_policy(tmp_path / "a.onnx", gain=gain)
    assert main([str(bag), "--model", str(model), "--fail-on", asked]) == code


def test_another_file_decides_otherwise(bag: Path, tmp_path: Path, evaluated: Any) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("no_go:\n  outside: -1\n")
    decision, reasons = verdict_of(evaluated(bag, "--thresholds", file))
    assert decision == "no"
    assert reasons == [f"outside 0, at most -1: {FIGURES['outside']}"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no_go: 3", "no_go must hold names and numbers"),
        ("maybe: {}", "must have the sections no_go and shadow alone"),
        ("no_go: {speed: 1}", "no_go.speed must be one of rmse, "),
        ("shadow: {rmse: fast}", "shadow.rmse must be a number; got 'fast'"),
        ("no_go: {verdict: 1}", "no_go.verdict must be one of"),
        ("[", "must be YAML; it is not"),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_bounds(file)
    assert words in str(refused.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_bounds(tmp_path / "none.yaml")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mine.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            bounds = read_bounds(file)
        except ConfigurationError:
            return
        assert set(bounds.no_go) | set(bounds.shadow) <= set(FIGURES)


def test_the_packages_own_file_names_figures_alone() -> None:
    bounds = read_bounds()
    assert bounds.no_go["violations"] == 0.0
    assert all(
        bounds.shadow[name] <= bounds.no_go[name] for name in bounds.no_go if name in bounds.shadow
    )
