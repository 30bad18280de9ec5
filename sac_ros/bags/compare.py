# SPDX-License-Identifier: Apache-2.0
"""``--compare A B``: two saved evaluations side by side, without their bags."""

from __future__ import annotations

from typing import Any

from sac_ros.bags.result import Evaluation
from sac_ros.bags.thresholds import FIGURES


def compare(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """Return the figures of every pair of models, in their order.

    Returns:
        ``same_bags`` and ``same_joints``, whether the two are about the same; ``options``, those
        that differ, name to ``a`` and ``b`` (None where one was not given); ``unmatched_models``,
        how many have no counterpart; ``models``, each with the labels ``a`` and ``b``,
        ``same_file`` and ``figures``: name to ``a``, ``b`` and ``change`` (None where either
        cannot be told).
    """
    models = []
    for old, new in zip(before.models, after.models, strict=False):
        figures = {}
        for name, (value, _) in FIGURES.items():
            a, b = value(before, old), value(after, new)
            change = None if a is None or b is None else b - a
            figures[name] = {"a": a, "b": b, "change": change}
        models.append(
            {
                "a": old.label,
                "b": new.label,
                "same_file": old.sha256 == new.sha256,
                "figures": figures,
            }
        )
    bags = [[bag.sha256 for bag in each.bags] for each in (before, after)]
    joints = [each.recording.joint_names for each in (before, after)]
    return {
        "same_bags": bags[0] == bags[1],
        "same_joints": joints[0] == joints[1],
        "options": _changed_options(before.options, after.options),
        "unmatched_models": abs(len(before.models) - len(after.models)),
        "models": models,
    }


def _changed_options(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the options that change figures and differ; ``--fail-on`` only judges them."""
    names = sorted((before.keys() | after.keys()) - {"fail_on"})
    pairs = {name: {"a": before.get(name), "b": after.get(name)} for name in names}
    return {name: pair for name, pair in pairs.items() if pair["a"] != pair["b"]}


def comparison_text(found: dict[str, Any]) -> str:
    """Return a comparison as text."""
    lines = []
    if not found["same_bags"]:
        lines.append("warning: the two are about different bags")
    if not found["same_joints"]:
        lines.append("warning: the two are about different joints")
    for name, each in found["options"].items():
        a, b = ("not given" if value is None else value for value in each.values())
        lines.append(f"warning: --{name.replace('_', '-')} differs: {a} -> {b}")
    if found["unmatched_models"]:
        lines.append(f"warning: {found['unmatched_models']} models have no counterpart")
    for model in found["models"]:
        same = " (the same file)" if model["same_file"] else ""
        lines.append(f"{model['a']} -> {model['b']}{same}")
        lines += [
            f"  {name:<14}{_cell(row['a'])}{_cell(row['b'])}{_cell(row['change'], '+')}  "
            f"{FIGURES[name][1]}"
            for name, row in model["figures"].items()
        ]
    return "\n".join(lines)


def _cell(value: float | None, sign: str = "") -> str:
    return f"{'unknown':>12}" if value is None else format(value, f"{sign}12.5g")
