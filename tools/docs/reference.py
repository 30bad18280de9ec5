# SPDX-License-Identifier: Apache-2.0
"""The reference pages, made from the code when the site is built: none of them is committed."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import MISSING, fields
from io import StringIO
from pathlib import Path
from typing import Any

import onnx

from sac_ros.entry import COMMANDS, NODES
from sac_ros.policy.spec import SPEC_KEY, PolicySpec
from sac_ros.ros.browser_view import BrowserViewConfig
from sac_ros.ros.goal_marker import GoalMarkerConfig
from sac_ros.ros.policy.command_guard import CommandGuardNodeConfig
from sac_ros.ros.policy.config import PolicyNodeConfig
from sac_ros.ros.recorder_node import RecorderConfig
from sac_ros.ros.replay_config import ReplayConfig
from sac_ros.ros.sim_config import SimNodeConfig
from sac_ros.training.config import TrainConfig
from sac_ros.utils.settings import Leaf, leaves
from tools.docs.griffe_shapes import escaped
from tools.docs.interfaces import Interface, fields_of, interfaces
from tools.docs.launch_arguments import LaunchArgument, launch_arguments, purpose

ROOT = Path(__file__).parents[2]

PARAMETERS: dict[str, type] = {
    "train_node": TrainConfig,
    "policy_node": PolicyNodeConfig,
    "command_guard": CommandGuardNodeConfig,
    "sim_node": SimNodeConfig,
    "browser_view": BrowserViewConfig,
    "replay_node": ReplayConfig,
    "recorder_node": RecorderConfig,
    "goal_marker": GoalMarkerConfig,
}
"""The parameters of every node."""

PARAMETER_FILES = {
    "train_node": ("config/robust.yaml", "config/train.yaml"),
    "policy_node": ("config/policy.yaml",),
    "sim_node": ("config/sim.yaml",),
}

API = {
    "Arms": ("robots.arm", "robots.kinematics", "robots.dynamics", "robots.urdf"),
    "Tasks": ("tasks.task", "tasks.reach", "tasks.pose", "tasks.track"),
    "Simulation": (
        "sim.env",
        "sim.vector_env",
        "sim.backend",
        "sim.randomization",
        "sim.robot_driver",
    ),
    "Soft Actor-Critic": ("sac.losses", "sac.networks", "sac.agent", "sac.config"),
    "Training": ("training.config", "training.runner", "training.evaluation", "training.export"),
    "Policy": ("policy.runtime", "policy.spec", "policy.control_loop", "policy.command_guard"),
    "Safety": ("policy.safety", "policy.safety_config", "policy.guards", "policy.event_log"),
    "Controllers": ("controllers.computed_torque", "controllers.inverse_kinematics"),
    "Recordings": ("bags.evaluation", "bags.result", "bags.recording", "bags.reader.bag"),
    "Identification": ("identification.identify", "identification.model"),
    "Utilities": ("utils.settings", "utils.errors"),
}
"""The public modules below `sac_ros`, by chapter."""

_MADE = "from the code, when this site was built"
_MODULES = "The public modules, from their docstrings."


def reference_pages() -> dict[str, str]:
    """Path in the site → Markdown, of every page of the reference."""
    pages = {
        "reference/commands.md": _commands_page(),
        "reference/parameters.md": _parameters_page(),
        "reference/launch.md": _launch_page(),
        "reference/interfaces.md": _interfaces_page(),
        "reference/policy_file.md": _policy_file_page(),
        "reference/python.md": _python_page(),
    }
    for chapter, modules in API.items():
        pages[api_page(chapter)] = _api(chapter, modules)
    return pages


def api_page(chapter: str) -> str:
    """Path in the site of a chapter of the Python API."""
    return f"reference/python/{chapter.lower().replace(' ', '_').replace('-', '_')}.md"


# ---- commands --------------------------------------------------------------------------------


def help_of(main: Callable[[list[str]], object]) -> str:
    """What ``--help`` of a command with argparse prints, 90 columns wide."""
    printed = StringIO()
    width = argparse.HelpFormatter.__init__.__defaults__
    argparse.HelpFormatter.__init__.__defaults__ = (2, 28, 90)
    try:
        with redirect_stdout(printed):
            main(["--help"])
    except SystemExit:
        pass
    finally:
        argparse.HelpFormatter.__init__.__defaults__ = width
    return printed.getvalue()


def _commands_page() -> str:
    lines = [
        "# Commands",
        "",
        (
            f"The help of every command, {_MADE}. They exit with 0 when done, 1 when they ran and "
            "the answer is bad, 2 with one sentence when they could not run, 130 when interrupted."
        ),
        "",
    ]
    for name, module_name in sorted({**COMMANDS, **NODES}.items()):
        module = importlib.import_module(module_name)
        lines += [f"## {name}", ""]
        if name in NODES:
            lines += [
                _summary(module),
                "",
                "```sh",
                f"{name} --ros-args --params-file FILE.yaml -p NAME:=VALUE -r FROM:=TO",
                "```",
                "",
                f"A ROS node: its [parameters](parameters.md#{name})"
                + (
                    f" and its [topics and services](interfaces.md#{name})."
                    if name in interfaces()
                    else "."
                ),
                "",
            ]
        else:
            lines += ["```text", help_of(module.main).rstrip(), "```", ""]
    lines += ["## make", "", "```text", _make_help(), "```", ""]
    return "\n".join(lines)


def _make_help() -> str:
    targets = re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return "\n".join(f"make {name:<12}{text}" for name, text in targets)


# ---- parameters ------------------------------------------------------------------------------


def _parameters_page() -> str:
    lines = [
        "# Parameters",
        "",
        (
            f"The parameters of every node, {_MADE}. A value of another type or outside the valid "
            "set is refused in one sentence, and so is a name that the node does not have. A "
            "parameter marked *live* may be set while the node runs; the others are read at start."
        ),
        "",
    ]
    for node, config in PARAMETERS.items():
        files = " or ".join(f"[{each}](repo:{each})" for each in PARAMETER_FILES.get(node, ()))
        lines += [f"## {node}", ""]
        lines += [f"Its parameter file: {files}.", ""] if files else []
        lines += ["| parameter | default | valid | |", "|---|---|---|---|"]
        lines += [_parameter_row(leaf) for leaf in leaves(config)]
        lines.append("")
    return "\n".join(lines)


def _parameter_row(leaf: Leaf) -> str:
    live = " *live*" if leaf.rule.live else ""
    default = "" if leaf.default is MISSING else f"`{written(leaf.default)}`"
    cells = (f"`{leaf.name}`{live}", default, leaf.expected(), leaf.rule.description)
    return _row(cells)


def written(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, tuple):
        return f"[{', '.join(written(each) for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- launch files ----------------------------------------------------------------------------


def _launch_page() -> str:
    lines = [
        "# Launch files",
        "",
        (
            f"The arguments of every launch file, {_MADE}. `ros2 launch sac_ros FILE --show-args` "
            "prints the same."
        ),
        "",
    ]
    for file, arguments in launch_arguments().items():
        lines += [f"## {file}", "", purpose(file), ""]
        if file == "deploy.launch.py":
            lines += [
                "With `sim:=true` those of [simulate.launch.py](#simulatelaunchpy) hold, too.",
                "",
            ]
        lines += ["| argument | default | |", "|---|---|---|"]
        lines += [_argument_row(each) for each in arguments.values()]
        lines.append("")
    return "\n".join(lines)


def _argument_row(argument: LaunchArgument) -> str:
    default = argument.default_value.replace(f"{ROOT}/", "")
    choices = f" One of {', '.join(argument.choices)}." if argument.choices else ""
    return _row(
        (f"`{argument.name}`", f"`{default}`" if default else "", argument.description + choices)
    )


# ---- topics and services -----------------------------------------------------------------------

ABOUT = {
    "joint_states": "positions and velocities by joint name, rad and rad/s",
    "goal_pose": "where the end effector shall go, m and a unit quaternion",
    "commands": "torques, N·m, in the order of `command_joints`",
    "policy_commands": "the torques of `policy_node` where a `command_guard` is between",
    "policy_torque": "`effort`: what the policy answers, before the safety filter",
    "applied_torque": "`effort`: what was published",
    "policy_spec": "the description in the policy file, as JSON",
    "events": "what the control loop did, as JSON, an event a message",
    "diagnostics": "how it is doing",
    "robot_description": "the arm's URDF",
    "clock": "simulated time",
    "transition_event": "of the lifecycle",
    "clear_fault": "forget the faults whose cause is gone, and go on softly",
    "emergency_stop": "`data: true` engages, `data: false` releases",
    "reset": "put the arm at its home, at rest",
    "pause": "`data: true` pauses the training, `data: false` goes on",
    "save_checkpoint": "write a checkpoint now",
    "export_policy": "write the policy file now",
    "evaluate": "evaluate the actor now, on held-out goals",
}
"""What a topic or a service is, by the last part of its name."""


def _interfaces_page() -> str:
    found = interfaces()
    lines = [
        "# Topics and services",
        "",
        (
            "What every node has, asked of the running nodes when this site was built. Names are "
            "those without a namespace; with `namespace:=left`, `/joint_states` is "
            "`/left/joint_states`. What every ROS 2 node has (parameter services, `/rosout`) is "
            "left out."
        ),
        "",
    ]
    for node, interface in found.items():
        lines += [f"## {node}", "", *_interface_table(interface), ""]
    lines += [
        "## replay_node",
        "",
        (
            "The topics of `policy_node`, below its own name (`/replay_node/policy_node/events` "
            "and so on): no live node subscribes there. `publish_clock` adds `/clock`."
        ),
        "",
        "## browser_view",
        "",
        (
            "It subscribes what the nodes above publish, and publishes `/goal_pose` where "
            "`allow_goals` is true."
        ),
        "",
        "## Messages",
        "",
    ]
    kinds = {
        kind
        for each in found.values()
        for names in (each.publishers, each.subscriptions)
        for kind in names.values()
    }
    lines += ["| type | fields |", "|---|---|"]
    for kind in sorted(kinds):
        listed = ", ".join(f"`{name}` {type_}" for name, type_ in fields_of(kind).items())
        lines.append(_row((f"`{kind}`", listed)))
    return "\n".join([*lines, ""])


def _interface_table(interface: Interface) -> Iterable[str]:
    yield "| | name | type | |"
    yield "|---|---|---|---|"
    for what, names in (
        ("publishes", interface.publishers),
        ("subscribes", interface.subscriptions),
        ("service", interface.services),
    ):
        for name, kind in names.items():
            about = ABOUT.get(name.rpartition("/")[2], "")
            if kind.startswith("lifecycle_msgs/srv"):
                about = "of the lifecycle"
            yield _row((what, f"`{name}`", f"`{kind}`", about))


# ---- policy file -------------------------------------------------------------------------------


def _policy_file_page() -> str:
    model = onnx.load(ROOT / "models" / "iiwa_reach.onnx")
    metadata = {each.key: each.value for each in model.metadata_props}
    about = _attributes(PolicySpec)
    lines = [
        "# Fields of a policy file",
        "",
        (
            f"The metadata of a policy file, {_MADE}: JSON under the key `{SPEC_KEY}`. "
            "[The policy file](../policy_file.md) describes the file."
        ),
        "",
        "| field | type | |",
        "|---|---|---|",
        *(
            _row((f"`{each.name}`", f"`{each.type}`", about.get(each.name, "")))
            for each in fields(PolicySpec)
        ),
        "",
        "## Graph",
        "",
        "Of `models/iiwa_reach.onnx`, whose arm has seven joints:",
        "",
        "| | name | numbers |",
        "|---|---|---|",
    ]
    for what, values in (("input", model.graph.input), ("output", model.graph.output)):
        for each in values:
            size = each.type.tensor_type.shape.dim[-1].dim_value
            lines.append(_row((what, f"`{each.name}`", str(size))))
    shown = json.loads(metadata[SPEC_KEY])
    for name in ("self_test", "arm_model", "training", "evaluation"):
        shown[name] = "…"
    lines += [
        "",
        "## An example",
        "",
        "That file's metadata, without its longest parts:",
        "",
        "```json",
        _json(shown),
        "```",
        "",
    ]
    return "\n".join(lines)


def _json(value: dict[str, Any]) -> str:
    rows = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
    return "{\n" + ",\n".join(rows) + "\n}"


def _attributes(kind: type) -> dict[str, str]:
    """Name → description of the section *Attributes* of a docstring."""
    section = inspect.getdoc(kind).partition("Attributes:\n")[2]  # type: ignore[union-attr]
    found = re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {
        name.strip(): _backticks(re.sub(r"\s+", " ", text))
        for names, text in found
        for name in names.split(",")
    }


# ---- Python ------------------------------------------------------------------------------------


def _python_page() -> str:
    lines = ["# Python API", "", "The public modules, from their docstrings.", ""]
    for chapter, modules in API.items():
        path = api_page(chapter).removeprefix("reference/")
        lines += [f"## [{chapter}]({path})", "", "| module | |", "|---|---|"]
        for name in modules:
            module = importlib.import_module(f"sac_ros.{name}")
            lines.append(_row((f"[`sac_ros.{name}`]({path}#sac_ros.{name})", _summary(module))))
        lines.append("")
    return "\n".join(lines)


def _api(chapter: str, modules: Iterable[str]) -> str:
    lines = [f"# {chapter}", ""]
    for name in modules:
        lines += [f"::: sac_ros.{name}", ""]
    return "\n".join(lines)


# ---- text ------------------------------------------------------------------------------------


def _summary(module: Any) -> str:
    text = (inspect.getdoc(module) or "").partition("\n\n")[0]
    return _backticks(re.sub(r"\s+", " ", text))


def _backticks(text: str) -> str:
    return escaped(text.replace("``", "`"))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"
