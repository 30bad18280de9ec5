# SPDX-License-Identifier: Apache-2.0
"""The table and the picture of panda_payload.py: what was hidden, what was found, what it gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sac_ros.utils.atomic_write import atomic_write

TOLERANCE = 0.02  # m, to the goal
COLOURS = {"textbook": "tab:gray", "shipped": "tab:orange", "trained": "tab:green"}

Results = Mapping[str, Any]


def with_truth(
    results: Results, world: Mapping[str, Sequence[float]], joint_names: Sequence[str]
) -> list[tuple[float, dict[str, Any]]]:
    """Each estimate of something that was hidden, behind its true value."""
    joint_of = [*joint_names, ""]
    true = {
        (name, joint_of[i] if len(values) > 2 else ""): values[2 * i]
        for name, values in world.items()
        for i in range(len(values) // 2)
    }
    true["delay_s", ""] = 1e-3 * true.pop(("command_latency_ms", ""))
    estimates = results["identify"]["estimates"]
    keys = [(each["name"], each["joint"]) for each in estimates]
    return [(true[key], each) for key, each in zip(keys, estimates, strict=True) if key in true]


def success(results: Results, name: str) -> tuple[float, float]:
    """Rates of a contestant: in the identified worlds, and on the robot."""
    rates = results[f"simulate_{name}"]["success"]
    (rate,) = (each["rate"] for each in rates if each["position_tolerance_m"] == TOLERANCE)
    return rate, float(np.mean([each["seconds"] is not None for each in results[name]["reaches"]]))


def is_good(results: Results) -> bool:
    """Whether the trained policy does what it is for: as well as the shipped one, and well."""
    trained, shipped = success(results, "trained"), success(results, "shipped")
    as_good = trained[0] >= shipped[0] - 0.02
    return as_good and min(trained) >= 0.9 and results["verdict"]["decision"] != "no"


def table(results: Results, found: Sequence[tuple[float, Mapping[str, Any]]]) -> str:
    """Both tables, as Markdown."""
    lines = ["| identified | joint | true | estimate, 95 % interval |", "|---" * 4 + "|"]
    for true, each in found:
        interval = "not estimated"
        if each["estimated"]:
            interval = (
                f"{each['value']:.3g}, {each['low']:.3g} to {each['high']:.3g} {each['unit']}"
            )
        lines.append(f"| {each['name']} | {each['joint']} | {true:.3g} | {interval} |")
    head = "| controller | identified worlds: within 2 cm | median | 95 % | the robot: reached "
    lines += ["", head + "| time, median | distance, mean |", "|---" * 7 + "|"]
    for name in COLOURS:
        simulated, reaches = results[f"simulate_{name}"], results[name]["reaches"]
        times = [each["seconds"] for each in reaches if each["seconds"] is not None]
        distance = 1e3 * np.mean([each["distance"] for each in reaches])
        lines.append(
            f"| {name} | {success(results, name)[0]:.0%} | "
            f"{1e3 * simulated['median_error_m']:.1f} mm | "
            f"{1e3 * simulated['p95_error_m']:.1f} mm | {len(times)} of {len(reaches)} | "
            f"{f'{np.median(times):.2f} s' if times else '-'} | {distance:.1f} mm |"
        )
    decision = results["verdict"]["decision"]
    return "\n".join([*lines, "", f"evaluate_bag on the trained policy's deployment: {decision}"])


def save_picture(
    results: Results, found: Sequence[tuple[float, Mapping[str, Any]]], path: Path
) -> None:
    """What was identified beside the truth, and the ways to the goals on the robot."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    interval = [(true, each) for true, each in reversed(found) if each["estimated"]]
    for y, (true, each) in enumerate(interval):
        low, value, high = (each[name] / true for name in ("low", "value", "high"))
        left.errorbar(value, y, xerr=[[value - low], [high - value]], fmt="o", color="tab:blue")
    names = [f"{each['name']} {each['joint'].rpartition('_')[2]}" for _, each in interval]
    left.set_yticks(range(len(interval)), names, fontsize=7)
    left.axvline(1.0, color="black", linewidth=0.8)
    left.set_xlabel("identified / true, with its 95 % interval")
    for name, colour in COLOURS.items():
        for i, reach in enumerate(results[name]["reaches"]):
            time, distance = np.transpose(reach["track"])
            label = name if i == 0 else None
            right.plot(time, np.maximum(1e3 * distance, 0.1), color=colour, label=label, lw=1)
    right.axhline(1e3 * TOLERANCE, color="black", linewidth=0.8, linestyle="--")
    right.set(yscale="log", xlabel="s since the goal was sent", ylabel="mm to the goal")
    right.set_xlim(0.0, 5.0)
    right.set_title("on the arm with the payload", fontsize=10)
    right.legend()
    with atomic_write(path) as file:
        figure.savefig(file, dpi=100, format="png")
