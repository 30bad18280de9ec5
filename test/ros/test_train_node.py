# SPDX-License-Identifier: Apache-2.0
"""train_node in a process of its own: parameters, signals, topics and services."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: `make setup` brings it")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from plain_urdf import PLAIN
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from sac_ros.policy.runtime import Policy
from sac_ros.robots.arm import load_arm
from sac_ros.ros.robot_description import LATCHED
from sac_ros.ros.train_node import main
from sac_ros.sim.randomization import TERMS
from sac_ros.training.checkpoint import load_checkpoint
from sac_ros.training.config import TrainConfig
from sac_ros.training.run_directory import RunDirectory, find_run_directory
from sac_ros.utils.package_share import share_path
from sac_ros.utils.settings import build, leaves

ARM = load_arm("iiwa")
Eventually = Callable[..., None]
MODULE = "sac_ros.ros.train_node"
TINY = {
    "name": "tiny",
    "total_steps": 1_000_000,
    "environments": 2,
    "evaluation_interval": 1_000_000,
    "evaluation_episodes": 1,
    "record_video": "false",
    "robustness_episodes": 0,
    "env.episode_seconds": 0.4,
    "warm_up_steps": 40,
    "minimum_success_rate": 0.0,
    "sac.hidden_sizes": "[8, 8]",
    "sac.batch_size": 16,
    "sac.learning_starts": 100,
}


def arguments(directory: Path, *more: str, **parameters: Any) -> list[str]:
    values = {"directory": str(directory), **parameters}
    given = (part for name, value in values.items() for part in ("-p", f"{name}:={value}"))
    return ["--ros-args", *more, *given]


class Training:
    """A train_node, with what it wrote in files so that no pipe fills up."""

    def __init__(self, directory: Path, arguments: list[str]) -> None:
        self.directory = directory / "tiny"
        self._log = directory / f"log_{len(list(directory.glob('log_*')))}"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", MODULE, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def checkpoint(self) -> Path:
        """The newest one; a name that does not exist as long as there is none."""
        return max(self.directory.glob("checkpoint_*.pt"), default=self.directory / "none")

    def running(self) -> bool:
        """True; fails with the log if it has ended."""
        if self.process.poll() is not None:
            pytest.fail(f"train_node ended with {self.process.returncode}:\n{self.log}")
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=90.0)


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    started: list[Training] = []

    def start(*more: str, tiny: bool = True, **parameters: Any) -> Training:
        """`tiny`: with the parameters of `TINY`, too."""
        settings = {**(TINY if tiny else {"name": "tiny"}), **parameters}
        started.append(Training(tmp_path, arguments(tmp_path, *more, **settings)))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def has_collected(train: Training) -> bool:
    """Whether the run has come so far that its events and its log are there."""
    return train.running() and "training iiwa" in train.log


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence of a train_node, in this process, that could not begin."""

    def run(**parameters: Any) -> str:
        # Not in the main thread, whose signals run_node would take and then ignore.
        with ThreadPoolExecutor(1) as thread:
            code = thread.submit(main, arguments(tmp_path, **TINY | parameters)).result()
        log = capfd.readouterr().err
        assert code == 2, log
        assert "Traceback" not in log
        (sentence,) = [line for line in log.splitlines() if "error: " in line]
        return sentence

    return run


# ---- the robot's own description ---------------------------------------------------------------


def trains_the_plain_arm(train: Training, eventually: Eventually) -> None:
    """Whether the arm of the description is trained, and kept beside the run for `resume`."""
    eventually(lambda: train.running() and train.checkpoint.exists(), timeout=60.0)
    assert train.stop() == 0, train.log
    kept = yaml.safe_load((train.directory / "train.yaml").read_text())
    (parameters,) = (each["ros__parameters"] for each in kept.values())
    assert parameters["arm"] == str(train.directory.parent / "plain.urdf")
    assert load_arm(parameters["arm"]).joint_names == ("waist", "shoulder", "elbow")


def test_the_arm_is_what_robot_state_publisher_has_on_its_topic(
    training: Callable[..., Training], ros: Any, eventually: Eventually
) -> None:
    publisher = ros.node().create_publisher(String, "robot_description", LATCHED)
    publisher.publish(String(data=PLAIN))
    trains_the_plain_arm(training(arm="robot_description"), eventually)


@pytest.mark.long
def test_the_arm_is_the_urdf_in_a_parameter(
    training: Callable[..., Training], tmp_path: Path, eventually: Eventually
) -> None:
    file = tmp_path / "robot.yaml"
    document = {"/**": {"ros__parameters": {"robot_description": PLAIN}}}
    file.write_text(yaml.safe_dump(document))
    train = training("--params-file", str(file), arm="robot_description")
    trains_the_plain_arm(train, eventually)


