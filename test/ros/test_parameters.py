# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from a dataclass: every wrong one is refused with a sentence that names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from sac_ros.ros.parameters import declare, named_parameters
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import setting, validate


@dataclass(frozen=True)
class Inner:
    learning_rate: float = setting(3e-3, "step size", above=0.0, maximum=1.0)
    size: tuple[int, ...] = setting((64, 64), "widths", minimum=1)

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True)
class Config:
    arm: str = setting("iiwa", "which arm", choices=("iiwa", "panda"))
    steps: int = setting(10, "how many", minimum=0)
    watchdog_s: float = setting(0.05, "longest silence", above=0.0, unit="s")
    shadow: bool = setting(False, "publish no command", live=True)
    joints: tuple[str, ...] = setting((), "order")
    box: tuple[float, float] = setting((0.0, 1.0), "low and high")
    sac: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        validate(self)


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def node_with(context: Context, *cli_args: str) -> Node:
    arguments = ["--ros-args"]
    for argument in cli_args:
        arguments += ["-p", argument]
    return Node("parameters_under_test", context=context, cli_args=arguments)


def test_defaults_are_read_when_nothing_is_given(context: Context) -> None:
    assert declare(node_with(context), Config) == Config()


def test_overrides_reach_nested_settings_and_whole_numbers_count_as_floats(
    context: Context,
) -> None:
    node = node_with(
        context, "sac.learning_rate:=1", "watchdog_s:=0.25", "sac.size:=[32]", "joints:=[a, b]"
    )
    config = declare(node, Config)
    assert config.sac.learning_rate == 1.0
    assert isinstance(config.sac.learning_rate, float)
    assert config.watchdog_s == 0.25
    assert config.sac.size == (32,)
    assert config.joints == ("a", "b")


def test_whole_numbers_in_a_list_of_floats_are_accepted(context: Context) -> None:
    assert declare(node_with(context, "box:=[0, 2]"), Config).box == (0.0, 2.0)


def test_an_empty_list_can_be_given(context: Context) -> None:
    node = Node("empty", context=context, parameter_overrides=[Parameter("sac.size", value=[])])
    assert declare(node, Config).sac.size == ()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "arm:=y",
            (
                "parameter arm must be one of iiwa, panda; got True: YAML needs quotes around "
                "numbers, yes, no, y and n, as in -p arm:=\"'7'\""
            ),
        ),
        ("arm:=ur5", "parameter arm must be one of iiwa, panda; got 'ur5'"),
        ("steps:=-3", "parameter steps must be a whole number at least 0; got -3"),
        ("steps:=1.5", "parameter steps must be a whole number at least 0; got 1.5"),
        ("steps:=true", "parameter steps must be a whole number at least 0; got True"),
        ("watchdog_s:=0.0", "parameter watchdog_s must be a number above 0 (s); got 0.0"),
        ("watchdog_s:=.nan", "parameter watchdog_s must be a number above 0 (s); got nan"),
        ("watchdog_s:=fast", "parameter watchdog_s must be a number above 0 (s); got 'fast'"),
        ("shadow:=1", "parameter shadow must be true or false; got 1"),
        (
            "sac.learning_rate:=2.0",
            "parameter sac.learning_rate must be a number above 0 and at most 1; got 2.0",
        ),
        (
            "sac.size:=[0]",
            "parameter sac.size must be a list of values, each a whole number at least 1; got [0]",
        ),
        ("box:=[1.0]", "parameter box must be a list of 2 values, each a number; got [1.0]"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_the_valid_set(
    context: Context, override: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        declare(node_with(context, override), Config)
    assert str(error.value) == sentence


def test_an_unknown_parameter_is_refused_with_the_closest_name(context: Context) -> None:
    with pytest.raises(ConfigurationError, match=r"watchdog_ms is unknown.*mean watchdog_s\?"):
        declare(node_with(context, "watchdog_ms:=3"), Config)


def test_an_unknown_parameter_lists_the_valid_ones(context: Context) -> None:
    with pytest.raises(ConfigurationError, match=r"valid parameters: arm, box, joints"):
        declare(node_with(context, "zzz:=3"), Config)


def test_parameters_that_rclpy_reads_itself_are_not_unknown(context: Context) -> None:
    node = node_with(context, "use_sim_time:=false", "qos_overrides./tf.publisher.depth:=3")
    assert declare(node, Config) == Config()


def test_descriptors_hold_description_unit_range_and_read_only(context: Context) -> None:
    node = node_with(context)
    declare(node, Config)
    watchdog = node.describe_parameter("watchdog_s")
    assert watchdog.description == "longest silence [s]"
    assert watchdog.read_only
    assert watchdog.floating_point_range[0].from_value == 0.0
    assert node.describe_parameter("steps").integer_range[0].from_value == 0
    assert not node.describe_parameter("shadow").read_only


def test_only_live_parameters_can_be_set_later(context: Context) -> None:
    node = node_with(context)
    declare(node, Config)
    (live,) = node.set_parameters([Parameter("shadow", value=True)])
    (fixed,) = node.set_parameters([Parameter("steps", value=3)])
    assert live.successful
    assert not fixed.successful


def test_what_a_command_line_names_is_told_from_what_its_files_hold() -> None:
    line = (
        "train_node -p before:=1 --ros-args --params-file config/robust.yaml -p resume:=true "
        "--param sac.gamma:=0.5 -p train_node:name:=x -r a:=b -- -p after:=1"
    )
    assert named_parameters(line.split()) == {"resume", "sac.gamma", "name"}


def test_values_may_be_settled_before_they_are_declared(context: Context) -> None:
    node = node_with(context, "steps:=5")
    config = declare(node, Config, lambda given: {"steps": given["steps"] + 1, "arm": "panda"})
    assert (config.steps, config.arm) == (6, "panda")
    assert node.get_parameter("steps").value == 6
