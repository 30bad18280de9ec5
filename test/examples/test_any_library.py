# SPDX-License-Identifier: Apache-2.0
"""Another library's SAC trains on an arm and is judged as our policies are."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("mujoco", reason="mujoco is not installed: the extra mujoco brings it")
pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed: extra test")

import any_library


def test_its_actor_learns_something_and_is_evaluated_before_and_after(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert any_library.main(["--steps", "150", "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    returns = re.findall(r"mean return +(-?[\d.]+)", out)
    assert len(returns) == 2
    assert returns[0] != returns[1], "what is evaluated the second time has learned"