# ---- wrong input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"arm": "ur99"}, r"arm must be one of .*iiwa.*; got 'ur99'"),
        ({"totl_steps": 5}, r"totl_steps is unknown.*did you mean total_steps"),
        ({"total_steps": -5}, r"total_steps must be a whole number at least 1; got -5"),
        ({"total_steps": "many"}, r"total_steps must be a whole number.*; got 'many'"),
        ({"sac.gamma": 1.5}, r"sac\.gamma must be .*at most 1; got 1\.5"),
        ({"env.control_rate_hz": 60}, r"control_rate_hz must divide .*500 Hz; got 60"),
        ({"resume": "true"}, r"name 'tiny' has no checkpoint to resume in .*: none"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_parameter_is_one_sentence_and_leaves_no_directory_behind(
    refused: Callable[..., str], tmp_path: Path, parameters: dict[str, Any], words: str
) -> None:
    sentence = refused(**parameters)
    assert re.search(words, sentence), sentence
    assert not (tmp_path / "tiny").exists()


def test_a_wrong_parameter_is_the_exit_code_of_the_process(
    training: Callable[..., Training],
) -> None:
    train = training(totl_steps=5)
    assert train.process.wait(timeout=90.0) == 2, train.log
    assert train.log.count("error: ") == 1
    assert "Traceback" not in train.log
    assert not train.directory.exists()


def test_checkpoints_that_are_all_torn_are_one_sentence_and_exit_code_2(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "tiny").mkdir()
    for name in ("checkpoint_0000000100.pt", "checkpoint_0000000200.pt"):
        (tmp_path / "tiny" / name).touch()
    sentence = refused(resume="true")
    words = r"200\.pt is not a whole checkpoint: .*; nor is any of the 1 before it"
    assert re.search(words, sentence), sentence


def terms_without_a_comment(file: str) -> set[str]:
    """The terms of randomization, off by default, that no commented line shows."""
    text = share_path("config", file).read_text()
    return set(TERMS) - set(re.findall(r"^ +#   (\w+): \[", text, re.MULTILINE))


def test_the_shipped_parameter_file_states_the_defaults_of_all_parameters() -> None:
    (section,) = yaml.safe_load(share_path("config", "train.yaml").read_text()).values()

    def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in tree.items():
            inside = isinstance(value, dict)
            found |= flat(value, f"{prefix}{key}.") if inside else {prefix + key: value}
        return found

    given = flat(section["ros__parameters"])
    known = {leaf.name: leaf for leaf in leaves(TrainConfig)}
    terms = {name for name in known if name.startswith("env.randomization.")}
    assert set(given) == set(known) - terms
    assert not terms_without_a_comment("train.yaml")
    assert build(TrainConfig, given) == TrainConfig()


def test_torch_is_not_imported_before_a_wrong_parameter_is_refused() -> None:
    code = f"import sys, {MODULE}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=90.0).returncode == 0


# ---- signals and resume ------------------------------------------------------------------------


def test_ctrl_c_leaves_a_checkpoint_and_resume_goes_on_with_the_settings_of_the_run(
    training: Callable[..., Training], eventually: Eventually
) -> None:
    first = training(checkpoint_interval=300)
    eventually(lambda: first.running() and first.checkpoint.exists(), "a checkpoint", timeout=90.0)
    assert first.stop(signal.SIGINT) == 0, first.log
    assert "Traceback" not in first.log
    before = load_checkpoint(first.checkpoint)["env_steps"]

    more = before + 200
    # As `make train` does it: of the file, which holds other settings, nothing counts.
    resumed = training(
        *("--params-file", str(share_path("config", "robust.yaml"))),
        tiny=False,
        resume="true",
        total_steps=more,
        minimum_success_rate=1.0,
    )
    assert resumed.process.wait(timeout=120.0) == 1, resumed.log  # it has learned nothing
    assert "less than minimum_success_rate, 100.0%" in resumed.log
    assert "Traceback" not in resumed.log
    assert f"total_steps: 1000000 -> {more}\n" in resumed.log
    assert "minimum_success_rate: 0.0 -> 1.0\n" in resumed.log
    kept = yaml.safe_load((resumed.directory / "train.yaml").read_text())["/**/train_node"]
    assert kept["ros__parameters"]["total_steps"] == more
    assert kept["ros__parameters"]["sac"]["hidden_sizes"] == [8, 8]
    assert load_checkpoint(resumed.checkpoint)["env_steps"] >= more
    assert Policy.load(resumed.directory / "policy.onnx").spec.training["env_steps"] >= more


@pytest.mark.long
def test_sigterm_is_as_good_as_ctrl_c(
    training: Callable[..., Training], eventually: Eventually
) -> None:
    train = training()
    eventually(lambda: has_collected(train), "the training", timeout=90.0)
    assert train.stop(signal.SIGTERM) == 0, train.log
    assert load_checkpoint(train.checkpoint)["env_steps"] >= 0
    assert "Traceback" not in train.log


def test_ctrl_c_while_it_starts_up_ends_it_and_the_name_stays_free(
    training: Callable[..., Training], eventually: Eventually
) -> None:
    train = training()
    eventually(lambda: train.running() and train.directory.exists(), "the directory", timeout=90.0)
    assert train.stop(signal.SIGINT) == 0, train.log
    assert "Traceback" not in train.log
    root, name = train.directory.parent, train.directory.name
    resume = bool(RunDirectory(train.directory).checkpoints)  # where it had started just then
    find_run_directory(TrainConfig(directory=str(root), name=name, resume=resume))


@pytest.mark.long
def test_a_second_ctrl_c_does_not_cut_the_first_one_short(
    training: Callable[..., Training], eventually: Eventually
) -> None:
    train = training()
    eventually(lambda: has_collected(train), "the training", timeout=90.0)
    for _ in range(5):
        train.process.send_signal(signal.SIGINT)
    assert train.process.wait(timeout=90.0) == 0, train.log
    assert load_checkpoint(train.checkpoint)


# ---- topics and services -----------------------------------------------------------------------


def test_it_shows_the_arm_and_answers_its_services(
    ros: Any, training: Callable[..., Training], eventually: Eventually
) -> None:
    train = training()
    node = ros.node()
    states: list[JointState] = []
    goals: list[PoseStamped] = []
    status: list[dict[str, str]] = []

    def note(message: DiagnosticArray) -> None:
        (each,) = message.status
        assert each.name == "train_node: training"
        status.append({value.key: value.value for value in each.values})

    node.create_subscription(JointState, "joint_states", states.append, 10)
    node.create_subscription(PoseStamped, "goal_pose", goals.append, 10)
    node.create_subscription(DiagnosticArray, "/diagnostics", note, 10)

    def call(name: str, kind: Any, request: Any) -> Any:
        client = node.create_client(kind, f"/train_node/{name}")
        eventually(client.service_is_ready, f"the service {name}", timeout=60.0)
        answer = client.call_async(request)
        eventually(
            lambda: train.running() and answer.done(), f"the answer of {name}", timeout=90.0
        )
        return answer.result()

    eventually(lambda: train.running() and len(states) > 5 and goals, "its topics", timeout=90.0)
    state, goal = states[-1], goals[-1]
    assert tuple(state.name) == ARM.joint_names
    assert len(state.position) == len(state.velocity) == ARM.joints
    assert goal.header.frame_id == ARM.base_link
    point = np.array([goal.pose.position.x, goal.pose.position.y, goal.pose.position.z])
    assert np.all((point >= ARM.goal_low - 1e-6) & (point <= ARM.goal_high + 1e-6))
    assert goal.pose.orientation.w == 1.0

    eventually(lambda: status and status[-1]["phase"] == "training", "diagnostics", timeout=60.0)
    keys = {"env_steps_per_second", "updates_per_second", "success_rate", "seconds_left"}
    assert keys <= set(status[-1])

    assert call("pause", SetBool, SetBool.Request(data=True)).success
    eventually(lambda: status[-1]["phase"] == "paused", "the pause in the diagnostics")
    for name, file in (("save_checkpoint", "checkpoint_0"), ("export_policy", "policy.onnx")):
        answer = call(name, Trigger, Trigger.Request())
        assert answer.success, answer.message
        assert file in answer.message
    saved = load_checkpoint(train.checkpoint)["env_steps"]
    evaluated = call("evaluate", Trigger, Trigger.Request())
    assert evaluated.success
    words = r"\d+% of 1 held-out goals within 5 cm and still, .*, median error [\d.]+ mm"
    assert re.fullmatch(words, evaluated.message), evaluated.message
    assert Policy.load(train.directory / "policy.onnx").spec.arm == "iiwa"
    assert call("save_checkpoint", Trigger, Trigger.Request()).success
    assert load_checkpoint(train.checkpoint)["env_steps"] == saved  # it still stands

    assert call("pause", SetBool, SetBool.Request(data=False)).success
    eventually(lambda: int(status[-1]["env_steps"]) > saved, "it goes on", timeout=60.0)
    assert train.stop() == 0, train.log
