# SPDX-License-Identifier: Apache-2.0
"""Checks of launch arguments and parameter files, before a launch starts anything.

Imports no `launch`, which is not on PyPI: the tests run without it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rclpy.exceptions import InvalidNamespaceException, InvalidTopicNameException
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_topic_name import validate_topic_name

from sac_ros.robots.arm import arm_names, load_arm
from sac_ros.ros.parameters import BUILT_IN, BUILT_IN_GROUPS, did_you_mean
from sac_ros.ros.robot_description import FROM_DESCRIPTION
from sac_ros.utils.errors import ConfigurationError, SacRosError
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import build, flat, leaves

if TYPE_CHECKING:
    from sac_ros.training.config import TrainConfig

_PARAMETERS = "ros__parameters"
_OF_LAUNCH = "launch-prefix"  # and launch-prefix-filter: arguments that `ros2 launch` itself adds


def refuse_unknown(given: Collection[str], declared: Collection[str]) -> None:
    """Refuses names of arguments that a launch file does not have; `launch` ignores them."""
    for name in given:
        if name not in declared and not name.startswith(_OF_LAUNCH):
            raise ConfigurationError(
                f"launch argument {name} is unknown{did_you_mean(name, declared)} "
                "(--show-args lists the valid ones)"
            )


def given_on_command_line(argv: Collection[str], file: str) -> list[str]:
    """The names of the arguments in `ros2 launch sac_ros FILE NAME:=VALUE …`, or with its path.

    Empty where another launch file is started, which may include ours and has its own arguments.
    """
    words = [*argv]
    path = share_path("launch", file).resolve()
    for number, word in enumerate(words):
        by_name = word == file and words[number - 1 : number] == ["sac_ros"]
        if by_name or (word.endswith(file) and Path(word).resolve() == path):
            return [each.partition(":=")[0] for each in words[number + 1 :] if ":=" in each]
    return []


def check_file(argument: str, path: str) -> None:
    """Refuses what is no file.

    `launch_ros` only warns of that, and the node would run with its defaults: at full torque.
    """
    if not Path(path).is_file():
        raise ConfigurationError(f"launch argument {argument} must name a file; got {path!r}")


def check_exists(argument: str, path: str) -> None:
    """Refuses the path of nothing."""
    if not path or not Path(path).expanduser().exists():
        raise ConfigurationError(
            f"launch argument {argument} must name a file or folder that exists; got {path!r}"
        )


def check_new(argument: str, path: str) -> None:
    """Refuses a path that is taken."""
    if Path(path).expanduser().exists():
        raise ConfigurationError(
            f"launch argument {argument} must name a folder that does not exist yet; {path} does"
        )


def check_model(argument: str, path: str) -> None:
    """Refuses what is no policy file that can run."""
    # Here, since it is imported for a second, and most arguments are refused without it.
    from sac_ros.policy.runtime import Policy  # noqa: PLC0415

    check_file(argument, path)
    with _named(argument):
        Policy.load(path)


def check_arm(argument: str, reference: str) -> None:
    """Refuses what is no arm; the robot's own description is not known yet."""
    if reference != FROM_DESCRIPTION:
        with _named(argument):
            load_arm(reference)


def arm_of_policy(reference: str, model: str) -> str:
    """The arm that a policy file moves, for the guard: `reference`, or that of the file.

    Raises:
        ConfigurationError: no arm is given and that of the file is unknown here, or the given arm
            has other joints.
    """
    from sac_ros.policy.runtime import Policy  # noqa: PLC0415 - as in check_model

    spec = Policy.load(model).spec
    if reference == FROM_DESCRIPTION:
        return reference
    # A policy file may come from elsewhere: what it names is no path.
    if not reference and spec.arm not in arm_names():
        raise ConfigurationError(
            f"launch argument arm must name a .yaml or .urdf, or be robot_description: {model} is "
            f"for {spec.arm!r}, which is none of config/arms ({', '.join(arm_names())})"
        )
    arm = load_arm(reference or spec.arm)
    if not {*spec.joint_names} <= {*arm.joint_names}:
        raise ConfigurationError(
            f"launch argument arm must be the arm of {model}, {spec.arm!r} with the joints "
            f"{', '.join(spec.joint_names)}; got {reference or spec.arm!r}, whose joints are "
            f"{', '.join(arm.joint_names)}"
        )
    return reference or spec.arm


def check_folder(argument: str, path: str) -> None:
    """Refuses a folder in which nothing can be made, and which cannot be made."""
    existing = folder = Path(path).expanduser().absolute()
    while not existing.exists():
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise ConfigurationError(
            f"launch argument {argument} must be a folder that can be written; got {folder}, and "
            f"{existing} cannot be"
        )


def check_namespace(argument: str, namespace: str) -> None:
    """Refuses what is no ROS namespace."""
    try:
        validate_namespace(f"/{namespace.strip('/')}")
    except InvalidNamespaceException as error:
        raise _invalid(argument, namespace, "a ROS namespace such as left_arm", error) from error


