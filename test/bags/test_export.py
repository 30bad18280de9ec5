# SPDX-License-Identifier: Apache-2.0
"""``--export``: torques as a bag and a table, which other tools open."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from bag_maker import Motion, write_bag
from rosbags.highlevel import AnyReader
from tiny_policy import JOINTS, write_tiny_policy

from sac_ros.bags.export import BAG, CSV, FOXGLOVE, PLOTJUGGLER
from sac_ros.bags.files import SERIES_FILE
from sac_ros.cli.evaluate_bag import main


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    bag = write_bag(tmp_path / "bag", Motion(goal=(0.3, 0.0, 0.2)).entries())
    models = [
        write_tiny_policy(tmp_path / f"{name}.onnx", gain=g) for name, g in (("a", 1), ("b-2", 2))
    ]
    given = [str(bag), "--model", *map(str, models), "--export", "mcap,csv"]
    for _ in range(2):  # a second time it is replaced
        assert main([*given, "--output", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def messages(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """What another library reads: topic → (time, message)."""
    found = defaultdict(list)
    with AnyReader([folder / BAG]) as reader:
        for connection, time_ns, raw in reader.messages():
            found[connection.topic].append((time_ns, reader.deserialize(raw, connection.msgtype)))
    return found


def test_the_bag_holds_recorded_and_policy_torques_at_their_times(exported: Path) -> None:
    found, series = messages(exported), dict(np.load(exported / SERIES_FILE))
    for topic, name in (
        ("/recorded/torque", "recorded_torque"),
        ("/a/torque", "policy_torque_0"),
        ("/b_2/torque", "policy_torque_1"),
        ("/b_2/published_torque", "published_torque_1"),
    ):
        np.testing.assert_array_equal([m.effort for _, m in found[topic]], series[name])
        assert [ns for ns, _ in found[topic]] == series["received_ns"].tolist()
    assert found["/a/torque"][0][1].name == list(JOINTS)
    errors = np.array([m.effort for _, m in found["/a/torque_error"]])
    assert np.abs(errors).max() < 1e-4
    states = np.array([m.position for _, m in found["/recorded/joint_states"]])
    np.testing.assert_array_equal(states, series["position"])
    acts = [message.data for _, message in found["/b_2/interventions"]]
    assert "soft_start" in acts[0]
    assert all(a != b for a, b in zip(acts, acts[1:], strict=False))


def test_the_layouts_show_topics_that_the_bag_has(exported: Path) -> None:
    topics = set(messages(exported))
    layout = json.loads((exported / FOXGLOVE).read_text())
    paths = [path["value"] for plot in layout["configById"].values() for path in plot["paths"]]
    assert {path.rpartition(".effort[")[0] for path in paths} <= topics
    assert len(layout["configById"]) == len(JOINTS)

    def panels(node: Any) -> list[str]:
        return [node] if isinstance(node, str) else panels(node["first"]) + panels(node["second"])

    assert panels(layout["layout"]) == list(layout["configById"])
    curves = ElementTree.parse(exported / PLOTJUGGLER).getroot().iter("curve")
    names = [curve.get("name", "") for curve in curves]
    assert {name.removesuffix("/effort").rpartition("/")[0] for name in names} <= topics
    assert {name.split("/")[-2] for name in names} == set(JOINTS)


def test_the_table_has_every_series_by_joint(exported: Path) -> None:
    series = dict(np.load(exported / SERIES_FILE))
    with (exported / CSV).open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == len(series["time_s"])
    column = [float(row[f"policy_torque_1/{JOINTS[2]}"]) for row in rows]
    np.testing.assert_allclose(column, series["policy_torque_1"][:, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--export", "mcap"], "--export writes into the folder of --output; got none"),
        (["--export", "xlsx"], "must be of mcap, csv; got 'xlsx'"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    options: list[str], words: str, bag: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([str(bag), "--model", str(model), *options])
    except SystemExit as ended:  # argparse's own
        code = ended.code  # type: ignore[assignment]
    assert code == 2
    assert words in capsys.readouterr().err
