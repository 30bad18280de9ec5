# SPDX-License-Identifier: Apache-2.0
"""Whether a command would be taken as it is typed, without running it.

Names, types and values are judged by what the programs themselves use: the parsers of commands,
the configuration classes of nodes, the arguments of launch files, the topics of running nodes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from page_commands import BIN, split

from sac_ros.entry import COMMANDS, NODES
from sac_ros.ros.parameters import read
from sac_ros.utils.errors import ConfigurationError
from sac_ros.utils.settings import Leaf, build, leaves
from tools.docs.interfaces import interfaces, message_type
from tools.docs.launch_arguments import launch_arguments
from tools.docs.reference import PARAMETERS

ROOT = Path(__file__).parents[2]

_FILE = re.compile(r"[\w.~/${}-]+\.(onnx|yaml|urdf|mcap|xml|db3|xacro)")
_MAY_BE_SET = ("configure", "activate", "deactivate", "cleanup", "shutdown")
_ROS_FLAGS = ("--params-file", "-p", "--param", "-r", "--remap", "--enclave", "--log-level")
_IN_LAUNCH_FILES = {
    "train.launch.py": ("train_node",),
    "deploy.launch.py": ("policy_node", "sim_node"),
    "simulate.launch.py": ("sim_node",),
    "replay.launch.py": ("replay_node",),
}


class WrongCommandError(Exception):
    """A command would not be taken; the sentence says why."""


class _Parsed(BaseException):
    """The arguments were taken."""


class Checker:
    """Judges commands.

    Args:
        elsewhere: patterns of commands that belong to other packages; they are not judged.
        files: patterns of files that the reader has, or that a command before has made.
    """

    def __init__(self, elsewhere: Sequence[str], files: Sequence[str]) -> None:
        self._elsewhere = {pattern: re.compile(pattern) for pattern in elsewhere}
        self._files = {pattern: re.compile(pattern) for pattern in files}
        self.used: set[str] = set()

    def check(self, words: Sequence[str]) -> None:
        """Judge a command.

        Raises:
            WrongCommandError: it would not be taken, or nothing is known about its program.
        """
        text = " ".join(words)
        for pattern, expression in self._elsewhere.items():
            if expression.match(text):
                self.used.add(pattern)
                return
        program, *arguments = words
        program = program.removeprefix(BIN)
        self._check_files(arguments)
        if program == "make":
            self._make(arguments)
        elif program == "python":
            self._python(arguments)
        elif program == "ros2":
            _Ros2(self).check(arguments)
        elif program in NODES or program in COMMANDS:
            self.console_script(program, arguments)
        else:
            raise WrongCommandError("no rule of commands.yaml covers it")

    def console_script(self, name: str, arguments: Sequence[str]) -> None:
        """Judge the arguments of a command of this package."""
        if name in NODES:
            self._node(name, arguments)
        else:
            _parse(importlib.import_module(COMMANDS[name]).main, arguments)

    def _make(self, arguments: Sequence[str]) -> None:
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", *arguments],
            cwd=ROOT,
            text=True,
            capture_output=True,
        )
        if done.returncode:
            raise WrongCommandError(done.stderr.strip())
        for line in done.stdout.splitlines():
            if line.startswith(BIN):
                for words in split(line):
                    self.check(words)

    def _python(self, arguments: Sequence[str]) -> None:
        if arguments[0] != "-m":
            if not (ROOT / arguments[0]).is_file():
                raise WrongCommandError(f"{arguments[0]} does not exist")
            return
        name, *rest = arguments[1:]
        if not name.startswith(("benchmarks", "studies", "tools")):
            _find(name)
            self._check_tests(rest)
            return
        with contextlib.suppress(ModuleNotFoundError):
            name = _find(f"{name}.__main__")
        module = importlib.import_module(_find(name))
        if "argparse" in vars(module):
            with patch.object(sys, "argv", ["python", *rest]):
                takes = module.main.__code__.co_argcount
                _parse(module.main if takes else lambda _: module.main(), rest)

    def _check_tests(self, arguments: Sequence[str]) -> None:
        for each in arguments:
            if each.startswith("test/") and not (ROOT / each).exists():
                raise WrongCommandError(f"{each} does not exist")

    def _check_files(self, arguments: Sequence[str]) -> None:
        for argument in arguments:
            for value in re.split(r":=|[=,\s]", argument):
                if not _FILE.fullmatch(value) or (ROOT / value).exists():
                    continue
                path = value.removeprefix("$PWD/")
                mine = [each for each, known in self._files.items() if known.fullmatch(path)]
                self.used.update(mine)
                if not mine and not (ROOT / path).exists():
                    raise WrongCommandError(f"{path} does not exist, and no command makes it")

    def _node(self, name: str, arguments: Sequence[str]) -> None:
        declared = {leaf.name: leaf for leaf in leaves(PARAMETERS[name])}
        given: dict[str, Any] = {}
        left = list(arguments)
        if left and left.pop(0) != "--ros-args":
            raise WrongCommandError(f"{name} takes ROS arguments, behind --ros-args")
        while left:
            flag = left.pop(0)
            if flag not in _ROS_FLAGS or not left:
                raise WrongCommandError(f"{flag} is no ROS argument, or lacks its value")
            value = left.pop(0)
            if flag == "--params-file":
                if (ROOT / value).is_file():
                    _of_node(name, ROOT / value)
            elif flag in ("-p", "--param"):
                parameter, assigned, text = value.partition(":=")
                if not assigned or parameter not in declared:
                    raise WrongCommandError(f"{name} has no parameter {value}")
                given |= _value(declared[parameter], text)
        build(PARAMETERS[name], given)


class _Ros2:
    """The tools of ROS 2, as far as they name what is this package's."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    def check(self, words: Sequence[str]) -> None:
        verb = words[0] if words[0] in ("launch", "run") else "_".join(words[:2])
        judge: Callable[..., None] | None = getattr(self, f"_{verb}", None)
        if judge is None:
            raise WrongCommandError(f"no rule of commands.yaml covers ros2 {words[0]}")
        judge(*words[1 if verb in ("launch", "run") else 2 :])

    def _run(self, package: str, name: str, *arguments: str) -> None:
        if package != "sac_ros" or name not in {**NODES, **COMMANDS}:
            raise WrongCommandError(f"{package} has no {name}")
        self._checker.console_script(name, arguments)

    def _launch(self, package: str, file: str, *arguments: str) -> None:
        if package != "sac_ros" or file not in launch_arguments():
            raise WrongCommandError(f"{package} has no {file}")
        valid = dict(launch_arguments()[file])
        if file == "deploy.launch.py":
            valid = launch_arguments()["simulate.launch.py"] | valid
        nodes = _IN_LAUNCH_FILES[file]
        settings = {leaf.name: leaf for node in nodes for leaf in leaves(PARAMETERS[node])}
        given = dict(each.split(":=", 1) for each in arguments if each != "--show-args")
        for name, text in given.items():
            if name not in valid:
                raise WrongCommandError(f"{file} has no argument {name}")
            if (choices := valid[name].choices) and text not in choices:
                raise WrongCommandError(f"{name} must be one of {', '.join(choices)}; got {text}")
            if name in settings and name not in ("arm", "model"):
                _value(settings[name], text)

    def _topic_pub(self, *words: str) -> None:
        name, kind, *rest = (word for word in words if word not in ("--once",))
        _must_be(name, kind, _topics())
        if rest:
            _fill(message_type(kind)(), yaml.safe_load(rest[0]))

    def _topic_echo(self, *words: str) -> None:
        name = next(word for word in words if word.startswith("/"))
        if name not in _topics():
            raise WrongCommandError(f"no node has the topic {name}")

    _topic_hz = _topic_info = _topic_echo

    def _service_call(self, name: str, kind: str, text: str = "{}") -> None:
        services = {k: v for each in interfaces().values() for k, v in each.services.items()}
        _must_be(name, kind, services)
        _fill(message_type(kind).Request(), yaml.safe_load(text))

    def _param_set(self, node: str, name: str, value: str) -> None:
        declared = {leaf.name: leaf for leaf in leaves(PARAMETERS[_node_name(node)])}
        if name not in declared or not declared[name].rule.live:
            raise WrongCommandError(f"{name} of {node} cannot be set while it runs")
        _value(declared[name], value)

    def _lifecycle_set(self, node: str, transition: str) -> None:
        if _node_name(node) != "policy_node" or transition not in _MAY_BE_SET:
            raise WrongCommandError(f"{node} has no transition {transition}")

    def _node_info(self, node: str) -> None:
        _node_name(node)

    def _pkg_prefix(self, *words: str) -> None:
        if words != ("--share", "sac_ros"):
            raise WrongCommandError("another package")


