# SPDX-License-Identifier: Apache-2.0
"""Findings as a table, and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from sac_ros.identification.findings import Estimate, Findings
from sac_ros.identification.identify import Source

_OPEN = "-"


def findings_text(findings: Findings, source: Source) -> str:
    """Return a line for each estimate, and a sentence for each thing that was not estimated."""
    rows = [["parameter", "joint", "estimate", "95 % interval", "as described", "unit", "verdict"]]
    for each in findings.estimates:
        if each.joint and each.value is None:
            continue  # a sentence below has the reason
        interval = _OPEN
        if each.low is not None and each.high is not None:
            interval = f"{_number(each.low)} to {_number(each.high)}"
        value = _OPEN if each.value is None else _number(each.value)
        given = _OPEN if each.name == "delay_s" else _number(each.described)
        rows.append(
            [each.name, each.joint, value, interval, given, each.unit, _verdict(each, findings)]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    head = (
        f"{source.seconds:.1f} s of {', '.join(source.bags)}: {source.states} joint states at "
        f"{source.rate_hz:.4g} Hz, {source.torques} torques of {source.torque_topic}; "
        f"{source.clock}; cutoff {findings.cutoff_hz:.2g} Hz"
    )
    explained = ", ".join(
        f"{each.joint} {each.explained:.1%}" for each in findings.excitation if each.seconds > 0.0
    )
    lines = [head, "", *table]
    if explained:
        lines += ["", f"share of the torque's variance that the model explains: {explained}"]
    return "\n".join([*lines, *([""] if findings.not_estimated else []), *findings.not_estimated])


def findings_json(findings: Findings, source: Source, written: str | None) -> dict[str, Any]:
    """Return all of it; ``written`` is the parameter file, None where there is none."""
    return {
        "source": dataclasses.asdict(source),
        "cutoff_hz": findings.cutoff_hz,
        "estimates": [
            {**dataclasses.asdict(each), "unit": each.unit} for each in findings.estimates
        ],
        "excitation": [dataclasses.asdict(each) for each in findings.excitation],
        "not_estimated": list(findings.not_estimated),
        "output": written,
    }


def _verdict(each: Estimate, findings: Findings) -> str:
    if each.estimated:
        return "of the effort" if each.name == "delay_s" and findings.measured else "estimated"
    return "taken as 1" if each.assumed else "not estimated"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.1g}"
