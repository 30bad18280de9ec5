# SPDX-License-Identifier: Apache-2.0
"""The torques of an evaluation as a bag for Foxglove, PlotJuggler and RViz, or as a table.

Beside the bag are layouts that show, joint by joint, what was recorded and what the policies ask.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from sac_ros.bags.metrics.safety import BIT
from sac_ros.bags.result import Evaluation
from sac_ros.cdr import JOINT_STATE, TEXT
from sac_ros.utils.atomic_write import atomic_write

BAG, CSV = "torques", "series.csv"
FOXGLOVE, PLOTJUGGLER = "foxglove_layout.json", "plotjuggler_layout.xml"
"""The names of the exported files in an evaluation's folder."""

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")

Series = Mapping[str, NDArray[Any]]


def topics_of(evaluation: Evaluation, series: Series) -> dict[str, str]:
    """Return the topics of torques in an exported bag, and the series that each one is.

    ``/recorded/joint_states`` and ``/<policy>/interventions`` are there beside them.
    """
    topics = {"/recorded/torque": "recorded_torque"} if "recorded_torque" in series else {}
    for i, model in enumerate(evaluation.models):
        name = re.sub(r"\W+", "_", model.label).strip("_")
        topics[f"/{name}/torque"] = f"policy_torque_{i}"
        topics[f"/{name}/published_torque"] = f"published_torque_{i}"
        if "recorded_torque" in series:
            topics[f"/{name}/torque_error"] = f"torque_error_{i}"
    return topics


