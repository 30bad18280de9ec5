# SPDX-License-Identifier: Apache-2.0
"""``report.html`` of a run: one file with its plots inside; ``run.html`` is its template."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from sac_ros.pages.page import render
from sac_ros.training.config import TrainConfig
from sac_ros.training.page import goal_map, verdict
from sac_ros.training.page.contents import Contents
from sac_ros.training.page.curves import page_figures
from sac_ros.training.report import figure_rows
from sac_ros.utils.settings import flat

_LARGEST_PICTURE = 3_000_000  # bytes: the page stays below 5 MB with it


def run_html(contents: Contents) -> str:
    """The page, the same for the same contents."""
    found = contents.measured or contents.best
    return render(
        "sac_ros.training.page",
        "run.html",
        figures=page_figures(contents),
        filters={"heat": _heat},
        title=contents.path.name,
        contents=contents,
        answer=verdict.answer(contents),
        findings=verdict.findings(contents),
        figure_rows=figure_rows(asdict(found)) if found else [],
        pairs=verdict.pairs(contents),
        goal_map=goal_map,
        markup=Markup,
        picture=_data(contents.picture),
        settings=_settings(contents.config),
        commands=_commands(contents),
    )


def _data(gif: bytes) -> str:
    """An address that holds the GIF; empty where there is none, or one too large for a mail."""
    if not gif or len(gif) > _LARGEST_PICTURE:
        return ""
    return f"data:image/gif;base64,{base64.b64encode(gif).decode()}"


def _heat(rate: float) -> str:
    """The class of a cell that is so far between red and green."""
    return f"heat{round(10 * rate)}"


def _settings(config: TrainConfig) -> list[tuple[str, Any, Any]]:
    """Name, value and default of every setting."""
    ours, theirs = flat(asdict(config)), flat(asdict(TrainConfig()))
    return [(name, ours[name], theirs.get(name)) for name in ours]


def _commands(contents: Contents) -> list[tuple[str, str]]:
    """What is done with a run, and how."""
    path, config = contents.path, contents.config
    policy = path / "policy.onnx"
    steps = 2 * max(contents.env_steps, config.total_steps // 2)
    train, deploy = "train_node --ros-args", "ros2 launch sac_ros deploy.launch.py"
    resume = f"{train} -p resume:=true -p directory:={path.parent} -p name:={path.name}"
    simulated = f"{deploy} model:={policy} arm:={config.arm}"
    begun = f"-p initial_policy:={policy} -p name:={path.name}_2"
    found = []
    if contents.state != "learning":
        more = f" -p total_steps:={steps}" if contents.state == "finished" else ""
        found.append(("Go on with it", resume + more))
    if contents.measured is not None:
        found = [
            ("Measure it again, on other goals", f"evaluate_policy {policy} --episodes 200"),
            ("See what it survives", f"evaluate_policy {policy} --robustness"),
            ("Run it on a simulated arm over ROS", simulated),
            (
                "Run it on a robot: read docs/safety.md and docs/deployment.md first",
                f"{simulated} sim:=false",
            ),
            *found,
            ("Train another from it", f"{train} --params-file {path / 'train.yaml'} {begun}"),
        ]
    return [*found, ("Every scalar, histogram and picture", f"tensorboard --logdir {path.parent}")]
