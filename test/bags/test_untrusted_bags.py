# SPDX-License-Identifier: Apache-2.0
"""What a bag from anywhere claims is read by its type, and in bounded memory, time and disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from bag_maker import STATES, Motion, write_bag
from evaluate_command import is_exact
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sac_ros.bags.reader.bag import Bag
from sac_ros.utils.errors import BagError

_ABOUT = "rosbag2_bagfile_information"
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
_KEYS = st.sampled_from(
    [
        "version",
        "message_count",
        "relative_file_paths",
        "topics_with_message_count",
        "topic_metadata",
        "name",
        "serialization_format",
    ]
)
_TREES = st.recursive(
    _SCALARS | st.just(9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


# ---- metadata.yaml -----------------------------------------------------------------------------


def test_an_alias_bomb_in_metadata_is_no_obstacle(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    bomb = "\n".join([*layers, f"{_ABOUT}: {{version: 9, message_count: *a11}}"])
    (bag / "metadata.yaml").write_text(bomb)
    found = evaluated(bag)
    assert is_exact(found)
    assert any("has an alias" in warning for warning in found["warnings"])


def test_metadata_beyond_its_largest_size_is_left_out(tmp_path: Path, evaluated: Any) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    with (bag / "metadata.yaml").open("ab") as file:
        file.write(b"#" * 2**20)
    found = evaluated(bag)
    assert is_exact(found)
    assert any("at most 1048576 bytes" in warning for warning in found["warnings"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("relative_file_paths", 7, "relative_file_paths must be a list; got 7"),
        ("relative_file_paths", [["x"]], "relative_file_paths must be texts; got ['x']"),
        ("topics_with_message_count", "x", "topics_with_message_count must be a list; got x"),
        ("topics_with_message_count", [3], "topics_with_message_count must name topics; got 3"),
        ("message_count", -1, "message_count must be a count; got -1"),
        ("version", [9], "its version is [9]"),
        ("version", float("inf"), "its version is inf"),
    ],
)
def test_a_value_of_another_type_in_metadata_is_as_good_as_missing(
    tmp_path: Path, evaluated: Any, key: str, value: Any, said: str
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    metadata = bag / "metadata.yaml"
    values = yaml.safe_load(metadata.read_text())
    values[_ABOUT][key] = value
    metadata.write_text(yaml.safe_dump(values))
    found = evaluated(bag)
    assert is_exact(found)
    assert any(said in warning for warning in found["warnings"])


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "", "..", "/"])
def test_a_name_that_no_file_can_have_is_no_obstacle(
    tmp_path: Path, evaluated: Any, name: str
) -> None:
    bag = write_bag(tmp_path / "bag", Motion().entries())
    metadata = bag / "metadata.yaml"
    values = yaml.safe_load(metadata.read_text())
    values[_ABOUT]["relative_file_paths"] = [name]
    metadata.write_text(yaml.safe_dump(values))
    assert is_exact(evaluated(bag))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=_TREES, at=st.sampled_from(["top", "about", "field"]), key=_KEYS)
def test_any_values_as_metadata_leave_a_bag_that_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, tree: Any, at: str, key: str
) -> None:
    bag = write_bag(tmp_path_factory.mktemp("any") / "bag", Motion(count=3).states())
    metadata = bag / "metadata.yaml"
    values = yaml.safe_load(metadata.read_text())
    if at == "field":
        values[_ABOUT][key] = tree
    else:
        values = {_ABOUT: tree} if at == "about" else tree
    metadata.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    with suppress(BagError), Bag(bag) as opened:
        assert sum(len(batch) for batch in opened.batches({STATES})) == 3
        assert all(isinstance(warning, str) for warning in opened.warnings)