def check_topic(argument: str, topic: str) -> None:
    """Refuses what is no name of a topic."""
    try:
        validate_topic_name(topic)
    except InvalidTopicNameException as error:
        raise _invalid(argument, topic, "the name of a topic", error) from error


def full_name(node: str, namespace: str) -> str:
    """The name of a node with its namespace, such as `/left/policy_node`."""
    return "/".join(["", *filter(None, namespace.split("/")), node])


def settings_of(
    config_class: type, node: str, given: Mapping[str, Any], file: str = "", argument: str = ""
) -> Any:
    """The configuration that a node gets: of its parameter file, and of what is given over it.

    Args:
        config_class: of the node.
        node: its name with its namespace.
        given: values by dotted name.
        file: its parameter file; empty: none.
        argument: the launch argument that names the file.

    Raises:
        ConfigurationError: the file is no parameter file, or not one for that node; a parameter
            is unknown or outside its valid set.
    """
    values = file_parameters(config_class, node, Path(file), argument) if file else {}
    return build(config_class, {**values, **given})


def training_settings(
    given: Mapping[str, Any], node: str, file: str, argument: str
) -> TrainConfig:
    """The settings of a training, as train_node settles them; see `settings_of`.

    Raises:
        ConfigurationError: its run cannot be made, or there is none to resume, too.
    """
    # Here, since a robot has no simulator, and deploy.launch.py runs there.
    from sac_ros.training.config import TrainConfig  # noqa: PLC0415
    from sac_ros.training.run_directory import (  # noqa: PLC0415
        find_run_directory,
        settings_to_resume,
    )

    defaults = {leaf.name: leaf.default for leaf in leaves(TrainConfig)}
    values = {**defaults, **file_parameters(TrainConfig, node, Path(file), argument), **given}
    config: TrainConfig = build(TrainConfig, {**values, **settings_to_resume(values, given)})
    check_folder("directory", config.directory)
    check_arm("arm", config.arm)
    find_run_directory(config)
    return config


def file_parameters(config_class: type, node: str, file: Path, argument: str) -> dict[str, Any]:
    """The parameters of a node in a parameter file, checked; see `settings_of`."""
    check_file(argument, str(file))
    where = f"launch argument {argument}: {file}"
    sections = [*_sections(_read(file, where), where)]
    names = [name for name, _ in sections]
    of_node = [tree for name, tree in sections if _matches(name, node)]
    own = node.rpartition("/")[2]
    for name in names:
        last = name.rpartition("/")[2]
        if not of_node or (last != own and did_you_mean(last, [own], cutoff=0.8)):
            hint = did_you_mean(last, [own])
            if last == own:  # of another namespace
                hint = f", did you mean /**/{own}?"
            found = ", ".join(names) or "none"
            raise ConfigurationError(
                f"{where} has no parameters for the node {node}{hint} "
                f"(sections of the file: {found})"
            )
    declared = {leaf.name: leaf for leaf in leaves(config_class)}
    values: dict[str, Any] = {}
    for tree in of_node:
        for name, value in flat(tree).items():
            if name in BUILT_IN or name.startswith(BUILT_IN_GROUPS):
                continue
            if name not in declared:
                raise ConfigurationError(
                    f"{where}: parameter {name} is unknown to node {own}"
                    f"{did_you_mean(name, declared)}"
                )
            values[name] = declared[name].check(_as_ros(value), f"{where}: parameter ")
    return values


def _as_ros(value: Any) -> Any:
    """ROS reads `1e-3` as a number, YAML 1.1 as a text."""
    if isinstance(value, list):
        return [_as_ros(each) for each in value]
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _read(file: Path, where: str) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{where} must be a YAML file; it is not: {reason}") from error


def _sections(tree: Any, where: str, name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parameters of every node in a file, by the node's name, which may be nested."""
    if not isinstance(tree, Mapping):
        raise ConfigurationError(
            f"{where} must hold NODE: {{{_PARAMETERS}: …}}; got {type(tree).__name__}"
            f"{f' in {name}' if name else ''}"
        )
    for key, below in tree.items():
        if key == _PARAMETERS:
            yield name, below if isinstance(below, Mapping) else {}
        else:
            yield from _sections(below, where, f"{name}/{str(key).strip('/')}")


def _matches(pattern: str, node: str) -> bool:
    """Whether a node's name is that of a section, where * is any word and ** are any words."""
    words = {"**": "(/[^/]+)*", "*": "/[^/]+"}
    parts = [words.get(each, "/" + re.escape(each)) for each in pattern.split("/") if each]
    return re.fullmatch("".join(parts), node) is not None


@contextlib.contextmanager
def _named(argument: str) -> Iterator[None]:
    """Puts the launch argument before what is wrong with its value."""
    try:
        yield
    except SacRosError as error:
        raise ConfigurationError(f"launch argument {argument}: {error}") from error


def _invalid(argument: str, value: str, valid: str, error: Exception) -> ConfigurationError:
    reason = str(error).splitlines()[0]
    return ConfigurationError(
        f"launch argument {argument} must be {valid}; got {value!r}: {reason}"
    )