def export(evaluation: Evaluation, series: Series, folder: Path, formats: tuple[str, ...]) -> None:
    """Write the series of an evaluation into its folder, in some of `files.EXPORTS`."""
    if "mcap" in formats:
        _save_bag(evaluation, series, folder / BAG)
        topics = list(topics_of(evaluation, series))
        joints = evaluation.recording.joint_names
        for name, text in (
            (FOXGLOVE, _foxglove(topics, joints)),
            (PLOTJUGGLER, _plotjuggler(topics, joints)),
        ):
            with atomic_write(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
    if "csv" in formats:
        with atomic_write(folder / CSV) as partial, partial.open("w", newline="") as file:
            csv.writer(file).writerows(_table(evaluation, series))


def _save_bag(evaluation: Evaluation, series: Series, folder: Path) -> None:
    """Write the bag beside its place and then move it there, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    types = get_typestore(Stores.LATEST)
    make = types.types
    joints = list(evaluation.recording.joint_names)

    def joint_state(time_ns: int, **fields: Any) -> Any:
        time = make["builtin_interfaces/msg/Time"](time_ns // 10**9, time_ns % 10**9)
        header = make["std_msgs/msg/Header"](time, "")
        values = (np.asarray(fields.get(f, ()), float) for f in ("position", "velocity", "effort"))
        return make[JOINT_STATE](header, joints, *values)

    with Writer(partial, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def topic(name: str, kind: str) -> Callable[[int, Any], None]:
            connection = writer.add_connection(name, kind, typestore=types)
            return lambda ns, message: writer.write(
                connection, ns, types.serialize_cdr(message, kind)
            )

        states = topic("/recorded/joint_states", JOINT_STATE)
        torques = [
            (topic(name, JOINT_STATE), _values(series, source))
            for name, source in topics_of(evaluation, series).items()
        ]
        acts = [
            (topic(f"{name.rpartition('/')[0]}/interventions", TEXT), series[f"interventions_{i}"])
            for i, name in enumerate(n for n in topics_of(evaluation, series) if _is_policy(n))
        ]
        before = [-1] * len(acts)
        for row, time_ns in enumerate(series["received_ns"].tolist()):
            position, velocity = series["position"][row], series["velocity"][row]
            states(time_ns, joint_state(time_ns, position=position, velocity=velocity))
            for write, values in torques:
                torque = values(row)
                if np.isfinite(torque).all():
                    write(time_ns, joint_state(time_ns, effort=torque))
            for i, (write, kinds) in enumerate(acts):
                if (acting := int(kinds[row])) != before[i]:
                    before[i] = acting
                    text = ", ".join(kind.value for kind, bit in BIT.items() if acting & bit)
                    write(time_ns, make[TEXT](text))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _is_policy(topic: str) -> bool:
    return topic.endswith("/torque") and not topic.startswith("/recorded/")


def _values(series: Series, name: str) -> Callable[[int], NDArray[Any]]:
    """Return what gives the row of a series, or of a policy's error against the recording."""
    if not name.startswith("torque_error_"):
        return lambda row: series[name][row]
    number = name.removeprefix("torque_error_")
    policy, recorded = series[f"policy_torque_{number}"], series["recorded_torque"]
    return lambda row: policy[row] - recorded[row]


def _table(evaluation: Evaluation, series: Series) -> Iterator[list[Any]]:
    """Yield the rows of the table, its header first; what is unknown is empty."""
    joints = evaluation.recording.joint_names
    recorded = ("position", "velocity", "recorded_effort", "recorded_torque")
    names = [name for name in recorded if name in series]
    for i in range(len(evaluation.models)):
        names += [f"policy_torque_{i}", f"published_torque_{i}"]
    yield ["time_s", *(f"{name}/{joint}" for name in names for joint in joints)]
    for row, time_s in enumerate(series["time_s"].tolist()):
        values = np.concatenate([series[name][row] for name in names])
        yield [time_s, *("" if np.isnan(value) else value for value in values.tolist())]


# ---- layouts -----------------------------------------------------------------------------------


def _foxglove(topics: list[str], joints: tuple[str, ...]) -> str:
    """Return a layout with a plot for each joint, all below each other, for Foxglove Studio."""
    plots = {}
    for j, joint in enumerate(joints):
        paths = [
            {
                "value": f"{topic}.effort[{j}]",
                "label": topic.strip("/"),
                "enabled": True,
                "timestampMethod": "receiveTime",
                "color": _COLOURS[i % len(_COLOURS)],
            }
            for i, topic in enumerate(topics)
            if not topic.endswith("_error")
        ]
        plots[f"Plot!joint{j}"] = {
            "foxglovePanelTitle": f"{joint}, N·m",
            "paths": paths,
            "showLegend": j == 0,
            "isSynced": True,
            "xAxisVal": "timestamp",
        }
    return json.dumps(
        {"configById": plots, "layout": _stacked(list(plots)), "globalVariables": {}}
    )


def _stacked(panels: list[str]) -> Any:
    if len(panels) == 1:
        return panels[0]
    rest = _stacked(panels[1:])
    share = 100.0 / len(panels)
    return {"direction": "column", "first": panels[0], "second": rest, "splitPercentage": share}


def _plotjuggler(topics: list[str], joints: tuple[str, ...]) -> str:
    """Return a layout with a plot for each joint, all below each other, for PlotJuggler."""
    root = ElementTree.Element("root")
    tabs = ElementTree.SubElement(
        root, "tabbed_widget", {"parent": "main_window", "name": "Main Window"}
    )
    tab = ElementTree.SubElement(tabs, "Tab", containers="1", tab_name="torques")
    container = ElementTree.SubElement(tab, "Container")
    sizes = ";".join([f"{1 / len(joints):.6f}"] * len(joints))
    split = ElementTree.SubElement(
        container, "DockSplitter", orientation="-", sizes=sizes, count=str(len(joints))
    )
    for joint in joints:
        area = ElementTree.SubElement(split, "DockArea", name=joint)
        plot = ElementTree.SubElement(area, "plot", mode="TimeSeries", style="Lines")
        for i, topic in enumerate(each for each in topics if not each.endswith("_error")):
            colour = _COLOURS[i % len(_COLOURS)]
            ElementTree.SubElement(plot, "curve", name=f"{topic}/{joint}/effort", color=colour)
    ElementTree.SubElement(tabs, "currentTabIndex", index="0")
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode")