@cache
def _topics() -> dict[str, str]:
    found = {}
    for each in interfaces().values():
        found |= each.subscriptions | each.publishers
    return found


def _node_name(text: str) -> str:
    if text.removeprefix("/") not in PARAMETERS:
        raise WrongCommandError(f"no node is called {text}")
    return text.removeprefix("/")


def _must_be(name: str, kind: str, known: dict[str, str]) -> None:
    if known.get(name) != kind:
        raise WrongCommandError(f"{name} is {known.get(name, 'not there')}, and not {kind}")


def _value(leaf: Leaf, text: str) -> dict[str, Any]:
    """The value of a parameter, or a `WrongCommandError`; one of the shell's is not known."""
    if "$" in text:
        return {}
    try:
        return {leaf.name: read(leaf, text)}
    except ConfigurationError as error:
        raise WrongCommandError(str(error)) from error


def _of_node(name: str, path: Path) -> None:
    """A parameter file must have a section for the node."""
    sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not any(key.rpartition("/")[2] in (name, "**") for key in sections):
        raise WrongCommandError(f"{path.name} has nothing for {name}")


def _fill(message: Any, values: dict[str, Any]) -> None:
    """Set the fields of a message, which refuses a name or a type that it does not have."""
    fields = message.get_fields_and_field_types()
    for name, value in values.items():
        if name not in fields:
            raise WrongCommandError(f"{type(message).__name__} has no field {name}")
        if isinstance(value, dict):
            _fill(getattr(message, name), value)
        else:
            setattr(message, name, float(value) if fields[name] == "double" else value)


@contextlib.contextmanager
def _only_parsing() -> Iterator[None]:
    """Parsers of arguments raise `_Parsed` where they would return."""
    parse = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        parse(self, *given, **named)
        raise _Parsed

    with patch.object(argparse.ArgumentParser, "parse_args", parse_args):
        yield


def _parse(main: Callable[[list[str]], object], arguments: Sequence[str]) -> None:
    said = io.StringIO()
    try:
        with _only_parsing(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            main(list(arguments))
    except _Parsed:
        return
    except SystemExit as ended:
        if not ended.code:
            return  # --help
    raise WrongCommandError(said.getvalue().strip().rpartition("\n")[2] or "it parses nothing")


def _find(module: str) -> str:
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(module)
    return module
