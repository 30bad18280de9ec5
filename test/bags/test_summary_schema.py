# SPDX-License-Identifier: Apache-2.0
"""summary.schema.json says what summary.json holds, to readers that know no Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bag_maker import Motion, write_bag
from evaluate_command import summary_of
from sample_result import sample_evaluation
from summary_schema import SCHEMA_FILE, schema_text
from tiny_policy import write_tiny_policy

from sac_ros.bags.files import summary_text


@pytest.fixture
def validate() -> Any:
    """Call it with a summary: raises where the installed schema does not allow it."""
    jsonschema = pytest.importorskip(
        "jsonschema", reason="jsonschema is not installed: `make setup` brings it"
    )
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).validate


def test_the_file_is_what_the_dataclasses_say_now() -> None:
    command = "PYTHONPATH=. python test/support/summary_schema.py"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        f"write it anew: {command} > {SCHEMA_FILE}"
    )


@pytest.mark.parametrize("optional", [True, False])
def test_every_field_may_be_filled_and_every_optional_one_null(
    validate: Any, optional: bool
) -> None:
    validate(json.loads(summary_text(sample_evaluation(optional))))


MOTIONS = {
    "whole": Motion().entries(),
    "one state": Motion(count=1).entries(),
    "two states": Motion(count=2).entries(),
    "no commands": [*Motion().states(), *Motion().goals()],
    "commands of another time": [*Motion(count=50).states(), *Motion().commands()[200:]],
    "always the same torque": Motion(torque=lambda q, v: 0.0 * q).entries(),
    "no stamps": Motion(stamps=lambda i: 0).entries(),
    "no goal": Motion(goal=None).entries(),
}


@pytest.mark.parametrize("entries", MOTIONS.values(), ids=MOTIONS)
def test_what_evaluate_bag_writes_follows_the_schema(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], validate: Any, entries: Any
) -> None:
    bag = write_bag(tmp_path / "bag", entries)
    other = write_tiny_policy(tmp_path / "other.onnx", gain=-3.0)
    options = ["--fail-on", "dropped=1e9", "--goal", "0.3,0,0.2"]
    validate(summary_of(capsys, bag, "--model", model, other, *options))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda v: v.update(more=1), "'more' was unexpected"),
        (lambda v: v.pop("warnings"), "'warnings' is a required property"),
        (lambda v: v.update(schema_version=1), "4 was expected"),
        (lambda v: v["recording"].update(start_s=None), "None is not of type 'number'"),
        (lambda v: v["bags"][0].update(bytes="many"), "'many' is not of type 'integer'"),
        (lambda v: v["models"][0]["coverage"].update(percentiles=[1.0]), r"\[1.0\] is too short"),
    ],
)
def test_another_summary_is_not_allowed(validate: Any, spoil: Any, message: str) -> None:
    values = json.loads(summary_text(sample_evaluation()))
    spoil(values)
    with pytest.raises(Exception, match=message):
        validate(values)
