# SPDX-License-Identifier: Apache-2.0
"""The page's sections about the recording: which bags, which clock, what was left out."""

from __future__ import annotations

from sac_ros.bags.report.html import (
    DASH,
    Cell,
    Markup,
    element,
    join,
    number,
    section,
    table,
)
from sac_ros.bags.result import Evaluation


def warnings(evaluation: Evaluation) -> Markup:
    """What the reader must know before any figure."""
    if not evaluation.warnings:
        return Markup("")
    items = join(*(element("li", each) for each in evaluation.warnings))
    return element("div", join(element("h2", "Mind"), element("ul", items)), "warnings")


def recording(evaluation: Evaluation) -> Markup:
    """The bags, the clock, the streams, and what was dropped of them."""
    facts = evaluation.recording
    span = f"{facts.start_s:.3f} to {facts.end_s:.3f} s"
    commands = "none were recorded"
    if facts.first_command_s is not None and facts.last_command_s is not None:
        commands = f"{facts.first_command_s:.3f} to {facts.last_command_s:.3f} s"
    rows = [
        ("clock", f"{facts.clock.name}: {facts.clock.why}"),
        ("rate of the stamps", f"{number(facts.clock.factor)} s in each of the recorder's"),
        ("states with figures", span),
        ("commands", commands),
        ("goals", facts.goal_source),
        ("effort", "measured" if facts.effort_filled else "not filled: it never varies"),
        ("velocity that never changes", ", ".join(facts.still_joints) or "none"),
    ]
    return section(
        "The recording",
        "recording",
        table(("", ""), rows, "words"),
        _streams(evaluation),
        _bags(evaluation),
    )


def _streams(evaluation: Evaluation) -> Markup:
    facts = evaluation.recording
    head = ("", "topic", "read", "used", "Hz", "gaps", "longest gap, s", "left out")
    rows = [
        (
            name,
            Cell(f"{stream.topic} ({stream.type})", "words"),
            stream.read,
            stream.used,
            number(stream.rate_hz, 4),
            stream.gaps,
            number(stream.longest_gap_s),
            Cell(", ".join(f"{n} {why}" for why, n in stream.dropped.items()) or DASH, "words"),
        )
        for name in ("states", "commands", "goals")
        if (stream := getattr(facts, name)) is not None
    ]
    return table(head, rows)


def _bags(evaluation: Evaluation) -> Markup:
    head = ("bag", "storage", "MB", "s", "sha256")
    rows = [
        (
            bag.path,
            Cell(bag.storage, "words"),
            number(bag.bytes / 1e6),
            number(bag.duration_s, 4),
            Cell(bag.sha256[:16], "words"),
        )
        for bag in evaluation.bags
    ]
    return table(head, rows, "paths")


def provenance(evaluation: Evaluation) -> Markup:
    """The policy files and the options, so that the page can be made again."""
    rows = [
        (
            model.label,
            Cell(model.path, "words"),
            Cell(model.arm, "words"),
            f"{model.control_rate_hz:g}",
            Cell(model.gravity, "words"),
            Cell(model.sha256[:16], "words"),
        )
        for model in evaluation.models
    ]
    options = ", ".join(f"{name} = {value}" for name, value in evaluation.options.items())
    words = f"sac_ros {evaluation.tool_version}, evaluate_bag with {options or 'no options'}."
    return section(
        "How this page was made",
        "provenance",
        table(("policy", "file", "arm", "Hz", "gravity", "sha256"), rows),
        element("p", f"{words} summary.json beside this page holds every figure in full."),
    )
