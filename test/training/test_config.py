# SPDX-License-Identifier: Apache-2.0
"""What a training run refuses to be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_run import tiny_config

from sac_ros.utils.errors import ConfigurationError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "knit"}, r"task must be one of reach, pose, track; got 'knit'"),
        ({"backend": "abacus"}, r"backend must be one of bullet, .*; got 'abacus'"),
        ({"env": {"randomization": {}, "action_scale_factor": 0}}, r"action_scale_factor must be"),
        ({"total_steps": -5}, r"total_steps must be a whole number at least 1; got -5"),
        ({"seed": -1}, r"seed must be .*at least 0.*; got -1"),
        ({"environments": 0}, r"environments must be .*; got 0"),
        ({"relabel_probability": 1.5}, r"relabel_probability must be .*at most 1; got 1.5"),
        ({"evaluation_episodes": 0}, r"evaluation_episodes must be .*; got 0"),
        (
            {"env": {"gravity_compensation": "moon"}},
            r"gravity_compensation must be one of robot, policy.*; got 'moon'",
        ),
        ({"env": {"episode_seconds": 0.0}}, r"episode_seconds must be .*above 0.*; got 0.0"),
        ({"env": {"control_rate_hz": 60}}, r"env\.control_rate_hz must divide .*; got 60"),
        (
            {"env": {"episode_seconds": 0.01}},
            r"env\.episode_seconds must be .*0\.02 s.*; got 0\.01",
        ),
        ({"sac": {"gamma": 2.0}}, r"gamma must be .*; got 2.0"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_valid_set(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        tiny_config(tmp_path, **changes)
