# SPDX-License-Identifier: Apache-2.0
"""Settings: one declaration holds the default, the meaning and the valid set."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import build, leaves, setting, validate


@dataclass(frozen=True)
class Inner:
    rate: float = setting(1.0, "how often", above=0.0, maximum=100.0, unit="Hz")


@dataclass(frozen=True)
class Outer:
    name: str = setting("iiwa", "which arm", choices=["iiwa", "panda"])
    count: int = setting(3, "how many", minimum=1)
    gains: tuple[float, ...] = setting((), "one per joint", minimum=0.0)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True)
class Wrong:
    table: dict[str, int] = field(default_factory=dict)


def test_defaults_are_valid() -> None:
    assert Outer().inner.rate == 1.0


def test_nested_settings_are_named_by_their_path() -> None:
    with pytest.raises(ConfigurationError) as error:
        Outer(inner=Inner(rate=-3))
    assert str(error.value) == ("inner.rate must be a number above 0 and at most 100 (Hz); got -3")


@pytest.mark.parametrize("wrong", [0.0, 100.5, math.nan, math.inf, "1", True, None])
def test_numbers_outside_the_valid_set_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"inner\.rate must be"):
        Outer(inner=Inner(rate=wrong))


@pytest.mark.parametrize("wrong", [0, 1.0, "1", True])
def test_whole_numbers_must_be_whole_and_in_range(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="count must be a whole number at least 1"):
        Outer(count=wrong)


def test_a_choice_outside_the_list_names_the_list() -> None:
    with pytest.raises(ConfigurationError, match="name must be one of iiwa, panda; got 'ur5'"):
        Outer(name="ur5")


def test_lists_become_tuples_and_whole_numbers_floats() -> None:
    config = Outer(gains=[1, 2])  # type: ignore[arg-type]
    assert config.gains == (1.0, 2.0)
    assert all(isinstance(gain, float) for gain in config.gains)


def test_leaves_are_flat_and_in_order() -> None:
    names = [leaf.name for leaf in leaves(Outer)]
    assert names == ["name", "count", "gains", "inner.rate"]


def test_build_fills_nested_classes_from_flat_names() -> None:
    config = build(Outer, {"inner.rate": 5.0, "count": 2})
    assert config == Outer(count=2, inner=Inner(rate=5.0))


def test_a_type_that_no_parameter_has_is_a_mistake_in_the_class() -> None:
    with pytest.raises(TypeError, match="table"):
        list(leaves(Wrong))
