# SPDX-License-Identifier: Apache-2.0
"""Hyperparameters outside their valid set are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from sac_ros.sac.config import SacConfig
from sac_ros.utils.errors import ConfigurationError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"learning_rate": 0.0}, r"learning_rate must be .*above 0.*; got 0.0"),
        ({"learning_rate": float("nan")}, r"learning_rate must be .*; got nan"),
        ({"gamma": 1.1}, r"gamma must be .*at most 1; got 1.1"),
        ({"tau": 0.0}, r"tau must be .*above 0.*; got 0.0"),
        ({"batch_size": 0}, r"batch_size must be .*at least 1.*; got 0"),
        ({"batch_size": 2.5}, r"batch_size must be a whole number.*; got 2.5"),
        ({"hidden_sizes": (64, 0)}, r"hidden_sizes must be .*; got \(64, 0\)"),
        ({"updates_per_step": 0.0}, r"updates_per_step must be .*above 0.*; got 0.0"),
        ({"initial_temperature": 0.0}, r"initial_temperature must be .*above 0.*; got 0.0"),
        ({"log_std_min": 1.0}, r"log_std_min must be below log_std_max = 1.0; got 1.0"),
        (
            {"learning_starts": 2000, "replay_capacity": 1000},
            r"learning_starts must be at most replay_capacity = 1000; got 2000",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_valid_set(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        SacConfig(**arguments)
