# SPDX-License-Identifier: Apache-2.0
"""Topics and services of every node, asked of the nodes themselves.

`python -m tools.docs.interfaces` starts each node in a domain of its own and prints JSON: a
process apart, since ROS keeps threads.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

EVERY_NODE = ("/rosout", "/parameter_events")
"""Topics that each node of ROS 2 has."""

_PARAMETER_SERVICES = (
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
    "get_type_description",
)

_TRIES = 20  # on a busy machine the policy is refused for being slow

Names = dict[str, str]
"""Full name → type."""


@dataclasses.dataclass(frozen=True)
class Interface:
    """What one node has in the graph, without what every node has."""

    publishers: Names
    subscriptions: Names
    services: Names


@cache
def interfaces() -> dict[str, Interface]:
    """The interface of each node, by its name."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.docs.interfaces"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        timeout=120.0,
    )
    found = json.loads(done.stdout)
    return {name: Interface(**each) for name, each in found.items()}


@cache
def fields_of(kind: str) -> dict[str, str]:
    """Field → type of a message type such as ``sensor_msgs/msg/JointState``."""
    return dict(message_type(kind).get_fields_and_field_types())


def message_type(kind: str) -> Any:
    """The class of a message or service, such as ``sensor_msgs/msg/JointState``."""
    package, folder, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.{folder}"), name)


def _interface(node: Any) -> dict[str, Names]:
    name, namespace = node.get_name(), node.get_namespace()

    def names(found: list[tuple[str, list[str]]], without: tuple[str, ...]) -> Names:
        return {each: kinds[0] for each, kinds in sorted(found) if each not in without}

    everybodys = tuple(f"/{name}/{each}" for each in _PARAMETER_SERVICES)
    return {
        "publishers": names(
            node.get_publisher_names_and_types_by_node(name, namespace), EVERY_NODE
        ),
        "subscriptions": names(
            node.get_subscriber_names_and_types_by_node(name, namespace), EVERY_NODE
        ),
        "services": names(node.get_service_names_and_types_by_node(name, namespace), everybodys),
    }


def _train_node() -> Any:
    """A `train_node` whose training does nothing."""
    from sac_ros.robots.arm import load_arm  # noqa: PLC0415
    from sac_ros.ros.train_node import TrainNode  # noqa: PLC0415

    class Session:
        def __init__(self, config: Any, _: Any) -> None:
            self.env = types.SimpleNamespace(arm=load_arm(config.arm))

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    sys.modules["sac_ros.training.runner"] = types.ModuleType("sac_ros.training.runner")
    sys.modules["sac_ros.training.runner"].TrainingSession = Session  # type: ignore[attr-defined]
    return TrainNode()


def _policy_node() -> Any:
    from rclpy.lifecycle import TransitionCallbackReturn  # noqa: PLC0415

    from sac_ros.ros.policy.node import PolicyNode  # noqa: PLC0415

    node = PolicyNode()
    for _ in range(_TRIES):
        if node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            return node
    raise SystemExit("policy_node cannot be configured: see above")


def _command_guard() -> Any:
    from sac_ros.ros.policy.command_guard import CommandGuardNode  # noqa: PLC0415

    return CommandGuardNode()


def _sim_node() -> Any:
    from sac_ros.ros.sim_node import SimNode  # noqa: PLC0415

    return SimNode()


def _recorder_node() -> Any:
    from sac_ros.ros.recorder_node import RecorderNode  # noqa: PLC0415

    return RecorderNode()


_NODES: tuple[Callable[[], Any], ...] = (
    _policy_node,
    _command_guard,
    _sim_node,
    _train_node,
    _recorder_node,
)


def main() -> int:
    """Print the interfaces of all nodes as JSON."""
    import rclpy  # noqa: PLC0415

    from sac_ros.ros.private_ros import PrivateDomain, loopback_only  # noqa: PLC0415
    from sac_ros.utils.package_share import share_path  # noqa: PLC0415

    domain = PrivateDomain()
    os.environ |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain.id)}
    loopback_only(os.environ)
    model = share_path("models", "iiwa_reach.onnx")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where a run or a bag goes
        rclpy.init(
            args=["--ros-args", "--log-level", "error", "-p", f"policy_node:model_path:={model}"]
        )
        found = {}
        for make in _NODES:
            node = make()
            found[node.get_name()] = _interface(node)
            if stop := getattr(node, "stop", None):
                stop()
            node.destroy_node()
        rclpy.try_shutdown()
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
