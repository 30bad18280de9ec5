# SPDX-License-Identifier: Apache-2.0
"""summary.json holds an evaluation exactly, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from sample_result import sample_evaluation

from sac_ros.bags.files import load_summary, save_summary, summary_text
from sac_ros.utils.errors import BagError


@pytest.mark.parametrize("optional", [True, False])
def test_a_saved_evaluation_is_loaded_as_it_was(tmp_path: Path, optional: bool) -> None:
    evaluation = sample_evaluation(optional)
    save_summary(evaluation, tmp_path)
    assert load_summary(tmp_path) == evaluation
    assert load_summary(tmp_path / "summary.json") == evaluation


def test_what_is_not_finite_becomes_null_so_that_every_json_reader_reads_it() -> None:
    evaluation = sample_evaluation()
    recording = dataclasses.replace(evaluation.recording, first_command_s=float("nan"))
    text = summary_text(dataclasses.replace(evaluation, recording=recording))
    assert json.loads(text)["recording"]["first_command_s"] is None


def test_the_schema_stands_first() -> None:
    keys = list(json.loads(summary_text(sample_evaluation())))
    assert keys[:2] == ["schema", "schema_version"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(schema="other"), "must be of the schema"),
        (lambda v: v.update(schema_version=99), "must be of schema version 4; got 99"),
        (lambda v: v.pop("bags"), "has no field bags"),
        (lambda v: v.update(bags=3), r"summary\.bags must be a list"),
        (lambda v: v["bags"][0].update(bytes="many"), r"bags\[0\]\.bytes must be of type int"),
        (lambda v: v.update(recording=[]), r"summary\.recording must be an object"),
    ],
)
def test_another_file_is_refused_with_what_is_wrong(
    tmp_path: Path, change: Any, message: str
) -> None:
    values = json.loads(summary_text(sample_evaluation()))
    change(values)
    (tmp_path / "summary.json").write_text(json.dumps(values))
    with pytest.raises(BagError, match=message):
        load_summary(tmp_path)


@pytest.mark.parametrize("text", ["", "[1, 2", "[" * 100_000])
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(BagError, match="must be a JSON file"):
        load_summary(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="No such file"):
        load_summary(tmp_path / "none")
